"""`DNSResolver`: what it asks, remembers and makes of the answers. No sockets here: time is virtual."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dns.message
import dns.rcode
import pytest
import trio

from trio_nbconnect import Address, Answer, Connector, Query, QuerySent, ResolutionError, Source, trace
from trio_nbconnect._connect.policy_table import PolicyTable, parse_gai_conf
from trio_nbconnect._dns import cache
from trio_nbconnect.dns import DNSResolver
from trio_nbconnect.testing import SimulatedNetwork

from .dns_server import ScriptedServer, Zone, slower

pytestmark = pytest.mark.virtual_time

BOTH = (socket.AF_INET6, socket.AF_INET)
HOST = "www.example.org"
SIX, FOUR = "2001:db8::1", "192.0.2.1"
SOA = "example.org. 600 IN SOA ns. admin. 1 3600 600 86400 60"


@pytest.fixture
def zone() -> Zone:
    """A host with one address of each family, for five minutes."""
    zone = Zone()
    zone.says(HOST, "AAAA", f"{HOST}. 300 IN AAAA {SIX}")
    zone.says(HOST, "A", f"{HOST}. 300 IN A {FOUR}")
    zone.says(HOST, "HTTPS", soa=SOA)
    return zone


def resolver(*servers: ScriptedServer, **options: Any) -> DNSResolver:
    """A resolver that asks these servers and no file."""
    asks = DNSResolver(**{"servers": ["192.0.2.53"], "hosts": None, **options})
    asks._servers = servers
    return asks


async def heard(
    asks: DNSResolver,
    host: str = HOST,
    *,
    port: int = 443,
    families: Sequence[socket.AddressFamily] = BOTH,
    services: bool = True,
) -> list[QuerySent | Answer]:
    """Everything that is delivered."""
    items: list[QuerySent | Answer] = []
    with trio.fail_after(1000):
        query = Query(host=host, port=port, families=tuple(families), services=services)
        await asks.resolve(query, items.append)
    return items


def found(items: list[QuerySent | Answer], source: Source) -> list[list[str] | int | None]:
    """The addresses of each answer, or the number of its error."""
    answers = [item for item in items if isinstance(item, Answer) and item.source is source]
    return [
        [address.host for address in answer.addresses] if answer.error is None else answer.error.errno
        for answer in answers
    ]


async def test_a_delayed_aaaa_costs_the_resolution_delay_and_no_more(zone: Zone) -> None:
    """RFC 8305, section 3: attempts over IPv4 begin 50 ms after its answer, not when the name server is done."""
    slower(zone, HOST, "AAAA", 1.0)
    slower(zone, HOST, "A", 0.02)
    net = SimulatedNetwork()
    net.host(FOUR).accepts(after=0.03)
    events: list[trace.Event] = []
    connector = Connector(network=net, resolver=resolver(ScriptedServer(zone)), tracer=events.append)

    stream = await connector.open_tcp_stream(HOST, 443)
    await stream.aclose()

    assert net.started == {FOUR: pytest.approx(0.07)}
    assert trio.current_time() == pytest.approx(0.10)
    assert [event.source for event in events if isinstance(event, trace.ResolutionStarted)] == [
        Source.HTTPS,
        Source.AAAA,
        Source.A,
    ]


async def test_services_are_followed_and_raced(zone: Zone) -> None:
    """A service on another port and host, by its hint until its address is there."""
    zone.says(HOST, "HTTPS", f'{HOST}. 300 IN HTTPS 1 cdn.example.org. alpn="h2" port=8443 ipv4hint=192.0.2.7')
    zone.says("cdn.example.org", "A", "cdn.example.org. 300 IN A 192.0.2.8", after=0.04)
    zone.says("cdn.example.org", "AAAA", soa=SOA)
    net = SimulatedNetwork()
    for number in (7, 8):
        net.host(f"192.0.2.{number}").accepts(after=0.2)

    stream = await Connector(network=net, resolver=resolver(ScriptedServer(zone))).open_tcp_stream(HOST, 443)

    assert stream.socket.getpeername() == ("192.0.2.7", 8443)
    await stream.aclose()


async def test_no_address_ends_in_an_error_that_says_why() -> None:
    for rcode, number in (("NXDOMAIN", socket.EAI_NONAME), ("SERVFAIL", socket.EAI_AGAIN)):
        zone = Zone()
        for kind in ("AAAA", "A", "HTTPS"):
            zone.says(HOST, kind, rcode=rcode)
        with pytest.raises(ResolutionError) as caught:
            await Connector(network=SimulatedNetwork(), resolver=resolver(ScriptedServer(zone))).open_tcp_stream(
                HOST, 443
            )
        assert caught.value.errno == number
    assert "no name server knows AAAA of www.example.org: " in repr(caught.value.__cause__)


@pytest.mark.parametrize(
    ("port", "services", "asked"),
    [(443, False, True), (443, True, True), (8443, True, True), (25, False, False), (22, False, False)],
)
async def test_services_are_asked_for_where_https_is_spoken(
    zone: Zone, port: int, *, services: bool, asked: bool
) -> None:
    """Mail to port 25 goes where A and AAAA say, whatever an HTTPS record says."""
    items = await heard(resolver(ScriptedServer(zone)), port=port, services=services)
    assert bool(zone.count("HTTPS")) is asked
    assert (QuerySent(Source.HTTPS) in items) is asked


async def test_services_are_not_asked_for_where_the_resolver_may_not(zone: Zone) -> None:
    await heard(resolver(ScriptedServer(zone), services=False))
    assert zone.count("HTTPS") == 0


# Memory


async def test_answers_are_remembered_as_long_as_their_ttl_says(zone: Zone) -> None:
    asks = resolver(ScriptedServer(zone), use_expired=0)
    for seconds, count in ((0, 1), (299, 1), (1.5, 2)):
        await trio.sleep(seconds)
        assert found(await heard(asks), Source.A) == [[FOUR]]
        assert zone.count("A") == count


async def test_an_answer_names_the_server_that_gave_it_and_its_ttl(zone: Zone) -> None:
    """What is remembered was given by the same one."""
    asks = resolver(ScriptedServer(zone, label="first"))

    for _ in range(2):
        answers = [item for item in await heard(asks) if isinstance(item, Answer)]
        assert all("label='first'" in answer.server for answer in answers)
        assert {answer.source: answer.ttl for answer in answers if answer.addresses} == {
            Source.AAAA: 300.0,
            Source.A: 300.0,
        }


async def test_names_are_remembered_whatever_their_spelling(zone: Zone) -> None:
    asks = resolver(ScriptedServer(zone))
    for name in (HOST, HOST.upper(), f"{HOST}."):
        assert found(await heard(asks, name), Source.A) == [[FOUR]]
    assert zone.count("A") == 1


async def test_that_there_is_nothing_is_remembered_as_long_as_the_soa_says(zone: Zone) -> None:
    """RFC 2308, section 5: "the minimum of the SOA.MINIMUM field and SOA's TTL"; without an SOA, not at all."""
    zone.says(HOST, "A", soa=SOA)
    zone.says("gone.example.org", "A", rcode="NXDOMAIN", soa=SOA)
    zone.says("bare.example.org", "A", rcode="NXDOMAIN")
    asks = resolver(ScriptedServer(zone), services=False)
    for name, expected, count in ((HOST, [[]], 2), ("gone.example.org", [-2], 2), ("bare.example.org", [-2], 3)):
        zone.queries.clear()
        for seconds in (0, 59, 1.5):
            await trio.sleep(seconds)
            assert found(await heard(asks, name, families=[socket.AF_INET]), Source.A) == expected
        assert zone.count("A") == count


async def test_failures_are_not_remembered(zone: Zone) -> None:
    zone.says(HOST, "A", rcode="SERVFAIL")
    asks = resolver(ScriptedServer(zone))
    assert found(await heard(asks), Source.A) == [socket.EAI_AGAIN]
    zone.says(HOST, "A", f"{HOST}. 300 IN A {FOUR}")
    assert found(await heard(asks), Source.A) == [[FOUR]]


async def test_an_expired_answer_is_used_at_once_and_then_replaced(zone: Zone) -> None:
    """Happy Eyeballs version 3, section 4.4: an attempt begins with what was known, while the truth is on its way."""
    net = SimulatedNetwork()
    net.host(FOUR).drops()
    net.host("192.0.2.2").accepts(after=0.03)
    asks = resolver(ScriptedServer(zone), services=False)
    await heard(asks, families=[socket.AF_INET])
    await trio.sleep(1000 - trio.current_time())
    zone.says(HOST, "A", f"{HOST}. 300 IN A 192.0.2.2", after=0.2)
    zone.says(HOST, "AAAA", soa=SOA)

    stream = await Connector(network=net, resolver=asks).open_tcp_stream(HOST, 443)
    await stream.aclose()

    assert net.started == {FOUR: 1000.0, "192.0.2.2": pytest.approx(1000.25)}
    assert found(await heard(asks), Source.A) == [["192.0.2.2"]]


async def test_an_expired_answer_is_used_once(zone: Zone) -> None:
    """A program that never waits for the fresh one must learn some day that something has changed."""
    asks = resolver(ScriptedServer(zone), services=False)
    await heard(asks)
    await trio.sleep(1000)
    slower(zone, HOST, "A", 5.0)
    slower(zone, HOST, "AAAA", 5.0)
    query = Query(host=HOST, port=443, families=(socket.AF_INET,))
    for expected in (1, 0):
        items: list[QuerySent | Answer] = []
        with trio.move_on_after(1):
            await asks.resolve(query, items.append)
        assert len([item for item in items if isinstance(item, Answer)]) == expected


@pytest.mark.parametrize(
    ("rcode", "later"),
    [("SERVFAIL", [[FOUR]]), ("NXDOMAIN", [[FOUR], socket.EAI_NONAME]), ("NOERROR", [[FOUR], []])],
)
async def test_an_expired_answer_is_better_than_nothing(zone: Zone, rcode: str, later: list[object]) -> None:
    """RFC 8767, section 5: where the truth cannot be had, it stands, and may be used again."""
    asks = resolver(ScriptedServer(zone), services=False)
    await heard(asks)
    await trio.sleep(1000)
    zone.says(HOST, "A", rcode=rcode)
    assert found(await heard(asks), Source.A) == later
    assert found(await heard(asks), Source.A) == (later if rcode == "SERVFAIL" else later[1:])


async def test_an_answer_that_expired_long_ago_is_not_used(zone: Zone) -> None:
    asks = resolver(ScriptedServer(zone), use_expired=100)
    await heard(asks)
    await trio.sleep(401)
    zone.says(HOST, "A", f"{HOST}. 300 IN A 192.0.2.2")
    assert found(await heard(asks), Source.A) == [["192.0.2.2"]]


async def test_forget(zone: Zone) -> None:
    asks = resolver(ScriptedServer(zone))
    await heard(asks)
    asks.forget()
    await heard(asks)
    assert zone.count("A") == 2


async def test_a_host_that_prefers_ipv4_waits_for_it(zone: Zone) -> None:
    """Its gai.conf says so; that AAAA is answered first, if only by microseconds, decides nothing."""

    class Network(SimulatedNetwork):
        def policy_table(self) -> PolicyTable:
            return parse_gai_conf("precedence ::ffff:0:0/96 100")

    net = Network()
    for address in (SIX, FOUR):
        net.host(address).accepts()
    slower(zone, HOST, "A", 0.02)
    stream = await Connector(network=net, resolver=resolver(ScriptedServer(zone))).open_tcp_stream(HOST, 80)
    await stream.aclose()
    assert net.started == {FOUR: pytest.approx(0.02)}


async def test_what_was_known_before_a_sleep_is_forgotten(zone: Zone, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trio's clock and a TTL stand still while a laptop is suspended, and it may wake up in another network."""
    asks, asleep = resolver(ScriptedServer(zone)), {1: 0.0, 7: 0.0}
    monkeypatch.setattr(cache, "_CLOCKS", [(7, 1)])
    monkeypatch.setattr(time, "clock_gettime", asleep.__getitem__)
    for seconds, count in ((0.0, 1), (0.5, 1), (3600.0, 2), (3600.0, 2), (7200.0, 3)):
        asleep[7] = seconds
        await heard(asks)
        assert zone.count("A") == count


