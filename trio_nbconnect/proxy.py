"""Proxies: a connector that reaches hosts through somebody else (extra `proxy`).

The problem: where only a proxy leads outside, its name has several addresses like any other, and that one of them
completes TCP does not say that it serves us.

How we solve it: a proxy wraps a connector. It is reached by a race, and the dialogue with it, SOCKS5 (RFC 1928, with
the passwords of RFC 1929) or CONNECT (RFC 9110, section 9.3.6), is what the race awaits on each connection: an address
whose dialogue fails or hangs lets the others go on. socksio and h11 know the protocols, and do no I/O. The target's
name goes to the proxy as it is: nothing here asks for its addresses.

Whoever speaks first at the target may do so in the packet that holds the proxy's reply. So we never receive a byte
more than the reply: SOCKS5 tells its lengths, and the end of an HTTP head is read a byte at a time. What a proxy says
is not trusted: it is bounded, and not a word of it goes into an error, since it might repeat our credentials.

What lives here: the two dialogues. What does not: limits; those are `give_up_after` and `Policy.give_up_attempt_after`.
We do not choose a proxy by URL or environment, and do not speak TLS to the proxy itself.
"""

from __future__ import annotations

import base64
import errno
import math
import re
import socket
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import KW_ONLY, dataclass, field
from typing import TypeVar

import trio

from ._address import IPV4, check_host, check_name, check_port, format_host_port, given_addresses, parse_literal
from ._connector import Connector
from ._errors import os_error

try:
    import h11
    from socksio import socks5
    from socksio.exceptions import ProtocolError
except ModuleNotFoundError as missing:
    if missing.name not in {"h11", "socksio"}:
        raise
    raise ImportError(
        "trio_nbconnect.proxy needs socksio, h11: python -m pip install 'trio-nbconnect[proxy]'"
    ) from None

__all__ = ["HTTPProxy", "SOCKS5Proxy"]

T = TypeVar("T")

_LONGEST_HEAD = 16 * 1024
"""How much a proxy may say before the tunnel, in octets; what h11 accepts by default."""

_NAME = re.compile(r"[A-Za-z0-9_.-]+")
"""What we let into a request: host names and their underscores, nothing that could end or extend the line."""

_SOCKS_ERRORS = {
    2: errno.EACCES,  # not allowed by ruleset
    3: errno.ENETUNREACH,
    4: errno.EHOSTUNREACH,
    5: errno.ECONNREFUSED,
    6: errno.EHOSTUNREACH,  # TTL expired; Linux says the same of ICMP's
    7: errno.EOPNOTSUPP,
    8: errno.EAFNOSUPPORT,
}
"""RFC 1928, section 6. A general failure, 1, and what is not assigned, say no more than that it failed."""

_HTTP_ERRORS = {
    401: errno.EACCES,
    403: errno.EACCES,
    405: errno.EOPNOTSUPP,
    407: errno.EACCES,  # proxy authentication required
    408: errno.ETIMEDOUT,
    501: errno.EOPNOTSUPP,
    502: errno.EHOSTUNREACH,
    503: errno.EHOSTUNREACH,
    504: errno.ETIMEDOUT,
}
"""RFC 9110, section 15, as a proxy means it that could not, or would not, connect."""


@dataclass(frozen=True, slots=True)
class _Target:
    """Who is to be reached, checked; the text of errors."""

    host: str
    port: int

    @classmethod
    def read(cls, host: str | bytes, port: int) -> _Target:
        text, port = check_host(host), check_port(port)
        literal = parse_literal(text, port)
        if literal is None:
            text = check_name(text)
            if not _NAME.fullmatch(text):
                raise ValueError(f"host must be a name or an address, not {host!r}")
        elif literal.scope_id:
            raise ValueError(f"host must have no scope, which means nothing to a proxy: {host!r}")
        return cls(text if literal is None else literal.host, port)

    def __str__(self) -> str:
        return format_host_port(self.host, self.port)

    def failure(self, number: int, what: str) -> OSError:
        """What the dialogue about this target met."""
        return os_error(number, f"{self} ({what})")


