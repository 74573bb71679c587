"""Text: the waterfall, as it is seen. Widths, glyphs and words are compared character by character."""

from __future__ import annotations

import errno
import re
import socket
import ssl
from dataclasses import replace

import pytest
import trio
from trio.testing import MockClock

from trio_nbconnect import (
    Attempt,
    ConnectError,
    Connector,
    ConnectRefused,
    ConnectTimeout,
    Phase,
    Policy,
    ResolutionError,
    Source,
    record,
    trace,
)
from trio_nbconnect._errors import no_address
from trio_nbconnect._pictures.canvas import Line, columns_of, shortened
from trio_nbconnect._pictures.export import qlog
from trio_nbconnect._pictures.labels import error_text, failure_lines
from trio_nbconnect._pictures.svg import render_svg
from trio_nbconnect._pictures.text import render_text
from trio_nbconnect._pictures.timeline import timeline_of, timeline_of_error
from trio_nbconnect.testing import SimulatedNetwork, simulate
from trio_nbconnect.trace import Reason

from .race_script import RaceScript, address, refused, script_of_a_lost_race, script_of_a_won_race


def picture(script: RaceScript, width: int = 80) -> str:
    """The waterfall of a script, plain, with a newline at either end."""
    return f"\n{render_text(timeline_of(script.events), width=width)}\n"


def certificate_error() -> OSError:
    """The error of a handshake with an untrusted server."""
    error = ssl.SSLCertVerificationError(1, "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed (_ssl.c:1028)")
    error.reason = "CERTIFICATE_VERIFY_FAILED"
    error.verify_message = "self-signed certificate"
    return error


def script_with_tls() -> RaceScript:
    """A host without a route, one with a bad certificate, one that is well; and A is never answered."""
    script = RaceScript()
    script.queries(Source.AAAA)
    script.queries(Source.A)
    script.answers(Source.AAAA, 0.03, "2001:db8::1", "2001:db8::2", "fe80::1234:5678:9abc:def0%3")
    script.starts("2001:db8::1", 0.03, Reason.FIRST)
    script.fails("2001:db8::1", 0.0304, OSError(errno.EHOSTUNREACH, "No route to host: [2001:db8::1]:443"))
    script.starts("2001:db8::2", 0.0404, Reason.PREDECESSOR_FAILED)
    script.connects("2001:db8::2", 0.08)
    script.starts("fe80::1234:5678:9abc:def0%3", 0.33)
    script.connects("fe80::1234:5678:9abc:def0%3", 0.4)
    script.fails("2001:db8::2", 0.5, certificate_error())
    script.establishes("fe80::1234:5678:9abc:def0%3", 0.6)
    script.wins("fe80::1234:5678:9abc:def0%3", 0.6)
    return script


def script_of_many_attempts() -> RaceScript:
    """The twentieth of thirty wins, long after all others were refused; ten more are not needed."""
    script = RaceScript(policy=Policy(attempt_delay=0.01))
    script.answers(Source.GIVEN, 0.0, *[f"192.0.2.{number}" for number in range(1, 41)])
    for number in range(1, 31):
        script.starts(f"192.0.2.{number}", number / 100 - 0.01, Reason.DELAY_OVER if number > 1 else Reason.FIRST)
    for number in range(1, 31):
        if number != 20:
            script.fails(f"192.0.2.{number}", 0.3 + number / 100, refused())
    script.establishes("192.0.2.20", 12.5)
    script.wins("192.0.2.20", 12.5)
    return script


def script_of_a_moment() -> RaceScript:
    """On loopback all is over in a third of a millisecond."""
    script = RaceScript("localhost", 8080)
    script.answers(Source.GIVEN, 0.00001, "::1", "127.0.0.1")
    script.starts("::1", 0.00002, Reason.FIRST)
    script.fails("::1", 0.0001, refused())
    script.starts("127.0.0.1", 0.00012, Reason.PREDECESSOR_FAILED)
    script.connects("127.0.0.1", 0.00034, None)
    script.establishes("127.0.0.1", 0.00034)
    script.wins("127.0.0.1", 0.00034)
    return script


def script_of_a_dead_heat() -> RaceScript:
    """Two are established in the same step of the loop."""
    script = RaceScript()
    script.answers(Source.GIVEN, 0.0, "192.0.2.1", "192.0.2.2")
    script.starts("192.0.2.1", 0.0, Reason.FIRST)
    script.starts("192.0.2.2", 0.25)
    script.establishes("192.0.2.2", 0.4)
    script.establishes("192.0.2.1", 0.4)
    script.discards("192.0.2.1", 0.4)
    script.wins("192.0.2.2", 0.4)
    return script


