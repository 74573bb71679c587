"""The door: what callers may say, what is wrong at once, and how Trio's hooks are honoured."""

from __future__ import annotations

import contextlib
import inspect
import math
import socket
import ssl
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
import trio
import trustme

import trio_nbconnect as nb
from trio_nbconnect import _functions
from trio_nbconnect._resolve.system import SystemResolver
from trio_nbconnect.testing import SimulatedNetwork

SIX, FOUR = "2001:db8::1", "192.0.2.1"


@pytest.fixture
def net() -> SimulatedNetwork:
    """A network on which example.org has one address of each family, which accept at once."""
    network = SimulatedNetwork()
    network.answers("example.org", aaaa=[SIX], a=[FOUR])
    for address in (SIX, FOUR):
        network.host(address).accepts()
    return network


def peer(stream: trio.SocketStream) -> Any:
    """Return the address that a stream is connected to, and close it."""
    name = stream.socket.getpeername()
    stream.socket.close()
    return name


@pytest.mark.parametrize(
    ("host", "port", "keywords", "error", "text"),
    [
        (None, 80, {}, ValueError, "host must be str or bytes, not None"),
        ("", 80, {}, ValueError, "host must not be empty"),
        ("127.0.0.1\0.evil.example", 80, {}, ValueError, "host must not contain NUL"),
        (b"localhost\0.evil.example", 80, {}, ValueError, "host must not contain NUL"),
        ("a..example", 80, {}, ValueError, "host must not have an empty label"),
        ("x" * 64 + ".example", 80, {}, ValueError, "host must have no label over 63 characters"),
        ("127.0.0.1", 99536, {}, ValueError, "port must be between 0 and 65535, not 99536"),
        ("127.0.0.1", -1, {}, ValueError, "port must be between 0 and 65535, not -1"),
        ("127.0.0.1", "80", {}, TypeError, "port must be int, not '80'"),
        ("127.0.0.1", True, {}, TypeError, "port must be int, not True"),
        ("example.org", 80, {"addresses": "192.0.2.1"}, TypeError, "addresses must be an iterable of strings"),
        ("example.org", 80, {"addresses": []}, ValueError, "addresses must not be empty"),
        ("example.org", 80, {"addresses": ["localhost"]}, ValueError, "addresses must be numeric, not 'localhost'"),
        ("example.org", 80, {"give_up_after": -1}, ValueError, "give_up_after must not be negative"),
        ("example.org", 80, {"give_up_after": math.nan}, ValueError, "give_up_after must not be negative"),
        ("example.org", 80, {"give_up_after": None}, TypeError, "give_up_after must be a number of seconds"),
        ("example.org", 80, {"happy_eyeballs_delay": -1}, ValueError, "happy_eyeballs_delay must not be negative"),
        ("example.org", 80, {"happy_eyeballs_delay": "1"}, TypeError, "happy_eyeballs_delay must be a number"),
    ],
)
async def test_bad_input_is_refused_at_once(
    host: Any, port: Any, keywords: dict[str, Any], error: type[Exception], text: str
) -> None:
    """Before anything is sent, with the value in the text."""
    with pytest.raises(error, match=text):
        await nb.open_tcp_stream(host, port, **keywords)


@pytest.mark.parametrize(
    ("keywords", "text"),
    [
        ({"local_address": "localhost"}, "local_address must be numeric, not 'localhost'"),
        ({"local_address": {}}, "local_address must give each family an address of its own"),
        ({"local_address": {socket.AF_INET: "::1"}}, "local_address must give each family an address of its own"),
        (
            {"local_address": "::1", "policy": nb.Policy(families=(socket.AF_INET,))},
            "local_address leaves no family of the policy: '::1'",
        ),
    ],
)
def test_a_connector_checks_its_local_address(keywords: dict[str, Any], text: str) -> None:
    """At construction, not at the first connect."""
    with pytest.raises(ValueError) as caught:
        nb.Connector(**keywords)
    assert str(caught.value).startswith(text)


