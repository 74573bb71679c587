"""Recording: every race of a block, and nothing else."""

from __future__ import annotations

import contextvars
import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import trio

import trio_nbconnect as nb
from trio_nbconnect._pictures.recording import Recording
from trio_nbconnect._pictures.text import render_text
from trio_nbconnect._pictures.timeline import RaceOutcome, timeline_of
from trio_nbconnect._race.journal import journal
from trio_nbconnect.testing import SimulatedNetwork
from trio_nbconnect.trace import AttemptEstablished, RaceLost, RaceStarted, RaceWon

from .race_script import RaceScript, script_of_a_won_race


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A server on loopback whose kernel accepts."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


async def connect(listener: socket.socket, *, through: nb.Connector | None = None) -> None:
    """Open a connection and close it."""
    stream = await (through or nb.Connector()).open_tcp_stream(*listener.getsockname())
    await trio.aclose_forcefully(stream)


async def test_a_recording_has_each_race_of_its_block(listener: socket.socket) -> None:
    await connect(listener)
    with nb.record() as recording:
        await connect(listener)
        await connect(listener)
    await connect(listener)

    assert len(recording) == 2
    assert [type(race.events[0]) for race in recording] == [RaceStarted, RaceStarted]
    assert [type(race.events[-1]) for race in recording] == [RaceWon, RaceWon]
    assert all(race.timeline == timeline_of(race.events) for race in recording)
    assert recording[-1].timeline.outcome is RaceOutcome.WON


async def test_a_recording_is_a_sequence(listener: socket.socket) -> None:
    with nb.record() as recording:
        assert not recording
        await connect(listener)
        await connect(listener)

    assert list(recording) == [recording[0], recording[1]]
    assert list(recording[1:]) == [recording[-1]]
    with pytest.raises(IndexError):
        recording[2]


async def test_tasks_that_the_block_starts_are_recorded(listener: socket.socket) -> None:
    with nb.record() as recording:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(connect, listener)
            nursery.start_soon(connect, listener)

    assert [race.timeline.outcome for race in recording] == [RaceOutcome.WON, RaceOutcome.WON]
    assert {race.timeline.race for race in recording} == {recording[0].timeline.race, recording[0].timeline.race + 1}


async def test_a_nested_block_is_in_both_recordings(listener: socket.socket) -> None:
    with nb.record() as outer:
        await connect(listener)
        with nb.record() as inner:
            await connect(listener)
        await connect(listener)

    assert (len(outer), len(inner)) == (3, 1)
    assert inner[0].events == outer[1].events


async def test_a_recording_ends_with_its_block_on_an_error_too(listener: socket.socket) -> None:
    def fail() -> None:
        raise RuntimeError

    with suppress(RuntimeError), nb.record() as recording:
        fail()
    await connect(listener)

    assert len(recording) == 0


async def test_a_race_under_way_can_be_looked_at(listener: socket.socket) -> None:
    with nb.record() as recording:

        async def look(stream: trio.SocketStream) -> RaceOutcome:
            await trio.aclose_forcefully(stream)
            return recording[0].timeline.outcome

        host, port = listener.getsockname()
        seen = await nb.Connector().connect(host, port, look)

    assert seen is RaceOutcome.UNDER_WAY
    assert recording[0].timeline.outcome is RaceOutcome.WON


async def test_a_lost_race_is_recorded_too(listener: socket.socket) -> None:
    name = listener.getsockname()
    listener.close()

    with nb.record() as recording, pytest.raises(nb.ConnectRefused) as caught:
        await nb.open_tcp_stream(*name)

    last = recording[0].events[-1]
    assert isinstance(last, RaceLost)
    assert last.error is caught.value


def test_races_of_several_runs_are_told_apart(listener: socket.socket) -> None:
    async def connect_once() -> None:
        await connect(listener)

    with nb.record() as recording:
        trio.run(connect_once)
        trio.run(connect_once)

    first, second = recording
    assert (second.timeline.race, second.timeline.run) == (first.timeline.race + 1, first.timeline.run + 1)
    assert sum(isinstance(event, AttemptEstablished) for event in first.events) == 1
    assert [type(event) for event in first.events] == [type(event) for event in second.events]


def test_as_text_a_race_is_its_waterfall() -> None:
    recording = Recording()
    for event in script_of_a_won_race().events * 2:
        recording._record(event)

    waterfall = render_text(timeline_of(script_of_a_won_race().events))
    assert str(recording[0]) == waterfall
    assert str(recording) == f"{waterfall}\n\n{waterfall}"
    assert repr(recording[0]) == "<RecordedRace example.org:443, won>"
    assert repr(recording) == "<Recording [<RecordedRace example.org:443, won>, <RecordedRace example.org:443, won>]>"


