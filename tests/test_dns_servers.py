"""Name servers: the words for them, what `resolv.conf` says, and real exchanges on loopback."""

from __future__ import annotations

import contextlib
import random
import re
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import dns.message
import dns.query
import dns.rcode
import pytest
import trio
import trio.testing
import trustme

from trio_nbconnect import Address, Answer, Query, QuerySent, Source, open_service_stream
from trio_nbconnect._dns import servers
from trio_nbconnect._dns.local_names import CachedFile, parse_hosts
from trio_nbconnect._dns.message import Question, parse_answer
from trio_nbconnect._dns.servers import Settings, TLSServer, _connect, parse_resolv_conf, parse_servers
from trio_nbconnect.dns import DNSResolver

from .adapters import import_with_broken, import_without
from .dns_server import ScriptedServer, Zone, lost, serve, serve_tls, slower, wrong_id, wrong_question
from .test_dns import BOTH, FOUR, HOST, SIX, found, heard, resolver, zone

__all__ = ["zone"]  # a fixture that both modules have

needs_https = pytest.mark.skipif(not dns.query.have_doh, reason="dnspython[doh] is not installed")

# Arguments


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"servers": "192.0.2.53"}, TypeError("servers must be an iterable of strings, not str: '192.0.2.53'")),
        ({"servers": [53]}, TypeError("servers must be str, not 53")),
        ({"search": "example.org"}, TypeError("search must be an iterable of strings, not str: 'example.org'")),
        ({"search": ["a..b"]}, ValueError("search makes no sense: host must not have an empty label: 'a..b'")),
        ({"ndots": "1"}, TypeError("ndots must be int, not '1'")),
        ({"attempts": 0}, ValueError("attempts must be at least 1, not 0")),
        ({"cache_size": True}, TypeError("cache_size must be int, not True")),
        ({"give_up_after": "5"}, TypeError("give_up_after must be a number of seconds, not '5'")),
        ({"use_expired": -1}, ValueError("use_expired must not be negative, not -1")),
        ({"protocols": "h2"}, TypeError("protocols must be an iterable of strings, not str: 'h2'")),
    ],
)
def test_what_makes_no_sense(options: dict[str, Any], error: Exception) -> None:
    with pytest.raises(type(error)) as caught:
        DNSResolver(**options)
    assert str(caught.value) == str(error)


async def settings(asks: DNSResolver) -> Settings:
    """What a resolver goes by."""
    return await asks._settings(asks._remembered())


async def test_resolv_conf_is_read_again_when_it_has_changed(tmp_path: Path) -> None:
    """Arguments come before what it says."""
    conf = tmp_path / "resolv.conf"
    conf.write_text("nameserver 192.0.2.1\noptions ndots:3 rotate timeout:7 attempts:4\nsearch a.example\n")
    asks = DNSResolver(resolv_conf=conf, ndots=2, hosts=None)
    said = await settings(asks)
    assert [str(server) for server in said.servers] == ["192.0.2.1:53"]
    assert (said.search, said.ndots, said.give_up_after, said.attempts, said.rotate) == (("a.example",), 2, 7, 4, True)
    conf.write_text("nameserver 192.0.2.123\nsearch b.example")
    assert [str(server) for server in (await settings(asks)).servers] == ["192.0.2.123:53"]

    own = await settings(DNSResolver(resolv_conf=conf, search=[], give_up_after=1.5, attempts=1, rotate=False))
    assert (own.search, own.give_up_after, own.attempts, own.rotate) == ((), 1.5, 1, False)


# The extra


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    assert str(import_without("dns", "trio_nbconnect.dns", monkeypatch)) == (
        "trio_nbconnect.dns needs dnspython: python -m pip install 'trio-nbconnect[dns]'"
    )


def test_another_module_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    error = import_with_broken("dns", "trio_nbconnect.dns", tmp_path, monkeypatch)
    assert error.name == "a_package_that_it_needs"


def test_the_package_does_not_import_dnspython() -> None:
    code = "import sys, trio_nbconnect; print('dns' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, stdin=subprocess.DEVNULL, check=True)
    assert done.stdout.strip() == b"False"


def test_every_run_begins_with_nothing_remembered(zone: Zone) -> None:
    """Each has a clock of its own; outside of one there is nothing to forget."""
    asks = resolver(ScriptedServer(zone))
    trio.run(heard, asks)
    asks.forget()
    trio.run(heard, asks)
    assert zone.count("A") == 2


