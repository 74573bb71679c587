"""Exhaustion: no descriptor left, or no thread, at each point of an operation."""

from __future__ import annotations

import itertools
import os
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import trio

import trio_nbconnect as nb

from .findings import Report, is_group
from .leftovers import leftovers
from .operations import Operation, close, connector
from .place import Place


@contextmanager
def descriptors(left: int) -> Iterator[None]:
    """Leave this process so many descriptors for the time of a block."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = (number for number in range(soft) if not _is_open(number))
    limit = next(itertools.islice(free, left, None))
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


async def run_out_of_descriptors(operation: Operation, place: Place, *, most: int = 8) -> Report:
    """Run the operation with 0, 1, 2, ... descriptors left."""
    report = Report(f"{operation.name}, few descriptors")
    for count in range(most):
        with leftovers() as left, descriptors(count):
            await _once(operation, place, f"{count} descriptors", report)
        report.faults += [f"{count} descriptors: {what} left" for what in left.found]
    return report


async def run_out_of_threads(place: Place) -> Report:
    """Look names up while no thread can be started; the error may be Python's own, and is no group."""
    report = Report("names, no threads")
    for families in ((nb.Source.AAAA, nb.Source.A), (nb.Source.A,)):
        policy = nb.Policy(families=tuple(source.family for source in families if source.family is not None))
        for host in ("example.invalid", "localhost.example"):
            with leftovers() as left, no_threads():
                try:
                    close(await nb.Connector(policy=policy).open_tcp_stream(host, place.port, give_up_after=1))
                except BaseException as error:  # noqa: BLE001 - it is looked at
                    report.outcomes[type(error).__name__] += 1
                    if is_group(error) or not isinstance(error, (OSError, RuntimeError)):
                        report.faults.append(f"{host}: {error!r}")
            report.faults += [f"{host}: {what} left" for what in left.found]
    return report


@contextmanager
def no_threads() -> Iterator[None]:
    """Have no thread start, and none that waits take work, for the time of a block."""
    import trio._core._thread_cache as cache  # noqa: PLC0415 - Trio's idle threads are nobody else's business

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with (
        mock.patch.object(cache, "THREAD_CACHE", cache.ThreadCache()),
        mock.patch.object(threading.Thread, "start", refuse),
    ):
        yield


async def _once(operation: Operation, place: Place, label: str, report: Report) -> None:
    with trio.move_on_after(0.5) as scope, report.counting(label):
        close(await operation.open(place, connector()))
    report.outcomes["went on"] += scope.cancelled_caught
