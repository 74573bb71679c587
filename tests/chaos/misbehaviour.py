"""Misbehaviour: tracers, `establish`, resolvers, factories and hooks that do what they should not.

Each case says what may come out: a connection, an error of ours, or what the culprit raised, as it is.
"""

from __future__ import annotations

import errno
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import trio

import trio_nbconnect as nb

from .findings import Report, is_cancelled
from .leftovers import leftovers
from .operations import DROPS, FAST, GOOD, REFUSES, Operation, close, connector
from .place import HOST, Place

if sys.version_info < (3, 11):
    from exceptiongroup import BaseExceptionGroup, ExceptionGroup


class Bug(Exception):
    """What a culprit raises."""


class Blow(BaseException):
    """The same, and not to be caught by `except Exception`."""


RAISED: dict[str, Callable[[], BaseException]] = {
    "Bug": lambda: Bug("a bug"),
    "Blow": lambda: Blow("a blow"),
    "OSError": lambda: OSError(errno.EIO, "input/output"),
    "an OSError without a number": lambda: OSError("only words"),
    "BrokenResourceError": lambda: trio.BrokenResourceError("broken"),
    "KeyboardInterrupt": KeyboardInterrupt,
    "a group of failures": lambda: ExceptionGroup("both", [OSError(errno.EIO, "one"), OSError(errno.EPIPE, "two")]),
    "a group of a failure and a bug": lambda: ExceptionGroup("both", [OSError(errno.EIO, "one"), Bug("a bug")]),
    "a group with a blow": lambda: BaseExceptionGroup("both", [Blow("a blow")]),
    "StopIteration": StopIteration,
    "StopAsyncIteration": StopAsyncIteration,
    "MemoryError": MemoryError,
    "TooSlowError": lambda: trio.TooSlowError("slow"),
}
"""What a culprit may raise."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """Somebody misbehaves; `allowed` is what may come out besides a connection and an error of ours."""

    name: str
    run: Callable[[Place], Awaitable[Any]]
    allowed: tuple[type[BaseException], ...] = ()


def tracer_cases(operation: Operation) -> Iterator[Case]:
    """A tracer that raises at its k-th event: an `Exception` does no harm, a blow comes out."""
    for name, make in RAISED.items():
        for number in range(1, 12):

            def tracer(
                event: nb.trace.Event, number: int = number, make: Any = make, seen: list[Any] | None = None
            ) -> None:
                assert seen is not None
                seen.append(event)
                if len(seen) == number:
                    raise make()

            async def run(place: Place, tracer: Any = tracer) -> Any:
                seen: list[Any] = []
                return await operation.open(place, connector(tracer=lambda event: tracer(event, seen=seen)))

            raised = make()
            allowed = () if isinstance(raised, Exception) else (type(raised), Blow)
            yield Case(name=f"tracer raises {name} at event {number}", run=run, allowed=allowed)

    async def cancelled_tracer(place: Place) -> Any:
        with trio.CancelScope() as scope:
            return await operation.open(place, connector(tracer=lambda _: scope.cancel()))
        return None

    yield Case(name="tracer cancels the caller", run=cancelled_tracer)


def establish_cases() -> Iterator[Case]:
    """An `establish` that raises, closes, returns nonsense, or uses a nursery of its own."""
    for name, make in RAISED.items():

        async def raises(stream: trio.SocketStream, make: Any = make) -> Any:
            await trio.lowlevel.checkpoint()
            raise make()

        async def raises_in_a_nursery(stream: trio.SocketStream, make: Any = make) -> Any:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.sleep_forever)
                await trio.lowlevel.checkpoint()
                raise make()

        raised = make()
        groups = (BaseExceptionGroup,) if isinstance(raised, BaseExceptionGroup) else ()
        allowed = (type(raised), Bug, Blow, RuntimeError, *groups)
        for how, establish in (("", raises), (" in a nursery", raises_in_a_nursery)):
            nested = (*allowed, BaseExceptionGroup) if how else allowed  # what a nursery of theirs makes is theirs
            yield Case(name=f"establish raises {name}{how}", run=_with_establish(establish), allowed=nested)

    async def closes(stream: trio.SocketStream) -> None:
        await stream.aclose()

    async def cancels_itself(stream: trio.SocketStream) -> None:
        with trio.CancelScope() as scope:
            scope.cancel()
            await trio.lowlevel.checkpoint()

    async def never(stream: trio.SocketStream) -> None:
        await trio.sleep_forever()

    async def keeps(stream: trio.SocketStream) -> trio.SocketStream:
        await trio.lowlevel.checkpoint()
        return stream

    async def returns_at_once(stream: trio.SocketStream) -> trio.SocketStream:
        return stream

    yield Case(name="establish closes the stream", run=_with_establish(closes, close_result=False))
    yield Case(name="establish cancels itself", run=_with_establish(cancels_itself, close_result=False))
    yield Case(name="establish never returns", run=_with_establish(never))
    yield Case(name="establish keeps the stream", run=_with_establish(keeps))
    yield Case(name="establish is no checkpoint", run=_with_establish(returns_at_once))


def _with_establish(establish: Any, *, close_result: bool = True) -> Callable[[Place], Awaitable[Any]]:
    async def run(place: Place) -> Any:
        streams: list[trio.SocketStream] = []

        async def noting(stream: trio.SocketStream) -> Any:
            streams.append(stream)
            return await establish(stream)

        result = await connector().connect(
            HOST, place.port, noting, addresses=[REFUSES, DROPS, GOOD], give_up_after=0.1
        )
        if result is None:  # whose stream it is, then, is the caller's business
            for stream in streams:
                stream.socket.close()
        return result if close_result else None

    return run


def resolver_cases() -> Iterator[Case]:
    """A resolver that raises."""
    for name, make in RAISED.items():
        for when in ("at once", "after an answer", "in a nursery"):

            async def raises(query: nb.Query, send_answer: Any, make: Any = make, when: str = when) -> None:
                send_answer(nb.QuerySent(nb.Source.A))
                if when == "after an answer":
                    send_answer(nb.Answer(nb.Source.A, (nb.Address(socket.AF_INET, DROPS, query.port),)))
                await trio.lowlevel.checkpoint()
                if when == "in a nursery":
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(trio.sleep_forever)
                        await trio.lowlevel.checkpoint()
                        raise make()
                raise make()

            raised = make()
            allowed = (type(raised), Bug, Blow, RuntimeError)
            nested = (*allowed, BaseExceptionGroup) if isinstance(raised, BaseExceptionGroup) else allowed
            yield Case(name=f"resolver raises {name} {when}", run=_resolved(raises), allowed=nested)


def nonsense_cases() -> Iterator[Case]:
    """A resolver that says nothing, too much, or nonsense."""
    good = nb.Answer(nb.Source.A, (nb.Address(socket.AF_INET, GOOD, 1),))
    nonsense: dict[str, Any] = {
        "None": None,
        "a string": "192.0.2.1",
        "a list": [GOOD],
        "an address for an answer": nb.Address(socket.AF_INET, GOOD, 1),
        "a name for an address": nb.Answer(nb.Source.A, (nb.Address(socket.AF_INET, "name.example", 1),)),
        "a wrong family": nb.Answer(nb.Source.A, (nb.Address(socket.AF_INET6, GOOD, 1),)),
        "a wrong source": nb.Answer(nb.Source.AAAA, good.addresses),
        "a port too large": nb.Answer(nb.Source.A, (nb.Address(socket.AF_INET, GOOD, 99999),)),
        "strings for addresses": nb.Answer(nb.Source.A, (GOOD,)),  # type: ignore[arg-type]  # that is the point
        "an error that is none": nb.Answer(nb.Source.A, error="no"),  # type: ignore[arg-type]  # that is the point
    }
    for name, said in nonsense.items():

        async def says(query: nb.Query, send_answer: Any, said: Any = said) -> None:
            send_answer(said)

        allowed = (TypeError, ValueError, AttributeError, OverflowError)
        yield Case(name=f"resolver says {name}", run=_resolved(says), allowed=allowed)

    async def silent(query: nb.Query, send_answer: Any) -> None:
        """Say nothing and return."""

    async def hangs(query: nb.Query, send_answer: Any) -> None:
        await trio.sleep_forever()

    async def twice(query: nb.Query, send_answer: Any) -> None:
        for _ in range(3):
            send_answer(nb.Answer(nb.Source.A, (nb.Address(socket.AF_INET, REFUSES, query.port),)))
            await trio.lowlevel.checkpoint()

    async def much(query: nb.Query, send_answer: Any) -> None:
        many = tuple(nb.Address(socket.AF_INET, f"127.3.{n // 250}.{n % 250 + 1}", query.port) for n in range(1000))
        send_answer(nb.Answer(nb.Source.A, many))

    for resolve in (silent, hangs, twice, much):
        yield Case(name=f"resolver: {resolve.__name__}", run=_resolved(resolve))


class _Doing:
    """A resolver that does this."""

    def __init__(self, do: Callable[[nb.Query, Any], Awaitable[None]]) -> None:
        self.resolve = do


def _resolved(do: Callable[[nb.Query, Any], Awaitable[None]]) -> Callable[[Place], Awaitable[Any]]:
    resolver = _Doing(do)

    async def run(place: Place) -> Any:
        return await connector(resolver=resolver).open_tcp_stream(HOST, place.port, give_up_after=0.1)

    return run


def hook_cases() -> Iterator[Case]:
    """Trio's own hooks: a resolver and a socket factory that misbehave."""
    entries: dict[str, Any] = {
        "nothing": [],
        "None": None,
        "a name": [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("name.example", 1))],
        "a short tuple": [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ())],
        "an unknown family": [(99, socket.SOCK_STREAM, 6, "", (GOOD, 1))],
    }
    for name, said in entries.items():

        class Resolver(trio.abc.HostnameResolver):
            def __init__(self, said: Any) -> None:
                self.said = said

            async def getaddrinfo(self, *arguments: Any) -> Any:
                return self.said

            async def getnameinfo(self, *arguments: Any) -> Any:
                raise NotImplementedError

        async def ask(place: Place, said: Any = said) -> Any:
            previous = trio.socket.set_custom_hostname_resolver(Resolver(said))
            try:
                return await nb.Connector().open_tcp_stream(HOST, place.port, give_up_after=0.1)
            finally:
                trio.socket.set_custom_hostname_resolver(previous)

        yield Case(name=f"hook says {name}", run=ask, allowed=(TypeError, ValueError, IndexError))
    for name, make in RAISED.items():

        class Factory(trio.abc.SocketFactory):
            def __init__(self, make: Any) -> None:
                self.make = make

            def socket(self, *arguments: Any) -> Any:
                raise self.make()

        async def build(place: Place, make: Any = make) -> Any:
            previous = trio.socket.set_custom_socket_factory(Factory(make))
            try:
                return await nb.Connector().open_tcp_stream(GOOD, place.port, give_up_after=0.1)
            finally:
                trio.socket.set_custom_socket_factory(previous)

        raised = make()
        groups = (BaseExceptionGroup,) if isinstance(raised, BaseExceptionGroup) else ()
        yield Case(name=f"factory raises {name}", run=build, allowed=(type(raised), Bug, Blow, RuntimeError, *groups))


