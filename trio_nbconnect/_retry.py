"""Retry: which failures may pass by themselves.

A program that starts before its database should try again; one whose certificate has expired should not. A race has
already tried every address, so there is no retry loop in this library: callers have one, with pauses that suit them.
They only need to know whether the same call, later, has a chance.

The answer comes from classes and error numbers alone. A number that is not listed is final: giving up too early is
noticed, and retrying without end is not.
"""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Sequence

import trio

from ._errors import Attempt, ConnectError, errno_of, failures_of, is_broken_off, met_dead_route

_PASSING = frozenset(
    {
        *(errno.ECONNREFUSED, errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE, errno.ETIMEDOUT),
        *(errno.ENETUNREACH, errno.ENETDOWN, errno.ENETRESET, errno.EHOSTUNREACH, errno.EHOSTDOWN),
        *(errno.EADDRNOTAVAIL, errno.ENODEV, errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM),
    }
)
"""A service that restarts, a network or an interface that comes and goes, a machine out of ports, files or memory."""

_PASSING_LOOK_UPS = frozenset({socket.EAI_AGAIN, socket.EAI_MEMORY})
"""RFC 3493, section 6.1: "a temporary failure", "try again later". That a name does not exist is an answer."""


def is_retryable(error: BaseException) -> bool:
    """Say whether the same call may succeed later, with nothing changed here.

    A `ConnectError` is judged by all that its attempts met: a certificate that is not good, or another refusal of TLS,
    is final whatever other addresses met; else one failure that may pass is enough. A time-out may pass, and so may a
    route that goes nowhere; a name that does not exist is final. So is anything that is no failure to connect, a
    cancellation for one.

    Args:
        error: What connecting has raised.

    Example:
        >>> import errno, ssl
        >>> is_retryable(ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"))
        True
        >>> is_retryable(ssl.SSLCertVerificationError(1, "certificate has expired"))
        False
    """
    failures: Sequence[BaseException] = failures_of(error) or (error,)
    may_pass = any(map(_may_pass, failures))
    if isinstance(error, ConnectError):
        may_pass = may_pass or any(map(_had_no_route, error.attempts))
    return may_pass and not any(map(_is_refusal_of_tls, failures))


def _had_no_route(attempt: Attempt) -> bool:
    """Whether an attempt met a route that goes nowhere, for now; a link-local address without a scope never has one."""
    address = attempt.address
    if address.is_link_local and not address.scope_id:
        return False
    return attempt.error is not None and met_dead_route(attempt.error, attempt)


def _may_pass(failure: BaseException) -> bool:
    if isinstance(failure, socket.gaierror):
        return failure.errno in _PASSING_LOOK_UPS
    if isinstance(failure, ssl.SSLError):
        return is_broken_off(failure)
    if isinstance(failure, OSError):
        return errno_of(failure) in _PASSING
    return isinstance(failure, trio.TooSlowError)


def _is_refusal_of_tls(failure: BaseException) -> bool:
    return isinstance(failure, ssl.SSLError) and not is_broken_off(failure)
