"""Recording: every race of a block, for looking at it afterwards.

The connection that one wants to see is opened deep inside another library. `record` adds a tracer to a context
variable, so that every connection of the block is recorded, through any library and in every task that the block
starts. Events are kept and nothing else; timelines and pictures are made when they are asked for. A race that began
before the block is not in its recording: its events go to the tracers of its start.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import overload

from .. import trace
from .._race.journal import listening
from .bundles import bundle, race_bundle, races_bundle
from .export import qlog
from .labels import target_text
from .summary import Summary, summarize
from .svg import WIDTH, render_svg
from .text import render_text
from .timeline import Timeline, timeline_of

_A_FEW = 6
"""How many races a notebook shows in full; of more, the summary and the last one."""


class RecordedRace:
    """One race; a notebook shows its waterfall, and `str()` of it is the same as text, 80 columns wide.

    Attributes:
        events: What has happened so far, in order; see `trio_nbconnect.trace`.
        timeline: The same, sorted by address and lookup.
    """

    __slots__ = ("_events", "_until")

    def __init__(self, *events: trace.Event) -> None:
        self._events = list(events)
        self._until: float | None = None

    @property
    def events(self) -> tuple[trace.Event, ...]:
        """What has happened so far, in order."""
        return tuple(self._events)

    @property
    def timeline(self) -> Timeline:
        """The events, sorted by address and lookup."""
        return timeline_of(self.events)

    def with_scale(self, until: float) -> RecordedRace:
        """Return the same race, with pictures whose time goes from 0 to `until`, or further if the race took longer.

        A slider draws another race at each step; with one scale for all, bars of equal length took equal time.

        Args:
            until: Seconds.

        Returns:
            A race that shares its events with this one.

        Raises:
            ValueError: `until` is not a positive number.

        Example:
            >>> from trio_nbconnect.testing import SimulatedNetwork, simulate
            >>> net = SimulatedNetwork()
            >>> _ = net.host("192.0.2.1").accepts(after=0.1)
            >>> race = simulate(net, "192.0.2.1", 443).with_scale(until=1)
            >>> print(race.text(width=60).splitlines()[3].split())
            ['0', 'ms', '500']
        """
        if not 0 < until < math.inf:
            raise ValueError(f"until must be a positive number, not {until!r}")
        race = RecordedRace()
        race._events, race._until = self._events, float(until)
        return race

    def text(self, *, width: int = 80, color: bool = False) -> str:
        """Draw the waterfall as text: several lines, no newline at the end.

        Args:
            width: How many columns there are; no line is wider. At least 50.
            color: Whether to write escape sequences for colour.

        Raises:
            ValueError: `width` is too small.
        """
        return render_text(self.timeline, width=width, color=color, until=self._until)

    def svg(self, *, width: float = WIDTH) -> str:
        """Draw the waterfall as an SVG document, light or dark as its reader prefers; equal races, equal bytes.

        Args:
            width: CSS pixels, at least 320. Below 720, names are above the bars.

        Raises:
            ValueError: `width` is too small.
        """
        return render_svg(self.timeline, width=width, until=self._until)

    def qlog(self) -> str:
        """Write the events as a qlog file, in the vocabulary of the draft for Happy Eyeballs.

        See https://datatracker.ietf.org/doc/draft-kuehlewind-happy-qlog/. Every attempt has one outcome there, once
        the race is over.
        """
        return qlog([self.events])

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        timeline = self.timeline
        return f"<RecordedRace {target_text(timeline)}, {timeline.outcome.value}>"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return race_bundle(self.timeline, self._until)


class Recording(Sequence[RecordedRace]):
    """The races of a block in the order of their starts; `str()` of it is all their waterfalls."""

    __slots__ = ("_latest", "_races")

    def __init__(self) -> None:
        self._races: list[RecordedRace] = []
        self._latest: dict[int, RecordedRace] = {}

    def _record(self, event: trace.Event) -> None:
        """Add one event. Races are numbered anew in each `trio.run`: the latest one of a number is meant."""
        if isinstance(event, trace.RaceStarted):
            self._latest[event.race] = RecordedRace(event)
            self._races.append(self._latest[event.race])
        else:
            self._latest[event.race]._events.append(event)

    @overload
    def __getitem__(self, index: int) -> RecordedRace: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[RecordedRace]: ...
    def __getitem__(self, index: int | slice) -> RecordedRace | Sequence[RecordedRace]:
        return self._races[index]

    def __len__(self) -> int:
        return len(self._races)

    def __str__(self) -> str:
        return "\n\n".join(str(race) for race in self._races)

    def __repr__(self) -> str:
        return f"<Recording {self._races}>"

    def summary(self) -> Summary:
        """Count the races, and draw how long they took; see `summarize`."""
        return summarize(self._races)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        timelines = [race.timeline for race in self._races]
        if len(timelines) <= _A_FEW:
            return races_bundle(timelines, nothing="no race yet")
        many, last = self.summary()._repr_mimebundle_(), races_bundle(timelines[-1:], nothing="")
        return bundle(f"{many['text/html']}<br>\n{last['text/html']}", f"{self.summary()}\n\n{self[-1]}")


@contextmanager
def record() -> Iterator[Recording]:
    """Record every connection that is opened in a `with` block, through whatever library.

    Connections of tasks that were started in the block are recorded, too. Blocks may be nested; a race is then in each
    recording. The recording can be read at any time, also while a race is under way.

    Example:
        >>> import socket, trio, trio_nbconnect as nb
        >>> async def main():
        ...     with socket.create_server(("127.0.0.1", 0)) as listener, nb.record() as recording:
        ...         async with await nb.open_tcp_stream(*listener.getsockname()):
        ...             print(recording[-1].timeline.winner.address.ip)
        >>> trio.run(main)
        127.0.0.1
    """
    recording = Recording()
    token = listening.set((*listening.get(), recording._record))
    try:
        yield recording
    finally:
        listening.reset(token)