def configure_cases() -> Iterator[Case]:
    """`SocketOptions.configure` that raises, closes, connects or hides the socket."""

    def raises(make: Any) -> Callable[[Any, Any], None]:
        def configure(sock: Any, address: Any) -> None:
            raise make()

        return configure

    def closes(sock: Any, address: Any) -> None:
        sock.close()

    def blocks(sock: Any, address: Any) -> None:
        sock.setblocking(True)

    def detaches(sock: Any, address: Any) -> None:
        socket.close(sock.detach())

    for name, make in RAISED.items():
        raised = make()
        groups = (BaseExceptionGroup,) if isinstance(raised, BaseExceptionGroup) else ()
        allowed = (type(raised), Bug, Blow, RuntimeError, *groups)
        yield Case(name=f"configure raises {name}", run=_configured(raises(make)), allowed=allowed)
    for configure in (closes, blocks, detaches):
        yield Case(
            name=f"configure: {configure.__name__}",
            run=_configured(configure),
            allowed=(ValueError, trio.ClosedResourceError),
        )


def _configured(configure: Any) -> Callable[[Place], Awaitable[Any]]:
    async def run(place: Place) -> Any:
        made = connector(options=nb.SocketOptions(configure=configure))
        return await made.open_tcp_stream(HOST, place.port, addresses=[REFUSES, GOOD], give_up_after=0.1)

    return run


