"""Aftermath: the timeline of a race of which nothing is left but its error.

The problem: who did not record has an error in hand and wants the picture all the same. How we solve it: the error
knows its attempts, and each of them when it began, how it ended and how far it had come. Why it began follows: at the
end of the one before, or when the delay was over.

What an error does not know is left out: look-ups, the policy, and when TCP was connected. Time counts from the start of
the first attempt, and the picture says so.
"""

from __future__ import annotations

from .._errors import Attempt, ConnectError
from .._policy import Policy
from ..trace import Reason
from .timeline import AttemptRow, Fate, Outcome, Timeline, fate_of_failure

_SOON = Policy().minimum_gap * 1.5
"""An attempt that begins within this of the end of another began because of it; section 5 makes it wait for a gap."""


def timeline_of_error(error: ConnectError) -> Timeline:
    """Sort what an error tells into the shape of its picture.

    Example:
        >>> timeline_of_error(ConnectError("no route", host="example.org", port=443)).outcome
        <Outcome.LOST: 'lost'>
    """
    began = min((attempt.started for attempt in error.attempts), default=0.0)
    rows: list[AttemptRow] = []
    for place, attempt in enumerate(error.attempts):
        before = error.attempts[place - 1] if place else None
        rows.append(_row(attempt, before, began))
    return Timeline(
        race=0,
        host=error.host,
        port=error.port,
        policy=None,
        began=began,
        duration=max((row.ended for row in rows), default=0.0),
        outcome=Outcome.LOST,
        error=error,
        look_ups=(),
        attempts=tuple(rows),
        untried=(),
    )


def _row(attempt: Attempt, before: Attempt | None, began: float) -> AttemptRow:
    return AttemptRow(
        number=attempt.number,
        address=attempt.address,
        known_since=attempt.started - began,
        started=attempt.started - began,
        connected=None,
        ended=attempt.ended - began,
        fate=Fate.TIMED_OUT if attempt.error is None else fate_of_failure(attempt.error),
        error=attempt.error,
        reason=_reason(attempt, before),
        preceded_by=before.number if before else None,
    )


def _reason(attempt: Attempt, before: Attempt | None) -> Reason:
    if before is None:
        return Reason.FIRST
    at_its_end = 0 <= attempt.started - before.ended <= _SOON
    return Reason.PREDECESSOR_FAILED if at_its_end else Reason.DELAY_OVER
