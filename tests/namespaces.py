"""Namespaces: programs run on a network, with files and a host name, of a test's own, against the real C library.

What a name means is decided by glibc: hosts, `nsswitch.conf`, search domains, gai.conf, NSS modules. No fake of it
would prove anything. So a `World` describes a machine; it is set up in private network, mount and UTS namespaces, with
a scripted name server in a process of its own that logs every query; and each program, a function, runs there in a
fresh process, because glibc keeps state.

Each world is a child of a fork server that has imported what the programs need: an interpreter for each would take
longer than the rest. Nothing is written outside: files are on a private tmpfs, and all is gone with the last process.
"""

from __future__ import annotations

import ctypes
import heapq
import json
import multiprocessing
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from glob import glob
from pathlib import Path
from typing import Any, NoReturn

TYPES = {"A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "AAAA": 28, "HTTPS": 65}
RCODES = {"NOERROR": 0, "FORMERR": 1, "SERVFAIL": 2, "NXDOMAIN": 3, "NOTIMP": 4, "REFUSED": 5}


@dataclass(frozen=True, kw_only=True)
class Says:
    """What a name server answers to one question."""

    data: tuple[str, ...] = ()
    alias: str = ""
    """The name that the addresses belong to, where the one that was asked for is an alias (CNAME)."""
    after: float = 0.0
    rcode: str = "NOERROR"
    drops: bool = False
    truncated: bool = False
    """Whether UDP brings nothing of it, and says that TCP would."""


def says(*data: str, alias: str = "", after: float = 0.0, rcode: str = "NOERROR", truncated: bool = False) -> Says:
    """Answer with these addresses, or an HTTPS record ("1 host.example."); none, and there is no record of the type."""
    return Says(data=data, alias=alias, after=after, rcode=rcode, truncated=truncated)


DROPS = Says(drops=True)

Zone = Mapping[str, Mapping[str, Says]]
"""Names, without a final dot, and what is said of each type of record; `*.` stands for all names below that are not
listed, and the type `*` for all types. What is not listed does not exist."""


@dataclass(frozen=True, kw_only=True)
class World:
    """A machine and its network.

    Args:
        links: Lines for `ip -batch`; `lo` is up already.
        hosts: `/etc/hosts`.
        resolv: `/etc/resolv.conf`.
        nsswitch: The line of `/etc/nsswitch.conf` that begins with `hosts:`.
        gai: `/etc/gai.conf`.
        hostname: The machine's own name.
        servers: The name servers by address, and what each says.
        mdns: What a scripted avahi daemon says: family and name, and interface and address.
        listeners: Addresses at which connections to the one port are accepted.
        hesiod: An NSS module, a shared library, that takes the place of glibc's own `hesiod`, which nobody uses.
    """

    links: str = ""
    hosts: str = "127.0.0.1 localhost\n::1 localhost\n"
    resolv: str = "nameserver 127.0.0.53\n"
    nsswitch: str = "files dns"
    gai: str = ""
    hostname: str = "box"
    servers: Mapping[str, Zone] = field(default_factory=dict)
    mdns: Mapping[tuple[int, str], tuple[str, str]] = field(default_factory=dict)
    listeners: tuple[str, ...] = ()
    hesiod: bytes = b""


@dataclass(frozen=True, kw_only=True)
class Program:
    """A function to run in a process of its own, and the name by which its result is known."""

    name: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    give_up_after: float = 30.0


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a program returned, and what it made go out to name servers."""

    value: Any
    queries: list[tuple[str, str]]
    """Name and type, in the order of their arrival."""


class Endless(RuntimeError):
    """A program has not ended in time."""


PORT = 4711
"""Where the listeners of a world are; nothing else is in its network."""


@cache
def why_not() -> str:
    """Say why there can be no namespaces here; empty if there can."""
    if sys.platform != "linux":
        return "namespaces are Linux's"
    if os.geteuid() != 0:
        return "only root makes namespaces"
    try:
        subprocess.run(["ip", "-Version"], check=True, capture_output=True, timeout=10)
        done = subprocess.run(
            ["unshare", "--mount", "--net", "--uts", "true"], check=False, capture_output=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError) as error:
        return f"iproute2 and util-linux are needed: {error}"
    return "" if done.returncode == 0 else f"no namespaces: {done.stderr.decode(errors='replace').strip()}"


@cache
def has_nss_module(name: str) -> bool:
    """Say whether glibc finds an NSS module."""
    try:
        ctypes.CDLL(f"libnss_{name}.so.2")
    except OSError:
        return False
    return True


@cache
def hesiod_path() -> str:
    """Find glibc's module `hesiod`; empty if it has none."""
    return next((path for folder in ("/lib", "/usr/lib") for path in glob(f"{folder}/*/libnss_hesiod.so.2")), "")


# The way in


def run(world: World, programs: Sequence[Program]) -> dict[str, Result]:
    """Set a world up, run programs in it one after the other, and return their results by name.

    May be called by several threads at once.

    Raises:
        RuntimeError: The world could not be set up, or a program failed; the text has the traceback.
    """
    with _starting:  # the fork server takes one at a time, and multiprocessing imports its parts in a circle
        context = _context()
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_live, args=(world, tuple(programs), theirs), daemon=True)
        process.start()
    theirs.close()
    try:
        if not ours.poll(30 + sum(program.give_up_after for program in programs)):
            raise RuntimeError("the world does not end")
        result = ours.recv()
    except EOFError:
        raise RuntimeError("the world ended early") from None
    finally:
        ours.close()
        process.kill()
        process.join()
        with _starting:  # to start one is to look after all others, and one that is closed halfway has nothing to see
            process.close()
    if isinstance(result, str):
        raise RuntimeError(result)
    return result  # type: ignore[no-any-return]


