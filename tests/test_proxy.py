"""Proxies: the dialogue is part of the race, the target is the proxy's to find, and nothing it says is trusted."""

from __future__ import annotations

import base64
import contextlib
import copy
import dataclasses
import errno
import json
import pickle
import ssl
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import h11
import pytest
import trio
import trustme
from trio.testing import MockClock

import trio_nbconnect as nb
from trio_nbconnect._pictures.labels import error_text
from trio_nbconnect._simulation.sockets import CAPACITY
from trio_nbconnect.proxy import HTTPProxy, Secret, SOCKS5Proxy
from trio_nbconnect.testing import SimulatedNetwork

from .adapters import import_with_broken, import_without

Handler = Callable[[trio.abc.Stream], Awaitable[object]]
Proxy = type[SOCKS5Proxy] | type[HTTPProxy]

HOME = "127.0.0.1"
TARGET = ("target.example", 443)
SOCKS_OK = b"\x05\x00\x00\x01" + bytes(6)
HTTP_OK = b"HTTP/1.1 200 Connected\r\nContent-Length: 9\r\n\r\n"
USER, PASSWORD = "somebody", "a-secret:ü"


@asynccontextmanager
async def serving(handler: Handler, host: str = HOME, port: int = 0) -> AsyncIterator[int]:
    """Serve on loopback; the port. Who hangs up on the server has had enough."""

    async def serve(stream: trio.abc.Stream) -> None:
        with contextlib.suppress(trio.BrokenResourceError):
            await handler(stream)

    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(port, host=host)
        nursery.start_soon(trio.serve_listeners, serve, listeners)
        yield int(listeners[0].socket.getsockname()[1])
        nursery.cancel_scope.cancel()


async def exactly(stream: trio.abc.Stream, length: int) -> bytes:
    received = b""
    while len(received) < length:
        more = await stream.receive_some(length - len(received))
        if not more:
            raise trio.BrokenResourceError
        received += more
    return received


class SOCKSServer:
    """A SOCKS5 proxy, by hand, which is also every target: it sends `reply`, and then echoes."""

    def __init__(
        self, reply: bytes = SOCKS_OK, *, wants_password: bool = False, accepts: tuple[str, str] = (USER, PASSWORD)
    ) -> None:
        self.reply, self.wants_password, self.accepts = reply, wants_password, accepts
        self.asked: list[bytes] = []
        self.methods = b""

    async def __call__(self, stream: trio.abc.Stream) -> None:
        assert await exactly(stream, 1) == b"\x05"
        self.methods = await exactly(stream, (await exactly(stream, 1))[0])
        if self.wants_password:
            await stream.send_all(b"\x05\x02" if b"\x02" in self.methods else b"\x05\xff")
            if b"\x02" not in self.methods:
                return
            assert await exactly(stream, 1) == b"\x01"
            user = await exactly(stream, (await exactly(stream, 1))[0])
            password = await exactly(stream, (await exactly(stream, 1))[0])
            good = (user.decode(), password.decode()) == self.accepts
            await stream.send_all(b"\x01\x00" if good else b"\x01\x01")
            if not good:
                return
        else:
            await stream.send_all(b"\x05\x00")
        head = await exactly(stream, 4)
        length = {1: 4, 4: 16}.get(head[3]) or (await exactly(stream, 1))[0]
        self.asked.append(head + await exactly(stream, length + 2))
        await stream.send_all(self.reply)
        await echo(stream)


class HTTPServer:
    """An HTTP proxy, with h11 and also every target: it sends `reply`, and then echoes."""

    def __init__(self, reply: bytes = HTTP_OK) -> None:
        self.reply = reply
        self.requests: list[h11.Request] = []

    async def __call__(self, stream: trio.abc.Stream) -> None:
        connection = h11.Connection(h11.SERVER)
        while (event := connection.next_event()) is h11.NEED_DATA:
            connection.receive_data(bytes(await stream.receive_some()))
        assert isinstance(event, h11.Request)
        self.requests.append(event)
        await stream.send_all(self.reply)
        await echo(stream)


