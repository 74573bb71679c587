"""Testing: a network in virtual time, for applications that must work on bad ones.

The problem: black holes, late answers and refusals are hard to come by on a good network, and take real seconds on a
bad one. Here they are said in a line each, and with Trio's mock clock they take no time.

How it works: `SimulatedNetwork` is a network *below* the connector. Every socket goes through the same system calls
as on the kernel, `EINPROGRESS` and all, so what is tested is what runs. Connections carry bytes: `accept` returns the
server's end. For code that calls Trio itself, `installed` puts it behind Trio's own hooks.

What lives here: names, hosts and what they do. The sockets are in `_simulated`, Trio's hooks in `_simulated_hooks`.
"""

from __future__ import annotations

import copy
import errno
import itertools
import math
import os
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import trio

from ._address import IPV4, IPV6, Address, check_host, check_name, check_port, parse_literal
from ._policy import check_seconds
from ._question import Source
from ._simulated import Endpoint, Outcome
from ._simulated_hooks import Hooks, SimulatedSocket

__all__ = ["SimulatedHost", "SimulatedNetwork"]


@dataclass(frozen=True, slots=True)
class _Records:
    """What a name server says of a name, in one family."""

    addresses: tuple[str, ...]
    after: float
    error: OSError

    def read(self, port: int) -> list[Address]:
        """Return the addresses, or raise what there is instead."""
        if not self.addresses:
            raise copy.copy(self.error)
        return [_literal(text, port=port) for text in self.addresses]


_UNKNOWN = _Records((), 0.0, socket.gaierror(socket.EAI_NONAME, "Name or service not known"))


