"""Proxies: a connector that reaches hosts through a proxy (extra `proxy`).

Where only a proxy leads outside, its name has several addresses like any other, and that one of them completes TCP
does not mean that it serves us. So the first proxy is reached by a race, and all that follows on a connection is part
of the attempt: TLS with the proxy where that is wanted, the dialogue with it, the same with the next one, and whatever
the caller establishes with the target. An address where any of it fails or hangs lets the others go on. A proxy wraps
a connector, or another proxy, to any depth.

A target's name goes to the proxy as it is: nothing here looks it up. Limits are those of the race, `give_up_after`,
`Policy.give_up_attempt_after` and `Policy.give_up_tls_after`.
"""

from __future__ import annotations

import math
import ssl
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import trio

from .._address import GivenAddress, format_host_port, several
from .._address import Target as EndPoint
from .._blocking import BlockingConnector
from .._connect.tls import ClientHandshake
from .._connector import Connector, check_establish
from .._errors import ConnectError
from .._listening import proxy_for
from .._policy import Policy
from .._printable import printable
from .proxy_dialogues import Credentials, Secret, Target, ask_http, ask_socks5

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Proxy(ABC):
    """The common part: an address, who connects to it, and credentials that are never shown."""

    host: str
    port: int
    connector: Connector | _Proxy | None = field(default=None, kw_only=True)
    username: str | Secret | None = field(default=None, kw_only=True, repr=False)
    password: str | Secret | None = field(default=None, kw_only=True, repr=False)
    addresses: Iterable[GivenAddress] | None = field(default=None, kw_only=True)
    tls: ssl.SSLContext | bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        if self.addresses is not None:
            object.__setattr__(self, "addresses", several("addresses", self.addresses))
        EndPoint.parse(self.host, self.port)
        EndPoint.parse(self.host, self.port, self.addresses)
        if self.connector is not None and not isinstance(self.connector, (Connector, _Proxy)):
            raise TypeError(f"connector must be Connector or a proxy, not {self.connector!r}")
        if self.addresses is not None and isinstance(self.connector, _Proxy):
            raise ValueError("addresses are of no use where another proxy looks the name up")
        if not isinstance(self.tls, (bool, ssl.SSLContext)):
            raise TypeError(f"tls must be bool or ssl.SSLContext, not {self.tls!r}")
        self._handshake()
        self._check_credentials()

    def _check_credentials(self) -> None:
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password must be given together")
        for name, value in (("username", self.username), ("password", self.password)):
            if value is not None:
                object.__setattr__(self, name, self._checked_secret(name, value))

    def _checked_secret(self, name: str, value: object) -> Secret:
        secret = value if isinstance(value, Secret) else Secret(value) if isinstance(value, str) else None
        if secret is None:
            raise TypeError(f"{name} must be str, not {type(value).__name__}")
        if any("\ud800" <= letter <= "\udfff" for letter in secret.reveal()):
            raise ValueError(f"{name} must be text that UTF-8 can hold")  # the error of `encode` shows the value
        self._check_credential(name, secret.reveal())
        return secret

    async def connect(
        self,
        host: str | bytes,
        port: int,
        establish: Callable[[trio.abc.Stream], Awaitable[T]],
        *,
        give_up_after: float = math.inf,
    ) -> T:
        """Race for a tunnel on which `establish` succeeds, and return what that returned.

        Args:
            host: The target, a name or an address; the proxy looks the name up.
            port: The target's port.
            establish: An async callable of the stream, whose other end is the target; see `Connector.connect`.
            give_up_after: Seconds for the whole call. One address's part of it, the dialogue and `establish`
                included, is limited by `Policy.give_up_attempt_after`.

        Raises:
            ConnectError: No address of the proxy led to the target; it names the proxy, and its failures the target.
            TypeError: `port` is no int, `establish` cannot be called, or `give_up_after` is no number.
            ValueError: `host`, `port` or `give_up_after` make no sense.

        Example:
            TLS with the target, as part of the race:

            >>> import ssl, trio
            >>> async def secured(stream: trio.abc.Stream) -> trio.SSLStream[trio.abc.Stream]:
            ...     secure = trio.SSLStream(stream, ssl.create_default_context(), server_hostname="example.org")
            ...     await secure.do_handshake()
            ...     return secure
            >>> async def main() -> trio.SSLStream[trio.abc.Stream]:
            ...     proxy = SOCKS5Proxy("proxy.example", 1080)
            ...     return await proxy.connect("example.org", 443, secured, give_up_after=10)
        """
        check_establish(establish)
        target, handshake = Target.read(host, port), self._handshake()
        if handshake is not None:
            await handshake.prepare()

        async def through(stream: trio.abc.Stream) -> T:
            proxy_for.set("")  # what is connected from here on is for itself
            if handshake is not None:
                with _tls_with(self._shown):
                    stream = await handshake(stream)
            await self._ask(stream, target)
            with _tls_with(str(target)):
                return await establish(stream)

        token = proxy_for.set(str(target))
        try:
            if isinstance(self.connector, _Proxy):
                return await self.connector.connect(self.host, self.port, through, give_up_after=give_up_after)
            connector = self.connector or Connector()
            return await connector.connect(
                self.host, self.port, through, addresses=self.addresses, give_up_after=give_up_after
            )
        except ConnectError as error:
            self._name_target(error, target)
            raise
        finally:
            proxy_for.reset(token)

    def _name_target(self, error: ConnectError, target: Target) -> None:
        """Say in an error that it is about the proxy, and what for; of a chain, about the first proxy.

        Where TLS has failed, say whose it was: the target's, or that of this proxy or of another one.
        """
        own, text = self._shown, str(error)
        if f"{own}, the proxy for " not in text and own in text:
            text = text.replace(own, f"{own}, the proxy for {target},", 1).replace(",:", ":", 1)
        peer = None if isinstance(self.connector, _Proxy) else getattr(error.primary_error, _PEER, None)
        error.args = (f"{text} (in TLS with {peer})" if peer else text,)

    @property
    def _shown(self) -> str:
        return format_host_port(printable(self.host), self.port)

    async def open_tcp_stream(
        self, host: str | bytes, port: int, *, give_up_after: float = math.inf
    ) -> trio.abc.Stream:
        """Connect to a host through the proxy; the stream's other end is the target.

        Args and errors are those of `connect`.
        """
        return await self.connect(host, port, _as_it_is, give_up_after=give_up_after)

    async def open_tls_stream(
        self,
        host: str | bytes,
        port: int,
        *,
        https_compatible: bool = False,
        ssl_context: ssl.SSLContext | None = None,
        server_hostname: str | bytes | None = None,
        alpn_protocols: Iterable[str] | None = None,
        give_up_after: float = math.inf,
    ) -> trio.SSLStream[trio.abc.Stream]:
        """Connect to a host through the proxy, with TLS to the host; its handshake is part of the race.

        Args and errors are those of `Connector.open_tls_stream`.
        """
        handshake = ClientHandshake(
            host,
            server_hostname=server_hostname,
            context=ssl_context,
            alpn_protocols=alpn_protocols,
            https_compatible=https_compatible,
            give_up_after=self._policy.give_up_tls_after,
        )
        await handshake.prepare()
        return await self.connect(host, port, handshake, give_up_after=give_up_after)

    def blocking(self) -> BlockingConnector:
        """Return the same for code without an event loop; not where TLS is spoken with the proxy itself.

        Raises:
            ValueError: `tls` is spoken, here or with a proxy before this one: a socket cannot hold it.
        """
        if self._speaks_tls:
            raise ValueError(f"tls with the proxy leaves no socket for blocking code: {self!r}")
        return BlockingConnector(self)

    @property
    def _speaks_tls(self) -> bool:
        before = isinstance(self.connector, _Proxy) and self.connector._speaks_tls
        return before or self.tls is not False

    @property
    def _policy(self) -> Policy:
        """That of the race for the first proxy."""
        connector = self.connector or Connector()
        return connector._policy if isinstance(connector, _Proxy) else connector.policy

    @property
    def _credentials(self) -> Credentials | None:
        if isinstance(self.username, Secret) and isinstance(self.password, Secret):
            return self.username, self.password
        return None

    def _handshake(self) -> ClientHandshake | None:
        """TLS with the proxy itself, whose certificate must be valid for its host; None where it speaks plainly."""
        if self.tls is False:
            return None
        return ClientHandshake(
            self.host,
            server_hostname=None,
            context=None if self.tls is True else self.tls,
            alpn_protocols=None,
            https_compatible=True,
            give_up_after=self._policy.give_up_tls_after,
        )

    @abstractmethod
    def _check_credential(self, name: str, value: str) -> None:
        """Raise what is wrong with a user name or password, without its value."""

    @abstractmethod
    async def _ask(self, stream: trio.abc.Stream, target: Target) -> None:
        """Have the proxy connect this stream to the target, and receive nothing beyond its reply."""


