"""TLS in the race: an address wins with a handshake that succeeded and a certificate that is good, or not at all.

Faults are those of real servers on loopback, one for each way to fail. Where time is the matter, the same TLS runs
over a simulated network, in virtual time.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import errno
import gc
import inspect
import math
import pickle
import socket
import ssl
import struct
import sys
import threading
import traceback
import warnings
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
import trio
import trio.testing
import trustme

import trio_nbconnect as nb
from trio_nbconnect import trace
from trio_nbconnect._connect import tls as _tls
from trio_nbconnect.testing import SimulatedHost, SimulatedNetwork

if sys.version_info < (3, 11):
    from exceptiongroup import BaseExceptionGroup

NAME = "example.org"
GOOD, BAD, WORSE = "127.0.0.1", "127.0.0.2", "127.0.0.3"
SIX, FOUR = "2001:db8::1", "192.0.2.1"

Handler = Callable[[trio.SocketStream], Awaitable[None]]


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Somebody to vouch for servers."""
    return trustme.CA()


def trusting(authority: trustme.CA) -> ssl.SSLContext:
    """Return a client's context: the default one, but for whom it trusts."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.fixture
def trust(authority: trustme.CA) -> ssl.SSLContext:
    """A client's context."""
    return trusting(authority)


@pytest.fixture
def trusted(authority: trustme.CA, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the default context trust the authority, as an administrator would."""
    with authority.cert_pem.tempfile() as path:
        monkeypatch.setenv("SSL_CERT_FILE", path)
        yield


def server_context(authority: trustme.CA, *names: str, days: tuple[int, int] = (-1, 1)) -> ssl.SSLContext:
    """Return the context of a server with a certificate for these names."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    begin, end = (dt.datetime.now(dt.timezone.utc) + dt.timedelta(days=day) for day in days)
    authority.issue_cert(*(names or (NAME,)), not_before=begin, not_after=end).configure_cert(context)
    return context


def speaks(context: ssl.SSLContext) -> Handler:
    """Serve TLS, and echo until the client goes away."""

    async def handle(stream: trio.SocketStream) -> None:
        secure = trio.SSLStream(stream, context, server_side=True, https_compatible=True)
        with contextlib.suppress(trio.BrokenResourceError):  # the client may not like us, or be gone
            async for chunk in secure:
                await secure.send_all(chunk)

    return handle


def expired(authority: trustme.CA) -> Handler:
    """Have a certificate of the day before yesterday."""
    return speaks(server_context(authority, days=(-2, -1)))


def too_old(authority: trustme.CA) -> Handler:
    """Speak TLS 1.0 and 1.1 only (RFC 8996: they "MUST NOT be used")."""
    context = server_context(authority)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")

    async def handle(stream: trio.SocketStream) -> None:
        """Say why, as servers do; Trio's own stream keeps the alert to itself."""
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        secure = context.wrap_bio(incoming, outgoing, server_side=True)
        incoming.write(await stream.receive_some())
        with pytest.raises(ssl.SSLError):
            secure.do_handshake()
        await stream.send_all(outgoing.read())

    return handle


async def hangs(stream: trio.SocketStream) -> None:
    """Read, and never answer."""
    async for _ in stream:
        pass


async def resets(stream: trio.SocketStream) -> None:
    """Take the greeting and reset the connection (SO_LINGER of no time)."""
    await stream.receive_some()
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def closes(stream: trio.SocketStream) -> None:
    """Take the greeting and hang up."""
    await stream.receive_some()


async def closes_at_once(stream: trio.SocketStream) -> None:
    """Hang up: the greeting meets an end of file, or a reset."""


async def speaks_plain_text(stream: trio.SocketStream) -> None:
    """Greet as a mail server does."""
    await stream.send_all(b"220 mail.example ready\r\n")
    await hangs(stream)


FAULTS: dict[str, tuple[Callable[[trustme.CA], Handler], tuple[type[OSError], ...], str, bool]] = {
    "wrong name": (
        lambda authority: speaks(server_context(authority, "other.example")),
        (ssl.SSLCertVerificationError,),
        "certificate verify failed: Hostname mismatch, certificate is not valid for 'example.org'",
        False,
    ),
    "expired": (expired, (ssl.SSLCertVerificationError,), "certificate verify failed: certificate has expired", False),
    "unknown authority": (
        lambda _: speaks(server_context(trustme.CA())),
        (ssl.SSLCertVerificationError,),
        "certificate verify failed: ",
        False,
    ),
    "too old": (too_old, (ssl.SSLError,), "protocol version", False),
    "plain text": (lambda _: speaks_plain_text, (ssl.SSLError,), "wrong version number", False),
    "resets": (lambda _: resets, (ConnectionResetError,), "failed", True),
    "closes": (lambda _: closes, (ssl.SSLEOFError,), "eof", True),
    "closes at once": (lambda _: closes_at_once, (ssl.SSLEOFError, ConnectionError), "failed", True),
}
"""What a server does, what the attempt fails with, what the error's text says of it, and whether it may pass."""


@contextlib.asynccontextmanager
async def serving(handlers: Mapping[str, Handler]) -> AsyncIterator[int]:
    """Serve at these addresses, all on one port, and yield the port. No test takes longer than ten seconds."""
    port = 0

    def closing(handler: Handler) -> Handler:
        async def handle(stream: trio.SocketStream) -> None:
            with contextlib.suppress(trio.BrokenResourceError):
                await handler(stream)
            await trio.aclose_forcefully(stream)

        return handle

    failure: BaseException | None = None
    async with trio.open_nursery() as nursery:
        for address, handler in handlers.items():
            (listener,) = await trio.open_tcp_listeners(port, host=address)
            port = listener.socket.getsockname()[1]
            nursery.start_soon(trio.serve_listeners, closing(handler), [listener])
        try:
            with trio.fail_after(10):
                yield port
        except Exception as error:  # noqa: BLE001 - it is raised outside, not in a group
            failure = error
        nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure


def peer(stream: trio.SSLStream[trio.SocketStream]) -> str:
    """Return the address that a stream is connected to, and close it."""
    host: str = stream.transport_stream.socket.getpeername()[0]
    stream.transport_stream.socket.close()
    return host


async def fails(opening: Awaitable[object]) -> nb.ConnectError:
    """Return what opening a stream fails with."""
    with pytest.raises(nb.ConnectError) as caught:
        await opening
    return caught.value


# Faults


@pytest.mark.parametrize("fault", FAULTS)
async def test_an_address_with_a_fault_loses(fault: str, authority: trustme.CA, trust: ssl.SSLContext) -> None:
    """The handshake that fails lets the next address go on, and its failure is told."""
    events: list[trace.Event] = []
    connector = nb.Connector(policy=nb.Policy(attempt_delay=math.inf), tracer=events.append)

    async with serving({BAD: FAULTS[fault][0](authority), GOOD: speaks(server_context(authority))}) as port:
        stream = await connector.open_tls_stream(NAME, port, ssl_context=trust, addresses=[BAD, GOOD])
        await stream.send_all(b"hello")
        assert await stream.receive_some() == b"hello"
        assert peer(stream) == GOOD

    (failed,) = (event for event in events if isinstance(event, trace.AttemptFailed))
    assert isinstance(failed.error, FAULTS[fault][1])


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_fault_on_every_address_is_told(fault: str, authority: trustme.CA, trust: ssl.SSLContext) -> None:
    make, kinds, text, may_pass = FAULTS[fault]

    async with serving({BAD: make(authority), WORSE: make(authority)}) as port:
        error = await fails(nb.open_tls_stream(NAME, port, ssl_context=trust, addresses=[BAD, WORSE]))

    assert str(error).startswith(f"all attempts to connect to example.org:{port} failed")
    assert text in str(error)
    assert isinstance(error.__cause__, BaseExceptionGroup)
    failures = [attempt.error for attempt in error.attempts]
    assert [attempt.phase for attempt in error.attempts] == [nb.Phase.TLS] * 2
    assert all(isinstance(failure, kinds) for failure in failures)
    assert list(error.__cause__.exceptions) == failures
    assert error.primary_error in failures
    assert isinstance(error, nb.TLSError) is isinstance(error, ssl.SSLError)
    assert isinstance(error, nb.TLSError) is isinstance(error.primary_error, ssl.SSLError)
    assert nb.is_retryable(error) is may_pass
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


async def test_a_certificate_ranks_above_a_refusal(authority: trustme.CA, trust: ssl.SSLContext) -> None:
    """Whoever catches `ssl.SSLError`, as he would without a race, learns of it."""
    async with serving({GOOD: speaks(server_context(authority, "other.example"))}) as port:
        with pytest.raises(ssl.SSLError) as caught:
            await nb.open_tls_stream(NAME, port, ssl_context=trust, addresses=[BAD, GOOD, WORSE])

    error = caught.value
    assert isinstance(error, nb.TLSError)
    assert not isinstance(error, ValueError)
    assert (error.reason, error.library, error.errno) == ("CERTIFICATE_VERIFY_FAILED", "SSL", None)
    assert isinstance(error.primary_error, ssl.SSLCertVerificationError)
    assert error.primary_error is error.attempts[1].error
    refused = [attempt.error for attempt in (error.attempts[0], error.attempts[2])]
    assert all(isinstance(failure, ConnectionRefusedError) for failure in refused)


async def test_a_refusal_everywhere_stays_one(trust: ssl.SSLContext) -> None:
    async with serving({GOOD: hangs}) as port:
        error = await fails(nb.open_tls_stream(NAME, port, ssl_context=trust, addresses=[BAD]))

    assert isinstance(error, nb.ConnectRefused)


async def test_a_failure_keeps_no_stream_alive(authority: trustme.CA, trust: ssl.SSLContext) -> None:
    """The error does not hold it; Trio's stream is a cycle of its own, which takes the garbage collector."""
    seen: list[weakref.ref[Any]] = []
    wrap = trust.wrap_bio

    def note(*arguments: Any, **keywords: Any) -> ssl.SSLObject:
        made = wrap(*arguments, **keywords)
        seen.append(weakref.ref(made))
        return made

    trust.wrap_bio = note  # type: ignore[method-assign]
    async with serving({BAD: speaks(server_context(authority, "other.example"))}) as port:
        error = await fails(nb.open_tls_stream(NAME, port, ssl_context=trust, addresses=[BAD]))

    assert isinstance(error, nb.TLSError)
    gc.collect()
    assert [ref() for ref in seen] == [None]


async def test_a_cancelled_handshake_leaves_nothing(trust: ssl.SSLContext) -> None:
    """The fixture counts the sockets."""
    greeted = trio.Event()

    async def listens(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        greeted.set()
        await hangs(stream)

    async with serving({BAD: listens}) as port, trio.open_nursery() as nursery:

        async def connect() -> None:
            await nb.open_tls_stream(NAME, port, ssl_context=trust, addresses=[BAD])

        nursery.start_soon(connect)
        await greeted.wait()
        nursery.cancel_scope.cancel()


async def test_losers_are_closed_without_a_word(authority: trustme.CA, trust: ssl.SSLContext) -> None:
    """Forcefully: the loser's server sees an end of file or a reset after the greeting, and no closing alert."""
    heard = bytearray()
    over = trio.Event()

    async def listens(stream: trio.SocketStream) -> None:
        try:
            async for chunk in stream:
                heard.extend(chunk)
        finally:
            over.set()

    connector = nb.Connector(policy=nb.Policy(attempt_delay=0))
    async with serving({BAD: listens, GOOD: speaks(server_context(authority))}) as port:
        assert peer(await connector.open_tls_stream(NAME, port, ssl_context=trust, addresses=[BAD, GOOD])) == GOOD
        await over.wait()

    greeting = 5 + int.from_bytes(heard[3:5], "big")  # a record has a type, a version, a length (RFC 8446, 5.1)
    assert len(heard) in {0, greeting}


# Names


def sni_of(context: ssl.SSLContext) -> list[str | None]:
    """Note what clients tell a server of its name (RFC 6066, section 3)."""
    told: list[str | None] = []

    def note(_: ssl.SSLObject, name: str | None, __: ssl.SSLContext) -> None:
        told.append(name)

    context.sni_callback = note
    return told


@pytest.mark.parametrize(
    ("host", "server_hostname", "certified", "sni"),
    [
        (NAME, None, NAME, NAME),
        (b"example.org", None, NAME, NAME),
        ("example.org.", None, NAME, NAME),
        ("bücher.example", None, "xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("elsewhere.example", NAME, NAME, NAME),
        ("elsewhere.example", b"example.org.", NAME, NAME),
        ("elsewhere.example", "Bücher.example", "xn--bcher-kva.example", "xn--bcher-kva.example"),
        (GOOD, None, GOOD, None),
        ("elsewhere.example", "[2001:db8::1]", "2001:db8::1", None),
        ("elsewhere.example", "fe80::1%nowhere7", "fe80::1", None),
        (GOOD, NAME, NAME, NAME),
    ],
)
async def test_the_certificate_must_hold_the_host_or_another_name(
    host: str | bytes, server_hostname: str | bytes | None, certified: str, sni: str | None, authority: trustme.CA
) -> None:
    """RFC 6066, section 3: "without a trailing dot"; "literal IPv4 and IPv6 addresses are not permitted"."""
    context = server_context(authority, certified)
    told = sni_of(context)
    keywords: dict[str, Any] = {"ssl_context": trusting(authority), "addresses": [GOOD]}

    async with serving({GOOD: speaks(context)}) as port:
        assert peer(await nb.open_tls_stream(host, port, server_hostname=server_hostname, **keywords)) == GOOD

    assert told == [sni]


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("::1", "::1"),
        ("[::1]", "::1"),
        ("0:0:0:0:0:0:0:1", "::1"),
        ("fe80::1%nowhere7", "fe80::1"),
        ("[fe80::1%1]", "fe80::1"),
        ("127.0.0.1", "127.0.0.1"),
        (b"[2001:db8::1]", "2001:db8::1"),
        ("Example.ORG.", "Example.ORG"),
        ("BÜCHER.example", "xn--bcher-kva.example"),
        ("a_b.example", "a_b.example"),
    ],
)
def test_what_a_certificate_must_hold(host: str | bytes, name: str) -> None:
    assert _tls.certificate_name(host) == name


# What callers may say


@pytest.mark.parametrize(
    ("keywords", "kind", "complaint"),
    [
        ({"ssl_context": "tls"}, TypeError, "ssl_context must be ssl.SSLContext, not 'tls'"),
        ({"ssl_context": True}, TypeError, "ssl_context must be ssl.SSLContext, not True"),
        ({"ssl_context": False}, TypeError, "ssl_context must be ssl.SSLContext, not False"),
        (
            {"ssl_context": ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)},
            ValueError,
            "ssl_context must be a client's, not <ssl.SSLContext",
        ),
        (
            {"ssl_context": ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), "alpn_protocols": ["h2"]},
            ValueError,
            "alpn_protocols must be set on ssl_context where both are given: ('h2',)",
        ),
        ({"alpn_protocols": "h2"}, TypeError, "alpn_protocols must be an iterable of strings, not str: 'h2'"),
        ({"alpn_protocols": b"h2"}, TypeError, "alpn_protocols must be an iterable of strings, not bytes: b'h2'"),
        ({"alpn_protocols": [b"h2"]}, TypeError, "alpn_protocols must be str, not b'h2'"),
        ({"alpn_protocols": []}, ValueError, "alpn_protocols must not be empty"),
        ({"alpn_protocols": [""]}, ValueError, "alpn_protocols must be ASCII, of 1 to 255 characters, not ''"),
        ({"alpn_protocols": ["x" * 256]}, ValueError, "alpn_protocols must be ASCII, of 1 to 255 characters"),
        ({"alpn_protocols": ["ü"]}, ValueError, "alpn_protocols must be ASCII, of 1 to 255 characters, not 'ü'"),
        ({"server_hostname": ""}, ValueError, "server_hostname is no host: host must not be empty: ''"),
        ({"server_hostname": ".org"}, ValueError, "server_hostname is no host: host must not have an empty label"),
        ({"server_hostname": 7}, ValueError, "server_hostname is no host: host must be str or bytes, not 7"),
        ({"addresses": []}, ValueError, "addresses must not be empty"),
        ({"give_up_after": -1}, ValueError, "give_up_after must not be negative"),
        ({"host": "a..b"}, ValueError, "host must not have an empty label: 'a..b'"),
        ({"port": "443"}, TypeError, "port must be int, not '443'"),
    ],
)
@pytest.mark.parametrize(
    "connect",
    [
        nb.open_tls_stream,
        nb.Connector().open_tls_stream,
        nb.open_ssl_over_tcp_stream,
        nb.Connector().open_ssl_over_tcp_stream,
    ],
)
async def test_misuse_is_told_before_anything_is_sent(
    connect: Callable[..., Any], keywords: dict[str, Any], kind: type[Exception], complaint: str
) -> None:
    """The server would be there; the lazy functions, which do not offer protocols, check as much as the others."""
    if "alpn_protocols" in keywords and "alpn_protocols" not in inspect.signature(connect).parameters:
        kind, complaint = TypeError, ""
    with socket.create_server((GOOD, 0)) as listener, nb.record() as recording:
        listener.setblocking(False)
        arguments = {"host": NAME, "port": listener.getsockname()[1], "addresses": [GOOD], **keywords}

        with pytest.raises(kind) as caught:
            await connect(**arguments)

        with pytest.raises(BlockingIOError):
            listener.accept()
    assert str(caught.value).startswith(complaint)
    assert not recording


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("length", [1, 255])
async def test_a_protocol_has_1_to_255_octets(length: int, authority: trustme.CA) -> None:
    """RFC 7301, section 3.1: `opaque ProtocolName<1..2^8-1>`."""
    context = server_context(authority)
    context.set_alpn_protocols(["x" * length])

    async with serving({GOOD: speaks(context)}) as port:
        stream = await nb.open_tls_stream(NAME, port, alpn_protocols=["x" * length], addresses=[GOOD])
        assert stream.selected_alpn_protocol() == "x" * length
        peer(stream)