def test_a_won_race() -> None:
    assert (
        picture(script_of_a_won_race())
        == """
example.org:443  connected in 704 ms over IPv4 to 203.0.113.24
4 attempts, 2 cancelled, 1 refused · attempt delay 250 ms

                    0 ms       200        400        600
                    ├──────────┼──────────┼──────────┼─────┐
           DNS AAAA ━━ 2 addresses · 24 ms                 │
              DNS A ━━━ 3 addresses · 41 ms                │
                                                           │
IPv6 2001:db8:1::10  ░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░│ ⊘ cancelled  680 ms
                           +250 ms ↓                       │
IPv4   198.51.100.7   •············▓▓▓✗                    │ ✗ refused     62 ms
                              failure ↓                    │
IPv6 2001:db8:1::11  •················░░░░░░░░░░░░░░░░░░░░░│ ⊘ cancelled  368 ms
                                            +250 ms ↓      │
IPv4   203.0.113.24   •·····························███████│ ✓ won        118 ms
                                                           │
IPv4     192.0.2.80   •····································│ – not tried
                                          connected 704 ms ┘
"""
    )


def test_a_won_race_in_60_columns() -> None:
    assert (
        picture(script_of_a_won_race(), 60)
        == """
example.org:443
connected in 704 ms over IPv4 to 203.0.113.24
4 attempts, 2 cancelled, 1 refused · attempt delay 250 ms

                    0 ms         500
                    ├────────────┼─────┐
           DNS AAAA ━                  │ 2 addresses · 24 ms
              DNS A ━━                 │ 3 addresses · 41 ms
                                       │
IPv6 2001:db8:1::10 ░░░░░░░░░░░░░░░░░░░│ ⊘ cancelled  680 ms
                   +250 ms ↓           │
IPv4   198.51.100.7  •·····▓▓✗         │ ✗ refused     62 ms
                     failure ↓         │
IPv6 2001:db8:1::11 •········░░░░░░░░░░│ ⊘ cancelled  368 ms
                           +250 ms ↓   │
IPv4   203.0.113.24  •·············████│ ✓ won        118 ms
                                       │
IPv4     192.0.2.80  •·················│ – not tried
                      connected 704 ms ┘
"""
    )


def test_a_won_race_in_120_columns() -> None:
    assert (
        picture(script_of_a_won_race(), 120)
        == """
example.org:443  connected in 704 ms over IPv4 to 203.0.113.24
4 attempts, 2 cancelled, 1 refused · attempt delay 250 ms

                    0 ms       100        200        300        400         500        600
                    ├──────────┼──────────┼──────────┼──────────┼───────────┼──────────┼───────────┐
           DNS AAAA ━━━ 2 addresses · 24 ms                                                        │
              DNS A ━━━━━ 3 addresses · 41 ms                                                      │
                                                                                                   │
IPv6 2001:db8:1::10   ░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░│ ⊘ cancelled  680 ms
                                          +250 ms ↓                                                │
IPv4   198.51.100.7     •·························▓▓▓▓▓▓▓✗                                         │ ✗ refused     62 ms
                                                 failure ↓                                         │
IPv6 2001:db8:1::11   •··································░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░│ ⊘ cancelled  368 ms
                                                                             +250 ms ↓             │
IPv4   203.0.113.24     •····························································██████████████│ ✓ won        118 ms
                                                                                                   │
IPv4     192.0.2.80     •··········································································│ – not tried
                                                                                  connected 704 ms ┘
"""
    )


def test_a_won_race_in_50_columns_where_families_have_no_room() -> None:
    assert (
        picture(script_of_a_won_race(), 50)
        == """
example.org:443
connected in 704 ms over IPv4 to 203.0.113.24
4 attempts, 2 cancelled, 1 refused
attempt delay 250 ms

               0 ms     500
               ├────────┼────┐
      DNS AAAA ━             │ 2 addresses · 24 ms
         DNS A ━             │ 3 addresses · 41 ms
                             │
2001:db8:1::10 ░░░░░░░░░░░░░░│ ⊘ cancelled  680 ms
            +250 ms ↓        │
  198.51.100.7 •····▓✗       │ ✗ refused     62 ms
             failure ↓       │
2001:db8:1::11 •·····░░░░░░░░│ ⊘ cancelled  368 ms
                  +250 ms ↓  │
  203.0.113.24 •··········███│ ✓ won        118 ms
                             │
    192.0.2.80 •·············│ – not tried
            connected 704 ms ┘
"""
    )


def test_a_lost_race() -> None:
    script = script_of_a_lost_race(ConnectTimeout("gave up", host="example.org", port=443))

    assert (
        picture(script)
        == """
example.org:443  failed after 900 ms: timed out
5 attempts, 3 timed out, 2 refused · attempt delay 250 ms

                    0 ms    200      400      600     800
                    ├───────┼────────┼────────┼───────┼────┐
           DNS AAAA ━━ 2 addresses · 24 ms                 │
              DNS A ━━ 3 addresses · 41 ms                 │
                                                           │
IPv6 2001:db8:1::10  ▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒◷│ ◷ timed out  876 ms
                       +250 ms ↓                           │
IPv4   198.51.100.7  •·········▓▓▓✗                        │ ✗ refused     62 ms
                          failure ↓                        │
IPv6 2001:db8:1::11  •············▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒◷│ ◷ timed out  564 ms
                                     +250 ms ↓             │
IPv4   203.0.113.24  •·······················▒▒▒▒▒▒▒▒▒▒▒▒▒◷│ ◷ timed out  314 ms
                                                +250 ms ↓  │
IPv4     192.0.2.80  •··································▓✗ │ ✗ refused     20 ms
                                            gave up 900 ms ┘
"""
    )


