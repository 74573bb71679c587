"""Networks: the good one and those that are bad in one way each.

The round trip is 20 ms, to the name server 10; so a good network connects in 30 ms. What a network does not say is
good: the name has an address in each family, and both accept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..namespaces import DROPS, Says, Zone, says
from .contenders import PORT
from .link import Way

NAME = "host.example"
SIX, FOUR = "2001:db8:2::1", "192.0.2.1"
STRANGER = "2001:db8:2::66"
NAME_SERVERS = ("203.0.113.53", "203.0.113.54")

BOTH_DEFAULT = """
addr add 198.51.100.10/32 dev client
addr add 2001:db8:1::10/128 dev client nodad
route add default dev client
-6 route add default dev client
"""

ONLY_IPV4_DEFAULT = """
addr add 198.51.100.10/32 dev client
addr add fd00:1::10/64 dev client nodad
route add default dev client
-6 route add fd00:2::/64 dev client
"""

ONLY_IPV6_DEFAULT = """
addr add 192.168.77.10/24 dev client
addr add 2001:db8:1::10/128 dev client nodad
-6 route add default dev client
route add 192.0.2.0/24 dev client
route add 203.0.113.0/24 dev client
"""

ONLY_IPV6 = """
addr add 2001:db8:1::10/128 dev client nodad
-6 route add default dev client
"""

NO_IPV6 = """
addr add 198.51.100.10/32 dev client
route add default dev client
"""

IPV6_PROHIBITED = f"{NO_IPV6}addr add 2001:db8:1::10/128 dev client nodad\n-6 route add prohibit default\n"

IPV6_DEPRECATED = BOTH_DEFAULT.replace("nodad", "nodad preferred_lft 0")


@dataclass(frozen=True, kw_only=True)
class Wait:
    """How long we wait, and why."""

    seconds: float
    why: str


@dataclass(frozen=True, kw_only=True)
class Network:
    """A way for things to be."""

    name: str
    records: Mapping[str, object] = field(default_factory=dict)
    """What name servers say of the name, by type, where it is not what a good network has."""
    services: Says = Says(rcode="NXDOMAIN")  # noqa: RUF009 - it is frozen
    """What they say of its HTTPS records, which have a name of their own (RFC 9460, section 9.1)."""
    zone: Zone = field(default_factory=dict)
    """What they say of other names."""
    ways: Mapping[str, Way] = field(default_factory=dict)
    routes: str = BOTH_DEFAULT
    hosts: str = ""
    name_servers: tuple[str, ...] = NAME_SERVERS[:1]
    resolv_options: str = ""
    tls: bool = False
    hangs: frozenset[str] = frozenset()
    """Addresses that accept TCP and never say a word."""
    hangs_up: frozenset[str] = frozenset()
    """Addresses that accept TCP and close at once."""
    closed: frozenset[str] = frozenset()
    """Addresses at which nobody listens."""
    full: frozenset[str] = frozenset()
    """Addresses whose backlog is full: they drop SYNs."""
    strangers: frozenset[str] = frozenset()
    """Addresses whose certificate is for another name."""
    failing: frozenset[str] = frozenset()
    """Name servers that answer everything with SERVFAIL."""
    right: frozenset[str] = frozenset()
    """Where a connect may end; empty for anywhere."""
    nat64: str | None = None
    again: bool = False
    """Whether it is the second connect of a process to the host that is timed."""
    waits: Mapping[str, Wait] = field(default_factory=dict)
    """What we wait for by design, and peers do not, by contender."""

    @property
    def all_records(self) -> Zone:
        """What name servers say."""
        name = {"AAAA": says(SIX), "A": says(FOUR), **self.records}
        services = {f"_{PORT}._https.{NAME}": {"HTTPS": self.services}}
        return {NAME: name, **services, **self.zone}  # type: ignore[dict-item]  # each is a `Says`

    @property
    def addresses(self) -> list[str]:
        """Every address that servers have."""
        said = [text for types in self.all_records.values() for say in types.values() for text in say.data]
        return list(dict.fromkeys([*(text for text in said if " " not in text), *self.right, SIX, FOUR]))

    def listens(self, address: str) -> bool:
        """Whether somebody takes connections at an address."""
        return address not in self.closed | self.full

    def said_by(self, name_server: str) -> Zone:
        """What one of them says."""
        return {NAME: {"*": says(rcode="SERVFAIL")}} if name_server in self.failing else self.all_records


def late(address: str, seconds: float) -> object:
    """An answer that takes longer."""
    return says(address, after=seconds)


_HTTPS_DROPPED = Wait(
    seconds=0.050,
    why="asks for HTTPS records, which peers do not, and waits for them over the Resolution Delay of 50 ms (Happy "
    "Eyeballs version 3, section 4.2); it remembers that, and the next connect to the host does not wait",
)
_HTTPS_OVER_TCP = Wait(
    seconds=0.030,
    why="asks for HTTPS records, which peers do not, and waits while they come over TCP, two round trips to the name "
    "server later; at most the Resolution Delay of 50 ms",
)
_FOUR_EACH = {
    "AAAA": says(*(f"2001:db8:2::{number}" for number in range(1, 5))),
    "A": says(*(f"192.0.2.{number}" for number in range(1, 5))),
}
_KUBERNETES = "ndots:5\nsearch default.svc.cluster.local svc.cluster.local cluster.local"
_BAD_RADIO = Way(delay=0.005, loses=0.05, jitter=0.010, doubles=True)
_ALL_BUT_THE_LAST = {
    address: Way(drops=True) for say in _FOUR_EACH.values() for address in say.data[: 4 if ":" in say.data[0] else 3]
}

NETWORKS = [
    Network(name="both good"),
    Network(name="IPv6 drops", ways={SIX: Way(drops=True)}),
    Network(name="IPv6 refuses", closed=frozenset({SIX})),
    Network(name="IPv6 refuses after 300 ms", closed=frozenset({SIX}), ways={SIX: Way(delay=0.150)}),
    Network(name="IPv6 unreachable (ICMP)", ways={SIX: Way(unreachable=True)}),
    Network(name="IPv6 loses the first SYN", ways={SIX: Way(loses_first_syn=True)}),
    Network(name="IPv6 loses the first SYN-ACK", ways={SIX: Way(loses_first_answer=True)}),
    Network(name="IPv6 takes 300 ms", ways={SIX: Way(delay=0.150)}),
    Network(name="IPv6 has a full backlog", full=frozenset({SIX})),
    Network(name="IPv6 without a route", routes=NO_IPV6),
    Network(name="IPv6 prohibited by a route", routes=IPV6_PROHIBITED),
    Network(name="IPv6 deprecated, drops", routes=IPV6_DEPRECATED, ways={SIX: Way(drops=True)}),
    Network(name="IPv6 drops, TLS", tls=True, ways={SIX: Way(drops=True)}),
    Network(name="IPv4 drops", ways={FOUR: Way(drops=True)}),
    Network(name="5 % loss, jitter, doubles", ways=dict.fromkeys((SIX, FOUR, NAME_SERVERS[0]), _BAD_RADIO)),
    Network(name="AAAA 0.1 s late", records={"AAAA": late(SIX, 0.1)}),
    Network(name="AAAA 1 s late", records={"AAAA": late(SIX, 1.0)}),
    Network(name="AAAA never", records={"AAAA": DROPS}),
    Network(name="AAAA SERVFAIL", records={"AAAA": says(rcode="SERVFAIL")}),
    Network(name="AAAA REFUSED", records={"AAAA": says(rcode="REFUSED")}),
    Network(name="AAAA NOTIMP", records={"AAAA": says(rcode="NOTIMP")}),
    Network(name="AAAA NXDOMAIN", records={"AAAA": says(rcode="NXDOMAIN")}),
    Network(name="no AAAA", records={"AAAA": says()}),
    Network(name="A 1 s late", records={"A": late(FOUR, 1.0)}),
    Network(name="A never", records={"A": DROPS}),
    Network(name="4+4, last IPv4 good", records=_FOUR_EACH, ways=_ALL_BUT_THE_LAST),
    Network(name="TLS, both good", tls=True),
    Network(name="TLS hangs over IPv6", tls=True, hangs=frozenset({SIX})),
    Network(name="TLS closed over IPv6", tls=True, hangs_up=frozenset({SIX})),
    Network(name="TLS of another host over IPv6", tls=True, strangers=frozenset({SIX})),
    Network(name="TLS in a PMTU black hole", tls=True, ways={SIX: Way(longest=400)}),
    Network(
        name="first name server silent",
        name_servers=NAME_SERVERS,
        resolv_options="timeout:1",
        ways={NAME_SERVERS[0]: Way(drops=True)},
    ),
    Network(
        name="first name server refuses",
        name_servers=NAME_SERVERS,
        closed=frozenset(NAME_SERVERS[:1]),
    ),
    Network(
        name="first name server fails",
        name_servers=NAME_SERVERS,
        failing=frozenset(NAME_SERVERS[:1]),
    ),
    Network(
        name="first query lost",
        resolv_options="timeout:1",
        ways={NAME_SERVERS[0]: Way(delay=0.005, loses_first_query=True)},
    ),
    Network(name="name server takes 200 ms", ways={NAME_SERVERS[0]: Way(delay=0.100)}),
    Network(name="search list of Kubernetes", resolv_options=_KUBERNETES),
    Network(name="TLS, search list of Kubernetes", tls=True, resolv_options=_KUBERNETES),
    Network(name="answers only over TCP", records={"AAAA": says(SIX, truncated=True), "A": says(FOUR, truncated=True)}),
    Network(name="an alias", records={"AAAA": says(SIX, alias="cdn.example"), "A": says(FOUR, alias="cdn.example")}),
    Network(name="firewall drops EDNS", ways={NAME_SERVERS[0]: Way(delay=0.005, drops_edns=True)}),
    Network(name="TLS, firewall drops EDNS", tls=True, ways={NAME_SERVERS[0]: Way(delay=0.005, drops_edns=True)}),
    Network(name="TLS, an HTTPS record", tls=True, services=says(f"1 {NAME}.")),
    Network(
        name="TLS, HTTPS over TCP",
        tls=True,
        services=says(f"1 {NAME}.", truncated=True),
        waits={"ours, DNS": _HTTPS_OVER_TCP},
    ),
    Network(name="TLS, HTTPS REFUSED", tls=True, services=says(rcode="REFUSED")),
    Network(name="TLS, HTTPS query dropped", tls=True, services=DROPS, waits={"ours, DNS": _HTTPS_DROPPED}),
    Network(name="TLS, HTTPS query dropped, again", tls=True, services=DROPS, again=True),
    Network(
        name="ULA, no default for IPv6",
        records={"AAAA": says("fd00:2::1"), "A": says()},
        routes=ONLY_IPV4_DEFAULT,
    ),
    Network(name="site IPv4, IPv6 default", records={"AAAA": says()}, routes=ONLY_IPV6_DEFAULT),
    Network(
        name="hosts pins IPv4",
        records={"AAAA": says(STRANGER)},
        hosts=f"{FOUR} {NAME}\n",
        right=frozenset({FOUR}),
    ),
    Network(
        name="NAT64, native AAAA drops",
        records={"AAAA": says(SIX), "A": says(FOUR)},
        zone={"ipv4only.arpa": {"AAAA": says("64:ff9b::c000:aa", "64:ff9b::c000:ab")}},
        ways={SIX: Way(drops=True)},
        routes=ONLY_IPV6,
        name_servers=("2001:db8:3::53",),
        right=frozenset({"64:ff9b::c000:201"}),
        nat64="64:ff9b::/96",
    ),
    Network(
        name="NAT64, IPv4 route to the site",
        records={"AAAA": says()},
        routes=ONLY_IPV6_DEFAULT,
        right=frozenset({FOUR}),
        nat64="64:ff9b::/96",
    ),
]  # fmt: skip