class SimulatedHost:
    """One address of a simulated network; say what it does. The last word counts, for connects that begin later.

    All times are seconds from the first packet of a connect to the answer to it. Each verb returns the host.

    Example:
        >>> SimulatedNetwork().host("192.0.2.1").accepts(after=0.05)
        <SimulatedHost 192.0.2.1: accepts after 0.05 s>
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._outcome = Outcome(after=math.inf)
        self._accepted, self._waiting = trio.open_memory_channel[Endpoint](math.inf)

    def __repr__(self) -> str:
        outcome = self._outcome
        deed = errno.errorcode[outcome.errno] if outcome.errno else "accepts"
        when = "at once" if outcome.at_once else f"after {outcome.after:g} s"
        return f"<SimulatedHost {self._name}: {'swallows' if outcome.after == math.inf else f'{deed} {when}'}>"

    def accepts(self, *, after: float = 0.0) -> SimulatedHost:
        """Complete handshakes; `accept` then has the server's end.

        >>> SimulatedNetwork().host("2001:db8::1", 443).accepts()
        <SimulatedHost [2001:db8::1]:443: accepts after 0 s>
        """
        return self._does(0, after)

    def refuses(self, *, after: float = 0.0) -> SimulatedHost:
        """Answer with a reset, as a host does where nobody listens.

        >>> SimulatedNetwork().host("192.0.2.1").refuses(after=0.02)
        <SimulatedHost 192.0.2.1: ECONNREFUSED after 0.02 s>
        """
        return self._does(errno.ECONNREFUSED, after)

    def resets(self, *, after: float = 0.0) -> SimulatedHost:
        """Complete the handshake and reset it before anybody can look, as an overloaded load balancer does.

        >>> SimulatedNetwork().host("192.0.2.1").resets(after=0.02)
        <SimulatedHost 192.0.2.1: ECONNRESET after 0.02 s>
        """
        return self._does(errno.ECONNRESET, after)

    def swallows(self) -> SimulatedHost:
        """Answer nothing at all, as a firewall that drops packets; the default.

        >>> SimulatedNetwork().host("192.0.2.1").swallows()
        <SimulatedHost 192.0.2.1: swallows>
        """
        return self._does(0, math.inf)

    def unreachable(self, *, after: float | None = None) -> SimulatedHost:
        """Be out of reach: no route, so that `connect` itself fails and no packet is sent.

        With `after`, there is a route, and a router on it says so that many seconds after the first packet.

        >>> SimulatedNetwork().host("192.0.2.1").unreachable()
        <SimulatedHost 192.0.2.1: ENETUNREACH at once>
        >>> SimulatedNetwork().host("192.0.2.1").unreachable(after=0.03)
        <SimulatedHost 192.0.2.1: EHOSTUNREACH after 0.03 s>
        """
        if after is None:
            self._outcome = Outcome(errno.ENETUNREACH, at_once=True)
            return self
        return self._does(errno.EHOSTUNREACH, after)

    def fails(self, number: int, *, after: float = 0.0) -> SimulatedHost:
        """Fail with any error of the `errno` module.

        >>> SimulatedNetwork().host("192.0.2.1").fails(errno.EACCES, after=0.01)
        <SimulatedHost 192.0.2.1: EACCES after 0.01 s>
        """
        if number not in errno.errorcode:
            raise ValueError(f"number must be one of errno's, not {number!r}")
        return self._does(number, after)

    async def accept(self) -> trio.SocketStream:
        """Return the server's end of the next connection, as soon as there is one.

        A connection waits here until it is accepted, also one that the client has closed by then.

        Example:
            >>> async def echo(host: SimulatedHost) -> None:
            ...     async with await host.accept() as stream:
            ...         async for chunk in stream:
            ...             await stream.send_all(chunk)
        """
        return trio.SocketStream(SimulatedSocket(await self._waiting.receive()))

    def _does(self, number: int, after: float) -> SimulatedHost:
        self._outcome = Outcome(number, check_seconds("after", after))
        return self


class SimulatedNetwork:
    """A network whose names, hosts and delays you decide; a `Connector` uses it as its `network`.

    Args:
        ipv6: Whether this host has a route for IPv6.
        ipv4: Whether this host has a route for IPv4.

    Attributes:
        queries: Every look-up: its time, the record type and the name.
        connects: Every connect that sent a packet: its time and the address.

    Example:
        >>> import trio, trio.testing
        >>> from trio_nbconnect import Connector
        >>> async def main():
        ...     net = SimulatedNetwork()
        ...     net.answers("example.org", aaaa=["2001:db8::1"], a=["192.0.2.1"], after=0.02)
        ...     net.host("2001:db8::1").swallows()
        ...     net.host("192.0.2.1").accepts(after=0.03)
        ...     async with await Connector(network=net).open_tcp_stream("example.org", 443) as stream:
        ...         print(stream.socket.getpeername()[0], net.started)
        >>> trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
        192.0.2.1 {'2001:db8::1': 0.02, '192.0.2.1': 0.27}
    """

    def __init__(self, *, ipv6: bool = True, ipv4: bool = True) -> None:
        self.queries: list[tuple[float, Source, str]] = []
        self.connects: list[tuple[float, Address]] = []
        self._routes = {IPV6: ipv6, IPV4: ipv4}
        self._names: dict[tuple[str, socket.AddressFamily], _Records] = {}
        self._hosts: dict[tuple[str, int | None], SimulatedHost] = {}
        self._open: set[Endpoint] = set()
        self._ports = itertools.count()

    def answers(
        self,
        name: str,
        *,
        aaaa: Iterable[str] | None = None,
        a: Iterable[str] | None = None,
        after: float = 0.0,
        error: OSError | None = None,
    ) -> None:
        """Say what a name server knows of a name.

        A family that was never mentioned has no addresses, and says so at once. Names are those of DNS: upper and
        lower case are the same, and a dot at the end changes nothing.

        Args:
            name: The host name.
            aaaa: Its IPv6 addresses; an empty list says that there are none.
            a: Its IPv4 addresses.
            after: Seconds from the query to the answer; `math.inf` never answers.
            error: What an empty list means, by default `socket.gaierror` with `EAI_NONAME`.

        Raises:
            TypeError: No family was mentioned, or its addresses are one `str`.
            ValueError: An address is not numeric, or not of its family; or the name or the time makes no sense.

        Example:
            >>> net = SimulatedNetwork()
            >>> net.answers("example.org", a=["192.0.2.1", "192.0.2.2"], after=0.02)
            >>> net.answers("example.org", aaaa=[], after=0.5, error=socket.gaierror(socket.EAI_AGAIN, "SERVFAIL"))
        """
        check_seconds("after", after)
        said = {family: addresses for family, addresses in ((IPV6, aaaa), (IPV4, a)) if addresses is not None}
        if not said or any(isinstance(addresses, str) for addresses in said.values()):
            raise TypeError(f"aaaa and a must be lists of addresses, at least one of them: {name!r}")
        for family, addresses in said.items():
            texts = tuple(_literal(text, family).ip for text in addresses)
            self._names[_key(name), family] = _Records(texts, after, error or _UNKNOWN.error)

    def host(self, address: str, port: int | None = None) -> SimulatedHost:
        """Return the host with this address, or just one port of it, to say what it does.

        What is said of a port counts for that port, what is said of the address for all others.

        Raises:
            TypeError: `port` is no int.
            ValueError: `address` is not numeric, or `port` out of range.

        Example:
            >>> net = SimulatedNetwork()
            >>> net.host("192.0.2.1").refuses(), net.host("192.0.2.1", 443).accepts()
            (<SimulatedHost 192.0.2.1: ECONNREFUSED after 0 s>, <SimulatedHost 192.0.2.1:443: accepts after 0 s>)
        """
        literal = _literal(address, port=0 if port is None else check_port(port))
        name = literal.ip if port is None else str(literal)
        return self._hosts.setdefault((literal.ip, port), SimulatedHost(name))

    @property
    def started(self) -> dict[str, float]:
        """When the first packet went to each address, in seconds on Trio's clock."""
        started: dict[str, float] = {}
        for time, address in self.connects:
            started.setdefault(address.ip, time)
        return started

    @property
    def open_sockets(self) -> int:
        """How many of this host's sockets are open: 0 once the connections are closed, or something leaks."""
        return len(self._open)

    @contextmanager
    def installed(self) -> Iterator[SimulatedNetwork]:
        """Let everything in this `trio.run` that opens sockets through Trio use this network, for the block.

        `trio.open_tcp_stream` and what builds on it (HTTPX, for one) needs no change. The hooks that were set before
        are put back.

        Example:
            >>> async def main():
            ...     net = SimulatedNetwork()
            ...     net.answers("example.org", a=["192.0.2.1"])
            ...     net.host("192.0.2.1").accepts(after=0.03)
            ...     with net.installed():
            ...         async with await trio.open_tcp_stream("example.org", 443) as stream:
            ...             print(stream.socket.getpeername())
            >>> trio.run(main)
            ('192.0.2.1', 443)
        """
        hooks = Hooks(self.open, self.ask)
        resolver = trio.socket.set_custom_hostname_resolver(hooks)
        factory = trio.socket.set_custom_socket_factory(hooks)
        try:
            yield self
        finally:
            trio.socket.set_custom_hostname_resolver(resolver)
            trio.socket.set_custom_socket_factory(factory)

    # What follows is `Network`, the port.

    def open(self, family: socket.AddressFamily) -> Endpoint:
        if family not in self._routes:
            raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))
        endpoint = Endpoint(self, family)
        self._open.add(endpoint)
        return endpoint

    async def wait_writable(self, sock: Endpoint) -> None:
        await sock.wait_writable()

    def close(self, sock: Endpoint) -> None:
        sock.close()

    def stream(self, sock: Endpoint) -> trio.SocketStream:
        return trio.SocketStream(SimulatedSocket(sock))

    async def getaddrinfo(
        self, host: str, port: int, family: socket.AddressFamily, limiter: trio.CapacityLimiter | None = None
    ) -> list[Address]:
        records = self.ask(host, family)
        await trio.sleep(records.after)
        return records.read(port)

    def has_route(self, family: socket.AddressFamily) -> bool:
        return self._routes[family]

    # What follows is for the hooks, and `Fabric`, for the sockets.

    def ask(self, host: str, family: socket.AddressFamily) -> _Records:
        """Send a query, and know the answer before it is there."""
        self.queries.append((trio.current_time(), Source.of(family), host))
        return self._names.get((_key(host), family), _UNKNOWN)

    def free_port(self) -> int:
        """Take the next of the dynamic ports (RFC 6335, section 6)."""
        return 49152 + next(self._ports) % 16384

    def connecting(self, target: Address) -> Outcome:
        """Say what will become of a connect that begins now; loopback needs no route."""
        if not self._routes[target.family] and not target.is_loopback:
            return Outcome(errno.ENETUNREACH, at_once=True)
        outcome = self._find(target)._outcome
        if not outcome.at_once:
            self.connects.append((trio.current_time(), target))
        return outcome

    def connected(self, target: Address, far: Endpoint) -> None:
        """Queue the server's end of a connection for `accept`."""
        self._find(target)._accepted.send_nowait(far)

    def closed(self, endpoint: Endpoint) -> None:
        """Forget a socket."""
        self._open.discard(endpoint)

    def _find(self, target: Address) -> SimulatedHost:
        return self._hosts.get((target.ip, target.port)) or self.host(target.ip)


def _literal(text: str, family: socket.AddressFamily | None = None, port: int = 0) -> Address:
    literal = parse_literal(check_host(text), port)
    if literal is None or family not in (None, literal.family):
        raise ValueError(f"address must be numeric and of its family, not {text!r}")
    return literal


def _key(name: str) -> str:
    """A name as DNS compares it (RFC 4343), in the form that goes to a resolver."""
    return check_name(check_host(name)).removesuffix(".").lower()
