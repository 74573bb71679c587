"""Paths: a UNIX socket is an address like others, where the caller gives it beside them."""

from __future__ import annotations

import errno
import math
import socket
from collections.abc import Iterable
from pathlib import Path

import pytest
import trio
import trio.testing

import trio_nbconnect as nb
from trio_nbconnect._address import UNIX, Address, GivenAddress, Target
from trio_nbconnect.testing import SimulatedNetwork

pytestmark = pytest.mark.skipif(UNIX is None, reason="this platform has no UNIX sockets")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "server.sock"


def given(addresses: Iterable[GivenAddress]) -> tuple[Address, ...]:
    """Read the addresses that a caller gives."""
    return Target.parse("example.org", 80, addresses).addresses


def listening(path: Path | str, backlog: int = 8) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(backlog)
    return listener


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("/run/x.sock", "/run/x.sock"),
        (b"/run/x.sock", "/run/x.sock"),
        (Path("relative.sock"), "relative.sock"),
        ("\0abstract", "\0abstract"),
        (b"\0abstract", "\0abstract"),
        (b"/run/\xff", "/run/\udcff"),
    ],
)
def test_a_path_begins_with_a_slash_or_a_nul_or_is_an_object(text: str | bytes | Path, host: str) -> None:
    assert given([text]) == (Address(socket.AF_UNIX, host, 0),)


@pytest.mark.parametrize("text", ["relative.sock", b"relative.sock", "./x", ""])
def test_other_text_is_a_numeric_address_or_an_error(text: str) -> None:
    with pytest.raises(ValueError):
        given([text])


def test_a_nul_inside_a_path_is_an_error_at_once() -> None:
    with pytest.raises(ValueError) as raised:
        given(["/run/x\0y"])

    assert str(raised.value) == "path must not contain NUL: '/run/x\\x00y'"


def test_what_is_no_path_either_is_a_type_error() -> None:
    with pytest.raises(TypeError):
        given([5])  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("host", "text"), [("/run/x", "/run/x"), ("\0x", "@x"), ("/a\nb", "'/a\\nb'"), ("/run/:1", "/run/:1")]
)
def test_a_path_reads_well(host: str, text: str) -> None:
    assert str(Address(socket.AF_UNIX, host, 0)) == text


async def test_a_path_that_answers_wins_before_tcp_is_asked(path: Path) -> None:
    with listening(path), socket.create_server(("127.0.0.1", 0)) as listener, nb.record() as recording:
        port = listener.getsockname()[1]
        async with await nb.open_tcp_stream("db.example", port, addresses=[path, "127.0.0.1"]) as stream:
            assert stream.socket.family == socket.AF_UNIX
            assert stream.socket.getpeername() == str(path)

    (race,) = recording
    assert [row.address.ip for row in race.timeline.attempts] == [str(path)]
    assert [row.address.ip for row in race.timeline.untried] == ["127.0.0.1"]
    assert "over UNIX to " in str(race)


async def test_a_path_that_is_not_there_fails_at_once(path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        connector = nb.Connector(policy=nb.Policy(attempt_delay=math.inf))
        port = listener.getsockname()[1]
        async with await connector.open_tcp_stream("db.example", port, addresses=[path, "127.0.0.1"]) as stream:
            assert stream.socket.family == socket.AF_INET


async def test_tcp_goes_on_beside_a_full_backlog(path: Path) -> None:
    with (
        listening(path, 0),
        socket.socket(socket.AF_UNIX) as first,
        socket.create_server(("127.0.0.1", 0)) as listener,
    ):
        first.connect(str(path))
        policy = nb.Policy(attempt_delay=0.02)
        port = listener.getsockname()[1]
        with nb.record() as recording:
            stream = await nb.Connector(policy=policy).open_tcp_stream("h", port, addresses=[path, "127.0.0.1"])
        async with stream:
            assert stream.socket.family == socket.AF_INET
    assert [row.outcome.value for row in recording[-1].timeline.attempts] == ["cancelled", "won"]


async def test_a_full_backlog_is_waited_for_and_can_win(path: Path) -> None:
    with listening(path, 0) as listener, socket.socket(socket.AF_UNIX) as first:
        first.connect(str(path))
        with nb.record() as recording:
            async with trio.open_nursery() as nursery:

                @nursery.start_soon
                async def make_room() -> None:
                    await trio.testing.wait_all_tasks_blocked()
                    listener.accept()[0].close()

                addresses = [str(path), "127.0.0.1"]
                stream = await nb.Connector().open_tcp_stream("h", 1, addresses=addresses, give_up_after=30)
        async with stream:
            assert stream.socket.getpeername() == str(path)
    assert recording[-1].timeline.winner is not None


async def test_the_failure_names_the_path(path: Path) -> None:
    with pytest.raises(nb.ConnectError) as raised:
        await nb.open_tcp_stream("db.example", 5432, addresses=[path])

    (attempt,) = raised.value.attempts
    assert attempt.error is not None
    assert (attempt.error.errno, attempt.address.ip) == (errno.ENOENT, str(path))
    assert str(path) in str(attempt.error)


async def test_a_path_that_is_too_long_fails_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(nb.ConnectError) as raised:
        await nb.open_tcp_stream("h", 1, addresses=["/" + "x" * 200])

    assert "too long" in str(raised.value.attempts[0].error)


async def test_neither_local_addresses_nor_families_rule_a_path_out(path: Path) -> None:
    with listening(path):
        history = nb.History(explore_every=math.inf)
        connector = nb.Connector(
            local_address="127.0.0.1",
            policy=nb.Policy(families=(socket.AF_INET,)),
            nat64="64:ff9b::/96",
            history=history,
            options={socket.AF_UNIX: nb.SocketOptions(send_buffer=65536)},
        )
        async with await connector.open_tcp_stream("h", 1, addresses=["::1", path]) as stream:
            assert stream.socket.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) >= 65536
    view = history.view(0.0)
    assert view is not None
    assert view.rtt(Address(socket.AF_UNIX, str(path), 0)) is None


async def test_a_socket_factory_makes_sockets_for_paths_too(path: Path) -> None:
    made: list[tuple[int, int]] = []

    class Factory(trio.abc.SocketFactory):
        def socket(self, *kind: int) -> trio.socket.SocketType:
            made.append((kind[0], kind[2]))
            return trio.socket.from_stdlib_socket(socket.socket(*kind))

    with listening(path):
        trio.socket.set_custom_socket_factory(Factory())
        try:
            async with await nb.open_tcp_stream("h", 1, addresses=[path]) as stream:
                assert stream.socket.family == socket.AF_UNIX
        finally:
            trio.socket.set_custom_socket_factory(None)
    assert made == [(socket.AF_UNIX, 0)]


async def test_a_simulated_network_has_none() -> None:
    with pytest.raises(nb.ConnectError) as raised:
        await nb.Connector(network=SimulatedNetwork()).open_tcp_stream("h", 1, addresses=["/run/x"])

    assert raised.value.errno == errno.EAFNOSUPPORT
