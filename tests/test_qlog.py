"""Exports: what the drafts of qlog and the Trace Event Format ask for, of races written by hand."""

from __future__ import annotations

import dataclasses
import json
import socket
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from trio_nbconnect import Address, ConnectError, ConnectTimeout, Policy, ResolutionError, Service, Source, trace
from trio_nbconnect._pictures.export import chrome_trace, qlog
from trio_nbconnect.trace import Event, Reason

from .race_script import START, RaceScript, script_of_a_lost_race, script_of_a_won_race


def written(events: Sequence[Event]) -> list[tuple[float, str, dict[str, Any]]]:
    """The events of the one trace: time, name without its namespace, data without the session."""
    (race,) = json.loads(qlog([events]))["traces"]
    for event in race["events"]:
        assert event["name"].startswith("hev3:")
        assert event["data"].pop("he_session_id") == str(events[0].race)
    return [(event["time"], event["name"].removeprefix("hev3:"), event["data"]) for event in race["events"]]


def named(events: Sequence[Event], name: str) -> list[dict[str, Any]]:
    """The data of all events of a name."""
    return [data for _, found, data in written(events) if found == name]


def test_a_file_says_what_it_is() -> None:
    file = json.loads(qlog([script_of_a_won_race().events, RaceScript(race=2).events]))

    assert list(file)[:4] == ["qlog_version", "qlog_format", "file_schema", "serialization_format"]
    assert (file["qlog_version"], file["qlog_format"]) == ("0.3", "JSON")  # or qvis does not load it
    assert file["file_schema"] == "urn:ietf:params:qlog:file:contained"
    assert file["serialization_format"] == "application/qlog+json"
    assert [race["event_schemas"] for race in file["traces"]] == [["urn:ietf:params:qlog:events:hev3-00"]] * 2
    assert file["traces"][0]["vantage_point"]["type"] == "client"
    assert file["traces"][0]["common_fields"]["reference_time"] == {"clock_type": "monotonic", "epoch": "unknown"}


def test_a_won_race() -> None:
    events = script_of_a_won_race().events

    assert [(time, name) for time, name, _ in written(events)] == [
        (0.0, "config_set"),
        (0.0, "dns_query_started"),
        (0.0, "dns_query_started"),
        (24.0, "dns_query_finished"),
        (24.0, "candidate_discovered"),
        (24.0, "candidate_discovered"),
        (24.0, "attempt_started"),
        (41.0, "dns_query_finished"),
        (41.0, "candidate_discovered"),
        (41.0, "candidate_discovered"),
        (41.0, "candidate_discovered"),
        (274.0, "next_attempt_timer_fired"),
        (274.0, "attempt_started"),
        (336.0, "attempt_outcome"),
        (336.0, "attempt_started"),
        (586.0, "next_attempt_timer_fired"),
        (586.0, "attempt_started"),
        (704.0, "attempt_outcome"),
        (704.0, "attempt_outcome"),
        (704.0, "attempt_outcome"),
        (704.0, "connection_selected"),
        (704.0, "metrics"),
    ]
    assert named(events, "attempt_started")[0] == {
        "attempt_id": "1",
        "target": {"address": "2001:db8:1::10", "port": 443, "family": "ipv6"},
        "transport": "tcp",
    }
    assert named(events, "attempt_outcome") == [
        {"attempt_id": "2", "result": "failure", "error_code": "ECONNREFUSED", "connect_duration_ms": 62},
        {"attempt_id": "4", "result": "success", "connect_duration_ms": 118},
        {"attempt_id": "1", "result": "canceled", "connect_duration_ms": 680},
        {"attempt_id": "3", "result": "canceled", "connect_duration_ms": 368},
    ]
    assert named(events, "connection_selected") == [{"attempt_id": "4"}]
    assert named(events, "metrics") == [
        {
            "outcome": "success",
            "total_duration_ms": 704,
            "tt_first_success_ms": 704,
            "first_success_family": "ipv4",
            "first_success_transport": "tcp",
            "attempts_total": 4,
            "attempts_success": 1,
            "attempts_failure": 3,
        }
    ]


def test_what_was_stopped_because_the_time_was_over_timed_out() -> None:
    events = script_of_a_lost_race(ConnectTimeout("gave up", host="example.org", port=443)).events

    assert Counter(data["result"] for data in named(events, "attempt_outcome")) == {"timeout": 3, "failure": 2}
    assert named(events, "connection_aborted") == [{"reason": "timed out"}]
    assert named(events, "metrics")[0]["outcome"] == "aborted"
    assert "tt_first_success_ms" not in named(events, "metrics")[0]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (None, "user canceled"),
        (ConnectError("failed", host="example.org", port=443), "all attempts failed"),
        (ResolutionError("failed", host="example.org", port=443), "no addresses resolved"),
    ],
)
def test_a_lost_race_says_why(error: ConnectError | None, reason: str) -> None:
    script = RaceScript()
    script.loses(0.5, error)

    assert named(script.events, "connection_aborted") == [{"reason": reason}]


