"""Link: two TUN devices with a slow and lossy network between them, in user space.

Linux's netem is not there in every kernel, and cannot say "the first SYN to this address is lost". So packets of the
client's network namespace are read from one TUN device and written to another one in the servers' namespace, as late
as the way to the address takes, if at all. Every first SYN is logged: what an attempt delay is on the wire, and not
what somebody says of himself.
"""

from __future__ import annotations

import fcntl
import heapq
import json
import os
import random
import select
import socket
import struct
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
_TCP, _UDP, _ICMP, _ICMP6 = 6, 17, 1, 58

NEXT_CONNECT = 9
"""A datagram to this port goes nowhere: it says that another connect begins, and which losses it is to meet."""


@dataclass(frozen=True, kw_only=True)
class Way:
    """The way to one address, and back."""

    delay: float = 0.010
    """Seconds for one direction."""
    drops: bool = False
    """Nothing arrives."""
    longest: int = 1500
    """Longer packets vanish without a word: a path MTU black hole."""
    loses_first_syn: bool = False
    """The first SYN of each connection is lost, the second arrives a second later."""
    loses_first_answer: bool = False
    """The first SYN-ACK of each connection is lost."""
    loses_first_query: bool = False
    """Each DNS query is lost when it is asked the first time."""
    unreachable: bool = False
    """A router answers with ICMP: no way to that host."""
    drops_edns: bool = False
    """A firewall drops DNS queries that have an OPT record."""
    loses: float = 0.0
    """The share of the packets that is lost."""
    jitter: float = 0.0
    """Seconds that a packet may take longer, so that the next one overtakes it."""
    doubles: bool = False
    """Each packet arrives twice."""


@dataclass(frozen=True)
class Packet:
    """An IPv4 or IPv6 packet, as far as this needs to read it."""

    octets: bytes

    @property
    def is_ipv6(self) -> bool:
        """Whether it is; else it is IPv4."""
        return self.octets[0] >> 4 == 6

    @property
    def ends(self) -> tuple[str, str]:
        """The addresses it comes from and goes to."""
        if self.is_ipv6:
            source, target = self.octets[8:24], self.octets[24:40]
            return socket.inet_ntop(socket.AF_INET6, source), socket.inet_ntop(socket.AF_INET6, target)
        return socket.inet_ntoa(self.octets[12:16]), socket.inet_ntoa(self.octets[16:20])

    @property
    def protocol(self) -> int:
        """The number of the next protocol; no extension headers are expected."""
        return self.octets[6 if self.is_ipv6 else 9]

    @property
    def payload(self) -> bytes:
        """What the packet carries."""
        return self.octets[40 if self.is_ipv6 else (self.octets[0] & 15) * 4 :]

    @property
    def opens(self) -> int | None:
        """The source port, if this is the first packet of a TCP handshake with anybody but a name server."""
        payload = self.payload
        if self.protocol != _TCP or payload[13] & 0x12 != 0x02 or payload[2:4] == b"\0\x35":
            return None
        return int.from_bytes(payload[:2], "big")

    @property
    def answers(self) -> int | None:
        """The target port, if this is the second packet of a TCP handshake."""
        payload = self.payload
        if self.protocol != _TCP or payload[13] & 0x12 != 0x12:
            return None
        return int.from_bytes(payload[2:4], "big")

    def datagram_to(self, port: int) -> bytes:
        """What a datagram to this port holds; nothing if it is none."""
        payload = self.payload
        return payload[8:] if self.protocol == _UDP and int.from_bytes(payload[2:4], "big") == port else b""

    @property
    def has_edns(self) -> bool:
        """Whether this is a DNS query with additional records."""
        return self.datagram_to(53)[10:12] not in (b"", b"\0\0")


def open_tun(name: str) -> int:
    """Make a TUN device in this network namespace, and return its descriptor."""
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TUN | _IFF_NO_PI))
    return device


