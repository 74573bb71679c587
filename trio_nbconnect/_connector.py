"""Connector: what users configure and call.

A host and a port become a `Target`, once; who knows its addresses is chosen; and one race is run. An IP literal,
`addresses=` and `localhost` need no DNS lookup. Trio's hooks, a custom resolver or socket factory, are honoured as Trio
honours them. Whatever is wrong with the input is raised here, before anything is sent.

A connector has no state of its own, so that all tasks of a program may share it.
"""

from __future__ import annotations

import math
import os
import socket
import ssl
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import trio

from ._address import (
    IPV4,
    Address,
    GivenAddress,
    LocalAddress,
    Target,
    is_localhost,
    local_addresses,
    parse_literal,
    path_of,
)
from ._blocking import BlockingConnector
from ._connect import tls as _tls
from ._connect.custom_sockets import (
    CustomSocketOpener,
    has_hostname_resolver,
    has_socket_factory,
    open_custom_unix,
)
from ._connect.handshake import Opener
from ._connect.network import KernelNetwork, Network
from ._connect.options import Options
from ._connect.sockets import SocketOpener, open_unix
from ._policy import Policy, check_seconds
from ._race.candidates import Candidates
from ._race.journal import Journal, journal
from ._race.race import Race, wall_clock
from ._race.resolution import Resolution
from ._resolve.history import History
from ._resolve.hosts import ServiceHosts, SeveralHosts, service_name
from ._resolve.system import HookResolver, Resolver, SystemResolver

if TYPE_CHECKING:
    from ._connect.options import FamilyOptions
    from ._resolve.history import HistoryView
    from ._resolve.nat64 import Translator
    from ._resolve.rfc6724 import Rules
    from .trace import Tracer
else:
    from ._listening import Tracer  # the events are loaded when somebody listens

T = TypeVar("T")


class StreamOpener(Protocol):
    """Whoever opens streams to a host: a `Connector`, or a proxy of `trio_nbconnect.proxy`. Adapters take any.

    The methods are those of `Connector`; each implementation may take more than what is here.
    """

    async def connect(
        self,
        host: str | bytes,
        port: int,
        establish: Callable[[Any], Awaitable[T]],
        *,
        give_up_after: float = math.inf,
    ) -> T:
        """Return what `establish` returned; see `Connector.connect`."""

    async def open_tcp_stream(
        self, host: str | bytes, port: int, *, give_up_after: float = math.inf
    ) -> trio.abc.Stream:
        """Return a stream whose other end is the host; see `Connector.open_tcp_stream`."""

    async def open_tls_stream(
        self,
        host: str | bytes,
        port: int,
        *,
        https_compatible: bool = False,
        ssl_context: ssl.SSLContext | None = None,
        server_hostname: str | bytes | None = None,
        alpn_protocols: Iterable[str] | None = None,
        give_up_after: float = math.inf,
    ) -> trio.SSLStream[Any]:
        """Return a stream with TLS, its handshake done; see `Connector.open_tls_stream`."""


_KERNEL = KernelNetwork()


