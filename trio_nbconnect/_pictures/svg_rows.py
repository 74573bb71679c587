"""SVG rows: the look-ups and attempts in the picture of a race, one below the other.

Between two bars is a lane, for the arrow that says why the second one began; a label has its lane for itself, so
however close two starts are, nothing is written over anything. Words that have no room beside their bar get a line
below it, and the rows move down.

What lives here: `Rows`, which draws and knows how far down it has come. What does not: the head, the axis and the line
at the end, which are in `_svg`.
"""

from __future__ import annotations

from dataclasses import dataclass

from .excerpt import Hidden, shown_attempts, shown_look_ups, shown_untried
from .labels import (
    address_text,
    error_text,
    family_text,
    hidden_text,
    look_up_failed,
    look_up_text,
    reason_text,
    seconds_text,
    source_text,
)
from .svg_layout import BAR, DNS_BAR, DNS_PITCH, MARGIN, PITCH, WIDTH, Layout
from .svg_markup import circle, fitted, line, path, rect, text, texts, width_of
from .timeline import AttemptRow, Fate, LookUpRow, Timeline, UntriedRow


@dataclass(frozen=True, slots=True)
class _Look:
    """How a fate looks: the bar, the sign's steps and its colour."""

    bar: str
    sign: str
    color: str


_CROSS = "M1.5 2L8.5 9M8.5 2L1.5 9"

_LOOKS = {
    Fate.WON: _Look("won", "M1 6L4 9L9 1.5", "won-line"),
    Fate.REFUSED: _Look("bad", _CROSS, "bad-line thick"),
    Fate.FAILED: _Look("bad", _CROSS, "bad-line thick"),
    Fate.TIMED_OUT: _Look("late", "M5 1A4.5 4.5 0 1 1 4.9 1ZM5 2.5V5.5H8", "late-line"),
    Fate.CANCELLED: _Look("hatch-cut cut-rim", "M5 1A4.5 4.5 0 1 1 4.9 1ZM2.5 8L7.5 3", "soft-line"),
    Fate.RUNNER_UP: _Look("hatch-won won-line", "M1 4Q3 1.5 5 4T9 4M1 8Q3 5.5 5 8T9 8", "won-line"),
    Fate.UNDER_WAY: _Look("open", "M1 5.5H1.1M5 5.5H5.1M9 5.5H9.1", "open-line fat"),
}
_DASH = "M1.5 5.5H8.5"

_NOTE = 15.0
"""A line for words that have no room beside their bar."""

_LANE = PITCH - BAR
"""Between two bars, where the arrow is that says why the second one began."""


