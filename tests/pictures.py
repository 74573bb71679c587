"""Pictures: a race for everything that a picture must be able to show, drawn in every form and kept in `golden`.

`python -m tests.pictures` draws them anew, and the picture on the README's first screen, too. `test_pictures.py`
compares what is drawn with what is kept, byte for byte; so a change of a picture is seen in review, as a picture.

The races run on the simulated network, in virtual time. One is written by hand: which attempt wins a dead heat is up
to Trio.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from unittest.mock import patch

import trio
from trio.testing import MockClock

import trio_nbconnect as nb
from trio_nbconnect._pictures.export import qlog
from trio_nbconnect._pictures.svg import render_svg
from trio_nbconnect._pictures.text import render_text
from trio_nbconnect._pictures.timeline import timeline_of, timeline_of_error
from trio_nbconnect.testing import SimulatedNetwork
from trio_nbconnect.trace import Event, Reason

from .race_script import RaceScript

GOLDEN = Path(__file__).parent / "golden"
FIRST_SCREEN = Path(__file__).parent.parent / "notebooks" / "waterfall.svg"
"""The picture that the README begins with."""

Scene = Callable[[], Awaitable[object]]


def five_addresses() -> SimulatedNetwork:
    """Two black holes, one that refuses, one that accepts, one more."""
    net = SimulatedNetwork()
    net.answers("example.org", aaaa=["2001:db8:1::10", "2001:db8:1::11"], after=0.024)
    net.answers("example.org", a=["198.51.100.7", "203.0.113.24", "192.0.2.80"], after=0.041)
    net.host("198.51.100.7").refuses(after=0.062)
    net.host("203.0.113.24").accepts(after=0.118)
    return net


def asking(net: SimulatedNetwork, policy: nb.Policy | None = None) -> nb.Connector:
    """A connector that is told the addresses of each family when they are known."""
    return nb.Connector(network=net, policy=policy or nb.Policy(), resolver=net.resolver(services=False))


async def connect(connector: nb.Connector, host: str = "example.org", port: int = 443, **options: object) -> None:
    """Connect, and close what comes of it; a failure is in the recording."""
    try:
        stream = await connector.open_tcp_stream(host, port, **options)  # type: ignore[arg-type]
    except nb.ConnectError:
        return
    await trio.aclose_forcefully(stream)


async def won() -> None:
    """The picture of the first screen."""
    await connect(asking(five_addresses()))


async def hurried() -> None:
    """The same network, with less patience."""
    await connect(asking(five_addresses(), policy=nb.Policy(attempt_delay=0.1)))


async def gave_up() -> None:
    """Nobody answers in time."""
    net = five_addresses()
    net.host("203.0.113.24").drops()
    net.host("192.0.2.80").refuses(after=0.02)
    await connect(asking(net), give_up_after=0.9)


async def all_refused() -> None:
    """Every host answers, and none has a listener."""
    net = SimulatedNetwork()
    net.answers("db.example", aaaa=["2001:db8::5"], after=0.012)
    net.answers("db.example", a=["192.0.2.5", "192.0.2.6"], after=0.015)
    for number, address in enumerate(["2001:db8::5", "192.0.2.5", "192.0.2.6"]):
        net.host(address).refuses(after=0.02 + 0.013 * number)
    await connect(asking(net), "db.example", 5432)


async def phases() -> None:
    """TLS on top of TCP: one has a bad certificate, one wins; and one address has no route."""
    net = SimulatedNetwork()
    net.answers("example.org", aaaa=["2001:db8::1", "2001:db8::2"], after=0.03)
    net.answers("example.org", a=["192.0.2.1"], after=0.032)
    net.host("2001:db8::1").unreachable(after=0.015)
    net.host("192.0.2.1").accepts(after=0.05)
    net.host("2001:db8::2").accepts(after=0.08)

    async def establish(stream: trio.SocketStream) -> trio.SocketStream:
        if stream.socket.family == socket.AF_INET:
            await trio.sleep(0.13)
            error = ssl.SSLCertVerificationError(1, "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed")
            error.reason = "CERTIFICATE_VERIFY_FAILED"
            error.verify_message = "self-signed certificate"
            raise error
        await trio.sleep(0.21)
        return stream

    await trio.aclose_forcefully(await asking(net).connect("example.org", 443, establish))


async def cancelled() -> None:
    """The caller has had enough."""
    with trio.move_on_after(0.5):
        await connect(asking(five_addresses()))


async def no_address() -> None:
    """One name server says no, the other is ill."""
    net = SimulatedNetwork()
    net.answers("nosuch.example", aaaa=[], after=0.02)
    again = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
    net.answers("nosuch.example", a=[], after=0.55, error=again)
    await connect(asking(net), "nosuch.example")


async def outlier() -> None:
    """Most of it happens in a third of a second, and then one takes a minute."""
    net = five_addresses()
    net.host("2001:db8:1::11").refuses(after=0.04)
    net.host("192.0.2.80").refuses(after=0.031)
    net.host("203.0.113.24").accepts(after=60)
    await connect(asking(net, policy=nb.Policy(attempt_delay=0.1)))


async def hundreds() -> None:
    """More than a hundred addresses, of which the 100th works."""
    addresses = [f"198.51.100.{number}" for number in range(1, 121)]
    net = SimulatedNetwork()
    net.answers("many.example", a=addresses, after=0.03)
    for address in addresses:
        net.host(address).refuses(after=0.007)
    net.host(addresses[99]).accepts(after=0.9)
    for address in addresses[102:]:
        net.host(address).drops()
    await connect(asking(net), "many.example")


async def burst() -> None:
    """Attempts that begin within ten milliseconds of each other."""
    addresses = [f"192.0.2.{number}" for number in range(1, 7)]
    net = SimulatedNetwork()
    net.answers("example.org", a=addresses, after=0.005)
    net.host("192.0.2.5").accepts(after=0.4)
    await connect(asking(net, policy=nb.Policy(attempt_delay=0.01)))


async def long_addresses() -> None:
    """As long as an address can be, with a scope."""
    full = "2001:db8:1234:5678:9abc:def0:1234:5678"
    scoped = "fe80:1234:5678:9abc:def0:1234:5678:9abc%1"
    net = SimulatedNetwork()
    net.host(full).refuses(after=0.2)
    net.host(scoped).accepts(after=0.15)
    await connect(asking(net), "printer.example", 631, addresses=[full, scoped, "192.0.2.1"])


async def path() -> None:
    """A UNIX socket first, which is not to be had here."""
    net = SimulatedNetwork()
    net.host("127.0.0.1").accepts(after=0.0004)
    path = "/run/user/1000/a-rather-long-name-of-a-folder/postgresql.sock"
    await connect(asking(net), "db.example", 5432, addresses=[path, "127.0.0.1"])


async def services() -> None:
    """HTTPS records lead to another host and another port."""
    net = SimulatedNetwork()
    service = nb.Service(priority=1, target="cdn.example", port=8443, alpn=("h2",))
    net.answers("example.org", https=[service], after=0.018)
    net.answers("example.org", aaaa=["2001:db8::1"], after=0.025)
    net.answers("example.org", a=["192.0.2.1"], after=0.027)
    net.answers("cdn.example", aaaa=["2001:db8::77"], after=0.033)
    net.answers("cdn.example", a=["192.0.2.77"], after=0.036)
    net.host("2001:db8::77").refuses(after=0.04)
    net.host("192.0.2.77").accepts(after=0.06)
    await connect(nb.Connector(network=net, resolver=net.resolver()))


async def foreign() -> None:
    """A long name of another script, and what a page would obey if it were not escaped."""
    net = SimulatedNetwork()
    net.host("192.0.2.1").accepts(after=0.1)
    host = "ein-sehr-langer-name.日本語ドメイン名例.пример." + "x" * 60 + ".example"
    await connect(asking(net), host, addresses=["192.0.2.1"])
    with patch("trio_nbconnect._address.check_host", str):  # it refuses control characters
        await connect(asking(net), '<script>"&\x1b[31m\x85.example', addresses=["192.0.2.1"])


async def moment() -> None:
    """It takes no time at all."""
    net = SimulatedNetwork()
    net.host("127.0.0.1").accepts()
    await connect(asking(net), "localhost", 8080, addresses=["127.0.0.1"])


SCENES: list[Scene] = [
    won,
    hurried,
    gave_up,
    all_refused,
    phases,
    cancelled,
    no_address,
    outlier,
    hundreds,
    burst,
    long_addresses,
    path,
    services,
    foreign,
    moment,
]

WIDTHS = {"won": (50, 80, 120, 200), "phases": (50, 80), "outlier": (50, 80), "long_addresses": (50, 80)}
"""How wide the texts are that are kept; 80 columns where nothing else is said."""

IN_QLOG = {"all_refused", "phases", "services"}
"""Those where no two attempts are cancelled in the same step of the loop: which comes first is up to Trio."""


def run(scene: Scene) -> nb.Recording:
    """Run a scene in virtual time, and return its races."""
    with nb.record() as recording:
        trio.run(scene, clock=MockClock(autojump_threshold=0))
    return recording


def dead_heat() -> list[Event]:
    """Two are established in the same step of the loop."""
    script = RaceScript()
    script.answers(nb.Source.GIVEN, 0.0, "192.0.2.1", "192.0.2.2")
    script.starts("192.0.2.1", 0.0, Reason.FIRST)
    script.starts("192.0.2.2", 0.25)
    script.establishes("192.0.2.2", 0.4)
    script.establishes("192.0.2.1", 0.4)
    script.discards("192.0.2.1", 0.4)
    script.wins("192.0.2.2", 0.4)
    return script.events


def races() -> Iterator[tuple[str, list[Event]]]:
    """Every race that has a picture: its name and its events."""
    for scene in SCENES:
        name = getattr(scene, "__name__", "")
        recording = run(scene)
        for number, race in enumerate(recording, start=1):
            yield name if len(recording) == 1 else f"{name}_{number}", list(race.events)
    yield "dead_heat", dead_heat()
    yield "under_way", [event for event in run(won)[0].events if event.time < 0.65]


def pictures() -> dict[str, str]:
    """Draw everything: the name of each file in `golden`, and what is in it."""
    drawn = {}
    for name, events in races():
        timeline = timeline_of(events)
        drawn[f"{name}.svg"] = render_svg(timeline)
        widths = WIDTHS.get(name, (80,))
        texts = [render_text(timeline, width=width) for width in widths]
        drawn[f"{name}.txt"] = "\n\n".join(texts) + "\n"
        if name in IN_QLOG:
            drawn[f"{name}.json"] = qlog([events])
    (lost,) = run(gave_up)
    assert isinstance(lost.timeline.error, nb.ConnectError)
    error = timeline_of_error(lost.timeline.error)
    drawn["error.svg"], drawn["error.txt"] = render_svg(error), render_text(error) + "\n"
    drawn |= comparison() | summaries()
    return drawn


def comparison() -> dict[str, str]:
    """Two races on one scale."""
    slow, fast, lost = (run(scene)[0].timeline for scene in (won, hurried, gave_up))
    text = nb.compare(run(won)[0], run(hurried)[0]).text()
    return {
        "compared_1.svg": render_svg(slow, compared_with=[fast]),
        "compared_2.svg": render_svg(fast, compared_with=[slow]),
        "compared_with_lost.svg": render_svg(slow, compared_with=[lost]),
        "compared.txt": f"{text}\n",
    }


def summaries() -> dict[str, str]:
    """A sweep of the attempt delay over slow hosts, grouped by delay and by family."""

    async def sweep(delay: float) -> None:
        for number in range(40):
            net = SimulatedNetwork()
            net.answers("example.org", aaaa=["2001:db8::1"], after=0.02)
            net.answers("example.org", a=["192.0.2.1"], after=0.031)
            net.host("192.0.2.1").accepts(after=0.03 + number * 0.0031)
            if number % 3 == 0:
                net.host("2001:db8::1").accepts(after=0.017 + number * 0.0047)
            if number == 39:
                net.host("192.0.2.1").drops()
            if number == 38:
                net.host("192.0.2.1").accepts(after=9)
            policy = nb.Policy(attempt_delay=delay)
            await connect(asking(net, policy=policy), give_up_after=10)

    swept = {}
    for delay in (0.05, 0.1, 0.25, 1.0):
        with nb.record() as recording:
            trio.run(sweep, delay, clock=MockClock(autojump_threshold=0))
        swept[f"{delay * 1000:g} ms"] = recording
    by_delay, by_family = nb.summarize(swept), swept["250 ms"].summary()
    return {
        "sweep.svg": by_delay.svg(),
        "sweep.txt": f"{by_delay.text(width=100)}\n",
        "summary.svg": by_family.svg(),
        "summary.txt": f"{by_family}\n",
    }


def main() -> None:
    """Draw everything anew."""
    GOLDEN.mkdir(exist_ok=True)
    FIRST_SCREEN.parent.mkdir(exist_ok=True)
    drawn = pictures()
    for kept in GOLDEN.iterdir():
        if kept.name not in drawn:
            kept.unlink()
    for name, text in drawn.items():
        (GOLDEN / name).write_text(text, "utf-8")
    FIRST_SCREEN.write_text(drawn["won.svg"], "utf-8")
    print(f"{len(drawn)} pictures")


if __name__ == "__main__":
    main()
