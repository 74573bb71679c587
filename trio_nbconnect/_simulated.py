"""Simulated sockets: what the kernel does on a connect, in virtual time.

The problem: a race over a simulated network is worth what its sockets are worth. So they behave, call by call, as the
kernel's do: `connect_ex` says EINPROGRESS and then EALREADY, `SO_ERROR` is cleared by reading it, a fresh socket is
writable. `tests/test_network_contract.py` holds both to the same contract.

What lives here: `Endpoint`, the socket as a connect sees it, and `SimulatedSocket`, the same as Trio's sockets look,
with bytes that arrive at the other side. What does not: which host does what; that is `testing`.
"""

from __future__ import annotations

import enum
import errno
import math
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Protocol

import trio
from trio.testing import memory_stream_pair

from ._address import IPV4, Address, from_sockaddr
from ._connect import Handshake
from ._network import Network


@dataclass(frozen=True, slots=True)
class Outcome:
    """What becomes of a connect: an errno, 0 for a connection, and how many seconds later.

    With `at_once` the system call itself says so, and no packet is sent.
    """

    errno: int = 0
    after: float = 0.0
    at_once: bool = False


class Fabric(Protocol):
    """What a socket needs of the network that it belongs to."""

    def connecting(self, target: Address) -> Outcome:
        """Say what will become of a connect that begins now."""

    def connected(self, target: Address, peer: SimulatedSocket) -> None:
        """Take the server's end of a connection."""

    def closed(self, endpoint: Endpoint) -> None:
        """Hear that a socket was closed."""


class _State(enum.Enum):
    FRESH = enum.auto()
    HANDSHAKING = enum.auto()
    CONNECTED = enum.auto()
    FAILED = enum.auto()
    CLOSED = enum.auto()


class Endpoint:
    """A non-blocking socket of a simulated network; its methods are the system calls."""

    type = socket.SOCK_STREAM

    def __init__(self, fabric: Fabric, family: socket.AddressFamily) -> None:
        self.family = family
        self.stream: trio.StapledStream[Any, Any] | None = None
        self._fabric = fabric
        self._state = _State.FRESH
        self._outcome = Outcome()
        self._ready_at = -math.inf
        self._error = 0
        self._told = False
        self._closing = trio.Event()
        self._local = Address(family, "0.0.0.0" if family == IPV4 else "::", 0)
        self._peer = self._local
        self._options: dict[tuple[int, int], int | bytes] = {}

    @classmethod
    def accepted(cls, fabric: Fabric, client: Endpoint, stream: trio.StapledStream[Any, Any]) -> Endpoint:
        """Make the server's end of a connection."""
        server = cls(fabric, client.family)
        server._state = _State.CONNECTED
        server._local, server._peer, server.stream = client._peer, client._local, stream
        return server

    @property
    def is_closed(self) -> bool:
        """Whether it was closed."""
        return self._state is _State.CLOSED

    def bind(self, address: Any, /) -> None:
        """Take a local address; that it is one of this host's is not checked."""
        self._check_open()
        self._local = from_sockaddr(self.family, address)

    def connect_ex(self, address: Any, /) -> int:
        """Begin to connect, or say how that stands."""
        state = self._settle()
        if state is _State.CLOSED:
            return errno.EBADF
        if state is _State.HANDSHAKING:
            return errno.EALREADY
        if state is _State.CONNECTED:
            self._told, told = True, self._told
            return errno.EISCONN if told else 0
        if state is _State.FAILED:
            self._state = _State.FRESH
            self._error, error = 0, self._error
            return error or errno.ECONNABORTED
        return self._connect(from_sockaddr(self.family, address))

    def getsockopt(self, level: int, option: int, /) -> int:
        """Read an option; reading `SO_ERROR` clears it."""
        self._check_open()
        self._settle()
        if (level, option) == (socket.SOL_SOCKET, socket.SO_ERROR):
            self._error, error = 0, self._error
            return error
        value = self._options.get((level, option), 0)
        return value if isinstance(value, int) else int.from_bytes(value[:4], "little")

    def setsockopt(self, level: int, option: int, value: int | bytes, /) -> None:
        """Remember an option; it changes nothing."""
        self._check_open()
        self._options[level, option] = value

    def getpeername(self) -> Any:
        """Return the other side's address; ENOTCONN while there is none."""
        self._check_open()
        if self._settle() is not _State.CONNECTED:
            raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))
        return self._peer.sockaddr

    def getsockname(self) -> Any:
        """Return this side's address."""
        self._check_open()
        return self._local.sockaddr

    def close(self) -> None:
        """Close, and wake whoever waits."""
        if self._state is not _State.CLOSED:
            self._state = _State.CLOSED
            self._closing.set()
            if self.stream is not None:
                self.stream.send_stream.close()
                self.stream.receive_stream.close()
            self._fabric.closed(self)

    async def wait_writable(self) -> None:
        """Wait until the connect is decided; a socket that never began one is writable."""
        self._check_open()
        with trio.move_on_at(max(self._ready_at, trio.current_time())):
            await self._closing.wait()
        if self._state is _State.CLOSED:
            raise trio.ClosedResourceError("another task closed this socket")

    def _connect(self, target: Address) -> int:
        outcome = self._fabric.connecting(target)
        if outcome.at_once:
            return outcome.errno
        self._state = _State.HANDSHAKING
        self._outcome, self._peer = outcome, target
        self._ready_at = trio.current_time() + outcome.after
        if not self._local.port:
            self._local = replace(self._local, host=_source(self._local), port=49152)
        return errno.EINPROGRESS

    def _settle(self) -> _State:
        """Let what is due have happened, and return the state."""
        if self._state is _State.HANDSHAKING and self._ready_at <= trio.current_time():
            self._error = self._outcome.errno
            self._state = _State.FAILED if self._error else _State.CONNECTED
            if self._state is _State.CONNECTED:
                self.stream, server = memory_stream_pair()
                self._fabric.connected(self._peer, SimulatedSocket(Endpoint.accepted(self._fabric, self, server)))
        return self._state

    def _check_open(self) -> None:
        if self._state is _State.CLOSED:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))


