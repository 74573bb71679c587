"""Look-ups: the system's `getaddrinfo`, in threads, each shared by all who wait for the same name.

A call of `getaddrinfo` cannot be cancelled, and behind a dead name server it takes minutes. So it runs in a thread that
outlives whoever gave up, and two things keep that from harm. *A look-up lives in its thread, not in a task*: who waits
may be cancelled and wait again, and the next one who asks for the same name finds it under way. And what nobody waits
for any more takes no place from other names: abandoned look-ups do not count against those that may run at once.

Refused: `trio.to_thread.run_sync`, whose result is lost when the waiting task is cancelled, and whose limiter counts
the abandoned.
"""

from __future__ import annotations

import copy
import errno
import socket
from contextlib import suppress
from functools import partial
from typing import Any, Protocol

import trio

from .._address import Address

AT_ONCE = 64
"""How many look-ups that somebody waits for run at once; others wait for their turn."""

AT_MOST = 256
"""How many run at all, abandoned ones included: each holds a thread until the C library gives up."""

_Key = tuple[str, int]


class LookUp(Protocol):
    """A look-up under way."""

    async def wait(self) -> list[Address]:
        """Return the addresses in the system's order. May be cancelled and called again: nothing is lost.

        Raises:
            OSError: There are none; `socket.gaierror` says why.
        """


class SystemLookUp:
    """One call of `getaddrinfo`."""

    __slots__ = ("_done", "_key", "_look_ups", "_outcome", "_port", "is_running", "waiting")

    def __init__(self, look_ups: LookUps, key: _Key, port: int) -> None:
        self._look_ups = look_ups
        self._key = key
        self._port = port
        self._done = trio.Event()
        self._outcome: Any = None  # the `outcome.Outcome` that Trio's thread hands over
        self.is_running = False
        self.waiting = 0

    async def wait(self) -> list[Address]:
        """Return the addresses, when they are known."""
        self._look_ups.wait_begins(self, self._key)
        try:
            await self._done.wait()
        finally:
            self._look_ups.wait_ends(self, self._key)
        try:
            entries = self._outcome.unwrap()
        except OSError as error:
            raise copy.copy(error) from None  # it may be raised in several tasks
        return [from_getaddrinfo(entry[0], entry[4]) for entry in entries]

    def start(self) -> None:
        """Have a thread call `getaddrinfo`."""
        host, family = self._key
        call = partial(socket.getaddrinfo, host.encode("ascii"), self._port, family, socket.SOCK_STREAM)
        token = trio.lowlevel.current_trio_token()

        def finish_soon(outcome: Any) -> None:
            """Bring the result to Trio's thread, if that still runs."""
            with suppress(trio.RunFinishedError):
                token.run_sync_soon(self.finish, outcome)

        self.is_running = True
        try:
            trio.lowlevel.start_thread_soon(call, finish_soon, "trio_nbconnect look-up")
        except RuntimeError as error:  # the system has no more threads
            self.fail(OSError(errno.EAGAIN, f"no thread to look {host} up: {error}"))

    def fail(self, error: OSError) -> None:
        """End without having asked anybody."""
        self.finish(_Failed(error))

    def finish(self, outcome: Any) -> None:
        """Hand the result to all who wait."""
        self._outcome = outcome
        self._look_ups.ended(self, self._key)
        self._done.set()


class _Failed:
    """An outcome that came from no thread."""

    def __init__(self, error: OSError) -> None:
        self._error = error

    def unwrap(self) -> Any:
        raise self._error


class LookUps:
    """The look-ups of one `trio.run`, one for each name and family."""

    __slots__ = ("_queued", "_running", "_waited_for")

    def __init__(self) -> None:
        self._running: dict[_Key, SystemLookUp] = {}
        self._queued: dict[_Key, SystemLookUp] = {}  # in the order in which they were asked for
        self._waited_for = 0  # how many of the running ones somebody waits for

    def join(self, host: str, port: int, family: int) -> SystemLookUp:
        """Return the look-up of this name and family that is under way, or begin one; it starts when waited for."""
        key = (host.lower(), family)
        return self._running.get(key) or self._queued.get(key) or SystemLookUp(self, key, port)

    def wait_begins(self, look_up: SystemLookUp, key: _Key) -> None:
        """Count one more who waits, and start the look-up if there is room."""
        look_up.waiting += 1
        if look_up.is_running:
            self._waited_for += look_up.waiting == 1 and key in self._running
        elif key not in self._queued:
            self._queued[key] = look_up
            self._start_queued()

    def wait_ends(self, look_up: SystemLookUp, key: _Key) -> None:
        """Count one fewer; a look-up that nobody waits for gives its place to the next."""
        look_up.waiting -= 1
        if look_up.waiting:
            return
        if self._running.get(key) is look_up:
            self._waited_for -= 1
        elif self._queued.get(key) is look_up:
            del self._queued[key]
        self._start_queued()

    def ended(self, look_up: SystemLookUp, key: _Key) -> None:
        """Forget a look-up whose result is there."""
        if self._running.get(key) is look_up:
            del self._running[key]
            self._waited_for -= look_up.waiting > 0
        self._start_queued()

    def _start_queued(self) -> None:
        while self._queued and self._waited_for < AT_ONCE:
            key = next(iter(self._queued))
            look_up = self._queued.pop(key)
            if len(self._running) >= AT_MOST:
                text = f"{AT_MOST} look-ups have not ended, for most of which nobody waits any more: {key[0]}"
                look_up.fail(OSError(errno.EAGAIN, text))
                continue
            self._running[key] = look_up
            self._waited_for += 1
            look_up.start()


_look_ups: trio.lowlevel.RunVar[LookUps] = trio.lowlevel.RunVar("trio_nbconnect.look_ups")


def look_ups() -> LookUps:
    """Return the look-ups of this `trio.run`."""
    try:
        return _look_ups.get()
    except LookupError:
        _look_ups.set(LookUps())
        return _look_ups.get()


def from_getaddrinfo(family: int, sockaddr: tuple[Any, ...]) -> Address:
    """Read an entry of the system's resolver; its scope is in the number, and may be in the text as well."""
    if len(sockaddr) == 2 and "%" not in sockaddr[0]:
        return Address(_member(family), *sockaddr)
    host, port, *rest = sockaddr
    flow_info, scope_id = (*rest, 0, 0)[:2]
    return Address(_member(family), host.partition("%")[0], port, flow_info, scope_id)


def _member(family: int) -> socket.AddressFamily:
    """The standard library has it as the enum's member already, which is slow to look up; a hook may give a number."""
    return family if isinstance(family, socket.AddressFamily) else socket.AddressFamily(family)
