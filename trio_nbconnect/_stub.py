"""Stub: ask name servers for a host, record type by record type (Happy Eyeballs version 3, section 4).

The problem: what a host offers stands in records of several types and names. A service points to another name, an
alias to another host, and each of them has addresses of its own; any of these may be late, missing or a lie.

How we solve it, in the draft's order:

1. Ask for HTTPS, AAAA and A, "as close together as possible", and deliver each answer when it comes.
2. An alias (RFC 9460, section 2.4.2) takes the place of the host: follow it, eight steps at most, none of them twice.
3. Each service that names another target has its addresses asked for at once; until they come, its hints serve.
4. A service that speaks no protocol of ours is left out (RFC 9460, section 7.1.2).

What lives here: that order. What does not: messages, servers and caches, which are behind `LookUp`: dnspython's in
`dns`, the simulated network's in `testing`; nor the decision what to do with the answers, which is `_agenda`'s.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

import trio

from ._address import IPV4, IPV6, Address
from ._question import Answer, Asked, Deliver, Question, Service, Source

ALIASES = 8
"""RFC 9460, section 3.1: clients "MUST impose" a limit on the length of a chain; this is a common one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """What a name server has on one name and type."""

    addresses: tuple[str, ...] = ()
    services: tuple[Service, ...] = ()
    alias: str = ""
    """The host that stands in for this one (AliasMode)."""


LookUp: TypeAlias = Callable[[str, Source], Awaitable[Records]]
"""Look one type of a name up; raise `OSError` when it cannot be known. No such records is no error: `Records()`."""


class StubResolver:
    """Ask for addresses and services, and follow where they point.

    Args:
        look_up: Who asks the name servers.
        services: Whether to ask for HTTPS records.
        protocols: The ALPN protocols that this client speaks over TCP.
        protected: Whether queries and answers travel protected.
        dice: What shuffles services of equal priority (RFC 9460, section 2.4.1).
    """

    def __init__(
        self,
        look_up: LookUp,
        *,
        services: bool = True,
        protocols: tuple[str, ...] = ("h2", "http/1.1"),
        protected: bool = False,
        dice: random.Random | None = None,
    ) -> None:
        self._look_up = look_up
        self._services = services
        self._protocols = protocols
        self._protected = protected
        self._dice = dice or random.Random()

    async def resolve(self, question: Question, deliver: Deliver) -> None:
        """Section 4.1: "the order of queries SHOULD be" HTTPS, AAAA, A."""
        if self._services:
            deliver(Asked(Source.HTTPS, protected=self._protected))
        self._announce(question, "", deliver)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._ask_addresses, question, "", deliver)
            if self._services:
                await self._ask_services(question, deliver)

    async def _ask_addresses(self, question: Question, name: str, deliver: Deliver) -> None:
        """Ask for AAAA and, right behind it, for A."""
        first, *others = _in_order(question)
        async with trio.open_nursery() as nursery:
            for family in others:
                nursery.start_soon(self._ask_family, question, family, name, deliver)
            await self._ask_family(question, first, name, deliver)

    async def _ask_family(self, question: Question, family: socket.AddressFamily, name: str, deliver: Deliver) -> None:
        source = Source.of(family)
        try:
            records = await self._look_up(name or question.host, source)
        except OSError as error:
            deliver(Answer(source, error=error, name=name))
        else:
            addresses = tuple(Address(family, text, question.port) for text in records.addresses)
            deliver(Answer(source, addresses, name=name))

    async def _ask_services(self, question: Question, deliver: Deliver) -> None:
        """Find the services, follow aliases on the way, and ask for the addresses of each target at once."""
        try:
            owner, services = await self._follow(question.host)
        except OSError as error:
            deliver(Answer(Source.HTTPS, error=error))
            return
        usable = [self._named(service, owner, question) for service in services if self._speaks(service)]
        self._dice.shuffle(usable)
        usable.sort(key=lambda service: service.priority)
        if owner != question.host and not services:
            usable = [Service(priority=1, target=owner)]
        targets = list(dict.fromkeys(service.target for service in usable if service.target))
        for target in targets:
            self._announce(question, target, deliver)
        deliver(Answer(Source.HTTPS, services=tuple(usable)))
        async with trio.open_nursery() as nursery:
            for target in targets:
                nursery.start_soon(self._ask_addresses, question, target, deliver)

    async def _follow(self, host: str) -> tuple[str, tuple[Service, ...]]:
        """RFC 9460, section 3: return the host that the aliases lead to, and its services."""
        seen = [host]
        while True:
            records = await self._look_up(seen[-1], Source.HTTPS)
            if not records.alias:
                return seen[-1], records.services
            if records.alias in seen or len(seen) > ALIASES:
                raise socket.gaierror(socket.EAI_FAIL, f"the aliases of {host} lead nowhere: {' -> '.join(seen)}")
            seen.append(records.alias)

    def _named(self, service: Service, owner: str, question: Question) -> Service:
        """Say whose addresses offer a service: "." is the owner of the record, which an alias may have moved."""
        target = service.target or owner
        port = question.port if service.port is None else service.port
        hints = tuple(replace(hint, port=port) for hint in service.hints)
        return replace(service, target="" if target == question.host else target, hints=hints)

    def _speaks(self, service: Service) -> bool:
        """RFC 9460, section 7.1.2: "clients SHOULD NOT attempt connection" where no protocol is shared."""
        return not service.alpn or not set(service.alpn).isdisjoint(self._protocols)

    @staticmethod
    def _announce(question: Question, name: str, deliver: Deliver) -> None:
        for family in _in_order(question):
            deliver(Asked(Source.of(family), name))


def _in_order(question: Question) -> list[socket.AddressFamily]:
    """RFC 8305, section 3: AAAA first, whichever family is preferred."""
    return [family for family in (IPV6, IPV4) if family in question.families]
