"""Happy Eyeballs version 3, section 4, and RFC 9460, section 3: what is asked for, and where answers point."""

from __future__ import annotations

import random
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import pytest
import trio

from trio_nbconnect import Address, Answer, Query, QuerySent, Service, Source
from trio_nbconnect._dns.services import ADDRESSES_OF_TARGETS, SERVICES, Records, SVCBResolver

pytestmark = pytest.mark.virtual_time

BOTH = (socket.AF_INET6, socket.AF_INET)
HOST = "example.org"
Known = dict[tuple[str, Source], "Records | OSError"]


def ask(known: Known, asked: list[tuple[str, Source]]) -> Callable[[str, Source], Awaitable[Records]]:
    """Look up in a table; nothing in it, nothing there. Each step takes a moment, so that all see the same order."""

    async def look_up(name: str, source: Source) -> Records:
        asked.append((name, source))
        await trio.sleep(0.01)
        found = known.get((name, source), Records())
        if isinstance(found, OSError):
            raise found
        return found

    return look_up


async def heard(
    known: Known, *, port: int = 443, families: Sequence[socket.AddressFamily] = BOTH, services: bool = True
) -> tuple[list[QuerySent | Answer], list[tuple[str, Source]]]:
    """Ask for the host, and return what was delivered and who was asked for what."""
    items: list[QuerySent | Answer] = []
    asked: list[tuple[str, Source]] = []
    stub = SVCBResolver(ask(known, asked), services=services, rng=random.Random(1))
    await stub.resolve(Query(host=HOST, port=port, families=tuple(families), services=services), items.append)
    return items, asked


def answers(items: list[QuerySent | Answer], source: Source, name: str = "") -> list[Answer]:
    return [item for item in items if isinstance(item, Answer) and (item.source, item.name) == (source, name)]


def services(items: list[QuerySent | Answer]) -> tuple[Service, ...]:
    """The services in the last answer that has any to tell."""
    return answers(items, Source.HTTPS)[-1].services


async def test_https_aaaa_and_a_in_this_order() -> None:
    """Section 4.1: "SVCB or HTTPS", "AAAA", "A", "as close together as possible"."""
    items, asked = await heard({})

    assert items[:3] == [QuerySent(Source.HTTPS), QuerySent(Source.AAAA), QuerySent(Source.A)]
    assert asked == [(HOST, Source.HTTPS), (HOST, Source.AAAA), (HOST, Source.A)]
    assert trio.current_time() == pytest.approx(0.01)


async def test_only_what_can_be_used_is_asked_for() -> None:
    assert (await heard({}, families=[socket.AF_INET], services=False))[1] == [(HOST, Source.A)]


@pytest.mark.parametrize(("port", "name"), [(443, HOST), (80, HOST), (8443, f"_8443._https.{HOST}")])
async def test_another_port_has_a_name_of_its_own(port: int, name: str) -> None:
    """RFC 9460, section 9.1: "the HTTPS RR for a non-default port" is at `_8443._https.`; "." is that name.

    Port 80 is `http:`, whose records are the host's (section 9.5).
    """
    known: Known = {(name, Source.HTTPS): Records(services=(Service(priority=1), Service(priority=2, target=HOST)))}
    items, asked = await heard(known, port=port)

    assert (name, Source.HTTPS) in asked
    assert [service.target for service in services(items)] == ["" if name == HOST else name, ""]


async def test_no_such_name_is_no_failure_of_services() -> None:
    """RFC 9460, section 3: there being no records ends the look-up, it does not fail."""
    known: Known = {(HOST, Source.HTTPS): socket.gaierror(socket.EAI_NONAME, "NXDOMAIN")}
    assert answers((await heard(known))[0], Source.HTTPS) == [Answer(Source.HTTPS)]


@pytest.mark.parametrize("source", [Source.HTTPS, Source.AAAA])
async def test_a_failure_is_delivered(source: Source) -> None:
    failure = socket.gaierror(socket.EAI_AGAIN, "SERVFAIL")
    assert answers((await heard({(HOST, source): failure}))[0], source) == [Answer(source, error=failure)]


async def test_targets_are_asked_for_at_once_and_each_once() -> None:
    """Section 4.2: a name that a service points to triggers queries of its own, before the services are delivered."""
    service = Service(priority=1, target="cdn.example.org", port=8443)
    known: Known = {
        (HOST, Source.HTTPS): Records(services=(service, Service(priority=2, target="cdn.example.org"))),
        ("cdn.example.org", Source.A): Records(addresses=("192.0.2.1",)),
    }
    items, asked = await heard(known)

    assert asked[3:] == [("cdn.example.org", Source.AAAA), ("cdn.example.org", Source.A)]
    place = items.index(QuerySent(Source.AAAA, "cdn.example.org"))
    assert place < items.index(answers(items, Source.HTTPS)[0])
    (found,) = answers(items, Source.A, "cdn.example.org")
    assert found.addresses == (Address(socket.AF_INET, "192.0.2.1", 443),)


