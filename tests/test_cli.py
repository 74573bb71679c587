"""The command: called in this process with real sockets, and as a user would where signals and pipes are the matter."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import runpy
import signal
import socket
import ssl
import subprocess
import sys
import threading
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Queue

import pytest
import trio
import trustme

from trio_nbconnect.__main__ import main
from trio_nbconnect._cli import command as _cli
from trio_nbconnect._cli import demo as _demo
from trio_nbconnect._cli.arguments import destination
from trio_nbconnect._connect import tls as _tls
from trio_nbconnect._dns import resolver as resolver_module
from trio_nbconnect._pictures.export import json_lines
from trio_nbconnect.dns import DNSResolver

from .dns_server import Zone, serve
from .race_script import RaceScript


@dataclass
class Output:
    """What a call of the command gave back."""

    code: int
    out: str
    err: str

    @property
    def headline(self) -> str:
        """The answer."""
        return self.out.splitlines()[0]


class Run:
    """The command, in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: str | int) -> Output:
        code = main([str(argument) for argument in arguments])
        out, err = self._capsys.readouterr()
        return Output(code, out, err)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Call the command."""
    return Run(capsys)


@pytest.fixture
def port() -> Iterator[int]:
    """A port of 127.0.0.1 where connections are accepted, by the kernel."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port of 127.0.0.1 without a listener."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def test_a_connection_shows_its_picture(run: Run, port: int) -> None:
    output = run("127.0.0.1", port)

    assert (output.code, output.err) == (0, "")
    assert output.headline.startswith(f"127.0.0.1:{port}  connected in ")
    assert output.headline.endswith(" ms over IPv4 to 127.0.0.1")
    assert "✓ won" in output.out


def test_a_failure_shows_its_picture_and_each_attempt(run: Run, silent_port: int) -> None:
    output = run("example.org", silent_port, "--address", "127.0.0.1")

    assert output.code == 1
    assert output.headline.endswith(" ms: refused")
    assert "✗ refused" in output.out
    first, second = output.err.splitlines()
    assert first == f"nbconnect: all attempts to connect to example.org:{silent_port} failed: 127.0.0.1 refused"
    assert f"127.0.0.1:{silent_port}: refused after " in second


def test_the_same_failure_is_reported_once(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object, **keywords: object) -> list[object]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)

    output = run("nosuch.example", 443)

    assert output.code == 1
    assert output.headline.endswith(" ms: no such name")
    assert output.err.splitlines() == [
        "nbconnect: no results found for hostname lookup: nosuch.example:443: Name or service not known",
        f"  [Errno {socket.EAI_NONAME}] Name or service not known",
    ]


def test_addresses_can_be_given_more_than_once(run: Run, port: int) -> None:
    output = run("example.org", port, "--address", "127.0.0.2", "--address", "127.0.0.1")

    assert output.code == 0
    assert "2 attempts, 1 refused" in output.out


def test_one_family_can_be_asked_for(run: Run, port: int) -> None:
    arguments = ("example.org", port, "--address", "::1", "--address", "127.0.0.1")

    assert "1 attempt · " in run(*arguments, "--ipv4").out
    assert "127.0.0.1" not in run(*arguments, "--ipv6").out


def test_the_limit_can_be_set(run: Run) -> None:
    with ExitStack() as sockets:
        output = run(
            "127.0.0.1", _demo._drop_packets(sockets, "127.0.0.1", 0).getsockname()[1], "--give-up-after", "0.01"
        )

    assert output.code == 1
    assert output.headline.endswith(" ms: timed out")
    assert "◷ timed out" in output.out
    assert output.err.startswith("nbconnect: gave up connecting to 127.0.0.1:")


def test_the_delay_can_be_set(run: Run, port: int) -> None:
    assert run("127.0.0.1", port, "--attempt-delay", "0.1").out.splitlines()[1] == "1 attempt · attempt delay 100 ms"


