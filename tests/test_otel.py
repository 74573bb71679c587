"""OpenTelemetry: the spans and metrics of races, seen with the SDK's exporters in memory."""

from __future__ import annotations

import errno
import json
import math
import socket
import ssl
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from opentelemetry import trace as spans
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import trio_nbconnect as nb
from trio_nbconnect._adapters.for_otel import BUCKETS, error_type
from trio_nbconnect.testing import SimulatedNetwork

pytestmark = pytest.mark.virtual_time

HOST = "db.example"


class Telemetry:
    """What was reported."""

    def __init__(self) -> None:
        self._exporter, self._reader = InMemorySpanExporter(), InMemoryMetricReader()
        self.tracer_provider = TracerProvider()
        self.tracer_provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.meter_provider = MeterProvider([self._reader])

    @property
    def spans(self) -> dict[str, ReadableSpan]:
        return {span.name: span for span in self._exporter.get_finished_spans()}

    def metric(self, name: str) -> list[Any]:
        data: Any = self._reader.get_metrics_data()
        metrics = [each for scope in data.resource_metrics[0].scope_metrics for each in scope.metrics]
        return list(next(each for each in metrics if each.name == name).data.data_points)

    async def of(self, call: Callable[[], Any]) -> dict[str, ReadableSpan]:
        """Report a call, whatever comes of it."""
        with nb.otel.instrument(tracer_provider=self.tracer_provider, meter_provider=self.meter_provider):
            try:
                stream = await call()
            except OSError:
                return self.spans
        await trio.aclose_forcefully(stream)
        return self.spans


@pytest.fixture
def telemetry() -> Telemetry:
    return Telemetry()


@pytest.fixture
def net() -> SimulatedNetwork:
    """IPv6 refuses, one IPv4 address is silent, the other is not."""
    net = SimulatedNetwork()
    net.answers(HOST, aaaa=["2001:db8::1"], a=["192.0.2.1", "192.0.2.2"], after=0.02)
    net.host("2001:db8::1").refuses(after=0.03)
    net.host("192.0.2.2").accepts(after=0.04)
    return net


def facts(span: ReadableSpan) -> dict[str, object]:
    return dict(span.attributes or {})


def seconds(span: ReadableSpan) -> float:
    assert span.start_time is not None
    assert span.end_time is not None
    return (span.end_time - span.start_time) / 1e9


async def test_a_race_is_a_span_above_its_look_ups_and_attempts(net: SimulatedNetwork, telemetry: Telemetry) -> None:
    caller = telemetry.tracer_provider.get_tracer("test").start_span("request")
    with spans.use_span(caller):
        found = await telemetry.of(lambda: nb.Connector(network=net).open_tcp_stream(HOST, 443))

    race = found[f"connection_setup {HOST}:443"]
    assert race.parent == caller.get_span_context()
    assert seconds(race) == pytest.approx(0.34)
    assert facts(race) == {"server.address": HOST, "server.port": 443, "network.peer.address": "192.0.2.2"}
    below = [span for span in found.values() if span is not race]
    assert {span.name for span in below} == {
        f"DNS lookup {HOST}",
        "socket connect [2001:db8::1]:443",
        "socket connect 192.0.2.1:443",
        "socket connect 192.0.2.2:443",
    }
    assert all(span.parent == race.get_span_context() for span in below)