async def echo(stream: trio.abc.Stream) -> None:
    async for data in stream:
        await stream.send_all(data)


async def raised_by(kind: Proxy, port: int, target: tuple[str, int] = TARGET, **arguments: Any) -> OSError:
    """Return the one failure of a proxy with one address; credentials are nowhere in it or in the events."""
    events: list[object] = []
    connector = nb.Connector(tracer=events.append)
    proxy = kind(HOME, port, connector=connector, **arguments)
    with pytest.raises(nb.ConnectError) as caught, trio.fail_after(5):
        await proxy.open_tcp_stream(*target)
    failure = caught.value.primary_error
    assert failure is not None
    text = "".join(traceback.format_exception(caught.value)) + repr(events) + repr(failure.__context__)
    assert not [secret for secret in (USER, PASSWORD, token()) if secret in text]
    return failure


def token() -> str:
    return base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


async def greets(stream: trio.abc.Stream, text: bytes) -> None:
    """What is sent comes back, and nothing was lost before it."""
    async with stream:
        await stream.send_all(text)
        assert await exactly(stream, len(text)) == text


# SOCKS5


@pytest.mark.parametrize(
    ("host", "asked"),
    [
        ("target.example", b"\x03target.example"),
        (b"target.example.", b"\x03target.example."),
        ("bücher.example", b"\x03xn--bcher-kva.example"),
        ("192.0.2.1", b"\x01\xc0\x00\x02\x01"),
        ("[2001:db8::1]", b"\x04\x20\x01\x0d\xb8" + bytes(11) + b"\x01"),
    ],
)
@pytest.mark.parametrize(
    "reply",
    [SOCKS_OK, b"\x05\x00\x00\x04" + bytes(18), b"\x05\x00\x00\x03\x04name\x00\x50", b"\x05\x00\x00\x00" + bytes(6)],
    ids=["IPv4", "IPv6", "name", "zeros"],
)
async def test_socks_is_given_the_target_unresolved(host: Any, asked: bytes, reply: bytes) -> None:
    """RFC 1928, section 4: ATYP, DST.ADDR and DST.PORT; and section 6 with every kind of bound address, and with none.

    A proxy that writes zeros only has connected all the same.
    """
    server = SOCKSServer(reply)
    async with serving(server) as port:
        await greets(await SOCKS5Proxy(HOME, port).open_tcp_stream(host, 443), b"hello")
    (request,) = server.asked
    assert request == b"\x05\x01\x00" + asked + b"\x01\xbb"
    assert server.methods == b"\x00"


async def test_socks_with_a_password() -> None:
    """RFC 1929; the octets are UTF-8."""
    async with serving(SOCKSServer(wants_password=True)) as port:
        proxy = SOCKS5Proxy(HOME, port, username=USER, password=PASSWORD)
        await greets(await proxy.open_tcp_stream(*TARGET), b"hello")
        assert (await raised_by(SOCKS5Proxy, port)).errno == errno.EACCES
        wrong = await raised_by(SOCKS5Proxy, port, username=USER, password="another")
    assert isinstance(wrong, PermissionError)
    assert "target.example:443 (the proxy does not accept the credentials)" in str(wrong)


async def test_an_empty_password_is_for_the_proxy_to_judge() -> None:
    """RFC 1929 has 1 to 255 octets; where the user name is a token, providers take an empty one, as curl sends it."""
    async with serving(SOCKSServer(wants_password=True, accepts=("token", ""))) as port:
        proxy = SOCKS5Proxy(HOME, port, username="token", password="")
        await greets(await proxy.open_tcp_stream(*TARGET), b"hello")
    async with serving(SOCKSServer(wants_password=True)) as port:
        failure = await raised_by(SOCKS5Proxy, port, username="token", password="")
    assert failure.errno == errno.EACCES
    assert "does not accept the credentials: where only the user name counts, some want any password" in str(failure)


