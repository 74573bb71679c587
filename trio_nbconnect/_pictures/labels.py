"""Labels: the words in every picture of a race.

Pure functions from a timeline, or a part of one, to a few words, so that text, SVG and notebooks use the same ones.
Host names and the texts of servers may contain control characters, which a terminal would interpret: everything that
comes from outside goes through `printable`.
"""

from __future__ import annotations

import math
import socket
import ssl
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from .. import trace
from .._address import IPV6, UNSPECIFIED, Address, GroupedAddress, shown_address, shown_target
from .._error_texts import is_plain_text, strerror
from .._errors import (
    ConnectError,
    ConnectRefused,
    ConnectTimeout,
    Phase,
    ResolutionError,
    failures_of,
    silence_text,
    tls_reason,
)
from .._policy import Policy
from .._printable import printable, seconds_text
from .._resolve.query import Source
from .timeline import AttemptOutcome, AttemptRow, Elided, LookupRow, RaceOutcome, Timeline, visible_attempts


def family_text(address: Address) -> str:
    """Name the family of an address: `IPv6`, `IPv4` or `UNIX`; what has none may have a group."""
    if address.is_path:
        return "UNIX"
    if address.family == UNSPECIFIED:
        return printable(address.group) if isinstance(address, GroupedAddress) else ""
    return "IPv6" if address.family == IPV6 else "IPv4"


def host_text(timeline: Timeline) -> str:
    """Name the host, or the path of a UNIX socket."""
    return printable(timeline.host)


def target_text(timeline: Timeline) -> str:
    """Name what was connected to: `example.org:443`; a UNIX socket, say, has no port."""
    return printable(shown_target(timeline.host, timeline.port))


def address_text(address: Address, timeline: Timeline) -> str:
    """Format an address, with its port if that is not the one that was asked for (RFC 9460, section 7.2)."""
    return printable(shown_address(address, timeline.port))


def answer_text(timeline: Timeline, address: str) -> str:
    """Say how the race ended, for the headline; `address` is the winner's, as it is shown."""
    after = seconds_text(timeline.duration)
    if timeline.summary:
        return timeline.summary
    if timeline.policy is None:
        return f"failed{_why_lost(timeline)}"
    if timeline.outcome is RaceOutcome.WON and timeline.winner is not None:
        family = family_text(timeline.winner.address)
        return f"connected in {after}{f' over {family}' if family else ''} to {address}"
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
        unknown = any(map(has_no_name, timeline.lookups)) or timeline.error.errno in _NO_NAME
        return ": no such name" if unknown else ": no addresses"
    if isinstance(timeline.error, ConnectRefused):
        return ": refused"
    if timeline.error is None or isinstance(timeline.error, ConnectError):
        return ""
    return f": {error_text(timeline.error)}"  # a bug in the caller's code


def outcome_text(timeline: Timeline) -> str:
    """Describe the whole race in a sentence, for those who cannot see its picture."""
    address = address_text(timeline.winner.address, timeline) if timeline.winner else ""
    return f"{target_text(timeline)} {answer_text(timeline, address)}: {counts_text(timeline)}"


def end_text(timeline: Timeline) -> str:
    """Label the line at which a race ended; empty if there is none, as each attempt ended by itself."""
    if timeline.summary:
        return ""
    if timeline.outcome is RaceOutcome.WON:
        return f"connected {seconds_text(timeline.duration)}"
    if timeline.gave_up:
        return "gave up" if timeline.policy is None else f"gave up {seconds_text(timeline.duration)}"
    if timeline.outcome is RaceOutcome.CANCELLED:
        return f"cancelled {seconds_text(timeline.duration)}"
    is_cut_off = any(attempt.outcome is AttemptOutcome.CANCELLED for attempt in timeline.attempts)
    return f"failed {seconds_text(timeline.duration)}" if timeline.outcome is RaceOutcome.LOST and is_cut_off else ""


def lost_text(timeline: Timeline) -> list[str]:
    """List the errors of a lost race that has no rows to show them: the first few, each once."""
    if timeline.attempts or timeline.lookups or timeline.error is None:
        return []
    texts = map(error_text, failures_of(timeline.error))
    return list(dict.fromkeys(texts))[:3]


