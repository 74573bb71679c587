"""Inquiry: what a race learns of its host's addresses, as it comes (RFC 8305, sections 3, 6 and 7).

The problem: answers arrive while attempts run, from several sources, and some of them decide more than the order.

How we solve it: one object takes in all of them. Each goes to the agenda, which knows what is next; and a bell is
rung, which the race waits for. What the caller knew is an answer like any other.

What lives here: the resolver's side of a race, NAT64's two turns (an address it made is read as the IPv4 address that
it stands for; a name's IPv4 addresses are asked for when all else has failed), and the rule of version 3 on services
that encrypted DNS does not tell. What does not: attempts, and the decision when one starts.
"""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from socket import AddressFamily
from typing import TYPE_CHECKING, Any

import trio

from .._address import IPV6, Address
from .._errors import Attempt, ConnectError, all_failed, gave_up, no_address, services_unknown, timed_out
from .._policy import Policy
from .._resolve.query import Answer, Query, QuerySent, Source
from .attempt import ruled_out
from .candidates import Agenda
from .journal import Journal

if TYPE_CHECKING:
    from .._resolve.history import History
    from .._resolve.nat64 import Translator
    from .._resolve.rules import Rules
    from .._resolve.system import Resolver


@dataclass(slots=True, eq=False)
class Inquiry:
    """The addresses of one race: who is asked for them, and what has been learnt."""

    host: str
    """As the caller wrote it, for errors and events."""
    port: int
    policy: Policy
    families: tuple[AddressFamily, ...]
    """The families that can be used, the preferred one first."""
    history: History | None
    journal: Journal
    given: tuple[Address, ...]
    """The addresses that are known without asking anybody."""

    nat64: Translator | None = field(init=False, default=None)
    """The network's translator, if it is needed to reach IPv4."""
    resolver: Resolver | None = field(init=False, default=None)
    name: str = field(init=False, default="")
    """As the resolver is asked for it: a name of another script in its A-label form."""
    beside: bool = field(init=False, default=False)
    """Whether answers come over time, beside the attempts; else there is one, which is waited for."""

    resolved: bool = field(init=False, default=True)
    """Whether no more answers will come."""
    services_known: trio.Event | None = field(init=False, default=None)
    """Set when the services are known that were asked for over encrypted DNS."""
    forbidden: OSError | None = field(init=False, default=None)
    """Why no address may be used: encrypted DNS did not tell the services."""
    unusable: tuple[OSError, ...] = field(init=False, default=())
    """Why addresses were left out."""
    agenda: Agenda = field(init=False)
    _bell: trio.Event | None = field(init=False, default=None)
    _last_resort: trio.Event | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.agenda = Agenda(self.policy, None if self.history is None else self.history.view(time.time()))

    def ring(self) -> None:
        """Say that something has happened."""
        if self._bell is not None:
            self._bell.set()

    async def wait_for_news(self, until: float) -> None:
        """Wait until something has happened, or until a time on Trio's clock."""
        self._bell = trio.Event()
        await within(until, self._bell.wait)

    def ask(self, resolver: Resolver, name: str) -> None:
        """Have a resolver asked whose one answer is waited for."""
        self.resolver, self.name, self.resolved = resolver, name, False
        self._last_resort = None if self.nat64 is None else trio.Event()

    def ask_beside(self, resolver: Resolver, name: str, rules: Rules) -> None:
        """Have a resolver asked whose answers come over time, to be sorted by the rules of RFC 6724 on this host."""
        self.ask(resolver, name)
        self.beside = True
        self.agenda.rules = rules

    def begin(self) -> None:
        """Take in what is known without asking; that may be tried at once, in the order that was meant."""
        if self.given:
            addresses = self._usable(self.given)
            self.agenda.give(addresses)
            if self.journal.tracers:
                self.journal.answer_received(Answer(Source.GIVEN, addresses))

    async def resolve(self, resolver: Resolver) -> None:
        """Section 3: take in the answers as they come, for as long as the policy lets it take."""
        limit = self.policy.give_up_resolution_after
        if limit != math.inf:
            limit += trio.current_time()
        asked = self.families if self.nat64 is None else tuple(family for family in self.families if family == IPV6)
        query = Query(host=self.name, port=self.port, families=asked, last_resort=self._last_resort)
        try:
            await within(limit, resolver.resolve, query, self.send_answer)
        except OSError as error:
            self.agenda.failures += (error,)
        for source, name in self.agenda.unanswered:
            silence = timed_out(f"no answer for {source.value} of {name or self.host}")
            self.send_answer(Answer(source, error=silence, name=name))
        self.resolved = True
        self.ring()

    def send_answer(self, item: QuerySent | Answer) -> None:
        """Take in what a resolver does and learns."""
        if isinstance(item, QuerySent):
            self.agenda.ask(item)
            if item.encrypted and item.source is Source.HTTPS:
                self.services_known = trio.Event()
            if self.journal.tracers:
                self.journal.query_sent(item)
            return
        if item.source is Source.HTTPS and self.services_known is not None:
            self.services_known.set()
            self.forbidden = item.error
        usable = self._usable(item.addresses)
        if usable is not item.addresses:
            item = replace(item, addresses=usable)
        self.agenda.note(item, trio.current_time())
        if self.journal.tracers:
            self.journal.answer_received(item)
        self.ring()

    def last_resort_at(self, newest_started: float | None, under_way: int) -> float:
        """Section 7.2: when to ask for IPv4 addresses after all; at once if every attempt has failed."""
        if self._last_resort is None or self._last_resort.is_set():
            return math.inf
        if newest_started is not None and under_way:
            return newest_started + self.policy.last_resort_delay
        return -math.inf if newest_started is not None or self.agenda.is_answered else math.inf

    def ask_last_resort(self) -> None:
        """Let the resolver ask for IPv4 addresses."""
        assert self._last_resort is not None
        self._last_resort.set()

    def failure(self, attempts: Sequence[Attempt], gave_up_after: float | None) -> ConnectError:
        """Return the one error of a race that was lost; it says what was tried.

        Args:
            attempts: What became of each.
            gave_up_after: The limit of the whole call, seconds, if that has ended it.
        """
        if self.forbidden is not None:
            return services_unknown(self.host, self.port, attempts, self.forbidden)
        if gave_up_after is not None:
            return gave_up(self.host, self.port, gave_up_after, attempts, self.agenda.failures)
        if attempts or self.unusable:
            return all_failed(self.host, self.port, attempts, self.unusable)
        return no_address(self.host, self.port, self.agenda.failures)

    def _usable(self, addresses: tuple[Address, ...]) -> tuple[Address, ...]:
        """Read translated addresses as what they stand for, and leave out those of a family that is not used."""
        if self.nat64 is not None:
            addresses = tuple(map(self.nat64.read, addresses))
        left_out = [address for address in addresses if address.family not in self.families and not address.is_path]
        if not left_out:
            return addresses
        self.unusable += tuple(map(ruled_out, left_out))
        return tuple(address for address in addresses if address.family in self.families or address.is_path)


def within(time: float, do: Callable[..., Awaitable[object]], *args: Any) -> Awaitable[object]:
    """Do something, until a time on Trio's clock; "never" costs nothing, not even a coroutine.

    To await it returns True if the time was over first. What is done shall return None.
    """
    return do(*args) if time == math.inf else _until(time, do, *args)


async def _until(time: float, do: Callable[..., Awaitable[object]], *args: Any) -> bool:
    with trio.CancelScope(deadline=time) as scope:
        await do(*args)
    return scope.cancelled_caught
