"""Addresses: what a host and a port are, before anything is sent.

The resolver of the C library takes almost anything. A port of 99536 becomes 34000, a NUL ends the name early, and both
reach a host that was not meant. So what a caller wrote is checked first and becomes a name, a literal (`Address`) or an
error with the value in its text.

Refused: old spellings of IPv4 addresses ("127.1", "0x7f.1") as literals. They go to the resolver like any name.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from operator import attrgetter
from types import MappingProxyType
from typing import TypeVar

T = TypeVar("T")

IPV6 = socket.AF_INET6
IPV4 = socket.AF_INET
UNIX = getattr(socket, "AF_UNIX", None)
"""None where the platform has no such sockets."""
UNSPECIFIED = socket.AF_UNSPEC
"""The family of what is no address: the label of an attempt that is a call of the user's."""

SocketAddress = tuple[str, int] | tuple[str, int, int, int] | str | bytes
"""What the socket module takes as an address: a tuple for IP, a path for UNIX."""

LocalAddress = str | Mapping[socket.AddressFamily, str]
"""A local address, or one for each family."""


@dataclass(frozen=True, slots=True)
class Address:
    """One endpoint: a family, a numeric host and a port; or a UNIX socket; or an attempt of `race`, by its label.

    Args:
        family: `socket.AF_INET`, `socket.AF_INET6` or `socket.AF_UNIX`; `socket.AF_UNSPEC` for a label.
        host: The address as text, without scope or brackets; or the path; or the label.
        port: The port, 0 to 65535; 0 for UNIX and for labels.
        flow_info: The IPv6 flow label and traffic class, 0 for none.
        scope_id: The index of the interface of a link-local address, 0 for none (RFC 4007, section 6).

    Example:
        >>> import socket
        >>> str(Address(socket.AF_INET6, "fe80::1", 443, scope_id=1))
        '[fe80::1%1]:443'
    """

    family: socket.AddressFamily
    host: str
    port: int
    flow_info: int = 0
    scope_id: int = 0

    def __hash__(self) -> int:
        """Leave out the family: the host tells it, and to hash an enum is slow."""
        return hash((self.host, self.port, self.flow_info, self.scope_id))

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read an address and a port, as `str` writes them.

        Args:
            text: `192.0.2.1:443`, or `[2001:db8::1]:443`, or `[fe80::1%eth0]:443`.

        Raises:
            TypeError: `text` is no `str`.
            ValueError: It is no numeric address with a port.

        Example:
            >>> Address.parse("[::1]:80").host
            '::1'
        """
        if not isinstance(text, str):
            raise TypeError(f"address must be str, not {text!r}")
        host, _, digits = text.rpartition(":")
        is_bare_ipv6 = ":" in host and not (host.startswith("[") and host.endswith("]"))
        if not host or is_bare_ipv6 or not (digits.isascii() and digits.isdigit()) or int(digits) > 65535:
            raise ValueError(f"address must be numeric and have a port, not {text!r}")
        return _numeric("address", host, int(digits))

    @property
    def sockaddr(self) -> SocketAddress:
        """The address in the form that `socket.socket.connect` takes."""
        if self.family == IPV4:
            return (self.host, self.port)
        if self.family == IPV6:
            return (self.host, self.port, self.flow_info, self.scope_id)
        return self.host

    @property
    def ip(self) -> str:
        """The address without the port, with its scope if it has one: `fe80::1%2`; or the path as people read it."""
        if self.is_path:
            return shown_path(self.host)
        return f"{self.host}%{self.scope_id}" if self.scope_id else self.host

    @property
    def is_path(self) -> bool:
        """Whether it is a UNIX socket; those have no routes, round-trip times or ports."""
        return self.family == UNIX

    @property
    def is_loopback(self) -> bool:
        """Whether packets to this address stay on this machine (RFC 1122, 3.2.1.3; RFC 4291, 2.5.3)."""
        if self.family == IPV4:
            return self.host.startswith("127.")
        return self.host == "::1" or self.is_path

    @property
    def is_link_local(self) -> bool:
        """Whether it means something on one link only, so that it needs a scope (RFC 4291, section 2.5.6)."""
        return self.family == IPV6 and self.host[:3].lower() in {"fe8", "fe9", "fea", "feb"}

    def __str__(self) -> str:
        if self.family == IPV4:
            return f"{self.host}:{self.port}"
        return self.ip if self.is_path or self.family == UNSPECIFIED else format_host_port(self.ip, self.port)


@dataclass(frozen=True, slots=True, eq=False)
class GroupedAddress(Address):
    """An endpoint of one of several hosts, or an attempt of `race` that has a group.

    It is equal to any address of the same endpoint, which is tried once, whoever has it.
    """

    group: str = ""

    __hash__ = Address.__hash__

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Address):
            return NotImplemented
        return _endpoint_of(self) == _endpoint_of(other)

    def __str__(self) -> str:
        address = Address.__str__(self)
        return address if self.family == UNSPECIFIED else f"{self.group} {address}"


@dataclass(frozen=True, slots=True)
class ConfiguredAddress(Address):
    """An address on an interface by its name: a VPN's or a modem's goes, and comes back with another index."""

    interface: str = ""

    @property
    def sockaddr(self) -> SocketAddress:
        """The same with the index that the interface has now.

        Raises:
            OSError: There is no such interface now.
        """
        try:
            return (self.host, self.port, self.flow_info, socket.if_nametoindex(self.interface))
        except (OSError, ValueError):  # UnicodeEncodeError is a ValueError
            raise OSError(errno.ENODEV, f"there is no interface {self.interface!r}") from None

    @property
    def ip(self) -> str:
        """The address without the port, with its interface."""
        return f"{self.host}%{self.interface}"


_endpoint_of = attrgetter("family", "host", "port", "flow_info", "scope_id")


def grouped(address: Address, host: str) -> Address:
    """Say whose address it is; of a host that was given as an address, that says itself."""
    if host == address.ip:
        return address
    return GroupedAddress(address.family, address.host, address.port, address.flow_info, address.scope_id, group=host)


def shown_address(address: Address, port: int) -> str:
    """Write an address for people, with its port if that is not the one that was asked for.

    Example:
        >>> address = Address(socket.AF_INET, "192.0.2.1", 443)
        >>> shown_address(address, 443), shown_address(address, 80)
        ('192.0.2.1', '192.0.2.1:443')
    """
    if address.port != port and not address.is_path:
        return str(address)
    if isinstance(address, GroupedAddress) and address.family != UNSPECIFIED:
        return f"{address.group} {address.ip}"
    return address.ip


GivenAddress = str | bytes | os.PathLike[str] | os.PathLike[bytes] | tuple[str | bytes, int] | Address
"""An address that the caller knows: numeric, or the path of a UNIX socket; with a port of its own, also a host."""


def format_host_port(host: str, port: int) -> str:
    """Write host and port as one word: `[::1]:443`, `example.org:443` (RFC 3986, section 3.2.2)."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def shown_target(host: str, port: int) -> str:
    """Write what is connected to, for people. Nothing can be connected to at port 0: there the host says it all.

    Example:
        >>> shown_target("example.org", 443), shown_target("/run/x.sock", 0)
        ('example.org:443', '/run/x.sock')
    """
    return format_host_port(host, port) if port else host


