"""Simulate: one race in virtual time, the servers beside it, and what is left when it is over.

The problem: to show a race as a value, somebody must run it on the mock clock, let servers answer where a second phase
is part of it, hear its events, and take losing for the result that it is.

How we solve it: the servers are tasks in a nursery whose body is the race. What the body raises comes out as it is; a
lost race raises nothing, as its last event tells how it was lost. What happens at the horizon of virtual time or past
it is not recorded: a race that is still under way then is shown as it stands. Trio wakes tasks of the same instant in
an order of its own choice, different each time; we put their events in order, so that equal races are equal values.

What lives here: that. What does not: the network and the arguments, which are `testing.simulate`'s, and the clock and
its thread, which are `_virtual`'s.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from itertools import groupby
from typing import TypeAlias

import trio

from .. import trace
from .._errors import ConnectError, sole
from .._listening import listening
from .._pictures.recording import RecordedRace, Recording
from .._resolve.query import Source
from .host import SimulatedHost
from .virtual_time import HORIZON, run_virtually

if sys.version_info < (3, 11):  # trio brings the backport on 3.10
    from exceptiongroup import BaseExceptionGroup

Connect: TypeAlias = Callable[[], Awaitable[object]]
"""Run the race."""

Serve: TypeAlias = Callable[[trio.SocketStream], Awaitable[object]]
"""Be the server of one connection."""


def recorded(connect: Connect, hosts: Iterable[SimulatedHost], serve: Serve | None) -> RecordedRace:
    """Run a race in virtual time; `serve` is given the server's end of each connection to one of the hosts."""
    recording = Recording()

    def hear(event: trace.Event) -> None:
        if event.time < HORIZON:
            recording._record(event)

    run_virtually(partial(_race, connect, () if serve is None else tuple(hosts), serve, hear))
    race = recording[0]
    race._events[:] = _in_order(race._events)
    return race


def _in_order(events: Iterable[trace.Event]) -> Iterator[trace.Event]:
    """Put events of one kind and one instant, between which nothing else happened, in order."""
    for _, ties in groupby(events, key=lambda event: (_kind(event), event.time)):
        yield from sorted(ties, key=_rank)


def _kind(event: trace.Event) -> type[trace.Event]:
    return trace.AnswerReceived if isinstance(event, trace.ResolutionStarted) else type(event)


def _rank(event: trace.Event) -> tuple[int, str]:
    """Queries as they were sent, then answers by their source, and attempts as they were started."""
    if isinstance(event, trace.AnswerReceived):
        return 1 + _SOURCES.index(event.source), event.name
    return getattr(event, "attempt", 0), ""


_SOURCES = list(Source)


async def _race(connect: Connect, hosts: tuple[SimulatedHost, ...], serve: Serve | None, hear: trace.Tracer) -> None:
    """Only `hear` is told: those who listen to the caller count races and seconds of another run."""
    with _bare():
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
    with _bare():
        async with trio.open_nursery() as nursery:
            while True:
                nursery.start_soon(_serve_one, await host.accept(), serve)


@contextmanager
def _bare() -> Iterator[None]:
    """Let what is raised in a nursery leave it as it is, in no group."""
    try:
        yield
    except BaseExceptionGroup as group:
        error = sole(group)
        raise error from error.__cause__


async def _serve_one(stream: trio.SocketStream, serve: Serve) -> None:
    """Serve one connection. Clients leave when they have lost, or do not like what they see: no news to a server."""
    with suppress(OSError, trio.BrokenResourceError, trio.ClosedResourceError):
        async with stream:
            await serve(stream)
