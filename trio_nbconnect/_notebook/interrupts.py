"""Interrupts: the stop button of a notebook.

The problem: the kernel answers SIGINT during an asynchronous cell by cancelling an asyncio task, once its loop comes
round. Code that computes and never awaits keeps the loop from that for ever, and a `KeyboardInterrupt` raised at any
odd moment leaves things behind that nobody closes. Raised in the kernel's own code, it costs the reply to the cell,
or half of a message.

How we solve it, step by step, as long as it takes:
1. An asynchronous piece has its cancel scope cancelled. What it has opened is closed on the way out: nothing is left.
2. If the loop has not even come round to that in half a second, something is spinning, or sleeping outside of Trio:
   `KeyboardInterrupt` is raised right there, if Trio says that this is user code and not its own.
3. A second interrupt of a piece that is being cancelled, and does not end, leaves it: the cell is over, and the rest
   goes on in the background.
In a synchronous piece `KeyboardInterrupt` is raised, but only while its code runs, and no message is being sent. What
comes at any other time of a cell waits for its next piece. The kernel's own handler, which it sets for the cell, has no
say between two pieces: the cancellation that it orders would come after a next piece that never ends.

What lives here: what is interrupted, and how. What does not: what is shown of it. A handler of signals runs between
any two instructions of the main thread, so it takes no lock; a thread, woken through a queue, watches the half second.
"""

from __future__ import annotations

import asyncio
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import Any

import trio

from .tracebacks import users_part

if sys.version_info < (3, 11):
    from exceptiongroup import BaseExceptionGroup

_Handler = Callable[[int, FrameType | None], object]

PATIENCE = 0.5
"""Seconds until something that does not listen is taken to be spinning."""

_WAITING = ("trio.", "outcome.")
"""The modules in which everything waits; where a piece was interrupted is said by what has called them."""


class _Asked:
    """How often something was asked to stop."""

    def __init__(self) -> None:
        self.asked = 0
        self.heard = 0
        """How many of these have been acted on."""
        self.nudged = False
        """Whether the next signal is the one of our own thread, and no new interrupt."""


