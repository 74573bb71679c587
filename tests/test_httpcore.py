"""HTTPX and httpcore connect through us: over broken hosts, with their errors, their time-outs and their traces."""

from __future__ import annotations

import importlib
import socket
import ssl
import subprocess
import sys
import types
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpcore
import httpx
import pytest
import trio
import trustme

import trio_nbconnect as nb
from trio_nbconnect._pictures.timeline import RaceOutcome
from trio_nbconnect.httpcore import NetworkBackend, transport
from trio_nbconnect.testing import SimulatedNetwork

from .adapters import (
    ANSWERS,
    DROPS,
    HOST,
    REFUSES,
    addresses_tried,
    connector,
    dropping,
    https_server,
    import_with_broken,
    import_without,
)

httpx2: Any = importlib.import_module("httpx2") if sys.version_info >= (3, 11) else None
has_httpx2 = pytest.mark.skipif(httpx2 is None, reason="httpx2 needs Python 3.11")

Call = Callable[[httpcore.AsyncNetworkStream], Awaitable[object]]
Simulated = tuple[httpcore.AsyncNetworkStream, trio.SocketStream]


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def trusting(authority: trustme.CA) -> ssl.SSLContext:
    """A client's context that trusts the server."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.fixture
async def port(authority: trustme.CA, tmp_path: Path) -> AsyncIterator[int]:
    """The port of a real HTTPS server on 127.0.0.1."""
    async with https_server(authority, tmp_path) as port:
        yield port


@pytest.fixture
def nobody() -> Any:
    """A port of 127.0.0.1 on which nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


@pytest.fixture
async def simulated() -> AsyncIterator[Simulated]:
    """A stream as httpcore has it, and the server's end of it."""
    net = SimulatedNetwork()
    net.host("192.0.2.1").accepts()
    stream = await NetworkBackend(nb.Connector(network=net)).connect_tcp("192.0.2.1", 80)
    async with await net.host("192.0.2.1").accept() as server:
        yield stream, server
    await stream.aclose()
    assert net.open_sockets == 0


# HTTPX, against a real server


@pytest.mark.parametrize(("http2", "version"), [(False, "HTTP/1.1"), (True, "HTTP/2")])
async def test_https_over_a_broken_host(trusting: ssl.SSLContext, port: int, http2: bool, version: str) -> None:
    """One address refuses, one drops, and the third serves; trace and recording have it all."""
    told: list[str] = []

    async def trace(name: str, info: dict[str, Any]) -> None:
        told.append(name)

    made = transport(connector(), verify=trusting, http2=http2)
    with trio.fail_after(10), nb.record() as recording, dropping(port):
        async with httpx.AsyncClient(transport=made) as client:
            for _ in range(2):
                response = await client.get(f"https://{HOST}:{port}/", extensions={"trace": trace})
                assert response.content.startswith(ANSWERS)
                assert response.http_version == version

    assert [race.timeline.outcome for race in recording] == [RaceOutcome.WON]  # the second request needed no connection
    assert [address for address in addresses_tried(recording[0]) if ":" not in address] == [
        REFUSES,
        DROPS,
        "127.0.0.1",
    ]
    assert told[:4] == [
        "connection.connect_tcp.started",
        "connection.connect_tcp.complete",
        "connection.start_tls.started",
        "connection.start_tls.complete",
    ]
    assert told.count("connection.connect_tcp.started") == 1


async def test_a_stream_tells_what_httpcore_s_own_tells(trusting: ssl.SSLContext, port: int) -> None:
    with trio.fail_after(10):
        async with httpx.AsyncClient(transport=transport(connector("127.0.0.1"), verify=trusting)) as client:
            response = await client.get(f"https://{HOST}:{port}/")
            stream = response.extensions["network_stream"]
            sock = stream.get_extra_info("socket")
            assert stream.get_extra_info("ssl_object").version().startswith("TLSv1.")
            assert stream.get_extra_info("client_addr") == sock.getsockname()
            assert stream.get_extra_info("server_addr") == sock.getpeername() == ("127.0.0.1", port)
            assert stream.get_extra_info("is_readable") is False
            assert stream.get_extra_info("nobody knows") is None
        assert stream.get_extra_info("is_readable") is True  # closed: a read would not wait


async def test_a_certificate_that_nobody_trusts(port: int) -> None:
    """`ConnectError` that says so, and not a silent one."""
    with trio.fail_after(10):
        async with httpx.AsyncClient(transport=transport(connector("127.0.0.1"))) as client:
            with pytest.raises(httpx.ConnectError, match="certificate verify failed") as caught:
                await client.get(f"https://{HOST}:{port}/")
    error = reason(caught.value)
    assert isinstance(error, nb.TLSError)
    assert isinstance(error.primary_error, ssl.SSLCertVerificationError)


