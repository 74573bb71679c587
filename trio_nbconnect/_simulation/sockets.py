"""Simulated sockets: what the kernel does on a connect, call by call, in virtual time.

A race over a simulated network is worth what its sockets are worth. So `connect_ex` says EINPROGRESS and then
EALREADY, reading `SO_ERROR` clears it, and a fresh socket is writable; bytes that have arrived can still be read after
a reset, an end of file ends one direction only, and what is sent to a closed peer is answered with a reset. The
kernel's sockets and these pass one contract test, whose values were measured on Linux 6.18.

Nothing runs in the background. A connect stores its outcome and the time when it is due; every call first lets happen
what is due. Only a connect takes time, bytes arrive at once. Left out: datagrams, urgent data, and listening sockets: a
simulated host accepts instead.
"""

from __future__ import annotations

import enum
import errno
import math
import socket
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import trio

from .._address import IPV4, IPV6, Address, from_sockaddr
from .._error_texts import strerror

CAPACITY = 65536
"""How many unread bytes one direction of a connection holds; then the sender has to wait."""

_SOURCES = {IPV4: "192.0.2.254", IPV6: "2001:db8::fffe"}
"""This host's addresses, in the networks that RFC 5737 and RFC 3849 keep for documentation."""

_ERROR = (socket.SOL_SOCKET, socket.SO_ERROR)
_LINGER = (socket.SOL_SOCKET, socket.SO_LINGER)
_NO_PORT = (socket.IPPROTO_IP, getattr(trio.socket, "IP_BIND_ADDRESS_NO_PORT", 24))
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class ConnectOutcome:
    """How a connect ends: with an errno, or 0 for a connection, `after` so many seconds.

    With `at_once` the system call itself says so, and no packet is sent.
    """

    errno: int = 0
    after: float = 0.0
    at_once: bool = False


class SocketOwner(Protocol):
    """What a socket asks of the network that has opened it."""

    def free_port(self) -> int:
        """Return an unused local port."""

    def begin_connect(self, target: Address) -> ConnectOutcome:
        """Return the outcome of a connect that begins now."""

    def queue_connection(self, target: Address, server_end: SimulatedSocket) -> None:
        """Keep the server's end of a new connection until it is accepted."""

    def forget_socket(self, sock: SimulatedSocket) -> None:
        """Count a socket as closed."""


def source_address(address: Address) -> Address:
    """Return the address this host sends from: on loopback the address itself, to a link-local one that of the link."""
    if address.is_loopback:
        return address
    if address.host.startswith("fe80:"):
        return replace(address, host="fe80::fffe", port=0)
    return Address(address.family, _SOURCES[address.family], 0)


def os_error(number: int) -> OSError:
    """Return what Python raises for an errno."""
    return OSError(number, strerror(number))


