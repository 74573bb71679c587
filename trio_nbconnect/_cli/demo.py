"""The demo: a bad network on this machine, for `nbconnect demo`.

A race is worth seeing when some addresses are broken, and usually none are at hand. So the demo has real sockets on
loopback addresses that behave as broken hosts do:

- a listener whose accept queue is full drops every SYN (listen(2));
- a socket that is bound and does not listen refuses;
- a listener accepts, in the kernel; nobody has to serve it.

It needs no network, no root and no IPv6: where `::1` cannot be bound, 127.0.0.2 replaces it. Linux has all of
127.0.0.0/8 on the loopback interface, so that the hosts differ in their address; where there is 127.0.0.1 alone, as on
macOS, in their port.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass

from .._address import Address, parse_literal


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoNetwork:
    """The port of the first address, and how each address behaves."""

    port: int
    hosts: dict[Address, str]


@contextmanager
def open_demo_network() -> Iterator[DemoNetwork]:
    """Open the sockets of the demo, for a `with` block.

    Raises:
        OSError: This machine does not have the addresses.
    """
    has_all = _can_bind("127.0.0.3")
    behaviours = [
        (_drop_packets, "a full queue drops our packets; the next starts after the delay"),
        (_bind, "nobody listens: it refuses; the next starts at once"),
        (_drop_packets, "a full queue, too"),
        (_accept, "accepts, and so it wins; whatever is under way is cancelled"),
        (_accept, "would accept as well"),
    ]
    hosts: dict[Address, str] = {}
    port = 0
    with ExitStack() as sockets:
        for number, (behave, remark) in enumerate(behaviours, start=2):
            host = f"127.0.0.{number}" if has_all else "127.0.0.1"
            if not hosts and _can_bind("::1"):  # as RFC 8305 prefers it
                host = "::1"
            sock = behave(sockets, host, port if has_all else 0)
            name = sock.getsockname()
            port = port or name[1]
            hosts[Address(sock.family, host, name[1])] = remark
        yield DemoNetwork(port=port, hosts=hosts)


def _can_bind(host: str) -> bool:
    try:
        with ExitStack() as sockets:
            _bind(sockets, host, 0)
    except OSError:
        return False
    return True


def _bind(sockets: ExitStack, host: str, port: int) -> socket.socket:
    """Bind a socket that does not listen, so that nobody else does; port 0 stands for a free one."""
    address = parse_literal(host, port)
    assert isinstance(address, Address)
    sock = sockets.enter_context(socket.socket(address.family))
    sock.bind(address.sockaddr)
    return sock


def _accept(sockets: ExitStack, host: str, port: int) -> socket.socket:
    listener = _bind(sockets, host, port)
    listener.listen()
    return listener


def _drop_packets(sockets: ExitStack, host: str, port: int) -> socket.socket:
    """Fill the accept queue of a listener."""
    listener = _bind(sockets, host, port)
    listener.listen(_BACKLOG)
    with suppress(TimeoutError, ConnectionRefusedError):
        for _ in range(_ROOM):
            sockets.enter_context(socket.create_connection(listener.getsockname()[:2], timeout=0.2))
    return listener


_BACKLOG, _ROOM = (0, 1) if sys.platform == "linux" else (1, 200)
"""On Linux, a queue of no length has room for one. Elsewhere 0 may stand for the longest there is, and a queue is full
when a connect gets no answer."""
