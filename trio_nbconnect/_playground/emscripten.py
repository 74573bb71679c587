"""Emscripten: what Trio asks of a system that Python in a browser does not have.

CPython for WebAssembly (Pyodide) has no threads, no signals, no child processes and no real sockets. A race in virtual
time needs none of them. But Trio makes a few system calls in each run, whatever it runs, and refuses a system without
epoll and kqueue at import. Each stand-in below is one thing that a port of Trio would need
(https://github.com/python-trio/trio/issues/3311); all that Python has itself is left alone.

`install` imports Trio, so it has to come before everybody else who does. It changes modules of the standard library, so
it is for a page or a worker of one's own, and does nothing elsewhere. Waiting for anything outside is left out: whoever
waits for a real socket here waits for ever.
"""

from __future__ import annotations

import errno
import importlib
import ipaddress
import itertools
import os
import select
import signal
import socket
import subprocess  # noqa: F401 - it asks for the system's name, too, and has to see the real one
import sys
from collections.abc import Callable
from typing import ClassVar
from weakref import WeakValueDictionary

_FLAGS = {
    "EPOLLIN": 0x001,
    "EPOLLOUT": 0x004,
    "EPOLLERR": 0x008,
    "EPOLLHUP": 0x010,
    "EPOLLRDHUP": 0x2000,
    "EPOLLEXCLUSIVE": 1 << 28,
    "EPOLLONESHOT": 1 << 30,
    "EPOLLET": 1 << 31,
}
"""Linux's numbers, as in <sys/epoll.h>; Trio combines them and reads them back."""


class WakeUpSocket:
    """One end of a pair; a byte that is sent makes the other end readable, and that is all.

    Trio wakes itself through such a pair: a callback of another thread or of a signal handler sends a byte to end the
    wait for events. Here both ends are in one thread.
    """

    _numbers = itertools.count(1 << 20)
    open: ClassVar[WeakValueDictionary[int, WakeUpSocket]] = WeakValueDictionary()
    """By their numbers, as a kernel's table of descriptors; Trio hands some of them on as bare numbers."""

    def __init__(self) -> None:
        self.peer = self
        self.received = 0
        self._number = next(self._numbers)
        self.open[self._number] = self

    def fileno(self) -> int:
        """Return a number that is no descriptor of this process; only `Epoll` looks at it."""
        return self._number

    def setblocking(self, _flag: bool, /) -> None:
        """Nothing here blocks."""

    def setsockopt(self, *_option: object) -> None:
        """Trio makes the buffers small; there are none."""

    def send(self, data: bytes, /) -> int:
        """Make the other end readable."""
        self.peer.received += len(data)
        return len(data)

    def recv(self, most: int, /) -> bytes:
        """Take what was sent, or say that there is nothing."""
        if not self.received:
            raise BlockingIOError
        taken = min(most, self.received)
        self.received -= taken
        return b"\0" * taken

    def close(self) -> None:
        """Be readable no more."""
        self.received = 0


class Epoll:
    """epoll as far as Trio needs it to wake itself: it knows the ends of wake-up pairs and never sleeps.

    Trio's clock has jumped to the next deadline when it asks for events, so there is nothing to sleep for. A thread
    that may not block (a page's) could not sleep anyway; a port of Trio to real time would return to the browser's
    event loop here, as guest mode does.
    """

    def __init__(self, _sizehint: int = -1, _flags: int = 0) -> None:
        self._masks: dict[int, int] = {}

    def register(self, fd: int | WakeUpSocket, eventmask: int = 0) -> None:
        """Watch the end of a pair; other descriptors are accepted, and are never ready."""
        self._masks[fd if isinstance(fd, int) else fd.fileno()] = eventmask

    def modify(self, fd: int | WakeUpSocket, eventmask: int) -> None:
        """Watch for something else."""
        self.register(fd, eventmask)

    def unregister(self, fd: int | WakeUpSocket) -> None:
        """Watch it no more."""
        self._masks.pop(fd if isinstance(fd, int) else fd.fileno(), None)

    def poll(self, _timeout: float | None = None, _maxevents: int = -1) -> list[tuple[int, int]]:
        """Return who can be read, at once; with EPOLLONESHOT, say so once for each `modify`."""
        wanted = _FLAGS["EPOLLIN"]
        ready = [number for number, mask in self._masks.items() if mask & wanted and _has_received(number)]
        for number in ready:
            if self._masks[number] & _FLAGS["EPOLLONESHOT"]:
                self._masks[number] = 0
        return [(number, wanted) for number in ready]

    def close(self) -> None:
        """Forget them all."""
        self._masks.clear()


def _has_received(number: int) -> bool:
    sock = WakeUpSocket.open.get(number)
    return sock is not None and sock.received > 0


def socketpair(*_kind: object) -> tuple[WakeUpSocket, WakeUpSocket]:
    """Return two ends; Emscripten's own raises EINVAL."""
    one, other = WakeUpSocket(), WakeUpSocket()
    one.peer, other.peer = other, one
    return one, other


def set_wakeup_fd(_fd: int, /, **_options: bool) -> int:
    """Say that there was none before; no signal ever comes. Emscripten's own wants a real descriptor."""
    return -1


def inet_pton(family: int, text: str, /) -> bytes:
    """Read an address of either family; this CPython is built without IPv6."""
    try:
        return _kind(family)(text).packed
    except ipaddress.AddressValueError as error:
        raise OSError(str(error)) from None


def inet_ntop(family: int, packed: bytes, /) -> str:
    """Write an address of either family."""
    if len(packed) != (4 if family == socket.AF_INET else 16):
        raise ValueError("invalid length of packed IP address string")
    return str(_kind(family)(packed))


def _kind(family: int) -> Callable[[str | bytes], ipaddress.IPv4Address | ipaddress.IPv6Address]:
    return ipaddress.IPv4Address if family == socket.AF_INET else ipaddress.IPv6Address


def pidfd_open(_pid: int, _flags: int = 0) -> int:
    """Say that this kernel has no such call; Trio looks for it at import, and would then look in the C library."""
    raise OSError(errno.ENOSYS, "there are no child processes")


def install() -> None:
    """Put the stand-ins in place and import Trio, where this is Emscripten; elsewhere do nothing."""
    if sys.platform == "emscripten":
        put_in_place()
        import_as_on_linux("trio")


def put_in_place() -> None:
    """Replace what is missing or does not work."""
    stand_ins = [
        *((select, name, number) for name, number in _FLAGS.items()),
        (select, "epoll", Epoll),  # Trio's `get_events` polls it
        (socket, "socketpair", socketpair),  # each `trio.run` makes a pair
        (signal, "set_wakeup_fd", set_wakeup_fd),  # each `trio.run` sets it to an end of that pair
        (socket, "inet_pton", inet_pton),  # Trio and we read IPv6 addresses with it
        (socket, "inet_ntop", inet_ntop),
        (os, "pidfd_open", pidfd_open),
    ]
    for module, name, stand_in in stand_ins:
        setattr(module, name, stand_in)


def import_as_on_linux(name: str) -> None:
    """Import a module that takes every system it does not know for one with kqueue, whatever `select` has.

    A port of Trio would ask for what it needs there, and not for the name of the system.
    """
    system, sys.platform = sys.platform, "linux"
    try:
        importlib.import_module(name)
    finally:
        sys.platform = system
