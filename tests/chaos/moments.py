"""Moments: many connects at once to real sockets, each cancelled after a random time.

They connect over TCP or over a UNIX socket, to listeners that accept, whose queue is full, or that are not there.
"""

from __future__ import annotations

import gc
import random
import socket
from collections import Counter
from contextlib import ExitStack

import trio

import trio_nbconnect as nb

from ..conftest import open_sockets
from .findings import Report


class Chaos:
    """A few listeners, and what became of the connects to them."""

    def __init__(self, stack: ExitStack, rng: random.Random) -> None:
        self.rng = rng
        self.became: Counter[str] = Counter()
        accepts = self._listen(stack, socket.AF_INET, ("127.0.0.1", 0), backlog=4096)
        port = accepts.getsockname()[1]
        full = self._listen(stack, socket.AF_INET, ("127.0.0.2", port), backlog=0)
        stack.enter_context(socket.create_connection(full.getsockname()))
        self.port = port
        self.addresses = ["127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4"]  # accepts, drops, refuse
        self.accepting = self._listen(stack, socket.AF_UNIX, "", backlog=4096)
        self.full = self._listen(stack, socket.AF_UNIX, "", backlog=0)
        first = stack.enter_context(socket.socket(socket.AF_UNIX))
        first.connect(self.full.getsockname())
        self.tcp = accepts

    @staticmethod
    def _listen(stack: ExitStack, family: int, address: object, *, backlog: int) -> socket.socket:
        sock = stack.enter_context(socket.socket(family))
        sock.bind(address)  # type: ignore[arg-type]  # a path or a tuple, as the family has it
        sock.listen(backlog)
        sock.setblocking(False)
        return sock

    async def round(self) -> None:
        """Connect once, for as long as the dice say."""
        with trio.move_on_after(self.rng.choice([0.0, 0.0001, 0.0005, 0.002, 0.02]) * self.rng.random()) as scope:
            try:
                stream = await self._connect()
            except OSError:
                self.became["failed"] += 1
            else:
                stream.socket.getpeername()  # raises if it is not connected
                stream.socket.close()
                self.became["connected"] += 1
        self.became["cancelled"] += scope.cancelled_caught
        self._drain()

    async def _connect(self) -> trio.SocketStream:
        kind = self.rng.randrange(3)
        if kind == 0:
            return await nb.open_unix_socket(self.rng.choice([self.accepting, self.full]).getsockname())
        addresses = self.rng.sample(self.addresses, self.rng.randrange(1, 5))
        delay = self.rng.choice([0.0, 0.010, 0.25])
        give_up_after = self.rng.choice([0.001, 0.01, 1.0])
        return await nb.open_tcp_stream(
            "chaos.example",
            self.port,
            addresses=addresses,
            happy_eyeballs_delay=delay,
            give_up_after=give_up_after,
        )

    def _drain(self) -> None:
        """Accept and close what has arrived so that its queue never fills."""
        for listener in (self.tcp, self.accepting):
            try:
                while True:
                    listener.accept()[0].close()
            except BlockingIOError:
                pass


async def cancel_at_random_moments(rounds: int, seed: int | None = None) -> Report:
    """Run the rounds, twenty at a time."""
    report = Report("random moments")
    with ExitStack() as stack:
        chaos = Chaos(stack, random.Random(seed))
        before = open_sockets()
        with trio.fail_after(60 + rounds / 20):
            for _ in range(rounds // 20):
                async with trio.open_nursery() as nursery:
                    for _ in range(20):
                        nursery.start_soon(chaos.round)
        gc.collect()
        report.outcomes += chaos.became
        report.faults += [f"{len(left)} sockets left" for left in [open_sockets() - before] if left]
    return report
