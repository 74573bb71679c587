"""Candidates: which address is next, as answers come in (RFC 8305, sections 3 and 6)."""

from __future__ import annotations

import math
import socket
from dataclasses import replace
from functools import partial

import pytest

from trio_nbconnect import Address, Answer, History, Policy, Query, QuerySent, Service, Source
from trio_nbconnect._address import IPV4, IPV6
from trio_nbconnect._connect.policy_table import DEFAULT_POLICY_TABLE as TABLE
from trio_nbconnect._race.candidates import Candidates
from trio_nbconnect._resolve.rfc6724 import Rules

V6A, V6B, V6C = (Address(IPV6, f"2001:db8::{letter}", 443) for letter in "abc")
V4A, V4B = (Address(IPV4, f"192.0.2.{number}", 443) for number in (1, 2))
NO_SUCH_NAME = socket.gaierror(socket.EAI_NONAME, "Name or service not known")


def asking(*sources: Source, policy: Policy | None = None) -> Candidates:
    """Return candidates that expects these answers."""
    candidates = Candidates(policy or Policy())
    for source in sources:
        candidates.expect(QuerySent(source))
    return candidates


def take_all(candidates: Candidates) -> list[Address]:
    """Take every address that is left."""
    taken = []
    while candidates.peek() is not None:
        taken.append(candidates.pop())
    return taken


def test_sources_have_names() -> None:
    assert [source.value for source in Source] == ["AAAA", "A", "HTTPS", "SRV", "system", "hook", "given"]


def test_what_is_not_said_is_no() -> None:
    service = Service(priority=1)
    assert (service.ech, service.weight) == (False, 0)
    assert not Query(host="h", port=80, families=(IPV4,)).services
    assert not QuerySent(Source.A).encrypted


def test_an_agenda_begins_with_nothing() -> None:
    candidates = asking()

    assert (candidates.peek(), candidates.unanswered, candidates.failures) == (None, (), ())
    assert candidates.may_begin_at() == math.inf


@pytest.mark.parametrize(
    ("given", "order"),
    [((V4A,), [V4A]), ((V6A, V6B, V4A), [V6A, V4A, V6B]), ((V4A, V4B), [V4A, V4B]), ((V4A, V4A), [V4A])],
)
def test_what_the_caller_knows_waits_for_nothing(given: tuple[Address, ...], order: list[Address]) -> None:
    """Its order stands, but the families alternate, and nothing is tried twice."""
    candidates = asking()
    candidates.start_with(given)

    assert (candidates.may_begin_at(), candidates.why_first()) == (-math.inf, "FIRST")
    assert candidates.is_answered
    assert take_all(candidates) == order


def test_a_query_is_expected_once() -> None:
    candidates = asking()
    assert candidates.expect(QuerySent(Source.A)) is True
    assert candidates.expect(QuerySent(Source.A)) is False
    assert candidates.expect(QuerySent(Source.A, name="other.example")) is True


@pytest.mark.parametrize(
    ("asked", "answered", "why"),
    [
        ([Source.AAAA, Source.A], [Source.AAAA, Source.A], "ALL_ANSWERED"),
        ([Source.AAAA, Source.A], [Source.AAAA], "PREFERRED_ANSWERED"),
        ([Source.AAAA, Source.A], [Source.A], "RESOLUTION_DELAY_OVER"),
        ([Source.HTTPS, Source.AAAA, Source.A], [Source.AAAA, Source.A], "RESOLUTION_DELAY_OVER"),
        ([Source.SYSTEM, Source.AAAA, Source.A], [Source.AAAA], "RESOLUTION_DELAY_OVER"),
        ([Source.SYSTEM], [Source.SYSTEM], "ALL_ANSWERED"),
    ],
)
def test_why_the_first_attempt_begins(asked: list[Source], answered: list[Source], why: str) -> None:
    candidates = asking(*asked)
    for source in answered:
        candidates.update(Answer(source, (V4A if source is Source.A else V6A,)), now=1.0)

    assert candidates.why_first() == why


def test_a_positive_aaaa_starts_the_race_at_once() -> None:
    """Section 3: on a positive AAAA response "the first IPv6 connection attempt is immediately started"."""
    candidates = asking(Source.AAAA, Source.A)

    candidates.update(Answer(Source.AAAA, (V6A,)), now=1.0)

    assert candidates.may_begin_at() == 1.0
    assert candidates.unanswered == ((Source.A, ""),)


