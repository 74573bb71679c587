"""Mutants: every small change of a module that is worth trying."""

from __future__ import annotations

import ast
import builtins
import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).parent.parent.parent / "trio_nbconnect"


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """One small change."""

    path: str
    line: int
    place: str
    """The function that it is in."""
    before: str
    after: str
    number: int
    """Which of the module's mutants it is."""

    @property
    def key(self) -> str:
        """What it is known by where lines move."""
        return f"{self.path} {self.place}: {self.before}  ->  {self.after}"


_SWAPS: Mapping[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.BitOr: ast.BitAnd, ast.BitAnd: ast.BitOr, ast.Mod: ast.Mult, ast.LShift: ast.RShift, ast.RShift: ast.LShift,
}  # fmt: skip

_MISTAKEN = {
    one: other
    for pair in (
        "min max", "any all", "lower upper", "lstrip rstrip", "removeprefix removesuffix", "find rfind",
        "partition rpartition", "startswith endswith", "append extend", "pop clear",
    )
    for one, other in (pair.split(), reversed(pair.split()))
}  # fmt: skip
"""Functions and methods that are easily taken for one another."""


class _Mutator(ast.NodeVisitor):
    """Walk over what is executed, and offer every change; the one that is wanted is made."""

    def __init__(self, path: str, text: str, wanted: int | None = None) -> None:
        self.path = path
        self.lines = text.splitlines()
        self.wanted = wanted
        self.mutants: list[Mutant] = []
        self._place: list[str] = []

    def visit(self, node: ast.AST) -> None:
        """Offer the changes of a node, and go on below."""
        if isinstance(node, ast.stmt) and self._is_skipped(node):
            return
        named = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
        if named:
            self._place.append(node.name)  # type: ignore[attr-defined]  # these three have one
        self._offer_changes(node)
        for block in (getattr(node, name, None) for name in ("body", "orelse", "finalbody")):
            if isinstance(block, list):
                self._offer_removals(block)
        for name, value in ast.iter_fields(node):
            if name in ("annotation", "returns", "type_params"):
                continue
            for index, child in enumerate([*value]) if isinstance(value, list) else [(None, value)]:
                if isinstance(child, ast.AST):
                    self._offer_others(node, name, index, child)
                    self.visit(child)
        if named:
            self._place.pop()

    def _offer_changes(self, node: ast.AST) -> None:
        if isinstance(node, ast.Compare):
            for index, operator in enumerate(node.ops):
                self._offer(node, partial(_set_operator, index=index, new=_SWAPS[type(operator)]))
        elif isinstance(node, (ast.BoolOp, ast.BinOp, ast.AugAssign)) and type(node.op) in _SWAPS:
            if not (isinstance(node.op, ast.Mod) and _is_text(getattr(node, "left", node))):
                self._offer(node, partial(_set_operator, index=None, new=_SWAPS[type(node.op)]))
        elif isinstance(node, ast.Constant):
            self._offer_constant(node)
        else:
            self._offer_other_words_and_tests(node)

    def _offer_other_words_and_tests(self, node: ast.AST) -> None:
        if isinstance(node, (ast.Name, ast.Attribute)):
            field = "id" if isinstance(node, ast.Name) else "attr"
            if (other := _MISTAKEN.get(getattr(node, field))) is not None:
                self._offer(node, lambda made: setattr(made, field, other))
        elif isinstance(node, (ast.If, ast.While, ast.IfExp)):
            if not _is_swapped_to_its_opposite(node.test):
                self._offer(node, _negate, shown="test")
        elif isinstance(node, ast.Return) and not _is_nothing(node.value):
            self._offer(node, lambda made: setattr(made, "value", ast.Constant(None)))
        elif isinstance(node, ast.Call):
            for index, keyword in enumerate(node.keywords):
                if keyword.arg is not None and not _is_nothing(keyword.value):  # which is what most of them default to
                    self._offer(node, partial(_drop_keyword, index=index))

    def _offer_constant(self, node: ast.Constant) -> None:
        value = node.value
        if isinstance(value, bool):
            self._offer(node, lambda made: setattr(made, "value", not value))
        elif isinstance(value, (int, float)):
            self._offer(node, lambda made: setattr(made, "value", value + 1))
            self._offer(node, lambda made: setattr(made, "value", value - 1))
        elif isinstance(value, str) and value:
            self._offer(node, lambda made: setattr(made, "value", f"X{value}"))

    def _offer_others(self, parent: ast.AST, name: str, index: int | None, child: ast.AST) -> None:
        """Offer what may stand in the place of a node."""
        if isinstance(child, ast.stmt) and self._is_skipped(child):
            return
        for other in _others(parent, name, child):
            change = partial(_put, name=name, index=index, other=other and ast.copy_location(other, child))
            if isinstance(parent, (ast.Call, ast.Assign, ast.AnnAssign, ast.Raise)):
                self._offer(parent, change)
            else:
                self._note(child, ast.unparse(child), ast.unparse(other or ast.Pass()), partial(change, parent))

    def _offer_removals(self, block: list[ast.stmt]) -> None:
        """Leave a statement out: a call, a wait, an assignment to an attribute, a raise, a way out of a loop."""
        for index, statement in enumerate(block):
            is_call = isinstance(statement, ast.Expr) and isinstance(statement.value, (ast.Call, ast.Await))
            is_set = isinstance(statement, (ast.Assign, ast.AugAssign)) and not _is_name(statement)
            if is_call or is_set or isinstance(statement, (ast.Raise, ast.Break, ast.Continue, ast.Delete)):
                if self._is_skipped(statement):
                    continue
                nothing = ast.copy_location(ast.Pass(), statement)
                self._note(
                    statement,
                    ast.unparse(statement),
                    "pass",
                    lambda index=index, nothing=nothing: block.__setitem__(index, nothing),
                )

    def _offer(self, node: Any, change: Any, shown: str = "") -> None:
        """Offer a change of a node, which is shown before and after."""
        changed = copy.deepcopy(node)
        change(changed)
        before, after = (getattr(one, shown) if shown else one for one in (node, changed))
        self._note(node, ast.unparse(before), ast.unparse(after), lambda: change(node))

    def _note(self, node: Any, before: str, after: str, change: Any) -> None:
        number = len(self.mutants)
        place = ".".join(self._place) or "module"
        before, after = (" ".join(text.split()) for text in (before, after))
        self.mutants.append(
            Mutant(path=self.path, line=node.lineno, place=place, before=before, after=after, number=number)
        )
        if number == self.wanted:
            change()

    def _is_skipped(self, statement: ast.stmt) -> bool:
        """Whether a statement, and what is in it, says nothing at run time, or is excused from coverage."""
        return _says_nothing(statement) or "pragma: no cover" in self.lines[statement.lineno - 1]


