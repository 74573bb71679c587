"""A short form of `python -m tests.chaos`: every way to connect, disturbed in every way, leaves nothing behind."""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterator
from functools import partial

import pytest
import trio

import trio_nbconnect as nb

from .chaos.exhaustion import descriptors, run_out_of_descriptors, run_out_of_threads
from .chaos.findings import Report
from .chaos.interrupts import interrupt_everywhere, no_memory
from .chaos.misbehaviour import CASES, misbehave, tracer_cases
from .chaos.moments import cancel_at_random_moments
from .chaos.operations import BLOCKING_OPERATIONS, OPERATIONS, BlockingOperation, Operation
from .chaos.place import Place, place
from .chaos.steps import cancel_at_each_step
from .chaos.syscalls import fail_each_call


@pytest.fixture(scope="module")
def servers() -> Iterator[Place]:
    """Servers of every kind, in a process of their own."""
    with place() as servers:
        yield servers


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """A tracer that raises is logged, and thousands do."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


def named(*names: str) -> pytest.MarkDecorator:
    """Have a test run these operations; all if none is named."""
    chosen = [operation for operation in OPERATIONS if not names or operation.name in names]
    assert not names or len(chosen) == len(names)
    return pytest.mark.parametrize("operation", chosen, ids=lambda operation: operation.name)


def check(report: Report) -> None:
    """Show all that is wrong."""
    assert report.outcomes
    assert not report.faults, str(report)


@named()
def test_cancelled_at_each_step(operation: Operation, servers: Place) -> None:
    """Cancelled before it begins, nothing is opened; at any later step, nothing is left."""
    check(trio.run(cancel_at_each_step, operation, servers))


@named(
    *("refused, then good", "silent, then good", "name", "establish", "SOCKS5", "UNIX", "Handshake"),
    *("several hosts", "race"),
)
def test_interrupted_between_instructions(operation: Operation, servers: Place) -> None:
    """Ctrl-C comes out as a plain `KeyboardInterrupt`, wherever in our code it falls."""
    check(interrupt_everywhere(operation, servers, stride=89, offset=len(operation.name)))


@pytest.mark.parametrize("operation", BLOCKING_OPERATIONS, ids=lambda operation: operation.name)
def test_interrupted_where_code_blocks(operation: BlockingOperation, servers: Place) -> None:
    """As in the standard library's function: a plain `KeyboardInterrupt`, and no socket."""
    check(interrupt_everywhere(operation, servers, stride=89, offset=len(operation.name)))


@named("six addresses", "name", "establish", "TLS over TCP", "UNIX")
def test_no_memory_left(operation: Operation, servers: Place) -> None:
    """An allocation that fails comes out as `MemoryError`, wherever in our code that is."""
    check(interrupt_everywhere(operation, servers, interrupt=no_memory, stride=97, offset=len(operation.name)))


@named("one address", "refused, then good", "name", "UNIX")
def test_each_system_call_fails(operation: Operation, servers: Place) -> None:
    """A system call that fails is an `OSError` or no harm, and nobody spins."""
    check(trio.run(partial(fail_each_call, operation, servers, calls=1)))


@named()
def test_no_descriptor_left(operation: Operation, servers: Place) -> None:
    check(trio.run(partial(run_out_of_descriptors, operation, servers, most=4)))


async def test_no_descriptor_left_is_no_unknown_name() -> None:
    """The C library has none for its files and sockets, and says that it knows no such name."""
    with descriptors(0), pytest.raises(nb.ResolutionError) as raised:
        await nb.open_tcp_stream("localhost.example", 9)
    assert raised.value.errno == errno.EMFILE
    assert str(raised.value).endswith("Too many open files")
    assert nb.is_retryable(raised.value)


def test_no_thread_left(servers: Place) -> None:
    """What the interpreter says of threads is an error like another, and not a group."""
    check(trio.run(run_out_of_threads, servers))


@named("one address", "six addresses", "name")
def test_tracers_that_misbehave(operation: Operation, servers: Place) -> None:
    """One that raises is switched off; Ctrl-C and its like come out, and the winner is closed."""
    check(misbehave("tracer", tracer_cases(operation), servers))


@pytest.mark.parametrize("culprit", CASES)
def test_callers_code_that_misbehaves(culprit: str, servers: Place) -> None:
    """What it raises comes out as it is, or as a failure of the connect."""
    check(misbehave(culprit, CASES[culprit](), servers))


def test_cancelled_at_random_moments() -> None:
    check(trio.run(cancel_at_random_moments, 200, 8305))
