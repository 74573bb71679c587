"""Explanation: why the addresses of a race are in the order in which they are tried.

The order is made where it is needed, by rules that leave no trace. So it is made once more, for those who listen, and
this time each address is given the rule that placed it: what put it behind the one before it.
"""

from __future__ import annotations

from typing import Any

from .._address import IPV6, Address
from .._resolve.query import Service, Source
from .candidates import Candidates, interleave


def explain(candidates: Candidates) -> list[dict[str, Any]]:
    """Say of each address, the best first and those tried included, who has named it and what has placed it."""
    itself = Service(priority=0)
    groups = [(_group_text(candidates, each), each, candidates._offered(each)) for each in candidates._services]
    groups.append(("after all services, " if groups else "", itself, candidates._host_s_own()))
    answers = candidates._answers
    sources = {address: source for (source, _), addresses in answers for address in addresses}
    rows: dict[Address, dict[str, Any]] = {}
    for group, service, known in groups:
        ranked = list(dict.fromkeys(candidates._ranked(known, service.target)))
        before = dict(zip(ranked[1:], ranked, strict=False))
        last: Address | None = None
        for address in interleave(ranked, candidates._policy.first_address_family_count):
            source = Source.GIVEN if address in candidates._given else sources.get(address, Source.HTTPS)
            why = _why(candidates, address, ranked, service.target)
            why += ", families alternate" if last != before.get(address) else ""
            tried = address if service is itself else candidates._of_service(address, service)
            rows.setdefault(tried, {"address": tried, "source": source, "placed_by": f"{group}{why}"})
            last = address
    if (view := candidates._view) is not None:
        for address, row in rows.items():
            row |= {"round_trip_time": view.rtt(address), "used": view.used(address)}
    return list(rows.values())


def _group_text(candidates: Candidates, service: Service) -> str:
    return f"host {service.target}, " if candidates._are_hosts else f"service of priority {service.priority}, "


def _why(candidates: Candidates, address: Address, ranked: list[Address], of: str) -> str:
    """Name the rule that put an address behind the one before it, or the first one before the second."""
    if len(ranked) == 1:
        return "the only one"
    place = max(ranked.index(address), 1)
    one, other = ranked[place - 1], ranked[place]
    sources = {source for (source, name), _ in candidates._answers if name == of}
    if candidates._given or Source.HOOK in sources or Source.GIVEN in sources:
        return "in the order given"
    if one.family != other.family and candidates._families[0] != IPV6:
        return "the policy's families"
    if (Source.SYSTEM, of) in candidates._pending and one.family == other.family:
        return "the system's order"
    if Source.SYSTEM in sources:
        view = candidates._view
        is_closer = view is not None and view.rank(one) < view.rank(other)
        return "history" if is_closer and one.family == other.family else "the system's order"
    return candidates._sorter.difference(one, other)
