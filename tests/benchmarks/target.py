"""Target: what a worker connects to, and who answers for its name; the same for all contenders."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from functools import partial
from typing import Any

import trio

from .cases import Case, Kind, Names
from .place import Place

Entry = tuple[int, int, int, str, tuple[str, int]]


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where one connect goes: a host and its port, a path, or a host that speaks TLS."""

    host: str
    port: int
    addresses: tuple[str, ...]
    path: str
    is_literal: bool = True
    context: ssl.SSLContext | None = None

    @property
    def sockaddr(self) -> tuple[str, int]:
        """Of a host that is an address."""
        return self.host, self.port

    @property
    def entries(self) -> list[Entry]:
        """What `getaddrinfo` says of it."""
        hosts = self.addresses or (self.host,)
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, self.port)) for host in hosts]


def target_of(case: Case, place: Place, host: str) -> Target:
    """Aim at one host of a case."""
    context = None
    if case.kind is Kind.TLS:
        context = place.client_context()
        if case.resumed:
            resume(context, (host, place.port))
    return Target(
        host=host,
        port=place.port,
        addresses=case.addresses,
        path=place.path,
        is_literal=case.names is Names.LITERAL,
        context=context,
    )


def resume(context: ssl.SSLContext, sockaddr: tuple[str, int]) -> None:
    """Begin a session, and let whatever this context wraps from now on resume it.

    Neither Trio nor asyncio has a parameter for this; but both call `wrap_bio`, where the standard library has one.
    """
    with socket.create_connection(sockaddr) as sock, context.wrap_socket(sock, server_hostname=sockaddr[0]) as secure:
        secure.recv(1)  # the ticket of TLS 1.3 comes with it
        session = secure.session
    for method in ("wrap_bio", "wrap_socket"):
        setattr(context, method, partial(getattr(context, method), session=session))


def check_resumed(target: Target) -> None:
    """See that all handshakes of this process but the first have resumed the session; a full one is no benchmark."""
    assert target.context is not None
    done = target.context.session_stats()
    if done["hits"] != done["connect_good"] - 1:
        raise RuntimeError(f"not all sessions were resumed: {done}")


class KnownNames(trio.abc.HostnameResolver):
    """Trio's hook, answered at once."""

    def __init__(self, target: Target) -> None:
        self.entries = target.entries

    async def getaddrinfo(self, host: bytes | None, *_: Any, **__: Any) -> Any:
        return list(self.entries)

    async def getnameinfo(self, sockaddr: Any, flags: int) -> tuple[str, str]:
        raise NotImplementedError


def look_up_at_once(target: Target) -> None:
    """Replace the system's look-up, for this process, by one that answers at once: IPv4 only, as the system would."""
    entries, real = target.entries, socket.getaddrinfo

    def getaddrinfo(host: Any, *rest: Any, **named: Any) -> Any:
        if host not in (target.host, target.host.encode()):
            return real(host, *rest, **named)
        given = dict(zip(("port", "family", "type", "proto", "flags"), rest, strict=False)) | named
        if given.get("flags", 0) & socket.AI_NUMERICHOST or given.get("family") == socket.AF_INET6:
            raise socket.gaierror(socket.EAI_NONAME, "no such address")
        return list(entries)

    socket.getaddrinfo = getaddrinfo


def answer_for(case: Case, target: Target) -> None:
    """See that a looked-up name is known in this process."""
    if case.names in (Names.LOOKED_UP, Names.KNOWN):
        look_up_at_once(target)
