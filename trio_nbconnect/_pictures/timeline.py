"""Timeline: the events of one race, in the shape of its picture.

The problem: events are many small facts in the order in which they happened. Whoever looks at a race asks otherwise:
did it connect, to what, after how long; and for each address: since when was it known, when and why was it tried, and
what became of it.

How we solve it: one pure function, `timeline_of`, sorts the facts into a frozen `Timeline`. It takes the events of an
unfinished race as well. All times in a timeline are seconds since its race started.

What lives here: that value. What does not: glyphs, colours, columns and words for people; text, SVG and qlog are
renderers over the same timeline. We keep errors as they were raised and let the renderers choose how much to say.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from .. import trace
from .._address import Address
from .._errors import ConnectError, ConnectTimeout
from .._policy import Policy
from .._resolve.query import Service, Source


class Outcome(enum.Enum):
    """How a race stands."""

    WON = "won"
    LOST = "lost"
    CANCELLED = "cancelled"
    """The caller was cancelled, from outside."""
    UNDER_WAY = "under way"


class Fate(enum.Enum):
    """What became of an attempt."""

    WON = "won"
    REFUSED = "refused"
    FAILED = "failed"
    """With any other error; it is in the row."""
    TIMED_OUT = "timed out"
    """In the kernel, or by a limit of ours: its own or that of the whole race."""
    CANCELLED = "cancelled"
    """Another one had won, or the caller was cancelled."""
    RUNNER_UP = "runner-up"
    """It was established, too late to be wanted, and closed."""
    UNDER_WAY = "under way"


_OUR_OWN_WORK = 0.0001
"""How long it takes at most to report that TCP is connected and that nothing else was asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LookUpRow:
    """One query for addresses."""

    source: Source
    started: float
    ended: float | None
    """When the answer came; None if none has."""
    name: str = ""
    """Whose records; empty for the host itself."""
    addresses: tuple[Address, ...] = ()
    services: tuple[Service, ...] = ()
    error: OSError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRow:
    """One attempt."""

    number: int
    """1 for the first."""
    address: Address
    known_since: float
    """When the first answer that names the address arrived."""
    started: float
    connected: float | None
    """When the TCP handshake was complete; None if it never was."""
    ended: float
    """When its fate was decided; for an attempt under way, the time of the latest event."""
    fate: Fate
    error: OSError | None
    reason: trace.Reason
    preceded_by: int | None
    """The number of the attempt that its reason speaks of; None for the first."""

    @property
    def duration(self) -> float:
        """From its start until its fate was decided."""
        return self.ended - self.started

    @property
    def has_second_phase(self) -> bool:
        """Whether something was to be established on top of TCP; what takes no time is our own work."""
        return self.connected is not None and self.ended - self.connected > _OUR_OWN_WORK


@dataclass(frozen=True, slots=True, kw_only=True)
class UntriedRow:
    """One address that was known and not needed."""

    address: Address
    known_since: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """One race, as its picture tells it."""

    race: int
    host: str
    port: int
    policy: Policy | None
    """None if only an error tells of the race."""
    began: float
    """When it started, on Trio's clock; every other time here counts from then."""
    duration: float
    """Until it was won or lost; of a race under way, until the latest event."""
    outcome: Outcome
    error: ConnectError | None
    look_ups: tuple[LookUpRow, ...]
    attempts: tuple[AttemptRow, ...]
    """In the order of their starts."""
    untried: tuple[UntriedRow, ...]

    @property
    def winner(self) -> AttemptRow | None:
        """The attempt whose connection was returned; it has the family and the address."""
        return next((attempt for attempt in self.attempts if attempt.fate is Fate.WON), None)

    @property
    def gave_up(self) -> bool:
        """Whether a limit on the whole ended it, and not the last attempt's own time-out."""
        if not isinstance(self.error, ConnectTimeout):
            return False
        return not self.attempts or not all(isinstance(attempt.error, TimeoutError) for attempt in self.attempts)

    @property
    def fates(self) -> dict[Fate, int]:
        """How many attempts met which fate, the most frequent first."""
        return dict(Counter(attempt.fate for attempt in self.attempts).most_common())


_Decided: TypeAlias = trace.AttemptEstablished | trace.AttemptFailed | trace.AttemptCancelled | trace.RunnerUpDiscarded


def timeline_of(events: Sequence[trace.Event]) -> Timeline:
    """Sort the events of one race, finished or not, into its timeline.

    Raises:
        ValueError: The events are not those of one race from its start.
    """
    if not events or not isinstance(start := events[0], trace.RaceStarted):
        raise ValueError("events must begin with RaceStarted")
    if any(event.race != start.race for event in events):
        raise ValueError("events must be those of one race")
    outcome, error = _race_outcome(events[-1])
    known = _known_since(events, start.time)
    attempts = _attempt_rows(events, start.time, known, error)
    tried = {_place(attempt.address) for attempt in attempts}
    return Timeline(
        race=start.race,
        host=start.host,
        port=start.port,
        policy=start.policy,
        began=start.time,
        duration=events[-1].time - start.time,
        outcome=outcome,
        error=error,
        look_ups=_look_up_rows(events, start.time),
        attempts=attempts,
        untried=tuple(
            UntriedRow(address=address, known_since=known[_place(address)])
            for address in _latest_addresses(events)
            if _place(address) not in tried
        ),
    )


