"""Proxies of the environment: what `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` say, as the standard library reads them.

`urllib.request` has the rules: lower case before upper case, `HTTP_PROXY` ignored in a CGI script, and which hosts
`NO_PROXY` names. What is left for us is `ALL_PROXY`, which it reads and does not use, to make a proxy of a URL, and
what others take in `NO_PROXY`: networks (`10.0.0.0/8`, as curl and Go), `*.example.org` (Go), a dot at the end and
blanks in place of commas (curl). An address is the same in any spelling.

A connector is asked for hosts and ports and not for URLs, so that the program says which scheme's variable counts. A
proxy is asked for a tunnel, with CONNECT also for "http", where browsers would send it whole URLs.
"""

from __future__ import annotations

import math
import ssl
import urllib.request
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

import trio

from .._address import Target, check_host, format_host_port
from .._blocking import BlockingConnector
from .._connector import Connector, StreamOpener
from .._urls import host_of_url
from .proxies import HTTPProxy, SOCKS5Proxy

T = TypeVar("T")


def from_environment(scheme: str = "https", *, connector: Connector | None = None) -> EnvironmentProxy:
    """Return who connects as the environment says: through the proxy of a scheme, or directly.

    The variables are read once, here: `HTTPS_PROXY` for "https", `HTTP_PROXY` for "http", and so on; `ALL_PROXY` where
    that is not set; and `NO_PROXY`. Small letters count before capitals. A proxy is "http://host:port", "https://" for
    TLS with it, or "socks5://" or "socks5h://", which are the same: the proxy looks names up. User name and password
    may stand before the host.

    Args:
        scheme: Whose variable counts.
        connector: Who races for a connection to the proxy, or to a host that needs none; None is `Connector()`.

    Returns:
        What every adapter takes.

    Raises:
        TypeError: `connector` is none.
        ValueError: The variable names no such proxy. The text does not show it: it may hold a password.

    Example:
        >>> import os
        >>> from unittest.mock import patch
        >>> with patch.dict(os.environ, https_proxy="http://me:secret@proxy.example:3128", no_proxy="internal.example"):
        ...     opener = from_environment()
        >>> opener.opener_for("www.example.org", 443).host
        'proxy.example'
        >>> opener.opener_for("db.internal.example", 443) is opener.connector
        True
    """
    direct = Connector() if connector is None else connector
    if not isinstance(direct, Connector):
        raise TypeError(f"connector must be a Connector, not {connector!r}")
    settings = urllib.request.getproxies_environment()
    url = (settings.get(scheme) or settings.get("all", "")).strip()  # files and shells leave blanks around it
    return EnvironmentProxy(
        proxy=_proxy(url, direct) if url else None,
        connector=direct,
        no_proxy=settings.get("no", ""),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentProxy:
    """Connect through a proxy, and to some hosts directly; `from_environment` makes it. Immutable, and safe to share.

    Attributes:
        proxy: The proxy; None if there is none.
        connector: Who connects directly.
        no_proxy: The hosts to be reached directly, as in `NO_PROXY`: names, with all below them (`*.example.org` is the
            same), addresses, and networks as `10.0.0.0/8`, separated by commas or blanks; `*` is all.

    Example:
        >>> from trio_nbconnect import Connector
        >>> direct = Connector()
        >>> proxy = HTTPProxy("proxy.example", 3128)
        >>> chosen = EnvironmentProxy(proxy=proxy, connector=direct, no_proxy="example.org")
        >>> chosen.opener_for("www.example.org", 443) is direct, chosen.opener_for("www.example.com", 443) is proxy
        (True, True)
    """

    proxy: HTTPProxy | SOCKS5Proxy | None
    connector: Connector
    no_proxy: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.proxy, (HTTPProxy, SOCKS5Proxy, type(None))):
            raise TypeError(f"proxy must be HTTPProxy or SOCKS5Proxy, not {self.proxy!r}")
        if not isinstance(self.connector, Connector):
            raise TypeError(f"connector must be a Connector, not {self.connector!r}")
        if not isinstance(self.no_proxy, str):
            raise TypeError(f"no_proxy must be str, not {self.no_proxy!r}")

    def opener_for(self, host: str | bytes, port: int) -> StreamOpener:
        """Return who connects to a host: the proxy, or the connector.

        Args:
            host: Its name or address.
            port: The port; `NO_PROXY` may name hosts with their ports.
        """
        if self.proxy is None or _is_direct(Target.parse(check_host(host), port), self.no_proxy):
            return self.connector
        return self.proxy

    async def connect(
        self,
        host: str | bytes,
        port: int,
        establish: Callable[[Any], Awaitable[T]],
        *,
        give_up_after: float = math.inf,
    ) -> T:
        """Race for a connection on which `establish` succeeds; see `Connector.connect`."""
        return await self.opener_for(host, port).connect(host, port, establish, give_up_after=give_up_after)

    async def open_tcp_stream(
        self, host: str | bytes, port: int, *, give_up_after: float = math.inf
    ) -> trio.abc.Stream:
        """Connect to a host; see `Connector.open_tcp_stream`."""
        return await self.opener_for(host, port).open_tcp_stream(host, port, give_up_after=give_up_after)

    async def open_tls_stream(
        self,
        host: str | bytes,
        port: int,
        *,
        https_compatible: bool = False,
        ssl_context: ssl.SSLContext | None = None,
        server_hostname: str | bytes | None = None,
        alpn_protocols: Iterable[str] | None = None,
        give_up_after: float = math.inf,
    ) -> trio.SSLStream[Any]:
        """Connect to a host with TLS to the host; see `Connector.open_tls_stream`."""
        return await self.opener_for(host, port).open_tls_stream(
            host,
            port,
            https_compatible=https_compatible,
            ssl_context=ssl_context,
            server_hostname=server_hostname,
            alpn_protocols=alpn_protocols,
            give_up_after=give_up_after,
        )

    def blocking(self) -> BlockingConnector:
        """Return the same for code without an event loop.

        Raises:
            ValueError: TLS is spoken with the proxy: a socket cannot hold it.
        """
        if self.proxy is not None:
            self.proxy.blocking()
        return BlockingConnector(self)