class SOCKS5Proxy(_Proxy):
    """Connect through a SOCKS5 proxy (RFC 1928). Immutable, and safe to share between tasks.

    Args:
        host: The proxy's name or address.
        port: The proxy's port.
        connector: Who races for a connection to the proxy; None is `Connector()`. Or another proxy, that leads to this
            one.
        username: For a proxy that asks for it (RFC 1929), 1 to 255 octets of UTF-8. It is kept as a `Secret`, which
            nothing shows; but without `tls` it can be read on the wire.
        password: Likewise. It may be empty, against the letter of the RFC, where a user name is all that counts; a
            proxy that does not like that takes any other.
        addresses: Addresses of the proxy to try instead of looking it up, see `Connector.connect`.
        tls: Whether to speak TLS with the proxy itself, or the context for that. Its certificate is always checked.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: An argument makes no sense; or one of `username` and `password` is missing.

    Example:
        >>> SOCKS5Proxy("proxy.example", 1080, username="me", password="secret")
        SOCKS5Proxy(host='proxy.example', port=1080, connector=None, addresses=None, tls=False)
    """

    __slots__ = ()

    def _check_credential(self, name: str, value: str) -> None:
        fewest = 1 if name == "username" else 0
        if not fewest <= len(value.encode()) <= 255:
            raise ValueError(f"{name} must have {fewest} to 255 octets")  # RFC 1929, section 2

    async def _ask(self, stream: trio.abc.Stream, target: Target) -> None:
        await ask_socks5(stream, target, self._credentials)


