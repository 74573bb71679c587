"""Export: the events of a race for other programs: a qlog file, a Chrome trace, JSON lines.

qlog has the form of the contained JSON of its main schema (draft-ietf-quic-qlog-main-schema, section 3) and the events
of Happy Eyeballs (draft-kuehlewind-happy-qlog-00, namespace `hev3`); times are milliseconds since the race began. Only
what was seen is written: events do not say when a timer was set or how candidates were sorted, so neither does the
file. Every `attempt_started` has exactly one `attempt_outcome`, once the race is over. Where the draft has no word, as
little as possible is added: the family of a UNIX socket is "unix", and addresses that the caller gave were not
discovered. First come two fields of older drafts, without which qvis loads no file. Its loader was run on such files;
its diagrams draw QUIC and TCP, so that these events are listed there and no more.

A Chrome trace is a JSON object in the Trace Event Format: a process for each race, a thread for each lookup and
attempt, and in an attempt its phases. speedscope (1.25) was tried, in a browser. Perfetto was not; its importer was
read, and asks for more than the format says. A span that ends later than the one around it is dropped: so times are
whole microseconds, and what ends together does so exactly. A thread is known by its number alone, so no two have the
same; that of the race itself has the number of its process, and is shown first. Pairs of escapes, which JSON has for
characters beyond the Basic Multilingual Plane, make it refuse the whole file.

JSON lines have one object on each line: the name of the event, the number of its race, the time in seconds since the
race started, its host and port, and then the fields of that event by their names in `trace`. Addresses are strings;
families are `IPv6` and `IPv4`; an error is its type, number and message; infinity is null.
"""

from __future__ import annotations

import enum
import errno
import itertools
import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields

from .. import trace
from .._address import IPV6, UNSPECIFIED, Address
from .._errors import ConnectError, ConnectTimeout, Phase, ResolutionError
from .._policy import Policy
from .._resolve.query import Service, Source
from .labels import address_text, failure_text, family_text, lookup_text, source_text, target_text
from .timeline import AttemptOutcome, Timeline, timeline_of

# qlog

_Data = dict[str, object]

_MILLISECONDS = {
    "resolution_delay_ms": "resolution_delay",
    "connection_attempt_delay_ms": "attempt_delay",
    "min_connection_attempt_delay_ms": "minimum_delay",
    "max_connection_attempt_delay_ms": "maximum_delay",
    "last_resort_local_synthesis_delay_ms": "last_resort_delay",
}
"""The draft's names for fields of a `Policy`."""

_RESULTS = {
    AttemptOutcome.WON: "success",
    AttemptOutcome.RUNNER_UP: "success",
    AttemptOutcome.REFUSED: "failure",
    AttemptOutcome.FAILED: "failure",
    AttemptOutcome.TIMED_OUT: "timeout",
    AttemptOutcome.CANCELLED: "canceled",
}


def qlog(races: Iterable[Sequence[trace.Event]]) -> str:
    """Write races as one qlog file, each a trace of its own.

    Example:
        >>> start = trace.RaceStarted(race=1, time=7.0, host="example.org", port=443, policy=Policy())
        >>> [event["name"] for event in json.loads(qlog([[start]]))["traces"][0]["events"]]
        ['hev3:config_set']
    """
    file = {
        "qlog_version": "0.3",
        "qlog_format": "JSON",
        "file_schema": "urn:ietf:params:qlog:file:contained",
        "serialization_format": "application/qlog+json",
        "traces": [_trace(events, number) for number, events in enumerate(races, start=1)],
    }
    return json.dumps(file, indent=2, allow_nan=False) + "\n"


def _trace(events: Sequence[trace.Event], number: int) -> _Data:
    timeline = timeline_of(events)
    return {
        "title": f"{timeline.host} {timeline.port}",
        "vantage_point": {"name": "trio_nbconnect", "type": "client"},
        "common_fields": {
            "time_format": "relative_to_epoch",
            "reference_time": {"clock_type": "monotonic", "epoch": "unknown"},
        },
        "event_schemas": ["urn:ietf:params:qlog:events:hev3-00"],
        "events": list(_Writer(timeline, number).events(events)),
    }


