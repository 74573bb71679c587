"""Why the addresses of a race are tried in this order, and after which delay: in events, and as a table."""

from __future__ import annotations

import math
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import trio

import trio_nbconnect as nb
from trio_nbconnect import Source, trace
from trio_nbconnect._address import IPV4, IPV6
from trio_nbconnect.testing import SimulatedNetwork, simulate
from trio_nbconnect.trace import DelaySource

HOST = "example.org"


@pytest.fixture
def net() -> SimulatedNetwork:
    """Two addresses of each family, all silent."""
    net = SimulatedNetwork()
    net.answers(HOST, aaaa=["2001:db8::1", "2001:db8::2"], a=["192.0.2.1", "192.0.2.2"], after=0.02)
    return net


def last_order(race: nb.RecordedRace) -> tuple[trace.Candidate, ...]:
    return [event for event in race.events if isinstance(event, trace.CandidatesSorted)][-1].candidates


def placed(race: nb.RecordedRace) -> dict[str, str]:
    """What has placed each address, in the last order."""
    return {candidate.address.ip: candidate.placed_by for candidate in last_order(race)}


def race_on(net: SimulatedNetwork, **options: object) -> nb.RecordedRace:
    connector = nb.Connector(**options)  # type: ignore[arg-type]
    return simulate(net, HOST, 443, connector=connector, give_up_after=0.6)


def test_the_system_s_order_stands_and_families_alternate(net: SimulatedNetwork) -> None:
    assert placed(race_on(net)) == {
        "2001:db8::1": "the system's order",
        "192.0.2.1": "the system's order, families alternate",
        "2001:db8::2": "the system's order, families alternate",
        "192.0.2.2": "the system's order, families alternate",
    }


