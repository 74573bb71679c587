"""Race: Happy Eyeballs itself (RFC 8305, sections 3, 5 and 6).

Any address of a host may drop our packets for minutes. Trying them in turn is slow, trying them all at once is rude,
and whatever is cancelled when, nothing may be left behind.

1. Addresses arrive while attempts run (section 3). The complete list is sorted whenever one does; the best address
   not yet tried is next (sections 4 and 6).
2. The next attempt starts when the newest has failed, or the Connection Attempt Delay is over; never within 10 ms of
   the last one that sent a packet (section 5). Starting one does not touch the others.
3. The first attempt to be established wins and the others are cancelled. A dead heat has a runner-up, which is closed.

What an attempt is only its opener knows: a handshake with an address, or any call that may succeed.

Inside the nursery failures are recorded; outside, one error is raised. An attempt owns its socket until it is
established, the race owns the winner until it returns it, and whoever owns closes on every other way out.

Refused: a chain of tasks each of which waits for its predecessor (a list that changes needs one task that reads it);
killing attempts beyond a number of them (the pace slows down); dividing time among addresses (a delay is no limit).
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import trio

from .._address import Address, Target
from .._connect.handshake import Connecting, Opener
from .._connect.inspection import inspect
from .._errors import (
    Attempt,
    ConnectError,
    Phase,
    all_failed,
    as_failure,
    crash_of,
    gave_up,
    no_address,
    nothing_to_try,
    services_unknown,
    sole,
    timed_out,
    without_failures,
)
from .._policy import Policy
from .._printable import seconds_text
from .candidates import Candidates
from .journal import Journal, ReasonName
from .resolution import Resolution, until

if sys.version_info < (3, 11):  # pragma: no cover - trio brings the backport on 3.10
    from exceptiongroup import BaseExceptionGroup

if TYPE_CHECKING:
    from .._resolve.history import History

T = TypeVar("T")


class RunningAttempt:
    """One attempt of a race. Times are seconds on Trio's clock."""

    __slots__ = (
        *("address", "candidate", "connected", "delay", "ended", "error", "handshake", "is_noted", "number", "phase"),
        "started",
    )

    def __init__(self, number: int, candidate: Address, address: Address, started: float, delay: float) -> None:
        self.number = number
        self.candidate = candidate
        self.address = address  # by which that is reached: another one behind a translator
        self.started = started
        self.delay = delay  # how long the next attempt waits for this one
        self.handshake: Connecting | None = None  # None if no packet could be sent
        self.connected: float | None = None  # when TCP was, if something is to be established on top of it
        self.phase = Phase.HANDSHAKE
        self.ended: float | None = None
        self.error: OSError | None = None
        self.is_noted = False

    def close(self) -> None:
        """Close its socket at once; a library that was given the descriptor may have done so."""
        if self.handshake is not None:
            with suppress(OSError):
                self.handshake.abort()

    def report(self) -> Attempt:
        """Say how it ended."""
        assert self.ended is not None
        return Attempt(
            number=self.number,
            address=self.address,
            phase=self.phase,
            started=self.started,
            ended=self.ended,
            error=self.error,
            connected=self.connected,
        )


