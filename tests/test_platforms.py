"""Platforms: what macOS and Windows lack is not used, and what they have in its place is.

Neither is here, so each is faked, by `tests.fake_platform`: the same tests pass where the names are missing.
"""

from __future__ import annotations

import _thread
import errno
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dns.win32util
import pytest
import trio

import trio_nbconnect as nb
from trio_nbconnect import _address
from trio_nbconnect._connect import network, system_files
from trio_nbconnect._dns.servers import Settings
from trio_nbconnect._notebook import interrupts

from .fake_platform import LACKS

PROJECT = Path(__file__).parent.parent

RACES = ("tests/test_race.py", "tests/test_resolve.py")


def on(platform: str, *command: str) -> subprocess.CompletedProcess[str]:
    """Run Python on a fake platform."""
    return subprocess.run(
        [sys.executable, *command],
        cwd=PROJECT,
        env={**os.environ, "FAKE_PLATFORM": platform},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.parametrize("platform", LACKS)
def test_races_are_the_same_without_what_a_platform_lacks(platform: str) -> None:
    done = on(platform, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "tests.fake_platform", *RACES)

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("platform", LACKS)
def test_everything_loads_and_the_demo_runs(platform: str) -> None:
    load = "import tests.fake_platform, trio_nbconnect as nb; [getattr(nb, name) for name in nb.__all__]; "
    load += "from trio_nbconnect.__main__ import main; "
    done = on(
        platform, "-c", load + "from trio_nbconnect.__main__ import main; main(['demo', '--attempt-delay', '0.05'])"
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert "1 refused" in done.stdout


# Files


@pytest.fixture
def on_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("SYSTEMROOT", "W")


def test_system_files_of_linux_and_macos() -> None:
    assert system_files.system_file("hosts") == "/etc/hosts"


@pytest.mark.usefixtures("on_windows")
@pytest.mark.parametrize(("variable", "folder"), [("W", "W"), (None, r"C:\Windows")])
def test_windows_keeps_its_hosts_file_where_others_cannot_write(
    variable: str | None, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    r"""What is missing there (`resolv.conf`) is not looked for in `C:\etc` either: anybody may make that."""
    if variable is None:
        monkeypatch.delenv("SYSTEMROOT")
    assert Path(system_files.system_file("hosts")) == Path(folder, "System32", "drivers", "etc", "hosts")


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Settings]:
    """Return a function that says which settings a resolver takes from Windows' registry."""

    def ask(nameservers: list[str], search: list[str], domain: str | None = None) -> Settings:
        found = SimpleNamespace(nameservers=nameservers, search=search, domain=domain)
        monkeypatch.setattr(dns.win32util, "get_dns_info", lambda: found, raising=False)
        asker = nb.dns.DNSResolver()

        async def main() -> Any:
            return await asker._settings(asker._remembered())

        return trio.run(main)  # type: ignore[no-any-return]

    return ask


@pytest.mark.usefixtures("on_windows")
def test_windows_has_its_name_servers_in_the_registry(ask: Callable[..., Settings]) -> None:
    settings = ask(["192.0.2.53", "fec0:0:0:ffff::1"], ["corp.example", "example"])

    assert [str(server) for server in settings.servers] == ["192.0.2.53:53"]
    assert settings.search == ("corp.example", "example")


@pytest.mark.usefixtures("on_windows")
def test_the_domain_of_windows_completes_short_names(ask: Callable[..., Settings]) -> None:
    assert ask(["192.0.2.53"], [], "corp.example").search == ("corp.example",)


@pytest.mark.usefixtures("on_windows")
def test_no_name_server_in_the_registry_is_an_error(ask: Callable[..., Settings]) -> None:
    with pytest.raises(socket.gaierror, match="no usable name server in the registry"):
        ask([], [])


# Sockets


class MacOSSocket(socket.socket):
    """A connected socket that has `struct tcp_connection_info`: 12 numbers, of which the last is `tcpi_srtt`."""

    def getsockopt(self, level: int, option: int, *size: int) -> Any:
        assert (level, option, size) == (socket.IPPROTO_TCP, 0x106, (48,))
        return b"".join(number.to_bytes(4, sys.byteorder) for number in (*range(11), 25))


def test_the_round_trip_time_of_macos(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "_ROUND_TRIP_TIME", network.ROUND_TRIP_TIMES["darwin"])

    with MacOSSocket() as sock:
        assert network.round_trip_time(sock) == pytest.approx(0.025)


def test_other_systems_tell_no_round_trip_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "_ROUND_TRIP_TIME", None)

    with socket.socket() as sock:
        assert network.round_trip_time(sock) is None


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="this platform has no UNIX sockets")
async def test_a_full_unix_backlog_of_macos_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There it cannot be told from a server that does not listen, so that nothing waits."""
    monkeypatch.setattr(socket.socket, "connect_ex", lambda *_: errno.ECONNREFUSED)

    with pytest.raises(ConnectionRefusedError, match="Connection refused"):
        await nb.open_unix_socket(tmp_path / "full")


async def test_windows_has_no_unix_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(socket, "AF_UNIX", raising=False)
    monkeypatch.setattr(_address, "UNIX", None)

    with pytest.raises(RuntimeError, match=r"^Unix sockets are not supported on this platform$"):
        await nb.open_unix_socket("/run/x.sock")
    with pytest.raises(ValueError, match="this platform has no UNIX sockets"):
        await nb.open_tcp_stream("db.example", 5432, addresses=["/run/x.sock"])


# Signals


@pytest.mark.parametrize("has_pthread_kill", [True, False])
def test_an_interrupt_reaches_the_main_thread(has_pthread_kill: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not has_pthread_kill:
        monkeypatch.delattr(signal, "pthread_kill", raising=False)
    sent: list[object] = []
    monkeypatch.setattr(_thread, "interrupt_main", sent.append)
    before = signal.signal(signal.SIGINT, lambda number, _frame: sent.append(number))
    try:
        interrupts._send_sigint()
    finally:
        signal.signal(signal.SIGINT, before)

    assert sent == [signal.SIGINT]
