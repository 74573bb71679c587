"""`race`: the same race between attempts of any kind, each an async function of the caller's."""

from __future__ import annotations

import errno
import gc
import logging
import math
import pickle
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any

import pytest
import trio

import trio_nbconnect as nb
from trio_nbconnect import ConnectError, ConnectRefused, ConnectTimeout, Dial, Policy, ResolutionError, race, trace
from trio_nbconnect._address import UNSPECIFIED, GroupedAddress
from trio_nbconnect._race.candidates import interleave
from trio_nbconnect.testing import SimulatedNetwork, simulate_race

pytestmark = pytest.mark.virtual_time


class Connection(trio.abc.AsyncResource):
    """What a dial returns; it knows whether it is open."""

    def __init__(self, label: str) -> None:
        self.label = label
        self.is_open = True

    async def aclose(self) -> None:
        self.is_open = False
        await trio.lowlevel.checkpoint()


class Dials:
    """Dials of every kind that a test wants, and what became of each."""

    def __init__(self) -> None:
        self.started: dict[str, float] = {}
        self.ended: dict[str, str] = {}
        self.made: list[Connection] = []

    def __call__(
        self, label: str, *, after: float = math.inf, error: BaseException | None = None, group: str = ""
    ) -> Dial[Connection]:
        """Return a dial that takes its time, and then succeeds or raises."""
        return Dial(label, partial(self._dial, label, after, error), group=group)

    async def _dial(self, label: str, after: float, error: BaseException | None) -> Connection:
        self.started[label] = trio.current_time()
        try:
            await trio.sleep(after)
        except trio.Cancelled:
            self.ended[label] = "cancelled"
            raise
        if error is not None:
            raise error
        self.made.append(Connection(label))
        return self.made[-1]

    @property
    def open(self) -> list[str]:
        """Those that nobody has closed."""
        return [connection.label for connection in self.made if connection.is_open]


@pytest.fixture
def dials() -> Dials:
    return Dials()


@pytest.fixture
def events() -> list[trace.Event]:
    """What a tracer has heard."""
    return []


REFUSED = ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")


# Pace


async def test_the_next_begins_when_the_delay_is_over(dials: Dials) -> None:
    """RFC 8305, section 5: "one connection attempt is started first, followed by the others, with some delay"."""
    winner = await race([dials("QUIC"), dials("TCP", after=0.1), dials("relay", after=0.1)])

    assert winner.label == "TCP"
    assert dials.started == {"QUIC": 0.0, "TCP": 0.25}
    assert dials.ended == {"QUIC": "cancelled"}
    assert trio.current_time() == pytest.approx(0.35)


async def test_a_failure_begins_the_next_at_once(dials: Dials) -> None:
    """Section 5: "if a failure is received, the next attempt is started"; but never within 10 ms."""
    await race(
        [dials("QUIC", after=0.03, error=REFUSED), dials("TCP", after=0.0, error=REFUSED), dials("relay", after=0)]
    )

    assert dials.started == {"QUIC": 0.0, "TCP": 0.03, "relay": pytest.approx(0.04)}


async def test_one_attempt_needs_no_task(dials: Dials) -> None:
    before = trio.lowlevel.current_statistics().tasks_living
    seen: list[int] = []

    async def look() -> Connection:
        seen.append(trio.lowlevel.current_statistics().tasks_living)
        return Connection("only")

    await race([Dial("only", look)])
    assert seen == [before]


async def test_the_policy_counts(dials: Dials) -> None:
    policy = Policy(attempt_delay=0.1, give_up_attempt_after=0.15)

    await race([dials("QUIC"), dials("TCP", after=0.1)], policy=policy)
    with pytest.raises(ConnectTimeout) as raised:
        await race([dials("QUIC"), dials("TCP")], policy=policy)

    assert dials.started == {"QUIC": 0.2, "TCP": pytest.approx(0.3)}
    assert str(raised.value).endswith("failed: QUIC no answer for 150 ms, TCP no answer for 150 ms")


