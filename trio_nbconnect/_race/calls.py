"""Calls: the same race between attempts of any kind, each an async function of the caller's.

Programs dial peers over QUIC, WebSockets and relays as well as TCP. What RFC 8305, section 5, says of pace, failure and
the first to succeed holds for these, too; only what begins an attempt is another thing. So a call takes the place of a
handshake, a label that of an address, and groups those of the families. Attempts that arrive over time are answers.

A call lives in a task: cancelled, it is lost, and closes what it has opened. What it has returned belongs to the race,
and if nobody gets it, it is closed when the race is over, since to close it may mean to wait.
"""

from __future__ import annotations

import inspect
import logging
import math
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, TypeVar

import trio

from .._address import UNSPECIFIED, Address, GroupedAddress, Target
from .._policy import Policy, check_seconds
from .._resolve.query import Answer, Query, SendAnswer, Source
from ..trace import Tracer, check_tracer
from .candidates import Candidates
from .journal import journal
from .race import Race
from .resolution import Resolution

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

_PATIENCE = 1.0
"""Seconds that the closing of one result may take."""


@dataclass(frozen=True, slots=True)
class Dial(Generic[T_co]):
    """An attempt that `race` may make.

    Args:
        label: What errors, events and pictures call it; each of a race has its own.
        dial: An async callable without arguments; what it returns is what the race may return. It closes what it has
            opened, unless it returns it.
        group: Groups alternate as address families do (RFC 8305, section 4): "udp" and "tcp", say.

    Raises:
        TypeError: An argument is of the wrong type.

    Example:
        >>> from functools import partial
        >>> import trio
        >>> Dial("TCP", partial(trio.open_tcp_stream, "192.0.2.1", 4001), group="tcp").label
        'TCP'
    """

    label: str
    dial: Callable[[], Awaitable[T_co]]
    group: str = field(default="", kw_only=True)

    def __post_init__(self) -> None:
        for name in ("label", "group"):
            if not isinstance(getattr(self, name), str):
                raise TypeError(f"{name} must be str, not {getattr(self, name)!r}")
        if not callable(self.dial):
            raise TypeError(f"dial must be an async callable, not {self.dial!r}")


async def race(
    attempts: Iterable[Dial[T]] | AsyncIterable[Dial[T]],
    *,
    name: str = "peer",
    policy: Policy = Policy(),
    close: Callable[[T], object] = trio.aclose_forcefully,  # type: ignore[assignment]  # others are refused at once
    failures: type[Exception] | tuple[type[Exception], ...] = (),
    give_up_after: float = math.inf,
    tracer: Tracer | None = None,
) -> T:
    """Make attempts of any kind, one after the other and overlapping, and return what the first to succeed returns.

    The next begins when the newest has failed or `policy.attempt_delay` is over, and the others go on (RFC 8305,
    section 5). The rest is cancelled and over when this returns.

    An attempt fails by raising `OSError`, `trio.BrokenResourceError`, `trio.TooSlowError`, `EOFError`, or one of
    `failures`. Anything else it raises is a bug, ends the race and comes out as it is.

    Args:
        attempts: The dials, the preferred one first; or an async iterable of them, which may arrive over time. It is
            iterated over in a task that is cancelled when the race is over.
        name: Whom all of them connect to, for errors, events and pictures.
        policy: The delays and limits of the race; what it says of families is not used.
        close: Closes a result that nobody gets, since another attempt was as fast or the race was cancelled: an async
            function, or one that returns at once. It has a second, and an error of its own is logged.
        failures: What else an attempt may fail with: exceptions that are no `OSError`.
        give_up_after: Seconds for the whole call.
        tracer: A callable that is told each event; see `trio_nbconnect.trace`.

    Raises:
        ConnectError: No attempt has succeeded; `attempts` of the error say what each met.
        TypeError: An argument is of the wrong type.
        ValueError: There are no attempts, or two with one label; or a number makes no sense.

    Example:
        >>> import trio
        >>> async def quic():
        ...     raise ConnectionRefusedError("nobody speaks QUIC there")
        >>> async def relay():
        ...     return "a connection"
        >>> async def main():
        ...     attempts = [Dial("QUIC", quic), Dial("relay", relay)]
        ...     print(await race(attempts, close=lambda connection: None))
        >>> trio.run(main)
        a connection
    """
    if not isinstance(policy, Policy):
        raise TypeError(f"policy must be Policy, not {policy!r}")
    if not isinstance(name, str):
        raise TypeError(f"name must be str, not {name!r}")
    if not callable(close):
        raise TypeError(f"close must be callable, not {close!r}")
    calls: _Calls[T] = _Calls(attempts, close, failures)
    heard = journal(None if tracer is None else check_tracer(tracer))
    target = Target(name, 0, "", calls.known())
    resolution = Resolution(
        target,
        policy,
        (UNSPECIFIED,),
        Candidates(policy),
        heard,
        resolver=calls if calls.arrive else None,
        alone_until=-math.inf,
        services=False,
        nat64=None,
        last_resort=False,
    )
    running: Race[T] = Race(
        target,
        policy,
        resolution,
        calls,
        establish=None,
        is_tls=False,
        give_up_after=check_seconds("give_up_after", give_up_after),
        journal=heard,
        history=None,
    )
    winners: list[T] = []
    try:
        winners.append(await running.run())
        await calls.close_unused()
        return winners.pop()
    finally:  # to close a runner-up may raise what is no `Exception`; then nobody gets the winner either
        calls.unused += winners
        await calls.close_unused()


