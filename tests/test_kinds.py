"""Arguments of the wrong kind: each is a TypeError or ValueError that begins with its name, before anything is sent."""

from __future__ import annotations

import inspect
import socket
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from typing import Any

import pytest
import trio

import trio_nbconnect as nb
from trio_nbconnect import anyio, blocking, dns, httpcore, proxy, testing

NOTHING = object()
"""Of no kind that anything takes."""

HOST, PORT = "192.0.2.1", 443
HERE = nb.Address(socket.AF_INET, HOST, PORT)
JSON = '{"version": 1, "addresses": {}}'


async def established(stream: trio.SocketStream) -> trio.SocketStream:
    return stream


CALLS: dict[Callable[..., Any], dict[str, tuple[object, ...]]] = {
    partial(nb.open_tcp_stream, HOST, PORT): {
        "local_address": (NOTHING, 5, "x y", "\0", {socket.AF_INET: 5}),
        "addresses": (NOTHING, 5, HOST, ["x y"]),
        "give_up_after": (NOTHING, "5", None, True),
        "happy_eyeballs_delay": (NOTHING, "5", True),
    },
    partial(nb.open_tls_stream, HOST, PORT): {
        "alpn_protocols": (NOTHING, 5, "h2", [5]),
        "ssl_context": (NOTHING, True),
        "server_hostname": (NOTHING, 5, "x y"),
    },
    nb.open_unix_socket: {"filename": (NOTHING, 5, None)},
    partial(nb.Connector().connect, HOST, PORT): {"establish": (NOTHING, None)},
    partial(proxy.SOCKS5Proxy(HOST, PORT).connect, HOST, PORT): {"establish": (NOTHING, None)},
    partial(nb.Connector().open_tcp_stream, HOST, PORT): {"give_up_after": (NOTHING, "5", None, True)},
    nb.Connector: {
        "nat64": (NOTHING, 5, "x y", b"64:ff9b::/96", [5], (), "64:ff9b::/95", True),
        "local_address": (NOTHING, 5, "x y"),
        "policy": (NOTHING, 0.25),
        "history": (NOTHING, {}),
        "resolver": (NOTHING, dns.DNSResolver),
        "options": (NOTHING, 5),
        "tracer": (NOTHING, 5),
        "network": (NOTHING, "eth0"),
    },
    nb.Policy: {"attempts_at_full_pace": (NOTHING, int, 0, True), "attempt_delay": (NOTHING, int, True)},
    nb.KeepAlive: {"count": (NOTHING, int, 0, True)},
    nb.History: {"rng": (NOTHING, 5), "lifetime": (NOTHING, "5"), "max_addresses": (NOTHING, 0)},
    partial(nb.History().record, rtt=0.1, now=1.0): {"address": (NOTHING, HOST)},
    partial(nb.History().mark_used, now=1.0): {"address": (NOTHING, HOST)},
    nb.History().forget: {"address": (NOTHING, HOST)},
    nb.History().view: {"now": (NOTHING, "5")},
    partial(nb.History.from_json, JSON): {"like": (NOTHING, {})},
    nb.History.from_json: {"text": (NOTHING, None, b"{}")},
    nb.HistoryView(nb.History(), 1.0).rtt: {"address": (NOTHING, HOST)},
    nb.HistoryView(nb.History(), 1.0).sort: {"addresses": (NOTHING, HOST)},
    nb.discover_nat64: {"network": (NOTHING, "eth0")},
    dns.DNSResolver: {
        "servers": (NOTHING, 5, HOST, [5]),
        "search": (NOTHING, 5, "example.org", ["x y"]),
        "protocols": (NOTHING, 5, "h2", [5]),
        "ca_file": (NOTHING, 5),
        "resolv_conf": (NOTHING, None),
        "hosts": (NOTHING, 5),
        "rng": (NOTHING, 5),
        "ndots": (NOTHING, -1, True),
        "attempts": (NOTHING, 0, True),
        "cache_size": (NOTHING, -1, True),
        "give_up_after": (NOTHING, -1, True),
    },
    partial(testing.SimulatedNetwork().answers, "example.org"): {
        "aaaa": (NOTHING, 5, "2001:db8::1"),
        "a": (NOTHING, 5, HOST),
        "https": (NOTHING, 5),
    },
    testing.SimulatedNetwork().host(HOST).fails: {"number": (NOTHING, [], -1)},
    partial(proxy.HTTPProxy, HOST, PORT): {"addresses": (NOTHING, 5, HOST)},
    anyio.UNIXConnectable: {"path": (NOTHING, 5)},
    partial(anyio.TLSConnectable, HOST, PORT): {"hostname": (NOTHING, "x y")},
    httpcore.transport: {"library": (NOTHING, None), "connector": (NOTHING, 5)},
    httpcore.sync_transport: {"library": (NOTHING, None), "connector": (NOTHING, 5)},
    nb.Summary: {"races": (NOTHING, 5, "races", [5], {"one": [5]})},
    nb.summarize: {"races": (NOTHING, [5])},
    partial(nb.check, HOST, PORT): {
        "connector": (NOTHING, None, proxy.HTTPProxy(HOST, PORT)),
        "ssl_context": (NOTHING, True),
        "server_hostname": (NOTHING, 5, "x y"),
        "alpn_protocols": (NOTHING, "h2", [5]),
        "addresses": (NOTHING, HOST),
    },
    partial(testing.simulate, testing.SimulatedNetwork(), HOST, PORT): {
        "connector": (NOTHING, None),
        "establish": (NOTHING, ""),
    },
    proxy.from_environment: {"connector": (NOTHING, proxy.HTTPProxy(HOST, PORT))},
    partial(proxy.EnvironmentProxy, proxy=None, connector=nb.Connector()): {
        "proxy": (NOTHING, nb.Connector(), "http://proxy.example"),
        "connector": (NOTHING, None),
        "no_proxy": (NOTHING, ["example.org"]),
    },
    nb.connect_error: {"exception": (NOTHING, None)},
    partial(blocking.create_connection, (HOST, PORT)): {
        "source_address": (NOTHING, 5, "x", ()),
        "socket_options": (NOTHING, 5, "x"),
        "timeout": (NOTHING, "5", -1),
        "give_up_after": (NOTHING, "5", -1),
    },
    blocking.create_connection: {"address": (NOTHING, None, HOST, ())},
    partial(nb.connect_socket, sockaddr=(HOST, PORT)): {"sock": (NOTHING, 5)},
}


@pytest.mark.parametrize(
    ("call", "argument", "value"),
    [
        pytest.param(call, argument, value, id=f"{argument}-{value!r:.12}")
        for call, arguments in CALLS.items()
        for argument, values in arguments.items()
        for value in values
    ],
)
async def test_the_error_begins_with_the_argument(call: Callable[..., Any], argument: str, value: object) -> None:
    async def called() -> None:
        result = call(**{argument: value})
        if inspect.isawaitable(result):
            await result

    with pytest.raises((TypeError, ValueError), match=rf"^(keepalive )?{argument}\b"):
        await called()


@pytest.mark.virtual_time
async def test_any_real_number_is_a_number_of_seconds() -> None:
    """It becomes a float, whatever it was."""
    net = testing.SimulatedNetwork()
    net.host(HOST).drops()
    with pytest.raises(nb.ConnectTimeout, match=r"after 0\.5 s"):
        await nb.Connector(network=net).open_tcp_stream(HOST, PORT, give_up_after=Fraction(1, 2))  # type: ignore[arg-type]  # it is none for mypy