@pytest.mark.parametrize("opener", [nb.open_tls_stream, nb.Connector().open_ssl_over_tcp_stream])
async def test_the_closing_handshake_is_the_caller_s_choice(
    authority: trustme.CA, trust: ssl.SSLContext, opener: Callable[..., Any]
) -> None:
    """As in Trio: without `https_compatible`, an end of file without a closing alert is an error."""

    async def hangs_up(stream: trio.SocketStream) -> None:
        await trio.SSLStream(stream, server_context(authority), server_side=True).do_handshake()

    async with serving({GOOD: hangs_up}) as port:
        keywords: dict[str, Any] = {"ssl_context": trust, "addresses": [GOOD]}
        lenient = await opener(NAME, port, https_compatible=True, **keywords)
        assert await lenient.receive_some() == b""
        strict = await opener(NAME, port, **keywords)
        with pytest.raises(trio.BrokenResourceError):
            await strict.receive_some()
        for stream in (lenient, strict):
            peer(stream)


async def test_no_handshake_without_a_name_to_verify(trust: ssl.SSLContext) -> None:
    """`ssl` itself would accept any certificate of a good authority then; nothing is sent."""
    ours, theirs = trio.testing.memory_stream_pair()
    with pytest.raises(ValueError, match=r"^server_hostname must be given where ssl_context checks it$"):
        await _tls.shake_hands(ours, context=trust, server_hostname=None, https_compatible=False)
    handshake = _tls.ClientHandshake(
        None, server_hostname=None, context=trust, alpn_protocols=None, https_compatible=False, give_up_after=math.inf
    )
    assert not handshake.has_name
    with pytest.raises(ValueError, match=r"^server_hostname must be given where ssl_context checks it$"):
        await handshake(ours)
    await ours.aclose()
    assert await theirs.receive_some() == b""


