"""The simulated network as its users see it: names, hosts and their deeds, what it saw, and Trio's hooks."""

from __future__ import annotations

import errno
import math
import re
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
import trio
from trio.testing import MockClock

import trio_nbconnect as nb
from trio_nbconnect import Connector, Source
from trio_nbconnect._address import IPV4, IPV6, parse_literal
from trio_nbconnect.testing import SimulatedHost, SimulatedNetwork

HOST = "example.org"
PORT = 443


@pytest.fixture
def net() -> SimulatedNetwork:
    """A network of which nothing was said yet."""
    return SimulatedNetwork()


@pytest.fixture
def connector(net: SimulatedNetwork) -> Connector:
    """A connector on it."""
    return Connector(network=net)


async def refusal(connect: Any) -> OSError:
    """Await a connect, which must fail, and return with what."""
    try:
        stream = await connect
    except OSError as error:
        return error
    stream.socket.close()
    raise AssertionError("connected")


async def look_up(net: SimulatedNetwork, name: str, family: socket.AddressFamily) -> list[str]:
    """Ask the network's resolver."""
    return [address.ip for address in await net.look_up(name, PORT, family).wait()]


# Hosts and their deeds


DEEDS: list[tuple[Callable[[SimulatedHost], SimulatedHost], float, str]] = [
    (lambda host: host.refuses(after=0.2), 0.2, "ECONNREFUSED after 0.2 s"),
    (lambda host: host.resets(after=0.3), 0.3, "ECONNRESET after 0.3 s"),
    (lambda host: host.unreachable(), 0.0, "ENETUNREACH at once"),
    (lambda host: host.unreachable(after=0.4), 0.4, "EHOSTUNREACH after 0.4 s"),
    (lambda host: host.fails(errno.EACCES, after=0.1), 0.1, "EACCES after 0.1 s"),
]


@pytest.mark.parametrize(("deed", "after", "words"), DEEDS, ids=[row[2] for row in DEEDS])
async def test_a_host_that_fails(
    net: SimulatedNetwork,
    autojump_clock: MockClock,
    deed: Callable[[SimulatedHost], SimulatedHost],
    after: float,
    words: str,
) -> None:
    host = deed(net.host("192.0.2.1"))
    assert repr(host) == f"<SimulatedHost 192.0.2.1: {words}>"

    error = await refusal(Connector(network=net).open_tcp_stream("192.0.2.1", PORT))

    assert errno.errorcode[error.errno or 0] == words.split(maxsplit=1)[0]
    assert trio.current_time() == after
    assert net.started == ({"192.0.2.1": 0.0} if after else {})
    assert net.open_sockets == 0


async def test_a_host_that_accepts(net: SimulatedNetwork, connector: Connector, autojump_clock: MockClock) -> None:
    host = net.host("2001:db8::1").accepts(after=0.2)
    async with await connector.open_tcp_stream("2001:db8::1", PORT) as client, await host.accept() as server:
        assert trio.current_time() == 0.2
        await client.send_all(b"hello")
        assert await server.receive_some() == b"hello"
        assert client.socket.getsockname() == ("2001:db8::fffe", 49152, 0, 0)
        assert repr(client.socket) == "<SimulatedTrioSocket ('2001:db8::fffe', 49152, 0, 0)>"
        assert net.open_sockets == 1
    assert repr(client.socket) == "<SimulatedTrioSocket closed>"
    assert net.open_sockets == 0


@pytest.mark.parametrize("host", ["192.0.2.1", "192.0.2.2"], ids=["told to", "never told"])
async def test_a_host_that_swallows(
    net: SimulatedNetwork, connector: Connector, autojump_clock: MockClock, host: str
) -> None:
    assert repr(net.host("192.0.2.1").drops()) == "<SimulatedHost 192.0.2.1: drops>"
    with trio.move_on_after(1000) as scope:
        await connector.open_tcp_stream(host, PORT)
    assert scope.cancelled_caught
    assert net.started == {host: 0.0}
    assert net.open_sockets == 0


