"""Summary and comparison: several races at once.

A slider, a parameter sweep or a load test makes many races, and one asks what they have in common, or how a few of them
differ. `summarize` counts them: how many connected, over which family, after how many attempts, how long it took in the
median and at worst. `compare` draws them on one scale. Both return an object that displays itself, in a notebook as a
picture and with `print` as text.

A summary has a row for each group of races, with a histogram of how long they took: in SVG a stroke as high as there
are races in its place, and a small arrow below at the median. Races that were not won have crosses: they differ in
shape, not only in colour, and their number has a column.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from .._address import several
from .._printable import printable, seconds_text
from . import svg_markup as markup
from .axis import Axis, broken_axis
from .bundles import bundle, image, side_by_side
from .canvas import Line, TextLayout, columns_of
from .labels import family_text
from .svg import MARGIN, WIDTH
from .text import BOLD, BREAK, FAINT, GREEN, NARROWEST, RED, render_text
from .timeline import AttemptRow, RaceOutcome, Timeline

# Numbers

_SHARE_OF_MOST = 1 / 4
"""The part of the width that most of the races should take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RaceStatistics:
    """The numbers of a group of races.

    Attributes:
        label: What the group is called.
        times: The durations of the races that were won, the shortest first.
        lost: The durations of all others: failed, cancelled or under way.
        attempts: How many attempts each race made, the fewest first.
        families: How many were won over which family, the most frequent first.
        outcomes: How many races ended how, the most frequent outcome first.
        dropped: How many earlier races are not among them, since a recording keeps the latest only.
    """

    label: str
    times: tuple[float, ...]
    lost: tuple[float, ...]
    attempts: tuple[int, ...]
    families: tuple[tuple[str, int], ...]
    outcomes: tuple[tuple[str, int], ...]
    dropped: int = 0

    @property
    def failed(self) -> int:
        """How many ended with an error; who was cancelled, or goes on, has none."""
        return dict(self.outcomes).get(RaceOutcome.LOST.value, 0)

    @property
    def races(self) -> int:
        """How many there are."""
        return len(self.attempts)

    @property
    def median(self) -> float | None:
        """The median time to connect; None if none was won."""
        return statistics.median(self.times) if self.times else None

    @property
    def worst(self) -> float | None:
        """The longest time to connect; None if none was won."""
        return max(self.times, default=None)


def statistics_of(label: str, timelines: Sequence[Timeline], dropped: int = 0) -> RaceStatistics:
    """Count a group of races."""
    won = [timeline for timeline in timelines if timeline.outcome is RaceOutcome.WON]
    lost = [timeline for timeline in timelines if timeline.outcome is not RaceOutcome.WON]
    families = Counter(_family(timeline.winner) for timeline in won if timeline.winner)
    return RaceStatistics(
        label=label,
        times=tuple(sorted(timeline.duration for timeline in won)),
        lost=tuple(sorted(timeline.duration for timeline in lost)),
        attempts=tuple(sorted(len(timeline.attempts) for timeline in timelines)),
        families=tuple(families.most_common()),
        outcomes=tuple(Counter(timeline.outcome.value for timeline in timelines).most_common()),
        dropped=dropped,
    )


def _family(winner: AttemptRow) -> str:
    return family_text(winner.address) or "other"


def by_family(timelines: Sequence[Timeline]) -> list[RaceStatistics]:
    """Group races by the family that won, the most frequent first; those without a winner by their outcome."""
    groups: dict[str, list[Timeline]] = {}
    for timeline in timelines:
        label = _family(timeline.winner) if timeline.winner else f"not connected ({timeline.outcome.value})"
        groups.setdefault(label, []).append(timeline)
    return [
        statistics_of(label, group)
        for label, group in sorted(groups.items(), key=lambda pair: (-len(pair[1]), pair[0]))
    ]


def by_label(timelines: Sequence[Timeline], labels: Sequence[str]) -> list[RaceStatistics]:
    """Group races by their labels: where most have failed first, then where there are most."""
    groups: dict[str, list[Timeline]] = {}
    for timeline, label in zip(timelines, labels, strict=True):
        groups.setdefault(label, []).append(timeline)
    counted = [statistics_of(label, group) for label, group in groups.items()]
    return sorted(counted, key=lambda group: (-group.failed, -group.races, group.label))