async def test_who_verifies_no_name_needs_none() -> None:
    trusting = ssl.create_default_context()
    trusting.check_hostname = False
    ours, theirs = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(
            partial(_tls.shake_hands, ours, context=trusting, server_hostname=None, https_compatible=False)
        )
        assert (await theirs.receive_some())[:1] == b"\x16"  # a record of the handshake
        nursery.cancel_scope.cancel()


# The shared context


@dataclass
class Builder:
    """Build contexts as `_tls` does, and remember in which threads."""

    build: Callable[[], ssl.SSLContext]
    threads: list[threading.Thread] = field(default_factory=list)
    may_go_on: threading.Event = field(default_factory=threading.Event)

    def __call__(self) -> ssl.SSLContext:
        self.threads.append(threading.current_thread())
        self.may_go_on.wait(10)
        return self.build()


@pytest.fixture
def builder(monkeypatch: pytest.MonkeyPatch) -> Builder:
    """Watch contexts being built."""
    builder = Builder(_tls.default_context)
    builder.may_go_on.set()
    monkeypatch.setattr(_tls, "default_context", builder)
    return builder


@pytest.mark.usefixtures("trusted")
async def test_one_context_is_built_and_shared(authority: trustme.CA, builder: Builder) -> None:
    """In a thread, once for many connects at once, and for the lazy function as well."""
    made: list[trio.SSLStream[trio.SocketStream]] = []
    async with serving({GOOD: speaks(server_context(authority))}) as port:

        async def connect(function: Callable[..., Awaitable[trio.SSLStream[trio.SocketStream]]]) -> None:
            made.append(await function(NAME, port, addresses=[GOOD], https_compatible=True))

        async with trio.open_nursery() as nursery:
            for function in (nb.open_tls_stream, nb.Connector().open_tls_stream, nb.open_ssl_over_tcp_stream):
                nursery.start_soon(connect, function)
                nursery.start_soon(connect, function)
        contexts = {stream.context for stream in made}
        for stream in made:
            peer(stream)

    assert len(made) == 6
    assert len(contexts) == len(builder.threads) == 1
    assert builder.threads[0] is not threading.current_thread()
    (context,) = contexts
    assert context is not None
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert not context.options & getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("connect", [nb.open_tls_stream, nb.open_ssl_over_tcp_stream])
async def test_a_truncated_stream_is_an_error_with_the_default_context(
    connect: Callable[..., Awaitable[trio.SSLStream[trio.SocketStream]]],
    authority: trustme.CA,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also where OpenSSL's configuration says otherwise (`Options = IgnoreUnexpectedEOF`, or Python 3.10)."""

    async def cut_off(stream: trio.SocketStream) -> None:
        secure = trio.SSLStream(stream, server_context(authority), server_side=True)
        await secure.send_all(b"half of")

    def configured(create: Callable[[], ssl.SSLContext] = ssl.create_default_context) -> ssl.SSLContext:
        context = create()
        context.options |= ssl.OP_IGNORE_UNEXPECTED_EOF
        return context

    monkeypatch.setattr(ssl, "create_default_context", configured)
    async with serving({GOOD: cut_off}) as port:
        stream = await connect(NAME, port, addresses=[GOOD])
        assert await stream.receive_some() == b"half of"
        with pytest.raises(trio.BrokenResourceError):
            await stream.receive_some()
        peer(stream)


async def test_the_default_trusts_nobody_else(authority: trustme.CA) -> None:
    async with serving({GOOD: speaks(server_context(authority))}) as port:
        error = await fails(nb.open_tls_stream(NAME, port, addresses=[GOOD]))

    assert isinstance(error.primary_error, ssl.SSLCertVerificationError)


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize(
    ("offered", "chosen"),
    [(["h2", "http/1.1"], "h2"), (("http/1.1",), "http/1.1"), (iter(["spdy/1", "http/1.1"]), "http/1.1"), (None, None)],
)
async def test_a_protocol_is_negotiated(offered: Any, chosen: str | None, authority: trustme.CA) -> None:
    context = server_context(authority)
    context.set_alpn_protocols(["h2", "http/1.1"])

    async with serving({GOOD: speaks(context)}) as port:
        stream = await nb.open_tls_stream(NAME, port, alpn_protocols=offered, addresses=[GOOD])
        assert stream.selected_alpn_protocol() == chosen
        peer(stream)


async def test_a_caller_s_context_offers_its_own_and_is_not_changed(
    authority: trustme.CA, trust: ssl.SSLContext, builder: Builder
) -> None:
    trust.set_alpn_protocols(["h2"])
    context = server_context(authority)
    context.set_alpn_protocols(["h2"])
    async with serving({GOOD: speaks(context)}) as port:
        stream = await nb.open_tls_stream(NAME, port, ssl_context=trust, addresses=[GOOD])
        assert (stream.selected_alpn_protocol(), stream.context) == ("h2", trust)
        peer(stream)

    assert builder.threads == []


async def test_each_list_of_protocols_has_its_context_and_few_are_kept(builder: Builder) -> None:
    first, again = [await _tls.shared_context(("h2",)) for _ in range(2)]
    plain = await _tls.shared_context()
    assert first is again
    assert plain is not first
    for number in range(7):  # so that there are nine, of which eight are kept
        await _tls.shared_context((f"x-{number}",))

    assert await _tls.shared_context() is plain
    assert await _tls.shared_context(("h2",)) is not first
    assert len(builder.threads) == 10


async def test_who_gives_up_waiting_for_the_context_is_not_held(builder: Builder) -> None:
    """The thread goes on alone; the next caller builds another."""
    builder.may_go_on.clear()
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_tls.shared_context)
            await trio.testing.wait_all_tasks_blocked()
            scope.cancel()
    assert scope.cancelled_caught
    builder.may_go_on.set()

    with trio.fail_after(10):
        assert await _tls.shared_context() is await _tls.shared_context()
    assert len(builder.threads) == 2


