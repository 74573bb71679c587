"""A short form of `python -m tests.fuzz`: the same few examples each time."""

from __future__ import annotations

import warnings

import pytest

pytest.importorskip("hypothesis")

from .fuzz import MOST_CALLS, TARGETS, fuzz, is_printable, run_step


@pytest.mark.parametrize("target", TARGETS)
def test_fuzz(target: str) -> None:
    """A result or an error of ours, soon, and nothing is left."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of Hypothesis's own
        fuzz(target, 60, derandomize=True)


def test_a_step_that_calls_too_much() -> None:
    with pytest.raises(AssertionError, match=r"^the loop was held for 4\d{4} calls$"):
        run_step(lambda: [abs(number) for number in range(MOST_CALLS)])


def test_what_is_printable() -> None:
    assert is_printable("two\nlines: bücher, 日本")
    assert not any(map(is_printable, ("\x1b[31m", "\r", "\0", "\u202e", "\x9b")))
