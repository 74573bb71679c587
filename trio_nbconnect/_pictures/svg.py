"""SVG: the waterfall of a race, for notebooks and pages.

The same content as the text, in the same words and order: the answer, the axis, a bar for each lookup and each attempt,
dots while an address was not yet tried, an arrow that says why an attempt began. How an attempt ended is shown by the
shape of its bar, by a sign and by a word; colour only repeats it. The same events make the same picture, byte for byte.

Three columns: names, right-aligned at the chart; the chart, where time runs; how each attempt ended. Below 720 pixels
there is no room for three, and each row has a line of words above its bar, which then has the whole width. Between two
bars there is room for the arrow and its label, so that labels are not drawn over anything however close two starts are.
Words that do not fit next to their bar get a line below it. Shapes are drawn first, then the breaks of the axis and the
line of the end, then labels, which so are never crossed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .._errors import ConnectTimeout
from .._printable import seconds_text
from . import labels
from .axis import Axis, axis_of
from .canvas import shortened
from .svg_markup import break_marks, circle, document, fitted, label, line, path, rect, text, texts, width_of
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
NARROWEST = 320
"""CSS pixels; with fewer there is no room for a chart."""
_WIDE = 720.0
"""From here on there are three columns."""
_PITCH, _BAR = 30.0, 16.0
"""From one attempt to the next, and how much of that its bar takes."""
_LANE = _PITCH - _BAR
"""Between two bars, for the arrow that says why the second attempt began."""
_LOOKUP_PITCH, _LOOKUP_BAR = 20.0, 8.0
_WORDS = 18.0
"""The line of words above a bar, where there are no three columns."""
_OUTCOME = 140.0
"""At the right of that line: how the attempt ended and how long it took."""
_NOTE = 15.0
"""A line for words that do not fit next to their bar."""
_RIGHT = 203.0
"""The column of outcomes and durations, from the end of the chart to the edge."""
_PILL, _GAP = 45.0, 12.0
_LEFT_AT_LEAST, _LEFT_FOR_TARGET, _LEFT_AT_MOST = 190.0, 225.0, 350.0
_HEAD_GAP = 26.0
"""Between the host and the answer, with its sign."""
_MONO = 12 * 0.61
"""The width of a character of an address."""
_BREAK = 5.0
"""Half of the width of a break of the axis."""
_SHORTEST = 2.5
"""The width of the shortest bar."""
_TICK_DISTANCE = 75.0
"""The least number of pixels between two times on the axis."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SVGLayout:
    """The columns, and the axis of the chart."""

    axis: Axis
    width: float
    margin: float
    chart: float
    """The position of time 0."""
    end: float
    """The position of the last time."""
    duration: float
    """How long the race took."""

    @property
    def has_columns(self) -> bool:
        """Whether names and outcomes have columns of their own."""
        return self.width >= _WIDE

    @property
    def edge(self) -> float:
        """Where texts end at the latest."""
        return self.width - self.margin - (0 if self.has_columns else 8)

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


def lay_out(timelines: Sequence[Timeline], width: float = WIDTH, until: float | None = None) -> SVGLayout:
    """Divide the width for a race, or for several that are compared."""
    margin = MARGIN if width >= _WIDE else 14.0
    left = max(_GAP + max(map(_longest_name, timelines), default=0.0), _LEFT_AT_LEAST)
    left = min(left, _LEFT_AT_MOST, (width - _RIGHT) / 2) if width >= _WIDE else 0.0
    return SVGLayout(
        axis=axis_of(timelines, until),
        width=width,
        margin=margin,
        chart=margin + left,
        end=width - (_RIGHT if width >= _WIDE else margin),
        duration=timelines[0].duration,
    )


