"""RFC 8305, sections 3, 5 and 6, as a race lives them: who starts when, who wins, and that nothing is left."""

from __future__ import annotations

import contextlib
import errno
import gc
import math
import random
import re
import socket
import ssl
import sys
from collections.abc import Awaitable, Callable
from itertools import pairwise
from socket import AF_INET, AF_INET6
from typing import Any, ClassVar

import pytest
import trio
import trio.testing

from trio_nbconnect import (
    Address,
    Answer,
    ConnectError,
    Connector,
    ConnectRefused,
    ConnectTimeout,
    History,
    Phase,
    Policy,
    Query,
    QuerySent,
    ResolutionError,
    Service,
    Source,
    trace,
)
from trio_nbconnect._race.race import wall_clock
from trio_nbconnect._simulation.sockets import SimulatedSocket
from trio_nbconnect.testing import SimulatedNetwork

if sys.version_info < (3, 11):
    from exceptiongroup import ExceptionGroup

pytestmark = pytest.mark.virtual_time

SIX, FOUR = "2001:db8::1", "192.0.2.1"

SendAnswer = Callable[[QuerySent | Answer], None]


@pytest.fixture
def net() -> SimulatedNetwork:
    """A network in virtual time on which example.org has one address of each family."""
    network = SimulatedNetwork()
    network.answers("example.org", aaaa=[SIX], a=[FOUR])
    return network


@pytest.fixture
def events() -> list[trace.Event]:
    """What the connector's tracer has heard."""
    return []


@pytest.fixture
def connector(net: SimulatedNetwork, events: list[trace.Event]) -> Connector:
    """A connector with the default policy on that network."""
    return Connector(network=net, tracer=events.append)


def peer(stream: trio.SocketStream) -> str:
    """Return the address that a stream is connected to, and close it."""
    host: str = stream.socket.getpeername()[0]
    stream.socket.close()
    return host


async def same_stream(stream: trio.SocketStream) -> trio.SocketStream:
    """Need nothing but the connection."""
    return stream


class CountTasks(trio.abc.Instrument):
    """Count the tasks that are spawned."""

    def __init__(self) -> None:
        self.spawned = 0

    def task_spawned(self, task: trio.lowlevel.Task) -> None:
        """Count one."""
        self.spawned += 1


# Starting


async def test_late_aaaa_joins_the_race(net: SimulatedNetwork, connector: Connector) -> None:
    """Section 3: "the newly received IPv6 addresses are incorporated into the list of available addresses"."""
    net.answers("example.org", a=[FOUR, "192.0.2.2"], after=0.0)
    net.answers("example.org", aaaa=[SIX], after=0.2)
    net.host(FOUR).drops()
    net.host(SIX).accepts(after=0.1)

    stream = await connector.open_tcp_stream("example.org", 443)

    assert peer(stream) == SIX
    assert net.started == {FOUR: pytest.approx(0.05), SIX: pytest.approx(0.30)}
    assert trio.current_time() == pytest.approx(0.40)


async def test_an_address_that_comes_soon_waits_for_the_delay(net: SimulatedNetwork, connector: Connector) -> None:
    """Section 5: that there was no other one when the newest attempt began makes its delay no shorter."""
    net.answers("example.org", a=[FOUR])
    net.answers("example.org", aaaa=[SIX], after=0.1)
    net.host(FOUR).drops()
    net.host(SIX).accepts()

    assert peer(await connector.open_tcp_stream("example.org", 443)) == SIX
    assert net.started == {FOUR: pytest.approx(0.05), SIX: pytest.approx(0.30)}


async def test_one_attempt_needs_no_task(net: SimulatedNetwork, connector: Connector) -> None:
    """The calling task waits for the first attempt itself: nothing is spawned for it."""
    net.host(FOUR).accepts(after=0.2)
    tasks = CountTasks()
    trio.lowlevel.add_instrument(tasks)

    stream = await connector.open_tcp_stream("example.org", 443, addresses=[FOUR, SIX])

    assert peer(stream) == FOUR
    assert tasks.spawned == 0


async def test_the_last_address_needs_no_task_however_late(net: SimulatedNetwork, connector: Connector) -> None:
    """With nothing left to start, the calling task waits for `establish`, too."""
    net.host(FOUR).accepts(after=1.0)
    tasks = CountTasks()
    trio.lowlevel.add_instrument(tasks)

    async def establish(stream: trio.SocketStream) -> trio.SocketStream:
        await trio.sleep(1.0)
        return stream

    assert peer(await connector.connect("example.org", 443, establish, addresses=[FOUR])) == FOUR
    assert tasks.spawned == 0


async def test_attempts_that_fail_in_time_need_no_task(net: SimulatedNetwork, connector: Connector) -> None:
    """While each attempt ends before the next is due, the calling task runs them all."""
    net.host(FOUR).refuses(after=0.1)
    net.host("192.0.2.2").refuses(after=0.1)
    net.host(SIX).accepts(after=0.1)
    tasks = CountTasks()
    trio.lowlevel.add_instrument(tasks)

    stream = await connector.open_tcp_stream("example.org", 443, addresses=[FOUR, "192.0.2.2", SIX])

    assert peer(stream) == SIX
    assert net.started == {FOUR: 0.0, SIX: pytest.approx(0.1)}
    assert tasks.spawned == 0


async def test_the_first_attempt_is_handed_over_half_open(net: SimulatedNetwork, connector: Connector) -> None:
    """Section 5: an attempt that is still under way goes on when the next one starts, on the same socket."""
    net.host(FOUR).accepts(after=0.3)
    net.host(SIX).drops()
    tasks = CountTasks()
    trio.lowlevel.add_instrument(tasks)

    stream = await connector.open_tcp_stream("example.org", 443, addresses=[FOUR, SIX])

    assert peer(stream) == FOUR
    assert [address.host for _, address in net.connects] == [FOUR, SIX]
    assert trio.current_time() == 0.3
    assert tasks.spawned == 2


async def test_ten_milliseconds_between_attempts(net: SimulatedNetwork, connector: Connector) -> None:
    """Section 5: attempts "MUST NOT be started within 10 milliseconds" of each other, failed or not."""
    net.host(SIX).refuses(after=0.002)
    net.host(FOUR).accepts(after=0.1)

    assert peer(await connector.open_tcp_stream("example.org", 443)) == FOUR
    assert net.started == {SIX: 0.0, FOUR: 0.010}


async def test_no_gap_between_loopback_addresses(net: SimulatedNetwork, connector: Connector) -> None:
    """The gap protects networks; packets to ourselves cross none."""
    net.host("::1").refuses(after=0.002)
    net.host("127.0.0.1").accepts(after=0.001)

    assert peer(await connector.open_tcp_stream("localhost", 443, addresses=["::1", "127.0.0.1"])) == "127.0.0.1"
    assert net.started == {"::1": 0.0, "127.0.0.1": 0.002}


@pytest.mark.parametrize("addresses", [["127.0.0.1", FOUR], [FOUR, "127.0.0.1"]])
async def test_the_gap_between_loopback_and_another(
    net: SimulatedNetwork, connector: Connector, addresses: list[str]
) -> None:
    """It falls away where neither packet leaves this machine."""
    for address in addresses:
        net.host(address).refuses()
    with pytest.raises(ConnectRefused):
        await connector.open_tcp_stream("example.org", 443, addresses=addresses)
    assert net.started == {addresses[0]: 0.0, addresses[1]: 0.010}


async def test_the_delay_counts_from_the_first_attempt(net: SimulatedNetwork, connector: Connector) -> None:
    """And not from the beginning of the look-up before it."""
    net.answers("example.org", aaaa=[SIX], a=[FOUR], after=0.03)
    net.host(SIX).drops()
    net.host(FOUR).accepts()

    assert peer(await connector.open_tcp_stream("example.org", 443)) == FOUR
    assert net.started == {SIX: 0.03, FOUR: pytest.approx(0.28)}


async def test_the_last_failure_is_told_without_a_gap(net: SimulatedNetwork, connector: Connector) -> None:
    """The gap delays attempts, never the news that there will be none."""
    net.host(FOUR).refuses(after=0.001)
    with pytest.raises(ConnectRefused):
        await connector.open_tcp_stream(FOUR, 443)
    assert trio.current_time() == 0.001


async def test_an_attempt_that_sends_nothing_costs_nothing(net: SimulatedNetwork, connector: Connector) -> None:
    """A failure before any packet was sent uses up neither the gap nor the delay."""
    addresses = [FOUR, "192.0.2.2", "192.0.2.3"]
    for address in addresses[:2]:
        net.host(address).unreachable()
    net.host("192.0.2.3").accepts(after=0.1)

    assert peer(await connector.open_tcp_stream("example.org", 443, addresses=addresses)) == "192.0.2.3"
    assert net.started == {"192.0.2.3": 0.0}


async def test_names_whose_addresses_send_nothing_cost_nothing(net: SimulatedNetwork, connector: Connector) -> None:
    """The same with answers that come over time: the next attempt starts at the same instant."""
    net.host(SIX).unreachable()
    net.host(FOUR).accepts(after=0.1)
    net.answers("example.org", a=[FOUR])
    net.answers("example.org", aaaa=[SIX], after=0.02)

    assert peer(await connector.open_tcp_stream("example.org", 443)) == FOUR
    assert net.started == {FOUR: 0.02}


SLOW_AT_SIX = Policy(attempts_at_full_pace=6)


async def test_sixteen_attempts_run_at_full_pace(net: SimulatedNetwork, connector: Connector) -> None:
    """Large services publish eight addresses of each family; beyond them the pace is the maximum delay."""
    addresses = [f"192.0.2.{number}" for number in range(1, 19)]
    net.host(addresses[17]).accepts(after=0.1)

    assert peer(await connector.open_tcp_stream("example.org", 443, addresses=addresses)) == addresses[17]
    assert list(net.started.values()) == [*(0.25 * number for number in range(16)), 5.75, 7.75]


async def test_many_attempts_slow_the_pace(net: SimulatedNetwork) -> None:
    """Section 8: the Maximum Connection Attempt Delay, 2 s, is the pace of many; nothing is killed."""
    addresses = [f"192.0.2.{number}" for number in range(1, 9)]
    net.host(addresses[0]).accepts(after=7.0)
    connector = Connector(network=net, policy=SLOW_AT_SIX)

    assert peer(await connector.open_tcp_stream("example.org", 443, addresses=addresses)) == addresses[0]
    assert list(net.started.values()) == [0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 3.25, 5.25]


async def test_fewer_attempts_return_to_their_pace(net: SimulatedNetwork) -> None:
    """When an older attempt ends, there is room again: the next is due by the ordinary delay."""
    addresses = [f"192.0.2.{number}" for number in range(1, 8)]
    net.host(addresses[2]).refuses(after=1.0)  # at 1.5 s, a quarter of a second after the sixth has started
    net.host(addresses[6]).accepts(after=0.1)
    connector = Connector(network=net, policy=SLOW_AT_SIX)

    assert peer(await connector.open_tcp_stream("example.org", 443, addresses=addresses)) == addresses[6]
    assert net.started[addresses[6]] == 1.5


