"""RFC 6724, section 6: the order of destinations, vector by vector, and the facts that the rules are made of.

`pytest tests/test_rfc6724.py --vectors FILE` runs the vectors of any other table of the same form.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from trio_nbconnect._address import Address, parse_literal
from trio_nbconnect._connect.policy_table import DEFAULT_POLICY_TABLE, PolicyEntry, PolicyTable
from trio_nbconnect._resolve.rfc6724 import Destination, common_prefix_length, sort_destinations

TABLE = Path(__file__).with_name("rfc6724_vectors.json")

Vector = dict[str, Any]

KINDS = {
    "vector": "vectors",
    "policy": "policy_table_rfc6724",
    "scope": "scope_vectors",
    "classified": "classify_vectors",
    "common": "common_prefix_len_vectors",
}
"""Where in the file the rows for a test's parameter are."""


def read(path: Path) -> dict[str, Any]:
    """Read a file of vectors."""
    table: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return table


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make each row of the file a test with the row's name, or with its first words."""
    table = read(metafunc.config.getoption("--vectors") or TABLE)
    for name in set(metafunc.fixturenames) & set(KINDS):
        rows = table.get(KINDS[name], [])
        ids = [row["id"] if name == "vector" else "-".join(map(str, row)) for row in rows]
        metafunc.parametrize(name, rows, ids=ids)


def literal(host: str) -> Address:
    """Read an address that must be one."""
    address = parse_literal(host, 443)
    assert address is not None, f"{host} is a name"
    return address


def destination(*, addr: str, source: str | None, encapsulated: bool = False, **facts: bool) -> Destination:
    """Read one destination of a vector; a fact that we do not know is a `TypeError`."""
    if encapsulated:
        facts["native"] = False
    return Destination(address=literal(addr), source=None if source is None else literal(source), **facts)


def order_of(vector: Vector, table: PolicyTable = DEFAULT_POLICY_TABLE) -> list[str]:
    """Sort the destinations of a vector as the RFC's text says."""
    destinations = [destination(**fields) for fields in vector["destinations"]]
    return [sorted_one.address.host for sorted_one in sort_destinations(destinations, table)]


def canonical(hosts: list[str]) -> list[str]:
    """Write addresses as we do."""
    return [literal(host).host for host in hosts]


def test_order(vector: Vector) -> None:
    assert order_of(vector) == canonical(vector["expected"]), vector["decided_by"]


def test_policy_table(policy: tuple[str, int, int]) -> None:
    """Section 2.1: the default policy table."""
    prefix, precedence, label = policy
    assert PolicyEntry.read(prefix, precedence) in DEFAULT_POLICY_TABLE.precedences
    assert PolicyEntry.read(prefix, label) in DEFAULT_POLICY_TABLE.labels


def test_scope(scope: tuple[str, int]) -> None:
    """Sections 3.1, 3.2 and 3.4."""
    host, expected = scope
    assert DEFAULT_POLICY_TABLE.scope(literal(host)) == expected


def test_classify(classified: tuple[str, int, int]) -> None:
    """Section 2.1."""
    host, precedence, label = classified
    assert DEFAULT_POLICY_TABLE.classify(literal(host)) == (precedence, label)


def test_common_prefix_length(common: tuple[str, str, int]) -> None:
    """Section 2.2."""
    source, destination, expected = common
    assert common_prefix_length(literal(source), literal(destination)) == expected


def test_addresses_of_two_families_have_nothing_in_common() -> None:
    ipv4, ipv6 = literal("192.0.2.1"), literal("::ffff:c000:201")
    assert common_prefix_length(ipv4, ipv6) == common_prefix_length(ipv6, ipv4) == 0


