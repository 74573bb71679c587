"""A peer that is reached over QUIC, TCP, WebSocket or a relay, dialled as a program of somebody else's would do it.

The sockets are real: UDP that nobody answers, TCP whose packets are dropped or refused, and trio-websocket's own client
and server.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

import pytest
import trio
import trio.testing
from trio_websocket import HandshakeError, WebSocketConnection, connect_websocket, wrap_client_stream

import trio_nbconnect as nb
from trio_nbconnect import Dial, Policy

from .adapters import DROPS, dropping
from .test_third_parties import websocket_server

QUICK = Policy(attempt_delay=0.05)


@dataclass
class Peer:
    """A connection to a peer, whatever is below: a channel of messages, as libp2p's and the like have."""

    transport: str
    channel: WebSocketConnection | trio.SocketStream | trio.socket.SocketType

    async def close(self) -> None:
        if isinstance(self.channel, WebSocketConnection):
            await self.channel.aclose()
        elif isinstance(self.channel, trio.SocketStream):
            await trio.aclose_forcefully(self.channel)
        else:
            self.channel.close()


async def dial_quic(host: str, port: int) -> Peer:
    """Send what would be QUIC's Initial, and wait for the answer."""
    sock = trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        await sock.connect((host, port))
        await sock.send(b"\xc0\x00\x00\x00\x01".ljust(1200, b"\0"))
        await sock.recv(1500)
    except BaseException:
        sock.close()
        raise
    return Peer("quic", sock)


async def dial_tcp(host: str, port: int) -> Peer:
    return Peer("tcp", await nb.open_tcp_stream(host, port))


async def dial_websocket(nursery: trio.Nursery, host: str, port: int, path: str) -> Peer:
    """Connect, and upgrade; the connection's task lives in the caller's nursery."""
    stream = await nb.open_tcp_stream(host, port)
    try:
        return Peer("ws", await wrap_client_stream(nursery, stream, host, path))
    except BaseException:
        await trio.aclose_forcefully(stream)
        raise


@asynccontextmanager
async def silent_quic() -> AsyncIterator[int]:
    """A port that takes datagrams and never answers."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


def label(host: str, transport: str, port: int, rest: str = "") -> str:
    """Write a multiaddr, as py-libp2p does."""
    return f"/ip4/{host}/{transport}/{port}{rest}"


async def test_a_websocket_wins_where_quic_is_silent_and_tcp_dropped() -> None:
    """The rivals are gone when the race is over: nothing but the WebSocket is open."""
    async with AsyncExitStack() as stack:
        quic = await stack.enter_async_context(silent_quic())
        websocket = await stack.enter_async_context(websocket_server(None))
        stack.enter_context(dropping(websocket))
        nursery = await stack.enter_async_context(trio.open_nursery())
        attempts = [
            Dial(label("127.0.0.1", "udp", quic, "/quic-v1"), partial(dial_quic, "127.0.0.1", quic), group="quic"),
            Dial(label(DROPS, "tcp", websocket), partial(dial_tcp, DROPS, websocket), group="tcp"),
            Dial(
                label("127.0.0.1", "tcp", websocket, "/ws"),
                partial(dial_websocket, nursery, "127.0.0.1", websocket, "/"),
                group="ws",
            ),
        ]
        with nb.record() as recording:
            peer = await nb.race(attempts, name="QmPeer", policy=QUICK, close=Peer.close, failures=HandshakeError)

        assert isinstance(peer.channel, WebSocketConnection)
        await peer.channel.send_message("hello")
        assert await peer.channel.get_message() == "hello"
        await peer.close()
        outcomes = [row.outcome.value for row in recording[0].timeline.attempts]
        assert outcomes == ["cancelled", "cancelled", "won"]
        assert "over ws to /ip4/127.0.0.1/tcp/" in recording[0].text(width=120)


async def test_every_dial_that_failed_is_in_the_error() -> None:
    """A library's own exception is a failure where the caller says so; the `OSError` behind it is what counts."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
        async with trio.open_nursery() as nursery:
            websocket = partial(connect_websocket, nursery, "127.0.0.1", port, "/", use_ssl=False)
            attempts = [Dial("tcp", partial(dial_tcp, "127.0.0.1", port)), Dial("ws", websocket)]
            with pytest.raises(nb.ConnectError) as raised:
                await nb.race(attempts, name="QmPeer", failures=HandshakeError)

    tcp, ws = raised.value.attempts
    assert (tcp.label, ws.label) == ("tcp", "ws")
    assert isinstance(tcp.error, nb.ConnectRefused)  # it had a race of its own
    assert str(ws.error) == f"all attempts to connect to 127.0.0.1:{port} failed"  # what Trio says, behind the library


async def test_peers_may_be_found_while_others_are_dialled() -> None:
    """As mDNS, a hash table or a rendezvous server bring them."""
    async with silent_quic() as quic, websocket_server(None) as websocket, trio.open_nursery() as nursery:
        send, receive = trio.open_memory_channel[Dial[Peer]](8)

        async def discover() -> None:
            await send.send(Dial("quic", partial(dial_quic, "127.0.0.1", quic)))
            await trio.testing.wait_all_tasks_blocked()
            await send.send(Dial("ws", partial(dial_websocket, nursery, "127.0.0.1", websocket, "/")))

        nursery.start_soon(discover)
        peer = await nb.race(receive, policy=QUICK, close=Peer.close, failures=HandshakeError)

        assert peer.transport == "ws"
        await peer.close()
