"""The command: `python -m tests.mutation`."""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..namespaces import die_with_the_parent
from .children import AGAIN, KILLED, Warm, in_children, load_libraries, run_warm, try_cold
from .executed import Executed, measure
from .mutants import PACKAGE, Mutant, mutants_of

EQUIVALENTS = Path(__file__).with_name("equivalents.txt")

CORE = [
    *(f"{name}.py" for name in ("_address", "_errors", "_policy", "_retry", "_connector", "_functions", "trace")),
    *("_race", "_connect", "_resolve", "_dns"),
]
"""Modules and folders that are changed if none is named."""


def equivalents() -> dict[str, str]:
    """What is known to mean the same, and why."""
    known, key = {}, ""
    for line in EQUIVALENTS.read_text().splitlines():
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
    executed, known = measure(options.coverage or folder / "coverage.json"), equivalents()
    todo = []
    for mutant in _chosen(paths, options):
        if mutant.key in known:
            yield mutant, "equivalent"
        elif not any(executed.stages(mutant, options.seconds)):
            yield mutant, "not covered"
        else:
            todo.append(mutant)
    again = []
    for mutant, verdict in _warm(todo, executed, options, folder):
        if verdict == AGAIN:
            again.append(mutant)
            print(f"once more: {told(mutant)}", file=sys.stderr, flush=True)
        else:
            yield mutant, "killed"
    load_libraries()
    for mutant, verdict in in_children(
        again[:1], lambda mutant: try_cold(mutant, executed, options.seconds, folder, changed=False), 1
    ):
        if verdict == KILLED:
            raise SystemExit(f"tests fail in a process of their own without any change: {told(mutant)}")
    cold = in_children(again, lambda mutant: try_cold(mutant, executed, options.seconds, folder), options.jobs)
    for mutant, verdict in cold:
        yield mutant, "killed" if verdict == KILLED else "survived"


def _chosen(paths: Sequence[str], options: argparse.Namespace) -> list[Mutant]:
    """All mutants, those that an earlier run has told of, or a sample."""
    mutants = [mutant for path in paths for mutant in mutants_of(path)]
    if options.again:
        earlier = {" ".join(found) for found in re.findall(r": (\S+?):\d+: (\S+: .*)", options.again.read_text())}
        mutants = [mutant for mutant in mutants if mutant.key in earlier]
    if options.sample:
        mutants = random.Random(options.seed).sample(mutants, min(options.sample, len(mutants)))
    return mutants


def _warm(
    todo: Sequence[Mutant], executed: Executed, options: argparse.Namespace, folder: Path
) -> Iterator[tuple[Mutant, int]]:
    """Try the mutants in a process that has collected all tests; what it does not tell of is to be tried again."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(reader)
        die_with_the_parent()
        run_warm(Warm(todo, executed, (options.seconds, options.jobs), writer), folder)
        os._exit(0)
    os.close(writer)
    left = {(mutant.path, mutant.number): mutant for mutant in todo}
    with os.fdopen(reader) as lines:
        for line in lines:
            path, number, verdict = json.loads(line)
            yield left.pop((path, number)), verdict
    os.waitpid(child, 0)
    for mutant in left.values():
        yield mutant, AGAIN


def told(mutant: Mutant) -> str:
    """Say where a mutant is, and what is changed."""
    return f"{mutant.path}:{mutant.line}: {mutant.place}: {mutant.before}  ->  {mutant.after}"


def main(given: Sequence[str] | None = None) -> int:
    """Be the command."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("module", nargs="*", help="modules or folders of the package, `_race/race.py` say; the core")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--sample", type=int, default=0, metavar="N", help="so many mutants, drawn from all")
    parser.add_argument("--again", type=Path, metavar="FILE", help="those alone that an earlier run has told of there")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=10, help="how long tests of other files may take, each mutant")
    parser.add_argument("--coverage", type=Path, help="a file to keep in, or read from, which tests execute what")
    parser.add_argument("--least", type=float, default=0.0, help="fail if a module's score in percent is below")
    options = parser.parse_args(given)
    paths, verdicts = modules(options.module), {}
    os.chdir(PACKAGE.parent)
    with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
        for mutant, verdict in run_all(paths, options, Path(folder)):
            verdicts[mutant] = verdict
            if verdict in ("survived", "not covered"):
                print(f"{verdict}: {told(mutant)}", flush=True)
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


if __name__ == "__main__":
    sys.exit(main())
