"""The command `nbconnect`: connect to a host and show the race.

It prints one picture on standard output, or the events with `--json` or `--qlog`, and errors on standard error, so that
the picture can be piped. A race that was lost or interrupted shows its picture, too; that is when it is needed. The
picture is printed once the race is over; one that is redrawn while it runs (`--watch`) needs a terminal, and rich.
"""

from __future__ import annotations

import argparse
import io
import math
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from types import MappingProxyType

import trio

from .._address import IPV4, IPV6
from .._connector import Connector
from .._errors import ConnectError
from .._pictures.export import json_lines
from .._pictures.recording import RecordedRace, record
from .._pictures.text import NARROWEST, encodable, render_text
from .._pictures.timeline import Timeline
from .._pictures.watch import TerminalOutput, columns, has_color, watch_on
from .._policy import Policy
from .._resolve.system import Resolver
from .demo import open_demo_network

CONNECTED, FAILED = 0, 1
INTERRUPTED, CLOSED_PIPE = 130, 141
"""What shells report for a command that was ended by SIGINT, or by SIGPIPE: 128 and the signal's number."""

_EPILOG = """\
`nbconnect demo` needs no network: it connects to addresses of this machine, some of which misbehave.

exit codes: 0 connected, 1 failed, 2 wrong usage, 130 interrupted
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code; wrong usage ends in `SystemExit(2)`, as argparse has it."""
    parser = _parser()
    options = parser.parse_args(arguments)
    _replace_what_cannot_be_encoded()
    try:
        code = _demo(parser, options) if _is_demo(parser, options) else _connect_and_show(parser, options)
        sys.stdout.flush()
    except BrokenPipeError:
        _forget_output()
        return CLOSED_PIPE
    except KeyboardInterrupt:
        return INTERRUPTED
    return code


