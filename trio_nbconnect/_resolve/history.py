"""History: what earlier connections taught about addresses (RFC 8305, sections 4 and 5).

A race that remembers nothing tries the far copy of a host as readily as the near one, and waits 250 ms for a server
that has always answered within 20. So races that share a `History` write to it, and each reads a `HistoryView` of it:

1. Write. The round-trip time of each handshake, smoothed as in RFC 6298, section 2; and which addresses were used:
   those of connections that were returned.
2. Read, for the order (RFC 8305, section 4): two more rules, between rules 8 and 9 of RFC 6724.
3. Read, for the delay (section 5): as long as TCP would wait before it sends the first SYN again.
4. Forget: what is old, what is too much, everything when the network changes.

An address that was never tried has no round-trip time, would sort last and never be tried. So one race in
`explore_every` does not read. It still writes, and the next one has what it found.

This is state, so it has an owner: the caller, who gives it to connectors. There is no global one: RFC 8305, section 4,
forbids to mix histories "across different network interfaces", and two identities that must not be linked need two.
The tasks of one Trio program may share one, and so may threads: of two that write at the same time, one may be lost.

All times are wall-clock seconds, as of `time.time()`, passed in by the caller. Trio's clock begins anew with every
`trio.run` and a monotonic one with every boot, so neither could be saved; nor do they count the time of a suspended
laptop, after which its history is old.

Refused: failures, since a port that refuses says nothing against its address; and the variance, since samples of
connections that are minutes apart say little about how the next packets will scatter.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from random import Random

from .._address import Address, parse_literal, several
from .._policy import check_seconds
from .._printable import shortened

_VERSION = 1
"""Of the JSON form."""

_GAIN = 1 / 8
"""RFC 6298, section 2.3: the weight of a new sample; SRTT "SHOULD be computed using alpha=1/8"."""

_TIMEOUT = 3.0
"""RFC 6298, section 2.2: after one sample R the timeout is SRTT + 4 * RTTVAR, which is R + 4 * R/2. Its rounding up to
a second (2.4) is left out: RFC 8305 has bounds of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Facts:
    """What is known of one address. Times are wall-clock seconds; None means never."""

    rtt: float = 0.0
    """Smoothed; means something only when `measured` is a time."""
    measured: float | None = None
    used: float | None = None