async def test_groups_alternate_as_families_do() -> None:
    """Section 4, with as many groups as there are."""
    labels = [GroupedAddress(UNSPECIFIED, label, 0, group=label[0]) for label in ("q1", "q2", "q3", "t1", "w1", "w2")]

    assert [label.host for label in interleave(labels, 1)] == ["q1", "t1", "w1", "q2", "w2", "q3"]
    assert [label.host for label in interleave(labels, 2)] == ["q1", "q2", "t1", "w1", "q3", "w2"]


async def test_groups_alternate_in_a_race(dials: Dials) -> None:
    attempts = [dials("q1", group="quic"), dials("q2", group="quic"), dials("t1", after=0, group="tcp")]

    assert (await race(attempts)).label == "t1"
    assert list(dials.started) == ["q1", "t1"]


# Arriving over time


async def test_attempts_may_arrive_over_time(dials: Dials, events: list[trace.Event]) -> None:
    """Section 3: those that come later join the race."""

    async def arriving() -> AsyncIterator[Dial[Connection]]:
        await trio.sleep(0.1)
        yield dials("first", group="udp")
        yield dials("second", group="udp")
        await trio.sleep(0.1)
        yield dials("third", after=0.1, group="tcp")
        await trio.sleep_forever()

    assert (await race(arriving(), tracer=events.append)).label == "third"
    assert dials.started == {"first": 0.1, "third": pytest.approx(0.35)}
    started = [event for event in events if isinstance(event, trace.AttemptStarted)]
    assert [event.reason for event in started] == [trace.Reason.FIRST, trace.Reason.DELAY_OVER]


async def test_one_that_arrives_when_all_have_failed_begins_at_once(dials: Dials) -> None:
    async def arriving() -> AsyncIterator[Dial[Connection]]:
        yield dials("first", after=0.1, error=REFUSED)
        await trio.sleep(5)
        yield dials("second", after=0.1)

    assert (await race(arriving())).label == "second"
    assert dials.started == {"first": 0.0, "second": 5.0}


async def test_any_async_iterable_will_do(dials: Dials) -> None:
    send, receive = trio.open_memory_channel[Dial[Connection]](2)
    for attempt in (dials("first", after=0.1, error=REFUSED), dials("second", after=0.1, error=REFUSED)):
        send.send_nowait(attempt)
    send.close()

    with pytest.raises(ConnectRefused) as raised:
        await race(receive)
    assert [str(attempt.address) for attempt in raised.value.attempts] == ["first", "second"]


async def test_as_many_may_arrive_as_there_are(dials: Dials) -> None:
    """The caller's own are not cut, as what a name server says is."""

    async def arriving() -> AsyncIterator[Dial[Connection]]:
        for number in range(130):
            yield dials(str(number), after=0, error=REFUSED)

    with pytest.raises(ConnectRefused) as raised:
        await race(arriving())
    assert len(raised.value.attempts) == 130


async def test_none_that_arrives_is_an_error(dials: Dials) -> None:
    async def arriving() -> AsyncIterator[Dial[Connection]]:
        if not dials.started:
            raise OSError("the peer store is empty")
        yield dials("never")

    with pytest.raises(ConnectError) as raised:
        await race(arriving(), name="QmPeer")
    assert str(raised.value) == "there was nothing to try: QmPeer: the peer store is empty"
    assert (raised.value.port, str(raised.value.primary_error)) == (0, "the peer store is empty")
    assert not isinstance(raised.value, ResolutionError)


async def test_a_bug_in_the_iterable_comes_out_as_it_is(dials: Dials) -> None:
    async def arriving() -> AsyncIterator[Dial[Connection]]:
        yield dials("first")
        await trio.sleep(0.1)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await race(arriving())
    assert dials.ended == {"first": "cancelled"}


