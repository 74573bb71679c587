"""One connect over TCP, errno by errno, against this machine's kernel.

The loopback interface answers at once, so nothing here waits for real time. A handshake that stays under way comes
from a listener whose accept queue is full: Linux then drops the SYN, which looks like loss. What the kernel does not
do on demand (EINTR, a lying `connect`) comes from `Scripted`, a kernel socket whose first answers are written down.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
import trio
import trio.testing
from trio.testing import MockClock

import trio_nbconnect as nb
from trio_nbconnect._address import Address
from trio_nbconnect._connect.custom_sockets import CustomConnect, has_hostname_resolver, has_socket_factory
from trio_nbconnect._connect.handshake import under_way_on
from trio_nbconnect._connect.network import KernelNetwork, bind_address_only, open_socket
from trio_nbconnect._connect.sockets import SocketOpener
from trio_nbconnect.testing import SimulatedNetwork

AnySocket = socket.socket | trio.socket.SocketType
NewSocket = Callable[..., AnySocket]

MULTICAST = ("224.0.0.1", 9)
"""TCP has no way there: Linux answers ENETUNREACH before it looks at any route."""


class Scripted(socket.socket):
    """A kernel socket whose first answers to `connect` come from a script; `log` is what it was asked and said."""

    def __init__(self, *answers: int, family: int = socket.AF_INET) -> None:
        super().__init__(family, socket.SOCK_STREAM)
        self.setblocking(False)
        self.answers = list(answers)
        self.log: list[str] = []

    def connect_ex(self, address: Any, /) -> int:
        number = self.answers.pop(0) if self.answers else super().connect_ex(address)
        self.log.append(errno.errorcode.get(number, "0"))
        return number

    def getsockopt(self, level: int, option: int, /) -> int:  # type: ignore[override]  # the one form in use here
        self.log.append("SO_ERROR" if option == socket.SO_ERROR else str(option))
        return super().getsockopt(level, option)


class Jumpy(KernelNetwork):
    """The kernel's network, but every wait for readiness ends at once."""

    def __init__(self) -> None:
        self.wakings = 0

    async def wait_writable(self, fd: Any) -> None:
        self.wakings += 1
        await trio.lowlevel.checkpoint()


class BeforeNextStep(trio.abc.Instrument):
    """Do something when the current task has been woken, before it runs."""

    def __init__(self, action: Callable[[], object]) -> None:
        self.action = action
        self.task = trio.lowlevel.current_task()
        self.done = False
        trio.lowlevel.add_instrument(self)

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if task is self.task and not self.done:
            self.done = True
            self.action()


def non_blocking(family: int = socket.AF_INET, kind: int = socket.SOCK_STREAM) -> socket.socket:
    """Open a stdlib socket for a connect."""
    sock = socket.socket(family, kind)
    sock.setblocking(False)
    return sock


def reset(sock: socket.socket) -> None:
    """Close with a RST instead of a FIN."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def take_over(number: int, sock: socket.socket) -> socket.socket:
    """Move a socket to a descriptor's number that has just become free."""
    os.dup2(sock.fileno(), number)
    sock.close()
    return socket.socket(fileno=number)


def replace(victim: AnySocket, foreign: socket.socket) -> socket.socket:
    """Close a socket as another task may; an unrelated one then gets its number."""
    number = victim.fileno()
    victim.close()
    return take_over(number, foreign)


async def fail(sock: AnySocket, sockaddr: Any) -> OSError:
    """Connect, which must fail and close the socket, and return with what."""
    try:
        with trio.fail_after(5):
            await nb.connect_socket(sock, sockaddr)
    except OSError as error:
        assert sock.fileno() == -1
        return error
    raise AssertionError(f"connected to {sockaddr}")


@pytest.fixture(params=[non_blocking, trio.socket.socket], ids=["stdlib", "trio"])
def new_socket(request: pytest.FixtureRequest) -> NewSocket:
    """The two kinds of socket that `connect_socket` takes."""
    new: NewSocket = request.param
    return new


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A server on loopback that accepts by hand."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(5)
        yield server


@pytest.fixture
def refusing() -> Iterator[tuple[str, int]]:
    """An address where nobody listens; the bound socket keeps others from its port."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()


@pytest.fixture
def silent() -> Iterator[tuple[str, int]]:
    """An address that lets a handshake wait: listen(0) admits one connection, and further SYNs are dropped."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        with socket.create_connection(server.getsockname()):
            yield server.getsockname()


# What connect says, and what then proves true


async def test_a_handshake_under_way_becomes_connected(listener: socket.socket) -> None:
    """A non-blocking connect over loopback is EINPROGRESS, never 0; only a look tells that it has succeeded."""
    with Scripted() as sock:
        handshake = nb.Handshake.begin(sock, listener.getsockname())
        states = [handshake.state]
        with trio.fail_after(5):
            await handshake.wait()
        states.append(handshake.state)
        assert states == [nb.HandshakeState.HANDSHAKING, nb.HandshakeState.CONNECTED]
        assert handshake.errno == 0
        assert sock.log == ["EINPROGRESS", "SO_ERROR"]


async def test_connect_socket_leaves_the_socket_open_and_connected(
    listener: socket.socket, new_socket: NewSocket
) -> None:
    """The caller's socket object is connected, whichever of the two kinds it is."""
    with closing(new_socket()) as sock, trio.fail_after(5):
        await nb.connect_socket(sock, listener.getsockname())
        assert sock.getpeername() == listener.getsockname()
        with listener.accept()[0] as served:
            os.write(sock.fileno(), b"hello")
            assert served.recv(5) == b"hello"


async def test_no_local_address_of_another_family_is_bound() -> None:
    """To a path, say; an opener is asked for whatever its connector lets it."""
    four = Address(socket.AF_INET, "127.0.0.1", 0)
    with open_socket(KernelNetwork(), Address(socket.AF_UNIX, "/x", 0), {socket.AF_INET: four}) as sock:  # type: ignore[attr-defined]
        assert sock.getsockname() == ""


