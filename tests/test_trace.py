"""Trace: who is told, how races are counted, and that a tracer can do no harm."""

from __future__ import annotations

import dataclasses
import errno
import functools
import inspect
import logging
import pickle
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, get_args

import pytest
import structlog
import trio
from trio.testing import MockClock

from trio_nbconnect import (
    Address,
    Answer,
    ConnectError,
    Connector,
    ConnectTimeout,
    Phase,
    Policy,
    QuerySent,
    Service,
    Source,
    record,
    trace,
)
from trio_nbconnect._address import IPV4
from trio_nbconnect._listening import listening, proxy_for
from trio_nbconnect._race.journal import journal
from trio_nbconnect.testing import SimulatedNetwork

ADDRESS = Address(IPV4, "192.0.2.1", 443)


class Broken:
    """A tracer that raises, and counts how often it was asked to."""

    def __init__(self, error: BaseException) -> None:
        self.error = error
        self.calls = 0

    def __call__(self, event: trace.Event) -> None:
        self.calls += 1
        raise self.error


@contextmanager
def listener(*tracers: trace.Tracer) -> Iterator[None]:
    """Let these tracers hear what begins in the block."""
    token = listening.set(tracers)
    try:
        yield
    finally:
        listening.reset(token)


async def test_a_tracer_is_told_what_happened_and_when(autojump_clock: MockClock) -> None:
    """The time is that of Trio's clock."""
    events: list[trace.Event] = []
    ours = journal(events.append)
    began = trio.current_time()

    ours.race_started("example.org", 443, Policy(), at=0.0)
    await trio.sleep(0.25)
    ours.attempt_started(1, ADDRESS, "FIRST")

    one: dict[str, Any] = {"race": events[0].race, "host": "example.org", "port": 443}
    assert events == [
        trace.RaceStarted(time=began, policy=Policy(), **one),
        trace.AttemptStarted(time=began + 0.25, attempt=1, address=ADDRESS, reason=trace.Reason.FIRST, **one),
    ]


async def test_events_hold_all_that_is_known() -> None:
    events: list[Any] = []
    ours = journal(events.append)
    service = Service(priority=1, target="cdn.example", alpn=("h2",))
    answer = Answer(Source.HTTPS, (ADDRESS,), name="cdn.example", services=(service,), server="192.0.2.53:53", ttl=30.0)
    failure = OSError(errno.ECONNREFUSED, "refused")
    token = proxy_for.set("example.com:443")
    try:
        ours.race_started("example.org", 443, Policy(), at=1.0)
    finally:
        proxy_for.reset(token)
    ours.query_sent(QuerySent(Source.HTTPS, name="cdn.example"))
    ours.answer_received(answer)
    ours.answer_received(Answer(Source.A, error=failure))
    ours.attempt_started(1, ADDRESS, "ADDRESS_CAME", 0.3, "HISTORY", at=2.0)
    ours.attempt_connected(1, ADDRESS, Phase.TLS, 3, at=3.0)
    ours.attempt_failed(1, ADDRESS, failure, 4, at=4.0)
    ours.attempt_cancelled(2, ADDRESS, 5, at=5.0)
    ours.attempt_established(3, ADDRESS)

    started, query, services, error, began, connected, failed, cancelled, established = events
    assert [event.time for event in (started, began, connected, failed, cancelled)] == [1, 2, 3, 4, 5]
    assert (started.host, started.port, started.policy) == ("example.org", 443, Policy())
    assert started.proxy_for == "example.com:443"
    assert (query.source, query.name) == (Source.HTTPS, "cdn.example")
    for name in ("source", "addresses", "error", "name", "services", "server", "ttl"):
        assert getattr(services, name) == getattr(answer, name)
    assert error.error is failure
    assert (began.reason, began.delay, began.delay_from) == (trace.Reason.ADDRESS_CAME, 0.3, trace.DelaySource.HISTORY)
    assert (connected.next_phase, connected.syn_retransmissions) == (Phase.TLS, 3)
    assert (failed.error, failed.syn_retransmissions, cancelled.syn_retransmissions) == (failure, 4, 5)
    assert [event.attempt for event in (began, connected, failed, cancelled, established)] == [1, 1, 1, 2, 3]
    assert all(event.address == ADDRESS for event in (began, connected, failed, cancelled, established))


