"""Notebook extension: `await` Trio in Jupyter's cells, with the standard Python kernel (extra `notebook`).

    %load_ext trio_nbconnect.notebook

A kernel runs asyncio, and Trio does not run there. The extension starts a run of Trio as a guest of the kernel's loop.
From that line on, in the same cell too, `await` is Trio's: what cells open stays open between them, the stop button
ends what a cell was doing and closes all that it had opened, an exception group is an error like any other, and a
failed connect shows its waterfall. `nursery` is there for what is to go on between cells.

`%unload_ext trio_nbconnect.notebook` ends the run, with all that is still in it, and puts everything back.

In IPython on a terminal there is no loop to be a guest of. There the extension switches to IPython's own support for
Trio, a `trio.run` for each input, and says so. While a guest run lasts, `trio.run` in a cell is an error; a thread of
its own can have one. The imports are in a block because the stop button may be pressed during them.
"""

from __future__ import annotations

import asyncio
import atexit
import inspect
from typing import Protocol

from .interrupts import defer_sigint

with defer_sigint():
    import trio

    from .._listening import listening
    from .._pictures.ipython import EXTENSION
    from .cells import Cells
    from .guest import Guest
    from .nursery import BackgroundNursery
    from .shell import Shell
    from .tracebacks import LostRaces, Tracebacks

_PATIENCE = 10.0
"""Seconds that `%unload_ext` lets background tasks clean up; the interrupt works meanwhile."""

_PATIENCE_AT_EXIT = 2.0
"""The same at the kernel's exit. Jupyter kills a kernel that takes more than five."""


def load_ipython_extension(shell: Shell) -> None:
    """Be `%load_ext`."""
    if getattr(shell, EXTENSION, None) is None:
        setattr(shell, EXTENSION, _extension(shell))


def unload_ipython_extension(shell: Shell) -> None:
    """Be `%unload_ext`."""
    extension: _Extension | None = getattr(shell, EXTENSION, None)
    if extension is not None:
        extension.close()
        delattr(shell, EXTENSION)


class _Extension(Protocol):
    """What can be undone."""

    def close(self) -> None: ...


def _extension(shell: Shell) -> _Extension:
    """Set up what this shell supports."""
    from IPython.core.error import UsageError  # noqa: PLC0415 - it needs an extra

    if "async_" not in inspect.signature(shell.run_code).parameters:
        raise UsageError(
            f"trio_nbconnect.notebook does not know how {type(shell).__name__} runs a cell: it needs IPython 8 or "
            "newer, and its kernel. Without the extension, write trio.run(main) in a cell."
        )
    if trio.lowlevel.in_trio_run():
        raise UsageError(
            "Trio is running here already: if it is %autoawait trio, say %autoawait asyncio in a cell of its own first"
        )
    if getattr(shell, "kernel", None) is None:
        return _OnTerminal(shell)
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:  # the kernel is being started, and is configured to load us
        return _AtFirstCell(shell)
    return _InKernel(shell, loop)


class _AtFirstCell:
    """Nothing yet: the first cell begins it, when there is a loop."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        shell.events.register("pre_run_cell", self._begin)

    def _begin(self, _: object) -> None:
        self.close()
        setattr(self._shell, EXTENSION, _InKernel(self._shell, asyncio.get_running_loop()))

    def close(self) -> None:
        self._shell.events.unregister("pre_run_cell", self._begin)


class _OnTerminal:
    """Trio by IPython's own means."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._before = (shell.loop_runner, shell.autoawait)
        self.races = LostRaces()
        self._tracebacks = Tracebacks(shell, self.races)
        shell.loop_runner, shell.autoawait = "trio", True
        listening.set((*listening.get(), self.races))
        print("await is Trio's; each input is a trio.run of its own, and nothing goes on between them")

    def close(self) -> None:
        self._tracebacks.close()
        self._shell.loop_runner, self._shell.autoawait = self._before
        listening.set(tuple(other for other in listening.get() if other != self.races))


class _InKernel:
    """Trio as a guest of the kernel."""

    def __init__(self, shell: Shell, loop: asyncio.AbstractEventLoop) -> None:
        self.races = LostRaces()
        self._shell = shell
        self._before = (shell.loop_runner, shell.autoawait)
        self._tracebacks = Tracebacks(shell, self.races)
        self._nursery = BackgroundNursery(self._tracebacks.report)
        self._guest = Guest(loop, self._nursery.keep_open)
        self._guest.advance(lambda: self._nursery.is_open, within=_PATIENCE)
        self._cells = Cells(shell, self._guest, self.races)
        shell.loop_runner, shell.autoawait = "asyncio", True  # what the kernel asks before it awaits a cell
        shell.push({"nursery": self._nursery}, interactive=False)
        shell.events.register("pre_run_cell", self._restore_nursery)
        atexit.register(self._guest.finish, within=_PATIENCE_AT_EXIT)

    def close(self) -> None:
        if not self._guest.finish(within=_PATIENCE):
            raise TimeoutError("background tasks do not end; interrupt the kernel, or restart it")
        atexit.unregister(self._guest.finish)
        self._shell.events.unregister("pre_run_cell", self._restore_nursery)
        self._shell.drop_by_id({"nursery": self._nursery})
        self._shell.loop_runner, self._shell.autoawait = self._before
        self._cells.close()
        self._tracebacks.close()

    def _restore_nursery(self, _: object) -> None:
        """After `async with trio.open_nursery() as nursery` the name is that of a nursery which is closed for good."""
        if isinstance(self._shell.user_ns.get("nursery"), trio.Nursery):
            self._shell.push({"nursery": self._nursery}, interactive=False)
