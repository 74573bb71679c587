"""qlog: the events of a race in the vocabulary that other tools speak.

The form is the contained JSON of the qlog main schema (draft-ietf-quic-qlog-main-schema, section 3); the events are
those of Happy Eyeballs (draft-kuehlewind-happy-qlog-00, namespace `hev3`). Times are milliseconds since the race began.

Rule 1: we write what was seen and invent nothing. When a timer was set, or how candidates were sorted, our events do
not say, and so there are no such events here. Rule 2: every `attempt_started` has exactly one `attempt_outcome`, once
the race is over. Rule 3: where the draft has no word we add as little as possible: the family of a UNIX socket is
"unix", and addresses that the caller gave were not discovered.
"""

from __future__ import annotations

import errno
import json
import math
from collections.abc import Iterable, Iterator, Sequence

from .. import trace
from .._address import IPV6, Address
from .._errors import ConnectError, ConnectTimeout, ResolutionError
from .._policy import Policy
from .._resolve.query import Service, Source
from .timeline import Fate, Timeline, timeline_of

_Data = dict[str, object]

_MILLISECONDS = {
    "resolution_delay_ms": "resolution_delay",
    "connection_attempt_delay_ms": "attempt_delay",
    "min_connection_attempt_delay_ms": "minimum_delay",
    "max_connection_attempt_delay_ms": "maximum_delay",
    "last_resort_local_synthesis_delay_ms": "last_resort_delay",
}
"""The draft's names for what is in a `Policy`."""

_RESULTS = {
    Fate.WON: "success",
    Fate.RUNNER_UP: "success",
    Fate.REFUSED: "failure",
    Fate.FAILED: "failure",
    Fate.TIMED_OUT: "timeout",
    Fate.CANCELLED: "canceled",
}


def qlog(races: Iterable[Sequence[trace.Event]]) -> str:
    """Write races as one qlog file, each a trace of its own.

    Example:
        >>> start = trace.RaceStarted(race=1, time=7.0, host="example.org", port=443, policy=Policy())
        >>> [event["name"] for event in json.loads(qlog([[start]]))["traces"][0]["events"]]
        ['hev3:config_set']
    """
    file = {
        "file_schema": "urn:ietf:params:qlog:file:contained",
        "serialization_format": "application/qlog+json",
        "traces": [_trace(events) for events in races],
    }
    return json.dumps(file, indent=2, allow_nan=False) + "\n"


def _trace(events: Sequence[trace.Event]) -> _Data:
    timeline = timeline_of(events)
    return {
        "title": f"{timeline.host} {timeline.port}",
        "vantage_point": {"name": "trio_nbconnect", "type": "client"},
        "common_fields": {
            "time_format": "relative_to_epoch",
            "reference_time": {"clock_type": "monotonic", "epoch": "unknown"},
        },
        "event_schemas": ["urn:ietf:params:qlog:events:hev3-00"],
        "events": list(_Writer(timeline).events(events)),
    }


class _Writer:
    """Writes the events of one race; it remembers which answers stand, to tell what is new in the next one."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._asked: dict[tuple[Source, str], tuple[str, float]] = {}
        self._queries = 0
        self._known: dict[tuple[Source, str], dict[Address, str]] = {}

    def events(self, events: Sequence[trace.Event]) -> Iterator[_Data]:
        for event in events:
            for name, data in self._written(event):
                time = round((event.time - self._timeline.began) * 1000, 6)
                session = {"he_session_id": str(self._timeline.race)}
                yield {"time": time, "name": f"hev3:{name}", "data": {**session, **data}}

    def _written(self, event: trace.Event) -> Iterator[tuple[str, _Data]]:
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
            yield "attempt_started", {**_attempt(event), "target": _target(event.address), "transport": "tcp"}
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
        self._asked[event.source, event.name] = (str(self._queries), event.time)
        types = ["AAAA", "A"] if event.source is Source.HOOK else [event.source.value]
        host = event.name or self._timeline.host
        return {"dns_id": str(self._queries), "hostname": host, "qtypes": types}

    def _answer(self, event: trace.AnswerReceived) -> _Data:
        asked = self._asked.pop((event.source, event.name), None)
        if asked is None:  # nobody asked for it: a push
            self._queries += 1
            asked = (str(self._queries), event.time)
        results = [_record(address) for address in event.addresses] + [_service(row) for row in event.services]
        data: _Data = {"dns_id": asked[0], "hostname": event.name or self._timeline.host, "results": results}
        data["answer_type"] = "positive" if results else "negative" if event.error is None else "error"
        if event.error is not None:
            data |= {"error_code": _code(event.error), "error_message": str(event.error)}
        return {**data, "duration_ms": _milliseconds(event.time - asked[1])}

    def _candidates(self, event: trace.AnswerReceived) -> Iterator[tuple[str, _Data]]:
        """What an answer adds, and what it takes away: it replaces the earlier one of its source."""
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
        data: _Data = {**_attempt(event), "result": _RESULTS[row.fate]}
        if isinstance(event, trace.AttemptFailed):
            data["error_code"] = _code(event.error)
        taken = event.time - self._timeline.began - row.started
        return {**data, "connect_duration_ms": _milliseconds(taken)}

    def _metrics(self) -> _Data:
        timeline, winner = self._timeline, self._timeline.winner
        successes = sum(_RESULTS.get(row.fate) == "success" for row in timeline.attempts)
        data: _Data = {
            "outcome": "success" if winner else "aborted",
            "total_duration_ms": _milliseconds(timeline.duration),
        }
        if winner is not None:
            first = min(row.ended for row in timeline.attempts if _RESULTS.get(row.fate) == "success")
            data |= {
                "tt_first_success_ms": _milliseconds(first),
                "first_success_family": _family(winner.address),
                "first_success_transport": "tcp",
            }
        total = len(timeline.attempts)
        return {
            **data,
            "attempts_total": total,
            "attempts_success": successes,
            "attempts_failure": total - successes,
        }


def _policy(policy: Policy) -> _Data:
    """What the draft knows of a policy; what never comes to an end is left out."""
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
    return "unix" if address.is_path else "ipv6" if address.family == IPV6 else "ipv4"


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


def _why(error: ConnectError | None) -> str:
    if error is None:
        return "user canceled"
    if isinstance(error, ResolutionError):
        return "no addresses resolved"
    return "timed out" if isinstance(error, ConnectTimeout) else "all attempts failed"


def _milliseconds(seconds: float) -> int:
    """The draft's uint32."""
    return min(max(round(seconds * 1000), 0), 2**32 - 1)