def test_a_positive_a_waits_for_the_aaaa() -> None:
    """Section 3: "the client SHOULD wait a short time for the AAAA response"."""
    candidates = asking(Source.AAAA, Source.A)

    candidates.update(Answer(Source.A, (V4A,)), now=1.0)

    assert candidates.may_begin_at() == 1.050
    assert candidates.peek() == V4A


def test_a_second_answer_does_not_prolong_the_wait() -> None:
    """The Resolution Delay counts from the first positive answer."""
    candidates = asking(Source.AAAA, Source.A)

    candidates.update(Answer(Source.A, (V4A,)), now=1.0)
    candidates.update(Answer(Source.A, (V4A, V4B)), now=1.04)

    assert candidates.may_begin_at() == 1.050


@pytest.mark.parametrize("answer", [Answer(Source.AAAA), Answer(Source.AAAA, error=NO_SUCH_NAME)])
def test_a_negative_aaaa_ends_the_wait(answer: Answer) -> None:
    """Section 3: on a negative AAAA response within the Resolution Delay, the client goes on with IPv4."""
    candidates = asking(Source.AAAA, Source.A)

    candidates.update(Answer(Source.A, (V4A,)), now=1.0)
    candidates.update(answer, now=1.02)

    assert candidates.may_begin_at() == 1.0


def test_a_negative_answer_starts_nothing() -> None:
    candidates = asking(Source.AAAA, Source.A)

    candidates.update(Answer(Source.AAAA, error=NO_SUCH_NAME), now=1.0)
    assert candidates.may_begin_at() == math.inf

    candidates.update(Answer(Source.A), now=1.1)
    assert candidates.may_begin_at() == math.inf
    assert list(candidates.failures) == [NO_SUCH_NAME]
    assert candidates.unanswered == ()


def test_what_is_answered_anew_has_failed_no_more() -> None:
    """An answer takes the place of the former one of its source, and the system's of those that were to hurry it."""
    late, again = TimeoutError("late"), socket.gaierror(socket.EAI_AGAIN, "try again")
    candidates = asking(Source.SYSTEM, Source.AAAA, Source.A)

    candidates.update(Answer(Source.A, error=late), now=1.0)
    candidates.update(Answer(Source.AAAA, error=late), now=1.1)
    candidates.update(Answer(Source.A, error=again), now=1.2)
    assert list(candidates.failures) == [late, again]
    candidates.update(Answer(Source.AAAA), now=1.3)
    assert list(candidates.failures) == [again]

    candidates.update(Answer(Source.SYSTEM, error=NO_SUCH_NAME), now=1.4)
    assert list(candidates.failures) == [NO_SUCH_NAME]


@pytest.mark.parametrize("families", [(IPV4, IPV6), (IPV4,)])
def test_a_host_that_prefers_ipv4_waits_for_the_a(families: tuple[socket.AddressFamily, ...]) -> None:
    """Section 2: the preference "can be easily adapted"."""
    candidates = asking(Source.A, Source.AAAA, policy=Policy(families=families, resolution_delay=0.5))

    candidates.update(Answer(Source.AAAA), now=0.5)
    assert candidates.may_begin_at() == math.inf

    candidates.update(Answer(Source.A, (V4A,)), now=1.0)
    assert candidates.may_begin_at() == 1.0


def test_a_family_that_nobody_asks_for_is_not_waited_for() -> None:
    """A host without IPv6 asks for A alone."""
    candidates = asking(Source.A)

    candidates.update(Answer(Source.A, (V4A,)), now=1.0)

    assert candidates.may_begin_at() == 1.0


def test_both_answers_are_sorted_and_interleaved() -> None:
    candidates = asking(Source.AAAA, Source.A)

    candidates.update(Answer(Source.A, (V4A, V4B)), now=0.0)
    candidates.update(Answer(Source.AAAA, (V6A, V6B)), now=0.0)

    assert take_all(candidates) == [V6A, V4A, V6B, V4B]


