"""Place: servers of every kind in a process of their own, so that each socket here is one of ours."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path

import trio
import trustme

HOST = "chaos.example"
"""The name that certificates are for; nobody looks it up."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where to connect to.

    On `port`, 127.0.0.1 accepts, 127.0.0.2 does not answer, since its queue is full, and 127.0.0.3 refuses; on
    `tls_port` likewise, and 127.0.0.4 accepts and says nothing. The name server on `dns_port` has
    127.0.0.1 for all names.
    """

    port: int
    tls_port: int
    socks_port: int
    http_port: int
    dns_port: int
    accepting: str
    full: str
    ca_file: str

    def context(self) -> ssl.SSLContext:
        """A context that trusts the place's certificate."""
        return _context(self.ca_file)


@cache
def _context(ca_file: str) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=ca_file)


@contextmanager
def place() -> Iterator[Place]:
    """Run the servers for the time of a block."""
    command = [sys.executable, "-m", "tests.chaos.place"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stdin is not None
        try:
            yield Place(**json.loads(server.stdout.readline()))
        finally:
            server.stdin.close()
            server.kill()


async def _serve() -> None:
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(Path(folder, "ca.pem")))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(HOST).configure_cert(context)
        plain, secure = _three(stack), _three(stack)
        silent = _listen(stack, ("127.0.0.4", secure.getsockname()[1]))
        socks, http = _listen(stack, ("127.0.0.1", 0)), _listen(stack, ("127.0.0.1", 0))
        names = stack.enter_context(trio.socket.socket(type=socket.SOCK_DGRAM))
        await names.bind(("127.0.0.1", 0))
        accepting, full = _listen(stack, ""), _listen(stack, "", backlog=0)
        _fill(stack, full)
        this = Place(
            port=plain.getsockname()[1],
            tls_port=secure.getsockname()[1],
            socks_port=socks.getsockname()[1],
            http_port=http.getsockname()[1],
            dns_port=names.getsockname()[1],
            accepting=accepting.getsockname().decode(),
            full=full.getsockname().decode(),
            ca_file=str(Path(folder, "ca.pem")),
        )
        async with trio.open_nursery() as nursery:
            for sock in (plain, accepting, silent):
                nursery.start_soon(_accept, sock, _hold)
            nursery.start_soon(_accept, secure, partial(_secure, context))
            nursery.start_soon(_accept, socks, _be_socks)
            nursery.start_soon(_accept, http, _be_http)
            nursery.start_soon(_be_dns, names)
            print(json.dumps(asdict(this)), flush=True)
            await trio.to_thread.run_sync(sys.stdin.read, abandon_on_cancel=True)
            nursery.cancel_scope.cancel()


def _three(stack: ExitStack) -> socket.socket:
    """Listen at one address, and on the same port at another one, whose queue is full."""
    good = _listen(stack, ("127.0.0.1", 0))
    _fill(stack, _listen(stack, ("127.0.0.2", good.getsockname()[1]), backlog=0))
    return good


def _listen(stack: ExitStack, address: tuple[str, int] | str, *, backlog: int = 4096) -> socket.socket:
    sock = stack.enter_context(socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET))
    sock.bind(address)
    sock.listen(backlog)
    return sock


def _fill(stack: ExitStack, listener: socket.socket) -> None:
    sock = stack.enter_context(socket.socket(listener.family))
    sock.connect(listener.getsockname())


async def _accept(listener: socket.socket, handle: object) -> None:
    listener.setblocking(False)
    await trio.serve_listeners(
        partial(_quietly, handle), [trio.SocketListener(trio.socket.from_stdlib_socket(listener))]
    )


async def _quietly(handle: object, stream: trio.SocketStream) -> None:
    """Handle a connection until it is over, however that is."""
    with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        async with stream:
            await handle(stream)  # type: ignore[operator]  # one of those below


async def _hold(stream: trio.abc.Stream) -> None:
    while await stream.receive_some():
        pass


async def _secure(context: ssl.SSLContext, stream: trio.SocketStream) -> None:
    secure = trio.SSLStream(stream, context, server_side=True, https_compatible=True)
    await secure.do_handshake()
    await _hold(secure)


async def _be_socks(stream: trio.SocketStream) -> None:
    """RFC 1928: no password, and every target is reached."""
    await stream.receive_some()
    await stream.send_all(b"\x05\x00")
    await stream.receive_some()
    await stream.send_all(b"\x05\x00\x00\x01" + bytes(6))
    await _hold(stream)


async def _be_http(stream: trio.SocketStream) -> None:
    """RFC 9110, section 9.3.6."""
    await stream.receive_some()
    await stream.send_all(b"HTTP/1.1 200 OK\r\n\r\n")
    await _hold(stream)


async def _be_dns(sock: trio.socket.SocketType) -> None:
    """RFC 1035, section 4.1: the question comes back; of types other than A there are none."""
    while True:
        query, client = await sock.recvfrom(512)
        end = query.index(b"\0", 12) + 5
        is_a = query[end - 4 : end - 2] == b"\0\x01"
        answer = b"\xc0\x0c\0\x01\0\x01\0\0\0\0\0\x04\x7f\0\0\x01" if is_a else b""
        header = query[:2] + b"\x81\x80\0\x01\0" + bytes([is_a]) + bytes(4)
        await sock.sendto(header + query[12:end] + answer, client)


if __name__ == "__main__":
    trio.run(_serve)
