"""Fuzz: whatever others write, an error of ours or a result comes out, soon.

`python -m tests.fuzz [EXAMPLES]` has Hypothesis make DNS messages, hosts, resolv.conf and gai.conf files, replies of
proxies, files of a history, arguments of the command and host names; `tests/test_fuzz.py` runs a few of each, always
the same. What must hold each time: a result, or an error of the kind that is promised; no step of Trio's loop that
computes for over 20 ms; little memory; no socket and no task left; and no raw control character in a text.

The command measures time and memory. The suite, which runs on computers that do other things as well, counts the calls
in a step.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import io
import json
import socket
import struct
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

import hypothesis
import trio
from hypothesis import strategies as st

import trio_nbconnect as nb
from trio_nbconnect._cli.command import main as command
from trio_nbconnect._connect.policy_table import parse_gai_conf
from trio_nbconnect._connect.system_files import LONGEST
from trio_nbconnect._dns.servers import parse_resolv_conf
from trio_nbconnect.dns import DNSResolver
from trio_nbconnect.proxy import HTTPProxy, SOCKS5Proxy
from trio_nbconnect.testing import SimulatedNetwork

from .conftest import open_sockets

T = TypeVar("T")

LONGEST_STEP = 0.020
"""Seconds of CPU that one step of Trio's loop may take."""

MOST_CALLS = 40_000
"""Calls of functions in one step; that many take some 10 ms."""

MOST_MEMORY = 16 * 2**20
"""Octets that one example may allocate."""

HOST = "host.example"


# What is watched


class MostCalls(trio.abc.Instrument):
    """How many functions the busiest step of any task has called."""

    most: float = MOST_CALLS
    unit = "calls"

    def __init__(self) -> None:
        self.longest = 0.0
        self._calls = 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """Implement the instrument."""
        self._calls = 0
        sys.setprofile(self._count)

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        """Implement the instrument."""
        sys.setprofile(None)
        self.longest = max(self.longest, self._calls)

    def _count(self, frame: object, event: str, argument: object) -> None:
        self._calls += event in ("call", "c_call")


class LongestStep(MostCalls):
    """How much CPU time the longest step of any task has taken."""

    most = 3 * LONGEST_STEP  # `tracemalloc` runs
    unit = "seconds"

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """Implement the instrument."""
        self._began = time.thread_time()

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        """Implement the instrument."""
        self.longest = max(self.longest, time.thread_time() - self._began)


def run(main: Callable[[], Awaitable[T]]) -> T:
    """Run in Trio, and see that the loop is never held and nothing is left open.

    What takes long only once is the computer's doing, or Hypothesis's, and so it is tried again.
    """
    for _ in range(3):
        steps, result = _watched(main)
        if steps.longest <= steps.most:
            break
    else:
        raise AssertionError(f"the loop was held for {steps.longest:g} {steps.unit}")
    return result


def run_step(step: Callable[[], T]) -> T:
    """Do something in one step of Trio's loop."""

    async def main() -> T:
        return step()

    return run(main)


def _watched(main: Callable[[], Awaitable[T]]) -> tuple[MostCalls, T]:
    """Run once."""
    before = open_sockets()
    steps = LongestStep() if tracemalloc.is_tracing() else MostCalls()
    gc.disable()
    try:
        return steps, trio.run(partial(_limited, main), instruments=[steps])
    finally:
        gc.enable()
        assert not open_sockets() - before, "sockets are left open"


async def _limited(main: Callable[[], Awaitable[T]]) -> T:
    with trio.fail_after(20):
        return await main()


@contextmanager
def little_memory() -> Iterator[None]:
    """See that a block does not need much memory, where `tracemalloc` runs."""
    if tracemalloc.is_tracing():
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
    yield
    if tracemalloc.is_tracing():
        needed = tracemalloc.get_traced_memory()[1] - before
        assert needed < MOST_MEMORY, f"{needed / 2**20:.0f} MB were needed"


