"""Agenda: which address is next, and whether attempts may begin (RFC 8305, sections 3 and 6).

The problem: answers arrive while attempts run. Each may bring new addresses, or take back some that were not tried.

How we solve it: the agenda keeps the latest answer of each source. Whenever one changes, the *complete* list is
sorted anew, addresses already tried included, and the first one not yet tried is next. RFC 8305 speaks of the
addresses not yet tried; sorting those alone would start with the same family twice, so we follow its successor.

What lives here: that list, and the rule of section 3 on when the first attempt may begin. Times are data that the
caller brings; nothing here waits, or knows a clock. Taking an address costs the same however many there are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from ._address import Address
from ._order import interleave, prefer
from ._policy import Policy
from ._question import Answer, Asked, Source


@dataclass(slots=True)
class Agenda:
    """The addresses of one race: what has been asked, what was answered, what was tried."""

    policy: Policy
    failures: list[OSError] = field(default_factory=list)
    """What the sources that brought no address said."""

    _pending: set[Source] = field(default_factory=set)
    _answers: dict[Source, tuple[Address, ...]] = field(default_factory=dict)
    _first_positive: float = math.inf
    _tried: list[Address] = field(default_factory=list)
    _ahead: list[Address] = field(default_factory=list)
    """What has not been tried, the next one at the end."""

    def ask(self, asked: Asked) -> None:
        """Expect an answer from this source."""
        self._pending.add(asked.source)

    def note(self, answer: Answer, now: float) -> None:
        """Take in an answer; it replaces the former one of its source."""
        self._pending.discard(answer.source)
        self._answers[answer.source] = answer.addresses
        if answer.addresses:
            self._first_positive = min(self._first_positive, now)
        if answer.error is not None:
            self.failures.append(answer.error)
        self._ahead = self._sorted()
        self._ahead.reverse()

    @property
    def unanswered(self) -> tuple[Source, ...]:
        """The sources that were asked and have not answered."""
        return tuple(self._pending)

    def may_begin_at(self) -> float:
        """Section 3: when the first attempt may begin, infinity while nothing is known.

        At once when the preferred family has answered, with addresses or without; else when addresses of the other
        one have waited for it over the Resolution Delay.
        """
        if self._pending and Source.of(self.policy.families[0]) in self._pending:
            return self._first_positive + self.policy.resolution_delay
        return self._first_positive

    def peek(self) -> Address | None:
        """Return the address that is next, None if all that are known were tried."""
        return self._ahead[-1] if self._ahead else None

    def take(self) -> Address:
        """Return the address that is next and count it as tried."""
        address = self._ahead.pop()
        self._tried.append(address)
        return address

    def _sorted(self) -> list[Address]:
        """Section 4, over everything that is known now.

        One answer that holds both families, from a hook or from the caller, is in the order that was meant.
        """
        known = [address for addresses in self._answers.values() for address in addresses]
        if len(known) < 2 and not self._tried:
            return known
        if all(source.family is not None for source in self._answers):
            known = prefer(self.policy.families, known)
        tried = set(self._tried)
        order = interleave(known, self.policy.first_address_family_count)
        return [address for address in order if address not in tried]
