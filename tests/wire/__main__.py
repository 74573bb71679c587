"""`python -m tests.wire`: build bad networks, connect in every way that is installed, and print one table.

Needs root on Linux. The number in a cell is the median of the milliseconds from the call to a connection that can be
used, TLS included where the network has it; `+250` behind it is how long after its first packet the second attempt's
left, as seen on the wire. `none`: no connection within the limit; `wrong`: a connection to somebody else.
"""

from __future__ import annotations

import argparse
import multiprocessing
import shutil
import statistics
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import trustme

from ..namespaces import why_not
from .contenders import CONTENDERS, OURS, Contender, build_go, is_wrong
from .lab import Certificates, Shot, send_shots
from .networks import NAME, NETWORKS, Network


def main(arguments: Sequence[str] | None = None) -> int:
    """Be the command."""
    options = parser().parse_args(arguments)
    if why_not():
        print(f"no networks can be built: {why_not()}", file=sys.stderr)
        return 2
    networks = [
        network for network in NETWORKS if any(word.lower() in network.name.lower() for word in options.network)
    ]
    contenders = [contender for contender in CONTENDERS if not options.only or contender.name in options.only]
    missing = [contender.name for contender in contenders if not contender.is_installed]
    contenders = [contender for contender in contenders if contender.is_installed]
    go = build_go() if any(contender.name == "go" for contender in contenders) else ""
    try:
        shots = shoot(networks, contenders, options, go)
    finally:
        if go:
            shutil.rmtree(Path(go).parent)
    print("\n".join(table(networks, contenders, shots)))
    if missing:
        print(f"\nnot installed: {', '.join(missing)}")
    unmeasured = [network.name for network in networks if not any(shot.network == network.name for shot in shots)]
    if unmeasured:
        print(f"\nnot measured: {', '.join(unmeasured)}")
        return 1
    behind = list(behind_the_best(networks, contenders, shots))
    print("\n".join(["", *behind]) if behind else "\nNo cell of ours is behind the best peer by 15 % and 15 ms.")
    return bool(behind) if options.check else 0


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.wire", description=__doc__)
    parser.add_argument("network", nargs="*", default=[""], help="words in the names of networks; all if none is given")
    parser.add_argument("--repetitions", type=int, default=3, help="connects of each contender on each network")
    parser.add_argument("--limit", type=float, default=3.0, help="seconds after which a connect is given up")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="this contender alone; repeatable")
    parser.add_argument("--jobs", type=int, default=2, help="networks at once")
    parser.add_argument("--check", action="store_true", help="fail if a cell of ours is behind the best peer")
    parser.add_argument("--list", action=_ListNetworks, nargs=0, help="name the networks and contenders")
    return parser


class _ListNetworks(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        print("\n".join(network.name for network in NETWORKS))
        print("contenders:", ", ".join(contender.name for contender in CONTENDERS))
        parser.exit()


def shoot(
    networks: Sequence[Network], contenders: Sequence[Contender], options: argparse.Namespace, go: str
) -> list[Shot]:
    """Run everything, a few networks at once, each in a process of its own."""
    authority = trustme.CA()
    chain = authority.issue_cert(NAME).private_key_and_cert_chain_pem.bytes()
    certificates = Certificates(ca=authority.cert_pem.bytes(), chain=chain)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.wire.preload"])

    def one(network: Network) -> list[Shot]:
        print(f"  {network.name} ...", file=sys.stderr)
        arguments = (network, contenders, options.repetitions, options.limit, certificates, go)
        try:
            return list(_in_a_process(context, arguments))
        except (RuntimeError, EOFError) as error:
            print(f"{network.name}: {error}", file=sys.stderr)
            return []

    with ThreadPoolExecutor(options.jobs) as pool:
        return [shot for shots in pool.map(one, networks) for shot in shots]


def _in_a_process(context: Any, arguments: tuple[Any, ...]) -> Iterator[Shot]:
    """Receive what a process sends until it has sent all; it is killed in any case, and all its children with it."""
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=send_shots, args=(theirs, *arguments), daemon=True)
    process.start()
    theirs.close()
    try:
        while True:
            received = ours.recv()
            if isinstance(received, str):
                raise RuntimeError(received)
            if received is None:
                return
            yield received
    finally:
        ours.close()
        process.kill()
        process.join()


def table(networks: Sequence[Network], contenders: Sequence[Contender], shots: Sequence[Shot]) -> list[str]:
    """Lay the medians out."""
    header = ["median ms", *(contender.name for contender in contenders)]
    cells = [[cell(network, of(shots, network, contender)) for contender in contenders] for network in networks]
    rows = [header, *([network.name, *row] for network, row in zip(networks, cells, strict=True))]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [_aligned(row, widths) for row in rows]
    return [lines[0], "-" * max(map(len, lines)), *lines[1:]]


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    """Write a line of the table: the first column to the left, numbers to the right."""
    numbers = [text.rjust(width) for text, width in zip(row[1:], widths[1:], strict=True)]
    return "  ".join([row[0].ljust(widths[0]), *numbers]).rstrip()


def of(shots: Sequence[Shot], network: Network, contender: Contender) -> list[Shot]:
    """The shots of one cell."""
    return [shot for shot in shots if (shot.network, shot.contender) == (network.name, contender.name)]


def cell(network: Network, shots: Sequence[Shot]) -> str:
    """Write one cell: half of the connects must have come about."""
    if not shots:
        return "-"
    if any(is_wrong(shot.address, network.right) for shot in shots):
        return "wrong"
    milliseconds = median(network, shots)
    if milliseconds is None:
        return "none"
    delay = attempt_delay(shots)
    return f"{milliseconds:.0f}" + (f" +{delay:.0f}" if delay else "")


def attempt_delay(shots: Sequence[Shot]) -> float:
    """The median of the delays seen on the wire, in milliseconds; 0 where there was one attempt."""
    delays = [shot.delay for shot in shots if shot.delay is not None]
    return statistics.median(delays) * 1000 if delays else 0.0


def median(network: Network, shots: Sequence[Shot]) -> float | None:
    """The median, in milliseconds; None where most connects failed or one was wrong."""
    good = [shot.seconds * 1000 for shot in shots if shot.address and not is_wrong(shot.address, network.right)]
    return statistics.median(good) if len(good) * 2 > len(shots) else None


def behind_the_best(
    networks: Sequence[Network], contenders: Sequence[Contender], shots: Sequence[Shot]
) -> Iterator[str]:
    """Name the cells of ours that are more than 15 % and 15 ms behind the best peer's.

    A peer with a shorter attempt delay than the recommended one (RFC 8305, section 8) is ahead by that only.
    """
    for network in networks:
        cells = {contender.name: of(shots, network, contender) for contender in contenders}
        medians = {name: median(network, cell) for name, cell in cells.items()}
        peers = {name: value for name, value in medians.items() if name not in OURS and value is not None}
        if not peers:
            continue
        first = min(peers, key=lambda name: peers[name])
        for name in OURS:
            value = medians.get(name, peers[first])
            allowed = peers[first]
            if attempt_delay(cells[first]) and value is not None:
                allowed += max(0.0, attempt_delay(cells.get(name, [])) - attempt_delay(cells[first]))
            if value is None or value > max(allowed * 1.15, allowed + 15):
                said = "none" if value is None else f"{value:.0f}"
                yield f"behind: {network.name}, {name}: {said}, best {peers[first]:.0f} ({first})"


if __name__ == "__main__":
    sys.exit(main())
