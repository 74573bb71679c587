"""Benchmarks: the bench itself works. What it measures is nobody's test: no figure of a real run is looked at.

Ratios, fits, tables and the plot are computed from made-up numbers; a smoke run of cheap cases goes the whole way,
with a server and workers in processes of their own.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import dns.message
import pytest

from . import test_readme
from .benchmarks import command, counting, measuring, name_server, namespaces
from .benchmarks.cases import CASES, GOOD, Case, case_called, chosen
from .benchmarks.contenders import CONTENDER_OF, CONTENDERS, Compiled, contender_called
from .benchmarks.figures import Line, Summary, exponent, ratios
from .benchmarks.markdown import COLUMNS, markdown
from .benchmarks.measuring import Outcome
from .benchmarks.memory import growth_table
from .benchmarks.place import Place
from .benchmarks.plot import COLOURS, render, svg
from .benchmarks.report import Report, Table, fits, growth_tables, summary_of, tables_of
from .benchmarks.worker import hosts_of

MADE = {"date": "2026-01-02", "machine": "2 cores, Linux 6.18, Python 3.13.0", "load": "0.1"}

LITERAL = Outcome(
    case=case_called("literal"),
    samples={"nb": {"cpu": [1.0, 10.0, 30.0]}, "trio": {"cpu": [2.0, 40.0, 10.0]}, "stdlib": {"cpu": [1.0, 4.0, 5.0]}},
    left_out={"uvloop": "not installed", "go": "no compiler for Go", "anyio-trio": "not installed"},
    counts={"nb": {"syscalls": 10.0, "instructions": 250_000.0}, "trio": {"syscalls": 15.0, "instructions": 1e6}},
)
TRACED = Outcome(
    case=case_called("traced"), samples={"nb": {"cpu": [4.0, 4.0, 4.0]}, "nb-tracer": {"cpu": [5.0, 5.0, 5.0]}}
)


def refused(each: dict[str, float], size: int) -> Outcome:
    """Make up what addresses that refuse cost."""
    samples = {name: {"cpu": [cost, cost, cost]} for name, cost in each.items()}
    return Outcome(case=case_called(f"refused-{size}"), samples=samples)


REFUSED = [refused({"nb": 50.0, "asyncio-staggered": size / 2.0}, size) for size in (1, 10, 100, 1000, 3000)]


def test_a_ratio_is_the_median_of_the_ratios_within_repetitions() -> None:
    """Not the ratio of the medians, which would be 1 here."""
    assert ratios([1, 10, 30], [2, 40, 10]) == Summary(median=0.5, low=0.375, high=1.75)


def test_ratios_need_as_many_repetitions_of_both() -> None:
    with pytest.raises(ValueError, match="shorter"):
        ratios([1, 2, 3], [1, 2])


def test_one_value_is_its_own_median_and_quartiles() -> None:
    assert Summary.of([7.0]) == Summary(7.0, 7.0, 7.0)


def test_a_line_through_points_on_it_has_no_error() -> None:
    assert Line.through([0, 1, 2, 3], [5, 7, 9, 11]) == Line(slope=2.0, error=0.0)


def test_a_line_through_points_beside_it_says_how_far_it_may_be_off() -> None:
    """The textbook's formula: residuals 1, -1, -1, 1 around a level line."""
    line = Line.through([0, 1, 2, 3], [1, -1, -1, 1])

    assert line.slope == pytest.approx(0.0)
    assert line.error == pytest.approx((4 / 2 / 5) ** 0.5)


@pytest.mark.parametrize("power", [1.0, 2.0])
def test_an_exponent_tells_linear_from_quadratic(power: float) -> None:
    sizes = [100, 1000, 3000]

    assert exponent(sizes, [7 * size**power for size in sizes]).slope == pytest.approx(power)


def test_fits_are_of_total_costs_and_begin_where_the_first_connect_no_longer_counts() -> None:
    found = {name: round(line.slope, 6) for name, line in fits(REFUSED).items()}

    assert found == {"nb": 1.0, "asyncio-staggered": 2.0}
    assert fits(REFUSED[:4]) == {}
    assert "asyncio, staggered   2.00  0.00" in str(growth_tables(REFUSED)[0])


