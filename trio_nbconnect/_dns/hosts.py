"""Hosts: what this machine knows without asking (hosts(5); RFC 6761).

The problem: some names are decided here. An administrator has written addresses into `/etc/hosts`; "localhost" is this
machine, whatever a name server says; and "invalid" and "onion" must not be asked for at all.

How we solve it: look at the file before anything is sent. It is read again when it has changed, as the system does.
A name that stands there is known for both families: what the file does not say, a name server is not asked for.

What lives here: reading small files, and the names that are special. What does not: `resolv.conf`, whose reader is
dnspython's; see `_dns_servers`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from .._address import IPV4, IPV6, Address, parse_literal

T = TypeVar("T")

_Seen = tuple[int, int, int]

Hosts = Mapping[str, tuple[Address, ...]]
"""The addresses of each name, in the order of the file."""

_LOOPBACK = (Address(IPV6, "::1", 0), Address(IPV4, "127.0.0.1", 0))


@dataclass(slots=True)
class Watched(Generic[T]):
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
