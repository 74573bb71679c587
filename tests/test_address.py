"""Addresses: what is refused before anything is sent, and what is read as a literal."""

from __future__ import annotations

import enum
import errno
import pickle
import socket
from pathlib import Path
from typing import Any

import pytest

from trio_nbconnect import Address
from trio_nbconnect._address import (
    IPV4,
    IPV6,
    UNIX,
    UNSPECIFIED,
    GroupedAddress,
    SocketAddress,
    Target,
    check_host,
    check_name,
    check_numeric,
    check_port,
    format_host_port,
    from_sockaddr,
    grouped,
    is_localhost,
    local_addresses,
    parse_literal,
    shown_address,
)


def wide(text: str) -> str:
    """Write as East Asian input methods may: in full width."""
    return "".join(chr(ord(character) + 0xFEE0) for character in text)


LOOPBACK = socket.if_nametoindex("lo")


@pytest.mark.parametrize(
    ("host", "text"),
    [
        ("example.org", "example.org"),
        (b"example.org", "example.org"),
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        (b"[2001:db8::1]", "2001:db8::1"),
        ("[fe80::1%lo]", "fe80::1%lo"),
        ("bücher.example", "bücher.example"),
        ("[half", "[half"),
        ("half]", "half]"),
    ],
)
def test_a_host_is_text_without_brackets(host: object, text: str) -> None:
    """RFC 3986, section 3.2.2: IPv6 is distinguished "by enclosing the IP literal within square brackets"."""
    assert check_host(host) == text


@pytest.mark.parametrize(
    ("host", "complaint"),
    [
        (None, "host must be str or bytes, not None"),
        (127, "host must be str or bytes, not 127"),
        (bytearray(b"example.org"), "host must be str or bytes, not bytearray(b'example.org')"),
        (("example.org", 443), "host must be str or bytes, not ('example.org', 443)"),
        ("bücher.example".encode(), "host must be ASCII when it is bytes, not b'b\\xc3\\xbccher.example'"),
        (b"\xff", "host must be ASCII when it is bytes, not b'\\xff'"),
        ("example.org\0.evil.example", "host must not contain NUL: 'example.org\\x00.evil.example'"),
        (b"\0", "host must not contain NUL: b'\\x00'"),
        ("127.0.0.1\0", "host must not contain NUL: '127.0.0.1\\x00'"),
        ("", "host must not be empty: ''"),
        (b"", "host must not be empty: b''"),
        ("[]", "host must not be empty: '[]'"),
        ("example.org ", "host must not contain blanks or control characters: 'example.org '"),
        (b"example.org\n", "host must not contain blanks or control characters: b'example.org\\n'"),
        ("\texample.org", "host must not contain blanks or control characters: '\\texample.org'"),
        ("a b.example", "host must not contain blanks or control characters: 'a b.example'"),
        ("\x1b[31mexample.org", "host must not contain blanks or control characters: '\\x1b[31mexample.org'"),
        ("example.org\x7f", "host must not contain blanks or control characters: 'example.org\\x7f'"),
        ("example.org\x9b", "host must not contain blanks or control characters: 'example.org\\x9b'"),
        ("example.org\xa0", "host must not contain blanks or control characters: 'example.org\\xa0'"),
        ("bücher\u3000.example", "host must not contain blanks or control characters: 'bücher\\u3000.example'"),
        ("example.org\u2028", "host must not contain blanks or control characters: 'example.org\\u2028'"),
        ("[::1\r]", "host must not contain blanks or control characters: '[::1\\r]'"),
        (" ", "host must not contain blanks or control characters: ' '"),
    ],
)
def test_a_host_that_nobody_can_mean_is_refused(host: object, complaint: str) -> None:
    with pytest.raises(ValueError) as caught:
        check_host(host)

    assert str(caught.value) == complaint


