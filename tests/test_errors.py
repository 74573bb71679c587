"""Errors: which class, which number, which text; what pickles; what keeps nothing alive."""

from __future__ import annotations

import copy
import errno
import gc
import pickle
import socket
import ssl
import sys
import weakref
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest
import trio

from trio_nbconnect import (
    Address,
    Attempt,
    ConnectError,
    ConnectRefused,
    ConnectTimeout,
    Phase,
    ResolutionError,
    TLSError,
    is_retryable,
)
from trio_nbconnect._address import IPV4, IPV6
from trio_nbconnect._error_texts import strerror
from trio_nbconnect._errors import (
    all_failed,
    as_failure,
    connect_error,
    gave_up,
    look_up_failures,
    no_address,
    os_error,
    ruled_out,
    services_unknown,
    sole,
    timed_out,
    tls_reason,
    without_failures,
)

if sys.version_info < (3, 11):
    from exceptiongroup import BaseExceptionGroup, ExceptionGroup

V6 = Address(IPV6, "2001:db8::1", 443)
V4 = Address(IPV4, "192.0.2.1", 443)

REFUSED = os_error(errno.ECONNREFUSED, V4)
REFUSED_TOO = os_error(errno.ECONNREFUSED, V6)
UNREACHABLE = os_error(errno.ENETUNREACH, V4)
NO_INTERFACE = os_error(errno.ENODEV, f"option interface='tun0' for {V4}")
NO_ROUTE = f"192.0.2.1 {strerror(errno.ENETUNREACH)}"
LATE = timed_out(str(V4))
UNTRUSTED = ssl.SSLCertVerificationError(1, "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed")
OBJECTED = ssl.SSLError(1, "[SSL: TLSV1_ALERT_PROTOCOL_VERSION] tlsv1 alert protocol version")
OBJECTED.library, OBJECTED.reason = "SSL", "TLSV1_ALERT_PROTOCOL_VERSION"
BROKEN_OFF = ssl.SSLEOFError(8, "EOF occurred in violation of protocol")
NUMBERLESS = OSError("the proxy said no")
UNKNOWN = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
AGAIN = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")


def attempts(*failures: OSError | None, phase: Phase = Phase.HANDSHAKE) -> list[Attempt]:
    """Attempts 250 ms apart, each of which lasted 100 ms."""
    return [
        Attempt(number=number, address=V4, phase=phase, started=number / 4, ended=number / 4 + 0.1, error=failure)
        for number, failure in enumerate(failures, start=1)
    ]


def causes(error: ConnectError) -> list[BaseException]:
    """What the error's group holds; a group it must be, also of one."""
    assert isinstance(error.__cause__, ExceptionGroup)
    return list(error.__cause__.exceptions)


@pytest.mark.parametrize(
    ("failures", "kind", "number", "why"),
    [
        ([REFUSED], ConnectRefused, errno.ECONNREFUSED, "192.0.2.1 refused"),
        ([REFUSED, REFUSED], ConnectRefused, errno.ECONNREFUSED, "192.0.2.1 refused, 192.0.2.1 refused"),
        ([LATE], ConnectTimeout, errno.ETIMEDOUT, "192.0.2.1 no answer for 100 ms"),
        ([UNREACHABLE], ConnectError, errno.ENETUNREACH, NO_ROUTE),
        (
            [UNREACHABLE, REFUSED],
            ConnectRefused,
            None,
            f"192.0.2.1 {strerror(errno.ENETUNREACH)}, 192.0.2.1 refused",
        ),
        ([LATE, UNREACHABLE] * 2, ConnectTimeout, None, None),
        ([NO_INTERFACE, REFUSED], ConnectRefused, None, None),
        ([REFUSED, LATE], ConnectError, None, "192.0.2.1 refused, 192.0.2.1 no answer for 100 ms"),
        ([NUMBERLESS], ConnectError, None, "192.0.2.1 the proxy said no"),
        ([REFUSED] * 5, ConnectRefused, errno.ECONNREFUSED, f"{', '.join(['192.0.2.1 refused'] * 3)}, and 2 more"),
    ],
)
def test_the_failures_agree_on_a_class_and_a_number(
    failures: list[OSError], kind: type[ConnectError], number: int | None, why: str | None
) -> None:
    """The class is that of all failures but those of a family without a route; the number is that of all."""
    tried = attempts(*failures)

    error = all_failed("example.org", 443, tried)

    assert type(error) is kind
    assert why is None or str(error) == f"all attempts to connect to example.org:443 failed: {why}"
    assert (error.host, error.port, error.attempts) == ("example.org", 443, tuple(tried))
    assert (error.errno, error.strerror) == (number, None if number is None else strerror(number))
    assert causes(error) == failures
    assert str(error.__cause__).startswith("all attempts to connect to example.org:443 failed: ")
    assert not hasattr(error, "__notes__")