def race_cases() -> Iterator[Case]:
    """A dial of `nb.race`, the iterable that brings it, or `close`, that raises."""
    for name, make in RAISED.items():

        async def raises(make: Any = make) -> Any:
            await trio.lowlevel.checkpoint()
            raise make()

        async def dial(place: Place, make: Any = make, raises: Any = raises) -> Any:
            return await nb.race([nb.Dial("bad", raises), _good(place)], policy=FAST)

        async def iterable(place: Place, raises: Any = raises) -> Any:
            async def arriving() -> AsyncIterator[nb.Dial[trio.SocketStream]]:
                yield _good(place)
                await raises()

            return await nb.race(arriving(), policy=FAST)

        async def closing(place: Place, raises: Any = raises) -> Any:
            async def close_badly(stream: trio.SocketStream) -> None:
                stream.socket.close()
                await raises()

            return await nb.race([_late(place), _good(place)], policy=FAST, close=close_badly)

        for culprit, run in (("a dial", dial), ("the iterable", iterable), ("close", closing)):
            raised = make()
            groups = (BaseExceptionGroup,) if isinstance(raised, BaseExceptionGroup) else ()
            allowed = (type(raised), Bug, Blow, RuntimeError, *groups)
            yield Case(name=f"{culprit} raises {name}", run=run, allowed=allowed)