LABEL = "a" * 63
LONGEST = f"{LABEL}.{LABEL}.{LABEL}.{'a' * 61}"


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("localhost", "localhost"),
        ("example.org.", "example.org."),
        ("_dns.resolver.arpa", "_dns.resolver.arpa"),
        (LABEL, LABEL),
        (LONGEST, LONGEST),
        (f"{LONGEST}.", f"{LONGEST}."),
        ("127.1", "127.1"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("BÜCHER.example", "xn--bcher-kva.example"),
        ("straße.example", "xn--strae-oqa.example"),
        ("bücher\u3002example", "xn--bcher-kva.example"),
        ("bücher\uff0eexample\uff61", "xn--bcher-kva.example."),
        ("my_host.bücher.example", "my_host.xn--bcher-kva.example"),
        ("_dmarc.日本.example", "_dmarc.xn--wgv71a.example"),
        ("*.bücher.Example", "*.xn--bcher-kva.Example"),
        (wide("EXAMPLE") + ".org", "example.org"),
        ("exam\u00adple.org", "example.org"),
        ("\u200bexample.org", "example.org"),
    ],
)
def test_a_name_is_what_goes_to_the_resolver(host: str, name: str) -> None:
    """RFC 1035, section 2.3.4: "labels 63 octets or less, names 255 octets or less"; RFC 5891 for other scripts."""
    assert check_name(host) == name


@pytest.mark.parametrize(
    ("host", "complaint"),
    [
        (".", "host must not have an empty label: '.'"),
        (".example.org", "host must not have an empty label: '.example.org'"),
        ("example..org", "host must not have an empty label: 'example..org'"),
        ("example.org..", "host must not have an empty label: 'example.org..'"),
        (f"{LABEL}a.org", f"host must have no label over 63 characters: '{LABEL}a.org'"),
        (f"{LONGEST}a", f"host must have at most 253 characters: '{LONGEST}a'"),
        (f"{LONGEST}a.", f"host must have at most 253 characters: '{LONGEST}a.'"),
        ("bücher..example", "host must not have an empty label: 'bücher..example'"),
        (f"bücher.{LABEL}a", f"host must have no label over 63 characters: 'bücher.{LABEL}a'"),
        (f"é.{LONGEST}", f"host must have at most 253 characters: 'é.{LONGEST}'"),
        ("a" * 1000, f"host must have at most 253 characters: '{'a' * 1000}'"),
    ],
)
def test_a_name_that_dns_cannot_carry_is_refused(host: str, complaint: str) -> None:
    """RFC 1035, section 2.3.4: "Various objects and parameters in the DNS have size limits"."""
    with pytest.raises(ValueError) as caught:
        check_name(host)

    assert str(caught.value) == complaint


@pytest.mark.parametrize("host", ["a" * 1001, b"\xff" * 1001])
def test_a_host_far_too_long_is_not_even_shown(host: str | bytes) -> None:
    with pytest.raises(ValueError, match=r"^host must have at most 253 characters, not 1001$"):
        check_host(host)


@pytest.mark.parametrize("host", ["-é.example", "☃.example", "\ud800.example", "é" * 64, "é_.example", "\u202eé"])
def test_a_name_that_no_registry_would_take_is_refused(host: str) -> None:
    with pytest.raises(ValueError, match=r"^host is no valid international name: ") as caught:
        check_name(host)

    assert repr(host) in str(caught.value)
    assert not isinstance(caught.value, UnicodeError)
    assert caught.value.__suppress_context__


def test_what_international_names_may_hold_is_theirs_to_say() -> None:
    """A soft hyphen cannot be printed, and stands for nothing (UTS 46)."""
    assert check_host("exam\xadple.org") == "exam\xadple.org"
    with pytest.raises(ValueError, match=r"^host is no valid international name: '☃\.example': Codepoint U\+2603 "):
        check_name("☃.example")


@pytest.mark.parametrize("host", ["fe80::1", "fe9f::1", "FEA0::1", "febf::1"])
def test_link_local_is_a_tenth_of_bits(host: str) -> None:
    """RFC 4291, section 2.5.6: the prefix is fe80::/10."""
    assert Address(IPV6, host, 80).is_link_local


@pytest.mark.parametrize(("family", "host"), [(IPV6, "fe7f::1"), (IPV6, "fec0::1"), (IPV4, "fe8")])
def test_what_is_beside_is_not(family: socket.AddressFamily, host: str) -> None:
    assert not Address(family, host, 80).is_link_local


@pytest.mark.parametrize(
    ("address", "kind", "complaint"),
    [
        ("192.0.2.1", TypeError, "address must be Address, not '192.0.2.1'"),
        (Address(IPV4, "a.example", 80), ValueError, "address must be numeric and of its family, not 'a.example'"),
        (Address(IPV6, "192.0.2.1", 80), ValueError, "address must be numeric and of its family, not '192.0.2.1'"),
    ],
)
def test_what_would_be_looked_up_is_refused(address: Any, kind: type[Exception], complaint: str) -> None:
    with pytest.raises(kind) as caught:
        check_numeric(address)
    assert str(caught.value) == complaint


