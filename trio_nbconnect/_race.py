"""Race: attempts, staggered, until one is established (RFC 8305, sections 3, 5 and 6).

The problem: any address of a host may swallow our packets for minutes. Trying them in turn is slow, trying them all
at once is rude, and whatever is cancelled when, nothing may be left behind.

How we solve it:

1. The inquiry takes in answers while attempts run (section 3); its agenda knows which address is next (section 6).
2. Start an attempt. The next one is due when the newest has failed, or the Connection Attempt Delay is over; never
   within 10 ms of the last one that sent a packet (section 5). Starting one does not touch the others.
3. The first to be established wins, the others are cancelled. A dead heat has a runner-up, which is closed.

An attempt is a task in a nursery, but most races have one attempt. Since a handshake lives in the kernel, the calling
task waits for the first one by itself, and a nursery opens only when a second is due; it takes the first one over,
half open. That spares a nursery, a task, a scope and an event where nobody needs them. Nothing else changes: `_alone`
and `_together` start the same attempts by the same rules.

Ownership: an attempt owns its socket until it is established, the race owns the winner until it returns it, and
whoever owns closes on every other way out. Inside the nursery failures are recorded; outside, one error is raised.

What lives here: that, and no system call; those are behind `begin`. We kill nothing at the cap of attempts: the pace
slows down (`Policy.attempts_at_full_pace`). We never divide time among addresses: a delay is no limit.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Generic, NoReturn, TypeVar

import trio

from . import trace
from ._address import Address
from ._attempt import AnyHandshake, AnyOpener, LiveAttempt, add_note, as_os_error
from ._errors import sole, timed_out
from ._handshake import HandshakeState
from ._inquiry import Inquiry, within

if sys.version_info < (3, 11):  # pragma: no cover - trio brings the backport on 3.10
    from exceptiongroup import BaseExceptionGroup

T = TypeVar("T")

_ALWAYS = nullcontext()
"""The scope of a race without a limit: one that never ends costs 59,000 instructions, and this 2,500."""

_FAILURES = (OSError, trio.BrokenResourceError, trio.TooSlowError)
"""What fails an attempt; anything else is a bug, and ends the race."""


@dataclass(slots=True, eq=False)
class Race(Generic[T]):
    """One race: everything that its tasks share. It is run once."""

    inquiry: Inquiry
    opener: AnyOpener
    """Opens a socket and begins to connect it; an OSError says that not even a packet could be sent."""
    establish: Callable[[trio.SocketStream], Awaitable[T]] | None
    give_up_after: float

    _began: float = field(init=False)
    _clock: trio.abc.Clock = field(init=False)
    _finished: bool = field(init=False, default=False)
    _attempts: list[LiveAttempt] = field(init=False)
    _under_way: int = field(init=False, default=0)
    _last_sent: LiveAttempt | None = field(init=False, default=None)
    _winner: LiveAttempt | None = field(init=False, default=None)
    _result: T = field(init=False)
    _scope: trio.CancelScope | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._clock = trio.lowlevel.current_clock()
        self._began = self._clock.current_time()
        self._attempts = []

    async def run(self) -> T:
        """Return the first connection to be established, and leave nothing else behind.

        Raises:
            ConnectError: There is none; its class says why.
        """
        inquiry, journal = self.inquiry, self.inquiry.journal
        if journal.tracers:
            journal.tell(trace.RaceStarted, host=inquiry.host, port=inquiry.port, policy=inquiry.policy)
        limit = self._began + self.give_up_after
        try:
            with _ALWAYS if limit == math.inf else trio.CancelScope(deadline=limit):
                inquiry.begin()
                if not inquiry.beside:
                    if inquiry.resolver is not None:
                        await inquiry.resolve(inquiry.resolver)
                    while (address := await self._next_address()) is not None:
                        attempt = self._start(address)
                        if not self._may_wait_alone(attempt):
                            break
                        await self._wait_alone(attempt)
                        self._conclude(attempt)
                        if attempt.ended is None:
                            break
                if self._winner is None and (inquiry.beside or self._under_way):
                    await self._in_nursery()
                if not self._attempts:
                    await trio.lowlevel.checkpoint()
                self._finished = True
        except BaseException:
            self._abandon()
            journal.tell(trace.RaceLost, error=None)
            raise
        winner = self._winner
        if winner is None:
            self._lose()
        if inquiry.history is not None:
            inquiry.history.mark_used(winner.address, time.time())
        if journal.tracers:
            journal.tell(trace.RaceWon, attempt=winner.number, address=winner.address)
        return self._result

    def _lose(self) -> NoReturn:
        """Say why there is no connection."""
        self._abandon()
        reports = [attempt.report() for attempt in self._attempts]
        failure = self.inquiry.failure(reports, None if self._finished else self.give_up_after)
        self.inquiry.journal.tell(trace.RaceLost, error=failure)
        try:
            raise failure
        finally:
            del failure  # this frame is in its traceback

    def _may_wait_alone(self, attempt: LiveAttempt) -> bool:
        """Whether the calling task can wait for it by itself, and take the wait up again if a rival is due."""
        can_interrupt = self.opener.native and self.establish is None
        return attempt.ended is not None or can_interrupt or self.inquiry.agenda.peek() is None

    def _wait_alone(self, attempt: LiveAttempt) -> Awaitable[object]:
        """Section 5: wait for the attempt, at most until the next one is due."""
        handshake = attempt.handshake
        if attempt.ended is not None or handshake is None:
            return trio.lowlevel.checkpoint()
        if self.establish is not None:
            return self._drive(attempt)
        until = self._limit(attempt)
        is_over = handshake.state is not HandshakeState.HANDSHAKING and attempt.delay > 0
        if not is_over and self.inquiry.agenda.peek() is not None:
            until = min(until, self._due(attempt))
        return within(until, handshake.settle)

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
                await self.inquiry.news.wait(at)
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

    def _start(self, address: Address) -> LiveAttempt:
        """Begin an attempt. One that fails before a packet is sent has ended when this returns."""
        inquiry = self.inquiry
        if inquiry.nat64 is not None:
            address = inquiry.nat64.write(address)
        delay = inquiry.agenda.delay(address, self._under_way)
        attempt = LiveAttempt(len(self._attempts) + 1, address, self._clock.current_time(), delay)
        if inquiry.journal.tracers:
            reason = self._reason()
            inquiry.journal.tell(trace.AttemptStarted, attempt=attempt.number, address=address, reason=reason)
        self._attempts.append(attempt)
        self._under_way += 1
        try:
            attempt.handshake = self.opener.begin(address)
        except OSError as error:
            self._fail(attempt, error)
        else:
            self._last_sent = attempt
        return attempt

    def _reason(self) -> trace.Reason:
        if not self._attempts:
            return trace.Reason.FIRST
        return trace.Reason.DELAY_OVER if self._attempts[-1].error is None else trace.Reason.PREDECESSOR_FAILED

    async def _stagger(self) -> None:
        """Section 5: wait until the newest attempt has failed, or the Connection Attempt Delay is over."""
        newest = self._attempts[-1]
        if newest.ended is not None:
            await trio.lowlevel.checkpoint()
        while not self._is_over and newest.ended is None and (due := self._due(newest)) > self._clock.current_time():
            await self.inquiry.news.wait(due)

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

    async def _drive(self, attempt: LiveAttempt) -> None:
        """Bring one attempt to its end: established or failed, which is recorded, not raised."""
        assert attempt.handshake is not None
        await within(self._limit(attempt), attempt.handshake.settle)
        self._conclude(attempt)
        if attempt.ended is None and self.establish is not None:
            try:
                await within(self._limit(attempt), self._establish, attempt, self.establish)
            except _FAILURES as error:
                self._fail(attempt, as_os_error(error, attempt.address))
            self._check_limit(attempt)

    def _limit(self, attempt: LiveAttempt) -> float:
        return attempt.started + self.inquiry.policy.give_up_attempt_after

    def _check_limit(self, attempt: LiveAttempt) -> None:
        """End an attempt that has taken too long."""
        if attempt.ended is None and self._limit(attempt) <= self._clock.current_time():
            self._fail(attempt, timed_out(str(attempt.address)))

    def _conclude(self, attempt: LiveAttempt) -> None:
        """A wait for the handshake is over: record what has become of it, unless it is still under way."""
        handshake = attempt.handshake
        if handshake is None or attempt.ended is not None:
            return
        if handshake.state is HandshakeState.HANDSHAKING:
            self._check_limit(attempt)
        elif (failure := handshake.failure()) is None:
            self._connected(attempt, handshake)
        elif isinstance(failure, _FAILURES):
            self._fail(attempt, as_os_error(failure, attempt.address))
        else:
            raise failure

    def _connected(self, attempt: LiveAttempt, handshake: AnyHandshake) -> None:
        """TCP is there; that is all, or `establish` comes next."""
        if self.inquiry.journal.tracers:
            self.inquiry.journal.tell(trace.AttemptConnected, attempt=attempt.number, address=attempt.address)
        history = self.inquiry.history
        if history is not None and (rtt := attempt.round_trip_time()) is not None:
            history.record(attempt.address, rtt, time.time())
        if self.establish is None:
            self._succeed(attempt, handshake.stream())  # type: ignore[arg-type]  # then T is SocketStream, says Connector
        else:
            attempt.connected = self._clock.current_time()
            self.inquiry.news.ring()

    async def _establish(self, attempt: LiveAttempt, establish: Callable[[trio.SocketStream], Awaitable[T]]) -> None:
        """Do what the caller wants on top of the connection."""
        assert attempt.handshake is not None
        stream = attempt.handshake.stream()
        if self.inquiry.policy.ech and self.inquiry.services_known is not None:
            await self.inquiry.services_known.wait()
        self._succeed(attempt, await establish(stream))

    def _succeed(self, attempt: LiveAttempt, result: T) -> None:
        self._end(attempt)
        if self.inquiry.journal.tracers:
            self.inquiry.journal.tell(trace.AttemptEstablished, attempt=attempt.number, address=attempt.address)
        if self._winner is None:
            self._winner, self._result = attempt, result
            if self._scope is not None:
                self._scope.cancel()
        else:
            self._discard(attempt)

    def _fail(self, attempt: LiveAttempt, error: OSError) -> None:
        self._end(attempt)
        attempt.error = error.with_traceback(None)
        attempt.close()
        if self.opener.native:
            after = attempt.started - self._began
            add_note(error, f"attempt {attempt.number}, after {after:.3f} s: {attempt.report()}")
        if self.inquiry.journal.tracers:
            self.inquiry.journal.tell(trace.AttemptFailed, attempt=attempt.number, address=attempt.address, error=error)
        self.inquiry.news.ring()

    def _cancel(self, attempt: LiveAttempt) -> None:
        self._end(attempt)
        attempt.close()
        if self.inquiry.journal.tracers:
            self.inquiry.journal.tell(trace.AttemptCancelled, attempt=attempt.number, address=attempt.address)

    def _end(self, attempt: LiveAttempt) -> None:
        attempt.ended = self._clock.current_time()
        self._under_way -= 1
        self.inquiry.news.ring()

    def _discard(self, attempt: LiveAttempt) -> None:
        attempt.close()
        self.inquiry.journal.tell(trace.RunnerUpDiscarded, attempt=attempt.number, address=attempt.address)

    def _abandon(self) -> None:
        """Close whatever is left: the attempt of a race that ran alone, the winner of one that was cancelled."""
        for attempt in self._attempts:
            if attempt.ended is None:
                self._cancel(attempt)
        if self._winner is not None:
            self._discard(self._winner)