def is_printable(text: str) -> bool:
    """Whether a text can do no harm to a terminal."""
    return all(letter.isprintable() or letter == "\n" for letter in text)


# Texts and octets

junk = st.text(st.characters(codec="utf-8"), max_size=40)
words = st.sampled_from(
    ["127.0.0.1", "::1", "2001:db8::1", "fe80::1%lo", "0.0.0.0", "::ffff:192.0.2.1", "256.1.1.1", "1", "0x7f.1", "::"]
)
numbers = st.one_of(
    st.integers(-(10**6), 10**6).map(str), st.sampled_from(["", "-", "1e3", "99999999999999999999", "٣"])
)
labels = st.one_of(
    st.sampled_from(["a", "www", "xn--bcher-kva", "bücher", "_srv", "-", "localhost", "ads", "x" * 63, "x" * 64, ""]),
    st.text(st.characters(codec="utf-8"), max_size=8),
)
names = st.lists(labels, min_size=1, max_size=5).map(".".join)
hosts_given = st.one_of(names, words, words.map("[{}]".format), junk, st.builds("{}%{}".format, words, junk))


def files(*keywords: str) -> st.SearchStrategy[str]:
    """Files of lines with words; now and then anything."""
    piece = st.one_of(st.sampled_from(keywords), words, names, numbers, junk)
    blank = st.sampled_from([" ", "\t", "  ", " # ", ":", "\v", "\u00a0"])
    line = st.lists(st.tuples(piece, blank), max_size=6).map(lambda pairs: "".join(a + b for a, b in pairs))
    end = st.sampled_from(["\n", "\r\n", "\r", "\0", "\n\n"])
    lines = st.lists(st.tuples(line, end), max_size=12).map(lambda pairs: "".join(a + b for a, b in pairs))
    return st.one_of(st.builds(repeated, lines, st.sampled_from([1, 1, 1, 50, 5000])), junk)


def repeated(text: str, times: int) -> str:
    """A long text: as long as what is read where all tasks wait for it."""
    return (text * times)[:LONGEST]