# Words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("192.0.2.53", "192.0.2.53:53"),
        ("192.0.2.53:5353", "192.0.2.53:5353"),
        ("2001:db8::53", "[2001:db8::53]:53"),
        ("[2001:db8::53]", "[2001:db8::53]:53"),
        ("[2001:db8::53]:5353", "[2001:db8::53]:5353"),
        ("[fe80::53%1]:53", "[fe80::53%1]:53"),
        ("tls://[fe80::53%1]:53", "tls://[fe80::53%1]:53"),
        ("tls://[fe80::53%251]:53", "tls://[fe80::53%1]:53"),
        ("tls://dns.example#fe80::53%251", "tls://[fe80::53%1]:853"),
        ("tls://192.0.2.53", "tls://192.0.2.53:853"),
        ("tls://[2001:db8::53]:8853", "tls://[2001:db8::53]:8853"),
        ("tls://dns.example#192.0.2.53", "tls://192.0.2.53:853"),
        ("tls://dns.example:8853#2001:db8::53", "tls://[2001:db8::53]:8853"),
        pytest.param("https://192.0.2.53/dns-query", "https://192.0.2.53/dns-query", marks=needs_https),
        pytest.param("https://dns.example/q#2001:db8::53", "https://dns.example/q", marks=needs_https),
    ],
)
def test_servers_in_words(text: str, expected: str) -> None:
    (server,) = parse_servers([text], None)
    assert str(server) == expected
    assert server.encrypted == ("://" in text)
    assert server.over_ipv6 == ("2001:" in text or "fe80:" in text)


def test_whom_a_certificate_must_name() -> None:
    for text, name in (
        ("tls://192.0.2.53", "192.0.2.53"),
        ("tls://dns.example#192.0.2.53", "dns.example"),
        ("tls://dns.example.#192.0.2.53", "dns.example"),
        ("tls://[fe80::53%251]", "fe80::53"),
        ("tls://bücher.example#192.0.2.53", "xn--bcher-kva.example"),
    ):
        (server,) = parse_servers([text], None)
        assert isinstance(server, TLSServer)
        assert (server.name, server.context.check_hostname) == (name, True)
        assert server.context.verify_mode is ssl.CERT_REQUIRED


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "host must"),
        ("dns.example", "server must have a numeric address, behind # if there is a name, not 'dns.example'"),
        ("tls://dns.example", "server must have a numeric address"),
        pytest.param("https://dns.example/q", "server must have a numeric address", marks=needs_https),
        ("tls://dns..example#192.0.2.53", "server makes no sense: 'tls://dns..example#192.0.2.53': host must not have"),
        ("192.0.2.53:99999", "server makes no sense: '192.0.2.53:99999': port must be between 0 and 65535"),
        ("1:2:3", "server makes no sense: '1:2:3': host must be"),
        ("tls://192.0.2.53:x", "server has no such port: 'tls://192.0.2.53:x': "),
        ("tls://[::1", "server is no URL: 'tls://[::1': "),
        ("quic://192.0.2.53", "server must be an address, tls:// or https://, not 'quic://192.0.2.53'"),
        ("tls://", "server must be an address, tls:// or https://, not 'tls://'"),
    ],
)
def test_servers_that_make_no_sense(text: str, error: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_servers([text], None)
    assert error in str(caught.value) or not text


def test_encrypted_and_plain_servers_do_not_mix() -> None:
    with pytest.raises(ValueError) as caught:
        parse_servers(["192.0.2.53", "tls://192.0.2.53"], None)
    assert str(caught.value) == "servers must be all encrypted or none: an attacker would choose which one answers"


def test_https_without_the_libraries_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dns.query, "have_doh", False)
    with pytest.raises(ImportError) as caught:
        DNSResolver(servers=["https://192.0.2.53/dns-query"])
    assert str(caught.value) == "DNS over HTTPS needs more of dnspython: python -m pip install 'dnspython[doh]'"


def test_resolv_conf_without_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """resolv.conf(5): "the name server on the local machine", and the domain is the host name's."""
    monkeypatch.setattr(socket, "gethostname", lambda: "me.corp.example")
    for text in ("", "nameserver\nnameserverx 192.0.2.1\n nameserver 192.0.2.1\n;nameserver 192.0.2.1\ngarbage \xff"):
        said = parse_resolv_conf(text)
        assert [str(server) for server in said.servers] == ["127.0.0.1:53"]
        assert said == Settings(servers=said.servers, search=("corp.example",))


