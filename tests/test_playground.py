"""The playground without a browser: scenes, their code, their steps, the stand-ins, the folder and the command."""

from __future__ import annotations

import errno
import json
import math
import re
import socket
import subprocess
import sys
import threading
import urllib.request
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import trio_nbconnect
from trio_nbconnect import Address, Service, _playground
from trio_nbconnect._playground import command, emscripten, site
from trio_nbconnect._playground.answer import answer
from trio_nbconnect._playground.scene import DEEDS, HTTPS, MOST_HOSTS, Scene, code_of, network_of, race_of, scene_of
from trio_nbconnect._playground.steps import (
    FIRST_WINS,
    QUERIES,
    RESOLUTION_DELAY,
    RESOLUTION_DELAY_OVER,
    SERVICES,
    SERVICES_KNOWN,
    SERVICES_LATE,
    Step,
    steps_of,
)
from trio_nbconnect._simulation import run as simulation_run
from trio_nbconnect.testing import SimulatedNetwork, simulate

PAGE = Path(_playground.__file__).parent / "page"
DATA = json.loads((PAGE / "scenes.json").read_text("utf-8"))
SCENES = {scene["id"]: scene for scene in DATA["scenes"]}
ONE: dict[str, Any] = {"hosts": [{"ip": "192.0.2.1"}]}


def read(name: str, **changes: Any) -> Scene:
    """Read a scene of the list, with changes."""
    return Scene.read({**SCENES[name], **changes})


def asked(scene: object, **more: Any) -> dict[str, Any]:
    """What the editor gets."""
    result: dict[str, Any] = json.loads(answer(json.dumps({"scene": scene, **more})))
    return result


