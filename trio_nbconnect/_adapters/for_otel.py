"""OpenTelemetry: spans and metrics of everything that is connected (extra `otel`).

An operator asks how long names, TCP and TLS take and which of them fails, over a day and for many processes. Spans are
named as OpenTelemetry's semantic conventions name those of .NET (docs/dotnet/dotnet-network-traces.md), and have their
attributes and values of `error.type`: DNS lookup, socket connect, TLS handshake, and above them the connection setup;
its name does without "HTTP", which we know nothing of, and it has the span of the caller above it, where .NET begins a
trace: there a pool connects, and here the caller does. Of the metrics, the conventions have `dns.lookup.duration`
(docs/dns/dns-metrics.md); the others are ours, with its unit and buckets, and the attributes of the spans.

A race becomes one span; below it is one for each look-up, one for each TCP handshake and one for what is established on
top of it. An attempt that was cancelled because another had won is no error: its span says so, in
`trio_nbconnect.outcome`. All spans of a race are made when it is over, with the times at which things happened, so that
a race is not slowed down meanwhile.

Only the API is needed. Without the SDK of OpenTelemetry nothing is recorded, and nothing fails.
"""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Mapping, Sequence

try:
    from opentelemetry import context, metrics
    from opentelemetry import trace as spans
    from opentelemetry.trace import SpanKind, Status, StatusCode
except ModuleNotFoundError as missing:
    if (missing.name or "").partition(".")[0] != "opentelemetry":
        raise
    raise ImportError(
        "trio_nbconnect.otel needs opentelemetry-api: python -m pip install 'trio-nbconnect[otel]'"
    ) from None

