"""Blocking: the same race for code without an event loop, which calls `socket.create_connection` and waits.

Each call is a `trio.run` of its own, in the calling thread: 0.3 ms, and nothing that would have to be kept, shared by
threads, or made anew after a fork. Where that cannot be, it goes to a thread of Trio's cache, and the caller waits:

- Trio runs in the calling thread already, and a run inside a run is not allowed.
- It is the main thread, and the program has handlers of signals. Python runs those between any two instructions of the
  main thread, and what they raise would tear Trio's own loop apart; that of asyncio waits for signals in a way of which
  there can be one only. While the caller waits, they run as they would in `socket.create_connection`; if one raises,
  the race is cancelled, and that exception comes out. Python's own handler of Ctrl-C is one that Trio knows.

A time-out means what it means there: it limits each attempt and stays on the socket. Trio is imported by the first
connect, and by nothing before it.

Refused: a loop that is kept in a thread, or in each. It saves a fifth of a millisecond, and wants a thread that must be
stopped, and found out to be gone after a fork. Guest mode, too: it waits for sockets in threads.
"""

from __future__ import annotations

import contextvars
import errno
import math
import queue
import signal
import socket
import ssl
import sys
import threading
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from ._address import GivenAddress, parse_literal, several
from ._policy import Policy, check_seconds

if TYPE_CHECKING:
    import trio

if sys.version_info < (3, 11):  # pragma: no cover - trio brings the backport on 3.10
    from exceptiongroup import ExceptionGroup

S = TypeVar("S", bound=socket.socket)
T = TypeVar("T")
U = TypeVar("U")

DEFAULT_TIMEOUT: Any = getattr(socket, "_GLOBAL_DEFAULT_TIMEOUT", object())
"""The standard library's own sign for "what `socket.setdefaulttimeout` says"."""

SocketOption = tuple[int, int, int | bytes]
"""What `setsockopt` takes."""