TEXT = [
    (
        "10.2-3: prefer higher precedence",
        [{"addr": "10.1.2.3", "source": "10.1.2.4"}, {"addr": "2001:db8:1::1", "source": "2001:db8:1::2"}],
        ["2001:db8:1::1", "10.1.2.3"],
    ),
    (
        "10.2-6: avoid deprecated addresses",
        [
            {"addr": "fe80::1", "source": "fe80::2", "deprecated": True},
            {"addr": "2001:db8:1::1", "source": "2001:db8:1::2"},
        ],
        ["2001:db8:1::1", "fe80::1"],
    ),
    (
        "10.2-8: prefer matching label",
        [
            {"addr": "2001:db8:1::1", "source": "2002:c633:6401::2"},
            {"addr": "2002:c633:6401::1", "source": "2002:c633:6401::2"},
        ],
        ["2002:c633:6401::1", "2001:db8:1::1"],
    ),
    (
        "rule 4: a home address that is a care-of address too, then a home address",
        [
            {"addr": "2001:db8::1", "source": "2001:db8::9", "care_of": True},
            {"addr": "2001:db8::2", "source": "2001:db8::9"},
            {"addr": "2001:db8::3", "source": "2001:db8::9", "home": True},
            {"addr": "2001:db8::4", "source": "2001:db8::9", "home": True, "care_of": True},
        ],
        ["2001:db8::4", "2001:db8::3", "2001:db8::2", "2001:db8::1"],
    ),
    (
        "rule 1: nothing makes up for a missing source",
        [{"addr": "::1", "source": None}, {"addr": "3ffe::1", "source": "fe80::9", "deprecated": True}],
        ["3ffe::1", "::1"],
    ),
    (
        "rule 2: a source of a larger scope does not match either",
        [{"addr": "fe80::1", "source": "2001:db8::9"}, {"addr": "2001:db8::1", "source": "2001:db8::9"}],
        ["2001:db8::1", "fe80::1"],
    ),
    (
        "rules 6 and 8 hold without a source",
        [
            {"addr": "192.0.2.1", "source": None},
            {"addr": "2001:db8::1", "source": None},
            {"addr": "fe80::1", "source": None},
            {"addr": "2001:db8::2", "source": None},
        ],
        ["fe80::1", "2001:db8::1", "2001:db8::2", "192.0.2.1"],
    ),
    (
        "rule 7: what goes through a tunnel comes last",
        [
            {"addr": "2001:db8::1", "source": "2001:db8::9", "native": False},
            {"addr": "2001:db8::2", "source": "2001:db8::9"},
        ],
        ["2001:db8::2", "2001:db8::1"],
    ),
    (
        "rule 10: the interface identifier has no say in rule 9",
        [
            {"addr": "2001:db8::1:1", "source": "2001:db8::2"},
            {"addr": "2001:db8::3", "source": "2001:db8::2"},
        ],
        ["2001:db8::1:1", "2001:db8::3"],
    ),
]


@pytest.mark.parametrize(("name", "destinations", "expected"), TEXT, ids=[row[0].split(":")[0] for row in TEXT])
def test_what_the_text_says_besides(name: str, destinations: list[dict[str, Any]], expected: list[str]) -> None:
    """Section 10.2 in full, and the sentences of section 6 that have no example."""
    assert order_of({"destinations": destinations}) == expected, name


def test_a_vector_that_expects_something_else_fails() -> None:
    vector = copy.deepcopy(read(TABLE)["vectors"][0])
    vector["expected"].reverse()
    with pytest.raises(AssertionError, match=r"^rule 2 matching scope"):
        test_order(vector)


def test_a_fact_that_is_not_known_fails() -> None:
    """The runner ignores nothing that a vector says of a destination."""
    with pytest.raises(TypeError, match="anycast"):
        order_of({"destinations": [{"addr": "2001:db8::1", "source": "2001:db8::2", "anycast": True}]})


def test_other_vectors_can_be_run(pytester: pytest.Pytester, request: pytest.FixtureRequest) -> None:
    """`--vectors FILE` runs the rows of that file, and those alone; kinds of rows may be missing."""
    vector = read(TABLE)["vectors"][0]
    good, bad = {**vector, "id": "good"}, {**vector, "id": "bad", "expected": vector["expected"][::-1]}
    file = pytester.path / "vectors.json"
    file.write_text(json.dumps({"vectors": [good, bad], "scope_vectors": [["192.0.2.1", 14], ["192.0.2.1", 2]]}))
    root = request.config.rootpath
    result = pytester.runpytest_subprocess(
        f"--rootdir={root}", f"--config-file={root / 'pyproject.toml'}", str(Path(__file__)),
        "-k", "test_order or test_scope or test_policy_table", f"--vectors={file}",
    )  # fmt: skip
    result.assert_outcomes(passed=2, failed=2, skipped=1)