@dataclass(frozen=True, slots=True, kw_only=True)
class Connector:
    """Open connections the way RFC 8305 asks for. Immutable, and safe to share between tasks.

    Args:
        policy: The delays and limits of a race.
        resolver: Who finds addresses; None asks the operating system, or the resolver set with Trio's hook. For
            `open_service_stream` it must find services as well, as `dns.DNSResolver` does.
        nat64: The prefix of this network's NAT64 (RFC 6052), "64:ff9b::/96" say, or several, to reach IPv4 hosts to
            which there is no route; `discover_nat64` finds them.
        local_address: The numeric address to connect from, or one for each family. Addresses of a family without one
            are left out. No local port is reserved. An interface in it, as in `fe80::2%wlan0`, may come, go and come
            back.
        options: How sockets are set up: `SocketOptions`, or some for each family.
        history: What earlier connections taught about addresses, and where this connector's go; see `History`.
        tracer: A callable that is told each event; see `trio_nbconnect.trace`.
        network: The network below; None is the kernel's, or sockets from the factory set with Trio's hook.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: `local_address` is no numeric address, or leaves no family of the policy; `options` has a key that
            is no family.

    Example:
        >>> connector = Connector(policy=Policy(attempt_delay=0.1), local_address="127.0.0.1")
    """

    policy: Policy = Policy()
    resolver: Resolver | None = None
    local_address: LocalAddress | None = None
    options: Options | None = None
    history: History | None = None
    nat64: str | tuple[str, ...] | None = None
    tracer: Tracer | None = None
    network: Network | None = None

    _parts: _Parts = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _check_kinds(self)
        object.__setattr__(self, "_parts", _Parts(self))

    def __hash__(self) -> int:
        """Equal connectors have an equal hash; what cannot be hashed, a mapping say, does not enter into it."""
        return hash((self.policy, self.nat64, self.network))

    def __reduce__(self) -> tuple[object, ...]:
        """Copy and pickle what the caller gave; the rest is made anew."""
        return _make, (type(self), {each.name: getattr(self, each.name) for each in fields(self) if each.init})

    def replace(self, **changes: Any) -> Connector:
        """Return a connector that differs in some arguments.

        Args:
            **changes: Arguments of `Connector`.

        Raises:
            TypeError: There is no such argument, or it is of the wrong type.
            ValueError: An argument makes no sense.

        Example:
            >>> Connector(local_address="127.0.0.1").replace(policy=Policy(attempt_delay=0.1)).local_address
            '127.0.0.1'
        """
        return replace(self, **changes)

    async def connect(
        self,
        host: str | bytes | Iterable[GivenAddress],
        port: int | None,
        establish: Callable[[trio.SocketStream], Awaitable[T]],
        *,
        addresses: Iterable[GivenAddress] | None = None,
        give_up_after: float = math.inf,
    ) -> T:
        """Race for a connection on which `establish` succeeds, and return what that returned.

        `establish` is called with the stream of each attempt that has connected: a handshake, a greeting, the
        dialogue with a proxy. While one runs, the others go on; the first to return wins. It fails by raising
        `OSError`, `trio.BrokenResourceError` or `trio.TooSlowError`; its stream is closed for it. Anything else it
        raises is a bug, ends the race and comes out as it is.

        Args:
            host: A host name, or an IPv4 or IPv6 address with or without brackets and scope. Or several, the preferred
                one first, each with its port as in `("db1.example", 5432)`: one race, in which the addresses of one
                host come before those of the next.
            port: The port, 0 to 65535; of several hosts, that of those which have none of their own.
            establish: An async callable of one stream.
            addresses: What to try instead of looking the host up: numeric addresses, and paths of UNIX sockets (an
                `os.PathLike`, or what begins with a slash or a NUL). With a port of its own, as in
                `("192.0.2.1", 5433)`, it may also be another host, which is looked up.
            give_up_after: Seconds for the whole call.

        Raises:
            ConnectError: No attempt was established; `ResolutionError`, `ConnectRefused` and `ConnectTimeout` are
                its kinds.
            TypeError: `port` is no int, `establish` cannot be called, or `give_up_after` is no number.
            ValueError: `host`, `port` or `addresses` make no sense.

        Example:
            >>> import trio
            >>> async def greeted(stream: trio.SocketStream) -> bytes:
            ...     return await stream.receive_some()
        """
        check_establish(establish)
        race: Race[T] = self._race(
            Target.parse(host, port, addresses), give_up_after, lambda stream, _: establish(stream)
        )
        return await race.run()

    async def open_tcp_stream(
        self,
        host: str | bytes | Iterable[GivenAddress],
        port: int | None = None,
        *,
        addresses: Iterable[GivenAddress] | None = None,
        give_up_after: float = math.inf,
    ) -> trio.SocketStream:
        """Connect to a host over TCP, on whichever of its addresses answers first (RFC 8305).

        Args and errors are those of `connect`.

        Example:
            >>> import socket, trio
            >>> async def main():
            ...     with socket.create_server(("127.0.0.1", 0)) as listener:
            ...         async with await Connector().open_tcp_stream(*listener.getsockname()) as stream:
            ...             print(stream.socket.getpeername()[0])
            >>> trio.run(main)
            127.0.0.1
        """
        race: Race[trio.SocketStream] = self._race(Target.parse(host, port, addresses), give_up_after)
        return await race.run()

    async def open_ssl_over_tcp_stream(
        self,
        host: str | bytes | Iterable[GivenAddress],
        port: int | None = None,
        *,
        https_compatible: bool = False,
        ssl_context: ssl.SSLContext | None = None,
        server_hostname: str | bytes | None = None,
        addresses: Iterable[GivenAddress] | None = None,
        give_up_after: float = math.inf,
    ) -> trio.SSLStream[trio.SocketStream]:
        """Connect over TCP and wrap the stream in TLS; the handshake comes with the first byte, as in Trio.

        Args:
            host: See `connect`.
            port: See `connect`.
            https_compatible: Whether to leave out the closing handshake, see `trio.SSLStream`.
            ssl_context: The TLS context; None is what `ssl.create_default_context()` makes, shared: do not change it.
            server_hostname: The name that the certificate must be valid for, and that the server is told (SNI); None
                is `host`. Brackets, scopes and the dot at the end of a name are left out.
            addresses: See `connect`.
            give_up_after: See `connect`.

        Raises:
            ConnectError: See `connect`. Nothing of TLS fails here.
            TypeError: An argument is of the wrong type.
            ValueError: An argument makes no sense.
        """
        handshake = _tls.ClientHandshake(
            _one_host(host),
            server_hostname=server_hostname,
            context=ssl_context,
            alpn_protocols=None,
            https_compatible=https_compatible,
            give_up_after=math.inf,
        )
        if not handshake.has_name:
            raise ValueError("server_hostname must be given where the stream may be to any of several hosts")
        race: Race[trio.SocketStream] = self._race(Target.parse(host, port, addresses), give_up_after)
        await handshake.prepare()
        return handshake.wrap(await race.run())

    async def open_tls_stream(
        self,
        host: str | bytes | Iterable[GivenAddress],
        port: int | None = None,
        *,
        https_compatible: bool = False,
        ssl_context: ssl.SSLContext | None = None,
        server_hostname: str | bytes | None = None,
        alpn_protocols: Iterable[str] | None = None,
        addresses: Iterable[GivenAddress] | None = None,
        give_up_after: float = math.inf,
    ) -> trio.SSLStream[trio.SocketStream]:
        """Connect with TLS, on whichever address first completes the handshake with a certificate that is good.

        An address that fails the handshake, or never answers it, lets the others go on: it costs one delay.
        `Policy.give_up_tls_after` limits each handshake.

        Args:
            host: See `connect`; the certificate must be valid for it, and of several hosts for the one connected to.
            port: See `connect`.
            server_hostname: The name that the certificate must be valid for, and that the server is told (SNI); None
                is `host`. Brackets, scopes and the dot at the end of a name are left out.
            ssl_context: The TLS context; None is what `ssl.create_default_context()` makes. That is built once, in a
                thread, and shared by all connections of this `trio.run`: do not change it.
            alpn_protocols: The protocols to offer (RFC 7301), the best first; `selected_alpn_protocol()` of the stream
                is the server's choice. With a context of your own, call its `set_alpn_protocols` instead: we do not
                change it, and it cannot be copied.
            https_compatible: Whether to leave out the closing handshake, see `trio.SSLStream`.
            addresses: See `connect`.
            give_up_after: See `connect`.

        Returns:
            The stream, its handshake done.

        Raises:
            TLSError: A handshake failed, or a certificate was not good; `primary_error` is the `ssl.SSLError`.
            ConnectError: See `connect`.
            TypeError: An argument is of the wrong type.
            ValueError: An argument makes no sense; or `alpn_protocols` and `ssl_context` are both given.
        """
        handshake = _tls.ClientHandshake(
            _one_host(host),
            server_hostname=server_hostname,
            context=ssl_context,
            alpn_protocols=alpn_protocols,
            https_compatible=https_compatible,
            give_up_after=self.policy.give_up_tls_after,
        )
        race: Race[trio.SSLStream[trio.SocketStream]] = self._race(
            Target.parse(host, port, addresses), give_up_after, handshake, speaks_https=True
        )
        await handshake.prepare()
        return await race.run()

    async def open_service_stream(
        self, service: str, domain: str | bytes, *, port: int | None = None, give_up_after: float = math.inf
    ) -> trio.SocketStream:
        """Connect to a service of a domain over TCP, on the hosts that its SRV records name (RFC 2782).

        Hosts come by priority, and those of one priority in an order that is drawn anew each time, by their weights. It
        is one race: the addresses of one host come before those of the next. For TLS, the certificate must be valid for
        the domain, not the host (RFC 6125, section 6.2.1).

        Args:
            service: The service and its protocol, `_xmpp-client._tcp`.
            domain: The domain that has it.
            port: Where to connect to the domain itself, should it have no such records; None is nowhere.
            give_up_after: Seconds for the whole call.

        Raises:
            ConnectError: See `connect`; `host` is the name of the records, and `port` is 0. `ResolutionError` also if
                the domain says that it has no such service.
            TypeError: An argument is of the wrong type, or `resolver` finds no services; `dns.DNSResolver` does.
            ValueError: An argument makes no sense.
        """
        if not trio.lowlevel.in_trio_task():
            raise _outside_of_trio()
        name = service_name(service, domain)
        itself = None if port is None else Target.parse(domain, port)
        find_services = getattr(self.resolver, "find_services", None)
        if find_services is None:
            raise TypeError(f"resolver must have a method find_services, not {self.resolver!r}: see dns.DNSResolver")
        resolver = ServiceHosts(find_services, self._find_resolver, itself)
        race: Race[trio.SocketStream] = self._race(Target(name, 0, name), give_up_after, resolver=resolver)
        return await race.run()

    async def open_unix_socket(
        self,
        filename: str | bytes | os.PathLike[str] | os.PathLike[bytes],
        *,
        give_up_after: float = math.inf,
    ) -> trio.SocketStream:
        """Connect to a UNIX socket; while the server's backlog is full, wait for room.

        Args:
            filename: Its path; a leading NUL means the abstract namespace (Linux's unix(7)).
            give_up_after: Seconds for the whole call.

        Raises:
            ConnectTimeout: `give_up_after` is over; `host` is the path as text, "@" for the NUL of an abstract name,
                and `port` is 0.
            OSError: There is no socket, nobody listens, or it may not be used.
            RuntimeError: This platform has no UNIX sockets.
            TypeError: `filename` is no path, or `give_up_after` no number.
            ValueError: There is a NUL inside a path, or `give_up_after` makes no sense.
        """
        if not hasattr(socket, "AF_UNIX"):  # Windows
            raise RuntimeError("Unix sockets are not supported on this platform")
        path = path_of("filename", filename)
        give_up_after = check_seconds("give_up_after", give_up_after)
        options = (self._parts.options or {}).get(socket.AF_UNIX)
        settings = () if options is None else options.settings
        if self.network is None and has_socket_factory():
            return await open_custom_unix(path, settings, give_up_after)
        return await open_unix(self._parts.network, path, settings, give_up_after)

    def blocking(self) -> BlockingConnector:
        """Return the same for code without an event loop: `create_connection`, and `create_tls_connection`.

        Example:
            >>> import socket
            >>> with socket.create_server(("127.0.0.1", 0)) as listener:
            ...     with Connector().blocking().create_connection(listener.getsockname()) as sock:
            ...         sock.getpeername() == listener.getsockname()
            True
        """
        return BlockingConnector(self)

    def _race(
        self,
        target: Target,
        give_up_after: float,
        establish: Callable[[trio.SocketStream, Address], Awaitable[Any]] | None = None,
        *,
        speaks_https: bool = False,
        resolver: Resolver | None = None,
    ) -> Race[Any]:
        """Prepare the race, nothing is sent yet; its resolver is the one that is given, or who knows the addresses."""
        if not trio.lowlevel.in_trio_task():
            raise _outside_of_trio()
        if give_up_after != math.inf:
            give_up_after = check_seconds("give_up_after", give_up_after)
        heard = journal(self.tracer)
        opener: Opener = self._parts.opener
        if self.network is None and has_socket_factory():
            opener = CustomSocketOpener(self._parts.local, self._parts.options)
        resolution = self._resolution(target, heard, speaks_https or target.port == 443, resolver)
        return Race(
            target,
            self.policy,
            resolution,
            opener,
            establish=establish,
            is_tls=speaks_https,
            give_up_after=give_up_after,
            journal=heard,
            history=self.history,
        )

    def _resolution(
        self, target: Target, heard: Journal, services: bool, resolver: Resolver | None = None
    ) -> Resolution:
        """Say who knows the addresses; a resolver other than the system's is asked beside the attempts."""
        families, translator, alone_until = self._parts.families, self._parts.translator, -math.inf
        if translator is not None and IPV4 not in families:
            families = (*families, IPV4)
        if resolver is None and target.name:
            resolver, alone_until = self._find_resolver(target)
        view = None if self.history is None else self.history.view(wall_clock())
        return Resolution(
            target,
            self.policy,
            families,
            Candidates(self.policy, families, view, self._rules),
            heard,
            resolver=resolver,
            alone_until=alone_until,
            services=services,
            nat64=translator,
            last_resort=translator is not None and resolver is self.resolver is not None and self._has_last_resort(),
        )

    def _find_resolver(self, target: Target) -> tuple[Resolver | None, float]:
        """Choose who knows the addresses, None if they are known now, and until when one may wait for one answer."""
        network = self._parts.network
        if target.hosts:
            return SeveralHosts(target.hosts, self._find_resolver), -math.inf
        if not target.name:
            return None, -math.inf
        if self.resolver is not None:
            return self.resolver, -math.inf
        if self.network is None and has_hostname_resolver():
            return HookResolver(), math.inf
        if is_localhost(target.name) and (known := network.localhost()) is not None:
            literals = (parse_literal(host, target.port) for host in known)
            target.addresses = tuple(
                address for address in literals if address and address.family in self._parts.families
            )
            return None, -math.inf
        alone_until = trio.current_time() + self.policy.resolution_delay
        return SystemResolver(network, alone_until), alone_until

    def _rules(self, view: HistoryView | None, *, through_nat64: bool = True) -> Rules:
        """RFC 6724 as it is on this host, for this connector's sockets."""
        from ._resolve.rfc6724 import Rules  # noqa: PLC0415 - most races never sort

        parts = self._parts
        source_of = parts.opener.source_address
        if through_nat64 and parts.translator is not None:
            source_of = parts.translator.source_of
        return Rules(source_of, parts.network.policy_table(), view, parts.network.deprecated_addresses())

    def _has_last_resort(self) -> bool:
        """RFC 8305, section 7.2: whether IPv4 addresses are asked for only when all else has failed."""
        has_ipv4 = self._rules(None, through_nat64=False).has_default_route(IPV4)
        return self.policy.last_resort_delay > 0 and not has_ipv4


