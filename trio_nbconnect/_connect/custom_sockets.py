"""Custom sockets: connects through a factory that was set with `trio.socket.set_custom_socket_factory`.

Such a socket may be anything: a fake in a test, a tunnel, a logger. Trio promises of it what `trio.SocketStream`
needs and an async `connect`, so we use that and nothing else, and let its errors pass as they are. In return it
cannot do what a handshake in the kernel can: a cancelled `connect` is lost, so the race gives it a task from the start.
"""

from __future__ import annotations

import contextlib
import math
import socket
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import trio

from .._address import UNIX, Address, checked_path
from .._errors import gave_up_unix
from .network import apply, apply_again, bind_address_only, checkpoint_if_over, clear_fast_open

if TYPE_CHECKING:
    from .options import FamilyOptions
    from .settings import Setting


class CustomSocketOpener:
    """How one connector begins connects that custom sockets make; the counterpart of `SocketOpener`."""

    __slots__ = ("_local", "_options")

    is_resumable = False
    adds_notes = False
    failures = ()

    def __init__(
        self,
        local: Mapping[socket.AddressFamily, Address],
        options: Mapping[socket.AddressFamily, FamilyOptions] | None = None,
    ) -> None:
        self._local = local
        self._options = options

    def begin(self, address: Address) -> CustomConnect:
        """Have the factory make a socket; it connects when it is waited for."""
        options = None if self._options is None else self._options.get(address.family)
        return CustomConnect(address, self._local.get(address.family), options)

    def round_trip_time(self, sock: trio.socket.SocketType) -> float | None:
        """A custom socket is not asked: it may be a fake, or the near end of a tunnel."""
        return None

    def syn_retransmissions(self, sock: trio.socket.SocketType) -> int | None:
        """Likewise."""
        return None


class CustomConnect:
    """A connect that a custom socket makes; the counterpart of `Handshake`."""

    __slots__ = ("_address", "_local", "_options", "socket")

    def __init__(self, address: Address, local: Address | None = None, options: FamilyOptions | None = None) -> None:
        protocol = 0 if address.family == UNIX else socket.IPPROTO_TCP
        self.socket = trio.socket.socket(address.family, socket.SOCK_STREAM, protocol)
        self._address = address
        self._local = local
        self._options = options

    async def wait(self) -> None:
        """Set up, bind and connect, in one go; what that raises passes as it is."""
        if self._options is not None:
            _apply(self.socket, self._options.settings, self._address)
            if self._options.configure is not None:
                self._options.configure(self.socket, self._address)  # type: ignore[arg-type]  # as documented there
                with contextlib.suppress(*_LACKING):
                    clear_fast_open(self.socket)
        if self._local is not None:
            bind_address_only(self.socket)
            await self.socket.bind(self._local.sockaddr)
        await self.socket.connect(self._address.sockaddr)

    def abort(self) -> None:
        """Close the socket at once, whatever the state."""
        self.socket.close()

    def stream(self) -> trio.SocketStream:
        """Give the connected socket away as a stream, which owns it from then on."""
        stream = trio.SocketStream(self.socket)
        if self._options is not None:
            with contextlib.suppress(*_LACKING):
                apply_again(stream, self._options.kept)
        return stream


_LACKING = (AttributeError, NotImplementedError)
"""What a socket says that has no `setsockopt`; the second is `trio.socket.SocketType`'s way."""


def _apply(sock: trio.socket.SocketType, settings: Sequence[Setting], target: object) -> None:
    """Set options on a socket that may not offer that."""
    with contextlib.suppress(*_LACKING):
        apply(sock, settings, target)


async def open_custom_unix(
    path: str | bytes, settings: Sequence[Setting] = (), give_up_after: float = math.inf
) -> trio.SocketStream:
    """Connect to a UNIX socket as Trio does, with a socket from the factory."""
    checked_path(path)
    await checkpoint_if_over()
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
    """Whether a custom socket factory is set in this `trio.run`. Trio has no getter: set none, and put it back."""
    factory = trio.socket.set_custom_socket_factory(None)
    if factory is not None:
        trio.socket.set_custom_socket_factory(factory)
    return factory is not None


def has_hostname_resolver() -> bool:
    """Whether a custom hostname resolver is set in this `trio.run`."""
    resolver = trio.socket.set_custom_hostname_resolver(None)
    if resolver is not None:
        trio.socket.set_custom_hostname_resolver(resolver)
    return resolver is not None