@pytest.mark.parametrize(
    ("addresses", "kind", "complaint"),
    [
        ([5], TypeError, "addresses must be strings, paths, or pairs of host and port, not 5"),
        (["a.example"], ValueError, "addresses must be numeric, not 'a.example'"),
        ([], ValueError, "addresses must not be empty"),
    ],
)
def test_addresses_that_make_no_sense(addresses: list[Any], kind: type[Exception], complaint: str) -> None:
    with pytest.raises(kind) as caught:
        Target.parse("example.org", 80, addresses)
    assert str(caught.value) == complaint


def test_each_way_to_write_an_address() -> None:
    known = Address(IPV4, "192.0.2.1", 8080)
    written: list[Any] = [known, "192.0.2.1", b"::1", Path("a"), "/a", b"/a", "\0a", b"\0a"]
    given = Target.parse("example.org", 80, written).addresses
    assert given[:3] == (known, Address(IPV4, "192.0.2.1", 80), Address(IPV6, "::1", 80))
    assert [address.host for address in given[3:]] == ["a", "/a", "/a", "\0a", "\0a"]
    assert all(address.is_path and address.port == 0 for address in given[3:])


def test_a_target_is_what_the_caller_wrote() -> None:
    named, literal, given = (
        Target.parse("[bücher.example]", 80),
        Target.parse("[::1]", 80),
        Target.parse("a.example", 80, ["192.0.2.1"]),
    )
    assert (named.host, named.port, named.name, named.addresses) == ("bücher.example", 80, "xn--bcher-kva.example", ())
    assert (literal.host, literal.name, literal.addresses) == ("::1", "", (Address(IPV6, "::1", 80),))
    assert (given.host, given.name, given.addresses) == ("a.example", "", (Address(IPV4, "192.0.2.1", 80),))


@pytest.mark.parametrize(
    ("local", "complaint"),
    [
        ("a.example", "local_address must be numeric, not 'a.example'"),
        ({}, "local_address must give each family an address of its own: {}"),
        ({IPV6: "192.0.2.1"}, f"local_address must give each family an address of its own: { ({IPV6: '192.0.2.1'})!r}"),
    ],
)
def test_local_addresses_that_make_no_sense(local: Any, complaint: str) -> None:
    with pytest.raises(ValueError) as caught:
        local_addresses(local)
    assert str(caught.value) == complaint


def test_a_local_address_has_no_port() -> None:
    assert local_addresses("192.0.2.1") == {IPV4: Address(IPV4, "192.0.2.1", 0)}
    assert local_addresses({IPV6: "::1"}) == {IPV6: Address(IPV6, "::1", 0)}


