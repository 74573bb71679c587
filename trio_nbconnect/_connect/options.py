"""Options: what a program may set on its sockets, checked before there is one.

The kernel says late what is wrong with an option, and little. `EINVAL` from `setsockopt` on the first connect does not
say which number was out of range; an `IP_TOS` of 256 is taken for 0 without an error; and a platform that lacks an
option is an `AttributeError` somewhere.

So `SocketOptions` is data. When it is made, each value is checked against what the kernel takes (tcp(7), ip(7),
socket(7); measured on Linux 6.18) and turned into the arguments of one `setsockopt`. A race only looks up the settings
of a family, and they are applied before `bind` and `connect`.

Refused: to check at once what only the kernel knows, on the first connect: interfaces, congestion controls, the right
to set a mark. Its answer names the option.
"""

from __future__ import annotations

import inspect
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TypeAlias

from .._address import IPV4, IPV6, Address
from .settings import KEEP_ALIVE, OPTIONS, Setting, flag, read, setting, triples, types_of_service

Configure: TypeAlias = Callable[[socket.socket, Address], object]
"""A hook that is called with the socket of each attempt, and where that will connect to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepAlive:
    """Say when a silent connection is probed, and given up. None leaves a number as the system has it.

    Attributes:
        idle: Seconds of silence until the first probe: whole ones, 1 to 32767 (tcp(7), `TCP_KEEPIDLE`).
        interval: Seconds between two probes: whole ones, 1 to 32767 (tcp(7), `TCP_KEEPINTVL`).
        count: How many probes go unanswered until the connection is given up: 1 to 127 (tcp(7), `TCP_KEEPCNT`).

    Raises:
        TypeError: A value is no number.
        ValueError: A value is out of its range, or this system has no such option.

    Example:
        >>> KeepAlive(idle=30, interval=5, count=3).idle
        30
    """

    idle: float | None = None
    interval: float | None = None
    count: int | None = None

    _settings: tuple[Setting, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_settings", tuple(read(self, KEEP_ALIVE, "keepalive ")))


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketOptions:
    """Say how the socket of each attempt is set up, before it is bound and connected.

    None leaves an option as the system has it. What fails on a socket fails its attempt, with the option's name in
    the error. Sockets of a custom factory are set up as well if they offer `setsockopt`; whether they are multipath
    is the factory's business. Of a UNIX socket, only the two buffers are set: the rest is about networks.

    Attributes:
        no_delay: Whether small segments are sent at once (tcp(7), `TCP_NODELAY`). `trio.SocketStream` says yes; False
            prevails.
        keepalive: Probe the connection when it is silent (socket(7), `SO_KEEPALIVE`); `KeepAlive()` keeps the system's
            numbers.
        user_timeout: Seconds that sent data may stay unacknowledged, to the millisecond (tcp(7), `TCP_USER_TIMEOUT`).
            While connecting, it cannot expire before the first SYN is repeated, after a second: `Policy` has limits for
            that.
        receive_buffer: Bytes; "the kernel doubles this value" and caps it at `net.core.rmem_max` (socket(7),
            `SO_RCVBUF`).
        send_buffer: Bytes; doubled as well, and capped at `net.core.wmem_max` (socket(7), `SO_SNDBUF`).
        type_of_service: The octet 0 to 255 of each packet: `IP_TOS` or `IPV6_TCLASS`, by the family (ip(7), ipv6(7)).
            Its two lowest bits are the kernel's, for congestion notification (RFC 3168, section 5).
        mark: The mark of each packet, for routing and filters: 32 bits. It wants CAP_NET_ADMIN or, since Linux 5.17,
            CAP_NET_RAW (socket(7), `SO_MARK`).
        interface: The name of the only interface to use, "eth0" say: 1 to 15 bytes (socket(7), `SO_BINDTODEVICE`).
        congestion_control: The name of the algorithm, "bbr" say: 1 to 15 characters (tcp(7), `TCP_CONGESTION`).
        multipath: Whether to use Multipath TCP (RFC 8684); where the system has none, it is TCP, and where the server
            has none, too. Linux's multipath sockets have no `user_timeout` and no `syn_count`, and no `type_of_service`
            over IPv6.
        syn_count: How many times the first packet is repeated: 1 to 127 (tcp(7), `TCP_SYNCNT`).
        reuse_address: Whether a local address may be in use by others that allow it, too (socket(7), `SO_REUSEADDR`).
        extra: What is not above, as `setsockopt` takes it: `((level, option, value), ...)`; set after what is above.
            `TCP_FASTOPEN_CONNECT` is refused: with it a dead address counts as connected.
        configure: Called last, with the socket and where it will connect to. An `OSError` it raises fails the attempt;
            anything else is a bug and ends the race. It must not wait. A socket of a custom factory is one of Trio's or
            a fake. TCP Fast Open is switched off again.

    Raises:
        TypeError: A value is of the wrong type.
        ValueError: A value is out of its range, or this system has no such option; the text shows it.

    Example:
        >>> options = SocketOptions(no_delay=True, keepalive=KeepAlive(idle=30), user_timeout=20)
        >>> SocketOptions(syn_count=128)
        Traceback (most recent call last):
        ...
        ValueError: syn_count must be between 1 and 127, not 128
    """

    no_delay: bool | None = None
    keepalive: KeepAlive | None = None
    user_timeout: float | None = None
    receive_buffer: int | None = None
    send_buffer: int | None = None
    type_of_service: int | None = None
    mark: int | None = None
    interface: str | None = None
    congestion_control: str | None = None
    multipath: bool | None = None
    syn_count: int | None = None
    reuse_address: bool | None = None
    extra: tuple[tuple[int, int, int | bytes], ...] = ()
    configure: Configure | None = None

    _settings: tuple[Setting, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "extra", triples(self.extra))
        settings = [*read(self, OPTIONS), *_keep_alive(self.keepalive), *types_of_service(self.type_of_service)]
        settings += [Setting(f"extra {triple!r}", *triple) for triple in self.extra]
        object.__setattr__(self, "_settings", tuple(settings))
        if self.multipath is not None and flag("multipath", self.multipath):
            for name in ("user_timeout", "syn_count"):  # ENOPROTOOPT, as measured
                if (value := getattr(self, name)) is not None:
                    raise ValueError(f"multipath sockets have no {name}, which is {value!r}")
        if self.configure is not None and (not callable(self.configure) or inspect.iscoroutinefunction(self.configure)):
            raise TypeError(f"configure must be a callable that is not async, not {self.configure!r}")


Options: TypeAlias = SocketOptions | Mapping[socket.AddressFamily, SocketOptions]
"""The options of all sockets, or those of each family."""


@dataclass(frozen=True, slots=True)
class FamilyOptions:
    """What is done to the sockets of one family."""

    settings: tuple[Setting, ...]
    kept: tuple[Setting, ...] = ()
    """Those that `trio.SocketStream` overrides when it takes the socket, so that they are set once more."""
    multipath: bool = False
    configure: Configure | None = None


def options_by_family(options: Options) -> Mapping[socket.AddressFamily, FamilyOptions]:
    """Sort out what is for which family.

    Raises:
        TypeError: It is neither `SocketOptions` nor a mapping to them.
        ValueError: A key is no family that we connect to, or a multipath socket over IPv6 has a `type_of_service`.
    """
    families = (IPV6, IPV4, *_UNIX)
    given = dict.fromkeys(families, options) if isinstance(options, SocketOptions) else options
    if not isinstance(given, Mapping) or not all(isinstance(value, SocketOptions) for value in given.values()):
        raise TypeError(f"options must be SocketOptions, or some for each family, not {options!r}")
    if not set(given) <= set(families):
        raise ValueError(f"options must be for AF_INET6, AF_INET or AF_UNIX, not {options!r}")
    return MappingProxyType({family: _of_family(family, given[family]) for family in given})


def options_with(
    options: Options | None, *, extra: tuple[tuple[int, int, int | bytes], ...] = (), configure: Configure | None = None
) -> Options:
    """Add to what a program sets on its TCP sockets; a hook is called after the program's own."""
    given = options if isinstance(options, Mapping) else dict.fromkeys((IPV6, IPV4), options or SocketOptions())
    added = dict(given)
    for family in (IPV6, IPV4):
        before = given.get(family, SocketOptions())
        added[family] = replace(before, extra=(*before.extra, *extra), configure=_in_turn(before.configure, configure))
    return added