class SimulatedSocket:
    """A non-blocking TCP socket of a simulated network; its methods are the system calls."""

    type = socket.SOCK_STREAM

    def __init__(self, owner: SocketOwner, family: socket.AddressFamily) -> None:
        self.family = family
        self._owner = owner
        self._stream = ByteStream()
        self._outcome = ConnectOutcome()
        self._began = 0.0
        self._ready_at = math.inf
        self._success_reported = False
        self._local = self._remote = Address(family, "0.0.0.0" if family == IPV4 else "::", 0)
        self._options: dict[tuple[int, int], bytes] = {}
        self._waiting: set[Callable[[], bool]] = set()

    @property
    def is_closed(self) -> bool:
        """Whether it was closed."""
        return self._stream.state is SocketState.CLOSED

    @property
    def syn_retransmissions(self) -> int:
        """How often the SYN was sent again: after 1, 3, 7, ... seconds (RFC 6298, sections 2.1 and 5.5)."""
        return int(math.log2(1 + min(trio.current_time() - self._began, self._outcome.after)))

    def bind(self, address: Any, /) -> None:
        """Take a local address; whether it is one of this host's, and free, is not checked."""
        self._stream.check_open()
        if self._local.port:
            raise os_error(errno.EINVAL)
        local = from_sockaddr(self.family, address)
        reserves = not local.port and not any(self._options.get(_NO_PORT, b""))
        self._local = replace(local, port=self._owner.free_port()) if reserves else local

    def connect_ex(self, address: Any, /) -> int:
        """Begin to connect, or say how that stands."""
        stream = self._up_to_date()
        if stream.state is SocketState.CLOSED:
            return errno.EBADF
        if stream.state is SocketState.HANDSHAKING:
            return errno.EALREADY
        if self._success_reported:
            return errno.EISCONN
        if stream.state is SocketState.CONNECTED:
            self._success_reported = True
            return 0
        if stream.state is SocketState.FAILED:
            stream.state = SocketState.FRESH
            return stream.take_error() or errno.ECONNABORTED
        return self._connect(from_sockaddr(self.family, address))

    def getsockopt(self, level: int, option: int, /) -> int:
        """Read an option, 0 if it was never set; reading `SO_ERROR` clears it."""
        return int.from_bytes(self.read_option(level, option)[:4], sys.byteorder, signed=True)

    def read_option(self, level: int, option: int) -> bytes:
        """Read an option as the bytes that the kernel would copy."""
        stream = self._up_to_date()
        stream.check_open()
        if (level, option) == _ERROR:
            return struct.pack("i", stream.take_error())
        return self._options.get((level, option), bytes(4))

    def setsockopt(self, level: int, option: int, value: int | bytes, /) -> None:
        """Remember an option. Two have an effect: `SO_LINGER` of (1, 0), and `IP_BIND_ADDRESS_NO_PORT`."""
        self._stream.check_open()
        self._options[level, option] = struct.pack("i", value) if isinstance(value, int) else bytes(value)

    def getpeername(self) -> Any:
        """Return the other side's address; ENOTCONN while there is none."""
        self._up_to_date().check_connected()
        return self._remote.sockaddr

    def getsockname(self) -> Any:
        """Return this side's address."""
        self._stream.check_open()
        return self._local.sockaddr

    def send(self, data: Any, /) -> int:
        """Hand over as many bytes as there is room for."""
        return self._up_to_date().send(data)

    def recv(self, most: int, /) -> bytes:
        """Take what has come, at most so many bytes; none at the end."""
        return self._up_to_date().recv(most)

    def shutdown(self, flag: int, /) -> None:
        """Send an end of file; `SHUT_RD` changes nothing."""
        self._up_to_date().shutdown(flag)

    def close(self) -> None:
        """Close, and wake whoever waits."""
        stream = self._up_to_date()  # a handshake that is over has reached the server, whether or not anybody looked
        if stream.state is SocketState.CLOSED:
            return
        stream.close(reset=self._options.get(_LINGER) == _RESET_ON_CLOSE)
        self._owner.forget_socket(self)

    def is_writable(self) -> bool:
        """Whether `send` has room, or an error to report; a socket that never began to connect is writable."""
        return self._up_to_date().is_writable()

    def is_readable(self) -> bool:
        """Whether `recv` has bytes, an end of file or an error."""
        return self._up_to_date().is_readable()

    async def wait_writable(self) -> None:
        """Wait until it is writable, so until a connect is decided; may be cancelled and called again."""
        await self._wait_until(self.is_writable)

    async def wait_readable(self) -> None:
        """Wait until it is readable."""
        await self._wait_until(self.is_readable)

    async def _wait_until(self, ready: Callable[[], bool]) -> None:
        if self.is_closed:
            raise trio.ClosedResourceError("this socket is closed")
        if ready in self._waiting:
            raise trio.BusyResourceError("another task is already waiting for this socket")
        self._waiting.add(ready)
        try:
            if ready():
                await trio.lowlevel.checkpoint()
            while not ready():
                with trio.move_on_at(self._ready_at):
                    await self._stream.changed.wait()
        finally:
            self._waiting.discard(ready)
        if self.is_closed:
            raise trio.ClosedResourceError("another task closed this socket")

    def _connect(self, target: Address) -> int:
        outcome = self._owner.begin_connect(target)
        if outcome.at_once:
            return outcome.errno
        self._stream.state = SocketState.HANDSHAKING
        self._outcome, self._remote = outcome, target
        self._began = trio.current_time()
        self._ready_at = self._began + outcome.after
        if not self._local.port:
            host = _SOURCES[self.family] if self._local.host in ("0.0.0.0", "::") else self._local.host
            self._local = replace(self._local, host=host, port=self._owner.free_port())
        return errno.EINPROGRESS

    def _up_to_date(self) -> ByteStream:
        """Let happen what is due, and return the byte stream in its present state."""
        if self._stream.state is SocketState.HANDSHAKING and self._ready_at <= trio.current_time():
            self._ready_at = math.inf
            if self._outcome.errno:
                self._stream.fail(self._outcome.errno)
            else:
                self._establish(SimulatedSocket(self._owner, self.family))
        return self._stream

    def _establish(self, server_end: SimulatedSocket) -> None:
        """Become connected to the server's end, which knows us from the start."""
        server_end._local, server_end._remote = self._remote, self._local
        self._stream.connect_to(server_end._stream)
        self._owner.queue_connection(self._remote, server_end)


