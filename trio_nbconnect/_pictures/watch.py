"""Live: watch races while they run.

The problem: a picture that comes when all is over shows what a slow network did, not that it is slow. How we solve it:
what runs is recorded as `record` does, and beside it a task draws: whenever something has happened, and as long as a
race is under way twenty times a second, so that its bars grow. Between races it sleeps.

On Trio's `MockClock` a tick would be an event of its own: autojump would go from tick to tick, and for ever if nothing
else comes. There the task draws after events only, and no more often than a person could see.

What lives here: `watch`, and when to draw. What does not: where (`_screens`). Watching does no harm: who watches is
given the very result or error, and no picture that fails takes a connection with it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import ParamSpec, TypeVar

import outcome
import trio
from trio.testing import MockClock

from .. import trace
from .._race.journal import listening
from .recording import Recording, record
from .screens import Screen, find_screen
from .timeline import Fate, Outcome, Timeline

P = ParamSpec("P")
T = TypeVar("T")

INTERVAL = 0.05
"""Seconds between two pictures."""

_SHOWN = 8
"""How many of the newest races are drawn while it goes on; at the end it is all of them."""


async def watch(async_fn: Callable[P, Awaitable[T]], /, *args: P.args, **keywords: P.kwargs) -> T:
    """Call an async function, and show every race in it while it runs.

    In a notebook the picture is the output of the cell, in a terminal it is redrawn in place (extra `cli`), and where
    neither is there the last picture is printed. It shows what `record` would hear. Nothing is closed: the result is
    yours.

    Args:
        async_fn: What connects: `open_tcp_stream`, a method of a connector, or anything that connects inside.
        args: Its arguments.
        keywords: Its keyword arguments.

    Returns:
        What it returns.

    Raises:
        ImportError: Standard output is a terminal, and there is no rich.
        BaseException: What it raises.

    Example:
        >>> import socket, trio, trio_nbconnect as nb
        >>> async def main():
        ...     with socket.create_server(("127.0.0.1", 0)) as listener:
        ...         stream = await nb.watch(nb.open_tcp_stream, *listener.getsockname())
        ...         await stream.aclose()
        >>> trio.run(main)  # doctest: +ELLIPSIS
        127.0.0.1:...  connected in ...
    """
    with find_screen() as screen:
        return await watch_on(screen, partial(async_fn, *args, **keywords))


async def watch_on(screen: Screen, run: Callable[[], Awaitable[T]]) -> T:
    """Show every race in a call on this screen, and return its result."""
    with record() as recording:
        view = _View(recording, screen)
        token = listening.set((*listening.get(), view.hear))
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(view.keep_drawing)
                result: outcome.Outcome[T] = await outcome.acapture(run)
                nursery.cancel_scope.shield = True  # the result is ours: no cancellation may come between
                nursery.cancel_scope.cancel()
        finally:
            listening.reset(token)
            view.draw(is_last=True)
    return result.unwrap()


class _View:
    """A recording that grows, and a screen that follows it."""

    def __init__(self, recording: Recording, screen: Screen) -> None:
        self._recording = recording
        self._screen: Screen | None = screen
        self._under_way: set[int] = set()
        self._news = trio.Event()
        self._not_before = 0.0

    def hear(self, event: trace.Event) -> None:
        """Take in one event, after the recording has."""
        if isinstance(event, trace.RaceStarted):
            self._under_way.add(event.race)
        elif isinstance(event, trace.RaceWon | trace.RaceLost):
            self._under_way.discard(event.race)
        self._news.set()

    async def keep_drawing(self) -> None:
        """Draw when there is something new, until cancelled."""
        is_virtual = isinstance(trio.lowlevel.current_clock(), MockClock)
        while True:
            if is_virtual or not self._under_way:
                await self._news.wait()
            self._news = trio.Event()
            if not is_virtual:
                self.draw()
                await trio.sleep(INTERVAL)
            elif time.monotonic() >= self._not_before:
                self.draw()
                self._not_before = time.monotonic() + INTERVAL

    def draw(self, *, is_last: bool = False) -> None:
        """Show how things stand. A screen that fails is used no more."""
        races = self._recording if is_last else self._recording[-_SHOWN:]
        if self._screen is None or not races:
            return
        now = trio.current_time()
        try:
            self._screen.show([as_of(race.timeline, now) for race in races], is_last=is_last)
        except Exception:  # a screen is foreign code, and what is watched is worth more than its picture
            self._screen = None
            logging.getLogger("trio_nbconnect").exception("no more pictures of what is being watched")


def as_of(timeline: Timeline, now: float) -> Timeline:
    """Return a race as it stands at a time: what is under way has lasted until then."""
    if timeline.outcome is not Outcome.UNDER_WAY:
        return timeline
    so_far = max(timeline.duration, now - timeline.began)
    attempts = [
        replace(attempt, ended=so_far) if attempt.fate is Fate.UNDER_WAY else attempt for attempt in timeline.attempts
    ]
    return replace(timeline, duration=so_far, attempts=tuple(attempts))
