"""Several hosts in one race, in order of preference; and the hosts that SRV records name for a service (RFC 2782)."""

from __future__ import annotations

import contextlib
import errno
import random
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import trio
import trustme

import trio_nbconnect as nb
from trio_nbconnect import (
    Address,
    Answer,
    ConnectError,
    Connector,
    ConnectRefused,
    GivenAddress,
    Query,
    QuerySent,
    ResolutionError,
    SendAnswer,
    Service,
    Source,
    TLSError,
    trace,
)
from trio_nbconnect._dns.services import Records, SVCBResolver, in_weighted_order
from trio_nbconnect.testing import SimulatedNetwork, simulate

pytestmark = pytest.mark.virtual_time

A6, A4, B6, B4 = "2001:db8::a", "192.0.2.10", "2001:db8::b", "192.0.2.11"
BOTH = [("a.example", 5432), ("b.example", 5433)]


@pytest.fixture
def net() -> SimulatedNetwork:
    """A network on which two hosts have two addresses each, one of which accepts."""
    network = SimulatedNetwork()
    network.answers("a.example", aaaa=[A6], a=[A4], after=0.02)
    network.answers("b.example", aaaa=[B6], a=[B4], after=0.01)
    for address in (A6, A4, B6):
        network.host(address).refuses(after=0.1)
    network.host(B4).accepts(after=0.1)
    return network


@pytest.fixture
def events() -> list[trace.Event]:
    """What the connector's tracer has heard."""
    return []


@pytest.fixture(params=["system", "name servers"])
def connector(request: pytest.FixtureRequest, net: SimulatedNetwork, events: list[trace.Event]) -> Connector:
    """A connector that asks the system, and one that asks name servers."""
    resolver = net.resolver() if request.param == "name servers" else None
    return Connector(network=net, resolver=resolver, tracer=events.append)


def peer(stream: Any) -> tuple[str, int]:
    """Return what a stream is connected to, and close it."""
    while hasattr(stream, "transport_stream"):
        stream = stream.transport_stream
    address: tuple[str, int] = stream.socket.getpeername()[:2]
    stream.socket.close()
    return address


# In order of preference


async def test_the_addresses_of_one_host_come_before_those_of_the_next(
    net: SimulatedNetwork, connector: Connector
) -> None:
    assert peer(await connector.open_tcp_stream(BOTH)) == (B4, 5433)

    assert list(net.started) == [A6, A4, B6, B4]
    assert [address.port for _, address in net.connects] == [5432, 5432, 5433, 5433]
    assert trio.current_time() == pytest.approx(0.42)


async def test_a_slow_name_server_decides_no_more_than_when(net: SimulatedNetwork, connector: Connector) -> None:
    """What is known of the next host waits for the preferred one over the Resolution Delay, and no longer."""
    net.answers("a.example", aaaa=[A6], a=[A4], after=0.05)
    net.host(B6).drops()
    assert peer(await connector.open_tcp_stream(BOTH)) == (B4, 5433)
    assert next(iter(net.started)) == A6

    net.connects.clear()
    net.answers("a.example", aaaa=[A6], a=[A4], after=0.5)
    began = trio.current_time()
    net.host(B4).drops()
    net.host(A6).accepts(after=0.1)
    assert peer(await connector.open_tcp_stream(BOTH)) == (A6, 5432)
    assert {address: time - began for address, time in net.started.items()} == pytest.approx(
        {B6: 0.06, B4: 0.31, A6: 0.56}
    )


async def test_a_host_that_does_not_exist_holds_nobody_up(net: SimulatedNetwork, connector: Connector) -> None:
    assert peer(await connector.open_tcp_stream([("nowhere.example", 1), *BOTH[1:]])) == (B4, 5433)

    assert net.started == {B6: 0.01, B4: pytest.approx(0.11)}


