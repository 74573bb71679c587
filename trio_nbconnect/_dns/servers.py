"""Name servers: which there are, and one exchange with one of them (RFC 1035, RFC 7858, RFC 8484).

The problem: an administrator names servers in `resolv.conf`, a program in its own words, and either may be mistaken.
What comes back from a server may be truncated, forged, missing or endless.

Algorithm: what a program wrote is read strictly, and all servers or none are encrypted; `resolv.conf` is read as
resolv.conf(5) and glibc do. A server has one method, which sends a query; what it returns is awaited for the answer,
and raises `OSError` if there is none. UDP comes first, TCP where an answer is truncated (RFC 7766, section 5). A
datagram that is not the answer is passed over: a forger hopes that a client gives up on it. TLS and HTTPS verify the
server's certificate, always.

Refused: EDNS over UDP. Some servers and firewalls drop such queries, or answer them with any failure (RFC 8906, section
3.2), and to find that out costs each of their clients a timeout. What it brings is answers of 512 to 1232 octets in one
datagram, and addresses, services and SRV records that long are rare; they come over TCP. The C library and Chromium do
without, too.

Refused: dnspython's `asyncquery` for datagrams and streams. It takes one malformed HTTPS record for a message that did
not come, where RFC 9460, section 2.2, wants "no services"; its unconnected socket gets no error from a closed port; and
it reads a message of any length at once. Its HTTPS would take a body without end. No connection is kept for the next
query: that would need a task that outlives the call.
"""

from __future__ import annotations

import errno
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Protocol
from urllib.parse import SplitResult, urlsplit

import dns.asyncbackend
import dns.exception
import dns.query
import trio

from .._address import IPV4, IPV6, Address, check_host, check_name, check_port, parse_configured, parse_literal, several
from .._connect.system_files import ndots_of, options_of, parse_options
from .._connect.tls import certificate_name
from .._errors import os_error
from .._urls import host_of_url
from .hedging import Exchange
from .message import Question, Reply, new_id

LONGEST = 65535
"""RFC 1035, section 4.2.2: the length of a message has two octets; neither a datagram nor a body may be longer."""


PORT = 53
"""Where name servers listen (RFC 1035, section 4.2)."""


class Server(Protocol):
    """A name server."""

    @property
    def encrypted(self) -> bool:
        """Whether its answers can be neither read nor forged on the way."""

    @property
    def over_ipv6(self) -> bool:
        """Whether IPv6 carries the queries."""

    def send(self, question: Question) -> Exchange[Reply]:
        """Send a query; raise `OSError` if that cannot be done."""


@dataclass(frozen=True, slots=True)
class PlainServer:
    """A name server that is asked in clear (RFC 1035)."""

    address: Address
    over_tcp: bool = False
    """Whether it is asked over TCP from the first (resolv.conf(5), `use-vc`)."""
    encrypted = False

    @property
    def over_ipv6(self) -> bool:
        return self.address.family == IPV6

    def send(self, question: Question) -> Exchange[Reply]:
        if self.over_tcp:
            return _Connection(lambda: _over_tcp(self.address, question))
        return _Datagrams(self.address, question)

    def __str__(self) -> str:
        return str(self.address)


class _Datagrams:
    """A query over UDP, and over TCP if the answer is too long.

    The socket is one of its own and connected, so that the kernel drops what comes from elsewhere, picks a fresh port,
    and reports a closed port.
    """

    __slots__ = ("_address", "_number", "_question", "_sock")
    resumable = True

    def __init__(self, address: Address, question: Question) -> None:
        self._address = address
        self._question = question
        self._number = new_id()
        self._sock = socket.socket(address.family, socket.SOCK_DGRAM)
        try:
            self._sock.setblocking(False)
            self._sock.connect(address.sockaddr)  # asks the routing table and sends nothing
            with suppress(BlockingIOError):  # a full buffer loses it, as any router may
                self._sock.send(question.to_wire(self._number))
        except BaseException:
            self._sock.close()
            raise

    async def answer(self) -> Reply:
        while True:
            await trio.lowlevel.wait_readable(self._sock)
            try:
                reply = self._question.read(self._number, self._sock.recv(LONGEST))
            except BlockingIOError:  # its checksum was wrong
                continue
            if reply is not None:
                return await _over_tcp(self._address, self._question) if reply.truncated else reply

    def close(self) -> None:
        self._sock.close()


