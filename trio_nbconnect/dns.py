"""DNS: ask name servers ourselves, and know services as well as addresses (extra `dns`)."""

from ._dns.resolver import DNSResolver

__all__ = [
    "DNSResolver",
]
