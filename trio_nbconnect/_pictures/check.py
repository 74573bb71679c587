"""Check: every address of a host by itself, as a table and a picture.

A race stops at the first good address, so that a broken one beside it may go unnoticed for months. A check looks all of
them up and connects to each, at the same time and without regard to the others. Its picture is that of a race in which
every attempt begins at 0 and none is cancelled.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath

import trio

from .._address import Address, GivenAddress, Target
from .._connect.tls import ClientTLS
from .._connector import Connector
from .._errors import ConnectError, gave_up, no_address, silence_text, without_group
from .._policy import check_seconds
from .._printable import seconds_text
from .._race.journal import journal
from . import bundles
from .canvas import Line
from .labels import error_text, outcome_text
from .recording import RecordedRace, record
from .svg import WIDTH, render_svg
from .text import render_text
from .timeline import AttemptOutcome, AttemptRow, RaceOutcome, Timeline

_CONNECTOR = Connector()

_AT_ONCE = 16
"""How many addresses are connected to at the same time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedAddress:
    """One address of a host, and what became of connecting to it alone.

    Attributes:
        address: Where to.
        is_good: Whether all that was asked for was established.
        tcp: How many seconds the TCP handshake took; None if it was never complete.
        tls: How many seconds the TLS handshake took; None if it was not asked for, or never complete.
        error: Why it is not good, None if it is.
        race: The race with this one address, for its events and its connection.
    """

    address: Address
    is_good: bool
    tcp: float | None
    tls: float | None
    error: ConnectError | None
    race: RecordedRace


class HostCheck:
    """What `check` has found; a notebook shows a picture and a table, and `str()` of it is the same as text.

    Attributes:
        addresses: Each address, in the order in which a race would try them.
        is_good: Whether all of them are.
    """

    __slots__ = ("_host", "_port", "addresses")

    def __init__(self, host: str, port: int, addresses: Sequence[CheckedAddress]) -> None:
        self._host, self._port = host, port
        self.addresses: tuple[CheckedAddress, ...] = tuple(addresses)

    @property
    def is_good(self) -> bool:
        """Whether every address is good."""
        return all(row.is_good for row in self.addresses)

    @property
    def _timeline(self) -> Timeline:
        rows = [
            _row(number, row.race.timeline.attempts[0], is_good=row.is_good)
            for number, row in enumerate(self.addresses, start=1)
        ]
        good = sum(row.is_good for row in self.addresses)
        return Timeline(
            race=0,
            host=self._host,
            port=self._port,
            policy=None,
            began=0.0,
            duration=max(row.ended for row in rows),
            outcome=RaceOutcome.WON if self.is_good else RaceOutcome.LOST,
            error=None,
            lookups=(),
            attempts=tuple(rows),
            untried=(),
            summary=f"{good} of {len(rows)} addresses {'is' if good == 1 else 'are'} good",
        )

    def _table(self) -> bundles.Bundle:
        headings = ("address", "result", "TCP", "TLS", "protocol", "certificate until")
        return bundles.table(headings, [_cells(row) for row in self.addresses], "Each address by itself")

    def text(self, *, width: int = 80, color: bool = False) -> str:
        """Draw the picture and the table as text: several lines, no newline at the end.

        Args:
            width: How many columns there are; no line is wider. At least 50.
            color: Whether to write escape sequences for colour.

        Raises:
            ValueError: `width` is too small.
        """
        picture = render_text(self._timeline, width=width, color=color)
        lines = []
        for words in self._table()["text/plain"].splitlines():
            lines.append(line := Line(width))
            line.put(0, words)
        return "\n".join([picture, "", *(line.text(color=color) for line in lines[2:])])

    def svg(self, *, width: float = WIDTH) -> str:
        """Draw the picture as an SVG document, light or dark as its reader prefers.

        Args:
            width: CSS pixels, at least 320. Below 720, names are above the bars.

        Raises:
            ValueError: `width` is too small.
        """
        return render_svg(self._timeline, width=width)

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        return f"<HostCheck {outcome_text(self._timeline)}>"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        drawn = bundles.image(self.svg(), outcome_text(self._timeline))
        return bundles.bundle(f"{drawn}<br>\n{self._table()['text/html']}", self.text())


def _row(number: int, attempt: AttemptRow, *, is_good: bool) -> AttemptRow:
    """Let an attempt begin at 0."""
    return replace(
        attempt,
        number=number,
        known_since=0.0,
        started=0.0,
        connected=None if attempt.connected is None else attempt.connected - attempt.started,
        ended=attempt.ended - attempt.started,
        outcome=AttemptOutcome.GOOD if is_good else attempt.outcome,
        preceded_by=None,
    )


def _cells(row: CheckedAddress) -> list[str]:
    connection = row.race.connection
    until = connection.certificate_until if connection else None
    return [
        row.address.ip,
        "good" if row.is_good else _why(row.race.timeline.attempts[0]),
        "–" if row.tcp is None else seconds_text(row.tcp),
        "–" if row.tls is None else seconds_text(row.tls),
        " ".join(filter(None, [connection.tls_version, connection.alpn])) if connection else "",
        "" if until is None else time.strftime("%Y-%m-%d", time.gmtime(until)),
    ]