@dataclass(slots=True)
class _Connection:
    """A query over a connection that is made for it."""

    ask: Callable[[], Awaitable[Reply]]
    resumable = False

    async def answer(self) -> Reply:
        return await self.ask()

    def close(self) -> None:
        """Nothing is open unless it is awaited."""


async def _over_tcp(address: Address, question: Question) -> Reply:
    stream = await _connect(address)
    reply = await _over_stream(stream, address, question)
    if reply.truncated:
        raise OSError(errno.EMSGSIZE, "the answer is truncated, over TCP as well")
    return reply


async def _connect(address: Address) -> trio.SocketStream:
    sock = trio.socket.from_stdlib_socket(socket.socket(address.family, socket.SOCK_STREAM))
    try:
        await sock.connect(address.sockaddr)
        return trio.SocketStream(sock)
    except BaseException:
        sock.close()
        raise


async def _over_stream(stream: trio.abc.Stream, address: Address, question: Question, *, padded: bool = False) -> Reply:
    """RFC 1035, section 4.2.2: a message has its length before it. The stream is closed in the end."""
    number = new_id()
    query = question.to_wire(number, padded=padded)
    try:
        await stream.send_all(len(query).to_bytes(2, "big") + query)
        while True:
            length = int.from_bytes(await _receive(stream, 2, address), "big")
            reply = question.read(number, await _receive(stream, length, address))
            if reply is not None:
                return reply
    except trio.BrokenResourceError as error:
        raise OSError(errno.EPIPE, f"the name server broke the connection: {error.__cause__ or error}") from None
    finally:
        await trio.aclose_forcefully(stream)


async def _receive(stream: trio.abc.Stream, count: int, address: Address) -> bytes:
    received = bytearray()
    while len(received) < count:
        chunk = await stream.receive_some(count - len(received))
        if not chunk:
            raise os_error(errno.ECONNRESET, address)
        received += chunk
    return bytes(received)


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

    def send(self, question: Question) -> Exchange[Reply]:
        return _Connection(lambda: self._ask(question))

    async def _ask(self, question: Question) -> Reply:
        stream = await _connect(self.address)
        secure = trio.SSLStream(stream, self.context, server_hostname=self.name, https_compatible=True)
        reply = await _over_stream(secure, self.address, question, padded=True)
        if reply.truncated:
            raise OSError(errno.EMSGSIZE, "the answer is truncated")
        return reply

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

    def send(self, question: Question) -> Exchange[Reply]:
        return _Connection(lambda: self._ask(question))

    async def _ask(self, question: Question) -> Reply:
        query = question.to_wire(0, padded=True)  # section 4.1: so that caches on the way know the query again
        library = _http_library()
        try:
            wire = await self._post(library, query)
        except (dns.exception.DNSException, ValueError, library.HTTPError, library.InvalidURL) as error:
            why = str(error).partition("\n")[0] or type(error).__name__
            raise socket.gaierror(socket.EAI_AGAIN, f"DNS over HTTPS failed: {why}") from None
        reply = question.read(0, wire)
        if reply is None or reply.truncated:
            raise socket.gaierror(socket.EAI_AGAIN, "DNS over HTTPS failed: the body is no complete answer")
        return reply

    async def _post(self, library: Any, query: bytes) -> bytes:
        """Send a query and take the body as it comes, so that its length can be limited.

        Raises:
            ValueError: The response is none of RFC 8484's; compressed bodies are refused, since they have no limit.
        """
        backend: Any = dns.asyncbackend.get_backend("trio")
        headers = {"accept": _MEDIA_TYPE, "content-type": _MEDIA_TYPE, "accept-encoding": "identity"}
        carrier = backend.get_transport_class()(
            http1=True, http2=True, verify=self.context, bootstrap_address=self.address
        )
        async with (
            library.AsyncClient(transport=carrier, timeout=None) as client,
            client.stream("POST", self.url, headers=headers, content=query) as response,
        ):
            if not response.is_success:
                raise ValueError(f"status {response.status_code}")
            if response.headers.get("content-encoding", "identity") != "identity":
                raise ValueError("the body is compressed")
            body = b""
            with trio.CancelScope() as scope:
                async for chunk in response.aiter_raw():
                    body += chunk
                    if len(body) > LONGEST:
                        scope.cancel()  # ends all the generators below; to leave the loop would end the first one only
            if len(body) > LONGEST:
                raise ValueError("the body is longer than a message can be")
            return body

    def __str__(self) -> str:
        return self.url


