"""Dialogues: what is said to a proxy until it has connected us to the target.

Two protocols: SOCKS5 (RFC 1928, with the passwords of RFC 1929) and CONNECT (RFC 9110, section 9.3.6). socksio and h11
know them, and do no I/O.

Whoever speaks first at the target may do so in the packet that holds the proxy's reply. So we never receive a byte
more than the reply: SOCKS5 tells its lengths, and the end of an HTTP head is read a byte at a time. What a proxy says
is not trusted: it is bounded, and not a word of it goes into an error, since it might repeat our credentials.

What lives here: the two dialogues, over any stream, and whom they are about. What does not: who reaches the proxy.
"""

from __future__ import annotations

import base64
import errno
import re
import socket
from dataclasses import dataclass
from typing import TypeAlias

import trio

from .._address import IPV4, check_host, check_name, check_port, format_host_port, parse_literal
from .._errors import os_error

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

Credentials: TypeAlias = tuple[str, str]
"""A user name and a password."""

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
class Target:
    """Who is to be reached, checked; the text of errors."""

    host: str
    port: int

    @classmethod
    def read(cls, host: str | bytes, port: int) -> Target:
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


async def ask_socks5(stream: trio.abc.Stream, target: Target, credentials: Credentials | None) -> None:
    """Have a SOCKS5 proxy connect this stream to the target, and receive nothing beyond its reply.

    Raises:
        OSError: It would not, or could not; the text names the target.
    """
    try:
        connection = socks5.SOCKS5Connection()
        await _authenticate(stream, connection, target, credentials)
        await _request(stream, connection, target)
        return
    except ProtocolError:
        pass  # its text is the proxy's
    raise target.failure(errno.EPROTO, "the proxy does not speak SOCKS5")


async def _authenticate(
    stream: trio.abc.Stream, connection: socks5.SOCKS5Connection, target: Target, credentials: Credentials | None
) -> None:
    """RFC 1928, section 3, and RFC 1929, section 2."""
    methods = [socks5.SOCKS5AuthMethod.NO_AUTH_REQUIRED]
    if credentials is not None:
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
    assert credentials is not None
    username, password = (text.encode() for text in credentials)
    connection.send(socks5.SOCKS5UsernamePasswordRequest(username, password))
    await stream.send_all(connection.data_to_send())
    verdict = connection.receive_data(await _receive(stream, 2, target))
    assert isinstance(verdict, socks5.SOCKS5UsernamePasswordReply)
    if not verdict.success:
        raise target.failure(errno.EACCES, "the proxy does not accept the credentials")


async def _request(stream: trio.abc.Stream, connection: socks5.SOCKS5Connection, target: Target) -> None:
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


async def ask_http(stream: trio.abc.Stream, target: Target, credentials: Credentials | None) -> None:
    """Have an HTTP proxy connect this stream to the target, and receive nothing beyond its reply.

    Raises:
        OSError: It would not, or could not; the text names the target.
    """
    headers = [("Host", str(target))]
    if credentials is not None:
        token = base64.b64encode(":".join(credentials).encode()).decode("ascii")
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


async def _receive_head(stream: trio.abc.Stream, room: int, target: Target) -> bytes:
    """RFC 9112, section 2.1: receive up to the empty line and not a byte more; some end their lines with LF alone."""
    head = bytearray()
    while not head.endswith((b"\n\r\n", b"\n\n")):
        if len(head) >= room:
            raise target.failure(errno.EMSGSIZE, "the proxy's answer is too long")
        head += await _receive(stream, 1, target)
        if not head.startswith(b"HTTP/"[: len(head)]):
            raise target.failure(errno.EPROTO, "the proxy does not speak HTTP")
    return bytes(head)


async def _receive(stream: trio.abc.Stream, length: int, target: Target) -> bytes:
    """Receive exactly so many bytes."""
    received = b""
    while len(received) < length:
        more = await stream.receive_some(length - len(received))
        if not more:
            raise target.failure(errno.ECONNRESET, "the proxy closed before its reply was complete")
        received += more
    return received
