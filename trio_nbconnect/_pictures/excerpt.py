"""Excerpt: what of a long race is shown, whoever draws it.

A host may have hundreds of addresses. A picture of all of them is one of none, so the first and the last attempts are
shown, the winner always, and what is left out is counted by its fates.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .timeline import AttemptRow, Fate, LookUpRow, Timeline, UntriedRow

AT_EACH_END = 8
"""How many attempts are shown at the beginning and at the end."""


@dataclass(frozen=True, slots=True)
class Hidden:
    """Attempts in a row that are counted, not shown."""

    attempts: tuple[AttemptRow, ...]


def shown_attempts(timeline: Timeline) -> Iterator[tuple[AttemptRow, AttemptRow | None] | Hidden]:
    """Go through the attempts: each with the one before it, which is what its reason speaks of."""
    hidden: list[AttemptRow] = []
    before: AttemptRow | None = None
    for place, attempt in enumerate(timeline.attempts):
        at_an_end = min(place, len(timeline.attempts) - 1 - place) < AT_EACH_END
        if at_an_end or attempt.fate is Fate.WON:
            if hidden:
                yield Hidden(tuple(hidden))
                hidden.clear()
            yield attempt, before
        else:
            hidden.append(attempt)
        before = attempt


def shown_untried(timeline: Timeline) -> tuple[Sequence[UntriedRow], int]:
    """The first addresses that were not needed, and how many more there are."""
    return timeline.untried[: AT_EACH_END // 2], max(len(timeline.untried) - AT_EACH_END // 2, 0)


def shown_look_ups(timeline: Timeline) -> tuple[Sequence[LookUpRow], int]:
    """The first queries, and how many more there are."""
    return timeline.look_ups[:AT_EACH_END], max(len(timeline.look_ups) - AT_EACH_END, 0)
