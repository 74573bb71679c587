"""Measuring: contenders take turns, each in a process of its own, and what they report is collected.

1. All workers of a case are started, and warmed up by one sample that does not count.
2. In each repetition every worker gives one sample, in an order that rotates.
3. System calls and instructions are counted from outside, by `strace` and `perf` or `valgrind`: a worker is run twice,
   with fewer and with more connects, and the difference is theirs, whatever it took to start.

What is left pending is measured in a fresh process each time: memory, once resident, is seldom given back.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

from .cases import DELAY, Case, Pattern, case_called
from .clock import Figures
from .contenders import Contender
from .counting import Command
from .place import PROJECT, Place
from .worker import command

Sample = Callable[[], Figures]
Count = Callable[[Command], dict[str, float]]


@dataclass(kw_only=True)
class Outcome:
    """What was measured in one case: for each contender and metric, a figure of each repetition."""

    case: Case
    samples: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    counts: dict[str, dict[str, float]] = field(default_factory=dict)
    """For each contender: "syscalls" and "instructions" of one connect."""

    def as_json(self) -> dict[str, Any]:
        """Return what `read` takes, and no more."""
        parts = {key: value for key, value in asdict(self).items() if key != "case"}
        return {"case": self.case.name, "count": self.case.count, "repetitions": self.case.repetitions, **parts}

    @classmethod
    def read(cls, parts: dict[str, Any]) -> Outcome:
        """Be read from a file."""
        rest = dict(parts)
        case = case_called(rest.pop("case"))
        return cls(case=case.sampled(count=rest.pop("count"), repetitions=rest.pop("repetitions")), **rest)


def measure(case: Case, place: Place, contenders: list[Contender], *, count: Count) -> Outcome:
    """Measure one case."""
    outcome = Outcome(case=case)
    workers: dict[str, Command] = {}
    for contender in contenders:
        if contender.is_meant(case):
            if reason := contender.cannot(case, place):
                outcome.left_out[contender.name] = reason
            else:
                workers[contender.name] = partial(command, contender, case, place)
    with ExitStack() as stack:
        take_turns(outcome, _samplers(stack, case, workers))
    if case.counted:
        outcome.counts = {name: count(make) for name, make in workers.items()}
    return outcome


def take_turns(outcome: Outcome, samples: dict[str, Sample]) -> None:
    """Let each give a sample in each repetition."""
    names = list(samples)
    outcome.samples = {name: {metric.key: [] for metric in outcome.case.metrics} for name in names}
    for repetition in range(outcome.case.repetitions):
        first = repetition % len(names) if names else 0
        for name in names[first:] + names[:first]:
            figures = derived(outcome.case, samples[name]())
            for metric in outcome.case.metrics:
                outcome.samples[name][metric.key].append(figures[metric.key])


def derived(case: Case, figures: Figures) -> Figures:
    """Add what a case says of a worker's figures: the cost of each address, the time beyond the delay."""
    if case.pattern is Pattern.PENDING:
        return figures
    return {"cpu": figures["cpu"] / case.per, "late": figures["wall"] / 1000 - DELAY * 1000}


class Worker:
    """The process of one contender, which gives a sample each time it is asked."""

    def __init__(self, stack: ExitStack, case: Case, worker: list[str]) -> None:
        self._count = case.count
        process = stack.enter_context(
            subprocess.Popen(worker, cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        )
        assert process.stdin is not None
        assert process.stdout is not None
        self._questions, self._answers = process.stdin, process.stdout

    def ask(self) -> None:
        """Let it begin."""
        self._questions.write(f"{self._count}\n")

    def answer(self) -> Figures:
        """Wait for what it was asked."""
        return read(self._answers.readline())

    def sample(self) -> Figures:
        """Ask and wait."""
        self.ask()
        return self.answer()


def _samplers(stack: ExitStack, case: Case, workers: dict[str, Command]) -> dict[str, Sample]:
    """Start a worker of each contender, and warm it up; or promise to start a fresh one for each sample."""
    if case.pattern is Pattern.PENDING:
        return {name: partial(_fresh_sample, make(str(case.count))) for name, make in workers.items()}
    started = {name: Worker(stack, case, make("-")) for name, make in workers.items()}
    for worker in started.values():
        worker.ask()
    for worker in started.values():
        worker.answer()
    return {name: worker.sample for name, worker in started.items()}


def _fresh_sample(worker: list[str]) -> Figures:
    return read(subprocess.run(worker, cwd=PROJECT, stdout=subprocess.PIPE, text=True, check=True).stdout)


def read(line: str) -> Figures:
    """Read what a worker prints.

    Raises:
        RuntimeError: It has printed nothing, and is gone.
    """
    if not line:
        raise RuntimeError("a worker has ended; what it said stands above")
    figures: Figures = json.loads(line)
    return figures