class Piece(_Asked):
    """An asynchronous piece of a cell: a coroutine, and how it has ended."""

    def __init__(self, code: Coroutine[Any, Any, object], loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self.done: asyncio.Future[None] = loop.create_future()
        self._code = code
        self._scope = trio.CancelScope()
        self._inside: BaseException | None = None
        self._outside: BaseException | None = None
        self._is_left = False

    async def run(self) -> None:
        """Be its task; nothing leaves it, since it is nobody's child."""
        try:
            with self._scope:
                try:
                    await self._run_code()
                except BaseException as error:
                    self._inside = error
                    raise
        except BaseException as error:  # noqa: BLE001 - it is kept, for the cell
            self._outside = error
        if not self.done.done():
            self.done.set_result(None)

    @trio.lowlevel.disable_ki_protection
    async def _run_code(self) -> None:
        await self._code

    def interrupt(self) -> None:
        """Cancel it; the second time, leave it."""
        self.heard = self.asked
        if not self._scope.cancel_called:
            self._scope.cancel()
        elif not self.done.done():
            self._is_left = True
            self.done.set_result(None)

    def error(self) -> BaseException | None:
        """What the cell has to show: an interrupt is a `KeyboardInterrupt`, wherever and however it was met."""
        if self._is_left:
            return KeyboardInterrupt("what this cell was doing does not end, and goes on in the background")
        error = self._outside
        if isinstance(error, BaseExceptionGroup):
            error = error.split((KeyboardInterrupt, trio.Cancelled))[1]
        elif isinstance(error, (KeyboardInterrupt, trio.Cancelled)):
            error = None
        if error is None and (self.asked or self._scope.cancel_called):
            place = users_part(self._inside.__traceback__, without=_WAITING) if self._inside else None
            return KeyboardInterrupt().with_traceback(place)
        return self._outside


class Interrupts:
    """What SIGINT does while a cell runs."""

    def __init__(self) -> None:
        self._asked: queue.SimpleQueue[_Asked | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._is_due = False
        self._is_closed = False
        threading.Thread(target=self._watch, name="trio_nbconnect interrupts", daemon=True).start()

    def close(self) -> None:
        """End the thread that watches; the rest of the cell that asks for it is interrupted as ever."""
        self._is_closed = True
        self._asked.put(None)

    def is_due(self) -> bool:
        """Whether the next piece is to be interrupted before it begins. That is asked once."""
        is_due, self._is_due = self._is_due, False
        return is_due

    @contextmanager
    def put_off(self) -> Iterator[None]:
        """Let SIGINT wait for the next piece, in a block that is a whole cell and all that the kernel does for it."""
        self._is_due = False
        with _handler(self._wait_for_the_next_piece):
            yield

    def _wait_for_the_next_piece(self, _number: int, _frame: FrameType | None) -> None:
        if self._is_closed:
            raise KeyboardInterrupt
        self._is_due = True

    @contextmanager
    def _heard(self, on_sigint: _Handler) -> Iterator[None]:
        """Handle SIGINT this way for a piece, and what came a moment before; after it, it waits for the next piece."""
        with _handler(on_sigint, afterwards=self._wait_for_the_next_piece):
            if self.is_due():
                on_sigint(signal.SIGINT, None)
            yield

    @contextmanager
    def raised_in(self, code: CodeType) -> Iterator[None]:
        """Let SIGINT raise `KeyboardInterrupt` in this code, in a block that runs it."""
        piece = _Asked()

        def on_sigint(_number: int, frame: FrameType | None) -> None:
            nudged, piece.nudged = piece.nudged, False
            if _runs(code, frame):
                piece.heard = piece.asked
                raise KeyboardInterrupt
            if not nudged:
                piece.asked += 1
                self._asked.put(piece)

        with self._heard(on_sigint):
            try:
                yield
            finally:
                self._is_due |= self._over(piece)

    @contextmanager
    def reach(self, piece: Piece) -> Iterator[None]:
        """Let SIGINT interrupt this piece in a block that waits for it."""
        loop = asyncio.get_running_loop()

        def on_sigint(_number: int, _frame: FrameType | None) -> None:
            nudged, piece.nudged = piece.nudged, False
            if nudged:
                if piece.asked > piece.heard and not trio.lowlevel.currently_ki_protected():
                    raise KeyboardInterrupt
            else:
                piece.asked += 1
                loop.call_soon_threadsafe(_act, piece)
                self._asked.put(piece)

        with self._heard(on_sigint):
            try:
                yield
            finally:
                self._over(piece)

    def _over(self, piece: _Asked) -> bool:
        """After this no nudge is under way; return whether there was something left to hear."""
        with self._lock:
            is_left, piece.heard = piece.asked > piece.heard, piece.asked
        return is_left

    def _watch(self) -> None:
        """Nudge the main thread, as long as a piece has not heard what it was asked."""
        while (piece := self._asked.get()) is not None:
            time.sleep(PATIENCE)
            with self._lock:
                if piece.asked > piece.heard:
                    piece.nudged = True
                    self._asked.put(piece)
                    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


def _act(piece: Piece) -> None:
    if piece.asked > piece.heard:
        piece.interrupt()


def _runs(code: CodeType, frame: FrameType | None) -> bool:
    """Whether this code is being run, and not sending a message just now."""
    while frame is not None and frame.f_code is not code:
        if frame.f_code.co_name == "send" and frame.f_globals.get("__name__") == "jupyter_client.session":
            return False
        frame = frame.f_back
    return frame is not None


@contextmanager
def _handler(handler: _Handler, *, afterwards: _Handler | None = None) -> Iterator[None]:
    """Handle SIGINT this way for a block, where signals arrive; then another way, or as before."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, afterwards or before)
