"""Cells: the asynchronous pieces of a notebook's cells run as tasks of Trio, and can be interrupted.

The problem: IPython awaits a cell on the kernel's asyncio loop, where nothing of Trio's works, and an interrupt is
`asyncio`'s cancellation. How we solve it: IPython runs a cell piece by piece, each through `shell.run_code`. We stand
in its place. An asynchronous piece becomes a task of the guest run, with a cancel scope around it; the kernel's loop
waits, and serves its other messages meanwhile. The piece sees the context variables of its cell, and the cell sees
what the piece has set. Since `run_code` is looked up for each piece, the line that loads the extension counts at once.

IPython's own `run_code` takes every exception for the cell's, also Trio's `Cancelled`. So the piece runs outside of
it, and only what is left outside the scope is shown, the way IPython does. Interrupts are in `_interrupts`.

What lives here: those pieces. What does not: what a traceback looks like (`_tracebacks`). Subshells have loops in
threads of their own, which Trio is not in: there everything stays as it was.
"""

from __future__ import annotations

import asyncio
import bdb
import contextvars
import threading
import warnings
from collections.abc import Coroutine
from types import CodeType
from typing import Any

import trio

from .. import trace
from .._listening import listening
from .guest import Guest
from .interrupts import Interrupts, Piece
from .shell import Result, Shell
from .tracebacks import users_part


class Cells:
    """Run the asynchronous pieces of cells in a guest run.

    Args:
        shell: Whose cells.
        guest: Where they run.
        tracer: Hears of every race in them.
    """

    def __init__(self, shell: Shell, guest: Guest, tracer: trace.Tracer) -> None:
        self._shell = shell
        self._guest = guest
        self._tracer = tracer
        self._interrupts = Interrupts()
        self._original = shell.run_code
        self._ours = self._run_code
        shell.run_code = self._ours
        self._handlers = shell.kernel.shell_handlers
        self._original_execute = self._handlers["execute_request"]
        self._our_execute = self._execute
        self._handlers["execute_request"] = self._our_execute

    def close(self) -> None:
        """Put back what was there, unless somebody else has put something over us."""
        self._interrupts.close()
        if self._shell.run_code == self._ours:
            del self._shell.run_code
        if self._handlers["execute_request"] == self._our_execute:
            self._handlers["execute_request"] = self._original_execute
        _stop_telling(self._tracer)

    async def _execute(self, *request: Any) -> None:
        """Handle a request to run a cell, so that an interrupt finds no code but the cell's."""
        with self._interrupts.put_off():
            await self._original_execute(*request)

    async def _run_code(self, code: CodeType, result: Result | None = None, *, async_: bool = False) -> bool:
        """Run a piece of a cell, show what it raises, and return whether it raised."""
        if threading.current_thread() is not self._guest.thread:
            return await self._original(code, result, async_=async_)
        if self._interrupts.is_due():
            self._show(KeyboardInterrupt(), result)
            return True
        if not async_:
            with self._interrupts.raised_in(code):
                return await self._original(code, result, async_=False)
        error = await self._run(eval(code, self._shell.user_global_ns, self._shell.user_ns))
        if error is not None:
            self._show(error, result)
        return error is not None

    async def _run(self, code: Coroutine[Any, Any, object]) -> BaseException | None:
        """Run it as a task of Trio, and return what it has raised."""
        if self._guest.is_ending:
            code.close()
            return _ended(self._guest)
        _tell(self._tracer)
        context = contextvars.copy_context()
        piece = Piece(code, asyncio.get_running_loop())
        trio.lowlevel.spawn_system_task(piece.run, name="cell", context=context)
        with self._interrupts.reach(piece):
            while not (piece.done.done() or self._guest.ended.done()):
                try:
                    await asyncio.wait({piece.done, self._guest.ended}, return_when=asyncio.FIRST_COMPLETED)
                except asyncio.CancelledError:  # an interrupt that came while our handler was not there
                    piece.interrupt()
        _take_over(context)
        error = piece.error() if piece.done.done() else None
        if isinstance(error, trio.Cancelled):  # not by us: so everything is
            await asyncio.wait({self._guest.ended}, timeout=1)
        return _ended(self._guest) if self._guest.ended.done() else error

    def _show(self, error: BaseException, result: Result | None) -> None:
        """Do what IPython does with an exception in a cell."""
        if result is not None:
            result.error_in_exec = error
        shell, shown = self._shell, (type(error), error, users_part(error.__traceback__))
        if isinstance(error, SystemExit):
            shell.showtraceback(shown, exception_only=True)
            warnings.warn("To exit: use 'exit', 'quit', or Ctrl-D.", stacklevel=1)
        elif isinstance(error, shell.custom_exceptions):
            shell.CustomTB(*shown)
        elif not isinstance(error, bdb.BdbQuit):
            shell.showtraceback(shown, tb_offset=0, running_compiled_code=True)


def _ended(guest: Guest) -> RuntimeError:
    """Trio is not there any more; say why, and what to do."""
    error = RuntimeError("Trio has ended in this kernel; start it again with %reload_ext trio_nbconnect.notebook")
    error.__cause__ = guest.ended.exception() if guest.ended.done() else None
    return error


def _take_over(context: contextvars.Context) -> None:
    """Set here what a piece has set in its context, so that the next piece of the cell finds it."""
    here = contextvars.copy_context()
    for variable, value in context.items():
        if variable not in here or here[variable] is not value:
            variable.set(value)


def _tell(tracer: trace.Tracer) -> None:
    """Let it hear of what this context connects."""
    if tracer not in listening.get():
        listening.set((*listening.get(), tracer))


def _stop_telling(tracer: trace.Tracer) -> None:
    listening.set(tuple(other for other in listening.get() if other != tracer))
