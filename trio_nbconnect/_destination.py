"""Destination address selection: which address of a host is the better one to try (RFC 6724, section 6).

The problem: RFC 8305, section 4, wants all addresses of a host in one order, but asks the two families apart. The
operating system sorts each answer by itself and never sees both, so nobody has compared them. And a resolver that
asks name servers itself gets no order at all.

How we solve it, in the RFC's own steps: an address is found in the policy table by its longest matching prefix
(section 2.1); it has a scope (sections 3.1 and 3.2); a destination is judged together with the source address that
the system would use. Rules 1 to 8 judge each destination by itself, so they are one key, `rank`. Rule 9, the longest
matching prefix, compares within a family only. Rule 10 leaves the order unchanged: every sort here is stable.

- `sort_destinations` is the complete section 6, for addresses that nobody has sorted.
- `merge_families` keeps each family's order, since the system knows flags of interfaces that we cannot see, and
  decides between the families alone.

Both meet relations that are not transitive, from which a sort by comparing pairs makes any order at all. Rule 9 tells
two IPv6 addresses apart, and ties both with the IPv4 address between them: `sort_destinations` lets each family keep
its places among equals, and fills them by rule 9. And the system may put a before b, while the table puts b before c
and c before a: `merge_families` takes the better one of the two lists' heads, here c, and never looks back. The
system's order always holds; a good destination behind a poor one waits for it.

What lives here: the rules, the table, and the reading of `gai.conf`, given as text. What does not: looking for source
addresses, reading files, and the interleaving that follows (`_order`).

What we chose not to do: rule 9 between the families, which the RFC excludes; rules 3, 4 and 7 by guesswork, they hold
where the caller knows the facts; glibc's own defaults, which are RFC 3484's and put a unique local address before
IPv4. A `gai.conf` of nothing but comments leaves us with RFC 6724.
"""

from __future__ import annotations

import contextlib
import re
import socket
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from itertools import groupby
from typing import NamedTuple

from ._address import IPV4, IPV6, Address

_MAPPED = 0xFFFF
"""The 96 bits before the IPv4 address in an IPv4-mapped one (RFC 4291, section 2.5.5.2)."""

_OTHER_PRECEDENCE = 40
_OTHER_LABEL = 1
"""What RFC 6724 gives `::/0`, and glibc every address that no line of a `gai.conf` matches."""

_LINK_LOCAL, _SITE_LOCAL, _GLOBAL = 2, 5, 14
"""The scopes of RFC 4291, section 2.7, that unicast addresses have as well (RFC 6724, section 3.1)."""


class Entry(NamedTuple):
    """One row of a table: the leading bits of an address, how many they are, and what they stand for."""

    prefix: int
    length: int
    value: int

    @classmethod
    def read(cls, prefix: str, value: int) -> Entry:
        """Read a prefix as RFC 4291, section 2.3, writes it; bits behind its length do not count.

        Raises:
            ValueError: It is no IPv6 prefix.
        """
        network = IPv6Network(prefix, strict=False)
        return cls(int(network.network_address) >> (128 - network.prefixlen), network.prefixlen, value)


