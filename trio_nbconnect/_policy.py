"""Policy: every number a race obeys, with the sentence it comes from.

The numbers are RFC 8305's defaults; its section 8 welcomes other values. "Never" is `math.inf`. A delay only ever
starts the next attempt. What ends an attempt is a limit, and all limits begin with `give_up`.

Numbers are checked once, where they are given, and kept as plain `float` and `int`. Whatever is a real number is taken,
NumPy's too.
"""

import math
import operator
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import SupportsFloat, TypeGuard

from ._address import IPV4, IPV6
from ._printable import shortened


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Say how a race is run. All times are in seconds.

    Attributes:
        attempt_delay: RFC 8305, section 8: the Connection Attempt Delay; "if not configured otherwise, 250
            milliseconds". `math.inf` tries one address at a time; below `minimum_gap` the gap rules.
        attempt_delay_multiplier: By what the delay grows with each attempt that is under way already, for those who
            begin with a short one.
        minimum_gap: RFC 8305, section 5: attempts "MUST NOT be started within 10 milliseconds" of each other. It binds
            failures too. Where no packet was sent, or none leaves the machine, there is no gap. It must not be 0 where
            `attempt_delay` is: that would start all attempts at once.
        delay_from_history: RFC 8305, section 5: whether a round-trip time that a `History` knows takes the place of
            `attempt_delay`.
        minimum_delay: RFC 8305, section 8: the Minimum Connection Attempt Delay. It binds delays that were computed
            from history; `attempt_delay` may be shorter.
        maximum_delay: RFC 8305, section 8: the Maximum Connection Attempt Delay. The pace of a race whose attempts
            crowd, and the longest that an attempt's progress may put off the next one.
        attempts_at_full_pace: How many attempts run at once at full pace; beyond them one starts each `maximum_delay`.
            None is killed: it may be the slow one that works. Large services publish eight addresses of each family.
        last_resort_delay: On networks with NAT64: 0 asks for IPv4 addresses at once, as the successor of RFC 8305 does
            (section 8). RFC 8305, section 8, has 2 seconds, the Last Resort Local Synthesis Delay: how long after the
            last attempt has started they are asked for after all; that is for a `resolver` of yours, on networks
            without any IPv4.
        resolution_delay: RFC 8305, section 3: how long addresses of the other family wait for those of the preferred
            one.
        first_address_family_count: RFC 8305, section 4: how many addresses of the first family come before the other
            one's first.
        families: The families to use, the preferred one first (RFC 8305, section 2: "can be easily adapted").
        give_up_resolution_after: How long the look-up of a name may take. Addresses that came in time are tried all
            the same.
        give_up_attempt_after: How long one attempt may take, from its first packet until it is established.
        give_up_tls_after: How long the TLS handshake of one attempt may take, from the end of TCP's; for
            `open_tls_stream`.

    Raises:
        TypeError: A value is of the wrong type.
        ValueError: A value is out of its range, or no pace is left; the text shows it.

    Example:
        >>> Policy(attempt_delay=0.1).attempt_delay
        0.1
    """

    attempt_delay: float = 0.250
    attempt_delay_multiplier: float = 1.0
    minimum_gap: float = 0.010
    delay_from_history: bool = True
    minimum_delay: float = 0.100
    maximum_delay: float = 2.0
    attempts_at_full_pace: int = 16
    last_resort_delay: float = 0.0
    resolution_delay: float = 0.050
    first_address_family_count: int = 1
    families: tuple[socket.AddressFamily, ...] = (IPV6, IPV4)
    give_up_resolution_after: float = math.inf
    give_up_attempt_after: float = math.inf
    give_up_tls_after: float = math.inf

    def __post_init__(self) -> None:
        for name in _DURATIONS:
            object.__setattr__(self, name, check_seconds(name, getattr(self, name)))
        for name in _COUNTS:
            object.__setattr__(self, name, check_count(name, getattr(self, name)))
        object.__setattr__(self, "attempt_delay_multiplier", _check_multiplier(self.attempt_delay_multiplier))
        object.__setattr__(self, "families", _check_families(self.families))
        if not self.attempt_delay and not self.minimum_gap:
            raise ValueError(
                "attempt_delay and minimum_gap must not both be 0: RFC 8305, section 5, "
                "asks for 10 milliseconds between attempts"
            )


_DURATIONS = (
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
_COUNTS = ("attempts_at_full_pace", "first_address_family_count")


def check_seconds(name: str, seconds: object, unit: str = "a number of seconds") -> float:
    """Return a duration in seconds, or raise what is wrong with it.

    Raises:
        TypeError: It is no real number.
        ValueError: It is negative, beyond every float, or no number after all (NaN).
    """
    number = check_real(name, seconds, unit)
    if not number >= 0:
        raise ValueError(f"{name} must not be negative, not {seconds!r}")
    return number


def check_count(name: str, count: object, least: int = 1) -> int:
    """Return a number of things, or raise what is wrong with it.

    Raises:
        TypeError: It is no whole number.
        ValueError: It is less than it must be.
    """
    number = check_int(name, count)
    if number < least:
        raise ValueError(f"{name} must be at least {least}, not {count!r}")
    return number


def check_int(name: str, value: object) -> int:
    """Return a whole number of whatever type, NumPy's say, as an int.

    Raises:
        TypeError: It is no whole number; `True` is none either.
    """
    try:
        if isinstance(value, bool):
            raise TypeError
        return operator.index(value)  # type: ignore[arg-type]  # that is the question
    except TypeError:
        raise TypeError(f"{name} must be int, not {value!r}") from None


def check_real(name: str, value: object, unit: str) -> float:
    """Turn any real number into a float; an int stays one, to be shown as it was written.

    Raises:
        TypeError: It is no real number.
        ValueError: It is beyond every float.
    """
    if isinstance(value, float):
        return float(value)
    if not _is_real(value):
        raise TypeError(f"{name} must be {unit}, not {value!r}")
    try:
        number = float(value)
    except OverflowError:
        raise ValueError(f"{name} is too large, use math.inf for never: {shortened(repr(value), 40)}") from None
    return value if type(value) is int else number


def _is_real(value: object) -> TypeGuard[SupportsFloat]:
    if isinstance(value, int):
        return not isinstance(value, bool)
    from numbers import Real  # noqa: PLC0415 - few write anything else than float or int, and most who do are wrong

    return isinstance(value, Real)


def _check_multiplier(multiplier: float) -> float:
    number = check_seconds("attempt_delay_multiplier", multiplier, "a number")
    if number < 1:
        raise ValueError(f"attempt_delay_multiplier must be at least 1, not {multiplier!r}")
    return number


def _check_families(families: Iterable[socket.AddressFamily]) -> tuple[socket.AddressFamily, ...]:
    try:
        found = tuple(families)
    except TypeError:
        raise TypeError(f"families must be a tuple, not {families!r}") from None
    if not found or len(set(found)) != len(found) or not set(found) <= {IPV4, IPV6}:
        raise ValueError(f"families must be AF_INET6, AF_INET or both, not {families!r}")
    return found
