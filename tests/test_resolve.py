"""RFC 8305, section 3, with the operating system's resolver: what a name means, what hurries it, what it costs."""

from __future__ import annotations

import math
import socket
from typing import Any

import pytest
import trio
import trio.testing

from trio_nbconnect import Answer, Connector, Policy, Query, QuerySent, ResolutionError, Source, discover_nat64
from trio_nbconnect._address import UNIX, Address
from trio_nbconnect._connect import system_files
from trio_nbconnect._resolve.system import HookResolver, SystemResolver
from trio_nbconnect.testing import SimulatedNetwork

pytestmark = pytest.mark.virtual_time

BOTH = (socket.AF_INET6, socket.AF_INET)
SIX, FOUR = "2001:db8::1", "192.0.2.1"
TEMPORARY = socket.gaierror(socket.EAI_AGAIN, "SERVFAIL")

Item = QuerySent | Answer


async def heard(net: SimulatedNetwork, host: str = "example.org") -> list[tuple[float, Item]]:
    """Return what a look-up of a name tells, and when, to one that takes it up again when it is late, as races do."""
    told: list[tuple[float, Item]] = []
    query, hurry_at = Query(host=host, port=80, families=BOTH), trio.current_time() + 0.05
    resolver = SystemResolver(net, hurry_at)
    for deadline in (hurry_at, math.inf):
        with trio.CancelScope(deadline=deadline) as scope:
            await resolver.resolve(query, lambda item: told.append((trio.current_time(), item)))
        if not scope.cancelled_caught:
            break
    return told


def approx(time: float) -> Any:
    """A time up to rounding, inside of a tuple."""
    return pytest.approx(time)


def answers(told: list[tuple[float, Item]]) -> list[tuple[float, str, list[str]]]:
    """Return when which source had which addresses."""
    return [
        (time, item.source.value, [address.host for address in item.addresses])
        for time, item in told
        if isinstance(item, Answer)
    ]


@pytest.fixture
def net() -> SimulatedNetwork:
    """A network in virtual time."""
    return SimulatedNetwork()


# What a name means


async def test_one_answer_in_time_is_all(net: SimulatedNetwork) -> None:
    """One look-up for both families, in the system's order; nobody else is asked."""
    net.answers("example.org", aaaa=[SIX], a=[FOUR], after=0.03)
    assert answers(await heard(net)) == [(0.03, "system", [SIX, FOUR])]
    assert [source for _, source, _ in net.queries] == [Source.SYSTEM]


async def test_a_late_family_is_hurried(net: SimulatedNetwork) -> None:
    """After the Resolution Delay both families are asked by themselves, AAAA first; whatever comes is told."""
    net.answers("example.org", aaaa=[SIX], after=1.0)
    net.answers("example.org", a=[FOUR], after=0.01)
    assert answers(await heard(net)) == [(approx(0.06), "A", [FOUR]), (1.0, "system", [SIX, FOUR])]
    assert net.queries == [
        (0.0, Source.SYSTEM, "example.org"),
        (0.05, Source.AAAA, "example.org."),
        (0.05, Source.A, "example.org."),
    ]


async def test_an_answer_that_is_there_is_not_hurried(net: SimulatedNetwork) -> None:
    """A program that was busy finds the answer and the end of the Resolution Delay at once: nobody else is asked."""
    net.answers("example.org", aaaa=[SIX], a=[FOUR], after=0.02)

    async def be_busy() -> None:
        await trio.sleep(0.01)
        trio.lowlevel.current_clock().jump(0.1)  # type: ignore[attr-defined]  # as long as a step computes

    for _ in range(10):  # in which order Trio runs tasks is drawn by lot
        async with trio.open_nursery() as nursery:
            nursery.start_soon(be_busy)
            assert [answer[1:] for answer in answers(await heard(net))] == [("system", [SIX, FOUR])]
    assert {source for _, source, _ in net.queries} == {Source.SYSTEM}