async def test_memory_is_bounded(zone: Zone) -> None:
    for size, count in ((0, 2), (1, 2), (3, 1)):
        zone.queries.clear()
        asks = resolver(ScriptedServer(zone), cache_size=size)
        await heard(asks)
        await heard(asks)
        assert zone.count("HTTPS") == count


# Names


async def test_what_the_hosts_file_knows_is_not_asked_for(zone: Zone, tmp_path: Path) -> None:
    """Neither family, nor services: what stands there is all."""
    hosts = tmp_path / "hosts"
    hosts.write_text("192.0.2.9 WWW.example.org\nfe80::9%1 www.example.org\n192.0.2.10 four.example\n")
    asks = resolver(ScriptedServer(zone), hosts=hosts)

    assert await heard(asks, port=80) == [
        QuerySent(Source.AAAA),
        QuerySent(Source.A),
        Answer(Source.AAAA, (Address(socket.AF_INET6, "fe80::9", 80, 0, 1),)),
        Answer(Source.A, (Address(socket.AF_INET, "192.0.2.9", 80),)),
    ]
    assert found(await heard(asks, "four.example."), Source.AAAA) == [[]]
    assert zone.queries == []
    hosts.write_text("")
    assert found(await heard(asks), Source.A) == [[FOUR]]


