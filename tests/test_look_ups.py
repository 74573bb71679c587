"""Look-ups in threads, and what the system's own files say."""

from __future__ import annotations

import contextlib
import errno
import math
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import outcome
import pytest
import trio
import trio.testing

from trio_nbconnect import Connector, KeepAlive, Policy, ResolutionError, SocketOptions, trace
from trio_nbconnect._address import Address
from trio_nbconnect._connect import look_ups, system_files
from trio_nbconnect._connect.network import (
    KernelNetwork,
    checkpoint_if_over,
    read_deprecated_addresses,
    read_policy_table,
)
from trio_nbconnect._connect.options import options_by_family
from trio_nbconnect._connect.policy_table import DEFAULT_POLICY_TABLE
from trio_nbconnect._connect.settings import Setting
from trio_nbconnect._connect.sockets import SocketOpener

# Threads


class DeadLibrary:
    """A C library whose look-ups of names that end in "dead" do not come back until it is told to."""

    def __init__(self) -> None:
        self.alive = threading.Event()
        self.called = threading.Event()
        self.calls: list[str] = []

    def getaddrinfo(self, host: bytes, port: int, family: int, kind: int) -> list[object]:
        """Sit in a thread, as the C library does."""
        name = host.decode()
        self.calls.append(name)
        self.called.set()
        if name.rstrip(".").endswith("dead"):
            self.alive.wait()
            raise socket.gaierror(socket.EAI_AGAIN, "dead")
        return [(socket.AF_INET, kind, 6, "", ("127.0.0.1", port))]

    async def has_called(self, count: int) -> None:
        """Wait until so many threads are there: one that comes when the test is over would ask the real library."""
        while len(self.calls) < count:
            await trio.lowlevel.checkpoint()


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Iterator[DeadLibrary]:
    """The library in the place of the real one; its threads are let go at the end."""
    library = DeadLibrary()
    monkeypatch.setattr(socket, "getaddrinfo", library.getaddrinfo)
    yield library
    library.alive.set()


async def connect(host: str, port: int = 9, connector: Connector | None = None) -> None:
    with contextlib.suppress(OSError):
        stream = await (connector or Connector()).open_tcp_stream(host, port)
        stream.socket.close()


async def abandon(host: str) -> None:
    with trio.move_on_after(0.001):
        await connect(host)


