"""Conformance: what the standards and our decisions say, row by row.

`pytest tests/test_scenarios.py --scenarios FILE` runs the rows of any other table of the same form.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from trio_nbconnect._race.race import Race, RunningAttempt

from .scenarios import KNOBS, Row, differences, observe

TABLE = Path(__file__).with_name("scenarios.json")
MORE = Path(__file__).with_name("scenarios_more.json")
FOREIGN = Path(__file__).with_name("scenarios_foreign.json")
"""Rows translated from other implementations' tests; `peer` is what those do where `judged` says why we differ."""


def rows(table: Path) -> list[Row]:
    """Read a table."""
    loaded: list[Row] = json.loads(table.read_text())
    return loaded


def marks(row: Row) -> list[Any]:
    """Say which rows are not for us, or not yet."""
    knobs = set(row["config"])
    if "protos" in knobs and row["kind"] == "compat":
        return [pytest.mark.skip(reason="another implementation's way: a connection for each protocol")]
    if knobs - KNOBS:
        return [pytest.mark.skip(reason=f"another implementation's knob: {', '.join(sorted(knobs - KNOBS))}")]
    return []


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make each row of the table a test with the row's name."""
    if "row" in metafunc.fixturenames:
        other = metafunc.config.getoption("--scenarios")
        table = rows(other) if other else rows(TABLE) + rows(MORE) + rows(FOREIGN)
        metafunc.parametrize("row", [pytest.param(row, id=row["id"], marks=marks(row)) for row in table])


def test_row(row: Row) -> None:
    """The race does exactly what the row expects."""
    assert not differences(row), row["description"]


def never_alone(race: Race[Any], attempt: RunningAttempt) -> None:
    """Stand in for `Race._may_wait_alone_until`: have a task wait for each attempt."""


def test_the_same_in_a_nursery(row: Row, monkeypatch: pytest.MonkeyPatch) -> None:
    """The calling task waits for attempts by itself while it can: nothing else tells that from a task for each.

    It does where the addresses are known at once, so here the caller knows those of the row.
    """
    if not row["hosts"]:
        pytest.skip("there is nothing to connect to")
    alone = observe(row, given=True)
    monkeypatch.setattr(Race, "_may_wait_alone_until", never_alone)
    together = observe(row, given=True)
    for observed in (alone, together):
        observed.cancelled.sort()  # Trio cancels tasks in no particular order
    assert alone == together
    assert not differences(row), row["description"]


SPOILED = {
    "attempts": [[0, "2001:db8::a"]],
    "winner": "192.0.2.9",
    "time": 1,
    "error": "dns",
    "cancelled": ["192.0.2.9"],
    "attempt_errors": [["192.0.2.9", "ECONNREFUSED", 1]],
    "queries": [[0, "A", "."]],
    "winner_proto": "h2",
}


@pytest.mark.parametrize("name", SPOILED)
def test_a_row_that_expects_something_else_fails(name: str) -> None:
    """The runner compares everything that a row expects, fields it does not know included."""
    row = copy.deepcopy(next(row for row in rows(TABLE) if row["id"] == "v2-fail-02"))
    row["expect"][name] = SPOILED[name]
    assert [difference.split(":")[0] for difference in differences(row)] == [name]


@pytest.mark.parametrize("shift", [-0.1, 0.1])
def test_a_tenth_of_a_millisecond_matters(shift: float) -> None:
    """Times are compared exactly, but for the rounding of floats."""
    row = copy.deepcopy(next(row for row in rows(TABLE) if row["id"] == "v2-fail-02"))
    row["expect"]["attempts"][1][0] += shift
    assert differences(row)


def test_other_tables_can_be_run(pytester: pytest.Pytester, request: pytest.FixtureRequest) -> None:
    """`--scenarios FILE` runs the rows of that file, and those alone."""
    row = rows(TABLE)[0]
    good, bad = {**row, "id": "good"}, {**row, "id": "bad", "expect": {**row["expect"], "time": 1}}
    table = pytester.path / "rows.json"
    table.write_text(json.dumps([good, bad]))
    root = request.config.rootpath
    result = pytester.runpytest_subprocess(
        f"--rootdir={root}", f"--config-file={root / 'pyproject.toml'}", str(Path(__file__)), "-k", "test_row",
        f"--scenarios={table}",
    )  # fmt: skip
    result.assert_outcomes(passed=1, failed=1)
