"""Blocking: what the standard library has for those who may wait; in turn, for nothing else is possible."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence

from .cases import Case
from .clock import Figures, Stopwatch
from .target import Target

Way = Callable[[Target], None]


def tcp(to: Target) -> None:
    socket.create_connection((to.host, to.port)).close()


def unix(to: Target) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(to.path)


def tls(to: Target) -> None:
    assert to.context is not None
    with socket.create_connection((to.host, to.port)) as sock:
        to.context.wrap_socket(sock, server_hostname=to.host).close()


def sock(to: Target) -> None:
    with socket.socket() as mine:
        mine.connect(to.sockaddr)


def sample(case: Case, way: Way, targets: Sequence[Target], count: int) -> Figures:
    """Run `count` connects of a case."""
    target = targets[0]
    watch = Stopwatch()
    for _ in range(count):
        way(target)
    return watch.figures(count)