def _longest_name(timeline: Timeline) -> float:
    """The room that the visible names need."""
    shown = [row[0] for row in visible_attempts(timeline) if not isinstance(row, Elided)]
    addresses = [row.address for row in shown] + [row.address for row in visible_untried(timeline)[0]]
    widths = [_PILL + width_of(labels.address_text(address, timeline), mono=True) for address in addresses]
    widths += [10 + width_of(labels.source_text(row), mono=True) for row in visible_lookups(timeline)[0]]
    target = width_of(labels.target_text(timeline), 15, bold=True) + _HEAD_GAP - _GAP
    if target > _LEFT_FOR_TARGET:  # it gets a line of its own
        target = 0.0
    return max([target, *widths])


def render_svg(
    timeline: Timeline,
    *,
    width: float = WIDTH,
    until: float | None = None,
    compared_with: Sequence[Timeline] = (),
) -> str:
    """Draw the waterfall of a race as an SVG document.

    Args:
        timeline: The race, see `timeline_of`.
        width: CSS pixels. At least 320.
        until: Seconds that the axis has at least, see `axis_of`.
        compared_with: Other races, drawn by calls of their own: all get the same scale and the same columns.

    Raises:
        ValueError: `width` is too small.
    """
    if not width >= NARROWEST:
        raise ValueError(f"width must be at least {NARROWEST}, not {width!r}")
    layout = lay_out([timeline, *compared_with], width, until)
    parts, y = _head(timeline, layout)
    if timeline.lookups or timeline.attempts or timeline.untried:
        y += 34
        rows = _SVGRows(timeline, layout, y)
        rows.draw()
        parts += [
            *_axis(layout, y, rows.y),
            *rows.shapes,
            *break_marks([layout.at(mark) for mark in layout.axis.marks], y, rows.y),
            *_end(timeline, layout, y, rows.y),
            *rows.labels,
        ]
        y = rows.y + (22 if labels.end_text(timeline) else 0)
        if rows.has_phases:
            y += 18
            parts += _legend_of_phases(timeline, layout, y)
        if rows.has_syn:
            y += 18
            parts += _legend_of_syn(layout, y)
        left = layout.chart if layout.has_columns else layout.margin
        room = layout.edge - left
        for words in labels.lines_of(labels.connection_parts(timeline), lambda line: width_of(line, 11) <= room):
            y += 18
            parts.append(text(left, y, fitted(words, room, 11), "soft s"))
    for failure in labels.lost_text(timeline):
        y += 18
        parts.append(text(layout.chart, y, fitted(failure, layout.edge - layout.chart)))
    return document(width, y + 16, parts, title=labels.outcome_text(timeline), description=_description(timeline))


def _head(timeline: Timeline, layout: SVGLayout) -> tuple[list[str], float]:
    """The host, the answer and a summary, and their lower edge; a long name has a line of its own."""
    parts, y, below = [], 36.0 if layout.has_columns else 26.0, 0.0
    host, port = labels.target_text(timeline), ""
    if host != labels.host_text(timeline):
        host, port = host[: host.rindex(":")], host[host.rindex(":") :]
    left = layout.chart if layout.has_columns else layout.margin + 17
    if width_of(host, 15, bold=True) + width_of(port, 15) > layout.chart - layout.margin - _HEAD_GAP:
        host = fitted(host, layout.edge - layout.margin - width_of(port, 15), 15, bold=True)
        below = 25.0
    parts.append(texts(layout.margin, y, [(host, "ink b host"), (port, "soft")], "xl"))
    y += below
    room, size = layout.edge - left, 14.0 if layout.has_columns else 12.0
    is_late = isinstance(timeline.error, ConnectTimeout)
    outcome = AttemptOutcome.TIMED_OUT if is_late else _HEADLINE_SIGNS[timeline.outcome]
    parts.append(path(_SIGNS[outcome].sign, f"icon {_SIGNS[outcome].color}", left - 17, y - 9.5))
    lines = _answer(timeline, room, size, may_wrap=not layout.has_columns)
    for index, words in enumerate(lines):
        parts.append(text(left, y + 16 * index, words, "ink b l" if layout.has_columns else "ink b"))
    y += 16 * (len(lines) - 1)
    for words in labels.summary_texts(timeline, lambda line: width_of(line) <= room):
        y += 18
        parts.append(text(left, y, fitted(words, room)))
    return parts, y