_LONGEST_HOST = 1000
"""Characters that are looked at, also where some of them stand for nothing: IDNA takes its time for each."""


def check_host(host: object) -> str:
    """Return the host name or literal as text, or raise what is wrong with it.

    Raises:
        ValueError: `host` is no `str` or `bytes`, is empty or far too long, or holds a NUL, a blank or a control
            character.
    """
    if isinstance(host, (str, bytes)) and len(host) > _LONGEST_HOST:
        raise ValueError(f"host must have at most 253 characters, not {len(host)}")
    if isinstance(host, str):
        text = host
    elif isinstance(host, bytes):
        try:
            text = host.decode("ascii")
        except UnicodeDecodeError:
            raise ValueError(f"host must be ASCII when it is bytes, not {host!r}") from None
    else:
        raise ValueError(f"host must be str or bytes, not {host!r}")
    if "\0" in text:
        raise ValueError(f"host must not contain NUL: {host!r}")
    if (" " in text or not text.isprintable()) and any(map(_is_blank_or_control, text)):
        raise ValueError(f"host must not contain blanks or control characters: {host!r}")
    if text[:1] == "[" and text[-1:] == "]":
        text = text[1:-1]
    if not text:
        raise ValueError(f"host must not be empty: {host!r}")
    return text


def _is_blank_or_control(character: str) -> bool:
    """What files and clipboards put around a name: spaces of any script, line ends, C0 and C1 controls, DEL."""
    return character.isspace() or ord(character) < 32 or 127 <= ord(character) < 160


