"""Look-ups: the system's `getaddrinfo`, in threads, each shared by all who wait for the same name.

A call of `getaddrinfo` cannot be cancelled, and with a dead name server it takes minutes. So it runs in a thread that
outlives the task that gave up, and three rules keep that from harm. *A look-up lives in its thread, not in a task*: a
task that waits for it may be cancelled and wait again, and the next task that wants the same name finds it under way.
One that everybody has given up is joined for a while only, and then another one begins beside it: the network may be up
again, and the C library, whose query was lost, asks again after five seconds. And dead names do not delay others: the
more look-ups run, the slower the next ones start, so that a crowd at dead names never takes all threads; and the latest
in the queue is next, for its task is the likeliest still to wait.

Refused: `trio.to_thread.run_sync`, whose result is lost when the waiting task is cancelled, and whose limiter counts
the abandoned.
"""

from __future__ import annotations

import copy
import errno
import math
import os
import socket
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from operator import itemgetter
from typing import Any, Protocol, TypeAlias, TypeVar

import trio

from .._address import Address
from .system_files import names_seen

AT_ONCE = 64
"""How many look-ups may run without any delay."""

PAUSE = 0.002
"""Seconds between the starts of two beyond those; twice as long for every `AT_ONCE` more that run. So a name that
comes when 300 are stuck waits for 26 ms, and a crowd takes 23 s to get to `AT_MOST`."""

AT_MOST = 512
"""How many run at all; each holds a thread until the C library gives up, mostly after 10 s. Half of them may be of one
family."""

ASK_AGAIN = 0.25
"""Seconds after which one that is not the latest in the queue looks whether it is its turn."""

JOINED_FOR = 1.0
"""Seconds after which nobody joins a look-up that nobody waits for any more, unless `AT_ONCE` run. So a name whose
look-ups fail after ten seconds holds ten threads at most, however often somebody gives it up."""

ADDRESSES = 128
"""How many addresses of each family count in one answer. Large services publish eight; of those who publish thousands
each one would be an attempt, and this host a source of SYNs against whomever they name."""

T = TypeVar("T")

_Key: TypeAlias = tuple[str, int, tuple[tuple[int, ...], ...]]
"""A name, a family, and what was seen of the system's files."""


class LookUp(Protocol):
    """A look-up under way."""

    async def wait(self) -> list[Address]:
        """Return the addresses in the system's order. May be cancelled and called again: nothing is lost.

        Raises:
            OSError: There are none; `socket.gaierror` says why.
        """


class SystemLookUp:
    """One call of `getaddrinfo`."""

    __slots__ = (
        *("_done", "_entries", "_error", "_look_ups", "_next", "_overdue_at", "_port"),
        *("is_started", "key", "waiting"),
    )

    def __init__(self, look_ups: LookUps, key: _Key, port: int) -> None:
        self._look_ups = look_ups
        self._port = port
        self._done = trio.Event()
        self._entries: Sequence[Any]
        self._error: BaseException | None = None
        self._overdue_at = math.inf
        self._next: SystemLookUp | None = None  # what was begun beside it
        self.key = key
        self.is_started = False
        self.waiting = 0  # how many wait for it now

    async def wait(self) -> list[Address]:
        """Return the addresses, when they are known."""
        self.waiting += 1
        try:
            while not self.is_started:
                self._look_ups.want(self)
                with trio.CancelScope(deadline=self._look_ups.turn_of(self)):
                    await self._done.wait()
            await self._done.wait()
        finally:
            self.waiting -= 1
            if not self.waiting:
                self._look_ups.abandon(self)
        if self._error is not None:
            raise copy.copy(self._error)  # several tasks may have to raise it
        return [from_getaddrinfo(entry[0], entry[4]) for entry in self._entries]

    def start(self) -> None:
        """Have a thread call `getaddrinfo`.

        Raises:
            RuntimeError: The system has no more threads.
        """
        self.is_started = True
        self._overdue_at = trio.current_time() + JOINED_FOR
        host, family, _ = self.key
        question = host.encode("ascii"), self._port, family, socket.SOCK_STREAM
        call = partial(_ask, socket.getaddrinfo, *question)
        token = trio.lowlevel.current_trio_token()

        def finish_soon(outcome: Any) -> None:
            """Bring the result to Trio's thread, if that still runs."""
            with suppress(trio.RunFinishedError):
                token.run_sync_soon(self._finish, outcome)

        trio.lowlevel.start_thread_soon(call, finish_soon)  # a name would cost a tenth of the whole connect

    @property
    def is_overdue(self) -> bool:
        """Whether who comes now begins another one."""
        return not self.waiting and trio.current_time() >= self._overdue_at

    def begin_another(self) -> SystemLookUp:
        """Return a look-up of the same name to be started beside this one; whichever finds something counts."""
        self._next = SystemLookUp(self._look_ups, self.key, self._port)
        return self._next

    def refuse(self, error: BaseException) -> None:
        """End with an error."""
        self.is_started = True
        self._error = error.with_traceback(None)
        self._done.set()

    def _finish(self, outcome: Any) -> None:
        """Hand what the thread has brought (an `outcome.Outcome`) to all who wait."""
        try:
            entries = first_of_each_family(outcome.unwrap(), itemgetter(0))
        except BaseException as error:  # noqa: BLE001 - it comes from a thread: whoever waits raises it
            if not self._done.is_set():
                self.refuse(error)
            self._look_ups.forget(self)
        else:
            self._take(entries)
        self._look_ups.thread_ended()

    def _take(self, entries: Sequence[Any]) -> None:
        """Be done, and have the ones that were begun beside this one be done as well; there may be thousands."""
        look_up: SystemLookUp | None = self
        while look_up is not None:
            if not look_up._done.is_set():
                look_up._entries = entries
                look_up._done.set()
            self._look_ups.forget(look_up)
            look_up = look_up._next


