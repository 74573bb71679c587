"""The extension in real kernels: what a notebook's cells do, and what the frontend is told.

One kernel serves all tests but the last; it is the standard one, with no configuration. Each test begins with the
extension loaded, and must leave neither sockets nor background tasks behind.
"""

from __future__ import annotations

import os
import queue
import re
import textwrap
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

FILES_OF_OURS = "trio_nbconnect/_"
"""How the path of a private file goes on; the checkout, and the environment in it, may have the project's name too."""

PATIENCE = 60.0
"""Seconds; nothing here takes one, but on a busy machine."""

HELPERS = """
import os, socket, sys, time
import trio, trio.testing, trio_nbconnect as nb

def sockets():
    found = 0
    for name in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                with socket.socket(fileno=os.dup(int(name))) as sock:
                    found += sock.family == socket.AF_INET
        except OSError:
            pass
    return found

async def say_go():
    print("GO", flush=True)

at_first = sockets()
"""


GUIDE = (Path(__file__).parent.parent / "notebooks" / "README.md").read_text("utf-8")
CELLS = re.findall(r"^```ipython\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)


@dataclass
class Reply:
    """What a cell has come to: the reply to its request, and what it has shown, in order."""

    status: str = ""
    error: str = ""
    shown: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def text(self, stream: str = "stdout") -> str:
        """What was printed."""
        return "".join(
            content["text"] for kind, content in self.shown if kind == "stream" and content["name"] == stream
        )

    def of(self, *kinds: str) -> list[dict[str, Any]]:
        """The outputs of these kinds."""
        return [content for kind, content in self.shown if kind in kinds]

    @property
    def kinds(self) -> list[str]:
        """The kinds of all outputs."""
        return [kind for kind, _ in self.shown]

    @property
    def value(self) -> str:
        """What the last line was worth."""
        (result,) = self.of("execute_result")
        return str(result["data"]["text/plain"])


class Kernel:
    """A kernel, and a frontend that runs cells in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manager = KernelManager(kernel_name="python3", transport="ipc", ip=str(folder / "k"))
        self.client: BlockingKernelClient

    def start(self, *arguments: str) -> None:
        self.stderr = (self.folder / "stderr").open("wb")
        self.manager.start_kernel(stderr=self.stderr, extra_arguments=list(arguments))
        self.client = self.manager.blocking_client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=PATIENCE)

    def stop(self) -> str:
        """Shut it down, and return what it has complained of outside of cells."""
        self.client.stop_channels()
        self.client.context.destroy()
        self.manager.shutdown_kernel()
        self.manager.cleanup_resources()
        self.stderr.close()
        return (self.folder / "stderr").read_text()

    def run(self, code: str, *, interrupt_after: Sequence[str] = ()) -> Reply:
        """Run a cell; interrupt it once it has printed a word, and again after the next one."""
        request = self.client.execute(textwrap.dedent(code), stop_on_error=False)
        words = list(interrupt_after)
        reply = Reply()
        is_idle = False
        while not is_idle:
            message = self._next(self.client.get_iopub_msg, request)
            kind, content = message["msg_type"], message["content"]
            is_idle = kind == "status" and content["execution_state"] == "idle"
            if kind not in {"status", "execute_input"}:
                reply.shown.append((kind, content))
            if words and words[0] in reply.text():
                self.manager.interrupt_kernel()
                del words[0]
        content = self._next(self.client.get_shell_msg, request)["content"]
        reply.status, reply.error = content["status"], content.get("ename", "")
        return reply

    def _next(self, receive: Any, request: str) -> dict[str, Any]:
        """Receive what belongs to a request."""
        give_up_at = time.monotonic() + PATIENCE
        while time.monotonic() < give_up_at:
            try:
                message: dict[str, Any] = receive(timeout=PATIENCE)
            except queue.Empty:
                break
            if message["parent_header"].get("msg_id") == request:
                return message
        raise TimeoutError(f"the kernel says nothing; its standard error:\n{(self.folder / 'stderr').read_text()}")


@pytest.fixture(autouse=True)
def no_socket_left_open() -> None:
    """Stand in for the fixture of that name: ZeroMQ opens and closes sockets of this process when it likes."""


@pytest.fixture(scope="module")
def environment() -> Iterator[None]:
    """Use the kernel of this environment, whatever else the user has, and none of their profile."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_PREFER_ENV_PATH", "1")
        patch.setenv("PYDEVD_DISABLE_FILE_VALIDATION", "1")
        yield


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, environment: None) -> Iterator[Kernel]:
    """Have one kernel for all tests that do not end it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IPYTHONDIR", str(tmp_path_factory.mktemp("ipython")))
        kernel = Kernel(tmp_path_factory.mktemp("kernel"))
        kernel.start()
        try:
            assert kernel.run(HELPERS).status == "ok"
            yield kernel
        finally:
            kernel.stop()


@pytest.fixture
def kernel(running: Kernel) -> Iterator[Kernel]:
    """Have the extension loaded, and see to it that a test leaves nothing behind."""
    assert running.run("%load_ext trio_nbconnect.notebook\nawait trio.sleep(0)").status == "ok"
    yield running
    left = running.run("%load_ext trio_nbconnect.notebook\nsockets() - at_first, len(nursery.child_tasks)")
    assert left.value == "(0, 0)"


def test_await_works_in_the_cell_that_loads_the_extension(kernel: Kernel) -> None:
    assert kernel.run("%unload_ext trio_nbconnect.notebook").shown == []

    reply = kernel.run("%load_ext trio_nbconnect.notebook\nbegan = trio.current_time()\nawait trio.sleep(0)\nbegan > 0")

    assert (reply.status, reply.value) == ("ok", "True")


def test_sockets_and_background_tasks_live_across_cells(kernel: Kernel) -> None:
    serve = """
    async def echo(stream):
        async with stream:
            async for data in stream:
                await stream.send_all(data.upper())

    import functools
    (listener,) = await nursery.start(functools.partial(trio.serve_tcp, echo, 0, host="127.0.0.1"))
    stream = await nb.open_tcp_stream("127.0.0.1", listener.socket.getsockname()[1])
    """
    assert kernel.run(serve).shown == []
    assert kernel.run("await stream.send_all(b'hello')").shown == []
    assert kernel.run("(await stream.receive_some(), len(nursery.child_tasks))").value == "(b'HELLO', 1)"
    assert kernel.run("await stream.aclose()\nnursery.cancel_scope.cancel()").shown == []
    assert kernel.run("while nursery.child_tasks: await trio.sleep(0)").status == "ok"


def test_a_recording_is_shown_by_a_later_cell(kernel: Kernel) -> None:
    connect = """
    with socket.create_server(("127.0.0.1", 0)) as listener, nb.record() as recording:
        await (await nb.open_tcp_stream(*listener.getsockname())).aclose()
    """
    assert kernel.run(connect).shown == []
    assert "connected in " in kernel.run("print(recording)").text()


def test_pieces_of_a_cell_share_context_variables(kernel: Kernel) -> None:
    reply = kernel.run("""
    import contextvars
    word = contextvars.ContextVar("word", default="none")

    async def say(text):
        before = word.get()
        word.set(text)
        return before

    word.set("sync")
    first = await say("async")
    (first, word.get())
    """)

    assert reply.value == "('sync', 'async')"


def test_what_anyio_makes_in_a_sync_cell_is_trio_s(kernel: Kernel) -> None:
    """An event or a lock is made where there is no `await`, and used where there is one."""
    made = kernel.run("import anyio\nlock, event, limit = anyio.Lock(), anyio.Event(), anyio.CapacityLimiter(1)")
    assert made.status == "ok"
    reply = kernel.run("""
    send, receive = anyio.create_memory_object_stream(1)
    semaphore, condition = anyio.Semaphore(1), anyio.Condition()
    async def set_it():
        await anyio.sleep(0)
        async with lock, semaphore, condition, limit:
            event.set()
            await send.send("fine")
    async with anyio.create_task_group() as group:
        group.start_soon(set_it)
        with anyio.fail_after(30):
            await event.wait()
            result = await receive.receive()
    send.close(), receive.close()
    result
    """)

    assert (reply.status, reply.value) == ("ok", "'fine'")
    assert kernel.run("%unload_ext trio_nbconnect.notebook\nimport sniffio\nsniffio.thread_local.name").shown == []


MAGICS = {
    "%%capture": "%%capture out\nprint(await go())",
    "run_cell": "out = get_ipython().run_cell('print(await go())')",
    "in a run_cell": "out = get_ipython().run_cell('get_ipython().run_cell(\\'print(await go())\\')')",
    "%%capture of several": "%%capture out\nimport os\nfor _ in range(2): await go()\nprint(await go())",
}


@pytest.mark.parametrize("code", MAGICS.values(), ids=MAGICS.keys())
def test_a_magic_that_runs_a_cell_can_await(kernel: Kernel, code: str) -> None:
    kernel.run("""
    async def go():
        with socket.create_server(("127.0.0.1", 0)) as listener:
            await (await nb.open_tcp_stream(*listener.getsockname())).aclose()
        await trio.sleep(0.01)
        return "connected"
    """)
    reply = kernel.run(code)

    assert (reply.status, reply.text("stderr")) == ("ok", "")
    assert "connected" in reply.text() or kernel.run("out.stdout").value == "'connected\\n'"
    assert kernel.run("await trio.sleep(0)\n'fine'").value == "'fine'"


def test_an_error_in_such_a_cell_is_shown(kernel: Kernel) -> None:
    reply = kernel.run("%%capture\nawait trio.sleep(0)\nraise ValueError('inside')")

    assert [error["ename"] for error in reply.of("error")] == ["ValueError"] or "inside" in str(reply.shown)
    assert kernel.run("await trio.sleep(0)\n'fine'").value == "'fine'"


def test_code_that_trio_runs_cannot_run_a_cell(kernel: Kernel) -> None:
    reply = kernel.run("async def f(): return get_ipython().run_cell('await trio.sleep(0)')\n(await f()).error_in_exec")

    assert "await the functions themselves" in reply.value
    assert kernel.run("async def f(): get_ipython().run_cell('x = 5')\nawait f()\nx").value == "5"


@pytest.mark.parametrize("code", ["%time await trio.sleep(0)", "%%timeit -n1 -r1\nawait trio.sleep(0)"])
def test_a_magic_that_cannot_await_says_so(kernel: Kernel, code: str) -> None:
    reply = kernel.run(code)

    assert reply.error == "SyntaxError"
    assert "compile their code themselves, without `await`; %%capture can await" in reply.text("stderr")


SAYS_GO_FROM_A_THREAD = """
from threading import Thread
get_ipython().run_cell("await trio.sleep(0)")
Thread(target=print, args=["GO"]).start()
while True: pass
"""
"""So that the interrupt does not fall into the middle of a print."""


@pytest.mark.parametrize(
    "code",
    [
        "out = get_ipython().run_cell('await say_go()\\nawait trio.sleep_forever()')",
        "out = get_ipython().run_cell('await say_go()\\nwhile True: pass')",
        "out = get_ipython().run_cell('async def spin():\\n    await say_go()\\n    while True: pass\\nawait spin()')",
        SAYS_GO_FROM_A_THREAD,
    ],
)
def test_an_interrupt_reaches_a_cell_inside_of_a_cell(kernel: Kernel, code: str) -> None:
    """There it ends the inner cell, as ever in IPython; after that, the outer one."""
    reply = kernel.run(code, interrupt_after=["GO"])

    assert "KeyboardInterrupt" in (reply.error or kernel.run("type(out.error_in_exec).__name__").value)
    assert kernel.run("await trio.sleep(0)\n'fine'").value == "'fine'"


def test_an_interrupt_reaches_what_is_captured(kernel: Kernel) -> None:
    """What it prints does not come out, so that it sends the signal itself."""
    interrupt = "threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()"
    kernel.run(f"%%capture out\nimport signal, threading\n{interrupt}\nawait trio.sleep_forever()")

    assert kernel.run("await trio.sleep(0)\n'fine'").value == "'fine'"


def test_a_coroutine_where_a_function_should_be_is_told_at_once(kernel: Kernel) -> None:
    reply = kernel.run("nursery.start_soon(trio.sleep(1))")

    assert reply.error == "TypeError"
    assert "Trio was expecting an async function" in reply.of("error")[0]["evalue"]
    assert reply.text("stderr") == ""


def test_a_forgotten_extension_is_said(kernel: Kernel) -> None:
    kernel.run("%unload_ext trio_nbconnect.notebook")
    reply = kernel.run("await nb.open_tcp_stream('127.0.0.1', 9)")

    assert reply.error == "RuntimeError"
    assert "%load_ext trio_nbconnect.notebook" in reply.of("error")[0]["evalue"]


ENDLESS = {
    "an await": "await say_go()\nawait trio.sleep_forever()",
    "a loop in a cell without await": "print('GO', flush=True)\nwhile True: pass",
    "a loop between awaits": "await say_go()\nwhile True: pass",
    "a loop in async code": "async def spin():\n    await say_go()\n    while True: pass\nawait spin()",
    "a picture a moment": "while True: display('GO'), print('GO')",
    "a sleep that is not trio's": "async def sleep():\n    await say_go()\n    time.sleep(1000)\nawait sleep()",
    "tasks of the cell": """
        async with trio.open_nursery() as nursery:
            (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
            nursery.start_soon(trio.serve_listeners, lambda stream: trio.sleep_forever(), [listener])
            async with await nb.open_tcp_stream(*listener.socket.getsockname()) as stream:
                nursery.start_soon(stream.receive_some)
                await say_go()
                await trio.sleep_forever()
    """,
    "a race": """
        with socket.create_server(("127.0.0.2", 0), backlog=0) as silent:
            full = [socket.socket() for _ in range(3)]
            for sock in full:
                sock.setblocking(False)
                sock.connect_ex(silent.getsockname())
            try:
                await say_go()
                await nb.open_tcp_stream("a.example", silent.getsockname()[1], addresses=["127.0.0.2"])
            finally:
                for sock in full: sock.close()
    """,
}


@pytest.mark.parametrize("code", ENDLESS.values(), ids=ENDLESS.keys())
def test_an_interrupt_ends_what_a_cell_does_and_the_next_one_works(kernel: Kernel, code: str) -> None:
    """The fixture counts what is left."""
    reply = kernel.run(code, interrupt_after=["GO"])

    assert (reply.status, reply.error) == ("error", "KeyboardInterrupt")
    assert [error["ename"] for error in reply.of("error")] == ["KeyboardInterrupt"]
    assert kernel.run("await trio.sleep(0)\n'fine'").value == "'fine'"


def test_an_interrupt_says_where_the_cell_was_and_nothing_of_what_runs_it(kernel: Kernel) -> None:
    code = "async def wait():\n    await say_go()\n    await trio.sleep_forever()\nawait wait()"
    (error,) = kernel.run(code, interrupt_after=["GO"]).of("error")

    trace = "\n".join(error["traceback"])
    assert "sleep_forever" in trace
    assert "site-packages" not in trace
    assert FILES_OF_OURS not in trace


def test_what_does_not_end_is_left_at_the_second_interrupt(kernel: Kernel) -> None:
    stubborn = """
    wanted = trio.Event()
    async def stay():
        with trio.CancelScope(shield=True):
            await wanted.wait()
        print("after all")
    try:
        await say_go()
        await trio.sleep_forever()
    finally:
        print("AGAIN", flush=True)
        await stay()
    """
    reply = kernel.run(stubborn, interrupt_after=["GO", "AGAIN"])

    assert reply.error == "KeyboardInterrupt"
    assert "goes on in the background" in reply.of("error")[0]["evalue"]
    assert kernel.run("wanted.set()\nawait trio.sleep(0)\n'fine'").value == "'fine'"


def test_a_background_task_that_fails_is_reported_and_harms_nobody(kernel: Kernel) -> None:
    begin = """
    going_on = trio.Event()
    failed = trio.Event()

    async def good():
        await going_on.wait()

    async def bad():
        try:
            raise ValueError("no good")
        finally:
            failed.set()

    nursery.start_soon(good)
    nursery.start_soon(bad)
    await failed.wait()
    await trio.testing.wait_all_tasks_blocked()
    """
    reply = kernel.run(begin)

    assert reply.status == "ok"
    assert "background task 'bad' has failed" in reply.text("stderr")
    assert "in bad\n" in reply.text("stderr")
    assert "ValueError: no good" in reply.text("stderr")
    assert kernel.run("len(nursery.child_tasks)").value == "1"
    assert kernel.run("going_on.set()\nwhile nursery.child_tasks: await trio.sleep(0)").status == "ok"


def test_a_task_that_fails_before_it_has_started_is_its_starter_s_business(kernel: Kernel) -> None:
    reply = kernel.run("async def bad(task_status): raise ValueError('too early')\nawait nursery.start(bad)")

    assert (reply.error, reply.text("stderr")) == ("ValueError", "")


def test_the_name_of_the_nursery_comes_back_after_a_cell_has_used_it(kernel: Kernel) -> None:
    assert kernel.run("async with trio.open_nursery() as nursery: pass").status == "ok"
    assert kernel.run("nursery").value == "<nursery of background tasks, 0 running>"


GROUPS = {
    "sync": ("raise ExceptionGroup('both', [ValueError(1), KeyError(2)])", "ValueError: 1"),
    "async": ("await trio.sleep(0)\nraise ExceptionGroup('both', [ValueError(1), KeyError(2)])", "ValueError: 1"),
    "nursery": ("async with trio.open_nursery() as n: n.start_soon(trio.sleep, 'long')", "TypeError"),
    "context": ("try: raise ExceptionGroup('both', [ValueError(1)])\nfinally: raise KeyError(2)", "ValueError: 1"),
    "hidden": ("try: raise ExceptionGroup('both', [ValueError(1)])\nfinally: raise KeyError(2) from None", "KeyError"),
    "cause": ("error = KeyError(2)\nerror.__cause__ = ExceptionGroup('a', [ValueError(1)])\nraise error", "ValueError"),
}


@pytest.mark.parametrize(("code", "shown"), GROUPS.values(), ids=GROUPS.keys())
def test_a_group_is_an_error_like_any_other(kernel: Kernel, code: str, shown: str) -> None:
    backport = "import sys\nif sys.version_info < (3, 11): from exceptiongroup import ExceptionGroup\n"
    reply = kernel.run(backport + code)

    assert reply.status == "error"
    assert reply.kinds == ["error"]
    (error,) = reply.of("error")
    assert error["ename"] == reply.error
    trace = "\n".join(error["traceback"])
    assert shown in trace
    assert "interactiveshell.py" not in trace
    assert FILES_OF_OURS not in trace


CONNECTS = {
    "itself": "await nb.open_tcp_stream('a.example', 1, addresses=['127.0.0.1'])",
    "in a group": "async with trio.open_nursery() as n: n.start_soon(lambda: nb.open_tcp_stream('a.example', 1, "
    "addresses=['127.0.0.1']))",
    "behind another": "try: await nb.open_tcp_stream('a.example', 1, addresses=['127.0.0.1'])\n"
    "except OSError as error: raise ValueError('no') from error",
}


@pytest.mark.parametrize("code", CONNECTS.values(), ids=CONNECTS.keys())
def test_a_failed_connect_shows_its_race_once(kernel: Kernel, code: str) -> None:
    reply = kernel.run(code)

    assert reply.kinds == ["display_data", "error"]
    trace = "\n".join(reply.of("error")[0]["traceback"])
    assert not re.findall(r"trio_nbconnect[/.]_\w+", trace), "a private place is shown"
    (picture,) = reply.of("display_data")
    assert "a.example:1" in picture["data"]["text/plain"]
    assert "✗ refused" in picture["data"]["text/plain"]
    assert 'src="data:image/svg+xml;base64,' in picture["data"]["text/html"]


def test_what_is_shown_is_the_race_as_it_was_heard(kernel: Kernel) -> None:
    """Not what the error alone knows."""
    kernel.run("try: await nb.open_tcp_stream('a.example', 1, addresses=['127.0.0.1'])\nexcept OSError as e: error = e")

    reply = kernel.run(
        "[type(event).__name__ for event in get_ipython()._trio_nbconnect_extension.races.race_of(error).events]"
    )

    assert "AnswerReceived" in reply.value
    assert reply.value.endswith("'RaceLost']")


def test_a_race_is_watched(kernel: Kernel) -> None:
    reply = kernel.run("""
    from trio_nbconnect.notebook import watch
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stream = await watch(nb.open_tcp_stream, *listener.getsockname())
    await stream.aclose()
    """)

    assert reply.status == "ok"
    pictures = reply.of("display_data", "update_display_data")
    assert len(reply.of("display_data")) == 1
    assert "connected in " in pictures[-1]["data"]["text/plain"]
    assert 'src="data:image/svg+xml;base64,' in pictures[-1]["data"]["text/html"]


def test_a_watched_failure_is_not_drawn_twice(kernel: Kernel) -> None:
    reply = kernel.run(
        "from trio_nbconnect.notebook import watch\n"
        "await watch(nb.open_tcp_stream, 'a.example', 1, addresses=['127.0.0.1'])"
    )

    assert reply.error == "ConnectRefused"
    assert len(reply.of("display_data")) == 1


def test_unloading_restores_everything(kernel: Kernel) -> None:
    """At once: a `trio.run` in the same cell has the thread for itself."""
    reply = kernel.run("""
    async def clean_up():
        try:
            await trio.sleep_forever()
        finally:
            print("cleaned up")
    nursery.start_soon(clean_up)
    await trio.sleep(0)
    %unload_ext trio_nbconnect.notebook
    import asyncio
    await asyncio.sleep(0)
    trio.run(trio.sleep, 0)
    from trio_nbconnect._listening import listening
    shell = get_ipython()
    ("nursery" in globals(), "run_code" in vars(shell), "showtraceback" in vars(shell), listening.get())
    """)

    assert reply.text() == "cleaned up\n"
    assert reply.value == "(False, False, False, ())"
    assert kernel.run("await trio.sleep(0)").error == "RuntimeError"


def test_a_background_task_that_does_not_end_keeps_the_extension_loaded(kernel: Kernel) -> None:
    patience = "import trio_nbconnect._notebook.extension as extension\nextension._PATIENCE"
    kernel.run(
        f"""
    wanted = trio.Event()
    async def stay():
        with trio.CancelScope(shield=True):
            await wanted.wait()
    nursery.start_soon(stay)
    await trio.sleep(0)
    {patience} = 0.05
    """.replace("\nextension", "\n    extension")
    )

    reply = kernel.run("%unload_ext trio_nbconnect.notebook")

    assert reply.error == "TimeoutError"
    assert "background tasks do not end" in reply.of("error")[0]["evalue"]
    kernel.run(f"wanted.set()\n{patience} = 10.0")
    assert kernel.run("%unload_ext trio_nbconnect.notebook").shown == []


def test_the_rest_of_a_cell_that_unloads_is_interrupted_as_ever(kernel: Kernel) -> None:
    code = "%unload_ext trio_nbconnect.notebook\nprint('GO', flush=True)\nwhile True: pass"

    assert kernel.run(code, interrupt_after=["GO"]).error == "KeyboardInterrupt"


def test_a_nursery_of_the_user_s_own_stays(kernel: Kernel) -> None:
    assert kernel.run("nursery = 'mine'\n%unload_ext trio_nbconnect.notebook").shown == []
    assert kernel.run("nursery").value == "'mine'"


def test_reloading_starts_anew(kernel: Kernel) -> None:
    reply = kernel.run("before = nursery\n%reload_ext trio_nbconnect.notebook\nawait trio.sleep(0)\nbefore is nursery")

    assert (reply.status, reply.value) == ("ok", "False")


def test_loading_twice_is_loading_once(kernel: Kernel) -> None:
    reply = kernel.run(
        "before = nursery\nimport trio_nbconnect.notebook as extension\n"
        "extension.load_ipython_extension(get_ipython())\nbefore is nursery"
    )

    assert reply.value == "True"


def test_a_cell_cannot_end_the_run_that_runs_it(kernel: Kernel) -> None:
    reply = kernel.run(
        "async def f():\n    get_ipython().run_line_magic('unload_ext', 'trio_nbconnect.notebook')\nawait f()"
    )

    assert reply.error == "RuntimeError"
    assert kernel.run("await trio.sleep(0)\n'fine'").value == "'fine'"


def test_a_signal_wakes_the_kernel(kernel: Kernel) -> None:
    """Or else one that comes just before the loop falls asleep is heard only when something else happens."""
    tell = "import signal\nwakeup = signal.set_wakeup_fd(-1)\nsignal.set_wakeup_fd(wakeup)\nwakeup != -1"

    assert kernel.run(tell).value == "True"
    assert kernel.run("%unload_ext trio_nbconnect.notebook\n" + tell).value == "False"


def test_when_trio_itself_fails_cells_say_so_and_do_not_hang(kernel: Kernel) -> None:
    reply = kernel.run("""
    async def bad():
        raise ValueError("in a system task")
    trio.lowlevel.spawn_system_task(bad)
    await trio.sleep_forever()
    """)

    assert reply.error == "RuntimeError"
    assert "%reload_ext" in reply.of("error")[0]["evalue"]
    assert "in a system task" in "".join(reply.of("error")[0]["traceback"])
    assert kernel.run("await trio.sleep(0)").error == "RuntimeError"
    assert kernel.run("%reload_ext trio_nbconnect.notebook\nawait trio.sleep(0)\n'fine'").value == "'fine'"


def test_a_kernel_with_autoawait_trio_is_taken_over(kernel: Kernel) -> None:
    assert kernel.run("%unload_ext trio_nbconnect.notebook").status == "ok"
    assert kernel.run("%autoawait trio").status == "ok"
    same = kernel.run("%load_ext trio_nbconnect.notebook\nawait trio.sleep(0)")
    assert "%autoawait asyncio" in same.text("stderr")

    assert kernel.run("%load_ext trio_nbconnect.notebook").status == "ok"
    assert kernel.run("await trio.sleep(0)\nlen(nursery.child_tasks)").value == "0"
    assert (
        kernel.run("%unload_ext trio_nbconnect.notebook\nget_ipython().loop_runner.__name__").value == "'_trio_runner'"
    )
    assert kernel.run("%autoawait asyncio").status == "ok"


def test_the_cells_of_the_guide_run(kernel: Kernel) -> None:
    assert len(CELLS) >= 2
    replies = [kernel.run(code) for code in CELLS]

    assert [reply.status for reply in replies] == ["ok"] * len(CELLS)
    assert "connected in " in replies[0].of("update_display_data", "display_data")[-1]["data"]["text/plain"]
    assert replies[1].value == "b'hello'"
    end = "await stream.aclose()\nlistener.socket.close()\nnursery.cancel_scope.cancel()"
    assert kernel.run(f"{end}\nwhile nursery.child_tasks: await trio.sleep(0)").status == "ok"


def test_a_question_to_the_user_is_interrupted(kernel: Kernel) -> None:
    request = kernel.client.execute("input()", allow_stdin=True, stop_on_error=False)
    assert kernel._next(kernel.client.get_stdin_msg, request)["msg_type"] == "input_request"

    kernel.manager.interrupt_kernel()

    assert kernel._next(kernel.client.get_shell_msg, request)["content"]["ename"] == "KeyboardInterrupt"


def test_an_interrupt_at_any_moment_costs_no_reply(kernel: Kernel) -> None:
    """The kernel's own code is not interrupted, but what comes next in the cell."""
    code = "x = 1\nawait trio.sleep(0)\nx = 2\nawait trio.sleep(0)"
    for moment in range(60):
        request = kernel.client.execute(code, stop_on_error=False)
        while kernel._next(kernel.client.get_iopub_msg, request)["msg_type"] != "execute_input":
            pass
        for _ in range(moment * 60):
            os.stat(kernel.folder)  # a microsecond or two
        kernel.manager.interrupt_kernel()
        content = kernel._next(kernel.client.get_shell_msg, request)["content"]
        assert content["status"] == "ok" or content["ename"] == "KeyboardInterrupt"


def test_an_interrupt_that_comes_too_late_does_not_end_the_kernel(kernel: Kernel) -> None:
    """The cell is over, and the kernel has not yet gone back to ignoring it."""
    late = """
    kernel, after_the_cell = get_ipython().kernel, get_ipython().kernel.post_handler_hook
    def interrupt_it():
        kernel.post_handler_hook = after_the_cell
        os.kill(os.getpid(), 2)
        after_the_cell()
    kernel.post_handler_hook = interrupt_it
    """
    assert kernel.run(late).status == "ok"
    assert kernel.run("kernel.post_handler_hook == after_the_cell").value == "True"


def test_a_kernel_is_restarted_and_shut_down_without_a_word(tmp_path: Path, environment: None) -> None:
    """With a background task. With a cell in flight ipykernel itself may complain, whatever the cell does.

    Background tasks have their chance to clean up.
    """
    kernel = Kernel(tmp_path)
    kernel.start("--InteractiveShellApp.extra_extensions=trio_nbconnect.notebook")
    busy = f"""
    import pathlib, trio
    async def work():
        try:
            await trio.sleep_forever()
        finally:
            pathlib.Path({str(tmp_path / "ended")!r}).touch()
    await trio.sleep(0)
    nursery.start_soon(work)
    await trio.sleep(0)
    """
    assert kernel.run(busy).status == "ok"

    kernel.manager.restart_kernel()
    kernel.client.wait_for_ready(timeout=PATIENCE)

    assert (tmp_path / "ended").exists()
    assert kernel.run(busy).status == "ok"
    assert kernel.stop() == ""
