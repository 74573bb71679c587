"""A TCP socket that has met itself, and an EADDRNOTAVAIL that is nobody's fault.

RFC 9293, figure 8: two SYNs that cross are a connection. A client that takes the very port it connects to, as its
local one, crosses with itself: "connected", and every byte comes back. It happens to whoever connects again and again
to a dead port in the range of local ports. Here it happens at once: `IP_LOCAL_PORT_RANGE` leaves but one port.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
import trio
from trio.testing import MockClock

import trio_nbconnect as nb
from trio_nbconnect._address import Address
from trio_nbconnect._connect.network import KernelNetwork
from trio_nbconnect._error_texts import strerror

AnySocket = socket.socket | trio.socket.SocketType

IP_LOCAL_PORT_RANGE = 51
"""Linux 6.3 and later, ip(7); the socket module has no name for it."""

FAMILIES = [
    pytest.param(socket.AF_INET, id="ipv4"),
    pytest.param(socket.AF_INET6, id="ipv6", marks=pytest.mark.needs_ipv6),
]
HOSTS = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}


def _has_port_range() -> bool:
    with socket.socket() as sock:
        try:
            sock.getsockopt(socket.IPPROTO_IP, IP_LOCAL_PORT_RANGE)
        except OSError:
            return False
    return True


needs_port_range = pytest.mark.skipif(not _has_port_range(), reason="IP_LOCAL_PORT_RANGE came with Linux 6.3")


class Counted(socket.socket):
    """A kernel socket that keeps what `connect` said."""

    def __init__(self, family: int = socket.AF_INET, *, port: int | None = None) -> None:
        super().__init__(family, socket.SOCK_STREAM)
        self.setblocking(False)
        self.said: list[str] = []
        if port is not None:
            self.setsockopt(socket.IPPROTO_IP, IP_LOCAL_PORT_RANGE, struct.pack("I", port << 16 | port))

    def connect_ex(self, address: Any, /) -> int:
        number = super().connect_ex(address)
        self.said.append(errno.errorcode.get(number, "0"))
        return number


class OnePort(KernelNetwork):
    """The kernel's network, whose first sockets have but one local port to choose.

    Attributes:
        opened: How many sockets were opened.
        before: Called with that number before each is opened.
    """

    def __init__(self, port: int, *, sockets: int = 100, before: Callable[[int], None] | None = None) -> None:
        self.port = port
        self.sockets = sockets
        self.before = before
        self.opened = 0

    def open(self, family: socket.AddressFamily, protocol: int = 0) -> socket.socket:
        self.opened += 1
        if self.before is not None:
            self.before(self.opened)
        sock = super().open(family, protocol)
        if self.opened <= self.sockets:
            sock.setsockopt(socket.IPPROTO_IP, IP_LOCAL_PORT_RANGE, struct.pack("I", self.port << 16 | self.port))
        return sock


def dead_address(family: int = socket.AF_INET) -> tuple[Any, ...]:
    """Find an address where nobody listens, whose port is free."""
    with socket.socket(family) as sock:
        sock.bind((HOSTS[socket.AddressFamily(family)], 0))
        address: tuple[Any, ...] = sock.getsockname()
        return address


def assert_free(address: tuple[Any, ...], family: int = socket.AF_INET) -> None:
    """The real server can take its port at once: no TIME_WAIT stands in its way."""
    with socket.socket(family) as server:
        server.bind(address)
        server.listen()


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A server on loopback."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


# The primitive: one socket, no second chance


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", [socket.socket, trio.socket.socket], ids=["stdlib", "trio"])
async def test_bound_to_where_it_connects(kind: Callable[..., AnySocket], family: socket.AddressFamily) -> None:
    """A socket whose own name is its peer's is not connected to anybody: ECONNREFUSED, closed, the port free."""
    address = dead_address(family)
    sock = kind(family)
    if isinstance(sock, socket.socket):
        sock.setblocking(False)
        sock.bind(address)
    else:
        await sock.bind(address)
    with trio.fail_after(5), pytest.raises(ConnectionRefusedError, match=HOSTS[family]):
        await nb.connect_socket(sock, address)
    assert sock.fileno() == -1
    assert_free(address, family)


async def test_handshake_has_no_second_chance() -> None:
    """Who begins a handshake with a socket of his own gets no other one."""
    with Counted() as sock:
        sock.bind(dead_address())
        address = sock.getsockname()
        handshake = nb.Handshake.begin(sock, address)
        with trio.fail_after(5), pytest.raises(ConnectionRefusedError):
            await handshake.wait()
        assert handshake.state is nb.HandshakeState.CLOSED
        assert sock.said == ["EINPROGRESS"]
    assert_free(address)


# An attempt: at most two more


@needs_port_range
@pytest.mark.parametrize("family", FAMILIES)
async def test_only_itself_to_meet(family: socket.AddressFamily) -> None:
    """Three sockets meet themselves, then the attempt is refused; the port is free at once."""
    address = dead_address(family)
    network = OnePort(address[1])
    with trio.fail_after(5), pytest.raises(nb.ConnectRefused) as caught:
        await nb.Connector(network=network).open_tcp_stream(*address[:2])
    assert caught.value.errno == errno.ECONNREFUSED
    assert len(caught.value.attempts) == 1
    assert network.opened == 3
    assert_free(address, family)


