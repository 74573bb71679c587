"""Networks: the good one and those that are bad in one way each.

The round trip is 20 ms, to the name server 10; so a good network connects in 30 ms. What a network does not say is
good: the name has an address in each family, and both accept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..namespaces import DROPS, Zone, says
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


@dataclass(frozen=True, kw_only=True)
class Network:
    """A way for things to be."""

    name: str
    records: Mapping[str, object] = field(default_factory=dict)
    """What name servers say of the name, by type, where it is not what a good network has."""
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
    right: frozenset[str] = frozenset()
    """Where a connect may end; empty for anywhere."""
    nat64: str | None = None

    @property
    def all_records(self) -> Zone:
        """What name servers say."""
        name = {"AAAA": says(SIX), "A": says(FOUR), **self.records}
        return {NAME: name, **self.zone}  # type: ignore[dict-item]  # each is a `Says`

    @property
    def addresses(self) -> list[str]:
        """Every address that servers have."""
        said = [address for types in self.all_records.values() for say in types.values() for address in say.data]
        return list(dict.fromkeys([*said, *self.right, SIX, FOUR]))


def late(address: str, seconds: float) -> object:
    """An answer that takes longer."""
    return says(address, after=seconds)


_FOUR_EACH = {
    "AAAA": says(*(f"2001:db8:2::{number}" for number in range(1, 5))),
    "A": says(*(f"192.0.2.{number}" for number in range(1, 5))),
}
_ALL_BUT_THE_LAST = {
    address: Way(drops=True) for say in _FOUR_EACH.values() for address in say.data[: 4 if ":" in say.data[0] else 3]
}

NETWORKS = [
    Network(name="both good"),
    Network(name="IPv6 drops", ways={SIX: Way(drops=True)}),
    Network(name="IPv6 refuses", closed=frozenset({SIX})),
    Network(name="IPv6 unreachable (ICMP)", ways={SIX: Way(unreachable=True)}),
    Network(name="IPv6 loses the first SYN", ways={SIX: Way(loses_first_syn=True)}),
    Network(name="IPv6 takes 300 ms", ways={SIX: Way(delay=0.150)}),
    Network(name="IPv4 drops", ways={FOUR: Way(drops=True)}),
    Network(name="AAAA 0.1 s late", records={"AAAA": late(SIX, 0.1)}),
    Network(name="AAAA 1 s late", records={"AAAA": late(SIX, 1.0)}),
    Network(name="AAAA never", records={"AAAA": DROPS}),
    Network(name="AAAA SERVFAIL", records={"AAAA": says(rcode="SERVFAIL")}),
    Network(name="A 1 s late", records={"A": late(FOUR, 1.0)}),
    Network(name="A never", records={"A": DROPS}),
    Network(name="4+4, last IPv4 good", records=_FOUR_EACH, ways=_ALL_BUT_THE_LAST),
    Network(name="TLS, both good", tls=True),
    Network(name="TLS hangs over IPv6", tls=True, hangs=frozenset({SIX})),
    Network(name="TLS closed over IPv6", tls=True, hangs_up=frozenset({SIX})),
    Network(name="TLS in a PMTU black hole", tls=True, ways={SIX: Way(longest=400)}),
    Network(
        name="first name server silent",
        name_servers=NAME_SERVERS,
        resolv_options="timeout:1",
        ways={NAME_SERVERS[0]: Way(drops=True)},
    ),
    Network(name="firewall drops EDNS", ways={NAME_SERVERS[0]: Way(delay=0.005, drops_edns=True)}),
    Network(name="TLS, HTTPS query dropped", tls=True, records={"HTTPS": DROPS}),
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
