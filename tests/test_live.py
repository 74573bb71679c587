"""Watching a race: when it is drawn, what comes back, and that nothing of it does harm."""

from __future__ import annotations

import io
import os
import pty
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from types import SimpleNamespace
from typing import NoReturn

import pytest
import trio
from rich.text import Text

import trio_nbconnect as nb
from trio_nbconnect.__main__ import main
from trio_nbconnect._listening import listening
from trio_nbconnect._pictures.recording import Recording
from trio_nbconnect._pictures.timeline import AttemptOutcome, RaceOutcome, Timeline, timeline_of
from trio_nbconnect._pictures.watch import (
    INTERVAL,
    PlainOutput,
    TerminalOutput,
    _LivePicture,
    as_of,
    find_output,
    headroom,
    picture,
    watch_on,
)
from trio_nbconnect.notebook import watch
from trio_nbconnect.testing import SimulatedNetwork

from .race_script import START, RaceScript


class FakeOutput:
    """An output that keeps all that it was shown."""

    def __init__(self) -> None:
        self.pictures: list[Sequence[Timeline]] = []
        self.last: list[bool] = []
        self.prepared = False
        self.under_way = trio.Event()

    def __enter__(self) -> FakeOutput:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def prepare(self) -> None:
        self.prepared = True

    def show(self, timelines: Sequence[Timeline], *, is_last: bool) -> None:
        self.pictures.append(timelines)
        self.last.append(is_last)
        if len({picture[-1].duration for picture in self.pictures if picture[-1].attempts}) >= 3:
            self.under_way.set()

    @property
    def outcomes(self) -> list[list[RaceOutcome]]:
        """How the races stood in each picture."""
        return [[timeline.outcome for timeline in picture] for picture in self.pictures]


@pytest.fixture
def output() -> FakeOutput:
    """An output that is not displayed."""
    return FakeOutput()


@pytest.fixture
def net() -> SimulatedNetwork:
    """A network where one address is silent, and the other accepts."""
    net = SimulatedNetwork()
    net.host("192.0.2.1").drops()
    net.host("192.0.2.2").accepts(after=0.1)
    return net


BOTH = ["192.0.2.1", "192.0.2.2"]


@pytest.mark.virtual_time
async def test_the_result_is_returned_and_the_last_picture_is_final(output: FakeOutput, net: SimulatedNetwork) -> None:
    connector = nb.Connector(network=net)

    stream = await watch_on(output, lambda: connector.open_tcp_stream("a.example", 80, addresses=BOTH))

    assert stream.socket.getpeername()[0] == "192.0.2.2"
    assert output.outcomes[-1] == [RaceOutcome.WON]
    assert output.last == [False] * (len(output.last) - 1) + [True]
    assert trio.current_time() == pytest.approx(0.35)
    await stream.aclose()


@pytest.mark.virtual_time
async def test_the_very_error_comes_through(output: FakeOutput, net: SimulatedNetwork) -> None:
    error = OSError("mine")

    async def fail() -> NoReturn:
        raise error

    with pytest.raises(OSError, match="mine") as caught:
        await watch_on(output, fail)

    assert caught.value is error
    assert output.pictures == []


@pytest.mark.virtual_time
async def test_autojump_still_jumps(output: FakeOutput, net: SimulatedNetwork) -> None:
    """A day in which nothing happens is no reason to draw."""
    connector = nb.Connector(network=net)

    with pytest.raises(nb.ConnectTimeout):
        await watch_on(
            output,
            lambda: connector.open_tcp_stream("a.example", 80, addresses=["192.0.2.1"], give_up_after=24 * 3600),
        )

    assert trio.current_time() == pytest.approx(24 * 3600)
    assert len(output.pictures) < 10


async def test_on_a_real_clock_bars_grow_while_nothing_happens(output: FakeOutput, net: SimulatedNetwork) -> None:
    connector = nb.Connector(network=net)

    async def until_it_has_grown() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: connector.open_tcp_stream("a.example", 80, addresses=["192.0.2.1"]))
            await output.under_way.wait()
            nursery.cancel_scope.cancel()

    await watch_on(output, until_it_has_grown)

    durations = [picture[0].duration for picture in output.pictures]
    assert durations == sorted(durations)
    assert output.outcomes[-1] == [RaceOutcome.CANCELLED]


async def test_a_short_race_is_drawn_only_when_it_is_over(output: FakeOutput) -> None:
    """A picture takes longer than a connect on loopback, and would be part of what it shows."""
    async with (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0] as listener:
        stream = await watch_on(output, lambda: nb.open_tcp_stream(*listener.socket.getsockname()))
        await stream.aclose()

    assert output.prepared
    assert output.last == [True]


async def test_there_is_a_pause_between_pictures(output: FakeOutput, net: SimulatedNetwork) -> None:
    """Or each event of a fast race would be drawn."""
    net.host("192.0.2.3").accepts(after=0.005)
    connector = nb.Connector(network=net)

    async def connect_thrice() -> None:
        for _ in range(3):
            await (await connector.open_tcp_stream("a.example", 80, addresses=["192.0.2.3"])).aclose()

    began = trio.current_time()
    await watch_on(output, connect_thrice)

    assert len(output.pictures) <= 2 + (trio.current_time() - began) / INTERVAL


