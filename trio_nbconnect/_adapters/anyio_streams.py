"""Streams: one of Trio's in anyio's shape (extra `anyio`).

anyio's own would have to own the descriptor, and a race must be able to close what it has lent to a handshake. It needs
no descriptor either: a simulated network has none.

What lives here: `SocketStream`, and its errors in anyio's words. What does not: how it is connected.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import anyio
import trio
from anyio.abc import SocketStream as AnySocketStream


class SocketStream(AnySocketStream):
    """A TCP stream of Trio's in anyio's shape.

    Args:
        stream: The stream; it is owned from then on.
    """

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream

    @property
    def _raw_socket(self) -> socket.socket:
        """What anyio's attributes (`SocketAttribute`) are read from; Trio keeps the socket below its own."""
        sock: Any = self._stream.socket
        return cast(socket.socket, getattr(sock, "_sock", sock))

    async def receive(self, max_bytes: int = 65536) -> bytes:
        with _stream_errors():
            data = bytes(await self._stream.receive_some(max_bytes))
        if not data:
            raise anyio.EndOfStream
        return data

    async def send(self, item: bytes) -> None:
        with _stream_errors():
            await self._stream.send_all(item)

    async def send_eof(self) -> None:
        with _stream_errors():
            await self._stream.send_eof()

    async def aclose(self) -> None:
        await self._stream.aclose()


@contextmanager
def _stream_errors() -> Iterator[None]:
    """Turn Trio's errors into anyio's of the same names."""
    try:
        yield
    except trio.ClosedResourceError as error:
        raise anyio.ClosedResourceError from error
    except trio.BrokenResourceError as error:
        raise anyio.BrokenResourceError from error.__cause__
    except trio.BusyResourceError as error:
        raise anyio.BusyResourceError("using") from error