@pytest.mark.parametrize("name", SCENES)
def test_the_code_of_a_scene_runs_the_same_race(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    scene = read(name)
    namespace: dict[str, Any] = {}
    exec(compile(code_of(scene), name, "exec"), namespace)
    assert namespace["race"].svg() == race_of(scene).svg()
    assert capsys.readouterr().out == f"{race_of(scene)}\n"


@pytest.mark.parametrize("does", DEEDS)
@pytest.mark.parametrize("https", HTTPS)
def test_the_code_of_whatever_can_be_edited(does: str, https: str) -> None:
    hosts = [{"ip": "2001:db8::1", "does": does}, {"ip": "192.0.2.1", "does": does, "after": 40, "alternative": True}]
    changes = {"tls": True, "prefers_ipv4": True, "policy": {"give_up_attempt_after": None, "attempt_delay": 100}}
    scene = Scene.read({"hosts": hosts, "https": https, "answers": {"a": None}, "give_up_after": 3000, **changes})
    namespace: dict[str, Any] = {}
    exec(compile(code_of(scene), does, "exec"), namespace)
    assert namespace["race"].svg() == race_of(scene).svg()


@pytest.mark.parametrize(
    ("name", "starts", "winner"),
    [
        ("v3-1", [(30, "2001:db8::1")], "2001:db8::1"),
        ("v3-2", [(40, "2001:db8::1")], "2001:db8::1"),
        ("v3-3", [(80, "192.0.2.1"), (330, "2001:db8::1")], "2001:db8::1"),
        ("v3-4", [(40, "2001:db8::1")], "2001:db8::1"),
        ("v3-5", [(80, "2001:db8::1")], "2001:db8::1"),
        ("v3-6", [(30, "2001:db8::1")], "2001:db8::1"),
        ("v3-8", [(40, "192.0.2.1")], "192.0.2.1"),
    ],
)
def test_the_examples_of_version_3(name: str, starts: list[tuple[int, str]], winner: str) -> None:
    """Section 4.2.2 of the draft says of each when attempts start, and with which family."""
    timeline = race_of(read(name)).timeline
    assert [(round(each.started * 1000), each.address.ip) for each in timeline.attempts] == starts
    assert timeline.winner is not None
    assert timeline.winner.address.ip == winner


def test_the_alternative_service_comes_after_the_first() -> None:
    """Example 7: the addresses of "alt" are asked for when its name is known, and join the race."""
    race = race_of(read("v3-7"))
    assert [each.address.ip for each in race.timeline.attempts][4:] == ["2001:db8::11"]


def test_the_order_is_explained() -> None:
    headings, *rows = asked(SCENES["black-hole"])["order"]
    assert headings == ["", "address", "family", "source", "placed by", "known", "tried", "outcome"]
    assert [row[1] for row in rows] == ["2001:db8::1", "192.0.2.1", "2001:db8::2"]


@pytest.mark.parametrize(
    ("scene", "says"),
    [
        ([], "the scene must be an object"),
        ({}, f"hosts must be a list of at most {MOST_HOSTS}"),
        ({"hosts": [{"ip": f"192.0.2.{n}"} for n in range(MOST_HOSTS + 1)]}, f"at most {MOST_HOSTS}"),
        ({"hosts": ["192.0.2.1"]}, "a host must be an object"),
        ({"hosts": [{"ip": 'x"); import os #'}]}, "ip must be a numeric address"),
        ({"hosts": [{"ip": "fe80::1%1"}]}, "ip must be a numeric address"),
        ({"hosts": [{"ip": "192.0.2.1"}, {"ip": "192.0.2.1"}]}, "an address is there twice"),
        ({"hosts": [{"ip": "192.0.2.1", "does": "explodes"}]}, "does must be one of accepts"),
        ({**ONE, "colour": 1}, "a scene has no 'colour'"),
        ({**ONE, "answers": {"aaaa": -1}}, "aaaa must be a number of milliseconds"),
        ({**ONE, "answers": {"mx": 1}}, "answer must be one of aaaa"),
        ({**ONE, "policy": {"families": 1}}, "policy must be one of attempt_delay"),
        ({**ONE, "policy": {"first_address_family_count": 0}}, "first_address_family_count must be a number from 1"),
        ({**ONE, "policy": {"attempt_delay": 0, "minimum_gap": 0}}, "must not both be 0"),
        ({**ONE, "tls": 1}, "tls must be true or false"),
        ({**ONE, "https": None}, "https must be one of none"),
        ({**ONE, "host": 'example.org"); import os #'}, "host must be a name"),
    ],
)
def test_a_scene_that_is_none_says_why(scene: object, says: str) -> None:
    """A link comes from anybody, and its scene becomes code that is made to be copied."""
    assert says in asked(scene)["error"]


def test_nothing_but_a_request_is_answered() -> None:
    assert "error" in json.loads(answer("{"))
    assert "error" in json.loads(answer("[]"))


def test_the_columns_are_those_of_the_picture() -> None:
    found = asked(SCENES["late-aaaa"], until=400)
    columns = found["columns"]
    grid = re.findall(r'<line[^>]* x1="([\d.]+)"[^>]*class="grid"', found["svg"]) or re.findall(
        r"M([\d.]+)", found["svg"]
    )
    assert f"{columns['chart']:g}" in {f"{float(x):g}" for x in grid}
    assert columns["span"] == 400


WAITS = " The first attempt waits for what is still missing, for 50 ms at most: the Resolution Delay."


def words(steps: list[Step]) -> list[str]:
    return [f"{step.time * 1000:.0f} {step.words}" for step in steps]


def test_a_race_told_step_by_step() -> None:
    steps = steps_of(race_of(read("late-aaaa")))
    assert words(steps) == [
        "0 Queries go out for example.org: HTTPS, AAAA, A.",
        "10 HTTPS answers: no records.",
        f"20 A answers: 192.0.2.1.{WAITS}",
        "70 Attempt 1, IPv4 192.0.2.1, begins: the Resolution Delay is over 50 ms after the first answer.",
        "100 IPv4 192.0.2.1 wins: connected after 100 ms.",
    ]
    assert [step.rule for step in steps] == [QUERIES, None, RESOLUTION_DELAY, RESOLUTION_DELAY_OVER, FIRST_WINS]


def test_the_services_are_waited_for_by_version_3() -> None:
    """Section 4.2 of the draft; RFC 8305 would start at once."""
    for name, last in (("v3-5", SERVICES_LATE), ("v3-4", SERVICES_KNOWN)):
        steps = steps_of(race_of(read(name)))
        assert next(step.rule for step in steps if "Resolution Delay" in step.words) is SERVICES
        assert next(step.rule for step in steps if "begins" in step.words) is last


def test_a_lost_packet_is_sent_again_after_a_second() -> None:
    """RFC 6298, section 2: "the sender SHOULD set RTO <- 1 second" until there is a measurement."""
    timeline = race_of(read("lost-packet", hosts=[{"ip": "192.0.2.1", "does": "loses", "after": 30}])).timeline
    assert timeline.duration == pytest.approx(0.022 + 1 + 0.03)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("refused", "2001:db8::1 fails: Connection refused."),
        ("silent-tls", "2001:db8::1 completes the TCP handshake; now TLS."),
        ("late-and-used", "The system answers: 2001:db8::1, 192.0.2.1. What is new joins the race."),
        ("v3-6", "HTTPS answers: 1 service with hints of 4 addresses."),
        ("v3-7", "AAAA answers for alt.example.org: 2001:db8::11. What is new joins the race."),
        ("in-time", "Attempt 1, IPv6 2001:db8::1, begins: all answers are there 30 ms after the first answer."),
        ("aaaa-first", "Attempt 1, IPv6 2001:db8::1, begins: the preferred family has answered."),
        ("patient", "IPv4 192.0.2.1 wins: connected after 1050 ms. The other one is given up."),
        ("crowd", "IPv4 192.0.2.6 wins: connected after 4780 ms. The 5 others are given up."),
        ("nobody", "The race is lost: gave up connecting"),
        ("none", "AAAA answers: no records"),
    ],
)
def test_each_kind_of_step(name: str, says: str) -> None:
    assert any(says in step for step in words(steps_of(race_of(read(name)))))


