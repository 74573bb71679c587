"""Simulated hooks: a simulated network as Trio's own hooks see it.

The problem: most code that opens connections has never heard of a connector. Trio has two hooks for it, a hostname
resolver and a socket factory, and what they hand out must look like Trio's.

What lives here: `SimulatedSocket`, which makes the system calls of an `Endpoint` as Trio makes them (at once, and
again when waiting has made it worth while), and `Hooks`, which answers what Trio asks. What does not: the system calls
themselves, which are in `_simulated`. What we left out: the methods of a Trio socket for datagrams and for servers.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import trio

from .._address import IPV4, IPV6
from .._resolve.query import Source
from .names import Told, literal
from .sockets import Endpoint

T = TypeVar("T")

_NO_DESCRIPTOR = 1 << 30
"""What `fileno` says of an open socket: not -1, which would be closed, and nothing that could be another's."""


class SimulatedSocket(trio.socket.SocketType):
    """A socket of a simulated network, as Trio's sockets look: what `trio.SocketStream` needs, and `connect`."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._eof_sent = False

    def __repr__(self) -> str:
        state = "closed" if self._endpoint.is_closed else f"{self.getsockname()}"
        return f"<SimulatedSocket {state}>"

    def __enter__(self) -> SimulatedSocket:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

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

    def fileno(self) -> int:
        """Return -1 once closed; else a number that is no descriptor."""
        return -1 if self._endpoint.is_closed else _NO_DESCRIPTOR

    def getpeername(self) -> Any:
        return self._endpoint.getpeername()

    def getsockname(self) -> Any:
        return self._endpoint.getsockname()

    def getsockopt(self, level: int, optname: int, buflen: int | None = None) -> Any:
        if buflen is None:
            return self._endpoint.getsockopt(level, optname)
        return self._endpoint.read_option(level, optname)[:buflen]

    def setsockopt(self, level: int, optname: int, value: Any, optlen: int | None = None) -> None:
        self._endpoint.setsockopt(level, optname, value)

    async def bind(self, address: Any) -> None:
        await trio.lowlevel.checkpoint()
        self._endpoint.bind(address)

    async def connect(self, address: Any) -> None:
        """Connect; cancelled, close. As Trio's sockets do, it stays open when the connect fails."""
        try:
            await trio.lowlevel.checkpoint()
            number = self._endpoint.connect_ex(address)
            if number in (errno.EINPROGRESS, errno.EALREADY):
                await self._endpoint.wait_writable()
                number = self._endpoint.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        except trio.Cancelled:
            self.close()
            raise
        if number:
            raise OSError(number, f"Error connecting to {address!r}: {os.strerror(number)}")

    async def send(self, data: Any, flags: int = 0, /) -> int:
        return await self._call(lambda: self._endpoint.send(data), self._endpoint.wait_writable)

    async def recv(self, buflen: int, flags: int = 0, /) -> bytes:
        return await self._call(lambda: self._endpoint.recv(buflen), self._endpoint.wait_readable)

    async def wait_writable(self) -> None:
        await self._endpoint.wait_writable()

    def is_readable(self) -> bool:
        return self._endpoint.is_readable()

    def shutdown(self, flag: int) -> None:
        self._endpoint.shutdown(flag)
        self._eof_sent = self._eof_sent or flag != socket.SHUT_RD

    def close(self) -> None:
        self._endpoint.close()

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
        open: Callable[[socket.AddressFamily], Endpoint],  # noqa: A002 - what it is called in `Network`
        ask: Callable[[str, Source], Told],
    ) -> None:
        self._open = open
        self._ask = ask

    def socket(
        self,
        family: int = IPV4,
        type: int = socket.SOCK_STREAM,  # noqa: A002 - Trio's name
        proto: int = 0,
    ) -> SimulatedSocket:
        """Open a TCP socket; there are no others."""
        if type != socket.SOCK_STREAM:
            raise OSError(errno.ESOCKTNOSUPPORT, os.strerror(errno.ESOCKTNOSUPPORT))
        return SimulatedSocket(self._open(socket.AddressFamily(family)))

    async def getaddrinfo(self, host: bytes | None, port: Any, family: int = 0, *_kind: Any) -> Any:
        """Look both families up side by side, and answer when both have, as the system's resolver does."""
        families = [wanted for wanted in (IPV6, IPV4) if family in (0, wanted)]
        asked = [self._ask((host or b"localhost").decode("ascii"), Source.of(wanted)) for wanted in families]
        await trio.sleep(max((told.after for told in asked), default=0.0))
        return _entries(asked, int(port or 0))

    async def getnameinfo(self, sockaddr: Any, flags: int) -> tuple[str, str]:
        """Name an address by itself."""
        await trio.lowlevel.checkpoint()
        return str(sockaddr[0]), str(sockaddr[1])


def _entries(asked: Sequence[Told], port: int) -> list[tuple[Any, ...]]:
    """Put the answers together; the last one's error counts if there are no addresses at all."""
    entries: list[tuple[Any, ...]] = []
    failure: OSError = socket.gaierror(socket.EAI_FAMILY, "ai_family not supported")
    for told in asked:
        try:
            found = [literal(text, port=port) for text in told.read().addresses]
        except OSError as error:
            failure = error
        else:
            entries += [(a.family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", a.sockaddr) for a in found]
    if not entries:
        raise failure
    return entries
