"""Answers are untrusted: what is believed of them, and what is not (RFC 1035, RFC 2308, RFC 9460)."""

from __future__ import annotations

import contextlib
import random
import socket
import subprocess
import sys
from collections.abc import Callable

import dns.flags
import dns.message
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import pytest

from trio_nbconnect import Address, Service, Source
from trio_nbconnect._dns.message import ADDRESSES, CNAMES, PADDING, RECORDS, ParsedAnswer, Question, parse_answer
from trio_nbconnect._dns.services import HINTS, Records

from .dns_server import parse

HOST = "www.example.org"
SOA = "example.org. 600 IN SOA ns. admin. 1 3600 600 86400 60"


def answered(
    source: Source,
    *records: str,
    authority: tuple[str, ...] = (),
    rcode: str = "NOERROR",
    spoil: bytes = b"",
    into: bytes | None = None,
) -> ParsedAnswer:
    """What is found in an answer with these records; `spoil` is changed `into` something else, or turned round."""
    question = Question(HOST, source)
    response = dns.message.make_response(dns.message.from_wire(question.to_wire(7)))
    response.set_rcode(dns.rcode.from_text(rcode))
    response.answer.extend(parse(*records))
    response.authority.extend(parse(*authority))
    wire = response.to_wire(max_size=65535)
    assert spoil in wire
    reply = question.read(7, wire.replace(spoil, bytes(reversed(spoil)) if into is None else into) if spoil else wire)
    assert reply is not None
    return parse_answer(question, reply, random.Random(1))


def services(*records: str) -> tuple[Service, ...]:
    return answered(Source.HTTPS, *(f"{HOST}. 300 IN HTTPS {record}" for record in records)).records.services


def test_a_query() -> None:
    query = dns.message.from_wire(Question(HOST, Source.AAAA).to_wire(7))
    assert (query.id, query.edns, query.flags) == (7, -1, dns.flags.RD)
    assert query.question == dns.message.make_query(HOST, "AAAA").question


@pytest.mark.parametrize("name", ["a", HOST])
def test_an_encrypted_query_is_padded(name: str) -> None:
    """RFC 8467, section 4.1: "Clients SHOULD pad queries to the closest multiple of 128 octets"."""
    wire = Question(name, Source.A).to_wire(7, padded=True)
    assert (len(wire) % PADDING, dns.message.from_wire(wire).edns) == (0, 0)


# Hosts of a service


def test_the_hosts_of_a_service() -> None:
    """RFC 2782: priority, weight, port and target; "." is no host."""
    found = answered(Source.SRV, f"{HOST}. 300 IN SRV 10 60 5222 Big.Example.", f"{HOST}. 300 IN SRV 20 0 0 .")

    assert set(found.records.services) == {
        Service(priority=10, weight=60, port=5222, target="big.example"),
        Service(priority=20, weight=0, port=0, target="."),
    }
    assert found.ttl == 300


def test_a_malformed_record_is_no_answer() -> None:
    """A name that points beyond the message."""
    with pytest.raises(socket.gaierror, match="the answer is malformed"):
        answered(Source.SRV, f"{HOST}. 300 IN SRV 10 60 5222 big.example.", spoil=b"\x03big\x07example")


# Addresses


def test_only_what_the_chain_leads_to_counts() -> None:
    """RFC 1034, section 3.6.2; what else is in the answer is a lie or of no use."""
    found = answered(
        Source.A,
        "evil.example. 300 IN A 192.0.2.66",
        f"{HOST}. 50 IN CNAME a.example.",
        "a.example. 300 IN A 192.0.2.1",
        "a.example. 300 IN AAAA 2001:db8::1",
    )
    assert found == ParsedAnswer(records=Records(addresses=("192.0.2.1",)), ttl=50)


def test_an_answer_to_another_question_has_no_addresses() -> None:
    assert answered(Source.A, "evil.example. 300 IN A 192.0.2.66") == ParsedAnswer()


@pytest.mark.parametrize(
    ("source", "kept", "left_out"),
    [
        (Source.A, "192.0.2.1", ["0.0.0.0", "224.0.0.1"]),
        (Source.AAAA, "2001:db8::1", ["::", "::ffff:192.0.2.1", "ff02::1"]),
    ],
)
def test_addresses_that_no_packet_may_go_to(source: Source, kept: str, left_out: list[str]) -> None:
    """RFC 4291: unspecified, multicast, or IPv4 in disguise."""
    found = answered(source, *(f"{HOST}. 300 IN {source.value} {address}" for address in [kept, *left_out]))
    assert found.records == Records(addresses=(kept,))