@dataclass(slots=True, kw_only=True, eq=False)
class History:
    """Remember round-trip times, and which addresses were used, from one connection to the next.

    Give it to a `Connector`, and keep it for as long as the network is the same one. Addresses are remembered without
    their ports, with their scopes.

    Args:
        max_addresses: How many addresses to remember; the one that was not heard of for longest is forgotten first.
        lifetime: For how many seconds a fact counts; the ten minutes are those of RFC 6555, section 4.
        explore_every: One race in so many ignores the history; `math.inf` means none does.
        rng: Decides which race that is.

    Raises:
        TypeError: An argument is no number.
        ValueError: An argument is out of its range; the text shows it.

    Example:
        >>> import math, socket
        >>> from trio_nbconnect import Address
        >>> far, near = (Address(socket.AF_INET, host, 443) for host in ("192.0.2.1", "192.0.2.2"))
        >>> history = History(explore_every=math.inf)
        >>> history.record(far, 0.090, now=1000.0)
        >>> history.record(near, 0.040, now=1001.0)
        >>> view = history.view(now=1002.0)
        >>> [address.host for address in view.sort([far, near])]
        ['192.0.2.2', '192.0.2.1']
        >>> view.attempt_delay(near, default=0.250)
        0.12
    """

    max_addresses: int = 1024
    lifetime: float = 600.0
    explore_every: float = 16
    rng: Random = field(default_factory=Random, repr=False)

    _known: dict[str, _Facts] = field(init=False, repr=False, default_factory=dict)
    """By `Address.ip`, the one that was not heard of for longest at the front."""

    def __post_init__(self) -> None:
        self.lifetime = check_seconds("lifetime", self.lifetime)
        if not isinstance(self.rng, Random):
            raise TypeError(f"rng must be random.Random, not {self.rng!r}")
        for name in ("max_addresses", "explore_every"):
            number = getattr(self, name)
            if not isinstance(number, (int, float)) or isinstance(number, bool):
                raise TypeError(f"{name} must be a number, not {number!r}")
            if not number >= 1:
                raise ValueError(f"{name} must be at least 1, not {number!r}")

    def record(self, address: Address, rtt: float, now: float) -> None:
        """Take in one sample: a handshake with this address took so many seconds.

        Bring no sample of a handshake whose SYN was sent twice (Karn's algorithm, RFC 6298, section 3).

        Args:
            address: Where to; the port does not matter.
            rtt: The round-trip time, seconds.
            now: The time of day, seconds since 1970 (`time.time()`).

        Raises:
            TypeError: `address` is no `Address`, or `rtt` or `now` no number.
            ValueError: `rtt` or `now` is negative, or not finite.
        """
        sample, now = _finite("rtt", rtt), _finite("now", now)
        facts = self._facts_of(address)
        if address.is_path:  # no route leads there
            return
        if self._counts(facts.measured, now):
            sample = (1 - _GAIN) * facts.rtt + _GAIN * sample
        self._remember(address.ip, replace(facts, rtt=sample, measured=now))

    def mark_used(self, address: Address, now: float) -> None:
        """Take in that a connection to this address was handed out.

        Args:
            address: Where to; the port does not matter.
            now: The time of day, seconds since 1970 (`time.time()`).

        Raises:
            TypeError: `address` is no `Address`, or `now` no number.
            ValueError: `now` is negative, or not finite.
        """
        facts, now = self._facts_of(address), _finite("now", now)
        if not address.is_path:
            self._remember(address.ip, replace(facts, used=now))

    def forget(self, address: Address | None = None) -> None:
        """Forget one address; without one, everything.

        RFC 8305, section 4: history "SHOULD be flushed whenever a device changes the network to which it is
        attached". Only the program can know of that; this is what it calls.

        Args:
            address: The one to forget; the port does not matter.

        Raises:
            TypeError: `address` is no `Address`.
        """
        if address is None:
            self._known.clear()
        elif self._facts_of(address) != _Facts():
            del self._known[address.ip]

    def view(self, now: float) -> HistoryView | None:
        """Return what one race may know, None if it is the one that sets history aside.

        Args:
            now: The time of day, seconds since 1970 (`time.time()`).

        Raises:
            TypeError: `now` is no number.
            ValueError: `now` is negative, or not finite.
        """
        now = _finite("now", now)
        return None if self.rng.random() < 1 / self.explore_every else HistoryView(self, now)

    def to_json(self) -> str:
        """Write down what is known, for `from_json`.

        Addresses with a scope are left out: the index of an interface may name another one after the next boot.

        Example:
            >>> History().to_json()
            '{"version": 1, "addresses": {}}'
        """
        import json  # noqa: PLC0415 - few histories are written down

        known = {ip: asdict(facts) for ip, facts in self._known.copy().items() if "%" not in ip}
        return json.dumps({"version": _VERSION, "addresses": known})

    @classmethod
    def from_json(cls, text: str, *, like: History | None = None) -> History:
        """Return a history that knows what is written in `text`; what is too old by now does not count.

        Args:
            text: What `to_json` returned. It is not trusted.
            like: A history with the settings that the new one shall have; None means the defaults.

        Raises:
            TypeError: `text` is no `str`, or `like` no `History`.
            ValueError: `text` is nothing that `to_json` has written; the message says why.

        Example:
            >>> History.from_json('{"version": 1, "addresses": {}}', like=History(lifetime=3600)).lifetime
            3600
        """
        if like is not None and not isinstance(like, History):
            raise TypeError(f"like must be History, not {like!r}")
        history = replace(cls() if like is None else like)
        for ip, facts in _read(text).items():
            history._remember(ip, facts)
        return history

    def _facts_of(self, address: Address) -> _Facts:
        """What is known of an address, whether it counts or not."""
        if not isinstance(address, Address):
            raise TypeError(f"address must be Address, not {address!r}")
        return self._known.get(address.ip, _Facts())

    def _remember(self, ip: str, facts: _Facts) -> None:
        self._known.pop(ip, None)
        self._known[ip] = facts
        while len(self._known) > self.max_addresses:
            with suppress(RuntimeError):  # another thread has changed it meanwhile
                self._known.pop(next(iter(self._known)), None)

    def _counts(self, time: float | None, now: float) -> bool:
        """Whether a fact of that time is recent. One from the future is not: the clock was wrong then, or is now."""
        return time is not None and abs(now - time) <= self.lifetime


