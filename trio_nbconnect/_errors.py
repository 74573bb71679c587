"""Errors: one family below OSError that says what was tried.

The problem: "all connection attempts failed" tells nothing, and a timeout tells even less. So every error here knows
its host, its port and each attempt with its address, phase, times and failure; it has an `errno` when all failures
agree; its class is the one to catch (`ConnectionRefusedError`, `TimeoutError`, `socket.gaierror` work as always);
and its cause is always an exception group, also of one.

Failures shed their tracebacks: reports stay short and no reference cycle keeps a frame alive. Everything pickles.
The text stays one line; what each attempt met is in `attempts` and in the group.
"""

from __future__ import annotations

import enum
import errno
import os
import socket
import ssl
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from operator import itemgetter
from typing import Protocol

import trio

from ._address import Address, shown_address, shown_path, shown_target
from ._error_texts import RESOLVER_ERRORS, is_plain_text, strerror
from ._printable import printable, seconds_text

if sys.version_info < (3, 11):  # pragma: no cover - trio brings the backport on 3.10
    from exceptiongroup import BaseExceptionGroup, ExceptionGroup


class Phase(enum.Enum):
    """How far an attempt, or a whole call, had come.

    Attributes:
        RESOLUTION: No attempt has begun yet.
        HANDSHAKE: The TCP handshake is under way, or an attempt of `race`.
        TLS: TCP is connected; the TLS handshake of `open_tls_stream` is under way.
        ESTABLISH: TCP is connected; what the caller asked for on top of it (`establish`) is under way.
    """

    RESOLUTION = "resolution"
    HANDSHAKE = "handshake"
    TLS = "tls"
    ESTABLISH = "establish"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One attempt, as an error reports it. Times are seconds on Trio's clock.

    Attributes:
        number: 1 for the first of its race.
        address: Where to.
        phase: How far it had come.
        started: When it began.
        ended: When it ended, or was given up.
        error: What it failed with, the cause of this where that is no `OSError`; None if it was still under way when
            the call gave up.
        connected: When TCP was connected, if something was to be established on top of it; else None.

    Example:
        >>> from trio_nbconnect import Address, Phase
        >>> address = Address.parse("192.0.2.1:443")
        >>> str(Attempt(number=1, address=address, phase=Phase.HANDSHAKE, started=0.0, ended=2.0, error=None))
        '192.0.2.1:443 no answer for 2000 ms'
    """

    number: int
    address: Address
    phase: Phase
    started: float
    ended: float
    error: OSError | None
    connected: float | None = None

    @property
    def label(self) -> str:
        """What was attempted, in words: the address, and of which host if there are several; or the caller's label."""
        return printable(str(self.address))

    def __str__(self) -> str:
        return printable(f"{self.address} {self._outcome()}")

    def _outcome(self) -> str:
        """How it ended, in words; a silent host and one that accepts and then says nothing are different faults."""
        connected, silent_since = "", self.started
        if self.connected is not None:
            connected = f"TCP connected after {seconds_text(self.connected - self.started)}, then "
            silent_since = self.connected
        if self.error is None or _is_plain(self.error, errno.ETIMEDOUT, self.address):
            return f"{connected}{silence_text(self.phase)} for {seconds_text(self.ended - silent_since)}"
        return f"{connected}{_reason(self.error, self.address)} after {seconds_text(self.ended - silent_since)}"

    def _summary(self, port: int) -> str:
        """The same for a list of attempts at one port: `192.0.2.1 refused`."""
        name = shown_address(self.address, port)
        if self.error is None or self.connected is not None or _is_plain(self.error, errno.ETIMEDOUT, self.address):
            return printable(f"{name} {self._outcome()}")
        return printable(f"{name} {_reason(self.error, self.address)}")


