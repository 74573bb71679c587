"""requests connects through us: over broken hosts, with its errors, its pickles and its proxies."""

from __future__ import annotations

import pickle
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import trustme
import urllib3

import trio_nbconnect as nb
from trio_nbconnect.requests import HTTPAdapter

from .adapters import DROPS, HOST, REFUSES, addresses_tried, connector, dropping, import_with_broken, import_without
from .servers import ANSWER, contexts, http_server


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        yield session


def mount(session: requests.Session, adapter: HTTPAdapter) -> None:
    for scheme in ("http://", "https://"):
        session.mount(scheme, adapter)


def test_over_a_broken_host(session: requests.Session) -> None:
    mount(session, HTTPAdapter(connector()))
    with http_server() as port, dropping(port), nb.record() as recording:
        for _ in range(2):
            assert session.get(f"http://{HOST}:{port}/", timeout=5).content == ANSWER
        session.close()
    (race,) = recording  # the second request needed no connection
    assert [address for address in addresses_tried(race) if ":" not in address] == [REFUSES, DROPS, "127.0.0.1"]


def test_https_and_a_pickle(session: requests.Session, tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    mount(session, pickle.loads(pickle.dumps(HTTPAdapter(nb.Connector(), max_retries=1))))
    with http_server(contexts(authority)[0]) as port, nb.record() as recording:
        with pytest.raises(requests.exceptions.SSLError):
            session.get(f"https://127.0.0.1:{port}/", timeout=5, verify=str(tmp_path / "ca.pem"))
        session.close()
    assert len(recording) == 2


@pytest.mark.parametrize(
    ("url", "kind", "cause"),
    [
        ("http://127.0.0.1:{nobody}/", requests.ConnectionError, nb.ConnectRefused),
        (f"http://{DROPS}:{{port}}/", requests.ConnectTimeout, nb.ConnectTimeout),
        ("http://nowhere.invalid/", requests.ConnectionError, nb.ResolutionError),
    ],
)
def test_errors_are_those_of_requests(
    session: requests.Session, url: str, kind: type[Exception], cause: type[Exception]
) -> None:
    """And ours is inside."""
    mount(session, HTTPAdapter())
    with socket.socket() as nobody, socket.create_server(("127.0.0.1", 0)) as server:
        nobody.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
        filled = url.format(nobody=nobody.getsockname()[1], port=port)
        with dropping(port), pytest.raises(kind) as caught:
            session.get(filled, timeout=0.1)
    assert isinstance(nb.connect_error(caught.value), cause)


@pytest.mark.needs_ipv6
@pytest.mark.parametrize("host", ["[::1%25lo]", "[::1%lo]"])
def test_a_scope_in_a_url(session: requests.Session, host: str) -> None:
    """Requests quotes its "%", so that without us nobody can be reached so."""
    mount(session, HTTPAdapter())
    with socket.socket(socket.AF_INET6) as nobody, nb.record() as recording:
        nobody.bind(("::1", 0))
        with pytest.raises(requests.ConnectionError):
            session.get(f"http://{host}:{nobody.getsockname()[1]}/", timeout=5)
    (attempt,) = recording[-1].timeline.attempts
    assert (attempt.address.host, attempt.address.scope_id) == ("::1", 1)


def test_an_old_urllib3_has_no_error_for_names(session: requests.Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trio_nbconnect._adapters.for_requests._NameResolutionError", None)
    mount(session, HTTPAdapter())
    with pytest.raises(requests.ConnectionError, match="names below invalid are not looked up"):
        session.get("http://nowhere.invalid/", timeout=5)


def test_connections_to_a_proxy_are_raced(session: requests.Session) -> None:
    mount(session, HTTPAdapter(connector()))
    with http_server() as port, dropping(port), nb.record() as recording:
        proxies = {"http": f"http://{HOST}:{port}"}
        assert session.get("http://target.example/", timeout=5, proxies=proxies).content == ANSWER
        session.close()
    assert recording[0].timeline.host == HOST


def test_a_proxy_of_ours(session: requests.Session) -> None:
    """urllib3 asks for `TCP_NODELAY` at each connect; what a proxy can do nothing about is still refused."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        proxy = nb.proxy.HTTPProxy("127.0.0.1", port)
        asked: list[bytes] = []

        def serve() -> None:
            with listener.accept()[0] as sock, sock.makefile("rwb") as file:
                for answer in (b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"):
                    asked.append(file.readline())
                    while file.readline() != b"\r\n":
                        pass
                    file.write(answer)
                    file.flush()

        thread = threading.Thread(target=serve)
        thread.start()
        mount(session, HTTPAdapter(proxy))
        assert session.get("http://target.example/", timeout=5).content == b"hi"
        session.close()
        thread.join()
    assert asked == [b"CONNECT target.example:80 HTTP/1.1\r\n", b"GET / HTTP/1.1\r\n"]


def test_a_host_that_needs_no_proxy(session: requests.Session) -> None:
    """Has the connector's race, its limits and its options."""
    proxy = nb.proxy.HTTPProxy("proxy.invalid", 3128)
    chosen = nb.proxy.EnvironmentProxy(proxy=proxy, connector=connector(), no_proxy=HOST)
    mount(session, HTTPAdapter(chosen))
    with http_server() as port, dropping(port), nb.record() as recording:
        assert session.get(f"http://{HOST}:{port}/", timeout=5).content == ANSWER
        session.close()
    assert [race.timeline.host for race in recording] == [HOST]
    assert "127.0.0.1" in addresses_tried(recording[0])


def test_a_socks_proxy_is_pysocks_s(monkeypatch: pytest.MonkeyPatch) -> None:
    manager = urllib3.PoolManager()
    monkeypatch.setattr("requests.adapters.SOCKSProxyManager", lambda *_, **__: manager)
    before = manager.pool_classes_by_scheme
    assert HTTPAdapter().proxy_manager_for("socks5://127.0.0.1:1080") is manager
    assert manager.pool_classes_by_scheme is before


@pytest.mark.parametrize("wrong", [5, nb.Policy(), ssl.create_default_context])
def test_a_connector_of_the_wrong_kind(wrong: Any) -> None:
    with pytest.raises(TypeError, match="connector must be a Connector or a proxy, not "):
        HTTPAdapter(wrong)


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "trio-nbconnect[requests]" in str(import_without("requests", "trio_nbconnect.requests", monkeypatch))


def test_another_missing_package_is_reported_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    error = import_with_broken("requests", "trio_nbconnect.requests", tmp_path, monkeypatch)
    assert error.name == "a_package_that_it_needs"
