"""NAT64: RFC 6052's examples in both directions, and RFC 7050's search for prefixes."""

from __future__ import annotations

import random
from ipaddress import IPv6Address, IPv6Network

import pytest

from trio_nbconnect._address import IPV4, IPV6, Address
from trio_nbconnect._resolve.nat64 import (
    PREFIX_LENGTHS,
    Prefix,
    Translator,
    extract,
    may_synthesize,
    prefixes_from,
    synthesize,
)

from .test_rfc6724 import literal

EXAMPLES = [
    ("2001:db8::/32", "2001:db8:c000:221::"),
    ("2001:db8:100::/40", "2001:db8:1c0:2:21::"),
    ("2001:db8:122::/48", "2001:db8:122:c000:2:2100::"),
    ("2001:db8:122:300::/56", "2001:db8:122:3c0:0:221::"),
    ("2001:db8:122:344::/64", "2001:db8:122:344:c0:2:2100::"),
    ("2001:db8:122:344::/96", "2001:db8:122:344::192.0.2.33"),
    ("64:ff9b::/96", "64:ff9b::192.0.2.33"),
]
"""RFC 6052, section 2.4, tables 2 and 3: what becomes of 192.0.2.33."""


@pytest.mark.parametrize(("prefix", "host"), EXAMPLES)
def test_examples_of_the_rfc(prefix: str, host: str) -> None:
    ipv4, ipv6 = literal("192.0.2.33"), literal(host)

    assert synthesize(Prefix.read(prefix), ipv4) == ipv6
    assert extract(Prefix.read(prefix), ipv6) == ipv4


def test_the_port_is_kept() -> None:
    prefix = Prefix.read("64:ff9b::/96")

    assert synthesize(prefix, Address(IPV4, "192.0.2.33", 8443)) == Address(IPV6, "64:ff9b::c000:221", 8443)
    assert extract(prefix, Address(IPV6, "64:ff9b::c000:221", 8443)) == Address(IPV4, "192.0.2.33", 8443)


@pytest.mark.parametrize("length", PREFIX_LENGTHS)
def test_what_was_synthesized_can_be_extracted(length: int) -> None:
    """For any prefix and any address; octet u is zero whatever they are (section 2.2)."""
    chance = random.Random(length)
    for _ in range(200):
        octets = bytearray(chance.randbytes(16))
        octets[0], octets[8] = 0x20, 0
        prefix = Prefix(IPv6Network((bytes(octets), length), strict=False))
        ipv4 = Address(IPV4, ".".join(str(chance.randrange(1, 120)) for _ in range(4)), 443)

        ipv6 = synthesize(prefix, ipv4)

        assert ipv6 is not None
        assert ipv6.family == IPV6
        assert IPv6Address(ipv6.host) in prefix.network
        assert IPv6Address(ipv6.host).packed[8] == 0
        assert extract(prefix, ipv6) == ipv4


@pytest.mark.parametrize(
    ("prefix", "host"),
    [
        ("64:ff9b::/96", "64:ff9c::192.0.2.33"),
        ("64:ff9b::/96", "2001:db8::1"),
        ("64:ff9b::/96", "64:ff9b:0:0:0:1:192.0.2.33"),
        ("2001:db8::/32", "2001:db8:c000:221:100::"),
        ("2001:db8:122:344::/64", "2001:db8:122:344:1c0:2:2100::"),
        ("64:ff9b::/96", "192.0.2.33"),
    ],
)
def test_other_addresses_hold_no_ipv4_address(prefix: str, host: str) -> None:
    """Of another prefix, with something in bits 64 to 71, or of IPv4 themselves."""
    assert extract(Prefix.read(prefix), literal(host)) is None


def test_the_suffix_is_ignored() -> None:
    """RFC 6052, section 2.2: the bits behind the address are reserved, and ignored when an address is read."""
    assert extract(Prefix.read("2001:db8::/32"), literal("2001:db8:c000:221:0:1:2:3")) == literal("192.0.2.33")


@pytest.mark.parametrize(
    ("host", "may"),
    [
        ("0.0.0.0", False),
        ("0.255.255.255", False),
        ("1.0.0.0", True),
        ("126.255.255.255", True),
        ("127.0.0.1", False),
        ("127.255.255.255", False),
        ("128.0.0.0", True),
        ("169.253.255.255", True),
        ("169.254.0.0", False),
        ("169.254.255.255", False),
        ("169.255.0.0", True),
        ("255.255.255.254", True),
        ("255.255.255.255", False),
        ("2001:db8::1", False),
    ],
)
def test_some_addresses_are_never_synthesized(host: str, may: bool) -> None:
    """This host, this link and everybody; IPv6 addresses need it not."""
    prefix = Prefix.read("2001:db8:1::/96")

    assert may_synthesize(literal(host)) is may
    assert (synthesize(prefix, literal(host)) is not None) is may


@pytest.mark.parametrize(
    ("host", "private"),
    [("9.255.255.255", False), ("10.0.0.1", True), ("172.16.0.1", True), ("172.32.0.0", False),
     ("192.168.1.1", True), ("100.64.0.1", True), ("100.128.0.0", False)],
)  # fmt: skip
def test_private_addresses_do_not_enter_the_well_known_prefix(host: str, private: bool) -> None:
    """RFC 6052, section 3.1: it "MUST NOT be used to represent non-global IPv4 addresses"; another prefix may."""
    assert (synthesize(Prefix.read("64:ff9b::/96"), literal(host)) is None) is private
    assert synthesize(Prefix.read("2001:db8:1::/96"), literal(host)) is not None


