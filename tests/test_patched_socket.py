"""Programs that know nothing of us: `patched_socket` puts a race into the standard library and into urllib3."""

from __future__ import annotations

import http.client
import importlib
import inspect
import io
import poplib
import smtplib
import socket
import sys
import threading
import types
import urllib.request
import xmlrpc.client
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests
import urllib3
import urllib3.util.connection as its_connection

import trio_nbconnect as nb
from trio_nbconnect.blocking import patched_socket

from .adapters import DROPS, HOST, REFUSES, addresses_tried, connector, dropping
from .servers import ANSWER, http_server

ORIGINALS: Any = (socket.create_connection, its_connection.create_connection)
"""In a tuple: a module's own name for the function would be patched."""


@pytest.fixture(autouse=True)
def everything_is_put_back() -> Iterator[None]:
    hooks = list(sys.meta_path)
    yield
    assert (socket.create_connection, its_connection.create_connection) == ORIGINALS
    assert sys.meta_path == hooks


@pytest.fixture
def port() -> Iterator[int]:
    """The port of an HTTP server on 127.0.0.1; another address of its host refuses, and one drops our packets."""
    with http_server() as port, dropping(port):
        yield port


@pytest.fixture
def greeting(request: pytest.FixtureRequest) -> Iterator[int]:
    """The port of a server that greets, and says goodbye to whatever it is told."""

    def greet() -> None:
        with listener.accept()[0] as sock:
            sock.settimeout(5)
            for word in request.param:
                sock.sendall(word)
                sock.recv(100)

    with socket.create_server(("127.0.0.1", 0)) as listener, dropping(listener.getsockname()[1]):
        thread = threading.Thread(target=greet)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


def with_urllib_request(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=5) as response:
        return response.read()  # type: ignore[no-any-return]


def with_http_client(url: str) -> bytes:
    connection = http.client.HTTPConnection(url.removeprefix("http://").rstrip("/"), timeout=5)
    connection.request("GET", "/")
    try:
        return connection.getresponse().read()
    finally:
        connection.close()


def with_requests(url: str) -> bytes:
    with requests.Session() as session:
        session.trust_env = False
        return session.get(url, timeout=5).content


def with_urllib3(url: str) -> bytes:
    with urllib3.PoolManager(timeout=5.0, retries=False) as pool:
        return pool.request("GET", url).data


def with_httpx(url: str) -> bytes:
    with httpx.Client(trust_env=False, timeout=5) as client:
        return client.get(url).content


@pytest.mark.parametrize("get", [with_urllib_request, with_http_client, with_requests, with_urllib3, with_httpx])
def test_http_over_a_broken_host(port: int, get: Callable[[str], bytes]) -> None:
    with patched_socket(connector()), nb.record() as recording:
        assert get(f"http://{HOST}:{port}/") == ANSWER
    assert [address for address in addresses_tried(recording[-1]) if ":" not in address] == [
        REFUSES,
        DROPS,
        "127.0.0.1",
    ]


@pytest.mark.parametrize("greeting", [[b"220 hello\r\n", b"221 goodbye\r\n"]], indirect=True)
def test_smtp(greeting: int) -> None:
    with patched_socket(connector()), nb.record() as recording, smtplib.SMTP(HOST, greeting, timeout=5):
        pass
    assert len(recording) == 1


@pytest.mark.parametrize("greeting", [[b"+OK hello\r\n", b"+OK goodbye\r\n"]], indirect=True)
def test_pop(greeting: int) -> None:
    with patched_socket(connector()), nb.record() as recording:
        poplib.POP3(HOST, greeting, timeout=5).quit()
    assert len(recording) == 1


def test_xmlrpc_fails_with_our_error() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        with patched_socket(), pytest.raises(nb.ConnectRefused), xmlrpc.client.ServerProxy(url) as proxy:
            proxy.system.listMethods()


# urllib3's own


@pytest.fixture
def patched() -> Iterator[None]:
    with patched_socket():
        yield


def connect(*arguments: Any, **keywords: Any) -> socket.socket:
    return its_connection.create_connection(*arguments, **keywords)


