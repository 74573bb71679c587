"""Timeline: the events of one race, sorted by address and lookup.

Events are small facts in the order in which they happened. A picture needs them sorted: for each address since when it
was known, when and why it was tried and how the attempt ended; for each lookup what it brought and when. `timeline_of`
is a pure function from events, of an unfinished race as well, to a frozen `Timeline`; text, SVG and exports are drawn
from that one value. Times count in seconds from the start of the race. Errors are kept as they were raised; how much of
them is shown is up to the renderers.

Who did not record has only the error: `timeline_of_error` builds the same from `ConnectError.attempts`. Lookups and the
policy are then unknown and left out, and time counts from the first attempt.

A host may have hundreds of addresses, and a picture of all of them is unreadable. `visible_attempts` and its siblings
keep the first and the last rows and always the winner, and count what was left out.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from .. import trace
from .._address import Address, grouped
from .._errors import Attempt, ConnectError, ConnectTimeout, Phase, is_without_route
from .._policy import Policy
from .._resolve.query import Service, Source, is_for_now


class RaceOutcome(enum.Enum):
    """How a race ended, or that it has not.

    Attributes:
        WON: A connection was returned.
        LOST: The caller got an error.
        CANCELLED: The caller was cancelled, from outside.
        UNDER_WAY: It goes on.
    """

    WON = "won"
    LOST = "lost"
    CANCELLED = "cancelled"
    UNDER_WAY = "under way"


class AttemptOutcome(enum.Enum):
    """How an attempt ended, or that it has not.

    Attributes:
        WON: Its connection was returned.
        REFUSED: By the host, or by what stands before it.
        FAILED: With any other error; it is in the row.
        TIMED_OUT: By the kernel, or by a limit of ours: the attempt's own or that of the whole race.
        CANCELLED: Another one had won, or the caller was cancelled.
        RUNNER_UP: It was established after another one had won, and closed unused.
        UNDER_WAY: It goes on.
        GOOD: It was established by itself, in a `check`.
    """

    WON = "won"
    REFUSED = "refused"
    FAILED = "failed"
    TIMED_OUT = "timed out"
    CANCELLED = "cancelled"
    RUNNER_UP = "runner-up"
    UNDER_WAY = "under way"
    GOOD = "good"


@dataclass(frozen=True, slots=True, kw_only=True)
class LookupRow:
    """One query for addresses.

    Attributes:
        source: Who was asked, and for what.
        started: When the query went out.
        ended: When the answer came; None if none has.
        name: Whose records; empty for the host itself.
        addresses: What the answer holds.
        services: The services that an HTTPS answer holds.
        error: Why there are none; None if the name merely has no such records.
        server: The name server that has answered; empty where that is not known.
        ttl: How many seconds it lets the answer be kept; None where that is not known.
        superseded: When the system's answer for both families made this one needless; None if it did not.
    """

    source: Source
    started: float
    ended: float | None
    name: str = ""
    addresses: tuple[Address, ...] = ()
    services: tuple[Service, ...] = ()
    error: OSError | None = None
    server: str = ""
    ttl: float | None = None
    superseded: float | None = None

    @property
    def until(self) -> float | None:
        """When it was over; None if it went on until the race was."""
        return self.superseded if self.ended is None else self.ended


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRow:
    """One attempt.

    Attributes:
        number: 1 for the first.
        address: Where to.
        known_since: When the first answer that names the address arrived.
        started: When it began.
        connected: When the TCP handshake was complete; None if it never was.
        ended: When it ended; for an attempt under way, the time of the latest event.
        outcome: How it ended, or that it has not.
        error: What it failed with.
        reason: Why it began when it did.
        preceded_by: The number of the attempt that its reason refers to; None for the first.
        phase: How far it had come: what is on top of TCP, once that was connected.
        delay: How many seconds the next attempt was to wait for this one; None where that is not known.
        delay_from: Where that delay came from.
        syn_retransmissions: How often the kernel has sent the SYN again; None where it did not say.
        stands_for: The address that was found, where a translator (NAT64) stands in for it; else None.
    """

    number: int
    address: Address
    known_since: float
    started: float
    connected: float | None
    ended: float
    outcome: AttemptOutcome
    error: OSError | None
    reason: trace.Reason
    preceded_by: int | None
    phase: Phase = Phase.HANDSHAKE
    delay: float | None = None
    delay_from: trace.DelaySource = trace.DelaySource.POLICY
    syn_retransmissions: int | None = None
    stands_for: Address | None = None

    @property
    def found(self) -> Address:
        """What an answer has named, which a translator may reach by another address."""
        return self.stands_for or self.address

    @property
    def duration(self) -> float:
        """From its start to its end."""
        return self.ended - self.started

    @property
    def syn_sent_again(self) -> tuple[float, ...]:
        """When the kernel has sent the SYN again, in seconds from the start of the race.

        The kernel says how often; when, is its rule: after 1, 3, 7, 15, ... seconds (RFC 6298, sections 2.1 and 5.5).
        Linux from 6.5 on sends the first ones a second apart, which shows in that there are more of them.
        """
        count = self.syn_retransmissions or 0
        handshake = (self.ended if self.connected is None else self.connected) - self.started
        doubled = [2.0**number - 1 for number in range(1, count + 1)]
        linear = [float(number) for number in range(1, count + 1)]
        after = doubled if not doubled or doubled[-1] <= handshake else linear
        return tuple(self.started + seconds for seconds in after if seconds <= handshake)

    @property
    def has_second_phase(self) -> bool:
        """Whether TCP was connected and something was to be established on top of it."""
        return self.phase is not Phase.HANDSHAKE


@dataclass(frozen=True, slots=True, kw_only=True)
class UntriedRow:
    """One address that was known and not needed.

    Attributes:
        address: Where to.
        known_since: When the first answer that names the address arrived.
    """

    address: Address
    known_since: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """One race, sorted for its picture.

    Attributes:
        race: The number of the race.
        host: The host, as it was asked for.
        port: The port.
        policy: None if it was made from an error alone.
        began: When it started, on Trio's clock; every other time here counts from then.
        wall_time: When that was by the system's clock, in seconds since 1970; 0 if that is not known.
        duration: Until it was won or lost; of a race under way, until the latest event.
        outcome: How it ended, or that it has not.
        error: What the caller got; None if it was cancelled, or is under way.
        lookups: The queries for addresses, in their order.
        attempts: In the order of their starts.
        untried: The addresses that were known and not needed.
        connection: What is known of the winner's connection.
        run: The number of the `trio.run` it was in; each has a clock of its own.
        proxy_for: What is to be reached through this host, if it is a proxy.
        summary: What the headline says where this is no race but a `check`.
    """

    race: int
    host: str
    port: int
    policy: Policy | None
    began: float
    duration: float
    outcome: RaceOutcome
    error: OSError | None
    lookups: tuple[LookupRow, ...]
    attempts: tuple[AttemptRow, ...]
    untried: tuple[UntriedRow, ...]
    connection: trace.Connection | None = None
    run: int = 0
    proxy_for: str = ""
    summary: str = ""
    wall_time: float = field(default=0.0, compare=False)

    @property
    def winner(self) -> AttemptRow | None:
        """The attempt whose connection was returned; it has the family and the address."""
        return next((attempt for attempt in self.attempts if attempt.outcome is AttemptOutcome.WON), None)

    @property
    def gave_up(self) -> bool:
        """Whether a limit on the whole race ended it, and not the failure of its last attempt: something went on."""
        if not isinstance(self.error, ConnectTimeout):
            return False
        is_asking = any(lookup.until is None for lookup in self.lookups)
        telling = [
            attempt.error
            for attempt in self.attempts
            if attempt.error is None or not is_without_route(attempt.error, attempt)
        ]
        return not self.attempts or is_asking or not all(isinstance(error, TimeoutError) for error in telling)

    @property
    def outcomes(self) -> dict[AttemptOutcome, int]:
        """How many attempts ended how, the most frequent outcome first."""
        return dict(Counter(attempt.outcome for attempt in self.attempts).most_common())


_AttemptEnd: TypeAlias = (
    trace.AttemptEstablished | trace.AttemptFailed | trace.AttemptCancelled | trace.RunnerUpDiscarded
)


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
    tried = {_host_key(address) for attempt in attempts for address in (attempt.address, attempt.found)}
    return Timeline(
        race=start.race,
        host=start.host,
        port=start.port,
        policy=start.policy,
        began=start.time,
        duration=events[-1].time - start.time,
        outcome=outcome,
        error=error,
        lookups=_lookup_rows(events, start.time),
        attempts=attempts,
        untried=tuple(
            UntriedRow(address=address, known_since=known[_host_key(address)])
            for address in _latest_addresses(events)
            if _host_key(address) not in tried
        ),
        connection=events[-1].connection if isinstance(events[-1], trace.RaceWon) else None,
        run=start.run,
        proxy_for=start.proxy_for,
        wall_time=start.wall_time,
    )


def _race_outcome(last: trace.Event) -> tuple[RaceOutcome, OSError | None]:
    """Nothing happens in a race after it was won or lost."""
    if isinstance(last, trace.RaceWon):
        return RaceOutcome.WON, None
    if isinstance(last, trace.RaceLost):
        return (RaceOutcome.CANCELLED if last.error is None else RaceOutcome.LOST), last.error
    return RaceOutcome.UNDER_WAY, None


_HostKey: TypeAlias = tuple[int, str, int]
"""An address without its port: a service may have a port of its own, which address records do not know."""


def _host_key(address: Address) -> _HostKey:
    return address.family, address.host, address.scope_id


def _known_since(events: Sequence[trace.Event], began: float) -> dict[_HostKey, float]:
    known: dict[_HostKey, float] = {}
    for event in events:
        if isinstance(event, trace.AnswerReceived):
            for address in _addresses_in(event):
                known.setdefault(_host_key(address), event.time - began)
    return known


def _addresses_in(answer: trace.AnswerReceived) -> Iterator[Address]:
    """The addresses in an answer, the hints of services included."""
    yield from answer.addresses
    for service in answer.services:
        yield from service.hints


def _latest_addresses(events: Sequence[trace.Event]) -> list[Address]:
    """What is known at the end, each address once: a later answer has replaced the earlier one of its source."""
    answers = {(event.source, event.name): event for event in events if isinstance(event, trace.AnswerReceived)}
    hosts = {service.target for answer in answers.values() if answer.source in _OF_HOSTS for service in answer.services}
    addresses = [
        grouped(address, answer.name) if answer.name in hosts else address
        for answer in answers.values()
        for address in _addresses_in(answer)
    ]
    return list({_host_key(address): address for address in reversed(addresses)}.values())[::-1]


_OF_HOSTS = frozenset({Source.SRV, Source.GIVEN})
"""Whose services are several hosts; those of an HTTPS answer are ways to one."""


def _lookup_rows(events: Sequence[trace.Event], began: float) -> tuple[LookupRow, ...]:
    """A row for each query, and for each answer without one; addresses that the caller gave are no lookup."""
    rows: list[LookupRow] = []
    pending: dict[tuple[Source, str], int] = {}
    for event in events:
        if not isinstance(event, trace.ResolutionStarted | trace.AnswerReceived) or event.source is Source.GIVEN:
            continue
        now = event.time - began
        key = (event.source, event.name)
        if isinstance(event, trace.ResolutionStarted) or key not in pending:
            pending[key] = len(rows)
            rows.append(LookupRow(source=event.source, name=event.name, started=now, ended=None))
        if isinstance(event, trace.AnswerReceived):
            index = pending.pop(key)
            rows[index] = replace(
                rows[index],
                ended=now,
                addresses=event.addresses,
                services=event.services,
                error=event.error,
                server=event.server,
                ttl=event.ttl,
            )
            if event.source is Source.SYSTEM and not is_for_now(event.error):
                for family in (Source.AAAA, Source.A):
                    if (family, event.name) in pending:
                        index = pending[family, event.name]
                        rows[index] = replace(rows[index], superseded=now)
    return tuple(rows)


def _attempt_rows(
    events: Sequence[trace.Event], began: float, known: dict[_HostKey, float], race_error: OSError | None
) -> tuple[AttemptRow, ...]:
    connected = {event.attempt: event for event in events if isinstance(event, trace.AttemptConnected)}
    ends = {event.attempt: event for event in events if isinstance(event, _AttemptEnd)}
    rows: list[AttemptRow] = []
    for event in events:
        if isinstance(event, trace.AttemptStarted):
            number, started = event.attempt, event.time - began
            outcome, error = _attempt_outcome(ends.get(number), race_error)
            rows.append(
                AttemptRow(
                    number=number,
                    address=event.address,
                    known_since=known.get(_host_key(event.stands_for or event.address), started),
                    started=started,
                    connected=connected[number].time - began if number in connected else None,
                    ended=ends.get(number, events[-1]).time - began,
                    outcome=outcome,
                    error=error,
                    reason=event.reason,
                    preceded_by=rows[-1].number if rows else None,
                    phase=(number in connected and connected[number].next_phase) or Phase.HANDSHAKE,
                    delay=event.delay,
                    delay_from=event.delay_from,
                    stands_for=event.stands_for,
                    syn_retransmissions=getattr(connected.get(number, ends.get(number)), "syn_retransmissions", None),
                )
            )
    return tuple(rows)


def _attempt_outcome(end: _AttemptEnd | None, race_error: OSError | None) -> tuple[AttemptOutcome, OSError | None]:
    """An attempt that was cancelled because the time of the whole race was over has timed out."""
    if end is None:
        return AttemptOutcome.UNDER_WAY, None
    if isinstance(end, trace.AttemptFailed):
        return outcome_of_failure(end.error), end.error
    if isinstance(end, trace.AttemptCancelled):
        return (AttemptOutcome.TIMED_OUT if isinstance(race_error, ConnectTimeout) else AttemptOutcome.CANCELLED), None
    return (AttemptOutcome.RUNNER_UP if isinstance(end, trace.RunnerUpDiscarded) else AttemptOutcome.WON), None


def outcome_of_failure(error: OSError) -> AttemptOutcome:
    """Distinguish a refusal and a time-out from all other errors."""
    if isinstance(error, ConnectionRefusedError):
        return AttemptOutcome.REFUSED
    return AttemptOutcome.TIMED_OUT if isinstance(error, TimeoutError) else AttemptOutcome.FAILED


# The timeline of an error

_SOON = Policy().minimum_gap * 1.5
"""An attempt that begins within this of the end of another began because of it; section 5 makes it wait for a gap."""


def timeline_of_error(error: ConnectError) -> Timeline:
    """Sort the attempts of an error into a timeline.

    Example:
        >>> timeline_of_error(ConnectError("no route", host="example.org", port=443)).outcome
        <RaceOutcome.LOST: 'lost'>
    """
    began = min((attempt.started for attempt in error.attempts), default=0.0)
    rows: list[AttemptRow] = []
    for index, attempt in enumerate(error.attempts):
        before = error.attempts[index - 1] if index else None
        rows.append(_row_of_error(attempt, before, began))
    return Timeline(
        race=0,
        host=error.host,
        port=error.port,
        policy=None,
        began=began,
        duration=max((row.ended for row in rows), default=0.0),
        outcome=RaceOutcome.LOST,
        error=error,
        lookups=(),
        attempts=tuple(rows),
        untried=(),
    )


def _row_of_error(attempt: Attempt, before: Attempt | None, began: float) -> AttemptRow:
    return AttemptRow(
        number=attempt.number,
        address=attempt.address,
        known_since=attempt.started - began,
        started=attempt.started - began,
        connected=None if attempt.connected is None else attempt.connected - began,
        ended=attempt.ended - began,
        outcome=AttemptOutcome.TIMED_OUT if attempt.error is None else outcome_of_failure(attempt.error),
        error=attempt.error,
        reason=_likely_reason(attempt, before),
        preceded_by=before.number if before else None,
        phase=attempt.phase,
    )


def _likely_reason(attempt: Attempt, before: Attempt | None) -> trace.Reason:
    """An error does not say why an attempt began; its start does."""
    if before is None:
        return trace.Reason.FIRST
    follows_its_end = 0 <= attempt.started - before.ended <= _SOON
    return trace.Reason.PREDECESSOR_FAILED if follows_its_end else trace.Reason.DELAY_OVER


# What is shown of a long race

AT_EACH_END = 8
"""How many attempts are shown at the beginning and at the end."""


@dataclass(frozen=True, slots=True)
class Elided:
    """Consecutive attempts that are counted, not shown."""

    attempts: tuple[AttemptRow, ...]


def visible_attempts(timeline: Timeline) -> Iterator[tuple[AttemptRow, AttemptRow | None] | Elided]:
    """Iterate over the attempts, each with the one before it, which its reason refers to."""
    elided: list[AttemptRow] = []
    before: AttemptRow | None = None
    for index, attempt in enumerate(timeline.attempts):
        at_an_end = min(index, len(timeline.attempts) - 1 - index) < AT_EACH_END
        if at_an_end or attempt.outcome is AttemptOutcome.WON:
            if elided:
                yield Elided(tuple(elided))
                elided.clear()
            yield attempt, None if attempt.preceded_by is None else before
        else:
            elided.append(attempt)
        before = attempt


def visible_untried(timeline: Timeline) -> tuple[Sequence[UntriedRow], int]:
    """The first addresses that were not needed, and how many more there are."""
    return timeline.untried[: AT_EACH_END // 2], max(len(timeline.untried) - AT_EACH_END // 2, 0)


def visible_lookups(timeline: Timeline) -> tuple[Sequence[LookupRow], int]:
    """The first lookups, and how many more there are."""
    return timeline.lookups[:AT_EACH_END], max(len(timeline.lookups) - AT_EACH_END, 0)
