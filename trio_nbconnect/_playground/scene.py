"""Scene: a network as the playground edits it, plain data that fits into a link.

The editor is JavaScript, the race is Python's, and what goes between them is JSON. A `Scene` is that JSON, read and
checked: a link comes from anybody, and the code below the picture is made to be copied, so nothing of a scene gets into
either of them but numbers, numeric addresses and words of a closed set. From a scene come its `SimulatedNetwork`, its
policy, its race, and the Python that says the same.

Times are milliseconds, as people say them; None is never. A lost first packet is a second more: TCP sends it again
after its initial time-out (RFC 6298, section 2).
"""

from __future__ import annotations

import errno
import math
import re
import socket
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import trio

from .._address import IPV4, IPV6, Address, parse_literal
from .._connector import Connector
from .._pictures.recording import RecordedRace
from .._policy import Policy
from .._resolve.query import Service, Source
from .._simulation.network import SimulatedNetwork, simulate

HOST, PORT = "example.org", 443

ANSWERS = ("aaaa", "a", "https", "alternative")
HTTPS = ("none", "plain", "hints", "alternative")
DEEDS = ("accepts", "refuses", "unreachable", "no route", "resets", "drops", "loses", "silent TLS")
DURATIONS = ("attempt_delay", "resolution_delay", "minimum_gap", "maximum_delay", "give_up_attempt_after")
COUNTS = ("first_address_family_count", "attempts_at_full_pace")
MOST_HOSTS = 24
LONGEST = 600_000
_RETRANSMISSION = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """One address: what it does on a connect, after how many milliseconds, and whether it is an alternative's."""

    ip: str
    does: str = "accepts"
    after: int = 30
    alternative: bool = False

    @property
    def is_ipv6(self) -> bool:
        """Whether an AAAA record holds it."""
        return ":" in self.ip

    def call(self) -> str:
        """The method of `SimulatedHost` that makes it so, as Python."""
        after = _seconds(self.after)
        return {
            "accepts": f"accepts(after={after})",
            "silent TLS": f"accepts(after={after})",
            "loses": f"accepts(after={_seconds(self.after + _RETRANSMISSION)})",
            "refuses": f"refuses(after={after})",
            "unreachable": f"unreachable(after={after})",
            "no route": "unreachable()",
            "resets": f"resets(after={after})",
            "drops": "drops()",
        }[self.does]

    def set_up(self, net: SimulatedNetwork) -> None:
        """Make it so on a network."""
        host, after = net.host(self.ip), self.after / 1000
        if self.does in ("accepts", "silent TLS"):
            host.accepts(after=after)
        elif self.does == "loses":
            host.accepts(after=(self.after + _RETRANSMISSION) / 1000)
        elif self.does == "refuses":
            host.refuses(after=after)
        elif self.does == "resets":
            host.resets(after=after)
        elif self.does == "unreachable":
            host.unreachable(after=after)
        elif self.does == "no route":
            host.unreachable()
        else:
            host.drops()


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A network, and how to connect on it.

    Attributes:
        hosts: The addresses, those of each family in the order of its answer.
        host: The name that is connected to.
        answers: When each answer comes, in milliseconds after its query.
        https: What the HTTPS record says.
        name_servers: Whether name servers are asked, whose answers come one by one, instead of the system.
        tls: Whether a TLS handshake belongs to an attempt; it takes one more round trip.
        ipv6: Whether this machine has IPv6.
        ipv4: Whether this machine has IPv4.
        prefers_ipv4: Whether the policy prefers it.
        policy: The policy's numbers that are not the default.
        give_up_after: The limit of the whole call.
    """

    hosts: tuple[Host, ...]
    host: str = HOST
    answers: Mapping[str, int | None] = field(default_factory=dict)
    https: str = "none"
    name_servers: bool = True
    tls: bool = False
    ipv6: bool = True
    ipv4: bool = True
    prefers_ipv4: bool = False
    policy: Mapping[str, float | None] = field(default_factory=dict)
    give_up_after: int | None = 5000

    @classmethod
    def read(cls, data: object) -> Scene:
        """Read what the editor or a link says.

        Raises:
            ValueError: It is no scene; the text says what is wrong.
        """
        fields = dict(_mapping("the scene", data))
        for name in ("id", "group", "title", "about"):  # what a list of scenes says of each
            fields.pop(name, None)
        unknown = fields.keys() - set(cls.__slots__)
        if unknown:
            raise ValueError(f"a scene has no {min(unknown)!r}")
        hosts = fields.get("hosts")
        if not isinstance(hosts, list) or not len(hosts) <= MOST_HOSTS:
            raise ValueError(f"hosts must be a list of at most {MOST_HOSTS}")
        answers = _mapping("answers", fields.get("answers", {}))
        policy = _mapping("policy", fields.get("policy", {}))
        scene = cls(
            hosts=tuple(map(_host, hosts)),
            host=_name(fields.get("host", HOST)),
            answers={_one_of("answer", name, ANSWERS): _time(name, at) for name, at in answers.items()},
            https=_one_of("https", fields.get("https", "none"), HTTPS),
            policy=dict(_number(name, value) for name, value in policy.items()),
            give_up_after=_time("give_up_after", fields.get("give_up_after", 5000)),
            **{name: _flag(name, fields[name]) for name in _FLAGS if name in fields},
        )
        if len({host.ip for host in scene.hosts}) < len(scene.hosts):
            raise ValueError("an address is there twice")
        _policy(scene)
        return scene

    def data(self) -> dict[str, Any]:
        """Return it as the editor has it."""
        return asdict(self)

    @property
    def alternative(self) -> str:
        """The name of the second service."""
        return f"alt.{self.host}"

    def addresses(self, *, ipv6: bool, alternative: bool = False) -> list[str]:
        """The addresses of one answer."""
        return [host.ip for host in self.hosts if host.is_ipv6 is ipv6 and host.alternative is alternative]

    def services(self) -> list[Service]:
        """What the HTTPS record says."""
        if self.https == "none":
            return []
        hints = [*self.addresses(ipv6=True), *self.addresses(ipv6=False)] if self.https == "hints" else []
        services = [Service(priority=1, hints=tuple(map(_address, hints)))]
        return services + ([Service(priority=2, target=self.alternative)] if self.https == "alternative" else [])


_FLAGS = ("name_servers", "tls", "ipv6", "ipv4", "prefers_ipv4")


def network_of(scene: Scene) -> SimulatedNetwork:
    """Build the network of a scene."""
    net = SimulatedNetwork(ipv6=scene.ipv6, ipv4=scene.ipv4)
    net.answers(scene.host, aaaa=scene.addresses(ipv6=True), after=_answer(scene, "aaaa"))
    net.answers(scene.host, a=scene.addresses(ipv6=False), after=_answer(scene, "a"))
    if scene.name_servers:
        net.answers(scene.host, https=scene.services(), after=_answer(scene, "https"))
    if scene.name_servers and scene.https == "alternative":
        aaaa, a = scene.addresses(ipv6=True, alternative=True), scene.addresses(ipv6=False, alternative=True)
        net.answers(scene.alternative, aaaa=aaaa, a=a, after=_answer(scene, "alternative"))
    for host in scene.hosts:
        host.set_up(net)
    return net


def connector_of(scene: Scene, net: SimulatedNetwork) -> Connector:
    """Return who connects in a scene: with its resolver and its policy."""
    return Connector(resolver=net.resolver() if scene.name_servers else None, policy=_policy(scene))


def race_of(scene: Scene, net: SimulatedNetwork | None = None) -> RecordedRace:
    """Run the race of a scene, on its own network or on one that is equal to it."""
    net = network_of(scene) if net is None else net
    return simulate(
        net,
        scene.host,
        PORT,
        connector=connector_of(scene, net),
        establish=_tls(scene) if scene.tls else None,
        give_up_after=math.inf if scene.give_up_after is None else scene.give_up_after / 1000,
    )


def scene_of(net: SimulatedNetwork, host: str = HOST) -> Scene:
    """Read a network into a scene.

    Raises:
        ValueError: The network has something that the editor cannot show.
    """
    entries = {source: net._names.entry(host, source) for source in (Source.AAAA, Source.A, Source.HTTPS)}
    names = [text for source in (Source.AAAA, Source.A) for text in entries[source].records.addresses]
    if other := next((f"{ip}, port {port}" for ip, port in net._hosts if port is not None), None):
        raise ValueError(f"the editor has no hosts of one port only: {other}")
    if [service for service in entries[Source.HTTPS].records.services if service.target or service.port]:
        raise ValueError(f"the editor has no services at other names or ports: {host}")
    services = entries[Source.HTTPS].records.services
    return Scene.read(
        {
            "hosts": [_host_of(net, ip) for ip in dict.fromkeys([*names, *(ip for ip, _ in net._hosts)])],
            "host": host,
            "answers": {source.value.lower(): _milliseconds(entry.after) for source, entry in entries.items()},
            "https": "none" if not services else "hints" if services[0].hints else "plain",
            "name_servers": any(source is Source.HTTPS for _, source in net._names._zone),
            "ipv6": net._routes[IPV6],
            "ipv4": net._routes[IPV4],
        }
    )


def _host_of(net: SimulatedNetwork, ip: str) -> Mapping[str, object]:
    """Say in a scene's words what an address does."""
    outcome = net.host(ip)._outcome
    if outcome.at_once:
        return {"ip": ip, "does": "no route"}
    if outcome.after == math.inf:
        return {"ip": ip, "does": "drops"}
    if outcome.errno not in _DEEDS:
        raise ValueError(f"the editor has no {errno.errorcode[outcome.errno]}: {ip}")
    return {"ip": ip, "does": _DEEDS[outcome.errno], "after": outcome.after * 1000}