@needs_port_range
async def test_second_socket_gets_another_port(autojump_clock: MockClock) -> None:
    """The first socket met itself because its server was away; the second finds it at once, on a port left free.

    It is like the first one otherwise: from the same local address, with the same options.
    """
    with socket.socket() as sock:
        sock.bind(("127.0.0.2", 0))
        address = sock.getsockname()
    options = nb.SocketOptions(syn_count=3)
    with socket.socket() as server:

        def come_back(number: int) -> None:
            if number == 2:
                server.bind(address)
                server.listen()

        network = OnePort(address[1], sockets=1, before=come_back)
        connector = nb.Connector(network=network, local_address="127.0.0.2", options=options)
        began = trio.current_time()
        async with await connector.open_tcp_stream(*address) as stream:
            assert stream.socket.getpeername() == address
            host, port = stream.socket.getsockname()
            assert host == "127.0.0.2"
            assert port != address[1]
            assert stream.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_SYNCNT) == 3
    assert network.opened == 2
    assert trio.current_time() == began


@needs_port_range
async def test_a_socket_that_cannot_be_reset_is_closed() -> None:
    """What met itself is no connection, whatever may be set on it."""

    class Stubborn(Counted):
        def setsockopt(self, level: int, option: int, value: Any, *length: int) -> None:
            if option == socket.SO_LINGER:
                raise OSError(errno.ENOPROTOOPT, "no")
            super().setsockopt(level, option, value)

    address = dead_address()
    sock = Stubborn()
    sock.bind(address)
    with pytest.raises(ConnectionRefusedError):
        await nb.connect_socket(sock, address)
    assert sock.fileno() == -1


@needs_port_range
@pytest.mark.parametrize(
    ("error", "number"),
    [
        pytest.param(OSError(errno.EMFILE, strerror(errno.EMFILE)), errno.EMFILE, id="errno"),
        pytest.param(OSError("a network's own words"), errno.ECONNREFUSED, id="no errno"),
    ],
)
async def test_no_second_socket(error: OSError, number: int) -> None:
    """Where no other socket can be opened, that is what the attempt failed with."""
    address = dead_address()

    def refuse(opened: int) -> None:
        if opened == 2:
            raise error

    network = OnePort(address[1], before=refuse)
    with trio.fail_after(5), pytest.raises(nb.ConnectError) as caught:
        await nb.Connector(network=network).open_tcp_stream(*address)
    assert caught.value.errno == number
    assert network.opened == 2
    assert_free(address)


@needs_port_range
async def test_second_socket_meets_a_synchronous_error() -> None:
    """The second socket has no port left at all: EADDRNOTAVAIL, asked once more, and over."""
    address = dead_address()
    with socket.socket() as rival:

        def take_the_port(opened: int) -> None:
            if opened == 2:
                rival.bind(address)

        network = OnePort(address[1], before=take_the_port)
        with trio.fail_after(5), pytest.raises(nb.ConnectError) as caught:
            await nb.Connector(network=network).open_tcp_stream(*address)
    assert caught.value.errno == errno.EADDRNOTAVAIL
    assert network.opened == 2


async def test_others_are_not_mistaken(listener: socket.socket) -> None:
    """The same address with another port, or the same port with another address, is somebody else."""
    port = listener.getsockname()[1]
    with closing(Counted()) as sock, trio.fail_after(5):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.2", port))
        await nb.connect_socket(sock, listener.getsockname())
        assert sock.getsockname() == ("127.0.0.2", port)


# No port available


@needs_port_range
async def test_no_port_for_now(listener: socket.socket) -> None:
    """EADDRNOTAVAIL with no local port asked for may be over at once: the same socket asks again."""
    rival = socket.socket()
    rival.bind(dead_address())

    class Lucky(Counted):
        def connect_ex(self, address: Any, /) -> int:
            number = super().connect_ex(address)
            rival.close()
            return number

    with Lucky(port=rival.getsockname()[1]) as sock, trio.fail_after(5):
        await nb.connect_socket(sock, listener.getsockname())
        assert sock.said == ["EADDRNOTAVAIL", "EINPROGRESS"]
        assert sock.getpeername() == listener.getsockname()


@needs_port_range
async def test_no_port_at_all(listener: socket.socket) -> None:
    """QuerySent three times, it is the failure."""
    with socket.socket() as rival:
        rival.bind(dead_address())
        sock = Counted(port=rival.getsockname()[1])
        with pytest.raises(OSError, match=strerror(errno.EADDRNOTAVAIL)) as caught:
            await nb.connect_socket(sock, listener.getsockname())
    assert caught.value.errno == errno.EADDRNOTAVAIL
    assert sock.said == 3 * ["EADDRNOTAVAIL"]
    assert sock.fileno() == -1


async def test_the_asked_port_is_taken(listener: socket.socket) -> None:
    """With a local port asked for, that is the one not available; asking again would not help."""
    with Counted() as first:
        second = Counted()
        first.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        second.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        first.bind(("127.0.0.1", 0))
        second.bind(first.getsockname())
        with trio.fail_after(5):
            await nb.connect_socket(first, listener.getsockname())
        with pytest.raises(OSError, match=strerror(errno.EADDRNOTAVAIL)):
            await nb.connect_socket(second, listener.getsockname())
    assert second.said == ["EADDRNOTAVAIL"]


@needs_port_range
async def test_a_local_address_asks_for_no_port(listener: socket.socket) -> None:
    """An attempt from a local address has no port reserved, so it may ask again, too."""
    with socket.socket() as rival:
        rival.bind(dead_address())
        network = OnePort(rival.getsockname()[1])
        connector = nb.Connector(network=network, local_address="127.0.0.1")
        with pytest.raises(nb.ConnectError) as caught:
            await connector.open_tcp_stream(*listener.getsockname())
    assert caught.value.errno == errno.EADDRNOTAVAIL
    assert caught.value.attempts[0].address == Address(socket.AF_INET, *listener.getsockname())
