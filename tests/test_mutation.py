"""The program that makes mutants makes some, and its list of equivalents is about code that is there."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from .mutation.__main__ import CORE, equivalents, modules
from .mutation.children import functions_that_differ
from .mutation.executed import Executed
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


def test_what_is_changed(tmp_path: Path) -> None:
    """What the usual tools change: operators, constants, defaults, decorators, handlers, ways out of loops."""
    module = tmp_path / "module.py"
    module.write_text(
        "@cached\ndef f(a=-1):\n for b in a:\n  try: break\n  except OSError: raise KeyError(b)\n"
        " if not a and b < 2: return min(a)\n"
    )
    made = {(mutant.before, mutant.after) for mutant in mutants_of(str(module))}
    assert made >= {
        ("cached", "pass"), ("-1", "1"), ("1", "2"), ("1", "0"), ("a", "()"), ("break", "continue"), ("break", "pass"),
        ("OSError", "()"), ("raise KeyError(b)", "raise Exception(b)"), ("not a and b < 2", "b < 2"),
        ("not a and b < 2", "not a or b < 2"), ("not a", "a"), ("b < 2", "b <= 2"), ("min", "max"),
        ("return min(a)", "return None"),
    }  # fmt: skip


def test_a_change_beside_a_function_does_not_change_it() -> None:
    """Nor does that the parser puts the parts of an f-string elsewhere."""
    text = (PACKAGE / "_connect/policy_table.py").read_text()
    before = compile(ast.parse(text), "file", "exec")
    for mutant in mutants_of("_connect/policy_table.py"):
        if mutant.place == "module" and mutant.before == "30":
            after = compile(mutated(mutant.path, mutant.number), "file", "exec")
            assert not list(functions_that_differ(before, after))
    after = compile(text.replace("number >> 120", "number >> 121"), "file", "exec")
    assert [old.co_name for old, _ in functions_that_differ(before, after)] == ["scope_of"]


def test_who_is_asked_first() -> None:
    """The tests of the module's own files all, then others that execute little beside the line, while there is time."""
    made = mutants_of("_race/race.py")[0]
    own, narrow, broad, slow = "test_race.py::a", "test_x.py::narrow", "test_x.py::broad", "test_x.py::slow"
    lines = {made.path: {made.line: [broad, slow, narrow, own], made.line + 1: [broad, slow], made.line + 2: [slow]}}
    executed = Executed(lines, {own: 50.0, narrow: 2.0, broad: 1.0, slow: 3.0})
    assert executed.stages(made, 4.0) == ([own], [narrow, broad])


def test_the_core_is_found() -> None:
    assert {"_race/race.py", "_connect/handshake.py", "_errors.py"} <= set(modules(()))
    assert modules(["_race"]) == [path for path in modules(CORE) if path.startswith("_race/")]


def test_equivalents_are_about_code_that_is_there() -> None:
    known = equivalents()
    keys = {mutant.key for path in {key.partition(" ")[0] for key in known} for mutant in mutants_of(path)}
    assert not known.keys() - keys
    assert all(known.values())
