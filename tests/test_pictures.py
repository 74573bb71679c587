"""Pictures: each is what it was, byte for byte, and none breaks, whatever happens in a race.

A picture that should change is drawn anew with `python -m tests.pictures`, and looked at.
"""

from __future__ import annotations

import dataclasses
import errno
import itertools
import random
import re
import socket
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence

import pytest
import trio
from trio.testing import MockClock

import trio_nbconnect as nb
from trio_nbconnect import trace
from trio_nbconnect._errors import all_failed, gave_up
from trio_nbconnect._pictures.canvas import columns_of
from trio_nbconnect._pictures.export import qlog
from trio_nbconnect._pictures.svg import WIDTH, render_svg
from trio_nbconnect._pictures.svg_markup import width_of
from trio_nbconnect._pictures.text import encodable, render_text
from trio_nbconnect._pictures.timeline import Timeline, timeline_of
from trio_nbconnect.testing import SimulatedNetwork, simulate

from .pictures import FIRST_SCREEN, GOLDEN, pictures, races, run, won
from .race_script import script_of_a_won_race

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def drawn() -> dict[str, str]:
    """Everything, drawn anew."""
    return pictures()


KEPT = sorted(path.name for path in GOLDEN.iterdir())


@pytest.mark.parametrize("name", KEPT)
def test_a_picture_is_what_it_was(name: str, drawn: dict[str, str]) -> None:
    assert drawn[name] == (GOLDEN / name).read_text("utf-8")


def test_every_picture_is_kept(drawn: dict[str, str]) -> None:
    assert sorted(drawn) == KEPT


def test_the_picture_of_the_first_screen_is_up_to_date(drawn: dict[str, str]) -> None:
    assert FIRST_SCREEN.read_text("utf-8") == drawn["won.svg"]


def test_the_readme_begins_with_it() -> None:
    """Above the first program, with words for those who do not see it."""
    readme = (FIRST_SCREEN.parent.parent / "README.md").read_text("utf-8")
    above = readme.partition("```python")[0]
    answer = (GOLDEN / "won.txt").read_text("utf-8").splitlines()[1].partition(" over ")[0]

    assert re.search(rf"!\[example.org:443 {answer}[^]]+\]\(notebooks/waterfall\.svg\)", above)


@pytest.mark.parametrize("name", [name for name in KEPT if name.endswith(".svg")])
def test_a_picture_works_where_nothing_may_be_loaded(name: str) -> None:
    """In `<img>` a browser runs no script and fetches nothing; and it is light or dark as the reader prefers."""
    svg = (GOLDEN / name).read_text("utf-8")
    tree = ET.fromstring(svg)

    assert tree.get("role") == "img"
    assert tree.get("aria-label") == tree.findtext(f"{SVG}title")
    assert tree.findtext(f"{SVG}desc")
    assert "@media (prefers-color-scheme:dark)" in svg
    assert not {node.tag for node in tree.iter()} & {f"{SVG}script", f"{SVG}image", f"{SVG}use", f"{SVG}foreignObject"}
    assert set(re.findall(r"url\(([^)]*)\)", svg)) <= {"#nbc-cut", "#nbc-won", "#nbc-late"}
    assert not re.search(r"@import|@font-face|\son\w+=|href=", svg)
    assert svg.replace("http://www.w3.org/2000/svg", "").count("://") == 0
    used = {name for node in tree.iter() for name in node.get("class", "").split()} - {"nbc"}
    assert {name for name in used if f".nbc .{name}{{" not in svg} == set(), "a class without a rule"


def test_equal_events_make_equal_pictures_and_others_do_not() -> None:
    one, same, other = (timeline_of(script_of_a_won_race().events) for _ in range(3))
    assert render_svg(one) == render_svg(same)

    events = script_of_a_won_race().events[:-1]
    assert render_svg(other) != render_svg(timeline_of(events))