@pytest.mark.parametrize(
    ("local_address", "shown"),
    [(("127.0.0.1", 0), "('127.0.0.1', 0)"), (b"127.0.0.1", "b'127.0.0.1'"), (5, "5"), (["::1"], "['::1']")],
)
async def test_a_local_address_of_the_wrong_kind(local_address: Any, shown: str) -> None:
    """Nowhere is a socket address meant, which has a port."""
    with pytest.raises(TypeError) as of_a_connector:
        nb.Connector(local_address=local_address)
    with pytest.raises(TypeError) as of_a_function:
        await nb.open_tcp_stream("127.0.0.1", 9, local_address=local_address)
    for caught in (of_a_connector, of_a_function):
        assert str(caught.value) == f"local_address must be str, or one for each family, not {shown}"


@pytest.mark.parametrize("addresses", ["127.0.0.1", b"127.0.0.1", 5])
async def test_addresses_of_the_wrong_kind(addresses: Any) -> None:
    kind = type(addresses).__name__
    with pytest.raises(TypeError) as caught:
        await nb.open_tcp_stream("example.org", 80, addresses=addresses)
    assert str(caught.value) == f"addresses must be an iterable of strings, not {kind}: {addresses!r}"


async def test_full_width_digits_are_a_literal(net: SimulatedNetwork, autojump_clock: trio.abc.Clock) -> None:
    """A filter of names before us would see one, and the system connect to another."""
    net.host("127.0.0.1").accepts()
    full_width = "127.0.0.1".translate({ord(digit): 0xFF10 + int(digit) for digit in "0127"})
    assert full_width != "127.0.0.1"
    assert peer(await nb.Connector(network=net).open_tcp_stream(full_width, 80))[0] == "127.0.0.1"
    assert net.queries == []


async def test_a_name_of_many_scripts_is_asked_for(net: SimulatedNetwork, autojump_clock: trio.abc.Clock) -> None:
    """Labels in ASCII are left alone: an underscore is fine in DNS (RFC 2181, section 11)."""
    net.answers("my_host.xn--bcher-kva.example", a=["192.0.2.1"])
    net.host("192.0.2.1").accepts()
    assert peer(await nb.Connector(network=net).open_tcp_stream("my_host.bücher.example", 80))[0] == "192.0.2.1"


@pytest.mark.parametrize("host", ["::1", "[::1]", b"::1", "0:0:0:0:0:0:0:1"])
async def test_literals_ask_nobody(autojump_clock: trio.abc.Clock, host: str | bytes) -> None:
    """A literal, with or without brackets, is connected to without a look-up."""
    net = SimulatedNetwork()
    net.host("::1").accepts()
    assert peer(await nb.Connector(network=net).open_tcp_stream(host, 80))[0] == "::1"
    assert net.queries == []


async def test_international_names_are_asked_for_as_idna_2008_has_them(autojump_clock: trio.abc.Clock) -> None:
    """RFC 5891: the C library would follow the older standard, and ask for "strasse.example", another host."""
    net = SimulatedNetwork()
    with pytest.raises(nb.ResolutionError, match=r"straße\.example:443") as caught:
        await nb.Connector(network=net).open_tcp_stream("straße.example", 443)
    assert caught.value.host == "straße.example"
    assert {name for _, _, name in net.queries} == {"xn--strae-oqa.example"}


async def test_a_scope_survives(autojump_clock: trio.abc.Clock) -> None:
    """RFC 4007, section 11: "fe80::1%2" is the address on interface 2, from the literal to the socket."""
    net = SimulatedNetwork()
    net.host("fe80::1%2").accepts()
    assert peer(await nb.Connector(network=net).open_tcp_stream("fe80::1%2", 80)) == ("fe80::1", 80, 0, 2)


async def test_addresses_take_the_place_of_a_look_up(net: SimulatedNetwork, autojump_clock: trio.abc.Clock) -> None:
    """`addresses=` pins a name, whatever name servers say."""
    net.host("192.0.2.77").accepts()
    connector = nb.Connector(network=net)
    stream = await connector.open_tcp_stream("example.org", 80, addresses=["192.0.2.77"])
    assert peer(stream)[0] == "192.0.2.77"
    assert net.queries == []


