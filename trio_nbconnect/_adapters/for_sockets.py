"""For blocking sockets: code that calls `socket.create_connection` connects through us, for a block or a program.

requests, botocore and the clients of the standard library call that function, or urllib3's copy of it, and both try one
address after the other. `patched_socket` puts ours in their place, wherever a module has them. urllib3's has one more
parameter and an error of its own, and there may be several copies, vendored ones included. One that is imported later
is met by an import hook, the only thing here that is no function of a module.

Out of reach: code that goes through `getaddrinfo` by itself (redis-py, paramiko); give it a socket, where it takes one.
So are connections of `http.client` that were made before, and have kept the function.
"""

from __future__ import annotations

import functools
import inspect
import math
import socket
import ssl
import sys
from collections.abc import Callable, Iterable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import FunctionType, ModuleType
from typing import Any

from .._address import GivenAddress
from .._blocking import DEFAULT_TIMEOUT, BlockingConnector, SocketOption, SupportsBlocking, as_blocking
from .patching import Patch, innermost, replace_in

_URLLIB3 = ".urllib3.util.connection"
"""The module that has urllib3's copy; something may stand before it."""


@functools.cache
def _default() -> BlockingConnector:
    from .._connector import Connector  # noqa: PLC0415 - it imports Trio, which nobody needs before the first connect

    return Connector().blocking()


def create_connection(
    address: tuple[str | bytes | None, int | str],
    timeout: float | None = DEFAULT_TIMEOUT,
    source_address: tuple[str, int] | None = None,
    *,
    all_errors: bool = False,
    addresses: Iterable[GivenAddress] | None = None,
    socket_options: Sequence[SocketOption] = (),
    give_up_after: float = math.inf,
) -> socket.socket:
    """Connect to a host over TCP, on whichever of its addresses answers first: `socket.create_connection`, and a race.

    Args and errors are those of `BlockingConnector.create_connection`.

    Example:
        >>> import socket
        >>> with socket.create_server(("127.0.0.1", 0)) as listener:
        ...     with create_connection(listener.getsockname(), timeout=5) as sock:
        ...         sock.getpeername() == listener.getsockname()
        True
    """
    return _default().create_connection(
        address,
        timeout,
        source_address,
        all_errors=all_errors,
        addresses=addresses,
        socket_options=socket_options,
        give_up_after=give_up_after,
    )


def create_tls_connection(
    address: tuple[str | bytes | None, int | str],
    timeout: float | None = DEFAULT_TIMEOUT,
    source_address: tuple[str, int] | None = None,
    *,
    ssl_context: ssl.SSLContext | None = None,
    server_hostname: str | bytes | None = None,
    alpn_protocols: Iterable[str] | None = None,
    all_errors: bool = False,
    addresses: Iterable[GivenAddress] | None = None,
    socket_options: Sequence[SocketOption] = (),
    give_up_after: float = math.inf,
) -> ssl.SSLSocket:
    """Connect with TLS, on whichever address first completes the handshake with a certificate that is good.

    Args and errors are those of `BlockingConnector.create_tls_connection`.
    """
    return _default().create_tls_connection(
        address,
        timeout,
        source_address,
        ssl_context=ssl_context,
        server_hostname=server_hostname,
        alpn_protocols=alpn_protocols,
        all_errors=all_errors,
        addresses=addresses,
        socket_options=socket_options,
        give_up_after=give_up_after,
    )


def patched_socket(connector: SupportsBlocking | None = None) -> SocketPatch:
    """Let code that calls `socket.create_connection`, or urllib3, connect through this library.

    In a `with` block, or from `start` to `stop`. The whole process is concerned, all threads included: requests,
    botocore and other users of urllib3; HTTPX's synchronous client; `urllib.request`, `http.client`, `smtplib`,
    `imaplib`, `ftplib`, `xmlrpc.client`. Modules that have imported the function by name are reached, too; to look
    through them takes a few milliseconds. Blocks may be nested or overlap. TLS comes after the race there. Proxies are
    what the libraries make of them, as before: the race is the one for the proxy.

    Args:
        connector: Who connects, a `Connector` or a proxy; None is `Connector()`.

    Returns:
        A context manager with `start` and `stop`.

    Raises:
        TypeError: `connector` is neither.

    Example:
        >>> import socket
        >>> with patched_socket():
        ...     socket.create_connection.__module__
        'trio_nbconnect.blocking'
        >>> socket.create_connection.__module__
        'socket'
    """
    return SocketPatch(connector)


