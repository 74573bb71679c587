"""httpcore: HTTPX connects through us (extra `http`).

The problem: HTTPX and httpcore open connections by themselves, with `trio.open_tcp_stream`, so that a program whose
requests meet broken addresses can neither configure nor see what happens below them.

How we solve it: httpcore asks a network backend for its connections, and `NetworkBackend` is one. A time-out becomes
`give_up_after`; socket options are set before `connect`, where those that count from the first packet on still count.
An error of ours is the `__cause__` of httpcore's. A pool raises that `from None`, so that below HTTPX it is to be found
as `error.__cause__.__context__`. HTTPX has no parameter for a backend, so `transport` makes HTTPX's
own transport and gives our backend to its pool, proxied or not. That is the one private place that we touch, and it
is checked: a version that has moved it gets an error, not a client that quietly connects without us.

What lives here: the backend, its streams, and the transport. What does not: TLS in the race. httpcore shakes hands
itself, on the stream that has won, and with an ALPN of its own.
"""

from __future__ import annotations

import math
import ssl
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import trio

from ._address import IPV4, IPV6
from ._connector import Connector
from ._options import SocketOptions

try:
    import httpcore
    import httpx
except ModuleNotFoundError as missing:
    if missing.name not in {"httpcore", "httpx"}:
        raise
    raise ImportError("trio_nbconnect.httpcore needs httpx: python -m pip install 'trio-nbconnect[http]'") from None

if TYPE_CHECKING:
    import sys
    from typing import TypedDict

    if sys.version_info >= (3, 11):
        from typing import Unpack
    else:
        from typing_extensions import Unpack

    class TransportOptions(TypedDict, total=False):
        """What `httpx.AsyncHTTPTransport` takes; HTTPX documents each."""

        verify: ssl.SSLContext | str | bool
        trust_env: bool
        http1: bool
        http2: bool
        limits: httpx.Limits
        proxy: httpx.URL | str | httpx.Proxy | None
        uds: str | None
        local_address: str | None
        retries: int
        socket_options: Iterable[SocketOption] | None


__all__ = ["NetworkBackend", "NetworkStream", "transport"]

SocketOption = tuple[int, int, int] | tuple[int, int, bytes | bytearray] | tuple[int, int, None, int]
"""What httpcore takes for the arguments of one `setsockopt`."""


def transport(connector: Connector | None = None, **options: Unpack[TransportOptions]) -> httpx.AsyncHTTPTransport:
    """Make a transport for `httpx.AsyncClient` whose connections are opened by a connector.

    The client must run under Trio. What concerns connections is said here and not to the client, which ignores it
    when it is given a transport: `verify`, `http2`, `limits`, `proxy` and so on.

    Args:
        connector: Who opens connections, also those to a proxy; None is `Connector()`.
        options: The arguments of `httpx.AsyncHTTPTransport`. `local_address` is numeric.

    Raises:
        RuntimeError: This version of HTTPX keeps its pool, or the pool its backend, in another place.

    Example:
        >>> client = httpx.AsyncClient(transport=transport(Connector(), http2=False, retries=1))
    """
    made = httpx.AsyncHTTPTransport(**options)
    pool = getattr(made, "_pool", None)
    if not hasattr(pool, "_network_backend"):
        raise RuntimeError(f"httpx {httpx.__version__} with httpcore {httpcore.__version__} hides its network backend")
    cast(Any, pool)._network_backend = NetworkBackend(connector)
    return made


class NetworkBackend(httpcore.AsyncNetworkBackend):
    """Open httpcore's connections; a pool uses it as its `network_backend`.

    Args:
        connector: Who opens them; None is `Connector()`.

    Example:
        >>> pool = httpcore.AsyncConnectionPool(network_backend=NetworkBackend(Connector()))
    """

    def __init__(self, connector: Connector | None = None) -> None:
        self._connector = Connector() if connector is None else connector

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[SocketOption] | None = None,
    ) -> NetworkStream:
        """Race for a connection.

        Args:
            host: A host name or an address. A redirect may name anything: what makes no sense is no misuse here.
            port: The port.
            timeout: Seconds for the whole call; None for no limit but the connector's.
            local_address: A numeric address to connect from, in place of the connector's.
            socket_options: Set on each socket before it connects.

        Raises:
            httpcore.ConnectTimeout: The time is over; `__cause__` is our `ConnectTimeout`, which says what was tried.
            httpcore.ConnectError: No address could be connected to; `__cause__` is our `ConnectError`.
            ValueError: `local_address` is not numeric, or an option is not of the form (level, option, value).
        """
        connector = self._with(socket_options)
        if local_address is not None:
            connector = replace(connector, local_address=local_address)
        with _as_httpcore(httpcore.ConnectTimeout, httpcore.ConnectError, ValueError):
            return NetworkStream(await connector.open_tcp_stream(host, port, give_up_after=_seconds(timeout)))

    async def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[SocketOption] | None = None
    ) -> NetworkStream:
        """Connect to a UNIX socket.

        Args:
            path: Its path.
            timeout: Seconds for the whole call; None for no limit.
            socket_options: Set when it is connected; nothing of theirs concerns how.

        Raises:
            httpcore.ConnectTimeout: The time is over.
            httpcore.ConnectError: There is no socket, nobody listens, or it may not be used.
        """
        extra = _triples(socket_options)
        with _as_httpcore(httpcore.ConnectTimeout, httpcore.ConnectError), trio.fail_after(_seconds(timeout)):
            stream = await self._connector.open_unix_socket(path)
            try:
                for triple in extra:
                    stream.setsockopt(*triple)
            except BaseException:
                await trio.aclose_forcefully(stream)
                raise
            return NetworkStream(stream)

    async def sleep(self, seconds: float) -> None:
        """Wait between two of httpcore's `retries`."""
        await trio.sleep(seconds)

    def _with(self, socket_options: Iterable[SocketOption] | None) -> Connector:
        """Return the connector with these options added to its own."""
        extra = _triples(socket_options)
        if not extra:
            return self._connector
        given = self._connector.options
        if not isinstance(given, Mapping):
            given = dict.fromkeys((IPV6, IPV4), given or SocketOptions())
        added = {family: given.get(family, SocketOptions()) for family in (IPV6, IPV4)}
        added = {family: replace(options, extra=(*options.extra, *extra)) for family, options in added.items()}
        return replace(self._connector, options={**given, **added})


