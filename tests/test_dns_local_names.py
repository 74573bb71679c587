"""hosts(5): what this machine knows without asking."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from trio_nbconnect._dns.local_names import CachedFile, known_here, parse_hosts

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
        ("a.onion", []),
        ("invalid", []),
        ("not-a-number", None),
        ("malformed", None),
        ("scoped", None),
        ("example", None),
    ],
)
def test_a_name(name: str, addresses: list[str] | None) -> None:
    """All addresses of both families in the order of the file, each once; RFC 6761 and RFC 7686 for special names."""
    assert known(name) == addresses


def test_a_file_is_read_when_it_has_changed(tmp_path: Path) -> None:
    path = tmp_path / "file"
    texts: list[str] = []

    def parse(text: str) -> int:
        texts.append(text)
        return len(texts)

    cached = CachedFile(str(path), parse)
    assert [cached.read(), cached.read()] == [1, 1]
    path.write_bytes(b"some \xff text")
    assert [cached.read(), cached.read()] == [2, 2]
    path.unlink()
    assert [cached.read(), cached.read()] == [3, 3]
    assert texts == ["", "some \ufffd text", ""]


def test_a_folder_is_as_good_as_an_empty_file(tmp_path: Path) -> None:
    assert CachedFile(os.fspath(tmp_path), parse_hosts).read() == {}
