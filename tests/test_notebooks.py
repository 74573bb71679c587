"""The notebooks: they run, show what they were committed with, and are written as notebooks here are.

Those that were asked for are executed once, in a process of its own: kernels, their sockets and their threads stay out
of this one. Each test then looks at one of them. Some are made up, to show that faults are found.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest

from . import notebooks

SOURCES = notebooks.sources()
LONGEST_CELL = 15
MOST_THAT_VARY = 2 / 5

MADE_UP = {
    "fine": """
# %%
{"answer": 42}
""",
    "an exception group": """
# %%
import builtins
group = getattr(builtins, "ExceptionGroup", None) or __import__("exceptiongroup").ExceptionGroup
raise group("what a nursery raises", [ValueError("one"), ValueError("two")])
""",
    "an exception group of the extension's": """
# %%
# %load_ext trio_nbconnect.notebook
import trio
async with trio.open_nursery() as several:
    several.start_soon(trio.sleep, "a while")
""",
    "an error raised while handling a group": """
# %%
try:
    raise ExceptionGroup("what a nursery raises", [ValueError("one")])
except* ValueError:
    raise AssertionError from None
""",
    "an error in a cell that varies": """
# %% tags=["varies"]
1 / 0
""",
    "a cell that must raise and does not": """
# %% tags=["raises-exception"]
1
""",
    "another output": """
# %%
41
""",
    "standard error": """
# %%
import sys
print("oh", file=sys.stderr)
""",
    "a task that fails in the background": """
# %%
# %load_ext trio_nbconnect.notebook
import trio

begun = trio.Event()


async def fail_later():
    await begun.wait()
    await trio.sleep(0.01)
    raise ValueError("too late for its cell")


nursery.start_soon(fail_later)

# %%
begun.set()
await trio.sleep(0.1)
""",
}
ON_3_10 = {"an error raised while handling a group"}
"""What Python 3.10 has no syntax for."""


@pytest.fixture(scope="session")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The notebooks that are made up, and what they were committed with: the answer."""
    folder = tmp_path_factory.mktemp("made_up")
    sources = {name: folder / f"{number}.py" for number, name in enumerate(MADE_UP)}
    for name, source in sources.items():
        source.write_text(MADE_UP[name].lstrip(), "utf-8")
        notebook = notebooks.read(source)
        for cell in notebook.cells:
            cell.execution_count = 1
            cell.outputs = [answer({"text/plain": "{'answer': 42}"})]
        source.with_suffix(".ipynb").write_text(notebooks.text_of(notebook), "utf-8")
    return sources


@pytest.fixture(scope="module")
def complaints(request: pytest.FixtureRequest, made_up: dict[str, Path]) -> dict[str, str]:
    """What is wrong with the notebooks that tests of this run ask for."""
    items = [item for item in request.session.items if item.path == request.path]
    asked = [item.callspec.params for item in items if hasattr(item, "callspec")]
    sources = [params["source"] for params in asked if "source" in params]
    sources += [made_up[params["name"]] for params in asked if params.get("name") in made_up]
    program = "import json, pathlib, sys; from tests import notebooks as n; paths = map(pathlib.Path, sys.argv[1:]); \
        print(json.dumps(n.all_complaints(list(paths))))"
    run = subprocess.run(
        [sys.executable, "-c", program, *map(str, dict.fromkeys(sources))],
        cwd=notebooks.FOLDER.parent,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        timeout=300,
        check=True,
    )
    found: dict[str, str] = json.loads(run.stdout)
    return found


def answer(data: dict[str, Any]) -> Any:
    """Make the output of a cell."""
    return nbformat.from_dict({"output_type": "execute_result", "execution_count": 1, "metadata": {}, "data": data})


def name_of(source: Path) -> str:
    return source.stem


# What they show


@pytest.mark.parametrize("source", SOURCES, ids=name_of)
def test_a_notebook_runs_and_shows_what_it_was_committed_with(source: Path, complaints: dict[str, str]) -> None:
    """`python -m tests.notebooks` writes it anew; look at what has changed."""
    assert complaints[str(source)] == ""


@pytest.mark.parametrize("source", SOURCES, ids=name_of)
def test_a_notebook_is_made_from_its_source(source: Path) -> None:
    committed = notebooks.committed(source)

    assert committed is not None
    assert [(cell.cell_type, cell.source, cell.metadata) for cell in committed.cells] == [
        (cell.cell_type, cell.source, cell.metadata) for cell in notebooks.read(source).cells
    ]


