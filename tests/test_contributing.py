"""What contributors are told is there: the commands of CONTRIBUTING.md, and the files that CI and releases read."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).parent.parent
CONTRIBUTING = (PROJECT / ".github" / "CONTRIBUTING.md").read_text("utf-8")
COMMANDS = sorted(set(re.findall(r"python -m (tests\.\w+)", CONTRIBUTING)))


@pytest.mark.parametrize("module", COMMANDS)
def test_a_command_that_contributors_are_told_of_is_there(module: str) -> None:
    found = importlib.util.find_spec(module)

    assert found is not None
    if found.submodule_search_locations:
        assert importlib.util.find_spec(f"{module}.__main__") is not None


def test_the_files_that_contributors_are_told_of_are_there() -> None:
    files = re.findall(r"`((?:trio_nbconnect|tests|\.ci)/[\w./]+)`", CONTRIBUTING)

    assert len(files) >= 4
    assert [file for file in files if not (PROJECT / file).exists()] == []


def test_a_release_must_have_the_version_of_its_tag() -> None:
    """The workflow reads it with a regular expression of its own."""
    source = (PROJECT / "trio_nbconnect" / "__init__.py").read_text("utf-8")

    assert re.findall(r'^__version__ = "(\d+\.\d+\.\d+)"$', source, re.MULTILINE)
