"""Cases: what is measured, as a table. Nothing here connects.

What costs the same for all is left out, so that what remains is the connector's:

- A *known* name is answered at once by everybody's own hook: Trio's custom resolver, `getaddrinfo` of asyncio's loop,
  `socket.getaddrinfo` for what blocks. No thread, no DNS. What is given addresses instead of a name gets the same list.
- A *looked-up* name goes the way of the operating system, in the threads of each; only `socket.getaddrinfo` itself is
  replaced by one that answers at once, so that threads are in the figure and the name server is not.
- A *served* name is looked up by everybody's own means, at a name server that answers at once. It is on the far side of
  a veth pair, with a `resolv.conf` that only the worker sees.
- `localhost` is whatever each makes of it, with the machine's own resolver.

A case whose name ends with `-veth` is another one over a veth pair: see `namespaces`.

A stream is closed in the cheapest way that its library has; that is part of the figure.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum

DELAY = 0.25
"""The attempt delay of all contenders, seconds."""

GOOD = tuple(f"127.1.0.{number}" for number in range(1, 9))
"""Where a server accepts: several, for a queue holds 4096 (net.core.somaxconn), and we connect 10,000 at once."""

DROPS = "127.2.0.1"
"""A queue for one connection that is full: packets are dropped, as by a black hole."""

SPEAKS_TLS = "127.5.0.1"

NAME_SERVER = "127.6.0.1"

VETH = "-veth"
"""How the names of cases end whose packets cross a veth pair."""

KNOWN = "known.example"


def refusing(count: int) -> tuple[str, ...]:
    """Return addresses where nobody listens."""
    return tuple(f"127.4.{number // 250}.{number % 250 + 1}" for number in range(count))


class Kind(Enum):
    """What is connected."""

    TCP = "tcp"
    UNIX = "unix"
    TLS = "tls"
    SOCKET = "socket"
    """A socket of the caller's own, to one address."""


class Pattern(Enum):
    """How many at a time."""

    IN_TURN = "in turn"
    AT_ONCE = "at once"
    PENDING = "pending"
    """All at once, to where nobody answers; then all are cancelled."""


class Network(Enum):
    """Which way packets go."""

    LOOPBACK = "loopback"
    VETH = "a veth pair"


def over_veth(address: str) -> str:
    """Return the address on the far side of the veth pair that stands for one of loopback."""
    return address.replace("127.", "10.", 1)


class Names(Enum):
    """Who answers for a name; see above. A literal needs nobody."""

    LITERAL = "literal"
    SYSTEM = "system"
    LOOKED_UP = "looked up"
    SERVED = "served"
    KNOWN = "known"


@dataclass(frozen=True)
class Metric:
    """One figure of a sample: what a worker calls it, what a reader calls it, and its unit."""

    key: str
    title: str
    unit: str


CPU = Metric("cpu", "CPU", "us")
CPU_PER_ADDRESS = Metric("cpu", "CPU per address", "us")
LATE = Metric("late", "beyond the delay", "ms")
MEMORY = Metric("memory", "memory each", "bytes")
CANCEL = Metric("cancel", "CPU to cancel all", "ms")


@dataclass(frozen=True, kw_only=True)
class Case:
    """One thing that is measured; `count` is how many connects are one sample."""

    name: str
    title: str
    host: str
    addresses: tuple[str, ...] = ()
    """What a known or looked-up name stands for."""
    names: Names = Names.LITERAL
    kind: Kind = Kind.TCP
    network: Network = Network.LOOPBACK
    pattern: Pattern = Pattern.IN_TURN
    count: int = 100
    repetitions: int = 31
    size: int = 1
    """What a curve is drawn over: addresses, or connects at once."""
    per: int = 1
    """A cost is divided by this: the number of addresses, where it is theirs."""
    metrics: tuple[Metric, ...] = (CPU,)
    baseline: str = "trio"
    only: tuple[str, ...] = ()
    """The contenders it is about; none named are all that can."""
    resumed: bool = False
    counted: bool = False
    """Whether system calls and instructions are counted, too."""

    @property
    def needs_stagger(self) -> bool:
        """Whether only those get through that start a second attempt beside the first."""
        return bool({DROPS, over_veth(DROPS)} & {*self.addresses})

    def sampled(self, *, count: int, repetitions: int) -> Case:
        """Make another one of it, with samples of its own."""
        return replace(self, count=count, repetitions=repetitions)

    def quickly(self) -> Case:
        """Make a smoke run of it: hardly anything, once."""
        return self.sampled(count=min(self.count, 20 if self.size == 1 else self.size), repetitions=1)


def _over_veth(case: Case) -> Case:
    """Make the same case over a veth pair.

    Raises:
        ValueError: It cannot leave the machine, or has left it already.
    """
    if case.kind is Kind.UNIX or case.names is Names.SYSTEM or case.network is Network.VETH:
        raise ValueError(f"case {case.name!r} cannot be run over a veth pair")
    return replace(
        case,
        name=f"{case.name}{VETH}",
        title=f"{case.title}, over veth",
        host=over_veth(case.host),
        addresses=tuple(map(over_veth, case.addresses)),
        network=Network.VETH,
    )


