"""Local names: what this machine knows without a query, and what no name server may be asked.

The problem: an administrator has written addresses into the hosts file, and "localhost" is this machine whatever a name
server says.

Algorithm: the hosts file comes first, and is read again when it has changed; then the special names of RFC 6761 and
RFC 7686. A name that is known here is known for both families.
"""

from __future__ import annotations

import io
import os
import re
import socket
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import trio

from .._address import IPV4, IPV6, Address, parse_literal
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
