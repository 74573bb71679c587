"""Findings: what a part of the chaos reports."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import trio

import trio_nbconnect as nb

if sys.version_info < (3, 11):
    from exceptiongroup import BaseExceptionGroup


@dataclass
class Report:
    """How often what happened, and what should not have."""

    part: str
    outcomes: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        counted = ", ".join(f"{count} {outcome}" for outcome, count in self.outcomes.most_common())
        faults = "".join(f"\n  FAULT {fault}" for fault in self.faults)
        return f"{self.part}: {counted or 'nothing'}; {len(self.faults)} faults{faults}"

    @contextmanager
    def counting(self, where: str) -> Iterator[None]:
        """Count how an operation ends, and note a failure that is not a network's; cancellation goes on."""
        try:
            yield
        except BaseException as error:
            if is_cancelled(error):
                raise
            self.outcomes["failed"] += 1
            if not is_ours(error):
                self.faults.append(f"{where}: {error!r}")
        else:
            self.outcomes["connected"] += 1


def is_group(error: BaseException) -> bool:
    """Whether an exception is a group, which should have been unwrapped."""
    return isinstance(error, BaseExceptionGroup)


def is_cancelled(error: BaseException) -> bool:
    """Whether it is Trio's `Cancelled`, perhaps several of them in a group, as a nursery collects them."""
    if isinstance(error, BaseExceptionGroup):
        return all(map(is_cancelled, error.exceptions))
    return isinstance(error, trio.Cancelled)


def is_ours(error: BaseException) -> bool:
    """Whether an operation may fail like this: an `OSError`, or what Trio says of a socket that is gone."""
    return isinstance(error, (OSError, trio.BrokenResourceError, trio.ClosedResourceError, nb.ConnectError))
