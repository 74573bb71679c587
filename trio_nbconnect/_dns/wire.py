"""Wire: carry a message to a name server, and its answer back (RFC 1035, section 4.2).

The problem: what comes back on a socket need not be the answer. Anybody may send a datagram, and give up on the first
that makes no sense is what a forger hopes for. So `read` says what is the answer, and all else is passed over.

How we solve it: a datagram socket of its own for each query, connected, so that the kernel drops what comes from
elsewhere, picks a fresh port, and reports a port where nobody listens. A stream has the length before each message
(section 4.2.2). Whoever awaits may be cancelled at any time: the socket is closed on every way out.

What lives here: sockets and bytes. What does not: what the bytes mean, which is `_dns_message`'s, and time-outs, which
are whoever's scope it is. We open a stream for each query: keeping one open would need a task that outlives the call.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from typing import TypeVar

import trio

from .._address import Address
from .._connect.network import KernelNetwork
from .._connect.sockets import SocketOpener
from .._errors import os_error

T = TypeVar("T")

Read = Callable[[bytes], "T | None"]
"""Reads a message; None says that it is not the answer."""

_LONGEST = 65535
"""RFC 1035, section 4.2.2: the length has two octets; no datagram is longer either."""


async def exchange_datagrams(server: Address, query: bytes, read: Read[T]) -> T:
    """Send a query over UDP and wait for its answer.

    Raises:
        OSError: It could not be sent, or nobody listens there.
    """
    sock = socket.socket(server.family, socket.SOCK_DGRAM)
    with trio.socket.from_stdlib_socket(sock) as datagrams:
        sock.connect(server.sockaddr)  # asks the routing table and sends nothing
        await datagrams.send(query)
        while True:
            answer = read(await datagrams.recv(_LONGEST))
            if answer is not None:
                return answer


async def open_stream(server: Address) -> trio.SocketStream:
    """Connect to a name server over TCP.

    Raises:
        OSError: The connect failed.
    """
    handshake = SocketOpener(KernelNetwork()).begin(server)
    try:
        await handshake.wait()
    except BaseException:
        handshake.abort()
        raise
    return handshake.stream()


async def exchange_over_stream(stream: trio.abc.Stream, server: Address, query: bytes, read: Read[T]) -> T:
    """Send a query over a stream, wait for its answer, and close the stream.

    Raises:
        OSError: The stream ended or broke before the answer was there.
    """
    try:
        await stream.send_all(len(query).to_bytes(2, "big") + query)
        while True:
            length = int.from_bytes(await _receive(stream, 2, server), "big")
            answer = read(await _receive(stream, length, server))
            if answer is not None:
                return answer
    except trio.BrokenResourceError as error:
        raise OSError(errno.EPIPE, f"the name server broke the connection: {error.__cause__ or error}") from None
    finally:
        await trio.aclose_forcefully(stream)


async def _receive(stream: trio.abc.Stream, count: int, server: Address) -> bytes:
    received = bytearray()
    while len(received) < count:
        chunk = await stream.receive_some(count - len(received))
        if not chunk:
            raise os_error(errno.ECONNRESET, server)
        received += chunk
    return bytes(received)
