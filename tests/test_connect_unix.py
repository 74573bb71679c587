"""One connect over a UNIX socket, against this machine's kernel.

Linux answers EAGAIN when the server's backlog is full, and then nothing is under way: the socket polls writable at
once, has no error and no peer, and gets no event when the server accepts. Whoever takes that for EINPROGRESS reports
a connection that does not exist. The only remedy is to ask again, and the only question is how often.
"""

from __future__ import annotations

import errno
import itertools
import math
import os
import pickle
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from trio.testing import MockClock

import trio_nbconnect as nb
from trio_nbconnect._connect.network import KernelNetwork

from .test_connect import Jumpy, Scripted

if sys.version_info < (3, 11):  # trio brings the backport on 3.10
    from exceptiongroup import ExceptionGroup

AnySocket = socket.socket | trio.socket.SocketType
NewSocket = Callable[..., AnySocket]


class Counted(socket.socket):
    """A kernel socket that notes when it was asked to connect, and what it said."""

    def __init__(self) -> None:
        super().__init__(socket.AF_UNIX, socket.SOCK_STREAM)
        self.setblocking(False)
        self.times: list[float] = []
        self.said: list[int] = []

    def connect_ex(self, address: Any, /) -> int:
        self.times.append(trio.current_time())
        self.said.append(super().connect_ex(address))
        return self.said[-1]


def non_blocking(family: int = socket.AF_UNIX, kind: int = socket.SOCK_STREAM) -> socket.socket:
    """Open a stdlib socket for a connect."""
    sock = socket.socket(family, kind)
    sock.setblocking(False)
    return sock


