"""DNS messages: what to ask, and what an answer means (RFC 1035, RFC 2308, RFC 9460).

An answer may be about another name, end in the middle, run in circles, hold addresses that no host has, or be so long
that to read it stops everything else.

Algorithm:

1. A message is the answer if it has the query's id and its question. It is passed over if not.
2. A name server that fails, refuses, refers us to others or contradicts itself has not answered: ask another one.
3. Only records at the end of the chain of CNAMEs that begins with the name count (RFC 1034, section 3.6.2).
4. Addresses that no packet may be sent to are left out, and those of the other family in disguise.
5. One malformed HTTPS record spoils its set, as RFC 9460 demands (section 2.2); there are no services then.

Names and the contents of HTTPS records are dnspython's. Refused: its `dns.message`. It takes 110 us to build one query
and read its answer, where this takes 20; it reads every record before any limit can apply, 0.2 s for 64 kB; and it
gives up a whole answer for one bad record.
"""

from __future__ import annotations

import os
import random
import socket
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import dns.exception
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rdtypes.IN.HTTPS  # or dnspython would import it in the midst of the first look-up
from dns.rdtypes.svcbbase import ParamKey, SVCBBase

from .._address import IPV4, IPV6, Address
from .._resolve.query import Service, Source
from .hedging import ServerFailed
from .services import HINTS, SERVICES, Records

TYPES = {Source.AAAA: 28, Source.A: 1, Source.HTTPS: 65, Source.SRV: 33}
_CNAME, _NS, _SOA, _OPT, _IN = 5, 2, 6, 41, 1

PAYLOAD = 1232
"""The longest datagram that would be welcome (RFC 6891, section 6.2.3); the usual number, since no datagram comes."""

PADDING = 128
"""RFC 8467, section 4.1: a client pads its queries to a multiple of this, so that their length tells nothing."""

ADDRESSES = 32
"""How many addresses of one name and family are considered. Nobody waits until the 33rd is tried, and a name server
that sends thousands would have us connect to all of them."""

RECORDS = 128
"""How many records of a section are looked at; the rest is left unread. A message of 64 kB holds thousands, and dozens
of such messages may come at the same moment."""

CNAMES = 16
"""How long a chain of CNAMEs in one message may be; the limit of dnspython and of most resolvers."""

SERVICE_OCTETS = 8192
"""How long the HTTPS records of a name may be in all; longer ones are malformed to us. Real ones have a few hundred."""

_HEADER = struct.Struct("!6H")
_RECORD = struct.Struct("!HHIH")
_RESPONSE, _OPCODE, _TRUNCATED, _RECURSION_DESIRED = 0x8000, 0x7800, 0x0200, 0x0100

_FAILURES = (dns.rcode.FORMERR, dns.rcode.SERVFAIL, dns.rcode.NOTIMP, dns.rcode.REFUSED)
"""What a server may say that does not even repeat the question."""

_KEYS = frozenset(
    {ParamKey.ALPN, ParamKey.NO_DEFAULT_ALPN, ParamKey.PORT, ParamKey.IPV4HINT, ParamKey.IPV6HINT},
)
"""The keys that we can honour where a record makes them mandatory; "ech" is none (RFC 9460, section 8)."""

_MALFORMED = (dns.exception.DNSException, struct.error, ValueError)

_NONE = Records()


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedAnswer:
    """What one answer says."""

    records: Records = _NONE
    ttl: float = 0.0
    """How many seconds it may be kept, 0 for not at all."""
    exists: bool = True
    """Whether there is such a name."""
    next_name: str = ""
    """The name to ask for next, where the answer holds the beginning of a chain only; the name itself where the chain
    has no end."""


def parse_name(name: str) -> dns.name.Name:
    """Read a name.

    Raises:
        socket.gaierror: DNS cannot have such a name (RFC 1035, section 2.3.4).
    """
    try:
        if name.isascii() and "\\" not in name:  # as nearly always; dnspython would look at each letter
            return dns.name.Name([*name.removesuffix(".").encode().split(b"."), b""])
        return dns.name.from_text(name)
    except dns.exception.DNSException as error:
        raise socket.gaierror(socket.EAI_NONAME, f"DNS cannot have such a name: {name}: {error}") from None


