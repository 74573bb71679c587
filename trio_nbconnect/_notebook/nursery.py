"""Background: a nursery whose tasks live across cells, and do each other no harm.

The problem: a server that one cell starts should serve the next ones, and Trio has no task without a nursery. A
nursery of Trio's ends all its tasks when one of them fails, which is right where somebody waits for them together.
Here nobody waits. How we solve it: each task has a guard around it. A task that fails is reported with its name and
its traceback, and that is all.

It is no `trio.Nursery`, but has what libraries use of one: `start_soon`, `start`, `cancel_scope` and `child_tasks`.
After `nursery.cancel_scope.cancel()` it opens anew.

What lives here: the nursery and the guard. What does not: where a report goes.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import Any

import trio

if sys.version_info < (3, 11):
    from exceptiongroup import BaseExceptionGroup

Report = Callable[[str, BaseException], object]
"""Is told the name of a task, and what it has raised."""


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
        """Start a task, and let it run while other cells do."""
        name = _name(async_fn, name)
        self._open.start_soon(_Guarded(self._report, name, async_fn).run, *args, name=name)

    async def start(self, async_fn: Callable[..., Awaitable[object]], *args: Any, name: object = None) -> Any:
        """Start a task and wait until it says `task_status.started(value)`; return that value.

        Raises:
            BaseException: What the task raised before it had started; that is no longer the background's business.
        """
        name = _name(async_fn, name)
        return await self._open.start(_Guarded(self._report, name, async_fn).start, *args, name=name)

    def __repr__(self) -> str:
        tasks = 0 if self._nursery is None else len(self._nursery.child_tasks)
        return f"<nursery of background tasks, {tasks} running>"


class _Guarded:
    """One task, and whether it has started."""

    def __init__(self, report: Report, name: str, async_fn: Callable[..., Awaitable[object]]) -> None:
        self._report = report
        self._name = name
        self._async_fn = async_fn
        self._status: trio.TaskStatus[Any] | None = None

    async def run(self, *args: object, **status: object) -> None:
        """Run it; what it raises is reported, but for what Trio wants back, or whoever waits for its start."""
        try:
            await self._async_fn(*args, **status)
        except BaseException as error:
            if self._status is not None:
                raise
            cancelled, failure = _told_apart(error)
            if failure is not None:
                self._report(self._name, failure)
            if cancelled is not None:
                raise cancelled from None

    async def start(self, *args: object, task_status: trio.TaskStatus[Any]) -> None:
        """Run it; until it has started its errors are its starter's."""
        self._status = task_status
        await self.run(*args, task_status=self)

    def started(self, value: Any = None) -> None:
        """Be the task status."""
        status, self._status = self._status, None
        if status is None:
            raise RuntimeError("called 'started' twice on the same task status")
        status.started(value)


def _told_apart(error: BaseException) -> tuple[BaseException | None, BaseException | None]:
    """What Trio wants back of what a task raised, and what is worth a report."""
    if isinstance(error, BaseExceptionGroup):
        return error.split(trio.Cancelled)
    return (error, None) if isinstance(error, trio.Cancelled) else (None, error)


def _name(async_fn: Callable[..., object], name: object) -> str:
    """What to call a task, as Trio does."""
    thing: object = async_fn if name is None else name
    thing = getattr(thing, "func", thing)
    return getattr(thing, "__qualname__", None) or str(thing)