def test_events_are_lines_of_json(run: Run, port: int) -> None:
    output = run("example.org", port, "--address", "127.0.0.1", "--json")

    events = [json.loads(line) for line in output.out.splitlines()]
    assert [event["event"] for event in events] == [
        "RaceStarted",
        "AnswerReceived",
        "AttemptStarted",
        "AttemptConnected",
        "AttemptEstablished",
        "RaceWon",
    ]
    assert events[0]["time"] == 0.0
    assert events[0]["policy"]["families"] == ["IPv6", "IPv4"]
    assert events[0]["policy"]["give_up_attempt_after"] is None
    assert events[1] == {
        "event": "AnswerReceived",
        "race": events[0]["race"],
        "time": events[1]["time"],
        "host": "example.org",
        "port": port,
        "source": "given",
        "name": "",
        "addresses": [f"127.0.0.1:{port}"],
        "services": [],
        "error": None,
        "server": "",
        "ttl": None,
    }
    assert events[-1]["connection"]["local_address"].startswith("127.0.0.1:")
    assert (events[2]["address"], events[2]["reason"]) == (f"127.0.0.1:{port}", "first")
    assert all(0.0 <= event["time"] < 60.0 for event in events)


def test_events_are_a_qlog_file(run: Run, port: int) -> None:
    output = run("example.org", port, "--address", "127.0.0.1", "--qlog")

    (race,) = json.loads(output.out)["traces"]
    assert [event["name"] for event in race["events"]][-2:] == ["hev3:connection_selected", "hev3:metrics"]


def test_the_picture_is_svg_that_any_output_can_hold(run: Run, port: int) -> None:
    output = run("example.org", port, "--address", "127.0.0.1", "--svg")

    assert output.out.isascii()
    assert "&#183;" in output.out
    assert ET.fromstring(output.out).tag == "{http://www.w3.org/2000/svg}svg"


def test_there_is_one_form_of_output(run: Run, port: int) -> None:
    with pytest.raises(SystemExit):
        run("127.0.0.1", port, "--json", "--qlog")


def test_errors_in_json_have_type_number_and_message(run: Run, silent_port: int) -> None:
    output = run("127.0.0.1", silent_port, "--json")

    failed, lost = (json.loads(line) for line in output.out.splitlines()[-2:])
    assert output.code == 1
    assert failed["error"] == {
        "type": "ConnectionRefusedError",
        "errno": 111,
        "message": f"[Errno 111] Connection refused: 127.0.0.1:{silent_port}",
    }
    assert lost["error"]["type"] == "ConnectRefused"