async def test_a_refusal_keeps_our_error(nobody: int) -> None:
    with trio.fail_after(10), nb.record() as recording:
        async with httpx.AsyncClient(transport=transport(connector("127.0.0.1"))) as client:
            with pytest.raises(
                httpx.ConnectError, match=f"all attempts to connect to {HOST}:{nobody} failed"
            ) as caught:
                await client.get(f"https://{HOST}:{nobody}/")
    error = reason(caught.value)
    assert isinstance(error, nb.ConnectError)
    assert "127.0.0.1" in {attempt.address.ip for attempt in error.attempts}
    assert recording[-1].timeline.outcome is RaceOutcome.LOST


def reason(error: BaseException) -> BaseException | None:
    """Return our error below HTTPX's; httpcore's pool raises `from None`, so it is no longer the `__cause__`."""
    assert isinstance(error.__cause__, httpcore.ConnectError | httpcore.ConnectTimeout)
    return error.__cause__.__context__


async def test_without_a_pool_our_error_is_the_cause(nobody: int) -> None:
    with trio.fail_after(10), pytest.raises(httpcore.ConnectError) as caught:
        await NetworkBackend(connector("127.0.0.1")).connect_tcp(HOST, nobody, timeout=5)
    assert isinstance(caught.value.__cause__, nb.ConnectError)


async def test_a_connect_timeout_is_give_up_after(nobody: int) -> None:
    """Ours says which phase it was in and what every attempt was doing."""
    with trio.fail_after(10), dropping(nobody), nb.record() as recording:
        timeout = httpx.Timeout(None, connect=0.1)
        async with httpx.AsyncClient(transport=transport(connector(DROPS)), timeout=timeout) as client:
            with pytest.raises(httpx.ConnectTimeout, match=r"gave up connecting to .* after 0\.1 s") as caught:
                await client.get(f"https://{HOST}:{nobody}/")
    error = reason(caught.value)
    assert isinstance(error, nb.ConnectTimeout)
    assert error.phase is nb.Phase.HANDSHAKE
    assert recording[-1].timeline.outcome is RaceOutcome.LOST


async def test_a_tls_handshake_that_hangs_is_a_connect_timeout() -> None:
    """The kernel accepts, and nobody ever reads."""
    with trio.fail_after(10), socket.create_server(("127.0.0.1", 0)) as listener:
        timeout = httpx.Timeout(None, connect=0.1)
        async with httpx.AsyncClient(transport=transport(), timeout=timeout) as client:
            with pytest.raises(httpx.ConnectTimeout) as caught:
                await client.get(f"https://127.0.0.1:{listener.getsockname()[1]}/")
    error = reason(caught.value)
    assert isinstance(error, nb.ConnectTimeout)
    assert error.phase is nb.Phase.TLS


@pytest.mark.parametrize("library", [httpx, pytest.param(httpx2, marks=has_httpx2)], ids=["httpx", "httpx2"])
@pytest.mark.parametrize("silent", [True, False], ids=["never answers TLS", "speaks plain text"])
async def test_an_address_whose_tls_is_broken_costs_no_request(
    trusting: ssl.SSLContext, port: int, library: Any, silent: bool
) -> None:
    """It completes TCP, and still the others go on: one race from the first packet to a good certificate."""

    async def say_something(stream: trio.SocketStream) -> None:
        await stream.send_all(b"" if silent else b"HTTP/1.1 400 Bad Request\r\n\r\n")
        async for _ in stream:
            pass

    made = transport(connector(DROPS, "127.0.0.1"), library=library, verify=trusting)
    with trio.fail_after(10), nb.record() as recording:
        async with trio.open_nursery() as nursery:
            listeners = await trio.open_tcp_listeners(port, host=DROPS)
            nursery.start_soon(trio.serve_listeners, say_something, listeners)
            async with library.AsyncClient(transport=made) as client:
                response = await client.get(f"https://{HOST}:{port}/")
            nursery.cancel_scope.cancel()

    assert response.content.startswith(ANSWERS)
    (race,) = recording
    ended = {attempt.address.host: attempt.outcome.value for attempt in race.timeline.attempts}
    assert (ended[DROPS], ended["127.0.0.1"]) == ("cancelled" if silent else "failed", "won")