async def test_special_names_are_not_asked_for(zone: Zone) -> None:
    """RFC 6761, sections 6.3 and 6.4; RFC 7686, section 2."""
    asks = resolver(ScriptedServer(zone))
    for name, expected in (
        ("localhost", ["127.0.0.1"]),
        ("db.LOCALHOST.", ["127.0.0.1"]),
        ("a.invalid", socket.EAI_NONAME),
        ("a.Onion", socket.EAI_NONAME),
    ):
        assert found(await heard(asks, name), Source.A) == [expected]
    assert zone.queries == []


async def test_special_names_are_not_asked_for_on_a_detour(zone: Zone) -> None:
    """A search list, an alias or a service does not make them ask; and nobody is sent to this machine."""
    zone.says("alias.example", "A", "alias.example. 300 IN CNAME a.onion.")
    zone.says(HOST, "HTTPS", f"{HOST}. 300 IN HTTPS 1 db.localhost. alpn=h2", f"{HOST}. 300 IN HTTPS 2 b.onion.")
    asks = resolver(ScriptedServer(zone), search=["corp.onion"])
    assert found(await heard(asks, "db", families=[socket.AF_INET]), Source.A) == [socket.EAI_NONAME]
    assert found(await heard(asks, "alias.example.", families=[socket.AF_INET]), Source.A) == [socket.EAI_NONAME]
    items = await heard(asks, f"{HOST}.", families=[socket.AF_INET])
    assert sorted(found(items, Source.A), key=str) == [socket.EAI_NONAME, socket.EAI_NONAME, [FOUR]]
    assert {name for name, _, _ in zone.queries} == {"alias.example", "db", HOST}


async def test_other_special_names_are_names_like_any(zone: Zone) -> None:
    """RFC 6761, sections 6.2 and 6.5: resolvers "SHOULD NOT recognize" test and example "as special"."""
    zone.says("a.test", "A", "a.test. 300 IN A 192.0.2.3")
    assert found(await heard(resolver(ScriptedServer(zone)), "a.test"), Source.A) == [["192.0.2.3"]]