@pytest.mark.parametrize("after", [0.2, 0.25], ids=["while the program was busy", "at the same instant"])
async def test_what_has_happened_by_then_counts_first(
    net: SimulatedNetwork, connector: Connector, after: float
) -> None:
    """A delay that is over starts nothing if the newest attempt is found to be connected at the same time."""
    net.host(SIX).accepts(after=after)
    net.host(FOUR).accepts()

    async def be_busy() -> None:
        await trio.sleep(0.1)
        trio.lowlevel.current_clock().jump(0.15)  # type: ignore[attr-defined]  # as long as a step computes

    for _ in range(20):  # in which order Trio runs tasks is drawn by lot
        async with trio.open_nursery() as nursery:
            nursery.start_soon(be_busy)
            assert peer(await connector.connect("example.org", 443, same_stream)) == SIX
    assert list(net.started) == [SIX]


async def test_lateness_does_not_add_up(net: SimulatedNetwork, connector: Connector) -> None:
    """A busy program wakes the race late; each start is planned from the planned time of the one before."""
    addresses = [f"192.0.2.{number}" for number in range(1, 6)]

    async def keep_busy() -> None:
        while True:
            await trio.sleep(0.04)
            trio.lowlevel.current_clock().jump(0.007)  # type: ignore[attr-defined]  # as long as a step computes

    async with trio.open_nursery() as nursery:
        nursery.start_soon(keep_busy)
        with trio.move_on_after(1.2):
            await connector.open_tcp_stream("example.org", 443, addresses=addresses)
        nursery.cancel_scope.cancel()
    late = [start - 0.25 * number for number, start in enumerate(net.started.values())]
    assert all(-1e-9 <= lateness < 0.008 for lateness in late)


@pytest.mark.parametrize(
    ("policy", "address", "told"),
    [
        (Policy(attempts_at_full_pace=2), FOUR, [(0.25, "POLICY"), (2.0, "SLOWED")]),
        (Policy(attempts_at_full_pace=1, maximum_delay=1.0), FOUR, [(1.0, "SLOWED"), (1.0, "SLOWED")]),
        (Policy(attempts_at_full_pace=1, attempt_delay=2.0), FOUR, [(2.0, "POLICY"), (2.0, "POLICY")]),
        (Policy(attempts_at_full_pace=1, attempt_delay=3.0), FOUR, [(3.0, "POLICY"), (3.0, "POLICY")]),
        (Policy(attempt_delay=0.005), FOUR, [(0.010, "MINIMUM_GAP"), (0.010, "MINIMUM_GAP")]),
        (Policy(attempt_delay=0.010), FOUR, [(0.010, "POLICY"), (0.010, "POLICY")]),
        (Policy(attempt_delay=0.005), "127.0.0.1", [(0.005, "POLICY"), (0.010, "MINIMUM_GAP")]),
    ],
)
async def test_how_long_the_next_attempt_waits_is_told(
    net: SimulatedNetwork, events: list[trace.Event], policy: Policy, address: str, told: list[tuple[float, str]]
) -> None:
    """And why: the policy says so, RFC 8305 asks for more, or there are many attempts under way."""
    for host in (address, SIX):
        net.host(host).drops()
    connector = Connector(network=net, policy=policy, tracer=events.append)
    with pytest.raises(ConnectTimeout):
        await connector.open_tcp_stream("example.org", 443, addresses=[address, SIX], give_up_after=4.0)
    started = [event for event in events if isinstance(event, trace.AttemptStarted)]
    assert [(event.delay, event.delay_from.name) for event in started] == told


async def test_a_delay_that_follows_history_says_so(net: SimulatedNetwork, events: list[trace.Event]) -> None:
    history = History(explore_every=math.inf)
    history.record(Address(AF_INET, FOUR, 443), 0.05, wall_clock())
    connector = Connector(network=net, history=history, tracer=events.append)
    with pytest.raises(ConnectTimeout):
        await connector.open_tcp_stream("example.org", 443, addresses=[FOUR, SIX], give_up_after=1.0)
    started = [event for event in events if isinstance(event, trace.AttemptStarted)]
    assert [event.delay for event in started] == pytest.approx([0.15, 0.25])
    assert [event.delay_from.name for event in started] == ["HISTORY", "POLICY"]


async def test_a_clock_from_before_1970(monkeypatch: pytest.MonkeyPatch) -> None:
    """A history takes no negative time."""
    monkeypatch.setattr("time.time", lambda: -1.0)
    assert wall_clock() == 0.0


async def test_what_stood_still_catches_up_with_nothing(net: SimulatedNetwork, connector: Connector) -> None:
    """A laptop that slept starts one attempt, and the next after the ordinary delay; the run has been long already."""
    addresses = [f"192.0.2.{number}" for number in range(1, 5)]
    await trio.sleep(1000)

    async def sleep() -> None:
        await trio.sleep(0.1)
        trio.lowlevel.current_clock().jump(100)  # type: ignore[attr-defined]  # `MockClock` has it

    async with trio.open_nursery() as nursery:
        nursery.start_soon(sleep)
        with trio.move_on_after(101):
            await connector.open_tcp_stream("example.org", 443, addresses=addresses)
    assert list(net.started.values()) == pytest.approx([1000.0, 1100.1, 1100.35, 1100.6])


async def test_a_call_in_a_cancelled_scope_sends_nothing(net: SimulatedNetwork, connector: Connector) -> None:
    """Cancelled before it began: nothing happened."""
    for keywords in ({}, {"addresses": [FOUR]}, {"addresses": [FOUR, SIX]}):
        with trio.CancelScope() as scope:
            scope.cancel()
            await connector.open_tcp_stream("example.org", 443, **keywords)  # type: ignore[arg-type]  # a mixture
        assert scope.cancelled_caught
    assert net.connects == []


async def test_progress_puts_the_next_attempt_off(net: SimulatedNetwork, connector: Connector) -> None:
    """An attempt that has completed TCP is given one more delay, and two seconds in all at most."""
    net.host(SIX).accepts(after=0.2)
    net.host(FOUR).accepts(after=0.2)

    async def hang_on_six(stream: trio.SocketStream) -> trio.SocketStream:
        if stream.socket.family == AF_INET6:
            await trio.sleep_forever()
        return stream

    stream = await connector.connect("example.org", 443, hang_on_six)

    assert peer(stream) == FOUR
    assert net.started == {SIX: 0.0, FOUR: pytest.approx(0.45)}


async def test_progress_puts_the_next_attempt_off_for_two_seconds_at_most(net: SimulatedNetwork) -> None:
    """Section 8: the Maximum Connection Attempt Delay bounds what progress can win."""
    net.host(SIX).accepts(after=1.0)
    connector = Connector(network=net, policy=Policy(attempt_delay=1.5))

    async def hang(stream: trio.SocketStream) -> None:
        await trio.sleep_forever()

    with trio.move_on_after(3):
        await connector.connect("example.org", 443, hang)

    assert net.started == {SIX: 0.0, FOUR: 2.0}


async def test_infinite_delay_tries_one_after_the_other(net: SimulatedNetwork) -> None:
    """`attempt_delay=math.inf` is the way to one attempt at a time."""
    net.host(SIX).refuses(after=60)
    net.host(FOUR).accepts(after=1)
    connector = Connector(network=net, policy=Policy(attempt_delay=math.inf))

    assert peer(await connector.open_tcp_stream("example.org", 443)) == FOUR
    assert trio.current_time() == 61


# Winning


async def test_a_dead_heat_has_one_winner(
    net: SimulatedNetwork, connector: Connector, events: list[trace.Event]
) -> None:
    """Two attempts are established at one instant: one stream comes back, and the other socket is closed."""
    net.host(FOUR).accepts(after=0.5)
    net.host(SIX).accepts(after=0.25)

    stream = await connector.open_tcp_stream("example.org", 443, addresses=[FOUR, SIX])

    assert net.open_sockets == 1
    stream.socket.close()
    established = [event for event in events if isinstance(event, trace.AttemptEstablished)]
    discarded = [event for event in events if isinstance(event, trace.RunnerUpDiscarded)]
    cancelled = [event for event in events if isinstance(event, trace.AttemptCancelled)]
    assert len(established) == 1 + len(discarded)
    assert len(discarded) + len(cancelled) == 1


async def test_a_runner_up_is_closed(net: SimulatedNetwork, connector: Connector, events: list[trace.Event]) -> None:
    """What is established after the race is won, before its task can be cancelled, is closed."""
    net.host(FOUR).accepts(after=0.1)
    net.host(SIX).accepts(after=0.1)
    both = trio.Event()
    waiting: list[str] = []

    async def together(stream: trio.SocketStream) -> trio.SocketStream:
        waiting.append(stream.socket.getpeername()[0])
        if len(waiting) == 2:
            both.set()
        with trio.CancelScope(shield=True):
            await both.wait()
        return stream

    stream = await connector.connect("example.org", 443, together)

    assert net.open_sockets == 1
    stream.socket.close()
    (discarded,) = (event for event in events if isinstance(event, trace.RunnerUpDiscarded))
    (won,) = (event for event in events if isinstance(event, trace.RaceWon))
    hosts = {1: SIX, 2: FOUR}
    assert {discarded.attempt: discarded.address.host, won.attempt: won.address.host} == hosts


async def test_success_and_cancellation_at_one_instant(net: SimulatedNetwork, connector: Connector) -> None:
    """A connection that comes with the cancellation is either returned or closed, never lost."""
    net.host(SIX).accepts(after=1.0)
    net.host(FOUR).drops()
    for _ in range(20):
        stream = None
        with trio.move_on_after(1.0):
            stream = await connector.open_tcp_stream("example.org", 443)
        assert net.open_sockets == (stream is not None)
        if stream is not None:
            stream.socket.close()


async def test_a_winner_that_comes_after_the_cancellation_is_closed(
    net: SimulatedNetwork, connector: Connector, events: list[trace.Event]
) -> None:
    """Whoever cancels the call gets no stream, also where `establish` finished all the same."""
    net.host(SIX).accepts()
    net.host(FOUR).drops()

    async def deaf(stream: trio.SocketStream) -> trio.SocketStream:
        with trio.CancelScope(shield=True):
            await trio.sleep(1)
        return stream

    with trio.move_on_after(0.5) as scope:
        await connector.connect("example.org", 443, deaf)

    assert scope.cancelled_caught
    assert net.open_sockets == 0
    one: dict[str, Any] = {"race": events[0].race, "time": 1.0, "host": "example.org", "port": 443}
    discarded = trace.RunnerUpDiscarded(attempt=1, address=Address(AF_INET6, SIX, 443), **one)
    assert events[-2:] == [discarded, trace.RaceLost(error=None, **one)]


async def test_no_attempt_starts_once_the_race_is_won(net: SimulatedNetwork, connector: Connector) -> None:
    """One attempt wins at the very instant at which the newest fails: nothing more is sent."""
    for _ in range(20):
        net.connects.clear()
        net.host(FOUR).accepts(after=0.3)
        net.host(SIX).refuses(after=0.05)
        stream = await connector.open_tcp_stream("example.org", 443, addresses=[FOUR, SIX, "192.0.2.2"])
        assert peer(stream) == FOUR
        assert len(net.connects) <= 3
        assert net.open_sockets == 0


