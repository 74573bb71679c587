"""Proxy handshakes: what is exchanged with a proxy until it has connected us to the target.

Two protocols: SOCKS5 (RFC 1928, with the passwords of RFC 1929), whose messages socksio builds and reads, and CONNECT
(RFC 9110, section 9.3.6), which is a request of three lines and a response whose status alone matters.

A target that speaks first may do so in the packet that holds the proxy's reply, so that we never receive a byte more
than the reply: SOCKS5 states its lengths, and the end of an HTTP head is read a byte at a time. What a proxy sends is
not trusted: its length is bounded, and no word of it goes into an error, since it might repeat our credentials.

Refused: an HTTP library for the response. "A client MUST ignore any Content-Length or Transfer-Encoding header fields
received in a successful response to CONNECT", and libraries reject a message for either of them. We accept the header
lines that curl accepts.
"""

from __future__ import annotations

import base64
import errno
import re
import socket
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

import trio

from .._address import IPV4, check_host, check_name, check_port, format_host_port, parse_literal
from .._errors import os_error

try:
    from socksio import socks5
    from socksio.exceptions import ProtocolError
except ModuleNotFoundError as missing:
    if missing.name != "socksio":
        raise
    raise ImportError("trio_nbconnect.proxy needs socksio: python -m pip install 'trio-nbconnect[proxy]'") from None

_HIDDEN = "********"

_MAXIMUM_HEAD = 16 * 1024
"""How much an HTTP proxy may send before the tunnel, in octets, interim responses included."""

_NAME = re.compile(r"[A-Za-z0-9_.-]+")
"""What we let into a request: host names and their underscores, nothing that could end or extend the line."""

_STATUS_LINE = re.compile(rb"HTTP/1\.[01] +([1-9][0-9][0-9])(?: .*)?")
"""RFC 9112, section 4; the reason may be missing, with the space before it."""

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
    101: errno.EPROTO,  # nobody asked to switch protocols
    401: errno.EACCES,
    403: errno.EACCES,
    405: errno.EOPNOTSUPP,
    407: errno.EACCES,  # proxy authentication required
    408: errno.ETIMEDOUT,
    429: errno.EAGAIN,  # RFC 6585: too many requests for now
    501: errno.EOPNOTSUPP,
    502: errno.EHOSTUNREACH,
    503: errno.EHOSTUNREACH,
    504: errno.ETIMEDOUT,
}
"""RFC 9110, section 15, as a proxy means it that could not, or would not, connect."""


def _http_error(status: int) -> int:
    """Section 15.5: of the others, those from 400 on are about the request, which will be the same the next time."""
    return _HTTP_ERRORS.get(status, errno.EOPNOTSUPP if 400 <= status < 500 else errno.ECONNABORTED)


