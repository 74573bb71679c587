"""System calls: each one that a connect makes fails, with each number that it may fail with, once and for ever.

The sockets are the kernel's; the one call that is to fail does so before it reaches the kernel.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import trio

import trio_nbconnect as nb
from trio_nbconnect._connect.network import KernelNetwork

from .findings import Report
from .leftovers import leftovers
from .operations import Operation, close, connector
from .place import Place

FAILURES = {
    "socket": "EACCES EAFNOSUPPORT EINVAL EMFILE ENFILE ENOBUFS ENOMEM EPERM EPROTONOSUPPORT",
    "bind": "EACCES EADDRINUSE EADDRNOTAVAIL EAFNOSUPPORT EBADF EINVAL ENOBUFS ENOMEM ENOTSOCK",
    "connect": "EACCES EADDRINUSE EADDRNOTAVAIL EAFNOSUPPORT EAGAIN EALREADY EBADF ECONNREFUSED ECONNRESET EFAULT "
    "EHOSTDOWN EHOSTUNREACH EINPROGRESS EINTR EINVAL EISCONN ENETDOWN ENETUNREACH ENOBUFS ENOMEM ENOTSOCK EPERM "
    "EPROTOTYPE ETIMEDOUT",
    "getsockopt": "EBADF EINVAL ENOBUFS ENOMEM ENOPROTOOPT ENOTSOCK",
    "SO_ERROR": "EAGAIN ECONNREFUSED ECONNRESET EHOSTUNREACH EINPROGRESS EINTR ENETUNREACH ETIMEDOUT",
    "getpeername": "EBADF EINVAL ENOBUFS ENOTCONN ENOTSOCK",
    "getsockname": "EBADF EINVAL ENOBUFS ENOTSOCK",
    "setsockopt": "EACCES EBADF EDOM EINVAL ENOMEM ENOPROTOOPT ENOTSOCK EPERM",
}
"""What may fail how; `SO_ERROR` is a value that `getsockopt` returns."""


@dataclass
class Failing:
    """Which call fails how, from which one on, and how often."""

    call: str
    number: int
    first: int
    for_ever: bool
    made: int = 0

    def fails(self, call: str) -> bool:
        """Whether this call is to fail; calls are counted from 1."""
        if call != self.call:
            return False
        self.made += 1
        return self.made == self.first or (self.for_ever and self.made > self.first)

    def check(self, call: str) -> None:
        """Raise if this call is to fail."""
        if self.fails(call):
            raise OSError(self.number, "made to fail")


class FailingSocket(socket.socket):
    """A socket of the kernel's whose calls fail when they are to."""

    failing: Failing

    def bind(self, address: Any, /) -> None:
        self.failing.check("bind")
        super().bind(address)

    def connect_ex(self, address: Any, /) -> int:
        return self.failing.number if self.failing.fails("connect") else super().connect_ex(address)

    def getpeername(self) -> Any:
        self.failing.check("getpeername")
        return super().getpeername()

    def getsockname(self) -> Any:
        self.failing.check("getsockname")
        return super().getsockname()

    def getsockopt(self, *arguments: Any) -> Any:
        self.failing.check("getsockopt")
        if arguments[1] == socket.SO_ERROR and self.failing.fails("SO_ERROR"):
            return self.failing.number
        return super().getsockopt(*arguments)

    def setsockopt(self, *arguments: Any) -> None:
        self.failing.check("setsockopt")
        super().setsockopt(*arguments)


class FailingNetwork(KernelNetwork):
    """The kernel's network, on which one system call fails."""

    def __init__(self, failing: Failing) -> None:
        self.failing = failing

    def open(self, family: socket.AddressFamily, protocol: int = 0) -> socket.socket:
        self.failing.check("socket")
        sock = FailingSocket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK, protocol)
        sock.failing = self.failing
        return sock

    def stream(self, sock: socket.socket) -> trio.SocketStream:
        return super().stream(socket.socket(fileno=sock.detach()))


class CountSteps(trio.abc.Instrument):
    """Count what Trio runs, to see whether somebody spins."""

    steps = 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """Implement the instrument."""
        self.steps += 1


def failures(*, calls: int = 2) -> Iterator[Failing]:
    """All that may fail, in the first few calls."""
    for call, names in FAILURES.items():
        for name in names.split():
            for first in range(1, calls + 1):
                for for_ever in (False, True):
                    yield Failing(call, getattr(errno, name), first, for_ever)


OPTIONS = nb.SocketOptions(keepalive=nb.KeepAlive(idle=30))


async def fail_each_call(operation: Operation, place: Place, *, calls: int = 2) -> Report:
    """Run the operation once for each failure."""
    report = Report(f"{operation.name}, each system call failing")
    for failing in failures(calls=calls):
        often = "for ever" if failing.for_ever else "once"
        label = f"{failing.call} {errno.errorcode[failing.number]} {often} from call {failing.first} on"
        with leftovers() as left:
            await _once(operation, place, failing, label, report)
        report.faults += [f"{label}: {what} left" for what in left.found]
    return report


async def _once(operation: Operation, place: Place, failing: Failing, label: str, report: Report) -> None:
    made = connector(network=FailingNetwork(failing), options=OPTIONS, local_address="127.0.0.1")
    counter = CountSteps()
    trio.lowlevel.add_instrument(counter)
    with trio.move_on_after(0.15) as scope, report.counting(label):
        close(await operation.open(place, made))
    trio.lowlevel.remove_instrument(counter)
    report.outcomes["went on for ever"] += scope.cancelled_caught
    if counter.steps > 2000:
        report.faults.append(f"{label}: {counter.steps} steps, so it spins")
