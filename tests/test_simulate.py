"""`simulate`: one race in virtual time as the value of an expression, wherever one happens to be."""

from __future__ import annotations

import asyncio
import contextvars
import itertools
import os
import signal
import ssl
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
import trio
import trio.lowlevel
from trio.testing import MockClock

import trio_nbconnect as nb
from trio_nbconnect import trace
from trio_nbconnect._pictures.timeline import AttemptOutcome, RaceOutcome
from trio_nbconnect._simulation import run as simulation_run
from trio_nbconnect.testing import SimulatedNetwork, simulate

HOST = "example.org"
PORT = 443


@pytest.fixture
def net() -> SimulatedNetwork:
    """A host with two addresses, the first of which drops packets."""
    net = SimulatedNetwork()
    net.answers(HOST, aaaa=["2001:db8::1"], a=["192.0.2.1"], after=0.02)
    net.host("2001:db8::1").drops()
    net.host("192.0.2.1").accepts(after=0.03)
    return net


def outcomes(race: nb.RecordedRace) -> dict[str, AttemptOutcome]:
    """What became of each address."""
    return {attempt.address.ip: attempt.outcome for attempt in race.timeline.attempts}


# What it returns


def test_a_race_is_a_value(net: SimulatedNetwork) -> None:
    race = simulate(net, HOST, PORT)

    assert race.timeline.outcome is RaceOutcome.WON
    assert race.timeline.duration == pytest.approx(0.30)
    assert outcomes(race) == {"2001:db8::1": AttemptOutcome.CANCELLED, "192.0.2.1": AttemptOutcome.WON}
    assert net.started == {"2001:db8::1": 0.02, "192.0.2.1": 0.27}
    assert net.open_sockets == 0


def test_equal_races_have_equal_events() -> None:
    """In which order Trio wakes the tasks of one instant is chance; pictures must be equal to the byte."""
    net = SimulatedNetwork()
    net.answers(HOST, aaaa=["2001:db8::1", "2001:db8::2"], a=["192.0.2.1", "192.0.2.2"], after=0.02)
    net.answers(HOST, https=[nb.Service(priority=1, target="cdn.example")], after=0.02)
    net.answers("cdn.example", aaaa=["2001:db8::7"], a=["192.0.2.7"], after=0.02)
    net.host("192.0.2.2").accepts(after=0.03)
    connector = nb.Connector(resolver=net.resolver(), policy=nb.Policy(attempt_delay=0.1))

    told = {repr(simulate(net, HOST, PORT, connector=connector).events) for _ in range(40)}

    assert len(told) == 1


def test_a_network_is_as_new_each_time(net: SimulatedNetwork) -> None:
    simulate(net, HOST, PORT)
    simulate(net, HOST, PORT, policy=nb.Policy(attempt_delay=0.1))

    assert net.started == {"2001:db8::1": 0.02, "192.0.2.1": pytest.approx(0.12)}
    assert net.queries == [(0.0, nb.Source.SYSTEM, HOST)]


def test_a_server_sees_the_connections_of_its_own_race(net: SimulatedNetwork) -> None:
    """The first race's connection, which nobody accepted, is forgotten; ports are given out anew."""
    served = []

    async def serve(stream: trio.SocketStream) -> None:
        served.append(stream.socket.getpeername()[1])

    async def hear(stream: trio.SocketStream) -> None:
        await stream.receive_some()

    simulate(net, HOST, PORT)
    simulate(net, HOST, PORT, establish=hear, serve=serve)
    simulate(net, HOST, PORT, establish=hear, serve=serve)

    assert served == [49153, 49153]


def test_a_lost_race_is_a_result(net: SimulatedNetwork) -> None:
    net.host("2001:db8::1").refuses(after=0.01)
    net.host("192.0.2.1").refuses(after=0.01)

    race = simulate(net, HOST, PORT)

    assert race.timeline.outcome is RaceOutcome.LOST
    assert isinstance(race.timeline.error, nb.ConnectRefused)


