"""Handshake: the state machine of one non-blocking connect, errno by errno.

The problem: `connect` on a non-blocking socket returns at once. Whether it has connected, is on its way or has failed
is spread over its errno, the socket's readiness, `SO_ERROR` and `getpeername`, and none of them alone tells the truth.

How we solve it:

1. Open a fresh non-blocking socket (`_network`).
2. `connect_ex`, and branch on the errno: Python's `BlockingIOError` lumps three of them together.
   0 or EISCONN: verify. EINPROGRESS, EALREADY, EINTR: under way. EAGAIN on a UNIX socket: the server's backlog is
   full and *nothing* is under way. Anything else failed.
3. Wait until the socket is writable, then read `SO_ERROR` once, since reading clears it, and only when woken, since
   an ICMP error may stand there for a handshake that would still succeed.
4. `SO_ERROR` 0 is no proof; `getpeername` is. On ENOTCONN ask `connect_ex` what is the matter.
5. A TCP socket whose own name is its peer's has met itself (a simultaneous open, RFC 9293, figure 8): reset it and
   try again at most twice. A plain close would leave a TIME_WAIT that keeps the real server from its port.

*A handshake lives in the kernel, not in a task.* Awaiting it may be cancelled and taken up again, by the same task or
another one, and nothing is lost. Whoever gives up aborts it.

On the loopback a handshake is over when `connect` returns, so a race looks at once (`look_ahead`) and waits only if it
is not: 33,000 instructions less for each connect, and three system calls. What it saw is told where it would have been,
after a checkpoint; a test holds both ways to the same events.

What lives here: `Handshake`, which is that object. What does not: opening sockets, choosing addresses, delays and
limits. We never use TCP Fast Open: its `connect` says 0 before a packet was sent.
"""

from __future__ import annotations

import enum
import errno
import random
import socket
import struct
import sys
from collections.abc import Awaitable
from typing import Any

import trio

from .._address import IPV4, IPV6, UNIX
from .._errors import os_error
from .network import CanOpen, KernelNetwork, Network, Socket, checked

_CONNECTED = {0, errno.EISCONN}
_UNDER_WAY = {errno.EINPROGRESS, errno.EALREADY, errno.EINTR}
if sys.platform == "win32":  # pragma: no cover - Windows says EWOULDBLOCK where POSIX says EINPROGRESS
    _UNDER_WAY.add(errno.EWOULDBLOCK)

_TELLS_TWICE = sys.platform == "linux"
"""Whether a second `connect` may be asked for the result of the first. On macOS it may say EISCONN after a refusal."""

_RETRIES = 2
"""How often a self-connect or a spurious EADDRNOTAVAIL is tried again; Go's dialer has found two to be enough."""

_SHORTEST_PAUSE = 0.001
_LONGEST_PAUSE = 0.050
"""Seconds between two looks where readiness tells nothing; doubled each time, with jitter."""


class HandshakeState(enum.Enum):
    """Where a handshake stands."""

    HANDSHAKING = "handshaking"
    CONNECTED = "connected"
    CLOSED = "closed"