@dataclass(frozen=True, slots=True)
class HistoryView:
    """What one race may know of a history: one moment decides for the whole race what is too old.

    What other races write meanwhile is seen. That does no harm, since every sort is one of the complete list.

    Attributes:
        history: The history.
        now: The time of day, seconds since 1970.
    """

    history: History
    now: float

    def rtt(self, address: Address) -> float | None:
        """Return the smoothed round-trip time in seconds, None if it is unknown.

        Args:
            address: Where to; the port does not matter.
        """
        facts = self.history._facts_of(address)
        return facts.rtt if self.history._counts(facts.measured, self.now) else None

    def used(self, address: Address) -> bool:
        """Whether a connection to this address was handed out lately.

        Args:
            address: Where to; the port does not matter.
        """
        facts = self.history._facts_of(address)
        return self.history._counts(facts.used, self.now)

    def sort(self, addresses: Iterable[Address]) -> list[Address]:
        """Apply the two rules that RFC 8305, section 4, puts between rules 8 and 9 of RFC 6724.

        First "prefers addresses with lower RTTs"; then "prefers used addresses over unused ones". An address without
        a round-trip time comes after all that have one: to skip the rule for such a pair would leave three addresses
        without an order. The sort is stable, so rules 9 and 10 are whatever order the addresses came in.

        Args:
            addresses: A run of addresses between which rules 1 to 8 see no difference.
        """
        return sorted(several("addresses", addresses, "addresses"), key=self.rank)

    def attempt_delay(self, address: Address, *, default: float, minimum: float = 0.100, maximum: float = 2.0) -> float:
        """Return how long the next attempt waits for one to this address.

        RFC 8305, section 5: the delay may follow "the time of the first SYN retransmission", which RFC 6298 puts at
        three times a round-trip time that was seen once.

        Args:
            address: Where the newest attempt goes.
            default: The delay when the round-trip time is unknown; `math.inf` always holds: one attempt at a time.
            minimum: RFC 8305, section 8: the Minimum Connection Attempt Delay, "100 milliseconds".
            maximum: RFC 8305, section 8: the Maximum Connection Attempt Delay, "2 seconds".
        """
        rtt = self.rtt(address)
        if rtt is None or default == math.inf:
            return default
        return min(max(_TIMEOUT * rtt, minimum), maximum)

    def rank(self, address: Address) -> tuple[float, bool]:
        """The two rules as a key; the smaller is preferred.

        Args:
            address: Where to; the port does not matter.
        """
        rtt = self.rtt(address)
        return (math.inf if rtt is None else rtt, not self.used(address))


def _read(text: str) -> dict[str, _Facts]:
    """Read the JSON form, and believe nothing."""
    import json  # noqa: PLC0415 - few histories are read

    if not isinstance(text, str):
        raise TypeError(f"text must be str, not {text!r}")
    try:
        saved = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"no saved history: {error}") from None
    if not isinstance(saved, dict) or saved.get("version") != _VERSION or not isinstance(saved.get("addresses"), dict):
        raise ValueError(f"no saved history of version {_VERSION}")
    return dict(_read_entry(ip, entry) for ip, entry in saved["addresses"].items())


def _read_entry(ip: str, entry: object) -> tuple[str, _Facts]:
    """Read one address, in its one spelling, and what is known of it."""
    try:
        literal = parse_literal(ip, 0)
        if literal is None or not isinstance(entry, dict) or set(entry) != {"rtt", "measured", "used"}:
            raise ValueError("it must be an address with rtt, measured and used")
        times = {name: None if entry[name] is None else _finite(name, entry[name]) for name in ("measured", "used")}
        return literal.ip, _Facts(rtt=_finite("rtt", entry["rtt"]), **times)
    except (TypeError, ValueError) as error:
        raise ValueError(f"no saved history: entry {shortened(repr(ip), 60)}: {error}") from None


def _finite(name: str, seconds: object) -> float:
    """Return a time that arithmetic can be done with, or raise what is wrong with it."""
    number = check_seconds(name, seconds)
    if number > sys.float_info.max:  # infinity, or an int that is no float
        raise ValueError(f"{name} must be finite, not {seconds!r}")
    return float(number)