def check_establish(establish: object) -> None:
    """Refuse what cannot be called; `None` would silently mean that a connection is all.

    Raises:
        TypeError: It cannot be called.
    """
    if not callable(establish):
        raise TypeError(f"establish must be an async callable of one stream, not {establish!r}")


def _one_host(host: str | bytes | Iterable[GivenAddress]) -> str | bytes | None:
    """The host whose name a certificate must hold; None for several. What is neither is said to be no host."""
    if isinstance(host, (str, bytes)) or not isinstance(host, Iterable):
        return host
    return None


def _outside_of_trio() -> RuntimeError:
    """Say what to do where Trio does not run this code; most who meet that are in a notebook."""
    if "ipykernel" in sys.modules:
        return RuntimeError("Trio does not run this: say %load_ext trio_nbconnect.notebook before the first await")
    return RuntimeError("Trio does not run this: begin with trio.run(main)")


class _Parts:
    """What a connector makes of its arguments, once."""

    __slots__ = ("families", "local", "network", "opener", "options", "translator")

    def __init__(self, connector: Connector) -> None:
        self.network: Network = connector.network or _KERNEL
        self.local = local_addresses(connector.local_address)
        self.families = tuple(family for family in connector.policy.families if not self.local or family in self.local)
        if not self.families:
            raise ValueError(f"local_address leaves no family of the policy: {connector.local_address!r}")
        self.options = _by_family(connector.options)
        self.opener = SocketOpener(self.network, self.local, self.options)
        self.translator = _translator(connector.nat64, self.opener)
        if connector.resolver is not None:  # the rules will be needed, and the first connect shall import nothing
            import_module("._resolve.rfc6724", __package__)


