"""For httpcore: HTTPX connects through us (extra `http`).

HTTPX and httpcore open connections by themselves, with `trio.open_tcp_stream`, so that a program whose requests meet
broken addresses can neither configure nor see what happens below them. httpcore asks a network backend for its
connections, and `NetworkBackend` is one. A time-out becomes `give_up_after`; socket options are set before `connect`,
where those that count from the first packet on still count.

httpcore asks for TCP first and shakes hands afterwards, on the one stream that it was given. An address that completes
TCP and never answers TLS has won by then. So where TLS will follow, what `connect_tcp` returns is a `PromisedStream`:
nothing has been sent, and the race runs when httpcore calls `start_tls`. An HTTPS request is one race, from DNS to TLS.
A backend does not know whether TLS will follow; a pool does, when it is asked to `create_connection`, and there
`transport` passes it on. Through a proxy, httpcore shakes hands with the target itself, behind the dialogue with the
proxy.

HTTPX has no parameter for a backend, so `transport` makes HTTPX's own transport and gives our backend to its pool. That
is the one private place that we touch, and it is checked: a version that has moved it gets an error, not a client that
quietly connects without us. httpx2 and httpcore2 have the same shape and classes of their own, errors included; where
HTTPX is not installed, they take its place.

An error of ours is the `__cause__` of httpcore's. A pool raises that `from None`, so that from HTTPX's error it is
`error.__cause__.__context__`; `connect_error` finds it.
"""

from __future__ import annotations

import math
import ssl
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, overload

import trio

from .._connect.options import options_with
from .._connect.tls import client_context, shake_hands
from .._connector import Connector, StreamOpener
from .._urls import host_of_url
from .for_trio import check_opener, opener_for, own_connector
from .http_libraries import httpcore, httpx

if TYPE_CHECKING:
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


SocketOption = tuple[int, int, int] | tuple[int, int, bytes | bytearray] | tuple[int, int, None, int]
"""What httpcore takes for the arguments of one `setsockopt`."""


T_co = TypeVar("T_co", covariant=True)


class HTTPLibrary(Protocol[T_co]):
    """HTTPX, or httpx2: the module itself."""

    @property
    def AsyncHTTPTransport(self) -> Callable[..., T_co]: ...  # noqa: N802 - their name


@overload
def transport(
    connector: StreamOpener | None = None, **options: Unpack[TransportOptions]
) -> httpx.AsyncHTTPTransport: ...
@overload
def transport(
    connector: StreamOpener | None = None, *, library: HTTPLibrary[T_co], **options: Unpack[TransportOptions]
) -> T_co: ...
def transport(connector: StreamOpener | None = None, *, library: HTTPLibrary[Any] = httpx, **options: Any) -> Any:
    """Make a transport for `httpx.AsyncClient` whose connections are opened by a connector.

    TLS is part of the race: an address that completes TCP and then fails the handshake, or never answers it, lets the
    others go on. The client must run under Trio. What concerns connections goes here and not to the client, which
    ignores it when it is given a transport: `verify`, `http2`, `limits`, `proxy` and so on. So it does with
    `HTTP_PROXY` and its like: `transport(proxy.from_environment())` honours them.

    Args:
        connector: Who opens connections, a `Connector` or a proxy of ours; also those to a `proxy` of HTTPX's. None is
            `Connector()`.
        library: Whose transport to make: the module `httpx`, or `httpx2`, which is the default where `httpx` is not
            installed.
        options: The arguments of `httpx.AsyncHTTPTransport`. `local_address` is numeric.

    Raises:
        RuntimeError: This version of the library keeps its pool, or the pool its backend, in another place.
        TypeError: `connector` is neither, or `library` none of them.

    Example:
        >>> import httpx
        >>> from trio_nbconnect import Connector
        >>> client = httpx.AsyncClient(transport=transport(Connector(), http2=False, retries=1))
    """
    if not hasattr(library, "AsyncHTTPTransport"):
        raise TypeError(f"library must be httpx or httpx2, not {library!r}")
    made = library.AsyncHTTPTransport(**options)
    connect_through(made, options, partial(NetworkBackend, connector))
    return made