_DEEDS = {
    0: "accepts",
    errno.ECONNREFUSED: "refuses",
    errno.EHOSTUNREACH: "unreachable",
    errno.ECONNRESET: "resets",
}


def _milliseconds(seconds: float) -> float | None:
    return None if seconds == math.inf else seconds * 1000


def _tls(scene: Scene) -> Any:
    """A TLS handshake: one more round trip, or silence."""
    times = {host.ip: math.inf if host.does == "silent TLS" else host.after / 1000 for host in scene.hosts}

    async def shake_hands(stream: trio.SocketStream) -> trio.SocketStream:
        await trio.sleep(times[stream.socket.getpeername()[0]])
        return stream

    return shake_hands


def _policy(scene: Scene) -> Policy:
    """The policy of a scene; a family that this machine does not have is not asked for (RFC 8305, section 3)."""
    values: dict[str, Any] = {}
    for name, value in scene.policy.items():
        values[name] = math.inf if value is None else value / 1000 if name in DURATIONS else value
    return Policy(families=_families(scene), **values)


def _families(scene: Scene) -> tuple[socket.AddressFamily, ...]:
    both = (IPV4, IPV6) if scene.prefers_ipv4 else (IPV6, IPV4)
    there = {IPV6: scene.ipv6, IPV4: scene.ipv4}
    return tuple(family for family in both if there[family]) or both


