"""Journal: tell whoever listens what happens in a race.

Each method builds one event and calls the tracers with it. Where nobody listens no event is built, and the module of
the events is not even imported. This is the one place where tracers are called: one that raises is logged and switched
off for the rest of that race, and can never be taken for a failed connection.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from itertools import count
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import trio

from .._listening import listening, proxy_for

if TYPE_CHECKING:
    from .._address import Address
    from .._errors import Phase
    from .._policy import Policy
    from .._resolve.query import Answer, QuerySent
    from ..trace import Candidate, Event, Tracer

ReasonName: TypeAlias = Literal[
    "FIRST",
    "ALL_ANSWERED",
    "PREFERRED_ANSWERED",
    "RESOLUTION_DELAY_OVER",
    "DELAY_OVER",
    "PREDECESSOR_FAILED",
    "ADDRESS_CAME",
]
"""A member of `trace.Reason`, by its name: a race that nobody listens to does not import that."""

DelayName: TypeAlias = Literal["POLICY", "HISTORY", "MINIMUM_GAP", "SLOWED"]
"""A member of `trace.DelaySource`, for the same reason."""

_races, _runs = count(1), count(1)
"""The numbers of this process, the one state of a module that we have: whoever collects events of several threads and
runs tells by them what belongs together. `next` of it is atomic."""

_run: trio.lowlevel.RunVar[int] = trio.lowlevel.RunVar("trio_nbconnect.trace.run")


def journal(tracer: Tracer | None) -> Journal:
    """Return the journal of a new race: for this tracer and for those that listen here."""
    tracers = listening.get()
    if tracer is not None:
        tracers = (tracer, *tracers)
    return Journal(tracers) if tracers else _SILENT


class Journal:
    """Tell the tracers of one race what happens in it; with no tracer, do nothing.

    `at` is when it happened, where the race has noted that: events and errors then agree to the nanosecond.
    """

    __slots__ = ("_clock", "_host", "_is_over", "_order", "_port", "_race", "_trace", "tracers")

    def __init__(self, tracers: Iterable[Tracer]) -> None:
        self.tracers = list(tracers)
        self._is_over = False
        if self.tracers:
            from .. import trace  # noqa: PLC0415 - a race that nobody listens to needs no events

            self._trace = trace
            self._race = next(_races)
            self._host, self._port = "", 0
            self._order: tuple[Candidate, ...] = ()
            self._clock = trio.lowlevel.current_clock()

    def race_started(self, host: str, port: int, policy: Policy, *, at: float) -> None:
        if self.tracers:
            self._host, self._port = host, port
            since = self._clock.current_time() - at
            facts: dict[str, Any] = {"run": _number_of_run(), "wall_time": time.time() - since}
            self._tell(self._trace.RaceStarted, at, policy=policy, proxy_for=proxy_for.get(), **facts)

    def query_sent(self, query: QuerySent) -> None:
        if self.tracers:
            self._tell(self._trace.ResolutionStarted, source=query.source, name=query.name)

    def answer_received(self, answer: Answer) -> None:
        if self.tracers:
            self._tell(
                self._trace.AnswerReceived,
                source=answer.source,
                addresses=answer.addresses,
                error=answer.error,
                name=answer.name,
                services=answer.services,
                server=answer.server,
                ttl=answer.ttl,
            )

    def candidates_sorted(self, rows: list[dict[str, Any]]) -> None:
        if len(rows) > 1:
            order = tuple(self._trace.Candidate(**row) for row in rows)
            if order != self._order:
                self._order = order
                self._tell(self._trace.CandidatesSorted, candidates=order)

    def attempt_started(
        self,
        attempt: int,
        address: Address,
        reason: ReasonName,
        delay: float | None = None,
        delay_from: DelayName = "POLICY",
        *,
        stands_for: Address | None = None,
        at: float | None = None,
    ) -> None:
        if self.tracers:
            names: dict[str, Any] = {
                "reason": self._trace.Reason[reason],
                "delay_from": self._trace.DelaySource[delay_from],
                "stands_for": stands_for,
            }
            self._tell(self._trace.AttemptStarted, at, attempt=attempt, address=address, delay=delay, **names)

    def attempt_connected(
        self,
        attempt: int,
        address: Address,
        next_phase: Phase | None,
        retransmissions: int | None = None,
        *,
        at: float | None = None,
    ) -> None:
        if self.tracers:
            facts: dict[str, Any] = {"next_phase": next_phase, "syn_retransmissions": retransmissions}
            self._tell(self._trace.AttemptConnected, at, attempt=attempt, address=address, **facts)

    def attempt_established(self, attempt: int, address: Address) -> None:
        if self.tracers:
            self._tell(self._trace.AttemptEstablished, attempt=attempt, address=address)

    def attempt_failed(
        self,
        attempt: int,
        address: Address,
        error: OSError,
        retransmissions: int | None = None,
        *,
        at: float | None = None,
    ) -> None:
        if self.tracers:
            facts: dict[str, Any] = {"error": error, "syn_retransmissions": retransmissions}
            self._tell(self._trace.AttemptFailed, at, attempt=attempt, address=address, **facts)

    def attempt_cancelled(
        self, attempt: int, address: Address, retransmissions: int | None = None, *, at: float | None = None
    ) -> None:
        if self.tracers:
            facts: dict[str, Any] = {"syn_retransmissions": retransmissions}
            self._tell(self._trace.AttemptCancelled, at, attempt=attempt, address=address, **facts)

    def runner_up_discarded(self, attempt: int, address: Address) -> None:
        if self.tracers:
            self._tell(self._trace.RunnerUpDiscarded, attempt=attempt, address=address)

    def race_won(self, attempt: int, address: Address, inspect: Callable[[], dict[str, Any]] | None = None) -> None:
        if self.tracers:
            self._is_over = True
            now = self._clock.current_time()  # to look at the connection takes time that is not the race's
            facts = None if inspect is None else self._trace.Connection(**inspect())
            self._tell(self._trace.RaceWon, now, attempt=attempt, address=address, connection=facts)

    def race_lost(self, error: OSError | None) -> None:
        if self.tracers and not self._is_over:
            self._is_over = True
            self._tell(self._trace.RaceLost, error=error)

    def _tell(self, kind: type[Event], at: float | None = None, **facts: Any) -> None:
        now = self._clock.current_time() if at is None else at
        event = kind(race=self._race, time=now, host=self._host, port=self._port, **facts)
        for tracer in self.tracers:
            try:
                tracer(event)
            except Exception:  # foreign code
                self.tracers = [other for other in self.tracers if other is not tracer]
                logging.getLogger("trio_nbconnect").exception("tracer %r raised; it is off for this race", tracer)


def _number_of_run() -> int:
    """The number of this `trio.run`, among those in which somebody listens."""
    try:
        return _run.get()
    except LookupError:
        _run.set(next(_runs))
        return _run.get()


_SILENT = Journal(())
