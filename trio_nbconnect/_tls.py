"""TLS: a stream made secure, now or later.

What lives here: TLS contexts, and nothing else touches them. `open_ssl_over_tcp_stream` wraps a connected stream and
shakes hands later, as Trio does it; `shake_hands` does it at once and is what a race awaits to call TLS established.
"""

from __future__ import annotations

import ssl

import trio


def default_context() -> ssl.SSLContext:
    """Return the context that Trio makes by default: verified, and strict about an early end of file."""
    context = ssl.create_default_context()
    context.options &= ~getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)
    return context


def wrap(
    stream: trio.SocketStream, context: ssl.SSLContext | None, server_hostname: str | bytes, https_compatible: bool
) -> trio.SSLStream[trio.SocketStream]:
    """Wrap a stream; the handshake comes with the first byte sent or received."""
    return trio.SSLStream(
        stream,
        default_context() if context is None else context,
        server_hostname=server_hostname,
        https_compatible=https_compatible,
    )


async def shake_hands(
    stream: trio.SocketStream, context: ssl.SSLContext, server_hostname: str
) -> trio.SSLStream[trio.SocketStream]:
    """Wrap a stream and complete the handshake, the certificate verified.

    Raises:
        trio.BrokenResourceError: The handshake failed; its cause is the `ssl.SSLError`.
    """
    secure = wrap(stream, context, server_hostname, https_compatible=True)
    await secure.do_handshake()
    return secure
