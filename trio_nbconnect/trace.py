"""Trace: what happened in a race, as data.

A tracer is any callable that takes one event; it is not async and should be quick. Events are frozen, named in the
past tense, and a closed set: `Event` lists them. A race with no tracer builds none of them.

Rule 1: every `AttemptStarted` has exactly one outcome: `AttemptEstablished`, `AttemptFailed` or `AttemptCancelled`.
Rule 2: every `RaceStarted` has exactly one: `RaceWon` or `RaceLost`.
Rule 3: a tracer can do no harm. One that raises is logged and switched off for the rest of that race.

The names follow the draft qlog vocabulary for Happy Eyeballs (draft-kuehlewind-happy-qlog) where it has one.

A tracer is given to a connector, or to `listen` for all that a block or a program connects, through any library.
`log_to` is a ready one, for the `logging` module.
"""

from __future__ import annotations

import enum
import functools
import inspect
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from typing import Protocol, TypeAlias

from ._address import Address, format_host_port
from ._errors import Phase
from ._listening import listening
from ._policy import Policy
from ._printable import printable
from ._resolve.query import Service, Source

__all__ = [
    "AnswerReceived",
    "AttemptCancelled",
    "AttemptConnected",
    "AttemptEstablished",
    "AttemptFailed",
    "AttemptStarted",
    "Candidate",
    "CandidatesSorted",
    "Connection",
    "DelaySource",
    "Event",
    "Listener",
    "Logger",
    "RaceLost",
    "RaceStarted",
    "RaceWon",
    "Reason",
    "ResolutionStarted",
    "RunnerUpDiscarded",
    "Tracer",
    "check_tracer",
    "listen",
    "log_to",
]


def __dir__() -> list[str]:
    return __all__


class Reason(enum.Enum):
    """Why an attempt began when it did (RFC 8305, sections 3 and 5).

    Attributes:
        FIRST: It is the first of its race, and its address was given.
        ALL_ANSWERED: It is the first, and all answers were there.
        PREFERRED_ANSWERED: It is the first, and others were still expected, but not from the preferred family.
        RESOLUTION_DELAY_OVER: It is the first, and the preferred family had not answered in time.
        DELAY_OVER: The one before had its delay, and goes on.
        PREDECESSOR_FAILED: The one before has failed.
        ADDRESS_CAME: It was due already, and there had been no address left to try.
    """

    FIRST = "first"
    ALL_ANSWERED = "all answered"
    PREFERRED_ANSWERED = "preferred family answered"
    RESOLUTION_DELAY_OVER = "resolution delay over"
    DELAY_OVER = "attempt delay over"
    PREDECESSOR_FAILED = "predecessor failed"
    ADDRESS_CAME = "address came"


