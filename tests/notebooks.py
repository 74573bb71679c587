"""The notebooks: read, executed, written; `python -m tests.notebooks` does it for all, or for those that are named.

A notebook is a `.py` file in Jupytext's percent format, the one that is edited, and beside it an `.ipynb` with the
outputs, which is made from it. Here is how:

1. A kernel of its own runs the cells, in an empty folder. A cell that fails fails the notebook, an exception group as
   well: what counts is the kernel's reply, since IPython reports groups in no output.
2. A second client receives all that the kernel publishes. Output on standard error fails the notebook, and so does
   output of a cell that is over, of a task in the background, say: readers see it, and nbclient drops it.
3. What is different each time is taken out: timestamps, versions, the ids of cells and widgets, how output was split.
4. A cell tagged `varies` shows real durations or ports. As long as its source is the same, and the output the same but
   for numbers, the committed output is kept: so executing the notebooks again changes no byte of them. Of a cell tagged
   `depends-on-machine`, too, the words may differ: a name server may be missing, or IPv6.

A cell tagged `raises-exception` must raise.
"""

from __future__ import annotations

import argparse
import asyncio
import difflib
import json
import os
import re
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import jupytext
import nbformat
from jupyter_client.manager import AsyncKernelManager
from jupyter_core.utils import run_sync
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

FOLDER = Path(__file__).parent.parent / "notebooks"

VARIES = "varies"
DEPENDS = "depends-on-machine"
RAISES = "raises-exception"

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
WIDGET_STATE = "application/vnd.jupyter.widget-state+json"

KERNEL = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}

_PLACES = re.compile(r"(?<=\")/[^\"]*/(?=ipykernel_|trio_nbconnect/|site-packages/)")
"""Where, on the machine that ran a notebook, the files of a traceback are."""

OUTPUTS = frozenset(("stream", "display_data", "update_display_data", "execute_result", "error"))
"""The messages that change what a reader sees."""

_MARKUP = re.compile(r"\x1b\[[0-9;]*m|\bin <[^>]*>|\b(ms|s)\b|\bexceptiongroup\.")
"""What comes and goes with the numbers of a text, and with the version of Python."""

AT_ONCE = 2
"""How many kernels run side by side."""

Notebook: TypeAlias = Any
"""What nbformat reads: attributes for whatever is in the file."""

Cell: TypeAlias = Any

PATIENCE = 30
"""Seconds for a cell. nbclient talks to widgets on the channel on which it waits, and in one run of fifty it sleeps on
over a reply that has arrived; it finds it when the time is over."""


def sources() -> list[Path]:
    """Find the notebooks."""
    return sorted(FOLDER.glob("*.py"))


def read(source: Path) -> Notebook:
    """Read a notebook in percent format: no outputs yet."""
    notebook = jupytext.read(source, fmt="py:percent")
    notebook.metadata = nbformat.from_dict({"kernelspec": KERNEL})
    for number, cell in enumerate(notebook.cells, start=1):
        cell.id = f"cell-{number:02}"
    return notebook


def committed(source: Path) -> Notebook | None:
    """Return a notebook with the outputs that it was committed with."""
    path = source.with_suffix(".ipynb")
    return nbformat.read(path, as_version=4) if path.exists() else None


def execute(notebook: Notebook) -> str:
    """Run all cells; return what went wrong, and fill in the outputs. Once more, if a reply was slept over."""
    with suppress(CellTimeoutError):
        return _execute(notebook)
    try:
        return _execute(notebook)
    except CellTimeoutError as error:
        return str(error)


def _execute(notebook: Notebook) -> str:
    with tempfile.TemporaryDirectory() as folder:
        kernel = AsyncKernelManager(
            kernel_name=KERNEL["name"], transport="ipc", connection_file=f"{folder}/kernel.json"
        )
        client = NotebookClient(notebook, km=kernel, timeout=PATIENCE, resources={"metadata": {"path": folder}})
        reader = Reader(client)
        client.on_notebook_start, client.on_cell_executed = reader.start, reader.catch_up
        try:
            client.execute(env=os.environ | {"IPYTHONDIR": folder, "PYTHONUTF8": "1"})
        except (CellExecutionError, DeadKernelError) as error:
            return str(error)
        finally:
            run_sync(reader.stop)()
            run_sync(kernel.shutdown_kernel)(now=True)
    quiet = [cell.id for cell in code_cells(notebook) if RAISES in tags(cell) and not has_failed(cell)]
    if quiet:
        reader.complaints.append(f"these cells must raise: {quiet}")
    return "\n".join(reader.complaints)


