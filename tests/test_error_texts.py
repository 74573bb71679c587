"""Error texts: the words for an error number are the same wherever we run."""

from __future__ import annotations

import errno
import os
import platform
import socket
from types import SimpleNamespace

import pytest

from trio_nbconnect import Address, ConnectRefused, Phase, ResolutionError, _errors
from trio_nbconnect._error_texts import _TEXTS, strerror, texts_by_number
from trio_nbconnect._errors import Attempt, all_failed, os_error
from trio_nbconnect._pictures.labels import error_text

MUSL = {errno.EHOSTUNREACH: "Host is unreachable", errno.ETIMEDOUT: "Operation timed out"}
ADDRESS = Address.parse("192.0.2.1:443")


@pytest.fixture
def on_musl(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the C library speak as musl does."""
    monkeypatch.setattr(os, "strerror", lambda number: MUSL.get(number, "No error information"))


def attempt(error: OSError) -> Attempt:
    return Attempt(number=1, address=ADDRESS, phase=Phase.HANDSHAKE, started=0.0, ended=2.0, error=error)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="they are glibc's words")
@pytest.mark.parametrize("name", sorted(_TEXTS))
def test_the_words_are_those_of_glibc(name: str) -> None:
    assert strerror(getattr(errno, name)) == os.strerror(getattr(errno, name))


def test_other_numbers_are_said_as_the_system_says_them() -> None:
    assert strerror(errno.EXDEV) == os.strerror(errno.EXDEV)


@pytest.mark.usefixtures("on_musl")
def test_errors_and_pictures_do_not_depend_on_the_c_library() -> None:
    error = all_failed("host", 443, [attempt(os_error(errno.EHOSTUNREACH, ADDRESS))])

    assert str(error) == "all attempts to connect to host:443 failed: 192.0.2.1 No route to host"
    assert error.strerror == error_text(OSError(errno.EHOSTUNREACH, MUSL[errno.EHOSTUNREACH])) == "No route to host"


@pytest.mark.usefixtures("on_musl")
@pytest.mark.parametrize("text", ["Operation timed out", "Connection timed out"])
def test_a_time_out_is_known_by_our_words_and_by_the_systems(text: str) -> None:
    assert str(attempt(OSError(errno.ETIMEDOUT, text))) == "192.0.2.1:443 no answer for 2000 ms"


def test_windows_has_numbers_of_its_own_for_sockets() -> None:
    """`errno.ECONNREFUSED` is 10061 there, and for EACCES there are two."""
    windows = SimpleNamespace(ECONNREFUSED=10061, EACCES=13, WSAEACCES=10013)

    assert texts_by_number(windows) == {
        10061: "Connection refused",
        13: "Permission denied",
        10013: "Permission denied",
    }


def test_a_resolvers_number_is_not_taken_for_another_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """On macOS EAI_NONAME is 8, which is also ENOEXEC: "Exec format error"."""
    monkeypatch.setattr(_errors, "RESOLVER_ERRORS", {8})
    error = ResolutionError("no results found for hostname lookup: host", host="host", port=80, errno=8)

    assert error.strerror == "no results found for hostname lookup: host"
    assert error_text(socket.gaierror(8, "nodename nor servname provided")) == "nodename nor servname provided"


def test_a_refusal_has_its_words() -> None:
    assert ConnectRefused("all refused", host="::1", port=80, errno=errno.ECONNREFUSED).strerror == "Connection refused"
