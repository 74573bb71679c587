"""Options: what is wrong with one is said when it is made; the rest is on the socket before it connects."""

from __future__ import annotations

import contextlib
import errno
import os
import pickle
import socket
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import trio

import trio_nbconnect as nb
from trio_nbconnect._connect.network import KernelNetwork
from trio_nbconnect._connect.options import options_by_family, options_with
from trio_nbconnect.testing import SimulatedNetwork

from .test_connect import FakeFactory, FakeSocket

TCP, SOL = socket.IPPROTO_TCP, socket.SOL_SOCKET
SIX, FOUR = socket.AF_INET6, socket.AF_INET

ALL = nb.SocketOptions(
    no_delay=True,
    keepalive=nb.KeepAlive(idle=30, interval=5.0, count=3),
    user_timeout=1.5,
    receive_buffer=10000,
    send_buffer=20000,
    type_of_service=0xB8,
    interface="lo",
    congestion_control="reno",
    syn_count=2,
    reuse_address=True,
    extra=((SOL, socket.SO_OOBINLINE, 1), (SOL, socket.SO_RCVTIMEO, bytes(16))),
)

EXPECTED = [
    (TCP, socket.TCP_NODELAY, 1),
    (SOL, socket.SO_KEEPALIVE, 1),
    (TCP, socket.TCP_KEEPIDLE, 30),
    (TCP, socket.TCP_KEEPINTVL, 5),
    (TCP, socket.TCP_KEEPCNT, 3),
    (TCP, socket.TCP_USER_TIMEOUT, 1500),
    (SOL, socket.SO_RCVBUF, 20000),  # "the kernel doubles this value"
    (SOL, socket.SO_SNDBUF, 40000),
    (TCP, socket.TCP_SYNCNT, 2),
    (SOL, socket.SO_REUSEADDR, 1),
    (SOL, socket.SO_OOBINLINE, 1),
]


@contextlib.contextmanager
def listening(host: str = "127.0.0.1") -> Iterator[tuple[str, int]]:
    """Listen on loopback."""
    with socket.create_server((host, 0), family=SIX if ":" in host else FOUR) as listener:
        yield listener.getsockname()[:2]


async def failure_of(connector: nb.Connector, host: str = "127.0.0.1") -> OSError:
    """Connect in vain; return what the only attempt failed with."""
    with listening(host) as address, pytest.raises(nb.ConnectError) as caught:
        await connector.open_tcp_stream(*address)
    (attempt,) = caught.value.attempts
    assert attempt.error is not None
    return attempt.error


@pytest.mark.parametrize(
    ("host", "service"),
    [
        ("127.0.0.1", (socket.IPPROTO_IP, socket.IP_TOS)),
        pytest.param("::1", (socket.IPPROTO_IPV6, socket.IPV6_TCLASS), marks=pytest.mark.needs_ipv6),
    ],
)
async def test_all_of_them_on_a_real_socket(host: str, service: tuple[int, int]) -> None:
    with listening(host) as address:
        async with await nb.Connector(options=ALL).open_tcp_stream(*address) as stream:
            assert [
                (level, option, stream.socket.getsockopt(level, option)) for level, option, _ in EXPECTED
            ] == EXPECTED
            assert stream.socket.getsockopt(*service) == 0xB8
            assert stream.socket.getsockopt(SOL, socket.SO_BINDTODEVICE, 16) == b"lo\0"
            assert stream.socket.getsockopt(TCP, socket.TCP_CONGESTION, 16).rstrip(b"\0") == b"reno"


def test_a_type_of_service_has_another_option_in_each_family() -> None:
    """Each is set where it means something, and not the other as well."""
    made = options_by_family(nb.SocketOptions(type_of_service=0xB8))
    assert {
        family: [(setting.level, setting.option) for setting in made[family].settings] for family in (SIX, FOUR)
    } == {SIX: [(socket.IPPROTO_IPV6, socket.IPV6_TCLASS)], FOUR: [(socket.IPPROTO_IP, socket.IP_TOS)]}


@pytest.mark.parametrize("options", [None, {}, nb.SocketOptions(), {SIX: ALL}])
async def test_what_is_not_asked_for_stays_as_it_is(options: Any) -> None:
    """None means "leave as the system has it"; so does a family without options."""
    with listening() as address, socket.socket() as fresh:
        async with await nb.Connector(options=options).open_tcp_stream(*address) as stream:
            for level, option, _ in EXPECTED[1:6] + EXPECTED[8:]:
                assert stream.socket.getsockopt(level, option) == fresh.getsockopt(level, option)


