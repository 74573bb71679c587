"""Figures: medians, spreads, ratios and fits. Nothing here knows what the numbers mean."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Summary:
    """A median, and the quartiles around it: half of what was measured lies between them."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Summary:
        """Summarise at least one value."""
        if len(values) == 1:
            return cls(values[0], values[0], values[0])
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(median, low, high)


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> Summary:
    """Summarise the ratios within repetitions: what disturbs a whole repetition disturbs both, and cancels out."""
    return Summary.of([mine / other for mine, other in zip(ours, theirs, strict=True)])


@dataclass(frozen=True)
class Line:
    """A straight line through points, and how far its slope may be off (one standard error)."""

    slope: float
    error: float

    @classmethod
    def through(cls, xs: Sequence[float], ys: Sequence[float]) -> Line:
        """Fit by least squares; at least three points, for two leave no error to see."""
        mean_x, mean_y = statistics.fmean(xs), statistics.fmean(ys)
        width = sum((x - mean_x) ** 2 for x in xs)
        slope = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True)) / width
        rest = sum((y - mean_y - slope * (x - mean_x)) ** 2 for x, y in zip(xs, ys, strict=True))
        return cls(slope, math.sqrt(rest / (len(xs) - 2) / width))


def exponent(sizes: Sequence[float], totals: Sequence[float]) -> Line:
    """Fit `total = a * size ** exponent`: 1 is linear, 2 is quadratic."""
    return Line.through([math.log(size) for size in sizes], [math.log(total) for total in totals])