def test_a_race_under_way() -> None:
    script = script_of_a_won_race()
    del script.events[8:]

    assert (
        picture(script)
        == """
example.org:443  under way for 336 ms
2 attempts, 1 under way, 1 refused · attempt delay 250 ms

                    0 ms       100         200        300
                    ├──────────┼───────────┼──────────┼────
           DNS AAAA ━━━ 2 addresses · 24 ms
              DNS A ━━━━━ 3 addresses · 41 ms

IPv6 2001:db8:1::10   ╍╍╍╍╍╍╍╍╍╍╍╍╍╍╍╍╍╍╍╍╍╍╍╍╍╍╍╍╍╍╍╍╍╍╍╍╍  … under way  312 ms
                                           +250 ms ↓
IPv4   198.51.100.7     •··························▓▓▓▓▓▓▓✗  ✗ refused     62 ms

IPv6 2001:db8:1::11   •····································  – not yet tried
IPv4   203.0.113.24     •··································  – not yet tried
IPv4     192.0.2.80     •··································  – not yet tried
"""
    )


def test_tcp_and_what_comes_on_top_are_two_phases_of_a_bar() -> None:
    assert (
        picture(script_with_tls())
        == """
example.org:443  connected in 600 ms over IPv6 to fe80::1234:5678:9abc:def0%3
3 attempts, 2 failed · attempt delay 250 ms

                                0 ms     200      400
                                ├────────┼────────┼────────┐
                       DNS AAAA ━━ 3 addresses · 30 ms     │
                          DNS A ╍╍╍╍╍╍╍╍╍╍╍╍╍╍╍╍╍╍╍╍╍╍╍╍╍╍╍│ not needed any more
                                                           │
IPv6                2001:db8::1  ✗                         │ ✗ failed     0.4 ms
     ╰ No route to host                                    │
                         failure ↓                         │
IPv6                2001:db8::2  ▓▓┃▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓✗    │ ✗ failed     460 ms
     ╰ TCP connected after 40 ms,                          │
       then certificate verify failed: self-signed certificate
                                      +290 ms ↓            │
IPv6    fe80:…:5678:9abc:def0%3  •············████┃████████│ ✓ won        270 ms
                                          connected 600 ms ┘
     ┃ TCP connected, then TLS
"""
    )


def test_long_addresses_are_shortened_and_long_remarks_are_cut() -> None:
    assert (
        picture(script_with_tls(), 50)
        == """
example.org:443
connected in 600 ms over IPv6 to fe80:…:def0%3
3 attempts, 2 failed · attempt delay 250 ms

                0 ms      500
                ├─────────┼──┐
       DNS AAAA ━            │ 3 addresses · 30 ms
          DNS A ╍╍╍╍╍╍╍╍╍╍╍╍╍│ not needed any more
                             │
    2001:db8::1 ✗            │ ✗ failed     0.4 ms
╰ No route to host           │
        failure ↓            │
    2001:db8::2 ▓┃▓▓▓▓▓▓▓▓✗  │ ✗ failed     460 ms
╰ TCP connected after 40 ms, │
  then certificate verify failed: self-signed
  certificate                │
               +290 ms ↓     │
  fe80:…:def0%3 •······█┃████│ ✓ won        270 ms
            connected 600 ms ┘
┃ TCP connected, then TLS
"""
    )


