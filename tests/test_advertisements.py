"""What systemd-networkd tells of router advertisements (RFC 8781), over a socket of the test's own."""

from __future__ import annotations

import json
import math
import os
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from ipaddress import IPv6Address
from pathlib import Path
from typing import Any

import pytest
import trio

from trio_nbconnect import discover_nat64
from trio_nbconnect._connect import advertisements
from trio_nbconnect._connect.advertisements import advertised_prefixes
from trio_nbconnect._resolve import nat64
from trio_nbconnect.testing import SimulatedNetwork

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="systemd is Linux's")

WELL_KNOWN, OWN = "64:ff9b::/96", "2001:db8:64::/48"


def link(*prefixes: str) -> dict[str, Any]:
    """Describe a link as systemd-networkd does; most of what it says is left out."""
    advertised = []
    for prefix in prefixes:
        address, _, length = prefix.partition("/")
        octets = list(IPv6Address(address).packed)
        advertised.append({"Prefix": octets, "PrefixLength": int(length), "LifetimeUSec": 9})
    return {"Index": 2, "Name": "eth0", **({"NDisc": {"PREF64": advertised}} if prefixes else {})}


def says(*links: Any) -> bytes:
    """The answers of systemd-networkd in this network namespace."""
    namespace = {"parameters": {"NamespaceId": os.stat("/proc/self/ns/net").st_ino, "NamespaceNSID": None}}
    return b"".join(json.dumps(each).encode() + b"\0" for each in (namespace, {"parameters": {"Interfaces": links}}))


@asynccontextmanager
async def networkd(
    path: Path, answer: bytes, asked: list[Any] | None = None, *, stays: bool = False
) -> AsyncIterator[str]:
    """Answer calls on a socket, once both of them are there; and then go away, or not."""

    async def serve(stream: trio.SocketStream) -> None:
        calls = b""
        while calls.count(b"\0") < 2:
            calls += await stream.receive_some()
        if asked is not None:
            asked.extend(json.loads(call) for call in calls.split(b"\0")[:-1])
        async with stream:
            with suppress(trio.BrokenResourceError):  # who has heard enough goes away
                await stream.send_all(answer)
            if stays:
                await trio.sleep_forever()

    with trio.socket.socket(socket.AF_UNIX) as listener:
        await listener.bind(os.fspath(path))
        listener.listen()
        async with trio.open_nursery() as nursery:
            await nursery.start(partial(trio.serve_listeners, serve, [trio.SocketListener(listener)]))
            yield os.fspath(path)
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (says(link(), link(WELL_KNOWN)), [WELL_KNOWN]),
        (says(link(OWN, WELL_KNOWN), link(OWN)), [OWN, WELL_KNOWN, OWN]),
        (says(link()), []),
        (says(), []),
        (says(link(WELL_KNOWN))[:-1], []),
        (says(link(WELL_KNOWN)).replace(b'"NamespaceId": ', b'"NamespaceId": 1'), []),
        (b'{"error": "org.varlink.service.MethodNotFound", "parameters": {}}\0' * 2, []),
        (says({"NDisc": {"PREF64": [{"Prefix": 1 << 40, "PrefixLength": 96}]}}), []),
        (says({"NDisc": {"PREF64": [{"Prefix": [1], "PrefixLength": 96}]}}), []),
        (says({"NDisc": 5}), []),
        (says(5), []),
        (b"[" * 100_000 + b"\0\0", []),
        (b"nonsense\0nonsense\0", []),
        (b"", []),
    ],
)
async def test_what_it_says(tmp_path: Path, answer: bytes, expected: list[str]) -> None:
    """Whatever it is, it is no error."""
    async with networkd(tmp_path / "socket", answer) as path:
        assert await advertised_prefixes(path) == expected