def _ask(getaddrinfo: Callable[..., Sequence[Any]], *question: object) -> Sequence[Any]:
    """Ask the C library. Without a descriptor for its files and sockets it says that there is no such name, or less."""
    try:
        return getaddrinfo(*question)
    except OSError:
        try:
            os.close(os.open(os.devnull, os.O_RDONLY))
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                raise OSError(error.errno, error.strerror) from None
        raise


class LookUps:
    """The look-ups of one `trio.run`, one for each name and family, while none is stuck and no file has changed."""

    __slots__ = ("_next_at", "_queued", "_running", "_threads")

    def __init__(self) -> None:
        self._threads = 0
        self._running: dict[_Key, SystemLookUp] = {}
        self._queued: dict[_Key, SystemLookUp] = {}
        self._next_at = -math.inf  # when the next may start, if `AT_ONCE` run

    def join(self, host: str, port: int, family: int) -> SystemLookUp:
        """Return the look-up of this name and family that is under way, or begin one.

        One that was begun under other files may mean something else, and wait for a server that is not asked any more.
        """
        key = (host.lower(), family, names_seen())
        look_up = self._queued.get(key) or self._running.get(key)
        if look_up is None or (look_up.is_overdue and self._threads < AT_ONCE):
            look_up = SystemLookUp(self, key, port) if look_up is None else look_up.begin_another()
            self.want(look_up)
        return look_up

    def want(self, look_up: SystemLookUp) -> None:
        """Start a look-up as soon as there is room."""
        self._queued.setdefault(look_up.key, look_up)
        self._start_queued()

    def turn_of(self, look_up: SystemLookUp) -> float:
        """Say when one that is queued may start: the latest as soon as any may."""
        is_next = next(reversed(self._queued), None) == look_up.key
        return self._next_at if is_next else trio.current_time() + ASK_AGAIN

    def abandon(self, look_up: SystemLookUp) -> None:
        """Do not start what no task waits for any more."""
        if self._queued.get(look_up.key) is look_up:
            del self._queued[look_up.key]

    def forget(self, look_up: SystemLookUp) -> None:
        """Let go of a look-up whose result is there; one that was begun since, for the same name, goes on."""
        if self._running.get(look_up.key) is look_up:
            del self._running[look_up.key]

    def thread_ended(self) -> None:
        """Let another one start in its place."""
        self._threads -= 1
        self._start_queued()

    def _start_queued(self) -> None:
        while self._queued and (self._threads < AT_ONCE or self._next_at <= trio.current_time()):
            key, look_up = self._queued.popitem()
            count = self._threads
            if count >= (AT_MOST // 2 if key[1] else AT_MOST):
                look_up.refuse(OSError(errno.EAGAIN, f"{count} look-ups have not ended yet: {key[0]}"))
                continue
            try:
                look_up.start()
            except RuntimeError as error:
                look_up.refuse(OSError(errno.EAGAIN, f"no thread to look {key[0]} up: {error}"))
                continue
            self._threads += 1
            self._running[key] = look_up
            self._next_at = trio.current_time() + PAUSE * 2 ** (count / AT_ONCE - 1)


_look_ups: trio.lowlevel.RunVar[LookUps] = trio.lowlevel.RunVar("trio_nbconnect.look_ups")


def look_ups() -> LookUps:
    """Return the look-ups of this `trio.run`."""
    try:
        return _look_ups.get()
    except LookupError:
        _look_ups.set(LookUps())
        return _look_ups.get()


def not_looked_up(host: str) -> OSError:
    """Say why a name is not looked up (RFC 6761, section 6.4; RFC 7686, section 2)."""
    zone = host.removesuffix(".").rpartition(".")[2]
    return socket.gaierror(socket.EAI_NONAME, f"names below {zone} are not looked up: {host}")


def first_of_each_family(found: Sequence[T], family_of: Callable[[T], int]) -> Sequence[T]:
    """Leave out what is beyond `ADDRESSES` of a family; the order stays."""
    if len(found) <= ADDRESSES:
        return found
    counted: Counter[int] = Counter()
    kept = []
    for item in found:
        family = family_of(item)
        counted[family] += 1
        if counted[family] <= ADDRESSES:
            kept.append(item)
    return kept


def from_getaddrinfo(family: int, sockaddr: tuple[Any, ...]) -> Address:
    """Read an entry of the system's resolver; its scope is in the number, and may be in the text as well."""
    if "%" not in sockaddr[0]:
        return Address(_member(family), *sockaddr)
    host, port, *rest = sockaddr
    flow_info, scope_id = (*rest, 0, 0)[:2]
    return Address(_member(family), host.partition("%")[0], port, flow_info, scope_id)


def from_hook(family: int, sockaddr: Any) -> Address:
    """Read an entry of a resolver of Trio's hook: `connect` would take a path as well, and an address as bytes."""
    if isinstance(sockaddr, (str, bytes)):
        return Address(_member(family), os.fsdecode(sockaddr), 0)
    host, *rest = sockaddr
    return from_getaddrinfo(family, (host.decode("ascii") if isinstance(host, bytes) else host, *rest))


def _member(family: int) -> socket.AddressFamily:
    """The standard library has it as the enum's member already, which is slow to look up; a hook may give a number."""
    return family if isinstance(family, socket.AddressFamily) else socket.AddressFamily(family)