@pytest.mark.parametrize("by_hand", [False, True])
async def test_no_delay_outlives_what_trio_sets(by_hand: bool) -> None:
    """`trio.SocketStream` sets TCP_NODELAY and TCP_NOTSENT_LOWAT when it takes a socket; the caller's word counts."""
    low_water = (TCP, socket.TCP_NOTSENT_LOWAT, 4096)
    options = (
        nb.SocketOptions(extra=((TCP, socket.TCP_NODELAY, False), low_water))
        if by_hand
        else nb.SocketOptions(no_delay=False, extra=(low_water,))
    )
    with listening() as address:
        async with await nb.Connector(options=options).open_tcp_stream(*address) as stream:
            assert stream.socket.getsockopt(TCP, socket.TCP_NODELAY) == 0
            assert stream.socket.getsockopt(TCP, socket.TCP_NOTSENT_LOWAT) == 4096


async def test_families_differ(autojump_clock: trio.abc.Clock) -> None:
    """Each attempt's socket has the options of its family, set before it is bound and connected."""
    net = SimulatedNetwork()
    net.answers("example.org", aaaa=["2001:db8::1"], a=["192.0.2.1"])
    net.host("2001:db8::1").refuses(after=0.1)
    net.host("192.0.2.1").accepts()
    seen: list[object] = []

    def look(sock: socket.socket, address: nb.Address) -> None:
        assert sock.getsockname()[0] in ("::", "0.0.0.0")
        seen.append((address.host, sock.getsockopt(SOL, socket.SO_KEEPALIVE), sock.getsockopt(TCP, socket.TCP_SYNCNT)))

    options = {
        SIX: nb.SocketOptions(syn_count=1, configure=look),
        FOUR: nb.SocketOptions(keepalive=nb.KeepAlive(), configure=look),
    }
    local = {SIX: "2001:db8::99", FOUR: "192.0.2.99"}
    connector = nb.Connector(network=net, options=options, local_address=local)
    async with await connector.open_tcp_stream("example.org", 443) as stream:
        assert stream.socket.getsockopt(SOL, socket.SO_KEEPALIVE) == 1
        assert stream.socket.getsockname()[0] == "192.0.2.99"
    assert seen == [("2001:db8::1", 0, 1), ("192.0.2.1", 1, 0)]
    assert net.open_sockets == 0