async def test_the_last_word_counts_for_connects_that_begin_later(
    net: SimulatedNetwork, connector: Connector, autojump_clock: MockClock
) -> None:
    async def change_its_mind() -> None:
        await trio.sleep(0.1)
        net.host("192.0.2.1").accepts(after=0.2)

    net.host("192.0.2.1").refuses(after=0.5)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(change_its_mind)
        error = await refusal(connector.open_tcp_stream("192.0.2.1", PORT))
    assert isinstance(error, ConnectionRefusedError)
    await (await connector.open_tcp_stream("192.0.2.1", PORT)).aclose()
    assert trio.current_time() == pytest.approx(0.7)


async def test_a_port_may_behave_otherwise_than_its_host(
    net: SimulatedNetwork, connector: Connector, autojump_clock: MockClock
) -> None:
    host, port = net.host("192.0.2.1").accepts(), net.host("192.0.2.1", 80).refuses()
    assert net.host("192.0.2.1") is host
    assert net.host("192.0.2.1", 80) is port
    await (await connector.open_tcp_stream("192.0.2.1", PORT)).aclose()
    assert isinstance(await refusal(connector.open_tcp_stream("192.0.2.1", 80)), ConnectionRefusedError)


async def test_each_host_accepts_its_own_connections_in_their_order(
    net: SimulatedNetwork, connector: Connector, autojump_clock: MockClock
) -> None:
    hosts = [net.host("192.0.2.1").accepts(), net.host("192.0.2.1", 80).accepts()]
    for port, data in ((PORT, b"first"), (80, b"other port"), (PORT, b"second")):
        async with await connector.open_tcp_stream("192.0.2.1", port) as client:
            await client.send_all(data)
    received = []
    for host in (hosts[0], hosts[0], hosts[1]):
        async with await host.accept() as server:
            received.append(await server.receive_some())
    assert received == [b"first", b"second", b"other port"]


async def test_accept_waits(net: SimulatedNetwork, connector: Connector, autojump_clock: MockClock) -> None:
    host = net.host("192.0.2.1").accepts(after=0.2)
    with trio.move_on_after(1) as scope:
        await host.accept()
    assert scope.cancelled_caught
    async with trio.open_nursery() as nursery:
        nursery.start_soon(connector.open_tcp_stream, "192.0.2.1", PORT)
        server = await host.accept()
    assert trio.current_time() == pytest.approx(1.2)
    await server.aclose()


def test_what_makes_no_sense_of_a_host(net: SimulatedNetwork) -> None:
    host = net.host("192.0.2.1")
    with pytest.raises(ValueError) as value:
        host.accepts(after=-1)
    assert str(value.value) == "after must not be negative, not -1"
    with pytest.raises(TypeError) as kind:
        host.refuses(after="soon")  # type: ignore[arg-type]  # what is tested
    assert str(kind.value) == "after must be a number of seconds, not 'soon'"
    with pytest.raises(ValueError) as value:
        host.fails(0)
    assert str(value.value) == "number must be one of errno's, not 0"
    with pytest.raises(ValueError) as value:
        net.host("example.org")
    assert str(value.value) == "address must be numeric and of its family, not 'example.org'"
    with pytest.raises(ValueError) as value:
        net.host("192.0.2.1", 99536)
    assert str(value.value) == "port must be between 0 and 65535, not 99536"
    assert repr(host) == "<SimulatedHost 192.0.2.1: drops>"


# Names and their answers


async def test_each_family_answers_in_its_time(
    net: SimulatedNetwork, connector: Connector, autojump_clock: MockClock
) -> None:
    net.answers(HOST, aaaa=["2001:db8::1"], after=0.02)
    net.answers(HOST, a=["192.0.2.1", "192.0.2.2"], after=0.01)
    net.host("192.0.2.1").accepts(after=0.1)
    connector = Connector(network=net, resolver=net.resolver(services=False))

    await (await connector.open_tcp_stream(HOST, PORT)).aclose()

    assert net.queries == [(0.0, Source.AAAA, HOST), (0.0, Source.A, HOST)]
    assert net.started == pytest.approx({"2001:db8::1": 0.02, "192.0.2.1": 0.27})
    assert trio.current_time() == pytest.approx(0.37)
    assert [(time, str(address)) for time, address in net.connects] == [
        (0.02, "[2001:db8::1]:443"),
        (pytest.approx(0.27), "192.0.2.1:443"),
    ]
    assert net.open_sockets == 0


