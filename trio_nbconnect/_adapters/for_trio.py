"""Patch: code that calls Trio itself connects through us, for as long as a block lasts.

The problem: trio-websocket and many others call `trio.open_tcp_stream`, and take no connector from anybody.

How we solve it: `patched_trio` puts functions with Trio's parameters where Trio keeps its own, in `trio` and in their
home modules, and puts back what was there on every way out. That is a change to the whole process, so it is a block
that somebody writes, and never what an import does.

Blocks may overlap in any way, as those of two tasks do: each function knows what it stands in for and whether its
block is over. One whose block is over only passes calls on, and is taken away as soon as it is on top.

What lives here: that. What it cannot reach: a name that was imported from Trio before the block began.
"""

from __future__ import annotations

import functools
import ssl
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import trio

from .. import _functions as _drop_in
from .._connector import Connector

_HOMES = {
    "open_tcp_stream": "trio._highlevel_open_tcp_stream",
    "open_ssl_over_tcp_stream": "trio._highlevel_ssl_helpers",
    "open_unix_socket": "trio._highlevel_open_unix_stream",
}
"""Where Trio defines each function; `trio` re-exports it."""


@contextmanager
def patched_trio(connector: Connector | None = None) -> Iterator[None]:
    """Let code that calls `trio.open_tcp_stream` connect through this library, while a block lasts.

    `trio.open_ssl_over_tcp_stream` and `trio.open_unix_socket` as well. The whole process is concerned, other threads
    included; a program may wrap its `trio.run`. Blocks may be nested or overlap. What was imported by name (`from
    trio import open_tcp_stream`) before the block stays Trio's.

    Args:
        connector: Who connects; None is for the drop-ins of this package. A `happy_eyeballs_delay` other than Trio's
            default, or a numeric `local_address`, that a caller asks for is honoured in place of the connector's.

    Example:
        >>> import trio
        >>> with patched_trio():
        ...     trio.open_tcp_stream.__module__
        'trio_nbconnect'
        >>> trio.open_tcp_stream.__module__
        'trio'
    """
    ours = _drop_in if connector is None else _StandIns(connector)
    with ExitStack() as stack:
        for name, home in _HOMES.items():
            patch(stack, trio, home, name, getattr(ours, name))
        yield


def patch(stack: ExitStack, package: ModuleType, home: str, name: str, ours: Callable[..., Awaitable[Any]]) -> None:
    """Put a function of ours into a package and into the module that defines it, until the stack unwinds."""
    for module in {package, sys.modules.get(home, package)}:
        stack.callback(_Patch(module, name, getattr(module, name)).begin(ours))


@dataclass(frozen=True, slots=True)
class _StandIns:
    """Trio's three functions, done by a connector."""

    connector: Connector

    async def open_tcp_stream(
        self,
        host: str | bytes,
        port: int,
        *,
        happy_eyeballs_delay: float | None = 0.25,
        local_address: str | None = None,
    ) -> trio.SocketStream:
        chosen = self._delayed(happy_eyeballs_delay)
        if local_address is not None:
            chosen = replace(chosen, local_address=local_address)
        return await chosen.open_tcp_stream(host, port)

    async def open_ssl_over_tcp_stream(
        self,
        host: str | bytes,
        port: int,
        *,
        https_compatible: bool = False,
        ssl_context: ssl.SSLContext | None = None,
        happy_eyeballs_delay: float | None = 0.25,
    ) -> trio.SSLStream[trio.SocketStream]:
        chosen = self._delayed(happy_eyeballs_delay)
        return await chosen.open_ssl_over_tcp_stream(
            host, port, https_compatible=https_compatible, ssl_context=ssl_context
        )

    async def open_unix_socket(self, filename: str | bytes) -> trio.SocketStream:
        return await self.connector.open_unix_socket(filename)

    def _delayed(self, delay: float | None) -> Connector:
        """Trio's default is what callers get who ask for nothing: the connector's own policy stands."""
        if delay is None or delay == 0.25:
            return self.connector
        return replace(self.connector, policy=replace(self.connector.policy, attempt_delay=delay))


@dataclass(eq=False, slots=True)
class _Patch:
    """One function in one module, in the place of another."""

    module: ModuleType
    name: str
    before: Callable[..., Awaitable[Any]]
    is_over: bool = False

    def begin(self, ours: Callable[..., Awaitable[Any]]) -> Callable[[], None]:
        """Put a function of ours in its place and return what ends that."""

        @functools.wraps(ours)
        async def stand_in(*args: Any, **keywords: Any) -> Any:
            return await (self.before if self.is_over else ours)(*args, **keywords)

        vars(stand_in)[_MARK] = self
        setattr(self.module, self.name, stand_in)
        return self.end

    def end(self) -> None:
        """Put back what was there, unless somebody's patch lies on top; that one's end does it then."""
        self.is_over = True
        current = getattr(self.module, self.name)
        while (patch := getattr(current, _MARK, None)) is not None and patch.is_over:
            current = patch.before
        setattr(self.module, self.name, current)


_MARK = "_trio_nbconnect_patch"
"""The attribute by which a function of ours in Trio's place is known."""
