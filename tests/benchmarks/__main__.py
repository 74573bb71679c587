"""Print what one connect to an address on loopback costs, as a ratio to `trio.open_tcp_stream` in the same run.

`python -m tests.benchmarks [REPETITIONS]`. CPU time of this process, user and system, for a connect and a close;
the server is another process. Repetitions are interleaved, and a ratio is the median of the ratios within them.
"""

from __future__ import annotations

import os
import signal
import socket
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import trio

import trio_nbconnect as nb

CONNECTS = 200
REPETITIONS = 31

Connect = Callable[[str, int], Awaitable[Any]]


async def by_hand(host: str, port: int) -> trio.SocketStream:
    """A Trio socket and its `connect`: no race, no checks."""
    sock = trio.socket.socket()
    await sock.connect((host, port))
    return trio.SocketStream(sock)


CONTENDERS: dict[str, Connect] = {
    "trio.open_tcp_stream": trio.open_tcp_stream,
    "trio_nbconnect.open_tcp_stream": nb.open_tcp_stream,
    "the same, with a tracer": nb.Connector(tracer=lambda _event: None).open_tcp_stream,
    "trio socket by hand": by_hand,
}


async def cost(connect: Connect, host: str, port: int) -> float:
    """Return the CPU microseconds of one connect and close."""
    began = time.process_time()
    for _ in range(CONNECTS):
        stream = await connect(host, port)
        stream.socket.close()
    return (time.process_time() - began) / CONNECTS * 1e6


async def main(repetitions: int) -> None:
    """Print a table of medians, spreads and ratios."""
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as listener:
        server = os.fork()
        if server == 0:
            while True:
                listener.accept()[0].close()
        try:
            host, port = listener.getsockname()
            costs: dict[str, list[float]] = {name: [] for name in CONTENDERS}
            for _ in range(repetitions):
                for name, connect in CONTENDERS.items():
                    costs[name].append(await cost(connect, host, port))
        finally:
            os.kill(server, signal.SIGKILL)
            os.waitpid(server, 0)  # noqa: ASYNC222 - it is dead already
    first = next(iter(costs.values()))
    print(f"{'one connect to an address':32}  CPU us    from      to   ratio")
    for name, times in costs.items():
        ratio = statistics.median(ours / theirs for ours, theirs in zip(times, first, strict=True))
        print(f"{name:32} {statistics.median(times):7.1f} {min(times):7.1f} {max(times):7.1f} {ratio:7.2f}")


if __name__ == "__main__":
    trio.run(main, int(sys.argv[1]) if len(sys.argv) > 1 else REPETITIONS)
