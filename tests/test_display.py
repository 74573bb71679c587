"""Display: what a notebook is given to show. The bundles are asked for as IPython asks for them."""

from __future__ import annotations

import base64
import html
import re
import socket
import subprocess
import sys
import xml.etree.ElementTree as ET

import pytest
import trio

import trio_nbconnect as nb
from trio_nbconnect._errors import all_failed, gave_up
from trio_nbconnect._pictures.bundles import connect_errors
from trio_nbconnect._pictures.timeline import AttemptOutcome, timeline_of_error
from trio_nbconnect.testing import SimulatedNetwork
from trio_nbconnect.trace import Reason

if sys.version_info < (3, 11):
    from exceptiongroup import BaseExceptionGroup

virtual_time = pytest.mark.virtual_time

IMAGE = re.compile(r'<img alt="([^"]*)" style="[^"]*" src="data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)">')


def shown(thing: object) -> tuple[str, str]:
    """What IPython gets: HTML and text."""
    bundle = thing._repr_mimebundle_(include=None, exclude=None)  # type: ignore[attr-defined]
    assert list(bundle) == ["text/html", "text/plain"]
    assert "<svg" not in bundle["text/html"], "it would turn to garbage in a notebook that is not trusted"
    assert "<script" not in bundle["text/html"]
    return bundle["text/html"], bundle["text/plain"]


def images(markup: str) -> list[tuple[str, str]]:
    """The pictures in some HTML: their alternative texts, and the SVG itself, which must be well formed."""
    found = [
        (html.unescape(alt), base64.b64decode(data, validate=True).decode()) for alt, data in IMAGE.findall(markup)
    ]
    assert len(found) == markup.count("<img")
    for _, svg in found:
        ET.fromstring(svg)
    return found


async def race(net: SimulatedNetwork, host: str = "example.org", give_up_after: float = 5) -> nb.Recording:
    """Connect, or fail to, and record it."""
    with nb.record() as recording:
        try:
            stream = await nb.Connector(network=net).open_tcp_stream(host, 443, give_up_after=give_up_after)
            await trio.aclose_forcefully(stream)
        except nb.ConnectError:
            pass
    return recording


def network() -> SimulatedNetwork:
    """One address drops, one refuses, one accepts."""
    net = SimulatedNetwork()
    net.answers("example.org", aaaa=["2001:db8::1"], a=["192.0.2.1", "192.0.2.2"], after=0.02)
    net.host("2001:db8::1").drops()
    net.host("192.0.2.1").refuses(after=0.03)
    net.host("192.0.2.2").accepts(after=0.04)
    return net


@virtual_time
async def test_a_race_shows_its_picture_and_its_outcome() -> None:
    recorded = (await race(network()))[0]

    markup, text = shown(recorded)

    ((alt, svg),) = images(markup)
    assert alt == ("example.org:443 connected in 340 ms over IPv4 to 192.0.2.2: 3 attempts, 1 cancelled, 1 refused")
    assert svg == recorded.svg()
    assert text == str(recorded) == recorded.text()


@virtual_time
async def test_width_and_colour_of_a_race_can_be_set() -> None:
    recorded = (await race(network()))[0]

    assert max(map(len, recorded.text(width=100).splitlines())) == 100
    assert "\x1b[" in recorded.text(color=True)
    with pytest.raises(ValueError, match="width must be at least 50"):
        recorded.text(width=49)


@virtual_time
async def test_a_recording_shows_its_races() -> None:
    net = network()
    with nb.record() as recording:
        await race(net)
        await race(net)

    markup, text = shown(recording)

    assert [svg for _, svg in images(markup)] == [recorded.svg() for recorded in recording]
    assert text == str(recording)


def test_an_empty_recording_says_so() -> None:
    with nb.record() as recording:
        pass

    assert shown(recording) == ("<em>no race yet</em>", "no race yet")


@virtual_time
async def test_an_error_shows_what_every_attempt_met() -> None:
    net = network()
    net.host("192.0.2.2").drops()
    with pytest.raises(nb.ConnectTimeout) as caught:
        await nb.Connector(network=net).open_tcp_stream("example.org", 443, give_up_after=0.9)

    markup, text = shown(caught.value)

    assert markup.startswith(f"<p>{html.escape(str(caught.value))}</p>")
    ((alt, _),) = images(markup)
    assert alt == "example.org:443 failed: timed out: 3 attempts, 2 timed out, 1 refused"
    assert text.startswith(f"{caught.value}\n\nexample.org:443  failed: timed out\n")
    assert "time counts from the first attempt" in text


@virtual_time
async def test_an_error_has_the_same_attempts_as_the_events() -> None:
    net = network()
    net.host("192.0.2.2").drops()
    with nb.record() as recording, pytest.raises(nb.ConnectTimeout) as caught:
        await nb.Connector(network=net).open_tcp_stream("example.org", 443, give_up_after=0.9)

    from_error, seen = timeline_of_error(caught.value), recording[0].timeline

    first = seen.attempts[0].started
    assert [(row.number, row.address, row.outcome, row.preceded_by) for row in from_error.attempts] == [
        (row.number, row.address, row.outcome, row.preceded_by) for row in seen.attempts
    ]
    assert [row.reason for row in from_error.attempts[1:]] == [row.reason for row in seen.attempts[1:]]
    for row, same in zip(from_error.attempts, seen.attempts, strict=True):
        assert row.started == pytest.approx(same.started - first)
        assert row.ended == pytest.approx(same.ended - first)
    assert from_error.gave_up
    assert seen.gave_up


