"""Hooked: sockets from a factory that somebody set with `trio.socket.set_custom_socket_factory`.

Such a socket may be anything: a fake in a test, a tunnel, a logger. Trio promises of it what `trio.SocketStream`
needs and an async `connect`, so we use that and nothing else, and let its errors pass as they are. In return it
cannot do what a kernel handshake can: a cancelled `connect` is lost, so the race gives it a task from the start.
"""

from __future__ import annotations

import contextlib
import math
import socket
from collections.abc import Awaitable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import trio
from trio import _socket

from .._address import UNIX, Address, checked_path
from .._errors import gave_up_unix
from .handshake import HandshakeState
from .network import apply, apply_again, bind_address_only

if TYPE_CHECKING:
    from .options import FamilyOptions
    from .settings import Setting


class HookedOpener:
    """How one connector begins handshakes that foreign sockets make; the counterpart of `Opener`."""

    __slots__ = ("_local", "_options")

    native = False

    def __init__(
        self,
        local: Mapping[socket.AddressFamily, Address],
        options: Mapping[socket.AddressFamily, FamilyOptions] | None = None,
    ) -> None:
        self._local = local
        self._options = options

    def begin(self, address: Address) -> HookedHandshake:
        """Have the factory make a socket; it connects when it is waited for."""
        options = None if self._options is None else self._options.get(address.family)
        return HookedHandshake(address, self._local.get(address.family), options)


class HookedHandshake:
    """A connect that a foreign socket makes; the counterpart of `Handshake`."""

    __slots__ = ("_address", "_failure", "_local", "_options", "socket", "state")

    def __init__(self, address: Address, local: Address | None = None, options: FamilyOptions | None = None) -> None:
        protocol = 0 if address.family == UNIX else socket.IPPROTO_TCP
        self.socket = trio.socket.socket(address.family, socket.SOCK_STREAM, protocol)
        self.state = HandshakeState.HANDSHAKING
        self._address = address
        self._local = local
        self._options = options
        self._failure: Exception | None = None

    async def settle(self) -> None:
        """Connect, and remember with what that failed; what is no failure of a connection is a bug and comes out."""
        try:
            await self._connect()
        except (OSError, trio.BrokenResourceError, trio.TooSlowError) as error:
            self._failure = error
            self.state = HandshakeState.CLOSED
        else:
            self.state = HandshakeState.CONNECTED

    def news(self) -> Awaitable[object]:
        """Return what to await; that is all, since the socket does the rest."""
        return self.settle()

    def look(self) -> None:
        """There is nothing to see: `settle` has seen it."""

    def failure(self) -> Exception | None:
        """Return with what the connect failed."""
        return self._failure

    async def _connect(self) -> None:
        """Set up, bind and connect, in one go."""
        if self._options is not None:
            _apply(self.socket, self._options.settings, self._address)
            if self._options.configure is not None:
                self._options.configure(self.socket, self._address)  # type: ignore[arg-type]  # as documented there
        if self._local is not None:
            bind_address_only(self.socket)
            await self.socket.bind(self._local.sockaddr)
        await self.socket.connect(self._address.sockaddr)

    def abort(self) -> None:
        """Close the socket at once, whatever the state."""
        self.state = HandshakeState.CLOSED
        self.socket.close()

    def round_trip_time(self) -> float | None:
        """A foreign socket is not asked: it may be a fake, or the near end of a tunnel."""
        return None

    def stream(self) -> trio.SocketStream:
        """Give the connected socket away as a stream, which owns it from then on."""
        stream = trio.SocketStream(self.socket)
        if self._options is not None and self._options.kept:
            with contextlib.suppress(*_LACKING):
                apply_again(stream, self._options.kept)
        return stream


_LACKING = (AttributeError, NotImplementedError)
"""What a socket says that has no `setsockopt`; the second is `trio.socket.SocketType`'s way."""


def _apply(sock: trio.socket.SocketType, settings: Sequence[Setting], target: object) -> None:
    """Set options on a socket that may not offer that."""
    with contextlib.suppress(*_LACKING):
        apply(sock, settings, target)


async def open_hooked_unix(
    path: str | bytes, settings: Sequence[Setting] = (), give_up_after: float = math.inf
) -> trio.SocketStream:
    """Connect to a UNIX socket as Trio does, with a socket from the factory."""
    checked_path(path)
    sock = trio.socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _apply(sock, settings, repr(path))
        with trio.move_on_after(give_up_after):
            await sock.connect(path)
            return trio.SocketStream(sock)
        raise gave_up_unix(path, give_up_after, backlog_full=False)
    except BaseException:
        sock.close()
        raise


def has_socket_factory() -> bool:
    """Whether a custom socket factory is set in this `trio.run`.

    Trio has no getter, and to set one and set it back is a tenth of a connect's cost, so we look where Trio looks. It
    raises and catches an error where none was ever set, so the first one who looks sets none: that means the same.
    """
    factory = _socket._socket_factory.get(_NEVER_SET)
    if factory is _NEVER_SET:
        trio.socket.set_custom_socket_factory(None)
        return False
    return factory is not None


def has_hostname_resolver() -> bool:
    """Whether a custom hostname resolver is set in this `trio.run`."""
    resolver = _socket._resolver.get(_NEVER_SET)
    if resolver is _NEVER_SET:
        trio.socket.set_custom_hostname_resolver(None)
        return False
    return resolver is not None


def ask_hostname_resolver(name: str, port: int) -> Awaitable[Sequence[tuple[Any, ...]]]:
    """Ask the custom hostname resolver in the one call that `trio.socket.getaddrinfo` makes.

    Trio first has the C library see whether the name is numeric. One whose last label begins with no digit is not, in
    any spelling ("127.1", "0x7f.1"), and to be told so by an error takes a seventh of a whole connect.
    """
    resolver: trio.abc.HostnameResolver | None = _socket._resolver.get(None)
    if resolver is None or name.rpartition(".")[2][:1].isdigit():
        return trio.socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    return resolver.getaddrinfo(name.encode("ascii"), port, 0, socket.SOCK_STREAM, 0, 0)


_NEVER_SET: Any = object()