def _after_refusals(count: int) -> tuple[str, ...]:
    return (*refusing(count), GOOD[0])


def _refused(count: int) -> Case:
    return Case(
        name=f"refused-{count}",
        title=f"{count:,} refused, the next one good",
        host=KNOWN,
        addresses=_after_refusals(count),
        names=Names.KNOWN,
        count=max(1, min(100, 500 // count)),
        repetitions=15 if count <= 100 else 9 if count <= 1000 else 5,
        size=count,
        per=count,
        metrics=(CPU_PER_ADDRESS,),
    )


def _concurrent(count: int) -> Case:
    return Case(
        name=f"concurrent-{count}",
        title=f"{count:,} at once, a task each",
        host=GOOD[0],
        pattern=Pattern.AT_ONCE,
        count=count,
        size=count,
        repetitions=15 if count <= 1000 else 7,
    )


ON_LOOPBACK = (
    Case(name="literal", title="an IP literal", host=GOOD[0], count=200, counted=True),
    Case(
        name="known",
        title="a known name, one address",
        host=KNOWN,
        addresses=GOOD[:1],
        names=Names.KNOWN,
        count=200,
        counted=True,
    ),
    Case(
        name="looked-up",
        title="a looked-up name, one address",
        host="looked-up.example",
        addresses=GOOD[:1],
        names=Names.LOOKED_UP,
        counted=True,
    ),
    Case(name="localhost", title="localhost, by the system", host="localhost", names=Names.SYSTEM, counted=True),
    Case(
        name="first-refused",
        title="first refused, second good",
        host=KNOWN,
        addresses=_after_refusals(1),
        names=Names.KNOWN,
        counted=True,
    ),
    Case(
        name="first-dropped",
        title="first dropped, second good",
        host=KNOWN,
        addresses=(DROPS, GOOD[0]),
        names=Names.KNOWN,
        count=1,
        metrics=(LATE,),
    ),
    *map(_refused, (1, 10, 100, 1000, 3000)),
    *map(_concurrent, (10, 100, 1000, 10000)),
    Case(
        name="pending",
        title="10,000 pending, a task each",
        host=DROPS,
        pattern=Pattern.PENDING,
        count=10000,
        repetitions=5,
        metrics=(MEMORY, CANCEL),
    ),
    Case(name="unix", title="a UNIX socket", host="", kind=Kind.UNIX, count=200, counted=True),
    Case(name="tls", title="TLS, a full handshake", host=SPEAKS_TLS, kind=Kind.TLS, count=20),
    Case(name="tls-resumed", title="TLS, a resumed session", host=SPEAKS_TLS, kind=Kind.TLS, count=20, resumed=True),
    Case(
        name="traced",
        title="an IP literal, and who listens",
        host=GOOD[0],
        count=200,
        baseline="nb",
        only=("nb", "nb-tracer", "nb-record"),
        counted=True,
    ),
    Case(
        name="socket",
        title="a socket of one's own",
        host=GOOD[0],
        kind=Kind.SOCKET,
        count=200,
        baseline="trio-socket",
        counted=True,
    ),
)

SERVED = Case(
    name="served",
    title="a name asked of a name server, over veth",
    host="served.example",
    addresses=(over_veth(GOOD[0]),),
    names=Names.SERVED,
    network=Network.VETH,
    counted=True,
)

OVER_VETH = ("literal", "looked-up", "first-refused", "concurrent-10000")

CASES = (*ON_LOOPBACK, *(_over_veth(case) for case in ON_LOOPBACK if case.name in OVER_VETH), SERVED)

FAMILIES = {"refused": _refused, "concurrent": _concurrent}
"""Cases of any size: `refused-700` need not stand in the table, and neither need those of any case over veth."""


def case_called(name: str) -> Case:
    """Return a case, from the table, of another size or over a veth pair.

    Raises:
        ValueError: There is none.
    """
    for case in CASES:
        if case.name == name:
            return case
    if name.endswith(VETH):
        return _over_veth(case_called(name.removesuffix(VETH)))
    family, _, size = name.rpartition("-")
    if family in FAMILIES and size.isdecimal() and int(size):
        return FAMILIES[family](int(size))
    raise ValueError(f"no case is called {name!r}")


def chosen(names: Iterable[str]) -> list[Case]:
    """Return the cases so called; a family, or `veth`, is all of the table that belong to it; no names are all.

    Raises:
        ValueError: There is no such case.
    """
    asked = list(names) or [case.name for case in CASES]
    found = []
    for name in asked:
        family = [case for case in ON_LOOPBACK if name in FAMILIES and case.name.startswith(f"{name}-")]
        if name == Network.VETH.name.lower():
            family = [case for case in CASES if case.network is Network.VETH]
        found += family or [case_called(name)]
    return found