async def test_it_needs_no_thread_of_the_program(builder: Builder) -> None:
    limiter = trio.to_thread.current_default_thread_limiter()
    limiter.total_tokens = 1
    async with limiter:
        with trio.fail_after(10):
            await _tls.shared_context()


async def test_a_bad_call_builds_nothing(builder: Builder) -> None:
    with pytest.raises(ValueError, match=r"^host must not be empty"):
        await nb.open_tls_stream("", 443)
    with pytest.raises(ValueError, match=r"^host must not be empty"):
        await nb.open_ssl_over_tcp_stream("", 443)

    assert builder.threads == []


async def test_two_races_at_once_share_a_context_and_nothing_else(authority: trustme.CA, trust: ssl.SSLContext) -> None:
    """Each has its name, its addresses, its winner; sessions are not mixed up."""
    won: dict[str, str] = {}
    one, two = server_context(authority, "one.example"), server_context(authority, "two.example")
    async with serving({GOOD: speaks(one), BAD: speaks(two)}) as port:

        async def connect(host: str, *addresses: str) -> None:
            stream = await nb.open_tls_stream(host, port, ssl_context=trust, addresses=addresses)
            await stream.send_all(host.encode())
            assert await stream.receive_some() == host.encode()
            won[host] = peer(stream)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(connect, "one.example", BAD, GOOD)
            nursery.start_soon(connect, "two.example", GOOD, BAD)

    assert won == {"one.example": GOOD, "two.example": BAD}


