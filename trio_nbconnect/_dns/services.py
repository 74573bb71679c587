"""Services: ask name servers for a host, record type by record type (Happy Eyeballs version 3, section 4).

The problem: what a host offers stands in records of several types and names. A service points to another name, an
alias to another host, and each of them has addresses of its own; any of these may be late, missing or a lie.

Algorithm, in the draft's order:

1. Ask for HTTPS, where the caller speaks it, for AAAA and for A, "as close together as possible", and deliver each
   answer when it comes. HTTPS records of another port than 443 have a name of their own (RFC 9460, section 9.1).
2. An alias (RFC 9460, section 2.4.2) takes the place of the host: follow it, eight steps at most, none of them twice.
3. Each service that names another target has its addresses asked for at once; until they come, its hints serve.
   The end of a chain of aliases is a service too, the last one (RFC 9460, section 3).
4. A service that speaks no protocol of ours is left out (RFC 9460, section 7.1.2), and so is one on a port that no
   client should be sent to.
5. What has expired is delivered at once, and what holds now in its place as soon as it is known (section 4.4).

How much a name server may send us to is limited, for each name and in all.
"""

from __future__ import annotations

import itertools
import math
import random
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import trio

from .._address import IPV4, IPV6, Address
from .._errors import timed_out
from .._resolve.query import Answer, Query, QuerySent, SendAnswer, Service, Source
from .hedging import PAUSE, bare

ALIASES = 8
"""RFC 9460, section 3.1: clients "MUST impose" a limit on the length of a chain; this is a common one."""

SERVICES = 16
"""How many services of a host are considered: each may cost two queries more, and a name server may name thousands."""

HINTS = 8
"""How many hints of one service and family are considered; they only serve until the addresses are known."""

ADDRESSES_OF_TARGETS = 128
"""How many addresses the targets of a host's services may have together; every one may become an attempt. Those of the
host itself are not counted."""

SERVICES_PATIENCE = PAUSE
"""Seconds that HTTPS records are waited for where a name has no addresses of its own: as long as a name server has to
itself. They may lead somewhere, but a middlebox may as well drop them."""

# fmt: off
BAD_PORTS = frozenset((
    0, 1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103, 104,
    109, 110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 465, 512, 513, 514, 515, 526,
    530, 531, 532, 540, 548, 554, 556, 563, 587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049, 3659, 4045,
    4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080,
))
# fmt: on
"""The Fetch standard's "bad ports": other protocols live there, and a record could make us speak TLS to them; and 0."""


