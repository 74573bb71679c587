"""DNS transports: how a name server is asked, in clear or encrypted.

The problem: a server may be reached in clear or encrypted, over datagrams or streams; answers are truncated, forged or
missing, and some servers know less than others. Whatever goes wrong with one, the next one must get its turn.

How we solve it: three kinds of server with one method, which returns an answer or raises `OSError` and nothing else.
UDP comes first, TCP where an answer is truncated (RFC 7766, section 5); a server that does not know EDNS is asked
without it (RFC 6891, section 7). TLS (RFC 7858) and HTTPS (RFC 8484) verify the server's certificate, always: "the
server must be who it says" is what makes an answer encrypted.

What lives here: the servers, and one exchange with one of them. What does not: the words that name a server, which are
read in `_dns_servers`; which server is asked when, which is `_in_turn`'s; and the bytes on the wire, which are
`_wire`'s. HTTP is dnspython's, and whatever it is installed with. No connection is kept for the next question.
"""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from typing import Any, Protocol, cast

import dns.asyncquery
import dns.exception
import dns.flags
import dns.name
import dns.query
import dns.rcode
from dns.message import Message, QueryMessage

from .._address import IPV6, Address
from .._connect import tls as _tls
from .._resolve.query import Source
from .message import check, make_query, read
from .wire import exchange_datagrams, exchange_over_stream, open_stream

_NO_EDNS = (dns.rcode.FORMERR, dns.rcode.NOTIMP)


class Server(Protocol):
    """A name server."""

    @property
    def encrypted(self) -> bool:
        """Whether nobody on the way can read or forge what it says."""

    @property
    def over_ipv6(self) -> bool:
        """Whether IPv6 carries the queries."""

    async def ask(self, name: dns.name.Name, source: Source) -> QueryMessage:
        """Return the answer; raise `OSError` if there is none to be had."""


@dataclass(frozen=True, slots=True)
class PlainServer:
    """A name server that is asked in clear (RFC 1035)."""

    address: Address
    encrypted = False

    @property
    def over_ipv6(self) -> bool:
        return self.address.family == IPV6

    async def ask(self, name: dns.name.Name, source: Source) -> QueryMessage:
        message = await self._ask(make_query(name, source, encrypted=False))
        if message.rcode() in _NO_EDNS:
            message = await self._ask(make_query(name, source, encrypted=False, edns=False))
        return _checked(message)

    async def _ask(self, query: QueryMessage) -> Message:
        wire = query.to_wire()
        message = await exchange_datagrams(self.address, wire, lambda answer: read(query, answer))
        if message.flags & dns.flags.TC:
            stream = await open_stream(self.address)
            message = await exchange_over_stream(stream, self.address, wire, lambda answer: read(query, answer))
        return message

    def __str__(self) -> str:
        return str(self.address)


@dataclass(frozen=True, slots=True)
class TLSServer:
    """A name server that is asked over TLS (RFC 7858)."""

    address: Address
    name: str
    """What its certificate must be valid for: a name, or the address."""
    context: ssl.SSLContext
    encrypted = True

    @property
    def over_ipv6(self) -> bool:
        return self.address.family == IPV6

    async def ask(self, name: dns.name.Name, source: Source) -> QueryMessage:
        query = make_query(name, source, encrypted=True)
        stream = await open_stream(self.address)
        secure = _tls.wrap(stream, self.context, self.name, https_compatible=True)
        return _checked(
            await exchange_over_stream(secure, self.address, query.to_wire(), lambda answer: read(query, answer))
        )

    def __str__(self) -> str:
        return f"tls://{self.address}"


@dataclass(frozen=True, slots=True)
class HTTPSServer:
    """A name server that is asked over HTTPS (RFC 8484)."""

    url: str
    address: str
    context: ssl.SSLContext
    encrypted = True

    @property
    def over_ipv6(self) -> bool:
        return ":" in self.address

    async def ask(self, name: dns.name.Name, source: Source) -> QueryMessage:
        query = make_query(name, source, encrypted=True)
        query.id = 0  # section 4.1: so that caches on the way know the query again
        try:
            message = await dns.asyncquery.https(
                query, self.url, verify=cast(Any, self.context), bootstrap_address=self.address
            )
        except _failures_of_https() as error:
            why = str(error).partition("\n")[0] or type(error).__name__
            raise socket.gaierror(socket.EAI_AGAIN, f"DNS over HTTPS failed: {why}") from None
        return _checked(message)

    def __str__(self) -> str:
        return self.url


def _failures_of_https() -> tuple[type[Exception], ...]:
    """What dnspython raises, and the HTTP library that it uses: HTTPX 2 from its version 2.9 on, else HTTPX."""
    library: Any = getattr(dns.query, "httpx2", None) or getattr(dns.query, "httpx", None)
    return (dns.exception.DNSException, ValueError, library.HTTPError, library.InvalidURL)


def _checked(message: Message) -> QueryMessage:
    check(message)
    return cast(QueryMessage, message)  # what answers a query is one