class DelaySource(enum.Enum):
    """Where the delay after an attempt comes from (RFC 8305, section 5).

    Attributes:
        POLICY: `Policy.attempt_delay`, and its multiplier.
        HISTORY: The round-trip time that a history knows.
        MINIMUM_GAP: `Policy.minimum_gap`, since the delay would have been shorter.
        SLOWED: `Policy.maximum_delay`, since `Policy.attempts_at_full_pace` were under way.
    """

    POLICY = "policy"
    HISTORY = "history"
    MINIMUM_GAP = "minimum gap"
    SLOWED = "slowed"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Happened:
    """When something happened, in seconds on Trio's clock, and in which race: its number, its host and its port.

    Races that went the same way have equal events: the number does not count.
    """

    race: int = field(compare=False)
    time: float
    host: str = field(default="", repr=False)
    port: int = field(default=0, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class RaceStarted(_Happened):
    """A connection was asked for.

    Attributes:
        race: The number of the race, in this process.
        time: When it happened, in seconds on Trio's clock.
        host: The host, as it was asked for.
        port: The port.
        policy: The delays and limits of the race.
        run: The number of the `trio.run` it is in, in this process: each has a clock of its own.
        proxy_for: What is to be reached through this host, if it is a proxy; else empty.
        wall_time: What the system's clock said, in seconds since 1970; 0 if that was not noted.
    """

    host: str
    port: int
    policy: Policy
    run: int = field(default=0, repr=False, compare=False)
    proxy_for: str = ""
    wall_time: float = field(default=0.0, repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolutionStarted(_Happened):
    """A query went out for addresses from this source.

    Attributes:
        race: The number of the race, in this process.
        time: When it happened, in seconds on Trio's clock.
        host: The host of the race, as it was asked for.
        port: Its port.
        source: Who is asked for addresses.
        name: Whose records were asked for; empty for the host itself.
    """

    source: Source
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerReceived(_Happened):
    """Addresses came from a source, or none and perhaps an error; they replace its earlier answer.

    Attributes:
        race: The number of the race, in this process.
        time: When it happened, in seconds on Trio's clock.
        host: The host of the race, as it was asked for.
        port: Its port.
        source: Who has answered.
        addresses: The addresses, as they came.
        error: Why there are none; None if the name merely has no such records.
        name: Whose records they are; empty for the host itself.
        services: What an HTTPS answer holds.
        server: The name server that has answered; empty where that is not known, as from the operating system.
        ttl: How many seconds the name server lets the answer be kept; None where that is not known.
    """

    source: Source
    addresses: tuple[Address, ...]
    error: OSError | None
    name: str = ""
    services: tuple[Service, ...] = ()
    server: str = ""
    ttl: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """An address that may be tried, and why it stands where it does.

    Attributes:
        address: Where to.
        source: Who has named it.
        placed_by: What put it behind the one before it, or before all others: a rule of RFC 6724, say.
        round_trip_time: What a history knows, in seconds; None if nothing.
        used: Whether a history knows that a connection to it was handed out lately.
    """

    address: Address
    source: Source
    placed_by: str
    round_trip_time: float | None = None
    used: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidatesSorted(_Happened):
    """The addresses that are known now stand in another order than before, those already tried included.

    Attributes:
        race: The number of the race, in this process.
        time: When it happened, in seconds on Trio's clock.
        host: The host of the race, as it was asked for.
        port: Its port.
        candidates: All of them, the best first; where there is one only, this event is left out.
    """

    candidates: tuple[Candidate, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptStarted(_Happened):
    """An attempt began; attempts of a race are numbered from 1.

    Attributes:
        race: The number of the race, in this process.
        time: When it happened, in seconds on Trio's clock.
        host: The host of the race, as it was asked for.
        port: Its port.
        attempt: The number of the attempt in its race, from 1.
        address: Where to.
        reason: Why it began when it did.
        delay: How many seconds the next attempt waits for this one, unless it fails; None where that is not known.
        delay_from: Where that delay comes from.
        stands_for: The address that was found, where a translator (NAT64) stands in for it at this one; else None.
    """

    attempt: int
    address: Address
    reason: Reason
    delay: float | None = None
    delay_from: DelaySource = DelaySource.POLICY
    stands_for: Address | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptConnected(_Happened):
    """The TCP handshake is complete.

    Attributes:
        race: The number of the race, in this process.
        time: When it happened, in seconds on Trio's clock.
        host: The host of the race, as it was asked for.
        port: Its port.
        attempt: The number of the attempt in its race, from 1.
        address: Where to.
        next_phase: What begins now on top of it; None if this is all.
        syn_retransmissions: How often the kernel has sent the SYN again; None where it does not say.
    """

    attempt: int
    address: Address
    next_phase: Phase | None = None
    syn_retransmissions: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptEstablished(_Happened):
    """An outcome: the connection is all that the caller asked for.

    Attributes:
        race: The number of the race, in this process.
        time: When it happened, in seconds on Trio's clock.
        host: The host of the race, as it was asked for.
        port: Its port.
        attempt: The number of the attempt in its race, from 1.
        address: Where to.
    """

    attempt: int
    address: Address


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptFailed(_Happened):
    """An outcome: the attempt ended with an error.

    Attributes:
        race: The number of the race, in this process.
        time: When it happened, in seconds on Trio's clock.
        host: The host of the race, as it was asked for.
        port: Its port.
        attempt: The number of the attempt in its race, from 1.
        address: Where to.
        error: What it failed with.
        syn_retransmissions: How often the kernel has sent the SYN again, if it did not connect; None where it does not
            say.
    """

    attempt: int
    address: Address
    error: OSError
    syn_retransmissions: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptCancelled(_Happened):
    """An outcome: the race was over, or its caller gave up, while the attempt was under way.

    Attributes:
        race: The number of the race, in this process.
        time: When it happened, in seconds on Trio's clock.
        host: The host of the race, as it was asked for.
        port: Its port.
        attempt: The number of the attempt in its race, from 1.
        address: Where to.
        syn_retransmissions: As in `AttemptFailed`.
    """

    attempt: int
    address: Address
    syn_retransmissions: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerUpDiscarded(_Happened):
    """An established connection was closed unused: another attempt had won, or the caller was cancelled.

    Attributes:
        race: The number of the race, in this process.
        time: When it happened, in seconds on Trio's clock.
        host: The host of the race, as it was asked for.
        port: Its port.
        attempt: The number of the attempt in its race, from 1.
        address: Where to.
    """

    attempt: int
    address: Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """What is known of a connection when it is handed out.

    Attributes:
        local_address: Where it comes from; None for a UNIX socket.
        round_trip_time: What the kernel has measured, in seconds; None if it does not say.
        tls_version: As "TLSv1.3"; empty without TLS, or if its handshake comes later.
        cipher: The cipher suite of TLS.
        alpn: The protocol that the server has chosen (RFC 7301).
        certificate_names: The names and addresses in the server's certificate, if it was verified.
        certificate_until: When the certificate expires, in seconds since 1970.
    """

    local_address: Address | None = None
    round_trip_time: float | None = None
    tls_version: str = ""
    cipher: str = ""
    alpn: str = ""
    certificate_names: tuple[str, ...] = ()
    certificate_until: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RaceWon(_Happened):
    """This attempt's connection was returned.

    Attributes:
        race: The number of the race, in this process.
        time: When it happened, in seconds on Trio's clock.
        host: The host of the race, as it was asked for.
        port: Its port.
        attempt: The number of the attempt in its race, from 1.
        address: Where to.
        connection: What is known of the connection.
    """

    attempt: int
    address: Address
    connection: Connection | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RaceLost(_Happened):
    """The race ended without a connection; no error means that its caller was cancelled, or interrupted.

    Attributes:
        race: The number of the race, in this process.
        time: When it happened, in seconds on Trio's clock.
        host: The host of the race, as it was asked for.
        port: Its port.
        error: What the caller gets, a `ConnectError`; of a bug in the caller's code, which comes out as it is, an
            `OSError` that names it; None if it was cancelled.
    """

    error: OSError | None


Event: TypeAlias = (
    RaceStarted
    | ResolutionStarted
    | AnswerReceived
    | CandidatesSorted
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
"""Called with each event, in the task that it happened in. Not async, and quick: the race waits for it."""


def check_tracer(tracer: Tracer) -> Tracer:
    """Return a tracer, or raise `TypeError` if it cannot be one: not callable, async, or a generator function.

    Example:
        >>> check_tracer(print) is print
        True
    """
    function: object = tracer
    while isinstance(function, functools.partial):
        function = function.func
    kinds = inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction
    called = (function, inspect.getattr_static(type(function), "__call__", None))
    if not callable(tracer) or any(is_kind(each) for is_kind in kinds for each in called):
        raise TypeError(f"tracer must be a callable that is not async, not {tracer!r}")
    return tracer


class Listener:
    """Calls a tracer for what a context connects, from `start` to `stop` or in a `with` block; see `listen`."""

    __slots__ = ("_tracer",)

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = check_tracer(tracer)

    def start(self) -> Listener:
        """Listen to all that is connected from now on in this context, and in the tasks and runs it starts."""
        listening.set((*listening.get(), self._tracer))
        return self

    def stop(self) -> None:
        """End listening in this context; the tracer still gets the events of races that have started."""
        tracers = list(listening.get())
        if self._tracer in tracers:
            tracers.remove(self._tracer)
            listening.set(tuple(tracers))

    def __enter__(self) -> Listener:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


def listen(tracer: Tracer) -> Listener:
    """Call a tracer with the events of all that is connected, through any library.

    In a `with` block: what the block and the tasks that it starts connect. For a whole program, call `start` before
    `trio.run`; it is for all runs that follow in this thread. A race that began earlier has no events for it.

    Args:
        tracer: Called with each event. Not async, and quick: the race waits for it.

    Returns:
        A context manager with `start` and `stop`.

    Raises:
        TypeError: The tracer is not callable, or async.

    Example:
        >>> import socket, trio, trio_nbconnect as nb
        >>> async def main():
        ...     with socket.create_server(("127.0.0.1", 0)) as listener:
        ...         with nb.trace.listen(lambda event: print(type(event).__name__)):
        ...             await (await nb.open_tcp_stream(*listener.getsockname())).aclose()
        >>> trio.run(main)
        RaceStarted
        AnswerReceived
        AttemptStarted
        AttemptConnected
        AttemptEstablished
        RaceWon
    """
    return Listener(tracer)


class Logger(Protocol):
    """What `log_to` needs of a logger: `logging.Logger` has it, and so have those of structlog."""

    def log(self, level: int, message: str, /, *arguments: object) -> object:
        """Log a message, its arguments put in as `%` does."""


def log_to(logger: Logger) -> Listener:
    """Log the events of all that is connected, one record each.

    A race that was lost is a warning and one that was won is info; everything else is debug.

    Args:
        logger: Where to: a `logging.Logger`, or one of structlog.

    Returns:
        A context manager with `start` and `stop`; see `listen`.

    Example:
        >>> import logging
        >>> log_to(logging.getLogger("myprogram.connections")).start().stop()
    """
    return Listener(_Log(logger))


class _Log:
    """A tracer that writes to a logger."""

    def __init__(self, logger: Logger) -> None:
        self._logger = logger
        names = ("isEnabledFor", "is_enabled_for")  # that of `logging`, and that of structlog
        enabled = (getattr(logger, name, None) for name in names)
        self._is_enabled: Callable[[int], bool] = next(filter(None, enabled), lambda _: True)
        self._started: dict[int, float] = {}

    def __call__(self, event: Event) -> None:
        began = self._started.setdefault(event.race, event.time)
        level = logging.DEBUG
        if isinstance(event, RaceWon | RaceLost):
            del self._started[event.race]
            level = logging.INFO if isinstance(event, RaceWon) else logging.WARNING
        if self._is_enabled(level):
            milliseconds = (event.time - began) * 1000
            words = ", ".join([type(event).__name__, *_facts(event)])
            target = printable(format_host_port(event.host, event.port))
            self._logger.log(level, "race %d, %s, %.1f ms: %s", event.race, target, milliseconds, words)


_NOT_LOGGED = frozenset(("race", "time", "host", "port", "policy", "run", "wall_time", "candidates", "connection"))


def _facts(event: Event) -> Iterator[str]:
    """What an event says, field by field; some are too long for a line."""
    for each in fields(event):
        value = getattr(event, each.name)
        if each.name in _NOT_LOGGED or value in (None, "", ()):
            continue
        if isinstance(value, enum.Enum):
            value = value.value
        elif isinstance(value, tuple):
            value = " ".join(map(str, value))
        yield printable(f"{each.name} {value}")
