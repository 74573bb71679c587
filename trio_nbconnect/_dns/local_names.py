"""Local names: what this machine knows without a query, and which names a short name stands for.

The problem: an administrator has written addresses into the hosts file, "localhost" is this machine whatever a name
server says, and "db" means "db.corp.example" in a network that says so.

Algorithm: the hosts file comes first, then the special names of RFC 6761 and RFC 7686; a name that is known here is
known for both families. All other names are tried one after the other in the order of resolv.conf(5), and all that one
race gets belongs to one of them: the first that exists and has anything to connect to.

What is said of a name is held back until something good is among it; bad answers alone cannot make an attempt begin.
NXDOMAIN for one record type is NXDOMAIN for the name (RFC 8020), and a type without an answer does not hold the next
name back for longer than `PATIENCE`. Was none of the others the right one, it is asked for again, and waited for.
"""

from __future__ import annotations

import io
import os
import re
import socket
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import trio

from .._address import IPV4, IPV6, Address, parse_literal
from .._resolve.query import Answer, QuerySent, SendAnswer, Source
from .hedging import PAUSE, Unanswered
from .message import ADDRESSES

T = TypeVar("T")

_Stamp = tuple[int, int, int, int]

Hosts = Mapping[str, str]
"""The addresses of each name as they are written, with blanks between, in the order of the file. A text and no list:
the garbage collector would look at each of a million lists, again and again."""

SMALL = 32768
"""Octets that are read where they are needed; a longer file goes to a thread. That many are parsed in a millisecond."""

LONGEST = 1 << 26
"""Octets of a file that are read at most, so that a mistake does not fill the memory. The longest block lists have
a million lines and half of that."""

_LOOPBACK = (Address(IPV6, "::1", 0), Address(IPV4, "127.0.0.1", 0))


@dataclass(slots=True)
class CachedFile(Generic[T]):
    """A file that is read when it has changed since. One that cannot be read is as good as empty, until it can be."""

    path: str
    parse: Callable[[str], T]
    _stamp: _Stamp | None = field(init=False, default=None)
    _value: T | None = field(init=False, default=None)
    _is_unread: bool = field(init=False, default=False)
    _lock: trio.Lock = field(init=False, default_factory=trio.Lock)

    async def read(self) -> T:
        """Return what the file says now; a checkpoint only where it is read in a thread."""
        value = self.read_nowait()
        if value is None:
            async with self._lock:
                value = self.read_nowait()
                if value is None:
                    stamp, _ = self._look()
                    value = await trio.to_thread.run_sync(self._parsed, abandon_on_cancel=True)
                    self._value, self._stamp = value, stamp
        return value

    def read_nowait(self) -> T | None:
        """Return what the file says now; None if it has to be read in a thread."""
        stamp, size = self._look()
        if self._value is None or stamp != self._stamp or self._is_unread:
            if size > SMALL:
                return None
            self._value, self._stamp = self._parsed(), stamp
        return self._value

    def forget(self) -> None:
        """Read it again the next time: what it means may change without it."""
        self._value = None

    def _look(self) -> tuple[_Stamp | None, int]:
        """Find out what would have changed with the file; whatever is no plain file counts as none."""
        try:
            now = os.stat(self.path)
        except (OSError, ValueError):
            return None, 0
        if not stat.S_ISREG(now.st_mode):
            return None, 0
        return (now.st_mtime_ns, now.st_ctime_ns, now.st_size, now.st_ino), now.st_size

    def _parsed(self) -> T:
        return self.parse(self._text())

    def _text(self) -> str:
        self._is_unread = False
        try:
            with open(self.path, "rb", opener=_without_waiting) as file:
                status = os.fstat(file.fileno())
                if not stat.S_ISREG(status.st_mode):
                    return ""
                octets = file.read(min(status.st_size + 1, LONGEST))
                return re.sub(b"\0.*", b"", octets).decode("utf-8", "replace")  # where the C library's lines end
        except (FileNotFoundError, ValueError):
            return ""
        except OSError:  # no descriptor is left, say; and in a moment there will be
            self._is_unread = True
            return ""


def _without_waiting(path: str, flags: int) -> int:
    """Open a file; a pipe that has come in its place does not make us wait for its other end."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def parse_hosts(text: str) -> Hosts:
    """Read a hosts file; each name has as many addresses as are considered at all.

    Example:
        >>> parse_hosts("192.0.2.1 www.example www # ours")["www"]
        '192.0.2.1'
    """
    hosts: dict[str, str] = {}
    former, makes_sense = "", False
    for line in io.StringIO(text):
        number, *names = line.partition("#")[0].split() or [""]
        if number != former:
            former, makes_sense = number, _is_address(number)
        if not makes_sense:
            continue
        for name in map(_plain, names):
            known = hosts.get(name)
            if known is None:
                hosts[name] = number
            elif known.count(" ") < ADDRESSES - 1 and number not in known.split():
                hosts[name] = f"{known} {number}"
    return hosts


def _is_address(text: str) -> bool:
    """Tell lines that make no sense from others; whether an interface exists is seen when the name is looked up."""
    try:
        return parse_literal(text.partition("%")[0], 0) is not None
    except ValueError:
        return False


def _read_numbers(numbers: str) -> Iterator[Address]:
    """Read the addresses of a name, those left out whose interface does not exist now."""
    for number in numbers.split():
        with suppress(ValueError):
            yield _checked(number)


def _checked(number: str) -> Address:
    """Read one; it has made sense before.

    Raises:
        ValueError: Its interface does not exist.
    """
    address = parse_literal(number, 0)
    assert address is not None
    return address


def known_here(host: str, hosts: Hosts) -> tuple[Address, ...] | None:
    """Return the addresses of a name that needs no query, or None.

    Raises:
        socket.gaierror: It must not be asked for.
    """
    name = _plain(host)
    found = tuple(dict.fromkeys(_read_numbers(hosts.get(name, ""))))
    if found:
        return found
    last = name.rpartition(".")[2]
    if last == "localhost":
        return _LOOPBACK
    check_may_be_asked(name)
    return None


def check_may_be_asked(name: str) -> None:
    """Keep names that no name server may see: RFC 6761, sections 6.3 and 6.4, and RFC 7686, section 2.

    The other names of RFC 6761 are no exception: resolvers "SHOULD NOT" treat "test" and "example" specially.

    Raises:
        socket.gaierror: This is one of them.
    """
    last = _plain(name).rpartition(".")[2]
    if last in ("localhost", "invalid", "onion"):
        raise socket.gaierror(socket.EAI_NONAME, f"name servers are not asked for names below {last}: {name}")


def _plain(name: str) -> str:
    """A name as names are compared (RFC 4343)."""
    return name.removesuffix(".").lower()


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
