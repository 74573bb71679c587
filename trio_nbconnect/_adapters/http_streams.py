"""Streams as httpcore sees them, and the errors it wants to see (extra `http`).

The problem: httpcore asks for TCP first and shakes hands afterwards, on the one stream that it was given. An address
that completes TCP and never answers TLS has won by then, and the request fails although others would have served.

How we solve it: where TLS will follow, what `connect_tcp` returns is a `PromisedStream`. Nothing has been sent; the
race runs when httpcore calls `start_tls`, and the handshake is part of it. An HTTPS request is one race, from DNS to
TLS.

What lives here: `NetworkStream`, which is a stream of Trio's with httpcore's methods, that promise, and the context
manager that turns our errors into httpcore's. Each is told whose errors those are: httpcore2 has its own.
"""

from __future__ import annotations

import math
import ssl
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from types import ModuleType
from typing import Any

import httpcore
import trio

from .._connector import Connector


class NetworkStream(httpcore.AsyncNetworkStream):
    """A stream of Trio's as httpcore sees it.

    Args:
        stream: The stream; it is owned from then on.
        core: httpcore, or httpcore2.
    """

    def __init__(self, stream: trio.SocketStream | trio.SSLStream[Any], core: ModuleType = httpcore) -> None:
        self._stream = stream
        self._core = core

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Receive at least one byte, or b"" at the end of the stream."""
        with as_httpcore(self._core.ReadTimeout, self._core.ReadError), trio.fail_after(seconds(timeout)):
            return bytes(await self._stream.receive_some(max_bytes))

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send all of it."""
        if buffer:
            with as_httpcore(self._core.WriteTimeout, self._core.WriteError), trio.fail_after(seconds(timeout)):
                await self._stream.send_all(buffer)

    async def aclose(self) -> None:
        """Close the stream, and any stream below it."""
        await self._stream.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> NetworkStream:
        """Shake hands and return the secure stream; this one is closed if that fails, or is cancelled."""
        try:
            with connect_errors(self._core), trio.fail_after(seconds(timeout)):
                secure = trio.SSLStream(
                    self._stream, ssl_context, server_hostname=server_hostname, https_compatible=True
                )
                await secure.do_handshake()
        except BaseException:
            await trio.aclose_forcefully(self._stream)
            raise
        return NetworkStream(secure, self._core)

    def get_extra_info(self, info: str) -> Any:
        """Tell what httpcore's own streams tell; None for what they do not know."""
        if info == "ssl_object":
            return getattr(self._stream, "_ssl_object", None)  # the name that httpcore itself uses
        if info == "socket":
            return self._socket
        if info == "client_addr":
            return self._socket.getsockname()
        if info == "server_addr":
            return self._socket.getpeername()
        if info == "is_readable":
            return self._socket.fileno() == -1 or self._socket.is_readable()
        return None

    @property
    def _socket(self) -> trio.socket.SocketType:
        """The socket at the bottom; a proxy's TLS may lie in between."""
        stream = self._stream
        while isinstance(stream, trio.SSLStream):
            stream = stream.transport_stream
        return stream.socket


class PromisedStream(httpcore.AsyncNetworkStream):
    """A connection that is opened when its TLS begins; until then there is nothing to read, write or close.

    Args:
        connector: Who opens it.
        host: Where to.
        port: Where to.
        core: httpcore, or httpcore2.
    """

    def __init__(self, connector: Connector, host: str, port: int, core: ModuleType) -> None:
        self._connector = connector
        self._host = host
        self._port = port
        self._core = core

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> NetworkStream:
        """Race for a connection whose handshake is done.

        Raises:
            httpcore.ConnectTimeout: See `NetworkBackend.connect_tcp`.
            httpcore.ConnectError: See `NetworkBackend.connect_tcp`; or no address has a good certificate.
        """
        with connect_errors(self._core):
            secure = await self._connector.open_tls_stream(
                self._host,
                self._port,
                server_hostname=server_hostname,
                ssl_context=ssl_context,
                https_compatible=True,
                give_up_after=seconds(timeout),
            )
            return NetworkStream(secure, self._core)

    async def aclose(self) -> None:
        """Do nothing: there is nothing yet."""

    def get_extra_info(self, info: str) -> None:
        """Know nothing yet."""


def seconds(timeout: float | None) -> float:
    """Return httpcore's time-out in our words."""
    return math.inf if timeout is None else timeout


def connect_errors(core: ModuleType) -> AbstractContextManager[None]:
    """Turn what a connect failed with into httpcore's error; where a redirect leads may make no sense."""
    return as_httpcore(core.ConnectTimeout, core.ConnectError, ValueError)


@contextmanager
def as_httpcore(
    late: type[httpcore.TimeoutException], failed: type[httpcore.NetworkError], *more: type[Exception]
) -> Iterator[None]:
    """Turn what a stream or a connect failed with into httpcore's error, which has no attributes: our text says it."""
    failures: tuple[type[Exception], ...] = (OSError, trio.BrokenResourceError, trio.ClosedResourceError, *more)
    try:
        yield
    except (TimeoutError, trio.TooSlowError) as error:
        raise late(_text(error)) from error
    except failures as error:
        raise failed(_text(error)) from error


def _text(error: BaseException) -> str:
    """Say what went wrong; Trio's own errors are often silent, but for their cause."""
    return str(error) or str(error.__cause__ or "") or type(error).__name__