def untried_text(timeline: Timeline) -> str:
    """Say that an address was not tried: not yet, while the race goes on."""
    return "not yet tried" if timeline.outcome is RaceOutcome.UNDER_WAY else "not tried"


def elided_text(elided: Sequence[AttemptRow]) -> str:
    """Count attempts that are not shown: `11 more attempts, 11 refused`."""
    outcomes = Counter(attempt.outcome.value for attempt in elided).most_common()
    more = "1 more attempt" if len(elided) == 1 else f"{len(elided)} more attempts"
    return f"{more}, {', '.join(f'{number} {outcome}' for outcome, number in outcomes)}"


def summary_texts(timeline: Timeline, fits: Callable[[str], bool]) -> list[str]:
    """Count the attempts, and say how far apart they are: on one line where that fits."""
    return lines_of([counts_text(timeline), *pace_parts(timeline)], fits)


def counts_text(timeline: Timeline) -> str:
    """Count the attempts by how they ended: `4 attempts, 2 cancelled, 1 refused`."""
    count = len(timeline.attempts)
    parts = [_counted(count, "attempt") if count else "no attempts"]
    others = {outcome: number for outcome, number in timeline.outcomes.items() if outcome is not AttemptOutcome.WON}
    parts += [f"{number} {outcome.value}" for outcome, number in others.items()]
    return ", ".join(parts)


def pace_parts(timeline: Timeline) -> list[str]:
    """Say after how long the next attempt begins: `attempt delay 250 ms`."""
    if timeline.summary:
        return ["each address by itself"]
    if timeline.policy is None:
        return ["time counts from the first attempt"] if timeline.attempts else []
    parts = [f"the proxy for {printable(timeline.proxy_for)}"] if timeline.proxy_for else []
    parts.append(_delay_text(timeline, timeline.policy))
    if timeline.attempts and timeline.attempts[0].reason is trace.Reason.RESOLUTION_DELAY_OVER:
        parts.append(f"first after the resolution delay {seconds_text(timeline.policy.resolution_delay)}")
    return parts


def _delay_text(timeline: Timeline, policy: Policy) -> str:
    """Say which attempt delay was in force, and where it came from if not from the policy."""
    if policy.attempt_delay == math.inf:
        return "one attempt at a time"
    delays: dict[trace.DelaySource, list[float]] = {}
    following = [*timeline.attempts[1:], None]
    for attempt, after in zip(_waited_for(timeline), following, strict=False):
        if attempt.delay is not None and not (after and _is_cut_short(attempt, after)):
            delays.setdefault(attempt.delay_from, []).append(attempt.delay)
    texts = []
    for source, used in (delays or {trace.DelaySource.POLICY: [policy.attempt_delay]}).items():
        shortest, longest = seconds_text(min(used)), seconds_text(max(used))
        text = shortest if shortest == longest else f"{shortest} to {longest}"
        texts.append(text if source is trace.DelaySource.POLICY else f"{text} ({source.value})")
    return f"attempt delay {', '.join(texts)}"


def _waited_for(timeline: Timeline) -> Sequence[AttemptRow]:
    """The attempts whose delay another one waited for, or would have; behind the last of all there was none."""
    attempts = timeline.attempts
    return attempts[:-1] if len(attempts) > 1 and not timeline.untried else attempts


def _is_cut_short(before: AttemptRow, attempt: AttemptRow) -> bool:
    """Whether the pace was slow no more before its delay was over, as other attempts had ended."""
    is_slowed = before.delay_from is trace.DelaySource.SLOWED and before.delay is not None
    return is_slowed and attempt.started - before.started < _MOST_OF * (before.delay or 0)


_MOST_OF = 0.98
"""Of a delay: an attempt is started a little early where the one before was late."""


