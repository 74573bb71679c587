"""anyio's connectables, done by us: its interface, its streams, its errors, our races."""

from __future__ import annotations

import asyncio
import inspect
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, cast
from unittest.mock import AsyncMock

import anyio
import anyio._core._sockets
import anyio.abc
import anyio.streams.tls
import pytest
import trio
import trio.testing
import trustme
from anyio import connect_tcp

import trio_nbconnect as nb
from trio_nbconnect._adapters.for_anyio import (
    SocketStream,
    TCPConnectable,
    TLSConnectable,
    UNIXConnectable,
    _connectable,
    _StandIns,
    patched_anyio,
)
from trio_nbconnect.testing import SimulatedNetwork

from .adapters import DROPS, HOST, REFUSES, addresses_tried, connector, dropping, import_with_broken, import_without

Call = Callable[[SocketStream], Awaitable[object]]


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
async def port(authority: trustme.CA) -> AsyncIterator[int]:
    """The port of a TLS server on 127.0.0.1, anyio's, that echoes."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(HOST).configure_cert(context)

    async def echo(stream: anyio.abc.ByteStream) -> None:
        async with stream:
            try:
                await stream.send(await stream.receive())
            except (anyio.EndOfStream, anyio.BrokenResourceError, ssl.SSLError):
                return

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, anyio.create_task_group() as group:
        secure = anyio.streams.tls.TLSListener(listener, context, standard_compatible=False)
        group.start_soon(secure.serve, echo)
        yield listener.extra(anyio.abc.SocketAttribute.local_port)
        group.cancel_scope.cancel()


@pytest.fixture
async def simulated() -> AsyncIterator[tuple[SocketStream, trio.SocketStream]]:
    """A stream as anyio has it, and the server's end of it."""
    net = SimulatedNetwork()
    net.host("192.0.2.1").accepts()
    stream = await TCPConnectable(IPv4Address("192.0.2.1"), 80, connector=nb.Connector(network=net)).connect()
    async with await net.host("192.0.2.1").accept() as server:
        yield stream, server
    await stream.aclose()
    assert net.open_sockets == 0


# TCP


async def test_tcp_over_a_broken_host() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, trio.fail_after(5), nb.record() as recording:
        port = listener.getsockname()[1]
        with dropping(port):
            connectable: anyio.abc.ByteStreamConnectable = TCPConnectable(HOST, port, connector=connector())
            async with await connectable.connect() as stream:
                assert stream.extra(anyio.abc.SocketAttribute.remote_address) == ("127.0.0.1", port)
                assert stream.extra(anyio.abc.SocketAttribute.remote_port) == port
                assert stream.extra(anyio.abc.SocketAttribute.family) == socket.AF_INET
                assert isinstance(stream.extra(anyio.abc.SocketAttribute.raw_socket), socket.socket)
    assert [ip for ip in addresses_tried(recording[0]) if ":" not in ip] == [REFUSES, DROPS, "127.0.0.1"]


async def test_a_failure_is_anyio_s_with_ours_as_its_cause() -> None:
    with socket.socket() as nobody, trio.fail_after(5):
        nobody.bind(("127.0.0.1", 0))
        host, port = nobody.getsockname()
        with pytest.raises(anyio.ConnectionFailed, match=f"error connecting to {host}:{port}: all attempts") as caught:
            await TCPConnectable(host, port).connect()
    assert isinstance(caught.value.__cause__, nb.ConnectRefused)


@pytest.mark.parametrize("kind", [TCPConnectable, TLSConnectable])
def test_bad_input_is_refused_at_once(kind: Any) -> None:
    with pytest.raises(ValueError, match="port must be between 0 and 65535, not 99536"):
        kind("127.0.0.1", 99536)
    with pytest.raises(ValueError, match="host must not be empty"):
        kind("", 80)
    with pytest.raises(TypeError, match="positional"):
        kind("127.0.0.1", 80, nb.Connector())


@pytest.mark.virtual_time
async def test_a_stream_carries_bytes(simulated: tuple[SocketStream, trio.SocketStream]) -> None:
    stream, server = simulated
    assert stream.extra(anyio.abc.SocketAttribute.remote_address) == ("192.0.2.1", 80)
    await stream.send(b"hello")
    await stream.send_eof()
    assert [await server.receive_some(), await server.receive_some()] == [b"hello", b""]
    await server.send_all(b"world")
    await server.send_eof()
    assert [await stream.receive(3), await stream.receive()] == [b"wor", b"ld"]
    with pytest.raises(anyio.EndOfStream):
        await stream.receive()