class _Writer:
    """Write the events of one race; the answers so far are kept, to see what the next one adds and removes."""

    def __init__(self, timeline: Timeline, number: int) -> None:
        self._timeline = timeline
        self._number = number
        self._pending: dict[tuple[Source, str], tuple[str, float]] = {}
        self._queries = 0
        self._known: dict[tuple[Source, str], dict[Address, str]] = {}

    def events(self, events: Sequence[trace.Event]) -> Iterator[_Data]:
        for event in events:
            for name, data in self._draft_events(event):
                time = round((event.time - self._timeline.began) * 1000, 6)
                session = {"he_session_id": str(self._number)}
                yield {"time": time, "name": f"hev3:{name}", "data": {**session, **data}}

    def _draft_events(self, event: trace.Event) -> Iterator[tuple[str, _Data]]:
        if isinstance(event, trace.RaceStarted):
            yield "config_set", {"policy": _policy(event.policy), "reason": "app_config"}
        elif isinstance(event, trace.ResolutionStarted):
            yield "dns_query_started", self._query(event)
        elif isinstance(event, trace.AnswerReceived) and event.source is not Source.GIVEN:
            yield "dns_query_finished", self._answer(event)
            yield from self._candidates(event)
        elif isinstance(event, trace.AttemptStarted):
            if event.reason is trace.Reason.DELAY_OVER:
                yield "next_attempt_timer_fired", {}
            yield (
                "attempt_started",
                {**_attempt(event), "target": _target(event.address), "transport": _transport(event.address)},
            )
        elif isinstance(event, trace.AttemptEstablished | trace.AttemptFailed | trace.AttemptCancelled):
            yield "attempt_outcome", self._outcome(event)
        elif isinstance(event, trace.RaceWon):
            yield "connection_selected", _attempt(event)
            yield "metrics", self._metrics()
        elif isinstance(event, trace.RaceLost):
            yield "connection_aborted", {"reason": _why(event.error)}
            yield "metrics", self._metrics()

    def _query(self, event: trace.ResolutionStarted) -> _Data:
        self._queries += 1
        self._pending[event.source, event.name] = (str(self._queries), event.time)
        types = ["AAAA", "A"] if event.source in (Source.SYSTEM, Source.HOOK) else [event.source.value]
        host = event.name or self._timeline.host
        return {"dns_id": str(self._queries), "hostname": host, "qtypes": types}

    def _answer(self, event: trace.AnswerReceived) -> _Data:
        query = self._pending.pop((event.source, event.name), None)
        if query is None:  # an answer without a query
            self._queries += 1
            query = (str(self._queries), event.time)
        results = [_record(address) for address in event.addresses] + [_service(row) for row in event.services]
        data: _Data = {"dns_id": query[0], "hostname": event.name or self._timeline.host, "results": results}
        data["answer_type"] = "positive" if results else "negative" if event.error is None else "error"
        if event.error is not None:
            data |= {"error_code": _code(event.error), "error_message": str(event.error)}
        return {**data, "duration_ms": _milliseconds(event.time - query[1])}

    def _candidates(self, event: trace.AnswerReceived) -> Iterator[tuple[str, _Data]]:
        """What an answer adds and what it removes: it replaces the earlier one of its source."""
        key = (event.source, event.name)
        before = dict.fromkeys(address for known in self._known.values() for address in known)
        hints = [address for service in event.services for address in service.hints]
        gone = self._known.get(key, {})
        self._known[key] = {**dict.fromkeys(hints, "svcb_hint"), **dict.fromkeys(event.addresses, "dns")}
        after = {address for known in self._known.values() for address in known}
        for address, source in self._known[key].items():
            if address not in before:
                yield "candidate_discovered", {"source": source, "target": _target(address)}
        for address in gone:
            if address not in after:
                yield "candidate_removed", {"target": _target(address), "reason": "dns_negative"}

    def _outcome(self, event: trace.AttemptEstablished | trace.AttemptFailed | trace.AttemptCancelled) -> _Data:
        row = next(row for row in self._timeline.attempts if row.number == event.attempt)
        data: _Data = {**_attempt(event), "result": _RESULTS[row.outcome]}
        if isinstance(event, trace.AttemptFailed):
            data["error_code"] = _code(event.error)
        taken = event.time - self._timeline.began - row.started
        return {**data, "connect_duration_ms": _milliseconds(taken)}

    def _metrics(self) -> _Data:
        timeline, winner = self._timeline, self._timeline.winner
        successes = sum(_RESULTS.get(row.outcome) == "success" for row in timeline.attempts)
        data: _Data = {
            "outcome": "success" if winner else "aborted",
            "total_duration_ms": _milliseconds(timeline.duration),
        }
        if winner is not None:
            first = min(row.ended for row in timeline.attempts if _RESULTS.get(row.outcome) == "success")
            data |= {
                "tt_first_success_ms": _milliseconds(first),
                "first_success_family": _family(winner.address),
                "first_success_transport": _transport(winner.address),
            }
        total = len(timeline.attempts)
        return {
            **data,
            "attempts_total": total,
            "attempts_success": successes,
            "attempts_failure": total - successes,
        }