_NO_DELAY = (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
"""What urllib3 asks for at each connect, and every stream of Trio's has."""


class SupportsBlocking(Protocol):
    """Whoever blocking code can connect through: a `Connector`, a proxy, or what their `blocking` has returned."""

    def blocking(self) -> BlockingConnector:
        """Return the one whose functions block."""
        ...


def as_blocking(connector: SupportsBlocking) -> BlockingConnector:
    """Return whose functions block.

    Raises:
        TypeError: It is neither a connector nor a proxy.
    """
    if isinstance(connector, type) or not callable(getattr(connector, "blocking", None)):
        raise TypeError(f"connector must be a Connector or a proxy, not {connector!r}")
    return connector.blocking()


class BlockingConnector:
    """Open connections as `socket.create_connection` does, through the race of a `Connector` or a proxy.

    `Connector.blocking` makes one. Threads may share it. A call blocks the thread it is made in, whatever runs there:
    under asyncio or Trio, all tasks wait. What a `DNSResolver` has learnt lasts for one call. Programs that gevent or
    eventlet has patched cannot connect like this: Trio does not run there.

    `record` sees what its block connects. A thread that the block starts has a context of its own; to record it, too,
    let it run in a copy of yours: `pool.submit(contextvars.copy_context().run, fetch, url)`.

    Args:
        opener: The connector, or the proxy.

    Raises:
        TypeError: `opener` is neither.

    Example:
        >>> import socket
        >>> from trio_nbconnect import Connector, Policy
        >>> connector = Connector(policy=Policy(attempt_delay=0.1)).blocking()
        >>> with socket.create_server(("127.0.0.1", 0)) as listener:
        ...     with connector.create_connection(listener.getsockname(), timeout=5) as sock:
        ...         sock.gettimeout()
        5.0
    """

    __slots__ = ("_contexts", "_last", "_opener", "_plain")

    def __init__(self, opener: object) -> None:
        if isinstance(opener, type) or not callable(getattr(opener, "open_tls_stream", None)):
            raise TypeError(f"opener must be a Connector or a proxy, not {opener!r}")
        self._opener: Any = opener
        self._plain = _plain(opener)
        self._last: tuple[object, Any] = (None, None)
        self._contexts: dict[tuple[str, ...], ssl.SSLContext] = {}

    def __repr__(self) -> str:
        return f"BlockingConnector({self._opener!r})"

    def __reduce__(self) -> tuple[object, ...]:
        return BlockingConnector, (self._opener,)

    def blocking(self) -> BlockingConnector:
        """Return itself: adapters take this as well as what made it."""
        return self

    def create_connection(
        self,
        address: tuple[str | bytes | None, int | str],
        timeout: float | None = DEFAULT_TIMEOUT,
        source_address: tuple[str, int] | None = None,
        *,
        all_errors: bool = False,
        addresses: Iterable[GivenAddress] | None = None,
        socket_options: Sequence[SocketOption] = (),
        give_up_after: float = math.inf,
    ) -> socket.socket:
        """Connect to a host over TCP, on whichever of its addresses answers first, and return the socket.

        The first four parameters are those of `socket.create_connection`, with its meaning.

        Args:
            address: Host and port.
            timeout: Seconds, for each attempt and then for the socket; None for no limit. Without one, it is
                `socket.getdefaulttimeout()`. Through a proxy, for the whole call.
            source_address: Host and port to connect from. With a port other than 0, one attempt is made at a time.
            all_errors: Whether to raise all failures as an exception group, and not as one error.
            addresses: What to try instead of looking the host up; see `Connector.connect`.
            socket_options: Set on each socket before it connects, as `setsockopt` takes them.
            give_up_after: Seconds for the whole call, the look-up included.

        Returns:
            A blocking socket of the standard library's.

        Raises:
            ConnectError: No address could be connected to: an `OSError` of the class that fits, `TimeoutError`,
                `ConnectionRefusedError` or `socket.gaierror`.
            ExceptionGroup: The same with `all_errors`; its cause is the `ConnectError`.
            TypeError: An argument is of the wrong type.
            ValueError: An argument makes no sense, or is nothing that a proxy can do.
        """
        host, port = _host_and_port(address)
        chosen, seconds = self._for(host, port), _seconds(timeout)
        opener, limits = chosen._with(seconds, source_address, socket_options, give_up_after, addresses)

        async def connect() -> socket.socket:
            from ._connect.plain import plain_socket  # noqa: PLC0415 - it imports Trio

            return plain_socket(await opener.open_tcp_stream(host, port, **limits))

        sock = _run(connect, all_errors=all_errors)
        sock.settimeout(seconds)
        return sock

    def create_tls_connection(
        self,
        address: tuple[str | bytes | None, int | str],
        timeout: float | None = DEFAULT_TIMEOUT,
        source_address: tuple[str, int] | None = None,
        *,
        ssl_context: ssl.SSLContext | None = None,
        server_hostname: str | bytes | None = None,
        alpn_protocols: Iterable[str] | None = None,
        all_errors: bool = False,
        addresses: Iterable[GivenAddress] | None = None,
        socket_options: Sequence[SocketOption] = (),
        give_up_after: float = math.inf,
    ) -> ssl.SSLSocket:
        """Connect with TLS, on whichever address first completes the handshake with a certificate that is good.

        Args:
            address: Host and port; the certificate must be valid for the host.
            timeout: See `create_connection`; an attempt ends with its TLS handshake.
            source_address: See `create_connection`.
            ssl_context: The TLS context; None is what `ssl.create_default_context()` makes, built once: do not change
                it.
            server_hostname: The name that the certificate must be valid for, and that the server is told (SNI), if it
                is not the host.
            alpn_protocols: The protocols to offer (RFC 7301), the best first; not with a context of your own.
            all_errors: See `create_connection`.
            addresses: See `create_connection`.
            socket_options: See `create_connection`.
            give_up_after: See `create_connection`.

        Returns:
            A blocking socket, its handshake done.

        Raises:
            TLSError: A handshake failed, or a certificate was not good; also an `ssl.SSLError`.
            ConnectError: See `create_connection`.
            ExceptionGroup: See `create_connection`.
            TypeError: An argument is of the wrong type.
            ValueError: An argument makes no sense; or `alpn_protocols` and `ssl_context` are both given.
        """
        from ._connect.plain import PlainHandshake  # noqa: PLC0415 - it imports Trio

        host, port = _host_and_port(address)
        handshake = PlainHandshake(
            host, server_hostname=server_hostname, context=ssl_context, alpn_protocols=alpn_protocols
        )
        chosen, seconds = self._for(host, port), _seconds(timeout)
        opener, limits = chosen._with(seconds, source_address, socket_options, give_up_after, addresses)
        handshake.prepare(self._contexts, getattr(opener, "policy", Policy()).give_up_tls_after)
        winner = None
        try:
            connect: Callable[[], Awaitable[ssl.SSLSocket]] = partial(opener.connect, host, port, handshake, **limits)
            winner = _run(connect, all_errors=all_errors)
        finally:
            handshake.close_losers(winner)
        winner.settimeout(seconds)
        return winner

    def _only(self, family: int) -> BlockingConnector:
        """Return one that uses this family alone, and itself for both; which one a proxy uses is its own matter."""
        opener = self._opener
        if family == socket.AF_UNSPEC or not hasattr(opener, "policy"):
            return self
        families = (socket.AddressFamily(family),)
        return BlockingConnector(replace(opener, policy=replace(opener.policy, families=families)))

    def _for(self, host: str | bytes, port: int) -> BlockingConnector:
        """Return the one for this host, which may need no proxy (`NO_PROXY`)."""
        opener_for = getattr(self._opener, "opener_for", None)
        return self if opener_for is None else BlockingConnector(opener_for(host, port))

    def _with(
        self,
        timeout: float | None,
        source_address: tuple[str, int] | None,
        socket_options: Sequence[SocketOption],
        give_up_after: float,
        addresses: Iterable[GivenAddress] | None,
    ) -> tuple[Any, dict[str, Any]]:
        """Return who connects, these wishes added to its own, and the limits of the call.

        A program has the same wishes at most of its connects, so that the last ones are kept.
        """
        options = several("socket_options", socket_options, "triples")
        source = None if source_address is None else _pair("source_address", source_address)
        limit = math.inf if timeout is None else timeout
        limits: dict[str, Any] = {"give_up_after": give_up_after}
        if addresses is not None:
            limits["addresses"] = addresses
        if not hasattr(self._opener, "policy"):
            if source or any(tuple(option) != _NO_DELAY for option in options):
                raise ValueError(f"source_address and socket_options must be set on the Connector of {self._opener!r}")
            return self._opener, {**limits, "give_up_after": min(limit, give_up_after)}
        last = self._last
        if last[0] != (limit, source, options):
            last = self._last = (limit, source, options), _with_wishes(self._plain, limit, source, options)
        return last[1], limits


def _with_wishes(opener: Any, limit: float, source: tuple[str, int] | None, options: tuple[SocketOption, ...]) -> Any:
    """Return a connector with the limit of an attempt, a source address and socket options of one call."""
    changes: dict[str, Any] = {}
    if limit < opener.policy.give_up_attempt_after:
        changes["policy"] = replace(opener.policy, give_up_attempt_after=limit)
    if source is not None:
        changes.update(_source(opener, changes.get("policy", opener.policy), source))
    if options:
        from ._connect.options import options_with  # noqa: PLC0415 - few set options

        changes["options"] = options_with(changes.get("options", opener.options), extra=options)
    return replace(opener, **changes) if changes else opener


def _plain(opener: Any) -> Any:
    """Have a connector make no streams; a proxy speaks through them."""
    from ._connect.plain import PlainNetwork  # noqa: PLC0415 - it imports Trio

    return replace(opener, network=PlainNetwork()) if getattr(opener, "network", opener) is None else opener


def _host_and_port(address: tuple[str | bytes | None, int | str]) -> tuple[str | bytes, int]:
    """Read what `getaddrinfo` reads: no host is this one, and a port may be digits or the name of a service."""
    host, port = _pair("address", address)
    if isinstance(port, str):
        port = int(port) if port.isascii() and port.isdecimal() else _port_of(port)
    return "localhost" if host is None else host, port


def _port_of(service: str) -> int:
    """The port of a service, as `getaddrinfo` finds it.

    Raises:
        socket.gaierror: There is none.
    """
    try:
        return socket.getservbyname(service, "tcp")
    except OSError:  # it shows neither the name nor a number
        raise socket.gaierror(socket.EAI_SERVICE, f"there is no such service: {service!r}") from None


def _pair(name: str, address: tuple[T, U]) -> tuple[T, U]:
    if not isinstance(address, (tuple, list)) or len(address) != 2:
        raise TypeError(f"{name} must be host and port, not {address!r}")
    return address[0], address[1]


def _seconds(timeout: float | None) -> float | None:
    """Return a time-out that makes sense."""
    if timeout is DEFAULT_TIMEOUT:
        return socket.getdefaulttimeout()
    return None if timeout is None else check_seconds("timeout", timeout)


def _source(opener: Any, policy: Any, source_address: tuple[str, int]) -> dict[str, Any]:
    """Return what has a connector connect from an address. Two sockets cannot have the same port at the same time."""
    host, port = source_address
    if not host and not port:
        return {}
    if not port and parse_literal(host, 0) is not None:
        return {"local_address": host}
    from ._connect.options import options_with  # noqa: PLC0415 - few ask for it

    def bind(sock: socket.socket, _: object) -> None:
        sock.bind((host, port))

    options = options_with(opener.options, configure=bind)
    return {"local_address": None, "options": options, "policy": replace(policy, attempt_delay=math.inf)}


def _run(connect: Callable[[], Awaitable[S]], *, all_errors: bool) -> S:
    """Run a race until it is over, and return its socket.

    Raises:
        ConnectError: It was lost.
        ExceptionGroup: It was lost, and all errors are wanted. A look-up has but one.
    """
    try:
        return _run_once(connect)
    except OSError as error:
        failures = getattr(error.__cause__, "exceptions", None)
        if not all_errors or not failures or isinstance(error, socket.gaierror):
            raise
        raise ExceptionGroup("create_connection failed", failures) from error


def _run_once(connect: Callable[[], Awaitable[S]]) -> S:
    """Have Trio run it, here or in a thread; a socket that is not returned is closed."""
    import trio  # noqa: PLC0415 - a tenth of a second, at the first connect

    opened: list[S] = []

    async def main() -> None:
        opened.append(await connect())

    try:
        if trio.lowlevel.in_trio_run() or _has_signal_handlers():
            _run_in_thread(main)
        else:
            trio.run(main)
    except BaseException:
        for sock in opened:
            sock.close()
        raise
    return opened.pop()


def _has_signal_handlers() -> bool:
    """Whether this is the main thread of a program that has handlers of signals, other than Python's own."""
    if threading.current_thread() is not threading.main_thread():
        return False
    handlers = {signal.getsignal(number) for number in range(1, signal.NSIG)}
    return any(map(callable, handlers - {signal.default_int_handler}))


def _run_in_thread(main: Callable[[], Awaitable[None]]) -> None:
    """Run it in another thread and wait; what a handler of signals raises meanwhile cancels it."""
    import trio  # noqa: PLC0415 - see above

    scope = trio.CancelScope()
    tokens: list[trio.lowlevel.TrioToken] = []
    is_given_up = threading.Event()
    ended: queue.SimpleQueue[Any] = queue.SimpleQueue()

    async def cancellable() -> None:
        tokens.append(trio.lowlevel.current_trio_token())
        if is_given_up.is_set():
            scope.cancel()
        with scope:
            await main()

    run = partial(contextvars.copy_context().run, trio.run, cancellable)
    try:
        trio.lowlevel.start_thread_soon(run, ended.put, "trio_nbconnect race")
    except RuntimeError as error:
        raise OSError(errno.EAGAIN, f"no thread to connect in: {error}") from None
    try:
        outcome = ended.get()
    except BaseException:
        is_given_up.set()
        for token in tokens:
            with suppress(trio.RunFinishedError):
                token.run_sync_soon(scope.cancel)
        ended.get()
        raise
    outcome.unwrap()