class Race(Generic[T]):
    """Attempts at the addresses of one host, staggered, until one is established. It is run once."""

    __slots__ = (
        *("_attempts", "_began", "_candidates", "_change", "_clock", "_establish", "_give_up_after", "_had_none"),
        *("_history", "_journal", "_last_sent", "_opener", "_phase_on_top", "_planned", "_policy", "_resolution"),
        *("_result", "_target", "_under_way", "_winner"),
    )

    def __init__(
        self,
        target: Target,
        policy: Policy,
        resolution: Resolution,
        opener: Opener,
        *,
        establish: Callable[[trio.SocketStream, Address], Awaitable[T]] | None,
        is_tls: bool,
        give_up_after: float,
        journal: Journal,
        history: History | None,
    ) -> None:
        self._target = target
        self._policy = policy
        self._resolution = resolution
        self._candidates: Candidates = resolution.candidates
        self._opener = opener
        self._establish = establish  # None: a connection is all that is wanted, and `T` is its stream
        self._phase_on_top = None if establish is None else Phase.TLS if is_tls else Phase.ESTABLISH
        self._give_up_after = give_up_after
        self._journal = journal
        self._history = history
        self._clock = trio.lowlevel.current_clock()
        self._began = self._planned = self._clock.current_time()
        self._attempts: list[RunningAttempt] = []
        self._under_way = 0
        self._last_sent: RunningAttempt | None = None
        self._winner: RunningAttempt | None = None
        self._result: T
        self._had_none: bool  # whether there was no address when the next attempt was due
        self._change = resolution.change

    async def run(self) -> T:
        """Return what the first attempt to be established has brought, and leave nothing else behind.

        Raises:
            ConnectError: There is none; its class says why.
        """
        if self._journal.tracers:
            self._journal.race_started(self._target.host, self._target.port, self._policy, at=self._began)
        try:
            with until(self._began + self._give_up_after) as whole_call:
                await self._first_alone()
                if self._may_go_on and (self._under_way or not self._resolution.is_over):
                    async with trio.open_nursery() as nursery:
                        await self._staggered(nursery)
                if not self._attempts:
                    await trio.lowlevel.checkpoint()
            if self._winner is not None:
                return self._hand_over(self._winner)
            self._close_everything()
            failure = self._failure(gave_up_at_limit=whole_call.cancelled_caught)
            self._journal.race_lost(failure)
            crash: BaseException = failure
            del failure
        except BaseException as error:
            self._close_everything()
            crash = sole(error)  # Ctrl-C, or one bug in foreign code, comes out as it is and not as a group of one
            self._journal.race_lost(crash_of(crash) if isinstance(crash, Exception) else None)
            if crash is error:
                raise
        try:
            raise crash
        finally:
            del crash  # this frame is in its traceback

    async def _first_alone(self) -> None:
        """Run the race in the calling task while no other attempt is due: no nursery, no task, no event.

        Most races need one attempt (95 of 100 in field data). A nursery with one task in it costs as much as the
        connect itself: with this step a connect to a literal takes 0.6 of the CPU that it takes without. Its price is a
        second way through the race. Nothing else can tell them apart: a handshake lives in the kernel and not in a
        task, so that an attempt is taken over half open when the next one is due.
        """
        await self._resolution.run_alone()
        while self._resolution.is_over and (address := await self._next_candidate()) is not None:
            attempt = self._start(address)
            if attempt.ended is not None:
                await trio.lowlevel.checkpoint()
            elif (limit := self._may_wait_alone_until(attempt)) is None:
                return
            else:
                await self._run_attempt(attempt, limit)
                if attempt.error is None:
                    return
            self._planned = self._clock.current_time()

    def _may_wait_alone_until(self, attempt: RunningAttempt) -> float | None:
        """Until when the calling task may wait for an attempt; None if that wait could not be taken up by a task."""
        if self._candidates.peek() is None:
            return math.inf
        if self._establish is not None or not self._opener.is_resumable:
            return None
        return self._due(attempt)

    async def _staggered(self, nursery: trio.Nursery) -> None:
        """Sections 3, 5 and 6: answers arrive beside the attempts, each of which starts when it is due."""
        if not self._resolution.is_over:
            nursery.start_soon(self._resolution.run)
        if self._under_way:  # begun by `_first_alone`, half open
            nursery.start_soon(self._attempt, self._attempts[-1])
            await self._stagger(self._attempts[-1])
        while (address := await self._next_candidate()) is not None:
            attempt = self._start(address)
            if attempt.ended is None:
                nursery.start_soon(self._attempt, attempt)
            await self._stagger(attempt)
        while self._may_go_on and self._under_way:
            await self._change.wait(math.inf)
        nursery.cancel_scope.cancel()

    async def _next_candidate(self) -> Address | None:
        """Sections 3 and 6: the best address not yet tried, as soon as it may be tried; None if there will be none."""
        self._had_none = False
        while self._may_go_on:
            address = self._candidates.peek()
            if address is None and self._resolution.is_over:
                return None
            at = self._last_resort_at() if address is None else self._may_start_at(address)
            now = self._clock.current_time()
            if at > now:
                self._had_none = self._had_none or address is None
                await self._change.wait(at)
                self._planned = min(at, self._clock.current_time())
            elif address is None:
                self._resolution.ask_last_resort()
            else:
                if trio.current_effective_deadline() <= now:  # nothing starts once the race was given up
                    await trio.lowlevel.checkpoint()
                return self._candidates.pop()
        return None

    def _may_start_at(self, address: Address) -> float:
        """Sections 3 and 5: the first attempt waits for the preferred family, each other one for the minimum gap.

        One whose address came when the delay was over waits for progress that was made since.
        """
        if not self._attempts:
            return self._candidates.may_begin_at()
        last, put_off = self._last_sent, self._put_off_until(self._attempts[-1])
        if last is None or (last.address.is_loopback and address.is_loopback):
            return put_off
        return max(put_off, last.started + self._policy.minimum_gap)

    def _last_resort_at(self) -> float:
        """Section 7.2: when to ask for IPv4 addresses after all; at once if every attempt has failed."""
        if not self._resolution.has_last_resort:
            return math.inf
        if self._under_way:
            return self._attempts[-1].started + self._policy.last_resort_delay
        return -math.inf if self._attempts or self._candidates.is_answered else math.inf

    def _start(self, address: Address) -> RunningAttempt:
        """Begin an attempt. One that fails before a packet is sent has ended when this returns."""
        delay = self._candidates.delay(address, self._under_way)
        now = self._clock.current_time()
        attempt = RunningAttempt(len(self._attempts) + 1, address, self._resolution.reached_by(address), now, delay)
        if not self._attempts or self._planned < now - delay:  # what stood still for so long catches up with nothing
            self._planned = now
        if self._journal.tracers:
            self._tell_start(attempt)
        self._attempts.append(attempt)
        self._under_way += 1
        try:
            attempt.handshake = self._opener.begin(attempt.address)
        except OSError as error:
            self._fail(attempt, error)
        else:
            self._last_sent = attempt
        return attempt

    def _tell_start(self, attempt: RunningAttempt) -> None:
        """Tell why an attempt begins, and how long the next one will wait for it."""
        policy, delay, source = self._policy, attempt.delay, self._candidates.delay_source(attempt.candidate)
        if delay < policy.minimum_gap and not attempt.address.is_loopback:
            delay, source = policy.minimum_gap, "MINIMUM_GAP"
        if delay < policy.maximum_delay and self._under_way + 1 >= policy.attempts_at_full_pace:
            delay, source = policy.maximum_delay, "SLOWED"
        number, address, at = attempt.number, attempt.address, attempt.started
        stands_for = None if attempt.candidate == address else attempt.candidate
        self._journal.attempt_started(number, address, self._reason(), delay, source, stands_for=stands_for, at=at)

    def _retransmissions(self, attempt: RunningAttempt) -> int | None:
        """How often the kernel has sent the SYN again, where somebody listens and it is not connected."""
        if not self._journal.tracers or attempt.handshake is None or attempt.connected is not None:
            return None
        return self._opener.syn_retransmissions(attempt.handshake.socket)

    def _reason(self) -> ReasonName:
        if not self._attempts:
            return self._candidates.why_first()
        if self._had_none:
            return "ADDRESS_CAME"
        return "DELAY_OVER" if self._attempts[-1].error is None else "PREDECESSOR_FAILED"

    async def _stagger(self, newest: RunningAttempt) -> None:
        """Section 5: wait until the newest attempt has failed, or the Connection Attempt Delay is over."""
        if newest.ended is not None:
            await trio.lowlevel.checkpoint()
        due = math.inf
        while newest.ended is None and self._may_follow and (due := self._due(newest)) > self._clock.current_time():
            await self._change.wait(due)
        self._planned = min(due, self._clock.current_time())

    def _due(self, newest: RunningAttempt) -> float:
        """Section 5: when the next attempt is due, if the newest does not fail.

        It counts from the time for which the newest was planned, so that the lateness of a busy program does not add
        up.
        """
        return max(self._planned + self._delay(newest), self._put_off_until(newest))

    def _delay(self, newest: RunningAttempt) -> float:
        """Section 5: how long the next attempt waits for the newest, the longer the more of them there are."""
        is_crowded = self._under_way >= self._policy.attempts_at_full_pace
        return max(newest.delay, self._policy.maximum_delay) if is_crowded else newest.delay

    def _put_off_until(self, newest: RunningAttempt) -> float:
        """Version 3, section 6.1: progress extends the delay; what has completed TCP may soon be established."""
        if newest.connected is None or newest.ended is not None:
            return -math.inf
        return min(newest.started + self._policy.maximum_delay, newest.connected + self._delay(newest))

    async def _attempt(self, attempt: RunningAttempt) -> None:
        """Run one attempt as a task; cancelled, it leaves nothing behind."""
        try:
            await self._run_attempt(attempt)
        finally:
            if attempt.ended is None:
                self._cancel(attempt, self._retransmissions(attempt))

    async def _run_attempt(self, attempt: RunningAttempt, leave_at: float = math.inf) -> None:
        """Bring one attempt from its first packet to its outcome. What it meets is recorded; only a bug is raised.

        With a time at which to leave, the attempt goes on without us then.
        """
        assert attempt.handshake is not None
        give_up_at = attempt.started + self._policy.give_up_attempt_after
        with until(min(give_up_at, leave_at)) as limit:
            try:
                await attempt.handshake.wait()
                self._connected(attempt, attempt.handshake)
                stream: Any = attempt.handshake.stream()  # which is the result, if a connection is all that is wanted
                self._win(
                    attempt, stream if self._establish is None else await self._establish(stream, attempt.address)
                )
            except Exception as error:
                failure = as_failure(error, attempt.address, self._opener.failures)
                self._fail(attempt, failure or crash_of(error))
                if failure is None:
                    raise
            except BaseExceptionGroup as error:
                raise without_failures(error, self._opener.failures)  # noqa: B904 - the same, or a part of it
        if limit.cancelled_caught and give_up_at <= leave_at:
            self._fail(attempt, timed_out(str(attempt.address)))

    def _connected(self, attempt: RunningAttempt, handshake: Connecting) -> None:
        """Note that TCP is connected, and what that tells about the route."""
        now, phase = self._clock.current_time(), self._phase_on_top
        if self._journal.tracers:
            sent_again = self._retransmissions(attempt)
            self._journal.attempt_connected(attempt.number, attempt.address, phase, sent_again, at=now)
        if phase is not None:
            attempt.phase, attempt.connected = phase, now
        if self._history is not None and (rtt := self._round_trip_time(attempt, handshake)) is not None:
            self._history.record(attempt.candidate, rtt, wall_clock())

    def _round_trip_time(self, attempt: RunningAttempt, handshake: Connecting) -> float | None:
        """What the handshake, just over, tells about the route; None if nothing is sure.

        Where the kernel does not say, the handshake's own time will do if it is under a second; after that the SYN has
        been sent again (RFC 6298, section 2.1), and the answer may be to either (section 3).
        """
        elapsed = self._clock.current_time() - attempt.started
        rtt = self._opener.round_trip_time(handshake.socket)
        return elapsed if rtt is None and elapsed < 1 else rtt

    def _win(self, attempt: RunningAttempt, result: T) -> None:
        """Note the winner before anybody is told: whatever a tracer raises, its socket has an owner."""
        is_first = self._winner is None
        if is_first:
            self._winner, self._result = attempt, result
        else:
            attempt.close()
        self._end(attempt)
        if self._journal.tracers:
            self._journal.attempt_established(attempt.number, attempt.address)
        if not is_first:
            self._journal.runner_up_discarded(attempt.number, attempt.address)

    def _fail(self, attempt: RunningAttempt, error: OSError) -> None:
        sent_again = self._retransmissions(attempt)
        attempt.close()
        attempt.error = error.with_traceback(None)
        self._end(attempt)
        if self._journal.tracers:
            self._note(attempt)
            self._journal.attempt_failed(attempt.number, attempt.address, error, sent_again, at=attempt.ended)

    def _cancel(self, attempt: RunningAttempt, retransmissions: int | None) -> None:
        attempt.close()
        self._end(attempt)
        self._journal.attempt_cancelled(attempt.number, attempt.address, retransmissions, at=attempt.ended)

    def _end(self, attempt: RunningAttempt) -> None:
        attempt.ended = self._clock.current_time()
        self._under_way -= 1
        self._change.notify()

    def _close_everything(self) -> None:
        """Close the attempts under way, and a winner that nobody will get; only then tell of it."""
        winner, self._winner = self._winner, None
        left = [attempt for attempt in self._attempts if attempt.ended is None]
        sent_again = [self._retransmissions(attempt) for attempt in left]
        for attempt in left if winner is None else [*left, winner]:
            attempt.close()
        for attempt, retransmissions in zip(left, sent_again, strict=True):
            self._cancel(attempt, retransmissions)
        if winner is not None:
            self._journal.runner_up_discarded(winner.number, winner.address)

    def _hand_over(self, winner: RunningAttempt) -> T:
        if self._history is not None:
            self._history.mark_used(winner.candidate, wall_clock())
        if self._journal.tracers:
            self._journal.race_won(winner.number, winner.address, partial(self._inspect, winner))
        return self._result

    def _inspect(self, winner: RunningAttempt) -> dict[str, Any]:
        """Read what is known of the connection that is handed over."""
        assert winner.handshake is not None
        sock = winner.handshake.socket
        return inspect(sock, self._opener.round_trip_time(sock), self._result)

    def _failure(self, *, gave_up_at_limit: bool) -> ConnectError:
        """Return the one error of a race that was lost; it says what was tried."""
        for attempt in self._attempts:
            self._note(attempt)
        reports = [attempt.report() for attempt in self._attempts]
        resolution, host, port = self._resolution, self._target.host, self._target.port
        if resolution.fatal_error is not None:
            return services_unknown(host, port, reports, resolution.fatal_error)
        if gave_up_at_limit:
            return gave_up(host, port, self._give_up_after, reports, self._candidates.failures)
        if reports or resolution.unusable:
            missing = self._candidates.missing_hosts
            return all_failed(host, port, reports, () if reports else resolution.unusable, missing)
        if not self._target.name:
            return nothing_to_try(host, self._candidates.failures)
        return no_address(host, port, self._candidates.failures)

    def _note(self, attempt: RunningAttempt) -> None:
        """Say on a failure which attempt that was; once, and the errors of custom sockets pass as they are."""
        if attempt.error is not None and not attempt.is_noted and self._opener.adds_notes:
            attempt.is_noted = True
            after, report = attempt.started - self._began, attempt.report()
            note = f"attempt {attempt.number}, after {seconds_text(after)}: {report}"
            attempt.error.__dict__.setdefault("__notes__", []).append(note)  # `add_note`, which Python 3.10 lacks

    @property
    def _may_go_on(self) -> bool:
        return self._winner is None and self._resolution.fatal_error is None

    @property
    def _may_follow(self) -> bool:
        """Whether there may be another attempt, so that it makes sense to wait for its time."""
        is_last = self._resolution.is_over and self._candidates.peek() is None
        return self._may_go_on and not is_last


def wall_clock() -> float:
    """Seconds since 1970, for a history; 0 where the clock is set before that."""
    return max(time.time(), 0.0)
