"""Hosts: several in the place of one, in order of preference.

Databases, brokers and mail servers come in lists, which a caller has or a name server: SRV records (RFC 2782) name the
hosts of a service. Each is looked up by whoever looks one up, all at the same time, and what is learned says of whom.
The order is told before any address is, so that a slow name server decides nothing but when: the addresses of one host
come before those of the next.

Of HTTPS records nothing is used here: they would be an order inside an order.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TypeAlias

import trio

from .._address import Target, check_host, check_name, parse_literal
from .._errors import look_up_failures, of_host
from .query import Answer, Query, QuerySent, SendAnswer, Service, Source
from .system import Resolver

HOSTS = 16
"""How many hosts of a service are considered: each costs two queries, and a name server may name thousands."""

FindServices: TypeAlias = Callable[[str], Awaitable[Sequence[Service]]]
"""Look up the SRV records of a name, in the order in which they are to be tried; none is no error."""

FindResolver: TypeAlias = Callable[[Target], tuple[Resolver | None, float]]
"""Choose who knows the addresses of a host, None where they are known, and until when to wait for one answer alone."""


class SeveralHosts:
    """Look up several hosts.

    Args:
        hosts: The hosts, the preferred one first.
        find_resolver: Who looks up each.
    """

    def __init__(self, hosts: Sequence[Target], find_resolver: FindResolver) -> None:
        self._hosts = hosts
        self._find_resolver = find_resolver

    async def resolve(self, query: Query, send_answer: SendAnswer) -> None:
        """Tell the order, and then what each host's resolver learns."""
        order = (Service(priority=at, target=host.host, port=host.port) for at, host in enumerate(self._hosts))
        send_answer(Answer(Source.GIVEN, services=tuple(order)))
        await _look_up_all(self._hosts, query, send_answer, self._find_resolver)


async def _look_up_all(
    hosts: Iterable[Target], query: Query, send_answer: SendAnswer, find_resolver: FindResolver
) -> None:
    """Look up each host once, whatever ports it has."""
    async with trio.open_nursery() as nursery:
        for host in {host.host: host for host in hosts}.values():
            nursery.start_soon(_look_up, host, query, send_answer, find_resolver)


async def _look_up(host: Target, query: Query, send_answer: SendAnswer, find_resolver: FindResolver) -> None:
    """Look up one host; that it has no address is nothing to the others."""
    resolver, alone_until = find_resolver(host)
    if resolver is None:
        send_answer(Answer(Source.GIVEN, host.addresses, name=host.host))
        return

    def send(item: QuerySent | Answer) -> None:
        if item.source is Source.HTTPS or item.name:
            return
        item = replace(item, name=host.host)
        if isinstance(item, Answer) and item.error is not None:
            item = replace(item, error=of_host(item.error, host.host))
        send_answer(item)

    query = replace(query, host=host.name, port=host.port, services=False)
    try:
        if alone_until > trio.current_time():
            with trio.CancelScope(deadline=alone_until):
                await resolver.resolve(query, send)
                return
        await resolver.resolve(query, send)
    except Exception as error:
        failures = look_up_failures(error)
        if not failures:
            raise
        send(Answer(Source.GIVEN, error=failures[0]))


class ServiceHosts:
    """Look up the hosts of a service (RFC 2782), and then each of them.

    Args:
        find_services: Who looks up SRV records.
        find_resolver: Who looks up each host.
        domain: The host itself, where there are no records; None if there is nobody then.
    """

    def __init__(self, find_services: FindServices, find_resolver: FindResolver, domain: Target | None) -> None:
        self._find_services = find_services
        self._find_resolver = find_resolver
        self._domain = domain

    async def resolve(self, query: Query, send_answer: SendAnswer) -> None:
        """Ask for the service, and tell what becomes of its hosts."""
        send_answer(QuerySent(Source.SRV))
        try:
            hosts = await self._find_hosts(query.host)
        except OSError as error:
            send_answer(Answer(Source.SRV, error=error))
            if error.errno == socket.EAI_NONAME and self._domain is not None:
                await SeveralHosts([self._domain], self._find_resolver).resolve(query, send_answer)
        else:
            send_answer(Answer(Source.SRV, services=tuple(hosts)))
            await _look_up_all(hosts.values(), query, send_answer, self._find_resolver)

    async def _find_hosts(self, name: str) -> dict[Service, Target]:
        """Find the hosts, by the records that name them.

        Raises:
            OSError: There are none; `EAI_NONAME` if that leaves the domain itself.
        """
        hosts = _hosts(await self._find_services(name))
        if not hosts:
            raise socket.gaierror(socket.EAI_NONAME, "there is no such service")
        return hosts


def _hosts(services: Sequence[Service]) -> dict[Service, Target]:
    """Read the hosts that records name; what is no host that can be connected to is left out.

    Raises:
        socket.gaierror: There are none; mostly the domain says that it does not have the service (RFC 2782, "Target").
    """
    hosts = {}
    for service in services[:HOSTS]:
        with suppress(ValueError):
            if service.port:
                hosts[service] = Target.parse(service.target, service.port)
    if services and not hosts:
        says_no = all(service.target == "." for service in services)
        why = "the domain says that it has no such service" if says_no else "its records name no host"
        raise socket.gaierror(socket.EAI_FAIL, why)
    return hosts


def service_name(service: object, domain: object) -> str:
    """Return the name whose SRV records tell the hosts of a service: `_xmpp-client._tcp.example.org`.

    Raises:
        TypeError: `service` is no str.
        ValueError: `service` has not the form `_service._protocol`, or `domain` is no name.
    """
    if not isinstance(service, str):
        raise TypeError(f"service must be str, not {service!r}")
    labels = service.split(".")
    if len(labels) != 2 or not all(label.startswith("_") and label[1:] for label in labels):
        raise ValueError(f"service must be like '_xmpp-client._tcp', not {service!r}")
    name = check_host(domain)
    if parse_literal(name, 0) is not None:
        raise ValueError(f"domain must be a name, not {domain!r}")
    return check_name(f"{service}.{name}")