class Reader:
    """A second client of a kernel, which receives all that a reader would see.

    Args:
        client: The first one, which asks for what both receive.
    """

    def __init__(self, client: NotebookClient) -> None:
        self._asking: Any = client
        self._client: Any = None
        self._task: asyncio.Task[None] | None = None
        self._running: dict[str, str] = {}  # the code of the cells that are running, by the id of the request
        self._idle: dict[str, asyncio.Event] = {}
        self.complaints: list[str] = []

    async def start(self, **_: object) -> None:
        """Connect, and wait until the first message has arrived: subscriptions take time."""
        self._client = self._asking.km.client()
        self._client.start_channels(shell=False, stdin=False, hb=False, control=False)
        self._task = asyncio.create_task(self._receive())
        while not await self._answers_within(0.2):
            pass

    async def catch_up(self, **_: object) -> None:
        """Wait for all that the kernel has published until now."""
        await self._answers_within(PATIENCE)

    async def stop(self) -> None:
        """Disconnect."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._client.stop_channels()

    async def _answers_within(self, seconds: float) -> bool:
        """Ask the kernel for anything; return whether the end of the answer came in time."""
        request = self._asking.kc.kernel_info()
        idle = self._idle[request] = asyncio.Event()
        try:
            await asyncio.wait_for(idle.wait(), seconds)
        except asyncio.TimeoutError:  # in Python 3.10 it is not the built-in
            return False
        return True

    async def _receive(self) -> None:
        while True:
            self.take(await self._client.iopub_channel.get_msg(timeout=None))

    def take(self, message: dict[str, Any]) -> None:
        """Take in one message."""
        kind, content = message["msg_type"], message["content"]
        request = message["parent_header"].get("msg_id", "")
        if kind == "execute_input":
            self._running[request] = content["code"]
        elif kind == "status" and content["execution_state"] == "idle":
            self._running.pop(request, None)
            if request in self._idle:
                self._idle[request].set()
        elif kind in OUTPUTS:
            self._check(request, content)

    def _check(self, request: str, content: dict[str, Any]) -> None:
        shown = content.get("text") or content.get("ename") or content.get("data", {}).get("text/plain", "a picture")
        if request not in self._running:
            self.complaints.append(f"a cell that is over shows: {shown}")
        elif content.get("name") == "stderr":
            self.complaints.append(f"on standard error: {shown}")


def code_cells(notebook: Notebook) -> list[Cell]:
    """Return the cells that hold code."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def tags(cell: Cell) -> Sequence[str]:
    """Return the tags of a cell."""
    found: Sequence[str] = cell.metadata.get("tags", [])
    return found


def has_failed(cell: Cell) -> bool:
    """Whether a cell shows an error."""
    return any(output.output_type == "error" for output in cell.outputs)


def kinds(cell: Cell) -> list[tuple[str, ...]]:
    """What kind of output a cell has: the types, the formats of each, and what it raises."""
    return [
        (output.output_type, output.get("name", ""), output.get("ename", ""), *sorted(output.get("data", {})))
        for output in cell.get("outputs", [])
    ]


def words(cell: Cell) -> list[list[str]]:
    """The words of each output of a cell: no numbers and their units, no bars, no lines that point at code."""
    texts = [
        output.get("text") or output.get("data", {}).get("text/plain") or "\n".join(output.get("traceback", []))
        for output in cell.get("outputs", [])
    ]
    return [re.findall(r"[^\W\d_]+", _MARKUP.sub(" ", text)) for text in texts]


def clean(notebook: Notebook) -> Notebook:
    """Take out what is different each time; return a notebook that is equal whenever it ought to be."""
    notebook.metadata.pop("language_info", None)
    for cell in code_cells(notebook):
        cell.metadata.pop("execution", None)
        cell.outputs = list(_joined(cell.outputs))
        for output in cell.outputs:
            if output.output_type == "error":
                output.traceback = [_PLACES.sub("", line) for line in output.traceback]
            if WIDGET_VIEW in output.get("data", {}):
                output.data |= _still(output.data[WIDGET_VIEW].model_id, _widget_states(notebook))
    text = json.dumps(notebook)
    for number, identity in enumerate(_widgets(notebook), start=1):
        text = text.replace(identity, f"{number:032x}")
    return nbformat.from_dict(json.loads(text))


