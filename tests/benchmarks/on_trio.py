"""On Trio: the contenders that need Trio, and how many of their connects are run in turn, at once, or left pending."""

from __future__ import annotations

import importlib
import socket
from collections.abc import Awaitable, Callable, Sequence
from functools import cache
from itertools import cycle, islice
from typing import Any

import trio

import trio_nbconnect as nb

from .cases import Case, Names, Pattern
from .clock import PATIENCE, Figures, Scales, Stopwatch, open_descriptors
from .target import KnownNames, Target

Way = Callable[[Target], Awaitable[None]]
"""Connect, and close in the cheapest way."""


async def nb_tcp(to: Target) -> None:
    (await nb.open_tcp_stream(to.host, to.port)).socket.close()


async def nb_addresses(to: Target) -> None:
    (await nb.open_tcp_stream(to.host, to.port, addresses=to.addresses)).socket.close()


async def nb_traced(to: Target) -> None:
    (await TRACED.open_tcp_stream(to.host, to.port)).socket.close()


async def nb_recorded(to: Target) -> None:
    with nb.record():
        (await nb.open_tcp_stream(to.host, to.port)).socket.close()


def nb_dns(port: int = 0, **options: Any) -> Way:
    """Let the resolver that asks name servers ask that of `/etc/resolv.conf`."""

    @cache
    def connector() -> nb.Connector:
        return nb.Connector(resolver=importlib.import_module("trio_nbconnect.dns").DNSResolver(**options))

    async def connect(to: Target) -> None:
        (await connector().open_tcp_stream(to.host, port or to.port)).socket.close()

    return connect


async def nb_kept(to: Target) -> None:
    """Keep the record of the race."""
    with nb.record() as recording:
        (await nb.open_tcp_stream(to.host, to.port)).socket.close()
    KEPT.extend(recording)


async def nb_unix(to: Target) -> None:
    (await nb.open_unix_socket(to.path)).socket.close()


async def nb_tls(to: Target) -> None:
    stream = await nb.open_tls_stream(to.host, to.port, ssl_context=to.context)
    stream.transport_stream.socket.close()


async def nb_socket(to: Target) -> None:
    with socket.socket() as sock:
        sock.setblocking(False)
        await nb.connect_socket(sock, to.sockaddr)


async def nb_trio_socket(to: Target) -> None:
    with trio.socket.socket() as sock:
        await nb.connect_socket(sock, to.sockaddr)


async def trio_tcp(to: Target) -> None:
    (await trio.open_tcp_stream(to.host, to.port)).socket.close()


async def trio_unix(to: Target) -> None:
    (await trio.open_unix_socket(to.path)).socket.close()


async def trio_tls(to: Target) -> None:
    stream = await trio.open_ssl_over_tcp_stream(to.host, to.port, ssl_context=to.context)
    await stream.do_handshake()
    stream.transport_stream.socket.close()


async def by_hand(to: Target) -> None:
    """Trio's sockets and their `connect`, one address after the other, as a stream: no race, no checks."""
    sockaddrs = [to.sockaddr] if to.is_literal else await _addresses(to)
    for number, sockaddr in enumerate(sockaddrs, start=1):
        sock = trio.socket.socket()
        try:
            await sock.connect(sockaddr)
            break
        except OSError:
            sock.close()
            if number == len(sockaddrs):
                raise
    trio.SocketStream(sock).socket.close()


async def _addresses(to: Target) -> list[Any]:
    found = await trio.socket.getaddrinfo(to.host, to.port, type=trio.socket.SOCK_STREAM)
    return [sockaddr for family, *_, sockaddr in found if family == trio.socket.AF_INET]


async def socket_by_hand(to: Target) -> None:
    with trio.socket.socket() as sock:
        await sock.connect(to.sockaddr)


async def anyio_tcp(to: Target) -> None:
    await (await anyio().connect_tcp(to.host, to.port)).aclose()


async def anyio_unix(to: Target) -> None:
    await (await anyio().connect_unix(to.path)).aclose()


async def anyio_tls(to: Target) -> None:
    stream = await anyio().connect_tcp(to.host, to.port, ssl_context=to.context, tls_standard_compatible=False)
    await stream.aclose()


def foreign(name: str) -> Way:
    """Connect with a function of somebody else's, `MODULE:FUNCTION`, which takes a host and a port."""
    module, _, function = name.partition(":")

    @cache
    def connector() -> Any:
        return getattr(importlib.import_module(module), function)

    async def connect(to: Target) -> None:
        (await connector()(to.host, to.port)).socket.close()

    return connect


@cache
def anyio() -> Any:
    """Import it when it is needed: to start quickly, and where it is not installed."""
    return importlib.import_module("anyio")


KEPT: list[nb.RecordedRace] = []
TRACED = nb.Connector(tracer=lambda _event: None)


def sample(case: Case, way: Way, targets: Sequence[Target], count: int) -> Figures:
    """Run `count` connects of a case."""
    return trio.run(_sample, case, way, list(islice(cycle(targets), count)))


async def _sample(case: Case, way: Way, targets: list[Target]) -> Figures:
    if case.names is Names.KNOWN:
        trio.socket.set_custom_hostname_resolver(KnownNames(targets[0]))
    return await PATTERNS[case.pattern](way, targets)


async def _in_turn(way: Way, targets: list[Target]) -> Figures:
    scales, watch = Scales(), Stopwatch()
    for target in targets:
        await way(target)
    return watch.figures(len(targets)) | scales.figures(len(targets))


async def _at_once(way: Way, targets: list[Target]) -> Figures:
    watch = Stopwatch()
    async with trio.open_nursery() as nursery:
        for target in targets:
            nursery.start_soon(way, target)
    return watch.figures(len(targets))


async def _pending(way: Way, targets: list[Target]) -> Figures:
    scales, before = Scales(), open_descriptors()
    async with trio.open_nursery() as nursery:
        for target in targets:
            nursery.start_soon(way, target)
        with trio.fail_after(PATIENCE):
            while open_descriptors() - before < len(targets):  # noqa: ASYNC110 - the kernel knows, and tells nobody
                await trio.sleep(0.01)
        memory = scales.figures(len(targets))
        watch = Stopwatch()
        nursery.cancel_scope.cancel()
    return memory | {"cancel": watch.figures(1)["cpu"] / 1000}


PATTERNS = {Pattern.IN_TURN: _in_turn, Pattern.AT_ONCE: _at_once, Pattern.PENDING: _pending}
