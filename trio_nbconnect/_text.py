"""Text: the waterfall of a race, for terminals and `print`.

The headline is the answer. Below it time runs from left to right: a bar for each look-up and each attempt, dots from
when an address was known until it was tried, an arrow that says why each attempt began. Bars that were cut off end at
the winner's line. What became of an attempt is said three times, in the bar, by a glyph and by a word; colour only
repeats it.

What lives here: where things stand and how they look. What does not: facts (`_timeline`), their words (`_wording`)
and cells (`_canvas`). Addresses get what they need, up to half of the room; time gets the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ._axis import axis_of
from ._canvas import Layout, Line, columns_of, shortened
from ._excerpt import Hidden, shown_attempts, shown_look_ups, shown_untried
from ._timeline import AttemptRow, Fate, LookUpRow, Outcome, Timeline
from ._wording import (
    address_text,
    answer_text,
    counts_text,
    end_text,
    error_text,
    family_text,
    hidden_text,
    look_up_failed,
    look_up_text,
    lost_text,
    pace_text,
    reason_text,
    seconds_text,
    source_text,
    target_text,
)

NARROWEST = 50
"""Columns below which no chart is left between an address and its fate."""

_BOLD, _FAINT, _RED, _GREEN, _YELLOW, _MAGENTA = "1", "2", "31", "32", "33", "35"


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


def render_text(timeline: Timeline, *, width: int = 80, color: bool = False, beside: Sequence[Timeline] = ()) -> str:
    """Draw the waterfall of a race: several lines, no newline at the end.

    Args:
        timeline: The race, see `timeline_of`.
        width: How many columns there are; no line is wider. At least 50.
        color: Whether to write escape sequences for colour.
        beside: Others that it is to be compared with: they are given the same scale and the same columns.

    Raises:
        ValueError: `width` is too small.
    """
    if width < NARROWEST:
        raise ValueError(f"width must be at least {NARROWEST}, not {width!r}")
    lines = [*_head(timeline, width)]
    if timeline.look_ups or timeline.attempts or timeline.untried:
        lines += _Waterfall(timeline, _lay_out([timeline, *beside], width)).lines()
    for failure in lost_text(timeline):
        lines.append(line := Line(width))
        line.put(0, failure, _RED)
    return "\n".join(line.text(color=color) for line in lines)


def _head(timeline: Timeline, width: int) -> Iterator[Line]:
    """The answer on one line, or on two where it would not fit, and a summary."""
    target, address = target_text(timeline), address_text(timeline.winner.address, timeline) if timeline.winner else ""
    answer = answer_text(timeline, address)
    line, at = Line(width), columns_of(target) + 2
    line.put(0, target, _BOLD)
    if at + columns_of(answer) > width:
        yield line
        line, at = Line(width), 0
        answer = answer_text(timeline, shortened(address, max(width - columns_of(answer) + columns_of(address), 1)))
    line.put(at, answer, f"{_BOLD};{_OUTCOMES[timeline.outcome]}")
    yield line
    counts, pace = counts_text(timeline), pace_text(timeline)
    summary = f"{counts} · {pace}"
    for text in [summary] if len(summary) <= width else [counts, pace]:
        line = Line(width)
        line.put(0, text, _FAINT)
        yield line


def _lay_out(timelines: Sequence[Timeline], width: int) -> Layout:
    """Divide the columns: families, names, the chart, fates with durations."""
    names = 5 if width >= 60 else 0
    wanted = [_wanted(timeline, width) for timeline in timelines]
    right = 2 + max(right for _, right in wanted)
    room = width - names - right - 1
    left = min(max(left for left, _ in wanted), max(15, room // 2))
    return Layout(
        width=width,
        names=names,
        chart=names + left + 1,
        columns=room - left,
        axis=axis_of(timelines),
        duration=timelines[0].duration,
    )


def _wanted(timeline: Timeline, width: int) -> tuple[int, int]:
    """How many columns names want at the left, and fates and remarks at the right."""
    attempts = [row[0] for row in shown_attempts(timeline) if not isinstance(row, Hidden)]
    untried, look_ups = shown_untried(timeline)[0], shown_look_ups(timeline)[0]
    fates = [_fate_text(attempt) for attempt in attempts]
    fates += ["– not tried" for _ in untried]
    notes = [look_up_text(row) for row in look_ups if row.ended is None or 2 * row.ended > timeline.duration]
    longest_note = width // 3 if fates else width // 2
    texts = [address_text(row.address, timeline) for row in attempts]
    texts += [address_text(row.address, timeline) for row in untried]
    texts += [source_text(row) for row in look_ups]
    right = max([*map(len, fates), *(min(columns_of(note), longest_note) for note in notes)], default=0)
    return max(map(columns_of, texts), default=0), right


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
        yield from self._look_ups()
        yield from self._attempts()
        yield from self._untried()
        if self._end is not None:
            yield self._foot()
        if any(self._connected(attempt) is not None for attempt in self.timeline.attempts):
            legend = Line(self.layout.width)
            legend.put(0, f"{_CONNECTED} TCP connected", _FAINT)
            yield legend

    @property
    def _end(self) -> str | None:
        """The colour of the line at which the race ended, if there is such a line."""
        if not end_text(self.timeline):
            return None
        return {Outcome.WON: _GREEN, Outcome.LOST: _YELLOW}.get(self.timeline.outcome, _FAINT)

    def _axis(self) -> Iterator[Line]:
        """The time, at round numbers that keep their distance."""
        layout = self.layout
        labels, rule, free = Line(layout.width), Line(layout.width), 0
        rule.put(layout.chart, "─" * layout.columns, _FAINT)
        for tick in layout.ticks():
            column = layout.column(tick.time)
            at = min(column, layout.end - len(tick.label)) if tick.behind_break else column
            if at >= free and (at + len(tick.label) <= layout.end or not tick.time):
                labels.put(at, tick.label, _FAINT)
                rule.put(column, "┼" if tick.time else "├", _FAINT)
                free = at + len(tick.label) + 1
        self._tear(rule)
        if self._end is not None:
            rule.put(layout.finish, "┐" if layout.finish == layout.end else "┬", self._end)
        yield labels
        yield rule

    def _line(self, text: str = "", style: str = _FAINT) -> Line:
        """A line that the line at the end crosses, with a remark."""
        line = Line(self.layout.width)
        if self._end is not None:
            line.put(self.layout.finish, "│", self._end)
        line.put(self.layout.names, text, style)
        return line

    def _tear(self, line: Line) -> None:
        """Show in a line that the axis is broken."""
        for mark in self.layout.marks():
            line.replace(mark, BREAK, _FAINT)

    def _named(self, name: str, family: str = "", style: str = "") -> Line:
        """A line with a name, flush with the chart."""
        line, layout = self._line(), self.layout
        if layout.names:
            line.put(0, family, style or _FAINT)
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
        note, style = look_up_text(row), _RED if look_up_failed(row) else _FAINT
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
        name = address_text(attempt.address, self.timeline)
        line = self._named(name, family_text(attempt.address), _BOLD if attempt.fate is Fate.WON else "")
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
            line = self._named(address_text(row.address, self.timeline), family_text(row.address), _FAINT)
            self._dots(line, row.known_since, self.layout.finish)
            self._tear(line)
            line.put(self.layout.end + 2, "– not tried", _FAINT)
            yield line
        if more:
            yield self._line(f"⋮ {more} more, not tried")

    def _dots(self, line: Line, known_since: float, until: int) -> None:
        """The time that an address was known and waited."""
        first = self.layout.column(known_since)
        if first < until:
            line.put(first, "•" + "·" * (until - first - 1), _FAINT)

    def _foot(self) -> Line:
        """The end of the line at the end."""
        line, text = Line(self.layout.width), end_text(self.timeline)
        if len(text) < self.layout.finish:
            line.put_before(self.layout.finish, f"{text} ", self._end or "")
            line.put(self.layout.finish, "┘", self._end or "")
        else:
            line.put(self.layout.finish, f"└ {text}", self._end or "")
        return line


_IN_ASCII = str.maketrans("─┼├┐┬┘└│━╍█▓▒░▞┃╱•·↓✓✗◷⊘≈…–⋮╰▁▂▃▄▅▆▇", "-++++++|=-#x~:%!/o.v+xT/~.-:`1234567")


def encodable(picture: str, encoding: str) -> str:
    """Return a picture as it is if an encoding has all of its glyphs, or else with letters and signs in their place.

    Example:
        >>> encodable("│ ✓ won", "utf-8"), encodable("│ ✓ won", "latin-1")
        ('│ ✓ won', '| + won')
    """
    try:
        picture.encode(encoding)
    except UnicodeEncodeError:
        return picture.translate(_IN_ASCII)
    return picture
