"""RFC 8305, section 3: look-ups side by side, in threads that nobody else needs."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from trio_nbconnect import (
    Address,
    Answer,
    Connector,
    Query,
    QuerySent,
    ResolutionError,
    Source,
    discover_nat64,
    trace,
)
from trio_nbconnect._connect.network import KernelNetwork, read_policy_table
from trio_nbconnect._connect.policy_table import DEFAULT_POLICY_TABLE
from trio_nbconnect._resolve.system import SystemResolver
from trio_nbconnect.testing import SimulatedNetwork

BOTH = (socket.AF_INET6, socket.AF_INET)


class DeadNameServer(KernelNetwork):
    """A system resolver that does not come back until it is told to."""

    def __init__(self) -> None:
        self.alive = threading.Event()

    async def getaddrinfo(
        self, host: str, port: int, family: socket.AddressFamily, limiter: trio.CapacityLimiter
    ) -> list[Address]:
        """Sit in a thread, as the C library does."""
        await trio.to_thread.run_sync(self.alive.wait, abandon_on_cancel=True, limiter=limiter)
        return []


@pytest.fixture
def dead() -> Iterator[DeadNameServer]:
    """A dead name server; its threads are let go at the end."""
    network = DeadNameServer()
    yield network
    network.alive.set()


async def test_aaaa_goes_out_first(autojump_clock: trio.abc.Clock) -> None:
    """Section 3: "the AAAA query SHOULD be sent first, immediately followed by the A query"."""
    for families in (BOTH, BOTH[::-1]):
        net = SimulatedNetwork()
        net.answers("example.org", aaaa=["2001:db8::1"], after=0.2)
        net.answers("example.org", a=["192.0.2.1"], after=0.1)
        heard: list[QuerySent | Answer] = []
        query = Query(host="example.org", port=80, families=families)
        await SystemResolver(net).resolve(query, heard.append)
        assert [source for _, source, _ in net.queries] == [Source.AAAA, Source.A]
        assert [(type(item), item.source) for item in heard] == [
            (QuerySent, Source.AAAA),
            (QuerySent, Source.A),
            (Answer, Source.A),
            (Answer, Source.AAAA),
        ]


async def test_a_family_that_fails_does_not_stop_the_other(autojump_clock: trio.abc.Clock) -> None:
    """A failed look-up is a negative answer with its error."""
    net = SimulatedNetwork()
    net.answers("example.org", a=["192.0.2.1"])
    heard: list[QuerySent | Answer] = []
    await SystemResolver(net).resolve(Query(host="example.org", port=80, families=BOTH), heard.append)
    errors = {item.source: item.error for item in heard if isinstance(item, Answer)}
    assert isinstance(errors[Source.AAAA], socket.gaierror)
    assert errors[Source.A] is None


async def test_a_dead_name_server_takes_no_thread_from_the_application(dead: DeadNameServer) -> None:
    """Two hundred look-ups, all abandoned; the application's threads are all free."""
    for _ in range(200):
        with trio.move_on_after(0) as scope:
            await Connector(network=dead).open_tcp_stream("example.org", 443)
        assert scope.cancelled_caught
    assert trio.to_thread.current_default_thread_limiter().borrowed_tokens == 0
    with trio.fail_after(5):
        assert await trio.to_thread.run_sync(lambda: 42) == 42


async def test_silence_in_one_family_does_not_starve_the_other(dead: DeadNameServer) -> None:
    """Each family has a limiter of its own: a hundred hung AAAA look-ups leave A's threads free."""
    heard: list[QuerySent | Answer] = []

    async def ask(family: socket.AddressFamily) -> None:
        query = Query(host="example.org", port=80, families=(family,))
        await SystemResolver(dead).resolve(query, heard.append)

    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            for _ in range(100):
                nursery.start_soon(ask, socket.AF_INET6)
            await trio.testing.wait_all_tasks_blocked()
            query = Query(host="127.0.0.1", port=80, families=(socket.AF_INET,))
            await SystemResolver(KernelNetwork()).resolve(query, heard.append)
            assert isinstance(heard[-1], Answer)
            assert [address.host for address in heard[-1].addresses] == ["127.0.0.1"]
            nursery.cancel_scope.cancel()


