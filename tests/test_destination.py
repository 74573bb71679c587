"""Destination address selection beyond the vectors: rule 9 by family, the merge of families, and `gai.conf`."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from trio_nbconnect._address import IPV4, IPV6, Address
from trio_nbconnect._connect.policy_table import DEFAULT_POLICY_TABLE, PolicyEntry, PolicyTable, parse_gai_conf
from trio_nbconnect._resolve.history import History
from trio_nbconnect._resolve.rfc6724 import Destination, Rules, merge_families, rank, sort_destinations

from .test_rfc6724 import TABLE, Vector, canonical, destination, literal, order_of, read

VECTORS = read(TABLE)


def table_of(precedences: list[Any], labels: list[Any]) -> PolicyTable:
    """Make a table of rows of prefix and value, through the door that administrators use."""
    lines = [f"precedence {prefix} {value}" for prefix, value in precedences]
    return parse_gai_conf("\n".join(lines + [f"label {prefix} {value}" for prefix, value in labels]))


GLIBC = table_of(VECTORS["glibc_default_precedence"], VECTORS["glibc_default_labels"])
UPDATE = table_of(
    [(prefix, precedence) for prefix, precedence, _ in VECTORS["policy_table_rfc6724_update_recalled"]],
    [(prefix, label) for prefix, _, label in VECTORS["policy_table_rfc6724_update_recalled"]],
)


@pytest.mark.parametrize("vector", VECTORS["vectors"], ids=lambda vector: vector["id"])
def test_other_tables_and_other_sorters(vector: Vector) -> None:
    """The same addresses as glibc and Go sort them: other tables, no rule 9 for IPv4, no facts on Go's part."""
    known = [destination(**fields) for fields in vector["destinations"]]
    plain = [Destination(address=each.address, source=each.source) for each in known]
    by_glibc = sort_destinations(known, GLIBC, longest_prefix=(IPV6,))
    by_go = sort_destinations(plain, longest_prefix=(IPV6,))

    assert order_of(vector, UPDATE) == canonical(vector["expected_rfc6724_update"])
    assert [each.address.host for each in by_glibc] == canonical(vector["expected_glibc"])
    assert [each.address.host for each in by_go] == canonical(vector["expected_go"])


SAME_FOR_ALL = parse_gai_conf("precedence ::/0 40\nlabel ::/0 1")
"""A table that has no opinion: rules 1 to 8 leave global addresses equal, whatever their family."""

NEAR, NEARER = (
    destination(addr="2001:db8:f::1", source="2001:db8::9"),
    destination(addr="2001:db8::1", source="2001:db8::9"),
)
FAR, FARTHER = (
    destination(addr="198.51.100.1", source="192.0.2.9"),
    destination(addr="10.0.0.1", source="192.0.2.9"),
)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([NEAR, NEARER], [NEARER, NEAR]),
        ([NEAR, FAR, NEARER], [NEARER, FAR, NEAR]),
        ([NEARER, FAR, NEAR], [NEARER, FAR, NEAR]),
        ([FARTHER, NEAR, NEARER, FAR], [FAR, NEARER, NEAR, FARTHER]),
    ],
)
def test_each_family_keeps_its_places_among_equals(given: list[Destination], expected: list[Destination]) -> None:
    """Rule 9 ties FAR with NEAR and with NEARER, and prefers NEARER to NEAR: no sort by pairs can keep all three."""
    assert sort_destinations(given, SAME_FOR_ALL) == expected


def test_rule_9_is_for_the_families_that_are_named() -> None:
    given = [FARTHER, NEAR, NEARER, FAR]

    assert sort_destinations(given, SAME_FOR_ALL, longest_prefix=(IPV6,)) == [FARTHER, NEARER, NEAR, FAR]
    assert sort_destinations(given, SAME_FOR_ALL, longest_prefix=(IPV4,)) == [FAR, NEAR, NEARER, FARTHER]
    assert sort_destinations(given, SAME_FOR_ALL, longest_prefix=()) == given


def test_what_is_equal_to_all_rules_stays_in_order() -> None:
    """Rule 10: "Otherwise, leave the order unchanged", duplicates included; without a source there is no rule 9."""
    nowhere = [Destination(address=literal(f"2001:db8:{number:x}::1"), source=None) for number in (3, 1, 2, 1)]

    assert sort_destinations([*nowhere, NEARER, NEARER]) == [NEARER, NEARER, *nowhere]
    assert sort_destinations([]) == []