def test_the_middle_of_many_attempts_is_counted() -> None:
    assert (
        picture(script_of_many_attempts())
        == """
example.org:443  connected in 12.5 s over IPv4 to 192.0.2.20
30 attempts, 29 refused · attempt delay 10 ms

                0 ms     200       400      600      12.5 s
                ├────────┼─────────┼────────┼──────╱──────┼┐
                                                           │
IPv4  192.0.2.1 ▓▓▓▓▓▓▓▓▓▓▓▓▓▓✗                            │ ✗ refused    310 ms
         +10 ms ↓                                          │
IPv4  192.0.2.2 ▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓✗                           │ ✗ refused    310 ms
         +10 ms ↓                                          │
IPv4  192.0.2.3 ▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓✗                           │ ✗ refused    310 ms
          +10 ms ↓                                         │
IPv4  192.0.2.4 •▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓✗                          │ ✗ refused    310 ms
          +10 ms ↓                                         │
IPv4  192.0.2.5 •▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓✗                          │ ✗ refused    310 ms
           +10 ms ↓                                        │
IPv4  192.0.2.6 •·▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓✗                         │ ✗ refused    310 ms
           +10 ms ↓                                        │
IPv4  192.0.2.7 •·▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓✗                         │ ✗ refused    310 ms
            +10 ms ↓                                       │
IPv4  192.0.2.8 •··▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓✗                        │ ✗ refused    310 ms
     ⋮ 11 more attempts, 11 refused                        │
                  +10 ms ↓                                 │
IPv4 192.0.2.20 •········██████████████████████████╱███████│ ✓ won        12.3 s
     ⋮ 2 more attempts, 2 refused                          │
                   +10 ms ↓                                │
IPv4 192.0.2.23 •·········▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓✗                 │ ✗ refused    310 ms
                   +10 ms ↓                                │
IPv4 192.0.2.24 •·········▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓✗                 │ ✗ refused    310 ms
                    +10 ms ↓                               │
IPv4 192.0.2.25 •··········▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓✗                │ ✗ refused    310 ms
                    +10 ms ↓                               │
IPv4 192.0.2.26 •··········▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓✗                │ ✗ refused    310 ms
                     +10 ms ↓                              │
IPv4 192.0.2.27 •···········▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓✗               │ ✗ refused    310 ms
                     +10 ms ↓                              │
IPv4 192.0.2.28 •···········▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓✗               │ ✗ refused    310 ms
                      +10 ms ↓                             │
IPv4 192.0.2.29 •············▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓✗              │ ✗ refused    310 ms
                      +10 ms ↓                             │
IPv4 192.0.2.30 •············▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓✗              │ ✗ refused    310 ms
                                                           │
IPv4 192.0.2.31 •··································╱·······│ – not tried
IPv4 192.0.2.32 •··································╱·······│ – not tried
IPv4 192.0.2.33 •··································╱·······│ – not tried
IPv4 192.0.2.34 •··································╱·······│ – not tried
     ⋮ 6 more, not tried                                   │
                                          connected 12.5 s ┘
"""
    )


def test_a_race_of_less_than_a_millisecond() -> None:
    assert (
        picture(script_of_a_moment())
        == """
localhost:8080  connected in 0.3 ms over IPv4 to 127.0.0.1
2 attempts, 1 refused · attempt delay 250 ms

               0 ms        0.1          0.2          0.3
               ├───────────┼────────────┼────────────┼─────┐
                                                           │
IPv6       ::1  •▓▓▓▓▓▓▓▓▓▓✗                               │ ✗ refused   0.08 ms
                      failure ↓                            │
IPv4 127.0.0.1  •·············█████████████████████████████│ ✓ won        0.2 ms
                                          connected 0.3 ms ┘
"""
    )


def test_a_dead_heat() -> None:
    assert (
        picture(script_of_a_dead_heat())
        == """
example.org:443  connected in 400 ms over IPv4 to 192.0.2.2
2 attempts, 1 runner-up · attempt delay 250 ms

               0 ms       100        200        300
               ├──────────┼──────────┼──────────┼──────────┐
                                                           │
IPv4 192.0.2.1 ▞▞▞▞▞▞▞▞▞▞▞▞▞▞▞▞▞▞▞▞▞▞▞▞▞▞▞▞▞▞▞▞▞▞▞▞▞▞▞▞▞▞▞▞│ ≈ runner-up  400 ms
                                  +250 ms ↓                │
IPv4 192.0.2.2 •··························█████████████████│ ✓ won        150 ms
                                          connected 400 ms ┘
"""
    )


