"""Lost races: what was heard of the latest ones, to be found by their error.

The problem: a `ConnectError` knows its attempts, but not what the look-ups did, nor which addresses were not tried;
the events know, and are gone unless somebody has listened. How we solve it: a tracer that keeps the events of a race
until it is over, and of those that were lost the latest few.

What lives here: that memory. Errors are referred to weakly: they hold frames, and those hold whatever they like.
"""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Sequence

from .. import trace
from .._errors import ConnectError
from .._pictures.recording import RecordedRace

KEPT = 32
"""How many lost races are remembered."""


class LostRaces:
    """A tracer that remembers the latest races that were lost."""

    def __init__(self) -> None:
        self._under_way: dict[int, list[trace.Event]] = {}
        self._shown: weakref.WeakSet[ConnectError] = weakref.WeakSet()
        self._lost: deque[tuple[weakref.ref[ConnectError], Sequence[trace.Event], float]] = deque(maxlen=KEPT)

    def hear(self, event: trace.Event) -> None:
        """Take in one event. Races are numbered anew in each `trio.run`: the latest of a number is meant."""
        if isinstance(event, trace.RaceStarted):
            self._under_way[event.race] = [event]
        elif isinstance(event, trace.RaceWon | trace.RaceLost):
            events = self._under_way.pop(event.race, None)
            if events and isinstance(event, trace.RaceLost) and event.error is not None:
                self._lost.append((weakref.ref(event.error), events, event.time))
        elif event.race in self._under_way:
            self._under_way[event.race].append(event)

    def mark_as_shown(self, error: ConnectError) -> None:
        """Remember that the race of this error is on the screen already."""
        self._shown.add(error)

    def is_shown(self, error: ConnectError) -> bool:
        """Whether somebody has said so."""
        return error in self._shown

    def race_of(self, error: ConnectError) -> RecordedRace | None:
        """Find the race that has ended with this very error."""
        for reference, events, time in reversed(self._lost):
            if reference() is error:
                lost = trace.RaceLost(race=events[0].race, time=time, error=error)
                return RecordedRace(*events, lost)
        return None