def test_a_host_without_addresses_is_a_result_too(net: SimulatedNetwork) -> None:
    assert isinstance(simulate(net, "nowhere.example", PORT).timeline.error, nb.ResolutionError)


def test_a_limit(net: SimulatedNetwork) -> None:
    race = simulate(net, HOST, PORT, give_up_after=0.1)

    assert race.timeline.duration == pytest.approx(0.1)
    assert isinstance(race.timeline.error, nb.ConnectTimeout)


def test_a_race_that_would_last_for_ever_is_returned_as_it_stands(net: SimulatedNetwork) -> None:
    net.host("192.0.2.1").drops()

    race = simulate(net, HOST, PORT)

    assert race.timeline.outcome is RaceOutcome.UNDER_WAY
    assert set(outcomes(race).values()) == {AttemptOutcome.UNDER_WAY}
    assert race.timeline.duration == pytest.approx(0.27)
    assert net.open_sockets == 0


def test_so_is_one_that_is_busy_for_ever(net: SimulatedNetwork) -> None:
    async def busy(stream: trio.SocketStream) -> None:
        for _ in itertools.count():
            await trio.sleep(3600)

    assert simulate(net, HOST, PORT, establish=busy).timeline.outcome is RaceOutcome.UNDER_WAY


# What it is told


def test_the_connector_is_used_on_this_network(net: SimulatedNetwork) -> None:
    heard: list[trace.Event] = []
    connector = nb.Connector(
        policy=nb.Policy(attempt_delay=0.1), tracer=heard.append, network=SimulatedNetwork(), resolver=net.resolver()
    )

    race = simulate(net, HOST, PORT, connector=connector)

    assert race.timeline.duration == pytest.approx(0.15)
    assert nb.Source.HTTPS in {look_up.source for look_up in race.timeline.lookups}
    assert [event for event in race.events if event not in heard] == []  # the tracer hears ties as they come


def test_the_policy_stands_in_for_the_connector_s(net: SimulatedNetwork) -> None:
    connector = nb.Connector(policy=nb.Policy(attempt_delay=0.1))

    race = simulate(net, HOST, PORT, connector=connector, policy=nb.Policy(attempt_delay=1))

    assert race.timeline.duration == pytest.approx(1.05)
    assert connector.policy.attempt_delay == 0.1


def test_addresses_instead_of_a_look_up(net: SimulatedNetwork) -> None:
    race = simulate(net, HOST, PORT, addresses=["192.0.2.1"])

    assert race.timeline.duration == pytest.approx(0.03)
    assert net.queries == []


def test_a_second_phase(net: SimulatedNetwork) -> None:
    """The address that connects first is slow to establish, and loses."""
    net.host("2001:db8::1").accepts(after=0.01)

    async def greeted(stream: trio.SocketStream) -> None:
        await trio.sleep(5 if stream.socket.getpeername()[0] == "2001:db8::1" else 0.04)

    race = simulate(net, HOST, PORT, establish=greeted)

    assert outcomes(race) == {"2001:db8::1": AttemptOutcome.CANCELLED, "192.0.2.1": AttemptOutcome.WON}
    assert race.timeline.attempts[0].connected == pytest.approx(0.03)
    assert net.open_sockets == 0


@pytest.mark.parametrize("phase", [None, nb.Phase.ESTABLISH])
def test_a_race_tells_what_follows_on_top_of_tcp(net: SimulatedNetwork, phase: nb.Phase | None) -> None:
    async def greeted(stream: trio.SocketStream) -> None:
        await trio.sleep(0.04)

    race = simulate(net, HOST, PORT, establish=None if phase is None else greeted)

    told = [event.next_phase for event in race.events if isinstance(event, trace.AttemptConnected)]
    assert set(told) == {phase}