def reason_text(attempt: AttemptRow, before: AttemptRow) -> str:
    """Say why an attempt began: `+250 ms` after the one before it, or at its `failure`, or as its `address came`.

    A delay that is not the policy's says where it came from: `+120 ms history`.
    """
    if attempt.reason is trace.Reason.PREDECESSOR_FAILED:
        return "failure"
    if attempt.reason is trace.Reason.ADDRESS_CAME:
        return "address came"
    is_policy_s = before.delay_from is trace.DelaySource.POLICY or _is_cut_short(before, attempt)
    source = "" if is_policy_s else f" {before.delay_from.value}"
    return f"+{seconds_text(attempt.started - before.started)}{source}"


def connection_parts(timeline: Timeline) -> list[str]:
    """Say what is known of the connection, beyond what the rows show; nothing if that is nothing.

    An address alone says little where nothing was measured.
    """
    connection, winner = timeline.connection, timeline.winner
    if connection is None or winner is None:
        return []
    parts = []
    if connection.round_trip_time is not None:
        parts.append(f"round trip {seconds_text(connection.round_trip_time)}")
    if winner.syn_retransmissions:
        parts.append(f"SYN sent {winner.syn_retransmissions + 1} times")
    if connection.tls_version:
        parts.append(f"{connection.tls_version} {connection.cipher}")
    if connection.alpn:
        parts.append(f"ALPN {connection.alpn}")
    if connection.certificate_until is not None:
        names, until = connection.certificate_names, time.gmtime(connection.certificate_until)
        more = f" and {len(names) - _FEW_NAMES} more" if len(names) > _FEW_NAMES else ""
        parts.append(f"certificate for {', '.join(names[:_FEW_NAMES])}{more} until {time.strftime('%Y-%m-%d', until)}")
    parts += _answered_by(timeline, winner)
    if parts and connection.local_address is not None:
        parts.insert(0, f"from {connection.local_address.ip}")
    return [printable(part) for part in parts]


def connection_rows(timeline: Timeline) -> list[tuple[str, str]]:
    """List all that is known of the connection, each with its name, for those who ask for it."""
    connection, winner = timeline.connection, timeline.winner
    if connection is None or winner is None:
        return []
    rtt, until = connection.round_trip_time, connection.certificate_until
    again = winner.syn_retransmissions
    rows = [
        ("from", "" if connection.local_address is None else str(connection.local_address)),
        ("to", str(winner.address)),
        ("round trip", "" if rtt is None else f"{rtt * 1000:.3f} ms"),
        ("SYN", "" if again is None else f"sent {again + 1} time{'s' if again else ''}"),
        ("TLS", f"{connection.tls_version} {connection.cipher}".strip()),
        ("ALPN", connection.alpn),
        ("certificate for", ", ".join(connection.certificate_names)),
        ("certificate until", "" if until is None else time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(until))),
        *(("address from", words.removeprefix("address from ")) for words in _answered_by(timeline, winner)),
    ]
    return [(name, printable(words)) for name, words in rows if words]


_FEW_NAMES = 3
"""How many names of a certificate are shown."""


def _answered_by(timeline: Timeline, winner: AttemptRow) -> Iterator[str]:
    """Which name server has named the winner's address, and for how long it holds."""
    for lookup in timeline.lookups:
        if lookup.server and any(address.ip == winner.address.ip for address in lookup.addresses):
            ttl = "" if lookup.ttl is None else f", TTL {lookup.ttl:g} s"
            yield f"address from {lookup.server}{ttl}"
            return


def lines_of(parts: Sequence[str], fits: Callable[[str], bool], joint: str = " · ") -> list[str]:
    """Put parts side by side, as many on a line as fit."""
    lines: list[str] = []
    for part in parts:
        if lines and fits(f"{lines[-1]}{joint}{part}"):
            lines[-1] += f"{joint}{part}"
        else:
            lines.append(part)
    return lines


def failure_in_lines(words: str, fits: Callable[[str], bool]) -> list[str]:
    """Break what an attempt failed with into lines, first between its phases and then between words."""
    connected, then, failure = words.partition(", then ")
    if fits(words) or not words.startswith("TCP connected"):
        return lines_of(words.split(" "), fits, " ")
    return [f"{connected},", *lines_of(f"{then[2:]}{failure}".split(" "), fits, " ")]