def _answer(timeline: Timeline, room: float, size: float, *, may_wrap: bool) -> list[str]:
    """How the race ended: with a shortened address, or on two lines, where there is not enough room."""
    address = labels.address_text(timeline.winner.address, timeline) if timeline.winner else ""

    def fits(words: str) -> bool:
        return width_of(words, size, bold=True) <= room

    answer, shortest = (labels.answer_text(timeline, each) for each in (address, address.rpartition(" ")[2]))
    if not fits(answer) and " over " in answer and (may_wrap or not fits(shortest)):
        connected, _, over = answer.partition(" over ")
        over = f"over {over.removesuffix(address)}"
        address = _fitting(address, lambda part: fits(f"{over}{part}"))
        return [connected, fitted(f"{over}{address}", room, size, bold=True)]
    address = _fitting(address, lambda part: fits(labels.answer_text(timeline, part)))
    return [fitted(labels.answer_text(timeline, address), room, size, bold=True)]


def _fitting(address: str, fits: Callable[[str], bool]) -> str:
    """Shorten an address until it fits: first the name of its host, if there is one, which may go altogether."""
    ip = address.rpartition(" ")[2]
    named = (shortened(address, width) for width in range(len(address), len(ip) + _SHORTEST_HOST, -1))
    alone = (shortened(ip, width) for width in range(len(ip), _SHORTEST_ADDRESS - 1, -1))
    return next((part for part in (*named, *alone) if fits(part)), shortened(ip, _SHORTEST_ADDRESS))


_SHORTEST_ADDRESS, _SHORTEST_HOST = 12, 6
"""Characters; of fewer nothing could be told."""

_HEADLINE_SIGNS = {
    RaceOutcome.WON: AttemptOutcome.WON,
    RaceOutcome.LOST: AttemptOutcome.FAILED,
    RaceOutcome.CANCELLED: AttemptOutcome.CANCELLED,
    RaceOutcome.UNDER_WAY: AttemptOutcome.UNDER_WAY,
}


def _axis(layout: SVGLayout, top: float, bottom: float) -> list[str]:
    """Times above the chart, and a faint line down from each."""
    parts = []
    free = 0.0
    for tick in layout.axis.ticks(_TICK_DISTANCE / (layout.end - layout.chart)):
        x, half = layout.x(tick.time), width_of(tick.label, 11) / 2
        parts.append(line(x, top - 8, x, bottom, "grid"))
        at = min(max(x, layout.margin + half), layout.edge - half)
        if at - half >= free:
            parts.append(text(at, top - 13, tick.label, "soft s m"))
            free = at + half + 8
    return parts


def _end(timeline: Timeline, layout: SVGLayout, top: float, bottom: float) -> list[str]:
    """The line at which the race ended, with its label."""
    if not (words := labels.end_text(timeline)):
        return []
    kinds = {RaceOutcome.WON: "won", RaceOutcome.LOST: "late" if timeline.gave_up else "bad"}
    kind = kinds.get(timeline.outcome, "soft")
    x = layout.finish
    anchor = "e" if x - width_of(words, bold=True) >= layout.chart else ""
    color = "soft" if kind == "soft" else f"{kind}-text"
    return [
        line(x, top - 8, x, bottom, f"end {kind}-line{' dash' if kind == 'soft' else ''}"),
        text(x, bottom + 15, words, f"{color} b {anchor}".rstrip()),
    ]


def _legend_of_syn(layout: SVGLayout, y: float) -> list[str]:
    """Explain the dots in a bar."""
    x = layout.chart
    return [
        rect(x + 0.5, y - 7.5, 27, 8, "hatch-cut cut-rim", radius=2),
        circle(x + 14, y - 3.5, 2.5, "ink dot"),
        text(x + 36, y, fitted("the kernel has sent its SYN again", layout.edge - x - 36, 11), "soft s"),
    ]


