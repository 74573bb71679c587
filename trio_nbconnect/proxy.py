"""Proxies: a connector that reaches hosts through a proxy (extra `proxy`)."""

from ._adapters.proxies import HTTPProxy, SOCKS5Proxy
from ._adapters.proxy_dialogues import Secret
from ._adapters.proxy_environment import EnvironmentProxy, from_environment
from ._public import publish

__all__ = [
    "EnvironmentProxy",
    "HTTPProxy",
    "SOCKS5Proxy",
    "Secret",
    "from_environment",
]

publish(__name__)
