"""Memory: what an attempt that is pending holds, what a race that is over leaves, and whether anything grows.

`python -m tests.benchmarks memory` and `... growth --connects 1000000`. Resident memory is the kernel's view and has
the granularity of pages and arenas; what `tracemalloc` sees is exact, and is Python's alone. Growth is watched inside
one `trio.run`, and fitted by a straight line: what matters is whether its slope is larger than its error.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import trio

from .cases import case_called
from .clock import Figures, resident
from .contenders import contender_called, title_of
from .figures import Line
from .on_trio import Way
from .place import PROJECT, Place
from .report import Table
from .target import Target, target_of
from .worker import command

STEPS = 50
WARMING_UP = STEPS // 10

HOLDERS = (
    ("pending", "nb", "pending, with its task"),
    ("pending", "trio", "pending, with its task"),
    ("pending", "trio-socket", "pending, with its task"),
    ("literal", "nb", "over"),
    ("literal", "nb-tracer", "over"),
    ("literal", "nb-record", "over"),
    ("literal", "nb-kept", "over"),
    ("literal", "trio", "over"),
)


def table(place: Place, *, count: int) -> Table:
    """Weigh pending attempts and races that are over."""
    rows = []
    for case, name, what in HOLDERS:
        weighed = _weigh(place, case, name, count)["memory"]
        traced = _weigh(place, case, name, count, PYTHONTRACEMALLOC="1")["traced"]
        rows.append([f"{what}, {title_of(name)}", f"{weighed:,.0f}", f"{traced:,.0f}"])
    return Table(f"memory of each of {count:,} races, bytes", ["", "resident", "traced"], rows)


def _weigh(place: Place, case: str, name: str, count: int, **environment: str) -> Figures:
    """Run a worker that reports memory; one that connects in turn is warmed up by a first sample."""
    is_pending = case == "pending"
    worker = command(contender_called(name), case_called(case), place, str(count) if is_pending else "-")
    done = subprocess.run(
        worker,
        input="" if is_pending else f"{count}\n{count}\n",
        cwd=PROJECT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    return figures


def growth(place: Place, name: str, connects: int) -> Iterator[tuple[int, int]]:
    """Connect so often in a process of its own; yield how many it was, and its resident memory, as they come."""
    worker = [sys.executable, "-m", __spec__.name, name, str(connects), str(place)]
    with subprocess.Popen(worker, cwd=PROJECT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            done, size = json.loads(line)
            yield done, size


def growth_table(name: str, points: list[tuple[int, int]]) -> Table:
    """Fit what was seen after the warm-up."""
    settled = points[WARMING_UP:]
    line = Line.through([done for done, _ in settled], [size for _, size in settled])
    return Table(
        f"growth over {points[-1][0]:,} connects, fitted after the first {points[WARMING_UP - 1][0]:,}",
        ["", "bytes a connect", "+/-", "resident, MB"],
        [[title_of(name), f"{line.slope:.4f}", f"{line.error:.4f}", f"{points[-1][1] / 1e6:.2f}"]],
    )


async def _connect_often(way: Way, target: Target, connects: int) -> None:
    for step in range(1, STEPS + 1):
        for _ in range(connects // STEPS):
            await way(target)
        print(json.dumps([step * (connects // STEPS), resident()]), flush=True)


def main(name: str, connects: str, place: str) -> None:
    """Be the process that connects."""
    case, contender = case_called("literal"), contender_called(name)
    way: Any = contender.ways[case.kind]
    trio.run(_connect_often, way, target_of(case, Place.read(place), case.host), int(connects))


if __name__ == "__main__":
    main(*sys.argv[1:])