@dataclass(frozen=True, slots=True)
class _Proxy(ABC):
    """What both proxies are: an address, who connects to it, and credentials that are never shown."""

    host: str
    port: int
    _: KW_ONLY
    connector: Connector | None = None
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    addresses: Iterable[str] | None = None

    def __post_init__(self) -> None:
        host, port = check_host(self.host), check_port(self.port)
        if not given_addresses(host, port, None):
            check_name(host)
        if self.addresses is not None and not isinstance(self.addresses, (str, bytes)):
            object.__setattr__(self, "addresses", tuple(self.addresses))
        given_addresses(host, port, self.addresses)
        if self.connector is not None and not isinstance(self.connector, Connector):
            raise TypeError(f"connector must be Connector, not {self.connector!r}")
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password must be given together")
        for name, value in (("username", self.username), ("password", self.password)):
            if value is not None and not isinstance(value, str):
                raise TypeError(f"{name} must be str, not {type(value).__name__}")
            if value is not None:
                if any("\ud800" <= letter <= "\udfff" for letter in value):
                    raise ValueError(f"{name} must be text that UTF-8 can hold")  # its own error shows the value
                self._check_credential(name, value)

    async def connect(
        self,
        host: str | bytes,
        port: int,
        establish: Callable[[trio.SocketStream], Awaitable[T]],
        *,
        give_up_after: float = math.inf,
    ) -> T:
        """Race for a tunnel on which `establish` succeeds, and return what that returned.

        Args:
            host: The target, a name or an address; the proxy looks the name up.
            port: The target's port.
            establish: An async callable of the stream, whose other end is the target; see `Connector.connect`.
            give_up_after: Seconds for the whole call. One address's part of it, the dialogue and `establish`
                included, is limited by `Policy.give_up_attempt_after`.

        Raises:
            ConnectError: No address of the proxy led to the target; it names the proxy, and its failures the target.
            TypeError: `port` is no int, or `give_up_after` no number.
            ValueError: `host`, `port` or `give_up_after` make no sense.

        Example:
            TLS with the target, as part of the race:

            >>> import ssl
            >>> async def secured(stream: trio.SocketStream) -> trio.SSLStream[trio.SocketStream]:
            ...     secure = trio.SSLStream(stream, ssl.create_default_context(), server_hostname="example.org")
            ...     await secure.do_handshake()
            ...     return secure
            >>> async def main() -> trio.SSLStream[trio.SocketStream]:
            ...     proxy = SOCKS5Proxy("proxy.example", 1080)
            ...     return await proxy.connect("example.org", 443, secured, give_up_after=10)
        """
        target = _Target.read(host, port)

        async def through(stream: trio.SocketStream) -> T:
            await self._ask(stream, target)
            return await establish(stream)

        connector = self.connector or Connector()
        return await connector.connect(
            self.host, self.port, through, addresses=self.addresses, give_up_after=give_up_after
        )

    async def open_tcp_stream(
        self, host: str | bytes, port: int, *, give_up_after: float = math.inf
    ) -> trio.SocketStream:
        """Connect to a host through the proxy; the stream's other end is the target.

        Args and errors are those of `connect`.
        """
        return await self.connect(host, port, _as_it_is, give_up_after=give_up_after)

    @abstractmethod
    def _check_credential(self, name: str, value: str) -> None:
        """Raise what is wrong with a user name or password, without its value."""

    @abstractmethod
    async def _ask(self, stream: trio.SocketStream, target: _Target) -> None:
        """Have the proxy connect this stream to the target, and receive nothing beyond its reply."""