def test_every_notebook_has_a_source() -> None:
    assert sorted(notebooks.FOLDER.glob("*.ipynb")) == [source.with_suffix(".ipynb") for source in SOURCES]


@pytest.mark.parametrize("source", SOURCES, ids=name_of)
def test_a_notebook_knows_no_machine(source: Path) -> None:
    """Neither where it ran, nor on which Python; and it prints no warnings."""
    text = source.with_suffix(".ipynb").read_text("utf-8")

    assert not re.search(r"/(tmp|home|root|usr|Users)/|\"version\": \"3|\"name\": \"stderr\"", text)


# How they are written


@pytest.mark.parametrize("source", SOURCES, ids=name_of)
def test_a_notebook_begins_with_a_question_and_ends_with_ideas(source: Path) -> None:
    cells = notebooks.read(source).cells

    assert cells[0].cell_type == cells[-1].cell_type == "markdown"
    assert re.match(r"# .+\n\n\*\*.+\?\*\*", cells[0].source, re.DOTALL)
    assert cells[-1].source.startswith("## Try\n\n- ")


@pytest.mark.parametrize("source", SOURCES, ids=name_of)
def test_no_cell_is_long(source: Path) -> None:
    lengths = {cell.id: len(cell.source.splitlines()) for cell in notebooks.code_cells(notebooks.read(source))}

    assert {cell: length for cell, length in lengths.items() if length > LONGEST_CELL} == {}


@pytest.mark.parametrize("source", SOURCES, ids=name_of)
def test_few_cells_vary(source: Path) -> None:
    """The numbers in what varies are not compared, so they could be wrong."""
    cells = notebooks.code_cells(notebooks.read(source))
    varying = [cell.id for cell in cells if {notebooks.VARIES, notebooks.DEPENDS} & set(notebooks.tags(cell))]

    assert len(varying) <= len(cells) * MOST_THAT_VARY


def test_the_contents_list_them() -> None:
    contents = (notebooks.FOLDER / "README.md").read_text("utf-8")

    assert re.findall(r"\((\w+)\.ipynb\)", contents) == [source.stem for source in SOURCES]


# What must not pass


FAILED = "An error occurred while executing the following cell"
"""What counts is that the cell failed, and not only that it shows something else."""


@pytest.mark.parametrize(
    ("name", "begins", "says"),
    [
        ("an exception group", FAILED, "what a nursery raises"),
        ("an exception group of the extension's", FAILED, "Exceptions from Trio nursery"),
        ("an error raised while handling a group", FAILED, "AssertionError"),
        ("an error in a cell that varies", FAILED, "ZeroDivisionError"),
        ("a cell that must raise and does not", "these cells must raise", "cell-01"),
        ("another output", "--- committed", '+       "41"'),
        ("standard error", "on standard error: oh", "oh"),
        ("a task that fails in the background", "a cell that is over shows: ", "too late for its cell"),
    ],
)
def test_a_fault_of_a_notebook_is_found(
    name: str, begins: str, says: str, made_up: dict[str, Path], complaints: dict[str, str]
) -> None:
    """Nbmake and nbval let exception groups pass: IPython shows them and reports no error."""
    if name in ON_3_10 and sys.version_info < (3, 11):
        pytest.skip("except* is newer")
    assert complaints[str(made_up[name])].startswith(begins)
    assert says in complaints[str(made_up[name])]


@pytest.mark.parametrize("name", ["fine"])
def test_a_notebook_without_faults_passes(name: str, made_up: dict[str, Path], complaints: dict[str, str]) -> None:
    assert complaints[str(made_up[name])] == ""


def notebook_with(outputs: list[Any], *, source: str = "code", tags: list[str] | None = None) -> notebooks.Notebook:
    """Make a notebook of one cell."""
    metadata = {"tags": tags or [notebooks.VARIES], "execution": {"iopub.execute_input": "2026-01-01"}}
    cell = {"cell_type": "code", "source": source, "metadata": metadata, "outputs": outputs}
    made = {"cells": [cell], "metadata": {"language_info": {"version": "3.99"}}}
    return nbformat.from_dict(made)


def raised(name: str) -> Any:
    """Make the output of a cell that fails."""
    return nbformat.from_dict({"output_type": "error", "ename": name, "evalue": "", "traceback": []})


