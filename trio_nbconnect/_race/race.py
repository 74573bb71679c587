"""Race: attempts, staggered, until one is established (RFC 8305, sections 3, 5 and 6).

The problem: any address of a host may drop our packets for minutes. Trying them in turn is slow, trying them all
at once is rude, and whatever is cancelled when, nothing may be left behind.

How we solve it:

1. The inquiry takes in answers while attempts run (section 3); its agenda knows which address is next (section 6).
2. Start an attempt. The next one is due when the newest has failed, or the Connection Attempt Delay is over; never
   within 10 ms of the last one that sent a packet (section 5). Starting one does not touch the others.
3. The first to be established wins, the others are cancelled. A dead heat has a runner-up, which is closed.

An attempt is a task in a nursery, but most races have one attempt. Since a handshake lives in the kernel, the calling
task waits for an attempt by itself while no other is due (`_wait_alone`), and a nursery opens only for the second; it
takes the first one over, half open. That spares a nursery, a task, a scope and an event where nobody needs them: a
connect to a literal takes 210,000 instructions in place of 570,000, where `trio.open_tcp_stream` takes 700,000. Nothing
else changes: both ways start the same attempts by the same rules, in `_start`, and record what becomes of them in
`_conclude`; the table of scenarios is run through both, and must not tell them apart.

For the same reason `run` awaits what `_wait_alone` returns, and there are few coroutines between a caller and the
kernel: each costs 250 bytes in every connect that is pending.

Inside the nursery failures are recorded; outside, one error is raised. What becomes of an attempt, and who closes it,
is in `_contest`.

What lives here: that, and no system call; those are behind `begin`. We kill nothing at the cap of attempts: the pace
slows down (`Policy.attempts_at_full_pace`). We never divide time among addresses: a delay is no limit.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Awaitable
from contextlib import AbstractContextManager
from typing import NoReturn

import trio

from .._address import Address
from .._connect.handshake import HandshakeState
from .._errors import sole
from .attempt import LiveAttempt
from .contest import Contest, T
from .resolution import within

if sys.version_info < (3, 11):  # pragma: no cover - trio brings the backport on 3.10
    from exceptiongroup import BaseExceptionGroup


class _Always:
    """The scope of a race without a limit: to enter a real one takes twenty times as long.

    `contextlib.nullcontext` would do, but holds a bound method for as long as a race is pending.
    """

    @staticmethod
    def __enter__() -> None: ...

    @staticmethod
    def __exit__(*_: object) -> None: ...


_ALWAYS = _Always()


class Race(Contest[T]):
    """One race: when each attempt starts, and who waits for it. It is run once."""

    __slots__ = ()

    async def run(self) -> T:
        """Return the first connection to be established, and leave nothing else behind.

        Raises:
            ConnectError: There is none; its class says why.
        """
        self._announce()
        try:
            with self._limited():
                self.inquiry.begin()
                if self.inquiry.resolver is not None and not self.inquiry.beside:
                    await self.inquiry.resolve(self.inquiry.resolver)
                while not self.inquiry.beside and (address := await self._next_address()) is not None:
                    attempt = self._start(address)
                    if (wait := self._wait_alone(attempt)) is not None:
                        if not await wait:
                            attempt.look()
                        self._conclude(attempt)
                    if attempt.ended is None or self._winner is not None:
                        break
                if self._winner is None and (self.inquiry.beside or self._under_way):
                    await self._in_nursery()
                if not self._attempts:
                    await trio.lowlevel.checkpoint()
                self._finished = True
        except BaseException:
            self._abandon()
            self.inquiry.journal.race_lost(None)
            raise
        if self._winner is None:
            self._lose()
        return self._win(self._winner)

    def _wait_alone(self, attempt: LiveAttempt) -> Awaitable[object] | None:
        """Section 5: how the calling task waits until this attempt is over or the next is due; None if it cannot.

        It returns what `run` awaits, and awaits nothing itself: that spares a frame in each attempt that is pending. To
        await it returns True if the time is over: then there is no news of the handshake, and nobody may look.
        """
        handshake, has_rival = attempt.handshake, self.inquiry.agenda.peek() is not None
        if handshake is None or attempt.ended is not None:
            return trio.lowlevel.checkpoint()  # noqa: ASYNC105 - `run` awaits it
        if self.establish is not None:
            return None if has_rival else self._drive(attempt)
        if has_rival and not self.opener.native:
            return None  # its wait cannot be taken up again
        limit = self._limit(attempt)
        if has_rival and (handshake.state is HandshakeState.HANDSHAKING or not attempt.delay):
            limit = min(limit, self._due(attempt))
        return within(limit, handshake.news)

    def _limited(self) -> AbstractContextManager[object]:
        if self.give_up_after == math.inf:
            return _ALWAYS
        return trio.CancelScope(deadline=self._began + self.give_up_after)

    def _announce(self) -> None:
        inquiry = self.inquiry
        if inquiry.journal.tracers:
            inquiry.journal.race_started(inquiry.host, inquiry.port, inquiry.policy)

    def _win(self, winner: LiveAttempt) -> T:
        """Hand the winner's connection over."""
        if self.inquiry.history is not None:
            self.inquiry.history.mark_used(winner.address, time.time())
        if self.inquiry.journal.tracers:
            self.inquiry.journal.race_won(winner.number, winner.address)
        return self._result

    def _lose(self) -> NoReturn:
        """Say why there is no connection."""
        self._abandon()
        for attempt in self._attempts:
            self._note(attempt)
        reports = [attempt.report() for attempt in self._attempts]
        failure = self.inquiry.failure(reports, None if self._finished else self.give_up_after)
        self.inquiry.journal.race_lost(failure)
        try:
            raise failure
        finally:
            del failure  # this frame is in its traceback

    async def _in_nursery(self) -> None:
        """Race together; let Ctrl-C, or one bug in foreign code, come out as what it is and not as a group of one."""
        try:
            async with trio.open_nursery() as nursery:
                self._scope = nursery.cancel_scope
                await self._together(nursery)
            return
        except BaseExceptionGroup as group:
            crash = sole(group)
        try:
            raise crash
        finally:
            del crash  # this frame is in its traceback

    async def _together(self, nursery: trio.Nursery) -> None:
        """Section 5: start an attempt, wait until the next is due, until there is none."""
        if self.inquiry.resolver is not None and self.inquiry.beside:
            nursery.start_soon(self.inquiry.resolve, self.inquiry.resolver)
        if self._under_way:
            nursery.start_soon(self._attempt, self._attempts[-1])
            await self._stagger()
        while (address := await self._next_address()) is not None:
            attempt = self._start(address)
            if attempt.ended is None:
                nursery.start_soon(self._attempt, attempt)
            await self._stagger()
        if self._is_over:
            nursery.cancel_scope.cancel()

    async def _next_address(self) -> Address | None:
        """Section 6: the best address not yet tried, as soon as it may be; None if there will be no more."""
        while True:
            address = self.inquiry.agenda.peek()
            if self._is_over or (address is None and self.inquiry.resolved):
                return None
            if address is None:
                newest = self._attempts[-1].started if self._attempts else None
                at = self.inquiry.last_resort_at(newest, self._under_way)
            else:
                at = self._may_start_at(address)
            if at > self._began and at > self._clock.current_time():
                await self.inquiry.wait_for_news(at)
            elif address is not None:
                return self.inquiry.agenda.take()
            else:
                self.inquiry.ask_last_resort()

    @property
    def _is_over(self) -> bool:
        return self._winner is not None or self.inquiry.forbidden is not None

    def _may_start_at(self, address: Address) -> float:
        """Sections 3 and 5: the first attempt waits for the preferred family, each other one for the minimum gap."""
        if not self._attempts:
            return self.inquiry.agenda.may_begin_at()
        last = self._last_sent
        if last is None or (last.address.is_loopback and address.is_loopback):
            return -math.inf
        return last.started + self.inquiry.policy.minimum_gap

    async def _stagger(self) -> None:
        """Section 5: wait until the newest attempt has failed, or the Connection Attempt Delay is over."""
        newest = self._attempts[-1]
        if newest.ended is not None:
            await trio.lowlevel.checkpoint()
        while self._may_follow and newest.ended is None and (due := self._due(newest)) > self._clock.current_time():
            await self.inquiry.wait_for_news(due)

    @property
    def _may_follow(self) -> bool:
        """Whether there may be another attempt, so that it makes sense to wait for its time."""
        is_last = self.inquiry.resolved and self.inquiry.agenda.peek() is None
        return not self._is_over and not is_last

    def _due(self, newest: LiveAttempt) -> float:
        return newest.next_is_due(
            self.inquiry.policy, crowded=self._under_way >= self.inquiry.policy.attempts_at_full_pace
        )

    async def _attempt(self, attempt: LiveAttempt) -> None:
        """Run one attempt as a task; cancelled, it leaves nothing behind."""
        try:
            await self._drive(attempt)
        finally:
            if attempt.ended is None:
                self._cancel(attempt)