async def test_a_password_that_is_not_asked_for_is_not_sent() -> None:
    server = SOCKSServer()
    async with serving(server) as port:
        proxy = SOCKS5Proxy(HOME, port, username=USER, password=PASSWORD)
        await greets(await proxy.open_tcp_stream(*TARGET), b"hello")
    assert server.methods == b"\x00\x02"


@pytest.mark.parametrize(
    ("code", "number"),
    [
        (1, errno.ECONNABORTED),
        (2, errno.EACCES),
        (3, errno.ENETUNREACH),
        (4, errno.EHOSTUNREACH),
        (5, errno.ECONNREFUSED),
        (6, errno.EHOSTUNREACH),
        (7, errno.EOPNOTSUPP),
        (8, errno.EAFNOSUPPORT),
        (99, errno.ECONNABORTED),
    ],
)
async def test_what_socks_refuses_has_its_errno(code: int, number: int) -> None:
    """RFC 1928, section 6; also of a proxy that leaves out what nobody reads."""
    async with serving(SOCKSServer(bytes([5, code, 0, 1]))) as port:
        failure = await raised_by(SOCKS5Proxy, port)
    assert failure.errno == number
    assert f"target.example:443 (the proxy replied {code})" in str(failure)


@pytest.mark.parametrize(
    ("said", "number"),
    [
        (b"", errno.ECONNRESET),
        (b"\x05", errno.ECONNRESET),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", errno.EPROTO),
        (b"\x05\x77", errno.EPROTO),
        (b"\x05\x01", errno.EACCES),  # GSSAPI, which was not offered
        (b"\x05\x02", errno.EACCES),
        (b"\x05\x00\x04\x00\x00\x01" + bytes(6), errno.EPROTO),
        (b"\x05\x00\x04\x00\x00\x03\x00\x00\x50", errno.EPROTO),
        (b"\x05\x00\x05\x00\x00\x09" + bytes(6), errno.EPROTO),
        (b"\x05\x00\x05\x00\x00\x02" + bytes(6), errno.EPROTO),
        (b"\x05\x00\x05\x00\x00", errno.ECONNRESET),
        (b"\x05\x00\x05\x00\x00\x03\xffname", errno.ECONNRESET),
    ],
)
async def test_socks_garbage_and_early_ends_are_failures(said: bytes, number: int) -> None:
    assert (await raised_by_saying(SOCKS5Proxy, said)).errno == number


async def raised_by_saying(kind: Proxy, said: bytes, **arguments: Any) -> OSError:
    """Return what is raised when the proxy says this, whatever it is asked, and no more."""

    async def says(stream: trio.abc.Stream) -> None:
        await stream.send_all(said)
        assert isinstance(stream, trio.SocketStream)
        await stream.send_eof()
        async for _ in stream:
            pass

    async with serving(says) as port:
        return await raised_by(kind, port, **arguments)


# HTTP


@pytest.mark.parametrize(
    ("host", "authority"),
    [("target.example", b"target.example:443"), ("192.0.2.1", b"192.0.2.1:443"), ("::1", b"[::1]:443")],
)
async def test_http_is_given_the_target_unresolved(host: str, authority: bytes) -> None:
    """RFC 9110, section 9.3.6: "only the host and port number of the tunnel destination, separated by a colon"."""
    server = HTTPServer()
    async with serving(server) as port:
        await greets(await HTTPProxy(HOME, port).open_tcp_stream(host, 443), b"hello")
    (request,) = server.requests
    assert (request.method, request.target) == (b"CONNECT", authority)
    assert list(request.headers) == [(b"host", authority)]


@pytest.mark.parametrize("password", [PASSWORD, ""])
async def test_http_with_a_password(password: str) -> None:
    """RFC 7617, section 2."""
    server = HTTPServer()
    async with serving(server) as port:
        proxy = HTTPProxy(HOME, port, username=USER, password=password)
        await greets(await proxy.open_tcp_stream(*TARGET), b"hello")
    sent = dict(server.requests[0].headers)[b"proxy-authorization"]
    assert base64.b64decode(sent.removeprefix(b"Basic ")).decode() == f"{USER}:{password}"