# Time


@pytest.fixture
def net() -> SimulatedNetwork:
    """A network in virtual time on which example.org has one address of each family."""
    network = SimulatedNetwork()
    network.answers(NAME, aaaa=[SIX], a=[FOUR])
    return network


async def answer(host: SimulatedHost, context: ssl.SSLContext, after: float = 0.0) -> None:
    """Complete TLS on each connection of a simulated host."""
    while True:
        stream = await host.accept()
        await trio.sleep(after)
        with contextlib.suppress(trio.BrokenResourceError):
            await trio.SSLStream(stream, context, server_side=True).do_handshake()


@pytest.mark.virtual_time
async def test_an_address_that_never_answers_tls_costs_one_delay(
    net: SimulatedNetwork, authority: trustme.CA, trust: ssl.SSLContext
) -> None:
    """Version 3, section 6.1: on progress, TCP done and TLS pending, the timer is extended."""
    net.host(SIX).accepts(after=0.1)
    context = server_context(authority)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(answer, net.host(FOUR).accepts(after=0.02), context, 0.03)
        stream = await nb.Connector(network=net).open_tls_stream(NAME, 443, ssl_context=trust)
        nursery.cancel_scope.cancel()

    assert stream.transport_stream.socket.getpeername()[0] == FOUR
    assert stream.version() == "TLSv1.3"
    assert net.started == {SIX: 0.0, FOUR: pytest.approx(0.35)}
    assert trio.current_time() == pytest.approx(0.35 + 0.02 + 0.03)
    await trio.aclose_forcefully(stream)


