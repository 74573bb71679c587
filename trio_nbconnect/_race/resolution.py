"""Resolution: the addresses of a host, as they come (RFC 8305, sections 3 and 7).

Answers arrive from several sources while attempts run. Each goes to the candidates, and the race is woken. Addresses
that were given are an answer like any other, and the only one. What others say is cut to so many addresses of each
family, what the caller gives is not.

On a network without IPv4 a translator (NAT64) stands in: an IPv6 address that it made is read as the IPv4 address that
it stands for, and an IPv4 address is written as an IPv6 one when an attempt starts.
"""

from __future__ import annotations

import math
import sys
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from operator import attrgetter
from socket import AddressFamily
from typing import TYPE_CHECKING

import trio

from .._address import IPV4, IPV6, Address, Target, check_numeric
from .._connect.look_ups import first_of_each_family
from .._connect.network import checkpoint_if_over
from .._errors import look_up_failures, ruled_out, timed_out, without_failures
from .._policy import Policy
from .._resolve.query import Answer, Query, QuerySent, SendAnswer, Source
from .candidates import Candidates
from .explanation import explain
from .journal import Journal

if sys.version_info < (3, 11):  # pragma: no cover - trio brings the backport on 3.10
    from exceptiongroup import BaseExceptionGroup

if TYPE_CHECKING:
    from .._resolve.nat64 import Translator
    from .._resolve.system import Resolver


class Change:
    """What the body of a race waits for: that anything has changed."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event: trio.Event | None = None

    def notify(self) -> None:
        """Wake who waits."""
        if self._event is not None:
            self._event.set()

    async def wait(self, deadline: float) -> None:
        """Wait until something has changed, or until a time on Trio's clock.

        What has changed by then counts first, although Trio may wake us before the tasks that will tell: a program that
        was busy finds the time over and the answers there at once.
        """
        self._event = trio.Event()
        with until(deadline) as limit:
            await self._event.wait()
        if limit.cancelled_caught:
            await trio.lowlevel.checkpoint()


class _NoLimit:
    """What stands for a cancel scope that will never be cancelled."""

    cancelled_caught = False


_NO_LIMIT = nullcontext(_NoLimit())


def until(deadline: float) -> AbstractContextManager[trio.CancelScope | _NoLimit]:
    """Limit a block by a time on Trio's clock; "never" costs nothing."""
    return _NO_LIMIT if deadline == math.inf else trio.CancelScope(deadline=deadline)


def _knows_nothing(_query: Query, _send_answer: SendAnswer) -> bool:
    """Be the `resolve_nowait` of a resolver that has none."""
    return False