def connect_through(made: Any, options: Mapping[str, Any], backend: Callable[..., Any]) -> None:
    """Give network backends of ours to a transport that was made: one where TLS follows, and one where it does not.

    Raises:
        RuntimeError: The transport keeps its pool, or the pool its backend, in another place.
    """
    pool: Any = getattr(made, "_pool", None)
    if not (hasattr(pool, "_network_backend") and hasattr(pool, "create_connection")):
        raise RuntimeError(f"{type(made).__module__} hides its network backend from trio_nbconnect")
    core = sys.modules[type(pool).__module__.partition(".")[0]]
    plain, secure = (backend(core=core, tls_follows=tls_follows) for tls_follows in (False, True))
    create_connection = pool.create_connection

    def create_raced_connection(origin: httpcore.Origin) -> Any:
        """Let the backend of this connection know whether httpcore will ask for TLS next."""
        is_secure = origin.scheme in (b"https", b"wss") and options.get("proxy") is None
        pool._network_backend = secure if is_secure else plain
        return create_connection(origin)

    pool._network_backend = plain
    pool.create_connection = create_raced_connection


class NetworkBackend(httpcore.AsyncNetworkBackend):
    """Open httpcore's connections; a pool uses it as its `network_backend`.

    Args:
        connector: Who opens them, a `Connector` or a proxy; None is `Connector()`. UNIX sockets do not go through one.
        core: Whose errors to raise: the module `httpcore`, or `httpcore2`.
        tls_follows: Whether each stream of `connect_tcp` will be asked for TLS before anything else, as in a pool that
            is used for "https" alone and without a proxy. Then the race begins there, and TLS is part of it.

    Raises:
        TypeError: `connector` is neither.

    Example:
        >>> import httpcore
        >>> from trio_nbconnect import Connector
        >>> pool = httpcore.AsyncConnectionPool(network_backend=NetworkBackend(Connector()))
    """

    def __init__(
        self, connector: StreamOpener | None = None, *, core: ModuleType = httpcore, tls_follows: bool = False
    ) -> None:
        self._opener = check_opener(connector)
        self._core = core
        self._tls_follows = tls_follows

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[SocketOption] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Race for a connection, or promise one where TLS will follow.

        Args:
            host: A host name or an address, as it stands in a URL: the "%" before a scope may be written "%25" (RFC
                6874). A redirect may name anything: what makes no sense is no misuse here.
            port: The port.
            timeout: Seconds for the whole call; None for no limit but the connector's.
            local_address: A numeric address to connect from, in place of the connector's.
            socket_options: Set on each socket before it connects.

        Raises:
            httpcore.ConnectTimeout: The time is over; `__cause__` is our `ConnectTimeout`, which says what was tried.
            httpcore.ConnectError: No address could be connected to; `__cause__` is our `ConnectError`.
            ValueError: `local_address` is not numeric, or an option is not of the form (level, option, value); or one
                of them is asked of a proxy.
        """
        host = host_of_url(host)
        with connect_errors(self._core):
            opener = opener_for(self._opener, host, port)
        opener = _with(opener, socket_options)
        if local_address is not None:
            opener = replace(own_connector(opener, local_address=local_address), local_address=local_address)
        if self._tls_follows:
            await trio.lowlevel.checkpoint()
            return PromisedStream(opener, host, port, self._core)
        with connect_errors(self._core):
            stream = await opener.open_tcp_stream(host, port, give_up_after=seconds(timeout))
            return NetworkStream(stream, self._core)

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
        extra = triples(socket_options)
        late, failed = self._core.ConnectTimeout, self._core.ConnectError
        with _as_httpcore(late, failed), trio.fail_after(seconds(timeout)):
            connector = self._opener if isinstance(self._opener, Connector) else Connector()
            stream = await connector.open_unix_socket(path)
            try:
                for triple in extra:
                    stream.setsockopt(*triple)
            except BaseException:
                await trio.aclose_forcefully(stream)
                raise
            return NetworkStream(stream, self._core)

    async def sleep(self, seconds: float) -> None:
        """Wait between two of httpcore's `retries`."""
        await trio.sleep(seconds)


def _with(opener: StreamOpener, socket_options: Iterable[SocketOption] | None) -> StreamOpener:
    """Return who connects, with these options added to its own."""
    extra = triples(socket_options)
    if not extra:
        return opener
    connector = own_connector(opener, socket_options=extra)
    return replace(connector, options=options_with(connector.options, extra=extra))