async def test_the_policy_limits_the_wait_for_more(dials: Dials) -> None:
    async def arriving() -> AsyncIterator[Dial[Connection]]:
        yield dials("first", after=0.1, error=REFUSED)
        await trio.sleep_forever()

    with pytest.raises(ConnectRefused):
        await race(arriving(), policy=Policy(give_up_resolution_after=3))
    assert trio.current_time() == 3


# Failures


async def test_the_error_tells_every_attempt(dials: Dials) -> None:
    with pytest.raises(ConnectError) as raised:
        await race([dials("QUIC", after=0.1, error=REFUSED), dials("TCP", after=1, error=EOFError())], name="QmPeer")

    assert str(raised.value) == "all attempts to connect to QmPeer failed: QUIC refused, TCP Connection reset by peer"
    assert (raised.value.host, raised.value.port) == ("QmPeer", 0)
    for error in (raised.value, pickle.loads(pickle.dumps(raised.value))):
        assert [(attempt.label, attempt.address.port) for attempt in error.attempts] == [("QUIC", 0), ("TCP", 0)]


async def test_the_other_side_is_a_peer_unless_it_has_a_name(dials: Dials) -> None:
    with pytest.raises(ConnectError, match=r"^all attempts to connect to peer failed: QUIC refused$"):
        await race([dials("QUIC", after=0.1, error=REFUSED)])


async def test_a_failure_knows_its_attempt(dials: Dials) -> None:
    failure = OSError(errno.ECONNREFUSED, "Connection refused")
    with pytest.raises(ConnectError):
        await race([dials("QUIC", after=0.1, error=failure)])

    assert failure.__notes__ == ["attempt 1, after 0.0 ms: QUIC refused after 100 ms"]  # type: ignore[attr-defined]


class Rejected(Exception):
    """What a library raises that knows no `OSError`."""


async def test_the_caller_says_what_else_is_a_failure(dials: Dials) -> None:
    attempts = [dials("QUIC", after=0.1, error=Rejected("no such peer")), dials("TCP", after=0.1)]

    assert (await race(attempts, failures=Rejected)).label == "TCP"
    with pytest.raises(ConnectError) as raised:
        await race(attempts[:1], failures=(Rejected, KeyError))
    (attempt,) = raised.value.attempts
    assert str(attempt) == "QUIC no such peer after 100 ms"
    assert isinstance(attempt.error, OSError)
    assert isinstance(attempt.error.__cause__, Rejected)


async def test_such_a_failure_of_a_cancelled_attempt_is_nothing(dials: Dials) -> None:
    """Its tasks end in one group, of the cancellation and of what one of them has met on its way out."""

    async def clean_up() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise Rejected

    async def dial() -> Connection:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(clean_up)
            await trio.sleep_forever()

    attempts = [Dial("QUIC", dial), dials("TCP", after=0.1)]
    assert (await race(attempts, failures=Rejected)).label == "TCP"


async def test_anything_else_is_a_bug_and_ends_the_race(dials: Dials, events: list[trace.Event]) -> None:
    attempts = [dials("QUIC"), dials("TCP", after=0.1, error=Rejected("no such peer"))]

    with pytest.raises(Rejected):
        await race(attempts, tracer=events.append)
    assert dials.ended == {"QUIC": "cancelled"}
    (failed,) = [event for event in events if isinstance(event, trace.AttemptFailed)]
    assert str(failed.error) == "Rejected in the caller's code"


async def test_the_whole_call_may_be_limited(dials: Dials) -> None:
    with pytest.raises(ConnectTimeout) as raised:
        await race([dials("QUIC"), dials("TCP", after=0.1, error=REFUSED)], give_up_after=2, name="QmPeer")

    text = "gave up connecting to QmPeer after 2 s: QUIC no answer for 2000 ms, TCP refused after 100 ms"
    assert str(raised.value) == text
    assert raised.value.phase is nb.Phase.HANDSHAKE