class Question:
    """One type of one name, as name servers are asked for it.

    Args:
        name: The name; a last dot changes nothing.
        source: The record type.

    Raises:
        socket.gaierror: DNS cannot have such a name.
    """

    __slots__ = ("_section", "name", "source")

    def __init__(self, name: str, source: Source) -> None:
        self.name = parse_name(name)
        self.source = source
        self._section = (self.name.to_wire() or b"") + struct.pack("!HH", TYPES[source], _IN)

    def to_wire(self, number: int, *, padded: bool = False) -> bytes:
        """Write a query with this id, padded by EDNS (RFC 7830, RFC 6891) or as short as it can be."""
        wire = _HEADER.pack(number, _RECURSION_DESIRED, 1, 0, 0, int(padded)) + self._section
        if not padded:
            return wire
        length = -(len(wire) + 15) % PADDING
        options = struct.pack("!HH", 12, length) + bytes(length)
        return wire + b"\0" + _RECORD.pack(_OPT, PAYLOAD, 0, len(options)) + options

    def read(self, number: int, wire: bytes) -> Reply | None:
        """Take a message for the answer to this question; None if it is not (RFC 5452, section 9.1)."""
        if len(wire) < _HEADER.size:
            return None
        found, flags, questions, answers, authority, additional = _HEADER.unpack_from(wire)
        if found != number or not flags & _RESPONSE or flags & _OPCODE:
            return None
        start, rcode = _HEADER.size, flags & 15
        if questions == 0 and rcode in _FAILURES:
            return Reply(wire, rcode, False, start, 0, 0)
        end = start + len(self._section)
        repeated = wire[start:end]
        if questions != 1 or repeated[-4:] != self._section[-4:] or repeated.lower() != self._section.lower():
            return None
        return Reply(wire, rcode, bool(flags & _TRUNCATED), end, answers, authority + additional)


def new_id() -> int:
    """RFC 5452, section 9.2: "use an unpredictable query ID"."""
    return int.from_bytes(os.urandom(2), "big")


@dataclass(frozen=True, slots=True)
class Reply:
    """A message that answers a question, its records not yet read."""

    wire: bytes
    rcode: int
    truncated: bool
    start: int
    """Where its records begin."""
    answers: int
    others: int
    """How many records there are in the answer section, and how many behind it."""


@dataclass(slots=True)
class _Section:
    """The records of an answer section that could be of use."""

    aliases: dict[dns.name.Name, tuple[dns.name.Name, int]]
    data: dict[dns.name.Name, list[tuple[int, int, int]]]
    """For each name, the TTL of each record and where its data begins and ends."""
    end: int


def parse_answer(question: Question, reply: Reply, rng: random.Random) -> ParsedAnswer:
    """Find what was asked for.

    Args:
        question: What was asked.
        reply: What came back.
        rng: What decides between several aliases.

    Raises:
        socket.gaierror: Another server may know better.
    """
    if reply.rcode == dns.rcode.SERVFAIL:
        raise ServerFailed(socket.EAI_AGAIN, "SERVFAIL")
    if reply.rcode not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
        raise _again(dns.rcode.to_text(dns.rcode.Rcode.make(reply.rcode)))
    try:
        section = _answer_section(question, reply)
        return _at_the_end(question, reply, section, rng)
    except _MALFORMED:
        if question.source is Source.HTTPS:
            return ParsedAnswer()
        raise _again("the answer is malformed") from None


def _again(why: str) -> socket.gaierror:
    return socket.gaierror(socket.EAI_AGAIN, why)


