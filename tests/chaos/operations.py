"""Operations: every way to open a connection, each against a server that accepts in the end."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import trio

import trio_nbconnect as nb
from trio_nbconnect.dns import DNSResolver
from trio_nbconnect.proxy import HTTPProxy, SOCKS5Proxy

from .place import HOST, Place

GOOD, DROPS, REFUSES, SILENT = "127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4"
FAST = nb.Policy(attempt_delay=0.010, minimum_delay=0.010)


@dataclass(frozen=True, kw_only=True)
class Operation:
    """A way to open a connection; what it returns can be closed by `close`."""

    name: str
    open: Callable[[Place, nb.Connector], Awaitable[Any]]
    takes_network: bool = True
    """Whether the connector's network is what it uses, and its tracer hears of it."""
    may_hang: bool = False
    """Whether an address of it never answers."""


class KnownAddresses:
    """A resolver that answers after a moment, one family after the other."""

    def __init__(self, *addresses: str) -> None:
        self._addresses = addresses

    async def resolve(self, query: nb.Query, send_answer: Callable[[Any], object]) -> None:
        """Be a `Resolver`."""
        for source, family in ((nb.Source.AAAA, socket.AF_INET6), (nb.Source.A, socket.AF_INET)):
            send_answer(nb.QuerySent(source))
            await trio.lowlevel.checkpoint()
            known = [text for text in self._addresses if (":" in text) == (family == socket.AF_INET6)]
            send_answer(nb.Answer(source, tuple(nb.Address(family, text, query.port) for text in known)))

    async def find_services(self, name: str) -> tuple[nb.Service, ...]:
        """Know two hosts of each service; the port is in its name."""
        await trio.lowlevel.checkpoint()
        port = int(name.split(".", maxsplit=1)[0].removeprefix("_port"))
        return tuple(nb.Service(priority=at, target=f"{at}.{HOST}", port=port) for at in (1, 2))


def _addresses(*addresses: str) -> Callable[[Place, nb.Connector], Awaitable[Any]]:
    async def open_stream(place: Place, connector: nb.Connector) -> Any:
        return await connector.open_tcp_stream(HOST, place.port, addresses=addresses)

    return open_stream


async def _literal(place: Place, connector: nb.Connector) -> Any:
    return await connector.open_tcp_stream(GOOD, place.port)


async def _name(place: Place, connector: nb.Connector) -> Any:
    return await connector.open_tcp_stream(HOST, place.port)


async def _system(place: Place, connector: nb.Connector) -> Any:
    """An address that is spelled as only the C library reads it, so that nobody else is asked."""
    return await connector.replace(resolver=None).open_tcp_stream("127.1", place.port)


async def _name_server(place: Place, connector: nb.Connector) -> Any:
    server = f"127.0.0.1:{place.dns_port}"
    resolver = DNSResolver(servers=[server], hosts=None, search=(), cache_size=0)
    return await connector.replace(resolver=resolver).open_tcp_stream(HOST, place.port)


async def _establish(place: Place, connector: nb.Connector) -> Any:
    async def two_steps(stream: trio.SocketStream) -> trio.SocketStream:
        await trio.lowlevel.checkpoint()
        await stream.send_all(b"hello")
        return stream

    return await connector.connect(HOST, place.port, two_steps, addresses=[DROPS, GOOD])


async def _tls(place: Place, connector: nb.Connector) -> Any:
    return await connector.open_tls_stream(
        HOST, place.tls_port, ssl_context=place.context(), addresses=[SILENT, DROPS, GOOD]
    )


async def _ssl_over_tcp(place: Place, connector: nb.Connector) -> Any:
    return await connector.open_ssl_over_tcp_stream(
        HOST, place.tls_port, ssl_context=place.context(), addresses=[REFUSES, GOOD]
    )


async def _unix(place: Place, connector: nb.Connector) -> Any:
    return await connector.open_unix_socket(place.accepting)


async def _socks(place: Place, connector: nb.Connector) -> Any:
    proxy = SOCKS5Proxy(HOST, place.socks_port, addresses=[REFUSES, GOOD], connector=connector)
    return await proxy.open_tcp_stream("target.example", 80)


async def _http(place: Place, connector: nb.Connector) -> Any:
    proxy = HTTPProxy(HOST, place.http_port, addresses=[REFUSES, GOOD], connector=connector)
    return await proxy.open_tcp_stream("target.example", 80)


async def _chain(place: Place, connector: nb.Connector) -> Any:
    first = SOCKS5Proxy(HOST, place.socks_port, addresses=[GOOD], connector=connector)
    try:  # what is behind the first one answers nothing, so that the second dialogue can only be cancelled
        return await HTTPProxy("second.example", 3128, connector=first).open_tcp_stream(
            "target.example", 80, give_up_after=0.05
        )
    except nb.ConnectTimeout:
        return None


async def _hosts(place: Place, connector: nb.Connector) -> Any:
    return await connector.open_tcp_stream([(REFUSES, place.port), (HOST, place.port), ("other.example", place.port)])


async def _service(place: Place, connector: nb.Connector) -> Any:
    return await connector.open_service_stream(f"_port{place.port}._tcp", HOST)