async def test_an_order_is_told_when_it_is_another_one() -> None:
    """And not with each answer that leaves it as it is."""
    events: list[Any] = []
    ours = journal(events.append)
    one, other = [
        {"address": Address(IPV4, f"192.0.2.{number}", 443), "source": Source.A, "placed_by": "order"}
        for number in (1, 2)
    ]

    for rows in ([one], [one, other], [one, other], [other, one], [other, one], []):
        ours.candidates_sorted(rows)

    told = [[row.address for row in event.candidates] for event in events]
    assert told == [[one["address"], other["address"]], [other["address"], one["address"]]]


def test_without_a_tracer_nothing_is_built() -> None:
    """No clock is read: this test has none."""
    ours = journal(None)

    ours.race_started("example.org", 443, Policy(), at=0.0)
    ours.query_sent(QuerySent(Source.AAAA))
    ours.answer_received(Answer(Source.AAAA))
    ours.attempt_started(1, ADDRESS, "FIRST")
    ours.attempt_connected(1, ADDRESS, None)
    ours.attempt_established(1, ADDRESS)
    ours.attempt_failed(1, ADDRESS, OSError())
    ours.attempt_cancelled(1, ADDRESS)
    ours.runner_up_discarded(1, ADDRESS)
    ours.race_lost(None)
    ours.race_won(1, ADDRESS)


def test_races_are_numbered_in_the_process_and_know_their_run() -> None:
    """Those that nobody listens to do not count."""
    events: list[trace.Event] = []

    async def two_races() -> None:
        for _ in range(2):
            journal(events.append).race_started("example.org", 443, Policy(), at=0.0)
            journal(None).race_started("example.org", 443, Policy(), at=0.0)

    trio.run(two_races)
    trio.run(two_races)

    first, second = events[0], events[2]
    assert [event.race - first.race for event in events] == [0, 1, 2, 3]
    assert isinstance(first, trace.RaceStarted)
    assert isinstance(second, trace.RaceStarted)
    assert second.run == first.run + 1
    assert [event.run for event in events if isinstance(event, trace.RaceStarted)] == [first.run] * 2 + [second.run] * 2


async def test_who_listened_when_the_race_began_is_told_after_its_own_tracer() -> None:
    told: list[str] = []

    with listener(lambda _: told.append("listener"), lambda _: told.append("second")):
        heard = journal(lambda _: told.append("own"))
        unowned = journal(None)
    heard.race_lost(None)
    unowned.race_lost(None)
    journal(lambda _: told.append("later")).race_lost(None)

    assert told == ["own", "listener", "second", "listener", "second", "later"]


async def test_a_tracer_that_raises_is_logged_and_off(caplog: pytest.LogCaptureFixture) -> None:
    """The others go on; what raised is off for this race, not for the next one."""
    events: list[trace.Event] = []
    broken = Broken(OSError("the disk is full"))
    with listener(events.append):
        ours = journal(broken)

    with caplog.at_level(logging.ERROR, "trio_nbconnect"):
        ours.attempt_cancelled(1, ADDRESS)
        ours.race_lost(None)

    assert broken.calls == 1
    assert len(events) == 2
    (record,) = caplog.records
    assert record.name == "trio_nbconnect"
    assert record.getMessage() == f"tracer {broken!r} raised; it is off for this race"
    assert record.exc_info is not None
    assert record.exc_info[1] is broken.error

    journal(broken).race_lost(None)
    assert broken.calls == 2


async def test_to_look_at_the_connection_takes_no_time_of_the_race(autojump_clock: MockClock) -> None:
    events: list[trace.Event] = []

    def inspect() -> dict[str, Any]:
        autojump_clock.jump(5)
        return {}

    journal(events.append).race_won(1, Address.parse("192.0.2.1:443"), inspect)
    assert (events[0].time, trio.current_time()) == (0, 5)


async def test_ctrl_c_in_a_tracer_is_ctrl_c() -> None:
    ours = journal(Broken(KeyboardInterrupt()))

    with pytest.raises(KeyboardInterrupt):
        ours.race_lost(None)


def events_of(module: object) -> set[type]:
    """Every public event class of the module."""
    return {
        kind
        for name, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, trace._Happened) and not name.startswith("_")
    }


def test_the_set_of_events_is_closed() -> None:
    assert events_of(trace) == set(get_args(trace.Event))


