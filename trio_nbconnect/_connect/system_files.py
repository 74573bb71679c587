"""System files: the addresses of localhost, and whether a name is one of DNS that needs no search domain.

`/etc/hosts`, `/etc/nsswitch.conf` and `/etc/resolv.conf` say so. Each file is read again when it has changed. They are
small, so that tasks need not wait for them; a long one is left to the system's look-up, in a thread.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import sys
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

import trio

from .._address import parse_literal

T = TypeVar("T")


def system_file(name: str) -> str:
    r"""Say where the system keeps a file of its network.

    Windows has the hosts file alone. It must not be looked for in `C:\etc`, which anybody may make there.
    """
    if sys.platform != "win32":
        return f"/etc/{name}"
    return os.path.join(os.environ.get("SYSTEMROOT", r"C:\Windows"), "System32", "drivers", "etc", name)


LONGEST = 65536
"""Octets of a file that are read where every task waits for it."""


def _look(path: str) -> tuple[int, ...]:
    """Return the size of a file, and what would have changed with it.

    Raises:
        OSError: It cannot be found, or is no plain file: a pipe would have every task wait for its other end.
    """
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, f"no plain file: {path}")
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_dev


class SmallFile(Generic[T]):
    """A file whose meaning is kept for each `trio.run`, for as long as the file is the same."""

    def __init__(self, path: str, parse: Callable[[str], T], otherwise: T) -> None:
        self.path = path
        self._parse = parse
        self._otherwise = otherwise
        self._known: trio.lowlevel.RunVar[tuple[tuple[int, ...], T]] = trio.lowlevel.RunVar(f"trio_nbconnect {path}")

    def read(self) -> T:
        """Return what it says now; what stands for a file that is too long or cannot be read is said otherwise."""
        try:
            seen = _look(self.path)
            known = self._known.get(((), self._otherwise))
            if known[0] != seen:
                known = seen, self._parse(self._text()) if seen[0] <= LONGEST else self._otherwise
                self._known.set(known)
            return known[1]
        except OSError:
            return self._otherwise

    def _text(self) -> str:
        with open(self.path, encoding="utf-8", errors="replace") as file:
            return file.read(LONGEST)


_OPTION = re.compile(
    r"(?<![^ \t])(?:(ndots|timeout|attempts):[ \t]*([+-]?[0-9]{1,9})?"
    r"|(rotate|use-vc|no-tld-query|no_tld_query|no-aaaa|no-reload))"
)
"""The options of resolv.conf(5) that change what is asked. glibc knows an option by how it begins, and takes as much of
a number as is one, as `atoi` does."""


def parse_options(text: str) -> dict[str, int]:
    """Read options as glibc does: the last of a kind counts, and what is not understood is passed over.

    Example:
        >>> parse_options("ndots:2 rotate ndots:3,timeout:1 attempts")
        {'ndots': 3, 'rotate': 1}
    """
    return {
        number or flag.replace("_", "-"): int(value or 0) if number else 1
        for number, value, flag in _OPTION.findall(text)
    }


def ndots_of(options: Mapping[str, int]) -> int:
    """How many dots a name has that is tried as it is first; 15 at most, and in four bits (`RES_MAXNDOTS`)."""
    return min(options.get("ndots", 1), 15) & 15


def options_of(line: str) -> dict[str, int]:
    """Read one line of resolv.conf; it has no options where it is another line."""
    keyword, _, options = line.replace("\t", " ").partition(" ")
    return parse_options(options) if keyword == "options" else {}


def _parse_ndots(text: str) -> int:
    """What the `options` lines of resolv.conf(5) say."""
    options: dict[str, int] = {}
    for line in text.split("\n"):
        options.update(options_of(line))
    return ndots_of(options)


def _parse_names(text: str) -> frozenset[str]:
    """All names of a hosts file, as names are compared (RFC 4343)."""
    lines = (line.partition("#")[0].split() for line in text.splitlines())
    return frozenset(name.lower() for _, *names in filter(None, lines) for name in names)


def _parse_localhost(text: str) -> tuple[str, ...] | None:
    """The addresses of "localhost", IPv6 first as RFC 6724 has it; None if one of them is not this machine."""
    found: list[str] = []
    for line in text.splitlines():
        number, *names = line.partition("#")[0].split() or [""]
        if "localhost" not in (name.lower() for name in names):
            continue
        try:
            address = parse_literal(number, 0)
        except ValueError:
            continue
        if address is not None and not address.is_loopback:
            return None
        if address is not None:
            found.append(address.host)
    return tuple(sorted(dict.fromkeys(found), key=lambda host: ":" not in host))


_KNOWN_SOURCES = frozenset(("files", "resolve", "myhostname", "mymachines", "mdns_minimal", "mdns4_minimal"))
"""Sources of names that answer at once, ask DNS, or know no name that DNS could know (nss-mdns: `.local` alone)."""


def _parse_dns_is_first(text: str) -> bool:
    """Whether no source that may know a name by itself, and be slow, comes before DNS (nsswitch.conf(5)).

    Of several lines the last counts, for old versions of glibc the first; so all of them must say so.
    """
    before: set[str] = set()
    for line in text.splitlines():
        database, _, sources = line.partition("#")[0].partition(":")
        if database.strip() == "hosts":
            names = re.sub(r"\[[^]]*\]", " ", sources).split()
            before.update(names[: names.index("dns")] if "dns" in names else names)
    return before <= _KNOWN_SOURCES


def names_seen() -> tuple[tuple[int, ...], ...]:
    """Return what would have changed with the files that say what a name means."""
    seen: list[tuple[int, ...]] = []
    for file in (_names, _resolv_conf):
        try:
            seen.append(_look(file.path))
        except OSError:
            seen.append(())
    return tuple(seen)


_KEPT = frozenset(("invalid", "onion"))
"""Zones whose names no name server may see (RFC 6761, section 6.4; RFC 7686, section 2)."""


def is_kept(name: str) -> bool:
    """Whether the hosts file alone may be asked for a name: whoever writes it there wants it to be found."""
    _, dot, last = name.removesuffix(".").lower().rpartition(".")
    return bool(dot) and last in _KEPT  # one label alone may be completed by a search domain


_nsswitch = SmallFile(system_file("nsswitch.conf"), _parse_dns_is_first, True)
_resolv_conf = SmallFile(system_file("resolv.conf"), _parse_ndots, 1)
_hosts: SmallFile[tuple[str, ...] | None] = SmallFile(system_file("hosts"), _parse_localhost, None)
_names: SmallFile[frozenset[str] | None] = SmallFile(system_file("hosts"), _parse_names, None)


def is_dns_name(name: str) -> bool:
    """Whether the system asks DNS for a name as it stands, before any search domain and any source that may be slow.

    Then to ask for one family of it finds the same name (resolv.conf(5), `ndots`; nsswitch.conf(5)). Names in `.local`
    are none of DNS (RFC 6762, section 3), and what ends in a number may be an old spelling of an address.
    """
    last = name.removesuffix(".").rpartition(".")[2].lower()
    if last == "local" or last.isdigit() or last.startswith("0x"):
        return False
    if not _nsswitch.read():
        return False
    if name.endswith("."):
        return True
    options = parse_options(os.environ.get("RES_OPTIONS", ""))
    ndots = ndots_of(options) if "ndots" in options else _resolv_conf.read()
    return name.count(".") >= max(ndots, 1)


async def is_in_hosts(name: str) -> bool:
    """Whether the hosts file has a name, in any family: then DNS is not to be asked for it."""
    name = name.removesuffix(".").lower()
    names = _names.read()
    if names is not None:
        await trio.lowlevel.checkpoint()
        return name in names
    return await trio.to_thread.run_sync(
        _has_line_with, _names.path, name.encode(), abandon_on_cancel=True, limiter=_reading()
    )


_readers: trio.lowlevel.RunVar[trio.CapacityLimiter] = trio.lowlevel.RunVar("trio_nbconnect.readers")


def _reading() -> trio.CapacityLimiter:
    """How many threads read long files (block lists have 170,000 lines); the program's own threads do not count."""
    try:
        return _readers.get()
    except LookupError:
        _readers.set(trio.CapacityLimiter(2))
        return _readers.get()


def _has_line_with(path: str, name: bytes) -> bool:
    try:
        with open(path, "rb") as file:
            text = b"\n%b\n" % file.read().lower()
    except OSError:
        return False
    at = text.find(name)
    while at != -1:  # `find` is as fast as memory; lines are looked at only where the name stands
        end = text.find(b"\n", at)
        line = text[text.rfind(b"\n", 0, at) : end]
        if name in line.partition(b"#")[0].split()[1:]:
            return True
        at = text.find(name, end)
    return False


def localhost() -> tuple[str, ...] | None:
    """The addresses of "localhost" as the hosts file has them; both loopback addresses where it does not name it.

    None if it gives another machine, or cannot be read: then the system must be asked.
    """
    found = _hosts.read()
    return found if found is None or found else ("::1", "127.0.0.1")