def test_tls_with_servers(net: SimulatedNetwork) -> None:
    """Real TLS on simulated bytes: one server never answers, the other takes its time."""
    import trustme  # noqa: PLC0415 - it has compiled parts, and a browser's Python runs this module, too

    authority = trustme.CA()
    server_context, context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert(HOST).configure_cert(server_context)
    authority.configure_trust(context)
    net.host("2001:db8::1").accepts(after=0.01)

    async def serve(stream: trio.SocketStream) -> None:
        await trio.sleep(0.05 if stream.socket.getsockname()[0] == "192.0.2.1" else 60)
        await trio.SSLStream(stream, server_context, server_side=True).do_handshake()

    async def handshake(stream: trio.SocketStream) -> None:
        await trio.SSLStream(stream, context, server_hostname=HOST).do_handshake()

    race = simulate(net, HOST, PORT, establish=handshake, serve=serve)

    assert outcomes(race) == {"2001:db8::1": AttemptOutcome.CANCELLED, "192.0.2.1": AttemptOutcome.WON}
    assert race.timeline.duration == pytest.approx(0.03 + 0.25 + 0.03 + 0.05)


def test_a_client_that_leaves_is_no_news_to_a_server(net: SimulatedNetwork) -> None:
    async def serve(stream: trio.SocketStream) -> None:
        assert await stream.receive_some() == b""
        await stream.send_all(b"too late")
        await stream.send_all(b"much too late")

    async def refuse(stream: trio.SocketStream) -> None:
        raise OSError("I do not like it")

    race = simulate(net, HOST, PORT, establish=refuse, serve=serve, give_up_after=1)

    assert outcomes(race)["192.0.2.1"] is AttemptOutcome.FAILED


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        (("network", HOST, PORT), TypeError, "network must be a SimulatedNetwork, not 'network'"),
        ((SimulatedNetwork(), HOST, "443"), TypeError, "port must be int, not '443'"),
        ((SimulatedNetwork(), "a..b", PORT), ValueError, "a..b"),
    ],
)
def test_misuse_raises(arguments: tuple[Any, ...], error: type[Exception], says: str) -> None:
    with pytest.raises(error) as caught:
        simulate(*arguments)

    assert says in str(caught.value)


@pytest.mark.parametrize("role", ["establish", "serve"])
def test_a_bug_of_the_caller_s_comes_out_as_it_is(net: SimulatedNetwork, role: str) -> None:
    """And in no group."""

    async def buggy(stream: trio.SocketStream) -> None:
        raise LookupError("a bug")

    async def patient(stream: trio.SocketStream) -> None:
        await trio.sleep(1)

    establish, serve = (patient, buggy) if role == "serve" else (buggy, patient)
    with pytest.raises(LookupError, match="a bug"):
        simulate(net, HOST, PORT, establish=establish, serve=serve)
    assert net.open_sockets == 0


async def test_a_network_that_somebody_uses(net: SimulatedNetwork, autojump_clock: MockClock) -> None:
    async with await nb.Connector(network=net).open_tcp_stream(HOST, PORT):
        with pytest.raises(ValueError, match="not one with 1 open sockets"):
            simulate(net, HOST, PORT)


# Where it may be called


def in_trio(call: Callable[[], nb.RecordedRace]) -> nb.RecordedRace:
    async def main() -> nb.RecordedRace:
        before = trio.current_time()
        race = call()
        assert trio.current_time() - before < 60  # our clock is still the caller's
        await trio.lowlevel.checkpoint()
        return race

    return trio.run(main)


def in_asyncio(call: Callable[[], nb.RecordedRace]) -> nb.RecordedRace:
    """Also with a signal handler, which Trio in the same thread would warn of."""

    async def main() -> nb.RecordedRace:
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR2, print)
        return call()

    return asyncio.run(main())


def beside_a_guest(call: Callable[[], nb.RecordedRace]) -> nb.RecordedRace:
    """As in a notebook: in the host's own code, while Trio is its guest."""

    async def host() -> nb.RecordedRace:
        loop = asyncio.get_running_loop()
        ended, over = loop.create_future(), trio.Event()
        trio.lowlevel.start_guest_run(
            over.wait, run_sync_soon_threadsafe=loop.call_soon_threadsafe, done_callback=ended.set_result
        )
        await asyncio.sleep(0)
        assert trio.lowlevel.in_trio_run()
        race = call()
        loop.call_soon(over.set)
        await ended
        return race

    return asyncio.run(host())