@pytest.mark.parametrize("moment", [number / 100 for number in range(0, 90, 3)])
async def test_cancelled_at_any_moment_nothing_is_left(
    net: SimulatedNetwork, connector: Connector, events: list[trace.Event], moment: float
) -> None:
    """Whenever the caller cancels, every socket is closed and every attempt has exactly one outcome."""
    net.answers("example.org", aaaa=[SIX], after=0.02)
    net.answers("example.org", a=[FOUR, "192.0.2.2"], after=0.3)
    net.host(SIX).refuses(after=0.4)

    with trio.move_on_at(moment + 0.005) as scope:
        await connector.open_tcp_stream("example.org", 443)

    assert scope.cancelled_caught
    assert net.open_sockets == 0
    started = [event.attempt for event in events if isinstance(event, trace.AttemptStarted)]
    ended = [event.attempt for event in events if isinstance(event, (trace.AttemptFailed, trace.AttemptCancelled))]
    assert sorted(ended) == started
    assert isinstance(events[-1], trace.RaceLost)
    assert events[-1].error is None


# Failing


async def test_all_failed(net: SimulatedNetwork, connector: Connector) -> None:
    """The error says what was tried: each address, its phase, when, and what it met."""
    net.host(SIX).refuses(after=0.020)
    net.host(FOUR).unreachable(after=0.030)

    with pytest.raises(
        ConnectError,
        match=r"^all attempts to connect to example\.org:443 failed: 2001:db8::1 refused, 192\.0\.2\.1 No route",
    ) as caught:
        await connector.open_tcp_stream("example.org", 443)

    first, second = caught.value.attempts
    assert (first.number, first.address.host, first.phase) == (1, SIX, Phase.HANDSHAKE)
    assert (first.started, first.ended) == (0.0, 0.020)
    assert isinstance(first.error, ConnectionRefusedError)
    assert (second.started, second.ended) == (0.020, 0.050)
    assert caught.value.errno is None
    group = caught.value.__cause__
    assert isinstance(group, ExceptionGroup)
    assert [getattr(error, "errno", None) for error in group.exceptions] == [errno.ECONNREFUSED, errno.EHOSTUNREACH]
    assert [error.__notes__ for error in group.exceptions] == [
        ["attempt 1, after 0.0 ms: [2001:db8::1]:443 refused after 20 ms"],
        ["attempt 2, after 20 ms: 192.0.2.1:443 No route to host after 30 ms"],
    ]


async def test_a_failure_is_noted_when_it_is_told(net: SimulatedNetwork) -> None:
    """A tracer sees on a failure which attempt that was, although the race goes on; once, also when it is lost."""
    net.host(SIX).refuses(after=0.020)
    net.host(FOUR).refuses(after=0.020)
    notes: list[object] = []

    def tracer(event: trace.Event) -> None:
        if isinstance(event, trace.AttemptFailed):
            notes.append(list(event.error.__notes__))  # type: ignore[attr-defined]  # Python 3.10 does not know it

    with pytest.raises(ConnectError) as caught:
        await Connector(network=net, tracer=tracer).open_tcp_stream("example.org", 443)

    assert notes == [
        ["attempt 1, after 0.0 ms: [2001:db8::1]:443 refused after 20 ms"],
        ["attempt 2, after 20 ms: 192.0.2.1:443 refused after 20 ms"],
    ]
    assert [attempt.error.__dict__["__notes__"] for attempt in caught.value.attempts if attempt.error] == notes


async def test_failures_are_noted_where_nobody_listens(net: SimulatedNetwork) -> None:
    """The time counts from the beginning of the race, and not from that of the clock."""
    await trio.sleep(5)
    net.host(SIX).refuses(after=0.020)
    net.host(FOUR).unreachable()

    with pytest.raises(ConnectError) as caught:
        await Connector(network=net).open_tcp_stream("example.org", 443)

    assert [attempt.error.__dict__["__notes__"] for attempt in caught.value.attempts if attempt.error] == [
        ["attempt 1, after 0.0 ms: [2001:db8::1]:443 refused after 20 ms"],
        ["attempt 2, after 20 ms: 192.0.2.1:443 Network is unreachable after 0.0 ms"],
    ]


async def test_all_refused_is_refused(net: SimulatedNetwork, connector: Connector) -> None:
    """Where every attempt agrees, the error has their class and number."""
    net.host(SIX).refuses(after=0.020)
    net.host(FOUR).refuses(after=0.020)
    with pytest.raises(ConnectionRefusedError) as caught:
        await connector.open_tcp_stream("example.org", 443)
    assert caught.value.errno == errno.ECONNREFUSED


async def test_a_failure_leaves_no_reference_cycle(net: SimulatedNetwork) -> None:
    """Failures shed their tracebacks, so that no frame is kept alive until the collector comes; nobody listens."""
    net.host(SIX).refuses(after=0.3)
    net.host(FOUR).refuses(after=0.3)
    gc.collect()
    gc.disable()
    try:
        for keywords in ({}, {"addresses": [FOUR]}, {"give_up_after": 0.1}):
            with contextlib.suppress(ConnectError):
                await Connector(network=net).open_tcp_stream("example.org", 443, **keywords)
            assert not [thing for thing in _garbage() if isinstance(thing, BaseException)]
    finally:
        gc.enable()


def _garbage() -> list[object]:
    """Collect what only the collector can free, and return it."""
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        gc.collect()
        return list(gc.garbage)
    finally:
        gc.set_debug(0)
        gc.garbage.clear()


async def test_a_won_race_leaves_no_reference_cycle(net: SimulatedNetwork, connector: Connector) -> None:
    """Failures on the way to a winner are let go with the race."""
    net.host(SIX).refuses(after=0.3)
    net.host(FOUR).accepts(after=0.3)
    gc.collect()
    gc.disable()
    try:
        peer(await Connector(network=net).open_tcp_stream("example.org", 443, addresses=[SIX, FOUR]))
        assert not [thing for thing in _garbage() if isinstance(thing, (BaseException, Connector, Address))]
    finally:
        gc.enable()


@pytest.mark.parametrize("local_address", [None, "::"])
async def test_instant_failure_is_a_checkpoint_too(net: SimulatedNetwork, local_address: str | None) -> None:
    """Whatever fails before a packet is sent lets others run all the same."""
    net.host(FOUR).unreachable()
    with trio.testing.assert_checkpoints(), pytest.raises(ConnectError):
        await Connector(network=net, local_address=local_address).open_tcp_stream(FOUR, 443)


async def test_giving_up_says_what_every_attempt_was_doing(net: SimulatedNetwork, connector: Connector) -> None:
    """A limit of ours is a `TimeoutError` and a `TooSlowError` that keeps the diagnosis."""
    net.answers("example.org", aaaa=[SIX, "2001:db8::2"], a=[])
    net.host(SIX).refuses(after=0.1)

    with pytest.raises(ConnectTimeout) as caught:
        await connector.open_tcp_stream("example.org", 443, give_up_after=0.3)

    error = caught.value
    assert isinstance(error, TimeoutError)
    assert isinstance(error, trio.TooSlowError)
    assert (error.errno, error.phase) == (errno.ETIMEDOUT, Phase.HANDSHAKE)
    assert str(error) == (
        "gave up connecting to example.org:443 after 0.3 s: "
        "[2001:db8::1]:443 refused after 100 ms, [2001:db8::2]:443 no answer for 200 ms"
    )
    assert [attempt.error is None for attempt in error.attempts] == [False, True]
    assert net.open_sockets == 0


async def test_giving_up_on_resolution(net: SimulatedNetwork, connector: Connector) -> None:
    """Before any address is known, the phase is resolution."""
    net.answers("example.org", aaaa=[], a=[], after=math.inf)
    with pytest.raises(ConnectTimeout, match="still looking for addresses") as caught:
        await connector.open_tcp_stream("example.org", 443, give_up_after=3)
    assert caught.value.phase is Phase.RESOLUTION
    assert isinstance(caught.value.__cause__, ExceptionGroup)


async def test_giving_up_tells_what_the_name_servers_said(net: SimulatedNetwork) -> None:
    """Beside what the attempts met, and each once."""
    failure = socket.gaierror(socket.EAI_FAIL, "server failure")

    async def resolve(query: Query, send_answer: SendAnswer) -> None:
        for source in (Source.AAAA, Source.A):
            send_answer(QuerySent(source))
        send_answer(Answer(Source.AAAA, error=failure))
        send_answer(Answer(Source.A, (Address(AF_INET, FOUR, 443),)))

    with pytest.raises(ConnectTimeout) as caught:
        await Connector(network=net, resolver=Resolver(resolve)).open_tcp_stream("example.org", 443, give_up_after=0.3)
    assert isinstance(caught.value.__cause__, ExceptionGroup)
    told = [str(error) for error in caught.value.__cause__.exceptions]
    assert told == [str(failure), f"[Errno {errno.ETIMEDOUT}] Connection timed out: no answer: {FOUR}:443"]


