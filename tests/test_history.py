"""History: what is remembered of addresses, for how long, and what a race makes of it (RFC 8305, sections 4 and 5)."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from itertools import cycle
from random import Random
from typing import Any

import pytest

from trio_nbconnect import Address
from trio_nbconnect._address import IPV4, IPV6
from trio_nbconnect._resolve.history import History, HistoryView

A, B, C, D = (Address(IPV6, f"2001:db8::{letter}", 443) for letter in "abcd")
V4 = Address(IPV4, "192.0.2.1", 443)
NOON = 1_700_000_000.0
"""A wall clock's time; everything happens around it."""


class Loaded(Random):
    """Dice that fall as they are told, again and again."""

    def __init__(self, falls: str) -> None:
        super().__init__(falls)
        self._falls = cycle(map(float, falls.split()))

    def random(self) -> float:
        return next(self._falls)


def remembering(
    rtts: dict[Address, float] | None = None, used: tuple[Address, ...] = (), lifetime: float = 600.0
) -> History:
    """Return a history that nobody sets aside, and that learnt these things at noon."""
    history = History(explore_every=math.inf, lifetime=lifetime)
    for address, rtt in (rtts or {}).items():
        history.record(address, rtt, NOON)
    for address in used:
        history.mark_used(address, NOON)
    return history


def look(history: History, now: float = NOON) -> HistoryView:
    """Return the view of a race that begins now."""
    view = history.view(now)
    assert view is not None
    return view


def test_a_new_history_knows_nothing() -> None:
    view = look(remembering())

    assert (view.rtt(A), view.used(A), view.sort([B, A])) == (None, False, [B, A])
    assert view.attempt_delay(A, default=0.250) == 0.250


def test_the_first_sample_is_the_round_trip_time() -> None:
    """RFC 6298, section 2.2: "When the first RTT measurement R is made, the host MUST set SRTT <- R"."""
    assert look(remembering({A: 0.080})).rtt(A) == 0.080


def test_later_samples_weigh_an_eighth() -> None:
    """RFC 6298, section 2.3: "SRTT <- (1 - alpha) * SRTT + alpha * R'"."""
    history = remembering({A: 0.080})

    history.record(A, 0.160, NOON + 1)
    assert look(history).rtt(A) == pytest.approx(0.090)

    history.record(A, 0.010, NOON + 2)
    assert look(history).rtt(A) == pytest.approx(0.080)


def test_a_sample_is_not_smoothed_with_one_that_is_too_old() -> None:
    history = remembering({A: 0.080})

    history.record(A, 0.160, NOON + 601)

    assert look(history, NOON + 601).rtt(A) == 0.160


def test_a_round_trip_time_is_not_a_use_nor_the_other_way_round() -> None:
    """A runner-up was measured, but nobody used it."""
    view = look(remembering({A: 0.080}, used=(B,)))

    assert [(view.rtt(address), view.used(address)) for address in (A, B)] == [(0.080, False), (None, True)]


def test_both_are_remembered_of_one_address() -> None:
    history = remembering(used=(A,))

    history.record(A, 0.080, NOON + 1)
    history.mark_used(A, NOON + 2)

    assert (look(history).rtt(A), look(history).used(A)) == (0.080, True)


def test_the_port_does_not_matter() -> None:
    view = look(remembering({A: 0.080}, used=(A,)))
    other_port = Address(A.family, A.host, 80)

    assert (view.rtt(other_port), view.used(other_port)) == (0.080, True)


def test_the_scope_does() -> None:
    """RFC 8305, section 4: "This historical data MUST NOT be used across different network interfaces"."""
    first, second = (Address(IPV6, "fe80::1", 443, 0, scope_id) for scope_id in (1, 2))
    view = look(remembering({first: 0.001}, used=(first,)))

    assert (view.rtt(first), view.used(first)) == (0.001, True)
    assert (view.rtt(second), view.used(second)) == (None, False)


@pytest.mark.parametrize(
    ("later", "is_known"), [(0, True), (600, True), (600.5, False), (-600, True), (-600.5, False), (1e9, False)]
)
def test_facts_count_for_their_lifetime(later: float, is_known: bool) -> None:
    """A fact from far in the future does not count either: one of the two clocks was wrong."""
    view = look(remembering({A: 0.080}, used=(A,)), NOON + later)

    assert (view.rtt(A) is not None, view.used(A)) == (is_known, is_known)


def test_facts_may_count_for_ever() -> None:
    view = look(remembering({A: 0.080}, used=(B,), lifetime=math.inf), NOON + 1e9)

    assert (view.rtt(A), view.used(B)) == (0.080, True)
    assert (view.used(A), view.rtt(B)) == (False, None)