def test_a_malformed_address_is_no_answer() -> None:
    with pytest.raises(socket.gaierror, match="the answer is malformed"):
        answered(Source.A, f"{HOST}. 300 IN A 192.0.2.1", spoil=b"\x00\x04\xc0\x00")


@pytest.mark.parametrize(
    ("records", "authority", "rcode", "text"),
    [
        ([], [], "SERVFAIL", "SERVFAIL"),
        ([], ["example.org. 300 IN NS ns.example.org."], "NOERROR", "the answer refers to other name servers"),
        ([f"{HOST}. 300 IN A 192.0.2.1"], [], "NXDOMAIN", "the answer contradicts itself"),
    ],
)
def test_what_another_server_may_know_better(records: list[str], authority: list[str], rcode: str, text: str) -> None:
    with pytest.raises(socket.gaierror) as caught:
        answered(Source.A, *records, authority=tuple(authority), rcode=rcode)
    assert (caught.value.errno, caught.value.strerror) == (socket.EAI_AGAIN, text)


def test_negative_answers() -> None:
    """RFC 2308, section 5."""
    assert answered(Source.A, authority=(SOA,)) == ParsedAnswer(ttl=60)
    assert answered(Source.A) == ParsedAnswer(ttl=0)
    assert answered(Source.A, authority=(SOA,), rcode="NXDOMAIN") == ParsedAnswer(ttl=60, exists=False)
    assert answered(Source.A, rcode="NXDOMAIN") == ParsedAnswer(ttl=0, exists=False)
    assert answered(Source.A, f"{HOST}. 50 IN CNAME A.Example.") == ParsedAnswer(ttl=50, next_name="a.example")
    assert answered(Source.A, f"{HOST}. 50 IN CNAME a.example.", authority=("example. 9 IN SOA a. b. 1 2 3 4 5",)) == (
        ParsedAnswer(ttl=5)
    )


def test_of_many_addresses_some_dozens_count() -> None:
    """And of many records in all; the rest is not even read."""
    records = [f"{HOST}. 300 IN A 10.0.{number >> 8}.{number & 255}" for number in range(1, 3000)]
    assert len(answered(Source.A, *records).records.addresses) == ADDRESSES
    others = [f"n{number}.example. 300 IN A 192.0.2.1" for number in range(RECORDS)]
    assert answered(Source.A, *others, f"{HOST}. 300 IN A 192.0.2.1").records == Records()


def test_a_long_chain_in_one_message_has_no_end() -> None:
    """It leads to the name itself, where whoever asks again notices."""
    chain = [f"c{number}.example. 300 IN CNAME c{number + 1}.example." for number in range(1, CNAMES + 1)]
    found = answered(Source.A, f"{HOST}. 300 IN CNAME c1.example.", *chain)
    assert found.next_name == HOST


def test_a_record_of_another_class_is_none() -> None:
    question = Question(HOST, Source.A)
    response = dns.message.make_response(dns.message.from_wire(question.to_wire(7)))
    response.answer.extend(parse(f"{HOST}. 300 IN A 192.0.2.1"))
    wire = response.to_wire()
    start = wire.rindex(b"\xc0\x0c\x00\x01\x00\x01")
    reply = question.read(7, wire[: start + 4] + b"\x00\x03" + wire[start + 6 :])
    assert reply is not None
    assert parse_answer(question, reply, random.Random(1)) == ParsedAnswer()


@pytest.mark.parametrize(("ttl", "expected"), [(2**31 - 1, 2**31 - 1), (2**31, 0), (2**32 - 1, 0)])
def test_a_ttl_with_the_highest_bit_is_none(ttl: int, expected: int) -> None:
    """RFC 2181, section 8: "treat TTL values received with the most significant bit set as if [...] zero"."""
    question = Question(HOST, Source.A)
    response = dns.message.make_response(dns.message.from_wire(question.to_wire(7)))
    response.answer.extend(parse(f"{HOST}. 305419896 IN A 192.0.2.1"))
    reply = question.read(7, response.to_wire().replace(b"\x12\x34\x56\x78", ttl.to_bytes(4, "big")))
    assert reply is not None
    assert parse_answer(question, reply, random.Random(1)).ttl == expected