async def test_a_socket_of_a_system_that_cannot_open_it_so_is_made_non_blocking(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`SOCK_NONBLOCK` is Linux's; others take a second call."""
    monkeypatch.setattr("trio_nbconnect._connect.network._STREAM", socket.SOCK_STREAM)
    with KernelNetwork().open(socket.AF_INET) as sock:
        assert sock.gettimeout() == 0.0
        assert sock.type == socket.SOCK_STREAM


def test_what_connect_says_of_a_handshake_under_way() -> None:
    """On Linux EWOULDBLOCK is EAGAIN, and nothing is under way."""
    posix = {errno.EINPROGRESS, errno.EALREADY, errno.EINTR}
    assert under_way_on("linux") == under_way_on("darwin") == posix
    assert under_way_on("win32") == {*posix, errno.EWOULDBLOCK}


async def test_nobody_is_told_of_a_socket_that_is_closed_already(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has no number any more, and Windows would not know it."""
    told: list[int] = []
    monkeypatch.setattr(trio.lowlevel, "notify_closing", lambda sock: told.append(sock.fileno()))
    network = KernelNetwork()
    sock = network.open(socket.AF_INET)
    number = sock.fileno()
    for _ in range(2):
        network.close(sock)
    assert told == [number]


@pytest.mark.needs_ipv6
async def test_ipv6(new_socket: NewSocket) -> None:
    """All four values of an IPv6 address, as `getsockname` gives them, are taken."""
    with (
        socket.create_server(("::1", 0), family=socket.AF_INET6) as server,
        closing(new_socket(socket.AF_INET6)) as sock,
    ):
        with trio.fail_after(5):
            await nb.connect_socket(sock, server.getsockname())
        assert sock.getpeername() == server.getsockname()


async def test_refused(refusing: tuple[str, int], new_socket: NewSocket) -> None:
    """A RST to the SYN is ECONNREFUSED: the error has its class, its number and the address."""
    error = await fail(new_socket(), refusing)
    assert isinstance(error, ConnectionRefusedError)
    assert error.errno == errno.ECONNREFUSED
    assert str(refusing) in str(error)


async def test_synchronous_failure(new_socket: NewSocket) -> None:
    """Without a route, connect fails at once with ENETUNREACH."""
    assert (await fail(new_socket(), MULTICAST)).errno == errno.ENETUNREACH


async def test_what_has_failed_at_once_is_not_asked_again() -> None:
    """It costs a system call; nothing but a lack of local ports may pass by itself."""
    sock = Scripted(errno.ENETUNREACH)
    assert (await fail(sock, ("127.0.0.1", 9))).errno == errno.ENETUNREACH
    assert sock.log == ["ENETUNREACH"]


async def test_again_is_no_promise() -> None:
    """Python calls EAGAIN a `BlockingIOError` as it does EINPROGRESS, but from TCP it is a failure (connect(2))."""
    assert (await fail(Scripted(errno.EAGAIN), ("127.0.0.1", 9))).errno == errno.EAGAIN


async def test_begin_never_raises_what_the_kernel_says() -> None:
    """A synchronous failure shows in `state` and `errno`; it is raised by `wait`, every time."""
    handshake = nb.Handshake.begin(non_blocking(), MULTICAST)
    assert handshake.state is nb.HandshakeState.CLOSED
    assert handshake.errno == errno.ENETUNREACH
    for _ in range(2):
        with pytest.raises(OSError, match=r"unreachable.*224\.0\.0\.1"):
            await handshake.wait()


async def test_instant_ends_are_checkpoints(listener: socket.socket) -> None:
    """An end that is known at once still lets other tasks run, and may be cancelled."""
    failed = nb.Handshake.begin(non_blocking(), MULTICAST)
    with trio.testing.assert_checkpoints(), pytest.raises(OSError, match="unreachable"):
        await failed.wait()
    with socket.create_connection(listener.getsockname()) as sock:
        sock.setblocking(False)
        connected = nb.Handshake.begin(sock, listener.getsockname())
        assert connected.state is nb.HandshakeState.CONNECTED
        with trio.testing.assert_checkpoints():
            await connected.wait()


async def test_connected_before_us(listener: socket.socket) -> None:
    """After success connect says 0 once, then EISCONN: either way the peer proves it."""
    sock = Scripted()
    socket.socket.connect_ex(sock, listener.getsockname())
    assert nb.Handshake.begin(sock, listener.getsockname()).state is nb.HandshakeState.CONNECTED
    handshake = nb.Handshake.begin(sock, listener.getsockname())
    assert handshake.state is nb.HandshakeState.CONNECTED
    assert sock.log == ["0", "EISCONN"]
    handshake.abort()


async def test_begun_before_us(silent: tuple[str, int]) -> None:
    """During SYN_SENT another connect says EALREADY: under way."""
    sock = Scripted()
    socket.socket.connect_ex(sock, silent)
    handshake = nb.Handshake.begin(sock, silent)
    assert handshake.state is nb.HandshakeState.HANDSHAKING
    assert sock.log == ["EALREADY"]
    handshake.abort()


async def test_interrupted_and_under_way(listener: socket.socket) -> None:
    """POSIX, connect: on EINTR "the connection request shall not be aborted", it goes on asynchronously."""
    with Scripted(errno.EINTR) as sock, trio.fail_after(5):
        socket.socket.connect_ex(sock, listener.getsockname())
        await nb.connect_socket(sock, listener.getsockname())
        assert sock.log == ["EINTR", "SO_ERROR"]


async def test_interrupted_and_never_begun(listener: socket.socket) -> None:
    """Should EINTR have begun nothing, the socket polls writable at once, and the next connect begins."""
    with Scripted(errno.EINTR) as sock, trio.fail_after(5):
        await nb.connect_socket(sock, listener.getsockname())
        assert sock.log == ["EINTR", "SO_ERROR", "EINPROGRESS", "SO_ERROR"]


async def test_connect_lies() -> None:
    """With TCP_FASTOPEN_CONNECT connect says 0 before a packet was sent; there is no peer, so it is no success."""
    assert (await fail(Scripted(0, 0), ("127.0.0.1", 9))).errno == errno.ENOTCONN


async def test_second_look_finds_the_peer(tmp_path: os.PathLike[str]) -> None:
    """Writable, no error and no peer: connect is asked, says 0, and then there is a peer."""
    path = os.path.join(tmp_path, "server")
    with socket.socket(socket.AF_UNIX) as server, Scripted(errno.EINPROGRESS, family=socket.AF_UNIX) as sock:
        server.bind(path)
        server.listen()
        await nb.connect_socket(sock, path)
        assert sock.getpeername() == path
        assert sock.log == ["EINPROGRESS", "SO_ERROR", "0"]


class Nameless(Scripted):
    """A socket whose own name the system does not tell."""

    number: int | None = errno.ENOBUFS

    def getsockname(self) -> Any:
        raise OSError(self.number, "no name") if self.number else OSError("no name")


@pytest.mark.parametrize(("number", "expected"), [(errno.ENOBUFS, errno.ENOBUFS), (None, errno.ENOTCONN)])
async def test_a_socket_without_a_name_of_its_own_fails(
    number: int | None, expected: int, listener: socket.socket
) -> None:
    """Nobody knows whether it has met itself; it is closed, and not left to the garbage collector."""

    class Network(KernelNetwork):
        def open(self, family: socket.AddressFamily, protocol: int = 0) -> socket.socket:
            sock = Nameless()
            sock.number = number
            return sock

    with pytest.raises(nb.ConnectError) as caught:
        await nb.Connector(network=Network()).open_tcp_stream(*listener.getsockname())
    assert caught.value.errno == expected


# SO_ERROR


async def test_so_error_is_read_once_and_kept(refusing: tuple[str, int]) -> None:
    """After a refusal SO_ERROR says ECONNREFUSED once, then 0: reading clears it."""
    sock = Scripted()
    handshake = nb.Handshake.begin(sock, refusing)
    for _ in range(2):
        with trio.fail_after(5), pytest.raises(ConnectionRefusedError):
            await handshake.wait()
    assert sock.log == ["EINPROGRESS", "SO_ERROR"]


async def test_so_error_is_not_read_before_we_are_woken(silent: tuple[str, int], autojump_clock: MockClock) -> None:
    """During SYN_SENT it may hold a soft ICMP error of an attempt that would succeed."""
    with Scripted() as sock, trio.move_on_after(60) as scope:
        await nb.connect_socket(sock, silent)
    assert scope.cancelled_caught
    assert sock.log == ["EINPROGRESS"]


async def test_so_error_read_by_somebody_else(refusing: tuple[str, int]) -> None:
    """With the error consumed, SO_ERROR 0 is no proof of a connection: connect says ECONNABORTED."""
    sock = Scripted()
    handshake = nb.Handshake.begin(sock, refusing)
    assert socket.socket.getsockopt(sock, socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNREFUSED
    with trio.fail_after(5), pytest.raises(ConnectionAbortedError):
        await handshake.wait()
    assert sock.log == ["EINPROGRESS", "SO_ERROR", "ECONNABORTED"]


# Woken too early


async def test_woken_too_early_it_waits_again(listener: socket.socket, autojump_clock: MockClock) -> None:
    """Writable, SO_ERROR 0, getpeername ENOTCONN, connect EALREADY: still under way."""
    early = [errno.EINPROGRESS, errno.EALREADY, errno.EALREADY]
    with Scripted(*early) as sock:
        await nb.connect_socket(sock, listener.getsockname())
        assert sock.getpeername() == listener.getsockname()
        assert [word for word in sock.log if word != "SO_ERROR"] == [
            "EINPROGRESS",
            "EALREADY",
            "EALREADY",
            "EINPROGRESS",
        ]
    assert 0.0035 <= trio.current_time() <= 0.007  # pauses of 1, 2 and 4 ms, less the jitter


async def test_woken_too_early_it_never_spins(silent: tuple[str, int], autojump_clock: MockClock) -> None:
    """However often readiness lies, it looks at most every 25 ms in the long run; after ten seconds, no more."""
    network = Jumpy()
    handshake = nb.Handshake.begin(non_blocking(), silent, network=network)
    with trio.move_on_after(5) as scope:
        await handshake.wait()
    assert scope.cancelled_caught
    assert handshake.state is nb.HandshakeState.HANDSHAKING
    assert 100 <= network.wakings <= 205
    with trio.fail_after(10), pytest.raises(TimeoutError, match=r"^\[Errno 110\] Connection timed out: "):
        await handshake.wait()
    assert network.wakings == 257
    assert 8 <= trio.current_time() <= 12
    with pytest.raises(OSError, match="Bad file descriptor"):
        handshake.socket.getsockname()


@pytest.mark.parametrize("number", [errno.EINTR, errno.EALREADY, errno.EINPROGRESS])
async def test_interrupted_for_ever_it_fails(number: int, listener: socket.socket, autojump_clock: MockClock) -> None:
    """A socket on which nothing was begun polls writable; no kernel says so twice, but a filter of system calls may."""
    sock = Scripted(*[number] * 300)
    with trio.fail_after(60), pytest.raises(TimeoutError):
        await nb.connect_socket(sock, listener.getsockname())
    assert 8 <= trio.current_time() <= 12
    assert sock.fileno() == -1
    assert sock.log.count("SO_ERROR") == 257


# The server's side


async def test_full_accept_queue(autojump_clock: MockClock, new_socket: NewSocket) -> None:
    """With listen(0) the first connection is established, the rest stay in SYN_SENT, which looks like loss."""
    with socket.socket() as server, closing(new_socket()) as first, closing(new_socket()) as second:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        await nb.connect_socket(first, server.getsockname())
        with trio.move_on_after(60) as scope:
            await nb.connect_socket(second, server.getsockname())
        assert scope.cancelled_caught
        assert second.fileno() == -1
        assert first.getpeername() == server.getsockname()


async def test_server_speaks_first(listener: socket.socket) -> None:
    """A socket is readable as well as writable when the server spoke first; it is connected, nothing is lost."""
    with non_blocking() as sock, trio.fail_after(5):
        handshake = nb.Handshake.begin(sock, listener.getsockname())
        with listener.accept()[0] as served:
            served.sendall(b"220 ready")
            await handshake.wait()
            await trio.lowlevel.wait_readable(sock)
            assert sock.recv(9) == b"220 ready"


async def test_server_closes_at_once(listener: socket.socket) -> None:
    """Success and then a FIN: SO_ERROR 0 and a peer (CLOSE_WAIT); connected, and the next read is the end."""
    with non_blocking() as sock, trio.fail_after(5):
        handshake = nb.Handshake.begin(sock, listener.getsockname())
        listener.accept()[0].close()
        await handshake.wait()
        await trio.lowlevel.wait_readable(sock)
        assert sock.recv(1) == b""


async def test_server_resets_at_once(listener: socket.socket) -> None:
    """A peer's instant RST is indistinguishable from a failed connect once it has landed."""
    handshake = nb.Handshake.begin(non_blocking(), listener.getsockname())
    reset(listener.accept()[0])
    with trio.fail_after(5), pytest.raises(ConnectionResetError):
        await handshake.wait()


# Cancelled, taken up again, aborted, closed by others


async def test_cancelled_it_closes(silent: tuple[str, int], new_socket: NewSocket, autojump_clock: MockClock) -> None:
    """On every way out but success the socket is closed."""
    sock = new_socket()
    with trio.move_on_after(60) as scope:
        await nb.connect_socket(sock, silent)
    assert scope.cancelled_caught
    assert sock.fileno() == -1
    assert trio.current_time() == 60


async def test_cancelled_before_the_first_look(listener: socket.socket, new_socket: NewSocket) -> None:
    """Also when the kernel has long connected it."""
    sock = new_socket()
    with trio.CancelScope() as scope:
        scope.cancel()
        await nb.connect_socket(sock, listener.getsockname())
    assert scope.cancelled_caught
    assert sock.fileno() == -1


async def test_success_together_with_a_cancellation(listener: socket.socket, new_socket: NewSocket) -> None:
    """Woken with success and cancelled before it runs: the ownership passes with no checkpoint between."""
    with closing(new_socket()) as sock, trio.fail_after(5):
        with trio.CancelScope() as scope:
            hook = BeforeNextStep(scope.cancel)
            await nb.connect_socket(sock, listener.getsockname())
            assert hook.done
        assert scope.cancel_called
        assert not scope.cancelled_caught
        assert sock.getpeername() == listener.getsockname()


async def test_a_cancelled_wait_loses_nothing(listener: socket.socket) -> None:
    """A handshake lives in the kernel, not in a task: another one takes the wait up."""
    handshake = nb.Handshake.begin(non_blocking(), listener.getsockname())
    with trio.CancelScope() as scope:
        scope.cancel()
        await handshake.wait()
    assert scope.cancelled_caught
    assert handshake.state is nb.HandshakeState.HANDSHAKING
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(handshake.wait)
        async with handshake.stream() as stream:
            assert stream.socket.getpeername() == listener.getsockname()


async def test_aborted_while_another_task_waits(silent: tuple[str, int], autojump_clock: MockClock) -> None:
    """Aborting closes the socket at once and wakes the waiter, which is told."""
    handshake = nb.Handshake.begin(sock := non_blocking(), silent)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_expect_closed, handshake.wait)
        await trio.testing.wait_all_tasks_blocked()
        handshake.abort()
    assert handshake.state is nb.HandshakeState.CLOSED
    assert handshake.errno == 0
    assert sock.fileno() == -1


async def test_aborted_between_two_looks(silent: tuple[str, int], autojump_clock: MockClock) -> None:
    """Aborting reaches a waiter in its pause, too; it does not touch the closed socket again."""
    handshake = nb.Handshake.begin(sock := Scripted(), silent, network=(network := Jumpy()))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_expect_closed, handshake.wait)
        await trio.sleep(1)
        looks = len(sock.log), network.wakings
        handshake.abort()
    assert (len(sock.log), network.wakings) == looks


