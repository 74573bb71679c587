"""The reference: it is what the docstrings say, and has every public name."""

from __future__ import annotations

import re
import sys

import pytest

from . import reference
from .test_public_api import THINGS

PAGE = reference.REFERENCE.read_text("utf-8")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps its files elsewhere")
def test_it_is_written_from_the_docstrings() -> None:
    assert reference.reference() == PAGE, "write it anew: python -m tests.reference"


@pytest.mark.parametrize("name", sorted(THINGS))
def test_it_has_every_public_name(name: str) -> None:
    assert f"### `{name}`\n\n" in PAGE


def test_the_contents_lead_to_headings() -> None:
    headings = {reference._anchor(name) for name in re.findall(r"^#{3,4} `(.+)`$", PAGE, re.MULTILINE)}

    assert set(re.findall(r"\(#([\w-]+)\)", PAGE)) <= headings


def test_what_has_arguments_says_what_they_are() -> None:
    """Each has its words, with units; what is like another function's says so."""
    parameters = re.findall(r"^    (?!self)(\w+): .*,$", PAGE, re.MULTILINE)

    assert [name for name in set(parameters) if f"`{name}`: " not in PAGE] == []


def test_a_name_in_no_chapter_has_a_chapter_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference, "CHAPTERS", {})

    assert "open_tcp_stream" in reference.chapter_names()["More"]
