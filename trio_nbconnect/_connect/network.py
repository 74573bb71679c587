"""Network: the system calls that a connect needs, as an interface with two implementations.

What a race does on a bad network cannot be tested on a good one. So everything below a connect goes through a
`Network`: the kernel's is here, and a simulated one is held to the kernel's behaviour by one contract test for both.
It makes system calls and reports their results; waiting, limits and what a result means are decided above it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import sys
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import trio

from .._address import IPV4, IPV6, UNIX, Address, checked_path, from_sockaddr
from .._errors import os_error
from .look_ups import LookUp, from_getaddrinfo, look_ups, not_looked_up
from .policy_table import PolicyTable
from .settings import Setting
from .system_files import is_dns_name, is_in_hosts, is_kept, localhost, system_file

if TYPE_CHECKING:
    from .options import FamilyOptions


class Socket(Protocol):
    """What a connect asks of a non-blocking socket: these methods of `socket.socket`."""

    @property
    def family(self) -> int: ...
    @property
    def type(self) -> int: ...
    def bind(self, address: Any, /) -> None: ...
    def connect_ex(self, address: Any, /) -> int: ...
    def getpeername(self) -> Any: ...
    def getsockname(self) -> Any: ...
    def getsockopt(self, level: int, option: int, /) -> int: ...
    def setsockopt(self, level: int, option: int, value: int | bytes, /) -> None: ...
    def close(self) -> None: ...


class Network(Protocol):
    """What a connect asks of the world below it."""

    def open(self, family: socket.AddressFamily, protocol: int = 0) -> Socket:
        """Open a non-blocking stream socket that child processes do not inherit; 0 is the family's own protocol."""

    async def wait_writable(self, sock: Any) -> None:
        """Wait until an open socket is writable, or has failed; may be cancelled and called again."""

    def close(self, sock: Any) -> None:
        """Close the socket at once and wake whoever waits for it."""

    def stream(self, sock: Any) -> trio.SocketStream:
        """Make a connected socket a stream, which owns it from then on."""

    def look_up(self, host: str, port: int, family: int) -> LookUp:
        """Begin a look-up, or join the one under way: `AF_UNSPEC` for both families, in the system's order."""

    def is_dns_name(self, name: str) -> bool:
        """Whether the system asks DNS for a name as it stands, before search domains and whatever may be slow."""

    def localhost(self) -> tuple[str, ...] | None:
        """The addresses of "localhost" if its files have them; None if it takes a look-up."""

    async def is_in_hosts(self, name: str) -> bool:
        """Whether the system knows a name from its own hosts file, so that DNS is not to be asked for it."""

    def source_address(
        self, address: Address, local: Address | None = None, settings: Iterable[Setting] = ()
    ) -> Address | None:
        """Where the system would connect to this address from, None if it has no way there.

        Args:
            address: Where to.
            local: The address that the caller wants to connect from.
            settings: The socket options that choose a route.
        """

    def deprecated_addresses(self) -> Collection[str]:
        """The addresses of this host known to be past their preferred lifetime (RFC 4862, section 5.5.4)."""

    def policy_table(self) -> PolicyTable:
        """The table by which this host prefers addresses (RFC 6724, section 2.1)."""

    def round_trip_time(self, sock: Any) -> float | None:
        """What the network has measured on a connected socket, in seconds; None if it does not say."""

    def syn_retransmissions(self, sock: Any) -> int | None:
        """How often the SYN was sent again, on a socket that has sent no data yet; None if the network does not say."""


class KernelNetwork:
    """The network that the operating system offers."""

    def open(self, family: socket.AddressFamily, protocol: int = 0) -> socket.socket:
        """Open a socket; one system call does it where the kernel can."""
        sock = socket.socket(family, _STREAM, protocol)
        if _STREAM == socket.SOCK_STREAM:  # macOS and Windows
            sock.setblocking(False)
        return sock

    wait_writable = staticmethod(trio.lowlevel.wait_writable)

    def close(self, sock: socket.socket) -> None:
        if sock.fileno() != -1:
            if trio.lowlevel.in_trio_run():
                trio.lowlevel.notify_closing(sock)
            sock.close()

    def stream(self, sock: socket.socket) -> trio.SocketStream:
        return trio.SocketStream(trio.socket.from_stdlib_socket(sock))

    def look_up(self, host: str, port: int, family: int) -> LookUp:
        return _KeptLookUp(host, port, family) if is_kept(host) else look_ups().join(host, port, family)

    def is_dns_name(self, name: str) -> bool:
        return is_dns_name(name)

    async def is_in_hosts(self, name: str) -> bool:
        return await is_in_hosts(name)

    def localhost(self) -> tuple[str, ...] | None:
        return localhost()

    def source_address(
        self, address: Address, local: Address | None = None, settings: Iterable[Setting] = ()
    ) -> Address | None:
        """Connect a datagram socket, a fresh one each time, which asks the routing table and sends nothing."""
        try:
            with socket.socket(address.family, socket.SOCK_DGRAM) as probe:
                apply(probe, settings, address)
                if local is not None:
                    probe.bind(local.sockaddr)
                probe.connect((address.host, _DISCARD, *address.sockaddr[2:]))
                return from_getaddrinfo(address.family, probe.getsockname())
        except OSError:
            return None

    def deprecated_addresses(self) -> Collection[str]:
        return read_deprecated_addresses()

    def policy_table(self) -> PolicyTable:
        """Read the system's table, once in each `trio.run`, as the C library does it once in a process."""
        try:
            return _policy_table.get()
        except LookupError:
            _policy_table.set(read_policy_table())
            return _policy_table.get()

    def round_trip_time(self, sock: socket.socket) -> float | None:
        return round_trip_time(sock)

    def syn_retransmissions(self, sock: socket.socket) -> int | None:
        return syn_retransmissions(sock)