def test_each_fact_has_its_own_age() -> None:
    history = remembering({A: 0.080})

    history.mark_used(A, NOON + 500)

    assert (look(history, NOON + 700).rtt(A), look(history, NOON + 700).used(A)) == (None, True)


@pytest.mark.parametrize(
    ("rtts", "used", "order"),
    [
        ({}, (), [A, B, C, D]),
        ({C: 0.010, B: 0.020}, (), [C, B, A, D]),  # lower first, unknown after known
        ({A: 0.020, B: 0.020}, (), [A, B, C, D]),  # a tie keeps the order
        ({A: 0.020, B: 0.020}, (B,), [B, A, C, D]),  # but for the used one
        ({}, (D, B), [B, D, A, C]),
        ({C: 0.020}, (B,), [C, B, A, D]),  # the round-trip time rules first
        ({D: 9.0}, (A, B), [D, A, B, C]),
    ],
)
def test_the_two_rules_of_section_4(
    rtts: dict[Address, float], used: tuple[Address, ...], order: list[Address]
) -> None:
    """It "prefers addresses with lower RTTs", and then "prefers used addresses over unused ones"."""
    assert look(remembering(rtts, used)).sort([A, B, C, D]) == order


def test_what_is_too_old_does_not_sort() -> None:
    assert look(remembering({B: 0.010}, used=(C,)), NOON + 601).sort([A, B, C]) == [A, B, C]


def test_a_sort_needs_no_list() -> None:
    assert look(remembering({B: 0.010})).sort(address for address in (A, B)) == [B, A]


@pytest.mark.parametrize(
    ("rtt", "delay"), [(0.050, 0.150), (0.010, 0.100), (0.900, 2.0), (0.0, 0.100), (1 / 3, 1.0), (1e300, 2.0)]
)
def test_the_delay_is_the_first_retransmission_timeout(rtt: float, delay: float) -> None:
    """RFC 8305, section 5: "the time when the previous attempt is sending its second TCP SYN", within its bounds."""
    assert look(remembering({A: rtt})).attempt_delay(A, default=0.250) == pytest.approx(delay)


def test_the_bounds_of_the_delay_can_be_others() -> None:
    view = look(remembering({A: 0.010, B: 0.900}))

    assert view.attempt_delay(A, default=0.250, minimum=0.020) == pytest.approx(0.030)
    assert view.attempt_delay(B, default=0.250, maximum=1.0) == 1.0


def test_the_default_is_not_held_to_the_bounds() -> None:
    assert look(remembering()).attempt_delay(A, default=0.050) == 0.050


def test_who_tries_one_address_at_a_time_does_so_with_a_history_too() -> None:
    assert look(remembering({A: 0.050})).attempt_delay(A, default=math.inf) == math.inf


def test_a_view_has_one_moment_and_sees_what_is_written_later() -> None:
    history = remembering({A: 0.080})
    view = look(history, NOON + 600)

    history.record(B, 0.010, NOON + 601)

    assert view.sort([A, B]) == [B, A]


def test_one_race_in_sixteen_sets_history_aside() -> None:
    """RFC 8305, section 4: clients whose history differs "will eventually converge toward the same behaviors"."""
    history = History(rng=Loaded("0 0.0624 0.0625 0.9"))

    assert [history.view(NOON) is None for _ in range(4)] == [True, True, False, False]


def test_the_dice_are_fair() -> None:
    history = History(rng=Random(8305))

    assert 950 < sum(history.view(NOON) is None for _ in range(16_000)) < 1050


def test_history_can_be_set_aside_never_or_always() -> None:
    assert History(explore_every=math.inf, rng=Loaded("0")).view(NOON) is not None
    assert History(explore_every=1, rng=Loaded("0.9999999999")).view(NOON) is None


def test_dice_differ_from_history_to_history() -> None:
    assert History().rng is not History().rng


def test_histories_share_nothing() -> None:
    remembering({A: 0.080})

    assert look(remembering()).rtt(A) is None


def test_the_address_not_heard_of_for_longest_is_forgotten() -> None:
    history = History(max_addresses=2, explore_every=math.inf)

    history.record(A, 0.010, NOON)
    history.mark_used(B, NOON + 1)
    history.record(A, 0.010, NOON + 2)
    history.mark_used(C, NOON + 3)

    view = look(history)
    assert [view.rtt(A) is not None, view.used(B), view.used(C)] == [True, False, True]


def test_a_history_never_grows_beyond_its_bound() -> None:
    history = History(max_addresses=3)
    for number in range(100):
        history.record(Address(IPV4, f"192.0.2.{number}", 443), 0.010, NOON)

    assert list(json.loads(history.to_json())["addresses"]) == ["192.0.2.97", "192.0.2.98", "192.0.2.99"]


