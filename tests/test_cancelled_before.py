"""Cancelled before it began means that nothing happened: no packet, no look-up, no thread."""

from __future__ import annotations

import contextlib
import math
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

import trio_nbconnect as nb
from trio_nbconnect.proxy import HTTPProxy, SOCKS5Proxy

from .test_connect import FakeFactory
from .test_options import PlainSockets

Call = Callable[[str, int], Awaitable[Any]]


async def connect_socket(host: str, port: int) -> None:
    """Use a socket of the standard library's."""
    with socket.socket() as sock:
        sock.setblocking(False)
        await nb.connect_socket(sock, (host, port))


async def connect_trio_socket(host: str, port: int) -> None:
    """Use a socket of Trio's."""
    with trio.socket.socket() as sock:
        await nb.connect_socket(sock, (host, port))


async def with_a_factory(host: str, port: int) -> None:
    """Use sockets of a custom factory."""
    trio.socket.set_custom_socket_factory(PlainSockets())
    await nb.open_tcp_stream(host, port)


async def greeted(stream: trio.SocketStream) -> bytes:
    """Wait for what the server says."""
    return bytes(await stream.receive_some())


CALLS: dict[str, Call] = {
    "open_tcp_stream": nb.open_tcp_stream,
    "two addresses": lambda host, port: nb.open_tcp_stream("example.org", port, addresses=[host, "127.0.0.9"]),
    "localhost": lambda _, port: nb.open_tcp_stream("localhost", port),
    "a name": lambda _, port: nb.open_tcp_stream("example.org.", port),
    "a local name": lambda host, port: nb.open_tcp_stream(host, port, local_address="localhost"),
    "open_ssl_over_tcp_stream": nb.open_ssl_over_tcp_stream,
    "open_tls_stream": nb.open_tls_stream,
    "connect": lambda host, port: nb.Connector().connect(host, port, greeted),
    "connect_socket": connect_socket,
    "connect_socket with Trio's": connect_trio_socket,
    "a socket factory": with_a_factory,
    "SOCKS5Proxy": lambda host, port: SOCKS5Proxy(host, port).open_tcp_stream("example.org", 80),
    "HTTPProxy": lambda host, port: HTTPProxy(host, port).open_tcp_stream("example.org", 80),
}


@contextlib.contextmanager
def nothing_happens(listener: socket.socket, deadline: float) -> Iterator[None]:
    """Cancel the block before it begins; nobody may have connected, and no thread have been started."""
    threads = threading.active_count()
    with trio.CancelScope(deadline=deadline) as scope:
        if deadline == math.inf:
            scope.cancel()
        yield
    assert scope.cancelled_caught
    listener.setblocking(False)
    with pytest.raises(BlockingIOError):
        listener.accept()
    assert threading.active_count() <= threads


CANCELLED_OR_OVER = pytest.mark.parametrize("deadline", [math.inf, -math.inf], ids=["cancelled", "deadline over"])


@CANCELLED_OR_OVER
@pytest.mark.parametrize("way", CALLS)
async def test_nothing_is_sent(way: str, deadline: float) -> None:
    """Trio: a cancelled checkpoint means "the operation was not done at all"."""
    with socket.create_server(("127.0.0.1", 0)) as listener, nothing_happens(listener, deadline):
        await CALLS[way](*listener.getsockname())


@CANCELLED_OR_OVER
@pytest.mark.parametrize("factory", [False, True])
@pytest.mark.parametrize("limit", [1.0, float("inf")])
async def test_nothing_is_sent_to_a_path(tmp_path: Path, factory: bool, limit: float, deadline: float) -> None:
    if factory:
        trio.socket.set_custom_socket_factory(PlainSockets())
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "server"))
        listener.listen()
        with nothing_happens(listener, deadline):
            await nb.open_unix_socket(tmp_path / "server", give_up_after=limit)


@CANCELLED_OR_OVER
async def test_no_factory_is_asked_for_a_socket(deadline: float) -> None:
    """What its sockets do in a cancelled scope is not known."""
    trio.socket.set_custom_socket_factory(factory := FakeFactory())
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        for call in (nb.open_unix_socket("/somewhere"), nb.open_tcp_stream("192.0.2.1", 80)):
            with nothing_happens(listener, deadline):
                await call
    assert factory.made == []


@CANCELLED_OR_OVER
async def test_nobody_is_asked_for_a_translator(deadline: float) -> None:
    """RFC 7050's discovery is a look-up, too."""
    with socket.create_server(("127.0.0.1", 0)) as listener, nothing_happens(listener, deadline):
        await nb.discover_nat64()