class NetworkStream(httpcore.AsyncNetworkStream):
    """A stream of Trio's as httpcore sees it.

    Args:
        stream: The stream; it is owned from then on.
    """

    def __init__(self, stream: trio.SocketStream | trio.SSLStream[Any]) -> None:
        self._stream = stream

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Receive at least one byte, or b"" at the end of the stream."""
        with _as_httpcore(httpcore.ReadTimeout, httpcore.ReadError), trio.fail_after(_seconds(timeout)):
            return bytes(await self._stream.receive_some(max_bytes))

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send all of it."""
        if buffer:
            with _as_httpcore(httpcore.WriteTimeout, httpcore.WriteError), trio.fail_after(_seconds(timeout)):
                await self._stream.send_all(buffer)

    async def aclose(self) -> None:
        """Close the stream, and any stream below it."""
        await self._stream.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> NetworkStream:
        """Shake hands and return the secure stream; this one is closed if that fails, or is cancelled."""
        secure = trio.SSLStream(self._stream, ssl_context, server_hostname=server_hostname, https_compatible=True)
        try:
            with _as_httpcore(httpcore.ConnectTimeout, httpcore.ConnectError), trio.fail_after(_seconds(timeout)):
                await secure.do_handshake()
        except BaseException:
            await trio.aclose_forcefully(self._stream)
            raise
        return NetworkStream(secure)

    def get_extra_info(self, info: str) -> Any:
        """Tell what httpcore's own streams tell; None for what they do not know."""
        if info == "ssl_object":
            return getattr(self._stream, "_ssl_object", None)  # the name that httpcore itself uses
        if info == "socket":
            return self._socket
        if info == "client_addr":
            return self._socket.getsockname()
        if info == "server_addr":
            return self._socket.getpeername()
        if info == "is_readable":
            return self._socket.fileno() == -1 or self._socket.is_readable()
        return None

    @property
    def _socket(self) -> trio.socket.SocketType:
        """The socket at the bottom; a proxy's TLS may lie in between."""
        stream = self._stream
        while isinstance(stream, trio.SSLStream):
            stream = stream.transport_stream
        return stream.socket


def _triples(socket_options: Iterable[SocketOption] | None) -> tuple[tuple[int, int, int | bytes], ...]:
    """Bring socket options into the one form that we set; no TCP option wants a length and no value."""
    triples: list[tuple[int, int, int | bytes]] = []
    for option in socket_options or ():
        if len(option) != 3:
            raise ValueError(f"socket_options must be (level, option, value), not {option!r}")
        level, name, value = option
        triples.append((level, name, value if isinstance(value, int) else bytes(value)))
    return tuple(triples)


def _seconds(timeout: float | None) -> float:
    return math.inf if timeout is None else timeout


@contextmanager
def _as_httpcore(
    late: type[httpcore.TimeoutException], failed: type[httpcore.NetworkError], *more: type[Exception]
) -> Iterator[None]:
    """Turn what a stream or a connect failed with into httpcore's error, which has no attributes: our text says it."""
    failures: tuple[type[Exception], ...] = (OSError, trio.BrokenResourceError, trio.ClosedResourceError, *more)
    try:
        yield
    except (TimeoutError, trio.TooSlowError) as error:
        raise late(_text(error)) from error
    except failures as error:
        raise failed(_text(error)) from error


def _text(error: BaseException) -> str:
    """Say what went wrong; Trio's own errors are often silent, but for their cause."""
    return str(error) or str(error.__cause__ or "") or type(error).__name__
