"""Timeline: events sorted into the shape of the picture."""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence

import pytest

from trio_nbconnect import ConnectError, ConnectTimeout, Phase, Policy, Source
from trio_nbconnect._errors import os_error
from trio_nbconnect._pictures.timeline import (
    AttemptOutcome,
    AttemptRow,
    LookupRow,
    RaceOutcome,
    Timeline,
    UntriedRow,
    timeline_of,
)
from trio_nbconnect.testing import SimulatedNetwork, simulate
from trio_nbconnect.trace import AttemptStarted, Event, Reason

from .race_script import START, RaceScript, address, refused, script_of_a_lost_race, script_of_a_won_race


def rows(timeline: Timeline) -> list[tuple[str, float, float, float, str]]:
    """Each attempt: address, known since, started, ended, outcome."""
    return [
        (row.address.ip, round(row.known_since, 6), round(row.started, 6), round(row.ended, 6), row.outcome.value)
        for row in timeline.attempts
    ]


def lookups(timeline: Timeline) -> list[tuple[str, float, float | None, int]]:
    """Each look-up: source, started, ended, number of addresses."""
    return [
        (
            row.source.value,
            round(row.started, 6),
            None if row.ended is None else round(row.ended, 6),
            len(row.addresses),
        )
        for row in timeline.lookups
    ]


def test_a_won_race() -> None:
    timeline = timeline_of(script_of_a_won_race().events)

    assert (timeline.race, timeline.host, timeline.port, timeline.policy) == (1, "example.org", 443, Policy())
    assert timeline.began == START
    assert timeline.duration == pytest.approx(0.704)
    assert (timeline.outcome, timeline.error) == (RaceOutcome.WON, None)
    assert lookups(timeline) == [("AAAA", 0.0, 0.024, 2), ("A", 0.0, 0.041, 3)]
    assert rows(timeline) == [
        ("2001:db8:1::10", 0.024, 0.024, 0.704, "cancelled"),
        ("198.51.100.7", 0.041, 0.274, 0.336, "refused"),
        ("2001:db8:1::11", 0.024, 0.336, 0.704, "cancelled"),
        ("203.0.113.24", 0.041, 0.586, 0.704, "won"),
    ]
    assert [(row.address.ip, round(row.known_since, 6)) for row in timeline.untried] == [("192.0.2.80", 0.041)]
    assert list(timeline.outcomes.items()) == [
        (AttemptOutcome.CANCELLED, 2),
        (AttemptOutcome.REFUSED, 1),
        (AttemptOutcome.WON, 1),
    ]


def test_the_winner_has_address_phases_and_reason() -> None:
    winner = timeline_of(script_of_a_won_race().events).winner

    assert winner is not None
    assert winner.address == address("203.0.113.24")
    assert (winner.number, winner.reason, winner.preceded_by) == (4, Reason.DELAY_OVER, 3)
    assert winner.connected == pytest.approx(0.704)
    assert winner.duration == pytest.approx(0.118)
    assert winner.error is None


def test_the_first_attempt_has_no_predecessor() -> None:
    first, second, *_ = timeline_of(script_of_a_won_race().events).attempts

    assert (first.reason, first.preceded_by, first.connected) == (Reason.FIRST, None, None)
    assert (second.preceded_by, type(second.error)) == (1, ConnectionRefusedError)


@pytest.mark.parametrize("connected", [0.1, 0.19995, 0.2])
def test_what_is_established_on_top_of_tcp_is_a_phase_however_short(connected: float) -> None:
    script = RaceScript()
    script.starts("192.0.2.1", 0.0, Reason.FIRST)
    script.connects("192.0.2.1", connected)
    script.establishes("192.0.2.1", 0.2)
    script.starts("192.0.2.2", 0.2)

    first, second = timeline_of(script.events).attempts

    assert first.has_second_phase
    assert not second.has_second_phase


def test_a_connection_that_is_all_has_no_second_phase_however_slow_we_are() -> None:
    script = RaceScript()
    script.starts("192.0.2.1", 0.0, Reason.FIRST)
    script.connects("192.0.2.1", 0.1, None)
    script.establishes("192.0.2.1", 0.2)

    (attempt,) = timeline_of(script.events).attempts

    assert attempt.connected == pytest.approx(0.1)
    assert (attempt.phase, attempt.has_second_phase) == (Phase.HANDSHAKE, False)


def test_attempts_cancelled_by_the_limit_have_timed_out() -> None:
    error = ConnectTimeout("gave up", host="example.org", port=443)

    timeline = timeline_of(script_of_a_lost_race(error).events)

    assert (timeline.outcome, timeline.error, timeline.winner) == (RaceOutcome.LOST, error, None)
    assert list(timeline.outcomes.items()) == [(AttemptOutcome.TIMED_OUT, 3), (AttemptOutcome.REFUSED, 2)]
    assert timeline.untried == ()


