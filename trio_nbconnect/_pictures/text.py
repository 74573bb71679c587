"""Text: the waterfall of a race, for terminals and `print`.

The headline is the answer. Below it time runs from left to right: a bar for each look-up and each attempt, dots from
when an address was known until it was tried, an arrow that says why each attempt began. Bars that were cut off end at
the winner's line.

What lives here: the headline and how the columns are divided. What does not: the lines below (`_text_rows`), facts
(`_timeline`), their words (`_wording`) and cells (`_canvas`). Addresses get what they need, up to half of the room;
time gets the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .axis import axis_of
from .canvas import Layout, Line, columns_of, shortened
from .excerpt import Hidden, shown_attempts, shown_look_ups, shown_untried
from .labels import (
    address_text,
    answer_text,
    counts_text,
    look_up_text,
    lost_text,
    pace_text,
    source_text,
    target_text,
)
from .text_rows import BOLD, FAINT, GREEN, RED, YELLOW, Waterfall, fate_text
from .timeline import Outcome, Timeline

NARROWEST = 50
"""Columns below which no chart is left between an address and its fate."""

_OUTCOMES = {
    Outcome.WON: GREEN,
    Outcome.LOST: RED,
    Outcome.CANCELLED: YELLOW,
    Outcome.UNDER_WAY: BOLD,
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
        lines += Waterfall(timeline, _lay_out([timeline, *beside], width)).lines()
    for failure in lost_text(timeline):
        lines.append(line := Line(width))
        line.put(0, failure, RED)
    return "\n".join(line.text(color=color) for line in lines)


def _head(timeline: Timeline, width: int) -> Iterator[Line]:
    """The answer on one line, or on two where it would not fit, and a summary."""
    target, address = target_text(timeline), address_text(timeline.winner.address, timeline) if timeline.winner else ""
    answer = answer_text(timeline, address)
    line, at = Line(width), columns_of(target) + 2
    line.put(0, target, BOLD)
    if at + columns_of(answer) > width:
        yield line
        line, at = Line(width), 0
        answer = answer_text(timeline, shortened(address, max(width - columns_of(answer) + columns_of(address), 1)))
    line.put(at, answer, f"{BOLD};{_OUTCOMES[timeline.outcome]}")
    yield line
    counts, pace = counts_text(timeline), pace_text(timeline)
    summary = f"{counts} · {pace}"
    for text in [summary] if len(summary) <= width else [counts, pace]:
        line = Line(width)
        line.put(0, text, FAINT)
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
    fates = [fate_text(attempt) for attempt in attempts]
    fates += ["– not tried" for _ in untried]
    notes = [look_up_text(row) for row in look_ups if row.ended is None or 2 * row.ended > timeline.duration]
    longest_note = width // 3 if fates else width // 2
    texts = [address_text(row.address, timeline) for row in attempts]
    texts += [address_text(row.address, timeline) for row in untried]
    texts += [source_text(row) for row in look_ups]
    right = max([*map(len, fates), *(min(columns_of(note), longest_note) for note in notes)], default=0)
    return max(map(columns_of, texts), default=0), right


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