# The merge of families -----------------------------------------------------------------------------------------------

SOURCES = {
    "2001:db8::1": "2001:db8::9",
    "2001:db8::2": "2001:db8::9",
    "2001:db8::a": None,
    "2001:db8::b": None,
    "2001:db8::bad": "fe80::9",
    "2002:c000:201::1": "2001:db8::9",
    "fd00::1": "fd00::9",
    "fe80::1": "fe80::9",
    "::1": "::1",
    "127.0.0.1": "127.0.0.1",
    "192.0.2.1": "192.0.2.9",
    "192.0.2.2": "192.0.2.9",
    "198.51.100.1": None,
    "203.0.113.1": "169.254.0.9",
}
"""From where this host would connect to whom."""


def source_of(address: Address) -> Address | None:
    source = SOURCES[address.host]
    return None if source is None else literal(source)


@pytest.mark.parametrize(
    ("first", "other", "expected"),
    [
        ("", "", ""),
        ("2001:db8::1", "", "2001:db8::1"),
        ("", "192.0.2.1", "192.0.2.1"),
        # rule 1: no source goes last, and for the rest of the rules its neighbours are as before
        ("2001:db8::a", "192.0.2.1", "192.0.2.1 2001:db8::a"),
        ("2001:db8::a 2001:db8::1", "192.0.2.1", "2001:db8::1 192.0.2.1 2001:db8::a"),
        ("2001:db8::b 2001:db8::a", "198.51.100.1 192.0.2.1", "192.0.2.1 2001:db8::b 2001:db8::a 198.51.100.1"),
        ("2001:db8::a", "", "2001:db8::a"),
        # rule 2: a global address from a link-local source
        ("2001:db8::bad", "192.0.2.1", "192.0.2.1 2001:db8::bad"),
        ("2001:db8::1", "203.0.113.1", "2001:db8::1 203.0.113.1"),
        # rule 5: 6to4 from a native source
        ("2002:c000:201::1", "192.0.2.1", "192.0.2.1 2002:c000:201::1"),
        # rule 6: the policy table
        ("2001:db8::1 2001:db8::2", "192.0.2.1 192.0.2.2", "2001:db8::1 2001:db8::2 192.0.2.1 192.0.2.2"),
        ("fd00::1", "192.0.2.1", "192.0.2.1 fd00::1"),
        ("::1", "127.0.0.1", "::1 127.0.0.1"),
        # the system's order holds: what it put behind a poor address waits for it
        ("fd00::1 2001:db8::1", "192.0.2.1 192.0.2.2", "192.0.2.1 192.0.2.2 fd00::1 2001:db8::1"),
        ("2001:db8::1 fd00::1 2001:db8::2", "192.0.2.1", "2001:db8::1 192.0.2.1 fd00::1 2001:db8::2"),
        # inside a family no rule is applied: not 8, which prefers fe80::1, and not 9
        ("2001:db8::2 2001:db8::1 fe80::1", "192.0.2.1", "2001:db8::2 2001:db8::1 fe80::1 192.0.2.1"),
        ("2001:db8::1", "192.0.2.2 192.0.2.1", "2001:db8::1 192.0.2.2 192.0.2.1"),
    ],
)
def test_families_are_merged(first: str, other: str, expected: str) -> None:
    families = [literal(host) for host in first.split()], [literal(host) for host in other.split()]

    assert [address.host for address in merge_families(*families, source_of)] == expected.split()


def test_rule_8_between_the_families() -> None:
    """The RFC: "Prefer smaller scope"; here the table has no opinion."""
    families = [literal("192.0.2.1")], [literal("fe80::1")]

    assert [each.host for each in merge_families(*families, source_of, SAME_FOR_ALL)] == ["fe80::1", "192.0.2.1"]


def test_the_first_family_comes_first_at_a_tie() -> None:
    ipv6, ipv4 = [literal("2001:db8::1"), literal("2001:db8::2")], [literal("192.0.2.1"), literal("192.0.2.2")]

    assert merge_families(ipv6, ipv4, source_of, SAME_FOR_ALL) == ipv6 + ipv4
    assert merge_families(ipv4, ipv6, source_of, SAME_FOR_ALL) == ipv4 + ipv6


