"""Handshake: the state machine of one non-blocking connect, errno by errno.

The problem: `connect` on a non-blocking socket returns at once. Whether it has connected, is on its way or has failed
is spread over its errno, the socket's readiness, `SO_ERROR` and `getpeername`, and none of them alone tells the truth.

1. Open a fresh non-blocking socket.
2. `connect_ex`, and branch on the errno: Python's `BlockingIOError` lumps three of them together.
   0 or EISCONN: verify. EINPROGRESS, EALREADY, EINTR: under way. EAGAIN on a UNIX socket: the server's backlog is
   full and *nothing* is under way. Anything else failed.
3. Wait until the socket is writable, then read `SO_ERROR` once, since reading clears it, and only when woken, since
   an ICMP error may stand there for a handshake that would still succeed.
4. `SO_ERROR` 0 is no proof; `getpeername` is. On ENOTCONN ask `connect_ex` what is the matter. If it says "under way"
   of a socket that is writable, look again after a pause, but not for ever: some layer below tells two stories.
5. A TCP socket whose own name is its peer's has met itself (a simultaneous open, RFC 9293, figure 8): reset it and
   try again at most twice. A plain close would leave a TIME_WAIT that keeps the real server from its port.

*A handshake lives in the kernel, not in a task.* Awaiting it may be cancelled and taken up again, by the same task or
another one, and nothing is lost. To give up is to abort it.

Refused: TCP Fast Open, whose `connect` says 0 before a packet was sent; a second `connect` to see whether a handshake
on loopback is over already, which spares the wait there and nothing on a network.
"""

from __future__ import annotations

import contextlib
import enum
import errno
import random
import socket
import struct
import sys
from typing import Any, Protocol

import trio

from .._address import IPV4, IPV6, UNIX, Address
from .._errors import os_error
from .network import KernelNetwork, Network, Socket, checked


def under_way_on(platform: str) -> frozenset[int]:
    """What `connect` says of a handshake under way: Windows says EWOULDBLOCK where POSIX says EINPROGRESS."""
    posix = frozenset((errno.EINPROGRESS, errno.EALREADY, errno.EINTR))
    return posix | {errno.EWOULDBLOCK} if platform == "win32" else posix


_CONNECTED = {0, errno.EISCONN}
_UNDER_WAY = under_way_on(sys.platform)

_RETRIES = 2
"""How often a self-connect or a spurious EADDRNOTAVAIL is tried again; Go's dialer has found two to be enough."""

_SHORTEST_PAUSE = 0.001
_LONGEST_PAUSE = 0.050
"""Seconds between two looks where readiness tells nothing; doubled each time, with jitter."""

_LOOKS = 256
"""How often a socket may be writable without a peer while `connect` says EALREADY, EINPROGRESS or EINTR: some ten
seconds, in which the first packet has been sent four times (RFC 6298). A kernel does that for a moment; an emulation, a
filter of system calls or a debugger may do it for ever."""


class HandshakeState(enum.Enum):
    """Where a handshake stands.

    Attributes:
        HANDSHAKING: It is under way, or waits for room in a backlog.
        CONNECTED: There is a peer.
        CLOSED: It has failed or was aborted, and the socket is closed.
    """

    HANDSHAKING = "handshaking"
    CONNECTED = "connected"
    CLOSED = "closed"


class Connecting(Protocol):
    """What a race needs of a connect under way, ours or that of a custom socket."""

    @property
    def socket(self) -> Any: ...

    async def wait(self) -> None:
        """Return when it is connected, or raise what it failed with."""

    def abort(self) -> None:
        """Close the socket at once, whatever the state."""

    def stream(self) -> trio.SocketStream:
        """Give the connected socket away as a stream, which owns it from then on."""


