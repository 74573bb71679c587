"""Cells: the asynchronous parts of a notebook's cells run as tasks of Trio, and can be interrupted.

IPython awaits a cell on the kernel's asyncio loop, where nothing of Trio's works, and an interrupt is asyncio's
cancellation. But it runs a cell part by part, each through `shell.run_code`, and we stand in the place of that. An
asynchronous part becomes a task of the guest run, with a cancel scope around it; the kernel's loop waits, and serves
its other messages meanwhile. The part sees the context variables of its cell, and the cell sees what the part has set.
`run_code` is looked up for each part, so that the line that loads the extension counts at once.

IPython's own `run_code` takes every exception for the cell's, also Trio's `Cancelled`. So a part runs outside of it,
and only what is left outside the scope is shown, the way IPython does.

Some magics, `%%capture` for one, run a cell inside of a part and do not await it. There is no way to wait on the
kernel's loop, and Trio is run right there until the inner cell is over. `%time` and `%timeit` compile code themselves,
without `await`; nothing can be done about that but to say it, which the tracebacks do.

In a synchronous part, sniffio says "trio": an `anyio.Event` made there will be used with `await`, that is, in Trio.
Subshells have loops in threads of their own, which Trio is not in: there everything stays as it was.
"""

from __future__ import annotations

import asyncio
import bdb
import contextvars
import math
import sys
import threading
import warnings
from collections.abc import Coroutine, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import CodeType
from typing import Any, TypeVar

import trio

from .. import trace
from .._listening import listening
from .guest import Guest
from .interrupts import InterruptCount, Interrupts
from .shell import Result, Shell
from .tracebacks import shown_part

if sys.version_info < (3, 11):
    from exceptiongroup import BaseExceptionGroup

T = TypeVar("T")

_WAITING = ("trio.", "outcome.")
"""The modules in which everything waits; a traceback ends where they were called."""


class CellTask:
    """An asynchronous part of a cell: a coroutine, run as a task of Trio, and how it has ended."""

    def __init__(self, code: Coroutine[Any, Any, object], loop: asyncio.AbstractEventLoop) -> None:
        self.interrupts = InterruptCount()
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
        self.interrupts.handled = self.interrupts.received
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
        if error is None and (self.interrupts.received or self._scope.cancel_called):
            place = shown_part(self._inside, without=_WAITING) if self._inside else None
            return KeyboardInterrupt().with_traceback(place)
        return self._outside