class ConnectError(OSError):
    """No connection could be made.

    Attributes:
        host: The host as the caller named it; the path of a UNIX socket.
        port: The port; 0 for a UNIX socket.
        attempts: Every attempt in the order of their starts, see `Attempt`.
        errno: The error number, if all failures agree on it, else None.
        __cause__: An `ExceptionGroup` of all failures.
        primary_error: The one of them that a caller would want to know first.

    Example:
        >>> import errno
        >>> error = ConnectError("all attempts failed", host="::1", port=80, errno=errno.ECONNREFUSED)
        >>> error.host, error.port, error.strerror
        ('::1', 80, 'Connection refused')
    """

    def __init__(
        self,
        message: str,
        *,
        host: str,
        port: int,
        attempts: Sequence[Attempt] = (),
        errno: int | None = None,
    ) -> None:
        super().__init__(message)
        self.host = host
        self.port = port
        self.attempts: tuple[Attempt, ...] = tuple(attempts)
        self._failures: tuple[OSError, ...] = ()
        self.errno = errno
        if errno is not None:
            self.strerror: str | None = message if _is_resolvers(errno) else strerror(errno)

    @property
    def primary_error(self) -> OSError | None:
        """The failure to know first: a bad certificate before any other of TLS, then refused, timed out, unreachable.

        None for an error without a failure. The earliest counts where several tell the same.
        """
        ranked = _ranked(self._failures, self.attempts)
        return ranked[0][1] if ranked else None

    def __str__(self) -> str:
        return str(self.args[0])

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        """Show a notebook what every attempt met; who never asks never loads the pictures."""
        from ._pictures.bundles import error_bundle  # noqa: PLC0415 - see above

        return error_bundle(self)

    def __reduce__(self) -> tuple[object, ...]:
        state = {**self.__dict__, "errno": self.errno, "strerror": self.strerror, "__cause__": self.__cause__}
        return (_revive, (type(self), self.args), state)


class ResolutionError(ConnectError, socket.gaierror):
    """The host has no address that could be tried; `errno` is one of `socket.EAI_*` where the resolver gave one."""


class ConnectRefused(ConnectError, ConnectionRefusedError):
    """Every attempt that reached a host was refused: the hosts are there, the service is not."""


class TLSError(ConnectError, ssl.SSLError):
    """TLS failed on an address, and that tells more than what other addresses met; the text says how.

    `primary_error` is the `ssl.SSLError`, a `ssl.SSLCertVerificationError` where a certificate was not good.

    Attributes:
        library: OpenSSL's part that failed, "SSL" mostly; "" if it does not say.
        reason: OpenSSL's reason, as "CERTIFICATE_VERIFY_FAILED"; "" if it does not say.
    """

    library: str = ""
    reason: str = ""


class ConnectTimeout(ConnectError, TimeoutError, trio.TooSlowError):
    """A limit of ours expired: `give_up_after`, or one of `Policy`'s on everything that was tried.

    Attributes:
        phase: What was under way, see `Phase`.
    """

    phase: Phase = Phase.HANDSHAKE


def failures_of(error: BaseException | None) -> tuple[OSError, ...]:
    """What all has failed; the cause may be another one since somebody has raised the error again."""
    return error._failures if isinstance(error, ConnectError) else ()


def _revive(kind: type[ConnectError], args: tuple[str]) -> ConnectError:
    """Make the error that `pickle` then fills; its initialiser would want what is in the state."""
    error = kind.__new__(kind)
    OSError.__init__(error, *args)
    return error


def _is_resolvers(number: int) -> bool:
    return number < 0 or number in RESOLVER_ERRORS


def _is_plain(error: OSError, number: int, address: Address) -> bool:
    """Whether an error says nothing but its number, and perhaps where."""
    return errno_of(error) == number and is_plain_text(_text(error, address), number)


def _text(error: OSError, address: Address) -> str:
    text, number = error.strerror or str(error), errno_of(error)
    if not text:
        text = type(error).__name__ if number is None else strerror(number)
    return text.removesuffix(f": {address}")


def _reason(error: OSError, address: Address) -> str:
    """Say what an attempt met; the text that a failure came with is kept."""
    return "refused" if _is_plain(error, errno.ECONNREFUSED, address) else _text(error, address)


