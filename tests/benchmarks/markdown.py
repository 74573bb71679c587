"""Markdown: the table of the README, ratios for those that have one."""

from __future__ import annotations

from collections.abc import Sequence

from .cases import Metric
from .contenders import title_of
from .figures import Summary
from .measuring import Outcome
from .report import Report, fits, ratio_of

COLUMNS = {
    "nb": "**ours**",
    "trio-socket": "by hand",
    "anyio-trio": "anyio",
    "asyncio": "asyncio",
    "asyncio-staggered": "staggered",
    "uvloop": "uvloop",
    "aiohappyeyeballs": "aiohappy",
    "stdlib": "stdlib",
    "c-epoll": "C",
    "go": "Go",
}

LEFT_TO_THE_PICTURE = {"refused-1", "refused-10", "refused-100", "refused-3000", "concurrent-10", "concurrent-100"}
COUNTS_SHOWN_OF = {"literal"}


def markdown(report: Report) -> str:
    """Return a table whose rows are cases, whose first column is Trio's figure, and whose others are ratios to it."""
    rows = [["", "trio", *COLUMNS.values()], ["---", *["---:"] * (len(COLUMNS) + 1)]]
    for outcome in report.outcomes:
        if "trio" in outcome.samples and outcome.case.name not in LEFT_TO_THE_PICTURE:
            rows += [_row(outcome, metric) for metric in outcome.case.metrics]
            rows += _counts(outcome) if outcome.case.name in COUNTS_SHOWN_OF else []
    table = "\n".join(f"| {' | '.join(row)} |".replace("|  |", "| |") for row in rows)
    made = f"Measured {report.made['date']}: {report.made['machine']}; load of the machine {report.made['load']}."
    return "\n\n".join([table, *_others(report), made])


def _row(outcome: Outcome, metric: Metric) -> list[str]:
    title = outcome.case.title if metric.title == "CPU" else f"{outcome.case.title}, {metric.title}"
    cells = [title, _figure(_median(outcome, "trio", metric), metric.unit)]
    for name in COLUMNS:
        ratio = ratio_of(outcome, name, metric) if name in outcome.samples else None
        cells.append("" if ratio is None else _emphasised(name, f"{ratio.median:.2f}"))
    return cells


def _counts(outcome: Outcome) -> list[list[str]]:
    rows = []
    for key, title in ("syscalls", "system calls"), ("instructions", "user instructions"):
        theirs = outcome.counts.get("trio", {}).get(key)
        if theirs:
            cells = [_count(name, outcome.counts.get(name, {}).get(key), theirs) for name in COLUMNS]
            rows.append([f"{outcome.case.title}, {title}", f"{theirs:,.0f}", *cells])
    return rows


def _count(name: str, mine: float | None, theirs: float) -> str:
    return "" if mine is None else _emphasised(name, f"{mine / theirs:.2f}")


def _others(report: Report) -> Sequence[str]:
    """Say in a line each what is compared with something else than Trio, how costs grow, and what studies found."""
    lines = []
    for outcome in report.outcomes:
        if outcome.case.baseline != "trio":
            ratios = {name: ratio_of(outcome, name, outcome.case.metrics[0]) for name in outcome.samples}
            parts = [f"{title_of(name)} {ratio.median:.2f}" for name, ratio in ratios.items() if ratio]
            lines.append(f"- {outcome.case.title}: {', '.join(parts)}")
    powers = [f"{title_of(name)} {line.slope:.2f}" for name, line in fits(report.outcomes).items()]
    if powers:
        lines.append(f"- total cost of refused addresses is their number to the power of: {', '.join(powers)}")
    for study in report.studies:
        figures = "; ".join(f"{row[0]} {row[1]}" for row in study.rows)
        lines.append(f"- {study.title}; {study.header[1]}: {figures}")
    return ["\n".join(lines)] if lines else []


def _emphasised(name: str, text: str) -> str:
    return f"**{text}**" if name == "nb" else text


def _median(outcome: Outcome, name: str, metric: Metric) -> float:
    return Summary.of(outcome.samples[name][metric.key]).median


def _figure(value: float, unit: str) -> str:
    if unit == "bytes":
        return f"{value / 1000:.1f} kB"
    return f"{value:,.0f} {unit}" if value >= 10 else f"{value:.1f} {unit}"