def test_ipv6_comes_first_at_a_tie_whatever_the_order() -> None:
    ipv6, ipv4 = literal("2001:db8::1"), literal("192.0.2.1")
    rules = Rules(source_of, parse_gai_conf("precedence ::/0 35"))

    assert rules.merge([ipv4, ipv6]) == [ipv6, ipv4]
    assert rules.merge([literal("2001:db8::a"), ipv4]) == [ipv4, literal("2001:db8::a")]


@pytest.mark.parametrize(
    ("host", "table", "is_inferior"),
    [
        ("2001:db8::1", "", False),
        ("2001:db8::1", "precedence ::/0 35", False),
        ("2001:db8::1", "precedence ::/0 34\nprecedence ::ffff:0:0/96 35", True),
        ("2001:db8::1", "precedence ::/0 34", False),
        ("2001:db8::1", "precedence ::ffff:0:0/96 100", True),
        ("2001:db8::1", "precedence ::/0 30\nprecedence ::ffff:0:0/96 10", False),
        ("2001:db8::a", "", True),
        ("fe80::1", "", False),
    ],
)
def test_what_an_ordinary_ipv4_address_would_precede(host: str, table: str, is_inferior: bool) -> None:
    """By the table of this host, in which IPv4 may have another precedence than 35."""
    assert Rules(source_of, parse_gai_conf(table)).is_inferior(literal(host)) is is_inferior


def _source_of(address: Address) -> Address | None:
    """From a link only its own hosts are reached, and nothing from nowhere."""
    own = {"2001:db8:dead::1": None, "fe80::1": "fe80::9", "2001:db8:fe80::1": "fe80::9"}.get(address.host, HERE)
    return None if own is None else literal(own if address.family == IPV6 else "192.0.2.254")


HERE = "2001:db8:1::9"


@pytest.mark.parametrize(
    ("one", "other", "rule"),
    [
        ("2001:db8::1", "2001:db8:dead::1", "1 (usable)"),
        ("2001:db8::1", "2001:db8:fe80::1", "2 (matching scope)"),
        ("2001:db8::1", "2002:c000:201::1", "5 (matching label)"),
        ("2001:db8::1", "192.0.2.1", "6 (higher precedence)"),
        ("fe80::1", "2001:db8::1", "8 (smaller scope)"),
        ("2001:db8:1::1", "2001:db8:2::1", "9 (longest matching prefix)"),
        ("2001:db8:2::1", "2001:db8:3::1", "10 (order unchanged)"),
        ("192.0.2.1", "192.0.2.200", "10 (order unchanged)"),
    ],
)
def test_the_rule_that_decides_has_its_name(one: str, other: str, rule: str) -> None:
    assert Rules(_source_of, DEFAULT_POLICY_TABLE).difference(literal(one), literal(other)) == f"RFC 6724, rule {rule}"


def test_history_decides_what_it_knows() -> None:
    known, one, other = (literal(host) for host in ("2001:db8:2::1", "2001:db8:3::1", "2001:db8:2::2"))
    history = History(explore_every=math.inf)
    history.record(known, 0.04, 1.0)
    rules = Rules(_source_of, DEFAULT_POLICY_TABLE, history.view(2.0))
    assert rules.difference(known, one) == "history"
    assert rules.difference(one, other) == "RFC 6724, rule 10 (order unchanged)"


def test_history_sorts_what_it_knows() -> None:
    """RFC 8305, section 4: before rule 9."""
    near, known = literal("2001:db8:1::1"), literal("2001:db8:2::1")
    history = History(explore_every=math.inf)
    history.record(known, 0.04, 1.0)
    assert Rules(_source_of, DEFAULT_POLICY_TABLE, history.view(2.0)).sort([near, known]) == [known, near]
    assert Rules(_source_of, DEFAULT_POLICY_TABLE).sort([known, near]) == [near, known]


def test_rule_9_lets_each_family_keep_its_places() -> None:
    far, ipv4, near = literal("2a00::1"), literal("192.0.2.253"), literal("2001:db8:1::1")
    rules = Rules(_source_of, parse_gai_conf("precedence ::/0 35"))
    assert rules.sort([far, ipv4, near]) == [near, ipv4, far]
    assert rules.difference(near, ipv4) == rules.difference(ipv4, far) == "RFC 6724, rule 10 (order unchanged)"