def mutated(good: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """What is good, with a few octets changed, left out, doubled, or with an end that is cut off."""

    def change(octets: bytes, changes: list[tuple[str, int, int]]) -> bytes:
        changed = bytearray(octets)
        for how, where, value in changes:
            at = where % (len(changed) or 1)
            if how == "set" and changed:
                changed[at] = value
            elif how == "insert":
                changed[at:at] = bytes([value]) * (1 + value % 9)
            elif how == "delete":
                del changed[at : at + 1 + value % 5]
            elif how == "double":
                changed[at:at] = changed[at : at + value]
            elif how == "cut":
                del changed[at:]
        return bytes(changed)

    one = st.tuples(
        st.sampled_from(["set", "set", "insert", "delete", "double", "cut"]), st.integers(0, 4000), st.integers(0, 255)
    )
    return st.builds(change, good, st.lists(one, max_size=6))


# DNS messages

_NAME = b"\x04host\x07example\x00"
owners = st.sampled_from(
    [b"\xc0\x0c", _NAME, b"\x00", b"\x03www" + _NAME, b"\xc0\xff", b"\xc0\x0d", b"\x3f" + b"x" * 63 + b"\0"]
)
data = st.one_of(
    st.tuples(st.just(1), st.binary(min_size=4, max_size=4)),
    st.tuples(st.just(28), st.binary(min_size=16, max_size=16)),
    st.tuples(st.sampled_from([2, 5, 12, 39]), owners),
    st.tuples(st.just(6), owners.map(lambda owner: owner + b"\x00" + bytes(20))),
    st.tuples(
        st.just(65),
        st.builds(
            lambda priority, target, parameters: struct.pack("!H", priority) + target + b"".join(parameters),
            st.integers(0, 3),
            owners,
            st.lists(
                st.builds(
                    lambda key, value: struct.pack("!HH", key, len(value)) + value,
                    st.integers(0, 9),
                    st.one_of(st.binary(max_size=20), st.just(b"\x02h2"), st.just(bytes(4)), st.just(bytes(64))),
                ),
                max_size=4,
            ),
        ),
    ),
    st.tuples(st.integers(0, 65535), st.binary(max_size=40)),
)
records = st.builds(
    lambda owner, typed, ttl, often: (
        (owner + struct.pack("!HHIH", typed[0], 1, ttl, len(typed[1])) + typed[1]) * often,
        often,
    ),
    owners,
    data,
    st.integers(0, 2**32 - 1),
    st.sampled_from([1, 1, 1, 2, 50, 1000]),
)
sections = st.lists(records, max_size=5)


def message(flags: int, answers: Any, authority: Any, additional: Any) -> Callable[[bytes], bytes]:
    """An answer to whatever query, with these records; that of a query is its id and its question."""

    def answer(query: bytes) -> bytes:
        counts = [sum(often for _, often in section) % 65536 for section in (answers, authority, additional)]
        end = query.index(b"\0", 12) + 5
        body = b"".join(octets for section in (answers, authority, additional) for octets, _ in section)
        return (query[:2] + struct.pack("!5H", flags, 1, *counts) + query[12:end] + body)[:65000]

    return answer


messages = st.builds(
    message,
    st.sampled_from([0x8180, 0x8180, 0x8180, 0x8182, 0x8183, 0x8185, 0x8380, 0x0100, 0xFFFF, 0x8000]),
    sections,
    sections,
    sections,
)
changes = st.lists(st.tuples(st.integers(0, 300), st.integers(0, 255)), max_size=4)


def dns_message(say: Callable[[bytes], bytes], changed: list[tuple[int, int]]) -> None:
    """Connect through a name server that answers like this."""

    def answer(query: bytes) -> bytes:
        octets = bytearray(say(query))
        for at, value in changed:
            octets[at % len(octets)] = value
        return bytes(octets)

    async def main() -> None:
        sock = trio.socket.socket(type=socket.SOCK_DGRAM)
        with sock:
            await sock.bind(("127.0.0.1", 0))
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_serve, sock, answer)
                address = f"127.0.0.1:{sock.getsockname()[1]}"
                resolver = DNSResolver(servers=[address], hosts=None, give_up_after=0.05, attempts=1, search=())
                query = nb.Query(host=HOST, port=443, families=(socket.AF_INET6, socket.AF_INET))
                answers: list[Any] = []
                await resolver.resolve(query, answers.append)
                nursery.cancel_scope.cancel()
        for given in answers:
            if isinstance(given, nb.Answer):
                assert given.error is None or isinstance(given.error, OSError)
                assert len(given.addresses) <= 256
                assert is_printable(str(given.error))

    with little_memory():
        run(main)


async def _serve(sock: Any, answer: Callable[[bytes], bytes]) -> None:
    """Answer queries; what does not fit into a datagram is not sent."""
    while True:
        query, client = await sock.recvfrom(4096)
        with contextlib.suppress(OSError):
            await sock.sendto(answer(query), client)


# Files


def hosts_file(text: str, host: str) -> None:
    """Look a name up in a hosts file."""

    async def main() -> None:
        resolver = DNSResolver(servers=["127.0.0.1:9"], hosts=file.name, give_up_after=0.01, attempts=1, search=())
        query = nb.Query(host=host, port=443, families=(socket.AF_INET6, socket.AF_INET))
        await resolver.resolve(query, lambda _: None)

    with tempfile.NamedTemporaryFile("w", encoding="utf-8", newline="") as file, little_memory():
        file.write(text)
        file.flush()
        run(main)


def resolv_conf(text: str, search: str | None, options: str) -> None:
    """Read resolv.conf: whatever it says, there are settings."""
    with little_memory():
        try:
            settings = run_step(partial(parse_resolv_conf, text, search=search, options=options))
        except OSError as error:
            assert is_printable(str(error))  # noqa: PT017 - it need not be raised
            return
    assert settings.give_up_after > 0
    assert settings.attempts > 0