def _policy(policy: Policy) -> _Data:
    """The fields of a policy that the draft has; infinite ones are left out."""
    times = {name: getattr(policy, ours) for name, ours in _MILLISECONDS.items()}
    return {
        **{name: _milliseconds(seconds) for name, seconds in times.items() if seconds < math.inf},
        "preferred_address_family_count": policy.first_address_family_count,
        "preferred_family": "ipv6" if policy.families[0] == IPV6 else "ipv4",
        "use_historical_rtt": policy.delay_from_history,
    }


def _attempt(
    event: trace.AttemptStarted
    | trace.AttemptEstablished
    | trace.AttemptFailed
    | trace.AttemptCancelled
    | trace.RaceWon,
) -> _Data:
    return {"attempt_id": str(event.attempt)}


def _target(address: Address) -> _Data:
    return {"address": address.ip, "port": address.port, "family": _family(address)}


def _family(address: Address) -> str:
    if address.family == UNSPECIFIED:
        return "unspecified"
    return "unix" if address.is_path else "ipv6" if address.family == IPV6 else "ipv4"


def _transport(address: Address) -> str:
    """Name the transport; of the caller's own attempts only the caller can."""
    return "tcp" if address.family != UNSPECIFIED else family_text(address) or "unspecified"


def _record(address: Address) -> _Data:
    return {"type": "address", "address": address.ip, "family": _family(address)}


def _service(service: Service) -> _Data:
    """A ServiceMode record; the target "." is the host itself."""
    data: _Data = {
        "type": "service",
        "mode": "servicemode",
        "target_name": service.target or ".",
        "priority": service.priority,
    }
    if service.alpn:
        data["alpn"] = list(service.alpn)
    for family in ("ipv4", "ipv6"):
        hints = [address.ip for address in service.hints if _family(address) == family]
        if hints:
            data[f"{family}hint"] = hints
    return data


def _code(error: OSError) -> str:
    """The name of an error's number, or its class."""
    return errno.errorcode.get(error.errno or 0, type(error).__name__)


def _why(error: OSError | None) -> str:
    if error is None:
        return "user canceled"
    if not isinstance(error, ConnectError):
        return str(error)
    if isinstance(error, ResolutionError):
        return "no addresses resolved"
    return "timed out" if isinstance(error, ConnectTimeout) else "all attempts failed"


def _milliseconds(seconds: float) -> int:
    """The draft's uint32."""
    return min(max(round(seconds * 1000), 0), 2**32 - 1)


# Chrome trace


def chrome_trace(races: Iterable[Sequence[trace.Event]]) -> str:
    """Write races as one file in Chrome's Trace Event Format.

    Example:
        >>> start = trace.RaceStarted(race=1, time=7.0, host="example.org", port=443, policy=Policy())
        >>> [event["ph"] for event in json.loads(chrome_trace([[start]]))["traceEvents"]]
        ['M', 'M', 'X']
    """
    rows: list[_Data] = []
    timelines = [timeline_of(events) for events in races]
    numbers = itertools.count(1)
    for timeline, offset in zip(timelines, _offsets(timelines), strict=True):
        rows += _process(timeline, numbers, offset)
    file = {"traceEvents": rows, "displayTimeUnit": "ms"}
    return _NOT_ASCII.sub(_escape, json.dumps(file, indent=1, allow_nan=False, ensure_ascii=False)) + "\n"


_NOT_ASCII = re.compile(r"[^\x00-\x7f]")


