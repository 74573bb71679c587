"""Simulated network: bad networks in virtual time, for applications that must work on them.

Black holes, late answers and refusals are hard to come by on a good network, and take real seconds on a bad one. Here
each is set up in one line, and on Trio's mock clock they take no time.

`SimulatedNetwork` is a network *below* the connector: every socket goes through the same system calls as on the
kernel, EINPROGRESS included, so that what is tested is what runs. Connections carry bytes; `accept` returns the
server's end. For code that calls Trio itself, `installed` puts it behind Trio's hooks. `simulate` runs one race where
nothing is async, as the value of an expression.

There are no packets: a delay is given, not computed from losses.
"""

from __future__ import annotations

import errno
import itertools
import math
import random
import socket
from collections.abc import AsyncIterable, Awaitable, Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import trio

from .._address import IPV4, IPV6, Address, GivenAddress, check_port, several
from .._connect.look_ups import LookUp
from .._connect.network import Socket
from .._connect.policy_table import DEFAULT_POLICY_TABLE, PolicyTable
from .._connector import Connector, check_establish
from .._dns.services import Records, SVCBResolver
from .._error_texts import strerror
from .._pictures.recording import RecordedRace
from .._policy import Policy, check_seconds
from .._race.calls import Dial, race
from .._resolve.query import Service, Source
from .._resolve.rfc6724 import Rules
from .._resolve.system import Resolver
from .host import SimulatedHost
from .names import NameServer, SimulatedLookUp, ZoneEntry, literal
from .run import Serve, recorded
from .sockets import ConnectOutcome, SimulatedSocket, source_address
from .trio_hooks import Hooks, SimulatedTrioSocket

__all__ = ["SimulatedHost", "SimulatedNetwork", "simulate", "simulate_race"]

_FAMILIES = {IPV6: "IPv6", IPV4: "IPv4"}


