"""Data: what the core's dataclasses promise. The frozen are shared and hashed; slots make a misspelling an error."""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
from collections import defaultdict
from typing import Any, get_args

import trio_nbconnect as nb
import trio_nbconnect.trace
from trio_nbconnect._resolve.query import Answer, Query, QuerySent, Service, Source

HOST = "example.org"

CORE = ("_address", "_blocking", "_connect", "_connector", "_errors", "_policy", "_race", "_resolve", "trace")

PROMISES = {
    "frozen slots kw_only eq": (
        "AnswerReceived Attempt AttemptCancelled AttemptConnected AttemptEstablished AttemptFailed AttemptStarted "
        "Candidate CandidatesSorted Connection Connector Destination KeepAlive Policy PolicyTable Query RaceLost "
        "RaceStarted RaceWon ResolutionStarted RunnerUpDiscarded Service SocketOptions _Facts _Happened"
    ),
    "frozen slots eq": "Address Answer ConfiguredAddress Dial FamilyOptions HistoryView Prefix QuerySent Setting",
    "frozen slots": "GroupedAddress",  # which is equal to any address of the same endpoint
    "slots kw_only": "History _Contexts",
}


def promises(kind: Any) -> str:
    """What a dataclass promises, in words."""
    params = kind.__dataclass_params__
    given = [field.kw_only for field in dataclasses.fields(kind) if field.init]
    words = {
        "frozen": params.frozen,
        "slots": "__slots__" in vars(kind),
        "kw_only": all(given),
        "eq": params.eq,
    }
    return " ".join(word for word, is_promised in words.items() if is_promised)


def test_data_keep_their_promises() -> None:
    found = defaultdict(set)
    for module in pkgutil.walk_packages(nb.__path__, "trio_nbconnect."):
        if module.name.split(".")[1] in CORE:
            for kind in vars(importlib.import_module(module.name)).values():
                if isinstance(kind, type) and "__dataclass_params__" in vars(kind):
                    found[promises(kind)].add(kind.__name__)

    assert {words: " ".join(sorted(names)) for words, names in found.items()} == PROMISES


def test_what_is_private_is_neither_given_nor_shown_nor_compared() -> None:
    kinds = [nb.KeepAlive, nb.SocketOptions, nb.Connector, nb.History]
    private = [field for kind in kinds for field in dataclasses.fields(kind) if field.name.startswith("_")]
    assert len(private) >= 4
    assert not any(field.init or field.repr for field in private)
    assert not any(field.compare for field in private if field.name != "_known")  # histories are never equal
    assert repr(nb.History()) == "History(max_addresses=1024, lifetime=600.0, explore_every=16)"


def test_what_is_left_out_means_that_there_is_none() -> None:
    def defaults(kind: Any) -> dict[str, object]:
        fields = dataclasses.fields(kind)
        return {field.name: field.default for field in fields if field.default is not dataclasses.MISSING}

    assert defaults(Query) == {"services": False}
    service = {"target": "", "port": None, "alpn": (), "hints": (), "ech": False, "weight": 0}
    assert defaults(Service) == service
    assert defaults(QuerySent) == {"name": "", "encrypted": False}
    answer = {"addresses": (), "error": None, "name": "", "services": (), "server": "", "ttl": None}
    assert defaults(Answer) == answer
    events = {
        kind.__name__: {key: value for key, value in defaults(kind).items() if key not in {"host", "port"}}
        for kind in [nb.trace.Candidate, *get_args(nb.trace.Event)]
    }
    assert {name: values for name, values in events.items() if values} == {
        "RaceStarted": {"run": 0, "proxy_for": "", "wall_time": 0.0},
        "ResolutionStarted": {"name": ""},
        "AnswerReceived": {"name": "", "services": (), "server": "", "ttl": None},
        "Candidate": {"round_trip_time": None, "used": False},
        "AttemptStarted": {"delay": None, "delay_from": nb.trace.DelaySource.POLICY, "stands_for": None},
        "AttemptConnected": {"next_phase": None, "syn_retransmissions": None},
        "AttemptCancelled": {"syn_retransmissions": None},
        "AttemptFailed": {"syn_retransmissions": None},
        "RaceWon": {"connection": None},
    }


def test_events_of_two_runs_are_equal_if_they_tell_the_same() -> None:
    """The number of the race, the run and the clock on the wall differ; and a line of them does not repeat the host."""
    first = nb.trace.RaceStarted(race=1, time=0.5, host=HOST, port=443, policy=nb.Policy(), run=1, wall_time=1e9)
    assert first == dataclasses.replace(first, race=2, run=2, wall_time=2e9)
    assert first != dataclasses.replace(first, time=0.25)
    assert "run" not in repr(first)
    assert "wall_time" not in repr(first)

    query = nb.trace.ResolutionStarted(race=1, time=0.0, source=Source.AAAA)
    assert (query.host, query.port) == ("", 0)
    assert repr(query) == "ResolutionStarted(race=1, time=0.0, source=<Source.AAAA: 'AAAA'>, name='')"
    assert query != dataclasses.replace(query, host=HOST)
    assert query != dataclasses.replace(query, port=443)


def test_sources_phases_and_states_are_told_by_these_names() -> None:
    assert [source.value for source in Source] == ["AAAA", "A", "HTTPS", "SRV", "system", "hook", "given"]
    assert [phase.value for phase in nb.Phase] == ["resolution", "handshake", "tls", "establish"]
    assert [state.value for state in nb.HandshakeState] == ["handshaking", "connected", "closed"]
    first = ["first", "all answered", "preferred family answered", "resolution delay over"]
    later = ["attempt delay over", "predecessor failed", "address came"]
    assert [reason.value for reason in nb.trace.Reason] == first + later
    assert [source.value for source in nb.trace.DelaySource] == ["policy", "history", "minimum gap", "slowed"]
