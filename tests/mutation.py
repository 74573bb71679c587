"""Mutation: does a test notice when the code says something else?

`python -m tests.mutation [MODULE ...]` changes one small thing of a module at a time, in memory alone, and runs the
tests that execute the changed line. A mutant that no test notices is listed with its place; either a test is missing,
or the mutant means the same, and then `mutation_equivalents.txt` beside this file says why.

1. Each test is run once under coverage, so that it is known which tests execute which line.
2. A process that has imported the tests' libraries, and not the package, forks for each mutant. An import hook gives
   the child the changed module; it runs the tests of the module's own files first, then some of all the others.
3. A child that takes far longer than the tests need is a mutant that was noticed.

cosmic-ray was tried: it changes files in place, one at a time, starts an interpreter for each mutant (3.5 s of them),
and changes annotations, which mean nothing at run time. mutmut wraps every function, which tests of names notice.
"""

from __future__ import annotations

import argparse
import ast
import copy
import importlib.abc
import importlib.machinery
import json
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import coverage
import pytest

from .namespaces import die_with_the_parent

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "trio_nbconnect"
EQUIVALENTS = Path(__file__).with_name("mutation_equivalents.txt")

CORE = [
    *(f"{name}.py" for name in ("_address", "_errors", "_policy", "_retry", "_connector", "_functions", "trace")),
    *("_race", "_connect", "_resolve", "_dns"),
]
"""Modules and folders that are changed if none is named."""

LEFT_OUT = {
    "test_benchmarks.py", "test_browser.py", "test_chaos.py", "test_fuzz.py", "test_names.py", "test_notebook.py",
    "test_notebook_kernel.py", "test_notebooks.py", "test_trio_suite.py", "test_wire.py", "test_dns_real_server.py",
}  # fmt: skip
"""Tests that take long, or run the package in other processes, where the hook is not."""


# What is changed


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """One small change."""

    path: str
    line: int
    place: str
    """The function that it is in."""
    before: str
    after: str
    number: int
    """Which of the module's mutants it is."""

    @property
    def key(self) -> str:
        """What it is known by where lines move."""
        return f"{self.path} {self.place}: {self.before}  ->  {self.after}"


_SWAPS: Mapping[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.BitOr: ast.BitAnd, ast.BitAnd: ast.BitOr, ast.Mod: ast.Mult, ast.LShift: ast.RShift, ast.RShift: ast.LShift,
}  # fmt: skip


