"""A pytest plugin that puts our drop-ins where Trio's own functions live, before Trio's tests import them.

`TRIO_SUITE_INSTALLS` says what is installed: `ours`; `nothing`, which must be noticed; or a `broken` function, which
Trio's tests must notice. Collection fails when Trio's test modules have other functions than ours.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from typing import Any

import pytest
import trio

import trio_nbconnect

HOMES: dict[str, str] = {
    "open_tcp_stream": "trio._highlevel_open_tcp_stream",
    "open_unix_socket": "trio._highlevel_open_unix_stream",
    "open_ssl_over_tcp_stream": "trio._highlevel_ssl_helpers",
}
"""Where each function lives; the module that tests it is of the same name."""


def pytest_configure() -> None:
    """Install the functions; nothing of Trio's tests has been imported yet."""
    installs = os.environ["TRIO_SUITE_INSTALLS"]
    if installs != "nothing":
        for name, home in HOMES.items():
            setattr(importlib.import_module(home), name, function(name))
            setattr(trio, name, function(name))


def pytest_collection_finish() -> None:
    """Make sure that Trio's tests test ours."""
    for name, home in HOMES.items():
        tests = importlib.import_module(home.replace("trio._", "trio._tests.test_"))
        if getattr(tests, name) is not function(name):
            raise pytest.UsageError(f"{tests.__name__} tests another {name} than ours")


def function(name: str) -> Callable[..., Any]:
    """Return the function to be tested: ours, or one that is nearly right."""
    if os.environ["TRIO_SUITE_INSTALLS"] == "broken" and name == "open_tcp_stream":
        return one_after_the_other
    ours: Callable[..., Any] = getattr(trio_nbconnect, name)
    return ours


async def one_after_the_other(
    host: str | bytes,
    port: int,
    *,
    happy_eyeballs_delay: float | None = 0.25,
    local_address: str | None = None,
) -> trio.SocketStream:
    """Connect like `open_tcp_stream`, but take no account of the delay."""
    return await trio_nbconnect.open_tcp_stream(
        host, port, happy_eyeballs_delay=float("inf"), local_address=local_address
    )
