"""Counting: system calls and user instructions of one connect, seen from outside.

A worker is run twice, with fewer connects and with more; the difference is theirs, whatever it took to start. What
counts is `strace` for system calls; `perf stat` for instructions where the machine lets it (most virtual ones do not),
else `valgrind --tool=callgrind`, which is slow and repeats to the last digits.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from functools import cache

from .place import PROJECT

Command = Callable[[str], list[str]]
"""Make the command of a worker that connects so many times; "-" is as often as it is told."""

FEWER, MORE = 20, 120

TOTAL_OF_STRACE = r"^100\.00 +\S+ +\d+ +(\d+) .*total$"

REPEATABLE = {**os.environ, "PYTHONHASHSEED": "0"}


def syscalls(command: Command) -> float | None:
    """Count the system calls of one connect; None if there is no `strace`."""
    return difference(command, _count_syscalls) if shutil.which("strace") else None


def instructions(command: Command) -> float | None:
    """Count the user instructions of one connect; None if nothing here can, or if the program does not bear it."""
    for is_usable, count in (perf_counts, _count_with_perf), (_valgrind_is_here, _count_with_valgrind):
        if is_usable():
            return difference(command, count)
    return None


def missing(*, instructions: bool) -> list[str]:
    """Say in a line each what cannot be counted here."""
    lines = [] if shutil.which("strace") else ["strace is not installed: system calls are not counted"]
    if instructions and not perf_counts() and not _valgrind_is_here():
        lines.append("perf cannot, and valgrind is not installed: instructions are not counted")
    return lines


def difference(command: Command, count: Callable[[list[str]], int | None]) -> float | None:
    """Return what one connect adds; None if nothing could be counted."""
    fewer, more = count(command(str(FEWER))), count(command(str(MORE)))
    return None if fewer is None or more is None else (more - fewer) / (MORE - FEWER)


def _count_syscalls(command: list[str]) -> int | None:
    with tempfile.NamedTemporaryFile("r", encoding="utf-8") as summary:
        _run(["strace", "--follow-forks", "--summary-only", f"--output={summary.name}", *command])
        return found(TOTAL_OF_STRACE, summary.read())


def _count_with_perf(command: list[str]) -> int | None:
    errors = _run(["perf", "stat", "--field-separator=,", "--event=instructions:u", *command])
    return found(r"^(\d+),.*instructions", errors)


def _count_with_valgrind(command: list[str]) -> int | None:
    errors = _run(["valgrind", "--tool=callgrind", "--trace-children=yes", "--callgrind-out-file=/dev/null", *command])
    return found(r"Collected : (\d+)", errors)


@cache
def perf_counts() -> bool:
    """Whether this machine lets instructions be counted; most virtual ones do not."""
    return shutil.which("perf") is not None and _count_with_perf(["true"]) is not None


def _valgrind_is_here() -> bool:
    return shutil.which("valgrind") is not None


def _run(command: list[str]) -> str:
    done = subprocess.run(command, cwd=PROJECT, env=REPEATABLE, capture_output=True, text=True, check=False)
    return done.stderr


def found(pattern: str, text: str) -> int | None:
    """Return the number that a pattern finds, if it does."""
    match = re.search(pattern, text, re.MULTILINE)
    return int(match[1]) if match else None
