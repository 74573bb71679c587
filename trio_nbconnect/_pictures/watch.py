"""Watch: draw races while they run.

A picture after the race shows what a slow network did; a picture during the race shows that it is slow. `watch` records
as `record` does, and a task of its own redraws whenever something has happened, and while a race is under way, so that
bars grow: twenty times a second at first, and ever more slowly while nothing happens. Between races it waits. The time
axis has room to grow and is lengthened in steps, so that the picture does not shrink with each redraw.

Watching must not slow down what is watched. What a first picture needs is loaded before the race. Nothing is drawn in
the first twentieth of a second of a race, which is longer than most take; after that only while no task is runnable and
no deadline is near. So a race on loopback, to one address, takes 0.08 ms longer, most of it because it is recorded
(medians of 2000 with and without in turn); one that waits for 110 ms and is drawn meanwhile, 0.6 ms, since a processor
that has drawn a picture has other things in its caches.

On Trio's `MockClock` every redraw after a sleep would be an event of its own: autojump would go from one to the next,
and for ever if nothing else comes. There the task redraws after events only, and at most twenty times a second of real
time.

Three kinds of output: a notebook cell has a display that can be updated; a terminal has lines that can be overwritten,
for which rich is used (extra `cli`); anything else, a file or a pipe, gets the last picture only. Watching never
changes the result: the caller gets the very return value or error, and a picture that fails is logged and given up.
"""

from __future__ import annotations

import logging
import os
import shutil
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Any, ParamSpec, Protocol, TypeVar

import outcome
import trio

from .. import trace
from .._policy import Policy
from .bundles import races_bundle
from .ipython import EXTENSION, current_shell, display, kernel_is_here
from .recording import Recording, record
from .text import NARROWEST, encodable, render_text
from .timeline import AttemptOutcome, RaceOutcome, Timeline, timeline_of

P = ParamSpec("P")
T = TypeVar("T")

INTERVAL = 0.05
"""Seconds between two pictures at least, and before the first."""

_LONGEST_INTERVAL = 0.5
"""Seconds between two pictures while nothing happens."""

_PATIENCE = 10
"""How many times a picture is put off because something else is to be done."""

_SHOWN = 8
"""How many of the newest races are drawn while it goes on; at the end it is all of them."""


