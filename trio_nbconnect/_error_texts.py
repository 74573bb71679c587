"""Error texts: the same words for an error number on every system.

Error numbers and `os.strerror` are the C library's: EHOSTUNREACH is "No route to host" with glibc, "Host is
unreachable" with musl and in a browser, and for all that a socket meets Windows says "Unknown error". So there is a
table, by the name of the error, in glibc's words. What is not in it is said as the system says it.

The text that a failure came with is kept; this is for numbers that came without one.
"""

from __future__ import annotations

import errno
import os
import socket

_TEXTS = {
    "EACCES": "Permission denied",
    "EADDRINUSE": "Address already in use",
    "EADDRNOTAVAIL": "Cannot assign requested address",
    "EAFNOSUPPORT": "Address family not supported by protocol",
    "EAGAIN": "Resource temporarily unavailable",
    "EALREADY": "Operation already in progress",
    "EBADF": "Bad file descriptor",
    "ECONNABORTED": "Software caused connection abort",
    "ECONNREFUSED": "Connection refused",
    "ECONNRESET": "Connection reset by peer",
    "EHOSTDOWN": "Host is down",
    "EHOSTUNREACH": "No route to host",
    "EINPROGRESS": "Operation now in progress",
    "EINTR": "Interrupted system call",
    "EINVAL": "Invalid argument",
    "EISCONN": "Transport endpoint is already connected",
    "EMFILE": "Too many open files",
    "ENAMETOOLONG": "File name too long",
    "ENETDOWN": "Network is down",
    "ENETRESET": "Network dropped connection on reset",
    "ENETUNREACH": "Network is unreachable",
    "ENFILE": "Too many open files in system",
    "ENOBUFS": "No buffer space available",
    "ENODEV": "No such device",
    "ENOENT": "No such file or directory",
    "ENOMEM": "Cannot allocate memory",
    "ENOPROTOOPT": "Protocol not available",
    "ENOTCONN": "Transport endpoint is not connected",
    "ENOTSOCK": "Socket operation on non-socket",
    "EOPNOTSUPP": "Operation not supported",
    "EPERM": "Operation not permitted",
    "EPIPE": "Broken pipe",
    "EPROTO": "Protocol error",
    "EPROTONOSUPPORT": "Protocol not supported",
    "EPROTOTYPE": "Protocol wrong type for socket",
    "ESOCKTNOSUPPORT": "Socket type not supported",
    "ETIMEDOUT": "Connection timed out",
    "EWOULDBLOCK": "Resource temporarily unavailable",
}


def texts_by_number(numbers: object = errno) -> dict[int, str]:
    """Find the numbers of this system; Windows has a second one for some errors, from its sockets: `WSAEACCES`."""
    names = ((prefix + name, text) for name, text in _TEXTS.items() for prefix in ("", "WSA"))
    return {getattr(numbers, name): text for name, text in names if hasattr(numbers, name)}


_BY_NUMBER = texts_by_number()


def strerror(number: int) -> str:
    """Say what an error number means.

    Example:
        >>> import errno
        >>> strerror(errno.EHOSTUNREACH)
        'No route to host'
    """
    return _BY_NUMBER.get(number) or os.strerror(number)


def is_plain_text(text: str, number: int) -> bool:
    """Whether a text says no more than the number does, in our words or in the system's."""
    return text in (_BY_NUMBER.get(number), os.strerror(number))


RESOLVER_ERRORS = frozenset(getattr(socket, name) for name in dir(socket) if name.startswith("EAI_"))
"""The resolver's own numbers, `socket.EAI_*`: negative on Linux; on macOS they are those of other errors, too."""
