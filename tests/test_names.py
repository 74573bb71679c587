"""What a name means: for the default resolver, what `getaddrinfo` says, for both families at once and in its order.

Each case is a machine with files, name servers and NSS modules of its own, asked by the real C library; `tests.
namespaces` makes it. The same set of addresses must be attempted, families interleaved; and no query may go out that
the C library would not have sent. It waits for real name servers, so this cannot be virtual time: all cases that were
selected run side by side, and the slowest is what the file takes.
"""

from __future__ import annotations

import math
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest

from .name_programs import NOBODY, abandoned, connect, crowd, half_dead, libc
from .namespaces import DROPS, PORT, Program, Result, World, Zone, has_nss_module, hesiod_path, run, says, why_not

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not() or "there are namespaces")

DUAL = """
addr add 198.51.100.2/32 dev lo
addr add 198.51.100.3/32 dev lo
addr add 198.51.100.4/32 dev lo
addr add 2001:db8:1::2/128 dev lo nodad
addr add 2001:db8:1::3/128 dev lo nodad
addr add 2001:db8:1::4/128 dev lo nodad
addr add 2001:db8:1::66/128 dev lo nodad
route add default dev lo
-6 route add default dev lo
"""
"""Both families have a default route, over loopback, where nobody answers for an address that is not listed."""

DEPRECATED = DUAL.replace("nodad", "nodad preferred_lft 0")
"""The prefix of IPv6 is an old one: the network was renumbered (RFC 4862, section 5.5.4)."""

ONLY_IPV4_DEFAULT = """
addr add 198.51.100.2/32 dev lo
route add default dev lo
addr add fd00:1::2/64 dev lo nodad
addr add 200:1::2/7 dev lo nodad
"""

ONLY_IPV6_DEFAULT = """
addr add 2001:db8:1::2/128 dev lo nodad
-6 route add default dev lo
addr add 192.168.77.2/24 dev lo
"""

ONLY_MARKED_IPV6 = """
addr add 198.51.100.2/32 dev lo
route add default dev lo
addr add 2001:db8:1::2/128 dev lo nodad
-6 route add default dev lo table 100
-6 rule add fwmark 7 lookup 100
-6 rule add oif lo lookup 100
"""

ONE_LINK_LOCAL = """
link add v0 type veth peer name v1
link set v0 addrgenmode none
link set v1 addrgenmode none
link set v0 up
link set v1 up
addr add fe80::5/64 dev v0 nodad
"""

LOCALHOST = "127.0.0.1 localhost\n::1 localhost\n"
SEARCH = "search corp.example lab.example\nnameserver 127.0.0.53\n"
IMPATIENT = "nameserver 127.0.0.53\noptions timeout:3 attempts:1\n"
KUBERNETES = """\
search prod.svc.cluster.local svc.cluster.local cluster.local
nameserver 127.0.0.53
options ndots:5
"""
TWO_SERVERS = "nameserver 127.0.0.53\nnameserver 127.0.0.54\noptions timeout:1\n"

RIGHT4, RIGHT6 = "198.51.100.2", "2001:db8:1::2"
STRANGER4, STRANGER6 = "198.51.100.3", "2001:db8:1::66"
NO_SUCH_NAME, TRY_AGAIN, NO_ADDRESS = "EAI_NONAME", "EAI_AGAIN", "EAI_NODATA"


def machine(zone: Zone | None = None, *, links: str = DUAL, **how: Any) -> World:
    """Describe a machine with one name server, on which every address but the dead ones accepts connections."""
    accepting = {DUAL: [RIGHT4, STRANGER4, "198.51.100.4", RIGHT6, "2001:db8:1::3", "2001:db8:1::4", STRANGER6]}
    return World(
        links=links,
        servers=how.pop("servers", {"127.0.0.53": zone or {}}),
        listeners=how.pop("listeners", tuple(accepting.get(links, ()))),
        **how,
    )


@dataclass(frozen=True, kw_only=True)
class Case:
    """A name on a machine, and what it means there."""

    id: str
    host: str
    world: World
    libc: Sequence[str] | str
    """The addresses that the C library gives, or its error."""
    attempted: Sequence[str] | None = None
    """What is to be attempted, where that is not the C library's answer, interleaved."""
    in_order: bool = True
    """Whether the order is to be the C library's; it cannot be where one family's answer is late."""
    winner: str | None = None
    """Where a connection is to be made to; None for the first of all, "" for nowhere."""
    within: float = 2.5
    knobs: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    dns: bool = False
    """Whether `DNSResolver` must know the same: nothing but hosts and name servers has a say."""
    nss: str = ""
    """The NSS module that is needed."""

    @property
    def all_attempted(self) -> list[str]:
        """What is to be attempted when all refuse."""
        return list(self.attempted if self.attempted is not None else interleaved(self.libc))

    @property
    def best(self) -> str:
        """Where a connection is to be made to."""
        return self.winner if self.winner is not None else self.all_attempted[0]

    @property
    def parts(self) -> list[Callable[[], dict[str, Result]]]:
        """What is to be called for the results; slow programs are in worlds of their own, side by side."""
        programs = [
            Program(name="libc", function=libc, arguments=(self.host,), environment=self.environment),
            self._connect("refused", NOBODY, self.knobs),
            self._connect("open", PORT, self.knobs),
        ]
        if self.dns:
            programs.append(self._connect("dns", NOBODY, {**self.knobs, "dns": True}))
        if self.is_quick:
            return [partial(self._run_quickly, programs)]
        return [partial(run, self.world, [program]) for program in programs]

    def _run_quickly(self, programs: Sequence[Program]) -> dict[str, Result]:
        """Run programs, and again if this computer was too busy for the Resolution Delay."""
        for _ in range(5):
            results = run(self.world, programs)
            if not any(results[name].value["hurried"] for name in ("refused", "open")):
                break
        return results

    @property
    def is_quick(self) -> bool:
        """Whether the system's answer comes within the Resolution Delay, if this computer is not busy."""
        said = [say for zone in self.world.servers.values() for types in zone.values() for say in types.values()]
        return not self.world.hesiod and not any(say.drops or say.after for say in said)

    def _connect(self, name: str, port: int, knobs: Mapping[str, Any]) -> Program:
        arguments = (self.host, port, dict(knobs))
        return Program(name=name, function=connect, arguments=arguments, environment=self.environment)