def test_the_first_family_may_have_more_addresses_before_the_other_one() -> None:
    """Section 8: a First Address Family Count of 2 favors the first family more aggressively."""
    candidates = asking(Source.AAAA, Source.A, policy=Policy(first_address_family_count=2))

    candidates.update(Answer(Source.A, (V4A, V4B)), now=0.0)
    candidates.update(Answer(Source.AAAA, (V6A, V6B, V6C)), now=0.0)

    assert take_all(candidates) == [V6A, V6B, V4A, V6C, V4B]


@pytest.mark.parametrize("source", [Source.HOOK, Source.GIVEN])
def test_one_answer_of_both_families_keeps_the_order_that_was_meant(source: Source) -> None:
    candidates = asking(source)

    candidates.update(Answer(source, (V4A, V6A, V6B)), now=0.0)

    assert take_all(candidates) == [V4A, V6A, V6B]


def test_a_late_answer_is_sorted_into_the_complete_list() -> None:
    """Section 3: "the newly received IPv6 addresses are incorporated into the list"."""
    candidates = asking(Source.AAAA, Source.A)

    candidates.update(Answer(Source.A, (V4A, V4B)), now=0.0)
    assert candidates.pop() == V4A
    candidates.update(Answer(Source.AAAA, (V6A, V6B)), now=0.1)

    assert take_all(candidates) == [V6A, V6B, V4B]


def test_the_other_family_follows_though_it_came_late() -> None:
    """Sorting only what was not tried would put 6b before 4a."""
    candidates = asking(Source.AAAA, Source.A)

    candidates.update(Answer(Source.AAAA, (V6A, V6B)), now=0.0)
    assert candidates.pop() == V6A
    candidates.update(Answer(Source.A, (V4A,)), now=0.001)

    assert take_all(candidates) == [V4A, V6B]


def test_a_new_answer_replaces_the_former_one_of_its_source() -> None:
    """Section 6: an address that was removed and not yet tried is not tried any more."""
    candidates = asking(Source.AAAA, Source.A)

    candidates.update(Answer(Source.AAAA, (V6A, V6B)), now=0.0)
    candidates.update(Answer(Source.A, (V4A,)), now=0.0)
    candidates.update(Answer(Source.AAAA, (V6C,)), now=0.1)

    assert take_all(candidates) == [V6C, V4A]


def test_what_was_tried_is_not_tried_again() -> None:
    candidates = asking(Source.AAAA, Source.A)

    candidates.update(Answer(Source.AAAA, (V6A, V6A, V6B)), now=0.0)
    assert take_all(candidates) == [V6A, V6B]
    candidates.update(Answer(Source.AAAA, (V6B, V6A)), now=0.1)
    assert candidates.peek() is None
    candidates.update(Answer(Source.AAAA, (V6B, V6C, V6A)), now=0.2)

    assert take_all(candidates) == [V6C]


def test_to_look_at_an_address_does_not_take_it() -> None:
    candidates = asking(Source.AAAA)

    candidates.update(Answer(Source.AAAA, (V6A,)), now=0.0)

    assert (candidates.peek(), candidates.peek(), candidates.pop(), candidates.peek()) == (V6A, V6A, V6A, None)


@pytest.mark.parametrize(
    ("source", "family"),
    [(Source.AAAA, IPV6), (Source.A, IPV4), (Source.HOOK, None), (Source.GIVEN, None)],
)
def test_a_source_knows_the_family_it_holds(source: Source, family: socket.AddressFamily | None) -> None:
    assert source.family == family
    if family is not None:
        assert Source.of(family) is source


def test_a_service_may_have_a_port_of_its_own() -> None:
    """RFC 9460, section 7.2: it takes the place of the host's, which stays the last to be tried."""
    candidates = asking(Source.HTTPS, Source.AAAA)
    candidates.update(Answer(Source.AAAA, (V6A,)), now=0.0)
    candidates.update(Answer(Source.HTTPS, services=(Service(priority=1, port=8443),)), now=0.0)

    assert [candidates.pop() for _ in range(2)] == [replace(V6A, port=8443), V6A]
    assert candidates.peek() is None


# Services (Happy Eyeballs version 3, section 4.2)


CDN, OTHER = "cdn.example", "other.example"
HINT6, HINT4 = Address(IPV6, "2001:db8::f", 443), Address(IPV4, "192.0.2.99", 443)