@pytest.mark.parametrize(
    ("failures", "first"),
    [
        ([UNTRUSTED, UNTRUSTED], UNTRUSTED),
        ([UNREACHABLE, LATE, REFUSED, BROKEN_OFF, OBJECTED, UNTRUSTED], UNTRUSTED),
        ([UNREACHABLE, LATE, REFUSED, BROKEN_OFF, OBJECTED], OBJECTED),
        ([UNREACHABLE, LATE, REFUSED, BROKEN_OFF], BROKEN_OFF),
    ],
)
def test_a_failure_of_tls_ranks_above_others(failures: list[OSError], first: ssl.SSLError) -> None:
    """The error is one for who catches `ssl.SSLError`; OpenSSL's 1 is no EPERM."""
    error = all_failed("example.org", 443, attempts(*failures))

    assert type(error) is TLSError
    assert isinstance(error, ssl.SSLError)
    assert error.primary_error is first
    assert str(error) == f"all attempts to connect to example.org:443 failed: {tls_reason(first)}"
    assert (error.errno, error.strerror) == (None, None)
    assert (error.reason, error.library) == (getattr(first, "reason", ""), getattr(first, "library", ""))
    assert causes(error) == failures


@pytest.mark.parametrize(
    ("failures", "first"),
    [
        ([UNREACHABLE, LATE, REFUSED, REFUSED_TOO], REFUSED),
        ([UNREACHABLE, LATE], LATE),
        ([UNREACHABLE], UNREACHABLE),
        ([REFUSED, NUMBERLESS], NUMBERLESS),
    ],
)
def test_who_has_answered_tells_more_than_who_has_not(failures: list[OSError], first: OSError) -> None:
    assert all_failed("example.org", 443, attempts(*failures)).primary_error is first


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EACCES, errno.ENETDOWN, errno.EHOSTDOWN])
def test_a_family_whose_route_goes_nowhere_hides_nothing(number: int) -> None:
    """A VPN that is down leaves blackhole (EINVAL) and prohibit routes (EACCES) for one family, mostly IPv6."""
    dead = os_error(number, V4)

    error = all_failed("example.org", 443, attempts(dead, REFUSED))

    assert type(error) is ConnectRefused
    assert error.primary_error is REFUSED
    assert all_failed("example.org", 443, attempts(dead)).errno == number


def test_what_a_proxy_says_of_a_route_is_an_answer() -> None:
    """Not so where somebody else has the same number: who has answered tells more than who has not."""
    says_no = OSError(errno.EACCES, "Permission denied: example.org:443 (the proxy answered 403)")
    no_route = OSError(errno.EHOSTUNREACH, "No route to host: example.org:443 (the proxy answered 502)")
    for answer in (says_no, no_route):
        (connected,) = attempts(answer)
        tried = [replace(connected, connected=0.3), *attempts(REFUSED)]
        assert all_failed("proxy.example", 3128, tried).primary_error is answer
    option = OSError(errno.EINVAL, f"Invalid argument: option interface='eth9' for {V4}")
    assert all_failed("example.org", 443, attempts(REFUSED, option)).primary_error is option