def _legend_of_phases(timeline: Timeline, layout: SVGLayout, y: float) -> list[str]:
    """Explain the two tones of a bar, and the mark between them."""
    x, words = layout.chart, f"TCP connected at the mark, then {labels.phases_text(timeline)}"
    return [
        rect(x, y - 8, 14, 9, "known half", radius=2),
        rect(x + 14, y - 8, 14, 9, "known", radius=2),
        line(x + 14, y - 11, x + 14, y + 4, "tick"),
        text(x + 36, y, fitted(words, layout.edge - x - 36, 11), "soft s"),
    ]


def _description(timeline: Timeline) -> str:
    """Each visible attempt, in words."""
    shown = [row[0] for row in visible_attempts(timeline) if isinstance(row, tuple)]
    words = [
        f"{labels.family_text(row.address)} {labels.address_text(row.address, timeline)} {row.outcome.value} "
        f"after {seconds_text(row.duration)}"
        for row in shown
    ]
    return "; ".join(words) or "no attempts"


@dataclass(frozen=True, slots=True)
class _SVGSign:
    """How an attempt with an outcome is drawn."""

    bar: str
    """The class of its bar."""
    sign: str
    """The path of its sign."""
    color: str
    """The class of the sign."""
    is_notched: bool = False
    """Whether the bar ends with a notch, so that failures and successes differ in more than their colour."""


_CROSS = "M1.5 2L8.5 9M8.5 2L1.5 9"

_SIGNS = {
    AttemptOutcome.WON: _SVGSign("won", "M1 6L4 9L9 1.5", "won-line"),
    AttemptOutcome.REFUSED: _SVGSign("bad", _CROSS, "bad-line thick", is_notched=True),
    AttemptOutcome.FAILED: _SVGSign("bad", _CROSS, "bad-line thick", is_notched=True),
    AttemptOutcome.TIMED_OUT: _SVGSign("hatch-late late-line", "M5 1A4.5 4.5 0 1 1 4.9 1ZM5 2.5V5.5H8", "late-line"),
    AttemptOutcome.CANCELLED: _SVGSign("hatch-cut cut-rim", "M5 1A4.5 4.5 0 1 1 4.9 1ZM2.5 8L7.5 3", "soft-line"),
    AttemptOutcome.RUNNER_UP: _SVGSign("hatch-won won-line", "M1 4Q3 1.5 5 4T9 4M1 8Q3 5.5 5 8T9 8", "won-line"),
    AttemptOutcome.GOOD: _SVGSign("won", "M1 6L4 9L9 1.5", "won-line"),
    AttemptOutcome.UNDER_WAY: _SVGSign("open", "M1 5.5H1.1M5 5.5H5.1M9 5.5H9.1", "open-line fat"),
}
_DASH = "M1.5 5.5H8.5"