_SHOWN = 3
"""How many attempts the text of an error tells of; all are in `attempts`."""


def all_failed(
    host: str,
    port: int,
    attempts: Sequence[Attempt],
    unusable: Sequence[OSError] = (),
    missing: Sequence[OSError] = (),
) -> ConnectError:
    """Every attempt has failed, or no address could even be attempted: `unusable` says why.

    Of several hosts, `missing` says why some have no address.
    """
    failures = [*unusable, *missing, *(attempt.error for attempt in attempts if attempt.error is not None)]
    ranked = _ranked(failures, attempts)
    primary = ranked[0][1] if ranked else None
    kind = _KINDS.get(_agreed([failure for rank, failure in ranked if rank < _NO_ROUTE]), ConnectError)
    if isinstance(primary, ssl.SSLError):
        kind = TLSError
    why = [
        *(attempt._summary(port) for attempt in attempts),
        *_texts(missing),
    ]  # Trio's suite has nothing behind what was not attempted
    if isinstance(primary, ssl.SSLError):
        why = [tls_reason(primary)]
    message = f"all attempts to connect to {_shown(host, port)} failed{_listed(why)}"
    error = kind(message, host=host, port=port, attempts=attempts, errno=_agreed(failures))
    if isinstance(error, TLSError):
        error.library = getattr(primary, "library", None) or ""
        error.reason = getattr(primary, "reason", None) or ""
    if isinstance(error, ConnectTimeout):
        error.phase = _phase(attempts)
    return _caused_by(error, failures)


def _shown(host: str, port: int) -> str:
    return shown_target(printable(host), port)


def _listed(why: Sequence[str]) -> str:
    """Write the first few reasons behind a colon, and how many more there are."""
    if not why:
        return ""
    more = f", and {len(why) - _SHOWN} more" if len(why) > _SHOWN else ""
    return f": {', '.join(why[:_SHOWN])}{more}"


def _texts(failures: Sequence[OSError]) -> list[str]:
    """What failures say, each text once."""
    return list(dict.fromkeys(printable(failure.strerror or str(failure)) for failure in failures))


def of_host(error: OSError, host: str) -> OSError:
    """Say which of several hosts a failed look-up was for."""
    text = f"{host}: {error.strerror or error}"
    if error.errno is None:
        return OSError(text)
    return (socket.gaierror if isinstance(error, socket.gaierror) else OSError)(error.errno, text)


def no_address(host: str, port: int, failures: Sequence[OSError]) -> ConnectError:
    """The look-up has ended and there is no address to try."""
    failures = failures or [socket.gaierror(socket.EAI_NONAME, "no addresses in the answer")]
    message = f"no results found for hostname lookup: {_shown(host, port)}{_listed(_texts(failures))}"
    number = _agreed(failures)
    if number == errno.ETIMEDOUT:
        late = ConnectTimeout(message, host=host, port=port, errno=errno.ETIMEDOUT)
        late.phase = Phase.RESOLUTION
        return _caused_by(late, failures)
    return _caused_by(ResolutionError(message, host=host, port=port, errno=number), failures)


def nothing_to_try(name: str, failures: Sequence[OSError]) -> ConnectError:
    """No attempt of a caller's own has arrived."""
    message = f"there was nothing to try: {_shown(name, 0)}{_listed(_texts(failures))}"
    error = ConnectError(message, host=name, port=0)
    return _caused_by(error, failures)


def services_unknown(host: str, port: int, attempts: Sequence[Attempt], failure: OSError) -> ResolutionError:
    """Encrypted DNS did not tell which services the host has, so that an attacker may have taken one away."""
    message = f"services could not be resolved over encrypted DNS: {_shown(host, port)}"
    error = ResolutionError(message, host=host, port=port, attempts=attempts, errno=failure.errno)
    _caused_by(error, [failure])
    return error