class Opener(Protocol):
    """How one connector begins its connects: on which network, from which local addresses, with which options."""

    @property
    def is_resumable(self) -> bool:
        """Whether a wait for one that was cancelled may be taken up again."""

    @property
    def adds_notes(self) -> bool:
        """Whether a failure is told which attempt it was of; if not, it passes as it is."""

    @property
    def failures(self) -> tuple[type[Exception], ...]:
        """What fails an attempt, beside what fails any."""

    def begin(self, address: Address, /) -> Connecting:
        """Open a socket and begin to connect it.

        Raises:
            OSError: Not even a packet could be sent.
        """

    def round_trip_time(self, sock: Any, /) -> float | None:
        """What is known of the route from a socket that has just connected, seconds."""

    def syn_retransmissions(self, sock: Any, /) -> int | None:
        """How often the SYN of a socket was sent again, None if nobody says."""


class Reopen(Protocol):
    """Has opened a socket, and can open another one for the same address."""

    def open(self, address: Any, /) -> Socket: ...


class Handshake:
    """One non-blocking connect, in two steps: `begin` it, then `wait` for it.

    It owns the socket until `wait` has returned; `abort` closes it on every other way out.

    Attributes:
        socket: The socket. After a self-connect it is another one than at the beginning.
        state: `HandshakeState.HANDSHAKING`, `CONNECTED` or `CLOSED`.
        errno: The number of the error it failed with, 0 for none.

    Example:
        >>> import socket, trio
        >>> async def main():
        ...     with socket.create_server(("127.0.0.1", 0)) as listener:
        ...         sock = socket.socket()
        ...         sock.setblocking(False)
        ...         handshake = Handshake.begin(sock, listener.getsockname())
        ...         print(handshake.state.value)
        ...         await handshake.wait()
        ...         print(handshake.state.value)
        ...         handshake.abort()
        >>> trio.run(main)
        handshaking
        connected
    """

    __slots__ = (
        *("socket", "state", "errno"),
        *("_backlog_is_full", "_looks", "_name", "_network", "_opener", "_pause", "_retries", "_sockaddr", "_stream"),
    )

    def __init__(self, sock: Socket, sockaddr: Any, name: Any, network: Network, opener: Reopen | None) -> None:
        self.socket: Socket = sock
        self.state: HandshakeState = HandshakeState.HANDSHAKING
        self.errno: int = 0
        self._backlog_is_full = False
        self._looks = 0
        self._pause = 0.0
        self._retries = 0
        self._sockaddr = sockaddr
        self._name = name
        self._network = network
        self._opener = opener
        self._stream: trio.SocketStream | None = None
        self._connect()

    @classmethod
    def begin(cls, sock: Socket, sockaddr: Any, *, network: Network | None = None) -> Handshake:
        """Make the system call and return; nothing waits, and a failure shows in `state` and `errno`.

        Args:
            sock: A non-blocking socket, not yet connected.
            sockaddr: Where to, in the form of the socket's family; a host must be numeric.
            network: The network below, the kernel's by default.

        Raises:
            ValueError: The socket is blocking, or `sockaddr` is no numeric address of its family.
        """
        return cls(sock, checked(sock, sockaddr), sockaddr, network or KernelNetwork(), None)

    async def wait(self) -> None:
        """Wait until the handshake is over. Cancel it and call it again as you like: nothing is lost.

        Raises:
            OSError: The handshake failed; the socket is closed.
            trio.ClosedResourceError: It was aborted, or somebody closed the socket.
        """
        if self.state is not HandshakeState.HANDSHAKING:
            await trio.lowlevel.checkpoint()
        while self.state is HandshakeState.HANDSHAKING:
            if self._pause:
                await trio.sleep(self._pause * random.uniform(0.5, 1.0))
            if not self._backlog_is_full and not self._was_closed():
                await self._network.wait_writable(self.socket)
            self._check()
        if self.errno:
            raise os_error(self.errno, self._name)
        if self.state is HandshakeState.CLOSED:
            raise trio.ClosedResourceError("this handshake was aborted, or its socket closed")

    def _check(self) -> None:
        """Step 3: something has happened, see what. Only who was woken may: an ICMP error that is read is the end."""
        if self._was_closed():
            self.abort()
        elif self._backlog_is_full:
            self._connect()
        elif number := self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self._fail(number)
        else:
            self._verify()

    def _was_closed(self) -> bool:
        """Whether the socket was closed, by an abort or by its owner; perhaps after the kernel had woken us."""
        sock = self.socket
        return sock.fileno() == -1 if isinstance(sock, socket.socket) else self.state is HandshakeState.CLOSED

    def abort(self) -> None:
        """Close the socket at once, whatever the state."""
        self.state = HandshakeState.CLOSED
        if self._stream is None:
            self._close()
        else:
            self._stream.socket.close()  # a network may have made another socket of ours

    def stream(self) -> trio.SocketStream:
        """Give the connected socket away as a stream, which owns it from then on."""
        self._stream = self._network.stream(self.socket)
        return self._stream

    def _connect(self) -> None:
        """Step 2: connect, and see what that says."""
        number = self.socket.connect_ex(self._sockaddr)
        if number in _UNDER_WAY:
            self._backlog_is_full = False
            return
        while number == errno.EADDRNOTAVAIL and not self._has_port() and self._may_retry():
            number = self.socket.connect_ex(self._sockaddr)
        self._backlog_is_full = number == errno.EAGAIN and self.socket.family == UNIX
        if number in _CONNECTED:
            self._verify()
        elif self._backlog_is_full:
            self._pause_longer()
        elif number == errno.EBADF and self._opener is None:  # somebody has closed it
            self.abort()
        elif number not in _UNDER_WAY:
            self._fail(number)

    def _verify(self) -> None:
        """Step 4: no error is no proof of a connection; a peer is."""
        peer = self._peer()
        if peer is None:
            number = self.socket.connect_ex(self._sockaddr)
            if number in _UNDER_WAY:
                self._look_again()
                return
            peer = self._peer()
            if peer is None:
                self._fail(errno.ENOTCONN if number in _CONNECTED else number)
                return
        self._take(peer)

    def _take(self, peer: object) -> None:
        """There is a peer; see that it is somebody else."""
        try:
            is_self = peer == self.socket.getsockname() and self._is_tcp()
        except OSError as error:
            self._fail(error.errno or errno.ENOTCONN)
            return
        if is_self:
            self._meet_itself()
        else:
            self.state = HandshakeState.CONNECTED

    def _peer(self) -> object:
        """The peer's name, None while there is none."""
        try:
            return self.socket.getpeername()
        except OSError:  # ENOTCONN; on macOS also EINVAL
            return None

    def _meet_itself(self) -> None:
        """Step 5: reset the connection to ourselves and try another local port."""
        with contextlib.suppress(OSError):
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._close()
        if self._opener is None or not self._may_retry():
            self._fail(errno.ECONNREFUSED)
            return
        try:
            self.socket = self._opener.open(self._name)
        except OSError as error:
            self._fail(error.errno or errno.ECONNREFUSED)
        else:
            self._connect()

    def _close(self) -> None:
        """Close the socket, and wake whoever waits for it: nobody can where we have opened it for a race.

        To ask Trio who waits costs a system call and an exception, half of what a refused attempt costs otherwise.
        """
        if self._opener is None:
            self._network.close(self.socket)
        else:
            self.socket.close()

    def _may_retry(self) -> bool:
        self._retries += 1
        return self._retries <= _RETRIES

    def _has_port(self) -> bool:
        """Whether a local port was asked for, which then is what is not available."""
        return self.socket.family not in (IPV4, IPV6) or self.socket.getsockname()[1] != 0

    def _is_tcp(self) -> bool:
        return self.socket.family in (IPV4, IPV6) and self.socket.type == socket.SOCK_STREAM

    def _look_again(self) -> None:
        """Readiness lies: look again, less and less often, and at last no more."""
        self._looks += 1
        if self._looks > _LOOKS:
            self._fail(errno.ETIMEDOUT)
        else:
            self._pause_longer()

    def _pause_longer(self) -> None:
        self._pause = min(max(2 * self._pause, _SHORTEST_PAUSE), _LONGEST_PAUSE)

    def _fail(self, number: int) -> None:
        self.errno = number
        self.abort()
