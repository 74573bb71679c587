"""Servers, in processes of their own: `python -m tests.benchmarks.server plain|FOLDER DESCRIPTOR...`.

`plain` is what `server.c` does, for machines without a compiler. A folder is where the certificate of a TLS server
lies. Both close only what the client has closed, and then with a reset, so that no port is used up; both end when
their standard input does.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import ssl
import sys
from collections.abc import Callable
from pathlib import Path


def serve(listeners: list[socket.socket], accepted: Callable[[selectors.BaseSelector, socket.socket], None]) -> None:
    """Hand over what is accepted, and close what the client has closed."""
    selector = selectors.DefaultSelector()
    selector.register(sys.stdin, selectors.EVENT_READ)
    for listener in listeners:
        selector.register(listener, selectors.EVENT_READ, listener)
    while True:
        for key, _ in selector.select():
            if key.fileobj is sys.stdin:
                return
            if key.data is not None:
                with contextlib.suppress(BlockingIOError):
                    while True:
                        accepted(selector, key.data.accept()[0])
            else:
                _close_if_ended(selector, key.fileobj)


def _close_if_ended(selector: selectors.BaseSelector, sock: object) -> None:
    assert isinstance(sock, socket.socket)
    try:
        ended = not sock.recv(65536)
    except OSError:
        ended = True
    if ended:
        selector.unregister(sock)
        sock.close()


def watch(selector: selectors.BaseSelector, sock: socket.socket) -> None:
    """Wait for the client's close."""
    sock.setblocking(False)
    selector.register(sock, selectors.EVENT_READ)


def speak_tls(context: ssl.SSLContext, sock: socket.socket) -> None:
    """Shake hands, and say something: with the first byte, the client of TLS 1.3 reads its session ticket."""
    sock.settimeout(10)
    with contextlib.suppress(OSError), context.wrap_socket(sock, server_side=True) as secure:
        secure.send(b"!")
        while secure.recv(65536):
            pass


def main(kind: str, descriptors: list[int]) -> None:
    """Serve until standard input ends."""
    listeners = [socket.socket(fileno=descriptor) for descriptor in descriptors]
    if kind == "plain":
        serve(listeners, watch)
    else:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(Path(kind, "server.pem"))
        serve(listeners, lambda _, sock: speak_tls(context, sock))


if __name__ == "__main__":
    main(sys.argv[1], [int(descriptor) for descriptor in sys.argv[2:]])
