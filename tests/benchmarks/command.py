"""Command: what `python -m tests.benchmarks` understands."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from . import counting, memory, plot, startup
from .cases import CASES, Case, chosen
from .contenders import CONTENDERS, Contender, contender_called
from .markdown import markdown
from .measuring import measure
from .place import ALL_CORES, Place, open_place, pin
from .report import Report, Table, growth_tables, machine, tables_of

STUDIES = {
    "memory": "bytes of pending attempts and of races that are over",
    "growth": "resident memory over --connects connects",
    "startup": "what the import adds",
}
LARGEST_IN_A_SMOKE_RUN = 100


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to run."""

    cases: list[Case]
    studies: list[str]
    contenders: list[Contender]
    connects: int
    quick: bool
    instructions: bool

    def left_out(self) -> list[str]:
        """Say in a line each what is asked for, and will not be done."""
        if not self.quick:
            return counting.missing(instructions=self.instructions)
        return [f"left out of a smoke run: whatever is counted, and cases larger than {LARGEST_IN_A_SMOKE_RUN}"]

    def count(self, command: counting.Command) -> dict[str, float]:
        """Count what is asked for, where this machine can."""
        if self.quick:
            return {}
        counts = {"syscalls": counting.syscalls(command)}
        if self.instructions:
            counts["instructions"] = counting.instructions(command)
        return {key: count for key, count in counts.items() if count is not None}


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description="Measure what a connect costs, as ratios within interleaved repetitions.",
    )
    parser.add_argument("names", nargs="*", metavar="CASE", help="see --list; of any size: refused-N, concurrent-N")
    parser.add_argument("--list", action="store_true", help="list cases and contenders")
    parser.add_argument("--contenders", nargs="+", metavar="NAME", help="only these; also MODULE:FUNCTION, on Trio")
    parser.add_argument("--repetitions", type=int, metavar="N", help="instead of each case's own number")
    parser.add_argument("--quick", action="store_true", help="a smoke run: once, hardly anything, no counting")
    parser.add_argument("--instructions", action="store_true", help="count user instructions, too (takes minutes)")
    parser.add_argument("--connects", type=int, default=1_000_000, metavar="N", help="for `growth`")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was measured")
    parser.add_argument(
        "--from", dest="sources", nargs="+", type=Path, metavar="FILE", help="read that instead of measuring"
    )
    parser.add_argument("--plot", type=Path, metavar="FILE.svg", help="draw cost over addresses and over concurrency")
    parser.add_argument("--readme", action="store_true", help="print Markdown instead of tables")
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Do what the command line says."""
    options = parser().parse_args(arguments)
    if options.list:
        _list()
        return
    if options.sources:
        report = Report.merged([Report.read(json.loads(source.read_text("utf-8"))) for source in options.sources])
    else:
        report = Report(made=machine())
        _run(_plan(options), report, is_silent=options.readme)
    if options.readme:
        print(markdown(report))
    elif options.sources:
        _show(report)
    if options.json:
        options.json.write_text(json.dumps(report.as_json(), indent=1) + "\n", "utf-8")
    if options.plot:
        options.plot.write_text(plot.svg(report.outcomes), "utf-8")


def _plan(options: argparse.Namespace) -> Plan:
    names = [name for name in options.names if name not in STUDIES]
    try:
        cases = chosen(names) if names or not options.names else []
        names = options.contenders or [contender.name for contender in CONTENDERS]
        contenders = [contender_called(name) for name in names]
    except ValueError as error:
        parser().error(str(error))
    if options.quick:
        cases = [case.quickly() for case in cases if case.size <= LARGEST_IN_A_SMOKE_RUN]
    if options.repetitions:
        cases = [case.sampled(count=case.count, repetitions=options.repetitions) for case in cases]
    return Plan(
        cases=cases,
        studies=[name for name in STUDIES if name in options.names or (not options.names and name != "growth")],
        contenders=contenders,
        connects=options.connects,
        quick=options.quick,
        instructions=options.instructions,
    )


def _run(plan: Plan, report: Report, *, is_silent: bool) -> None:
    """Measure, and say what was found as it is found."""
    out = sys.stderr if is_silent else sys.stdout
    if not plan.quick:
        pin(0, to_last=True)
    try:
        languages = {language for contender in plan.contenders for language in contender.languages}
        with open_place(languages if plan.cases else ()) as place:
            print(f"{report.made['date']}, {report.made['machine']}, load {report.made['load']}", file=out)
            print(*plan.left_out(), "", sep="\n", file=out)
            for case in plan.cases:
                outcome = measure(case, place, plan.contenders, count=plan.count)
                report.outcomes.append(outcome)
                print(*tables_of(outcome), sep="\n", file=out, flush=True)
            print(*growth_tables(report.outcomes), sep="\n", file=out, flush=True)
            for name in plan.studies:
                study = _study(name, place, plan, out)
                report.studies.append(study)
                print(study, file=out, flush=True)
    finally:
        os.sched_setaffinity(0, ALL_CORES)


def _study(name: str, place: Place, plan: Plan, out: TextIO) -> Table:
    if name == "startup":
        return startup.table(repetitions=2 if plan.quick else 21)
    if name == "memory":
        return memory.table(place, count=20 if plan.quick else 10_000)
    points = []
    for done, size in memory.growth(place, "nb", plan.connects):
        print(f"{done:>11,} connects: {size / 1e6:7.2f} MB resident", file=out, flush=True)
        points.append((done, size))
    return memory.growth_table("nb", points)


def _show(report: Report) -> None:
    for outcome in report.outcomes:
        print(*tables_of(outcome), sep="\n")
    print(*growth_tables(report.outcomes), *report.studies, sep="\n")


def _list() -> None:
    for case in CASES:
        print(f"{case.name:18} {case.title}")
    for name, title in STUDIES.items():
        print(f"{name:18} {title}")
    print("\ncontenders:")
    for contender in CONTENDERS:
        print(f"{contender.name:18} {contender.title}")
