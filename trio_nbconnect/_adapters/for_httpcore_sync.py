"""For httpcore without an event loop: HTTPX's synchronous client connects through us (extra `http`).

The same as for its asynchronous one: a network backend, whose TLS is part of the race where a pool says that TLS will
follow. What it returns is httpcore's own stream around our socket; httpcore exports its backend and not the stream, so
that is looked up in the backend's module, and a version that has moved it gets an error.
"""

from __future__ import annotations

import socket
import ssl
import sys
from collections.abc import Callable, Iterable
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, overload

from .._blocking import BlockingConnector, SupportsBlocking, as_blocking
from .._connector import Connector
from .._urls import host_of_url
from .for_httpcore import (
    SocketOption,
    connect_errors,
    connect_through,
    seconds,
    triples,
)
from .http_libraries import httpcore, httpx

if TYPE_CHECKING:
    if sys.version_info >= (3, 11):
        from typing import Unpack
    else:
        from typing_extensions import Unpack
    from .for_httpcore import TransportOptions

T_co = TypeVar("T_co", covariant=True)


class SyncHTTPLibrary(Protocol[T_co]):
    """HTTPX, or httpx2: the module itself."""

    @property
    def HTTPTransport(self) -> Callable[..., T_co]: ...  # noqa: N802 - their name


@overload
def sync_transport(
    connector: SupportsBlocking | None = None, **options: Unpack[TransportOptions]
) -> httpx.HTTPTransport: ...
@overload
def sync_transport(
    connector: SupportsBlocking | None = None, *, library: SyncHTTPLibrary[T_co], **options: Unpack[TransportOptions]
) -> T_co: ...
def sync_transport(
    connector: SupportsBlocking | None = None, *, library: SyncHTTPLibrary[Any] = httpx, **options: Any
) -> Any:
    """Make a transport for `httpx.Client` whose connections are opened by a connector.

    The same as `transport`, for programs without an event loop: TLS is part of the race, and what concerns connections
    goes here and not to the client. `HTTP_PROXY` and its like are ignored by a client with a transport:
    `sync_transport(proxy.from_environment())` honours them.

    Args:
        connector: Who opens connections, a `Connector` or a proxy of ours; None is `Connector()`.
        library: Whose transport to make: the module `httpx`, or `httpx2`.
        options: The arguments of `httpx.HTTPTransport`. `local_address` is numeric.

    Raises:
        RuntimeError: This version of the library keeps its pool, its backend or its stream in another place.
        TypeError: `connector` is neither, or `library` none of them.

    Example:
        >>> import httpx
        >>> client = httpx.Client(transport=sync_transport(retries=1))
    """
    if not hasattr(library, "HTTPTransport"):
        raise TypeError(f"library must be httpx or httpx2, not {library!r}")
    made = library.HTTPTransport(**options)
    connect_through(made, options, partial(SyncNetworkBackend, connector))
    return made


class SyncNetworkBackend(httpcore.NetworkBackend):
    """Open httpcore's connections without an event loop; a pool uses it as its `network_backend`.

    Args:
        connector: Who opens them, a `Connector` or a proxy; None is `Connector()`. UNIX sockets are httpcore's own.
        core: Whose errors to raise: the module `httpcore`, or `httpcore2`.
        tls_follows: See `NetworkBackend`.

    Raises:
        RuntimeError: This version of httpcore keeps its stream in another place.
        TypeError: `connector` is neither.

    Example:
        >>> import httpcore
        >>> pool = httpcore.ConnectionPool(network_backend=SyncNetworkBackend())
    """

    def __init__(
        self, connector: SupportsBlocking | None = None, *, core: ModuleType = httpcore, tls_follows: bool = False
    ) -> None:
        self._connector = as_blocking(Connector() if connector is None else connector)
        self._core = core
        self._tls_follows = tls_follows
        self._its_own = core.SyncBackend()
        _stream_class(core)

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[SocketOption] | None = None,
    ) -> httpcore.NetworkStream:
        """Race for a connection, or promise one where TLS will follow.

        Args:
            host: See `NetworkBackend.connect_tcp`.
            port: The port.
            timeout: Seconds for the whole call; None for no limit but the connector's.
            local_address: A numeric address to connect from, in place of the connector's.
            socket_options: Set on each socket before it connects.

        Raises:
            httpcore.ConnectTimeout: The time is over; `__cause__` is our `ConnectTimeout`, which says what was tried.
            httpcore.ConnectError: No address could be connected to; `__cause__` is our `ConnectError`.
            ValueError: An option is not of the form (level, option, value); or one is asked of a proxy.
        """
        how: dict[str, Any] = {
            "source_address": None if local_address is None else (local_address, 0),
            "socket_options": triples(socket_options),
        }
        promised = PromisedSyncStream(self._connector, (host_of_url(host), port), how, self._core)
        return promised if self._tls_follows else promised.connect(timeout)

    def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[SocketOption] | None = None
    ) -> httpcore.NetworkStream:
        """Connect to a UNIX socket, as httpcore does."""
        return self._its_own.connect_unix_socket(path, timeout, socket_options)  # type: ignore[no-any-return]


class PromisedSyncStream(httpcore.NetworkStream):
    """A connection that is opened when its TLS begins; until then there is nothing to read, write or close.

    Args:
        connector: Who opens it.
        address: Where to.
        how: More arguments for that.
        core: httpcore, or httpcore2.
    """

    def __init__(
        self, connector: BlockingConnector, address: tuple[str, int], how: dict[str, Any], core: ModuleType
    ) -> None:
        self._connector = connector
        self._address = address
        self._how = how
        self._core = core

    def connect(self, timeout: float | None) -> httpcore.NetworkStream:
        """Race for a connection without TLS."""
        with connect_errors(self._core):
            sock = self._connector.create_connection(self._address, None, give_up_after=seconds(timeout), **self._how)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as httpcore's own
            return _stream_class(self._core)(sock)  # type: ignore[no-any-return]

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        """Race for a connection whose handshake is done.

        Raises:
            httpcore.ConnectTimeout: See `SyncNetworkBackend.connect_tcp`.
            httpcore.ConnectError: See `SyncNetworkBackend.connect_tcp`; or no address has a good certificate.
        """
        with connect_errors(self._core):
            sock = self._connector.create_tls_connection(
                self._address,
                None,
                ssl_context=ssl_context,
                server_hostname=server_hostname,
                give_up_after=seconds(timeout),
                **self._how,
            )
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return _stream_class(self._core)(sock)  # type: ignore[no-any-return]

    def close(self) -> None:
        """Do nothing: there is nothing yet."""

    def get_extra_info(self, info: str) -> None:
        """Know nothing yet."""


def _stream_class(core: ModuleType) -> Any:
    """Find httpcore's stream around a socket."""
    found = getattr(sys.modules[core.SyncBackend.connect_tcp.__module__], "SyncStream", None)
    if found is None:
        raise RuntimeError(f"{core.__name__} hides its stream from trio_nbconnect")
    return found
