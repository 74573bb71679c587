"""Search: which names a short name may stand for (resolv.conf(5): search, ndots).

The problem: "db" means "db.corp.example" in a network that says so, and "db.corp.example" is not to be looked for
below "corp.example" first. Addresses of one race must not come from two such names.

How we solve it: one name after the other, in the system's order, and the first that has any address is the one. What
is said of a name is held back until something good is among it: an address, or a service that may lead to one. Bad
news alone cannot make an attempt begin, so nothing is lost by holding it back.

What lives here: that order and that sieve. What does not: asking.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass, field

from .._resolve.query import Answer, QuerySent, SendAnswer


def candidates(host: str, search: Sequence[str], ndots: int) -> list[str]:
    """Return the names to try, in order and without the last dot.

    Example:
        >>> candidates("db", ["corp.example", "example"], 1)
        ['db.corp.example', 'db.example', 'db']
        >>> candidates("db.corp", ["example"], 1)
        ['db.corp', 'db.corp.example']
        >>> candidates("db.", ["example"], 1)
        ['db']
    """
    name = host.removesuffix(".")
    if name != host:
        return [name]
    longer = [f"{name}.{suffix}" for suffix in search]
    return [name, *longer] if name.count(".") >= ndots else [*longer, name]


@dataclass(slots=True)
class Sieve:
    """Hold back what is said of a name until it turns out to be the right one."""

    send_answer: SendAnswer
    found: bool = False
    """Whether the present name has anything to connect to."""

    _asked: set[QuerySent] = field(default_factory=set)
    _held: list[Answer] = field(default_factory=list)
    _best: list[Answer] | None = None

    def take(self, item: QuerySent | Answer) -> None:
        """Be the `send_answer` of one name after the other."""
        if isinstance(item, QuerySent):
            if item not in self._asked:
                self._asked.add(item)
                self.send_answer(item)
            return
        self._held.append(item)
        if item.addresses or item.services:
            self.found = True
        if self.found:
            self._release(self._held)

    def next_name(self) -> None:
        """Begin with another name. What was said of one that may exist after all is what counts in the end."""
        if self._best is None or (_is_unknown(self._held) and not _is_unknown(self._best)):
            self._best = self._held
        self._held = []

    def finish(self) -> None:
        """No name was the right one: say what is known."""
        self.next_name()
        self._release(self._best or [])

    def _release(self, answers: list[Answer]) -> None:
        for answer in answers:
            self.send_answer(answer)
        answers.clear()


def _is_unknown(answers: list[Answer]) -> bool:
    """Whether a later look-up might find what this one did not."""
    return any(answer.error is not None and answer.error.errno == socket.EAI_AGAIN for answer in answers)
