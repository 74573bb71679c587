"""Code that calls Trio itself: trio-websocket, unchanged, over a broken host, and the patch that makes it so."""

from __future__ import annotations

import importlib
import inspect
import math
import socket
import ssl
import sys
import types
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import AsyncMock

import pytest
import trio
import trustme
from trio_websocket import HandshakeError, WebSocketRequest, open_websocket, serve_websocket

import trio_nbconnect as nb
from trio_nbconnect._adapters.for_trio import _HOMES
from trio_nbconnect._pictures.timeline import RaceOutcome
from trio_nbconnect.testing import SimulatedNetwork

from .adapters import DROPS, HOST, REFUSES, addresses_tried, connector, dropping

NAMES = sorted(_HOMES)


@asynccontextmanager
async def websocket_server(context: ssl.SSLContext | None) -> AsyncIterator[int]:
    """Run trio-websocket's own server on 127.0.0.1; its port."""

    async def echo(request: WebSocketRequest) -> None:
        websocket = await request.accept()
        await websocket.send_message(await websocket.get_message())

    async with trio.open_nursery() as nursery:
        server = await nursery.start(serve_websocket, echo, "127.0.0.1", 0, context)
        yield server.port
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("secure", [False, True])
async def test_trio_websocket_over_a_broken_host(secure: bool) -> None:
    """One address refuses, one drops, the third serves; the library has no idea of us."""
    authority = trustme.CA()
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(HOST).configure_cert(server_context)
    client_context = ssl.create_default_context()
    authority.configure_trust(client_context)
    with trio.fail_after(10), nb.record() as recording:
        async with websocket_server(server_context if secure else None) as port:
            with dropping(port), nb.patched_trio(connector()):
                use_ssl = client_context if secure else False
                async with open_websocket(HOST, port, "/", use_ssl=use_ssl) as websocket:
                    await websocket.send_message("hello")
                    assert await websocket.get_message() == "hello"

    assert recording[-1].timeline.outcome is RaceOutcome.WON
    tried = [address for address in addresses_tried(recording[-1]) if ":" not in address]
    assert tried == [REFUSES, DROPS, "127.0.0.1"]


async def test_trio_websocket_raises_our_error() -> None:
    with socket.socket() as nobody, trio.fail_after(5):
        nobody.bind(("127.0.0.1", 0))
        with nb.patched_trio(), pytest.raises(HandshakeError) as caught:
            async with open_websocket("127.0.0.1", nobody.getsockname()[1], "/", use_ssl=False):
                pass
    assert isinstance(caught.value.__cause__, nb.ConnectRefused)


# The patch


def functions() -> list[Any]:
    """Return Trio's functions, as they are to be found now: in `trio`, then at home."""
    homes = [importlib.import_module(_HOMES[name]) for name in NAMES]
    return [getattr(module, name) for name, home in zip(NAMES, homes, strict=True) for module in (trio, home)]


TRIOS = functions()


@pytest.fixture(autouse=True)
def nothing_is_left() -> Any:
    assert functions() == TRIOS
    yield
    assert functions() == TRIOS


@pytest.mark.parametrize("chosen", [None, nb.Connector()])
def test_a_patch_has_trio_s_parameters(chosen: nb.Connector | None) -> None:
    with nb.patched_trio(chosen):
        for ours, trios in zip(functions(), TRIOS, strict=True):
            assert ours is not trios
            assert inspect.iscoroutinefunction(ours)
            parameters = list(inspect.signature(trios).parameters)
            assert list(inspect.signature(ours).parameters)[: len(parameters)] == parameters


def test_a_patch_ends_with_an_error() -> None:
    def fail() -> None:
        with nb.patched_trio():
            assert functions() != TRIOS
            raise KeyError("a bug")

    with pytest.raises(KeyError):
        fail()


BY_NAME = """
import trio
from trio import open_tcp_stream, open_unix_socket as connect

class Client:
    open_tcp_stream = staticmethod(open_tcp_stream)

other = print
"""