def _answer(scene: Scene, name: str) -> float:
    after = scene.answers.get(name, 20)
    return math.inf if after is None else after / 1000


def code_of(scene: Scene) -> str:
    """Write the Python that makes this network and runs this race."""
    return "\n".join(_lines(scene)) + "\n"


def _lines(scene: Scene) -> Iterator[str]:
    families = _families(scene)
    if families != (IPV6, IPV4):
        yield "import socket\n"
    if scene.tls:
        yield from ("import math\n" if _is_silent(scene) else "", "import trio")
    yield "import trio_nbconnect as nb"
    yield "from trio_nbconnect.testing import SimulatedNetwork, simulate"
    yield ""
    without = [f"{name}=False" for name, there in (("ipv6", scene.ipv6), ("ipv4", scene.ipv4)) if not there]
    yield f"net = SimulatedNetwork({', '.join(without)})"
    yield from _answer_lines(scene)
    for host in scene.hosts:
        remark = "  # its first packet is lost; TCP sends it again after a second" if host.does == "loses" else ""
        yield f"net.host({host.ip!r}).{host.call()}{remark}".replace("'", '"')
    if scene.tls:
        yield from _tls_lines(scene)
    yield ""
    yield "race = simulate("
    yield f'    net, "{scene.host}", {PORT},'
    if scene.name_servers:
        yield "    connector=nb.Connector(resolver=net.resolver()),"
    if policy := _policy_text(scene, families):
        yield f"    policy=nb.Policy({policy}),"
    if scene.tls:
        yield "    establish=shake_hands,"
    if scene.give_up_after is not None:
        yield f"    give_up_after={_seconds(scene.give_up_after)},"
    yield ")"
    yield "print(race)"