def gai_conf(text: str) -> None:
    """Read gai.conf: whatever it says, there is a table."""
    with little_memory():
        assert run_step(partial(parse_gai_conf, text)) is not None


history_texts = st.one_of(
    junk,
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), junk, words),
        lambda inner: st.one_of(
            st.lists(inner, max_size=4), st.dictionaries(st.one_of(words, junk), inner, max_size=4)
        ),
        max_leaves=20,
    ).map(json.dumps),
    st.dictionaries(
        words,
        st.fixed_dictionaries(
            {},
            optional={key: st.one_of(st.floats(), st.integers(), junk) for key in ("rtt", "measured", "used", "seen")},
        ),
        max_size=5,
    ).map(lambda entries: json.dumps({"version": 1, "addresses": entries})),
)


def history_file(text: str) -> None:
    """Read a history: it is one, or a `ValueError`; what has been read can be written and read again."""
    with little_memory():
        try:
            history = run_step(partial(nb.History.from_json, text))
        except ValueError as error:
            assert is_printable(str(error))  # noqa: PT017 - it need not be raised
            return
        again = nb.History.from_json(history.to_json())
        assert again.to_json() == history.to_json()


# Proxies

replies = st.one_of(
    mutated(
        st.sampled_from(
            [
                b"HTTP/1.1 200 OK\r\n\r\n",
                b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
                b"HTTP/1.1 407 Auth\r\nProxy-Authenticate: Basic\r\n\r\n",
                b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
                b"\x05\x00\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x50",
                b"\x05\x02\x01\x00\x05\x00\x00\x03\x04host\x00\x50",
                b"\x05\x00\x05\x05\x00\x04" + bytes(18),
            ]
        )
    ),
    st.binary(max_size=40),
    st.integers(0, 200_000).map(lambda length: b"HTTP/1.1 200 " + b"x" * length),
    st.integers(0, 3000).map(lambda count: b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * count),
)


def proxy_reply(reply: bytes, cut: int, kind: type[SOCKS5Proxy] | type[HTTPProxy], password: str | None) -> None:
    """Connect through a proxy that says this, in two pieces, and hangs up."""

    async def main() -> None:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(trio.serve_listeners, partial(_say, reply, cut), [listener]))
            how: dict[str, Any] = {} if password is None else {"username": "user", "password": password}
            try:
                proxy = kind("127.0.0.1", listener.socket.getsockname()[1], **how)
                stream = await proxy.open_tcp_stream("target.example", 80, give_up_after=1)
            except OSError as error:
                assert is_printable(str(error))  # noqa: PT017 - it need not be raised
                assert len(str(error)) < 2000  # noqa: PT017
            except ValueError:
                assert password is not None
            else:
                await trio.aclose_forcefully(stream)
            nursery.cancel_scope.cancel()

    with little_memory():
        run(main)


async def _say(reply: bytes, cut: int, stream: trio.SocketStream) -> None:
    with contextlib.suppress(trio.BrokenResourceError):
        await stream.receive_some()
        await stream.send_all(reply[:cut])
        await trio.lowlevel.checkpoint()
        await stream.send_all(reply[cut:])


# Callers


def host_name(host: str, port: int, server_hostname: str | None) -> None:
    """Connect to whatever a caller says, on a network where every name has an address."""
    connector = nb.Connector(network=SimulatedNetwork(), policy=nb.Policy(give_up_resolution_after=1))

    async def main() -> None:
        try:
            if server_hostname is None:
                await connector.open_tcp_stream(host, port, give_up_after=0.01)
            else:
                await connector.open_tls_stream(host, port, server_hostname=server_hostname, give_up_after=0.01)
        except (OSError, ValueError) as error:
            assert is_printable(str(error)), ascii(str(error))  # noqa: PT017 - it need not be raised

    with little_memory():
        run(main)


