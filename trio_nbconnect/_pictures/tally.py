"""Tally: many races in a few numbers.

One race is a story and has a picture; a hundred are counted. What is asked of them is always the same: how many were
connected, over which family, after how many attempts, how long it took in the middle and how long at worst.

What lives here: those numbers. What does not: how they are drawn, which is `_summary_svg` and `_summary_text`.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from .axis import Axis, broken_axis
from .labels import family_text, seconds_text
from .timeline import Outcome, Timeline

_ROOM = 1 / 4
"""The part of the width that most of the races should have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """The numbers of some races."""

    label: str
    times: tuple[float, ...]
    """How long each race took that was won, the shortest first."""
    lost: tuple[float, ...]
    """How long each other one took until it failed or was cancelled; races under way are among them."""
    attempts: tuple[int, ...]
    """How many attempts each race made, the fewest first."""
    families: tuple[tuple[str, int], ...]
    """Over which family how many were won, the most frequent first."""
    outcomes: tuple[tuple[str, int], ...]

    @property
    def races(self) -> int:
        """How many there are."""
        return len(self.attempts)

    @property
    def median(self) -> float | None:
        """The time to connect that half of the races kept below; None if none was won."""
        return statistics.median(self.times) if self.times else None

    @property
    def worst(self) -> float | None:
        """The longest time to connect; None if none was won."""
        return max(self.times, default=None)


def tally(label: str, timelines: Sequence[Timeline]) -> Tally:
    """Count some races."""
    won = [timeline for timeline in timelines if timeline.outcome is Outcome.WON]
    lost = [timeline for timeline in timelines if timeline.outcome is not Outcome.WON]
    families = Counter(family_text(timeline.winner.address) for timeline in won if timeline.winner)
    return Tally(
        label=label,
        times=tuple(sorted(timeline.duration for timeline in won)),
        lost=tuple(sorted(timeline.duration for timeline in lost)),
        attempts=tuple(sorted(len(timeline.attempts) for timeline in timelines)),
        families=tuple(families.most_common()),
        outcomes=tuple(Counter(timeline.outcome.value for timeline in timelines).most_common()),
    )


def by_family(timelines: Sequence[Timeline]) -> list[Tally]:
    """Count races apart by the family that won, the most frequent first, and those that nobody won."""
    groups: dict[str, list[Timeline]] = {}
    for timeline in timelines:
        label = family_text(timeline.winner.address) if timeline.winner else f"not connected ({timeline.outcome.value})"
        groups.setdefault(label, []).append(timeline)
    return [tally(label, group) for label, group in sorted(groups.items(), key=lambda pair: (-len(pair[1]), pair[0]))]


def axis_of_tallies(tallies: Sequence[Tally]) -> Axis:
    """One axis for all of them; a few that took a minute do not press the rest together."""
    moments = [time for each in tallies for time in (*each.times, *each.lost)]
    return broken_axis(max(moments, default=0.0), moments, needed=_ROOM, planned=0.0)


def headline(total: Tally) -> str:
    """Say the most important: `198 of 200 connected, median 42 ms, worst 704 ms`."""
    if not total.races:
        return "no races"
    text = f"{len(total.times)} of {total.races} connected"
    if total.median is not None and total.worst is not None:
        text += f", median {seconds_text(total.median)}, worst {seconds_text(total.worst)}"
    return text


def subline(total: Tally) -> str:
    """Say over what, and after how many attempts: `150 over IPv6, 48 over IPv4 · 1 to 3 attempts`."""
    over = ", ".join(f"{count} over {family}" for family, count in total.families)
    others = ", ".join(f"{count} {outcome}" for outcome, count in total.outcomes if outcome != Outcome.WON.value)
    return " · ".join(part for part in (over, others, f"{attempts_text(total)} each" if total.races else "") if part)


def attempts_text(each: Tally) -> str:
    """Say how many attempts races made: `1 to 3 attempts`."""
    least, most = each.attempts[0], each.attempts[-1]
    if least == most:
        return f"{most} attempt{'' if most == 1 else 's'}"
    return f"{least} to {most} attempts"


def binned(times: Sequence[float], axis: Axis, bins: int) -> dict[int, int]:
    """Count how many times fall into each of so many parts of the axis."""
    return dict(Counter(min(int(axis.place(time) * bins), bins - 1) for time in times))
