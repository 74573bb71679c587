"""Testing: a network in virtual time, for applications that must work on bad ones.

The problem: black holes, late answers and refusals are hard to come by on a good network, and take real seconds on a
bad one. Here they are said in a line each, and with Trio's mock clock they take no time.

How it works: `SimulatedNetwork` is a network *below* the connector. Every socket goes through the same system calls
as on the kernel, `EINPROGRESS` and all, so what is tested is what runs. Connections carry bytes: `accept` returns the
server's end. For code that calls Trio itself, `installed` puts it behind Trio's own hooks.

What lives here: names, hosts and what they do. The sockets are in `_simulated`.
"""

from __future__ import annotations

import errno
import math
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import trio

from ._address import IPV4, IPV6, Address, check_host, check_port, parse_literal
from ._policy import check_seconds
from ._question import Source
from ._simulated import Endpoint, Outcome, SimulatedSocket

__all__ = ["SimulatedHost", "SimulatedNetwork"]


@dataclass(frozen=True, slots=True)
class _Records:
    """What a name server says of a name, in one family."""

    addresses: tuple[str, ...]
    after: float
    error: OSError


class SimulatedHost:
    """One address of a simulated network; say what it does. The last word counts, for connects that begin later."""

    def __init__(self) -> None:
        self._outcome = Outcome(after=math.inf)
        self._accepted, self._waiting = trio.open_memory_channel[SimulatedSocket](math.inf)

    def accepts(self, *, after: float = 0.0) -> SimulatedHost:
        """Complete handshakes, `after` seconds after their first packet."""
        return self._does(0, after)

    def refuses(self, *, after: float = 0.0) -> SimulatedHost:
        """Answer with a reset: `ECONNREFUSED` after so many seconds."""
        return self._does(errno.ECONNREFUSED, after)

    def resets(self, *, after: float = 0.0) -> SimulatedHost:
        """Complete the handshake and reset it at once: `ECONNRESET`, before anybody can look."""
        return self._does(errno.ECONNRESET, after)

    def swallows(self) -> SimulatedHost:
        """Answer nothing at all, the default."""
        return self._does(0, math.inf)

    def unreachable(self, *, after: float | None = None) -> SimulatedHost:
        """Be out of reach: no route, which `connect` itself reports (`ENETUNREACH`).

        With `after`, a router says so (`EHOSTUNREACH`) that many seconds after the first packet.
        """
        if after is None:
            self._outcome = Outcome(errno.ENETUNREACH, at_once=True)
            return self
        return self._does(errno.EHOSTUNREACH, after)

    def fails(self, number: int, *, after: float = 0.0) -> SimulatedHost:
        """Fail with any errno."""
        return self._does(number, after)

    async def accept(self) -> trio.SocketStream:
        """Return the server's end of the next connection, as soon as there is one."""
        return trio.SocketStream(await self._waiting.receive())

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

        A family that was never mentioned has no addresses, and says so at once.

        Args:
            name: The host name.
            aaaa: Its IPv6 addresses; an empty list says that there are none.
            a: Its IPv4 addresses.
            after: Seconds from the query to the answer; `math.inf` never answers.
            error: What an empty list means, by default `socket.gaierror` with `EAI_NONAME`.
        """
        check_seconds("after", after)
        error = error or socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        for family, addresses in ((IPV6, aaaa), (IPV4, a)):
            if addresses is not None:
                texts = tuple(addresses)
                for text in texts:
                    self._literal(text, family)
                self._names[name, family] = _Records(texts, after, error)

    def host(self, address: str, port: int | None = None) -> SimulatedHost:
        """Return the host with this address, or just one port of it, to say what it does."""
        literal = self._literal(address)
        return self._hosts.setdefault((literal.ip, None if port is None else check_port(port)), SimulatedHost())

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
        """Let everything in this `trio.run` that opens sockets through Trio use this network, for the block."""
        hooks = _Hooks(self)
        resolver = trio.socket.set_custom_hostname_resolver(hooks)
        factory = trio.socket.set_custom_socket_factory(hooks)
        try:
            yield self
        finally:
            trio.socket.set_custom_hostname_resolver(resolver)
            trio.socket.set_custom_socket_factory(factory)

    # What follows is `Network`, the port.

    def open(self, family: socket.AddressFamily) -> Endpoint:
        """Open a socket."""
        endpoint = Endpoint(self, family)
        self._open.add(endpoint)
        return endpoint

    async def wait_writable(self, sock: Endpoint) -> None:
        """Wait until its connect is decided."""
        await sock.wait_writable()

    def close(self, sock: Endpoint) -> None:
        """Close it."""
        sock.close()

    def stream(self, sock: Endpoint) -> trio.SocketStream:
        """Make it a stream."""
        return trio.SocketStream(SimulatedSocket(sock, self))

    async def getaddrinfo(
        self, host: str, port: int, family: socket.AddressFamily, limiter: trio.CapacityLimiter | None = None
    ) -> list[Address]:
        """Answer as was said with `answers`."""
        self.queries.append((trio.current_time(), Source.of(family), host))
        unknown = _Records((), 0.0, socket.gaierror(socket.EAI_NONAME, "Name or service not known"))
        records = self._names.get((host, family), unknown)
        await trio.sleep(records.after)
        if not records.addresses:
            raise type(records.error)(*records.error.args)
        return [self._literal(text, family, port) for text in records.addresses]

    def has_route(self, family: socket.AddressFamily) -> bool:
        """Whether this host can send to the internet over this family."""
        return self._routes[family]

    # What follows is `Fabric`, for the sockets.

    def connecting(self, target: Address) -> Outcome:
        """Say what will become of a connect that begins now."""
        if not self._routes[target.family]:
            return Outcome(errno.ENETUNREACH, at_once=True)
        outcome = self._find(target)._outcome
        if not outcome.at_once:
            self.connects.append((trio.current_time(), target))
        return outcome

    def connected(self, target: Address, peer: SimulatedSocket) -> None:
        """Queue the server's end of a connection for `accept`."""
        self._find(target)._accepted.send_nowait(peer)

    def closed(self, endpoint: Endpoint) -> None:
        """Forget a socket."""
        self._open.discard(endpoint)

    def _find(self, target: Address) -> SimulatedHost:
        return self._hosts.get((target.ip, target.port)) or self.host(target.ip)

    @staticmethod
    def _literal(text: str, family: socket.AddressFamily | None = None, port: int = 0) -> Address:
        literal = parse_literal(check_host(text), port)
        if literal is None or family not in (None, literal.family):
            raise ValueError(f"address must be numeric and of its family, not {text!r}")
        return literal


class _Hooks(trio.abc.HostnameResolver, trio.abc.SocketFactory):
    """A simulated network as Trio's hooks see it."""

    def __init__(self, network: SimulatedNetwork) -> None:
        self._network = network

    def socket(self, family: Any = IPV4, *_kind: Any) -> SimulatedSocket:
        """Open a socket."""
        return SimulatedSocket(self._network.open(socket.AddressFamily(family)), self._network)

    async def getaddrinfo(self, host: Any, port: Any, family: int = 0, *_kind: Any) -> Any:
        """Look both families up, one after the other, as the system's resolver would for Trio."""
        entries: list[Any] = []
        failure: OSError | None = None
        for wanted in (IPV6, IPV4):
            if family in (0, wanted):
                try:
                    found = await self._network.getaddrinfo(host.decode("ascii"), int(port), wanted)
                except OSError as error:
                    failure = error
                else:
                    entries += [(wanted, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", a.sockaddr) for a in found]
        if not entries and failure is not None:
            raise failure
        return entries

    async def getnameinfo(self, sockaddr: Any, flags: int) -> tuple[str, str]:
        """Name an address by itself."""
        await trio.lowlevel.checkpoint()
        return str(sockaddr[0]), str(sockaddr[1])