def test_a_runner_up_is_one_success() -> None:
    script = RaceScript()
    script.starts("192.0.2.1", 0.0, Reason.FIRST)
    script.starts("192.0.2.2", 0.25)
    script.establishes("192.0.2.2", 0.4)
    script.establishes("192.0.2.1", 0.4)
    script.discards("192.0.2.1", 0.4)
    script.wins("192.0.2.2", 0.4)

    assert [data["attempt_id"] for data in named(script.events, "attempt_outcome")] == ["2", "1"]
    assert {data["result"] for data in named(script.events, "attempt_outcome")} == {"success"}
    assert named(script.events, "metrics")[0]["attempts_success"] == 2


def test_a_policy_is_in_milliseconds_without_infinities() -> None:
    script = RaceScript(policy=Policy(attempt_delay=float("inf"), last_resort_delay=2, families=(socket.AF_INET,)))

    (config,) = named(script.events, "config_set")

    assert config["policy"] == {
        "resolution_delay_ms": 50,
        "min_connection_attempt_delay_ms": 100,
        "max_connection_attempt_delay_ms": 2000,
        "last_resort_local_synthesis_delay_ms": 2000,
        "preferred_address_family_count": 1,
        "preferred_family": "ipv4",
        "use_historical_rtt": True,
    }


def test_an_answer_has_records_services_and_errors() -> None:
    script = RaceScript()
    script.queries(Source.HTTPS, 0.0)
    script.queries(Source.A, 0.001)
    hint = Address(socket.AF_INET6, "2001:db8::9", 443)
    service = Service(priority=1, target="cdn.example", alpn=("h2",), hints=(hint,))
    script.events.append(
        trace.AnswerReceived(
            race=1, time=START + 0.02, source=Source.HTTPS, addresses=(), error=None, services=(service,)
        )
    )
    script.answers(Source.A, 0.03, error=socket.gaierror(socket.EAI_AGAIN, "SERVFAIL"))
    script.answers(Source.AAAA, 0.04)

    https, a, push = named(script.events, "dns_query_finished")

    assert (https["dns_id"], a["dns_id"], push["dns_id"]) == ("1", "2", "3")
    assert https["results"] == [
        {
            "type": "service",
            "mode": "servicemode",
            "target_name": "cdn.example",
            "priority": 1,
            "alpn": ["h2"],
            "ipv6hint": ["2001:db8::9"],
        }
    ]
    assert (a["answer_type"], a["error_code"], a["duration_ms"]) == ("error", "gaierror", 29)
    assert (push["answer_type"], push["duration_ms"]) == ("negative", 0)
    assert named(script.events, "candidate_discovered") == [
        {"source": "svcb_hint", "target": {"address": "2001:db8::9", "port": 443, "family": "ipv6"}}
    ]


def test_a_later_answer_adds_and_removes() -> None:
    script = RaceScript()
    script.answers(Source.A, 0.1, "192.0.2.1", "192.0.2.2")
    script.answers(Source.A, 0.2, "192.0.2.2", "192.0.2.3")

    assert [data["target"]["address"] for data in named(script.events, "candidate_discovered")] == [
        "192.0.2.1",
        "192.0.2.2",
        "192.0.2.3",
    ]
    assert [data["target"]["address"] for data in named(script.events, "candidate_removed")] == ["192.0.2.1"]


def test_given_addresses_were_not_discovered() -> None:
    script = RaceScript()
    script.queries(Source.HOOK)
    script.answers(Source.GIVEN, 0.0, "192.0.2.1")

    assert [name for _, name, _ in written(script.events)] == ["config_set", "dns_query_started"]
    assert named(script.events, "dns_query_started") == [
        {"dns_id": "1", "hostname": "example.org", "qtypes": ["AAAA", "A"]}
    ]


def test_a_path_has_a_family_of_its_own() -> None:
    path = Address(socket.AF_UNIX, "/run/x.sock", 0)
    script = RaceScript()
    script.events += [
        trace.AttemptStarted(race=1, time=START, attempt=1, address=path, reason=Reason.FIRST),
        trace.AttemptFailed(race=1, time=START + 1e9, attempt=1, address=path, error=OSError("odd")),
    ]

    assert named(script.events, "attempt_started")[0]["target"] == {
        "address": "/run/x.sock",
        "port": 0,
        "family": "unix",
    }
    (outcome,) = named(script.events, "attempt_outcome")
    assert outcome["error_code"] == "OSError"
    assert outcome["connect_duration_ms"] == 2**32 - 1