def axis_of_statistics(groups: Sequence[RaceStatistics]) -> Axis:
    """One axis for all groups; a few races that took a minute leave room for the rest."""
    moments = [time for group in groups for time in (*group.times, *group.lost)]
    return broken_axis(max(moments, default=0.0), moments, needed=_SHARE_OF_MOST, planned=0.0)


def headline(total: RaceStatistics) -> str:
    """The most important numbers: `198 of 200 connected, median 42 ms, worst 704 ms`."""
    if not total.races:
        return "no races"
    text = f"{len(total.times)} of {total.races} connected"
    if total.median is not None and total.worst is not None:
        text += f", median {seconds_text(total.median)}, worst {seconds_text(total.worst)}"
    return text


def subline(total: RaceStatistics) -> str:
    """The families, and the number of attempts: `150 over IPv6, 48 over IPv4 · 1 to 3 attempts`."""
    over = ", ".join(f"{count} over {family}" for family, count in total.families)
    others = ", ".join(f"{count} {outcome}" for outcome, count in total.outcomes if outcome != RaceOutcome.WON.value)
    each = f"{attempts_text(total)} each" if total.races else ""
    earlier = f"{total.dropped} earlier ones were not kept" if total.dropped else ""
    return " · ".join(part for part in (over, others, each, earlier) if part)


def attempts_text(group: RaceStatistics) -> str:
    """How many attempts each race made: `1 to 3 attempts`."""
    least, most = group.attempts[0], group.attempts[-1]
    if least == most:
        return f"{most} attempt{'' if most == 1 else 's'}"
    return f"{least} to {most} attempts"


def histogram(times: Sequence[float], axis: Axis, bins: int) -> dict[int, int]:
    """Count how many times fall into each bin of the axis."""
    return dict(Counter(min(int(axis.place(time) * bins), bins - 1) for time in times))


# What users get


class HasTimeline(Protocol):
    """Anything with a timeline, such as a `RecordedRace`."""

    @property
    def timeline(self) -> Timeline: ...


def _timelines(races: Iterable[HasTimeline]) -> list[Timeline]:
    timelines = []
    for race in several("races", races, "races"):
        timeline = getattr(race, "timeline", None)
        if not isinstance(timeline, Timeline):
            raise TypeError(f"races must have timelines, not {race!r}")
        timelines.append(timeline)
    return timelines


class Summary:
    """Many races in one picture: how many connected, over what, after how many attempts and how long it took.

    Attributes:
        times: How long each race took that connected, the shortest first.
        attempts: How many attempts each race made, the fewest first.
        families: How many were won over which family, the most frequent first: `{"IPv6": 150, "IPv4": 48}`.
        median: The median time to connect; None if none connected.
        worst: The longest time to connect; None if none connected.
    """

    __slots__ = ("_groups", "_total")

    def __init__(
        self,
        races: Iterable[HasTimeline] | Mapping[str, Iterable[HasTimeline]],
        by: Callable[[Timeline], object] | None = None,
    ) -> None:
        recordings = list(races.values()) if isinstance(races, Mapping) else [races]
        if isinstance(races, Mapping):
            labelled = {label: _timelines(group) for label, group in races.items()}
            timelines = [timeline for group in labelled.values() for timeline in group]
            self._groups = [statistics_of(label, group) for label, group in labelled.items() if group]
        else:
            timelines = _timelines(races)
            self._groups = by_family(timelines)
        if by is not None:
            self._groups = by_label(timelines, [str(by(timeline)) for timeline in timelines])
        self._total = statistics_of("all", timelines, sum(getattr(each, "dropped", 0) for each in recordings))

    def __len__(self) -> int:
        return self._total.races

    @property
    def times(self) -> tuple[float, ...]:
        """How long each race took that connected, the shortest first."""
        return self._total.times

    @property
    def attempts(self) -> tuple[int, ...]:
        """How many attempts each race made, the fewest first."""
        return self._total.attempts

    @property
    def families(self) -> dict[str, int]:
        """How many were won over which family, the most frequent first."""
        return dict(self._total.families)

    @property
    def median(self) -> float | None:
        """The median time to connect; None if none connected."""
        return self._total.median

    @property
    def worst(self) -> float | None:
        """The longest time to connect; None if none connected."""
        return self._total.worst

    def text(self, *, width: int = 80, color: bool = False) -> str:
        """Draw the summary as text: several lines, no newline at the end.

        Args:
            width: How many columns there are; no line is wider. At least 50.
            color: Whether to write escape sequences for colour.

        Raises:
            ValueError: `width` is too small.
        """
        return render_summary_text(self._total, self._groups, width=width, color=color)

    def svg(self) -> str:
        """Draw the summary as an SVG document, light or dark as its reader prefers."""
        return render_summary_svg(self._total, self._groups)

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        return f"<Summary {headline(self._total)}>"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return bundle(image(self.svg(), f"{headline(self._total)}: {subline(self._total)}"), self.text())