@pytest.mark.virtual_time
async def test_a_slow_handshake_wins_before_the_delay_is_over_again(
    net: SimulatedNetwork, authority: trustme.CA, trust: ssl.SSLContext
) -> None:
    """Connected at 0.2 and secure at 0.4: the other address is not even started."""
    context = server_context(authority)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(answer, net.host(SIX).accepts(after=0.2), context, 0.2)
        stream = await nb.Connector(network=net).open_tls_stream(NAME, 443, ssl_context=trust)
        nursery.cancel_scope.cancel()

    assert net.started == {SIX: 0.0}
    await trio.aclose_forcefully(stream)
    assert net.open_sockets == 0


@pytest.mark.virtual_time
async def test_a_handshake_has_its_own_limit(
    net: SimulatedNetwork, authority: trustme.CA, trust: ssl.SSLContext
) -> None:
    """`Policy.give_up_tls_after` counts from the end of TCP's handshake; its end is a failure, and the next starts."""
    net.host(SIX).accepts(after=0.1)
    policy = nb.Policy(give_up_tls_after=0.125)
    connector = nb.Connector(network=net, policy=policy)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(answer, net.host(FOUR).accepts(after=0.02), server_context(authority))
        stream = await connector.open_tls_stream(NAME, 443, ssl_context=trust)
        nursery.cancel_scope.cancel()

    assert net.started == {SIX: 0.0, FOUR: pytest.approx(0.225)}
    await trio.aclose_forcefully(stream)


