"""One contract for two networks: what the kernel does on a connect, the simulated network does as well.

Every test runs twice, against this machine's loopback and against `SimulatedNetwork`, through the same `Network` port.
A `World` is what differs: addresses that accept, refuse, drop or are out of reach, and how their servers accept.
What is asserted was measured on Linux 6.18. The kernel's side has five seconds for what takes microseconds; the
simulated one has a mock clock, and all the time in its world.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from trio_nbconnect._address import IPV4, IPV6, parse_literal
from trio_nbconnect._connect.network import KernelNetwork, Network, Socket
from trio_nbconnect._simulation.sockets import CAPACITY
from trio_nbconnect.testing import SimulatedNetwork

SockAddr = tuple[str, int]

RESET = struct.pack("ii", 1, 0)
"""For `SO_LINGER`: close with a reset."""


@dataclass(frozen=True, kw_only=True)
class World:
    """A network, and addresses in it that behave."""

    net: Network
    local: str
    accepting: SockAddr
    refusing: SockAddr
    dropping: SockAddr
    unreachable: SockAddr
    unknown: str
    """A name without addresses, for which no query leaves this machine."""

    accept: Callable[[], Awaitable[trio.SocketStream]]
    """Return the server's end of the next connection to `accepting`."""

    handshake: float
    """Seconds that a handshake takes; over loopback it is over when `connect` returns."""

    @contextmanager
    def open(self) -> Iterator[Socket]:
        """Open a socket for a block."""
        sock = self.net.open(IPV4)
        try:
            yield sock
        finally:
            self.net.close(sock)

    @contextmanager
    def connecting(self, target: SockAddr) -> Iterator[Socket]:
        """Open a socket and begin to connect it."""
        with self.open() as sock:
            assert name(sock.connect_ex(target)) == "EINPROGRESS"
            yield sock

    @asynccontextmanager
    async def decided(self, target: SockAddr) -> AsyncIterator[Socket]:
        """Open a socket and connect it, until that is decided one way or the other."""
        with self.connecting(target) as sock:
            await self.net.wait_writable(sock)
            yield sock

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[tuple[Socket, trio.SocketStream]]:
        """Open a connection: the client's socket and the server's stream."""
        async with self.decided(self.accepting) as sock:
            server = await self.accept()
            try:
                yield sock, server
            finally:
                server.socket.close()

    @asynccontextmanager
    async def streams(self) -> AsyncIterator[tuple[trio.SocketStream, trio.SocketStream]]:
        """Open a connection: both ends as streams."""
        async with self.connected() as (sock, server):
            client = self.net.stream(sock)
            try:
                yield client, server
            finally:
                client.socket.close()


@contextmanager
def kernel_world() -> Iterator[World]:
    """Loopback; multicast, where TCP has no way, is out of reach."""
    with ExitStack() as sockets:
        accepting = sockets.enter_context(socket.create_server(("127.0.0.1", 0)))
        accepting.settimeout(0)
        refusing = sockets.enter_context(socket.socket())
        refusing.bind(("127.0.0.1", 0))
        dropping = sockets.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        sockets.enter_context(socket.create_connection(dropping.getsockname()))

        async def accept() -> trio.SocketStream:
            await trio.lowlevel.wait_readable(accepting)
            sock, _ = accepting.accept()
            return trio.SocketStream(trio.socket.from_stdlib_socket(sock))

        yield World(
            net=KernelNetwork(),
            local="127.0.0.1",
            accepting=accepting.getsockname(),
            refusing=refusing.getsockname(),
            dropping=dropping.getsockname(),
            unreachable=("224.0.0.1", 9),
            unknown=".".join(["a"] * 130),  # too long for DNS (RFC 1035, section 2.3.4)
            accept=accept,
            handshake=0.0,
        )


@contextmanager
def simulated_world() -> Iterator[World]:
    """Addresses kept for documentation."""
    net = SimulatedNetwork()
    net.answers("localhost", a=["127.0.0.1"], after=0.1)
    net.host("192.0.2.1").accepts(after=0.1)
    net.host("192.0.2.2").refuses(after=0.1)
    net.host("192.0.2.3").drops()
    net.host("192.0.2.4").unreachable()
    yield World(
        net=net,
        local="192.0.2.100",
        accepting=("192.0.2.1", 443),
        refusing=("192.0.2.2", 443),
        dropping=("192.0.2.3", 443),
        unreachable=("192.0.2.4", 443),
        unknown="nobody.example",
        accept=net.host("192.0.2.1").accept,
        handshake=0.1,
    )
    assert net.open_sockets == 0


