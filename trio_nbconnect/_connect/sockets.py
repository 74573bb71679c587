"""Connect: the ways into a handshake, for a race, for a path and for a socket of the caller's.

A handshake needs a socket with an owner, who closes it on every way out but success. Each way begins one `Handshake`
and says who owns its socket: `SocketOpener.begin` gives it to a race, half open; `open_unix` returns it as a stream;
`connect_socket` works on a socket of the caller's, Trio's too. Limits are the race's; a path has no race, so
`open_unix` keeps its limit itself.
"""

from __future__ import annotations

import math
import socket
from collections.abc import Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import trio

from .._address import Address, checked_path
from .._errors import gave_up_unix, os_error
from .handshake import Handshake, HandshakeState
from .network import KernelNetwork, Network, Socket, apply, apply_again, checkpoint_if_over, open_socket

if TYPE_CHECKING:
    from .options import FamilyOptions
    from .settings import Setting


_ROUTING = ("mark=", "interface=")
"""The options that choose a route (socket(7), `SO_MARK` and `SO_BINDTODEVICE`)."""


class SocketOpener:
    """How one connector begins its handshakes: on which network, from which local addresses, with which options."""

    __slots__ = ("_local", "_network", "_options")

    is_resumable = True
    adds_notes = True
    failures = ()

    def __init__(
        self,
        network: Network,
        local: Mapping[socket.AddressFamily, Address] = MappingProxyType({}),
        options: Mapping[socket.AddressFamily, FamilyOptions] | None = None,
    ) -> None:
        self._network = network
        self._local = local
        self._options = options

    def begin(self, address: Address) -> Handshake:
        """Open a socket and begin to connect it to an address.

        Raises:
            OSError: The first system calls failed: no socket, an option, no local address, no route. No packet was
                sent.
        """
        options = self._of(address) if self._options else None
        kind = Handshake if options is None else partial(_Configured, options.kept)
        sock = open_socket(self._network, address, self._local, options)
        try:
            handshake = kind(sock, address.sockaddr, address, self._network, self)
        except BaseException:  # a path that is too long, say
            self._network.close(sock)
            raise
        if handshake.errno:
            raise os_error(handshake.errno, address)
        return handshake

    def round_trip_time(self, sock: Socket) -> float | None:
        """What the network has measured, seconds; None if it does not say."""
        return self._network.round_trip_time(sock)

    def syn_retransmissions(self, sock: Socket) -> int | None:
        """How often the network has sent the SYN again; None if it does not say."""
        return self._network.syn_retransmissions(sock)

    def source_address(self, address: Address) -> Address | None:
        """Where a socket of this connector would connect to an address from, None if it has no way there."""
        options = self._of(address)
        routing = (
            () if options is None else [setting for setting in options.settings if setting.name.startswith(_ROUTING)]
        )
        return self._network.source_address(address, self._local.get(address.family), routing)

    def open(self, address: Address) -> Socket:
        """Open a socket that is ready to be connected to an address."""
        return open_socket(self._network, address, self._local, self._of(address))

    def _of(self, address: Address) -> FamilyOptions | None:
        return None if self._options is None else self._options.get(address.family)


class _Configured(Handshake):
    """A handshake whose stream keeps what Trio would override."""

    __slots__ = ("_kept",)

    def __init__(self, kept: tuple[Setting, ...], *handshake: Any) -> None:
        self._kept = kept
        super().__init__(*handshake)

    def stream(self) -> trio.SocketStream:
        stream = super().stream()
        apply_again(stream, self._kept)
        return stream

    def _close(self) -> None:
        """`SocketOptions.configure` may have shown the socket to somebody, who may wait for it."""
        self._network.close(self.socket)


async def open_unix(
    network: Network, path: str | bytes, settings: Sequence[Setting] = (), give_up_after: float = math.inf
) -> trio.SocketStream:
    """Open a UNIX socket, set it up and connect it; the limit does not touch what `connect` has said at once."""
    checked_path(path)
    await checkpoint_if_over()
    sock = network.open(socket.AF_UNIX)
    try:
        apply(sock, settings, repr(path))
        handshake = Handshake(sock, path, path, network, None)
        if handshake.state is not HandshakeState.HANDSHAKING or give_up_after == math.inf:
            await handshake.wait()
            return handshake.stream()
        with trio.move_on_after(give_up_after):
            await handshake.wait()
            return handshake.stream()
        raise gave_up_unix(path, give_up_after, backlog_full=handshake._backlog_is_full)
    except BaseException:
        network.close(sock)
        raise


async def connect_socket(sock: socket.socket | trio.socket.SocketType, sockaddr: Any) -> None:
    """Connect a non-blocking socket, without blocking and without believing the first thing it says.

    The socket may be the standard library's or Trio's, of any family. On every way out but success it is closed.

    Args:
        sock: A non-blocking socket, not yet connected.
        sockaddr: Where to: `(host, port)` or the four values of IPv6, with a numeric host; or a path for UNIX.

    Raises:
        OSError: The connect failed; the class fits the errno, and the text holds the address.
        TypeError: `sock` is no socket.
        ValueError: The socket is blocking, or `sockaddr` is no numeric address of its family.
        trio.ClosedResourceError: The socket is closed, or another task closed it meanwhile.

    Example:
        >>> import socket, trio
        >>> async def main():
        ...     with socket.create_server(("127.0.0.1", 0)) as listener, trio.socket.socket() as sock:
        ...         await connect_socket(sock, listener.getsockname())
        ...         print(sock.getpeername() == listener.getsockname())
        >>> trio.run(main)
        True
    """
    if not isinstance(sock, (socket.socket, trio.socket.SocketType)):
        raise TypeError(f"sock must be a socket, not {sock!r}")
    if sock.fileno() == -1:
        raise trio.ClosedResourceError("this socket is closed")
    try:
        await checkpoint_if_over()
    except BaseException:
        sock.close()
        raise
    borrowed = _Borrowed(sock) if isinstance(sock, trio.socket.SocketType) else sock
    try:
        await Handshake.begin(borrowed, sockaddr).wait()
    except BaseException:
        KernelNetwork().close(borrowed)
        raise
    finally:
        if borrowed is not sock:
            borrowed.detach()


class _Borrowed(socket.socket):
    """Trio's socket seen as a stdlib one, which can `connect_ex`; to close it is to close Trio's."""

    def __init__(self, owner: trio.socket.SocketType) -> None:
        super().__init__(owner.family, owner.type, owner.proto, fileno=owner.fileno())
        self.setblocking(False)
        self._owner = owner

    def fileno(self) -> int:
        """Know when the owner is closed: the number may be another socket's by then."""
        return self._owner.fileno()

    def close(self) -> None:
        self._owner.close()