def test_growth_is_fitted_after_the_warm_up() -> None:
    points = [(1000 * step, 50_000_000 if step > 5 else 40_000_000 + step) for step in range(1, 51)]

    assert growth_table("nb", points).rows == [["trio_nbconnect", "0.0000", "0.0000", "50.00"]]


def test_a_table_shows_medians_spreads_ratios_counts_and_who_is_left_out() -> None:
    (table,) = tables_of(LITERAL)

    assert str(table) == (
        "an IP literal: CPU, us (31 repetitions of 200; half lie between from and to)\n"
        "                          median  from    to  x trio  from    to  syscalls  instructions\n"
        "trio_nbconnect              10.0   5.5  20.0    0.50  0.38  1.75        10       250,000\n"
        "trio                        10.0   6.0  25.0    1.00  1.00  1.00        15     1,000,000\n"
        "socket.create_connection     4.0   2.5   4.5    0.50  0.30  0.50                        \n".rstrip(" \n")
        + "\n"
        "left out, not installed: uvloop; anyio on trio\n"
        "left out, no compiler for Go: Go, net.Dialer\n"
    )


def test_a_socket_by_hand_is_a_second_baseline() -> None:
    samples = {"nb": {"cpu": [4.0]}, "trio": {"cpu": [8.0]}, "trio-socket": {"cpu": [2.0]}}
    (table,) = tables_of(Outcome(case=case_called("literal"), samples=samples))

    assert table.header[7] == "x by hand"
    assert [(row[0], row[4], row[7]) for row in table.rows] == [
        ("trio_nbconnect", "0.50", "2.00"),
        ("trio", "1.00", "4.00"),
        ("trio socket by hand", "0.25", "1.00"),
    ]


def test_no_ratio_is_shown_to_what_is_not_there_or_was_nothing() -> None:
    alone = Outcome(case=case_called("literal"), samples={"nb": {"cpu": [1.0]}})
    idle = Outcome(case=case_called("literal"), samples={"nb": {"cpu": [1.0]}, "trio": {"cpu": [0.0]}})

    assert summary_of(alone)["nb"]["cpu"]["ratio"] is None
    assert summary_of(idle)["nb"]["cpu"]["ratio"] is None


def test_a_report_survives_json() -> None:
    study = Table("memory", ["", "bytes"], [["a race", "12"]], ["a note"])
    written = json.dumps(Report(made=MADE, outcomes=[LITERAL, *REFUSED], studies=[study]).as_json())

    again = Report.read(json.loads(written))

    assert json.dumps(again.as_json()) == written
    assert again.outcomes[0] == LITERAL


def test_of_several_reports_the_last_word_on_a_case_counts() -> None:
    newer = Outcome(case=case_called("literal"), samples={"nb": {"cpu": [3.0]}})

    busier = {**MADE, "load": "10.5"}
    merged = Report.merged([Report(made=busier, outcomes=[LITERAL, TRACED]), Report(made=MADE, outcomes=[newer])])

    assert merged.made["load"] == Report.merged([merged]).made["load"] == "0.1 to 10.5"
    assert merged.outcomes == [newer, TRACED]


def test_the_table_for_the_readme_has_ratios_to_trio_and_the_others_below() -> None:
    study = Table("memory, bytes", ["", "resident", "traced"], [["a race", "12", "13"], ["a record", "900", "890"]])
    report = Report(made=MADE, outcomes=[LITERAL, TRACED, *REFUSED], studies=[study])
    lines = markdown(report).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    shown = [dict(zip(["", "trio", *COLUMNS], row, strict=True)) for row in cells]

    assert [(row[""], row["trio"], row["nb"], row["stdlib"]) for row in shown[2:]] == [
        ("an IP literal", "10 us", "**0.50**", "0.50"),
        ("an IP literal: system calls", "15", "**0.67**", ""),
        ("an IP literal: user instructions", "1,000,000", "**0.25**", ""),
    ]
    assert "multiples of trio_nbconnect: trio_nbconnect, with a tracer 1.25." in "\n".join(lines)
    assert "- Memory, bytes; resident: a race 12; a record 900." in lines
    assert lines[-1] == f"Measured 2026-01-02: {MADE['machine']}; load of the machine 0.1."