def live_picture(output: FakeOutput) -> _LivePicture:
    """A picture of nothing yet."""
    return _LivePicture(Recording(), output)


@pytest.mark.virtual_time
async def test_pictures_wait_until_no_task_is_runnable(output: FakeOutput) -> None:
    steps = 0

    async def run() -> None:
        nonlocal steps
        for _ in range(5):
            await trio.lowlevel.checkpoint()
            steps += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        await live_picture(output)._wait_until_idle()
        assert steps == 5


@pytest.mark.virtual_time
async def test_pictures_do_not_wait_for_ever(output: FakeOutput) -> None:
    async def run() -> None:
        while True:
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        await live_picture(output)._wait_until_idle()
        nursery.cancel_scope.cancel()


@pytest.mark.virtual_time
async def test_pictures_wait_for_a_deadline_that_is_near(output: FakeOutput) -> None:
    picture = live_picture(output)
    picture._cost = 0.02
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep, 0.01)
        nursery.start_soon(trio.sleep, 0.1)
        await trio.lowlevel.checkpoint()
        await picture._wait_until_idle()
        assert trio.current_time() == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("lasted", "axis"), [(0.0, 0.5), (0.4, 0.5), (0.42, 1.0), (0.9, 2.0), (4.2, 10.0), (50.0, 100.0), (1e9, 2e6)]
)
def test_the_axis_has_room_and_grows_in_steps(lasted: float, axis: float) -> None:
    timeline = as_of(timeline_of(RaceScript().events), START + lasted)

    assert headroom([timeline]) == axis


@pytest.mark.virtual_time
async def test_several_races_are_shown_together(output: FakeOutput, net: SimulatedNetwork) -> None:
    connector = nb.Connector(network=net)

    async def twice() -> None:
        for _ in range(2):
            await (await connector.open_tcp_stream("a.example", 80, addresses=["192.0.2.2"])).aclose()

    await watch_on(output, twice)

    assert output.outcomes[-1] == [RaceOutcome.WON, RaceOutcome.WON]


@pytest.mark.virtual_time
async def test_a_cancelled_race_is_shown_and_the_cancellation_goes_on(
    output: FakeOutput, net: SimulatedNetwork
) -> None:
    connector = nb.Connector(network=net)

    with trio.move_on_after(1) as scope:
        await watch_on(output, lambda: connector.open_tcp_stream("a.example", 80, addresses=["192.0.2.1"]))

    assert scope.cancelled_caught
    assert output.outcomes[-1] == [RaceOutcome.CANCELLED]


@pytest.mark.virtual_time
async def test_a_cancellation_does_not_replace_the_result(output: FakeOutput, net: SimulatedNetwork) -> None:
    connector = nb.Connector(network=net)
    stream = None

    with trio.CancelScope() as scope:

        async def connect_and_cancel() -> trio.SocketStream:
            stream = await connector.open_tcp_stream("a.example", 80, addresses=BOTH)
            scope.cancel()
            return stream

        stream = await watch_on(output, connect_and_cancel)

    assert stream is not None
    await trio.aclose_forcefully(stream)
    assert net.open_sockets == 0


