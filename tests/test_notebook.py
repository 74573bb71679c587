"""The parts of the extension: the guest run, background tasks, tracebacks, and what we use of IPython.

What cells do in a real kernel is in `test_notebook_kernel`.
"""

from __future__ import annotations

import asyncio
import bdb
import gc
import inspect
import math
import re
import signal
import socket
import sys
import threading
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Any, NoReturn, TypeVar, cast

import pytest
import trio
from ipykernel.ipkernel import IPythonKernel
from ipykernel.zmqshell import ZMQInteractiveShell
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

import trio_nbconnect as nb
from trio_nbconnect._errors import all_failed
from trio_nbconnect._listening import listening
from trio_nbconnect._notebook import tracebacks as _tracebacks
from trio_nbconnect._notebook.cells import Cells, CellTask
from trio_nbconnect._notebook.guest import Guest
from trio_nbconnect._notebook.interrupts import InterruptCount, Interrupts, _is_between_parts, _runs, defer_sigint
from trio_nbconnect._notebook.nursery import BackgroundNursery
from trio_nbconnect._notebook.shell import Shell
from trio_nbconnect._notebook.tracebacks import KEPT, LostRaces, shown_part
from trio_nbconnect._pictures.ipython import EXTENSION
from trio_nbconnect.notebook import load_ipython_extension, unload_ipython_extension
from trio_nbconnect.testing import SimulatedNetwork

if sys.version_info < (3, 11):
    from exceptiongroup import BaseExceptionGroup


T = TypeVar("T")


def test_ipython_has_what_we_use_of_it(shell: Any) -> None:
    """If this fails, IPython has changed, and `_shell`, `_cells` and `_tracebacks` must follow."""
    used = {*Shell.__annotations__, *(name for name, thing in vars(Shell).items() if inspect.isfunction(thing))}

    assert {"run_code", "showtraceback", "_showtraceback", "push", "CustomTB"} <= used
    assert {name for name in used if not name.startswith("__") and not hasattr(shell, name)} == {"kernel"}
    assert hasattr(ZMQInteractiveShell, "kernel")


def test_ipython_calls_what_we_replace_the_way_we_expect() -> None:
    """If this fails, IPython has changed, and `Cells` and `Tracebacks` must follow."""
    assert list(inspect.signature(InteractiveShell.run_code).parameters) == ["self", "code_obj", "result", "async_"]
    assert "await self.run_code(code, result, async_=asy)" in inspect.getsource(InteractiveShell.run_ast_nodes)
    shows = list(inspect.signature(InteractiveShell.showtraceback).parameters)
    assert shows == ["self", "exc_tuple", "filename", "tb_offset", "exception_only", "running_compiled_code"]
    assert list(inspect.signature(InteractiveShell._get_exc_info).parameters) == ["self", "exc_tuple"]
    assert list(inspect.signature(ZMQInteractiveShell._showtraceback).parameters) == ["self", "etype", "evalue", "stb"]


def test_the_kernel_awaits_cells_as_we_expect() -> None:
    """If this fails, ipykernel has changed, and `Interrupts` must follow."""
    source = inspect.getsource(IPythonKernel.do_execute)
    assert "shell.loop_runner is _asyncio_runner" in source
    assert "_cancel_on_sigint" in source
    assert "self.shell_handlers.get(msg_type" in inspect.getsource(IPythonKernel.dispatch_shell)
    assert "signal.signal(signal.SIGINT" in inspect.getsource(IPythonKernel._cancel_on_sigint)


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Be a shell without a loop, as on a terminal; one for each process, IPython says."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    config = Config()
    config.HistoryManager.enabled = False
    InteractiveShell.clear_instance()
    shell: Any = InteractiveShell.instance(config=config)
    shell.colors = (
        "nocolor" if hasattr(shell, "colors") and "nocolor" in str(type(shell).colors.__dict__) else shell.colors
    )
    yield shell
    unload_ipython_extension(shell)
    InteractiveShell.clear_instance()


