"""The program that times connects on bad networks still runs, and sees what happens on the wire."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from .namespaces import why_not
from .wire.__main__ import main
from .wire.contenders import CONTENDERS, OURS
from .wire.lab import Shot
from .wire.link import Link, Packet, Way, checksum, icmp_unreachable
from .wire.networks import FOUR, NETWORKS, SIX, Network
from .wire.report import Run, behind_the_best, cell, excused, readme, table

BY_NAME = {network.name: network for network in NETWORKS}
GOOD = NETWORKS[0]
COLUMNS = [contender for contender in CONTENDERS if contender.name in ("ours", "ours, DNS", "trio")]


def shot(contender: str, milliseconds: float, *syns: float, address: str = SIX, network: Network = GOOD) -> Shot:
    made = tuple((at, SIX) for at in syns)
    return Shot(network=network.name, contender=contender, seconds=milliseconds / 1000, address=address, syns=made)


def run(*shots: Shot, network: Network = GOOD) -> Run:
    return Run([network], COLUMNS, shots)


@pytest.mark.skipif(bool(why_not()), reason=why_not() or "there are namespaces")
def test_one_network(capfd: pytest.CaptureFixture[str]) -> None:
    """IPv6 is silent: the second attempt leaves after the attempt delay, and wins."""
    assert main(["IPv6 drops", "--only", "ours", "--repetitions", "1", "--jobs", "1"]) == 0
    milliseconds, _, delay = capfd.readouterr().out.splitlines()[2].removeprefix("IPv6 drops").strip().partition(" +")
    assert 270 <= int(milliseconds) < 2000
    assert 245 <= int(delay) < 1500


def test_the_table() -> None:
    shots = [shot("ours", 40, 0.0), *(shot("ours", at, 0.0, 0.25) for at in (80, 60)), shot("trio", 3000, address="")]
    assert table(run(*shots)) == [
        "median ms     ours  ours, DNS  trio",
        "-----------------------------------",
        "both good  60 +250          -  none",
    ]


def test_a_second_attempt_is_shown_where_most_connects_made_one() -> None:
    assert cell(GOOD, [shot("ours", 40, 0.0), shot("ours", 40, 0.0, 0.02), shot("ours", 40, 0.0)]) == "40"


def test_a_stranger_is_wrong() -> None:
    pinned = BY_NAME["hosts pins IPv4"]
    assert cell(pinned, [shot("ours", 1, address=FOUR), shot("ours", 1, address=SIX)]) == "wrong"
    assert cell(pinned, [shot("ours", 1, address=FOUR)]) == "1"


def test_behind_the_best() -> None:
    assert behind_the_best(run(shot("ours", 44, 0.0), shot("trio", 30, 0.0))) == []
    (behind,) = behind_the_best(run(shot("ours", 50, 0.0), shot("trio", 30, 0.0)))
    assert str(behind) == "both good, ours: 50, best 30 (trio)"
    (behind,) = behind_the_best(run(shot("ours", 3000, address=""), shot("trio", 30, 0.0)))
    assert str(behind) == "both good, ours: none, best 30 (trio)"


def test_behind_by_design() -> None:
    """By a shorter attempt delay than the recommended one, and by records that a peer does not ask for."""
    slower = run(shot("ours", 300, 0.0, 0.25), shot("trio", 245, 0.0, 0.2))
    assert behind_the_best(slower) == []
    assert [behind.why.partition(" ms")[0] for behind in excused(slower)] == ["trio tries the next address after 200"]
    (behind,) = behind_the_best(run(shot("ours", 400, 0.0, 0.25), shot("trio", 245, 0.0, 0.2)))
    assert behind.milliseconds == 400


def test_the_page() -> None:
    dropped = BY_NAME["TLS, HTTPS query dropped"]
    shots = [shot("ours, DNS", 100, 0.0, network=dropped), shot("trio", 50, 0.0, network=dropped)]
    page = readme(run(*shots, network=dropped))
    assert "| TLS, HTTPS query dropped | - | 100 | 50 |" in page
    assert "- *TLS, HTTPS query dropped* (**ours, DNS**): asks for HTTPS records" in page


def test_icmp_has_good_checksums() -> None:
    """The sum over all words, the checksum included, is all ones (RFC 1071), so its complement is 0."""
    ends4 = bytes((198, 51, 100, 10, 192, 0, 2, 1))
    syn4 = struct.pack("!BBHHHBBH", 0x45, 0, 40, 0, 0, 64, 6, 0) + ends4 + bytes(20)
    answer4 = icmp_unreachable(Packet(syn4))
    assert checksum(answer4[:20]) == checksum(answer4[20:]) == 0
    assert Packet(answer4).ends == ("192.0.2.1", "198.51.100.10")

    syn6 = struct.pack("!IHBB", 6 << 28, 20, 6, 64) + bytes(range(32)) + bytes(20)
    answer6 = icmp_unreachable(Packet(syn6))
    assert checksum(answer6[8:40] + struct.pack("!II", len(answer6) - 40, 58) + answer6[40:]) == 0


CLIENT, SERVERS = 1, 2
"""The devices of a link that is not there."""


def packet(protocol: int, ports: bytes, rest: bytes, *, outwards: bool = True) -> Packet:
    """A packet between the client and `FOUR`."""
    ends = [bytes((198, 51, 100, 10)), bytes((192, 0, 2, 1))]
    header = struct.pack("!BBHHHBBH", 0x45, 0, 0, 0, 0, 64, protocol, 0)
    return Packet(header + b"".join(ends if outwards else reversed(ends)) + ports + rest)


def query(name: bytes, *, additional: int = 0) -> Packet:
    return packet(17, b"\x80\0\0\x35", bytes(4) + struct.pack("!6H", 7, 256, 1, 0, 0, additional) + name)


def segment(flags: int, *, outwards: bool = True) -> Packet:
    ports = b"\x80\0\x11\x51" if outwards else b"\x11\x51\x80\0"
    return packet(6, ports, bytes(9) + bytes([flags]) + bytes(6), outwards=outwards)


def carried(way: Way, *packets: Packet) -> list[bool]:
    """Which packets arrive."""
    link = Link(CLIENT, SERVERS, {FOUR: way}, Path("unused"))
    arrived = []
    for number, one in enumerate(packets):
        link._take(one, CLIENT if one.ends[1] == FOUR else SERVERS, number, lambda _: None)
        arrived.append(any(octets == one.octets and sent == number for _, sent, _, octets in link._later))
    return arrived


SYN, ACK = 0x02, 0x10
NEXT = packet(17, b"\x80\0\0\x09", bytes(4) + b"1")


@pytest.mark.parametrize(
    ("way", "packets", "arrive"),
    [
        (Way(), [segment(SYN), query(b"a", additional=1)], [True, True]),
        (Way(drops=True), [segment(SYN)], [False]),
        (Way(loses_first_syn=True), [segment(SYN), segment(SYN)], [False, True]),
        (Way(loses_first_answer=True), [segment(SYN | ACK, outwards=False)] * 2, [False, True]),
        (Way(loses_first_query=True), [query(b"a"), query(b"b"), query(b"a")], [False, False, True]),
        (Way(loses_first_query=True), [query(b"a"), NEXT, query(b"a")], [False, False, False]),
        (Way(drops_edns=True), [query(b"a", additional=1), query(b"a"), segment(SYN)], [False, True, True]),
        (Way(longest=50), [segment(ACK), query(b"a" * 20)], [True, False]),
    ],
)
def test_what_a_way_loses(way: Way, packets: list[Packet], arrive: list[bool]) -> None:
    assert carried(way, *packets) == arrive


def test_losses_are_the_same_for_all() -> None:
    """In each turn all contenders meet the same."""
    rounds = [carried(Way(loses=0.5), NEXT, *[segment(ACK)] * 20) for _ in range(2)]
    assert rounds[0] == rounds[1]
    assert 2 < sum(rounds[0]) < 18


def test_networks_are_well_described() -> None:
    assert len(BY_NAME) == len(NETWORKS)
    for network in NETWORKS:
        assert set(network.waits) <= set(OURS)
        assert set(network.ways) <= {*network.addresses, *network.name_servers}
        assert network.hangs | network.hangs_up | network.strangers | network.full <= set(network.addresses)
