"""Search lists: which names a short name stands for, and which of them is the right one.

The problem: "db" means "db.corp.example" in a network that says so, and each name has records of several types, whose
answers come one by one, or never.

Algorithm: names are tried one after the other in the order of resolv.conf(5), and all that one race gets belongs to one
of them: the first that exists and has anything to connect to. What is said of a name is held back until something good
is among it; bad answers alone cannot make an attempt begin. NXDOMAIN for one record type is NXDOMAIN for the name
(RFC 8020), and a type without an answer does not hold the next name back for longer than `PATIENCE`. Was none of the
others the right one, it is asked for again, and waited for.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass, field

import trio

from .._resolve.query import Answer, QuerySent, SendAnswer, Source
from .hedging import PAUSE, Unanswered


def candidates(host: str, search: Sequence[str], ndots: int, *, tld_query: bool = True) -> list[str]:
    """Return the names to try, in order and without the last dot; a domain that is empty is the root.

    Args:
        host: The name.
        search: The domains that may complete it.
        ndots: How many dots it has if it is tried as it is first.
        tld_query: Whether it is tried as it is in the end if it has no dot.

    Example:
        >>> candidates("db", ["corp.example", "example"], 1)
        ['db.corp.example', 'db.example', 'db']
        >>> candidates("db.corp", ["example"], 1)
        ['db.corp', 'db.corp.example']
        >>> candidates("db.", ["example"], 1)
        ['db']
    """
    name = host.removesuffix(".")
    if name != host or not search:
        return [name]
    longer = [f"{name}.{suffix}" if suffix else name for suffix in search]
    if name.count(".") >= ndots:
        return list(dict.fromkeys([name, *longer]))
    return list(dict.fromkeys([*longer, name])) if tld_query or "." in name else longer


PATIENCE = PAUSE
"""Seconds that a record type may be silent where another one of the same name has nothing to connect to: as long as a
name server has to itself. It may still have an address, and then the next name would be a stranger's."""

BESIDE_NXDOMAIN = 0.05
"""The same where the other one says that there is no such name. A few name servers say so of AAAA alone (RFC 4074,
section 4.2); their next answer is under way."""

AFTER_LATE = 0.05
"""The same where that type was silent the last time as well. It is asked again, and who answers now is still heard."""


@dataclass(slots=True)
class SearchBuffer:
    """Hold back what is said of a name until it turns out to be the right one."""

    send_answer: SendAnswer
    is_needed: bool = True
    """Whether there are several names; what is said of the only one is delivered at once."""
    found: bool = False
    """Whether the present name has anything to connect to."""

    _scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    _patient: bool = False
    _asked: set[QuerySent] = field(default_factory=set)
    _known: list[Answer] = field(default_factory=list)
    _held: list[Answer] = field(default_factory=list)
    _best: list[Answer] | None = None

    @property
    def is_silent(self) -> bool:
        """Whether no server has answered for the present name, so that no other name is worth a try."""
        return bool(self._known) and all(isinstance(answer.error, Unanswered) for answer in self._known)

    @property
    def was_left(self) -> bool:
        """Whether a type of the present name was not waited for, though that name exists."""
        return self._scope.cancelled_caught and not any(map(_denies_name, self._known))

    def next_name(self, *, patient: bool = False) -> trio.CancelScope:
        """Begin with another name, to be asked for in this scope; `patient` where there is none behind it."""
        self._keep_best()
        self._known = []
        self._patient = patient or not self.is_needed
        self._scope = trio.CancelScope()
        return self._scope

    def take(self, item: QuerySent | Answer) -> None:
        """Be the `send_answer` of one name after the other."""
        if isinstance(item, QuerySent):
            if item not in self._asked:
                self._asked.add(item)
                self.send_answer(item)
            return
        self._known.append(item)
        self._held.append(item)
        if item.addresses or item.services:
            self.found = True
            self._scope.deadline = float("inf")
        if self.found or not self.is_needed:
            self._release(self._held)
        if not (self.found or item.name):
            self._wait_no_longer_than(self._patience())

    def finish(self) -> None:
        """No name was the right one: say what is known."""
        self._keep_best()
        self._release(self._best or [])

    def _patience(self) -> float:
        """How long the other types may take, after these answers without addresses."""
        if any(map(_denies_name, self._known)):
            return PATIENCE if self._patient and not any(map(_is_late, self._known)) else BESIDE_NXDOMAIN
        if self._patient:
            return float("inf")
        own = (answer for answer in self._known if not answer.name and answer.source is not Source.HTTPS)
        late = [_is_late(answer) for answer in own if not isinstance(answer.error, Unanswered)]
        if all(late):
            return float("inf")
        return AFTER_LATE if any(late) else PATIENCE

    def _wait_no_longer_than(self, seconds: float) -> None:
        self._scope.deadline = min(self._scope.deadline, trio.current_time() + seconds)

    def _keep_best(self) -> None:
        """What was said of a name that may exist after all is what counts in the end."""
        self._held += self._denied_as_well()
        if self._best is None or (_is_unknown(self._held) and not _is_unknown(self._best)):
            self._best = self._held or None
        self._held = []

    def _denied_as_well(self) -> list[Answer]:
        """RFC 8020: what was not answered of a name that does not exist for another type; it has no services then."""
        denial = next(filter(_denies_name, self._known), None)
        if denial is None or self.found:
            return []
        assert denial.error is not None
        answered = {answer.source for answer in self._known if not (answer.name or _is_late(answer))}
        missing = {item.source for item in self._asked if not item.name} - answered
        return [
            Answer(source, error=None if source is Source.HTTPS else socket.gaierror(*denial.error.args))
            for source in Source
            if source in missing
        ]

    def _release(self, answers: list[Answer]) -> None:
        for answer in answers:
            self.send_answer(answer)
        answers.clear()


def _is_late(answer: Answer) -> bool:
    """Whether it stands for one that is not waited for, since it was late the last time."""
    return isinstance(answer.error, TimeoutError)


def _denies_name(answer: Answer) -> bool:
    """Whether it says that there is no such name, and not one that a service points to."""
    return not answer.name and answer.error is not None and answer.error.errno == socket.EAI_NONAME


def _is_unknown(answers: list[Answer]) -> bool:
    """Whether a later look-up might find what this one did not."""
    return any(answer.error is not None and answer.error.errno == socket.EAI_AGAIN for answer in answers)