@pytest.mark.parametrize("name", SCENES)
def test_every_step_is_in_its_order(name: str) -> None:
    times = [step.time for step in steps_of(race_of(read(name)))]
    assert times == sorted(times)
    assert times


# The stand-ins.


def test_trio_wakes_itself_through_a_pair() -> None:
    one, other = emscripten.socketpair()
    poll = emscripten.Epoll()
    poll.register(one, 0x001)
    assert poll.poll(0, 8) == []
    other.send(b"xy")
    assert poll.poll(0, 8) == [(one.fileno(), 1)]
    assert (one.recv(1), one.recv(8)) == (b"\0", b"\0")
    with pytest.raises(BlockingIOError):
        one.recv(1)


def test_one_shot_is_one_event() -> None:
    one, other = emscripten.socketpair()
    poll = emscripten.Epoll()
    poll.modify(one.fileno(), 0x001 | 1 << 30)
    other.send(b"x")
    assert poll.poll() == [(one.fileno(), 1)]
    assert poll.poll() == []
    poll.modify(one.fileno(), 0x001)
    poll.unregister(one)
    assert poll.poll() == []


@pytest.mark.parametrize("text", ["::1", "2001:db8::1", "fe80::", "192.0.2.1"])
def test_addresses_are_read_as_by_the_c_library(text: str) -> None:
    family = socket.AF_INET6 if ":" in text else socket.AF_INET
    packed = socket.inet_pton(family, text)
    assert emscripten.inet_pton(family, text) == packed
    assert emscripten.inet_ntop(family, packed) == socket.inet_ntop(family, packed)


def test_no_address() -> None:
    with pytest.raises(OSError):
        emscripten.inet_pton(socket.AF_INET6, "2001:db8::1::")
    with pytest.raises(ValueError, match="invalid length"):
        emscripten.inet_ntop(socket.AF_INET6, b"1234")


def test_nothing_is_replaced_where_nothing_is_missing() -> None:
    before = socket.socketpair
    emscripten.install()
    assert socket.socketpair is before


WITH_STAND_INS = """
import sys
from trio_nbconnect._playground import emscripten
sys.platform = "emscripten"
emscripten.install()
import trio
assert sys.platform == "emscripten"
assert type(trio.lowlevel.current_statistics) and trio._core._run.select.epoll is emscripten.Epoll
from trio_nbconnect.testing import SimulatedNetwork, simulate
import threading
threading.Thread.start = None  # none can start
net = SimulatedNetwork()
net.answers("example.org", aaaa=["2001:db8::1"], a=["192.0.2.1"], after=0.02)
net.host("192.0.2.1").accepts(after=0.03)
print(simulate(net, "example.org", 443).timeline.duration == 0.02 + 0.25 + 0.03)
"""


def test_a_race_with_nothing_but_the_stand_ins() -> None:
    """A process of its own, as they change the standard library; every race of it uses them."""
    done = subprocess.run([sys.executable, "-c", WITH_STAND_INS], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("True\n", "")


def test_where_no_thread_can_start_the_race_runs_where_its_caller_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulation_run, "_WITHOUT_THREADS", (sys.platform,))

    async def thread() -> int:
        return threading.get_ident()

    assert simulation_run.run_virtually(thread) == threading.get_ident()


# The folder and the command.


