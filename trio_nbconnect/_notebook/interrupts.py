"""Interrupts: the stop button of a notebook.

The kernel answers SIGINT during an asynchronous cell by cancelling an asyncio task, once its loop comes round. Code
that computes and never awaits keeps the loop from that for ever, and a `KeyboardInterrupt` raised at any odd moment
leaves things behind that are not closed. Raised in the kernel's own code, it costs the reply to the cell, or half of a
message. In the import of Trio, which takes a tenth of a second, it leaves modules that hold on to each other's first
halves, and nothing of Trio works until the kernel is restarted.

IPython runs a cell part by part, one for each statement at its top. Step by step, as long as it takes:
1. An asynchronous part has its cancel scope cancelled. What it has opened is closed on the way out: nothing is left.
2. If that has had no effect in half a second, something is spinning, or sleeping outside of Trio: `KeyboardInterrupt`
   is raised right there, if Trio says that this is user code and not its own.
3. A second interrupt of a part that is being cancelled, and does not end, leaves it: the cell is over, and the rest
   goes on in the background.
In a synchronous part `KeyboardInterrupt` is raised, but only while its code runs, and no message is being sent. What
comes at any other time of a cell waits for its next part, and what comes during our imports for their end; what comes
when the cell is over is ignored, as between two requests. The kernel's own handler, which it sets for the cell, is not
used between two parts: the cancellation that it orders would come after a next part that never ends.

A handler of signals runs between any two instructions of the main thread, so it takes no lock; a thread, woken through
a queue, watches the half second. This module is imported before Trio, and so it does not import Trio.
"""

from __future__ import annotations

import _thread
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import Protocol

_Handler = Callable[[int, FrameType | None], object]

PATIENCE = 0.5
"""Seconds until a part that does not end is taken to be spinning."""