def _table(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """Put the longest prefix first; of two that are the same, the one that was written first."""
    return tuple(sorted(entries, key=lambda entry: -entry.length))


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyTable:
    """What a host thinks of addresses (RFC 6724, section 2.1). Each table has its longest prefixes first.

    Args:
        precedences: Destinations of a higher one are preferred.
        labels: A source that has the same one as its destination is preferred.
        scopes: The scopes of IPv4 addresses, written as IPv4-mapped ones (section 3.2).

    Example:
        >>> DEFAULT_POLICY_TABLE.classify(Address(IPV4, "192.0.2.1", 443))
        (35, 4)
    """

    precedences: tuple[Entry, ...]
    labels: tuple[Entry, ...]
    scopes: tuple[Entry, ...]

    def classify(self, address: Address) -> tuple[int, int]:
        """Return the precedence and the label of an address."""
        number = _number(address)
        return _precedence(self, number), _label(self, number)

    def scope(self, address: Address) -> int:
        """Return the scope of an address: 2 is link-local, 5 site-local, 14 global (section 3.1).

        A multicast address carries its own (RFC 4291, section 2.7).
        """
        return _scope(self, _number(address))


def _number(address: Address) -> int:
    """Section 3.2: an IPv4 address counts as the IPv4-mapped one, `::ffff:192.0.2.1`."""
    if address.family == IPV6:
        return int(IPv6Address(address.host))
    return _MAPPED << 32 | int(IPv4Address(address.host))


def _precedence(table: PolicyTable, number: int) -> int:
    return _look_up(table.precedences, number, _OTHER_PRECEDENCE)


def _label(table: PolicyTable, number: int) -> int:
    return _look_up(table.labels, number, _OTHER_LABEL)


def _scope(table: PolicyTable, number: int) -> int:
    if number >> 120 == 0xFF:
        return number >> 112 & 0xF
    return _look_up(table.scopes if number >> 32 == _MAPPED else _UNICAST_SCOPES, number, _GLOBAL)


def _look_up(entries: Iterable[Entry], number: int, otherwise: int) -> int:
    """Section 2.1: find the entry with the longest matching prefix."""
    for prefix, length, value in entries:
        if number >> (128 - length) == prefix:
            return value
    return otherwise


_UNICAST_SCOPES = (
    Entry.read("::1/128", _LINK_LOCAL),  # section 3.4: it "MUST be treated as having link-local scope"
    Entry.read("fe80::/10", _LINK_LOCAL),
    Entry.read("fec0::/10", _SITE_LOCAL),
)

_DEFAULT_POLICIES = (
    ("::1/128", 50, 0),
    ("::/0", 40, 1),
    ("::ffff:0:0/96", 35, 4),
    ("2002::/16", 30, 2),
    ("2001::/32", 5, 5),
    ("fc00::/7", 3, 13),
    ("::/96", 1, 3),
    ("fec0::/10", 1, 11),
    ("3ffe::/16", 1, 12),
)

DEFAULT_POLICY_TABLE = PolicyTable(
    precedences=_table(Entry.read(prefix, precedence) for prefix, precedence, _ in _DEFAULT_POLICIES),
    labels=_table(Entry.read(prefix, label) for prefix, _, label in _DEFAULT_POLICIES),
    scopes=_table([Entry.read("::ffff:169.254.0.0/112", _LINK_LOCAL), Entry.read("::ffff:127.0.0.0/104", _LINK_LOCAL)]),
)
"""RFC 6724, section 2.1: an implementation that "has not been configured [...] SHOULD operate according to the
algorithms specified here in conjunction with the following default policy table"; section 3.2: the scopes."""


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
    address = _number(destination.address)
    source = None if destination.source is None else _number(destination.source)
    scope = _scope(table, address)
    return (
        source is None,  # rule 1: avoid unusable destinations
        source is None or _scope(table, source) != scope,  # rule 2: prefer matching scope
        destination.deprecated,  # rule 3: avoid deprecated addresses
        not (destination.home and destination.care_of),  # rule 4: prefer home addresses, those at home most
        not destination.home,
        destination.care_of,
        source is None or _label(table, source) != _label(table, address),  # rule 5: prefer matching label
        -_precedence(table, address),  # rule 6: prefer higher precedence
        not destination.native,  # rule 7: prefer native transport
        scope,  # rule 8: prefer smaller scope
    )


def common_prefix_length(source: Address, destination: Address) -> int:
    """Section 2.2: the longest common prefix, "up to the length of S's prefix": 64 bits of IPv6, all 32 of IPv4."""
    if source.family != destination.family:
        return 0
    different = (_number(source) ^ _number(destination)).bit_length()
    return min(128 - different, 64) if source.family == IPV6 else 32 - different


def sort_destinations(
    destinations: Iterable[Destination],
    table: PolicyTable = DEFAULT_POLICY_TABLE,
    *,
    longest_prefix: Collection[socket.AddressFamily] = (IPV6, IPV4),
) -> list[Destination]:
    """Section 6: sort destinations that nobody has sorted, by all ten rules.

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
    ranked = sorted(((rank(destination, table), destination) for destination in destinations), key=lambda pair: pair[0])
    order: list[Destination] = []
    for _, pairs in groupby(ranked, key=lambda pair: pair[0]):
        order += _sort_equals([destination for _, destination in pairs], longest_prefix)
    return order


def _sort_equals(equals: list[Destination], families: Collection[socket.AddressFamily]) -> list[Destination]:
    """Rule 9, among destinations of one rank: each family keeps its places, and fills them by the matching prefix."""
    lengths = {destination: _matching_length(destination) for destination in equals}
    order = equals
    for family in families:
        ours = [destination for destination in order if destination.address.family == family]
        best = iter(sorted(ours, key=lambda destination: -lengths[destination]))
        order = [next(best) if destination.address.family == family else destination for destination in order]
    return order


def _matching_length(destination: Destination) -> int:
    return 0 if destination.source is None else common_prefix_length(destination.source, destination.address)


def merge_families(
    first: Sequence[Address],
    other: Sequence[Address],
    source_of: Callable[[Address], Address | None],
    table: PolicyTable = DEFAULT_POLICY_TABLE,
) -> list[Address]:
    """Bring the addresses of two families into one order, keeping the order inside each: rules 1, 2, 5, 6 and 8.

    Addresses without a source go last (rule 1), in the same way among themselves. Each address is judged once.

    Args:
        first: The addresses of one family, in the system's order; they come first where no rule decides (rule 10).
        other: The addresses of the other family, in the system's order.
        source_of: The address that the system would connect from, None if it has no way there; `dict.get` is one.
        table: The policy table.

    Example:
        >>> ula, ipv4 = Address(IPV6, "fd00::1", 80), Address(IPV4, "192.0.2.1", 80)
        >>> [address.host for address in merge_families([ula], [ipv4], {ula: ula, ipv4: ipv4}.get)]
        ['192.0.2.1', 'fd00::1']
    """
    left, right = _judge(first, source_of, table), _judge(other, source_of, table)
    order: list[Address] = []
    while left and right:
        better = right if right[0].rank < left[0].rank else left
        order.append(better.popleft().address)
    return order + [judged.address for judged in (*left, *right)]


class _Judged(NamedTuple):
    rank: tuple[int, ...]
    address: Address


def _judge(
    family: Iterable[Address], source_of: Callable[[Address], Address | None], table: PolicyTable
) -> deque[_Judged]:
    """Rank the addresses of a family; those without a source follow the others, in the order that they had."""
    destinations = [Destination(address=address, source=source_of(address)) for address in family]
    destinations.sort(key=lambda destination: destination.source is None)
    return deque(_Judged(rank(destination, table), destination.address) for destination in destinations)


_LINE = re.compile(r"\s*(label|precedence|scopev4)\s+([0-9A-Fa-f:.]+)(?:/(\d{1,3}))?\s+(\d{1,10})(?:\s.*)?", re.ASCII)
"""A line of `gai.conf`: what it sets, a prefix and its length, a value; the rest is not read."""


def parse_gai_conf(text: str, default: PolicyTable = DEFAULT_POLICY_TABLE) -> PolicyTable:
    """Read the policy table from the text of a `gai.conf` (gai.conf(5)), in the way glibc reads it.

    Lines of one kind, if there are any, replace the whole table of that kind; addresses that none of them matches get
    what the RFC gives `::/0`. Of two lines for the same prefix the first one counts. What is no such line is ignored,
    and so is `reload`.

    Args:
        text: The contents of the file.
        default: Where the tables come from of which the file has no line.

    Example:
        >>> table = parse_gai_conf("precedence ::ffff:0:0/96  100  # this site prefers IPv4")
        >>> table.classify(Address(IPV4, "192.0.2.1", 443)), table.classify(Address(IPV6, "2001:db8::1", 443))
        ((100, 4), (40, 1))
    """
    given: dict[str, list[Entry]] = {"precedence": [], "label": [], "scopev4": []}
    for line in text.split("\n"):
        if match := _LINE.fullmatch(line.partition("#")[0]):
            kind, prefix, length, value = match.group(1, 2, 3, 4)
            with contextlib.suppress(ValueError):  # glibc says nothing either
                given[kind].append(_read_entry(kind, prefix, length, int(value)))
    return replace(
        default,
        precedences=_table(given["precedence"]) or default.precedences,
        labels=_table(given["label"]) or default.labels,
        scopes=_table(given["scopev4"]) or default.scopes,
    )


def _read_entry(kind: str, prefix: str, length: str | None, value: int) -> Entry:
    """Read one entry; a scope may be given for an IPv4 prefix, or for an IPv4-mapped one of 96 bits at least.

    Raises:
        ValueError: It is none.
    """
    if value >= 2**31:
        raise ValueError(f"value must fit into a C int, not {value}")
    if kind == "scopev4" and ":" not in prefix:
        prefix, length = f"::ffff:{prefix}", str(96 + int(length or 32))
    entry = Entry.read(f"{prefix}/{length or 128}", value)
    if kind == "scopev4" and (entry.length < 96 or entry.prefix >> (entry.length - 96) != _MAPPED):
        raise ValueError(f"scopev4 must be given for an IPv4 prefix, not {prefix}")
    return entry