async def test_a_name_of_the_hosts_file_is_not_hurried(net: SimulatedNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its look-up may be late where the machine is busy; DNS is not to be asked for it all the same."""

    async def is_in_hosts(name: str) -> bool:
        await trio.lowlevel.checkpoint()
        return name == "example.org"

    monkeypatch.setattr(net, "is_in_hosts", is_in_hosts)
    net.answers("example.org", aaaa=[], a=[FOUR], after=1.0)
    assert answers(await heard(net)) == [(1.0, "system", [FOUR])]
    assert [source for _, source, _ in net.queries] == [Source.SYSTEM]


async def test_each_look_up_has_its_family(net: SimulatedNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    """`AF_UNSPEC` is a number, as the C library wants it."""
    asked: list[object] = []
    look_up = net.look_up

    def recorded(host: str, port: int, family: int) -> Any:
        asked.append((host, port, family))
        return look_up(host, port, family)

    monkeypatch.setattr(net, "look_up", recorded)
    net.answers("example.org.", aaaa=[SIX], a=[FOUR], after=0.2)
    await heard(net, "example.org.")
    assert asked == [
        ("example.org.", 80, socket.AF_UNSPEC),
        ("example.org.", 80, socket.AF_INET6),
        ("example.org.", 80, socket.AF_INET),
    ]


async def test_a_look_up_that_was_begun_for_another_port(
    net: SimulatedNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those who wait for one name share it, whatever their ports; a port that is right stays."""
    look_up = net.look_up
    monkeypatch.setattr(net, "look_up", lambda host, _, family: look_up(host, 443, family))
    net.answers("example.org", aaaa=[SIX], a=[FOUR])
    for port in (80, 443, 8443):
        told: list[Item] = []
        await SystemResolver(net, math.inf).resolve(Query(host="example.org", port=port, families=BOTH), told.append)
        assert isinstance(told[-1], Answer)
        assert [address.port for address in told[-1].addresses] == [port, port]


async def test_a_hook_s_failure_is_told(net: SimulatedNetwork) -> None:
    """In its own words, as the answer of the hook."""

    class Hook(trio.abc.HostnameResolver):
        async def getaddrinfo(self, *_: Any) -> Any:
            raise TEMPORARY

        async def getnameinfo(self, *_: Any) -> Any:
            raise NotImplementedError

    trio.socket.set_custom_hostname_resolver(Hook())
    told: list[Item] = []
    await HookResolver().resolve(Query(host="example.org", port=80, families=BOTH), told.append)
    assert told == [QuerySent(Source.HOOK), Answer(Source.HOOK, error=TEMPORARY)]


async def test_a_temporary_failure_at_once_is_asked_family_by_family(net: SimulatedNetwork) -> None:
    """One family's name server may have failed, and the other's not; here both have."""
    net.answers("example.org", aaaa=[], a=[], error=TEMPORARY, after=0.01)
    with pytest.raises(ResolutionError, match="SERVFAIL"):
        await started(net)
    assert [source for _, source, _ in net.queries] == [Source.SYSTEM, Source.AAAA, Source.A]


async def heard_from_hook(*entries: tuple[int, Any]) -> tuple[Address, ...]:
    """The addresses that are told where a resolver of Trio's hook has these families and socket addresses."""

    class Hook(trio.abc.HostnameResolver):
        async def getaddrinfo(self, *_: Any) -> Any:
            return [(family, socket.SOCK_STREAM, 6, "", sockaddr) for family, sockaddr in entries]

        async def getnameinfo(self, *_: Any) -> Any:
            raise NotImplementedError

    trio.socket.set_custom_hostname_resolver(Hook())
    told: list[Item] = []
    await HookResolver().resolve(Query(host="example.org", port=80, families=BOTH), told.append)
    assert isinstance(told[-1], Answer)
    return told[-1].addresses


async def test_of_a_hook_s_addresses_so_many_of_each_family_count() -> None:
    addresses = await heard_from_hook(*((socket.AF_INET, (f"192.0.2.{number}", 80)) for number in range(200)))
    assert len(addresses) == 128


@pytest.mark.parametrize(
    ("family", "sockaddr", "address"),
    [
        (socket.AF_INET, (b"192.0.2.1", 80), "192.0.2.1:80"),
        (socket.AF_INET6, (b"fe80::1%eth0", 80, 0, 2), "[fe80::1%2]:80"),
        (socket.AF_INET6, ("2001:db8::1", 80), "[2001:db8::1]:80"),
        *([] if UNIX is None else [(UNIX, "/run/x.sock", "/run/x.sock"), (UNIX, b"\0name", "@name")]),
    ],
)
async def test_a_hook_says_whatever_connect_takes(family: int, sockaddr: Any, address: str) -> None:
    """Trio gives it to `connect` as it is; a test may have a server at a path."""
    (told,) = await heard_from_hook((family, sockaddr))
    assert str(told) == address
    assert told.port == (0 if told.is_path else 80)


async def test_what_hurries_ends_with_the_whole_answer(net: SimulatedNetwork) -> None:
    """Its answer takes the place of theirs: nobody waits for a family any more."""
    net.answers("example.org", aaaa=[SIX], a=[FOUR], after=0.07)
    assert answers(await heard(net)) == [(approx(0.07), "system", [SIX, FOUR])]


@pytest.mark.parametrize("host", ["db", "printer.local", "host.127.1", "host.0x7f"])
async def test_a_name_that_may_be_completed_is_not_hurried(net: SimulatedNetwork, host: str) -> None:
    """Search domains, mDNS and old spellings of addresses are the system's alone."""
    if host != "db":  # the simulated network has no files of its own
        net.is_dns_name = system_files.is_dns_name  # type: ignore[method-assign]
    net.answers(host, aaaa=[SIX], a=[FOUR], after=1.0)
    assert answers(await heard(net, host)) == [(1.0, "system", [SIX, FOUR])]
    assert [source for _, source, _ in net.queries] == [Source.SYSTEM]


async def test_a_temporary_failure_is_not_the_end(net: SimulatedNetwork) -> None:
    """The system says EAI_AGAIN if one family's name server fails: each is asked by itself before we give up."""
    net.answers("example.org", aaaa=[], a=[], error=TEMPORARY)
    told = answers(await heard(net))
    assert told[0][1] == "system"
    assert sorted(source for _, source, _ in told[1:]) == ["A", "AAAA"]


async def test_a_name_that_does_not_exist_is_the_end(net: SimulatedNetwork) -> None:
    told = await heard(net, "nobody.example")
    assert answers(told) == [(0.0, "system", [])]


async def test_a_failure_for_good_is_the_end(net: SimulatedNetwork) -> None:
    net.answers("example.org", aaaa=[], a=[], error=socket.gaierror(socket.EAI_FAIL, "refused"))
    assert answers(await heard(net)) == [(0.0, "system", [])]


async def test_addresses_without_their_scope_hurry_nothing(net: SimulatedNetwork) -> None:
    """One family's answer seldom knows the link of a link-local address."""
    net.answers("example.org", aaaa=["fe80::1", SIX, "fe80::1%1"], after=0.01)
    net.answers("example.org", a=[], after=1.0)
    told = await heard(net)
    assert answers(told)[0] == (approx(0.06), "AAAA", [SIX, "fe80::1"])
    assert next(item.addresses[-1].scope_id for _, item in told if isinstance(item, Answer)) == 1


async def test_a_look_up_can_be_taken_up_again(net: SimulatedNetwork) -> None:
    """It lives in its thread, not in a task: who was cancelled asks again, and nothing is asked twice."""
    net.answers("example.org", a=[FOUR], after=0.2)
    net.answers("example.org", aaaa=[], after=0.3)
    resolver, told = SystemResolver(net, 0.05), list[Item]()
    for limit in (0.02, 0.1, 1.0):
        with trio.move_on_after(limit):
            await resolver.resolve(Query(host="example.org", port=80, families=BOTH), told.append)
    assert [source for _, source, _ in net.queries] == [Source.SYSTEM, Source.AAAA, Source.A]
    assert isinstance(told[-1], Answer)
    assert [address.host for address in told[-1].addresses] == [FOUR]


# As a race sees it


async def started(net: SimulatedNetwork, host: str = "example.org", **keywords: object) -> dict[str, float]:
    """Connect, and return when each address was tried."""
    stream = await Connector(network=net, **keywords).open_tcp_stream(host, 443)  # type: ignore[arg-type]
    stream.socket.close()
    return net.started


async def test_a_late_aaaa_costs_the_delay_and_a_round_trip(net: SimulatedNetwork) -> None:
    """As long as A takes, after the Resolution Delay; the peers wait for the second."""
    net.answers("example.org", aaaa=[SIX], after=1.0)
    net.answers("example.org", a=[FOUR], after=0.005)
    net.host(FOUR).accepts(after=0.01)
    assert await started(net) == {FOUR: pytest.approx(0.055)}
    assert trio.current_time() == pytest.approx(0.065)


async def test_the_whole_answer_replaces_what_hurried_it(net: SimulatedNetwork) -> None:
    """A hurried address that the system does not know after all is not tried."""
    net.answers("example.org", aaaa=[], after=0.3)
    net.answers("example.org", a=[FOUR, "192.0.2.2"], after=0.01)
    net.answers("example.org.", a=[FOUR, "192.0.2.2"], after=0.01)
    net.host(FOUR).drops()
    net.host("192.0.2.2").accepts(after=0.01)
    assert await started(net) == {FOUR: pytest.approx(0.06), "192.0.2.2": pytest.approx(0.31)}


async def test_a_system_that_is_not_waited_for_any_more_takes_nothing_back(net: SimulatedNetwork) -> None:
    """What hurried its answer is all that is known then, and the rest of it is tried."""
    net.answers("example.org", aaaa=[], after=math.inf)
    net.answers("example.org", a=[FOUR, "192.0.2.2", "192.0.2.3"], after=0.01)
    net.host("192.0.2.3").accepts()
    policy = Policy(give_up_resolution_after=0.2, give_up_attempt_after=30)
    assert await started(net, policy=policy) == {
        FOUR: pytest.approx(0.06),
        "192.0.2.2": pytest.approx(0.31),
        "192.0.2.3": pytest.approx(0.56),
    }


async def test_a_silent_system_is_told_from_a_record_type(net: SimulatedNetwork) -> None:
    net.answers("example.org", aaaa=[], a=[], after=math.inf)
    connector = Connector(network=net, policy=Policy(give_up_resolution_after=1))
    with pytest.raises(TimeoutError) as caught:
        await connector.open_tcp_stream("example.org", 443)
    silent = ("no answer for A of", "no answer for AAAA of", "no answer from the system for")
    assert str(caught.value).endswith(": " + ", ".join(f"Connection timed out: {who} example.org" for who in silent))


async def test_the_system_s_order_stands(net: SimulatedNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    """It knows interface flags that we cannot see; the families are interleaved."""
    order = [Address(socket.AF_INET, FOUR, 443), Address(socket.AF_INET, "192.0.2.2", 443)]
    order.append(Address(socket.AF_INET6, SIX, 443))

    class Sorted:
        async def wait(self) -> list[Address]:
            await trio.lowlevel.checkpoint()
            return order

    monkeypatch.setattr(net, "look_up", lambda *_: Sorted())
    net.host("192.0.2.2").accepts()
    assert list(await started(net)) == [FOUR, SIX, "192.0.2.2"]


async def test_a_family_without_a_default_route_exists() -> None:
    """A host on this network only is reached, though no packet of its family leaves it."""
    net = SimulatedNetwork(ipv6=False)
    net.answers("nas.home.example", aaaa=["fd00:1::2"], a=[])
    with pytest.raises(OSError, match=r"^all attempts"):
        await started(net, "nas.home.example")
    assert [source for _, source, _ in net.queries] == [Source.SYSTEM]


async def test_one_answer_needs_no_task(net: SimulatedNetwork) -> None:
    """The calling task waits for the look-up and for the first attempt."""

    class Count(trio.abc.Instrument):
        tasks = 0

        def task_spawned(self, task: trio.lowlevel.Task) -> None:
            self.tasks += 1

    net.answers("example.org", aaaa=[SIX], a=[FOUR], after=0.02)
    net.host(SIX).accepts(after=0.1)
    trio.lowlevel.add_instrument(count := Count())
    assert await started(net) == {SIX: 0.02}
    trio.lowlevel.remove_instrument(count)
    assert count.tasks == 0


async def test_localhost_of_another_machine_is_looked_up(net: SimulatedNetwork) -> None:
    """The administrator's word counts; names below it are the system's in any case."""
    net.localhost = lambda: None  # type: ignore[method-assign, assignment, return-value]
    for name in ("localhost", "db.localhost"):
        net.answers(name, a=[FOUR])
        net.host(FOUR).accepts()
        assert FOUR in await started(net, name)


# NAT64


@pytest.mark.parametrize(
    ("aaaa", "expected"),
    [
        (["64:ff9b::192.0.0.170", "64:ff9b::192.0.0.171"], ("64:ff9b::/96",)),
        (["2001:db8:122:344::c000:aa"], ("2001:db8:122:344::/96",)),
        (["64:ff9b::192.0.0.170", "2001:db8:122:344::c000:aa"], ("64:ff9b::/96", "2001:db8:122:344::/96")),
        ([], ()),
        (["2001:db8::1"], ()),
    ],
)
async def test_nat64_is_found_by_a_name_without_ipv6(
    net: SimulatedNetwork, aaaa: list[str], expected: tuple[str, ...]
) -> None:
    """RFC 7050, section 3: ask for AAAA of "ipv4only.arpa", and look for its IPv4 addresses in the answer."""
    net.answers("ipv4only.arpa", aaaa=aaaa)
    assert await discover_nat64(network=net) == expected


@pytest.mark.parametrize(
    "number",
    [getattr(socket, name) for name in ("EAI_NONAME", "EAI_NODATA", "EAI_ADDRFAMILY") if hasattr(socket, name)],
)
async def test_where_the_name_has_no_ipv6_there_is_no_nat64(net: SimulatedNetwork, number: int) -> None:
    """Systems say that in different ways."""
    net.answers("ipv4only.arpa", aaaa=[], error=socket.gaierror(number, "none"))
    assert await discover_nat64(network=net) == ()


async def test_who_is_cancelled_before_asks_nobody_for_a_prefix(net: SimulatedNetwork) -> None:
    with trio.CancelScope() as scope:
        scope.cancel()
        await discover_nat64(network=net)
    assert scope.cancelled_caught
    assert net.queries == []


async def test_nat64_is_not_ruled_out_by_a_name_server_that_fails(net: SimulatedNetwork) -> None:
    """A failed look-up is an error, and does not mean that there is none."""
    net.answers("ipv4only.arpa", aaaa=[], error=TEMPORARY)
    with pytest.raises(socket.gaierror):
        await discover_nat64(network=net)


async def test_what_ipv4_reaches_needs_no_translator(net: SimulatedNetwork) -> None:
    """Version 3, section 8: an address is synthesised where there is no route to it."""
    net.host(FOUR).accepts()
    assert await started(net, FOUR, nat64="64:ff9b::/96") == {FOUR: 0.0}


async def test_a_private_address_never_enters_the_well_known_prefix() -> None:
    """RFC 6052, section 3.1: it "MUST NOT be used to represent non-global IPv4 addresses"."""
    net = SimulatedNetwork(ipv4=False)
    with pytest.raises(OSError, match=r"^all attempts"):
        await started(net, "10.0.0.1", nat64="64:ff9b::/96")
    assert net.started == {}


async def test_a_broken_native_address_costs_one_delay() -> None:
    """Version 3, section 8: IPv4 addresses are asked for at once, and race as any other."""
    net = SimulatedNetwork(ipv4=False)
    net.answers("example.org", aaaa=[SIX], a=[FOUR])
    net.host("64:ff9b::c000:201").accepts(after=0.01)
    assert await started(net, nat64="64:ff9b::/96") == {SIX: 0.0, "64:ff9b::c000:201": 0.25}
