"""Which failures may pass by themselves, and how a program tries again."""

from __future__ import annotations

import errno
import os
import pickle
import socket
import ssl
import sys
from collections.abc import Sequence
from dataclasses import replace

import pytest
import trio

import trio_nbconnect as nb
from trio_nbconnect._address import IPV4, IPV6
from trio_nbconnect._errors import all_failed, gave_up, no_address, os_error, services_unknown, timed_out
from trio_nbconnect.testing import SimulatedNetwork

if sys.version_info < (3, 11):
    from exceptiongroup import ExceptionGroup

stamina = pytest.importorskip("stamina")

ADDRESS = nb.Address(IPV4, "192.0.2.1", 443)
NO_SCOPE, SCOPED = nb.Address(IPV6, "fe80::1", 443), nb.Address(IPV6, "fe80::1", 443, scope_id=1)
REFUSED = os_error(errno.ECONNREFUSED, ADDRESS)
UNREACHABLE = os_error(errno.ENETUNREACH, ADDRESS)
FORBIDDEN = os_error(errno.EACCES, ADDRESS)  # a prohibit route
BLACKHOLE = os_error(errno.EINVAL, ADDRESS)
RULED_OUT = os_error(errno.EAFNOSUPPORT, ADDRESS)
LATE = timed_out(str(ADDRESS))
UNTRUSTED = ssl.SSLCertVerificationError(1, "certificate has expired")
OBJECTED = ssl.SSLError(1, "tlsv1 alert protocol version")
BROKEN_OFF = ssl.SSLEOFError(8, "EOF occurred in violation of protocol")
UNKNOWN = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
AGAIN = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")


def failed(*failures: OSError, address: nb.Address = ADDRESS) -> nb.ConnectError:
    """Make the error of a race whose attempts met these."""
    return all_failed("example.org", 443, attempts(failures, address))


def attempts(failures: Sequence[OSError | None], address: nb.Address = ADDRESS) -> list[nb.Attempt]:
    """Make attempts that met these."""
    return [
        nb.Attempt(number=number, address=address, phase=nb.Phase.HANDSHAKE, started=0, ended=1, error=failure)
        for number, failure in enumerate(failures, start=1)
    ]


@pytest.mark.parametrize(
    ("error", "may_pass"),
    [
        (failed(REFUSED, REFUSED), True),
        (failed(UNREACHABLE), True),
        (failed(LATE, UNREACHABLE), True),
        (failed(os_error(errno.ENODEV, "option interface='tun0'")), True),
        (failed(FORBIDDEN), True),
        (failed(BLACKHOLE), True),
        (failed(BLACKHOLE, UNTRUSTED), False),
        (failed(FORBIDDEN, address=nb.Address(socket.AF_UNIX, "/run/x.sock", 0)), False),
        (failed(os_error(errno.EINVAL, NO_SCOPE), address=NO_SCOPE), False),
        (failed(os_error(errno.EINVAL, SCOPED), address=SCOPED), True),
        (gave_up("example.org", 443, 1, attempts([FORBIDDEN])), True),
        (failed(RULED_OUT), False),
        (failed(RULED_OUT, REFUSED), True),
        (FORBIDDEN, False),
        (BLACKHOLE, False),
        (failed(UNTRUSTED), False),
        (failed(UNREACHABLE, UNTRUSTED), False),
        (failed(REFUSED, OBJECTED), False),
        (failed(BROKEN_OFF), True),
        (failed(BROKEN_OFF, UNTRUSTED), False),
        (failed(OSError("the proxy said no")), False),
        (gave_up("example.org", 443, 1, []), True),
        (gave_up("example.org", 443, 1, attempts([None, REFUSED])), True),
        (gave_up("example.org", 443, 1, attempts([None, UNTRUSTED])), False),
        (no_address("example.org", 443, [AGAIN, UNKNOWN]), True),
        (no_address("example.org", 443, [UNKNOWN]), False),
        (no_address("example.org", 443, []), False),
        (no_address("example.org", 443, [LATE]), True),
        (services_unknown("example.org", 443, [], AGAIN), True),
        (nb.ConnectRefused("refused", host="h", port=1, errno=errno.ECONNREFUSED), True),
        (nb.ConnectError("no", host="h", port=1), False),
        (REFUSED, True),
        (FileNotFoundError(errno.ENOENT, "no such socket"), False),
        (TimeoutError(), True),
        (trio.TooSlowError(), True),
        (trio.BrokenResourceError(), False),
        (ValueError("port must be int"), False),
        (UNTRUSTED, False),
        (KeyboardInterrupt(), False),
    ],
)
def test_what_may_pass_is_told_from_what_will_not(error: BaseException, may_pass: bool) -> None:
    assert nb.is_retryable(error) is may_pass


def test_what_may_pass_is_the_same_when_somebody_raises_it_again() -> None:
    """`raise ... from` takes the cause's place; a pickle keeps that."""
    for other in (None, ValueError("mine"), ExceptionGroup("theirs", [OSError()])):
        for error, may_pass in (failed(REFUSED, LATE), True), (failed(REFUSED, UNTRUSTED), False):
            error.__cause__ = other
            assert nb.is_retryable(error) is may_pass
            assert nb.is_retryable(pickle.loads(pickle.dumps(error))) is may_pass


@pytest.mark.parametrize("number", [errno.EACCES, errno.EINVAL])
def test_what_was_said_on_a_connection_is_no_route(number: int) -> None:
    """A proxy that does not accept a password will not do so later, and would lock the account."""
    of_a_proxy = OSError(number, f"{os.strerror(number)}: example.org:443 (the proxy answered 407)")
    of_establish = OSError(number, os.strerror(number))
    for says_no in (of_a_proxy, of_establish):
        (attempt,) = attempts([says_no])
        assert not nb.is_retryable(all_failed("proxy.example", 3128, [replace(attempt, connected=0.5)]))
    assert not nb.is_retryable(failed(OSError(number, f"{os.strerror(number)}: option mark=7 for {ADDRESS}")))


@pytest.mark.virtual_time
async def test_a_service_that_restarts_is_tried_again() -> None:
    """After 0.1 and 0.2 seconds, without jitter; each try is a race of its own."""
    net = SimulatedNetwork()
    net.answers("example.org", a=["192.0.2.1"])
    host = net.host("192.0.2.1").refuses(after=0.05)
    tries: list[float] = []

    async for attempt in stamina.retry_context(on=nb.is_retryable, attempts=5, wait_jitter=0):
        with attempt:
            tries.append(trio.current_time())
            if len(tries) == 3:
                host.accepts(after=0.05)
            stream = await nb.Connector(network=net).open_tcp_stream("example.org", 443)

    await stream.aclose()
    assert tries == [0, pytest.approx(0.15), pytest.approx(0.4)]


@pytest.mark.virtual_time
async def test_a_certificate_that_is_not_good_is_not_tried_again() -> None:
    net = SimulatedNetwork()
    net.host("192.0.2.1").accepts()
    tries: list[float] = []

    async def distrust(stream: trio.SocketStream) -> None:
        raise UNTRUSTED

    @stamina.retry(on=nb.is_retryable, attempts=5, wait_jitter=0)  # type: ignore[untyped-decorator,unused-ignore]
    async def connect() -> None:
        tries.append(trio.current_time())
        await nb.Connector(network=net).connect("192.0.2.1", 443, distrust)

    with pytest.raises(nb.TLSError):
        await connect()

    assert len(tries) == 1
    assert net.open_sockets == 0
