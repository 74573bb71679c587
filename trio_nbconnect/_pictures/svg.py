"""SVG: the waterfall of a race, for notebooks and pages.

The same content as the text, in the same words and order: the answer, the axis, a bar for each lookup and each attempt,
dots while an address was not yet tried, an arrow that says why an attempt began. How an attempt ended is shown by
colour, sign and word, never by colour alone. The same events make the same picture, byte for byte.

Three columns: names, right-aligned at the chart; the chart, where time runs; how each attempt ended. The picture has
one width, in CSS pixels, and is scaled as a whole where there is less. Between two bars there is room for the arrow and
its label, so that nothing is drawn over anything however close two starts are. Words that do not fit next to their bar
get a line below it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .axis import Axis, axis_of
from .canvas import shortened
from .labels import (
    address_text,
    answer_text,
    counts_text,
    elided_text,
    end_text,
    error_text,
    family_text,
    host_text,
    lookup_failed,
    lookup_text,
    lost_text,
    outcome_text,
    pace_text,
    reason_text,
    seconds_text,
    source_text,
    target_text,
)
from .svg_markup import break_marks, circle, document, fitted, line, path, rect, text, texts, width_of
from .timeline import (
    AttemptOutcome,
    AttemptRow,
    Elided,
    LookupRow,
    RaceOutcome,
    Timeline,
    UntriedRow,
    visible_attempts,
    visible_lookups,
    visible_untried,
)

WIDTH, MARGIN = 890.0, 30.0
_PITCH, _BAR = 30.0, 16.0
"""From one attempt to the next, and how much of that its bar takes."""
_DNS_PITCH, _DNS_BAR = 20.0, 8.0
_RIGHT = 203.0
"""The column of outcomes and durations, from the end of the chart to the edge."""
_PILL, _GAP = 45.0, 12.0
_LEFT_AT_LEAST, _LEFT_FOR_TARGET, _LEFT_AT_MOST = 190.0, 225.0, 350.0
_HEAD_GAP = 26.0
"""Between the host and the answer, with its dot."""
_MONO = 12 * 0.61
"""The width of a character of an address."""
_SHORTEST = 2.5
"""The width of the shortest bar."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SVGLayout:
    """The columns, and the axis of the middle one."""

    axis: Axis
    chart: float
    """The position of time 0."""
    duration: float
    """How long the race took."""

    @property
    def end(self) -> float:
        """The position of the last time."""
        return WIDTH - _RIGHT

    @property
    def finish(self) -> float:
        """Where the race was over; if it is compared with a longer one, that is before the end of the axis."""
        return max(self.x(self.duration), self.chart + _SHORTEST)

    @property
    def names(self) -> float:
        """The right edge of the names."""
        return self.chart - _GAP

    def x(self, time: float) -> float:
        """The position of a time."""
        return self.at(self.axis.place(time))

    def at(self, place: float) -> float:
        """The position of a place between 0 and 1 on the axis."""
        return self.chart + place * (self.end - self.chart)

    def bar(self, start: float, end: float) -> tuple[float, float]:
        """The left and right edges of a bar; the shortest can be seen, and none leaves the chart."""
        left, right = self.x(start), self.x(end)
        if right - left < _SHORTEST:
            left = max(min(left, self.finish - _SHORTEST), self.chart)
            right = left + _SHORTEST
        return left, right

    def name(self, words: str, *, taken: int) -> str:
        """Shorten a name to its column; `taken` is the width of what precedes it."""
        return shortened(words, max(int((self.names - MARGIN - taken) / _MONO), 4))


def lay_out(timelines: Sequence[Timeline]) -> SVGLayout:
    """Divide the width for a race, or for several that are compared."""
    left = max(_GAP + max(map(_longest_name, timelines), default=0.0), _LEFT_AT_LEAST)
    return SVGLayout(axis=axis_of(timelines), chart=MARGIN + min(left, _LEFT_AT_MOST), duration=timelines[0].duration)


