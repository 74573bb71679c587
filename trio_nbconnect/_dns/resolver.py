"""DNS: query name servers directly, for services as well as addresses (extra `dns`).

The operating system's resolver blocks a thread, cannot be cancelled, gives both families at once or in two full
look-ups, forgets the TTL and knows nothing of HTTPS records. Where it is slow, so is every connect.

Algorithm:

1. What this machine knows itself needs no query: `/etc/hosts`, "localhost".
2. The name is completed as the system does it; HTTPS (where the caller speaks it), AAAA and A are queried in quick
   succession, and each answer is delivered when it comes. A late AAAA costs the Resolution Delay and nothing more.
3. An answer is remembered as long as its TTL says, and used once more when it has expired.
4. One query of a name and type is under way at a time; all tasks that want its answer share it.
5. Name servers are asked in turn, and CNAMEs are followed where an answer ends with one.
6. An answer that is too late for its race is waited for in the resolver's own nursery, if it was given one. Else the
   next race does not wait for that type again, for as long as what is known of the name holds.

`resolve` may be cancelled at any time: no socket, no task and no thread is left. Refused: mDNS, NIS and whatever else
the system may be configured for; that is why the default resolver uses the system's look-up.
"""

from __future__ import annotations

import math
import os
import random
import re
import socket
import sys
from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from functools import partial

import trio

from .._address import IPV6, Address, path_of
from .._connect.system_files import system_file
from .._policy import check_count, check_seconds
from .._resolve import rfc6724  # noqa: F401 - what is found is sorted so; the first connect shall import nothing
from .._resolve.query import Answer, Query, QuerySent, SendAnswer, Service, Source
from .cache import Cache, CacheEntry, seconds_asleep
from .services import ALIASES, Records, SVCBResolver

try:
    from .hedging import HedgedQuery, ServerHealth, Unanswered, bare
    from .local_names import CachedFile, Hosts, check_may_be_asked, known_here, parse_hosts
    from .message import ParsedAnswer, Question, Reply, parse_answer
    from .registry import Registry
    from .search import SearchBuffer, candidates
    from .servers import (
        Server,
        Settings,
        parse_protocols,
        parse_resolv_conf,
        parse_search,
        parse_servers,
    )
    from .sharing import SharedQueries
except ModuleNotFoundError as missing:
    if (missing.name or "").partition(".")[0] != "dns":
        raise
    raise ImportError("trio_nbconnect.dns needs dnspython: python -m pip install 'trio-nbconnect[dns]'") from None

Key = tuple[str, Source, int]
"""A name, a record type, and in which network; see `_Memory.network`."""

_NO_HOSTS: Hosts = {}

SERVICES_MISSED = 3
"""After so many names whose HTTPS records were late those of other names are not waited for either: a middlebox that
drops the type does so for all of them. They are still asked for, and the first answer in time ends it."""

LATE = 0.05
"""Seconds: the Resolution Delay. What is given up sooner was not late, but not wanted any more."""


SLEEP = 1.0
"""Seconds: the two clocks that tell of it are read one after the other, and a busy machine may do something between."""

HOSTS, RESOLV_CONF = system_file("hosts"), system_file("resolv.conf")


