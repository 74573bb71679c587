"""Attempt: one of a race, from its first packet to its end (RFC 8305, section 5).

What lives here: what a race knows of an attempt under way, and how whatever ends it becomes an `OSError` with a note.
What does not: when it begins and what follows from its end; that is `_race`.
"""

from __future__ import annotations

import errno
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Protocol

import trio

from .._address import Address
from .._connect.handshake import HandshakeState
from .._errors import Attempt, Phase, os_error
from .._policy import Policy


class AnyHandshake(Protocol):
    """What a race needs of a handshake, the kernel's or a hooked one."""

    state: HandshakeState

    async def settle(self) -> None: ...
    def news(self) -> Awaitable[object]: ...
    def look(self) -> None: ...
    def failure(self) -> Exception | None: ...
    def abort(self) -> None: ...
    def round_trip_time(self) -> float | None: ...
    def stream(self) -> trio.SocketStream: ...


class AnyOpener(Protocol):
    """Who begins them."""

    @property
    def native(self) -> bool: ...
    def begin(self, address: Address, /) -> AnyHandshake: ...


@dataclass(slots=True, eq=False)
class LiveAttempt:
    """One attempt under way, and then what became of it. Times are seconds on Trio's clock."""

    number: int
    address: Address
    started: float
    delay: float
    """How long the next attempt waits for this one; settled when it starts."""
    handshake: AnyHandshake | None = field(init=False, default=None)
    """None until a packet could be sent."""
    connected: float | None = field(init=False, default=None)
    """When TCP was connected, if something is to be established on top of it."""
    ended: float | None = field(init=False, default=None)
    error: OSError | None = field(init=False, default=None)
    _is_noted: bool = field(init=False, default=False)

    def look(self) -> None:
        """See what the news of its handshake are."""
        if self.handshake is not None:
            self.handshake.look()

    def close(self) -> None:
        """Close its socket, if it has one, at once."""
        if self.handshake is not None:
            self.handshake.abort()

    def round_trip_time(self) -> float | None:
        """What the handshake, just over, tells about the route; None if nothing is sure.

        Where the kernel does not say, the handshake's own time will do if it is under a second; after that the SYN has
        been sent again (RFC 6298, section 2.1), and the answer may be to either (section 3).
        """
        rtt = None if self.handshake is None else self.handshake.round_trip_time()
        elapsed = trio.current_time() - self.started
        return elapsed if rtt is None and elapsed < 1 else rtt

    def next_is_due(self, policy: Policy, *, crowded: bool) -> float:
        """Section 5: when the next attempt is due, if this one, the newest, does not fail.

        Progress extends the delay: the attempt that has completed TCP is likely to be established soon.
        """
        delay = max(self.delay, policy.maximum_delay) if crowded else self.delay
        due = self.started + delay
        if self.connected is not None:
            due = max(due, min(self.started + policy.maximum_delay, self.connected + delay))
        return due

    def note(self, began: float) -> None:
        """Write on its failure which attempt that was of a race that began then; once, and only if anybody sees it."""
        if self.error is not None and not self._is_noted:
            self._is_noted = True
            note = f"attempt {self.number}, after {self.started - began:.3f} s: {self.report()}"
            self.error.__dict__.setdefault("__notes__", []).append(note)  # `add_note`, which Python 3.10 lacks

    def report(self) -> Attempt:
        """Say what became of it, or what it is doing now."""
        return Attempt(
            number=self.number,
            address=self.address,
            phase=Phase.HANDSHAKE if self.connected is None else Phase.ESTABLISH,
            started=self.started,
            ended=trio.current_time() if self.ended is None else self.ended,
            error=self.error,
        )


def as_os_error(error: Exception, address: Address) -> OSError:
    """What broke a stream, or took a handshake on top of it too long, as the failure of an attempt."""
    if isinstance(error, OSError):
        return error
    if isinstance(error.__cause__, OSError):
        return error.__cause__
    number = errno.ETIMEDOUT if isinstance(error, trio.TooSlowError) else errno.ECONNRESET
    failure = os_error(number, address)
    failure.__cause__ = error.with_traceback(None)
    return failure


def ruled_out(address: Address) -> OSError:
    """Why an address of a family that is not used was not even attempted."""
    return os_error(errno.EAFNOSUPPORT, f"{address} (its family is ruled out by local_address or Policy.families)")
