"""Policy: RFC 8305's numbers, and which others may stand in their place."""

from __future__ import annotations

import dataclasses
import math
import numbers
import pickle
import socket
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from trio_nbconnect import Connector, Policy
from trio_nbconnect._address import IPV4, IPV6
from trio_nbconnect._policy import check_seconds

DURATIONS = (
    "attempt_delay",
    "minimum_gap",
    "minimum_delay",
    "maximum_delay",
    "last_resort_delay",
    "resolution_delay",
    "give_up_resolution_after",
    "give_up_attempt_after",
    "give_up_tls_after",
)
OTHER = getattr(socket, "AF_UNIX", socket.AF_UNSPEC)  # not everywhere

COUNTS = ("attempts_at_full_pace", "first_address_family_count")


def test_the_defaults_are_those_of_rfc_8305() -> None:
    """They stand in section 8, "Summary of Configurable Values"; the pace, the families and the limits are ours."""
    assert dataclasses.asdict(Policy()) == {
        "attempt_delay": 0.250,
        "attempt_delay_multiplier": 1.0,
        "minimum_gap": 0.010,
        "delay_from_history": True,
        "minimum_delay": 0.100,
        "maximum_delay": 2.0,
        "last_resort_delay": 0.0,
        "attempts_at_full_pace": 16,
        "resolution_delay": 0.050,
        "first_address_family_count": 1,
        "families": (IPV6, IPV4),
        "give_up_resolution_after": math.inf,
        "give_up_attempt_after": math.inf,
        "give_up_tls_after": math.inf,
    }


@pytest.mark.parametrize("name", DURATIONS)
@pytest.mark.parametrize("seconds", [0, 0.0, 1, 0.125, math.inf])
def test_a_duration_is_any_time_that_passes(name: str, seconds: float) -> None:
    """Section 8: "implementors should feel welcome to use different values"."""
    assert getattr(_policy(name, seconds), name) == seconds


@pytest.mark.parametrize("name", DURATIONS)
@pytest.mark.parametrize(
    ("seconds", "kind", "complaint"),
    [
        ("1", TypeError, "must be a number of seconds, not '1'"),
        (None, TypeError, "must be a number of seconds, not None"),
        (True, TypeError, "must be a number of seconds, not True"),
        (-0.001, ValueError, "must not be negative, not -0.001"),
        (-math.inf, ValueError, "must not be negative, not -inf"),
        (math.nan, ValueError, "must not be negative, not nan"),
    ],
)
def test_a_duration_that_never_passes_is_refused(
    name: str, seconds: object, kind: type[Exception], complaint: str
) -> None:
    with pytest.raises(kind) as caught:
        _policy(name, seconds)

    assert str(caught.value) == f"{name} {complaint}"


@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize("count", [1, 2, 1000])
def test_a_count_is_at_least_one(name: str, count: int) -> None:
    assert getattr(_policy(name, count), name) == count


@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize(
    ("count", "kind", "complaint"),
    [
        (2.0, TypeError, "must be int, not 2.0"),
        ("2", TypeError, "must be int, not '2'"),
        (True, TypeError, "must be int, not True"),
        (math.inf, TypeError, "must be int, not inf"),
        (0, ValueError, "must be at least 1, not 0"),
        (-1, ValueError, "must be at least 1, not -1"),
    ],
)
def test_a_count_that_counts_nothing_is_refused(
    name: str, count: object, kind: type[Exception], complaint: str
) -> None:
    with pytest.raises(kind) as caught:
        _policy(name, count)

    assert str(caught.value) == f"{name} {complaint}"


@pytest.mark.parametrize(
    "families", [(IPV6, IPV4), (IPV4, IPV6), (IPV6,), (IPV4,), [IPV4, IPV6], iter((IPV4, IPV6)), (socket.AF_INET,)]
)
def test_either_family_may_come_first_or_be_left_out(families: Any) -> None:
    """Section 2: the preference for IPv6 "can be easily adapted"."""
    policy = Policy(families=families)

    assert isinstance(policy.families, tuple)
    assert set(policy.families) <= {IPV4, IPV6}


@pytest.mark.parametrize(
    ("families", "complaint"),
    [
        ((), "families must be AF_INET6, AF_INET or both, not ()"),
        (("AF_INET",), "families must be AF_INET6, AF_INET or both, not ('AF_INET',)"),
        ([IPV4, IPV4], f"families must be AF_INET6, AF_INET or both, not {[IPV4, IPV4]!r}"),
        ((IPV4, OTHER), f"families must be AF_INET6, AF_INET or both, not {(IPV4, OTHER)!r}"),
    ],
)
def test_families_that_cannot_race_are_refused(families: Any, complaint: str) -> None:
    with pytest.raises(ValueError) as caught:
        Policy(families=families)

    assert str(caught.value) == complaint


