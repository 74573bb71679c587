"""What pictures claim of a race, compared with what its events say, on random bad networks in virtual time."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator

import pytest
import trio

import trio_nbconnect as nb
from trio_nbconnect._pictures.timeline import AttemptRow
from trio_nbconnect._printable import seconds_text
from trio_nbconnect.testing import SimulatedNetwork, simulate
from trio_nbconnect.trace import DelaySource, Reason

HOST = "example.org"


def race_on_a_bad_network(seed: int) -> nb.RecordedRace:
    """A host of which some addresses work, looked up by slow name servers, with limits of every kind."""
    rng, net = random.Random(seed), SimulatedNetwork()
    six = [f"2001:db8::{number}" for number in range(1, rng.randint(1, 4))]
    four = [f"192.0.2.{number}" for number in range(1, rng.randint(1, 4))]
    net.answers(HOST, aaaa=six, after=rng.choice([0, 0.02, 0.06, 0.2, 0.4, 1]))
    net.answers(HOST, a=four, after=rng.choice([0, 0.02, 0.061, 0.21, 0.41, 1.1]))
    for ip in six + four:
        reaction = rng.choice(["accepts", "refuses", "resets", "unreachable", "drops"])
        times = {} if reaction == "drops" else {"after": rng.choice([0.001, 0.013, 0.037, 0.3, 0.7, 1.7])}
        getattr(net.host(ip), reaction)(**times)

    async def greet(stream: trio.SocketStream) -> None:
        await trio.sleep(rng.choice([0.05, 0.3, 5]))
        if rng.random() < 0.3:
            raise OSError("no greeting")

    return simulate(
        net,
        HOST,
        443,
        connector=nb.Connector(resolver=net.resolver(services=False)) if seed % 2 else nb.Connector(),
        policy=nb.Policy(
            attempt_delay=rng.choice([0.1, 0.25, 1]),
            give_up_attempt_after=rng.choice([math.inf, 0.5, 2.5]),
            attempts_at_full_pace=rng.choice([16, 2]),
        ),
        give_up_after=rng.choice([1.3, 3, 8]),
        establish=greet if seed % 3 == 0 else None,
    )


def false_claims(race: nb.RecordedRace) -> Iterator[str]:
    """Name what a picture says that was not so."""
    timeline, picture = race.timeline, race.text(width=120)
    if ("gave up" in picture) is not str(timeline.error).startswith("gave up"):
        yield "who gave up"
    if any(lookup.until is None for lookup in timeline.lookups) and timeline.error and not timeline.gave_up:
        yield "a look-up without an answer, in a race that ended by itself"
    for before, attempt in zip(timeline.attempts, timeline.attempts[1:], strict=False):
        yield from _false_reasons(before, attempt, picture)


def _false_reasons(before: AttemptRow, attempt: AttemptRow, picture: str) -> Iterator[str]:
    since = attempt.started - before.started
    if attempt.reason is Reason.PREDECESSOR_FAILED:
        failed_at = before.ended if before.error else math.inf
        if not 0 <= attempt.started - failed_at <= 0.0101:  # the minimum gap
            yield f"a failure started attempt {attempt.number}"
    elif attempt.reason is Reason.ADDRESS_CAME:
        if attempt.started - attempt.known_since > 0.0101:
            yield f"an address that came started attempt {attempt.number}"
    elif before.delay_from is DelaySource.SLOWED:
        if f"+{seconds_text(since)} slowed" in picture and since < 1.96:
            yield f"the pace was slow before attempt {attempt.number}"
    else:
        after_tcp = 0.0 if before.connected is None else before.connected - before.started
        if before.delay is None or since not in (pytest.approx(before.delay), pytest.approx(after_tcp + before.delay)):
            yield f"a delay started attempt {attempt.number}"


@pytest.mark.parametrize("seeds", [range(start, start + 100) for start in (0, 100)], ids=lambda seeds: seeds.start)
def test_pictures_claim_what_was_so(seeds: range) -> None:
    for seed in seeds:
        race = race_on_a_bad_network(seed)
        assert list(false_claims(race)) == [], f"seed {seed}\n{race}"
