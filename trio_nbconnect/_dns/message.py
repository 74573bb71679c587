"""DNS messages: what to ask, and what an answer means (RFC 1035, RFC 2308, RFC 9460).

The problem: an answer is what somebody else sent. It may be about another name, end in the middle, run in circles or
promise addresses that nobody has.

How we solve it: dnspython takes messages apart; what we do with the parts is here, and distrusts them.

1. A message is the answer if it has the query's id and its question. It is passed over if not.
2. A name server that fails, refuses, refers us to others or contradicts itself has not answered: ask another one.
3. Only records at the end of the chain of CNAMEs that begins with the name count (RFC 1034, section 3.6.2).
4. Addresses that no packet may be sent to are left out, and those of the other family in disguise.
5. One malformed HTTPS record spoils its set, as RFC 9460 demands (section 2.2); there are no services then.

What lives here: pure functions over messages. What does not: sockets, the cache, and the steps from name to name.
"""

from __future__ import annotations

import ipaddress
import random
import socket
from collections.abc import Sequence
from dataclasses import dataclass

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rdtypes.svcbbase
import dns.rrset
from dns.message import Message, QueryMessage
from dns.rdtypes.svcbbase import ParamKey

from .._address import IPV4, IPV6, Address
from .._resolve.query import Service, Source
from .services import Records

TYPES = {
    Source.AAAA: dns.rdatatype.AAAA,
    Source.A: dns.rdatatype.A,
    Source.HTTPS: dns.rdatatype.HTTPS,
}

PAYLOAD = 1232
"""What fits into one packet everywhere: 1280 octets (RFC 8200, section 5) without the headers of IPv6 and UDP."""

PADDING = 128
"""RFC 8467, section 4.1: a client pads its queries to a multiple of this, so that their length tells nothing."""

_KEYS = frozenset(
    {ParamKey.ALPN, ParamKey.NO_DEFAULT_ALPN, ParamKey.PORT, ParamKey.IPV4HINT, ParamKey.IPV6HINT},
)
"""The keys that we can honour where a record makes them mandatory; "ech" is none (RFC 9460, section 8)."""


_NONE = Records()


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedAnswer:
    """What one answer tells."""

    records: Records = _NONE
    ttl: float = 0.0
    """How many seconds it may be kept, 0 for not at all."""
    exists: bool = True
    """Whether there is such a name."""
    next_name: str = ""
    """The name to ask for next, where the answer holds the beginning of a chain only."""


def parse_name(name: str) -> dns.name.Name:
    """Read a name.

    Raises:
        socket.gaierror: DNS cannot have such a name (RFC 1035, section 2.3.4).
    """
    try:
        return dns.name.from_text(name)
    except dns.exception.DNSException as error:
        raise socket.gaierror(socket.EAI_NONAME, f"DNS cannot have such a name: {name}: {error}") from None


def make_query(name: dns.name.Name, source: Source, *, encrypted: bool, edns: bool = True) -> QueryMessage:
    """Ask for one type of a name."""
    use_edns, padding = (0, PADDING if encrypted else 0) if edns else (False, 0)
    return dns.message.make_query(name, TYPES[source], use_edns=use_edns, payload=PAYLOAD, pad=padding)


def read(query: QueryMessage, wire: bytes) -> Message | None:
    """Take a message apart; None if it is not the answer to the query."""
    try:
        message = dns.message.from_wire(wire, continue_on_error=True)
    except (dns.exception.DNSException, ValueError):  # an operation code that does not exist
        return None
    return message if query.is_response(message) else None


def check(message: Message) -> None:
    """Pass over a server that has not answered.

    Raises:
        OSError: Another server may know better.
    """
    code = message.rcode()
    if code not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
        raise _again(dns.rcode.to_text(code))
    if message.errors and message.question[0].rdtype != dns.rdatatype.HTTPS:
        raise _again("the answer is malformed")
    types = {records.rdtype for records in message.authority}
    if not message.answer and dns.rdatatype.NS in types and dns.rdatatype.SOA not in types:
        raise _again("the answer refers to other name servers")  # RFC 2308, section 2.2
    if code == dns.rcode.NXDOMAIN and any(records.rdtype in TYPES.values() for records in message.answer):
        raise _again("the answer contradicts itself")