def script_without_an_address() -> RaceScript:
    """The name does not exist, and one of its name servers does not answer well."""
    script = RaceScript("nosuch.example")
    script.queries(Source.AAAA)
    script.queries(Source.A)
    script.answers(Source.AAAA, 0.02, error=socket.gaierror(socket.EAI_NONAME, "Name or service not known"))
    script.answers(Source.A, 0.03, error=socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"))
    script.loses(0.03, ResolutionError("no results", host="nosuch.example", port=443))
    return script


def test_a_name_without_an_address() -> None:
    assert (
        picture(script_without_an_address())
        == """
nosuch.example:443  failed after 30 ms: name resolution failed
no attempts · attempt delay 250 ms

              0 ms    10      20
              ├───────┼───────┼───────
     DNS AAAA ━━━━━━━━━━━━━━━━ no such name · 20 ms
        DNS A ━━━━━━━━━━━━━━━━━━━━━━━━
     ╰ Temporary failure in name resolution · 30 ms
"""
    )


def test_an_empty_answer_of_a_hook_and_a_race_that_took_no_time() -> None:
    script = RaceScript()
    script.queries(Source.HOOK)
    script.answers(Source.HOOK, 0.0)

    assert (
        picture(script)
        == """
example.org:443  under way for 0.0 ms
no attempts · attempt delay 250 ms

          0 ms
          ├───────────────────────────────────────────────────────────────────
     hook ━ no addresses · 0.0 ms
"""
    )


@pytest.mark.parametrize(
    ("error", "answer"),
    [
        (None, "cancelled after 500 ms"),
        (ConnectError("failed", host="example.org", port=443), "failed after 500 ms"),
        (ConnectTimeout("failed", host="example.org", port=443), "failed after 500 ms: timed out"),
        (ResolutionError("failed", host="example.org", port=443), "failed after 500 ms: no addresses"),
        (ConnectRefused("failed", host="example.org", port=443), "failed after 500 ms: refused"),
    ],
)
def test_the_headline_of_a_race_that_was_not_won(error: ConnectError | None, answer: str) -> None:
    script = RaceScript()
    script.loses(0.5, error)

    assert picture(script) == f"\nexample.org:443  {answer}\nno attempts · attempt delay 250 ms\n"


def test_a_race_that_tries_one_at_a_time_says_so() -> None:
    script = RaceScript(policy=Policy(attempt_delay=float("inf")))

    assert picture(script).endswith("\nno attempts · one attempt at a time\n")


def test_a_long_name_has_a_line_of_its_own() -> None:
    script = RaceScript("a-rather-long-name-of-a-host.in-a-rather-long-domain.example")
    script.loses(0.5)

    assert picture(script).splitlines()[1:3] == [
        "a-rather-long-name-of-a-host.in-a-rather-long-domain.example:443",
        "cancelled after 500 ms",
    ]


def test_what_a_terminal_would_obey_is_not_printed() -> None:
    script = RaceScript("bell\x07\x1b[31m.example")

    assert picture(script).splitlines()[1].startswith("bell\\x07\\x1b[31m.example:443  ")


def test_wide_and_combining_characters_are_given_their_columns() -> None:
    script = RaceScript("日本語" * 20)
    line = Line(7)
    line.put(0, "e\N{COMBINING ACUTE ACCENT}日本語")

    assert picture(script).splitlines()[1] == "日本語" * 13 + " …"
    assert line.text(color=False) == "e\N{COMBINING ACUTE ACCENT}日本語"


@pytest.mark.parametrize(("width", "text"), [(8, "日本語"), (6, "日本語"), (5, "日本…"), (4, "日 …")])
def test_a_wide_character_is_not_cut_in_two(width: int, text: str) -> None:
    line = Line(width)
    line.put(0, "日本語")

    assert line.text(color=False) == text


@pytest.mark.parametrize(
    ("column", "text"), [(0, "x 本語"), (1, " x本語"), (2, "日x 語"), (3, "日 x語"), (5, "日本 x")]
)
def test_no_half_of_a_wide_character_is_left_alone(column: int, text: str) -> None:
    line = Line(6)
    line.put(0, "日本語")

    line.put(column, "x")

    assert line.text(color=False) == text
    assert columns_of(text) == 6


@pytest.mark.parametrize("width", [50, 51, 59, 60, 80, 131])
def test_no_picture_is_wider_than_asked_for(width: int) -> None:
    scripts = [
        script_of_a_won_race(),
        script_of_a_lost_race(ConnectTimeout("gave up", host="example.org", port=443)),
        script_with_tls(),
        script_of_many_attempts(),
        script_of_a_moment(),
        script_of_a_dead_heat(),
        script_without_an_address(),
    ]
    scripts += [unfinished(script, known) for script in list(scripts) for known in range(1, len(script.events))]

    for script in scripts:
        assert max(map(len, picture(script, width).splitlines())) <= width


def unfinished(script: RaceScript, known: int) -> RaceScript:
    """The same script up to here."""
    part = RaceScript()
    part.events = script.events[:known]
    return part


@pytest.mark.parametrize("width", [49, 0, -1])
def test_a_width_without_room_is_an_error(width: int) -> None:
    with pytest.raises(ValueError, match=f"width must be at least 50, not {width}"):
        render_text(timeline_of(script_of_a_won_race().events), width=width)


def test_colour_changes_nothing_but_the_colour() -> None:
    timeline = timeline_of(script_of_a_won_race().events)

    painted = render_text(timeline, color=True)

    assert "\x1b" not in render_text(timeline)
    assert re.sub("\x1b\\[[0-9;]*m", "", painted) == render_text(timeline)


def test_colour_repeats_what_became_of_each() -> None:
    painted = render_text(timeline_of(script_of_a_moment().events), color=True)

    bold, faint, red, green, winner, plain = (f"\x1b[{style}m" for style in ("1", "2", "31", "32", "1;32", "0"))
    lines = painted.splitlines()
    assert lines[0] == (f"{bold}localhost:8080{plain}  {winner}connected in 0.3 ms over IPv4 to 127.0.0.1{plain}")
    assert lines[1] == f"{faint}2 attempts, 1 refused · attempt delay 250 ms{plain}"
    assert lines[6] == (
        f"{faint}IPv6{plain}       ::1  {faint}•{plain}{red}▓▓▓▓▓▓▓▓▓▓✗{plain}{' ' * 31}{green}│{plain}"
        f" {red}✗ refused{plain}   {red}0.08 ms{plain}"
    )
    assert lines[8] == (
        f"{bold}IPv4{plain} {bold}127.0.0.1{plain}  {faint}•·············{plain}{green}{'█' * 29}│{plain}"
        f" {winner}✓ won{plain}        {winner}0.2 ms{plain}"
    )


def test_the_line_at_the_end_has_the_colour_of_the_end() -> None:
    """Green where the race was won, yellow where time ran out, faint where the caller had enough, else red."""
    lost = script_of_a_lost_race(ConnectTimeout("gave up", host="example.org", port=443))
    cancelled = script_of_a_lost_race(ConnectTimeout("gave up", host="example.org", port=443))
    del cancelled.events[-1]
    cancelled.loses(0.9)
    failed = script_of_a_lost_race(ConnectError("failed", host="example.org", port=443))

    feet = [
        render_text(timeline_of(script.events), color=True).splitlines()[-1].strip()
        for script in (script_of_a_won_race(), lost, cancelled, failed)
    ]

    assert feet == [
        "\x1b[32mconnected 704 ms ┘\x1b[0m",
        "\x1b[33mgave up 900 ms ┘\x1b[0m",
        "\x1b[2mcancelled 900 ms ┘\x1b[0m",
        "\x1b[31mfailed 900 ms ┘\x1b[0m",
    ]


def test_where_all_attempts_failed_by_themselves_there_is_no_line() -> None:
    script = RaceScript()
    script.starts("192.0.2.80", 0.0, Reason.FIRST)
    script.fails("192.0.2.80", 0.9, refused())
    script.loses(0.9, ConnectError("failed", host="example.org", port=443))

    assert "192.0.2.80" in render_text(timeline_of(script.events)).splitlines()[-1]


def test_a_bug_in_the_caller_s_code_is_why_a_race_has_failed() -> None:
    """It comes out as it is; "cancelled" would not be true."""
    script = script_of_a_lost_race(OSError("KeyError in the caller's code"))
    lines = render_text(timeline_of(script.events)).splitlines()

    assert lines[0] == "example.org:443  failed after 900 ms: KeyError in the caller's code"
    assert lines[-1].strip() == "failed 900 ms ┘"
    assert "failed after 900 ms: KeyError in the caller" in render_svg(timeline_of(script.events))
    assert '"reason": "KeyError in the caller\'s code"' in qlog([script.events])


def test_a_path_that_is_too_long_keeps_its_end() -> None:
    assert shortened("/run/user/1000/database.sock", 28) == "/run/user/1000/database.sock"
    assert shortened("/run/user/1000/database.sock", 14) == "…database.sock"
    assert shortened("/run/日本語/x", 7) == "…本語/x"


@pytest.mark.parametrize(
    ("address", "width", "text"),
    [
        ("2001:db8::1", 15, "2001:db8::1"),
        ("2001:db8:1234:5678:9abc:def0:1234:5678", 38, "2001:db8:1234:5678:9abc:def0:1234:5678"),
        ("2001:db8:1234:5678:9abc:def0:1234:5678", 37, "2001:…:1234:5678:9abc:def0:1234:5678"),
        ("2001:db8:1234:5678:9abc:def0:1234:5678", 15, "2001:…:5678"),
        ("fe80::1234:5678:9abc:def0%3", 20, "fe80:…:9abc:def0%3"),
    ],
)
def test_an_address_keeps_its_last_groups(address: str, width: int, text: str) -> None:
    assert shortened(address, width) == text


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (OSError(errno.ENETUNREACH, "Network is unreachable: [2001:db8::1]:443"), "Network is unreachable"),
        (certificate_error(), "certificate verify failed: self-signed certificate"),
        (ssl.SSLEOFError(8, "EOF occurred in violation of protocol"), "EOF occurred in violation of protocol"),
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure"), "Temporary failure"),
        (OSError("no number\x1b"), r"no number\x1b"),
        (OSError(), "OSError"),
    ],
)
def test_an_error_keeps_its_text(error: OSError, text: str) -> None:
    assert error_text(error) == text


