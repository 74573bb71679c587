"""anyio: connect through us what is written against anyio's interface (extra `anyio`).

The problem: a library that takes an `anyio.abc.ByteStreamConnectable` says nothing about how to connect, and anyio's
own connectables cannot be told either: no limit, no local address, no trace, and TLS after the race.

How we solve it: three connectables, one each for TCP, TLS and UNIX, that connect through a `Connector` and return
streams of anyio's interface. The TLS handshake is part of the race: an address whose TLS is broken loses. Like
anyio's own, they raise `anyio.ConnectionFailed`; its `__cause__` is our error.

Most libraries take no connectable and call `anyio.connect_tcp`. `patched_anyio` puts ours in its place for a block, as
`patched_trio` does with Trio's functions.

What lives here: those four. What does not: asyncio. A connectable of ours connects where Trio runs, and says so
elsewhere. TLS over a stream that is not TCP is anyio's own `TLSConnectable` around one of ours.
"""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from ipaddress import IPv4Address, IPv6Address
from os import PathLike, fspath
from typing import Any

import trio

from .._address import check_host, check_port, format_host_port
from .._connect import tls as _tls
from .._connector import Connector
from .for_trio import patch

try:
    import anyio
    from anyio.abc import ByteStream, ByteStreamConnectable, UNIXSocketStream
    from anyio.abc import SocketStream as AnySocketStream
    from anyio.streams.tls import TLSStream
except ModuleNotFoundError as missing:
    if missing.name != "anyio":
        raise
    raise ImportError("trio_nbconnect.anyio needs anyio: python -m pip install 'trio-nbconnect[anyio]'") from None

from .anyio_streams import SocketStream

__all__ = ["SocketStream", "TCPConnectable", "TLSConnectable", "UNIXConnectable", "patched_anyio"]


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
def patched_anyio(connector: Connector | None = None) -> Iterator[None]:
    """Let code that calls `anyio.connect_tcp` under Trio connect through this library, while a block lasts.

    With `tls`, the handshake is part of the race. The whole process is concerned, other threads included; under
    asyncio, anyio's own function runs. Blocks may be nested or overlap. What was imported by name (`from anyio import
    connect_tcp`) before the block stays anyio's, and so does what asks for a `local_port`.

    Args:
        connector: Who connects; None is `Connector()`. A `happy_eyeballs_delay` other than anyio's default, or a
            numeric `local_host`, that a caller asks for is honoured in place of the connector's.

    Example:
        >>> import anyio
        >>> with patched_anyio():
        ...     anyio.connect_tcp.__module__
        'trio_nbconnect._adapters.for_anyio'
        >>> anyio.connect_tcp.__module__
        'anyio'
    """
    stand_in = _StandIn(connector or Connector(), anyio.connect_tcp)
    with ExitStack() as stack:
        patch(stack, anyio, "anyio._core._sockets", "connect_tcp", stand_in.connect_tcp)
        yield


@dataclass(frozen=True, slots=True)
class _StandIn:
    """anyio's function, done by a connector where Trio runs."""

    connector: Connector
    original: Callable[..., Awaitable[AnySocketStream | TLSStream]]

    async def connect_tcp(
        self,
        remote_host: str | IPv4Address | IPv6Address,
        remote_port: int,
        *,
        local_host: str | IPv4Address | IPv6Address | None = None,
        local_port: int | None = None,
        happy_eyeballs_delay: float = 0.25,
        **tls: Any,
    ) -> ByteStream:
        if local_port is not None or not trio.lowlevel.in_trio_run():
            places = {"local_host": local_host, "local_port": local_port}
            delay = happy_eyeballs_delay
            return await self.original(remote_host, remote_port, **places, happy_eyeballs_delay=delay, **tls)
        chosen = self.connector
        if happy_eyeballs_delay != 0.25:
            chosen = replace(chosen, policy=replace(chosen.policy, attempt_delay=happy_eyeballs_delay))
        if local_host is not None:
            chosen = replace(chosen, local_address=str(local_host))
        return await _connectable(remote_host, remote_port, chosen, **tls).connect()


def _connectable(
    host: str | IPv4Address | IPv6Address,
    port: int,
    connector: Connector,
    *,
    tls: bool = False,
    ssl_context: ssl.SSLContext | None = None,
    tls_standard_compatible: bool = True,
    tls_hostname: str | None = None,
) -> ByteStreamConnectable:
    """Read what `anyio.connect_tcp` says of TLS: any of it means that it is wanted."""
    if not (tls or tls_hostname or ssl_context):
        return TCPConnectable(host, port, connector=connector)
    return TLSConnectable(
        host,
        port,
        hostname=tls_hostname or None,
        ssl_context=ssl_context,
        standard_compatible=tls_standard_compatible,
        connector=connector,
    )