def test_a_default_route_leads_to_the_whole_internet() -> None:
    asked: list[Address] = []
    rules = Rules(asked.append, DEFAULT_POLICY_TABLE)  # which returns None: no way there
    assert not any(rules.has_default_route(family) for family in (IPV6, IPV4))
    assert [address.family for address in asked] == [IPV6, IPV4]
    assert all(ip_address(address.host).is_global and address.port > 0 for address in asked)


def test_a_table_that_prefers_ipv4_puts_it_first() -> None:
    """The line that the sample file offers "for sites which prefer IPv4 connections"."""
    table = parse_gai_conf("precedence ::ffff:0:0/96  100")
    ipv6, ipv4 = [literal("2001:db8::1")], [literal("192.0.2.1"), literal("192.0.2.2")]

    assert merge_families(ipv6, ipv4, source_of, table) == ipv4 + ipv6


def test_a_deprecated_source_comes_last() -> None:
    """Rule 3: a network that was renumbered may drop what comes from its old prefix."""
    ipv6, ipv4 = literal("2001:db8::1"), literal("192.0.2.1")
    deprecated = [source.host for source in (source_of(ipv6),) if source]
    rules = Rules(source_of, DEFAULT_POLICY_TABLE, None, deprecated)

    assert rules.sort([ipv6, ipv4]) == rules.merge([ipv6, ipv4]) == [ipv4, ipv6]
    assert rules.is_inferior(ipv6)
    assert rules.difference(ipv4, ipv6) == "RFC 6724, rule 3 (not deprecated)"
    assert merge_families([ipv6], [ipv4], source_of) == [ipv6, ipv4]


def random_families(chance: random.Random) -> tuple[list[Address], list[Address]]:
    """Choose addresses of every kind, in any order, some of them twice."""
    ipv6 = [host for host in SOURCES if ":" in host]
    ipv4 = [host for host in SOURCES if ":" not in host]
    return (
        [literal(host) for host in chance.choices(ipv6, k=chance.randrange(9))],
        [literal(host) for host in chance.choices(ipv4, k=chance.randrange(9))],
    )


@pytest.mark.parametrize("seed", range(200))
def test_a_merge_keeps_what_it_promises(seed: int) -> None:
    """A permutation; usable before unusable; each family in its order; the same again for the same question."""
    first, other = random_families(random.Random(seed))
    merged = merge_families(first, other, source_of)
    usable = [address for address in merged if source_of(address) is not None]
    unusable = [address for address in merged if source_of(address) is None]

    assert merged == usable + unusable == merge_families(first, other, source_of)
    for part, has_source in (usable, True), (unusable, False):
        for family in first, other:
            ours = [address for address in family if (source_of(address) is not None) == has_source]
            assert [address for address in part if address in family] == ours


@pytest.mark.parametrize("seed", range(50))
def test_a_sort_does_not_depend_on_the_order_it_was_given(seed: int) -> None:
    """But for rule 10: what is sorted stays so, and a shuffled list comes out with the same ranks in a row."""
    chance = random.Random(seed)
    families = random_families(chance)
    known = [Destination(address=each, source=source_of(each)) for family in families for each in family]
    once = sort_destinations(known, longest_prefix=(IPV6,))
    shuffled = sort_destinations(chance.sample(known, len(known)), longest_prefix=(IPV6,))

    assert sort_destinations(once, longest_prefix=(IPV6,)) == once
    assert [rank(each, DEFAULT_POLICY_TABLE) for each in shuffled] == [
        rank(each, DEFAULT_POLICY_TABLE) for each in once
    ]


def test_each_address_is_judged_once() -> None:
    """The cost of a merge is that of looking at each address: 2000 addresses, 2000 questions."""
    asked = []

    def ask(address: Address) -> Address:
        asked.append(address)
        return address

    ipv6 = [Address(IPV6, f"2001:db8::{number:x}", 443) for number in range(1, 1001)]
    ipv4 = [Address(IPV4, f"198.51.{number // 256}.{number % 256}", 443) for number in range(1000)]

    assert merge_families(ipv4, ipv6, ask) == ipv6 + ipv4
    assert sorted(asked, key=str) == sorted(ipv6 + ipv4, key=str)


# gai.conf ------------------------------------------------------------------------------------------------------------