CURVES = {"nb": [(1, 50.0), (10, 50.0), (100, 50.0)], "asyncio": [(1, 10.0), (10, 100.0), (100, 1000.0)]}


def test_a_plot_is_the_same_for_the_same_numbers() -> None:
    assert render(CURVES, {}) == render(dict(reversed(CURVES.items())), {})
    assert render(CURVES, {}) != render({"nb": CURVES["nb"]}, {})


def test_in_a_plot_a_level_cost_is_level_and_a_power_is_straight() -> None:
    paths = re.findall(r'<path class="curve (\w+)" d="M([^"]+)"', render(CURVES, {}))
    points = {name: [tuple(map(float, point.split())) for point in path.split("L")] for name, path in paths}
    rises = [y for _, y in points["asyncio"]]

    assert len({y for _, y in points["nb"]}) == 1
    assert rises[0] - rises[1] == pytest.approx(rises[1] - rises[2], abs=0.2)
    assert rises[0] > rises[2]


def test_a_plot_is_xml_knows_the_dark_and_says_what_is_missing() -> None:
    picture = svg(REFUSED)
    root = ET.fromstring(picture)

    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert "prefers-color-scheme: dark" in picture
    assert picture.count(">not measured<") == 1
    assert COLOURS.keys() <= CONTENDER_OF.keys()


def test_cases_are_chosen_by_name_or_by_their_first_word() -> None:
    assert [case.name for case in chosen(["literal"])] == ["literal"]
    assert [case.size for case in chosen(["refused"])] == [1, 10, 100, 1000, 3000]
    assert [case.name for case in chosen(["tls"])] == ["tls"]
    assert chosen([]) == list(CASES)
    with pytest.raises(ValueError, match="no case is called 'literally'"):
        chosen(["literally"])


def test_a_family_has_cases_of_any_size() -> None:
    assert case_called("refused-700").addresses[698:] == ("127.4.2.199", "127.4.2.200", GOOD[0])
    assert case_called("concurrent-7").count == 7
    with pytest.raises(ValueError, match="no case is called 'refused-0'"):
        case_called("refused-0")


def test_a_case_can_be_run_over_a_veth_pair() -> None:
    case = case_called("refused-2-veth")

    assert case.addresses == ("10.4.0.1", "10.4.0.2", "10.1.0.1")
    assert hosts_of(case_called("concurrent-10-veth"))[:2] == ("10.1.0.1", "10.1.0.2")
    assert case_called("first-dropped-veth").needs_stagger
    assert {case.name for case in chosen(["veth"])} == {
        *("literal-veth", "looked-up-veth", "first-refused-veth", "concurrent-10000-veth", "served")
    }