@pytest.mark.parametrize(
    ("status", "number"),
    [
        (302, errno.ECONNABORTED),
        (399, errno.ECONNABORTED),
        (400, errno.EOPNOTSUPP),
        (401, errno.EACCES),
        (403, errno.EACCES),
        (404, errno.EOPNOTSUPP),
        (405, errno.EOPNOTSUPP),
        (407, errno.EACCES),
        (408, errno.ETIMEDOUT),
        (429, errno.EAGAIN),
        (499, errno.EOPNOTSUPP),
        (500, errno.ECONNABORTED),
        (501, errno.EOPNOTSUPP),
        (502, errno.EHOSTUNREACH),
        (503, errno.EHOSTUNREACH),
        (504, errno.ETIMEDOUT),
    ],
)
async def test_what_http_refuses_has_its_errno(status: int, number: int) -> None:
    """A proxy that repeats our credentials does not bring them into an error."""
    reply = f"HTTP/1.1 {status} {token()}\r\nX-Seen: {token()}\r\n\r\n{token()}".encode()
    async with serving(HTTPServer(reply)) as port:
        failure = await raised_by(HTTPProxy, port, username=USER, password=PASSWORD)
    assert failure.errno == number
    assert f"target.example:443 (the proxy answered {status})" in str(failure)


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.0 200 OK\n\n",
        b"HTTP/1.1 204 Fine\r\n\r\n",
        b"HTTP/1.1 100 Wait\r\n\r\nHTTP/1.1 103 More\r\n\r\n" + HTTP_OK,
    ],
)
async def test_http_says_yes_in_other_words(reply: bytes) -> None:
    """RFC 9110, section 15.2: "one or more 1xx responses"; RFC 9112, section 2.2: a single LF."""
    async with serving(HTTPServer(reply)) as port:
        await greets(await HTTPProxy(HOME, port).open_tcp_stream(*TARGET), b"hello")


FRAMING = {
    "identity": b"Transfer-Encoding: identity",
    "chunked": b"Transfer-Encoding: chunked",
    "gzip, chunked": b"Transfer-Encoding: gzip, chunked",
    "chunked twice": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    "a length": b"Content-Length: 5",
    "a negative length": b"Content-Length: -1",
    "an empty length": b"Content-Length: ",
    "two lengths": b"Content-Length: 0\r\nContent-Length: 12",
    "both": b"Transfer-Encoding: chunked\r\nContent-Length: 0",
}


@pytest.mark.parametrize("header", FRAMING.values(), ids=FRAMING.keys())
async def test_the_framing_of_a_success_is_ignored(header: bytes) -> None:
    """RFC 9110, section 9.3.6: "A client MUST ignore any Content-Length or Transfer-Encoding header fields"."""
    async with serving(HTTPServer(b"HTTP/1.1 200 OK\r\n" + header + b"\r\n\r\n")) as port:
        await greets(await HTTPProxy(HOME, port).open_tcp_stream(*TARGET), b"hello")


ODD = {
    "a space in a name": b"Proxy agent: x",
    "a space before the colon": b"Proxy-agent : x",
    "no name": b": x",
    "Latin-1": b"Via: caf\xe9",
    "a control character": b"X: a\x01b",
    "folded": b"X: a\r\n b",
    "many": b"\r\n".join(b"X-%d: y" % number for number in range(120)),
    "15 kB": b"Set-Cookie: " + b"a" * 15000,
}


@pytest.mark.parametrize("header", ODD.values(), ids=ODD.keys())
async def test_odd_header_lines_are_taken_as_curl_takes_them(header: bytes) -> None:
    async with serving(HTTPServer(b"HTTP/1.1 200 OK\r\n" + header + b"\r\n\r\n")) as port:
        await greets(await HTTPProxy(HOME, port).open_tcp_stream(*TARGET), b"hello")


