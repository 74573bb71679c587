"""Programs for `tests.namespaces`: what the C library says of a name, and where this library goes."""

from __future__ import annotations

import contextlib
import math
import socket
import threading
import time
from collections.abc import Mapping
from typing import Any

import trio

import trio_nbconnect as nb
from trio_nbconnect import trace
from trio_nbconnect.dns import DNSResolver

from .namespaces import PORT

for public in nb.__all__:
    getattr(nb, public)  # what is imported at the first use must not count as time

NOBODY = 4712
"""A port at which nothing listens, so that every address is tried."""


def libc(host: str) -> dict[str, Any]:
    """Ask the C library as `trio.open_tcp_stream` does."""
    began = time.monotonic()
    try:
        entries = socket.getaddrinfo(host, PORT, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        addresses: list[str] = []
        failure = next(name for name in dir(socket) if name.startswith("EAI_") and getattr(socket, name) == error.errno)
    else:
        addresses = [_ip(entry[4]) for entry in entries]
        failure = ""
    return {"addresses": addresses, "error": failure, "seconds": time.monotonic() - began}


def _ip(sockaddr: tuple[Any, ...]) -> str:
    host = sockaddr[0].partition("%")[0]
    return f"{host}%{sockaddr[3]}" if len(sockaddr) == 4 and sockaddr[3] else str(host)


def connect(host: str, port: int, knobs: Mapping[str, Any]) -> dict[str, Any]:
    """Connect through this library, and say what was attempted.

    Args:
        host: The name.
        port: `NOBODY` has every address tried.
        knobs: `dns`: whether to ask name servers by ourselves; `ipv4_first`; `mark` and `interface` of the sockets;
            `give_up_after`; and `settle`, seconds to stay around afterwards.
    """
    return trio.run(_connect, host, port, knobs)


async def _connect(host: str, port: int, knobs: Mapping[str, Any]) -> dict[str, Any]:
    connector = _connector(knobs)
    began, winner, failure = trio.current_time(), "", ""
    with nb.record() as recording:
        try:
            stream = await connector.open_tcp_stream(host, port, give_up_after=knobs.get("give_up_after", 20))
        except OSError as error:
            failure = f"{type(error).__name__}: {error}"
        else:
            winner = _ip(stream.socket.getpeername())
            await stream.aclose()
    seconds = trio.current_time() - began
    await trio.sleep(knobs.get("settle", 0))
    events = recording[-1].events if len(recording) else ()
    attempted = [event.address.ip for event in events if isinstance(event, trace.AttemptStarted)]
    asked = {event.source for event in events if isinstance(event, trace.ResolutionStarted)}
    return {
        "attempted": attempted,
        "winner": winner,
        "error": failure,
        "seconds": seconds,
        "hurried": bool(asked & {nb.Source.A, nb.Source.AAAA}),
    }


def _connector(knobs: Mapping[str, Any]) -> nb.Connector:
    families = (socket.AF_INET6, socket.AF_INET)
    return nb.Connector(
        policy=nb.Policy(families=families[::-1] if knobs.get("ipv4_first") else families),
        resolver=DNSResolver(services=False) if knobs.get("dns") else None,
        options=nb.SocketOptions(mark=knobs.get("mark"), interface=knobs.get("interface")),
    )


def abandoned(dead: str, good: str, count: int) -> dict[str, Any]:
    """Give `count` connects to a dead name up after 50 ms each, and then connect to a good one.

    `{}` in the dead name stands for the number of the connect.
    """

    async def main() -> dict[str, Any]:
        for number in range(count):
            with trio.move_on_after(0.05):
                await _quietly(dead.format(number))
        return {"seconds": await _timed(good), "threads": threading.active_count()}

    return trio.run(main)


def crowd(dead: str, good: str, count: int, seconds: float = 0.2) -> dict[str, Any]:
    """Begin `count` connects to dead names at once, cancel them all, and connect to a good one beside and after."""

    async def main() -> dict[str, Any]:
        async with trio.open_nursery() as nursery:
            for number in range(count):
                nursery.start_soon(_quietly, dead.format(number))
            await trio.sleep(seconds)
            beside = await _timed(good)
            nursery.cancel_scope.cancel()
        return {"beside": beside, "after": await _timed(good), "threads": threading.active_count()}

    return trio.run(main)


def half_dead(half: str, count: int, good: str) -> dict[str, Any]:
    """Connect many times to a name of which one type of record is never answered, and then to a good one."""

    async def main() -> dict[str, Any]:
        each = [await _timed(half) for _ in range(count)]
        return {"each": sorted(each)[count // 2], "seconds": await _timed(good), "threads": threading.active_count()}

    return trio.run(main)


async def _timed(host: str) -> float:
    """Say how long a connect takes, `inf` where it fails."""
    began = trio.current_time()
    try:
        stream = await nb.open_tcp_stream(host, PORT, give_up_after=15)
    except OSError:
        return math.inf
    await stream.aclose()
    return trio.current_time() - began


async def _quietly(host: str) -> None:
    with contextlib.suppress(OSError):
        await (await nb.open_tcp_stream(host, PORT)).aclose()
