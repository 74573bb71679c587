"""Canvas: lines of terminal cells, and the columns of a picture made of text.

A terminal wraps lines that are too wide, and the length of a string is not its width: a character may take two cells or
none, and escape sequences take none. So a line is a list of cells, each a character and a style, and `Line.put` clips.
`TextLayout` converts times to columns.
"""

from __future__ import annotations

import itertools
import math
import unicodedata
from dataclasses import dataclass

from .axis import Axis, Tick

_Cell = tuple[str, str]
"""A character, with those that combine with it, and its style: numbers of SGR (ECMA-48, section 8.3.117)."""


class Line:
    """One line of a picture; a text that is too long for it ends in an ellipsis."""

    def __init__(self, width: int) -> None:
        self._cells: list[_Cell] = [(" ", "")] * width

    def put(self, column: int, text: str, style: str = "") -> None:
        """Write from a column on."""
        cells = _cells(text, style)
        room = len(self._cells) - column
        if len(cells) > room:
            if cells[room - 1][0] == "":  # the second half of a wide character: remove its first half, too
                cells[room - 2] = (" ", style)
            cells[room - 1 :] = [("…", style)]
        end = column + len(cells)
        if cells and self._cells[column][0] == "":  # written over the second half of a wide character
            self._cells[column - 1] = (" ", "")
        if cells and end < len(self._cells) and self._cells[end][0] == "":
            self._cells[end] = (" ", "")
        self._cells[column:end] = cells

    def put_before(self, column: int, text: str, style: str = "") -> None:
        """Write so that the text ends before a column."""
        self.put(max(0, column - columns_of(text)), text, style)

    def replace(self, column: int, text: str, style: str = "") -> None:
        """Replace a character that is not blank."""
        if column < len(self._cells) and self._cells[column][0] != " ":
            self._cells[column] = (text, style)

    def text(self, *, color: bool) -> str:
        """Return the line without blanks at its end, in colour or plain."""
        cells = list(self._cells)
        while cells and cells[-1][0] == " ":
            cells.pop()
        if not color:
            return "".join(character for character, _ in cells)
        runs = itertools.groupby(cells, key=lambda cell: cell[1])
        return "".join(_styled("".join(character for character, _ in run), style) for style, run in runs)


def _cells(text: str, style: str) -> list[_Cell]:
    """Split a text into cells: a wide character takes two, a combining one none."""
    cells: list[_Cell] = []
    for character in text:
        if unicodedata.combining(character) and cells:
            cells[-1] = (cells[-1][0] + character, style)
        elif unicodedata.east_asian_width(character) in "WF":
            cells += [(character, style), ("", style)]
        else:
            cells.append((character, style))
    return cells


def columns_of(text: str) -> int:
    """How many columns a text takes."""
    return len(text) if text.isascii() else len(_cells(text, ""))


def _styled(text: str, style: str) -> str:
    return f"\x1b[{style}m{text}\x1b[0m" if style else text


@dataclass(frozen=True, slots=True, kw_only=True)
class TextLayout:
    """The columns of a picture: names at the left, then a chart of time, then how each attempt ended."""

    width: int
    names: int
    """Where names begin; if 0, families have no column of their own."""
    chart: int
    """The column of time 0."""
    columns: int
    """How many columns the chart takes."""
    axis: Axis
    """The time that they stand for."""
    duration: float
    """When the race was over; if it is compared with a longer one, that is before the end of the axis."""

    @property
    def end(self) -> int:
        """The first column behind the chart."""
        return self.chart + self.columns

    @property
    def finish(self) -> int:
        """The first column behind the race."""
        return self.end if self.duration >= self.axis.span else self.bar(0.0, self.duration)[1]

    def column(self, time: float) -> int:
        """The column that holds a time."""
        return self.chart + min(int(self._place(time)), self.columns - 1)

    def bar(self, start: float, end: float) -> tuple[int, int]:
        """The columns of a bar, the second one exclusive; the shortest bar takes one."""
        first = self.column(start)
        return first, max(first + 1, self.chart + math.ceil(self._place(end)))

    def marks(self) -> list[int]:
        """The columns where the axis is broken."""
        return [self.chart + int(mark * self.columns) for mark in self.axis.marks]

    def _place(self, time: float) -> float:
        """Where a time is in the chart, rounded so that sums of floats stay on the edge of a column."""
        return round(self.axis.place(time) * self.columns, 6)

    def ticks(self) -> list[Tick]:
        """Round times at a distance from each other, the first one 0."""
        return self.axis.ticks(_TICK_DISTANCE / self.columns)


_TICK_DISTANCE = 7
"""The least number of columns between two times on the axis."""


def cut(text: str, width: int) -> str:
    """Leave out the end of what is wider than so many columns.

    Example:
        >>> cut("DNS AAAA db1.example.org", 17), cut("DNS A", 17)
        ('DNS AAAA db1.exa…', 'DNS A')
    """
    if columns_of(text) <= width:
        return text
    line = Line(width)
    line.put(0, text)
    return line.text(color=False)


_PARTS, _HOST = 12, 6
"""Columns from which on two parts of a name can be told from each other, and those that the first one has at least."""


def shortened(address: str, width: int) -> str:
    """Shorten an address to a width: keep the first group and as many of the last ones as fit, or the end of a path.

    Of a host and its address, both are kept in parts.

    Example:
        >>> shortened("db1.example.org [2001:db8:1234:5678::a]:5432", 27)
        'db1.examp… [2001:…::a]:5432'
        >>> shortened("2001:db8:1234:5678:9abc:def0:1234:5678", 18)
        '2001:…:1234:5678'
        >>> shortened("/run/user/1000/database.sock", 18)
        '…000/database.sock'
    """
    if columns_of(address) <= width:
        return address
    host, blank, ip = address.rpartition(" ")
    if blank and width > _PARTS:
        ip = shortened(ip, width - min(columns_of(host), _HOST) - 1)
        return f"{cut(host, width - columns_of(ip) - 1)} {ip}"
    first, *rest = address.split(":")
    while len(rest) > 1 and len(f"{first}:…:{':'.join(rest)}") > width:
        del rest[0]
    short = f"{first}:…:{':'.join(rest)}"
    if rest and columns_of(short) <= width:
        return short
    cells = [character for character, _ in _cells(address, "")]
    return f"…{''.join(cells[len(cells) - width + 1 :])}"
