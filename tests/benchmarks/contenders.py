"""Contenders: the table of all ways to connect that are measured, and what each of them cannot do."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from trio_nbconnect._connect.look_ups import ADDRESSES

from . import blocking, on_asyncio, on_trio
from .cases import Case, Kind, Names, Network, Pattern
from .clock import Figures
from .place import HTTPS, Place

EVERY_NAME = frozenset(Names)


@dataclass(frozen=True, kw_only=True)
class Contender:
    """One way to connect, in all kinds that it has."""

    name: str
    title: str
    sample: Callable[..., Figures]
    """What runs a number of its connects; see `on_trio.sample`."""
    ways: Mapping[Kind, Callable[..., Any] | str]
    """A function for each kind; for a program of ours, the word that it knows."""
    names: frozenset[Names] = EVERY_NAME
    most_addresses: float = math.inf
    """How many it takes of one answer."""
    staggers: bool = False
    """Whether it goes on while the first address is silent."""
    blocks: bool = False
    package: str = "trio"
    is_extra: bool = False
    """Whether only cases that name it are about it."""

    def is_meant(self, case: Case) -> bool:
        """Whether the case is about it at all."""
        if case.only:
            return self.name in case.only
        needs_addresses = Names.LITERAL not in self.names and case.names not in self.names
        return not self.is_extra and case.kind in self.ways and not needs_addresses

    def cannot(self, case: Case, place: Place) -> str:
        """Say in a few words why it is left out of a case, or nothing."""
        reasons = {
            "not installed": importlib.util.find_spec(self.package) is None,
            place.no_veth: case.network is Network.VETH,
            "no certificates, for trustme is not installed": case.kind is Kind.TLS and not place.has_tls,
            "cannot be given this name and its addresses": case.names not in self.names,
            "tries no more addresses of one answer": len(case.addresses) > self.most_addresses,
            "would wait for the first address": case.needs_stagger and not self.staggers,
            "can only block": case.pattern is not Pattern.IN_TURN and self.blocks,
        }
        return next((reason for reason, holds in reasons.items() if reason and holds), "")

    @property
    def languages(self) -> tuple[str, ...]:
        """What must be compiled for it."""
        return ()


@dataclass(frozen=True, kw_only=True)
class Compiled(Contender):
    """A program of ours in another language."""

    language: str
    sample: Callable[..., Figures] = blocking.sample
    """Never called: a worker becomes the program."""

    def cannot(self, case: Case, place: Place) -> str:
        if not place.program(self.language).exists():
            return f"no compiler for {self.language.capitalize()}"
        return super().cannot(case, place)

    @property
    def languages(self) -> tuple[str, ...]:
        return (self.language,)

    def command(self, case: Case, place: Place, count: str, hosts: tuple[str, ...]) -> list[str]:
        """Return the command of its worker."""
        way = self.ways[case.kind] if case.pattern is Pattern.IN_TURN else case.pattern.value.replace(" ", "-")
        return [str(place.program(self.language)), str(way), count, str(place.port), *(case.addresses or hosts)]


CONTENDERS = (
    Contender(
        name="nb",
        title="trio_nbconnect",
        sample=on_trio.sample,
        ways={
            Kind.TCP: on_trio.nb_tcp,
            Kind.UNIX: on_trio.nb_unix,
            Kind.TLS: on_trio.nb_tls,
            Kind.SOCKET: on_trio.nb_socket,
        },
        most_addresses=ADDRESSES,
        staggers=True,
    ),
    Contender(
        name="nb-addresses",
        title="trio_nbconnect, addresses=",
        sample=on_trio.sample,
        ways={Kind.TCP: on_trio.nb_addresses},
        names=frozenset({Names.KNOWN}),
        staggers=True,
    ),
    *(
        Contender(
            name=f"nb-dns{name}",
            title=f"trio_nbconnect, DNSResolver{title}",
            sample=on_trio.sample,
            ways={Kind.TCP: way},
            names=frozenset({Names.SERVED}),
            staggers=True,
            package="dns",
        )
        for name, title, way in (
            ("", "", on_trio.nb_dns(cache_size=0, services=False)),
            ("-https", ", with HTTPS", on_trio.nb_dns(HTTPS, cache_size=0)),
            ("-cached", ", cached", on_trio.nb_dns(services=False)),
        )
    ),
    Contender(
        name="nb-tracer",
        title="trio_nbconnect, with a tracer",
        sample=on_trio.sample,
        ways={Kind.TCP: on_trio.nb_traced},
        is_extra=True,
    ),
    Contender(
        name="nb-record",
        title="trio_nbconnect, recorded",
        sample=on_trio.sample,
        ways={Kind.TCP: on_trio.nb_recorded},
        is_extra=True,
    ),
    Contender(
        name="nb-kept",
        title="trio_nbconnect, its record kept",
        sample=on_trio.sample,
        ways={Kind.TCP: on_trio.nb_kept},
        is_extra=True,
    ),
    Contender(
        name="nb-trio-socket",
        title="trio_nbconnect, Trio's socket",
        sample=on_trio.sample,
        ways={Kind.SOCKET: on_trio.nb_trio_socket},
    ),
    Contender(
        name="trio",
        title="trio",
        sample=on_trio.sample,
        ways={Kind.TCP: on_trio.trio_tcp, Kind.UNIX: on_trio.trio_unix, Kind.TLS: on_trio.trio_tls},
        staggers=True,
    ),
    Contender(
        name="trio-socket",
        title="trio socket by hand",
        sample=on_trio.sample,
        ways={Kind.TCP: on_trio.by_hand, Kind.SOCKET: on_trio.socket_by_hand},
    ),
    Contender(
        name="anyio-trio",
        title="anyio on trio",
        sample=on_trio.sample,
        ways={Kind.TCP: on_trio.anyio_tcp, Kind.UNIX: on_trio.anyio_unix, Kind.TLS: on_trio.anyio_tls},
        staggers=True,
        package="anyio",
    ),
    Contender(
        name="anyio-asyncio",
        title="anyio on asyncio",
        sample=on_asyncio.sample,
        ways={Kind.TCP: on_trio.anyio_tcp, Kind.UNIX: on_trio.anyio_unix, Kind.TLS: on_trio.anyio_tls},
        staggers=True,
        package="anyio",
    ),
    Contender(
        name="asyncio",
        title="asyncio",
        sample=on_asyncio.sample,
        ways={
            Kind.TCP: on_asyncio.asyncio_tcp,
            Kind.UNIX: on_asyncio.asyncio_unix,
            Kind.TLS: on_asyncio.asyncio_tls,
            Kind.SOCKET: on_asyncio.asyncio_socket,
        },
    ),
    Contender(
        name="asyncio-staggered",
        title="asyncio, staggered",
        sample=on_asyncio.sample,
        ways={Kind.TCP: on_asyncio.staggered_tcp},
        staggers=True,
    ),
    Contender(
        name="uvloop",
        title="uvloop",
        sample=partial(on_asyncio.sample, package="uvloop"),
        ways={
            Kind.TCP: on_asyncio.asyncio_tcp,
            Kind.UNIX: on_asyncio.asyncio_unix,
            Kind.TLS: on_asyncio.asyncio_tls,
            Kind.SOCKET: on_asyncio.asyncio_socket,
        },
        names=frozenset({Names.LITERAL, Names.SYSTEM, Names.SERVED}),
        package="uvloop",
    ),
    Contender(
        name="aiohappyeyeballs",
        title="aiohappyeyeballs, a socket",
        sample=on_asyncio.sample,
        ways={Kind.TCP: on_asyncio.aiohappyeyeballs_tcp},
        names=frozenset({Names.LITERAL, Names.KNOWN}),
        staggers=True,
        package="aiohappyeyeballs",
    ),
    Contender(
        name="stdlib",
        title="socket.create_connection",
        sample=blocking.sample,
        blocks=True,
        ways={Kind.TCP: blocking.tcp, Kind.UNIX: blocking.unix, Kind.TLS: blocking.tls, Kind.SOCKET: blocking.sock},
    ),
    Compiled(
        name="c-blocking",
        title="C, blocking",
        ways={Kind.TCP: "blocking"},
        names=frozenset({Names.LITERAL, Names.SYSTEM, Names.KNOWN}),
        language="c",
        blocks=True,
    ),
    Compiled(
        name="c-epoll",
        title="C, epoll",
        ways={Kind.TCP: "epoll"},
        names=frozenset({Names.LITERAL, Names.SYSTEM, Names.KNOWN}),
        language="c",
    ),
    Compiled(
        name="go",
        title="Go, net.Dialer",
        ways={Kind.TCP: "dial"},
        names=frozenset({Names.LITERAL, Names.SYSTEM, Names.KNOWN}),
        language="go",
    ),
)

CONTENDER_OF = {contender.name: contender for contender in CONTENDERS}


def contender_called(name: str) -> Contender:
    """Return a contender of the table; or one for `MODULE:FUNCTION`, any connector for Trio: host, port, a stream.

    Raises:
        ValueError: There is none.
    """
    if ":" in name:
        return Contender(
            name=name,
            title=name,
            sample=on_trio.sample,
            ways={Kind.TCP: on_trio.foreign(name)},
            staggers=True,
            package=name.split(":", maxsplit=1)[0].split(".", maxsplit=1)[0],
        )
    if name not in CONTENDER_OF:
        raise ValueError(f"no contender is called {name!r}")
    return CONTENDER_OF[name]


def title_of(name: str) -> str:
    """Return how a reader calls a contender."""
    return contender_called(name).title
