"""Leftovers: what is still there when a disturbed operation is over."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import trio

from ..conftest import open_sockets


@dataclass
class Leftovers:
    """What a block has left; empty if nothing."""

    found: list[str] = field(default_factory=list)


@contextmanager
def leftovers(*, collect: bool = False) -> Iterator[Leftovers]:
    """Count sockets, tasks and threads before and after a block.

    Args:
        collect: Whether the garbage collector may run before they are counted. It may only where an interrupt is the
            disturbance: between two instructions nobody can own a socket yet.
    """
    result = Leftovers()
    gc.collect()
    gc.disable()
    try:
        sockets, tasks, threads = open_sockets(), _tasks(), _threads()
        yield result
        if collect:
            gc.collect()
        result.found += [f"{len(new)} sockets" for new in [open_sockets() - sockets] if new]
        result.found += [f"{new} tasks" for new in [_tasks() - tasks] if new > 0]
        result.found += [f"threads {sorted(new)}" for new in [_threads() - threads] if new]
    finally:
        gc.enable()


def _tasks() -> int:
    return trio.lowlevel.current_statistics().tasks_living if trio.lowlevel.in_trio_run() else 0


def _threads() -> set[str]:
    """The names of threads that do something; those of Trio's that wait for work are kept by design."""
    return {thread.name for thread in threading.enumerate() if not thread.name.startswith("Trio thread")}