@pytest.mark.parametrize(
    ("said", "number", "blame"),
    [
        (b"", errno.ECONNRESET, "closed before its reply was complete"),
        (b"HTTP/1.1 200 OK\r\nVia: ", errno.ECONNRESET, "closed before its reply was complete"),
        (b"SSH-2.0-OpenSSH\r\n", errno.EPROTO, "does not speak HTTP"),
        (b"\r\n\r\n", errno.EPROTO, "does not speak HTTP"),
        (b"HTTP/2 200 OK\r\n\r\n", errno.EPROTO, "answered in another version of HTTP than 1"),
        (b"HTTP/1.1 000 Nothing\r\n\r\n", errno.EPROTO, "answered in HTTP without a status"),
        (b"HTTP/1.1 2000 OK\r\n\r\n", errno.EPROTO, "answered in HTTP without a status"),
        (b"HTTP/1.1\r\n\r\n", errno.EPROTO, "answered in HTTP without a status"),
        (b"HTTP/1.1 101 Switching\r\n\r\n", errno.EPROTO, "answered 101"),
        (
            b"HTTP/1.1 200 OK\r\nA: b\r\n" + token().encode() + b"\r\n\r\n",
            errno.EPROTO,
            "line 2 of the header of the proxy's answer has no colon",
        ),
        (b"HTTP/1.1 200 OK\r\n hello\r\n\r\n", errno.EPROTO, "line 1 of the header of the proxy's answer has no colon"),
        (b"HTTP/1.1 200 OK\r\nA: \0\r\n\r\n", errno.EPROTO, "line 1 of the header of the proxy's answer has a NUL"),
        (b"HTTP/1.1 200 " + b"x" * 16384, errno.EMSGSIZE, "answer is too long"),
        (b"HTTP/1.1 100 Wait\r\n\r\n" * 1000, errno.EMSGSIZE, "answer is too long"),
    ],
)
async def test_http_garbage_and_early_ends_are_failures(said: bytes, number: int, blame: str) -> None:
    failure = await raised_by_saying(HTTPProxy, said, username=USER, password=PASSWORD)
    assert failure.errno == number
    assert blame in str(failure)


@pytest.mark.parametrize(
    ("kind", "beginning"), [(SOCKS5Proxy, b"\x05\x00\x05\x00\x00\x03\xff"), (HTTPProxy, b"HTTP/1.1 200 OK\r\nX: ")]
)
async def test_a_hostile_proxy_is_read_no_further_than_the_bound(
    kind: Proxy, beginning: bytes, autojump_clock: MockClock
) -> None:
    """It sends without end; neither is that kept, nor does it hold the call."""
    net, taken = SimulatedNetwork(), 0
    host = net.host("192.0.2.1").accepts()

    async def rave() -> None:
        nonlocal taken
        async with await host.accept() as stream:
            await stream.send_all(beginning)
            with contextlib.suppress(trio.BrokenResourceError):
                while True:
                    await stream.send_all(b"x" * 1024)
                    taken += 1024

    proxy = kind("192.0.2.1", 1080, connector=nb.Connector(network=net))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rave)
        if kind is HTTPProxy:
            with pytest.raises(nb.ConnectError) as caught:
                await proxy.open_tcp_stream(*TARGET)
            assert caught.value.errno == errno.EMSGSIZE
        else:  # what follows 255 octets and a port is the target's
            await (await proxy.open_tcp_stream(*TARGET)).aclose()
        nursery.cancel_scope.cancel()

    assert taken <= CAPACITY + 16 * 1024 + 1024
    assert net.open_sockets == 0


# Both


