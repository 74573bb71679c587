"""Order: which address comes before which (RFC 8305, section 4).

Rule 1: everything that decides order lives here. Rule 2: nothing here waits, or knows a clock.

First the preferred family, then the other one; then the two are interleaved, so that a broken family costs one
attempt and not all of its addresses. Inside a family we keep the order in which the addresses came: the operating
system has sorted them (RFC 6724), and it knows interface flags that we cannot see.

What lives here: `Rules`, which sorts by RFC 6724 with what is known of this host; `prefer`, for a caller who wants one
family first whatever the rules say; and `interleave`. The rules themselves are in `_destination`.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

from ._address import IPV4, IPV6, Address
from ._destination import Destination, merge_families, sort_destinations
from ._policy_table import PolicyTable


@dataclass(slots=True)
class Rules:
    """RFC 6724, section 6, on this host."""

    source_of: Callable[[Address], Address | None]
    """Where the system would connect from, None if it has no way there."""
    table: Callable[[], PolicyTable]
    by_system: bool
    """Whether each family comes in the operating system's order, which is kept."""
    _sources: dict[Address, Address | None] = field(default_factory=dict)

    def sort(self, addresses: Sequence[Address]) -> list[Address]:
        """Bring the addresses into the order in which they should be tried, before interleaving."""
        if not self.by_system:
            destinations = [Destination(address=address, source=self._source(address)) for address in addresses]
            ordered = sort_destinations(destinations, self.table(), longest_prefix=(IPV6,))
            return [destination.address for destination in ordered]
        six, four = ([address for address in addresses if address.family == family] for family in (IPV6, IPV4))
        return merge_families(six, four, self._source, self.table()) if six and four else list(addresses)

    def _source(self, address: Address) -> Address | None:
        """Ask for each address once."""
        if address not in self._sources:
            self._sources[address] = self.source_of(address)
        return self._sources[address]


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