@pytest.mark.parametrize(
    ("failure", "kind", "number", "says"),
    [
        (TimeoutError(), ConnectTimeout, errno.ETIMEDOUT, "no answer for 100 ms"),
        (TimeoutError("The handshake operation timed out"), ConnectTimeout, errno.ETIMEDOUT, "handshake operation"),
        (ConnectionRefusedError(), ConnectRefused, errno.ECONNREFUSED, "192.0.2.1 refused"),
        (ConnectionResetError(), ConnectError, errno.ECONNRESET, "192.0.2.1 Connection reset by peer"),
        (OSError(), ConnectError, None, "192.0.2.1 OSError"),
    ],
)
def test_a_class_says_as_much_as_a_number(
    failure: OSError, kind: type[ConnectError], number: int | None, says: str
) -> None:
    """`raise TimeoutError`, say, and what `socket` and `ssl` raise for a time-out, have no number."""
    error = all_failed("example.org", 443, attempts(failure))

    assert type(error) is kind
    assert error.errno == number
    assert says in str(error)
    assert is_retryable(error) == (number is not None)
    if kind is ConnectTimeout:
        assert all_failed("example.org", 443, attempts(failure, REFUSED)).primary_error is REFUSED


def test_a_path_has_no_route() -> None:
    """That nobody may open it is all there is to know."""
    path = Address(socket.AF_UNIX, "/run/server", 0)
    forbidden = os_error(errno.EACCES, path)
    (there,) = attempts(forbidden)
    tried = [*attempts(REFUSED), replace(there, address=path)]
    assert all_failed("host", 443, tried).primary_error is forbidden


def test_who_refuses_after_tcp_tells_no_more_than_who_refuses_tcp() -> None:
    (connected,) = attempts(REFUSED)
    tried = [replace(connected, connected=0.3), *attempts(NUMBERLESS)]
    assert all_failed("example.org", 443, tried).primary_error is NUMBERLESS


RANKED = [UNTRUSTED, OBJECTED, NUMBERLESS, REFUSED, LATE, UNREACHABLE, UNKNOWN]


@pytest.mark.parametrize(("better", "worse"), list(pairwise(RANKED)))
def test_what_tells_more_is_primary(better: OSError, worse: OSError) -> None:
    assert all_failed("h", 443, attempts(worse, better)).primary_error is better


def test_an_error_without_a_cause_has_nothing_to_tell() -> None:
    assert ConnectError("no", host="h", port=1).primary_error is None


def test_an_address_that_could_not_be_attempted_is_told_before_the_attempts() -> None:
    error = all_failed("::1", 443, attempts(REFUSED), [UNREACHABLE])

    assert str(error) == "all attempts to connect to [::1]:443 failed: 192.0.2.1 refused"
    assert error.errno is None
    assert causes(error) == [UNREACHABLE, REFUSED]


@pytest.mark.parametrize(
    ("failures", "kind", "number", "cause"),
    [
        ([UNKNOWN], ResolutionError, socket.EAI_NONAME, UNKNOWN),
        ([UNKNOWN, UNKNOWN], ResolutionError, socket.EAI_NONAME, UNKNOWN),
        ([AGAIN, UNKNOWN], ResolutionError, None, AGAIN),
        ([LATE], ConnectTimeout, errno.ETIMEDOUT, LATE),
        ([LATE, UNKNOWN], ResolutionError, None, LATE),
        ([NUMBERLESS], ResolutionError, None, NUMBERLESS),
    ],
)
def test_a_host_without_addresses_says_what_the_resolver_met(
    failures: list[OSError], kind: type[ConnectError], number: int | None, cause: OSError
) -> None:
    error = no_address("example.org", 443, failures)

    assert type(error) is kind
    why = ", ".join(dict.fromkeys(failure.strerror or str(failure) for failure in failures))
    assert str(error) == f"no results found for hostname lookup: example.org:443: {why}"
    assert (error.errno, error.attempts) == (number, ())
    assert causes(error)[0] is cause
    assert len(causes(error)) == len(failures)
    if isinstance(error, ConnectTimeout):
        assert error.phase is Phase.RESOLUTION