def test_on_a_terminal_it_is_ipython_s_own_trio(shell: Any, capsys: pytest.CaptureFixture[str]) -> None:
    before = shell.loop_runner
    load_ipython_extension(shell)

    (line,) = capsys.readouterr().out.splitlines()
    assert "trio.run" in line
    assert shell.run_cell("import trio\nawait trio.sleep(0)\ntrio.current_time()").success
    assert not shell.run_cell("raise ValueError('no')").success
    assert re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).endswith("ValueError: no\n")
    unload_ipython_extension(shell)
    assert shell.loop_runner is before
    assert "showtraceback" not in vars(shell)
    assert listening.get() == ()


def test_on_a_terminal_a_failed_connect_shows_its_race(shell: Any, capsys: pytest.CaptureFixture[str]) -> None:
    load_ipython_extension(shell)
    capsys.readouterr()

    shell.run_cell("import trio_nbconnect as nb\nawait nb.open_tcp_stream('a.example', 1, addresses=['127.0.0.1'])")

    out = capsys.readouterr().out
    assert "a.example:1" in out.splitlines()[0]
    assert "ConnectRefused: all attempts to connect to a.example:1 failed" in out


def test_a_misuse_shows_the_user_s_lines_and_none_of_ours(shell: Any, capsys: pytest.CaptureFixture[str]) -> None:
    load_ipython_extension(shell)

    shell.run_cell("import trio_nbconnect as nb\nnb.compare()")

    out = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    assert "nb.compare()" in out
    assert "ValueError: compare needs two races or more, not 0" in out
    assert "summary.py" not in out


def test_unloading_what_was_not_loaded_is_fine(shell: Any) -> None:
    unload_ipython_extension(shell)

    assert not hasattr(shell, EXTENSION)


def test_a_shell_that_is_too_old_is_told_what_to_do() -> None:
    class Old:
        async def run_code(self, code: object) -> None: ...

    with pytest.raises(UsageError, match=r"Old .* needs IPython 8 .* trio\.run\(main\)"):
        load_ipython_extension(cast(Shell, Old()))


async def test_where_trio_runs_already_it_says_so(shell: Any) -> None:
    with pytest.raises(UsageError, match="%autoawait asyncio"):
        load_ipython_extension(shell)


def in_loop(main: Callable[[], Awaitable[None]]) -> None:
    """Run something on an asyncio loop, as a kernel does."""
    asyncio.run(main())  # type: ignore[arg-type]  # a coroutine


def test_a_guest_is_ended_at_once_and_with_it_what_runs_there() -> None:
    seen = []

    async def main() -> None:
        async def body() -> None:
            try:
                await trio.sleep_forever()
            finally:
                seen.append("cleaned up")

        guest = Guest(asyncio.get_running_loop(), body)
        await asyncio.sleep(0)
        assert guest.finish(within=60)
        assert seen == ["cleaned up"]
        assert not trio.lowlevel.in_trio_run()
        assert guest.finish(within=0)

    in_loop(main)


def test_a_guest_that_does_not_end_is_waited_for_no_longer_than_said() -> None:
    async def main() -> None:
        wanted = trio.Event()

        async def body() -> None:
            with trio.CancelScope(shield=True):
                await wanted.wait()

        guest = Guest(asyncio.get_running_loop(), body)
        await asyncio.sleep(0)
        assert not guest.finish(within=0)
        assert guest.is_ending
        wanted.set()
        assert guest.finish(within=60)

    in_loop(main)


def test_a_guest_is_ended_after_its_loop_is_closed() -> None:
    """So it is at the exit of a kernel."""
    guests = []

    async def main() -> None:
        guests.append(Guest(asyncio.get_running_loop(), trio.sleep_forever))
        await asyncio.sleep(0)

    loop = asyncio.new_event_loop()
    loop.run_until_complete(main())
    loop.close()

    assert guests[0].finish(within=60)