_MEDIA_TYPE = "application/dns-message"


def _http_library() -> Any:
    """What dnspython uses: HTTPX 2 from its version 2.9 on, else HTTPX."""
    return getattr(dns.query, "httpx2", None) or getattr(dns.query, "httpx", None)


GIVE_UP_AFTER = 5.0
"""Seconds; the default of resolv.conf(5), `RES_TIMEOUT`."""

ATTEMPTS = 4
"""How often a silent server is asked, unless somebody says otherwise. glibc's default is 2, five seconds apart; ours
are 0.4, 0.8 and 1.6 s apart and end with the same five seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Which servers are asked, and how names are completed: what `resolv.conf` says, with its defaults."""

    servers: tuple[Server, ...]
    search: tuple[str, ...] = ()
    ndots: int = 1
    give_up_after: float = GIVE_UP_AFTER
    attempts: int = ATTEMPTS
    rotate: bool = False
    tld_query: bool = True
    """Whether a name without a dot is tried as it is, where search domains may complete it."""
    aaaa: bool = True
    """Whether AAAA records are asked for."""
    names_interfaces: bool = False
    """Whether a server is on a named interface, which may come and go."""
    reload: bool = True
    """Whether the file is read again when it has changed."""

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
    servers = tuple(_parse_server(text, ca_file) for text in several("servers", texts))
    if len({server.encrypted for server in servers}) > 1:
        raise ValueError("servers must be all encrypted or none: an attacker would choose which one answers")
    return servers


def _parse_server(text: object, ca_file: str | None) -> Server:
    if not isinstance(text, str):
        raise TypeError(f"servers must be str, not {text!r}")
    if "://" not in text:
        return PlainServer(_parse_address(text, text, PORT))
    try:
        url = urlsplit(text)
    except ValueError as error:
        raise ValueError(f"server is no URL: {text!r}: {error}") from None
    if url.scheme not in ("tls", "https") or not url.hostname:
        raise ValueError(f"server must be an address, tls:// or https://, not {text!r}")
    return _tls_server(text, url, ca_file) if url.scheme == "tls" else _https_server(text, url, ca_file)


def _tls_server(text: str, url: SplitResult, ca_file: str | None) -> TLSServer:
    context = dns.query.make_ssl_context(ca_file or True, True, ["dot"])
    address = _parse_address(text, url.fragment or url.netloc, _port(text, url) or 853, host_of_url)
    return TLSServer(address, _name(text, url), context)


def _https_server(text: str, url: SplitResult, ca_file: str | None) -> HTTPSServer:
    if not dns.query.have_doh:
        raise ImportError("DNS over HTTPS needs more of dnspython: python -m pip install 'dnspython[doh]'")
    dns.asyncbackend.get_backend("trio")  # is imported now, not at the first query
    context = dns.query.make_ssl_context(ca_file or True, True, ["h2", "http/1.1"])
    address = _parse_address(text, url.fragment or url.netloc, _port(text, url) or 443, host_of_url)
    _name(text, url)
    return HTTPSServer(text.partition("#")[0], address.ip, context)


def _name(text: str, url: SplitResult) -> str:
    """Whom the certificate must be valid for."""
    try:
        return certificate_name(host_of_url(url.hostname or ""))
    except ValueError as error:
        raise ValueError(f"server makes no sense: {text!r}: {error}") from None


def _port(text: str, url: SplitResult) -> int | None:
    try:
        return url.port
    except ValueError as error:
        raise ValueError(f"server has no such port: {text!r}: {error}") from None


def _parse_address(text: str, place: str, port: int, host_of: Callable[[str], str] = str) -> Address:
    """Read `192.0.2.53`, `192.0.2.53:5353`, `2001:db8::53` or `[2001:db8::53]:53`."""
    found = re.fullmatch(r"\[(.+)\](?::([0-9]{1,5}))?|([^:]+):([0-9]{1,5})", place)
    host = found[1] or found[3] if found else place
    digits = found[2] or found[4] if found else None
    try:
        address = parse_configured(host_of(host), check_port(int(digits) if digits else port))
    except ValueError as error:
        raise ValueError(f"server makes no sense: {text!r}: {error}") from None
    if address is None:
        raise ValueError(f"server must have a numeric address, behind # if there is a name, not {text!r}")
    return address