def test_a_handshake_error_shows_its_reason() -> None:
    error = ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1028)")
    error.reason = "WRONG_VERSION_NUMBER"

    assert error_text(error) == "wrong version number"


def row_of(script: RaceScript, text: str) -> list[str]:
    """The lines of the row of an address, or of a lookup."""
    lines = picture(script).splitlines()
    index = next(index for index, line in enumerate(lines) if text in line)
    return [line.split("│")[0].rstrip() for line in [*lines[index:], ""]]


def test_a_tcp_phase_of_no_width_is_seen() -> None:
    script = RaceScript()
    script.answers(Source.GIVEN, 0.0, "192.0.2.1")
    script.starts("192.0.2.1", 0.0, Reason.FIRST)
    script.connects("192.0.2.1", 0.0002)
    script.establishes("192.0.2.1", 2.0)
    script.wins("192.0.2.1", 2.0)

    assert "192.0.2.1 ┃███" in picture(script)
    assert picture(script).endswith("┃ TCP connected, then TLS or the like\n")


def test_a_last_phase_of_no_width_is_seen() -> None:
    script = RaceScript()
    script.answers(Source.GIVEN, 0.0, "192.0.2.1")
    script.starts("192.0.2.1", 1.9999, Reason.FIRST)
    script.connects("192.0.2.1", 1.99995)
    script.fails("192.0.2.1", 2.0, certificate_error())

    assert "┃✗" in picture(script)