SAMPLE = """\
# Configuration for getaddrinfo(3).
#
# reload  <yes|no>
#
#label ::1/128       0
#label ::/0          1
#label 2002::/16     2
#label ::/96         3
#label ::ffff:0:0/96 4
#label fec0::/10     5
#label fc00::/7      6
#label 2001:0::/32   7
#
# precedence  <mask>   <value>
#
#precedence  ::1/128       50
#precedence  ::/0          40
#precedence  2002::/16     30
#precedence ::/96          20
#precedence ::ffff:0:0/96  10
#
#    For sites which prefer IPv4 connections change the last line to
#
#precedence ::ffff:0:0/96  100
#
#scopev4 ::ffff:169.254.0.0/112  2
#scopev4 ::ffff:127.0.0.0/104    2
#scopev4 ::ffff:0.0.0.0/96       14
"""
"""The lines of glibc's sample file, as distributions install it: all of them are comments."""


def test_the_sample_file_changes_nothing() -> None:
    """The file itself: "Complete absence of data of one kind causes the appropriate default information to be used"."""
    assert parse_gai_conf(SAMPLE) == DEFAULT_POLICY_TABLE
    assert parse_gai_conf("") == DEFAULT_POLICY_TABLE
    assert parse_gai_conf(SAMPLE, GLIBC) == GLIBC


def test_the_sample_file_read_in_earnest_is_what_glibc_does_without_one() -> None:
    table = parse_gai_conf(SAMPLE.replace("\n#", "\n"))

    assert set(table.precedences) == {PolicyEntry.read(*row) for row in VECTORS["glibc_default_precedence"]} | {
        PolicyEntry.read(
            "::ffff:0:0/96", 100
        )  # the alternative that the sample offers; the first line for a prefix counts
    }
    assert table.classify(literal("192.0.2.1")) == (10, 4)
    assert set(table.labels) == {PolicyEntry.read(*row) for row in VECTORS["glibc_default_labels"]}
    for host, scope in VECTORS["scope_vectors"]:
        assert table.scope(literal(host)) == scope


def test_lines_of_one_kind_replace_the_whole_table_of_that_kind() -> None:
    """The file: "Information specified in this file replaces the default information"; ::1 has lost its 50."""
    table = parse_gai_conf("precedence ::ffff:0:0/96 100")

    assert table == replace(DEFAULT_POLICY_TABLE, precedences=(PolicyEntry.read("::ffff:0:0/96", 100),))
    assert table.classify(literal("192.0.2.1")) == (100, 4)
    assert table.classify(literal("::1")) == (40, 0)
    assert table.classify(literal("fd00::1")) == (40, 13)


def test_labels_that_no_line_gives_are_one() -> None:
    table = parse_gai_conf("label 2001:db8::/32 9")

    assert table.classify(literal("2001:db8::1")) == (40, 9)
    assert table.classify(literal("192.0.2.1")) == (35, 1)
    assert table.precedences == DEFAULT_POLICY_TABLE.precedences


@pytest.mark.parametrize("line", ["scopev4 10.0.0.0/8 5", "scopev4 ::ffff:10.0.0.0/104 5"])
def test_scopes_of_ipv4_addresses(line: str) -> None:
    """An IPv4 prefix may be written as one, or as an IPv4-mapped one; the rest is global; IPv6 is not concerned."""
    table = parse_gai_conf(line)

    assert table.scope(literal("10.1.2.3")) == table.scope(literal("::ffff:10.1.2.3")) == 5
    assert table.scope(literal("127.0.0.1")) == table.scope(literal("192.0.2.1")) == 14
    assert table.scope(literal("::1")) == table.scope(literal("fe80::1")) == 2


@pytest.mark.parametrize(
    ("text", "entry"),
    [
        ("::1", (1, 128, 7)),
        ("::1/128", (1, 128, 7)),
        ("::1/0", (0, 0, 7)),
        ("::3/127", (1, 127, 7)),
        ("fe80::/10", (0x3FA, 10, 7)),
        ("2001:db8:ffff::/032", (0x20010DB8, 32, 7)),
    ],
)
def test_a_prefix_is_an_address_and_a_length(text: str, entry: tuple[int, int, int]) -> None:
    """RFC 4291, section 2.3; bits behind the length do not count, and a length may be left out."""
    assert PolicyEntry.read(text, 7) == entry


