"""JSON lines: the events of a race for other programs, one object on each line.

A line has the name of its event, the number of its race, the time in seconds since the race started, and then the
facts of that event by their names in `trace`. Addresses are text; families are `IPv6` and `IPv4`; an error is its
type, number and message; a limit that is never reached is null.
"""

from __future__ import annotations

import enum
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import fields

from .. import trace
from .._address import IPV6, Address
from .._policy import Policy
from .._resolve.query import Service


def json_lines(events: Sequence[trace.Event]) -> Iterator[str]:
    """Write the events of one race, without newlines.

    Example:
        >>> start = trace.RaceStarted(race=1, time=7.0, host="example.org", port=443, policy=Policy())
        >>> lost = trace.RaceLost(race=1, time=7.5, error=None)
        >>> list(json_lines([start, lost]))[1]
        '{"event": "RaceLost", "race": 1, "time": 0.5, "error": null}'
    """
    for event in events:
        facts = _fields(event)
        facts["time"] = round(event.time - events[0].time, 9)
        yield json.dumps({"event": type(event).__name__, **facts}, default=_plain, allow_nan=False)


def _fields(value: trace.Event | Policy | Service) -> dict[str, object]:
    return {field.name: getattr(value, field.name) for field in fields(value)}


def _plain(value: object) -> object:
    """Say in JSON's own words what JSON has no word for."""
    if isinstance(value, Address):
        return str(value)
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, OSError):
        return {"type": type(value).__name__, "errno": value.errno, "message": str(value)}
    if isinstance(value, Service):
        return _fields(value)
    if isinstance(value, Policy):
        settings = {name: None if setting == math.inf else setting for name, setting in _fields(value).items()}
        return {**settings, "families": ["IPv6" if family == IPV6 else "IPv4" for family in value.families]}
    raise TypeError(f"no JSON for {value!r}")  # a new kind of fact in an event wants its word here
