"""Candidates: which address is tried next (RFC 8305, sections 3, 4 and 6).

Answers arrive while attempts run; each may bring new addresses, or take back some that were not tried. The latest
answer of each source is kept. Whenever one changes, the *complete* list is sorted anew, addresses already tried
included, and the first one not yet tried is next. RFC 8305 speaks of the addresses not yet tried; sorting those alone
would start with the same family twice, so we follow its successor. And as there, services come by priority, each with
its target's addresses or its hints, and the host itself comes last. Several hosts of the caller's are services, too;
and what stands for the attempts of `race` are addresses, whose groups alternate as families do.

Times are data that the caller brings: nothing here waits or knows a clock. To take an address costs the same however
many there are.
"""

from __future__ import annotations

import math
import socket
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import TYPE_CHECKING, TypeAlias

from .._address import IPV6, Address, GroupedAddress, grouped
from .._policy import Policy
from .._resolve.query import Answer, QuerySent, Service, Source, is_for_now

if TYPE_CHECKING:
    from .._resolve.history import HistoryView
    from .._resolve.rfc6724 import Rules
    from .journal import DelayName, ReasonName

_Key: TypeAlias = tuple[Source, str]
"""A record type and whose it is, empty for the host itself."""

_HOSTS = frozenset({Source.SRV, Source.GIVEN})
"""Whose services are hosts that the caller or the name server has named, not ways to reach one host."""