async def test_a_short_name_is_completed(zone: Zone) -> None:
    """resolv.conf(5): search. All addresses come from the first name that has any."""
    zone.says("db.a.example", "A", soa=SOA)
    zone.says("db.b.example", "A", "db.b.example. 300 IN A 192.0.2.5", after=0.02)
    zone.says("db.b.example", "AAAA", soa=SOA, after=0.04)
    zone.says("db.c.example", "AAAA", "db.c.example. 300 IN AAAA 2001:db8::5")
    asks = resolver(ScriptedServer(zone), search=["a.example", "b.example", "c.example"])

    items = await heard(asks, "db")

    assert found(items, Source.A) == [["192.0.2.5"]]
    assert found(items, Source.AAAA) == [[]]
    assert len([item for item in items if isinstance(item, QuerySent)]) == 3
    assert {name for name, _, _ in zone.queries} == {"db.a.example", "db.b.example"}


@pytest.mark.parametrize(
    ("host", "ndots", "names"),
    [
        ("db", 1, ["db.a.example", "db"]),
        ("db.x", 1, ["db.x", "db.x.a.example"]),
        ("db.x", 2, ["db.x.a.example", "db.x"]),
        ("db.", 1, ["db"]),
        ("db", 0, ["db", "db.a.example"]),
    ],
)
async def test_the_order_of_names(host: str, ndots: int, names: list[str]) -> None:
    zone = Zone()
    asks = resolver(ScriptedServer(zone), search=["a.example."], ndots=ndots, services=False)
    assert found(await heard(asks, host), Source.A) == [socket.EAI_NONAME]
    assert list(dict.fromkeys(name for name, _, _ in zone.queries)) == names


async def test_a_name_that_may_exist_is_what_the_error_says() -> None:
    zone = Zone()
    zone.says("db.b.example", "A", rcode="SERVFAIL")
    asks = resolver(ScriptedServer(zone), search=["a.example", "b.example"], services=False)
    assert found(await heard(asks, "db"), Source.A) == [socket.EAI_AGAIN]


async def test_a_name_that_exists_is_what_counts() -> None:
    """It has no addresses, and the names behind it do not even exist."""
    zone = Zone()
    zone.says("db.a.example", "A", soa=SOA)
    asks = resolver(ScriptedServer(zone), search=["a.example", "b.example"], services=False)
    assert found(await heard(asks, "db", families=[socket.AF_INET]), Source.A) == [[]]


async def search_time(asks: DNSResolver, address: str) -> float:
    """How long it takes to find "db", which is at this address."""
    first: list[float] = []

    def deliver(item: QuerySent | Answer) -> None:
        if isinstance(item, Answer) and item.addresses:
            assert [found.host for found in item.addresses] == [address]
            first.append(trio.current_time())

    began = trio.current_time()
    with trio.move_on_after(20):
        await asks.resolve(Query(host="db", port=443, families=BOTH), deliver)
    return first[0] - began


@pytest.mark.parametrize(("silent", "took"), [(["HTTPS"], 0), (["AAAA"], 0.05), (["AAAA", "HTTPS"], 0.05)])
async def test_a_type_that_nobody_answers_holds_no_name_back(silent: list[str], took: float) -> None:
    """RFC 8020: a name that does not exist for one type does not exist."""
    zone = Zone()
    zone.says("db.b.example", "A", "db.b.example. 300 IN A 192.0.2.5")
    for name in ("db.a.example", "db.b.example"):
        for kind in silent:
            zone.says(name, kind, after=1000)
    asks = resolver(ScriptedServer(zone), search=["a.example", "b.example"])
    assert await search_time(asks, "192.0.2.5") == pytest.approx(took)


@pytest.mark.parametrize(("rcode", "number", "took"), [("NXDOMAIN", -2, 0.01), ("NOERROR", None, 0.41)])
async def test_services_do_not_hold_up_that_there_is_no_such_name(rcode: str, number: int | None, took: float) -> None:
    """A middlebox drops the type; nothing else is left to wait for. Records that lead somewhere are waited for."""
    zone = Zone()
    for kind in ("A", "AAAA"):
        zone.says(HOST, kind, rcode=rcode, soa=SOA, after=0.01)
    zone.says(HOST, "HTTPS", after=1000)
    items = await heard(resolver(ScriptedServer(zone)))
    assert trio.current_time() == pytest.approx(took)
    assert found(items, Source.A) == [[] if number is None else number]
    assert found(items, Source.HTTPS) == [110 if number is None else []]

    zone.says(HOST, "HTTPS", f"{HOST}. 300 IN HTTPS 0 alias.example.", after=0.3)
    zone.says("alias.example", "HTTPS", soa=SOA, after=0.3)
    zone.says("alias.example", "A", f"alias.example. 300 IN A {FOUR}", after=0.3)
    items = await heard(resolver(ScriptedServer(zone)))
    assert ([FOUR] in found(items, Source.A)) is (rcode == "NOERROR")


async def test_a_name_that_exists_is_given_time_for_its_other_type() -> None:
    """It has no A records; its AAAA is slow, and the next name is a stranger's. For ever it is not waited for."""
    for after, address, took in ((0.3, "2001:db8::5", 0.3), (1000, "192.0.2.6", 0.4)):
        zone = Zone()
        zone.says("db.a.example", "A", soa=SOA)
        zone.says("db.a.example", "AAAA", "db.a.example. 300 IN AAAA 2001:db8::5", after=after)
        zone.says("db.a.example", "HTTPS", soa=SOA)
        zone.says("db.b.example", "A", "db.b.example. 300 IN A 192.0.2.6")
        asks = resolver(ScriptedServer(zone), search=["a.example", "b.example"])
        assert await search_time(asks, address) == pytest.approx(took)