def test_a_fact_that_json_has_no_word_for_is_an_error() -> None:
    script = RaceScript()
    object.__setattr__(script.events[0], "host", b"example.org")

    with pytest.raises(TypeError, match=r"no JSON for b'example\.org'"):
        list(json_lines(script.events))


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "the following arguments are required: TARGET"),
        (["example.org"], "the following arguments are required: PORT"),
        (["::1"], "the following arguments are required: PORT"),
        (["example.org", "no-such-service"], "port must be a number or the name of a service, not 'no-such-service'"),
        (["example.org:"], "port must be a number or the name of a service, not ''"),
        (["https://example.org", "443"], "a URL has its port inside: 'https://example.org'"),
        (["https://"], "the URL names no host: 'https://'"),
        (["https://[::1"], "Invalid IPv6 URL: 'https://[::1'"),
        (["https://h:99999"], "Port out of range 0-65535: 'https://h:99999'"),
        (["h", "1", "-n", "0"], "argument -n: must be a number from 1 on, not '0'"),
        (["h", "1", "-n", "x"], "argument -n: must be a number from 1 on, not 'x'"),
        (["h", "1", "--insecure"], "--cacert, --insecure, --servername and --alpn need --tls, or an https URL"),
        (["h", "1", "--alpn", "h2"], "--cacert, --insecure, --servername and --alpn need --tls, or an https URL"),
        (["h", "1", "--tls", "--cacert", "/nowhere"], "--cacert: No such file or directory: '/nowhere'"),
        (["h", "1", "--local-address", "x"], "local_address must be numeric, not 'x'"),
        (["h", "1", "--local-address", "::1", "--local-address", "x"], "--local-address must be numeric, not 'x'"),
        (
            ["h", "1", "--local-address", "127.0.0.1", "--local-address", "127.0.0.2"],
            "--local-address must be one for each family, not ['127.0.0.1', '127.0.0.2']",
        ),
        (
            ["h", "1", "--proxy", "ftp://me:secret@p"],
            "--proxy must be a URL with a host: http://, https:// or socks5://",
        ),
        (["h", "1", "--proxy", "http://p:x"], "--proxy must be a URL with a host: http://, https:// or socks5://"),
        (["h", "1", "evil\x1b[31m\n"], r"unrecognized arguments: evil\x1b[31m\n"),
        (["example.org", "99536"], "port must be between 0 and 65535, not 99536"),
        (["a..b", "443"], "host must not have an empty label: 'a..b'"),
        (["", "443"], "host must not be empty: ''"),
        (["a..b", "443", "--tls"], "host must not have an empty label: 'a..b'"),
        (["h", "1", "--address", "x"], "addresses must be numeric, not 'x'"),
        (["h", "1", "--attempt-delay", "-1"], "attempt_delay must not be negative, not -1.0"),
        (["h", "1", "--give-up-after", "nan"], "give_up_after must not be negative, not nan"),
        (["h", "1", "--width", "49"], "argument --width: must be a number from 50 on, not '49'"),
        (["h", "1", "--width", "wide"], "argument --width: must be a number from 50 on, not 'wide'"),
        (["h", "1", "--ipv4", "--ipv6"], "argument --ipv6: not allowed with argument --ipv4"),
        (["demo", "--tls"], "demo has addresses of its own, most of them IPv4, and no TLS"),
        (["demo", "--ipv6"], "demo has addresses of its own, most of them IPv4, and no TLS"),
        (["demo", "--address", "::1"], "demo has addresses of its own, most of them IPv4, and no TLS"),
    ],
)
def test_wrong_usage_is_reported_and_ends_with_2(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)

    out, err = capsys.readouterr()
    assert (caught.value.code, out) == (2, "")
    assert err.splitlines()[-1] == f"nbconnect: error: {complaint}"


