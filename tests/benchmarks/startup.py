"""Start-up: what `import trio_nbconnect` adds to `import trio`, in fresh interpreters, and what it brings along."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from .figures import Summary
from .place import PROJECT
from .report import Table

PROGRAM = """
import json, sys, time

def importing(name):
    before, cpu, wall = set(sys.modules), time.process_time(), time.perf_counter()
    __import__(name)
    times = time.process_time() - cpu, time.perf_counter() - wall
    return [seconds * 1000 for seconds in times], sorted(set(sys.modules) - before)

print(json.dumps([importing(name) for name in ("trio", "trio_nbconnect")]))
"""

OURS = "trio_nbconnect"


def table(*, repetitions: int) -> Table:
    """Import both, again and again; the two take turns by nature."""
    runs = [_run() for _ in range(repetitions + 1)][1:]  # the first one may have to compile
    rows = []
    for number, name in enumerate(("import trio", "import trio_nbconnect, after it")):
        times = [run[number][0] for run in runs]
        cpu, wall = Summary.of([cpu for cpu, _ in times]), Summary.of([wall for _, wall in times])
        rows.append([name, *(f"{figure:.1f}" for figure in (cpu.median, cpu.low, cpu.high, wall.median))])
    modules: list[str] = runs[0][1][1]
    foreign = [name for name in modules if name.split(".")[0] != OURS]
    return Table(
        f"start-up, ms, {repetitions} fresh interpreters (half lie between from and to)",
        ["", "CPU", "from", "to", "wall"],
        rows,
        [f"{len(modules) - len(foreign)} modules of ours, and of others: {', '.join(foreign) or 'none'}"],
    )


def _run() -> Any:
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=PROJECT, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)