@pytest.mark.parametrize("name", ["unix-veth", "localhost-veth", "literal-veth-veth", "served-veth"])
def test_what_cannot_leave_the_machine_is_no_case(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be run over a veth pair"):
        case_called(name)


def test_where_no_namespaces_can_be_had_the_reason_is_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(namespaces.NoNamespacesError) as failure, namespaces.open_pair():
        pytest.fail("there is no ip")

    place = Place(1, tmp_path, no_veth=str(failure.value))

    assert CONTENDER_OF["nb"].cannot(case_called("literal-veth"), place) == "the program ip is not installed"
    assert CONTENDER_OF["nb"].cannot(case_called("literal"), place) == ""


@pytest.mark.parametrize(("kind", "answers"), [("A", ["192.0.2.1"]), ("AAAA", []), ("HTTPS", ['1 . alpn="h2"'])])
def test_the_name_server_answers(kind: str, answers: list[str]) -> None:
    query = dns.message.make_query("served.example.", kind, use_edns=True)

    response = dns.message.from_wire(name_server.answer(query.to_wire(), socket.inet_aton("192.0.2.1")))

    assert query.is_response(response)
    assert [str(record) for rrset in response.answer for record in rrset] == answers
    assert bool(response.authority) == (not answers)  # without an SOA record nothing of it may be cached


def test_any_connector_for_trio_may_take_part(tmp_path: Path) -> None:
    literal, place = case_called("literal"), Place(1, tmp_path)

    assert contender_called("trio:open_tcp_stream").cannot(literal, place) == ""
    assert contender_called("no_such_package:connect").cannot(literal, place) == "not installed"
    with pytest.raises(ValueError, match="no contender is called 'nobody'"):
        contender_called("nobody")


def test_every_case_has_its_baseline_and_names_contenders_that_there_are() -> None:
    for case in CASES:
        assert CONTENDER_OF[case.baseline].is_meant(case)
        assert set(case.only) <= CONTENDER_OF.keys()


def test_whoever_cannot_take_part_is_left_out_with_a_word(tmp_path: Path) -> None:
    place = Place(1, tmp_path)  # nothing was compiled here
    said = {contender.name: contender.cannot(case_called("first-dropped"), place) for contender in CONTENDERS}

    assert said["nb"] == said["trio"] == ""
    assert said["asyncio"] == "would wait for the first address"
    assert said["trio-socket"] == "would wait for the first address"
    assert said["go"] == "no compiler for Go"
    assert CONTENDER_OF["nb-addresses"].cannot(case_called("literal"), place).startswith("cannot be given this name")
    assert CONTENDER_OF["stdlib"].cannot(case_called("pending"), place) == "can only block"
    assert CONTENDER_OF["nb"].cannot(case_called("refused-100"), place) == ""
    assert CONTENDER_OF["nb"].cannot(case_called("refused-1000"), place) == "tries no more addresses of one answer"
    assert CONTENDER_OF["nb"].cannot(case_called("tls"), place) == "no certificates, for trustme is not installed"


def test_a_program_is_told_its_way_its_count_and_where_to(tmp_path: Path) -> None:
    c = CONTENDER_OF["c-epoll"]
    assert isinstance(c, Compiled)

    assert c.command(case_called("literal"), Place(7, tmp_path), "5", GOOD[:1])[1:] == ["epoll", "5", "7", GOOD[0]]
    assert c.command(case_called("concurrent-100"), Place(7, tmp_path), "-", GOOD)[1:4] == ["at-once", "-", "7"]


def test_what_a_worker_says_becomes_the_cost_of_an_address_and_the_time_beyond_the_delay() -> None:
    assert measuring.derived(case_called("refused-10"), {"cpu": 500.0, "wall": 251_500.0}) == {"cpu": 50.0, "late": 1.5}


def test_repetitions_are_interleaved_and_their_order_rotates() -> None:
    asked: list[str] = []

    def sampler(name: str) -> measuring.Sample:
        def sample() -> dict[str, float]:
            asked.append(name)
            return {"cpu": float(len(asked)), "wall": 1.0}

        return sample

    outcome = Outcome(case=case_called("literal").sampled(count=1, repetitions=3))
    measuring.take_turns(outcome, {name: sampler(name) for name in "abc"})

    assert "".join(asked) == "abcbcacab"
    assert outcome.samples["a"] == {"cpu": [1.0, 6.0, 8.0]}


def test_a_worker_that_ends_early_is_no_zero() -> None:
    with pytest.raises(RuntimeError, match="a worker has ended"):
        measuring.read("")


@pytest.mark.parametrize(
    ("summary", "calls"),
    [
        ("100.00    0.004096          12       341        27 total\n", 341),
        ("100.00    0.004096          12       341           total\n", 341),
        (" 50.00    0.002048          12       170           connect\n", None),
    ],
)
def test_system_calls_are_read_from_the_last_line_of_strace(summary: str, calls: int | None) -> None:
    assert counting.found(counting.TOTAL_OF_STRACE, summary) == calls


def test_counts_are_the_difference_of_two_loops() -> None:
    """What it takes to start, a thousand calls here, is not counted; nor is a worker that could not be watched."""
    assert counting.difference(str.split, lambda words: 1000 + 11 * int(words[0])) == 11.0
    assert counting.difference(str.split, lambda _: None) is None


def test_a_reader_may_have_seen_enough() -> None:
    """`python -m tests.benchmarks --list | head -n 1`."""
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "tests.benchmarks", "--list"]
    done = subprocess.run(command, cwd=test_readme.PROJECT, stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)

    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_system_calls_are_counted_from_outside() -> None:
    """To the nearest whole call: from start to start the interpreter itself asks for memory once more or less."""
    program = "import os, sys\nfor _ in range(int(sys.argv[1])): os.getppid(); os.getppid()"

    count = counting.syscalls(lambda number: [sys.executable, "-c", program, number])

    if count is None:
        pytest.skip("processes cannot be traced here")
    assert round(count) == 2