def test_a_guest_tells_why_it_has_ended() -> None:
    async def main() -> None:
        async def body() -> NoReturn:
            raise ValueError("mine")

        guest = Guest(asyncio.get_running_loop(), body)
        await asyncio.wait({guest.ended})
        assert repr(guest.ended.exception()) == "ValueError('mine')"

    in_loop(main)


class Reports:
    """What background tasks have failed with."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, BaseException]] = []

    def __call__(self, name: str, error: BaseException) -> None:
        self.heard.append((name, error))


async def test_background_tasks_are_guarded_from_each_other() -> None:
    reports = Reports()
    background = BackgroundNursery(reports)

    async def bad() -> NoReturn:
        raise ValueError("mine")

    async def both() -> None:
        """Be cancelled, and fail at that."""
        try:
            await trio.sleep_forever()
        finally:
            raise KeyError("cleaning up")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(background.keep_open)
        await trio.testing.wait_all_tasks_blocked()
        background.start_soon(bad)
        background.start_soon(both, name="both of them")
        background.start_soon(trio.sleep_forever)
        await trio.testing.wait_all_tasks_blocked()
        assert [(name, repr(error)) for name, error in reports.heard] == [
            ("test_background_tasks_are_guarded_from_each_other.<locals>.bad", "ValueError('mine')")
        ]
        assert len(background.child_tasks) == 2

        background.cancel_scope.cancel()
        await trio.testing.wait_all_tasks_blocked()
        assert reports.heard[-1][0] == "both of them"
        assert background.child_tasks == frozenset()

        background.start_soon(trio.sleep_forever)
        await trio.testing.wait_all_tasks_blocked()
        assert len(background.child_tasks) == 1
        nursery.cancel_scope.cancel()


async def test_a_background_task_is_its_starter_s_until_it_has_started() -> None:
    reports = Reports()
    background = BackgroundNursery(reports)
    go_on = trio.Event()

    async def early(task_status: trio.TaskStatus[int]) -> NoReturn:
        raise ValueError("early")

    async def late(task_status: trio.TaskStatus[int]) -> NoReturn:
        task_status.started(7)
        await go_on.wait()
        raise ValueError("late")

    async def twice(task_status: trio.TaskStatus[int]) -> None:
        task_status.started(7)
        task_status.started(8)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(background.keep_open)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(ValueError, match="early"):
            await background.start(early)
        assert await background.start(late) == 7
        assert reports.heard == []
        go_on.set()
        await trio.testing.wait_all_tasks_blocked()
        assert repr(reports.heard[-1][1]) == "ValueError('late')"
        assert await background.start(twice) == 7
        await trio.testing.wait_all_tasks_blocked()
        assert "called 'started' twice" in str(reports.heard[-1][1])
        nursery.cancel_scope.cancel()


async def test_a_wrong_call_is_an_error_at_once_and_in_trio_s_words() -> None:
    """Of `start_soon` and of `start`; nothing is reported, and nothing is left running or never awaited."""
    reports = Reports()
    background = BackgroundNursery(reports)

    async def works(argument: int) -> None: ...

    def plain() -> int:
        return 7

    async def generator() -> AsyncIterator[None]:
        yield

    cases: list[tuple[tuple[Any, ...], str]] = [
        ((works(1),), "Trio was expecting an async function, but instead it got a coroutine object"),
        ((plain,), "Trio expected an async function, but '.*plain' appears to be synchronous"),
        ((generator,), "start_soon expected an async function but got an async generator"),
        ((works,), "missing 1 required positional argument: 'argument'"),
        ((7,), "'int' object is not callable"),
    ]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(background.keep_open)
        await trio.testing.wait_all_tasks_blocked()
        for arguments, words in cases:
            with pytest.raises(TypeError, match=words):
                background.start_soon(*arguments)
        with pytest.raises(TypeError, match="unexpected keyword argument 'task_status'"):
            await background.start(works)
        assert background.child_tasks == frozenset()
        nursery.cancel_scope.cancel()
    assert reports.heard == []


def test_a_nursery_that_is_not_open_says_so() -> None:
    nursery = BackgroundNursery(Reports())

    assert repr(nursery) == "<nursery of background tasks, 0 running>"
    with pytest.raises(RuntimeError, match="not open"):
        nursery.start_soon(trio.sleep_forever)


def test_a_traceback_keeps_the_user_s_frames_in_their_order() -> None:
    def inner() -> NoReturn:
        raise ValueError

    with pytest.raises(ValueError, match=r"^$") as caught:
        inner()

    whole = caught.value.__traceback__
    part = shown_part(caught.value)
    assert part is not None
    assert part.tb_next is not None
    assert [part.tb_frame.f_code.co_name, part.tb_next.tb_frame.f_code.co_name] == [
        "test_a_traceback_keeps_the_user_s_frames_in_their_order",
        "inner",
    ]
    assert (part.tb_lineno, part.tb_lasti) == (whole and whole.tb_lineno, whole and whole.tb_lasti)
    assert shown_part(caught.value, without=(__name__,)) is None
    assert shown_part(ValueError()) is None


def failing_in(module: str, error: BaseException) -> BaseException:
    """Raise an error in a function of some module, called from here."""
    namespace: dict[str, Any] = {"__name__": module, "error": error}
    exec("def fail():\n    raise error", namespace)
    with pytest.raises(type(error)):
        namespace["fail"]()
    return error


@pytest.mark.parametrize(
    ("error", "module", "is_shown"),
    [
        (OSError("refused"), "trio_nbconnect._race.race", False),
        (TypeError("port must be int"), "trio_nbconnect._address", False),
        (AssertionError("a bug"), "trio_nbconnect._race.race", True),
        (AssertionError("a bug"), "trio_nbconnect._notebook.cells", False),
        (OSError("refused"), "trio_nbconnect_of_somebody_else", True),
        (OSError("refused"), "trio._core._run", False),
        (OSError("refused"), "trio._highlevel_socket", True),
    ],
)
def test_our_frames_are_shown_where_something_is_wrong_with_us(
    error: BaseException, module: str, is_shown: bool
) -> None:
    part = shown_part(failing_in(module, error))
    names = [frame.f_code.co_name for frame, _ in traceback.walk_tb(part)]

    assert names == ["failing_in", *(["fail"] if is_shown else [])]


def test_tracebacks_of_a_group_are_cut_inside_as_well_and_come_back() -> None:
    inner = failing_in("trio_nbconnect._race.race", OSError("refused"))
    group = BaseExceptionGroup("several", [inner])
    group.__cause__ = failing_in("trio_nbconnect._address", ValueError("a cause"))
    whole = inner.__traceback__

    lines = "\n".join(_tracebacks._formatted(group, None))

    assert "in failing_in" in lines
    assert "in fail\n" not in lines
    assert inner.__traceback__ is whole


@pytest.mark.virtual_time
async def test_lost_races_are_found_by_their_error_as_long_as_somebody_has_it() -> None:
    net, races = SimulatedNetwork(), LostRaces()
    net.host("192.0.2.1").refuses(after=0.1)
    net.host("192.0.2.2").accepts(after=0.1)
    connector = nb.Connector(network=net, tracer=races)

    errors = []
    for _ in range(KEPT + 1):
        with pytest.raises(nb.ConnectRefused) as caught:
            await connector.open_tcp_stream("a.example", 80, addresses=["192.0.2.1"])
        errors.append(caught.value)
    await (await connector.open_tcp_stream("a.example", 80, addresses=["192.0.2.2"])).aclose()
    with trio.move_on_after(0.05):
        await connector.open_tcp_stream("a.example", 80, addresses=["192.0.2.1"])

    assert races._under_way == {}
    assert races.race_of(errors[0]) is None
    race = races.race_of(errors[-1])
    assert race is not None
    assert race.timeline.error is errors[-1]
    reference = races._lost[-1][0]
    del caught, race, errors
    gc.collect()
    assert reference() is None


def test_an_error_is_marked_as_shown() -> None:
    races, error = LostRaces(), all_failed("a.example", 1, (), [OSError()])

    assert not races.is_shown(error)
    races.mark_as_shown(error)
    assert races.is_shown(error)


@pytest.mark.virtual_time
async def test_the_race_that_was_heard_is_shown_and_without_it_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[object] = []
    monkeypatch.setattr(_tracebacks, "display", shown.append)
    net, races = SimulatedNetwork(), LostRaces()
    net.host("192.0.2.1").refuses(after=0.1)
    shell = cast(Shell, SimpleNamespace(showtraceback=None))
    tracebacks = _tracebacks.Tracebacks(shell, races)
    errors = []
    for tracer in (races, None):
        connector = nb.Connector(network=net, tracer=tracer)
        with pytest.raises(nb.ConnectRefused) as caught:
            await connector.open_tcp_stream("a.example", 80, addresses=["192.0.2.1"])
        errors.append(caught.value)

    for error in [*errors, *errors]:  # the second time there is nothing new
        tracebacks.show_races(error)

    race, other = shown
    assert isinstance(race, nb.RecordedRace)
    assert race.timeline.error is errors[0]
    assert other is errors[1]


# Without the extension


@pytest.mark.parametrize(
    ("is_kernel", "words"),
    [
        (True, "Trio does not run this: say %load_ext trio_nbconnect.notebook before the first await"),
        (False, "Trio does not run this: begin with trio.run(main)"),
    ],
)
@pytest.mark.parametrize("connect", [nb.open_tcp_stream, nb.open_tls_stream, nb.open_ssl_over_tcp_stream])
def test_where_trio_does_not_run_it_says_what_to_do(
    connect: Callable[..., Awaitable[object]], is_kernel: bool, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not is_kernel:
        monkeypatch.delitem(sys.modules, "ipykernel")

    async def main() -> None:
        await connect("192.0.2.1", 443)

    with pytest.raises(RuntimeError) as caught:
        in_loop(main)
    assert str(caught.value) == words


# Interrupts


@pytest.fixture(autouse=True)
def sigint_raises() -> Iterator[None]:
    """SIGINT raises, also where the tests run in the background and were told to ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("moment", ["before", "between"])
