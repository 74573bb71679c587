"""Scenarios: a row of the table, run on a simulated network in virtual time, against what it expects.

A row says what name servers answer and when, what each address does, and what a race must then do: which attempts at
which millisecond, who wins and when, what is cancelled and what fails how. Its times are milliseconds.
"""

from __future__ import annotations

import errno
import math
import socket
import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter, itemgetter
from typing import Any

import trio
from trio.testing import MockClock

from trio_nbconnect import (
    Address,
    Answer,
    ConnectError,
    Connector,
    ConnectTimeout,
    Policy,
    Query,
    QuerySent,
    ResolutionError,
    Resolver,
    Service,
    Source,
    trace,
)
from trio_nbconnect._resolve.history import History
from trio_nbconnect.testing import SimulatedHost, SimulatedNetwork

HOST = "host.example"
PORT = 443

POLICY = {
    "cad": "attempt_delay",
    "spacing": "minimum_gap",
    "max_cad": "maximum_delay",
    "min_cad": "minimum_delay",
    "rd": "resolution_delay",
    "attempt_timeout": "give_up_attempt_after",
    "last_resort_delay": "last_resort_delay",
}
"""The knobs of a row that are durations of a `Policy`."""

KNOBS = {
    *POLICY,
    "version",
    "ffc",
    "prefer",
    "v6",
    "v4",
    "deadline",
    "cancel_at",
    "success",
    "literal",
    "min_cad",
    "rtt",
    "used",
    "cad_mode",
    "cad_mult",
    "secure_dns",
    "ech",
    "nat64",
    "svcb",
    "protos",
}
"""Every knob that this library has; a row with another one asks for another implementation's ways."""

Row = Mapping[str, Any]

_LONG = 3600.0
"""Virtual seconds after which a race that nothing ends has failed its row."""


@dataclass
class Observed:
    """What a race really did, in the words of `expect`."""

    attempts: list[list[Any]] = field(default_factory=list)
    winner: str | None = None
    time: float = 0.0
    error: str | None = None
    cancelled: list[str] = field(default_factory=list)
    attempt_errors: list[list[Any]] = field(default_factory=list)
    queries: list[list[Any]] = field(default_factory=list)
    ports: list[int] = field(default_factory=list)
    """The port of each attempt, for rows that name it."""


def observe(row: Row, *, given: bool = False) -> Observed:
    """Run a row and return what happened; `given` has the caller know all its addresses, in the table's order."""
    return trio.run(_observe, row, given, clock=MockClock(autojump_threshold=0))


def differences(row: Row) -> list[str]:
    """Run a row and say, field by field, where it did not do what is expected; every field is compared."""
    observed = observe(row)
    wrong = []
    for name, expected in row["expect"].items():
        actual = getattr(observed, name, "not observed")
        is_set = name in ("cancelled", "attempt_errors", "queries")  # the table lists them in no particular order
        if not (_same(sorted(expected, key=str), sorted(actual, key=str)) if is_set else _same(expected, actual)):
            wrong.append(f"{name}: expected {expected}, not {actual}")
    return wrong


def _same(expected: Any, actual: Any) -> bool:
    """Compare values, numbers to a microsecond."""
    if isinstance(expected, list) and isinstance(actual, list):
        return len(expected) == len(actual) and all(map(_same, expected, actual))
    if isinstance(expected, (int, float)) and isinstance(actual, (int, float)):
        return math.isclose(expected, actual, abs_tol=1e-3)
    return bool(expected == actual)