def module_with(code: str, name: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Load a module, as a library that is imported before the block or in it."""
    module: Any = types.ModuleType(name)
    exec(code, vars(module))
    monkeypatch.setitem(sys.modules, name, module)
    return module


async def test_what_was_imported_by_name_is_reached(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.abc.Clock
) -> None:
    """Under whatever name; not what a class has taken from its module, and nothing else is touched."""
    net = SimulatedNetwork()
    net.host("192.0.2.1").accepts()
    library = module_with(BY_NAME, "a_library", monkeypatch)
    trios = library.open_tcp_stream, library.connect
    with nb.patched_trio(nb.Connector(network=net)):
        late = module_with(BY_NAME, "a_library_imported_late", monkeypatch)
        assert library.open_tcp_stream is late.open_tcp_stream is trio.open_tcp_stream
        assert library.connect is late.connect is trio.open_unix_socket
        async with await library.open_tcp_stream("192.0.2.1", 80):
            assert len(net.connects) == 1
        assert library.Client.open_tcp_stream is trios[0]
        assert library.other is print
    assert (library.open_tcp_stream, library.connect) == trios
    assert (late.open_tcp_stream, late.connect) == trios


async def test_overlapping_blocks_leave_no_name_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    library = module_with(BY_NAME, "a_library", monkeypatch)
    trios = library.open_tcp_stream, library.connect
    first, second = ExitStack(), ExitStack()
    first.enter_context(nb.patched_trio())
    outer = library.open_tcp_stream
    second.enter_context(nb.patched_trio())
    assert library.open_tcp_stream not in (outer, trios[0])
    first.close()
    assert library.open_tcp_stream is trio.open_tcp_stream
    second.close()
    assert (library.open_tcp_stream, library.connect) == trios


def test_a_module_that_loads_when_looked_at_is_not_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    class Lazy(types.ModuleType):
        def __getattribute__(self, name: str) -> object:
            raise AssertionError(f"it was asked for {name}")

    monkeypatch.setitem(sys.modules, "a_lazy_module", Lazy("a_lazy_module"))
    monkeypatch.setitem(sys.modules, "not_a_module", cast(Any, SimpleNamespace()))
    with nb.patched_trio():
        pass


async def test_a_mock_in_trio_s_place_is_patched_and_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    mock = AsyncMock(name="open_tcp_stream")
    with monkeypatch.context() as patch:
        patch.setattr(trio, "open_tcp_stream", mock)
        with socket.create_server(("127.0.0.1", 0)) as listener, nb.patched_trio():
            async with await trio.open_tcp_stream(*listener.getsockname()):
                pass
        assert trio.open_tcp_stream is mock
    mock.assert_not_called()


async def test_calls_are_passed_on_as_they_were_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what was given, and no default of ours: those who come before and after us may know other arguments."""
    mock = AsyncMock(name="open_tcp_stream")
    with monkeypatch.context() as patch:
        patch.setattr(trio, "open_tcp_stream", mock)
        with nb.patched_trio():
            kept: Any = trio.open_tcp_stream
        await kept("192.0.2.1", port=80, of_tomorrow=True)
    mock.assert_awaited_once_with("192.0.2.1", port=80, of_tomorrow=True)


@pytest.mark.parametrize("connector", [5, "example.org", nb.Policy(), nb.Connector])
def test_a_connector_of_the_wrong_kind(connector: Any) -> None:
    with pytest.raises(TypeError, match="connector must be a Connector or a proxy, not "), nb.patched_trio(connector):
        pass


def test_patches_nest() -> None:
    with nb.patched_trio():
        outer = functions()
        with nb.patched_trio():
            assert not set(functions()) & {*outer, *TRIOS}
        assert functions() == outer


def test_a_trio_without_those_homes(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are Trio's own business, and may move."""
    monkeypatch.setitem(_HOMES, "open_unix_socket", "trio._elsewhere")
    before = trio.open_unix_socket
    with nb.patched_trio():
        assert trio.open_unix_socket is not before
    assert trio.open_unix_socket is before


async def test_patches_may_overlap(autojump_clock: trio.abc.Clock) -> None:
    """The blocks of two tasks end in any order: the one that is left works, and then Trio's functions are back."""
    first, second = SimulatedNetwork(), SimulatedNetwork()
    for net in (first, second):
        net.host("192.0.2.1").accepts()
    earlier, later = ExitStack(), ExitStack()
    with later:
        with earlier:
            earlier.enter_context(nb.patched_trio(nb.Connector(network=first)))
            kept = trio.open_tcp_stream
            later.enter_context(nb.patched_trio(nb.Connector(network=second)))
        await connect()
        assert (len(first.connects), len(second.connects)) == (0, 1)
        later.pop_all().close()
    assert functions() == TRIOS
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with await kept(*listener.getsockname()):  # a function that somebody has kept passes the call on
            assert first.connects == []


async def connect(**keywords: Any) -> None:
    """Do what a third party does."""
    async with await trio.open_tcp_stream("192.0.2.1", 80, **keywords):
        pass


async def test_somebody_else_s_patch_on_top_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    async def somebody_else_s() -> None:
        """Stand for a mock."""

    with monkeypatch.context() as patch:
        with nb.patched_trio():
            patch.setattr(trio, "open_tcp_stream", somebody_else_s)
        assert trio.open_tcp_stream is somebody_else_s  # type: ignore[comparison-overlap]
    left = trio.open_tcp_stream  # what they found there; it passes calls on
    assert "trio_nbconnect" in left.__module__
    with nb.patched_trio():
        pass
    assert functions() == TRIOS


@pytest.mark.parametrize(("delay", "expected"), [(None, 0.4), (0.25, 0.4), (0.3, 0.3), (math.inf, None)])
async def test_a_delay_that_was_asked_for_counts(
    autojump_clock: trio.abc.Clock, delay: float | None, expected: float | None
) -> None:
    """Trio's default is what callers have who ask for nothing: then the connector's policy stands."""
    net = SimulatedNetwork()
    net.answers("example.org", a=["192.0.2.1", "192.0.2.2"])
    with nb.patched_trio(nb.Connector(network=net, policy=nb.Policy(attempt_delay=0.4))), trio.move_on_after(1):
        await trio.open_tcp_stream("example.org", 80, happy_eyeballs_delay=delay)
    assert net.started.get("192.0.2.2") == (None if expected is None else pytest.approx(expected))


async def test_a_local_address_that_was_asked_for_counts(autojump_clock: trio.abc.Clock) -> None:
    net = SimulatedNetwork()
    net.host("192.0.2.1").accepts()
    with nb.patched_trio(nb.Connector(network=net)):
        stream = await trio.open_tcp_stream("192.0.2.1", 80, local_address="192.0.2.99")
        async with stream:
            assert stream.socket.getsockname()[0] == "192.0.2.99"


async def test_unix_sockets_too(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener, nb.patched_trio(nb.Connector()), trio.fail_after(5):
        listener.bind(str(tmp_path / "socket"))
        listener.listen()
        async with await trio.open_unix_socket(tmp_path / "socket") as stream:
            assert stream.socket.getpeername() == str(tmp_path / "socket")
