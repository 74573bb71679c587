"""Contest: the attempts of one race, each from its first packet to its one outcome (RFC 8305, section 5).

The problem: whatever ends an attempt, a refusal, a limit, a winner, a cancellation or a bug in the caller's code, it
must be counted and told exactly once, and its socket closed unless it was handed over.

How we solve it: an attempt is begun in one place, `_start`, and ends in one of four: `_succeed`, `_fail`, `_cancel`,
and `_discard` for the runner-up of a dead heat. What a wait for a handshake has brought is recorded, not raised, by
`_conclude`, which does not wait itself: so a race may wait where it likes.

Ownership: an attempt owns its socket until it is established, the race owns the winner until it returns it, and
whoever owns closes on every other way out: `_abandon`.

What lives here: that. What does not: which address is next and when an attempt starts; that is `_race`.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import trio

from .. import trace
from .._address import Address
from .._connect.handshake import HandshakeState
from .._errors import timed_out
from .attempt import AnyHandshake, AnyOpener, LiveAttempt, as_os_error
from .resolution import Inquiry, within

T = TypeVar("T")

_FAILURES = (OSError, trio.BrokenResourceError, trio.TooSlowError)
"""What fails an attempt; anything else is a bug, and ends the race."""


@dataclass(slots=True, eq=False)
class Contest(Generic[T]):
    """The attempts of one race, and its winner."""

    inquiry: Inquiry
    opener: AnyOpener
    """Opens a socket and begins to connect it; an OSError says that not even a packet could be sent."""
    establish: Callable[[trio.SocketStream], Awaitable[T]] | None
    """What the caller wants on top of a connection; None if the connection is all, and then `T` is its stream."""
    give_up_after: float

    _clock: trio.abc.Clock = field(init=False)
    _began: float = field(init=False)
    _attempts: list[LiveAttempt] = field(init=False)
    _under_way: int = field(init=False, default=0)
    _last_sent: LiveAttempt | None = field(init=False, default=None)
    _winner: LiveAttempt | None = field(init=False, default=None)
    _result: T = field(init=False)
    _scope: trio.CancelScope | None = field(init=False, default=None)
    """What is cancelled when there is a winner; None while nothing runs beside it."""
    _finished: bool = field(init=False, default=False)
    """Whether the race has come to its end; else its limit has, or its caller."""

    def __post_init__(self) -> None:
        self._attempts = []
        self._clock = trio.lowlevel.current_clock()
        self._began = self._clock.current_time()

    def _start(self, address: Address) -> LiveAttempt:
        """Begin an attempt. One that fails before a packet is sent has ended when this returns."""
        inquiry = self.inquiry
        if inquiry.nat64 is not None:
            address = inquiry.nat64.write(address)
        delay = inquiry.agenda.delay(address, self._under_way)
        attempt = LiveAttempt(len(self._attempts) + 1, address, self._clock.current_time(), delay)
        if inquiry.journal.tracers:
            reason = self._reason()
            inquiry.journal.attempt_started(attempt.number, address, reason)
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

    async def _drive(self, attempt: LiveAttempt) -> None:
        """Bring one attempt to its end: established or failed, which is recorded, not raised."""
        assert attempt.handshake is not None
        limit = self._limit(attempt)
        await within(limit, attempt.handshake.settle)
        self._conclude(attempt)
        if attempt.ended is None and self.establish is not None:
            try:
                await within(limit, self._establish, attempt, attempt.handshake, self.establish)
            except _FAILURES as error:
                self._fail(attempt, as_os_error(error, attempt.address))
            if attempt.ended is None:
                self._fail(attempt, timed_out(str(attempt.address)))

    def _limit(self, attempt: LiveAttempt) -> float:
        return attempt.started + self.inquiry.policy.give_up_attempt_after

    def _conclude(self, attempt: LiveAttempt) -> None:
        """Record what a wait for the handshake has brought: a connection, a failure, or nothing yet."""
        handshake = attempt.handshake
        if handshake is None or attempt.ended is not None:
            return
        if handshake.state is HandshakeState.HANDSHAKING:
            if self._limit(attempt) <= self._clock.current_time():
                self._fail(attempt, timed_out(str(attempt.address)))
            return
        failure = handshake.failure()
        if failure is None:
            self._connected(attempt, handshake)
        elif isinstance(failure, _FAILURES):
            self._fail(attempt, as_os_error(failure, attempt.address))
        else:
            raise failure

    def _connected(self, attempt: LiveAttempt, handshake: AnyHandshake) -> None:
        """TCP is there; that is all, or `establish` comes next."""
        inquiry = self.inquiry
        if inquiry.journal.tracers:
            inquiry.journal.attempt_connected(attempt.number, attempt.address)
        if inquiry.history is not None and (rtt := attempt.round_trip_time()) is not None:
            inquiry.history.record(attempt.address, rtt, time.time())
        if self.establish is None:
            self._succeed(attempt, handshake.stream())  # type: ignore[arg-type]  # then T is SocketStream, says Connector

    async def _establish(
        self, attempt: LiveAttempt, handshake: AnyHandshake, establish: Callable[[trio.SocketStream], Awaitable[T]]
    ) -> None:
        """Do on top of the connection what the caller wants."""
        stream = handshake.stream()
        attempt.connected = self._clock.current_time()
        self.inquiry.ring()
        if self.inquiry.policy.ech and self.inquiry.services_known is not None:
            await self.inquiry.services_known.wait()
        self._succeed(attempt, await establish(stream))

    def _succeed(self, attempt: LiveAttempt, result: T) -> None:
        self._end(attempt)
        if self.inquiry.journal.tracers:
            self.inquiry.journal.attempt_established(attempt.number, attempt.address)
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
        if self.inquiry.journal.tracers:
            self._note(attempt)
            self.inquiry.journal.attempt_failed(attempt.number, attempt.address, error)

    def _note(self, attempt: LiveAttempt) -> None:
        """Say on a failure which attempt that was; errors of foreign sockets pass as they are."""
        if self.opener.native:
            attempt.note(self._began)

    def _cancel(self, attempt: LiveAttempt) -> None:
        self._end(attempt)
        attempt.close()
        if self.inquiry.journal.tracers:
            self.inquiry.journal.attempt_cancelled(attempt.number, attempt.address)

    def _end(self, attempt: LiveAttempt) -> None:
        attempt.ended = self._clock.current_time()
        self._under_way -= 1
        self.inquiry.ring()

    def _discard(self, attempt: LiveAttempt) -> None:
        attempt.close()
        self.inquiry.journal.runner_up_discarded(attempt.number, attempt.address)

    def _abandon(self) -> None:
        """Close whatever is left: the attempt of a race that ran alone, the winner of one that was cancelled."""
        for attempt in self._attempts:
            if attempt.ended is None:
                self._cancel(attempt)
        if self._winner is not None:
            self._discard(self._winner)
