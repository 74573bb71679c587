"""Name servers: which there are, and one exchange with one of them (RFC 1035, RFC 7858, RFC 8484).

The problem: an administrator names servers in `resolv.conf`, a program in its own words, and either may be mistaken.
What comes back from a server may be truncated, forged or missing.

Algorithm: what a program wrote is read strictly, and all servers or none are encrypted; of `resolv.conf`, what makes
sense counts. A server has one method, which returns an answer or raises `OSError`. UDP comes first, TCP where an
answer is truncated (RFC 7766, section 5). A datagram that is not the answer is passed over: a forger hopes that a
client gives up on it. TLS and HTTPS verify the server's certificate, always.

Refused: dnspython's `asyncquery` for datagrams and streams. It takes one malformed HTTPS record for a message that did
not come, where RFC 9460, section 2.2, wants "no services"; and its unconnected socket never hears that nobody listens.
No connection is kept for the next query: that would need a task that outlives the call.
"""

from __future__ import annotations

import errno
import io
import re
import socket
import ssl
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, cast
from urllib.parse import SplitResult, urlsplit

import dns.asyncquery
import dns.exception
import dns.flags
import dns.name
import dns.query
import dns.rcode
import dns.resolver
import trio
from dns.message import Message, QueryMessage

from .._address import IPV6, Address, check_host, check_name, check_port, parse_literal
from .._connect import tls as _tls
from .._connect.network import KernelNetwork
from .._connect.sockets import Opener
from .._errors import os_error
from .._resolve.query import Source
from .message import check, make_query, read

T = TypeVar("T")

Read = Callable[[bytes], "T | None"]
"""Reads a message; None says that it is not the answer."""

_LONGEST = 65535
"""RFC 1035, section 4.2.2: the length has two octets; no datagram is longer either."""


async def exchange_datagrams(server: Address, query: bytes, read: Read[T]) -> T:
    """Send a query over UDP and wait for its answer.

    Raises:
        OSError: It could not be sent, or nobody listens there.
    """
    sock = socket.socket(server.family, socket.SOCK_DGRAM)
    with trio.socket.from_stdlib_socket(sock) as datagrams:
        sock.connect(server.sockaddr)  # asks the routing table and sends nothing
        await datagrams.send(query)
        while True:
            answer = read(await datagrams.recv(_LONGEST))
            if answer is not None:
                return answer


async def open_stream(server: Address) -> trio.SocketStream:
    """Connect to a name server over TCP.

    Raises:
        OSError: The connect failed.
    """
    handshake = Opener(KernelNetwork()).begin(server)
    try:
        await handshake.wait()
    except BaseException:
        handshake.abort()
        raise
    return handshake.stream()


async def exchange_over_stream(stream: trio.abc.Stream, server: Address, query: bytes, read: Read[T]) -> T:
    """Send a query over a stream, wait for its answer, and close the stream.

    Raises:
        OSError: The stream ended or broke before the answer was there.
    """
    try:
        await stream.send_all(len(query).to_bytes(2, "big") + query)
        while True:
            length = int.from_bytes(await _receive(stream, 2, server), "big")
            answer = read(await _receive(stream, length, server))
            if answer is not None:
                return answer
    except trio.BrokenResourceError as error:
        raise OSError(errno.EPIPE, f"the name server broke the connection: {error.__cause__ or error}") from None
    finally:
        await trio.aclose_forcefully(stream)


async def _receive(stream: trio.abc.Stream, count: int, server: Address) -> bytes:
    received = bytearray()
    while len(received) < count:
        chunk = await stream.receive_some(count - len(received))
        if not chunk:
            raise os_error(errno.ECONNRESET, server)
        received += chunk
    return bytes(received)


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


GIVE_UP_AFTER = 5.0
"""Seconds; the default of resolv.conf(5), `RES_TIMEOUT`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Which servers are asked, and how names are completed: what `resolv.conf` says, with its defaults."""

    servers: tuple[Server, ...]
    search: tuple[str, ...] = ()
    ndots: int = 1
    give_up_after: float = GIVE_UP_AFTER
    attempts: int = 2
    rotate: bool = False

    @property
    def encrypted(self) -> bool:
        """Whether every answer travels encrypted."""
        return all(server.encrypted for server in self.servers)


def parse_servers(texts: Iterable[str], ca_file: str | None) -> tuple[Server, ...]:
    """Read what a program wrote.

    Raises:
        ImportError: A server is to be asked over HTTPS, and dnspython lacks the libraries for that.
        TypeError: `texts` is one `str`, or holds something else.
        ValueError: A server makes no sense, there is none, or some are encrypted and some are not.
    """
    servers = tuple(_parse_server(text, ca_file) for text in _several("servers", texts))
    if len({server.encrypted for server in servers}) > 1:
        raise ValueError("servers must be all encrypted or none: an attacker would choose which one answers")
    return servers