# Who owns what


async def test_a_runner_up_is_closed(dials: Dials, events: list[trace.Event]) -> None:
    """A dead heat: both have succeeded before either is told."""
    winner = await race([dials("QUIC", after=0.35), dials("TCP", after=0.10)], tracer=events.append)

    assert len(dials.made) == 2
    assert dials.open == [winner.label]
    assert [type(event) for event in events][-2:] == [trace.RunnerUpDiscarded, trace.RaceWon]


async def test_a_result_that_comes_too_late_is_closed(dials: Dials) -> None:
    """An attempt that does not let itself be cancelled belongs to the race all the same."""
    made = []

    async def stubborn() -> Connection:
        with trio.CancelScope(shield=True):
            await trio.sleep(1)
        made.append(Connection("stubborn"))
        return made[0]

    assert (await race([Dial("stubborn", stubborn), dials("TCP", after=0.1)])).label == "TCP"
    assert trio.current_time() == 1
    assert not made[0].is_open


async def test_a_winner_that_nobody_gets_is_closed(dials: Dials) -> None:
    """The caller is cancelled by the very event that tells of the success; to close takes its time all the same."""
    scope = trio.CancelScope()

    async def close(connection: Connection) -> None:
        await trio.sleep(0.1)
        await connection.aclose()

    def cancel(event: trace.Event) -> None:
        if isinstance(event, trace.AttemptEstablished):
            scope.cancel()

    with scope:
        await race([dials("QUIC"), dials("TCP", after=0.1)], tracer=cancel, close=close)
    assert scope.cancelled_caught
    assert (len(dials.made), dials.open) == (1, [])


async def test_nothing_is_begun_in_a_cancelled_scope(dials: Dials) -> None:
    with trio.move_on_after(0):
        await race([dials("QUIC"), dials("TCP")])

    assert dials.started == {}


async def test_nothing_is_begun_once_the_caller_is_cancelled(dials: Dials) -> None:
    """A dial may do much before its first checkpoint."""
    scope = trio.CancelScope()

    def cancel(event: trace.Event) -> None:
        if isinstance(event, trace.AttemptStarted):
            scope.cancel()

    with scope:
        await race([dials("QUIC"), dials("TCP")], tracer=cancel)
    assert (scope.cancelled_caught, dials.started) == (True, {})


async def test_nothing_is_begun_once_another_has_succeeded(dials: Dials) -> None:
    """The delay of the first is over in the moment in which it succeeds: the second may get a task, but is not made."""
    for _ in range(20):
        assert (await race([dials("QUIC", after=0.25), dials("TCP", after=9)])).label == "QUIC"

    assert all(connection.label == "QUIC" for connection in dials.made)
    assert dials.ended.get("TCP") in (None, "cancelled")


@pytest.mark.parametrize("is_async", [False, True])
async def test_close_may_be_a_function_of_either_kind(dials: Dials, is_async: bool) -> None:
    closed: list[str] = []

    async def close_async(connection: Connection) -> None:
        await trio.sleep(0.1)
        closed.append(connection.label)

    def close(connection: Connection) -> None:
        closed.append(connection.label)

    winner = await race([dials("QUIC", after=0.35), dials("TCP", after=0.10)], close=close_async if is_async else close)
    assert {winner.label, *closed} == {"QUIC", "TCP"}


async def test_closing_takes_a_second_at_most(dials: Dials, caplog: pytest.LogCaptureFixture) -> None:
    """And one that raises is logged: the winner is not lost for it."""

    async def close_slowly(connection: Connection) -> None:
        await trio.sleep_forever()

    def close_badly(connection: Connection) -> None:
        raise Rejected("close")

    with caplog.at_level(logging.ERROR):
        await race([dials("QUIC", after=0.35), dials("TCP", after=0.10)], close=close_slowly)
        assert trio.current_time() == pytest.approx(1.35)
        assert not caplog.records
        winner = await race([dials("QUIC", after=0.35), dials("TCP", after=0.10)], close=close_badly)
    (record,) = caplog.records
    (lost,) = (connection for connection in dials.made[2:] if connection is not winner)
    assert (record.name, record.message) == ("trio_nbconnect", f"close raised for {lost!r}")


