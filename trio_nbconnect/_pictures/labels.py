"""Labels: the words in every picture of a race.

Pure functions from a timeline, or a part of one, to a few words, so that text, SVG and notebooks use the same ones.
Host names and the texts of servers may contain control characters, which a terminal would interpret: everything that
comes from outside goes through `printable`.
"""

from __future__ import annotations

import math
import socket
import ssl
from collections import Counter
from collections.abc import Sequence

from .. import trace
from .._address import IPV6, Address, format_host_port
from .._error_texts import errno_text
from .._errors import ConnectRefused, ConnectTimeout, ResolutionError, tls_reason
from .._printable import printable, seconds_text
from .._resolve.query import Source
from .timeline import AttemptOutcome, AttemptRow, Elided, LookupRow, RaceOutcome, Timeline, visible_attempts


def family_text(address: Address) -> str:
    """Name the family of an address: `IPv6`, `IPv4` or `UNIX`."""
    if address.is_path:
        return "UNIX"
    return "IPv6" if address.family == IPV6 else "IPv4"


def host_text(timeline: Timeline) -> str:
    """Name the host, or the path of a UNIX socket."""
    return printable(timeline.host)


def target_text(timeline: Timeline) -> str:
    """Name what was connected to: `example.org:443`; a UNIX socket has no port."""
    if not timeline.port and timeline.attempts and all(attempt.address.is_path for attempt in timeline.attempts):
        return host_text(timeline)
    return printable(format_host_port(timeline.host, timeline.port))


def address_text(address: Address, timeline: Timeline) -> str:
    """Format an address, with its port if that is not the one that was asked for (RFC 9460, section 7.2)."""
    return printable(address.ip if address.is_path or address.port == timeline.port else str(address))


def answer_text(timeline: Timeline, address: str) -> str:
    """Say how the race ended, for the headline; `address` is the winner's, as it is shown."""
    after = seconds_text(timeline.duration)
    if timeline.policy is None:
        return f"failed{_why_lost(timeline)}"
    if timeline.outcome is RaceOutcome.WON and timeline.winner is not None:
        return f"connected in {after} over {family_text(timeline.winner.address)} to {address}"
    if timeline.outcome is RaceOutcome.LOST:
        return f"failed after {after}{_why_lost(timeline)}"
    return f"cancelled after {after}" if timeline.outcome is RaceOutcome.CANCELLED else f"under way for {after}"


def _why_lost(timeline: Timeline) -> str:
    """A word or two for the reason, where they are enough."""
    if isinstance(timeline.error, ConnectTimeout):
        return ": timed out"
    if isinstance(timeline.error, ResolutionError):
        if any(lookup_failed(lookup) for lookup in timeline.lookups):
            return ": name resolution failed"
        return ": no such name" if any(map(has_no_name, timeline.lookups)) else ": no addresses"
    return ": refused" if isinstance(timeline.error, ConnectRefused) else ""


def outcome_text(timeline: Timeline) -> str:
    """Describe the whole race in a sentence, for those who cannot see its picture."""
    address = address_text(timeline.winner.address, timeline) if timeline.winner else ""
    return f"{target_text(timeline)} {answer_text(timeline, address)}: {counts_text(timeline)}"


def end_text(timeline: Timeline) -> str:
    """Label the line at which a race ended; empty if there is none, as each attempt ended by itself."""
    if timeline.outcome is RaceOutcome.WON:
        return f"connected {seconds_text(timeline.duration)}"
    if timeline.gave_up:
        return "gave up" if timeline.policy is None else f"gave up {seconds_text(timeline.duration)}"
    return f"cancelled {seconds_text(timeline.duration)}" if timeline.outcome is RaceOutcome.CANCELLED else ""


def lost_text(timeline: Timeline) -> list[str]:
    """List the errors of a lost race that has no rows to show them: the first few, each once."""
    if timeline.attempts or timeline.lookups or timeline.error is None:
        return []
    failures = getattr(timeline.error.__cause__, "exceptions", ())
    texts = [error_text(failure) for failure in failures if isinstance(failure, OSError)]
    return list(dict.fromkeys(texts))[:3]


def elided_text(elided: Sequence[AttemptRow]) -> str:
    """Count attempts that are not shown: `11 more attempts, 11 refused`."""
    outcomes = Counter(attempt.outcome.value for attempt in elided).most_common()
    more = "1 more attempt" if len(elided) == 1 else f"{len(elided)} more attempts"
    return f"{more}, {', '.join(f'{number} {outcome}' for outcome, number in outcomes)}"


def counts_text(timeline: Timeline) -> str:
    """Count the attempts by how they ended: `4 attempts, 2 cancelled, 1 refused`."""
    count = len(timeline.attempts)
    parts = [_counted(count, "attempt") if count else "no attempts"]
    others = {outcome: number for outcome, number in timeline.outcomes.items() if outcome is not AttemptOutcome.WON}
    parts += [f"{number} {outcome.value}" for outcome, number in others.items()]
    return ", ".join(parts)


def pace_text(timeline: Timeline) -> str:
    """Say after how long the next attempt begins: `attempt delay 250 ms`."""
    if timeline.policy is None:
        return "time counts from the first attempt"
    delay = timeline.policy.attempt_delay
    pace = "one attempt at a time" if delay == math.inf else f"attempt delay {seconds_text(delay)}"
    if timeline.attempts and timeline.attempts[0].reason is trace.Reason.RESOLUTION_DELAY_OVER:
        pace += f" · first after the resolution delay {seconds_text(timeline.policy.resolution_delay)}"
    return pace


