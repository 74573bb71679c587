"""Markdown: the table of `README.md`, ratios for those that have one."""

from __future__ import annotations

from collections.abc import Mapping

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
SHOWN = {"trio", *COLUMNS}


def markdown(report: Report) -> str:
    """Return a table whose rows are cases, whose first column is Trio's figure, and whose others are ratios to it."""
    rows = [["", "trio", *COLUMNS.values()], ["---", *["---:"] * (len(COLUMNS) + 1)]]
    for outcome in report.outcomes:
        if "trio" in outcome.samples and outcome.case.name not in LEFT_TO_THE_PICTURE:
            rows += [_row(outcome, metric) for metric in outcome.case.metrics]
            rows += _counts(outcome) if outcome.case.name in COUNTS_SHOWN_OF else []
    table = "\n".join(f"|{'|'.join(f' {cell} ' if cell else ' ' for cell in row)}|" for row in rows)
    made = f"Measured {report.made['date']}: {report.made['machine']}; load of the machine {report.made['load']}."
    return "\n\n".join([table, *_others(report), made])


def _row(outcome: Outcome, metric: Metric) -> list[str]:
    title = outcome.case.title if metric.title == "CPU" else f"{outcome.case.title}: {metric.title}"
    theirs = Summary.of(outcome.samples["trio"][metric.key]).median
    found = {name: ratio_of(outcome, name, metric) for name in outcome.samples}
    ratios = {name: ratio.median for name, ratio in found.items() if ratio is not None}
    return [title, _figure(theirs, metric.unit), *_cells(ratios)]


def _counts(outcome: Outcome) -> list[list[str]]:
    rows = []
    for key, title in ("syscalls", "system calls"), ("instructions", "user instructions"):
        counts = {name: counts[key] for name, counts in outcome.counts.items() if key in counts}
        if theirs := counts.get("trio"):
            ratios = {name: mine / theirs for name, mine in counts.items()}
            rows.append([f"{outcome.case.title}: {title}", f"{theirs:,.0f}", *_cells(ratios)])
    return rows


def _cells(ratios: Mapping[str, float]) -> list[str]:
    """Write a ratio for each column, ours in bold."""
    texts = {name: f"{ratio:.2f}" for name, ratio in ratios.items()}
    return [f"**{texts[name]}**" if name == "nb" and name in texts else texts.get(name, "") for name in COLUMNS]


def _others(report: Report) -> list[str]:
    """Say in a line each what is compared with something else than Trio, how costs grow, and what studies found."""
    lines = []
    for outcome in report.outcomes:
        baseline = outcome.case.baseline
        if baseline != "trio":
            rivals = [name for name in outcome.samples if name != baseline]
            ratios = {name: ratio_of(outcome, name, outcome.case.metrics[0]) for name in rivals}
            figures = [f"{title_of(name)} {ratio.median:.2f}" for name, ratio in ratios.items() if ratio]
            lines.append(f"- {_begun(outcome.case.title)}, as multiples of {title_of(baseline)}: {'; '.join(figures)}.")
    powers = [f"{title_of(name)} {line.slope:.2f}" for name, line in fits(report.outcomes).items() if name in SHOWN]
    if powers:
        lines.append(f"- With refused addresses the total grows as their number to the power of: {'; '.join(powers)}.")
    for study in report.studies:
        figures = [f"{row[0]} {row[1]}" for row in study.rows]
        lines.append(f"- {_begun(study.title)}; {study.header[1]}: {'; '.join(figures)}.")
    return ["\n".join(lines)] if lines else []


def _begun(text: str) -> str:
    """Begin a sentence with it."""
    return text[:1].upper() + text[1:]


def _figure(value: float, unit: str) -> str:
    if unit == "bytes":
        return f"{value / 1000:.1f} kB"
    return f"{value:,.0f} {unit}" if value >= 10 else f"{value:.1f} {unit}"