WORLDS: dict[str, tuple[Callable[[], AbstractContextManager[World]], Callable[[], trio.abc.Clock | None]]] = {
    "kernel": (kernel_world, lambda: None),
    "simulated": (simulated_world, lambda: MockClock(autojump_threshold=0)),
}


def on_both(clause: Callable[[World], Awaitable[None]]) -> Callable[[str], None]:
    """Make a clause of the contract a test that runs in each world, with its clock."""

    async def run(open_world: Callable[[], AbstractContextManager[World]]) -> None:
        with trio.fail_after(5), open_world() as world:
            await clause(world)

    @pytest.mark.parametrize("kind", WORLDS)
    def test(kind: str) -> None:
        open_world, clock = WORLDS[kind]
        trio.run(run, open_world, clock=clock())

    test.__name__, test.__doc__ = clause.__name__, clause.__doc__
    return test


def name(number: int | None) -> str:
    """Name an error number, 0 by itself."""
    return errno.errorcode[number] if number else "0"


def fails(call: Callable[..., object], *args: object) -> str:
    """Make a call that must fail, and return with what."""
    try:
        call(*args)
    except OSError as error:
        return name(error.errno)
    raise AssertionError(f"{call} did not fail")


def error_of(sock: Socket | trio.socket.SocketType) -> str:
    """Read `SO_ERROR`."""
    return name(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))


async def is_writable(world: World, sock: Socket) -> bool:
    """Whether a wait ends before everything waits; no time passes."""
    writable = trio.Event()

    async def wait() -> None:
        await world.net.wait_writable(sock)
        writable.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    return writable.is_set()


async def send_until_it_breaks(stream: trio.SocketStream) -> None:
    """Send and send; the first bytes may be lost without a word."""
    while True:
        await stream.send_all(b"x")


# Before a connect


@on_both
async def test_a_fresh_socket_is_writable_and_nothing_else(world: World) -> None:
    with world.open() as sock:
        assert await is_writable(world, sock)
        assert (sock.family, sock.type) == (IPV4, socket.SOCK_STREAM)
        assert error_of(sock) == "0"
        assert fails(sock.getpeername) == "ENOTCONN"
        assert sock.getsockname() == ("0.0.0.0", 0)


@on_both
async def test_bind_takes_an_address_and_finds_a_port(world: World) -> None:
    with world.open() as sock, world.open() as other:
        sock.bind((world.local, 0))
        other.bind((world.local, 0))
        assert sock.getsockname()[0] == world.local
        assert len({sock.getsockname()[1], other.getsockname()[1], 0}) == 3
        assert fails(sock.bind, (world.local, 0)) == "EINVAL"


@on_both
async def test_bind_leaves_the_port_to_connect_if_asked_to(world: World) -> None:
    """`IP_BIND_ADDRESS_NO_PORT` (ip(7)): "do not reserve an ephemeral port when using bind(2) with a port of 0"."""
    with world.open() as sock:
        sock.setsockopt(socket.IPPROTO_IP, trio.socket.IP_BIND_ADDRESS_NO_PORT, 1)
        sock.bind((world.local, 0))
        assert sock.getsockname() == (world.local, 0)
        assert name(sock.connect_ex(world.dropping)) == "EINPROGRESS"
        assert sock.getsockname()[0] == world.local
        assert sock.getsockname()[1] != 0


@on_both
async def test_a_bound_port_stays(world: World) -> None:
    with world.open() as sock:
        sock.bind((world.local, 0))
        bound = sock.getsockname()
        assert name(sock.connect_ex(world.accepting)) == "EINPROGRESS"
        assert sock.getsockname() == bound


@on_both
async def test_options_are_remembered(world: World) -> None:
    with world.open() as sock:
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 0
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER) == 1


@on_both
async def test_a_trio_socket_reads_options_as_bytes_too(world: World) -> None:
    async with world.streams() as (client, _):
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 7))
        assert client.socket.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8) == struct.pack("ii", 1, 7)
        assert client.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR, 4) == bytes(4)


# Under way


@on_both
async def test_while_the_handshake_is_under_way(world: World) -> None:
    with world.connecting(world.dropping) as sock:
        assert not await is_writable(world, sock)
        assert name(sock.connect_ex(world.dropping)) == "EALREADY"
        assert name(sock.connect_ex(world.accepting)) == "EALREADY"
        assert fails(sock.getpeername) == "ENOTCONN"
        assert error_of(sock) == "0"
        assert sock.getsockname()[1] != 0
        assert fails(sock.bind, (world.local, 0)) == "EINVAL"