class SOCKS5Proxy(_Proxy):
    """Connect through a SOCKS5 proxy (RFC 1928). Immutable, and safe to share between tasks.

    Args:
        host: The proxy's name or address.
        port: The proxy's port.
        connector: Who races for a connection to the proxy; None is `Connector()`.
        username: For a proxy that asks for it (RFC 1929), 1 to 255 octets of UTF-8. Anybody on the wire can read it.
        password: Likewise.
        addresses: Numeric addresses of the proxy, to try instead of looking it up.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: An argument makes no sense; or one of `username` and `password` is missing.

    Example:
        >>> SOCKS5Proxy("proxy.example", 1080, username="me", password="secret")
        SOCKS5Proxy(host='proxy.example', port=1080, connector=None, addresses=None)
    """

    __slots__ = ()

    def _check_credential(self, name: str, value: str) -> None:
        if not 1 <= len(value.encode()) <= 255:
            raise ValueError(f"{name} must have 1 to 255 octets")  # RFC 1929, section 2

    async def _ask(self, stream: trio.SocketStream, target: _Target) -> None:
        try:
            connection = socks5.SOCKS5Connection()
            await self._authenticate(stream, connection, target)
            await self._request(stream, connection, target)
            return
        except ProtocolError:
            pass  # its text is the proxy's
        raise target.failure(errno.EPROTO, "the proxy does not speak SOCKS5")

    async def _authenticate(
        self, stream: trio.SocketStream, connection: socks5.SOCKS5Connection, target: _Target
    ) -> None:
        """RFC 1928, section 3, and RFC 1929, section 2."""
        methods = [socks5.SOCKS5AuthMethod.NO_AUTH_REQUIRED]
        if self.username is not None:
            methods.append(socks5.SOCKS5AuthMethod.USERNAME_PASSWORD)
        connection.send(socks5.SOCKS5AuthMethodsRequest(methods))
        await stream.send_all(connection.data_to_send())
        reply = await _receive(stream, 2, target)
        if reply[:1] != b"\x05":
            raise ProtocolError("another version")
        chosen = connection.receive_data(reply)
        assert isinstance(chosen, socks5.SOCKS5AuthReply)
        if chosen.method not in methods:
            raise target.failure(errno.EACCES, "the proxy wants another authentication")
        if chosen.method == socks5.SOCKS5AuthMethod.NO_AUTH_REQUIRED:
            return
        username, password = str(self.username).encode(), str(self.password).encode()
        connection.send(socks5.SOCKS5UsernamePasswordRequest(username, password))
        await stream.send_all(connection.data_to_send())
        verdict = connection.receive_data(await _receive(stream, 2, target))
        assert isinstance(verdict, socks5.SOCKS5UsernamePasswordReply)
        if not verdict.success:
            raise target.failure(errno.EACCES, "the proxy does not accept the credentials")

    async def _request(self, stream: trio.SocketStream, connection: socks5.SOCKS5Connection, target: _Target) -> None:
        """RFC 1928, sections 4 to 6."""
        literal = parse_literal(target.host, target.port)
        if literal is None:
            kind, address = socks5.SOCKS5AType.DOMAIN_NAME, target.host.encode("ascii")
        else:
            is_ipv4 = literal.family == IPV4
            kind = socks5.SOCKS5AType.IPV4_ADDRESS if is_ipv4 else socks5.SOCKS5AType.IPV6_ADDRESS
            address = socket.inet_pton(literal.family, literal.host)
        command = socks5.SOCKS5Command.CONNECT
        connection.send(socks5.SOCKS5CommandRequest(command, kind, address, target.port))
        await stream.send_all(connection.data_to_send())
        reply = await _receive(stream, 4, target)
        if reply[0] != 5:
            raise ProtocolError("another version")
        if reply[1] != 0:  # the rest is no news, and some do not send it
            number = _SOCKS_ERRORS.get(reply[1], errno.ECONNABORTED)
            raise target.failure(number, f"the proxy replied {reply[1]}")
        if reply[3] == 3:
            reply += await _receive(stream, 1, target)
            await _receive(stream, reply[4] + 2, target)  # a name that nobody reads, and its port
            return
        length = {1: 4, 4: 16}.get(reply[3], 0)  # socksio refuses what is neither
        connection.receive_data(reply + (await _receive(stream, length + 2, target) if length else b""))