@pytest.mark.virtual_time
async def test_handshakes_that_all_run_into_their_limit_are_a_time_out(
    net: SimulatedNetwork, trust: ssl.SSLContext
) -> None:
    net.host(SIX).accepts(after=0.1)
    net.host(FOUR).accepts(after=0.1)
    connector = nb.Connector(network=net, policy=nb.Policy(give_up_tls_after=2))

    error = await fails(connector.open_tls_stream(NAME, 443, ssl_context=trust))

    assert isinstance(error, nb.ConnectTimeout)
    assert (error.errno, error.phase) == (errno.ETIMEDOUT, nb.Phase.TLS)
    assert [attempt.ended - attempt.started for attempt in error.attempts] == [pytest.approx(2.1)] * 2
    assert "Traceback" not in "".join(traceback.format_exception(error.__cause__))
    assert nb.is_retryable(error)
    assert net.open_sockets == 0


@pytest.mark.virtual_time
async def test_the_whole_call_has_its_limit_too(net: SimulatedNetwork, trust: ssl.SSLContext) -> None:
    net.host(SIX).accepts(after=0.1)
    net.host(FOUR).refuses(after=0.1)

    error = await fails(nb.Connector(network=net).open_tls_stream(NAME, 443, ssl_context=trust, give_up_after=1))

    assert isinstance(error, nb.ConnectTimeout)
    assert error.phase is nb.Phase.TLS
    assert trio.current_time() == 1
    assert net.open_sockets == 0


