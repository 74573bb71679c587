"""Lab: one network, built, and contenders let loose on it.

Client and servers are network namespaces of one process, which the link connects. Everything that runs is a child of
that process and dies with it.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import ssl
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from ..namespaces import (
    Endless,
    Program,
    call_libc,
    family_of,
    forked,
    in_a_process,
    ip,
    mount_tmpfs,
    name_server,
    new_namespaces,
    replace_file,
)
from .contenders import PORT, Contender, Task
from .link import NEXT_CONNECT, Link, Way, open_tun
from .networks import NAME, Network

_NEW_NETWORK = 0x40000000
_QUICK = Way(delay=0.005)
"""The way to a name server."""


@dataclass(frozen=True, kw_only=True)
class Certificates:
    """What the servers show, and the client trusts: PEM texts."""

    ca: bytes
    chain: bytes
    of_another: bytes
    """The chain of another host."""


@dataclass(frozen=True, kw_only=True)
class Shot:
    """One connect."""

    network: str
    contender: str
    seconds: float
    address: str
    syns: tuple[tuple[float, str], ...]
    """When the first packet of each attempt left, counted from the first, and to which address."""

    @property
    def delay(self) -> float | None:
        """How long the second attempt came after the first; None if there was none."""
        return self.syns[1][0] if len(self.syns) > 1 else None


def run_network(  # noqa: PLR0917 - they are sent to a process as they stand
    network: Network,
    contenders: Sequence[Contender],
    repetitions: int,
    limit: float,
    certificates: Certificates,
    go: str,
) -> Iterator[Shot]:
    """Build the network in namespaces of this process, and let everybody connect, in turns; each is the first once."""
    with _built(network, certificates) as log:
        ca_file = "/mnt/ca.pem" if network.tls else ""
        task = Task(host=NAME, ca_file=ca_file, nat64=network.nat64, again=network.again, limit=limit, go=go)
        failures: Counter[str] = Counter()
        for turn in range(repetitions):
            first = turn % len(contenders)
            for contender in (*contenders[first:], *contenders[:first]):
                if failures[contender.name] * 2 <= repetitions:  # or the cell is decided
                    _begin_connect(network.name_servers[0], turn)
                    yield (shot := _shoot(network, contender, task, log))
                    failures[contender.name] += not shot.address


def send_shots(results: Any, *arguments: Any) -> None:
    """Be a process of its own: run a network, send each shot, and None at the end, or the text of what went wrong.

    It and its children have real-time priority: what else the machine does is not to be measured.
    """
    with suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    try:
        for shot in run_network(*arguments):
            results.send(shot)
        results.send(None)
    except BaseException:
        results.send(traceback.format_exc())
        raise


def _begin_connect(name_server: str, turn: int) -> None:
    """Tell the link, so that in each turn all contenders meet the same losses."""
    with socket.socket(family_of(name_server), socket.SOCK_DGRAM) as sock:
        sock.sendto(str(turn).encode(), (name_server, NEXT_CONNECT))


def _shoot(network: Network, contender: Contender, task: Task, log: Path) -> Shot:
    _read_log(log)
    program = Program(name=contender.name, function=contender.connect, arguments=(task,), give_up_after=task.limit + 2)
    try:
        seconds, address = in_a_process(program)
    except Endless:  # a look-up that blocks has no limit
        seconds, address = task.limit, ""
    if seconds > task.limit:
        address = ""
    time.sleep(0.05)  # or a packet of this one might be counted for the next
    syns = () if network.again else tuple(_read_log(log))  # nobody knows which of them were the second connect's
    return Shot(network=network.name, contender=contender.name, seconds=seconds, address=address, syns=syns)


def _read_log(log: Path) -> list[tuple[float, str]]:
    with log.open("r+", encoding="utf-8") as file:
        entries = [json.loads(line) for line in file]
        file.truncate(0)
    return [(at - entries[0][0], address) for at, address in entries]


@contextmanager
def _built(network: Network, certificates: Certificates) -> Iterator[Path]:
    """Build everything; this process is in the client's namespace then, and in no other again."""
    with ExitStack() as stack:
        new_namespaces()
        _files(network, certificates)
        home = os.open("/proc/self/ns/net", os.O_RDONLY)
        client = open_tun("client")
        ip(f"link set lo up\nlink set client addrgenmode none\nlink set client up\n{network.routes}")
        call_libc("unshare", _NEW_NETWORK)
        servers = open_tun("servers")
        with suppress(OSError):  # each connect is to be told of closed ports
            Path("/proc/sys/net/ipv4/icmp_ratelimit").write_text("0", "ascii")
        _build_servers(network, stack)
        call_libc("setns", home, _NEW_NETWORK)
        log = Path("/mnt/syns")
        log.touch()
        ways = dict.fromkeys(network.name_servers, _QUICK) | dict(network.ways)
        stack.enter_context(forked(Link(client, servers, ways, log).carry))
        yield log