class Secret:
    """A user name or password that no representation shows: not `repr`, not `str`, not `dataclasses.asdict`.

    A pickle of it holds the value, encoded so that it does not stand in the bytes as text. That hides it from a
    glance at a log, and from nobody who wants it.

    Args:
        value: The text.

    Example:
        >>> Secret("swordfish"), str(Secret("swordfish")), Secret("swordfish").reveal()
        (Secret('********'), '********', 'swordfish')
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the text."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret({_HIDDEN!r})"

    def __str__(self) -> str:
        return _HIDDEN

    def __eq__(self, other: object) -> bool:
        return self._value == other._value if isinstance(other, Secret) else NotImplemented

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __getstate__(self) -> bytes:
        return base64.b85encode(self._value.encode())

    def __setstate__(self, state: bytes) -> None:
        self._value = base64.b85decode(state).decode()


Credentials: TypeAlias = tuple[Secret, Secret]
"""A user name and a password."""


@dataclass(frozen=True, slots=True)
class Target:
    """The host and port to be reached, checked; it begins the text of errors."""

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
        """Return the error of a dialogue about this target."""
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
    chosen = _expect(socks5.SOCKS5AuthReply, connection.receive_data(reply))
    if chosen.method not in methods:
        raise target.failure(errno.EACCES, "the proxy wants another authentication")
    if chosen.method == socks5.SOCKS5AuthMethod.NO_AUTH_REQUIRED or credentials is None:
        return
    username, password = credentials
    connection.send(socks5.SOCKS5UsernamePasswordRequest(username.reveal().encode(), password.reveal().encode()))
    await stream.send_all(connection.data_to_send())
    verdict = _expect(socks5.SOCKS5UsernamePasswordReply, connection.receive_data(await _receive(stream, 2, target)))
    if not verdict.success:
        hint = "" if password.reveal() else ": where only the user name counts, some want any password but an empty one"
        raise target.failure(errno.EACCES, f"the proxy does not accept the credentials{hint}")


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
    await _skip_reply(stream, target)


async def _skip_reply(stream: trio.abc.Stream, target: Target) -> None:
    """RFC 1928, section 6: after a success comes an address, which tells us nothing, and a port.

    Some proxies write zeros only, also for the kind of the address; so 0 is read as IPv4.
    """
    version, reply, _, kind = await _receive(stream, 4, target)
    if version != 5:
        raise ProtocolError("another version")
    if reply != 0:  # the rest has no meaning then, and some do not send it
        raise target.failure(_SOCKS_ERRORS.get(reply, errno.ECONNABORTED), f"the proxy replied {reply}")
    if kind not in (0, 1, 3, 4):
        raise ProtocolError("another kind of address")
    length = (await _receive(stream, 1, target))[0] if kind == 3 else 16 if kind == 4 else 4
    await _receive(stream, length + 2, target)


M = TypeVar("M")


def _expect(kind: type[M], message: object) -> M:
    """Narrow a message of socksio, which returns the one that fits its state."""
    assert isinstance(message, kind)
    return message


async def ask_http(stream: trio.abc.Stream, target: Target, credentials: Credentials | None) -> None:
    """Have an HTTP proxy connect this stream to the target, and receive nothing beyond its reply.

    Raises:
        OSError: It would not, or could not; the text names the target.
    """
    await stream.send_all(_connect_request(target, credentials))
    left, status = _MAXIMUM_HEAD, 100
    while status < 200 and status != 101:  # RFC 9110, section 15.2: a client must be able to parse interim responses
        head = await _receive_head(stream, left, target)
        left -= len(head)
        status = _status(head, target)
    if not 200 <= status < 300:
        raise target.failure(_http_error(status), f"the proxy answered {status}")


def _connect_request(target: Target, credentials: Credentials | None) -> bytes:
    """RFC 9110, section 9.3.6, and RFC 7617, section 2; `Target.read` lets nothing in that could end a line."""
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
    if credentials is not None:
        token = base64.b64encode(":".join(secret.reveal() for secret in credentials).encode())
        lines.append(f"Proxy-Authorization: Basic {token.decode('ascii')}")
    return "\r\n".join([*lines, "", ""]).encode("ascii")


def _status(head: bytes, target: Target) -> int:
    """Return the status of a response; its header lines are checked as curl checks them, and ignored."""
    status_line, *lines = head.replace(b"\r\n", b"\n").removesuffix(b"\n\n").split(b"\n")
    match = _STATUS_LINE.fullmatch(status_line)
    if match is None:
        what = "another version of HTTP than 1" if not status_line.startswith(b"HTTP/1.") else "HTTP without a status"
        raise target.failure(errno.EPROTO, f"the proxy answered in {what}")
    for number, line in enumerate(lines, start=1):
        if b"\0" in line:
            raise target.failure(errno.EPROTO, f"line {number} of the header of the proxy's answer has a NUL")
        is_folded = number > 1 and line.startswith((b" ", b"\t"))  # RFC 9112, section 5.2
        if b":" not in line and not is_folded:
            raise target.failure(errno.EPROTO, f"line {number} of the header of the proxy's answer has no colon")
    return int(match[1])


async def _receive_head(stream: trio.abc.Stream, maximum: int, target: Target) -> bytes:
    """RFC 9112, section 2.1: receive up to the empty line and not a byte more; some end their lines with LF alone."""
    head = bytearray()
    while not head.endswith((b"\n\r\n", b"\n\n")):
        if len(head) >= maximum:
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