def test_the_times_show_why_an_attempt_began() -> None:
    def attempt(number: int, started: float, ended: float, error: OSError | None) -> nb.Attempt:
        return nb.Attempt(
            number=number,
            address=nb.Address(socket.AF_INET, f"192.0.2.{number}", 443),
            phase=nb.Phase.HANDSHAKE,
            started=started,
            ended=ended,
            error=error,
        )

    refusal = ConnectionRefusedError(111, "refused")
    attempts = [
        attempt(1, 7.0, 7.1, refusal),
        attempt(2, 7.1, 9.0, None),
        attempt(3, 7.35, 7.4, refusal),
        attempt(4, 7.41, 9.0, None),
        attempt(5, 7.66, 9.0, None),
    ]

    rows = timeline_of_error(gave_up("example.org", 443, 2, attempts)).attempts

    assert [row.reason for row in rows] == [
        Reason.FIRST,
        Reason.PREDECESSOR_FAILED,
        Reason.DELAY_OVER,
        Reason.PREDECESSOR_FAILED,
        Reason.DELAY_OVER,
    ]
    assert [row.outcome for row in rows] == [
        AttemptOutcome.REFUSED,
        AttemptOutcome.TIMED_OUT,
        AttemptOutcome.REFUSED,
        AttemptOutcome.TIMED_OUT,
        AttemptOutcome.TIMED_OUT,
    ]


def test_an_error_without_attempts_shows_what_its_cause_says() -> None:
    error = all_failed("<b>.example", 443, [], [OSError(101, "Network is unreachable")])

    markup, text = shown(error)

    ((_, svg),) = images(markup)
    assert "<b>" not in markup + svg
    assert "Network is unreachable" in svg
    assert "Network is unreachable" in text


def test_the_errors_to_show_are_found_wherever_they_are() -> None:
    def error(host: str) -> nb.ConnectError:
        return all_failed(host, 443, [], [OSError(101, "Network is unreachable")])

    inner, raised, handled, deep = (error(host) for host in ("inner", "raised", "handled", "deep"))
    inner.__context__ = deep
    group = BaseExceptionGroup("nursery", [ValueError(), BaseExceptionGroup("nursery", [inner, KeyboardInterrupt()])])
    outer = RuntimeError()
    outer.__cause__ = group
    group.__context__ = raised
    raised.__context__ = outer  # a circle
    hidden = RuntimeError()
    hidden.__context__ = handled
    hidden.__suppress_context__ = True  # raised "from None"

    assert list(connect_errors(outer)) == [raised, inner, deep]
    assert list(connect_errors(inner)) == [inner, deep]
    assert list(connect_errors(hidden)) == []
    assert list(connect_errors(ValueError())) == []


def test_a_simulated_network_shows_what_was_said_of_it() -> None:
    net = network()
    net.answers("<i>.example", https=[nb.Service(priority=1)], a=[], after=float("inf"))
    net.answers("alias.example", alias="cdn.example")
    net.host("192.0.2.9", 80).unreachable()

    markup, text = shown(net)

    assert "<i>" not in markup
    assert "ECONNREFUSED after 0.03 s</td></tr>" in markup
    assert text.splitlines() == [
        "SimulatedNetwork",
        "",
        "name or host         what it does",
        "example.org AAAA     2001:db8::1 after 0.02 s",
        "example.org A        192.0.2.1, 192.0.2.2 after 0.02 s",
        "<i>.example A        never answers",
        "<i>.example HTTPS    never answers",
        "alias.example HTTPS  alias cdn.example after 0 s",
        "2001:db8::1          drops",
        "192.0.2.1            ECONNREFUSED after 0.03 s",
        "192.0.2.2            accepts after 0.04 s",
        "192.0.2.9:80         ENETUNREACH at once",
    ]


def test_a_simulated_network_says_which_family_has_no_route() -> None:
    assert shown(SimulatedNetwork(ipv6=False))[1].startswith("SimulatedNetwork without IPv6\n")


DISPLAY_AN_ERROR = """
import sys
import trio_nbconnect as nb
error = nb.ConnectError("x", host="x", port=1)
print(*sys.modules)
error._repr_mimebundle_()
print(*sys.modules)
"""


def test_errors_load_the_pictures_when_they_are_displayed() -> None:
    run = subprocess.run(
        [sys.executable, "-c", DISPLAY_AN_ERROR], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True
    )
    before, after = (set(line.split()) for line in run.stdout.splitlines())

    assert not [name for name in before if "_pictures" in name]
    assert {"trio_nbconnect._pictures.svg", "trio_nbconnect._pictures.text"} <= after