@pytest.mark.virtual_time
@pytest.mark.parametrize("host", ["2001:db8::1", "[2001:db8::1]", "fe80::1%2"])
async def test_a_literal_is_checked_as_an_address(
    host: str, net: SimulatedNetwork, authority: trustme.CA, trust: ssl.SSLContext
) -> None:
    """RFC 9525, section 6.3: IP-ID; an address is compared with the addresses of the certificate."""
    context = server_context(authority, host.strip("[]").partition("%")[0])
    told = sni_of(context)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(answer, net.host(host.strip("[]")).accepts(), context)
        stream = await nb.Connector(network=net).open_tls_stream(host, 443, ssl_context=trust)
        nursery.cancel_scope.cancel()

    await trio.aclose_forcefully(stream)
    assert told == [None]


@pytest.mark.virtual_time
async def test_a_race_has_begun_when_the_call_has(net: SimulatedNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    """To load the trusted certificates is part of the wait, and of the limit; so it is of the picture."""
    net.host(SIX).accepts(after=0.1)
    net.host(FOUR).accepts(after=0.1)

    async def load(protocols: object) -> ssl.SSLContext:
        await trio.sleep(0.5)
        return ssl.create_default_context()

    monkeypatch.setattr(_tls, "shared_context", load)

    with nb.record() as recording:
        await fails(nb.Connector(network=net).open_tls_stream(NAME, 443, give_up_after=2))

    (race,) = recording
    assert race.timeline.duration == pytest.approx(2)
    assert race.timeline.attempts[0].started == pytest.approx(0.5)