def test_a_bug_during_the_race_is_no_wrong_usage(run: Run, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    async def break_down(stream: trio.SocketStream, **keywords: object) -> None:
        raise ValueError("a bug")

    monkeypatch.setattr(_tls, "shake_hands", break_down)

    with pytest.raises(ValueError, match="a bug"):
        run("127.0.0.1", port, "--tls")


# TLS


class TlsServer:
    """A TLS server for localhost, for one connection, in a thread of its own."""

    def __init__(self, authority: trustme.CA) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(self._context)

    def __enter__(self) -> TlsServer:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._listener.settimeout(30)  # a command that never comes fails its test; it must not hang it
        self.version: str | None = None
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.thread.join()
        self._listener.close()

    def _serve(self) -> None:
        with ExitStack() as stack:
            stack.enter_context(suppress(OSError))
            connection = stack.enter_context(self._listener.accept()[0])
            secure = stack.enter_context(self._context.wrap_socket(connection, server_side=True))
            self.version = secure.version()
            secure.recv(1)


@pytest.fixture
def authority() -> trustme.CA:
    """A certificate authority."""
    return trustme.CA()


@pytest.fixture
def tls_server(authority: trustme.CA) -> Iterator[TlsServer]:
    """A server that shakes hands."""
    with TlsServer(authority) as server:
        yield server


def test_the_tls_handshake_is_part_of_the_race(
    run: Run, tls_server: TlsServer, authority: trustme.CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    monkeypatch.setattr(_tls, "default_context", lambda: context)

    output = run("localhost.", tls_server.port, "--address", "127.0.0.1", "--tls")

    assert (output.code, output.err) == (0, "")
    assert "✓ won" in output.out
    tls_server.thread.join()
    assert tls_server.version in {"TLSv1.2", "TLSv1.3"}


def test_an_untrusted_certificate_is_a_failed_attempt(run: Run, tls_server: TlsServer) -> None:
    output = run("localhost", tls_server.port, "--address", "127.0.0.1", "--tls")

    assert output.code == 1
    assert "✗ failed" in output.out
    assert "╰ TCP connected after " in output.out
    assert "certificate verify failed: unable to get local issuer certificate" in output.out
    assert ", then certificate verify failed: unable to get local issuer certificate" in output.err


def cacert(authority: trustme.CA, folder: Path) -> str:
    """Write the certificate of an authority to a file."""
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    return str(folder / "ca.pem")


def test_certificates_to_trust_can_be_given(
    run: Run, tls_server: TlsServer, authority: trustme.CA, tmp_path: Path
) -> None:
    trusted = ("--cacert", cacert(authority, tmp_path), "--address", "127.0.0.1")

    output = run(f"https://localhost:{tls_server.port}/", *trusted, "--alpn", "h2, http/1.1")

    assert (output.code, output.err) == (0, "")


def test_the_name_in_the_certificate_can_be_given(
    run: Run, tls_server: TlsServer, authority: trustme.CA, tmp_path: Path
) -> None:
    trusted = ("--tls", "--cacert", cacert(authority, tmp_path))

    output = run(f"127.0.0.1:{tls_server.port}", *trusted, "--servername", "localhost")

    assert (output.code, output.err) == (0, "")


def test_no_verification_is_loud(run: Run, tls_server: TlsServer) -> None:
    output = run(f"127.0.0.1:{tls_server.port}", "--tls", "--insecure")

    assert output.code == 0
    assert output.err == (
        "nbconnect: WARNING: --insecure: the certificate is not verified; anybody may be at the other end\n"
    )


# What to connect to


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("example.org", "443"), ("example.org", 443, False)),
        (("example.org", "https"), ("example.org", 443, False)),
        (("example.org:443", None), ("example.org", 443, False)),
        (("example.org:https", None), ("example.org", 443, False)),
        (("[::1]:80", None), ("::1", 80, False)),
        (("[fe80::1%eth0]:80", None), ("fe80::1%eth0", 80, False)),
        (("::1", "80"), ("::1", 80, False)),
        (("https://example.org", None), ("example.org", 443, True)),
        (("https://me:secret@example.org:8443/path?query#part", None), ("example.org", 8443, True)),
        (("http://[fe80::1%25eth0]/", None), ("fe80::1%eth0", 80, False)),
        (("ssh://example.org", None), ("example.org", 22, False)),
    ],
)
def test_a_target_is_written_as_people_have_it(
    arguments: tuple[str, str | None], expected: tuple[str, int, bool]
) -> None:
    target = destination(*arguments)

    assert target is not None
    assert (target.host, target.port, target.tls) == expected


@pytest.mark.parametrize("target", ["example.org", "::1", "2001:db8::1:443", "[::1]", "demo"])
def test_a_target_may_have_no_port(target: str) -> None:
    assert destination(target, None) is None


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["--version"])

    assert left.value.code == 0
    assert re.fullmatch(r"nbconnect (\d+\.\d+\S*|\(not installed\))\n", capsys.readouterr().out)


def test_a_local_address_can_be_given_for_each_family(run: Run, port: int) -> None:
    local = ("--local-address", "127.0.0.9", "--local-address", "::1")

    assert run("127.0.0.1", port, *local).code == 0
    assert run("127.0.0.1", port, "--local-address", "::1").code == 1


def test_several_connects_end_with_a_summary(run: Run, port: int) -> None:
    output = run("127.0.0.1", port, "-n", 20)

    assert (output.code, output.err) == (0, "")
    assert output.headline.startswith("20 of 20 connected, median ")
    assert "20 over IPv4" in output.out


def test_errors_of_several_connects_are_counted(run: Run, silent_port: int) -> None:
    output = run("127.0.0.1", silent_port, "-n", 3)

    assert output.code == 1
    assert output.headline == "0 of 3 connected"
    assert (
        output.err
        == f"nbconnect: 3 times: all attempts to connect to 127.0.0.1:{silent_port} failed: 127.0.0.1 refused\n"
    )


@pytest.mark.parametrize(
    ("form", "count"),
    [("--json", '"RaceStarted"'), ("--qlog", '"vantage_point"'), ("--chrome-trace", '"process_name"')],
)
def test_several_connects_are_in_one_file(run: Run, port: int, form: str, count: str) -> None:
    assert run("127.0.0.1", port, "-n", 3, form).out.count(count) == 3