def test_an_empty_answer_is_a_name_without_addresses() -> None:
    """RFC 2308, section 2.2: no data is no error of the name server's, but one for us."""
    error = no_address("example.org", 443, [])

    assert type(error) is ResolutionError
    assert error.errno == socket.EAI_NONAME
    assert error.strerror == str(error)
    assert [str(cause) for cause in causes(error)] == [f"[Errno {socket.EAI_NONAME}] no addresses in the answer"]


def test_a_time_out_says_what_every_attempt_was_doing() -> None:
    tried = attempts(REFUSED, UNREACHABLE, None)

    error = gave_up("example.org", 443, 1.5, tried, [AGAIN])

    unreachable = strerror(errno.ENETUNREACH)
    assert str(error) == (
        "gave up connecting to example.org:443 after 1.5 s: 192.0.2.1:443 refused after 100 ms, "
        f"192.0.2.1:443 {unreachable} after 100 ms, 192.0.2.1:443 no answer for 100 ms"
    )
    assert (error.errno, error.strerror) == (errno.ETIMEDOUT, strerror(errno.ETIMEDOUT))
    again, refused, out_of_reach, silent = causes(error)
    assert (again, refused, out_of_reach) == (AGAIN, REFUSED, UNREACHABLE)
    assert isinstance(silent, TimeoutError)
    assert silent.strerror == f"{strerror(errno.ETIMEDOUT)}: no answer: 192.0.2.1:443"


def test_a_time_out_while_looking_for_addresses_says_so() -> None:
    error = gave_up("::1", 443, 10, [])

    assert str(error) == "gave up connecting to [::1]:443 after 10 s: still looking for addresses"
    assert error.phase is Phase.RESOLUTION
    assert [str(cause) for cause in causes(error)] == [str(timed_out("no addresses in time: [::1]:443"))]


@pytest.mark.parametrize(("count", "end"), [(6, ""), (7, ", and 1 more"), (60, ", and 54 more")])
def test_the_text_of_a_long_race_stays_one_line(count: int, end: str) -> None:
    error = gave_up("example.org", 443, 1, attempts(*[None] * count))

    assert str(error).count("no answer") == 6
    assert str(error).endswith(f"no answer for 100 ms{end}")
    assert len(causes(error)) == len(error.attempts) == count


@pytest.mark.parametrize(
    ("tried", "phase"),
    [
        ([], Phase.RESOLUTION),
        (attempts(None), Phase.HANDSHAKE),
        (attempts(None) + attempts(None, phase=Phase.ESTABLISH), Phase.ESTABLISH),
        (attempts(None) + attempts(REFUSED, phase=Phase.ESTABLISH), Phase.HANDSHAKE),
        (attempts(None) + attempts(None, phase=Phase.TLS), Phase.TLS),
        (attempts(REFUSED) + attempts(UNTRUSTED, phase=Phase.ESTABLISH), Phase.ESTABLISH),
    ],
)
def test_the_phase_is_the_furthest_that_was_still_under_way(tried: list[Attempt], phase: Phase) -> None:
    assert gave_up("example.org", 443, 1, tried).phase is phase


def test_attempts_that_all_ran_into_their_limit_have_a_phase_too() -> None:
    error = all_failed("example.org", 443, attempts(LATE, phase=Phase.ESTABLISH))

    assert isinstance(error, ConnectTimeout)
    assert error.phase is Phase.ESTABLISH