class Blow(BaseException):
    """What comes out of everything, as Ctrl-C does."""


async def test_a_blow_while_closing_closes_the_winner_too(dials: Dials) -> None:
    closed: list[str] = []

    def close(connection: Connection) -> None:
        closed.append(connection.label)
        if len(closed) == 1:
            raise Blow

    with pytest.raises(Blow):
        await race([dials("QUIC", after=0.35), dials("TCP", after=0.10)], close=close)
    assert sorted(closed) == ["QUIC", "TCP"]


async def test_a_blow_by_a_tracer_closes_what_was_made_once(dials: Dials) -> None:
    closed: list[str] = []

    def blow(event: trace.Event) -> None:
        if isinstance(event, trace.AttemptConnected):
            raise Blow

    with pytest.raises(Blow):
        await race([dials("only", after=0.1)], tracer=blow, close=lambda connection: closed.append(connection.label))
    assert closed == ["only"]


async def test_a_race_ends_once(dials: Dials, events: list[trace.Event]) -> None:
    """A tracer that is struck by the end hears of no other."""

    def blow(event: trace.Event) -> None:
        events.append(event)
        if isinstance(event, trace.RaceLost):
            raise Blow

    with pytest.raises(Blow):
        await race([dials("QUIC", after=0.1, error=REFUSED)], tracer=blow)
    assert [type(event) for event in events].count(trace.RaceLost) == 1


async def test_a_result_that_cannot_be_closed_is_refused_at_once() -> None:
    """Not in the rare case of a dead heat."""

    async def number() -> int:
        return 5

    with pytest.raises(TypeError, match=r"^close must say how to close what 'five' has returned: 5"):
        await race([Dial("five", number)])
    assert await race([Dial("five", number)], close=lambda _: None) == 5


async def test_a_lost_race_leaves_no_cycle(dials: Dials) -> None:
    with pytest.raises(ConnectError):
        await race(
            [dials("QUIC", after=0.1, error=Rejected()), dials("TCP", after=0.1, error=REFUSED)], failures=Rejected
        )

    gc.collect()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        with pytest.raises(ConnectError):
            await race([dials("QUIC", after=0.1, error=OSError(5, "x"))], failures=Rejected)
        gc.collect()
        assert not [thing for thing in gc.garbage if isinstance(thing, (ConnectError, Connection))]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()


# Misuse


async def dial() -> Connection:
    return Connection("any")


WRONG: list[tuple[Callable[[], Awaitable[object]], type[Exception], str]] = [
    (lambda: race([]), ValueError, "attempts must not be empty"),
    (
        lambda: race([Dial("a", dial), Dial("a", dial)]),
        ValueError,
        "attempts must have labels of their own, not twice 'a'",
    ),
    (lambda: race([dial]), TypeError, "attempts must be an iterable of Dial, not of <function"),  # type: ignore[list-item]
    (lambda: race(5), TypeError, "attempts must be an iterable of Dial, not 5"),  # type: ignore[arg-type]
    (lambda: race([Dial("a", dial)], policy=5), TypeError, "policy must be Policy, not 5"),  # type: ignore[arg-type]
    (lambda: race([Dial("a", dial)], name=5), TypeError, "name must be str, not 5"),  # type: ignore[arg-type]
    (lambda: race([Dial("a", dial)], close=5), TypeError, "close must be callable, not 5"),  # type: ignore[arg-type]
    (lambda: race([Dial("a", dial)], failures=5), TypeError, "failures must be exception types, not 5"),  # type: ignore[arg-type]
    (lambda: race([Dial("a", dial)], failures=BaseException), TypeError, "failures must be exception types"),  # type: ignore[arg-type]
    (lambda: race([Dial("a", dial)], tracer=5), TypeError, "tracer must be a callable"),  # type: ignore[arg-type]
    (lambda: race([Dial("a", dial)], give_up_after=-1), ValueError, "give_up_after must not be negative"),
]


