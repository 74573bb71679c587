"""The command `nbconnect`: connect to a host and show the race.

It prints one picture on standard output, or the events with `--json`, `--qlog` or `--chrome-trace`, and errors on
standard error, so that the picture can be piped. A race that was lost or interrupted shows its picture, too; that is
when it is needed. The picture is printed once the race is over; one that is redrawn while it runs (`--watch`) needs a
terminal, and rich. Several connects (`-n`) end with a summary.

Nothing of the outside ends in a traceback: a standard output that is closed, full or a pipe without a reader, wrong
arguments, an interrupt. A traceback is a bug of ours.
"""

from __future__ import annotations

import argparse
import io
import math
import os
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from types import MappingProxyType
from typing import Any

import trio

from .._address import Address, LocalAddress, parse_literal
from .._connector import Connector
from .._errors import ConnectError, failures_of
from .._pictures.check import HostCheck, check
from .._pictures.export import chrome_trace, qlog
from .._pictures.labels import address_text, connection_rows, failure_lines
from .._pictures.recording import RecordedRace, Recording, record
from .._pictures.text import encodable, render_text
from .._pictures.watch import TerminalOutput, columns, has_color, watch_on
from .._policy import Policy
from .._printable import printable
from .._resolve.system import Resolver
from .arguments import Destination, Parser, destination, parser, protocols, tls_context
from .demo import open_demo_network

CONNECTED, FAILED = 0, 1
INTERRUPTED, CLOSED_PIPE = 130, 141
"""What shells report for a command that was ended by SIGINT, or by SIGPIPE: 128 and the signal's number."""


ProxyFrom = Callable[[str, Connector, "Sequence[str] | None"], Any]
"""Makes a proxy from its URL, the connector that reaches it, and its addresses if they are given."""


def main(arguments: Sequence[str] | None = None, *, proxy_from: ProxyFrom | None = None) -> int:
    """Run the command and return its exit code; wrong usage ends in `SystemExit(2)`, as argparse has it."""
    if sys.stdout is None:  # closed by our parent
        _complain("standard output is closed")
        return FAILED
    line = parser()
    options = line.parse_args(arguments)
    _replace_what_cannot_be_encoded()
    try:
        code = _Command(line, options, proxy_from).run()
        sys.stdout.flush()
    except BrokenPipeError:
        _discard_output()
        return CLOSED_PIPE
    except KeyboardInterrupt:
        return INTERRUPTED
    except OSError as error:  # those of connecting are all handled below
        _discard_output()
        _complain(f"cannot write: {error}")
        return FAILED
    return code


