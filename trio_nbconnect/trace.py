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
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from ._address import Address
from ._errors import ConnectError
from ._policy import Policy
from ._resolve.query import Service, Source

__all__ = [
    "AnswerReceived",
    "AttemptCancelled",
    "AttemptConnected",
    "AttemptEstablished",
    "AttemptFailed",
    "AttemptStarted",
    "Event",
    "RaceLost",
    "RaceStarted",
    "RaceWon",
    "Reason",
    "ResolutionStarted",
    "RunnerUpDiscarded",
    "Tracer",
]


def __dir__() -> list[str]:
    return __all__


class Reason(enum.Enum):
    """Why an attempt began when it did (RFC 8305, section 5)."""

    FIRST = "first"
    DELAY_OVER = "attempt delay over"
    PREDECESSOR_FAILED = "predecessor failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Happened:
    """When something happened, in seconds on Trio's clock, and in which race of this `trio.run`."""

    race: int
    time: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RaceStarted(_Happened):
    """Somebody asked for a connection.

    Attributes:
        race: The number of the race, in this `trio.run`.
        time: When it happened, in seconds on Trio's clock.
        host: The host, as it was asked for.
        port: The port.
        policy: The delays and limits of the race.
    """

    host: str
    port: int
    policy: Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolutionStarted(_Happened):
    """A query went out for addresses from this source.

    Attributes:
        race: The number of the race, in this `trio.run`.
        time: When it happened, in seconds on Trio's clock.
        source: Who is asked for addresses.
        name: Whose records were asked for; empty for the host itself.
    """

    source: Source
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerReceived(_Happened):
    """Addresses came from a source, or none and perhaps an error; they replace its earlier answer.

    Attributes:
        race: The number of the race, in this `trio.run`.
        time: When it happened, in seconds on Trio's clock.
        source: Who has answered.
        addresses: The addresses, as they came.
        error: Why there are none; None if the name merely has no such records.
        name: Whose records they are; empty for the host itself.
        services: What an HTTPS answer holds.
    """

    source: Source
    addresses: tuple[Address, ...]
    error: OSError | None
    name: str = ""
    services: tuple[Service, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptStarted(_Happened):
    """An attempt began; attempts of a race are numbered from 1.

    Attributes:
        race: The number of the race, in this `trio.run`.
        time: When it happened, in seconds on Trio's clock.
        attempt: The number of the attempt in its race, from 1.
        address: Where to.
        reason: Why it began when it did.
    """

    attempt: int
    address: Address
    reason: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptConnected(_Happened):
    """The TCP handshake is complete.

    Attributes:
        race: The number of the race, in this `trio.run`.
        time: When it happened, in seconds on Trio's clock.
        attempt: The number of the attempt in its race, from 1.
        address: Where to.
    """

    attempt: int
    address: Address


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptEstablished(_Happened):
    """An outcome: the connection is all that the caller asked for.

    Attributes:
        race: The number of the race, in this `trio.run`.
        time: When it happened, in seconds on Trio's clock.
        attempt: The number of the attempt in its race, from 1.
        address: Where to.
    """

    attempt: int
    address: Address


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptFailed(_Happened):
    """An outcome: the attempt ended with an error.

    Attributes:
        race: The number of the race, in this `trio.run`.
        time: When it happened, in seconds on Trio's clock.
        attempt: The number of the attempt in its race, from 1.
        address: Where to.
        error: What it failed with.
    """

    attempt: int
    address: Address
    error: OSError


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptCancelled(_Happened):
    """An outcome: the race was over, or its caller gave up, while the attempt was under way.

    Attributes:
        race: The number of the race, in this `trio.run`.
        time: When it happened, in seconds on Trio's clock.
        attempt: The number of the attempt in its race, from 1.
        address: Where to.
    """

    attempt: int
    address: Address


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerUpDiscarded(_Happened):
    """An established connection was closed unused: another attempt had won, or the caller was cancelled.

    Attributes:
        race: The number of the race, in this `trio.run`.
        time: When it happened, in seconds on Trio's clock.
        attempt: The number of the attempt in its race, from 1.
        address: Where to.
    """

    attempt: int
    address: Address


@dataclass(frozen=True, slots=True, kw_only=True)
class RaceWon(_Happened):
    """This attempt's connection was returned.

    Attributes:
        race: The number of the race, in this `trio.run`.
        time: When it happened, in seconds on Trio's clock.
        attempt: The number of the attempt in its race, from 1.
        address: Where to.
    """

    attempt: int
    address: Address


@dataclass(frozen=True, slots=True, kw_only=True)
class RaceLost(_Happened):
    """The race ended without a connection; no error means that its caller cancelled it.

    Attributes:
        race: The number of the race, in this `trio.run`.
        time: When it happened, in seconds on Trio's clock.
        error: What the caller is told; None if it was cancelled.
    """

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