def test_urllib3_s_parameters(port: int, patched: None) -> None:
    """Its default is not that of the standard library, but means the same."""
    option = (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    socket.setdefaulttimeout(3.0)
    try:
        with connect(("127.0.0.1", port), source_address=("127.0.0.9", 0), socket_options=[option]) as sock:
            assert (sock.gettimeout(), sock.getsockname()[0]) == (3.0, "127.0.0.9")
            assert sock.getsockopt(*option[:2]) == 1
        with connect(("127.0.0.1", port), 5) as sock:
            assert sock.gettimeout() == 5
    finally:
        socket.setdefaulttimeout(None)
    assert inspect.signature(its_connection.create_connection) == inspect.signature(ORIGINALS[1])


def test_a_host_that_is_none(patched: None) -> None:
    """It is urllib3's error, which requests knows."""
    with pytest.raises(urllib3.exceptions.LocationParseError, match="label"):
        connect((f"{'a' * 64}.example", 80))


@pytest.mark.parametrize(("family", "tried"), [(socket.AF_UNSPEC, 2), (socket.AF_INET, 1)])
def test_a_family_that_a_program_has_ruled_out(
    port: int, monkeypatch: pytest.MonkeyPatch, family: socket.AddressFamily, tried: int
) -> None:
    """Many a program avoids IPv6 like this."""
    monkeypatch.setattr(its_connection, "allowed_gai_family", lambda: family)
    with patched_socket(connector("127.0.0.1")), nb.record() as recording:
        connect((HOST, port)).close()
    assert len(addresses_tried(recording[0])) == tried


def test_a_proxy_does_as_it_likes_about_families(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(its_connection, "allowed_gai_family", lambda: socket.AF_INET)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        proxy = nb.proxy.SOCKS5Proxy("127.0.0.1", nobody.getsockname()[1])
        with patched_socket(proxy), pytest.raises(ConnectionRefusedError):
            connect((HOST, 80))


COPY = """
import socket

class LocationParseError(ValueError): ...

def allowed_gai_family():
    return socket.AF_UNSPEC

def create_connection(address, timeout=5, source_address=None, socket_options=None):
    raise NotImplementedError
"""


@pytest.fixture
def vendored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of urllib3 inside another package, not yet imported; the file can be changed."""
    folder = tmp_path / "somebody" / "urllib3" / "util"
    folder.mkdir(parents=True)
    (folder / "connection.py").write_text(COPY, "utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield folder / "connection.py"
    for name in [name for name in sys.modules if name.startswith("somebody")]:
        del sys.modules[name]


def import_copy() -> Any:
    return importlib.import_module("somebody.urllib3.util.connection")


def test_a_copy_that_is_imported_later(port: int, vendored: Path) -> None:
    """By all blocks that are open; and nothing about the module is strange."""
    outer, inner = ExitStack(), ExitStack()
    with outer, inner:
        outer.enter_context(patched_socket())
        inner.enter_context(patched_socket())
        copy = import_copy()
        both = copy.create_connection
        both(("127.0.0.1", port)).close()
        assert "NotImplementedError" in inspect.getsource(copy)
        assert copy.__loader__ is copy.__spec__.loader
        assert isinstance(copy.__loader__, SourceFileLoader)
        inner.pop_all().close()
        assert copy.create_connection is not both
        copy.create_connection(("127.0.0.1", port)).close()
    with pytest.raises(NotImplementedError):
        copy.create_connection(("127.0.0.1", port))


def test_what_has_other_parameters_is_somebody_else_s(vendored: Path) -> None:
    vendored.write_text(COPY.replace("source_address", "resolver"), "utf-8")
    theirs = import_copy().create_connection
    with patched_socket():
        assert import_copy().create_connection is theirs


@pytest.mark.parametrize("text", ["", "create_connection = None", "class create_connection: ..."])
def test_a_copy_without_the_function(vendored: Path, text: str) -> None:
    vendored.write_text(text, "utf-8")
    with patched_socket():
        import_copy()


def test_a_copy_that_is_missing(vendored: Path) -> None:
    vendored.unlink()
    with patched_socket(), pytest.raises(ImportError):
        import_copy()


# The patch


def module_with(text: str, name: str, monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    module = types.ModuleType(name)
    exec(text, vars(module))  # what a module is, too
    monkeypatch.setitem(sys.modules, name, module)
    return module


def test_what_was_imported_by_name_is_reached(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    library = module_with("from socket import create_connection as dial", "a_library", monkeypatch)
    with patched_socket() as patch, nb.record() as recording:
        library.dial(("127.0.0.1", port), timeout=5).close()
        late = module_with("from socket import create_connection as dial", "a_late_library", monkeypatch)
        kept = socket.create_connection
        patch.stop()
        kept(("127.0.0.1", port)).close()  # it passes calls on
    assert len(recording) == 1
    assert library.dial is late.dial is ORIGINALS[0]


def test_for_a_program(port: int) -> None:
    patch = patched_socket(nb.Connector().blocking())
    patch.stop()  # nothing was started
    assert patch.start() is patch
    try:
        with pytest.raises(RuntimeError, match="started already"):
            patch.start()
    finally:
        patch.stop()
    with patch:  # again
        assert socket.create_connection is not ORIGINALS[0]


def test_blocks_overlap_in_threads(port: int) -> None:
    def enter_and_leave(_: int) -> None:
        with patched_socket(), patched_socket():
            socket.create_connection(("127.0.0.1", port), 5).close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(enter_and_leave, range(8)))


@pytest.mark.parametrize("wrong", [5, "example.org", nb.Policy(), nb.Connector])
def test_a_connector_of_the_wrong_kind(wrong: Any) -> None:
    with pytest.raises(TypeError, match="connector must be a Connector or a proxy, not "):
        patched_socket(wrong)


def test_it_looks_like_the_standard_library_s(patched: None) -> None:
    ours = list(inspect.signature(socket.create_connection).parameters.values())
    theirs = list(inspect.signature(ORIGINALS[0]).parameters.values())
    assert [(each.name, each.kind, each.default) for each in ours[: len(theirs)]] == [
        (each.name, each.kind, each.default) for each in theirs
    ]
    help_text = io.StringIO(inspect.getdoc(socket.create_connection))
    assert help_text.readline().startswith("Connect to a host over TCP")