def test_an_interface_is_known_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may come later, and one that is replaced has another index."""
    local = local_addresses({IPV6: "FE80::1%wlan7"})[IPV6]
    assert (str(local), local.is_link_local) == ("[fe80::1%wlan7]:0", True)
    for index in (7, 9):
        monkeypatch.setattr(socket, "if_nametoindex", {"wlan7": index}.__getitem__)
        assert local.sockaddr == ("fe80::1", 0, 0, index)


@pytest.mark.parametrize("interface", ["nosuch0", "\ud800"])
def test_an_interface_that_is_not_there_now(interface: str) -> None:
    with pytest.raises(OSError, match="there is no interface") as caught:
        _ = local_addresses(f"fe80::1%{interface}")[IPV6].sockaddr
    assert caught.value.errno == errno.ENODEV


@pytest.mark.parametrize("text", ["fe80::1%", "1:2%wlan7", "192.0.2.1%wlan7"])
def test_no_local_address_on_an_interface(text: str) -> None:
    with pytest.raises(ValueError, match=r"^local_address m"):
        local_addresses(text)


@pytest.mark.parametrize("port", [0, 1, 443, 65535, socket.IPPROTO_TCP])
def test_a_port_is_any_of_16_bits(port: int) -> None:
    assert check_port(port) == port


@pytest.mark.parametrize(
    ("port", "kind", "complaint"),
    [
        ("443", TypeError, "port must be int, not '443'"),
        (443.0, TypeError, "port must be int, not 443.0"),
        (None, TypeError, "port must be int, not None"),
        (True, TypeError, "port must be int, not True"),
        (False, TypeError, "port must be int, not False"),
        (-1, ValueError, "port must be between 0 and 65535, not -1"),
        (65536, ValueError, "port must be between 0 and 65535, not 65536"),
        (99536, ValueError, "port must be between 0 and 65535, not 99536"),
    ],
)
def test_a_port_that_would_become_another_one_is_refused(port: object, kind: type[Exception], complaint: str) -> None:
    """The C library takes a port modulo 65536: 99536 would connect to 34000."""
    with pytest.raises(kind) as caught:
        check_port(port)

    assert str(caught.value) == complaint


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("192.0.2.1", Address(IPV4, "192.0.2.1", 443)),
        ("2001:db8::1", Address(IPV6, "2001:db8::1", 443)),
        ("2001:0DB8:0:0:0:0:0:1", Address(IPV6, "2001:db8::1", 443)),
        ("::", Address(IPV6, "::", 443)),
        (wide("127.0.0.1"), Address(IPV4, "127.0.0.1", 443)),
        (wide("192") + "\uff0e0\u30022\uff611", Address(IPV4, "192.0.2.1", 443)),
        ("\ufeff192.0.2.1", Address(IPV4, "192.0.2.1", 443)),
        ("192.0.2.\u00ad1\u200b", Address(IPV4, "192.0.2.1", 443)),
        ("::ffff:192.0.2.1", Address(IPV6, "::ffff:192.0.2.1", 443)),
        ("fe80::1", Address(IPV6, "fe80::1", 443)),
        ("fe80::1%7", Address(IPV6, "fe80::1", 443, scope_id=7)),
        ("fe80::1%0", Address(IPV6, "fe80::1", 443)),
        ("fe80::1%4294967295", Address(IPV6, "fe80::1", 443, scope_id=2**32 - 1)),
        ("fe80::1%lo", Address(IPV6, "fe80::1", 443, scope_id=LOOPBACK)),
    ],
)
def test_a_literal_is_read_with_its_scope(host: str, address: Address) -> None:
    """RFC 4007, section 11: "<address>%<zone_id>", where the zone is an index or an interface's name."""
    assert parse_literal(host, 443) == address


@pytest.mark.parametrize(
    "host",
    [
        "127.1",
        "0x7f.1",
        "2130706433",
        "127.0.0.1.",
        "192.0.2.256",
        "localhost",
        "1",
        "192.0.2.1%lo",
        "\ud800",
        wide("127.1"),
    ],
)
def test_an_old_spelling_of_an_address_is_a_name(host: str) -> None:
    """RFC 6943, section 3.1.1: "127.1" and its like are ambiguous; whoever resolves names may understand them."""
    assert parse_literal(host, 443) is None


@pytest.mark.parametrize(
    ("host", "complaint"),
    [
        ("fe80::1%nosuch0", "host names an interface that does not exist: 'fe80::1%nosuch0'"),
        ("fe80::1%", "host names an interface that does not exist: 'fe80::1%'"),
        ("fe80::1%-1", "host names an interface that does not exist: 'fe80::1%-1'"),
        ("fe80::1%²", "host names an interface that does not exist: 'fe80::1%²'"),
        ("fe80::1%4294967296", "host names an interface that does not exist: 'fe80::1%4294967296'"),
        ("fe80::1%4294967297", "host names an interface that does not exist: 'fe80::1%4294967297'"),
        ("::1::", "host must be a name or an address, not '::1::'"),
        ("example.org:443", "host must be a name or an address, not 'example.org:443'"),
        ("2001:db8::1/64", "host must be a name or an address, not '2001:db8::1/64'"),
    ],
)
def test_a_broken_literal_is_refused(host: str, complaint: str) -> None:
    """A scope is 32 bits to the kernel, too: 4294967297 would leave through interface 1."""
    with pytest.raises(ValueError) as caught:
        parse_literal(host, 443)

    assert str(caught.value) == complaint


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.1:443", Address(IPV4, "192.0.2.1", 443)),
        ("192.0.2.1:0", Address(IPV4, "192.0.2.1", 0)),
        ("[2001:db8::1]:65535", Address(IPV6, "2001:db8::1", 65535)),
        ("[fe80::1%lo]:80", Address(IPV6, "fe80::1", 80, scope_id=LOOPBACK)),
    ],
)
def test_an_address_is_read_as_it_is_written(text: str, address: Address) -> None:
    assert Address.parse(text) == address
    assert Address.parse(str(address)) == address