@pytest.fixture(scope="module")
def pyodide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that has all files of Pyodide, for what only copies them."""
    folder = tmp_path_factory.mktemp("pyodide")
    for name in site._PYODIDE_FILES:
        (folder / name).write_text(name)
    return folder


def test_the_folder_has_all_that_a_browser_needs(pyodide: Path, tmp_path: Path) -> None:
    site.build(tmp_path / "site", pyodide)
    assert (tmp_path / "site" / "pyodide" / "pyodide.asm.wasm").read_text() == "pyodide.asm.wasm"
    assert {"index.html", "editor.js", "worker.js", "scenes.json"} <= {
        path.name for path in (tmp_path / "site").iterdir()
    }
    names = zipfile.ZipFile(tmp_path / "site" / "packages.zip").namelist()
    assert {"trio/__init__.py", "attr/__init__.py", "trio_nbconnect/_playground/answer.py"} <= set(names)
    assert not [name for name in names if "_tests" in name or name.endswith(".pyc")]
    assert [name for name in names if name.startswith("trio-") and "LICENSE" in name]


def test_equal_packages_make_equal_archives() -> None:
    assert site.packages() == site.packages()


def test_a_page_names_no_other_host() -> None:
    pages = [path.read_text("utf-8") for path in PAGE.iterdir()]
    assert not [page for page in pages if re.search(r"https?://|//[a-z]+\.[a-z]", page)]


def test_pyodide_comes_from_npm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "npm"
    program.write_text("#!/bin/sh\necho no such package >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(site.SiteError, match=r"^npm cannot fetch pyodide@[\d.]+: no such package$"):
        site.fetch_pyodide(tmp_path)


def test_npm_s_package_is_unpacked(pyodide: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "package").symlink_to(pyodide)
    program = tmp_path / "npm"
    program.write_text(f"#!/bin/sh\ntar -C {tmp_path} -chzf pyodide-1.tgz package\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    site.fetch_pyodide(tmp_path)
    assert (tmp_path / "pyodide.mjs").read_text() == "pyodide.mjs"


def run(*arguments: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Run the command; return its exit code and what it said."""
    code = command.main(arguments)
    said = capsys.readouterr()
    return code, said.out + said.err