def triples(socket_options: Iterable[SocketOption] | None) -> tuple[tuple[int, int, int | bytes], ...]:
    """Bring socket options into the one form that we set; no TCP option wants a length and no value."""
    triples: list[tuple[int, int, int | bytes]] = []
    for option in socket_options or ():
        if len(option) != 3:
            raise ValueError(f"socket_options must be (level, option, value), not {option!r}")
        level, name, value = option
        triples.append((level, name, value if isinstance(value, int) else bytes(value)))
    return tuple(triples)


class NetworkStream(httpcore.AsyncNetworkStream):
    """A stream of Trio's as httpcore sees it.

    Args:
        stream: The stream; it is owned from then on.
        core: httpcore, or httpcore2.
    """

    def __init__(self, stream: trio.abc.Stream, core: ModuleType = httpcore) -> None:
        self._stream = stream
        self._core = core

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Receive at least one byte, or b"" at the end of the stream."""
        with _as_httpcore(self._core.ReadTimeout, self._core.ReadError), trio.fail_after(seconds(timeout)):
            return bytes(await self._stream.receive_some(max_bytes))

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send all of it."""
        if buffer:
            with _as_httpcore(self._core.WriteTimeout, self._core.WriteError), trio.fail_after(seconds(timeout)):
                await self._stream.send_all(buffer)

    async def aclose(self) -> None:
        """Close the stream, and any stream below it."""
        await self._stream.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> NetworkStream:
        """Shake hands and return the secure stream; this one is closed if that fails, or is cancelled.

        Args:
            ssl_context: A client's context.
            server_hostname: The name that the certificate must be valid for; a dot at its end is left out.
            timeout: Seconds for the handshake; None for no limit.

        Raises:
            httpcore.ConnectTimeout: The time is over.
            httpcore.ConnectError: The handshake failed, or the certificate is not good.
            TypeError: `ssl_context` is no `ssl.SSLContext`.
        """
        try:
            context = client_context(ssl_context)
            with connect_errors(self._core), trio.fail_after(seconds(timeout)):
                secure = await shake_hands(
                    self._stream, context=context, server_hostname=server_hostname, https_compatible=True
                )
        except BaseException:
            await trio.aclose_forcefully(self._stream)
            raise
        return NetworkStream(secure, self._core)

    def get_extra_info(self, info: str) -> Any:
        """Return what httpcore's own streams know; None for the rest."""
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
        stream: Any = self._stream
        while isinstance(stream, trio.SSLStream):
            stream = stream.transport_stream
        sock: trio.socket.SocketType = stream.socket
        return sock


class PromisedStream(httpcore.AsyncNetworkStream):
    """A connection that is opened when its TLS begins; until then there is nothing to read, write or close.

    Args:
        opener: Who opens it.
        host: Where to.
        port: Where to.
        core: httpcore, or httpcore2.
    """

    def __init__(self, opener: StreamOpener, host: str, port: int, core: ModuleType) -> None:
        self._opener = opener
        self._host = host
        self._port = port
        self._core = core

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> NetworkStream:
        """Race for a connection whose handshake is done.

        Raises:
            httpcore.ConnectTimeout: See `NetworkBackend.connect_tcp`.
            httpcore.ConnectError: See `NetworkBackend.connect_tcp`; or no address has a good certificate.
        """
        with connect_errors(self._core):
            secure = await self._opener.open_tls_stream(
                self._host,
                self._port,
                server_hostname=server_hostname,
                ssl_context=ssl_context,
                https_compatible=True,
                give_up_after=seconds(timeout),
            )
            return NetworkStream(secure, self._core)

    async def aclose(self) -> None:
        """Do nothing: there is nothing yet."""

    def get_extra_info(self, info: str) -> None:
        """Know nothing yet."""


def seconds(timeout: float | None) -> float:
    """Return httpcore's time-out in our words."""
    return math.inf if timeout is None else timeout


def connect_errors(core: ModuleType) -> AbstractContextManager[None]:
    """Turn what a connect failed with into httpcore's error; where a redirect leads may make no sense."""
    return _as_httpcore(core.ConnectTimeout, core.ConnectError, ValueError)


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