async def _observe(row: Row, given: bool) -> Observed:
    net = _network(row)
    observed = Observed()
    happened: list[trace.Event] = []
    services_known = trio.Event()
    if given:
        services_known.set()

    def tracer(event: trace.Event) -> None:
        happened.append(event)
        if isinstance(event, trace.AnswerReceived) and event.source is Source.HTTPS:
            services_known.set()

    connector = Connector(
        policy=_policy(row),
        history=_history(row["config"]),
        network=net,
        tracer=tracer,
        resolver=_resolver(row, net),
        nat64=row["config"].get("nat64"),
    )
    with trio.fail_after(_LONG), trio.move_on_at(_seconds(row["config"].get("cancel_at"))) as scope:
        observed.error, observed.winner = await _race(row, connector, given, services_known)
    if scope.cancelled_caught:
        observed.error = "cancelled"
    assert net.open_sockets == 0, "the race left sockets open"
    observed.time = trio.current_time() * 1000
    observed.queries = [[at * 1000, source.value, "." if name == HOST else name] for at, source, name in net.queries]
    _read(happened, observed)
    _compare_with_the_wire(net, observed)
    _name_endpoints(row, observed)
    return observed


async def _race(
    row: Row, connector: Connector, given: bool, services_known: trio.Event
) -> tuple[str | None, str | None]:
    """Return the kind of error and the winner's address."""
    host = row["config"].get("literal") or HOST
    how: dict[str, Any] = {"give_up_after": _seconds(row["config"].get("deadline"))}
    if given:
        how["addresses"] = list(row["hosts"])
    try:
        if row["config"].get("success") == "tls":
            stream = await connector.connect(host, PORT, _tls(row, services_known), **how)
        else:
            stream = await connector.open_tcp_stream(host, PORT, **how)
    except ConnectTimeout as error:
        return "deadline" if "gave up" in str(error) else "all_failed", None
    except ResolutionError as error:
        return "svcb_resolution_failed" if "services" in str(error) else "dns", None
    except ConnectError:
        return "all_failed", None
    family, sockaddr = stream.socket.family, stream.socket.getpeername()
    stream.socket.close()
    return None, Address(family, *sockaddr).ip


def _read(happened: Sequence[trace.Event], observed: Observed) -> None:
    """Read the events of the race, and check that every attempt had one outcome."""
    outcomes = []
    for event in happened:
        match event:
            case trace.AttemptStarted():
                observed.attempts.append([event.time * 1000, event.address.ip])
                observed.ports.append(event.address.port)
            case trace.AttemptFailed():
                tls = isinstance(event.error, ssl.SSLError)
                number = "TLS" if tls else errno.errorcode[event.error.errno or 0]
                observed.attempt_errors.append([event.address.ip, number, event.time * 1000])
                outcomes.append(event.attempt)
            case trace.AttemptCancelled():
                observed.cancelled.append(event.address.ip)
                outcomes.append(event.attempt)
            case trace.AttemptEstablished():
                outcomes.append(event.attempt)
            case trace.RunnerUpDiscarded():
                observed.cancelled.append(event.address.ip)
    assert sorted(outcomes) == list(range(1, len(observed.attempts) + 1))


def _compare_with_the_wire(net: SimulatedNetwork, observed: Observed) -> None:
    """Every attempt sent its first packet when its event says, but for those that never sent one."""
    sent = [[time * 1000, address.ip] for time, address in net.connects]
    assert [attempt for attempt in observed.attempts if attempt in sent] == sent


def _name_endpoints(row: Row, observed: Observed) -> None:
    """Add what a row tells of an attempt beyond its address: the only protocol that the client speaks, and the port."""
    protocols = row["config"].get("protos", ())
    for attempt, port, expected in zip(observed.attempts, observed.ports, row["expect"]["attempts"], strict=False):
        if len(expected) > 2:
            attempt.append(protocols[0] if len(protocols) == 1 else expected[2] and "any of " + "/".join(protocols))
        if len(expected) > 3:
            attempt.append(port)


def _network(row: Row) -> SimulatedNetwork:
    """Build the network that a row describes; what it does not mention never answers."""
    config = row["config"]
    net = SimulatedNetwork(ipv6=config.get("v6", True), ipv4=config.get("v4", True))
    for name in {HOST, *_targets(row)}:
        net.answers(name, aaaa=[], a=[], https=[], after=math.inf)
    for entry in row["dns"]:
        if not entry.get("push"):
            name, after = _name(entry.get("name", ".")), _after(entry) / 1000
            net.answers(name, after=after, error=_negative(entry), **_records(entry))
    for address, deeds in row["hosts"].items():
        _do(net.host(address), deeds)
    return net