@pytest.mark.parametrize(
    ("kind", "server"),
    [(SOCKS5Proxy, SOCKSServer(SOCKS_OK + b"220 hello\r\n")), (HTTPProxy, HTTPServer(HTTP_OK + b"220 hello\r\n"))],
)
async def test_what_comes_right_behind_the_reply_is_not_lost(kind: Proxy, server: Handler) -> None:
    """Of a target that speaks first, in the same packet."""
    async with serving(server) as port, await kind(HOME, port).open_tcp_stream(*TARGET) as stream:
        assert await exactly(stream, 11) == b"220 hello\r\n"


@pytest.mark.parametrize(("kind", "reply"), [(SOCKS5Proxy, SOCKS_OK), (HTTPProxy, HTTP_OK)])
async def test_tls_with_the_target_is_part_of_the_race(kind: Proxy, reply: bytes) -> None:
    authority = trustme.CA()
    there, here = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert(TARGET[0]).configure_cert(there)
    authority.configure_trust(here)

    async def tunnel(stream: trio.abc.Stream) -> None:
        if kind is SOCKS5Proxy:
            await exactly(stream, 3)
            await stream.send_all(b"\x05\x00")
        await stream.receive_some()
        await stream.send_all(reply)
        secure = trio.SSLStream(stream, there, server_side=True)
        await secure.send_all(await secure.receive_some())

    async def secured(stream: trio.abc.Stream) -> trio.SSLStream[trio.abc.Stream]:
        secure = trio.SSLStream(stream, here, server_hostname=TARGET[0])
        await secure.do_handshake()
        return secure

    async with serving(tunnel) as port:
        secure = await kind(HOME, port).connect(*TARGET, secured)
        await secure.send_all(b"hello")
        assert await secure.receive_some() == b"hello"
        await trio.aclose_forcefully(secure)


@pytest.mark.parametrize(("kind", "server"), [(SOCKS5Proxy, SOCKSServer()), (HTTPProxy, HTTPServer())])
async def test_an_address_that_hangs_or_fails_lets_the_others_go_on(kind: Proxy, server: Handler) -> None:
    """On real sockets: the first address accepts and says nothing, the second talks nonsense."""

    async def hangs(stream: trio.abc.Stream) -> None:
        async for _ in stream:
            pass

    async def raves(stream: trio.abc.Stream) -> None:
        await stream.send_all(b"what?")

    addresses = ("127.0.0.2", "127.0.0.3", HOME)
    connector = nb.Connector(policy=nb.Policy(attempt_delay=0.02))
    async with serving(server) as port, serving(hangs, addresses[0], port), serving(raves, addresses[1], port):
        proxy = kind("proxy.example", port, connector=connector, addresses=addresses)
        with nb.record() as recording:
            stream = await proxy.open_tcp_stream(*TARGET)
        assert isinstance(stream, trio.SocketStream)
        assert stream.socket.getpeername()[0] == HOME
        await greets(stream, b"hello")
    assert len(recording) == 1


async def test_the_proxy_is_reached_by_a_race(autojump_clock: MockClock) -> None:
    """Its first address drops: that costs one delay. Nobody is asked for the target's addresses."""
    net = SimulatedNetwork()
    net.answers("proxy.example", aaaa=["2001:db8::1"], a=["192.0.2.1"])
    net.host("2001:db8::1").drops()
    host = net.host("192.0.2.1").accepts()
    proxy = SOCKS5Proxy("proxy.example", 1080, connector=nb.Connector(network=net))

    async with trio.open_nursery() as nursery:

        async def serve() -> None:
            async with await host.accept() as stream:
                await SOCKSServer()(stream)

        nursery.start_soon(serve)
        await greets(await proxy.open_tcp_stream(*TARGET), b"hello")

    assert trio.current_time() == pytest.approx(0.25)
    assert {name for _, _, name in net.queries} == {"proxy.example"}


