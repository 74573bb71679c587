"""Recording: every race of a block, for looking at it afterwards.

The connection that one wants to see is opened deep inside another library. `record` adds a tracer to a context
variable, so that every connection of the block is recorded, through any library and in every task that the block
starts. Events are kept and nothing else; timelines and pictures are made when they are asked for. A race that began
before the block is not in its recording: its events go to the tracers of its start.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import overload

from .. import trace
from .bundles import bundle, page, race_bundle, races_bundle
from .explanation import Explanation
from .export import chrome_trace, json_lines, qlog
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
        connection: What is known of the connection that was returned: its address, its TLS, its round-trip time.
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

    @property
    def connection(self) -> trace.Connection | None:
        """What is known of the connection that was returned; None if there was none."""
        return self.timeline.connection

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
        the race is over. The loader of qvis takes it; its diagrams know QUIC and TCP only.
        """
        return qlog([self.events])

    def chrome_trace(self) -> str:
        """Write the events in Chrome's Trace Event Format, for Perfetto and speedscope.

        Which of them was tried: speedscope. For Perfetto the sources of its importer were followed.
        """
        return chrome_trace([self.events])

    def json_lines(self) -> str:
        """Write the events as JSON, one object on each line."""
        return "".join(f"{line}\n" for line in json_lines(self.events))

    def explain(self) -> Explanation:
        """Say why the addresses were tried in this order.

        Returns:
            A table of all addresses that were known: who named each and when, which rule of RFC 6724 or what else put
            it in its place, what a history knew, when and why it was tried, and how that ended.

        Example:
            >>> from trio_nbconnect.testing import SimulatedNetwork, simulate
            >>> net = SimulatedNetwork()
            >>> net.answers("example.org", aaaa=["2001:db8::1"], a=["192.0.2.1"])
            >>> _ = net.host("2001:db8::1").refuses(), net.host("192.0.2.1").accepts()
            >>> print(simulate(net, "example.org", 443).explain())
            example.org:443 connected in 10 ms over IPv4 to 192.0.2.1
               address      tried                 outcome
            1  2001:db8::1  0.0 ms, all answered  refused, 0.0 ms
               ╰ system after 0.0 ms: the system's order
            2  192.0.2.1    10 ms, failure        won, 0.0 ms
               ╰ system after 0.0 ms: the system's order
        """
        return Explanation(self.events)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the race to a file, in the format that its extension names.

        Args:
            path: Ends with `.svg` or `.txt` for the waterfall, `.html` for a page with it, `.qlog` for qlog, `.json`
                for a Chrome trace, `.jsonl` for JSON lines.

        Raises:
            ValueError: The extension is none of these.
            OSError: The file cannot be written.

        Example:
            >>> RecordedRace().save("race.png")
            Traceback (most recent call last):
            ValueError: path must end with .svg, .txt, .html, .qlog, .json or .jsonl, not 'race.png'
        """
        _save(
            path,
            {
                ".svg": self.svg,
                ".txt": lambda: f"{self}\n",
                ".html": lambda: page(self.timeline.host, self._repr_mimebundle_()["text/html"]),
                ".qlog": self.qlog,
                ".json": self.chrome_trace,
                ".jsonl": self.json_lines,
            },
        )

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        timeline = self.timeline
        return f"<RecordedRace {target_text(timeline)}, {timeline.outcome.value}>"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return race_bundle(self.timeline, self._until)


class Recording(Sequence[RecordedRace]):
    """The races of a block in the order of their starts; `str()` of it is all their waterfalls."""

    __slots__ = ("_dropped", "_keep", "_races", "_under_way")

    def __init__(self, keep: float = math.inf) -> None:
        self._races: list[RecordedRace] = []
        self._under_way: dict[int, RecordedRace] = {}
        self._keep = keep
        self._dropped = 0

    @property
    def dropped(self) -> int:
        """How many races are not here any more because later ones took their place."""
        return self._dropped

    def _record(self, event: trace.Event) -> None:
        """Add one event, of any run and thread."""
        if isinstance(event, trace.RaceStarted):
            race = self._under_way[event.race] = RecordedRace(event)
            self._races.append(race)
            if len(self._races) > self._keep:
                del self._races[0]
                self._dropped += 1
        else:
            self._under_way[event.race]._events.append(event)
        if isinstance(event, trace.RaceWon | trace.RaceLost):
            del self._under_way[event.race]

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
        dropped = f", {self._dropped} earlier ones dropped" if self._dropped else ""
        return f"<Recording {self._races}{dropped}>"

    def summary(self) -> Summary:
        """Count the races, and draw how long they took; see `summarize`."""
        return summarize(self)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write all races to one file, in the format that its extension names; see `RecordedRace.save`.

        The picture of several races in a `.svg` is their summary.

        Args:
            path: Ends with `.svg`, `.txt`, `.html`, `.qlog`, `.json` or `.jsonl`.

        Raises:
            ValueError: The extension is none of these.
            OSError: The file cannot be written.
        """
        events, timelines = [race.events for race in self._races], [race.timeline for race in self._races]
        _save(
            path,
            {
                ".svg": lambda: self[0].svg() if len(self) == 1 else self.summary().svg(),
                ".txt": lambda: f"{self}\n",
                ".html": lambda: page("races", races_bundle(timelines, nothing="no race")["text/html"]),
                ".qlog": lambda: qlog(events),
                ".json": lambda: chrome_trace(events),
                ".jsonl": lambda: "".join(race.json_lines() for race in self._races),
            },
        )

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        timelines = [race.timeline for race in self._races]
        if len(timelines) <= _A_FEW:
            return races_bundle(timelines, nothing="no race yet")
        many, last = self.summary()._repr_mimebundle_(), races_bundle(timelines[-1:], nothing="")
        return bundle(f"{many['text/html']}<br>\n{last['text/html']}", f"{self.summary()}\n\n{self[-1]}")


def _save(path: str | os.PathLike[str], formats: Mapping[str, Callable[[], str]]) -> None:
    """Write a file in the format of its extension."""
    extension = os.path.splitext(os.fspath(path))[1].lower()
    if extension not in formats:
        *first, last = formats
        raise ValueError(f"path must end with {', '.join(first)} or {last}, not {os.fspath(path)!r}")
    text = formats[extension]()
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        file.write(text)


@contextmanager
def record(*, keep: float = 100) -> Iterator[Recording]:
    """Record every connection that is opened in a `with` block, through whatever library.

    Connections of tasks that were started in the block are recorded, too. Blocks may be nested; a race is then in each
    recording. The recording can be read at any time, also while a race is under way.

    Args:
        keep: How many races are kept, the latest ones, so that a block may last as long as a program; `math.inf` for
            all.

    Raises:
        ValueError: `keep` is not at least 1.

    Example:
        >>> import socket, trio, trio_nbconnect as nb
        >>> async def main():
        ...     with socket.create_server(("127.0.0.1", 0)) as listener, nb.record() as recording:
        ...         async with await nb.open_tcp_stream(*listener.getsockname()):
        ...             print(recording[-1].timeline.winner.address.ip)
        >>> trio.run(main)
        127.0.0.1
    """
    if not isinstance(keep, int | float) or not keep >= 1:
        raise ValueError(f"keep must be at least 1, not {keep!r}")
    recording = Recording(keep)
    with trace.listen(recording._record):
        yield recording
