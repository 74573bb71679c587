"""Name servers: which there are, and what else is configured.

The problem: an administrator names servers in `resolv.conf`, a program in its own words, and either may be mistaken.
A program wants to be told, at once and with the words it used; of the file, whatever makes sense has to do.

How we solve it: what a program wrote is read strictly, into the servers of `_dns_transports`, and all of them or none
are encrypted. `resolv.conf` is read by dnspython, without the lines that it would stumble over. Both end up as
`Settings`, whose defaults are those of resolv.conf(5).

What lives here: `Settings`, and the reading of whatever goes into it. What does not: messages and sockets, for nothing
here waits; a server has a numeric address because its name would have to be looked up first. What we left out: the
options of resolv.conf(5) that are not in `Settings`; they tell glibc how to ask, and we ask in our own way.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

import dns.exception
import dns.name
import dns.query
import dns.resolver

from .._address import Address, check_host, check_name, check_port, parse_literal
from .transports import HTTPSServer, PlainServer, Server, TLSServer

__all__ = [
    "Server",
    "Settings",
    "check_count",
    "parse_protocols",
    "parse_resolv_conf",
    "parse_search",
    "parse_servers",
]

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
