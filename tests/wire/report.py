"""Report: what was measured, as a table, and which cells of ours are behind the best peer's.

A peer may be ahead because it does less. Two things that we do by design are said, and not held against us: we wait
longer for an attempt than those whose attempt delay is shorter than the recommended one (RFC 8305, section 8), and for
records that peers do not ask for.
"""

from __future__ import annotations

import datetime as dt
import os
import platform
import shutil
import statistics
import subprocess
import textwrap
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version

from .contenders import OURS, Contender, is_wrong
from .lab import Shot
from .networks import Network


@dataclass(frozen=True)
class Run:
    """All shots of one run, and what they were of."""

    networks: Sequence[Network]
    contenders: Sequence[Contender]
    shots: Sequence[Shot]
    load: tuple[float, float] = (0.0, 0.0)
    """Of the machine, before and after."""
    repetitions: int = 1

    def of(self, network: Network, contender: str) -> list[Shot]:
        """The shots of one cell."""
        return [shot for shot in self.shots if (shot.network, shot.contender) == (network.name, contender)]


def table(run: Run) -> list[str]:
    """Lay the medians out."""
    rows = _rows(run)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [_aligned(row, widths) for row in rows]
    return [lines[0], "-" * max(map(len, lines)), *lines[1:]]


def _rows(run: Run) -> list[list[str]]:
    header = ["median ms", *(contender.name for contender in run.contenders)]
    rows = [
        [network.name, *(cell(network, run.of(network, contender.name)) for contender in run.contenders)]
        for network in run.networks
    ]
    return [header, *rows]


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    """Write a line of the table: the first column to the left, numbers to the right."""
    numbers = [text.rjust(width) for text, width in zip(row[1:], widths[1:], strict=True)]
    return "  ".join([row[0].ljust(widths[0]), *numbers]).rstrip()


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
    """The median of the delays seen on the wire, in milliseconds; 0 where most connects made one attempt."""
    delays = [shot.delay for shot in shots if shot.delay is not None]
    return statistics.median(delays) * 1000 if len(delays) * 2 > len(shots) else 0.0


def median(network: Network, shots: Sequence[Shot]) -> float | None:
    """The median, in milliseconds; None where most connects failed or one was wrong."""
    good = [shot.seconds * 1000 for shot in shots if shot.address and not is_wrong(shot.address, network.right)]
    return statistics.median(good) if len(good) * 2 > len(shots) else None


@dataclass(frozen=True)
class Behind:
    """A cell of ours that is more than 15 % and 15 ms behind the best peer's."""

    network: str
    contender: str
    milliseconds: float | None
    best: float
    peer: str
    why: str
    """What we do by design that explains it; empty for nothing."""

    def __str__(self) -> str:
        said = "none" if self.milliseconds is None else f"{self.milliseconds:.0f}"
        return f"{self.network}, {self.contender}: {said}, best {self.best:.0f} ({self.peer})"


def behind_the_best(run: Run) -> list[Behind]:
    """The cells of ours that are behind with no excuse."""
    return [behind for behind in _all_behind(run) if not behind.why]


def excused(run: Run) -> list[Behind]:
    """Those that are behind by design."""
    return [behind for behind in _all_behind(run) if behind.why]


def _all_behind(run: Run) -> Iterator[Behind]:
    for network in run.networks:
        cells = {contender.name: run.of(network, contender.name) for contender in run.contenders}
        medians = {name: median(network, cell) for name, cell in cells.items()}
        peers = {name: value for name, value in medians.items() if name not in OURS and value is not None}
        if not peers:
            continue
        first = min(peers, key=lambda name: peers[name])
        for name in OURS:
            value, best = medians.get(name), peers[first]
            if not cells.get(name) or not _is_behind(value, best):
                continue
            extra, why = _by_design(network, name, cells[name], first, cells[first])
            yield Behind(network.name, name, value, best, first, "" if _is_behind(value, best + extra) else why)


def _is_behind(value: float | None, best: float) -> bool:
    return value is None or value > max(best * 1.15, best + 15)