async def test_closed_between_two_looks(silent: tuple[str, int], autojump_clock: MockClock) -> None:
    """A socket closed behind our back during a pause is noticed, not waited for."""
    sock = Scripted(errno.EINPROGRESS, errno.EALREADY)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_expect_closed, nb.connect_socket, sock, silent)
        await trio.testing.wait_all_tasks_blocked()
        sock.close()


async def test_closed_before_the_first_wait(silent: tuple[str, int]) -> None:
    """The same where nobody has waited yet."""
    handshake = nb.Handshake.begin(sock := non_blocking(), silent)
    sock.close()
    await _expect_closed(handshake.wait)
    assert handshake.state is nb.HandshakeState.CLOSED


async def test_closed_by_whom_it_was_shown_to(silent: tuple[str, int]) -> None:
    """`SocketOptions.configure` may have kept the socket of an attempt, and close it between two waits for it."""
    address = Address(socket.AF_INET, *silent)
    handshake = SocketOpener(KernelNetwork()).begin(address)
    assert isinstance(handshake.socket, socket.socket)
    handshake.socket.close()
    await _expect_closed(handshake.wait)


async def test_wait_after_abort(silent: tuple[str, int]) -> None:
    """An aborted handshake is over; waiting for it says so, whatever its state was."""
    handshake = nb.Handshake.begin(non_blocking(), silent)
    handshake.abort()
    handshake.abort()
    with pytest.raises(trio.ClosedResourceError, match=r"^this handshake was aborted, or its socket closed$"):
        await handshake.wait()