def _translator(nat64: str | Iterable[str] | None, opener: SocketOpener) -> Translator | None:
    """Read the prefixes of a NAT64."""
    if nat64 is None:
        return None
    from ._resolve.nat64 import Translator, read_prefixes  # noqa: PLC0415 - few networks have one

    return Translator(read_prefixes(nat64), opener.source_address)


def _make(kind: type[Connector], arguments: dict[str, Any]) -> Connector:
    """Be the other half of `__reduce__`."""
    return kind(**arguments)


def _check_kinds(connector: Connector) -> None:
    """Say at once, and with the value, what is of the wrong type.

    Raises:
        TypeError: An argument is.
    """
    if not isinstance(connector.policy, Policy):
        raise TypeError(f"policy must be Policy, not {connector.policy!r}")
    if connector.history is not None and not isinstance(connector.history, History):
        raise TypeError(f"history must be History, not {connector.history!r}")
    for name, method in (("resolver", "resolve"), ("network", "wait_writable")):
        value = getattr(connector, name)
        if value is not None and (isinstance(value, type) or not callable(getattr(value, method, None))):
            raise TypeError(f"{name} must have a method {method}, not {value!r}")
    if connector.tracer is not None:
        from .trace import check_tracer  # noqa: PLC0415 - most have no tracer

        check_tracer(connector.tracer)


def _by_family(options: Options | None) -> Mapping[socket.AddressFamily, FamilyOptions] | None:
    """Sort out what is for which family."""
    if options is None:
        return None
    from ._connect.options import options_by_family  # noqa: PLC0415 - few set options, and their checks are long

    return options_by_family(options)