def test_a_policy_is_a_value() -> None:
    """Many tasks may hold it: frozen, comparable, hashable; it goes through a pickle."""
    policy = Policy(attempt_delay=0.1, families=[IPV4])  # type: ignore[arg-type]  # a list is taken, and kept as tuple

    assert policy == Policy(attempt_delay=0.1, families=(IPV4,))
    assert hash(policy) == hash(Policy(attempt_delay=0.1, families=(IPV4,)))
    assert pickle.loads(pickle.dumps(policy)) == policy
    with pytest.raises(dataclasses.FrozenInstanceError):
        policy.attempt_delay = 0.2  # type: ignore[misc]  # that it is refused is the point


def test_seconds_come_back_as_they_are() -> None:
    assert check_seconds("give_up_after", math.inf) == math.inf
    assert repr(check_seconds("give_up_after", 10)) == "10"


class Float32(float):
    """A float with a name of its own, as NumPy's are."""

    def __repr__(self) -> str:
        return f"np.float32({float(self)})"


class Int64:
    """A whole number that is no int, as NumPy's are."""

    def __init__(self, value: int) -> None:
        self.value = value

    def __index__(self) -> int:
        return self.value

    def __float__(self) -> float:
        return float(self.value)


numbers.Integral.register(Int64)


@pytest.mark.parametrize(("number", "kept"), [(Float32(0.5), "0.5"), (Fraction(1, 2), "0.5"), (Int64(2), "2.0")])
def test_any_real_number_is_a_duration(number: object, kept: str) -> None:
    """What is kept is a plain float, for those who compare, print or pickle it."""
    assert repr(_policy("attempt_delay", number).attempt_delay) == kept
    assert repr(_policy("attempt_delay_multiplier", Int64(2)).attempt_delay_multiplier) == "2.0"


@pytest.mark.parametrize("number", [Decimal("0.5"), 0.5j])
def test_other_numbers_are_not(number: object) -> None:
    with pytest.raises(TypeError, match=r"^attempt_delay must be a number of seconds, not "):
        _policy("attempt_delay", number)


def test_any_whole_number_is_a_count() -> None:
    assert repr(_policy("attempts_at_full_pace", Int64(8)).attempts_at_full_pace) == "8"


async def test_more_seconds_than_a_float_holds_are_refused_at_once() -> None:
    text = "give_up_attempt_after is too large, use math.inf for never: 1000000000000000000000000000000000000000..."
    with pytest.raises(ValueError) as caught:
        Policy(give_up_attempt_after=10**400)
    assert str(caught.value) == text
    with pytest.raises(ValueError, match=r"^give_up_after is too large"):
        await Connector().open_tcp_stream("192.0.2.1", 80, give_up_after=10**400)


def test_all_attempts_at_once_is_no_policy() -> None:
    """Section 5: attempts "MUST NOT be started within 10 milliseconds" of each other; a gap of one's own is."""
    with pytest.raises(ValueError) as caught:
        Policy(attempt_delay=0, minimum_gap=0)

    assert str(caught.value) == (
        "attempt_delay and minimum_gap must not both be 0: RFC 8305, section 5, asks for 10 milliseconds between "
        "attempts"
    )
    assert Policy(attempt_delay=0).minimum_gap == 0.010
    assert Policy(minimum_gap=0).attempt_delay == 0.250


def _policy(name: str, value: object) -> Policy:
    facts: dict[str, Any] = {name: value}
    return Policy(**facts)


@pytest.mark.parametrize(
    ("multiplier", "kind", "complaint"),
    [
        ("2", TypeError, "attempt_delay_multiplier must be a number, not '2'"),
        (0.5, ValueError, "attempt_delay_multiplier must be at least 1, not 0.5"),
        (-1, ValueError, "attempt_delay_multiplier must not be negative, not -1"),
    ],
)
def test_a_delay_does_not_shrink(multiplier: object, kind: type[Exception], complaint: str) -> None:
    with pytest.raises(kind) as caught:
        _policy("attempt_delay_multiplier", multiplier)
    assert str(caught.value) == complaint


def test_families_are_several() -> None:
    with pytest.raises(TypeError, match=r"^families must be a tuple, not <AddressFamily"):
        _policy("families", IPV4)