@on_both
async def test_a_wait_can_be_cancelled_and_taken_up_again(world: World) -> None:
    with world.connecting(world.accepting) as sock:
        with trio.CancelScope() as scope:
            scope.cancel()
            await world.net.wait_writable(sock)
        assert scope.cancelled_caught
        await world.net.wait_writable(sock)
        assert sock.getpeername() == world.accepting


@on_both
async def test_only_one_task_may_wait(world: World) -> None:
    with world.connecting(world.dropping) as sock:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(world.net.wait_writable, sock)
            await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(trio.BusyResourceError):
                await world.net.wait_writable(sock)
            nursery.cancel_scope.cancel()


# Connected


@on_both
async def test_connected(world: World) -> None:
    async with world.decided(world.accepting) as sock:
        assert error_of(sock) == "0"
        assert sock.getpeername() == world.accepting
        assert sock.getsockname()[1] != 0
        assert name(sock.connect_ex(world.accepting)) == "0"
        assert name(sock.connect_ex(world.accepting)) == "EISCONN"
        assert name(sock.connect_ex(world.accepting)) == "EISCONN"
        assert fails(sock.bind, (world.local, 0)) == "EINVAL"


@on_both
async def test_both_ends_know_each_other(world: World) -> None:
    async with world.connected() as (sock, server):
        assert server.socket.getpeername() == sock.getsockname()
        assert server.socket.getsockname() == sock.getpeername()


@on_both
async def test_each_connection_has_a_port_of_its_own(world: World) -> None:
    with world.connecting(world.accepting) as one, world.connecting(world.accepting) as other:
        assert one.getsockname() != other.getsockname()


@on_both
async def test_a_connection_that_the_client_has_closed_is_accepted_all_the_same(world: World) -> None:
    """The handshake is the kernel's; nobody had to look for it to succeed."""
    with world.connecting(world.accepting) as sock:
        await trio.sleep(world.handshake)
        world.net.close(sock)
    server = await world.accept()
    assert await server.receive_some() == b""
    await server.aclose()


# Refused, reset, out of reach


@on_both
async def test_refused(world: World) -> None:
    async with world.decided(world.refusing) as sock:
        assert error_of(sock) == "ECONNREFUSED"
        assert error_of(sock) == "0"
        assert fails(sock.getpeername) == "ENOTCONN"
        await world.net.wait_writable(sock)


@on_both
async def test_after_an_error_that_was_read_connect_aborts_once_and_then_starts_anew(world: World) -> None:
    async with world.decided(world.refusing) as sock:
        assert error_of(sock) == "ECONNREFUSED"
        assert name(sock.connect_ex(world.accepting)) == "ECONNABORTED"
        assert fails(sock.getpeername) == "ENOTCONN"
        assert name(sock.connect_ex(world.accepting)) == "EINPROGRESS"
        await world.net.wait_writable(sock)
        assert sock.getpeername() == world.accepting


@on_both
async def test_after_an_error_that_connect_delivered_the_next_one_starts_anew(world: World) -> None:
    async with world.decided(world.refusing) as sock:
        assert name(sock.connect_ex(world.refusing)) == "ECONNREFUSED"
        assert error_of(sock) == "0"
        assert name(sock.connect_ex(world.accepting)) == "EINPROGRESS"
        await world.net.wait_writable(sock)
        assert error_of(sock) == "0"
        assert sock.getpeername() == world.accepting


@on_both
async def test_connected_and_reset_before_anybody_looked(world: World) -> None:
    """It cannot be told from a connect that failed."""
    async with world.connected() as (sock, server):
        server.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        server.socket.close()
        assert fails(sock.getpeername) == "ENOTCONN"
        assert error_of(sock) == "ECONNRESET"
        assert error_of(sock) == "0"
        assert name(sock.connect_ex(world.accepting)) == "ECONNABORTED"
        assert name(sock.connect_ex(world.accepting)) == "EINPROGRESS"


@on_both
async def test_who_was_told_that_he_is_connected_is_told_so_for_ever(world: World) -> None:
    """Another reason why `connect` proves nothing."""
    async with world.connected() as (sock, server):
        assert name(sock.connect_ex(world.accepting)) == "0"
        server.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        server.socket.close()
        assert name(sock.connect_ex(world.accepting)) == "EISCONN"
        assert error_of(sock) == "ECONNRESET"