def _is_direct(target: Target, no_proxy: str) -> bool:
    """Whether `NO_PROXY` names a host: as the caller wrote it, or as it is looked up."""
    entries = no_proxy.replace(",", " ").split()
    if "*" in entries or (not target.name and any(_holds(entry, target.addresses[0].host) for entry in entries)):
        return True
    names: Any = urllib.request  # typeshed does not know all of it
    spellings = {target.host, target.name.removesuffix(".")} - {""}
    no = ",".join(entry.removeprefix("*").removesuffix(".") for entry in entries)
    return any(names.proxy_bypass_environment(format_host_port(text, target.port), {"no": no}) for text in spellings)


def _holds(entry: str, address: str) -> bool:
    """Whether an entry is this address, or a network that holds it; most are names."""
    try:
        return ip_address(address) in ip_network(entry.strip("[]"), strict=False)
    except ValueError:
        return False


def _proxy(url: str, connector: Connector) -> HTTPProxy | SOCKS5Proxy:
    """Make a proxy of what a variable says; no error shows a password."""
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError("the environment names a proxy that is no URL") from None
    if host is None or parts.scheme not in _PORTS:
        raise ValueError(f"the environment's proxy must be http, https or socks5 and have a host, not {parts.scheme}")
    how: dict[str, Any] = {"connector": connector}
    if parts.username is not None:
        how.update(username=unquote(parts.username), password=unquote(parts.password or ""))
    port = _PORTS[parts.scheme] if port is None else port
    if parts.scheme.startswith("socks5"):
        return SOCKS5Proxy(host_of_url(host), port, **how)
    return HTTPProxy(host_of_url(host), port, tls=parts.scheme == "https", **how)


_PORTS = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}
"""Where a proxy is that names no port."""
