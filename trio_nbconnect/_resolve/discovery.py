"""Discovery: the search for a network's NAT64, by a look-up (RFC 7050).

The problem: a host on a network without IPv4 must know by which prefix its translator is reached, and few networks say
so. How we solve it: we ask for the IPv6 addresses of a name that has none; a network's DNS64 makes some up.

What lives here: that question. What does not: what the answer means, and any use of it; that is `_nat64`.
"""

from __future__ import annotations

import socket

from .._address import IPV6
from .._connect.network import KernelNetwork, Network
from .nat64 import prefixes_from
from .system import limiter_of


async def discover_nat64(*, network: Network | None = None) -> str | None:
    """Find the prefix of this network's NAT64, by asking for the IPv6 addresses of a name that has none (RFC 7050).

    Args:
        network: The network below, the kernel's by default.

    Returns:
        The prefix, for `Connector(nat64=...)`; None where there is no NAT64.

    Raises:
        OSError: The look-up failed, other than by there being no such addresses.

    Example:
        >>> from trio_nbconnect import Connector
        >>> async def connector() -> Connector:
        ...     return Connector(nat64=await discover_nat64())
    """
    try:
        addresses = await (network or KernelNetwork()).getaddrinfo("ipv4only.arpa", 0, IPV6, limiter_of(IPV6))
    except socket.gaierror as error:
        if error.errno in _NO_SUCH_ADDRESSES:
            return None
        raise
    prefixes = prefixes_from(addresses)
    return str(prefixes[0]) if prefixes else None


_NO_SUCH_ADDRESSES = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", None), getattr(socket, "EAI_ADDRFAMILY", None)}