def _answer_lines(scene: Scene) -> Iterator[str]:
    def line(host: str, what: str, name: str) -> str:
        return f'net.answers("{host}", {what}, after={_never_or_seconds(scene.answers.get(name, 20))})'

    def listed(*, ipv6: bool, alternative: bool = False) -> str:
        return repr(scene.addresses(ipv6=ipv6, alternative=alternative)).replace("'", '"')

    yield line(scene.host, f"aaaa={listed(ipv6=True)}", "aaaa")
    yield line(scene.host, f"a={listed(ipv6=False)}", "a")
    if not scene.name_servers:
        return
    services = ["nb.Service(priority=1)"] if scene.https != "none" else []
    if scene.https == "hints":
        hints = [f'nb.Address.parse("{service}")' for service in scene.services()[0].hints]
        services = [f"nb.Service(priority=1, hints=({', '.join(hints)}{',' if len(hints) == 1 else ''}))"]
    if scene.https == "alternative":
        services.append(f'nb.Service(priority=2, target="{scene.alternative}")')
    yield line(scene.host, f"https=[{', '.join(services)}]", "https")
    if scene.https == "alternative":
        what = f"aaaa={listed(ipv6=True, alternative=True)}, a={listed(ipv6=False, alternative=True)}"
        yield line(scene.alternative, what, "alternative")


def _tls_lines(scene: Scene) -> Iterator[str]:
    times = [
        f'"{host.ip}": {"math.inf" if host.does == "silent TLS" else _seconds(host.after)}' for host in scene.hosts
    ]
    yield f"tls = {{{', '.join(times)}}}  # how long each TLS handshake takes"
    yield ""
    yield ""
    yield "async def shake_hands(stream):"
    yield "    await trio.sleep(tls[stream.socket.getpeername()[0]])"
    yield "    return stream"
    yield ""


def _policy_text(scene: Scene, families: tuple[socket.AddressFamily, ...]) -> str:
    values = [
        f"{name}={_never_or_seconds(value) if name in DURATIONS else value}" for name, value in scene.policy.items()
    ]
    if families != (IPV6, IPV4):
        names = [f"socket.{family.name}" for family in families]
        values.append(f"families=({', '.join(names)}{',' if len(names) == 1 else ''})")
    return ", ".join(values)


def _is_silent(scene: Scene) -> bool:
    return any(host.does == "silent TLS" for host in scene.hosts)


def _seconds(milliseconds: float) -> str:
    return f"{milliseconds / 1000:g}"


def _never_or_seconds(milliseconds: float | None) -> str:
    return 'float("inf")' if milliseconds is None else _seconds(milliseconds)


def _address(ip: str) -> Address:
    return Address(IPV6 if ":" in ip else IPV4, ip, PORT)


def _name(value: object) -> str:
    """Read a host name; letters, digits, hyphens and dots have no meaning in Python's strings."""
    if not isinstance(value, str) or not re.fullmatch(r"[a-z0-9-]{1,40}(\.[a-z0-9-]{1,40}){1,4}", value):
        raise ValueError(f"host must be a name like example.org, not {value!r}")
    return value


def _mapping(name: str, value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise ValueError(f"{name} must be an object")
    return value


def _one_of(name: str, value: object, words: tuple[str, ...]) -> str:
    if not isinstance(value, str) or value not in words:
        raise ValueError(f"{name} must be one of {', '.join(words)}, not {value!r}")
    return value


def _flag(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be true or false, not {value!r}")
    return value


def _time(name: str, value: object) -> int | None:
    """Read milliseconds; None is never."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= LONGEST:
        raise ValueError(f"{name} must be a number of milliseconds, at most {LONGEST}, or null, not {value!r}")
    return round(value)


def _number(name: str, value: object) -> tuple[str, float | None]:
    """Read one number of the policy, a time or a count."""
    if _one_of("policy", name, (*DURATIONS, *COUNTS)) in DURATIONS:
        return name, _time(name, value)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST_HOSTS:
        raise ValueError(f"{name} must be a number from 1 to {MOST_HOSTS}, not {value!r}")
    return name, value


def _host(value: object) -> Host:
    fields = _mapping("a host", value)
    ip = fields.get("ip")
    address = parse_literal(ip, 0) if isinstance(ip, str) else None
    if address is None or address.scope_id:
        raise ValueError(f"ip must be a numeric address, not {ip!r}")
    return Host(
        ip=address.ip,
        does=_one_of("does", fields.get("does", "accepts"), DEEDS),
        after=_time("after", fields.get("after", 30)) or 0,
        alternative=_flag("alternative", fields.get("alternative", False)),
    )
