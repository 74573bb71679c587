"""For anyio: connect through us what is written against anyio's interface (extra `anyio`).

A library that takes an `anyio.abc.ByteStreamConnectable` leaves to its user how to connect, but anyio's own
connectables have no limit, no local address, no trace, and TLS after the race. The three here, for TCP, TLS and UNIX,
connect through a `Connector`; the TLS handshake is part of the race. Like anyio's own, they raise
`anyio.ConnectionFailed`, and its `__cause__` is our error. Most libraries take no connectable and call
`anyio.connect_tcp`; `patched_anyio` puts ours in its place for a block.

The stream is one of Trio's in anyio's shape. anyio's own would have to own the descriptor, and a race must be able to
close what it has lent to a handshake; a simulated network has none at all.

Left out: asyncio; a connectable of ours connects where Trio runs, and says so elsewhere. TLS over a stream that is not
TCP is anyio's own `TLSConnectable` around one of ours.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from ipaddress import IPv4Address, IPv6Address
from os import PathLike, fspath
from typing import Any, cast

import trio

from .._address import check_host, check_port, format_host_port, path_of
from .._connect import tls as _tls
from .._connector import Connector, StreamOpener
from .for_trio import check_opener, own_connector
from .patching import patched

try:
    import anyio
    from anyio.abc import ByteStream, ByteStreamConnectable, UNIXSocketStream
    from anyio.abc import SocketStream as AnyioSocketStream
    from anyio.streams.tls import TLSStream
except ModuleNotFoundError as missing:
    if missing.name != "anyio":
        raise
    raise ImportError("trio_nbconnect.anyio needs anyio: python -m pip install 'trio-nbconnect[anyio]'") from None

Host = str | IPv4Address | IPv6Address


class SocketStream(AnyioSocketStream):
    """A TCP stream of Trio's in anyio's shape.

    Args:
        stream: The stream, or TLS over one where a proxy speaks it; it is owned from then on.
    """

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream

    @property
    def _raw_socket(self) -> socket.socket:
        """What anyio's attributes (`SocketAttribute`) are read from; Trio keeps the socket below its own."""
        stream: Any = self._stream
        while isinstance(stream, trio.SSLStream):
            stream = stream.transport_stream
        return cast(socket.socket, getattr(stream.socket, "_sock", stream.socket))

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
        if not isinstance(self._stream, trio.abc.HalfCloseableStream):
            raise NotImplementedError("TLS cannot end one direction alone")
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


@dataclass(frozen=True)
class TCPConnectable(ByteStreamConnectable):
    """Connect to a TCP server at a host and port.

    Args:
        host: A host name or an address.
        port: The port.
        connector: Who connects, a `Connector` or a proxy.

    Raises:
        TypeError: `port` is no int, or `connector` neither.
        ValueError: `host` or `port` make no sense.

    Example:
        >>> TCPConnectable("example.org", 80).port
        80
    """

    host: str | IPv4Address | IPv6Address
    port: int
    connector: StreamOpener = field(default_factory=Connector, kw_only=True)

    def __post_init__(self) -> None:
        check_host(_text(self.host))
        check_port(self.port)
        check_opener(self.connector)

    async def connect(self) -> SocketStream:
        """Connect on whichever address answers first.

        Raises:
            anyio.ConnectionFailed: No address could be connected to; `__cause__` is our `ConnectError`.
            RuntimeError: This is not Trio.
        """
        with _as_anyio(format_host_port(_text(self.host), self.port)):
            return SocketStream(await self.connector.open_tcp_stream(_text(self.host), self.port))


