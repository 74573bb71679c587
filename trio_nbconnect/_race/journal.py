"""Journal: tell whoever listens what happens in a race.

Each method builds one event and calls the tracers with it. Where nobody listens no event is built, and the module of
the events is not even imported. This is the one place where tracers are called: one that raises is logged and switched
off for the rest of that race, and can never be taken for a failed connection.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from itertools import count
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import trio

from .._listening import listening

if TYPE_CHECKING:
    from .._address import Address
    from .._errors import ConnectError
    from .._policy import Policy
    from .._resolve.query import Answer, QuerySent
    from ..trace import Event, Tracer

ReasonName: TypeAlias = Literal[
    "FIRST", "ALL_ANSWERED", "PREFERRED_ANSWERED", "RESOLUTION_DELAY_OVER", "DELAY_OVER", "PREDECESSOR_FAILED"
]
"""A member of `trace.Reason`, by its name: a race that nobody listens to does not import that."""

_races: trio.lowlevel.RunVar[Iterator[int]] = trio.lowlevel.RunVar("trio_nbconnect.trace.races")


def journal(tracer: Tracer | None) -> Journal:
    """Return the journal of a new race: for this tracer and for those that listen here."""
    tracers = listening.get()
    if tracer is not None:
        tracers = (tracer, *tracers)
    return Journal(tracers) if tracers else _SILENT


class Journal:
    """Tell the tracers of one race what happens in it; with no tracer, do nothing."""

    __slots__ = ("_clock", "_is_over", "_race", "_trace", "tracers")

    def __init__(self, tracers: Iterable[Tracer]) -> None:
        self.tracers = list(tracers)
        self._is_over = False
        if self.tracers:
            from .. import trace  # noqa: PLC0415 - a race that nobody listens to needs no events

            self._trace = trace
            self._race = next(_numbers())
            self._clock = trio.lowlevel.current_clock()

    def race_started(self, host: str, port: int, policy: Policy) -> None:
        if self.tracers:
            self._tell(self._trace.RaceStarted, host=host, port=port, policy=policy)

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
            )

    def attempt_started(self, attempt: int, address: Address, reason: ReasonName) -> None:
        if self.tracers:
            reasons = self._trace.Reason
            self._tell(self._trace.AttemptStarted, attempt=attempt, address=address, reason=reasons[reason])

    def attempt_connected(self, attempt: int, address: Address, *, is_all: bool) -> None:
        if self.tracers:
            self._tell(self._trace.AttemptConnected, attempt=attempt, address=address, is_all=is_all)

    def attempt_established(self, attempt: int, address: Address) -> None:
        if self.tracers:
            self._tell(self._trace.AttemptEstablished, attempt=attempt, address=address)

    def attempt_failed(self, attempt: int, address: Address, error: OSError) -> None:
        if self.tracers:
            self._tell(self._trace.AttemptFailed, attempt=attempt, address=address, error=error)

    def attempt_cancelled(self, attempt: int, address: Address) -> None:
        if self.tracers:
            self._tell(self._trace.AttemptCancelled, attempt=attempt, address=address)

    def runner_up_discarded(self, attempt: int, address: Address) -> None:
        if self.tracers:
            self._tell(self._trace.RunnerUpDiscarded, attempt=attempt, address=address)

    def race_won(self, attempt: int, address: Address) -> None:
        if self.tracers:
            self._is_over = True
            self._tell(self._trace.RaceWon, attempt=attempt, address=address)

    def race_lost(self, error: ConnectError | None) -> None:
        if self.tracers and not self._is_over:
            self._is_over = True
            self._tell(self._trace.RaceLost, error=error)

    def _tell(self, kind: type[Event], **facts: Any) -> None:
        event = kind(race=self._race, time=self._clock.current_time(), **facts)
        for tracer in self.tracers:
            try:
                tracer(event)
            except Exception:  # foreign code
                self.tracers = [other for other in self.tracers if other is not tracer]
                logging.getLogger("trio_nbconnect").exception("tracer %r raised; it is off for this race", tracer)


def _numbers() -> Iterator[int]:
    """The numbers of the races of this `trio.run` that somebody listens to."""
    try:
        return _races.get()
    except LookupError:
        _races.set(count(1))
        return _races.get()


_SILENT = Journal(())
