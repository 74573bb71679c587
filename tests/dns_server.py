"""Name servers for tests: a script of which answers come, when, and how broken.

A `Zone` is the script. `ScriptedServer` follows it without any socket, in virtual time; `serve` follows it on loopback,
over UDP and TCP, in the test's nursery.
"""

from __future__ import annotations

import math
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import trio

from trio_nbconnect._dns.hedging import Exchange
from trio_nbconnect._dns.message import Question, Reply

Answering = Callable[[dns.message.Message, bytes], Sequence[bytes]]
"""What becomes of an answer, by the query."""

Mangle = Callable[[bytes], Sequence[bytes]]
"""What becomes of an answer on its way: other bytes, several of them, or none."""


@dataclass(frozen=True, kw_only=True)
class Saying:
    """What is said of one type of a name."""

    answer: tuple[dns.rrset.RRset, ...] = ()
    authority: tuple[dns.rrset.RRset, ...] = ()
    rcode: str = "NOERROR"
    after: float = 0.0
    mangle: Mangle | None = None
    truncated: bool = False
    """Whether UDP brings an empty answer that says that there is more."""

    def wires(self, query: dns.message.Message, *, udp: bool) -> Sequence[bytes]:
        """The messages that answer a query."""
        response = dns.message.make_response(query)
        response.set_rcode(dns.rcode.from_text(self.rcode))
        response.authority.extend(self.authority)
        if udp and self.truncated:
            response.flags |= dns.flags.TC
        else:
            response.answer.extend(self.answer)
        wire = response.to_wire(max_size=65535)
        return [wire] if self.mangle is None else self.mangle(wire)


@dataclass
class Zone:
    """What all names are said to be; nothing said, there is no such name."""

    queries: list[tuple[str, str, str]] = field(default_factory=list)
    """Who was asked for what, and how: `udp`, `tcp` or `virtual`."""
    times: list[float] = field(default_factory=list)
    """When each of them came."""
    _sayings: dict[tuple[str, str], Saying] = field(default_factory=dict)
    _answering: Answering | None = None
    _curious: trio.lowlevel.ParkingLot = field(default_factory=trio.lowlevel.ParkingLot)

    def says(
        self,
        name: str,
        kind: str,
        *records: str,
        rcode: str = "NOERROR",
        after: float = 0.0,
        soa: str = "",
        mangle: Mangle | None = None,
        truncated: bool = False,
    ) -> None:
        """Say what the answer to one question is; the records are lines of a zone file."""
        self._sayings[name, kind] = Saying(
            answer=parse(*records),
            authority=parse(soa) if soa else (),
            rcode=rcode,
            after=after,
            mangle=mangle,
            truncated=truncated,
        )

    def asked(self, query: dns.message.Message, way: str) -> Saying:
        """Find out what is to be said."""
        (question,) = query.question
        name = question.name.to_text(omit_final_dot=True).lower()
        kind = dns.rdatatype.to_text(question.rdtype)
        self.queries.append((name, kind, way))
        self.times.append(trio.current_time())
        self._curious.unpark_all()
        saying = self._sayings.get((name, kind), Saying(rcode="NXDOMAIN"))
        if self._answering is None:
            return saying
        answering = self._answering
        return replace(saying, mangle=lambda wire: answering(query, wire))

    def answers_by(self, answering: Answering) -> None:
        """Change every answer, by its query."""
        self._answering = answering

    async def wait_for(self, count: int, way: str) -> None:
        """Wait until so many queries have come this way."""
        while sum(came == way for _, _, came in self.queries) < count:
            await self._curious.park()

    def count(self, kind: str) -> int:
        """How often a type was asked for."""
        return sum(asked == kind for _, asked, _ in self.queries)


def parse(*records: str) -> tuple[dns.rrset.RRset, ...]:
    """Read lines of a zone file, `name 300 IN A 192.0.2.1`; records of one name and type become one set."""
    sets: dict[tuple[str, str], dns.rrset.RRset] = {}
    for record in records:
        name, ttl, _, kind, data = record.split(maxsplit=4)
        found = dns.rrset.from_text(name, int(ttl), "IN", kind, data)
        sets.setdefault((name, kind), found).add(found[0])
    return tuple(sets.values())


def lost(wire: bytes) -> Sequence[bytes]:
    """The answer does not arrive."""
    return []


def wrong_id(wire: bytes) -> bytes:
    """Make an answer to another query of it."""
    return bytes([wire[0] ^ 0xFF]) + wire[1:]


def wrong_question(wire: bytes) -> bytes:
    """Make an answer to another question of it."""
    return wire.replace(b"\x07example", b"\x07elpmaxe")


@dataclass(frozen=True)
class ScriptedServer:
    """A name server without a socket: time is all that passes."""

    zone: Zone = field(hash=False, compare=False)
    label: str = "scripted"
    over_ipv6: bool = True
    encrypted: bool = False
    slower: float = 0.0
    """Seconds more than the zone says; infinite, and it is silent."""

    def send(self, question: Question) -> Exchange[Reply]:
        """Be a `Server`."""
        query = dns.message.from_wire(question.to_wire(1, padded=self.encrypted))
        return ScriptedExchange(self, question, query, self.zone.asked(query, self.label))