def _source(bound: Address) -> str:
    """The address that a packet is sent from: the bound one, or ours in a network kept for documentation."""
    if bound.host not in ("0.0.0.0", "::"):
        return bound.host
    return "192.0.2.254" if bound.family == IPV4 else "2001:db8::fffe"


class SimulatedSocket(trio.socket.SocketType):
    """A socket of a simulated network, as Trio's sockets look: what `trio.SocketStream` needs, and `connect`."""

    def __init__(self, endpoint: Endpoint, network: Network | None = None) -> None:
        self._endpoint = endpoint
        self._network = network
        self._eof_sent = False

    @property
    def did_shutdown_SHUT_WR(self) -> bool:  # noqa: N802 - Trio's name
        return self._eof_sent

    @property
    def family(self) -> socket.AddressFamily:
        return self._endpoint.family

    @property
    def type(self) -> socket.SocketKind:
        return self._endpoint.type

    @property
    def proto(self) -> int:
        return socket.IPPROTO_TCP

    async def bind(self, address: Any) -> None:
        await trio.lowlevel.checkpoint()
        self._endpoint.bind(address)

    async def connect(self, address: Any) -> None:
        """Connect as the library does on the kernel's sockets; cancelled, close."""
        try:
            await Handshake.begin(self._endpoint, address, network=self._network).wait()
        except trio.Cancelled:
            self.close()
            raise

    def getpeername(self) -> Any:
        return self._endpoint.getpeername()

    def getsockname(self) -> Any:
        return self._endpoint.getsockname()

    def getsockopt(self, level: int, optname: int, buflen: int | None = None) -> Any:
        return self._endpoint.getsockopt(level, optname)

    def setsockopt(self, level: int, optname: int, value: Any, optlen: int | None = None) -> None:
        self._endpoint.setsockopt(level, optname, value)

    def fileno(self) -> int:
        """Return -1 once closed; else a number that is no descriptor."""
        return -1 if self._endpoint.is_closed else _NO_DESCRIPTOR

    async def wait_writable(self) -> None:
        await self._endpoint.wait_writable()

    async def send(self, data: Any, flags: int = 0, /) -> int:
        """Hand the bytes to the other side."""
        with _as_system_calls_fail():
            await self._stream().send_all(data)
        return len(data)

    async def recv(self, buflen: int, flags: int = 0, /) -> bytes:
        """Take up to `buflen` bytes, none at the end."""
        with _as_system_calls_fail():
            return bytes(await self._stream().receive_some(buflen))

    def shutdown(self, flag: int) -> None:
        """Say that no more bytes will be sent."""
        self._stream().send_stream.close()
        self._eof_sent = True

    def close(self) -> None:
        """Close; the other side reads an end of file."""
        self._endpoint.close()

    def _stream(self) -> trio.StapledStream[Any, Any]:
        self._endpoint.getpeername()
        assert self._endpoint.stream is not None
        return self._endpoint.stream


_NO_DESCRIPTOR = 1 << 30


@contextmanager
def _as_system_calls_fail() -> Iterator[None]:
    """Turn a memory stream's errors into the errno that a kernel's socket has for them."""
    try:
        yield
    except trio.BrokenResourceError:
        raise OSError(errno.EPIPE, os.strerror(errno.EPIPE)) from None
    except trio.ClosedResourceError:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF)) from None
