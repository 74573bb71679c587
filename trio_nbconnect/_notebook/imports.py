"""Whole: imports that no interrupt cuts off.

The problem: the stop button of a notebook may be pressed while the first cell imports Trio, which takes a tenth of a
second. Its modules import each other; one that was cut off in the middle is imported anew by the next try, while its
parts still hold on to the old one, and nothing of Trio works until the kernel is restarted.

How we solve it: for as long as the block lasts, SIGINT waits. What lives here: that, and no import of Trio.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def interrupts_wait() -> Iterator[None]:
    """Let SIGINT wait until the block is over; then whoever handles it hears of it."""
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return
    heard: list[tuple[int, FrameType | None]] = []
    signal.signal(signal.SIGINT, lambda number, frame: heard.append((number, frame)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if heard:
        before(*heard[0])