@contextmanager
def defer_sigint() -> Iterator[None]:
    """Let SIGINT wait until the block is over; then its handler is called."""
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return
    received: list[tuple[int, FrameType | None]] = []
    signal.signal(signal.SIGINT, lambda number, frame: received.append((number, frame)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if received:
        before(*received[0])


class InterruptCount:
    """How often a part was interrupted, and how far that was acted on."""

    def __init__(self) -> None:
        self.received = 0
        self.handled = 0
        """How many of these have been acted on."""
        self.is_resent = False
        """Whether the next signal is the one of our own thread, and no new interrupt."""

    def take_resent(self) -> bool:
        """Return whether this signal is the one of our own thread."""
        is_resent, self.is_resent = self.is_resent, False
        return is_resent


class Cancellable(Protocol):
    """An asynchronous part of a cell."""

    interrupts: InterruptCount

    def interrupt(self) -> None:
        """Cancel it; the second time, leave it."""


class Interrupts:
    """What SIGINT does while a cell runs."""

    def __init__(self) -> None:
        self._watched: queue.SimpleQueue[InterruptCount | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._is_pending = False
        self._is_closed = False
        threading.Thread(target=self._watch, name="trio_nbconnect interrupts", daemon=True).start()

    def close(self) -> None:
        """End the thread that watches; the rest of the cell that asks for it is interrupted as ever."""
        self._is_closed = True
        self._watched.put(None)

    def take_pending(self) -> bool:
        """Return whether the next part is to be interrupted before it begins, once."""
        is_pending, self._is_pending = self._is_pending, False
        return is_pending

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Let SIGINT wait for the next part, in a block that is a whole cell and all that the kernel does for it.

        What comes after the block is not for this cell: it is ignored, as the kernel does between two requests, and
        not raised in the few steps until then, which would end the kernel.
        """
        self._is_pending = False
        with _handler(self._wait_for_next_part, afterwards=signal.SIG_IGN):
            yield

    def _wait_for_next_part(self, _number: int, _frame: FrameType | None) -> None:
        if self._is_closed:
            raise KeyboardInterrupt
        self._is_pending = True

    @contextmanager
    def _handled(self, on_sigint: _Handler, *, nested: bool) -> Iterator[None]:
        """Handle SIGINT this way for a part, and what came a moment before.

        After it, SIGINT waits for the next part; inside of another part it does there what it did before.
        """
        with _handler(on_sigint, afterwards=None if nested else self._wait_for_next_part):
            if self.take_pending():
                on_sigint(signal.SIGINT, None)
            yield

    @contextmanager
    def raised_in(self, code: CodeType, *, nested: bool = False) -> Iterator[None]:
        """Let SIGINT raise `KeyboardInterrupt` in this code, in a block that runs it."""
        count = InterruptCount()

        def on_sigint(_number: int, frame: FrameType | None) -> None:
            is_resent = count.take_resent()
            if _is_between_parts(code, frame):
                self._is_pending = True
            elif _runs(code, frame):
                count.handled = count.received
                raise KeyboardInterrupt
            elif not is_resent:
                count.received += 1
                self._watched.put(count)

        with self._handled(on_sigint, nested=nested):
            try:
                yield
            finally:
                self._is_pending |= self._stop_watching(count)

    @contextmanager
    def cancelling(
        self,
        part: Cancellable,
        *,
        call_soon: Callable[[Callable[[], None]], object],
        is_protected: Callable[[], bool],
        nested: bool = False,
    ) -> Iterator[None]:
        """Let SIGINT interrupt this part in a block that waits for it.

        Args:
            part: What to interrupt.
            call_soon: How to have a function called outside of the handler.
            is_protected: Whether the code that runs now may not be interrupted, by Trio's rules.
            nested: Whether this is inside of another part.
        """
        count = part.interrupts

        def act() -> None:
            if count.received > count.handled:
                part.interrupt()

        def on_sigint(_number: int, _frame: FrameType | None) -> None:
            if count.take_resent():
                if count.received > count.handled and not is_protected():
                    raise KeyboardInterrupt
            else:
                count.received += 1
                call_soon(act)
                self._watched.put(count)

        with self._handled(on_sigint, nested=nested):
            try:
                yield
            finally:
                self._stop_watching(count)

    def _stop_watching(self, count: InterruptCount) -> bool:
        """After this no signal of ours is under way; return whether an interrupt was left that nobody acted on."""
        with self._lock:
            is_left, count.handled = count.received > count.handled, count.received
        return is_left

    def _watch(self) -> None:
        """Send the signal again, as long as a part has not acted on it."""
        while (count := self._watched.get()) is not None:
            time.sleep(PATIENCE)
            with self._lock:
                if count.received > count.handled:
                    count.is_resent = True
                    self._watched.put(count)
                    _send_sigint()


def _send_sigint() -> None:
    """Send SIGINT to the main thread, which leaves what it waits for; on Windows, once it has waited."""
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    else:
        _thread.interrupt_main(signal.SIGINT)


def _is_between_parts(code: CodeType, frame: FrameType | None) -> bool:
    """Whether this code has IPython run a cell, and that is busy with itself, and not with the cell's code."""
    while frame is not None and frame.f_code is not code:
        if frame.f_code.co_name == "run_cell_async" and frame.f_globals.get("__name__") == _INTERACTIVE_SHELL:
            return True
        frame = frame.f_back
    return False


_INTERACTIVE_SHELL = "IPython.core.interactiveshell"


def _runs(code: CodeType, frame: FrameType | None) -> bool:
    """Whether this code is being run, and not sending a message just now."""
    while frame is not None and frame.f_code is not code:
        if frame.f_code.co_name == "send" and frame.f_globals.get("__name__") == "jupyter_client.session":
            return False
        frame = frame.f_back
    return frame is not None


@contextmanager
def _handler(handler: _Handler, *, afterwards: _Handler | signal.Handlers | None = None) -> Iterator[None]:
    """Handle SIGINT this way for a block, where signals arrive; then another way, or as before."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, afterwards or before)