async def watch(async_fn: Callable[P, Awaitable[T]], /, *args: P.args, **keywords: P.kwargs) -> T:
    """Call an async function, and show every race in it while it runs.

    In a notebook the picture is the output of the cell, in a terminal it is redrawn in place (extra `cli`), and
    anywhere else the last picture is printed. It shows the races that `record` would record. Nothing is closed: the
    result is yours.

    Args:
        async_fn: What connects: `open_tcp_stream`, a method of a connector, or anything that connects inside.
        args: Its arguments.
        keywords: Its keyword arguments.

    Returns:
        What it returns.

    Raises:
        ImportError: Standard output is a terminal, and rich is not installed.
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
    with find_output() as output:
        return await watch_on(output, partial(async_fn, *args, **keywords))


async def watch_on(output: LiveOutput, run: Callable[[], Awaitable[T]]) -> T:
    """Show every race in a call on this output, and return its result."""
    output.prepare()
    with record() as recording:
        picture = _LivePicture(recording, output)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(picture.keep_drawing)
                with trace.listen(picture.on_event):
                    result: outcome.Outcome[T] = await outcome.acapture(run)
                nursery.cancel_scope.shield = True  # a cancellation from now on must not replace the result
                nursery.cancel_scope.cancel()
        finally:
            picture.draw(is_last=True)
    return result.unwrap()


class _LivePicture:
    """A recording that grows, drawn again and again."""

    def __init__(self, recording: Recording, output: LiveOutput) -> None:
        self._recording = recording
        self._output: LiveOutput | None = output
        self._under_way: set[int] = set()
        self._changed = trio.Event()
        self._not_before = 0.0
        self._cost = 0.0

    def on_event(self, event: trace.Event) -> None:
        """Note an event, after the recording has."""
        if isinstance(event, trace.RaceStarted):
            self._under_way.add(event.race)
        elif isinstance(event, trace.RaceWon | trace.RaceLost):
            self._under_way.discard(event.race)
        self._changed.set()

    async def keep_drawing(self) -> None:
        """Draw when something has changed, until cancelled."""
        await (self._keep_drawing_on_events() if _time_is_virtual() else self._keep_drawing_in_time())

    async def _keep_drawing_on_events(self) -> None:
        while True:
            await self._changed.wait()
            self._changed = trio.Event()
            if time.monotonic() >= self._not_before:
                self.draw()
                self._not_before = time.monotonic() + INTERVAL

    async def _keep_drawing_in_time(self) -> None:
        pause = INTERVAL
        while True:
            if not self._under_way:
                await self._changed.wait()
                pause = INTERVAL
            drawn = trio.current_time()
            with trio.move_on_after(pause):
                await self._changed.wait()
            pause = INTERVAL if self._changed.is_set() else min(2 * pause, _LONGEST_INTERVAL)
            await trio.sleep_until(drawn + INTERVAL)
            self._changed = trio.Event()
            await self._wait_until_idle()
            self.draw()

    async def _wait_until_idle(self) -> None:
        """Wait until no other task is runnable and no deadline would pass while a picture is drawn; not for ever."""
        runnable = _Runnable()
        trio.lowlevel.add_instrument(runnable)
        try:
            for _ in range(_PATIENCE):
                await trio.lowlevel.checkpoint()
                until_deadline = trio.lowlevel.current_statistics().seconds_to_next_deadline
                if 0 <= until_deadline <= self._cost:
                    await trio.sleep(until_deadline)
                elif runnable.others == 0:
                    return
        finally:
            trio.lowlevel.remove_instrument(runnable)

    def draw(self, *, is_last: bool = False) -> None:
        """Draw the races as they are now. An output that fails is used no more."""
        races = self._recording if is_last else self._recording[-_SHOWN:]
        if self._output is None or not races:
            return
        now, started = trio.current_time(), time.monotonic()
        try:
            self._output.show([as_of(race.timeline, now) for race in races], is_last=is_last)
            self._cost = time.monotonic() - started
        except Exception:  # foreign code, and no reason to lose the connection
            self._output = None
            logging.getLogger("trio_nbconnect").exception("no more pictures of what is being watched")


class _Runnable(trio.abc.Instrument):
    """Counts the tasks that are to run in the next step of the scheduler, besides the one that asks."""

    others = 0

    def before_io_wait(self, timeout: float) -> None:
        self.others = trio.lowlevel.current_statistics().tasks_runnable - 1


def _time_is_virtual() -> bool:
    """Whether this is a `trio.testing.MockClock`; the module is not imported here, since it imports pytest."""
    testing = sys.modules.get("trio.testing")
    return testing is not None and isinstance(trio.lowlevel.current_clock(), testing.MockClock)


def as_of(timeline: Timeline, now: float) -> Timeline:
    """Return a race as it is at a time: what is under way has lasted until then."""
    if timeline.outcome is not RaceOutcome.UNDER_WAY:
        return timeline
    so_far = max(timeline.duration, now - timeline.began)
    attempts = [
        replace(attempt, ended=so_far) if attempt.outcome is AttemptOutcome.UNDER_WAY else attempt
        for attempt in timeline.attempts
    ]
    return replace(timeline, duration=so_far, attempts=tuple(attempts))


def headroom(timelines: Sequence[Timeline]) -> float:
    """Seconds for the axis of races under way: more than they have lasted, and one of few numbers, so that it rests."""
    longest = 1.2 * max(timeline.duration for timeline in timelines)
    return next(step for step in _STEPS if step >= longest or step == _STEPS[-1])


_STEPS = [step * 10.0**power for power in range(7) for step in (0.5, 1.0, 2.0)]


# Outputs

WIDEST = 200
"""Columns; a wider picture is no clearer."""


class LiveOutput(AbstractContextManager["LiveOutput"], Protocol):
    """Something that shows races and can update what it shows."""

    def prepare(self) -> None:
        """Load what a first picture needs, before a race starts."""

    def show(self, timelines: Sequence[Timeline], *, is_last: bool) -> None:
        """Show these instead of what was shown before."""


def find_output() -> LiveOutput:
    """Return the output of this program.

    Raises:
        ImportError: It is a terminal, and rich is not installed.
    """
    if kernel_is_here():
        return NotebookOutput()
    return TerminalOutput() if sys.stdout.isatty() else PlainOutput()


def columns() -> int:
    """How wide a picture may be on this terminal."""
    return min(max(shutil.get_terminal_size().columns, NARROWEST), WIDEST)


def has_color() -> bool:
    """Whether to use colour: on a terminal that shows it, unless NO_COLOR is set; anywhere if FORCE_COLOR is.

    As Python does (https://docs.python.org/3/using/cmdline.html#controlling-color): NO_COLOR is stronger.
    """
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR", "0") not in ("", "0"):
        return True
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def picture(
    timelines: Sequence[Timeline], *, width: int, color: bool, encoding: str = "utf-8", until: float | None = None
) -> str:
    """All of them, one below the other, in characters that the encoding has."""
    text = "\n\n".join(render_text(timeline, width=width, color=color, until=until) for timeline in timelines)
    return encodable(text, encoding)


_SAMPLE = timeline_of([trace.RaceStarted(race=0, time=0.0, host="host", port=0, policy=Policy())])
"""A race to draw before there is one."""


class NotebookOutput:
    """The output of a notebook's cell."""

    def __init__(self) -> None:
        self._handle: Any = None

    def __enter__(self) -> NotebookOutput:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def prepare(self) -> None:
        """Draw a picture, and display nothing."""
        races_bundle([_SAMPLE], nothing="")

    def show(self, timelines: Sequence[Timeline], *, is_last: bool) -> None:
        """Update the display."""
        bundle = races_bundle(timelines, nothing="no race", until=None if is_last else headroom(timelines))
        if self._handle is None:
            self._handle = display(bundle, raw=True, display_id=True)
        else:
            self._handle.update(bundle, raw=True)
        extension = getattr(current_shell(), EXTENSION, None)
        if is_last and extension is not None:
            for error in (timeline.error for timeline in timelines if timeline.error is not None):
                extension.races.mark_as_shown(error)  # or its traceback would draw the race again


_ROOM_FOR_CONTROL_C = "\n "
"""A line of its own: a terminal writes ^C where the cursor is, and behind a full line that would be on the next one.
Older versions of rich drop a line that is empty."""


class TerminalOutput:
    """The lines of a terminal: as many as it has, and at the end the whole picture.

    Args:
        width: Columns; None for those of the terminal.
        color: Whether to use colour; None for what the terminal and its user want.
    """

    def __init__(self, *, width: int | None = None, color: bool | None = None) -> None:
        try:
            from rich.live import Live  # noqa: PLC0415 - it is an extra
            from rich.text import Text  # noqa: PLC0415 - as above
        except ModuleNotFoundError as missing:
            if (missing.name or "").partition(".")[0] != "rich":
                raise
            raise ImportError(
                "watching a race on a terminal needs rich: python -m pip install 'trio-nbconnect[cli]'"
            ) from None
        self._live = Live(auto_refresh=False)
        self._text_of = Text.from_ansi
        self._width = width
        self._color = has_color() if color is None else color

    def __enter__(self) -> TerminalOutput:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def prepare(self) -> None:
        """Draw a picture, and display nothing."""
        self._text_of(picture([_SAMPLE], width=NARROWEST, color=True))

    def show(self, timelines: Sequence[Timeline], *, is_last: bool) -> None:
        """Overwrite what was shown; until the last picture, the newest races that there is room for."""
        width, until = self._width or columns(), None if is_last else headroom(timelines)
        console = self._live.console  # it knows the terminal's encoding; sys.stdout is replaced while it runs
        draw = partial(picture, width=width, color=self._color, encoding=console.encoding, until=until)
        foot = "" if is_last else _ROOM_FOR_CONTROL_C
        text = draw(timelines) + foot
        while not is_last and len(timelines) > 1 and text.count("\n") >= console.height - 1:
            timelines = timelines[1:]
            text = draw(timelines) + foot
        self._live.update(self._text_of(text, no_wrap=True, overflow="crop"), refresh=True)


class PlainOutput:
    """A file or a pipe, which gets the last picture only."""

    def __enter__(self) -> PlainOutput:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def prepare(self) -> None:
        """Nothing is drawn while a race runs."""

    def show(self, timelines: Sequence[Timeline], *, is_last: bool) -> None:
        """Print the last picture."""
        if is_last:
            print(picture(timelines, width=80, color=False, encoding=sys.stdout.encoding or "utf-8"))