def interleaved(addresses: Sequence[str] | str) -> list[str]:
    """RFC 8305, section 4: the families take turns, each in the order that is given; nothing twice."""
    if isinstance(addresses, str):
        return []
    unique = list(dict.fromkeys(addresses))
    first = [address for address in unique if (":" in address) == (":" in unique[0])]
    second = [address for address in unique if address not in first]
    pairs = [address for pair in zip(first, second, strict=False) for address in pair]
    return pairs + first[len(second) :] + second[len(first) :]


BOTH = {"www.shop.example": {"A": says(RIGHT4), "AAAA": says(RIGHT6)}}
BESIDE = {"pinned.example": {"A": says(STRANGER4), "AAAA": says(STRANGER6)}}
"""What the name server says of a name that a hosts file pins."""


def hosts_cases() -> Iterator[Case]:
    """A source that knows one family is not overruled by another source over the other family."""
    pinned4 = machine(BESIDE, hosts=f"{LOCALHOST}{RIGHT4} pinned.example\n")
    pinned6 = machine(BESIDE, hosts=f"{LOCALHOST}{RIGHT6} pinned.example\n")
    yield Case(id="hosts-pin-ipv4", host="pinned.example", world=pinned4, libc=[RIGHT4], dns=True)
    yield Case(id="hosts-pin-ipv6", host="pinned.example", world=pinned6, libc=[RIGHT6], dns=True)
    yield Case(id="hosts-pin-upper-case", host="PINNED.Example", world=pinned4, libc=[RIGHT4], dns=True)
    yield Case(
        id="hosts-pin-ipv4-first",
        host="pinned.example",
        world=pinned4,
        libc=[RIGHT4],
        knobs={"ipv4_first": True},
    )
    yield Case(id="hosts-pin-but-a-final-dot", host="pinned.example.", world=pinned4, libc=[STRANGER6, STRANGER4])
    yield Case(
        id="hosts-blocks-a-name",
        host="ads.example",
        world=machine(
            {"ads.example": {"A": says(STRANGER4), "AAAA": says(STRANGER6)}}, hosts=f"{LOCALHOST}0.0.0.0 ads.example\n"
        ),
        libc=["0.0.0.0"],
        winner="",
        dns=True,
    )
    yield Case(
        id="hosts-blocks-a-name-in-both",
        host="ads.example",
        world=machine(
            {"ads.example": {"A": says(STRANGER4)}}, hosts=f"{LOCALHOST}0.0.0.0 ads.example\n:: ads.example\n"
        ),
        libc=["0.0.0.0", "::"],
        attempted=["::", "0.0.0.0"],
        in_order=False,
        winner="",
        dns=True,
    )
    yield Case(
        id="hosts-pin-is-dead",
        host="six.example",
        world=machine(
            {"six.example": {"A": says(STRANGER4), "AAAA": says(STRANGER6)}},
            hosts=f"{LOCALHOST}2001:db8:1::99 six.example\n",
        ),
        libc=["2001:db8:1::99"],
        winner="",
        knobs={"give_up_after": 0.8},
        dns=True,
    )
    yield Case(
        id="hosts-container-name",
        host="db",
        world=machine({"*.corp.example": {"AAAA": says(STRANGER6)}}, hosts=f"{LOCALHOST}{RIGHT4} db\n", resolv=SEARCH),
        libc=[RIGHT4],
        dns=True,
    )
    yield Case(
        id="hosts-pin-dns-is-dead",
        host="slow.example",
        world=machine({"slow.example": {"*": DROPS}}, hosts=f"{LOCALHOST}{RIGHT4} slow.example\n"),
        libc=[RIGHT4],
        dns=True,
    )
    yield Case(
        id="hosts-many-addresses",
        host="many.example",
        world=machine(
            hosts=f"{LOCALHOST}198.51.100.4 many.example\n2001:db8:1::4 many.example\n198.51.100.2 other many.example\n"
            "2001:db8:1::2 many.example\n2001:db8:1::3 many.example\n198.51.100.4 many.example\n"
        ),
        libc=[
            "2001:db8:1::4", "2001:db8:1::2", "2001:db8:1::3",
            "198.51.100.4", "198.51.100.2", "198.51.100.4",
        ],
    )  # fmt: skip
    yield Case(
        id="hosts-unscoped-link-local",
        host="near.example",
        world=machine(
            hosts=f"{LOCALHOST}fe80::5 near.example\n",
            links=ONE_LINK_LOCAL,
        ),
        libc=["fe80::5"],
        winner="",
    )
    yield Case(
        id="nsswitch-dns-first", host="pinned.example", world=_with(pinned4, "dns files"), libc=[STRANGER6, STRANGER4]
    )
    yield Case(
        id="nsswitch-files-only",
        host="www.shop.example",
        world=machine(BOTH, nsswitch="files"),
        libc=NO_SUCH_NAME,
        attempted=[],
        winner="",
    )
    yield Case(
        id="nsswitch-files-return",
        host="www.shop.example",
        world=machine(BOTH, nsswitch="files [NOTFOUND=return] dns"),
        libc=NO_SUCH_NAME,
        attempted=[],
        winner="",
    )


