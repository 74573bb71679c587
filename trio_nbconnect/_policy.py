"""Policy: every number a race obeys, with the sentence it comes from.

The numbers are RFC 8305's defaults; its section 8 welcomes other values. "Never" is `math.inf`. A delay only ever
starts the next attempt. What ends an attempt is a limit, and all limits begin with `give_up`.
"""

from __future__ import annotations

import math
import socket
from dataclasses import dataclass

from ._address import IPV4, IPV6


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Say how a race is run. All times are in seconds.

    Raises:
        TypeError: A value is of the wrong type.
        ValueError: A value is out of its range; the text shows it.

    Example:
        >>> Policy(attempt_delay=0.1).attempt_delay
        0.1
    """

    attempt_delay: float = 0.250
    """RFC 8305, section 8: the Connection Attempt Delay; "if not configured otherwise, 250 milliseconds". `math.inf`
    tries one address at a time; below `minimum_gap` the gap rules."""

    attempt_delay_multiplier: float = 1.0
    """By what the delay grows with each attempt that is under way already, for those who begin with a short one."""

    minimum_gap: float = 0.010
    """RFC 8305, section 5: attempts "MUST NOT be started within 10 milliseconds" of each other. It binds failures
    too. Where no packet was sent, or none leaves the machine, there is no gap."""

    delay_from_history: bool = True
    """RFC 8305, section 5: whether a round-trip time that a `History` knows takes the place of `attempt_delay`."""

    minimum_delay: float = 0.100
    """RFC 8305, section 8: the Minimum Connection Attempt Delay. It binds delays that were computed from history;
    `attempt_delay` may be shorter."""

    maximum_delay: float = 2.0
    """RFC 8305, section 8: the Maximum Connection Attempt Delay. The pace of a race whose attempts crowd, and the
    longest that an attempt's progress may put off the next one."""

    attempts_at_full_pace: int = 6
    """While this many attempts run, the next one waits for `maximum_delay`. Curl kills the oldest at six, which may
    be the slow one that works; waiting for one to fail would stall behind six black holes for two minutes."""

    last_resort_delay: float = 2.0
    """RFC 8305, section 8: the Last Resort Local Synthesis Delay, on networks with NAT64 and no IPv4: how long after
    the last attempt has started the name's IPv4 addresses are asked for after all."""

    resolution_delay: float = 0.050
    """RFC 8305, section 3: how long addresses of the other family wait for those of the preferred one."""

    first_address_family_count: int = 1
    """RFC 8305, section 4: how many addresses of the first family come before the other one's first."""

    families: tuple[socket.AddressFamily, ...] = (IPV6, IPV4)
    """The families to use, the preferred one first (RFC 8305, section 2: "can be easily adapted")."""

    give_up_resolution_after: float = math.inf
    """How long the look-up of a name may take. Addresses that came in time are tried all the same."""

    give_up_attempt_after: float = math.inf
    """How long one attempt may take, from its first packet until it is established."""

    give_up_tls_after: float = math.inf
    """How long the TLS handshake of one attempt may take, from the end of TCP's; for `open_tls_stream`."""

    def __post_init__(self) -> None:
        for name in _DURATIONS:
            check_seconds(name, getattr(self, name))
        if check_seconds("attempt_delay_multiplier", self.attempt_delay_multiplier, "a number") < 1:
            raise ValueError(f"attempt_delay_multiplier must be at least 1, not {self.attempt_delay_multiplier!r}")
        for name in ("attempts_at_full_pace", "first_address_family_count"):
            _check_count(name, getattr(self, name))
        try:
            families = tuple(self.families)
        except TypeError:
            raise TypeError(f"families must be a tuple, not {self.families!r}") from None
        if not families or len(set(families)) != len(families) or not set(families) <= {IPV4, IPV6}:
            raise ValueError(f"families must be AF_INET6, AF_INET or both, not {self.families!r}")
        object.__setattr__(self, "families", families)


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


def check_seconds(name: str, seconds: object, unit: str = "a number of seconds") -> float:
    """Return a duration in seconds, or raise what is wrong with it.

    Raises:
        TypeError: It is no number.
        ValueError: It is negative, or no number after all (NaN).
    """
    if not isinstance(seconds, (int, float)) or isinstance(seconds, bool):
        raise TypeError(f"{name} must be {unit}, not {seconds!r}")
    if not seconds >= 0:
        raise ValueError(f"{name} must not be negative, not {seconds!r}")
    return seconds


def _check_count(name: str, count: object) -> None:
    if not isinstance(count, int) or isinstance(count, bool):
        raise TypeError(f"{name} must be int, not {count!r}")
    if count < 1:
        raise ValueError(f"{name} must be at least 1, not {count!r}")
