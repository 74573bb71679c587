"""Interrupts: Ctrl-C, or the end of memory, between any two instructions of ours.

A trace function counts the instructions that run in the package's own code. Before the k-th it sends SIGINT,
and Trio's handler raises `KeyboardInterrupt` right there; or it raises `MemoryError`. A plain one must come out, never
a group, and no socket may stay that the garbage collector does not find: between the instruction that opens a socket
and the one that keeps it, nobody can own it.
"""

from __future__ import annotations

import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import trio

import trio_nbconnect

from .findings import Report, is_group, is_ours
from .leftovers import leftovers
from .operations import BlockingOperation, Operation, close, connector
from .place import Place

_OURS = trio_nbconnect.__path__[0]


def ctrl_c() -> None:
    """Interrupt as a terminal does."""
    signal.raise_signal(signal.SIGINT)


def no_memory() -> None:
    """Fail as an allocation does.

    Raises:
        MemoryError: Always.
    """
    raise MemoryError("made to fail")


class InterruptAt:
    """A trace function that interrupts before the k-th instruction of the package."""

    def __init__(self, instruction: int, interrupt: Callable[[], None]) -> None:
        self.interrupt = interrupt
        self.instruction = instruction
        self.instructions = 0
        self.previous = sys.gettrace()

    def __call__(self, frame: FrameType, event: str, argument: Any) -> Any:
        """Implement a trace function."""
        if not frame.f_code.co_filename.startswith(_OURS):
            return None
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        if event == "opcode":
            self.instructions += 1
            if self.instructions == self.instruction:
                sys.settrace(self.previous)
                self.interrupt()
        return self


def interrupt_everywhere(
    operation: Operation | BlockingOperation,
    place: Place,
    *,
    interrupt: Callable[[], None] = ctrl_c,
    stride: int = 1,
    offset: int = 0,
) -> Report:
    """Interrupt at every `stride`-th instruction until the operation is through before it is interrupted."""
    report = Report(f"{operation.name}, {interrupt.__name__} at each instruction")
    instruction = 1 + offset
    _interrupt(operation, place, InterruptAt(10**9, interrupt), Report("warm-up"))
    while True:
        with _unawaited_coroutines_are_ignored(), leftovers(collect=True) as left:
            is_over = _interrupt(operation, place, InterruptAt(instruction, interrupt), report)
        report.faults += [f"instruction {instruction}: {what} left" for what in left.found]
        if is_over:
            return report
        instruction += stride


@contextmanager
def _unawaited_coroutines_are_ignored() -> Iterator[None]:
    """Between the instruction that makes a coroutine and the one that awaits it, an interrupt leaves it unawaited."""
    previous, sys.unraisablehook = sys.unraisablehook, lambda _: None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            yield
    finally:
        sys.unraisablehook = previous


async def _open(operation: Operation, place: Place, tracer: InterruptAt) -> None:
    made = connector()
    sys.settrace(tracer)
    try:
        with trio.fail_after(5):
            opened = await operation.open(place, made)
    finally:
        sys.settrace(tracer.previous)
    close(opened)


def _open_blocking(operation: BlockingOperation, place: Place, tracer: InterruptAt) -> None:
    made = connector()
    sys.settrace(tracer)
    try:
        opened = operation.open(place, made)
    finally:
        sys.settrace(tracer.previous)
    close(opened)


def _interrupt(operation: Operation | BlockingOperation, place: Place, tracer: InterruptAt, report: Report) -> bool:
    """Return whether the operation was over before it could be interrupted."""
    instruction = tracer.instruction
    began = time.monotonic()
    try:
        if isinstance(operation, BlockingOperation):
            _open_blocking(operation, place, tracer)
        else:
            trio.run(_open, operation, place, tracer)
    except (KeyboardInterrupt, MemoryError):
        report.outcomes["interrupted"] += 1
    except trio.TrioInternalError:
        report.outcomes["Trio's own limit"] += 1  # an `__aexit__` of Trio's was skipped; its documentation says so
    except BaseException as error:  # noqa: BLE001 - it is looked at
        is_limit = "stack corrupted" in str(error)  # the same limit
        report.outcomes["Trio's own limit" if is_limit else "a group" if is_group(error) else "failed"] += 1
        if not is_limit and not is_ours(error):
            report.faults.append(f"instruction {instruction}: {error!r}")
    else:
        report.outcomes["connected"] += 1
        if tracer.instructions >= instruction:
            report.faults.append(f"instruction {instruction}: the interrupt is lost")
    if time.monotonic() - began > 4:
        report.faults.append(f"instruction {instruction}: it took too long")
    return tracer.instructions < instruction