from .. import trace
from .._address import IPV6, UNSPECIFIED, Address
from .._errors import ConnectError, ConnectTimeout, Crash, Phase, ResolutionError, TLSError, class_name
from .._pictures.labels import error_text, pending_text, target_text
from .._pictures.timeline import AttemptOutcome, AttemptRow, LookupRow, RaceOutcome, Timeline, timeline_of

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""Seconds; docs/dns/dns-metrics.md has them for `dns.lookup.duration`."""

_NAME = "trio_nbconnect"

Attributes = dict[str, "str | int | float | Sequence[str]"]

_Place = tuple[context.Context, int]
"""The context of the span above, and when the race began, in nanoseconds since 1970."""


def instrument(
    *, tracer_provider: spans.TracerProvider | None = None, meter_provider: metrics.MeterProvider | None = None
) -> trace.Listener:
    """Report all that is connected to OpenTelemetry.

    Spans: `connection_setup HOST:PORT`, and below it `DNS lookup NAME`, `socket connect ADDRESS:PORT` and `TLS client
    handshake HOST`, or `establish HOST` for what is no TLS; `attempt LABEL` for those of `race`. Histograms, in
    seconds: `dns.lookup.duration`, `socket.connect.duration`, `tls.handshake.duration` and `connection_setup.duration`.

    Args:
        tracer_provider: Where spans go; None is the global one.
        meter_provider: Where metrics go; None is the global one.

    Returns:
        A context manager with `start` and `stop`, see `trio_nbconnect.trace.listen`.

    Raises:
        TypeError: One of them is no provider.

    Example:
        >>> instrument().start().stop()
    """
    _check_provider("tracer_provider", tracer_provider, spans.TracerProvider)
    _check_provider("meter_provider", meter_provider, metrics.MeterProvider)
    tracer = spans.get_tracer(_NAME, tracer_provider=tracer_provider)
    meter = metrics.get_meter(_NAME, meter_provider=meter_provider)
    return trace.listen(_Reporter(tracer, meter))


def _check_provider(name: str, provider: object, kind: type) -> None:
    if provider is not None and not isinstance(provider, kind):
        raise TypeError(f"{name} must be {kind.__name__}, not {provider!r}")


class _Reporter:
    """Collects the events of each race, and reports it when it is over."""

    def __init__(self, tracer: spans.Tracer, meter: metrics.Meter) -> None:
        self._tracer = tracer
        self._under_way: dict[int, tuple[list[trace.Event], context.Context, int]] = {}
        self._durations = {name: _histogram(meter, name, words) for name, words in _HISTOGRAMS.items()}

    def __call__(self, event: trace.Event) -> None:
        if isinstance(event, trace.RaceStarted):
            self._under_way[event.race] = ([event], context.get_current(), round(event.wall_time * 1e9))
            return
        events, parent, began = self._under_way[event.race]
        events.append(event)
        if isinstance(event, trace.RaceWon | trace.RaceLost):
            del self._under_way[event.race]
            self._report(timeline_of(events), parent, began)

    def _report(self, race: Timeline, parent: context.Context, began: int) -> None:
        """Make the spans of a race, and measure it."""
        target: Attributes = {"server.address": race.host}
        if race.port:
            target["server.port"] = race.port
        of_race = dict(target)
        if race.winner is not None and not race.winner.address.is_path:
            of_race["network.peer.address"] = race.winner.address.ip
        if race.outcome is RaceOutcome.CANCELLED:
            of_race["trio_nbconnect.outcome"] = race.outcome.value
        whole = _Interval("connection_setup", f"connection_setup {target_text(race)}", 0.0, race.duration)
        failure = "" if race.error is None else error_type(race.error)
        words = str(race.error or "")
        inside = spans.set_span_in_context(self._span(whole, of_race, failure, (parent, began), words), parent)
        self._measure(whole, target, failure)
        for lookup in race.lookups:
            self._report_lookup(lookup, race, (inside, began))
        for attempt in race.attempts:
            self._report_attempt(attempt, race, (inside, began))

    def _report_lookup(self, lookup: LookupRow, race: Timeline, place: _Place) -> None:
        name = lookup.name or race.host
        attributes: Attributes = {"dns.question.name": name}
        of_span: Attributes = {**attributes, "trio_nbconnect.source": lookup.source.value}
        if lookup.addresses:
            of_span["dns.answers"] = [address.ip for address in lookup.addresses]
        if lookup.server:
            of_span["server.address"] = lookup.server
        if lookup.ended is None:
            of_span["trio_nbconnect.outcome"] = pending_text(lookup, race)
        ended = race.duration if lookup.until is None else lookup.until
        interval = _Interval("dns.lookup", f"DNS lookup {name}", lookup.started, ended)
        failure = "" if lookup.error is None else error_type(lookup.error)
        self._span(interval, of_span, failure, place, _words(lookup.error))
        if lookup.ended is not None:
            self._measure(interval, attributes, failure)

    def _report_attempt(self, attempt: AttemptRow, race: Timeline, place: _Place) -> None:
        """TCP, and what was established on top of it; the one that did not come to its end says why it lost."""
        address, peer = attempt.address, _peer(attempt.address)
        ways: Attributes = {"trio_nbconnect.reason": attempt.reason.value, "trio_nbconnect.attempt": attempt.number}
        if attempt.syn_retransmissions:
            ways["trio_nbconnect.syn_retransmissions"] = attempt.syn_retransmissions
        is_up = attempt.connected is not None
        end: Attributes = {"trio_nbconnect.outcome": attempt.outcome.value}
        failure = _failure_of(attempt)
        connected = attempt.ended if attempt.connected is None else attempt.connected
        where = str(address) if not address.is_path else address.ip
        kind = "socket connect" if peer else "attempt"
        tcp = _Interval("socket.connect", f"{kind} {where}", attempt.started, connected)
        has_more = attempt.has_second_phase
        if has_more:
            self._span(tcp, {**peer, **ways}, "", place)
        else:
            self._span(tcp, {**peer, **ways, **end}, failure, place, _words(attempt.error))
        if peer and (is_up or failure):
            self._measure(tcp, peer, "" if has_more else failure)
        if has_more:
            self._report_second_phase(attempt, race, {**peer, **end}, place)

    def _report_second_phase(self, attempt: AttemptRow, race: Timeline, attributes: Attributes, place: _Place) -> None:
        """TLS, also what a caller's own `establish` turns out to have been, and else whatever the caller wanted."""
        connection = race.connection if attempt.outcome is AttemptOutcome.WON else None
        is_tls = attempt.phase is Phase.TLS or isinstance(attempt.error, ssl.SSLError)
        is_tls = is_tls or bool(connection and connection.tls_version)
        started = attempt.ended if attempt.connected is None else attempt.connected
        name, words = ("tls.handshake", "TLS client handshake") if is_tls else ("establish", "establish")
        interval = _Interval(name, f"{words} {race.host}", started, attempt.ended)
        target: Attributes = {"server.address": race.host}
        if connection and connection.tls_version:
            protocol, _, version = connection.tls_version.partition("v")
            target |= {"tls.protocol.name": protocol.lower(), "tls.protocol.version": version}
        failure = _failure_of(attempt)
        self._span(interval, {**attributes, **target}, failure, place, _words(attempt.error))
        if is_tls and attempt.outcome is not AttemptOutcome.CANCELLED:
            self._measure(interval, target, failure)

    def _span(
        self,
        interval: _Interval,
        attributes: Attributes,
        failure: str,
        place: _Place,
        words: str = "",
    ) -> spans.Span:
        if failure:
            attributes = {**attributes, "error.type": failure}
        parent, began = place
        span = self._tracer.start_span(
            interval.words,
            context=parent,
            kind=SpanKind.INTERNAL,
            attributes=attributes,
            start_time=began + round(interval.started * 1e9),
        )
        if failure:
            span.set_status(Status(StatusCode.ERROR, words or None))
        span.end(began + round(interval.ended * 1e9))
        return span

    def _measure(self, interval: _Interval, attributes: Mapping[str, object], failure: str) -> None:
        of_metric = {**attributes, **({"error.type": failure} if failure else {})}
        self._durations[f"{interval.name}.duration"].record(interval.ended - interval.started, of_metric)  # type: ignore[arg-type]  # ours are of its types