@pytest.mark.parametrize("kind", [SOCKS5Proxy, HTTPProxy])
async def test_limits_end_a_dialogue_that_hangs(kind: Proxy, autojump_clock: MockClock) -> None:
    net = SimulatedNetwork()
    net.host("192.0.2.1").accepts()
    patient = kind("192.0.2.1", 1080, connector=nb.Connector(network=net))
    limited = nb.Connector(network=net, policy=nb.Policy(give_up_attempt_after=3))

    with pytest.raises(nb.ConnectTimeout):
        await patient.open_tcp_stream(*TARGET, give_up_after=2)
    assert trio.current_time() == pytest.approx(2)
    with pytest.raises(nb.ConnectTimeout):
        await kind("192.0.2.1", 1080, connector=limited).open_tcp_stream(*TARGET)
    assert trio.current_time() == pytest.approx(5)
    with trio.move_on_after(1) as scope:
        await patient.open_tcp_stream(*TARGET)
    assert scope.cancelled_caught
    assert net.open_sockets == 0


@pytest.mark.parametrize("kind", [SOCKS5Proxy, HTTPProxy])
async def test_cancellation_in_the_dialogue_leaves_no_socket(kind: Proxy) -> None:
    begun = trio.Event()

    async def hangs(stream: trio.abc.Stream) -> None:
        await stream.receive_some()
        begun.set()
        assert await stream.receive_some() == b""  # closed, while the proxy still serves

    async with serving(hangs) as port, trio.open_nursery() as nursery:
        nursery.start_soon(kind(HOME, port).open_tcp_stream, *TARGET)
        await begun.wait()
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("kind", [SOCKS5Proxy, HTTPProxy])
@pytest.mark.parametrize(
    ("at", "keywords", "error", "text"),
    [
        (("", 1), {}, ValueError, "host must not be empty: ''"),
        (("a..b", 1), {}, ValueError, "host must not have an empty label: 'a..b'"),
        ((HOME, "1"), {}, TypeError, "port must be int, not '1'"),
        ((HOME, 1), {"connector": 5}, TypeError, "connector must be Connector or a proxy, not 5"),
        ((HOME, 1), {"addresses": HOME}, TypeError, "addresses must be an iterable of strings, not str: '127.0.0.1'"),
        ((HOME, 1), {"addresses": ["name"]}, ValueError, "addresses must be numeric, not 'name'"),
        ((HOME, 1), {"username": USER}, ValueError, "username and password must be given together"),
        ((HOME, 1), {"password": USER}, ValueError, "username and password must be given together"),
        ((HOME, 1), {"username": USER, "password": b"x"}, TypeError, "password must be str, not bytes"),
        ((HOME, 1), {"username": "\udc00", "password": ""}, ValueError, "username must be text that UTF-8 can hold"),
    ],
)
def test_a_proxy_checks_its_arguments(
    kind: Proxy, at: tuple[Any, Any], keywords: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error) as caught:
        kind(*at, **keywords)
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("kind", "username", "password", "text"),
    [
        (SOCKS5Proxy, "", "x", "username must have 1 to 255 octets"),
        (SOCKS5Proxy, "x", "ü" * 128, "password must have 0 to 255 octets"),
        (HTTPProxy, "a:b", "x", "username must have no colon"),
        (HTTPProxy, "a", "x\r\n", "password must have no control characters"),
    ],
)
def test_credentials_are_checked_and_not_shown(kind: Proxy, username: str, password: str, text: str) -> None:
    with pytest.raises(ValueError) as caught:
        kind(HOME, 1, username=username, password=password)
    assert str(caught.value) == text


@pytest.mark.parametrize("kind", [SOCKS5Proxy, HTTPProxy])
@pytest.mark.parametrize(
    ("host", "port", "error"),
    [
        ("", 1, ValueError),
        ("a b.example", 1, ValueError),
        ("a\r\nX-Header.example", 1, ValueError),
        ("user@target.example", 1, ValueError),
        ("target.example:80", 1, ValueError),
        ("fe80::1%1", 1, ValueError),
        ("target.example", 65536, ValueError),
        ("target.example", "80", TypeError),
    ],
)
async def test_a_target_that_makes_no_sense_is_refused_at_once(
    kind: Proxy, host: Any, port: Any, error: type[Exception]
) -> None:
    with pytest.raises(error):
        await kind(HOME, 1).open_tcp_stream(host, port)


