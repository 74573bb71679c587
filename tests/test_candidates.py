"""Candidates: which address is next, as answers come in (RFC 8305, sections 3 and 6)."""

from __future__ import annotations

import math
import socket
from dataclasses import replace

import pytest

from trio_nbconnect import Address, Answer, Policy, QuerySent, Service, Source
from trio_nbconnect._address import IPV4, IPV6
from trio_nbconnect._race.candidates import Candidates

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


def test_an_agenda_begins_with_nothing() -> None:
    candidates = asking()

    assert (candidates.peek(), candidates.unanswered, candidates.failures) == (None, (), ())
    assert candidates.may_begin_at() == math.inf


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
    assert candidates.failures == (NO_SUCH_NAME,)
    assert candidates.unanswered == ()


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
