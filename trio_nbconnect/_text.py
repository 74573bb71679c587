"""Text: the waterfall of a race, for terminals and `print`.

The headline is the answer. Below it time runs from left to right: a bar for each look-up and each attempt, dots from
when an address was known until it was tried, an arrow that says why each attempt began. Bars that were cut off end at
the winner's line. What became of an attempt is said three times, in the bar, by a glyph and by a word; colour only
repeats it.

What lives here: where things stand and how they look. What does not: facts (`_timeline`), their words (`_wording`)
and cells (`_canvas`). Addresses get what they need, up to half of the room; time gets the rest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ._canvas import Layout, Line, columns_of, shortened
from ._timeline import AttemptRow, Fate, LookUpRow, Outcome, Timeline, UntriedRow
from ._wording import (
    answer_text,
    counts_text,
    error_text,
    family_text,
    look_up_text,
    pace_text,
    reason_text,
    seconds_text,
    source_text,
    target_text,
)

NARROWEST = 50
"""Columns below which no chart is left between an address and its fate."""

_SHOWN_AT_EACH_END = 8
"""How many attempts are shown at the beginning and at the end of a long race, and half as many untried addresses."""

_BOLD, _FAINT, _RED, _GREEN, _YELLOW, _MAGENTA = "1", "2", "31", "32", "33", "35"


_CONNECTED = "┃"
"""In a bar: TCP is connected, and what was to be established on top of it begins."""


@dataclass(frozen=True, slots=True)
class _Look:
    """How a fate looks."""

    glyph: str
    bar: str
    color: str


_LOOKS = {
    Fate.WON: _Look("✓", "█", _GREEN),
    Fate.REFUSED: _Look("✗", "▓", _RED),
    Fate.FAILED: _Look("✗", "▓", _RED),
    Fate.TIMED_OUT: _Look("◷", "▒", _YELLOW),
    Fate.CANCELLED: _Look("⊘", "░", _FAINT),
    Fate.RUNNER_UP: _Look("≈", "▞", _GREEN),
    Fate.UNDER_WAY: _Look("…", "╍", _BOLD),
}

_OUTCOMES = {
    Outcome.WON: _GREEN,
    Outcome.LOST: _RED,
    Outcome.CANCELLED: _YELLOW,
    Outcome.UNDER_WAY: _BOLD,
}


def render_text(timeline: Timeline, *, width: int = 80, color: bool = False) -> str:
    """Draw the waterfall of a race: several lines, no newline at the end.

    Args:
        timeline: The race, see `timeline_of`.
        width: How many columns there are; no line is wider. At least 50.
        color: Whether to write escape sequences for colour.

    Raises:
        ValueError: `width` is too small.
    """
    if width < NARROWEST:
        raise ValueError(f"width must be at least {NARROWEST}, not {width!r}")
    lines = [*_head(timeline, width)]
    if timeline.look_ups or timeline.attempts or timeline.untried:
        lines += _Waterfall(timeline, _lay_out(timeline, width)).lines()
    return "\n".join(line.text(color=color) for line in lines)


def _head(timeline: Timeline, width: int) -> Iterator[Line]:
    """The answer on one line, or on two where it would not fit, and a summary."""
    target, address = target_text(timeline), timeline.winner.address.ip if timeline.winner else ""
    answer = answer_text(timeline, address)
    line, at = Line(width), columns_of(target) + 2
    line.put(0, target, _BOLD)
    if at + len(answer) > width:
        yield line
        line, at = Line(width), 0
        answer = answer_text(timeline, shortened(address, width - len(answer) + len(address)))
    line.put(at, answer, f"{_BOLD};{_OUTCOMES[timeline.outcome]}")
    yield line
    counts, pace = counts_text(timeline), pace_text(timeline)
    summary = f"{counts} · {pace}"
    for text in [summary] if len(summary) <= width else [counts, pace]:
        line = Line(width)
        line.put(0, text, _FAINT)
        yield line


def _lay_out(timeline: Timeline, width: int) -> Layout:
    """Divide the columns: families, names, the chart, fates with durations."""
    names = 5 if width >= 60 else 0
    fates = [_fate_text(attempt) for attempt in timeline.attempts]
    fates += ["– not tried" for _ in timeline.untried]
    notes = [look_up_text(row) for row in timeline.look_ups if row.ended is None or 2 * row.ended > timeline.duration]
    longest_note = width // 3 if fates else width // 2
    right = 2 + max([*map(len, fates), *(min(len(note), longest_note) for note in notes)], default=0)
    texts = [attempt.address.ip for attempt in timeline.attempts] + [row.address.ip for row in timeline.untried]
    texts += [source_text(row) for row in timeline.look_ups]
    room = width - names - right - 1
    left = min(max(map(len, texts), default=0), max(15, room // 2))
    return Layout(width=width, names=names, chart=names + left + 1, columns=room - left, span=timeline.duration)


def _fate_text(attempt: AttemptRow) -> str:
    """The glyph, the word and the duration, as wide as they are at least."""
    return f"{_LOOKS[attempt.fate].glyph} {attempt.fate.value:9} {seconds_text(attempt.duration):>7}"


@dataclass(frozen=True, slots=True)
class _Waterfall:
    """The picture below the headline."""

    timeline: Timeline
    layout: Layout

    def lines(self) -> Iterator[Line]:
        yield Line(self.layout.width)
        yield from self._axis()
        for look_up in self.timeline.look_ups:
            yield self._look_up(look_up)
        yield from self._attempts(self.timeline.attempts)
        yield from self._untried(self.timeline.untried)
        if self.timeline.outcome is Outcome.WON:
            yield self._foot()
        if any(self._connected(attempt) is not None for attempt in self.timeline.attempts):
            legend = Line(self.layout.width)
            legend.put(0, f"{_CONNECTED} TCP connected", _FAINT)
            yield legend

    def _axis(self) -> Iterator[Line]:
        """The time, at round numbers that keep their distance."""
        layout, ticks = self.layout, self.layout.ticks()
        labels, rule = Line(layout.width), Line(layout.width)
        rule.put(layout.chart, "─" * layout.columns, _FAINT)
        factor, unit = (1.0, "s") if len(ticks) > 1 and ticks[1] >= 1 else (1000.0, "ms")
        for tick in ticks:
            label = f"{tick * factor:g}" if tick else f"0 {unit}"
            column = layout.column(tick)
            if column + len(label) <= layout.end or not tick:
                labels.put(column, label, _FAINT)
                rule.put(column, "┼" if tick else "├", _FAINT)
        if self.timeline.outcome is Outcome.WON:
            rule.put(layout.end, "┐", _GREEN)
        yield labels
        yield rule

    def _line(self, text: str = "", style: str = _FAINT) -> Line:
        """A line that the winner's line crosses, with a remark."""
        line = Line(self.layout.width)
        if self.timeline.outcome is Outcome.WON:
            line.put(self.layout.end, "│", _GREEN)
        line.put(self.layout.names, text, style)
        return line

    def _named(self, name: str, family: str = "", style: str = "") -> Line:
        """A line with a name, flush with the chart."""
        line, layout = self._line(), self.layout
        if layout.names:
            line.put(0, family, style or _FAINT)
        line.put_before(layout.chart - 1, shortened(name, layout.chart - 1 - layout.names), style)
        return line

    def _look_up(self, row: LookUpRow) -> Line:
        line = self._named(source_text(row))
        first, end = self.layout.bar(row.started, self.timeline.duration if row.ended is None else row.ended)
        line.put(first, ("╍" if row.ended is None else "━") * (end - first), _MAGENTA)
        at = end + 1 if end < self.layout.end else end + 2
        line.put(at, look_up_text(row), _FAINT if row.error is None else _RED)
        return line

    def _attempts(self, attempts: Sequence[AttemptRow]) -> Iterator[Line]:
        """Each attempt, and before it why it began; of a long race the middle is counted, not shown."""
        hidden: list[AttemptRow] = []
        for place, attempt in enumerate(attempts):
            at_an_end = min(place, len(attempts) - 1 - place) < _SHOWN_AT_EACH_END
            if not at_an_end and attempt.fate is not Fate.WON:
                hidden.append(attempt)
                continue
            if hidden:
                yield self._line(_hidden_text(hidden))
                hidden.clear()
            yield self._reason(attempt, attempts[place - 1]) if place else self._line()
            yield self._attempt(attempt)
            if attempt.fate is Fate.FAILED and attempt.error is not None:
                yield self._line(f"╰ {error_text(attempt.error)}", _RED)

    def _reason(self, attempt: AttemptRow, before: AttemptRow) -> Line:
        """Why an attempt began, above its start."""
        line, column = self._line(), self.layout.column(attempt.started)
        label = reason_text(attempt, before)
        style = _RED if label == "failure" else _FAINT
        line.put(column, "↓", style)
        line.put_before(column - 1, label, style)
        return line

    def _attempt(self, attempt: AttemptRow) -> Line:
        """One attempt: dots, its bar, its fate and how long it took."""
        look, layout = _LOOKS[attempt.fate], self.layout
        style = f"{_BOLD};{look.color}" if attempt.fate is Fate.WON else look.color
        line = self._named(attempt.address.ip, family_text(attempt.address), _BOLD if attempt.fate is Fate.WON else "")
        first, end = layout.bar(attempt.started, attempt.ended)
        self._dots(line, attempt.known_since, first)
        line.put(first, look.bar * (end - first), look.color)
        if (connected := self._connected(attempt)) is not None:
            line.put(connected, _CONNECTED, look.color)
        line.put(layout.end + 2, f"{look.glyph} {attempt.fate.value}", style)
        line.put_before(layout.width, seconds_text(attempt.duration), style)
        return line

    def _connected(self, attempt: AttemptRow) -> int | None:
        """Where TCP ends in a bar and the rest begins, if both have a column of their own."""
        if attempt.connected is None or attempt.connected == attempt.ended:
            return None
        first, end = self.layout.bar(attempt.started, attempt.ended)
        column = self.layout.column(attempt.connected)
        return column if first < column < end - 1 else None

    def _untried(self, rows: Sequence[UntriedRow]) -> Iterator[Line]:
        """The addresses that were not needed, the first of them."""
        shown = _SHOWN_AT_EACH_END // 2
        if rows:
            yield self._line()
        for row in rows[:shown]:
            line = self._named(row.address.ip, family_text(row.address), _FAINT)
            self._dots(line, row.known_since, self.layout.end)
            line.put(self.layout.end + 2, "– not tried", _FAINT)
            yield line
        if len(rows) > shown:
            yield self._line(f"⋮ {len(rows) - shown} more, not tried")

    def _dots(self, line: Line, known_since: float, until: int) -> None:
        """The time that an address was known and waited."""
        first = self.layout.column(known_since)
        if first < until:
            line.put(first, "•" + "·" * (until - first - 1), _FAINT)

    def _foot(self) -> Line:
        """The end of the winner's line."""
        line = Line(self.layout.width)
        line.put_before(self.layout.end, f"connected {seconds_text(self.timeline.duration)} ", _GREEN)
        line.put(self.layout.end, "┘", _GREEN)
        return line


def _hidden_text(hidden: Sequence[AttemptRow]) -> str:
    fates = Counter(attempt.fate.value for attempt in hidden).most_common()
    return f"⋮ {len(hidden)} more attempts, {', '.join(f'{number} {fate}' for fate, number in fates)}"
