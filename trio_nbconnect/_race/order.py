"""Order: which address comes before which (RFC 8305, section 4).

Rule 1: everything that decides order lives here. Rule 2: nothing here waits, or knows a clock.

First the preferred family, then the other one; then the two are interleaved, so that a broken family costs one
attempt and not all of its addresses. Inside a family we keep the order in which the addresses came: the operating
system has sorted them (RFC 6724), and it knows interface flags that we cannot see.

What lives here: `prefer`, for a caller who wants one family first whatever the rules of RFC 6724 say; and `interleave`.
What those rules say on this host is in `_rules`.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Sequence
from itertools import zip_longest

from .._address import Address


def prefer(families: Sequence[socket.AddressFamily], addresses: Iterable[Address]) -> list[Address]:
    """Bring the addresses into the order of their families, keeping the order inside each.

    Example:
        >>> from trio_nbconnect._address import IPV4, IPV6
        >>> a, b = Address(IPV4, "192.0.2.1", 80), Address(IPV6, "2001:db8::1", 80)
        >>> [address.host for address in prefer((IPV6, IPV4), [a, b])]
        ['2001:db8::1', '192.0.2.1']
    """
    return sorted(addresses, key=lambda address: families.index(address.family))


def interleave(addresses: Sequence[Address], first_address_family_count: int) -> list[Address]:
    """Section 4: let the families alternate, after `first_address_family_count` addresses of the first one.

    The first address stays the first. Duplicates are dropped: an endpoint is tried once.
    """
    distinct = list(dict.fromkeys(addresses))
    first = [address for address in distinct if address.family == addresses[0].family]
    other = [address for address in distinct if address.family != addresses[0].family]
    lead = first_address_family_count - 1
    pairs = zip_longest(first[lead:], other)
    return first[:lead] + [address for pair in pairs for address in pair if address is not None]
