"""Proxies: a connector that reaches hosts through somebody else (extra `proxy`)."""

from ._adapters.proxies import HTTPProxy, SOCKS5Proxy

__all__ = [
    "HTTPProxy",
    "SOCKS5Proxy",
]