@pytest.mark.virtual_time
@pytest.mark.parametrize(
    "call", [lambda stream: stream.send(b"hello"), lambda stream: stream.receive(), lambda stream: stream.send_eof()]
)
async def test_a_stream_that_is_closed(simulated: tuple[SocketStream, trio.SocketStream], call: Call) -> None:
    await simulated[0].aclose()
    with pytest.raises(anyio.ClosedResourceError):
        await call(simulated[0])


@pytest.mark.virtual_time
async def test_a_stream_that_is_broken(simulated: tuple[SocketStream, trio.SocketStream]) -> None:
    stream, server = simulated
    await server.aclose()
    await stream.send(b"hello")  # what comes for a closed socket is answered with a reset
    with pytest.raises(anyio.BrokenResourceError) as caught:
        await stream.send(b"hello")
    assert isinstance(caught.value.__cause__, OSError)


@pytest.mark.virtual_time
async def test_a_stream_that_is_busy(simulated: tuple[SocketStream, trio.SocketStream]) -> None:
    stream, _ = simulated
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stream.send, bytes(10**8))
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(anyio.BusyResourceError):
            await stream.send(b"hello")
        nursery.cancel_scope.cancel()


# TLS


@pytest.mark.parametrize("standard_compatible", [True, False])
async def test_tls_over_a_broken_host(trusting: ssl.SSLContext, port: int, standard_compatible: bool) -> None:
    """An address that refuses, one that drops; and one whose TCP works and whose TLS hangs costs a delay, too."""
    hangs = "127.0.0.4"
    with socket.create_server((hangs, port)), dropping(port), trio.fail_after(10), nb.record() as recording:
        connectable = TLSConnectable(
            HOST,
            port,
            ssl_context=trusting,
            standard_compatible=standard_compatible,
            connector=connector(REFUSES, DROPS, hangs, "127.0.0.1"),
        )
        stream = await connectable.connect()
        await stream.send(b"hello")
        assert await stream.receive() == b"hello"
        assert stream.extra(anyio.streams.tls.TLSAttribute.tls_version).startswith("TLSv1.")
        assert stream.extra(anyio.abc.SocketAttribute.remote_port) == port
        await anyio.aclose_forcefully(stream)
    tried = [ip for ip in addresses_tried(recording[0]) if ":" not in ip]
    assert tried == [REFUSES, DROPS, hangs, "127.0.0.1"]


async def test_another_name_for_the_certificate(trusting: ssl.SSLContext, port: int) -> None:
    with trio.fail_after(10):
        connectable = TLSConnectable("127.0.0.1", port, hostname=HOST, ssl_context=trusting)
        await anyio.aclose_forcefully(await connectable.connect())
        with pytest.raises(anyio.ConnectionFailed, match="certificate") as caught:
            await TLSConnectable("127.0.0.1", port, ssl_context=trusting).connect()
    assert isinstance(caught.value.__cause__, nb.TLSError)
    with pytest.raises(ValueError, match="host must not have an empty label"):
        TLSConnectable("127.0.0.1", port, hostname="a..example")


async def test_a_certificate_that_nobody_trusts(port: int) -> None:
    """The default context verifies."""
    with trio.fail_after(10), pytest.raises(anyio.ConnectionFailed) as caught:
        await TLSConnectable(HOST, port, connector=connector("127.0.0.1")).connect()
    error = caught.value.__cause__
    assert isinstance(error, nb.TLSError)
    assert isinstance(error.primary_error, ssl.SSLCertVerificationError)