async def test_resolv_conf_that_leaves_no_server(tmp_path: Path) -> None:
    """It names servers, and none of them can be one."""
    conf = tmp_path / "resolv.conf"
    conf.write_text("nameserver dns.example\nnameserver 1:2\n")
    items = await heard(DNSResolver(resolv_conf=conf, hosts=None), services=False)
    assert (found(items, Source.AAAA), found(items, Source.A)) == ([socket.EAI_FAIL], [socket.EAI_FAIL])
    assert f"no usable name server in {conf}" in repr(items[-1])
    conf.write_text("nameserver 192.0.2.1")
    assert len((await settings(DNSResolver(resolv_conf=conf))).servers) == 1


def test_resolv_conf_with_lines_that_make_no_sense() -> None:
    text = f"nameserver fe80::1%1\nsearch a.example a..b {'x' * 64} . b.example.\nnameserver 127.1 and more\nsearch\n"
    said = parse_resolv_conf(f"{text}nameserver 2001:db8::1%1\nnameserver 2001:db8::2%nosuch0\noptionsx ndots:9\n")
    expected = ["[fe80::1%1]:53", "127.0.0.1:53", "[2001:db8::1]:53", "[2001:db8::2]:53"]
    assert [str(server) for server in said.servers] == expected
    assert said.search == ("a.example", "", "b.example")
    assert said.ndots == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("search a.example\ndomain b.example c.example", ("b.example",)),
        ("domain b.example\nsearch a.example c.example", ("a.example", "c.example")),
        ("search .a.example .b.example.", ("a.example", "b.example")),
        ("search " + " ".join(f"d{number}.example" for number in range(9)), tuple(f"d{n}.example" for n in range(9))),
    ],
)
def test_the_last_of_search_and_domain_counts(text: str, expected: tuple[str, ...]) -> None:
    """resolv.conf(5): "If more than one instance of these keywords is present, the last instance wins"."""
    assert parse_resolv_conf(text).search == expected


def test_blanks_and_tabs_stand_between_words_and_nothing_else() -> None:
    """A clipboard has other blanks; what they are in is one word, for glibc as well. Line ends of Windows are none."""
    said = parse_resolv_conf(
        "nameserver\u00a0192.0.2.1\nnameserver \t 192.0.2.2\t\r\nsearch\fa.example\nsearch b.example\t c.example\r\n"
    )
    assert [str(server) for server in said.servers] == ["192.0.2.2:53"]
    assert said.search == ("b.example", "c.example")
    assert parse_resolv_conf("search a.example\u00a0b.example c.example").search == ("c.example",)


async def test_a_line_ends_where_a_nul_is(tmp_path: Path) -> None:
    """As for the C library; a crash of the machine may leave some in a file."""
    conf = tmp_path / "resolv.conf"
    conf.write_bytes(b"\0\0\0\nnameserver 192.0.2.1\0\0\nsearch a.example\0 b.example\n")
    said = await settings(DNSResolver(resolv_conf=conf))
    assert ([str(server) for server in said.servers], said.search) == (["192.0.2.1:53"], ("a.example",))
    conf.write_bytes(b"192.0.2.1 www.example\0 ftp.example\n192.0.2.2 mail.example\n")
    hosts = await CachedFile(str(conf), parse_hosts).read()
    assert hosts == {"www.example": "192.0.2.1", "mail.example": "192.0.2.2"}


@pytest.mark.parametrize("option", ["no-tld-query", "no_tld_query"])
def test_a_name_that_is_not_tried_as_it_is(option: str) -> None:
    """Both spellings are glibc's."""
    assert not parse_resolv_conf(f"options {option}").tld_query


async def test_a_file_that_is_not_read_again(tmp_path: Path) -> None:
    """resolv.conf(5), `no-reload`: "disables automatic reloading of a changed configuration file"."""
    conf = tmp_path / "resolv.conf"
    asks = DNSResolver(resolv_conf=conf, hosts=None)
    for text in ("nameserver 192.0.2.1\noptions no-reload", "nameserver 192.0.2.123"):
        conf.write_text(text)
        assert [str(server) for server in (await settings(asks)).servers] == ["192.0.2.1:53"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("timeout:-5 attempts:-1 ndots:-1", (15, 1.0, 1, False)),
        ("timeout attempts ndots 7", (1, 5.0, 4, False)),
        ("ndots:3,timeout:2 attempts:3x timeout: 7", (3, 7.0, 3, False)),
        ("timeout:0 attempts:0 ndots:0", (0, 1.0, 1, False)),
        ("timeout:99 attempts:99 ndots:99 rotate", (15, 30.0, 5, True)),
        ("timeout:x attempts: ndots:2x", (2, 1.0, 1, False)),
        ("timeout:7 edns0 ndots:3\noptions ndots:4\toptions", (4, 7.0, 4, False)),
        ("timeoutx:9 rotates unknown:1 :::", (1, 5.0, 4, True)),
    ],
)
def test_numbers_are_read_as_glibc_does(options: str, expected: tuple[int, float, int, bool]) -> None:
    """`atoi`, four bits, names by how they begin, and the limits that resolv.conf(5) tells: 15 dots, 30 s, 5 times."""
    said = parse_resolv_conf(f"options {options}")
    assert (said.ndots, said.give_up_after, said.attempts, said.rotate) == expected


