"""DNS: query name servers directly, for services as well as addresses (extra `dns`)."""

from ._dns.resolver import DNSResolver
from ._public import publish

__all__ = [
    "DNSResolver",
]

publish(__name__)
