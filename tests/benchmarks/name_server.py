"""A scripted name server, in a process of its own: `python -m tests.benchmarks.name_server ADDRESS DESCRIPTOR`.

It answers at once, over UDP: an A query with one address, an HTTPS query with a service at the same host, and anything
else with no records of that type. Its own cost is on the server's core and in nobody's figure; so it copies the
question back, and knows no more of the protocol than that. It ends when its standard input does.
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
A, HTTPS, IN = 1, 65, 1
TTL = 300
SERVICE = struct.pack("!H", 1) + b"\0" + struct.pack("!HH", 1, 3) + b"\x02h2"
"""Priority 1, at the name itself, with the ALPN protocol h2 (RFC 9460)."""


def answer(query: bytes, address: bytes) -> bytes:
    """Return the response to a query of one question; an OPT record behind it is left unanswered."""
    number = HEADER.unpack_from(query)[0]
    end = query.index(b"\0", HEADER.size) + 5
    kind = struct.unpack_from("!H", query, end - 4)[0]
    data = {A: address, HTTPS: SERVICE}.get(kind, b"")
    record = RECORD.pack(QUESTION_S_NAME, kind, IN, TTL, len(data)) + data if data else b""
    return HEADER.pack(number, RESPONSE, 1, bool(data), 0, 0) + query[HEADER.size : end] + record


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