async def test_the_host_itself_by_any_spelling_is_no_other_target() -> None:
    known: Known = {(HOST, Source.HTTPS): Records(services=(Service(priority=1, target="EXAMPLE.org."),))}
    items, asked = await heard(known)

    assert services(items) == (Service(priority=1),)
    assert len(asked) == 3


async def test_hints_get_their_port() -> None:
    """RFC 9460, sections 7.2 and 7.3. Those of a family that is not used stay: they tell where the target is not."""
    hints = (Address(socket.AF_INET6, "2001:db8::1", 0), Address(socket.AF_INET, "192.0.2.1", 0))
    known: Known = {
        (HOST, Source.HTTPS): Records(
            services=(Service(priority=1, port=8443, hints=hints), Service(priority=2, hints=hints))
        )
    }
    items, _ = await heard(known, families=[socket.AF_INET])

    assert [service.hints for service in services(items)] == [
        tuple(replace(hint, port=8443) for hint in hints),
        tuple(replace(hint, port=443) for hint in hints),
    ]


async def test_a_service_that_speaks_nothing_of_ours_is_left_out() -> None:
    """RFC 9460, section 7.1.2: "clients SHOULD NOT attempt connection" to it."""
    known: Known = {
        (HOST, Source.HTTPS): Records(
            services=(Service(priority=1, alpn=("h3",)), Service(priority=2, alpn=("h3", "h2")), Service(priority=3))
        )
    }
    assert [service.priority for service in services((await heard(known))[0])] == [2, 3]


async def test_services_of_equal_priority_are_shuffled() -> None:
    """RFC 9460, section 2.4.1: "clients SHOULD apply a random shuffle"."""
    known: Known = {
        (HOST, Source.HTTPS): Records(
            services=(Service(priority=9), *(Service(priority=1, port=port) for port in range(8000, 8008)))
        )
    }
    found = services((await heard(known))[0])

    assert found[-1].priority == 9
    assert sorted(service.port or 0 for service in found[:-1]) == list(range(8000, 8008))
    assert [service.port for service in found[:-1]] != list(range(8000, 8008))


async def test_a_flood_of_services_is_cut_off() -> None:
    many = tuple(Service(priority=number, target=f"t{number}.example") for number in range(1, 500))
    _, asked = await heard({(HOST, Source.HTTPS): Records(services=many)})

    assert len(asked) == 3 + 2 * SERVICES


@pytest.mark.parametrize(("port", "followed"), [(8443, True), (80, True), (25, False), (6667, False), (0, False)])
async def test_no_record_leads_to_a_bad_port(port: int, *, followed: bool) -> None:
    """The Fetch standard, "bad port": what lives there speaks another protocol."""
    known: Known = {(HOST, Source.HTTPS): Records(services=(Service(priority=1, target="t.example", port=port),))}
    items, asked = await heard(known)
    assert bool(services(items)) is followed
    assert (("t.example", Source.A) in asked) is followed


async def test_the_port_of_the_caller_is_never_bad() -> None:
    name = f"_6667._https.{HOST}"
    known: Known = {(name, Source.HTTPS): Records(services=(Service(priority=1, port=6667),))}
    assert len(services((await heard(known, port=6667))[0])) == 1


async def test_a_flood_of_addresses_is_cut_off() -> None:
    """The host itself is not what is cut off."""
    many = tuple(f"192.0.2.{number}" for number in range(32))
    targets = [f"t{number}.example" for number in range(16)]
    known: Known = {(target, Source.A): Records(addresses=many) for target in targets}
    known[HOST, Source.HTTPS] = Records(services=tuple(Service(priority=1, target=target) for target in targets))
    known[HOST, Source.A] = Records(addresses=many)
    items, _ = await heard(known)
    delivered = [item for item in items if isinstance(item, Answer)]
    assert sum(len(item.addresses) for item in delivered if item.name) == ADDRESSES_OF_TARGETS
    assert len(answers(items, Source.A)[0].addresses) == 32


async def test_an_alias_takes_the_place_of_the_host() -> None:
    """RFC 9460, section 3: clients "SHALL append" the end of the chain, "the authority endpoint's port", no more."""
    known: Known = {
        (HOST, Source.HTTPS): Records(alias="a.example"),
        ("a.example", Source.HTTPS): Records(alias="b.example"),
        ("b.example", Source.HTTPS): Records(services=(Service(priority=1), Service(priority=2, target="c.example"))),
    }
    items, asked = await heard(known)

    assert [service.target for service in services(items)] == ["b.example", "c.example", "b.example"]
    assert set(asked[-4:]) == {(name, kind) for name in ("b.example", "c.example") for kind in (Source.AAAA, Source.A)}