async def test_a_local_address_for_each_family(net: SimulatedNetwork, autojump_clock: trio.abc.Clock) -> None:
    """Each attempt is bound to the address of its family."""
    local = {socket.AF_INET6: "2001:db8::99", socket.AF_INET: "192.0.2.99"}
    connector = nb.Connector(network=net, local_address=local)
    for address, expected in ((SIX, "2001:db8::99"), (FOUR, "192.0.2.99")):
        stream = await connector.open_tcp_stream(address, 80)
        assert stream.socket.getsockname()[0] == expected
        stream.socket.close()


async def test_a_local_address_on_an_interface_that_is_replaced(
    net: SimulatedNetwork, autojump_clock: trio.abc.Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A VPN that comes back has another index by the same name. Trio looks it up in each call, and so does this."""
    connector = nb.Connector(network=net, local_address="fe80::99%wlan7")
    with pytest.raises(nb.ConnectError, match=r"No such device: local address fe80::99%wlan7 for \[2001:db8::1\]:80"):
        await connector.open_tcp_stream(SIX, 80)
    for index in (7, 9):
        monkeypatch.setattr(socket, "if_nametoindex", {"wlan7": index}.__getitem__)
        stream = await connector.open_tcp_stream(SIX, 80)
        assert stream.socket.getsockname()[3] == index
        stream.socket.close()


async def test_a_local_address_that_is_not_ours() -> None:
    """The kernel's reason is kept: which address, and the errno of `bind`."""
    with pytest.raises(nb.ConnectError) as caught:
        await nb.open_tcp_stream("127.0.0.1", 80, local_address="192.0.2.1")
    failure = caught.value.attempts[0].error
    assert str(failure).endswith("Cannot assign requested address: local address 192.0.2.1 for 127.0.0.1:80")


async def test_a_local_address_by_name() -> None:
    """Trio lets `local_address` be a name, so the drop-in does; its first address of each family counts."""
    net = SimulatedNetwork()
    net.answers("here.example", aaaa=["::1"], a=["127.0.0.9", "127.0.0.8"])
    with net.installed(), socket.create_server(("127.0.0.1", 0)) as listener:
        trio.socket.set_custom_socket_factory(None)
        stream = await nb.open_tcp_stream(*listener.getsockname(), local_address="here.example")
        assert stream.socket.getsockname()[0] == "127.0.0.9"
        stream.socket.close()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stream = await nb.open_tcp_stream(*listener.getsockname(), local_address="localhost")
        assert stream.socket.getsockname()[0] == "127.0.0.1"
        stream.socket.close()


@pytest.mark.parametrize("local_address", ["here.example", {socket.AF_INET: "192.0.2.1"}])
@pytest.mark.parametrize("function", [nb.open_tcp_stream, nb.open_ssl_over_tcp_stream, nb.open_tls_stream])
async def test_every_function_takes_a_delay_and_a_local_address(function: Any, local_address: Any) -> None:
    net = SimulatedNetwork()
    net.answers("here.example", a=["192.0.2.1"])
    with net.installed(), nb.record() as recording:
        trio.socket.set_custom_socket_factory(None)
        with pytest.raises(nb.ConnectError) as caught:
            await function("127.0.0.1", 9, happy_eyeballs_delay=0.5, local_address=local_address)

    assert str(caught.value.attempts[0].error).endswith("local address 192.0.2.1 for 127.0.0.1:9")
    (race,) = recording
    assert isinstance(race.events[0], nb.trace.RaceStarted)
    assert race.events[0].policy.attempt_delay == 0.5


async def test_a_numeric_local_address_is_not_looked_up(autojump_clock: trio.abc.Clock) -> None:
    net = SimulatedNetwork()
    net.host(FOUR).accepts()
    with net.installed():
        stream = await nb.open_tcp_stream(FOUR, 80, local_address="192.0.2.77")
        assert stream.socket.getsockname()[0] == "192.0.2.77"
        stream.socket.close()
    assert net.queries == []


async def test_no_local_port_is_reserved() -> None:
    """ip(7): with IP_BIND_ADDRESS_NO_PORT, `connect` finds a port that other connections may share."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stream = await nb.open_tcp_stream(*listener.getsockname(), local_address="127.0.0.1")
        assert stream.socket.getsockopt(socket.IPPROTO_IP, trio.socket.IP_BIND_ADDRESS_NO_PORT)
        stream.socket.close()


async def test_a_delay_of_zero_is_stretched(net: SimulatedNetwork, autojump_clock: trio.abc.Clock) -> None:
    """Section 5: not even a caller may start attempts less than 10 ms apart."""
    net.host(SIX).drops()
    net.host(FOUR).drops()
    with net.installed(), trio.move_on_after(1):
        await nb.open_tcp_stream("example.org", 80, happy_eyeballs_delay=0)
    assert net.started == {SIX: 0.0, FOUR: 0.010}


async def test_a_connector_is_shared_between_tasks(net: SimulatedNetwork, autojump_clock: trio.abc.Clock) -> None:
    """It has no state: a hundred races at once do not know of each other."""
    connector = nb.Connector(network=net)
    won: list[Any] = []

    async def connect() -> None:
        won.append(peer(await connector.open_tcp_stream("example.org", 443)))

    async with trio.open_nursery() as nursery:
        for _ in range(100):
            nursery.start_soon(connect)
    assert won == [(SIX, 443, 0, 0)] * 100
    assert net.open_sockets == 0


# Trio's hooks


async def test_hooks_are_honoured(net: SimulatedNetwork, autojump_clock: trio.abc.Clock) -> None:
    """A custom resolver and socket factory are used as Trio uses them; ours and Trio's own function see the same."""
    net.host(SIX).refuses(after=0.1)
    with net.installed():
        for connect in (nb.open_tcp_stream, trio.open_tcp_stream):
            assert peer(await connect("example.org", 443))[0] == FOUR
    assert net.open_sockets == 0


async def test_a_hook_that_finds_nothing(net: SimulatedNetwork, autojump_clock: trio.abc.Clock) -> None:
    """Its error is the cause of ours."""
    with net.installed(), pytest.raises(socket.gaierror) as caught:
        await nb.open_tcp_stream("unknown.example", 443)
    assert isinstance(caught.value, nb.ResolutionError)
    assert caught.value.errno == socket.EAI_NONAME


async def test_foreign_sockets_are_handed_over_too(net: SimulatedNetwork, autojump_clock: trio.abc.Clock) -> None:
    """A foreign socket's `connect` cannot be taken up again, so it has its task from the start, with the same times."""
    net.host(SIX).accepts(after=0.3)
    net.host(FOUR).drops()
    with net.installed():
        assert peer(await nb.open_tcp_stream("example.org", 443))[0] == SIX
    assert net.started == {SIX: 0.0, FOUR: 0.25}
    assert net.open_sockets == 0


async def test_foreign_sockets_tell_history_their_handshake_s_time(
    net: SimulatedNetwork, autojump_clock: trio.abc.Clock
) -> None:
    """They are not asked for what the kernel has measured: it may be the near end of a tunnel."""
    net.host(SIX).accepts(after=0.2)
    history = nb.History(explore_every=math.inf)
    with net.installed():
        peer(await nb.Connector(history=history).open_tcp_stream("example.org", 443))
    view = history.view(time.time())
    assert view is not None
    assert view.rtt(nb.Address(socket.AF_INET6, SIX, 443)) == pytest.approx(0.2)


async def test_foreign_errors_pass_as_they_are(net: SimulatedNetwork, autojump_clock: trio.abc.Clock) -> None:
    """The errors of a socket factory are not ours to annotate."""
    net.host(SIX).refuses(after=0.1)
    with net.installed(), pytest.raises(nb.ConnectRefused) as caught:
        await nb.open_tcp_stream(SIX, 443)
    assert not hasattr(caught.value.attempts[0].error, "__notes__")


async def test_a_connector_s_own_resolver_comes_first(net: SimulatedNetwork, autojump_clock: trio.abc.Clock) -> None:
    """What was asked for by name beats what was set for the whole program."""
    net.answers("example.org", aaaa=[], a=["192.0.2.77"])
    net.host("192.0.2.77").accepts()
    other = SimulatedNetwork()
    other.answers("example.org", a=[FOUR])
    with other.installed():
        connector = nb.Connector(resolver=net.resolver(services=False), network=net)
        assert peer(await connector.open_tcp_stream("example.org", 443))[0] == "192.0.2.77"
        other.host("192.0.2.77").accepts()
        connector = nb.Connector(resolver=net.resolver(services=False))
        assert peer(await connector.open_tcp_stream("example.org", 443))[0] == "192.0.2.77"
    assert other.queries == []
    assert [address.host for _, address in other.connects] == ["192.0.2.77"]


async def test_no_delay_is_trio_s_delay(net: SimulatedNetwork, autojump_clock: trio.abc.Clock) -> None:
    """`happy_eyeballs_delay=None` means 0.25 s there, too."""
    net.host(SIX).drops()
    net.host(FOUR).drops()
    with net.installed(), trio.move_on_after(1):
        await nb.open_tcp_stream("example.org", 80, happy_eyeballs_delay=None, local_address=None)
    assert net.started == {SIX: 0.0, FOUR: 0.25}


async def test_a_connector_s_own_network_comes_first(net: SimulatedNetwork, autojump_clock: trio.abc.Clock) -> None:
    """`network=` is explicit, hooks are ambient."""
    with SimulatedNetwork().installed():
        assert peer(await nb.Connector(network=net).open_tcp_stream("example.org", 443))[0] == SIX


# Drop-ins


@pytest.mark.parametrize("name", ["open_tcp_stream", "open_ssl_over_tcp_stream", "open_unix_socket"])
def test_signatures_are_trio_s(name: str) -> None:
    """Every parameter of Trio's, with its kind and default; several hosts bring their ports. Ours are keyword-only."""
    ours = inspect.signature(getattr(nb, name)).parameters
    for parameter in inspect.signature(getattr(trio, name)).parameters.values():
        assert ours[parameter.name].kind is parameter.kind
        assert ours[parameter.name].default == (None if parameter.name == "port" else parameter.default)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        (
            "open_tls_stream",
            {
                "server_hostname": "other.example",
                "ssl_context": ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
                "alpn_protocols": ["h2"],
                "https_compatible": True,
                "addresses": ["::1"],
                "give_up_after": 5.0,
            },
        ),
        (
            "open_ssl_over_tcp_stream",
            {
                "server_hostname": "other.example",
                "ssl_context": ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
                "https_compatible": True,
                "addresses": ["::1"],
                "give_up_after": 5.0,
            },
        ),
    ],
)
async def test_a_function_hands_all_its_arguments_on(
    name: str, arguments: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is left out has the connector's default."""
    told: list[Any] = []

    class Recorder:
        async def record(self, *positional: object, **keywords: object) -> None:
            told.append((positional, keywords))

        open_tls_stream = open_ssl_over_tcp_stream = record

    monkeypatch.setattr(_functions, "_DEFAULT", Recorder())
    await getattr(nb, name)("example.org", 443, **arguments)
    await getattr(nb, name)("example.org", 443)
    assert told[0] == (("example.org", 443), arguments)
    parameters = inspect.signature(getattr(nb.Connector, name)).parameters
    assert told[1] == (("example.org", 443), {key: parameters[key].default for key in arguments})


@pytest.mark.parametrize("connect", [nb.open_ssl_over_tcp_stream, nb.Connector().open_ssl_over_tcp_stream])
async def test_tls_over_a_connection(connect: Callable[..., Any]) -> None:
    """The stream comes before the handshake; the certificate is checked for `server_hostname`, or else the host."""
    authority = trustme.CA()
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("example.org").configure_cert(server_context)
    context = ssl.create_default_context()
    authority.configure_trust(context)

    async def echo(stream: trio.SSLStream[trio.SocketStream]) -> None:
        async with stream:
            with contextlib.suppress(trio.BrokenResourceError):  # the client may not like our certificate
                await stream.send_all(await stream.receive_some())

    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            listeners = await trio.open_ssl_over_tcp_listeners(0, server_context, host="127.0.0.1")
            nursery.start_soon(trio.serve_listeners, echo, listeners)
            port = listeners[0].transport_listener.socket.getsockname()[1]  # type: ignore[attr-defined]
            keywords: dict[str, Any] = {"ssl_context": context, "addresses": ["127.0.0.1"], "https_compatible": True}
            async with await connect("example.org", port, **keywords) as stream:
                await stream.send_all(b"hello")
                assert await stream.receive_some() == b"hello"
            async with await connect("other.example", port, server_hostname="example.org", **keywords) as stream:
                await stream.do_handshake()
            async with await connect("other.example", port, **keywords) as stream:
                with pytest.raises(trio.BrokenResourceError) as caught:
                    await stream.do_handshake()
                assert isinstance(caught.value.__cause__, ssl.SSLCertVerificationError)
            nursery.cancel_scope.cancel()


async def test_the_default_tls_context_verifies() -> None:
    """Trio's default: certificates are checked, host names too, and an early end of file is an error."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stream = await nb.open_ssl_over_tcp_stream(*listener.getsockname())
        context = stream.context
        assert context is not None
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.check_hostname
        assert not context.options & getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)
        await trio.aclose_forcefully(stream)


class UnixFactory(trio.abc.SocketFactory):
    """A factory that remembers the sockets it made."""

    def __init__(self) -> None:
        self.made: list[trio.socket.SocketType] = []

    def socket(self, family: Any = None, type: Any = None, proto: Any = None) -> trio.socket.SocketType:  # noqa: A002
        """Make one."""
        self.made.append(trio.socket.from_stdlib_socket(socket.socket(family, type, proto)))
        return self.made[-1]


async def test_unix_sockets_of_a_factory() -> None:
    """Where a custom factory is set, UNIX sockets come from it as well, as in Trio."""
    factory = UnixFactory()
    trio.socket.set_custom_socket_factory(factory)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("")  # the kernel finds an abstract name
        listener.listen()
        stream = await nb.open_unix_socket(listener.getsockname())
        assert factory.made == [stream.socket]
        stream.socket.close()
        with pytest.raises(FileNotFoundError):
            await nb.open_unix_socket("/nowhere/at/all")
        assert factory.made[-1].fileno() == -1


# Which address first


async def test_rfc_6724_decides_between_the_families(autojump_clock: trio.abc.Clock) -> None:
    """RFC 6724, section 10.2: a unique local address comes after IPv4, by the default policy table."""
    net = SimulatedNetwork()
    net.answers("example.org", aaaa=["fd00::1"], a=[FOUR])
    net.host(FOUR).accepts()
    resolver = net.resolver()
    assert peer(await nb.Connector(network=net, resolver=resolver).open_tcp_stream("example.org", 443))[0] == FOUR


async def test_a_caller_s_preference_comes_first(net: SimulatedNetwork, autojump_clock: trio.abc.Clock) -> None:
    """`Policy.families` with IPv4 first is what RFC 8305, section 2, calls a host with another preference."""
    connector = nb.Connector(network=net, policy=nb.Policy(families=(socket.AF_INET, socket.AF_INET6)))
    assert peer(await connector.open_tcp_stream("example.org", 443))[0] == FOUR


async def test_addresses_without_a_route_come_last(autojump_clock: trio.abc.Clock) -> None:
    """RFC 6724, section 6, rule 1: "avoid unusable destinations"; here both families are asked, for lack of routes."""
    net = SimulatedNetwork(ipv6=False, ipv4=False)
    net.answers("db.localhost", aaaa=[SIX], a=["127.0.0.1"])
    net.answers("db.localhost", https=[], after=0.01)
    net.host("127.0.0.1").accepts()
    events: list[nb.trace.Event] = []
    connector = nb.Connector(network=net, resolver=net.resolver(), tracer=events.append)
    assert peer(await connector.open_tcp_stream("db.localhost", 443))[0] == "127.0.0.1"
    started = [event.address.host for event in events if isinstance(event, nb.trace.AttemptStarted)]
    assert started == ["127.0.0.1"]


@pytest.mark.parametrize(
    ("host", "expected"), [(FOUR, "64:ff9b::c000:201"), ("64:ff9b::192.0.2.1", "64:ff9b::c000:201"), (SIX, SIX)]
)
async def test_nat64_reaches_ipv4_literals(autojump_clock: trio.abc.Clock, host: str, expected: str) -> None:
    """RFC 8305, section 7.1: an IPv4 address is written into the prefix where there is no route for IPv4."""
    net = SimulatedNetwork(ipv4=False)
    net.host(expected).accepts()
    connector = nb.Connector(network=net, nat64="64:ff9b::/96")
    assert peer(await connector.open_tcp_stream(host, 443))[0] == expected


async def test_nat64_is_not_used_beside_ipv4(net: SimulatedNetwork, autojump_clock: trio.abc.Clock) -> None:
    """Where IPv4 works there is nothing to translate."""
    assert peer(await nb.Connector(network=net, nat64="64:ff9b::/96").open_tcp_stream(FOUR, 443))[0] == FOUR


async def test_nat64_stands_in_where_the_policy_has_no_ipv4(autojump_clock: trio.abc.Clock) -> None:
    """A literal is written as an IPv6 address, also for who wants IPv6 alone."""
    net = SimulatedNetwork(ipv4=False)
    net.host("64:ff9b::c000:201").accepts()
    policy = nb.Policy(families=(socket.AF_INET6,))
    connector = nb.Connector(network=net, nat64="64:ff9b::/96", policy=policy)
    assert peer(await connector.open_tcp_stream(FOUR, 443))[0] == "64:ff9b::c000:201"


def test_no_prefix_is_none() -> None:
    with pytest.raises(ValueError, match=r"^nat64 must be None where there is no prefix, not empty$"):
        nb.Connector(nat64=())


@pytest.mark.parametrize(
    ("nat64", "error"),
    [
        (5, TypeError("nat64 must be an iterable of prefixes, not int: 5")),
        ([5], TypeError("nat64 makes no sense: prefix must be str, not 5")),
        ([b"64:ff9b::/96"], TypeError("nat64 makes no sense: prefix must be str, not b'64:ff9b::/96'")),
        ("2001:db8::1/64", ValueError("nat64 makes no sense: 2001:db8::1/64 has host bits set")),
    ],
)
def test_what_is_no_prefix_is_refused(nat64: Any, error: Exception) -> None:
    with pytest.raises(type(error)) as caught:
        nb.Connector(nat64=nat64)
    assert str(caught.value) == str(error)


@pytest.mark.parametrize("establish", [None, 5, "ehlo"])
async def test_establish_must_be_callable(net: SimulatedNetwork, establish: Any) -> None:
    """That is said before a packet is sent."""
    with pytest.raises(TypeError) as caught:
        await nb.Connector(network=net).connect(FOUR, 80, establish)
    assert str(caught.value) == f"establish must be an async callable of one stream, not {establish!r}"
    assert not net.started


@pytest.mark.parametrize(
    ("keywords", "text"),
    [
        ({"policy": 0.25}, "policy must be Policy, not 0.25"),
        ({"history": {}}, "history must be History, not {}"),
        ({"resolver": 5}, "resolver must have a method resolve, not 5"),
        ({"resolver": SystemResolver}, f"resolver must have a method resolve, not {SystemResolver!r}"),
        ({"network": "eth0"}, "network must have a method wait_writable, not 'eth0'"),
        ({"options": 5}, "options must be SocketOptions, or some for each family, not 5"),
    ],
)
def test_a_connector_checks_the_kinds_of_its_arguments(keywords: dict[str, Any], text: str) -> None:
    """At once, and not at the first connect."""
    with pytest.raises(TypeError) as caught:
        nb.Connector(**keywords)
    assert str(caught.value) == text


@pytest.mark.parametrize("is_notebook", [False, True])
def test_outside_of_trio_it_says_what_to_do(is_notebook: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    if is_notebook:
        monkeypatch.setitem(sys.modules, "ipykernel", sys)
    way = "say %load_ext trio_nbconnect.notebook before" if is_notebook else r"begin with trio\.run\(main\)$"
    connects = nb.open_tcp_stream("127.0.0.1", 9), nb.Connector().open_service_stream("_x._tcp", "example.org")
    for coroutine in connects:
        with pytest.raises(RuntimeError, match=f"^Trio does not run this: {way}"):
            coroutine.send(None)


def test_a_prefix_that_is_none() -> None:
    """RFC 6052, section 2.2: prefixes have six lengths."""
    with pytest.raises(ValueError, match="64:ff9b::/95"):
        nb.Connector(nat64="64:ff9b::/95")


def test_another_connector_with_one_argument_changed() -> None:
    made, policy = nb.Connector(local_address="192.0.2.9"), nb.Policy(attempt_delay=0.1)
    assert made.replace(policy=policy) == nb.Connector(local_address="192.0.2.9", policy=policy)
    assert made.policy == nb.Policy()
