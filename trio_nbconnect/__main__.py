"""`python -m trio_nbconnect`: the command `nbconnect`.

Here the command gets its proxies, which it does not import itself: both are built on the connector, side by side.
"""

from __future__ import annotations

import sys
import urllib.parse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ._cli import command
from ._urls import host_of_url

if TYPE_CHECKING:
    from ._connector import Connector
    from .proxy import HTTPProxy, SOCKS5Proxy

__all__ = ["main"]

_PORTS = {"http": 3128, "https": 443, "socks5": 1080, "socks5h": 1080}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if list(arguments[:1]) == ["playground"]:  # a host of that name is `playground:80`
        from ._playground.command import main as playground  # noqa: PLC0415 - it needs what no connect does

        return playground(arguments[1:])
    return command.main(arguments, proxy_from=_proxy_from)


def _proxy_from(url: str, connector: Connector, addresses: Sequence[str] | None) -> HTTPProxy | SOCKS5Proxy:
    """Make a proxy from its URL.

    Raises:
        ValueError: The URL makes no sense; its password is not shown.
        ImportError: An extra is missing.
    """
    from .proxy import HTTPProxy, SOCKS5Proxy  # noqa: PLC0415 - it needs an extra

    try:
        parts = urllib.parse.urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.scheme not in _PORTS:
        raise ValueError("--proxy must be a URL with a host: http://, https:// or socks5://")
    kind = SOCKS5Proxy if parts.scheme.startswith("socks5") else HTTPProxy
    return kind(
        host_of_url(host),
        _PORTS[parts.scheme] if port is None else port,
        connector=connector,
        username=None if parts.username is None else urllib.parse.unquote(parts.username),
        password=None if parts.username is None else urllib.parse.unquote(parts.password or ""),
        addresses=addresses,
        tls=parts.scheme == "https",
    )


if __name__ == "__main__":
    sys.exit(main())
