"""Axis: a time's position in a picture, between 0 and 1, for text and SVG alike.

Most of a race happens in a third of a second, and then one attempt takes a minute. Drawn to scale, the minute takes the
whole width and everything else cannot be seen.

So an axis is piecewise linear. A gap in which nothing happens is left out if the rest would be too small, and gets a
fixed share of the width, with a break mark. The rest has one scale, so bars can still be compared. A wait that the
policy has planned is never left out, however long the rest took: it is what one looks for.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from .._policy import Policy
from .._printable import seconds_text
from ..trace import Reason
from .timeline import Timeline

_MOST_BREAKS = 3
_BROKEN_SHARE = 1 / 3
"""The part of the width that gaps take when there are any, so that they still look long."""

_SHARE_OF_ONE, _SHARE_OF_EACH, _LARGEST_SHARE = 0.02, 0.03, 0.2
"""The part of the width that the busy part needs: for one attempt, for each further one, and at most."""

_PLANNED_WAITS = 4
"""How many attempt delays long a gap must be."""

_LEAST_REST = 0.001
"""Below a millisecond nothing of the rest could be seen."""

_IN_SECONDS = 10.0
"""From here on, durations are written in seconds."""

_SHORTEST_SPAN = 1e-9
"""Clocks have no finer resolution than a nanosecond."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """A time on the axis, with its label."""

    time: float
    label: str
    behind_break: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """Time from left to right: `place` is 0 at the start of a race and 1 at the end."""

    span: float
    """How many seconds there are."""
    breaks: tuple[tuple[float, float], ...] = ()
    """The gaps that are not to scale: from, until."""

    def place(self, time: float) -> float:
        """The position of a time, rounded so that sums of floats stay on the edge of a column."""
        if not self.span:
            return 0.0
        time = min(max(time, 0.0), self.span)
        place = time * self._scale
        for start, end in self.breaks:
            if time > start:
                skipped = min(time, end) - start
                place += skipped * (self._gap / (end - start) - self._scale)
        return min(max(round(place, 9), 0.0), 1.0)

    @property
    def marks(self) -> list[float]:
        """Where the breaks are marked: in the middle of each gap."""
        return [(self.place(start) + self.place(end)) / 2 for start, end in self.breaks]

    def ticks(self, distance: float) -> list[Tick]:
        """Round times at a distance from each other, the first one 0; behind a break at least one."""
        if not self.span:
            return [Tick(time=0.0, label="0 ms")]
        step = _round_step(distance / self._scale)
        factor, unit = (1.0, "s") if step >= 1 and self.span >= _IN_SECONDS else (1000.0, "ms")
        (_, until), *later = self._pieces()
        ticks = [Tick(time=0.0, label=f"0 {unit}")]
        times = [number * step for number in range(1, math.floor(until / step + 1e-9) + 1)]
        ticks += [Tick(time=time, label=f"{time * factor:g}") for time in times]
        for start, until in later:
            ticks += _without_repeats(_ticks_between(start, until, step))
        return ticks

    @property
    def _gap(self) -> float:
        """The share of one gap."""
        return _BROKEN_SHARE / len(self.breaks)

    @property
    def _scale(self) -> float:
        """How much of the width a second takes, outside the gaps."""
        if not self.breaks:
            return 1 / self.span
        return (1 - _BROKEN_SHARE) / (self.span - sum(end - start for start, end in self.breaks))

    def _pieces(self) -> Iterator[tuple[float, float]]:
        """What is to scale: from, until."""
        start = 0.0
        for gap_start, gap_end in self.breaks:
            yield start, gap_start
            start = gap_end
        yield start, self.span


def axis_of(timelines: Sequence[Timeline], until: float | None = None) -> Axis:
    """Return the axis for a picture of a race, or one for several that are compared.

    Args:
        timelines: The races.
        until: Seconds that the axis has at least. It is unbroken then, so that pictures of other races with the same
            limit have the same scale.
    """
    span = max(timeline.duration for timeline in timelines)
    if until is not None:
        return Axis(span=max(span, until))
    attempts = max(len(timeline.attempts) for timeline in timelines)
    return broken_axis(
        span,
        [moment for timeline in timelines for moment in _moments(timeline)],
        needed=min(_SHARE_OF_ONE + _SHARE_OF_EACH * max(attempts - 1, 0), _LARGEST_SHARE),
        planned=_PLANNED_WAITS * max(_planned_wait(timeline) for timeline in timelines),
        waits=[wait for timeline in timelines for wait in _planned_waits(timeline)],
    )


def broken_axis(
    span: float,
    moments: Iterable[float],
    *,
    needed: float,
    planned: float,
    waits: Sequence[tuple[float, float]] = (),
) -> Axis:
    """Return the axis for things that happen at these moments, without the gaps that make the rest too small.

    A gap that is left out is longer than all that stays.

    Args:
        span: How many seconds there are.
        moments: When something happens.
        needed: The part of the width that the rest needs.
        planned: The longest gap that is never left out.
        waits: From when to when nothing happened because the policy says so; no gap in these is left out.
    """
    if span < _SHORTEST_SPAN:
        return Axis(span=0.0)
    places = sorted({min(max(moment, 0.0), span) for moment in moments} | {0.0, span})
    gaps = [gap for gap in itertools.pairwise(places) if not any(_overlap(gap, wait) for wait in waits)]
    gaps.sort(key=lambda gap: gap[0] - gap[1])
    breaks: list[tuple[float, float]] = []
    for count in range(1, min(_MOST_BREAKS, len(gaps)) + 1):
        left, shortest = span - sum(end - start for start, end in gaps[:count]), gaps[count - 1][1] - gaps[count - 1][0]
        if shortest > max(planned, left) and _LEAST_REST <= left < needed * span:
            breaks = gaps[:count]
    return Axis(span=span, breaks=tuple(sorted(breaks)))


def _overlap(one: tuple[float, float], other: tuple[float, float]) -> bool:
    """Whether two intervals have more than a moment in common."""
    return min(one[1], other[1]) - max(one[0], other[0]) > _SHORTEST_SPAN


def _moments(timeline: Timeline) -> Iterator[float]:
    """When something happened."""
    yield timeline.duration
    for lookup in timeline.lookups:
        yield lookup.started
        if lookup.until is not None:
            yield lookup.until
    for row in timeline.untried:
        yield row.known_since
    for attempt in timeline.attempts:
        yield attempt.known_since
        yield attempt.started
        yield attempt.ended
        if attempt.connected is not None:
            yield attempt.connected


def _planned_waits(timeline: Timeline) -> Iterator[tuple[float, float]]:
    """When an address was known and not yet tried because a delay was not over.

    Behind a failure nothing was waited for: the attempt that failed took its time. What is longer than any delay of the
    policy was not planned either. An error alone knows neither the policy nor since when addresses were known.
    """
    policy = timeline.policy or Policy()
    longest = max(policy.attempt_delay, policy.maximum_delay) + policy.minimum_gap
    for index, attempt in enumerate(timeline.attempts):
        since = timeline.attempts[index - 1].started if index else 0.0
        if timeline.policy is not None:
            since = max(since, attempt.known_since)
        if attempt.reason is not Reason.PREDECESSOR_FAILED and attempt.started - since <= longest:
            yield since, attempt.started


def _planned_wait(timeline: Timeline) -> float:
    """How long nothing may happen because the policy says so."""
    if timeline.policy is None:
        return 0.0
    return min(timeline.policy.attempt_delay, timeline.policy.maximum_delay)


def _ticks_between(start: float, until: float, step: float) -> Iterator[Tick]:
    """The round times of a piece behind a break, or else its beginning."""
    first = math.ceil(start / step - 1e-9)
    last = math.floor(until / step + 1e-9)
    for number in range(first, last + 1):
        yield Tick(time=number * step, label=seconds_text(number * step), behind_break=True)
    if last < first:
        yield Tick(time=start, label=seconds_text(start), behind_break=True)


def _without_repeats(ticks: Iterator[Tick]) -> Iterator[Tick]:
    """Leave out ticks with the same label as the one before."""
    label = ""
    for tick in ticks:
        if tick.label != label:
            yield tick
        label = tick.label


def _round_step(least: float) -> float:
    """The next number of the form 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(least))
    return next((factor * power for factor in (1, 2, 5, 10) if factor * power >= least), 20 * power)
