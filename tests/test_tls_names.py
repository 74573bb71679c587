"""Verified names: whoever begins TLS, the certificate must hold the same name, and the server is told the same."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
import h11
import httpcore
import httpx
import pytest
import trio
import trustme

import trio_nbconnect as nb
from trio_nbconnect.anyio import TLSConnectable, patched_anyio
from trio_nbconnect.httpcore import NetworkBackend, transport
from trio_nbconnect.proxy import HTTPProxy, SOCKS5Proxy

NAME, HOME = "host.example", "127.0.0.1"
ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"


class Everything:
    """A resolver: every name is this machine."""

    async def resolve(self, query: nb.Query, send_answer: Any) -> None:
        await trio.lowlevel.checkpoint()
        send_answer(nb.QuerySent(nb.Source.A))
        send_answer(nb.Answer(nb.Source.A, (nb.Address(socket.AF_INET, HOME, query.port),)))


@dataclass
class Server:
    """A TLS server whose certificate holds a name and addresses, and what clients have told it of its name (SNI)."""

    authority: trustme.CA
    sni: list[str | None] = field(default_factory=list)
    port: int = 0

    async def handle(self, stream: trio.abc.Stream) -> None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.authority.issue_cert(NAME, "xn--bcher-kva.example", HOME, "::1", "fe80::1").configure_cert(context)
        context.sni_callback = lambda _, name, __: self.sni.append(name)
        secure = trio.SSLStream(stream, context, server_side=True, https_compatible=True)
        with contextlib.suppress(trio.BrokenResourceError):
            await secure.receive_some()
            await secure.send_all(ANSWER)

    async def proxy(self, stream: trio.SocketStream) -> None:
        """Be an HTTP or a SOCKS5 proxy for it, whatever the target."""
        first = await stream.receive_some()
        if first[:1] == b"\x05":
            await stream.send_all(b"\x05\x00")
            await stream.receive_some()
            await stream.send_all(b"\x05\x00\x00\x01" + bytes(6))
        else:
            connection = h11.Connection(h11.SERVER)
            connection.receive_data(bytes(first))
            assert isinstance(connection.next_event(), h11.Request)
            await stream.send_all(b"HTTP/1.1 200 OK\r\n\r\n")
        await self.handle(stream)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def trust(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@asynccontextmanager
async def serving(handler: Callable[[trio.SocketStream], Awaitable[None]]) -> AsyncIterator[int]:
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host=HOME)
        nursery.start_soon(trio.serve_listeners, handler, listeners)
        with trio.fail_after(10):
            yield int(listeners[0].socket.getsockname()[1])
        nursery.cancel_scope.cancel()


EVERYTHING = nb.Connector(resolver=Everything())


async def talk(stream: trio.abc.Stream) -> None:
    """Use a stream, so that a lazy handshake happens."""
    try:
        await stream.send_all(b"hello")
        assert await stream.receive_some() == ANSWER
    finally:
        await trio.aclose_forcefully(stream)


async def lazy(host: str, port: int, context: ssl.SSLContext) -> None:
    await talk(await EVERYTHING.open_ssl_over_tcp_stream(host, port, ssl_context=context, https_compatible=True))


async def through_trio(host: str, port: int, context: ssl.SSLContext) -> None:
    with nb.patched_trio(EVERYTHING):
        await talk(await trio.open_ssl_over_tcp_stream(host, port, ssl_context=context, https_compatible=True))


async def in_the_race(host: str, port: int, context: ssl.SSLContext) -> None:
    await talk(await EVERYTHING.open_tls_stream(host, port, ssl_context=context, https_compatible=True))


async def through_http_proxy(host: str, port: int, context: ssl.SSLContext) -> None:
    proxy = HTTPProxy(HOME, port)
    await talk(await proxy.open_tls_stream(host, 443, ssl_context=context, https_compatible=True))


async def through_socks_proxy(host: str, port: int, context: ssl.SSLContext) -> None:
    proxy = SOCKS5Proxy(HOME, port)
    await talk(await proxy.open_tls_stream(host, 443, ssl_context=context, https_compatible=True))


async def with_httpx(host: str, port: int, context: ssl.SSLContext) -> None:
    async with httpx.AsyncClient(transport=transport(EVERYTHING, verify=context)) as client:
        assert (await client.get(f"https://{host}:{port}/")).status_code == 204


async def with_httpx_through_a_proxy(host: str, port: int, context: ssl.SSLContext) -> None:
    made = transport(EVERYTHING, verify=context, proxy=f"http://{HOME}:{port}")
    async with httpx.AsyncClient(transport=made) as client:
        assert (await client.get(f"https://{host}/")).status_code == 204


async def with_httpcore(host: str, port: int, context: ssl.SSLContext) -> None:
    backend = NetworkBackend(EVERYTHING)
    async with httpcore.AsyncConnectionPool(ssl_context=context, network_backend=backend) as pool:
        url = f"https://{host.encode('idna').decode()}:{port}/"  # httpcore takes ASCII
        assert (await pool.request("GET", url)).status == 204


async def with_anyio(host: str, port: int, context: ssl.SSLContext) -> None:
    connectable = TLSConnectable(host, port, ssl_context=context, standard_compatible=False, connector=EVERYTHING)
    stream = await connectable.connect()
    await stream.send(b"hello")
    assert await stream.receive() == ANSWER
    await anyio.aclose_forcefully(stream)


async def through_anyio(host: str, port: int, context: ssl.SSLContext) -> None:
    with patched_anyio(EVERYTHING):
        stream = await anyio.connect_tcp(host, port, ssl_context=context, tls_standard_compatible=False)
    await stream.send(b"hello")
    assert await stream.receive() == ANSWER
    await anyio.aclose_forcefully(stream)


async def through_trio_and_a_proxy(host: str, port: int, context: ssl.SSLContext) -> None:
    with nb.patched_trio(SOCKS5Proxy(HOME, port)):
        await talk(await trio.open_ssl_over_tcp_stream(host, 443, ssl_context=context, https_compatible=True))


async def with_httpx_over_our_proxy(host: str, port: int, context: ssl.SSLContext) -> None:
    made = transport(SOCKS5Proxy(HOME, port), verify=context)
    async with httpx.AsyncClient(transport=made) as client:
        assert (await client.get(f"https://{host}/")).status_code == 204


async def with_anyio_over_our_proxy(host: str, port: int, context: ssl.SSLContext) -> None:
    proxy = HTTPProxy(HOME, port)
    stream = await TLSConnectable(host, 443, ssl_context=context, standard_compatible=False, connector=proxy).connect()
    await stream.send(b"hello")
    assert await stream.receive() == ANSWER
    await anyio.aclose_forcefully(stream)


DIRECT = [lazy, through_trio, in_the_race, with_httpx, with_httpcore, with_anyio, through_anyio]
PROXIED = [
    through_http_proxy,
    through_socks_proxy,
    with_httpx_through_a_proxy,
    through_trio_and_a_proxy,
    with_httpx_over_our_proxy,
    with_anyio_over_our_proxy,
]


@pytest.mark.parametrize("door", [*DIRECT, *PROXIED])
@pytest.mark.parametrize(
    ("host", "sni"),
    [
        (NAME, NAME),
        (NAME + ".", NAME),
        ("HOST.example", NAME),
        ("bücher.example", "xn--bcher-kva.example"),
        (HOME, None),
    ],
)
async def test_a_name_is_verified_and_told_the_same_way(
    door: Callable[[str, int, ssl.SSLContext], Awaitable[None]],
    host: str,
    sni: str | None,
    authority: trustme.CA,
    trust: ssl.SSLContext,
) -> None:
    """RFC 6066, section 3: "without a trailing dot"; "Literal IPv4 and IPv6 addresses are not permitted"."""
    server = Server(authority)
    async with serving(server.proxy if door in PROXIED else server.handle) as port:
        await door(host, port, trust)

    assert [name and name.lower() for name in server.sni] == [sni]


@pytest.mark.parametrize(
    ("host", "sni"),
    [("[::1]", None), ("::1", None), ("fe80::1%1", None), ("[fe80::1%1]", None), (b"host.example.", NAME)],
)
@pytest.mark.parametrize("connect", [nb.open_ssl_over_tcp_stream, nb.open_tls_stream])
async def test_brackets_scopes_and_octets(
    connect: Callable[..., Awaitable[trio.abc.Stream]],
    host: str | bytes,
    sni: str | None,
    authority: trustme.CA,
    trust: ssl.SSLContext,
) -> None:
    """RFC 4007, section 6: a scope means nothing to the other side."""
    server = Server(authority)
    async with serving(server.handle) as port:
        await talk(await connect(host, port, ssl_context=trust, https_compatible=True, addresses=[HOME]))

    assert server.sni == [sni]


@pytest.mark.parametrize("door", [*DIRECT, *PROXIED])
async def test_another_name_is_refused(
    door: Callable[[str, int, ssl.SSLContext], Awaitable[None]], authority: trustme.CA, trust: ssl.SSLContext
) -> None:
    """A dot more does not make a certificate good for a stranger."""
    server = Server(authority)
    async with serving(server.proxy if door in PROXIED else server.handle) as port:
        with pytest.raises(REFUSALS):
            await door("other.example.", port, trust)


REFUSALS = (nb.TLSError, trio.BrokenResourceError, httpx.ConnectError, httpcore.ConnectError, anyio.ConnectionFailed)