Refresh: TypeAlias = "Callable[[], Awaitable[Records]]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """What a name server has on one name and type."""

    addresses: tuple[str, ...] = ()
    services: tuple[Service, ...] = ()
    alias: str = ""
    """The host that stands in for this one (AliasMode)."""
    refresh: Refresh | None = field(default=None, compare=False)
    """How to find out what holds now, where these have expired; None where they have not."""
    late: bool = field(default=False, compare=False)
    """Whether these stand for an answer that is not waited for, since it came too late the last time."""
    server: str = field(default="", compare=False)
    """Who has answered."""
    ttl: float | None = field(default=None, compare=False)
    """How many seconds the answer may be kept."""


LookUp: TypeAlias = Callable[[str, Source], Awaitable[Records]]
"""Look one type of a name up; raise `OSError` when it cannot be known. No such records is no error: `Records()`."""

Recall: TypeAlias = Callable[[str, Source], "Records | None"]
"""The same from memory, None if there is nothing in it. It does not wait."""


def _remembers_nothing(_name: str, _source: Source) -> Records | None:
    return None


@dataclass(slots=True)
class AliasChain:
    """Where the aliases of a host lead to."""

    names: list[str]
    """The name asked for first, and the aliases."""
    services: tuple[Service, ...] = ()
    error: OSError | None = None
    last: Records | None = None
    """What was found at the end."""
    expired: list[tuple[Records, Refresh]] = field(default_factory=list)
    """What was found on the way and holds no more, and how to find out what does."""

    @property
    def end(self) -> str:
        """The host that stands in for the first one."""
        return self.names[-1]


class SVCBResolver:
    """Ask for addresses and services, and follow where they point.

    Args:
        look_up: Who asks the name servers.
        recall: Who knows what is remembered.
        services: Whether to ask for HTTPS records.
        protocols: The ALPN protocols that this client speaks over TCP.
        encrypted: Whether queries and answers travel encrypted.
        rng: What shuffles services of equal priority (RFC 9460, section 2.4.1).
    """

    def __init__(
        self,
        look_up: LookUp,
        *,
        recall: Recall = _remembers_nothing,
        services: bool = True,
        protocols: tuple[str, ...] = ("h2", "http/1.1"),
        encrypted: bool = False,
        rng: random.Random | None = None,
    ) -> None:
        self._look_up = look_up
        self._recall = recall
        self._services = services
        self._protocols = protocols
        self._encrypted = encrypted
        self._rng = rng or random.Random()

    async def resolve(self, query: Query, send_answer: SendAnswer) -> None:
        """Section 4.1: "the order of queries SHOULD be" HTTPS, AAAA, A."""
        self.announce(query, send_answer)
        if not self._wants_services(query):
            await self._ask_families(query, self._not_remembered(query, "", send_answer), "", send_answer)
            return
        delivery = _Delivery(send_answer, {Source.of(family) for family in query.in_query_order})
        families = self._not_remembered(query, "", delivery.send_answer)
        asked = {""}
        async with trio.open_nursery() as nursery:

            def ask(target: str) -> None:
                """Have the addresses of a target asked for, once."""
                if target not in asked:
                    asked.add(target)
                    self._announce(query, target, delivery.send_answer)
                    nursery.start_soon(self._ask_addresses, query, target, delivery.send_answer)

            if families:
                nursery.start_soon(self._ask_families, query, families, "", delivery.send_answer)
            await self._ask_services(query, delivery, ask)

    def announce(self, query: Query, send_answer: SendAnswer) -> None:
        """Deliver what is asked for, of the host itself."""
        if self._wants_services(query):
            send_answer(QuerySent(Source.HTTPS, encrypted=self._encrypted))
        self._announce(query, "", send_answer)

    def remembered(self, query: Query) -> list[Answer] | None:
        """Return all that there is to say of a host, if it is remembered and holds; None if anything is to be asked."""
        answers: list[Answer] = []
        if self._not_remembered(query, "", answers.append):  # type: ignore[arg-type]  # it sends answers only
            return None
        if self._wants_services(query):
            try:
                records = self._recall(_owner_of_services(query), Source.HTTPS)
            except OSError:  # no such name, no records
                records = Records()
            if records is None or records.alias:
                return None
            chain = AliasChain([_owner_of_services(query)], records.services)
            services = self._usable(chain, query)
            if any(service.target for service in services):
                return None
            answers.insert(0, Answer(Source.HTTPS, services=services, server=records.server, ttl=records.ttl))
        return answers

    def _wants_services(self, query: Query) -> bool:
        return self._services and speaks_https(query)

    async def find_services(self, name: str) -> tuple[Service, ...]:
        """Look up the SRV records of a name, in the order in which they are to be tried.

        What has expired is asked for again first: another host may be the right one now.

        Raises:
            OSError: They cannot be known; `EAI_NONAME` if there is no such name.
        """
        records = await self._look_up(name, Source.SRV)
        if records.refresh is not None:
            records = await records.refresh()
        return in_weighted_order(records.services, self._rng)

    async def _ask_addresses(self, query: Query, name: str, send_answer: SendAnswer) -> None:
        """Find the addresses of a target."""
        await self._ask_families(query, self._not_remembered(query, name, send_answer), name, send_answer)

    async def _ask_families(
        self, query: Query, families: list[socket.AddressFamily], name: str, send_answer: SendAnswer
    ) -> None:
        """Ask for AAAA and, right behind it, for A; what is remembered needs no task."""
        if not families:
            await trio.lowlevel.checkpoint()
        elif len(families) == 1:
            await self._ask_family(query, families[0], name, send_answer)
        else:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._ask_family, query, families[1], name, send_answer)
                await self._ask_family(query, families[0], name, send_answer)

    def _not_remembered(self, query: Query, name: str, send_answer: SendAnswer) -> list[socket.AddressFamily]:
        """Deliver what is remembered and holds; return the families that must be asked for."""
        families = []
        for family in query.in_query_order:
            source = Source.of(family)
            try:
                records = self._recall(name or query.host, source)
            except OSError as error:
                send_answer(Answer(source, error=bare(error), name=name))
                continue
            if records is None:
                families.append(family)
            else:
                send_answer(_addresses(records, source, name, query.port))
        return families

    async def _ask_family(self, query: Query, family: socket.AddressFamily, name: str, send_answer: SendAnswer) -> None:
        source = Source.of(family)
        try:
            records = await self._look_up(name or query.host, source)
            send_answer(_addresses(records, source, name, query.port))
            if records.refresh is not None and ((fresh := await records.refresh()) != records or records.late):
                send_answer(_addresses(fresh, source, name, query.port))
        except OSError as error:
            send_answer(Answer(source, error=bare(error), name=name))

    async def _ask_services(self, query: Query, delivery: _Delivery, ask: Callable[[str], None]) -> None:
        """Find the services, for as long as they can be of use; once more, if what was found has expired."""
        with delivery.services_scope:
            chain = await self._follow(query, ask)
            self._deliver(chain, query, ask, delivery.send_answer)
            if await _has_changed(chain.expired):
                self._deliver(await self._follow(query, ask), query, ask, delivery.send_answer)
        if delivery.services_scope.cancelled_caught:
            silence = timed_out(f"no answer for HTTPS of {query.host}, which has no addresses")
            delivery.send_answer(Answer(Source.HTTPS, error=silence if delivery.name_exists else None))

    async def _follow(self, query: Query, ask: Callable[[str], None]) -> AliasChain:
        """RFC 9460, section 3: find the host that the aliases lead to, and its services.

        An alias is no service yet, but its addresses are asked for at once (version 3, section 4.2).
        """
        chain = AliasChain([_owner_of_services(query)])
        while True:
            try:
                records = await self._look_up(chain.end, Source.HTTPS)
            except OSError as error:
                chain.error = None if error.errno == socket.EAI_NONAME else bare(error)  # no such name, no records
                return chain
            if records.late:
                chain.error = _not_waited_for(Source.HTTPS)
            if records.refresh is not None:
                chain.expired.append((records, records.refresh))
            if not records.alias:
                chain.services, chain.last = records.services, records
                return chain
            if _key(records.alias) in map(_key, chain.names) or len(chain.names) > ALIASES:
                way = " -> ".join([*chain.names, records.alias])
                chain.error = socket.gaierror(socket.EAI_FAIL, f"the aliases of {query.host} lead nowhere: {way}")
                return chain
            chain.names.append(records.alias)
            ask(records.alias)

    def _deliver(self, chain: AliasChain, query: Query, ask: Callable[[str], None], send_answer: SendAnswer) -> None:
        """Deliver the services, their targets asked for."""
        services = self._usable(chain, query)
        for service in services:
            ask(service.target)
        found = chain.last or Records()
        answer = Answer(Source.HTTPS, error=chain.error, services=services, server=found.server, ttl=found.ttl)
        send_answer(answer)

    def _usable(self, chain: AliasChain, query: Query) -> tuple[Service, ...]:
        """Order the services that speak a protocol of ours by priority, equal ones shuffled (section 2.4.1)."""
        usable = [service for service in chain.services if self._speaks(service) and _is_fit(service.port, query.port)]
        self._rng.shuffle(usable)
        usable.sort(key=lambda service: service.priority)
        del usable[SERVICES:]
        if len(chain.names) > 1:
            usable.append(Service(priority=_LAST, target=chain.end))
        return tuple(_named(service, chain.end, query) for service in usable)

    def _speaks(self, service: Service) -> bool:
        """RFC 9460, section 7.1.2: "clients SHOULD NOT attempt connection" where no protocol is shared."""
        return not service.alpn or not set(service.alpn).isdisjoint(self._protocols)

    @staticmethod
    def _announce(query: Query, name: str, send_answer: SendAnswer) -> None:
        for family in query.in_query_order:
            send_answer(QuerySent(Source.of(family), name))


def in_weighted_order(services: Sequence[Service], rng: random.Random) -> tuple[Service, ...]:
    """RFC 2782: the lowest priority first, and of one priority each record next with a probability by its weight.

    "Arrange all SRV RRs [...] so that all those with weight 0 are placed at the beginning of the list"; the first whose
    running sum reaches a random number from 0 to the sum of the weights is selected, and so on with the rest.
    """
    waiting = sorted(services, key=lambda service: (service.priority, service.weight))
    order = []
    while waiting:
        equals = [service for service in waiting if service.priority == waiting[0].priority]
        sums = itertools.accumulate(service.weight for service in equals)
        drawn = rng.randint(0, sum(service.weight for service in equals))
        order.append(next(service for service, total in zip(equals, sums, strict=True) if total >= drawn))
        waiting.remove(order[-1])
    return tuple(order)


_LAST = 65535
"""The lowest priority that a record can have (RFC 9460, section 2.2)."""


def _is_fit(port: int | None, own: int) -> bool:
    """Whether a record may send us to this port."""
    return port is None or port == own or port not in BAD_PORTS


def speaks_https(query: Query) -> bool:
    """Whether HTTPS records are of use: the caller says so, or the port does (RFC 9460, section 9)."""
    return query.services or query.port == 443


def _owner_of_services(query: Query) -> str:
    """RFC 9460, sections 9.1 and 9.5: whose HTTPS records count; port 80 has no name of its own."""
    return query.host if query.port in (443, 80) else f"_{query.port}._https.{query.host}"


@dataclass(slots=True)
class _Delivery:
    """Deliver answers, and know when there is no use in waiting for the services any longer.

    Those of targets are delivered until they have more addresses than anybody would try.
    """

    deliver: SendAnswer
    unanswered: set[Source]
    """The types that may still bring addresses of the host."""
    name_exists: bool = False
    """Whether the host's name exists for one type, and so for all (RFC 8020)."""
    services_scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    _leads_somewhere: bool = False
    _left: int = ADDRESSES_OF_TARGETS

    def send_answer(self, item: QuerySent | Answer) -> None:
        """Be a `SendAnswer`."""
        if isinstance(item, QuerySent):
            self._leads_somewhere |= bool(item.name)
        else:
            if item.name:
                item = replace(item, addresses=item.addresses[: self._left])
                self._left -= len(item.addresses)
            self._note(item)
        if self._leads_somewhere:
            self.services_scope.deadline = math.inf
        self.deliver(item)

    def _note(self, answer: Answer) -> None:
        """A type that nobody answers does not hold up that a name does not exist, or has nothing else."""
        if answer.addresses or answer.services:
            self._leads_somewhere = True
        if answer.name or answer.source not in self.unanswered or isinstance(answer.error, TimeoutError):
            return
        self.unanswered.discard(answer.source)
        self.name_exists |= answer.error is None or answer.error.errno != socket.EAI_NONAME
        if not self.unanswered:
            self.services_scope.deadline = trio.current_time() + (SERVICES_PATIENCE if self.name_exists else 0)


