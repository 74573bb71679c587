"""Tracebacks: what a cell shows of an exception: groups as errors, the pictures of lost races, the user's own frames.

IPython prints an exception that is a group, or comes after one, to standard error, and sends the frontend no error at
all; tools that run notebooks then take them for successful. The traceback of a failed connect says less than its
waterfall, and most of its frames are ours.

So we stand in the place of `shell.showtraceback`. A group goes the way of every other error, as Python formats it,
without the frames of IPython, Trio's core and ours. Every `ConnectError` that the exception is, contains or comes from
is displayed before it: the race as it was recorded by a tracer that keeps the latest lost ones, or else what the error
itself knows of it. Reports of background tasks are made here as well.

Syntax errors and those of magics stay IPython's; where one means that a magic cannot await, a line says so. Exceptions
that are not among those we document are shown with our frames: they are bugs, and wanted in a report.
"""

from __future__ import annotations

import sys
import traceback
import weakref
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any

import trio

from .. import trace
from .._errors import ConnectError
from .._pictures.bundles import connect_errors
from .._pictures.ipython import display
from .._pictures.recording import RecordedRace
from .shell import Shell

if sys.version_info < (3, 11):
    from exceptiongroup import BaseExceptionGroup, format_exception
else:
    from traceback import format_exception

_PACKAGE = __name__.partition(".")[0]

_NEVER_SHOWN = ("IPython.core.interactiveshell", "trio._core.", f"{__package__}.")
"""The modules whose frames a traceback leaves out: they are the same in every one."""

_TRIO_S = ("trio._core.", "trio._util")
"""The same where IPython shows an exception: it leaves out its own first frame itself."""

_DOCUMENTED = (OSError, TypeError, ValueError, KeyboardInterrupt, trio.Cancelled)
"""What this library raises on purpose; where it did so says nothing to a user."""

KEPT = 32
"""How many lost races are remembered."""


class LostRaces:
    """A tracer that remembers the latest races that were lost.

    A `ConnectError` knows its attempts, but not what the look-ups did, nor which addresses were not tried. Errors are
    referred to weakly: they hold frames, and those hold whatever they like.
    """

    def __init__(self) -> None:
        self._under_way: dict[int, list[trace.Event]] = {}
        self._shown: weakref.WeakSet[ConnectError] = weakref.WeakSet()
        self._lost: deque[tuple[weakref.ref[ConnectError], Sequence[trace.Event], float]] = deque(maxlen=KEPT)

    def __call__(self, event: trace.Event) -> None:
        """Take in one event."""
        if isinstance(event, trace.RaceStarted):
            self._under_way[event.race] = [event]
        elif isinstance(event, trace.RaceWon | trace.RaceLost):
            events = self._under_way.pop(event.race, None)
            if events and isinstance(event, trace.RaceLost) and isinstance(event.error, ConnectError):
                self._lost.append((weakref.ref(event.error), events, event.time))
        elif event.race in self._under_way:
            self._under_way[event.race].append(event)

    def mark_as_shown(self, error: ConnectError) -> None:
        """Remember that the race of this error is on the screen already."""
        self._shown.add(error)

    def is_shown(self, error: ConnectError) -> bool:
        """Whether it was marked so."""
        return error in self._shown

    def race_of(self, error: ConnectError) -> RecordedRace | None:
        """Find the race that has ended with this very error."""
        for reference, events, time in reversed(self._lost):
            if reference() is error:
                lost = trace.RaceLost(race=events[0].race, time=time, error=error)
                return RecordedRace(*events, lost)
        return None