async def test_an_abort_closes_the_stream_that_was_given_away(listener: socket.socket) -> None:
    """Its socket may be another one by then: a network makes of ours what it likes."""

    class Network(KernelNetwork):
        def stream(self, sock: socket.socket) -> trio.SocketStream:
            return super().stream(socket.socket(fileno=sock.detach()))

    handshake = nb.Handshake.begin(non_blocking(), listener.getsockname(), network=Network())
    await handshake.wait()
    stream = handshake.stream()
    handshake.abort()
    assert stream.socket.fileno() == -1


def test_begin_and_abort_without_trio(silent: tuple[str, int]) -> None:
    """Neither waits, so neither needs a running Trio; both close what they must."""
    sock = non_blocking()
    nb.Handshake.begin(sock, silent).abort()
    assert sock.fileno() == -1
    handshake = nb.Handshake.begin(sock := non_blocking(), MULTICAST)
    assert handshake.errno == errno.ENETUNREACH
    assert sock.fileno() == -1


async def test_closed_by_another_task(
    silent: tuple[str, int], new_socket: NewSocket, autojump_clock: MockClock
) -> None:
    """A socket closed under the connect is `trio.ClosedResourceError`, as everywhere in Trio."""
    sock = new_socket()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_expect_closed, nb.connect_socket, sock, silent)
        await trio.testing.wait_all_tasks_blocked()
        trio.lowlevel.notify_closing(sock)
        sock.close()


