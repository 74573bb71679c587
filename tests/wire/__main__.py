"""`python -m tests.wire`: build bad networks, connect in every way that is installed, and print one table.

Needs root on Linux. The number in a cell is the median of the milliseconds from the call to a connection that can be
used, TLS included where the network has it; `+250` behind it is how long after its first packet the second attempt's
left, as seen on the wire. `none`: no connection within the limit; `wrong`: a connection to somebody else.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import trustme

from ..namespaces import why_not
from .contenders import CONTENDERS, Contender, build_go
from .lab import Certificates, Shot, send_shots
from .networks import NAME, NETWORKS, Network
from .report import Run, behind_the_best, excused, readme, table

README = Path(__file__).parent / "README.md"


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
    before = os.getloadavg()[0]
    try:
        shots = shoot(networks, contenders, options, go)
    finally:
        if go:
            shutil.rmtree(Path(go).parent)
    run = Run(networks, contenders, shots, (before, os.getloadavg()[0]), options.repetitions)
    print("\n".join(table(run)))
    if missing:
        print(f"\nnot installed: {', '.join(missing)}")
    unmeasured = [network.name for network in networks if not any(shot.network == network.name for shot in shots)]
    if unmeasured:
        print(f"\nnot measured: {', '.join(unmeasured)}")
        return 1
    print("\n".join(["", *(f"by design: {cell}" for cell in excused(run))]))
    behind = behind_the_best(run)
    print("\n".join(f"behind: {cell}" for cell in behind) or "No other cell is behind the best peer by 15 % and 15 ms.")
    if options.readme:
        README.write_text(readme(run), "utf-8")
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
    parser.add_argument("--readme", action="store_true", help=f"write {README.name} beside this program")
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
    another = authority.issue_cert("another.example").private_key_and_cert_chain_pem.bytes()
    certificates = Certificates(ca=authority.cert_pem.bytes(), chain=chain, of_another=another)
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


if __name__ == "__main__":
    sys.exit(main())
