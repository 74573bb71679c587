"""Wording: what every picture of a race says, in the same words.

What lives here: pure functions from a timeline, or a part of one, to a few words. What does not: where they stand,
and in which colour; that is for the renderers. Everything that comes from outside is made printable, since a name can
hold what a terminal would obey.
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
from .timeline import AttemptRow, Fate, LookUpRow, Outcome, Timeline


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
    """Say where to: `example.org:443`; a UNIX socket has no port."""
    if not timeline.port and timeline.attempts and all(attempt.address.is_path for attempt in timeline.attempts):
        return host_text(timeline)
    return printable(format_host_port(timeline.host, timeline.port))


def address_text(address: Address, timeline: Timeline) -> str:
    """Write an address; with its port if that is not the one which was asked for (RFC 9460, section 7.2)."""
    return printable(address.ip if address.is_path or address.port == timeline.port else str(address))


def answer_text(timeline: Timeline, address: str) -> str:
    """Say how the race ended, for the headline; `address` is the winner's, as it is to be shown."""
    after = seconds_text(timeline.duration)
    if timeline.policy is None:
        return f"failed{_why_lost(timeline.error)}"
    if timeline.outcome is Outcome.WON and timeline.winner is not None:
        return f"connected in {after} over {family_text(timeline.winner.address)} to {address}"
    if timeline.outcome is Outcome.LOST:
        return f"failed after {after}{_why_lost(timeline.error)}"
    return f"cancelled after {after}" if timeline.outcome is Outcome.CANCELLED else f"under way for {after}"


def _why_lost(error: ConnectError | None) -> str:
    """One word, where one tells the whole story."""
    if isinstance(error, ConnectTimeout):
        return ": timed out"
    if isinstance(error, ResolutionError):
        return ": no address"
    return ": refused" if isinstance(error, ConnectRefused) else ""


def outcome_text(timeline: Timeline) -> str:
    """Tell the whole race in a sentence, for those who cannot see its picture."""
    address = address_text(timeline.winner.address, timeline) if timeline.winner else ""
    return f"{target_text(timeline)} {answer_text(timeline, address)}: {counts_text(timeline)}"


def end_text(timeline: Timeline) -> str:
    """Name the line at which a race ended; empty if there is none, as each attempt ended by itself."""
    if timeline.outcome is Outcome.WON:
        return f"connected {seconds_text(timeline.duration)}"
    if timeline.gave_up:
        return "gave up" if timeline.policy is None else f"gave up {seconds_text(timeline.duration)}"
    return f"cancelled {seconds_text(timeline.duration)}" if timeline.outcome is Outcome.CANCELLED else ""


def lost_text(timeline: Timeline) -> list[str]:
    """Say what a lost race met, where it has no rows that could: the first few things, each once."""
    if timeline.attempts or timeline.look_ups or timeline.error is None:
        return []
    failures = getattr(timeline.error.__cause__, "exceptions", ())
    texts = [error_text(failure) for failure in failures if isinstance(failure, OSError)]
    return list(dict.fromkeys(texts))[:3]


def hidden_text(hidden: Sequence[AttemptRow]) -> str:
    """Count attempts that are not shown: `11 more attempts, 11 refused`."""
    fates = Counter(attempt.fate.value for attempt in hidden).most_common()
    more = "1 more attempt" if len(hidden) == 1 else f"{len(hidden)} more attempts"
    return f"{more}, {', '.join(f'{number} {fate}' for fate, number in fates)}"


def counts_text(timeline: Timeline) -> str:
    """Count the attempts and their fates: `4 attempts, 2 cancelled, 1 refused`."""
    count = len(timeline.attempts)
    parts = [_counted(count, "attempt") if count else "no attempts"]
    parts += [f"{number} {fate.value}" for fate, number in timeline.fates.items() if fate is not Fate.WON]
    return ", ".join(parts)


def pace_text(timeline: Timeline) -> str:
    """Say how long an attempt had until the next one began: `attempt delay 250 ms`."""
    if timeline.policy is None:
        return "time counts from the first attempt"
    delay = timeline.policy.attempt_delay
    return "one attempt at a time" if delay == math.inf else f"attempt delay {seconds_text(delay)}"


def reason_text(attempt: AttemptRow, before: AttemptRow) -> str:
    """Say why an attempt began when it did: `+250 ms` after the one before, or at the `failure` of that."""
    if attempt.reason is trace.Reason.PREDECESSOR_FAILED:
        return "failure"
    return f"+{seconds_text(attempt.started - before.started)}"


def source_text(look_up: LookUpRow) -> str:
    """Name a source of addresses: `DNS AAAA`, and whose if not the host's; `hook` for a resolver of the program's own.

    Example:
        >>> source_text(LookUpRow(source=Source.A, name="cdn.example", started=0.0, ended=None))
        'DNS A cdn.example'
    """
    text = look_up.source.value if look_up.source is Source.HOOK else f"DNS {look_up.source.value}"
    return printable(f"{text} {look_up.name}" if look_up.name else text)


def look_up_text(look_up: LookUpRow) -> str:
    """Say what a query brought: `2 addresses · 24 ms`."""
    if look_up.ended is None:
        return "no answer"
    error = look_up.error
    found = error_text(error) if error is not None and look_up_failed(look_up) else _found(look_up)
    return f"{found} · {seconds_text(look_up.ended - look_up.started)}"


def look_up_failed(look_up: LookUpRow) -> bool:
    """Whether there is an error, and not just nothing to be found."""
    return look_up.error is not None and look_up.error.errno not in _NO_ADDRESSES


def _found(look_up: LookUpRow) -> str:
    """Count what an answer holds; a service with Encrypted Client Hello, which Python cannot use yet, says so."""
    if look_up.source is Source.HTTPS:
        ech = ", ECH" if any(service.ech for service in look_up.services) else ""
        return _counted(len(look_up.services), "service") + ech if look_up.services else "no services"
    return _counted(len(look_up.addresses), "address") if look_up.addresses else "no addresses"


_NO_ADDRESSES = frozenset({socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)})
"""What resolvers say of a name, or a family, that has none (RFC 3493, section 6.1)."""


_MORE_THAN_ANY_ERRNO = 2**15
"""What is beyond is nothing that `os.strerror` would know."""


def error_text(error: OSError) -> str:
    """Say what went wrong, without the numbers of libraries and the address that stands beside it.

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
    """Show control characters as question marks."""
    return "".join(character if character.isprintable() else "?" for character in text)


def _counted(count: int, noun: str) -> str:
    ending = "" if count == 1 else "es" if noun.endswith("s") else "s"
    return f"{count} {noun}{ending}"