@pytest.mark.parametrize(
    ("failure", "text"),
    [
        (None, "192.0.2.1:443 no answer for 100 ms"),
        (REFUSED, "192.0.2.1:443 refused after 100 ms"),
        (LATE, "192.0.2.1:443 no answer for 100 ms"),
        (os_error(errno.EHOSTUNREACH, V4), f"192.0.2.1:443 {strerror(errno.EHOSTUNREACH)} after 100 ms"),
        (NUMBERLESS, "192.0.2.1:443 the proxy said no after 100 ms"),
        (
            OSError(errno.ECONNREFUSED, "refused (the proxy replied 5)"),
            "192.0.2.1:443 refused (the proxy replied 5) after 100 ms",
        ),
        (
            OSError(errno.EIO, strerror(errno.ECONNREFUSED)),
            f"192.0.2.1:443 {strerror(errno.ECONNREFUSED)} after 100 ms",
        ),
        (OSError("two\nlines\x1b[31m"), "192.0.2.1:443 two\\nlines\\x1b[31m after 100 ms"),
    ],
)
def test_an_attempt_is_told_in_a_few_words(failure: OSError | None, text: str) -> None:
    """The address stands there once."""
    assert str(attempts(failure)[0]) == text


@pytest.mark.parametrize("failure", [None, LATE, OSError("bad greeting")])
def test_an_attempt_whose_server_is_silent_after_tcp(failure: OSError | None) -> None:
    """A silent host and one that accepts and then says nothing are different faults, and have different words."""
    address = Address(socket.AF_INET, "192.0.2.1", 443)
    attempt = Attempt(
        number=1, address=address, phase=Phase.TLS, started=1.0, connected=1.0002, ended=3.0002, error=failure
    )
    met = "bad greeting after" if failure not in (None, LATE) else "no TLS answer for"
    assert str(attempt) == f"192.0.2.1:443 TCP connected after 0.2 ms, then {met} 2000 ms"
    if failure is not None:
        assert str(all_failed("h", 443, [attempt])).endswith(
            f": 192.0.2.1 TCP connected after 0.2 ms, then {met} 2000 ms"
        )


def test_an_attempt_at_another_port_says_so() -> None:
    assert str(all_failed("example.org", 8080, attempts(REFUSED))).endswith("failed: 192.0.2.1:443 refused")


@pytest.mark.parametrize(
    ("count", "end"), [(0, " failed"), (3, f"refused{', 192.0.2.1 refused' * 2}"), (4, "refused, and 1 more")]
)
def test_three_attempts_are_told_of(count: int, end: str) -> None:
    text = str(all_failed("h", 443, attempts(*[REFUSED] * count)))
    assert text.endswith(end)
    assert text.count("refused") == min(count, 3)


class Rejected(Exception):
    """What a caller takes for a failure."""


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (EOFError(), f"{strerror(errno.ECONNRESET)}: 192.0.2.1:443"),
        (EOFError("2 of 5 bytes"), "2 of 5 bytes"),
        (trio.BrokenResourceError("the relay is gone"), "the relay is gone"),
        (trio.TooSlowError("no greeting"), "no greeting"),
        (trio.TooSlowError(), f"{strerror(errno.ETIMEDOUT)}: 192.0.2.1:443"),
        (ExceptionGroup("", [LATE, ExceptionGroup("", [REFUSED, UNREACHABLE])]), REFUSED.strerror),
        (Rejected("no such peer"), "no such peer"),
        (Rejected(), "Rejected"),
    ],
)
def test_what_failed_an_attempt_is_an_error_of_the_system(error: Exception, text: str) -> None:
    """Of several the one that tells most."""
    failure = as_failure(error, V4, (Rejected,))
    assert failure is not None
    assert (failure.strerror or str(failure)) == text


async def test_beside_cancellations_there_is_one_error() -> None:
    with trio.move_on_after(0):
        try:
            await trio.sleep_forever()
        except trio.Cancelled as error:
            cancelled = error
            raise
    bug = ValueError("a bug")
    assert sole(BaseExceptionGroup("", [cancelled, BaseExceptionGroup("", [cancelled, bug])])) is bug
    for several in ([bug, KeyError()], [cancelled, cancelled]):
        group = BaseExceptionGroup("", several)
        assert sole(group) is group


