"""The program that makes mutants makes some, and its list of equivalents is about code that is there."""

from __future__ import annotations

import ast

import pytest

from .mutation.__main__ import CORE, equivalents, modules
from .mutation.mutants import PACKAGE, mutants_of, mutated


@pytest.mark.parametrize("path", ["_policy.py", "_race/race.py"])
def test_each_mutant_is_another_module(path: str) -> None:
    """One change each, and the text that is shown of it is that of the change."""
    original = ast.unparse(ast.parse((PACKAGE / path).read_text()))
    made = mutants_of(path)
    assert len(made) > 50
    for mutant in made[:: len(made) // 20]:
        text = ast.unparse(mutated(path, mutant.number))
        assert text != original
        assert compile(text, path, "exec")


def test_the_core_is_found() -> None:
    assert {"_race/race.py", "_connect/handshake.py", "_errors.py"} <= set(modules(()))
    assert modules(["_race"]) == [path for path in modules(CORE) if path.startswith("_race/")]


def test_equivalents_are_about_code_that_is_there() -> None:
    known = equivalents()
    keys = {mutant.key for path in {key.partition(" ")[0] for key in known} for mutant in mutants_of(path)}
    assert not known.keys() - keys
    assert all(known.values())