def test_a_picture_is_not_taller_for_more_addresses(drawn: dict[str, str]) -> None:
    """Of hundreds the middle is counted."""
    height = ET.fromstring(drawn["hundreds.svg"]).get("height")

    assert height is not None
    assert float(height) < 900
    assert "89 more attempts, 89 refused" in drawn["hundreds.svg"]
    assert ">198.51.100.100<" in drawn["hundreds.svg"]
    assert ">198.51.100.9<" not in drawn["hundreds.svg"]


@pytest.mark.parametrize("name", [name for name in KEPT if name.endswith(".txt") and "foreign" not in name])
def test_a_picture_can_be_drawn_with_letters_alone(name: str) -> None:
    picture = (GOLDEN / name).read_text("utf-8")

    plain = encodable(picture, "ascii")

    assert plain.isascii()
    assert [len(line) for line in plain.splitlines()] == [len(line) for line in picture.splitlines()]
    assert encodable(picture, "utf-8") == picture


# Races as chance has them

HOSTS = [
    "example.org",
    "a" * 253,
    "日本語" * 30,
    "<b>&amp;\"'",
    "\x00\x1b[2J\u202e\ufffe",
    "::1",
    " ",
    "e\u0301" * 50,
    "]]>",
]
ADDRESSES = [
    *("192.0.2.1", "192.0.2.255", "2001:db8::1", "2001:db8:1234:5678:9abc:def0:1234:5678", "fe80::1%4294967295"),
    *("/run/x.sock", "/" + "x" * 107, "\0abstract<", "/tmp/\udcff"),
]
ERRORS = [
    ConnectionRefusedError(111, "Connection refused"),
    TimeoutError(110, "timed out"),
    OSError(113, "No route"),
    OSError("<&>\x07" * 50),
    OSError(),
    OSError(2**40, "no such number"),
    socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"),
]


