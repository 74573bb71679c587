"""Virtual time: run an async function to its end at once, from wherever one happens to be.

The problem: whoever explores wants a race as the value of an expression: a slider calls a plain function, and redraws
what it returns. But a race is async, the caller may already be inside a Trio or an asyncio that runs, a black hole
lasts for ever, and he who gets impatient presses the stop button.

How we solve it: a Trio of its own, on a mock clock that jumps to what happens next, in a thread of its own. The caller
blocks for the millisecond or two that it takes. A thread is needed where Trio runs in the caller's, also as the guest
of a notebook; we take one always, for 0.3 ms, so that there is one way, and nobody's signal handling is touched. What
would go on for ever ends at the horizon.

What lives here: that, for any async function, and no network: `testing.simulate` is what users call. What we left out:
anything outside the simulation. A function that waits for a real socket or another thread sees the clock jump past it.
"""

from __future__ import annotations

import contextvars
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import trio
from trio.testing import MockClock

T = TypeVar("T")

HORIZON = 86400.0
"""A day, in virtual seconds: what is not over by then is taken to last for ever."""


def run_virtually(main: Callable[[], Awaitable[T]]) -> T | None:
    """Run an async function on a clock of its own, which begins at 0; return None where it goes past the horizon.

    It sees the caller's context variables, and what it sets stays in it. When the caller is interrupted, it is
    cancelled.

    Example:
        >>> async def main():
        ...     await trio.sleep(3600)
        ...     return trio.current_time()
        >>> run_virtually(main)
        3600.0
    """
    run = _Run(main)
    context = contextvars.copy_context()
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="trio_nbconnect simulation") as thread:
        future = thread.submit(context.run, run)
        try:
            return future.result()
        except BaseException:
            if not future.done():  # else the exception is the function's own
                run.stop()
            raise


@dataclass(eq=False)
class _Run(Generic[T]):
    """One run, and how another thread stops it."""

    main: Callable[[], Awaitable[T]]
    _scope: trio.CancelScope = field(init=False, default_factory=lambda: trio.CancelScope(deadline=HORIZON))
    _token: trio.lowlevel.TrioToken | None = field(init=False, default=None)
    _is_stopped: bool = field(init=False, default=False)

    def __call__(self) -> T | None:
        return trio.run(self._bounded, clock=MockClock(autojump_threshold=0))

    def stop(self) -> None:
        """Cancel it. The word is given first: whoever sets his token second finds it."""
        self._is_stopped = True
        if self._token is not None:
            with suppress(trio.RunFinishedError):
                self._token.run_sync_soon(self._scope.cancel)

    async def _bounded(self) -> T | None:
        self._token = trio.lowlevel.current_trio_token()
        if self._is_stopped:
            return None
        with self._scope:
            return await self.main()
        return None