def _good(place: Place) -> nb.Dial[trio.SocketStream]:
    return nb.Dial("good", partial(connector().open_tcp_stream, GOOD, place.port))


def _late(place: Place) -> nb.Dial[trio.SocketStream]:
    """A dial that does not let itself be cancelled, and comes second."""

    async def late() -> trio.SocketStream:
        opened = []
        with trio.CancelScope(shield=True):
            await trio.sleep(0.02)
            opened.append(await connector().open_tcp_stream(GOOD, place.port))
        return opened[0]

    return nb.Dial("late", late)


CASES: dict[str, Callable[[], Iterator[Case]]] = {
    "establish": establish_cases,
    "resolver": resolver_cases,
    "nonsense": nonsense_cases,
    "hook": hook_cases,
    "configure": configure_cases,
    "race": race_cases,
}


def misbehave(culprit: str, cases: Iterable[Case], place: Place) -> Report:
    """Run all cases of a culprit."""
    total = Report(f"{culprit} misbehaves")
    for case in cases:
        report = trio.run(_misbehave, case, place)
        total.outcomes += report.outcomes
        total.faults += [f"{case.name}: {fault}" for fault in report.faults]
    return total


async def _misbehave(case: Case, place: Place) -> Report:
    report = Report(case.name)
    with leftovers() as left:
        async with _deadline(report):
            try:
                close(await case.run(place))
            except BaseException as error:
                if is_cancelled(error):
                    raise
                report.outcomes[type(error).__name__] += 1
                if not isinstance(error, (OSError, *case.allowed)):
                    report.faults.append(f"{error!r}")
            else:
                report.outcomes["connected"] += 1
    report.faults += [f"{what} left" for what in left.found]
    return report


@asynccontextmanager
async def _deadline(report: Report) -> AsyncIterator[None]:
    with trio.move_on_after(5) as scope:
        yield
    if scope.cancelled_caught:
        report.faults.append("it does not end")
