"""The command `nbconnect check`, and what else the command tells: `-v`, `--explain`, `--completion`."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from trio_nbconnect.__main__ import main


@pytest.fixture
def port() -> Iterator[int]:
    """A port where 127.0.0.1 and 127.0.0.2 accept, and 127.0.0.3 does not."""
    with ExitStack() as sockets:
        first = sockets.enter_context(socket.create_server(("127.0.0.1", 0)))
        number: int = first.getsockname()[1]
        sockets.enter_context(socket.create_server(("127.0.0.2", number)))
        yield number


def addresses(*numbers: int) -> list[str]:
    return [word for number in numbers for word in ("--address", f"127.0.0.{number}")]


@pytest.mark.parametrize(
    ("numbers", "code", "answer"), [((1, 2), 0, "2 of 2"), ((1, 3), 1, "1 of 2"), ((3,), 1, "0 of 1")]
)
def test_the_exit_code_says_whether_every_address_is_good(
    port: int, capsys: pytest.CaptureFixture[str], numbers: tuple[int, ...], code: int, answer: str
) -> None:
    """So that it can be used for monitoring."""
    assert main(["check", f"db.example:{port}", *addresses(*numbers)]) == code
    assert capsys.readouterr().out.startswith(f"db.example:{port}  {answer} addresses ")


def test_it_prints_events_and_svg_as_for_one_race(port: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "db.example", str(port), *addresses(1, 2), "--json"]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [event["event"] for event in events].count("RaceWon") == 2

    assert main(["check", "db.example", str(port), *addresses(1), "--svg"]) == 0
    assert capsys.readouterr().out.startswith("<svg ")


def test_without_a_port_it_is_443_with_tls(capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody listens there, or it is no server of the name."""
    assert main(["check", "db.example", "--address", "127.0.0.9"]) == 1
    assert capsys.readouterr().out.startswith("db.example:443  0 of 1 addresses are good")


def test_a_name_that_is_not_there_is_a_line_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "nowhere.invalid:80"]) == 1
    assert capsys.readouterr().err.startswith("nbconnect: no results found for hostname lookup: nowhere.invalid:80")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["check", "db.example", "80", "--proxy", "http://proxy"], "check goes to each address once"),
        (["check", "db.example", "80", "-v"], "check goes to each address once"),
        (["check", "db.example:port"], "port must be a number or the name of a service"),
        (["check", "db.example", "80", "--address", "db"], "addresses must be numeric, not 'db'"),
        (["db.example", "80", "90"], "unrecognized arguments: 90"),
    ],
)
def test_wrong_usage_is_one_line(arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert complaint in capsys.readouterr().err.splitlines()[-1]


def test_check_may_be_the_name_of_a_host(port: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(port), *addresses(1)]) == 0
    assert capsys.readouterr().out.startswith(f"check:{port}  connected")


def test_verbose_tells_of_the_connection(port: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["db.example", str(port), *addresses(1), "-v"]) == 0

    rows = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.rpartition("\n\n")[2].splitlines())
    assert rows["from"].startswith("127.0.0.1:")
    assert rows["to"] == f"127.0.0.1:{port}"


def test_verbose_says_nothing_of_a_connection_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["db.example", "1", *addresses(9), "-v"]) == 1
    assert "\nfrom" not in capsys.readouterr().out


def test_explain_says_why_this_order(port: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["db.example", str(port), *addresses(3, 1), "--explain"]) == 0
    assert "╰ given after" in capsys.readouterr().out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_every_option(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--completion", shell])
    script = capsys.readouterr().out

    assert all(option in script for option in ("cacert", "explain", "version", "always"))
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=script, text=True, check=True)


@pytest.mark.skipif(not shutil.which("bash"), reason="there is no bash")
def test_bash_completes_an_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--completion", "bash"])
    ask = "COMP_WORDS=(nbconnect --exp); COMP_CWORD=1; _nbconnect; echo ${COMPREPLY[@]}"

    run = subprocess.run(["bash", "-c", capsys.readouterr().out + ask], capture_output=True, text=True, check=True)

    assert run.stdout.split() == ["--explain"]


@pytest.mark.skipif(not shutil.which("fish"), reason="there is no fish")
@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("nbconnect --exp", ["--explain\tsay why the addresses were tried in this order"]),
        ("nbconnect --vers", ["--version\tshow program's version number and exit"]),
        ("nbconnect pl", ["playground"]),
    ],
)
def test_fish_completes(line: str, offered: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--completion", "fish"])
    script = f"{capsys.readouterr().out}complete -C {line!r}"

    run = subprocess.run(["fish", "--no-config", "-c", script], capture_output=True, text=True, check=True)

    assert run.stdout.splitlines() == offered


@pytest.mark.skipif(not shutil.which("zsh"), reason="there is no zsh")
@pytest.mark.parametrize("begin", ["", "autoload -Uz compinit && compinit -u -D\n"])
def test_zsh_takes_the_script_with_and_without_its_completion(
    begin: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["--completion", "zsh"])
    script = f"{begin}{capsys.readouterr().out}print $_comps[nbconnect]"

    home = {**os.environ, "HOME": str(tmp_path)}
    run = subprocess.run(["zsh", "-f", "-c", script], capture_output=True, text=True, check=True, env=home)

    assert (run.stdout, run.stderr) == ("_bash_complete -F _nbconnect\n", "")