async def test_the_environment_comes_before_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """resolv.conf(5): `LOCALDOMAIN` overrides the search list, `RES_OPTIONS` amends the options."""
    conf = tmp_path / "resolv.conf"
    conf.write_text("nameserver 192.0.2.1\nsearch a.example\noptions ndots:3 timeout:2")
    monkeypatch.setenv("LOCALDOMAIN", "b.example c.example")
    monkeypatch.setenv("RES_OPTIONS", "ndots:5 rotate")
    said = await settings(DNSResolver(resolv_conf=conf))
    assert (said.search, said.ndots, said.give_up_after, said.rotate) == (("b.example", "c.example"), 5, 2, True)
    monkeypatch.setenv("LOCALDOMAIN", "")
    assert (await settings(DNSResolver(resolv_conf=conf))).search == ()
    monkeypatch.setenv("LOCALDOMAIN", "b.example c.example\nd.example")
    monkeypatch.setenv("RES_OPTIONS", "timeout:9\nndots:5 rotate")
    said = await settings(DNSResolver(resolv_conf=conf))
    assert (said.search, said.ndots, said.give_up_after, said.rotate) == (("b.example", "c.example"), 3, 9, True)


# Exchanges on loopback


async def test_a_service_is_looked_up_on_a_real_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`open_service_stream` asks the name servers of the system, and remembers for the next call."""
    zone = Zone()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        zone.says("_x._tcp.example.org", "SRV", f"_x._tcp.example.org. 300 IN SRV 1 1 {port} host.example.org.")
        zone.says("host.example.org", "A", "host.example.org. 300 IN A 127.0.0.1")
        async with serve(zone) as server:
            ours = partial(DNSResolver, servers=[f"127.0.0.1:{server}"], hosts=None)
            monkeypatch.setattr("trio_nbconnect._dns.resolver.DNSResolver", ours)
            for _ in range(2):
                async with await open_service_stream("_x._tcp", "example.org") as stream:
                    assert stream.socket.getpeername() == ("127.0.0.1", port)
    assert zone.count("SRV") == 1


async def test_udp(zone: Zone) -> None:
    async with serve(zone) as port:
        items = await heard(DNSResolver(servers=[f"127.0.0.1:{port}"], hosts=None))
    assert (found(items, Source.AAAA), found(items, Source.A)) == ([[SIX]], [[FOUR]])
    assert {way for _, _, way in zone.queries} == {"udp"}


@pytest.mark.needs_ipv6
async def test_udp_over_ipv6(zone: Zone) -> None:
    async with serve(zone, "::1") as port:
        assert found(await heard(DNSResolver(servers=[f"[::1]:{port}"], hosts=None)), Source.A) == [[FOUR]]


async def test_what_other_servers_have_said_is_forgotten(
    tmp_path: Path, zone: Zone, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`resolv.conf` is replaced: a name may mean something else there, and nobody waits for the former server."""
    conf, new = tmp_path / "resolv.conf", tmp_path / "new"
    asks = DNSResolver(resolv_conf=conf, hosts=None, services=False)
    before = Zone()
    before.says(HOST, "A", f"{HOST}. 300 IN A 192.0.2.99")
    before.says("slow.example", "A", mangle=lost)
    zone.says("slow.example", "A", f"slow.example. 300 IN A {FOUR}")
    four = [socket.AF_INET]

    async with serve(before) as first, serve(zone) as second, trio.open_nursery() as nursery:
        monkeypatch.setattr(servers, "PORT", first)
        conf.write_text("nameserver 127.0.0.1\n")
        assert found(await heard(asks, families=four), Source.A) == [["192.0.2.99"]]
        nursery.start_soon(partial(heard, asks, "slow.example", families=four))
        await before.wait_for(2, "udp")

        monkeypatch.setattr(servers, "PORT", second)
        new.write_text("nameserver 127.0.0.1\n# another network\n")
        new.replace(conf)
        for host in (HOST, "slow.example"):
            assert found(await heard(asks, host, families=four), Source.A) == [[FOUR]]
        nursery.cancel_scope.cancel()


