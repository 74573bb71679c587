"""One query of a kind is under way at a time, and late answers are not lost (RFC 8305, section 5)."""

from __future__ import annotations

import gc
import socket

import pytest
import trio

from trio_nbconnect import Answer, Connector, Query, QuerySent, Source
from trio_nbconnect.dns import DNSResolver
from trio_nbconnect.testing import SimulatedNetwork
from trio_nbconnect.trace import AttemptStarted, Event

from .dns_server import ScriptedServer, Zone, slower
from .test_dns import FOUR, HOST, SIX, found, heard, resolver, zone

__all__ = ["zone"]  # a fixture that both modules have

pytestmark = pytest.mark.virtual_time

A_ONLY = [socket.AF_INET]


@pytest.fixture
def net() -> SimulatedNetwork:
    """A network where both addresses answer after 20 ms."""
    net = SimulatedNetwork()
    for address in (FOUR, SIX):
        net.host(address).accepts(after=0.02)
    return net


async def connect_time(net: SimulatedNetwork, asks: DNSResolver, port: int = 80, host: str = HOST) -> float:
    """How long a connect takes."""
    began = trio.current_time()
    stream = await Connector(network=net, resolver=asks).open_tcp_stream(host, port)
    await stream.aclose()
    return trio.current_time() - began


# Equal queries


async def test_equal_queries_are_sent_once(zone: Zone) -> None:
    slower(zone, HOST, "A", 0.1)
    asks = resolver(ScriptedServer(zone), cache_size=0)
    async with trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(heard, asks)
    assert (zone.count("A"), zone.count("AAAA"), zone.count("HTTPS")) == (1, 1, 1)
    await heard(asks)
    assert zone.count("A") == 2


@pytest.mark.parametrize("as_manager", [False, True])
async def test_a_cancelled_query_is_left_to_the_others(zone: Zone, *, as_manager: bool) -> None:
    """In the nursery it just goes on; else one of the others asks."""
    slower(zone, HOST, "A", 0.1)
    asks = resolver(ScriptedServer(zone))
    results: list[object] = []

    async def look_up(give_up_after: float) -> None:
        with trio.move_on_after(give_up_after):
            results.append(found(await heard(asks, families=A_ONLY, services=False), Source.A))

    async def all_of_them() -> None:
        async with trio.open_nursery() as nursery:
            for seconds in (0.05, 0.06, 10, 11):
                nursery.start_soon(look_up, seconds)
                await trio.sleep(0.001)

    if as_manager:
        async with asks:
            await all_of_them()
    else:
        await all_of_them()
    assert results == [[[FOUR]]] * 2
    assert zone.count("A") <= (1 if as_manager else 3)


async def test_a_failed_query_fails_for_all_and_each_has_its_error(zone: Zone) -> None:
    zone.says(HOST, "A", rcode="SERVFAIL", after=0.1)
    asks = resolver(ScriptedServer(zone))
    errors: list[OSError | None] = []

    async def look_up() -> None:
        items = await heard(asks, families=A_ONLY, services=False)
        errors.extend(item.error for item in items if isinstance(item, Answer) and item.source is Source.A)

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(look_up)
    assert [error and error.errno for error in errors] == [socket.EAI_AGAIN] * 3
    assert len({id(error) for error in errors}) == 3
    assert all(error is not None and error.__traceback__ is None for error in errors)
    assert zone.count("A") == 2  # a server that fails is asked once more


async def test_a_failed_look_up_leaves_nothing_to_the_garbage_collector(zone: Zone) -> None:
    """An error that holds a traceback holds every frame of the look-up."""
    asks = resolver(ScriptedServer(zone), ScriptedServer(zone, "other"), give_up_after=0.5)
    for kind, rcode in (("AAAA", "SERVFAIL"), ("A", "NXDOMAIN")):
        zone.says(HOST, kind, rcode=rcode)
    slower(zone, HOST, "HTTPS", 1000)
    await heard(asks)
    gc.collect()
    await heard(asks)
    assert gc.collect() == 0


# Late answers


@pytest.mark.parametrize("kind", ["AAAA", "HTTPS"])
async def test_what_was_late_is_not_waited_for_again(net: SimulatedNetwork, zone: Zone, kind: str) -> None:
    """Whether a slow name server or a middlebox that drops the type: the next race does without it, and asks."""
    zone.says(HOST, "AAAA", soa="example.org. 300 IN SOA ns. admin. 1 2 3 4 300")
    slower(zone, HOST, kind, 1.5)
    asks = resolver(ScriptedServer(zone), use_expired=0)
    assert await connect_time(net, asks, 443) == pytest.approx(0.07)
    for asked in (2, 3):
        assert await connect_time(net, asks, 443) == pytest.approx(0.02)
        assert zone.count(kind) == asked
    await trio.sleep(301)
    assert await connect_time(net, asks, 443) == pytest.approx(0.07)


