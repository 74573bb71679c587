"""On asyncio: the contenders that need it, and how many of their connects are run in turn, at once, or left pending.

uvloop is another loop for the same functions.
"""

from __future__ import annotations

import asyncio
import importlib
import socket
from collections.abc import Sequence
from functools import cache, partial
from itertools import cycle, islice
from typing import Any

from .cases import DELAY, Case, Names, Pattern
from .clock import PATIENCE, Figures, Scales, Stopwatch, open_descriptors
from .on_trio import Way
from .target import Target


async def asyncio_tcp(to: Target, **options: Any) -> None:
    _, writer = await asyncio.open_connection(to.host, to.port, **options)
    writer.transport.abort()


staggered_tcp = partial(asyncio_tcp, happy_eyeballs_delay=DELAY)


async def asyncio_unix(to: Target) -> None:
    _, writer = await asyncio.open_unix_connection(to.path)
    writer.transport.abort()


asyncio_tls: Way = lambda to: asyncio_tcp(to, ssl=to.context)  # noqa: E731


async def asyncio_socket(to: Target) -> None:
    with socket.socket() as sock:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, to.sockaddr)


async def aiohappyeyeballs_tcp(to: Target) -> None:
    """It is given addresses and returns a socket: neither names nor streams are in its figure."""
    (await aiohappyeyeballs().start_connection(to.entries, happy_eyeballs_delay=DELAY)).close()


@cache
def aiohappyeyeballs() -> Any:
    """Import it when it is needed."""
    return importlib.import_module("aiohappyeyeballs")


def sample(case: Case, way: Way, targets: Sequence[Target], count: int, *, package: str = "asyncio") -> Figures:
    """Run `count` connects of a case, on the loop of asyncio or of uvloop."""
    loop = importlib.import_module(package).new_event_loop()
    try:
        figures: Figures = loop.run_until_complete(_sample(case, way, list(islice(cycle(targets), count))))
        return figures
    finally:
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


async def _sample(case: Case, way: Way, targets: list[Target]) -> Figures:
    if case.names is Names.KNOWN:
        entries = targets[0].entries

        async def getaddrinfo(*_: Any, **__: Any) -> Any:
            return list(entries)

        asyncio.get_running_loop().getaddrinfo = getaddrinfo  # type: ignore[method-assign]
    return await PATTERNS[case.pattern](way, targets)


async def _in_turn(way: Way, targets: list[Target]) -> Figures:
    watch = Stopwatch()
    for target in targets:
        await way(target)
    await asyncio.sleep(0)  # a transport is closed one round later
    return watch.figures(len(targets))


async def _at_once(way: Way, targets: list[Target]) -> Figures:
    watch = Stopwatch()
    await asyncio.gather(*(way(target) for target in targets))
    await asyncio.sleep(0)
    return watch.figures(len(targets))


async def _pending(way: Way, targets: list[Target]) -> Figures:
    scales, before = Scales(), open_descriptors()
    tasks = [asyncio.ensure_future(way(target)) for target in targets]
    await asyncio.wait_for(_until_open(before + len(targets)), PATIENCE)
    memory = scales.figures(len(targets))
    watch = Stopwatch()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return memory | {"cancel": watch.figures(1)["cpu"] / 1000}


async def _until_open(descriptors: int) -> None:
    while open_descriptors() < descriptors:  # noqa: ASYNC110 - the kernel knows, and tells nobody
        await asyncio.sleep(0.01)


PATTERNS = {Pattern.IN_TURN: _in_turn, Pattern.AT_ONCE: _at_once, Pattern.PENDING: _pending}
