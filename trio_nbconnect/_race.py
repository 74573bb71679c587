"""Race: attempts, staggered, until one is established (RFC 8305, sections 3, 5 and 6).

The problem: any address of a host may swallow our packets for minutes. Trying them in turn is slow, trying them all
at once is rude, and whatever is cancelled when, nothing may be left behind.

How we solve it:

1. Resolution delivers answers while attempts run (section 3); the agenda knows which address is next (section 6).
2. Start an attempt. The next one is due when the newest has failed, or the Connection Attempt Delay is over; never
   within 10 ms of the last one that sent a packet (section 5). Starting one does not touch the others.
3. The first to be established wins, the others are cancelled. A dead heat has a runner-up, which is closed.

An attempt is a task in a nursery, but most races have one attempt. Since a handshake lives in the kernel, the calling
task waits for the first one by itself, and a nursery opens only when a second is due; it takes the first one over,
half open. Measured on loopback, that spares two thirds of a connect's cost. Nothing else changes: `_alone` and
`_together` start the same attempts by the same rules.

Ownership: an attempt owns its socket until it is established, the race owns the winner until it returns it, and
whoever owns closes on every other way out. Inside the nursery failures are recorded; outside, one error is raised.

What lives here: that, and no system call; those are behind `begin`. We kill nothing at the cap of attempts: the pace
slows down (`Policy.attempts_at_full_pace`). We never divide time among addresses: a delay is no limit.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from socket import AddressFamily
from typing import Generic, TypeVar

import trio

from . import trace
from ._address import Address
from ._agenda import Agenda
from ._attempt import AnyHandshake, LiveAttempt, add_note, as_os_error, ruled_out
from ._errors import ConnectError, all_failed, gave_up, no_address, services_unknown, timed_out
from ._policy import Policy
from ._question import Answer, Asked, Question, Source
from ._resolve import Resolver

if sys.version_info < (3, 11):  # pragma: no cover - trio brings the backport on 3.10
    from exceptiongroup import BaseExceptionGroup

T = TypeVar("T")


@dataclass(kw_only=True, eq=False)
class Race(Generic[T]):
    """One race: everything that its tasks share. It is run once."""

    host: str
    """As the caller wrote it, for errors and events."""
    name: str
    """As it is asked for: a name of another script in its A-label form."""
    port: int
    families: tuple[AddressFamily, ...]
    """The families that can be used, the preferred one first."""
    given: tuple[Address, ...]
    """The addresses that are known without asking anybody."""
    resolver: Resolver | None
    beside: bool
    """Whether resolution runs beside the attempts; else its one answer is waited for."""
    policy: Policy
    begin: Callable[[Address], AnyHandshake]
    """Open a socket and begin to connect it; an OSError says that not even a packet could be sent."""
    native: bool
    """Whether `begin` makes handshakes of our own, which can be awaited again after a cancelled wait."""
    establish: Callable[[trio.SocketStream], Awaitable[T]] | None
    give_up_after: float
    journal: trace.Journal

    _finished: bool = field(init=False, default=False)
    _unusable: list[OSError] = field(init=False, default_factory=list)
    _attempts: list[LiveAttempt] = field(init=False, default_factory=list)
    _under_way: int = field(init=False, default=0)
    _last_sent: LiveAttempt | None = field(init=False, default=None)
    _winner: LiveAttempt | None = field(init=False, default=None)
    _scope: trio.CancelScope | None = field(init=False, default=None)
    _news: trio.Event | None = field(init=False, default=None)
    _protected_services: trio.Event | None = field(init=False, default=None)
    """Set when the services are known that were asked for over protected DNS."""
    _forbidden: OSError | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._began = trio.current_time()
        self._agenda = Agenda(self.policy)
        self._resolved = self.resolver is None

    async def run(self) -> T:
        """Return the first connection to be established, and leave nothing else behind.

        Raises:
            ConnectError: There is none; its class says why.
        """
        self.journal.tell(trace.RaceStarted, host=self.host, port=self.port, policy=self.policy)
        try:
            with _until(self._began + self.give_up_after):
                await self._run()
                self._finished = True
        except BaseException:
            self._abandon()
            self.journal.tell(trace.RaceLost, error=None)
            raise
        if self._winner is None:
            self._abandon()
            failure = self._failure()
            self.journal.tell(trace.RaceLost, error=failure)
            try:
                raise failure
            finally:
                del failure  # this frame is in its traceback
        self.journal.tell(trace.RaceWon, attempt=self._winner.number, address=self._winner.address)
        return self._result

    async def _run(self) -> None:
        """Run the race until it has a winner, or nothing is left to try."""
        if self.given:
            self._deliver(Answer(Source.GIVEN, self.given))
        if not self.beside:
            if self.resolver is not None:
                await self._resolve(self.resolver)
            await self._alone()
        if self._winner is None and (self.beside or self._under_way):
            await self._in_nursery()
        if not self._attempts:
            await trio.lowlevel.checkpoint()

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
            with _until(self._due(attempt) if has_rival else math.inf):
                await self._drive(attempt)
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
            crash = _sole(group)
        try:
            raise crash
        finally:
            del crash  # this frame is in its traceback

    async def _together(self, nursery: trio.Nursery) -> None:
        """Section 5: start an attempt, wait until the next is due, until there is none."""
        if self.resolver is not None and self.beside:
            nursery.start_soon(self._resolve, self.resolver)
        if self._under_way:
            nursery.start_soon(self._attempt, self._attempts[-1])
            await self._stagger()
        while (address := await self._next_address()) is not None:
            attempt = self._start(address)
            if attempt.ended is None:
                nursery.start_soon(self._attempt, attempt)
            await self._stagger()

    async def _resolve(self, resolver: Resolver) -> None:
        """Section 3: take in the answers as they come."""
        question = Question(host=self.name, port=self.port, families=self.families)
        try:
            with _until(self._began + self.policy.give_up_resolution_after):
                await resolver.resolve(question, self._deliver)
        except OSError as error:
            self._agenda.failures.append(error)
        for source, name in self._agenda.unanswered:
            silence = timed_out(f"no answer for {source.value} of {name or self.host}")
            self._deliver(Answer(source, error=silence, name=name))
        self._resolved = True
        self._wake()

    def _deliver(self, item: Asked | Answer) -> None:
        if isinstance(item, Asked):
            self._agenda.ask(item)
            if item.protected and item.source is Source.HTTPS:
                self._protected_services = trio.Event()
            self.journal.tell(trace.ResolutionStarted, source=item.source, name=item.name)
            return
        if item.source is Source.HTTPS and self._protected_services is not None:
            self._protected_services.set()
            if item.error is not None:
                self._abandon_for(item.error)
        unusable = [address for address in item.addresses if address.family not in self.families]
        if unusable:
            self._unusable += map(ruled_out, unusable)
            usable = tuple(address for address in item.addresses if address not in unusable)
            item = replace(item, addresses=usable)
        self._agenda.note(item, trio.current_time())
        self.journal.tell(
            trace.AnswerReceived,
            source=item.source,
            name=item.name,
            addresses=item.addresses,
            services=item.services,
            error=item.error,
        )
        self._wake()

    def _abandon_for(self, error: OSError) -> None:
        """Version 3, section 6.3: somebody keeps the services from us that protected DNS would have shown."""
        self._forbidden = error
        if self._scope is not None:
            self._scope.cancel()

    async def _next_address(self) -> Address | None:
        """Section 6: the best address not yet tried, as soon as it may be; None if there will be no more."""
        while True:
            address = self._agenda.peek()
            if self._winner is not None or (address is None and self._resolved):
                return None
            start_at = math.inf if address is None else self._may_start_at(address)
            if start_at <= self._began or start_at <= trio.current_time():
                return self._agenda.take()
            await self._wait_for_news(start_at)

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
        attempt = LiveAttempt(len(self._attempts) + 1, address, trio.current_time())
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
        while newest.ended is None and (due := self._due(newest)) > trio.current_time():
            await self._wait_for_news(due)

    def _due(self, newest: LiveAttempt) -> float:
        """When the next attempt is due, if the newest does not fail.

        Progress extends the delay: the attempt that has completed TCP is likely to be established soon.
        """
        policy = self.policy
        delay = policy.attempt_delay
        if policy.attempt_delay_multiplier != 1 and self._under_way > 1:
            delay *= policy.attempt_delay_multiplier ** (self._under_way - 1)
        if self._under_way >= policy.attempts_at_full_pace:
            delay = max(delay, policy.maximum_delay)
        due = newest.started + delay
        if newest.connected is not None:
            due = max(due, min(newest.started + policy.maximum_delay, newest.connected + delay))
        return due

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
            with _until(limit):
                result = await self._connection(attempt)
                self._succeed(attempt, result)
        except OSError as error:
            self._fail(attempt, error)
        except (trio.BrokenResourceError, trio.TooSlowError) as error:
            self._fail(attempt, as_os_error(error, attempt.address))
        if attempt.ended is None and limit <= trio.current_time():
            self._fail(attempt, timed_out(str(attempt.address)))

    async def _connection(self, attempt: LiveAttempt) -> T:
        """Wait for the handshake, then for what the caller wants on top of it."""
        assert attempt.handshake is not None
        await attempt.handshake.wait()
        self.journal.tell(trace.AttemptConnected, attempt=attempt.number, address=attempt.address)
        stream = attempt.handshake.stream()
        if self.establish is None:
            return stream  # type: ignore[return-value]  # then T is SocketStream, says Connector
        attempt.connected = trio.current_time()
        self._wake()
        if self.policy.ech and self._protected_services is not None:
            await self._protected_services.wait()
        return await self.establish(stream)

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
        self._wake()

    def _cancel(self, attempt: LiveAttempt) -> None:
        self._end(attempt)
        attempt.close()
        self.journal.tell(trace.AttemptCancelled, attempt=attempt.number, address=attempt.address)

    def _end(self, attempt: LiveAttempt) -> None:
        attempt.ended = trio.current_time()
        self._under_way -= 1
        self._wake()

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

    def _wake(self) -> None:
        if self._news is not None:
            self._news.set()

    async def _wait_for_news(self, until: float) -> None:
        """Wait until something has happened, or until a time on Trio's clock."""
        self._news = trio.Event()
        with _until(until):
            await self._news.wait()

    def _failure(self) -> ConnectError:
        """The one error of a race that was lost; it says what was tried."""
        attempts = [attempt.report() for attempt in self._attempts]
        if not self._finished:
            return gave_up(self.host, self.port, self.give_up_after, attempts, self._agenda.failures)
        if self._forbidden is not None:
            return services_unknown(self.host, self.port, attempts, self._forbidden)
        if attempts or self._unusable:
            return all_failed(self.host, self.port, attempts, self._unusable)
        return no_address(self.host, self.port, self._agenda.failures)


def _until(time: float) -> AbstractContextManager[object]:
    """Cancel the block at a time on Trio's clock; "never" costs nothing."""
    return _NEVER if time == math.inf else trio.CancelScope(deadline=time)


_NEVER = nullcontext()


def _sole(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the one exception of a group that is not a cancellation, or the group if there is no such one."""
    rest = [error for error in group.exceptions if not _is_cancellation(error)]
    return rest[0] if len(rest) == 1 else group


def _is_cancellation(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return error.split(trio.Cancelled)[1] is None
    return isinstance(error, trio.Cancelled)