@pytest.mark.parametrize("kind", get_args(trace.Event))
def test_an_event_is_a_frozen_fact(kind: type) -> None:
    """Frozen, keyword-only, with a sentence, its race and its time."""
    assert dataclasses.is_dataclass(kind)
    fields = dataclasses.fields(kind)
    assert [field.name for field in fields][:2] == ["race", "time"]
    assert all(field.kw_only for field in fields)
    assert kind.__doc__ is not None
    assert kind.__doc__.rstrip().endswith(".")
    event = kind(**dict.fromkeys((field.name for field in fields), 1))
    with pytest.raises(dataclasses.FrozenInstanceError):
        event.time = 2  # type: ignore[attr-defined]  # every event has one, as was just asserted
    assert not hasattr(event, "__dict__")


def test_an_event_pickles() -> None:
    event = trace.AnswerReceived(race=1, time=0.5, source=Source.A, addresses=(ADDRESS,), error=None)

    assert pickle.loads(pickle.dumps(event)) == event


# Listening to a block, or to a program


async def test_a_listener_gets_the_events_of_a_block_and_its_tasks() -> None:
    events: list[trace.Event] = []

    async def race() -> None:
        journal(None).race_lost(None)

    with trace.listen(events.append):
        await race()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(race)
    await race()

    assert [event.race - events[0].race for event in events] == [0, 1]


def test_a_listener_of_a_program_has_start_and_stop() -> None:
    """In each of its runs, and in what they start."""
    events: list[trace.Event] = []

    async def race() -> None:
        journal(None).race_lost(None)

    listener = trace.listen(events.append).start()
    trio.run(race)
    trio.run(race)
    listener.stop()
    trio.run(race)

    assert len(events) == 2
    listener.stop()  # which does nothing now


def test_listeners_may_end_in_any_order() -> None:
    first, second = trace.listen(print).start(), trace.listen(repr).start()

    first.stop()
    assert listening.get() == (repr,)
    second.stop()
    assert listening.get() == ()


async def asynchronous(event: trace.Event) -> None:
    raise AssertionError


def generator(event: trace.Event) -> Iterator[trace.Event]:
    yield event


class Asynchronous:
    """An object that is called as an async function."""

    async def __call__(self, event: trace.Event) -> None:
        raise AssertionError

    def __repr__(self) -> str:
        return "Asynchronous()"


@pytest.mark.parametrize(
    "tracer", [None, 5, "print", asynchronous, generator, Asynchronous(), functools.partial(asynchronous)]
)
def test_what_cannot_be_a_tracer_is_a_type_error(tracer: object) -> None:
    with pytest.raises(TypeError) as caught:
        trace.listen(tracer)  # type: ignore[arg-type]  # that is the point

    assert str(caught.value) == f"tracer must be a callable that is not async, not {tracer!r}"


def test_a_connector_checks_its_tracer() -> None:
    with pytest.raises(TypeError, match=r"^tracer must be a callable that is not async, not <function asynchronous at"):
        Connector(tracer=asynchronous)


async def test_events_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    """With their facts; what comes from outside is escaped, and the level says what matters."""
    caplog.set_level(logging.DEBUG, "connections")

    with trace.log_to(logging.getLogger("connections")):
        ours = journal(None)
    ours.race_started("evil.example\n\x1b[31m", 443, Policy(), at=trio.current_time())
    ours.attempt_started(1, ADDRESS, "FIRST", 0.25, "HISTORY")
    ours.answer_received(Answer(Source.A, (ADDRESS, ADDRESS), error=OSError("odd\n")))
    ours.attempt_connected(1, ADDRESS, None)
    ours.race_won(1, ADDRESS)

    assert all(r", evil.example\n\x1b[31m:443, " in record.getMessage() for record in caplog.records)
    assert [(record.levelname, record.getMessage().partition(" ms: ")[2]) for record in caplog.records] == [
        ("DEBUG", "RaceStarted"),
        ("DEBUG", "AttemptStarted, attempt 1, address 192.0.2.1:443, reason first, delay 0.25, delay_from history"),
        ("DEBUG", r"AnswerReceived, source A, addresses 192.0.2.1:443 192.0.2.1:443, error odd\n"),
        ("DEBUG", "AttemptConnected, attempt 1, address 192.0.2.1:443"),
        ("INFO", "RaceWon, attempt 1, address 192.0.2.1:443"),
    ]


