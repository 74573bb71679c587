"""Clock: what one sample took, and how large this process is."""

from __future__ import annotations

import os
import time
import tracemalloc
from pathlib import Path

Figures = dict[str, float]
"""What a worker reports of one sample, by the key of the metric."""

PATIENCE = 60
"""Seconds until connects that should be pending are taken for failed."""

PAGE = os.sysconf("SC_PAGE_SIZE")


class Stopwatch:
    """CPU time of this process, user and system, all threads; and what the clock on the wall says."""

    def __init__(self) -> None:
        self._cpu, self._wall = time.process_time(), time.perf_counter()

    def figures(self, count: int) -> Figures:
        """Return the microseconds of each connect so far."""
        cpu, wall = time.process_time() - self._cpu, time.perf_counter() - self._wall
        return {"cpu": cpu / count * 1e6, "wall": wall / count * 1e6}


class Scales:
    """What is added to this process: to its resident memory, and to what Python's objects hold, if that is traced."""

    def __init__(self) -> None:
        self._resident, self._traced = resident(), tracemalloc.get_traced_memory()[0]

    def figures(self, count: int) -> Figures:
        """Return the bytes of each."""
        traced = tracemalloc.get_traced_memory()[0] - self._traced
        return {"memory": (resident() - self._resident) / count, "traced": traced / count}


def resident(process: str = "self") -> int:
    """Return the resident memory of a process, in bytes."""
    return int(Path(f"/proc/{process}/statm").read_text("ascii").split()[1]) * PAGE


def open_descriptors() -> int:
    """Count this process's descriptors."""
    return len(os.listdir("/proc/self/fd"))
