"""Settings: how one value becomes the arguments of one `setsockopt`, or an error that says why not.

Each option has its own range, and the kernel's answer to what is outside is `EINVAL`, or none at all. So there is a
table, one line for each option: what the socket module calls it, and the check that turns the value into what the
kernel takes. The ranges are those of tcp(7), ip(7) and socket(7), measured on Linux 6.18. A platform lacks an option if
its socket module does.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from .._address import IPV4, IPV6
from .._policy import check_int, check_real


@dataclass(frozen=True, slots=True)
class Setting:
    """One call of `setsockopt`.

    Attributes:
        name: What the caller asked for, as an error names it.
        level: The level, `socket.SOL_SOCKET` say.
        option: The number of the option.
        value: Its value.
        family: The only family that it is for; None for all.
    """

    name: str
    level: int
    option: int
    value: int | bytes
    family: socket.AddressFamily | None = None


Encode: TypeAlias = Callable[[str, object], int | bytes]
"""A check: from the name and the value of an option to what the kernel takes."""

Kind: TypeAlias = tuple[str, str, Encode]
"""The level and the option, as the socket module names them, and the check."""


def flag(name: str, value: object) -> int:
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be bool, not {value!r}")
    return int(value)


def _number(low: int, high: int, name: str, value: object) -> int:
    number = check_int(name, value)
    if not low <= number <= high:
        raise ValueError(f"{name} must be between {low} and {high}, not {value!r}")
    return number


def _mark(name: str, value: object) -> int:
    """Python's `setsockopt` takes a signed int, and the kernel its 32 bits."""
    number = _number(0, 2**32 - 1, name, value)
    return number if number < 2**31 else number - 2**32


def _seconds(name: str, value: object) -> int:
    """The kernel counts whole seconds, in 15 bits: EINVAL for 0 and for 32768, as measured."""
    seconds = check_real(name, value, "a number of seconds")
    if not 1 <= seconds <= 32767 or seconds != int(seconds):
        raise ValueError(f"{name} must be whole seconds between 1 and 32767, not {value!r}")
    return int(seconds)


def _milliseconds(name: str, value: object) -> int:
    """tcp(7): the kernel takes milliseconds, an int that is not negative; 0 is its default, for which we have None."""
    seconds = check_real(name, value, "a number of seconds")
    if not 0.001 <= seconds <= 2147483.647:
        raise ValueError(f"{name} must be between 0.001 and 2147483.647 seconds, not {value!r}")
    return round(seconds * 1000)


def _word(name: str, value: object) -> bytes:
    """`IFNAMSIZ` and `TCP_CA_NAME_MAX` are 16 bytes, the last one 0; the kernel cuts longer names short."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be str, not {value!r}")
    octets = os.fsencode(value)
    if not 1 <= len(octets) <= 15 or b"\0" in octets:
        raise ValueError(f"{name} must be 1 to 15 bytes without NUL, not {value!r}")
    return octets


OPTIONS: dict[str, Kind] = {
    "no_delay": ("IPPROTO_TCP", "TCP_NODELAY", flag),
    "user_timeout": ("IPPROTO_TCP", "TCP_USER_TIMEOUT", _milliseconds),
    "receive_buffer": ("SOL_SOCKET", "SO_RCVBUF", partial(_number, 1, 2**31 - 1)),
    "send_buffer": ("SOL_SOCKET", "SO_SNDBUF", partial(_number, 1, 2**31 - 1)),
    "mark": ("SOL_SOCKET", "SO_MARK", _mark),
    "interface": ("SOL_SOCKET", "SO_BINDTODEVICE", _word),
    "congestion_control": ("IPPROTO_TCP", "TCP_CONGESTION", _word),
    "syn_count": ("IPPROTO_TCP", "TCP_SYNCNT", partial(_number, 1, 127)),
    "reuse_address": ("SOL_SOCKET", "SO_REUSEADDR", flag),
}
KEEP_ALIVE: dict[str, Kind] = {
    "idle": ("IPPROTO_TCP", "TCP_KEEPIDLE", _seconds),
    "interval": ("IPPROTO_TCP", "TCP_KEEPINTVL", _seconds),
    "count": ("IPPROTO_TCP", "TCP_KEEPCNT", partial(_number, 1, 127)),
}
_OTHER_NAMES = {"TCP_KEEPIDLE": "TCP_KEEPALIVE"}
"""What macOS calls it."""


def read(options: object, table: Mapping[str, Kind], prefix: str = "") -> Iterator[Setting]:
    """Check what was asked for, in the order of a table."""
    for name, kind in table.items():
        value = getattr(options, name)
        if value is not None:
            yield setting(prefix + name, value, kind)


def setting(name: str, value: object, kind: Kind, family: socket.AddressFamily | None = None) -> Setting:
    """Check one value, and that this system has the option.

    Raises:
        TypeError: The value is of the wrong type.
        ValueError: It is out of range, or there is no such option.
    """
    level, option, encode = kind
    encoded = encode(name, value)
    number = getattr(socket, option, None) or getattr(socket, _OTHER_NAMES.get(option, option), None)
    if number is None:
        raise ValueError(f"{name} must not be set on this system, which has no {option}: {value!r}")
    return Setting(f"{name}={value!r}", getattr(socket, level), number, encoded, family)


def types_of_service(value: object) -> Iterator[Setting]:
    if value is not None:
        octet = partial(_number, 0, 255)
        yield setting("type_of_service", value, ("IPPROTO_IP", "IP_TOS", octet), IPV4)
        yield setting("type_of_service", value, ("IPPROTO_IPV6", "IPV6_TCLASS", octet), IPV6)


def triples(extra: object) -> tuple[tuple[int, int, int | bytes], ...]:
    """Check the raw options as far as their form goes; an int has 32 bits in C.

    Raises:
        TypeError: They are not triples of two numbers and a value.
        ValueError: A number does not fit.
    """
    try:
        found = tuple((level, option, value) for level, option, value in extra)  # type: ignore[attr-defined]  # or raise
    except (TypeError, ValueError):
        raise TypeError(f"extra must be triples of level, option and value, not {extra!r}") from None
    for triple in found:
        numbers = triple[:2] if isinstance(triple[2], (bytes, bool)) else triple
        for number in numbers:
            _number(-(2**31), 2**31 - 1, f"extra {triple!r}", number)
        if numbers[:2] == FAST_OPEN_CONNECT:
            raise ValueError(f"extra must not hold TCP_FASTOPEN_CONNECT, which sends no packet: {triple!r}")
    return found


FAST_OPEN_CONNECT = (socket.IPPROTO_TCP, 30) if sys.platform == "linux" else None
"""`TCP_FASTOPEN_CONNECT` (Linux's tcp(7)), which Python names since 3.12: `connect` says 0 and sends nothing."""