async def test_an_endpoint_of_two_hosts_is_tried_once(net: SimulatedNetwork, connector: Connector) -> None:
    """A load balancer has many names."""
    net.answers("same.example", aaaa=[A6], a=[A4])
    with pytest.raises(ConnectRefused):
        await connector.open_tcp_stream([("a.example", 5432), ("same.example", 5432)])

    assert [address.ip for _, address in net.connects] == [A6, A4]


@pytest.mark.parametrize("hosts", [["192.0.2.1", "same.example"], ["same.example", "192.0.2.1"]])
async def test_an_endpoint_of_a_host_and_of_a_literal_is_tried_once(net: SimulatedNetwork, hosts: list[str]) -> None:
    net.answers("same.example", a=["192.0.2.1"])
    net.host("192.0.2.1").refuses()
    with pytest.raises(ConnectRefused) as caught:
        await Connector(network=net).open_tcp_stream(hosts, 443)
    assert len(caught.value.attempts) == 1


async def test_one_host_may_have_several_ports(net: SimulatedNetwork, connector: Connector) -> None:
    net.host(A4, 2).accepts()

    assert peer(await connector.open_tcp_stream([("a.example", 1), ("a.example", 2)])) == (A4, 2)
    assert [(address.ip, address.port) for _, address in net.connects] == [(A6, 1), (A4, 1), (A6, 2), (A4, 2)]
    assert len(net.queries) in (1, 2)  # the system's one look-up, or AAAA and A


async def test_names_and_addresses_may_be_mixed(net: SimulatedNetwork, connector: Connector) -> None:
    """A literal needs no look-up, and is tried in its place all the same."""
    hosts: list[GivenAddress] = [
        ("a.example", 1),
        ("192.0.2.9", 2),
        "[2001:db8::9]",
        Address.parse("192.0.2.8:4"),
        "localhost",
    ]
    for literal in ("192.0.2.9", "2001:db8::9", "192.0.2.8", "::1", "127.0.0.1"):
        net.host(literal).refuses()
    with pytest.raises(ConnectRefused) as raised:
        await connector.open_tcp_stream(hosts, 5)

    labels = [attempt.label for attempt in raised.value.attempts][2:]
    assert labels[:3] == ["192.0.2.9:2", "[2001:db8::9]:5", "192.0.2.8:4"]
    assert raised.value.host == "a.example:1, 192.0.2.9:2, [2001:db8::9]:5, 192.0.2.8:4, localhost:5"


async def test_addresses_alone_need_no_task(net: SimulatedNetwork, connector: Connector) -> None:
    net.host("192.0.2.9").accepts()

    assert peer(await connector.open_tcp_stream([("192.0.2.9", 2), ("192.0.2.8", 3)])) == ("192.0.2.9", 2)
    assert net.queries == []


async def test_a_list_of_one_is_that_host(connector: Connector, events: list[trace.Event]) -> None:
    assert peer(await connector.open_tcp_stream([("b.example", 5433)])) == (B4, 5433)

    started = events[0]
    assert isinstance(started, trace.RaceStarted)
    assert (started.host, started.port) == ("b.example", 5433)