async def test_one_look_up_for_all_who_ask_for_a_name(library: DeadLibrary) -> None:
    """Who gives up leaves it to the others."""
    async with trio.open_nursery() as nursery:
        for _ in range(50):
            nursery.start_soon(abandon, "host.dead")
    await trio.to_thread.run_sync(library.called.wait)
    assert library.calls == ["host.dead"]


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.EACCES])
async def test_a_failed_look_up_asks_for_a_descriptor(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What else may be wrong with that says nothing of the look-up."""

    def no_descriptor(path: str, _: int) -> None:
        raise OSError(number, "no descriptor", path)

    def fail(*_: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "no such name")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    monkeypatch.setattr(os, "open", no_descriptor)
    look_up = look_ups.look_ups().join("host.example", 9, socket.AF_UNSPEC)
    with pytest.raises(OSError) as raised:
        await look_up.wait()
    monkeypatch.undo()
    why = (socket.EAI_NONAME, "no such name") if number == errno.EACCES else (number, "no descriptor")
    assert raised.value.args == why


async def test_abandoned_look_ups_hold_nobody_up(library: DeadLibrary) -> None:
    """Seventy names that nobody waits for any more, and one that answers."""
    for number in range(70):
        await abandon(f"host{number}.dead")
    with trio.fail_after(5):
        await connect("good.example")
    assert trio.to_thread.current_default_thread_limiter().borrowed_tokens == 0


async def test_what_was_found_is_told_to_all(library: DeadLibrary) -> None:
    """Each has a list and an error of its own; the port is the first one's, and each puts its own in its place."""
    found: list[list[Address]] = []
    failures: list[OSError] = []

    async def ask(host: str) -> None:
        try:
            found.append(await KernelNetwork().look_up(host, 9, 0).wait())
        except OSError as error:
            failures.append(error)

    library.alive.set()
    async with trio.open_nursery() as nursery:
        for host in ("good", "GOOD", "host.dead", "host.dead"):
            nursery.start_soon(ask, host)
    assert sorted(library.calls) == ["good", "host.dead"]
    assert found == [[Address(socket.AF_INET, "127.0.0.1", 9)]] * 2
    assert found[0] is not found[1]
    assert [str(error) for error in failures] == [f"[Errno {socket.EAI_AGAIN}] dead"] * 2
    assert failures[0] is not failures[1]


@pytest.mark.parametrize("name", ["_names", "_resolv_conf"])
async def test_who_asks_after_a_file_has_changed_joins_nobody_from_before(
    tmp_path: Path, library: DeadLibrary, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The name may mean something else now, and the server that the first one waits for may be named no more."""
    path = tmp_path / "file"
    monkeypatch.setattr(system_files, name, system_files.SmallFile(str(path), len, 0))
    ours = look_ups.look_ups()
    before = ours.join("host.dead", 9, 0)
    path.write_text("nameserver 192.0.2.1\n")
    after = ours.join("host.dead", 9, 0)
    assert before is not after
    assert ours.join("host.dead", 9, 0) is after
    library.alive.set()
    await _fail(before)
    await _fail(after)


async def test_a_name_that_was_given_up_and_is_wanted_again_meanwhile(
    library: DeadLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two look-ups of one name may run then; each forgets itself alone, and nothing is left."""
    monkeypatch.setattr(look_ups, "AT_ONCE", 1)
    ours = look_ups.look_ups()
    first = ours.join("a.dead", 9, 0)
    ours._next_at = math.inf
    second = ours.join("b.dead", 9, 0)
    ours.abandon(second)
    third = ours.join("b.dead", 9, 0)
    assert third is not second
    ours._next_at = trio.current_time()
    ours.want(third)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_fail, second)
        nursery.start_soon(_fail, third)
        await trio.testing.wait_all_tasks_blocked()
        library.alive.set()
    await _fail(first)
    assert sorted(library.calls) == ["a.dead", "b.dead", "b.dead"]
    assert (ours._running, ours._queued) == ({}, {})


async def _fail(look_up: look_ups.SystemLookUp) -> None:
    with pytest.raises(socket.gaierror):
        await look_up.wait()


async def test_so_many_run_at_once(library: DeadLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others wait for their turn, and whoever came last is next."""
    monkeypatch.setattr(look_ups, "AT_ONCE", 1)
    monkeypatch.setattr(look_ups, "PAUSE", math.inf)
    shared = look_ups.look_ups()
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_fail, shared.join("a.dead", 80, 0))
            for host in ("b.example", "c.example"):
                nursery.start_soon(shared.join(host, 80, 0).wait)
                await trio.testing.wait_all_tasks_blocked()
            assert [name for name, *_ in shared._queued] == ["b.example", "c.example"]
            library.alive.set()
    assert library.calls == ["a.dead", "c.example", "b.example"]


async def test_the_more_run_the_slower_the_next_ones_start(
    library: DeadLibrary, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.abc.Clock
) -> None:
    """So a crowd at dead names never has all the threads, and a name that comes later need not wait long."""
    monkeypatch.setattr(look_ups, "AT_ONCE", 2)
    monkeypatch.setattr(look_ups, "PAUSE", 10.0)
    shared, running = look_ups.look_ups(), []
    async with trio.open_nursery() as nursery:
        for number in range(10):
            nursery.start_soon(shared.join(f"{number}.dead", 80, 0).wait)
        for time in (7, 8, 17, 18, 31, 32, 51, 52):
            await trio.sleep_until(time)
            running.append(len(shared._running))
        nursery.cancel_scope.cancel()
    assert running == [2, 3, 3, 4, 4, 5, 5, 6]


async def test_a_crowd_at_dead_names_holds_a_good_one_up_for_a_moment(
    library: DeadLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(look_ups, "AT_ONCE", 2)
    monkeypatch.setattr(look_ups, "PAUSE", 0.0001)
    shared = look_ups.look_ups()
    async with trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(shared.join(f"{number}.dead", 80, 0).wait)
        with trio.fail_after(5):
            assert await shared.join("good.example", 80, 0).wait()
        nursery.cancel_scope.cancel()


async def test_who_was_cancelled_in_the_queue_may_wait_again(
    library: DeadLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(look_ups, "AT_ONCE", 1)
    monkeypatch.setattr(look_ups, "PAUSE", 0.1)
    shared = look_ups.look_ups()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(shared.join("a.dead", 80, 0).wait)
        await trio.testing.wait_all_tasks_blocked()
        queued = shared.join("good.example", 80, 0)
        with trio.move_on_after(0):
            await queued.wait()
        with trio.fail_after(5):
            assert await queued.wait()
        nursery.cancel_scope.cancel()


async def test_who_leaves_the_queue_takes_nobody_with_him(
    library: DeadLibrary, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.abc.Clock
) -> None:
    """Those who wait for one name in the queue share one look-up there, too."""
    monkeypatch.setattr(look_ups, "AT_ONCE", 1)
    monkeypatch.setattr(look_ups, "PAUSE", math.inf)
    shared = look_ups.look_ups()
    shared.join("a.dead", 80, 0)
    async with trio.open_nursery() as nursery:
        for _ in range(2):
            nursery.start_soon(shared.join("b.dead", 80, 0).wait)
        await trio.testing.wait_all_tasks_blocked()
        with trio.move_on_after(0):
            await shared.join("b.dead", 80, 0).wait()
        (queued,) = shared._queued.values()
        assert queued.waiting == 2
        nursery.cancel_scope.cancel()
    assert shared._queued == {}


async def test_who_comes_back_finds_the_look_up_under_way(library: DeadLibrary) -> None:
    look_up = look_ups.look_ups().join("a.dead", 80, 0)
    with trio.move_on_after(0.01):
        await look_up.wait()
    assert look_ups.look_ups().join("A.dead", 80, 0) is look_up
    library.alive.set()
    with trio.fail_after(5):
        for _ in range(2):
            with pytest.raises(socket.gaierror):
                await look_up.wait()
    assert library.calls == ["a.dead"]


async def test_what_all_have_given_up_is_joined_for_a_second(
    library: DeadLibrary, autojump_clock: trio.abc.Clock
) -> None:
    """The network may be up again, and the C library have asked when it was not."""
    begun: dict[look_ups.SystemLookUp, float] = {}
    while trio.current_time() < 3:
        begun.setdefault(look_ups.look_ups().join("a.dead", 9, 0), trio.current_time())
        await trio.sleep(0.25)
    assert list(begun.values()) == [0.0, 1.0, 2.0]
    await library.has_called(3)


@pytest.mark.parametrize("why", ["it is waited for", "many run"])
async def test_what_is_joined_however_long_it_takes(
    library: DeadLibrary, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.abc.Clock, why: str
) -> None:
    ours = look_ups.look_ups()
    first = ours.join("a.dead", 9, 0)
    async with trio.open_nursery() as nursery:
        if why == "many run":
            monkeypatch.setattr(look_ups, "AT_ONCE", 1)
        else:
            nursery.start_soon(first.wait)
        await trio.sleep(100)
        assert ours.join("a.dead", 9, 0) is first
        await library.has_called(1)
        nursery.cancel_scope.cancel()


async def test_an_answer_that_comes_later_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.abc.Clock
) -> None:
    answers = [threading.Event() for _ in range(2)]
    waiting, called = iter(enumerate(answers, start=1)), threading.Semaphore(0)

    def getaddrinfo(host: bytes, port: int, family: int, kind: int) -> list[object]:
        number, answer = next(waiting)
        called.release()
        answer.wait()
        return [(socket.AF_INET, kind, 6, "", (f"127.0.0.{number}", port))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    ours, begun = look_ups.look_ups(), []
    for _ in answers:
        begun.append(ours.join("a.example", 9, 0))
        assert await trio.to_thread.run_sync(partial(called.acquire, timeout=5))
        await trio.sleep(1)
    for under_way, answer in zip((1, 0), answers, strict=True):
        answer.set()
        while ours._threads > under_way:
            await trio.lowlevel.checkpoint()
        for look_up in begun:
            assert await look_up.wait() == [Address(socket.AF_INET, "127.0.0.1", 9)]


async def test_an_answer_ends_any_number_of_look_ups_that_were_begun_since() -> None:
    """A look-up may be stuck for hours, while somebody tries again each second."""
    first = last = look_ups.SystemLookUp(look_ups.look_ups(), ("a.example", 0, ()), 9)
    for _ in range(5000):
        last = last.begin_another()
    first._take(())
    assert last._done.is_set()


@pytest.mark.parametrize("is_first_to_answer", [True, False])
async def test_of_two_look_ups_of_a_name_the_one_that_finds_something_counts(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.abc.Clock, is_first_to_answer: bool
) -> None:
    """The other one may go on for as long as it likes, and nobody joins it any more."""
    answers = [threading.Event() for _ in range(3)]
    waiting, called = iter(answers), threading.Semaphore(0)

    def getaddrinfo(host: bytes, port: int, family: int, kind: int) -> list[object]:
        answer = next(waiting)
        called.release()
        answer.wait()
        if answer is answers[not is_first_to_answer]:
            return [(socket.AF_INET, kind, 6, "", ("127.0.0.1", port))]
        raise socket.gaierror(socket.EAI_AGAIN, "dead")

    async def begin() -> look_ups.SystemLookUp:
        look_up = ours.join("a.example", 9, 0)
        assert await trio.to_thread.run_sync(partial(called.acquire, timeout=5))
        return look_up

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    ours = look_ups.look_ups()
    await begin()
    await trio.sleep(1)
    second = await begin()
    answers[not is_first_to_answer].set()
    assert await second.wait() == [Address(socket.AF_INET, "127.0.0.1", 9)]
    third = await begin()
    for answer in answers:
        answer.set()
    await _fail(third)
    while ours._threads:
        await trio.lowlevel.checkpoint()
    assert (ours._running, ours._queued) == ({}, {})
    assert await second.wait() == [Address(socket.AF_INET, "127.0.0.1", 9)]


async def test_a_crowd_that_is_given_up_starts_nobody(
    library: DeadLibrary, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.abc.Clock
) -> None:
    """Cancelled together: no place of one that goes is given to one that goes next, and the next to come has one."""
    monkeypatch.setattr(look_ups, "AT_ONCE", 5)
    monkeypatch.setattr(look_ups, "AT_MOST", 10)
    async with trio.open_nursery() as nursery:
        for number in range(100):
            nursery.start_soon(connect, f"host{number}.dead")
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    found = await KernelNetwork().look_up("good.example", 9, 0).wait()
    assert found == [Address(socket.AF_INET, "127.0.0.1", 9)]
    assert len(look_ups.look_ups()._running) == 5
    assert look_ups.look_ups()._queued == {}


async def test_there_is_a_most(library: DeadLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each abandoned one holds a thread, so at some number it is an error, which says so."""
    monkeypatch.setattr(look_ups, "AT_MOST", 5)
    for number in range(5):
        KernelNetwork().look_up(f"host{number}.dead", 9, socket.AF_UNSPEC)
    with pytest.raises(ResolutionError) as caught:
        await Connector().open_tcp_stream("good.example", 9)
    assert caught.value.errno == errno.EAGAIN
    assert caught.value.__cause__ is not None
    text = "5 look-ups have not ended yet: good.example"
    assert caught.value.__cause__.exceptions[0].strerror == text  # type: ignore[attr-defined]


async def test_when_there_are_no_threads_all_who_queue_are_told(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.abc.Clock
) -> None:
    """At once: none of them could be started."""
    calls: list[object] = []

    def start_thread_soon(*call: object) -> None:
        calls.append(call)
        if len(calls) > 1:
            raise RuntimeError("can't start new thread")

    monkeypatch.setattr(trio.lowlevel, "start_thread_soon", start_thread_soon)
    monkeypatch.setattr(look_ups, "AT_ONCE", 1)
    monkeypatch.setattr(look_ups, "PAUSE", 0.2)
    shared, told = look_ups.look_ups(), []

    async def fail(queued: look_ups.SystemLookUp) -> None:
        with pytest.raises(OSError, match="no thread") as caught:
            await queued.wait()
        told.append((trio.current_time(), caught.value.strerror))

    _, *queued = (shared.join(host, 80, 0) for host in ("a.example", "b.example", "c.example"))
    async with trio.open_nursery() as nursery:
        for look_up in queued:
            nursery.start_soon(fail, look_up)
    assert sorted(told) == [
        (0.1, f"no thread to look {host} up: can't start new thread") for host in ("b.example", "c.example")
    ]


async def test_when_there_are_too_many_all_who_queue_are_told(
    library: DeadLibrary, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.abc.Clock
) -> None:
    for name, value in (("AT_ONCE", 1), ("AT_MOST", 1), ("PAUSE", 0.2)):
        monkeypatch.setattr(look_ups, name, value)
    shared, told = look_ups.look_ups(), []

    async def fail(queued: look_ups.SystemLookUp) -> None:
        with pytest.raises(OSError, match="1 look-ups have not ended"):
            await queued.wait()
        told.append(trio.current_time())

    _, *queued = (shared.join(host, 80, 0) for host in ("a.dead", "b.example", "c.example"))
    async with trio.open_nursery() as nursery:
        for look_up in queued:
            nursery.start_soon(fail, look_up)
    assert told == [0.1, 0.1]


async def test_half_of_the_most_may_be_of_one_family(library: DeadLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
    """What hurries a look-up takes no place from what it hurries."""
    monkeypatch.setattr(look_ups, "AT_MOST", 6)
    ours, network = look_ups.look_ups(), KernelNetwork()
    for family, hosts in (
        (socket.AF_INET6, "abcd"),
        (socket.AF_UNSPEC, "e"),
        (socket.AF_INET, "f"),
        (socket.AF_UNSPEC, "ghi"),
    ):
        for host in hosts:
            network.look_up(f"{host}.dead", 9, family)
    assert [host for host, *_ in ours._running] == ["a.dead", "b.dead", "c.dead", "e.dead", "g.dead", "h.dead"]


async def test_who_waits_for_a_place_lets_others_run(
    library: DeadLibrary, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.abc.Clock
) -> None:
    """Until the pause is over that follows the one before, and no longer."""
    starts, start = [], look_ups.SystemLookUp.start

    def start_at(look_up: look_ups.SystemLookUp) -> None:
        starts.append(trio.current_time())
        start(look_up)

    monkeypatch.setattr(look_ups.SystemLookUp, "start", start_at)
    monkeypatch.setattr(look_ups, "AT_ONCE", 1)
    monkeypatch.setattr(look_ups, "PAUSE", 0.6)
    network = KernelNetwork()
    network.look_up("host.dead", 9, 0)
    await network.look_up("good.example", 9, 0).wait()
    assert starts == [0, pytest.approx(0.3)]


@pytest.fixture
def starts(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """When look-ups were started that never end."""
    starts: list[float] = []
    monkeypatch.setattr(trio.lowlevel, "start_thread_soon", lambda *_: starts.append(trio.current_time()))
    return starts


async def test_a_crowd_gets_slower_until_it_is_refused(starts: list[float], autojump_clock: trio.abc.Clock) -> None:
    """Whoever comes when 300 are stuck waits for 26 ms, and a crowd takes 23 s to get to the most."""
    shared = look_ups.look_ups()
    for number in range(512):
        look_up = shared.join(f"{number}.dead", 80, 0)
        while not look_up.is_started:
            await trio.sleep_until(shared.turn_of(look_up))
            shared.want(look_up)
    assert starts[63] == 0 < starts[64]
    assert starts[301] - starts[300] == pytest.approx(0.026, abs=0.001)
    assert starts[511] == pytest.approx(23.1, abs=0.1)
    await trio.sleep(60)
    with pytest.raises(OSError, match=r" 512 look-ups have not ended yet: good\.example$"):
        await shared.join("good.example", 80, 0).wait()


async def test_who_is_not_the_latest_looks_again_after_a_while(
    starts: list[float], monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.abc.Clock
) -> None:
    monkeypatch.setattr(look_ups, "AT_ONCE", 1)
    monkeypatch.setattr(look_ups, "PAUSE", 0.2)
    _, first, _ = (look_ups.look_ups().join(f"{number}.dead", 80, 0) for number in range(3))
    with trio.move_on_after(1):
        await first.wait()
    assert starts == pytest.approx([0, 0.25, 0.45])


async def test_a_system_without_threads_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(trio.lowlevel, "start_thread_soon", fail)
    with pytest.raises(ResolutionError, match="lookup") as caught:
        await Connector().open_tcp_stream("good.example", 9)
    assert caught.value.errno == errno.EAGAIN
    assert look_ups.look_ups()._running == {}  # the next one tries again


async def test_a_bug_in_a_look_up_comes_out_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(ZeroDivisionError):
        await Connector().open_tcp_stream("good.example", 9)


def test_a_look_up_that_ends_after_the_run_harms_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    deliver: list[Callable[[object], None]] = []
    monkeypatch.setattr(trio.lowlevel, "start_thread_soon", lambda _, finish: deliver.append(finish))
    trio.run(abandon, "host.example")
    deliver[0](outcome.Value([]))


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ((2, ("192.0.2.1", 80)), Address(socket.AF_INET, "192.0.2.1", 80)),
        ((10, ("2001:db8::1", 80, 5, 0)), Address(socket.AF_INET6, "2001:db8::1", 80, 5)),
        ((10, ("fe80::1%eth0", 80, 5, 2)), Address(socket.AF_INET6, "fe80::1", 80, 5, 2)),
        ((10, ("fe80::1%eth0", 80)), Address(socket.AF_INET6, "fe80::1", 80)),
        ((10, ("fe80::1%a%b", 80, 0, 3)), Address(socket.AF_INET6, "fe80::1", 80, 0, 3)),
    ],
)
def test_an_entry_of_the_system_or_of_a_hook(entry: tuple[int, tuple[Any, ...]], expected: Address) -> None:
    """Whose family may be a number alone."""
    found = look_ups.from_getaddrinfo(*entry)
    assert found == expected
    assert found.family.name == expected.family.name


async def test_a_name_that_does_not_exist() -> None:
    """The system says so, and the error is a `gaierror` with its number."""
    with trio.fail_after(20), pytest.raises(socket.gaierror) as caught:
        await Connector().open_tcp_stream("does-not-exist.invalid", 443)
    assert isinstance(caught.value, ResolutionError)
    assert str(caught.value).startswith("no results found for hostname lookup: does-not-exist.invalid:443: ")


@pytest.mark.parametrize("name", ["a.onion", "A.B.Onion.", "x.invalid"])
async def test_some_names_leave_by_no_look_up(name: str, library: DeadLibrary) -> None:
    """RFC 7686, section 2: resolvers "MUST" not ask name servers; RFC 6761, section 6.4: "invalid" is none."""
    with pytest.raises(ResolutionError) as caught:
        await Connector().open_tcp_stream(name, 443)
    assert caught.value.errno == socket.EAI_NONAME
    assert caught.value.primary_error is not None
    assert caught.value.primary_error.strerror == (
        f"names below {name.strip('.').split('.')[-1]} are not looked up: {name}"
    )
    assert library.calls == []


@pytest.mark.parametrize("length", [0, system_files.LONGEST], ids=["short", "long"])
@pytest.mark.parametrize("name", ["onion", "onion.example", "pinned.onion", "PINNED.onion"])
async def test_other_names_are_the_system_s(
    name: str, length: int, library: DeadLibrary, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A search domain may complete a single label, and the hosts file, however long, have a name of its own."""
    hosts = tmp_path / "hosts"
    hosts.write_text("#" * length + "\n192.0.2.1 other Pinned.onion # commented.onion\n\n")
    monkeypatch.setattr(system_files, "_names", system_files.SmallFile(str(hosts), system_files._parse_names, None))
    for other in ("commented.onion", "pinned.onion."):  # the C library finds no name with a final dot there
        await connect(other)
    await connect(name, connector=Connector(policy=Policy(resolution_delay=60)))  # and nothing is hurried
    assert library.calls == [name.lower()]


async def test_a_name_that_is_kept_and_in_the_hosts_file_is_asked_for_like_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_text("192.0.2.1 pinned.onion\n")
    monkeypatch.setattr(system_files, "_names", system_files.SmallFile(str(hosts), system_files._parse_names, None))
    asked: list[tuple[object, ...]] = []

    def getaddrinfo(*question: object) -> list[object]:
        asked.append(question)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 443))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    assert await KernelNetwork().look_up("pinned.onion", 443, socket.AF_INET).wait() == [
        Address(socket.AF_INET, "192.0.2.1", 443)
    ]
    assert asked == [(b"pinned.onion", 443, socket.AF_INET, socket.SOCK_STREAM)]


async def test_the_first_addresses_of_each_family_count(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.abc.Clock
) -> None:
    """Whoever writes thousands into a zone would have this host send as many SYNs; the order stays."""
    entries = [
        entry
        for number in range(3000)
        for entry in (
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"127.1.{number >> 8}.{number & 255}", 9)),
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (f"2001:db8::{number:x}", 9, 0, 0)),
        )
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: entries)
    found = await KernelNetwork().look_up("many.example", 9, 0).wait()
    assert found == [look_ups.from_getaddrinfo(entry[0], entry[4]) for entry in entries[:256]]
    few = entries[:255]
    assert look_ups.first_of_each_family(few, lambda entry: entry[0]) == few
    lopsided = [*entries[::2], *entries[1::2]]
    assert look_ups.first_of_each_family(lopsided, lambda entry: entry[0]) == [*entries[:256:2], *entries[1:256:2]]


# What the system's own files say


@pytest.mark.parametrize(
    ("hosts", "expected"),
    [
        ("127.0.0.1 localhost\n::1 localhost ip6-localhost # ours\n", ("::1", "127.0.0.1")),
        ("127.0.0.1 Localhost", ("127.0.0.1",)),
        ("192.0.2.1 other\nnonsense localhost\n", ()),
        ("127.0.0.1 localhost\n192.0.2.1 localhost\n", None),
        ("fe80::1%lo localhost", None),
        ("fe80::1%nosuch0 localhost\n::1 localhost", ("::1",)),
        ("127.0.0.1 localhost\n127.0.0.1 localhost", ("127.0.0.1",)),
        ("\n# 192.0.2.1 localhost\n127.0.0.7 # localhost\n\t\n127.0.0.1 localhost", ("127.0.0.1",)),
        ("192.0.2.1 www\n127.0.0.9 a localhost\n# end", ("127.0.0.9",)),
    ],
)
def test_localhost_is_what_the_hosts_file_says(hosts: str, expected: tuple[str, ...] | None) -> None:
    assert system_files._parse_localhost(hosts) == expected


@pytest.mark.parametrize(
    ("found", "expected"),
    [(None, None), ((), ("::1", "127.0.0.1")), (("127.0.0.1",), ("127.0.0.1",))],
)
async def test_localhost_is_this_machine_where_the_hosts_file_does_not_name_it(
    found: tuple[str, ...] | None, expected: tuple[str, ...] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(system_files, "_hosts", system_files.SmallFile("/nowhere", lambda _: found, found))
    assert KernelNetwork().localhost() == expected


async def test_localhost_needs_no_look_up() -> None:
    """RFC 6761, section 6.3: resolvers "SHOULD always return the IP loopback address": no thread, no query."""
    events: list[trace.Event] = []
    with socket.create_server(("127.0.0.1", 0)) as listener, trio.fail_after(5):
        stream = await Connector(tracer=events.append).open_tcp_stream("localhost", listener.getsockname()[1])
        assert stream.socket.getpeername() == listener.getsockname()
        stream.socket.close()
    assert not [event for event in events if isinstance(event, trace.ResolutionStarted)]


@pytest.mark.parametrize(
    ("text", "ndots"),
    [
        ("nameserver 192.0.2.1\n", 1),
        ("options ndots:5\n", 5),
        ("options rotate ndots:3 timeout:1\n", 3),
        ("options ndots:2\noptions ndots:99\n", 15),
        ("options ndots:x\n# options ndots:7\n", 0),
        ("options ndots:\noptions 3 rotate\n", 0),
        ("options ndots:3,timeout:1\n", 3),
        ("options\tndots:+4x\n", 4),
        ("options ndots:-1\n", 15),
        ("options ndots 5\noptionsx ndots:6\n options ndots:7\n", 1),
    ],
)
def test_how_many_dots_make_a_name_absolute(text: str, ndots: int) -> None:
    assert system_files._parse_ndots(text) == ndots


def test_an_option_without_a_number_is_1() -> None:
    """And a number that is missing is 0, as `atoi` has it; what is none of them is passed over."""
    read = system_files.parse_options("use-vc rotate rotates no-aaaa:7 timeout: edns0 attempts")
    assert read == {"use-vc": 1, "rotate": 1, "no-aaaa": 1, "timeout": 0}


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("example.org", None, True),
        ("example.org", "", True),
        ("example.org", "ndots:2", False),
        ("www.example.org", "ndots:5 ndots:2", True),
        ("example", "ndots:0", False),
        ("example.org", "ndots:2,", False),
        ("example.org", "ndots 2", True),
        ("example.", "ndots:9", True),
        (15 * "a." + "example", "ndots:99", True),
        (14 * "a." + "example", "ndots:99", False),
        ("printer.local.", "", False),
    ],
)
async def test_which_names_are_absolute(
    name: str, options: str | None, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RES_OPTIONS", raising=False)
    if options is not None:
        monkeypatch.setenv("RES_OPTIONS", options)
    monkeypatch.setattr(system_files, "_resolv_conf", system_files.SmallFile("/nowhere", len, 1))
    assert system_files.is_dns_name(name) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hosts: files dns\n", True),
        ("hosts: files mdns4_minimal [NOTFOUND=return] dns hesiod", True),
        ("hosts: files resolve [!UNAVAIL=return] dns", True),
        ("hosts: hesiod files dns", False),
        ("hosts: files # ldap", True),
        ("hosts: files dns resolve myhostname mymachines mdns_minimal mdns4_minimal", True),
        ("hosts: files resolve myhostname mymachines mdns_minimal mdns4_minimal", True),
        ("hosts: files\nhosts: ldap", False),
        ("hosts: ldap\nhosts: files dns", False),
        ("hosts: files\nhosts: files dns", True),
        ("ipnodes: ldap\nhosts : ldap dns", False),
        ("hosts: files [ldap: dns", False),
        ("hosts: files ldap # dns", False),
        ("passwd: ldap\n# hosts: ldap", True),
        ("hosts\nhosts: ldap", False),
    ],
)
def test_whether_dns_comes_before_slow_sources(text: str, expected: bool) -> None:
    assert system_files._parse_dns_is_first(text) is expected


async def test_where_a_slow_source_comes_first_no_name_is_one_of_dns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system_files, "_nsswitch", system_files.SmallFile("/nowhere", bool, False))
    assert not system_files.is_dns_name("example.org")
    assert not system_files.is_dns_name("example.org.")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1 localhost\n192.0.2.1 www.example pinned.example\n", True),
        ("192.0.2.1 PINNED.example", True),
        ("192.0.2.1\tpinned.example # ours", True),
        ("192.0.2.1 other # pinned.example\n192.0.2.1 not-pinned.example pinned.example.org\n", False),
        ("pinned.example 192.0.2.1", False),
        ("", False),
    ],
)
@pytest.mark.parametrize("longest", [system_files.LONGEST, 0], ids=["short", "long"])
async def test_whether_the_hosts_file_has_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, expected: bool, longest: int
) -> None:
    """A short file is read at once, a long one in a thread; both find the same."""
    path = tmp_path / "hosts"
    path.write_text(text)
    monkeypatch.setattr(system_files, "LONGEST", longest)
    monkeypatch.setattr(system_files, "_names", system_files.SmallFile(str(path), system_files._parse_names, None))
    if longest:
        monkeypatch.delattr(system_files, "_has_line_with")
    for _ in range(2):
        assert await KernelNetwork().is_in_hosts("Pinned.example.") is expected


async def test_without_a_hosts_file_it_has_no_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system_files, "_names", system_files.SmallFile("/nowhere", system_files._parse_names, None))
    assert not await system_files.is_in_hosts("pinned.example")


async def test_a_file_may_hold_any_octets(tmp_path: Path) -> None:
    """Of whatever encoding; and what comes behind so many of them is not read."""
    path = tmp_path / "file"
    path.write_bytes(b"192.0.2.1 pinned.example # caf\xe9\n")
    assert system_files.SmallFile(str(path), system_files._parse_names, None).read() == frozenset({"pinned.example"})
    path.write_text("a" * system_files.LONGEST)
    file = system_files.SmallFile(str(path), len, 0)
    assert file.read() == system_files.LONGEST
    path.write_text("a" * system_files.LONGEST * 2)  # it may grow between a look and a reading
    assert len(file._text()) == system_files.LONGEST


async def test_files_are_kept_apart(tmp_path: Path) -> None:
    files = []
    for name in ("one", "other"):
        (tmp_path / name).write_text(name)
        files.append(system_files.SmallFile(str(tmp_path / name), str, ""))
    assert [[file.read() for file in files] for _ in range(2)] == [["one", "other"]] * 2


async def test_an_empty_file_is_read_too(tmp_path: Path) -> None:
    """It says something else than none."""
    path = tmp_path / "file"
    path.touch()
    assert system_files.SmallFile(str(path), lambda text: f"<{text}>", "none").read() == "<>"


@pytest.mark.parametrize("is_long", [False, True])
async def test_to_look_into_the_hosts_file_is_a_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_long: bool
) -> None:
    path = tmp_path / "hosts"
    path.write_text("192.0.2.1 pinned.example\n")
    monkeypatch.setattr(system_files, "LONGEST", 0 if is_long else 100)
    monkeypatch.setattr(system_files, "_names", system_files.SmallFile(str(path), system_files._parse_names, None))
    with trio.testing.assert_checkpoints():
        assert await system_files.is_in_hosts("pinned.example")


async def test_a_long_hosts_file_is_read_in_threads_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The program's own may all be busy, and who is cancelled does not wait for the disk."""
    path = tmp_path / "hosts"
    path.write_text("192.0.2.1 pinned.example\n")
    monkeypatch.setattr(system_files, "LONGEST", 0)
    monkeypatch.setattr(system_files, "_names", system_files.SmallFile(str(path), system_files._parse_names, None))
    trio.to_thread.current_default_thread_limiter().total_tokens = 1
    may_end = threading.Event()
    monkeypatch.setattr(system_files, "_has_line_with", lambda *_: may_end.wait(10))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(trio.to_thread.run_sync, may_end.wait, 10))
        await trio.testing.wait_all_tasks_blocked()
        async with trio.open_nursery() as waiting:
            waiting.start_soon(system_files.is_in_hosts, "pinned.example")
            await trio.testing.wait_all_tasks_blocked()
            waiting.cancel_scope.cancel()
        nursery.start_soon(system_files.is_in_hosts, "pinned.example")
        await trio.testing.wait_all_tasks_blocked()
        assert system_files._reading().borrowed_tokens == 2
        may_end.set()


async def test_a_file_is_read_when_it_has_changed(tmp_path: Path) -> None:
    path = tmp_path / "file"
    calls: list[str] = []

    def parse(text: str) -> str:
        calls.append(text)
        return text

    file = system_files.SmallFile(str(path), parse, "nothing")
    assert file.read() == "nothing"
    path.write_text("one")
    assert [file.read(), file.read()] == ["one", "one"]
    path.write_text("three")
    assert file.read() == "three"
    status = path.stat()
    with path.open("r+") as same:
        same.write("seven")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert file.read() == "seven"
    path.write_text("x" * (system_files.LONGEST + 1))
    assert file.read() == "nothing"
    path.unlink()
    assert file.read() == "nothing"
    assert calls == ["one", "three", "seven"]


def test_no_source_where_there_is_no_way() -> None:
    assert KernelNetwork().source_address(Address(socket.AF_INET, "127.0.0.2", 80)) is not None
    assert KernelNetwork().source_address(Address(socket.AF_INET6, "fe80::1", 80)) is None


def test_the_source_is_that_of_the_caller_s_sockets() -> None:
    """A local address of the caller's is what it would connect from; an option that is refused leaves no way."""
    local = Address(socket.AF_INET, "127.0.0.9", 0)
    source = KernelNetwork().source_address(Address(socket.AF_INET, "127.0.0.2", 80), local)
    assert source is not None
    assert source.host == "127.0.0.9"


@pytest.mark.parametrize(("interface", "has_one"), [("lo", True), ("nosuch0", False), (None, True)])
def test_the_source_is_that_of_the_options_that_choose_a_route(interface: str | None, has_one: bool) -> None:
    """socket(7), `SO_BINDTODEVICE`; the other options are none for a socket of datagrams."""
    options = SocketOptions(interface=interface, syn_count=2, keepalive=KeepAlive(idle=30))
    opener = SocketOpener(KernelNetwork(), options=options_by_family(options))
    assert (opener.source_address(Address(socket.AF_INET, "127.0.0.2", 80)) is not None) is has_one
    assert opener.source_address(Address(socket.AF_INET6, "::1", 80)) is None or has_one


def test_a_mark_chooses_a_route_too() -> None:
    """socket(7), `SO_MARK`, which takes a right to set."""
    asked: list[str] = []

    class Network(KernelNetwork):
        def source_address(
            self, address: Address, local: Address | None = None, settings: Iterable[Setting] = ()
        ) -> Address | None:
            asked.extend(setting.name for setting in settings)
            return local

    options = options_by_family(SocketOptions(mark=7, interface="lo", no_delay=True))
    SocketOpener(Network(), options=options).source_address(Address(socket.AF_INET, "127.0.0.2", 80))
    assert asked == ["mark=7", "interface='lo'"]


@pytest.mark.parametrize(
    ("text", "has_it"),
    [
        ("fe80::1 db\n192.0.2.1 fe\n", True),  # it stands at the very beginning as well, as no name
        ("192.0.2.1 fe", True),
        ("192.0.2.1 other FE # the machine", True),
        ("192.0.2.1 other # fe\n", False),
        ("fe\n", False),
        ("192.0.2.1 fee café fe.example\n", False),
        ("192.0.2.1 fee\n192.0.2.2 fe\n", True),
        ("192.0.2.1 fe\n192.0.2.2 fee\n# fe\n", True),
        ("fe\n192.0.2.1 x\n192.0.2.2 fe y", True),
        ("192.0.2.1 fee fe", True),
        ("192.0.2.1 fee\nfe 192.0.2.9\n", False),
        ("127.0.0.1 localhost\n192.0.2.9 y\nfe fee\n", False),
        ("192.0.2.1 fee\n192.0.2.2 fe\n# fe\n", True),
        ("0 fe\n", True),
        ("192.0.2.1" + " fee" * 20000, False),  # each line is looked at once
        ("", False),
    ],
)
def test_a_long_hosts_file_has_a_name(text: str, has_it: bool, tmp_path: Path) -> None:
    """Where it is not even parsed; a name of another stands for nothing."""
    path = tmp_path / "hosts"
    path.write_text(text, encoding="utf-8")
    assert system_files._has_line_with(str(path), b"fe") is has_it
    assert ("fe" in system_files._parse_names(text)) is has_it
    assert not system_files._has_line_with(str(tmp_path / "missing"), b"fe")


async def test_long_files_have_readers_of_their_own() -> None:
    """Two, however many threads the program's own limiter has."""
    assert system_files._reading() is system_files._reading()
    assert system_files._reading().total_tokens == 2


class Probe:
    """A datagram socket that tells where it was connected to."""

    asked: tuple[object, ...] = ()

    def __init__(self, *_: object) -> None:
        pass

    def __enter__(self) -> Probe:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def connect(self, address: tuple[object, ...]) -> None:
        Probe.asked = address

    def getsockname(self) -> tuple[str, int, int, int]:
        return ("fe80::9%eth7", 9999, 0, 7)


def test_the_probe_knows_the_scope(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it a link-local address has no source; the answer's is in the number, and left out of the text."""
    monkeypatch.setattr(socket, "socket", Probe)
    there = Address(socket.AF_INET6, "fe80::1", 443, flow_info=1, scope_id=7)
    assert KernelNetwork().source_address(there) == Address(socket.AF_INET6, "fe80::9", 9999, 0, 7)
    assert Probe.asked == ("fe80::1", 9, 1, 7)


@pytest.mark.parametrize(
    ("sockaddr", "address"),
    [
        (("192.0.2.1", 80), Address(socket.AF_INET, "192.0.2.1", 80)),
        (("fe80::1%eth7", 80), Address(socket.AF_INET6, "fe80::1", 80)),
        (("fe80::1%eth7", 80, 5), Address(socket.AF_INET6, "fe80::1", 80, 5)),
        (("fe80::1", 80, 5, 7), Address(socket.AF_INET6, "fe80::1", 80, 5, 7)),
    ],
)
def test_what_a_resolver_s_entry_means(sockaddr: tuple[object, ...], address: Address) -> None:
    """One of two members has no flow and no scope."""
    assert look_ups.from_getaddrinfo(int(address.family), sockaddr) == address


@pytest.mark.parametrize("seconds", [0.5, 1.0, 1.5])
async def test_a_deadline_that_is_now_is_over(mock_clock: trio.testing.MockClock, seconds: float) -> None:
    """Though Trio has not noticed yet."""
    with trio.CancelScope(deadline=trio.current_time() + 1) as scope:
        mock_clock.jump(seconds)
        await checkpoint_if_over()
    assert scope.cancelled_caught is (seconds >= 1)


def test_which_addresses_of_this_host_are_deprecated(tmp_path: Path) -> None:
    """Linux's file: address, number of the interface, length of the prefix, scope, flags, name."""
    path = tmp_path / "if_inet6"
    path.write_text(
        "00000000000000000000000000000001 01 80 10 80       lo\n"
        "20010db8000100000000000000000010 02 80 00 80     eth0\n"
        "20010db8000100000000000000000011 02 40 00 1f     eth0\n"
        "20010db8000200000000000000000010 02 80 00 a0     eth0\n"
    )
    assert read_deprecated_addresses(str(path)) == {"2001:db8:2::10"}
    assert read_deprecated_addresses(str(tmp_path / "missing")) == set()
    assert KernelNetwork().deprecated_addresses() == read_deprecated_addresses()


# Policy table


async def test_who_has_begun_since_for_the_same_name_goes_on() -> None:
    known = look_ups.LookUps()
    first, second = (look_ups.SystemLookUp(known, ("example.org", 0, system_files.names_seen()), 80) for _ in range(2))
    known._running[second.key] = second
    known.forget(first)
    assert known.join("example.org", 80, 0) is second
    known.forget(second)
    assert not known._running


@pytest.mark.parametrize(("name", "expected"), [("printer.local", False), ("127.1", False), ("www.example.", True)])
def test_whether_the_kernel_s_network_asks_dns(name: str, expected: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system_files._nsswitch, "path", "/dev/null")
    assert trio.run(asks_dns, name) is expected


async def asks_dns(name: str) -> bool:
    return KernelNetwork().is_dns_name(name)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has neither")
@pytest.mark.parametrize("make", [lambda path: os.symlink("/dev/zero", path), os.mkfifo])
async def test_what_is_no_plain_file_is_not_read(tmp_path: Path, make: Callable[[Path], None]) -> None:
    """All tasks would wait for the other end of a pipe."""
    make(tmp_path / "hosts")
    assert system_files.SmallFile(str(tmp_path / "hosts"), len, -1).read() == -1


async def test_which_files_of_the_system_are_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In UTF-8, whatever the locale says: another codec might have to be imported."""
    opened: list[tuple[object, object]] = []

    def open_nothing(path: str, *_: object, encoding: str = "the locale's", **__: object) -> object:
        opened.append((path, encoding))
        raise FileNotFoundError(errno.ENOENT, "no")

    network = KernelNetwork()
    (tmp_path / "file").touch()
    small = system_files.SmallFile(str(tmp_path / "file"), str, "nothing")
    with monkeypatch.context() as patch:
        patch.setattr("builtins.open", open_nothing)
        assert network.policy_table() is DEFAULT_POLICY_TABLE
        assert network.deprecated_addresses() == set()
        assert small.read() == "nothing"  # it has gone since it was looked at
    assert opened == [(path, "utf-8") for path in ("/etc/gai.conf", "/proc/net/if_inet6", small.path)]


def test_what_each_file_of_the_system_means() -> None:
    """And what it means that there is none: DNS comes first, one dot is enough, and nobody knows what is in it."""
    text = "hosts: ldap\noptions ndots:3\n127.0.0.1 localhost\n"
    files = (system_files._nsswitch, system_files._resolv_conf, system_files._hosts, system_files._names)
    said: list[tuple[str, object, object]] = [(file.path, file._parse(text), file._otherwise) for file in files]
    assert said == [
        ("/etc/nsswitch.conf", False, True),
        ("/etc/resolv.conf", 3, 1),
        ("/etc/hosts", ("127.0.0.1",), None),
        ("/etc/hosts", frozenset({"ldap", "ndots:3", "localhost"}), None),
    ]


async def test_the_system_s_policy_table_is_read_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As the C library does it, which reads `gai.conf` once in a process."""
    calls = iter([read_policy_table(str(tmp_path / "missing"))])
    monkeypatch.setattr("trio_nbconnect._connect.network.read_policy_table", lambda: next(calls))
    assert KernelNetwork().policy_table() is KernelNetwork().policy_table() is DEFAULT_POLICY_TABLE


def test_the_policy_table_of_a_file(tmp_path: Path) -> None:
    """RFC 6724, section 2.1: implementations "SHOULD" let the table be configured; `gai.conf` is how Linux does."""
    path = tmp_path / "gai.conf"
    path.write_bytes(b"# \xff\nprecedence ::ffff:0:0/96 100\n")
    assert read_policy_table(str(path)).classify(Address(socket.AF_INET, "192.0.2.1", 0))[0] == 100