@pytest.mark.parametrize("host", ["64:ff9b::127.0.0.1", "64:ff9b::0.0.0.0", "64:ff9b::169.254.1.1"])
def test_a_name_server_cannot_lead_us_to_ourselves(host: str) -> None:
    """What nobody may synthesize is not extracted either; it stays the IPv6 address that it is."""
    assert extract(Prefix.read("64:ff9b::/96"), literal(host)) is None


def test_a_prefix_may_begin_with_31_zero_bits() -> None:
    assert prefixes_from([literal("0:1::192.0.0.170")]) == [Prefix.read("0:1::/96")]
    assert prefixes_from([literal("::192.0.0.170")]) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2001:db8::/33", "prefix must have 32, 40, 48, 56, 64 or 96 bits, not 2001:db8::/33"),
        ("2001:db8::/128", "prefix must have 32, 40, 48, 56, 64 or 96 bits, not 2001:db8::/128"),
        ("::/0", "prefix must have 32, 40, 48, 56, 64 or 96 bits, not ::/0"),
        ("2001:db8:0:0:100::/96", "prefix must have zeros in bits 64 to 71, not 2001:db8:0:0:100::/96"),
        ("2001:db8::1/64", "2001:db8::1/64 has host bits set"),
    ],
)
def test_what_is_no_prefix(text: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        Prefix.read(text)
    assert str(caught.value) == message


def found(*hosts: str) -> list[str]:
    return [str(prefix) for prefix in prefixes_from(map(literal, hosts))]


@pytest.mark.parametrize("prefix", [prefix for prefix, _ in EXAMPLES])
def test_a_prefix_is_found_at_each_of_the_six_places(prefix: str) -> None:
    """RFC 7050, section 3; one record is enough, either one, and two are the rule."""
    records = [synthesize(Prefix.read(prefix), literal(host)) for host in ("192.0.0.170", "192.0.0.171")]
    addresses = [record for record in records if record is not None]

    assert list(map(str, prefixes_from(addresses))) == [prefix]
    assert list(map(str, prefixes_from(addresses[:1]))) == [prefix]
    assert list(map(str, prefixes_from(addresses[1:]))) == [prefix]


def test_a_translator_stands_in_where_there_is_no_way() -> None:
    """What IPv4 reaches by itself is connected to from there; what is translated has a source beyond; others none."""
    here = Address(IPV4, "192.0.2.9", 0)
    reached, translated, local = (Address(IPV4, host, 443) for host in ("192.0.2.1", "198.51.100.1", "169.254.0.1"))
    nowhere = Address(IPV6, "2001:db8::1", 443)
    translator = Translator((Prefix.read("2001:db8:64::/96"),), {reached: here}.get)

    assert translator.source_of(reached) == here
    assert translator.source_of(translated) == translated
    assert translator.source_of(local) is None
    assert translator.source_of(nowhere) is None
    first_of_two = Translator((Prefix.read("2001:db8:64::/96"), Prefix.read("64:ff9b::/96")), lambda _: None)
    assert first_of_two.write(translated) == translator.write(translated)
    assert [str(translator.write(address)) for address in (reached, translated, local, nowhere)] == [
        "192.0.2.1:443",
        "[2001:db8:64::c633:6401]:443",
        "169.254.0.1:443",
        "[2001:db8::1]:443",
    ]


def test_several_prefixes_are_found_in_their_order() -> None:
    """RFC 7050, section 3: "the node MUST look through all of the received AAAA resource records"."""
    assert found(
        "2001:db8:122:344::192.0.0.171",
        "64:ff9b::192.0.0.170",
        "2001:db8:122:344::192.0.0.170",
        "2001:db8:c000:aa::",
        "64:ff9b::192.0.0.171",
    ) == ["2001:db8:122:344::/96", "64:ff9b::/96", "2001:db8::/32"]


def test_a_prefix_that_looks_like_a_well_known_address() -> None:
    """The /96 prefix holds 192.0.0.170 where a /32 one would; only the true one is found with both addresses."""
    first, second = "2001:db8:c000:aa::192.0.0.170", "2001:db8:c000:aa::192.0.0.171"

    assert found(first, second) == ["2001:db8:c000:aa::/96"]
    assert found(second, first) == ["2001:db8:c000:aa::/96"]
    assert found(first) == found(second) == []


@pytest.mark.parametrize(
    "hosts",
    [
        [],
        ["2001:db8::1"],
        ["64:ff9b::192.0.0.172"],
        ["192.0.0.170", "192.0.0.171"],
        ["::ffff:192.0.0.170", "::ffff:192.0.0.171"],
        ["::192.0.0.170"],
        ["0:0:8000::192.0.0.170"],
        ["2001:db8:0:0:100::192.0.0.170"],
        ["2001:db8:c000:aa:100::"],
        ["::", "::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"],
    ],
)
def test_garbage_gives_no_prefix(hosts: list[str]) -> None:
    """No well-known address, none at the six places, something in octet u, or IPv4 in disguise."""
    assert found(*hosts) == []
