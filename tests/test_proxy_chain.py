"""Proxies behind proxies, TLS with a proxy, and TLS through any of them: all of it is part of the race."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import anyio
import anyio.abc
import h11
import pytest
import trio
import trustme

import trio_nbconnect as nb
from trio_nbconnect.anyio import UNIXConnectable, patched_anyio
from trio_nbconnect.httpcore import NetworkBackend
from trio_nbconnect.proxy import HTTPProxy, SOCKS5Proxy

HOME = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Certified:
    """Contexts of the two sides; the certificate is for the proxies' and the target's names."""

    server: ssl.SSLContext
    client: ssl.SSLContext


@pytest.fixture(scope="module")
def tls() -> Certified:
    authority = trustme.CA()
    server, client = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert("proxy.example", "target.example").configure_cert(server)
    authority.configure_trust(client)
    return Certified(server, client)


@asynccontextmanager
async def listening(handler: object, host: str = HOME, port: int = 0) -> AsyncIterator[int]:
    async def serve(stream: trio.SocketStream) -> None:
        with contextlib.suppress(trio.BrokenResourceError):
            await handler(stream)  # type: ignore[operator]  # an async callable of a stream

    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(port, host=host)
        nursery.start_soon(trio.serve_listeners, serve, listeners)
        yield int(listeners[0].socket.getsockname()[1])
        nursery.cancel_scope.cancel()


class Relay:
    """A proxy that really connects, to loopback whatever the name, and remembers who was asked for."""

    def __init__(self, kind: type[SOCKS5Proxy] | type[HTTPProxy], context: ssl.SSLContext | None = None) -> None:
        self.kind = kind
        self.context = context
        self.asked: list[str] = []

    async def __call__(self, stream: trio.abc.Stream) -> None:
        if self.context is not None:
            stream = trio.SSLStream(stream, self.context, server_side=True, https_compatible=True)
        host, port = await (self._socks(stream) if self.kind is SOCKS5Proxy else self._http(stream))
        self.asked.append(host)
        async with await nb.open_tcp_stream(HOME, port) as onward, trio.open_nursery() as nursery:
            reply = b"\x05\x00\x00\x01" + bytes(6) if self.kind is SOCKS5Proxy else b"HTTP/1.1 200 OK\r\n\r\n"
            await stream.send_all(reply)
            nursery.start_soon(self._pump, stream, onward)
            await self._pump(onward, stream)
            nursery.cancel_scope.cancel()

    async def _pump(self, here: trio.abc.Stream, there: trio.abc.Stream) -> None:
        with contextlib.suppress(trio.BrokenResourceError):
            async for data in here:
                await there.send_all(bytes(data))

    async def _socks(self, stream: trio.abc.Stream) -> tuple[str, int]:
        await stream.receive_some()
        await stream.send_all(b"\x05\x00")
        request = bytes(await stream.receive_some())
        return request[5:-2].decode(), int.from_bytes(request[-2:], "big")

    async def _http(self, stream: trio.abc.Stream) -> tuple[str, int]:
        connection = h11.Connection(h11.SERVER)
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Request):
                host, _, port = event.target.decode().rpartition(":")
                return host, int(port)
            connection.receive_data(bytes(await stream.receive_some()))


async def hello(stream: trio.abc.Stream) -> None:
    await stream.send_all(b"hello")
    await stream.receive_some()


@pytest.mark.parametrize("first", [SOCKS5Proxy, HTTPProxy])
@pytest.mark.parametrize("second", [SOCKS5Proxy, HTTPProxy])
async def test_a_proxy_leads_to_the_next(
    first: type[SOCKS5Proxy] | type[HTTPProxy], second: type[SOCKS5Proxy] | type[HTTPProxy]
) -> None:
    relays = Relay(first), Relay(second)
    async with listening(hello) as port, listening(relays[0]) as outer, listening(relays[1]) as inner:
        chain = second("second.example", inner, connector=first("localhost", outer))
        with nb.record() as recording:
            async with await chain.open_tcp_stream("target.example", port) as stream:
                assert await stream.receive_some() == b"hello"
                await stream.send_all(b".")

    assert [relay.asked for relay in relays] == [["second.example"], ["target.example"]]
    assert len(recording) == 1  # one race, to the first


async def test_tls_with_both_proxies_and_the_target(tls: Certified) -> None:
    async def secure_hello(stream: trio.abc.Stream) -> None:
        await hello(trio.SSLStream(stream, tls.server, server_side=True, https_compatible=True))

    relays = Relay(HTTPProxy, tls.server), Relay(SOCKS5Proxy, tls.server)
    async with listening(secure_hello) as port, listening(relays[0]) as outer, listening(relays[1]) as inner:
        first = HTTPProxy("proxy.example", outer, addresses=[HOME], tls=tls.client)
        chain = SOCKS5Proxy("proxy.example", inner, connector=first, tls=tls.client)
        stream = await chain.open_tls_stream("target.example", port, ssl_context=tls.client, https_compatible=True)
        async with stream:
            assert stream.server_hostname == "target.example"
            assert await stream.receive_some() == b"hello"
            await stream.send_all(b".")

    assert [relay.asked for relay in relays] == [["proxy.example"], ["target.example"]]


async def test_an_address_of_the_proxy_that_never_speaks_tls_costs_one_delay(tls: Certified) -> None:
    async def silent(stream: trio.abc.Stream) -> None:
        await trio.sleep_forever()

    relay = Relay(HTTPProxy, tls.server)
    async with listening(hello) as port, listening(relay) as proxy, listening(silent, "127.0.0.2", proxy):
        connector = nb.Connector(policy=nb.Policy(attempt_delay=0.02))
        via = HTTPProxy("proxy.example", proxy, connector=connector, addresses=["127.0.0.2", HOME], tls=tls.client)
        with nb.record() as recording:
            async with await via.open_tcp_stream("target.example", port) as stream:
                assert await stream.receive_some() == b"hello"
                await stream.send_all(b".")

    assert [row.outcome.value for row in recording[-1].timeline.attempts] == ["cancelled", "won"]


async def test_a_proxy_whose_certificate_is_bad_is_told_nothing(tls: Certified) -> None:
    relay = Relay(HTTPProxy, tls.server)
    async with listening(relay) as proxy:
        via = HTTPProxy("other.example", proxy, addresses=[HOME], tls=tls.client, username="me", password="hidden-word")
        with pytest.raises(nb.TLSError) as raised:
            await via.open_tcp_stream("target.example", 443)

    assert isinstance(raised.value.primary_error, ssl.SSLCertVerificationError)
    assert relay.asked == []
    assert "hidden-word" not in repr(raised.value)


@pytest.mark.parametrize(
    ("first", "second", "target", "whose"),
    [
        ("other.example", "proxy.example", "target.example", "other.example:{outer}"),
        ("proxy.example", "other.example", "target.example", "other.example:{inner}"),
        ("proxy.example", "proxy.example", "other.example", "other.example:{port}"),
    ],
)
async def test_an_error_of_tls_says_whose_it_was(
    tls: Certified, first: str, second: str, target: str, whose: str
) -> None:
    """Of two proxies and a target, of which one has a certificate for another name."""

    async def secured(stream: trio.SocketStream) -> None:
        await hello(trio.SSLStream(stream, tls.server, server_side=True, https_compatible=True))

    relays = Relay(HTTPProxy, tls.server), Relay(HTTPProxy, tls.server)
    async with listening(secured) as port, listening(relays[0]) as outer, listening(relays[1]) as inner:
        chain = HTTPProxy(
            second,
            inner,
            connector=HTTPProxy(first, outer, addresses=[HOME], tls=tls.client),
            tls=tls.client,
        )
        with pytest.raises(nb.TLSError) as raised:
            await chain.open_tls_stream(target, port, ssl_context=tls.client)

    whose = whose.format(outer=outer, inner=inner, port=port)
    assert str(raised.value).startswith(f"all attempts to connect to {first}:{outer}, the proxy for ")
    assert str(raised.value).endswith(f"certificate is not valid for 'other.example'. (in TLS with {whose})")


@pytest.mark.parametrize(
    ("arguments", "kind", "text"),
    [
        ({"connector": 5}, TypeError, "connector must be Connector or a proxy, not 5"),
        ({"tls": "yes"}, TypeError, "tls must be bool or ssl.SSLContext, not 'yes'"),
        (
            {"connector": HTTPProxy("a.example", 1), "addresses": ["192.0.2.1"]},
            ValueError,
            "addresses are of no use where another proxy looks the name up",
        ),
        (
            {"tls": ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)},
            ValueError,
            "ssl_context must be a client's, not ",
        ),
    ],
)
def test_what_makes_no_sense_is_said_at_once(arguments: dict[str, object], kind: type[Exception], text: str) -> None:
    with pytest.raises(kind) as raised:
        HTTPProxy("proxy.example", 1, **arguments)  # type: ignore[arg-type]

    assert str(raised.value).startswith(text)


async def test_the_limit_of_a_chain_is_that_of_its_first_race() -> None:
    connector = nb.Connector(policy=nb.Policy(give_up_tls_after=7))
    chain = HTTPProxy("b.example", 2, connector=SOCKS5Proxy("a.example", 1, connector=connector))

    assert chain._policy is connector.policy


# Adapters over a proxy


@pytest.mark.parametrize("kind", [SOCKS5Proxy, HTTPProxy])
@pytest.mark.parametrize("secure", [False, True], ids=["plain", "TLS with the proxy"])
async def test_adapters_take_a_proxy(kind: type[SOCKS5Proxy] | type[HTTPProxy], secure: bool, tls: Certified) -> None:
    """What calls Trio, anyio's connectables and httpcore's streams, also where the proxy speaks TLS."""

    async def echo(stream: trio.SocketStream) -> None:
        async for data in stream:
            await stream.send_all(data)

    relay = Relay(kind, tls.server if secure else None)
    async with listening(echo) as port, listening(relay) as outer:
        proxy = kind("proxy.example", outer, addresses=[HOME], tls=tls.client if secure else False)
        with nb.patched_trio(proxy), patched_anyio(proxy):
            async with await trio.open_tcp_stream("target.example", port) as stream:
                await stream.send_all(b"trio")
                assert await stream.receive_some() == b"trio"
            async with await anyio.connect_tcp("target.example", port, happy_eyeballs_delay=0.1) as anyios:
                await anyios.send(b"anyio")
                assert await anyios.receive() == b"anyio"
                assert anyios.extra(anyio.abc.SocketAttribute.remote_port) == outer
                if secure:
                    with pytest.raises(NotImplementedError):
                        await anyios.send_eof()
        cores = await NetworkBackend(proxy).connect_tcp("target.example", port)
        await cores.write(b"httpcore")
        assert await cores.read(9) == b"httpcore"
        assert cores.get_extra_info("server_addr") == (HOME, outer)
        await cores.aclose()

    assert relay.asked == ["target.example"] * 3


async def test_what_only_a_connector_can_do_is_refused() -> None:
    """Its options and its address are those of the connection to the proxy, and its user's to set."""
    proxy = SOCKS5Proxy(HOME, 1)
    keep_alive = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    with pytest.raises(ValueError, match="socket_options must be set on the Connector that the proxy uses"):
        await NetworkBackend(proxy).connect_tcp(HOME, 80, socket_options=keep_alive)
    with pytest.raises(ValueError, match="local_address must be set on the Connector"):
        await NetworkBackend(proxy).connect_tcp(HOME, 80, local_address=HOME)
    with nb.patched_trio(proxy), pytest.raises(ValueError, match="local_address must be set on the Connector"):
        await trio.open_tcp_stream(HOME, 80, local_address=HOME)
    with patched_anyio(proxy), pytest.raises(ValueError, match="local_host must be set on the Connector"):
        await anyio.connect_tcp(HOME, 80, local_host=HOME)


async def test_unix_sockets_go_through_no_proxy(tmp_path: Path) -> None:
    proxy, path = SOCKS5Proxy(HOME, 1), str(tmp_path / "socket")
    with trio.fail_after(5), socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        with nb.patched_trio(proxy), patched_anyio(proxy):
            await (await trio.open_unix_socket(path)).aclose()
            await (await anyio.connect_unix(path)).aclose()
        await (await NetworkBackend(proxy).connect_unix_socket(path)).aclose()
    with pytest.raises(TypeError, match="connector must be a Connector, not SOCKS5Proxy"):
        UNIXConnectable(path, connector=cast(nb.Connector, proxy))