async def test_what_it_is_asked(tmp_path: Path) -> None:
    """Whether it speaks of this network namespace, and for a description of its links."""
    asked: list[Any] = []
    async with networkd(tmp_path / "socket", says(), asked) as path:
        await advertised_prefixes(path)
    assert asked == [
        {"method": "io.systemd.Network.GetNamespaceId", "parameters": {}},
        {"method": "io.systemd.Network.Describe", "parameters": {}},
    ]


@pytest.mark.parametrize(("octets", "expected"), [(4_000_000, [WELL_KNOWN]), (4_400_000, [])])
async def test_an_answer_without_end_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, octets: int, expected: list[str]
) -> None:
    monkeypatch.setattr(advertisements, "PATIENCE", 60)  # this machine may be busy
    async with networkd(tmp_path / "socket", says(link(WELL_KNOWN)).replace(b"eth0", b"e" * octets)) as path:
        assert await advertised_prefixes(path) == expected


@pytest.mark.parametrize(("answer", "stays"), [(says(link(WELL_KNOWN)), True), (b"half", False)])
async def test_there_is_no_more_to_wait_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: bytes, stays: bool
) -> None:
    """Both answers are there, or the other side has gone away."""
    monkeypatch.setattr(advertisements, "PATIENCE", math.inf)
    async with networkd(tmp_path / "socket", answer, stays=stays) as path:
        with trio.fail_after(5):
            assert await advertised_prefixes(path) == ([WELL_KNOWN] if stays else [])


async def test_without_proc_nobody_knows_whose_links_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = says(link(WELL_KNOWN))

    def fail(*_: object) -> None:
        raise FileNotFoundError

    async with networkd(tmp_path / "socket", answer) as path:
        monkeypatch.setattr(os, "stat", fail)
        assert await advertised_prefixes(path) == []


async def test_it_is_systemd_networkd_that_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    async def open_unix(_: object, path: str) -> Any:
        asked.append(path)
        raise FileNotFoundError

    monkeypatch.setattr(advertisements, "open_unix", open_unix)
    assert await advertised_prefixes() == []
    assert asked == ["/run/systemd/netif/io.systemd.Network"]


async def test_where_nobody_answers(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    """No socket; or a socket whose owner is silent, for a second."""
    assert await advertised_prefixes(os.fspath(tmp_path / "nothing")) == []
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(os.fspath(tmp_path / "socket"))
        silent.listen()
        assert await advertised_prefixes(os.fspath(tmp_path / "socket")) == []
    assert trio.current_time() == pytest.approx(1.0)


def advertise(*prefixes: str) -> Callable[[], Awaitable[list[str]]]:
    async def advertised() -> list[str]:
        await trio.lowlevel.checkpoint()
        return list(prefixes)

    return advertised


def answer_from_dns(*_: Any) -> list[Any]:
    return [(socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("2001:db8::192.0.0.170", 0, 0, 0))]


@pytest.mark.parametrize(
    ("advertised", "expected"),
    [
        ([OWN, WELL_KNOWN, OWN], (OWN, WELL_KNOWN)),
        (["2001:db8::/33", OWN], (OWN,)),
        (["2001:db8::/33"], ("2001:db8::/96",)),
        ([], ("2001:db8::/96",)),
    ],
)
async def test_advertisements_come_before_the_name(
    monkeypatch: pytest.MonkeyPatch, advertised: list[str], expected: tuple[str, ...]
) -> None:
    """RFC 9872, section 3: "SHOULD attempt to obtain PREF64 information from RAs [...] instead of using" RFC 7050."""
    monkeypatch.setattr(nat64, "advertised_prefixes", advertise(*advertised))
    monkeypatch.setattr(socket, "getaddrinfo", answer_from_dns)
    assert await discover_nat64() == expected


async def test_another_network_has_heard_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """This system's routers say nothing of a simulated one."""
    monkeypatch.setattr(nat64, "advertised_prefixes", advertise(OWN))
    net = SimulatedNetwork()
    net.answers("ipv4only.arpa", aaaa=["64:ff9b::192.0.0.170"])
    assert await discover_nat64(network=net) == (WELL_KNOWN,)
