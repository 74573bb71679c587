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

from . import trace
from ._address import IPV6, Address, format_host_port
from ._errors import ConnectError, ConnectionRefused, ConnectTimeout, ResolutionError, tls_reason
from ._question import Source
from ._timeline import AttemptRow, Fate, LookUpRow, Outcome, Timeline


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


def target_text(timeline: Timeline) -> str:
    """Say where to: `example.org:443`."""
    return printable(format_host_port(timeline.host, timeline.port))


def answer_text(timeline: Timeline, address: str) -> str:
    """Say how the race ended, for the headline; `address` is the winner's, as it is to be shown."""
    after = seconds_text(timeline.duration)
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
    return ": refused" if isinstance(error, ConnectionRefused) else ""


def counts_text(timeline: Timeline) -> str:
    """Count the attempts and their fates: `4 attempts, 2 cancelled, 1 refused`."""
    count = len(timeline.attempts)
    parts = [_counted(count, "attempt") if count else "no attempts"]
    parts += [f"{number} {fate.value}" for fate, number in timeline.fates.items() if fate is not Fate.WON]
    return ", ".join(parts)


def pace_text(timeline: Timeline) -> str:
    """Say how long an attempt had until the next one began: `attempt delay 250 ms`."""
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
    return f"{text} {look_up.name}" if look_up.name else text


def look_up_text(look_up: LookUpRow) -> str:
    """Say what a query brought: `2 addresses · 24 ms`."""
    if look_up.ended is None:
        return "no answer"
    if look_up.error is not None and look_up.error.errno not in _NO_ADDRESSES:
        found = error_text(look_up.error)
    else:
        found = _found(look_up)
    return f"{found} · {seconds_text(look_up.ended - look_up.started)}"


def _found(look_up: LookUpRow) -> str:
    """Count what an answer holds; a service with Encrypted Client Hello, which Python cannot use yet, says so."""
    if look_up.source is Source.HTTPS:
        ech = ", ECH" if any(service.ech for service in look_up.services) else ""
        return _counted(len(look_up.services), "service") + ech if look_up.services else "no services"
    return _counted(len(look_up.addresses), "address") if look_up.addresses else "no addresses"


_NO_ADDRESSES = frozenset({socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)})
"""What resolvers say of a name, or a family, that has none (RFC 3493, section 6.1)."""


def error_text(error: OSError) -> str:
    """Say what went wrong, without the numbers of libraries and the address that stands beside it.

    Example:
        >>> error_text(OSError(113, "No route to host: [2001:db8::1]:443"))
        'No route to host'
    """
    if isinstance(error, ssl.SSLError):
        return printable(tls_reason(error))
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return printable(error.strerror or str(error) or type(error).__name__)


def printable(text: str) -> str:
    """Show control characters as question marks."""
    return "".join(character if character.isprintable() else "?" for character in text)


def _counted(count: int, noun: str) -> str:
    ending = "" if count == 1 else "es" if noun.endswith("s") else "s"
    return f"{count} {noun}{ending}"
