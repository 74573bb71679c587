"""Resolve: addresses that arrive over time (RFC 8305, section 3).

The problem: one look-up for both families waits for the slower one, and a look-up in a thread cannot be cancelled: a
few dozen of them behind a dead name server use up the threads of the whole application.

How we solve it: AAAA and A are asked side by side, AAAA first, each in a thread of a limiter of its own family, which
nothing else uses. Each answer is delivered when it comes. A failed look-up is an answer too, a negative one.

What lives here: the protocol that every resolver follows; the default one, which asks the operating system; and the one
that honours Trio's hook. What does not: the decision when to begin (`_agenda`), and any cache: the system has one.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from typing import Protocol

import trio

from .._address import IPV4, IPV6
from .._connect.network import Network, from_getaddrinfo
from .query import Answer, Query, QuerySent, SendAnswer, Source


class Resolver(Protocol):
    """Whoever can find the addresses of a host."""

    async def resolve(self, query: Query, send_answer: SendAnswer) -> None:
        """SendAnswer `QuerySent` for each query and `Answer` for each result, and return when no more will come.

        A failed query is an `Answer` with its error. It runs beside the race and is cancelled when that is won.
        """


@dataclass(slots=True, eq=False)
class _Threads:
    """The limiters of one `trio.run`; one for each family, so that silence in one cannot starve the other."""

    ipv6: trio.CapacityLimiter = field(init=False, default_factory=lambda: trio.CapacityLimiter(_LOOK_UPS_AT_ONCE))
    ipv4: trio.CapacityLimiter = field(init=False, default_factory=lambda: trio.CapacityLimiter(_LOOK_UPS_AT_ONCE))


_LOOK_UPS_AT_ONCE = 64
"""How many threads may wait for the system's resolver in one family. Abandoned ones count until they return."""

_threads: trio.lowlevel.RunVar[_Threads] = trio.lowlevel.RunVar("trio_nbconnect.resolve.threads")


class SystemResolver:
    """Ask the operating system, each family by itself: `/etc/hosts`, mDNS and all that it is configured for.

    Args:
        network: The network whose `getaddrinfo` is asked.
    """

    def __init__(self, network: Network) -> None:
        self._network = network

    async def resolve(self, query: Query, send_answer: SendAnswer) -> None:
        """Section 3: the AAAA query, "immediately followed by" the A query; this task sends the first one itself."""
        first, *others = query.in_query_order
        for family in (first, *others):
            send_answer(QuerySent(Source.of(family)))
        if not others:
            await self._look_up(query, first, send_answer)
        else:
            async with trio.open_nursery() as nursery:
                for family in others:
                    nursery.start_soon(self._look_up, query, family, send_answer)
                await self._look_up(query, first, send_answer)
        if query.last_resort is not None and IPV4 not in query.families:
            await query.last_resort.wait()
            send_answer(QuerySent(Source.A))
            await self._look_up(query, IPV4, send_answer)

    async def _look_up(self, query: Query, family: socket.AddressFamily, send_answer: SendAnswer) -> None:
        source = Source.of(family)
        try:
            addresses = await self._network.getaddrinfo(query.host, query.port, family, limiter_of(family))
        except OSError as error:
            send_answer(Answer(source, error=error))
        else:
            send_answer(Answer(source, tuple(addresses)))


def limiter_of(family: socket.AddressFamily) -> trio.CapacityLimiter:
    """The threads that may look up addresses of this family in this `trio.run`."""
    try:
        threads = _threads.get()
    except LookupError:
        threads = _Threads()
        _threads.set(threads)
    return threads.ipv6 if family == IPV6 else threads.ipv4


class HookResolver:
    """Ask the resolver set with `trio.socket.set_custom_hostname_resolver`, in the one call that Trio makes."""

    async def resolve(self, query: Query, send_answer: SendAnswer) -> None:
        """SendAnswer its one answer, which holds both families."""
        send_answer(QuerySent(Source.HOOK))
        try:
            entries = await trio.socket.getaddrinfo(query.host, query.port, type=socket.SOCK_STREAM)
        except OSError as error:
            send_answer(Answer(Source.HOOK, error=error))
        else:
            send_answer(Answer(Source.HOOK, tuple(from_getaddrinfo(entry[0], entry[4]) for entry in entries)))
