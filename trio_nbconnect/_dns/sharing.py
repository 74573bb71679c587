"""Sharing: one query of a kind is under way at a time (RFC 8305, section 5: late answers).

A hundred tasks that connect to one host need its address once. But the task that asks may be cancelled, and the others
must still get the answer.

Algorithm: the first one asks, in its own task, and the others wait. If it is cancelled, the next of them asks in its
place. Where there is a nursery, the query is a task there and outlives those that asked: it ends a second after the
last of them has gone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import trio

K = TypeVar("K")
T = TypeVar("T")

GRACE = 1.0
"""RFC 8305, section 5: after success "resolvers SHOULD continue to listen for DNS replies [...] for one second"."""


@dataclass(slots=True, eq=False)
class _Flight(Generic[T]):
    """One query that is under way."""

    began: float
    answer: T | None = None
    error: OSError | None = None
    waiting: int = 0
    scope: trio.CancelScope | None = None
    """What ends it, if it is a task of its own."""
    over: trio.Event | None = None
    """Made by the first who waits for somebody else's query."""

    def end(self) -> None:
        """Let the others go on."""
        if self.over is not None:
            self.over.set()

    def result(self) -> T | None:
        """Return the answer, None if there is none since nobody asks any more; raise the failure.

        Each waiter gets an exception of its own: a traceback belongs to one task.
        """
        if self.error is not None:
            raise self.error.__class__(*self.error.args)
        return self.answer


@dataclass(slots=True, eq=False)
class SharedQueries(Generic[K, T]):
    """The queries that are under way."""

    nursery: trio.Nursery | None = None
    """Where queries outlive those who asked."""
    _flights: dict[K, _Flight[T]] = field(default_factory=dict)

    async def answer(self, key: K, ask: Callable[[], Awaitable[T]], missed: Callable[[float], None]) -> T:
        """Return the answer to a query.

        Args:
            key: What equal queries have in common.
            ask: How to send one and wait for its answer.
            missed: Called with the time when it began if a query was given up before its answer had come.

        Raises:
            OSError: The query failed.
        """
        while True:
            flight = self._flights.get(key)
            if flight is None:
                flight = self._flights[key] = _Flight(trio.current_time())
                if self.nursery is None:
                    return await self._ask(flight, key, ask, missed)
                flight.scope = trio.CancelScope()
                self.nursery.start_soon(self._ask_alone, flight, key, ask, missed)
            await self._wait(flight)
            answer = flight.result()
            if answer is not None:
                return answer

    async def _ask(
        self, flight: _Flight[T], key: K, ask: Callable[[], Awaitable[T]], missed: Callable[[float], None]
    ) -> T:
        done = False
        try:
            flight.answer = await ask()
            done = True
            return flight.answer
        except OSError as error:
            done = True
            flight.error = error.__class__(*error.args)
            raise
        finally:
            del self._flights[key]
            if not done:
                missed(flight.began)
            flight.end()

    async def _ask_alone(
        self, flight: _Flight[T], key: K, ask: Callable[[], Awaitable[T]], missed: Callable[[float], None]
    ) -> None:
        """Ask in the nursery, as long as anybody may want the answer."""
        assert flight.scope is not None
        with flight.scope, suppress(OSError):  # the flight has it
            await self._ask(flight, key, ask, missed)

    async def _wait(self, flight: _Flight[T]) -> None:
        if flight.over is None:
            flight.over = trio.Event()
        if flight.scope is not None:
            flight.scope.deadline = float("inf")
        flight.waiting += 1
        try:
            await flight.over.wait()
        finally:
            flight.waiting -= 1
            if not flight.waiting and flight.scope is not None:
                flight.scope.deadline = trio.current_time() + GRACE