def test_another_thread_may_change_it_meanwhile() -> None:
    """Then the oldest is looked for once more."""

    class Changed(dict[str, Any]):
        looks = 0

        def __iter__(self) -> Iterator[str]:
            self.looks += 1
            if self.looks == 1:
                raise RuntimeError("dictionary changed size during iteration")
            return super().__iter__()

    history = History(max_addresses=1, explore_every=math.inf)
    history._known = Changed()
    history.record(A, 0.010, NOON)
    history.record(B, 0.010, NOON)

    assert [look(history).rtt(address) is not None for address in (A, B)] == [False, True]
    assert history._known.looks == 2


def test_a_sort_says_what_it_cannot_sort() -> None:
    with pytest.raises(TypeError, match=r"^addresses must be an iterable of addresses, not str"):
        look(History(explore_every=math.inf)).sort("192.0.2.1")  # type: ignore[arg-type]


def test_forget_everything() -> None:
    """RFC 8305, section 4: it "SHOULD be flushed whenever a device changes the network to which it is attached"."""
    history = remembering({A: 0.080}, used=(B,))
    view = look(history)

    history.forget()

    assert (view.rtt(A), view.used(B)) == (None, False)


def test_forget_one_address_whatever_its_port() -> None:
    history = remembering({A: 0.080, B: 0.080}, used=(A, B))

    history.forget(Address(A.family, A.host, 80))
    history.forget(C)

    view = look(history)
    assert (view.rtt(A), view.used(A), view.rtt(B), view.used(B)) == (None, False, 0.080, True)


def test_what_was_saved_is_known_again() -> None:
    history = remembering({A: 0.080, V4: 0.020}, used=(A, C))

    again = History.from_json(history.to_json(), like=remembering())

    view = look(again)
    assert [view.rtt(address) for address in (A, V4, C)] == [0.080, 0.020, None]
    assert [view.used(address) for address in (A, V4, C)] == [True, False, True]
    assert again.to_json() == history.to_json()


def test_what_is_saved_is_plain_to_read() -> None:
    history = remembering({V4: 0.020}, used=(A,))

    assert json.loads(history.to_json()) == {
        "version": 1,
        "addresses": {
            "192.0.2.1": {"rtt": 0.020, "measured": NOON, "used": None},
            "2001:db8::a": {"rtt": 0.0, "measured": None, "used": NOON},
        },
    }


def test_an_address_with_a_scope_is_not_saved() -> None:
    history = remembering({Address(IPV6, "fe80::1", 443, 0, 1): 0.001})

    assert json.loads(history.to_json())["addresses"] == {}


def test_what_was_saved_too_long_ago_does_not_count() -> None:
    again = History.from_json(remembering({A: 0.080}).to_json(), like=remembering())

    assert look(again, NOON + 601).rtt(A) is None


def test_a_saved_history_takes_the_settings_it_is_given_and_leaves_their_owner_alone() -> None:
    like = History(max_addresses=1, lifetime=60, explore_every=math.inf, rng=Loaded("0.5"))

    again = History.from_json(remembering({A: 0.080, B: 0.080}).to_json(), like=like)

    assert (again.max_addresses, again.lifetime, again.explore_every, again.rng) == (1, 60, math.inf, like.rng)
    assert [look(again).rtt(address) for address in (A, B)] == [None, 0.080]  # the bound is kept
    assert look(like).rtt(B) is None


def test_a_saved_history_has_the_defaults_otherwise() -> None:
    again = History.from_json(History(lifetime=60).to_json())

    assert (again.max_addresses, again.lifetime, again.explore_every) == (1024, 600, 16)


def test_addresses_are_read_in_their_one_spelling() -> None:
    text = remembering({A: 0.080}).to_json().replace("2001:db8::a", "2001:DB8:0::A")

    assert look(History.from_json(text, like=remembering())).rtt(A) == 0.080


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "no saved history: Expecting value: line 1 column 1 (char 0)"),
        ("[" * 200_000, "no saved history: maximum recursion depth exceeded"),
        ("null", "no saved history of version 1"),
        ("[]", "no saved history of version 1"),
        ("{}", "no saved history of version 1"),
        ('{"version": 2, "addresses": {}}', "no saved history of version 1"),
        ('{"version": 1}', "no saved history of version 1"),
        ('{"version": 1, "addresses": []}', "no saved history of version 1"),
    ],
)
def test_garbage_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(ValueError) as caught:
        History.from_json(text)

    assert str(caught.value).startswith(complaint)


FINE = {"rtt": 0.02, "measured": NOON, "used": None}
INCOMPLETE = "it must be an address with rtt, measured and used"