@pytest.mark.parametrize(("slow", "other"), [("AAAA", "A"), ("A", "AAAA")])
async def test_a_slow_type_is_waited_for_where_no_other_name_is_the_right_one(slow: str, other: str) -> None:
    """A host of one family with a slow name server, on a machine that has a search domain."""
    address = {"AAAA": "2001:db8::5", "A": "192.0.2.5"}[slow]
    zone = Zone()
    zone.says("db.x", other, soa=SOA)
    zone.says("db.x", slow, f"db.x. 300 IN {slow} {address}", after=0.6)
    asks = resolver(ScriptedServer(zone), search=["a.example"], services=False)

    items = await heard(asks, "db.x")

    assert found(items, Source[slow])[-1] == [address]
    assert list(dict.fromkeys(name for name, _, _ in zone.queries)) == ["db.x", "db.x.a.example"]
    assert trio.current_time() == pytest.approx(1.0)


@pytest.mark.parametrize(("search", "took"), [([], 0.4), (["a.example"], 0.1)])
@pytest.mark.parametrize("silent", ["AAAA", "A"])
async def test_no_such_name_is_the_answer_for_a_type_that_nobody_answers(
    silent: str, search: list[str], took: float
) -> None:
    """RFC 8020, section 2: what does not exist for one type does not exist; a middlebox drops the other."""
    zone = Zone()
    for name in ("db.x", "db.x.a.example"):
        for kind in (silent, "HTTPS"):
            zone.says(name, kind, after=1000)

    items = await heard(resolver(ScriptedServer(zone), search=search), "db.x")

    assert found(items, Source.AAAA) == found(items, Source.A) == [socket.EAI_NONAME]
    assert found(items, Source.HTTPS) == [[]]
    assert trio.current_time() == pytest.approx(took)


async def test_the_only_name_is_told_of_at_once() -> None:
    """Nothing is held back, and a slow type is waited for beside one that has nothing."""
    zone = Zone()
    zone.says("db.x", "A", soa=SOA)
    zone.says("db.x", "AAAA", "db.x. 300 IN AAAA 2001:db8::5", after=3)
    times: list[float] = []
    query = Query(host="db.x", port=80, families=BOTH)
    await resolver(ScriptedServer(zone)).resolve(query, lambda _: times.append(trio.current_time()))
    assert times == pytest.approx([0, 0, 0, 3])


async def test_a_type_that_is_never_answered_is_what_the_error_says() -> None:
    zone = Zone()
    zone.says("db.x", "A", soa=SOA)
    zone.says("db.x", "AAAA", after=1000)
    asks = resolver(ScriptedServer(zone), search=["a.example"], services=False)

    assert found(await heard(asks, "db.x"), Source.AAAA)[-1] == socket.EAI_AGAIN
    assert trio.current_time() == pytest.approx(5.4)


async def test_a_server_that_denies_one_type_only() -> None:
    """RFC 4074, section 4.2: it says that there is no such name where there is no such type."""
    zone = Zone()
    zone.says("db.a.example", "A", "db.a.example. 300 IN A 192.0.2.5", after=0.02)
    zone.says("db.b.example", "A", "db.b.example. 300 IN A 192.0.2.6")
    asks = resolver(ScriptedServer(zone), search=["a.example", "b.example"])
    assert await search_time(asks, "192.0.2.5") == pytest.approx(0.02)


async def test_services_alone_make_a_name_the_right_one() -> None:
    zone = Zone()
    for kind in ("A", "AAAA"):
        zone.says("db.a.example", kind, soa=SOA)
    zone.says("db.a.example", "HTTPS", "db.a.example. 300 IN HTTPS 1 . alpn=h2 ipv4hint=192.0.2.5", after=0.03)
    zone.says("db.b.example", "A", "db.b.example. 300 IN A 192.0.2.6")
    items = await heard(resolver(ScriptedServer(zone), search=["a.example", "b.example"]), "db")
    assert found(items, Source.A) == [[]]
    assert [item.services[0].hints for item in items if isinstance(item, Answer) and item.services]


async def test_where_no_server_answers_no_other_name_is_tried() -> None:
    """As glibc does: six domains would take six times as long."""
    zone = Zone()
    asks = resolver(ScriptedServer(zone, slower=float("inf")), search=["a.example", "b.example"], services=False)
    items = await heard(asks, "db")
    assert found(items, Source.A) == [socket.EAI_AGAIN]
    assert trio.current_time() == pytest.approx(5)
    assert {name for name, _, _ in zone.queries} == {"db.a.example"}


async def test_a_name_that_dns_cannot_have() -> None:
    """RFC 1035, section 2.3.4: 255 octets; a suffix or `_8443._https.` may be too much."""
    zone = Zone()
    host = ".".join(["a" * 49] * 5)
    asks = resolver(ScriptedServer(zone))
    items = await heard(asks, host, port=8443)
    assert found(items, Source.HTTPS) == [[]]
    assert zone.count("HTTPS") == 0
    assert zone.count("A") == 1


# Chains


