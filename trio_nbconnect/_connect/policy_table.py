"""Policy table: which addresses a host prefers (RFC 6724, section 2.1).

Which is the better one to try: a unique local address, a tunnel's or an IPv4 one? The RFC answers with a table, which
an administrator may change, and which Linux's C library reads from `gai.conf`.

An address is a number of 128 bits, an IPv4 one its IPv4-mapped form (section 3.2). Its longest matching prefix in the
table gives its precedence and its label; and it has a scope (sections 3.1 and 3.2).

Refused: glibc's own defaults, which are RFC 3484's and put a unique local address before IPv4. A `gai.conf` of nothing
but comments leaves us with RFC 6724.
"""

from __future__ import annotations

import contextlib
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

from .._address import IPV4, IPV6, Address

_MAPPED = 0xFFFF
"""The 96 bits before the IPv4 address in an IPv4-mapped one (RFC 4291, section 2.5.5.2)."""

_OTHER_PRECEDENCE = 40
_OTHER_LABEL = 1
"""What RFC 6724 gives `::/0`, and glibc every address that no line of a `gai.conf` matches."""

_LINK_LOCAL, _SITE_LOCAL, _GLOBAL = 2, 5, 14
"""The scopes of RFC 4291, section 2.7, that unicast addresses have as well (RFC 6724, section 3.1)."""


class PolicyEntry(NamedTuple):
    """One row of a table.

    Attributes:
        prefix: The leading bits of an address.
        length: How many they are.
        value: What they stand for.
    """

    prefix: int
    length: int
    value: int

    @classmethod
    def read(cls, prefix: str, value: int) -> PolicyEntry:
        """Read a prefix as RFC 4291, section 2.3, writes it; bits behind its length do not count.

        Args:
            prefix: The prefix, `fe80::/10` say.
            value: What it stands for.

        Raises:
            ValueError: It is no IPv6 prefix.
        """
        text, slash, digits = prefix.partition("/")
        length = int(digits) if digits.isascii() and digits.isdigit() else 128 if not slash else -1
        try:
            number = int.from_bytes(socket.inet_pton(IPV6, text), "big")
        except (OSError, ValueError):  # UnicodeEncodeError is a ValueError
            length = -1
        if not 0 <= length <= 128:
            raise ValueError(f"prefix must be an IPv6 address and a length, not {prefix!r}")
        return cls(number >> (128 - length), length, value)


def _table(entries: Iterable[PolicyEntry]) -> tuple[PolicyEntry, ...]:
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
        >>> from trio_nbconnect import Address
        >>> from trio_nbconnect._connect.policy_table import DEFAULT_POLICY_TABLE
        >>> DEFAULT_POLICY_TABLE.classify(Address.parse("192.0.2.1:443"))
        (35, 4)
    """

    precedences: tuple[PolicyEntry, ...]
    labels: tuple[PolicyEntry, ...]
    scopes: tuple[PolicyEntry, ...]

    def classify(self, address: Address) -> tuple[int, int]:
        """Return the precedence and the label of an address.

        Args:
            address: The address.
        """
        number = number_of(address)
        return precedence_of(self, number), label_of(self, number)

    def scope(self, address: Address) -> int:
        """Return the scope of an address: 2 is link-local, 5 site-local, 14 global (section 3.1).

        A multicast address carries its own (RFC 4291, section 2.7).

        Args:
            address: The address.
        """
        return scope_of(self, number_of(address))


def number_of(address: Address) -> int:
    """Section 3.2: an IPv4 address counts as the IPv4-mapped one, `::ffff:192.0.2.1`."""
    if address.family == IPV6:
        return int.from_bytes(socket.inet_pton(IPV6, address.host.partition("%")[0]), "big")
    return _MAPPED << 32 | int.from_bytes(socket.inet_pton(IPV4, address.host), "big")


def precedence_of(table: PolicyTable, number: int) -> int:
    return _look_up(table.precedences, number, _OTHER_PRECEDENCE)


def label_of(table: PolicyTable, number: int) -> int:
    return _look_up(table.labels, number, _OTHER_LABEL)


def scope_of(table: PolicyTable, number: int) -> int:
    if number >> 120 == 0xFF:
        return number >> 112 & 0xF
    return _look_up(table.scopes if number >> 32 == _MAPPED else _UNICAST_SCOPES, number, _GLOBAL)


def _look_up(entries: Iterable[PolicyEntry], number: int, otherwise: int) -> int:
    """Section 2.1: find the entry with the longest matching prefix."""
    for prefix, length, value in entries:
        if number >> (128 - length) == prefix:
            return value
    return otherwise


_UNICAST_SCOPES = (
    PolicyEntry.read("::1/128", _LINK_LOCAL),  # section 3.4: it "MUST be treated as having link-local scope"
    PolicyEntry.read("fe80::/10", _LINK_LOCAL),
    PolicyEntry.read("fec0::/10", _SITE_LOCAL),
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
    precedences=_table(PolicyEntry.read(prefix, precedence) for prefix, precedence, _ in _DEFAULT_POLICIES),
    labels=_table(PolicyEntry.read(prefix, label) for prefix, _, label in _DEFAULT_POLICIES),
    scopes=_table(
        [PolicyEntry.read("::ffff:169.254.0.0/112", _LINK_LOCAL), PolicyEntry.read("::ffff:127.0.0.0/104", _LINK_LOCAL)]
    ),
)
"""RFC 6724, section 2.1: an implementation that "has not been configured [...] SHOULD operate according to the
algorithms specified here in conjunction with the following default policy table"; section 3.2: the scopes."""


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
        >>> from trio_nbconnect import Address
        >>> from trio_nbconnect._connect.policy_table import DEFAULT_POLICY_TABLE
        >>> table = parse_gai_conf("precedence ::ffff:0:0/96  100  # this site prefers IPv4")
        >>> table.classify(Address(IPV4, "192.0.2.1", 443)), table.classify(Address(IPV6, "2001:db8::1", 443))
        ((100, 4), (40, 1))
    """
    given: dict[str, list[PolicyEntry]] = {"precedence": [], "label": [], "scopev4": []}
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


def _read_entry(kind: str, prefix: str, length: str | None, value: int) -> PolicyEntry:
    """Read one entry; a scope may be given for an IPv4 prefix, or for an IPv4-mapped one of 96 bits at least.

    Raises:
        ValueError: It is none.
    """
    if value >= 2**31:
        raise ValueError(f"value must fit into a C int, not {value}")
    if kind == "scopev4" and ":" not in prefix:
        prefix, length = f"::ffff:{prefix}", str(96 + int(length or 32))
    entry = PolicyEntry.read(f"{prefix}/{length or 128}", value)
    if kind == "scopev4" and (entry.length < 96 or entry.prefix >> (entry.length - 96) != _MAPPED):
        raise ValueError(f"scopev4 must be given for an IPv4 prefix, not {prefix}")
    return entry