@dataclass(frozen=True)
class TLSConnectable(ByteStreamConnectable):
    """Connect to a TCP server and shake hands with TLS, on the first address where both work.

    Args:
        host: A host name or an address.
        port: The port.
        hostname: The name that the certificate must be valid for; None is `host`.
        ssl_context: The TLS context; None is the default one, built once in a `trio.run`.
        standard_compatible: Whether to shake hands at the end, too; HTTP does not.
        connector: Who connects, a `Connector` or a proxy.

    Raises:
        TypeError: `port` is no int, `ssl_context` no `ssl.SSLContext`, or `connector` of the wrong kind.
        ValueError: `host`, `port` or `hostname` make no sense, or the context is a server's.

    Example:
        >>> TLSConnectable("192.0.2.1", 443, hostname="example.org").hostname
        'example.org'
    """

    host: str | IPv4Address | IPv6Address
    port: int
    hostname: str | None = field(default=None, kw_only=True)
    ssl_context: ssl.SSLContext | None = field(default=None, kw_only=True)
    standard_compatible: bool = field(default=True, kw_only=True)
    connector: StreamOpener = field(default_factory=Connector, kw_only=True)

    def __post_init__(self) -> None:
        check_host(_text(self.host))
        check_port(self.port)
        _tls.name_of(_text(self.host), self.hostname, "hostname")
        if self.ssl_context is not None:
            _tls.client_context(self.ssl_context)
        check_opener(self.connector)

    async def connect(self) -> TLSStream:
        """Race for a connection whose handshake is done.

        Raises:
            anyio.ConnectionFailed: No address could be connected to, or none with a good certificate; `__cause__` is
                our `ConnectError`.
            RuntimeError: This is not Trio.
        """
        with _as_anyio(format_host_port(_text(self.host), self.port)):
            context = await _tls.shared_context() if self.ssl_context is None else self.ssl_context
            return await self.connector.connect(_text(self.host), self.port, partial(self._shake_hands, context))

    async def _shake_hands(self, context: ssl.SSLContext, stream: trio.abc.Stream) -> TLSStream:
        """Say in Trio's words what breaks a handshake; `ssl.SSLError` is an `OSError` already."""
        try:
            return await TLSStream.wrap(
                SocketStream(stream),
                hostname=_tls.name_of(_text(self.host), self.hostname),
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

    Raises:
        TypeError: `path` is no path, or `connector` no `Connector`.

    Example:
        >>> UNIXConnectable("/run/example.sock").path
        '/run/example.sock'
    """

    path: str | bytes | PathLike[str] | PathLike[bytes]
    connector: Connector = field(default_factory=Connector, kw_only=True)

    def __post_init__(self) -> None:
        path_of("path", self.path)
        if not isinstance(self.connector, Connector):
            raise TypeError(f"connector must be a Connector, not {self.connector!r}")

    async def connect(self) -> UNIXSocketStream:
        """Connect; the stream is anyio's own, which can pass descriptors.

        Raises:
            anyio.ConnectionFailed: There is no socket, nobody listens, or it may not be used.
            RuntimeError: This is not Trio.
        """
        with _as_anyio(repr(fspath(self.path))):
            stream = await self.connector.open_unix_socket(self.path)
            return await UNIXSocketStream.from_socket(stream.socket.detach())


def _text(host: str | IPv4Address | IPv6Address) -> str:
    """Return a host as text, and leave the wrong kinds to whoever checks it."""
    return str(host) if isinstance(host, IPv4Address | IPv6Address) else host


@contextmanager
def _as_anyio(target: str) -> Iterator[None]:
    """Fail as anyio's connectables fail, and only where Trio runs."""
    if not trio.lowlevel.in_trio_run():
        raise RuntimeError("trio_nbconnect.anyio connects under Trio: anyio.run(..., backend='trio')")
    try:
        yield
    except OSError as error:
        raise anyio.ConnectionFailed(f"error connecting to {target}: {error}") from error


@contextmanager
def patched_anyio(connector: StreamOpener | None = None) -> Iterator[None]:
    """Let code that calls `anyio.connect_tcp` or `anyio.connect_unix` under Trio connect through this library.

    It counts while a block lasts, and for the whole process, other threads included; under asyncio, anyio's own
    functions run. With `tls`, the handshake is part of the race. Modules that have imported a function by name (`from
    anyio import connect_tcp`) are reached, too. Blocks may be nested or overlap. What we cannot do, a `local_port` and
    kinds of UNIX sockets that are no streams, is left to anyio. `ALL_PROXY` and its like are not read:
    `patched_anyio(proxy.from_environment())` honours them.

    Args:
        connector: Who connects, a `Connector` or a proxy; None is `Connector()`. A `happy_eyeballs_delay` other than
            anyio's default, or a numeric `local_host`, that a caller asks for is honoured in place of the
            connector's. UNIX sockets do not go through a proxy.

    Raises:
        TypeError: `connector` is neither.

    Example:
        >>> import anyio
        >>> with patched_anyio():
        ...     anyio.connect_tcp.__module__.partition(".")[0]
        'trio_nbconnect'
        >>> anyio.connect_tcp.__module__
        'anyio'
    """
    stand_ins = _StandIns(check_opener(connector), anyio.connect_tcp, anyio.connect_unix)
    homes = dict.fromkeys(("connect_tcp", "connect_unix"), "anyio._core._sockets")
    with patched(anyio, homes, {name: getattr(stand_ins, name) for name in homes}):
        yield


@dataclass(frozen=True, slots=True)
class _StandIns:
    """anyio's functions, done by us where Trio runs. What is left to anyio gets what the caller gave."""

    opener: StreamOpener
    original_tcp: Callable[..., Awaitable[AnyioSocketStream | TLSStream]]
    original_unix: Callable[..., Awaitable[UNIXSocketStream]]

    async def connect_tcp(self, remote_host: Host, remote_port: int, **given: Any) -> ByteStream:
        if given.get("local_port") is not None or not trio.lowlevel.in_trio_run():
            return await self.original_tcp(remote_host, remote_port, **given)
        given.pop("local_port", None)
        return await _connectable(self.opener, remote_host, remote_port, **given).connect()

    async def connect_unix(self, path: str | bytes | PathLike[Any], *kind: Any, **given: Any) -> UNIXSocketStream:
        other_kind = [value for value in (*kind, *given.values()) if value != socket.SOCK_STREAM]
        if other_kind or not trio.lowlevel.in_trio_run():
            return await self.original_unix(path, *kind, **given)
        connector = self.opener if isinstance(self.opener, Connector) else Connector()
        return await UNIXConnectable(path, connector=connector).connect()


def _connectable(
    opener: StreamOpener,
    remote_host: Host,
    remote_port: int,
    *,
    local_host: Host | None = None,
    tls: bool = False,
    ssl_context: ssl.SSLContext | None = None,
    tls_standard_compatible: bool = True,
    tls_hostname: str | None = None,
    happy_eyeballs_delay: float = 0.25,
) -> ByteStreamConnectable:
    """Read what a caller of `anyio.connect_tcp` has given; any word of TLS means that it is wanted."""
    if happy_eyeballs_delay != 0.25 and isinstance(opener, Connector):  # to reach a proxy is no matter of it
        opener = replace(opener, policy=replace(opener.policy, attempt_delay=happy_eyeballs_delay))
    if local_host is not None:
        opener = replace(own_connector(opener, local_host=local_host), local_address=_text(local_host))
    if not (tls or tls_hostname or ssl_context):
        return TCPConnectable(remote_host, remote_port, connector=opener)
    return TLSConnectable(
        remote_host,
        remote_port,
        hostname=tls_hostname or None,
        ssl_context=ssl_context,
        standard_compatible=tls_standard_compatible,
        connector=opener,
    )
