"""TLS: a stream made secure, as part of the race or later.

That an address completes TCP says little; a load balancer does so for a server that is gone. What a caller wants is a
handshake that succeeded and a certificate that was verified, and an address that cannot give them should lose.
`ClientHandshake` is what a race awaits on each connected stream, beside the others ("it might be beneficial to wait
for the TLS handshake", RFC 8305, section 5; a "SHOULD" in version 3, section 6.1). Where the handshake comes later,
with the first byte as in Trio, `wrap` makes the stream, and everything wrong with the arguments is still raised before
anything is sent. One function decides which name is verified, `certificate_name`.

The default context is built in a worker thread, once in a `trio.run`, and shared: it reads all certificates of the
system, tens of milliseconds that would stop every task. ALPN is a property of a context: there is one more for each
list of protocols. A thread's time is not that of a mock clock; tests in virtual time give a context.

Refused: to change a context that we were given, which cannot be copied, so that ALPN for a caller's own is the
caller's; and to loosen what `ssl.create_default_context` checks.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

import trio

from .._address import Address, GroupedAddress, check_host, check_name, parse_literal, several

S = TypeVar("S", bound=trio.abc.Stream)

Protocols: TypeAlias = tuple[str, ...]
"""What to offer by ALPN (RFC 7301), the best first; none offers nothing."""

CONTEXTS_AT_ONCE = 8
"""How many default contexts are kept. Programs have one list of protocols or two; each takes half a megabyte."""


def default_context() -> ssl.SSLContext:
    """Return the context that Trio makes by default: verified, and strict about an early end of file."""
    context = ssl.create_default_context()
    context.options &= ~getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)
    return context


def context_that_offers(protocols: Protocols) -> ssl.SSLContext:
    """Return a default context that offers these protocols."""
    context = default_context()
    if protocols:
        context.set_alpn_protocols(list(protocols))
    return context


@dataclass(slots=True, eq=False)
class _Contexts:
    """The default contexts of one `trio.run`."""

    built: dict[Protocols, ssl.SSLContext] = field(init=False, default_factory=dict)
    building: trio.Lock = field(init=False, default_factory=trio.Lock)
    thread: trio.CapacityLimiter = field(init=False, default_factory=lambda: trio.CapacityLimiter(1))
    """One of its own: a program whose threads are all busy can connect."""

    async def get(self, protocols: Protocols) -> ssl.SSLContext:
        """Return the context that offers these protocols; who comes while it is built waits for it."""
        async with self.building:
            if protocols not in self.built:
                context = await trio.to_thread.run_sync(
                    context_that_offers, protocols, abandon_on_cancel=True, limiter=self.thread
                )
                if len(self.built) >= CONTEXTS_AT_ONCE:
                    self.built.pop(next(iter(self.built)))
                self.built[protocols] = context
            return self.built[protocols]


_contexts: trio.lowlevel.RunVar[_Contexts] = trio.lowlevel.RunVar("trio_nbconnect.tls.contexts")


async def shared_context(protocols: Protocols = ()) -> ssl.SSLContext:
    """Return the default context of this `trio.run`, built at first use and in a thread. It must not be changed."""
    try:
        contexts = _contexts.get()
    except LookupError:
        contexts = _Contexts()
        _contexts.set(contexts)
    return await contexts.get(protocols)


async def shake_hands(
    stream: S, *, context: ssl.SSLContext, server_hostname: str | bytes | None, https_compatible: bool
) -> trio.SSLStream[S]:
    """Wrap a stream and complete the handshake, the certificate verified; whoever owns the stream closes it on failure.

    Raises:
        ValueError: There is no name to verify, or it makes no sense.
        trio.BrokenResourceError: The handshake failed; its cause is the `ssl.SSLError`.
    """
    name = None if server_hostname is None else certificate_name(server_hostname)
    if name is None and context.check_hostname:  # `ssl` checks that for sockets only, and would verify no name
        raise ValueError("server_hostname must be given where ssl_context checks it")
    secure = trio.SSLStream(stream, context, server_hostname=name, https_compatible=https_compatible)
    await secure.do_handshake()
    return secure


class ClientTLS:
    """What a client's TLS needs to know, checked before anything is sent.

    Args:
        host: The host that the caller named, whose name the certificate must hold; None for several, each with its own.
        server_hostname: Another name in its place.
        context: The caller's own TLS context; None is a default one.
        alpn_protocols: What the default one offers.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: A name makes no sense, or the context is a server's, or given beside protocols.
    """

    def __init__(
        self,
        host: str | bytes | None,
        *,
        server_hostname: str | bytes | None,
        context: ssl.SSLContext | None,
        alpn_protocols: Iterable[str] | None,
    ) -> None:
        self._server_hostname: str | None = None  # it is the host's of each attempt
        if host is not None or server_hostname is not None:
            self._server_hostname = name_of(host or "", server_hostname)
        self._context = None if context is None else client_context(context)
        self._protocols = _protocols(alpn_protocols)
        if context is not None and self._protocols:
            raise ValueError(f"alpn_protocols must be set on ssl_context where both are given: {self._protocols!r}")


class ClientHandshake(ClientTLS):
    """A client's TLS for streams: called with the stream of each attempt that has connected.

    Args and errors are those of `ClientTLS`, where the default context is the shared one; `https_compatible` is that of
    `trio.SSLStream`, and `give_up_after` are seconds for one handshake.
    """

    def __init__(
        self,
        host: str | bytes | None,
        *,
        server_hostname: str | bytes | None,
        context: ssl.SSLContext | None,
        alpn_protocols: Iterable[str] | None,
        https_compatible: bool,
        give_up_after: float,
    ) -> None:
        super().__init__(host, server_hostname=server_hostname, context=context, alpn_protocols=alpn_protocols)
        self._https_compatible = https_compatible
        self._give_up_after = give_up_after

    @property
    def has_name(self) -> bool:
        """Whether it is known which name is verified, whatever host is connected to."""
        return self._server_hostname is not None

    async def prepare(self) -> None:
        """Have the context ready, before any attempt needs it."""
        if self._context is None:
            self._context = await shared_context(self._protocols)

    async def __call__(self, stream: S, address: Address | None = None) -> trio.SSLStream[S]:
        """Complete the handshake on one stream, the certificate verified; the race closes the stream if that fails.

        Args:
            stream: The stream.
            address: Where it is connected to, and of which of several hosts.

        Raises:
            trio.BrokenResourceError: The handshake failed; its cause is the `ssl.SSLError`.
            trio.TooSlowError: It took longer than `give_up_after`.
        """
        assert self._context is not None, "prepare() comes first"
        name = self._server_hostname
        if name is None and address is not None:
            name = address.group if isinstance(address, GroupedAddress) else address.host
        with trio.fail_after(self._give_up_after):
            return await shake_hands(
                stream,
                context=self._context,
                server_hostname=name,
                https_compatible=self._https_compatible,
            )

    def wrap(self, stream: S) -> trio.SSLStream[S]:
        """Wrap a stream; the handshake comes with the first byte sent or received. Nothing can fail any more."""
        assert self._context is not None, "prepare() comes first"
        return trio.SSLStream(
            stream, self._context, server_hostname=self._server_hostname, https_compatible=self._https_compatible
        )


def certificate_name(host: str | bytes) -> str:
    """Return the name that a certificate must be valid for, and that is sent to the server (SNI), on all ways to TLS.

    An address stands without brackets, and without its scope, which has no meaning to the other side (RFC 4007,
    section 6); `ssl` knows that addresses are not sent. A name is in its A-label form and "without a trailing dot"
    (RFC 6066, section 3).

    Example:
        >>> certificate_name("[fe80::1%1]"), certificate_name("bücher.example.")
        ('fe80::1', 'xn--bcher-kva.example')
    """
    text = check_host(host)
    if ":" in text:
        text = text.partition("%")[0]
    literal = parse_literal(text, 0)
    return check_name(text).removesuffix(".") if literal is None else literal.host


def name_of(host: str | bytes, given: str | bytes | None, argument: str = "server_hostname") -> str:
    """Return the name to verify: the one that was given, or the host's.

    Raises:
        ValueError: It is none; where it was given, the text names its argument.
    """
    if given is None:
        return certificate_name(host)
    try:
        return certificate_name(given)
    except ValueError as error:
        raise ValueError(f"{argument} is no host: {error}") from None


def client_context(context: object) -> ssl.SSLContext:
    """Return a context that a client can use, or raise what is wrong with it.

    Raises:
        TypeError: It is no `ssl.SSLContext`.
        ValueError: It is a server's.
    """
    if not isinstance(context, ssl.SSLContext):
        raise TypeError(f"ssl_context must be ssl.SSLContext, not {context!r}")
    if context.protocol is ssl.PROTOCOL_TLS_SERVER:
        raise ValueError(f"ssl_context must be a client's, not {context!r}")
    return context


def _protocols(protocols: Iterable[str] | None) -> Protocols:
    """RFC 7301, section 3.1: names of 1 to 255 octets."""
    if protocols is None:
        return ()
    offered = several("alpn_protocols", protocols)
    for protocol in offered:
        if not isinstance(protocol, str):
            raise TypeError(f"alpn_protocols must be str, not {protocol!r}")
        if not (protocol.isascii() and 1 <= len(protocol) <= 255):
            raise ValueError(f"alpn_protocols must be ASCII, of 1 to 255 characters, not {protocol!r}")
    if not offered:
        raise ValueError("alpn_protocols must not be empty")
    return offered