async def test_an_answer_that_never_comes(
    net: SimulatedNetwork, connector: Connector, autojump_clock: MockClock
) -> None:
    net.answers(HOST, aaaa=["2001:db8::1"], after=math.inf)
    net.answers(HOST, a=["192.0.2.1"])
    net.host("192.0.2.1").accepts()
    await (await connector.open_tcp_stream(HOST, PORT)).aclose()
    assert net.started == {"192.0.2.1": 0.05}


async def test_a_family_that_was_not_mentioned_says_so_at_once(
    net: SimulatedNetwork, connector: Connector, autojump_clock: MockClock
) -> None:
    net.answers(HOST, a=["192.0.2.1"], after=0.02)
    with pytest.raises(socket.gaierror) as caught:
        await look_up(net, HOST, IPV6)
    assert caught.value.errno == getattr(socket, "EAI_NODATA", socket.EAI_NONAME)
    assert trio.current_time() == 0.0
    assert await look_up(net, HOST, IPV4) == ["192.0.2.1"]
    assert trio.current_time() == 0.02


@pytest.mark.parametrize(("records", "words"), [(["192.0.2.1"], "no records"), ([], "no such name")])
async def test_a_name_without_records_of_one_type_exists(
    net: SimulatedNetwork, records: list[str], words: str, autojump_clock: MockClock
) -> None:
    """RFC 2308, section 2: NXDOMAIN is of the name, NODATA of the type."""
    net.answers(HOST, aaaa=[], a=records)
    net.host("192.0.2.1").accepts()

    with nb.record() as recording, suppress(OSError):
        await trio.aclose_forcefully(await nb.Connector(resolver=net.resolver(), network=net).open_tcp_stream(HOST, 1))

    assert re.search(f"DNS AAAA ━+[ │]+{words}", str(recording))


async def test_an_error_is_a_fresh_one_each_time(net: SimulatedNetwork, autojump_clock: MockClock) -> None:
    failure = socket.gaierror(socket.EAI_AGAIN, "SERVFAIL")
    net.answers(HOST, aaaa=[], after=0.5, error=failure)
    seen = []
    for _ in range(2):
        with pytest.raises(socket.gaierror, match="SERVFAIL") as caught:
            await look_up(net, HOST, IPV6)
        seen.append(caught.value)
    assert trio.current_time() == 1.0
    assert len({id(error) for error in (failure, *seen)}) == 3
    assert {error.errno for error in seen} == {socket.EAI_AGAIN}


@pytest.mark.parametrize(
    ("said", "asked"),
    [
        ("Example.ORG", "example.org"),
        ("example.org", "EXAMPLE.org."),
        ("bücher.example", "xn--bcher-kva.example"),
        ("xn--bcher-kva.example", "Bücher.example"),
    ],
)
async def test_names_are_compared_as_dns_does(
    net: SimulatedNetwork, autojump_clock: MockClock, said: str, asked: str
) -> None:
    net.answers(said, a=["192.0.2.1"])
    assert await look_up(net, asked, IPV4) == ["192.0.2.1"]
    assert net.queries == [(0.0, Source.A, asked)]


async def test_a_later_word_about_a_family_replaces_the_earlier_one(
    net: SimulatedNetwork, autojump_clock: MockClock
) -> None:
    net.answers(HOST, aaaa=["2001:db8::1"], a=["192.0.2.1"])
    net.answers(HOST, a=["192.0.2.2"])
    assert await look_up(net, HOST, IPV6) == ["2001:db8::1"]
    assert await look_up(net, HOST, IPV4) == ["192.0.2.2"]


def test_what_makes_no_sense_of_a_name(net: SimulatedNetwork) -> None:
    with pytest.raises(TypeError) as kind:
        net.answers(HOST, a="192.0.2.1")
    assert str(kind.value) == "a must be an iterable of strings, not str: '192.0.2.1'"
    with pytest.raises(TypeError, match=r"^aaaa, a, https, srv and alias are all missing"):
        net.answers(HOST, after=1)
    with pytest.raises(ValueError) as value:
        net.answers(HOST, aaaa=["192.0.2.1"])
    assert str(value.value) == "address must be numeric and of its family, not '192.0.2.1'"
    with pytest.raises(ValueError, match="must not be negative"):
        net.answers(HOST, a=[], after=-1)
    with pytest.raises(ValueError, match="must not be empty"):
        net.answers("", a=[])


