"""For Trio: code that calls Trio itself connects through us, for as long as a block lasts.

trio-websocket and many others call `trio.open_tcp_stream`, and take no connector. `patched_trio` puts a function with
Trio's parameters in the place of Trio's, in `trio` and in every loaded module that has imported it by name, and puts
back what was there on every way out. That is a change to the whole process, so it is a block in the program, and
never the effect of an import.

Blocks may overlap in any way, as those of two tasks do. Each function of ours knows which one it stands in for and
whether its block is over; one whose block is over only passes calls on, and is taken away as soon as it is on top.

Out of reach: what is not a module's attribute, such as a default argument, a class's attribute or a closure.
"""

from __future__ import annotations

import math
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import trio

from .. import _functions
from .._connect.tls import ClientHandshake
from .._connector import Connector, StreamOpener
from .patching import patched

_HOMES = {
    "open_tcp_stream": "trio._highlevel_open_tcp_stream",
    "open_ssl_over_tcp_stream": "trio._highlevel_ssl_helpers",
    "open_unix_socket": "trio._highlevel_open_unix_stream",
}
"""Where Trio defines each function; `trio` re-exports it."""


def check_opener(connector: object) -> StreamOpener:
    """Return who opens streams, a plain `Connector` for None.

    Raises:
        TypeError: It is neither a connector nor a proxy.
    """
    if connector is None:
        return Connector()
    methods = ("connect", "open_tcp_stream", "open_tls_stream")
    if isinstance(connector, type) or not all(callable(getattr(connector, name, None)) for name in methods):
        raise TypeError(f"connector must be a Connector or a proxy, not {connector!r}")
    opener: StreamOpener = connector  # type: ignore[assignment]  # it has been seen to be one
    return opener


def opener_for(opener: StreamOpener, host: str, port: int) -> StreamOpener:
    """Return who connects to this host: `NO_PROXY` may say that it needs no proxy."""
    choose: Callable[[str, int], StreamOpener] | None = getattr(opener, "opener_for", None)
    return opener if choose is None else choose(host, port)


def own_connector(opener: StreamOpener, **wishes: object) -> Connector:
    """Return the connector that a wish of the caller's can be added to; a proxy has its own, which is its user's.

    Raises:
        ValueError: It is a proxy.
    """
    if isinstance(opener, Connector):
        return opener
    names = " and ".join(name for name, wish in wishes.items() if wish is not None)
    raise ValueError(f"{names} must be set on the Connector that the proxy uses, not asked for: {opener!r}")


@contextmanager
def patched_trio(connector: StreamOpener | None = None) -> Iterator[None]:
    """Let code that calls `trio.open_tcp_stream` connect through this library, while a block lasts.

    `trio.open_ssl_over_tcp_stream` and `trio.open_unix_socket` as well. The whole process is concerned, other threads
    included; a program may wrap its `trio.run`. Modules that have imported a function by name (`from trio import
    open_tcp_stream`) are reached, too; to look through them takes a few milliseconds. Blocks may be nested or overlap.
    `ALL_PROXY` and its like are not read: `patched_trio(proxy.from_environment())` honours them.

    Args:
        connector: Who connects, a `Connector` or a proxy; None is for the drop-ins of this package. A
            `happy_eyeballs_delay` other than Trio's default, or a numeric `local_address`, that a caller asks for is
            honoured in place of the connector's. UNIX sockets do not go through a proxy.

    Raises:
        TypeError: `connector` is neither.

    Example:
        >>> import trio
        >>> with patched_trio():
        ...     trio.open_tcp_stream.__module__.partition(".")[0]
        'trio_nbconnect'
        >>> trio.open_tcp_stream.__module__
        'trio'
    """
    ours = _functions if connector is None else _StandIns(check_opener(connector))
    with patched(trio, _HOMES, {name: getattr(ours, name) for name in _HOMES}):
        yield


@dataclass(frozen=True, slots=True)
class _StandIns:
    """Trio's three functions, done by a connector or a proxy."""

    opener: StreamOpener

    async def open_tcp_stream(
        self,
        host: str | bytes,
        port: int,
        *,
        happy_eyeballs_delay: float | None = 0.25,
        local_address: str | None = None,
    ) -> trio.abc.Stream:
        opener = self._delayed(happy_eyeballs_delay)
        if local_address is not None:
            opener = replace(own_connector(opener, local_address=local_address), local_address=local_address)
        return await opener.open_tcp_stream(host, port)

    async def open_ssl_over_tcp_stream(
        self,
        host: str | bytes,
        port: int,
        *,
        https_compatible: bool = False,
        ssl_context: ssl.SSLContext | None = None,
        happy_eyeballs_delay: float | None = 0.25,
    ) -> trio.SSLStream[Any]:
        handshake = ClientHandshake(
            host,
            server_hostname=None,
            context=ssl_context,
            alpn_protocols=None,
            https_compatible=https_compatible,
            give_up_after=math.inf,
        )
        await handshake.prepare()
        return handshake.wrap(await self._delayed(happy_eyeballs_delay).open_tcp_stream(host, port))

    async def open_unix_socket(self, filename: str | bytes) -> trio.SocketStream:
        connector = self.opener if isinstance(self.opener, Connector) else Connector()
        return await connector.open_unix_socket(filename)

    def _delayed(self, delay: float | None) -> StreamOpener:
        """Trio's default is what callers get who ask for nothing: the connector's own policy stands.

        To reach a proxy is no matter of the target's delay.
        """
        if delay is None or delay == 0.25 or not isinstance(self.opener, Connector):
            return self.opener
        return replace(self.opener, policy=replace(self.opener.policy, attempt_delay=delay))