# Chrome trace


def spans(*races: Sequence[Event]) -> list[tuple[int, int, str, float, float]]:
    """What took time: process, thread, name, start and duration in milliseconds."""
    rows = json.loads(chrome_trace(races))["traceEvents"]
    return [
        (row["pid"], row["tid"], row["name"], round(row["ts"] / 1000, 3), round(row["dur"] / 1000, 3))
        for row in rows
        if row["ph"] == "X"
    ]


def test_a_chrome_trace_has_a_thread_for_each_row() -> None:
    assert spans(script_of_a_won_race().events) == [
        (1, 1, "won", 0.0, 704.0),
        (1, 2, "2 addresses · 24 ms", 0.0, 24.0),
        (1, 3, "3 addresses · 41 ms", 0.0, 41.0),
        (1, 4, "cancelled 2001:db8:1::10", 24.0, 680.0),
        (1, 5, "refused 198.51.100.7", 274.0, 62.0),
        (1, 6, "cancelled 2001:db8:1::11", 336.0, 368.0),
        (1, 7, "won 203.0.113.24", 586.0, 118.0),
    ]


def test_a_chrome_trace_names_processes_and_threads() -> None:
    rows = json.loads(chrome_trace([script_of_a_won_race().events]))["traceEvents"]

    names = [(row["name"], row["tid"], row["args"]["name"]) for row in rows if row["ph"] == "M"]
    assert names[:3] == [
        ("process_name", 1, "example.org:443"),
        ("thread_name", 1, "race"),
        ("thread_name", 2, "DNS AAAA"),
    ]
    assert {type(row["pid"]) for row in rows} == {int}


def test_phases_are_inside_of_their_attempt() -> None:
    script = RaceScript()
    script.starts("192.0.2.1", 0.1, Reason.FIRST)
    script.connects("192.0.2.1", 0.15)
    script.establishes("192.0.2.1", 0.4)
    script.wins("192.0.2.1", 0.4)

    assert spans(script.events)[1:] == [
        (1, 2, "won 192.0.2.1", 100.0, 300.0),
        (1, 2, "TCP handshake", 100.0, 50.0),
        (1, 2, "after TCP", 150.0, 250.0),
    ]


def test_what_ends_together_ends_at_the_same_number() -> None:
    """Perfetto drops a span that ends later than the one around it, if only by a nanosecond."""
    script = RaceScript()
    script.starts("192.0.2.1", 0.1000003, Reason.FIRST)
    script.connects("192.0.2.1", 0.1500008)
    script.establishes("192.0.2.1", 0.4000016)
    script.wins("192.0.2.1", 0.4000016)

    rows = [row for row in json.loads(chrome_trace([script.events]))["traceEvents"] if row["ph"] == "X"]

    assert len({row["ts"] + row["dur"] for row in rows if row["name"] != "TCP handshake"}) == 1
    assert all(type(row["ts"]) is type(row["dur"]) is int for row in rows)


def test_a_thread_has_its_number_for_itself() -> None:
    """Perfetto names threads by that alone, and shows the one first that has the number of its process."""
    rows = json.loads(chrome_trace([script_of_a_won_race().events, RaceScript(race=2).events]))["traceEvents"]

    threads = [row["tid"] for row in rows if row["name"] == "thread_name"]
    assert threads == [1, 2, 3, 4, 5, 6, 7, 8]
    assert [row["tid"] for row in rows if row["args"].get("name") == "race"] == [1, 8]
    assert {row["pid"] for row in rows} == {1, 8}


def test_a_chrome_trace_has_no_pair_of_escapes() -> None:
    """Perfetto takes them for an error, and then nothing of the file."""
    text = chrome_trace([RaceScript(host="\U00020bb7é.example").events])

    assert text.isascii()
    assert "\\ud8" not in text
    assert json.loads(text)["traceEvents"][0]["args"]["name"] == "\ufffdé.example:443"


def test_races_of_one_run_keep_their_distance() -> None:
    """Those of the next run have another clock, and follow."""
    first, second, third = (RaceScript(race=race) for race in (1, 2, 3))
    start = third.events[0]
    assert isinstance(start, trace.RaceStarted)
    third.events[0] = dataclasses.replace(start, run=1)
    for script, seconds in ((first, 0.5), (second, 0.2), (third, 0.1)):
        script.loses(seconds)
    later = [dataclasses.replace(event, time=event.time + 0.3) for event in second.events]
    another_clock = [dataclasses.replace(event, time=event.time + 5000) for event in third.events]

    assert spans(first.events, later, another_clock) == [
        (1, 1, "cancelled", 0.0, 500.0),
        (2, 2, "cancelled", 300.0, 200.0),
        (3, 3, "cancelled", 500.0, 100.0),
    ]