@pytest.fixture(params=[non_blocking, trio.socket.socket], ids=["stdlib", "trio"])
def new_socket(request: pytest.FixtureRequest) -> NewSocket:
    """The two kinds of socket that `connect_socket` takes."""
    new: NewSocket = request.param
    return new


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A path where nothing is yet."""
    return str(tmp_path / "server")


@contextmanager
def serving(path: str | bytes, kind: int = socket.SOCK_STREAM, backlog: int = 5) -> Iterator[socket.socket]:
    """Listen at a path."""
    with socket.socket(socket.AF_UNIX, kind) as server:
        server.bind(path)
        server.listen(backlog)
        server.settimeout(5)
        yield server


@contextmanager
def busy(path: str, kind: int = socket.SOCK_STREAM) -> Iterator[socket.socket]:
    """Listen at a path with a full backlog: listen(n) admits n + 1 connections."""
    with serving(path, kind, backlog=0) as server, socket.socket(socket.AF_UNIX, kind) as client:
        client.connect(path)
        yield server


async def fail(sock: AnySocket, path: Any) -> OSError:
    """Connect, which must fail and close the socket, and return with what."""
    try:
        await nb.connect_socket(sock, path)
    except OSError as error:
        assert sock.fileno() == -1
        return error
    raise AssertionError(f"connected to {path}")


async def expect_closed(do: Callable[..., Any], *args: object) -> None:
    """The socket is closed meanwhile, and the waiter is told."""
    with trio.fail_after(5), pytest.raises(trio.ClosedResourceError):
        await do(*args)


# Every spelling of a path


@pytest.mark.parametrize("spell", [str, os.fsencode, Path], ids=["str", "bytes", "PathLike"])
async def test_spellings(path: str, new_socket: NewSocket, spell: Callable[[str], Any]) -> None:
    """A path may be a `str`, `bytes` or path-like, for the primitive and for the door."""
    with serving(path), closing(new_socket(socket.AF_UNIX)) as sock:
        await nb.connect_socket(sock, spell(path))
        assert sock.getpeername() == path
        async with await nb.open_unix_socket(spell(path)) as stream:
            assert stream.socket.getpeername() == path


@pytest.mark.parametrize("spell", [str, os.fsencode], ids=["str", "bytes"])
async def test_abstract(new_socket: NewSocket, spell: Callable[[str], Any]) -> None:
    """Linux, unix(7): in an abstract address "null bytes in the name have no special significance"."""
    name = f"\0trio_nbconnect\0{os.getpid()}"
    with serving(os.fsencode(name)), closing(new_socket(socket.AF_UNIX)) as sock:
        await nb.connect_socket(sock, spell(name))
        assert sock.getpeername() == os.fsencode(name)
        async with await nb.open_unix_socket(spell(name)) as stream:
            assert stream.socket.getpeername() == os.fsencode(name)


@pytest.mark.parametrize("spell", [str, os.fsencode, Path], ids=["str", "bytes", "PathLike"])
async def test_nul_inside(path: str, new_socket: NewSocket, spell: Callable[[str], Any]) -> None:
    """The kernel ends a path at its first NUL, and would reach a server that nobody named."""
    with serving(path):
        sock = new_socket(socket.AF_UNIX)
        with pytest.raises(ValueError, match=r"^path must not contain NUL: .*server.*junk"):
            await nb.connect_socket(sock, spell(path + "\0junk"))
        assert sock.fileno() == -1
        with pytest.raises(ValueError, match=r"^path must not contain NUL"):
            await nb.open_unix_socket(spell(path + "\0junk"))


async def test_no_path() -> None:
    """What is no path is a TypeError, and nothing stays open."""
    with pytest.raises(TypeError):
        await nb.connect_socket(non_blocking(), 80)
    with pytest.raises(TypeError):
        await nb.open_unix_socket(80)  # type: ignore[arg-type]  # that is the subject


async def test_path_too_long() -> None:
    """A path that no sockaddr_un holds is an OSError, and nothing stays open."""
    with pytest.raises(OSError, match="path too long"):
        await nb.open_unix_socket("/" + 200 * "x")


# What connect says


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_SEQPACKET], ids=["stream", "seqpacket"])
async def test_connected_at_once(path: str, new_socket: NewSocket, kind: int) -> None:
    """With room in the backlog connect says 0; that is a checkpoint all the same."""
    with serving(path, kind), closing(new_socket(socket.AF_UNIX, kind)) as sock:
        with trio.testing.assert_checkpoints():
            await nb.connect_socket(sock, path)
        assert sock.getpeername() == path


async def test_connected_at_once_and_cancelled(path: str, new_socket: NewSocket) -> None:
    """Cancelled at that checkpoint, the connected socket is closed."""
    sock = new_socket(socket.AF_UNIX)
    with serving(path), trio.CancelScope() as scope:
        scope.cancel()
        await nb.connect_socket(sock, path)
    assert scope.cancelled_caught
    assert sock.fileno() == -1


async def test_datagram(path: str) -> None:
    """A datagram connect has no backlog: always 0, even when the receiver is full."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server, non_blocking(kind=socket.SOCK_DGRAM) as sock:
        server.bind(path)
        with non_blocking(kind=socket.SOCK_DGRAM) as flood, suppress(BlockingIOError):
            while True:
                flood.sendto(b"x", path)
        await nb.connect_socket(sock, path)
        assert sock.getpeername() == path


async def test_nothing_there(path: str, new_socket: NewSocket) -> None:
    """A missing path is ENOENT, and the error names it."""
    error = await fail(new_socket(socket.AF_UNIX), path)
    assert isinstance(error, FileNotFoundError)
    assert path in str(error)


async def test_nobody_listens(path: str, new_socket: NewSocket) -> None:
    """Bound but not listening is ECONNREFUSED."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        assert isinstance(await fail(new_socket(socket.AF_UNIX), path), ConnectionRefusedError)


async def test_wrong_type(path: str, new_socket: NewSocket) -> None:
    """A stream socket and a datagram server do not go together: EPROTOTYPE."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(path)
        assert (await fail(new_socket(socket.AF_UNIX), path)).errno == errno.EPROTOTYPE


async def test_door_closes_on_failure(path: str) -> None:
    """The door raises the kernel's error with the path, and nothing stays open."""
    with pytest.raises(FileNotFoundError, match="server"):
        await nb.open_unix_socket(path)