class SimulatedNetwork:
    """A network whose names, hosts and delays you set; a `Connector` uses it as its `network`.

    Args:
        ipv6: Whether this host has a route for IPv6.
        ipv4: Whether this host has a route for IPv4.

    Attributes:
        connects: Every connect that sent a packet: its time and the address.

    Example:
        >>> import trio, trio.testing
        >>> from trio_nbconnect import Connector
        >>> async def main():
        ...     net = SimulatedNetwork()
        ...     net.answers("example.org", aaaa=["2001:db8::1"], a=["192.0.2.1"], after=0.02)
        ...     net.host("2001:db8::1").drops()
        ...     net.host("192.0.2.1").accepts(after=0.03)
        ...     async with await Connector(network=net).open_tcp_stream("example.org", 443) as stream:
        ...         print(stream.socket.getpeername()[0], net.started)
        >>> trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
        192.0.2.1 {'2001:db8::1': 0.02, '192.0.2.1': 0.27}
    """

    def __init__(self, *, ipv6: bool = True, ipv4: bool = True) -> None:
        self.connects: list[tuple[float, Address]] = []
        self._routes = {IPV6: ipv6, IPV4: ipv4}
        self._names = NameServer()
        self._hosts: dict[tuple[str, int | None], SimulatedHost] = {}
        self._sockets = _Sockets(self)

    def answers(
        self,
        name: str,
        *,
        aaaa: Iterable[str] | None = None,
        a: Iterable[str] | None = None,
        https: Iterable[Service] | None = None,
        srv: Iterable[Service] | None = None,
        alias: str = "",
        after: float = 0.0,
        error: OSError | None = None,
    ) -> None:
        """Set which records a name has, and when the name server answers.

        A record type that was never mentioned has no records, and is answered at once. Names are those of DNS: upper
        and lower case are the same, and a dot at the end changes nothing.

        Args:
            name: The host name.
            aaaa: Its IPv6 addresses; an empty list says that there are none.
            a: Its IPv4 addresses.
            https: Its services; the resolver of `resolver()` asks for them.
            srv: The hosts of a service, where the name is like `_xmpp-client._tcp.example.org` (RFC 2782); the same.
            alias: In their place, the host that stands in for this one (AliasMode, RFC 9460, section 2.4.2).
            after: Seconds from the query to the answer; `math.inf` never answers.
            error: What an empty list means: by default that there are no such records, or no such name
                (`socket.gaierror` with `EAI_NONAME`) if it has none of any type.

        Raises:
            TypeError: No record type was mentioned, or its addresses are one `str`.
            ValueError: An address is not numeric, or not of its family; or the name or the time makes no sense.

        Example:
            >>> import socket
            >>> net = SimulatedNetwork()
            >>> net.answers("example.org", a=["192.0.2.1", "192.0.2.2"], after=0.02)
            >>> net.answers("example.org", aaaa=[], after=0.5, error=socket.gaierror(socket.EAI_AGAIN, "SERVFAIL"))
        """
        after = check_seconds("after", after)
        zone = {
            source: Records(addresses=tuple(literal(text, source.family).ip for text in several(what, addresses)))
            for what, source, addresses in (("aaaa", Source.AAAA, aaaa), ("a", Source.A, a))
            if addresses is not None
        }
        if https is not None or alias:
            services = several("https", () if https is None else https, "services")
            zone[Source.HTTPS] = Records(services=services, alias=alias)
        if srv is not None:
            zone[Source.SRV] = Records(services=several("srv", srv, "services"))
        if not zone:
            raise TypeError(f"aaaa, a, https, srv and alias are all missing: {name!r}")
        for source, records in zone.items():
            self._names.set(name, source, ZoneEntry(records=records, after=after, error=error))

    @property
    def queries(self) -> list[tuple[float, Source, str]]:
        """Every look-up: its time, the record type and the name."""
        return self._names.queries

    def resolver(
        self,
        *,
        services: bool = True,
        protocols: tuple[str, ...] = ("h2", "http/1.1"),
        encrypted: bool = False,
        rng: random.Random | None = None,
    ) -> Resolver:
        """Return a resolver that asks this network's name servers itself, HTTPS and SRV records included.

        Without it, a connector asks `getaddrinfo`, as for the operating system.

        Args:
            services: Whether to ask for HTTPS records.
            protocols: The ALPN protocols that the client speaks.
            encrypted: Whether queries travel encrypted (DNS over TLS or HTTPS).
            rng: What shuffles services of equal priority.
        """
        return SVCBResolver(self._names.look_up, services=services, protocols=protocols, encrypted=encrypted, rng=rng)

    def host(self, address: str, port: int | None = None) -> SimulatedHost:
        """Return the host with this address, or just one port of it, to say what it does.

        What is set for a port counts for that port, what is set for the address for all others.

        Raises:
            TypeError: `port` is no int.
            ValueError: `address` is not numeric, or `port` out of range.

        Example:
            >>> net = SimulatedNetwork()
            >>> net.host("192.0.2.1").refuses(), net.host("192.0.2.1", 443).accepts()
            (<SimulatedHost 192.0.2.1: ECONNREFUSED after 0 s>, <SimulatedHost 192.0.2.1:443: accepts after 0 s>)
        """
        endpoint = literal(address, port=0 if port is None else check_port(port))
        name = endpoint.ip if port is None else str(endpoint)
        return self._hosts.setdefault((endpoint.ip, port), SimulatedHost(name))

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
        return len(self._sockets.open)

    @contextmanager
    def installed(self) -> Iterator[SimulatedNetwork]:
        """Let everything in this `trio.run` that opens sockets through Trio use this network, for the block.

        `trio.open_tcp_stream` and what builds on it (HTTPX, for one) needs no change. The hooks that were set before
        are put back.

        Example:
            >>> import trio
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
        hooks = Hooks(lambda family: _ours(self.open(family)), self._names.ask)
        resolver = trio.socket.set_custom_hostname_resolver(hooks)
        factory = trio.socket.set_custom_socket_factory(hooks)
        try:
            yield self
        finally:
            trio.socket.set_custom_hostname_resolver(resolver)
            trio.socket.set_custom_socket_factory(factory)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        """Show a notebook the names and hosts."""
        from .._pictures.bundles import table  # noqa: PLC0415 - who never asks never loads it

        missing = " and ".join(name for family, name in _FAMILIES.items() if not self._routes[family])
        hosts = [(host._name, host._behaviour) for host in self._hosts.values()]
        caption = f"SimulatedNetwork without {missing}" if missing else "SimulatedNetwork"
        return table(["name or host", "what it does"], [*self._names.rows(), *hosts], caption)

    # What follows is `Network`, the port.

    def open(self, family: socket.AddressFamily, protocol: int = 0) -> Socket:
        if protocol:  # this host has no Multipath TCP
            raise OSError(errno.EPROTONOSUPPORT, strerror(errno.EPROTONOSUPPORT))
        if family not in self._routes:
            raise OSError(errno.EAFNOSUPPORT, strerror(errno.EAFNOSUPPORT))
        sock = SimulatedSocket(self._sockets, family)
        self._sockets.open.add(sock)
        return sock

    async def wait_writable(self, sock: Socket) -> None:
        await _ours(sock).wait_writable()

    def close(self, sock: Socket) -> None:
        sock.close()

    def stream(self, sock: Socket) -> trio.SocketStream:
        return trio.SocketStream(SimulatedTrioSocket(_ours(sock)))

    def look_up(self, host: str, port: int, family: int) -> LookUp:
        """Ask for one family, or for both; the answer for both is there when the slower one is."""
        if family:
            return SimulatedLookUp([self._names.ask(host, Source.of(socket.AddressFamily(family)))], port)
        self._names.log(host, Source.SYSTEM)
        entries = [self._names.entry(host, source) for source in (Source.AAAA, Source.A)]
        return SimulatedLookUp(entries, port, partial(Rules, self.source_address, self.policy_table()))

    def is_dns_name(self, name: str) -> bool:
        return "." in name

    async def is_in_hosts(self, name: str) -> bool:
        await trio.lowlevel.checkpoint()
        return False

    def localhost(self) -> tuple[str, ...]:
        return "::1", "127.0.0.1"

    def round_trip_time(self, sock: Socket) -> float | None:
        """Measure nothing; the time that a handshake takes is what was asked for."""
        return None

    def syn_retransmissions(self, sock: Socket) -> int:
        return _ours(sock).syn_retransmissions

    def source_address(
        self, address: Address, local: Address | None = None, settings: Iterable[object] = ()
    ) -> Address | None:
        return source_address(address) if self._routes[address.family] or address.is_loopback else None

    def deprecated_addresses(self) -> Collection[str]:
        return ()

    def policy_table(self) -> PolicyTable:
        return DEFAULT_POLICY_TABLE

    # What follows is for the sockets, for `simulate`, and for the playground.

    def _find(self, target: Address) -> SimulatedHost:
        return self._hosts.get((target.ip, target.port)) or self.host(target.ip)

    def _become(self, other: SimulatedNetwork) -> None:
        """Have the names, hosts and routes of another one, which is not used any more."""
        self._routes, self._names, self._hosts = other._routes, other._names, other._hosts

    def _reset(self) -> None:
        """Forget what was done on it; what was set up stays."""
        self.connects.clear()
        self.queries.clear()
        self._sockets = _Sockets(self)
        for host in self._hosts.values():
            host._reset()


class _Sockets:
    """The sockets of a simulated host that are open, and what they ask of its network (`SocketOwner`)."""

    def __init__(self, network: SimulatedNetwork) -> None:
        self.open: set[SimulatedSocket] = set()
        self._network = network
        self._ports = itertools.count()

    def free_port(self) -> int:
        """Take the next of the dynamic ports (RFC 6335, section 6)."""
        return 49152 + next(self._ports) % 16384

    def begin_connect(self, target: Address) -> ConnectOutcome:
        """Return the outcome of a connect that begins now; loopback needs no route."""
        if not self._network._routes[target.family] and not target.is_loopback:
            return ConnectOutcome(errno.ENETUNREACH, at_once=True)
        outcome = self._network._find(target)._outcome
        if not outcome.at_once:
            self._network.connects.append((trio.current_time(), target))
        return outcome

    def queue_connection(self, target: Address, server_end: SimulatedSocket) -> None:
        """Queue the server's end of a connection for `accept`."""
        self._network._find(target)._accepted.send_nowait(server_end)

    def forget_socket(self, sock: SimulatedSocket) -> None:
        """Count a socket as closed."""
        self.open.discard(sock)

    def close_all(self) -> None:
        """Close every socket of this host."""
        for sock in tuple(self.open):
            sock.close()


