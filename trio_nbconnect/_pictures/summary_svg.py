"""Summary as SVG: a row for each group of races, and in it a stroke wherever a race ended.

A few races are seen one by one; of many the strokes grow together to a histogram, for a stroke is as high as there are
races in its place. What failed has its own colour, and a small arrow below stands at the median. What lives here: what
is drawn where. What does not: the numbers, which are in `_tally`.
"""

from __future__ import annotations

from collections.abc import Sequence

from .axis import Axis
from .labels import seconds_text
from .svg_layout import MARGIN, WIDTH
from .svg_markup import document, fitted, line, path, rect, text, torn
from .tally import Tally, attempts_text, axis_of_tallies, binned, headline, subline

_CHART, _END = 190.0, 574.0
_ROW, _HEIGHT, _STROKE = 34.0, 22.0, 4.0
_COLUMNS = {"races": 650.0, "median": 722.0, "worst": 794.0, "attempts": WIDTH - MARGIN}
"""The right edges of the numbers."""


def render_summary_svg(total: Tally, groups: Sequence[Tally]) -> str:
    """Draw many races as an SVG document."""
    axis = axis_of_tallies(groups)
    parts = [text(MARGIN, 36, headline(total), "ink b l"), text(MARGIN, 54, subline(total))]
    top, bottom = 96.0, 96.0 + _ROW * len(groups)
    if groups:
        parts += _axis(axis, top, bottom)
    for place, group in enumerate(groups):
        parts += _row(group, axis, top + _ROW * place)
    parts += torn([_at(mark) for mark in axis.marks], top, bottom)
    title = f"{headline(total)}: {subline(total)}"
    return document(WIDTH, bottom + 18, parts, title=title, description="; ".join(map(_told, groups)))


def _at(place: float) -> float:
    return _CHART + place * (_END - _CHART)


def _axis(axis: Axis, top: float, bottom: float) -> list[str]:
    parts, free = [], 0.0
    for tick in axis.ticks(75 / (_END - _CHART)):
        x = _at(axis.place(tick.time))
        parts.append(line(x, top - 8, x, bottom, "grid"))
        if x >= free:
            parts.append(text(x, top - 13, tick.label, "soft s m"))
            free = x + 55
    parts += [text(x, top - 13, name, "soft s e") for name, x in _COLUMNS.items()]
    return parts


def _row(group: Tally, axis: Axis, y: float) -> list[str]:
    """One group: its label, its strokes with the median marked below, its numbers."""
    middle = y + _ROW / 2 + 4
    parts = [text(_CHART - 14, middle, fitted(group.label, _CHART - 14 - MARGIN, bold=True), "ink b e")]
    bins = int((_END - _CHART) / _STROKE)
    for times, classes in ((group.lost, "bad"), (group.times, "won")):
        counts = binned(times, axis, bins)
        highest = max(counts.values(), default=1)
        for place, count in sorted(counts.items()):
            height = 4 + (_HEIGHT - 4) * count / highest
            x = _CHART + place * _STROKE
            parts.append(rect(x, y + 4 + _HEIGHT - height, _STROKE - 1, height, classes))
    if group.median is not None:
        parts.append(path("M-4 5H4L0 0Z", "known", _at(axis.place(group.median)), y + 5 + _HEIGHT))
    numbers = {
        "races": f"{group.races}",
        "median": "–" if group.median is None else seconds_text(group.median),
        "worst": "–" if group.worst is None else seconds_text(group.worst),
        "attempts": attempts_text(group).partition(" attempt")[0],
    }
    return parts + [
        text(x, middle, numbers[name], "ink e" if name == "median" else "soft e") for name, x in _COLUMNS.items()
    ]


def _told(group: Tally) -> str:
    return f"{group.label}: {headline(group)}, {attempts_text(group)}"