LONG = "# a line of a block list\n" * 4000
"""More of a hosts file than is read where every task waits for it."""


def spelling_cases() -> Iterator[Case]:
    """How hosts files, nsswitch.conf and resolv.conf may be written, and what is not understood."""
    for name, line, addresses in (
        ("several-families", f"{RIGHT4} {{}}\n198.51.100.4 {{}}\n{RIGHT6} {{}}\n", [RIGHT6, RIGHT4, "198.51.100.4"]),
        ("alias-behind-a-tab", f"{RIGHT4}\tother.example\t{{}} # ours\n", [RIGHT4]),
        ("line-end-of-windows", f"{RIGHT4} other.example {{}}\r\n", [RIGHT4]),
        ("comment-at-the-name", f"{RIGHT4} {{}}#comment\n", [RIGHT4]),
        ("line-in-a-comment", f"#{RIGHT4} {{}}\n", [STRANGER6, STRANGER4]),
        ("blanks-before", f"   {RIGHT4} {{}}\n", [RIGHT4]),
        ("no-line-end", f"{RIGHT4} {{}}", [RIGHT4]),
        ("no-address", f"nonsense {{}}\n{RIGHT4} {{}}\n", [RIGHT4]),
        ("out-of-range", "300.1.1.1 {}\n", [STRANGER6, STRANGER4]),
        ("old-spelling", "127.1 {}\n", [STRANGER6, STRANGER4]),
        ("mapped", f"::ffff:{RIGHT4} {{}}\n", [f"::ffff:{RIGHT4}"]),
        ("behind-a-long-list", f"{LONG}{RIGHT4} {{}}\n", [RIGHT4]),
    ):
        hosts = LOCALHOST + line.replace("{}", "pinned.example")
        yield Case(
            id=f"spelling-{name}", host="pinned.example", world=machine(BESIDE, hosts=hosts), libc=addresses, dns=True
        )
    onion = {"a.onion": {"A": says(STRANGER4)}}
    for name, before in (("pinned", ""), ("behind-a-long-list", LONG)):
        hosts = f"{LOCALHOST}{before}{RIGHT4} a.onion\n"
        yield Case(id=f"onion-{name}", host="a.onion", world=machine(onion, hosts=hosts), libc=[RIGHT4], dns=True)
    idna = machine(hosts=f"{LOCALHOST}{RIGHT4} xn--bcher-kva.example\n")
    yield Case(id="spelling-idna", host="bücher.example", world=idna, libc=[RIGHT4], dns=True)
    domains = {"db.corp.example": {"A": says(STRANGER4)}, "db.lab.example": {"A": says(RIGHT4)}, "db": {}}
    for name, lines in (
        ("search-after-domain", "domain corp.example\nsearch lab.example\n"),
        ("domain-after-search", "search corp.example\ndomain lab.example\n"),
        ("dot-before-search", "search .lab.example corp.example\n"),
        ("blanks-in-search", "search   lab.example\tcorp.example  \n"),
    ):
        world = machine(domains, resolv=f"{lines}nameserver 127.0.0.53 \n; comment\n")
        yield Case(id=f"resolv-{name}", host="db", world=world, libc=[RIGHT4], dns=True)
    absolute = {"db": {"A": says(RIGHT4)}, "db.corp.example": {"A": says(STRANGER4)}}
    for name, lines in (
        ("ndots-0", f"{SEARCH}options ndots:0\n"),
        ("search-root", "search .\nnameserver 127.0.0.53\n"),
        ("search-root-first", "search . corp.example\nnameserver 127.0.0.53\n"),
    ):
        yield Case(id=f"resolv-{name}", host="db", world=machine(absolute, resolv=lines), libc=[RIGHT4], dns=True)
    beside = {"db.corp": {"A": says(STRANGER4)}, "db.corp.corp.example": {"A": says(RIGHT4)}}
    for option in ("ndots:2,timeout:1", "ndots:+2x", "ndots:-1", "ndots:3 ndots"):
        lines = f"search corp.example\nnameserver 127.0.0.53\noptions {option}\n"
        yield Case(id=f"resolv-{option}", host="db.corp", world=machine(beside, resolv=lines), libc=[RIGHT4], dns=True)
    yield Case(
        id="resolv-no-tld-query",
        host="db",
        world=machine({"db": {"A": says(STRANGER4)}}, resolv=f"{SEARCH}options no-tld-query\n"),
        libc=NO_SUCH_NAME,
        attempted=[],
        winner="",
        dns=True,
    )
    late = {"pinned.example": {"*": says(rcode="NXDOMAIN", after=0.3)}}
    for nsswitch, zone, addresses in (
        ("files [SUCCESS=continue] dns", BESIDE, [STRANGER6, STRANGER4]),
        ("dns [!UNAVAIL=return] files", BESIDE, [STRANGER6, STRANGER4]),
        ("dns files", {}, [RIGHT4]),
        ("dns files", late, [RIGHT4]),
    ):
        hosts = f"{LOCALHOST}{RIGHT4} pinned.example\n"
        world = machine(zone, hosts=hosts, nsswitch=nsswitch)
        name = nsswitch.replace(" ", "-") + "-late" * (zone is late) + "-nothing" * (not zone)
        yield Case(id=f"nsswitch-{name}", host="pinned.example", world=world, libc=addresses)
    over_ipv6 = machine(servers={"::1": BOTH}, resolv="nameserver ::1\n")
    deprecated = machine(BOTH, links=DEPRECATED, listeners=(RIGHT4, RIGHT6))
    yield Case(id="deprecated-source", host="www.shop.example", world=deprecated, libc=[RIGHT4, RIGHT6], dns=True)
    yield Case(id="server-over-ipv6", host="www.shop.example", world=over_ipv6, libc=[RIGHT6, RIGHT4], dns=True)


