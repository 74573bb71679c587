"""Trace: what happened in a race, as data.

A tracer is any callable that takes one event; it is not async and should be quick. Events are frozen, named in the
past tense, and a closed set: `Event` lists them. A race with no tracer builds none of them.

Rule 1: every `AttemptStarted` has exactly one outcome: `AttemptEstablished`, `AttemptFailed` or `AttemptCancelled`.
Rule 2: every `RaceStarted` has exactly one: `RaceWon` or `RaceLost`.
Rule 3: a tracer can do no harm. One that raises is logged and switched off for the rest of that race.

The names follow the draft qlog vocabulary for Happy Eyeballs (draft-kuehlewind-happy-qlog) where it has one.
"""

from __future__ import annotations

import enum
import logging
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from itertools import count
from typing import Any, TypeAlias

import trio

from ._address import Address
from ._errors import ConnectError
from ._policy import Policy
from ._quick import quick
from ._resolve.query import Service, Source


class Reason(enum.Enum):
    """Why an attempt began when it did (RFC 8305, section 5)."""

    FIRST = "first"
    DELAY_OVER = "attempt delay over"
    PREDECESSOR_FAILED = "predecessor failed"


@quick(frozen=True, slots=True, kw_only=True)
class _Happened:
    """When something happened, in seconds on Trio's clock, and in which race of this `trio.run`."""

    race: int
    time: float

    @classmethod
    def _made(cls, *facts: Any) -> Any:
        """Make an event of its facts in their order; `quick` says how."""
        raise NotImplementedError


@quick(frozen=True, slots=True, kw_only=True)
class RaceStarted(_Happened):
    """Somebody asked for a connection."""

    host: str
    port: int
    policy: Policy


@quick(frozen=True, slots=True, kw_only=True)
class ResolutionStarted(_Happened):
    """A query went out for addresses from this source."""

    source: Source
    name: str = ""
    """Whose records were asked for; empty for the host itself."""


@quick(frozen=True, slots=True, kw_only=True)
class AnswerReceived(_Happened):
    """Addresses came from a source, or none and perhaps an error; they replace its earlier answer."""

    source: Source
    addresses: tuple[Address, ...]
    error: OSError | None
    name: str = ""
    """Whose records they are; empty for the host itself."""
    services: tuple[Service, ...] = ()
    """What an HTTPS answer holds."""


@quick(frozen=True, slots=True, kw_only=True)
class AttemptStarted(_Happened):
    """An attempt began; attempts of a race are numbered from 1."""

    attempt: int
    address: Address
    reason: Reason


@quick(frozen=True, slots=True, kw_only=True)
class AttemptConnected(_Happened):
    """The TCP handshake is complete."""

    attempt: int
    address: Address


@quick(frozen=True, slots=True, kw_only=True)
class AttemptEstablished(_Happened):
    """An outcome: the connection is all that the caller asked for."""

    attempt: int
    address: Address


@quick(frozen=True, slots=True, kw_only=True)
class AttemptFailed(_Happened):
    """An outcome: the attempt ended with an error."""

    attempt: int
    address: Address
    error: OSError


@quick(frozen=True, slots=True, kw_only=True)
class AttemptCancelled(_Happened):
    """An outcome: the race was over, or its caller gave up, while the attempt was under way."""

    attempt: int
    address: Address


@quick(frozen=True, slots=True, kw_only=True)
class RunnerUpDiscarded(_Happened):
    """An established connection was closed unused: another attempt had won, or the caller was cancelled."""

    attempt: int
    address: Address


@quick(frozen=True, slots=True, kw_only=True)
class RaceWon(_Happened):
    """This attempt's connection was returned."""

    attempt: int
    address: Address


@quick(frozen=True, slots=True, kw_only=True)
class RaceLost(_Happened):
    """The race ended without a connection; no error means that its caller cancelled it."""

    error: ConnectError | None


Event: TypeAlias = (
    RaceStarted
    | ResolutionStarted
    | AnswerReceived
    | AttemptStarted
    | AttemptConnected
    | AttemptEstablished
    | AttemptFailed
    | AttemptCancelled
    | RunnerUpDiscarded
    | RaceWon
    | RaceLost
)

Tracer: TypeAlias = Callable[[Event], object]

listening: ContextVar[tuple[Tracer, ...]] = ContextVar("trio_nbconnect.trace.listening", default=())
"""The tracers of everything that this context, and the tasks it starts, will connect."""

_races: trio.lowlevel.RunVar[Iterator[int]] = trio.lowlevel.RunVar("trio_nbconnect.trace.races")


def _numbers() -> Iterator[int]:
    """The numbers of the races of this `trio.run` that somebody listens to."""
    try:
        return _races.get()
    except LookupError:
        _races.set(count(1))
        return _races.get()


def journal(tracer: Tracer | None) -> Journal:
    """Return the journal of a new race: for this tracer and for those that listen here."""
    tracers = listening.get()
    if tracer is not None:
        tracers = (tracer, *tracers)
    return Journal(tracers) if tracers else _SILENCE


class Journal:
    """Tell the tracers of one race what happens in it; with no tracer, do nothing.

    Attributes:
        tracers: Those who listen. Where an event is often told, look here first: to gather its facts costs, too.
    """

    __slots__ = ("_clock", "_race", "tracers")

    def __init__(self, tracers: Iterable[Tracer]) -> None:
        self.tracers = list(tracers)
        self._race = 0
        if self.tracers:
            self._race = next(_numbers())
            self._clock = trio.lowlevel.current_clock()

    def tell(self, happened: type[Event], *facts: Any) -> None:
        """Emit one event, with its facts in their order: the single place where tracers are called."""
        if not self.tracers:
            return
        event = happened._made(self._race, self._clock.current_time(), *facts)
        for tracer in self.tracers:
            try:
                tracer(event)
            except Exception:  # a tracer is foreign code; rule 3 shields the race from it
                self.tracers = [other for other in self.tracers if other is not tracer]
                logging.getLogger("trio_nbconnect").exception("tracer %r raised; it is off for this race", tracer)


_SILENCE = Journal(())
