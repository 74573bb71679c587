"""Queries and answers: what a race and its resolver exchange.

A resolver gets one `Query` and sends what happens, in that order: `QuerySent` when it sends a query out, `Answer` when
something came back. A later answer from the same source replaces the earlier one (RFC 8305,
section 6: addresses may be added and removed while the race runs).
"""

from __future__ import annotations

import enum
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from .._address import IPV4, IPV6, Address


class Source(enum.Enum):
    """Where addresses come from.

    Attributes:
        AAAA: The name's IPv6 addresses (RFC 3596).
        A: The name's IPv4 addresses (RFC 1035, section 3.4.1).
        HTTPS: The services that offer the name, with hints of their addresses (RFC 9460).
        SRV: The hosts that offer a service (RFC 2782).
        SYSTEM: Both families in one answer of the operating system, whose order stands.
        HOOK: Both families in one answer, from the resolver set with `trio.socket.set_custom_hostname_resolver`.
        GIVEN: The caller knew them: a literal, `addresses=`, or the attempts of `race`.
        family: The one family that such an answer holds, None where it may hold both.
    """

    AAAA = "AAAA", IPV6
    A = "A", IPV4
    HTTPS = "HTTPS", None
    SRV = "SRV", None
    SYSTEM = "system", None
    HOOK = "hook", None
    GIVEN = "given", None

    # Each is one object; Enum would hash its name, in Python.
    __hash__: Callable[[object], int] = object.__hash__  # type: ignore[assignment]  # mypy binds one of the two only

    family: socket.AddressFamily | None

    def __new__(cls, label: str, family: socket.AddressFamily | None) -> Source:
        source = object.__new__(cls)
        source._value_ = label
        source.family = family
        return source

    @classmethod
    def of(cls, family: socket.AddressFamily) -> Source:
        """Return the record type that holds addresses of a family.

        Args:
            family: `AF_INET6` or `AF_INET`.
        """
        return cls.AAAA if family == IPV6 else cls.A


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Which addresses a race wants: those of a host, in the families it can use, the preferred one first.

    Attributes:
        host: The name, or the address, that was asked for.
        port: The port that the addresses get.
        families: The families to ask for, the preferred one first.
        services: Whether the caller speaks HTTPS, so that HTTPS records are for it (RFC 9460, section 9).
    """

    host: str
    port: int
    families: tuple[socket.AddressFamily, ...]
    services: bool = False

    @property
    def in_query_order(self) -> list[socket.AddressFamily]:
        """The families as they are asked for: AAAA first, whichever is preferred (RFC 8305, section 3)."""
        return [family for family in (IPV6, IPV4) if family in self.families]


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One way to reach a host: a ServiceMode record (RFC 9460, section 2.4.3) that this client can use; or a host.

    Attributes:
        priority: Lower is better; equal ones come in the order in which they are delivered.
        target: The name whose addresses offer it; empty for the host itself. In an SRV record "." says that the
            service is not available (RFC 2782).
        port: The port in place of the host's, if it has one of its own (section 7.2).
        alpn: The protocols that it speaks (section 7.1).
        hints: Addresses to use until those of the target are known (section 7.3).
        ech: Whether it offers Encrypted Client Hello. Python's `ssl` cannot use that; the record is reported all the
            same.
        weight: How often an SRV record comes first, relative to others of its priority (RFC 2782).
    """

    priority: int
    target: str = ""
    port: int | None = None
    alpn: tuple[str, ...] = ()
    hints: tuple[Address, ...] = ()
    ech: bool = False
    weight: int = 0


@dataclass(frozen=True, slots=True)
class QuerySent:
    """A query went out; an answer from this source is to be expected.

    Attributes:
        source: Who was asked, and for what.
        name: Whose records were asked for; empty for the host itself.
        encrypted: Whether the answer can be neither read nor forged on the way (DNS over TLS or HTTPS).
    """

    source: Source
    name: str = ""
    encrypted: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: addresses in the order of preference, or none and the error that says why.

    Attributes:
        source: Who has answered.
        addresses: The addresses, best first.
        error: Why there are none; None if the name merely has no such records.
        name: Whose records they are; empty for the host itself.
        services: What an HTTPS or SRV answer holds; or several hosts that the caller knew.
        server: The name server that has answered, if the resolver knows.
        ttl: How many seconds that server lets the answer be kept; None if the resolver does not know.
    """

    source: Source
    addresses: tuple[Address, ...] = ()
    error: OSError | None = None
    name: str = ""
    services: tuple[Service, ...] = ()
    server: str = ""
    ttl: float | None = None


def is_for_now(error: OSError | None) -> bool:
    """Whether somebody has failed who may know an answer: EAI_AGAIN, also where one family's server did; or silence."""
    return error is not None and (error.errno == socket.EAI_AGAIN or isinstance(error, TimeoutError))


SendAnswer: TypeAlias = Callable[[QuerySent | Answer], None]
"""How a resolver hands over what it has; never waits. The `send_nowait` of a Trio channel is one."""