class _Command:
    """One call of the command."""

    def __init__(self, line: Parser, options: argparse.Namespace, proxy_from: ProxyFrom | None) -> None:
        self._line, self._options, self._proxy_from = line, options, proxy_from
        self._remarks: Mapping[Address, str] = MappingProxyType({})
        self._errors: list[ConnectError] = []

    def run(self) -> int:
        """Read what to connect to, and do it."""
        options = self._options
        is_check = options.target == "check" and options.port is not None and not options.port.isdecimal()
        if is_check:
            options.target, options.port, options.rest = options.port, options.rest, None
        elif options.rest is not None:
            self._line.error(f"unrecognized arguments: {options.rest}")
        try:
            target = destination(options.target, options.port)
        except ValueError as misuse:
            self._line.error(str(misuse))
        if target is None and is_check:
            target = Destination(host=options.target, port=443)
        if target is None:
            return self._demo()
        options.tls = options.tls or target.tls or (is_check and target.port == 443)
        if not options.tls and (options.cacert or options.insecure or options.servername or options.alpn):
            self._line.error("--cacert, --insecure, --servername and --alpn need --tls, or an https URL")
        if options.insecure:
            _complain("WARNING: --insecure: the certificate is not verified; anybody may be at the other end")
        return self._check(target) if is_check else self._connect_and_show(target)

    def _check(self, target: Destination) -> int:
        """Connect to each address by itself, and show how that went."""
        options = self._options
        if options.proxy or options.count > 1 or options.watch or options.explain or options.verbose:
            self._line.error("check goes to each address once: no --proxy, -n, --watch, --explain or -v")
        try:
            found = trio.run(self._checked, target, restrict_keyboard_interrupt_to_checkpoints=True)
        except ConnectError as error:
            _complain(str(error))
            return FAILED
        except ImportError as missing:
            self._line.error(str(missing))
        except (TypeError, ValueError) as misuse:
            self._line.error(str(misuse))
        if options.svg:
            _print_svg(found.svg())
        elif not self._print_events([row.race for row in found.addresses]):
            self._print_text(found.text(width=self._width, color=self._color))
        return CONNECTED if found.is_good else FAILED

    async def _checked(self, target: Destination) -> HostCheck:
        options = self._options
        context = tls_context(options) if options.tls else None
        return await check(
            target.host,
            target.port,
            tls=options.tls,
            ssl_context=context,
            server_hostname=options.servername,
            alpn_protocols=protocols(options.alpn) if context is None else None,
            addresses=options.address,
            connector=self._connector(),
            give_up_after=10.0 if options.give_up_after == math.inf else options.give_up_after,
        )

    def _demo(self) -> int:
        """Connect to this machine, and explain the picture row by row."""
        options = self._options
        if options.target != "demo":
            self._line.error("the following arguments are required: PORT")
        if options.tls or options.address or (len(options.families) == 1 and options.families[0].name == "AF_INET6"):
            self._line.error("demo has addresses of its own, most of them IPv4, and no TLS")
        with ExitStack() as stack:
            try:
                network = stack.enter_context(open_demo_network())
            except OSError as error:
                _complain(f"the demo needs the address 127.0.0.1: {error}")
                return FAILED
            self._remarks, options.address = network.hosts, list(network.hosts)
            return self._connect_and_show(Destination(host="demo", port=network.port))

    def _connect_and_show(self, target: Destination) -> int:
        """Run the races, print their picture or their events, and report errors."""
        code = CONNECTED
        with record(keep=math.inf) as recording:
            try:
                trio.run(self._connect, target, restrict_keyboard_interrupt_to_checkpoints=True)
            except KeyboardInterrupt:
                code = INTERRUPTED
            except ImportError as missing:
                self._line.error(str(missing))
            except (TypeError, ValueError) as misuse:
                if recording:  # the race had started: this is a bug, not a wrong argument
                    raise
                self._line.error(str(misuse))
        self._print(recording)
        self._report(recording)
        return code or (FAILED if self._errors else CONNECTED)

    async def _connect(self, target: Destination) -> None:
        """Connect as often as asked for."""
        open_stream = self._opened(target)
        for _ in range(self._options.count):
            try:
                if self._is_watched:
                    with TerminalOutput(width=self._options.width, color=self._color) as screen:
                        stream = await watch_on(screen, open_stream)
                else:
                    stream = await open_stream()
            except ConnectError as error:
                self._errors.append(error)
            else:
                await trio.aclose_forcefully(stream)

    def _opened(self, target: Destination) -> partial[Any]:
        """The call that connects."""
        options, connector = self._options, self._connector()
        keywords: dict[str, Any] = {"give_up_after": options.give_up_after}
        opener: Any = connector
        if options.proxy is None:
            keywords["addresses"] = options.address
        elif self._proxy_from is None:
            raise ValueError("this program has no proxies")
        else:
            opener = self._proxy_from(options.proxy, connector, options.address)
        if not options.tls:
            return partial(opener.open_tcp_stream, target.host, target.port, **keywords)
        context = tls_context(options)
        keywords |= {
            "ssl_context": context,
            "server_hostname": options.servername,
            "alpn_protocols": protocols(options.alpn) if context is None else None,
        }
        return partial(opener.open_tls_stream, target.host, target.port, **keywords)

    def _connector(self) -> Connector:
        """Return the connector that the options describe."""
        options = self._options
        return Connector(
            policy=Policy(
                attempt_delay=options.attempt_delay,
                resolution_delay=options.resolution_delay,
                families=options.families,
            ),
            local_address=_by_family(options.local_address),
            resolver=self._resolver(),
        )

    def _resolver(self) -> Resolver | None:
        """The resolver that asks name servers, if requested; it needs an extra and is imported only then."""
        if not (self._options.dns or self._options.server):
            return None
        from .._dns.resolver import DNSResolver  # noqa: PLC0415 - it needs an extra

        return DNSResolver(servers=self._options.server or ())

    @property
    def _color(self) -> bool:
        return has_color() if self._options.color == "auto" else bool(self._options.color == "always")

    @property
    def _is_watched(self) -> bool:
        """Whether the picture is drawn while the race runs; a file or a pipe gets the last one only."""
        return bool(self._options.watch) and sys.stdout.isatty()

    def _print(self, recording: Recording) -> None:
        """Print the races in the requested form."""
        options = self._options
        if not recording or self._print_events(recording):
            return
        if options.svg:
            _print_svg(recording[0].svg() if options.count == 1 else recording.summary().svg())
        elif options.count > 1:
            self._print_text(recording.summary().text(width=self._width, color=self._color))
        else:
            for race in recording:
                self._print_picture(race)

    def _print_events(self, races: Sequence[RecordedRace]) -> bool:
        """Print events, if they are requested."""
        options, events = self._options, [race.events for race in races]
        if options.json:
            print("".join(race.json_lines() for race in races), end="")
        elif options.qlog:
            print(qlog(events), end="")
        elif options.chrome_trace:
            print(chrome_trace(events), end="")
        return bool(options.json or options.qlog or options.chrome_trace)

    @property
    def _width(self) -> int:
        return int(self._options.width or columns())

    def _print_text(self, text: str) -> None:
        print(encodable(text, sys.stdout.encoding or "ascii"))

    def _print_picture(self, race: RecordedRace) -> None:
        """Print the picture, unless it has been drawn already, and what else was asked for."""
        timeline = race.timeline
        if not self._is_watched:
            self._print_text(render_text(timeline, width=self._width, color=self._color))
        shown = {attempt.address for attempt in timeline.attempts} | {row.address for row in timeline.untried}
        remarks = [
            (address_text(address, timeline), self._remarks[address]) for address in self._remarks if address in shown
        ]
        width = max((len(name) for name, _ in remarks), default=0)
        for number, (name, remark) in enumerate(remarks):
            print("" if number else "\n", f"{name:{width}}  {remark}", sep="")
        if self._options.explain:
            self._print_text("\n" + race.explain().text(width=self._width, color=self._color))
        if self._options.verbose:
            self._print_text("\n".join(["", *(f"{name:17}  {words}" for name, words in connection_rows(timeline))]))

    def _report(self, recording: Recording) -> None:
        """Print the errors: of one with the failure of each attempt, of several how often each came."""
        sys.stdout.flush()
        if self._options.count > 1:
            for message, count in Counter(map(str, self._errors)).most_common():
                _complain(f"{count} times: {message}")
            return
        for error in self._errors:
            _complain(str(error))
            lines = [line for race in recording for line in failure_lines(race.timeline)]
            for line in lines or dict.fromkeys(map(str, failures_of(error))):
                _complain(line, prefix="  ")


def _print_svg(svg: str) -> None:
    """Print it in ASCII, since a browser does not know the encoding of standard output."""
    print(svg.encode("ascii", "xmlcharrefreplace").decode(), end="")


def _by_family(addresses: Sequence[str] | None) -> LocalAddress | None:
    """Sort local addresses by family.

    Raises:
        ValueError: One is no numeric address, or a family has two.
    """
    if addresses is None or len(addresses) == 1:
        return None if addresses is None else addresses[0]
    local = {}
    for text in addresses:
        literal = parse_literal(text, 0)
        if literal is None:
            raise ValueError(f"--local-address must be numeric, not {text!r}")
        if literal.family in local:
            raise ValueError(f"--local-address must be one for each family, not {addresses!r}")
        local[literal.family] = text
    return local


def _complain(message: str, prefix: str = "nbconnect: ") -> None:
    """Print a line on standard error, if there is one."""
    if sys.stderr is not None:
        print(f"{prefix}{printable(message)}", file=sys.stderr)


def _replace_what_cannot_be_encoded() -> None:
    """Print a question mark for what the terminal cannot show, instead of failing."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")


def _discard_output() -> None:
    """Nobody reads on, or there is no space: discard what is still to be flushed at exit."""
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