@pytest.mark.parametrize("kind", [SOCKS5Proxy, HTTPProxy])
def test_a_repr_has_no_credentials(kind: Proxy) -> None:
    assert repr(kind("proxy.example", 1, username=USER, password=PASSWORD, addresses=iter([HOME]))) == (
        f"{kind.__name__}(host='proxy.example', port=1, connector=None, addresses=('127.0.0.1',), tls=False)"
    )


@pytest.mark.parametrize("kind", [SOCKS5Proxy, HTTPProxy])
def test_credentials_show_nowhere(kind: Proxy) -> None:
    """Not where a configuration is logged, exported or pickled; what is copied still has them."""
    proxy = kind("proxy.example", 1, username=USER, password=PASSWORD)
    shown = [
        repr(dataclasses.asdict(proxy)),
        repr(dataclasses.astuple(proxy)),
        json.dumps(dataclasses.asdict(proxy), default=str),
        f"{proxy.username} {proxy.password!s:>9}",
        pickle.dumps(proxy).decode("latin-1"),
        pickle.dumps(proxy, protocol=0).decode("latin-1"),
        repr(kind("second.example", 2, connector=proxy)),
    ]
    assert not [(secret, text) for text in shown for secret in (USER, PASSWORD, token()) if secret in text]
    assert "'********'" in shown[0]
    copies: list[Any] = [pickle.loads(pickle.dumps(proxy)), copy.deepcopy(proxy), dataclasses.replace(proxy, port=1)]
    for copied in copies:
        assert copied == proxy
        assert (copied.username.reveal(), copied.password.reveal()) == (USER, PASSWORD)
    assert proxy != kind("proxy.example", 1, username=USER, password="another")


def test_a_secret_is_a_value() -> None:
    assert {Secret("a"), Secret("a"), Secret("b")} == {Secret("a"), Secret("b")}
    assert Secret("a") != "a"


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "trio-nbconnect[proxy]" in str(import_without("socksio", "trio_nbconnect.proxy", monkeypatch))


def test_another_missing_package_is_reported_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    error = import_with_broken("socksio", "trio_nbconnect.proxy", tmp_path, monkeypatch)
    assert error.name == "a_package_that_it_needs"


@pytest.mark.virtual_time
async def test_it_is_said_who_has_refused_whom() -> None:
    """The proxy, which is not there; the target, of which the proxy says so."""
    net = SimulatedNetwork()
    net.host("192.0.2.1").refuses()
    connector = nb.Connector(network=net)

    with nb.record() as recording, pytest.raises(nb.ConnectRefused) as caught:
        await nb.proxy.HTTPProxy("192.0.2.1", 3128, connector=connector).open_tcp_stream("db.example", 5432)

    words = "192.0.2.1:3128, the proxy for db.example:5432, failed: 192.0.2.1 refused"
    assert str(caught.value) == f"all attempts to connect to {words}"
    assert "· the proxy for db.example:5432 ·" in recording[-1].text(width=120)
    assert recording[-1].timeline.proxy_for == "db.example:5432"


async def test_a_proxy_that_has_no_address_is_named() -> None:
    with pytest.raises(nb.ResolutionError) as caught:
        await HTTPProxy("proxy.invalid", 3128).open_tcp_stream("db.example", 5432)
    assert "hostname lookup: proxy.invalid:3128, the proxy for db.example:5432: names below" in str(caught.value)


def test_what_a_proxy_has_replied_is_in_the_picture() -> None:
    error = OSError(errno.EHOSTUNREACH, "No route to host: db.example:5432 (the proxy answered 502)")

    assert error_text(error).endswith("(the proxy answered 502)")
    assert error_text(OSError(errno.EHOSTUNREACH, "No route to host: /run/x.sock")) == "No route to host"