@pytest.mark.parametrize(
    ("connected", "words"),
    [(None, ""), (0.2502, "╰ TCP connected after 0.2 ms, then no TLS answer for 2000 ms")],
)
def test_a_time_out_says_in_which_phase(connected: float | None, words: str) -> None:
    """A host that drops packets and one that accepts and then says nothing are different faults."""
    script = RaceScript()
    script.answers(Source.GIVEN, 0.0, "192.0.2.1")
    script.starts("192.0.2.1", 0.25, Reason.FIRST)
    if connected is not None:
        script.connects("192.0.2.1", connected, Phase.TLS)
    script.fails("192.0.2.1", 2.2502, TimeoutError(errno.ETIMEDOUT, "Connection timed out"))
    script.loses(2.2502, ConnectTimeout("failed", host="example.org", port=443))

    _, below, *_ = row_of(script, "192.0.2.1")
    assert below.strip() == words


def test_a_failure_after_tcp_says_so() -> None:
    script = RaceScript()
    script.answers(Source.GIVEN, 0.0, "192.0.2.1")
    script.starts("192.0.2.1", 0.0, Reason.FIRST)
    script.connects("192.0.2.1", 0.05)
    script.fails("192.0.2.1", 0.05, ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"))

    assert "╰ TCP connected after 50 ms, then Connection reset by peer" in picture(script)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "no such name · 20 ms"),
        (socket.gaierror(socket.EAI_NODATA, "No address associated with hostname"), "no records · 20 ms"),
        (None, "no records · 20 ms"),
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure"), "Temporary failure · 20 ms"),
    ],
)
def test_no_such_name_is_not_no_records(error: OSError | None, words: str) -> None:
    script = RaceScript()
    script.queries(Source.AAAA)
    script.answers(Source.AAAA, 0.02, error=error)

    assert words in picture(script)


def test_a_lookup_that_was_not_needed_is_no_failure() -> None:
    script = RaceScript()
    script.queries(Source.A)
    script.answers(Source.GIVEN, 0.0, "192.0.2.1")
    script.starts("192.0.2.1", 0.0, Reason.FIRST)
    assert "no answer yet" in picture(script)
    script.establishes("192.0.2.1", 0.1)
    script.wins("192.0.2.1", 0.1)

    assert "not needed any more" in picture(script)
    assert "no answer" not in picture(script)
    assert RED not in render_text(timeline_of(script.events), color=True)


RED = "\x1b[31m"


def test_outcomes_differ_without_colour() -> None:
    out_of_time = script_of_a_lost_race(ConnectTimeout("gave up", host="example.org", port=443))
    scripts = (script_of_a_won_race(), out_of_time, script_of_a_dead_heat())
    bars = {}
    for outcome in ("won", "refused", "timed out", "cancelled", "runner-up"):
        lines = [line for script in scripts for line in picture(script).splitlines() if line.startswith("IPv")]
        row = next(line for line in lines if outcome in line)
        bars[outcome] = row.split("│")[0].rstrip()[-1]
    assert len(set(bars.values())) == 5


def test_what_failed_is_listed_line_by_line() -> None:
    """For standard error: each attempt with its phase, then each lookup; what was only cancelled is no failure."""
    script = RaceScript()
    script.queries(Source.A)
    script.answers(Source.A, 0.02, error=socket.gaierror(socket.EAI_AGAIN, "Temporary failure"))
    addresses = [f"192.0.2.{number}" for number in range(1, 22)]
    script.answers(Source.GIVEN, 0.0, *addresses)
    for number, text in enumerate(addresses):
        script.starts(text, 0.1, Reason.DELAY_OVER if number else Reason.FIRST)
    script.connects(addresses[0], 0.102)
    script.fails(addresses[0], 2.102, TimeoutError(errno.ETIMEDOUT, "Connection timed out"))
    script.fails(addresses[1], 2.102, TimeoutError(errno.ETIMEDOUT, "Connection timed out"))
    script.fails(addresses[2], 0.115, OSError(errno.EHOSTUNREACH, "No route to host"))
    for text in addresses[3:-1]:
        script.fails(text, 0.162, refused())
    script.cancels(addresses[-1], 2.2)
    script.loses(2.2, ConnectError("failed", host="example.org", port=443))

    lines = failure_lines(timeline_of(script.events))

    assert lines[:4] == [
        "192.0.2.1:443: TCP connected after 2.0 ms, then no answer for 2000 ms",
        "192.0.2.2:443: no answer for 2002 ms",
        "192.0.2.3:443: No route to host after 15 ms",
        "192.0.2.4:443: refused after 62 ms",
    ]
    assert "5 more attempts, 5 refused" in lines
    assert "192.0.2.21" not in "".join(lines)
    assert lines[-1] == "DNS A: Temporary failure · 20 ms"