class Chance:
    """Makes up the events of a race that could have been, in the order in which a race emits them."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.time = self.rng.choice([0.0, 7.25, 1e9])
        self.step = self.rng.choice([0.0, 1e-12, 1e-5, 0.01, 0.3, 5.0, 1e6])
        self.host = self.rng.choice(HOSTS)
        self.port = self.rng.choice([0, 80, 65535])

    def events(self) -> Iterator[trace.Event]:
        """A race up to some point."""
        delay = self.rng.choice([0.01, 0.25, float("inf")])
        yield trace.RaceStarted(
            race=1, time=self.time, host=self.host, port=self.port, policy=nb.Policy(attempt_delay=delay)
        )
        running: dict[int, nb.Address] = {}
        established: list[int] = []
        attempts = 0
        for _ in range(self.rng.choice([0, 3, 12, 60, 400])):
            self._pass()
            action = self.rng.random()
            if action < 0.1:
                yield self._asks()
            elif action < 0.25:
                yield self._answers()
            elif action < 0.7:
                attempts += 1
                running[attempts] = address = self._address()
                reason = self.rng.choice(list(trace.Reason))
                yield trace.AttemptStarted(race=1, time=self.time, attempt=attempts, address=address, reason=reason)
            elif running:
                number = self.rng.choice(list(running))
                yield from self._goes_on(number, running, established)
        yield from self._ends(running, established)

    def _pass(self) -> None:
        """Let some time pass, or none, and now and then much."""
        if self.rng.random() < 0.7:
            self.time += self.rng.random() * self.step
        if self.rng.random() < 0.02:
            self.time += self.rng.choice([60.0, 3600.0])

    def _address(self) -> nb.Address:
        text = self.rng.choice(ADDRESSES)
        if text[0] in "/\0":
            return nb.Address(socket.AF_UNIX, text, 0)
        host, _, scope = text.partition("%")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        port = self.rng.choice([self.port, 8443])
        return nb.Address(family, host, port, 0, int(scope or 0))

    def _asks(self) -> trace.Event:
        source = self.rng.choice([nb.Source.AAAA, nb.Source.A, nb.Source.HTTPS, nb.Source.HOOK])
        return trace.ResolutionStarted(race=1, time=self.time, source=source, name=self.rng.choice(["", *HOSTS]))

    def _answers(self) -> trace.Event:
        service = nb.Service(priority=1, target=self.rng.choice(HOSTS), hints=(self._address(),), ech=True)
        return trace.AnswerReceived(
            race=1,
            time=self.time,
            source=self.rng.choice(list(nb.Source)),
            name=self.rng.choice(["", *HOSTS]),
            addresses=tuple(self._address() for _ in range(self.rng.choice([0, 1, 3, 300]))),
            error=self.rng.choice([None, *ERRORS]),
            services=(service,) * self.rng.choice([0, 1]),
        )

    def _goes_on(self, number: int, running: dict[int, nb.Address], established: list[int]) -> Iterator[trace.Event]:
        address, now = running[number], self.time
        match self.rng.randrange(4):
            case 0:
                yield trace.AttemptConnected(race=1, time=now, attempt=number, address=address)
            case 1:
                error = self.rng.choice(ERRORS)
                yield trace.AttemptFailed(race=1, time=now, attempt=number, address=address, error=error)
                del running[number]
            case 2:
                yield trace.AttemptCancelled(race=1, time=now, attempt=number, address=address)
                del running[number]
            case _ if self.rng.random() < 0.1:
                yield trace.AttemptEstablished(race=1, time=now, attempt=number, address=address)
                established.append(number)

    def _ends(self, running: dict[int, nb.Address], established: list[int]) -> Iterator[trace.Event]:
        if self.rng.random() < 0.3:
            return
        self._pass()
        for number in established[1:]:
            if number in running:
                yield trace.RunnerUpDiscarded(race=1, time=self.time, attempt=number, address=running[number])
        for number, address in running.items():
            if number not in established:
                yield trace.AttemptCancelled(race=1, time=self.time, attempt=number, address=address)
        winner = next((number for number in established if number in running), None)
        if winner is not None:
            yield trace.RaceWon(race=1, time=self.time, attempt=winner, address=running[winner])
            return
        lost = [None, all_failed(self.host, 443, [], ERRORS), gave_up(self.host, 443, 1.0, [])]
        yield trace.RaceLost(race=1, time=self.time, error=self.rng.choice(lost))


def complaints(events: Sequence[trace.Event], compared_with: Sequence[Timeline] = ()) -> Iterator[str]:
    """What is wrong with the pictures of a race."""
    timeline = timeline_of(events)
    for width in (50, 63, 80, 200):
        for line in render_text(timeline, width=width, compared_with=compared_with).splitlines():
            if columns_of(line) > width:
                yield f"a line of {columns_of(line)} columns in {width}: {line}"
            if not line.isprintable():
                yield f"a line that a terminal would obey: {line!r}"
    for pixels in (WIDTH, 720, 400, 320):
        yield from svg_complaints(render_svg(timeline, width=pixels, compared_with=compared_with), pixels)


def extent(node: ET.Element) -> tuple[float, float, float]:
    """From where to where a text goes, and its baseline."""
    classes = (node.get("class") or "").split()
    size = next((size for name, size in (("xl", 15), ("l", 14), ("s", 11), ("xs", 10)) if name in classes), 12)
    width = width_of("".join(node.itertext()), size, bold="b" in classes, mono="mono" in classes)
    x, y = float(node.get("x", "nan")), float(node.get("y", "nan"))
    left = x - width if "e" in classes else x - width / 2 if "m" in classes else x
    return left, left + width, y


def overlapping(tree: ET.Element) -> Iterator[str]:
    """Texts that are written over each other; widths are estimated, and rather too wide."""
    extents = sorted((extent(node), "".join(node.itertext())) for node in tree.iter(f"{SVG}text"))
    for ((_, right, y), one), ((left, _, other_y), other) in itertools.combinations(extents, 2):
        if left < right - 3 and abs(y - other_y) < 7:
            yield f"a text over another: {one!r}, {other!r}"


def svg_complaints(svg: str, expected_width: float = WIDTH) -> Iterator[str]:
    """Every shape is inside of the picture, and repeated ids have equal content."""
    tree = ET.fromstring(svg)
    width, height = (float(tree.get(name, "nan")) for name in ("width", "height"))
    if width != expected_width or not 60 <= height <= 2000:
        yield f"a picture of {width} by {height}"
    for node in tree.iter(f"{SVG}rect"):
        x, y, wide, high = (float(node.get(name, "0")) for name in ("x", "y", "width", "height"))
        if not (x >= 0 and y >= 0 and wide >= 0 and high >= 0 and x + wide <= width + 0.2 and y + high <= height + 0.2):
            yield f"a shape out of the picture: {ET.tostring(node)!r}"
    for node in tree.iter(f"{SVG}text"):
        x, y = (float(node.get(name, "nan")) for name in ("x", "y"))
        if not (0 <= x <= width and 0 <= y <= height):
            yield f"a text out of the picture: {ET.tostring(node)!r}"
    yield from overlapping(tree)


@pytest.mark.parametrize(
    "seeds", [range(start, start + 40) for start in range(0, 400, 40)], ids=lambda seeds: seeds.start
)
def test_no_race_breaks_its_pictures(seeds: range) -> None:
    for seed in seeds:
        events = list(Chance(seed).events())
        assert list(complaints(events)) == [], f"seed {seed}"
        assert qlog([events])


def test_races_that_are_compared_do_not_break_their_pictures() -> None:
    for seed in range(0, 120, 2):
        one, two = (list(Chance(each).events()) for each in (seed, seed + 1))
        assert list(complaints(one, [timeline_of(two)])) == [], f"seeds {seed} and {seed + 1}"


def test_the_checks_find_faults() -> None:
    """Each of them, from a picture that is broken on purpose."""
    svg = render_svg(timeline_of(script_of_a_won_race().events))
    broken = svg.replace('<text x="30"', '<text x="3000"').replace('<rect x="0" y="0"', '<rect x="-5" y="0"')

    assert list(svg_complaints(svg)) == []
    assert [complaint.partition(":")[0] for complaint in svg_complaints(broken)] == [
        "a shape out of the picture",
        "a text out of the picture",
    ]
    assert next(svg_complaints(svg.replace('height="', 'height="9', 1))).startswith("a picture of 890.0 by 9")


def test_labels_are_drawn_over_the_breaks_of_the_axis(drawn: dict[str, str]) -> None:
    """And have the colour of the background around them, so that no line crosses them."""
    svg = drawn["outlier.svg"]

    breaks, end = svg.rindex("l3 5l-3 5"), svg.index('class="line end')
    labels = [match.start() for match in re.finditer(r'<text [^>]*class="[^"]*halo', svg)]
    assert breaks < end < min(labels)


@pytest.mark.parametrize("width", [319, 0, float("nan")])
def test_a_picture_has_a_least_width(width: float) -> None:
    with pytest.raises(ValueError, match=f"width must be at least 320, not {width}"):
        render_svg(timeline_of(script_of_a_won_race().events), width=width)


def test_each_attempt_has_one_outcome_in_qlog() -> None:
    for name, events in races():
        text = qlog([events])
        started, decided = text.count('"hev3:attempt_started"'), text.count('"hev3:attempt_outcome"')
        assert started == decided or name == "under_way", name


def test_a_race_that_timed_out_has_that_sign_whoevers_limit_it_was() -> None:
    """The caller's, or that of each attempt."""
    net = SimulatedNetwork()
    net.answers("example.org", a=["192.0.2.1"])
    each = simulate(net, "example.org", 1, policy=nb.Policy(give_up_attempt_after=1))
    whole = simulate(net, "example.org", 1, give_up_after=1)

    for race in (each, whole):
        assert race.svg().count('class="icon late-line"') == 2  # the headline's, and the attempt's


