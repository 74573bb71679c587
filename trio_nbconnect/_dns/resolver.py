"""DNS: ask name servers ourselves, and know services as well as addresses (extra `dns`).

The problem: the operating system's resolver blocks a thread, cannot be cancelled, gives both families at once or in
two full look-ups, forgets the TTL and knows nothing of HTTPS records. Where it is slow, so is every connect.

How we solve it:

1. What this machine knows itself needs no query: `/etc/hosts`, "localhost" (`_hosts`).
2. The name is completed as the system does it (`_search`); HTTPS, AAAA and A of it are asked for in quick succession,
   and each answer is delivered when it comes (`_stub`). A late AAAA costs the Resolution Delay and nothing more.
3. An answer is remembered as long as its TTL says, and used once more when it has expired (`_cache`).
4. Else name servers are asked in turn (`_in_turn`), and CNAMEs are followed where an answer ends with one.

Whoever asks may be cancelled at any time: no socket, no task and no thread is left.

What lives here: `DNSResolver`, its arguments, and the way through the modules named above. What does not: mDNS, NIS
and whatever else the system may be configured for; that is why the default resolver asks the system. Equal queries
of several tasks are not merged: the one that asks might be cancelled, and the others with it.
"""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial

import trio

from .._address import IPV4, IPV6, Address
from .._policy import check_seconds
from .._resolve.query import Answer, Query, QuerySent, SendAnswer, Source
from .cache import Cache, Entry
from .hedging import InTurn, Standing
from .hosts import Watched, known_here, parse_hosts
from .search import Sieve, candidates
from .services import ALIASES, Records, SVCBResolver

try:
    from dns.message import QueryMessage

    from .message import Found, find, parse_name
    from .servers import (
        Server,
        Settings,
        check_count,
        parse_protocols,
        parse_resolv_conf,
        parse_search,
        parse_servers,
    )
except ModuleNotFoundError as missing:
    if (missing.name or "").partition(".")[0] != "dns":
        raise
    raise ImportError("trio_nbconnect.dns needs dnspython: python -m pip install 'trio-nbconnect[dns]'") from None

_Key = tuple[str, Source]


@dataclass(slots=True)
class _Memory:
    """What one `trio.run` remembers; the clock of another one counts from somewhere else."""

    cache: Cache[_Key, Found]
    standing: Standing[Server]


