"""Error texts: what an errno means, in the same words on every system.

C libraries word the same error differently: glibc's "No route to host" is musl's "Host is unreachable". Equal
races are to make equal pictures, in a browser too, and one searches the web for the words of an error. So those that a
connect can meet have one text here, glibc's; all others have that of the system.
"""

import errno
import os

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
    "EINVAL": "Invalid argument",
    "EISCONN": "Transport endpoint is already connected",
    "EMFILE": "Too many open files",
    "ENETDOWN": "Network is down",
    "ENETRESET": "Network dropped connection on reset",
    "ENETUNREACH": "Network is unreachable",
    "ENOBUFS": "No buffer space available",
    "ENOENT": "No such file or directory",
    "ENOPROTOOPT": "Protocol not available",
    "ENOTCONN": "Transport endpoint is not connected",
    "EPERM": "Operation not permitted",
    "EPIPE": "Broken pipe",
    "EPROTONOSUPPORT": "Protocol not supported",
    "ESOCKTNOSUPPORT": "Socket type not supported",
    "ETIMEDOUT": "Connection timed out",
}


def errno_text(number: int) -> str:
    """Say what an error number means.

    Example:
        >>> errno_text(errno.EHOSTUNREACH)
        'No route to host'
    """
    return _TEXTS.get(errno.errorcode.get(number, "")) or os.strerror(number)
