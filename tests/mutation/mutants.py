"""Mutants: every small change of a module that is worth trying."""

from __future__ import annotations

import ast
import copy
from collections.abc import Mapping
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


class _Mutator(ast.NodeVisitor):
    """Walk over what is executed, and offer every change; the one that is wanted is made."""

    def __init__(self, path: str, wanted: int | None = None) -> None:
        self.path = path
        self.wanted = wanted
        self.mutants: list[Mutant] = []
        self._place: list[str] = []

    def visit(self, node: ast.AST) -> None:
        """Offer the changes of a node, and go on below."""
        if isinstance(node, ast.stmt) and _is_skipped(node):
            return
        named = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
        if named:
            self._place.append(node.name)  # type: ignore[attr-defined]  # these three have one
        self._offer_changes(node)
        for block in (getattr(node, name, None) for name in ("body", "orelse", "finalbody")):
            if isinstance(block, list):
                self._offer_removals(block)
        for name, value in ast.iter_fields(node):
            if name in ("annotation", "returns", "type_params", "decorator_list"):
                continue
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
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
        elif isinstance(node, (ast.If, ast.While, ast.IfExp)):
            self._offer(node, _negate, shown="test")
        elif isinstance(node, ast.Return) and node.value is not None and not _is_none(node.value):
            self._offer(node, lambda made: setattr(made, "value", ast.Constant(None)))
        elif isinstance(node, ast.Call):
            for index in (index for index, keyword in enumerate(node.keywords) if keyword.arg is not None):
                self._offer(node, partial(_drop_keyword, index=index))

    def _offer_constant(self, node: ast.Constant) -> None:
        value = node.value
        if isinstance(value, bool):
            self._offer(node, lambda made: setattr(made, "value", not value))
        elif isinstance(value, (int, float)):
            self._offer(node, lambda made: setattr(made, "value", value + 1))
        elif isinstance(value, str) and value:
            self._offer(node, lambda made: setattr(made, "value", f"X{value}"))

    def _offer_removals(self, block: list[ast.stmt]) -> None:
        """Leave a statement out: a call, a wait, an assignment to an attribute, a raise, a way out of a loop."""
        for index, statement in enumerate(block):
            is_call = isinstance(statement, ast.Expr) and isinstance(statement.value, (ast.Call, ast.Await))
            is_set = isinstance(statement, (ast.Assign, ast.AugAssign)) and not _is_name(statement)
            if is_call or is_set or isinstance(statement, (ast.Raise, ast.Break, ast.Continue, ast.Delete)):
                if _is_skipped(statement):
                    continue
                self._note(
                    statement, ast.unparse(statement), "pass", lambda index=index: block.__setitem__(index, ast.Pass())
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


def _set_operator(node: Any, *, index: int | None, new: type[ast.AST]) -> None:
    if index is None:
        node.op = new()
    else:
        node.ops[index] = new()


def _negate(node: Any) -> None:
    node.test = ast.UnaryOp(ast.Not(), node.test)


def _drop_keyword(node: Any, *, index: int) -> None:
    del node.keywords[index]


def _is_skipped(statement: ast.stmt) -> bool:
    """Whether a statement says nothing at run time, or nothing that could be otherwise."""
    if isinstance(statement, (ast.Import, ast.ImportFrom, ast.Assert)):
        return True
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
        return True
    if isinstance(statement, ast.If) and "TYPE_CHECKING" in ast.unparse(statement.test):
        return True
    if isinstance(statement, (ast.Assign, ast.AnnAssign)):
        text = ast.unparse(statement.targets[0] if isinstance(statement, ast.Assign) else statement.target)
        return text in ("__all__", "__slots__") or "TypeAlias" in ast.unparse(statement)
    return False


def _is_name(statement: ast.Assign | ast.AugAssign) -> bool:
    targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
    return isinstance(statement, ast.Assign) and any(isinstance(target, ast.Name) for target in targets)


def _is_none(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, (str, bytes))


def mutants_of(path: str) -> list[Mutant]:
    """Every mutant of a module, but those of lines that are excused from coverage."""
    text = (PACKAGE / path).read_text()
    lines = text.splitlines()
    mutator = _Mutator(path)
    mutator.visit(ast.parse(text))
    return [mutant for mutant in mutator.mutants if "pragma: no cover" not in lines[mutant.line - 1]]


def mutated(path: str, number: int) -> ast.Module:
    """The tree of a module with one change made."""
    tree = ast.parse((PACKAGE / path).read_text())
    _Mutator(path, wanted=number).visit(tree)
    return ast.fix_missing_locations(tree)
