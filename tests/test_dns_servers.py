"""Name servers: the words for them, what `resolv.conf` says, and real exchanges on loopback."""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dns.query
import pytest
import trio
import trio.testing
import trustme

from trio_nbconnect import Address, Answer, Query, QuerySent, Source
from trio_nbconnect._dns.servers import parse_resolv_conf, parse_servers
from trio_nbconnect._dns.transports import TLSServer
from trio_nbconnect._dns.wire import open_stream
from trio_nbconnect.dns import DNSResolver

from .adapters import import_with_broken, import_without
from .dns_server import ScriptedServer, Zone, lost, serve, serve_tls, wrong_id, wrong_question
from .test_dns import BOTH, FOUR, HOST, SIX, found, heard, resolver, zone

__all__ = ["zone"]  # a fixture that both modules have

needs_https = pytest.mark.skipif(not dns.query.have_doh, reason="dnspython[doh] is not installed")

# Arguments


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"servers": "192.0.2.53"}, TypeError("servers must be several, not one str: '192.0.2.53'")),
        ({"servers": [53]}, TypeError("a server must be str, not 53")),
        ({"search": "example.org"}, TypeError("search must be several, not one str: 'example.org'")),
        ({"search": ["a..b"]}, ValueError("host must not have an empty label: 'a..b'")),
        ({"ndots": "1"}, TypeError("ndots must be int, not '1'")),
        ({"attempts": 0}, ValueError("attempts must be at least 1, not 0")),
        ({"cache_size": True}, TypeError("cache_size must be int, not True")),
        ({"give_up_after": "5"}, TypeError("give_up_after must be a number of seconds, not '5'")),
        ({"use_expired": -1}, ValueError("use_expired must not be negative, not -1")),
        ({"protocols": "h2"}, TypeError("protocols must be several, not one str: 'h2'")),
    ],
)
def test_what_makes_no_sense(options: dict[str, Any], error: Exception) -> None:
    with pytest.raises(type(error)) as caught:
        DNSResolver(**options)
    assert str(caught.value) == str(error)


async def test_resolv_conf_is_read_again_when_it_has_changed(tmp_path: Path) -> None:
    """Arguments come before what it says."""
    conf = tmp_path / "resolv.conf"
    conf.write_text("nameserver 192.0.2.1\noptions ndots:3 rotate timeout:7 attempts:4\nsearch a.example\n")
    asks = DNSResolver(resolv_conf=conf, ndots=2, hosts=None)
    said = asks._settings()
    assert [str(server) for server in said.servers] == ["192.0.2.1:53"]
    assert (said.search, said.ndots, said.give_up_after, said.attempts, said.rotate) == (("a.example",), 2, 7, 4, True)
    conf.write_text("nameserver 192.0.2.123\nsearch b.example")
    assert [str(server) for server in asks._settings().servers] == ["192.0.2.123:53"]

    own = DNSResolver(resolv_conf=conf, search=[], give_up_after=1.5, attempts=1, rotate=False)._settings()
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
    for text, name in (("tls://192.0.2.53", "192.0.2.53"), ("tls://dns.example#192.0.2.53", "dns.example")):
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


def test_protected_and_plain_servers_do_not_mix() -> None:
    with pytest.raises(ValueError) as caught:
        parse_servers(["192.0.2.53", "tls://192.0.2.53"], None)
    assert str(caught.value) == "servers must be all encrypted or none: an attacker would choose which one answers"


def test_https_without_the_libraries_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dns.query, "have_doh", False)
    with pytest.raises(ImportError) as caught:
        DNSResolver(servers=["https://192.0.2.53/dns-query"])
    assert str(caught.value) == "DNS over HTTPS needs more of dnspython: python -m pip install 'dnspython[doh]'"


def test_resolv_conf_with_nothing_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """resolv.conf(5): "the name server on the local machine", and the domain is the host name's."""
    monkeypatch.setattr(socket, "gethostname", lambda: "me.corp.example")
    for text in ("", "nameserver\nnameserver dns.example\nnameserver 1:2\noptions ndots:x timeout:\ngarbage \xff"):
        said = parse_resolv_conf(text)
        assert [str(server) for server in said.servers] == ["127.0.0.1:53"]
        assert (said.search, said.ndots, said.give_up_after, said.attempts, said.rotate) == (
            ("corp.example",),
            1,
            5,
            2,
            False,
        )


def test_resolv_conf_with_lines_that_make_no_sense() -> None:
    text = f"nameserver fe80::1%1\nsearch a..b\nsearch {'x' * 64}\nsearch a.example b.example\nnameserver 192.0.2.1"
    said = parse_resolv_conf(text)
    assert [str(server) for server in said.servers] == ["[fe80::1%1]:53", "192.0.2.1:53"]
    assert said.search == ("a.example", "b.example")


# Exchanges on loopback


async def test_udp(zone: Zone) -> None:
    async with serve(zone) as port:
        items = await heard(DNSResolver(servers=[f"127.0.0.1:{port}"], hosts=None))
    assert (found(items, Source.AAAA), found(items, Source.A)) == ([[SIX]], [[FOUR]])
    assert {way for _, _, way in zone.queries} == {"udp"}


async def test_udp_over_ipv6(zone: Zone) -> None:
    async with serve(zone, "::1") as port:
        assert found(await heard(DNSResolver(servers=[f"[::1]:{port}"], hosts=None)), Source.A) == [[FOUR]]


async def test_tcp_where_udp_is_truncated() -> None:
    """RFC 7766, section 5."""
    zone = Zone()
    zone.says(HOST, "A", *(f"{HOST}. 300 IN A 192.0.2.{number}" for number in range(1, 200)), truncated=True)
    async with serve(zone) as port:
        items = await heard(DNSResolver(servers=[f"127.0.0.1:{port}"], hosts=None), families=[socket.AF_INET])
    assert len(found(items, Source.A)[0] or ()) == 199  # type: ignore[arg-type]  # no error here
    assert [way for _, kind, way in zone.queries if kind == "A"] == ["udp", "tcp"]


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


async def test_a_server_that_does_not_know_edns(zone: Zone) -> None:
    """RFC 6891, section 7."""
    zone.says(HOST, "A", f"{HOST}. 300 IN A {FOUR}", knows_edns=False)
    async with serve(zone) as port:
        items = await heard(DNSResolver(servers=[f"127.0.0.1:{port}"], hosts=None), families=[socket.AF_INET])
    assert found(items, Source.A) == [[FOUR]]
    assert zone.count("A") == 2


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
                nursery.start_soon(asks.resolve, Query(host=HOST, port=443, families=BOTH), items.append)
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
async def test_protected(zone: Zone, authority: trustme.CA, trusted: Path, who: str, scheme: str) -> None:
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
async def test_an_error_of_http(authority: trustme.CA, trusted: Path) -> None:
    zone = Zone()
    zone.says(HOST, "A", mangle=lambda _: [b""])
    async with serve_tls(zone, context_for(authority, "127.0.0.1"), http=True) as port:
        asks = DNSResolver(servers=[f"https://127.0.0.1:{port}/"], ca_file=trusted, hosts=None, services=False)
        items = await heard(asks, families=[socket.AF_INET])
    assert found(items, Source.A) == [socket.EAI_AGAIN]


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
                nursery.start_soon(asks.resolve, Query(host=HOST, port=443, families=BOTH), items.append)
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
                nursery.start_soon(open_stream, address)
                await trio.testing.wait_all_tasks_blocked()
                nursery.cancel_scope.cancel()