def _with(world: World, nsswitch: str) -> World:
    return machine(world.servers["127.0.0.53"], hosts=world.hosts, nsswitch=nsswitch)


def nss_cases() -> Iterator[Case]:
    """Real modules beside files and dns."""
    yield from _slow_module_cases()
    lan = {"printer.local": {"A": says(STRANGER4), "AAAA": says(STRANGER6)}}
    mdns4 = "files mdns4_minimal [NOTFOUND=return] dns"
    yield Case(
        id="mdns-knows-ipv4-alone",
        host="printer.local",
        world=machine(lan, nsswitch=mdns4, mdns={(4, "printer.local"): ("lo", RIGHT4)}),
        libc=[RIGHT4],
        nss="mdns4_minimal",
    )
    yield Case(
        id="mdns-says-no",
        host="printer.local",
        world=machine(lan, nsswitch=mdns4, mdns={(4, "scanner.local"): ("lo", RIGHT4)}),
        libc=NO_SUCH_NAME,
        attempted=[],
        winner="",
        nss="mdns4_minimal",
    )
    yield Case(
        id="mdns-has-a-scope",
        host="printer.local",
        world=machine(
            links=ONE_LINK_LOCAL,
            nsswitch="files mdns [NOTFOUND=return] dns",
            mdns={(6, "printer.local"): ("v0", "fe80::5")},
            listeners=("fe80::5%v0",),
        ),
        libc=["fe80::5%{v0}"],
        nss="mdns",
    )
    yield Case(
        id="mdns-leaves-other-names-to-dns",
        host="www.shop.example",
        world=machine(BOTH, nsswitch=mdns4, mdns={(4, "printer.local"): ("lo", RIGHT4)}),
        libc=[RIGHT6, RIGHT4],
        nss="mdns4_minimal",
    )
    alone = "addr add 198.51.100.2/24 dev lo\n"
    box = {"box": {"A": says(STRANGER4), "AAAA": says(STRANGER6)}}
    yield Case(
        id="myhostname-is-this-machine",
        host="box",
        world=machine(box, links=alone, nsswitch="files myhostname dns", listeners=(RIGHT4,)),
        libc=[RIGHT4],
        nss="myhostname",
    )
    yield Case(
        id="myhostname-has-a-scope",
        host="box",
        world=machine(box, links=ONE_LINK_LOCAL, nsswitch="files myhostname dns", listeners=("fe80::5%v0",)),
        libc=["fe80::5%{v0}"],
        nss="myhostname",
    )
    yield Case(
        id="myhostname-after-dns",
        host="box",
        world=machine(box, nsswitch="files dns myhostname"),
        libc=[STRANGER6, STRANGER4],
        nss="myhostname",
    )
    yield Case(
        id="myhostname-knows-names-below-localhost",
        host="db.localhost",
        world=machine({"db.localhost": {"A": says(STRANGER4)}}, nsswitch="files myhostname dns", listeners=("::1",)),
        libc=["::1", "127.0.0.1"],
        nss="myhostname",
    )


def _slow_module_cases() -> Iterator[Case]:
    """A directory server has the say before DNS, knows one family, and is slow: nothing may hurry past it."""
    zone = {"nas.home.example": {"A": says(STRANGER4), "AAAA": says(STRANGER6)}}
    for name, nsswitch in (
        ("files-first", "files hesiod dns"),
        ("hesiod-first", "hesiod [NOTFOUND=return] dns"),
        ("in-the-last-line", "files dns\nhosts: files hesiod dns"),
    ):
        yield Case(
            id=f"slow-module-{name}",
            host="nas.home.example",
            world=machine(zone, nsswitch=nsswitch, hesiod=slow_module()),
            libc=[RIGHT4],
            knobs={"settle": 0.5},
            nss="hesiod",
        )
    yield Case(
        id="slow-module-before-hosts",
        host="pinned.example",
        world=machine(
            BESIDE, nsswitch="hesiod files dns", hosts=f"{LOCALHOST}{RIGHT4} pinned.example\n", hesiod=slow_module()
        ),
        libc=[RIGHT4],
        knobs={"settle": 0.5},
        nss="hesiod",
    )
    late = {"www.shop.example": {"A": says(RIGHT4), "AAAA": says(RIGHT6, after=1.0)}}
    yield Case(
        id="slow-module-knows-nothing",
        host="www.shop.example",
        world=machine(late, nsswitch="files hesiod dns", hesiod=slow_module()),
        libc=[RIGHT6, RIGHT4],
        in_order=False,
        winner=f"{RIGHT4} {RIGHT6}",  # to wait is right, and to hurry is as well: it knows this name at once
        nss="hesiod",
    )