async def test_a_path_may_stand_beside_hosts(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        stream = await Connector().open_tcp_stream([("127.0.0.1", 1), path, ("nowhere.invalid", 5)])

        assert stream.socket.getpeername() == str(path)
        stream.socket.close()


# In the place of one


async def test_addresses_may_have_ports_of_their_own(net: SimulatedNetwork, connector: Connector) -> None:
    net.host("192.0.2.9", 81).accepts()
    addresses: list[GivenAddress] = ["192.0.2.9", ("192.0.2.9", 81), Address.parse("192.0.2.9:82")]

    assert peer(await connector.open_tcp_stream("a.example", 80, addresses=addresses)) == ("192.0.2.9", 81)
    assert [address.port for _, address in net.connects] == [80, 81]


async def test_addresses_may_be_other_hosts(net: SimulatedNetwork, connector: Connector) -> None:
    """The name is still that of the host: for errors, and for certificates."""
    for address in ("192.0.2.9", B4):
        net.host(address).refuses(after=0.1)
    with pytest.raises(ConnectRefused) as raised:
        await connector.open_tcp_stream("a.example", 80, addresses=["192.0.2.9", ("b.example", 80)])

    assert str(raised.value) == (
        "all attempts to connect to a.example:80 failed: 192.0.2.9 refused, "
        "b.example 2001:db8::b refused, b.example 192.0.2.11 refused"
    )


@pytest.mark.parametrize("address", ["b.example", b"b.example"])
async def test_a_name_alone_is_no_address(connector: Connector, address: str | bytes) -> None:
    """Who pins addresses wants no look-up; a name that shall be looked up has a port."""
    with pytest.raises(ValueError, match=r"^addresses must be numeric, not b?'b.example'"):
        await connector.open_tcp_stream("a.example", 80, addresses=[address])


# What is told


async def test_the_error_names_every_host(connector: Connector, net: SimulatedNetwork) -> None:
    net.host(B4).refuses()
    with pytest.raises(ConnectRefused) as raised:
        await connector.open_tcp_stream([("b.example", 5433), ("nowhere.example", 1)])

    error = raised.value
    assert str(error) == (
        "all attempts to connect to b.example:5433, nowhere.example:1 failed: b.example [2001:db8::b]:5433 refused, "
        "b.example 192.0.2.11:5433 refused, nowhere.example: Name or service not known"
    )
    assert (error.host, error.port) == ("b.example:5433, nowhere.example:1", 0)
    assert isinstance(error.primary_error, ConnectionRefusedError)


async def test_no_host_with_an_address_is_an_error_of_look_up(connector: Connector) -> None:
    with pytest.raises(ResolutionError) as raised:
        await connector.open_tcp_stream([("x.example", 1), ("y.example", 2)])

    assert raised.value.errno == socket.EAI_NONAME
    assert {"x.example: Name or service not known", "y.example: Name or service not known"} == set(
        str(raised.value).partition("y.example:2: ")[2].split(", ")
    )


async def test_each_answer_says_whose_it_is(connector: Connector, events: list[trace.Event]) -> None:
    peer(await connector.open_tcp_stream(BOTH))

    answers = [event for event in events if isinstance(event, trace.AnswerReceived)]
    told = [(service.priority, service.target, service.port) for service in answers[0].services]
    assert told == [(at, *host) for at, host in enumerate(BOTH)]
    assert {answer.name for answer in answers[1:]} == {"a.example", "b.example"}


PICTURE = """\
a.example:5432, b.example:5433
connected in 570 ms over IPv4 to b.example 192.0.2.11:5433
4 attempts, 2 refused, 1 cancelled · attempt delay 250 ms

                               0 ms     200      400
                               ├────────┼────────┼───────┐
              system a.example ━ 2 addresses · 20 ms     │
              system b.example ━ 2 addresses · 10 ms     │
                                                         │
IPv6 a.exa… [2001:db8::a]:5432 ░░░░░░░░░░░░░░░░░░░░░░░░░░│ ⊘ cancelled  550 ms
                                   +250 ms ↓             │
IPv4 a.example 192.0.2.10:5432 •···········▓▓▓▓✗         │ ✗ refused    100 ms
                                       failure ↓         │
IPv6 b.exa… [2001:db8::b]:5433 •···············▓▓▓▓▓✗    │ ✗ refused    100 ms
                                            failure ↓    │
IPv4 b.example 192.0.2.11:5433 •····················█████│ ✓ won        100 ms
                                        connected 570 ms ┘"""


def picture(net: SimulatedNetwork) -> str:
    net.host(A6).drops()
    return simulate(net, BOTH).text(width=78)


async def test_the_picture_says_whose_address_each_is(net: SimulatedNetwork) -> None:
    assert {picture(net) for _ in range(16)} == {PICTURE}  # whichever task came first
    assert ">system <" in simulate(net, BOTH).svg()


async def test_the_explanation_says_which_host_placed_an_address(net: SimulatedNetwork) -> None:
    words = str(simulate(net, BOTH).explain())

    assert words.count("host a.example, the system's order") == 2
    assert words.index("a.example 192.0.2.10:5432") < words.index("b.example [2001:db8::b]:5433")


async def test_what_was_not_needed_has_its_host(net: SimulatedNetwork) -> None:
    net.host(B6).accepts()
    untried = simulate(net, [*BOTH[1:], ("192.0.2.9", 1)]).timeline.untried

    assert {str(row.address) for row in untried} == {f"b.example {B4}:5433", "192.0.2.9:1"}


# Resolvers


class Scripted:
    """A resolver that says what it is told to say, of each host."""

    def __init__(self, script: dict[str, Sequence[QuerySent | Answer | Exception]]) -> None:
        self._script = script

    async def resolve(self, query: Query, send_answer: SendAnswer) -> None:
        await trio.lowlevel.checkpoint()
        for item in self._script[query.host]:
            if isinstance(item, Exception):
                raise item
            send_answer(item)


def told(address: str, source: Source = Source.A) -> Answer:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return Answer(source, (Address(family, address, 1),))


async def test_what_is_said_of_other_names_is_not_used(net: SimulatedNetwork) -> None:
    """HTTPS records would be an order inside the order."""
    services = Answer(Source.HTTPS, services=(Service(priority=1, target="cdn.example"),))
    target = Answer(Source.A, (Address.parse("192.0.2.66:1"),), name="cdn.example")
    resolver = Scripted({"a.example": [services, told(A4), target], "b.example": [told(B4)]})

    assert peer(await Connector(network=net, resolver=resolver).open_tcp_stream(BOTH)) == (B4, 5433)
    assert list(net.started) == [A4, B4]


async def test_a_resolver_that_fails_for_one_host_goes_on_for_the_next(
    net: SimulatedNetwork, events: list[trace.Event]
) -> None:
    resolver = Scripted({"a.example": [OSError("no name server")], "b.example": [told(B6)]})
    with pytest.raises(ConnectError) as raised:
        await Connector(network=net, resolver=resolver, tracer=events.append).open_tcp_stream(BOTH)

    answers = [event for event in events if isinstance(event, trace.AnswerReceived)]
    assert Counter(answer.source for answer in answers) == {Source.GIVEN: 2, Source.A: 1}
    assert str(raised.value).endswith("b.example [2001:db8::b]:5433 refused, a.example: no name server")


async def test_a_bug_in_a_resolver_comes_out_as_it_is(net: SimulatedNetwork) -> None:
    resolver = Scripted({"a.example": [ZeroDivisionError()], "b.example": [told(B6)]})
    with pytest.raises(ZeroDivisionError):
        await Connector(network=net, resolver=resolver).open_tcp_stream(BOTH)


async def test_trio_s_hook_is_asked_for_each_host(net: SimulatedNetwork) -> None:
    with net.installed():
        assert peer(await nb.open_tcp_stream(BOTH)) == (B4, 5433)

    assert list(net.started) == [A6, A4, B6, B4]


async def test_a_late_family_of_one_host_is_hurried(net: SimulatedNetwork) -> None:
    """As of one host: after the Resolution Delay the families are asked for by themselves."""
    net.answers("a.example", aaaa=[A6], after=5)
    net.answers("a.example", a=[A4], after=0.02)
    net.host(A4).accepts(after=0.1)

    assert peer(await Connector(network=net).open_tcp_stream([("a.example", 1), ("nowhere.example", 2)])) == (A4, 1)
    assert net.started == {A4: pytest.approx(0.07)}


# TLS


async def test_each_host_has_its_own_certificate(net: SimulatedNetwork) -> None:
    """The certificate must be valid for the host that is connected to, and the server is told its name."""
    authority, context = trustme.CA(), ssl.create_default_context()
    authority.configure_trust(context)
    for address in (A6, A4, B6, B4):
        net.host(address).accepts(after=0.01)
    names: list[str] = []

    async def serve(stream: trio.SocketStream) -> None:
        server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert("b.example").configure_cert(server)
        server.sni_callback = lambda _, name, __: names.append(name or "")
        with contextlib.suppress(trio.BrokenResourceError):
            await trio.SSLStream(stream, server, server_side=True).do_handshake()

    async with trio.open_nursery() as nursery:
        for address in (A6, A4, B6, B4):
            nursery.start_soon(serve_one, net, address, serve)
        connector = Connector(network=net)
        assert peer(await connector.open_tls_stream(BOTH, ssl_context=context)) == (B6, 5433)
        assert names == ["a.example", "a.example", "b.example"]
        with pytest.raises(TLSError):
            await connector.open_tls_stream(BOTH[:1] * 2, ssl_context=context)
        nursery.cancel_scope.cancel()


async def serve_one(net: SimulatedNetwork, address: str, serve: Callable[[trio.SocketStream], Any]) -> None:
    while True:
        stream = await net.host(address).accept()
        await serve(stream)
        stream.socket.close()


async def test_a_handshake_that_comes_later_needs_one_name(net: SimulatedNetwork) -> None:
    connector, context = Connector(network=net), ssl.create_default_context()
    with pytest.raises(ValueError, match=r"^server_hostname must be given where the stream may be to any of several"):
        await connector.open_ssl_over_tcp_stream(BOTH, ssl_context=context)

    stream = await connector.open_ssl_over_tcp_stream(BOTH, ssl_context=context, server_hostname="example.org")
    assert peer(stream) == (B4, 5433)


async def test_connect_takes_several_hosts(net: SimulatedNetwork) -> None:
    async def establish(stream: trio.SocketStream) -> trio.SocketStream:
        return stream

    assert peer(await Connector(network=net).connect(BOTH, None, establish)) == (B4, 5433)


# Misuse


@pytest.mark.parametrize(
    ("hosts", "port", "kind", "text"),
    [
        ([], None, ValueError, "host must not be empty"),
        (["a.example"], None, TypeError, "port must be int, not None"),
        ("a.example", None, TypeError, "port must be int, not None"),
        ([("a.example", "80")], None, TypeError, "port must be int, not '80'"),
        ([("a.example",)], 80, TypeError, "must be strings, paths, or pairs of host and port, not ('a.example',)"),
        ([5], 80, ValueError, "host must be str or bytes, not 5"),
        ([("a b", 80)], None, ValueError, "host must not contain blanks"),
        (5, 80, ValueError, "host must be str or bytes, not 5"),
    ],
)
async def test_misuse_raises_at_once(hosts: Any, port: Any, kind: type[Exception], text: str) -> None:
    with pytest.raises(kind) as raised:
        await Connector().open_tcp_stream(hosts, port)
    assert text in str(raised.value)


async def test_several_hosts_have_no_addresses_beside_them() -> None:
    with pytest.raises(ValueError, match=r"^addresses must be absent where several hosts are given"):
        await Connector().open_tcp_stream(BOTH, addresses=["192.0.2.1"])


# Services

SERVICE = "_xmpp-client._tcp"


def record(target: str, *, priority: int = 0, weight: int = 0, port: int = 5222) -> Service:
    return Service(priority=priority, weight=weight, port=port, target=target)


@pytest.fixture
def client(net: SimulatedNetwork, events: list[trace.Event]) -> Connector:
    """A connector that can look up services."""
    return Connector(network=net, resolver=net.resolver(), tracer=events.append)


async def test_hosts_come_by_priority(net: SimulatedNetwork, client: Connector) -> None:
    """RFC 2782: "A client MUST attempt to contact the target host with the lowest-numbered priority it can reach"."""
    net.answers(f"{SERVICE}.example.org", srv=[record("b.example", priority=20), record("a.example", priority=10)])

    assert peer(await client.open_service_stream(SERVICE, "example.org")) == (B4, 5222)
    assert list(net.started) == [A6, A4, B6, B4]


async def test_hosts_of_one_priority_come_by_weight() -> None:
    """RFC 2782: "Larger weights SHOULD be given a proportionately higher probability of being selected"."""
    rng = random.Random(1)
    services = [record("big", weight=75), record("small", weight=24), record("none"), record("last", priority=1)]
    orders = [in_weighted_order(services, rng) for _ in range(2000)]

    assert {order[-1].target for order in orders} == {"last"}
    assert {len(set(order)) for order in orders} == {4}
    first = Counter(order[0].target for order in orders)
    assert 0.70 < first["big"] / 2000 < 0.80
    assert 0.20 < first["small"] / 2000 < 0.28
    assert 0 < first["none"] < 60


async def test_a_domain_may_say_that_it_has_no_such_service(net: SimulatedNetwork, client: Connector) -> None:
    """RFC 2782: "A Target of "." means that the service is decidedly not available at this domain"."""
    net.answers(f"{SERVICE}.example.org", srv=[record(".", port=0)])
    net.answers("example.org", a=[B4])
    with pytest.raises(ResolutionError) as raised:
        await client.open_service_stream(SERVICE, "example.org", port=5222)

    assert str(raised.value).endswith(f"{SERVICE}.example.org: the domain says that it has no such service")
    assert (raised.value.host, raised.value.port, raised.value.errno) == (
        f"{SERVICE}.example.org",
        0,
        socket.EAI_FAIL,
    )
    assert not nb.is_retryable(raised.value)


@pytest.mark.parametrize("exists", [True, False])
async def test_without_records_the_domain_itself_may_serve(
    net: SimulatedNetwork, client: Connector, exists: bool
) -> None:
    """RFC 2782: "If there are no SRV RRs, do a lookup for QNAME=target, QCLASS=IN, QTYPE=A"; where there is a port."""
    error = None if exists else socket.gaierror(socket.EAI_NONAME, "there is no such name")
    net.answers(f"{SERVICE}.example.org", srv=[], error=error)
    net.answers("example.org", a=[B4])

    assert peer(await client.open_service_stream(SERVICE, "example.org", port=5222)) == (B4, 5222)
    with pytest.raises(ResolutionError, match=f": there is no such {'service' if exists else 'name'}$"):
        await client.open_service_stream(SERVICE, "example.org")
    net.host(B4).refuses()
    with pytest.raises(ConnectRefused, match=r"failed: example\.org 192\.0\.2\.11:5222 refused$"):
        await client.open_service_stream(SERVICE, "example.org", port=5222)


@pytest.mark.parametrize(
    "error", [socket.gaierror(socket.EAI_AGAIN, "SERVFAIL"), TimeoutError(errno.ETIMEDOUT, "late")]
)
async def test_a_name_server_that_fails_is_no_lack_of_records(
    error: OSError, net: SimulatedNetwork, client: Connector
) -> None:
    """The domain itself might be another server altogether."""
    net.answers(f"{SERVICE}.example.org", srv=[], error=error)
    net.answers("example.org", a=[B4])
    with pytest.raises(ConnectError, match=r"^no results found for hostname lookup: _xmpp") as raised:
        await client.open_service_stream(SERVICE, "example.org", port=5222)

    assert nb.is_retryable(raised.value)


async def test_what_is_no_host_is_left_out(net: SimulatedNetwork, client: Connector) -> None:
    """And so is what is beyond the first few: a name server may name thousands."""
    bad = [record("a..example"), record("b.example", port=0), record(".")]
    many = [record(f"{number}.example", priority=9) for number in range(30)]
    net.answers(f"{SERVICE}.example.org", srv=[*bad, record("b.example", priority=1), *many])

    assert peer(await client.open_service_stream(SERVICE, "example.org")) == (B4, 5222)
    assert len({name for _, _, name in net.queries}) == 1 + 16 - len(bad)


@pytest.mark.parametrize("wrong", ["a..example", " "])
async def test_records_that_name_no_host_do_not_lead_to_the_domain(
    wrong: str, net: SimulatedNetwork, client: Connector
) -> None:
    """There are records; that they are wrong does not make the domain the server."""
    net.answers(f"{SERVICE}.example.org", srv=[record(wrong), record(".")])
    net.answers("example.org", a=[B4])
    with pytest.raises(ResolutionError, match=r": its records name no host$"):
        await client.open_service_stream(SERVICE, "example.org", port=5222)


async def test_one_picture_from_the_service_to_the_stream(
    client: Connector, events: list[trace.Event], net: SimulatedNetwork
) -> None:
    net.answers(f"{SERVICE}.example.org", srv=[record("b.example")], after=0.02)
    peer(await client.open_service_stream(SERVICE, "example.org"))

    answers = [event for event in events if isinstance(event, trace.AnswerReceived)]
    assert (answers[0].source, answers[0].services[0].target) == (Source.SRV, "b.example")
    queries = [event for event in events if isinstance(event, trace.ResolutionStarted)]
    assert [(query.source, query.name) for query in queries] == [
        (Source.SRV, ""),
        (Source.AAAA, "b.example"),
        (Source.A, "b.example"),
    ]


async def test_a_service_may_be_given_up(net: SimulatedNetwork, client: Connector) -> None:
    net.answers(f"{SERVICE}.example.org", srv=[record("b.example")], after=60)
    with pytest.raises(nb.ConnectTimeout):
        await client.open_service_stream(SERVICE, "example.org", give_up_after=2)

    assert trio.current_time() == 2


async def test_records_that_have_expired_are_asked_for_again() -> None:
    """Another host may be the right one now."""

    async def refresh() -> Records:
        return Records(services=(record("new.example"),))

    async def look_up(name: str, source: Source) -> Records:
        return Records(services=(record("old.example"),), refresh=refresh)

    (service,) = await SVCBResolver(look_up).find_services("any")
    assert service.target == "new.example"


@pytest.mark.parametrize(
    ("arguments", "port", "kind", "text"),
    [
        ((5, "example.org"), None, TypeError, "service must be str, not 5"),
        (
            ("xmpp-client", "example.org"),
            None,
            ValueError,
            "service must be like '_xmpp-client._tcp', not 'xmpp-client'",
        ),
        (("_xmpp-client._tcp._x", "example.org"), None, ValueError, "service must be like"),
        (("_xmpp-client", "example.org"), None, ValueError, "service must be like"),
        (("xmpp-client.tcp", "example.org"), None, ValueError, "service must be like"),
        (("_._tcp", "example.org"), None, ValueError, "service must be like"),
        ((SERVICE, "192.0.2.1"), None, ValueError, "domain must be a name, not '192.0.2.1'"),
        ((SERVICE, "a..b"), None, ValueError, "host must not have an empty label"),
        ((SERVICE, "example.org"), "5222", TypeError, "port must be int, not '5222'"),
    ],
)
async def test_a_service_is_checked(
    client: Connector, arguments: tuple[Any, Any], port: Any, kind: type[Exception], text: str
) -> None:
    with pytest.raises(kind) as raised:
        await client.open_service_stream(*arguments, port=port)
    assert str(raised.value).startswith(text)


async def test_a_resolver_must_find_services(net: SimulatedNetwork) -> None:
    with pytest.raises(TypeError, match=r"^resolver must have a method find_services, not None: see dns\.DNSResolver"):
        await Connector(network=net).open_service_stream(SERVICE, "example.org")