class _Calls(Generic[T]):
    """The attempts of one race: whatever begins, brings and closes them. It is the race's `Opener` and `Resolver`."""

    is_resumable = False
    adds_notes = True

    def __init__(
        self,
        attempts: Iterable[Dial[T]] | AsyncIterable[Dial[T]],
        close: Callable[[T], object],
        failures: type[Exception] | tuple[type[Exception], ...],
    ) -> None:
        self._attempts = attempts
        self._close = close
        self.failures = failures if isinstance(failures, tuple) else (failures,)
        if not all(isinstance(kind, type) and issubclass(kind, Exception) for kind in self.failures):
            raise TypeError(f"failures must be exception types, not {failures!r}")
        self.arrive = isinstance(attempts, AsyncIterable)
        self.unused: list[T] = []
        self._dials: dict[Address, Dial[T]] = {}

    def known(self) -> tuple[Address, ...]:
        """Read the attempts, where they do not arrive over time."""
        if isinstance(self._attempts, AsyncIterable):
            return ()
        if not isinstance(self._attempts, Iterable):
            raise TypeError(f"attempts must be an iterable of Dial, not {self._attempts!r}")
        for dial in self._attempts:
            self._add(dial)
        if not self._dials:
            raise ValueError("attempts must not be empty")
        return tuple(self._dials)

    async def resolve(self, query: Query, send_answer: SendAnswer) -> None:
        """Bring the attempts as they arrive."""
        assert isinstance(self._attempts, AsyncIterable)
        async for dial in self._attempts:
            self._add(dial)
            send_answer(Answer(Source.GIVEN, tuple(self._dials)))

    def _add(self, dial: Dial[T]) -> None:
        if not isinstance(dial, Dial):
            raise TypeError(f"attempts must be an iterable of Dial, not of {dial!r}")
        address = GroupedAddress(UNSPECIFIED, dial.label, 0, group=dial.group)
        if address in self._dials:
            raise ValueError(f"attempts must have labels of their own, not twice {dial.label!r}")
        self._dials[address] = dial

    def begin(self, address: Address) -> _Call[T]:
        return _Call(partial(self._make, self._dials[address]), self.unused)

    async def _make(self, dial: Dial[T]) -> T:
        """Make one attempt, unless the race is over; what it raises passes as it is."""
        await trio.lowlevel.checkpoint_if_cancelled()
        result = await dial.dial()
        if self._close is trio.aclose_forcefully and not hasattr(result, "aclose"):
            raise TypeError(f"close must say how to close what {dial.label!r} has returned: {result!r}")
        return result

    def round_trip_time(self, sock: object) -> None:
        """Nobody knows how often a call has been to the other side."""

    def syn_retransmissions(self, sock: object) -> None:
        """Nor what it has sent."""

    async def close_unused(self) -> None:
        """Close what nobody gets, whatever has been cancelled; who closes well needs no time."""
        while self.unused:
            result = self.unused.pop()
            with trio.move_on_after(_PATIENCE, shield=True):
                try:
                    closing = self._close(result)
                    if inspect.isawaitable(closing):
                        await closing
                except Exception:  # foreign code
                    logging.getLogger("trio_nbconnect").exception("close raised for %r", result)


class _Call(Generic[T]):
    """One attempt under way; the counterpart of `Handshake`."""

    socket = None

    def __init__(self, attempt: Callable[[], Awaitable[T]], unused: list[T]) -> None:
        self._attempt = attempt
        self._unused = unused
        self._results: list[T] = []  # one, as soon as there is one

    async def wait(self) -> None:
        self._results.append(await self._attempt())

    def abort(self) -> None:
        """Leave the result, if there is one, to be closed."""
        self._unused += self._results
        self._results.clear()

    def stream(self) -> Any:
        return self._results[0]
