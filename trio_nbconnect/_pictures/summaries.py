"""Summary and comparison: several races at once.

The problem: a slider, a sweep or a load test makes many races, and one asks what they have in common, or in what two of
them differ. How we solve it: `summarize` counts them, `compare` puts them beside each other on one scale. Both return
a thing that shows itself, in a notebook as a picture and in `print` as text.

What lives here: those two things. What does not: numbers (`_tally`) and drawing, which are imported when asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from .tally import Tally
    from .timeline import Timeline


class HasTimeline(Protocol):
    """A race as far as it matters here: a `RecordedRace`."""

    @property
    def timeline(self) -> Timeline: ...


class Summary:
    """Many races in one picture: how many connected, over what, after how many attempts and how long it took.

    Attributes:
        times: How long each race took that connected, the shortest first.
        attempts: How many attempts each race made, the fewest first.
        families: How many were won over which family, the most frequent first: `{"IPv6": 150, "IPv4": 48}`.
        median: The time to connect that half of the races kept below; None if none connected.
        worst: The longest time to connect; None if none connected.
    """

    __slots__ = ("_groups", "_total")

    def __init__(self, total: Tally, groups: Iterable[Tally]) -> None:
        self._total, self._groups = total, tuple(groups)

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
        """The time to connect that half of the races kept below; None if none connected."""
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
        from .summary_text import render_summary_text  # noqa: PLC0415 - see above

        return render_summary_text(self._total, self._groups, width=width, color=color)

    def svg(self) -> str:
        """Draw the summary as an SVG document, light or dark as its reader prefers."""
        from .summary_svg import render_summary_svg  # noqa: PLC0415 - see above

        return render_summary_svg(self._total, self._groups)

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        from .tally import headline  # noqa: PLC0415 - see above

        return f"<Summary {headline(self._total)}>"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        from .bundles import bundle, image  # noqa: PLC0415 - see above
        from .tally import headline, subline  # noqa: PLC0415 - see above

        return bundle(image(self.svg(), f"{headline(self._total)}: {subline(self._total)}"), self.text())


class Comparison:
    """Races beside each other, on one scale and in the same columns."""

    __slots__ = ("_timelines",)

    def __init__(self, timelines: Iterable[Timeline]) -> None:
        self._timelines = tuple(timelines)

    def text(self, *, width: int = 80, color: bool = False) -> str:
        """Draw the races as text, one below the other.

        Args:
            width: How many columns there are; no line is wider. At least 50.
            color: Whether to write escape sequences for colour.

        Raises:
            ValueError: `width` is too small.
        """
        from .text import render_text  # noqa: PLC0415 - see above

        texts = [render_text(each, width=width, color=color, beside=self._timelines) for each in self._timelines]
        return "\n\n".join(texts)

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        return f"<Comparison of {len(self._timelines)} races>"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        from .bundles import bundle, side_by_side  # noqa: PLC0415 - see above

        return bundle(side_by_side(self._timelines), self.text())


def compare(*races: HasTimeline) -> Comparison:
    """Put races beside each other, on one scale, so that bars of one length took one time.

    In a notebook they stand side by side where there is room, else one below the other; so they do in `print`.

    Args:
        races: Two or more, as they come from `record` .

    Returns:
        What shows itself.

    Raises:
        ValueError: There are fewer than two.

    Example:
        >>> compare()
        Traceback (most recent call last):
        ValueError: compare needs two races or more, not 0
    """
    if len(races) < 2:
        raise ValueError(f"compare needs two races or more, not {len(races)}")
    return Comparison(race.timeline for race in races)


def summarize(races: Iterable[HasTimeline] | Mapping[str, Iterable[HasTimeline]]) -> Summary:
    """Count many races, and draw how long they took.

    Args:
        races: A recording, or whatever else goes through races; they are told apart by the family that won. Or several
            of that with a label for each, as from a sweep: `{"100 ms": recording, "250 ms": recording}`.

    Returns:
        What shows itself, and has the numbers.

    Example:
        >>> print(summarize([]))
        no races
    """
    from .tally import by_family, tally  # noqa: PLC0415 - see above

    if isinstance(races, Mapping):
        labelled = {label: [race.timeline for race in group] for label, group in races.items()}
        everything = [timeline for group in labelled.values() for timeline in group]
        return Summary(tally("all", everything), [tally(label, group) for label, group in labelled.items() if group])
    timelines = [race.timeline for race in races]
    return Summary(tally("all", timelines), by_family(timelines))
