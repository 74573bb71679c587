"""Simulated names: which records name servers have, when they answer, and who has asked.

Both kinds of resolver read the same zone: the system's, which gets addresses only, and one that asks for HTTPS records
as well. An answer is known when the query is sent, and handed over when its time has come. No resolver asks for names
in `.onion` and `.invalid`, and there is no hosts file.
"""

from __future__ import annotations

import copy
import math
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import trio

from .._address import Address, check_host, check_name, parse_literal
from .._connect.look_ups import not_looked_up
from .._connect.system_files import is_kept
from .._dns.services import Records
from .._resolve.query import Source
from .._resolve.rfc6724 import Rules

SERVICES = (Source.HTTPS, Source.SRV)
"""What a name may lack and still exist."""

NO_RECORDS = Records()


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneEntry:
    """What a name server answers for one name and record type, and after how many seconds."""

    records: Records = NO_RECORDS
    after: float = 0.0
    error: OSError | None = None
    """Why there are no records; None means just that there are none."""

    def text(self) -> str:
        """Say it in words: `192.0.2.1, 192.0.2.2 after 0.02 s`."""
        services = (f"{service.priority} {service.target or '.'}" for service in self.records.services)
        alias = [f"alias {self.records.alias}"] if self.records.alias else []
        words = ", ".join([*self.records.addresses, *services, *alias])
        if not words:
            words = "no records" if self.error is None else self.error.strerror or str(self.error)
        return "never answers" if self.after == math.inf else f"{words} after {self.after:g} s"

    def read(self) -> Records:
        """Return the records, or raise what there is instead."""
        if self.records == NO_RECORDS and self.error is not None:
            raise copy.copy(self.error)
        return self.records


class NameServer:
    """The zone, and a log of queries.

    Attributes:
        queries: Every look-up: its time, the record type and the name.
    """

    def __init__(self) -> None:
        self.queries: list[tuple[float, Source, str]] = []
        self._zone: dict[tuple[str, Source], ZoneEntry] = {}

    def set(self, name: str, source: Source, entry: ZoneEntry) -> None:
        """Set an entry, in place of an earlier one."""
        self._zone[_key(name), source] = entry

    def rows(self) -> Iterator[tuple[str, str]]:
        """Describe each entry of the zone: `("example.org A", "192.0.2.1 after 0.02 s")`."""
        for (name, source), entry in self._zone.items():
            yield f"{name} {source.value}", entry.text()

    def ask(self, name: str, source: Source) -> ZoneEntry:
        """Log a query and return the entry, without waiting for its time."""
        self.log(name, source)
        return self.entry(name, source)

    def log(self, name: str, source: Source) -> None:
        """Log a query."""
        if not is_kept(name):
            self.queries.append((trio.current_time(), source, name))

    def entry(self, name: str, source: Source) -> ZoneEntry:
        """Return what the zone has on a name in one record type; of some names nobody asks it."""
        if is_kept(name):
            return ZoneEntry(error=not_looked_up(name))
        key = _key(name)
        entry = self._zone.get((key, source), ZoneEntry())
        if entry.records == NO_RECORDS and entry.error is None and source not in SERVICES and not self._exists(key):
            entry = replace(entry, error=socket.gaierror(socket.EAI_NONAME, "Name or service not known"))
        return entry

    def _exists(self, key: str) -> bool:
        """Whether a name has records of any type; that some are missing is then no lack of the name (RFC 2308)."""
        return any(name == key and entry.records != NO_RECORDS for (name, _), entry in self._zone.items())

    async def look_up(self, name: str, source: Source) -> Records:
        """Return the records when their time has come."""
        entry = self.ask(name, source)
        await trio.sleep(entry.after)
        return entry.read()


class SimulatedLookUp:
    """A look-up as the operating system makes it: of one family, or of both, whose addresses it sorts."""

    def __init__(self, entries: Sequence[ZoneEntry], port: int, make_rules: Callable[[], Rules] | None = None) -> None:
        self._entries = entries
        self._port = port
        self._make_rules = make_rules
        self._at = trio.current_time() + max(entry.after for entry in entries)

    async def wait(self) -> list[Address]:
        """Return the addresses when they are there; the last error counts if there are none at all.

        Raises:
            OSError: There are none; as from the system, also where the name merely has no such records.
        """
        await trio.sleep_until(self._at)
        addresses: list[Address] = []
        failure: OSError | None = None
        for entry in self._entries:
            try:
                addresses += [literal(text, port=self._port) for text in entry.read().addresses]
            except OSError as error:
                failure = error
        if not addresses:
            raise failure or no_addresses()
        return addresses if self._make_rules is None else self._make_rules().sort(addresses)


def no_addresses() -> OSError:
    """What the system says of a name that exists; RFC 3493 has removed that number, and glibc still has it."""
    number = getattr(socket, "EAI_NODATA", socket.EAI_NONAME)
    return socket.gaierror(number, "No address associated with hostname")


def literal(text: str, family: socket.AddressFamily | None = None, port: int = 0) -> Address:
    """Read a numeric address.

    Raises:
        ValueError: It is none, or not of that family.
    """
    address = parse_literal(check_host(text), port)
    if address is None or family not in (None, address.family):
        raise ValueError(f"address must be numeric and of its family, not {text!r}")
    return address


def _key(name: str) -> str:
    """Return a name as DNS compares it (RFC 4343), in the form that goes to a resolver."""
    return check_name(check_host(name)).removesuffix(".").lower()
