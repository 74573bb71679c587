"""Tracebacks: what a cell shows of an exception: groups as errors, and the pictures of lost races.

The problem: IPython prints an exception that is a group, or comes after one, to standard error, and tells the frontend
of no error at all; whoever runs notebooks unattended then takes them for good. And the traceback of a failed connect
says less than its waterfall.

How we solve it: we stand in the place of `shell.showtraceback`. A group goes the way of every other error, as Python
formats it, without the frames of IPython, Trio's kernel and ours. Every `ConnectError` that the exception is, contains,
or comes from is displayed before it: the race as it was recorded, or else what the error itself knows of it.

What lives here: that, and the reports of background tasks. What does not: drawing, and recording (`_lost_races`).
Syntax errors and those of magics stay IPython's.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from types import TracebackType
from typing import Any

from .._pictures.bundles import connect_errors
from .._pictures.ipython import display
from .lost_races import LostRaces
from .shell import Shell

if sys.version_info < (3, 11):
    from exceptiongroup import BaseExceptionGroup, format_exception
else:
    from traceback import format_exception

_NOT_THE_USERS = (
    "IPython.core.interactiveshell",
    "trio._core.",
    f"{__package__}.nursery",
    f"{__package__}.cells",
    f"{__package__}.interrupts",
)
"""The modules whose frames a traceback leaves out: they are the same in every one."""


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
            return
        self.show_races(error)
        if not any(isinstance(other, BaseExceptionGroup) for other in _chain(error)):
            self._original(exc_tuple, *place, **options)
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


def _formatted(error: BaseException, trace: TracebackType | None) -> list[str]:
    """The lines of a traceback, as Python writes it."""
    whole = error.__traceback__
    error.__traceback__ = users_part(trace)  # the backport for Python 3.10 takes no other
    try:
        return "".join(format_exception(error)).rstrip().splitlines()
    finally:
        error.__traceback__ = whole


def users_part(trace: TracebackType | None, *, without: tuple[str, ...] = ()) -> TracebackType | None:
    """A traceback without the frames that are the same in every one, nor those of further modules."""
    frames = [(frame, number) for frame, number in traceback.walk_tb(trace)]
    instructions = list(_instructions(trace))
    kept = None
    for (frame, number), instruction in zip(reversed(frames), reversed(instructions), strict=True):
        if not frame.f_globals.get("__name__", "").startswith(_NOT_THE_USERS + without):
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