async def test_a_tracer_that_raises_does_no_harm_and_is_logged_once(
    listener: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(event: nb.trace.Event) -> None:
        raise ZeroDivisionError

    with nb.record() as recording, caplog.at_level(logging.ERROR, "trio_nbconnect"):
        await connect(listener, through=nb.Connector(tracer=broken))

    assert recording[0].timeline.outcome is RaceOutcome.WON
    assert [record.name for record in caplog.records] == ["trio_nbconnect"]


async def test_without_a_tracer_no_event_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nb.trace, "RaceLost", None)

    journal(None).race_lost(None)

    with nb.record(), pytest.raises(TypeError):
        journal(None).race_lost(None)


def test_a_race_can_have_a_scale() -> None:
    """Two races with one scale, as from a slider: equal times have equal lengths."""
    race = nb.RecordedRace(*script_of_a_won_race().events)

    scaled = race.with_scale(until=3)

    assert scaled.timeline == race.timeline
    assert "2000" in scaled.text()
    assert scaled.text() in scaled._repr_mimebundle_()["text/plain"]
    assert ">2000</text>" in scaled.svg(width=400)
    assert race.with_scale(until=0.1).text().count("704 ms") == race.text().count("704 ms")


@pytest.mark.parametrize("until", [0, -1, float("nan"), float("inf")])
def test_a_scale_is_a_positive_number(until: float) -> None:
    with pytest.raises(ValueError, match=f"until must be a positive number, not {until}"):
        nb.RecordedRace().with_scale(until)


def test_a_recording_keeps_the_latest_races() -> None:
    with nb.record(keep=2) as recording:
        for number in range(1, 5):
            for event in RaceScript(f"host{number}.example", race=number).events:
                recording._record(event)

    assert [race.timeline.host for race in recording] == ["host3.example", "host4.example"]
    assert recording.dropped == 2
    assert repr(recording).endswith(", 2 earlier ones dropped>")


def test_a_recording_forgets_what_is_over() -> None:
    """Or a block that lasts as long as a program would fill the memory."""
    with nb.record(keep=1) as recording:
        for race in range(1, 200):
            script = RaceScript(race=race)
            script.loses(0.1)
            for event in script.events:
                recording._record(event)

    assert (len(recording), len(recording._under_way)) == (1, 0)


@pytest.mark.parametrize("keep", [0, -1, float("nan"), None, "100"])
def test_a_recording_keeps_at_least_one_race(keep: object) -> None:
    with pytest.raises(ValueError, match=f"keep must be at least 1, not {keep!r}"), nb.record(keep=keep):  # type: ignore[arg-type]  # that is the point
        raise AssertionError


def test_runs_in_several_threads_are_told_apart() -> None:
    """Contexts are copied into the threads, and so is the recording's tracer."""
    ready = threading.Barrier(2, timeout=30)

    async def connect() -> None:
        async def establish(stream: trio.SocketStream) -> None:
            ready.wait()

        net = SimulatedNetwork()
        net.host("192.0.2.1").accepts()
        connector = nb.Connector(network=net)
        await connector.connect("192.0.2.1", 443, establish)

    with nb.record() as recording:
        contexts = [contextvars.copy_context() for _ in range(2)]
        threads = [threading.Thread(target=context.run, args=(trio.run, connect)) for context in contexts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert len({race.timeline.race for race in recording}) == len({race.timeline.run for race in recording}) == 2
    assert [race.timeline.outcome for race in recording] == [RaceOutcome.WON] * 2
    assert [len(race.events) for race in recording] == [6, 6]


# Files


@pytest.mark.parametrize(
    ("extension", "begins"),
    [
        (".svg", "<svg "),
        (".txt", "example.org:443  connected in 704 ms"),
        (".html", "<!DOCTYPE html>"),
        (".qlog", '{\n  "qlog_version"'),
        (".json", '{\n "traceEvents"'),
        (".jsonl", '{"event": "RaceStarted"'),
        (".SVG", "<svg "),
    ],
)
def test_a_race_and_a_recording_can_be_saved(extension: str, begins: str, tmp_path: Path) -> None:
    with nb.record() as recording:
        for event in script_of_a_won_race().events:
            recording._record(event)

    for thing in (recording, recording[0]):
        thing.save(tmp_path / f"race{extension}")
        assert (tmp_path / f"race{extension}").read_text("utf-8").startswith(begins)


def test_several_races_can_be_saved(tmp_path: Path) -> None:
    with nb.record() as recording:
        for event in script_of_a_won_race().events * 2:
            recording._record(event)

    for extension, count in ((".qlog", '"vantage_point"'), (".json", '"process_name"'), (".jsonl", '"RaceStarted"')):
        recording.save(path := str(tmp_path / f"races{extension}"))
        assert Path(path).read_text("utf-8").count(count) == 2
    recording.save(tmp_path / "races.svg")
    assert "2 of 2 connected" in (tmp_path / "races.svg").read_text("utf-8")
    recording.save(tmp_path / "races.html")
    assert (tmp_path / "races.html").read_text("utf-8").count("<img ") == 2


def test_an_unknown_extension_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"path must end with \.svg, .* or \.jsonl, not '.*race\.png'"):
        nb.RecordedRace(*script_of_a_won_race().events).save(tmp_path / "race.png")
    assert list(tmp_path.iterdir()) == []
