"""Background nursery: tasks live across cells, and one that fails does not affect the others.

A server that one cell starts should serve the next ones, and Trio has no task without a nursery. A nursery of Trio's
ends all its tasks when one of them fails, which is right where a task waits for them together. Here none waits. So each
task has a guard around it: a task that fails is reported with its name and its traceback, and the others go on. The
function is called before its task begins, as Trio does it, so that wrong arguments, and a coroutine where a function
should be, are errors at once and in Trio's own words.

It is no `trio.Nursery`, but has what libraries use of one: `start_soon`, `start`, `cancel_scope` and `child_tasks`.
After `nursery.cancel_scope.cancel()` it opens anew.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import trio

if sys.version_info < (3, 11):
    from exceptiongroup import BaseExceptionGroup

Report = Callable[[str, BaseException], object]
"""Is called with the name of a task, and what it has raised."""


class BackgroundNursery:
    """Run tasks that outlive the cell that starts them; see `trio.Nursery` for its methods."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._nursery: trio.Nursery | None = None

    async def keep_open(self) -> None:
        """Be the nursery, until cancelled from outside."""
        while True:
            async with trio.open_nursery() as self._nursery:
                await trio.sleep_forever()
            await trio.lowlevel.checkpoint()

    @property
    def is_open(self) -> bool:
        """Whether there has been time to open it."""
        return self._nursery is not None

    @property
    def _open(self) -> trio.Nursery:
        if self._nursery is None:
            raise RuntimeError("the nursery is not open yet")
        return self._nursery

    @property
    def cancel_scope(self) -> trio.CancelScope:
        """The scope of all background tasks; to cancel it ends them."""
        return self._open.cancel_scope

    @property
    def child_tasks(self) -> frozenset[trio.lowlevel.Task]:
        """The tasks that run."""
        return self._open.child_tasks

    def start_soon(self, async_fn: Callable[..., Awaitable[object]], *args: Any, name: object = None) -> None:
        """Start a task, and let it run while other cells do.

        Raises:
            TypeError: It is no async function, or takes other arguments.
        """
        name = _name(async_fn, name)
        self._open.start_soon(_guarded(self._report, name, async_fn), *args, name=name)

    async def start(self, async_fn: Callable[..., Awaitable[object]], *args: Any, name: object = None) -> Any:
        """Start a task and wait until it calls `task_status.started(value)`; return that value.

        Raises:
            BaseException: What the task raised before it had started; after that it is reported.
        """
        name = _name(async_fn, name)
        return await self._open.start(_guarded(self._report, name, async_fn), *args, name=name)

    def __repr__(self) -> str:
        tasks = 0 if self._nursery is None else len(self._nursery.child_tasks)
        return f"<nursery of background tasks, {tasks} running>"


def _guarded(report: Report, name: str, async_fn: Callable[..., Awaitable[object]]) -> Callable[..., Any]:
    """Guard a function; what is none is for Trio to refuse."""
    return _Guarded(report, name, async_fn) if callable(async_fn) else async_fn


class _Guarded:
    """One task, and whether it has started."""

    def __init__(self, report: Report, name: str, async_fn: Callable[..., Awaitable[object]]) -> None:
        self._report = report
        self._name = name
        self._async_fn = async_fn
        self._status: trio.TaskStatus[Any] | None = None
        self.__qualname__ = name  # Trio names what it refuses

    def __call__(self, *args: object, task_status: trio.TaskStatus[Any] | None = None) -> object:
        """Call the function, and return its coroutine with the guard around it, or else what Trio will refuse."""
        self._status = task_status
        awaitable = self._async_fn(*args, **({} if task_status is None else {"task_status": self}))
        return self._run(awaitable) if isinstance(awaitable, Coroutine) else awaitable

    async def _run(self, coroutine: Coroutine[Any, Any, object]) -> None:
        """Run it; until it has started its errors are its starter's, then they are reported."""
        try:
            await coroutine
        except BaseException as error:
            if self._status is not None:
                raise
            cancelled, failure = _split(error)
            if failure is not None:
                self._report(self._name, failure)
            if cancelled is not None:
                raise cancelled from None

    def started(self, value: Any = None) -> None:
        """Be the task status."""
        status, self._status = self._status, None
        if status is None:
            raise RuntimeError("called 'started' twice on the same task status")
        status.started(value)


def _split(error: BaseException) -> tuple[BaseException | None, BaseException | None]:
    """Split what a task raised into what Trio wants back and what is to be reported."""
    if isinstance(error, BaseExceptionGroup):
        return error.split(trio.Cancelled)
    return (error, None) if isinstance(error, trio.Cancelled) else (None, error)


def _name(async_fn: Callable[..., object], name: object) -> str:
    """What to call a task, as Trio does."""
    thing: object = async_fn if name is None else name
    thing = getattr(thing, "func", thing)
    return getattr(thing, "__qualname__", None) or str(thing)