async def test_tcp_where_udp_is_truncated() -> None:
    """RFC 7766, section 5."""
    zone = Zone()
    zone.says(HOST, "A", *(f"{HOST}. 300 IN A 192.0.2.{number}" for number in range(1, 30)), truncated=True)
    async with serve(zone) as port:
        items = await heard(DNSResolver(servers=[f"127.0.0.1:{port}"], hosts=None), families=[socket.AF_INET])
    assert len(found(items, Source.A)[0] or ()) == 29  # type: ignore[arg-type]  # no error here
    assert [way for _, kind, way in zone.queries if kind == "A"] == ["udp", "tcp"]


@pytest.mark.parametrize(
    ("option", "asked"),
    [
        ("use-vc", {("AAAA", "tcp"), ("A", "tcp")}),
        ("no-aaaa", {("A", "udp")}),
        ("no-aaaa use-vc", {("A", "tcp")}),
    ],
)
async def test_options_that_change_what_is_asked(
    tmp_path: Path, zone: Zone, monkeypatch: pytest.MonkeyPatch, option: str, asked: set[tuple[str, str]]
) -> None:
    """resolv.conf(5): `use-vc` "forces the use of TCP", and `no-aaaa` "suppresses AAAA queries"."""
    conf = tmp_path / "resolv.conf"
    conf.write_text(f"nameserver 127.0.0.1\noptions {option}\n")
    asks = DNSResolver(resolv_conf=conf, hosts=None, services=False)
    query = Query(host=HOST, port=443, families=BOTH)
    remembered: list[QuerySent | Answer] = []
    async with serve(zone) as port:
        monkeypatch.setattr(servers, "PORT", port)
        assert found(await heard(asks), Source.A) == [[FOUR]]
        assert {(kind, way) for _, kind, way in zone.queries} == asked
        assert asks.resolve_nowait(query, remembered.append)
        assert found(remembered, Source.A) == [[FOUR]]
        only_six = await heard(asks, families=[socket.AF_INET6])
        assert found(only_six, Source.AAAA) == ([] if "no-aaaa" in option else [[SIX]])


@pytest.mark.parametrize("mangle", [lambda _: [b""], lambda wire: [wire[:20], b""], lambda _: [b"\0" * 40, b""]])
async def test_tcp_that_ends_early(mangle: Callable[[bytes], list[bytes]]) -> None:
    zone = Zone()
    zone.says(HOST, "A", truncated=True, mangle=lambda wire: [wire] if wire[2] & 2 else mangle(wire))
    async with serve(zone) as port:
        items = await heard(DNSResolver(servers=[f"127.0.0.1:{port}"], hosts=None), families=[socket.AF_INET])
    assert found(items, Source.A) == [socket.EAI_AGAIN]


async def test_what_is_no_answer_is_passed_over(zone: Zone) -> None:
    """RFC 5452, section 9.1: another id or query, or no message at all; the answer that comes then counts."""
    zone.says(
        HOST,
        "A",
        f"{HOST}. 300 IN A {FOUR}",
        mangle=lambda wire: [b"", b"garbage", wire[:11], wire[:14], wrong_id(wire), wrong_question(wire), wire],
    )
    async with serve(zone) as port:
        items = await heard(DNSResolver(servers=[f"127.0.0.1:{port}"], hosts=None), families=[socket.AF_INET])
    assert found(items, Source.A) == [[FOUR]]


@pytest.mark.parametrize("mangle", [lost, lambda wire: [wrong_id(wire)], lambda _: [b"\xff" * 100]])
async def test_a_server_that_never_answers(mangle: Callable[[bytes], list[bytes]]) -> None:
    zone = Zone()
    zone.says(HOST, "A", f"{HOST}. 300 IN A {FOUR}", mangle=mangle)
    async with serve(zone) as port:
        asks = DNSResolver(servers=[f"127.0.0.1:{port}"], hosts=None, give_up_after=0.05, attempts=1, services=False)
        items = await heard(asks, families=[socket.AF_INET])
    (answer,) = (item for item in items if isinstance(item, Answer))
    assert answer.error is not None
    assert answer.error.errno == socket.EAI_AGAIN
    assert str(answer.error).endswith(f"127.0.0.1:{port}: Connection timed out: no answer")


@pytest.mark.parametrize("rcode", [None, "FORMERR", "NOTIMP", "REFUSED", "SERVFAIL"])
async def test_what_stumbles_over_edns_is_not_met(zone: Zone, rcode: str | None) -> None:
    """Firewalls and servers that drop queries with EDNS, or answer them with a failure: the first query has none."""

    def answer(query: dns.message.Message, wire: bytes) -> Sequence[bytes]:
        if query.edns < 0:
            return [wire]
        response = dns.message.make_response(query)
        response.use_edns(False)
        response.set_rcode(dns.rcode.from_text(rcode or "NOERROR"))
        return [response.to_wire()] if rcode else []

    zone.answers_by(answer)
    async with serve(zone) as port:
        items = await heard(DNSResolver(servers=[f"127.0.0.1:{port}"], hosts=None), families=[socket.AF_INET])
    assert found(items, Source.A) == [[FOUR]]
    assert zone.count("A") == 1


