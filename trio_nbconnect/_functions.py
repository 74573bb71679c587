"""Functions: Trio's three, with Trio's parameters, defaults and meaning, and two that Trio lacks.

Changing the import is the whole migration. Trio's own tests for these functions pass unmodified against ours. Behind
Trio's parameters come keyword-only ones of ours. In `open_tls_stream` TLS is part of the race.

Two things of Trio's are kept although they surprise: `happy_eyeballs_delay=None` means 0.25 s, and `local_address`
may be a name. One is not: a delay below 10 ms is stretched to that, as RFC 8305 demands.
"""

from __future__ import annotations

import math
import os
import socket
import ssl
from collections.abc import Iterable

import trio

from ._address import GivenAddress, LocalAddress, Target, check_host, parse_literal
from ._connector import Connector
from ._policy import Policy, check_seconds

_DEFAULT = Connector()


async def open_tcp_stream(
    host: str | bytes | Iterable[GivenAddress],
    port: int | None = None,
    *,
    happy_eyeballs_delay: float | None = 0.25,
    local_address: LocalAddress | None = None,
    addresses: Iterable[GivenAddress] | None = None,
    give_up_after: float = math.inf,
) -> trio.SocketStream:
    """Connect to a host over TCP, on whichever of its addresses answers first: a drop-in for `trio.open_tcp_stream`.

    Args:
        host: A host name, or an IPv4 or IPv6 address with or without brackets and scope. Or several, the preferred one
            first, each with its port as in `("db1.example", 5432)`: one race, in which the addresses of one host come
            before those of the next.
        port: The port, 0 to 65535; of several hosts, that of those which have none of their own.
        happy_eyeballs_delay: Seconds until the next address is tried beside the first; `None` is 0.25 as in Trio, and
            `math.inf` tries one after the other.
        local_address: The address to connect from, numeric or a name, or a numeric one for each family.
        addresses: What to try instead of looking the host up: numeric addresses, and paths of UNIX sockets (an
            `os.PathLike`, or what begins with a slash or a NUL). With a port of its own, as in `("192.0.2.1", 5433)`,
            it may also be another host, which is looked up.
        give_up_after: Seconds for the whole call.

    Raises:
        ConnectError: No address could be connected to (an `OSError`; see its attributes for what was tried).
        TypeError: `port` is no int, or a duration no number.
        ValueError: An argument makes no sense; the text shows it.

    Example:
        >>> import socket, trio
        >>> async def main():
        ...     with socket.create_server(("127.0.0.1", 0)) as listener:
        ...         async with await open_tcp_stream(*listener.getsockname()) as stream:
        ...             print(stream.socket.getpeername() == listener.getsockname())
        >>> trio.run(main)
        True
    """
    if isinstance(local_address, str):
        local_address = await _numeric(local_address)
    return await (  # type: ignore[no-any-return]  # a stream; to say so in a variable is 16 bytes in each pending one
        _connector(happy_eyeballs_delay, local_address)._race(Target.parse(host, port, addresses), give_up_after).run()
    )


async def open_ssl_over_tcp_stream(
    host: str | bytes | Iterable[GivenAddress],
    port: int | None = None,
    *,
    https_compatible: bool = False,
    ssl_context: ssl.SSLContext | None = None,
    happy_eyeballs_delay: float | None = 0.25,
    server_hostname: str | bytes | None = None,
    local_address: LocalAddress | None = None,
    addresses: Iterable[GivenAddress] | None = None,
    give_up_after: float = math.inf,
) -> trio.SSLStream[trio.SocketStream]:
    """Connect over TCP and wrap the stream in TLS: a drop-in for `trio.open_ssl_over_tcp_stream`.

    The handshake comes with the first byte sent or received, as in Trio.

    Args:
        host: See `open_tcp_stream`; the certificate must be valid for it, and of several hosts for the one that is
            connected to.
        port: See `open_tcp_stream`.
        https_compatible: Whether to leave out the closing handshake, see `trio.SSLStream`.
        ssl_context: The TLS context; None is what `ssl.create_default_context()` makes, shared: do not change it.
        happy_eyeballs_delay: See `open_tcp_stream`.
        server_hostname: The name that the certificate must be valid for, if it is not `host`; it must be given with
            several hosts.
        local_address: See `open_tcp_stream`.
        addresses: See `open_tcp_stream`.
        give_up_after: See `open_tcp_stream`; it does not cover the handshake.

    Raises:
        ConnectError: See `open_tcp_stream`. Nothing of TLS fails here.
    """
    return await _connector(happy_eyeballs_delay, await _numeric(local_address)).open_ssl_over_tcp_stream(
        host,
        port,
        https_compatible=https_compatible,
        ssl_context=ssl_context,
        server_hostname=server_hostname,
        addresses=addresses,
        give_up_after=give_up_after,
    )