async def test_an_alias_whose_services_cannot_be_known() -> None:
    """Section 3: "whether successful or not", the end of the chain is appended; the failure is delivered as well."""
    failure = socket.gaierror(socket.EAI_AGAIN, "SERVFAIL")
    known: Known = {(HOST, Source.HTTPS): Records(alias="a.example"), ("a.example", Source.HTTPS): failure}
    items, _ = await heard(known)

    (answer,) = answers(items, Source.HTTPS)
    assert answer.error is failure
    assert [service.target for service in answer.services] == ["a.example"]


@pytest.mark.parametrize(
    ("aliases", "text"),
    [
        ({HOST: "A.example", "A.example": "Example.org."}, f"{HOST} -> A.example -> Example.org."),
        ({HOST: HOST}, f"{HOST} -> {HOST}"),
        (
            {HOST: "1.example", **{f"{number}.example": f"{number + 1}.example" for number in range(1, 100)}},
            " -> ".join([HOST, *(f"{number}.example" for number in range(1, 10))]),
        ),
    ],
)
async def test_aliases_that_lead_nowhere(aliases: dict[str, str], text: str) -> None:
    """RFC 9460, section 3.1: "clients MUST" stop at loops, and chains must have an end."""
    known: Known = {(name, Source.HTTPS): Records(alias=alias) for name, alias in aliases.items()}
    (answer,) = answers((await heard(known))[0], Source.HTTPS)

    assert isinstance(answer.error, socket.gaierror)
    assert answer.error.errno == socket.EAI_FAIL
    assert str(answer.error).endswith(f"the aliases of {HOST} lead nowhere: {text}")


# What has expired


def expired(records: Records, fresh: Records | OSError, after: float = 0.1) -> Records:
    """Records that hold no more, and what is found in their place."""

    async def refresh() -> Records:
        await trio.sleep(after)
        if isinstance(fresh, OSError):
            raise fresh
        return fresh

    return Records(addresses=records.addresses, services=records.services, alias=records.alias, refresh=refresh)


OLD = Records(addresses=("192.0.2.1",))


@pytest.mark.parametrize(
    ("fresh", "later"),
    [
        (OLD, []),
        (Records(addresses=("192.0.2.2",)), [["192.0.2.2"]]),
        (Records(), [[]]),
        (socket.gaierror(socket.EAI_NONAME, "NXDOMAIN"), [[]]),
    ],
)
async def test_an_expired_answer_is_delivered_and_replaced(fresh: Records | OSError, later: list[list[str]]) -> None:
    """Section 4.4: expired answers "may be used"; what confirms them changes nothing."""
    items, _ = await heard({(HOST, Source.A): expired(OLD, fresh)})

    found = answers(items, Source.A)
    assert [[address.host for address in answer.addresses] for answer in found] == [["192.0.2.1"], *later]
    assert found[-1].error is (fresh if isinstance(fresh, OSError) else None)


@pytest.mark.parametrize(
    ("fresh", "targets"),
    [
        (Records(services=(Service(priority=1, target="old.example"),)), [["old.example"]]),
        (Records(services=(Service(priority=1, target="new.example"),)), [["old.example"], ["new.example"]]),
        (Records(), [["old.example"], []]),
        (socket.gaierror(socket.EAI_NONAME, "NXDOMAIN"), [["old.example"], []]),
    ],
)
async def test_expired_services_are_delivered_and_replaced(fresh: Records | OSError, targets: list[list[str]]) -> None:
    """The targets of the fresh ones are asked for as well, but none twice."""
    asked: list[tuple[str, Source]] = []
    items: list[QuerySent | Answer] = []
    known: Known = {}
    stale = expired(Records(services=(Service(priority=1, target="old.example"),)), fresh)
    known[HOST, Source.HTTPS] = stale
    look_up = ask(known, asked)

    async def look_up_once(name: str, source: Source) -> Records:
        found = await look_up(name, source)
        if source is Source.HTTPS:
            known[HOST, Source.HTTPS] = fresh
        return found

    stub = SVCBResolver(look_up_once)
    await stub.resolve(Query(host=HOST, port=443, families=BOTH), items.append)

    found = answers(items, Source.HTTPS)
    assert [[service.target for service in answer.services] for answer in found] == targets
    names = [name for name, source in asked if source is Source.AAAA]
    assert names == list(dict.fromkeys([HOST, *(target for group in targets for target in group)]))