def _dials(place: Place, connector: nb.Connector) -> list[nb.Dial[trio.SocketStream]]:
    """One dial of each kind: it fails, it never ends, it has a race of its own, and two that are the caller's own."""

    async def by_hand() -> trio.SocketStream:
        sock = trio.socket.socket()
        await nb.connect_socket(sock, (GOOD, place.port))
        return trio.SocketStream(sock)

    dials: list[Callable[[], Awaitable[trio.SocketStream]]] = [
        partial(connector.open_tcp_stream, REFUSES, place.port),
        partial(connector.open_tcp_stream, DROPS, place.port),
        partial(connector.open_tcp_stream, HOST, place.port),
        by_hand,
        by_hand,
    ]
    return [nb.Dial(f"dial {number}", dial, group=str(number % 2)) for number, dial in enumerate(dials)]


async def _race(place: Place, connector: nb.Connector) -> Any:
    return await nb.race(_dials(place, connector), policy=FAST, tracer=connector.tracer)


async def _race_over_time(place: Place, connector: nb.Connector) -> Any:
    async def arriving() -> AsyncIterator[nb.Dial[trio.SocketStream]]:
        for dial in _dials(place, connector):
            await trio.lowlevel.checkpoint()
            yield dial

    return await nb.race(arriving(), policy=FAST, tracer=connector.tracer)


async def _connect_socket(place: Place, connector: nb.Connector) -> Any:
    sock = socket.socket()
    sock.setblocking(False)
    await nb.connect_socket(sock, (GOOD, place.port))
    return sock


async def _connect_trio_socket(place: Place, connector: nb.Connector) -> Any:
    sock = trio.socket.socket()
    await nb.connect_socket(sock, (GOOD, place.port))
    return sock


async def _handshake(place: Place, connector: nb.Connector) -> Any:
    sock = socket.socket()
    sock.setblocking(False)
    handshake = nb.Handshake.begin(sock, (GOOD, place.port))
    try:
        await handshake.wait()
    except BaseException:
        handshake.abort()
        raise
    return handshake.stream()


async def _full(place: Place, connector: nb.Connector) -> Any:
    """The queue stays full, so this can only be cancelled, or give up."""
    try:
        return await connector.open_unix_socket(place.full, give_up_after=0.05)
    except nb.ConnectTimeout:
        return None


OPERATIONS = [
    Operation(name="literal", open=_literal),
    Operation(name="one address", open=_addresses(GOOD)),
    Operation(name="refused, then good", open=_addresses(REFUSES, GOOD)),
    Operation(name="silent, then good", may_hang=True, open=_addresses(DROPS, GOOD)),
    Operation(
        name="six addresses",
        may_hang=True,
        open=_addresses(REFUSES, DROPS, "127.0.0.5", "127.0.0.6", GOOD, "127.0.0.7"),
    ),
    Operation(name="name", open=_name),
    Operation(name="system", open=_system),
    Operation(name="name server", open=_name_server),
    Operation(name="establish", may_hang=True, open=_establish),
    Operation(name="TLS", may_hang=True, open=_tls),
    Operation(name="TLS over TCP", open=_ssl_over_tcp),
    Operation(name="UNIX", open=_unix),
    Operation(name="UNIX, queue full", may_hang=True, open=_full),
    Operation(name="SOCKS5", open=_socks),
    Operation(name="HTTP CONNECT", open=_http),
    Operation(name="two proxies", may_hang=True, open=_chain),
    Operation(name="several hosts", open=_hosts),
    Operation(name="service", open=_service),
    Operation(name="race", may_hang=True, open=_race),
    Operation(name="race over time", may_hang=True, open=_race_over_time),
    Operation(name="connect_socket", open=_connect_socket, takes_network=False),
    Operation(name="connect_socket of Trio's", open=_connect_trio_socket, takes_network=False),
    Operation(name="Handshake", open=_handshake, takes_network=False),
]


@dataclass(frozen=True, kw_only=True)
class BlockingOperation:
    """A way to open a connection without an event loop."""

    name: str
    open: Callable[[Place, nb.Connector], socket.socket]


def _create(*addresses: str) -> Callable[[Place, nb.Connector], socket.socket]:
    def create_connection(place: Place, connector: nb.Connector) -> socket.socket:
        return connector.blocking().create_connection((HOST, place.port), 5, addresses=addresses or None)

    return create_connection


def _create_tls(place: Place, connector: nb.Connector) -> socket.socket:
    return connector.blocking().create_tls_connection(
        (HOST, place.tls_port), 5, ssl_context=place.context(), addresses=[SILENT, DROPS, GOOD]
    )


BLOCKING_OPERATIONS = [
    BlockingOperation(name="create_connection", open=_create(DROPS, GOOD)),
    BlockingOperation(name="create_connection of a name", open=_create()),
    BlockingOperation(name="create_tls_connection", open=_create_tls),
]


def connector(**how: Any) -> nb.Connector:
    """A connector that is quick to try the next address, and knows those of the name."""
    return nb.Connector(**{"policy": FAST, "resolver": KnownAddresses("::1", REFUSES, GOOD), **how})


def close(opened: Any) -> None:
    """Check that what was opened is connected, and close it at once."""
    if opened is None:
        return
    while hasattr(opened, "transport_stream"):
        opened = opened.transport_stream
    sock = getattr(opened, "socket", opened)
    try:
        sock.getpeername()  # raises if it is not connected
    finally:
        sock.close()
