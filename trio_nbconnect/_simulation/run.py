"""Run: one race in virtual time, from wherever one happens to be, and its recording.

A notebook wants a race as the value of an expression: a slider calls a plain function, and draws what it returns. But a
race is async, the caller may already be inside a Trio or an asyncio that runs, a black hole lasts for ever, and a user
may press the stop button.

So a race has a Trio of its own, on a clock that jumps to what happens next, in a thread of its own, and the caller
blocks for the millisecond or two that it takes. A thread is needed where Trio runs in the caller's; we always take
one, for 0.3 ms, so that there is one way, and signal handling is not touched. Where no thread can start, in a browser,
there is no Trio around a race and no signal either, and it runs in the caller's. What would last for ever ends at the
horizon. Servers are tasks in a nursery whose body is the race; a lost race raises nothing, since its last event says
how it was lost. Trio wakes tasks of the same instant in a random order; their events are sorted, so that equal races
are equal values.

`trio.testing.MockClock` would do as well, but where pytest is installed `trio.testing` imports it. Whatever waits for
something outside, a real socket or another thread, sees the clock jump past it.
"""

from __future__ import annotations

import contextvars
import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import groupby
from typing import Generic, TypeAlias, TypeVar

import trio

from .. import trace
from .._errors import ConnectError, without_group
from .._listening import listening
from .._pictures.recording import RecordedRace, Recording
from .._resolve.query import Source
from .host import SimulatedHost

T = TypeVar("T")

Connect: TypeAlias = Callable[[], Awaitable[object]]
"""Run the race."""

Serve: TypeAlias = Callable[[trio.SocketStream], Awaitable[object]]
"""Be the server of one connection."""

HORIZON = 86400.0
"""A day, in virtual seconds: what is not over by then is taken to last for ever."""

_WITHOUT_THREADS = ("emscripten", "wasi")
"""Systems where no thread can start. There a race runs where its caller is; inside a Trio that runs, Trio refuses."""


def recorded(connect: Connect, hosts: Iterable[SimulatedHost], serve: Serve | None) -> RecordedRace:
    """Run a race in virtual time; `serve` is given the server's end of each connection to one of the hosts."""
    recording = Recording()

    def hear(event: trace.Event) -> None:
        if event.time < HORIZON:
            recording._record(event)

    run_virtually(partial(_race, connect, () if serve is None else tuple(hosts), serve, hear))
    race = recording[0]
    race._events[:] = [replace(event, race=1) for event in _in_order(race._events)]
    return race


def _in_order(events: Iterable[trace.Event]) -> Iterator[trace.Event]:
    """Sort events of one kind and one instant, between which nothing else happened, and keep one order of addresses."""
    for _, group in groupby(events, key=lambda event: (_kind(event), event.time)):
        ties = list(group)
        orders = [event for event in ties if isinstance(event, trace.CandidatesSorted)]
        yield from sorted((event for event in ties if event not in orders), key=_rank)
        yield from orders[-1:]


def _kind(event: trace.Event) -> type[trace.Event]:
    answering = isinstance(event, trace.ResolutionStarted | trace.CandidatesSorted)
    return trace.AnswerReceived if answering else type(event)


def _rank(event: trace.Event) -> tuple[int, str]:
    """Queries as they were sent, then answers by their source, and attempts as they were started."""
    if isinstance(event, trace.AnswerReceived):
        return 1 + _SOURCES.index(event.source), event.name
    return getattr(event, "attempt", 0), getattr(event, "name", "")


_SOURCES = list(Source)


async def _race(connect: Connect, hosts: tuple[SimulatedHost, ...], serve: Serve | None, hear: trace.Tracer) -> None:
    """Only `hear` is called: those who listen to the caller count races and seconds of another run."""
    with without_group():
        async with trio.open_nursery() as nursery:
            if serve is not None:
                for host in hosts:
                    nursery.start_soon(_accept, host, serve)
            listening.set((hear,))
            with suppress(ConnectError):
                await connect()
            nursery.cancel_scope.cancel()


async def _accept(host: SimulatedHost, serve: Serve) -> None:
    """Serve every connection to a host."""
    with without_group():
        async with trio.open_nursery() as nursery:
            while True:
                nursery.start_soon(_serve_one, await host.accept(), serve)


async def _serve_one(stream: trio.SocketStream, serve: Serve) -> None:
    """Serve one connection; clients that lose, or do not like what they see, close it, which a server expects."""
    with suppress(OSError, trio.BrokenResourceError, trio.ClosedResourceError):
        async with stream:
            await serve(stream)


def run_virtually(main: Callable[[], Awaitable[T]]) -> T | None:
    """Run an async function on a clock of its own, which begins at 0; return None where it goes past the horizon.

    It sees the caller's context variables, and what it sets stays in it. When the caller is interrupted, it is
    cancelled.

    Example:
        >>> async def main():
        ...     await trio.sleep(3600)
        ...     return trio.current_time()
        >>> run_virtually(main)
        3600.0
    """
    run = _Run(main)
    context = contextvars.copy_context()
    if sys.platform in _WITHOUT_THREADS:
        return context.run(run)
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="trio_nbconnect simulation") as thread:
        future = thread.submit(context.run, run)
        try:
            return future.result()
        except BaseException:
            if not future.done():  # else the exception is the function's own
                run.stop()
            raise


@dataclass(eq=False)
class _Run(Generic[T]):
    """One run, and how another thread stops it."""

    main: Callable[[], Awaitable[T]]
    _scope: trio.CancelScope = field(init=False, default_factory=lambda: trio.CancelScope(deadline=HORIZON))
    _token: trio.lowlevel.TrioToken | None = field(init=False, default=None)
    _is_stopped: bool = field(init=False, default=False)

    def __call__(self) -> T | None:
        return trio.run(self._bounded, clock=JumpingClock())

    def stop(self) -> None:
        """Cancel it. The flag is set first: whichever of the two threads comes second sees what the first has set."""
        self._is_stopped = True
        if self._token is not None:
            with suppress(trio.RunFinishedError):
                self._token.run_sync_soon(self._scope.cancel)

    async def _bounded(self) -> T | None:
        self._token = trio.lowlevel.current_trio_token()
        if self._is_stopped:
            return None
        with self._scope:
            return await self.main()
        return None


class JumpingClock(trio.abc.Clock):
    """A clock that begins at 0 and stands still while a task can run; when none can, it is at the next deadline.

    Trio asks how long to sleep exactly when no task can run.
    """

    def __init__(self) -> None:
        self._now = 0.0

    def start_clock(self) -> None:
        pass

    def current_time(self) -> float:
        return self._now

    def deadline_to_sleep_time(self, deadline: float) -> float:
        if deadline < float("inf"):
            self._now = max(self._now, deadline)
        return max(0.0, deadline - self._now)