def test_the_summary_can_be_svg(run: Run, port: int) -> None:
    assert "3 of 3 connected" in run("127.0.0.1", port, "-n", 3, "--svg").out


@contextmanager
def http_proxy() -> Iterator[tuple[int, list[bytes]]]:
    """A proxy that agrees to everything, for one connection: its port, and the heads of requests."""
    heads: list[bytes] = []

    def serve() -> None:
        with suppress(OSError), listener.accept()[0] as connection:
            heads.append(connection.recv(65536))
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            connection.recv(1)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(30)
        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1], heads
        thread.join()


def test_a_proxy_can_be_given(run: Run) -> None:
    with http_proxy() as (port, heads):
        output = run("shop.example:443", "--proxy", f"http://me:se%63ret@127.0.0.1:{port}")

    assert output.code == 0
    assert heads[0].startswith(b"CONNECT shop.example:443 HTTP/1.1\r\n")
    assert base64.b64encode(b"me:secret") in heads[0]
    assert "secret" not in output.out
    assert output.headline.startswith(f"127.0.0.1:{port}  connected in ")


def test_the_resolution_delay_can_be_set(run: Run, port: int) -> None:
    (started, *_) = run("127.0.0.1", port, "--resolution-delay", "0.2", "--json").out.splitlines()

    assert json.loads(started)["policy"]["resolution_delay"] == 0.2