def _by_design(
    network: Network, name: str, ours: Sequence[Shot], peer: str, theirs: Sequence[Shot]
) -> tuple[float, str]:
    """How many milliseconds more we take by design, and why."""
    if name in network.waits:
        return network.waits[name].seconds * 1000, network.waits[name].why
    shorter = attempt_delay(theirs)
    if shorter and attempt_delay(ours) > shorter:
        why = f"{peer} tries the next address after {round(shorter, -1):.0f} ms; RFC 8305, section 8, recommends 250"
        return attempt_delay(ours) - shorter, why
    return 0.0, ""


def readme(run: Run) -> str:
    """Write the page that the project's README refers to."""
    header, *others = _rows(run)
    header = ["", *(f"**{name}**" if name in OURS else name for name in header[1:])]
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *others]
    markdown = "\n".join(f"|{'|'.join(f' {text} ' if text else ' ' for text in line)}|" for line in lines)
    return _PAGE.format(count=len(run.networks), table=markdown, foot=_foot(run), made=_made(run))


def _foot(run: Run) -> str:
    """Say which cells of ours are not the best, and why."""
    reasons: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for behind in _all_behind(run):
        reasons[behind.why or "it is not explained"][behind.network].append(behind.contender)
    if not reasons:
        return "No cell of ours is more than 15 % and 15 ms behind the best peer's."
    lines = [_wrapped(f"- {_places(cells, run)}: {why}.", indent="  ") for why, cells in reasons.items()]
    return "\n".join(["Cells of ours that are more than 15 % and 15 ms behind the best peer's:", "", *lines])


def _wrapped(text: str, indent: str = "") -> str:
    return textwrap.fill(text, 120, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def _places(cells: Mapping[str, Sequence[str]], run: Run) -> str:
    """Name networks, and contenders where not all of ours are meant."""
    ours = [contender.name for contender in run.contenders if contender.name in OURS]
    return "; ".join(
        f"*{network}*" + ("" if list(names) == ours else f" ({' and '.join(f'**{name}**' for name in names)})")
        for network, names in cells.items()
    )


def _made(run: Run) -> str:
    before, after = run.load
    kernel = ".".join(platform.release().split(".")[:2])
    python = [f"{name} {version(name)}" for name in ("trio", "anyio", "aiohttp") if _is_there(name)]
    programs = [_first_words(*command) for command in (("curl", "--version"), ("go", "version"), ("node", "--version"))]
    return _wrapped(
        f"Measured {dt.datetime.now(dt.timezone.utc):%Y-%m-%d}: {os.cpu_count()} cores, Linux {kernel}, load "
        f"{before:.1f} before and {after:.1f} after, {run.repetitions} connects for each cell; Python "
        f"{platform.python_version()}, {', '.join([*python, *filter(None, programs)])}."
    )


def _is_there(package: str) -> bool:
    try:
        version(package)
    except ModuleNotFoundError:
        return False
    return True


def _first_words(*command: str) -> str:
    """The name and version of a program, as it says itself; empty without it."""
    if shutil.which(command[0]) is None:
        return ""
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    number = next(word for word in said if any(letter.isdigit() for letter in word))
    return f"{command[0]} {number.lstrip('vgo')}"


_PAGE = """\
# On bad networks

Milliseconds from the call to a connection that can be used, TLS included where a row says so, on {count} networks:
medians, on a wire of our own making. The round trip is 20 ms, to the name server 10, so that a good network connects in
30, or in 50 with TLS. The host has an address in each family, and what a row does not say is good.

- Behind a `+`: how long after the first attempt's SYN the second one's left, as seen on the wire.
- *none*: most connects failed or took longer than 3 s. *wrong*: one connected to somebody else.
- **ours** looks names up as the system does, **ours, DNS** with `dns.DNSResolver`; **blocking** is
  `blocking.create_connection`, or `create_tls_connection`; **patched** is the standard library's
  `socket.create_connection` under `blocking.patched_socket()`, with TLS after the race. *socket* is the standard
  library's alone, *asyncio* has `happy_eyeballs_delay=0.25`, *anyio* runs on it.

{table}

{made}

{foot}

Client and servers are network namespaces, and packets between them go through a program that delays, loses and answers
them ([`link.py`](link.py)); name servers follow a script, and each contender asks them in a process of its own, through
glibc or by itself. It has connected once before, to nobody, so that nothing is imported while the clock runs; and
everything has real-time priority, so that it does not matter what else the machine does. It takes root, Linux and a
quarter of an hour; `--list` names the networks.

```console
$ python -m tests.wire --repetitions 5 --readme
```
"""
