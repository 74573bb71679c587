"""Blocking: the standard library's function through a race, wherever it is called."""

from __future__ import annotations

import asyncio
import errno
import os
import pickle
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
import trio
import trustme

import trio_nbconnect as nb
from trio_nbconnect._blocking import _host_and_port
from trio_nbconnect._connect import tls
from trio_nbconnect._connect.plain import PlainHandshake, PlainStream, plain_socket
from trio_nbconnect.blocking import BlockingConnector, create_connection, create_tls_connection
from trio_nbconnect.testing import SimulatedNetwork

from .adapters import DROPS, HOST, REFUSES, addresses_tried, connector, dropping
from .servers import contexts, http_server

if sys.version_info < (3, 11):
    from exceptiongroup import ExceptionGroup

QUICK = nb.Policy(attempt_delay=0.02)
PATIENT = nb.Policy(attempt_delay=1000.0)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listener:
        yield listener


@pytest.fixture
def port(listener: socket.socket) -> int:
    return int(listener.getsockname()[1])


@pytest.fixture
def nobody() -> Iterator[int]:
    """A port of 127.0.0.1 on which nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


# What the standard library's function does


def test_the_socket_is_the_standard_library_s(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), 5) as theirs, create_connection(("127.0.0.1", port), 5) as ours:
        for option in (socket.TCP_NODELAY, socket.TCP_NOTSENT_LOWAT):
            assert ours.getsockopt(socket.IPPROTO_TCP, option) == theirs.getsockopt(socket.IPPROTO_TCP, option)
        assert type(ours) is socket.socket
        assert (ours.family, ours.type, ours.proto) == (theirs.family, socket.SOCK_STREAM, 0)
        assert ours.getpeername() == ("127.0.0.1", port)
        assert ours.gettimeout() == 5
        assert not ours.get_inheritable()


@pytest.mark.parametrize("default", [None, 3.0])
def test_without_a_time_out_the_default_counts(port: int, default: float | None) -> None:
    socket.setdefaulttimeout(default)
    try:
        with create_connection(("127.0.0.1", port)) as sock, create_connection(("127.0.0.1", port), None) as endless:
            assert (sock.gettimeout(), endless.gettimeout()) == (default, None)
    finally:
        socket.setdefaulttimeout(None)


def test_broken_addresses_cost_a_delay(port: int) -> None:
    with dropping(port), nb.record() as recording, connector().blocking().create_connection((HOST, port)) as sock:
        assert sock.getpeername() == ("127.0.0.1", port)
    assert [address for address in addresses_tried(recording[0]) if ":" not in address] == [
        REFUSES,
        DROPS,
        "127.0.0.1",
    ]


def test_a_race_can_be_seen(port: int) -> None:
    with dropping(port), nb.record() as recording:
        create_connection(("example.org", port), addresses=[DROPS, "127.0.0.1"]).close()
    lines = str(recording[-1]).splitlines()
    assert lines[0].startswith(f"example.org:{port}  connected in ")
    assert ["cancelled" in line for line in lines if line.startswith("IPv4")] == [True, False]


@pytest.mark.parametrize("host", ["127.0.0.1", b"127.0.0.1", "localhost", None])
@pytest.mark.parametrize("kind", [int, str])
def test_whatever_getaddrinfo_takes(port: int, host: Any, kind: Callable[[int], Any]) -> None:
    with create_connection((host, kind(port))) as sock:
        assert sock.getpeername()[1] == port


def test_a_service_is_a_port() -> None:
    assert _host_and_port(("example.org", "https")) == ("example.org", 443)
    with pytest.raises(socket.gaierror, match="there is no such service: '\uff18\uff10'"):  # as `getaddrinfo` says
        _host_and_port(("example.org", "\uff18\uff10"))
    with pytest.raises(socket.gaierror, match="there is no such service: 'no-such-service'"):
        _host_and_port(("example.org", "no-such-service"))


def test_a_time_out_limits_each_attempt(port: int) -> None:
    """As it does in the standard library: that the first address is silent takes nothing from the second."""
    with dropping(port):
        with (
            connector(DROPS, "127.0.0.1")
            .replace(policy=PATIENT)
            .blocking()
            .create_connection((HOST, port), 0.05) as sock
        ):
            assert sock.gettimeout() == 0.05
        with pytest.raises(TimeoutError, match="no answer for") as caught:
            create_connection((DROPS, port), 0.05)
    assert isinstance(caught.value, nb.ConnectTimeout)


def test_the_connector_s_own_limit_stays() -> None:
    limited = nb.Connector(policy=nb.Policy(give_up_attempt_after=1.0)).blocking()
    opener, _ = limited._with(5.0, None, (), 1000.0, None)
    assert opener.policy.give_up_attempt_after == 1.0


def test_the_last_wishes_are_kept() -> None:
    """A connector is made anew for each time-out, source address and list of options; most calls have the same."""
    blocking, option = nb.Connector().blocking(), (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    given: list[Any] = [(5.0, None, ()), (6.0, None, ()), (6.0, ("127.0.0.1", 0), ()), (6.0, None, [option])]
    wishes = [(*each, 1.0, None) for each in given]
    openers = [blocking._with(*wish)[0] for wish in wishes for _ in range(2)]
    assert [one is other for one, other in pairwise(openers)] == [True, False] * 3 + [True]


def test_the_whole_call_can_be_limited(port: int) -> None:
    with dropping(port), pytest.raises(nb.ConnectTimeout, match=r"^gave up connecting to .* after 0.05 s"):
        create_connection((DROPS, port), give_up_after=0.05)


def test_errors_are_of_the_class_that_fits(nobody: int) -> None:
    with pytest.raises(ConnectionRefusedError) as refused:
        create_connection(("127.0.0.1", nobody))
    assert isinstance(refused.value, nb.ConnectRefused)
    with pytest.raises(socket.gaierror) as unknown:
        create_connection(("nowhere.invalid", 80))
    assert isinstance(unknown.value, nb.ResolutionError)


def test_all_errors(nobody: int) -> None:
    addresses = ["127.0.0.1", "127.0.0.2"]
    with pytest.raises(ExceptionGroup, match=r"^create_connection failed") as caught:
        create_connection(("example.org", nobody), all_errors=True, addresses=addresses)
    assert [type(error) for error in caught.value.exceptions] == [ConnectionRefusedError] * 2
    assert isinstance(caught.value.__cause__, nb.ConnectRefused)
    with pytest.raises(socket.gaierror):  # a look-up has but one
        create_connection(("nowhere.invalid", 80), all_errors=True)


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        ({"address": ("127.0.0.1", 99536)}, ValueError),
        ({"address": ("127.0.0.1\0", 80)}, ValueError),
        ({"address": ("127.0.0.1", 80), "timeout": -1}, ValueError),
        ({"address": ("127.0.0.1", 80), "timeout": "5"}, TypeError),
        ({"address": ("127.0.0.1", 80), "give_up_after": -1}, ValueError),
        ({"address": ("127.0.0.1", 80), "socket_options": 5}, TypeError),
    ],
)
def test_misuse(arguments: dict[str, Any], kind: type[Exception]) -> None:
    with pytest.raises(kind):
        create_connection(**arguments)


def test_words_for_what_is_wrong() -> None:
    with pytest.raises(TypeError, match=r"^socket_options must be an iterable of triples, not int: 5$"):
        create_connection(("127.0.0.1", 80), socket_options=5)  # type: ignore[arg-type]
    with pytest.raises(socket.gaierror) as caught:
        create_connection(("127.0.0.1", "no-such-service"))
    assert caught.value.args == (socket.EAI_SERVICE, "there is no such service: 'no-such-service'")


# Where from, and with which options


@pytest.mark.parametrize("source", [("127.0.0.9", 0), ("127.0.0.9", 1), ("localhost", 0), ("", 1), ("", 0)])
def test_a_source_address(port: int, source: tuple[str, int]) -> None:
    with socket.socket() as other:  # a port that is free
        other.bind(("127.0.0.1", 0))
        source = (source[0], source[1] and other.getsockname()[1])
    with create_connection(("127.0.0.1", port), None, source) as sock:
        host, source_port = sock.getsockname()
    assert host == (source[0] if source[0] == "127.0.0.9" else "127.0.0.1")
    assert source[1] in (0, source_port)


def test_with_a_source_port_one_attempt_is_made_at_a_time(port: int) -> None:
    """Two sockets cannot have one port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        source = ("", free.getsockname()[1])
    with dropping(port), connector(DROPS, "127.0.0.1").blocking().create_connection((HOST, port), 0.05, source) as sock:
        assert sock.getsockname()[1] == source[1]