def offered(*services: Service, families: tuple[socket.AddressFamily, ...] | None = None) -> Candidates:
    """Return candidates of a host with one address of each family that is used, and these services, at 1.0."""
    candidates = Candidates(Policy(), families)
    known = Answer(Source.AAAA, () if families == (IPV4,) else (V6A,))
    for source in (Source.HTTPS, Source.AAAA, Source.A):
        candidates.expect(QuerySent(source))
    for service in services:
        if service.target:
            candidates.expect(QuerySent(Source.AAAA, service.target))
            candidates.expect(QuerySent(Source.A, service.target))
    candidates.update(known, now=1.0)
    candidates.update(Answer(Source.A, (V4A,)), now=1.0)
    candidates.update(Answer(Source.HTTPS, services=services), now=1.0)
    return candidates


def test_services_that_are_pending_are_waited_for() -> None:
    """Section 4.2: attempts wait for the "SVCB or HTTPS" answer, for the Resolution Delay at most."""
    candidates = asking(Source.HTTPS, Source.AAAA)

    candidates.update(Answer(Source.AAAA, (V6A,)), now=1.0)
    assert candidates.may_begin_at() == 1.050
    candidates.update(Answer(Source.HTTPS), now=1.01)
    assert candidates.may_begin_at() == 1.0


def test_the_addresses_of_the_best_service_are_waited_for() -> None:
    """They are a round trip later than the record; nothing else goes first meanwhile."""
    candidates = offered(Service(priority=1, target=CDN))
    assert candidates.may_begin_at() == 1.050

    candidates.update(Answer(Source.A, name=CDN), now=1.02)
    assert candidates.may_begin_at() == 1.050  # the other family is pending
    candidates.update(Answer(Source.AAAA, name=CDN), now=1.03)
    assert candidates.may_begin_at() == 1.0  # there are none: the host itself is next
    assert take_all(candidates) == [V6A, V4A]


def test_the_preferred_family_of_the_best_service_is_waited_for() -> None:
    candidates = offered(Service(priority=1, target=CDN))

    candidates.update(Answer(Source.A, (V4B,), name=CDN), now=1.02)
    assert candidates.peek() == V4B
    assert candidates.may_begin_at() == 1.050
    candidates.update(Answer(Source.AAAA, (V6B,), name=CDN), now=1.03)
    assert candidates.may_begin_at() == 1.0
    assert take_all(candidates) == [V6B, V4B, V6A, V4A]


def test_a_hint_is_a_positive_answer() -> None:
    """RFC 9460, section 7.3: hints are for use until the addresses of the target are known."""
    candidates = offered(Service(priority=1, target=CDN, hints=(HINT4, HINT6)))
    assert candidates.may_begin_at() == 1.0
    assert candidates.peek() == HINT6

    candidates.update(Answer(Source.AAAA, (V6B, V6C), name=CDN), now=1.01)
    assert take_all(candidates) == [V6B, HINT4, V6C, V6A, V4A]  # those of the other family stay


def test_a_hint_of_the_other_family_waits_for_the_preferred_one() -> None:
    candidates = offered(Service(priority=1, target=CDN, hints=(HINT4,)))
    assert candidates.may_begin_at() == 1.050


def test_a_service_of_a_family_that_is_not_used_is_not_waited_for() -> None:
    """Its hints say where it is, and that is nowhere we go."""
    only_ipv4 = offered(Service(priority=1, target=CDN, hints=(HINT6,)), families=(IPV4,))
    assert only_ipv4.may_begin_at() == 1.0

    unknown = offered(Service(priority=1, target=CDN), families=(IPV4,))
    assert unknown.may_begin_at() == 1.050
    partly = offered(Service(priority=1, target=CDN, hints=(HINT6, HINT4)), families=(IPV4,))
    assert partly.may_begin_at() == 1.0
    assert partly.peek() == HINT4


def test_the_first_service_that_has_addresses_decides() -> None:
    """One that turns out to have none holds nobody up."""
    candidates = offered(Service(priority=1, target=CDN), Service(priority=2, target=OTHER))
    for source in (Source.AAAA, Source.A):
        candidates.update(Answer(source, name=CDN), now=1.01)
    assert candidates.may_begin_at() == 1.050

    candidates.update(Answer(Source.AAAA, (V6B,), name=OTHER), now=1.02)
    assert candidates.may_begin_at() == 1.0
    assert candidates.peek() == V6B


