"""Report: outcomes as tables for readers, as Markdown for `README.md`, and as JSON for machines."""

from __future__ import annotations

import datetime as dt
import os
import platform
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from .cases import Case, Metric, Pattern
from .contenders import title_of
from .figures import Line, Summary, exponent, ratios
from .measuring import Outcome

BY_HAND = "trio-socket"
"""The second baseline: what connecting costs on Trio where nothing can go wrong."""

FITTED_FROM = 100
"""Fits begin here: below it, what a connect costs once hides what each address costs."""


@dataclass(frozen=True)
class Table:
    """A title, columns, rows whose first column is words, and notes below."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()

    def __str__(self) -> str:
        """Be text: words to the left, figures to the right."""
        lines = [self.header, *self.rows]
        widths = [max(len(line[column]) for line in lines) for column in range(len(self.header))]
        body = ["  ".join(_padded(line, widths)).rstrip() for line in lines]
        return "\n".join([self.title, *body, *self.notes, ""])


def _padded(line: Sequence[str], widths: Sequence[int]) -> Iterable[str]:
    yield line[0].ljust(widths[0])
    for cell, width in zip(line[1:], widths[1:], strict=True):
        yield cell.rjust(width)


@dataclass(kw_only=True)
class Report:
    """All that one run has measured, and on what machine."""

    made: dict[str, str]
    outcomes: list[Outcome] = field(default_factory=list)
    studies: list[Table] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Return it for `json`: what was measured, and the summaries drawn from it."""
        return {
            "made": self.made,
            "outcomes": [{**outcome.as_json(), "summary": summary_of(outcome)} for outcome in self.outcomes],
            "growth": {name: asdict(line) for name, line in fits(self.outcomes).items()},
            "studies": [asdict(study) for study in self.studies],
        }

    @classmethod
    def read(cls, parts: dict[str, Any]) -> Report:
        """Be read from what `as_json` gave; summaries are drawn anew."""
        outcomes = [{key: value for key, value in outcome.items() if key != "summary"} for outcome in parts["outcomes"]]
        return cls(
            made=parts["made"],
            outcomes=[Outcome.read(outcome) for outcome in outcomes],
            studies=[Table(**study) for study in parts["studies"]],
        )

    @classmethod
    def merged(cls, reports: Sequence[Report]) -> Report:
        """Put several together; what was measured again replaces what was measured before."""
        outcomes = {outcome.case.name: outcome for report in reports for outcome in report.outcomes}
        studies = {study.title: study for report in reports for study in report.studies}
        loads = sorted({float(load) for report in reports for load in report.made["load"].split(" to ")})
        made = {**reports[-1].made, "load": " to ".join(f"{load:.1f}" for load in dict.fromkeys([loads[0], loads[-1]]))}
        return cls(made=made, outcomes=list(outcomes.values()), studies=list(studies.values()))


def machine() -> dict[str, str]:
    """Say when and on what kind of machine this is, and how busy that is."""
    kernel = ".".join(platform.release().split("-")[0].split(".")[:2])
    return {
        "date": dt.datetime.now(dt.timezone.utc).date().isoformat(),
        "machine": f"{os.cpu_count()} cores, {platform.system()} {kernel}, Python {platform.python_version()}",
        "load": f"{os.getloadavg()[0]:.1f}",
    }


def ratio_of(outcome: Outcome, name: str, metric: Metric, *, to: str = "") -> Summary | None:
    """Compare a contender with the baseline or another one; None where that is not there, or is zero once."""
    theirs = outcome.samples.get(to or outcome.case.baseline, {}).get(metric.key)
    if not theirs or not all(theirs):
        return None
    return ratios(outcome.samples[name][metric.key], theirs)


def summary_of(outcome: Outcome) -> dict[str, dict[str, Any]]:
    """Return medians, quartiles and ratios for each contender and metric."""
    return {
        name: {
            metric.key: {
                "unit": metric.unit,
                **asdict(Summary.of(samples[metric.key])),
                "ratio": None if (ratio := ratio_of(outcome, name, metric)) is None else asdict(ratio),
            }
            for metric in outcome.case.metrics
        }
        for name, samples in outcome.samples.items()
    }


