"""The README and the pages of the guide: programs run, commands print what is shown, links lead to files, names exist.

- A `python` block is a complete program. It runs in a process of its own, in an empty folder; warnings are errors.
- A `console` block holds commands behind `$ ` and what they print. Those that begin with `python -m trio_nbconnect`
  run, must succeed, and print what is shown, but for numbers and the length of bars.
"""

from __future__ import annotations

import importlib.util
import os
import pkgutil
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

PROJECT = Path(__file__).parent.parent
README = (PROJECT / "README.md").read_text("utf-8")
PAGES = {
    path: (PROJECT / path).read_text("utf-8")
    for path in (
        "README.md",
        "notebooks/README.md",
        "notebooks/recipes.md",
        "notebooks/how_it_works.md",
        "tests/benchmarks/README.md",
        ".github/CHANGELOG.md",
        ".github/CONTRIBUTING.md",
        ".github/SECURITY.md",
    )
}
"""Those that people write; the reference has a test of its own."""
LONGEST_README = 250

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
DEMO = re.compile(r"^\$ .*python -m pip install .+ && python -m trio_nbconnect demo$", re.MULTILINE)
TESTS = re.compile(r"^\$ .*(python -m pip install .+ && python -m pytest)$", re.MULTILINE)
LINK = re.compile(r"\]\((?!https:)([^)#\s]*)(?:#([\w-]+))?\)")
NAME = re.compile(r"`(trio_nbconnect(?:\.\w+)*)")
UNITS = {"ms", "s"}


@dataclass(frozen=True)
class Program:
    """A `python` block, and how many lines stand before it."""

    code: str
    above: int


@dataclass(frozen=True)
class Command:
    """A command of a `console` block, and what it is shown to print."""

    line: str
    output: str


def programs(text: str) -> list[Program]:
    """Find the programs of a text."""
    return [
        Program(block[2], text.count("\n", 0, block.start(2))) for block in BLOCK.finditer(text) if block[1] == "python"
    ]


def commands(text: str) -> list[Command]:
    """Find the commands of a text that are ours."""
    consoles = "\n".join(block[2] for block in BLOCK.finditer(text) if block[1] == "console")
    parts = (part.partition("\n") for part in re.split(r"^\$ ", consoles, flags=re.MULTILINE)[1:])
    return [Command(line, output) for line, _, output in parts if line.startswith("python -m trio_nbconnect")]