class SocketPatch:
    """Functions of ours in the place of the standard library's and urllib3's; see `patched_socket`.

    Args:
        connector: Who connects, a `Connector` or a proxy; None is `Connector()`.

    Raises:
        TypeError: `connector` is neither.
    """

    __slots__ = ("_connector", "_finder")

    def __init__(self, connector: SupportsBlocking | None = None) -> None:
        self._connector = None if connector is None else as_blocking(connector)
        self._finder: _Finder | None = None

    def start(self) -> SocketPatch:
        """Connect through us from now on.

        Raises:
            RuntimeError: It has been started, and not stopped.
        """
        if self._finder is not None:
            raise RuntimeError("this patch has been started already")
        self._finder = _Finder(self._connector)
        self._finder.patch.put(self._for_socket(), socket.create_connection)
        sys.meta_path.insert(0, self._finder)
        for name, module in list(sys.modules.items()):
            if _is_urllib3(name):
                self._finder.put(module)
        self._finder.patch.start()
        return self

    def stop(self) -> None:
        """Put back what was there; where nothing was started, do nothing."""
        finder, self._finder = self._finder, None
        if finder is not None:
            sys.meta_path.remove(finder)
            finder.patch.stop()

    def __enter__(self) -> SocketPatch:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _for_socket(self) -> Callable[..., socket.socket]:
        if self._connector is None:
            return create_connection
        connector = self._connector

        @functools.wraps(create_connection)
        def connect(*args: Any, **keywords: Any) -> socket.socket:
            return connector.create_connection(*args, **keywords)

        return connect


_PARAMETERS = ["address", "timeout", "source_address", "socket_options"]
"""Those of urllib3's function. What has other ones is somebody else's."""


def for_urllib3(original: Callable[..., Any], connector: BlockingConnector | None) -> Callable[..., Any]:
    """Make a function with the parameters, the default time-out and the errors of this copy of urllib3's."""
    names = vars(sys.modules[original.__module__])
    its_default = inspect.signature(original).parameters["timeout"].default

    @functools.wraps(original)
    def connect(
        address: tuple[str, int],
        timeout: Any = its_default,
        source_address: tuple[str, int] | None = None,
        socket_options: Sequence[SocketOption] | None = None,
    ) -> socket.socket:
        seconds = DEFAULT_TIMEOUT if timeout is its_default else timeout
        family = names["allowed_gai_family"]()  # programs replace it, to avoid IPv6
        try:
            return (
                (connector or _default())
                ._only(family)
                .create_connection(address, seconds, source_address, socket_options=socket_options or ())
            )
        except ValueError as error:  # no name can be like this; a redirect may say anything
            raise names["LocationParseError"](str(error)) from None

    return connect


def _is_urllib3(name: str) -> bool:
    return f".{name}".endswith(_URLLIB3)


class _Finder(MetaPathFinder):
    """An import hook: finds urllib3's module as Python does, and has all patches reach it once it is loaded."""

    def __init__(self, connector: BlockingConnector | None) -> None:
        self.patch = Patch()
        self._connector = connector

    def put(self, module: ModuleType) -> None:
        """Have ours stand in for one copy of urllib3's function, if it is the one that is known."""
        theirs = getattr(module, "create_connection", None)
        if theirs is not None:
            original = innermost(theirs)
            if isinstance(original, FunctionType) and list(inspect.signature(original).parameters) == _PARAMETERS:
                self.patch.put(for_urllib3(original, self._connector), theirs)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None, /
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(fullname, path, target) if _is_urllib3(fullname) else None
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader)
        return spec


class _Loader(Loader):
    """Loads a module as its own loader does, which it names, and then tells the patches, the oldest first."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        assert module.__spec__ is not None
        module.__spec__.loader = module.__loader__ = self._loader
        self._loader.exec_module(module)
        for finder in reversed(sys.meta_path):
            if isinstance(finder, _Finder):
                finder.put(module)
                replace_in(module, finder.patch.begun)