def _longest_name(timeline: Timeline) -> float:
    """The room that the visible names need."""
    shown = [row[0] for row in visible_attempts(timeline) if not isinstance(row, Elided)]
    addresses = [row.address for row in shown] + [row.address for row in visible_untried(timeline)[0]]
    widths = [_PILL + width_of(address_text(address, timeline), mono=True) for address in addresses]
    widths += [10 + width_of(source_text(row), mono=True) for row in visible_lookups(timeline)[0]]
    target = width_of(target_text(timeline), 15, bold=True) + _HEAD_GAP - _GAP
    if target > _LEFT_FOR_TARGET:  # it gets a line of its own
        target = 0.0
    return max([target, *widths])


_TICK_DISTANCE = 75.0
"""The least number of pixels between two times on the axis."""


def render_svg(timeline: Timeline, *, compared_with: Sequence[Timeline] = ()) -> str:
    """Draw the waterfall of a race as an SVG document.

    Args:
        timeline: The race, see `timeline_of`.
        compared_with: Other races, drawn by calls of their own: all get the same scale and the same columns.
    """
    layout = lay_out([timeline, *compared_with])
    parts, y = _head(timeline, layout)
    if timeline.lookups or timeline.attempts or timeline.untried:
        y += 34
        rows = _SVGRows(timeline, layout, y)
        rows.draw()
        parts += [
            *_axis(layout, y, rows.y),
            *rows.parts,
            *break_marks([layout.at(mark) for mark in layout.axis.marks], y, rows.y),
            *_end(timeline, layout, y, rows.y),
        ]
        y = rows.y + (22 if end_text(timeline) else 0)
        if rows.has_phases:
            y += 18
            parts.append(_legend(layout, y))
    for failure in lost_text(timeline):
        y += 18
        parts.append(text(layout.chart, y, fitted(failure, WIDTH - layout.chart - MARGIN)))
    return document(WIDTH, y + 16, parts, title=outcome_text(timeline), description=_description(timeline))


def _head(timeline: Timeline, layout: SVGLayout) -> tuple[list[str], float]:
    """The host, the answer and a summary, and their lower edge; a long name has a line of its own."""
    parts, y = [], 36.0
    host, colon, port = target_text(timeline).rpartition(":")
    if target_text(timeline) == host_text(timeline):
        host, colon, port = host_text(timeline), "", ""
    port = colon + port
    if width_of(host, 15, bold=True) + width_of(port, 15) > layout.chart - MARGIN - _HEAD_GAP:
        host = fitted(host, WIDTH - 2 * MARGIN - width_of(port, 15), 15, bold=True)
        parts.append(texts(MARGIN, y, [(host, "ink b host"), (port, "soft")], "xl"))
        y += 25
    else:
        parts.append(texts(MARGIN, y, [(host, "ink b host"), (port, "soft")], "xl"))
    room = WIDTH - layout.chart - MARGIN
    address = address_text(timeline.winner.address, timeline) if timeline.winner else ""
    answer = answer_text(timeline, address)
    while address and width_of(answer, 14, bold=True) > room and len(address) > 12:
        address = shortened(address, len(address) - 1)
        answer = answer_text(timeline, address)
    parts.append(
        circle(layout.chart - 15, y - 5, 4.5, _HEADLINE_DOTS[timeline.outcome] if not timeline.gave_up else "late")
    )
    parts.append(text(layout.chart, y, fitted(answer, room, 14, bold=True), "ink b l"))
    parts.append(text(layout.chart, y + 18, fitted(f"{counts_text(timeline)} · {pace_text(timeline)}", room)))
    return parts, y + 18


_HEADLINE_DOTS = {
    RaceOutcome.WON: "won",
    RaceOutcome.LOST: "bad",
    RaceOutcome.CANCELLED: "known",
    RaceOutcome.UNDER_WAY: "open",
}