@pytest.mark.parametrize(
    ("ip", "entry", "complaint"),
    [
        ("example.org", FINE, INCOMPLETE),
        ("192.0.2.1", [], INCOMPLETE),
        ("192.0.2.1", ["rtt", "measured", "used"], INCOMPLETE),
        ("192.0.2.1", {"rtt": 0.02}, INCOMPLETE),
        ("192.0.2.1", {**FINE, "port": 443}, INCOMPLETE),
        ("[::1]", FINE, "host must be a name or an address, not '[::1]'"),
        ("192.0.2.1", {**FINE, "rtt": None}, "rtt must be a number of seconds, not None"),
        ("192.0.2.1", {**FINE, "rtt": "0.02"}, "rtt must be a number of seconds, not '0.02'"),
        ("192.0.2.1", {**FINE, "rtt": -1}, "rtt must not be negative, not -1"),
        ("192.0.2.1", {**FINE, "rtt": math.nan}, "rtt must not be negative, not nan"),
        ("192.0.2.1", {**FINE, "measured": math.inf}, "measured must be finite, not inf"),
        ("192.0.2.1", {**FINE, "used": 10**400}, "used is too large, use math.inf for never: "),
        ("192.0.2.1", {**FINE, "used": True}, "used must be a number of seconds, not True"),
    ],
)
def test_an_entry_of_garbage_is_refused_by_its_name(ip: str, entry: Any, complaint: str) -> None:
    with pytest.raises(ValueError) as caught:
        History.from_json(json.dumps({"version": 1, "addresses": {ip: entry}}))

    assert str(caught.value).startswith(f"no saved history: entry {ip!r}: {complaint}")


def test_a_long_name_is_shown_in_part() -> None:
    """60 characters of its repr at most."""
    with pytest.raises(ValueError) as caught:
        History.from_json(json.dumps({"version": 1, "addresses": {"x" * 100: FINE}}))

    assert str(caught.value) == f"no saved history: entry '{'x' * 59}...: {INCOMPLETE}"


def test_an_entry_may_hold_every_float() -> None:
    entry = {"rtt": sys.float_info.max, "measured": NOON, "used": None}
    saved = json.dumps({"version": 1, "addresses": {"192.0.2.1": entry}})
    assert History.from_json(saved).to_json() == saved


@pytest.mark.parametrize(
    ("rtt", "now", "kind", "complaint"),
    [
        (-0.001, NOON, ValueError, "rtt must not be negative, not -0.001"),
        (math.inf, NOON, ValueError, "rtt must be finite, not inf"),
        (math.nan, NOON, ValueError, "rtt must not be negative, not nan"),
        ("1", NOON, TypeError, "rtt must be a number of seconds, not '1'"),
        (0.010, -1.0, ValueError, "now must not be negative, not -1.0"),
        (0.010, None, TypeError, "now must be a number of seconds, not None"),
    ],
)
def test_a_sample_is_a_time(rtt: Any, now: Any, kind: type[Exception], complaint: str) -> None:
    history = remembering({A: 0.080})

    with pytest.raises(kind) as caught:
        history.record(A, rtt, now)

    assert str(caught.value) == complaint
    assert look(history).rtt(A) == 0.080  # nothing was taken in


def test_a_use_has_a_time() -> None:
    with pytest.raises(ValueError) as caught:
        History().mark_used(A, math.inf)

    assert str(caught.value) == "now must be finite, not inf"


@pytest.mark.parametrize(
    ("settings", "kind", "complaint"),
    [
        ({"max_addresses": 0}, ValueError, "max_addresses must be at least 1, not 0"),
        ({"max_addresses": "9"}, TypeError, "max_addresses must be a number, not '9'"),
        ({"max_addresses": True}, TypeError, "max_addresses must be a number, not True"),
        ({"explore_every": 0.5}, ValueError, "explore_every must be at least 1, not 0.5"),
        ({"explore_every": math.nan}, ValueError, "explore_every must be at least 1, not nan"),
        ({"explore_every": None}, TypeError, "explore_every must be a number, not None"),
        ({"lifetime": -1}, ValueError, "lifetime must not be negative, not -1"),
        ({"lifetime": "10 min"}, TypeError, "lifetime must be a number of seconds, not '10 min'"),
    ],
)
def test_settings_are_checked(settings: dict[str, Any], kind: type[Exception], complaint: str) -> None:
    with pytest.raises(kind) as caught:
        History(**settings)

    assert str(caught.value) == complaint


def test_a_history_shows_its_settings_and_is_itself_alone() -> None:
    """It is compared by what it is, not by what it holds, so that a `Connector` which has one can be hashed."""
    assert repr(History()) == "History(max_addresses=1024, lifetime=600.0, explore_every=16)"
    assert History() != History()
    assert len({History(), History()}) == 2
