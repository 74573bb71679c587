"""URLs: the host that stands in one, for all who read URLs: proxies, name servers, HTTP clients and the command."""

from __future__ import annotations

from urllib.parse import unquote


def host_of_url(host: str) -> str:
    """Return a host as everybody else writes it: in a URL a scope is behind "%25", and percent-encoded itself.

    RFC 6874, section 2. It has been withdrawn since (RFC 9844), but URLs are still written so.

    Example:
        >>> host_of_url("fe80::1%25eth0"), host_of_url("fe80::1%eth0")
        ('fe80::1%eth0', 'fe80::1%eth0')
    """
    address, percent, scope = host.partition("%25")
    return f"{address}%{unquote(scope)}" if ":" in address and percent and scope else host