def _race_outcome(last: trace.Event) -> tuple[Outcome, ConnectError | None]:
    """Nothing happens in a race after it was won or lost."""
    if isinstance(last, trace.RaceWon):
        return Outcome.WON, None
    if isinstance(last, trace.RaceLost):
        return (Outcome.CANCELLED if last.error is None else Outcome.LOST), last.error
    return Outcome.UNDER_WAY, None


_Place: TypeAlias = tuple[int, str, int]
"""An address without its port: a service may have one of its own, which its addresses' records do not know."""


def _place(address: Address) -> _Place:
    return address.family, address.host, address.scope_id


def _known_since(events: Sequence[trace.Event], began: float) -> dict[_Place, float]:
    known: dict[_Place, float] = {}
    for event in events:
        if isinstance(event, trace.AnswerReceived):
            for address in _told(event):
                known.setdefault(_place(address), event.time - began)
    return known


def _told(answer: trace.AnswerReceived) -> Iterator[Address]:
    """The addresses in an answer, the hints of services included."""
    yield from answer.addresses
    for service in answer.services:
        yield from service.hints


def _latest_addresses(events: Sequence[trace.Event]) -> list[Address]:
    """What is known at the end, each address once: a later answer has replaced the earlier one of its source."""
    answers = {(event.source, event.name): event for event in events if isinstance(event, trace.AnswerReceived)}
    told = [address for answer in answers.values() for address in _told(answer)]
    return list({_place(address): address for address in reversed(told)}.values())[::-1]


def _look_up_rows(events: Sequence[trace.Event], began: float) -> tuple[LookUpRow, ...]:
    """A row for each query, and for each answer that nobody asked for; what the caller gave is no look-up."""
    rows: list[LookUpRow] = []
    pending: dict[tuple[Source, str], int] = {}
    for event in events:
        if not isinstance(event, trace.ResolutionStarted | trace.AnswerReceived) or event.source is Source.GIVEN:
            continue
        now = event.time - began
        asked = isinstance(event, trace.ResolutionStarted)
        key = (event.source, event.name)
        if asked or key not in pending:
            pending[key] = len(rows)
            rows.append(LookUpRow(source=event.source, name=event.name, started=now, ended=None))
        if isinstance(event, trace.AnswerReceived):
            place = pending.pop(key)
            rows[place] = replace(
                rows[place], ended=now, addresses=event.addresses, services=event.services, error=event.error
            )
    return tuple(rows)


def _attempt_rows(
    events: Sequence[trace.Event], began: float, known: dict[_Place, float], lost: ConnectError | None
) -> tuple[AttemptRow, ...]:
    connected = {event.attempt: event for event in events if isinstance(event, trace.AttemptConnected)}
    decided = {event.attempt: event for event in events if isinstance(event, _Decided)}
    rows: list[AttemptRow] = []
    for event in events:
        if isinstance(event, trace.AttemptStarted):
            number, started = event.attempt, event.time - began
            fate, error = _fate(decided.get(number), lost)
            rows.append(
                AttemptRow(
                    number=number,
                    address=event.address,
                    known_since=known.get(_place(event.address), started),
                    started=started,
                    connected=connected[number].time - began if number in connected else None,
                    ended=decided.get(number, events[-1]).time - began,
                    fate=fate,
                    error=error,
                    reason=event.reason,
                    preceded_by=rows[-1].number if rows else None,
                )
            )
    return tuple(rows)


def _fate(decided: _Decided | None, lost: ConnectError | None) -> tuple[Fate, OSError | None]:
    """An attempt that was stopped because the race's own time was over has timed out."""
    if decided is None:
        return Fate.UNDER_WAY, None
    if isinstance(decided, trace.AttemptFailed):
        return fate_of_failure(decided.error), decided.error
    if isinstance(decided, trace.AttemptCancelled):
        return (Fate.TIMED_OUT if isinstance(lost, ConnectTimeout) else Fate.CANCELLED), None
    return (Fate.RUNNER_UP if isinstance(decided, trace.RunnerUpDiscarded) else Fate.WON), None


def fate_of_failure(error: OSError) -> Fate:
    """Tell a refusal and a time-out from all other errors."""
    if isinstance(error, ConnectionRefusedError):
        return Fate.REFUSED
    return Fate.TIMED_OUT if isinstance(error, TimeoutError) else Fate.FAILED
