"""Simulated sockets: what the kernel does on a connect, in virtual time.

The problem: a race over a simulated network is worth what its sockets are worth. So they behave, call by call, as the
kernel's do: `connect_ex` says EINPROGRESS and then EALREADY, `SO_ERROR` is cleared by reading it, and a fresh socket is
writable. `tests/test_network_contract.py` holds both to the same contract, which was measured on Linux 6.18.

How we solve it: nothing runs in the background. A connect notes what will become of it and when; whoever looks, or has
waited, finds that what is due by then has happened.

What lives here: `Endpoint`, the socket as system calls see it, and how two of them become connected. What does not: the
bytes between them, which are `_simulated_bytes`; how Trio's sockets look, which is `_simulated_hooks`; and what becomes
of a connect, which is `_simulated_host`'s to say. What we left out: datagrams, and listening: a host accepts instead.
"""

from __future__ import annotations

import errno
import math
import socket
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import trio

from .._address import IPV4, IPV6, Address, from_sockaddr
from .byte_stream import ByteStream, State, os_error


def source_address(address: Address) -> Address:
    """Where this host sends from to an address: from the address itself on loopback, from its link on a link."""
    if address.is_loopback:
        return address
    if address.host.startswith("fe80:"):
        return replace(address, host="fe80::fffe", port=0)
    return Address(address.family, _SOURCES[address.family], 0)


_SOURCES = {IPV4: "192.0.2.254", IPV6: "2001:db8::fffe"}
"""This host's addresses, in the networks that RFC 5737 and RFC 3849 keep for documentation."""

_ERROR = (socket.SOL_SOCKET, socket.SO_ERROR)
_LINGER = (socket.SOL_SOCKET, socket.SO_LINGER)
_NO_PORT = (socket.IPPROTO_IP, getattr(trio.socket, "IP_BIND_ADDRESS_NO_PORT", 24))
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


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

    def free_port(self) -> int:
        """Find a local port."""

    def connecting(self, target: Address) -> Outcome:
        """Say what will become of a connect that begins now."""

    def connected(self, target: Address, far: Endpoint) -> None:
        """Take the server's end of a connection."""

    def closed(self, endpoint: Endpoint) -> None:
        """Hear that a socket was closed."""


class Endpoint:
    """A non-blocking TCP socket of a simulated network; its methods are the system calls.

    Nothing runs in the background: whoever looks finds that what is due by then has happened.
    """

    type = socket.SOCK_STREAM

    def __init__(self, fabric: Fabric, family: socket.AddressFamily) -> None:
        self.family = family
        self._fabric = fabric
        self._stream = ByteStream()
        self._outcome = Outcome()
        self._ready_at = math.inf
        self._told = False
        self._local = self._remote = Address(family, "0.0.0.0" if family == IPV4 else "::", 0)
        self._options: dict[tuple[int, int], bytes] = {}
        self._waiting: set[Callable[[], bool]] = set()

    @property
    def is_closed(self) -> bool:
        """Whether it was closed."""
        return self._stream.state is State.CLOSED

    def bind(self, address: Any, /) -> None:
        """Take a local address; whether it is one of this host's, and free, is not checked."""
        self._stream.check_open()
        if self._local.port:
            raise os_error(errno.EINVAL)
        local = from_sockaddr(self.family, address)
        reserves = not local.port and not any(self._options.get(_NO_PORT, b""))
        self._local = replace(local, port=self._fabric.free_port()) if reserves else local

    def connect_ex(self, address: Any, /) -> int:
        """Begin to connect, or say how that stands."""
        stream = self._settle()
        if stream.state is State.CLOSED:
            return errno.EBADF
        if stream.state is State.HANDSHAKING:
            return errno.EALREADY
        if self._told:
            return errno.EISCONN
        if stream.state is State.CONNECTED:
            self._told = True
            return 0
        if stream.state is State.FAILED:
            stream.state = State.FRESH
            return stream.take_error() or errno.ECONNABORTED
        return self._connect(from_sockaddr(self.family, address))

    def getsockopt(self, level: int, option: int, /) -> int:
        """Read an option, 0 if it was never set; reading `SO_ERROR` clears it."""
        return int.from_bytes(self.read_option(level, option)[:4], sys.byteorder, signed=True)

    def read_option(self, level: int, option: int) -> bytes:
        """Read an option as the bytes that the kernel would copy."""
        stream = self._settle()
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
        self._settle().check_connected()
        return self._remote.sockaddr

    def getsockname(self) -> Any:
        """Return this side's address."""
        self._stream.check_open()
        return self._local.sockaddr

    def send(self, data: Any, /) -> int:
        """Hand over as many bytes as there is room for."""
        return self._settle().send(data)

    def recv(self, most: int, /) -> bytes:
        """Take what has come, at most so many bytes; none at the end."""
        return self._settle().recv(most)

    def shutdown(self, flag: int, /) -> None:
        """Send an end of file; `SHUT_RD` changes nothing."""
        self._settle().shutdown(flag)

    def close(self) -> None:
        """Close, and wake whoever waits."""
        stream = self._settle()  # a handshake that is over has reached the server, whoever looked
        if stream.state is State.CLOSED:
            return
        stream.close(reset=self._options.get(_LINGER) == _RESET_ON_CLOSE)
        self._fabric.closed(self)

    def is_writable(self) -> bool:
        """Whether `send` has room, or an error to report; a socket that never began to connect is writable."""
        return self._settle().is_writable()

    def is_readable(self) -> bool:
        """Whether `recv` has bytes, an end of file or an error."""
        return self._settle().is_readable()

    async def wait_writable(self) -> None:
        """Wait until it is writable, so until a connect is decided. Cancel it and call it again as you like."""
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
                    await self._stream.news.wait()
        finally:
            self._waiting.discard(ready)
        if self.is_closed:
            raise trio.ClosedResourceError("another task closed this socket")

    def _connect(self, target: Address) -> int:
        outcome = self._fabric.connecting(target)
        if outcome.at_once:
            return outcome.errno
        self._stream.state = State.HANDSHAKING
        self._outcome, self._remote = outcome, target
        self._ready_at = trio.current_time() + outcome.after
        if not self._local.port:
            host = _SOURCES[self.family] if self._local.host in ("0.0.0.0", "::") else self._local.host
            self._local = replace(self._local, host=host, port=self._fabric.free_port())
        return errno.EINPROGRESS

    def _settle(self) -> ByteStream:
        """Let what is due have happened, and return what carries the bytes, now in its true state."""
        if self._stream.state is State.HANDSHAKING and self._ready_at <= trio.current_time():
            self._ready_at = math.inf
            if self._outcome.errno:
                self._stream.fail(self._outcome.errno)
            else:
                self._meet(Endpoint(self._fabric, self.family))
        return self._stream

    def _meet(self, far: Endpoint) -> None:
        """Become connected to the server's end, which knows us from the start."""
        far._local, far._remote = self._remote, self._local
        self._stream.meet(far._stream)
        self._fabric.connected(self._remote, far)