def test_on_a_narrow_picture_no_reason_is_cut() -> None:
    """They get more lines: what a proxy said, whose it is, what a name server said, where the winner is."""
    net = SimulatedNetwork()
    error = socket.gaierror(socket.EAI_AGAIN, "SERVFAIL: 192.0.2.53 answered with an error of its own")
    net.answers("proxy.example", aaaa=[], after=0.02, error=error)
    net.answers("proxy.example", a=["192.0.2.1"], after=0.02)
    net.host("192.0.2.1").accepts(after=0.03)

    async def greet(stream: trio.SocketStream) -> trio.SocketStream:
        await trio.sleep(0.1)
        raise OSError(errno.EACCES, "Permission denied: target.example:443 (the proxy answered 403)")

    race = simulate(net, "proxy.example", 3128, connector=nb.Connector(resolver=net.resolver()), establish=greet)
    start = race.events[0]
    assert isinstance(start, trace.RaceStarted)
    narrow = render_svg(
        timeline_of([dataclasses.replace(start, proxy_for="a-target.example:443"), *race.events[1:]]), width=400
    )

    assert "…" not in narrow
    texts = " ".join(re.findall(r">([^<]+)</text>", narrow))
    for words in (
        "then Permission denied: target.example:443 (the proxy answered 403)",
        "the proxy for a-target.example:443",
        "attempt delay 250 ms",
        "SERVFAIL: 192.0.2.53 answered with an error of its own",
    ):
        assert words in texts


