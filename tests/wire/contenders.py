"""Contenders: ways to connect to a host by its name, with or without TLS, until the connection is there.

Each is called in a fresh process and returns how many seconds it took and where it ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio

PORT = 4433
NOBODY = 4434
"""Where nothing listens."""
LOOKED_UP = "127.1"
"""A name that goes to the C library, in a thread, and to no name server."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is to be done."""

    host: str
    ca_file: str
    """The authority that vouches for the host; empty for no TLS."""
    nat64: str | None
    again: bool
    """Whether to connect to the host once before."""
    limit: float
    go: str = ""
    """The compiled program of `client.go`."""

    def context(self) -> ssl.SSLContext | None:
        """The TLS context, made before the clock runs."""
        return ssl.create_default_context(cafile=self.ca_file) if self.ca_file else None


Outcome = tuple[float, str]
"""Seconds, and the address; an address of "" is a failure."""


def ours(task: Task, *, dns: bool = False) -> Outcome:
    """Connect with this library."""
    import trio_nbconnect as nb  # noqa: PLC0415 - each process needs one contender
    from trio_nbconnect.dns import DNSResolver  # noqa: PLC0415

    connector = nb.Connector(resolver=DNSResolver() if dns else None, nat64=task.nat64)
    context = task.context()

    async def connect(host: str, port: int) -> Any:
        if dns and host == LOOKED_UP:
            host = "localhost"  # or a name server would be asked
        if context is None:
            return (await connector.open_tcp_stream(host, port)).socket
        stream = await connector.open_tls_stream(host, port, ssl_context=context)
        return stream.transport_stream.socket

    return trio.run(_on_trio, task, connect)


def by_dns(task: Task) -> Outcome:
    """Connect with this library, and ask name servers by ourselves."""
    return ours(task, dns=True)


def blocking(task: Task) -> Outcome:
    """Connect with this library and without an event loop."""
    import trio_nbconnect as nb  # noqa: PLC0415 - see above

    connector, context = nb.Connector(nat64=task.nat64).blocking(), task.context()

    def connect(host: str, port: int) -> socket.socket:
        if context is None:
            return connector.create_connection((host, port), task.limit)
        return connector.create_tls_connection((host, port), task.limit, ssl_context=context)

    return _blocking(task, connect)


def by_socket(task: Task) -> Outcome:
    """Connect with the standard library's function that blocks."""
    context = task.context()

    def connect(host: str, port: int) -> socket.socket:
        sock = socket.create_connection((host, port), task.limit)
        return sock if context is None else context.wrap_socket(sock, server_hostname=host)

    return _blocking(task, connect)


def by_patched_socket(task: Task) -> Outcome:
    """The same, with our patch; the handshake comes after the race."""
    import trio_nbconnect as nb  # noqa: PLC0415 - see above

    with nb.blocking.patched_socket(nb.Connector(nat64=task.nat64)):
        return by_socket(task)


def by_trio(task: Task) -> Outcome:
    """Connect with Trio; the handshake comes after the race."""
    context = task.context()

    async def connect(host: str, port: int) -> Any:
        if context is None:
            return (await trio.open_tcp_stream(host, port)).socket
        stream = await trio.open_ssl_over_tcp_stream(host, port, ssl_context=context)
        await stream.do_handshake()
        return stream.transport_stream.socket

    return trio.run(_on_trio, task, connect)


def by_anyio(task: Task) -> Outcome:
    """Connect with AnyIO, on asyncio."""
    import anyio  # noqa: PLC0415 - see above
    from anyio.abc import SocketAttribute  # noqa: PLC0415

    context = task.context()

    async def connect(host: str, port: int) -> str:
        if context is None:
            stream: Any = await anyio.connect_tcp(host, port)
        else:
            stream = await anyio.connect_tcp(host, port, ssl_context=context, tls_hostname=host)
        return str(stream.extra(SocketAttribute.remote_address)[0])

    return _on_asyncio(task, connect)


