"""The events of a race, written by hand. Times are seconds since it started."""

from __future__ import annotations

from trio_nbconnect import Address, Phase, Policy, Source, trace
from trio_nbconnect._address import parse_literal

START = 100.1
"""When all scripts start on Trio's clock: not a round number."""

_Answers = tuple[str, ...]


def address(text: str, port: int = 443) -> Address:
    """Read a numeric address."""
    literal = parse_literal(text, port)
    assert literal is not None
    return literal


class RaceScript:
    """One race. Attempts are numbered in the order of their starts and called by their addresses."""

    def __init__(self, host: str = "example.org", port: int = 443, policy: Policy | None = None, race: int = 1) -> None:
        self.race = race
        self.events: list[trace.Event] = [
            trace.RaceStarted(race=race, time=START, host=host, port=port, policy=policy or Policy())
        ]
        self._numbers: dict[str, int] = {}
        self._port = port

    def queries(self, source: Source, time: float = 0.0) -> None:
        """A query goes out."""
        self.events.append(trace.ResolutionStarted(race=self.race, time=START + time, source=source))

    def answers(self, source: Source, time: float, *texts: str, error: OSError | None = None) -> None:
        """Addresses arrive, or an error."""
        addresses = tuple(address(text, self._port) for text in texts)
        self.events.append(
            trace.AnswerReceived(race=self.race, time=START + time, source=source, addresses=addresses, error=error)
        )

    def starts(self, text: str, time: float, reason: trace.Reason = trace.Reason.DELAY_OVER) -> None:
        """An attempt begins."""
        number = self._numbers[text] = len(self._numbers) + 1
        self.events.append(
            trace.AttemptStarted(
                race=self.race, time=START + time, attempt=number, address=address(text, self._port), reason=reason
            )
        )

    def connects(self, text: str, time: float, next_phase: Phase | None = Phase.ESTABLISH) -> None:
        """TCP is connected."""
        number, to = self._numbers[text], address(text, self._port)
        now = START + time
        self.events.append(
            trace.AttemptConnected(race=self.race, time=now, attempt=number, address=to, next_phase=next_phase)
        )

    def establishes(self, text: str, time: float) -> None:
        """The attempt is established."""
        self._add(trace.AttemptEstablished, text, time)

    def fails(self, text: str, time: float, error: OSError) -> None:
        """The attempt fails."""
        self.events.append(
            trace.AttemptFailed(
                race=self.race,
                time=START + time,
                attempt=self._numbers[text],
                address=address(text, self._port),
                error=error,
            )
        )

    def cancels(self, text: str, time: float) -> None:
        """The attempt is cancelled."""
        self._add(trace.AttemptCancelled, text, time)

    def discards(self, text: str, time: float) -> None:
        """The attempt is the runner-up."""
        self._add(trace.RunnerUpDiscarded, text, time)

    def wins(self, text: str, time: float) -> None:
        """The race is won."""
        self._add(trace.RaceWon, text, time)

    def loses(self, time: float, error: OSError | None = None) -> None:
        """The race is lost, or cancelled."""
        self.events.append(trace.RaceLost(race=self.race, time=START + time, error=error))

    def _add(
        self,
        happened: type[trace.AttemptEstablished | trace.AttemptCancelled | trace.RunnerUpDiscarded | trace.RaceWon],
        text: str,
        time: float,
    ) -> None:
        self.events.append(
            happened(race=self.race, time=START + time, attempt=self._numbers[text], address=address(text, self._port))
        )


def refused() -> OSError:
    """The error of a port without a listener."""
    return ConnectionRefusedError(111, "Connection refused")


def script_of_a_won_race() -> RaceScript:
    """Two black holes, one refusal, one winner, one address that was not needed."""
    script = _script_with_five_addresses()
    script.starts("2001:db8:1::10", 0.024, trace.Reason.FIRST)
    script.answers(Source.A, 0.041, "198.51.100.7", "203.0.113.24", "192.0.2.80")
    script.starts("198.51.100.7", 0.274)
    script.fails("198.51.100.7", 0.336, refused())
    script.starts("2001:db8:1::11", 0.336, trace.Reason.PREDECESSOR_FAILED)
    script.starts("203.0.113.24", 0.586)
    script.connects("203.0.113.24", 0.704, None)
    script.establishes("203.0.113.24", 0.704)
    script.cancels("2001:db8:1::10", 0.704)
    script.cancels("2001:db8:1::11", 0.704)
    script.wins("203.0.113.24", 0.704)
    return script


def script_of_a_lost_race(error: OSError) -> RaceScript:
    """Three black holes, two refusals, and then the time was over."""
    script = _script_with_five_addresses()
    script.starts("2001:db8:1::10", 0.024, trace.Reason.FIRST)
    script.answers(Source.A, 0.041, "198.51.100.7", "203.0.113.24", "192.0.2.80")
    script.starts("198.51.100.7", 0.274)
    script.fails("198.51.100.7", 0.336, refused())
    script.starts("2001:db8:1::11", 0.336, trace.Reason.PREDECESSOR_FAILED)
    script.starts("203.0.113.24", 0.586)
    script.starts("192.0.2.80", 0.836)
    script.fails("192.0.2.80", 0.856, refused())
    for text in ("2001:db8:1::10", "2001:db8:1::11", "203.0.113.24"):
        script.cancels(text, 0.9)
    script.loses(0.9, error)
    return script


def _script_with_five_addresses() -> RaceScript:
    script = RaceScript()
    script.queries(Source.AAAA)
    script.queries(Source.A)
    script.answers(Source.AAAA, 0.024, "2001:db8:1::10", "2001:db8:1::11")
    return script
