"""anyio: connectables for code that is written against anyio's interface (extra `anyio`).

The problem: a library that takes an `anyio.abc.ByteStreamConnectable` says nothing about how to connect, and anyio's
own connectables cannot be told either: no limit, no local address, no trace, and TLS after the race.

How we solve it: three connectables, one each for TCP, TLS and UNIX, that connect through a `Connector` and return
streams of anyio's interface. The TLS handshake is part of the race: an address whose TLS is broken loses. Like
anyio's own, they raise `anyio.ConnectionFailed`; its `__cause__` is our error.

What lives here: the connectables, and Trio's stream in anyio's shape. What does not: asyncio. A connectable of ours
connects where Trio runs, and says so elsewhere. TLS over a stream that is not TCP is anyio's own `TLSConnectable`
around one of ours.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from ipaddress import IPv4Address, IPv6Address
from os import PathLike, fspath
from typing import Any, cast

import trio

from . import _tls
from ._address import check_host, check_port, format_host_port
from ._connector import Connector

try:
    import anyio
    from anyio.abc import ByteStreamConnectable, UNIXSocketStream
    from anyio.abc import SocketStream as AnySocketStream
    from anyio.streams.tls import TLSStream
except ModuleNotFoundError as missing:
    if missing.name != "anyio":
        raise
    raise ImportError("trio_nbconnect.anyio needs anyio: python -m pip install 'trio-nbconnect[anyio]'") from None

__all__ = ["SocketStream", "TCPConnectable", "TLSConnectable", "UNIXConnectable"]


@dataclass(frozen=True)
class TCPConnectable(ByteStreamConnectable):
    """Connect to a TCP server at a host and port.

    Args:
        host: A host name or an address.
        port: The port.
        connector: Who connects.

    Raises:
        TypeError: `port` is no int.
        ValueError: `host` or `port` make no sense.

    Example:
        >>> TCPConnectable("example.org", 80).port
        80
    """

    host: str | IPv4Address | IPv6Address
    port: int
    connector: Connector = field(default_factory=Connector, kw_only=True)

    def __post_init__(self) -> None:
        check_host(str(self.host))
        check_port(self.port)

    async def connect(self) -> SocketStream:
        """Connect on whichever address answers first.

        Raises:
            anyio.ConnectionFailed: No address could be connected to; `__cause__` is our `ConnectError`.
            RuntimeError: This is not Trio.
        """
        with _as_anyio(format_host_port(str(self.host), self.port)):
            return SocketStream(await self.connector.open_tcp_stream(str(self.host), self.port))


@dataclass(frozen=True)
class TLSConnectable(ByteStreamConnectable):
    """Connect to a TCP server and shake hands with TLS, on the first address where both work.

    Args:
        host: A host name or an address.
        port: The port.
        hostname: The name that the certificate must be valid for; None is `host`.
        ssl_context: The TLS context; None is the default one, built once in a `trio.run`.
        standard_compatible: Whether to shake hands at the end, too; HTTP does not.
        connector: Who connects.

    Raises:
        TypeError: `port` is no int.
        ValueError: `host`, `port` or `hostname` make no sense.

    Example:
        >>> TLSConnectable("192.0.2.1", 443, hostname="example.org").hostname
        'example.org'
    """

    host: str | IPv4Address | IPv6Address
    port: int
    hostname: str | None = field(default=None, kw_only=True)
    ssl_context: ssl.SSLContext | None = field(default=None, kw_only=True)
    standard_compatible: bool = field(default=True, kw_only=True)
    connector: Connector = field(default_factory=Connector, kw_only=True)

    def __post_init__(self) -> None:
        check_host(str(self.host))
        check_port(self.port)
        _tls.certificate_name(self._name)

    async def connect(self) -> TLSStream:
        """Race for a connection whose handshake is done.

        Raises:
            anyio.ConnectionFailed: No address could be connected to, or none with a good certificate; `__cause__` is
                our `ConnectError`.
            RuntimeError: This is not Trio.
        """
        with _as_anyio(format_host_port(str(self.host), self.port)):
            context = await _tls.shared_context() if self.ssl_context is None else self.ssl_context
            return await self.connector.connect(str(self.host), self.port, partial(self._shake_hands, context))

    @property
    def _name(self) -> str:
        return str(self.host) if self.hostname is None else self.hostname

    async def _shake_hands(self, context: ssl.SSLContext, stream: trio.SocketStream) -> TLSStream:
        """Say in Trio's words what breaks a handshake; `ssl.SSLError` is an `OSError` already."""
        try:
            return await TLSStream.wrap(
                SocketStream(stream),
                hostname=_tls.certificate_name(self._name),
                ssl_context=context,
                standard_compatible=self.standard_compatible,
            )
        except (anyio.BrokenResourceError, anyio.EndOfStream) as error:
            raise trio.BrokenResourceError("the handshake was cut off") from error.__cause__ or error


