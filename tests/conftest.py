"""What every test has: the options `--scenarios` and `--vectors`, and a watch over descriptors."""

from __future__ import annotations

import gc
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

import trio_nbconnect

pytest_plugins = ["pytester"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let `test_scenarios.py --scenarios FILE` and `test_rfc6724.py --vectors FILE` run the rows of another table."""
    parser.addoption("--scenarios", type=Path, default=None, metavar="FILE", help="a table of scenarios to run")
    parser.addoption("--vectors", type=Path, default=None, metavar="FILE", help="a table of RFC 6724 vectors to run")


def pytest_configure(config: pytest.Config) -> None:
    """Let a module say `pytestmark = pytest.mark.virtual_time`; load what is public, for doctest to find it.

    What a shell starts in the background ignores Ctrl-C, and so would what the tests start, who send it.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line("markers", "needs_ipv6: skip the test where this machine has no IPv6")
    config.addinivalue_line("markers", "virtual_time: run the test on a clock that jumps to what happens next")
    for name in trio_nbconnect.__all__:
        getattr(trio_nbconnect, name)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the tests so marked in virtual time, before any marker that says otherwise; skip what cannot run here."""
    no_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
    for item in items:
        if item.get_closest_marker("needs_ipv6"):
            item.add_marker(no_ipv6)
        if item.get_closest_marker("virtual_time"):
            item.add_marker(pytest.mark.trio(run=_run_virtually), append=False)


def pytest_collection_finish() -> None:
    """Keep what was imported out of each test's garbage collection."""
    gc.collect()
    gc.freeze()


def has_ipv6() -> bool:
    """Say whether this machine has the loopback address of IPv6."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def _run_virtually(main: Callable[[], Awaitable[Any]], clock: object, instruments: Sequence[Any]) -> Any:
    """Be `trio.run`, with a clock of our own."""
    return trio.run(main, clock=MockClock(autojump_threshold=0), instruments=instruments)


def open_sockets() -> set[str]:
    """Return the kernel's names of this process's sockets; none where there is no /proc, and nothing is watched."""
    sockets: set[str] = set()
    if not os.path.isdir("/proc/self/fd"):
        return sockets
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{descriptor}")
        except OSError:  # the descriptor that listed the folder
            continue
        if target.startswith("socket:"):
            sockets.add(target)
    return sockets


@pytest.fixture(autouse=True)
def no_socket_left_open() -> Iterator[None]:
    """Fail a test that leaves a socket behind; no garbage collection comes to its help.

    What earlier tests have left is kept out of the collections of this one: they were half of the suite's time.
    """
    gc.collect()
    gc.freeze()
    before = open_sockets()
    gc.disable()
    try:
        yield
        assert not open_sockets() - before, "the test left sockets open"
    finally:
        gc.enable()
