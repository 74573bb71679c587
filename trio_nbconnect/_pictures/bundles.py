"""Bundles: how races, recordings and errors display themselves in a notebook.

A notebook asks an object for a bundle, the same content in several formats, and shows the best one that it may. Ours
have two: HTML with an `<img>` whose picture is in a `data:` URL, and plain text. An inline `<svg>` would lose its tags
where a notebook is opened without trust; an image stays one. Its `alt` says how the race ended, for those who do not
see it.
"""

from __future__ import annotations

import base64
import html
import sys
from collections.abc import Iterator, Sequence

from .._errors import ConnectError
from .._printable import printable
from .labels import outcome_text
from .svg import render_svg
from .text import render_text
from .timeline import Timeline, timeline_of_error

if sys.version_info < (3, 11):  # pragma: no cover - trio brings the backport on 3.10
    from exceptiongroup import BaseExceptionGroup

Bundle = dict[str, str]
"""A MIME type, and the thing in that format."""


def bundle(markup: str, text: str) -> Bundle:
    """Return a thing in both formats."""
    return {"text/html": markup, "text/plain": text}


def image(svg: str, alt: str, style: str = "max-width:100%;height:auto") -> str:
    """Return an `<img>` that contains its picture."""
    data = base64.b64encode(svg.encode()).decode("ascii")
    return f'<img alt="{html.escape(alt)}" style="{style}" src="data:image/svg+xml;base64,{data}">'


def page(title: str, body: str) -> str:
    """Return a whole HTML page."""
    head = f'<meta charset="utf-8">\n<title>{html.escape(printable(title))}</title>'
    return f'<!DOCTYPE html>\n<html lang="en">\n<head>\n{head}\n</head>\n<body>\n{body}\n</body>\n</html>\n'


def race_image(timeline: Timeline, until: float | None = None) -> str:
    """Return the waterfall of a race as an `<img>`."""
    return image(render_svg(timeline, until=until), outcome_text(timeline))


def side_by_side(timelines: Sequence[Timeline], captions: Sequence[str], until: float | None) -> str:
    """Return races that are compared: side by side where they can still be read, else one below the other."""
    parts = []
    for timeline, caption in zip(timelines, captions, strict=True):
        drawn = image(render_svg(timeline, until=until, compared_with=timelines), outcome_text(timeline))
        above = f"<b>{html.escape(printable(caption))}</b><br>" if caption else ""
        parts.append(f'<div style="flex:1 1 600px;min-width:0;max-width:890px">{above}{drawn}</div>')
    return f'<div style="display:flex;flex-wrap:wrap;gap:8px;align-items:flex-start">{"".join(parts)}</div>'


def race_bundle(timeline: Timeline, until: float | None = None) -> Bundle:
    """Return the waterfall of a race."""
    return bundle(race_image(timeline, until), render_text(timeline, until=until))


def races_bundle(timelines: Sequence[Timeline], *, nothing: str, until: float | None = None) -> Bundle:
    """Return a few races, one below the other, or what to say if there are none."""
    if not timelines:
        return bundle(f"<em>{html.escape(nothing)}</em>", nothing)
    images = "<br>\n".join(race_image(timeline, until) for timeline in timelines)
    return bundle(images, "\n\n".join(render_text(timeline, until=until) for timeline in timelines))


def error_bundle(error: ConnectError) -> Bundle:
    """Return the message of an error, and what it knows of its race."""
    timeline, message = timeline_of_error(error), printable(str(error))
    markup = f"<p>{html.escape(message)}</p>\n{race_image(timeline)}"
    return bundle(markup, f"{message}\n\n{render_text(timeline)}")


def connect_errors(error: BaseException) -> Iterator[ConnectError]:
    """Find the `ConnectError`s that an exception is, contains, was raised from or was raised while handling.

    Each comes once, in the order of a traceback. The group inside a `ConnectError` contains the failures of its
    attempts, which its own picture shows.
    """
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        found = waiting.pop()
        if found is None or id(found) in seen:
            continue
        seen.add(id(found))
        if isinstance(found, ConnectError):
            yield found
            waiting.append(found.__context__)
            continue
        if isinstance(found, BaseExceptionGroup):
            waiting += reversed(found.exceptions)
        waiting.append(found.__cause__ if found.__cause__ or found.__suppress_context__ else found.__context__)


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], caption: str) -> Bundle:
    """Return a table of words."""
    left = ' style="text-align:left"'  # notebooks align cells to the right, as numbers
    head = "".join(f"<th{left}>{html.escape(heading)}</th>" for heading in headings)
    cells = ["".join(f"<td{left}>{html.escape(printable(cell))}</td>" for cell in row) for row in rows]
    body = "\n".join(f"<tr>{row}</tr>" for row in cells)
    widths = [max(len(row[column]) for row in [headings, *rows]) for column in range(len(headings))]
    lines = [
        "  ".join(printable(cell).ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in [headings, *rows]
    ]
    markup = f"<table>\n<caption{left}>{html.escape(caption)}</caption>\n<tr>{head}</tr>\n{body}\n</table>"
    return bundle(markup, "\n".join([caption, "", *lines]))