def reason_text(attempt: AttemptRow, before: AttemptRow) -> str:
    """Say why an attempt began: `+250 ms` after the one before it, or at its `failure`."""
    if attempt.reason is trace.Reason.PREDECESSOR_FAILED:
        return "failure"
    return f"+{seconds_text(attempt.started - before.started)}"


def failure_text(attempt: AttemptRow) -> str:
    """Say what an attempt failed with and in which phase, where its outcome alone does not; else empty.

    A silent host and one that accepts and then says nothing are different faults, so they have different words:
    `TCP connected after 0.2 ms, then no answer for 2000 ms`.
    """
    if attempt.outcome not in _FAILURES:
        return ""
    if not attempt.has_second_phase:
        failed = attempt.outcome is AttemptOutcome.FAILED
        return error_text(attempt.error) if failed and attempt.error is not None else ""
    connected, silence = "TCP connected", "no answer"
    if attempt.connected is not None:
        connected += f" after {seconds_text(attempt.connected - attempt.started)}"
        silence += f" for {seconds_text(attempt.ended - attempt.connected)}"
    if attempt.outcome is AttemptOutcome.TIMED_OUT or attempt.error is None:
        return f"{connected}, then {silence}"
    return f"{connected}, then {error_text(attempt.error)}"


def failure_lines(timeline: Timeline) -> list[str]:
    """List what failed in a lost race, one line for each attempt and lookup: `192.0.2.1:443: refused after 62 ms`."""
    lines = []
    for row in visible_attempts(timeline):
        if isinstance(row, Elided):
            lines.append(elided_text(row.attempts))
            continue
        attempt, _ = row
        if attempt.outcome in _FAILURES:
            words = failure_text(attempt)
            if not attempt.has_second_phase:
                words = {AttemptOutcome.TIMED_OUT: "no answer"}.get(attempt.outcome, words or attempt.outcome.value)
                joint = "for" if attempt.outcome is AttemptOutcome.TIMED_OUT else "after"
                words = f"{words} {joint} {seconds_text(attempt.duration)}"
            lines.append(f"{printable(str(attempt.address))}: {words}")
    lines += [
        f"{source_text(lookup)}: {lookup_text(lookup, timeline)}"
        for lookup in timeline.lookups
        if lookup.ended is None or lookup_failed(lookup)
    ]
    return lines


_FAILURES = frozenset({AttemptOutcome.REFUSED, AttemptOutcome.FAILED, AttemptOutcome.TIMED_OUT})


def source_text(lookup: LookupRow) -> str:
    """Name a source of addresses: `DNS AAAA`, with the name if that is not the host's; `system`, `hook`.

    Example:
        >>> source_text(LookupRow(source=Source.A, name="cdn.example", started=0.0, ended=None))
        'DNS A cdn.example'
    """
    text = lookup.source.value if lookup.source in _NO_DNS else f"DNS {lookup.source.value}"
    return printable(f"{text} {lookup.name}" if lookup.name else text)


_NO_DNS = frozenset({Source.SYSTEM, Source.HOOK})
"""Sources that answer for both families, wherever they have it from."""


def lookup_text(lookup: LookupRow, timeline: Timeline) -> str:
    """Say what a query brought: `2 addresses · 24 ms`."""
    if lookup.ended is None:
        return _PENDING[timeline.outcome]
    error = lookup.error
    result = error_text(error) if error is not None and lookup_failed(lookup) else _content(lookup)
    return f"{result} · {seconds_text(lookup.ended - lookup.started)}"


_PENDING = {
    RaceOutcome.WON: "not needed any more",
    RaceOutcome.LOST: "no answer",
    RaceOutcome.CANCELLED: "cancelled",
    RaceOutcome.UNDER_WAY: "no answer yet",
}
"""What is said of a query without an answer: of a race that was won without it, that is no failure."""


def lookup_failed(lookup: LookupRow) -> bool:
    """Whether there is an error other than that the name has no addresses."""
    return lookup.error is not None and lookup.error.errno not in (*_NO_NAME, _NO_DATA)


def _content(lookup: LookupRow) -> str:
    """Count what an answer contains; a service with Encrypted Client Hello, which Python cannot use yet, says so."""
    if lookup.services:
        ech = ", ECH" if any(service.ech for service in lookup.services) else ""
        return _counted(len(lookup.services), "service") + ech
    if lookup.addresses:
        return _counted(len(lookup.addresses), "address")
    if has_no_name(lookup):
        return "no such name"
    return "no addresses" if lookup.source in _NO_DNS else "no records"


def has_no_name(lookup: LookupRow) -> bool:
    """Whether the name does not exist (NXDOMAIN); a name that exists may still have no records of a type."""
    return lookup.error is not None and lookup.error.errno in _NO_NAME


_NO_DATA = getattr(socket, "EAI_NODATA", None)
_NO_NAME = frozenset({socket.EAI_NONAME}) - {_NO_DATA}
"""RFC 3493, section 6.1; glibc still has the EAI_NODATA that the RFC has removed."""

_MORE_THAN_ANY_ERRNO = 2**15
"""Numbers from here on are not for `os.strerror`."""


def error_text(error: OSError) -> str:
    """Say what went wrong, without error numbers and without the address, which is in the same row.

    Example:
        >>> error_text(OSError(113, "No route to host: [2001:db8::1]:443"))
        'No route to host'
    """
    if isinstance(error, ssl.SSLError):
        return printable(tls_reason(error))
    if isinstance(error.errno, int) and 0 < error.errno < _MORE_THAN_ANY_ERRNO:
        return printable(errno_text(error.errno))
    return printable(str(error.strerror or error) or type(error).__name__)


def _counted(count: int, noun: str) -> str:
    ending = "" if count == 1 else "es" if noun.endswith("s") else "s"
    return f"{count} {noun}{ending}"