def _set_operator(node: Any, *, index: int | None, new: type[ast.AST]) -> None:
    if index is None:
        node.op = new()
    else:
        node.ops[index] = new()


def _negate(node: Any) -> None:
    node.test = ast.UnaryOp(ast.Not(), node.test)


def _drop_keyword(node: Any, *, index: int) -> None:
    del node.keywords[index]


def _others(parent: ast.AST, name: str, child: ast.AST) -> Iterator[ast.AST | None]:
    """What may stand in the place of a node, which is in a field of its parent; None for nothing at all."""
    if name == "decorator_list":
        yield None
    elif name == "type" and isinstance(parent, ast.ExceptHandler):
        kinds = child.elts if isinstance(child, ast.Tuple) and len(child.elts) > 1 else []
        for left in [], *([each for each in kinds if each is not one] for one in kinds):
            yield ast.Tuple(left, ast.Load())
    elif name == "iter":
        yield ast.Tuple([], ast.Load())
    elif name == "exc" and isinstance(child, ast.Call) and ast.unparse(child.func) != "Exception":
        yield ast.Call(ast.Name("Exception", ast.Load()), child.args, [])
    elif not _is_nothing(child) and (
        (name == "args" and isinstance(parent, ast.Call) and _may_take_none(parent, child))
        or (name == "value" and isinstance(parent, (ast.Assign, ast.AnnAssign)))
        or (name == "body" and isinstance(parent, ast.Lambda))
    ):
        yield ast.Constant(None)
    yield from _parts(child, is_test=name == "test")


def _parts(node: ast.AST, *, is_test: bool) -> Iterator[ast.AST]:
    """What is left of a node without an operand, a sign or an operator; the other way out of a loop."""
    if isinstance(node, ast.BoolOp):
        for index in range(len(node.values)):
            left = [*node.values[:index], *node.values[index + 1 :]]
            yield ast.BoolOp(node.op, left) if len(left) > 1 else left[0]
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.Not, ast.USub)) and not is_test:
        yield node.operand
    elif isinstance(node, (ast.Break, ast.Continue)):
        yield ast.Continue() if isinstance(node, ast.Break) else ast.Break()
    elif isinstance(node, ast.AugAssign):
        yield ast.Assign([node.target], node.value)


def _may_take_none(call: ast.Call, argument: ast.AST) -> bool:
    """What is built in mostly refuses None at once, which is no mutant worth its time."""
    return not isinstance(argument, ast.Starred) and not hasattr(builtins, ast.unparse(call.func))


def _is_swapped_to_its_opposite(test: ast.AST) -> bool:
    opposites = (ast.Eq, ast.NotEq, ast.Is, ast.IsNot, ast.In, ast.NotIn)
    return isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], opposites)


def _put(parent: ast.AST, *, name: str, index: int | None, other: ast.AST | None) -> None:
    """Put a node into a field; nothing for None."""
    if index is None:
        setattr(parent, name, other)
    else:
        getattr(parent, name)[index : index + 1] = [] if other is None else [other]


def _says_nothing(statement: ast.stmt) -> bool:
    """Whether a statement says nothing at run time, or nothing that could be otherwise."""
    if isinstance(statement, (ast.Import, ast.ImportFrom, ast.Assert)):
        return True
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
        return True
    if isinstance(statement, ast.If) and "TYPE_CHECKING" in ast.unparse(statement.test):
        return True
    if isinstance(statement, (ast.Assign, ast.AnnAssign)):
        text = ast.unparse(statement.targets[0] if isinstance(statement, ast.Assign) else statement.target)
        return text in ("__all__", "__slots__") or any(
            word in ast.unparse(statement) for word in ("TypeAlias", "TypeVar")
        )
    return False


def _is_name(statement: ast.Assign | ast.AugAssign) -> bool:
    targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
    return isinstance(statement, ast.Assign) and any(isinstance(target, ast.Name) for target in targets)


def _is_nothing(node: ast.AST | None) -> bool:
    """Whether a value is None, or like it; True in place of False is another change."""
    return node is None or (isinstance(node, ast.Constant) and node.value in (None, False))


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, (str, bytes))


def mutants_of(path: str) -> list[Mutant]:
    """Every mutant of a module."""
    text = (PACKAGE / path).read_text()
    mutator = _Mutator(path, text)
    mutator.visit(ast.parse(text))
    return mutator.mutants


def mutated(path: str, number: int) -> ast.Module:
    """The tree of a module with one change made."""
    text = (PACKAGE / path).read_text()
    tree = ast.parse(text)
    _Mutator(path, text, wanted=number).visit(tree)
    return ast.fix_missing_locations(tree)