class Candidates:
    """The addresses of one race: what was asked, what was answered, what was tried.

    Args:
        policy: The numbers that the order obeys.
        families: Those that can be used, the preferred one first; None is all of the policy's.
        view: What earlier connections taught, None if nothing.
        make_rules: Makes of a view what sorts addresses on this host, when it is first needed; None if nothing does.
    """

    __slots__ = (
        *(
            "_answers",
            "_are_hosts",
            "_failed",
            "_families",
            "_first_positive",
            "_given",
            "_make_rules",
            "_next",
            "_order",
        ),
        *("_pending", "_policy", "_rules", "_services", "_tried", "_view", "is_encrypted", "other_failures"),
    )

    def __init__(
        self,
        policy: Policy,
        families: tuple[socket.AddressFamily, ...] | None = None,
        view: HistoryView | None = None,
        make_rules: Callable[[HistoryView | None], Rules] | None = None,
    ) -> None:
        self._policy = policy
        self._families = policy.families if families is None else families
        self._view = view
        self._make_rules = make_rules
        self._rules: Rules | None = None
        self._pending: frozenset[_Key] = frozenset()
        self._given: tuple[Address, ...] = ()
        self._answers: tuple[tuple[_Key, tuple[Address, ...]], ...] = ()  # the latest of each source
        self._services: tuple[Service, ...] = ()
        self._are_hosts = False  # whether those are several hosts
        self._first_positive = math.inf
        self._tried: frozenset[Address] = frozenset()  # before the list was sorted last
        self._order: Sequence[Address] = ()  # what had not been tried then, the best first
        self._next = 0  # how many of those have been tried since
        self._failed: dict[_Key, OSError] = {}  # whose latest answers are errors
        self.other_failures: tuple[OSError, ...] = ()
        """What was said for no source alone."""
        self.is_encrypted = False
        """Whether the services are asked for over encrypted DNS."""

    def expect(self, query: QuerySent) -> bool:
        """Expect an answer from this source; return False if it was expected already."""
        key = query.source, query.name
        if key in self._pending:
            return False
        self._pending |= {key}
        if query.source is Source.HTTPS and query.encrypted:
            self.is_encrypted = True
        return True

    def start_with(self, addresses: tuple[Address, ...]) -> None:
        """Start with addresses that the caller knows; they wait for nothing."""
        self._given = addresses
        self._first_positive = -math.inf
        self._order = addresses if len(addresses) == 1 else self._sorted()

    def update(self, answer: Answer, now: float) -> None:
        """Take in an answer; it replaces the former one of its source."""
        key = answer.source, answer.name
        self._pending -= {key}
        if answer.source is Source.SYSTEM and not is_for_now(answer.error):
            hurried = {(Source.AAAA, answer.name), (Source.A, answer.name)}
            self._pending -= hurried  # the whole answer takes the place of those that were to hurry it
            self._answers = tuple((known, addresses) for known, addresses in self._answers if known not in hurried)
            self._failed = {known: error for known, error in self._failed.items() if known not in hurried}
        if answer.services or answer.source is Source.HTTPS:
            self._services, self._are_hosts = answer.services, answer.source in _HOSTS
        else:
            self._answers = tuple({**dict(self._answers), key: answer.addresses}.items())
        self._failed.pop(key, None)
        if answer.error is not None:
            self._failed[key] = answer.error
        if self._next:
            self._tried = self._tried.union(self._order[: self._next])
        self._order, self._next = self._sorted(), 0
        if self._order and self._first_positive == math.inf:
            self._first_positive = now

    @property
    def failures(self) -> tuple[OSError, ...]:
        """What those said who brought no address; what is answered anew since has failed no more."""
        return (*self._failed.values(), *self.other_failures)

    @property
    def unanswered(self) -> tuple[_Key, ...]:
        """The sources that were asked and have not answered, with the names."""
        return tuple(sorted(self._pending, key=lambda key: (key[1], key[0].value)))

    @property
    def is_answered(self) -> bool:
        """Whether all the addresses that were asked for so far have been answered, or nobody will answer any more."""
        if self.other_failures:
            return True
        return bool(self._given or self._answers) and all(source is Source.HTTPS for source, _ in self._pending)

    @property
    def missing_hosts(self) -> tuple[OSError, ...]:
        """Why some of several hosts have no address."""
        found = {name for (_, name), addresses in self._answers if addresses}
        missing = [error for (_, name), error in self._failed.items() if name and name not in found]
        return tuple(missing) if self._are_hosts else ()

    def may_begin_at(self) -> float:
        """Section 3: when the first attempt may begin, infinity while nothing is known.

        At once when the preferred family has answered, with addresses or without, and so have the services where they
        were asked for; else when the first addresses have waited for that over the Resolution Delay.
        """
        if (self._pending or self._are_hosts) and self._waits():
            return self._first_positive + self._policy.resolution_delay
        return self._first_positive

    def why_first(self) -> ReasonName:
        """Section 3: why the first attempt begins now."""
        if self._given or any(source is Source.GIVEN for (source, _), _ in self._answers):
            return "FIRST"
        if not self._pending:
            return "ALL_ANSWERED"
        is_hurried = (Source.SYSTEM, "") in self._pending
        return "RESOLUTION_DELAY_OVER" if is_hurried or self._waits() else "PREFERRED_ANSWERED"

    def _waits(self) -> bool:
        """Version 3, section 4.2: whether what is still pending may change which address is the best.

        The operating system's answer for both families was waited for already when others hurry it.
        """
        if (Source.SYSTEM, "") in self._pending:
            return False
        if (Source.HTTPS, "") in self._pending:
            return True
        for service in self._services:
            offered = self._offered(service)
            if offered:
                return self._waits_for_family(service.target, offered)
            if self._is_pending(service.target) and not service.hints:  # such hints are of families that are not used
                return True  # the best service's addresses are being asked for: nothing else goes first
        return self._waits_for_family("", self._order)

    def _waits_for_family(self, name: str, known: Sequence[Address]) -> bool:
        """Whether the preferred family's addresses of a name are pending; a hint is a positive answer, too.

        IPv6 addresses that any ordinary IPv4 address would come before are none of those that end the wait. A family
        without a default route is not preferred (version 3, section 4.2).
        """
        preferred = self._families[0]
        if (Source.SYSTEM, name) in self._pending:
            return False
        if preferred == IPV6 and self._make_rules is not None and (Source.A, name) in self._pending:
            ours = [address for address in known if address.family == IPV6]
            if ours and self._sorter.is_inferior(ours[0]):
                return True
        if (Source.of(preferred), name) not in self._pending or any(address.family == preferred for address in known):
            return False
        return self._make_rules is None or self._sorter.has_default_route(preferred)

    def _is_pending(self, name: str) -> bool:
        """Whether more may come of a target; a host that nobody was asked about yet will be asked about."""
        if self._are_hosts and not any(known == name for (_, known), _ in self._answers):
            return True
        return any(asked == name for _, asked in self._pending)

    def peek(self) -> Address | None:
        """Return the address that is next, None if all that are known were tried."""
        return self._order[self._next] if self._next < len(self._order) else None

    def pop(self) -> Address:
        """Return the address that is next and count it as tried."""
        self._next += 1
        return self._order[self._next - 1]

    def delay(self, address: Address, under_way: int) -> float:
        """Section 5: the Connection Attempt Delay after an attempt at this address, beside so many others.

        History has it, or the policy. It grows with each of the others, up to the Maximum Connection Attempt Delay.
        """
        policy, delay = self._policy, self._policy.attempt_delay
        if self._view is not None and policy.delay_from_history:
            bounds = {"minimum": policy.minimum_delay, "maximum": policy.maximum_delay}
            delay = self._view.attempt_delay(address, default=delay, **bounds)
        if policy.attempt_delay_multiplier != 1:
            limit = max(delay, policy.maximum_delay)
            for _ in range(under_way):
                delay = min(delay * policy.attempt_delay_multiplier, limit)
        return delay

    def delay_source(self, address: Address) -> DelayName:
        """Say where the delay after an attempt at this address comes from."""
        is_known = self._view is not None and self._view.rtt(address) is not None
        policy = self._policy
        return "HISTORY" if is_known and policy.delay_from_history and policy.attempt_delay < math.inf else "POLICY"

    def _sorted(self) -> list[Address]:
        """Section 4, over everything that is known now: the services by priority, and then the host itself."""
        known = self._host_s_own()
        if not self._tried and not self._services:
            return known if len(known) < 2 else self._in_order(known, "")
        order: list[Address] = []
        for service in self._services:
            offered = self._in_order(self._offered(service), service.target)
            order += [self._of_service(address, service) for address in offered]
        order += self._in_order(known, "")
        return [address for address in dict.fromkeys(order) if address not in self._tried]

    def _host_s_own(self) -> list[Address]:
        """The addresses of the host itself."""
        known = list(self._given)
        for (_, name), addresses in self._answers:
            known += () if name else addresses
        return known

    def _in_order(self, known: list[Address], of: str) -> list[Address]:
        """Sort and interleave the addresses of one host, the one that was asked for or a target."""
        return interleave(self._ranked(known, of), self._policy.first_address_family_count)

    def _ranked(self, known: list[Address], of: str) -> list[Address]:
        """Sort the addresses of one host.

        What the caller or a hook gave is in the order that was meant. The system's order stands, but for what history
        knows of equals; of what it was asked family by family each family's order stands.
        """
        sources = {source for (source, name), _ in self._answers if name == of}
        if known and not (self._given or Source.HOOK in sources or Source.GIVEN in sources):
            if Source.SYSTEM in sources:
                known = self._sorter.reorder(known) if self._view is not None else known
            elif self._make_rules is not None:
                known = self._sorter.merge(known) if (Source.SYSTEM, of) in self._pending else self._sorter.sort(known)
            if self._make_rules is None or self._families[0] != IPV6:
                known = prefer(self._families, known)
        return known

    @property
    def _sorter(self) -> Rules:
        """RFC 6724's rules on this host, made when they are first needed."""
        if self._rules is None:
            assert self._make_rules is not None
            self._rules = self._make_rules(self._view)
        return self._rules

    def _offered(self, service: Service) -> list[Address]:
        """Version 3, section 4.2: the target's addresses, or in their place its hints while there are none."""
        offered = [address for (_, name), known in self._answers if name == service.target for address in known]
        families = {address.family for address in offered}
        hints = [hint for hint in service.hints if hint.family in self._families and hint.family not in families]
        return prefer(self._families, offered + hints) if hints else offered

    def _of_service(self, address: Address, service: Service) -> Address:
        """Section 4.2: the port is the service's; of several hosts, say whose address it is."""
        if service.port is not None:
            address = replace(address, port=service.port)
        return grouped(address, service.target) if self._are_hosts else address