def check_name(host: str) -> str:
    """Return the name as it goes to the resolver, an A-label form for other scripts (IDNA 2008, RFC 5891).

    Raises:
        ValueError: A label is empty or longer than 63 octets, or the name longer than 253 (RFC 1035, section 2.3.4).
    """
    shown = host
    if not host.isascii():
        host = _to_ascii(host)
    name = host.removesuffix(".")
    if len(name) > 253:
        raise ValueError(f"host must have at most 253 characters: {shown!r}")
    for label in name.split("."):
        if not label:
            raise ValueError(f"host must not have an empty label: {shown!r}")
        if len(label) > 63:
            raise ValueError(f"host must have no label over 63 characters: {shown!r}")
    return host


def _to_ascii(host: str) -> str:
    """Encode the labels of another script, with the mapping of UTS 46 for what people type.

    Labels in ASCII stay as they are: `_dmarc` is no host name that IDNA would take, but a name of DNS.
    """
    import idna  # noqa: PLC0415 - trio brings it; most programs never need it

    labels = host.translate(_DOTS).split(".")
    try:
        labels = [label if label.isascii() else idna.encode(label, uts46=True).decode("ascii") for label in labels]
    except UnicodeError as error:
        raise ValueError(f"host is no valid international name: {host!r}: {error}") from None
    return ".".join(labels)


_DOTS = dict.fromkeys(map(ord, "\u3002\uff0e\uff61"), ".")
"""What separates labels as well as a dot does (RFC 5895, section 2, and UTS 46, section 2.3)."""


def is_localhost(name: str) -> bool:
    """Whether a name is "localhost"; names below it are the system's to know."""
    return name.removesuffix(".").lower() == "localhost"


def check_port(port: object) -> int:
    """Return the port, or raise what is wrong with it.

    Raises:
        TypeError: `port` is no `int`; `True` is none either.
        ValueError: `port` is outside 0 to 65535. The C library would take it modulo 65536.
    """
    if type(port) is not int and (not isinstance(port, int) or isinstance(port, bool)):
        raise TypeError(f"port must be int, not {port!r}")
    if not 0 <= port <= 65535:
        raise ValueError(f"port must be between 0 and 65535, not {port!r}")
    return port


def parse_literal(host: str, port: int) -> Address | None:
    """Read a numeric address; None means that `host` is a name.

    Raises:
        ValueError: `host` is an IPv6 literal whose scope is malformed.
    """
    if ":" not in host:
        if not host.isascii():  # full-width digits, or marks of no width: no resolver shall see what IDNA makes of them
            with suppress(ValueError):
                host = _to_ascii(host)
        is_literal = host[:1].isdigit() and _packed(IPV4, host) is not None  # most names need no error to tell
        return Address(IPV4, host, port) if is_literal else None  # IPv4 has one spelling
    text, percent, scope = host.partition("%")
    packed = _packed(IPV6, text)
    if packed is None:
        raise ValueError(f"host must be a name or an address, not {host!r}")
    scope_id = _scope_id(scope, host) if percent else 0
    return Address(IPV6, socket.inet_ntop(IPV6, packed), port, 0, scope_id)


def parse_configured(host: str, port: int) -> Address | None:
    """Read a numeric address that is kept for longer than an interface may last; that may even come later.

    Raises:
        ValueError: `host` is an IPv6 literal whose scope is malformed.
    """
    text, _, interface = host.partition("%")
    if ":" not in host or not interface or (interface.isascii() and interface.isdigit()):
        return parse_literal(host, port)
    address = parse_literal(text, port)
    assert address is not None  # it has a colon
    return ConfiguredAddress(IPV6, address.host, port, interface=interface)


def _packed(family: socket.AddressFamily, text: str) -> bytes | None:
    try:
        return socket.inet_pton(family, text)
    except (OSError, ValueError):  # UnicodeEncodeError is a ValueError
        return None


def _scope_id(scope: str, host: str) -> int:
    """RFC 4007, section 11.2: a scope is an interface's index, 32 bits of `sockaddr_in6`, or its name."""
    try:
        scope_id = int(scope) if scope.isascii() and scope.isdigit() else socket.if_nametoindex(scope)
    except (OSError, ValueError):
        scope_id = -1
    if not 0 <= scope_id < 2**32:
        raise ValueError(f"host names an interface that does not exist: {host!r}")
    return scope_id