def _after(entry: Row) -> float:
    """When an answer comes: a row counts from the query or from the start, when the host's own queries go out."""
    return float(entry["t"] if "t" in entry else entry["after_query"])


def _records(entry: Row) -> dict[str, Any]:
    """Say an answer in the words of `SimulatedNetwork.answers`."""
    if entry["type"] != "HTTPS":
        return {entry["type"].lower(): entry.get("addrs", ())}
    aliases = [record["target"] for record in entry.get("records", ()) if record["priority"] == 0]
    return {"alias": aliases[0]} if aliases else {"https": list(map(_service, entry.get("records", ())))}


def _service(record: Row) -> Service:
    hints = [*record.get("hint6", ()), *record.get("hint4", ())]
    return Service(
        priority=record["priority"],
        target="" if record["target"] == "." else record["target"],
        port=record.get("port"),
        alpn=_alpn(record),
        hints=tuple(map(_address, hints)),
        ech=bool(record.get("ech")),
    )


def _alpn(record: Row) -> tuple[str, ...]:
    """RFC 9460, section 7.1.2: HTTP/1.1 goes without saying, unless a record says that it does not."""
    said = tuple(record.get("alpn", ()))
    return said if record.get("no_default_alpn") or not said else (*said, "http/1.1")


def _negative(entry: Row) -> OSError | None:
    """What it means when there are no records; a name without services has no error."""
    if entry.get("rcode") == "servfail":
        return socket.gaierror(socket.EAI_AGAIN, "SERVFAIL")
    if entry["type"] == "HTTPS":
        return None
    nothing = socket.EAI_NONAME if entry.get("rcode") == "nxdomain" else getattr(socket, "EAI_NODATA", -5)
    return socket.gaierror(nothing, "negative")


def _targets(row: Row) -> set[str]:
    """The names that records of a row point to."""
    return {_name(record["target"]) for entry in row["dns"] for record in entry.get("records", ())}


def _name(name: str) -> str:
    return HOST if name == "." else name


def _resolver(row: Row, net: SimulatedNetwork) -> Resolver | None:
    """Ask name servers, whose answers come one by one; version 3 asks for HTTPS records, too."""
    if any(entry.get("push") for entry in row["dns"]):
        return _Scripted(row, net)
    config, services = row["config"], _asks_for_services(row)
    protocols = tuple(config.get("protos") or ("h2", "http/1.1"))
    return net.resolver(services=services, protocols=protocols, encrypted=config.get("secure_dns", False))


def _asks_for_services(row: Row) -> bool:
    """Version 3 does, unless a row says otherwise."""
    return bool(row["config"].get("svcb", row["config"].get("version", 2) == 3))


def _do(host: SimulatedHost, deeds: Mapping[str, Any]) -> None:
    if "connect" in deeds:
        host.accepts(after=deeds["connect"] / 1000)
    elif "refuse" in deeds:
        host.refuses(after=deeds["refuse"] / 1000)
    elif "unreach" in deeds:
        host.unreachable(after=deeds["unreach"] / 1000 or None)
    else:
        host.drops()


def _tls(row: Row, services_known: trio.Event) -> Any:
    """Return what decides that an attempt is established: a handshake as long as the row says.

    A client that relies on Encrypted Client Hello waits for the services first (version 3, section 6.3).
    """
    waits = row["config"].get("ech", False) and row["config"].get("secure_dns", False)

    async def shake_hands(stream: trio.SocketStream) -> trio.SocketStream:
        address = Address(stream.socket.family, *stream.socket.getpeername())
        deeds = row["hosts"][address.ip].get("tls", {"ok": 0})
        if waits:
            await services_known.wait()
        await trio.sleep(deeds.get("ok", deeds.get("fail", math.inf)) / 1000)
        if "fail" in deeds:
            raise ssl.SSLError("handshake failure")
        return stream

    return shake_hands