# A full backlog


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_SEQPACKET], ids=["stream", "seqpacket"])
async def test_full_backlog_is_no_success(
    path: str, new_socket: NewSocket, kind: int, autojump_clock: MockClock
) -> None:
    """EAGAIN is waited out, and a cancelled wait leaves nothing open."""
    sock = new_socket(socket.AF_UNIX, kind)
    with busy(path, kind), trio.move_on_after(60) as scope:
        await nb.connect_socket(sock, path)
    assert scope.cancelled_caught
    assert sock.fileno() == -1
    assert trio.current_time() == 60


async def test_door_waits_for_room(path: str, autojump_clock: MockClock) -> None:
    """`open_unix_socket` returns when the server has accepted somebody, and what it returns is connected."""
    with busy(path) as server:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_accept_after, 1.0, server)
            stream = await nb.open_unix_socket(path)
        async with stream:
            assert 1 < trio.current_time() <= 1.05
            with server.accept()[0] as served:
                await stream.send_all(b"hello")
                assert served.recv(5) == b"hello"


async def test_door_cancelled_while_waiting(path: str, autojump_clock: MockClock) -> None:
    """Cancelled in a full backlog, the door leaves nothing open."""
    with busy(path), trio.move_on_after(60) as scope:
        await nb.open_unix_socket(path)
    assert scope.cancelled_caught


async def test_room_appears(path: str, new_socket: NewSocket, autojump_clock: MockClock) -> None:
    """Asking again works on the same socket, and comes at most 50 ms late."""
    with busy(path) as server, closing(new_socket(socket.AF_UNIX)) as sock:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_accept_after, 1.0, server)
            await nb.connect_socket(sock, path)
        assert 1 < trio.current_time() <= 1.05
        assert sock.getpeername() == path


async def test_listener_closes(path: str, new_socket: NewSocket, autojump_clock: MockClock) -> None:
    """When the listener is closed while we wait, asking again says ECONNREFUSED, which ends it."""
    with busy(path) as server:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_close_after, 1.0, server)
            assert isinstance(await fail(new_socket(socket.AF_UNIX), path), ConnectionRefusedError)
    assert 1 < trio.current_time() <= 1.05


async def test_no_busy_loop(path: str, autojump_clock: MockClock) -> None:
    """Pauses of 1 ms at first, doubled up to 50 ms, each shortened by up to a half."""
    sock = Counted()
    with busy(path), trio.move_on_after(10):
        await nb.connect_socket(sock, path)
    assert set(sock.said) == {errno.EAGAIN}
    pauses = [later - earlier for earlier, later in itertools.pairwise(sock.times)]
    for pause, longest in zip(pauses, [0.001, 0.002, 0.004, 0.008, 0.016, 0.032, *[0.05] * 1000], strict=False):
        assert longest / 2 - 1e-9 <= pause <= longest + 1e-9
    assert 200 <= len(pauses) <= 410


async def test_nothing_is_under_way(path: str, autojump_clock: MockClock) -> None:
    """Readiness means nothing then, and is not waited for."""
    network = Jumpy()
    with busy(path):
        handshake = nb.Handshake.begin(non_blocking(), path, network=network)
        with trio.move_on_after(1):
            await handshake.wait()
    handshake.abort()
    assert network.wakings == 0


async def test_room_appears_and_the_rest_takes_a_while(path: str, autojump_clock: MockClock) -> None:
    """From then on it is a handshake like others."""
    with serving(path), Scripted(errno.EAGAIN, errno.EINPROGRESS, family=socket.AF_UNIX) as sock:
        await nb.connect_socket(sock, path)
        assert sock.log == ["EAGAIN", "EINPROGRESS", "SO_ERROR", "0"]


async def test_a_path_has_no_port_to_run_out_of(path: str) -> None:
    """EADDRNOTAVAIL is asked about again where a local port may have been lacking, and nowhere else."""
    sock = Scripted(errno.EADDRNOTAVAIL, family=socket.AF_UNIX)
    assert (await fail(sock, path)).errno == errno.EADDRNOTAVAIL
    assert sock.log == ["EADDRNOTAVAIL"]