class SocketState(enum.Enum):
    """How far a socket has come."""

    FRESH = enum.auto()
    HANDSHAKING = enum.auto()
    CONNECTED = enum.auto()
    FAILED = enum.auto()  # also a connection that was reset, or has ended in both directions
    CLOSED = enum.auto()


@dataclass(slots=True, eq=False, repr=False)
class ByteStream:
    """One side of a connection: the bytes that came in and were not read, and the error that nobody has read yet.

    Both sides are changed at once, by whichever of them acts; nothing is on the way.
    """

    state: SocketState = SocketState.FRESH
    changed: trio.Event = field(default_factory=trio.Event)
    """Set, and replaced, when something has changed."""
    _peer: ByteStream | None = None  # while connected, and only then
    _error: int = 0
    _inbox: bytearray = field(default_factory=bytearray)
    _eof_sent: bool = False
    _eof_received: bool = False

    def connect_to(self, peer: ByteStream) -> None:
        """Become connected to the other side."""
        peer.state = self.state = SocketState.CONNECTED
        peer._peer, self._peer = self, peer

    def send(self, data: Any) -> int:
        """Hand over as many bytes as there is room for. A peer that has closed answers them with a reset."""
        self.check_open()
        if self.state is SocketState.HANDSHAKING:
            raise os_error(errno.EAGAIN)
        if self._error or self._peer is None or self._eof_sent:
            raise os_error(self.take_error() or errno.EPIPE)
        if self._peer.state is SocketState.CLOSED:
            self.fail(errno.EPIPE)
            return len(data)
        taken = data[: CAPACITY - len(self._peer._inbox)]
        if data and not taken:
            raise os_error(errno.EAGAIN)
        self._peer._inbox += taken
        self._peer._notify()
        return len(taken)

    def recv(self, most: int) -> bytes:
        """Take what has come, at most so many bytes; none at the end."""
        self.check_open()
        if self._inbox:
            taken = bytes(self._inbox[:most])
            del self._inbox[:most]
            if self._peer is not None:
                self._peer._notify()
            return taken
        if self._eof_received:
            return b""
        if self._error:
            raise os_error(self.take_error())
        if self.state is SocketState.FAILED:
            return b""
        raise os_error(errno.ENOTCONN if self.state is SocketState.FRESH else errno.EAGAIN)

    def shutdown(self, flag: int) -> None:
        """Send an end of file; `SHUT_RD` changes nothing."""
        self.check_connected()
        if flag != socket.SHUT_RD and self._peer is not None:
            self._eof_sent = True
            self._peer._receive_eof()
            self._end_if_both_have()

    def close(self, *, reset: bool) -> None:
        """Close, and wake whoever waits. Bytes that nobody has read turn the end of file into a reset, too."""
        peer, self._peer = self._peer, None
        self.state = SocketState.CLOSED
        if peer is not None and (self._inbox or reset):
            peer.fail(errno.ECONNRESET)
        elif peer is not None:
            peer._receive_eof()
        self._notify()

    def fail(self, number: int) -> None:
        """Be no connection, or one no longer; the errno says why, and 0 that nothing went wrong."""
        self.state, self._error, self._peer = SocketState.FAILED, number, None
        self._notify()

    def take_error(self) -> int:
        """Return the errno that nobody has read yet, and forget it."""
        self._error, error = 0, self._error
        return error

    def is_writable(self) -> bool:
        """Whether `send` has room, or an error to report; a socket that never began to connect is writable."""
        if self.state is SocketState.HANDSHAKING:
            return False
        return self._peer is None or self._peer.state is SocketState.CLOSED or len(self._peer._inbox) < CAPACITY

    def is_readable(self) -> bool:
        """Whether `recv` has bytes, an end of file or an error."""
        idle = self.state in (SocketState.HANDSHAKING, SocketState.CONNECTED)
        return not idle or bool(self._inbox) or self._eof_received

    def check_open(self) -> None:
        """Raise EBADF once closed."""
        if self.state is SocketState.CLOSED:
            raise os_error(errno.EBADF)

    def check_connected(self) -> None:
        """Raise ENOTCONN while there is no connection."""
        self.check_open()
        if self.state is not SocketState.CONNECTED:
            raise os_error(errno.ENOTCONN)

    def _receive_eof(self) -> None:
        self._eof_received = True
        self._end_if_both_have()
        self._notify()

    def _end_if_both_have(self) -> None:
        if self._eof_sent and self._eof_received:
            self.fail(0)

    def _notify(self) -> None:
        self.changed.set()
        self.changed = trio.Event()
