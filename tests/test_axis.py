"""Axis: where times stand, and what is left out so that the rest can be seen."""

from __future__ import annotations

import math
import random
import re

import pytest

import trio_nbconnect as nb
from trio_nbconnect import Attempt, ConnectTimeout, Phase, Policy, Source
from trio_nbconnect._pictures.axis import Axis, axis_of, broken_axis
from trio_nbconnect._pictures.timeline import timeline_of, timeline_of_error
from trio_nbconnect.testing import SimulatedNetwork, simulate
from trio_nbconnect.trace import Reason

from .race_script import RaceScript, address, refused, script_of_a_won_race


def race(*starts: float, end: float, policy: Policy | None = None) -> RaceScript:
    """Attempts that begin at these times and are refused after 10 ms, but the last, which wins at the end."""
    script = RaceScript(policy=policy or Policy(attempt_delay=0.1))
    script.answers(Source.GIVEN, 0.0, *(f"192.0.2.{number}" for number in range(1, len(starts) + 1)))
    for number, start in enumerate(starts, start=1):
        script.starts(f"192.0.2.{number}", start, Reason.DELAY_OVER if number > 1 else Reason.FIRST)
        if number < len(starts):
            script.fails(f"192.0.2.{number}", start + 0.01, refused())
    script.establishes(f"192.0.2.{len(starts)}", end)
    script.wins(f"192.0.2.{len(starts)}", end)
    return script


def axis(script: RaceScript) -> Axis:
    """The axis of the picture of a script."""
    return axis_of([timeline_of(script.events)])


def breaks(script: RaceScript) -> list[tuple[float, float]]:
    """What is left out, in seconds."""
    return [(round(start, 6), round(end, 6)) for start, end in axis(script).breaks]


def test_an_axis_without_breaks_is_linear() -> None:
    assert [Axis(span=2.0).place(time) for time in (-1.0, 0.0, 0.5, 2.0, 3.0)] == [0.0, 0.0, 0.25, 1.0, 1.0]
    assert axis(script_of_a_won_race()).breaks == ()


def test_an_outlier_is_left_out_and_the_rest_keeps_one_scale() -> None:
    broken = axis(race(0.0, 0.1, 0.2, end=60.0))

    ((start, end),) = broken.breaks
    assert (round(start, 6), round(end, 6)) == (0.2, 60.0)
    assert broken.place(0.1) - broken.place(0.0) == pytest.approx(broken.place(0.2) - broken.place(0.1))
    assert broken.place(end) - broken.place(start) == pytest.approx(1 / 3)
    assert broken.marks == [pytest.approx(5 / 6)]


def test_several_outliers_share_the_room() -> None:
    broken = axis(race(0.0, 0.1, 0.2, 30.0, 30.1, 30.2, end=90.0))

    assert len(broken.breaks) == 2
    assert broken.breaks == tuple(sorted(broken.breaks))
    shares = [broken.place(end) - broken.place(start) for start, end in broken.breaks]
    assert shares == [pytest.approx(1 / 6), pytest.approx(1 / 6)]


@pytest.mark.parametrize(
    ("script", "why"),
    [
        (race(0.0, end=60.0), "there is no rest"),
        (race(0.0, 0.25, end=0.9, policy=Policy()), "the rest has room"),
        (race(0.0, 0.001, end=0.9, policy=Policy()), "the gap is a wait that the policy wants"),
        (race(0.0, 8.0, end=8.001, policy=Policy(attempt_delay=math.inf)), "a wait for one attempt at a time"),
    ],
)
def test_an_axis_is_not_broken_without_need(script: RaceScript, why: str) -> None:
    assert breaks(script) == [], why


def test_a_planned_wait_is_never_left_out() -> None:
    """Sixteen attempts at full pace, and then one each two seconds: that is what the policy says."""
    starts = [number / 100 for number in range(16)]

    assert breaks(race(*starts, 2.15, end=2.2, policy=Policy(attempt_delay=0.01))) == []
    assert breaks(race(*starts, 5.15, end=5.2, policy=Policy(attempt_delay=0.01))) == [(0.16, 5.15)]


def test_a_planned_wait_of_an_error_is_never_left_out() -> None:
    attempts = [
        Attempt(
            number=number,
            address=address(f"192.0.2.{number}"),
            phase=Phase.HANDSHAKE,
            started=5 + start,
            ended=5 + end,
            error=None,
        )
        for number, start, end in ((1, 0.0, 0.9), (2, 0.25, 0.9), (3, 0.5, 0.52), (4, 0.75, 0.9))
    ]

    timeline = timeline_of_error(ConnectTimeout("gave up", host="example.org", port=443, attempts=attempts))

    assert axis_of([timeline]).breaks == ()