@pytest.mark.parametrize(
    "text",
    [
        "192.0.2.1",
        ":80",
        "192.0.2.1:",
        "192.0.2.1:65536",
        "192.0.2.1:-1",
        "192.0.2.1:٨٠",
        "::1:80",
        "[::1:80",
        "::1]:80",
    ],
)
def test_what_is_no_address_with_a_port(text: str) -> None:
    with pytest.raises(ValueError) as caught:
        Address.parse(text)

    assert str(caught.value) == f"address must be numeric and have a port, not {text!r}"


def test_an_address_is_read_from_text_that_is_numeric() -> None:
    with pytest.raises(TypeError) as of_kind:
        Address.parse(b"192.0.2.1:80")  # type: ignore[arg-type]
    with pytest.raises(ValueError) as of_name:
        Address.parse("example.org:80")

    assert str(of_kind.value) == "address must be str, not b'192.0.2.1:80'"
    assert str(of_name.value) == "address must be numeric, not 'example.org'"


@pytest.mark.parametrize(
    ("family", "sockaddr", "address"),
    [
        (IPV4, ("192.0.2.1", 80), Address(IPV4, "192.0.2.1", 80)),
        (IPV6, ("2001:db8::1", 80), Address(IPV6, "2001:db8::1", 80)),
        (IPV6, ("2001:db8::1", 80, 5), Address(IPV6, "2001:db8::1", 80, flow_info=5)),
        (IPV6, ("fe80::1", 80, 5, 7), Address(IPV6, "fe80::1", 80, flow_info=5, scope_id=7)),
        (IPV6, ("fe80::1%7", 80, 0, 0), Address(IPV6, "fe80::1", 80, scope_id=7)),
        (IPV6, ("fe80::1%8", 80, 0, 7), Address(IPV6, "fe80::1", 80, scope_id=7)),
    ],
)
def test_a_socket_address_is_read_with_all_it_says(
    family: socket.AddressFamily, sockaddr: tuple[object, ...], address: Address
) -> None:
    assert from_sockaddr(family, sockaddr) == address


@pytest.mark.parametrize(
    ("family", "sockaddr", "kind", "complaint"),
    [
        (IPV4, "192.0.2.1", ValueError, "address must be a tuple of host and port, not '192.0.2.1'"),
        (IPV6, "::1", ValueError, "address must be a tuple of host and port, not '::1'"),
        (IPV4, ("192.0.2.1",), ValueError, "address must be a tuple of host and port, not ('192.0.2.1',)"),
        (IPV6, ("::1", 1, 2, 3, 4), ValueError, "address must be a tuple of host and port, not ('::1', 1, 2, 3, 4)"),
        (
            IPV4,
            ("localhost", 80),
            ValueError,
            "address must be numeric and of the socket's family, not ('localhost', 80)",
        ),
        (IPV4, ("::1", 80), ValueError, "address must be numeric and of the socket's family, not ('::1', 80)"),
        (
            IPV6,
            ("127.0.0.1", 80),
            ValueError,
            "address must be numeric and of the socket's family, not ('127.0.0.1', 80)",
        ),
        (IPV4, ("127.0.0.1", 99536), ValueError, "port must be between 0 and 65535, not 99536"),
        (IPV4, ("127.0.0.1", True), TypeError, "port must be int, not True"),
        (IPV4, (None, 80), ValueError, "host must be str or bytes, not None"),
    ],
)
def test_a_socket_address_that_would_be_looked_up_is_refused(
    family: socket.AddressFamily, sockaddr: object, kind: type[Exception], complaint: str
) -> None:
    """`socket.connect` would block for a name."""
    with pytest.raises(kind) as caught:
        from_sockaddr(family, sockaddr)

    assert str(caught.value) == complaint


@pytest.mark.parametrize(
    ("address", "text", "ip", "sockaddr"),
    [
        (Address(IPV4, "192.0.2.1", 80), "192.0.2.1:80", "192.0.2.1", ("192.0.2.1", 80)),
        (Address(IPV6, "2001:db8::1", 80), "[2001:db8::1]:80", "2001:db8::1", ("2001:db8::1", 80, 0, 0)),
        (Address(IPV6, "fe80::1", 80, 5, 7), "[fe80::1%7]:80", "fe80::1%7", ("fe80::1", 80, 5, 7)),
    ],
)
def test_an_address_has_three_forms(address: Address, text: str, ip: str, sockaddr: SocketAddress) -> None:
    assert (str(address), address.ip, address.sockaddr) == (text, ip, sockaddr)