@dataclass
class Link:
    """What carries packets between two devices, for ever.

    Args:
        client: The descriptor of the client's device.
        servers: That of the servers'.
        ways: How the way to an address is; others are ordinary.
        log: Where first SYNs are written, a line of JSON each: when, and to whom.
    """

    client: int
    servers: int
    ways: Mapping[str, Way]
    log: Path
    _later: list[tuple[float, int, int, bytes]] = field(default_factory=list)
    _opened: set[tuple[str, int]] = field(default_factory=set)
    _answered: set[tuple[str, int]] = field(default_factory=set)
    _asked: set[bytes] = field(default_factory=set)
    _rng: random.Random = field(default_factory=random.Random)

    def carry(self) -> NoReturn:
        """Carry packets."""
        with self.log.open("a", encoding="utf-8", buffering=1) as log:
            for number in range(sys.maxsize):
                wait = max(0.0, self._later[0][0] - time.monotonic()) if self._later else None
                for device in select.select([self.client, self.servers], [], [], wait)[0]:
                    octets = os.read(device, 65536)
                    if octets[0] >> 4 in (4, 6):
                        self._take(Packet(octets), device, number, lambda entry: log.write(json.dumps(entry) + "\n"))
                while self._later and self._later[0][0] <= time.monotonic():
                    _, _, device, octets = heapq.heappop(self._later)
                    os.write(device, octets)
        raise AssertionError

    def _take(self, packet: Packet, device: int, number: int, log: Callable[[object], object]) -> None:
        if losses := packet.datagram_to(NEXT_CONNECT):
            self._asked.clear()
            self._rng.seed(losses)
            return
        source, target = packet.ends
        outwards = device == self.client
        remote = target if outwards else source
        way = self.ways.get(remote, Way())
        port = packet.opens if outwards else None
        is_first = port is not None and (target, port) not in self._opened
        if port is not None and is_first:
            self._opened.add((target, port))
            log([time.monotonic(), target])
        if way.unreachable and outwards:
            self._send(self.client, icmp_unreachable(packet), 2 * way.delay, number)
        elif not (is_first and way.loses_first_syn) and not self._is_lost(packet, way, outwards):
            for _ in range(1 + way.doubles):
                later = way.delay + self._rng.uniform(0, way.jitter)
                self._send(self.servers if outwards else self.client, packet.octets, later, number)

    def _is_lost(self, packet: Packet, way: Way, outwards: bool) -> bool:
        if way.drops or len(packet.octets) > way.longest or self._rng.random() < way.loses:
            return True
        if outwards:
            is_lost = way.loses_first_query and self._is_new(packet.datagram_to(53)[2:])
            return is_lost or (way.drops_edns and packet.has_edns)
        return way.loses_first_answer and self._is_first_answer(packet)

    def _is_new(self, query: bytes) -> bool:
        """Whether this connect has not asked this yet."""
        is_new = bool(query) and query not in self._asked
        self._asked.add(query)
        return is_new

    def _is_first_answer(self, packet: Packet) -> bool:
        port = packet.answers
        end = packet.ends[0], port or 0
        is_first = port is not None and end not in self._answered
        self._answered.add(end)
        return is_first

    def _send(self, device: int, octets: bytes, after: float, number: int) -> None:
        heapq.heappush(self._later, (time.monotonic() + after, number, device, octets))


def icmp_unreachable(packet: Packet) -> bytes:
    """Say that a host cannot be reached, as a router does (RFC 792; RFC 4443, section 3.1)."""
    source, target = packet.ends
    quoted = packet.octets[:512]
    if not packet.is_ipv6:
        message = struct.pack("!BBHI", 3, 1, 0, 0) + quoted
        message = message[:2] + struct.pack("!H", checksum(message)) + message[4:]
        header = struct.pack(
            "!BBHHHBBH4s4s", 0x45, 0, 20 + len(message), 0, 0, 64, _ICMP, 0, *map(socket.inet_aton, (target, source))
        )
        return header[:10] + struct.pack("!H", checksum(header)) + header[12:] + message
    ends = b"".join(socket.inet_pton(socket.AF_INET6, address) for address in (target, source))
    message = struct.pack("!BBHI", 1, 3, 0, 0) + quoted
    pseudo = ends + struct.pack("!II", len(message), _ICMP6)
    message = message[:2] + struct.pack("!H", checksum(pseudo + message)) + message[4:]
    return struct.pack("!IHBB", 6 << 28, len(message), _ICMP6, 64) + ends + message


def checksum(octets: bytes) -> int:
    """RFC 1071."""
    octets += b"\0" * (len(octets) % 2)
    total: int = sum(struct.unpack(f"!{len(octets) // 2}H", octets))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
