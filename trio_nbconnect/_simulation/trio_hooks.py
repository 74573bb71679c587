"""Simulated hooks: a simulated network behind Trio's own hooks.

Most code that opens connections takes no connector. Trio has two hooks for it, a hostname resolver and a socket
factory, and what they return must look like Trio's: `SimulatedTrioSocket` makes the system calls of a
`SimulatedSocket` as Trio makes them, at once, and again when waiting has made it worth while.

Left out: the methods of a Trio socket for datagrams and for servers.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import trio

from .._address import IPV4, IPV6
from .._error_texts import strerror
from .._resolve.query import Source
from .names import ZoneEntry, literal, no_addresses
from .sockets import SimulatedSocket

T = TypeVar("T")

_NO_DESCRIPTOR = 1 << 30
"""What `fileno` says of an open socket: not -1, which would be closed, and nothing that could be another's."""


class SimulatedTrioSocket(trio.socket.SocketType):
    """A socket of a simulated network, as Trio's sockets look: what `trio.SocketStream` needs, and `connect`."""

    def __init__(self, sock: SimulatedSocket) -> None:
        self._simulated = sock
        self._eof_sent = False

    def __repr__(self) -> str:
        state = "closed" if self._simulated.is_closed else f"{self.getsockname()}"
        return f"<SimulatedTrioSocket {state}>"

    def __enter__(self) -> SimulatedTrioSocket:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    @property
    def did_shutdown_SHUT_WR(self) -> bool:  # noqa: N802 - Trio's name
        return self._eof_sent

    @property
    def family(self) -> socket.AddressFamily:
        return self._simulated.family

    @property
    def type(self) -> socket.SocketKind:
        return self._simulated.type

    @property
    def proto(self) -> int:
        return socket.IPPROTO_TCP

    def fileno(self) -> int:
        """Return -1 once closed; else a number that is no descriptor."""
        return -1 if self._simulated.is_closed else _NO_DESCRIPTOR

    def getpeername(self) -> Any:
        return self._simulated.getpeername()

    def getsockname(self) -> Any:
        return self._simulated.getsockname()

    def getsockopt(self, level: int, optname: int, buflen: int | None = None) -> Any:
        if buflen is None:
            return self._simulated.getsockopt(level, optname)
        return self._simulated.read_option(level, optname)[:buflen]

    def setsockopt(self, level: int, optname: int, value: Any, optlen: int | None = None) -> None:
        self._simulated.setsockopt(level, optname, value)

    async def bind(self, address: Any) -> None:
        await trio.lowlevel.checkpoint()
        self._simulated.bind(address)

    async def connect(self, address: Any) -> None:
        """Connect; cancelled, close. As Trio's sockets do, it stays open when the connect fails."""
        try:
            await trio.lowlevel.checkpoint()
            number = self._simulated.connect_ex(address)
            if number in (errno.EINPROGRESS, errno.EALREADY):
                await self._simulated.wait_writable()
                number = self._simulated.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        except trio.Cancelled:
            self.close()
            raise
        if number:
            raise OSError(number, f"Error connecting to {address!r}: {strerror(number)}")

    async def send(self, data: Any, flags: int = 0, /) -> int:
        return await self._call(lambda: self._simulated.send(data), self._simulated.wait_writable)

    async def recv(self, buflen: int, flags: int = 0, /) -> bytes:
        return await self._call(lambda: self._simulated.recv(buflen), self._simulated.wait_readable)

    async def wait_writable(self) -> None:
        await self._simulated.wait_writable()

    def is_readable(self) -> bool:
        return self._simulated.is_readable()

    def shutdown(self, flag: int) -> None:
        self._simulated.shutdown(flag)
        self._eof_sent = self._eof_sent or flag != socket.SHUT_RD

    def close(self) -> None:
        self._simulated.close()

    async def _call(self, call: Callable[[], T], wait: Callable[[], Awaitable[None]]) -> T:
        """Make a system call, as often as it says EAGAIN."""
        await trio.lowlevel.checkpoint()
        while True:
            try:
                return call()
            except BlockingIOError:
                await wait()


class Hooks(trio.abc.HostnameResolver, trio.abc.SocketFactory):
    """Answer `trio.socket.socket` and `trio.socket.getaddrinfo` from a simulated network.

    Args:
        open: How to open a socket of a family there.
        ask: How to ask there for the records of a name.
    """

    def __init__(
        self,
        open: Callable[[socket.AddressFamily], SimulatedSocket],  # noqa: A002 - what it is called in `Network`
        ask: Callable[[str, Source], ZoneEntry],
    ) -> None:
        self._open = open
        self._ask = ask

    def socket(
        self,
        family: int = IPV4,
        type: int = socket.SOCK_STREAM,  # noqa: A002 - Trio's name
        proto: int = 0,
    ) -> SimulatedTrioSocket:
        """Open a TCP socket; there are no others."""
        if type != socket.SOCK_STREAM:
            raise OSError(errno.ESOCKTNOSUPPORT, strerror(errno.ESOCKTNOSUPPORT))
        return SimulatedTrioSocket(self._open(socket.AddressFamily(family)))

    async def getaddrinfo(self, host: bytes | None, port: Any, family: int = 0, *_kind: Any) -> Any:
        """Look both families up side by side, and answer when both have, as the system's resolver does."""
        families = [wanted for wanted in (IPV6, IPV4) if family in (0, wanted)]
        answers = [self._ask((host or b"localhost").decode("ascii"), Source.of(wanted)) for wanted in families]
        await trio.sleep(max((entry.after for entry in answers), default=0.0))
        return _entries(answers, int(port or 0))

    async def getnameinfo(self, sockaddr: Any, flags: int) -> tuple[str, str]:
        """Name an address by itself."""
        await trio.lowlevel.checkpoint()
        return str(sockaddr[0]), str(sockaddr[1])


def _entries(answers: Sequence[ZoneEntry], port: int) -> list[tuple[Any, ...]]:
    """Put the answers together; the last one's error counts if there are no addresses at all."""
    entries: list[tuple[Any, ...]] = []
    failure: OSError = no_addresses() if answers else socket.gaierror(socket.EAI_FAMILY, "ai_family not supported")
    for entry in answers:
        try:
            found = [literal(text, port=port) for text in entry.read().addresses]
        except OSError as error:
            failure = error
        else:
            entries += [(a.family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", a.sockaddr) for a in found]
    if not entries:
        raise failure
    return entries