class Comparison:
    """Races drawn on one scale and in the same columns, each with its caption."""

    __slots__ = ("_captions", "_timelines", "_until")

    def __init__(self, races: Mapping[str, Timeline] | Sequence[Timeline], until: float | None = None) -> None:
        if isinstance(races, Mapping):
            self._captions, self._timelines = tuple(races), tuple(races.values())
        else:
            self._timelines = several("races", races, "timelines")
            self._captions = ("",) * len(self._timelines)
        self._until = until

    def text(self, *, width: int = 80, color: bool = False) -> str:
        """Draw the races as text, one below the other.

        Args:
            width: How many columns there are; no line is wider. At least 50.
            color: Whether to write escape sequences for colour.

        Raises:
            ValueError: `width` is too small.
        """
        texts = []
        for timeline, caption in zip(self._timelines, self._captions, strict=True):
            drawn = render_text(timeline, width=width, color=color, until=self._until, compared_with=self._timelines)
            above = Line(width)
            above.put(0, printable(caption), BOLD)
            texts.append(f"{above.text(color=color)}\n{drawn}" if caption else drawn)
        return "\n\n".join(texts)

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        return f"<Comparison of {len(self._timelines)} races>"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return bundle(side_by_side(self._timelines, self._captions, self._until), self.text())


def compare(*races: HasTimeline | Mapping[str, HasTimeline], until: float | None = None) -> Comparison:
    """Draw races on one scale, so that bars of equal length took equal time.

    In a notebook they are side by side where there is room, else one below the other, as with `print`.

    Args:
        races: Two or more, from `record` or `simulate`; or one mapping of captions to races:
            `compare({"100 ms": fast, "250 ms": slow})`.
        until: Seconds that the scale has at least, for one scale over several comparisons.

    Returns:
        An object that displays itself.

    Raises:
        ValueError: There are fewer than two.
        TypeError: There are races and a mapping.

    Example:
        >>> compare()
        Traceback (most recent call last):
        ValueError: compare needs two races or more, not 0
    """
    if len(races) == 1 and isinstance(races[0], Mapping):
        labelled = dict(zip(map(str, races[0]), _timelines(tuple(races[0].values())), strict=True))
        count, comparison = len(labelled), Comparison(labelled, until)
    else:
        plain = [race for race in races if not isinstance(race, Mapping)]
        if len(plain) < len(races):
            raise TypeError("compare takes races, or one mapping of captions to races, not both")
        count, comparison = len(plain), Comparison(_timelines(plain), until)
    if count < 2:
        raise ValueError(f"compare needs two races or more, not {count}")
    return comparison