@dataclass(slots=True)
class _Memory:
    """What one `trio.run` remembers; the clock of another one counts from somewhere else."""

    cache: Cache[Key, ParsedAnswer]
    hosts: CachedFile[Hosts] | None
    resolv_conf: CachedFile[Settings] | None = None
    settings: Settings | None = None
    """What the arguments say, if they name the servers; or `resolv_conf`, if it is not to be read again."""
    health: ServerHealth[Server] = field(default_factory=ServerHealth)
    shared: SharedQueries[Key, ParsedAnswer] = field(default_factory=SharedQueries)
    manager: AbstractAsyncContextManager[trio.Nursery] | None = None
    """What closes the nursery of `shared`, if the resolver is in use as a context manager."""
    late: dict[Key, float] = field(default_factory=dict)
    """What came too late for its race, and how long it is not waited for."""
    services_missed: int = 0
    """How often HTTPS records came too late since they came in time."""
    servers: tuple[Server, ...] = ()
    """The servers that `resolv_conf` has named."""
    network: int = 0
    """How often it has become another one: what a look-up of the former one still learns is kept apart."""
    asleep: float = field(default_factory=seconds_asleep)
    """For how long this machine had been suspended at the last look-up."""

    def heed(self, servers: tuple[Server, ...]) -> None:
        """Forget what other servers have said: a name may mean something else here."""
        if servers != self.servers:
            self.servers = servers
            self.forget()

    def heed_sleep(self) -> None:
        """Forget all after a sleep: no TTL has counted it, and who wakes up may be somewhere else."""
        before, self.asleep = self.asleep, seconds_asleep()
        if self.asleep - before > SLEEP:
            self.forget()

    def forget(self) -> None:
        """Begin anew, in another network."""
        self.network += 1
        self.cache.clear()
        self.late.clear()
        self.services_missed = 0
        self.health = ServerHealth()