class _SVGRows:
    """Draws lookups and attempts one below the other; `y` is the lower edge so far.

    Attributes:
        shapes: The markup of bars, dots and arrows.
        labels: The markup of words, to be drawn over everything else.
        has_phases: Whether a bar has two tones.
        has_syn: Whether a bar has a dot, where a SYN was sent again.
    """

    def __init__(self, timeline: Timeline, layout: SVGLayout, y: float) -> None:
        self.timeline, self.layout, self.y = timeline, layout, y
        self.shapes: list[str] = []
        self.labels: list[str] = []
        self.has_phases = False
        self.has_syn = False

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
            self._remark(f"{more} more lookups", _LOOKUP_PITCH)

    def _lookup(self, row: LookupRow) -> None:
        layout = self.layout
        if not layout.has_columns:
            self._words_of_lookup(row)
        else:
            source = labels.source_text(row)
            kind, _, name = source.partition(" ") if row.name else source.rpartition(" ")
            name = fitted(name, layout.names - MARGIN - (width_of(f"{kind} ") if kind else 0), mono=True)
            parts = [(f"{kind} ", "soft"), (name, "ink mono")] if kind else [(name, "ink mono")]
            self.labels.append(texts(layout.names, self.y + _LOOKUP_PITCH / 2 + 4, parts, "e"))
        middle = self.y + _LOOKUP_PITCH / 2
        left, right = layout.bar(row.started, self.timeline.duration if row.until is None else row.until)
        top = middle - _LOOKUP_BAR / 2
        inset, classes = (0.5, "line dash dns-rim") if row.ended is None else (0.0, "dns")
        width, height = right - left - 2 * inset, _LOOKUP_BAR - 2 * inset
        self.shapes.append(rect(left + inset, top + inset, width, height, classes, radius=2))
        if layout.has_columns:
            self._remark_of_lookup(right, middle, row)
        self.y += _LOOKUP_PITCH

    def _words_of_lookup(self, row: LookupRow) -> None:
        """The line above a bar: whose records, and what came."""
        self.y += 12
        room = self.layout.edge - self.layout.margin
        source, result = labels.source_text(row), labels.lookup_text(row, self.timeline)
        classes = "bad-text" if labels.lookup_failed(row) else "soft"
        lines = labels.lines_of(result.split(" "), lambda words: width_of(words) <= 0.6 * room, " ")
        lines = [fitted(words, 0.6 * room) for words in lines]
        self._label(self.layout.margin, self.y, fitted(source, room - max(map(width_of, lines)) - 12), "ink")
        for index, words in enumerate(lines):
            self.y += 14 if index else 0
            self._label(self.layout.edge, self.y, words, f"{classes} e")
        self.y -= 1

    def _remark_of_lookup(self, right: float, middle: float, row: LookupRow) -> None:
        """A remark at the right of a bar: before the line of the end if it fits, or behind it, or else below."""
        words, classes = labels.lookup_text(row, self.timeline), "bad-text" if labels.lookup_failed(row) else "soft"
        width, edge, finish = width_of(words), self.layout.edge, self.layout.finish
        x, y = right + 8, middle + 4
        if labels.end_text(self.timeline) and x + width > finish - 6:
            x = finish + 10
        if x + width > edge:
            self.y += _NOTE
            x, y = self.layout.chart, y + _NOTE
        self._label(x, y, fitted(words, edge - x), classes)

    def _attempts(self) -> None:
        for row in visible_attempts(self.timeline):
            if isinstance(row, Elided):
                self._remark(labels.elided_text(row.attempts), _PITCH - 6)
                continue
            attempt, before = row
            if self.layout.has_columns:
                self._arrow(attempt, before)
                self.y += _LANE
            else:
                self._words(attempt, before)
            self._attempt(attempt)
            self.y += _BAR
            if failure := labels.failure_text(attempt):
                self._failure(attempt, failure)

    def _arrow(self, attempt: AttemptRow, before: AttemptRow | None) -> None:
        """Why it began: dashed for the delay, solid for a failure of the one before."""
        if before is None:
            self.y += 8
            return
        x, words = self.layout.bar(attempt.started, attempt.ended)[0], labels.reason_text(attempt, before)
        classes, tip = ("bad-line thick", "bad") if words == "failure" else ("soft-line dash", "known")
        self.shapes.append(line(x, self.y + 1, x, self.y + _LANE - 4, classes))
        self.shapes.append(path("M-3 0H3L0 4Z", tip, x, self.y + _LANE - 5))
        to_the_left = x - 6 - width_of(words, 10) >= self.layout.chart
        at, anchor = (x - 6, " e") if to_the_left else (x + 8, "")
        self._label(at, self.y + _LANE / 2 + 4, words, f"soft xs{anchor}")

    def _words(self, attempt: AttemptRow, before: AttemptRow | None) -> None:
        """The line above a bar: the address, why the attempt began, how it ended."""
        self.y += 8
        self._ended(attempt)
        self._named(attempt)
        if before is not None:
            x = self.layout.margin + 44 + width_of(self._name(attempt), mono=True) + 8
            words, room = labels.reason_text(attempt, before), self.layout.edge - _OUTCOME - 8 - x
            for shown in (words, " ".join(words.split()[:2])):  # if need be, without where its delay comes from
                if width_of(shown, 10) <= room:
                    self._label(x, self.y + 12, shown, "soft xs")
                    break
        self.y += _WORDS

    def _attempt(self, attempt: AttemptRow) -> None:
        """One attempt: dots, its bar, and with columns its name, how it ended and how long it took."""
        left, right = self.layout.bar(attempt.started, attempt.ended)
        self._dots(attempt.known_since, left)
        self._bar(attempt, left, right, _SIGNS[attempt.outcome])
        if self.layout.has_columns:
            self._named(attempt)
            self._ended(attempt)

    def _ended(self, attempt: AttemptRow) -> None:
        """How an attempt ended, and how long it took."""
        sign, classes = _SIGNS[attempt.outcome], "b ink" if attempt.outcome is AttemptOutcome.WON else "soft"
        self._outcome(sign.sign, sign.color, attempt.outcome.value, classes)
        self._beside_chart(self.layout.edge, seconds_text(attempt.duration), f"{classes} e")

    def _bar(self, attempt: AttemptRow, left: float, right: float, sign: _SVGSign) -> None:
        """A bar, in two tones with a mark between them if there is a phase on top of TCP."""
        middle = left
        if attempt.connected is not None and attempt.has_second_phase:
            self.has_phases = True
            middle = min(max(self.layout.x(attempt.connected), left), right)
        if middle > left + 1:
            self.shapes.append(_rounded(left, self.y, middle - left, f"{sign.bar} half"))
        rest = right - min(middle, right - 1)
        if sign.is_notched:
            notch = min(6.0, rest / 2)
            steps = f"M0 0H{rest:.1f}l-{notch:.1f} {_BAR / 2:.1f}l{notch:.1f} {_BAR / 2:.1f}H0Z"
            self.shapes.append(path(steps, sign.bar, right - rest, self.y))
        else:
            self.shapes.append(_rounded(right - rest, self.y, rest, sign.bar))
        if attempt.connected is not None and attempt.has_second_phase:
            self.shapes.append(line(middle, self.y - 3, middle, self.y + _BAR + 3, "tick"))
        for moment in attempt.syn_sent_again:
            self.has_syn = True
            self.labels.append(circle(self.layout.x(moment), self.y + _BAR / 2, 2.5, "ink dot"))

    def _name(self, row: AttemptRow | UntriedRow) -> str:
        return self._shortened(labels.address_text(row.address, self.timeline), 44)

    def _named(self, row: AttemptRow | UntriedRow) -> None:
        """A name, right-aligned at the chart or, without columns, at the left, and its family in a frame."""
        is_faint, is_winner = isinstance(row, UntriedRow), row is self.timeline.winner
        family, x = labels.family_text(row.address), self.layout.margin
        pill = "pill" if family == "IPv6" else f"line {'pale' if is_faint else 'rim'}"
        radius = 3 if family == "UNIX" else 8
        if family:
            self.shapes.append(rect(x + 0.5, self.y + 0.5, 31, 15, pill, radius=radius))
            words = fitted(family, 29, 10)
            self.labels.append(text(x + 16, self.y + 11.5, words, f"{'faint' if is_faint else 'ink'} xs m"))
        classes = "faint" if is_faint else "b ink" if is_winner else "ink"
        if self.layout.has_columns:
            self.labels.append(text(self.layout.names, self.y + 12, self._name(row), f"{classes} mono e"))
        else:
            self._label(x + 44, self.y + 12, self._name(row), f"{classes} mono")

    def _label(self, x: float, y: float, words: str, classes: str) -> None:
        """A text in the chart; where it would cross a break of the axis, the break is interrupted."""
        kinds = classes.split()
        size = 10.0 if "xs" in kinds else 11.0 if "s" in kinds else 12.0
        width = width_of(words, size, bold="b" in kinds, mono="mono" in kinds)
        left = x - width if "e" in kinds else x
        for mark in map(self.layout.at, self.layout.axis.marks):
            if left - _BREAK < mark < left + width + _BREAK:
                self.labels.append(rect(mark - _BREAK, y - size, 2 * _BREAK, size + 4, "bg"))
        self.labels.append(label(x, y, words, classes))

    def _shortened(self, name: str, taken: float) -> str:
        """Shorten a name to its room; `taken` is the width of what precedes it."""
        room = self.layout.names - MARGIN
        if not self.layout.has_columns:
            room = self.layout.edge - _OUTCOME - 8 - self.layout.margin
        return shortened(name, max(int((room - int(taken)) / _MONO), 4))

    def _outcome(self, sign: str, color: str, word: str, classes: str) -> None:
        x = self.layout.end + 33 if self.layout.has_columns else self.layout.edge - _OUTCOME
        self.labels.append(path(sign, f"icon {color}", x, self.y + 2.5))
        self._beside_chart(x + 17, word, classes)

    def _beside_chart(self, x: float, words: str, classes: str) -> None:
        """Words of a column of their own; where there is none, they are in the chart."""
        if self.layout.has_columns:
            self.labels.append(text(x, self.y + 12, words, classes))
        else:
            self._label(x, self.y + 12, words, classes)

    def _dots(self, known_since: float, until: float) -> None:
        """The time from when an address was known until it was tried."""
        x, middle = self.layout.x(known_since), self.y + _BAR / 2
        if until - x > 3:
            self.shapes.append(line(x + 4, middle, until - 2, middle, "wait dots"))
            self.shapes.append(circle(x, middle, 2, "known"))

    def _failure(self, attempt: AttemptRow, words: str) -> None:
        """What an attempt failed with: right of its bar, or below it where there is no room."""
        left, right = self.layout.bar(attempt.started, attempt.ended)
        finish, classes = (
            self.layout.finish,
            "late-text s" if attempt.outcome is AttemptOutcome.TIMED_OUT else "bad-text s",
        )
        if right + 8 + width_of(words, 11) <= finish - 6:
            self._label(right + 8, self.y - 4, words, classes)
            return
        room = self.layout.edge - self.layout.margin
        lines = labels.failure_in_lines(words, lambda part: width_of(part, 11) <= room)
        x = max(min(left, finish - 6 - max(width_of(part, 11) for part in lines)), self.layout.margin)
        for part in lines:
            self._label(x, self.y + 12, fitted(part, room, 11), classes)
            self.y += _NOTE

    def _untried(self) -> None:
        """The first of the addresses that were not needed."""
        rows, more = visible_untried(self.timeline)
        for row in rows:
            self.y += _LANE if self.layout.has_columns else 8
            self._outcome(_DASH, "soft-line", labels.untried_text(self.timeline), "faint")
            self._named(row)
            if not self.layout.has_columns:
                self.y += _WORDS
            self._dots(row.known_since, self.layout.finish)
            self.y += _BAR
        if more:
            self._remark(f"{more} more, {labels.untried_text(self.timeline)}", _PITCH - 6)
        self.y += 12

    def _remark(self, words: str, height: float) -> None:
        """A line of its own, in the chart."""
        self.y += height
        x, room = self.layout.chart, max(self.layout.finish - 6 - self.layout.chart, 200.0)
        if self.layout.has_columns:
            self.labels.append(text(self.layout.names, self.y - 4, "⋮", "soft e"))
        else:
            words = f"⋮ {words}"
        self._label(x, self.y - 4, fitted(words, room, 11), "soft s")


def _rounded(x: float, y: float, width: float, classes: str) -> str:
    """A bar with round corners; an outline lies inside of it."""
    inset = 0.5 if "hatch" in classes else 0.0
    return rect(x + inset, y + inset, max(width - 2 * inset, 1.0), _BAR - 2 * inset, classes, radius=3)