def check_numeric(address: Address) -> None:
    """Make sure that `connect` will not look the host up, and every task wait for it; a label connects to nothing.

    Raises:
        TypeError: It is no `Address`.
        ValueError: The host is no address of its family.
    """
    if not isinstance(address, Address):
        raise TypeError(f"address must be Address, not {address!r}")
    if address.is_path or address.family == UNSPECIFIED:
        return
    if _packed(address.family, address.host.partition("%")[0]) is None:
        raise ValueError(f"address must be numeric and of its family, not {address.host!r}")


def from_sockaddr(family: int, sockaddr: object) -> Address:
    """Read a socket address as `getaddrinfo` gives it, its scope kept.

    Raises:
        ValueError: It is no numeric IP address of that family with a port.
    """
    if not isinstance(sockaddr, tuple) or not 2 <= len(sockaddr) <= 4:
        raise ValueError(f"address must be a tuple of host and port, not {sockaddr!r}")
    host, port, *rest = sockaddr
    literal = parse_literal(check_host(host), check_port(port))
    if literal is None or literal.family != family:
        raise ValueError(f"address must be numeric and of the socket's family, not {sockaddr!r}")
    flow_info, scope_id = (*rest, 0, 0)[:2]
    return Address(literal.family, literal.host, literal.port, flow_info, scope_id or literal.scope_id)


class Target:
    """What a caller wants to be connected to, checked and read once.

    Attributes:
        host: As the caller wrote it, without brackets, for errors and events.
        port: The port; 0 where the host says it all.
        name: What a resolver is asked for, a name of another script in its A-label form; "" if there is no look-up.
        addresses: The addresses that are known without a look-up: the caller's, or a literal.
        hosts: Whom to try in its place, in this order; mostly nobody.
    """

    __slots__ = ("addresses", "host", "hosts", "name", "port")

    def __init__(
        self, host: str, port: int, name: str, addresses: tuple[Address, ...] = (), hosts: tuple[Target, ...] = ()
    ) -> None:
        self.host = host
        self.port = port
        self.name = name
        self.addresses = addresses
        self.hosts = hosts

    @classmethod
    def parse(cls, host: object, port: object, addresses: Iterable[GivenAddress] | None = None) -> Target:
        """Read a host and a port, and the addresses that shall be tried in place of a look-up; or several hosts.

        Raises:
            TypeError: An argument is of the wrong type.
            ValueError: An argument makes no sense; the text shows it.
        """
        if not isinstance(host, (str, bytes, bytearray)) and isinstance(host, Iterable):
            return cls._several(host, port, addresses)
        host, port = check_host(host), check_port(port)
        if addresses is not None:
            return cls._of("addresses", host, port, _given_addresses(addresses, port))
        literal = parse_literal(host, port)
        return cls(host, port, check_name(host)) if literal is None else cls(host, port, "", (literal,))

    @classmethod
    def _several(cls, hosts: Iterable[object], port: object, addresses: object) -> Target:
        """Read several hosts; those without a port of their own have this one."""
        if addresses is not None:
            raise ValueError(f"addresses must be absent where several hosts are given, not {addresses!r}")
        several = [_host(host, port) for host in hosts]
        if len(several) == 1 and isinstance(several[0], Target):
            return several[0]
        return cls._of("host", ", ".join(map(str, several)), 0, several)

    @classmethod
    def _of(cls, what: str, host: str, port: int, given: Sequence[Target | Address]) -> Target:
        """Several hosts, or nothing but addresses."""
        if not given:
            raise ValueError(f"{what} must not be empty")
        addresses = tuple(each for each in given if isinstance(each, Address))
        if len(addresses) == len(given):
            return cls(host, port, "", addresses)
        hosts = (each if isinstance(each, Target) else cls(each.ip, each.port, "", (each,)) for each in given)
        return cls(host, port, host, hosts=tuple(hosts))

    def __str__(self) -> str:
        return shown_target(self.host, self.port)


def _host(host: object, port: object) -> Target | Address:
    """Read one of several hosts: with a port of its own or the common one, an address, or a path."""
    if isinstance(host, (Address, tuple, os.PathLike)) or _is_path(host):
        return _given(host, 0)  # type: ignore[arg-type]  # one of those that it takes
    return _endpoint(host, port)


