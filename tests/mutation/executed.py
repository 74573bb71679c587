"""Executed: which tests execute which line, and how long each takes."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import coverage
import pytest

from .mutants import PACKAGE, Mutant

LEFT_OUT = {
    "test_benchmarks.py", "test_browser.py", "test_chaos.py", "test_fuzz.py", "test_names.py", "test_notebook.py",
    "test_notebook_kernel.py", "test_notebooks.py", "test_trio_suite.py", "test_wire.py", "test_dns_real_server.py",
}  # fmt: skip
"""Tests that take long, or run the package in other processes, where the change is not."""

DECLARED = {"test_data.py", "test_public_api.py"}
"""Tests of what modules declare: they look at it, and execute nothing there."""


LONG = 0.3
"""Seconds."""


def test_files() -> list[str]:
    """The files of tests that are run."""
    return [str(path) for path in sorted(Path(__file__).parent.parent.glob("test_*.py")) if path.name not in LEFT_OUT]


def run_pytest(arguments: Sequence[str], *plugins: object) -> int:
    """Run pytest in this process, silently."""
    null = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(null, descriptor)
    always = ["-q", "--capture=sys", "-p", "no:cacheprovider", "--override-ini=addopts=", "--strict-markers"]
    return int(pytest.main([*always, *arguments], plugins=list(plugins)))


@dataclass(frozen=True)
class Executed:
    """The tests that execute each line of each module, and the seconds that each takes."""

    lines: Mapping[str, Mapping[int, Sequence[str]]]
    seconds: Mapping[str, float]
    imported: Mapping[str, Set[int]] = field(default_factory=dict)
    """The lines of each module that are executed when it is imported, before any test."""

    def stages(self, mutant: Mutant, most: float) -> tuple[list[str], list[str]]:
        """The tests that execute a mutant's line: those of the module's own files, and as many others as fit.

        Args:
            mutant: The mutant.
            most: How many seconds the others may take together.
        """
        covered = self.lines.get(mutant.path, {})
        words = [part.strip("_") for part in Path(mutant.path).with_suffix("").parts]

        def own_of(tests: Iterable[str]) -> list[str]:
            return [test for test in dict.fromkeys(tests) if any(word in test.partition("::")[0] for word in words)]

        everything = [test for tests in covered.values() for test in tests]
        tests, own = covered.get(mutant.line, ()), own_of(covered.get(mutant.line, ()))
        if not tests or mutant.line in self.imported.get(mutant.path, ()):  # whoever else imports it once more
            tests, own = everything, [*own_of(everything), *self._declared]
        others = sorted(set(tests) - set(own), key=self._breadth)
        chosen, total = [], 0.0
        for test in others:
            total += self.seconds.get(test, 0.0)
            if total > most:
                break
            chosen.append(test)
        return sorted(own, key=self._duration), chosen

    def limit(self, test: str) -> float:
        """The seconds after which a test has noticed something: it hangs."""
        return 4 + 10 * self._duration(test)

    def _breadth(self, test: str) -> tuple[int, float]:
        """How much a test executes: what executes little beside a line is about that line."""
        return self._lines_of[test], self._duration(test)

    @cached_property
    def _lines_of(self) -> Counter[str]:
        return Counter(test for covered in self.lines.values() for tests in covered.values() for test in tests)

    @cached_property
    def _declared(self) -> list[str]:
        declared = [test for test in self.seconds if Path(test.partition("::")[0]).name in DECLARED]
        return [test for test in declared if self._duration(test) < LONG]  # others start an interpreter of their own

    def _duration(self, test: str) -> float:
        return self.seconds.get(test, 0.0)


class _Contexts:
    """A plugin that tells coverage which test runs, and how long it took."""

    def __init__(self, measured: coverage.Coverage) -> None:
        self.measured = measured
        self.seconds: dict[str, float] = {}
        self.failed: set[str] = set()

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Implement the hook."""
        self.measured.switch_context(item.nodeid)
        began = time.monotonic()
        yield
        self.seconds[item.nodeid] = time.monotonic() - began

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Implement the hook."""
        if report.failed:
            self.failed.add(report.nodeid)


def measure(results: Path) -> Executed:
    """Run all tests under coverage, in a process of its own; those that fail anyhow are left out.

    What it has found is kept in a file, and read from there if that exists.
    """
    if not results.exists():
        child = os.fork()
        if not child:
            _measure(results)
            os._exit(0)
        if os.waitpid(child, 0)[1] or not results.exists():
            raise SystemExit("the tests do not even run without any change")
    loaded = json.loads(results.read_text())
    failed = {*loaded["failed"], ""}
    for test in sorted(failed - {""}):
        print(f"left out, since it fails without any change: {test}")
    lines = {
        path: {int(line): [test for test in tests if test not in failed] for line, tests in covered.items()}
        for path, covered in loaded["lines"].items()
    }
    imported = {
        path: {int(line) for line, tests in covered.items() if "" in tests} for path, covered in loaded["lines"].items()
    }
    return Executed(lines, loaded["seconds"], imported)


def _measure(results: Path) -> None:
    measured = coverage.Coverage(data_file=None, source_pkgs=["trio_nbconnect"], branch=False)
    plugin = _Contexts(measured)
    measured.start()
    code = run_pytest(test_files(), plugin)
    measured.stop()
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        os._exit(1)
    data = measured.get_data()
    lines = {
        str(Path(path).relative_to(PACKAGE)): data.contexts_by_lineno(path)
        for path in data.measured_files()
        if Path(path).is_relative_to(PACKAGE)
    }
    results.write_text(json.dumps({"lines": lines, "seconds": plugin.seconds, "failed": sorted(plugin.failed)}))