def _parser() -> argparse.ArgumentParser:
    policy = Policy()
    parser = argparse.ArgumentParser(
        prog="nbconnect",
        description="Connect to a host as RFC 8305 (Happy Eyeballs) says, and show the race between its addresses.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("host", metavar="HOST", help='a name or an address; "demo" without a port shows a race on this machine')
    add("port", metavar="PORT", nargs="?", type=int)
    add("--tls", action="store_true", help="the TLS handshake is part of the race")
    add("--address", action="append", metavar="ADDRESS", help="try this address instead of a lookup; repeatable")
    add("--dns", action="store_true", help="ask name servers directly, for HTTPS records, too (extra: dns)")
    add("--server", action="append", metavar="SERVER", help="a name server to ask, or tls://SERVER; repeatable")
    families = parser.add_mutually_exclusive_group()
    families.add_argument("--ipv4", dest="families", action="store_const", const=(IPV4,), help="IPv4 only")
    families.add_argument("--ipv6", dest="families", action="store_const", const=(IPV6,), help="IPv6 only")
    add(
        "--attempt-delay",
        metavar="SECONDS",
        type=float,
        default=policy.attempt_delay,
        help="when to start the next attempt while one is under way (default: %(default)s)",
    )
    add(
        "--give-up-after",
        metavar="SECONDS",
        type=float,
        default=math.inf,
        help="the limit of the whole call (default: none)",
    )
    forms = parser.add_mutually_exclusive_group()
    forms.add_argument("--watch", action="store_true", help="draw while the race runs, on a terminal (extra: cli)")
    forms.add_argument(
        "--json", action="store_true", help="print the events, a JSON object on each line, instead of the picture"
    )
    forms.add_argument("--qlog", action="store_true", help="print the events as a qlog file instead of the picture")
    forms.add_argument("--svg", action="store_true", help="print the picture as SVG")
    add("--width", metavar="COLUMNS", type=_width, help="of the picture (default: that of the terminal)")
    add("--color", choices=["auto", "always", "never"], default="auto", help="auto: on a terminal, without NO_COLOR")
    parser.set_defaults(families=policy.families)
    return parser


def _width(text: str) -> int:
    if not text.isdecimal() or int(text) < NARROWEST:
        raise argparse.ArgumentTypeError(f"must be a number from {NARROWEST} on, not {text!r}")
    return int(text)


def _is_demo(parser: argparse.ArgumentParser, options: argparse.Namespace) -> bool:
    if options.port is not None:
        return False
    if options.host != "demo":
        parser.error("the following arguments are required: PORT")
    if options.tls or options.address or options.families == (IPV6,):
        parser.error("demo has addresses of its own, most of them IPv4, and no TLS")
    return True


def _demo(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    """Connect to this machine, and explain the picture row by row."""
    with ExitStack() as stack:
        try:
            network = stack.enter_context(open_demo_network())
        except OSError as error:
            print(f"nbconnect: the demo needs the addresses 127.0.0.2 to 127.0.0.6: {error}", file=sys.stderr)
            return FAILED
        options.port, options.address = network.port, list(network.hosts)
        return _connect_and_show(parser, options, network.hosts)


def _connect_and_show(
    parser: argparse.ArgumentParser, options: argparse.Namespace, remarks: Mapping[str, str] = MappingProxyType({})
) -> int:
    """Run the race, print its picture or its events, and report an error."""
    code, error = CONNECTED, None
    with record() as recording:
        try:
            trio.run(_connect, options, restrict_keyboard_interrupt_to_checkpoints=True)
        except ConnectError as failure:
            code, error = FAILED, failure
        except KeyboardInterrupt:
            code = INTERRUPTED
        except ImportError as missing:
            parser.error(str(missing))
        except (TypeError, ValueError) as misuse:
            if recording:  # the race had started: this is a bug, not a wrong argument
                raise
            parser.error(str(misuse))
    for race in recording:
        _print(race, options, remarks)
    if error is not None:
        _report(error)
    return code


def _resolver(options: argparse.Namespace) -> Resolver | None:
    """The resolver that asks name servers, if requested; it needs an extra and is imported only then."""
    if not (options.dns or options.server):
        return None
    from .._dns.resolver import DNSResolver  # noqa: PLC0415 - it needs an extra

    return DNSResolver(servers=options.server or ())


async def _connect(options: argparse.Namespace) -> None:
    policy = Policy(attempt_delay=options.attempt_delay, families=options.families)
    connector = Connector(policy=policy, resolver=_resolver(options))
    opened = partial(
        connector.open_tls_stream if options.tls else connector.open_tcp_stream,
        options.host,
        options.port,
        addresses=options.address,
        give_up_after=options.give_up_after,
    )
    stream: trio.abc.AsyncResource
    if _is_watched(options):
        with TerminalOutput(width=options.width, color=_color(options)) as screen:
            stream = await watch_on(screen, opened)
    else:
        stream = await opened()
    await trio.aclose_forcefully(stream)


def _color(options: argparse.Namespace) -> bool:
    return has_color() if options.color == "auto" else bool(options.color == "always")


def _is_watched(options: argparse.Namespace) -> bool:
    """Whether the picture is drawn while the race runs; a file or a pipe gets the last one only."""
    return bool(options.watch) and sys.stdout.isatty()


def _print(race: RecordedRace, options: argparse.Namespace, remarks: Mapping[str, str]) -> None:
    """Print a race in the requested form."""
    if options.json:
        print(*json_lines(race.events), sep="\n")
    elif options.qlog:
        print(race.qlog(), end="")
    elif options.svg:  # in ASCII, since a browser does not know the encoding of standard output
        print(race.svg().encode("ascii", "xmlcharrefreplace").decode(), end="")
    else:
        _print_picture(race.timeline, options, remarks)


def _print_picture(timeline: Timeline, options: argparse.Namespace, remarks: Mapping[str, str]) -> None:
    """Print the picture, unless it has been drawn already, and a remark on each address in it."""
    if not _is_watched(options):
        picture = render_text(timeline, width=options.width or columns(), color=_color(options))
        print(encodable(picture, sys.stdout.encoding or "ascii"))
    shown = {attempt.address.ip for attempt in timeline.attempts} | {row.address.ip for row in timeline.untried}
    if shown & remarks.keys():
        print()
    for address, remark in remarks.items():
        if address in shown:
            print(f"{address:10} {remark}")


def _report(error: ConnectError) -> None:
    """Print the error, and the error of each attempt."""
    sys.stdout.flush()
    print(f"nbconnect: {error}", file=sys.stderr)
    failures = getattr(error.__cause__, "exceptions", ())
    lines = [line for failure in failures for line in getattr(failure, "__notes__", [str(failure)])]
    for line in dict.fromkeys(lines):
        print(f"  {line}", file=sys.stderr)


def _replace_what_cannot_be_encoded() -> None:
    """Print a question mark for what the terminal cannot show, instead of failing."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")


def _forget_output() -> None:
    """Nobody reads on: discard what is still to be flushed at exit."""
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
        os.dup2(nowhere.fileno(), sys.stderr.fileno())