def _escape(found: re.Match[str]) -> str:
    """Escape a character as JSON does; U+FFFD takes the place of what needs two escapes."""
    number = ord(found[0])
    return f"\\u{number if number < 0x10000 else 0xFFFD:04x}"


def _offsets(timelines: Sequence[Timeline]) -> Iterator[float]:
    """When each race started, in seconds since the first one.

    Each `trio.run` has a clock of its own that starts anywhere; its races begin where those of the run before ended.
    """
    zero, end, run = 0.0, 0.0, -1
    for timeline in timelines:
        if timeline.run != run:
            zero = timeline.began - end
        run = timeline.run
        offset = timeline.began - zero
        end = max(end, offset + timeline.duration)
        yield offset


def _process(timeline: Timeline, numbers: Iterator[int], offset: float) -> Iterator[_Data]:
    """The rows of one race: first its names, then what took time; each row takes a number."""
    process = next(numbers)

    def span(thread: int, name: str, kind: str, start: float, end: float, **details: object) -> _Data:
        began, ended = (round((offset + seconds) * 1e6) for seconds in (start, end))
        times = {"ts": began, "dur": ended - began}
        return {"ph": "X", "pid": process, "tid": thread, "name": name, "cat": kind, **times, "args": details}

    def named(what: str, name: str, thread: int) -> _Data:
        return {"ph": "M", "pid": process, "tid": thread, "name": what, "args": {"name": name}}

    target = target_text(timeline)
    yield named("process_name", target, process)
    yield named("thread_name", "race", process)
    yield span(process, timeline.outcome.value, "race", 0.0, timeline.duration, target=target)
    for lookup, thread in zip(timeline.lookups, numbers, strict=False):
        name, end = source_text(lookup), timeline.duration if lookup.until is None else lookup.until
        yield named("thread_name", name, thread)
        addresses = [address.ip for address in lookup.addresses]
        yield span(
            thread, lookup_text(lookup, timeline), "lookup", lookup.started, end, source=name, addresses=addresses
        )
    for attempt, thread in zip(timeline.attempts, numbers, strict=False):
        address = address_text(attempt.address, timeline)
        yield named("thread_name", address, thread)
        details = {"reason": attempt.reason.value, "error": failure_text(attempt)}
        yield span(
            thread,
            f"{attempt.outcome.value} {address}",
            "attempt",
            attempt.started,
            attempt.ended,
            attempt=attempt.number,
            **{name: detail for name, detail in details.items() if detail},
        )
        if attempt.connected is not None and attempt.has_second_phase:
            yield span(thread, "TCP handshake", "phase", attempt.started, attempt.connected)
            name = "TLS handshake" if attempt.phase is Phase.TLS else "after TCP"
            yield span(thread, name, "phase", attempt.connected, attempt.ended)


# JSON lines


def json_lines(events: Sequence[trace.Event]) -> Iterator[str]:
    """Write the events of one race, each as a line without its newline.

    Example:
        >>> start = trace.RaceStarted(race=1, time=7.0, host="example.org", port=443, policy=Policy())
        >>> lost = trace.RaceLost(race=1, time=7.5, error=None)
        >>> list(json_lines([start, lost]))[1]
        '{"event": "RaceLost", "race": 1, "time": 0.5, "host": "", "port": 0, "error": null}'
    """
    for event in events:
        values = _fields(event)
        values["time"] = round(event.time - events[0].time, 9)
        if values.get("delay") == math.inf:
            values["delay"] = None
        yield json.dumps({"event": type(event).__name__, **values}, default=_plain, allow_nan=False)


def _fields(value: trace.Event | trace.Candidate | trace.Connection | Policy | Service) -> dict[str, object]:
    return {field.name: getattr(value, field.name) for field in fields(value)}


def _plain(value: object) -> object:
    """Convert what JSON has no type for."""
    if isinstance(value, Address):
        return str(value)
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, OSError):
        return {"type": type(value).__name__, "errno": value.errno, "message": str(value)}
    if isinstance(value, Service | trace.Candidate | trace.Connection):
        return _fields(value)
    if isinstance(value, Policy):
        settings = {name: None if setting == math.inf else setting for name, setting in _fields(value).items()}
        return {**settings, "families": ["IPv6" if family == IPV6 else "IPv4" for family in value.families]}
    raise TypeError(f"no JSON for {value!r}")  # a new type in an event has to be added above