@pytest.mark.parametrize(("scheme", "promised"), [("https", True), ("wss", True), ("http", False), ("ws", False)])
async def test_nothing_is_sent_before_tls_begins(scheme: str, promised: bool, autojump_clock: trio.abc.Clock) -> None:
    """A promise has nothing to close and knows nothing; where TLS does not follow, a connection is one at once."""
    net = SimulatedNetwork()
    net.host("192.0.2.1").accepts()
    pool: Any = transport(nb.Connector(network=net))._pool
    pool.create_connection(httpcore.Origin(scheme.encode(), b"192.0.2.1", 443))
    stream = await pool._network_backend.connect_tcp("192.0.2.1", 443)
    assert bool(net.connects) is not promised
    assert (stream.get_extra_info("socket") is None) is promised
    await stream.aclose()
    assert net.open_sockets == 0


async def test_through_a_proxy_tls_is_httpcore_s(nobody: int) -> None:
    """Behind the dialogue with the proxy a new race would lead past it."""
    made = transport(proxy="http://127.0.0.1:1")
    pool: Any = made._pool
    pool.create_connection(httpcore.Origin(b"https", b"target.example", 443))
    with pytest.raises(httpcore.ConnectError, match=f"127.0.0.1:{nobody}"):
        await pool._network_backend.connect_tcp("127.0.0.1", nobody)


@has_httpx2
async def test_httpx2_gets_errors_of_its_own(nobody: int) -> None:
    made = transport(connector("127.0.0.1"), library=httpx2)
    with trio.fail_after(10):
        async with httpx2.AsyncClient(transport=made) as client:
            for scheme in ("http", "https"):
                with pytest.raises(httpx2.ConnectError, match=f"all attempts to connect to {HOST}:{nobody} failed"):
                    await client.get(f"{scheme}://{HOST}:{nobody}/")


async def test_a_cancelled_handshake_leaves_no_socket() -> None:
    """A stream of httpcore's own stays open here; the fixture that counts sockets would see ours."""
    with trio.fail_after(10), socket.create_server(("127.0.0.1", 0)) as listener:
        async with httpx.AsyncClient(transport=transport(), timeout=None) as client:
            with trio.move_on_after(0.1) as scope:
                await client.get(f"https://127.0.0.1:{listener.getsockname()[1]}/")
    assert scope.cancelled_caught


@pytest.mark.parametrize("host", ["a..example", "x" * 64 + ".example"])
async def test_a_host_that_makes_no_sense_is_no_crash(host: str) -> None:
    """A redirect of a server may name anything: what catches `httpx.HTTPError` catches this."""
    async with httpx.AsyncClient(transport=transport()) as client:
        with pytest.raises(httpx.ConnectError, match="label"):
            await client.get(f"http://{host}/")


async def test_retries_are_races(nobody: int) -> None:
    with trio.fail_after(10), nb.record() as recording:
        async with httpx.AsyncClient(transport=transport(retries=1)) as client:
            with pytest.raises(httpx.ConnectError):
                await client.get(f"http://127.0.0.1:{nobody}/")
    assert len(recording) == 2


async def test_a_proxy_is_reached_by_a_race(nobody: int) -> None:
    with trio.fail_after(10), nb.record() as recording:
        proxy = f"http://{HOST}:{nobody}"
        async with httpx.AsyncClient(transport=transport(connector("127.0.0.1"), proxy=proxy)) as client:
            with pytest.raises(httpx.ConnectError):
                await client.get("http://other.example/")
    assert "127.0.0.1" in addresses_tried(recording[0])


async def test_a_local_address_chooses_the_family(nobody: int) -> None:
    """HTTPX's documentation: `local_address="0.0.0.0"` makes it use IPv4 only."""
    with trio.fail_after(10), nb.record() as recording:
        made = transport(connector("127.0.0.1"), local_address="0.0.0.0")
        async with httpx.AsyncClient(transport=made) as client:
            with pytest.raises(httpx.ConnectError):
                await client.get(f"http://{HOST}:{nobody}/")
    assert addresses_tried(recording[0]) == ["127.0.0.1"]


async def test_a_local_address_is_numeric() -> None:
    with pytest.raises(ValueError, match="local_address must be numeric, not 'localhost'"):
        await NetworkBackend().connect_tcp("127.0.0.1", 80, local_address="localhost")