class Cells:
    """Run the asynchronous parts of cells in a guest run.

    Args:
        shell: Whose cells.
        guest: Where they run.
        tracer: Is called with the events of every race in them.
    """

    def __init__(self, shell: Shell, guest: Guest, tracer: trace.Tracer) -> None:
        self._shell = shell
        self._guest = guest
        self._tracer = tracer
        self._interrupts = Interrupts()
        self._parts = 0
        """How many run, one inside of the other."""
        self._original = shell.run_code
        self._ours = self._run_code
        shell.run_code = self._ours
        self._original_runner = shell.trio_runner
        shell.trio_runner = _run_cell
        self._handlers = shell.kernel.shell_handlers
        self._original_execute = self._handlers["execute_request"]
        self._our_execute = self._execute
        self._handlers["execute_request"] = self._our_execute

    def close(self) -> None:
        """Put back what was there, unless somebody else has put something over us."""
        self._interrupts.close()
        if self._shell.run_code == self._ours:
            del self._shell.run_code
        if self._shell.trio_runner is _run_cell:
            self._shell.trio_runner = self._original_runner
        if self._handlers["execute_request"] == self._our_execute:
            self._handlers["execute_request"] = self._original_execute
        _stop_tracing(self._tracer)

    async def _execute(self, *request: Any) -> None:
        """Handle a request to run a cell, so that an interrupt finds no code but the cell's."""
        with self._interrupts.deferred():
            await self._original_execute(*request)

    async def _run_code(self, code: CodeType, result: Result | None = None, *, async_: bool = False) -> bool:
        """Run a part of a cell, show what it raises, and return whether it raised."""
        if threading.current_thread() is not self._guest.thread:
            return await self._original(code, result, async_=async_)
        if self._interrupts.take_pending():
            self._show(KeyboardInterrupt(), result)
            return True
        nested = self._parts > 0
        with self._inside_of_a_part():
            if not async_:
                with self._interrupts.raised_in(code, nested=nested), _trio_for_sniffio():
                    return await self._original(code, result, async_=False)
            error = await self._run(eval(code, self._shell.user_global_ns, self._shell.user_ns), nested=nested)
        if error is not None:
            self._show(error, result)
        return error is not None

    @contextmanager
    def _inside_of_a_part(self) -> Iterator[None]:
        self._parts += 1
        try:
            yield
        finally:
            self._parts -= 1

    async def _run(self, code: Coroutine[Any, Any, object], *, nested: bool) -> BaseException | None:
        """Run it as a task of Trio, and return what it has raised."""
        if self._guest.is_ending:
            code.close()
            return _ended(self._guest)
        if trio.lowlevel.in_trio_task():
            code.close()
            return RuntimeError("code that Trio runs cannot run a cell that awaits: await the functions themselves")
        _start_tracing(self._tracer)
        context = contextvars.copy_context()
        task = CellTask(code, asyncio.get_running_loop())
        trio.lowlevel.spawn_system_task(task.run, name="cell", context=context)
        await (self._wait_here(task) if nested else self._wait(task))
        _take_over(context)
        error = task.error() if task.done.done() else None
        if isinstance(error, trio.Cancelled) and not nested:  # not by us: so everything is
            await asyncio.wait({self._guest.ended}, timeout=1)
        return _ended(self._guest) if self._guest.ended.done() else error

    async def _wait(self, task: CellTask) -> None:
        """Wait on the kernel's loop, which serves other messages meanwhile."""
        with self._cancelling(task, nested=False):
            while not self._is_over(task):
                try:
                    await asyncio.wait({task.done, self._guest.ended}, return_when=asyncio.FIRST_COMPLETED)
                except asyncio.CancelledError:  # an interrupt that came while our handler was not there
                    task.interrupt()

    async def _wait_here(self, task: CellTask) -> None:
        """Run Trio right here, inside of another part; nothing else happens meanwhile, so that this never waits."""
        with self._cancelling(task, nested=True):
            self._guest.advance(lambda: self._is_over(task), within=math.inf)

    def _cancelling(self, task: CellTask, *, nested: bool) -> AbstractContextManager[None]:
        is_protected = trio.lowlevel.currently_ki_protected
        return self._interrupts.cancelling(
            task, call_soon=self._guest.call_soon, is_protected=is_protected, nested=nested
        )

    def _is_over(self, task: CellTask) -> bool:
        return task.done.done() or self._guest.ended.done()

    def _show(self, error: BaseException, result: Result | None) -> None:
        """Do what IPython does with an exception in a cell."""
        if result is not None:
            result.error_in_exec = error
        shell, shown = self._shell, (type(error), error, shown_part(error))
        if isinstance(error, SystemExit):
            shell.showtraceback(shown, exception_only=True)
            warnings.warn("To exit: use 'exit', 'quit', or Ctrl-D.", stacklevel=1)
        elif isinstance(error, shell.custom_exceptions):
            shell.CustomTB(*shown)
        elif not isinstance(error, bdb.BdbQuit):
            shell.showtraceback(shown, tb_offset=0, running_compiled_code=True)


def _run_cell(cell: Coroutine[Any, Any, T]) -> T:
    """Be the runner of cells that are not awaited: ours never wait."""
    try:
        cell.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    cell.close()
    raise RuntimeError("this cell awaits something else than Trio, where nobody can await it")


@contextmanager
def _trio_for_sniffio() -> Iterator[None]:
    """Let libraries that support several event loops, anyio among them, find Trio, as in the tasks of Trio."""
    sniffio: Any = sys.modules.get("sniffio")
    if sniffio is None:  # pragma: no cover - a later Trio may not have imported it
        yield
        return
    before, sniffio.thread_local.name = sniffio.thread_local.name, "trio"
    try:
        yield
    finally:
        sniffio.thread_local.name = before


def _ended(guest: Guest) -> RuntimeError:
    """Trio is not there any more; say why, and what to do."""
    error = RuntimeError("Trio has ended in this kernel; start it again with %reload_ext trio_nbconnect.notebook")
    error.__cause__ = guest.ended.exception() if guest.ended.done() else None
    return error


def _take_over(context: contextvars.Context) -> None:
    """Set here what a part has set in its context, so that the next part of the cell finds it."""
    here = contextvars.copy_context()
    for variable, value in context.items():
        if variable not in here or here[variable] is not value:
            variable.set(value)


def _start_tracing(tracer: trace.Tracer) -> None:
    """Have it called with the events of what this context connects."""
    if tracer not in listening.get():
        listening.set((*listening.get(), tracer))


def _stop_tracing(tracer: trace.Tracer) -> None:
    listening.set(tuple(other for other in listening.get() if other != tracer))
