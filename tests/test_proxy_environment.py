"""Proxies of the environment: `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`, as the standard library reads them."""

from __future__ import annotations

import os
import pickle
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
import trio

import trio_nbconnect as nb
from trio_nbconnect.httpcore import sync_transport, transport
from trio_nbconnect.proxy import EnvironmentProxy, HTTPProxy, SOCKS5Proxy, from_environment

from .servers import close

Set = Callable[..., None]


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Set:
    """Have no variables but these."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name == "REQUEST_METHOD":
            monkeypatch.delenv(name)

    def setenv(**variables: str) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return setenv


def test_nothing_is_set(environment: Set) -> None:
    direct = nb.Connector()
    chosen = from_environment(connector=direct)
    assert chosen.proxy is None
    assert chosen.opener_for("example.org", 443) is direct
    assert from_environment().connector == direct


@pytest.mark.parametrize(
    ("variables", "scheme", "host"),
    [
        ({"HTTPS_PROXY": "http://one.example", "HTTP_PROXY": "http://two.example"}, "https", "one.example"),
        ({"HTTPS_PROXY": "http://one.example", "HTTP_PROXY": "http://two.example"}, "http", "two.example"),
        ({"https_proxy": "http://small.example", "HTTPS_PROXY": "http://capital.example"}, "https", "small.example"),
        ({"ALL_PROXY": "http://all.example", "HTTPS_PROXY": "http://one.example"}, "https", "one.example"),
        ({"ALL_PROXY": "http://all.example"}, "wss", "all.example"),
        ({"HTTP_PROXY": "http://two.example"}, "https", None),
        ({"HTTPS_PROXY": ""}, "https", None),
        ({"HTTPS_PROXY": " "}, "https", None),
        ({"HTTP_PROXY": "http://evil.example", "REQUEST_METHOD": "GET"}, "http", None),  # https://httpoxy.org
    ],
)
def test_which_variable_counts(environment: Set, variables: dict[str, str], scheme: str, host: str | None) -> None:
    environment(**variables)
    proxy = from_environment(scheme).proxy
    assert (proxy and proxy.host) == host


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://proxy.example:3128", HTTPProxy("proxy.example", 3128)),
        ("proxy.example:3128", HTTPProxy("proxy.example", 3128)),
        ("http://proxy.example/", HTTPProxy("proxy.example", 80)),
        ("https://proxy.example", HTTPProxy("proxy.example", 443, tls=True)),
        ("socks5://proxy.example", SOCKS5Proxy("proxy.example", 1080)),
        ("socks5h://[2001:db8::1]:9", SOCKS5Proxy("2001:db8::1", 9)),
        ("socks5://[fe80::1%251]:9", SOCKS5Proxy("fe80::1%1", 9)),
        ("http://[fe80::1%1]", HTTPProxy("fe80::1%1", 80)),
        ("http://me:p%40ss@proxy.example", HTTPProxy("proxy.example", 80, username="me", password="p@ss")),
        ("http://me@proxy.example", HTTPProxy("proxy.example", 80, username="me", password="")),
        (" http://proxy.example:3128 ", HTTPProxy("proxy.example", 3128)),
        ("proxy.example:3128\r\n", HTTPProxy("proxy.example", 3128)),
    ],
)
def test_a_url_is_a_proxy(environment: Set, url: str, expected: HTTPProxy | SOCKS5Proxy) -> None:
    environment(ALL_PROXY=url)
    direct = nb.Connector()
    found: Any = from_environment(connector=direct).proxy
    assert type(found) is type(expected)
    for name in ("host", "port", "username", "password", "tls"):
        assert getattr(found, name) == getattr(expected, name)
    assert found.connector is direct


@pytest.mark.parametrize(
    "url", ["socks4://me:secret@h", "http://me:secret@h:port", "http://:80", "ftp://secret", "//["]
)
def test_what_is_no_proxy_is_an_error_that_hides_it(environment: Set, url: str) -> None:
    environment(HTTPS_PROXY=url)
    with pytest.raises(ValueError, match="the environment") as caught:
        from_environment()
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("host", "is_direct"),
    [
        ("internal.example", True),
        (b"db.internal.example", True),
        ("external.example", False),
        ("192.0.2.1", True),
        ("port.example", False),
    ],
)
def test_no_proxy(environment: Set, host: str | bytes, is_direct: bool) -> None:
    environment(ALL_PROXY="http://proxy.example", NO_PROXY="internal.example, 192.0.2.1,port.example:8443")
    chosen = from_environment()
    assert (chosen.opener_for(host, 443) is chosen.connector) == is_direct
    assert chosen.opener_for("port.example", 8443) is chosen.connector


@pytest.mark.parametrize(
    ("entry", "host", "is_direct"),
    [
        ("10.0.0.0/7", "11.1.1.1", True),
        ("10.0.0.0/7", "12.1.1.1", False),
        ("10.0.0.0/33", "10.0.0.1", False),
        ("10.0.0.0/8", "a10.example", False),
        ("127.0.0.1/8", "127.9.9.9", True),
        ("2001:db8::/32", "2001:DB8::1", True),
        ("::1", "[0:0:0:0:0:0:0:1]", True),
        ("x, [0:0::1]", "::1", True),
        ("192.0.2.1", "\uff11\uff19\uff12.0.2.1", True),
        ("fe80::/10", "fe80::1%1", True),
        ("example.org", "www.example.org.", True),
        ("xn--bcher-kva.example", "bücher.example", True),
        ("bücher.example", "bücher.example", True),
        ("*", "www.example.org", True),
        ("x.example, *", "www.example.org", True),
        ("*.example.org", "www.example.org", True),
        ("*.example.org", "www.anexample.org", False),
        ("*.example.org:443", "www.example.org", True),
        ("*.example.org:80", "www.example.org", False),
        ("example.org.", "www.example.org", True),
        ("x.example example.org", "www.example.org", True),
        ("x.example\t10.0.0.0/8\r\n", "10.1.1.1", True),
        (",", "www.example.org", False),
    ],
)
def test_no_proxy_names_networks_and_a_host_in_any_spelling(
    environment: Set, entry: str, host: str, is_direct: bool
) -> None:
    environment(ALL_PROXY="http://proxy.example", NO_PROXY=entry)
    chosen = from_environment()
    assert (chosen.opener_for(host, 443) is chosen.connector) == is_direct


def test_it_is_a_value(environment: Set) -> None:
    environment(ALL_PROXY="http://me:secret@proxy.example", NO_PROXY="*")
    chosen = from_environment()
    assert pickle.loads(pickle.dumps(chosen)) == chosen
    assert "secret" not in repr(chosen)


@pytest.fixture
def tunnels() -> Iterator[int]:
    """The port of an HTTP proxy that grants one tunnel, and answers a request in it itself."""

    def serve() -> None:
        with listener.accept()[0] as sock:
            for answer in (b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"):
                asked = b""
                while not asked.endswith(b"\r\n\r\n"):
                    asked += sock.recv(1)
                sock.sendall(answer)
            sock.recv(1)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


def test_a_transport_honours_it(environment: Set, tunnels: int) -> None:
    environment(HTTPS_PROXY=f"http://127.0.0.1:{tunnels}")
    with httpx.Client(transport=sync_transport(from_environment())) as client:
        assert client.get("http://target.example/", timeout=5).text == "hi"


async def test_all_ways_lead_to_the_host(environment: Set) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, trio.fail_after(5):
        host, port = listener.getsockname()
        for chosen in (from_environment(), EnvironmentProxy(proxy=None, connector=nb.Connector())):
            await (await chosen.open_tcp_stream(host, port)).aclose()
            await (await chosen.connect(host, port, _same)).aclose()
            with pytest.raises(nb.ConnectTimeout):
                await chosen.open_tls_stream(host, port, give_up_after=0.05)


async def test_httpx_has_options_for_a_host_that_needs_no_proxy(environment: Set) -> None:
    """And a host that is none is an error of its own."""
    environment(ALL_PROXY="http://proxy.invalid", NO_PROXY="127.0.0.1")
    options = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    async with httpx.AsyncClient(transport=transport(from_environment("http"), socket_options=options)) as client:
        with socket.socket() as nobody:
            nobody.bind(("127.0.0.1", 0))
            with pytest.raises(httpx.ConnectError, match="refused"):
                await client.get(f"http://127.0.0.1:{nobody.getsockname()[1]}/")
        with pytest.raises(httpx.ConnectError, match="empty label"):
            await client.get("http://a..b/")
        with pytest.raises(ValueError, match="socket_options must be set on the Connector that the proxy uses"):
            await client.get("http://example.org/")


async def _same(stream: trio.abc.Stream) -> trio.abc.Stream:
    return stream


def test_tls_with_the_proxy_leaves_no_socket(environment: Set) -> None:
    environment(HTTPS_PROXY="https://proxy.example")
    with pytest.raises(ValueError, match="tls with the proxy leaves no socket"):
        from_environment().blocking()


def test_blocking_without_a_proxy(environment: Set) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        close(from_environment().blocking().create_connection(listener.getsockname(), 5))