def test_services_come_by_priority_and_the_host_itself_last() -> None:
    """RFC 9460, section 3: each with its port; of two that offer the same endpoint the first counts."""
    ours = Service(priority=1, port=8443)
    theirs = Service(priority=2, target=CDN, hints=(HINT4,))
    candidates = offered(ours, theirs, replace(theirs, priority=3))

    order = [replace(V6A, port=8443), replace(V4A, port=8443), HINT4, V6A, V4A]
    assert take_all(candidates) == order


def test_addresses_of_another_name_are_not_the_host_s() -> None:
    candidates = offered(Service(priority=1, target=CDN))
    candidates.update(Answer(Source.AAAA, (V6B,), name=OTHER), now=1.02)
    assert take_all(candidates) == [V6A, V4A]


@pytest.mark.parametrize(
    ("query", "is_encrypted"),
    [
        (QuerySent(Source.HTTPS, encrypted=True), True),
        (QuerySent(Source.HTTPS), False),
        (QuerySent(Source.AAAA, encrypted=True), False),
    ],
)
def test_whether_services_are_asked_for_over_encrypted_dns(query: QuerySent, is_encrypted: bool) -> None:
    candidates = asking()
    assert candidates.expect(query)
    assert not candidates.expect(query)
    assert candidates.is_encrypted is is_encrypted


# The operating system's answer for both families


def test_the_system_s_whole_answer_takes_the_place_of_what_hurried_it() -> None:
    """What it left out is not tried, and nobody waits for a family any more; its order stands."""
    candidates = on_this_host(Source.SYSTEM, Source.AAAA, Source.A)
    candidates.update(Answer(Source.A, (V4A, V4B)), now=1.0)
    assert candidates.may_begin_at() == 1.0  # the Resolution Delay was over before anything was hurried
    candidates.update(Answer(Source.SYSTEM, (V4B, V6A)), now=1.2)

    assert candidates.unanswered == ()
    assert take_all(candidates) == [V4B, V6A]


@pytest.mark.parametrize(
    ("number", "left"), [(socket.EAI_AGAIN, [V4A]), (socket.EAI_NONAME, []), (socket.EAI_FAIL, [])]
)
def test_what_hurried_counts_where_the_system_fails_for_now(number: int, left: list[Address]) -> None:
    """EAI_AGAIN may be one family's name server; that there is no such name is an answer."""
    candidates = asking(Source.SYSTEM, Source.AAAA, Source.A)
    candidates.update(Answer(Source.A, (V4A,)), now=1.0)
    candidates.update(Answer(Source.SYSTEM, error=socket.gaierror(number, "")), now=1.2)

    assert take_all(candidates) == left
    assert bool(candidates.unanswered) is bool(left)
    assert candidates.is_answered is not bool(left)


def test_nothing_is_answered_before_anything_was() -> None:
    assert not asking().is_answered
    assert not asking(Source.A).is_answered
    given = asking()
    given.start_with((V4A,))
    assert given.is_answered


# On this host (RFC 6724)


FAR, NEAR = Address(IPV4, "192.0.2.1", 443), Address(IPV4, "192.0.2.2", 443)
ULA, TUNNEL = Address(IPV6, "fd00::1", 443), Address(IPV6, "2002:c000:201::1", 443)


def on_this_host(
    *sources: Source,
    nowhere: tuple[Address, ...] = (),
    without: tuple[socket.AddressFamily, ...] = (),
    history: History | None = None,
    policy: Policy | None = None,
) -> Candidates:
    """Return candidates on a host that has a way to everything but what is said."""

    def source_of(address: Address) -> Address | None:
        return None if address in nowhere or address.family in without else replace(address, port=0)

    view = None if history is None else history.view(2.0)
    candidates = Candidates(policy or Policy(), view=view, make_rules=partial(Rules, source_of, TABLE))
    for source in sources:
        candidates.expect(QuerySent(source))
    return candidates


def test_what_nobody_sorted_is_sorted() -> None:
    """Section 4: "the client SHOULD order the addresses using [...] RFC 6724"."""
    candidates = on_this_host(Source.AAAA, Source.A, nowhere=(V6A,))
    candidates.update(Answer(Source.A, (V4A,)), now=0.0)
    candidates.update(Answer(Source.AAAA, (V6A, V6B, ULA)), now=0.0)
    assert take_all(candidates) == [V6B, V4A, ULA, V6A]