async def test_closed_by_another_task_after_the_kernel_woke_us(listener: socket.socket, new_socket: NewSocket) -> None:
    """Between being woken and running, the socket is closed and its number given away: that one is not looked at."""
    sock = new_socket()
    left, right = socket.socketpair()
    taken: list[socket.socket] = []
    BeforeNextStep(lambda: taken.append(replace(sock, left)))
    await _expect_closed(nb.connect_socket, sock, listener.getsockname())
    with right, taken[0] as foreign:
        right.send(b"alive")
        assert foreign.recv(5) == b"alive"


async def test_closed_before(listener: socket.socket, new_socket: NewSocket) -> None:
    """A closed socket is `trio.ClosedResourceError` as well."""
    sock = new_socket()
    sock.close()
    with pytest.raises(trio.ClosedResourceError, match=r"^this socket is closed$"):
        await nb.connect_socket(sock, listener.getsockname())


async def test_begin_with_a_closed_socket(listener: socket.socket) -> None:
    """Its handshake is closed from the start; nothing failed."""
    sock = non_blocking()
    sock.close()
    handshake = nb.Handshake.begin(sock, listener.getsockname())
    assert handshake.state is nb.HandshakeState.CLOSED
    assert handshake.errno == 0
    await _expect_closed(handshake.wait)


async def test_waiters_of_a_foreign_descriptor_sleep_on(
    silent: tuple[str, int], new_socket: NewSocket, autojump_clock: MockClock
) -> None:
    """Trio's socket is closed by another task, and its number taken: our clean-up must not wake who waits there."""
    sock = new_socket()
    left, right = socket.socketpair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_expect_closed, nb.connect_socket, sock, silent)
        await trio.testing.wait_all_tasks_blocked()
        trio.lowlevel.notify_closing(sock)
        with right, replace(sock, left) as foreign:
            with trio.move_on_after(1) as scope:
                await trio.lowlevel.wait_readable(foreign)
            assert scope.cancelled_caught
            assert foreign.fileno() != -1


async def test_a_foreign_descriptor_is_not_closed(new_socket: NewSocket) -> None:
    """A connect that failed at once has closed its socket; who gets the number meanwhile keeps it."""
    sock = new_socket()
    number = sock.fileno()
    left, right = socket.socketpair()
    taken: list[socket.socket] = []
    BeforeNextStep(lambda: taken.append(take_over(number, left)))
    assert (await fail(sock, MULTICAST)).errno == errno.ENETUNREACH
    with right, taken[0] as foreign:
        right.send(b"alive")
        assert foreign.recv(5) == b"alive"


async def test_waiters_are_woken_when_it_closes(silent: tuple[str, int], autojump_clock: MockClock) -> None:
    """Closing on cancellation tells whoever waits for the same socket; Trio's own connect leaves him hanging."""
    sock = non_blocking()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_expect_closed, trio.lowlevel.wait_readable, sock)
        with trio.move_on_after(1):
            await nb.connect_socket(sock, silent)
    assert trio.current_time() == 1


async def _expect_closed(do: Callable[..., Any], *args: object) -> None:
    with trio.fail_after(5), pytest.raises(trio.ClosedResourceError):
        await do(*args)


# What must not block


@pytest.mark.parametrize(
    "sockaddr",
    [("localhost", 80), ("", 80), ("::1", 80), ("127.1", 80), ("<broadcast>", 80), ("127.0.0.1", 99536), "127.0.0.1"],
    ids=repr,
)
async def test_no_look_up(sockaddr: Any) -> None:
    """`socket.connect` would look a name up and block; nothing but a numeric address of the family reaches it."""
    sock = Scripted()
    with pytest.raises(ValueError, match="must"):
        await nb.connect_socket(sock, sockaddr)
    assert sock.log == []
    assert sock.fileno() == -1


async def test_blocking_socket(listener: socket.socket) -> None:
    """A blocking socket would stop every task: ValueError, before anything is sent."""
    sock = socket.socket()
    with pytest.raises(ValueError, match=r"^socket must be non-blocking: "):
        await nb.connect_socket(sock, listener.getsockname())
    assert sock.fileno() == -1