async def open_tls_stream(
    host: str | bytes | Iterable[GivenAddress],
    port: int | None = None,
    *,
    https_compatible: bool = False,
    ssl_context: ssl.SSLContext | None = None,
    happy_eyeballs_delay: float | None = 0.25,
    server_hostname: str | bytes | None = None,
    alpn_protocols: Iterable[str] | None = None,
    local_address: LocalAddress | None = None,
    addresses: Iterable[GivenAddress] | None = None,
    give_up_after: float = math.inf,
) -> trio.SSLStream[trio.SocketStream]:
    """Connect with TLS, on whichever address first completes the handshake with a certificate that is good.

    The handshake is part of the race, and done when this returns.

    Args:
        host: See `open_tcp_stream`; the certificate must be valid for it, and of several hosts for the one that is
            connected to.
        port: See `open_tcp_stream`.
        https_compatible: Whether to leave out the closing handshake, see `trio.SSLStream`.
        ssl_context: The TLS context; None is what `ssl.create_default_context()` makes, shared: do not change it.
        happy_eyeballs_delay: See `open_tcp_stream`.
        server_hostname: The name that the certificate must be valid for, and that the server is told (SNI), if it is
            not `host`.
        alpn_protocols: The protocols to offer (RFC 7301), the best first; not with a context of your own.
        local_address: See `open_tcp_stream`.
        addresses: See `open_tcp_stream`.
        give_up_after: See `open_tcp_stream`; it covers the handshake.

    Raises:
        TLSError: A handshake failed, or a certificate was not good; `primary_error` is the `ssl.SSLError`.
        ConnectError: See `open_tcp_stream`.
        TypeError: An argument is of the wrong type.
        ValueError: An argument makes no sense; or `alpn_protocols` and `ssl_context` are both given.
    """
    return await _connector(happy_eyeballs_delay, await _numeric(local_address)).open_tls_stream(
        host,
        port,
        https_compatible=https_compatible,
        ssl_context=ssl_context,
        server_hostname=server_hostname,
        alpn_protocols=alpn_protocols,
        addresses=addresses,
        give_up_after=give_up_after,
    )


async def open_service_stream(
    service: str, domain: str | bytes, *, port: int | None = None, give_up_after: float = math.inf
) -> trio.SocketStream:
    """Connect to a service of a domain over TCP, on the hosts that its SRV records name (RFC 2782).

    Name servers are asked directly, by one `dns.DNSResolver` for all calls in a `trio.run`: this needs the extra `dns`.
    See `Connector.open_service_stream` for another one.

    Args:
        service: The service and its protocol, `_xmpp-client._tcp`.
        domain: The domain that has it.
        port: Where to connect to the domain itself, should it have no such records; None is nowhere.
        give_up_after: Seconds for the whole call.

    Raises:
        ConnectError: See `open_tcp_stream`; `ResolutionError` also if the domain says that it has no such service.
        ImportError: dnspython is not installed.
        TypeError: An argument is of the wrong type.
        ValueError: An argument makes no sense; the text shows it.

    Example:
        >>> import trio
        >>> async def xmpp() -> trio.SocketStream:
        ...     return await open_service_stream("_xmpp-client._tcp", "example.org", port=5222)
    """
    from ._dns.resolver import DNSResolver  # noqa: PLC0415 - an extra

    try:
        connector = _with_name_servers.get()
    except LookupError:
        connector = Connector(resolver=DNSResolver())
        _with_name_servers.set(connector)
    return await connector.open_service_stream(service, domain, port=port, give_up_after=give_up_after)


_with_name_servers: trio.lowlevel.RunVar[Connector] = trio.lowlevel.RunVar("trio_nbconnect.functions.with_name_servers")


async def open_unix_socket(
    filename: str | bytes | os.PathLike[str] | os.PathLike[bytes],
    *,
    give_up_after: float = math.inf,
) -> trio.SocketStream:
    """Connect to a UNIX socket: a drop-in for `trio.open_unix_socket`.

    While the server's backlog is full it waits for room; Trio returns a stream that is not connected. On macOS a full
    backlog refuses, as if nobody listened.

    Args:
        filename: Its path; a leading NUL means the abstract namespace (Linux's unix(7)).
        give_up_after: Seconds for the whole call.

    Raises:
        ConnectTimeout: `give_up_after` is over; the text says what was under way.
        OSError: There is no socket, nobody listens, or it may not be used.
        RuntimeError: This platform has no UNIX sockets.
        TypeError: `filename` is no path, or `give_up_after` no number.
        ValueError: There is a NUL inside a path, or `give_up_after` makes no sense.
    """
    return await _DEFAULT.open_unix_socket(filename, give_up_after=give_up_after)


def _connector(happy_eyeballs_delay: float | None, local_address: LocalAddress | None) -> Connector:
    delay = 0.25 if happy_eyeballs_delay is None else happy_eyeballs_delay
    if delay == 0.25 and local_address is None:
        return _DEFAULT
    check_seconds("happy_eyeballs_delay", delay)
    return Connector(policy=Policy(attempt_delay=delay), local_address=local_address)


async def _numeric(local_address: LocalAddress | None) -> LocalAddress | None:
    """Trio lets `local_address` be a name; its first address of each family counts."""
    if not isinstance(local_address, str):
        return local_address
    try:
        is_literal = parse_literal(check_host(local_address), 0) is not None
    except ValueError as error:
        raise ValueError(f"local_address makes no sense: {error}") from None
    if is_literal:
        return local_address
    entries = await trio.socket.getaddrinfo(local_address, None, type=socket.SOCK_STREAM)
    return {socket.AddressFamily(entry[0]): str(entry[4][0]) for entry in reversed(entries)}