def by_asyncio(task: Task) -> Outcome:
    """Connect with asyncio, its Happy Eyeballs switched on."""
    context = task.context()

    async def connect(host: str, port: int) -> str:
        _, writer = await asyncio.open_connection(host, port, happy_eyeballs_delay=0.25, ssl=context)
        return str(writer.get_extra_info("peername")[0])

    return _on_asyncio(task, connect)


def by_aiohttp(task: Task) -> Outcome:
    """Make aiohttp connect, and look when it says that it has."""
    import aiohttp  # type: ignore[import-not-found,unused-ignore] # noqa: PLC0415 - nobody else needs it

    context = task.context()
    done: asyncio.Future[None] | None = None

    async def connected(*_: object) -> None:
        if done is not None and not done.done():
            done.set_result(None)

    async def connect(host: str, port: int) -> str:
        nonlocal done
        if host == LOOKED_UP:
            host = "localhost"  # it takes no old spelling of an address, and looks that one up
        done = asyncio.get_running_loop().create_future()
        trace = aiohttp.TraceConfig()
        trace.on_connection_create_end.append(connected)
        scheme = "http" if context is None else "https"
        connector = aiohttp.TCPConnector(ssl=True if context is None else context)
        async with aiohttp.ClientSession(trace_configs=[trace], connector=connector) as session:
            request: asyncio.Future[Any] = asyncio.ensure_future(session.get(f"{scheme}://{host}:{port}/"))
            await asyncio.wait([request, done], return_when=asyncio.FIRST_COMPLETED)
            if not done.done():
                await request  # raises
            request.cancel()
            await asyncio.gather(request, return_exceptions=True)
        return "?"

    return _on_asyncio(task, connect)


def _blocking(task: Task, connect: Callable[[str, int], socket.socket]) -> Outcome:
    with contextlib.suppress(OSError):
        connect(LOOKED_UP, NOBODY)
    if task.again:
        connect(task.host, PORT).close()
    began = time.perf_counter()
    try:
        address = str(connect(task.host, PORT).getpeername()[0])
    except OSError:
        address = ""
    return time.perf_counter() - began, address


async def _on_trio(task: Task, connect: Callable[[str, int], Awaitable[Any]]) -> Outcome:
    """Connect once to what refuses, and then for time: imports and threads are there in a program that runs."""
    with contextlib.suppress(OSError):
        await connect(LOOKED_UP, NOBODY)
    if task.again:
        await connect(task.host, PORT)
    began = time.perf_counter()
    with trio.move_on_after(task.limit):
        try:
            sock = await connect(task.host, PORT)
        except Exception:  # noqa: BLE001 - each peer has errors of its own
            return time.perf_counter() - began, ""
        return time.perf_counter() - began, str(sock.getpeername()[0])
    return task.limit, ""


def _on_asyncio(task: Task, connect: Callable[[str, int], Awaitable[str]]) -> Outcome:
    async def main() -> Outcome:
        with contextlib.suppress(OSError):
            await connect(LOOKED_UP, NOBODY)
        if task.again:
            await connect(task.host, PORT)
        began = time.perf_counter()
        try:
            address = await asyncio.wait_for(connect(task.host, PORT), task.limit)
        except Exception:  # noqa: BLE001 - each peer has errors of its own
            return time.perf_counter() - began, ""
        return time.perf_counter() - began, address

    return asyncio.run(main())