def _axis(layout: SVGLayout, top: float, bottom: float) -> list[str]:
    """Times above the chart, and a faint line down from each."""
    parts = []
    free = 0.0
    for tick in layout.axis.ticks(_TICK_DISTANCE / (layout.end - layout.chart)):
        x, half = layout.x(tick.time), width_of(tick.label, 11) / 2
        parts.append(line(x, top - 8, x, bottom, "grid"))
        if x - half >= free:
            parts.append(text(x, top - 13, tick.label, "soft s m"))
            free = x + half + 8
    return parts


def _end(timeline: Timeline, layout: SVGLayout, top: float, bottom: float) -> list[str]:
    """The line at which the race ended, with its label."""
    label = end_text(timeline)
    if not label:
        return []
    kind = "won" if timeline.outcome is RaceOutcome.WON else "late" if timeline.gave_up else "soft"
    x = layout.finish
    anchor = "e" if x - width_of(label, bold=True) >= layout.chart else ""
    color = "soft" if kind == "soft" else f"{kind}-text"
    return [
        line(x, top - 8, x, bottom, f"end {kind}-line{' dash' if kind == 'soft' else ''}"),
        text(x, bottom + 15, label, f"{color} b {anchor}".rstrip()),
    ]


def _legend(layout: SVGLayout, y: float) -> str:
    """Explain the two tones of a bar."""
    x = layout.chart
    return (
        rect(x, y - 8, 16, 9, "known half", radius=2)
        + text(x + 22, y, "TCP", "soft s")
        + rect(x + 58, y - 8, 16, 9, "known", radius=2)
        + text(x + 80, y, "then TLS, or what else was established on it", "soft s")
    )


def _description(timeline: Timeline) -> str:
    """Each attempt that is shown, in words."""
    shown = [row[0] for row in visible_attempts(timeline) if isinstance(row, tuple)]
    words = [
        f"{family_text(row.address)} {address_text(row.address, timeline)} {row.outcome.value} "
        f"after {seconds_text(row.duration)}"
        for row in shown
    ]
    return "; ".join(words) or "no attempts"


@dataclass(frozen=True, slots=True)
class _SVGSign:
    """How an attempt with an outcome is drawn: the class of its bar, the path of its sign, the sign's classes."""

    bar: str
    sign: str
    color: str


_CROSS = "M1.5 2L8.5 9M8.5 2L1.5 9"

_SIGNS = {
    AttemptOutcome.WON: _SVGSign("won", "M1 6L4 9L9 1.5", "won-line"),
    AttemptOutcome.REFUSED: _SVGSign("bad", _CROSS, "bad-line thick"),
    AttemptOutcome.FAILED: _SVGSign("bad", _CROSS, "bad-line thick"),
    AttemptOutcome.TIMED_OUT: _SVGSign("late", "M5 1A4.5 4.5 0 1 1 4.9 1ZM5 2.5V5.5H8", "late-line"),
    AttemptOutcome.CANCELLED: _SVGSign("hatch-cut cut-rim", "M5 1A4.5 4.5 0 1 1 4.9 1ZM2.5 8L7.5 3", "soft-line"),
    AttemptOutcome.RUNNER_UP: _SVGSign("hatch-won won-line", "M1 4Q3 1.5 5 4T9 4M1 8Q3 5.5 5 8T9 8", "won-line"),
    AttemptOutcome.UNDER_WAY: _SVGSign("open", "M1 5.5H1.1M5 5.5H5.1M9 5.5H9.1", "open-line fat"),
}
_DASH = "M1.5 5.5H8.5"

_NOTE = 15.0
"""A line for words that do not fit next to their bar."""

_LANE = _PITCH - _BAR
"""Between two bars, for the arrow that says why the second attempt began."""