_starting = threading.Lock()


@cache
def _context() -> Any:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.namespaces", "tests.name_programs"])
    return context


def _live(world: World, programs: tuple[Program, ...], results: Any) -> None:
    """Be the first process of a world."""
    try:
        with ExitStack() as stack:
            _enter(world)
            servers = [stack.enter_context(name_server(where, zone)) for where, zone in world.servers.items()]
            if world.mdns:
                stack.enter_context(forked(_be_avahi, _avahi_socket(), world.mdns))
            for address in world.listeners:
                stack.enter_context(_listener(address))
            done = {program.name: _run(program, servers) for program in programs}
        results.send(done)
    except BaseException:
        results.send(traceback.format_exc())
        raise


def _run(program: Program, servers: Sequence[NameServer]) -> Result:
    for server in servers:
        server.read_log()
    value = in_a_process(program)
    queries = [entry for server in servers for entry in server.read_log()]
    return Result(value=value, queries=[(name, kind) for _, name, kind in sorted(queries)])


def in_a_process(program: Program) -> Any:
    """Fork, call the function, and return what it returns."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        die_with_the_parent()
        try:
            os.environ.update(program.environment)
            text = json.dumps({"value": program.function(*program.arguments)})
        except BaseException:  # noqa: BLE001 - it is reported, whatever it is
            text = json.dumps({"error": traceback.format_exc()})
        os.write(writer, text.encode())
        os._exit(0)  # threads that still look something up are not waited for
    os.close(writer)
    try:
        return _result_of(program, reader)
    finally:
        os.close(reader)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def die_with_the_parent() -> None:
    """Have the kernel end this process when the one that forked it ends (prctl(2), PR_SET_PDEATHSIG)."""
    call_libc("prctl", 1, int(signal.SIGKILL))


def _result_of(program: Program, reader: int) -> Any:
    deadline, text = time.monotonic() + program.give_up_after, b""
    while True:
        if not select.select([reader], [], [], max(0.0, deadline - time.monotonic()))[0]:
            raise Endless(f"{program.name} does not end")
        chunk = os.read(reader, 65536)
        if not chunk:
            break
        text += chunk
    result = json.loads(text)
    if "error" in result:
        raise RuntimeError(f"{program.name}: {result['error']}")
    return result["value"]


# The machine

_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform != "win32" else None
_NEW_MOUNTS, _NEW_NAMES, _NEW_NETWORK = 0x00020000, 0x04000000, 0x40000000
BIND, _RECURSIVE, _PRIVATE = 0x1000, 0x4000, 0x40000


def new_namespaces(*, mounts: bool = True, network: bool = True) -> None:
    """Give this process network, mount and UTS namespaces of its own."""
    call_libc("unshare", mounts * (_NEW_MOUNTS | _NEW_NAMES) | network * _NEW_NETWORK)
    if mounts:
        call_libc("mount", b"none", b"/", None, _RECURSIVE | _PRIVATE, None)


def mount_tmpfs(where: str) -> None:
    """Put an empty folder in the place of another one."""
    call_libc("mount", b"tmpfs", where.encode(), b"tmpfs", 0, None)


def replace_file(path: str, text: str | bytes) -> None:
    """Put a text in the place of a file that exists; `/mnt` is the private tmpfs that holds it."""
    stand_in = Path("/mnt", path.replace("/", "_"))
    stand_in.write_bytes(text.encode() if isinstance(text, str) else text)
    call_libc("mount", str(stand_in).encode(), path.encode(), None, BIND, None)


def ip(lines: str) -> None:
    """Run lines of iproute2; those that begin with `-6` are about IPv6."""
    for options in ([], ["-6"]):
        wanted = [line.removeprefix("-6 ") for line in lines.splitlines() if line.startswith("-6 ") == bool(options)]
        command = ["ip", *options, "-batch", "-"]
        done = subprocess.run(command, input="\n".join(wanted), text=True, capture_output=True, timeout=20, check=False)
        if done.returncode:
            raise RuntimeError(f"ip: {done.stderr}")


def call_libc(function: str, *arguments: Any) -> None:
    if getattr(_LIBC, function)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{function}: {os.strerror(number)}")


def _enter(world: World) -> None:
    new_namespaces()
    mount_tmpfs("/mnt")
    mount_tmpfs("/run")  # where nscd's and avahi's sockets are
    socket.sethostname(world.hostname)
    ip(f"link set lo up\n{world.links}")
    replace_file("/etc/hosts", world.hosts)
    replace_file("/etc/resolv.conf", world.resolv)
    replace_file("/etc/nsswitch.conf", f"hosts: {world.nsswitch}\n")
    if world.hesiod:
        replace_file(hesiod_path(), world.hesiod)
    if world.gai or os.path.exists("/etc/gai.conf"):
        replace_file("/etc/gai.conf", world.gai)


@contextmanager
def _listener(address: str) -> Iterator[None]:
    """Accept connections, which the kernel does by itself until somebody calls `accept`."""
    family = family_of(address)
    with socket.socket(family) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(socket.getaddrinfo(address, PORT, flags=socket.AI_NUMERICHOST)[0][4])
        sock.listen(4096)
        yield


@contextmanager
def forked(function: Callable[..., NoReturn], *arguments: Any) -> Iterator[None]:
    """Run a function that does not end in a process of its own, for the time of a block."""
    child = os.fork()
    if not child:
        die_with_the_parent()
        try:
            function(*arguments)
        finally:
            os._exit(1)
    try:
        yield
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


# The name server


@dataclass(frozen=True)
class NameServer:
    """One that runs."""

    where: str
    log: Path

    def read_log(self) -> list[tuple[float, str, str]]:
        """Return what it was asked since the last call."""
        self._wait_until_all_is_read()
        with self.log.open("r+", encoding="utf-8") as file:
            entries = [json.loads(line) for line in file]
            file.truncate(0)
        return [tuple(entry) for entry in entries if entry[1] != _FLUSH]

    def _wait_until_all_is_read(self) -> None:
        """Queries are answered in the order of their arrival, so an answer to ours tells that all others are in."""
        with socket.socket(family_of(self.where), socket.SOCK_DGRAM) as sock:
            sock.settimeout(10)
            sock.connect((self.where, 53))
            header = struct.pack("!6H", 1, 0, 1, 0, 0, 0)
            sock.send(header + b"\x05flush\x00" + struct.pack("!2H", 1, 1))
            sock.recv(512)


_FLUSH = "flush"


def family_of(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


@contextmanager
def name_server(where: str, zone: Zone) -> Iterator[NameServer]:
    log = Path("/mnt", f"queries-{where}")
    log.touch()
    with ExitStack() as stack:
        sock = stack.enter_context(socket.socket(family_of(where), socket.SOCK_DGRAM))
        sock.bind((where, 53))
        if any(said.truncated for types in zone.values() for said in types.values()):
            listener = stack.enter_context(socket.socket(family_of(where)))
            listener.bind((where, 53))
            listener.listen()
            stack.enter_context(forked(serve_names_over_tcp, listener, zone))
        stack.enter_context(forked(serve_names, sock, zone, log))
        yield NameServer(where, log)


def serve_names(sock: socket.socket, zone: Zone, log: Path) -> NoReturn:
    """Answer queries over UDP, each as late as the zone says."""
    later: list[tuple[float, int, bytes, Any]] = []
    with log.open("a", encoding="utf-8", buffering=1) as file:
        for number in range(sys.maxsize):
            wait = later[0][0] - time.monotonic() if later else None
            if wait is None or (wait > 0 and select.select([sock], [], [], wait)[0]):
                wire, peer = sock.recvfrom(4096)
                name, kind = _question(wire)
                file.write(json.dumps([time.monotonic(), name, kind]) + "\n")
                said = Says() if name == _FLUSH else _what_is_said(zone, name, kind)
                if not said.drops:
                    response = _truncated(wire) if said.truncated else _response(wire, said)
                    heapq.heappush(later, (time.monotonic() + said.after, number, response, peer))
            while later and later[0][0] <= time.monotonic():
                _, _, response, peer = heapq.heappop(later)
                sock.sendto(response, peer)
    raise AssertionError


def serve_names_over_tcp(listener: socket.socket, zone: Zone) -> NoReturn:
    """Answer queries over TCP, one connection after the other, at once."""
    while True:
        sock, _ = listener.accept()
        with suppress(OSError), sock, sock.makefile("rwb") as file:  # a client may hang up at any time
            while length := file.read(2):
                wire = file.read(int.from_bytes(length, "big"))
                response = _response(wire, _what_is_said(zone, *_question(wire)))
                file.write(len(response).to_bytes(2, "big") + response)
                file.flush()


def _truncated(query: bytes) -> bytes:
    """Say that the answer is too long for a datagram (RFC 1035, section 4.1.1: TC)."""
    return query[:2] + struct.pack("!5H", 0x8380, 1, 0, 0, 0) + query[12 : query.index(0, 12) + 5]


def _question(wire: bytes) -> tuple[str, str]:
    labels, position = [], 12
    while length := wire[position]:
        labels.append(wire[position + 1 : position + 1 + length].decode("latin-1").lower())
        position += 1 + length
    (number,) = struct.unpack_from("!H", wire, position + 1)
    return ".".join(labels), next((kind for kind, value in TYPES.items() if value == number), str(number))


def _what_is_said(zone: Zone, name: str, kind: str) -> Says:
    """Find the name, or the wildcard that stands for it."""
    types = zone.get(name)
    above = name
    while types is None and "." in above:
        above = above.partition(".")[2]
        types = zone.get(f"*.{above}")
        if above in zone:
            break
    if types is None:
        return Says(rcode="NXDOMAIN")
    return types.get(kind, types.get("*", Says()))


def _response(query: bytes, said: Says) -> bytes:
    """Build an answer; without records, one with an SOA record, by which a resolver knows that it is complete."""
    end = query.index(0, 12) + 5
    owner = _name(said.alias) if said.alias else _ASKED_FOR
    records = [_record(owner, text) for text in said.data]
    if said.alias:
        records.insert(0, _resource(_ASKED_FOR, "CNAME", _name(said.alias)))
    negative = said.rcode in ("NOERROR", "NXDOMAIN") and not said.data
    header = query[:2] + struct.pack("!5H", 0x8180 | RCODES[said.rcode], 1, len(records), int(negative), 0)
    return header + query[12:end] + b"".join(records) + (_soa() if negative else b"")


_ASKED_FOR = b"\xc0\x0c"
"""A pointer to the name in the question (RFC 1035, section 4.1.4)."""


def _record(owner: bytes, text: str) -> bytes:
    priority, _, target = text.partition(" ")
    if target:
        return _resource(owner, "HTTPS", struct.pack("!H", int(priority)) + _name(target.removesuffix(".")))
    family = family_of(text)
    return _resource(owner, "AAAA" if family == socket.AF_INET6 else "A", socket.inet_pton(family, text))


def _resource(owner: bytes, kind: str, data: bytes) -> bytes:
    return owner + struct.pack("!HHIH", TYPES[kind], 1, 60, len(data)) + data


def _soa() -> bytes:
    return _resource(b"\0", "SOA", _name("ns.example") + _name("host.example") + struct.pack("!5I", 1, 2, 3, 4, 5))


def _name(text: str) -> bytes:
    return b"".join(bytes([len(label)]) + label.encode() for label in text.split(".") if label) + b"\x00"


# The daemon that nss-mdns asks


def _avahi_socket() -> socket.socket:
    os.makedirs("/run/avahi-daemon", exist_ok=True)
    sock = socket.socket(socket.AF_UNIX)
    sock.bind("/run/avahi-daemon/socket")
    sock.listen()
    return sock


def _be_avahi(sock: socket.socket, known: Mapping[tuple[int, str], tuple[str, str]]) -> NoReturn:
    """Speak avahi's simple protocol: `RESOLVE-HOSTNAME-IPV4 printer.local`, `+ 2 0 printer.local 192.0.2.1`."""
    while True:
        connection, _ = sock.accept()
        with connection, connection.makefile("rw", encoding="utf-8") as file:
            for line in file:
                command, _, name = line.strip().partition(" ")
                found = known.get((6 if command.endswith("6") else 4, name.lower()))
                if found is None:
                    file.write("-15 Timeout reached\n")
                else:
                    interface, address = found
                    number = socket.if_nametoindex(interface)
                    file.write(f"+ {number} {int(':' in address)} {name} {address}\n")
                file.flush()
