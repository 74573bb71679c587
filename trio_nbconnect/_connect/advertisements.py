"""Advertisements: which prefixes of NAT64 routers advertise (PREF64, RFC 8781), as far as this system tells.

The kernel hands the option to whoever listens when it arrives, and keeps nothing. So a program that comes later asks
the one that has listened: systemd-networkd (since its version 259, and where `UsePREF64=yes` is set for the link)
answers over a UNIX socket, in Varlink: JSON objects, each with a NUL behind it.

Refused: `networkctl`, which asks the same and costs a process; networkd's state files, which are private and do not
hold the option; and to listen for advertisements, which come minutes apart.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from ipaddress import IPv6Address
from typing import Any

import trio

from .network import KernelNetwork
from .sockets import open_unix

NETWORKD = "/run/systemd/netif/io.systemd.Network"

PATIENCE = 1.0
"""Seconds that the answer may take; it is a thousandth of that."""

LONGEST = 1 << 22
"""Octets of the answers that are read; a link takes some thousands."""

_CALLS = ("io.systemd.Network.GetNamespaceId", "io.systemd.Network.Describe")


async def advertised_prefixes(path: str = NETWORKD) -> list[str]:
    """Return the prefixes that routers advertise, link by link; none where nobody tells.

    Args:
        path: The socket of systemd-networkd.
    """
    answers: list[Any] = []
    with trio.move_on_after(PATIENCE), suppress(OSError, trio.BrokenResourceError, ValueError, RecursionError):
        answers = await trio.to_thread.run_sync(_parse, await _ask(path))
    try:
        namespace, description = (answer["parameters"] for answer in answers)
        if namespace["NamespaceId"] != os.stat("/proc/self/ns/net").st_ino:  # it has other links than we
            return []
        advertised = [each for link in description["Interfaces"] for each in link.get("NDisc", {}).get("PREF64", ())]
        return [f"{IPv6Address(bytes(list(each['Prefix'])))}/{each['PrefixLength']}" for each in advertised]
    except (AttributeError, LookupError, OSError, TypeError, ValueError):  # a system that says something else
        return []


async def _ask(path: str) -> bytes:
    """Send the calls and return the answers as they come, one after the other."""
    received = bytearray()
    async with await open_unix(KernelNetwork(), path) as stream:
        for call in _CALLS:
            await stream.send_all(json.dumps({"method": call, "parameters": {}}).encode() + b"\0")
        while received.count(b"\0") < len(_CALLS) and len(received) <= LONGEST:
            chunk = await stream.receive_some()
            if not chunk:
                break
            received += chunk
    return bytes(received)


def _parse(received: bytes) -> list[Any]:
    """Read what is complete; in a thread, for it may be long."""
    return [json.loads(answer) for answer in received.split(b"\0")[:-1]]
