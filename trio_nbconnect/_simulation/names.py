"""Simulated names: what name servers say, and when.

What lives here: the records of a simulated network, and who asked for them. `testing` has the words to say them with;
the system's resolver and the stub resolver read them, each in its way.
"""

from __future__ import annotations

import copy
import math
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import trio

from .._address import Address, check_host, check_name, parse_literal
from .._dns.services import Records
from .._resolve.query import Source
from .._resolve.rfc6724 import Rules

_NONE = Records()


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a name server says of a name, in one record type."""

    records: Records = _NONE
    after: float = 0.0
    error: OSError | None = field(
        default_factory=lambda: socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    )
    """What it means when there are no records; None means just that."""

    def text(self) -> str:
        """Say it in words: `192.0.2.1, 192.0.2.2 after 0.02 s`."""
        services = (f"{service.priority} {service.target or '.'}" for service in self.records.services)
        alias = [f"alias {self.records.alias}"] if self.records.alias else []
        said = ", ".join([*self.records.addresses, *services, *alias])
        if not said:
            said = "no records" if self.error is None else self.error.strerror or str(self.error)
        return "never answers" if self.after == math.inf else f"{said} after {self.after:g} s"

    def read(self) -> Records:
        """Return the records, or raise what there is instead."""
        if self.records == _NONE and self.error is not None:
            raise copy.copy(self.error)
        return self.records


class NameServer:
    """All that is said of names.

    Attributes:
        queries: Every look-up: its time, the record type and the name.
    """

    def __init__(self) -> None:
        self.queries: list[tuple[float, Source, str]] = []
        self._told: dict[tuple[str, Source], Told] = {}

    def say(self, name: str, source: Source, told: Told) -> None:
        """Say it; the last word counts."""
        self._told[_key(name), source] = told

    def rows(self) -> Iterator[tuple[str, str]]:
        """Tell of each name and record type what is said of it, in words."""
        for (name, source), told in self._told.items():
            yield f"{name} {source.value}", told.text()

    def ask(self, name: str, source: Source) -> Told:
        """Send a query, and know the answer before it is there."""
        self.queries.append((trio.current_time(), source, name))
        return self.told(name, source)

    def told(self, name: str, source: Source) -> Told:
        """Return what is said of a name in one record type."""
        unknown = Told(error=None) if source is Source.HTTPS else Told()
        return self._told.get((_key(name), source), unknown)

    async def look_up(self, name: str, source: Source) -> Records:
        """Answer when it is time to."""
        told = self.ask(name, source)
        await trio.sleep(told.after)
        return told.read()


class SimulatedLookUp:
    """A look-up as the operating system makes it: of one family, or of both, whose addresses it sorts."""

    def __init__(self, told: Sequence[Told], port: int, make_rules: Callable[[], Rules] | None = None) -> None:
        self._told = told
        self._port = port
        self._make_rules = make_rules
        self._at = trio.current_time() + max(one.after for one in told)

    async def wait(self) -> list[Address]:
        """Return the addresses when they are there; the last error counts if there are none at all."""
        await trio.sleep_until(self._at)
        addresses: list[Address] = []
        failure: OSError | None = None
        for one in self._told:
            try:
                addresses += [literal(text, port=self._port) for text in one.read().addresses]
            except OSError as error:
                failure = error
        if not addresses and failure is not None:
            raise failure
        return addresses if self._make_rules is None else self._make_rules().sort(addresses)


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
    """A name as DNS compares it (RFC 4343), in the form that goes to a resolver."""
    return check_name(check_host(name)).removesuffix(".").lower()
