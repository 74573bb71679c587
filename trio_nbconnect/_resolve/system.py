"""System: what a name means is what the operating system says (RFC 8305, section 3).

The C library decides in each call where a name comes from (the hosts file, mDNS, DNS), which search domain completes it
and which scope its addresses have. Asked for each family by itself it may decide differently, and the race reaches a
stranger. So one look-up for both families is the truth, and its order stands. It waits for the slower family; hence:

1. If it answers within the Resolution Delay, that is all.
2. If it does not, A and AAAA are looked up by themselves beside it, of the *absolute* name, and whatever they bring may
   be tried at once. They only hurry the race: names that the hosts file has or search domains may complete are not
   hurried, nor is `.local`, which is not DNS's (RFC 6762); link-local addresses without a scope are left out.
3. When the answer for both comes, it takes the place of theirs. Where it fails for now (EAI_AGAIN; say, because one
   family's name server does), theirs count.

Refused: asking whether a family "has a route". An address without one fails at once and sends no packet.
"""

from __future__ import annotations

import socket
from dataclasses import replace
from operator import itemgetter
from typing import Protocol

import trio

from .._address import Address
from .._connect.look_ups import LookUp, first_of_each_family, from_hook
from .._connect.network import Network
from .query import Answer, Query, QuerySent, SendAnswer, Source, is_for_now


class Resolver(Protocol):
    """Finds the addresses of a host; with a method `find_services`, like that of `dns.DNSResolver`, services, too."""

    async def resolve(self, query: Query, send_answer: SendAnswer) -> None:
        """Send `QuerySent` for each query and `Answer` for each result, and return when no more will come.

        A failed query is an `Answer` with its error. It runs beside the race and is cancelled when that is won. Of each
        answer the first 128 addresses of each family count.

        A resolver that may know an answer without waiting can have a `resolve_nowait(query, send_answer) -> bool` as
        well. It is called first, and sends everything and returns True, or sends nothing and returns False; then
        `resolve` is not called, and the race needs no task.
        """


class SystemResolver:
    """Ask the operating system for the addresses of one race.

    `resolve` may be cancelled and called again: look-ups live in threads, and go on. Called before `hurry_at`, it waits
    for the one answer and for nothing else; whoever calls it so early cancels it then, and calls it again.

    Args:
        network: The network whose `getaddrinfo` is asked.
        hurry_at: From when on the families are asked by themselves, on Trio's clock.
    """

    __slots__ = ("_hurry_at", "_look_ups", "_network")

    def __init__(self, network: Network, hurry_at: float) -> None:
        self._network = network
        self._hurry_at = hurry_at
        self._look_ups: dict[Source, LookUp] = {}

    async def resolve(self, query: Query, send_answer: SendAnswer) -> None:
        """Send the one answer for both families, and what hurries it if it is late."""
        send_answer(QuerySent(Source.SYSTEM))
        is_early = trio.current_time() < self._hurry_at
        answer = await self._ask(query, Source.SYSTEM) if is_early else None
        if answer is not None and not is_for_now(answer.error):
            send_answer(answer)
            return
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._hurry, query, send_answer)
            answer = answer or await self._ask(query, Source.SYSTEM)  # a program that was busy finds it there
            send_answer(answer)
            if not is_for_now(answer.error):
                nursery.cancel_scope.cancel()

    async def _hurry(self, query: Query, send_answer: SendAnswer) -> None:
        """Ask for each family by itself, if DNS may know the name and the hosts file does not."""
        if not self._network.is_dns_name(query.host) or await self._network.is_in_hosts(query.host):
            return
        sources = [Source.of(family) for family in query.in_query_order]
        for source in sources:
            send_answer(QuerySent(source))
            self._look_up(query, source)
        async with trio.open_nursery() as nursery:
            for source in sources:
                nursery.start_soon(self._ask_family, query, source, send_answer)

    async def _ask_family(self, query: Query, source: Source, send_answer: SendAnswer) -> None:
        send_answer(await self._ask(query, source))

    async def _ask(self, query: Query, source: Source) -> Answer:
        try:
            addresses = await self._look_up(query, source).wait()
        except OSError as error:
            return Answer(source, error=error)
        if source.family is not None:
            addresses = [address for address in addresses if address.scope_id or not address.is_link_local]
        return Answer(source, tuple(_with_port(address, query.port) for address in addresses))

    def _look_up(self, query: Query, source: Source) -> LookUp:
        """Look up both families, or one of the absolute name; or join the look-up that was begun."""
        if source not in self._look_ups:
            host = query.host if source.family is None else f"{query.host.removesuffix('.')}."
            self._look_ups[source] = self._network.look_up(host, query.port, source.family or socket.AF_UNSPEC)
        return self._look_ups[source]


def _with_port(address: Address, port: int) -> Address:
    """A look-up may have been begun for another port."""
    return address if address.port == port else replace(address, port=port)


class HookResolver:
    """Ask the resolver set with `trio.socket.set_custom_hostname_resolver`, in the one call that Trio makes."""

    async def resolve(self, query: Query, send_answer: SendAnswer) -> None:
        """Send its one answer, which holds both families."""
        send_answer(QuerySent(Source.HOOK))
        try:
            entries = await trio.socket.getaddrinfo(query.host, query.port, type=socket.SOCK_STREAM)
        except OSError as error:
            send_answer(Answer(Source.HOOK, error=error))
        else:
            first = first_of_each_family(entries, itemgetter(0))
            send_answer(Answer(Source.HOOK, tuple(from_hook(entry[0], entry[4]) for entry in first)))
