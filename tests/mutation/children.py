"""Children: a mutant is tried in a forked process, warm or cold.

A warm child comes from a process that has collected all tests; it exchanges the code of the functions that differ. A
cold one has imported what the tests need, but not the package, and imports a changed module.
"""

from __future__ import annotations

import ast
import contextlib
import dis
import gc
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import CodeType, FunctionType, ModuleType

import pytest

from ..namespaces import die_with_the_parent
from .executed import Executed, run_pytest, test_files
from .mutants import PACKAGE, Mutant, mutated

SURVIVED, KILLED, AGAIN = range(3)
"""What became of a mutant in a child; it is to be tried again where the child could not be given the change."""

_LIBRARIES = ("trio.testing", "trustme", "h11", "IPython")
"""Those of pytest's own plugins are left to pytest, which rewrites their assertions."""


def in_children(todo: Sequence[Mutant], attempt: Callable[[Mutant], int], jobs: int) -> Iterator[tuple[Mutant, int]]:
    """Fork for each mutant, so many at a time; the child ends with what `attempt` returns.

    A child that is ended by a signal has met an alarm, or has crashed; it is a mutant that was noticed.
    """
    running: dict[int, Mutant] = {}
    left = list(reversed(todo))
    try:
        while left or running:
            while left and len(running) < jobs:
                mutant = left.pop()
                child = os.fork()
                if not child:
                    _be_child(attempt, mutant)
                running[child] = mutant
            ended, status = os.wait()
            with contextlib.suppress(ProcessLookupError):
                os.killpg(ended, signal.SIGKILL)  # what the tests may have started
            if ended in running:
                yield running.pop(ended), os.WEXITSTATUS(status) if os.WIFEXITED(status) else KILLED
    finally:
        for child in running:
            os.kill(child, signal.SIGKILL)


def _be_child(attempt: Callable[[Mutant], int], mutant: Mutant) -> None:
    verdict = KILLED
    try:
        os.setpgid(0, 0)
        die_with_the_parent()
        verdict = attempt(mutant)
    finally:
        os._exit(verdict)


# Warm


