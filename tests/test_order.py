"""Order: RFC 8305, section 4, as tables. An address is written as its family and a letter: 6a, 4b."""

from __future__ import annotations

import pytest

from trio_nbconnect import Address
from trio_nbconnect._address import IPV4, IPV6
from trio_nbconnect._race.candidates import interleave, prefer


def read(words: str) -> list[Address]:
    """Read `6a 4b`: the IPv6 address ending in a, the IPv4 address for b."""
    hosts = [(word[0], word[1]) for word in words.split()]
    return [
        Address(IPV6, f"2001:db8::{letter}", 443) if family == "6" else Address(IPV4, f"192.0.2.{ord(letter)}", 443)
        for family, letter in hosts
    ]


@pytest.mark.parametrize(
    ("addresses", "ipv6_first", "ipv4_first"),
    [
        ("", "", ""),
        ("4a", "4a", "4a"),
        ("4a 6a", "6a 4a", "4a 6a"),
        ("6a 4a", "6a 4a", "4a 6a"),
        ("4b 6b 4a 6a", "6b 6a 4b 4a", "4b 4a 6b 6a"),
    ],
)
def test_the_preferred_family_comes_first(addresses: str, ipv6_first: str, ipv4_first: str) -> None:
    """Inside a family the order is the operating system's: b before a stays so."""
    assert prefer((IPV6, IPV4), read(addresses)) == read(ipv6_first)
    assert prefer((IPV4, IPV6), read(addresses)) == read(ipv4_first)


@pytest.mark.parametrize(
    ("count", "addresses", "order"),
    [
        (1, "", ""),
        (1, "6a", "6a"),
        (1, "6a 6b", "6a 6b"),
        (1, "6a 4a", "6a 4a"),
        (1, "6a 6b 4a 4b", "6a 4a 6b 4b"),
        (1, "4a 4b 6a 6b", "4a 6a 4b 6b"),
        (1, "6a 6b 6c 4a", "6a 4a 6b 6c"),
        (1, "6a 4a 4b 4c", "6a 4a 4b 4c"),
        (1, "6a 4a 6b 4b", "6a 4a 6b 4b"),
        (2, "6a 6b 6c 4a 4b", "6a 6b 4a 6c 4b"),
        (2, "6a 4a 4b", "6a 4a 4b"),
        (2, "6a 6b", "6a 6b"),
        (2, "4a 4b 6a", "4a 4b 6a"),
        (3, "6a 6b 6c 6d 4a 4b", "6a 6b 6c 4a 6d 4b"),
        (9, "6a 6b 4a 4b", "6a 6b 4a 4b"),
        (2, "", ""),
    ],
)
def test_the_families_alternate(count: int, addresses: str, order: str) -> None:
    """Section 4: the first address "should be followed by an address of the other address family"."""
    assert interleave(read(addresses), count) == read(order)


@pytest.mark.parametrize(
    ("addresses", "order"),
    [("6a 6a", "6a"), ("6a 4a 6a 4a", "6a 4a"), ("6a 6b 6a 4a", "6a 4a 6b"), ("4a 6a 4a 4b", "4a 6a 4b")],
)
def test_an_endpoint_is_tried_once(addresses: str, order: str) -> None:
    assert interleave(read(addresses), 1) == read(order)


def test_what_was_given_stays_as_it_was() -> None:
    addresses = read("6a 6b 4a")

    prefer((IPV4, IPV6), addresses)
    interleave(addresses, 1)

    assert addresses == read("6a 6b 4a")
