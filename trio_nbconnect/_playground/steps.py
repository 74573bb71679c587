"""Steps: a race told event by event, each with the sentence that ruled.

A reader who has never heard of RFC 8305 sees bars and asks why. Each event of the recording becomes one sentence about
this race, and one quoted from RFC 8305, from version 3 of Happy Eyeballs (draft-ietf-happy-happyeyeballs-v3), or from
what else decided. What no standard says is said to be so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .. import trace
from .._address import IPV6, Address
from .._pictures import labels
from .._pictures.recording import RecordedRace
from .._pictures.timeline import AttemptRow, Timeline
from .._printable import printable, seconds_text
from .._resolve.query import Source
from ..trace import Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A sentence of a standard, and where it is."""

    where: str
    quote: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What happened at one time, in words, and the rule."""

    time: float
    words: str
    rule: Rule | None = None


def _rfc(section: str, quote: str) -> Rule:
    return Rule(where=f"RFC 8305, section {section}", quote=quote)


def _draft(section: str, quote: str) -> Rule:
    return Rule(where=f"Happy Eyeballs version 3 (draft), section {section}", quote=quote)


QUERIES = _rfc(
    "3",
    "Both queries SHOULD be made as soon after one another as possible, with the AAAA query made first and immediately "
    "followed by the A query.",
)
RESOLUTION_DELAY = _rfc(
    "3",
    "If a positive A response is received first due to reordering, the client SHOULD wait a short time for the AAAA "
    "response to ensure that preference is given to IPv6 (it is common for the AAAA response to follow the A response "
    'by a few milliseconds). This delay is referred to as the "Resolution Delay".',
)
PREFERRED_FIRST = _rfc(
    "3",
    "If a positive AAAA response (a response containing at least one valid AAAA resource record) is received first, "
    "the first IPv6 connection attempt is immediately started.",
)
IN_TIME = _rfc(
    "3",
    "If a positive AAAA response is received within the Resolution Delay period, the client immediately starts the "
    "IPv6 connection attempt.",
)
RESOLUTION_DELAY_OVER = _rfc(
    "3",
    "If [...] the AAAA response has not been received by the end of the Resolution Delay period, the client SHOULD "
    "proceed to sorting addresses [...] and staggered connection attempts [...] using any IPv4 addresses returned so "
    "far.",
)
LATE_ANSWER = _rfc(
    "3",
    "If the AAAA response arrives while these connection attempts are in progress but before any connection has been "
    "established, then the newly received IPv6 addresses are incorporated into the list of available candidate "
    "addresses [...]",
)
INTERLEAVED = _rfc(
    "4",
    "Whichever address family is first in the list should be followed by an address of the other address family",
)
ONE_BY_ONE = _rfc(
    "5",
    "[...] connection attempts SHOULD NOT be made simultaneously. Instead, one connection attempt to a single address "
    "is started first, followed by the others in the list, one at a time.",
)
DELAY = _rfc(
    "5",
    "A simple implementation can have a fixed delay for how long to wait before starting the next connection attempt. "
    'This delay is referred to as the "Connection Attempt Delay". One recommended value for a default delay is 250 '
    "milliseconds.",
)
FIRST_WINS = _rfc(
    "5",
    "Once one of the connection attempts succeeds (generally when the TCP handshake completes), all other connections "
    "attempts that have not yet succeeded SHOULD be canceled.",
)
GOES_ON = _rfc(
    "5",
    "Starting a new connection attempt does not affect previous attempts, as multiple connection attempts may occur in "
    "parallel.",
)
SERVICES = _draft(
    "4.2",
    "[...] a chance to receive preferred addresses (via AAAA records) along with service information (via SVCB/HTTPS "
    'records). [...] This delay is referred to as the "Resolution Delay".',
)
SERVICES_KNOWN = _draft("4.2", "SVCB/HTTPS service information has been received (or has received a negative response)")
SERVICES_LATE = _draft(
    "4.2",
    "Some positive (non-empty) address answers have been received AND a resolution time delay has passed after which "
    "other answers have not been received",
)
HINTS = _draft(
    "4.2.1",
    "ServiceMode records can contain IP address hints [...]. When these are received, they SHOULD be considered as "
    "positive non-empty answers",
)
TLS_TOO = _draft(
    "6.1",
    "When TLS is used on top of TCP [...], clients SHOULD wait for the TLS handshake to successfully complete before "
    "cancelling other connection attempts.",
)
A_FAILURE = Rule(
    where="RFC 8305 does not say what a failure means for the next attempt",
    quote="Every implementation starts it at once. But section 5: a subsequent connection MUST NOT be started within "
    "10 milliseconds of the previous attempt.",
)
SYSTEM = Rule(
    where="The operating system's look-up",
    quote="One call, getaddrinfo, answers for both families, in an order of its own, when it has both answers.",
)


def steps_of(race: RecordedRace) -> list[Step]:
    """Tell a race event by event; what happens at one time and by one cause is one step."""
    return list(_Telling(race.timeline).tell(race.events))


class _Telling:
    """Tells one race."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._attempts = {attempt.number: attempt for attempt in timeline.attempts}
        self._waits_since: float | None = None
        self._waits_for_services = False

    def tell(self, events: tuple[trace.Event, ...]) -> Iterator[Step]:
        start = events[0].time if events else 0.0
        queries = [event for event in events if isinstance(event, trace.ResolutionStarted)]
        told: set[float] = set()
        for event in events:
            time = event.time - start
            if isinstance(event, trace.ResolutionStarted):
                if event.time not in told:
                    told.add(event.time)
                    yield self._asked(time, [query for query in queries if query.time == event.time])
            elif isinstance(event, trace.AnswerReceived):
                yield self._answered(time, event)
            elif isinstance(event, trace.AttemptStarted):
                yield self._started(time, self._attempts[event.attempt])
            elif isinstance(event, trace.AttemptConnected) and event.next_phase is not None:
                yield Step(time=time, words=f"{event.address.ip} completes the TCP handshake; now TLS.", rule=TLS_TOO)
            elif isinstance(event, trace.AttemptFailed):
                words = f"{event.address.ip} fails: {labels.error_text(event.error)}."
                yield Step(time=time, words=words, rule=A_FAILURE)
            elif isinstance(event, trace.RaceWon):
                yield self._won(time, event.address)
            elif isinstance(event, trace.RaceLost):
                why = "The race was cancelled." if event.error is None else f"The race is lost: {event.error}."
                yield Step(time=time, words=printable(why))

    def _asked(self, time: float, queries: list[trace.ResolutionStarted]) -> Step:
        name = queries[0].name or self._timeline.host
        if queries[0].source is Source.SYSTEM:
            return Step(time=time, words=f"The system is asked for {name}.", rule=SYSTEM)
        kinds = ", ".join(query.source.value for query in queries)
        return Step(time=time, words=f"Queries go out for {name}: {kinds}.", rule=QUERIES)

    def _answered(self, time: float, event: trace.AnswerReceived) -> Step:
        what = f"{event.source.value} answers" if event.source is not Source.SYSTEM else "The system answers"
        what += f" for {event.name}" if event.name else ""
        hints = [hint for service in event.services for hint in service.hints]
        if event.services:
            found = f"{len(event.services)} service" + ("s" if len(event.services) > 1 else "")
            found += f" with hints of {len(hints)} addresses" if hints else ""
        elif event.addresses:
            found = ", ".join(address.ip for address in event.addresses)
        else:
            found = "no records" if event.error is None else labels.error_text(event.error)
        words, rule = f"{what}: {found}.", HINTS if hints else None
        first = self._timeline.attempts[0].started if self._timeline.attempts else None
        delay = seconds_text(self._timeline.policy.resolution_delay if self._timeline.policy else 0.0)
        if (event.addresses or hints) and self._waits_since is None and (first is None or first > time):
            self._waits_since = time
            words += f" The first attempt waits for what is still missing, for {delay} at most: the Resolution Delay."
            self._waits_for_services = event.source is not Source.A
            rule = SERVICES if self._waits_for_services else RESOLUTION_DELAY
        elif event.addresses and first is not None and first < time:
            rule = LATE_ANSWER
            words += " What is new joins the race."
        return Step(time=time, words=words, rule=rule)

    def _started(self, time: float, attempt: AttemptRow) -> Step:
        waited = (
            "" if self._waits_since is None else f" {seconds_text(time - self._waits_since)} after the first answer"
        )
        before = self._attempts.get(attempt.preceded_by or 0)
        late, in_time = (
            (SERVICES_LATE, SERVICES_KNOWN) if self._waits_for_services else (RESOLUTION_DELAY_OVER, IN_TIME)
        )
        why, rule = {
            Reason.FIRST: ("it is the first", ONE_BY_ONE),
            Reason.ALL_ANSWERED: (f"all answers are there{waited}", in_time if waited else ONE_BY_ONE),
            Reason.PREFERRED_ANSWERED: ("the preferred family has answered", PREFERRED_FIRST),
            Reason.RESOLUTION_DELAY_OVER: (f"the Resolution Delay is over{waited}", late),
            Reason.DELAY_OVER: ("the attempt before has had its delay, and goes on", DELAY),
            Reason.PREDECESSOR_FAILED: ("the attempt before has failed", A_FAILURE),
            Reason.ADDRESS_CAME: (
                "its address has come, and no other was left to try",
                LATE_ANSWER if attempt.address.family == IPV6 else ONE_BY_ONE,
            ),
        }[attempt.reason]
        if before is not None and before.address.family != attempt.address.family and attempt.number == 2:
            rule = INTERLEAVED if attempt.reason is Reason.PREDECESSOR_FAILED else rule
        return Step(time=time, words=f"Attempt {attempt.number}, {_named(attempt.address)}, begins: {why}.", rule=rule)

    def _won(self, time: float, address: Address) -> Step:
        under_way = sum(attempt.ended >= time for attempt in self._timeline.attempts) - 1
        rest = {0: "", 1: " The other one is given up."}.get(under_way, f" The {under_way} others are given up.")
        words = f"{_named(address)} wins: connected after {seconds_text(time)}.{rest}"
        return Step(time=time, words=words, rule=FIRST_WINS)


def _named(address: Address) -> str:
    return f"{'IPv6' if address.family == IPV6 else 'IPv4'} {address.ip}"