class HTTPProxy(_Proxy):
    """Connect through an HTTP proxy, with CONNECT (RFC 9110, section 9.3.6). Immutable, and safe to share.

    Args:
        host: The proxy's name or address.
        port: The proxy's port.
        connector: Who races for a connection to the proxy; None is `Connector()`. Or another proxy, that leads to this
            one.
        username: For "Basic" authentication (RFC 7617), without a colon. It is kept as a `Secret`, which nothing shows;
            but without `tls` it can be read on the wire.
        password: Likewise; it may have colons, and be empty.
        addresses: Addresses of the proxy to try instead of looking it up, see `Connector.connect`.
        tls: Whether to speak TLS with the proxy itself, or the context for that. Its certificate is always checked.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: An argument makes no sense; or one of `username` and `password` is missing.

    Example:
        >>> HTTPProxy("proxy.example", 3128, addresses=["192.0.2.1", "192.0.2.2"])
        HTTPProxy(host='proxy.example', port=3128, connector=None, addresses=('192.0.2.1', '192.0.2.2'), tls=False)
    """

    __slots__ = ()

    def _check_credential(self, name: str, value: str) -> None:
        if any(ord(letter) < 32 or ord(letter) == 127 for letter in value):
            raise ValueError(f"{name} must have no control characters")  # RFC 7617, section 2
        if name == "username" and ":" in value:
            raise ValueError("username must have no colon")

    async def _ask(self, stream: trio.abc.Stream, target: Target) -> None:
        await ask_http(stream, target, self._credentials)


_PEER = "_tls_peer"


@contextmanager
def _tls_with(peer: str) -> Iterator[None]:
    """Note on an error of TLS with whom it was spoken; who was nearest has noted it first."""
    try:
        yield
    except (ssl.SSLError, trio.BrokenResourceError) as error:
        failure = error if isinstance(error, ssl.SSLError) else error.__cause__
        if isinstance(failure, ssl.SSLError) and not hasattr(failure, _PEER):
            setattr(failure, _PEER, peer)
        raise


async def _as_it_is(stream: trio.abc.Stream) -> trio.abc.Stream:
    return stream