async def test_a_peer_of_the_same_name_is_somebody_else(path: str) -> None:
    """A name may be taken again when its file is gone; only TCP can meet itself."""
    with non_blocking() as sock:
        sock.bind(path)
        os.unlink(path)
        with serving(path):
            await nb.connect_socket(sock, path)
            assert sock.getpeername() == sock.getsockname() == path


async def test_clients_do_not_march_in_step(path: str, autojump_clock: MockClock) -> None:
    """Many clients of one busy server come back at different times."""
    socks = [Counted() for _ in range(10)]
    with busy(path), trio.move_on_after(1):
        async with trio.open_nursery() as nursery:
            for sock in socks:
                nursery.start_soon(nb.connect_socket, sock, path)
    assert len({sock.times[-1] for sock in socks}) > 1


async def test_a_cancelled_wait_loses_nothing(path: str, autojump_clock: MockClock) -> None:
    """A handshake that waits for room may be left, and taken up again by another task."""
    with busy(path) as server:
        handshake = nb.Handshake.begin(non_blocking(), path)
        with trio.move_on_after(1):
            await handshake.wait()
        server.accept()[0].close()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(handshake.wait)
        assert handshake.state is nb.HandshakeState.CONNECTED
        await handshake.stream().aclose()


async def test_two_tasks_wait(path: str, autojump_clock: MockClock) -> None:
    """Both learn of the success, and only one of them asked for it."""
    with busy(path) as server, Counted() as sock:
        handshake = nb.Handshake.begin(sock, path)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(handshake.wait)
            nursery.start_soon(handshake.wait)
            nursery.start_soon(_accept_after, 1.0, server)
        assert handshake.state is nb.HandshakeState.CONNECTED
        assert sock.said.count(0) == 1


async def test_aborted_while_another_task_waits(path: str, autojump_clock: MockClock) -> None:
    """An aborted handshake does not ask again; its waiter is told."""
    with busy(path):
        handshake = nb.Handshake.begin(sock := Counted(), path)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(expect_closed, handshake.wait)
            await trio.sleep(1)
            asked = len(sock.said)
            handshake.abort()
        assert len(sock.said) == asked


async def test_closed_by_another_task(path: str, new_socket: NewSocket, autojump_clock: MockClock) -> None:
    """A socket closed under the connect is `trio.ClosedResourceError`, as everywhere in Trio."""
    sock = new_socket(socket.AF_UNIX)
    with busy(path):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(expect_closed, nb.connect_socket, sock, path)
            await trio.sleep(1)
            sock.close()


async def test_a_foreign_descriptor_is_not_connected(
    path: str, new_socket: NewSocket, autojump_clock: MockClock
) -> None:
    """Closed by another task, and its number taken by another socket: that one is not connected to our server."""
    sock = new_socket(socket.AF_UNIX)
    with busy(path) as server:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(expect_closed, nb.connect_socket, sock, path)
            await trio.sleep(1)
            with non_blocking() as stranger:
                number = sock.fileno()
                sock.close()
                os.dup2(stranger.fileno(), number)
            server.accept()[0].close()
        with socket.socket(fileno=number) as foreign, pytest.raises(OSError, match="not connected"):
            foreign.getpeername()


# give_up_after


async def give_up(path: Any, seconds: float) -> nb.ConnectTimeout:
    """Connect, which must give up, and return with what."""
    with pytest.raises(nb.ConnectTimeout) as caught:
        await nb.open_unix_socket(path, give_up_after=seconds)
    return caught.value


@pytest.mark.parametrize("spell", [str, os.fsencode, Path], ids=["str", "bytes", "PathLike"])
async def test_gave_up(path: str, spell: Callable[[str], Any], autojump_clock: MockClock) -> None:
    """The error says what was under way, at the second that was asked for; nothing stays open."""
    with busy(path):
        error = await give_up(spell(path), 0.3)
    assert trio.current_time() == pytest.approx(0.3)
    assert str(error) == f"gave up connecting to {path} after 0.3 s: the server's backlog is full"
    assert (error.host, error.port, error.attempts) == (path, 0, ())
    assert (error.errno, error.phase) == (errno.ETIMEDOUT, nb.Phase.HANDSHAKE)
    assert isinstance(error, OSError)
    assert isinstance(error, TimeoutError)
    assert isinstance(error, trio.TooSlowError)