# Routes, ports, sockets


async def test_without_a_route_nothing_is_sent(autojump_clock: MockClock) -> None:
    net = SimulatedNetwork(ipv6=False)
    net.host("2001:db8::1").accepts()
    error = await refusal(Connector(network=net).open_tcp_stream("2001:db8::1", PORT))
    assert error.errno == errno.ENETUNREACH
    assert net.connects == []


async def test_loopback_needs_no_route(autojump_clock: MockClock) -> None:
    net = SimulatedNetwork(ipv6=False)
    net.host("::1").accepts()
    await (await Connector(network=net).open_tcp_stream("::1", PORT)).aclose()
    assert net.started == {"::1": 0.0}


async def test_local_ports_go_round(net: SimulatedNetwork) -> None:
    ports = [net._sockets.free_port() for _ in range(16385)]
    assert sorted(set(ports)) == list(range(49152, 65536))
    assert ports[0] == ports[-1]


async def test_there_are_no_unix_sockets(net: SimulatedNetwork) -> None:
    with pytest.raises(OSError) as caught:
        await Connector(network=net).open_unix_socket("/run/x.sock")
    assert caught.value.errno == errno.EAFNOSUPPORT


async def test_a_local_address_is_where_packets_come_from(net: SimulatedNetwork, autojump_clock: MockClock) -> None:
    host = net.host("192.0.2.1").accepts()
    connector = Connector(network=net, local_address="192.0.2.77")
    async with await connector.open_tcp_stream("192.0.2.1", PORT), await host.accept() as server:
        assert server.socket.getpeername() == ("192.0.2.77", 49152)


async def test_two_races_at_once(net: SimulatedNetwork, connector: Connector, autojump_clock: MockClock) -> None:
    net.answers("one.example", aaaa=["2001:db8::1"], a=["192.0.2.1"], after=0.02)
    net.answers("two.example", aaaa=["2001:db8::2"], a=["192.0.2.2"], after=0.03)
    net.host("2001:db8::2").refuses(after=0.06)
    net.host("192.0.2.1").accepts(after=0.1)
    net.host("192.0.2.2").accepts(after=0.2)
    peers: dict[str, str] = {}
    ended: dict[str, float] = {}

    async def connect(name: str) -> None:
        async with await connector.open_tcp_stream(name, PORT) as stream:
            peers[name], ended[name] = stream.socket.getpeername()[0], trio.current_time()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(connect, "one.example")
        nursery.start_soon(connect, "two.example")

    assert peers == {"one.example": "192.0.2.1", "two.example": "192.0.2.2"}
    assert ended == pytest.approx({"one.example": 0.37, "two.example": 0.29})
    assert net.started == pytest.approx(
        {"2001:db8::1": 0.02, "2001:db8::2": 0.03, "192.0.2.2": 0.09, "192.0.2.1": 0.27}
    )
    assert net.open_sockets == 0


@pytest.mark.parametrize("cancel_at", [0.01, 0.1, 0.3, 0.45])
async def test_a_cancelled_race_leaves_nothing_open(
    net: SimulatedNetwork, connector: Connector, autojump_clock: MockClock, cancel_at: float
) -> None:
    net.answers(HOST, aaaa=["2001:db8::1"], a=["192.0.2.1"], after=0.02)
    net.host("192.0.2.1").accepts(after=0.2)
    with trio.move_on_after(cancel_at) as scope:
        await connector.open_tcp_stream(HOST, PORT)
    assert scope.cancelled_caught
    assert net.open_sockets == 0


# Trio's hooks


@pytest.mark.parametrize("open_tcp_stream", [trio.open_tcp_stream, nb.open_tcp_stream], ids=["trio", "trio_nbconnect"])
async def test_installed(net: SimulatedNetwork, autojump_clock: MockClock, open_tcp_stream: Callable[..., Any]) -> None:
    net.answers(HOST, aaaa=["2001:db8::1"], a=["192.0.2.1"], after=0.02)
    host = net.host("192.0.2.1").accepts(after=0.1)
    with net.installed() as installed:
        assert installed is net
        async with await open_tcp_stream(HOST, PORT) as client, await host.accept() as server:
            assert client.socket.getpeername() == ("192.0.2.1", PORT)
            await client.send_all(b"hello")
            assert await server.receive_some() == b"hello"
    assert net.queries == [(0.0, Source.AAAA, HOST), (0.0, Source.A, HOST)]
    assert net.started == pytest.approx({"2001:db8::1": 0.02, "192.0.2.1": 0.27})
    assert net.open_sockets == 0