def test_services_that_are_not_known_say_why() -> None:
    """Its cause is a group like that of any other, and its number the look-up's."""
    error = services_unknown("example.org", 443, attempts(None), AGAIN)
    assert str(error) == "services could not be resolved over encrypted DNS: example.org:443"
    assert (error.host, error.port, error.errno, len(error.attempts)) == ("example.org", 443, socket.EAI_AGAIN, 1)
    assert causes(error) == [error.primary_error] == [AGAIN]


def test_a_phase_has_its_name() -> None:
    assert [phase.value for phase in Phase] == ["resolution", "handshake", "tls", "establish"]


def test_an_error_without_a_number_has_no_system_s_words() -> None:
    assert ConnectError("no", host="h", port=1).strerror is None
    assert ConnectError("no", host="h", port=1, errno=1).strerror == strerror(1)


def test_an_error_of_one_s_own_making_knows_nothing_more() -> None:
    error, late = TLSError("no", host="h", port=1), ConnectTimeout("late", host="h", port=1)
    assert (error.library, error.reason, late.phase) == ("", "", Phase.HANDSHAKE)


def test_an_error_says_what_there_was_instead_of_a_failure() -> None:
    """A tracer has cancelled the attempts, or the family of an address is not used."""
    (cause,) = causes(all_failed("h", 443, []))
    assert str(cause) == "no attempt came to an end: all attempts to connect to h:443 failed"
    reason = "192.0.2.1:443 (its family is ruled out by local_address or Policy.families)"
    assert ruled_out(V4).strerror == f"{strerror(errno.EAFNOSUPPORT)}: {reason}"


def test_what_a_server_says_is_cut() -> None:
    """A text of a megabyte would fill a log."""
    assert str(attempts(OSError("x" * 2000))[0]) == f"192.0.2.1:443 {'x' * 1986}..."
    error = no_address("h", 443, [OSError("x" * 2001)])
    assert str(error) == f"no results found for hostname lookup: h:443: {'x' * 2000}..."


def test_a_path_is_shown_safely() -> None:
    assert str(os_error(errno.ENOENT, "/tmp/\x1b[31m")).endswith(": /tmp/\\x1b[31m")


def test_a_host_of_another_s_is_shown_safely() -> None:
    assert str(all_failed("evil\n\x1b[31m", 80, attempts(REFUSED))).startswith(
        "all attempts to connect to evil\\n\\x1b[31m:80 failed"
    )