def test_an_httpx_that_hides_its_pool_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not a client that connects without us."""
    monkeypatch.setattr(httpx, "AsyncHTTPTransport", types.SimpleNamespace)
    with pytest.raises(RuntimeError, match="hides its network backend"):
        transport()


@pytest.mark.parametrize("package", ["httpx", "httpcore"])
def test_a_missing_package_names_the_extras(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "httpx2", None)
    error = str(import_without(package, "trio_nbconnect.httpcore", monkeypatch))
    assert "'trio-nbconnect[http]', or 'trio-nbconnect[httpx2]'" in error


WITH_HTTPX2_ALONE = """
import sys
sys.modules.update(httpx=None, httpcore=None)
import httpx2, trio_nbconnect.httpcore as ours
for made in ours.transport(), ours.sync_transport():
    print(type(made).__module__.partition(".")[0], type(made._pool._network_backend).__name__)
"""


@has_httpx2
def test_httpx2_alone_is_enough() -> None:
    run = subprocess.run([sys.executable, "-c", WITH_HTTPX2_ALONE], capture_output=True, text=True, check=True)

    assert run.stdout.split() == ["httpx2", "NetworkBackend", "httpx2", "SyncNetworkBackend"]


@pytest.mark.parametrize("package", ["httpx", pytest.param("httpx2", marks=has_httpx2)])
def test_another_missing_package_is_reported_as_it_is(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if package == "httpx2":
        monkeypatch.setitem(sys.modules, "httpx", None)
    error = import_with_broken(package, "trio_nbconnect.httpcore", tmp_path, monkeypatch)
    assert error.name == "a_package_that_it_needs"


# Socket options

KEEP_ALIVE = (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


@pytest.mark.parametrize("given", ["none", "for all", "for one family"])
async def test_socket_options_come_before_the_connect(given: str) -> None:
    """They are added to the connector's; its `configure`, called before `connect`, sees them set."""
    seen: list[int] = []

    def look(sock: socket.socket, address: nb.Address) -> None:
        seen.append(sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))
        with pytest.raises(OSError, match="not connected"):
            sock.getpeername()

    own = nb.SocketOptions(configure=look)
    options = {"none": None, "for all": own, "for one family": {socket.AF_INET: own}}[given]
    backend = NetworkBackend(nb.Connector(options=options))
    no_delay = (socket.IPPROTO_TCP, socket.TCP_NODELAY, bytearray(4))
    with trio.fail_after(5), socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        stream = await backend.connect_tcp("127.0.0.1", port, socket_options=[KEEP_ALIVE, no_delay])
        sock = stream.get_extra_info("socket")
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 0
        assert stream.get_extra_info("ssl_object") is None
        await stream.aclose()
    assert seen == ([] if given == "none" else [1])


async def test_an_option_with_a_length_and_no_value() -> None:
    with pytest.raises(ValueError, match=r"socket_options must be \(level, option, value\)"):
        await NetworkBackend().connect_tcp("127.0.0.1", 80, socket_options=[(1, 2, None, 3)])


# UNIX


async def test_a_unix_socket(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with trio.fail_after(5), socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        stream = await NetworkBackend().connect_unix_socket(path, socket_options=[KEEP_ALIVE])
        assert stream.get_extra_info("server_addr") == path
        assert stream.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        await stream.aclose()
        with pytest.raises(httpcore.ConnectError, match=r"Protocol not available|Operation not supported"):
            await NetworkBackend().connect_unix_socket(path, socket_options=[(socket.SOL_SOCKET, 9999, 1)])


async def test_a_unix_socket_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(httpcore.ConnectError, match="No such file") as caught:
        await NetworkBackend().connect_unix_socket(str(tmp_path / "socket"))
    assert isinstance(caught.value.__cause__, FileNotFoundError)


async def test_a_unix_socket_whose_backlog_stays_full(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with trio.fail_after(5), socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as first:
        listener.bind(path)
        listener.listen(0)
        first.connect(path)
        with pytest.raises(httpcore.ConnectTimeout):
            await NetworkBackend().connect_unix_socket(path, timeout=0.05)


# Streams


@pytest.mark.virtual_time
async def test_a_stream_carries_bytes(simulated: Simulated) -> None:
    stream, server = simulated
    await stream.write(b"")
    await stream.write(b"hello", timeout=1)
    assert await server.receive_some() == b"hello"
    await server.send_all(b"world")
    assert stream.get_extra_info("is_readable")
    assert await stream.read(3) == b"wor"
    await server.send_eof()
    assert [await stream.read(9, timeout=1), await stream.read(9)] == [b"ld", b""]


@pytest.mark.virtual_time
@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda stream: stream.read(1, timeout=1), httpcore.ReadTimeout),
        (lambda stream: stream.write(bytes(10**8), timeout=1), httpcore.WriteTimeout),
    ],
)
async def test_a_stream_that_takes_too_long(simulated: Simulated, call: Call, error: type[Exception]) -> None:
    with pytest.raises(error):
        await call(simulated[0])
    assert trio.current_time() == 1