class HTTPProxy(_Proxy):
    """Connect through an HTTP proxy, with CONNECT (RFC 9110, section 9.3.6). Immutable, and safe to share.

    Args:
        host: The proxy's name or address.
        port: The proxy's port.
        connector: Who races for a connection to the proxy; None is `Connector()`.
        username: For "Basic" authentication (RFC 7617), without a colon. Anybody on the wire can read it.
        password: Likewise; it may have colons, and be empty.
        addresses: Numeric addresses of the proxy, to try instead of looking it up.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: An argument makes no sense; or one of `username` and `password` is missing.

    Example:
        >>> HTTPProxy("proxy.example", 3128, addresses=["192.0.2.1", "192.0.2.2"])
        HTTPProxy(host='proxy.example', port=3128, connector=None, addresses=('192.0.2.1', '192.0.2.2'))
    """

    __slots__ = ()

    def _check_credential(self, name: str, value: str) -> None:
        if any(ord(letter) < 32 or ord(letter) == 127 for letter in value):
            raise ValueError(f"{name} must have no control characters")  # RFC 7617, section 2
        if name == "username" and ":" in value:
            raise ValueError("username must have no colon")

    async def _ask(self, stream: trio.SocketStream, target: _Target) -> None:
        headers = [("Host", str(target))]
        if self.username is not None:
            token = base64.b64encode(f"{self.username}:{self.password}".encode()).decode("ascii")
            headers.append(("Proxy-Authorization", f"Basic {token}"))
        connection = h11.Connection(h11.CLIENT)
        request = connection.send(h11.Request(method="CONNECT", target=str(target), headers=headers))
        assert request is not None
        await stream.send_all(request)
        room, status = _LONGEST_HEAD, 100
        while status < 200:  # RFC 9110, section 15.2: a client must be able to parse interim responses
            head = await _receive_head(stream, room, target)
            room -= len(head)
            status = _status(connection, head)
            if not status:
                raise target.failure(errno.EPROTO, "the proxy does not speak HTTP")
        if status >= 300:
            raise target.failure(_HTTP_ERRORS.get(status, errno.ECONNABORTED), f"the proxy answered {status}")


def _status(connection: h11.Connection, head: bytes) -> int:
    """Return the status of a response, 0 if it is none."""
    try:
        connection.receive_data(head)
        event = connection.next_event()
    except h11.RemoteProtocolError:
        return 0  # its text is the proxy's
    assert isinstance(event, (h11.InformationalResponse, h11.Response))
    return event.status_code


async def _receive_head(stream: trio.SocketStream, room: int, target: _Target) -> bytes:
    """RFC 9112, section 2.1: receive up to the empty line and not a byte more; some end their lines with LF alone."""
    head = bytearray()
    while not head.endswith((b"\n\r\n", b"\n\n")):
        if len(head) >= room:
            raise target.failure(errno.EMSGSIZE, "the proxy's answer is too long")
        head += await _receive(stream, 1, target)
        if not head.startswith(b"HTTP/"[: len(head)]):
            raise target.failure(errno.EPROTO, "the proxy does not speak HTTP")
    return bytes(head)


async def _receive(stream: trio.SocketStream, length: int, target: _Target) -> bytes:
    """Receive exactly so many bytes."""
    received = b""
    while len(received) < length:
        more = await stream.receive_some(length - len(received))
        if not more:
            raise target.failure(errno.ECONNRESET, "the proxy closed before its reply was complete")
        received += more
    return received


async def _as_it_is(stream: trio.SocketStream) -> trio.SocketStream:
    return stream