def _policy(row: Row) -> Policy:
    """Read the knobs; the family that a row prefers comes first. RFC 8305 asks for IPv4 as a last resort only."""
    config = dict(row["config"])
    if "V2-X3" in row.get("requirements", ()):
        config.setdefault("last_resort_delay", 2000)
    durations = {POLICY[knob]: value / 1000 for knob, value in config.items() if knob in POLICY and value is not None}
    families = [socket.AF_INET6, socket.AF_INET]
    if not config.get("nat64"):  # a family without connectivity is not asked for (RFC 8305, section 3)
        families = [family for family, knob in zip(families, ("v6", "v4"), strict=True) if config.get(knob, True)]
    return Policy(
        **durations,
        attempt_delay_multiplier=config.get("cad_mult", 1),
        delay_from_history=config.get("cad_mode") == "rtt",
        first_address_family_count=config.get("ffc", 1),
        families=tuple(families if config.get("prefer", 6) == 6 else families[::-1]),
    )


def _history(config: Mapping[str, Any]) -> History | None:
    """Have learnt what a row says was learnt before; `now` is when the races run, all at once."""
    if not config.keys() & {"rtt", "used", "cad_mode"}:
        return None
    history = History(explore_every=math.inf)
    for text, rtt in config.get("rtt", {}).items():
        history.record(_address(text), rtt / 1000, time.time())
    for text in config.get("used", ()):
        history.mark_used(_address(text), time.time())
    return history


def _address(text: str) -> Address:
    return Address(socket.AF_INET6 if ":" in text else socket.AF_INET, text, PORT)


def _seconds(milliseconds: float | None) -> float:
    return math.inf if milliseconds is None else milliseconds / 1000


class _Scripted:
    """A resolver whose answers change while the race runs, which the system's cannot."""

    def __init__(self, row: Row, net: SimulatedNetwork) -> None:
        self._row = row
        self._net = net
        self._asked: set[str] = set()

    async def resolve(self, query: Query, send_answer: Any) -> None:
        families = [Source.of(family) for family in query.in_query_order]
        services = [Source.HTTPS] if _asks_for_services(self._row) else []
        async with trio.open_nursery() as nursery:

            def ask(name: str, sources: list[Source]) -> None:
                """Ask for the records of a name, once; where those are services, for their targets' addresses, too."""
                if name not in self._asked:
                    self._asked.add(name)
                    for source in sources:
                        self._net.queries.append((trio.current_time(), source, name or query.host))
                        send_answer(QuerySent(source, name, self._row["config"].get("secure_dns", False)))
                        nursery.start_soon(answer, name, source)

            async def answer(name: str, source: Source) -> None:
                """Give every answer to one query when its time has come; what the row does not mention never comes."""
                asked_at = trio.current_time()
                entries = [
                    (entry["t"] / 1000 if "t" in entry else asked_at + entry["after_query"] / 1000, entry)
                    for entry in self._row["dns"]
                    if (entry["type"], entry.get("name", ".")) == (source.value, name or ".")
                ]
                for at, entry in sorted(entries, key=itemgetter(0)):
                    await trio.sleep_until(at)
                    changed = _changed(source, name, entry, self._row["config"].get("protos") or ("h2", "http/1.1"))
                    for service in changed.services:
                        ask(service.target, families)
                    send_answer(changed)
                if not entries:
                    await trio.sleep_forever()

            ask("", services + families)


def _changed(source: Source, name: str, entry: Row, protocols: Sequence[str]) -> Answer:
    """Say an answer in the words of a resolver."""
    services = sorted(map(_service, entry.get("records", ())), key=attrgetter("priority"))
    usable = tuple(service for service in services if not service.alpn or not {*service.alpn}.isdisjoint(protocols))
    error = _negative(entry) if entry.get("rcode", "ok") != "ok" else None
    return Answer(source, tuple(map(_address, entry.get("addrs", ()))), error=error, name=name, services=usable)
