"""Summary and comparison: several races at once, in numbers and in pictures."""

from __future__ import annotations

import base64
import re
import xml.etree.ElementTree as ET

import pytest

import trio_nbconnect as nb
from trio_nbconnect._pictures.recording import RecordedRace, Recording
from trio_nbconnect.trace import Reason

from .race_script import RaceScript, script_of_a_lost_race, script_of_a_won_race


def recorded(*scripts: RaceScript) -> Recording:
    """A recording of these scripts."""
    recording = Recording()
    for script in scripts:
        for event in script.events:
            recording._record(event)
    return recording


def script_that_took(seconds: float, winner: str = "192.0.2.1", race: int = 1) -> RaceScript:
    """One attempt that wins after so long."""
    script = RaceScript(race=race)
    script.answers(nb.Source.GIVEN, 0.0, winner)
    script.starts(winner, 0.0, Reason.FIRST)
    script.establishes(winner, seconds)
    script.wins(winner, seconds)
    return script


def lost_script() -> RaceScript:
    """The time was over after 900 ms."""
    return script_of_a_lost_race(nb.ConnectTimeout("gave up", host="example.org", port=443))


def images(markup: str) -> list[ET.Element]:
    """The pictures in some HTML."""
    return [ET.fromstring(base64.b64decode(data)) for data in re.findall(r"base64,([^\"]+)", markup)]


def words(svg: ET.Element) -> list[str]:
    """Every text in a picture."""
    return ["".join(node.itertext()) for node in svg.iter("{http://www.w3.org/2000/svg}text")]


MIXED = [script_that_took(0.1), script_that_took(0.3, "2001:db8::1"), script_that_took(0.2), lost_script()]


def test_a_summary_has_the_numbers() -> None:
    summary = recorded(*MIXED).summary()

    assert len(summary) == 4
    assert summary.times == pytest.approx((0.1, 0.2, 0.3))
    assert summary.attempts == (1, 1, 1, 5)
    assert summary.families == {"IPv4": 2, "IPv6": 1}
    assert summary.median == pytest.approx(0.2)
    assert summary.worst == pytest.approx(0.3)
    assert repr(summary) == "<Summary 3 of 4 connected, median 200 ms, worst 300 ms>"


def test_a_summary_as_text() -> None:
    assert (
        f"\n{recorded(*MIXED).summary()}\n"
        == """
3 of 4 connected, median 200 ms, worst 300 ms
2 over IPv4, 1 over IPv6 · 1 lost · 1 to 5 attempts each

                     0 ms      500         races  failed  median   worst   tries
                IPv4   █ █                     2       0  150 ms  200 ms       1
                IPv6       █                   1       0  300 ms  300 ms       1
not connected (lost)                           1       1       –       –       5
              failed                   ✗
"""
    )


def test_a_summary_without_a_won_race() -> None:
    nothing, lost = nb.summarize([]), recorded(lost_script()).summary()

    assert str(nothing) == "no races"
    assert (nothing.times, nothing.attempts, nothing.families, nothing.median, nothing.worst) == (
        (),
        (),
        {},
        None,
        None,
    )
    assert ET.fromstring(nothing.svg()) is not None
    assert (lost.median, lost.worst) == (None, None)
    assert str(lost).startswith("0 of 1 connected\n1 lost · 5 attempts each\n")
    assert "–" in words(ET.fromstring(lost.svg()))


def test_groups_have_their_labels() -> None:
    fast, slow = recorded(script_that_took(0.1), script_that_took(0.2)), recorded(script_that_took(0.4))

    summary = nb.summarize({"100 ms": fast, "<b>": slow, "none": []})

    assert len(summary) == 3
    assert [line.split()[0] for line in str(summary).splitlines()[4:]] == ["100", "<b>"]
    assert {"100 ms", "<b>", "150 ms", "400 ms"} <= set(words(ET.fromstring(summary.svg())))
    assert "none" not in summary.svg().partition("</style>")[2].partition("<rect")[2]


@pytest.mark.parametrize("width", [50, 80, 200])
def test_a_summary_is_no_wider_than_asked_for(width: int) -> None:
    summary = nb.summarize({"日本語" * 20: recorded(*MIXED), "x" * 300: recorded(*MIXED)})

    assert max(map(len, summary.text(width=width).splitlines())) <= width
    assert "\x1b" in summary.text(width=width, color=True)
    with pytest.raises(ValueError, match="width must be at least 50, not 49"):
        summary.text(width=49)


def test_a_notebook_shows_a_summary() -> None:
    summary = recorded(*MIXED).summary()

    bundle = summary._repr_mimebundle_()

    assert bundle["text/plain"] == str(summary)
    assert 'alt="3 of 4 connected, median 200 ms, worst 300 ms: 2 over IPv4' in bundle["text/html"]
    (svg,) = images(bundle["text/html"])
    assert words(svg)[0] == "3 of 4 connected, median 200 ms, worst 300 ms"


