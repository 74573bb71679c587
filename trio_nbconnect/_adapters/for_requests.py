"""For requests: an adapter whose connections are opened by a connector (extra `requests`).

A session mounts it for the URLs that it is to serve. It is requests' own adapter, on urllib3's own pools; only their
connections are made by us. TLS comes after the race there: urllib3 wraps the socket that it was given.

requests reads `HTTP_PROXY` and its like, and so do sessions with this adapter: connections to an HTTP proxy are raced.
Those to a SOCKS proxy are made by PySocks; a connector that is a proxy of ours does that better.
"""

from __future__ import annotations

import socket
import sys
from typing import Any

from .._blocking import BlockingConnector, SupportsBlocking, as_blocking
from .._connector import Connector
from .._urls import host_of_url
from .for_sockets import for_urllib3
from .patching import innermost

try:
    import requests
    import requests.adapters
    import urllib3
    from urllib3.util import connection as its_connection
except ModuleNotFoundError as missing:
    if missing.name not in {"requests", "urllib3"}:
        raise
    advice = "python -m pip install 'trio-nbconnect[requests]'"
    raise ImportError(f"trio_nbconnect.requests needs requests: {advice}") from None

_NameResolutionError: Any = getattr(urllib3.exceptions, "NameResolutionError", None)
"""New in urllib3 2; before, a name that is not found was a `NewConnectionError`, too."""


class HTTPAdapter(requests.adapters.HTTPAdapter):
    """Serve a session of requests over connections that are opened by a connector.

    It honours `HTTP_PROXY` and its like, as requests does: the race is then the one for the proxy.

    Args:
        connector: Who opens connections, a `Connector` or a proxy of ours; None is `Connector()`.
        options: The arguments of `requests.adapters.HTTPAdapter`.

    Raises:
        TypeError: `connector` is neither.

    Example:
        >>> import requests
        >>> session = requests.Session()
        >>> for scheme in ("https://", "http://"):
        ...     session.mount(scheme, HTTPAdapter(max_retries=1))
    """

    __attrs__: list[str] = [*requests.adapters.HTTPAdapter.__attrs__, "_connector"]  # noqa: RUF012 - requests has a list here

    def __init__(self, connector: SupportsBlocking | None = None, **options: Any) -> None:
        self._connector = as_blocking(Connector() if connector is None else connector)
        super().__init__(**options)

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        """Make urllib3's pools, with connections of ours."""
        super().init_poolmanager(*arguments, **options)
        _connect_through(self.poolmanager, self._connector)

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        """Make urllib3's pools for a proxy, with connections of ours; those to SOCKS proxies are not."""
        manager = super().proxy_manager_for(proxy, **options)
        if not proxy.lower().startswith("socks"):
            _connect_through(manager, self._connector)
        return manager


def _connect_through(manager: Any, connector: BlockingConnector) -> None:
    """Let the pools of a manager make connections that we open."""
    connect = for_urllib3(innermost(its_connection.create_connection), connector)

    def new_connection(self: Any) -> socket.socket:
        """Do what `HTTPConnection._new_conn` does, its errors and its audit event included."""
        try:
            sock: socket.socket = connect(
                (host_of_url(self._dns_host), self.port),  # requests quotes the "%" before a scope
                self.timeout,
                source_address=self.source_address,
                socket_options=self.socket_options,
            )
        except socket.gaierror as error:
            if _NameResolutionError is not None:
                raise _NameResolutionError(self.host, self, error) from error
            raise urllib3.exceptions.NewConnectionError(self, str(error)) from error
        except TimeoutError as error:
            raise urllib3.exceptions.ConnectTimeoutError(self, str(error)) from error
        except OSError as error:
            raise urllib3.exceptions.NewConnectionError(self, str(error)) from error
        sys.audit("http.client.connect", self, self.host, self.port)
        return sock

    classes = dict(manager.pool_classes_by_scheme)
    for scheme, pool in classes.items():
        ours = type(pool.ConnectionCls.__name__, (pool.ConnectionCls,), {"_new_conn": new_connection})
        classes[scheme] = type(pool.__name__, (pool,), {"ConnectionCls": ours})
    manager.pool_classes_by_scheme = classes