@cache
def slow_module() -> bytes:
    """Compile the slow module; empty where there is no compiler."""
    source = Path(__file__).with_name("slow_nss_module.c")
    if why_not() or not hesiod_path() or shutil.which("cc") is None:
        return b""
    with tempfile.TemporaryDirectory() as folder:
        module = Path(folder, "module.so")
        subprocess.run(["cc", "-shared", "-fPIC", "-o", module, source], check=True, timeout=60)
        return module.read_bytes()


def search_cases() -> Iterator[Case]:
    """A and AAAA of one race belong to one name: the first candidate of the search list that has either."""
    a_only = {"www.shop.example": {"A": says(RIGHT4)}, "*.corp.example": {"AAAA": says(STRANGER6)}}
    aaaa_only = {"www.shop.example": {"AAAA": says(RIGHT6)}, "*.corp.example": {"A": says(STRANGER4)}}
    mixed = {"db.corp.example": {"A": says(RIGHT4)}, "db.lab.example": {"AAAA": says(STRANGER6)}}
    empty = {"db.corp.example": {"TXT": says()}, "db.lab.example": {"A": says(RIGHT4)}}
    www = "www.shop.example"
    yield Case(id="search-wildcard", host=www, world=machine(a_only, resolv=SEARCH), libc=[RIGHT4], dns=True)
    yield Case(id="search-wildcard-reverse", host=www, world=machine(aaaa_only, resolv=SEARCH), libc=[RIGHT6], dns=True)
    yield Case(id="search-final-dot", host=www + ".", world=machine(a_only, resolv=SEARCH), libc=[RIGHT4], dns=True)
    yield Case(id="search-two-domains", host="db", world=machine(mixed, resolv=SEARCH), libc=[RIGHT4], dns=True)
    yield Case(id="search-past-an-empty-name", host="db", world=machine(empty, resolv=SEARCH), libc=[RIGHT4], dns=True)
    late = {"db.corp.example": {"A": says(RIGHT4), "AAAA": says(RIGHT6, after=0.3)}, "db": {"A": says(STRANGER4)}}
    yield Case(
        id="search-short-name-is-late",
        host="db",
        world=machine(late, resolv=SEARCH),
        libc=[RIGHT6, RIGHT4],
        winner=RIGHT6,
        knobs={"settle": 0.3},
    )
    later = {"db.lab.corp.example": {"A": says(RIGHT4), "AAAA": says(RIGHT6, after=0.3)}}
    yield Case(
        id="search-after-the-absolute-name",
        host="db.lab",
        world=machine(later, resolv=SEARCH),
        libc=[RIGHT6, RIGHT4],
        winner=RIGHT6,
        dns=True,
    )
    no_a = {"db.lab": {"AAAA": says(after=0.3)}, "db.lab.corp.example": {"A": says(RIGHT4)}}
    yield Case(id="search-absolute-is-late-and-empty", host="db.lab", world=machine(no_a, resolv=SEARCH), libc=[RIGHT4])


def kubernetes_cases() -> Iterator[Case]:
    """Search lists and `ndots:5`: the absolute name is what is tried last."""
    services = {
        "db.prod.svc.cluster.local": {"A": says(RIGHT4)},
        "db.other.svc.cluster.local": {"A": says(RIGHT4)},
        "www.shop.example": {"A": says(RIGHT4), "AAAA": says(RIGHT6)},
    }
    plain = machine(services, resolv=KUBERNETES)
    yield Case(id="kubernetes-service", host="db", world=plain, libc=[RIGHT4], dns=True)
    yield Case(id="kubernetes-other-namespace", host="db.other", world=plain, libc=[RIGHT4], dns=True)
    yield Case(id="kubernetes-outside", host="www.shop.example", world=plain, libc=[RIGHT6, RIGHT4], dns=True)
    trap = {
        "www.shop.example.prod.svc.cluster.local": {"A": says(RIGHT4, after=0.3)},
        "www.shop.example": {"A": says(STRANGER4), "AAAA": says(STRANGER6)},
    }
    environment = {"RES_OPTIONS": "ndots:5", "LOCALDOMAIN": "prod.svc.cluster.local svc.cluster.local"}
    yield Case(
        id="kubernetes-slow-inside",
        host="www.shop.example",
        world=machine(trap, resolv=KUBERNETES),
        libc=[RIGHT4],
        knobs={"settle": 0.3},
        dns=True,
    )
    yield Case(
        id="kubernetes-slow-inside-by-environment",
        host="www.shop.example",
        world=machine(trap),
        libc=[RIGHT4],
        knobs={"settle": 0.3},
        environment=environment,
    )
    yield Case(
        id="kubernetes-final-dot-hurries",
        host="www.shop.example.",
        world=machine(
            {"www.shop.example": {"A": says(RIGHT4), "AAAA": DROPS}}, resolv=KUBERNETES + "options timeout:1"
        ),
        libc=[RIGHT4],
    )