def test_what_the_system_sorted_by_family_keeps_its_order_in_each() -> None:
    """It knows flags of interfaces; here a tunnel's address, which the rules alone would put last, comes first."""
    hurried = on_this_host(Source.SYSTEM, Source.AAAA, Source.A)
    hurried.update(Answer(Source.AAAA, (TUNNEL, V6A)), now=0.0)
    assert take_all(hurried) == [TUNNEL, V6A]

    asked_directly = on_this_host(Source.AAAA, Source.A)
    asked_directly.update(Answer(Source.AAAA, (TUNNEL, V6A)), now=0.0)
    assert take_all(asked_directly) == [V6A, TUNNEL]


def test_the_system_s_order_of_both_families_stands() -> None:
    candidates = on_this_host(Source.SYSTEM, nowhere=(V6A,))
    candidates.update(Answer(Source.SYSTEM, (V6A, TUNNEL, V4A)), now=0.0)
    assert take_all(candidates) == [V6A, V4A, TUNNEL]


@pytest.mark.parametrize("source", [Source.HOOK, Source.GIVEN])
def test_an_order_that_was_meant_is_sorted_by_nobody(source: Source) -> None:
    candidates = on_this_host(source, nowhere=(V6A,), policy=Policy(families=(IPV4, IPV6)))
    candidates.update(Answer(source, (V6A, TUNNEL, V4A)), now=0.0)
    assert take_all(candidates) == [V6A, V4A, TUNNEL]
    candidates.start_with((V6A, TUNNEL, V4A))
    assert candidates.peek() is None  # all were tried


def test_who_prefers_ipv4_has_it_first() -> None:
    candidates = on_this_host(Source.AAAA, Source.A, policy=Policy(families=(IPV4, IPV6)))
    candidates.update(Answer(Source.AAAA, (V6A,)), now=0.0)
    candidates.update(Answer(Source.A, (V4A,)), now=0.0)
    assert take_all(candidates) == [V4A, V6A]


def test_a_poor_ipv6_address_waits_for_ipv4() -> None:
    """Any ordinary IPv4 address would come before a unique local one (RFC 6724, section 2.1)."""
    candidates = on_this_host(Source.AAAA, Source.A)
    candidates.update(Answer(Source.AAAA, (ULA,)), now=1.0)
    assert candidates.may_begin_at() == 1.050
    candidates.update(Answer(Source.A, (V4A,)), now=1.01)
    assert candidates.may_begin_at() == 1.0
    assert candidates.peek() == V4A


def test_one_good_ipv6_address_waits_for_nothing() -> None:
    candidates = on_this_host(Source.AAAA, Source.A)
    candidates.update(Answer(Source.AAAA, (ULA, V6A)), now=1.0)
    assert candidates.may_begin_at() == 1.0


def test_where_ipv6_has_no_address_a_hint_of_ipv4_waits_for_nothing() -> None:
    """Not even one that this host may not reach: more of its own family would not come before it."""
    candidates = on_this_host(nowhere=(HINT4,))
    for source in (Source.AAAA, Source.A):
        candidates.expect(QuerySent(source, CDN))
    candidates.update(Answer(Source.AAAA, name=CDN), now=1.0)
    candidates.update(Answer(Source.HTTPS, services=(Service(priority=1, target=CDN, hints=(HINT4,)),)), now=1.0)
    assert candidates.may_begin_at() == 1.0


def test_a_preferred_family_without_a_default_route_is_not_waited_for() -> None:
    """Version 3, section 4.2: the client waits for a family "if" it has a default route."""
    with_route, without = (on_this_host(Source.AAAA, Source.A, without=families) for families in ((), (IPV6,)))
    for candidates in (with_route, without):
        candidates.update(Answer(Source.A, (V4A,)), now=1.0)
    assert with_route.may_begin_at() == 1.050
    assert without.may_begin_at() == 1.0


# History (sections 4 and 5)


