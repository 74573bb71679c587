"""Simulated bytes: one side of a connection, what it carries and how it ends.

The problem: a connection ends in more ways than one, and each side learns of it in its own time. Bytes that have come
are still there after a reset, an end of file ends one direction only, and what is sent to a closed peer is lost
without a word.

How we solve it: a `ByteStream` for each side, which holds what came in and was not read, and knows the other side for
as long as there is a connection. Both are changed at once, by whichever of them acts; nothing is on the way.

What lives here: bytes, ends of file, resets and the error that is kept for whoever asks next. What does not: how sides
meet, addresses, options and waiting; those are `Endpoint`'s, in `_simulated`. What we left out: a delay for bytes, as
only a connect takes time, and urgent ones.
"""

from __future__ import annotations

import enum
import errno
import os
import socket
from dataclasses import dataclass, field
from typing import Any

import trio

CAPACITY = 65536
"""How many unread bytes one direction of a connection holds; then the sender has to wait."""


class State(enum.Enum):
    """How far a socket has come."""

    FRESH = enum.auto()
    HANDSHAKING = enum.auto()
    CONNECTED = enum.auto()
    FAILED = enum.auto()  # also a connection that was reset, or has ended in both directions
    CLOSED = enum.auto()


@dataclass(slots=True, eq=False, repr=False)
class ByteStream:
    """One side of a connection, from before there is one until it is closed."""

    state: State = State.FRESH
    news: trio.Event = field(default_factory=trio.Event)
    """Set, and replaced, when something has changed."""
    _far: ByteStream | None = None  # while connected, and only then
    _error: int = 0
    _inbox: bytearray = field(default_factory=bytearray)
    _eof_sent: bool = False
    _eof_received: bool = False

    def meet(self, far: ByteStream) -> None:
        """Become connected to the other side."""
        far.state = self.state = State.CONNECTED
        far._far, self._far = self, far

    def send(self, data: Any) -> int:
        """Hand over as many bytes as there is room for. A peer that has closed answers them with a reset."""
        self.check_open()
        if self.state is State.HANDSHAKING:
            raise os_error(errno.EAGAIN)
        if self._error or self._far is None or self._eof_sent:
            raise os_error(self.take_error() or errno.EPIPE)
        if self._far.state is State.CLOSED:
            self.fail(errno.EPIPE)
            return len(data)
        taken = data[: CAPACITY - len(self._far._inbox)]
        if data and not taken:
            raise os_error(errno.EAGAIN)
        self._far._inbox += taken
        self._far._wake()
        return len(taken)

    def recv(self, most: int) -> bytes:
        """Take what has come, at most so many bytes; none at the end."""
        self.check_open()
        if self._inbox:
            taken = bytes(self._inbox[:most])
            del self._inbox[:most]
            if self._far is not None:
                self._far._wake()
            return taken
        if self._eof_received:
            return b""
        if self._error:
            raise os_error(self.take_error())
        if self.state is State.FAILED:
            return b""
        raise os_error(errno.ENOTCONN if self.state is State.FRESH else errno.EAGAIN)

    def shutdown(self, flag: int) -> None:
        """Send an end of file; `SHUT_RD` changes nothing."""
        self.check_connected()
        if flag != socket.SHUT_RD and self._far is not None:
            self._eof_sent = True
            self._far._receive_eof()
            self._end_if_both_have()

    def close(self, *, reset: bool) -> None:
        """Close, and wake whoever waits. Bytes that nobody has read turn the end of file into a reset, too."""
        far, self._far = self._far, None
        self.state = State.CLOSED
        if far is not None and (self._inbox or reset):
            far.fail(errno.ECONNRESET)
        elif far is not None:
            far._receive_eof()
        self._wake()

    def fail(self, number: int) -> None:
        """Be no connection, or one no longer; the errno says why, and 0 that nothing went wrong."""
        self.state, self._error, self._far = State.FAILED, number, None
        self._wake()

    def take_error(self) -> int:
        """Return the errno that nobody has heard of yet, and forget it."""
        self._error, error = 0, self._error
        return error

    def is_writable(self) -> bool:
        """Whether `send` has room, or an error to report; a socket that never began to connect is writable."""
        if self.state is State.HANDSHAKING:
            return False
        return self._far is None or self._far.state is State.CLOSED or len(self._far._inbox) < CAPACITY

    def is_readable(self) -> bool:
        """Whether `recv` has bytes, an end of file or an error."""
        idle = self.state in (State.HANDSHAKING, State.CONNECTED)
        return not idle or bool(self._inbox) or self._eof_received

    def check_open(self) -> None:
        """Raise EBADF once closed."""
        if self.state is State.CLOSED:
            raise os_error(errno.EBADF)

    def check_connected(self) -> None:
        """Raise ENOTCONN while there is no connection."""
        self.check_open()
        if self.state is not State.CONNECTED:
            raise os_error(errno.ENOTCONN)

    def _receive_eof(self) -> None:
        self._eof_received = True
        self._end_if_both_have()
        self._wake()

    def _end_if_both_have(self) -> None:
        if self._eof_sent and self._eof_received:
            self.fail(0)

    def _wake(self) -> None:
        self.news.set()
        self.news = trio.Event()


def os_error(number: int) -> OSError:
    """Return what Python raises for an errno."""
    return OSError(number, os.strerror(number))