class _Interval:
    """What took time, in seconds from the start of the race."""

    __slots__ = ("ended", "name", "started", "words")

    def __init__(self, name: str, words: str, started: float, ended: float) -> None:
        self.name, self.words, self.started, self.ended = name, words, started, ended


def _peer(address: Address) -> Attributes:
    """Where a socket was to be connected to; nothing for an attempt of the caller's own, which may be of any kind."""
    if address.is_path:
        return {"network.peer.address": address.ip, "network.transport": "unix"}
    if address.family == UNSPECIFIED:
        return {}
    return {
        "network.peer.address": address.ip,
        "network.peer.port": address.port,
        "network.transport": "tcp",
        "network.type": "ipv6" if address.family == IPV6 else "ipv4",
    }


_HISTOGRAMS = {
    "connection_setup.duration": "How long it took to connect to a host, from its name to what was asked for.",
    "dns.lookup.duration": "Measures the time taken to perform a DNS lookup.",
    "socket.connect.duration": "How long the TCP handshake with one address took.",
    "tls.handshake.duration": "How long the TLS handshake with one address took.",
}


def _histogram(meter: metrics.Meter, name: str, words: str) -> metrics.Histogram:
    return meter.create_histogram(name, unit="s", description=words, explicit_bucket_boundaries_advisory=BUCKETS)


def _failure_of(attempt: AttemptRow) -> str:
    """The `error.type` of an attempt; one that was only late is no error."""
    if attempt.error is not None:
        return error_type(attempt.error)
    return "timed_out" if attempt.outcome is AttemptOutcome.TIMED_OUT else ""


def _words(error: OSError | None) -> str:
    return "" if error is None else error_text(error)


def error_type(error: OSError) -> str:
    """Name an error as the conventions do for .NET, or else by its number or its class.

    Example:
        >>> error_type(ConnectionRefusedError(111, "refused")), error_type(OSError(5, "odd"))
        ('connection_refused', 'EIO')
    """
    if isinstance(error, Crash):
        return error.kind
    kinds = type(error).__mro__
    if name := next((_OF_KINDS[kind] for kind in kinds if kind in _OF_KINDS), ""):
        return name
    if isinstance(error, socket.gaierror):
        return _OF_NAMES.get(error.errno) or class_name(type(error))
    if isinstance(error, ssl.SSLError):
        return class_name(type(error))
    rest = "connection_error" if isinstance(error, ConnectError) else class_name(type(error))
    return _OF_NUMBERS.get(error.errno) or errno.errorcode.get(error.errno or 0, rest)


_OF_KINDS: dict[type, str] = {
    ConnectTimeout: "timed_out",
    ResolutionError: "name_resolution_error",
    TLSError: "secure_connection_error",
}

_OF_NUMBERS: dict[int | None, str] = {
    errno.EACCES: "access_denied",
    errno.EADDRINUSE: "address_already_in_use",
    errno.EADDRNOTAVAIL: "address_not_available",
    errno.EAFNOSUPPORT: "address_family_not_supported",
    errno.ECONNREFUSED: "connection_refused",
    errno.ECONNRESET: "connection_reset",
    errno.EHOSTUNREACH: "host_unreachable",
    errno.EINVAL: "invalid_argument",
    errno.ENETDOWN: "network_down",
    errno.ENETUNREACH: "network_unreachable",
    errno.ENOBUFS: "no_buffer_space_available",
    errno.EPERM: "access_denied",
    errno.EPROTOTYPE: "protocol_type",
    errno.ETIMEDOUT: "timed_out",
}

_OF_NAMES: dict[int | None, str] = {
    getattr(socket, "EAI_NODATA", socket.EAI_NONAME): "no_data",
    socket.EAI_NONAME: "host_not_found",
    socket.EAI_AGAIN: "try_again",
    socket.EAI_FAIL: "no_recovery",
    socket.EAI_FAMILY: "address_family_not_supported",
}
