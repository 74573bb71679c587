"""SVG layout: where things stand in the picture of a race, in its own units, which are CSS pixels.

Three columns: names, flush with the chart; the chart, where time runs; what became of each. The picture has one width
and shrinks as a whole where there is less room. Long addresses take some of the chart, and are shortened in the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .axis import Axis, axis_of
from .canvas import shortened
from .excerpt import Hidden, shown_attempts, shown_look_ups, shown_untried
from .labels import address_text, source_text, target_text
from .svg_markup import width_of
from .timeline import Timeline

WIDTH, MARGIN = 890.0, 30.0
PITCH, BAR = 30.0, 16.0
"""From one attempt to the next, and how much of that its bar takes."""
DNS_PITCH, DNS_BAR = 20.0, 8.0
RIGHT = 203.0
"""The column of fates and durations, from the end of the chart to the edge."""
_PILL, _GAP = 45.0, 12.0
_LEFT_AT_LEAST, _LEFT_FOR_TARGET, _LEFT_AT_MOST = 190.0, 225.0, 350.0
HEAD_GAP = 26.0
"""Between where to and the answer, with its dot."""
_MONO = 12 * 0.61


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The columns, and the axis of the middle one."""

    axis: Axis
    chart: float
    """Where time 0 is."""
    duration: float
    """How long the race took."""

    @property
    def end(self) -> float:
        """Where the last time is."""
        return WIDTH - RIGHT

    @property
    def finish(self) -> float:
        """Where the race was over; with a race beside it, that can be before the axis is."""
        return max(self.x(self.duration), self.chart + _SHORTEST)

    @property
    def names(self) -> float:
        """The right edge of the names."""
        return self.chart - _GAP

    def x(self, time: float) -> float:
        """Where a time is."""
        return self.at(self.axis.place(time))

    def at(self, place: float) -> float:
        """Where a place of the axis is."""
        return self.chart + place * (self.end - self.chart)

    def bar(self, start: float, end: float) -> tuple[float, float]:
        """From where to where a bar goes; the shortest can be seen, and none runs out of the chart."""
        left, right = self.x(start), self.x(end)
        if right - left < _SHORTEST:
            left = max(min(left, self.finish - _SHORTEST), self.chart)
            right = left + _SHORTEST
        return left, right

    def name(self, words: str, *, mono: int) -> str:
        """Shorten a name to its column; `mono` is what stands before it."""
        return shortened(words, max(int((self.names - MARGIN - mono) / _MONO), 4))


_SHORTEST = 2.5


def lay_out(timelines: Sequence[Timeline]) -> Layout:
    """Divide the width for a race, or for several that are to be compared."""
    left = max(_GAP + max(map(_longest_name, timelines), default=0.0), _LEFT_AT_LEAST)
    return Layout(axis=axis_of(timelines), chart=MARGIN + min(left, _LEFT_AT_MOST), duration=timelines[0].duration)


def _longest_name(timeline: Timeline) -> float:
    """The room that the names want that are shown."""
    shown = [row[0] for row in shown_attempts(timeline) if not isinstance(row, Hidden)]
    addresses = [row.address for row in shown] + [row.address for row in shown_untried(timeline)[0]]
    widths = [_PILL + width_of(address_text(address, timeline), mono=True) for address in addresses]
    widths += [10 + width_of(source_text(row), mono=True) for row in shown_look_ups(timeline)[0]]
    target = width_of(target_text(timeline), 15, bold=True) + HEAD_GAP - _GAP
    if target > _LEFT_FOR_TARGET:  # it gets a line of its own
        target = 0.0
    return max([target, *widths])