class Handshake:
    """One non-blocking connect, in two steps: `begin` it, then `wait` for it.

    It owns the socket until `wait` has returned; `abort` closes it on every other way out.

    Attributes:
        socket: The socket. After a self-connect it is another one than at the beginning.
        state: `HandshakeState.HANDSHAKING`, `CONNECTED` or `CLOSED`.
        errno: The number of the error it failed with, 0 for none.
        backlog_full: Whether the server of a UNIX socket had no room when last asked, so that nothing is under way.

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
        *("socket", "state", "errno", "backlog_full"),
        *("_name", "_network", "_opener", "_pause", "_retries", "_sockaddr"),
    )

    def __init__(self, sock: Socket, sockaddr: Any, name: Any, network: Network, opener: CanOpen | None) -> None:
        self.socket = sock
        self.state = HandshakeState.HANDSHAKING
        self.errno = 0
        self.backlog_full = False
        self._pause = 0.0
        self._retries = 0
        self._sockaddr = sockaddr
        self._name = name
        self._network = network
        self._opener = opener
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
        await self.settle()
        if (failure := self.failure()) is not None:
            raise failure

    async def settle(self) -> None:
        """Wait until the handshake is over, for better or worse; `failure` says which. May be called again, as `wait`.

        Raises:
            trio.ClosedResourceError: Somebody closed the socket meanwhile.
        """
        while True:
            await self.news()
            self.look()
            if self.state is not HandshakeState.HANDSHAKING:
                return

    def news(self) -> Awaitable[object]:
        """Return what to await before the next `look`. It is no coroutine: that would be a frame in each pending one.

        Raises:
            trio.ClosedResourceError: Somebody closed the socket.
        """
        if self.state is not HandshakeState.HANDSHAKING:
            return trio.lowlevel.checkpoint()  # noqa: ASYNC105 - who calls this awaits it
        return self._news_after_pause() if self._pause else self._network.wait_writable(self.socket)

    async def _news_after_pause(self) -> None:
        await trio.sleep(self._pause * random.uniform(0.5, 1.0))
        if not self.backlog_full and self.state is HandshakeState.HANDSHAKING:  # nobody aborted it meanwhile
            await self._network.wait_writable(self.socket)

    def look(self) -> None:
        """See what the news are; only who was woken by them may, since to look takes an ICMP error for the end."""
        if self.state is HandshakeState.HANDSHAKING and self._was_closed():
            self.abort()
        if self.state is HandshakeState.HANDSHAKING:
            self._look()

    def _was_closed(self) -> bool:
        """Whether somebody else closed the socket, perhaps after the kernel had woken us; only its owner can."""
        return self._opener is None and isinstance(self.socket, socket.socket) and self.socket.fileno() == -1

    def failure(self) -> Exception | None:
        """Return what `wait` raises; None for a handshake that has succeeded or is under way."""
        if self.errno:
            return os_error(self.errno, self._name)
        if self.state is HandshakeState.CLOSED:
            return trio.ClosedResourceError("this handshake was aborted, or its socket closed")
        return None

    def look_ahead(self) -> None:
        """For an address of the loopback: see whether it is over already, as it is when `connect` returns.

        Linux answers a second `connect` (measured): 0 or EISCONN is as good a proof as a peer, EALREADY says that it is
        under way, anything else is why it failed. The result waits for `wait`, which is a checkpoint as always. A
        `connect` that did not say EINPROGRESS is not asked again: TCP Fast Open says 0 before a packet was sent.
        """
        if self.state is not HandshakeState.HANDSHAKING or self._pause or not _TELLS_TWICE:
            return
        number = self.socket.connect_ex(self._sockaddr)
        if number in _CONNECTED:
            self._take(self._sockaddr)
        elif number not in _UNDER_WAY:
            self._fail(number)

    def abort(self) -> None:
        """Close the socket at once, whatever the state."""
        self.state = HandshakeState.CLOSED
        self._close()

    def round_trip_time(self) -> float | None:
        """Return what the kernel has measured, in seconds; None if it does not say."""
        return self._network.round_trip_time(self.socket)

    def stream(self) -> trio.SocketStream:
        """Give the connected socket away as a stream, which owns it from then on."""
        return self._network.stream(self.socket)

    def _connect(self) -> None:
        """Step 2: connect, and see what that says."""
        number = self.socket.connect_ex(self._sockaddr)
        if number in _UNDER_WAY:
            self.backlog_full = False
            return
        while number == errno.EADDRNOTAVAIL and not self._has_port() and self._may_retry():
            number = self.socket.connect_ex(self._sockaddr)
        self.backlog_full = number == errno.EAGAIN and self.socket.family == UNIX
        if number in _CONNECTED:
            self._verify()
        elif self.backlog_full:
            self._pause_longer()
        elif number == errno.EBADF:  # somebody has closed it
            self.abort()
        elif number not in _UNDER_WAY:
            self._fail(number)

    def _look(self) -> None:
        """Step 3: something has happened, see what."""
        if self.backlog_full:
            self._connect()
        elif number := self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self._fail(number)
        else:
            self._verify()

    def _verify(self) -> None:
        """Step 4: no error is no proof of a connection; a peer is."""
        peer = self._peer()
        if peer is None:
            number = self.socket.connect_ex(self._sockaddr)
            if number in _UNDER_WAY:
                self._pause_longer()
                return
            peer = self._peer()
            if peer is None:
                self._fail(errno.ENOTCONN if number in _CONNECTED else number)
                return
        self._take(peer)

    def _take(self, peer: object) -> None:
        """There is a peer; see that it is somebody else."""
        if peer == self.socket.getsockname() and self._is_tcp():
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

    def _pause_longer(self) -> None:
        self._pause = min(max(2 * self._pause, _SHORTEST_PAUSE), _LONGEST_PAUSE)

    def _fail(self, number: int) -> None:
        self.errno = number
        self.abort()
