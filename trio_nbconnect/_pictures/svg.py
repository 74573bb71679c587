"""SVG: the waterfall of a race, for notebooks and pages.

It tells what the text tells, in the same words and the same order: the answer, the axis, a bar for each look-up and
each attempt, dots while an address waited, an arrow that says why an attempt began. What became of an attempt is said
by colour, by a sign and by a word, never by colour alone. Bars that were cut off end on the line that cut them.

What lives here: what is drawn where, from top to bottom. What does not: facts (`_timeline`), words (`_wording`),
columns (`_svg_layout`) and markup (`_svg_elements`). The same events make the same picture, byte for byte.
"""

from __future__ import annotations

from collections.abc import Sequence

from .canvas import shortened
from .excerpt import shown_attempts
from .labels import (
    address_text,
    answer_text,
    counts_text,
    end_text,
    family_text,
    host_text,
    lost_text,
    outcome_text,
    pace_text,
    seconds_text,
    target_text,
)
from .svg_layout import HEAD_GAP, MARGIN, WIDTH, Layout, lay_out
from .svg_markup import circle, document, fitted, line, rect, text, texts, torn, width_of
from .svg_rows import Rows
from .timeline import Outcome, Timeline

_TICK_DISTANCE = 75.0
"""The least number of pixels between two times on the axis."""


def render_svg(timeline: Timeline, *, beside: Sequence[Timeline] = ()) -> str:
    """Draw the waterfall of a race as an SVG document.

    Args:
        timeline: The race, see `timeline_of`.
        beside: Others that it is to be compared with: they are given the same scale and the same columns.
    """
    layout = lay_out([timeline, *beside])
    parts, y = _head(timeline, layout)
    if timeline.look_ups or timeline.attempts or timeline.untried:
        y += 34
        rows = Rows(timeline, layout, y)
        rows.draw()
        parts += [
            *_axis(layout, y, rows.y),
            *rows.parts,
            *torn([layout.at(mark) for mark in layout.axis.marks], y, rows.y),
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


def _head(timeline: Timeline, layout: Layout) -> tuple[list[str], float]:
    """Where to, the answer and a summary; a long name has a line of its own. Return how far down that goes."""
    parts, y = [], 36.0
    host, colon, port = target_text(timeline).rpartition(":")
    if target_text(timeline) == host_text(timeline):
        host, colon, port = host_text(timeline), "", ""
    port = colon + port
    if width_of(host, 15, bold=True) + width_of(port, 15) > layout.chart - MARGIN - HEAD_GAP:
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
    parts.append(circle(layout.chart - 15, y - 5, 4.5, _ANSWERS[timeline.outcome] if not timeline.gave_up else "late"))
    parts.append(text(layout.chart, y, fitted(answer, room, 14, bold=True), "ink b l"))
    parts.append(text(layout.chart, y + 18, fitted(f"{counts_text(timeline)} · {pace_text(timeline)}", room)))
    return parts, y + 18


_ANSWERS = {Outcome.WON: "won", Outcome.LOST: "bad", Outcome.CANCELLED: "known", Outcome.UNDER_WAY: "open"}


def _axis(layout: Layout, top: float, bottom: float) -> list[str]:
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


def _end(timeline: Timeline, layout: Layout, top: float, bottom: float) -> list[str]:
    """The line at which the race ended, and what it was."""
    label = end_text(timeline)
    if not label:
        return []
    kind = "won" if timeline.outcome is Outcome.WON else "late" if timeline.gave_up else "soft"
    x = layout.finish
    anchor = "e" if x - width_of(label, bold=True) >= layout.chart else ""
    color = "soft" if kind == "soft" else f"{kind}-text"
    return [
        line(x, top - 8, x, bottom, f"end {kind}-line{' dash' if kind == 'soft' else ''}"),
        text(x, bottom + 15, label, f"{color} b {anchor}".rstrip()),
    ]


def _legend(layout: Layout, y: float) -> str:
    """What the two tones of a bar are."""
    x = layout.chart
    return (
        rect(x, y - 8, 16, 9, "known half", radius=2)
        + text(x + 22, y, "TCP", "soft s")
        + rect(x + 58, y - 8, 16, 9, "known", radius=2)
        + text(x + 80, y, "then TLS, or what else was established on it", "soft s")
    )


def _description(timeline: Timeline) -> str:
    """Each attempt that is shown, in words."""
    shown = [row[0] for row in shown_attempts(timeline) if isinstance(row, tuple)]
    told = [
        f"{family_text(row.address)} {address_text(row.address, timeline)} {row.fate.value} "
        f"after {seconds_text(row.duration)}"
        for row in shown
    ]
    return "; ".join(told) or "no attempts"