def test_an_extended_failure_is_one() -> None:
    """RFC 6891, section 6.1.3: BADVERS is 16; its lower bits alone would mean success."""
    question = Question(HOST, Source.A)
    response = dns.message.make_response(dns.message.from_wire(question.to_wire(7)))
    response.set_rcode(dns.rcode.BADVERS)
    reply = question.read(7, response.to_wire())
    assert reply is not None
    with pytest.raises(socket.gaierror, match="extended RCODE 16"):
        parse_answer(question, reply, random.Random(1))


@pytest.mark.parametrize(
    ("change", "is_read"),
    [
        (lambda wire: wire, True),
        (lambda wire: wire[:12] + wire[12:].lower(), False),  # the type as well
        (lambda wire: wire.replace(b"example", b"EXAMPLE"), True),
        (lambda wire: wire.replace(b"\x00\x41\x00\x01", b"\x00\x61\x00\x01"), False),
        (lambda wire: wire[:2] + b"\x01" + wire[3:], False),  # a query
        (lambda wire: wire[:2] + b"\xa1" + wire[3:], False),  # another operation
        (lambda wire: wire[:4] + b"\0\0" + wire[6:12], False),
        (lambda wire: wire[:3] + b"\x81\0\0" + wire[6:12], True),  # a failure and nothing else
        (lambda wire: wire[:11], False),
    ],
)
def test_what_is_the_answer(change: Callable[[bytes], bytes], *, is_read: bool) -> None:
    """RFC 5452, section 9.1; names are compared as RFC 4343 does."""
    question = Question(HOST, Source.HTTPS)
    wire = dns.message.make_response(dns.message.from_wire(question.to_wire(7))).to_wire()
    assert (question.read(7, change(wire)) is not None) is is_read
    assert question.read(8, change(wire)) is None


# Services


def test_a_service() -> None:
    assert services('1 Svc.Example.org. port=8443 alpn="h2,h3" ipv4hint=192.0.2.1,0.0.0.0 ipv6hint=2001:db8::1') == (
        Service(
            priority=1,
            target="svc.example.org",
            port=8443,
            alpn=("h2", "h3", "http/1.1"),
            hints=(Address(socket.AF_INET6, "2001:db8::1", 0), Address(socket.AF_INET, "192.0.2.1", 0)),
        ),
    )


def test_no_record_leads_to_this_machine_and_not_to_hundreds() -> None:
    """Hints that are loopback or unspecified addresses are left out, and so are those beyond the first few."""
    (service,) = services(
        "1 . ipv4hint=127.0.0.1,0.0.0.0,192.0.2.1,127.8.8.8 ipv6hint=::1,::,2001:db8::1",
    )
    assert [hint.host for hint in service.hints] == ["2001:db8::1", "192.0.2.1"]
    (service,) = services("1 . ipv4hint=" + ",".join(f"192.0.2.{number}" for number in range(1, 100)))
    assert len(service.hints) == HINTS


def test_a_record_too_long_to_be_true() -> None:
    hints = ",".join(f"10.0.{number >> 8}.{number & 255}" for number in range(3000))
    assert services(f"1 . ipv4hint={hints}") == ()


def test_the_owner_itself() -> None:
    """RFC 9460, section 2.5.2: "." is the owner name."""
    assert services("1 .") == (Service(priority=1, alpn=("http/1.1",)),)


@pytest.mark.parametrize(
    ("text", "alpn"),
    [
        ("", ("http/1.1",)),
        ("alpn=h2", ("h2", "http/1.1")),
        ("alpn=http/1.1,h2", ("http/1.1", "h2")),
        ("alpn=h3 no-default-alpn", ("h3",)),
    ],
)
def test_alpn_and_its_default(text: str, alpn: tuple[str, ...]) -> None:
    """RFC 9460, sections 7.1.2 and 9.5: "http/1.1" is among them unless "no-default-alpn" is there."""
    assert services(f"1 . {text}")[0].alpn == alpn