def keep_what_varies(notebook: Notebook, before: Notebook | None) -> None:
    """Give cells that vary the output they had before, as far as it still is theirs."""
    for cell, old in zip(code_cells(notebook), code_cells(before) if before else [], strict=False):
        is_same = cell.source == old.source and tags(cell) == tags(old) and kinds(cell) == kinds(old)
        if is_same and (DEPENDS in tags(cell) or (VARIES in tags(cell) and words(cell) == words(old))):
            cell.outputs = old.outputs


def text_of(notebook: Notebook) -> str:
    """Return what is written to the file."""
    return str(nbformat.writes(notebook)) + "\n"


def rewritten(source: Path, *, afresh: bool = False) -> tuple[str, str]:
    """Execute a notebook; return what is to be written to its file, and what went wrong."""
    notebook = read(source)
    wrong = execute(notebook)
    notebook = clean(notebook)
    if not afresh:
        keep_what_varies(notebook, committed(source))
    return text_of(notebook), wrong


def complaints(source: Path) -> str:
    """Execute a notebook; return what went wrong, or how it differs from the file beside it; nothing if all is well."""
    text, wrong = rewritten(source)
    path = source.with_suffix(".ipynb")
    before = path.read_text("utf-8") if path.exists() else ""
    lines = difflib.unified_diff(before.splitlines(), text.splitlines(), "committed", "executed", lineterm="", n=8)
    return wrong or "\n".join(line[:200] for line in lines)


def all_complaints(sources: Sequence[Path]) -> dict[str, str]:
    """Say of each notebook what there is to complain of; a few are executed at once."""
    with ThreadPoolExecutor(AT_ONCE) as threads:
        return dict(zip(map(str, sources), threads.map(complaints, sources), strict=True))


def _joined(outputs: Iterable[Any]) -> Iterator[Any]:
    """Join what was printed to the same stream in a row: where it was split is chance."""
    last = None
    for output in outputs:
        if last and output.output_type == "stream" == last.output_type and output.name == last.name:
            last.text += output.text
        else:
            yield output
            last = output


def _widget_states(notebook: Notebook) -> dict[str, Any]:
    """Return the state of each widget by its id."""
    states: dict[str, Any] = notebook.metadata.get("widgets", {}).get(WIDGET_STATE, {}).get("state", {})
    return states


def _still(widget: str, states: dict[str, Any]) -> dict[str, str]:
    """Return what the widget shows that `interact` made, for those who see no widgets: before trust, and on the web."""
    inside = re.findall("|".join(states) or "$.", json.dumps(states.get(widget, {})))
    shown = [output for each in inside for output in states[each].get("state", {}).get("outputs", [])]
    return dict(shown[0]["data"]) if shown else {}


def _widgets(notebook: Notebook) -> list[str]:
    """Return the ids of widgets, in the order in which they appear in outputs and then in each other."""
    state = _widget_states(notebook)
    found = [
        output.data[WIDGET_VIEW]["model_id"]
        for cell in code_cells(notebook)
        for output in cell.outputs
        if WIDGET_VIEW in output.get("data", {})
    ]
    for identity in found:  # and what is found on the way
        inside = re.findall("|".join(state) or "$.", json.dumps(state.get(identity, {}), sort_keys=True))
        found += [other for other in dict.fromkeys(inside) if other not in found]
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Be `python -m tests.notebooks`."""
    parser = argparse.ArgumentParser(prog="python -m tests.notebooks", description="Execute notebooks, and write them.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="the beginning of a notebook's name; all, if none")
    parser.add_argument("--afresh", action="store_true", help="write what varies, too: for pictures of a new kind")
    options = parser.parse_args(arguments)
    names = tuple(options.names)
    chosen = [source for source in sources() if not names or source.name.startswith(names)]
    failed = False
    with ThreadPoolExecutor(AT_ONCE) as threads:
        for source, (text, wrong) in zip(
            chosen, threads.map(partial(rewritten, afresh=options.afresh), chosen), strict=True
        ):
            path = source.with_suffix(".ipynb")
            is_same = path.exists() and path.read_text("utf-8") == text
            failed |= bool(wrong)
            if not wrong and not is_same:
                path.write_text(text, "utf-8")
            print(f"{source.stem}: {wrong or ('as before' if is_same else 'written')}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