def test_attempts_of_a_cancelled_caller_are_cancelled() -> None:
    script = RaceScript()
    script.answers(Source.GIVEN, 0.0, "192.0.2.1")
    script.starts("192.0.2.1", 0.0, Reason.FIRST)
    script.cancels("192.0.2.1", 0.5)
    script.loses(0.5)

    timeline = timeline_of(script.events)

    assert (timeline.outcome, timeline.outcomes) == (RaceOutcome.CANCELLED, {AttemptOutcome.CANCELLED: 1})


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (refused(), AttemptOutcome.REFUSED),
        (TimeoutError(errno.ETIMEDOUT, "Connection timed out"), AttemptOutcome.TIMED_OUT),
        (OSError(errno.EHOSTUNREACH, "No route to host"), AttemptOutcome.FAILED),
    ],
)
def test_the_outcome_of_a_failure_depends_on_its_error(error: OSError, outcome: AttemptOutcome) -> None:
    script = RaceScript()
    script.starts("192.0.2.1", 0.0, Reason.FIRST)
    script.fails("192.0.2.1", 0.1, error)
    script.loses(0.1, ConnectError("failed", host="example.org", port=443))

    (row,) = timeline_of(script.events).attempts

    assert (row.outcome, row.error) == (outcome, error)


def timed_out() -> OSError:
    """What the kernel says after two minutes."""
    return TimeoutError(errno.ETIMEDOUT, "Connection timed out")


@pytest.mark.parametrize(
    ("error", "attempt_error", "gave_up"),
    [
        (ConnectTimeout("gave up", host="example.org", port=443), refused(), True),
        (ConnectTimeout("all timed out", host="example.org", port=443), timed_out(), False),
        (ConnectError("all failed", host="example.org", port=443), refused(), False),
        (None, refused(), False),
    ],
)
def test_the_limit_of_the_race_is_not_that_of_an_attempt(
    error: ConnectError | None, attempt_error: OSError, gave_up: bool
) -> None:
    script = RaceScript()
    script.starts("192.0.2.1", 0.0, Reason.FIRST)
    script.fails("192.0.2.1", 0.1, attempt_error)
    script.loses(0.5, error)

    assert timeline_of(script.events).gave_up is gave_up


def test_a_route_that_goes_nowhere_is_no_limit() -> None:
    """An attempt that met a blackhole beside one that the kernel gave up; nobody else gave up."""
    script = RaceScript()
    script.starts("2001:db8::1", 0.0, Reason.FIRST)
    script.fails("2001:db8::1", 0.0, os_error(errno.EINVAL, address("2001:db8::1")))
    script.starts("192.0.2.1", 0.1, Reason.PREDECESSOR_FAILED)
    script.fails("192.0.2.1", 0.4, timed_out())
    script.loses(0.5, ConnectTimeout("all timed out", host="example.org", port=443))

    assert not timeline_of(script.events).gave_up


def test_a_lookup_that_took_too_long_was_given_up() -> None:
    script = RaceScript()
    script.loses(0.5, ConnectTimeout("gave up", host="example.org", port=443))

    assert timeline_of(script.events).gave_up


def test_an_address_is_tried_on_whatever_port_its_service_has() -> None:
    script = RaceScript()
    script.answers(Source.A, 0.1, "192.0.2.1", "192.0.2.2")
    other = address("192.0.2.1", 8443)
    script.events.append(AttemptStarted(race=1, time=START + 0.2, attempt=1, address=other, reason=Reason.FIRST))

    timeline = timeline_of(script.events)

    assert [round(row.known_since, 6) for row in timeline.attempts] == [0.1]
    assert [row.address.ip for row in timeline.untried] == ["192.0.2.2"]


def test_a_dead_heat_has_a_runner_up() -> None:
    script = RaceScript()
    script.answers(Source.GIVEN, 0.0, "192.0.2.1", "192.0.2.2")
    script.starts("192.0.2.1", 0.0, Reason.FIRST)
    script.starts("192.0.2.2", 0.25)
    script.establishes("192.0.2.2", 0.3)
    script.establishes("192.0.2.1", 0.3)
    script.discards("192.0.2.1", 0.3)
    script.wins("192.0.2.2", 0.3)

    timeline = timeline_of(script.events)

    assert [row.outcome for row in timeline.attempts] == [AttemptOutcome.RUNNER_UP, AttemptOutcome.WON]


@pytest.mark.parametrize("known", range(1, len(script_of_a_won_race().events)))
def test_an_unfinished_race_has_a_timeline_at_every_moment(known: int) -> None:
    events = script_of_a_won_race().events[:known]

    timeline = timeline_of(events)

    assert (timeline.outcome, timeline.error) == (RaceOutcome.UNDER_WAY, None)
    assert timeline.duration == events[-1].time - START
    assert all(row.ended <= timeline.duration for row in timeline.attempts)


def test_what_is_under_way_ends_at_the_latest_event() -> None:
    timeline = timeline_of(script_of_a_won_race().events[:6])

    assert rows(timeline) == [("2001:db8:1::10", 0.024, 0.024, 0.041, "under way")]
    assert [row.address.ip for row in timeline.untried] == [
        "2001:db8:1::11",
        "198.51.100.7",
        "203.0.113.24",
        "192.0.2.80",
    ]


