"""NAT64: reaching IPv4 hosts from a network that speaks IPv6 alone (RFC 6052 and RFC 7050).

Such a network has a translator that stands for all of IPv4 under an IPv6 prefix of its own, Pref64::/n. A host that
knows only an IPv4 address, a literal say, must write it into that prefix itself (RFC 8305, section 7.1). And an AAAA
record that a name server made so is an IPv4 address for all that concerns order (its successor, section 8).

- RFC 6052, section 2.2: put the four octets of the IPv4 address behind the prefix and skip octet 8, called u, which is
  zero; the prefix has 32, 40, 48, 56, 64 or 96 bits. `synthesize` writes, `extract` reads back.
- RFC 7050, section 3: the name ipv4only.arpa has the IPv4 addresses 192.0.0.170 and 192.0.0.171, and no IPv6 address.
  Where AAAA records come back nevertheless, one of the two stands at one of the six places: there is the prefix.
  `prefixes_from` finds it, and `discover_nat64` asks, unless routers have advertised one (RFC 8781).

Refused: the validation by DNSSEC of RFC 7050, section 3.1; a lying prefix can do no more than a lying AAAA record.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from .._address import IPV4, IPV6, Address, several
from .._connect.advertisements import advertised_prefixes
from .._connect.network import KernelNetwork, Network, checkpoint_if_over

PREFIX_LENGTHS = (32, 40, 48, 56, 64, 96)
"""RFC 6052, section 2.2: "the prefixes can only have one of the following lengths"."""

NEVER_SYNTHESIZED = tuple(
    IPv4Network(network) for network in ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "255.255.255.255/32")
)
"""This host, this link, everybody: they mean something else on the far side (RFC 8305's successor, section 8)."""

IPV4ONLY_ARPA = (IPv4Address("192.0.0.170"), IPv4Address("192.0.0.171"))
"""RFC 7050, section 2.2: the well-known addresses of the well-known name, ipv4only.arpa."""

_U = 8
"""RFC 6052, section 2.2: bits 64 to 71, octet 8, "MUST be set to zero"; it keeps clear of interface identifiers."""


@dataclass(frozen=True, slots=True)
class Prefix:
    """A Pref64::/n: the IPv6 prefix under which a translator stands for IPv4.

    Raises:
        ValueError: Its length is none of the six, or octet 8 is not zero, which RFC 6052, section 2.2, reserves.

    Example:
        >>> str(Prefix.read("64:ff9b::/96"))
        '64:ff9b::/96'
    """

    network: IPv6Network

    def __post_init__(self) -> None:
        if self.network.prefixlen not in PREFIX_LENGTHS:
            raise ValueError(f"prefix must have 32, 40, 48, 56, 64 or 96 bits, not {self.network}")
        if self.network.network_address.packed[_U] != 0:
            raise ValueError(f"prefix must have zeros in bits 64 to 71, not {self.network}")

    @classmethod
    def read(cls, text: str) -> Prefix:
        """Read a prefix as RFC 4291, section 2.3, writes it.

        Raises:
            TypeError: `text` is no `str`.
            ValueError: It is no such prefix.
        """
        if not isinstance(text, str):
            raise TypeError(f"prefix must be str, not {text!r}")
        return cls(IPv6Network(text))

    def __str__(self) -> str:
        return str(self.network)


_WELL_KNOWN = Prefix(IPv6Network("64:ff9b::/96"))
"""RFC 6052, section 3.1: it "MUST NOT be used to represent non-global IPv4 addresses"."""


_PRIVATE = tuple(IPv4Network(network) for network in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"))
"""RFC 1918, section 3, and RFC 6598, section 7: private networks, which the internet's translators drop."""


def _is_private(address: Address) -> bool:
    return any(IPv4Address(address.host) in network for network in _PRIVATE)


def may_synthesize(address: Address) -> bool:
    """Whether this is an IPv4 address that has a meaning beyond this host and this link."""
    return address.family == IPV4 and not any(IPv4Address(address.host) in network for network in NEVER_SYNTHESIZED)


def synthesize(prefix: Prefix, address: Address) -> Address | None:
    """RFC 6052, section 2.3: write an IPv4 address as an IPv6 one, the port kept; None if that must never be done.

    Example:
        >>> str(synthesize(Prefix.read("64:ff9b::/96"), Address(IPV4, "192.0.2.33", 443)))
        '[64:ff9b::c000:221]:443'
    """
    if not may_synthesize(address) or (prefix == _WELL_KNOWN and _is_private(address)):
        return None
    length = prefix.network.prefixlen
    octets = prefix.network.network_address.packed[: length // 8] + IPv4Address(address.host).packed
    if length < 96:
        octets = octets[:_U] + b"\0" + octets[_U:]
    return Address(IPV6, str(IPv6Address(octets.ljust(16, b"\0"))), address.port)


def extract(prefix: Prefix, address: Address) -> Address | None:
    """RFC 6052, section 2.3: read the IPv4 address back, the port kept; None if the address is not of that prefix.

    What `synthesize` would never have written is none either: no answer of a name server becomes an address of this
    host. The bits behind the IPv4 address are ignored, as section 2.2 asks.

    Example:
        >>> str(extract(Prefix.read("64:ff9b::/96"), Address(IPV6, "64:ff9b::c000:221", 443)))
        '192.0.2.33:443'
    """
    if address.family != IPV6:
        return None
    number = IPv6Address(address.host)
    if number not in prefix.network or number.packed[_U] != 0:
        return None
    embedded = Address(IPV4, str(_embedded(number, prefix.network.prefixlen)), address.port)
    return embedded if may_synthesize(embedded) else None


def _embedded(number: IPv6Address, length: int) -> IPv4Address:
    """Take the 32 bits that follow a prefix of this length, octet u left out."""
    octets = number.packed if length == 96 else number.packed[:_U] + number.packed[_U + 1 :]
    return IPv4Address(octets[length // 8 :][:4])


def prefixes_from(addresses: Iterable[Address]) -> list[Prefix]:
    """RFC 7050, section 3: find the prefixes in the AAAA records of ipv4only.arpa, each once, in the records' order.

    An address in which the well-known ones stand at several places, because the prefix itself looks like one, says by
    itself nothing. That is why there are two of them: the true prefix is the one that is found with both.

    Example:
        >>> [str(prefix) for prefix in prefixes_from([Address(IPV6, "64:ff9b::192.0.0.170", 0)])]
        ['64:ff9b::/96']
    """
    found = [_well_known_in(IPv6Address(address.host)) for address in addresses if address.family == IPV6]
    everywhere = {pair for places in found for pair in places}
    prefixes = [
        prefix
        for places in found
        for prefix, _ in places
        if len(places) == 1 or all((prefix, well_known) in everywhere for well_known in IPV4ONLY_ARPA)
    ]
    return list(dict.fromkeys(prefixes))


def _well_known_in(number: IPv6Address) -> list[tuple[Prefix, IPv4Address]]:
    """Look at the six places of RFC 6052; return the prefix before each that holds a well-known address.

    An address whose first 32 bits are zero is of no translator: resolvers make IPv4-mapped ones of A records (RFC
    3493, section 6.1).
    """
    if number.packed[_U] != 0 or int(number) >> 96 == 0:
        return []
    embedded = {length: _embedded(number, length) for length in PREFIX_LENGTHS}
    return [
        (Prefix(IPv6Network((int(number), length), strict=False)), ipv4)
        for length, ipv4 in embedded.items()
        if ipv4 in IPV4ONLY_ARPA
    ]


def read_prefixes(nat64: str | Iterable[str]) -> tuple[Prefix, ...]:
    """Read what a caller gives as `nat64`.

    Raises:
        TypeError: It is neither one prefix nor several.
        ValueError: There are none, or one makes no sense.
    """
    texts = (nat64,) if isinstance(nat64, str) else several("nat64", nat64, "prefixes")
    if not texts:
        raise ValueError("nat64 must be None where there is no prefix, not empty")
    try:
        return tuple(map(Prefix.read, texts))
    except (TypeError, ValueError) as error:
        raise type(error)(f"nat64 makes no sense: {error}") from None


class Translator:
    """A network's NAT64, seen from this host.

    Args:
        prefixes: Under which it stands for IPv4; all are read, the first is written.
        source_of: Where the system would connect from, None if it has no way there: what IPv4 reaches by itself needs
            no translator (Happy Eyeballs version 3, section 8).

    Example:
        >>> translator = Translator((Prefix.read("64:ff9b::/96"),), {}.get)
        >>> translator.write(translator.read(Address(IPV6, "64:ff9b::c000:201", 443))).host
        '64:ff9b::c000:201'
    """

    def __init__(self, prefixes: tuple[Prefix, ...], source_of: Callable[[Address], Address | None]) -> None:
        self._prefixes = prefixes
        self._source_of = source_of

    def read(self, address: Address) -> Address:
        """Return the IPv4 address that an IPv6 one stands for, for all that concerns order; others as they are."""
        embedded = (extract(prefix, address) for prefix in self._prefixes)
        return next((found for found in embedded if found is not None), address)

    def write(self, address: Address) -> Address:
        """Return the address that can be connected to: an IPv4 one through the translator, others as they are."""
        if address.family != IPV4 or self._source_of(address) is not None:
            return address
        return synthesize(self._prefixes[0], address) or address

    def source_of(self, address: Address) -> Address | None:
        """Where an address is connected to from; what is translated has a source beyond the translator."""
        return self._source_of(address) or (address if self.write(address) != address else None)


async def discover_nat64(*, network: Network | None = None) -> tuple[str, ...]:
    """Find the prefixes of this network's NAT64: those that routers advertise, or else by DNS.

    RFC 9872, section 3, prefers the advertisements (RFC 8781). The kernel keeps none, so they are known only where
    systemd-networkd (259 or later, `UsePREF64=yes`) can be asked. Otherwise the IPv6 addresses of a name that has none
    tell (RFC 7050). Who knows the prefix from elsewhere gives it to `Connector(nat64=...)` and needs no discovery.

    Args:
        network: The network below; None is the kernel's, whose system may have heard advertisements.

    Returns:
        The prefixes, for `Connector(nat64=...)`; none where there is no NAT64.

    Raises:
        OSError: The look-up failed, other than by there being no such addresses.
        TypeError: `network` is none.

    Example:
        >>> from trio_nbconnect import Connector
        >>> async def connector() -> Connector:
        ...     return Connector(nat64=await discover_nat64() or None)
    """
    if network is not None and not hasattr(network, "look_up"):
        raise TypeError(f"network must have a method look_up, not {network!r}")
    await checkpoint_if_over()  # before anybody is asked
    if network is None and (advertised := _usable(await advertised_prefixes())):
        return advertised
    look_up = (network or KernelNetwork()).look_up("ipv4only.arpa.", 0, IPV6)
    try:
        addresses = await look_up.wait()
    except socket.gaierror as error:
        if error.errno in _NO_SUCH_ADDRESSES:
            return ()
        raise
    return tuple(map(str, prefixes_from(addresses)))


def _usable(texts: Iterable[str]) -> tuple[str, ...]:
    """Leave out what is no prefix of a translator (RFC 6052, section 2.2), and what comes twice."""
    prefixes = []
    for text in texts:
        with suppress(ValueError):
            prefixes.append(str(Prefix.read(text)))
    return tuple(dict.fromkeys(prefixes))


_NO_SUCH_ADDRESSES = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", None), getattr(socket, "EAI_ADDRFAMILY", None)}
