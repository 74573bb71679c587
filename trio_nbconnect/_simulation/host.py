"""Simulated hosts: what an address does when it is connected to.

A test reads well if it says of each address, in one line of words, what it does. So there is a method for each way in
which a connect may end; it stores the outcome, an errno and a time, for the connects that begin from then on. A
connection that is complete waits in a queue until `accept` takes it.

A host does not change by itself, after so many connects or at some time: a test calls the next method when it is time.
"""

from __future__ import annotations

import errno
import math

import trio

from .._policy import check_int, check_seconds
from .sockets import ConnectOutcome, SimulatedSocket
from .trio_hooks import SimulatedTrioSocket


class SimulatedHost:
    """One address of a simulated network; say what it does. The last call counts, for connects that begin later.

    All times are seconds from the first packet of a connect to the answer to it. Each method returns the host.

    Example:
        >>> from trio_nbconnect.testing import SimulatedNetwork
        >>> SimulatedNetwork().host("192.0.2.1").accepts(after=0.05)
        <SimulatedHost 192.0.2.1: accepts after 0.05 s>
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._outcome = ConnectOutcome(after=math.inf)
        self._accepted, self._waiting = trio.open_memory_channel[SimulatedSocket](math.inf)

    def __repr__(self) -> str:
        return f"<SimulatedHost {self._name}: {self._behaviour}>"

    @property
    def _behaviour(self) -> str:
        """What it does on a connect, in words."""
        outcome = self._outcome
        if outcome.after == math.inf:
            return "drops"
        result = errno.errorcode[outcome.errno] if outcome.errno else "accepts"
        return f"{result} at once" if outcome.at_once else f"{result} after {outcome.after:g} s"

    def accepts(self, *, after: float = 0.0) -> SimulatedHost:
        """Complete handshakes; `accept` then has the server's end.

        >>> from trio_nbconnect.testing import SimulatedNetwork
        >>> SimulatedNetwork().host("2001:db8::1", 443).accepts()
        <SimulatedHost [2001:db8::1]:443: accepts after 0 s>
        """
        return self._set(0, after)

    def refuses(self, *, after: float = 0.0) -> SimulatedHost:
        """Answer with a reset, as a host does where nobody listens.

        >>> from trio_nbconnect.testing import SimulatedNetwork
        >>> SimulatedNetwork().host("192.0.2.1").refuses(after=0.02)
        <SimulatedHost 192.0.2.1: ECONNREFUSED after 0.02 s>
        """
        return self._set(errno.ECONNREFUSED, after)

    def resets(self, *, after: float = 0.0) -> SimulatedHost:
        """Complete the handshake and reset it before anybody can look, as an overloaded load balancer does.

        >>> from trio_nbconnect.testing import SimulatedNetwork
        >>> SimulatedNetwork().host("192.0.2.1").resets(after=0.02)
        <SimulatedHost 192.0.2.1: ECONNRESET after 0.02 s>
        """
        return self._set(errno.ECONNRESET, after)

    def drops(self) -> SimulatedHost:
        """Answer nothing at all, as a firewall that drops packets; the default.

        >>> from trio_nbconnect.testing import SimulatedNetwork
        >>> SimulatedNetwork().host("192.0.2.1").drops()
        <SimulatedHost 192.0.2.1: drops>
        """
        return self._set(0, math.inf)

    def unreachable(self, *, after: float | None = None) -> SimulatedHost:
        """Be out of reach: no route, so that `connect` itself fails and no packet is sent.

        With `after`, there is a route, and a router on it says so that many seconds after the first packet.

        >>> from trio_nbconnect.testing import SimulatedNetwork
        >>> SimulatedNetwork().host("192.0.2.1").unreachable()
        <SimulatedHost 192.0.2.1: ENETUNREACH at once>
        >>> SimulatedNetwork().host("192.0.2.1").unreachable(after=0.03)
        <SimulatedHost 192.0.2.1: EHOSTUNREACH after 0.03 s>
        """
        if after is None:
            self._outcome = ConnectOutcome(errno.ENETUNREACH, at_once=True)
            return self
        return self._set(errno.EHOSTUNREACH, after)

    def fails(self, number: int, *, after: float = 0.0) -> SimulatedHost:
        """Fail with any error of the `errno` module.

        >>> import errno
        >>> from trio_nbconnect.testing import SimulatedNetwork
        >>> SimulatedNetwork().host("192.0.2.1").fails(errno.EACCES, after=0.01)
        <SimulatedHost 192.0.2.1: EACCES after 0.01 s>
        """
        if check_int("number", number) not in errno.errorcode:
            raise ValueError(f"number must be one of errno's, not {number!r}")
        return self._set(number, after)

    async def accept(self) -> trio.SocketStream:
        """Return the server's end of the next connection, as soon as there is one.

        A connection waits here until it is accepted, also one that the client has closed by then.

        Example:
            >>> from trio_nbconnect.testing import SimulatedHost
            >>> async def echo(host: SimulatedHost) -> None:
            ...     async with await host.accept() as stream:
            ...         async for chunk in stream:
            ...             await stream.send_all(chunk)
        """
        return trio.SocketStream(SimulatedTrioSocket(await self._waiting.receive()))

    def _reset(self) -> None:
        """Have no connections waiting."""
        self._accepted, self._waiting = trio.open_memory_channel[SimulatedSocket](math.inf)

    def _set(self, number: int, after: float) -> SimulatedHost:
        self._outcome = ConnectOutcome(number, check_seconds("after", after))
        return self