class Tracebacks:
    """Show exceptions in a shell.

    Args:
        shell: Where.
        races: What was recorded of races that were lost.
    """

    def __init__(self, shell: Shell, races: LostRaces) -> None:
        self._shell = shell
        self._races = races
        self._original = shell.showtraceback
        self._ours = self._show
        shell.showtraceback = self._ours

    def close(self) -> None:
        """Put back what was there, unless somebody else has put something over us."""
        if self._shell.showtraceback == self._ours:
            del self._shell.showtraceback

    def _show(self, exc_tuple: Any = None, *place: Any, exception_only: bool = False, **options: Any) -> None:
        """Be `showtraceback`."""
        error = exc_tuple[1] if isinstance(exc_tuple, tuple) else sys.exc_info()[1]
        if error is None or exception_only or isinstance(error, SyntaxError):
            self._original(exc_tuple, *place, exception_only=exception_only, **options)
            if isinstance(error, SyntaxError) and "'await' outside" in str(error.msg):
                print(_CANNOT_AWAIT, file=sys.stderr)
            return
        self.show_races(error)
        if not any(isinstance(other, BaseExceptionGroup) for other in _chain(error)):
            users = shown_part(error, never=_TRIO_S) if isinstance(error, _DOCUMENTED) else None
            self._original(exc_tuple if users is None else (type(error), error, users), *place, **options)
            return
        shell = self._shell
        kind, error, trace = shell._get_exc_info(exc_tuple)  # it keeps them for %debug, too
        shell._showtraceback(kind, error, _formatted(error, trace))
        if shell.call_pdb:
            shell.debugger(force=True)

    def show_races(self, error: BaseException) -> None:
        """Display the race of every `ConnectError` in an exception, each once."""
        for failure in connect_errors(error):
            if not self._races.is_shown(failure):
                self._races.mark_as_shown(failure)
                display(self._races.race_of(failure) or failure)

    def report(self, task: str, error: BaseException) -> None:
        """Say on standard error that a background task has failed."""
        self.show_races(error)
        lines = "\n".join(_formatted(error, error.__traceback__))
        print(f"background task {task!r} has failed; everything else goes on\n{lines}", file=sys.stderr)


_CANNOT_AWAIT = "magics such as %time and %timeit compile their code themselves, without `await`; %%capture can await"


def _formatted(error: BaseException, trace: TracebackType | None) -> list[str]:
    """The lines of a traceback, as Python writes it."""
    with _users_tracebacks(error, trace):
        return "".join(format_exception(error)).rstrip().splitlines()


@contextmanager
def _users_tracebacks(error: BaseException, trace: TracebackType | None) -> Iterator[None]:
    """Leave out, for a block, what is not to be shown of an exception and of all that it contains and comes from."""
    before = [(other, other.__traceback__) for other in _chain(error)]
    error.__traceback__ = trace  # the backport for Python 3.10 takes no other
    try:
        for other, _ in before:
            other.__traceback__ = shown_part(other)
        yield
    finally:
        for other, whole in before:
            other.__traceback__ = whole


def shown_part(
    error: BaseException, *, without: tuple[str, ...] = (), never: tuple[str, ...] = _NEVER_SHOWN
) -> TracebackType | None:
    """Return what is to be shown of an exception's traceback.

    Args:
        error: The exception.
        without: Further modules whose frames are left out.
        never: Those whose frames are left out of every one.
    """
    hidden = (*never, *without, *((f"{_PACKAGE}.",) if isinstance(error, _DOCUMENTED) else ()))
    frames = [(frame, number) for frame, number in traceback.walk_tb(error.__traceback__)]
    instructions = list(_instructions(error.__traceback__))
    kept = None
    for (frame, number), instruction in zip(reversed(frames), reversed(instructions), strict=True):
        if not frame.f_globals.get("__name__", "").startswith(hidden):
            kept = TracebackType(kept, frame, instruction, number)
    return kept


def _instructions(trace: TracebackType | None) -> Iterator[int]:
    while trace is not None:
        yield trace.tb_lasti
        trace = trace.tb_next


def _chain(error: BaseException) -> list[BaseException]:
    """An exception and all that it contains and comes from, each once."""
    found: dict[int, BaseException] = {}
    waiting: list[BaseException | None] = [error]
    while waiting:
        other = waiting.pop(0)
        if other is not None and id(other) not in found:
            found[id(other)] = other
            waiting += other.exceptions if isinstance(other, BaseExceptionGroup) else ()
            waiting += (other.__cause__, other.__context__)
    return list(found.values())