def test_what_comes_from_outside_is_escaped(run: Run, silent_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """On standard error as well as in the picture: a terminal interprets nothing of it."""

    def fail(*arguments: object, **keywords: object) -> list[object]:
        raise socket.gaierror(socket.EAI_FAIL, "evil\n\x1b[31mtext")

    monkeypatch.setattr(socket, "getaddrinfo", fail)

    output = run("nosuch.example", 443)

    assert r"evil\n\x1b[31mtext" in output.err
    assert "\x1b" not in output.err + output.out


# Name servers


class NameServer:
    """A name server on loopback, in a thread of its own."""

    def __init__(self, zone: Zone) -> None:
        self.zone = zone
        self._stop = trio.Event()
        self._port = Queue[int]()

    def __enter__(self) -> NameServer:
        self._thread = threading.Thread(target=trio.run, args=(self._serve,))
        self._thread.start()
        self.address = f"127.0.0.1:{self._port.get(timeout=30)}"
        return self

    def __exit__(self, *exception: object) -> None:
        trio.from_thread.run_sync(self._stop.set, trio_token=self._token)
        self._thread.join()

    async def _serve(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        async with serve(self.zone) as port:
            self._port.put(port)
            await self._stop.wait()


@pytest.fixture
def name_server() -> Iterator[NameServer]:
    """A name server that knows a host here."""
    zone = Zone()
    zone.says("shop.example", "A", "shop.example. 300 IN A 127.0.0.1")
    zone.says("shop.example", "AAAA")
    with NameServer(zone) as server:
        yield server


def test_a_name_server_can_be_given(run: Run, port: int, name_server: NameServer) -> None:
    output = run("shop.example", port, "--server", name_server.address)

    assert (output.code, output.err) == (0, "")
    assert output.headline.endswith("over IPv4 to 127.0.0.1")
    assert {"A", "AAAA"} <= {kind for _, kind, _ in name_server.zone.queries}
    assert "DNS AAAA" in output.out


def test_the_name_servers_of_the_system_can_be_asked(
    run: Run, port: int, name_server: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = []

    def resolver_with(*, servers: Sequence[str]) -> DNSResolver:
        given.append(servers)
        return DNSResolver(servers=[name_server.address])

    monkeypatch.setattr(resolver_module, "DNSResolver", resolver_with)

    assert run("shop.example", port, "--dns").code == 0
    assert given == [()]


def test_a_name_that_no_server_knows_is_an_error(run: Run, port: int, name_server: NameServer) -> None:
    output = run("nosuch.example", port, "--server", name_server.address)

    assert output.code == 1
    assert output.headline.endswith(": no such name")
    assert output.err.startswith(f"nbconnect: no results found for hostname lookup: nosuch.example:{port}: ")


def test_a_name_server_must_be_an_address(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["shop.example", "443", "--server", "dns.example"])

    assert caught.value.code == 2
    assert "not 'dns.example'" in capsys.readouterr().err


# The picture: width and colour


class Terminal(io.StringIO):
    """A standard output that calls itself a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("option", "environment", "coloured"),
    [
        ("auto", {}, True),
        ("auto", {"NO_COLOR": ""}, True),
        ("auto", {"NO_COLOR": "1"}, False),
        ("auto", {"TERM": "dumb"}, False),
        ("auto", {"TERM": "dumb", "FORCE_COLOR": "1"}, True),
        ("auto", {"NO_COLOR": "1", "FORCE_COLOR": "1"}, False),
        ("never", {}, False),
        ("always", {"NO_COLOR": "1"}, True),
    ],
)
def test_colour_on_a_terminal(
    option: str, environment: dict[str, str], coloured: bool, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert main(["127.0.0.1", str(port), "--color", option]) == 0

    assert ("\x1b" in terminal.getvalue()) is coloured


@pytest.mark.parametrize(("forced", "coloured"), [(None, False), ("", False), ("0", False), ("1", True)])
def test_what_is_no_terminal_gets_colour_if_forced(
    forced: str | None, coloured: bool, run: Run, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    if forced is not None:
        monkeypatch.setenv("FORCE_COLOR", forced)

    assert ("\x1b" in run("127.0.0.1", port).out) is coloured


@pytest.mark.parametrize(("columns", "width"), [("70", 70), ("20", 50), ("300", 200)])
def test_the_picture_is_as_wide_as_the_terminal(
    columns: str, width: int, run: Run, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)

    assert max(map(len, run("127.0.0.1", port).out.splitlines())) == width


def test_the_picture_is_as_wide_as_asked_for(run: Run, port: int) -> None:
    assert max(map(len, run("127.0.0.1", port, "--width", 130).out.splitlines())) == 130


def test_what_the_terminal_cannot_show_becomes_ascii(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    output = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(output, encoding="ascii"))

    assert main(["127.0.0.1", str(port)]) == 0

    assert b"| + won" in output.getvalue()


# Signals and pipes


def test_an_interrupted_race_shows_what_was_under_way(run: Run, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    async def interrupt(stream: trio.SocketStream, **keywords: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(_tls, "shake_hands", interrupt)

    output = run("127.0.0.1", port, "--tls")

    assert (output.code, output.err) == (130, "")
    assert "cancelled after" in output.headline
    assert "⊘ cancelled" in output.out


def test_an_interrupt_outside_of_the_race_is_quiet(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*arguments: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(_cli._Command, "run", interrupt)

    assert run("127.0.0.1", 443) == Output(130, "", "")


def test_a_pipe_without_a_reader_is_quiet(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with open(os.dup(writer), "w", encoding="utf-8") as errors, open(writer, "w", encoding="utf-8") as output:
        monkeypatch.setattr(sys, "stdout", output)
        monkeypatch.setattr(sys, "stderr", errors)

        assert main(["127.0.0.1", str(port)]) == 141

        output.flush()  # as the interpreter does when it ends: it goes nowhere


PROGRAM = """\
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have it ignored
from trio_nbconnect.__main__ import main
sys.exit(main())
"""


def start(*arguments: str | int, stdout: int = subprocess.PIPE) -> subprocess.Popen[str]:
    """Start the command in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *map(str, arguments)],
        stdout=stdout,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
    )


def test_control_c_ends_the_command_with_its_picture() -> None:
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        port = listener.getsockname()[1]
        process = stack.enter_context(start("localhost", port, "--address", "127.0.0.1", "--tls"))
        connection = stack.enter_context(listener.accept()[0])
        assert connection.recv(1) == b"\x16"  # it shakes hands: the race is under way
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()

    assert (process.returncode, err) == (130, "")
    assert "⊘ cancelled" in out


@pytest.mark.parametrize("option", ["--color=never", "--json"])
def test_a_full_device_is_no_traceback(option: str) -> None:
    with open("/dev/full", "w") as full, start("demo", option, stdout=full.fileno()) as process:
        _, err = process.communicate()

    assert (process.returncode, err) == (1, "nbconnect: cannot write: [Errno 28] No space left on device\n")


@pytest.mark.parametrize(("closed", "err"), [(1, "nbconnect: standard output is closed\n"), (2, "")])
def test_a_closed_stream_is_no_traceback(closed: int, err: str) -> None:
    command = f'exec "$0" -c "$1" demo {closed}>&-'
    arguments = ["sh", "-c", command, sys.executable, PROGRAM]
    ended = subprocess.run(arguments, check=False, capture_output=True, text=True)

    assert ended.stderr == err
    assert ended.returncode == (1 if closed == 1 else 0)


@pytest.mark.parametrize("option", ["--color=never", "--json"])
def test_a_pipe_closed_by_its_reader_is_no_traceback(option: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with start("demo", option, stdout=writer) as process:
        os.close(writer)
        _, err = process.communicate()

    assert (process.returncode, err) == (141, "")


def test_the_module_runs(port: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["trio_nbconnect", "127.0.0.1", str(port)])
    monkeypatch.delitem(sys.modules, "trio_nbconnect.__main__")

    with pytest.raises(SystemExit) as caught:
        runpy.run_module("trio_nbconnect", run_name="__main__")

    assert caught.value.code == 0
    assert "✓ won" in capsys.readouterr().out


# The demo


def test_the_demo_is_won_and_explained(run: Run) -> None:
    output = run("demo")

    lines = output.out.splitlines()
    assert (output.code, output.err) == (0, "")
    assert "connected in" in output.headline
    assert "1 refused" in lines[1]
    assert "✓ won" in output.out
    first, *others = [line.split()[0] for line in lines[-5:]]
    assert first in ("::1", "127.0.0.2")
    assert others == ["127.0.0.3", "127.0.0.4", "127.0.0.5", "127.0.0.6"]


def test_the_demo_needs_no_ipv6(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "socket", SocketWithoutIpv6)

    output = run("demo", "--attempt-delay", "0.05")

    assert output.code == 0
    assert output.out.splitlines()[-5].startswith("127.0.0.2  a full queue drops")


class SocketWithoutIpv6(socket.socket):
    """A socket of a machine where IPv6 is disabled."""

    def bind(self, address: object) -> None:
        if self.family == socket.AF_INET6:
            raise OSError(99, "Cannot assign requested address")
        super().bind(address)  # type: ignore[arg-type]  # any address, as the base class has it


@pytest.mark.parametrize("queue", [(0, 1), (1, 200)])
def test_the_demo_needs_no_address_but_one(run: Run, queue: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """MacOS has 127.0.0.1 alone, and its queue for no length is the longest there is."""
    monkeypatch.setattr(_demo, "_can_bind", lambda _: False)
    monkeypatch.setattr(_demo, "_BACKLOG", queue[0])
    monkeypatch.setattr(_demo, "_ROOM", queue[1])

    output = run("demo", "--attempt-delay", "0.05")

    assert (output.code, output.err) == (0, "")
    assert "2 cancelled, 1 refused" in output.out
    assert [line.split()[0].split(":")[0] for line in output.out.splitlines()[-4:]] == ["127.0.0.1"] * 4


def test_the_demo_explains_only_what_the_picture_shows(run: Run) -> None:
    output = run("demo", "--ipv4", "--attempt-delay", "0.05")

    assert "::1" not in output.out
    assert output.out.splitlines()[-4].startswith("127.0.0.3 ")


def test_the_demo_in_json_has_no_prose(run: Run) -> None:
    output = run("demo", "--json", "--attempt-delay", "0.05")

    assert json.loads(output.out.splitlines()[-1])["event"] == "RaceWon"


def test_a_machine_without_the_addresses_is_an_error(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(sockets: ExitStack, host: str, port: int) -> socket.socket:
        raise OSError(49, "Can't assign requested address")

    monkeypatch.setattr(_demo, "_bind", fail)

    output = run("demo")

    assert (output.code, output.out) == (1, "")
    assert output.err.startswith("nbconnect: the demo needs the address 127.0.0.1: [Errno 49]")