class Resolution:
    """The addresses of one race: brings what is answered to its candidates."""

    __slots__ = (
        *("_alone_until", "_families", "_journal", "_last_resort", "_nat64", "_resolver", "_services", "_target"),
        *("_until", "candidates", "change", "fatal_error", "is_over", "unusable"),
    )

    def __init__(
        self,
        target: Target,
        policy: Policy,
        families: tuple[AddressFamily, ...],
        candidates: Candidates,
        journal: Journal,
        *,
        resolver: Resolver | None,
        alone_until: float,
        services: bool,
        nat64: Translator | None,
        last_resort: bool,
    ) -> None:
        limit = policy.give_up_resolution_after
        self._target = target
        self._until = limit if limit == math.inf else trio.current_time() + limit
        self._families = families
        self._journal = journal
        self._resolver = resolver
        self._alone_until = alone_until  # until when there is nothing to do but to wait for one answer
        self._services = services
        self._nat64 = nat64
        self._last_resort = trio.Event() if last_resort else None
        self.candidates = candidates
        self.is_over = resolver is None
        """Whether no more answers will come."""
        self.fatal_error: OSError | None = None
        """Why no address may be used: encrypted DNS did not tell the services."""
        self.unusable: tuple[OSError, ...] = ()
        """Why addresses were left out."""
        self.change = Change()

    async def run_alone(self) -> None:
        """Take in what is known without waiting, or for what one may wait in the calling task."""
        if self._resolver is None:
            given = self._usable(self._target.addresses)
            self.candidates.start_with(given)
            if self._journal.tracers:
                self._journal.answer_received(Answer(Source.GIVEN, given))
                self._tell_order()
        elif self._alone_until > trio.current_time():
            with until(min(self._alone_until, self._until)):
                await self._ask(self._families)
                self.is_over = True
        elif self._last_resort is None:
            resolve_nowait = getattr(self._resolver, "resolve_nowait", _knows_nothing)
            self.is_over = resolve_nowait(self._query(self._families), self._take)

    async def run(self) -> None:
        """Section 3: take in the answers as they come, for as long as the policy lets it take."""
        with until(self._until):
            if self._last_resort is None:
                await self._ask(self._families)
            else:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._ask, tuple(family for family in self._families if family == IPV6))
                    await self._last_resort.wait()
                    await self._ask((IPV4,))
        for source, name in self.candidates.unanswered:
            of = "no answer from the system for" if source is Source.SYSTEM else f"no answer for {source.value} of"
            silence = timed_out(f"{of} {name or self._target.host}")
            self._take(Answer(source, error=silence, name=name))
        self.is_over = True
        self.change.notify()

    async def _ask(self, families: tuple[AddressFamily, ...]) -> None:
        assert self._resolver is not None
        try:
            await checkpoint_if_over()  # nobody is asked once the race was given up
            await self._resolver.resolve(self._query(families), self._take)
        except Exception as error:
            failures = look_up_failures(error)
            if not failures:
                raise
            self.candidates.other_failures += tuple(failures)
            self.change.notify()
        except BaseExceptionGroup as error:
            raise without_failures(error)  # noqa: B904 - the same, or a part of it

    def _query(self, families: tuple[AddressFamily, ...]) -> Query:
        target = self._target
        return Query(host=target.name, port=target.port, families=families, services=self._services)

    def _take(self, item: QuerySent | Answer) -> None:
        """Take in what a resolver does and learns."""
        if isinstance(item, QuerySent):
            if self.candidates.expect(item):
                self._journal.query_sent(item)
            return
        if not isinstance(item, Answer):
            raise TypeError(f"a resolver must send QuerySent and Answer, not {item!r}")
        if item.source is Source.HTTPS and item.error is not None and self.candidates.is_encrypted and self._services:
            self.fatal_error = item.error  # version 3, section 6.3: an attacker may have taken services away
        addresses = item.addresses
        if item.source is not Source.GIVEN:
            addresses = tuple(first_of_each_family(addresses, attrgetter("family")))
        for address in addresses:
            check_numeric(address)
        usable = self._usable(addresses)
        if usable is not item.addresses:
            item = replace(item, addresses=usable)
        self.candidates.update(item, trio.current_time())
        self._journal.answer_received(item)
        if self._journal.tracers:
            self._tell_order()
        self.change.notify()

    def _tell_order(self) -> None:
        """Tell why the candidates are in this order."""
        self._journal.candidates_sorted(explain(self.candidates))

    @property
    def has_last_resort(self) -> bool:
        """Whether IPv4 addresses may still be asked for, to be reached through the translator."""
        return self._last_resort is not None and not self._last_resort.is_set()

    def ask_last_resort(self) -> None:
        """Section 7.2: let the resolver ask for IPv4 addresses after all."""
        assert self._last_resort is not None
        self._last_resort.set()

    def reached_by(self, address: Address) -> Address:
        """The address by which this one is reached: another one, where the translator stands in."""
        return address if self._nat64 is None else self._nat64.write(address)

    def _usable(self, addresses: tuple[Address, ...]) -> tuple[Address, ...]:
        """Read translated addresses as what they stand for, and leave out those of a family that is not used."""
        families = self._families
        if self._nat64 is not None:
            addresses = tuple(map(self._nat64.read, addresses))
        usable: list[Address] = []
        left_out: list[Address] = []
        for address in addresses:
            (usable if address.family in families or address.is_path else left_out).append(address)
        if not left_out:
            return addresses
        self.unusable += tuple(map(ruled_out, left_out))
        return tuple(usable)