def in_a_thread(call: Callable[[], nb.RecordedRace]) -> nb.RecordedRace:
    return trio.run(trio.to_thread.run_sync, call)


@pytest.mark.parametrize("where", [in_trio, in_asyncio, beside_a_guest, in_a_thread])
def test_it_may_be_called_anywhere(
    net: SimulatedNetwork, where: Callable[[Callable[[], nb.RecordedRace]], nb.RecordedRace]
) -> None:
    race = where(partial(simulate, net, HOST, PORT))

    assert race.timeline.duration == pytest.approx(0.30)
    assert race.events[0].race == 1


def test_nothing_is_left_behind(net: SimulatedNetwork) -> None:
    descriptors, threads = os.listdir("/proc/self/fd"), threading.active_count()
    for _ in range(20):
        simulate(net, HOST, PORT)

    assert len(os.listdir("/proc/self/fd")) == len(descriptors)
    assert threading.active_count() == threads


async def test_a_recording_around_it_does_not_hear_of_it(net: SimulatedNetwork, autojump_clock: MockClock) -> None:
    """Not even in a tracer of a race with the same number, whose later events it would take away."""

    def simulate_too(event: trace.Event) -> None:
        simulate(SimulatedNetwork(), "127.0.0.1", PORT)

    connector = nb.Connector(network=net, tracer=simulate_too)
    with nb.record() as recording:
        async with await connector.open_tcp_stream(HOST, PORT):
            pass

    assert len(recording) == 1
    assert recording[0].timeline.outcome is RaceOutcome.WON


def test_the_caller_s_context_is_seen(net: SimulatedNetwork) -> None:
    colour = contextvars.ContextVar("colour", default="none")
    colour.set("red")
    seen = []

    async def look(stream: trio.SocketStream) -> None:
        seen.append(colour.get())
        colour.set("blue")

    simulate(net, HOST, PORT, establish=look)

    assert seen == ["red"]
    assert colour.get() == "red"


# How it is stopped


@pytest.mark.parametrize("is_early", [True, False])
def test_an_interrupt_stops_the_simulation(
    net: SimulatedNetwork, monkeypatch: pytest.MonkeyPatch, is_early: bool
) -> None:
    """The caller has `KeyboardInterrupt` while he waits; the other thread is cancelled, and the sockets closed."""
    began, go_on = threading.Event(), threading.Event()

    async def endless(stream: trio.SocketStream) -> None:
        began.set()
        while True:
            await trio.lowlevel.checkpoint()

    class Interrupted(ThreadPoolExecutor):
        def submit(self, function: Callable[..., Any], /, *arguments: Any, **more: Any) -> Any:
            def run() -> Any:
                if is_early:
                    go_on.wait(10)
                return function(*arguments, **more)

            future = super().submit(run)
            monkeypatch.setattr(future, "result", interrupt)
            return future

    def interrupt() -> None:
        if not is_early:
            assert began.wait(10)
        raise KeyboardInterrupt

    def stop(run: Any, stop: Callable[[Any], None] = simulation_run._Run.stop) -> None:
        stop(run)
        go_on.set()

    monkeypatch.setattr(simulation_run, "ThreadPoolExecutor", Interrupted)
    monkeypatch.setattr(simulation_run._Run, "stop", stop)

    with pytest.raises(KeyboardInterrupt):
        simulate(net, HOST, PORT, establish=endless)
    assert began.is_set() is not is_early
    assert net.open_sockets == 0


def test_an_interrupt_that_comes_too_late_is_harmless() -> None:
    async def main() -> Awaitable[None] | None:
        return None

    run = simulation_run._Run(main)
    run()
    run.stop()


def test_a_run_that_is_over_is_not_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a crash inside Trio there is nothing left to stop, and the attempt would hide what it was."""

    async def crash() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(simulation_run._Run, "stop", lambda _run: pytest.fail("it was stopped"))
    with pytest.raises(ZeroDivisionError):
        simulation_run.run_virtually(crash)