async def test_localhost_asks_nobody() -> None:
    """RFC 6761, section 6.3: resolvers "SHOULD always return the IP loopback address": no thread, no query."""
    events: list[trace.Event] = []
    with socket.create_server(("127.0.0.1", 0)) as listener, trio.fail_after(5):
        stream = await Connector(tracer=events.append).open_tcp_stream("localhost", listener.getsockname()[1])
        assert stream.socket.getpeername() == listener.getsockname()
        stream.socket.close()
    assert not [event for event in events if isinstance(event, trace.ResolutionStarted)]
    attempts = [event.address.host for event in events if isinstance(event, trace.AttemptStarted)]
    assert attempts == ["::1", "127.0.0.1"]


async def test_a_name_that_does_not_exist() -> None:
    """The system says so in both families, and the error is a `gaierror` with its number."""
    with trio.fail_after(20), pytest.raises(socket.gaierror) as caught:
        await Connector().open_tcp_stream("does-not-exist.invalid", 443)
    assert isinstance(caught.value, ResolutionError)
    assert str(caught.value) == "no results found for hostname lookup: does-not-exist.invalid:443"


async def test_only_families_that_can_be_used_are_asked(autojump_clock: trio.abc.Clock) -> None:
    """Section 3: a host with one family only asks for that; one with none asks for both, and nobody for "localhost"."""
    for ipv6, ipv4, name, expected in [
        (True, False, "example.org", [Source.AAAA]),
        (False, True, "example.org", [Source.A]),
        (False, False, "example.org", [Source.AAAA, Source.A]),
        (False, True, "localhost", []),
        (True, True, "db.localhost.", []),
    ]:
        net = SimulatedNetwork(ipv6=ipv6, ipv4=ipv4)
        with trio.move_on_after(1), contextlib.suppress(ResolutionError):
            await Connector(network=net).open_tcp_stream(name, 443)
        assert [source for _, source, _ in net.queries] == expected


def test_routes_of_this_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether there is a route is asked of the routing table; nothing is sent."""
    monkeypatch.setattr(
        "trio_nbconnect._connect.network._SOMEWHERE", {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "fe80::1"}
    )
    assert KernelNetwork().has_route(socket.AF_INET)
    assert not KernelNetwork().has_route(socket.AF_INET6)  # link-local without an interface


def test_no_route_in_a_family_that_the_system_lacks() -> None:
    assert not KernelNetwork().has_route(99)  # type: ignore[arg-type]  # a number that no family has


def test_no_source_where_there_is_no_way() -> None:
    assert KernelNetwork().source_address(Address(socket.AF_INET, "127.0.0.2", 80)) is not None
    assert KernelNetwork().source_address(Address(socket.AF_INET6, "fe80::1", 80)) is None


@pytest.mark.parametrize(
    ("aaaa", "expected"),
    [
        (["64:ff9b::192.0.0.170", "64:ff9b::192.0.0.171"], "64:ff9b::/96"),
        (["2001:db8:122:344::c000:aa"], "2001:db8:122:344::/96"),
        ([], None),
        (["2001:db8::1"], None),
    ],
)
async def test_nat64_is_found_by_a_name_without_ipv6(
    autojump_clock: trio.abc.Clock, aaaa: list[str], expected: str | None
) -> None:
    """RFC 7050, section 3: ask for AAAA of "ipv4only.arpa", and look for its IPv4 addresses in the answer."""
    net = SimulatedNetwork()
    net.answers("ipv4only.arpa", aaaa=aaaa)
    assert await discover_nat64(network=net) == expected


async def test_nat64_is_not_ruled_out_by_a_name_server_that_fails(autojump_clock: trio.abc.Clock) -> None:
    """A failed look-up is an error, and not the news that there is none."""
    net = SimulatedNetwork()
    net.answers("ipv4only.arpa", aaaa=[], error=socket.gaierror(socket.EAI_AGAIN, "SERVFAIL"))
    with pytest.raises(socket.gaierror):
        await discover_nat64(network=net)


async def test_the_system_s_policy_table_is_read_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As the C library does it, which reads `gai.conf` once in a process."""
    calls = iter([read_policy_table(str(tmp_path / "missing"))])
    monkeypatch.setattr("trio_nbconnect._connect.network.read_policy_table", lambda: next(calls))
    assert KernelNetwork().policy_table() is KernelNetwork().policy_table() is DEFAULT_POLICY_TABLE


def test_the_policy_table_of_a_file(tmp_path: Path) -> None:
    """RFC 6724, section 2.1: implementations "SHOULD" let the table be configured; `gai.conf` is how Linux does."""
    path = tmp_path / "gai.conf"
    path.write_text("precedence ::ffff:0:0/96 100\n")
    assert read_policy_table(str(path)).classify(Address(socket.AF_INET, "192.0.2.1", 0))[0] == 100