@pytest.mark.virtual_time
@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda stream: stream.read(1), httpcore.ReadError),
        (lambda stream: stream.write(b"hello"), httpcore.WriteError),
    ],
)
async def test_a_stream_that_is_closed(simulated: Simulated, call: Call, error: type[Exception]) -> None:
    await simulated[0].aclose()
    with pytest.raises(error, match=r"closed|ClosedResourceError"):
        await call(simulated[0])


SCOPES = [
    ("::1%lo", "::1"),
    ("::1%25lo", "::1"),
    ("::1%25%6Co", "::1"),
    ("::1%251", "::1"),
    ("[::1%25lo]", "::1"),
]


@pytest.mark.parametrize(("host", "address"), SCOPES)
@pytest.mark.parametrize("tls_follows", [False, True])
async def test_a_scope_may_be_written_as_in_a_url(
    host: str, address: str, tls_follows: bool, autojump_clock: trio.abc.Clock
) -> None:
    """RFC 6874, section 2: "a <zone_id> ... appended as %25"; httpcore has it from the URL."""
    net = SimulatedNetwork()
    net.host(f"{address}%1").refuses()
    backend = NetworkBackend(nb.Connector(network=net), tls_follows=tls_follows)

    async def connect() -> None:
        stream = await backend.connect_tcp(host, 80)
        await stream.start_tls(ssl.create_default_context(), host)

    with pytest.raises(httpcore.ConnectError, match=r"all attempts to connect to .* failed"):
        await connect()
    assert list(net.started) == [f"{address}%1"]


@pytest.mark.parametrize("host", ["::1%nowhere7", "::1%25nowhere7", "::1%25", "fe80::1%25%ZZ"])
async def test_a_scope_that_is_not_there_is_no_crash(host: str) -> None:
    with pytest.raises(httpcore.ConnectError, match=r"interface that does not exist|failed"):
        await NetworkBackend().connect_tcp(host, 80)


async def test_tls_that_fails_closes_what_it_was_given(autojump_clock: trio.abc.Clock) -> None:
    """A handshake that never ends, one that breaks, a context of the wrong kind, and a name that makes no sense."""
    net = SimulatedNetwork()
    host = net.host("192.0.2.1").accepts()
    context = ssl.create_default_context()
    tries: list[tuple[Any, str | None, type[Exception]]] = [
        (context, HOST, httpcore.ConnectTimeout),
        (context, HOST, httpcore.ConnectError),
        (True, HOST, TypeError),
        (context, "a..example", httpcore.ConnectError),
        (context, None, httpcore.ConnectError),
    ]
    for number, (given, name, error) in enumerate(tries):
        stream = await NetworkBackend(nb.Connector(network=net)).connect_tcp("192.0.2.1", 443)
        async with await host.accept() as server:
            if number == 1:
                await server.send_all(b"220 mail.example ready\r\n")
            with pytest.raises(error):
                await stream.start_tls(given, name, timeout=1)
        assert net.open_sockets == 0


@pytest.mark.parametrize("make", [NetworkBackend, transport])
def test_a_connector_of_the_wrong_kind(make: Callable[[Any], object]) -> None:
    with pytest.raises(TypeError, match=r"connector must be a Connector or a proxy, not 'example\.org'"):
        make("example.org")


async def test_a_pool_may_be_given_the_backend(autojump_clock: trio.abc.Clock) -> None:
    """Without HTTPX, httpcore's own parameter; on a simulated network, in virtual time."""
    net = SimulatedNetwork()
    net.answers("example.org", aaaa=["2001:db8::1"], a=["192.0.2.1"])
    net.host("192.0.2.1").accepts()

    async def answer() -> None:
        async with await net.host("192.0.2.1").accept() as server:
            await server.receive_some()
            await server.send_all(b"HTTP/1.1 204 No Content\r\n\r\n")

    backend = NetworkBackend(nb.Connector(network=net))
    async with httpcore.AsyncConnectionPool(network_backend=backend) as pool, trio.open_nursery() as nursery:
        nursery.start_soon(answer)
        assert (await pool.request("GET", "http://example.org/")).status == 204
    assert net.open_sockets == 0


async def test_sleep_is_trio_s(autojump_clock: trio.abc.Clock) -> None:
    await NetworkBackend().sleep(3)
    assert trio.current_time() == 3