def route_cases() -> Iterator[Case]:
    """Nobody asks the routing table whether a family exists."""
    yield Case(
        id="route-unique-local-address",
        host="nas.home.example",
        world=machine(
            {"nas.home.example": {"AAAA": says("fd00:1::2")}}, links=ONLY_IPV4_DEFAULT, listeners=("fd00:1::2",)
        ),
        libc=["fd00:1::2"],
        dns=True,
    )
    yield Case(
        id="route-mesh",
        host="node.mesh.example",
        world=machine(
            {"node.mesh.example": {"AAAA": says("200:1::2")}}, links=ONLY_IPV4_DEFAULT, listeners=("200:1::2",)
        ),
        libc=["200:1::2"],
        dns=True,
    )
    dead4 = {"nas.home.example": {"AAAA": says("fd00:1::2"), "A": says("203.0.113.9")}}
    yield Case(
        id="route-unique-local-beside-dead-ipv4",
        host="nas.home.example",
        world=machine(dead4, links=ONLY_IPV4_DEFAULT, listeners=("fd00:1::2",)),
        libc=["fd00:1::2", "203.0.113.9"],
        winner="fd00:1::2",
        knobs={"give_up_after": 1.5},
        dns=True,
    )
    yield Case(
        id="route-site-ipv4",
        host="printer.lan.example",
        world=machine(
            {"printer.lan.example": {"A": says("192.168.77.2")}}, links=ONLY_IPV6_DEFAULT, listeners=("192.168.77.2",)
        ),
        libc=["192.168.77.2"],
        dns=True,
    )
    yield Case(
        id="route-site-ipv4-in-hosts",
        host="db.internal",
        world=machine(
            hosts=f"{LOCALHOST}192.168.77.2 db.internal\n", links=ONLY_IPV6_DEFAULT, listeners=("192.168.77.2",)
        ),
        libc=["192.168.77.2"],
        dns=True,
    )
    six = {"six.example": {"AAAA": says(RIGHT6)}}
    for knobs in ({"mark": 7}, {"interface": "lo"}):
        yield Case(
            id=f"route-by-{next(iter(knobs))}",
            host="six.example",
            world=machine(six, links=ONLY_MARKED_IPV6, listeners=(RIGHT6,)),
            libc=[RIGHT6],
            knobs=knobs,
            dns=True,
        )
    yield Case(
        id="route-none-for-ipv6",
        host="www.shop.example",
        world=machine(BOTH, links="addr add 198.51.100.2/32 dev lo\nroute add default dev lo\n", listeners=(RIGHT4,)),
        libc=[RIGHT4, RIGHT6],
        dns=True,
    )


def answer_cases() -> Iterator[Case]:
    """Answers that are late, missing or an error, of either type."""
    for kind, other, late, early in (("AAAA", "A", RIGHT6, RIGHT4), ("A", "AAAA", RIGHT4, RIGHT6)):
        for after in (0.05, 0.2, 0.5, 1.0, 2.0, 5.0):
            zone = {"late.example": {kind: says(late, after=after), other: says(early)}}
            yield Case(
                id=f"{kind}-late-by-{after}",
                host="late.example",
                world=machine(zone),
                libc=[RIGHT6, RIGHT4],
                in_order=False,
                winner=early if after >= 1 else f"{RIGHT6} {RIGHT4}",  # a busy computer may be that late itself
                within=2.5 if after < 2 else 0.9 * after,
            )
        yield Case(
            id=f"{kind}-never",
            host="half.example",
            world=machine({"half.example": {kind: DROPS, other: says(early)}}, resolv=IMPATIENT),
            libc=[RIGHT4] if kind == "AAAA" else TRY_AGAIN,  # glibc 2.36 keeps the first answer, and not the second
            attempted=[early],
        )
        for rcode in ("SERVFAIL", "REFUSED", "NOTIMP", "NXDOMAIN"):
            zone = {"odd.example": {kind: says(rcode=rcode), other: says(early)}}
            yield Case(
                id=f"{kind}-{rcode}",
                host="odd.example",
                world=machine(zone, resolv=IMPATIENT),
                libc=[early],
                dns=True,
            )
    for rcode in ("SERVFAIL", "REFUSED"):
        yield Case(
            id=f"both-{rcode}",
            host="odd.example",
            world=machine({"odd.example": {"*": says(rcode=rcode)}}, resolv=IMPATIENT),
            libc=TRY_AGAIN,
            attempted=[],
            winner="",
        )
    yield Case(
        id="no-such-name",
        host="nowhere.example",
        world=machine({}, resolv=SEARCH),
        libc=NO_SUCH_NAME,
        attempted=[],
        winner="",
        dns=True,
    )
    yield Case(
        id="no-address",
        host="empty.example",
        world=machine({"empty.example": {"TXT": says()}}),
        libc=NO_ADDRESS,
        attempted=[],
        winner="",
        dns=True,
    )
    alias = {"www.example": {"A": says(RIGHT4, alias="shop.example"), "AAAA": says(alias="shop.example")}}
    yield Case(id="alias", host="www.example", world=machine(alias), libc=[RIGHT4], dns=True)