class _Mutator(ast.NodeVisitor):
    """Walk over what is executed, and offer every change; the one that is wanted is made."""

    def __init__(self, path: str, wanted: int | None = None) -> None:
        self.path = path
        self.wanted = wanted
        self.mutants: list[Mutant] = []
        self._place: list[str] = []

    def visit(self, node: ast.AST) -> None:
        """Offer the changes of a node, and go on below."""
        if isinstance(node, ast.stmt) and _is_skipped(node):
            return
        named = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
        if named:
            self._place.append(node.name)  # type: ignore[attr-defined]  # these three have one
        self._offer_changes(node)
        for block in (getattr(node, name, None) for name in ("body", "orelse", "finalbody")):
            if isinstance(block, list):
                self._offer_removals(block)
        for name, value in ast.iter_fields(node):
            if name in ("annotation", "returns", "type_params", "decorator_list"):
                continue
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    self.visit(child)
        if named:
            self._place.pop()

    def _offer_changes(self, node: ast.AST) -> None:
        if isinstance(node, ast.Compare):
            for index, operator in enumerate(node.ops):
                self._offer(node, partial(_set_operator, index=index, new=_SWAPS[type(operator)]))
        elif isinstance(node, (ast.BoolOp, ast.BinOp, ast.AugAssign)) and type(node.op) in _SWAPS:
            if not (isinstance(node.op, ast.Mod) and _is_text(getattr(node, "left", node))):
                self._offer(node, partial(_set_operator, index=None, new=_SWAPS[type(node.op)]))
        elif isinstance(node, ast.Constant):
            self._offer_constant(node)
        elif isinstance(node, (ast.If, ast.While, ast.IfExp)):
            self._offer(node, _negate, shown="test")
        elif isinstance(node, ast.Return) and node.value is not None and not _is_none(node.value):
            self._offer(node, lambda made: setattr(made, "value", ast.Constant(None)))
        elif isinstance(node, ast.Call):
            for index in (index for index, keyword in enumerate(node.keywords) if keyword.arg is not None):
                self._offer(node, partial(_drop_keyword, index=index))

    def _offer_constant(self, node: ast.Constant) -> None:
        value = node.value
        if isinstance(value, bool):
            self._offer(node, lambda made: setattr(made, "value", not value))
        elif isinstance(value, (int, float)):
            self._offer(node, lambda made: setattr(made, "value", value + 1))
        elif isinstance(value, str) and value:
            self._offer(node, lambda made: setattr(made, "value", f"X{value}"))

    def _offer_removals(self, block: list[ast.stmt]) -> None:
        """Leave a statement out: a call, a wait, an assignment to an attribute, a raise, a way out of a loop."""
        for index, statement in enumerate(block):
            is_call = isinstance(statement, ast.Expr) and isinstance(statement.value, (ast.Call, ast.Await))
            is_set = isinstance(statement, (ast.Assign, ast.AugAssign)) and not _is_name(statement)
            if is_call or is_set or isinstance(statement, (ast.Raise, ast.Break, ast.Continue, ast.Delete)):
                if _is_skipped(statement):
                    continue
                self._note(
                    statement, ast.unparse(statement), "pass", lambda index=index: block.__setitem__(index, ast.Pass())
                )

    def _offer(self, node: Any, change: Any, shown: str = "") -> None:
        """Offer a change of a node, which is shown before and after."""
        changed = copy.deepcopy(node)
        change(changed)
        before, after = (getattr(one, shown) if shown else one for one in (node, changed))
        self._note(node, ast.unparse(before), ast.unparse(after), lambda: change(node))

    def _note(self, node: Any, before: str, after: str, change: Any) -> None:
        number = len(self.mutants)
        place = ".".join(self._place) or "module"
        before, after = (" ".join(text.split()) for text in (before, after))
        self.mutants.append(
            Mutant(path=self.path, line=node.lineno, place=place, before=before, after=after, number=number)
        )
        if number == self.wanted:
            change()


def _set_operator(node: Any, *, index: int | None, new: type[ast.AST]) -> None:
    if index is None:
        node.op = new()
    else:
        node.ops[index] = new()


def _negate(node: Any) -> None:
    node.test = ast.UnaryOp(ast.Not(), node.test)


def _drop_keyword(node: Any, *, index: int) -> None:
    del node.keywords[index]


def _is_skipped(statement: ast.stmt) -> bool:
    """Whether a statement says nothing at run time, or nothing that could be otherwise."""
    if isinstance(statement, (ast.Import, ast.ImportFrom, ast.Assert)):
        return True
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
        return True
    if isinstance(statement, ast.If) and "TYPE_CHECKING" in ast.unparse(statement.test):
        return True
    if isinstance(statement, (ast.Assign, ast.AnnAssign)):
        text = ast.unparse(statement.targets[0] if isinstance(statement, ast.Assign) else statement.target)
        return text in ("__all__", "__slots__") or "TypeAlias" in ast.unparse(statement)
    return False


def _is_name(statement: ast.Assign | ast.AugAssign) -> bool:
    targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
    return isinstance(statement, ast.Assign) and any(isinstance(target, ast.Name) for target in targets)


def _is_none(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, (str, bytes))


