"""The arguments of the command `nbconnect`: its options, and what it connects to.

A target is written as people have it at hand: a host and a port, `host:port`, or a URL; a port may be the name of a
service. Wrong usage ends with one line on standard error and exit code 2.
"""

from __future__ import annotations

import argparse
import math
import socket
import ssl
import urllib.parse
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import NoReturn

from .._address import IPV4, IPV6
from .._pictures.text import NARROWEST
from .._policy import Policy
from .._printable import printable
from .._urls import host_of_url
from .completion import SHELLS, completion

_EPILOG = """\
`nbconnect check HOST` connects to every address of a host by itself, with TLS on port 443.
`nbconnect demo` needs no network: it connects to addresses of this machine, some of which misbehave.
`nbconnect playground --help` tells how to get a page with a network to play with.

exit codes: 0 connected, or every address that was checked is good; 1 failed; 2 wrong usage; 130 interrupted
"""

_TLS_SCHEMES = frozenset({"https", "wss", "tls"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """What to connect to."""

    host: str
    port: int
    tls: bool = False


class _Completion(argparse.Action):
    """Print the script of a shell and exit, as `--version` does."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: object, option: str | None = None
    ) -> None:
        print(completion(parser, str(values)), end="")
        parser.exit()


class Parser(argparse.ArgumentParser):
    """A parser whose complaints can be shown on any terminal."""

    def error(self, message: str) -> NoReturn:
        super().error(printable(message))


def parser() -> Parser:
    """Return the parser of the command."""
    policy = Policy()
    parser = Parser(
        prog="nbconnect",
        description="Connect to a host as RFC 8305 (Happy Eyeballs) says, and show the race between its addresses.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("target", metavar="TARGET", help='host, host:port or URL; or "check" and one of these; or "demo"')
    add("port", metavar="PORT", nargs="?", help="a number, or the name of a service")
    add("rest", nargs="?", help=argparse.SUPPRESS)  # the port, behind `check HOST`
    add("--version", action="version", version=f"nbconnect {_version()}")
    add("-n", dest="count", metavar="COUNT", type=_count, default=1, help="connect so many times, and show a summary")
    add("--address", action="append", metavar="ADDRESS", help="try this address instead of a lookup; repeatable")
    add("--local-address", action="append", metavar="ADDRESS", help="connect from this address; one for each family")
    add("--proxy", metavar="URL", help="connect through this proxy: http://, https:// or socks5:// (extra: proxy)")
    add("--dns", action="store_true", help="ask name servers directly, for HTTPS records, too (extra: dns)")
    add("--server", action="append", metavar="SERVER", help="a name server to ask, or tls://SERVER; repeatable")
    _add_tls(parser)
    _add_timing(parser, policy)
    _add_output(parser)
    parser.set_defaults(families=policy.families)
    return parser


def _add_tls(parser: argparse.ArgumentParser) -> None:
    tls = parser.add_argument_group("TLS")
    tls.add_argument(
        "--tls", action="store_true", help="the TLS handshake is part of the race; so it is for https URLs"
    )
    tls.add_argument("--cacert", metavar="FILE", help="trust the certificates in this file, and no others")
    tls.add_argument("--insecure", action="store_true", help="do not verify the certificate: anybody may answer")
    tls.add_argument("--servername", metavar="NAME", help="the name in the certificate, and in SNI (default: the host)")
    tls.add_argument("--alpn", metavar="PROTOCOLS", help="offer these, separated by commas: h2,http/1.1")


def _add_timing(parser: argparse.ArgumentParser, policy: Policy) -> None:
    group = parser.add_argument_group("race")
    families = group.add_mutually_exclusive_group()
    families.add_argument("--ipv4", dest="families", action="store_const", const=(IPV4,), help="IPv4 only")
    families.add_argument("--ipv6", dest="families", action="store_const", const=(IPV6,), help="IPv6 only")
    for option, default, words in (
        ("--attempt-delay", policy.attempt_delay, "when to start the next attempt while one is under way"),
        ("--resolution-delay", policy.resolution_delay, "how long IPv4 addresses wait for IPv6 ones"),
    ):
        help_text = f"{words} (default: %(default)s)"
        group.add_argument(option, metavar="SECONDS", type=float, default=default, help=help_text)
    limit = "limit of the whole call (default: none)"
    group.add_argument("--give-up-after", metavar="SECONDS", type=float, default=math.inf, help=limit)


def _add_output(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("output")
    add = group.add_argument
    forms = group.add_mutually_exclusive_group()
    forms.add_argument("--watch", action="store_true", help="draw while the race runs, on a terminal (extra: cli)")
    forms.add_argument("--json", action="store_true", help="print the events, a JSON object on each line")
    forms.add_argument("--qlog", action="store_true", help="print the events as a qlog file")
    forms.add_argument("--chrome-trace", action="store_true", help="print the events for Perfetto or speedscope")
    forms.add_argument("--svg", action="store_true", help="print the picture as SVG")
    add("-v", "--verbose", action="store_true", help="tell all that is known of the connection")
    add("--explain", action="store_true", help="say why the addresses were tried in this order")
    add("--completion", choices=list(SHELLS), action=_Completion, help="print a script that completes options")
    add("--width", metavar="COLUMNS", type=_width, help="of the picture (default: that of the terminal)")
    words = "auto: on a terminal; NO_COLOR and FORCE_COLOR are respected"
    add("--color", choices=["auto", "always", "never"], default="auto", help=words)


def _version() -> str:
    try:
        return metadata.version("trio-nbconnect")
    except metadata.PackageNotFoundError:  # run from a checkout
        return "(not installed)"


def _width(text: str) -> int:
    if not text.isdecimal() or int(text) < NARROWEST:
        raise argparse.ArgumentTypeError(f"must be a number from {NARROWEST} on, not {text!r}")
    return int(text)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a number from 1 on, not {text!r}")
    return int(text)


def destination(target: str, port: str | None) -> Destination | None:
    """Read what to connect to; None if it has no port.

    Raises:
        ValueError: It makes no sense.

    Example:
        >>> destination("https://example.org/index.html", None)
        Destination(host='example.org', port=443, tls=True)
        >>> destination("[2001:db8::1]:domain", None)
        Destination(host='2001:db8::1', port=53, tls=False)
    """
    if "://" in target:
        if port is not None:
            raise ValueError(f"a URL has its port inside: {target!r}")
        return _from_url(target)
    if port is None:
        host, colon, port = target.rpartition(":")
        if not colon or (":" in host and not (host.startswith("[") and host.endswith("]"))):
            return None
        target = host.removeprefix("[").removesuffix("]")
    return Destination(host=target, port=_port(port))


def _from_url(url: str) -> Destination:
    try:
        parts = urllib.parse.urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"{error}: {url!r}") from None
    if not host:
        raise ValueError(f"the URL names no host: {url!r}")
    return Destination(
        host=host_of_url(host), port=_port(parts.scheme) if port is None else port, tls=parts.scheme in _TLS_SCHEMES
    )


def _port(text: str) -> int:
    """Read a port, a number or the name of a service."""
    if text.isascii() and text.removeprefix("-").isdecimal():
        return int(text)
    try:
        return socket.getservbyname(text, "tcp")
    except (OSError, ValueError):
        raise ValueError(f"port must be a number or the name of a service, not {text!r}") from None


def tls_context(options: argparse.Namespace) -> ssl.SSLContext | None:
    """Return the context that the options ask for; None where the default one serves.

    Raises:
        ValueError: The file of certificates cannot be used.
    """
    if options.cacert is None and not options.insecure:
        return None
    try:
        context = ssl.create_default_context(cafile=options.cacert)
    except OSError as error:  # ssl.SSLError is one
        raise ValueError(f"--cacert: {error.strerror or error}: {options.cacert!r}") from None
    if options.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if options.alpn is not None:
        context.set_alpn_protocols(protocols(options.alpn) or [])
    return context


def protocols(alpn: str | None) -> Sequence[str] | None:
    """Read a list of protocols."""
    return None if alpn is None else [name.strip() for name in alpn.split(",")]
