"""Hedging: ask several servers until one answers (RFC 8305, section 3.1).

The problem: a name server may be silent, and to wait for it before the next one is asked costs seconds of every
connect. To ask all of them at once is rude. And a datagram may be lost.

Algorithm, as a race does it with addresses:

1. Ask the first server, and give it a moment. If it has failed by then, or says nothing, ask the next one too; the
   answer of the first is still welcome.
2. When all were asked, begin again, and pause twice as long each time: one silent server is asked after 0, 0.4, 1.2
   and 2.8 s. One that has met a problem is asked once more: it may have solved it, and know the answer now.
3. The first answer counts, and the other queries are cancelled.
4. A server that was silent while a later one answered comes last for a while: section 3.1 lets clients "penalize"
   it. Servers that are reached over IPv6 come before others, and their number has no limit, as that section asks.

The first query is awaited in the caller's task, as long as no other is due: nearly every look-up ends there, and a
nursery with its task costs as much as the exchange.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

import trio

from .._errors import timed_out

S = TypeVar("S")
T = TypeVar("T")
R = TypeVar("R")
T_co = TypeVar("T_co", covariant=True)

PAUSE = 0.4
"""Seconds that a server has to itself. Most answers are there in a tenth of that; glibc would wait for five."""

PENALTY = 60.0
"""Seconds for which a silent server comes last."""


class Unanswered(socket.gaierror):
    """No server has answered at all, so that no other name is worth a try."""


class ServerFailed(socket.gaierror):
    """A server has met a problem of its own: SERVFAIL (RFC 1035, section 4.1.1)."""


class Exchange(Protocol[T_co]):
    """One query that was sent."""

    resumable: bool
    """Whether `answer` may be cancelled and awaited again."""

    async def answer(self) -> T_co:
        """Wait for the answer; raise `OSError` if there is none."""

    def close(self) -> None:
        """Give up whatever is still open."""


@dataclass(slots=True)
class ServerHealth(Generic[S]):
    """Which servers were silent, and whose turn it is."""

    _penalised: dict[S, float] = field(default_factory=dict)
    _turn: int = 0

    def order(self, servers: Sequence[S], *, rotate: bool, over_ipv6: Callable[[S], bool], now: float) -> Sequence[S]:
        """Sort servers: those that answer first, and among them those that IPv6 reaches."""
        if len(servers) == 1:
            return servers
        ordered = list(servers)
        if rotate:
            start = self._turn % len(ordered)
            ordered = ordered[start:] + ordered[:start]
            self._turn += 1
        return sorted(ordered, key=lambda server: (self._penalised.get(server, now) > now, not over_ipv6(server)))

    def answered(self, server: S) -> None:
        """Lift the penalty."""
        self._penalised.pop(server, None)

    def silent(self, server: S, now: float) -> None:
        """Let others go first for a while."""
        self._penalised[server] = now + PENALTY


@dataclass(slots=True)
class HedgedQuery(Generic[S, R, T]):
    """One question to several servers. It is asked once."""

    servers: Sequence[S]
    """In the order in which they are asked."""
    send: Callable[[S], Exchange[R]]
    """Send the query to a server; may raise `OSError`."""
    parse: Callable[[R], T]
    """Read what came back; may raise `OSError`."""
    health: ServerHealth[S]
    attempts: int
    """How often a silent server is asked at most."""
    give_up_after: float
    """How many seconds a server has for its answer, from the first query on."""
    failures: dict[S, OSError] = field(init=False, default_factory=dict)
    """Why the servers did not answer."""

    _first_sent: dict[S, float] = field(init=False, default_factory=dict)
    _exchanges: list[Exchange[R]] = field(init=False, default_factory=list)
    _winner: S | None = field(init=False, default=None)
    _answer: T | None = field(init=False, default=None)

    async def first_answer(self) -> T | None:
        """Return the first answer; None if there is none, and then `failures` says why."""
        try:
            first = await self._first_alone()
            if self._answer is None:
                async with trio.open_nursery() as nursery:
                    await self._take_turns(nursery, first)
        finally:
            for exchange in self._exchanges:
                exchange.close()
        if self._winner is not None and (len(self.servers) > 1 or self.health._penalised):
            self._penalise(self._winner)
        return self._answer

    @property
    def winner(self) -> S | None:
        """The server that has answered."""
        return self._winner

    @property
    def unanswered(self) -> bool:
        """Whether every server was silent or could not be reached."""
        return all(not isinstance(failure, socket.gaierror) for failure in self.failures.values())

    async def _first_alone(self) -> Exchange[R] | None:
        """Ask the first server, and wait in this task until the next one is due; return what is under way."""
        server = self.servers[0]
        exchange = self._send(server)
        if exchange is None or not exchange.resumable:
            return exchange
        with trio.move_on_after(min(PAUSE, self.give_up_after)) as scope:
            await self._receive(server, exchange)
        return exchange if scope.cancelled_caught else None

    async def _take_turns(self, nursery: trio.Nursery, first: Exchange[R] | None) -> None:
        for attempt in range(self.attempts):
            for number, server in enumerate(self.servers):
                if attempt == number == 0:
                    exchange, waited = first, first is not None and first.resumable
                elif self._is_done(server, attempt):
                    continue
                else:
                    exchange, waited = self._send(server), False
                if exchange is None:
                    continue
                failed = trio.Event()
                nursery.start_soon(self._wait_for, server, exchange, failed, nursery.cancel_scope)
                if not waited:
                    with trio.move_on_after(PAUSE * 2**attempt):
                        await failed.wait()
                if self._answer is not None:
                    return

    def _is_done(self, server: S, attempt: int) -> bool:
        """Whether it makes no sense to ask a server again, or its time is over."""
        failure = self.failures.get(server)
        if failure is not None and (attempt > 1 or not isinstance(failure, ServerFailed)):
            return True
        return trio.current_time() >= self._first_sent.get(server, trio.current_time()) + self.give_up_after

    def _send(self, server: S) -> Exchange[R] | None:
        self._first_sent.setdefault(server, trio.current_time())
        try:
            exchange = self.send(server)
        except OSError as error:
            self.failures[server] = bare(error)
            return None
        self._exchanges.append(exchange)
        return exchange

    async def _wait_for(self, server: S, exchange: Exchange[R], failed: trio.Event, scope: trio.CancelScope) -> None:
        with trio.CancelScope(deadline=self._first_sent[server] + self.give_up_after) as limit:
            await self._receive(server, exchange)
        if limit.cancelled_caught:
            self.failures.setdefault(server, timed_out("no answer"))
        failed.set()
        if self._answer is not None:
            scope.cancel()

    async def _receive(self, server: S, exchange: Exchange[R]) -> None:
        try:
            answer = self.parse(await exchange.answer())
        except OSError as error:
            self.failures[server] = bare(error)
            return
        self._winner, self._answer = server, answer

    def _penalise(self, winner: S) -> None:
        now = trio.current_time()
        for server in self.servers[: self.servers.index(winner)]:
            if server in self._first_sent and isinstance(self.failures.get(server, TimeoutError()), TimeoutError):
                self.health.silent(server, now)
        self.health.answered(winner)


def bare(error: OSError) -> OSError:
    """Take from an error what keeps frames alive."""
    error.__context__ = error.__cause__ = None
    return error.with_traceback(None)
