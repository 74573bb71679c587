"""Explanation: why the addresses of a race were tried in this order, as a table.

A waterfall shows what happened. This says why: for each address that was known, the best first, who named it and when,
which rule put it in its place, what a history knew of it, when and why it was tried and how that ended. The order is
the last that the race had; what a later answer took back stands at the end.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .. import trace
from .._address import Address
from .._printable import printable, seconds_text
from .._resolve.query import Source
from . import bundles
from .canvas import Line, shortened
from .labels import address_text, answer_text, family_text, name_of_source, reason_text, target_text
from .text import BOLD, FAINT, NARROWEST
from .timeline import AttemptRow, Timeline, timeline_of

_HEADINGS = ("", "address", "family", "source", "placed by", "history", "known", "tried", "outcome")


_SHORTEST_ADDRESS = 15
"""Columns; longer ones are shortened where a line would be too long."""


@dataclass(frozen=True, slots=True)
class _Row:
    """One address, in words."""

    place: str
    address: str
    family: str
    source: str
    placed_by: str
    history: str
    known: str
    tried: str
    outcome: str

    def cells(self) -> tuple[str, ...]:
        """As they are in the table."""
        order = (self.place, self.address, self.family, self.source, self.placed_by)
        return (*order, self.history, self.known, self.tried, self.outcome)


class Explanation:
    """Why the addresses of a race were tried in this order; `str()` of it is the table as text, 80 columns wide."""

    __slots__ = ("_rows", "_timeline")

    def __init__(self, events: Sequence[trace.Event]) -> None:
        self._timeline = timeline_of(events)
        self._rows = list(_rows(events, self._timeline))

    @property
    def _caption(self) -> str:
        timeline = self._timeline
        winner = address_text(timeline.winner.address, timeline) if timeline.winner else ""
        return f"{target_text(timeline)} {answer_text(timeline, winner)}"

    def text(self, *, width: int = 80, color: bool = False) -> str:
        """Write the table as text, two lines or three for each address, no newline at the end.

        Args:
            width: How many columns there are; no line is wider. At least 50.
            color: Whether to write escape sequences for colour.

        Raises:
            ValueError: `width` is too small.
        """
        if width < NARROWEST:
            raise ValueError(f"width must be at least {NARROWEST}, not {width!r}")
        lines = [_line(width, 0, self._caption, BOLD)]
        columns = [(row.place, row.address, row.tried, row.outcome) for row in self._rows]
        headings = ("", "address", "tried", "outcome")
        widths = [max(map(len, column)) for column in zip(headings, *columns, strict=True)]
        overlong = sum(widths) + 2 * (len(widths) - 1) - width
        widths[1] -= min(max(overlong, 0), max(widths[1] - _SHORTEST_ADDRESS, 0))
        for row, words in zip([None, *self._rows], [headings, *columns], strict=True):
            cells = [shortened(cell, room).ljust(room) for cell, room in zip(words, widths, strict=True)]
            lines.append(_line(width, 0, "  ".join(cells), "" if row else FAINT))
            if row:
                history = f"; {row.history}" if row.history else ""
                since = "" if row.known == "–" else f" after {row.known}"
                note = f"╰ {row.source}{since}: {row.placed_by}{history}"
                indent = widths[0] + 2
                parts = textwrap.wrap(note, width - indent, subsequent_indent="  ")
                lines += [_line(width, indent, part, FAINT) for part in parts]
        return "\n".join(line.text(color=color) for line in lines)

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        return f"<Explanation {target_text(self._timeline)}, {len(self._rows)} addresses>"

    def _cells(self) -> list[tuple[str, ...]]:
        """The table as it is shown in full: the headings, and a line for each address."""
        return [_HEADINGS, *(row.cells() for row in self._rows)]

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        headings, *rows = self._cells()
        table = bundles.table(headings, rows, self._caption)
        return bundles.bundle(table["text/html"], self.text())


def _line(width: int, column: int, text: str, style: str) -> Line:
    line = Line(width)
    line.put(column, printable(text), style)
    return line


def _rows(events: Sequence[trace.Event], timeline: Timeline) -> Iterator[_Row]:
    known = {row.address: row.known_since for row in timeline.untried}
    known |= {row.found: row.known_since for row in timeline.attempts}
    place = 0
    for place, candidate in enumerate(_candidates(events), start=1):
        since, attempt = known.pop(candidate.address, None), _attempt_at(candidate.address, timeline)
        yield _row(str(place), candidate, since, attempt, timeline)
    for address, since in known.items():  # one that was named alone
        attempt = _attempt_at(address, timeline)
        candidate = trace.Candidate(address=address, source=_source_of(address, timeline), placed_by="the only one")
        yield _row("1" if place == 0 else "", candidate, since, attempt, timeline)


def _row(
    place: str, candidate: trace.Candidate, since: float | None, attempt: AttemptRow | None, timeline: Timeline
) -> _Row:
    before = None
    if attempt is not None and attempt.preceded_by is not None:
        before = next(row for row in timeline.attempts if row.number == attempt.preceded_by)
    tried, outcome = "–", "not tried" if since is not None else "taken back"
    if attempt is not None:
        why = attempt.reason.value if before is None else reason_text(attempt, before)
        through = "" if attempt.stands_for is None else f", as {attempt.address.ip}"
        tried = f"{seconds_text(attempt.started)}, {why}{through}"
        outcome = f"{attempt.outcome.value}, {seconds_text(attempt.duration)}"
    facts = [] if candidate.round_trip_time is None else [f"round trip {seconds_text(candidate.round_trip_time)}"]
    return _Row(
        place=place,
        address=address_text(candidate.address, timeline),
        family=family_text(candidate.address),
        source=name_of_source(candidate.source),
        placed_by=candidate.placed_by,
        history=", ".join([*facts, *(["used"] if candidate.used else [])]),
        known="–" if since is None else seconds_text(since),
        tried=tried,
        outcome=outcome,
    )


def _candidates(events: Sequence[trace.Event]) -> list[trace.Candidate]:
    """The order that the race had at last, and behind it what was known before and is not any more."""
    found: dict[Address, trace.Candidate] = {}
    for event in reversed(events):
        if isinstance(event, trace.CandidatesSorted):
            for candidate in event.candidates:
                found.setdefault(candidate.address, candidate)
    return list(found.values())


def _attempt_at(address: Address, timeline: Timeline) -> AttemptRow | None:
    return next((attempt for attempt in timeline.attempts if attempt.found == address), None)


def _source_of(address: Address, timeline: Timeline) -> Source:
    """Who has named an address; what no look-up has brought was given."""
    for lookup in timeline.lookups:
        if any(address.ip == other.ip for other in lookup.addresses):
            return lookup.source
    return Source.GIVEN
