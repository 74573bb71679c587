"""The tests in a browser's Python: `python -m tests.pyodide`.

Pyodide is CPython for WebAssembly, here run by node: no threads, no signals, no sockets, and another C library. What
needs none of these must work there all the same, or the playground shows another library than this one. So the tests in
virtual time and those of pure functions run once more, with the stand-ins that the playground uses.

This environment's packages are mounted as they are, since all that these tests need is Python. Left out, with reasons,
is what needs more: compiled packages, AF_UNIX, interfaces, programs.

It needs node and npm, and is a command of its own since it needs half a minute.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from pathlib import Path

from trio_nbconnect._playground.site import SiteError, fetch_pyodide

SKIPPED = 77
"""The exit code that says so, as for automake; pytest's own are lower."""

ROOT = Path(__file__).parent.parent

FILES = [
    "axis",
    "candidates",
    "order",
    "policy",
    "race",
    "scenarios",
    "simulate",
    "testing",
    "timeline",
    "trace",
]

LEFT_OUT = {
    "test_scenarios.py::test_other_tables_can_be_run": "it starts pytest anew",
    "test_simulate.py::test_tls_with_servers": "it needs trustme, which has compiled parts",
    "test_simulate.py::test_it_may_be_called_anywhere": "inside Trio it takes a thread",
    "test_simulate.py::test_a_recording_around_it_does_not_hear_of_it": "inside Trio it takes a thread",
    "test_simulate.py::test_an_interrupt_stops_the_simulation": "it sends a signal",
    "test_simulate.py::test_an_interrupt_that_comes_too_late_is_harmless": "it sends a signal",
    "test_testing.py::test_there_are_no_unix_sockets": "Python has no AF_UNIX there",
    "test_testing.py::test_look_ups_that_fail_through_the_hook": "it asks for AF_UNIX",
    "test_testing.py::test_what_a_simulated_host_lacks_is_said_as_the_kernel_says_it": "it asks for AF_UNIX",
}
"""Tests that need more, with the reason."""

RUNNER = """
import {loadPyodide} from "./pyodide.mjs";
const {mounts, program} = JSON.parse(process.argv[2]);
const pyodide = await loadPyodide();
for (const [path, root] of Object.entries(mounts)) {
  pyodide.FS.mkdirTree(path);
  pyodide.FS.mount(pyodide.FS.filesystems.NODEFS, {root}, path);
}
process.exitCode = pyodide.runPython(program);
"""

PROGRAM = """
import os, sys
sys.path += ["/project", "/packages"]
sys.dont_write_bytecode = True
os.chdir("/project")
os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # some of them have compiled parts
from trio_nbconnect._playground import emscripten
emscripten.install()
import pytest
int(pytest.main({arguments!r}))
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Be `python -m tests.pyodide`."""
    parser = argparse.ArgumentParser(prog="python -m tests.pyodide", description="Run tests in a browser's Python.")
    parser.add_argument("files", nargs="*", metavar="FILE", default=FILES, help="test_FILE.py; else all that can run")
    parser.add_argument("--pyodide", type=Path, metavar="FOLDER", help="where Pyodide is; else npm fetches it")
    options = parser.parse_args(arguments)
    node = shutil.which("node")
    if node is None:
        print("left out: there is no node")
        return SKIPPED
    with tempfile.TemporaryDirectory() as folder:
        here = options.pyodide or Path(folder)
        if options.pyodide is None:
            try:
                fetch_pyodide(here)
            except SiteError as reason:
                print(f"left out: {reason}")
                return SKIPPED
        return run(node, here, Path(folder), [f"tests/test_{name}.py" for name in options.files])


def run(node: str, pyodide: Path, folder: Path, files: Sequence[str]) -> int:
    """Run test files there and return pytest's exit code."""
    deselected = [f"--deselect=tests/{test}" for test in LEFT_OUT]
    options = ["-q", "-p", "no:cacheprovider", "-p", "pytest_trio.plugin", *deselected]
    mounts = {"/project": str(ROOT), "/packages": sysconfig.get_path("purelib")}
    runner = folder / "runner.mjs"
    runner.write_text(RUNNER.replace("./pyodide.mjs", (pyodide / "pyodide.mjs").resolve().as_uri()), "utf-8")
    given = {"mounts": mounts, "program": PROGRAM.format(arguments=[*options, *files])}
    command = [node, str(runner), json.dumps(given)]
    return subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
