"""Plot: two pictures side by side, cost over the number of refused addresses and over connects at once, as SVG.

Both axes are logarithmic: what costs the same for each is a level line, what is quadratic in all climbs. The same
numbers give the same bytes. A reader's dark mode is honoured by the picture itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from html import escape

from .contenders import title_of
from .measuring import Outcome
from .report import curves

Curve = list[tuple[int, float]]

WIDTH, HEIGHT = 980, 380
LEFT, TOP, PLOT_WIDTH, PLOT_HEIGHT, APART = 48, 60, 280, 266, 490
LABELS_APART = 14

COLOURS = {  # for a light page, for a dark one
    "nb": ("#0a6cc2", "#5db2ff"),
    "trio": ("#c2410c", "#ff9a62"),
    "anyio-trio": ("#9a3fb5", "#d79bea"),
    "asyncio": ("#0f766e", "#4fd1c5"),
    "asyncio-staggered": ("#a16207", "#e3b341"),
    "c-epoll": ("#57606a", "#9aa5b1"),
    "go": ("#57606a", "#9aa5b1"),
}
DASHED = {"go": "2 4", "c-epoll": "6 4"}

STYLE = """\
text { font: 12px system-ui, sans-serif; fill: #24292f }
.title { font-weight: 600; font-size: 14px }
.small { fill: #57606a; font-size: 11px }
.grid { stroke: #d0d7de; stroke-width: 1 }
.curve { fill: none; stroke-width: 2; stroke-linejoin: round }
.nb { stroke-width: 3 }
"""
DARK_STYLE = "text { fill: #e6edf3 } .small { fill: #9aa5b1 } .grid { stroke: #3d444d }"


@dataclass(frozen=True)
class Axis:
    """A logarithmic axis, mapped to pixels."""

    low: float
    high: float
    start: float
    length: float

    def at(self, value: float) -> float:
        """Return where a value is."""
        share = (math.log10(value) - math.log10(self.low)) / (math.log10(self.high) - math.log10(self.low))
        return self.start + share * self.length

    def ticks(self, *digits: int) -> list[int]:
        """Return the round numbers on it that begin with these digits."""
        steps = [digit * 10**power for power in range(9) for digit in digits]
        return [step for step in steps if self.low <= step <= self.high]


def svg(outcomes: Iterable[Outcome]) -> str:
    """Draw what there is of the two families of cases."""
    measured = list(outcomes)
    return render(curves(measured, "refused"), curves(measured, "concurrent"))


def render(refused: dict[str, Curve], concurrent: dict[str, Curve]) -> str:
    """Draw the two pictures, from points alone."""
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" role="img">',
        "<title>What a connect costs: CPU time over the number of refused addresses, and of connects at once</title>",
        f"<style>\n{STYLE}{_colours(0)}@media (prefers-color-scheme: dark) {{\n{DARK_STYLE}\n{_colours(1)}}}\n</style>",
        *_picture(LEFT, "CPU time for each refused address", "addresses that refuse before one is good", refused),
        *_picture(LEFT + APART, "CPU time for each connect", "connects at once, a task each", concurrent),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _colours(which: int) -> str:
    return "".join(
        f"path.{name}, circle.{name} {{ stroke: {pair[which]} }} circle.{name} {{ fill: {pair[which]} }} "
        f"text.{name} {{ fill: {pair[which]} }}\n"
        for name, pair in COLOURS.items()
    )


def _picture(left: float, title: str, below: str, all_curves: dict[str, Curve]) -> Iterator[str]:
    drawn = {name: all_curves[name] for name in COLOURS if all_curves.get(name)}
    yield f'<text class="title" x="{left}" y="24">{title}</text>'
    yield f'<text class="small" x="{left}" y="42">microseconds, user and system, of the client</text>'
    if not drawn:
        yield f'<text class="small" x="{left}" y="{TOP + 20}">not measured</text>'
        return
    sizes = [size for curve in drawn.values() for size, _ in curve]
    costs = [cost for curve in drawn.values() for _, cost in curve]
    across = Axis(min(sizes), max(*sizes, min(sizes) * 10), left, PLOT_WIDTH)
    lowest, highest = _decades(min(costs), max(costs))
    up = Axis(lowest, highest, TOP + PLOT_HEIGHT, -PLOT_HEIGHT)
    yield from _grid(across, up, left)
    yield f'<text class="small" x="{left}" y="{TOP + PLOT_HEIGHT + 38}">{below}</text>'
    for name, curve in drawn.items():
        yield from _curve(name, [(across.at(size), up.at(cost)) for size, cost in curve])
    yield from _labels({name: (curve[-1][1], up.at(curve[-1][1])) for name, curve in drawn.items()}, left)


def _decades(lowest: float, highest: float) -> tuple[float, float]:
    """Round to a power of ten, or to three of it, below and above."""
    steps = [step * 10.0**power for power in range(-3, 9) for step in (1, 3)]
    return max(step for step in steps if step <= lowest), min(step for step in steps if step > highest)


def _grid(across: Axis, up: Axis, left: float) -> Iterator[str]:
    for tick in up.ticks(1, 3):
        y = up.at(tick)
        yield f'<path class="grid" d="M{left} {y:.1f}h{PLOT_WIDTH}"/>'
        yield f'<text class="small" x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{tick:,}</text>'
    bottom = TOP + PLOT_HEIGHT
    yield f'<path class="grid" d="M{left} {bottom}h{PLOT_WIDTH}"/>'
    for tick in dict.fromkeys([*across.ticks(1), round(across.high)]):
        x = across.at(tick)
        yield f'<path class="grid" d="M{x:.1f} {bottom}v4"/>'
        yield f'<text class="small" x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{tick:,}</text>'


def _curve(name: str, points: list[tuple[float, float]]) -> Iterator[str]:
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    dashes = f' stroke-dasharray="{DASHED[name]}"' if name in DASHED else ""
    yield f'<path class="curve {name}" d="M{path}"{dashes}/>'
    yield from (f'<circle class="{name}" cx="{x:.1f}" cy="{y:.1f}" r="2"/>' for x, y in points)


def _labels(ends: dict[str, tuple[float, float]], left: float) -> Iterator[str]:
    """Name each curve at its end, the figure with it; pushed down where two would meet."""
    lowest = -math.inf
    for name, (cost, y) in sorted(ends.items(), key=lambda end: end[1][1]):
        lowest = max(y + 4, lowest + LABELS_APART)
        text = escape(f"{title_of(name)}  {cost:,.0f}")
        yield f'<text class="{name}" x="{left + PLOT_WIDTH + 8}" y="{lowest:.1f}">{text}</text>'