async def test_an_answer_that_is_truncated_over_tcp_is_none() -> None:
    zone = Zone()
    zone.says(
        HOST, "A", f"{HOST}. 300 IN A {FOUR}", truncated=True, mangle=lambda w: [w[:2] + bytes([w[2] | 2]) + w[3:]]
    )
    async with serve(zone) as port:
        asks = DNSResolver(servers=[f"127.0.0.1:{port}"], hosts=None)
        items = await heard(asks, port=80, families=[socket.AF_INET], services=False)
    assert found(items, Source.A) == [socket.EAI_AGAIN]
    assert "the answer is truncated, over TCP as well" in repr(items)


@pytest.mark.parametrize("kind", [Source.A, Source.HTTPS])
async def test_a_message_of_64_kb_stops_nobody(kind: Source) -> None:
    """Whatever is in it: no more of it is read than could be of use."""
    zone = Zone()
    data = "10.0.{0}.{1}" if kind is Source.A else "1 t{0}x{1}.example. alpn=h2,h3 ipv4hint=10.0.0.1,10.0.0.2"
    count = 3500 if kind is Source.A else 1000
    records = [f"{HOST}. 300 IN {kind.value} " + data.format(n >> 8, n & 255) for n in range(1, count)]
    zone.says(HOST, kind.value, *records)
    question = Question(HOST, kind)
    saying = zone.asked(dns.message.from_wire(question.to_wire(7)), "tcp")
    (wire,) = saying.wires(dns.message.from_wire(question.to_wire(7)), udp=False)
    assert len(wire) > 50_000
    took = []
    for _ in range(5):
        began = time.process_time()
        reply = question.read(7, wire)
        assert reply is not None
        parse_answer(question, reply, random.Random(1))
        took.append(time.process_time() - began)
    assert min(took) < 0.005


@pytest.mark.parametrize("rcode", ["SERVFAIL", "REFUSED", "NOTIMP", "FORMERR"])
async def test_the_next_server_is_asked_where_one_fails(zone: Zone, rcode: str) -> None:
    broken = Zone()
    for kind in ("A", "HTTPS"):
        broken.says(HOST, kind, rcode=rcode)
    async with serve(broken) as first, serve(zone) as second:
        servers = [f"127.0.0.1:{first}", f"127.0.0.1:{second}"]
        items = await heard(DNSResolver(servers=servers, hosts=None), families=[socket.AF_INET])
    assert found(items, Source.A) == [[FOUR]]
    assert (broken.count("A") > 0, zone.count("A")) == (True, 1)