async def test_a_chain_is_followed_over_several_answers(zone: Zone) -> None:
    """RFC 1034, section 3.6.2: where an answer ends with a name, ask again; what is kept is kept no longer than all."""
    zone.says("alias.example", "A", "alias.example. 60 IN CNAME b.example.", "b.example. 300 IN CNAME www.example.org.")
    asks = resolver(ScriptedServer(zone), services=False, use_expired=0)
    for seconds, count in ((0, 1), (61, 2)):
        await trio.sleep(seconds)
        assert found(await heard(asks, "alias.example", families=[socket.AF_INET]), Source.A) == [[FOUR]]
        assert zone.count("A") == 2 * count


async def test_chains_without_end() -> None:
    """In one answer, or from answer to answer: eight steps, sixteen within one message, and none twice."""
    zone = Zone()
    zone.says(
        "loop.example", "A", "loop.example. 300 IN CNAME pool.example.", "pool.example. 300 IN CNAME loop.example."
    )
    zone.says("self.example", "A", "self.example. 300 IN CNAME self.example.")
    zone.says("ping.example", "A", "ping.example. 300 IN CNAME pong.example.")
    zone.says("pong.example", "A", "pong.example. 300 IN CNAME ping.example.")
    for number in range(100):
        zone.says(f"c{number}.example", "A", f"c{number}.example. 300 IN CNAME c{number + 1}.example.")
    zone.says("l0.example", "A", *(f"l{number}.example. 300 IN CNAME l{number + 1}.example." for number in range(100)))
    asks = resolver(ScriptedServer(zone), services=False)
    for name in ("loop.example", "self.example", "ping.example", "c0.example", "l0.example"):
        items = await heard(asks, name, families=[socket.AF_INET])
        assert found(items, Source.A) == [socket.EAI_FAIL], name
    assert zone.count("A") == 3 + 2 + 9


async def test_a_chain_that_ends_with_nothing(zone: Zone) -> None:
    zone.says("alias.example", "A", f"alias.example. 300 IN CNAME {HOST}.", soa=SOA)
    zone.says("ghost.example", "A", "ghost.example. 300 IN CNAME no.example.", rcode="NXDOMAIN")
    asks = resolver(ScriptedServer(zone), services=False)
    for name, expected in (("alias.example", []), ("ghost.example", socket.EAI_NONAME)):
        items = await heard(asks, name, families=[socket.AF_INET])
        assert found(items, Source.A) == [expected]
    assert "there is no such name: ghost.example" in repr(items)


# Servers


async def test_a_silent_server_is_not_waited_for_and_then_comes_last(zone: Zone) -> None:
    """RFC 8305, section 3.1: servers that "do not respond" may be penalized."""
    silent = ScriptedServer(zone, "silent", slower=float("inf"))
    asks = resolver(silent, ScriptedServer(zone, "good", slower=0.01), services=False)
    families = [socket.AF_INET]
    for seconds, took in ((0, 0.41), (1000, 0.41), (0, 0.01)):
        await trio.sleep(seconds)
        began = trio.current_time()
        assert found(await heard(asks, families=families), Source.A)[-1] == [FOUR]
        assert trio.current_time() - began == pytest.approx(took)
        if seconds:
            asks._remembered().cache.clear()


async def test_a_silent_server_is_asked_again_and_again() -> None:
    """A datagram may be lost; the pauses double, and five seconds after the first query it has failed."""
    zone = Zone()
    asks = resolver(ScriptedServer(zone, slower=float("inf")), services=False)
    assert found(await heard(asks, families=[socket.AF_INET]), Source.A) == [socket.EAI_AGAIN]
    assert zone.times == pytest.approx([0, 0.4, 1.2, 2.8])
    assert trio.current_time() == pytest.approx(5)


@pytest.mark.parametrize(("rcode", "times"), [("SERVFAIL", [0, 0.01, 0.02, 0.03]), ("REFUSED", [0, 0.01])])
async def test_a_server_that_fails_is_asked_once_more(rcode: str, times: list[float]) -> None:
    """After the others; the C library and Go do so, too. One that refuses has made up its mind."""
    zone = Zone()
    zone.says(HOST, "A", rcode=rcode, after=0.01)
    one, two = ScriptedServer(zone, "one"), ScriptedServer(zone, "two")
    asks = resolver(one, two, services=False)
    assert found(await heard(asks, families=[socket.AF_INET]), Source.A) == [socket.EAI_AGAIN]
    assert [label for _, _, label in zone.queries] == ["one", "two", "one", "two"][: len(times)]
    assert zone.times == pytest.approx(times)


async def test_a_server_that_fails_at_first(zone: Zone) -> None:
    zone.answers_by(lambda query, wire: [wire] if len(zone.queries) > 1 else [failed(query)])
    asks = resolver(ScriptedServer(zone, slower=0.01), services=False)
    assert found(await heard(asks, families=[socket.AF_INET]), Source.A) == [[FOUR]]
    assert trio.current_time() == pytest.approx(0.02)


def failed(query: dns.message.Message) -> bytes:
    """Answer with a failure."""
    response = dns.message.make_response(query)
    response.set_rcode(dns.rcode.SERVFAIL)
    return response.to_wire()


