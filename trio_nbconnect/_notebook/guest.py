"""Guest: Trio on top of another program's event loop.

A Jupyter kernel has an asyncio loop in its main thread, and code in cells is to `await` what Trio offers, while sliders
and interrupts are still served. That is Trio's guest mode: Trio decides what is to be run, and hands each step to the
host, which runs it between its own callbacks.

The steps pass through a queue of ours. So `advance` and `finish` work at once, from code that cannot await: they take
the steps from the queue themselves, whether the host's loop runs, stands still or is closed.

SIGINT is not handled here: Trio would raise it in its main task, which here is not the user's.
"""

from __future__ import annotations

import asyncio
import queue
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import outcome
import trio

Step = Callable[[], object]


class Guest:
    """One run of Trio on an asyncio loop, in the loop's thread.

    Args:
        loop: The loop; it must be running, in this thread.
        main: What Trio runs. The run ends when it returns, or after `finish` has cancelled it.

    Attributes:
        ended: Is done once the run has ended; its exception says why, if it ended by itself.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, main: Callable[[], Awaitable[None]]) -> None:
        self._loop = loop
        self._due: queue.SimpleQueue[Step] = queue.SimpleQueue()
        self._scope = trio.CancelScope()
        self._main = main
        self.ended: asyncio.Future[None] = loop.create_future()
        self.thread = threading.current_thread()
        with _sigint_left_alone():
            trio.lowlevel.start_guest_run(
                self._run,
                run_sync_soon_threadsafe=self._from_anywhere,
                run_sync_soon_not_threadsafe=self._from_here,
                done_callback=self._end,
                host_uses_signal_set_wakeup_fd=_has_wakeup_fd(),
            )

    async def _run(self) -> None:
        with self._scope:
            await self._main()

    def _from_anywhere(self, step: Step) -> None:
        self._due.put(step)
        try:
            self._loop.call_soon_threadsafe(self._next_step)
        except RuntimeError:  # the loop is closed: now `advance` alone takes steps
            return

    def call_soon(self, function: Step) -> None:
        """Call a function between two steps, outside of Trio's tasks; from any thread, and from handlers of signals."""
        self._from_anywhere(function)

    def _from_here(self, step: Step) -> None:
        self._due.put(step)
        try:
            self._loop.call_soon(self._next_step)
        except RuntimeError:  # as above
            return

    def _next_step(self) -> None:
        try:
            step = self._due.get_nowait()
        except queue.Empty:  # `advance` has taken it
            return
        step()

    def _end(self, result: outcome.Outcome[None]) -> None:
        """Mark the end; a failure is kept for those who wait, and is no complaint at exit if nobody does."""
        if isinstance(result, outcome.Error):
            self.ended.set_exception(result.error)
            self.ended.exception()
        else:
            self.ended.set_result(None)

    def advance(self, until: Callable[[], bool], *, within: float) -> bool:
        """Run Trio here and now, until a condition holds, and return whether it came about."""
        give_up_at = time.monotonic() + within
        while not until():
            left = give_up_at - time.monotonic()
            try:
                step = self._due.get(timeout=min(max(0.0, left), threading.TIMEOUT_MAX))
            except queue.Empty:
                return False
            step()
        return True

    @property
    def is_ending(self) -> bool:
        """Whether it was asked to end, or has ended."""
        return self._scope.cancel_called or self.ended.done()

    def finish(self, *, within: float) -> bool:
        """End the run here and now, and return whether that came about.

        Everything in it is cancelled. What does not end `within` so many seconds is left behind, and the host's loop
        goes on with it if it can.

        Raises:
            RuntimeError: A task of the run asks for it, which would have to wait for itself.
        """
        if self.ended.done():
            return True
        if trio.lowlevel.in_trio_task():
            raise RuntimeError("Trio cannot be ended from a task that it runs")
        self._scope.cancel()
        return self.advance(self.ended.done, within=within)


def _has_wakeup_fd() -> bool:
    """Whether signals wake the host; asyncio's loop mostly sleeps on, if one comes just before it falls asleep.

    Trio then sees to that: otherwise about one interrupt in seventy is heard only when something else happens.
    """
    if threading.current_thread() is not threading.main_thread():
        return True
    before = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(before)
    return before != -1


@contextmanager
def _sigint_left_alone() -> Iterator[None]:
    """Put back the handler of SIGINT that the block replaces."""
    before = signal.getsignal(signal.SIGINT)
    yield
    if signal.getsignal(signal.SIGINT) is not before:
        signal.signal(signal.SIGINT, before)