def _addresses(records: Records, source: Source, name: str, port: int) -> Answer:
    if records.late:
        return Answer(source, error=_not_waited_for(source), name=name)
    family = IPV6 if source is Source.AAAA else IPV4
    addresses = tuple(Address(family, text, port) for text in records.addresses)
    return Answer(source, addresses, name=name, server=records.server, ttl=records.ttl)


def _not_waited_for(source: Source) -> OSError:
    return timed_out(f"{source.value} was late the last time and is not waited for")


async def _has_changed(expired: list[tuple[Records, Refresh]]) -> bool:
    """Ask again for what has expired; that there is nothing any more is a change, too."""
    changed = False
    for records, refresh in expired:
        try:
            changed |= await refresh() != records or records.late
        except OSError:
            changed = True
    return changed


def _named(service: Service, owner: str, query: Query) -> Service:
    """Say whose addresses offer a service: "." is the owner of the record, which an alias may have moved."""
    target = service.target or owner
    port = query.port if service.port is None else service.port
    hints = tuple(replace(hint, port=port) for hint in service.hints)
    return replace(service, target="" if _key(target) == _key(query.host) else target, hints=hints)


def _key(name: str) -> str:
    """A name as names are compared (RFC 4343)."""
    return name.removesuffix(".").lower()