async def test_spans_are_at_the_time_of_the_day(
    net: SimulatedNetwork, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.time", lambda: 1_790_000_000.5)
    found = await telemetry.of(lambda: nb.Connector(network=net).open_tcp_stream(HOST, 443))

    race, lookup = found[f"connection_setup {HOST}:443"], found[f"DNS lookup {HOST}"]
    assert (race.start_time or 0) / 1e9 == pytest.approx(1_790_000_000.5, abs=1e-6)
    assert (lookup.end_time or 0) / 1e9 == pytest.approx(1_790_000_000.52, abs=1e-6)


async def test_an_attempt_says_why_it_lost(net: SimulatedNetwork, telemetry: Telemetry) -> None:
    """One that another was faster than is no error."""
    found = await telemetry.of(lambda: nb.Connector(network=net).open_tcp_stream(HOST, 443))

    refused, silent = found["socket connect [2001:db8::1]:443"], found["socket connect 192.0.2.1:443"]
    assert facts(refused)["error.type"] == "connection_refused"
    assert facts(refused)["network.type"] == "ipv6"
    assert refused.status.status_code is spans.StatusCode.ERROR
    assert facts(silent)["trio_nbconnect.outcome"] == "cancelled"
    assert "error.type" not in facts(silent)
    assert silent.status.status_code is spans.StatusCode.UNSET


async def test_a_look_up_says_what_it_brought(net: SimulatedNetwork, telemetry: Telemetry) -> None:
    found = await telemetry.of(lambda: nb.Connector(network=net).open_tcp_stream(HOST, 443))

    lookup = facts(found[f"DNS lookup {HOST}"])
    assert lookup["dns.question.name"] == HOST
    assert lookup["dns.answers"] == ("2001:db8::1", "192.0.2.1", "192.0.2.2")


async def test_durations_are_measured_with_the_advised_buckets(net: SimulatedNetwork, telemetry: Telemetry) -> None:
    await telemetry.of(lambda: nb.Connector(network=net).open_tcp_stream(HOST, 443))

    (lookup,) = telemetry.metric("dns.lookup.duration")
    assert (lookup.sum, lookup.attributes) == (pytest.approx(0.02), {"dns.question.name": HOST})
    assert tuple(lookup.explicit_bounds) == BUCKETS
    connects = {point.attributes.get("error.type"): point.sum for point in telemetry.metric("socket.connect.duration")}
    assert connects == {"connection_refused": pytest.approx(0.03), None: pytest.approx(0.04)}


async def test_what_is_established_on_top_has_a_span_of_its_own(net: SimulatedNetwork, telemetry: Telemetry) -> None:
    async def fail(stream: trio.SocketStream) -> trio.SocketStream:
        await trio.sleep(0.5)
        raise ssl.SSLCertVerificationError("expired")

    found = await telemetry.of(lambda: nb.Connector(network=net).connect(HOST, 443, fail, addresses=["192.0.2.2"]))

    assert seconds(found["socket connect 192.0.2.2:443"]) == pytest.approx(0.04)
    assert seconds(found[f"TLS client handshake {HOST}"]) == pytest.approx(0.5)
    assert facts(found[f"TLS client handshake {HOST}"])["error.type"] == "ssl.SSLCertVerificationError"
    assert facts(found[f"connection_setup {HOST}:443"])["error.type"] == "secure_connection_error"
    (handshake,) = telemetry.metric("tls.handshake.duration")
    assert handshake.attributes["error.type"] == "ssl.SSLCertVerificationError"


async def test_what_is_no_tls_is_not_called_so(net: SimulatedNetwork, telemetry: Telemetry) -> None:
    async def greet(stream: trio.SocketStream) -> trio.SocketStream:
        await trio.sleep(0.5)
        return stream

    found = await telemetry.of(lambda: nb.Connector(network=net).connect(HOST, 443, greet, addresses=["192.0.2.2"]))

    assert facts(found[f"establish {HOST}"])["trio_nbconnect.outcome"] == "won"


async def test_a_server_that_is_silent_in_tls_is_seen_in_tls(net: SimulatedNetwork, telemetry: Telemetry) -> None:
    connector = nb.Connector(network=net)
    found = await telemetry.of(lambda: connector.open_tls_stream(HOST, 443, addresses=["192.0.2.2"], give_up_after=2))

    assert "error.type" not in facts(found["socket connect 192.0.2.2:443"])
    handshake = found[f"TLS client handshake {HOST}"]
    assert seconds(handshake) == pytest.approx(1.96)
    assert facts(handshake)["error.type"] == "timed_out"
    (measured,) = telemetry.metric("tls.handshake.duration")
    assert measured.attributes == {"server.address": HOST, "error.type": "timed_out"}


async def test_spans_are_internal_and_failures_have_their_text(net: SimulatedNetwork, telemetry: Telemetry) -> None:
    """docs/dotnet/dotnet-network-traces.md: "Span kind SHOULD be INTERNAL"."""
    found = await telemetry.of(lambda: nb.Connector(network=net).open_tcp_stream(HOST, 443, addresses=["2001:db8::1"]))

    assert {span.kind for span in found.values()} == {spans.SpanKind.INTERNAL}
    assert found["socket connect [2001:db8::1]:443"].status.description == "Connection refused"
    whole = found[f"connection_setup {HOST}:443"].status.description
    assert whole == f"all attempts to connect to {HOST}:443 failed: 2001:db8::1 refused"


async def test_a_path_is_no_address_of_an_ip_socket(telemetry: Telemetry, tmp_path: Path) -> None:
    """Of the setup the same document says "available only [...] for IP sockets"; and there is no port."""
    path = str(tmp_path / "db")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        found = await telemetry.of(lambda: nb.open_tcp_stream(HOST, 5432, addresses=[Path(path)]))

    assert "network.peer.address" not in facts(found[f"connection_setup {HOST}:5432"])
    connect = facts(found[f"socket connect {path}"])
    assert (connect["network.peer.address"], connect["network.transport"]) == (path, "unix")
    assert "network.peer.port" not in connect


async def test_attempts_of_a_caller_are_no_sockets(telemetry: Telemetry) -> None:
    async def dial() -> trio.abc.Stream:
        await trio.lowlevel.checkpoint()
        return trio.testing.memory_stream_pair()[0]

    found = await telemetry.of(lambda: nb.race([nb.Dial("relay", dial)], name="QmPeer", close=trio.aclose_forcefully))

    assert "server.port" not in facts(found["connection_setup QmPeer"])
    assert not any(name.startswith("network.") for name in facts(found["attempt relay"]))


async def test_a_time_out_is_an_error_and_a_cancellation_is_none(net: SimulatedNetwork, telemetry: Telemetry) -> None:
    connector = nb.Connector(network=net)
    await telemetry.of(lambda: connector.open_tcp_stream("192.0.2.1", 1, give_up_after=2))
    with trio.move_on_after(1):
        await telemetry.of(lambda: connector.open_tcp_stream("192.0.2.1", 2))

    assert facts(telemetry.spans["socket connect 192.0.2.1:1"])["error.type"] == "timed_out"
    assert facts(telemetry.spans["socket connect 192.0.2.1:1"])["trio_nbconnect.syn_retransmissions"] == 1
    assert facts(telemetry.spans["connection_setup 192.0.2.1:1"])["error.type"] == "timed_out"
    assert facts(telemetry.spans["connection_setup 192.0.2.1:2"])["trio_nbconnect.outcome"] == "cancelled"


async def test_a_look_up_that_was_not_needed_is_not_measured(telemetry: Telemetry) -> None:
    net = SimulatedNetwork()
    net.answers(HOST, aaaa=["2001:db8::1"], after=0.02)
    net.answers(HOST, a=[], after=math.inf)
    net.host("2001:db8::1").accepts()

    connector = nb.Connector(network=net, resolver=net.resolver(services=False))
    await telemetry.of(lambda: connector.open_tcp_stream(HOST, 443))

    (measured,) = telemetry.metric("dns.lookup.duration")
    assert measured.count == 1


async def test_a_name_that_is_not_there_is_an_error_of_names(telemetry: Telemetry) -> None:
    answer = nb.Answer(nb.Source.A, (), server="192.0.2.53")
    error = nb.Answer(nb.Source.AAAA, error=socket.gaierror(socket.EAI_NONAME, "no such name"))

    class Asked:
        async def resolve(self, query: nb.Query, send_answer: nb.SendAnswer) -> None:
            send_answer(answer)
            send_answer(error)
            await trio.lowlevel.checkpoint()

    found = await telemetry.of(lambda: nb.Connector(resolver=Asked()).open_tcp_stream(HOST, 443))

    assert facts(found[f"connection_setup {HOST}:443"])["error.type"] == "name_resolution_error"
    assert facts(found[f"DNS lookup {HOST}"])["error.type"] == "host_not_found"


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (OSError(errno.EHOSTUNREACH, "no route"), "host_unreachable"),
        (OSError(errno.EPERM, "a firewall"), "access_denied"),
        (socket.gaierror(socket.EAI_AGAIN, "later"), "try_again"),
        (socket.gaierror(socket.EAI_MEMORY, "full"), "socket.gaierror"),
        (ssl.SSLError(1, "wrong version"), "ssl.SSLError"),
        (nb.ConnectError("several", host=HOST, port=1), "connection_error"),
        (OSError("odd"), "OSError"),
    ],
)
async def test_errors_have_names_of_the_conventions(error: OSError, name: str) -> None:
    assert error_type(error) == name