@pytest.mark.parametrize("standard_compatible", [True, False])
async def test_a_handshake_that_is_cut_off(trusting: ssl.SSLContext, standard_compatible: bool) -> None:
    async def close(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.aclose()

    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
            nursery.start_soon(trio.serve_listeners, close, [listener])
            port = listener.socket.getsockname()[1]
            connectable = TLSConnectable(
                "127.0.0.1", port, ssl_context=trusting, standard_compatible=standard_compatible
            )
            with pytest.raises(anyio.ConnectionFailed) as caught:
                await connectable.connect()
            nursery.cancel_scope.cancel()
    assert isinstance(caught.value.__cause__, nb.ConnectError)


async def test_anyio_s_own_tls_around_ours(trusting: ssl.SSLContext, port: int) -> None:
    with trio.fail_after(10):
        ours = TCPConnectable(HOST, port, connector=connector("127.0.0.1"))
        connectable = anyio.streams.tls.TLSConnectable(ours, hostname=HOST, ssl_context=trusting)
        stream = await connectable.connect()
        await stream.send(b"hello")
        assert await stream.receive() == b"hello"
        await anyio.aclose_forcefully(stream)


# UNIX


async def test_a_unix_socket(tmp_path: Path) -> None:
    """The stream is anyio's own; what a simulated network cannot do is no matter here."""
    path = tmp_path / "socket"
    with trio.fail_after(5), socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        async with await UNIXConnectable(path).connect() as stream:
            assert isinstance(stream, anyio.abc.UNIXSocketStream)
            server, _ = listener.accept()
            with server:
                await stream.send(b"hello")
                assert server.recv(9) == b"hello"


async def test_a_unix_socket_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(anyio.ConnectionFailed, match=r"error connecting to '.*socket': .*No such file") as caught:
        await UNIXConnectable(tmp_path / "socket").connect()
    assert isinstance(caught.value.__cause__, FileNotFoundError)


# Elsewhere


@pytest.mark.parametrize(
    "connectable", [TCPConnectable("127.0.0.1", 80), TLSConnectable("127.0.0.1", 80), UNIXConnectable("/nowhere")]
)
def test_asyncio_is_told(connectable: anyio.abc.ByteStreamConnectable) -> None:
    with pytest.raises(RuntimeError, match="connects under Trio"):
        asyncio.run(connectable.connect())


def test_anyio_s_own_way_to_run() -> None:
    async def main(host: str, port: int) -> bytes:
        async with await TCPConnectable(host, port).connect() as stream:
            server, _ = listener.accept()
            with server:
                server.send(b"hello")
            return await stream.receive()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert anyio.run(main, *listener.getsockname(), backend="trio") == b"hello"


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "trio-nbconnect[anyio]" in str(import_without("anyio", "trio_nbconnect.anyio", monkeypatch))


def test_another_missing_package_is_reported_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    error = import_with_broken("anyio", "trio_nbconnect.anyio", tmp_path, monkeypatch)
    assert error.name == "a_package_that_it_needs"


# The patch


@pytest.mark.parametrize("secure", [False, True])
async def test_code_that_calls_anyio_over_a_broken_host(trusting: ssl.SSLContext, port: int, secure: bool) -> None:
    """The first address refuses, the second drops, and with TLS the third completes TCP and never answers."""
    silent = "127.0.0.4"
    tls: dict[str, Any] = {"ssl_context": trusting, "tls_standard_compatible": False} if secure else {}
    addresses = [REFUSES, DROPS, *([silent] if secure else []), "127.0.0.1"]
    patch = patched_anyio(connector(*addresses))
    with trio.fail_after(10), nb.record() as recording, dropping(port), socket.create_server((silent, port)), patch:
        async with await anyio.connect_tcp(HOST, port, **tls) as stream:
            assert stream.extra(anyio.abc.SocketAttribute.remote_port) == port
            if secure:
                await stream.send(b"hello")
                assert await stream.receive() == b"hello"
    assert [ip for ip in addresses_tried(recording[-1]) if ":" not in ip] == addresses


async def test_what_a_caller_asks_of_anyio_is_honoured(autojump_clock: trio.testing.MockClock) -> None:
    net = SimulatedNetwork()
    net.answers(HOST, a=["192.0.2.1", "192.0.2.2"])
    net.host("192.0.2.2").accepts()
    with patched_anyio(nb.Connector(network=net)):
        stream = await anyio.connect_tcp(HOST, 80, local_host="192.0.2.99", happy_eyeballs_delay=3)
    assert stream.extra(anyio.abc.SocketAttribute.local_address)[0] == "192.0.2.99"
    assert net.started["192.0.2.2"] == 3
    await stream.aclose()


@pytest.mark.skipif("local_port" not in inspect.signature(anyio.connect_tcp).parameters, reason="new in anyio 4.14")
async def test_a_local_port_is_anyio_s() -> None:
    """We bind none; its own function is called as it was."""
    with socket.create_server(("127.0.0.1", 0)) as listener, patched_anyio(), nb.record() as recording:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        host, there = listener.getsockname()
        stream = await anyio.connect_tcp(host, there, local_host="127.0.0.1", local_port=port)
        assert stream.extra(anyio.abc.SocketAttribute.local_port) == port
        await stream.aclose()
    assert not recording


def test_under_asyncio_anyio_s_own_function_runs() -> None:
    async def main(port: int) -> None:
        async with await anyio.connect_tcp("127.0.0.1", port) as stream:
            assert not isinstance(stream, SocketStream)

    with socket.create_server(("127.0.0.1", 0)) as listener, patched_anyio():
        asyncio.run(main(listener.getsockname()[1]))


async def test_unix_sockets_too(tmp_path: Path) -> None:
    """Ours waits while the backlog is full, anyio's would fail."""
    path = str(tmp_path / "socket")
    with trio.fail_after(5), socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as first:
        listener.bind(path)
        listener.listen(0)
        first.connect(path)

        async def make_room() -> None:
            await trio.testing.wait_all_tasks_blocked()
            listener.accept()[0].close()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(make_room)
            with patched_anyio():
                async with await anyio.connect_unix(path) as stream:
                    assert isinstance(stream, anyio.abc.UNIXSocketStream)
        listener.accept()[0].close()


ELSEWHERE = [
    ("connect_tcp", ("127.0.0.1", 1), {"local_port": 5}),
    ("connect_tcp", ("127.0.0.1", 1), {"local_host": "::1", "local_port": 5, "tls": True, "of_tomorrow": 7}),
    ("connect_unix", ("/nowhere",), {"kind": socket.SOCK_SEQPACKET}),
    ("connect_unix", ("/nowhere", socket.SOCK_SEQPACKET), {}),
]


@pytest.mark.parametrize(("name", "arguments", "keywords"), ELSEWHERE)
async def test_what_is_left_to_anyio_gets_what_was_given(
    name: str, arguments: tuple[Any, ...], keywords: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no default of ours: another version of anyio may know other arguments."""
    mock = AsyncMock()
    monkeypatch.setattr(anyio, name, mock)
    with patched_anyio():
        await getattr(anyio, name)(*arguments, **keywords)
    mock.assert_awaited_once_with(*arguments, **keywords)


async def test_an_argument_that_nobody_knows_is_a_type_error() -> None:
    with patched_anyio(), pytest.raises(TypeError, match="of_tomorrow"):
        await anyio.connect_tcp("127.0.0.1", 1, of_tomorrow=7)  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (
            lambda: TCPConnectable("127.0.0.1", 80, connector=cast(Any, 5)),
            "connector must be a Connector or a proxy, not 5",
        ),
        (
            lambda: TLSConnectable("127.0.0.1", 80, connector=cast(Any, 5)),
            "connector must be a Connector or a proxy, not 5",
        ),
        (lambda: UNIXConnectable("/nowhere", connector=cast(Any, 5)), "connector must be a Connector, not 5"),
        (lambda: UNIXConnectable(cast(Any, 5)), "path must be str, bytes or os.PathLike, not 5"),
        (lambda: TLSConnectable("a", 80, ssl_context=cast(Any, True)), "ssl_context must be ssl.SSLContext, not True"),
        (lambda: patched_anyio(cast(Any, 5)).__enter__(), "connector must be a Connector or a proxy, not 5"),
    ],
)
def test_arguments_of_the_wrong_kind(make: Callable[[], object], complaint: str) -> None:
    with pytest.raises(TypeError) as caught:
        make()
    assert str(caught.value) == complaint


def test_a_host_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="host must be str or bytes, not None"):
        TCPConnectable(cast(Any, None), 80)


def test_what_was_there_is_put_back() -> None:
    """Also where it was imported by name."""
    before = connect_tcp
    with patched_anyio(), patched_anyio():
        assert before not in (anyio.connect_tcp, anyio._core._sockets.connect_tcp, connect_tcp)
    assert anyio.connect_tcp is anyio._core._sockets.connect_tcp is connect_tcp is before


def test_the_stand_in_takes_what_anyio_takes() -> None:
    """All its parameters but the port that is left to anyio, with its defaults; anything else is a TypeError."""
    theirs = inspect.signature(anyio.connect_tcp).parameters
    ours = inspect.signature(_connectable).parameters
    assert set(theirs) - set(ours) <= {"local_port"}
    assert {name: ours[name].default for name in theirs if name in ours} == {
        name: parameter.default for name, parameter in theirs.items() if name in ours
    }
    assert list(inspect.signature(_StandIns.connect_unix).parameters)[1] == "path"