class _KeptLookUp:
    """A look-up of a name that no name server may see: the system is asked where its hosts file has it."""

    def __init__(self, host: str, port: int, family: int) -> None:
        self._question = host, port, family

    async def wait(self) -> list[Address]:
        host = self._question[0]
        if host.endswith(".") or not await is_in_hosts(host):  # the C library finds no name with a final dot there
            raise not_looked_up(host)
        return await look_ups().join(*self._question).wait()


_STREAM = socket.SOCK_STREAM | socket.SOCK_NONBLOCK if hasattr(socket, "SOCK_NONBLOCK") else socket.SOCK_STREAM

_policy_table: trio.lowlevel.RunVar[PolicyTable] = trio.lowlevel.RunVar("trio_nbconnect.network.policy_table")

_DISCARD = 9
"""RFC 863, if anything were sent."""


def read_policy_table(path: str = system_file("gai.conf")) -> PolicyTable:
    """Read the table that the system's administrator has set, RFC 6724's where there is none."""
    from .policy_table import DEFAULT_POLICY_TABLE, parse_gai_conf  # noqa: PLC0415 - only two families need it

    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return parse_gai_conf(file.read())
    except OSError:
        return DEFAULT_POLICY_TABLE


def read_deprecated_addresses(path: str = "/proc/net/if_inet6") -> set[str]:
    """Read which addresses of this host are deprecated: a network that was renumbered may have forgotten their prefix.

    Returns:
        The addresses; none where the system does not tell, as all but Linux do.
    """
    try:
        with open(path, encoding="utf-8") as file:  # another codec would be imported here
            rows = [line.split() for line in file]
    except OSError:
        return set()
    return {socket.inet_ntop(IPV6, bytes.fromhex(row[0])) for row in rows if int(row[4], 16) & _DEPRECATED}


_DEPRECATED = 0x20
"""Linux's `IFA_F_DEPRECATED`, among the flags in the fifth column."""


async def checkpoint_if_over() -> None:
    """Do nothing more where the scope is cancelled, or its deadline over, which Trio notices at its next turn only."""
    if trio.current_effective_deadline() <= trio.current_time():
        await trio.lowlevel.checkpoint()


def checked(sock: Socket, sockaddr: Any) -> Any:
    """Make sure that the system call will not block: no name to look up, no blocking socket."""
    if isinstance(sock, socket.socket) and sock.gettimeout() != 0.0:
        raise ValueError(f"socket must be non-blocking: {sock!r}")
    if sock.family in (IPV4, IPV6):
        return from_sockaddr(sock.family, sockaddr).sockaddr
    if sock.family == UNIX:
        return checked_path(os.fspath(sockaddr))
    return sockaddr  # a family that only its user knows


def open_socket(
    network: Network,
    address: Address,
    local: Mapping[socket.AddressFamily, Address],
    options: FamilyOptions | None = None,
) -> Socket:
    """Open a socket that is ready to be connected to this address: options first, then the local address.

    Raises:
        OSError: This system has no such family, no descriptor to spare, or will not set an option or bind the local
            address.
    """
    sock = network.open(address.family) if options is None else _open_with(network, address, options)
    if local and address.family in local:
        try:
            bind_address_only(sock)
            sock.bind(local[address.family].sockaddr)
        except OSError as error:
            network.close(sock)
            raise os_error(error.errno or 0, f"local address {local[address.family].ip} for {address}") from None
    return sock


