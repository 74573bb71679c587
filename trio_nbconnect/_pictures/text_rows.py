"""Text rows: the waterfall below the headline, line by line.

What became of an attempt is said three times, in the bar, by a glyph and by a word; colour only repeats it. What lives
here: one line for the axis, for each look-up, for each attempt and for why it began. What does not: where columns are,
which is for `_text` and `_canvas`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .canvas import Layout, Line, columns_of, shortened
from .excerpt import Hidden, shown_attempts, shown_look_ups, shown_untried
from .labels import (
    address_text,
    end_text,
    error_text,
    family_text,
    hidden_text,
    look_up_failed,
    look_up_text,
    reason_text,
    seconds_text,
    source_text,
)
from .timeline import AttemptRow, Fate, LookUpRow, Outcome, Timeline

BOLD, FAINT, RED, GREEN, YELLOW, _MAGENTA = "1", "2", "31", "32", "33", "35"


_CONNECTED = "┃"
"""In a bar: TCP is connected, and what was to be established on top of it begins."""

BREAK = "╱"
"""The axis is not to scale here: a long time in which nothing happened has been left out."""


@dataclass(frozen=True, slots=True)
class _Look:
    """How a fate looks."""

    glyph: str
    bar: str
    color: str


_LOOKS = {
    Fate.WON: _Look("✓", "█", GREEN),
    Fate.REFUSED: _Look("✗", "▓", RED),
    Fate.FAILED: _Look("✗", "▓", RED),
    Fate.TIMED_OUT: _Look("◷", "▒", YELLOW),
    Fate.CANCELLED: _Look("⊘", "░", FAINT),
    Fate.RUNNER_UP: _Look("≈", "▞", GREEN),
    Fate.UNDER_WAY: _Look("…", "╍", BOLD),
}


def fate_text(attempt: AttemptRow) -> str:
    """The glyph, the word and the duration, as wide as they are at least."""
    return f"{_LOOKS[attempt.fate].glyph} {attempt.fate.value:9} {seconds_text(attempt.duration):>7}"


@dataclass(frozen=True, slots=True)
class Waterfall:
    """The picture below the headline."""

    timeline: Timeline
    layout: Layout

    def lines(self) -> Iterator[Line]:
        yield Line(self.layout.width)
        yield from self._axis()
        yield from self._look_ups()
        yield from self._attempts()
        yield from self._untried()
        if self._end is not None:
            yield self._foot()
        if any(self._connected(attempt) is not None for attempt in self.timeline.attempts):
            legend = Line(self.layout.width)
            legend.put(0, f"{_CONNECTED} TCP connected", FAINT)
            yield legend

    @property
    def _end(self) -> str | None:
        """The colour of the line at which the race ended, if there is such a line."""
        if not end_text(self.timeline):
            return None
        return {Outcome.WON: GREEN, Outcome.LOST: YELLOW}.get(self.timeline.outcome, FAINT)

    def _axis(self) -> Iterator[Line]:
        """The time, at round numbers that keep their distance."""
        layout = self.layout
        labels, rule, free = Line(layout.width), Line(layout.width), 0
        rule.put(layout.chart, "─" * layout.columns, FAINT)
        for tick in layout.ticks():
            column = layout.column(tick.time)
            at = min(column, layout.end - len(tick.label)) if tick.behind_break else column
            if at >= free and (at + len(tick.label) <= layout.end or not tick.time):
                labels.put(at, tick.label, FAINT)
                rule.put(column, "┼" if tick.time else "├", FAINT)
                free = at + len(tick.label) + 1
        self._tear(rule)
        if self._end is not None:
            rule.put(layout.finish, "┐" if layout.finish == layout.end else "┬", self._end)
        yield labels
        yield rule

    def _line(self, text: str = "", style: str = FAINT) -> Line:
        """A line that the line at the end crosses, with a remark."""
        line = Line(self.layout.width)
        if self._end is not None:
            line.put(self.layout.finish, "│", self._end)
        line.put(self.layout.names, text, style)
        return line

    def _tear(self, line: Line) -> None:
        """Show in a line that the axis is broken."""
        for mark in self.layout.marks():
            line.replace(mark, BREAK, FAINT)

    def _named(self, name: str, family: str = "", style: str = "") -> Line:
        """A line with a name, flush with the chart."""
        line, layout = self._line(), self.layout
        if layout.names:
            line.put(0, family, style or FAINT)
        line.put_before(layout.chart - 1, shortened(name, layout.chart - 1 - layout.names), style)
        return line

    def _look_ups(self) -> Iterator[Line]:
        rows, more = shown_look_ups(self.timeline)
        for row in rows:
            yield from self._look_up(row)
        if more:
            yield self._line(f"⋮ {more} more look-ups")

    def _look_up(self, row: LookUpRow) -> Iterator[Line]:
        """A bar and a remark: before the line at the end if it fits, or behind it, or else below."""
        line, layout = self._named(source_text(row)), self.layout
        first, end = layout.bar(row.started, self.timeline.duration if row.ended is None else row.ended)
        line.put(first, ("╍" if row.ended is None else "━") * (end - first), _MAGENTA)
        self._tear(line)
        note, style = look_up_text(row), RED if look_up_failed(row) else FAINT
        at = end + 1 if end < layout.finish else end + 2
        behind = layout.finish + 2
        if self._end and at < behind < at + columns_of(note) + 2 and behind + columns_of(note) <= layout.width:
            at = behind
        if at + columns_of(note) <= layout.width:
            line.put(at, note, style)
            yield line
        else:
            yield line
            yield self._line(f"╰ {note}", style)

    def _attempts(self) -> Iterator[Line]:
        """Each attempt, and before it why it began; of a long race the middle is counted, not shown."""
        for shown in shown_attempts(self.timeline):
            if isinstance(shown, Hidden):
                yield self._line(f"⋮ {hidden_text(shown.attempts)}")
                continue
            attempt, before = shown
            yield self._reason(attempt, before) if before else self._line()
            yield self._attempt(attempt)
            if attempt.fate is Fate.FAILED and attempt.error is not None:
                yield self._line(f"╰ {error_text(attempt.error)}", RED)

    def _reason(self, attempt: AttemptRow, before: AttemptRow) -> Line:
        """Why an attempt began, above its start."""
        line, column = self._line(), self.layout.column(attempt.started)
        label = reason_text(attempt, before)
        style = RED if label == "failure" else FAINT
        line.put(column, "↓", style)
        line.put_before(column - 1, label, style)
        return line

    def _attempt(self, attempt: AttemptRow) -> Line:
        """One attempt: dots, its bar, its fate and how long it took."""
        look, layout = _LOOKS[attempt.fate], self.layout
        style = f"{BOLD};{look.color}" if attempt.fate is Fate.WON else look.color
        name = address_text(attempt.address, self.timeline)
        line = self._named(name, family_text(attempt.address), BOLD if attempt.fate is Fate.WON else "")
        first, end = layout.bar(attempt.started, attempt.ended)
        self._dots(line, attempt.known_since, first)
        line.put(first, look.bar * (end - first), look.color)
        if (connected := self._connected(attempt)) is not None:
            line.put(connected, _CONNECTED, look.color)
        self._tear(line)
        line.put(layout.end + 2, f"{look.glyph} {attempt.fate.value}", style)
        line.put_before(layout.width, seconds_text(attempt.duration), style)
        return line

    def _connected(self, attempt: AttemptRow) -> int | None:
        """Where TCP ends in a bar and the rest begins, if both have a column of their own."""
        if attempt.connected is None or not attempt.has_second_phase:
            return None
        first, end = self.layout.bar(attempt.started, attempt.ended)
        column = self.layout.column(attempt.connected)
        return column if first < column < end - 1 else None

    def _untried(self) -> Iterator[Line]:
        """The addresses that were not needed, the first of them."""
        rows, more = shown_untried(self.timeline)
        if rows:
            yield self._line()
        for row in rows:
            line = self._named(address_text(row.address, self.timeline), family_text(row.address), FAINT)
            self._dots(line, row.known_since, self.layout.finish)
            self._tear(line)
            line.put(self.layout.end + 2, "– not tried", FAINT)
            yield line
        if more:
            yield self._line(f"⋮ {more} more, not tried")

    def _dots(self, line: Line, known_since: float, until: int) -> None:
        """The time that an address was known and waited."""
        first = self.layout.column(known_since)
        if first < until:
            line.put(first, "•" + "·" * (until - first - 1), FAINT)

    def _foot(self) -> Line:
        """The end of the line at the end."""
        line, text = Line(self.layout.width), end_text(self.timeline)
        if len(text) < self.layout.finish:
            line.put_before(self.layout.finish, f"{text} ", self._end or "")
            line.put(self.layout.finish, "┘", self._end or "")
        else:
            line.put(self.layout.finish, f"└ {text}", self._end or "")
        return line