def test_what_an_error_knows_survives_being_raised_again() -> None:
    """Somebody else's `raise ... from` takes the cause's place; a pickle and a copy are whole."""
    error = all_failed("h", 443, attempts(UNREACHABLE, REFUSED))
    with pytest.raises(ConnectError):
        raise error from ValueError("mine")
    for again in (error, copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert str(again.primary_error) == str(REFUSED)


@pytest.mark.parametrize("depth", [0, 3])
def test_ours_is_found_inside_what_others_raise(depth: int) -> None:
    ours = all_failed("h", 443, attempts(REFUSED))
    error: BaseException = ours
    for _ in range(depth):
        cause = RuntimeError("a client")
        cause.__cause__ = error
        error = ExceptionGroup("tasks", [ValueError("other"), cause])
    assert connect_error(error) is ours


def test_the_first_of_ours_is_found() -> None:
    first, second = (all_failed(host, 443, attempts(REFUSED)) for host in ("a", "b"))
    assert connect_error(ExceptionGroup("tasks", [first, second])) is first


def test_what_is_no_exception_is_refused() -> None:
    with pytest.raises(TypeError, match=r"^exception must be an exception, not 5$"):
        connect_error(5)  # type: ignore[arg-type]


def test_nothing_is_found_where_nothing_of_ours_is() -> None:
    error = RuntimeError("a circle")
    error.__context__ = RuntimeError("inside")
    error.__context__.__context__ = error
    assert connect_error(error) is None


@pytest.mark.parametrize(
    ("error", "classes"),
    [
        (all_failed("h", 1, attempts(UNREACHABLE)), (OSError, ConnectError)),
        (all_failed("h", 1, attempts(REFUSED)), (OSError, ConnectError, ConnectionError, ConnectionRefusedError)),
        (all_failed("h", 1, attempts(LATE)), (OSError, ConnectError, TimeoutError, trio.TooSlowError)),
        (gave_up("h", 1, 1, []), (OSError, ConnectError, TimeoutError, trio.TooSlowError)),
        (no_address("h", 1, [LATE]), (OSError, ConnectError, TimeoutError, trio.TooSlowError)),
        (no_address("h", 1, []), (OSError, ConnectError, socket.gaierror)),
    ],
)
def test_what_caught_it_before_catches_it_now(error: ConnectError, classes: tuple[type[Exception], ...]) -> None:
    for kind in classes:
        assert isinstance(error, kind)


def test_a_number_that_is_the_resolver_s_has_no_system_s_words() -> None:
    """The resolver's numbers are negative on Linux; `os.strerror` knows nothing of them."""
    for number in (-2, -105):  # one that Python knows, and one that it does not
        error = ResolutionError("no such host", host="h", port=1, errno=number)
        assert (error.errno, error.strerror, str(error)) == (number, "no such host", "no such host")


def test_an_error_number_has_its_class_and_its_address() -> None:
    assert type(REFUSED) is ConnectionRefusedError
    assert str(REFUSED) == f"[Errno {errno.ECONNREFUSED}] {strerror(errno.ECONNREFUSED)}: 192.0.2.1:443"
    assert type(LATE) is TimeoutError
    assert LATE.errno == errno.ETIMEDOUT


MAKERS: list[Callable[[], ConnectError]] = [
    lambda: all_failed("example.org", 443, attempts(os_error(errno.ENETUNREACH, V4))),
    lambda: all_failed(
        "example.org", 443, attempts(os_error(errno.ECONNREFUSED, V4), os_error(errno.ECONNREFUSED, V6))
    ),
    lambda: all_failed("example.org", 443, attempts(timed_out(str(V4)), phase=Phase.ESTABLISH)),
    lambda: all_failed("example.org", 443, attempts(OSError(errno.EPERM, "no"), OSError("without a number"))),
    lambda: all_failed("example.org", 443, attempts(ssl.SSLCertVerificationError(1, "expired"))),
    lambda: no_address("example.org", 443, [socket.gaierror(socket.EAI_AGAIN, "later")]),
    lambda: no_address("example.org", 443, [timed_out("no answer")]),
    lambda: gave_up("example.org", 443, 1.5, attempts(os_error(errno.ECONNREFUSED, V4), None)),
    lambda: gave_up("example.org", 443, 1.5, []),
]
"""One maker for each way to fail."""


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_an_error_goes_through_a_pickle_with_all_it_knows(make: Callable[[], ConnectError], protocol: int) -> None:
    error = make()
    causes(error)[0].__dict__["__notes__"] = ["attempt 1, after 0.000 s"]
    error.__dict__["__notes__"] = ["while fetching the list"]

    assert_same(pickle.loads(pickle.dumps(error, protocol)), error)


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy])
def test_an_error_can_be_copied(
    make: Callable[[], ConnectError], duplicate: Callable[[ConnectError], ConnectError]
) -> None:
    error = make()

    assert_same(duplicate(error), error)


def assert_same(twin: ConnectError, error: ConnectError) -> None:
    """Compare what can be seen of two errors; exceptions themselves compare by identity."""
    assert type(twin) is type(error)
    assert (str(twin), twin.args, twin.errno, twin.strerror) == (str(error), error.args, error.errno, error.strerror)
    assert (twin.host, twin.port, repr(twin.attempts)) == (error.host, error.port, repr(error.attempts))
    assert getattr(twin, "reason", None) == getattr(error, "reason", None)
    assert repr(twin.primary_error) == repr(error.primary_error)
    assert getattr(twin, "phase", None) == getattr(error, "phase", None)
    assert twin.__dict__.get("__notes__") == error.__dict__.get("__notes__")
    assert str(twin.__cause__) == str(error.__cause__)
    assert list(map(repr, causes(twin))) == list(map(repr, causes(error)))
    assert [cause.__dict__ for cause in causes(twin)] == [cause.__dict__ for cause in causes(error)]
    failures = [attempt.error for attempt in twin.attempts if attempt.error is not None]
    assert all(failure in causes(twin) for failure in failures)


