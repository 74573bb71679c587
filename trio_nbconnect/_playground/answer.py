"""Answer: what the editor gets for a scene: the race as a picture, in words, step by step, and as Python.

One function from JSON to JSON, so that the same editor works on a page, where a worker runs Python, and in a notebook,
where the kernel does.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from .._pictures.labels import outcome_text
from .._pictures.recording import RecordedRace
from .._pictures.svg import NARROWEST, WIDTH, lay_out, render_svg
from .scene import Scene, code_of, race_of
from .steps import steps_of

_WIDEST = 4000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the editor asks for: the race of a scene, so many pixels wide, on an axis of at least so many seconds."""

    scene: Scene
    width: float
    until: float


def read(text: str) -> Request:
    """Read a request.

    Raises:
        ValueError: It is none; the text says what is wrong.
    """
    try:
        request = json.loads(text)
        return Request(
            scene=Scene.read(request["scene"]),
            width=min(max(float(request.get("width", WIDTH)), NARROWEST), _WIDEST),
            until=min(max(float(request.get("until", 600)) / 1000, 0.001), 86400.0),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"no request: {error}") from None


def answer(text: str) -> str:
    """Run the race of a scene.

    Args:
        text: JSON of an object: `scene`; `width` of the picture in CSS pixels; `until`, the milliseconds that its axis
            has at least.

    Returns:
        JSON of an object: `svg` and its columns, `headline`, `steps`, `order`, `code`; or `error`, what is wrong with
        the scene.
    """
    try:
        request = read(text)
    except ValueError as error:
        return json.dumps({"error": str(error)})
    return json.dumps(answered(request, race_of(request.scene)))


def answered(request: Request, race: RecordedRace) -> dict[str, Any]:
    """Say all about a race that the editor shows."""
    timeline = race.timeline
    layout = lay_out([timeline], request.width, request.until)
    return {
        "svg": render_svg(timeline, width=request.width, until=request.until),
        "columns": {"width": request.width, "chart": layout.chart, "end": layout.end, "span": layout.axis.span * 1000},
        "headline": outcome_text(timeline),
        "duration": timeline.duration * 1000,
        "steps": [asdict(step) for step in steps_of(race)],
        "order": _order(race),
        "code": code_of(request.scene),
    }


def _order(race: RecordedRace) -> list[list[str]]:
    """Say why the addresses were tried in this order: headings and rows, without columns that are empty."""
    headings, *rows = race.explain()._cells()
    filled = [index for index in range(len(headings)) if any(row[index] for row in rows)]
    return [[row[index] for index in filled] for row in (headings, *rows)]
