"""Another platform, faked: `FAKE_PLATFORM=windows python -m pytest -p tests.fake_platform tests/test_race.py`.

What a system lacks is taken out of the standard library before the package is imported, and after everybody else is.
What remains is still Linux: it shows that nothing is used which is not there, and takes each path that is another
platform's. It does not show what that platform's kernel does.
"""

from __future__ import annotations

import asyncio
import errno
import io
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import suppress
from functools import partial
from types import ModuleType

import trio

_LINUX_ONLY = (
    *("SOCK_NONBLOCK", "SOCK_CLOEXEC", "TCP_INFO", "TCP_USER_TIMEOUT", "TCP_SYNCNT", "TCP_CONGESTION", "SO_MARK"),
    *("SO_BINDTODEVICE", "IPPROTO_MPTCP", "IP_BIND_ADDRESS_NO_PORT", "SO_PEERCRED", "TCP_FASTOPEN_CONNECT"),
)

LACKS: dict[str, dict[ModuleType, tuple[str, ...]]] = {
    "macos": {socket: (*_LINUX_ONLY, "TCP_KEEPIDLE", "SO_DOMAIN", "SO_PROTOCOL"), os: ("eventfd",)},
    "windows": {
        socket: (*_LINUX_ONLY, "AF_UNIX", "EAI_ADDRFAMILY", "EAI_SYSTEM", "EAI_OVERFLOW", "TCP_NOTSENT_LOWAT"),
        os: ("fork", "geteuid", "getuid", "getgid", "getgroups", "O_NONBLOCK", "O_CLOEXEC", "mkfifo", "eventfd"),
        signal: ("pthread_kill", "pthread_sigmask", "SIGALRM", "SIGKILL", "setitimer", "SIGCHLD", "SIGHUP"),
    },
}
"""By platform and module, the names that are not there."""

NAMES = {"macos": "darwin", "windows": "win32"}

_LOADED_BEFORE = (asyncio, errno, multiprocessing, subprocess, tempfile, trio)
"""They look at the platform when they are imported."""


def become(platform: str) -> None:
    """Be another platform from now on."""
    assert "trio_nbconnect._address" not in sys.modules, "too late"
    for name in (
        "dns.win32util",
        "dns.asyncresolver",
        "dns.asyncquery",
        "anyio",
        "httpcore",
        "httpx",
        "rich.live",
        "IPython",
        "ipykernel",
    ):
        with suppress(ImportError):
            __import__(name)
    for module, names in LACKS[platform].items():
        for name in names:
            if hasattr(module, name):
                delattr(module, name)
            if module is socket and hasattr(trio.socket, name):
                delattr(trio.socket, name)
    socket.socketpair = partial(socket.socketpair, 1)  # AF_UNIX: Linux has no pairs of TCP
    if platform == "macos":
        setattr(socket, "TCP_KEEPALIVE", 4)  # noqa: B010 - with the number of Linux, so that the kernel takes it
    io._WindowsConsoleIO = io.FileIO  # type: ignore[attr-defined]  # pytest looks for it
    sys.platform = NAMES[platform]


if "FAKE_PLATFORM" in os.environ:
    become(os.environ["FAKE_PLATFORM"])