def gave_up(
    host: str, port: int, seconds: float, attempts: Sequence[Attempt], failures: Sequence[OSError] = ()
) -> ConnectTimeout:
    """`give_up_after` is over: say what every attempt was doing."""
    target = _shown(host, port)
    doing = ", ".join(str(attempt) for attempt in attempts[:6]) or "still looking for addresses"
    more = f", and {len(attempts) - 6} more" if len(attempts) > 6 else ""
    message = f"gave up connecting to {target} after {seconds:g} s: {doing}{more}"
    error = ConnectTimeout(message, host=host, port=port, attempts=attempts, errno=errno.ETIMEDOUT)
    error.phase = _phase(attempts)
    met = [*failures, *(attempt.error or timed_out(f"no answer: {attempt.address}") for attempt in attempts)]
    _caused_by(error, met or [timed_out(f"no addresses in time: {target}")])
    return error


def gave_up_unix(path: str | bytes, seconds: float, *, backlog_full: bool) -> ConnectTimeout:
    """`give_up_after` is over for a UNIX socket; a NUL in an abstract name shows as "@", as in /proc/net/unix."""
    host, shown = os.fsdecode(path).replace("\0", "@"), shown_path(path)
    doing = "the server's backlog is full" if backlog_full else "no answer"
    message = f"gave up connecting to {shown} after {seconds:g} s: {doing}"
    error = ConnectTimeout(message, host=host, port=0, errno=errno.ETIMEDOUT)
    _caused_by(error, [timed_out(f"{doing}: {shown}")])
    return error


def _agreed(failures: Sequence[OSError]) -> int | None:
    """The error number of all failures, if they agree."""
    numbers = set(map(errno_of, failures))
    return numbers.pop() if len(numbers) == 1 else None


def errno_of(failure: OSError) -> int | None:
    """The number of an error, or of its class where it has none; OpenSSL's numbers mean something else and are none."""
    if isinstance(failure, ssl.SSLError):
        return None
    if failure.errno is not None:
        return failure.errno
    return next((number for kind, number in _NUMBERS.items() if isinstance(failure, kind)), None)


_NUMBERS = {
    TimeoutError: errno.ETIMEDOUT,
    ConnectionRefusedError: errno.ECONNREFUSED,
    ConnectionResetError: errno.ECONNRESET,
    ConnectionAbortedError: errno.ECONNABORTED,
    BrokenPipeError: errno.EPIPE,
}
"""What a class says by itself: `raise TimeoutError`, and `socket` does so, too."""


def _ranked(failures: Sequence[OSError], attempts: Sequence[Attempt]) -> list[tuple[int, OSError]]:
    """Sort failures by what a caller would want to know first; the earliest is first among equals."""
    by = {id(attempt.error): attempt for attempt in attempts}
    return sorted(((_rank(failure, by.get(id(failure))), failure) for failure in failures), key=itemgetter(0))


def _rank(failure: OSError, attempt: Tried | None = None) -> int:
    """What a caller would want to know first has the lowest; who has sent an answer tells more than who has not."""
    if isinstance(failure, ssl.SSLError):
        return 0 if isinstance(failure, ssl.SSLCertVerificationError) else 2 if is_broken_off(failure) else 1
    if attempt is not None and met_dead_route(failure, attempt):
        return _NO_ROUTE
    rank = _UNKNOWN_HOST if isinstance(failure, socket.gaierror) else _RANKS.get(errno_of(failure), _OTHER)
    is_answer = attempt is not None and attempt.connected is not None  # a proxy's, say: "no route to the target"
    return _OTHER if is_answer and rank >= _NO_ROUTE else rank


def is_without_route(failure: OSError, attempt: Tried) -> bool:
    """Whether it says nothing of the host: beside other failures it does not decide of what kind the error is."""
    return _rank(failure, attempt) >= _NO_ROUTE


class Tried(Protocol):
    """What is told of an attempt, here or in a picture."""

    @property
    def address(self) -> Address: ...
    @property
    def connected(self) -> float | None: ...


