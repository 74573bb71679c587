"""Plain sockets: what a race returns to code that knows no Trio, the standard library's own, with TLS or without.

A stream of Trio's is made for tasks: it sets options of its own on its socket, and its TLS is not that of a socket. So
a race for blocking code runs on `PlainNetwork`, whose streams are nothing but the socket. TLS is `ssl.SSLSocket`, its
handshake driven while the socket is non-blocking: part of the race, and once it has won, only the time-out is set.

`wrap_socket` takes the descriptor away from the socket that the race knows and would close. So `PlainHandshake` owns
what it has wrapped, until the winner is taken out with `close_losers`.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterable
from typing import Any

import trio

from .network import KernelNetwork
from .tls import CONTEXTS_AT_ONCE, ClientTLS, Protocols, context_that_offers


class PlainNetwork(KernelNetwork):
    """The network that the operating system offers, without streams."""

    def stream(self, sock: socket.socket) -> Any:
        return PlainStream(sock)


class PlainStream:
    """A connected socket in the place of a stream."""

    __slots__ = ("socket",)

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock


def plain_socket(stream: Any) -> socket.socket:
    """Take the socket out of a stream, which is of no use any more.

    Raises:
        TypeError: There is none of the kernel's: a proxy speaks TLS, or the network is simulated.
    """
    sock = getattr(stream, "socket", None)
    if isinstance(sock, socket.socket):
        return sock
    if not isinstance(sock, trio.socket.SocketType) or type(sock).detach is trio.socket.SocketType.detach:
        raise TypeError(f"blocking code needs a socket of the kernel's, and there is none in {stream!r}")
    return socket.socket(sock.family, sock.type, sock.proto, fileno=sock.detach())


class PlainHandshake(ClientTLS):
    """A client's TLS for plain sockets: called with the stream of each attempt that has connected.

    Args and errors are those of `ClientTLS`.
    """

    def __init__(
        self,
        host: str | bytes,
        *,
        server_hostname: str | bytes | None,
        context: ssl.SSLContext | None,
        alpn_protocols: Iterable[str] | None,
    ) -> None:
        super().__init__(host, server_hostname=server_hostname, context=context, alpn_protocols=alpn_protocols)
        self._give_up_after: float
        self._wrapped: list[ssl.SSLSocket] = []

    def prepare(self, contexts: dict[Protocols, ssl.SSLContext], give_up_after: float) -> None:
        """Have the context ready: the caller's, or a default one, which is kept among these and shared by threads."""
        self._give_up_after = give_up_after
        if self._context is None:
            self._context = contexts.get(self._protocols) or context_that_offers(self._protocols)
            if len(contexts) < CONTEXTS_AT_ONCE:
                contexts[self._protocols] = self._context

    async def __call__(self, stream: Any) -> ssl.SSLSocket:
        """Complete the handshake on one stream, the certificate verified.

        Raises:
            OSError: It failed; `ssl.SSLError` says why.
            trio.TooSlowError: It took longer than `give_up_after`.
        """
        assert self._context is not None, "prepare() comes first"
        sock = plain_socket(stream)
        try:
            secure = self._context.wrap_socket(
                sock, server_hostname=self._server_hostname, do_handshake_on_connect=False
            )
        except BaseException:
            sock.close()
            raise
        self._wrapped.append(secure)
        try:
            with trio.fail_after(self._give_up_after):
                await _shake_hands(secure)
        except BaseException:
            secure.close()
            raise
        return secure

    def close_losers(self, winner: ssl.SSLSocket | None) -> None:
        """Close every socket that was wrapped, but for the winner."""
        for secure in self._wrapped:
            if secure is not winner:
                secure.close()


async def _shake_hands(secure: ssl.SSLSocket) -> None:
    while True:
        try:
            secure.do_handshake()
            return
        except ssl.SSLWantReadError:
            await trio.lowlevel.wait_readable(secure)
        except ssl.SSLWantWriteError:
            await trio.lowlevel.wait_writable(secure)