@pytest.mark.parametrize("bug", [LookupError("a bug"), json.JSONDecodeError("no JSON", "", 0)])
async def test_a_bug_in_the_caller_s_code_is_named(net: SimulatedNetwork, telemetry: Telemetry, bug: Exception) -> None:
    """By its class: `error.type` "SHOULD" be "the fully-qualified class name of the exception"."""

    async def establish(stream: trio.SocketStream) -> None:
        raise bug

    with pytest.raises(type(bug)):
        await telemetry.of(lambda: nb.Connector(network=net).connect("192.0.2.2", 443, establish))
    name = "LookupError" if type(bug) is LookupError else "json.decoder.JSONDecodeError"
    assert facts(telemetry.spans["connection_setup 192.0.2.2:443"])["error.type"] == name
    assert facts(telemetry.spans["establish 192.0.2.2"])["error.type"] == name


@pytest.mark.parametrize("name", ["tracer_provider", "meter_provider"])
async def test_a_provider_is_one(name: str, telemetry: Telemetry) -> None:
    wrong: Any = {name: 5}
    with pytest.raises(TypeError, match=f"^{name} must be .*Provider, not 5$"):
        nb.otel.instrument(**wrong)


async def test_without_the_api_it_says_what_to_install() -> None:
    program = 'import sys; sys.modules["opentelemetry"] = None\nimport trio_nbconnect.otel'
    run = await trio.run_process([sys.executable, "-c", program], capture_stderr=True, check=False)

    assert run.stderr.decode().splitlines()[-1].endswith("python -m pip install 'trio-nbconnect[otel]'")