def _parse_server(text: object, ca_file: str | None) -> Server:
    if not isinstance(text, str):
        raise TypeError(f"a server must be str, not {text!r}")
    if "://" not in text:
        return PlainServer(_parse_address(text, text, 53))
    try:
        url = urlsplit(text)
    except ValueError as error:
        raise ValueError(f"server is no URL: {text!r}: {error}") from None
    if url.scheme not in ("tls", "https") or not url.hostname:
        raise ValueError(f"server must be an address, tls:// or https://, not {text!r}")
    return _tls_server(text, url, ca_file) if url.scheme == "tls" else _https_server(text, url, ca_file)


def _tls_server(text: str, url: SplitResult, ca_file: str | None) -> TLSServer:
    context = dns.query.make_ssl_context(ca_file or True, True, ["dot"])
    address = _parse_address(text, url.fragment or url.netloc, _port(text, url) or 853)
    return TLSServer(address, _name(text, url), context)


def _https_server(text: str, url: SplitResult, ca_file: str | None) -> HTTPSServer:
    if not dns.query.have_doh:
        raise ImportError("DNS over HTTPS needs more of dnspython: python -m pip install 'dnspython[doh]'")
    context = dns.query.make_ssl_context(ca_file or True, True, ["h2", "http/1.1"])
    address = _parse_address(text, url.fragment or url.netloc, _port(text, url) or 443)
    _name(text, url)
    return HTTPSServer(text.partition("#")[0], address.ip, context)


def _name(text: str, url: SplitResult) -> str:
    """Whom the certificate must be valid for."""
    try:
        return check_name(check_host(url.hostname))
    except ValueError as error:
        raise ValueError(f"server makes no sense: {text!r}: {error}") from None


def _port(text: str, url: SplitResult) -> int | None:
    try:
        return url.port
    except ValueError as error:
        raise ValueError(f"server has no such port: {text!r}: {error}") from None


def _parse_address(text: str, place: str, port: int) -> Address:
    """Read `192.0.2.53`, `192.0.2.53:5353`, `2001:db8::53` or `[2001:db8::53]:53`."""
    found = re.fullmatch(r"\[(.+)\](?::([0-9]{1,5}))?|([^:]+):([0-9]{1,5})", place)
    host = found[1] or found[3] if found else place
    digits = found[2] or found[4] if found else None
    try:
        address = parse_literal(host, check_port(int(digits) if digits else port))
    except ValueError as error:
        raise ValueError(f"server makes no sense: {text!r}: {error}") from None
    if address is None:
        raise ValueError(f"server must have a numeric address, behind # if there is a name, not {text!r}")
    return address


def parse_resolv_conf(text: str) -> Settings:
    """Read `resolv.conf` with dnspython's reader; lines that make no sense are passed over.

    Without a name server in it, "the name server on the local machine" is meant (resolv.conf(5)).
    """
    lines = [line for line in text.splitlines() if _makes_sense(line)]
    if not any(line.startswith("nameserver") for line in lines):
        lines.append("nameserver 127.0.0.1")
    reader = dns.resolver.Resolver(configure=False)
    reader.timeout = GIVE_UP_AFTER
    reader.read_resolv_conf(io.StringIO("\n".join(lines)))
    attempts = re.search(r"^options\s(?:.*\s)?attempts:([1-9])", "\n".join(lines), re.MULTILINE)
    search = reader.search or [reader.domain]
    return Settings(
        servers=tuple(PlainServer(_parse_address(text, str(server), 53)) for server in reader.nameservers),
        search=tuple(name.to_text(omit_final_dot=True) for name in search if name != dns.name.root),
        ndots=1 if reader.ndots is None else reader.ndots,
        give_up_after=float(reader.timeout),
        attempts=int(attempts[1]) if attempts else 2,
        rotate=reader.rotate,
    )


def check_count(name: str, count: object, least: int) -> int:
    """Return a whole number, or raise what is wrong with it.

    Raises:
        TypeError: It is no `int`.
        ValueError: It is less than it must be.
    """
    if not isinstance(count, int) or isinstance(count, bool):
        raise TypeError(f"{name} must be int, not {count!r}")
    if count < least:
        raise ValueError(f"{name} must be at least {least}, not {count!r}")
    return count


def parse_search(suffixes: Iterable[str]) -> tuple[str, ...]:
    """Read the domains that complete a short name.

    Raises:
        TypeError: `suffixes` is one `str`, or holds something else.
        ValueError: A domain is none.
    """
    return tuple(check_name(check_host(suffix)).removesuffix(".") for suffix in _several("search", suffixes))


def parse_protocols(protocols: Iterable[str]) -> tuple[str, ...]:
    """Read the names of protocols.

    Raises:
        TypeError: `protocols` is one `str`.
    """
    return tuple(_several("protocols", protocols))


def _several(what: str, texts: Iterable[str]) -> Iterable[str]:
    if isinstance(texts, (str, bytes)):
        raise TypeError(f"{what} must be several, not one str: {texts!r}")
    return texts


def _makes_sense(line: str) -> bool:
    keyword, *values = line.split() or [""]
    try:
        if keyword == "nameserver":
            return bool(values) and parse_literal(values[0], 53) is not None
        if keyword in ("search", "domain"):
            return all(dns.name.from_text(value) for value in values)
    except (ValueError, dns.exception.DNSException):
        return False
    return True
