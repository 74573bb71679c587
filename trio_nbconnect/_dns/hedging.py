"""In turn: ask several servers until one answers (RFC 8305, section 3.1).

The problem: a name server may be silent, and to wait for it before the next one is asked costs seconds of every
connect. To ask all of them at once is rude.

How we solve it, as a race does it with addresses:

1. Ask the first server, and give it a moment. If it has failed by then, or says nothing, ask the next one too; the
   answer of the first is still welcome.
2. When all were asked, begin again with those that have not failed, and pause twice as long each time.
3. The first answer counts, and the other queries are cancelled.
4. A server that was silent while a later one answered comes last for a while: section 3.1 lets clients "penalize"
   it. Servers that are reached over IPv6 come before others, and their number has no limit, as that section asks.

What lives here: that, for any kind of server. What does not: messages and sockets; those are behind `ask`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import trio

from .._errors import timed_out

S = TypeVar("S")
T = TypeVar("T")

PAUSE = 0.4
"""Seconds that a server has to itself. Most answers are there in a tenth of that; glibc would wait for five."""

PENALTY = 60.0
"""Seconds for which a silent server comes last."""


@dataclass(slots=True)
class ServerHealth(Generic[S]):
    """Which servers were silent, and whose turn it is."""

    _penalised: dict[S, float] = field(default_factory=dict)
    _turn: int = 0

    def order(self, servers: Sequence[S], *, rotate: bool, over_ipv6: Callable[[S], bool], now: float) -> list[S]:
        """Sort servers: those that answer first, and among them those that IPv6 reaches."""
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
class HedgedQuery(Generic[S, T]):
    """One question to several servers. It is asked once."""

    servers: Sequence[S]
    """In the order in which they are asked."""
    ask: Callable[[S], Awaitable[T]]
    """Raises `OSError` if the server has no answer."""
    health: ServerHealth[S]
    attempts: int
    """How often a silent server is asked."""
    give_up_after: float
    """How many seconds an answer may take."""
    failures: dict[S, OSError] = field(init=False, default_factory=dict)
    """What became of the servers that did not answer."""

    _asked: list[S] = field(init=False, default_factory=list)
    _answers: list[tuple[S, T]] = field(init=False, default_factory=list)

    async def first_answer(self) -> T | None:
        """Return the first answer; None if there is none, and then `failures` tells why."""
        async with trio.open_nursery() as nursery:
            await self._take_turns(nursery)
        now = trio.current_time()
        winner, answer = self._answers[0] if self._answers else (None, None)
        for server in self._asked[: self._asked.index(winner) if winner is not None else None]:
            if isinstance(self.failures.get(server, TimeoutError()), TimeoutError):
                self.health.silent(server, now)
        if winner is not None:
            self.health.answered(winner)
        return answer

    async def _take_turns(self, nursery: trio.Nursery) -> None:
        for attempt in range(self.attempts):
            for server in self.servers:
                if attempt and isinstance(self.failures.get(server), OSError):
                    continue
                self._asked.append(server)
                failed = trio.Event()
                nursery.start_soon(self._ask_one, server, failed, nursery.cancel_scope)
                with trio.move_on_after(PAUSE * 2**attempt):
                    await failed.wait()

    async def _ask_one(self, server: S, failed: trio.Event, scope: trio.CancelScope) -> None:
        try:
            with trio.fail_after(self.give_up_after):
                answer = await self.ask(server)
        except trio.TooSlowError:
            self.failures[server] = timed_out("no answer")
            failed.set()
        except OSError as error:
            self.failures[server] = error
            failed.set()
        else:
            self._answers.append((server, answer))
            scope.cancel()