def met_dead_route(failure: OSError, attempt: Tried) -> bool:
    """Whether `connect` met a blackhole or a prohibit route (Linux's ip-route(8)); a VPN that is down leaves those.

    Their numbers mean other things, too: of a path, of an option, of what a proxy says. Those come with a text.
    """
    if attempt.address.is_path or attempt.connected is not None:
        return False
    return any(_is_plain(failure, number, attempt.address) for number in (errno.EINVAL, errno.EACCES))


_KINDS: dict[int | None, type[ConnectError]] = {errno.ECONNREFUSED: ConnectRefused, errno.ETIMEDOUT: ConnectTimeout}

_OTHER, _NO_ROUTE, _UNKNOWN_HOST = 2, 5, 6

_RANKS: dict[int | None, int] = {
    errno.ECONNREFUSED: 3,
    errno.ETIMEDOUT: 4,
    **dict.fromkeys((errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN), _NO_ROUTE),
    **dict.fromkeys((errno.EADDRNOTAVAIL, errno.ENODEV, errno.EAFNOSUPPORT), _NO_ROUTE),
}
"""The errors that are not about this host and what runs on it come last: they are those of a family without a route."""


def connect_error(exception: BaseException) -> ConnectError | None:
    """Find the `ConnectError` inside what another library has raised, None if there is none.

    Args:
        exception: What was caught: an `httpx.ConnectError`, an exception group, say.

    Returns:
        The first one found in the exception, the members of its group, its cause and its context.

    Raises:
        TypeError: `exception` is none.

    Example:
        >>> try:
        ...     raise RuntimeError("the client failed") from ConnectError("refused", host="::1", port=80)
        ... except RuntimeError as error:
        ...     connect_error(error)
        ConnectError('refused')
    """
    if not isinstance(exception, BaseException):
        raise TypeError(f"exception must be an exception, not {exception!r}")
    seen: set[int] = set()
    waiting: list[BaseException | None] = [exception]
    while waiting:
        error = waiting.pop(0)
        if isinstance(error, ConnectError):
            return error
        if error is not None and id(error) not in seen:
            seen.add(id(error))
            members = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
            waiting += [*members, error.__cause__, error.__context__]
    return None


def is_broken_off(error: ssl.SSLError) -> bool:
    """Whether the other side just went away in the middle of TLS, and objected to nothing."""
    return isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError))


def tls_reason(error: ssl.SSLError) -> str:
    """OpenSSL's reason, and what is wrong with the certificate; errors that Python makes itself may have neither."""
    reason = getattr(error, "reason", None)
    text = reason.replace("_", " ").lower() if reason else str(error)
    detail = getattr(error, "verify_message", None)
    return f"{text}: {detail}" if detail else text


def _phase(attempts: Sequence[Attempt]) -> Phase:
    """The furthest that any attempt still under way had come."""
    pending = [attempt for attempt in attempts if attempt.error is None] or attempts
    order = list(Phase)
    return max((attempt.phase for attempt in pending), key=order.index, default=Phase.RESOLUTION)


def silence_text(phase: Phase) -> str:
    """Say what did not come."""
    return "no TLS answer" if phase is Phase.TLS else "no answer"


def timed_out(what: str) -> TimeoutError:
    """A time-out of ours, as the kernel would report it."""
    return TimeoutError(errno.ETIMEDOUT, f"{strerror(errno.ETIMEDOUT)}: {what}")


def os_error(number: int, address: object) -> OSError:
    """The `OSError` of the right class for an error number, with the address in its text."""
    return OSError(number, f"{strerror(number)}: {printable(str(address))}")


def _caused_by(error: ConnectError, failures: Sequence[OSError]) -> ConnectError:
    failures = failures or [OSError(f"no attempt came to an end: {error}")]  # a tracer has cancelled them
    bare = [failure.with_traceback(None) for failure in failures]
    error._failures = tuple(bare)
    error.__cause__ = ExceptionGroup(str(error), bare)
    return error


_FAILURES = (OSError, trio.BrokenResourceError, trio.TooSlowError, EOFError)
"""What fails an attempt; anything else is a bug, and ends the race."""