@pytest.mark.parametrize("open_tcp_stream", [trio.open_tcp_stream, nb.open_tcp_stream], ids=["trio", "trio_nbconnect"])
async def test_installed_cancelled(
    net: SimulatedNetwork, autojump_clock: MockClock, open_tcp_stream: Callable[..., Any]
) -> None:
    net.answers(HOST, aaaa=["2001:db8::1"], a=["192.0.2.1"], after=0.02)
    with net.installed(), trio.move_on_after(1) as scope:
        await open_tcp_stream(HOST, PORT, local_address=None)
    assert scope.cancelled_caught
    assert len(net.started) == 2
    assert net.open_sockets == 0


async def test_installed_from_a_local_address(net: SimulatedNetwork, autojump_clock: MockClock) -> None:
    host = net.host("192.0.2.1").accepts()
    with net.installed():
        client = await trio.open_tcp_stream("192.0.2.1", PORT, local_address="192.0.2.77")
        async with client, await host.accept() as server:
            assert server.socket.getpeername()[0] == "192.0.2.77"


async def test_what_was_installed_before_comes_back(net: SimulatedNetwork, autojump_clock: MockClock) -> None:
    outer = SimulatedNetwork()
    outer.answers(HOST, a=["192.0.2.9"])
    net.answers(HOST, a=["192.0.2.1"])

    async def whose() -> str:
        entries = await trio.socket.getaddrinfo(HOST, PORT, type=socket.SOCK_STREAM)
        with trio.socket.socket():
            return str(entries[0][4][0])

    with outer.installed():
        with net.installed():
            assert await whose() == "192.0.2.1"
        assert await whose() == "192.0.2.9"
        with pytest.raises(RuntimeError), net.installed():
            raise RuntimeError
        assert await whose() == "192.0.2.9"
        assert (len(net.queries), len(outer.queries)) == (2, 4)
    assert trio.socket.set_custom_hostname_resolver(None) is None
    assert trio.socket.set_custom_socket_factory(None) is None


