"""Place: where everybody connects to: servers in processes of their own, a full queue, and what has been compiled.

The addresses are those of `cases`, all on one port that is free; a folder has the rest: the certificates of the TLS
server, and the programs in C and Go. Where network namespaces can be had, the same is there once more on the far side
of a veth pair, and a name server with it. A worker is told all as `PORT:FOLDER:NAMESPACE`, or opens a place of its own.

The server accepts on one core and the clients run on the other, where there are two: a server that shared the client's
core would tread on its caches.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import resource
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from .cases import DROPS, GOOD, NAME_SERVER, SPEAKS_TLS, over_veth
from .namespaces import NoNamespacesError, enter, entered, open_pair, replace_files

PROJECT = Path(__file__).parents[2]
SOURCES = Path(__file__).parent
BACKLOG = 4096
ALL_CORES = os.sched_getaffinity(0)
"""Those that this process was given, before anybody was pinned."""

DOMAIN, HTTPS = 53, 443
"""The ports of name servers, and of those for whose hosts HTTPS records are asked for."""

FILES = {
    "resolv.conf": f"nameserver {over_veth(NAME_SERVER)}\n",
    "nsswitch.conf": "hosts: files dns\n",
    "hosts": "127.0.0.1 localhost\n",
}
"""What stands in `/etc` for those who ask the name server."""

AUTHORITY = "authority.pem"
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER with no time: to close is to reset. What a listener accepts inherits it."""


@dataclass(frozen=True)
class Place:
    """Where to connect to."""

    port: int
    folder: Path
    near: str = ""
    """The network namespace of the clients of a veth pair; empty where there is none."""
    no_veth: str = ""
    """Why there is none."""

    def __str__(self) -> str:
        return f"{self.port}:{self.folder}:{self.near}"

    @classmethod
    def read(cls, text: str) -> Place:
        """Be told by another process."""
        port, folder, near = text.split(":")
        return cls(int(port), Path(folder), near)

    def cross(self) -> None:
        """Go to the near side of the veth pair, with this whole process."""
        enter(self.near)

    def use_name_server(self) -> None:
        """Let this process find its name server in `/etc/resolv.conf`, and no other names in `/etc/hosts`."""
        replace_files({Path("/etc", name): self.folder / name for name in FILES})

    @property
    def path(self) -> str:
        """The server's UNIX socket; no abstract one, which uvloop does not know."""
        return str(self.folder / "server.sock")

    @property
    def has_tls(self) -> bool:
        """Whether certificates could be made."""
        return (self.folder / AUTHORITY).exists()

    def client_context(self) -> ssl.SSLContext:
        """Make a context that knows the TLS server."""
        return ssl.create_default_context(cafile=str(self.folder / AUTHORITY))

    def program(self, language: str) -> Path:
        """Where the contender in C or Go is, if it could be compiled."""
        return self.folder / f"connect_{language}"


@contextmanager
def open_place(languages: Iterable[str] = ("c", "go")) -> Iterator[Place]:
    """Open servers, fill a queue and compile the contenders in some languages, for a block."""
    allow_many_descriptors()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmarks-")))
        first = _listen(stack, socket.AF_INET, ("127.0.0.1", 0))
        place = Place(first.getsockname()[1], folder)
        plain, secure = _listen_to_all(stack, place.port, lambda address: address)
        with contextlib.suppress(OSError):  # no IPv6 here
            plain.append(_listen(stack, socket.AF_INET6, ("::1", place.port)))
        plain += [first, _listen(stack, socket.AF_UNIX, place.path)]
        try:
            pair = stack.enter_context(open_pair())
        except NoNamespacesError as error:
            place = replace(place, no_veth=str(error))
        else:
            place = replace(place, near=pair.near)
            with entered(pair.far):
                listeners = _listen_to_all(stack, place.port, over_veth)
                plain += [*listeners[0], _listen(stack, socket.AF_INET, (over_veth(GOOD[0]), HTTPS))]
                secure += listeners[1]
                _serve_names(stack, folder)
        _issue(folder)
        _compile(folder, languages)
        server = folder / "server"
        python = [sys.executable, "-m", f"{__package__}.server"]
        _serve(stack, [str(server)] if server.exists() else [*python, "plain"], plain)
        if place.has_tls:
            _serve(stack, [*python, str(folder)], secure)
        yield place


