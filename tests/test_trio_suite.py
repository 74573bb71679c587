"""Trio's own tests of the three functions pass, unmodified, against our drop-ins.

They run in a process of their own, since the functions must be in place before Trio's test modules are imported, and
from an empty folder, so that none of our configuration reaches them.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = [
    *(sys.executable, "-m", "pytest"),
    *("-p", "trio_suite_plugin", "-p", "trio._tests.pytest_plugin", "-p", "no:trio", "-p", "no:cacheprovider"),
    "--pyargs",
    "trio._tests.test_highlevel_open_tcp_stream",
    "trio._tests.test_highlevel_open_unix_stream",
    "trio._tests.test_highlevel_ssl_helpers",
]


def run_trio_s_tests(folder: Path, installs: str) -> subprocess.CompletedProcess[str]:
    """Run Trio's tests against what the plugin installs."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    tests = Path(__file__).parent
    environment |= {"PYTHONPATH": os.pathsep.join([str(tests), str(tests.parent)]), "TRIO_SUITE_INSTALLS": installs}
    return subprocess.run(
        COMMAND, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )


def outcomes(run: subprocess.CompletedProcess[str]) -> dict[str, int]:
    """Read the last line: how many passed, failed, were skipped."""
    return pytest.RunResult.parse_summary_nouns(run.stdout.splitlines())


def test_trio_s_own_tests_pass(tmp_path: Path) -> None:
    run = run_trio_s_tests(tmp_path, "ours")

    assert run.returncode == 0, run.stdout + run.stderr
    counts = outcomes(run)
    assert set(counts) <= {"passed", "skipped"}
    assert counts["passed"] >= 30
    assert counts.get("skipped", 0) <= 1


def test_a_function_that_is_nearly_right_fails_them(tmp_path: Path) -> None:
    """It tries one address after the other; Trio's tests time each attempt."""
    run = run_trio_s_tests(tmp_path, "broken")

    assert run.returncode == pytest.ExitCode.TESTS_FAILED
    assert outcomes(run)["failed"] >= 3


def test_it_is_noticed_when_trio_s_functions_are_tested(tmp_path: Path) -> None:
    run = run_trio_s_tests(tmp_path, "nothing")

    assert run.returncode == pytest.ExitCode.USAGE_ERROR
    assert "tests another open_tcp_stream than ours" in run.stderr
