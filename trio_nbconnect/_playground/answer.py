"""Answer: what the editor gets for a scene: the race as a picture, in words, step by step, and as Python.

One function from JSON to JSON, so that the same editor works on a page, where a worker runs Python, and in a notebook,
where the kernel does.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from .._pictures.labels import outcome_text
from .._pictures.svg import NARROWEST, WIDTH, lay_out, render_svg
from .scene import Scene, code_of, race_of
from .steps import order_table, steps_of

_WIDEST = 4000.0


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
        request = json.loads(text)
        scene = Scene.read(request["scene"])
        width = min(max(float(request.get("width", WIDTH)), NARROWEST), _WIDEST)
        until = min(max(float(request.get("until", 600)) / 1000, 0.001), 86400.0)
    except (KeyError, TypeError, ValueError) as error:
        return json.dumps({"error": str(error)})
    return json.dumps(_answer(scene, width, until))


def _answer(scene: Scene, width: float, until: float) -> dict[str, Any]:
    race = race_of(scene)
    timeline = race.timeline
    layout = lay_out([timeline], width, until)
    return {
        "svg": render_svg(timeline, width=width, until=until),
        "columns": {"width": width, "chart": layout.chart, "end": layout.end, "span": layout.axis.span * 1000},
        "headline": outcome_text(timeline),
        "duration": timeline.duration * 1000,
        "steps": [asdict(step) for step in steps_of(race)],
        "order": [asdict(position) for position in order_table(race)],
        "code": code_of(scene),
    }
