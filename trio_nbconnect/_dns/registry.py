"""Registry: which name servers Windows uses, as a `resolv.conf` would say it.

Windows keeps them for each network interface, in its registry; dnspython reads it. It does not tell when they change,
so they are read again after a few seconds, in a thread.
"""

from __future__ import annotations

import dns.win32util
import trio

from .local_names import SMALL, CachedFile, T

READ_AGAIN_AFTER = 10.0
"""Seconds."""


class Registry(CachedFile[T]):
    """The registry, in the place of a file."""

    __slots__ = ()

    def _look(self) -> tuple[tuple[int, int, int, int], int]:
        return (int(trio.current_time() / READ_AGAIN_AFTER), 0, 0, 0), SMALL + 1

    def _text(self) -> str:
        """Windows has "fec0:0:0:ffff::1" and two more where an interface has no name server: nothing is there."""
        found = dns.win32util.get_dns_info()  # type: ignore[attr-defined]  # on Windows it has
        servers = [server for server in found.nameservers if not server.lower().startswith("fec0:0:0:ffff::")]
        domains = found.search or [found.domain or ""]
        lines = [f"nameserver {server}" for server in servers or ["none"]]  # with no line, this machine would be meant
        return "\n".join([*lines, f"search {' '.join(map(str, domains))}"])