class Hook(trio.abc.HostnameResolver):
    """A custom resolver, whose order is meant."""

    async def getaddrinfo(self, *_: Any) -> Any:
        await trio.lowlevel.checkpoint()
        tcp = (socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
        return [(IPV4, *tcp, ("192.0.2.1", 443)), (IPV6, *tcp, ("2001:db8::1", 443, 0, 0))]

    async def getnameinfo(self, *_: Any) -> Any:
        raise NotImplementedError


@pytest.mark.virtual_time
async def test_a_hook_s_order_stands_against_the_rules(net: SimulatedNetwork) -> None:
    with net.installed(), nb.record() as recording, trio.move_on_after(1):
        trio.socket.set_custom_hostname_resolver(Hook())
        await nb.open_tcp_stream(HOST, 443)

    assert placed(recording[-1]) == {
        "192.0.2.1": "in the order given",
        "2001:db8::1": "in the order given",
    }


@pytest.mark.virtual_time
async def test_attempts_that_arrive_are_in_the_order_given() -> None:
    async def arriving() -> AsyncIterator[nb.Dial[None]]:
        for label in ("QUIC", "TCP"):
            yield nb.Dial(label, trio.sleep_forever)

    with nb.record() as recording, trio.move_on_after(1):
        await nb.race(arriving())

    assert {candidate.placed_by for candidate in last_order(recording[-1])} == {"in the order given"}


def test_name_servers_answers_are_placed_by_rules(net: SimulatedNetwork) -> None:
    """RFC 6724, section 6: the first rule that tells two apart; the first address is told from the second."""
    net.answers(HOST, aaaa=["2002:c000:201::1", "2001:db8:0:1::1", "2001:db8::1"])

    by = placed(race_on(net, resolver=net.resolver(services=False)))

    assert by["2001:db8::1"] == "RFC 6724, rule 9 (longest matching prefix)"
    assert by["2001:db8:0:1::1"] == "RFC 6724, rule 9 (longest matching prefix), families alternate"
    assert by["192.0.2.1"] == "RFC 6724, rule 6 (higher precedence), families alternate"
    assert by["192.0.2.2"] == "RFC 6724, rule 10 (order unchanged), families alternate"
    assert by["2002:c000:201::1"] == "RFC 6724, rule 5 (matching label)"


def test_what_history_has_placed_says_so(net: SimulatedNetwork) -> None:
    net.host("2001:db8::2").accepts(after=0.04)
    net.host("192.0.2.2").accepts(after=0.04)
    history = nb.History(explore_every=math.inf)
    for address in ("192.0.2.2", "2001:db8::2"):
        simulate(net, HOST, 443, connector=nb.Connector(history=history), addresses=[address])

    race = race_on(net, history=history)

    by = placed(race)
    assert by["2001:db8::2"] == "history"
    assert by["2001:db8::1"] == "history, families alternate"
    assert "; round trip 40 ms, used" in str(race.explain())


def test_with_name_servers_history_stands_behind_rule_8(net: SimulatedNetwork) -> None:
    net.host("192.0.2.2").accepts(after=0.04)
    history = nb.History(explore_every=math.inf)
    simulate(net, HOST, 443, connector=nb.Connector(history=history), addresses=["192.0.2.2"])

    by = placed(race_on(net, history=history, resolver=net.resolver(services=False)))

    assert by["192.0.2.1"] == "history, families alternate"


class Hurried:
    """The system has not answered yet, when both families have."""

    async def resolve(self, query: nb.Query, send_answer: nb.SendAnswer) -> None:
        for source in (Source.SYSTEM, Source.AAAA, Source.A):
            send_answer(nb.QuerySent(source))
        send_answer(nb.Answer(Source.A, (nb.Address(IPV4, "192.0.2.1", 443),)))
        send_answer(nb.Answer(Source.AAAA, (nb.Address(IPV6, "2001:db8::1", 443),)))
        await trio.sleep_forever()


def test_between_families_that_hurried_the_rules_decide(net: SimulatedNetwork) -> None:
    assert placed(race_on(net, resolver=Hurried())) == {
        "2001:db8::1": "RFC 6724, rule 6 (higher precedence)",
        "192.0.2.1": "RFC 6724, rule 6 (higher precedence)",
    }


def test_an_order_is_told_once(net: SimulatedNetwork) -> None:
    """What changes nothing is told as an answer alone."""

    class Twice:
        async def resolve(self, query: nb.Query, send_answer: nb.SendAnswer) -> None:
            for _ in range(2):
                send_answer(
                    nb.Answer(Source.A, (nb.Address(IPV4, "192.0.2.1", 443), nb.Address(IPV4, "192.0.2.2", 443)))
                )
            await trio.sleep_forever()

    events = race_on(net, resolver=Twice()).events
    assert sum(isinstance(event, trace.AnswerReceived) for event in events) == 2
    assert sum(isinstance(event, trace.CandidatesSorted) for event in events) == 1


def test_history_places_nothing_that_it_does_not_know(net: SimulatedNetwork) -> None:
    net.answers("three.example", aaaa=["2001:db8::1", "2001:db8::2", "2001:db8::3"], a=["192.0.2.1"])
    connector = known(net)

    by = placed(simulate(net, "three.example", 443, connector=connector, give_up_after=0.6))

    assert by["2001:db8::2"].startswith("history")
    assert by["2001:db8::3"] == "the system's order"
    assert by["192.0.2.1"] == "the system's order, families alternate"
    net.answers("two.example", aaaa=["2001:db8::1"], a=["192.0.2.1"])
    assert placed(simulate(net, "two.example", 443, connector=connector, give_up_after=0.6)) == {
        "2001:db8::1": "the system's order",
        "192.0.2.1": "the system's order",
    }


def test_services_come_by_their_priority(net: SimulatedNetwork) -> None:
    net.answers(HOST, https=[nb.Service(priority=1, target="cdn.example")])
    net.answers("cdn.example", a=["192.0.2.77"])

    race = race_on(net, resolver=net.resolver())

    assert placed(race)["192.0.2.77"] == "service of priority 1, the only one"
    assert {by.partition(",")[0] for ip, by in placed(race).items() if ip != "192.0.2.77"} == {"after all services"}
    assert "╰ DNS A after 0.0 ms: service of priority 1, the only one" in str(race.explain())


def test_a_service_s_addresses_have_its_port_and_its_hints_their_record(net: SimulatedNetwork) -> None:
    hint = nb.Address(IPV6, "2001:db8::78", 443)
    net.answers(HOST, https=[nb.Service(priority=1, target="cdn.example", port=8443, hints=(hint,))])
    net.answers("cdn.example", a=["192.0.2.77"])

    order = last_order(race_on(net, resolver=net.resolver()))

    assert [(one.address.host, one.address.port, one.source) for one in order[:3]] == [
        ("2001:db8::78", 8443, Source.HTTPS),
        ("192.0.2.77", 8443, Source.A),
        ("2001:db8::1", 443, Source.AAAA),
    ]


def test_several_hosts_come_by_their_order(net: SimulatedNetwork) -> None:
    net.answers("b.example", a=["192.0.2.77"])

    race = simulate(net, [(HOST, 5432), ("b.example", 5432)], give_up_after=0.6)

    assert placed(race)["192.0.2.77"] == "host b.example, the only one"


@pytest.mark.parametrize(
    ("options", "by"),
    [
        ({"addresses": ["192.0.2.1", "2001:db8::1"]}, "in the order given"),
        ({"policy": nb.Policy(families=(socket.AF_INET, socket.AF_INET6))}, "the policy's families"),
    ],
)
def test_what_the_caller_has_decided_says_so(net: SimulatedNetwork, options: dict[str, object], by: str) -> None:
    race = simulate(net, HOST, 443, give_up_after=0.6, **options)  # type: ignore[arg-type]

    assert placed(race)["2001:db8::1"].startswith(by)
    assert placed(race).get("192.0.2.2", "the system's order").startswith("the system's order")


def test_families_that_are_looked_up_apart_are_merged(net: SimulatedNetwork) -> None:
    """Each keeps the system's order; between them the rules decide."""
    net.answers("slow.example", aaaa=["2001:db8::1"], after=0.06)
    net.answers("slow.example", a=["192.0.2.1", "192.0.2.2"], after=0.3)
    late = simulate(net, "slow.example", 443, give_up_after=0.36)
    net.answers("slow.example", a=["192.0.2.1", "192.0.2.2"], after=0.02)
    net.answers("slow.example", aaaa=["2001:db8::1"], after=0.3)
    early = simulate(net, "slow.example", 443, give_up_after=0.1)

    assert placed(late)["2001:db8::1"] == "the system's order"
    assert placed(early) == {"192.0.2.1": "the system's order", "192.0.2.2": "the system's order"}


def test_the_table_tells_of_each_address_when_it_was_known_tried_and_how_it_ended(net: SimulatedNetwork) -> None:
    net.host("2001:db8::1").refuses(after=0.03)
    net.host("192.0.2.1").accepts(after=0.03)

    race = simulate(net, HOST, 443)

    assert str(race.explain()).splitlines() == [
        "example.org:443 connected in 80 ms over IPv4 to 192.0.2.1",
        "   address      tried                outcome",
        "1  2001:db8::1  20 ms, all answered  refused, 30 ms",
        "   ╰ system after 20 ms: the system's order",
        "2  192.0.2.1    50 ms, failure       won, 30 ms",
        "   ╰ system after 20 ms: the system's order, families alternate",
        "3  2001:db8::2  –                    not tried",
        "   ╰ system after 20 ms: the system's order, families alternate",
        "4  192.0.2.2    –                    not tried",
        "   ╰ system after 20 ms: the system's order, families alternate",
    ]
    assert repr(race.explain()) == "<Explanation example.org:443, 4 addresses>"


def test_in_a_notebook_it_is_a_table(net: SimulatedNetwork) -> None:
    bundle = race_on(net).explain()._repr_mimebundle_()

    assert bundle["text/html"].count("<tr>") == 5
    assert ">2001:db8::2</td>" in bundle["text/html"]
    assert bundle["text/plain"] == str(race_on(net).explain())


def test_one_address_alone_needs_no_order(net: SimulatedNetwork) -> None:
    lines = str(simulate(net, "192.0.2.1", 443, give_up_after=1).explain()).splitlines()

    assert lines[2].split() == ["1", "192.0.2.1", "0.0", "ms,", "first", "timed", "out,", "1000", "ms"]
    assert lines[3] == "   ╰ given after 0.0 ms: the only one"


@pytest.mark.parametrize("second", [[], ["192.0.2.2"]])
def test_an_address_that_a_translator_stands_in_for_was_tried(second: list[str]) -> None:
    """The picture has one row for it, and the table says as what; what was not needed is not tried."""
    net = SimulatedNetwork(ipv4=False)
    net.answers(HOST, a=["192.0.2.1", *second], after=0.02)
    net.host("64:ff9b::c000:201").accepts(after=0.03)

    race = race_on(net, nat64="64:ff9b::/96")

    (attempt,) = race.timeline.attempts
    assert (attempt.address.ip, attempt.known_since) == ("64:ff9b::c000:201", 0.02)
    assert attempt.stands_for is not None
    assert attempt.stands_for.ip == "192.0.2.1"
    assert [row.address.ip for row in race.timeline.untried] == second
    rows = [line.split("  ")[:2] for line in race.explain().text().splitlines() if line[:1].isdigit()]
    assert rows == [[str(place), address] for place, address in enumerate(["192.0.2.1", *second], start=1)]
    assert "20 ms, all answered, as 64:ff9b::c000:201" in race.explain().text()


def test_what_was_taken_back_stands_at_the_end(net: SimulatedNetwork) -> None:
    """The whole answer replaces those that hurried it."""
    net.answers("slow.example", aaaa=[], after=0.3, error=socket.gaierror(socket.EAI_AGAIN, "SERVFAIL"))
    net.answers("slow.example", a=["192.0.2.1", "192.0.2.2"], after=0.02)

    race = simulate(net, "slow.example", 443, give_up_after=0.4)

    assert [line[:12].split() for line in str(race.explain()).splitlines()[2::2]] == [
        ["1", "192.0.2.1"],
        ["2", "192.0.2.2"],
    ]


@pytest.mark.parametrize("width", [50, 60, 80, 200])
def test_no_line_is_wider_than_the_terminal(net: SimulatedNetwork, width: int) -> None:
    net.answers(HOST, aaaa=["2001:db8:1111:2222:3333:4444:5555:6666", "2001:db8::2"])

    text = race_on(net).explain().text(width=width)

    assert max(map(len, text.splitlines())) <= width
    with pytest.raises(ValueError, match="at least 50"):
        race_on(net).explain().text(width=49)


def known(net: SimulatedNetwork) -> nb.Connector:
    """A connector whose history knows the first address, 40 ms away."""
    net.host("2001:db8::1").accepts(after=0.04)
    connector = nb.Connector(history=nb.History(explore_every=math.inf))
    simulate(net, HOST, 443, connector=connector)
    net.host("2001:db8::1").drops()
    return connector


def with_policy(**policy: float) -> Callable[[SimulatedNetwork], nb.Connector]:
    return lambda _: nb.Connector(policy=nb.Policy(**policy))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("make", "delay", "source", "pace_and_reason"),
    [
        (with_policy(), 0.25, DelaySource.POLICY, ("attempt delay 250 ms", "+250 ms")),
        (known, 0.12, DelaySource.HISTORY, ("attempt delay 120 ms (history), 250 ms\n", "+120 ms history")),
        (
            with_policy(attempt_delay=0.0),
            0.01,
            DelaySource.MINIMUM_GAP,
            ("attempt delay 10 ms (minimum gap)", "+10 ms"),
        ),
        (
            with_policy(attempts_at_full_pace=1),
            2.0,
            DelaySource.SLOWED,
            ("attempt delay 2000 ms (slowed)\n", "+2000 ms slowed"),
        ),
        (with_policy(attempt_delay=math.inf), math.inf, DelaySource.POLICY, ("one attempt at a time", "1 attempt")),
    ],
)
def test_an_attempt_says_which_delay_is_in_force(
    net: SimulatedNetwork,
    make: Callable[[SimulatedNetwork], nb.Connector],
    delay: float,
    source: DelaySource,
    pace_and_reason: tuple[str, str],
) -> None:
    race = simulate(net, HOST, 443, connector=make(net), give_up_after=2.5)

    first = race.timeline.attempts[0]
    assert first.delay == pytest.approx(delay)
    assert first.delay_from is source
    assert all(words in str(race) for words in pace_and_reason)


def test_delays_of_several_sources_each_say_theirs(net: SimulatedNetwork) -> None:
    """Of the last attempt nobody waited for the delay, so it is none that was in force."""
    net.answers("many.example", a=[f"192.0.2.{number}" for number in range(1, 5)])
    connector = nb.Connector(policy=nb.Policy(attempts_at_full_pace=2))

    race = simulate(net, "many.example", 443, connector=connector, give_up_after=5)

    assert "attempt delay 250 ms, 2000 ms (slowed)\n" in str(race)


def test_one_address_that_was_looked_up_names_its_source() -> None:
    net = SimulatedNetwork()
    net.answers("one.example", a=["192.0.2.1"], after=0.02)

    lines = str(simulate(net, "one.example", 443, give_up_after=1).explain()).splitlines()

    assert lines[3] == "   ╰ system after 20 ms: the only one"