def _again(why: str) -> socket.gaierror:
    return socket.gaierror(socket.EAI_AGAIN, why)


def find(message: QueryMessage, source: Source, rng: random.Random) -> ParsedAnswer:
    """Find what was asked for.

    Raises:
        socket.gaierror: The chain of CNAMEs has no end.
    """
    if message.errors:
        return ParsedAnswer()
    try:
        chain = message.resolve_chaining()
    except dns.exception.DNSException as error:
        name = message.question[0].name.to_text(omit_final_dot=True)
        raise socket.gaierror(socket.EAI_FAIL, f"the aliases of {name} lead nowhere: {error}") from None
    if chain.answer is not None:
        return ParsedAnswer(records=_records(chain.answer, source, rng), ttl=chain.minimum_ttl)
    told = any(records.rdtype == dns.rdatatype.SOA for records in message.authority)
    if message.rcode() == dns.rcode.NXDOMAIN:
        return ParsedAnswer(exists=False, ttl=chain.minimum_ttl if told else 0.0)
    if chain.cnames and not told:
        return ParsedAnswer(next_name=_text(chain.canonical_name), ttl=min(cname.ttl for cname in chain.cnames))
    return ParsedAnswer(ttl=chain.minimum_ttl if told else 0.0)  # RFC 2308, section 5: no SOA, no cache


def _records(found: dns.rrset.RRset, source: Source, rng: random.Random) -> Records:
    if source is not Source.HTTPS:
        return Records(addresses=tuple(filter(_is_reachable, (record.address for record in found))))
    aliases = [_text(record.target) for record in found if record.priority == 0]
    if aliases:  # RFC 9460, section 2.4.1: ServiceMode records beside one "MUST" be ignored; several: one "at random"
        return Records(alias=rng.choice(aliases))
    return Records(services=tuple(_service(record) for record in found if _can_be_honoured(record)))


def _is_reachable(address: str) -> bool:
    """RFC 4291, sections 2.5.2, 2.5.5.2 and 2.7; RFC 1122, section 3.2.1.3: not unspecified, mapped or multicast."""
    ip = ipaddress.ip_address(address)
    return not ip.is_unspecified and not ip.is_multicast and getattr(ip, "ipv4_mapped", None) is None


def _can_be_honoured(record: dns.rdtypes.svcbbase.SVCBBase) -> bool:
    """RFC 9460, section 8: a record with a mandatory key that we do not implement is not for us."""
    mandatory = record.params.get(ParamKey.MANDATORY)
    return mandatory is None or _KEYS.issuperset(mandatory.keys)


def _service(record: dns.rdtypes.svcbbase.SVCBBase) -> Service:
    params = record.params
    alpn = params.get(ParamKey.ALPN)
    protocols = [protocol.decode("ascii", "backslashreplace") for protocol in alpn.ids] if alpn else []
    if ParamKey.NO_DEFAULT_ALPN not in params and "http/1.1" not in protocols:
        protocols.append("http/1.1")  # section 9.5: the default of HTTPS
    port = params.get(ParamKey.PORT)
    return Service(
        priority=record.priority,
        target=_text(record.target),
        port=port.port if port else None,
        alpn=tuple(protocols),
        hints=(*_hints(params.get(ParamKey.IPV6HINT), IPV6), *_hints(params.get(ParamKey.IPV4HINT), IPV4)),
        ech=ParamKey.ECH in params,
    )


def _hints(
    hint: dns.rdtypes.svcbbase.IPv4HintParam | dns.rdtypes.svcbbase.IPv6HintParam | None, family: socket.AddressFamily
) -> Sequence[Address]:
    """Section 7.3; the port is the service's, or the host's, which this record does not know."""
    addresses = hint.addresses if hint else ()
    return [Address(family, address, 0) for address in addresses if _is_reachable(address)]


def _text(name: dns.name.Name) -> str:
    """A name as we write it: lower case, no last dot, and so nothing for the root."""
    return name.to_text(omit_final_dot=True).lower().removesuffix(".")