@pytest.mark.parametrize(
    "text",
    [
        "", "::1/", "::1/129", "::1/-1", "::1/+1", "::1/1.0", "::1/x", "::1/\N{ARABIC-INDIC DIGIT SEVEN}",
        "::1/\N{SUPERSCRIPT TWO}", "::1/64/64", "192.0.2.0/24", "/64", "::1%lo/64", "\ud800::/64", "é::/10",
    ],
)  # fmt: skip
def test_what_is_no_prefix_says_so(text: str) -> None:
    with pytest.raises(ValueError) as caught:
        PolicyEntry.read(text, 7)
    assert str(caught.value) == f"prefix must be an IPv6 address and a length, not {text!r}"


def test_a_prefix_without_a_length_is_one_address() -> None:
    table = parse_gai_conf("label 2001:db8::1 9\nprecedence 2001:db8::1 7\nscopev4 192.0.2.1 5\n")

    assert table.classify(literal("2001:db8::1")) == (7, 9)
    assert table.classify(literal("2001:db8::")) == (40, 1)
    assert (table.scope(literal("192.0.2.1")), table.scope(literal("192.0.2.0"))) == (5, 14)


@pytest.mark.parametrize(
    "line",
    [
        "precedence 2001:db8::/32 7",
        "  precedence\t2001:db8::/32   7  ",
        "precedence 2001:db8::/32 7 # a comment",
        "precedence 2001:db8::/32 7# a comment",
        "precedence 2001:db8::/32 7 and more that nobody reads",
        "precedence 2001:db8::/32 7\r",
        "precedence 2001:DB8:0:0::/032 007",
        "precedence 2001:db8::1/32 7",
        "nonsense\nprecedence 2001:db8::/32 7\nprecedence 2001:db8::/32 8",
        "precedence ::/0 40\nprecedence 2001:db8::/32 7\nprecedence 2001::/16 8",
    ],
)
def test_ways_to_write_a_line(line: str) -> None:
    """Bits behind the prefix do not count, nor does the order of lines, but for two of the same prefix."""
    assert parse_gai_conf(line).classify(literal("2001:db8::1")) == (7, 1)


@pytest.mark.parametrize(
    "line",
    [
        "reload yes",
        "precedence",
        "precedence 2001:db8::/32",
        "precedence 2001:db8::/32 seven",
        "precedence 2001:db8::/32 -7",
        "precedence 2001:db8::/32 7.5",
        "precedence 2001:db8::/32 2147483648",
        "precedence 2001:db8::/32 4294967296",
        "precedence 2001:db8::/32 99999999999999999999",
        "precedence 2001:db8::/32 \N{ARABIC-INDIC DIGIT SEVEN}",
        "precedence 2001:db8::/129 7",
        "precedence 2001:db8::/ 7",
        "precedence 2001:db8::/ffff:: 7",
        "precedence 2001:db8::%eth0/32 7",
        "precedence 2001:db8:/32 7",
        "precedence 192.0.2.0/24 7",
        "precedence example.org 7",
        "PRECEDENCE 2001:db8::/32 7",
        "precedences 2001:db8::/32 7",
        "label 10.0.0.0/8 7",
        "scopev4 2001:db8::/96 7",
        "scopev4 ::ffff:0:0/95 7",
        "scopev4 10.0.0.0/33 7",
        "scopev4 10.0.0/8 7",
        "\0\x1b\ufeff\U0001f600",
        "precedence 2001:db8::/32\n7",
    ],
)
def test_garbage_is_ignored(line: str) -> None:
    """A file that glibc would not stumble over is no reason for a connection to fail."""
    assert parse_gai_conf(line) == DEFAULT_POLICY_TABLE


def test_noise_is_ignored() -> None:
    chance = random.Random(6724)
    words = [
        "precedence",
        "label",
        "scopev4",
        "#",
        "/",
        "::",
        "/96",
        "ffff",
        " ",
        "\n",
        "\t",
        "1",
        "99",
        "\0",
        "é",
        "10.0.0.0",
    ]
    for _ in range(500):
        table = parse_gai_conf("".join(chance.choices(words, k=40)))
        assert isinstance(table.scope(literal("10.1.2.3")), int)


def test_the_file_of_this_system_can_be_read() -> None:
    file = Path("/etc/gai.conf")
    if not file.exists():
        pytest.skip("this system has no gai.conf")
    assert parse_gai_conf(file.read_text("utf-8", "replace")).scope(literal("2001:db8::1")) == 14