async def test_giving_up_on_what_comes_after_tcp(
    net: SimulatedNetwork, connector: Connector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An attempt that hangs after TCP was connected is in the phase of being established, or of TLS."""
    net.host(SIX).accepts()

    async def hang(stream: trio.SocketStream, **_: object) -> None:
        await trio.sleep_forever()

    with pytest.raises(ConnectTimeout) as caught:
        await connector.connect("example.org", 443, hang, give_up_after=0.2)
    assert caught.value.phase is Phase.ESTABLISH
    assert [(attempt.phase, attempt.connected) for attempt in caught.value.attempts] == [(Phase.ESTABLISH, 0.0)]

    monkeypatch.setattr("trio_nbconnect._connect.tls.shake_hands", hang)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    with pytest.raises(ConnectTimeout) as caught:
        await connector.open_tls_stream("example.org", 443, ssl_context=context, give_up_after=0.2)
    assert caught.value.phase is Phase.TLS


async def test_a_limit_for_each_attempt(net: SimulatedNetwork) -> None:
    """`give_up_attempt_after` ends attempts one by one, each with ETIMEDOUT."""
    connector = Connector(network=net, policy=Policy(give_up_attempt_after=0.1))
    net.host(FOUR).accepts(after=0.05)
    assert peer(await connector.open_tcp_stream("example.org", 443)) == FOUR
    assert net.started == {SIX: 0.0, FOUR: 0.1}

    with pytest.raises(ConnectTimeout, match=r"^all attempts to connect") as caught:
        await connector.open_tcp_stream(SIX, 443)
    assert caught.value.errno == errno.ETIMEDOUT
    assert net.open_sockets == 0


async def test_a_limit_longer_than_the_delay(net: SimulatedNetwork) -> None:
    """A limit binds an attempt that was handed over as well: from its start, not from then."""
    connector = Connector(network=net, policy=Policy(give_up_attempt_after=0.4))
    with pytest.raises(ConnectTimeout) as caught:
        await connector.open_tcp_stream("example.org", 443, addresses=[SIX, FOUR])
    assert [(attempt.started, attempt.ended) for attempt in caught.value.attempts] == [(0.0, 0.4), (0.25, 0.65)]


async def test_a_limit_as_long_as_the_delay(net: SimulatedNetwork) -> None:
    """An attempt that ends just when the next is due has failed: nothing of it goes on beside that."""
    events: list[trace.Event] = []
    policy = Policy(attempt_delay=0.25, give_up_attempt_after=0.25)
    with pytest.raises(ConnectTimeout):
        await Connector(network=net, policy=policy, tracer=events.append).open_tcp_stream("x", 1, addresses=[SIX, FOUR])
    reasons = [event.reason for event in events if isinstance(event, trace.AttemptStarted)]
    assert reasons == [trace.Reason.FIRST, trace.Reason.PREDECESSOR_FAILED]
    assert net.started == {SIX: 0.0, FOUR: 0.25}


async def test_a_caller_s_own_scope_stays_a_cancellation(net: SimulatedNetwork, connector: Connector) -> None:
    """`trio.fail_after` around a call works as always."""
    with pytest.raises(trio.TooSlowError) as caught:
        with trio.fail_after(1):
            await connector.open_tcp_stream("example.org", 443)
    assert not isinstance(caught.value, ConnectTimeout)
    assert trio.current_time() == 1


# Establishing


@pytest.mark.parametrize(
    ("raised", "number"),
    [
        (ConnectionResetError(errno.ECONNRESET, "reset"), errno.ECONNRESET),
        (trio.BrokenResourceError("gone"), errno.ECONNRESET),
        (trio.TooSlowError(), errno.ETIMEDOUT),
        (EOFError("cut off"), errno.ECONNRESET),
    ],
)
async def test_what_establish_may_raise_is_a_failed_attempt(
    net: SimulatedNetwork, connector: Connector, raised: Exception, number: int
) -> None:
    """A broken or too slow stream fails its attempt, and the others go on."""
    net.host(SIX).accepts(after=0.02)
    net.host(FOUR).accepts(after=0.02)

    async def only_four(stream: trio.SocketStream) -> trio.SocketStream:
        if stream.socket.family == AF_INET6:
            raise raised
        return stream

    assert peer(await connector.connect("example.org", 443, only_four)) == FOUR

    async def none(stream: trio.SocketStream) -> None:
        raise raised

    with pytest.raises(ConnectError) as caught:
        await connector.connect(SIX, 443, none)
    assert caught.value.attempts[0].phase is Phase.ESTABLISH
    assert caught.value.errno == number
    assert net.open_sockets == 0


async def test_a_tls_failure_keeps_its_ssl_error(net: SimulatedNetwork, connector: Connector) -> None:
    """Trio wraps it in a BrokenResourceError; the attempt has failed with what is inside."""
    net.host(SIX).accepts()

    async def shake_hands(stream: trio.SocketStream) -> None:
        raise trio.BrokenResourceError from ssl.SSLCertVerificationError("wrong name")

    with pytest.raises(ConnectError) as caught:
        await connector.connect(SIX, 443, shake_hands)
    assert isinstance(caught.value.attempts[0].error, ssl.SSLCertVerificationError)


async def test_a_group_of_failures_is_a_failure(net: SimulatedNetwork, connector: Connector) -> None:
    """`establish` may use a nursery of its own; what tells most is what failed, however deep it is."""
    net.host(SIX).accepts()
    refused = ConnectionRefusedError(errno.ECONNREFUSED, "refused by the second server")

    async def establish(stream: trio.SocketStream) -> None:
        raise ExceptionGroup("", [trio.TooSlowError(), ExceptionGroup("", [refused])])

    with pytest.raises(ConnectRefused) as caught:
        await connector.connect("example.org", 443, establish, addresses=[SIX])
    assert caught.value.attempts[0].error is refused


LEFTOVERS = [
    OSError(errno.EIO, "closing failed"),
    trio.BrokenResourceError("gone"),
    ExceptionGroup("inner", [EOFError("cut off")]),
]


def two_tasks(leftover: BaseException) -> Callable[..., Awaitable[None]]:
    """Run two tasks of its own until it is cancelled; one of them fails on its way out."""

    async def clean_up() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise leftover

    async def run(*_: object) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(clean_up)
            nursery.start_soon(trio.sleep_forever)

    return run


@pytest.mark.parametrize("leftover", LEFTOVERS)
async def test_what_a_cancelled_attempt_fails_with_on_its_way_out_is_nothing(
    net: SimulatedNetwork, connector: Connector, leftover: Exception
) -> None:
    """Its tasks end in one group, of a cancellation and a failure; the race is won, late or cancelled as ever."""
    net.host(SIX).accepts()
    net.host(FOUR).accepts(after=0.1)
    fail = two_tasks(leftover)

    async def only_four(stream: trio.SocketStream) -> trio.SocketStream:
        if stream.socket.family == AF_INET6:
            await fail()
        return stream

    async with await connector.connect("example.org", 443, only_four) as stream:
        assert peer(stream) == FOUR
    with pytest.raises(ConnectTimeout) as caught:
        await connector.connect(SIX, 443, only_four, give_up_after=1)
    assert caught.value.phase is Phase.ESTABLISH
    with trio.move_on_after(1) as scope:
        await connector.connect(SIX, 443, only_four)
    assert scope.cancelled_caught
    short = connector.replace(policy=Policy(give_up_attempt_after=1))
    with pytest.raises(ConnectTimeout):
        await short.connect(SIX, 443, only_four)
    assert net.open_sockets == 0


@pytest.mark.parametrize("leftover", [ValueError("a bug"), KeyboardInterrupt()])
async def test_a_bug_of_a_cancelled_attempt_comes_out(
    net: SimulatedNetwork, connector: Connector, leftover: BaseException
) -> None:
    net.host(SIX).accepts()
    with pytest.raises(type(leftover)) as caught:
        await connector.connect(SIX, 443, two_tasks(leftover), give_up_after=1)
    assert caught.value is leftover
    assert net.open_sockets == 0


async def test_a_crash_starts_nothing_and_is_told(net: SimulatedNetwork) -> None:
    """The race is over with it; the crashed attempt has failed, and the others were cancelled."""
    for address in (SIX, FOUR):
        net.host(address).accepts(after=0.1)
    events: list[trace.Event] = []

    async def establish(stream: trio.SocketStream) -> None:
        await trio.sleep(0.3)
        raise ValueError("a bug")

    connector = Connector(network=net, tracer=events.append)
    with pytest.raises(ValueError, match=r"^a bug"):
        await connector.connect("example.org", 443, establish, addresses=[SIX, FOUR, "192.0.2.2"])
    assert list(net.started) == [SIX, FOUR]
    failed, cancelled, lost = events[-3:]
    assert isinstance(failed, trace.AttemptFailed)
    assert isinstance(cancelled, trace.AttemptCancelled)
    assert isinstance(lost, trace.RaceLost)
    assert str(failed.error) == str(lost.error) == "ValueError in the caller's code"


async def test_who_is_interrupted_has_not_crashed(net: SimulatedNetwork) -> None:
    told: list[trace.Event] = []

    async def establish(stream: trio.SocketStream) -> None:
        raise KeyboardInterrupt

    net.host(FOUR).accepts()
    with pytest.raises(KeyboardInterrupt):
        await Connector(network=net, tracer=told.append).connect(FOUR, 443, establish)
    assert isinstance(told[-1], trace.RaceLost)
    assert told[-1].error is None


@pytest.mark.parametrize("last", [trace.AttemptEstablished, trace.RaceWon, trace.AttemptConnected])
@pytest.mark.parametrize("addresses", [[SIX], [FOUR, SIX]])
async def test_a_tracer_that_interrupts_leaves_no_socket(
    net: SimulatedNetwork, last: type[trace.Event], addresses: list[str]
) -> None:
    """The winner has an owner before anybody is told of it."""
    net.host(SIX).accepts(after=0.1)
    heard: list[trace.Event] = []

    def tracer(event: trace.Event) -> None:
        heard.append(event)
        if isinstance(event, last):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await Connector(network=net, tracer=tracer).open_tcp_stream("example.org", 443, addresses=addresses)
    assert net.open_sockets == 0
    assert sum(isinstance(event, (trace.RaceWon, trace.RaceLost)) for event in heard) == 1


async def test_a_resolver_may_have_a_nursery_of_its_own(net: SimulatedNetwork) -> None:
    """Its `OSError` comes in a group, and means the same."""

    async def resolve(query: Query, send_answer: SendAnswer) -> None:
        raise ExceptionGroup("tasks", [ExceptionGroup("inner", [OSError(errno.EIO, "no name server")])])

    with pytest.raises(ResolutionError) as caught:
        await Connector(network=net, resolver=Resolver(resolve)).open_tcp_stream("example.org", 443)
    assert caught.value.errno == errno.EIO


async def test_all_tasks_of_a_resolver_may_fail(net: SimulatedNetwork) -> None:
    """One for each family, say; all that they have met is told."""
    failures = [OSError(errno.EIO, "no AAAA"), OSError(errno.EIO, "no A")]

    async def resolve(query: Query, send_answer: SendAnswer) -> None:
        raise ExceptionGroup("tasks", failures)

    connector = Connector(network=net, resolver=Resolver(resolve))
    with pytest.raises(ResolutionError, match=r"no AAAA, no A$") as caught:
        await connector.open_tcp_stream("example.org", 443)
    assert caught.value.errno == errno.EIO
    with pytest.raises(ResolutionError, match=r"example\.org: no AAAA"):
        await connector.open_tcp_stream([("example.org", 443), ("example.com", 443)])


@pytest.mark.parametrize("leftover", LEFTOVERS)
async def test_what_a_cancelled_resolver_fails_with_on_its_way_out_is_nothing(
    net: SimulatedNetwork, leftover: Exception
) -> None:
    net.host(SIX).accepts()
    wait = two_tasks(leftover)

    async def resolve(query: Query, send_answer: SendAnswer) -> None:
        send_answer(QuerySent(Source.AAAA))
        send_answer(QuerySent(Source.A))
        send_answer(Answer(Source.AAAA, (Address(AF_INET6, SIX, 443),)))
        await wait()

    connector = Connector(network=net, resolver=Resolver(resolve))
    assert peer(await connector.open_tcp_stream("example.org", 443)) == SIX
    host = [("example.org", 443), (FOUR, 443)]
    assert peer(await connector.open_tcp_stream(host)) == SIX


@pytest.mark.parametrize(
    ("item", "text"),
    [
        (None, "a resolver must send QuerySent and Answer, not None"),
        ("192.0.2.1", "a resolver must send QuerySent and Answer, not '192.0.2.1'"),
        (Answer(Source.A, ("192.0.2.1",)), "address must be Address, not '192.0.2.1'"),  # type: ignore[arg-type]
    ],
)
async def test_what_no_resolver_may_send_is_a_type_error(net: SimulatedNetwork, item: Any, text: str) -> None:
    async def resolve(query: Query, send_answer: SendAnswer) -> None:
        send_answer(item)

    with pytest.raises(TypeError, match=f"^{re.escape(text)}$"):
        await Connector(network=net, resolver=Resolver(resolve)).open_tcp_stream("example.org", 443)


@pytest.mark.parametrize(
    ("aaaa_after", "a_after", "reason"),
    [
        (0.01, 0.0, trace.Reason.ALL_ANSWERED),
        (0.01, 0.2, trace.Reason.PREFERRED_ANSWERED),
        (0.2, 0.01, trace.Reason.RESOLUTION_DELAY_OVER),
    ],
)
async def test_the_first_attempt_says_why_it_began(
    net: SimulatedNetwork, events: list[trace.Event], aaaa_after: float, a_after: float, reason: trace.Reason
) -> None:
    """Section 3 has three reasons; where the system's answer is late, the Resolution Delay is over in any case."""
    net.answers("example.org", aaaa=[SIX], after=aaaa_after)
    net.answers("example.org", a=[FOUR], after=a_after)
    for address in (SIX, FOUR):
        net.host(address).accepts()
    late = trace.Reason.ALL_ANSWERED if reason is trace.Reason.ALL_ANSWERED else trace.Reason.RESOLUTION_DELAY_OVER
    for resolver, expected in ((net.resolver(services=False), reason), (None, late)):
        events.clear()
        connector = Connector(network=net, tracer=events.append, resolver=resolver)
        peer(await connector.open_tcp_stream("example.org", 443))
        assert [event.reason for event in events if isinstance(event, trace.AttemptStarted)] == [expected]


async def test_what_is_no_address_is_refused(net: SimulatedNetwork, events: list[trace.Event]) -> None:
    """`connect` would look a name up, and every task wait for it."""

    async def resolve(query: Query, send_answer: SendAnswer) -> None:
        send_answer(Answer(Source.A, (Address(AF_INET, "slow.example", query.port),)))

    connector = Connector(network=net, resolver=Resolver(resolve), tracer=events.append)
    with pytest.raises(ValueError, match=r"^address must be numeric and of its family"):
        await connector.open_tcp_stream("example.org", 443)
    assert [type(event) for event in events] == [trace.RaceStarted, trace.RaceLost]


@pytest.mark.parametrize("addresses", [[SIX], [SIX, FOUR], None])
async def test_a_tracer_that_is_cancelled_itself_leaves_an_error_that_can_be_read(
    net: SimulatedNetwork, addresses: list[str] | None
) -> None:
    """It should not be, but `Cancelled` of another scope may come out of it: the race then fails, or it comes out."""
    net.host(SIX).accepts(after=0.3)
    net.host(FOUR).accepts(after=0.3)
    foreign: list[trio.Cancelled] = []
    with trio.CancelScope() as scope:
        scope.cancel()
        try:
            await trio.lowlevel.checkpoint()
        except trio.Cancelled as error:
            foreign.append(error)
            raise

    def tracer(event: trace.Event) -> None:
        if isinstance(event, trace.AttemptConnected):
            raise foreign[0]

    connector = Connector(network=net, tracer=tracer, resolver=net.resolver(services=False))
    with pytest.raises((ConnectError, trio.Cancelled)) as caught:
        await connector.open_tcp_stream("example.org", 443, addresses=addresses)
    if isinstance(caught.value, ConnectError):
        assert str(caught.value).startswith("all attempts to connect to example.org:443 failed")
        assert isinstance(caught.value.__cause__, ExceptionGroup)
    foreign.clear()
    assert net.open_sockets == 0


async def test_a_hook_that_gives_a_name_is_refused(net: SimulatedNetwork) -> None:
    """`connect` would look it up, and every task wait for it."""

    class Hook(trio.abc.HostnameResolver):
        async def getaddrinfo(self, *_: Any, **__: Any) -> Any:
            return [(AF_INET, socket.SOCK_STREAM, 6, "", ("slow.example", 443))]

        async def getnameinfo(self, *_: Any) -> Any:
            raise NotImplementedError

    trio.socket.set_custom_hostname_resolver(Hook())
    with pytest.raises(ValueError, match=r"^address must be numeric and of its family, not 'slow\.example'"):
        await Connector().open_tcp_stream("example.org", 443)


@pytest.mark.parametrize(
    "crash", [ValueError("a bug"), KeyboardInterrupt(), ExceptionGroup("two", [OSError(), ValueError()])]
)
@pytest.mark.parametrize("addresses", [[SIX], [SIX, FOUR]])
async def test_a_bug_in_establish_comes_out_as_it_is(
    net: SimulatedNetwork, connector: Connector, crash: BaseException, addresses: list[str]
) -> None:
    """What is no failure of the network ends the race, unwrapped, and leaves no socket open."""
    for address in addresses:
        net.host(address).accepts()

    async def buggy(stream: trio.SocketStream) -> None:
        raise crash

    with pytest.raises(type(crash)) as caught:
        await connector.connect("example.org", 443, buggy, addresses=addresses)
    assert repr(caught.value) == repr(crash)  # Trio makes a new group of a nested one
    assert net.open_sockets == 0


async def test_several_bugs_at_once_come_out_as_a_group(net: SimulatedNetwork, connector: Connector) -> None:
    """Two crashes at one instant are two; neither is dropped."""
    net.host(SIX).accepts(after=0.25)
    net.host(FOUR).accepts()
    both = trio.Event()
    count = iter([False, True])

    async def buggy(stream: trio.SocketStream) -> None:
        if next(count):
            both.set()
        with trio.CancelScope(shield=True):
            await both.wait()
        raise ValueError("a bug")

    with pytest.raises(ExceptionGroup) as caught:
        await connector.connect("example.org", 443, buggy, addresses=[SIX, FOUR])
    assert [type(error) for error in caught.value.exceptions] == [ValueError, ValueError]
    assert net.open_sockets == 0


# Resolution


async def test_what_a_resolver_has_met_is_all_told(net: SimulatedNetwork) -> None:
    """The answers that were errors, and what it has ended with."""

    async def resolve(query: Query, send_answer: SendAnswer) -> None:
        send_answer(QuerySent(Source.A))
        send_answer(Answer(Source.A, error=socket.gaierror(socket.EAI_NONAME, "no A")))
        raise OSError("no name server for AAAA")

    with pytest.raises(ResolutionError) as caught:
        await Connector(network=net, resolver=Resolver(resolve)).open_tcp_stream("example.org", 443)
    assert str(caught.value).endswith("example.org:443: no A, no name server for AAAA")


async def test_the_delay_counts_from_the_attempt_that_followed_a_failure(net: SimulatedNetwork) -> None:
    net.host(SIX).refuses(after=0.1)
    net.host(FOUR).accepts(after=0.4)
    connector = Connector(network=net)
    assert peer(await connector.open_tcp_stream("h", 443, addresses=[SIX, FOUR, "192.0.2.9"])) == FOUR
    assert net.started == pytest.approx({SIX: 0.0, FOUR: 0.1, "192.0.2.9": 0.35})


async def test_the_delay_counts_from_the_attempt_that_followed_one_without_a_way(net: SimulatedNetwork) -> None:
    """Also where something is to be established on top, so that no attempt is waited for alone."""
    net.host(SIX).unreachable()
    net.host("192.0.2.9").accepts(after=0.1)

    async def establish(stream: trio.SocketStream) -> trio.SocketStream:
        return stream

    stream = await Connector(network=net).connect("h", 443, establish, addresses=[SIX, FOUR, "192.0.2.9"])
    assert peer(stream) == "192.0.2.9"
    assert net.started == pytest.approx({FOUR: 0.0, "192.0.2.9": 0.25})


async def test_the_delay_counts_from_the_end_of_the_gap(net: SimulatedNetwork) -> None:
    net.host(SIX).refuses(after=0.003)
    net.host("192.0.2.9").accepts(after=0.1)
    connector = Connector(network=net)
    assert peer(await connector.open_tcp_stream("h", 443, addresses=[SIX, FOUR, "192.0.2.9"])) == "192.0.2.9"
    assert net.started == pytest.approx({SIX: 0.0, FOUR: 0.01, "192.0.2.9": 0.26})


async def test_what_arrives_when_all_have_failed_is_paced_as_ever(net: SimulatedNetwork) -> None:
    net.host(SIX).refuses(after=0.1)
    net.host("192.0.2.9").accepts(after=0.1)

    async def resolve(query: Query, send_answer: SendAnswer) -> None:
        send_answer(Answer(Source.AAAA, (Address(AF_INET6, SIX, 443),)))
        await trio.sleep(1)
        send_answer(Answer(Source.A, tuple(Address(AF_INET, host, 443) for host in (FOUR, "192.0.2.9"))))

    connector = Connector(network=net, resolver=Resolver(resolve))
    assert peer(await connector.open_tcp_stream("h.example", 443)) == "192.0.2.9"
    assert net.started == pytest.approx({SIX: 0.0, FOUR: 1.0, "192.0.2.9": 1.25})


async def test_what_makes_one_attempt_late_makes_the_next_no_later(
    net: SimulatedNetwork, nursery: trio.Nursery
) -> None:
    clock = trio.lowlevel.current_clock()
    assert isinstance(clock, trio.testing.MockClock)

    async def hold_the_loop() -> None:
        await trio.sleep(0.24)
        clock.jump(0.06)

    nursery.start_soon(hold_the_loop)
    net.host("192.0.2.9").accepts(after=0.1)
    connector = Connector(network=net)
    assert peer(await connector.open_tcp_stream("h", 443, addresses=[SIX, FOUR, "192.0.2.9"])) == "192.0.2.9"
    assert net.started == pytest.approx({SIX: 0.0, FOUR: 0.3, "192.0.2.9": 0.5})


async def test_a_winner_waits_for_no_delay(net: SimulatedNetwork) -> None:
    net.host(SIX).accepts(after=0.3)
    connector = Connector(network=net)
    assert peer(await connector.open_tcp_stream("h", 443, addresses=[SIX, FOUR, "192.0.2.9"])) == SIX
    assert trio.current_time() == pytest.approx(0.3)


async def test_each_end_says_how_often_the_syn_was_sent_again(net: SimulatedNetwork, events: list[trace.Event]) -> None:
    """RFC 6298, section 2.1: a second after the attempt has started."""
    net.host(FOUR).refuses(after=0.9)
    net.host("192.0.2.9").accepts(after=1.5)
    connector = Connector(network=net, tracer=events.append)
    await connector.open_tcp_stream("h", 443, addresses=[SIX, FOUR, "192.0.2.9"])

    ends = (trace.AttemptConnected, trace.AttemptFailed, trace.AttemptCancelled)
    assert [
        (type(event), event.address.ip, event.syn_retransmissions) for event in events if isinstance(event, ends)
    ] == [
        (trace.AttemptFailed, FOUR, 0),
        (trace.AttemptConnected, "192.0.2.9", 1),
        (trace.AttemptCancelled, SIX, 1),
    ]
    assert [event.address.ip for event in events if isinstance(event, trace.AttemptEstablished)] == ["192.0.2.9"]


async def test_once_it_is_connected_nothing_of_its_syn_is_told(
    net: SimulatedNetwork, events: list[trace.Event]
) -> None:
    net.host(SIX).accepts(after=0.1)

    async def establish(stream: trio.SocketStream) -> None:
        raise EOFError

    with pytest.raises(ConnectError):
        await Connector(network=net, tracer=events.append).connect("h", 443, establish, addresses=[SIX])
    assert [event.syn_retransmissions for event in events if isinstance(event, trace.AttemptFailed)] == [None]


async def test_nothing_starts_in_the_moment_in_which_the_race_is_given_up(net: SimulatedNetwork) -> None:
    net.host(SIX).refuses(after=0.1)

    def stall(event: trace.Event) -> None:
        if isinstance(event, trace.AttemptFailed):
            trio.lowlevel.current_clock().jump(0.4)  # type: ignore[attr-defined]  # `MockClock` has it

    with pytest.raises(ConnectTimeout):
        await Connector(network=net, tracer=stall).open_tcp_stream("h", 443, addresses=[SIX, FOUR], give_up_after=0.5)
    assert list(net.started) == [SIX]


async def test_without_any_time_nothing_starts(net: SimulatedNetwork) -> None:
    """Nor is anybody asked."""
    asked: list[Query] = []

    async def resolve(query: Query, send_answer: SendAnswer) -> None:
        asked.append(query)

    connector = Connector(network=net, resolver=Resolver(resolve))
    for keywords in ({"addresses": [SIX]}, {}):
        with pytest.raises(ConnectTimeout):
            await connector.open_tcp_stream("h.example", 443, give_up_after=0, **keywords)
    assert (net.started, asked) == ({}, [])


async def test_the_first_of_several_attempts_needs_no_task(net: SimulatedNetwork) -> None:
    before, seen = trio.lowlevel.current_statistics().tasks_living, []

    def look(event: trace.Event) -> None:
        if isinstance(event, trace.AttemptConnected):
            seen.append(trio.lowlevel.current_statistics().tasks_living)

    net.host(SIX).accepts(after=0.1)
    connector = Connector(network=net, tracer=look)
    assert peer(await connector.open_tcp_stream("example.org", 443, addresses=[SIX, FOUR])) == SIX
    assert seen == [before]


class Resolver:
    """A resolver of one function."""

    def __init__(self, resolve: Callable[[Query, SendAnswer], Awaitable[None]]) -> None:
        self._resolve = resolve

    async def resolve(self, query: Query, send_answer: SendAnswer) -> None:
        """Do what the function does."""
        await self._resolve(query, send_answer)


async def test_a_resolver_that_fails_is_a_negative_answer(net: SimulatedNetwork) -> None:
    """An OSError of a resolver is what it knows of the host."""

    async def fail(query: Query, send_answer: SendAnswer) -> None:
        raise OSError(errno.EIO, "no name server")

    with pytest.raises(ResolutionError) as caught:
        await Connector(network=net, resolver=Resolver(fail)).open_tcp_stream("example.org", 443)
    assert caught.value.errno == errno.EIO


async def test_a_resolver_that_forgets_an_answer(net: SimulatedNetwork) -> None:
    """A query whose resolver returned without an answer counts as unanswered, and the race goes on."""

    async def forget(query: Query, send_answer: SendAnswer) -> None:
        send_answer(QuerySent(Source.AAAA))
        send_answer(Answer(Source.A, (Address(AF_INET, FOUR, query.port),)))

    net.host(FOUR).accepts()
    stream = await Connector(network=net, resolver=Resolver(forget)).open_tcp_stream("example.org", 443)
    assert peer(stream) == FOUR


async def test_a_limit_for_resolution(net: SimulatedNetwork, events: list[trace.Event]) -> None:
    """Addresses that came in time are tried; the silent family has failed with ETIMEDOUT."""
    net.answers("example.org", a=[FOUR], after=0.01)
    net.answers("example.org", aaaa=[], after=math.inf)
    net.host(FOUR).refuses(after=0.2)
    connector = Connector(
        network=net,
        tracer=events.append,
        policy=Policy(give_up_resolution_after=1),
        resolver=net.resolver(services=False),
    )
    with pytest.raises(ConnectRefused):
        await connector.open_tcp_stream("example.org", 443)
    assert trio.current_time() == 1
    answers = [event for event in events if isinstance(event, trace.AnswerReceived)]
    assert [(answer.source, type(answer.error)) for answer in answers] == [
        (Source.A, type(None)),
        (Source.AAAA, TimeoutError),
    ]

    net.answers("example.org", a=[], after=math.inf)
    with pytest.raises(ConnectTimeout) as caught:
        await connector.open_tcp_stream("example.org", 443)
    assert caught.value.phase is Phase.RESOLUTION


async def test_a_limit_counts_from_the_beginning_of_its_race(net: SimulatedNetwork) -> None:
    """And not from that of the clock: most races begin later."""
    await trio.sleep(100)
    net.answers("example.org", aaaa=[SIX], a=[FOUR], after=2.0)
    net.host(SIX).refuses(after=1.0)
    net.host(FOUR).accepts(after=1.0)
    policy = Policy(give_up_resolution_after=3.0, give_up_attempt_after=2.0)
    stream = await Connector(network=net, policy=policy).open_tcp_stream("example.org", 443, give_up_after=5.0)
    assert peer(stream) == FOUR

    policy = Policy(give_up_resolution_after=1.0)
    with pytest.raises(ConnectTimeout):
        await Connector(network=net, policy=policy).open_tcp_stream("example.org", 443)
    assert trio.current_time() == pytest.approx(104.25)


async def test_who_is_asked_is_told(net: SimulatedNetwork, events: list[trace.Event]) -> None:
    """The system, or the program's own hook; then each family that hurries it, AAAA first; each of them once."""
    net.answers("example.org", aaaa=[SIX], a=[FOUR], after=0.2)
    for address in (SIX, FOUR):
        net.host(address).accepts()
    connector = Connector(network=net, tracer=events.append)
    (await connector.open_tcp_stream("example.org", 443)).socket.close()
    with net.installed():
        (await Connector(tracer=events.append).open_tcp_stream("example.org", 443)).socket.close()

    asked = [event.source for event in events if isinstance(event, trace.ResolutionStarted)]
    assert asked == [Source.SYSTEM, Source.AAAA, Source.A, Source.HOOK]


@pytest.mark.parametrize(("port", "services"), [(443, True), (25, False)])
async def test_what_a_resolver_is_asked(net: SimulatedNetwork, port: int, services: bool) -> None:
    """HTTPS records are for who speaks HTTPS (RFC 9460, section 9)."""
    asked: list[Query] = []

    async def resolve(query: Query, send_answer: SendAnswer) -> None:
        asked.append(query)

    with pytest.raises(ResolutionError):
        await Connector(network=net, resolver=Resolver(resolve)).open_tcp_stream("example.org", port)
    assert asked == [Query(host="example.org", port=port, families=(AF_INET6, AF_INET), services=services)]


async def test_a_resolver_s_bug_comes_out_as_it_is(net: SimulatedNetwork) -> None:
    """A bug in a resolver is not taken for a missing name."""

    async def buggy(query: Query, send_answer: SendAnswer) -> None:
        raise ValueError("a bug")

    with pytest.raises(ValueError, match=r"^a bug"):
        await Connector(network=net, resolver=Resolver(buggy)).open_tcp_stream("example.org", 443)


async def test_addresses_of_a_family_that_is_ruled_out(net: SimulatedNetwork) -> None:
    """They are left out, and are an error only if nothing else is left."""
    net.host(FOUR).accepts()
    connector = Connector(network=net, local_address="192.0.2.77")
    stream = await connector.open_tcp_stream("example.org", 443, addresses=[SIX, FOUR])
    assert stream.socket.getsockname()[0] == "192.0.2.77"
    assert peer(stream) == FOUR
    assert SIX not in net.started

    with pytest.raises(ConnectError, match=r"^all attempts to connect") as caught:
        await connector.open_tcp_stream(SIX, 443)
    assert caught.value.errno == errno.EAFNOSUPPORT
    assert caught.value.attempts == ()


async def test_all_that_was_ruled_out_is_told(net: SimulatedNetwork) -> None:
    async def resolve(query: Query, send_answer: SendAnswer) -> None:
        send_answer(QuerySent(Source.A))
        for host in (FOUR, "192.0.2.2"):
            send_answer(Answer(Source.A, (Address(AF_INET, host, 443),)))

    connector = Connector(network=net, policy=Policy(families=(AF_INET6,)), resolver=Resolver(resolve))
    with pytest.raises(ConnectError) as caught:
        await connector.open_tcp_stream("example.org", 443)
    assert isinstance(caught.value.__cause__, ExceptionGroup)
    reasons = list(map(str, caught.value.__cause__.exceptions))
    assert [host in reason for host, reason in zip((FOUR, "192.0.2.2"), reasons, strict=True)] == [True, True]


def over_dns(*later: tuple[float, Answer], encrypted: bool = True) -> Resolver:
    """A resolver of DNS: the AAAA answer at once, and then what is said, so much later."""

    async def resolve(query: Query, send_answer: SendAnswer) -> None:
        send_answer(QuerySent(Source.HTTPS, encrypted=encrypted))
        send_answer(QuerySent(Source.AAAA))
        send_answer(Answer(Source.AAAA, (Address(AF_INET6, SIX, query.port),)))
        for seconds, answer in later:
            await trio.sleep(seconds)
            send_answer(answer)

    return Resolver(resolve)


async def test_services_withheld_from_protected_dns_end_the_race(net: SimulatedNetwork) -> None:
    """Version 3, 6.3: where they cannot be had, all attempts "SHOULD" be abandoned: somebody may be on the way."""
    failed = (0.2, Answer(Source.HTTPS, error=socket.gaierror(socket.EAI_AGAIN, "SERVFAIL")))
    with pytest.raises(ResolutionError, match=r"^services could not be resolved over encrypted DNS") as caught:
        await Connector(network=net, resolver=over_dns(failed)).open_tcp_stream("example.org", 443)
    assert trio.current_time() == 0.2
    assert [attempt.started for attempt in caught.value.attempts] == [0.05]
    assert (caught.value.host, caught.value.port) == ("example.org", 443)
    assert net.open_sockets == 0


async def test_services_withheld_where_dns_is_in_the_clear_end_nothing(net: SimulatedNetwork) -> None:
    """Whoever is on the way could have changed the addresses as well."""
    net.host(SIX).accepts(after=0.1)
    failed = (0.02, Answer(Source.HTTPS, error=socket.gaierror(socket.EAI_AGAIN, "SERVFAIL")))
    connector = Connector(network=net, resolver=over_dns(failed, encrypted=False))
    assert peer(await connector.open_tcp_stream("example.org", 443)) == SIX


async def test_addresses_withheld_from_protected_dns_end_nothing(net: SimulatedNetwork) -> None:
    """Nothing is less safe without them."""
    net.host(SIX).accepts()
    failed = (0.02, Answer(Source.A, error=socket.gaierror(socket.EAI_AGAIN, "SERVFAIL")))
    connector = Connector(network=net, resolver=over_dns(failed, (0.01, Answer(Source.HTTPS))))
    assert peer(await connector.open_tcp_stream("example.org", 443)) == SIX


async def test_services_withheld_from_who_asks_for_none_are_no_loss(net: SimulatedNetwork) -> None:
    """Who does not speak HTTPS has lost nothing with its records."""
    net.host(SIX).accepts()
    failed = (0.02, Answer(Source.HTTPS, error=socket.gaierror(socket.EAI_AGAIN, "SERVFAIL")))
    connector = Connector(network=net, resolver=over_dns(failed))
    assert peer(await connector.open_tcp_stream("example.org", 25)) == SIX


async def test_silence_is_told_with_its_name(net: SimulatedNetwork, events: list[trace.Event]) -> None:
    """What was asked for and never answered, when the resolver has returned."""

    async def resolve(query: Query, send_answer: SendAnswer) -> None:
        send_answer(QuerySent(Source.AAAA))
        send_answer(QuerySent(Source.A, "cdn.example"))

    connector = Connector(network=net, resolver=Resolver(resolve), tracer=events.append)
    with pytest.raises(ConnectTimeout):
        await connector.open_tcp_stream("example.org", 443)

    answers = [event for event in events if isinstance(event, trace.AnswerReceived)]
    assert sorted((answer.source.value, answer.name, str(answer.error)) for answer in answers) == [
        ("A", "cdn.example", f"[Errno {errno.ETIMEDOUT}] Connection timed out: no answer for A of cdn.example"),
        ("AAAA", "", f"[Errno {errno.ETIMEDOUT}] Connection timed out: no answer for AAAA of example.org"),
    ]


async def test_each_attempt_says_why_it_began(net: SimulatedNetwork, events: list[trace.Event]) -> None:
    addresses = [f"192.0.2.{number}" for number in range(1, 6)]
    net.host(addresses[1]).refuses(after=0.1)
    net.host(addresses[2]).unreachable()
    net.host(addresses[4]).accepts(after=0.1)
    connector = Connector(network=net, tracer=events.append)

    assert peer(await connector.open_tcp_stream("example.org", 443, addresses=addresses)) == addresses[4]

    reasons = [(event.reason, event.time) for event in events if isinstance(event, trace.AttemptStarted)]
    assert reasons == [
        (trace.Reason.FIRST, 0.0),
        (trace.Reason.DELAY_OVER, 0.25),
        (trace.Reason.PREDECESSOR_FAILED, pytest.approx(0.35)),
        (trace.Reason.PREDECESSOR_FAILED, pytest.approx(0.35)),
        (trace.Reason.DELAY_OVER, pytest.approx(0.60)),
    ]


async def test_a_delay_that_grows(net: SimulatedNetwork) -> None:
    """The delay is multiplied for each attempt that is under way already: 50, 100 and 200 ms from 50 and 2."""
    addresses = [f"192.0.2.{number}" for number in range(1, 6)]
    connector = Connector(network=net, policy=Policy(attempt_delay=0.05, attempt_delay_multiplier=2))
    with trio.move_on_after(1):
        await connector.open_tcp_stream("example.org", 443, addresses=addresses)
    assert list(net.started.values()) == pytest.approx([0.0, 0.05, 0.15, 0.35, 0.75])


@pytest.mark.parametrize(("refused", "asked"), [(None, 2.0), (0.04, 0.04)])
async def test_ipv4_is_the_last_resort_where_there_is_none(refused: float | None, asked: float) -> None:
    """Section 7.2: when the last attempt has had two seconds, or failed, ask for A and go through the NAT64."""
    net = SimulatedNetwork(ipv4=False)
    net.answers("example.org", aaaa=[SIX], a=[FOUR])
    if refused is not None:
        net.host(SIX).refuses(after=refused)
    net.host("64:ff9b::c000:201").accepts(after=0.1)

    connector = Connector(
        network=net,
        nat64="64:ff9b::/96",
        policy=Policy(last_resort_delay=2.0),
        resolver=net.resolver(services=False),
    )
    stream = await connector.open_tcp_stream("example.org", 443)

    assert peer(stream) == "64:ff9b::c000:201"
    assert [(time, source) for time, source, _ in net.queries] == [(0.0, Source.AAAA), (asked, Source.A)]


async def test_the_last_resort_waits_for_the_latest_attempt() -> None:
    net = SimulatedNetwork(ipv4=False)
    net.answers("example.org", aaaa=[SIX, "2001:db8::2"], a=[FOUR])
    net.host("64:ff9b::c000:201").accepts(after=0.1)
    policy, resolver = Policy(last_resort_delay=2.0), net.resolver(services=False)
    connector = Connector(network=net, nat64="64:ff9b::/96", policy=policy, resolver=resolver)

    assert peer(await connector.open_tcp_stream("example.org", 443)) == "64:ff9b::c000:201"
    assert [time for time, source, _ in net.queries if source is Source.A] == [2.25]


async def test_of_several_hosts_the_one_that_was_reached_must_have_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    net, verified = SimulatedNetwork(), []
    net.answers("one.example", a=["192.0.2.1"])
    net.answers("other.example", a=["192.0.2.2"])
    net.host("192.0.2.1").refuses()
    net.host("192.0.2.2").accepts()

    async def shake_hands(stream: trio.SocketStream, *, server_hostname: str, **_: object) -> trio.SocketStream:
        verified.append((stream.socket.getpeername()[0], server_hostname))
        return stream

    monkeypatch.setattr("trio_nbconnect._connect.tls.shake_hands", shake_hands)
    hosts = [("one.example", 443), ("other.example", 443)]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    stream: Any = await Connector(network=net).open_tls_stream(hosts, ssl_context=context)
    stream.socket.close()

    assert verified == [("192.0.2.2", "other.example")]


@pytest.mark.parametrize("knows_all", [True, False])
async def test_what_a_resolver_knows_at_once_needs_no_task(net: SimulatedNetwork, knows_all: bool) -> None:
    """If that is all; otherwise it is asked for the rest beside the attempts."""
    net.host(SIX).accepts(after=0.1)
    asked: list[tuple[str, tuple[int, ...]]] = []

    class Remembers:
        def resolve_nowait(self, query: Query, send_answer: SendAnswer) -> bool:
            asked.append(("at once", query.families))
            send_answer(QuerySent(Source.AAAA))
            send_answer(Answer(Source.AAAA, (Address(AF_INET6, SIX, query.port),)))
            return knows_all

        async def resolve(self, query: Query, send_answer: SendAnswer) -> None:
            asked.append(("beside", query.families))
            await trio.sleep_forever()

    tasks = CountTasks()
    trio.lowlevel.add_instrument(tasks)
    assert peer(await Connector(network=net, resolver=Remembers()).open_tcp_stream("example.org", 443)) == SIX
    trio.lowlevel.remove_instrument(tasks)

    both = (AF_INET6, AF_INET)
    assert asked == ([("at once", both)] if knows_all else [("at once", both), ("beside", both)])
    assert tasks.spawned == (0 if knows_all else 2)
    assert net.started == {SIX: 0.0}


async def test_what_a_resolver_knows_at_once_is_no_last_resort() -> None:
    """IPv6 alone is asked for first, also where both families are remembered."""

    class Remembers:
        asked: ClassVar[list[tuple[int, ...]]] = []

        def resolve_nowait(self, query: Query, send_answer: SendAnswer) -> bool:
            pytest.fail("it would tell both families")

        async def resolve(self, query: Query, send_answer: SendAnswer) -> None:
            self.asked.append(query.families)
            await trio.lowlevel.checkpoint()

    connector = Connector(
        network=SimulatedNetwork(ipv4=False),
        nat64="64:ff9b::/96",
        policy=Policy(last_resort_delay=2.0),
        resolver=Remembers(),
    )
    with trio.move_on_after(5):
        await connector.open_tcp_stream("example.org", 443)

    assert Remembers.asked == [(socket.AF_INET6,)]


async def test_what_was_ruled_out_is_not_told_beside_what_was_tried(net: SimulatedNetwork) -> None:
    net.host(SIX).refuses()
    with pytest.raises(ConnectRefused) as caught:
        await Connector(network=net, policy=Policy(families=(AF_INET6,))).open_tcp_stream(
            "example.org", 443, addresses=[SIX, FOUR]
        )
    assert isinstance(caught.value.__cause__, ExceptionGroup)
    assert caught.value.__cause__.exceptions == (caught.value.attempts[0].error,)


async def test_what_is_reached_through_a_translator_has_a_history() -> None:
    """It is that of the address that was found, by which the next race asks."""
    net = SimulatedNetwork(ipv4=False)
    net.host("64:ff9b::c000:201").accepts(after=0.2)
    told: list[trace.Event] = []
    history = History(explore_every=math.inf)
    connector = Connector(network=net, nat64="64:ff9b::/96", history=history, tracer=told.append)
    for _ in range(2):
        (await connector.open_tcp_stream("192.0.2.1", 443)).socket.close()
    delays = [(event.delay, event.delay_from.name) for event in told if isinstance(event, trace.AttemptStarted)]
    assert delays == [(0.25, "POLICY"), (pytest.approx(0.6), "HISTORY")]
    view = history.view(wall_clock())
    assert view is not None
    assert view.used(Address(AF_INET, FOUR, 443))


async def test_the_last_resort_is_asked_for_when_all_attempts_have_failed() -> None:
    """Also while an answer is due: hints were tried, and in vain."""
    net = SimulatedNetwork(ipv4=False)
    net.host(SIX).refuses(after=0.1)
    net.host("64:ff9b::c000:201").accepts()
    asked: list[tuple[float, tuple[int, ...]]] = []

    async def resolve(query: Query, send_answer: SendAnswer) -> None:
        asked.append((trio.current_time(), query.families))
        if AF_INET in query.families:
            send_answer(QuerySent(Source.A))
            send_answer(Answer(Source.A, (Address(AF_INET, FOUR, 443),)))
            return
        send_answer(QuerySent(Source.HTTPS))
        send_answer(QuerySent(Source.AAAA))
        hint = Address(AF_INET6, SIX, 443)
        send_answer(Answer(Source.HTTPS, services=(Service(priority=1, target="cdn.example", hints=(hint,)),)))
        await trio.sleep_forever()

    policy = Policy(last_resort_delay=2.0)
    connector = Connector(network=net, nat64="64:ff9b::/96", policy=policy, resolver=Resolver(resolve))

    assert peer(await connector.open_tcp_stream("example.org", 443)) == "64:ff9b::c000:201"
    assert asked == [(0.0, (AF_INET6,)), (0.1, (AF_INET,))]


async def test_the_last_resort_is_asked_for_when_nothing_was_found() -> None:
    """Section 7.2: with no IPv6 address at all there is no attempt to wait for."""
    net = SimulatedNetwork(ipv4=False)
    net.answers("example.org", aaaa=[], after=0.1)
    net.answers("example.org", a=[FOUR], after=0.1)
    net.host("64:ff9b::c000:201").accepts(after=0.1)
    events: list[trace.Event] = []
    connector = Connector(
        network=net,
        nat64="64:ff9b::/96",
        policy=Policy(last_resort_delay=2.0),
        resolver=net.resolver(services=False),
        tracer=events.append,
    )

    assert peer(await connector.open_tcp_stream("example.org", 443)) == "64:ff9b::c000:201"

    assert [(time, source) for time, source, _ in net.queries] == [(0.0, Source.AAAA), (0.1, Source.A)]
    asked = [event.source for event in events if isinstance(event, trace.ResolutionStarted)]
    assert asked == [Source.AAAA, Source.A]


@pytest.mark.parametrize("asks", [True, False])
async def test_the_last_resort_is_asked_for_when_the_resolver_has_failed(asks: bool) -> None:
    """Also in the middle of its work; and what it has failed with each time is told."""

    async def resolve(query: Query, send_answer: SendAnswer) -> None:
        if asks:
            send_answer(QuerySent(Source.AAAA))
        raise OSError("no A" if AF_INET in query.families else "no AAAA")

    policy, net = Policy(last_resort_delay=2.0), SimulatedNetwork(ipv4=False)
    connector = Connector(network=net, nat64="64:ff9b::/96", policy=policy, resolver=Resolver(resolve))
    with pytest.raises(ResolutionError) as caught:
        await connector.open_tcp_stream("example.org", 443, give_up_after=5)
    assert trio.current_time() == 0.0
    assert isinstance(caught.value.__cause__, ExceptionGroup)
    assert [str(error) for error in caught.value.__cause__.exceptions][-2:] == ["no AAAA", "no A"]


@pytest.mark.parametrize(("aaaa", "asked"), [([SIX], 2.05), ([], 0.0)])
async def test_the_last_resort_waits_for_no_services(aaaa: list[str], asked: float) -> None:
    """A name server, or a middlebox, that is silent about HTTPS records says nothing about addresses."""
    net = SimulatedNetwork(ipv4=False)
    net.answers("example.org", aaaa=aaaa, a=[FOUR])
    net.answers("example.org", https=[], after=math.inf)
    net.host("64:ff9b::c000:201").accepts(after=0.1)
    policy, resolver = Policy(last_resort_delay=2.0), net.resolver(services=True)
    connector = Connector(network=net, nat64="64:ff9b::/96", policy=policy, resolver=resolver)

    assert peer(await connector.open_tcp_stream("example.org", 443)) == "64:ff9b::c000:201"
    assert [time for time, source, _ in net.queries if source is Source.A] == [pytest.approx(asked)]


# Many addresses


def refusing(net: SimulatedNetwork, many: int) -> list[str]:
    """Return the addresses of so many hosts that refuse."""
    addresses = [f"198.51.{number >> 8}.{number & 255}" for number in range(many)]
    for address in addresses:
        net.host(address).refuses()
    return addresses


async def test_an_answer_of_thousands_is_cut(net: SimulatedNetwork, events: list[trace.Event]) -> None:
    """Whoever answers, 128 of each family count: their owner would have this host send SYNs to whomever he names."""
    addresses = [Address(AF_INET, host, 443) for host in refusing(net, 3000)]

    async def resolve(query: Query, send_answer: SendAnswer) -> None:
        send_answer(QuerySent(Source.A))
        send_answer(Answer(Source.A, tuple(addresses)))

    connector = Connector(network=net, resolver=Resolver(resolve), tracer=events.append)
    with pytest.raises(ConnectRefused) as caught:
        await connector.open_tcp_stream("example.org", 443)
    assert [address for _, address in net.connects] == addresses[:128]
    assert len(caught.value.attempts) == 128
    (answer,) = (event for event in events if isinstance(event, trace.AnswerReceived))
    assert list(answer.addresses) == addresses[:128]


async def test_a_hook_s_thousands_are_cut(net: SimulatedNetwork) -> None:
    net.answers("example.org", a=refusing(net, 1000), aaaa=[SIX])
    net.host(SIX).refuses()
    with net.installed(), pytest.raises(ConnectRefused) as caught:
        await Connector().open_tcp_stream("example.org", 443)
    assert len(caught.value.attempts) == 129


async def test_a_thousand_addresses_of_the_caller_s_are_all_tried(net: SimulatedNetwork) -> None:
    addresses = refusing(net, 1000)
    net.host(addresses[-1]).accepts()
    stream = await Connector(network=net).open_tcp_stream("example.org", 443, addresses=addresses)
    assert peer(stream) == addresses[-1]
    assert [address.host for _, address in net.connects] == addresses


@pytest.mark.parametrize(("host", "many"), [("host", 1000), ("example.org", 128)])
async def test_failures_at_once_can_be_cancelled(host: str, many: int) -> None:
    """Each attempt that sent no packet is a checkpoint, given or found: no race keeps the others waiting."""
    net = SimulatedNetwork()
    addresses = refusing(net, many)
    for address in addresses:
        net.host(address).unreachable()
    net.answers("example.org", a=addresses)
    tried: list[trace.Event] = []

    def tracer(event: trace.Event) -> None:
        if isinstance(event, trace.AttemptFailed):
            tried.append(event)

    async def cancel_after_ten(scope: trio.CancelScope) -> None:
        while len(tried) < 10:
            await trio.lowlevel.checkpoint()
        scope.cancel()

    connector = Connector(network=net, tracer=tracer, resolver=net.resolver(services=False))
    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as scope:
            nursery.start_soon(cancel_after_ten, scope)
            await connector.open_tcp_stream(host, 443, addresses=addresses if host == "host" else None)
    assert scope.cancelled_caught
    assert 10 <= len(tried) <= 12
    assert net.open_sockets == 0


# Any network at all


@pytest.mark.parametrize("seed", range(60))
async def test_whatever_the_network_does(seed: int) -> None:
    """Random hosts, delays and a random cancellation: one outcome, and nothing left behind."""
    rng = random.Random(seed)
    net = _random_network(rng)
    events: list[trace.Event] = []
    connector = Connector(network=net, tracer=events.append, policy=Policy(attempt_delay=rng.choice([0.05, 0.25])))
    stream = None
    with trio.move_on_after(rng.choice([0.1, 0.4, 2.0, 100.0])):
        with contextlib.suppress(ConnectError):
            stream = await connector.open_tcp_stream("example.org", 443, give_up_after=rng.choice([0.3, 50.0]))
    assert net.open_sockets == (stream is not None)
    if stream is not None:
        stream.socket.close()
    outcomes = (trace.AttemptEstablished, trace.AttemptFailed, trace.AttemptCancelled)
    started = [event.attempt for event in events if isinstance(event, trace.AttemptStarted)]
    assert sorted(event.attempt for event in events if isinstance(event, outcomes)) == started
    assert [type(event) for event in events].count(trace.RaceStarted) == 1
    assert isinstance(events[-1], trace.RaceLost if stream is None else trace.RaceWon)
    sent = [time for time, _ in net.connects]
    assert all(later - earlier > 0.0099 for earlier, later in pairwise(sent))


@pytest.mark.parametrize("seed", range(20))
async def test_one_more_slow_address_never_breaks_a_race(seed: int) -> None:
    """A delay is no limit: whatever else a host has, its one slow address that works is reached."""
    rng = random.Random(seed)
    net = _random_network(rng)
    net.host("192.0.2.99").accepts(after=rng.uniform(0.0, 30.0))
    addresses = [f"192.0.2.{number}" for number in range(1, 9)]
    addresses.insert(rng.randrange(9), "192.0.2.99")
    stream = await Connector(network=net).open_tcp_stream("example.org", 443, addresses=addresses)
    stream.socket.close()


def _random_network(rng: random.Random) -> SimulatedNetwork:
    net = SimulatedNetwork()
    deeds = ["accepts", "refuses", "resets", "drops", "unreachable", "unreachable"]
    hosts = {AF_INET: [f"192.0.2.{n}" for n in range(1, 9)], AF_INET6: [f"2001:db8::{n}" for n in range(1, 9)]}
    for address in hosts[AF_INET] + hosts[AF_INET6]:
        deed = rng.choice(deeds)
        keywords = {} if deed == "drops" else {"after": rng.uniform(0.001, 0.6)}
        getattr(net.host(address), deed)(**keywords)
    aaaa, a = (rng.sample(hosts[family], rng.randrange(0, 6)) for family in (AF_INET6, AF_INET))
    net.answers("example.org", aaaa=aaaa, after=rng.choice([0.0, 0.03, 0.2, math.inf]))
    net.answers("example.org", a=a, after=rng.choice([0.001, 0.04, 0.21]))
    return net


class Jumpy(SimulatedNetwork):
    """A network whose first wait for readiness ends at once, with nothing to see."""

    wakings = 0

    async def wait_writable(self, sock: Any) -> None:
        self.wakings += 1
        if self.wakings == 1:
            await trio.lowlevel.checkpoint()
        else:
            await super().wait_writable(sock)


async def test_woken_too_early_the_race_goes_on() -> None:
    """Nobody but the one attempt runs, so that the calling task waits for it; it looks, and waits again."""
    net, told = Jumpy(), list[trace.Event]()
    net.host(FOUR).accepts(after=1.0)

    async with await Connector(network=net, tracer=told.append).open_tcp_stream(FOUR, 443):
        assert trio.current_time() == pytest.approx(1.0, abs=0.002)

    assert net.wakings == 2
    assert [type(event) for event in told if not isinstance(event, trace.AnswerReceived)] == [
        trace.RaceStarted,
        trace.AttemptStarted,
        trace.AttemptConnected,
        trace.AttemptEstablished,
        trace.RaceWon,
    ]


async def test_a_handshake_is_not_looked_at_because_the_next_is_due(
    net: SimulatedNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What ICMP has said meanwhile stands in `SO_ERROR`, though the handshake may succeed; reading it would end it."""
    asked, read = [], SimulatedSocket.getsockopt

    def getsockopt(self: SimulatedSocket, level: int, option: int, /) -> int:
        asked.append((trio.current_time(), option))
        return read(self, level, option)

    monkeypatch.setattr(SimulatedSocket, "getsockopt", getsockopt)
    net.host(SIX).accepts(after=0.4)
    net.host(FOUR).drops()

    async with await Connector(network=net).open_tcp_stream("host", 443, addresses=[SIX, FOUR]):
        assert net.started == {SIX: 0.0, FOUR: 0.25}

    ((at, option),) = asked
    assert at == pytest.approx(0.4)
    assert option == socket.SO_ERROR


@pytest.mark.parametrize("reaction", ["refuses", "drops"])
@pytest.mark.parametrize(("gap", "begins"), [(0.01, 0.4), (0.5, 0.57)])
async def test_an_attempt_that_had_to_wait_for_its_address_says_so(
    reaction: str, gap: float, begins: float, net: SimulatedNetwork
) -> None:
    """Neither a failure long ago nor a delay that has long been over is why it began, nor the gap that came on top."""
    told: list[trace.Event] = []
    net.answers("example.org", aaaa=[SIX], after=0.4)
    net.answers("example.org", a=[FOUR], after=0.02)
    getattr(net.host(FOUR), reaction)()
    net.host(SIX).accepts(after=0.05)

    connector = Connector(network=net, resolver=net.resolver(), tracer=told.append, policy=Policy(minimum_gap=gap))
    async with await connector.open_tcp_stream("example.org", 80):
        pass

    started = [event for event in told if isinstance(event, trace.AttemptStarted)]
    assert [event.time for event in started] == pytest.approx([0.07, begins])
    assert [event.reason for event in started] == [trace.Reason.RESOLUTION_DELAY_OVER, trace.Reason.ADDRESS_CAME]