def mutants_of(path: str) -> list[Mutant]:
    """Every mutant of a module, but those of lines that are excused from coverage."""
    text = (PACKAGE / path).read_text()
    lines = text.splitlines()
    mutator = _Mutator(path)
    mutator.visit(ast.parse(text))
    return [mutant for mutant in mutator.mutants if "pragma: no cover" not in lines[mutant.line - 1]]


def mutated(path: str, number: int) -> ast.Module:
    """The tree of a module with one change made."""
    tree = ast.parse((PACKAGE / path).read_text())
    _Mutator(path, wanted=number).visit(tree)
    return ast.fix_missing_locations(tree)


# Which tests execute which line


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


Coverage = Mapping[str, Mapping[int, Sequence[str]]]
"""The tests that execute each line of each module."""


def measure(results: Path) -> tuple[Coverage, Mapping[str, float]]:
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
    failed = set(loaded["failed"])
    for test in sorted(failed):
        print(f"left out, since it fails without any change: {test}")
    lines = {
        path: {int(line): [test for test in tests if test not in failed] for line, tests in covered.items()}
        for path, covered in loaded["lines"].items()
    }
    return lines, loaded["seconds"]


def _measure(results: Path) -> None:
    measured = coverage.Coverage(data_file=None, source_pkgs=["trio_nbconnect"], branch=False)
    plugin = _Contexts(measured)
    measured.start()
    files = [str(path) for path in sorted(Path(__file__).parent.glob("test_*.py")) if path.name not in LEFT_OUT]
    code = _run_tests(files, plugin, options=[])
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


def _run_tests(tests: Sequence[str], *plugins: object, options: Sequence[str] = ("-x",)) -> int:
    """Run pytest in this process, silently."""
    null = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(null, descriptor)
    always = ["-q", "-p", "no:cacheprovider", "--override-ini=addopts=", "--strict-markers"]
    return int(pytest.main([*always, *options, *tests], plugins=list(plugins)))


# One mutant