def prefer(families: Sequence[socket.AddressFamily], addresses: Iterable[Address]) -> list[Address]:
    """Bring the addresses into the order of their families, keeping the order inside each.

    Example:
        >>> from trio_nbconnect._address import IPV4, IPV6
        >>> a, b = Address(IPV4, "192.0.2.1", 80), Address(IPV6, "2001:db8::1", 80)
        >>> [address.host for address in prefer((IPV6, IPV4), [a, b])]
        ['2001:db8::1', '192.0.2.1']
    """
    return sorted(addresses, key=lambda address: families.index(address.family))


def interleave(addresses: Sequence[Address], first_address_family_count: int) -> list[Address]:
    """Section 4: let the families alternate, after `first_address_family_count` addresses of the first one.

    The first address stays the first. Duplicates are dropped: an endpoint is tried once.
    """
    families: dict[object, list[Address]] = {}
    for address in dict.fromkeys(addresses):
        families.setdefault(_alternating(address), []).append(address)
    first, *others = families.values() or [[]]
    lead = first_address_family_count - 1
    rounds = zip_longest(first[lead:], *others)
    return first[:lead] + [address for turn in rounds for address in turn if address is not None]


def _alternating(address: Address) -> object:
    """What is to alternate: families; and what has none has a group."""
    return address.group if isinstance(address, GroupedAddress) else address.family