def allow_many_descriptors() -> None:
    """Raise this process's limit for 10,000 connects at once, as far as it may be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65536 if hard == resource.RLIM_INFINITY else min(65536, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


def pin(process: int, *, to_last: bool) -> None:
    """Keep a process, 0 is this one, on the last core that we may use, or on the first."""
    cores = sorted(ALL_CORES)
    os.sched_setaffinity(process, {cores[-1 if to_last else 0]})


def _listen(stack: ExitStack, family: int, address: object) -> socket.socket:
    sock = stack.enter_context(socket.socket(family))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    sock.bind(address)  # type: ignore[arg-type]  # a path or a tuple, as the family has it
    sock.listen(BACKLOG)
    sock.setblocking(False)
    return sock


def _listen_to_all(
    stack: ExitStack, port: int, on: Callable[[str], str]
) -> tuple[list[socket.socket], list[socket.socket]]:
    """Listen where connections are accepted, on one of the networks; return who speaks nothing, and who speaks TLS."""
    _fill(stack, (on(DROPS), port))
    plain = [_listen(stack, socket.AF_INET, (on(address), port)) for address in GOOD]
    return plain, [_listen(stack, socket.AF_INET, (on(SPEAKS_TLS), port))]


def _fill(stack: ExitStack, address: tuple[str, int]) -> None:
    """Listen with room for one, and take it."""
    listener = stack.enter_context(socket.socket())
    listener.bind(address)
    listener.listen(0)
    stack.enter_context(socket.create_connection(address))


def _serve_names(stack: ExitStack, folder: Path) -> None:
    """Start the name server, and write the files that lead to it."""
    for name, text in FILES.items():
        (folder / name).write_text(text, "ascii")
    sock = stack.enter_context(socket.socket(type=socket.SOCK_DGRAM))
    sock.bind((over_veth(NAME_SERVER), DOMAIN))
    _serve(stack, [sys.executable, "-m", f"{__package__}.name_server", over_veth(GOOD[0])], [sock])


def _issue(folder: Path) -> None:
    """Make certificates, if `trustme` is here; it is heavy, and workers do without."""
    if importlib.util.find_spec("trustme") is not None:
        trustme = importlib.import_module("trustme")
        authority = trustme.CA()
        authority.cert_pem.write_to_path(folder / AUTHORITY)
        authority.issue_cert(SPEAKS_TLS, over_veth(SPEAKS_TLS)).private_key_and_cert_chain_pem.write_to_path(
            folder / "server.pem"
        )


def _compile(folder: Path, languages: Iterable[str]) -> None:
    """Compile what there are compilers for; the server in C is faster than the one in Python."""
    if compiler := shutil.which("gcc") or shutil.which("cc"):
        programs = ["server", *(["connect"] if "c" in languages else [])]
        for name in programs:
            made = folder / ("connect_c" if name == "connect" else name)
            subprocess.run([compiler, "-O2", "-o", made, SOURCES / f"{name}.c"], check=True)
    if "go" in languages and (compiler := shutil.which("go")):
        cache = {"GOCACHE": str(folder / "go"), "GO111MODULE": "off"}
        command = [compiler, "build", "-o", str(folder / "connect_go"), str(SOURCES / "connect.go")]
        subprocess.run(command, check=True, env={**os.environ, **cache})


def _serve(stack: ExitStack, command: list[str], listeners: list[socket.socket]) -> None:
    descriptors = [listener.fileno() for listener in listeners]
    server = subprocess.Popen(
        [*command, *map(str, descriptors)], stdin=subprocess.PIPE, pass_fds=descriptors, cwd=PROJECT
    )
    pin(server.pid, to_last=False)
    stack.enter_context(server)  # closes its standard input and waits for it


if __name__ == "__main__":
    with open_place() as here:
        print(here, flush=True)
        sys.stdin.read()