class _Hook(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Give one module another body."""

    def __init__(self, path: str, tree: ast.Module) -> None:
        parts = Path(path).with_suffix("").parts
        self.name = ".".join(("trio_nbconnect", *(parts if parts[-1] != "__init__" else parts[:-1])))
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


def survives(mutant: Mutant, stages: Sequence[Sequence[str]], seconds: float) -> bool:
    """Run the tests against a mutant, in a child that is given so many seconds; say whether none has failed."""
    child = os.fork()
    if not child:
        os.setpgid(0, 0)
        die_with_the_parent()
        sys.meta_path.insert(0, _Hook(mutant.path, mutated(mutant.path, mutant.number)))
        code = 0
        for tests in stages:
            code = code or (_run_tests(tests) if tests else 0)
        os._exit(1 if code else 0)
    deadline = time.monotonic() + seconds
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status == 0
        if time.monotonic() > deadline:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return False
        time.sleep(0.02)


def stages_of(mutant: Mutant, covered: Coverage, seconds: Mapping[str, float], most: float) -> list[list[str]]:
    """The tests that execute the line: those of the module's own files first, and as many others as fit."""
    tests = [test for test in covered.get(mutant.path, {}).get(mutant.line, ()) if test]
    if not tests:  # executed at import, or never
        tests = [test for tests in covered.get(mutant.path, {}).values() for test in tests if test]
    word = Path(mutant.path).stem.strip("_")
    own = [test for test in dict.fromkeys(tests) if word in Path(test.partition("::")[0]).stem]
    others = sorted(set(tests) - set(own))
    random.Random(mutant.key).shuffle(others)
    chosen, total = [], 0.0
    for test in others:
        total += seconds.get(test, 0.0)
        if total > most:
            break
        chosen.append(test)
    return [own, sorted(chosen)]


# The command


def equivalents() -> dict[str, str]:
    """What is known to mean the same, and why."""
    known, key = {}, ""
    for line in EQUIVALENTS.read_text().splitlines() if EQUIVALENTS.exists() else ():
        if line.startswith(("    ", "\t")):
            known[key] = line.strip()
        elif line and not line.startswith("#"):
            key = line.strip()
    return known


def modules(given: Sequence[str]) -> list[str]:
    """The modules that are meant, as paths in the package."""
    found = []
    for name in given or CORE:
        path = PACKAGE / name
        paths = sorted(path.glob("*.py")) if path.is_dir() else [path if path.suffix else path.with_suffix(".py")]
        found += [str(one.relative_to(PACKAGE)) for one in paths if one.name != "__init__.py"]
    return found


def run_all(paths: Sequence[str], options: argparse.Namespace, folder: Path) -> Iterator[tuple[Mutant, str]]:
    """Say of every mutant what became of it: killed, survived, equivalent or not covered."""
    covered, seconds = measure(options.coverage or folder / "coverage.json")
    known = equivalents()
    todo = [mutant for path in paths for mutant in mutants_of(path)]
    if options.sample:
        todo = sorted(random.Random(options.seed).sample(todo, min(options.sample, len(todo))), key=lambda one: one.key)
    share = [todo[start :: options.jobs] for start in range(options.jobs)]
    reader, writer = os.pipe()
    children = []
    for mine in share:
        child = os.fork()
        if not child:
            die_with_the_parent()
            os.close(reader)
            for mutant in mine:
                stages = stages_of(mutant, covered, seconds, options.seconds)
                if mutant.key in known:
                    verdict = "equivalent"
                elif not any(stages):
                    verdict = "not covered"
                else:
                    needed = sum(seconds.get(test, 0.0) for stage in stages for test in stage)
                    verdict = "survived" if survives(mutant, stages, 15 + 4 * needed) else "killed"
                os.write(writer, json.dumps([paths.index(mutant.path), mutant.number, verdict]).encode() + b"\n")
            os._exit(0)
        children.append(child)
    os.close(writer)
    by_place = {(mutant.path, mutant.number): mutant for mutant in todo}
    try:
        with os.fdopen(reader) as lines:
            for line in lines:
                index, number, verdict = json.loads(line)
                yield by_place[paths[index], number], verdict
    finally:
        for child in children:
            os.kill(child, signal.SIGTERM)
            os.waitpid(child, 0)


def main(given: Sequence[str] | None = None) -> int:
    """Be the command."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("module", nargs="*", help="modules or folders of the package, `_race/race.py` say; the core")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--sample", type=int, default=0, metavar="N", help="so many mutants, drawn from all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=10, help="how long tests of other files may take, each mutant")
    parser.add_argument("--coverage", type=Path, help="a file to keep in, or read from, which tests execute what")
    parser.add_argument("--least", type=float, default=0.0, help="fail if a module's score in percent is below")
    options = parser.parse_args(given)
    paths, verdicts = modules(options.module), {}
    os.chdir(ROOT)
    with _folder() as folder:
        for mutant, verdict in run_all(paths, options, Path(folder)):
            verdicts[mutant] = verdict
            if verdict in ("survived", "not covered"):
                print(
                    f"{mutant.path}:{mutant.line}: {verdict}: {mutant.place}: {mutant.before}  ->  {mutant.after}",
                    flush=True,
                )
    print()
    worst = 100.0
    for path in [*paths, "in all"]:
        counted = Counter(verdict for mutant, verdict in verdicts.items() if path in (mutant.path, "in all"))
        judged = sum(counted.values()) - counted["equivalent"]
        score = 100 * counted["killed"] / judged if judged else 100.0
        worst = min(worst, score)
        lived = counted["survived"] + counted["not covered"]
        print(
            f"{path:34} {score:5.1f} % of {judged:4} killed, {lived:3} survived, {counted['equivalent']:3} equivalent"
        )
    return int(worst < options.least)


def _folder() -> Any:
    import tempfile  # noqa: PLC0415 - the children need it not

    return tempfile.TemporaryDirectory(prefix="mutation-")


if __name__ == "__main__":
    sys.exit(main())
