"""Summary as text: a line for each group of races, with a small histogram of how long they took.

It stands to `_summary_svg` as `_text` to `_svg`: the same words and numbers, in columns. What lives here: where they
stand. What does not: the numbers, which are in `_tally`.
"""

from __future__ import annotations

from collections.abc import Sequence

from .canvas import Layout, Line, columns_of
from .labels import printable, seconds_text
from .tally import Tally, attempts_text, axis_of_tallies, binned, headline, subline
from .text import NARROWEST
from .text_rows import BOLD, BREAK, FAINT, GREEN, RED

_BLOCKS = "▁▂▃▄▅▆▇█"
_NUMBERS = 32
"""Columns for four numbers at the right."""


def render_summary_text(total: Tally, groups: Sequence[Tally], *, width: int = 80, color: bool = False) -> str:
    """Draw many races as text: several lines, no newline at the end.

    Raises:
        ValueError: `width` is too small.
    """
    if width < NARROWEST:
        raise ValueError(f"width must be at least {NARROWEST}, not {width!r}")
    lines = []
    for words, style in ((headline(total), BOLD), (subline(total), FAINT)):
        lines.append(line := Line(width))
        line.put(0, words, style)
    if groups:
        left = min(max(columns_of(printable(group.label)) for group in groups), (width - _NUMBERS) // 2)
        layout = Layout(
            width=width,
            names=0,
            chart=left + 1,
            columns=width - _NUMBERS - left - 1,
            axis=axis_of_tallies(groups),
            duration=0.0,
        )
        lines += [Line(width), _axis(layout), *(_row(group, layout) for group in groups)]
    return "\n".join(line.text(color=color) for line in lines).rstrip("\n")


def _axis(layout: Layout) -> Line:
    line, free = Line(layout.width), 0
    for mark in layout.marks():
        line.put(mark, BREAK, FAINT)
    for tick in layout.ticks():
        column = min(layout.column(tick.time), layout.end - len(tick.label))
        if column >= free:
            line.put(column, tick.label, FAINT)
            free = column + len(tick.label) + 1
    _numbers(line, layout, ("races", "median", "worst", "tries"), FAINT)
    return line


def _row(group: Tally, layout: Layout) -> Line:
    line = Line(layout.width)
    label = printable(group.label)
    while columns_of(label) > layout.chart - 1:
        label = f"{label[:-2]}…"
    line.put_before(layout.chart - 1, label, BOLD)
    for times, style in ((group.lost, RED), (group.times, GREEN)):
        counts = binned(times, layout.axis, layout.columns)
        highest = max(counts.values(), default=1)
        for place, count in counts.items():
            line.put(layout.chart + place, _BLOCKS[(count * len(_BLOCKS) - 1) // highest], style)
    median, worst = ("–" if time is None else seconds_text(time) for time in (group.median, group.worst))
    tries = attempts_text(group).partition(" attempt")[0].replace(" to ", "–")
    _numbers(line, layout, (str(group.races), median, worst, tries), "")
    return line


def _numbers(line: Line, layout: Layout, words: Sequence[str], style: str) -> None:
    for place, text in enumerate(words):
        line.put_before(layout.end + (place + 1) * _NUMBERS // len(words), text, style)