def _walk(
    question: Question, wire: bytes, start: int, count: int
) -> Iterator[tuple[dns.name.Name, int, int, int, int, int]]:
    """Pass over records; give owner, type, class, TTL and where the data begins and ends."""
    for _ in range(count):
        if wire[start : start + 2] == b"\xc0\x0c":  # the name in the question, as nearly always
            owner, length = question.name, 2
        else:
            owner, length = dns.name.from_wire(wire, start)
        start += length
        kind, class_, ttl, length = _RECORD.unpack_from(wire, start)
        start += _RECORD.size
        end = start + length
        if end > len(wire):
            raise dns.exception.FormError
        yield owner, kind, class_, ttl, start, end
        start = end


def _answer_section(question: Question, reply: Reply) -> _Section:
    kind_asked = TYPES[question.source]
    section = _Section({}, {}, reply.start)
    for owner, kind, class_, ttl, start, end in _walk(question, reply.wire, reply.start, min(reply.answers, RECORDS)):
        section.end = end
        ttl = ttl if ttl < 1 << 31 else 0  # noqa: PLW2901 - RFC 2181, section 8
        if class_ != _IN:
            continue
        if kind == kind_asked:
            section.data.setdefault(owner, []).append((ttl, start, end))
        elif kind == _CNAME:
            section.aliases.setdefault(owner, (dns.name.from_wire(reply.wire, start)[0], ttl))
    return section


def _at_the_end(question: Question, reply: Reply, section: _Section, rng: random.Random) -> ParsedAnswer:
    """Follow the chain of CNAMEs and read what stands at its end."""
    name, ttl, steps = question.name, 1 << 31, 0
    data = section.data.get(name)
    while data is None and name in section.aliases:
        name, ttl_here = section.aliases[name]
        data = section.data.get(name)
        ttl = min(ttl, ttl_here)
        steps += 1
        if steps > CNAMES:
            return ParsedAnswer(next_name=_text(question.name))
    if reply.rcode == dns.rcode.NXDOMAIN and section.data:
        raise _again("the answer contradicts itself")
    if data is not None:
        return ParsedAnswer(
            records=_records(question.source, reply.wire, data, rng), ttl=min(ttl, *(ttl for ttl, _, _ in data))
        )
    negative_ttl = _negative_ttl(question, reply, section.end)
    if reply.rcode == dns.rcode.NXDOMAIN:
        return ParsedAnswer(exists=False, ttl=0.0 if negative_ttl is None else min(ttl, negative_ttl))
    if steps and negative_ttl is None:
        return ParsedAnswer(next_name=_text(name), ttl=ttl)
    return ParsedAnswer(ttl=0.0 if negative_ttl is None else min(ttl, negative_ttl))


def _negative_ttl(question: Question, reply: Reply, start: int) -> int | None:
    """RFC 2308, section 5: the lesser of SOA.MINIMUM and the SOA's TTL; None without an SOA."""
    if reply.answers > RECORDS:
        return None
    refers = False
    for _, kind, _, ttl, _, end in _walk(question, reply.wire, start, min(reply.others, RECORDS)):
        if kind == _SOA:
            (minimum,) = struct.unpack_from("!I", reply.wire, end - 4)
            return min(ttl if ttl < 1 << 31 else 0, int(minimum))
        if kind == _OPT and ttl >> 24:
            raise _again(f"extended RCODE {ttl >> 24 << 4 | reply.rcode}")  # RFC 6891, section 6.1.3
        refers |= kind == _NS
    if refers and not reply.answers:
        raise _again("the answer refers to other name servers")  # RFC 2308, section 2.2
    return None


def _records(source: Source, wire: bytes, data: list[tuple[int, int, int]], rng: random.Random) -> Records:
    if source is Source.HTTPS:
        return _services(wire, data, rng)
    if source is Source.SRV:
        return Records(services=tuple(_srv(wire, start) for _, start, _ in data))
    family, length = (IPV6, 16) if source is Source.AAAA else (IPV4, 4)
    addresses: dict[str, None] = {}
    for _, start, end in data:
        if end - start != length:
            raise dns.exception.FormError
        packed = wire[start:end]
        if _is_reachable(packed) and len(addresses) < ADDRESSES:
            addresses[socket.inet_ntop(family, packed)] = None
    return Records(addresses=tuple(addresses))


