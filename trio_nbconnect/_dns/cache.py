"""Cache: answers that are still true, and those that were until a while ago (RFC 2308, RFC 8767).

A name server takes longer than the connect that follows, and most of its answers have not changed.

Algorithm: an answer is kept as long as its TTL says. After that it has expired, and may be used once more while a fresh
one is on its way ("optimistic", Happy Eyeballs version 3, section 4.4): addresses seldom move, and a race finds out by
itself. Once, and then it is gone: were it kept, a program that always connects before the fresh answer has come would
never learn that anything has changed. Times are data that the caller brings.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")

LONGEST = 86400.0
"""RFC 8767, section 4: a cap on what a TTL may ask for; a day, since clients are not restarted to correct an error."""


_CLOCKS = [
    (getattr(time, whole), getattr(time, awake))
    for whole, awake in (("CLOCK_BOOTTIME", "CLOCK_MONOTONIC"), ("CLOCK_MONOTONIC_RAW", "CLOCK_UPTIME_RAW"))
    if hasattr(time, whole) and hasattr(time, awake)
]
"""A clock that counts the time of a suspended machine, and Trio's, which does not: of Linux and of macOS."""


def seconds_asleep() -> float:
    """Return for how long this machine was suspended since its boot; 0 where Trio's clock counts that, or none does."""
    return sum(time.clock_gettime(whole) - time.clock_gettime(awake) for whole, awake in _CLOCKS)


@dataclass(frozen=True, slots=True)
class CacheEntry(Generic[V]):
    """What was answered, and until when it holds."""

    value: V
    expires: float


@dataclass(slots=True)
class Cache(Generic[K, V]):
    """The answers to at most `size` questions; the ones that were not asked for longest give way."""

    size: int
    keep_expired: float
    """How many seconds after its end an answer may still be used."""

    _entries: dict[K, CacheEntry[V]] = field(default_factory=dict)

    def store(self, key: K, value: V, ttl: float, now: float) -> None:
        """Keep an answer. One that may not be kept (TTL 0) takes the place of what was there all the same."""
        self._entries.pop(key, None)
        if ttl > 0:
            self.restore(key, CacheEntry(value, now + min(ttl, LONGEST)))

    def restore(self, key: K, entry: CacheEntry[V]) -> None:
        """Put back what was taken: nothing better could be had."""
        if self.size:
            self._entries[key] = entry
        if len(self._entries) > self.size:
            del self._entries[next(iter(self._entries))]

    def peek(self, key: K) -> CacheEntry[V] | None:
        """Return what is kept, expired or not, and leave everything as it is."""
        return self._entries.get(key)

    def fresh(self, key: K, now: float) -> CacheEntry[V] | None:
        """Return the answer if it still holds."""
        entry = self._entries.get(key)
        if entry is None or entry.expires <= now:
            return None
        self._entries[key] = self._entries.pop(key)  # the youngest is last
        return entry

    def take_expired(self, key: K, now: float) -> CacheEntry[V] | None:
        """Take an answer that has expired out of the table, and return it if it may be used once more."""
        entry = self._entries.pop(key, None)
        return None if entry is None or now - entry.expires >= self.keep_expired else entry

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