def parse_resolv_conf(text: str, *, search: str | None = None, options: str = "") -> Settings:
    r"""Read `resolv.conf` to the letter of resolv.conf(5): what is not understood is passed over.

    Without a line that names a server, "the name server on the local machine" is meant. The number of servers has no
    limit (RFC 8305, section 3.1). Numbers are read and bounded as glibc does. Of the options, `ndots`, `timeout`,
    `attempts`, `rotate`, `use-vc`, `no-tld-query`, `no-aaaa` and `no-reload` mean something here.

    Args:
        text: What the file holds.
        search: What `LOCALDOMAIN` says; it takes the place of `search` and `domain`.
        options: What `RES_OPTIONS` says; it comes after the file's options.

    Example:
        >>> parse_resolv_conf("nameserver 192.0.2.53\noptions timeout:99 ndots:2").give_up_after
        30.0
    """
    addresses: list[Address] = []
    domains = socket.gethostname().partition(".")[2].split()
    read: dict[str, int] = {}
    named = interfaces = False
    for line in text.split("\n"):
        keyword, *values = _WORD.findall(line) or [""]
        if not line.startswith(keyword):  # "the keyword [...] must start the line"
            continue
        if keyword == "nameserver" and values:
            named = True
            interfaces |= "%" in values[0]
            address = _server_address(values[0])
            addresses += [] if address is None else [address]
        elif keyword == "search" and values:
            domains = values
        elif keyword == "domain" and values:
            domains = values[:1]
        elif keyword == "options":
            read.update(options_of(line))
    if not named:
        addresses.append(Address(IPV4, "127.0.0.1", PORT))
    if search is not None:
        domains = search.partition("\n")[0].split()
    suffixes = [domain.removeprefix(".").removesuffix(".") for domain in domains]  # glibc passes over a dot before one
    read.update(parse_options(options))
    servers = tuple(PlainServer(address, over_tcp="use-vc" in read) for address in addresses)
    return _with_options(
        Settings(servers=servers, search=tuple(filter(_may_complete, suffixes)), names_interfaces=interfaces), read
    )


_WORD = re.compile(r"[^ \t\r]+")
"""What stands between blanks and tabs; a clipboard has other blanks, and an editor of Windows other line ends."""


def _server_address(text: str) -> Address | None:
    """Read an address as glibc does, which takes "127.1" as well, and a scope for nothing where there are no scopes."""
    try:
        if ":" not in text:
            return parse_literal(text, PORT) or Address(IPV4, socket.inet_ntoa(socket.inet_aton(text)), PORT)
        address = parse_literal(text.partition("%")[0], PORT)
        return parse_literal(text, PORT) if address is None or address.is_link_local else address
    except (ValueError, OSError):
        return None


def _may_complete(text: str) -> bool:
    """Whether a domain may complete a name; the root, which is empty, may."""
    if not text:
        return True
    try:
        check_name(check_host(text))
    except ValueError:
        return False
    return True


def _with_options(settings: Settings, options: Mapping[str, int]) -> Settings:
    """Apply the options that say how names are completed and servers are asked, in the limits of resolv.conf(5)."""
    return replace(
        settings,
        ndots=ndots_of(options),
        give_up_after=float(min(max(options.get("timeout", GIVE_UP_AFTER), 1), 30)),  # RES_MAXRETRANS
        attempts=min(max(options.get("attempts", ATTEMPTS), 1), 5),  # RES_MAXRETRY
        rotate="rotate" in options,
        tld_query="no-tld-query" not in options,
        aaaa="no-aaaa" not in options,
        reload="no-reload" not in options,
    )


def parse_search(suffixes: Iterable[str]) -> tuple[str, ...]:
    """Read the domains that complete a short name.

    Raises:
        TypeError: `suffixes` is one `str`, or holds something else.
        ValueError: A domain is none.
    """
    try:
        return tuple(check_name(check_host(suffix)).removesuffix(".") for suffix in several("search", suffixes))
    except ValueError as error:
        raise ValueError(f"search makes no sense: {error}") from None


def parse_protocols(protocols: Iterable[str]) -> tuple[str, ...]:
    """Read the names of protocols.

    Raises:
        TypeError: `protocols` is one `str`, or holds something else.
    """
    names = several("protocols", protocols)
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"protocols must be str, not {name!r}")
    return names