def _why(attempt: AttemptRow) -> str:
    """What an address failed with, in few words: the picture has them all."""
    words = attempt.outcome.value
    if attempt.outcome is AttemptOutcome.TIMED_OUT and attempt.has_second_phase:
        words = silence_text(attempt.phase)
    if attempt.outcome is AttemptOutcome.FAILED and attempt.error is not None:
        words = error_text(attempt.error)
    return f"after TCP: {words}" if attempt.has_second_phase else words


async def check(
    host: str | bytes,
    port: int = 443,
    *,
    tls: bool = True,
    ssl_context: ssl.SSLContext | None = None,
    server_hostname: str | bytes | None = None,
    alpn_protocols: Iterable[str] | None = None,
    addresses: Iterable[GivenAddress] | None = None,
    connector: Connector = _CONNECTOR,
    give_up_after: float = 10.0,
) -> HostCheck:
    """Connect to every address of a host, each by itself and all at the same time.

    A race stops at the first good address; this tells of those beside it.

    Args:
        host: See `Connector.connect`.
        port: The port.
        tls: Whether to do the TLS handshake, too.
        ssl_context: See `Connector.open_tls_stream`.
        server_hostname: See `Connector.open_tls_stream`.
        alpn_protocols: See `Connector.open_tls_stream`.
        addresses: What to check instead of looking the host up.
        connector: What connects.
        give_up_after: Seconds for the look-up, and then for each address.

    Returns:
        An object that displays itself, and has a row for each address.

    Raises:
        ConnectError: The host has no address, or none was found in time.
        TypeError: An argument is of the wrong type.
        ValueError: An argument makes no sense.

    Example:
        >>> import socket, trio, trio_nbconnect as nb
        >>> async def main():
        ...     with socket.create_server(("127.0.0.1", 0)) as listener:
        ...         found = await nb.check(*listener.getsockname(), tls=False)
        ...         print(found.is_good, [row.address.ip for row in found.addresses])
        >>> trio.run(main)
        True ['127.0.0.1']
    """
    target = Target.parse(host, port, addresses)
    if not check_seconds("give_up_after", give_up_after):
        raise ValueError(f"give_up_after must be more than 0, not {give_up_after!r}")
    if not isinstance(connector, Connector):
        raise TypeError(f"connector must be a Connector, not {connector!r}")
    if tls:  # its arguments are checked before anything is sent
        ClientTLS(host, server_hostname=server_hostname, context=ssl_context, alpn_protocols=alpn_protocols)
    known = await _addresses_of(target, connector, give_up_after)
    found: dict[Address, CheckedAddress] = {}
    limiter = trio.CapacityLimiter(_AT_ONCE)

    async def open_one(port: int, given: Sequence[GivenAddress]) -> trio.abc.Stream:
        if not tls:
            return await connector.open_tcp_stream(host, port, addresses=given, give_up_after=give_up_after)
        return await connector.open_tls_stream(
            host,
            port,
            ssl_context=ssl_context,
            server_hostname=server_hostname,
            alpn_protocols=alpn_protocols,
            addresses=given,
            give_up_after=give_up_after,
        )

    async def check_one(address: Address) -> None:
        given: GivenAddress = PurePath(address.host) if address.is_path else address.ip
        error: ConnectError | None = None
        async with limiter:
            with record(keep=1) as recording:
                try:
                    stream = await open_one(address.port, [given])
                except ConnectError as failure:
                    error = failure
                else:
                    await trio.aclose_forcefully(stream)
        found[address] = _checked(address, recording[0], error)

    with without_group():
        async with trio.open_nursery() as nursery:
            for address in known:
                nursery.start_soon(check_one, address)
    return HostCheck(target.host, target.port, [found[address] for address in known])


def _checked(address: Address, race: RecordedRace, error: ConnectError | None) -> CheckedAddress:
    attempt = race.timeline.attempts[0]
    tcp = None if attempt.connected is None else attempt.connected - attempt.started
    tls = attempt.ended - attempt.connected if attempt.connected is not None and attempt.has_second_phase else None
    return CheckedAddress(
        address=address,
        is_good=error is None,
        tcp=tcp,
        tls=tls if error is None else None,
        error=error,
        race=race,
    )


async def _addresses_of(target: Target, connector: Connector, give_up_after: float) -> list[Address]:
    """All addresses of a host, in the order of a race.

    Raises:
        ConnectError: There is none.
    """
    resolution = connector._resolution(target, journal(None), target.port == 443, None)
    with trio.move_on_after(give_up_after) as limit:
        await resolution.run_alone()
        if not resolution.is_over:
            await resolution.run()
    found = []
    while resolution.candidates.peek() is not None:
        found.append(resolution.candidates.pop())
    if not found and limit.cancelled_caught:
        raise gave_up(target.host, target.port, give_up_after, (), resolution.candidates.failures)
    if not found:
        raise no_address(target.host, target.port, resolution.candidates.failures or resolution.unusable)
    return found
