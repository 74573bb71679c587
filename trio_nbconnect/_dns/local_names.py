"""Local names: what this machine knows without asking, and which names a short name stands for.

The problem: an administrator has written addresses into the hosts file, "localhost" is this machine whatever a name
server says, and "db" means "db.corp.example" in a network that says so.

Algorithm: the hosts file comes first, then the special names of RFC 6761 and RFC 7686; a name that is known here is
known for both families. All other names are tried one after the other in the order of resolv.conf(5), and the
addresses of one race come from one of them. Bad answers are held back until the name has something to connect to:
alone they cannot make an attempt begin.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from .._address import IPV4, IPV6, Address, parse_literal
from .._resolve.query import Answer, QuerySent, SendAnswer

T = TypeVar("T")

_Seen = tuple[int, int, int]

Hosts = Mapping[str, tuple[Address, ...]]
"""The addresses of each name, in the order of the file."""

_LOOPBACK = (Address(IPV6, "::1", 0), Address(IPV4, "127.0.0.1", 0))


@dataclass(slots=True)
class CachedFile(Generic[T]):
    """A file that is read when it has changed since. One that cannot be read is as good as empty."""

    path: str
    parse: Callable[[str], T]
    _seen: _Seen | None = field(init=False, default=None)
    _value: T | None = field(init=False, default=None)

    def read(self) -> T:
        """Return what the file says now."""
        seen = self._look()
        if self._value is None or seen != self._seen:
            self._value, self._seen = self.parse(self._text()), seen
        return self._value

    def _look(self) -> _Seen | None:
        try:
            now = os.stat(self.path)
        except OSError:
            return None
        return now.st_mtime_ns, now.st_size, now.st_ino

    def _text(self) -> str:
        try:
            with open(self.path, encoding="utf-8", errors="replace") as file:
                return file.read()
        except OSError:
            return ""


def parse_hosts(text: str) -> Hosts:
    """Read a hosts file; lines that make no sense are passed over.

    Example:
        >>> parse_hosts("192.0.2.1 www.example www # ours")["www"]
        (Address(family=<AddressFamily.AF_INET: 2>, host='192.0.2.1', port=0, flow_info=0, scope_id=0),)
    """
    hosts: dict[str, tuple[Address, ...]] = {}
    for line in text.splitlines():
        number, *names = line.partition("#")[0].split() or [""]
        try:
            address = parse_literal(number, 0)
        except ValueError:
            continue
        for name in names if address else ():
            known = hosts.setdefault(_plain(name), ())
            hosts[_plain(name)] = (*known, address) if address and address not in known else known
    return hosts


def known_here(host: str, hosts: Hosts) -> tuple[Address, ...] | None:
    """Return the addresses of a name that nobody needs to be asked for, or None.

    RFC 6761, sections 6.3 and 6.4, and RFC 7686, section 2: "localhost" is the loopback, "invalid" and "onion" have
    no addresses.
    """
    name = _plain(host)
    if name in hosts:
        return hosts[name]
    last = name.rpartition(".")[2]
    if last == "localhost":
        return _LOOPBACK
    return () if last in ("invalid", "onion") else None


def _plain(name: str) -> str:
    """A name as names are compared (RFC 4343)."""
    return name.removesuffix(".").lower()


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
class SearchBuffer:
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