def test_given_addresses_are_known_without_a_lookup() -> None:
    script = RaceScript()
    script.answers(Source.GIVEN, 0.0, "192.0.2.1")

    timeline = timeline_of(script.events)

    assert timeline.lookups == ()
    assert timeline.untried == (UntriedRow(address=address("192.0.2.1"), known_since=0.0),)


def test_lookups_without_an_answer_and_with_an_error() -> None:
    error = OSError(errno.EIO, "broken")
    script = RaceScript()
    script.queries(Source.AAAA)
    script.queries(Source.A, 0.01)
    script.answers(Source.A, 0.05, error=error)

    aaaa, a = timeline_of(script.events).lookups

    assert aaaa == LookupRow(source=Source.AAAA, started=0.0, ended=None)
    assert (a.source, a.addresses, a.error) == (Source.A, (), error)
    assert lookups(timeline_of(script.events))[1] == ("A", 0.01, 0.05, 0)


def test_answers_without_a_query_have_rows_of_their_own() -> None:
    script = RaceScript()
    script.answers(Source.AAAA, 0.1, "2001:db8::1")
    script.queries(Source.AAAA, 0.2)
    script.answers(Source.AAAA, 0.3, "2001:db8::1", "2001:db8::2")

    assert lookups(timeline_of(script.events)) == [("AAAA", 0.1, 0.1, 1), ("AAAA", 0.2, 0.3, 2)]


def test_a_later_answer_replaces_the_earlier_one() -> None:
    script = RaceScript()
    script.answers(Source.A, 0.1, "192.0.2.1", "192.0.2.2")
    script.answers(Source.A, 0.2, "192.0.2.2", "192.0.2.3")

    untried = timeline_of(script.events).untried

    assert [(row.address.ip, round(row.known_since, 6)) for row in untried] == [("192.0.2.2", 0.1), ("192.0.2.3", 0.2)]


def test_an_address_in_no_answer_is_known_since_its_start() -> None:
    script = RaceScript()
    script.starts("192.0.2.1", 0.1, Reason.FIRST)

    (row,) = timeline_of(script.events).attempts

    assert row == AttemptRow(
        number=1,
        address=address("192.0.2.1"),
        known_since=row.started,
        started=row.started,
        connected=None,
        ended=row.started,
        outcome=AttemptOutcome.UNDER_WAY,
        error=None,
        reason=Reason.FIRST,
        preceded_by=None,
    )


@pytest.mark.parametrize("events", [[], script_of_a_won_race().events[1:]])
def test_a_timeline_needs_the_beginning(events: Sequence[Event]) -> None:
    with pytest.raises(ValueError, match="events must begin with RaceStarted"):
        timeline_of(events)


def test_a_timeline_is_that_of_one_race() -> None:
    with pytest.raises(ValueError, match="events must be those of one race"):
        timeline_of([*RaceScript().events, *RaceScript(race=2).events])


def test_what_the_system_s_answer_made_needless_did_not_fail() -> None:
    """The families that were looked up by themselves, as the system was late: nobody waits for them any more."""
    net = SimulatedNetwork()
    net.answers("example.org", aaaa=["2001:db8::1"], a=["192.0.2.1"], after=0.06)
    for ip in ("2001:db8::1", "192.0.2.1"):
        net.host(ip).refuses(after=0.01)

    race = simulate(net, "example.org", 443)

    system, *families = race.timeline.lookups
    assert (system.ended, system.superseded) == (0.06, None)
    assert [(row.source, row.ended, row.until) for row in families] == [
        (Source.AAAA, None, 0.06),
        (Source.A, None, 0.06),
    ]
    assert str(race).count("not needed any more") == 2
    assert "no answer" not in str(race)


def test_a_failure_of_the_system_for_now_makes_nothing_needless() -> None:
    script = RaceScript()
    script.queries(Source.SYSTEM)
    script.queries(Source.A, 0.05)
    script.answers(Source.SYSTEM, 0.06, error=socket.gaierror(socket.EAI_AGAIN, "later"))

    assert timeline_of(script.events).lookups[1].until is None


def test_nobody_gave_up_on_a_race_whose_attempts_all_ended_by_themselves() -> None:
    """It is a time-out where no route says less than silence; there is no line at which it would have been given up."""
    net = SimulatedNetwork()
    net.answers("example.org", aaaa=["2001:db8::1"], a=["192.0.2.1"])
    net.host("2001:db8::1").unreachable()

    each = simulate(net, "example.org", 443, policy=Policy(give_up_attempt_after=1.5))
    whole = simulate(net, "example.org", 443, give_up_after=1.5)

    assert isinstance(each.timeline.error, ConnectTimeout)
    assert not each.timeline.gave_up
    assert "gave up" not in str(each)
    assert whole.timeline.gave_up


def test_who_gave_up_while_a_look_up_was_under_way_gave_up() -> None:
    script = RaceScript()
    script.queries(Source.A)
    script.starts("2001:db8::1", 0.0, Reason.FIRST)
    script.fails("2001:db8::1", 0.1, TimeoutError(errno.ETIMEDOUT, "late"))
    script.loses(1.0, ConnectTimeout("gave up", host="example.org", port=443))

    assert timeline_of(script.events).gave_up