class Warm:
    """A plugin: once all tests are collected, try every mutant; tell of each through a pipe."""

    def __init__(self, todo: Sequence[Mutant], executed: Executed, options: tuple[float, int], pipe: int) -> None:
        self.todo = todo
        self.executed = executed
        self.seconds, self.jobs = options
        self.pipe = pipe
        self.items: dict[str, pytest.Item] = {}
        self.functions: dict[tuple[str, int, str], list[FunctionType]] = {}

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Implement the hook."""
        self.items = {item.nodeid: item for item in session.items}
        for path in {mutant.path for mutant in self.todo}:  # some are imported when they are needed
            importlib.import_module(module_name(path))
        gc.unfreeze()
        for one in gc.get_objects():
            if type(one) is FunctionType and one.__code__.co_filename.startswith(str(PACKAGE)):
                self.functions.setdefault(_place_of(one.__code__), []).append(one)
        gc.freeze()
        session.config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]  # one folder for all children
        for test in self.failing_anyhow(session):
            del self.items[test]
        for mutant, verdict in in_children(self.todo, lambda mutant: self.attempt(session, mutant), self.jobs):
            os.write(self.pipe, json.dumps([mutant.path, mutant.number, verdict]).encode() + b"\n")
        return True

    def attempt(self, session: pytest.Session, mutant: Mutant) -> int:
        """Try a mutant in this process."""
        if not self.exchange(mutant):
            return AGAIN
        for _ in self.failures(session, self.tests_of(mutant)):
            return KILLED
        return AGAIN

    def tests_of(self, mutant: Mutant) -> list[str]:
        """The tests that are run against a mutant."""
        return [test for tests in self.executed.stages(mutant, self.seconds) for test in tests if test in self.items]

    def failures(self, session: pytest.Session, tests: Sequence[str]) -> Iterator[str]:
        """Run tests in this process, and name those that fail."""
        for test, following in zip(tests, [*tests[1:], None], strict=True):
            signal.setitimer(signal.ITIMER_REAL, self.executed.limit(test))
            item, failed = self.items[test], session.testsfailed
            item.config.hook.pytest_runtest_protocol(
                item=item, nextitem=None if following is None else self.items[following]
            )
            if session.testsfailed > failed:
                yield test

    def failing_anyhow(self, session: pytest.Session) -> list[str]:
        """Run all tests that are needed without any change, in a child: those that fail would say nothing.

        Raises:
            ChildProcessError: One has ended the child.
        """
        needed = sorted({test for mutant in self.todo for test in self.tests_of(mutant)})
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            die_with_the_parent()
            for test in self.failures(session, needed):
                os.write(writer, f"{test}\n".encode())
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader) as lines:
            failing = lines.read().splitlines()
        if os.waitpid(child, 0)[1]:
            raise ChildProcessError("a test has ended the process without any change")
        return failing

    def exchange(self, mutant: Mutant) -> bool:
        """Give functions other code; say whether that is all that there is to change."""
        file = str(PACKAGE / mutant.path)
        before = compile(ast.parse(Path(file).read_text()), file, "exec")
        pairs = list(functions_that_differ(before, compile(mutated(mutant.path, mutant.number), file, "exec")))
        for old, new in pairs:
            functions = self.functions.get(_place_of(old), [])
            if old.co_freevars != new.co_freevars or not functions or not old.co_flags & 1:
                return False
            for function in functions:
                function.__code__ = new
        return bool(pairs)


def _place_of(code: CodeType) -> tuple[str, int, str]:
    return code.co_filename, code.co_firstlineno, code.co_name


def functions_that_differ(before: CodeType, after: CodeType) -> Iterator[tuple[CodeType, CodeType]]:
    """Go down to the outermost functions, whose code is optimized as that of modules and classes is not."""
    if _without_places(before) == _without_places(after):
        return
    inner = [[one for one in code.co_consts if isinstance(one, CodeType)] for code in (before, after)]
    is_same = len(inner[0]) == len(inner[1]) and _instructions(before) == _instructions(after)
    if before.co_flags & 1 or not is_same:
        yield before, after
        return
    for old, new in zip(*inner, strict=True):
        yield from functions_that_differ(old, new)


def _without_places(code: CodeType) -> CodeType:
    """Leave out where in the file it stands: the parser places parts of f-strings otherwise than a changed tree."""
    consts = (_without_places(one) if isinstance(one, CodeType) else one for one in code.co_consts)
    return code.replace(co_linetable=b"", co_consts=tuple(consts))


def _instructions(code: CodeType) -> list[tuple[str, object]]:
    """Leave out functions, and the names of attributes that a class notes since Python 3.13."""
    told = [(each.opname, each.argval) for each in dis.get_instructions(code)]
    return [(name, None if isinstance(value, (CodeType, tuple)) else value) for name, value in told]


def run_warm(warm: Warm, folder: Path) -> None:
    """Collect all tests, and have the plugin try the mutants."""
    run_pytest([f"--basetemp={folder / 'warm'}", *test_files()], warm)


# Cold


def module_name(path: str) -> str:
    """The name by which a module of the package is imported."""
    parts = Path(path).with_suffix("").parts
    return ".".join(("trio_nbconnect", *(parts if parts[-1] != "__init__" else parts[:-1])))


class _Hook(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Give one module another body."""

    def __init__(self, path: str, tree: ast.Module) -> None:
        self.name = module_name(path)
        self.file = str(PACKAGE / path)
        self.code = compile(tree, self.file, "exec")

    def find_spec(self, name: str, path: object, target: object = None) -> importlib.machinery.ModuleSpec | None:
        """Be asked by `import`."""
        if name != self.name:
            return None
        return importlib.util.spec_from_file_location(name, self.file, loader=self)

    def exec_module(self, module: ModuleType) -> None:
        """Run the body."""
        exec(self.code, module.__dict__)


class _Alarms:
    """A plugin that ends the process if a test takes far too long."""

    def __init__(self, executed: Executed) -> None:
        self.executed = executed

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Implement the hook."""
        signal.setitimer(signal.ITIMER_REAL, self.executed.limit(item.nodeid))


class _Chosen:
    """A plugin that runs those tests alone that are there, of those that are wanted."""

    def __init__(self, tests: Sequence[str]) -> None:
        self.tests = set(tests)

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Implement the hook."""
        items[:] = [item for item in items if item.nodeid in self.tests]


def load_libraries() -> None:
    """Import what the tests import, but the package."""
    for name in _LIBRARIES:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    assert "trio_nbconnect" not in sys.modules


def try_cold(mutant: Mutant, executed: Executed, seconds: float, folder: Path, *, changed: bool = True) -> int:
    """Try a mutant in this process, which has not imported the package; or its tests, without any change."""
    if changed:
        sys.meta_path.insert(0, _Hook(mutant.path, mutated(mutant.path, mutant.number)))
    signal.setitimer(signal.ITIMER_REAL, 120)  # to import and collect
    for number, tests in enumerate(executed.stages(mutant, seconds)):
        always = ["-x", f"--basetemp={folder / f'cold-{os.getpid()}-{number}'}"]
        code = run_pytest([*always, *tests], _Alarms(executed)) if tests else pytest.ExitCode.OK
        if code == pytest.ExitCode.USAGE_ERROR:  # a test is called otherwise, by a number that is changed
            files = dict.fromkeys(test.partition("::")[0] for test in tests)
            code = run_pytest([*always, *files], _Alarms(executed), _Chosen(tests))
        if code not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            return KILLED
    return SURVIVED
