"""What every test has: the `--scenarios` option, and a watch over descriptors."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest


pytest_plugins = ["pytester"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let `pytest tests/test_scenarios.py --scenarios FILE` run the rows of another table."""
    parser.addoption("--scenarios", type=Path, default=None, metavar="FILE", help="a table of scenarios to run")


def open_sockets() -> set[str]:
    """Return the kernel's names of this process's sockets."""
    sockets = set()
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
    """Fail a test that leaves a socket behind; no garbage collection comes to its help."""
    gc.collect()
    before = open_sockets()
    gc.disable()
    try:
        yield
        assert not open_sockets() - before, "the test left sockets open"
    finally:
        gc.enable()