def knowing(**rtts: float) -> History:
    """Return a history of the far and the near address."""
    history = History(explore_every=math.inf)
    for name, rtt in rtts.items():
        history.record({"far": FAR, "near": NEAR}[name], rtt, now=1.0)
    return history


def test_history_reorders_equals_of_the_system_s_answer() -> None:
    """Section 4: "prefers addresses with lower RTTs", between rules 8 and 9 of RFC 6724."""
    for history, order in (
        (None, [FAR, V6A, NEAR]),
        (knowing(far=0.3, near=0.01), [NEAR, V6A, FAR]),
        (knowing(near=0.01), [NEAR, V6A, FAR]),
    ):
        candidates = on_this_host(Source.SYSTEM, history=history)
        candidates.update(Answer(Source.SYSTEM, (FAR, V6A, NEAR)), now=2.0)
        assert take_all(candidates) == order


def test_the_delay_follows_history() -> None:
    """Section 5: three times the round-trip time, within its bounds; a policy may say otherwise."""
    candidates = on_this_host(history=knowing(far=0.3, near=0.01))
    assert candidates.delay(FAR, 0) == pytest.approx(0.9)
    assert candidates.delay(NEAR, 0) == 0.1
    assert candidates.delay(V4A, 0) == pytest.approx(0.9)  # the far one
    assert candidates.delay(V6A, 0) == 0.25

    never = on_this_host(history=knowing(far=0.3), policy=Policy(delay_from_history=False))
    assert never.delay(FAR, 0) == 0.25
    bound = on_this_host(history=knowing(far=0.3, near=0.01), policy=Policy(minimum_delay=0.2, maximum_delay=0.5))
    assert (bound.delay(FAR, 0), bound.delay(NEAR, 0)) == (0.5, 0.2)


@pytest.mark.parametrize(
    ("policy", "under_way", "delay"),
    [
        (Policy(), 7, 0.25),
        (Policy(attempt_delay_multiplier=2), 0, 0.25),
        (Policy(attempt_delay_multiplier=2), 1, 0.5),
        (Policy(attempt_delay_multiplier=2), 2, 1.0),
        (Policy(attempt_delay_multiplier=2), 9, 2.0),
        (Policy(attempt_delay_multiplier=2, attempt_delay=3), 9, 3.0),
        (Policy(attempt_delay_multiplier=2, attempt_delay=math.inf), 1, math.inf),
    ],
)
def test_the_delay_grows_with_the_attempts_under_way(policy: Policy, under_way: int, delay: float) -> None:
    assert asking(policy=policy).delay(V4A, under_way) == delay


@pytest.mark.parametrize(
    ("policy", "address", "source"),
    [
        (Policy(), V6A, "HISTORY"),
        (Policy(), V6B, "POLICY"),
        (Policy(delay_from_history=False), V6A, "POLICY"),
        (Policy(attempt_delay=math.inf), V6A, "POLICY"),
    ],
)
def test_the_delay_says_whose_it_is(policy: Policy, address: Address, source: str) -> None:
    history = History(explore_every=math.inf)
    history.record(V6A, 0.04, 1.0)
    assert on_this_host(history=history, policy=policy).delay_source(address) == source


# Several hosts


def hosts(*names: str) -> Answer:
    """The order that the caller has given."""
    return Answer(Source.GIVEN, services=tuple(Service(priority=at, target=name) for at, name in enumerate(names)))


def test_a_preferred_host_is_waited_for_before_anybody_is_asked_for_it() -> None:
    """Section 3, for hosts: what is known of the next one waits over the Resolution Delay, and no longer."""
    candidates = asking()
    candidates.update(hosts("a", "b"), now=1.0)
    candidates.update(Answer(Source.A, (V4B,), name="b"), now=1.0)
    assert candidates.may_begin_at() == 1.05

    candidates.update(Answer(Source.A, error=NO_SUCH_NAME, name="a"), now=1.01)
    assert candidates.may_begin_at() == 1.0
    assert candidates.missing_hosts == (NO_SUCH_NAME,)


