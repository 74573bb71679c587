"""Steps: an operation is cancelled at its k-th step, for every k.

A step is what Trio runs of a task between two schedule points. An instrument counts the beginnings and ends of those
of the operation's own tasks and cancels its scope at the one that is wanted: at an end, the task waits and is woken; at
a beginning it has been woken already, and meets the cancellation at its next checkpoint. Step 0 is before anything has
begun, and then nothing may be opened. Nothing depends on how long anything takes.
"""

from __future__ import annotations

import socket

import trio

from trio_nbconnect._connect.network import KernelNetwork

from .findings import Report
from .leftovers import leftovers
from .operations import Operation, close, connector
from .place import Place


class CountingNetwork(KernelNetwork):
    """The kernel's network, which counts the sockets that are opened."""

    opened = 0

    def open(self, family: socket.AddressFamily, protocol: int = 0) -> socket.socket:
        self.opened += 1
        return super().open(family, protocol)


class CancelAtStep(trio.abc.Instrument):
    """Cancel a scope at the k-th beginning or end of a step of a task or of its descendants."""

    def __init__(self, step: int) -> None:
        self.step = step
        self.steps = 0
        self.scope = trio.CancelScope()
        self.root: trio.lowlevel.Task | None = None

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """Implement the instrument."""
        self._count(task)

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        """Implement the instrument."""
        self._count(task)

    def _count(self, task: trio.lowlevel.Task) -> None:
        if self.root is not None and self._is_below(task):
            self.steps += 1
            if self.steps == self.step:
                self.scope.cancel()

    def _is_below(self, task: trio.lowlevel.Task) -> bool:
        above: trio.lowlevel.Task | None = task
        while above is not None:
            if above is self.root:
                return True
            above = above.parent_nursery.parent_task if above.parent_nursery is not None else None
        return False


async def cancel_at_each_step(operation: Operation, place: Place, *, most: int = 1000) -> Report:
    """Cancel at step 0, 1, 2, ... until the operation is through before it is cancelled.

    Args:
        operation: What is cancelled.
        place: Where it connects to.
        most: How many steps are tried at most.
    """
    report = Report(f"{operation.name}, cancelled at each step")
    for step in range(most):
        with leftovers() as left:
            is_over = await _once(operation, place, step, report)
        report.faults += [f"step {step}: {what} left" for what in left.found]
        if is_over:
            return report
    report.faults.append(f"not over after {most} steps")
    return report


async def _once(operation: Operation, place: Place, step: int, report: Report) -> bool:
    """Return whether the operation was over before it could be cancelled."""
    instrument = CancelAtStep(step)
    trio.lowlevel.add_instrument(instrument)
    network = CountingNetwork()
    made = connector(network=network)
    if step == 0:
        instrument.scope.cancel()
    with trio.fail_after(5), instrument.scope:
        instrument.root = trio.lowlevel.current_task()
        try:
            with report.counting(f"step {step}"):
                close(await operation.open(place, made))
        finally:
            trio.lowlevel.remove_instrument(instrument)
    report.outcomes["cancelled"] += instrument.scope.cancelled_caught
    if step == 0 and (network.opened or not instrument.scope.cancelled_caught):
        report.faults.append("it was cancelled before it began, and did something")
    return not instrument.scope.cancel_called