def server_cases() -> Iterator[Case]:
    """A name server that is dead or says no, beside one that lives; and options of resolv.conf."""
    dead = {"www.shop.example": {"*": DROPS}}
    servfail = {"www.shop.example": {"*": says(rcode="SERVFAIL")}}
    yield Case(
        id="first-server-is-silent",
        host="www.shop.example",
        world=machine(servers={"127.0.0.53": dead, "127.0.0.54": BOTH}, resolv=TWO_SERVERS),
        libc=[RIGHT6, RIGHT4],
        in_order=False,
        winner=f"{RIGHT6} {RIGHT4}",
        dns=True,
    )
    yield Case(
        id="first-server-is-not-there",
        host="www.shop.example",
        world=machine(servers={"127.0.0.54": BOTH}, resolv=TWO_SERVERS),
        libc=[RIGHT6, RIGHT4],
        dns=True,
    )
    yield Case(
        id="first-server-fails",
        host="www.shop.example",
        world=machine(servers={"127.0.0.53": servfail, "127.0.0.54": BOTH}, resolv=TWO_SERVERS),
        libc=[RIGHT6, RIGHT4],
        dns=True,
    )
    slow4 = {"late.example": {"A": says(RIGHT4, after=0.3), "AAAA": says(STRANGER6)}}
    yield Case(
        id="resolv-no-aaaa",
        host="late.example",
        world=machine(slow4, resolv="nameserver 127.0.0.53\noptions no-aaaa\n"),
        libc=[RIGHT4],
        dns=True,
    )
    for option in ("single-request", "single-request-reopen", "rotate", "edns0", "trust-ad"):
        yield Case(
            id=f"resolv-{option}",
            host="www.shop.example",
            world=machine(BOTH, resolv=f"nameserver 127.0.0.53\noptions {option}\n"),
            libc=[RIGHT6, RIGHT4],
            dns=True,
        )
    many = {
        "many.example": {
            "A": says(RIGHT4, STRANGER4, "198.51.100.4"),
            "AAAA": says(RIGHT6, "2001:db8:1::3"),
        }
    }
    yield Case(
        id="gai-prefers-ipv4",
        host="many.example",
        world=machine(many, gai="precedence ::ffff:0:0/96 100\n"),
        libc=[RIGHT4, STRANGER4, "198.51.100.4", RIGHT6, "2001:db8:1::3"],
        dns=True,
    )
    yield Case(
        id="gai-has-a-precedence-within-ipv6",
        host="many.example",
        world=machine(many, gai="precedence ::/0 40\nprecedence 2001:db8:1::3/128 60\nprecedence ::ffff:0:0/96 10\n"),
        libc=["2001:db8:1::3", RIGHT6, RIGHT4, STRANGER4, "198.51.100.4"],
        dns=True,
    )


def localhost_cases() -> Iterator[Case]:
    """`localhost` needs no look-up while the hosts file does not say otherwise; names below it are the system's."""
    home = ("127.0.0.1", "::1")
    yield Case(id="localhost", host="localhost", world=machine(listeners=home), libc=["::1", "127.0.0.1"], dns=True)
    yield Case(
        id="localhost-pinned",
        host="localhost",
        world=machine(hosts=f"{RIGHT4} localhost\n"),
        libc=[RIGHT4],
        dns=True,
    )
    yield Case(
        id="localhost-ipv4-alone",
        host="localhost",
        world=machine(hosts="127.0.0.1 localhost\n", listeners=home),
        libc=["127.0.0.1"],
    )
    yield Case(
        id="localhost-not-in-hosts",
        host="localhost",
        world=machine({"localhost": {"A": says(STRANGER4)}}, hosts="# nothing\n", listeners=(*home, STRANGER4)),
        libc=[STRANGER4],
        attempted=["::1", "127.0.0.1"],
        dns=True,
    )
    yield Case(
        id="below-localhost-pinned",
        host="db.localhost",
        world=machine(hosts=f"{LOCALHOST}{RIGHT4} db.localhost\n"),
        libc=[RIGHT4],
        dns=True,
    )
    yield Case(
        id="below-localhost-in-dns",
        host="db.localhost",
        world=machine({"db.localhost": {"A": says(RIGHT4)}}),
        libc=[RIGHT4],
    )


CASES = [
    case
    for cases in (
        hosts_cases, spelling_cases, nss_cases, search_cases, kubernetes_cases, route_cases, answer_cases,
        server_cases, localhost_cases,
    )
    for case in cases()
]  # fmt: skip


@dataclass(frozen=True)
class Runs:
    """The runs of the cases that were selected, side by side."""

    started: Mapping[str, list[Future[dict[str, Result]]]]

    def of(self, case: Case | Crowd) -> dict[str, Result]:
        """Return the results of a case, or raise what went wrong."""
        return {name: result for part in self.started[case.id] for name, result in part.result().items()}


@pytest.fixture(scope="module")
def runs(request: pytest.FixtureRequest) -> Runs:
    """Run every case of which a test was selected; the slow ones begin first."""
    selected = {}
    for item in request.session.items:
        case = item.callspec.params.get("case") if hasattr(item, "callspec") else None
        if isinstance(case, (Case, Crowd)):
            selected[case.id] = case
    cases = sorted(
        (case for case in selected.values() if isinstance(case, Case)), key=lambda case: "5.0" not in case.id
    )
    crowds = [case for case in selected.values() if isinstance(case, Crowd)]
    started: dict[str, list[Future[dict[str, Result]]]] = {}
    for together in (cases, crowds):  # a crowd needs the machine
        with ThreadPoolExecutor(max_workers=8 if together is cases else 3) as pool:
            started |= {case.id: [pool.submit(part) for part in case.parts] for case in together}
    return Runs(started)


def marked(case: Case) -> Any:
    """Make a case a parameter, skipped where its NSS module is not installed."""
    missing = bool(case.nss) and not (slow_module() if case.nss == "hesiod" else has_nss_module(case.nss))
    marks = [pytest.mark.skip(reason=f"libnss_{case.nss}.so.2 is not installed")] if missing else []
    return pytest.param(case, id=case.id, marks=marks)


each_case = pytest.mark.parametrize("case", [marked(case) for case in CASES])


def numbered(addresses: Sequence[str]) -> list[str]:
    """Leave out the number of an interface, which is the kernel's to give."""
    return [address.partition("%")[0] + "%" * ("%" in address) for address in addresses]