@pytest.mark.parametrize(("races", "pictures"), [(1, 1), (6, 6), (7, 2), (100, 2)])
def test_of_many_races_a_notebook_shows_the_summary_and_the_last(races: int, pictures: int) -> None:
    recording = recorded(*(script_that_took(0.1 + number / 100, race=number) for number in range(races)))

    bundle = recording._repr_mimebundle_()

    assert len(images(bundle["text/html"])) == pictures
    assert bundle["text/plain"].endswith(str(recording[-1]))
    assert bundle["text/plain"].startswith(f"{races} of {races} connected") is (races > 6)


def test_races_are_compared_on_one_scale() -> None:
    slow, fast = recorded(script_of_a_won_race(), script_that_took(0.352))

    comparison = nb.compare(slow, fast)

    first, second = images(comparison._repr_mimebundle_()["text/html"])
    ends = [_end_of_the_line(svg) for svg in (first, second)]
    chart = 220.0
    assert (ends[1] - chart) / (ends[0] - chart) == pytest.approx(0.5, abs=0.01)
    assert [word for word in words(first) if word.isdigit()] == [word for word in words(second) if word.isdigit()]
    assert repr(comparison) == "<Comparison of 2 races>"


def _end_of_the_line(svg: ET.Element) -> float:
    (path,) = [node.get("d", "") for node in svg.iter() if node.get("class") == "line end won-line"]
    return float(path.removeprefix("M").partition(" ")[0])


def test_a_comparison_as_text_has_the_same_columns() -> None:
    slow, fast = recorded(script_of_a_won_race(), script_that_took(0.352))

    comparison = nb.compare(slow, fast)

    axes = [line for line in str(comparison).splitlines() if "├" in line]
    assert axes == [
        "                    ├──────────┼──────────┼──────────┼─────┐",
        "                    ├──────────┼────────┬─┼──────────┼─────",
    ]
    assert str(comparison) == comparison.text()
    assert max(map(len, comparison.text(width=120).splitlines())) == 120


def test_a_comparison_of_less_than_two_is_an_error() -> None:
    (race,) = recorded(script_of_a_won_race())
    assert isinstance(race, RecordedRace)

    with pytest.raises(ValueError, match="compare needs two races or more, not 1"):
        nb.compare(race)


def test_races_are_compared_with_captions() -> None:
    slow, fast = recorded(script_of_a_won_race(), script_that_took(0.352))

    comparison = nb.compare({"attempt delay 250 ms": slow, "<b>\x1b[0m": fast})

    first, second = comparison.text().split("\n\nexample")[0], str(comparison).split("\n\n")[-2]
    assert first.splitlines()[0] == "attempt delay 250 ms"
    assert second.splitlines()[0] == "<b>\\x1b[0m"
    markup = comparison._repr_mimebundle_()["text/html"]
    assert "<b>attempt delay 250 ms</b>" in markup
    assert "&lt;b&gt;\\x1b[0m" in markup


def test_comparisons_can_have_one_scale() -> None:
    slow, fast = recorded(script_of_a_won_race(), script_that_took(0.352))

    assert "2000" in nb.compare(slow, fast, until=2.2).text()
    assert "2000" not in nb.compare(slow, fast).text()


def test_captions_are_for_all_races_or_none() -> None:
    (race,) = recorded(script_of_a_won_race())

    with pytest.raises(TypeError, match="compare takes races, or one mapping of captions to races, not both"):
        nb.compare({"one": race}, race)
    with pytest.raises(ValueError, match="compare needs two races or more, not 1"):
        nb.compare({"one": race})


def cancelled_script(race: int) -> RaceScript:
    """The caller had enough after half a second."""
    script = RaceScript("gone.example", race=race)
    script.loses(0.5, None)
    return script


def test_races_are_grouped_by_whatever_is_asked_for() -> None:
    """The group where most have failed is the first; who was cancelled has not failed."""
    gone = [cancelled_script(race) for race in (6, 7, 8)]
    summary = nb.summarize(recorded(*MIXED, *gone), by=lambda race: race.host)

    assert (
        f"\n{summary}\n"
        == """
3 of 7 connected, median 200 ms, worst 300 ms
2 over IPv4, 1 over IPv6 · 3 cancelled, 1 lost · 0 to 5 attempts each

             0 ms           500            races  failed  median   worst   tries
 example.org   █  █  █                         4       1  200 ms  300 ms     1–5
      failed                           ✗
gone.example                                   3       0       –       –       0
      others                ✗
"""
    )


def test_a_break_of_the_axis_is_seen_in_each_row() -> None:
    """A label above may cover it."""
    summary = recorded(script_that_took(0.03), script_that_took(30.0)).summary()

    assert all("╱" in line for line in str(summary).splitlines()[4:])


def test_a_summary_says_what_was_not_kept() -> None:
    recording = Recording(keep=2)
    for race in range(5):
        for event in script_that_took(0.1, race=race).events:
            recording._record(event)

    assert "3 earlier ones were not kept" in str(recording.summary())
    assert "3 earlier ones were not kept" in nb.summarize({"today": recording}).svg()