async def test_every_server_has_its_time(zone: Zone) -> None:
    """The second of two is asked in between, until five seconds after its own first query."""
    silent = [ScriptedServer(zone, label, slower=float("inf")) for label in ("one", "two")]
    asks = resolver(*silent, services=False)
    assert found(await heard(asks, families=[socket.AF_INET]), Source.A) == [socket.EAI_AGAIN]
    assert [label for _, _, label in zone.queries] == ["one", "two", "one", "two", "one", "two"]
    assert trio.current_time() == pytest.approx(5.4)


async def test_a_slow_answer_is_still_welcome(zone: Zone) -> None:
    """The first query goes on while others are sent."""
    asks = resolver(ScriptedServer(zone, slower=0.9), ScriptedServer(zone, "other", slower=7), services=False)
    assert found(await heard(asks, families=[socket.AF_INET]), Source.A) == [[FOUR]]
    assert trio.current_time() == pytest.approx(0.9)


async def test_servers_over_ipv6_come_first_and_the_others_take_turns(zone: Zone) -> None:
    """RFC 8305, section 3.1: queries "SHOULD" go over IPv6 first; resolv.conf(5): rotate."""
    servers = [ScriptedServer(zone, label, over_ipv6=label == "six") for label in ("a", "b", "six")]
    asks = resolver(*servers, cache_size=0, services=False)
    await heard(asks)
    assert {label for _, _, label in zone.queries} == {"six"}

    zone.queries.clear()
    asks = resolver(*servers[:2], cache_size=0, services=False, rotate=True)
    for _ in range(3):
        await heard(asks, families=[socket.AF_INET])
    assert [label for _, _, label in zone.queries] == ["a", "b", "a"]


async def test_encrypted_servers_are_announced_as_such(zone: Zone) -> None:
    items = await heard(resolver(ScriptedServer(zone, encrypted=True)))
    assert items[0] == QuerySent(Source.HTTPS, encrypted=True)


async def test_many_tasks_share_one(zone: Zone) -> None:
    asks = resolver(ScriptedServer(zone), rng=random.Random(1))
    results: list[object] = []

    async def one() -> None:
        results.append(found(await heard(asks), Source.A))

    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(one)
    assert results == [[[FOUR]]] * 20


# What is known at once


def at_once(asks: DNSResolver, host: str = HOST, *, port: int = 443, services: bool = True) -> list[QuerySent | Answer]:
    """Everything that is delivered without waiting; all or nothing."""
    items: list[QuerySent | Answer] = []
    is_all = asks.resolve_nowait(Query(host=host, port=port, families=BOTH, services=services), items.append)
    assert is_all == bool(items)
    return items


@pytest.mark.parametrize(("port", "services"), [(80, False), (443, True), (8443, True)])
async def test_what_is_remembered_is_known_at_once(zone: Zone, port: int, services: bool) -> None:
    """The same is told as by waiting, for as long as it holds."""
    for owner in (HOST, f"_8443._https.{HOST}"):
        zone.says(owner, "HTTPS", f"{owner}. 300 IN HTTPS 1 {HOST}. alpn=h2 port=8443")
    asks = resolver(ScriptedServer(zone))
    assert at_once(asks, port=port, services=services) == []
    await heard(asks, port=port, services=services)
    known = at_once(asks, port=port, services=services)
    assert sorted(map(repr, known)) == sorted(map(repr, await heard(asks, port=port, services=services)))
    assert found(known, Source.AAAA) == [[SIX]]
    assert len(zone.queries) == 2 + services
    await trio.sleep(301)
    assert at_once(asks, port=port, services=services) == []


async def test_a_remembered_name_needs_no_task(zone: Zone) -> None:
    class Count(trio.abc.Instrument):
        tasks = 0

        def task_spawned(self, task: trio.lowlevel.Task) -> None:
            self.tasks += 1

    net = SimulatedNetwork()
    net.host(SIX).accepts(after=0.1)
    connector = Connector(network=net, resolver=resolver(ScriptedServer(zone)))
    (await connector.open_tcp_stream(HOST, 443)).socket.close()
    trio.lowlevel.add_instrument(count := Count())
    (await connector.open_tcp_stream(HOST, 443)).socket.close()
    trio.lowlevel.remove_instrument(count)
    assert count.tasks == 0
    assert [address.host for _, address in net.connects] == [SIX, SIX]


