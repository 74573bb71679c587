"""Proxies: a connector that reaches hosts through a proxy (extra `proxy`)."""

from ._adapters.proxies import HTTPProxy, SOCKS5Proxy
from ._adapters.proxy_dialogues import Secret
from ._public import publish

__all__ = [
    "HTTPProxy",
    "SOCKS5Proxy",
    "Secret",
]

publish(__name__)
