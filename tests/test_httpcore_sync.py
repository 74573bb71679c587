"""HTTPX's synchronous client connects through us: over broken hosts, with TLS in the race, and its own errors."""

from __future__ import annotations

import importlib
import socket
import ssl
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpcore
import httpx
import pytest
import trustme

import trio_nbconnect as nb
from trio_nbconnect.httpcore import SyncNetworkBackend, sync_transport

from .adapters import DROPS, HOST, REFUSES, addresses_tried, connector, dropping
from .servers import ANSWER, contexts, http_server

httpx2: Any = importlib.import_module("httpx2") if sys.version_info >= (3, 11) else None
LIBRARIES = [httpx] if httpx2 is None else [httpx, httpx2]


@pytest.fixture(scope="module")
def both() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's context and a client's."""
    return contexts(trustme.CA())


@pytest.fixture
def nobody() -> Iterator[int]:
    """A port of 127.0.0.1 on which nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


@pytest.mark.parametrize("library", LIBRARIES)
def test_https_over_a_broken_host(both: tuple[ssl.SSLContext, ssl.SSLContext], library: Any) -> None:
    server, client_context = both
    made = sync_transport(connector(), library=library, verify=client_context)
    with (
        http_server(server) as port,
        dropping(port),
        nb.record() as recording,
        library.Client(transport=made) as client,
    ):
        for _ in range(2):
            assert client.get(f"https://{HOST}:{port}/", timeout=5).content == ANSWER
    (race,) = recording  # the second request needed no connection
    assert [address for address in addresses_tried(race) if ":" not in address] == [REFUSES, DROPS, "127.0.0.1"]
    assert race.timeline.attempts[-1].connected is not None  # TLS came after it, in the race


def test_http_without_tls() -> None:
    made = sync_transport(connector())
    with http_server() as port, dropping(port), nb.record() as recording, httpx.Client(transport=made) as client:
        stream = client.get(f"http://{HOST}:{port}/", timeout=5).extensions["network_stream"]
        assert stream.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert len(recording) == 1


def test_httpx_s_errors(nobody: int) -> None:
    with httpx.Client(transport=sync_transport()) as client:
        with pytest.raises(httpx.ConnectError, match=r"127\.0\.0\.1 refused") as caught:
            client.get(f"http://127.0.0.1:{nobody}/")
        assert isinstance(nb.connect_error(caught.value), nb.ConnectRefused)
        with pytest.raises(httpx.ConnectError, match="label"):  # a redirect may say anything
            client.get(f"http://{'a' * 64}.example/")


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_time_out_is_one_of_httpx_s(scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, httpx.Client(transport=sync_transport()) as client:
        port = server.getsockname()[1]
        with dropping(port), pytest.raises(httpx.ConnectTimeout, match="gave up"):
            client.get(f"{scheme}://{DROPS}:{port}/", timeout=0.05)


def test_options_of_a_connection() -> None:
    option = (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    backend = SyncNetworkBackend()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        stream = backend.connect_tcp("127.0.0.1", port, local_address="127.0.0.9", socket_options=[option])
        sock = stream.get_extra_info("socket")
        assert sock.getsockopt(*option[:2]) == 1
        assert stream.get_extra_info("client_addr")[0] == "127.0.0.9"
        stream.close()


def test_a_promise_is_nothing_yet(nobody: int) -> None:
    promise = SyncNetworkBackend(tls_follows=True).connect_tcp("127.0.0.1", nobody)
    assert promise.get_extra_info("socket") is None
    promise.close()


def test_unix_sockets_are_httpcore_s(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        server.listen()
        SyncNetworkBackend().connect_unix_socket(str(tmp_path / "socket"), timeout=5).close()


def test_a_library_that_hides_what_we_need_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not a client that connects without us."""
    with monkeypatch.context() as patch:
        patch.setattr(httpx, "HTTPTransport", types.SimpleNamespace)
        with pytest.raises(RuntimeError, match="hides its network backend"):
            sync_transport()
    monkeypatch.delattr(sys.modules[httpcore.SyncBackend.connect_tcp.__module__], "SyncStream")
    with pytest.raises(RuntimeError, match="httpcore hides its stream"):
        SyncNetworkBackend()


@pytest.mark.parametrize("wrong", [5, nb.Policy(), nb.Connector])
def test_a_connector_of_the_wrong_kind(wrong: Any) -> None:
    with pytest.raises(TypeError, match="connector must be a Connector or a proxy, not "):
        sync_transport(wrong)
