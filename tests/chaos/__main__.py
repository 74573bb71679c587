"""`python -m tests.chaos [ROUNDS] [--part PART]`: run the chaos, say what happened, and fail if anything is wrong."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import trio

from .exhaustion import run_out_of_descriptors, run_out_of_threads
from .findings import Report
from .interrupts import interrupt_everywhere, no_memory
from .misbehaviour import CASES, misbehave, tracer_cases
from .moments import cancel_at_random_moments
from .operations import BLOCKING_OPERATIONS, OPERATIONS, BlockingOperation, Operation
from .place import Place, place
from .steps import cancel_at_each_step
from .syscalls import fail_each_call


def moments(place: Place, rounds: int) -> Iterator[Report]:
    """Cancel at random moments."""
    yield trio.run(cancel_at_random_moments, rounds)


def steps(place: Place, rounds: int) -> Iterator[Report]:
    """Cancel at each step."""
    for operation in OPERATIONS:
        yield trio.run(cancel_at_each_step, operation, place)


def interrupts(place: Place, rounds: int) -> Iterator[Report]:
    """Interrupt at each instruction, so many in all as there are rounds."""
    operations: list[Operation | BlockingOperation] = [*OPERATIONS, *BLOCKING_OPERATIONS]
    for operation in operations:
        yield interrupt_everywhere(operation, place, stride=max(1, 20000 // max(rounds, 1)))


def syscalls(place: Place, rounds: int) -> Iterator[Report]:
    """Let each system call fail; the first few calls where nothing hangs."""
    for operation in OPERATIONS:
        if operation.takes_network:
            yield trio.run(partial(fail_each_call, operation, place, calls=1 if operation.may_hang else 3))


def exhaustion(place: Place, rounds: int) -> Iterator[Report]:
    """Run out of descriptors, of memory and of threads."""
    for operation in OPERATIONS:
        yield trio.run(run_out_of_descriptors, operation, place)
        yield interrupt_everywhere(operation, place, interrupt=no_memory, stride=max(1, 20000 // max(rounds, 1)))
    yield trio.run(run_out_of_threads, place)


def misbehaviour(place: Place, rounds: int) -> Iterator[Report]:
    """Let callers' code misbehave."""
    for operation in OPERATIONS:
        if operation.takes_network:
            yield misbehave(f"tracer of {operation.name}", tracer_cases(operation), place)
    for culprit, cases in CASES.items():
        yield misbehave(culprit, cases(), place)


PARTS: dict[str, Callable[[Place, int], Iterator[Report]]] = {
    part.__name__: part for part in (moments, steps, interrupts, syscalls, exhaustion, misbehaviour)
}


def main(arguments: list[str] | None = None) -> int:
    """Be the command."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("rounds", nargs="?", type=int, default=5000, help="how much of what is random or sampled")
    parser.add_argument("--part", choices=PARTS, action="append", help="this part alone; repeatable")
    options: Any = parser.parse_args(arguments)
    logging.disable()  # tracers that raise are logged
    faults = 0
    with place() as servers:
        for name in options.part or PARTS:
            for report in PARTS[name](servers, options.rounds):
                print(report, flush=True)
                faults += len(report.faults)
    print(f"{faults} faults")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
