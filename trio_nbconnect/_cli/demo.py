"""The demo: a bad network on this machine, for `nbconnect demo`.

A race is worth seeing when some addresses are broken, and usually none are at hand. So the demo has real sockets on
loopback addresses, all with the same port, that behave as broken hosts do:

- a listener whose accept queue is full drops every SYN (Linux, listen(2)); one connection fills a backlog of 0;
- a socket that is bound and does not listen refuses;
- a listener accepts, in the kernel; nobody has to serve it.

It needs no network, no root and no IPv6: where `::1` cannot be bound, 127.0.0.2 replaces it. It does need all of
127.0.0.0/8 on the loopback interface, which Linux has.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from .._address import Address, parse_literal


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoNetwork:
    """The addresses with their common port, and how each of them behaves."""

    port: int
    hosts: dict[str, str]


@contextmanager
def open_demo_network() -> Iterator[DemoNetwork]:
    """Open the sockets of the demo, for a `with` block.

    Raises:
        OSError: This machine does not have the addresses.
    """
    first = _first_address()
    with ExitStack() as sockets:
        port = _drop_packets(sockets, first, 0)
        _bind(sockets, "127.0.0.3", port)  # and do not listen
        _drop_packets(sockets, "127.0.0.4", port)
        _accept(sockets, "127.0.0.5", port)
        _accept(sockets, "127.0.0.6", port)
        yield DemoNetwork(
            port=port,
            hosts={
                first: "a full queue drops our packets; the next starts after the delay",
                "127.0.0.3": "nobody listens: it refuses; the next starts at once",
                "127.0.0.4": "a full queue, too",
                "127.0.0.5": "accepts, and so it wins; whatever is under way is cancelled",
                "127.0.0.6": "would accept as well",
            },
        )


def _first_address() -> str:
    """Return the IPv6 loopback address where it can be used, as RFC 8305 prefers it."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return "127.0.0.2"
    return "::1"


def _bind(sockets: ExitStack, host: str, port: int) -> socket.socket:
    """Bind a socket that does not listen, so that nobody else does; port 0 stands for a free one."""
    address = parse_literal(host, port)
    assert isinstance(address, Address)
    sock = sockets.enter_context(socket.socket(address.family))
    sock.bind(address.sockaddr)
    return sock


def _accept(sockets: ExitStack, host: str, port: int) -> None:
    _bind(sockets, host, port).listen()


def _drop_packets(sockets: ExitStack, host: str, port: int) -> int:
    """Fill the accept queue of a listener; return its port."""
    listener = _bind(sockets, host, port)
    listener.listen(0)
    name = listener.getsockname()
    sockets.enter_context(socket.create_connection(name[:2]))
    return int(name[1])