def _open_with(network: Network, address: Address, options: FamilyOptions) -> Socket:
    """Open a socket and set it up."""
    sock = _open_multipath(network, address.family) if options.multipath else network.open(address.family)
    try:
        apply(sock, options.settings, address)
        if options.configure is not None:
            options.configure(sock, address)  # type: ignore[arg-type]  # a simulated one is as good
            clear_fast_open(sock)
    except BaseException:
        network.close(sock)
        raise
    return sock


def _open_multipath(network: Network, family: socket.AddressFamily) -> Socket:
    """Open a Multipath TCP socket (RFC 8684), or one of plain TCP where the system has no such thing."""
    protocol = getattr(socket, "IPPROTO_MPTCP", 0)
    try:
        return network.open(family, protocol)
    except OSError as error:
        if error.errno not in _NO_MULTIPATH:
            raise
        return network.open(family)


_NO_MULTIPATH = frozenset((errno.EPROTONOSUPPORT, errno.ENOPROTOOPT, errno.EINVAL))
"""What `socket` says of Multipath TCP: not built in; switched off with `net.mptcp.enabled`; Linux before 5.6."""


def clear_fast_open(sock: Socket | trio.socket.SocketType) -> None:
    """Switch off TCP Fast Open, which a hook may have asked for: a handshake that has not begun cannot be raced."""
    from .settings import FAST_OPEN_CONNECT  # noqa: PLC0415 - few have a hook

    if FAST_OPEN_CONNECT is not None:
        with contextlib.suppress(OSError):
            sock.setsockopt(*FAST_OPEN_CONNECT, 0)


def apply(sock: Socket | trio.socket.SocketType | socket.socket, settings: Iterable[Setting], target: object) -> None:
    """Set options, one after the other.

    Raises:
        OSError: The kernel refused one; the text names the option and what the socket was for.
    """
    for setting in settings:
        try:
            sock.setsockopt(setting.level, setting.option, setting.value)
        except OSError as error:
            raise os_error(error.errno or 0, f"option {setting.name} for {target}") from None


def apply_again(stream: trio.SocketStream, settings: Iterable[Setting]) -> None:
    """Set once more what `trio.SocketStream` has overridden.

    They were accepted before, so what fails now is the connection, and it will say so itself.
    """
    with contextlib.suppress(OSError):
        apply(stream.socket, settings, None)


def round_trip_time(sock: socket.socket | trio.socket.SocketType) -> float | None:
    """Read the smoothed round-trip time that the kernel keeps for a TCP connection, on Linux and macOS.

    It is taken from the handshake, and not from one whose SYN was sent twice, unless timestamps tell the two apart
    (Karn's algorithm, RFC 6298, section 3). 0 means that there is no sample yet.

    Returns:
        Seconds; None where there is none, the socket is not TCP, or the kernel does not say.
    """
    if _ROUND_TRIP_TIME is None:
        return None
    option, offset, unit = _ROUND_TRIP_TIME
    number = _tcp_number(sock, option, offset)
    return None if not number else number * unit


def syn_retransmissions(sock: socket.socket | trio.socket.SocketType) -> int | None:
    """Read how often the kernel has sent a segment again; before any data that can only be the SYN.

    Returns:
        How often; None where the socket is not TCP, or the kernel does not say.
    """
    return None if _RETRANSMISSIONS is None else _tcp_number(sock, *_RETRANSMISSIONS)


def _tcp_number(sock: socket.socket | trio.socket.SocketType, option: int, offset: int) -> int | None:
    """Read one number of what the kernel tells of a TCP connection."""
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, option, offset + 4)
    except OSError:
        return None
    return int.from_bytes(info[offset:], sys.byteorder)


ROUND_TRIP_TIMES = {"linux": (11, 68, 1e-6), "darwin": (0x106, 44, 1e-3)}
"""The option, where the time is in its structure, and its unit in seconds; the structures only grow behind.

Linux's `TCP_INFO` has 8 bytes and 15 numbers of 32 bits before `tcpi_rtt`; macOS' `TCP_CONNECTION_INFO`, which has no
name in Python before 3.12, 4 bytes and 10 numbers before `tcpi_srtt`. Windows has none of this.
"""

_ROUND_TRIP_TIME = ROUND_TRIP_TIMES.get(sys.platform)

_RETRANSMISSIONS = {"linux": (11, 100)}.get(sys.platform)
"""The same for Linux's `tcpi_total_retrans`, which has 23 numbers of 32 bits before it."""


def bind_address_only(sock: Socket | trio.socket.SocketType) -> None:
    """Have `bind` reserve no port: `connect` finds one, shared by connections to other hosts (Linux's ip(7))."""
    with contextlib.suppress(OSError, AttributeError):
        sock.setsockopt(socket.IPPROTO_IP, trio.socket.IP_BIND_ADDRESS_NO_PORT, 1)
