"""Network namespaces: a veth pair between a client's machine and a server's, so that packets leave the machine.

Over loopback a SYN is answered before `connect` returns, which flatters whoever looks at once. Over a veth pair the
handshake takes a wake-up, as it does everywhere else. Both ends are network namespaces of this process alone; they end
with their last descriptor. The near end reaches all of 10.0.0.0/8 through the far one, where every such address is
local.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..namespaces import BIND, call_libc, new_namespaces

MINE = "/proc/self/ns/net"

FAR = """
link set lo up
link add far type veth peer name near
address add 192.0.2.2/24 dev far
link set far up
link set near netns {near}
route add local 10.0.0.0/8 dev lo
"""
NEAR = """
link set lo up
address add 192.0.2.1/24 dev near
link set near up
route add 10.0.0.0/8 via 192.0.2.2
"""


class NoNamespacesError(Exception):
    """This process cannot have network namespaces; the text says why."""


@dataclass(frozen=True)
class Pair:
    """Two network namespaces, as paths that other processes can open while this one lives."""

    near: str
    far: str


@contextmanager
def open_pair() -> Iterator[Pair]:
    """Make two network namespaces with a veth pair between them, for a block.

    Raises:
        NoNamespacesError: This machine or this user cannot.
    """
    if shutil.which("ip") is None:
        raise NoNamespacesError("the program ip is not installed")
    with ExitStack() as stack:
        try:
            near, far = _unshared(stack), _unshared(stack)
            with entered(far):
                _ip(FAR.format(near=near))
            with entered(near):
                _ip(NEAR)
        except OSError as error:
            raise NoNamespacesError(f"no network namespaces, {error.strerror}: run as root") from error
        except subprocess.CalledProcessError as error:
            raise NoNamespacesError(f"no veth pair: {error.stderr.strip()}") from error
        yield Pair(near, far)


@contextmanager
def entered(namespace: str) -> Iterator[None]:
    """Be in a network namespace, with this thread, for a block; sockets stay where they were made."""
    with _opened(MINE) as mine:
        enter(namespace)
        try:
            yield
        finally:
            call_libc("setns", mine, 0)


def enter(namespace: str) -> None:
    """Be in a network namespace from now on, with this thread and those it starts."""
    with _opened(namespace) as descriptor:
        call_libc("setns", descriptor, 0)


def replace_files(replacements: dict[Path, Path]) -> None:
    """Let this process, and nobody else, find other files in the place of some that exist."""
    new_namespaces(network=False)
    for there, instead in replacements.items():
        if there.exists():
            call_libc("mount", os.fsencode(instead), os.fsencode(there), None, BIND, None)


def _unshared(stack: ExitStack) -> str:
    """Make a network namespace that lasts as long as a descriptor of ours."""
    with _opened(MINE) as mine:
        new_namespaces(mounts=False)
        try:
            descriptor = stack.enter_context(_opened(MINE))
        finally:
            call_libc("setns", mine, 0)
    return f"/proc/{os.getpid()}/fd/{descriptor}"


@contextmanager
def _opened(path: str) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _ip(commands: str) -> None:
    subprocess.run(["ip", "-batch", "-"], input=commands, text=True, capture_output=True, check=True)
