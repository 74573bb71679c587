"""Stub: ask name servers for a host, record type by record type (Happy Eyeballs version 3, section 4).

The problem: what a host offers stands in records of several types and names. A service points to another name, an
alias to another host, and each of them has addresses of its own; any of these may be late, missing or a lie.

How we solve it, in the draft's order:

1. Ask for HTTPS, AAAA and A, "as close together as possible", and deliver each answer when it comes. HTTPS records
   of another port than 443 have a name of their own (RFC 9460, section 9.1).
2. An alias (RFC 9460, section 2.4.2) takes the place of the host: follow it, eight steps at most, none of them twice.
3. Each service that names another target has its addresses asked for at once; until they come, its hints serve.
   The end of a chain of aliases is a service too, the last one (RFC 9460, section 3).
4. A service that speaks no protocol of ours is left out (RFC 9460, section 7.1.2).
5. What has expired is delivered at once, and what holds now in its place as soon as it is known (section 4.4).

What lives here: that order. What does not: messages, servers and caches, which are behind `LookUp`: dnspython's in
`dns`, the simulated network's in `testing`; nor the decision what to do with the answers, which is `_agenda`'s.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import trio

from .._address import IPV4, IPV6, Address
from .._resolve.query import Answer, Query, QuerySent, SendAnswer, Service, Source

ALIASES = 8
"""RFC 9460, section 3.1: clients "MUST impose" a limit on the length of a chain; this is a common one."""

SERVICES = 16
"""How many services of a host are considered: each may cost two queries more, and a name server may name thousands."""


Fresher: TypeAlias = "Callable[[], Awaitable[Records]]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """What a name server has on one name and type."""

    addresses: tuple[str, ...] = ()
    services: tuple[Service, ...] = ()
    alias: str = ""
    """The host that stands in for this one (AliasMode)."""
    fresher: Fresher | None = field(default=None, compare=False)
    """How to find out what holds now, where these have expired; None where they have not."""


LookUp: TypeAlias = Callable[[str, Source], Awaitable[Records]]
"""Look one type of a name up; raise `OSError` when it cannot be known. No such records is no error: `Records()`."""


@dataclass(slots=True)
class _Trail:
    """Where the aliases of a host lead to."""

    names: list[str]
    """The name asked for first, and the aliases."""
    services: tuple[Service, ...] = ()
    error: OSError | None = None
    expired: list[tuple[Records, Fresher]] = field(default_factory=list)
    """What was found on the way and holds no more, and how to find out what does."""

    @property
    def end(self) -> str:
        """The host that stands in for the first one."""
        return self.names[-1]


class SVCBResolver:
    """Ask for addresses and services, and follow where they point.

    Args:
        look_up: Who asks the name servers.
        services: Whether to ask for HTTPS records.
        protocols: The ALPN protocols that this client speaks over TCP.
        encrypted: Whether queries and answers travel encrypted.
        rng: What shuffles services of equal priority (RFC 9460, section 2.4.1).
    """

    def __init__(
        self,
        look_up: LookUp,
        *,
        services: bool = True,
        protocols: tuple[str, ...] = ("h2", "http/1.1"),
        encrypted: bool = False,
        rng: random.Random | None = None,
    ) -> None:
        self._look_up = look_up
        self._services = services
        self._protocols = protocols
        self._encrypted = encrypted
        self._rng = rng or random.Random()

    async def resolve(self, query: Query, send_answer: SendAnswer) -> None:
        """Section 4.1: "the order of queries SHOULD be" HTTPS, AAAA, A."""
        if self._services:
            send_answer(QuerySent(Source.HTTPS, encrypted=self._encrypted))
        self._announce(query, "", send_answer)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._ask_addresses, query, "", send_answer)
            if self._services:
                await self._ask_services(query, send_answer)

    async def _ask_addresses(self, query: Query, name: str, send_answer: SendAnswer) -> None:
        """Ask for AAAA and, right behind it, for A."""
        first, *others = query.in_query_order
        async with trio.open_nursery() as nursery:
            for family in others:
                nursery.start_soon(self._ask_family, query, family, name, send_answer)
            await self._ask_family(query, first, name, send_answer)

    async def _ask_family(self, query: Query, family: socket.AddressFamily, name: str, send_answer: SendAnswer) -> None:
        source = Source.of(family)
        try:
            records = await self._look_up(name or query.host, source)
            send_answer(_addresses(records, source, name, query.port))
            if records.fresher is not None and (fresh := await records.fresher()) != records:
                send_answer(_addresses(fresh, source, name, query.port))
        except OSError as error:
            send_answer(Answer(source, error=error, name=name))

    async def _ask_services(self, query: Query, send_answer: SendAnswer) -> None:
        """Find the services, and the addresses of each target; once more, if what was found has expired."""
        asked = {""}
        async with trio.open_nursery() as nursery:

            def ask(target: str) -> None:
                if target not in asked:
                    asked.add(target)
                    self._announce(query, target, send_answer)
                    nursery.start_soon(self._ask_addresses, query, target, send_answer)

            trail = await self._follow(query, ask)
            self._tell(trail, query, ask, send_answer)
            if await _has_changed(trail.expired):
                self._tell(await self._follow(query, ask), query, ask, send_answer)

    async def _follow(self, query: Query, ask: Callable[[str], None]) -> _Trail:
        """RFC 9460, section 3: find the host that the aliases lead to, and its services.

        An alias is no service yet, but its addresses are asked for at once (version 3, section 4.2).
        """
        trail = _Trail([query.host if query.port == 443 else f"_{query.port}._https.{query.host}"])
        while True:
            try:
                records = await self._look_up(trail.end, Source.HTTPS)
            except OSError as error:
                trail.error = None if error.errno == socket.EAI_NONAME else error  # no such name: no such records
                return trail
            if records.fresher is not None:
                trail.expired.append((records, records.fresher))
            if not records.alias:
                trail.services = records.services
                return trail
            if _key(records.alias) in map(_key, trail.names) or len(trail.names) > ALIASES:
                way = " -> ".join([*trail.names, records.alias])
                trail.error = socket.gaierror(socket.EAI_FAIL, f"the aliases of {query.host} lead nowhere: {way}")
                return trail
            trail.names.append(records.alias)
            ask(records.alias)

    def _tell(self, trail: _Trail, query: Query, ask: Callable[[str], None], send_answer: SendAnswer) -> None:
        """SendAnswer the services, their targets asked for."""
        services = self._usable(trail, query)
        for service in services:
            ask(service.target)
        send_answer(Answer(Source.HTTPS, error=trail.error, services=services))

    def _usable(self, trail: _Trail, query: Query) -> tuple[Service, ...]:
        """Order the services that speak a protocol of ours by priority, equal ones shuffled (section 2.4.1)."""
        usable = [service for service in trail.services if self._speaks(service)]
        self._rng.shuffle(usable)
        usable.sort(key=lambda service: service.priority)
        del usable[SERVICES:]
        if len(trail.names) > 1:
            usable.append(Service(priority=_LAST, target=trail.end))
        return tuple(_named(service, trail.end, query) for service in usable)

    def _speaks(self, service: Service) -> bool:
        """RFC 9460, section 7.1.2: "clients SHOULD NOT attempt connection" where no protocol is shared."""
        return not service.alpn or not set(service.alpn).isdisjoint(self._protocols)

    @staticmethod
    def _announce(query: Query, name: str, send_answer: SendAnswer) -> None:
        for family in query.in_query_order:
            send_answer(QuerySent(Source.of(family), name))


_LAST = 65535
"""The lowest priority that a record can have (RFC 9460, section 2.2)."""


def _addresses(records: Records, source: Source, name: str, port: int) -> Answer:
    family = IPV6 if source is Source.AAAA else IPV4
    return Answer(source, tuple(Address(family, text, port) for text in records.addresses), name=name)


async def _has_changed(expired: list[tuple[Records, Fresher]]) -> bool:
    """Ask again for what has expired; that there is nothing any more is a change, too."""
    changed = False
    for records, fresher in expired:
        try:
            changed |= await fresher() != records
        except OSError:
            changed = True
    return changed


def _named(service: Service, owner: str, query: Query) -> Service:
    """Say whose addresses offer a service: "." is the owner of the record, which an alias may have moved."""
    target = service.target or owner
    port = query.port if service.port is None else service.port
    hints = tuple(replace(hint, port=port) for hint in service.hints if hint.family in query.families)
    return replace(service, target="" if _key(target) == _key(query.host) else target, hints=hints)


def _key(name: str) -> str:
    """A name as names are compared (RFC 4343)."""
    return name.removesuffix(".").lower()