def test_the_command_writes_a_folder(pyodide: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "site"
    code, said = run(str(target), "--pyodide", str(pyodide), capsys=capsys)
    assert (code, said) == (0, f"written to {target}; any server of static files can show it\n")
    again, _ = run(str(target), "--pyodide", str(target / "pyodide"), capsys=capsys)
    assert again == 0


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("", "npm is needed to fetch Pyodide; or name a folder that has it with --pyodide"),
        ("empty", "empty has no pyodide.mjs; npm's package pyodide has it"),
    ],
)
def test_no_pyodide(
    path: str, says: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    named = ["--pyodide", str(tmp_path / path)] if path else []
    code, said = run(str(tmp_path / "site"), *named, capsys=capsys)
    assert code == 1
    assert says in said


def test_a_folder_or_a_server(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main([])
    assert "name a folder, or say --serve" in capsys.readouterr().err


def test_it_is_shown_on_loopback(pyodide: Path, tmp_path: Path) -> None:
    site.build(tmp_path, pyodide)
    with site.server(tmp_path) as pages:
        assert pages.server_address[0] == "127.0.0.1"
        thread = threading.Thread(target=pages.serve_forever)
        thread.start()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{pages.server_port}/editor.js") as response:
                assert response.headers["Content-Type"] == "text/javascript"
        finally:
            pages.shutdown()
            thread.join()


def test_the_server_ends_with_an_interrupt(
    pyodide: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_server: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("http.server.ThreadingHTTPServer.serve_forever", interrupted)
    code, said = run("--serve", "--port", "0", "--pyodide", str(pyodide), capsys=capsys)
    assert code == 0
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/ \(end with Ctrl\+C\)\n", said)


def test_it_is_a_part_of_the_command(pyodide: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from trio_nbconnect.__main__ import main  # noqa: PLC0415 - with it come the proxies

    assert main(["playground", str(tmp_path), "--pyodide", str(pyodide)]) == 0
    assert str(tmp_path) in capsys.readouterr().out


def test_the_page_knows_every_word(tmp_path: Path) -> None:
    """What the editor offers is what a scene may say."""
    assert [deed["name"] for deed in DATA["deeds"]] == list(DEEDS)
    editor = (PAGE / "editor.js").read_text("utf-8")
    assert all(f'"{word}"' in editor for word in HTTPS)
    defaults = {name: field.default for name, field in trio_nbconnect.Policy.__dataclass_fields__.items()}
    for number in DATA["policy"]:
        value = number["default"]
        expected = math.inf if value is None else value / 1000 if isinstance(defaults[number["name"]], float) else value
        assert defaults[number["name"]] == expected


# In a notebook.


def bad_network() -> SimulatedNetwork:
    """A network with one of each."""
    net = SimulatedNetwork()
    net.answers("example.org", aaaa=["2001:db8::1", "2001:db8::2"], after=0.2)
    net.answers("example.org", a=["192.0.2.1", "192.0.2.2", "192.0.2.3"], after=math.inf)
    net.host("2001:db8::1").drops()
    net.host("2001:db8::2").unreachable()
    net.host("192.0.2.1").refuses(after=0.02)
    net.host("192.0.2.2").resets(after=0.03)
    net.host("192.0.2.3").unreachable(after=0.04)
    net.host("192.0.2.4").accepts()
    return net


def test_a_network_is_read_into_a_scene_and_built_again() -> None:
    scene = scene_of(bad_network())
    assert scene.answers == {"aaaa": 200, "a": None, "https": 0}
    assert [host.does for host in scene.hosts] == ["drops", "no route", "refuses", "resets", "unreachable", "accepts"]
    assert Scene.read(json.loads(json.dumps(scene.data()))) == scene
    assert "".join(network_of(scene)._repr_mimebundle_().values()).count("192.0.2.3") >= 2


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda net: net.host("192.0.2.1").fails(errno.EACCES), "the editor has no EACCES: 192.0.2.1"),
        (lambda net: net.host("192.0.2.1", 80), "no hosts of one port only: 192.0.2.1, port 80"),
        (lambda net: net.answers("example.org", https=[Service(priority=1, port=8443)]), "no services at other names"),
    ],
)
def test_what_the_editor_cannot_show_is_said(change: Callable[[SimulatedNetwork], object], says: str) -> None:
    net = bad_network()
    change(net)
    with pytest.raises(ValueError, match=re.escape(says)):
        trio_nbconnect.playground(net)


@pytest.mark.parametrize("hints", [(), (Address.parse("192.0.2.1:443"),)])
def test_services_are_read_too(hints: tuple[Address, ...]) -> None:
    net = bad_network()
    net.answers("example.org", https=[Service(priority=1, hints=hints)], after=0.01)
    scene = scene_of(net)
    assert (scene.https, scene.name_servers) == ("hints" if hints else "plain", True)


def test_what_is_dragged_changes_the_network() -> None:
    net = SimulatedNetwork()
    net.answers("example.org", aaaa=["2001:db8::1"], a=["192.0.2.1"], after=0.02)
    net.host("192.0.2.1").accepts(after=0.03)
    shown = trio_nbconnect.playground(net)
    assert shown.race.timeline.duration == pytest.approx(0.3)
    hosts = [{"ip": "2001:db8::1", "does": "drops"}, {"ip": "192.0.2.1", "after": 60}]
    scene = {**shown._scene.data(), "policy": {"attempt_delay": 100}, "hosts": hosts}
    said = json.loads(shown._answer(json.dumps({"scene": scene, "width": 400})))
    assert said["headline"].startswith("example.org:443 connected in 180 ms")
    assert shown.network is net
    assert simulate(net, "example.org", 443, connector=shown.connector).svg() == shown.race.svg()
    assert "attempt_delay=0.1" in shown.code


def test_the_editor_is_answered_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = trio_nbconnect.playground()
    sent: list[Any] = []
    monkeypatch.setattr(shown._widget, "send", sent.append)
    shown._widget._handle_custom_msg({"number": 7, "text": "{}"}, [])
    assert sent == [{"number": 7, "text": '{"error": "no request: \'scene\'"}'}]


def test_a_playground_is_a_picture_where_there_are_no_widgets() -> None:
    shown = trio_nbconnect.playground(host="www.example")
    bundle = shown._repr_mimebundle_()
    assert {"application/vnd.jupyter.widget-view+json", "text/html", "text/plain"} == set(bundle)
    assert bundle["text/plain"].startswith("www.example:443  connected in 100 ms over IPv4")
    assert repr(shown) == "<Playground of www.example: 2 addresses>"


def test_without_anywidget_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "anywidget", None)
    with pytest.raises(ImportError, match=r"needs anywidget: python -m pip install 'trio-nbconnect\[notebook\]'$"):
        trio_nbconnect.playground()
