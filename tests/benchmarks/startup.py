"""Start-up: what `import trio_nbconnect` adds to `import trio`, in fresh interpreters, and what it brings along.

The import alone loads nothing; the first use of a name does, so that is measured, too. All is compiled beforehand, as
an installer does it, whatever the environment says of bytecode.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from typing import Any

from .figures import Summary
from .place import PROJECT
from .report import Table

PROGRAM = """
import json, sys, time

def importing(name):
    before, cpu, wall = set(sys.modules), time.process_time(), time.perf_counter()
    exec(name)
    times = time.process_time() - cpu, time.perf_counter() - wall
    return [seconds * 1000 for seconds in times], sorted(set(sys.modules) - before)

print(json.dumps([importing(name) for name in {statements}]))
"""
STATEMENTS = ("import trio", "import trio_nbconnect", "from trio_nbconnect import open_tcp_stream")

OURS = "trio_nbconnect"


def table(*, repetitions: int) -> Table:
    """Import them, again and again; they take turns by nature."""
    with tempfile.TemporaryDirectory() as bytecode:
        runs = [_run(bytecode) for _ in range(repetitions + 1)][1:]  # the first one has to compile
    rows = []
    for number, name in enumerate(STATEMENTS):
        times = [run[number][0] for run in runs]
        cpu, wall = Summary.of([cpu for cpu, _ in times]), Summary.of([wall for _, wall in times])
        title = name if number == 0 else f"{name}, after it"
        rows.append([title, *(f"{figure:.1f}" for figure in (cpu.median, cpu.low, cpu.high, wall.median))])
    modules: list[str] = runs[0][1][1] + runs[0][2][1]
    foreign = [name for name in modules if name.split(".")[0] != OURS]
    return Table(
        f"start-up, ms, {repetitions} fresh interpreters (half lie between from and to)",
        ["", "CPU", "from", "to", "wall"],
        rows,
        [f"{len(modules) - len(foreign)} modules of ours, and of others: {', '.join(foreign) or 'none'}"],
    )


def _run(bytecode: str) -> Any:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(statements=STATEMENTS)],
        cwd=PROJECT,
        env={**environment, "PYTHONPYCACHEPREFIX": bytecode},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)