def test_hosts_without_any_address_are_missing() -> None:
    """Those that have one are not, whatever else of them failed, nor are the targets of services."""
    refused, lame, none = (socket.gaierror(socket.EAI_AGAIN, text) for text in ("REFUSED", "lame", "no AAAA"))
    candidates = asking()
    for answer in (
        hosts("a", "b"),
        Answer(Source.AAAA, error=none, name="a"),
        Answer(Source.A, (V4A,), name="a"),
        Answer(Source.AAAA, error=refused, name="b"),
        Answer(Source.A, error=lame, name="b"),
        Answer(Source.A, error=NO_SUCH_NAME),
    ):
        candidates.update(answer, now=1.0)
    assert candidates.missing_hosts == (refused, lame)

    target = asking()
    target.update(Answer(Source.A, error=lame, name="cdn.example"), now=1.0)
    assert target.missing_hosts == ()


def test_a_host_that_was_given_as_an_address_is_first() -> None:
    candidates = asking()
    candidates.update(hosts("a", V4A.host), now=1.0)
    candidates.update(Answer(Source.AAAA, (V6A,), name="a"), now=1.0)
    candidates.update(Answer(Source.GIVEN, (V4A,), name=V4A.host), now=1.0)
    assert candidates.why_first() == "FIRST"


def test_a_host_that_was_given_as_an_address_leaves_the_others_to_be_sorted() -> None:
    candidates = on_this_host()
    candidates.update(hosts("192.0.2.1", "a.example", "fd00::9"), now=1.0)
    for host, address in (("192.0.2.1", FAR), ("fd00::9", V6B)):
        candidates.update(Answer(Source.GIVEN, (address,), name=host), now=1.0)
    candidates.update(Answer(Source.AAAA, (ULA,), name="a.example"), now=1.0)
    candidates.update(Answer(Source.A, (V4B,), name="a.example"), now=1.0)
    assert [address.host for address in take_all(candidates)] == [FAR.host, V4B.host, ULA.host, V6B.host]


def test_services_may_be_taken_back() -> None:
    """The latest answer counts: one without services leaves the host itself."""
    candidates = asking()
    candidates.update(Answer(Source.HTTPS, services=(Service(priority=1, target="cdn", hints=(V4B,)),)), now=1.0)
    candidates.update(Answer(Source.HTTPS), now=1.1)
    candidates.update(Answer(Source.A, (V4A,)), now=1.1)
    assert take_all(candidates) == [V4A]


def test_a_hook_s_order_stands_behind_services() -> None:
    candidates = on_this_host()
    candidates.update(Answer(Source.HTTPS, services=(Service(priority=1, target="cdn"),)), now=1.0)
    candidates.update(Answer(Source.HOOK, (V4A, V6A)), now=1.0)
    assert take_all(candidates) == [V4A, V6A]


@pytest.mark.parametrize("services", [(), (Service(priority=1, target="cdn"),)])
def test_what_is_pending_of_other_names_is_not_waited_for(services: tuple[Service, ...]) -> None:
    """Neither by an inferior address, nor by a service that nothing was asked about."""
    candidates = on_this_host(nowhere=(V6A,))
    candidates.expect(QuerySent(Source.A, name="other.example"))
    candidates.update(Answer(Source.HTTPS, services=services), now=1.0)
    candidates.update(Answer(Source.AAAA, (V6A,)), now=1.0)
    assert candidates.may_begin_at() == 1.0


def test_where_ipv4_is_preferred_no_ipv6_address_is_too_bad_to_begin() -> None:
    candidates = on_this_host(nowhere=(V6A,), policy=Policy(families=(IPV4, IPV6)))
    for source in (Source.AAAA, Source.A):
        candidates.expect(QuerySent(source, name="cdn"))
    hints = (V4A, V6A)
    candidates.update(Answer(Source.HTTPS, services=(Service(priority=1, target="cdn", hints=hints),)), now=1.0)
    assert candidates.may_begin_at() == 1.0


def test_the_whole_answer_for_a_host_takes_the_place_of_what_hurried_it() -> None:
    """And of nothing that is known of another host."""
    candidates = asking()
    candidates.update(hosts("a", "b"), now=1.0)
    candidates.update(Answer(Source.A, (V4A,), name="a"), now=1.0)
    candidates.update(Answer(Source.A, (V4B,), name="b"), now=1.0)
    candidates.update(Answer(Source.SYSTEM, (V6A,), name="a"), now=1.1)

    assert [(address.host, str(address).split()[0]) for address in take_all(candidates)] == [
        (V6A.host, "a"),
        (V4B.host, "b"),
    ]