@pytest.mark.virtual_time
async def test_an_output_that_fails_closes_no_connection(
    net: SimulatedNetwork, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(FakeOutput):
        def show(self, timelines: Sequence[Timeline], *, is_last: bool) -> None:
            super().show(timelines, is_last=is_last)
            raise BrokenPipeError

    broken = Broken()
    connector = nb.Connector(network=net)

    await (await watch_on(broken, lambda: connector.open_tcp_stream("a.example", 80, addresses=BOTH))).aclose()

    assert len(broken.pictures) == 1
    assert "no more pictures" in caplog.text


@pytest.mark.virtual_time
async def test_no_tracer_is_left_afterwards(output: FakeOutput) -> None:
    await watch_on(output, trio.lowlevel.checkpoint)

    assert listening.get() == ()


@pytest.mark.virtual_time
async def test_a_race_under_way_is_drawn_as_of_now(net: SimulatedNetwork) -> None:
    connector = nb.Connector(network=net)

    with nb.record() as recording, trio.move_on_after(0.2):
        await connector.open_tcp_stream("a.example", 80, addresses=["192.0.2.1"])

    under_way = nb.RecordedRace(*recording[0].events[:3]).timeline
    assert (under_way.outcome, under_way.duration) == (RaceOutcome.UNDER_WAY, 0)
    later = as_of(under_way, under_way.began + 0.1)
    assert later.duration == pytest.approx(0.1)
    assert later.attempts[0].ended == pytest.approx(0.1)
    assert later.attempts[0].outcome is AttemptOutcome.UNDER_WAY
    assert as_of(recording[0].timeline, under_way.began + 9) == recording[0].timeline


async def test_without_a_terminal_the_last_picture_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    async with (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0] as listener:
        stream = await watch(nb.open_tcp_stream, "127.0.0.1", port := listener.socket.getsockname()[1])
        await stream.aclose()

    out = capsys.readouterr().out
    assert out.startswith(f"127.0.0.1:{port}  connected in ")
    assert out.count("connected in ") == 1


def test_a_terminal_needs_rich(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "rich"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "rich", None)
    monkeypatch.setattr(sys, "stdout", Tty())

    with pytest.raises(ImportError, match=r"trio-nbconnect\[cli\]"):
        find_output()


class Tty(io.StringIO):
    """A terminal, to those who only ask."""

    def isatty(self) -> bool:
        return True


@pytest.mark.virtual_time
async def test_a_terminal_shows_the_newest_races_that_fit(
    net: SimulatedNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    connector = nb.Connector(network=net)
    with nb.record() as recording:
        for name in ("one.example", "two.example", "three.example"):
            await (await connector.open_tcp_stream(name, 80, addresses=["192.0.2.2"])).aclose()
    timelines = [race.timeline for race in recording]
    shown: list[str] = []
    terminal = TerminalOutput(width=60, color=False)
    lines = len(picture(timelines[:1], width=60, color=False).splitlines())

    def update(text: Text, *, refresh: bool) -> None:
        shown.append(text.plain)

    live = SimpleNamespace(console=SimpleNamespace(height=2 * lines + 3, encoding="utf-8"), update=update)
    monkeypatch.setattr(terminal, "_live", live)

    terminal.show(timelines, is_last=False)
    terminal.show(timelines, is_last=True)

    assert ["one.example" in shown[0], "two.example" in shown[0], "three.example" in shown[0]] == [False, True, True]
    assert "one.example" in shown[1]
    assert [text.endswith("\n ") for text in shown] == [True, False]  # ^C has a line of its own while it goes on


def test_a_terminal_and_a_pipe_have_different_outputs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", Tty())
    assert isinstance(find_output(), TerminalOutput)
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert isinstance(find_output(), PlainOutput)


def on_terminal(
    *arguments: str, columns: int = 70, lines: int = 40, interrupt_at: str | None = None
) -> tuple[int, str]:
    """Run the command on a terminal, and return its exit code and all it wrote; type Ctrl-C at some output."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": str(columns), "LINES": str(lines), "PYTHONUTF8": "1"}
    command = [sys.executable, "-W", "error", "-m", "trio_nbconnect", *arguments]
    written = b""
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        while chunk := _read(ours):
            written += chunk
            if interrupt_at is not None and interrupt_at in written.decode(errors="ignore"):
                os.kill(process.pid, signal.SIGINT)
                interrupt_at = None
    os.close(ours)
    return process.returncode, written.decode()


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # a terminal without a writer
        return b""


def test_the_command_draws_on_a_terminal_while_the_race_runs() -> None:
    code, written = on_terminal("demo", "--watch", "--color", "never")

    assert code == 0
    assert written.index("under way") < written.rindex("✓ won")
    last = written[written.rindex("  connected in ") :]
    assert last.count("✓ won") == 1
    assert "127.0.0.6  would accept as well" in last
    assert all(len(line) <= 70 for line in last.splitlines() if "│" in line)


def test_control_c_leaves_a_clean_screen() -> None:
    """The last picture is whole, the cursor is back, and there is no traceback."""
    with socket.socket() as listener, socket.socket() as first:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        first.connect(listener.getsockname())  # the accept queue is full: others have no answer
        address, port = listener.getsockname()

        code, written = on_terminal(address, str(port), "--watch", "--color", "never", interrupt_at="under way")

    last = written[written.rindex("  cancelled after ") :]
    assert code == 130
    assert "⊘ cancelled" in last
    assert "Traceback" not in written
    assert written.rindex("\x1b[?25h") > written.rindex("\x1b[?25l")


def test_the_command_draws_once_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--watch"]) == 0

    assert capsys.readouterr().out.count("✓ won") == 1


def test_what_is_watched_is_no_json(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["127.0.0.1", "1", "--watch", "--json"])

    assert left.value.code == 2
    assert "--watch" in capsys.readouterr().err


def test_the_command_says_which_extra_it_needs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "rich"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "rich", None)
    monkeypatch.setattr(sys, "stdout", Tty())

    with pytest.raises(SystemExit) as left:
        main(["127.0.0.1", "1", "--watch"])

    assert left.value.code == 2
    assert "trio-nbconnect[cli]" in capsys.readouterr().err


WITHOUT_PYTEST = """
import socket, sys, trio
import trio_nbconnect as nb
from trio_nbconnect.__main__ import main

async def connect():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        await (await nb.watch(nb.open_tcp_stream, *listener.getsockname())).aclose()

trio.run(connect)
main(["demo", "--attempt-delay", "0.01"])
print(*sorted({"pytest", "trio.testing"} & set(sys.modules)), file=sys.stderr)
"""


def test_watch_and_the_command_import_no_pytest() -> None:
    """`trio.testing` imports it where it is installed, which takes 40 ms."""
    run = subprocess.run([sys.executable, "-c", WITHOUT_PYTEST], capture_output=True, text=True, check=True)

    assert run.stdout.count("connected in") == 2
    assert run.stderr == "\n"