def failure_text(attempt: AttemptRow) -> str:
    """Say what an attempt failed with and in which phase, where its outcome alone does not; else empty.

    A silent host and one that accepts and then says nothing are different faults, so they have different words:
    `TCP connected after 0.2 ms, then no TLS answer for 2000 ms`.
    """
    if attempt.outcome not in _FAILURES:
        return ""
    if not attempt.has_second_phase:
        failed = attempt.outcome is AttemptOutcome.FAILED
        return error_text(attempt.error) if failed and attempt.error is not None else ""
    connected, silence = "TCP connected", silence_text(attempt.phase)
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
        if lookup.until is None or lookup_failed(lookup)
    ]
    return lines


def phases_text(timeline: Timeline) -> str:
    """Name what is on top of TCP; what a caller establishes may show in the connection."""
    if timeline.proxy_for:
        return "the tunnel"
    phases = {attempt.phase for attempt in timeline.attempts if attempt.has_second_phase}
    is_tls = phases == {Phase.TLS} or bool(timeline.connection and timeline.connection.tls_version)
    is_tls = is_tls or any(isinstance(attempt.error, ssl.SSLError) for attempt in timeline.attempts)
    return "TLS" if is_tls else "TLS or the like"


_FAILURES = frozenset({AttemptOutcome.REFUSED, AttemptOutcome.FAILED, AttemptOutcome.TIMED_OUT})


def source_text(lookup: LookupRow) -> str:
    """Name a source of addresses: `DNS AAAA`, with the name if that is not the host's; `system`, `hook`.

    Example:
        >>> source_text(LookupRow(source=Source.A, name="cdn.example", started=0.0, ended=None))
        'DNS A cdn.example'
    """
    text = name_of_source(lookup.source)
    return printable(f"{text} {lookup.name}" if lookup.name else text)


def name_of_source(source: Source) -> str:
    """Name a source of addresses: `DNS AAAA`, `system`, `hook`, `given`."""
    return source.value if source in _NO_DNS else f"DNS {source.value}"


_NO_DNS = frozenset({Source.SYSTEM, Source.HOOK, Source.GIVEN})
"""Sources that answer for both families, wherever they have it from."""


def lookup_text(lookup: LookupRow, timeline: Timeline) -> str:
    """Say what a query brought: `2 addresses · 24 ms`."""
    if lookup.ended is None:
        return pending_text(lookup, timeline)
    error = lookup.error
    result = error_text(error) if error is not None and lookup_failed(lookup) else _content(lookup)
    return f"{result} · {seconds_text(lookup.ended - lookup.started)}"


def pending_text(lookup: LookupRow, timeline: Timeline) -> str:
    """Say of a query without an answer why there is none: what nobody waited for any more did not fail."""
    return _PENDING[RaceOutcome.WON if lookup.superseded is not None else timeline.outcome]


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
"""Numbers from here on are no error numbers of a system."""


def error_text(error: OSError) -> str:
    """Say what went wrong, without error numbers and without the address, which is in the same row.

    The text that an error came with is kept: what a proxy has replied, the name of an option.

    Example:
        >>> error_text(OSError(113, "No route to host: [2001:db8::1]:443"))
        'No route to host'
        >>> error_text(OSError(113, "No route to host: db.example:443 (the proxy answered 502)"))
        'No route to host: db.example:443 (the proxy answered 502)'
    """
    if isinstance(error, ssl.SSLError):
        return printable(tls_reason(error))
    text = str(error.strerror or error) or type(error).__name__
    is_resolvers = isinstance(error, socket.gaierror)  # on macOS, its numbers are those of other errors, too
    if isinstance(error.errno, int) and 0 < error.errno < _MORE_THAN_ANY_ERRNO and not is_resolvers:
        words, _, rest = text.partition(": ")
        if is_plain_text(words, error.errno) and (not rest or _is_address(rest)):
            text = strerror(error.errno)
    return printable(text)


def _is_address(text: str) -> bool:
    """Whether a text is an address with its port, or a path."""
    try:
        return text.startswith(("/", "@")) or bool(Address.parse(text))
    except ValueError:
        return False


def _counted(count: int, noun: str) -> str:
    ending = "" if count == 1 else "es" if noun.endswith("s") else "s"
    return f"{count} {noun}{ending}"