def _ours(sock: Socket) -> SimulatedSocket:
    """A socket that this network has opened."""
    if not isinstance(sock, SimulatedSocket):
        raise TypeError(f"sock must be one that a SimulatedNetwork has opened, not {sock!r}")
    return sock


def simulate(
    network: SimulatedNetwork,
    host: str | bytes | Iterable[GivenAddress],
    port: int | None = None,
    *,
    connector: Connector = Connector(),
    policy: Policy | None = None,
    establish: Callable[[trio.SocketStream], Awaitable[object]] | None = None,
    serve: Serve | None = None,
    addresses: Iterable[GivenAddress] | None = None,
    give_up_after: float = math.inf,
) -> RecordedRace:
    """Run one race on a simulated network, in virtual time, and return its recording; nothing needs to be async.

    It takes a millisecond or two, however long the race is, and may be called anywhere, also where Trio is running.
    A race that is lost is a result like any other: the recording shows it, and its `timeline.error` is the error. One
    that would last for ever, since no host answers and nothing gives up, is returned as it stands. The connection is
    closed. The network may be used again: its names and hosts stay, what it saw (`connects`, `queries`, `started`) is
    of the latest race.

    Only this recording, and the connector's own tracer, get the events of the race. `record()` blocks around the call
    do not: their races are on another clock.

    Args:
        network: The network; it must not be in use elsewhere.
        host: See `Connector.connect`.
        port: See `Connector.connect`.
        connector: Who connects; its `network` is replaced by the simulated one.
        policy: In place of the connector's.
        establish: See `Connector.connect`, a second phase of each attempt. Let it wait for the simulation alone: for
            `trio.sleep`, and for the stream.
        serve: What the servers do: an async function that is given the server's end of each connection, as for
            `trio.serve_listeners`; its own address is the stream's `socket.getsockname()`. None does nothing.
        addresses: See `Connector.connect`.
        give_up_after: See `Connector.connect`.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: An argument makes no sense, or the network has open sockets: it is in use.

    Example:
        >>> from trio_nbconnect import Policy
        >>> net = SimulatedNetwork()
        >>> net.answers("example.org", aaaa=["2001:db8::1"], a=["192.0.2.1"], after=0.02)
        >>> net.host("2001:db8::1").drops(), net.host("192.0.2.1").accepts(after=0.03)
        (<SimulatedHost 2001:db8::1: drops>, <SimulatedHost 192.0.2.1: accepts after 0.03 s>)
        >>> for delay in (0.1, 0.25, 1):
        ...     print(round(simulate(net, "example.org", 443, policy=Policy(attempt_delay=delay)).timeline.duration, 3))
        0.15
        0.3
        1.05
    """
    if not isinstance(connector, Connector):
        raise TypeError(f"connector must be a Connector, not {connector!r}")
    if establish is not None:
        check_establish(establish)
    _begin(network)
    connector = replace(connector, network=network, policy=connector.policy if policy is None else policy)
    connect = partial(connector.connect, establish=establish) if establish is not None else connector.open_tcp_stream
    return _simulate(network, partial(connect, host, port, addresses=addresses, give_up_after=give_up_after), serve)