@pytest.mark.parametrize(
    ("connected", "words"),
    [
        (5.5, "╰ TCP connected after 500 ms, then no TLS answer for 1500 ms\n"),
        (None, "╰ TCP connected, then no TLS answer"),
    ],
)
def test_an_error_alone_knows_the_phases(connected: float | None, words: str) -> None:
    attempt = Attempt(
        number=1,
        address=address("192.0.2.1"),
        phase=Phase.TLS,
        started=5.0,
        ended=7.0,
        error=None,
        connected=connected,
    )
    error = ConnectTimeout("gave up", host="example.org", port=443, attempts=[attempt])

    assert words in render_text(timeline_of_error(error))


def test_an_error_without_an_attempt_counts_from_none() -> None:
    """And that there is no such name is in its number, where no look-up is known."""
    lost = no_address("ghost.example", 443, [socket.gaierror(socket.EAI_NONAME, "Name or service not known")])

    assert render_text(timeline_of_error(lost)).splitlines()[:2] == [
        "ghost.example:443  failed: no such name",
        "no attempts",
    ]


@pytest.mark.parametrize(
    ("tunnel", "phase", "version", "words"),
    [
        ("", Phase.TLS, "", "TLS"),
        ("", Phase.ESTABLISH, "TLSv1.3", "TLS"),
        ("", Phase.ESTABLISH, "", "TLS or the like"),
        ("target.example:443", Phase.ESTABLISH, "TLSv1.3", "the tunnel"),
    ],
)
def test_what_follows_tcp_is_named_where_it_is_known(tunnel: str, phase: Phase, version: str, words: str) -> None:
    script = RaceScript()
    start = script.events[0]
    assert isinstance(start, trace.RaceStarted)
    script.events[0] = replace(start, proxy_for=tunnel)
    script.starts("192.0.2.1", 0.0, Reason.FIRST)
    script.connects("192.0.2.1", 0.1, phase)
    script.establishes("192.0.2.1", 0.2)
    script.wins("192.0.2.1", 0.2)
    won = script.events[-1]
    assert isinstance(won, trace.RaceWon)
    script.events[-1] = replace(won, connection=trace.Connection(tls_version=version))

    assert f"┃ TCP connected, then {words}\n" in picture(script)
    assert f"TCP connected at the mark, then {words}<" in render_svg(timeline_of(script.events))


def test_what_the_kernel_sent_again_is_seen_on_a_break_of_the_axis() -> None:
    """The footer says how often: as many marks are there, also where the axis is torn."""
    net = SimulatedNetwork()
    net.answers("example.org", a=["192.0.2.1", "192.0.2.2"], after=0.02)
    net.host("192.0.2.2").accepts(after=30)

    race = simulate(net, "example.org", 443)

    for width in (80, 120, 200):
        row = next(line for line in race.text(width=width).splitlines() if "192.0.2.2 " in line and "won" in line)
        assert row.count("┆") == 4
    assert "SYN sent 5 times" in str(race)
    svg = race.svg()
    assert svg.rindex('class="line soft-line"/>') < svg.index('class="ink dot"/>')


def test_of_the_names_that_are_looked_up_the_beginning_is_seen() -> None:
    """Those of several hosts often end alike."""
    net = SimulatedNetwork()
    for number in (1, 2):
        net.answers(f"db{number}.a-long-name-of-a-cluster.example.org", a=[f"192.0.2.{number}"], after=0.02)
    net.host("192.0.2.1").accepts(after=0.03)

    async def main() -> None:
        hosts = [f"db{number}.a-long-name-of-a-cluster.example.org" for number in (1, 2)]
        await trio.aclose_forcefully(await Connector(network=net).open_tcp_stream(hosts, 5432))

    with record() as recording:
        trio.run(main, clock=MockClock(autojump_threshold=0))

    assert "system db1.a" in recording[0].text(width=60)
    assert "system db2.a" in recording[0].text(width=60)


def test_a_wide_name_is_shortened_by_its_columns() -> None:
    assert shortened("日本語日本語日本語.example 192.0.2.1", 20) == "日本語日 … 192.0.2.1"
    assert columns_of(shortened("日本語日本語日本語.example 192.0.2.1", 20)) <= 20