def test_a_source_port_takes_the_place_of_the_connector_s_address(port: int) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.9", 0))
        source = free.getsockname()
    blocking = nb.Connector(local_address="127.0.0.8").blocking()
    with blocking.create_connection(("127.0.0.1", port), None, source) as sock:
        assert sock.getsockname() == source


def test_the_connector_s_hook_is_called_as_well(port: int) -> None:
    bound: list[object] = []

    def configure(sock: socket.socket, address: nb.Address) -> None:
        bound.append(sock.getsockname())

    blocking = nb.Connector(options=nb.SocketOptions(configure=configure)).blocking()
    blocking.create_connection(("127.0.0.1", port), None, ("localhost", 0)).close()
    assert bound == [("0.0.0.0", 0)]


@pytest.mark.parametrize("own", [None, nb.SocketOptions(no_delay=False), {socket.AF_INET6: nb.SocketOptions()}])
def test_socket_options(port: int, own: Any) -> None:
    option = (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    blocking = nb.Connector(options=own).blocking()
    with blocking.create_connection(("127.0.0.1", port), socket_options=[option]) as sock:
        assert sock.getsockopt(*option[:2]) == 1


@pytest.mark.parametrize("source", [("", 0), ("127.0.0.9", 1)])
def test_options_of_a_call_come_to_the_connector_s_and_to_a_source_address(port: int, source: tuple[str, int]) -> None:
    option = (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    with socket.socket() as other:  # a port that is free
        other.bind(("127.0.0.1", 0))
        source = (source[0], source[1] and other.getsockname()[1])
    blocking = nb.Connector(options=nb.SocketOptions(receive_buffer=4096)).blocking()
    with create_connection(("127.0.0.1", port)) as usual:
        most = usual.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
    with blocking.create_connection(("127.0.0.1", port), None, source, socket_options=[option]) as sock:
        assert sock.getsockopt(*option[:2]) == 1
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) < most
        assert source in (("", 0), sock.getsockname())


@pytest.mark.parametrize("wish", [{"source_address": ("", 1)}, {"socket_options": [(1, 9, 1)]}])
def test_a_proxy_takes_no_such_wish(port: int, wish: dict[str, Any]) -> None:
    proxied = BlockingConnector(nb.proxy.SOCKS5Proxy("127.0.0.1", port))
    with pytest.raises(ValueError, match=r"^source_address and socket_options must be set on the Connector of SOCKS5"):
        proxied.create_connection((HOST, 80), None, **wish)


def test_through_a_proxy_a_time_out_is_for_all_of_it(port: int) -> None:
    """Here the proxy says nothing."""
    proxied = nb.proxy.HTTPProxy("127.0.0.1", port).blocking()
    for timeout, give_up_after in ((0.01, 60), (60, 0.01)):
        with pytest.raises(nb.ConnectTimeout):
            proxied.create_connection((HOST, 80), timeout, give_up_after=give_up_after)


def test_through_a_proxy(listener: socket.socket, port: int) -> None:
    """The target's name goes to the proxy; what the target sends at once is in the socket."""

    def serve() -> None:
        with listener.accept()[0] as sock:
            asked = b""
            while not asked.endswith(b"\r\n\r\n"):
                asked += sock.recv(1)
            sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n220 hello")

    thread = threading.Thread(target=serve)
    thread.start()
    no_delay = (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    through = nb.proxy.HTTPProxy("127.0.0.1", port).blocking()
    with through.create_connection(("target.example", 25), 5, socket_options=[no_delay]) as sock:
        assert sock.getsockopt(*no_delay[:2])
        thread.join()
        assert sock.recv(100) == b"220 hello"


def test_a_proxy_that_speaks_tls_leaves_no_socket(port: int) -> None:
    first = nb.proxy.HTTPProxy("127.0.0.1", port, tls=True)
    for proxy in (first, nb.proxy.SOCKS5Proxy("127.0.0.1", port, connector=first)):
        with pytest.raises(ValueError, match=r"^tls with the proxy leaves no socket"):
            proxy.blocking()


def test_a_simulated_network_has_no_socket() -> None:
    net = SimulatedNetwork()
    net.host("192.0.2.1").accepts()
    with pytest.raises(TypeError, match=r"^blocking code needs a socket of the kernel's"):
        nb.Connector(network=net).blocking().create_connection(("192.0.2.1", 80))


@pytest.mark.parametrize("opener", [None, 5, nb.Policy(), nb.Connector])
def test_an_opener_of_the_wrong_kind(opener: object) -> None:
    with pytest.raises(TypeError, match=r"^opener must be a Connector or a proxy, not "):
        BlockingConnector(opener)


def test_it_is_a_value(port: int) -> None:
    blocking = pickle.loads(pickle.dumps(nb.Connector(policy=QUICK).blocking()))
    assert repr(blocking) == f"BlockingConnector({nb.Connector(policy=QUICK)!r})"
    assert blocking.blocking() is blocking
    blocking.create_connection(("127.0.0.1", port)).close()


# TLS


def test_tls_is_part_of_the_race(authority: trustme.CA) -> None:
    """An address that completes TCP and never answers TLS lets the next one win."""
    server, client = contexts(authority)
    with http_server(server) as port, socket.create_server((DROPS, port)), nb.record() as recording:
        blocking = connector(DROPS, "127.0.0.1").blocking()
        with blocking.create_tls_connection((HOST, port), 5, ssl_context=client) as sock:
            assert type(sock) is ssl.SSLSocket
            assert sock.version() == "TLSv1.3"
            assert sock.gettimeout() == 5
            sock.sendall(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
            assert sock.recv(8) == b"HTTP/1.1"
    assert [row.address.ip for row in recording[0].timeline.attempts][-2:] == [DROPS, "127.0.0.1"]
    assert recording[0].timeline.attempts[-1].connected is not None


def test_a_bad_certificate(authority: trustme.CA) -> None:
    """And the default context, made once for each list of protocols."""
    blocking = connector("127.0.0.1").blocking()
    with http_server(contexts(authority)[0]) as port:
        for protocols in (None, ["http/1.1"], None):
            with pytest.raises(ssl.SSLError, match="certificate verify failed") as caught:
                blocking.create_tls_connection((HOST, port), 5, alpn_protocols=protocols)
    assert isinstance(caught.value, nb.TLSError)
    assert list(blocking._contexts) == [(), ("http/1.1",)]


def test_few_contexts_are_kept(authority: trustme.CA, nobody: int) -> None:
    blocking = nb.Connector().blocking()
    for number in range(10):
        with pytest.raises(ConnectionRefusedError):
            blocking.create_tls_connection(("127.0.0.1", nobody), alpn_protocols=[f"{number}"])
    assert len(blocking._contexts) == 8


def test_a_handshake_can_be_limited(port: int) -> None:
    limited = nb.Connector(policy=nb.Policy(give_up_tls_after=0.05)).blocking()
    with pytest.raises(nb.ConnectTimeout, match="TCP connected after"):
        limited.create_tls_connection(("127.0.0.1", port), ssl_context=ssl.create_default_context())


def test_tls_with_the_plain_function(nobody: int) -> None:
    with pytest.raises(ConnectionRefusedError):
        create_tls_connection(("127.0.0.1", nobody), server_hostname=HOST)


def test_tls_has_the_same_limits_and_addresses(nobody: int) -> None:
    with nb.record() as recording, pytest.raises(nb.ConnectError) as caught:
        create_tls_connection((HOST, nobody), 0.5, ("192.0.2.1", 0), addresses=["127.0.0.1"])
    assert str(caught.value.attempts[0].error).endswith(f"local address 192.0.2.1 for 127.0.0.1:{nobody}")
    started = recording[0].events[0]
    assert isinstance(started, nb.trace.RaceStarted)
    assert started.policy.give_up_attempt_after == 0.5


def test_ctrl_c_after_a_tls_handshake_leaves_no_socket(authority: trustme.CA) -> None:
    server, client = contexts(authority)
    blocking = connector("127.0.0.1", tracer=interrupt_when_connected).blocking()
    with http_server(server) as port, pytest.raises(KeyboardInterrupt):
        blocking.create_tls_connection((HOST, port), 5, ssl_context=client)


def handshake(client: ssl.SSLContext) -> PlainHandshake:
    made = PlainHandshake(HOST, server_hostname=None, context=client, alpn_protocols=None)
    made.prepare({}, 5.0)
    return made


def test_a_dead_heat_has_one_winner(authority: trustme.CA) -> None:
    """What TLS has wrapped is not closed by the race, which knows another object."""
    server, client = contexts(authority)
    shake_hands = handshake(client)

    async def main(port: int) -> list[ssl.SSLSocket]:
        streams = [await nb.open_tcp_stream("127.0.0.1", port) for _ in range(2)]
        return [await shake_hands(stream) for stream in streams]

    with http_server(server) as port:
        winner, loser = trio.run(main, port)
        shake_hands.close_losers(winner)
        assert (winner.fileno() >= 0, loser.fileno()) == (True, -1)
        winner.close()


def test_a_handshake_that_fails_closes_at_once(authority: trustme.CA) -> None:
    """Not only when the race is over."""
    shake_hands = handshake(ssl.create_default_context())
    with http_server(contexts(authority)[0]) as port, pytest.raises(ssl.SSLError):
        trio.run(shake_hands, PlainStream(_non_blocking(port)))
    assert [secure.fileno() for secure in shake_hands._wrapped] == [-1]


def _non_blocking(port: int) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port))
    sock.setblocking(False)
    return sock


class Slow:
    """A connected socket whose TLS cannot even be begun."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.context = context

    def wrap_socket(self, *_: object, **__: object) -> ssl.SSLSocket:
        raise OSError("no memory")


def test_a_socket_that_cannot_be_wrapped_is_closed(port: int) -> None:
    made: Any = handshake(ssl.create_default_context())
    made._context = Slow(made._context)
    sock = socket.create_connection(("127.0.0.1", port))
    with pytest.raises(OSError, match=r"^no memory"):
        trio.run(made, PlainStream(sock))
    assert sock.fileno() == -1


def test_default_contexts_are_shared_by_what_they_offer(authority: trustme.CA, monkeypatch: pytest.MonkeyPatch) -> None:
    """To build one costs more than a connect."""
    server, _ = contexts(authority)
    server.set_alpn_protocols(["h2"])
    monkeypatch.setattr(tls, "default_context", lambda: contexts(authority)[1])
    kept: dict[tuple[str, ...], ssl.SSLContext] = {}
    made = [
        PlainHandshake(HOST, server_hostname=None, context=None, alpn_protocols=protocols)
        for protocols in (["h2"], None, ["h2"])
    ]
    for one in made:
        one.prepare(kept, 5.0)

    assert made[0]._context is made[2]._context is kept["h2",]
    assert len(kept) == 2
    with http_server(server) as port, trio.run(made[2], PlainStream(_non_blocking(port))) as secure:
        assert secure.selected_alpn_protocol() == "h2"


class Writing:
    """A TLS socket that must write first, and then read."""

    def __init__(self, sock: socket.socket) -> None:
        self.errors = [ssl.SSLWantWriteError(), ssl.SSLWantReadError()]
        self.sock = sock

    def fileno(self) -> int:
        return self.sock.fileno()

    def do_handshake(self) -> None:
        if self.errors:
            raise self.errors.pop(0)


def test_a_handshake_waits_for_either_direction(
    listener: socket.socket, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trio_nbconnect._connect.plain import _shake_hands  # noqa: PLC0415

    waits, wait_writable = [], trio.lowlevel.wait_writable

    async def wait(sock: Any) -> None:
        waits.append(sock)
        await wait_writable(sock)

    monkeypatch.setattr(trio.lowlevel, "wait_writable", wait)
    with create_connection(("127.0.0.1", port)) as sock, listener.accept()[0] as server:
        server.sendall(b"something")
        writing: Any = Writing(sock)
        trio.run(_shake_hands, writing)
    assert (writing.errors, waits[-1]) == ([], writing)


def test_there_may_be_no_socket_to_take_out() -> None:
    with pytest.raises(TypeError, match=r"^blocking code needs a socket of the kernel's, and there is none in <object"):
        plain_socket(object())


def test_a_socket_of_trio_s_is_taken_out(port: int) -> None:
    async def main() -> socket.socket:
        return plain_socket(await nb.open_tcp_stream("127.0.0.1", port))

    with trio.run(main) as sock:
        assert sock.getpeername() == ("127.0.0.1", port)


# Wherever it is called


def where(port: int) -> int:
    """Connect, and tell in which thread the race was run; ours has a name."""
    threads: list[tuple[int, str]] = []

    def note(_: object) -> None:
        threads.append((threading.get_ident(), threading.current_thread().name))

    nb.Connector(tracer=note).blocking().create_connection(("127.0.0.1", port), 5).close()
    ((thread, name),) = set(threads)
    assert thread == threading.get_ident() or name == "trio_nbconnect race"
    return thread


@contextmanager
def handled(number: signal.Signals, handler: Callable[..., object]) -> Iterator[None]:
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)


def test_no_thread_is_needed(port: int) -> None:
    assert where(port) == threading.get_ident()


def test_where_signals_are_handled_a_thread_is(port: int) -> None:
    for number in {1, signal.SIGTERM} & signal.valid_signals():
        with handled(signal.Signals(number), lambda *_: None):
            assert where(port) != threading.get_ident()
    with handled(signal.SIGINT, lambda *_: None):
        assert where(port) != threading.get_ident()
    with handled(signal.SIGINT, signal.SIG_IGN):  # type: ignore[arg-type]  # which is no handler
        assert where(port) == threading.get_ident()


async def test_inside_trio(port: int) -> None:
    """It blocks, and is seen like any other."""
    with nb.record() as recording:
        assert where(port) != threading.get_ident()
        assert await trio.to_thread.run_sync(where, port) != threading.get_ident()
    assert len(recording) == 2


def test_in_a_thread_of_the_program_s_own(port: int) -> None:
    """No signal arrives there."""
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(lambda: where(port) == threading.get_ident()).result()


def test_under_asyncio(port: int) -> None:
    async def main() -> None:
        where(port)
        await asyncio.sleep(0)
        await asyncio.to_thread(where, port)

    asyncio.run(main())


def test_in_many_threads(port: int) -> None:
    """They share one connector, and its history."""
    history = nb.History(max_addresses=2, explore_every=1000)
    blocking = nb.Connector(history=history).blocking()
    addresses = [f"127.0.0.{number}" for number in range(1, 9)]

    def connect(address: str) -> None:
        blocking.create_connection((address, port), 5).close()

    with socket.create_server(("0.0.0.0", 0), backlog=1000) as listener, ThreadPoolExecutor(8) as pool:
        port = listener.getsockname()[1]
        list(pool.map(connect, addresses * 10))
        assert where(port) == threading.get_ident()
    assert len(history._known) <= 2 + 8


@pytest.mark.parametrize("all_errors", [False, True])
def test_without_threads_it_is_an_oserror(port: int, all_errors: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(trio.lowlevel, "start_thread_soon", refuse)
    with handled(signal.SIGTERM, lambda *_: None), pytest.raises(OSError) as caught:
        create_connection(("127.0.0.1", port), all_errors=all_errors)
    assert caught.value.args == (errno.EAGAIN, "no thread to connect in: can't start new thread")


def on_attempt(act: Callable[[], object]) -> nb.trace.Tracer:
    """A tracer that does something as soon as there is a socket."""
    return lambda event: act() if isinstance(event, nb.trace.AttemptStarted) else None


def interrupt_when_connected(event: object) -> None:
    if isinstance(event, nb.trace.RaceWon):
        signal.raise_signal(signal.SIGINT)


def test_ctrl_c(port: int) -> None:
    """At an attempt, and when the race is won already."""
    interrupt = on_attempt(partial(signal.raise_signal, signal.SIGINT))
    for tracer in (interrupt, interrupt_when_connected):
        with dropping(port), pytest.raises(KeyboardInterrupt):
            connector(DROPS, "127.0.0.1", tracer=tracer).blocking().create_connection((HOST, port))


def test_ctrl_c_when_all_is_over(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trio has the socket, and raises instead of returning; it is closed."""
    run = trio.run

    def run_and_interrupt(main: Any) -> None:
        run(main)
        raise KeyboardInterrupt

    monkeypatch.setattr(trio, "run", run_and_interrupt)
    with pytest.raises(KeyboardInterrupt):
        create_connection(("127.0.0.1", port))


class Alarm(Exception):
    """What a handler of signals raises."""


@pytest.fixture
def ring() -> Iterator[Callable[[], None]]:
    """Ring until the main thread has heard it: a signal that comes just before a lock is waited for wakes nobody."""
    has_rung = threading.Event()

    def handler(*_: object) -> None:
        if not has_rung.is_set():
            has_rung.set()
            raise Alarm

    def ring() -> None:
        while not has_rung.wait(0.01):
            os.kill(os.getpid(), signal.SIGUSR1)

    with handled(signal.SIGUSR1, handler):
        yield ring


def test_what_a_handler_raises_comes_out(port: int, ring: Callable[[], None]) -> None:
    """The race is cancelled first."""
    blocking = nb.Connector(tracer=on_attempt(ring)).blocking()
    with dropping(port), nb.record() as recording, pytest.raises(Alarm):
        blocking.create_connection((DROPS, port))
    lost = recording[0].events[-1]
    assert isinstance(lost, nb.trace.RaceLost)
    assert lost.error is None
    assert [type(event) for event in recording[0].events[-2:-1]] == [nb.trace.AttemptCancelled]


def test_what_a_handler_raises_before_trio_has_begun(
    port: int, ring: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread finds out when it begins."""
    start = trio.lowlevel.start_thread_soon

    def start_late(run: Callable[[], object], deliver: Any, name: str) -> None:
        def run_late() -> object:
            ring()
            return run()

        start(run_late, deliver, name)

    monkeypatch.setattr(trio.lowlevel, "start_thread_soon", start_late)
    with dropping(port), pytest.raises(Alarm):
        create_connection((DROPS, port))


def run(program: str) -> str:
    """Run a program with warnings as errors, and return what it prints."""
    done = subprocess.run([sys.executable, "-Werror", "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


FORK = """
import os, socket
from trio_nbconnect.blocking import create_connection, patched_socket

with socket.create_server(("127.0.0.1", 0)) as listener, patched_socket():
    address = listener.getsockname()
    create_connection(address, 5).close()
    child = os.fork()
    socket.create_connection(address, 5).close()
    if child:
        print(os.waitpid(child, 0)[1])
    else:
        os._exit(0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_after_a_fork() -> None:
    assert run(FORK) == "0\n"


LAZY = """
import sys
import trio_nbconnect as nb
from trio_nbconnect.blocking import create_connection, patched_socket

with patched_socket():
    import http.client
print("trio" in sys.modules)
try:
    create_connection(("127.0.0.1", 1), 5)
except OSError:
    print("trio" in sys.modules)
"""


def test_trio_is_imported_by_the_first_connect() -> None:
    assert run(LAZY).split() == ["False", "True"]