@dataclass
class ScriptedExchange:
    """One query to a scripted server."""

    server: ScriptedServer
    question: Question
    query: dns.message.Message
    saying: Saying
    resumable = True
    _until: float = field(init=False)

    def __post_init__(self) -> None:
        self._until = trio.current_time() + self.saying.after + self.server.slower

    async def answer(self) -> Reply:
        """Wait until it is time, however often it is asked."""
        await trio.sleep_until(self._until)
        for wire in self.saying.wires(self.query, udp=False):
            reply = self.question.read(1, wire)
            if reply is not None:
                return reply
        await trio.sleep(math.inf)
        raise AssertionError

    def close(self) -> None:
        """Nothing is open."""


@asynccontextmanager
async def serve(zone: Zone, host: str = "127.0.0.1") -> AsyncIterator[int]:
    """Serve a zone on loopback, over UDP and TCP, and yield the port."""
    datagrams, listener = await _bound(host)
    with datagrams:
        async with listener, trio.open_nursery() as nursery:
            nursery.start_soon(_serve_datagrams, zone, datagrams)
            nursery.start_soon(partial(trio.serve_listeners, partial(_serve_stream, zone), [listener]))
            yield datagrams.getsockname()[1]
            nursery.cancel_scope.cancel()


async def _bound(host: str) -> tuple[trio.socket.SocketType, trio.SocketListener]:
    """Find a port that is free for both."""
    while True:
        (listener,) = await trio.open_tcp_listeners(0, host=host)
        datagrams = trio.socket.socket(listener.socket.family, trio.socket.SOCK_DGRAM)
        try:
            await datagrams.bind((host, listener.socket.getsockname()[1]))
        except OSError:
            datagrams.close()
            await listener.aclose()
        else:
            return datagrams, listener


async def _serve_datagrams(zone: Zone, sock: trio.socket.SocketType) -> None:
    async with trio.open_nursery() as nursery:
        while True:
            wire, client = await sock.recvfrom(65535)
            nursery.start_soon(_answer_datagram, zone, sock, wire, client)


async def _answer_datagram(zone: Zone, sock: trio.socket.SocketType, wire: bytes, client: tuple[object, ...]) -> None:
    query = dns.message.from_wire(wire)
    saying = zone.asked(query, "udp")
    await trio.sleep(saying.after)
    for answer in saying.wires(query, udp=True):
        await sock.sendto(answer, client)


async def _serve_stream(zone: Zone, stream: trio.abc.Stream) -> None:
    """Answer one query and wait for the client to hang up; an empty message means that the server does so first."""
    async with stream:
        try:
            wire = await _read_exactly(stream, int.from_bytes(await _read_exactly(stream, 2), "big"))
            query = dns.message.from_wire(wire)
            saying = zone.asked(query, "tcp")
            await trio.sleep(saying.after)
            for answer in saying.wires(query, udp=False):
                if not answer:
                    return
                await stream.send_all(len(answer).to_bytes(2, "big") + answer)
            await stream.receive_some(1)
        except (trio.BrokenResourceError, EOFError):
            return


async def _read_exactly(stream: trio.abc.ReceiveStream, count: int) -> bytes:
    received = b""
    while len(received) < count:
        chunk = await stream.receive_some(count - len(received))
        if not chunk:
            raise EOFError
        received += chunk
    return received


@asynccontextmanager
async def serve_tls(zone: Zone, context: ssl.SSLContext, *, http: bool = False) -> AsyncIterator[int]:
    """Serve a zone over TLS, or over HTTPS, and yield the port."""
    handle = _serve_http if http else _serve_stream
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(
            partial(trio.serve_ssl_over_tcp, partial(handle, zone), 0, context, host="127.0.0.1", https_compatible=True)
        )
        yield listeners[0].transport_listener.socket.getsockname()[1]
        nursery.cancel_scope.cancel()


async def _serve_http(zone: Zone, stream: trio.abc.Stream) -> None:
    """Answer one POST of HTTP/1.1; an empty message is an error of the server."""
    async with stream:
        try:
            request = b""
            while b"\r\n\r\n" not in request:
                request += await _read_exactly(stream, 1)
            (length,) = (line.split()[1] for line in request.lower().splitlines() if line.startswith(b"content-length"))
            query = dns.message.from_wire(await _read_exactly(stream, int(length)))
            saying = zone.asked(query, "https")
            await trio.sleep(saying.after)
            (answer,) = saying.wires(query, udp=False)
            status = b"200 OK" if answer else b"500 Internal Server Error"
            head = b"HTTP/1.1 %s\r\nContent-Type: application/dns-message\r\nContent-Length: %d\r\n\r\n"
            await stream.send_all(head % (status, len(answer)) + answer)
            await stream.receive_some(1)
        except (trio.BrokenResourceError, EOFError):
            return


def slower(zone: Zone, name: str, kind: str, after: float) -> None:
    """Change when something is said."""
    zone._sayings[name, kind] = replace(zone._sayings[name, kind], after=after)