async def test_what_was_never_answered_is_not_waited_for_again(net: SimulatedNetwork, zone: Zone) -> None:
    """Also where the races were lost, and so outlived the query."""
    net.host(FOUR).refuses()
    net.host(SIX).refuses()
    slower(zone, HOST, "HTTPS", 1000)
    events: list[Event] = []
    connector = Connector(network=net, resolver=resolver(ScriptedServer(zone)), tracer=events.append)
    for first in (0.05, 0.0):
        events.clear()
        with pytest.raises(OSError, match="refused"):
            await connector.open_tcp_stream(HOST, 443)
        attempt = next(event for event in events if isinstance(event, AttemptStarted))
        assert attempt.time - events[0].time == pytest.approx(first)


async def test_what_was_late_is_said_to_be(zone: Zone, net: SimulatedNetwork) -> None:
    slower(zone, HOST, "AAAA", 1.5)
    asks = resolver(ScriptedServer(zone))
    await connect_time(net, asks)
    items = await heard(asks, services=False)
    assert found(items, Source.AAAA) == [110, [SIX]]
    assert "AAAA was late the last time and is not waited for" in repr(items)


@pytest.mark.parametrize(("silent", "other"), [("AAAA", "A"), ("A", "AAAA")])
async def test_what_was_late_holds_the_next_domain_back_no_more(net: SimulatedNetwork, silent: str, other: str) -> None:
    """The first of two domains has such a name without addresses, and one type of it is never answered."""
    zone = Zone()
    zone.says("db.a.example", other, soa="a.example. 300 IN SOA ns. admin. 1 2 3 4 300")
    zone.says("db.a.example", silent, after=1000)
    zone.says("db.b.example", "A", f"db.b.example. 300 IN A {FOUR}")
    asks = resolver(ScriptedServer(zone), search=["a.example", "b.example"], services=False)
    times = [await connect_time(net, asks, host="db") for _ in range(3)]
    assert times == pytest.approx([0.42, 0.07, 0.07])


async def test_no_such_name_is_the_error_each_time(net: SimulatedNetwork) -> None:
    """A middlebox drops AAAA; what does not exist for one type does not exist (RFC 8020)."""
    zone = Zone()
    zone.says(HOST, "A", rcode="NXDOMAIN", soa="example.org. 300 IN SOA ns. admin. 1 2 3 4 300")
    zone.says(HOST, "AAAA", after=1000)
    asks = resolver(ScriptedServer(zone), services=False)
    for took in (0.4, 0.05):
        began = trio.current_time()
        with pytest.raises(socket.gaierror) as caught:
            await connect_time(net, asks)
        assert caught.value.errno == socket.EAI_NONAME
        assert trio.current_time() - began == pytest.approx(took)


async def test_what_was_late_and_came_is_late_no_more(net: SimulatedNetwork, zone: Zone) -> None:
    """A name without addresses: the error is the same, however often one asks."""
    zone = Zone()
    for kind in ("A", "AAAA"):
        zone.says(HOST, kind, soa="example.org. 300 IN SOA ns. admin. 1 2 3 4 300")
    slower(zone, HOST, "AAAA", 1)
    asks = resolver(ScriptedServer(zone), services=False)
    with trio.move_on_after(0.5):
        await connect_time(net, asks)
    with pytest.raises(socket.gaierror, match="no addresses in the answer") as caught:
        await connect_time(net, asks)
    assert caught.value.errno == socket.EAI_NONAME


async def test_a_late_answer_is_waited_for_in_the_nursery(net: SimulatedNetwork, zone: Zone) -> None:
    """RFC 8305, section 5: "SHOULD continue to listen for DNS replies" for one second, "to populate the cache"."""
    slower(zone, HOST, "AAAA", 0.39)
    async with resolver(ScriptedServer(zone)) as asks:
        assert await connect_time(net, asks) == pytest.approx(0.07)
        await trio.sleep(1)
        assert found(await heard(asks, services=False), Source.AAAA) == [[SIX]]
        assert zone.count("AAAA") == 1


async def test_grace_is_a_second(net: SimulatedNetwork, zone: Zone) -> None:
    """And then it was late."""
    slower(zone, HOST, "AAAA", 1.2)
    async with resolver(ScriptedServer(zone)) as asks:
        await connect_time(net, asks)
        await trio.sleep(2)
        assert found(await heard(asks, port=80, services=False), Source.AAAA) == [110, [SIX]]


async def test_who_comes_within_the_grace_has_all_the_time(zone: Zone) -> None:
    slower(zone, HOST, "A", 3)
    async with resolver(ScriptedServer(zone)) as asks:
        with trio.move_on_after(0.5):
            await heard(asks, families=A_ONLY)
        await trio.sleep(0.9)
        assert found(await heard(asks, families=A_ONLY), Source.A) == [[FOUR]]
    assert trio.current_time() == pytest.approx(3)


async def test_an_expired_answer_is_replaced_after_the_race(net: SimulatedNetwork, zone: Zone) -> None:
    """Without waiting, the next race has the fresh one."""
    async with resolver(ScriptedServer(zone)) as asks:
        await connect_time(net, asks)
        await trio.sleep(1000)
        slower(zone, HOST, "A", 0.3)
        assert await connect_time(net, asks) == pytest.approx(0.02)
        await trio.sleep(1)
        assert await connect_time(net, asks) == pytest.approx(0.02)
        assert zone.count("A") == 2