def test_the_time_in_a_log_counts_from_the_race_s_beginning(caplog: pytest.LogCaptureFixture) -> None:
    """Also in a second run, which has another clock."""
    caplog.set_level(logging.INFO, "connections")

    async def race(began: float) -> None:
        await trio.sleep(began)
        ours = journal(None)
        ours.race_started("h", 443, Policy(), at=trio.current_time())
        await trio.sleep(0.25)
        ours.race_won(1, ADDRESS)

    with trace.log_to(logging.getLogger("connections")):
        for began in (1, 10):
            trio.run(race, began, clock=MockClock(autojump_threshold=0))
    assert [record.getMessage().partition(" ms: ")[0].split(", ")[1:] for record in caplog.records] == [
        ["h:443", "250.0"]
    ] * 2


def test_a_connection_is_all_unless_it_says_what_follows() -> None:
    assert trace.AttemptConnected(race=1, time=0.0, attempt=1, address=ADDRESS).next_phase is None


async def test_structlog_is_a_logger_too() -> None:
    with structlog.testing.capture_logs() as logs, trace.log_to(structlog.get_logger()):
        ours = journal(None)
        ours.race_started("example.org", 443, Policy(), at=trio.current_time())
        ours.race_lost(None)

    assert [log["log_level"] for log in logs] == ["debug", "warning"]
    assert "example.org:443" in str(logs[0])


def test_a_logger_that_does_not_say_what_it_wants_gets_everything() -> None:
    class Plain:
        def log(self, level: int, message: str, /, *arguments: object) -> None: ...

    trace.log_to(Plain()).start().stop()


async def test_a_lost_race_is_a_warning_and_the_rest_may_be_left_out(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "connections")

    with trace.log_to(logging.getLogger("connections")):
        ours = journal(None)
    ours.attempt_started(1, ADDRESS, "FIRST")
    ours.race_lost(ConnectError("all attempts failed", host="h", port=1))

    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert caplog.records[0].getMessage().endswith("RaceLost, error all attempts failed")


async def test_a_race_says_when_it_was_by_the_clock_on_the_wall(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trio's begins anywhere, and a recording of a day is asked at what time of the day things failed."""
    monkeypatch.setattr("time.time", lambda: 1_790_000_000.5)
    net = SimulatedNetwork()
    net.host("192.0.2.1").accepts()

    with record() as recording:
        await trio.aclose_forcefully(await Connector(network=net).open_tcp_stream("192.0.2.1", 443))

    (race,) = recording
    assert race.timeline.wall_time == pytest.approx(1_790_000_000.5, abs=0.5)
    assert f'"wall_time": {race.timeline.wall_time}' in race.json_lines().splitlines()[0]


class MovingClock(trio.abc.Clock):
    """Later with each look at it."""

    now = 0.0

    def start_clock(self) -> None:
        """It runs."""

    def current_time(self) -> float:
        self.now += 1e-6
        return self.now

    def deadline_to_sleep_time(self, deadline: float) -> float:
        return max(deadline - self.now, 0)


def test_events_and_errors_have_the_same_times() -> None:
    told: list[trace.Event] = []

    async def no_greeting(stream: trio.SocketStream) -> None:
        raise OSError("no greeting")

    async def main() -> None:
        net = SimulatedNetwork()
        net.host("2001:db8::1").accepts()
        with pytest.raises(ConnectError) as caught:
            await Connector(network=net, tracer=told.append).connect(
                "host", 443, no_greeting, addresses=["2001:db8::1"]
            )
        (attempt,) = caught.value.attempts
        times = {type(event): event.time for event in told}
        assert times[trace.AttemptStarted] == attempt.started
        assert times[trace.AttemptConnected] == attempt.connected
        assert times[trace.AttemptFailed] == attempt.ended

        with pytest.raises(ConnectTimeout) as given_up:
            await Connector(network=net, tracer=told.append).open_tcp_stream("2001:db8::2", 443, give_up_after=1e-4)
        (attempt,) = given_up.value.attempts
        assert [event.time for event in told if isinstance(event, trace.AttemptCancelled)] == [attempt.ended]

    trio.run(main, clock=MovingClock())


def test_an_event_and_its_wall_time_are_the_same_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = MovingClock()
    told: list[trace.Event] = []
    monkeypatch.setattr(time, "time", lambda: 1000 + clock.now)

    async def main() -> None:
        net = SimulatedNetwork()
        net.host("192.0.2.1").accepts()
        await Connector(network=net, tracer=told.append).open_tcp_stream("192.0.2.1", 443)

    trio.run(main, clock=clock)
    assert isinstance(told[0], trace.RaceStarted)
    assert told[0].wall_time - told[0].time == pytest.approx(1000, abs=1e-9)