async def test_a_look_up_of_both_families_takes_as_long_as_the_slower(
    net: SimulatedNetwork, autojump_clock: MockClock
) -> None:
    net.answers(HOST, aaaa=["2001:db8::1"], after=0.2)
    net.answers(HOST, a=["192.0.2.1"], after=0.3)
    with net.installed():
        both = await trio.socket.getaddrinfo(HOST, None)
        assert trio.current_time() == 0.3
        one = await trio.socket.getaddrinfo(HOST, PORT, IPV4)
    stream = (socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
    assert both == [(IPV6, *stream, ("2001:db8::1", 0, 0, 0)), (IPV4, *stream, ("192.0.2.1", 0))]
    assert one == [(IPV4, *stream, ("192.0.2.1", PORT))]


async def test_look_ups_that_fail_through_the_hook(net: SimulatedNetwork, autojump_clock: MockClock) -> None:
    net.answers(HOST, a=[], error=socket.gaierror(socket.EAI_AGAIN, "SERVFAIL"))
    with net.installed():
        with pytest.raises(socket.gaierror, match="SERVFAIL"):
            await trio.socket.getaddrinfo(HOST, PORT)
        with pytest.raises(socket.gaierror, match="not known"):
            await trio.socket.getaddrinfo("nobody.example", PORT)
        with pytest.raises(socket.gaierror) as caught:
            await trio.socket.getaddrinfo(HOST, PORT, socket.AF_UNIX)
    assert caught.value.errno == socket.EAI_FAMILY


async def test_an_address_is_its_own_name(net: SimulatedNetwork) -> None:
    with net.installed():
        assert await trio.socket.getnameinfo(("192.0.2.1", PORT), 0) == ("192.0.2.1", "443")


async def test_the_factory_makes_tcp_sockets_only(net: SimulatedNetwork) -> None:
    with net.installed():
        with trio.socket.socket() as sock:
            assert (sock.family, sock.type, sock.proto) == (IPV4, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        with pytest.raises(OSError) as caught:
            trio.socket.socket(IPV4, socket.SOCK_DGRAM)
    assert caught.value.errno == errno.ESOCKTNOSUPPORT
    assert net.open_sockets == 0


def test_installing_needs_a_run(net: SimulatedNetwork) -> None:
    with pytest.raises(RuntimeError), net.installed():
        pass


async def test_a_trio_socket_connects_once(net: SimulatedNetwork, autojump_clock: MockClock) -> None:
    net.host("192.0.2.1").accepts(after=0.1)
    with net.installed(), trio.socket.socket() as sock:
        await sock.connect(("192.0.2.1", PORT))
        await sock.connect(("192.0.2.1", PORT))
        with pytest.raises(OSError) as caught:
            await sock.connect(("192.0.2.1", PORT))
    assert caught.value.errno == errno.EISCONN


async def test_receiving_waits_for_the_handshake(net: SimulatedNetwork, autojump_clock: MockClock) -> None:
    """Without a connect, there is nothing to wait for."""
    host = net.host("192.0.2.1").accepts(after=0.1)
    sock = net.open(IPV4)
    stream = net.stream(sock)
    with pytest.raises(trio.BrokenResourceError, match="not connected"):
        await stream.receive_some()
    assert sock.connect_ex(("192.0.2.1", PORT)) == errno.EINPROGRESS
    async with stream, trio.open_nursery() as nursery:
        nursery.start_soon(stream.send_all, b"early")
        with trio.move_on_after(1):
            await stream.receive_some()
        async with await host.accept() as server:
            assert await server.receive_some() == b"early"


async def test_to_stop_reading_changes_nothing(
    net: SimulatedNetwork, connector: Connector, autojump_clock: MockClock
) -> None:
    host = net.host("192.0.2.1").accepts()
    async with await connector.open_tcp_stream("192.0.2.1", PORT) as client, await host.accept() as server:
        client.socket.shutdown(socket.SHUT_RD)
        assert not client.socket.did_shutdown_SHUT_WR
        await server.send_all(b"all the same")
        assert await client.receive_some() == b"all the same"


def test_what_a_simulated_host_lacks_is_said_as_the_kernel_says_it() -> None:
    net = SimulatedNetwork()
    with pytest.raises(OSError, match="not supported") as caught:
        net.open(socket.AF_INET, 262)  # IPPROTO_MPTCP
    assert caught.value.errno == errno.EPROTONOSUPPORT
    with pytest.raises(OSError, match="not supported") as caught:
        net.open(socket.AF_UNIX)
    assert caught.value.errno == errno.EAFNOSUPPORT
    assert net.round_trip_time(net.open(socket.AF_INET)) is None


@pytest.mark.parametrize(
    ("target", "source"),
    [
        ("::1", "::1"),
        ("127.0.0.9", "127.0.0.9"),
        ("fe80::7%1", "fe80::fffe%1"),
        ("2001:db8::1", "2001:db8::fffe"),
        ("192.0.2.1", "192.0.2.254"),
    ],
)
def test_a_simulated_host_sends_from_addresses_of_its_own(target: str, source: str) -> None:
    address = parse_literal(target, 443)
    assert address is not None
    found = SimulatedNetwork().source_address(address)
    assert found is not None
    assert found.ip == source


@pytest.mark.parametrize("name", ["a.onion", "B.Invalid."])
@pytest.mark.parametrize("asks_itself", [False, True])
async def test_some_names_leave_by_no_resolver(name: str, asks_itself: bool, autojump_clock: object) -> None:
    """RFC 7686, section 2, and RFC 6761, section 6.4: neither the system's resolver nor our own asks a name server."""
    net = SimulatedNetwork()
    net.answers(name, a=["192.0.2.1"])
    net.host("192.0.2.1").accepts()
    connector = Connector(network=net, resolver=net.resolver() if asks_itself else None)
    with pytest.raises(nb.ResolutionError, match=r"(?i)names below (onion|invalid) are not looked up"):
        await connector.open_tcp_stream(name, 443)
    assert net.queries == []