def by_curl(task: Task) -> Outcome:
    """Have curl fetch something, and read when it had connected."""
    scheme, field = ("https", "time_appconnect") if task.ca_file else ("http", "time_connect")
    trusted = ["--cacert", task.ca_file] if task.ca_file else []
    done = subprocess.run(
        ["curl", "--silent", "--output", "/dev/null", *trusted, "--max-time", str(task.limit),
         "--write-out", f"%{{{field}}} %{{remote_ip}}", f"{scheme}://{task.host}:{PORT}/"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    seconds, _, address = done.stdout.partition(" ")
    return (float(seconds), address.strip()) if float(seconds) else (task.limit, "")


def by_node(task: Task) -> Outcome:
    """Connect with Node."""
    arguments = json.dumps({"host": task.host, "port": PORT, "ca": task.ca_file, "limit": task.limit * 1000})
    return _read(["node", "-e", _NODE, arguments])


_NODE = """
const task = JSON.parse(process.argv[1]);
const ca = task.ca && require("fs").readFileSync(task.ca);
const began = performance.now();
const say = (address) => { console.log((performance.now() - began) / 1000, address); process.exit(); };
setTimeout(() => say(""), task.limit);
const options = {host: task.host, port: task.port, autoSelectFamily: true, ca, servername: task.host};
const done = () => say(socket.remoteAddress);
const socket = ca ? require("tls").connect(options, done) : require("net").connect(options, done);
socket.on("error", () => say(""));
"""


def by_go(task: Task) -> Outcome:
    """Connect with Go's `net.Dialer`."""
    return _read([task.go, task.host, str(PORT), task.ca_file, f"{task.limit}s"])


_GO = """
package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"time"
)

func main() {
	limit, _ := time.ParseDuration(os.Args[4])
	dialer := &net.Dialer{Timeout: limit}
	target := net.JoinHostPort(os.Args[1], os.Args[2])
	pool := x509.NewCertPool()
	if pem, err := os.ReadFile(os.Args[3]); err == nil {
		pool.AppendCertsFromPEM(pem)
	}
	began := time.Now()
	var connection net.Conn
	var err error
	if os.Args[3] == "" {
		connection, err = dialer.Dial("tcp", target)
	} else {
		var secure *tls.Conn
		secure, err = tls.DialWithDialer(dialer, "tcp", target, &tls.Config{RootCAs: pool})
		connection = secure
	}
	took := time.Since(began).Seconds()
	if err != nil {
		fmt.Println(took, "")
		return
	}
	host, _, _ := net.SplitHostPort(connection.RemoteAddr().String())
	fmt.Println(took, host)
}
"""


def build_go() -> str:
    """Compile the contender in Go, and return the program."""
    folder = Path(tempfile.mkdtemp(prefix="wire-"))
    (folder / "client.go").write_text(_GO)
    command = ["go", "build", "-o", "client", "client.go"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=300)
    return str(folder / "client")


def _read(command: list[str]) -> Outcome:
    """Run a program that writes seconds and an address."""
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds, _, address = done.stdout.partition(" ")
    return float(seconds), address.strip()


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A column of the table."""

    name: str
    connect: Callable[[Task], Outcome]
    package: str = ""
    program: str = ""

    @property
    def is_installed(self) -> bool:
        """Whether it is there."""
        if self.program:
            return shutil.which(self.program) is not None
        return not self.package or importlib.util.find_spec(self.package) is not None


OURS = ("ours", "ours, DNS", "blocking", "patched")

CONTENDERS = [
    Contender(name=OURS[0], connect=ours),
    Contender(name=OURS[1], connect=by_dns, package="dns"),
    Contender(name=OURS[2], connect=blocking),
    Contender(name=OURS[3], connect=by_patched_socket),
    Contender(name="trio", connect=by_trio),
    Contender(name="anyio", connect=by_anyio, package="anyio"),
    Contender(name="socket", connect=by_socket),
    Contender(name="asyncio", connect=by_asyncio),
    Contender(name="aiohttp", connect=by_aiohttp, package="aiohttp"),
    Contender(name="curl", connect=by_curl, program="curl"),
    Contender(name="go", connect=by_go, program="go"),
    Contender(name="node", connect=by_node, program="node"),
]


def is_wrong(address: str, right: frozenset[str]) -> bool:
    """Say whether a connect has ended at a stranger's; "?" is somebody who does not say."""
    return bool(address) and address != "?" and bool(right) and not any(_same(address, one) for one in right)


def _same(one: str, other: str) -> bool:
    family = socket.AF_INET6 if ":" in one else socket.AF_INET
    try:
        return socket.inet_pton(family, one) == socket.inet_pton(family, other)
    except OSError:
        return False
