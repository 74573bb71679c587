"""Labels: the words in every picture of a race.

Pure functions from a timeline, or a part of one, to a few words, so that text, SVG and notebooks use the same ones.
Host names and the texts of servers may contain control characters, which a terminal would interpret: everything that
comes from outside goes through `printable`.
"""

from __future__ import annotations

import math
import os
import socket
import ssl
from collections import Counter
from collections.abc import Sequence

from .. import trace
from .._address import IPV6, Address, format_host_port
from .._errors import ConnectError, ConnectRefused, ConnectTimeout, ResolutionError, tls_reason
from .._resolve.query import Source
from .timeline import AttemptOutcome, AttemptRow, LookupRow, RaceOutcome, Timeline


def seconds_text(seconds: float) -> str:
    """Write a duration: `0.3 ms`, `704 ms`, `12.5 s`.

    Example:
        >>> [seconds_text(seconds) for seconds in (0.00031, 0.0099, 0.00996, 0.7041, 12.5, 7200)]
        ['0.3 ms', '9.9 ms', '10 ms', '704 ms', '12.5 s', '7200 s']
    """
    milliseconds = seconds * 1000
    if round(milliseconds, 1) < 10:
        return f"{milliseconds:.1f} ms"
    if round(milliseconds) < 10_000:
        return f"{milliseconds:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 1000 else f"{seconds:.0f} s"


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
        return f"failed{_why_lost(timeline.error)}"
    if timeline.outcome is RaceOutcome.WON and timeline.winner is not None:
        return f"connected in {after} over {family_text(timeline.winner.address)} to {address}"
    if timeline.outcome is RaceOutcome.LOST:
        return f"failed after {after}{_why_lost(timeline.error)}"
    return f"cancelled after {after}" if timeline.outcome is RaceOutcome.CANCELLED else f"under way for {after}"


def _why_lost(error: ConnectError | None) -> str:
    """One word for the reason, where one is enough."""
    if isinstance(error, ConnectTimeout):
        return ": timed out"
    if isinstance(error, ResolutionError):
        return ": no address"
    return ": refused" if isinstance(error, ConnectRefused) else ""


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
    return "one attempt at a time" if delay == math.inf else f"attempt delay {seconds_text(delay)}"


def reason_text(attempt: AttemptRow, before: AttemptRow) -> str:
    """Say why an attempt began: `+250 ms` after the one before it, or at its `failure`."""
    if attempt.reason is trace.Reason.PREDECESSOR_FAILED:
        return "failure"
    return f"+{seconds_text(attempt.started - before.started)}"


def source_text(lookup: LookupRow) -> str:
    """Name a source of addresses: `DNS AAAA`, with the name if that is not the host's; `hook` for a custom resolver.

    Example:
        >>> source_text(LookupRow(source=Source.A, name="cdn.example", started=0.0, ended=None))
        'DNS A cdn.example'
    """
    text = lookup.source.value if lookup.source is Source.HOOK else f"DNS {lookup.source.value}"
    return printable(f"{text} {lookup.name}" if lookup.name else text)


def lookup_text(lookup: LookupRow) -> str:
    """Say what a query brought: `2 addresses · 24 ms`."""
    if lookup.ended is None:
        return "no answer"
    error = lookup.error
    result = error_text(error) if error is not None and lookup_failed(lookup) else _content(lookup)
    return f"{result} · {seconds_text(lookup.ended - lookup.started)}"


def lookup_failed(lookup: LookupRow) -> bool:
    """Whether there is an error other than that the name has no addresses."""
    return lookup.error is not None and lookup.error.errno not in _NO_ADDRESSES


def _content(lookup: LookupRow) -> str:
    """Count what an answer contains; a service with Encrypted Client Hello, which Python cannot use yet, says so."""
    if lookup.source is Source.HTTPS:
        ech = ", ECH" if any(service.ech for service in lookup.services) else ""
        return _counted(len(lookup.services), "service") + ech if lookup.services else "no services"
    return _counted(len(lookup.addresses), "address") if lookup.addresses else "no addresses"


_NO_ADDRESSES = frozenset({socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)})
"""The errors of a name, or a family, that has no addresses (RFC 3493, section 6.1)."""

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
        return printable(os.strerror(error.errno))
    return printable(str(error.strerror or error) or type(error).__name__)


def printable(text: str) -> str:
    """Replace control characters by question marks."""
    return "".join(character if character.isprintable() else "?" for character in text)


def _counted(count: int, noun: str) -> str:
    ending = "" if count == 1 else "es" if noun.endswith("s") else "s"
    return f"{count} {noun}{ending}"