class _SVGRows:
    """Draws lookups and attempts one below the other; `y` is the lower edge so far.

    Attributes:
        parts: The markup.
        has_phases: Whether a bar has two tones.
    """

    def __init__(self, timeline: Timeline, layout: SVGLayout, y: float) -> None:
        self.timeline, self.layout, self.y = timeline, layout, y
        self.parts: list[str] = []
        self.has_phases = False

    def draw(self) -> None:
        """Draw them all."""
        self._lookups()
        self._attempts()
        self._untried()

    def _lookups(self) -> None:
        rows, more = visible_lookups(self.timeline)
        if rows:
            self.y += 5
        for row in rows:
            self._lookup(row)
        if more:
            self._remark(f"{more} more look-ups", _DNS_PITCH)

    def _lookup(self, row: LookupRow) -> None:
        layout, middle = self.layout, self.y + _DNS_PITCH / 2
        kind, _, name = source_text(row).rpartition(" ") if not row.name else ("DNS", "", source_text(row)[4:])
        name = layout.name(name, taken=int(width_of(f"{kind} ")) if kind else 0)
        parts = [(f"{kind} ", "soft"), (name, "ink mono")] if kind else [(name, "ink mono")]
        self.parts.append(texts(layout.names, middle + 4, parts, "e"))
        left, right = layout.bar(row.started, self.timeline.duration if row.ended is None else row.ended)
        top = middle - _DNS_BAR / 2
        if row.ended is None:
            bar = rect(left + 0.5, top + 0.5, right - left - 1, _DNS_BAR - 1, "line dash dns-rim", radius=2)
        else:
            bar = rect(left, top, right - left, _DNS_BAR, "dns", radius=2)
        self.parts += [bar, self._remark_of_lookup(right, middle, row)]
        self.y += _DNS_PITCH

    def _remark_of_lookup(self, right: float, middle: float, row: LookupRow) -> str:
        """A remark at the right of a bar: before the line of the end if it fits, or behind it, or else below."""
        words, classes = lookup_text(row), "bad-text" if lookup_failed(row) else "soft"
        width, edge, finish = width_of(words), WIDTH - MARGIN, self.layout.finish
        if right + 8 + width <= finish - 6:
            return text(right + 8, middle + 4, words, classes)
        if finish + 10 + width <= edge:
            return text(finish + 10, middle + 4, words, classes)
        self.y += _NOTE
        return text(self.layout.chart, middle + 4 + _NOTE, fitted(words, edge - self.layout.chart), classes)

    def _attempts(self) -> None:
        for row in visible_attempts(self.timeline):
            if isinstance(row, Elided):
                self._remark(elided_text(row.attempts), _PITCH - 6)
                continue
            attempt, before = row
            self._arrow(attempt, before)
            self.y += _LANE
            self._attempt(attempt)
            self.y += _BAR
            if attempt.outcome is AttemptOutcome.FAILED and attempt.error is not None:
                self._error(attempt, error_text(attempt.error))

    def _arrow(self, attempt: AttemptRow, before: AttemptRow | None) -> None:
        """Why it began: dashed for the delay, solid for a failure of the one before."""
        if before is None:
            self.y += 8
            return
        x, label = self.layout.bar(attempt.started, attempt.ended)[0], reason_text(attempt, before)
        failure = label == "failure"
        classes, tip = ("bad-line thick", "bad") if failure else ("soft-line dash", "known")
        self.parts.append(line(x, self.y + 1, x, self.y + _LANE - 4, classes))
        self.parts.append(path("M-3 0H3L0 4Z", tip, x, self.y + _LANE - 5))
        to_the_left = x - 6 - width_of(label, 10) >= self.layout.chart
        at, anchor = (x - 6, " e") if to_the_left else (x + 8, "")
        self.parts.append(text(at, self.y + _LANE / 2 + 4, label, f"soft xs{anchor}"))

    def _attempt(self, attempt: AttemptRow) -> None:
        """One attempt: dots, its bar, how it ended and how long it took."""
        sign, won = _SIGNS[attempt.outcome], attempt.outcome is AttemptOutcome.WON
        self._named(
            address_text(attempt.address, self.timeline), family_text(attempt.address), "b ink" if won else "ink"
        )
        left, right = self.layout.bar(attempt.started, attempt.ended)
        self._dots(attempt.known_since, left)
        self._bar(attempt, left, right, sign.bar)
        self._outcome(sign.sign, sign.color, attempt.outcome.value, "b ink" if won else "soft")
        self.parts.append(
            text(WIDTH - MARGIN, self.y + 12, seconds_text(attempt.duration), f"{'b ink' if won else 'soft'} e")
        )

    def _bar(self, attempt: AttemptRow, left: float, right: float, classes: str) -> None:
        """A bar, in two tones if there is a phase on top of TCP."""
        inset = 0.5 if "hatch" in classes else 0.0
        top, height = self.y + inset, _BAR - 2 * inset
        middle = left if attempt.connected is None else self.layout.x(attempt.connected)
        if left + 1 < middle < right - 1 and attempt.has_second_phase:
            self.has_phases = True
            self.parts.append(rect(left + inset, top, middle - left - inset, height, f"{classes} half", radius=3))
            left = middle
        self.parts.append(rect(left + inset, top, right - left - 2 * inset, height, classes, radius=3))

    def _named(self, name: str, family: str, classes: str) -> None:
        """A name, right-aligned at the chart, and its family in a frame."""
        rim = "pale" if "faint" in classes else "rim"
        pill = "pill" if family == "IPv6" else f"line {rim}"
        radius = 3 if family == "UNIX" else 8
        self.parts.append(rect(MARGIN + 0.5, self.y + 0.5, 31, 15, pill, radius=radius))
        self.parts.append(text(MARGIN + 16, self.y + 11.5, family, f"{'faint' if 'faint' in classes else 'ink'} xs m"))
        name = self.layout.name(name, taken=44)
        self.parts.append(text(self.layout.names, self.y + 12, name, f"{classes} mono e"))

    def _outcome(self, sign: str, color: str, word: str, classes: str) -> None:
        x = self.layout.end + 33
        self.parts.append(path(sign, f"icon {color}", x, self.y + 2.5))
        self.parts.append(text(x + 17, self.y + 12, word, classes))

    def _dots(self, known_since: float, until: float) -> None:
        """The time from when an address was known until it was tried."""
        x, middle = self.layout.x(known_since), self.y + _BAR / 2
        if until - x > 3:
            self.parts.append(line(x + 4, middle, until - 2, middle, "wait dots"))
            self.parts.append(circle(x, middle, 2, "known"))

    def _error(self, attempt: AttemptRow, words: str) -> None:
        """The error of an attempt: right of its bar, or below it where there is no room."""
        right, line_at = self.layout.bar(attempt.started, attempt.ended)[1], self.layout.finish
        if right + 8 + width_of(words, 11) <= line_at - 6:
            self.parts.append(text(right + 8, self.y - 4, words, "bad-text s"))
            return
        words = fitted(words, WIDTH - 2 * MARGIN, 11)
        x = max(min(self.layout.bar(attempt.started, attempt.ended)[0], line_at - 6 - width_of(words, 11)), MARGIN)
        self.parts.append(text(x, self.y + 12, words, "bad-text s"))
        self.y += _NOTE

    def _untried(self) -> None:
        """The first of the addresses that were not needed."""
        rows, more = visible_untried(self.timeline)
        for row in rows:
            self.y += _LANE
            self._not_tried(row)
            self.y += _BAR
        if more:
            self._remark(f"{more} more, not tried", _PITCH - 6)
        self.y += 12

    def _not_tried(self, row: UntriedRow) -> None:
        self._named(address_text(row.address, self.timeline), family_text(row.address), "faint")
        self._dots(row.known_since, self.layout.finish)
        self._outcome(_DASH, "soft-line", "not tried", "faint")

    def _remark(self, words: str, height: float) -> None:
        """A line of its own, in the chart."""
        self.y += height
        room = self.layout.finish - 6 - self.layout.chart
        self.parts.append(text(self.layout.names, self.y - 4, "⋮", "soft e"))
        self.parts.append(text(self.layout.chart, self.y - 4, fitted(words, max(room, 200.0), 11), "soft s"))