def _endpoint(host: object, port: object) -> Target | Address:
    target = Target.parse(check_host(host), port)
    return target if target.name else target.addresses[0]


def _given_addresses(addresses: Iterable[GivenAddress], port: int) -> list[Target | Address]:
    """Read the addresses that a caller gives in place of a look-up.

    Raises:
        TypeError: It is one `str`, or nothing to iterate over.
        ValueError: One is neither numeric nor a path, nor a host with a port.
    """
    return [_given(address, port) for address in several("addresses", addresses)]


def several(name: str, items: Iterable[T], what: str = "strings") -> tuple[T, ...]:
    """Return what an iterable holds, or raise what is wrong with it; one `str` is an iterable by mistake.

    Raises:
        TypeError: It is one `str`, or nothing to iterate over.
    """
    if isinstance(items, (str, bytes)) or not isinstance(items, Iterable):
        raise TypeError(f"{name} must be an iterable of {what}, not {type(items).__name__}: {items!r}")
    return tuple(items)


def _given(address: GivenAddress, port: int) -> Target | Address:
    """Read one address of the caller's: a path is an `os.PathLike`, or begins with a slash or a NUL."""
    if isinstance(address, os.PathLike):
        return _unix(os.fspath(address))
    if isinstance(address, Address):
        check_numeric(address)
        return address
    if isinstance(address, tuple) and len(address) == 2:
        return _endpoint(*address)
    if not isinstance(address, (str, bytes)):
        raise TypeError(f"addresses must be strings, paths, or pairs of host and port, not {address!r}")
    return _unix(address) if _is_path(address) else _numeric("addresses", address, port)


def _is_path(address: object) -> bool:
    if isinstance(address, str):
        return address.startswith(("/", "\0"))
    return isinstance(address, bytes) and address.startswith((b"/", b"\0"))


def _unix(path: str | bytes) -> Address:
    if UNIX is None:  # Windows
        raise ValueError(f"this platform has no UNIX sockets: {path!r}")
    return Address(UNIX, os.fsdecode(checked_path(path)), 0)


def path_of(name: str, path: str | bytes | os.PathLike[str] | os.PathLike[bytes]) -> str | bytes:
    """Return a path as text or octets.

    Raises:
        TypeError: It is no path.
    """
    try:
        return os.fspath(path)
    except TypeError:
        raise TypeError(f"{name} must be str, bytes or os.PathLike, not {path!r}") from None


def checked_path(path: str | bytes) -> str | bytes:
    """A NUL ends a path early, and reaches a socket that nobody named; a leading one begins an abstract name.

    Raises:
        ValueError: There is a NUL inside.
    """
    octets = os.fsencode(path)
    if b"\0" in octets and not octets.startswith(b"\0"):
        raise ValueError(f"path must not contain NUL: {path!r}")
    return path


def shown_path(path: str | bytes) -> str:
    """Write a path for people, on one line; the NUL of an abstract name is "@", as in /proc/net/unix."""
    text = os.fsdecode(path).replace("\0", "@")
    return text if text.isprintable() else repr(text)


def _numeric(
    what: str, text: str | bytes, port: int, parse: Callable[[str, int], Address | None] = parse_literal
) -> Address:
    try:
        literal = parse(check_host(text), port)
    except ValueError as error:
        raise ValueError(f"{what} makes no sense: {error}") from None
    if literal is None:
        raise ValueError(f"{what} must be numeric, not {text!r}")
    return literal


def local_addresses(local_address: LocalAddress | None) -> Mapping[socket.AddressFamily, Address]:
    """Read the local addresses, one for each family.

    Raises:
        TypeError: It is neither one text nor a mapping.
        ValueError: One is not numeric, or of another family than its own.
    """
    if local_address is None:
        return MappingProxyType({})
    if isinstance(local_address, str):
        literal = _numeric("local_address", local_address, 0, parse_configured)
        return MappingProxyType({literal.family: literal})
    if not isinstance(local_address, Mapping):
        raise TypeError(f"local_address must be str, or one for each family, not {local_address!r}")
    local = {family: _numeric("local_address", text, 0, parse_configured) for family, text in local_address.items()}
    if not local or any(family != literal.family for family, literal in local.items()):
        raise ValueError(f"local_address must give each family an address of its own: {local_address!r}")
    return MappingProxyType(local)