class DNSResolver:
    """Ask name servers for AAAA, A and HTTPS records; a `Connector` uses it as its `resolver`.

    It may be shared by all tasks, and should be: what it has learnt is kept for as long as `trio.run` lasts. Answers
    are not trusted beyond what they are: chains and loops of aliases end in an error, records of other names and
    addresses that cannot be reached are left out.

    Args:
        servers: The name servers, asked in this order, those over IPv6 first: `192.0.2.53`, `192.0.2.53:5353`,
            `[2001:db8::53]:53`, `tls://192.0.2.53`, `https://192.0.2.53/dns-query`; with a name in place of the
            address, the address stands behind: `tls://dns.example#192.0.2.53`. Empty for those of `resolv_conf`.
        search: The domains that complete a short name; None for those of `resolv_conf`.
        ndots: How many dots a name has that is tried as it is first; None for what `resolv_conf` says, or 1.
        give_up_after: Seconds to wait for one answer of one server; None for what `resolv_conf` says, or 5. The next
            server is asked long before.
        attempts: How often a silent server is asked; None for what `resolv_conf` says, or 2.
        rotate: Whether the servers take turns at being first; None for what `resolv_conf` says, or not.
        services: Whether to ask for HTTPS records (RFC 9460).
        protocols: The ALPN protocols that this client speaks over TCP; a service with none of them is left out.
        use_expired: Seconds after its end for which an answer may still be used, while a fresh one is on its way; 0
            for not at all.
        cache_size: How many answers are remembered at most; 0 for none.
        ca_file: A file with the certificates that vouch for `tls://` and `https://` servers; None for the
            system's.
        resolv_conf: The file that names the servers, read again when it has changed; not read if `servers` are given.
            Windows has none: give the servers.
        hosts: The file with names that need no server; None for no such file.
        rng: What shuffles services of equal priority.

    Raises:
        ImportError: An `https://` server needs `dnspython[doh]`.
        TypeError: An argument is of the wrong type.
        ValueError: A server, domain or number makes no sense; or only some of the servers are encrypted.

    Example:
        >>> from trio_nbconnect import Connector, Query
        >>> connector = Connector(resolver=DNSResolver(servers=["192.0.2.53", "[2001:db8::53]:5353"]))

        Names that this machine knows itself are not asked for:

        >>> import socket, trio
        >>> async def main():
        ...     query = Query(host="localhost", port=80, families=(socket.AF_INET,))
        ...     await DNSResolver(servers=["192.0.2.53"], hosts=None).resolve(query, print)
        >>> trio.run(main)  # doctest: +ELLIPSIS
        QuerySent(source=<Source.A: 'A'>, name='', encrypted=False)
        Answer(source=<Source.A: 'A'>, addresses=(Address(..., host='127.0.0.1', port=80, ...),), ...)
    """

    def __init__(
        self,
        *,
        servers: Iterable[str] = (),
        search: Iterable[str] | None = None,
        ndots: int | None = None,
        give_up_after: float | None = None,
        attempts: int | None = None,
        rotate: bool | None = None,
        services: bool = True,
        protocols: Iterable[str] = ("h2", "http/1.1"),
        use_expired: float = 86400.0,
        cache_size: int = 1000,
        ca_file: str | os.PathLike[str] | None = None,
        resolv_conf: str | os.PathLike[str] = "/etc/resolv.conf",
        hosts: str | os.PathLike[str] | None = "/etc/hosts",
        rng: random.Random | None = None,
    ) -> None:
        self._servers = parse_servers(servers, None if ca_file is None else os.fspath(ca_file))
        self._resolv_conf = Watched(os.fspath(resolv_conf), parse_resolv_conf)
        self._search = None if search is None else parse_search(search)
        self._ndots = None if ndots is None else check_count("ndots", ndots, 0)
        self._give_up_after = None if give_up_after is None else check_seconds("give_up_after", give_up_after)
        self._attempts = None if attempts is None else check_count("attempts", attempts, 1)
        self._rotate = rotate
        self._hosts = Watched(os.devnull if hosts is None else os.fspath(hosts), parse_hosts)
        self._services = services
        self._protocols = parse_protocols(protocols)
        self._use_expired = check_seconds("use_expired", use_expired)
        self._cache_size = check_count("cache_size", cache_size, 0)
        self._rng = rng or random.Random()
        self._memory: trio.lowlevel.RunVar[_Memory] = trio.lowlevel.RunVar("trio_nbconnect.dns.memory")

    async def resolve(self, query: Query, send_answer: SendAnswer) -> None:
        """SendAnswer `QuerySent` for each query and `Answer` for each result, and return when no more will come.

        A failed query is an `Answer` with its error: a `socket.gaierror` with `EAI_NONAME` if there is no such name,
        `EAI_AGAIN` if no server has answered, and `EAI_FAIL` if aliases lead nowhere. There being no such records is
        no error.
        """
        known = known_here(query.host, self._hosts.read())
        if known is None:
            await self._ask_for(query, send_answer)
        else:
            _tell(known, query, send_answer)
            await trio.lowlevel.checkpoint()

    def forget(self) -> None:
        """Forget all answers, and which servers were silent: the network is another one now.

        Every `trio.run` begins with nothing remembered; outside of one, there is nothing to forget.
        """
        if trio.lowlevel.in_trio_run():
            self._memory.set(self._nothing())

    async def _ask_for(self, query: Query, send_answer: SendAnswer) -> None:
        """Ask for one name after the other, until one has anything to connect to."""
        settings = self._settings()
        stub = SVCBResolver(
            partial(self._look_up, settings),
            services=self._services,
            protocols=self._protocols,
            encrypted=settings.encrypted,
            rng=self._rng,
        )
        first, *others = candidates(query.host.lower(), settings.search, settings.ndots)
        if not others:
            await stub.resolve(replace(query, host=first), send_answer)
            return
        sieve = Sieve(send_answer)
        for name in (first, *others):
            await stub.resolve(replace(query, host=name), sieve.take)
            if sieve.found:
                return
            sieve.next_name()
        sieve.finish()

    async def _look_up(self, settings: Settings, name: str, source: Source) -> Records:
        """Be the stub's `LookUp`: from memory, if there is anything in it."""
        key = (name.removesuffix(".").lower(), source)
        cache, now = self._remembered().cache, trio.current_time()
        if (fresh := cache.fresh(key, now)) is not None:
            await trio.lowlevel.checkpoint()
            return _known(fresh.value, name)
        expired = cache.take_expired(key, now)
        if expired is not None and expired.value.records != Records():  # bad news may have been mended since
            await trio.lowlevel.checkpoint()
            return replace(expired.value.records, fresher=partial(self._refresh, settings, key, expired))
        return await self._ask(settings, key)

    async def _refresh(self, settings: Settings, key: _Key, expired: Entry[Found]) -> Records:
        """RFC 8767, section 5: what has expired is better than nothing, but not than the truth."""
        try:
            return await self._ask(settings, key)
        except OSError as error:
            if error.errno == socket.EAI_NONAME:
                raise
            self._remembered().cache.restore(key, expired)
            return expired.value.records

    async def _ask(self, settings: Settings, key: _Key) -> Records:
        """Ask name servers, and again where an answer ends with the name of another one (RFC 1034, section 5.2.2)."""
        name, source = key
        names, ttl = [name], float("inf")
        while True:
            found = find(await self._first_answer(settings, names[-1], source), source, self._rng)
            ttl = min(ttl, found.ttl)
            if not found.leads_to:
                break
            if found.leads_to in names or len(names) > ALIASES:
                way = " -> ".join([*names, found.leads_to])
                raise socket.gaierror(socket.EAI_FAIL, f"the aliases of {name} lead nowhere: {way}")
            names.append(found.leads_to)
        self._remembered().cache.store(key, found, ttl, trio.current_time())
        return _known(found, name)

    async def _first_answer(self, settings: Settings, name: str, source: Source) -> QueryMessage:
        """Ask the name servers in turn for one type of one name."""
        asked, standing, now = parse_name(name), self._remembered().standing, trio.current_time()
        turns: InTurn[Server, QueryMessage] = InTurn(
            standing.order(settings.servers, rotate=settings.rotate, over_ipv6=lambda one: one.over_ipv6, now=now),
            lambda server: server.ask(asked, source),
            standing,
            settings.attempts,
            settings.give_up_after,
        )
        answer = await turns.first_answer()
        if answer is None:
            met = "; ".join(f"{server}: {error.strerror or error}" for server, error in turns.failures.items())
            raise socket.gaierror(socket.EAI_AGAIN, f"no name server knows {source.value} of {name}: {met}")
        return answer

    def _settings(self) -> Settings:
        """What the arguments say, and else `resolv_conf`."""
        said = Settings(servers=self._servers) if self._servers else self._resolv_conf.read()
        return Settings(
            servers=said.servers,
            search=said.search if self._search is None else self._search,
            ndots=said.ndots if self._ndots is None else self._ndots,
            give_up_after=said.give_up_after if self._give_up_after is None else self._give_up_after,
            attempts=said.attempts if self._attempts is None else self._attempts,
            rotate=said.rotate if self._rotate is None else self._rotate,
        )

    def _remembered(self) -> _Memory:
        try:
            return self._memory.get()
        except LookupError:
            self._memory.set(self._nothing())
            return self._memory.get()

    def _nothing(self) -> _Memory:
        return _Memory(Cache(self._cache_size, self._use_expired), Standing())


def _known(found: Found, name: str) -> Records:
    if not found.exists:
        raise socket.gaierror(socket.EAI_NONAME, f"there is no such name: {name}")
    return found.records


def _tell(known: tuple[Address, ...], query: Query, send_answer: SendAnswer) -> None:
    """SendAnswer what this machine knows itself, for each family."""
    here = [(Source.of(family), family) for family in (IPV6, IPV4) if family in query.families]
    for source, _ in here:
        send_answer(QuerySent(source))
    for source, family in here:
        addresses = (replace(address, port=query.port) for address in known if address.family == family)
        send_answer(Answer(source, tuple(addresses)))