class Rows:
    """Draws rows downwards; `y` is how far it has come.

    Attributes:
        parts: The markup.
        has_phases: Whether a bar has two tones.
    """

    def __init__(self, timeline: Timeline, layout: Layout, y: float) -> None:
        self.timeline, self.layout, self.y = timeline, layout, y
        self.parts: list[str] = []
        self.has_phases = False

    def draw(self) -> None:
        """Draw them all."""
        self._look_ups()
        self._attempts()
        self._untried()

    def _look_ups(self) -> None:
        rows, more = shown_look_ups(self.timeline)
        if rows:
            self.y += 5
        for row in rows:
            self._look_up(row)
        if more:
            self._remark(f"{more} more look-ups", DNS_PITCH)

    def _look_up(self, row: LookUpRow) -> None:
        layout, middle = self.layout, self.y + DNS_PITCH / 2
        kind, _, name = source_text(row).rpartition(" ") if not row.name else ("DNS", "", source_text(row)[4:])
        name = layout.name(name, mono=int(width_of(f"{kind} ")) if kind else 0)
        parts = [(f"{kind} ", "soft"), (name, "ink mono")] if kind else [(name, "ink mono")]
        self.parts.append(texts(layout.names, middle + 4, parts, "e"))
        left, right = layout.bar(row.started, self.timeline.duration if row.ended is None else row.ended)
        top = middle - DNS_BAR / 2
        if row.ended is None:
            bar = rect(left + 0.5, top + 0.5, right - left - 1, DNS_BAR - 1, "line dash dns-rim", radius=2)
        else:
            bar = rect(left, top, right - left, DNS_BAR, "dns", radius=2)
        self.parts += [bar, self._beside(right, middle, row)]
        self.y += DNS_PITCH

    def _beside(self, right: float, middle: float, row: LookUpRow) -> str:
        """A remark at the right of a bar: before the line at the end if it fits, or behind it, or else below."""
        words, classes = look_up_text(row), "bad-text" if look_up_failed(row) else "soft"
        width, edge, finish = width_of(words), WIDTH - MARGIN, self.layout.finish
        if right + 8 + width <= finish - 6:
            return text(right + 8, middle + 4, words, classes)
        if finish + 10 + width <= edge:
            return text(finish + 10, middle + 4, words, classes)
        self.y += _NOTE
        return text(self.layout.chart, middle + 4 + _NOTE, fitted(words, edge - self.layout.chart), classes)

    def _attempts(self) -> None:
        for shown in shown_attempts(self.timeline):
            if isinstance(shown, Hidden):
                self._remark(f"{hidden_text(shown.attempts)}", PITCH - 6)
                continue
            attempt, before = shown
            self._arrow(attempt, before)
            self.y += _LANE
            self._attempt(attempt)
            self.y += BAR
            if attempt.fate is Fate.FAILED and attempt.error is not None:
                self._error(attempt, error_text(attempt.error))

    def _arrow(self, attempt: AttemptRow, before: AttemptRow | None) -> None:
        """Why it began: dashed for the clock, solid for what became of the one before."""
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
        """One attempt: dots, its bar, its fate and how long it took."""
        look, won = _LOOKS[attempt.fate], attempt.fate is Fate.WON
        self._named(
            address_text(attempt.address, self.timeline), family_text(attempt.address), "b ink" if won else "ink"
        )
        left, right = self.layout.bar(attempt.started, attempt.ended)
        self._dots(attempt.known_since, left)
        self._bar(attempt, left, right, look.bar)
        self._fate(look.sign, look.color, attempt.fate.value, "b ink" if won else "soft")
        self.parts.append(
            text(WIDTH - MARGIN, self.y + 12, seconds_text(attempt.duration), f"{'b ink' if won else 'soft'} e")
        )

    def _bar(self, attempt: AttemptRow, left: float, right: float, classes: str) -> None:
        """A bar, in two tones if something was to be established on top of TCP."""
        inset = 0.5 if "hatch" in classes else 0.0
        top, height = self.y + inset, BAR - 2 * inset
        middle = left if attempt.connected is None else self.layout.x(attempt.connected)
        if left + 1 < middle < right - 1 and attempt.has_second_phase:
            self.has_phases = True
            self.parts.append(rect(left + inset, top, middle - left - inset, height, f"{classes} half", radius=3))
            left = middle
        self.parts.append(rect(left + inset, top, right - left - 2 * inset, height, classes, radius=3))

    def _named(self, name: str, family: str, classes: str) -> None:
        """A name, flush with the chart, and the pill that says its family."""
        rim = "pale" if "faint" in classes else "rim"
        pill = "pill" if family == "IPv6" else f"line {rim}"
        radius = 3 if family == "UNIX" else 8
        self.parts.append(rect(MARGIN + 0.5, self.y + 0.5, 31, 15, pill, radius=radius))
        self.parts.append(text(MARGIN + 16, self.y + 11.5, family, f"{'faint' if 'faint' in classes else 'ink'} xs m"))
        name = self.layout.name(name, mono=44)
        self.parts.append(text(self.layout.names, self.y + 12, name, f"{classes} mono e"))

    def _fate(self, sign: str, color: str, word: str, classes: str) -> None:
        x = self.layout.end + 33
        self.parts.append(path(sign, f"icon {color}", x, self.y + 2.5))
        self.parts.append(text(x + 17, self.y + 12, word, classes))

    def _dots(self, known_since: float, until: float) -> None:
        """The time that an address was known and waited."""
        x, middle = self.layout.x(known_since), self.y + BAR / 2
        if until - x > 3:
            self.parts.append(line(x + 4, middle, until - 2, middle, "wait dots"))
            self.parts.append(circle(x, middle, 2, "known"))

    def _error(self, attempt: AttemptRow, words: str) -> None:
        """What an attempt met: right of its bar, or below it where there is no room."""
        right, line_at = self.layout.bar(attempt.started, attempt.ended)[1], self.layout.finish
        if right + 8 + width_of(words, 11) <= line_at - 6:
            self.parts.append(text(right + 8, self.y - 4, words, "bad-text s"))
            return
        words = fitted(words, WIDTH - 2 * MARGIN, 11)
        x = max(min(self.layout.bar(attempt.started, attempt.ended)[0], line_at - 6 - width_of(words, 11)), MARGIN)
        self.parts.append(text(x, self.y + 12, words, "bad-text s"))
        self.y += _NOTE

    def _untried(self) -> None:
        """The addresses that were not needed, the first of them."""
        rows, more = shown_untried(self.timeline)
        for row in rows:
            self.y += _LANE
            self._not_tried(row)
            self.y += BAR
        if more:
            self._remark(f"{more} more, not tried", PITCH - 6)
        self.y += 12

    def _not_tried(self, row: UntriedRow) -> None:
        self._named(address_text(row.address, self.timeline), family_text(row.address), "faint")
        self._dots(row.known_since, self.layout.finish)
        self._fate(_DASH, "soft-line", "not tried", "faint")

    def _remark(self, words: str, height: float) -> None:
        """A line of its own, in the chart."""
        self.y += height
        room = self.layout.finish - 6 - self.layout.chart
        self.parts.append(text(self.layout.names, self.y - 4, "⋮", "soft e"))
        self.parts.append(text(self.layout.chart, self.y - 4, fitted(words, max(room, 200.0), 11), "soft s"))