async def test_a_server_where_nobody_listens() -> None:
    """The kernel says so at once, since the socket is connected."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.connect(("127.0.0.1", 9))  # nobody else may have the port, and nothing else arrives
        server = f"127.0.0.1:{taken.getsockname()[1]}"
        items = await heard(DNSResolver(servers=[server], hosts=None), families=[socket.AF_INET])
    assert found(items, Source.A) == [socket.EAI_AGAIN]


async def test_a_server_that_nothing_can_be_sent_to(zone: Zone) -> None:
    """The socket refuses at once, and so the next server is asked at once."""
    async with serve(zone) as port:
        asks = DNSResolver(servers=["255.255.255.255", f"127.0.0.1:{port}"], hosts=None, cache_size=0)
        items = await heard(asks, port=80, families=[socket.AF_INET], services=False)
        alone = DNSResolver(servers=["255.255.255.255"], hosts=None)
        failed = await heard(alone, port=80, families=[socket.AF_INET], services=False)
    assert found(items, Source.A) == [[FOUR]]
    assert found(failed, Source.A) == [socket.EAI_AGAIN]
    assert re.search("255.255.255.255:53: (Permission denied|Network is unreachable)", repr(failed))


async def test_a_datagram_that_the_kernel_drops_late(zone: Zone, monkeypatch: pytest.MonkeyPatch) -> None:
    """select(2): a socket may be reported as readable, and then its datagram "has wrong checksum and is discarded"."""
    wait_readable, early = trio.lowlevel.wait_readable, [True]

    async def wait(sock: socket.socket) -> None:
        if isinstance(sock, socket.socket) and early.pop():
            early.append(False)
            await trio.lowlevel.checkpoint()
        else:
            early.append(False)
            await wait_readable(sock)

    slower(zone, HOST, "A", 0.01)
    async with serve(zone) as port:
        monkeypatch.setattr(trio.lowlevel, "wait_readable", wait)
        asks = DNSResolver(servers=[f"127.0.0.1:{port}"], hosts=None)
        assert found(await heard(asks, port=80, families=[socket.AF_INET], services=False), Source.A) == [[FOUR]]


@pytest.mark.parametrize("kind", ["udp", "tcp"])
async def test_a_cancelled_look_up_leaves_nothing(kind: str) -> None:
    """No socket, which a fixture counts, and no task: the nursery would not end."""
    zone = Zone()
    for record in ("AAAA", "A", "HTTPS"):
        zone.says(HOST, record, truncated=kind == "tcp", mangle=lambda wire: [wire] if wire[2] & 2 else [])
    items: list[QuerySent | Answer] = []
    async with serve(zone) as port:
        asks = DNSResolver(servers=[f"127.0.0.1:{port}"], hosts=None)
        with trio.fail_after(10):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(asks.resolve, Query(host=HOST, port=443, families=BOTH, services=True), items.append)
                await zone.wait_for(3, kind)
                nursery.cancel_scope.cancel()


async def test_a_look_up_that_begins_cancelled() -> None:
    with trio.CancelScope() as scope:
        scope.cancel()
        await heard(DNSResolver(servers=["127.0.0.1:9"], hosts=None))
    assert scope.cancelled_caught


# Encrypted servers


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Whoever vouches for the servers here."""
    return trustme.CA()


@pytest.fixture
def trusted(authority: trustme.CA, tmp_path: Path) -> Path:
    """The file that says so."""
    path = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(path)
    return path


def context_for(authority: trustme.CA, name: str) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(name).configure_cert(context)
    return context


@pytest.mark.parametrize("who", ["127.0.0.1", "dns.example#127.0.0.1"])
@pytest.mark.parametrize("scheme", ["tls", pytest.param("https", marks=needs_https)])
async def test_encrypted(zone: Zone, authority: trustme.CA, trusted: Path, who: str, scheme: str) -> None:
    name, sign, address = who.partition("#")
    async with serve_tls(zone, context_for(authority, name), http=scheme == "https") as port:
        server = f"{scheme}://{name}:{port}/{sign}{address}"
        items = await heard(DNSResolver(servers=[server], ca_file=trusted, hosts=None))
    assert QuerySent(Source.HTTPS, encrypted=True) in items
    assert (found(items, Source.AAAA), found(items, Source.A)) == ([[SIX]], [[FOUR]])


@pytest.mark.parametrize("scheme", ["tls", pytest.param("https", marks=needs_https)])
async def test_a_server_that_is_not_who_it_says(zone: Zone, authority: trustme.CA, trusted: Path, scheme: str) -> None:
    for context, ca_file in (
        (context_for(authority, "other.example"), trusted),
        (context_for(authority, "127.0.0.1"), None),
    ):
        async with serve_tls(zone, context, http=scheme == "https") as port:
            server = f"{scheme}://127.0.0.1:{port}/"
            items = await heard(DNSResolver(servers=[server], ca_file=ca_file, hosts=None))
        assert found(items, Source.HTTPS) == [socket.EAI_AGAIN]
        assert found(items, Source.A) == [socket.EAI_AGAIN]