def _in_turn(first: Configure | None, second: Configure | None) -> Configure | None:
    if first is None or second is None:
        return first or second

    def configure(sock: socket.socket, address: Address) -> None:
        first(sock, address)
        second(sock, address)

    return configure


def _of_family(family: socket.AddressFamily, options: SocketOptions) -> FamilyOptions:
    if family in _UNIX:
        return FamilyOptions(tuple(setting for setting in options._settings if setting.name.startswith(_BUFFERS)))
    if family == IPV6 and options.multipath and options.type_of_service is not None:  # EOPNOTSUPP, as measured
        raise ValueError(f"multipath sockets over IPv6 have no type_of_service, which is {options.type_of_service!r}")
    settings = tuple(setting for setting in options._settings if setting.family in (None, family))
    kept = tuple(setting for setting in settings if (setting.level, setting.option) in _STREAM_SETS)
    return FamilyOptions(settings, kept, bool(options.multipath), options.configure)


_UNIX = (socket.AF_UNIX,) if hasattr(socket, "AF_UNIX") else ()
_BUFFERS = ("receive_buffer=", "send_buffer=")
_STREAM_SETS = frozenset(
    (socket.IPPROTO_TCP, getattr(socket, name))
    for name in ("TCP_NODELAY", "TCP_NOTSENT_LOWAT")
    if hasattr(socket, name)
)


def _keep_alive(keepalive: object) -> Iterator[Setting]:
    if keepalive is None:
        return
    if not isinstance(keepalive, KeepAlive):
        raise TypeError(f"keepalive must be KeepAlive, not {keepalive!r}")
    yield setting("keepalive", True, ("SOL_SOCKET", "SO_KEEPALIVE", flag))
    yield from keepalive._settings