@each_case
def test_the_c_library_says_what_is_assumed(case: Case, runs: Runs) -> None:
    """Or the case would show nothing."""
    said = runs.of(case)["libc"].value
    expected = (case.libc, []) if isinstance(case.libc, str) else ("", numbered(case.libc))
    assert (said["error"], numbered(said["addresses"])) == expected


@each_case
def test_the_same_addresses_in_the_same_order(case: Case, runs: Runs) -> None:
    """All that refuse are attempted, and nothing else is."""
    attempted, expected = numbered(runs.of(case)["refused"].value["attempted"]), numbered(case.all_attempted)
    if not case.in_order:
        attempted, expected = sorted(attempted), sorted(expected)
    assert attempted == expected


@each_case
@pytest.mark.parametrize("program", ["refused", "open"])
def test_no_query_that_the_c_library_would_not_send(case: Case, program: str, runs: Runs) -> None:
    """Nobody learns of a name who would not have learnt of it."""
    results = runs.of(case)
    assert set(results[program].queries) <= set(results["libc"].queries)


@each_case
def test_connects_to_the_best_in_time(case: Case, runs: Runs) -> None:
    """A late or missing answer costs the Resolution Delay, a wrong one nothing."""
    made = runs.of(case)["open"].value
    best = case.best.split(" ") if case.best else [""]
    assert numbered([made["winner"]])[0] in numbered(best), made["error"]
    if case.best:
        assert made["seconds"] < case.within


@pytest.mark.parametrize("case", [marked(case) for case in CASES if case.dns])
def test_name_servers_asked_directly_mean_the_same(case: Case, runs: Runs) -> None:
    """`DNSResolver` sorts by itself, so the order is its own; the name is the same, and so is every query's."""
    results = runs.of(case)
    assert sorted(numbered(results["dns"].value["attempted"])) == sorted(numbered(case.all_attempted))
    assert set(results["dns"].queries) <= set(results["libc"].queries)


@pytest.mark.parametrize("case", [marked(case) for case in CASES if case.id == "deprecated-source"])
def test_name_servers_asked_directly_mean_the_same_order(case: Case, runs: Runs) -> None:
    """Where a rule decides that needs more than sockets: rule 3 of RFC 6724."""
    assert numbered(runs.of(case)["dns"].value["attempted"]) == numbered(case.all_attempted)


@dataclass(frozen=True, kw_only=True)
class Crowd:
    """One program in a world of its own, that connects many times."""

    id: str
    world: World
    function: Callable[..., Any]
    arguments: tuple[Any, ...]

    @property
    def parts(self) -> list[Callable[[], dict[str, Result]]]:
        """What is to be called for the result."""
        program = Program(name="it", function=self.function, arguments=self.arguments, give_up_after=60)
        return [partial(run, self.world, [program])]


GOOD = {"good.example": {"A": says(RIGHT4), "AAAA": says(RIGHT6)}}
DEAD = machine({**GOOD, "dead.example": {"*": DROPS}, "*.dead.example": {"*": DROPS}})
HALF = machine({"half.example": {"A": says(RIGHT4), "AAAA": DROPS}, "six.example": {"AAAA": says(RIGHT6)}})
ONE, MANY = "dead.example", "h{}.dead.example"


def crowds(function: Callable[..., Any], **cases: tuple[World, Any]) -> pytest.MarkDecorator:
    """Have a test look at the runs of one program."""
    made = [
        Crowd(id=f"{function.__name__}-{name}", world=world, function=function, arguments=arguments)
        for name, (world, arguments) in cases.items()
    ]
    return pytest.mark.parametrize("case", made, ids=cases)


@crowds(abandoned, one_name=(DEAD, (ONE, "good.example", 70)), many_names=(DEAD, (MANY, "good.example", 70)))
def test_abandoned_connects_hold_nobody_up(case: Crowd, runs: Runs) -> None:
    """Who gives up leaves a look-up that does not count any more: 70 of them, and another name is as fast as ever."""
    assert runs.of(case)["it"].value["seconds"] < 2.0


@crowds(
    crowd,
    one_name=(DEAD, (ONE, "good.example", 1000)),
    many_names=(DEAD, (MANY, "good.example", 1000)),
    many_names_for_long=(DEAD, (MANY, "good.example", 1000, 4.0)),
)
def test_a_crowd_of_dead_names_holds_nobody_up(case: Crowd, runs: Runs) -> None:
    """A thousand connects to names that nobody answers for; a good name beside them, and one when all are cancelled."""
    done = runs.of(case)["it"].value
    assert math.isfinite(done["beside"])  # beside a thousand races it is this computer that takes its time
    assert done["after"] < 3.0
    assert done["threads"] < 400


@crowds(crowd, one_name_beside=(DEAD, (ONE, "good.example", 1000)))
def test_a_crowd_at_one_name_shares_its_look_up(case: Crowd, runs: Runs) -> None:
    """So it needs a few threads, and a good name does not even wait while the crowd is still there."""
    done = runs.of(case)["it"].value
    assert done["beside"] < 3.0
    assert done["threads"] < 20


@crowds(half_dead, aaaa=(HALF, ("half.example", 40, "six.example")))
def test_a_zone_that_drops_aaaa_holds_nobody_up(case: Crowd, runs: Runs) -> None:
    """RFC 4074, section 4.1: some name servers ignore queries for AAAA. Connects go on, and so do those to others."""
    done = runs.of(case)["it"].value
    assert done["each"] < 0.5
    assert done["seconds"] < 2.0


def test_interleaved() -> None:
    assert interleaved(["a:1", "a:2", "1", "2", "3", "1"]) == ["a:1", "1", "a:2", "2", "3"]
