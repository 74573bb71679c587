"""Text: the waterfall of a race, for terminals and `print`.

The headline says how the race ended. Below it time runs from left to right: a bar for each lookup and each attempt,
dots while an address was known and not yet tried, an arrow that says why each attempt began. Bars of attempts that were
cancelled end at the winner's line. How an attempt ended is shown by its bar, a sign and a word; colour only repeats it.

Addresses get the columns they need, up to half of the width without the right side; time gets the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .._printable import seconds_text
from .axis import axis_of
from .canvas import Line, TextLayout, columns_of, cut, shortened
from .labels import (
    address_text,
    answer_text,
    connection_parts,
    elided_text,
    end_text,
    failure_in_lines,
    failure_text,
    family_text,
    lines_of,
    lookup_failed,
    lookup_text,
    lost_text,
    phases_text,
    reason_text,
    source_text,
    summary_texts,
    target_text,
    untried_text,
)
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

BOLD, FAINT, RED, GREEN, YELLOW, _MAGENTA = "1", "2", "31", "32", "33", "35"
"""Styles: numbers of SGR (ECMA-48, section 8.3.117)."""


_CONNECTED = "┃"
"""In a bar: TCP is connected, and the phase on top of it begins."""

_SENT_AGAIN = "┆"
"""In a bar: the kernel has sent the SYN again."""

BREAK = "╱"
"""The axis is broken here: a long time in which nothing happened is left out."""

NARROWEST = 50
"""Columns; with fewer there is no room for a chart."""

_HEADLINE_STYLES = {
    RaceOutcome.WON: GREEN,
    RaceOutcome.LOST: RED,
    RaceOutcome.CANCELLED: YELLOW,
    RaceOutcome.UNDER_WAY: BOLD,
}


def render_text(
    timeline: Timeline,
    *,
    width: int = 80,
    color: bool = False,
    until: float | None = None,
    compared_with: Sequence[Timeline] = (),
) -> str:
    """Draw the waterfall of a race: several lines, no newline at the end.

    Args:
        timeline: The race, see `timeline_of`.
        width: How many columns there are; no line is wider. At least 50.
        color: Whether to write escape sequences for colour.
        until: Seconds that the axis has at least, see `axis_of`.
        compared_with: Other races, drawn by calls of their own: all get the same scale and the same columns.

    Raises:
        ValueError: `width` is too small.
    """
    if width < NARROWEST:
        raise ValueError(f"width must be at least {NARROWEST}, not {width!r}")
    lines = [*_head(timeline, width)]
    if timeline.lookups or timeline.attempts or timeline.untried:
        lines += _TextRows(timeline, _lay_out([timeline, *compared_with], width, until)).lines()
    for failure in lost_text(timeline):
        lines.append(line := Line(width))
        line.put(0, failure, RED)
    return "\n".join(line.text(color=color) for line in lines)


def _head(timeline: Timeline, width: int) -> Iterator[Line]:
    """The answer, on two lines where one is too short, and a summary."""
    target, address = target_text(timeline), address_text(timeline.winner.address, timeline) if timeline.winner else ""
    answer = answer_text(timeline, address)
    line, at = Line(width), columns_of(target) + 2
    line.put(0, target, BOLD)
    if at + columns_of(answer) > width:
        yield line
        line, at = Line(width), 0
        answer = answer_text(timeline, shortened(address, max(width - columns_of(answer) + columns_of(address), 1)))
    line.put(at, answer, f"{BOLD};{_HEADLINE_STYLES[timeline.outcome]}")
    yield line
    for text in summary_texts(timeline, lambda text: columns_of(text) <= width):
        line = Line(width)
        line.put(0, text, FAINT)
        yield line


def _lay_out(timelines: Sequence[Timeline], width: int, until: float | None) -> TextLayout:
    """Divide the columns: families, names, the chart, outcomes with durations."""
    names = 5 if width >= 60 else 0
    needed = [_needed(timeline, width) for timeline in timelines]
    right = 2 + max(right for _, right in needed)
    room = width - names - right - 1
    left = min(max(left for left, _ in needed), max(15, room // 2))
    return TextLayout(
        width=width,
        names=names,
        chart=names + left + 1,
        columns=room - left,
        axis=axis_of(timelines, until),
        duration=timelines[0].duration,
    )


def _needed(timeline: Timeline, width: int) -> tuple[int, int]:
    """How many columns names need at the left, and outcomes and remarks at the right."""
    attempts = [row[0] for row in visible_attempts(timeline) if not isinstance(row, Elided)]
    untried, lookups = visible_untried(timeline)[0], visible_lookups(timeline)[0]
    outcomes = [_outcome_text(attempt) for attempt in attempts]
    outcomes += [f"– {untried_text(timeline)}" for _ in untried]
    notes = [lookup_text(row, timeline) for row in lookups if row.until is None or 2 * row.until > timeline.duration]
    longest_note = width // 3 if outcomes else width // 2
    texts = [address_text(row.address, timeline) for row in attempts]
    texts += [address_text(row.address, timeline) for row in untried]
    texts += [source_text(row) for row in lookups]
    right = max([*map(len, outcomes), *(min(columns_of(note), longest_note) for note in notes)], default=0)
    return max(map(columns_of, texts), default=0), right


_IN_ASCII = str.maketrans("─┼├┐┬┘└│━╍█▓▒░▞┃┆╱•·↓✓✗◷⊘≈…–⋮╰▁▂▃▄▅▆▇", "-++++++|=-#x~:%!^/o.v+xT/~.-:`1234567")


def encodable(picture: str, encoding: str) -> str:
    """Return a picture as it is if an encoding has all of its characters, or else in ASCII.

    Example:
        >>> encodable("│ ✓ won", "utf-8"), encodable("│ ✓ won", "latin-1")
        ('│ ✓ won', '| + won')
    """
    try:
        picture.encode(encoding)
    except UnicodeEncodeError:
        return picture.translate(_IN_ASCII)
    return picture


@dataclass(frozen=True, slots=True)
class _TextSign:
    """How an attempt with an outcome is drawn."""

    sign: str
    bar: str
    color: str
    ends_with_sign: bool = False
    """Whether the bar ends with the sign, so that failures and successes differ in more than their shade."""


_SIGNS = {
    AttemptOutcome.WON: _TextSign("✓", "█", GREEN),
    AttemptOutcome.REFUSED: _TextSign("✗", "▓", RED, ends_with_sign=True),
    AttemptOutcome.FAILED: _TextSign("✗", "▓", RED, ends_with_sign=True),
    AttemptOutcome.TIMED_OUT: _TextSign("◷", "▒", YELLOW, ends_with_sign=True),
    AttemptOutcome.CANCELLED: _TextSign("⊘", "░", FAINT),
    AttemptOutcome.RUNNER_UP: _TextSign("≈", "▞", GREEN),
    AttemptOutcome.UNDER_WAY: _TextSign("…", "╍", BOLD),
    AttemptOutcome.GOOD: _TextSign("✓", "█", GREEN),
}


def _outcome_text(attempt: AttemptRow) -> str:
    """The sign, the word and the duration, as wide as they are at least."""
    return f"{_SIGNS[attempt.outcome].sign} {attempt.outcome.value:9} {seconds_text(attempt.duration):>7}"


@dataclass(frozen=True, slots=True)
class _TextRows:
    """The picture below the headline, line by line."""

    timeline: Timeline
    layout: TextLayout

    def lines(self) -> Iterator[Line]:
        yield Line(self.layout.width)
        yield from self._axis()
        yield from self._lookups()
        yield from self._attempts()
        yield from self._untried()
        if self._end is not None:
            yield self._foot()
        attempts, legend = self.timeline.attempts, []
        if any(self._connected(attempt) is not None for attempt in attempts):
            legend.append(f"{_CONNECTED} TCP connected, then {phases_text(self.timeline)}")
        if any(attempt.syn_sent_again for attempt in attempts):
            legend.append(f"{_SENT_AGAIN} SYN sent again")
        room = self.layout.width - self.layout.names
        for parts in (legend, connection_parts(self.timeline)):
            for words in lines_of(parts, lambda text: columns_of(text) <= room):
                line = Line(self.layout.width)
                line.put(self.layout.names, words, FAINT)
                yield line

    @property
    def _end(self) -> str | None:
        """The colour of the line at which the race ended, if there is such a line."""
        if not end_text(self.timeline):
            return None
        lost = YELLOW if self.timeline.gave_up else RED
        return {RaceOutcome.WON: GREEN, RaceOutcome.LOST: lost}.get(self.timeline.outcome, FAINT)

    def _axis(self) -> Iterator[Line]:
        """The time, at round numbers that do not touch each other."""
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
        self._mark_breaks(rule)
        if self._end is not None:
            rule.put(layout.finish, "┐" if layout.finish == layout.end else "┬", self._end)
        yield labels
        yield rule

    def _line(self, text: str = "", style: str = FAINT) -> Line:
        """A line crossed by the vertical line of the end, with a remark."""
        line = Line(self.layout.width)
        if self._end is not None:
            line.put(self.layout.finish, "│", self._end)
        line.put(self.layout.names, text, style)
        return line

    def _mark_breaks(self, line: Line) -> None:
        """Mark the breaks of the axis in a line."""
        for mark in self.layout.marks():
            line.replace(mark, BREAK, FAINT)

    def _named(self, name: str, family: str = "", style: str = "") -> Line:
        """A line with a name, right-aligned at the chart."""
        line, layout = self._line(), self.layout
        if layout.names:
            line.put(0, family[: layout.names - 1], style or FAINT)
        line.put_before(layout.chart - 1, name, style)
        return line

    def _address(self, row: AttemptRow | UntriedRow) -> str:
        """Where to, shortened to its column."""
        return shortened(address_text(row.address, self.timeline), self.layout.chart - 1 - self.layout.names)

    def _lookups(self) -> Iterator[Line]:
        rows, more = visible_lookups(self.timeline)
        for row in rows:
            yield from self._lookup(row)
        if more:
            yield self._line(f"⋮ {more} more lookups")

    def _lookup(self, row: LookupRow) -> Iterator[Line]:
        """A bar and a remark: before the line of the end if it fits, or behind it, or else below."""
        layout = self.layout
        line = self._named(cut(source_text(row), layout.chart - 1 - layout.names))
        first, end = layout.bar(row.started, self.timeline.duration if row.until is None else row.until)
        line.put(first, ("╍" if row.ended is None else "━") * (end - first), _MAGENTA)
        self._mark_breaks(line)
        note, style = lookup_text(row, self.timeline), RED if lookup_failed(row) else FAINT
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
        """Each attempt, and above it why it began; the middle of a long race is counted, not shown."""
        for row in visible_attempts(self.timeline):
            if isinstance(row, Elided):
                yield self._line(f"⋮ {elided_text(row.attempts)}")
                continue
            attempt, before = row
            yield self._reason(attempt, before) if before else self._line()
            yield self._attempt(attempt)
            if failure := failure_text(attempt):
                yield from self._failure(failure, _SIGNS[attempt.outcome].color)

    def _failure(self, words: str, color: str) -> Iterator[Line]:
        """What an attempt failed with; on several lines where one is too short."""
        room = self.layout.width - self.layout.names - 2
        for index, line in enumerate(failure_in_lines(words, lambda text: columns_of(text) <= room)):
            yield self._line(f"  {line}" if index else f"╰ {line}", color)

    def _reason(self, attempt: AttemptRow, before: AttemptRow) -> Line:
        """Why an attempt began, above its start."""
        line, column = self._line(), self.layout.column(attempt.started)
        label = reason_text(attempt, before)
        style = RED if label == "failure" else FAINT
        line.put(column, "↓", style)
        line.put_before(column - 1, label, style)
        return line

    def _attempt(self, attempt: AttemptRow) -> Line:
        """One attempt: dots, its bar, how it ended and how long it took."""
        sign, layout = _SIGNS[attempt.outcome], self.layout
        style = f"{BOLD};{sign.color}" if attempt.outcome is AttemptOutcome.WON else sign.color
        line = self._named(
            self._address(attempt), family_text(attempt.address), BOLD if attempt.outcome is AttemptOutcome.WON else ""
        )
        first, end = self._bar(attempt)
        self._dots(line, attempt.known_since, first)
        line.put(first, sign.bar * (end - first), sign.color)
        self._mark_breaks(line)
        for moment in attempt.syn_sent_again:
            line.put(layout.column(moment), _SENT_AGAIN, sign.color)
        if sign.ends_with_sign:
            line.put(end - 1, sign.sign, sign.color)
        if (connected := self._connected(attempt)) is not None:
            line.put(connected, _CONNECTED, sign.color)
        line.put(layout.end + 2, f"{sign.sign} {attempt.outcome.value}", style)
        line.put_before(layout.width, seconds_text(attempt.duration), style)
        return line

    def _connected(self, attempt: AttemptRow) -> int | None:
        """The column in the bar where TCP is connected, if something followed; a phase of no width is seen, too."""
        if attempt.connected is None or not attempt.has_second_phase:
            return None
        first, end = self._bar(attempt)
        return max(first, min(self.layout.column(attempt.connected), end - 2))

    def _bar(self, attempt: AttemptRow) -> tuple[int, int]:
        """The columns of a bar: at least two for two phases, where there is room."""
        first, end = self.layout.bar(attempt.started, attempt.ended)
        if attempt.has_second_phase and attempt.connected is not None and end - first == 1:
            if end < self.layout.finish:
                end += 1
            elif first > self.layout.chart:
                first -= 1
        return first, end

    def _untried(self) -> Iterator[Line]:
        """The first of the addresses that were not needed."""
        rows, more = visible_untried(self.timeline)
        if rows:
            yield self._line()
        for row in rows:
            line = self._named(self._address(row), family_text(row.address), FAINT)
            self._dots(line, row.known_since, self.layout.finish)
            self._mark_breaks(line)
            line.put(self.layout.end + 2, f"– {untried_text(self.timeline)}", FAINT)
            yield line
        if more:
            yield self._line(f"⋮ {more} more, {untried_text(self.timeline)}")

    def _dots(self, line: Line, known_since: float, until: int) -> None:
        """The time from when an address was known until it was tried."""
        first = self.layout.column(known_since)
        if first < until:
            line.put(first, "•" + "·" * (until - first - 1), FAINT)

    def _foot(self) -> Line:
        """The label of the line of the end."""
        line, text = Line(self.layout.width), end_text(self.timeline)
        if len(text) < self.layout.finish:
            line.put_before(self.layout.finish, f"{text} ", self._end or "")
            line.put(self.layout.finish, "┘", self._end or "")
        else:
            line.put(self.layout.finish, f"└ {text}", self._end or "")
        return line