def test_a_narrow_picture_rather_leaves_out_where_a_delay_comes_from_than_the_delay() -> None:
    net = SimulatedNetwork()
    net.answers("example.org", a=[f"192.0.2.{number}" for number in (1, 102)])

    race = simulate(net, "example.org", 1, policy=nb.Policy(attempts_at_full_pace=1), give_up_after=3)

    assert ">+2000 ms slowed<" in race.svg(width=500)
    assert ">+2000 ms<" in race.svg(width=370)


def test_on_a_narrow_picture_a_tear_is_not_over_words() -> None:
    """Where a break of the axis would cross the words above a bar, it is interrupted."""
    net = SimulatedNetwork()
    net.answers("example.org", a=["192.0.2.1", "192.0.2.2"], after=0.02)
    net.host("192.0.2.2").accepts(after=0.03)

    async def check() -> nb.HostCheck:
        return await nb.check("example.org", 443, tls=False, connector=nb.Connector(network=net), give_up_after=2)

    svg = trio.run(check, clock=MockClock(autojump_threshold=0)).svg(width=400)

    left, right = (float(x) for x in re.findall(r'translate\(([\d.]+) [\d.]+\)" class="line soft-line"', svg))
    (edge, y) = re.findall(r'<text x="([\d.]+)" y="([\d.]+)" class="[^"]+">2000 ms<', svg)[-1]
    assert float(edge) - width_of("2000 ms") < right < float(edge)
    assert re.search(rf'<rect x="[\d.]+" y="{float(y) - 12:g}" width="10" height="16" class="bg"/>', svg)
    assert left < right


def test_while_a_race_is_under_way_what_came_stays_beside_its_bar() -> None:
    """There is no line of the end yet that it would have to make room for."""
    events = [event for event in run(won)[0].events if event.time < 0.1]
    svg = render_svg(timeline_of(events), until=1.0)

    (answered,) = re.findall(r'<text x="([\d.]+)" y="[\d.]+" class="soft halo">2 addresses', svg)
    (bar, width) = re.findall(r'<rect x="([\d.]+)" y="[\d.]+" width="([\d.]+)" height="8"', svg)[0]
    assert float(answered) == pytest.approx(float(bar) + float(width) + 8, abs=0.2)


@pytest.mark.parametrize("width", [720, 400, 320])
def test_the_headline_has_the_whole_address_of_one_of_several_hosts(width: int) -> None:
    """Its name gives way first."""
    net = SimulatedNetwork()
    host = "db3.a-rather-long-name-of-a-cluster.example.org"
    net.answers(host, a=["192.0.2.103"])
    net.host("192.0.2.103").accepts(after=0.03)

    async def main() -> None:
        connector = nb.Connector(network=net)
        await trio.aclose_forcefully(await connector.open_tcp_stream([host, "db4.example.org"], 5432))

    with nb.record() as recording:
        trio.run(main, clock=MockClock(autojump_threshold=0))

    svg = recording[0].svg(width=width)
    (headline,) = re.findall(
        r'class="ink b(?: l)?">((?:connected in[^<]*)?over [^<]+|connected in[^<]* to [^<]+)<', svg
    )
    assert headline.endswith((" 192.0.2.103", " 192.0.2.103:5432"))