async def test_gave_up_has_a_cause(path: str, autojump_clock: MockClock) -> None:
    """The cause is a group of one, and all of it goes through a pickle."""
    with busy(path):
        error = await give_up(path, 1)
    for twin in (error, pickle.loads(pickle.dumps(error))):
        assert (type(twin), str(twin), twin.host, twin.port) == (nb.ConnectTimeout, str(error), path, 0)
        assert isinstance(twin.__cause__, ExceptionGroup)
        (cause,) = twin.__cause__.exceptions
        assert isinstance(cause, TimeoutError)
        assert cause.errno == errno.ETIMEDOUT
        assert str(cause).endswith(f"the server's backlog is full: {path}")


@pytest.mark.parametrize("spell", [str, os.fsencode], ids=["str", "bytes"])
async def test_gave_up_on_an_abstract_name(spell: Callable[[str], Any], autojump_clock: MockClock) -> None:
    """Every NUL of an abstract name shows as "@", as in /proc/net/unix."""
    name = f"\0trio_nbconnect\0gave up {os.getpid()}"
    with busy(name):
        error = await give_up(spell(name), 1)
    assert error.host == f"@trio_nbconnect@gave up {os.getpid()}"
    assert f"connecting to {error.host} after 1 s" in str(error)


async def test_gave_up_on_a_path_that_cannot_be_printed(tmp_path: Path, autojump_clock: MockClock) -> None:
    """The text stays one line that any terminal takes; `host` is the path itself."""
    path = os.fsdecode(os.fsencode(tmp_path) + b"/new\nline\xff")
    with busy(path):
        error = await give_up(path, 1)
    assert error.host == path
    assert "\\nline\\udcff' after 1 s" in str(error)
    assert str(error).isprintable()


async def test_room_before_giving_up(path: str, autojump_clock: MockClock) -> None:
    """A limit that is not reached changes nothing, also later."""
    with busy(path) as server:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_accept_after, 1.0, server)
            stream = await nb.open_unix_socket(path, give_up_after=2)
        async with stream:
            await trio.sleep(5)
            assert stream.socket.getpeername() == path


async def test_a_limit_of_zero_takes_what_is_there(path: str, autojump_clock: MockClock) -> None:
    """What connect has said at once counts, be it yes or no."""
    with serving(path):
        async with await nb.open_unix_socket(path, give_up_after=0) as stream:
            assert stream.socket.getpeername() == path
    with pytest.raises(ConnectionRefusedError):
        await nb.open_unix_socket(path, give_up_after=0)


async def test_cancelled_before_giving_up(path: str, autojump_clock: MockClock) -> None:
    """The caller's own scope is not mistaken for the limit, even when both are over."""
    for limit in (60, 1):
        with busy(f"{path}{limit}"), trio.move_on_after(1) as scope:
            await nb.open_unix_socket(f"{path}{limit}", give_up_after=limit)
        assert scope.cancelled_caught


@pytest.mark.parametrize(("limit", "kind"), [("1", TypeError), (None, TypeError), (-1, ValueError)])
async def test_no_limit(path: str, limit: Any, kind: type[Exception]) -> None:
    """What is no number of seconds is shown, before anything is opened."""
    with pytest.raises(kind, match=f"^give_up_after must .*not {limit!r}"):
        await nb.open_unix_socket(path, give_up_after=limit)