def summarize(
    races: Iterable[HasTimeline] | Mapping[str, Iterable[HasTimeline]],
    *,
    by: Callable[[Timeline], object] | None = None,
) -> Summary:
    """Count many races, and draw how long they took.

    Args:
        races: A recording or another iterable of races, which are grouped by the family that won. Or several of these
            with a label for each, as from a sweep: `{"100 ms": recording, "250 ms": recording}`.
        by: What to group by instead: called with the timeline of each race, it returns a label. The group where most
            have failed is the first.

    Returns:
        An object that displays itself, and has the numbers.

    Raises:
        TypeError: There are no races in `races`.

    Example:
        >>> from trio_nbconnect.testing import SimulatedNetwork, simulate
        >>> net = SimulatedNetwork()
        >>> _ = net.host("192.0.2.1").accepts(after=0.03)
        >>> races = [simulate(net, ip, 443, give_up_after=1) for ip in ("192.0.2.1", "192.0.2.2", "192.0.2.2")]
        >>> print(summarize(races, by=lambda race: race.host))
        1 of 3 connected, median 30 ms, worst 30 ms
        1 over IPv4 · 2 lost · 1 attempt each
        <BLANKLINE>
                  0 ms         20        1000 ms   races  failed  median   worst   tries
        192.0.2.2                          ╱           2       2       –       –       1
           failed                          ╱   ✗
        192.0.2.1                     █    ╱           1       0   30 ms   30 ms       1
    """
    return Summary(races, by)


# The summary as text

_BLOCKS = "▁▂▃▄▅▆▇█"
_NUMBERS = 40
"""Columns for five numbers at the right."""