def _files(network: Network, certificates: Certificates) -> None:
    mount_tmpfs("/mnt")
    mount_tmpfs("/run")
    replace_file("/etc/hosts", f"127.0.0.1 localhost\n::1 localhost\n{network.hosts}")
    servers = "".join(f"nameserver {address}\n" for address in network.name_servers)
    replace_file("/etc/resolv.conf", f"{servers}options {network.resolv_options}\n")
    replace_file("/etc/nsswitch.conf", "hosts: files dns\n")
    Path("/mnt/ca.pem").write_bytes(certificates.ca)
    Path("/mnt/chain.pem").write_bytes(certificates.chain)
    Path("/mnt/of_another.pem").write_bytes(certificates.of_another)


def _build_servers(network: Network, stack: ExitStack) -> None:
    """Give the namespace that this process is in all addresses, and begin to listen."""
    addresses = dict.fromkeys([*network.addresses, *network.name_servers])
    lines = [
        "link set lo up\nlink set servers addrgenmode none\nlink set servers up",
        *(f"addr add {address} dev lo{' nodad' * (':' in address)}" for address in addresses),
        "route add default dev servers\n-6 route add default dev servers",
    ]
    ip("\n".join(lines))
    for address in network.name_servers:
        if address not in network.closed:
            stack.enter_context(name_server(address, network.said_by(address)))
    for address in network.full:
        _fill(address, stack)
    listening = {address: _listen(address, stack) for address in network.addresses if network.listens(address)}
    hanging = {listening.pop(address) for address in network.hangs}
    abrupt = {listening.pop(address) for address in network.hangs_up}
    strangers = {listening.pop(address) for address in network.strangers}
    stack.enter_context(forked(_serve, list(listening.values()), list(strangers), list(abrupt), network.tls))
    stack.callback(hanging.clear)


def _fill(address: str, stack: ExitStack) -> None:
    """Listen, and let nobody in any more."""
    listener = _listen(address, stack)
    listener.listen(0)
    for _ in range(2):  # a backlog of 0 has room for one, and the next is not answered
        client = stack.enter_context(socket.socket(family_of(address)))
        client.setblocking(False)
        client.connect_ex((address, PORT))


def _listen(address: str, stack: ExitStack) -> socket.socket:
    sock = stack.enter_context(socket.socket(family_of(address)))
    if family_of(address) == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    sock.bind((address, PORT))
    sock.listen(128)
    sock.setblocking(False)
    return sock


def _serve(
    polite: list[socket.socket], strangers: list[socket.socket], abrupt: list[socket.socket], tls: bool
) -> NoReturn:
    """Answer whatever is asked with an empty page, or hang up at once."""

    def context(chain: str) -> ssl.SSLContext | None:
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.load_cert_chain(chain)
        return made if tls else None

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if await reader.read(1):
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                await writer.drain()
        except OSError:
            pass
        writer.close()

    async def hang_up(_: Any, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async def main() -> None:
        for chain, socks in ("/mnt/chain.pem", polite), ("/mnt/of_another.pem", strangers):
            for sock in socks:
                await asyncio.start_server(answer, sock=sock, ssl=context(chain))
        for sock in abrupt:
            await asyncio.start_server(hang_up, sock=sock)
        await asyncio.Event().wait()

    asyncio.run(main())
    raise AssertionError