def simulate_race(
    network: SimulatedNetwork,
    attempts: Iterable[Dial[object]] | AsyncIterable[Dial[object]],
    *,
    name: str = "peer",
    policy: Policy = Policy(),
    failures: type[Exception] | tuple[type[Exception], ...] = (),
    serve: Serve | None = None,
    give_up_after: float = math.inf,
) -> RecordedRace:
    """Run one race between attempts of any kind in virtual time, as `simulate` does, and return its recording.

    Let an attempt wait for the simulation alone: for `trio.sleep`, and for streams that a connector on `network` opens.

    Args:
        network: See `simulate`.
        attempts: See `race`.
        name: See `race`.
        policy: See `race`.
        failures: See `race`.
        serve: See `simulate`.
        give_up_after: See `race`.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: An argument makes no sense, or the network is in use.

    Example:
        >>> import trio
        >>> from trio_nbconnect import Dial
        >>> async def silent():
        ...     await trio.sleep_forever()
        >>> async def relay():
        ...     await trio.sleep(0.1)
        >>> attempts = [Dial("QUIC", silent), Dial("relay", relay)]
        >>> simulate_race(SimulatedNetwork(), attempts).timeline.winner.address.host
        'relay'
    """
    _begin(network)
    run = partial(race, attempts, name=name, policy=policy, failures=failures, give_up_after=give_up_after)
    return _simulate(network, partial(run, close=lambda _: None), serve)


def _begin(network: SimulatedNetwork) -> None:
    if not isinstance(network, SimulatedNetwork):
        raise TypeError(f"network must be a SimulatedNetwork, not {network!r}")
    if network.open_sockets:
        raise ValueError(f"network must be one that nobody uses, not one with {network.open_sockets} open sockets")
    network._reset()


def _simulate(network: SimulatedNetwork, connect: Callable[[], Awaitable[object]], serve: Serve | None) -> RecordedRace:
    async def connect_once() -> None:
        try:
            await connect()
        finally:
            network._sockets.close_all()

    return recorded(connect_once, network._hosts.values(), serve)