def as_failure(error: Exception, address: Address, kinds: tuple[type[Exception], ...] = ()) -> OSError | None:
    """Return what fails an attempt as an `OSError`; None for a bug. `kinds` are failures, too.

    A group of nothing but failures, however deep, is a failure: a handshake may have had a nursery of its own.
    """
    failures = [_as_os_error(leaf, address, kinds) for leaf in _leaves(error)]
    known = [failure for failure in failures if failure is not None]
    return min(known, key=_rank) if len(known) == len(failures) else None


def _as_os_error(error: BaseException, address: Address, kinds: tuple[type[Exception], ...]) -> OSError | None:
    """What broke a stream, ended it, or took a handshake on top of it too long; or what a caller takes for that."""
    if isinstance(error, OSError):
        return error
    if not isinstance(error, (*_FAILURES, *kinds)):
        return None
    if isinstance(error.__cause__, OSError):
        return error.__cause__
    if isinstance(error, _FAILURES):
        number = errno.ETIMEDOUT if isinstance(error, trio.TooSlowError) else errno.ECONNRESET
        failure = OSError(number, str(error)) if str(error) else os_error(number, address)
    else:
        failure = OSError(str(error) or type(error).__name__)
    failure.__cause__ = error.with_traceback(None)
    if isinstance(error, trio.TooSlowError):
        error.__context__ = None  # the cancellation, and all that it was raised through
    return failure


class Crash(OSError):
    """How an attempt or a race ended in which foreign code has crashed, for tracers; the bug itself is raised.

    Attributes:
        kind: The name of the bug's class, `module.Class`.
    """

    kind: str = ""


def crash_of(error: Exception) -> Crash:
    """Say how an attempt or a race ended in which foreign code has crashed."""
    crash = Crash(f"{type(error).__name__} in the caller's code")
    crash.kind = class_name(type(error))
    return crash


def class_name(kind: type[BaseException]) -> str:
    """Name a class of exceptions, in full if it is not one of Python's own."""
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def ruled_out(address: Address) -> OSError:
    """Why an address of a family that is not used was not even attempted."""
    return os_error(errno.EAFNOSUPPORT, f"{address} (its family is ruled out by local_address or Policy.families)")


def sole(error: BaseException) -> BaseException:
    """Take one exception out of the groups around it, beside which there are cancellations only."""
    while isinstance(error, BaseExceptionGroup):
        members = [member for member in error.exceptions if not _is_cancellation(member)]
        if len(members) != 1:
            break
        error = members[0]
    return error


@contextmanager
def without_group() -> Iterator[None]:
    """Let what is raised in a nursery leave it as it is, in no group."""
    try:
        yield
    except BaseExceptionGroup as group:
        error = sole(group)
        raise error from error.__cause__


def without_failures(
    error: BaseExceptionGroup[BaseException], kinds: tuple[type[Exception], ...] = ()
) -> BaseExceptionGroup[BaseException]:
    """Leave out what tasks have failed with while they were cancelled, on their way out: that tells nobody anything.

    A group in which there is anything else, a bug or an interrupt, stays as it is.
    """
    cancelled, others = error.split(trio.Cancelled)
    left_out = [] if others is None else _leaves(others)
    are_failures = all(isinstance(leaf, (*_FAILURES, *kinds)) for leaf in left_out)
    return cancelled if cancelled is not None and are_failures else error


def look_up_failures(error: Exception) -> list[OSError]:
    """Return what a look-up has failed with, several if it had a nursery of its own; nothing for a bug."""
    leaves = _leaves(error)
    failures = [leaf for leaf in leaves if isinstance(leaf, OSError)]
    return failures if len(failures) == len(leaves) else []


def _is_cancellation(error: BaseException) -> bool:
    return all(isinstance(leaf, trio.Cancelled) for leaf in _leaves(error))


def _leaves(error: BaseException) -> list[BaseException]:
    if not isinstance(error, BaseExceptionGroup):
        return [error]
    return [leaf for member in error.exceptions for leaf in _leaves(member)]