async def test_after_some_names_no_services_are_waited_for(net: SimulatedNetwork) -> None:
    """A middlebox that drops the type does so for all names."""
    zone = Zone()
    for number in range(6):
        zone.says(f"h{number}.example", "A", f"h{number}.example. 300 IN A {FOUR}")
        zone.says(f"h{number}.example", "HTTPS", after=1000)
    asks = resolver(ScriptedServer(zone))
    times = [await connect_time(net, asks, 443, f"h{number}.example") for number in range(5)]
    assert times == pytest.approx([0.07, 0.07, 0.07, 0.02, 0.02])
    zone.says("h5.example", "HTTPS", after=0.01)
    assert await connect_time(net, asks, 443, "h5.example") == pytest.approx(0.02)
    slower(zone, "h0.example", "HTTPS", 0.03)
    await trio.sleep(301)
    assert await connect_time(net, asks, 443, "h0.example") == pytest.approx(0.05)


async def test_services_over_encrypted_dns_are_always_waited_for(net: SimulatedNetwork, zone: Zone) -> None:
    """RFC 9460, section 3.1: nobody on the way may take them away."""
    slower(zone, HOST, "HTTPS", 0.5)
    asks = resolver(ScriptedServer(zone, encrypted=True))
    for count in (1, 2):
        with trio.move_on_after(0.2):
            await heard(asks)
        assert zone.count("HTTPS") == count
    assert found(await heard(asks), Source.HTTPS) == [[]]


async def test_what_was_late_is_forgotten_with_the_rest(net: SimulatedNetwork, zone: Zone) -> None:
    """`forget()`, and the size of the cache."""
    slower(zone, HOST, "AAAA", 1.5)
    other = "other.example.org"
    zone.says(other, "A", f"{other}. 300 IN A {FOUR}")
    zone.says(other, "AAAA", after=1.5)
    asks = resolver(ScriptedServer(zone), cache_size=2)
    await connect_time(net, asks)
    asks.forget()
    assert await connect_time(net, asks) == pytest.approx(0.07)
    await connect_time(net, asks, host=other)
    assert len(asks._remembered().late) == 2
    third = "third.example.org"
    zone.says(third, "A", f"{third}. 300 IN A {FOUR}")
    zone.says(third, "AAAA", after=1.5)
    await connect_time(net, asks, host=third)
    assert [name for name, *_ in asks._remembered().late] == [other, third]


async def test_what_failed_was_not_late(zone: Zone) -> None:
    """The server has answered, slowly; it is waited for the next time."""
    zone.says(HOST, "AAAA", rcode="SERVFAIL", after=0.1)
    asks = resolver(ScriptedServer(zone))
    for _ in range(2):
        assert found(await heard(asks, port=80, services=False), Source.AAAA) == [socket.EAI_AGAIN]


async def test_who_gives_up_early_has_missed_nothing(zone: Zone) -> None:
    """Only what is silent for longer than the Resolution Delay is late."""
    slower(zone, HOST, "AAAA", 0.04)
    asks = resolver(ScriptedServer(zone))
    with trio.move_on_after(0.03):
        await heard(asks)
    assert found(await heard(asks), Source.AAAA) == [[SIX]]


# The context manager


async def test_what_the_block_raises_comes_out_as_it_is() -> None:
    with pytest.raises(ValueError, match=r"^ours$"):
        async with DNSResolver(servers=["192.0.2.53"]):
            raise ValueError("ours")


async def test_the_end_of_the_block_ends_what_is_under_way(zone: Zone) -> None:
    slower(zone, HOST, "A", 1000)
    async with resolver(ScriptedServer(zone)) as asks:
        with trio.move_on_after(0.1):
            await heard(asks, families=A_ONLY)
    assert trio.current_time() == pytest.approx(0.1)


async def test_it_is_opened_once() -> None:
    async with DNSResolver(servers=["192.0.2.53"]) as asks:
        with pytest.raises(RuntimeError, match="in use as a context manager"):
            await asks.__aenter__()
    async with asks:
        pass


async def test_a_cancelled_block(zone: Zone) -> None:
    slower(zone, HOST, "A", 1000)
    with trio.move_on_after(1) as scope:
        async with resolver(ScriptedServer(zone)) as asks:
            await asks.resolve(Query(host=HOST, port=80, families=(socket.AF_INET,)), print)
    assert scope.cancelled_caught


async def test_the_order_on_the_wire(zone: Zone) -> None:
    """Version 3, section 4.1: HTTPS, AAAA, A, whatever order the scheduler takes."""
    asks = resolver(ScriptedServer(zone), cache_size=0)
    for _ in range(50):
        zone.queries.clear()
        items: list[QuerySent | Answer] = await heard(asks)
        assert [kind for _, kind, _ in zone.queries] == ["HTTPS", "AAAA", "A"]
    assert len(items) == 6