def run(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run Python in a folder, with no terminal and no input."""
    environment = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "FORCE_COLOR"}}
    environment |= {"PYTHONPATH": str(PROJECT), "PYTHONUTF8": "1"}
    return subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )


def complaints_about_program(program: Program, folder: Path) -> str:
    """Run a program; return what went wrong, with the line numbers of its document."""
    path = folder / "README.py"
    path.write_text("\n" * program.above + program.code, "utf-8")
    result = run([str(path)], folder)
    failed = result.returncode != 0 or "Exception ignored" in result.stderr
    return result.stderr or f"exit code {result.returncode}" if failed else ""


def complaints_about_command(command: Command, folder: Path) -> str:
    """Run a command; return what went wrong."""
    result = run(shlex.split(command.line)[1:], folder)
    if result.returncode != 0:
        return f"exit code {result.returncode}: {result.stderr}"
    if command.output.strip() and shape(result.stdout) != shape(command.output):
        return f"it prints\n{result.stdout}"
    return ""


def shape(output: str) -> list[list[str]]:
    """Reduce an output to the words of its lines: no numbers and their units, no bars, no empty lines."""
    lines = [re.findall(r"[^\W\d_]+", line) for line in output.splitlines()]
    words = [[word for word in line if word not in UNITS] for line in lines]
    return [line for line in words if line]


@pytest.mark.parametrize(
    "program",
    [
        pytest.param(program, id=f"{path}, line {program.above + 1}")
        for path, text in PAGES.items()
        for program in programs(text)
    ],
)
def test_a_program_runs(program: Program, tmp_path: Path) -> None:
    assert complaints_about_program(program, tmp_path) == ""


@pytest.mark.parametrize(
    "command", [item for text in PAGES.values() for item in commands(text)], ids=lambda item: item.line
)
def test_a_command_prints_what_is_shown(command: Command, tmp_path: Path) -> None:
    assert complaints_about_command(command, tmp_path) == ""


def test_the_first_screen_has_something_to_run() -> None:
    assert programs(README)
    assert commands(README)


def anchors(text: str) -> set[str]:
    """What links may point to: the headings, as GitHub spells them."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files_and_headings(page: str) -> None:
    folder = (PROJECT / page).parent
    for path, anchor in LINK.findall(PAGES[page]):
        target = folder / path if path else PROJECT / page
        assert target.exists(), path
        assert not anchor or anchor in anchors(target.read_text("utf-8")), f"{path}#{anchor}"


def test_the_readme_is_short_and_leads_to_every_page() -> None:
    lines = README.splitlines()
    links = {path for path, _ in LINK.findall(README)}

    assert len(lines) <= LONGEST_README
    assert links >= PAGES.keys() - {"README.md", "notebooks/recipes.md"} | {"notebooks/reference.md"}


def test_the_guide_lists_every_recipe() -> None:
    recipes = anchors(PAGES["notebooks/recipes.md"]) - {"recipes"}

    assert {
        anchor for path, anchor in LINK.findall(PAGES["notebooks/README.md"]) if path == "recipes.md" and anchor
    } == recipes


def test_the_readme_names_every_extra() -> None:
    tomllib = pytest.importorskip("tomllib")
    extras = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    named = README[README.index("Extras: ") : README.index("has them all")]

    assert set(re.findall(r"`([\w-]+)`", named)) == extras.keys() - {"bench", "test"}


def test_links_are_absolute_where_pypi_shows_the_readme() -> None:
    """What hatch-fancy-pypi-readme replaces; the address is that of the repository."""
    tomllib = pytest.importorskip("tomllib")
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))
    shown = README
    for change in project["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]["substitutions"]:
        shown = re.sub(change["pattern"], change["replacement"], shown)
        assert (
            change["replacement"]
            .partition("https://")[2]
            .startswith(project["project"]["urls"]["Repository"].removeprefix("https://"))
        )

    assert LINK.findall(shown) == []
    assert len(re.findall(r"\]\(https:", shown)) == len(re.findall(r"\]\(", README))


@pytest.mark.parametrize("name", sorted(set(NAME.findall("".join(PAGES.values())))))
def test_a_public_name_exists(name: str) -> None:
    assert pkgutil.resolve_name(name) is not None


@pytest.mark.parametrize("module", sorted(set(re.findall(r"python -m (tests\.\w+)", "".join(PAGES.values())))))
def test_a_command_for_contributors_exists(module: str) -> None:
    assert importlib.util.find_spec(module) is not None


def test_there_is_one_command_for_the_demo_and_one_for_the_tests() -> None:
    assert len(DEMO.findall(README)) == 1
    assert len(TESTS.findall(README)) == 1


def test_ci_runs_the_command_of_the_readme() -> None:
    script = [str(PROJECT / ".ci" / "run"), "--command"]
    shown = subprocess.run(script, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)

    assert shown.stdout.splitlines() == TESTS.findall(README)


MADE_UP = """\
# A title

```python
import sys
print("fine")
```

```python

raise SystemExit(open("nowhere"))
```

```python
import socket
socket.socket()
```

```console
$ cd somewhere
$ python -m trio_nbconnect --help
usage: something else
$ python -m trio_nbconnect --no-such-option
$ python -m trio_nbconnect --version-that-nobody-shows && true
```

```text
$ python -m trio_nbconnect in a text
```
"""


def test_a_program_that_fails_is_noticed(tmp_path: Path) -> None:
    """Also one that leaves a socket open."""
    fine, failing, leaking = (complaints_about_program(program, tmp_path) for program in programs(MADE_UP))

    assert fine == ""
    assert "line 10" in failing
    assert "FileNotFoundError" in failing
    assert "ResourceWarning" in leaking


def test_a_command_that_fails_is_noticed(tmp_path: Path) -> None:
    different, failing, piped = (complaints_about_command(command, tmp_path) for command in commands(MADE_UP))

    assert different.startswith("it prints\nusage: ")
    assert failing.startswith("exit code 2: ")
    assert piped.startswith("exit code 2: ")


@pytest.mark.parametrize(
    ("shown", "printed", "is_same"),
    [
        ("connected in 503 ms over IPv4\n", "connected in 1.2 s over IPv4\n", True),
        ("IPv6 ::1 ░░░░│ ✓ won\n", "IPv6 ::1 ░░│ ✓ won\n\n", True),
        ("127.0.0.3:59019 refused\n", "127.0.0.3:42 refused\n", True),
        ("IPv6 ::1 │ ✓ won\n", "IPv4 ::1 │ ✗ refused\n", False),
        ("one\ntwo\n", "one two\n", False),
        ("one\n", "one\ntwo\n", False),
    ],
)
def test_an_output_is_compared_by_its_words(shown: str, printed: str, is_same: bool) -> None:
    assert (shape(shown) == shape(printed)) is is_same