@on_both
async def test_out_of_reach(world: World) -> None:
    """`connect` says so itself, and the socket is as fresh as before."""
    with world.open() as sock:
        assert name(sock.connect_ex(world.unreachable)) == "ENETUNREACH"
        assert error_of(sock) == "0"
        assert sock.getsockname() == ("0.0.0.0", 0)
        assert name(sock.connect_ex(world.accepting)) == "EINPROGRESS"


@on_both
async def test_what_has_no_source_fails_at_once(world: World) -> None:
    for family, target in ((IPV6, "2001:db8::99"), (IPV4, "192.0.2.99")):
        address = parse_literal(target, 443)
        assert address is not None
        if world.net.source_address(address) is None:
            await no_route(world.net, family, target)


async def test_no_route_on_the_simulated_network(autojump_clock: MockClock) -> None:
    """The kernel's side of this needs a host without a route; where there is one, the test above sees it."""
    net = SimulatedNetwork(ipv4=False)
    await no_route(net, IPV4, "192.0.2.99")
    assert net.connects == []


async def no_route(net: Network, family: socket.AddressFamily, target: str) -> None:
    """Connect, which must fail at once."""
    address = parse_literal(target, 443)
    assert address is not None
    sock = net.open(family)
    said = name(sock.connect_ex(address.sockaddr))
    net.close(sock)
    assert said in ("ENETUNREACH", "EADDRNOTAVAIL")  # the latter where IPv6 is disabled


@on_both
async def test_a_trio_socket_that_failed_to_connect_stays_open(world: World) -> None:
    async with world.decided(world.refusing) as sock:
        wrapped = world.net.stream(sock).socket
        with pytest.raises(ConnectionRefusedError):
            await wrapped.connect(world.refusing)
        assert wrapped.fileno() != -1
        assert wrapped.is_readable()
        await wrapped.connect(world.accepting)
        assert wrapped.getpeername() == world.accepting


@on_both
async def test_a_trio_socket_whose_connect_is_cancelled_is_closed(world: World) -> None:
    with world.open() as sock:
        wrapped = world.net.stream(sock).socket
        with trio.move_on_after(0) as scope:
            await wrapped.connect(world.dropping)
        assert scope.cancelled_caught
        assert wrapped.fileno() == -1


# Closed


@on_both
async def test_every_call_on_a_closed_socket_says_ebadf(world: World) -> None:
    sock = world.net.open(IPV4)
    world.net.close(sock)
    world.net.close(sock)
    assert name(sock.connect_ex(world.accepting)) == "EBADF"
    assert fails(sock.bind, (world.local, 0)) == "EBADF"
    assert fails(sock.getpeername) == "EBADF"
    assert fails(sock.getsockname) == "EBADF"
    assert fails(sock.getsockopt, socket.SOL_SOCKET, socket.SO_ERROR) == "EBADF"
    assert fails(sock.setsockopt, socket.IPPROTO_TCP, socket.TCP_NODELAY, 1) == "EBADF"


@on_both
async def test_close_wakes_whoever_waits(world: World) -> None:
    async def close_when_blocked() -> None:
        await trio.testing.wait_all_tasks_blocked()
        world.net.close(sock)

    with world.connecting(world.dropping) as sock:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(close_when_blocked)
            with pytest.raises(trio.ClosedResourceError):
                await world.net.wait_writable(sock)


# Streams


@on_both
async def test_bytes_go_both_ways(world: World) -> None:
    async with world.streams() as (client, server):
        await client.send_all(b"question")
        await client.send_all(b"")
        assert await server.receive_some(5) == b"quest"
        assert await server.receive_some() == b"ion"
        assert not client.socket.is_readable()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.send_all, b"answer")
            assert await client.receive_some() == b"answer"
        await client.wait_send_all_might_not_block()
        assert error_of(client.socket) == "0"


@on_both
async def test_an_end_of_file_leaves_the_other_direction_open(world: World) -> None:
    async with world.streams() as (client, server):
        await client.send_all(b"last")
        await client.send_eof()
        await client.send_eof()
        assert await server.receive_some() == b"last"
        assert await server.receive_some() == b""
        assert await server.receive_some() == b""
        await server.send_all(b"late")
        assert await client.receive_some() == b"late"
        with pytest.raises(trio.ClosedResourceError):
            await client.send_all(b"later")
        with pytest.raises(BrokenPipeError):
            await client.socket.send(b"later")