@pytest.mark.parametrize(("call", "kind", "text"), WRONG, ids=[text for _, _, text in WRONG])
async def test_misuse_raises_at_once(call: Callable[[], Awaitable[object]], kind: type[Exception], text: str) -> None:
    with pytest.raises(kind) as raised:
        await call()
    assert str(raised.value).startswith(text)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [((5, dial), "label must be str, not 5"), (("a", 5), "dial must be an async callable, not 5")],
)
async def test_a_dial_is_checked(arguments: tuple[Any, Any], text: str) -> None:
    with pytest.raises(TypeError, match=f"^{text}$"):
        Dial(*arguments)
    with pytest.raises(TypeError, match=r"^group must be str, not 5$"):
        Dial("a", dial, group=5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="positional arguments"):
        Dial("a", dial, "udp")  # type: ignore[call-arg]


# What it looks like


async def test_events_are_those_of_any_race(dials: Dials, events: list[trace.Event]) -> None:
    await race([dials("QUIC", after=0.1, error=REFUSED), dials("TCP", after=0.1)], tracer=events.append, name="QmPeer")

    assert [type(event).__name__ for event in events] == [
        "RaceStarted",
        "AnswerReceived",
        "CandidatesSorted",
        "AttemptStarted",
        "AttemptFailed",
        "AttemptStarted",
        "AttemptConnected",
        "AttemptEstablished",
        "RaceWon",
    ]


PICTURE = """\
QmPeer  connected in 320 ms over ws to WebSocket
3 attempts, 1 cancelled, 1 refused · attempt delay 250 ms

               0 ms   100     200
               ├──────┼───────┼────────┐
                                       │
quic      QUIC ░░░░░░░░░░░░░░░░░░░░░░░░│ ⊘ cancelled  320 ms
                         +250 ms ↓     │
tcp        TCP •·················▓▓▓✗  │ ✗ refused     40 ms
                            failure ↓  │
ws   WebSocket •····················███│ ✓ won         30 ms
                                       │
         relay •·······················│ – not tried
                      connected 320 ms ┘"""


def waterfall(dials: Dials) -> nb.RecordedRace:
    attempts = [
        dials("QUIC", group="quic"),
        dials("TCP", after=0.04, error=REFUSED, group="tcp"),
        dials("WebSocket", after=0.03, group="ws"),
        dials("relay"),
    ]
    return simulate_race(SimulatedNetwork(), attempts, name="QmPeer")


async def test_the_waterfall_has_labels_and_groups(dials: Dials) -> None:
    race = waterfall(dials)
    text = race.text(width=60)

    assert text == PICTURE


async def test_the_exports_name_no_family(dials: Dials) -> None:
    race = waterfall(dials)

    assert '"family": "unspecified"' in race.qlog()
    assert '"transport": "quic"' in race.qlog()
    assert "QmPeer" in race.chrome_trace()
    assert ">WebSocket<" in race.svg()
    assert nb.summarize([race])


async def test_a_simulated_race_may_use_the_network() -> None:
    net = SimulatedNetwork()
    net.host("192.0.2.1").accepts(after=0.1)
    connector = nb.Connector(network=net)
    attempts = [Dial("TCP", partial(connector.open_tcp_stream, "192.0.2.1", 80))]

    assert simulate_race(net, attempts).timeline.duration == pytest.approx(0.1)
    with pytest.raises(TypeError, match=r"^network must be a SimulatedNetwork"):
        simulate_race(5, attempts)  # type: ignore[arg-type]