async def test_a_network_of_the_caller_s_is_used_throughout(path: str, autojump_clock: MockClock) -> None:
    """It opens, waits, and makes the stream."""
    log: list[str] = []

    class Logged(KernelNetwork):
        def open(self, family: socket.AddressFamily, protocol: int = 0) -> socket.socket:
            log.append("open")
            return super().open(family, protocol)

        def stream(self, sock: socket.socket) -> trio.SocketStream:
            log.append("stream")
            return super().stream(sock)

        def close(self, sock: socket.socket) -> None:
            log.append("close")
            super().close(sock)

    connector = nb.Connector(network=Logged())
    with serving(path):
        for limit in (math.inf, 1.0):
            (await connector.open_unix_socket(path, give_up_after=limit)).socket.close()
    assert log == ["open", "stream"] * 2
    with pytest.raises(ConnectionRefusedError):
        await connector.open_unix_socket(path)
    assert log[4:6] == ["open", "close"]


async def test_an_option_that_is_refused_is_named_with_the_path(path: str) -> None:
    class Stubborn(socket.socket):
        def setsockopt(self, *_: Any) -> None:
            raise OSError(errno.EPERM, "no")

    class Network(KernelNetwork):
        def open(self, family: socket.AddressFamily, protocol: int = 0) -> socket.socket:
            return Stubborn(family)

    connector = nb.Connector(options=nb.SocketOptions(send_buffer=4096), network=Network())
    with serving(path), pytest.raises(PermissionError) as caught:
        await connector.open_unix_socket(path)
    assert f"option send_buffer=4096 for {path!r}" in str(caught.value)


class Tunnel(trio.abc.SocketFactory):
    """A factory of kernel sockets whose connect takes a while."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.made: list[trio.socket.SocketType] = []

    def socket(self, family: Any = None, type: Any = None, proto: Any = None) -> trio.socket.SocketType:  # noqa: A002
        """Make one."""
        sock = trio.socket.from_stdlib_socket(socket.socket(family, type, proto))
        connect = sock.connect

        async def connect_slowly(address: Any) -> None:
            await trio.sleep(self.seconds)
            await connect(address)

        sock.connect = connect_slowly  # type: ignore[method-assign]  # that is the fake
        self.made.append(sock)
        return sock


async def test_gave_up_on_a_socket_of_a_factory(path: str, autojump_clock: MockClock) -> None:
    """Of a foreign socket we know that it has not answered, and that it is closed."""
    trio.socket.set_custom_socket_factory(factory := Tunnel(60))
    with serving(path):
        error = await give_up(path, 0.3)
    assert str(error) == f"gave up connecting to {path} after 0.3 s: no answer"
    assert (error.host, error.port, error.phase) == (path, 0, nb.Phase.HANDSHAKE)
    assert trio.current_time() == pytest.approx(0.3)
    assert [sock.fileno() for sock in factory.made] == [-1]


async def test_a_socket_of_a_factory_in_time(path: str, autojump_clock: MockClock) -> None:
    """It connects within the limit."""
    trio.socket.set_custom_socket_factory(Tunnel(1))
    with serving(path):
        async with await nb.open_unix_socket(path, give_up_after=2) as stream:
            assert stream.socket.getpeername() == path


async def test_nul_inside_with_a_factory(path: str) -> None:
    """A NUL inside a path is an error before the factory is asked."""
    trio.socket.set_custom_socket_factory(factory := Tunnel(0))
    with pytest.raises(ValueError, match=r"^path must not contain NUL"):
        await nb.open_unix_socket(path + "\0junk")
    assert factory.made == []


async def _accept_after(seconds: float, server: socket.socket) -> None:
    await trio.sleep(seconds)
    server.accept()[0].close()


async def _close_after(seconds: float, server: socket.socket) -> None:
    await trio.sleep(seconds)
    server.close()


@pytest.mark.parametrize(
    ("give_up_after", "kind", "text"),
    [
        ("5", TypeError, "give_up_after must be a number of seconds, not '5'"),
        (-1, ValueError, "give_up_after must not be negative, not -1"),
    ],
)
async def test_a_limit_that_is_none(give_up_after: Any, kind: type[Exception], text: str) -> None:
    with pytest.raises(kind) as caught:
        await nb.Connector().open_unix_socket("/nowhere", give_up_after=give_up_after)
    assert str(caught.value) == text