BAD: list[tuple[Callable[..., object], dict[str, Any], type[Exception], str]] = [
    (nb.SocketOptions, {"no_delay": 1}, TypeError, "no_delay must be bool, not 1"),
    (nb.SocketOptions, {"keepalive": True}, TypeError, "keepalive must be KeepAlive, not True"),
    (
        nb.SocketOptions,
        {"user_timeout": 0},
        ValueError,
        "user_timeout must be between 0.001 and 2147483.647 seconds, not 0",
    ),
    (
        nb.SocketOptions,
        {"user_timeout": float("nan")},
        ValueError,
        "user_timeout must be between 0.001 and 2147483.647 seconds, not nan",
    ),
    (
        nb.SocketOptions,
        {"user_timeout": float("inf")},
        ValueError,
        "user_timeout must be between 0.001 and 2147483.647 seconds, not inf",
    ),
    (
        nb.SocketOptions,
        {"user_timeout": 2147483.648},
        ValueError,
        "user_timeout must be between 0.001 and 2147483.647 seconds, not 2147483.648",
    ),
    (nb.SocketOptions, {"user_timeout": "1"}, TypeError, "user_timeout must be a number of seconds, not '1'"),
    (nb.SocketOptions, {"receive_buffer": 0}, ValueError, "receive_buffer must be between 1 and 2147483647, not 0"),
    (
        nb.SocketOptions,
        {"send_buffer": 2**31},
        ValueError,
        "send_buffer must be between 1 and 2147483647, not 2147483648",
    ),
    (nb.SocketOptions, {"send_buffer": True}, TypeError, "send_buffer must be int, not True"),
    (nb.SocketOptions, {"type_of_service": 256}, ValueError, "type_of_service must be between 0 and 255, not 256"),
    (nb.SocketOptions, {"type_of_service": -1}, ValueError, "type_of_service must be between 0 and 255, not -1"),
    (nb.SocketOptions, {"mark": 2**32}, ValueError, "mark must be between 0 and 4294967295, not 4294967296"),
    (nb.SocketOptions, {"mark": -1}, ValueError, "mark must be between 0 and 4294967295, not -1"),
    (nb.SocketOptions, {"interface": ""}, ValueError, "interface must be 1 to 15 bytes without NUL, not ''"),
    (
        nb.SocketOptions,
        {"interface": "x" * 16},
        ValueError,
        "interface must be 1 to 15 bytes without NUL, not 'xxxxxxxxxxxxxxxx'",
    ),
    (nb.SocketOptions, {"interface": "lo\0"}, ValueError, "interface must be 1 to 15 bytes without NUL, not 'lo\\x00'"),
    (nb.SocketOptions, {"interface": b"lo"}, TypeError, "interface must be str, not b'lo'"),
    (
        nb.SocketOptions,
        {"congestion_control": "x" * 16},
        ValueError,
        "congestion_control must be 1 to 15 bytes without NUL, not 'xxxxxxxxxxxxxxxx'",
    ),
    (nb.SocketOptions, {"syn_count": 0}, ValueError, "syn_count must be between 1 and 127, not 0"),
    (nb.SocketOptions, {"syn_count": 128}, ValueError, "syn_count must be between 1 and 127, not 128"),
    (nb.SocketOptions, {"syn_count": 2.0}, TypeError, "syn_count must be int, not 2.0"),
    (nb.SocketOptions, {"reuse_address": 0}, TypeError, "reuse_address must be bool, not 0"),
    (nb.SocketOptions, {"multipath": 1}, TypeError, "multipath must be bool, not 1"),
    (
        nb.SocketOptions,
        {"multipath": True, "user_timeout": 2},
        ValueError,
        "multipath sockets have no user_timeout, which is 2",
    ),
    (
        nb.SocketOptions,
        {"multipath": True, "syn_count": 2},
        ValueError,
        "multipath sockets have no syn_count, which is 2",
    ),
    (nb.SocketOptions, {"extra": 3}, TypeError, "extra must be triples of level, option and value, not 3"),
    (
        nb.SocketOptions,
        {"extra": (1, 2, 3)},
        TypeError,
        "extra must be triples of level, option and value, not (1, 2, 3)",
    ),
    (
        nb.SocketOptions,
        {"extra": ((1, 2),)},
        TypeError,
        "extra must be triples of level, option and value, not ((1, 2),)",
    ),
    (nb.SocketOptions, {"extra": ((1, 2, "3"),)}, TypeError, "extra (1, 2, '3') must be int, not '3'"),
    (nb.SocketOptions, {"extra": ((1, None, 3),)}, TypeError, "extra (1, None, 3) must be int, not None"),
    (
        nb.SocketOptions,
        {"extra": ((1, 2, 2**31),)},
        ValueError,
        "extra (1, 2, 2147483648) must be between -2147483648 and 2147483647, not 2147483648",
    ),
    (
        nb.SocketOptions,
        {"extra": ((TCP, 30, 1),)},
        ValueError,
        "extra must not hold TCP_FASTOPEN_CONNECT, which sends no packet: (6, 30, 1)",
    ),
    (
        nb.SocketOptions,
        {"extra": ((SOL, socket.SO_OOBINLINE, 1), (TCP, 30, bytes(4)))},
        ValueError,
        "extra must not hold TCP_FASTOPEN_CONNECT, which sends no packet: (6, 30, b'\\x00\\x00\\x00\\x00')",
    ),
    (
        nb.SocketOptions,
        {"extra": ((1, 2, -(2**31) - 1),)},
        ValueError,
        "extra (1, 2, -2147483649) must be between -2147483648 and 2147483647, not -2147483649",
    ),
    (nb.KeepAlive, {"idle": 0}, ValueError, "keepalive idle must be whole seconds between 1 and 32767, not 0"),
    (nb.KeepAlive, {"idle": 32768}, ValueError, "keepalive idle must be whole seconds between 1 and 32767, not 32768"),
    (nb.KeepAlive, {"idle": 1.5}, ValueError, "keepalive idle must be whole seconds between 1 and 32767, not 1.5"),
    (
        nb.KeepAlive,
        {"idle": float("nan")},
        ValueError,
        "keepalive idle must be whole seconds between 1 and 32767, not nan",
    ),
    (
        nb.KeepAlive,
        {"interval": 32768},
        ValueError,
        "keepalive interval must be whole seconds between 1 and 32767, not 32768",
    ),
    (nb.KeepAlive, {"interval": True}, TypeError, "keepalive interval must be a number of seconds, not True"),
    (nb.KeepAlive, {"count": 128}, ValueError, "keepalive count must be between 1 and 127, not 128"),
    (nb.SocketOptions, {"configure": 3}, TypeError, "configure must be a callable that is not async, not 3"),
    (nb.Connector, {"options": 3}, TypeError, "options must be SocketOptions, or some for each family, not 3"),
    (
        nb.Connector,
        {"options": {FOUR: None}},
        TypeError,
        f"options must be SocketOptions, or some for each family, not { ({FOUR: None})!r}",
    ),
    (
        nb.Connector,
        {"options": {99: ALL}},
        ValueError,
        f"options must be for AF_INET6, AF_INET or AF_UNIX, not { ({99: ALL})!r}",
    ),
    (
        nb.Connector,
        {"options": nb.SocketOptions(multipath=True, type_of_service=16)},
        ValueError,
        "multipath sockets over IPv6 have no type_of_service, which is 16",
    ),
]


@pytest.mark.parametrize(
    ("keywords", "value"),
    [
        ({"mark": 2**31 - 1}, 2**31 - 1),
        ({"mark": 2**31}, -(2**31)),
        ({"mark": 2**32 - 1}, -1),
        ({"interface": "x"}, b"x"),
        ({"interface": "x" * 15}, b"x" * 15),
    ],
)
def test_what_just_fits(keywords: Any, value: int | bytes) -> None:
    (setting,) = nb.SocketOptions(**keywords)._settings
    assert setting.value == value