SMOKE = ["nb", "trio", "stdlib", "trio:open_tcp_stream"]


def test_what_cannot_be_counted_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    counting.perf_counts.cache_clear()

    assert counting.missing(instructions=False) == ["strace is not installed: system calls are not counted"]
    assert len(counting.missing(instructions=True)) == 2
    counting.perf_counts.cache_clear()


@pytest.fixture(scope="module")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Any, str]:
    """Run the command on cheap cases: what it prints, its JSON, and its plot."""
    folder = tmp_path_factory.mktemp("smoke")
    arguments = ["literal", "refused-7", "tls-resumed", "pending", "--quick", "--contenders", *SMOKE]
    with pytest.MonkeyPatch.context() as patch, (folder / "out").open("w", encoding="utf-8") as out:
        patch.setattr(sys, "stdout", out)
        command.main([*arguments, "--json", str(folder / "json"), "--plot", str(folder / "svg")])
    text, parts, picture = ((folder / name).read_text("utf-8") for name in ("out", "json", "svg"))
    return text, json.loads(parts), picture


def test_a_smoke_run_prints_a_table_for_each_figure(smoke: tuple[str, Any, str]) -> None:
    assert re.findall(r"^(\S.*): (.+), \w+ \(1 repetition of (\d+)", smoke[0], re.MULTILINE) == [
        ("an IP literal", "CPU", "20"),
        ("7 refused, the next one good", "CPU per address", "7"),
        ("TLS, a resumed session", "CPU", "20"),
        ("10,000 pending, a task each", "memory each", "20"),
        ("10,000 pending, a task each", "CPU to cancel all", "20"),
    ]
    assert re.search(r"^trio +\d+\.\d +.* 1\.00 +1\.00 +1\.00$", smoke[0], re.MULTILINE)
    assert "left out, can only block: socket.create_connection" in smoke[0]


def test_a_smoke_run_writes_json_and_a_plot(smoke: tuple[str, Any, str]) -> None:
    _, parts, picture = smoke
    measured = {outcome["case"]: outcome["samples"] for outcome in parts["outcomes"]}

    assert set(measured["literal"]) == set(SMOKE)
    assert set(measured["pending"]) == {*SMOKE} - {"stdlib"}
    assert all(len(samples["cpu"]) == 1 and samples["cpu"][0] > 0 for samples in measured["literal"].values())
    assert picture == svg(Report.read(parts).outcomes)


def test_a_smoke_run_crosses_a_veth_pair(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        with namespaces.open_pair():
            pass
    except namespaces.NoNamespacesError as reason:
        pytest.skip(str(reason))

    command.main(["literal-veth", "served", "--quick", "--contenders", "nb", "nb-dns", "nb-dns-https", "trio"])

    rows = re.findall(r"^(trio\S*(?:, .+?)?)  +\d[\d,.]*", capsys.readouterr().out, re.MULTILINE)
    assert rows == [
        *("trio_nbconnect", "trio"),
        *("trio_nbconnect", "trio_nbconnect, DNSResolver", "trio_nbconnect, DNSResolver, with HTTPS", "trio"),
    ]


def test_a_case_that_there_is_not_is_an_error_of_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        command.main(["no-such-case"])
    assert "no case is called 'no-such-case'" in capsys.readouterr().err


def test_cases_and_contenders_can_be_listed(capsys: pytest.CaptureFixture[str]) -> None:
    command.main(["--list"])

    listed = {line.split(" ")[0] for line in capsys.readouterr().out.splitlines()}
    assert {case.name for case in CASES} | CONTENDER_OF.keys() | command.STUDIES.keys() <= listed


def test_the_report_names_the_command_and_shows_its_table() -> None:
    report = test_readme.PAGES["tests/benchmarks/README.md"]
    assert "python -m tests.benchmarks" in report
    assert f"| | trio | {' | '.join(COLUMNS.values())} |" in report


def test_a_smoke_run_is_small() -> None:
    quick: list[Case] = [case.quickly() for case in CASES]

    assert all(case.repetitions == 1 and case.count <= max(20, case.size) for case in quick)