def fall(failure: OSError) -> OSError:
    """Give a failure a traceback, whose frame knows the failure: a cycle."""
    try:
        raise failure
    except OSError as error:
        caught = error
    return caught


@pytest.mark.parametrize(
    "make",
    [
        lambda failure: all_failed("example.org", 443, attempts(failure)),
        lambda failure: all_failed("example.org", 443, [], [failure]),
        lambda failure: no_address("example.org", 443, [failure]),
        lambda failure: gave_up("example.org", 443, 1, attempts(failure), [failure]),
    ],
)
def test_an_error_keeps_nothing_alive(make: Callable[[OSError], ConnectError]) -> None:
    """Without the garbage collector all is gone with the last reference, for failures shed their tracebacks."""
    assert not gc.isenabled()
    failure = fall(os_error(errno.ECONNREFUSED, V4))
    error = make(failure)
    seen = weakref.ref(error)

    assert failure.__traceback__ is None
    before = sys.getrefcount(failure)
    del error

    assert seen() is None
    assert sys.getrefcount(failure) < before


def cancelled() -> BaseException:
    """Get a cancellation, which Trio alone can make."""
    caught: list[BaseException] = []

    async def main() -> None:
        with trio.CancelScope() as scope:
            scope.cancel()
            try:
                await trio.sleep_forever()
            except trio.Cancelled as error:
                caught.append(error)
                raise

    trio.run(main)
    return caught[0]


@pytest.mark.parametrize(
    ("others", "kinds", "are_left_out"),
    [
        ([OSError("gone")], (), True),
        ([OSError("gone"), ExceptionGroup("", [EOFError(), trio.TooSlowError()])], (), True),
        ([LookupError("theirs"), OSError("gone")], (LookupError,), True),
        ([LookupError("a bug"), OSError("gone")], (), False),
        ([OSError("gone"), KeyboardInterrupt()], (), False),
        ([], (), True),
    ],
)
def test_what_fails_beside_a_cancellation_is_left_out(
    others: list[BaseException], kinds: tuple[type[Exception], ...], are_left_out: bool
) -> None:
    """If it is nothing but failures; a bug or an interrupt is never lost."""
    cancellation = cancelled()
    group = BaseExceptionGroup("tasks", [cancellation, *others])
    left = without_failures(group, kinds)
    if are_left_out:
        assert left.exceptions == (cancellation,)
    else:
        assert left is group


@pytest.mark.parametrize("others", [[OSError("gone"), KeyboardInterrupt()], [OSError("gone")]])
def test_where_nothing_is_cancelled_nothing_is_left_out(others: list[BaseException]) -> None:
    group = BaseExceptionGroup("tasks", others)
    assert without_failures(group) is group


def test_an_attempt_that_is_under_way_is_told_among_those_that_have_failed() -> None:
    """A caller may make such an error, and it says what is known."""
    under_way = Attempt(number=1, address=V4, phase=Phase.HANDSHAKE, started=0.0, ended=2.0, error=None)
    text = "all attempts to connect to example.org:443 failed: 192.0.2.1 no answer for 2000 ms"
    assert str(all_failed("example.org", 443, [under_way])) == text


def test_a_look_up_has_failed_if_all_of_it_has() -> None:
    aaaa, a = OSError("no AAAA"), OSError("no A")
    assert look_up_failures(aaaa) == [aaaa]
    assert look_up_failures(ExceptionGroup("", [aaaa, ExceptionGroup("", [a])])) == [aaaa, a]
    assert look_up_failures(ExceptionGroup("", [aaaa, ValueError("a bug")])) == []
