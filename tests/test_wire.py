"""The program that times connects on bad networks still runs, and sees what happens on the wire."""

from __future__ import annotations

import struct

import pytest

from .namespaces import why_not
from .wire.__main__ import behind_the_best, cell, main, table
from .wire.contenders import CONTENDERS
from .wire.lab import Shot
from .wire.link import Packet, checksum, icmp_unreachable
from .wire.networks import FOUR, NETWORKS, SIX

GOOD = NETWORKS[0]
OURS, TRIO = CONTENDERS[0], CONTENDERS[3]


def shot(contender: str, milliseconds: float, *syns: float, address: str = SIX) -> Shot:
    made = tuple((at, SIX) for at in syns)
    return Shot(network=GOOD.name, contender=contender, seconds=milliseconds / 1000, address=address, syns=made)


@pytest.mark.skipif(bool(why_not()), reason=why_not() or "there are namespaces")
def test_one_network(capfd: pytest.CaptureFixture[str]) -> None:
    """IPv6 is silent: the second attempt leaves after the attempt delay, and wins."""
    assert main(["IPv6 drops", "--only", "ours", "--repetitions", "1", "--jobs", "1"]) == 0
    milliseconds, _, delay = capfd.readouterr().out.splitlines()[2].removeprefix("IPv6 drops").strip().partition(" +")
    assert 270 <= int(milliseconds) < 2000
    assert 245 <= int(delay) < 1500


def test_the_table() -> None:
    shots = [shot("ours", 40, 0.0), shot("ours", 80, 0.0, 0.25), shot("ours", 60, 0.0), shot("trio", 3000, address="")]
    assert table([GOOD], [OURS, TRIO], shots) == [
        "median ms     ours  trio",
        "------------------------",
        "both good  60 +250  none",
    ]


def test_a_stranger_is_wrong() -> None:
    pinned = next(network for network in NETWORKS if network.name == "hosts pins IPv4")
    assert cell(pinned, [shot("ours", 1, address=FOUR), shot("ours", 1, address=SIX)]) == "wrong"
    assert cell(pinned, [shot("ours", 1, address=FOUR)]) == "1"


def test_behind_the_best() -> None:
    assert not list(behind_the_best([GOOD], [OURS, TRIO], [shot("ours", 44, 0.0), shot("trio", 30, 0.0)]))
    shots = [shot("ours", 300, 0.0, 0.25), shot("trio", 245, 0.0, 0.2)]
    assert not list(behind_the_best([GOOD], [OURS, TRIO], shots))
    late = [shot("ours", 50, 0.0), shot("trio", 30, 0.0)]
    assert list(behind_the_best([GOOD], [OURS, TRIO], late)) == ["behind: both good, ours: 50, best 30 (trio)"]


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