@pytest.mark.parametrize(
    ("host", "is_loopback"),
    [("127.0.0.1", True), ("127.8.9.10", True), ("128.0.0.1", False), ("::1", True), ("::", False), ("1:127::", False)],
)
def test_loopback_stays_on_this_machine(host: str, is_loopback: bool) -> None:
    """RFC 1122, section 3.2.1.3: "Addresses of this form MUST NOT appear outside a host"."""
    address = parse_literal(host, 80)

    assert address is not None
    assert address.is_loopback is is_loopback


def test_addresses_that_mean_the_same_are_the_same() -> None:
    """An endpoint is tried once, however it was spelled."""
    spellings = [parse_literal(host, 80) for host in ("2001:db8::1", "2001:DB8:0::1", "2001:db8::1%0")]

    assert len(set(spellings)) == 1
    assert parse_literal("fe80::1%1", 80) != parse_literal("fe80::1%2", 80)


def test_an_address_pickles() -> None:
    address = Address(IPV6, "fe80::1", 80, 5, 7)

    assert pickle.loads(pickle.dumps(address)) == address


@pytest.mark.parametrize(
    ("host", "text"), [("example.org", "example.org:80"), ("192.0.2.1", "192.0.2.1:80"), ("::1", "[::1]:80")]
)
def test_host_and_port_are_one_word(host: str, text: str) -> None:
    """RFC 3986, section 3.2.2: the port of an IPv6 address stands behind the bracket."""
    assert format_host_port(host, 80) == text


@pytest.mark.parametrize(
    ("name", "at_home"),
    [
        ("localhost", True),
        ("LocalHost.", True),
        ("db.localhost", False),
        ("notlocalhost", False),
        ("localhost.example", False),
        ("localhost..", False),
    ],
)
def test_localhost_is_this_machine(name: str, at_home: bool) -> None:
    """Names below it are the system's to know."""
    assert is_localhost(name) is at_home


@pytest.mark.parametrize("octet", [0x09, 0x0A, 0x1F, 0x20, 0x7F, 0x80, 0x9F, 0xA0, 0x2028])
def test_blanks_and_control_characters_are_none_of_a_host(octet: int) -> None:
    with pytest.raises(ValueError, match=r"^host must not contain blanks or control characters: "):
        check_host(f"a{chr(octet)}b")
    assert check_host(f"a{chr(0x7E)}b{chr(0xA1)}") == "a~b¡"


def test_so_many_characters_are_looked_at() -> None:
    assert len(check_host("a" * 1000)) == 1000
    with pytest.raises(ValueError, match=r"^host must have at most 253 characters, not 1001$"):
        check_host("a" * 1001)


@pytest.mark.parametrize(
    "text", ["é::1", "::\ud800", "fe80::1%²", "fe80::1%\ud800", "fe80::1%-1", "fe80::1%4294967296"]
)
def test_what_the_system_cannot_read_is_no_crash(text: str) -> None:
    with pytest.raises(
        ValueError, match=r"^host (must be a name or an address|names an interface that does not exist)"
    ):
        parse_literal(text, 443)
    assert parse_literal("192.0.2.é", 443) is None


def test_a_port_may_be_any_kind_of_int() -> None:
    class Port(enum.IntEnum):
        HTTPS = 443

    assert check_port(Port.HTTPS) == 443


def test_an_address_of_one_of_several_hosts_is_whole() -> None:
    """It says whose it is, with all that is in it; of a host that is an address, that says itself."""
    address = Address(IPV6, "fe80::1", 443, flow_info=5, scope_id=7)
    ours = grouped(address, "db.example")
    assert ours == address
    assert hash(ours) == hash(address)
    assert ours != object()
    assert (ours.flow_info, ours.scope_id, str(ours)) == (5, 7, "db.example [fe80::1%7]:443")
    assert grouped(address, "fe80::1%7") is address
    assert [shown_address(ours, port) for port in (443, 80)] == ["db.example fe80::1%7", str(ours)]


def test_an_attempt_of_the_caller_s_is_called_by_its_label() -> None:
    """In whichever group it is."""
    label = GroupedAddress(UNSPECIFIED, "QUIC", 0, group="udp")
    assert label.family == socket.AF_UNSPEC
    assert str(label) == shown_address(label, 0) == shown_address(label, 443) == "QUIC"
    assert str(Address(UNSPECIFIED, "TCP", 0)) == "TCP"
    check_numeric(label)


