"""Rules: which of the addresses of two families is better to try first, on this host (RFC 8305, section 4).

How we solve it: `Rules` brings together the rules of RFC 6724 (`_destination`) and what they must know of this host:
where it would connect from, and the table by which it prefers addresses (`_policy_table`).

What lives here: that. What does not: system calls, which are behind `source_of` and `table`; and the rules themselves.
This is a module of its own since they take a while to load, and most programs connect to literals, or on networks of
one family; these never need them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from .._address import IPV4, IPV6, Address
from .._connect.policy_table import PolicyTable
from .rfc6724 import Destination, merge_families, sort_destinations


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