@needs_https
@pytest.mark.parametrize(
    ("head", "why"),
    [
        (b"Content-Type: application/dns-message", "longer than a message can be"),
        (b"Content-Encoding: gzip", "the body is compressed"),
    ],
)
async def test_a_body_without_end(authority: trustme.CA, trusted: Path, head: bytes, why: str) -> None:
    """No message has more than 65,535 octets, and what is compressed has no length to be seen."""

    async def answer(stream: trio.SSLStream[trio.SocketStream]) -> None:
        async with stream:
            with contextlib.suppress(trio.BrokenResourceError):
                await stream.receive_some()
                await stream.send_all(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n")
                while True:
                    await stream.send_all(b"x" * 10_000)

    async with trio.open_nursery() as nursery:
        context = context_for(authority, "127.0.0.1")
        serving = partial(trio.serve_ssl_over_tcp, answer, 0, context, host="127.0.0.1", https_compatible=True)
        listeners = await nursery.start(serving)
        port = listeners[0].transport_listener.socket.getsockname()[1]
        asks = DNSResolver(servers=[f"https://127.0.0.1:{port}/"], ca_file=trusted, hosts=None)
        with trio.fail_after(10):
            items = await heard(asks, port=80, families=[socket.AF_INET], services=False)
        nursery.cancel_scope.cancel()
    assert found(items, Source.A) == [socket.EAI_AGAIN]
    assert why in repr(items)


@needs_https
async def test_an_error_of_http(authority: trustme.CA, trusted: Path) -> None:
    zone = Zone()
    zone.says(HOST, "A", mangle=lambda _: [b""])
    async with serve_tls(zone, context_for(authority, "127.0.0.1"), http=True) as port:
        asks = DNSResolver(servers=[f"https://127.0.0.1:{port}/"], ca_file=trusted, hosts=None, services=False)
        items = await heard(asks, families=[socket.AF_INET])
    assert found(items, Source.A) == [socket.EAI_AGAIN]


@pytest.mark.parametrize(
    "mangle", [lambda wire: [wire[:2] + bytes([wire[2] | 2]) + wire[3:]], lambda wire: [wrong_question(wire)]]
)
@pytest.mark.parametrize("scheme", ["tls", pytest.param("https", marks=needs_https)])
async def test_an_encrypted_answer_that_is_none(
    authority: trustme.CA, trusted: Path, scheme: str, mangle: Callable[[bytes], list[bytes]]
) -> None:
    """It is truncated, or to another question."""
    zone = Zone()
    zone.says(HOST, "A", f"{HOST}. 300 IN A {FOUR}", mangle=mangle)
    async with serve_tls(zone, context_for(authority, "127.0.0.1"), http=scheme == "https") as port:
        server = f"{scheme}://127.0.0.1:{port}/"
        asks = DNSResolver(servers=[server], ca_file=trusted, hosts=None, give_up_after=0.5)
        items = await heard(asks, port=80, families=[socket.AF_INET], services=False)
    assert found(items, Source.A) == [socket.EAI_AGAIN]


async def test_a_server_on_an_interface_that_comes_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is the same; what it means is not."""
    conf = tmp_path / "resolv.conf"
    conf.write_text("nameserver 192.0.2.1\nnameserver fe80::53%wlan7\n")
    asks = DNSResolver(resolv_conf=conf, hosts=None)
    assert len((await settings(asks)).servers) == 1
    monkeypatch.setattr(socket, "if_nametoindex", lambda _: 7)
    assert [str(server) for server in (await settings(asks)).servers] == ["192.0.2.1:53", "[fe80::53%7]:53"]


async def test_a_server_that_was_given_on_an_interface_that_comes_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until then it cannot be asked; an interface that comes back has another index."""
    asks = DNSResolver(servers=["fe80::53%wlan7"], hosts=None)
    assert "there is no interface 'wlan7'" in repr((await heard(asks, services=False))[-1])
    for index in (7, 9):
        monkeypatch.setattr(socket, "if_nametoindex", {"wlan7": index}.__getitem__)
        (server,) = parse_servers(["tls://dns.example#fe80::53%wlan7"], None)
        assert isinstance(server, TLSServer)
        assert (server.address.sockaddr, str(server)) == (("fe80::53", 853, 0, index), "tls://[fe80::53%wlan7]:853")


@pytest.mark.parametrize("scheme", ["tls", pytest.param("https", marks=needs_https)])
async def test_a_cancelled_look_up_over_tls_leaves_nothing(
    zone: Zone, authority: trustme.CA, trusted: Path, scheme: str
) -> None:
    for kind in ("AAAA", "A", "HTTPS"):
        zone.says(HOST, kind, after=1000)
    items: list[QuerySent | Answer] = []
    async with serve_tls(zone, context_for(authority, "127.0.0.1"), http=scheme == "https") as port:
        asks = DNSResolver(servers=[f"{scheme}://127.0.0.1:{port}/"], ca_file=trusted, hosts=None)
        with trio.fail_after(10):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(asks.resolve, Query(host=HOST, port=443, families=BOTH, services=True), items.append)
                await zone.wait_for(3, "tcp" if scheme == "tls" else "https")
                nursery.cancel_scope.cancel()


async def test_a_cancelled_connect_leaves_nothing() -> None:
    """A listener whose backlog is full says nothing; a fixture counts the sockets."""
    with socket.socket() as listener, contextlib.ExitStack() as clients:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(3):
            client = clients.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
        with trio.fail_after(10):
            async with trio.open_nursery() as nursery:
                address = Address(socket.AF_INET, "127.0.0.1", listener.getsockname()[1])
                nursery.start_soon(_connect, address)
                await trio.testing.wait_all_tasks_blocked()
                nursery.cancel_scope.cancel()
