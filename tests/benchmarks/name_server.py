"""A scripted name server, in a process of its own: `python -m tests.benchmarks.name_server ADDRESS DESCRIPTOR`.

It answers at once, over UDP: an A query with one address, an HTTPS query with a service at the same host, and anything
else with no records of that type and an SOA record, without which that may not be cached (RFC 2308, section 5). Its own
cost is on the server's core and in nobody's figure; so it copies the question back, and knows no more of the protocol
than that. It ends when its standard input does.
"""

from __future__ import annotations

import selectors
import socket
import struct
import sys

HEADER = struct.Struct("!6H")
RESPONSE = 0x8180  # an answer, recursion desired and available, no error
RECORD = struct.Struct("!HHHIH")
QUESTION_S_NAME = 0xC00C  # a pointer to the first byte behind the header (RFC 1035, section 4.1.4)
A, SOA, HTTPS, IN = 1, 6, 65, 1
TTL = 300
SERVICE = struct.pack("!H", 1) + b"\0" + struct.pack("!HH", 1, 3) + b"\x02h2"
"""Priority 1, at the name itself, with the ALPN protocol h2 (RFC 9460)."""
AUTHORITY = b"\0" * 2 + struct.pack("!5I", 1, 3600, 600, 86400, TTL)
"""The data of an SOA record (RFC 1035, section 3.3.13); both of its names are the root."""


def answer(query: bytes, address: bytes) -> bytes:
    """Return the response to a query of one question; an OPT record behind it is left unanswered."""
    number = HEADER.unpack_from(query)[0]
    end = query.index(b"\0", HEADER.size) + 5
    kind = struct.unpack_from("!H", query, end - 4)[0]
    known = {A: address, HTTPS: SERVICE}
    kind, data = (kind, known[kind]) if kind in known else (SOA, AUTHORITY)
    record = RECORD.pack(QUESTION_S_NAME, kind, IN, TTL, len(data)) + data
    return HEADER.pack(number, RESPONSE, 1, kind != SOA, kind == SOA, 0) + query[HEADER.size : end] + record


def main(address: str, descriptor: str) -> None:
    """Serve until standard input ends."""
    packed = socket.inet_aton(address)
    with socket.socket(fileno=int(descriptor)) as sock, selectors.DefaultSelector() as selector:
        selector.register(sys.stdin, selectors.EVENT_READ)
        selector.register(sock, selectors.EVENT_READ)
        while not any(key.fileobj is sys.stdin for key, _ in selector.select()):
            query, client = sock.recvfrom(4096)
            sock.sendto(answer(query, packed), client)


if __name__ == "__main__":
    main(*sys.argv[1:])