@dataclass(frozen=True)
class UNIXConnectable(ByteStreamConnectable):
    """Connect to a UNIX socket; while the server's backlog is full, wait for room.

    Args:
        path: Its path; a leading NUL means the abstract namespace.
        connector: Who connects.

    Example:
        >>> UNIXConnectable("/run/example.sock").path
        '/run/example.sock'
    """

    path: str | bytes | PathLike[str] | PathLike[bytes]
    connector: Connector = field(default_factory=Connector, kw_only=True)

    async def connect(self) -> UNIXSocketStream:
        """Connect; the stream is anyio's own, which can pass descriptors.

        Raises:
            anyio.ConnectionFailed: There is no socket, nobody listens, or it may not be used.
            RuntimeError: This is not Trio.
        """
        with _as_anyio(repr(fspath(self.path))):
            stream = await self.connector.open_unix_socket(self.path)
            return await UNIXSocketStream.from_socket(stream.socket.detach())


class SocketStream(AnySocketStream):
    """A TCP stream of Trio's in anyio's shape.

    anyio's own would have to own the descriptor, and a race must be able to close what it has lent to a handshake.
    It needs no descriptor either: a simulated network has none.

    Args:
        stream: The stream; it is owned from then on.
    """

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream

    @property
    def _raw_socket(self) -> socket.socket:
        """What anyio's attributes (`SocketAttribute`) are read from; Trio keeps the socket below its own."""
        sock: Any = self._stream.socket
        return cast(socket.socket, getattr(sock, "_sock", sock))

    async def receive(self, max_bytes: int = 65536) -> bytes:
        with _stream_errors():
            data = bytes(await self._stream.receive_some(max_bytes))
        if not data:
            raise anyio.EndOfStream
        return data

    async def send(self, item: bytes) -> None:
        with _stream_errors():
            await self._stream.send_all(item)

    async def send_eof(self) -> None:
        with _stream_errors():
            await self._stream.send_eof()

    async def aclose(self) -> None:
        await self._stream.aclose()


@contextmanager
def _stream_errors() -> Iterator[None]:
    """Turn Trio's errors into anyio's of the same names."""
    try:
        yield
    except trio.ClosedResourceError as error:
        raise anyio.ClosedResourceError from error
    except trio.BrokenResourceError as error:
        raise anyio.BrokenResourceError from error.__cause__
    except trio.BusyResourceError as error:
        raise anyio.BusyResourceError("using") from error


@contextmanager
def _as_anyio(target: str) -> Iterator[None]:
    """Fail as anyio's connectables fail, and only where Trio runs."""
    if not trio.lowlevel.in_trio_run():
        raise RuntimeError("trio_nbconnect.anyio connects under Trio: anyio.run(..., backend='trio')")
    try:
        yield
    except OSError as error:
        raise anyio.ConnectionFailed(f"error connecting to {target}: {error}") from error