class DNSResolver:
    """Ask name servers for AAAA, A, HTTPS and SRV records; a `Connector` uses it as its `resolver`.

    It may be shared by all tasks, and should be: its cache is kept for as long as `trio.run` lasts and the machine does
    not sleep, and tasks that want the same answer share one query. Answers are not trusted: chains and loops of aliases
    end in an error, records of other names and addresses that cannot be reached are left out, and so is what exceeds
    some dozens of addresses for each name.

    As an asynchronous context manager it goes on waiting for answers that are late, a second at most after the last
    connect that wanted them (RFC 8305, section 5), so that they are there for the next one. Without that, an answer
    that was late is not waited for again as long as what is known of its name holds; it is still asked for.

    Args:
        servers: The name servers, asked in this order, those over IPv6 first: `192.0.2.53`, `192.0.2.53:5353`,
            `[2001:db8::53]:53`, `tls://192.0.2.53`, `https://192.0.2.53/dns-query`; with a name in place of the
            address, the address stands behind: `tls://dns.example#192.0.2.53`. Empty for those of `resolv_conf`.
            They are asked without EDNS, which some firewalls drop; answers of more than 512 octets come over TCP.
        search: The domains that complete a short name; None for those of `resolv_conf`.
        ndots: How many dots a name has that is tried as it is first; None for what `resolv_conf` says, or 1.
        give_up_after: Seconds that a server has for an answer; None for what `resolv_conf` says, or 5. The next
            server is asked long before.
        attempts: How often a silent server is asked at most; None for what `resolv_conf` says, or 4.
        rotate: Whether the servers take turns at being first; None for what `resolv_conf` says, or not.
        services: Whether HTTPS records (RFC 9460) may be asked for; they are, for callers who speak HTTPS.
        protocols: The ALPN protocols that this client speaks over TCP; a service with none of them is left out.
        use_expired: Seconds after its end for which an answer may still be used, while a fresh one is on its way; 0
            for not at all.
        cache_size: How many answers are remembered at most; 0 for none.
        ca_file: A file with the certificates that vouch for `tls://` and `https://` servers; None for the
            system's.
        resolv_conf: The file that names the servers, read as resolv.conf(5) says, `LOCALDOMAIN` and `RES_OPTIONS`
            included, and again when it has changed (but for its option `no-reload`), what other servers have said
            being forgotten; not read if `servers` are given. Windows keeps them in its registry, which is read in its
            place.
        hosts: The file with names that need no server, by default the system's; None for no such file.
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
        resolv_conf: str | os.PathLike[str] = RESOLV_CONF,
        hosts: str | os.PathLike[str] | None = HOSTS,
        rng: random.Random | None = None,
    ) -> None:
        self._servers = parse_servers(servers, None if ca_file is None else _path("ca_file", ca_file))
        self._resolv_conf = _path("resolv_conf", resolv_conf)
        self._search = None if search is None else parse_search(search)
        self._ndots = None if ndots is None else check_count("ndots", ndots, 0)
        self._give_up_after = None if give_up_after is None else check_seconds("give_up_after", give_up_after)
        self._attempts = None if attempts is None else check_count("attempts", attempts, 1)
        self._rotate = rotate
        self._hosts = None if hosts is None else _path("hosts", hosts)
        self._services = services
        self._protocols = parse_protocols(protocols)
        self._use_expired = check_seconds("use_expired", use_expired)
        self._cache_size = check_count("cache_size", cache_size, 0)
        if rng is not None and not isinstance(rng, random.Random):
            raise TypeError(f"rng must be random.Random, not {rng!r}")
        self._rng = rng or random.Random()
        self._memory: trio.lowlevel.RunVar[_Memory] = trio.lowlevel.RunVar("trio_nbconnect.dns.memory")

    async def __aenter__(self) -> DNSResolver:
        """Open the nursery in which late answers are waited for.

        Raises:
            RuntimeError: It is open already.
        """
        memory = self._remembered()
        if memory.manager is not None:
            raise RuntimeError("the resolver is in use as a context manager already")
        memory.manager = trio.open_nursery()
        memory.shared.nursery = await memory.manager.__aenter__()
        return self

    async def __aexit__(self, *caught: object) -> None:
        """Give up what is still under way. What the block has raised goes on as it is, and in no group."""
        memory = self._remembered()
        manager, nursery = memory.manager, memory.shared.nursery
        assert manager is not None
        assert nursery is not None
        memory.manager = memory.shared.nursery = None
        nursery.cancel_scope.cancel()
        await manager.__aexit__(None, None, None)

    async def resolve(self, query: Query, send_answer: SendAnswer) -> None:
        """Deliver `QuerySent` for each query and `Answer` for each result, and return when no more will come.

        A failed query is an `Answer` with its error: a `socket.gaierror` with `EAI_NONAME` if there is no such name,
        `EAI_AGAIN` if no server has answered, and `EAI_FAIL` if aliases lead nowhere or `resolv_conf` leaves no
        server. There being no such records is no error.
        """
        memory = self._remembered()
        try:
            known = known_here(query.host, {} if memory.hosts is None else await memory.hosts.read())
            settings = None if known is not None else await self._settings(memory)
        except socket.gaierror as error:
            _deliver_error(bare(error), query, send_answer)
            await trio.lowlevel.checkpoint()
            return
        if settings is not None:
            await self._ask_for(_LookUp(memory, settings, self._rng, memory.network), query, send_answer)
        else:
            _deliver_known(known or (), query, send_answer)
            await trio.lowlevel.checkpoint()

    def resolve_nowait(self, query: Query, send_answer: SendAnswer) -> bool:
        """Deliver what `resolve` would, if no name server has to be asked for it; else deliver nothing.

        A race asks so first: what is known at once needs no task.

        Args:
            query: What is wanted.
            send_answer: What takes it.

        Returns:
            Whether all was delivered.
        """
        memory = self._remembered()
        hosts = _NO_HOSTS if memory.hosts is None else memory.hosts.read_nowait()
        if hosts is None:
            return False
        try:
            known = known_here(query.host, hosts)
            settings = None if known is not None else self._settings_nowait(memory)
        except socket.gaierror as error:
            _deliver_error(bare(error), query, send_answer)
            return True
        if known is not None:
            _deliver_known(known, query, send_answer)
            return True
        return settings is not None and self._recall(
            _LookUp(memory, settings, self._rng, memory.network), query, send_answer
        )

    def _recall(self, look_up: _LookUp, query: Query, send_answer: SendAnswer) -> bool:
        """Deliver what is remembered of the first name that has anything to connect to."""
        query = look_up.asked_for(query)
        if not query.families:
            return False
        first = Source.of(query.in_query_order[0])
        for name in look_up.candidates(query.host):
            if not look_up.remembers(name, first):  # as mostly, and cheaper to find out
                return False
            resolver = self._services_of(look_up)
            answers = resolver.remembered(replace(query, host=name))
            if answers is None:
                return False
            if any(answer.addresses or answer.services for answer in answers):
                resolver.announce(query, send_answer)
                for answer in answers:
                    send_answer(answer)
                return True
        return False

    async def find_services(self, name: str) -> tuple[Service, ...]:
        """Look up the SRV records of a name (RFC 2782), in the order in which they are to be tried.

        Args:
            name: The name, as `_xmpp-client._tcp.example.org`.

        Returns:
            The services by priority, those of one priority in an order drawn by their weights. None if there are no
            such records.

        Raises:
            socket.gaierror: They cannot be known; `EAI_NONAME` if there is no such name.
        """
        memory = self._remembered()
        look_up = _LookUp(memory, await self._settings(memory), self._rng, memory.network)
        return await SVCBResolver(look_up.ask, rng=self._rng).find_services(name)

    def forget(self) -> None:
        """Forget all answers, and which servers were silent: the network is another one now.

        Every `trio.run` begins with nothing remembered; outside of one, there is nothing to forget.
        """
        if trio.lowlevel.in_trio_run():
            self._remembered().forget()

    async def _ask_for(self, look_up: _LookUp, query: Query, send_answer: SendAnswer) -> None:
        """Ask for one name after the other, until one has anything to connect to."""
        query, resolver = look_up.asked_for(query), self._services_of(look_up)
        names = look_up.candidates(query.host)
        buffer = SearchBuffer(send_answer, is_needed=len(names) > 1)
        left = ""
        for name in names:
            with buffer.next_name():
                await resolver.resolve(replace(query, host=name), buffer.take)
            if buffer.found:
                return
            if buffer.is_silent:
                break
            if buffer.was_left:
                left = left or name
        if left:  # no other name was the right one
            with buffer.next_name(patient=True):
                await resolver.resolve(replace(query, host=left), buffer.take)
        if not buffer.found:
            buffer.finish()

    def _services_of(self, look_up: _LookUp) -> SVCBResolver:
        return SVCBResolver(
            look_up.ask,
            recall=look_up.recall,
            services=self._services,
            protocols=self._protocols,
            encrypted=look_up.settings.encrypted,
            rng=self._rng,
        )

    async def _settings(self, memory: _Memory) -> Settings:
        """What the arguments say, and else `resolv_conf`.

        Raises:
            socket.gaierror: No server is left.
        """
        settings = self._settings_nowait(memory)
        if settings is None:
            assert memory.resolv_conf is not None
            settings = self._checked(await memory.resolv_conf.read(), memory)
        return settings

    def _settings_nowait(self, memory: _Memory) -> Settings | None:
        """The same; None if the file has to be read in a thread."""
        if self._servers:
            memory.settings = memory.settings or self._with_arguments(Settings(servers=self._servers))
        if memory.settings is not None:
            return memory.settings
        if memory.resolv_conf is None:
            search, options = os.environ.get("LOCALDOMAIN"), os.environ.get("RES_OPTIONS", "")
            parse = partial(parse_resolv_conf, search=search, options=options)
            where, file = self._resolv_conf, CachedFile
            if sys.platform == "win32" and where == RESOLV_CONF:
                where, file = "the registry", Registry
            memory.resolv_conf = file(where, lambda text: self._with_arguments(parse(text)))
        settings = memory.resolv_conf.read_nowait()
        return None if settings is None else self._checked(settings, memory)

    def _checked(self, settings: Settings, memory: _Memory) -> Settings:
        file = memory.resolv_conf
        assert file is not None
        if settings.names_interfaces:
            file.forget()
        memory.heed(settings.servers)
        if not settings.servers:
            raise socket.gaierror(socket.EAI_FAIL, f"no usable name server in {file.path}")
        if not settings.reload:
            memory.settings = settings
        return settings

    def _with_arguments(self, read: Settings) -> Settings:
        """Arguments come before what the file says."""
        return replace(
            read,
            search=read.search if self._search is None else self._search,
            ndots=read.ndots if self._ndots is None else self._ndots,
            give_up_after=read.give_up_after if self._give_up_after is None else self._give_up_after,
            attempts=read.attempts if self._attempts is None else self._attempts,
            rotate=read.rotate if self._rotate is None else self._rotate,
        )

    def _remembered(self) -> _Memory:
        try:
            memory = self._memory.get()
        except LookupError:
            hosts = None if self._hosts is None else CachedFile(self._hosts, parse_hosts)
            memory = _Memory(Cache(self._cache_size, self._use_expired), hosts)
            self._memory.set(memory)
        memory.heed_sleep()
        return memory


@dataclass(slots=True)
class _LookUp:
    """Look names up with the servers and the memory of one resolver."""

    memory: _Memory
    settings: Settings
    rng: random.Random
    network: int

    def candidates(self, host: str) -> list[str]:
        """Return the names to try, in order."""
        settings = self.settings
        return candidates(host.lower(), settings.search, settings.ndots, tld_query=settings.tld_query)

    def asked_for(self, query: Query) -> Query:
        """Leave out the family whose records nobody may be asked for."""
        if self.settings.aaaa:
            return query
        return replace(query, families=tuple(family for family in query.families if family != IPV6))

    def recall(self, name: str, source: Source) -> Records | None:
        """Return what is remembered and holds.

        Raises:
            socket.gaierror: It is remembered that there is no such name.
        """
        entry = self.memory.cache.fresh(self._key(name, source), trio.current_time())
        return None if entry is None else _records(entry.value, name)

    def remembers(self, name: str, source: Source) -> bool:
        """Say whether anything is remembered that holds."""
        return self.memory.cache.fresh(self._key(name, source), trio.current_time()) is not None

    def _key(self, name: str, source: Source) -> Key:
        return name.removesuffix(".").lower(), source, self.network

    async def ask(self, name: str, source: Source) -> Records:
        """Look one type up; what has expired is used once more, and what was late is not waited for."""
        check_may_be_asked(name)
        key, memory, now = self._key(name, source), self.memory, trio.current_time()
        if (fresh := memory.cache.fresh(key, now)) is not None:
            await trio.lowlevel.checkpoint()
            return _records(fresh.value, name)
        expired = memory.cache.take_expired(key, now)
        if expired is not None and expired.value.records != Records():  # a failure may have been mended since
            await trio.lowlevel.checkpoint()
            return replace(expired.value.records, refresh=partial(self._refresh, key, expired))
        if self._is_late(key, now):
            await trio.lowlevel.checkpoint()
            return Records(late=True, refresh=partial(self._share, key))
        return await self._share(key)

    def _is_late(self, key: Key, now: float) -> bool:
        """Whether an answer is not waited for; over encrypted DNS services are, for they must not be taken away."""
        is_services = key[1] is Source.HTTPS
        if is_services and self.settings.encrypted:
            return False
        missed = is_services and self.memory.services_missed >= SERVICES_MISSED
        return missed or (bool(self.memory.late) and self.memory.late.get(key, now) > now)

    async def _refresh(self, key: Key, expired: CacheEntry[ParsedAnswer]) -> Records:
        """RFC 8767, section 5: what has expired is better than nothing, but not than the truth."""
        try:
            return await self._share(key)
        except OSError as error:
            if error.errno == socket.EAI_NONAME:
                raise
            self.memory.cache.restore(key, expired)
            return expired.value.records

    async def _share(self, key: Key) -> Records:
        """Ask, or wait for the answer to the same query of another task."""
        missed = partial(self._note_late, key)
        try:
            answer = await self.memory.shared.answer(key, partial(self._follow, key), missed)
        except Unanswered:
            missed(-math.inf)
            raise
        return _records(answer, key[0])

    def _note_late(self, key: Key, began: float) -> None:
        """Remember an answer that did not come in time, as long as what is known of its name holds."""
        now = trio.current_time()
        if now - began < LATE:
            return
        host = re.sub(r"^_[0-9]+\._https\.", "", key[0])
        others = (self.memory.cache.peek((host, source, self.network)) for source in (Source.AAAA, Source.A))
        until = max((entry.expires for entry in others if entry is not None), default=now)
        if until > now:
            self.memory.services_missed += key[1] is Source.HTTPS
            self.memory.late.pop(key, None)
            self.memory.late[key] = until
        if len(self.memory.late) > self.memory.cache.size:
            del self.memory.late[next(iter(self.memory.late))]

    async def _follow(self, key: Key) -> ParsedAnswer:
        """Ask name servers, and again where an answer ends with the name of another one (RFC 1034, section 5.2.2)."""
        name, source, _ = key
        names, ttl = [name], float("inf")
        while True:
            found = await self._first_answer(names[-1], source)
            ttl = min(ttl, found.ttl)
            if not found.next_name:
                break
            if found.next_name in names or len(names) > ALIASES:
                way = " -> ".join([*names, found.next_name])
                raise socket.gaierror(socket.EAI_FAIL, f"the aliases of {name} lead nowhere: {way}")
            check_may_be_asked(found.next_name)
            names.append(found.next_name)
        self.memory.cache.store(key, found, ttl, trio.current_time())
        self.memory.late.pop(key, None)
        if source is Source.HTTPS:
            self.memory.services_missed = 0
        return found

    async def _first_answer(self, name: str, source: Source) -> ParsedAnswer:
        """Ask the name servers in turn for one type of one name."""
        settings, health, question = self.settings, self.memory.health, Question(name, source)
        now = trio.current_time()
        query: HedgedQuery[Server, Reply, ParsedAnswer] = HedgedQuery(
            health.order(settings.servers, rotate=settings.rotate, over_ipv6=lambda one: one.over_ipv6, now=now),
            lambda server: server.send(question),
            partial(parse_answer, question, rng=self.rng),
            health,
            settings.attempts,
            settings.give_up_after,
        )
        answer = await query.first_answer()
        if answer is None:
            met = "; ".join(f"{server}: {error.strerror or error}" for server, error in query.failures.items())
            kind = Unanswered if query.unanswered else socket.gaierror
            raise kind(socket.EAI_AGAIN, f"no name server knows {source.value} of {name}: {met}")
        return replace(answer, records=replace(answer.records, server=str(query.winner), ttl=answer.ttl))


def _path(name: str, path: str | os.PathLike[str]) -> str:
    return os.fsdecode(path_of(name, path))


def _records(found: ParsedAnswer, name: str) -> Records:
    if not found.exists:
        raise socket.gaierror(socket.EAI_NONAME, f"there is no such name: {name}")
    return found.records


def _families(query: Query) -> list[tuple[Source, socket.AddressFamily]]:
    return [(Source.of(family), family) for family in query.in_query_order]


def _deliver_known(known: tuple[Address, ...], query: Query, send_answer: SendAnswer) -> None:
    """Deliver what this machine knows itself, for each family."""
    for source, _ in _families(query):
        send_answer(QuerySent(source))
    for source, family in _families(query):
        addresses = (replace(address, port=query.port) for address in known if address.family == family)
        send_answer(Answer(source, tuple(addresses)))


def _deliver_error(error: OSError, query: Query, send_answer: SendAnswer) -> None:
    """Deliver why no server could be queried."""
    for source, _ in _families(query):
        send_answer(QuerySent(source))
    for source, _ in _families(query):
        send_answer(Answer(source, error=error))
