"""hosts(5): what this machine knows without asking."""

from __future__ import annotations

import errno
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from trio_nbconnect import Address, Answer, QuerySent, Source
from trio_nbconnect._dns.local_names import CachedFile, known_here, parse_hosts
from trio_nbconnect._dns.message import ADDRESSES
from trio_nbconnect._dns.search import SearchBuffer

HOSTS = """
# a comment
127.0.0.1       localhost  # our own
2001:db8::1     www.example WWW  www
192.0.2.1 www.example
192.0.2.1 www.example
192.0.2.2 www.example
dns.example     not-a-number
1:2             malformed
fe80::1%no-such-interface  scoped
192.0.2.3
192.0.2.4 pinned.onion
"""


def known(name: str) -> list[str] | None:
    addresses = known_here(name, parse_hosts(HOSTS))
    return None if addresses is None else [address.ip for address in addresses]


@pytest.mark.parametrize(
    ("name", "addresses"),
    [
        ("www.example", ["2001:db8::1", "192.0.2.1", "192.0.2.2"]),
        ("WWW.Example.", ["2001:db8::1", "192.0.2.1", "192.0.2.2"]),
        ("www", ["2001:db8::1"]),
        ("localhost", ["127.0.0.1"]),
        ("db.localhost", ["::1", "127.0.0.1"]),
        ("pinned.onion", ["192.0.2.4"]),
        ("not-a-number", None),
        ("malformed", None),
        ("scoped", None),
        ("unnumbered", None),
        ("example", None),
    ],
)
def test_a_name(name: str, addresses: list[str] | None) -> None:
    """All addresses of both families in the order of the file, each once; RFC 6761 and RFC 7686 for special names."""
    assert known(name) == addresses


@pytest.mark.parametrize("name", ["a.onion", "invalid", "b.INVALID."])
def test_a_name_that_nobody_is_asked_for(name: str) -> None:
    """RFC 6761, section 6.4, and RFC 7686, section 2."""
    with pytest.raises(socket.gaierror) as caught:
        known_here(name, {})
    assert caught.value.errno == socket.EAI_NONAME


def test_a_name_on_many_lines() -> None:
    """The time grows with the lines and not with their square; no name has more addresses than are considered."""
    hosts = parse_hosts("".join(f"10.{n >> 16}.{n >> 8 & 255}.{n & 255} pool.example\n" for n in range(40_000)))
    assert len(known_here("pool.example", hosts) or ()) == ADDRESSES


async def test_a_file_is_read_when_it_has_changed(tmp_path: Path) -> None:
    """It may come, change, be replaced and go."""
    path = tmp_path / "file"
    texts: list[str] = []

    def parse(text: str) -> int:
        texts.append(text)
        return len(texts)

    cached = CachedFile(str(path), parse)
    assert [await cached.read(), await cached.read()] == [1, 1]
    path.write_bytes(b"some \xff text")
    assert [await cached.read(), await cached.read()] == [2, 2]
    (tmp_path / "other").write_text("other text")
    (tmp_path / "other").replace(path)
    assert [await cached.read(), await cached.read()] == [3, 3]
    path.unlink()
    assert [await cached.read(), await cached.read()] == [4, 4]
    assert texts == ["", "some \ufffd text", "other text", ""]


async def test_a_long_file_is_read_in_a_thread(tmp_path: Path) -> None:
    """Once for all who want it, and nobody else waits."""
    path, threads = tmp_path / "file", []

    def parse(text: str) -> int:
        threads.append(threading.current_thread())
        return len(text)

    path.write_text("x" * 100_000)
    cached = CachedFile(str(path), parse)
    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(cached.read)
    assert await cached.read() == 100_000
    assert len(threads) == 1
    assert threads[0] is not threading.main_thread()


@pytest.mark.parametrize("size", [1, 100_000])
async def test_what_could_not_be_read_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """There may be no descriptor left for a moment; the file does not change when there is."""
    path = tmp_path / "file"
    path.write_text("x" * size)
    cached = CachedFile(str(path), len)

    def open_nothing(*_: object, **__: object) -> object:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr("builtins.open", open_nothing)
        assert await cached.read() == 0
    assert [await cached.read(), await cached.read()] == [size, size]


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
async def test_what_is_no_file_is_as_good_as_an_empty_one(tmp_path: Path, make: Callable[[str], None]) -> None:
    """And nobody waits for the other end of a pipe."""
    make(os.fspath(tmp_path / "thing"))
    assert await CachedFile(os.fspath(tmp_path / "thing"), parse_hosts).read() == {}
    assert await CachedFile("a\0b", parse_hosts).read() == {}


def test_an_interface_that_comes_and_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the file says stays; whether it can be used is another matter, each time."""
    hosts = parse_hosts("fe80::1%wlan7 db\n")
    assert known_here("db", hosts) is None
    monkeypatch.setattr(socket, "if_nametoindex", lambda _: 7)
    assert [address.ip for address in known_here("db", hosts) or ()] == ["fe80::1%7"]


def test_bad_answers_of_a_target_decide_nothing() -> None:
    """They say nothing about the name that it stands for."""
    items: list[QuerySent | Answer] = []
    buffer = SearchBuffer(items.append)
    scope = buffer.next_name()
    buffer.take(Answer(Source.A, error=socket.gaierror(socket.EAI_NONAME, "no"), name="target.example"))
    assert scope.deadline == float("inf")
    buffer.take(Answer(Source.A, (Address(socket.AF_INET, "192.0.2.1", 443),)))
    assert len(items) == 2
