"""Servers in threads, for code that blocks: one speaks HTTP, with TLS or without, and one accepts and says nothing."""

from __future__ import annotations

import http.server
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import trustme

from .adapters import HOST

ANSWER = b"hello"


class Hello(http.server.BaseHTTPRequestHandler):
    """Answers everything with the same, CONNECT with a tunnel to nowhere."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(ANSWER)))
        self.end_headers()
        self.wfile.write(ANSWER)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Server(http.server.ThreadingHTTPServer):
    """A server whose clients may go away at any time."""

    daemon_threads = False  # it waits for them when it is closed

    def __init__(self, address: tuple[str, int], context: ssl.SSLContext | None) -> None:
        super().__init__(address, Hello)
        self.context = context
        self.open: list[socket.socket] = []

    def get_request(self) -> tuple[Any, Any]:
        sock, address = super().get_request()
        if self.context is not None:
            sock = self.context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        self.open.append(sock)
        return sock, address

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Let clients break off."""


@contextmanager
def http_server(context: ssl.SSLContext | None = None, host: str = "127.0.0.1", port: int = 0) -> Iterator[int]:
    """Run one; its port."""
    with Server((host, port), context) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()
            for sock in server.open:
                close(sock)


def close(sock: socket.socket) -> None:
    """End a connection on whose other end a thread may wait."""
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
    sock.close()


def contexts(authority: trustme.CA) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Make a server's context, with a certificate for the host, and a client's that trusts it."""
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert(HOST).configure_cert(server)
    authority.configure_trust(client)
    return server, client
