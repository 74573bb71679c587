"""RFC 6724, section 6: which address of a host is the better one to try, on this host.

RFC 8305, section 4, wants all addresses of a host in one order. The operating system sorts what it is asked for; where
the families were looked up apart, or name servers queried directly, they have not been compared.

An address has a precedence and a label in the policy table, and a scope; a destination is judged together with the
source address that the system would use. Rules 1 to 8 judge each destination by itself, so they are one key, `rank`.
Between rules 8 and 9 stand those of history (RFC 8305, section 4). Rule 9, the longest matching prefix, compares within
a family only. Rule 10 leaves the order unchanged: every sort here is stable.

- `sort_destinations` is the complete section 6, for addresses that are not sorted.
- `merge_families` keeps each family's order, since the system knows flags of interfaces that we cannot see, and
  decides between the families alone.
- `Rules.reorder` changes only what the rules leave open in the system's order.

Relations that are not transitive make any order at all of a sort by pairs. Rule 9 tells two IPv6 addresses apart, and
ties both with the IPv4 address between them: `sort_destinations` lets each family keep its places among equals, and
fills them by rule 9. And the system may put a before b, while the table puts b before c and c before a:
`merge_families` takes the better one of the two lists' heads and never looks back.

Refused: rule 9 between the families, which the RFC excludes; rules 4 and 7 by guesswork, they hold where the caller
knows the facts.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple

from .._address import IPV4, IPV6, Address
from .._connect.policy_table import DEFAULT_POLICY_TABLE, PolicyTable, label_of, number_of, precedence_of, scope_of

if TYPE_CHECKING:
    from .history import HistoryView


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """An address with what is known of the way there. What is not known counts as the usual: nothing special.

    Args:
        address: Where to connect to.
        source: The address that the system would connect from, None if it has no way there (rule 1).
        deprecated: The source's preferred lifetime is over (rule 3; RFC 4862, section 5.5.4).
        home: The source is a home address of Mobile IPv6 (rule 4; RFC 6275).
        care_of: The source is a care-of address of Mobile IPv6 (rule 4); at home it is both.
        native: Packets go there without a tunnel (rule 7).
    """

    address: Address
    source: Address | None
    deprecated: bool = False
    home: bool = False
    care_of: bool = False
    native: bool = True


def rank(destination: Destination, table: PolicyTable) -> tuple[int, ...]:
    """Section 6, rules 1 to 8: of two destinations the one with the smaller rank is preferred."""
    address = number_of(destination.address)
    source = None if destination.source is None else number_of(destination.source)
    scope = scope_of(table, address)
    return (
        source is None,  # rule 1: avoid unusable destinations
        source is None or scope_of(table, source) != scope,  # rule 2: prefer matching scope
        destination.deprecated,  # rule 3: avoid deprecated addresses
        not (destination.home and destination.care_of),  # rule 4: prefer home addresses, those at home most
        not destination.home,
        destination.care_of,
        source is None or label_of(table, source) != label_of(table, address),  # rule 5: prefer matching label
        -precedence_of(table, address),  # rule 6: prefer higher precedence
        not destination.native,  # rule 7: prefer native transport
        scope,  # rule 8: prefer smaller scope
    )


def common_prefix_length(source: Address, destination: Address) -> int:
    """Section 2.2: the longest common prefix, "up to the length of S's prefix": 64 bits of IPv6, all 32 of IPv4."""
    if source.family != destination.family:
        return 0
    different = (number_of(source) ^ number_of(destination)).bit_length()
    return min(128 - different, 64) if source.family == IPV6 else 32 - different


def sort_destinations(
    destinations: Iterable[Destination],
    table: PolicyTable = DEFAULT_POLICY_TABLE,
    *,
    longest_prefix: Collection[socket.AddressFamily] = (IPV6, IPV4),
) -> list[Destination]:
    """Section 6: sort destinations by all ten rules.

    Args:
        destinations: In the order that rule 10 keeps where the other rules have no say.
        table: The policy table.
        longest_prefix: The families that rule 9 is for. The RFC names both. Of an IPv4 address the leading bits say
            nothing about the way there, and sorting by them sends all clients to the same server; so whoever puts an
            order into effect gives `(IPV6,)`.

    Example:
        >>> there, here = Address(IPV4, "192.0.2.1", 80), Address(IPV4, "192.0.2.9", 0)
        >>> nowhere = Destination(address=Address(IPV6, "2001:db8::1", 80), source=None)
        >>> order = sort_destinations([nowhere, Destination(address=there, source=here)])
        >>> [destination.address.host for destination in order]
        ['192.0.2.1', '2001:db8::1']
    """
    return _sort_ranked(((destination, rank(destination, table)) for destination in destinations), longest_prefix)


def _no_history(_: Address) -> tuple[float, bool]:
    return (0.0, False)


def _sort_ranked(
    ranked: Iterable[tuple[Destination, tuple[int, ...]]],
    longest_prefix: Collection[socket.AddressFamily],
    history: Callable[[Address], tuple[float, bool]] = _no_history,
) -> list[Destination]:
    """Sort destinations with their ranks; equals by history and rule 9."""
    order: list[Destination] = []
    for _, pairs in groupby(sorted(ranked, key=itemgetter(1)), key=itemgetter(1)):
        order += _sort_equals([destination for destination, _ in pairs], longest_prefix, history)
    return order


def _sort_equals(
    equals: list[Destination],
    families: Collection[socket.AddressFamily],
    history: Callable[[Address], tuple[float, bool]],
) -> list[Destination]:
    """Sort destinations of one rank: by history, then by rule 9, which lets each family keep its places."""
    order = sorted(equals, key=lambda destination: history(destination.address))
    for family in families:
        ours = [destination for destination in order if destination.address.family == family]
        ours.sort(key=lambda destination: (history(destination.address), -_matching_length(destination)))
        best = iter(ours)
        order = [next(best) if destination.address.family == family else destination for destination in order]
    return order


def _matching_length(destination: Destination) -> int:
    return 0 if destination.source is None else common_prefix_length(destination.source, destination.address)


def merge_families(
    first: Sequence[Address],
    other: Sequence[Address],
    source_of: Callable[[Address], Address | None],
    table: PolicyTable = DEFAULT_POLICY_TABLE,
    deprecated: Collection[str] = (),
) -> list[Address]:
    """Bring the addresses of two families into one order, keeping the order inside each: rules 1, 2, 3, 5, 6 and 8.

    Addresses without a source go last (rule 1), in the same way among themselves. Each address is judged once.

    Args:
        first: The addresses of one family, in the system's order; they come first where no rule decides (rule 10).
        other: The addresses of the other family, in the system's order.
        source_of: The address that the system would connect from, None if it has no way there; `dict.get` is one.
        table: The policy table.
        deprecated: Those of this host that are past their preferred lifetime.

    Example:
        >>> ula, ipv4 = Address(IPV6, "fd00::1", 80), Address(IPV4, "192.0.2.1", 80)
        >>> [address.host for address in merge_families([ula], [ipv4], {ula: ula, ipv4: ipv4}.get)]
        ['192.0.2.1', 'fd00::1']
    """
    left, right = (_judge(family, source_of, table, deprecated) for family in (first, other))
    order: list[Address] = []
    while left and right:
        better = right if right[0].rank < left[0].rank else left
        order.append(better.popleft().address)
    return order + [judged.address for judged in (*left, *right)]


class _Judged(NamedTuple):
    rank: tuple[int, ...]
    address: Address


def _judge(
    family: Iterable[Address],
    source_of: Callable[[Address], Address | None],
    table: PolicyTable,
    deprecated: Collection[str],
) -> deque[_Judged]:
    """Rank the addresses of a family; those without a source follow the others, in the order that they had."""
    destinations = [_destination(address, source_of(address), deprecated) for address in family]
    destinations.sort(key=lambda destination: destination.source is None)
    return deque(_Judged(rank(destination, table), destination.address) for destination in destinations)


def _destination(address: Address, source: Address | None, deprecated: Collection[str]) -> Destination:
    is_deprecated = source is not None and source.host in deprecated
    return Destination(address=address, source=source, deprecated=is_deprecated)


_USABLE = (False, False, False, True, True, False, False)
"""The rank of an ordinary address up to rule 5: usable, scope and label match."""


_RULES = (
    "1 (usable)",
    "2 (matching scope)",
    "3 (not deprecated)",
    *["4 (home address)"] * 3,
    "5 (matching label)",
    "6 (higher precedence)",
    "7 (native transport)",
    "8 (smaller scope)",
)
"""The rules that the parts of a rank stand for."""

_LONGEST_PREFIX, _UNCHANGED = "9 (longest matching prefix)", "10 (order unchanged)"

_SOMEWHERE = {IPV6: Address(IPV6, "2001:503:ba3e::2:30", 53), IPV4: Address(IPV4, "198.41.0.4", 53)}
"""A root name server, far from every host; nothing is ever sent to it."""


class Rules:
    """The rules on this host, for one race.

    Args:
        source_of: Where the system would connect from, None if it has no way there.
        table: The policy table.
        view: What earlier connections taught, None if nothing.
        deprecated: The addresses of this host that are past their preferred lifetime.
    """

    __slots__ = ("_as_good_as_ipv4", "_deprecated", "_ranks", "_source_of", "_table", "_view")

    def __init__(
        self,
        source_of: Callable[[Address], Address | None],
        table: PolicyTable,
        view: HistoryView | None = None,
        deprecated: Collection[str] = (),
    ) -> None:
        self._source_of = source_of
        self._table = table
        self._view = view
        self._deprecated = deprecated
        self._ranks: dict[Address, tuple[Destination, tuple[int, ...]]] = {}
        self._as_good_as_ipv4 = (*_USABLE, -precedence_of(table, number_of(_SOMEWHERE[IPV4])))

    def sort(self, addresses: Sequence[Address]) -> list[Address]:
        """Sort addresses that nobody has sorted, by all rules."""
        history = _no_history if self._view is None else self._view.rank
        return [destination.address for destination in _sort_ranked(map(self._judge, addresses), (IPV6,), history)]

    def merge(self, addresses: Sequence[Address]) -> list[Address]:
        """Bring together what the system said of each family by itself; the order inside each is kept."""
        six, four = ([address for address in addresses if address.family == family] for family in (IPV6, IPV4))
        return merge_families(six, four, lambda address: self._judge(address)[0].source, self._table, self._deprecated)

    def reorder(self, addresses: Sequence[Address]) -> list[Address]:
        """Let history decide what the system left to rules 9 and 10: equals of one family change places."""
        assert self._view is not None, "without a history the system's order stands"
        groups: dict[object, list[Address]] = {}
        for address in addresses:
            groups.setdefault((address.family, self._judge(address)[1]), []).append(address)
        best = {key: iter(self._view.sort(group)) for key, group in groups.items()}
        return [next(best[address.family, self._judge(address)[1]]) for address in addresses]

    def difference(self, one: Address, other: Address) -> str:
        """Name the rule that prefers the first of two addresses, which stand in this order."""
        (better, rank_of_better), (worse, rank_of_worse) = self._judge(one), self._judge(other)
        for rule, left, right in zip(_RULES, rank_of_better, rank_of_worse, strict=True):
            if left != right:
                return f"RFC 6724, rule {rule}"
        if self._view is not None and self._view.rank(one) != self._view.rank(other):
            return "history"
        if one.family == other.family == IPV6 and _matching_length(better) != _matching_length(worse):
            return f"RFC 6724, rule {_LONGEST_PREFIX}"
        return f"RFC 6724, rule {_UNCHANGED}"

    def is_inferior(self, address: Address) -> bool:
        """Whether an ordinary IPv4 address would come before this one, by the table of this host."""
        return self._judge(address)[1][: len(self._as_good_as_ipv4)] > self._as_good_as_ipv4

    def has_default_route(self, family: socket.AddressFamily) -> bool:
        """Whether this host can send to the internet over a family."""
        return self._source_of(_SOMEWHERE[family]) is not None

    def _judge(self, address: Address) -> tuple[Destination, tuple[int, ...]]:
        """Judge each address once."""
        if address not in self._ranks:
            destination = _destination(address, self._source_of(address), self._deprecated)
            self._ranks[address] = destination, rank(destination, self._table)
        return self._ranks[address]
