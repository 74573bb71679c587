"""The kernel's round-trip time, on real loopback."""

from __future__ import annotations

import math
import socket
import struct
import sys
import time
from typing import Any

import pytest
import trio

from trio_nbconnect import Address, Connector
from trio_nbconnect._address import IPV4, IPV6
from trio_nbconnect._connect.network import KernelNetwork, round_trip_time, syn_retransmissions
from trio_nbconnect._resolve.history import History
from trio_nbconnect.testing import SimulatedNetwork

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it reads the structure of Linux")


@pytest.mark.parametrize(
    ("family", "host"), [(IPV4, "127.0.0.1"), pytest.param(IPV6, "::1", marks=pytest.mark.needs_ipv6)]
)
def test_the_kernel_knows_how_long_a_handshake_took(family: socket.AddressFamily, host: str) -> None:
    """Loopback takes microseconds; a second would be another unit, or another field."""
    with socket.create_server((host, 0), family=family) as listener, socket.socket(family) as sock:
        sock.connect(listener.getsockname())

        rtt = KernelNetwork().round_trip_time(sock)

    assert rtt is not None
    assert 0 < rtt < 1


def test_the_field_is_the_round_trip_time_and_not_its_neighbour() -> None:
    """tcp_info, 8 bytes and 15 numbers in: `tcpi_rtt`; the next one, `tcpi_rttvar`, is half of it after one sample."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as sock:
        sock.connect(listener.getsockname())

        rtt = round_trip_time(sock)
        variance = int.from_bytes(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 76)[72:], sys.byteorder) / 1e6

    assert rtt is not None
    assert variance == pytest.approx(rtt / 2, abs=1e-6)


def test_the_fields_are_where_linux_has_them() -> None:
    """linux/tcp.h, `struct tcp_info`: 8 bytes, and then numbers of 32 bits.

    The 16th is `tcpi_rtt`, in microseconds; the 24th `tcpi_total_retrans`.
    """
    info = bytes(8) + struct.pack("24I", *range(1001, 1025))

    class Sock(socket.socket):
        def getsockopt(self, level: int, option: int, length: int = 0, /) -> Any:
            assert (level, option) == (socket.IPPROTO_TCP, socket.TCP_INFO)
            return info[:length]

    with Sock() as sock:
        assert round_trip_time(sock) == pytest.approx(1016e-6)
        assert syn_retransmissions(sock) == 1024


def test_before_the_handshake_there_is_none() -> None:
    with socket.socket() as sock:
        assert round_trip_time(sock) is None


def test_no_other_socket_has_one() -> None:
    first, second = socket.socketpair()
    with first, second, socket.socket(type=socket.SOCK_DGRAM) as datagrams:
        assert [round_trip_time(sock) for sock in (first, datagrams)] == [None, None]


def test_a_closed_socket_has_none() -> None:
    sock = socket.socket()
    sock.close()
    assert round_trip_time(sock) is None


async def test_a_race_takes_it_down() -> None:
    """RFC 8305, section 4: "a history of expected round-trip times"; what the kernel says, not what our clock says."""
    history = History(explore_every=math.inf)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with await Connector(history=history).open_tcp_stream(*listener.getsockname()) as stream:
            measured = round_trip_time(stream.socket)

    view = history.view(time.time())
    assert view is not None
    assert view.rtt(Address(IPV4, "127.0.0.1", 443)) == measured
    assert view.used(Address(IPV4, "127.0.0.1", 443))


@pytest.mark.virtual_time
@pytest.mark.parametrize(("takes", "known"), [(0.300, 0.300), (1.0, None), (1.200, None)])
async def test_where_the_network_does_not_say_the_handshake_does(takes: float, known: float | None) -> None:
    """RFC 6298, section 3: no sample "of a retransmitted segment"; after a second (2.1) the SYN was sent again."""
    net = SimulatedNetwork()
    net.host("192.0.2.1").accepts(after=takes)
    history = History(explore_every=math.inf)
    await trio.sleep(128)  # most races do not begin at 0

    stream = await Connector(network=net, history=history).open_tcp_stream("192.0.2.1", 443)

    view = history.view(time.time())
    assert view is not None
    assert view.rtt(Address(IPV4, "192.0.2.1", 443)) == (known if known is None else pytest.approx(known))
    assert view.used(Address(IPV4, "192.0.2.1", 443))
    await stream.aclose()