class Least:
    """A socket that has what a connect asks of one, and nothing else."""

    family, type = socket.AF_INET, socket.SOCK_STREAM

    def __init__(self) -> None:
        self.connected: list[object] = []

    def bind(self, address: Any, /) -> None: ...

    def connect_ex(self, address: Any, /) -> int:
        self.connected.append(address)
        return 0

    def getpeername(self) -> Any:
        return ("127.0.0.1", 9)

    def getsockname(self) -> Any:
        return ("127.0.0.1", 1)

    def getsockopt(self, level: int, option: int, /) -> int:
        return 0

    def setsockopt(self, level: int, option: int, value: int | bytes, /) -> None: ...

    def close(self) -> None: ...


async def test_a_socket_of_another_network_needs_no_more_than_the_protocol() -> None:
    """It cannot be asked whether it blocks."""
    sock = Least()
    handshake = nb.Handshake.begin(sock, ("127.0.0.1", 9))
    await handshake.wait()
    assert handshake.state is nb.HandshakeState.CONNECTED
    assert sock.connected == [("127.0.0.1", 9)]


async def test_scope_in_the_text() -> None:
    """RFC 4007, section 11: `fe80::1%lo` in a tuple of two reaches the kernel as a scope number."""
    seen = []

    class Seeing(Scripted):
        def connect_ex(self, address: Any, /) -> int:
            seen.append(address)
            return errno.EINVAL

    await fail(Seeing(family=socket.AF_INET6), ("fe80::1%lo", 80))
    assert seen == [("fe80::1", 80, 0, socket.if_nametoindex("lo"))]