def test_with_a_limit_the_axis_is_unbroken_and_as_long_as_that() -> None:
    timeline = timeline_of(race(0.0, 0.1, end=60.0).events)

    assert axis_of([timeline]).breaks != ()
    assert axis_of([timeline], until=100.0) == Axis(span=100.0)
    assert axis_of([timeline], until=1.0) == Axis(span=60.0)


def test_below_ten_seconds_everything_is_in_milliseconds() -> None:
    assert [tick.label for tick in Axis(span=5.0).ticks(0.4)] == ["0 ms", "2000", "4000"]


def test_a_rest_below_a_millisecond_is_not_enlarged() -> None:
    assert broken_axis(60.0, [0.0003, 0.0006], needed=0.2, planned=0.0).breaks == ()
    assert broken_axis(60.0, [0.3, 0.6], needed=0.2, planned=0.0).breaks == ((0.6, 60.0),)


def test_one_axis_for_two_races_is_that_of_the_longer_one() -> None:
    short, long = timeline_of(race(0.0, 0.1, end=0.4).events), timeline_of(race(0.0, 0.1, end=0.8).events)

    assert axis_of([short, long]) == axis_of([long, short]) == Axis(span=long.duration)


def test_ticks_are_round_and_keep_their_distance() -> None:
    assert [(tick.time, tick.label) for tick in Axis(span=0.704).ticks(0.2)] == [
        (0.0, "0 ms"),
        (0.2, "200"),
        (0.4, "400"),
        (pytest.approx(0.6), "600"),
    ]
    assert [tick.label for tick in Axis(span=12.5).ticks(0.3)] == ["0 s", "5", "10"]


def test_behind_a_break_ticks_say_their_unit() -> None:
    broken = Axis(span=60.5, breaks=((0.3, 60.0),))

    assert [(tick.label, tick.behind_break) for tick in broken.ticks(0.15)] == [
        ("0 ms", False),
        ("200", False),
        ("60.0 s", True),
        ("60.2 s", True),
        ("60.4 s", True),
    ]


def test_behind_a_break_without_room_there_is_still_one_tick() -> None:
    labels = [tick.label for tick in Axis(span=60.2, breaks=((0.3, 60.2),)).ticks(0.15)]

    assert labels[0] == "0 ms"
    assert labels[-1] == "60.2 s"


def test_a_race_that_took_no_time_has_an_axis() -> None:
    nothing = broken_axis(1e-12, [0.0], needed=0.2, planned=0.0)

    assert nothing.place(0.0) == nothing.place(1.0) == 0.0
    assert [tick.label for tick in nothing.ticks(0.1)] == ["0 ms"]


def test_time_never_runs_backwards() -> None:
    rng = random.Random(1)
    for _ in range(300):
        moments = [rng.random() ** 8 * 1000 + 1e-6 for _ in range(rng.randrange(1, 12))]
        found = broken_axis(max(moments), moments, needed=0.2, planned=0.0)
        places = [found.place(max(moments) * step / 200) for step in range(201)]
        assert places == sorted(places)
        assert (places[0], places[-1]) == (0.0, 1.0)
        assert len(found.ticks(0.1)) <= 20


def test_a_break_is_interrupted_where_it_would_cross_a_label() -> None:
    """The label of a lookup is longer than the way to the break."""
    net = SimulatedNetwork()
    net.answers("example.org", aaaa=["2001:db8::1"], a=["192.0.2.1"], after=0.02)
    net.host("192.0.2.1").accepts(after=0.03)
    one_at_a_time = nb.Policy(attempt_delay=math.inf, give_up_attempt_after=10)

    svg = simulate(net, "example.org", 443, policy=one_at_a_time).svg()

    (patch,) = re.findall(r'<rect x="([0-9.]+)" y="([0-9.]+)" width="10" height="16" class="bg"/>\n<text ([^>]+)>', svg)
    ((x, _),) = re.findall(r'transform="translate\(([0-9.]+) ([0-9.]+)\)" class="bg"', svg)
    assert abs(float(patch[0]) + 5 - float(x) - 4) < 1
    assert f'y="{float(patch[1]) + 12:g}"' in patch[2]