arguments = st.lists(
    st.one_of(
        st.sampled_from(
            [
                "--json",
                "--qlog",
                "--svg",
                "--tls",
                "-4",
                "-6",
                "--count",
                "2",
                "--width",
                "60",
                "--color",
                "never",
                "demo",
            ]
        ),
        st.builds("--{}={}".format, st.sampled_from(["attempt-delay", "give-up-after", "width", "alpn"]), numbers),
        st.builds("--{}={}".format, st.sampled_from(["local-address", "servername", "server"]), hosts_given),
        junk,
        hosts_given,
        numbers,
    ),
    max_size=5,
)


def command_line(given: list[str], host: str) -> None:
    """Run the command with arguments like these; addresses are given, so that nobody is asked for them."""
    output, errors = io.StringIO(), io.StringIO()
    line = ["--give-up-after=0.2", "--address=127.0.0.3", *given, f"{host}", "1"]
    with little_memory(), contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        try:
            code: object = command(line)
        except SystemExit as end:
            code = end.code
    assert code in (0, 1, 2, None), code
    assert "Traceback" not in errors.getvalue()
    assert is_printable(errors.getvalue()), ascii(errors.getvalue())


TARGETS: dict[str, tuple[Callable[..., None], dict[str, st.SearchStrategy[Any]]]] = {
    "DNS messages": (dns_message, {"say": messages, "changed": changes}),
    "hosts": (
        hosts_file,
        {
            "text": files(HOST, "localhost", "#", "127.0.0.1"),
            "host": st.sampled_from([HOST, "localhost", "x.localhost", "a", "nowhere.onion"]),
        },
    ),
    "resolv.conf": (
        resolv_conf,
        {
            "text": files("nameserver", "search", "domain", "options", "ndots:3", "timeout:1", "rotate", "sortlist"),
            "search": st.one_of(st.none(), junk, names),
            "options": st.one_of(junk, numbers.map("ndots:{}".format), numbers.map("timeout:{}".format)),
        },
    ),
    "gai.conf": (
        gai_conf,
        {"text": files("precedence", "label", "scopev4", "::/0", "::ffff:0:0/96", "reload", "/129")},
    ),
    "proxy replies": (
        proxy_reply,
        {
            "reply": replies,
            "cut": st.integers(0, 60),
            "kind": st.sampled_from([SOCKS5Proxy, HTTPProxy]),
            "password": st.one_of(st.none(), st.just("secret"), junk),
        },
    ),
    "history files": (history_file, {"text": history_texts}),
    "command lines": (command_line, {"given": arguments, "host": hosts_given}),
    "host names": (
        host_name,
        {"host": hosts_given, "port": st.integers(0, 65535), "server_hostname": st.one_of(st.none(), hosts_given)},
    ),
}
"""What is fuzzed: a check, and what Hypothesis gives it."""


def fuzz(name: str, examples: int, *, derandomize: bool = False) -> None:
    """Run a check with so many examples; the smallest that fails is shown.

    Raises:
        AssertionError: Something does not hold.
    """
    check, given = TARGETS[name]
    settings = hypothesis.settings(
        max_examples=examples,
        deadline=None,
        derandomize=derandomize,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    settings(hypothesis.given(**given)(check))()


def main(given: list[str] | None = None) -> int:
    """Be the command."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("examples", nargs="?", type=int, default=2000)
    parser.add_argument("--target", choices=TARGETS, action="append", help="this one alone; repeatable")
    options = parser.parse_args(given)
    tracemalloc.start()
    failed = 0
    for name in options.target or TARGETS:
        try:
            fuzz(name, options.examples)
        except Exception as error:  # noqa: BLE001 - whatever comes out, the others are to be run
            failed += 1
            notes = "\n".join(getattr(error, "__notes__", ()))
            print(f"{name}: {type(error).__name__}: {error}\n{notes}", flush=True)
        else:
            print(f"{name}: {options.examples} examples, all is well", flush=True)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