async def test_datagram_socket_may_meet_itself() -> None:
    """A UDP socket connected to itself is no mistake of the kernel's; that is TCP's simultaneous open only."""
    with non_blocking(kind=socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        await nb.connect_socket(sock, sock.getsockname())
        assert sock.getpeername() == sock.getsockname()


async def test_other_families() -> None:
    """An address of a family that only its user knows goes to the kernel as it is."""
    with non_blocking(socket.AF_NETLINK, socket.SOCK_RAW) as sock:
        await nb.connect_socket(sock, (0, 0))
        assert sock.getpeername() == (0, 0)


# Sockets that are opened for an attempt


async def test_a_library_may_have_closed_what_it_was_given(listener: socket.socket) -> None:
    """One in C owns a descriptor from when it takes it, also where it fails then; the other attempts go on."""
    count = iter((True, False))

    async def hand_over(stream: trio.SocketStream) -> trio.SocketStream:
        if next(count):
            os.close(stream.socket.fileno())
            raise OSError("the library has failed")
        return stream

    port = listener.getsockname()[1]
    addresses = [("127.0.0.1", port), ("127.0.0.2", port)]
    with socket.create_server(("127.0.0.2", port)):
        async with await nb.Connector().connect("a.example", port, hand_over, addresses=addresses) as stream:
            assert stream.socket.getpeername()[0] == "127.0.0.2"


async def test_local_address_comes_first(listener: socket.socket) -> None:
    """The local address is bound before connect, and no port is reserved for it (ip(7), IP_BIND_ADDRESS_NO_PORT)."""
    connector = nb.Connector(local_address="127.0.0.2")
    with trio.fail_after(5):
        async with await connector.open_tcp_stream(*listener.getsockname()) as stream:
            assert stream.socket.getsockname()[0] == "127.0.0.2"
            option = stream.socket.getsockopt(socket.IPPROTO_IP, trio.socket.IP_BIND_ADDRESS_NO_PORT)
            assert option == 1


def test_local_address_of_another_host() -> None:
    """A failed bind keeps its errno and says which local address for which remote one; the socket is closed."""
    local = {socket.AF_INET: Address(socket.AF_INET, "198.51.100.1", 0)}
    with pytest.raises(OSError, match=r"local address 198\.51\.100\.1 for 127\.0\.0\.1:9") as failure:
        SocketOpener(KernelNetwork(), local).begin(Address(socket.AF_INET, "127.0.0.1", 9))
    assert failure.value.errno == errno.EADDRNOTAVAIL


def test_sockets_are_not_inherited() -> None:
    """Fresh sockets are non-blocking and close on exec."""
    with KernelNetwork().open(socket.AF_INET) as sock:
        assert sock.gettimeout() == 0
        assert not sock.get_inheritable()


async def test_begin_raises_when_no_packet_was_sent() -> None:
    """An attempt that fails synchronously has no handshake to wait for."""
    with pytest.raises(OSError, match=r"224\.0\.0\.1:9") as failure:
        SocketOpener(KernelNetwork()).begin(Address(socket.AF_INET, *MULTICAST))
    assert failure.value.errno == errno.ENETUNREACH


async def test_the_first_attempt_takes_no_task(autojump_clock: MockClock) -> None:
    """A handshake lives in the kernel: who has begun it waits for it, and a task may take that up when others start."""
    spawned: list[trio.lowlevel.Task] = []

    class Spawned(trio.abc.Instrument):
        def task_spawned(self, task: trio.lowlevel.Task) -> None:
            spawned.append(task)

    net = SimulatedNetwork()
    net.host("192.0.2.1").accepts(after=0.1)
    trio.lowlevel.add_instrument(Spawned())
    await nb.Connector(network=net).open_tcp_stream("example.org", 80, addresses=["192.0.2.1", "192.0.2.2"])
    assert not spawned


async def test_a_failure_says_which_attempt_it_was_of(refusing: tuple[str, int]) -> None:
    with pytest.raises(nb.ConnectError) as caught:
        await nb.open_tcp_stream(*refusing)
    (attempt,) = caught.value.attempts
    (note,) = attempt.error.__notes__  # type: ignore[union-attr]  # Python 3.10 does not know it
    assert note.startswith("attempt 1, after ")


def test_a_socket_without_the_option(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where IP_BIND_ADDRESS_NO_PORT is unknown, to the kernel or to Trio, bind reserves a port; that is no failure."""
    with socket.socket(socket.AF_UNIX) as sock:
        bind_address_only(sock)
    monkeypatch.delattr(trio.socket, "IP_BIND_ADDRESS_NO_PORT")
    with socket.socket() as sock:
        bind_address_only(sock)


# Sockets of a factory that somebody has set


class FakeSocket(trio.socket.SocketType):
    """What Trio promises of a factory's socket, and nothing else."""

    type = socket.SOCK_STREAM
    did_shutdown_SHUT_WR = False  # noqa: N815 - Trio's name

    def __init__(self, failure: OSError | None) -> None:
        self.failure = failure
        self.log: list[object] = []
        self.options: list[tuple[object, ...]] = []

    async def bind(self, address: object) -> None:
        self.log.append(("bind", address))

    async def connect(self, address: object) -> None:
        self.log.append(("connect", address))
        await trio.lowlevel.checkpoint()
        if self.failure is not None:
            raise self.failure

    def setsockopt(self, *option: object) -> None:
        self.options.append(option)
        raise OSError(errno.ENOPROTOOPT, "a fake has no options")

    def close(self) -> None:
        self.log.append("closed")


class FakeFactory(trio.abc.SocketFactory):
    """Makes fakes, and keeps them to be looked at."""

    def __init__(self, failure: OSError | None = None) -> None:
        self.failure = failure
        self.asked: list[tuple[int, ...]] = []
        self.made: list[FakeSocket] = []

    def socket(self, *asked: int) -> FakeSocket:
        self.asked.append(asked)
        self.made.append(FakeSocket(self.failure))
        return self.made[-1]


async def test_factory_socket_is_connected() -> None:
    """Where a socket factory is set, its sockets are connected, by their own `connect`."""
    trio.socket.set_custom_socket_factory(factory := FakeFactory())
    stream = await nb.open_tcp_stream("192.0.2.1", 80)
    assert stream.socket is factory.made[0]
    assert factory.asked == [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)]
    assert factory.made[0].log == [("connect", ("192.0.2.1", 80))]


async def test_factory_socket_is_bound_first() -> None:
    """A local address is bound before the connect; that a fake has no options does not matter."""
    trio.socket.set_custom_socket_factory(factory := FakeFactory())
    await nb.Connector(local_address="192.0.2.7").open_tcp_stream("192.0.2.1", 80)
    assert factory.made[0].log == [("bind", ("192.0.2.7", 0)), ("connect", ("192.0.2.1", 80))]
    assert factory.made[0].options[0] == (socket.IPPROTO_IP, trio.socket.IP_BIND_ADDRESS_NO_PORT, 1)


async def test_factory_socket_fails() -> None:
    """Its error comes out as it is, below the one of the race, and its socket is closed."""
    trio.socket.set_custom_socket_factory(factory := FakeFactory(failure := OSError("no tunnel")))
    with pytest.raises(nb.ConnectError) as caught:
        await nb.open_tcp_stream("192.0.2.1", 80)
    assert caught.value.attempts[0].error is failure
    assert factory.made[0].log[-1] == "closed"


async def test_factory_socket_fails_in_trio_s_words() -> None:
    """As whatever else a connection is made through."""
    failure: Any = trio.BrokenResourceError("the tunnel is gone")
    trio.socket.set_custom_socket_factory(factory := FakeFactory(failure))
    with pytest.raises(nb.ConnectError) as caught:
        await nb.open_tcp_stream("192.0.2.1", 80)
    error = caught.value.attempts[0].error
    assert error is not None
    assert error.__cause__ is failure
    assert factory.made[0].log[-1] == "closed"


async def test_factory_socket_connects_when_it_is_waited_for() -> None:
    """It is made when the attempt begins, and closed when that is given up."""
    trio.socket.set_custom_socket_factory(factory := FakeFactory())
    connect = CustomConnect(Address(socket.AF_INET, "192.0.2.1", 80))
    assert factory.made[0].log == []
    await connect.wait()
    assert "closed" not in factory.made[0].log
    connect.abort()
    assert factory.made[0].log[-1] == "closed"


async def test_factory_socket_over_unix() -> None:
    """A UNIX connect takes the factory's socket, too."""
    trio.socket.set_custom_socket_factory(factory := FakeFactory())
    await nb.open_unix_socket("/somewhere")
    assert factory.asked == [(socket.AF_UNIX, socket.SOCK_STREAM, 0)]
    assert factory.made[0].log == [("connect", "/somewhere")]


async def test_factory_socket_over_unix_fails() -> None:
    """And closes it when that fails."""
    trio.socket.set_custom_socket_factory(factory := FakeFactory(OSError("no tunnel")))
    with pytest.raises(OSError, match=r"^no tunnel"):
        await nb.open_unix_socket("/somewhere")
    assert factory.made[0].log[-1] == "closed"


class FakeResolver(trio.abc.HostnameResolver):
    """Knows nobody."""

    async def getaddrinfo(self, *_: object) -> list[Any]:
        return []

    async def getnameinfo(self, *_: object) -> tuple[str, str]:
        return ("", "")


async def test_hooks_are_seen_and_left_alone() -> None:
    """Looking whether a hook is set does not unset it."""
    assert (has_socket_factory(), has_hostname_resolver()) == (False, False)
    trio.socket.set_custom_socket_factory(FakeFactory())
    assert (has_socket_factory(), has_hostname_resolver()) == (True, False)
    trio.socket.set_custom_hostname_resolver(FakeResolver())
    assert (has_socket_factory(), has_hostname_resolver()) == (True, True)


class QuerySent(trio.abc.HostnameResolver):
    """A resolver that knows nothing, and remembers what it was asked."""

    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []

    async def getaddrinfo(self, *question: Any) -> Any:
        self.calls.append(question)
        raise socket.gaierror(socket.EAI_NONAME, "not known")

    async def getnameinfo(self, *_: object) -> tuple[str, str]:
        raise NotImplementedError


@pytest.mark.parametrize(
    "name", ["example.org", "example.org.", "b\u00fccher.example", "1.example", "a.1b", "127.1", "0x7f.1", "localhost"]
)
async def test_a_hostname_resolver_is_asked_what_trio_asks_it(name: str) -> None:
    """Names that the C library reads as numbers never reach it; the others do, once, as bytes."""
    trio.socket.set_custom_hostname_resolver(resolver := QuerySent())
    for connect in (trio.open_tcp_stream, nb.open_tcp_stream):
        with contextlib.suppress(OSError):
            await connect(name, 1)
    theirs, ours = resolver.calls[::2], resolver.calls[1::2]
    assert theirs == ours
    assert len(theirs) == (0 if name.endswith("7.1") or name == "0x7f.1" else 1)


async def test_looking_for_a_hook_is_no_hook() -> None:
    """Who has looked has set none: what was set before is still nothing."""
    assert (has_socket_factory(), has_hostname_resolver()) == (False, False)
    assert trio.socket.set_custom_socket_factory(None) is None
    assert trio.socket.set_custom_hostname_resolver(None) is None


TRACE = [
    *("RaceStarted", "AnswerReceived", "AttemptStarted", "AttemptFailed", "AttemptStarted", "AttemptConnected"),
    *("AttemptEstablished", "RaceWon"),
]


# In a network of its own

NAMESPACE = """
import errno, json, socket, subprocess
import trio, trio_nbconnect as nb

def run(*words):
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)

run("ip", "link", "set", "lo", "up")
run("ip", "-6", "address", "add", "fe80::1/64", "dev", "lo", "nodad")
for kind, host in ("unreachable", "198.51.100.1"), ("prohibit", "198.51.100.2"), ("blackhole", "198.51.100.3"):
    run("ip", "route", "add", kind, host)

router = subprocess.Popen(["unshare", "--net", "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
router.stdin.write(b"are you there?\\n")
router.stdin.flush()
router.stdout.readline()
there = ["nsenter", f"--net=/proc/{router.pid}/ns/net"]
run("ip", "link", "add", "name", "here", "type", "veth", "peer", "name", "there", "netns", str(router.pid))
run("ip", "address", "add", "192.0.2.1/24", "dev", "here")
run("ip", "link", "set", "here", "up")
run(*there, "ip", "address", "add", "192.0.2.2/24", "dev", "there")
run(*there, "ip", "link", "set", "there", "up")
run(*there, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
run(*there, "ip", "route", "add", "unreachable", "198.51.100.4")
run("ip", "route", "add", "198.51.100.4", "via", "192.0.2.2")

async def meet(host, port=9):
    try:
        with trio.fail_after(5):
            await (await nb.open_tcp_stream(host, port)).aclose()
    except nb.ConnectError as error:
        return errno.errorcode[error.errno]
    return "connected"

async def main():
    met = {f"198.51.100.{number}": await meet(f"198.51.100.{number}") for number in range(1, 6)}
    with socket.socket(socket.AF_INET6) as server:
        server.bind(("fe80::1", 0, 0, socket.if_nametoindex("lo")))
        server.listen()
        met["scope"] = await meet("fe80::1%lo", server.getsockname()[1])
        with socket.socket(socket.AF_INET6) as sock:
            sock.setblocking(False)
            await nb.connect_socket(sock, ("fe80::1%lo", server.getsockname()[1]))
    with open("/proc/sys/net/ipv4/ip_local_port_range", "w") as file:
        file.write("40000 40000")
    met["itself"] = await meet("127.0.0.1", 40000)
    with socket.create_server(("127.0.0.1", 40000)):
        met["port"] = "free"
    return met

met = trio.run(main)
router.communicate()
print(json.dumps(met))
"""


@pytest.fixture(scope="module")
def met() -> dict[str, str]:
    """What connects meet in a network namespace of a child process, with routes as networks have them."""
    unshare = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--net"]
    probe = "ip link set lo up && nsenter --version && ip link add name here type veth"
    try:
        subprocess.run([*unshare, "sh", "-c", probe], check=True, capture_output=True, timeout=30)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no right to make network namespaces: {error}")
    child = subprocess.run(
        [*unshare, sys.executable, "-c", NAMESPACE], check=False, capture_output=True, text=True, timeout=60
    )
    assert child.returncode == 0, child.stderr
    found: dict[str, str] = json.loads(child.stdout)
    return found


@pytest.mark.parametrize(
    ("host", "error"),
    [
        pytest.param("198.51.100.1", "EHOSTUNREACH", id="unreachable route"),
        pytest.param("198.51.100.2", "EACCES", id="prohibit route"),
        pytest.param("198.51.100.3", "EINVAL", id="blackhole route"),
        pytest.param("198.51.100.4", "EHOSTUNREACH", id="ICMP host unreachable from a router"),
        pytest.param("198.51.100.5", "ENETUNREACH", id="no route"),
    ],
)
def test_unreachable(met: dict[str, str], host: str, error: str) -> None:
    """Routes answer connect itself; a router's ICMP wakes it with an error while it is still in SYN_SENT."""
    assert met[host] == error


def test_link_local(met: dict[str, str]) -> None:
    """A link-local address with its scope as text reaches its host."""
    assert met["scope"] == "connected"


def test_only_the_port_itself_is_left(met: dict[str, str]) -> None:
    """A dead port that is the whole range of local ports: refused, and free for its server at once."""
    assert (met["itself"], met["port"]) == ("ECONNREFUSED", "free")