def test_an_interrupt_between_two_parts_reaches_the_next_one(moment: str) -> None:
    """The kernel's own handler would cancel the cell once its loop comes round, and the next part may be a loop.

    It comes before IPython has asked whether one is due, or between that and the part.
    """
    interrupts, heard_by_the_kernel = Interrupts(), []
    endless = compile("while True: pass", "a cell", "exec")
    try:
        with interrupts.deferred():
            before = signal.signal(signal.SIGINT, lambda *_: heard_by_the_kernel.append("it"))
            with interrupts.raised_in(endless):
                pass
            if moment == "between":
                assert not interrupts.take_pending()
            signal.raise_signal(signal.SIGINT)
            if moment == "before":
                assert interrupts.take_pending()
            else:
                with pytest.raises(KeyboardInterrupt), interrupts.raised_in(endless):
                    exec(endless)
            assert not interrupts.take_pending()
            signal.signal(signal.SIGINT, before)
    finally:
        interrupts.close()
    assert not heard_by_the_kernel


def test_an_import_is_not_cut_off() -> None:
    """The interrupt comes when it is over."""
    steps: list[str] = []

    def load() -> None:
        with defer_sigint():
            signal.raise_signal(signal.SIGINT)
            steps.append("whole")

    with pytest.raises(KeyboardInterrupt):
        load()
    assert steps == ["whole"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_import_that_fails_leaves_no_handler_behind() -> None:
    with pytest.raises(ImportError), defer_sigint():
        raise ImportError
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("resent", [False, True])
def test_a_signal_that_finds_no_code_of_the_cell_waits(resent: bool) -> None:
    """It is counted once: when our own thread sends it again, nothing is new."""
    interrupts, code = Interrupts(), compile("pass", "a cell", "exec")
    interrupts.close()
    with interrupts.deferred(), interrupts.raised_in(code):
        handler: Any = signal.getsignal(signal.SIGINT)
        (count,) = (
            cell.cell_contents for cell in handler.__closure__ if isinstance(cell.cell_contents, InterruptCount)
        )
        count.is_resent = resent
        signal.raise_signal(signal.SIGINT)
        assert count.received == (0 if resent else 1)
    assert interrupts.take_pending() is not resent


def test_a_signal_that_is_sent_again_interrupts_no_protected_code() -> None:
    calls: list[Callable[[], None]] = []

    class Part:
        interrupts = InterruptCount()

        def interrupt(self) -> None:
            self.interrupts.handled = self.interrupts.received

    part, interrupts, protected = Part(), Interrupts(), True
    interrupts.close()
    with interrupts.deferred(), interrupts.cancelling(part, call_soon=calls.append, is_protected=lambda: protected):
        signal.raise_signal(signal.SIGINT)
        part.interrupts.is_resent = True
        signal.raise_signal(signal.SIGINT)
        protected = False
        part.interrupts.is_resent = True
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        (act,) = calls
        act()
        part.interrupts.is_resent = True
        signal.raise_signal(signal.SIGINT)  # it came too late
    assert part.interrupts.received == part.interrupts.handled == 1


def test_a_message_that_is_being_sent_is_not_cut_in_half() -> None:
    frames: list[FrameType | None] = []
    session: dict[str, Any] = {"__name__": "jupyter_client.session", "frames": frames}
    exec("import sys\ndef send():\n    frames.append(sys._getframe())", session)
    cell = compile("import sys\nframes.append(sys._getframe())\nsend()", "a cell", "exec")
    exec(cell, {"frames": frames, "send": session["send"]})

    assert [_runs(cell, frame) for frame in frames] == [True, False]


def test_a_cell_that_ipython_runs_is_between_its_parts() -> None:
    """Of the code that has asked for it; the code of a part has its own handler."""
    frames: list[FrameType | None] = []
    shell: dict[str, Any] = {"__name__": "IPython.core.interactiveshell", "frames": frames}
    exec("import sys\ndef run_cell_async():\n    frames.append(sys._getframe())", shell)
    cell = compile("import sys\nframes.append(sys._getframe())\nrun()", "a cell", "exec")
    exec(cell, {"frames": frames, "run": shell["run_cell_async"]})

    assert [_is_between_parts(cell, frame) for frame in frames] == [False, True]


def test_an_interrupt_between_inner_parts_waits_for_the_next_one() -> None:
    interrupts, shell = Interrupts(), {"__name__": "IPython.core.interactiveshell", "signal": signal}
    exec("def run_cell_async():\n    signal.raise_signal(signal.SIGINT)", shell)
    outer = compile("run()", "a cell", "exec")
    inner = compile("while True: pass", "a cell in it", "exec")
    with interrupts.deferred(), interrupts.raised_in(outer):
        exec(outer, {"run": shell["run_cell_async"]})
        with pytest.raises(KeyboardInterrupt), interrupts.raised_in(inner, nested=True):
            exec(inner)
    assert not interrupts.take_pending()
    interrupts.close()


def test_an_interrupt_after_a_cell_is_ignored() -> None:
    """In the kernel's own code it would cost the reply, or end the kernel, which ignores it until the next request."""
    interrupts = Interrupts()
    interrupts.close()
    with interrupts.deferred():
        pass
    signal.raise_signal(signal.SIGINT)

    assert not interrupts.take_pending()


def in_thread(function: Callable[[], T]) -> T:
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(function).result()


def test_in_another_thread_signals_are_not_ours() -> None:
    before = signal.getsignal(signal.SIGINT)

    def defer() -> object:
        interrupts = Interrupts()
        interrupts.close()
        with interrupts.deferred(), defer_sigint():
            return signal.getsignal(signal.SIGINT)

    assert in_thread(defer) is before


def test_a_guest_runs_in_another_thread() -> None:
    async def main() -> None:
        guest = Guest(asyncio.get_running_loop(), trio.sleep_forever)
        await asyncio.sleep(0)
        called: list[str] = []
        guest.call_soon(lambda: called.append("it"))
        assert guest.advance(lambda: bool(called), within=math.inf)
        assert guest.finish(within=60)

    in_thread(lambda: in_loop(main))


# Cells


class FakeShell:
    """As much of a shell as `Cells` and `Tracebacks` use, and what they have done with it."""

    trio_runner: Any = None
    call_pdb = False
    custom_exceptions = (ZeroDivisionError,)

    def __init__(self) -> None:
        self.kernel = SimpleNamespace(shell_handlers={"execute_request": "the kernel's"})
        self.calls: list[tuple[str, object]] = []
        self.user_ns: dict[str, Any] = {}
        self.user_global_ns = self.user_ns

    async def run_code(self, code: object, result: object = None, *, async_: bool = False) -> bool:
        self.calls.append(("run_code", async_))
        return False

    def showtraceback(self, shown: Any, **options: Any) -> None:
        self.calls.append(("showtraceback", options.get("exception_only", False)))

    def CustomTB(self, kind: object, error: object, trace: object) -> None:  # noqa: N802 - IPython's name
        self.calls.append(("CustomTB", kind))

    def _get_exc_info(self, shown: Any) -> Any:
        return shown

    def _showtraceback(self, kind: object, error: object, lines: list[str]) -> None:
        self.calls.append(("_showtraceback", kind))

    def debugger(self, force: bool = False) -> None:
        self.calls.append(("debugger", force))


@pytest.fixture
def fake() -> Iterator[tuple[Any, Cells]]:
    """A shell, and the cells of this thread in it; none of them awaits."""
    shell: Any = FakeShell()
    cells = Cells(shell, cast(Guest, SimpleNamespace(thread=threading.current_thread())), lambda _: None)
    yield shell, cells
    cells.close()


def test_what_somebody_has_put_over_us_stays(fake: tuple[Any, Cells]) -> None:
    shell, cells = fake
    ours = shell.run_code, shell.trio_runner, shell.kernel.shell_handlers["execute_request"]
    shell.run_code = shell.trio_runner = shell.kernel.shell_handlers["execute_request"] = "somebody's"
    cells.close()
    assert shell.run_code == shell.trio_runner == shell.kernel.shell_handlers["execute_request"] == "somebody's"

    shell.run_code, shell.trio_runner, shell.kernel.shell_handlers["execute_request"] = ours
    cells.close()
    assert "run_code" not in vars(shell)
    assert (shell.trio_runner, shell.kernel.shell_handlers["execute_request"]) == (None, "the kernel's")


def test_another_thread_s_cells_are_ipython_s(fake: tuple[Any, Cells]) -> None:
    shell, cells = fake
    code = compile("pass", "a cell", "exec")

    assert in_thread(lambda: asyncio.run(cells._run_code(code, async_=True))) is False
    assert shell.calls == [("run_code", True)]


def test_a_part_that_comes_after_an_interrupt_is_not_begun(fake: tuple[Any, Cells]) -> None:
    shell, cells = fake
    cells._interrupts._is_pending = True
    result = SimpleNamespace(error_in_exec=None)

    assert shell.trio_runner(cells._run_code(compile("pass", "a cell", "exec"), result)) is True
    assert isinstance(result.error_in_exec, KeyboardInterrupt)
    assert shell.calls == [("showtraceback", False)]


@pytest.mark.parametrize(
    ("error", "calls"),
    [
        (ValueError(), [("showtraceback", False)]),
        (SystemExit(), [("showtraceback", True)]),
        (ZeroDivisionError(), [("CustomTB", ZeroDivisionError)]),
        (bdb.BdbQuit(), []),
    ],
)
def test_errors_are_shown_as_ipython_shows_them(
    fake: tuple[Any, Cells], error: BaseException, calls: list[tuple[str, object]]
) -> None:
    shell, cells = fake
    with pytest.warns(UserWarning, match="To exit") if isinstance(error, SystemExit) else nullcontext():
        cells._show(error, None)

    assert shell.calls == calls


def test_a_cell_that_waits_for_something_else_cannot_be_run_inside(fake: tuple[Any, Cells]) -> None:
    class Something:
        def __await__(self) -> Generator[None, None, None]:
            yield

    async def cell() -> None:
        await Something()

    shell, _ = fake
    with pytest.raises(RuntimeError, match="awaits something else than Trio"):
        shell.trio_runner(cell())


def test_a_debugger_is_opened_on_a_group_where_the_user_wants_it() -> None:
    shell: Any = FakeShell()
    tracebacks = _tracebacks.Tracebacks(shell, LostRaces())
    group = BaseExceptionGroup("several", [ValueError()])
    for call_pdb in (False, True):
        shell.call_pdb = call_pdb
        shell.showtraceback((type(group), group, None))
    assert [name for name, _ in shell.calls] == ["_showtraceback", "_showtraceback", "debugger"]

    shell.showtraceback = "somebody's"
    tracebacks.close()
    assert shell.showtraceback == "somebody's"


@pytest.mark.parametrize(("words", "is_said"), [("'await' outside function", True), ("invalid syntax", False)])
def test_only_an_await_is_commented_on(words: str, is_said: bool, capsys: pytest.CaptureFixture[str]) -> None:
    shell: Any = FakeShell()
    _tracebacks.Tracebacks(shell, LostRaces())
    error = SyntaxError(words)
    shell.showtraceback((SyntaxError, error, None))

    assert ("%%capture can await" in capsys.readouterr().err) is is_said


def test_a_race_that_was_heard_in_part_is_not_remembered() -> None:
    races = LostRaces()
    races(nb.trace.AttemptCancelled(race=7, time=0.0, attempt=1, address=nb.Address(socket.AF_INET, "192.0.2.1", 80)))

    assert races._under_way == {}


def test_a_cancellation_of_the_kernel_s_own_is_an_interrupt(fake: tuple[Any, Cells]) -> None:
    """It comes where the kernel's handler was called in place of ours."""
    _, cells = fake

    async def main() -> None:
        loop = asyncio.get_running_loop()
        cells._guest = cast(Guest, SimpleNamespace(ended=loop.create_future(), call_soon=loop.call_soon))
        done: asyncio.Future[None] = loop.create_future()
        part = SimpleNamespace(done=done, interrupts=InterruptCount(), interrupt=lambda: done.set_result(None))
        waiting = loop.create_task(cells._wait(cast(CellTask, part)))
        await asyncio.sleep(0)
        waiting.cancel()
        await waiting

    in_loop(main)


async def test_a_part_that_is_over_is_not_interrupted(autojump_clock: trio.abc.Clock) -> None:
    """The first interrupt cancels it, the second leaves it, the third finds it left."""
    loop = asyncio.new_event_loop()
    part = CellTask(shielded(), loop)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(part.run)
        await trio.testing.wait_all_tasks_blocked()
        is_over = []
        for _ in range(3):
            part.interrupt()
            is_over.append(part.done.done())
        assert is_over == [False, True, True]
        assert "goes on in the background" in str(part.error())
        nursery.cancel_scope.cancel()
    loop.close()


async def shielded() -> None:
    """Take no notice of the first cancellation."""
    with trio.CancelScope(shield=True), trio.move_on_after(0.1):
        await trio.sleep_forever()