def tables_of(outcome: Outcome) -> list[Table]:
    """Make a table for each metric of a case."""
    return [_table(outcome, metric) for metric in outcome.case.metrics]


def _table(outcome: Outcome, metric: Metric) -> Table:
    case = outcome.case
    by_hand = BY_HAND in outcome.samples and case.baseline != BY_HAND
    counted = sorted({key for counts in outcome.counts.values() for key in counts}, reverse=True)
    rows = []
    for name, samples in outcome.samples.items():
        summary, ratio = Summary.of(samples[metric.key]), ratio_of(outcome, name, metric)
        counts = [outcome.counts.get(name, {}).get(key) for key in counted]
        rows.append(
            [
                title_of(name),
                *_figures(summary, 1),
                *(["", "", ""] if ratio is None else _figures(ratio, 2)),
                *([_median(ratio_of(outcome, name, metric, to=BY_HAND))] if by_hand else []),
                *("" if figure is None else f"{figure:,.1f}".removesuffix(".0") for figure in counts),
            ]
        )
    baseline = title_of(case.baseline)
    return Table(
        f"{case.title}: {metric.title}, {metric.unit} ({_sampled(case)})",
        ["", "median", "from", "to", f"x {baseline}", "from", "to", *(["x by hand"] if by_hand else []), *counted],
        rows,
        _left_out(outcome),
    )


def _left_out(outcome: Outcome) -> list[str]:
    """Say who is not there, those with the same reason together."""
    by_reason: dict[str, list[str]] = {}
    for name, reason in outcome.left_out.items():
        by_reason.setdefault(reason, []).append(title_of(name))
    return [f"left out, {reason}: {'; '.join(titles)}" for reason, titles in by_reason.items()]


def _median(summary: Summary | None) -> str:
    return "" if summary is None else f"{summary.median:.2f}"


def _figures(summary: Summary, digits: int) -> list[str]:
    return [f"{figure:,.{digits}f}" for figure in (summary.median, summary.low, summary.high)]


def _sampled(case: Case) -> str:
    times = "repetition" if case.repetitions == 1 else "repetitions"
    together = "" if case.pattern is Pattern.IN_TURN else " at once"
    return f"{case.repetitions} {times} of {case.count:,}{together}; half lie between from and to"


def curves(outcomes: Iterable[Outcome], family: str) -> dict[str, list[tuple[int, float]]]:
    """Return for each contender the CPU time over sizes, of the cases `FAMILY-SIZE`."""
    points: dict[str, list[tuple[int, float]]] = {}
    for outcome in outcomes:
        if outcome.case.name.startswith(f"{family}-") and outcome.case.name.rpartition("-")[2].isdecimal():
            for name, samples in outcome.samples.items():
                points.setdefault(name, []).append((outcome.case.size, statistics.median(samples["cpu"])))
    return {name: sorted(curve) for name, curve in points.items()}


def fits(outcomes: Iterable[Outcome]) -> dict[str, Line]:
    """Fit how the total cost grows with the number of refused addresses; 1 is linear."""
    found = {}
    for name, curve in curves(outcomes, "refused").items():
        large = [(size, size * each) for size, each in curve if size >= FITTED_FROM]
        if len(large) > 2:
            found[name] = exponent([size for size, _ in large], [total for _, total in large])
    return found


def growth_tables(outcomes: Iterable[Outcome]) -> list[Table]:
    """Show the fits, if there are any."""
    lines = fits(outcomes)
    rows = [[title_of(name), f"{line.slope:.2f}", f"{line.error:.2f}"] for name, line in lines.items()]
    title = f"refused addresses, {FITTED_FROM} and more: total CPU time grows with their number to the power of"
    return [Table(title, ["", "power", "+/-"], rows)] if rows else []
