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
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import trio

from . import trace
from ._address import Address
from ._attempt import AnyHandshake, LiveAttempt, add_note, as_os_error
from ._errors import sole, timed_out
from ._history import History
from ._inquiry import Inquiry, within
from ._policy import Policy

if sys.version_info < (3, 11):  # pragma: no cover - trio brings the backport on 3.10
    from exceptiongroup import BaseExceptionGroup

T = TypeVar("T")


@dataclass(kw_only=True, eq=False)
class Race(Generic[T]):
    """One race: everything that its tasks share. It is run once."""

    inquiry: Inquiry
    policy: Policy
    history: History | None
    begin: Callable[[Address], AnyHandshake]
    """Open a socket and begin to connect it; an OSError says that not even a packet could be sent."""
    native: bool
    """Whether `begin` makes handshakes of our own, which can be awaited again after a cancelled wait."""
    establish: Callable[[trio.SocketStream], Awaitable[T]] | None
    give_up_after: float
    journal: trace.Journal

    _finished: bool = field(init=False, default=False)
    _attempts: list[LiveAttempt] = field(init=False, default_factory=list)
    _under_way: int = field(init=False, default=0)
    _last_sent: LiveAttempt | None = field(init=False, default=None)
    _winner: LiveAttempt | None = field(init=False, default=None)
    _scope: trio.CancelScope | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._began = trio.current_time()
        self._agenda = self.inquiry.agenda
        self._news = self.inquiry.news

    async def run(self) -> T:
        """Return the first connection to be established, and leave nothing else behind.

        Raises:
            ConnectError: There is none; its class says why.
        """
        self.journal.tell(trace.RaceStarted, host=self.inquiry.host, port=self.inquiry.port, policy=self.policy)
        try:
            await within(self._began + self.give_up_after, self._run)
        except BaseException:
            self._abandon()
            self.journal.tell(trace.RaceLost, error=None)
            raise
        if self._winner is None:
            self._abandon()
            reports = [attempt.report() for attempt in self._attempts]
            failure = self.inquiry.failure(reports, None if self._finished else self.give_up_after)
            self.journal.tell(trace.RaceLost, error=failure)
            try:
                raise failure
            finally:
                del failure  # this frame is in its traceback
        if self.history is not None:
            self.history.mark_used(self._winner.address, time.time())
        self.journal.tell(trace.RaceWon, attempt=self._winner.number, address=self._winner.address)
        return self._result

    async def _run(self) -> None:
        """Run the race until it has a winner, or nothing is left to try."""
        inquiry = self.inquiry
        inquiry.begin()
        if not inquiry.beside:
            if inquiry.resolver is not None:
                await inquiry.resolve(inquiry.resolver)
            await self._alone()
        if self._winner is None and (inquiry.beside or self._under_way):
            await self._in_nursery()
        if not self._attempts:
            await trio.lowlevel.checkpoint()
        self._finished = True

    async def _alone(self) -> None:
        """Section 5, for as long as each attempt ends before the next is due: the calling task does it all."""
        while (address := await self._next_address()) is not None:
            attempt = self._start(address)
            has_rival = self._agenda.peek() is not None
            if attempt.ended is not None:
                await trio.lowlevel.checkpoint()
                continue
            if has_rival and not (self.native and self.establish is None):
                return  # its wait cannot be interrupted and taken up again
            await within(self._due(attempt) if has_rival else math.inf, self._drive, attempt)
            if attempt.ended is None:
                return

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
            address = self._agenda.peek()
            if self._is_over or (address is None and self.inquiry.resolved):
                return None
            if address is None:
                newest = self._attempts[-1].started if self._attempts else None
                at = self.inquiry.last_resort_at(newest, self._under_way)
            else:
                at = self._may_start_at(address)
            if at > self._began and at > trio.current_time():
                await self._news.wait(at)
            elif address is not None:
                return self._agenda.take()
            else:
                self.inquiry.ask_last_resort()

    @property
    def _is_over(self) -> bool:
        return self._winner is not None or self.inquiry.forbidden is not None

    def _may_start_at(self, address: Address) -> float:
        """Sections 3 and 5: the first attempt waits for the preferred family, each other one for the minimum gap."""
        if not self._attempts:
            return self._agenda.may_begin_at()
        last = self._last_sent
        if last is None or (last.address.is_loopback and address.is_loopback):
            return -math.inf
        return last.started + self.policy.minimum_gap

    def _start(self, address: Address) -> LiveAttempt:
        """Begin an attempt. One that fails before a packet is sent has ended when this returns."""
        address = self.inquiry.on_the_wire(address)
        delay = self._agenda.delay(address, self._under_way)
        attempt = LiveAttempt(len(self._attempts) + 1, address, trio.current_time(), delay)
        reason = self._reason()
        self._attempts.append(attempt)
        self._under_way += 1
        self.journal.tell(trace.AttemptStarted, attempt=attempt.number, address=address, reason=reason)
        try:
            attempt.handshake = self.begin(address)
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
        while not self._is_over and newest.ended is None and (due := self._due(newest)) > trio.current_time():
            await self._news.wait(due)

    def _due(self, newest: LiveAttempt) -> float:
        return newest.next_is_due(self.policy, crowded=self._under_way >= self.policy.attempts_at_full_pace)

    async def _attempt(self, attempt: LiveAttempt) -> None:
        """Run one attempt as a task; cancelled, it leaves nothing behind."""
        try:
            await self._drive(attempt)
        finally:
            if attempt.ended is None:
                self._cancel(attempt)

    async def _drive(self, attempt: LiveAttempt) -> None:
        """Bring one attempt to its end: established or failed, which is recorded, not raised."""
        limit = attempt.started + self.policy.give_up_attempt_after
        try:
            await within(limit, self._establish, attempt)
        except OSError as error:
            self._fail(attempt, error)
        except (trio.BrokenResourceError, trio.TooSlowError) as error:
            self._fail(attempt, as_os_error(error, attempt.address))
        if attempt.ended is None and limit <= trio.current_time():
            self._fail(attempt, timed_out(str(attempt.address)))

    async def _establish(self, attempt: LiveAttempt) -> None:
        """Wait for the handshake, then for what the caller wants on top of it."""
        assert attempt.handshake is not None
        await attempt.handshake.wait()
        self.journal.tell(trace.AttemptConnected, attempt=attempt.number, address=attempt.address)
        if self.history is not None and (rtt := attempt.round_trip_time()) is not None:
            self.history.record(attempt.address, rtt, time.time())
        stream = attempt.handshake.stream()
        if self.establish is None:
            self._succeed(attempt, stream)  # type: ignore[arg-type]  # then T is SocketStream, says Connector
            return
        attempt.connected = trio.current_time()
        self._news.ring()
        if self.policy.ech and self.inquiry.services_known is not None:
            await self.inquiry.services_known.wait()
        self._succeed(attempt, await self.establish(stream))

    def _succeed(self, attempt: LiveAttempt, result: T) -> None:
        self._end(attempt)
        self.journal.tell(trace.AttemptEstablished, attempt=attempt.number, address=attempt.address)
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
        if self.native:
            after = attempt.started - self._began
            add_note(error, f"attempt {attempt.number}, after {after:.3f} s: {attempt.report()}")
        self.journal.tell(trace.AttemptFailed, attempt=attempt.number, address=attempt.address, error=error)
        self._news.ring()

    def _cancel(self, attempt: LiveAttempt) -> None:
        self._end(attempt)
        attempt.close()
        self.journal.tell(trace.AttemptCancelled, attempt=attempt.number, address=attempt.address)

    def _end(self, attempt: LiveAttempt) -> None:
        attempt.ended = trio.current_time()
        self._under_way -= 1
        self._news.ring()

    def _discard(self, attempt: LiveAttempt) -> None:
        attempt.close()
        self.journal.tell(trace.RunnerUpDiscarded, attempt=attempt.number, address=attempt.address)

    def _abandon(self) -> None:
        """Close whatever is left: the attempt of a race that ran alone, the winner of one that was cancelled."""
        for attempt in self._attempts:
            if attempt.ended is None:
                self._cancel(attempt)
        if self._winner is not None:
            self._discard(self._winner)