def render_summary_text(
    total: RaceStatistics, groups: Sequence[RaceStatistics], *, width: int = 80, color: bool = False
) -> str:
    """Draw many races as text: several lines, no newline at the end.

    Raises:
        ValueError: `width` is too small.
    """
    if width < NARROWEST:
        raise ValueError(f"width must be at least {NARROWEST}, not {width!r}")
    lines = []
    for words, style in ((headline(total), BOLD), (subline(total), FAINT)):
        lines.append(line := Line(width))
        line.put(0, words, style)
    if groups:
        left = min(max(columns_of(printable(group.label)) for group in groups), (width - _NUMBERS) // 2)
        layout = TextLayout(
            width=width,
            names=0,
            chart=left + 1,
            columns=width - _NUMBERS - left - 1,
            axis=axis_of_statistics(groups),
            duration=0.0,
        )
        lines += [Line(width), _text_axis(layout)]
        for group in groups:
            lines += _text_rows(group, layout)
    return "\n".join(line.text(color=color) for line in lines).rstrip("\n")


def _text_axis(layout: TextLayout) -> Line:
    line, free = _broken_line(layout), 0
    for tick in layout.ticks():
        column = min(layout.column(tick.time), layout.end - len(tick.label))
        if column >= free:
            line.put(column, tick.label, FAINT)
            free = column + len(tick.label) + 1
    _numbers(line, layout, ("races", "failed", "median", "worst", "tries"), FAINT)
    return line


def _broken_line(layout: TextLayout) -> Line:
    """A line in which the axis is broken where it is; each has the marks, as a label may cover the uppermost."""
    line = Line(layout.width)
    for mark in layout.marks():
        line.put(mark, BREAK, FAINT)
    return line


def _text_rows(group: RaceStatistics, layout: TextLayout) -> Iterator[Line]:
    """A line for a group, and one below it for its races that were not won."""
    line = _broken_line(layout)
    label = printable(group.label)
    while columns_of(label) > layout.chart - 1:
        label = f"{label[:-2]}…"
    line.put_before(layout.chart - 1, label, BOLD)
    counts = histogram(group.times, layout.axis, layout.columns)
    highest = max(counts.values(), default=1)
    for place, count in counts.items():
        line.put(layout.chart + place, _BLOCKS[(count * len(_BLOCKS) - 1) // highest], GREEN)
    median, worst = ("–" if time is None else seconds_text(time) for time in (group.median, group.worst))
    attempts = attempts_text(group).partition(" attempt")[0].replace(" to ", "–")
    _numbers(line, layout, (str(group.races), str(group.failed), median, worst, attempts), "")
    yield line
    if group.lost:
        line = _broken_line(layout)
        words = "failed" if group.failed == len(group.lost) else "others"
        line.put_before(layout.chart - 1, words, FAINT)
        for place in histogram(group.lost, layout.axis, layout.columns):
            line.put(layout.chart + place, "✗", RED)
        yield line


def _numbers(line: Line, layout: TextLayout, words: Sequence[str], style: str) -> None:
    for index, word in enumerate(words, start=1):
        line.put_before(layout.end + index * _NUMBERS // len(words), word, style)


# The summary as SVG

_CHART, _END = 190.0, 548.0
_ROW, _HEIGHT, _STROKE = 34.0, 22.0, 4.0
_COLUMNS = {"races": 620.0, "failed": 672.0, "median": 734.0, "worst": 800.0, "attempts": WIDTH - MARGIN}
"""The right edges of the columns of numbers."""


def render_summary_svg(total: RaceStatistics, groups: Sequence[RaceStatistics]) -> str:
    """Draw many races as an SVG document."""
    axis = axis_of_statistics(groups)
    parts = [markup.text(MARGIN, 36, headline(total), "ink b l"), markup.text(MARGIN, 54, subline(total))]
    top, bottom = 96.0, 96.0 + _ROW * len(groups)
    if groups:
        parts += _svg_axis(axis, top, bottom)
    for place, group in enumerate(groups):
        parts += _svg_row(group, axis, top + _ROW * place)
    parts += markup.break_marks([_at(mark) for mark in axis.marks], top, bottom)
    title = f"{headline(total)}: {subline(total)}"
    return markup.document(WIDTH, bottom + 18, parts, title=title, description="; ".join(map(_in_words, groups)))


_CROSS = "M-3.5 -3.5L3.5 3.5M3.5 -3.5L-3.5 3.5"


def _at(place: float) -> float:
    """The position of a place between 0 and 1 on the axis."""
    return _CHART + place * (_END - _CHART)


def _svg_axis(axis: Axis, top: float, bottom: float) -> list[str]:
    parts, free = [], 0.0
    for tick in axis.ticks(75 / (_END - _CHART)):
        x = _at(axis.place(tick.time))
        parts.append(markup.line(x, top - 8, x, bottom, "grid"))
        if x >= free:
            half = markup.width_of(tick.label, 11) / 2
            parts.append(markup.text(min(x, _END + 16 - half), top - 13, tick.label, "soft s m"))
            free = x + 55
    parts += [markup.text(x, top - 13, name, "soft s e") for name, x in _COLUMNS.items()]
    return parts


def _svg_row(group: RaceStatistics, axis: Axis, y: float) -> list[str]:
    """One group: its label, its strokes with the median marked below, its numbers."""
    middle = y + _ROW / 2 + 4
    parts = [markup.text(_CHART - 14, middle, markup.fitted(group.label, _CHART - 14 - MARGIN, bold=True), "ink b e")]
    bins = int((_END - _CHART) / _STROKE)
    for times, classes in ((group.lost, "bad"), (group.times, "won")):
        counts = histogram(times, axis, bins)
        highest = max(counts.values(), default=1)
        for place, count in sorted(counts.items()):
            height = 4 + (_HEIGHT - 4) * count / highest
            x, top = _CHART + place * _STROKE, y + 4 + _HEIGHT - height
            parts.append(markup.rect(x, top, _STROKE - 1, height, classes))
            if classes == "bad":
                parts.append(markup.path(_CROSS, "icon bad-line", x + 1.5, max(top - 2, y + 7)))
    if group.median is not None:
        parts.append(markup.path("M-4 5H4L0 0Z", "known", _at(axis.place(group.median)), y + 5 + _HEIGHT))
    numbers = {
        "races": f"{group.races}",
        "failed": f"{group.failed}",
        "median": "–" if group.median is None else seconds_text(group.median),
        "worst": "–" if group.worst is None else seconds_text(group.worst),
        "attempts": attempts_text(group).partition(" attempt")[0],
    }
    return parts + [
        markup.text(x, middle, numbers[name], "ink e" if name == "median" else "soft e") for name, x in _COLUMNS.items()
    ]


def _in_words(group: RaceStatistics) -> str:
    return f"{group.label}: {headline(group)}, {attempts_text(group)}"