@pytest.mark.parametrize(("make", "keywords", "kind", "text"), BAD, ids=[row[-1] for row in BAD])
def test_what_is_wrong_is_said_when_it_is_made(
    make: Callable[..., object], keywords: dict[str, Any], kind: type[Exception], text: str
) -> None:
    """Not at the first connect, and with the value in the text."""
    with pytest.raises(kind) as caught:
        make(**keywords)
    assert str(caught.value) == text


def test_an_async_hook_is_refused() -> None:
    async def configure(sock: socket.socket, address: nb.Address) -> None: ...

    with pytest.raises(TypeError, match=r"^configure must be a callable that is not async"):
        nb.SocketOptions(configure=configure)


@pytest.mark.parametrize(
    ("lacking", "make", "keywords", "text"),
    [
        (
            "TCP_USER_TIMEOUT",
            nb.SocketOptions,
            {"user_timeout": 2},
            "user_timeout must not be set on this system, which has no TCP_USER_TIMEOUT: 2",
        ),
        (
            "SO_BINDTODEVICE",
            nb.SocketOptions,
            {"interface": "lo"},
            "interface must not be set on this system, which has no SO_BINDTODEVICE: 'lo'",
        ),
        (
            "TCP_KEEPIDLE",
            nb.KeepAlive,
            {"idle": 2},
            "keepalive idle must not be set on this system, which has no TCP_KEEPIDLE: 2",
        ),
        (
            "IPV6_TCLASS",
            nb.SocketOptions,
            {"type_of_service": 0},
            "type_of_service must not be set on this system, which has no IPV6_TCLASS: 0",
        ),
    ],
)
def test_what_this_system_lacks(
    lacking: str, make: Callable[..., object], keywords: dict[str, Any], text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(socket, lacking)
    with pytest.raises(ValueError) as caught:
        make(**keywords)
    assert str(caught.value) == text


def test_macos_has_another_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(socket, "TCP_KEEPIDLE")
    monkeypatch.setattr(socket, "TCP_KEEPALIVE", 16, raising=False)
    assert nb.KeepAlive(idle=2)._settings[0].option == 16


def test_the_least_and_the_most_that_the_kernel_takes() -> None:
    """Our ranges are the kernel's: what we let pass, it takes; the numbers beside it are refused above."""
    least = nb.KeepAlive(idle=1, interval=1, count=1)
    most = nb.KeepAlive(idle=32767, interval=32767, count=127)
    for options in (
        nb.SocketOptions(keepalive=least, user_timeout=0.001, syn_count=1, type_of_service=0, receive_buffer=1),
        nb.SocketOptions(
            keepalive=most, user_timeout=2147483.647, syn_count=127, type_of_service=255, send_buffer=2**31 - 1
        ),
    ):
        with socket.socket() as sock:
            for setting in options._settings:
                if setting.family in (None, FOUR):
                    sock.setsockopt(setting.level, setting.option, setting.value)


@pytest.mark.parametrize(
    ("level", "option", "value"),
    [
        (TCP, socket.TCP_KEEPIDLE, 0),
        (TCP, socket.TCP_KEEPIDLE, 32768),
        (TCP, socket.TCP_KEEPCNT, 128),
        (TCP, socket.TCP_SYNCNT, 128),
    ],
)
async def test_what_the_kernel_refuses_fails_the_attempt(level: int, option: int, value: int) -> None:
    """tcp(7): EINVAL says little; the option is in the text. Nobody checks what is in `extra`."""
    failure = await failure_of(nb.Connector(options=nb.SocketOptions(extra=((level, option, value),))))
    assert failure.errno == errno.EINVAL
    assert f"option extra ({int(level)}, {option}, {value}) for 127.0.0.1:" in str(failure)


@pytest.mark.parametrize(
    ("options", "number", "text"),
    [
        (
            nb.SocketOptions(interface="nosuch0"),
            errno.ENODEV,
            "No such device: option interface='nosuch0' for 127.0.0.1:",
        ),
        (
            nb.SocketOptions(congestion_control="nosuch"),
            errno.ENOENT,
            "option congestion_control='nosuch' for 127.0.0.1:",
        ),
    ],
)
async def test_what_only_the_kernel_knows(options: nb.SocketOptions, number: int, text: str) -> None:
    failure = await failure_of(nb.Connector(options=options))
    assert failure.errno == number
    assert text in str(failure)


class Stubborn(KernelNetwork):
    """The kernel's network, whose sockets refuse one option."""

    def __init__(self, level: int, option: int) -> None:
        self.refused = level, option

    def open(self, family: socket.AddressFamily, protocol: int = 0) -> Any:
        refused = self.refused

        class Socket(socket.socket):
            def setsockopt(self, level: int, option: int, value: Any, *length: int) -> None:
                if (level, option) == refused:
                    raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
                super().setsockopt(level, option, value, *length)

        sock = Socket(family, socket.SOCK_STREAM)
        sock.setblocking(False)
        return sock


@pytest.mark.parametrize(
    ("level", "option", "text"),
    [
        (TCP, socket.TCP_NODELAY, "no_delay=True"),
        (SOL, socket.SO_KEEPALIVE, "keepalive=True"),
        (TCP, socket.TCP_KEEPIDLE, "keepalive idle=30"),
        (TCP, socket.TCP_KEEPINTVL, "keepalive interval=5.0"),
        (TCP, socket.TCP_KEEPCNT, "keepalive count=3"),
        (TCP, socket.TCP_USER_TIMEOUT, "user_timeout=1.5"),
        (SOL, socket.SO_RCVBUF, "receive_buffer=10000"),
        (SOL, socket.SO_SNDBUF, "send_buffer=20000"),
        (socket.IPPROTO_IP, socket.IP_TOS, "type_of_service=184"),
        (SOL, socket.SO_BINDTODEVICE, "interface='lo'"),
        (TCP, socket.TCP_CONGESTION, "congestion_control='reno'"),
        (TCP, socket.TCP_SYNCNT, "syn_count=2"),
        (SOL, socket.SO_REUSEADDR, "reuse_address=True"),
        (SOL, socket.SO_OOBINLINE, f"extra ({int(SOL)}, {socket.SO_OOBINLINE}, 1)"),
    ],
)
async def test_an_option_that_is_refused_is_named_as_it_was_given(level: int, option: int, text: str) -> None:
    failure = await failure_of(nb.Connector(network=Stubborn(level, option), options=ALL))
    assert f"Operation not permitted: option {text} for 127.0.0.1:" in str(failure)


def test_multipath_over_ipv4_may_have_a_type_of_service() -> None:
    """Over IPv6 it is EOPNOTSUPP, as measured."""
    options = nb.SocketOptions(multipath=True, type_of_service=16)
    assert nb.Connector(options={FOUR: options}).options == {FOUR: options}
    with pytest.raises(ValueError, match=r"^multipath sockets over IPv6 have no type_of_service, which is 16$"):
        nb.Connector(options={SIX: options})


class Forbidden(socket.socket):
    """A socket whose owner may not set marks."""

    def setsockopt(self, level: int, option: int, value: Any, *_length: int) -> None:
        if (level, option) == (SOL, socket.SO_MARK):
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        super().setsockopt(level, option, value)


class Scripted(KernelNetwork):
    """The kernel's network with one fault: multipath sockets fail with an errno, or else marks are forbidden."""

    def __init__(self, number: int = 0) -> None:
        self.number = number
        self.asked: list[int] = []

    def open(self, family: socket.AddressFamily, protocol: int = 0) -> socket.socket:
        self.asked.append(protocol)
        if protocol:
            raise OSError(self.number, os.strerror(self.number))
        if self.number:
            return super().open(family)
        sock = Forbidden(family, socket.SOCK_STREAM)
        sock.setblocking(False)
        return sock


async def test_a_mark_without_the_right_to_set_it() -> None:
    """socket(7): it wants a capability, which shows when it is set; the socket is closed."""
    failure = await failure_of(nb.Connector(network=Scripted(), options=nb.SocketOptions(mark=7)))
    assert isinstance(failure, PermissionError)
    assert "Operation not permitted: option mark=7 for 127.0.0.1:" in str(failure)


@pytest.mark.parametrize(("mark", "seen"), [(7, 7), (2**32 - 1, -1)])
async def test_a_mark_has_32_bits(mark: int, seen: int, autojump_clock: trio.abc.Clock) -> None:
    net = SimulatedNetwork()
    net.host("192.0.2.1").accepts()
    connector = nb.Connector(network=net, options=nb.SocketOptions(mark=mark))
    async with await connector.open_tcp_stream("192.0.2.1", 80) as stream:
        assert stream.socket.getsockopt(SOL, socket.SO_MARK) == seen


async def test_the_way_is_asked_for_with_the_options_that_choose_it(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.abc.Clock
) -> None:
    """socket(7), `SO_MARK` and `SO_BINDTODEVICE`; the others make no difference to the routing table."""
    net, asked = SimulatedNetwork(), []

    def source_address(address: nb.Address, local: nb.Address | None, settings: Iterable[Any]) -> None:
        asked.append((address.family.name, local and local.host, [setting.name for setting in settings]))

    monkeypatch.setattr(net, "source_address", source_address)
    options = nb.SocketOptions(mark=7, interface="lo", no_delay=True)
    connector = nb.Connector(network=net, options=options, local_address="192.0.2.9", resolver=net.resolver())
    net.answers("two.example", a=["192.0.2.1", "192.0.2.2"])
    with pytest.raises(nb.ConnectError):
        await connector.open_tcp_stream("two.example", 80, give_up_after=1)
    assert set(map(str, asked)) == {"('AF_INET', '192.0.2.9', ['mark=7', \"interface='lo'\"])"}


# Multipath


async def test_multipath() -> None:
    """RFC 8684: a host without it is connected to with plain TCP; here the listener has none."""
    options = nb.SocketOptions(multipath=True, no_delay=True, keepalive=nb.KeepAlive(idle=9))
    with listening() as address:
        async with await nb.Connector(options=options, local_address="127.0.0.1").open_tcp_stream(*address) as stream:
            assert stream.socket.getsockopt(TCP, socket.TCP_KEEPIDLE) == 9
            assert stream.socket.proto in (socket.IPPROTO_MPTCP, 0, TCP)  # the kernel may have none


@pytest.mark.parametrize("number", [errno.EPROTONOSUPPORT, errno.ENOPROTOOPT, errno.EINVAL])
async def test_a_kernel_without_multipath(number: int) -> None:
    network = Scripted(number)
    with listening() as address:
        connector = nb.Connector(network=network, options=nb.SocketOptions(multipath=True))
        async with await connector.open_tcp_stream(*address):
            assert network.asked == [socket.IPPROTO_MPTCP, 0]


async def test_a_python_without_multipath(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(socket, "IPPROTO_MPTCP")
    network = Scripted(errno.EINVAL)
    with listening() as address:
        connector = nb.Connector(network=network, options=nb.SocketOptions(multipath=True))
        async with await connector.open_tcp_stream(*address):
            assert network.asked == [0]


async def test_a_simulated_network_without_multipath(autojump_clock: trio.abc.Clock) -> None:
    net = SimulatedNetwork()
    net.host("192.0.2.1").accepts()
    connector = nb.Connector(network=net, options=nb.SocketOptions(multipath=True))
    async with await connector.open_tcp_stream("192.0.2.1", 80) as stream:
        assert stream.socket.getpeername()[0] == "192.0.2.1"


async def test_another_failure_is_not_hidden() -> None:
    """Only the lack of multipath is a reason to do without."""
    network = Scripted(errno.EMFILE)
    failure = await failure_of(nb.Connector(network=network, options=nb.SocketOptions(multipath=True)))
    assert failure.errno == errno.EMFILE
    assert network.asked == [socket.IPPROTO_MPTCP]


async def test_multipath_has_no_user_timeout() -> None:
    """Measured on Linux 6.18: ENOPROTOOPT, here by the back door; the front door says so beforehand."""
    extra = ((TCP, socket.TCP_USER_TIMEOUT, 1000),)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(socket.socket(FOUR, socket.SOCK_STREAM, socket.IPPROTO_MPTCP))
        except OSError:  # pragma: no cover - a kernel without it falls back, and has the option
            pytest.skip("no multipath here")
    failure = await failure_of(nb.Connector(options=nb.SocketOptions(multipath=True, extra=extra)))
    assert failure.errno == errno.ENOPROTOOPT
    assert f"option extra (6, {socket.TCP_USER_TIMEOUT}, 1000) for 127.0.0.1:" in str(failure)


# The hook


async def test_the_hook_comes_last_and_is_told_where_to() -> None:
    seen: list[object] = []

    def configure(sock: socket.socket, address: nb.Address) -> None:
        seen.append((sock.getsockopt(TCP, socket.TCP_SYNCNT), address.port))
        sock.setsockopt(TCP, socket.TCP_SYNCNT, 5)

    with listening() as address:
        connector = nb.Connector(options=nb.SocketOptions(syn_count=2, configure=configure))
        async with await connector.open_tcp_stream(*address) as stream:
            assert stream.socket.getsockopt(TCP, socket.TCP_SYNCNT) == 5
        assert seen == [(2, address[1])]


async def test_a_hook_that_fails_fails_the_attempt() -> None:
    """Its error is kept as it is; the socket is closed."""
    refused = OSError(errno.EPERM, "not from here")

    def configure(sock: socket.socket, address: nb.Address) -> None:
        raise refused

    assert await failure_of(nb.Connector(options=nb.SocketOptions(configure=configure))) is refused


@pytest.mark.parametrize("on", [1, 2])
async def test_a_hook_with_a_bug_ends_the_race(on: int, autojump_clock: trio.abc.Clock) -> None:
    """It comes out as it is, from the first attempt or a later one, and nothing is left open."""
    net = SimulatedNetwork()
    calls: list[nb.Address] = []

    def configure(sock: socket.socket, address: nb.Address) -> None:
        calls.append(address)
        if len(calls) == on:
            raise ZeroDivisionError

    connector = nb.Connector(network=net, options=nb.SocketOptions(configure=configure))
    with pytest.raises(ZeroDivisionError):
        await connector.open_tcp_stream("example.org", 80, addresses=["192.0.2.1", "192.0.2.2"])
    assert len(calls) == on
    assert net.open_sockets == 0


async def test_a_hook_that_closes_the_socket_fails_the_attempt() -> None:
    """The system says EBADF, and the closed socket is not looked at again."""
    connector = nb.Connector(options=nb.SocketOptions(configure=lambda sock, _: sock.close()))
    with listening() as address, pytest.raises(nb.ConnectError) as caught:
        await connector.open_tcp_stream(*address)
    assert caught.value.errno == errno.EBADF


async def test_who_waits_for_a_socket_that_a_hook_has_shown_is_woken(autojump_clock: trio.abc.Clock) -> None:
    """When its attempt is cancelled. Nobody can wait for a socket that no hook has shown."""
    shown: list[socket.socket] = []
    is_shown = trio.Event()

    def configure(sock: socket.socket, address: nb.Address) -> None:
        shown.append(sock)
        is_shown.set()

    async def wait_for_it() -> None:
        await is_shown.wait()
        with pytest.raises(trio.ClosedResourceError):
            await trio.lowlevel.wait_readable(shown[0])

    with socket.socket() as listener, socket.socket() as first:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        first.connect(listener.getsockname())  # it fills the queue, and whatever comes later has no answer
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait_for_it)
            with trio.move_on_after(1):
                connector = nb.Connector(options=nb.SocketOptions(configure=configure))
                await connector.open_tcp_stream(*listener.getsockname())
    assert shown[0].fileno() == -1


async def test_hooks_of_the_program_and_of_a_library_are_called_in_turn() -> None:
    """Each is told as much as if it were the only one."""
    told: list[tuple[str, object, object]] = []
    ours = nb.SocketOptions(configure=lambda sock, address: told.append(("ours", sock, address)), syn_count=3)

    def theirs(sock: socket.socket, address: nb.Address) -> None:
        told.append(("theirs", sock, address))

    sock, address = socket.socket(), nb.Address(FOUR, "192.0.2.1", 80)
    for before, hook, expected in (
        (None, None, []),
        (ours, None, ["ours"]),
        (None, theirs, ["theirs"]),
        (ours, theirs, ["ours", "theirs"]),
    ):
        for family, options in options_by_family(options_with(before, configure=hook)).items():
            told.clear()
            if options.configure is not None:
                options.configure(sock, address)
            assert told == [(name, sock, address) for name in expected], family
    sock.close()


def ask_for_fast_open(sock: socket.socket, address: nb.Address) -> None:
    """Do as a program that wants TCP Fast Open: with it `connect` says 0 and sends nothing (Linux's tcp(7))."""
    sock.setsockopt(TCP, 30, 1)
    assert sock.getsockopt(TCP, 30) == 1


@pytest.mark.parametrize("factory", [False, True])
async def test_a_hook_cannot_make_a_dead_address_connected(factory: bool) -> None:
    """The next address is reached; with Fast Open the first would have counted as connected."""
    if factory:
        trio.socket.set_custom_socket_factory(PlainSockets())
    connector = nb.Connector(options=nb.SocketOptions(configure=ask_for_fast_open))
    with socket.socket() as refusing, listening() as (host, port):
        refusing.bind(("127.0.0.9", port))
        with trio.fail_after(5):
            stream = await connector.open_tcp_stream("example.org", port, addresses=["127.0.0.9", host])
        async with stream:
            assert stream.socket.getpeername() == (host, port)
            assert stream.socket.getsockopt(TCP, 30) == 0


@pytest.mark.parametrize("option", [None, (TCP, 9999)], ids=["another system", "an old kernel"])
async def test_a_system_without_fast_open_has_none_to_switch_off(option: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trio_nbconnect._connect.settings.FAST_OPEN_CONNECT", option)
    asked: list[Any] = []
    with listening() as address:
        connector = nb.Connector(options=nb.SocketOptions(configure=lambda *told: asked.append(told)))
        async with await connector.open_tcp_stream(*address):
            assert len(asked) == 1


class PlainSockets(trio.abc.SocketFactory):
    """A factory whose sockets are Trio's own."""

    def socket(self, *kind: Any) -> trio.socket.SocketType:
        """Open one."""
        return trio.socket.from_stdlib_socket(socket.socket(*kind))


# Other sockets


async def test_sockets_of_a_factory_are_set_up_too(autojump_clock: trio.abc.Clock) -> None:
    """Before they are bound and connected, and once more what Trio overrides."""
    net = SimulatedNetwork()
    net.host("192.0.2.1").accepts()
    seen: list[str] = []

    def configure(sock: socket.socket, address: nb.Address) -> None:
        seen.append(address.host)

    options = nb.SocketOptions(no_delay=False, syn_count=2, configure=configure)
    with net.installed():
        async with await nb.Connector(options=options).open_tcp_stream("192.0.2.1", 80) as stream:
            assert stream.socket.getsockopt(TCP, socket.TCP_SYNCNT) == 2
            assert stream.socket.getsockopt(TCP, socket.TCP_NODELAY) == 0
    assert seen == ["192.0.2.1"]


async def test_a_factory_s_socket_that_has_no_options(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are a favour that a fake need not do; Trio's base class says NotImplementedError."""
    trio.socket.set_custom_socket_factory(factory := FakeFactory())
    made: list[FakeSocket] = factory.made

    class Stream:
        def __init__(self, sock: FakeSocket) -> None:
            self.socket = sock

    def lacking(*_arguments: object) -> None:
        raise NotImplementedError

    monkeypatch.setattr(FakeSocket, "setsockopt", lacking)
    monkeypatch.setattr(trio, "SocketStream", Stream)  # which would set options itself
    connector = nb.Connector(options={FOUR: nb.SocketOptions(no_delay=False)})
    await connector.open_tcp_stream("192.0.2.1", 80)
    assert made[0].log == [("connect", ("192.0.2.1", 80))]
    await nb.Connector(options={SIX: ALL}).open_tcp_stream("192.0.2.1", 80)
    await connector.open_unix_socket("/somewhere")


async def test_an_option_that_a_factory_s_socket_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object) -> None:
        raise OSError(errno.ENOPROTOOPT, "no")

    trio.socket.set_custom_socket_factory(factory := FakeFactory())
    monkeypatch.setattr(FakeSocket, "setsockopt", refuse)
    failure = await failure_of(nb.Connector(options=nb.SocketOptions(syn_count=2)))
    assert failure.errno == errno.ENOPROTOOPT
    assert "option syn_count=2 for 127.0.0.1:" in str(failure)
    assert factory.made[0].log == ["closed"]
    with pytest.raises(OSError, match=r"option send_buffer=9 for '/somewhere'"):
        await nb.Connector(options=nb.SocketOptions(send_buffer=9)).open_unix_socket("/somewhere")


async def test_a_factory_s_socket_without_options_may_have_a_hook(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is called; that nothing can be switched off again on such a socket harms nobody."""
    trio.socket.set_custom_socket_factory(factory := FakeFactory())
    monkeypatch.delattr(FakeSocket, "setsockopt", raising=False)
    monkeypatch.setattr(trio, "SocketStream", lambda sock: sock)  # which would set options itself
    seen: list[nb.Address] = []
    options = nb.SocketOptions(configure=lambda _, address: seen.append(address))
    await nb.Connector(options=options).open_tcp_stream("192.0.2.1", 80)
    assert seen == [nb.Address(FOUR, "192.0.2.1", 80)]
    assert factory.made[0].log == [("connect", ("192.0.2.1", 80))]


async def test_a_unix_socket_of_a_factory_has_them_too(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    trio.socket.set_custom_socket_factory(PlainSockets())
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        connector = nb.Connector(options={socket.AF_UNIX: nb.SocketOptions(send_buffer=4096)})
        async with await connector.open_unix_socket(path) as stream:
            assert stream.socket.getsockopt(SOL, socket.SO_SNDBUF) == 2 * 4096  # Linux doubles it, socket(7)


@pytest.mark.parametrize("options", [ALL, {socket.AF_UNIX: ALL}])
async def test_a_unix_socket_has_the_buffers_only(options: Any) -> None:
    """The rest is about networks, and partly an error there."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("")  # the kernel finds an abstract name
        listener.listen()
        async with await nb.Connector(options=options).open_unix_socket(listener.getsockname()) as stream:
            assert stream.socket.getsockopt(SOL, socket.SO_RCVBUF) == 20000
            assert stream.socket.getsockopt(SOL, socket.SO_SNDBUF) == 40000
            assert stream.socket.getsockopt(SOL, socket.SO_KEEPALIVE) == 0


async def test_a_path_among_other_addresses_has_the_buffers_only() -> None:
    network = Scripted(errno.EPROTONOSUPPORT)
    options = nb.SocketOptions(multipath=True, no_delay=False, receive_buffer=10000, configure=lambda *_: 1 / 0)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("")
        listener.listen()
        path = listener.getsockname()
        connector = nb.Connector(network=network, options=options)
        async with await connector.open_tcp_stream("example.org", 80, addresses=[path]) as stream:
            assert stream.socket.getsockopt(SOL, socket.SO_RCVBUF) == 20000
    assert network.asked == [0]


def test_whatever_is_a_real_number_is_taken() -> None:
    """Sweeps bring NumPy's; the kernel gets an int."""

    class Whole:
        def __index__(self) -> int:
            return 2

    options = nb.SocketOptions(syn_count=Whole(), user_timeout=Fraction(3, 2))  # type: ignore[arg-type]
    kept_alive = nb.KeepAlive(idle=Fraction(30))  # type: ignore[arg-type]
    settings = [*options._settings, *kept_alive._settings]
    assert [(setting.option, setting.value) for setting in settings] == [
        (socket.TCP_USER_TIMEOUT, 1500),
        (socket.TCP_SYNCNT, 2),
        (socket.TCP_KEEPIDLE, 30),
    ]
    assert {type(setting.value) for setting in settings} == {int}


def test_options_are_data() -> None:
    """They compare, pickle and hide what was made of them."""
    assert pickle.loads(pickle.dumps(ALL)) == ALL
    assert nb.SocketOptions(extra=[(1, 2, 3)]).extra == ((1, 2, 3),)  # type: ignore[arg-type]
    assert repr(nb.KeepAlive(idle=1)) == "KeepAlive(idle=1, interval=None, count=None)"