def _is_reachable(packed: bytes) -> bool:
    """RFC 4291, sections 2.5.2, 2.5.5.2 and 2.7; RFC 1122, section 3.2.1.3: not unspecified, mapped or multicast."""
    if len(packed) == 4:
        return packed != bytes(4) and packed[0] >> 4 != 14
    return packed != bytes(16) and packed[0] != 255 and packed[:12] != _MAPPED


_MAPPED = bytes(10) + b"\xff\xff"


def _services(wire: bytes, data: list[tuple[int, int, int]], rng: random.Random) -> Records:
    if sum(end - start for _, start, end in data) > SERVICE_OCTETS:
        return _NONE
    found, aliases = [], []
    for _, start, end in sorted(data, key=lambda one: wire[one[1] : one[1] + 2])[: 2 * SERVICES]:  # by priority
        if wire[start : start + 2] == b"\0\0":  # RFC 9460, section 2.4.2: parameters of an alias "MUST" be ignored
            target, length = dns.name.from_wire(wire, start + 2)
            if start + 2 + length > end:
                raise dns.exception.FormError
            aliases.append(_text(target))
            continue
        record = dns.rdata.from_wire(dns.rdataclass.IN, dns.rdatatype.HTTPS, wire, start, end - start)
        assert isinstance(record, SVCBBase)
        found.append(record)
    if aliases:  # RFC 9460, section 2.4.1: ServiceMode records beside one "MUST" be ignored; several: one "at random"
        return Records(alias=rng.choice(aliases))
    return Records(services=tuple(_service(record) for record in found if _can_be_honoured(record)))


def _srv(wire: bytes, start: int) -> Service:
    """RFC 2782: priority, weight, port and target, which is "." where the service is not available."""
    priority, weight, port = struct.unpack_from("!HHH", wire, start)
    target = _text(dns.name.from_wire(wire, start + 6)[0])
    return Service(priority=priority, weight=weight, port=port, target=target or ".")


def _can_be_honoured(record: SVCBBase) -> bool:
    """RFC 9460, section 8: a record with a mandatory key that we do not implement is not for us."""
    mandatory = record.params.get(ParamKey.MANDATORY)
    return mandatory is None or _KEYS.issuperset(mandatory.keys)


def _service(record: SVCBBase) -> Service:
    params = record.params
    alpn = params.get(ParamKey.ALPN)
    protocols = [protocol.decode("ascii", "backslashreplace") for protocol in alpn.ids] if alpn else []
    if ParamKey.NO_DEFAULT_ALPN not in params and "http/1.1" not in protocols:
        protocols.append("http/1.1")  # section 9.5: the default of HTTPS
    port = params.get(ParamKey.PORT)
    hints6, hints4 = params.get(ParamKey.IPV6HINT), params.get(ParamKey.IPV4HINT)
    return Service(
        priority=record.priority,
        target=_text(record.target),
        port=port.port if port else None,
        alpn=tuple(protocols),
        hints=(*_hints(IPV6, hints6.addresses if hints6 else ()), *_hints(IPV4, hints4.addresses if hints4 else ())),
        ech=ParamKey.ECH in params,
    )


def _hints(family: socket.AddressFamily, addresses: Sequence[str]) -> list[Address]:
    """RFC 9460, section 7.3; the port is the service's, or the host's, which this record does not know.

    A record from outside does not point to this machine: loopback addresses are left out.
    """
    hints = [Address(family, address, 0) for address in addresses[:HINTS]]
    return [hint for hint in hints if _is_reachable(socket.inet_pton(family, hint.host)) and not hint.is_loopback]


def _text(name: dns.name.Name) -> str:
    """A name as we write it: lower case, no last dot, and so nothing for the root."""
    return name.to_text(omit_final_dot=True).lower().removesuffix(".")