async def test_what_this_machine_knows_is_known_at_once(tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_text(f"{FOUR} {HOST}\n")
    asks = resolver(ScriptedServer(Zone()), hosts=hosts)
    assert found(at_once(asks), Source.A) == [[FOUR]]
    assert found(at_once(asks, "localhost"), Source.AAAA) == [["::1"]]
    assert found(at_once(asks, "a.onion"), Source.A) == [socket.EAI_NONAME]
    hosts.write_text("#" * 40_000 + f"\n{FOUR} {HOST}\n")
    assert at_once(asks) == []  # it takes a thread
    file = asks._remembered().hosts
    assert file is not None
    await file.read()
    assert found(at_once(asks), Source.A) == [[FOUR]]


async def test_a_long_list_of_servers_is_not_known_at_once(tmp_path: Path) -> None:
    conf = tmp_path / "resolv.conf"
    conf.write_text("#" * 40_000 + "\nnameserver nonsense\n")
    asks = DNSResolver(resolv_conf=conf, hosts=None)
    assert at_once(asks) == []
    items: list[QuerySent | Answer] = []
    await asks.resolve(Query(host=HOST, port=443, families=BOTH), items.append)
    assert found(items, Source.A) == [socket.EAI_FAIL]
    assert found(at_once(asks), Source.A) == [socket.EAI_FAIL]


async def test_a_completed_name_is_known_at_once(zone: Zone) -> None:
    """The first of the search list that has anything to connect to; that those before it have not is known as well."""
    for kind in ("HTTPS", "AAAA", "A"):
        zone.says("www.lab.example", kind, rcode="NXDOMAIN", soa=SOA)
    asks = resolver(ScriptedServer(zone), search=["lab.example", "example.org"])
    assert at_once(asks, "www") == []
    await heard(asks, "www")
    assert found(at_once(asks, "www"), Source.A) == [[FOUR]]


@pytest.mark.parametrize("record", [f"{HOST}. 300 IN HTTPS 1 cdn.example.org.", f"{HOST}. 300 IN HTTPS 0 cdn.example."])
async def test_services_elsewhere_are_not_known_at_once(zone: Zone, record: str) -> None:
    """Their names have addresses of their own."""
    zone.says(HOST, "HTTPS", record)
    asks = resolver(ScriptedServer(zone))
    await heard(asks)
    assert at_once(asks) == []
    assert at_once(asks, services=False, port=80) != []


async def test_half_of_it_is_not_known_at_once(zone: Zone) -> None:
    asks = resolver(ScriptedServer(zone))
    await heard(asks, families=[socket.AF_INET6], services=False, port=80)
    assert at_once(asks, services=False, port=80) == []


async def test_a_dot_within_a_label(zone: Zone) -> None:
    """RFC 1035, section 5.1: a backslash quotes what follows."""
    await heard(resolver(ScriptedServer(zone)), r"a\.b.example.org", services=False, port=80)
    assert {name for name, _, _ in zone.queries} == {r"a\.b.example.org"}


async def test_that_there_is_nothing_takes_its_time(zone: Zone) -> None:
    """Why there is nothing is for `resolve` to say, which may ask once more."""
    for kind in ("AAAA", "A"):
        zone.says(HOST, kind, soa=SOA)
    asks = resolver(ScriptedServer(zone))
    await heard(asks)
    assert at_once(asks) == []


async def test_a_deprecated_source_comes_last(zone: Zone) -> None:
    """RFC 6724, rule 3: the network says which of this host's addresses are."""

    class Renumbered(SimulatedNetwork):
        def deprecated_addresses(self) -> list[str]:
            source = self.source_address(Address(socket.AF_INET6, SIX, 80))
            return [source.host] if source else []

    net = Renumbered()
    net.host(FOUR).accepts(after=0.1)
    connector = Connector(network=net, resolver=resolver(ScriptedServer(zone)))
    async with await connector.open_tcp_stream(HOST, 80):
        assert list(net.started) == [FOUR]


# Hosts of a service

IMAP = "_imap._tcp.example.org"


async def test_services_are_found_and_remembered(zone: Zone) -> None:
    """RFC 2782; the order is drawn anew each time, the records are not asked for again."""
    zone.says(IMAP, "SRV", *(f"{IMAP}. 300 IN SRV 1 1 143 {name}.example.org." for name in "abcdefgh"))
    asks = resolver(ScriptedServer(zone), rng=random.Random(1))
    orders = {tuple(service.target for service in await asks.find_services(IMAP)) for _ in range(9)}

    assert len(orders) == 9
    assert {len(set(order)) for order in orders} == {8}
    assert zone.count("SRV") == 1


async def test_services_that_have_expired_are_asked_for_again(zone: Zone) -> None:
    zone.says(IMAP, "SRV", f"{IMAP}. 300 IN SRV 1 1 143 old.example.org.")
    asks = resolver(ScriptedServer(zone))
    await asks.find_services(IMAP)
    zone.says(IMAP, "SRV", f"{IMAP}. 300 IN SRV 1 1 143 new.example.org.")
    await trio.sleep(301)

    assert [service.target for service in await asks.find_services(IMAP)] == ["new.example.org"]


async def test_a_service_is_reached_through_name_servers(zone: Zone) -> None:
    """SRV, then AAAA and A of its host; a stream in one race."""
    zone.says(IMAP, "SRV", f"{IMAP}. 300 IN SRV 1 1 143 {HOST}.", after=0.02)
    slower(zone, HOST, "AAAA", 0.02)
    net = SimulatedNetwork()
    net.host(SIX).refuses(after=0.03)
    net.host(FOUR).accepts(after=0.03)
    connector = Connector(network=net, resolver=resolver(ScriptedServer(zone)))

    async with await connector.open_service_stream("_imap._tcp", "example.org") as stream:
        assert stream.socket.getpeername() == (FOUR, 143)
    assert net.started == {SIX: pytest.approx(0.04), FOUR: pytest.approx(0.07)}
    assert zone.count("HTTPS") == 0


@pytest.mark.parametrize(
    ("name", "number"), [("_x._tcp.example.org", socket.EAI_NONAME), ("_x._tcp.a.onion", socket.EAI_NONAME)]
)
async def test_services_that_cannot_be_found(zone: Zone, name: str, number: int) -> None:
    with pytest.raises(socket.gaierror) as raised:
        await resolver(ScriptedServer(zone)).find_services(name)

    assert raised.value.errno == number
    assert "onion" not in {asked for asked, _, _ in zone.queries}