def test_ech_is_reported() -> None:
    (service,) = services(
        "1 . ech=AEX+DQBBbwAgACBr9xYaY5pJv1eu8lfM4vG8b3l/hLVL29shWR8iuwMyJwAEAAEAAQASY2xvdWRmbGFyZS1lY2guY29tAAA="
    )
    assert service.ech


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("mandatory=alpn,port alpn=h2 port=1", True),
        (
            "mandatory=alpn,no-default-alpn,ipv4hint,ipv6hint alpn=h2 no-default-alpn ipv4hint=192.0.2.1 ipv6hint=::3",
            True,
        ),
        ("key65333=ex", True),
        ("mandatory=key65333 key65333=ex", False),
        ("mandatory=key7 key7=x", False),
    ],
)
def test_mandatory_keys(text: str, known: bool) -> None:
    """RFC 9460, section 8: what is mandatory and not implemented rules a record out; what is optional is ignored."""
    assert bool(services(f"1 . {text}")) == known
    assert len(services(f"1 . {text}", "2 cdn.example.")) == 1 + known


def test_an_alias_rules_services_out() -> None:
    """RFC 9460, section 2.4.1: ServiceMode records beside one "MUST" be ignored; of several, one is taken."""
    records = [f"{HOST}. 300 IN HTTPS {record}" for record in ("1 .", "0 A.example.", "0 b.example.")]
    found = {answered(Source.HTTPS, *records).records}
    assert found <= {Records(alias="a.example"), Records(alias="b.example")}


def test_an_alias_to_nowhere() -> None:
    """RFC 9460, section 2.5.1: "." says that "the service is not available"; clients "MAY ignore" it."""
    assert answered(Source.HTTPS, f"{HOST}. 300 IN HTTPS 0 .").records == Records()


def test_the_parameters_of_an_alias_are_ignored() -> None:
    """RFC 9460, section 2.4.2: "recipients MUST ignore any SvcParams that are present", whatever they look like."""
    service = f"{HOST}. 300 IN HTTPS 1 a.example. port=770"
    found = answered(Source.HTTPS, service, spoil=b"\x00\x01\x01a\x07", into=b"\x00\x00\x01a\x07")
    assert found.records == Records(alias="a.example")


def test_an_alias_that_is_cut_off_is_malformed() -> None:
    record = f"{HOST}. 300 IN HTTPS 0 a.example."
    assert (
        answered(Source.HTTPS, record, spoil=b"\x00\x0d\x00\x00\x01a", into=b"\x00\x0a\x00\x00\x01a") == ParsedAnswer()
    )


def test_one_malformed_record_spoils_its_set() -> None:
    """RFC 9460, section 2.2: "the client MUST reject the entire RRSet"."""
    good, bad = f"{HOST}. 300 IN HTTPS 1 .", f"{HOST}. 300 IN HTTPS 2 . port=770"
    assert len(answered(Source.HTTPS, good, bad).records.services) == 2
    assert answered(Source.HTTPS, good, bad, spoil=b"\x00\x03\x00\x02\x03\x02") == ParsedAnswer()


# Anything at all


def test_garbage_is_read_without_surprises() -> None:
    """Whatever comes, the result is a message, no message, or a `gaierror`."""
    rng = random.Random(20)
    kinds = (Source.A, Source.AAAA, Source.HTTPS)
    records = {
        Source.A: f"{HOST}. 300 IN A 192.0.2.1",
        Source.AAAA: f"{HOST}. 300 IN AAAA 2001:db8::1",
        Source.HTTPS: f"{HOST}. 300 IN HTTPS 1 cdn.example. alpn=h2 port=443 ipv4hint=192.0.2.1 mandatory=alpn",
    }
    wires = {}
    for source in kinds:
        response = dns.message.make_response(dns.message.from_wire(Question(HOST, source).to_wire(0x4142)))
        response.answer.extend(parse(f"{HOST}. 300 IN CNAME a.example.", records[source]))
        response.authority.extend(parse(SOA))
        wires[source] = response.to_wire()
    for round_ in range(6000):
        source = kinds[round_ % 3]
        question, wire = Question(HOST, source), bytearray(wires[source])
        for _ in range(rng.randrange(1, 6)):
            wire[rng.randrange(2, len(wire))] = rng.choice((0, 1, 0x3F, 0x40, 0xC0, 0xFF, rng.randrange(256)))
        del wire[rng.randrange(12, 4 * len(wire)) :]
        reply = question.read(0x4142, bytes(wire))
        if reply is not None:
            with contextlib.suppress(socket.gaierror):
                parse_answer(question, reply, rng)


def test_no_look_up_waits_for_an_import() -> None:
    """Left to itself, dnspython imports what reads a record when it reads the first one."""
    program = "import sys, trio_nbconnect.dns; print('dns.rdtypes.IN.HTTPS' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"