def outputs_after(notebook: notebooks.Notebook, before: notebooks.Notebook | None) -> list[Any]:
    """Keep what varies, and return the cell's outputs."""
    notebooks.keep_what_varies(notebook, before)
    outputs: list[Any] = notebook.cells[0].outputs
    return outputs


OLD = [answer({"text/plain": "won ███ 1 ms"})]
NEW = [answer({"text/plain": "won ██ 1.2 s"})]
OTHER = [answer({"text/plain": "lost ██ 1.2 s"})]


@pytest.mark.parametrize(
    ("now", "before", "kept"),
    [
        (notebook_with(NEW), notebook_with(OLD), OLD),
        (notebook_with(NEW), notebook_with([]), NEW),
        (notebook_with([*NEW, *NEW]), notebook_with(OLD), [*NEW, *NEW]),
        (notebook_with(NEW), notebook_with([answer({"text/html": "1 ms"})]), NEW),
        (notebook_with(NEW), notebook_with(OTHER), NEW),
        (notebook_with(NEW, tags=[notebooks.DEPENDS]), notebook_with(OTHER, tags=[notebooks.DEPENDS]), OTHER),
        (notebook_with([raised("E")]), notebook_with([raised("F")]), [raised("E")]),
        (notebook_with(NEW, source="other"), notebook_with(OLD), NEW),
        (notebook_with(NEW, tags=["other"]), notebook_with(OLD), NEW),
        (notebook_with(NEW), None, NEW),
    ],
)
def test_what_varies_is_kept_while_its_words_are_the_same(
    now: notebooks.Notebook, before: notebooks.Notebook | None, kept: list[Any]
) -> None:
    assert outputs_after(now, before) == kept


def stream(text: str, name: str = "stdout") -> Any:
    """Make what a cell prints."""
    return nbformat.from_dict({"output_type": "stream", "name": name, "text": text})


def test_what_differs_each_time_is_taken_out() -> None:
    outputs = [stream("one\n"), stream("two\n"), stream("!", "stderr"), stream("three\n"), *NEW]
    traceback = ['File "/tmp/ipykernel_7/1.py", line 1', 'File "/x/lib/site-packages/trio/a.py", line 2']
    error = nbformat.from_dict({"output_type": "error", "ename": "E", "evalue": "", "traceback": traceback})

    notebook = notebooks.clean(notebook_with([*outputs, error]))

    assert notebook.cells[0].outputs[:4] == [stream("one\ntwo\n"), stream("!", "stderr"), stream("three\n"), *NEW]
    assert notebook.cells[0].outputs[4].traceback == [
        'File "ipykernel_7/1.py", line 1',
        'File "site-packages/trio/a.py", line 2',
    ]
    assert notebook.metadata == {}
    assert notebook.cells[0].metadata == {"tags": ["varies"]}


def test_the_output_of_a_widget_is_there_without_widgets() -> None:
    box, slider, output = "a" * 32, "b" * 32, "c" * 32
    notebook = notebook_with([answer({notebooks.WIDGET_VIEW: {"model_id": box}, "text/plain": "interactive(…)"})])
    picture = {"data": {"text/html": "<img>", "text/plain": "a picture"}}
    state = {
        box: {"state": {"children": [slider, output]}},
        slider: {"state": {}},
        output: {"state": {"outputs": [picture]}},
    }
    notebook.metadata.widgets = nbformat.from_dict({notebooks.WIDGET_STATE: {"state": state}})

    data = notebooks.clean(notebook).cells[0].outputs[0].data

    assert data == {notebooks.WIDGET_VIEW: {"model_id": f"{1:032x}"}} | picture["data"]


def test_widgets_are_numbered_in_the_order_they_appear_in() -> None:
    first, second, third = "c" * 32, "a" * 32, "b" * 32
    view = answer({notebooks.WIDGET_VIEW: {"model_id": first}})
    notebook = notebook_with([view])
    state = {second: {}, third: {"model": second}, first: {"children": [third, second]}}
    notebook.metadata.widgets = nbformat.from_dict({notebooks.WIDGET_STATE: {"state": state}})

    cleaned = notebooks.clean(notebook)

    one, two, three = (f"{number:032x}" for number in (1, 2, 3))
    assert cleaned.cells[0].outputs[0].data[notebooks.WIDGET_VIEW].model_id == one
    assert cleaned.metadata.widgets[notebooks.WIDGET_STATE].state == {
        one: {"children": [two, three]},
        two: {"model": three},
        three: {},
    }