@on_both
async def test_when_both_have_sent_an_end_of_file_nobody_is_connected(world: World) -> None:
    async with world.streams() as (client, server):
        await client.send_eof()
        await server.send_eof()
        assert await client.receive_some() == await server.receive_some() == b""
        assert fails(client.socket.getpeername) == fails(server.socket.getpeername) == "ENOTCONN"
        assert fails(client.socket.shutdown, socket.SHUT_WR) == "ENOTCONN"


@on_both
async def test_close_is_an_end_of_file_and_then_sending_breaks(world: World) -> None:
    async with world.streams() as (client, server):
        await server.send_all(b"bye")
        await server.aclose()
        assert await client.receive_some() == b"bye"
        assert await client.receive_some() == b""
        assert client.socket.getpeername() == world.accepting
        with pytest.raises(trio.BrokenResourceError):
            await send_until_it_breaks(client)
        assert await client.receive_some() == b""


@on_both
async def test_the_first_bytes_to_a_closed_peer_are_lost_without_a_word(world: World) -> None:
    async with world.streams() as (client, server):
        await server.aclose()
        await client.send_all(b"into the void")
        assert error_of(client.socket) == "EPIPE"
        assert fails(client.socket.getpeername) == "ENOTCONN"
        with pytest.raises(trio.BrokenResourceError):
            await client.send_all(b"x")


@on_both
async def test_closing_with_unread_bytes_is_a_reset(world: World) -> None:
    async with world.streams() as (client, server):
        await server.send_all(b"the other side's")
        await client.send_all(b"never read")
        await server.aclose()
        assert await client.receive_some() == b"the other side's"
        with pytest.raises(trio.BrokenResourceError, match="reset by peer"):
            await client.receive_some()
        assert await client.receive_some() == b""
        with pytest.raises(trio.BrokenResourceError):
            await client.send_all(b"x")


@on_both
async def test_a_reset_meets_the_sender_too(world: World) -> None:
    async with world.streams() as (client, server):
        server.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        await server.aclose()
        with pytest.raises(trio.BrokenResourceError, match="reset by peer"):
            await client.send_all(b"x")


@on_both
async def test_after_its_own_close_a_stream_is_closed(world: World) -> None:
    async with world.streams() as (client, _):
        await client.aclose()
        await client.aclose()
        assert client.socket.fileno() == -1
        with pytest.raises(trio.ClosedResourceError):
            await client.send_all(b"x")
        for call in (client.send_eof, client.receive_some, client.wait_send_all_might_not_block):
            with pytest.raises(trio.ClosedResourceError):
                await call()


@on_both
async def test_close_wakes_a_reader(world: World) -> None:
    async def close_when_blocked() -> None:
        await trio.testing.wait_all_tasks_blocked()
        client.socket.close()

    async with world.streams() as (client, _), trio.open_nursery() as nursery:
        nursery.start_soon(close_when_blocked)
        with pytest.raises(trio.ClosedResourceError):
            await client.receive_some()


@on_both
async def test_only_one_task_may_read(world: World) -> None:
    async with world.streams() as (client, _), trio.open_nursery() as nursery:
        nursery.start_soon(client.receive_some)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(trio.BusyResourceError):
            await client.receive_some()
        nursery.cancel_scope.cancel()


@on_both
async def test_a_reader_that_does_not_read_stops_the_sender(world: World) -> None:
    async with world.connected() as (sock, server):
        client = world.net.stream(sock)
        sent = 0
        while await is_writable(world, sock):
            sent += await client.socket.send(bytes(CAPACITY))
        assert sent > 0
        while sent:
            sent -= len(await server.receive_some())
        await client.wait_send_all_might_not_block()
        client.socket.close()


@on_both
async def test_a_sender_that_waits_goes_on_when_there_is_room(world: World) -> None:
    """It must be woken by whoever makes the room."""
    data = bytes(1 << 24)
    async with world.streams() as (client, server), trio.open_nursery() as nursery:
        nursery.start_soon(client.send_all, data)
        received = 0
        while received < len(data):
            await trio.testing.wait_all_tasks_blocked()
            received += len(await server.receive_some(1 << 22))


# Look-ups


@on_both
async def test_a_known_name(world: World) -> None:
    [address, *_] = await world.net.look_up("localhost", 443, IPV4).wait()
    assert address == parse_literal("127.0.0.1", 443)


@on_both
async def test_an_unknown_name(world: World) -> None:
    with pytest.raises(socket.gaierror):
        await world.net.look_up(world.unknown, 443, socket.AF_UNSPEC).wait()


@on_both
async def test_an_address_is_no_address_of_the_other_family(world: World) -> None:
    with pytest.raises(socket.gaierror):
        await world.net.look_up("::1", 443, IPV4).wait()