@pytest.mark.skipif(UNIX is None, reason="this platform has no UNIX sockets")
def test_a_path_stays_on_this_machine() -> None:
    path = Address(socket.AF_UNIX, "/run/x", 0)
    assert path.is_loopback
    assert shown_address(path, 443) == str(path) == "/run/x"


def test_a_platform_without_unix_sockets_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trio_nbconnect._address.UNIX", None)
    with pytest.raises(ValueError, match=r"^this platform has no UNIX sockets: '/run/x'$"):
        Target.parse("example.org", 443, ["/run/x"])


def test_a_numeric_address_may_have_its_scope_in_its_text() -> None:
    check_numeric(Address(IPV6, "fe80::1%eth0", 443))
    with pytest.raises(ValueError, match=r"^address must be numeric and of its family, not 'example.org'$"):
        Target.parse("host", 443, [Address(IPV4, "example.org", 443)])


def test_octets_are_not_several_hosts() -> None:
    with pytest.raises(ValueError, match=r"^host must be str or bytes, not bytearray\(b'example.org'\)$"):
        Target.parse(bytearray(b"example.org"), 443)


def test_several_hosts_are_a_target_like_others() -> None:
    """One of them alone is that one; an address among names is a host that is known."""
    assert Target.parse(["example.org"], 443).name == "example.org"
    several = Target.parse(["example.org", "192.0.2.1"], 443)
    assert (several.host, several.port, several.name) == ("example.org:443, 192.0.2.1:443", 0, several.host)
    assert several.addresses == ()
    named, known = several.hosts
    assert (named.host, named.port, named.name, named.addresses, named.hosts) == (
        "example.org",
        443,
        "example.org",
        (),
        (),
    )
    here = Address(IPV4, "192.0.2.1", 443)
    assert (known.host, known.port, known.name, known.addresses, known.hosts) == ("192.0.2.1", 443, "", (here,), ())
    given = Target.parse(["192.0.2.1", "/run/x"], 443)
    assert (given.port, given.name, given.addresses) == (0, "", (here, Address(socket.AF_UNIX, "/run/x", 0)))
    literal = Target.parse("192.0.2.1", 443)
    assert (literal.host, literal.port, literal.name, literal.addresses) == ("192.0.2.1", 443, "", (here,))
    with pytest.raises(ValueError, match=r"^host must not be empty$"):
        Target.parse([], 443)


def test_what_is_no_iterable_of_strings_says_so() -> None:
    with pytest.raises(TypeError, match=r"^addresses must be an iterable of strings, not str: '192.0.2.1'$"):
        Target.parse("example.org", 443, "192.0.2.1")


def test_one_host_of_several_may_be_an_address() -> None:
    (address,) = Target.parse(["192.0.2.1"], 80).addresses
    assert (address.ip, address.port) == ("192.0.2.1", 80)


@pytest.mark.skipif(UNIX is None, reason="this platform has no UNIX sockets")
def test_a_path_has_no_port() -> None:
    (path,) = Target.parse([Path("/run/x.sock")], 80).addresses
    assert (path.host, path.port) == ("/run/x.sock", 0)
    assert shown_address(path, 80) == "/run/x.sock"


def test_a_local_address_of_the_wrong_family_beside_a_right_one() -> None:
    with pytest.raises(ValueError, match="an address of its own"):
        local_addresses({IPV6: "::1", IPV4: "::1"})


def test_digits_of_other_scripts_are_no_index() -> None:
    with pytest.raises(ValueError, match="names an interface that does not exist"):
        parse_literal("fe80::1%\N{ARABIC-INDIC DIGIT ONE}", 0)


def test_letters_are_no_dots() -> None:
    assert check_name("b\N{LATIN SMALL LETTER U WITH DIAERESIS}X.example") == "xn--bx-xka.example"
    assert check_host("~\N{ZERO WIDTH SPACE}") == "~\N{ZERO WIDTH SPACE}"


def test_an_address_of_a_group_is_nothing_else() -> None:
    label = GroupedAddress(IPV4, "192.0.2.1", 80, group="udp")

    assert label.__eq__("192.0.2.1") is NotImplemented
    assert label != "192.0.2.1"
