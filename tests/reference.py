"""The reference: every public name, written from its docstring.

`python -m tests.reference` writes `notebooks/reference.md`; a test compares it with the docstrings.
"""

from __future__ import annotations

import ast
import dataclasses
import enum
import importlib
import inspect
import itertools
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FunctionType
from typing import Any, Generic

import trio_nbconnect as nb
from trio_nbconnect._public import MODULES, NAMES

REFERENCE = Path(__file__).parent.parent / "notebooks" / "reference.md"

INTRODUCTION = """\
# Reference

Every public name, from the docstrings: `help(name)` shows the same. All times are seconds, as `float`, on Trio's clock;
"never" is `math.inf`. After `import trio_nbconnect as nb`, the modules load when they are first used: `nb.testing`.
"""

CHAPTERS = {
    "Opening connections": ("_functions", "_connector", "_policy", "_connect.options", "_address", "_race.calls"),
    "One connect": ("_connect.sockets", "_connect.handshake", "_connect.network"),
    "Errors": ("_errors", "_retry"),
    "Names and order": ("_resolve.query", "_resolve.system", "_resolve.history", "_resolve.nat64"),
    "Looking at races": (
        *("_pictures.recording", "_pictures.watch", "_pictures.explanation", "_pictures.check"),
        *("_pictures.summary", "_pictures.timeline", "_playground.widget"),
    ),
    "Other libraries": ("_adapters.for_trio",),
}
"""The names of the package itself, by the modules that have them; all others are in a chapter "More"."""

_LISTS = {"Args": "Arguments", "Attributes": "Attributes", "Raises": "Raises"}
_SECTION = re.compile(r"^(Args|Attributes|Raises|Returns|Yields|Example|Examples):$", re.MULTILINE)


@dataclass
class Entry:
    """One name, with what is said of it, and its methods."""

    name: str
    signature: str
    words: str
    kind: str = ""
    methods: list[Entry] = field(default_factory=list)


def reference() -> str:
    """Write the page."""
    chapters = {title: [entry(name, getattr(nb, name)) for name in names] for title, names in chapter_names().items()}
    words = dict.fromkeys(chapters, "")
    for name in MODULES:
        module = importlib.import_module(f"{nb.__name__}.{name}")
        title = f"trio_nbconnect.{name}"
        chapters[title] = [entry(f"{name}.{public}", getattr(module, public), module) for public in module.__all__]
        words[title] = inspect.cleandoc(module.__doc__ or "") + "\n"
    contents = [f"- **{title}**: {', '.join(map(_link, entries))}" for title, entries in chapters.items()]
    parts = [INTRODUCTION, "\n".join(contents) + "\n"]
    for title, entries in chapters.items():
        parts += [f"## {title}\n", *filter(None, [words[title]]), *(_text(item) for item in entries)]
    return "\n".join(parts)


def chapter_names() -> dict[str, list[str]]:
    """Sort the names of the package into chapters."""
    homes = [home for homes in CHAPTERS.values() for home in homes]
    more = [home for home in NAMES if home not in homes]
    chapters = {**CHAPTERS, **({"More": more} if more else {})}
    return {title: [name for home in homes for name in NAMES.get(home, ())] for title, homes in chapters.items()}


def entry(name: str, thing: Any, module: Any = None) -> Entry:
    """Collect what is said of one name."""
    if inspect.isclass(thing) and thing.__module__.startswith(nb.__name__):
        methods = [entry(f"{name}.{own}", member) for own, member in _methods(thing)]
        bases = [
            _type_text(base) for base in thing.__bases__ if base not in (object, Generic) and not _is_private(base)
        ]
        is_made_by_callers = dataclasses.is_dataclass(thing) or "Args:" in _doc(thing)
        signature = _signature(thing) if is_made_by_callers else ""
        return Entry(name, signature, _doc(thing), _kind(thing, bases), methods)
    if isinstance(thing, property):
        return Entry(name, "", _doc(thing), "property")
    if isinstance(thing, FunctionType):
        prefix = "async " if inspect.iscoroutinefunction(thing) else ""
        return Entry(name, _signature(thing), _doc(thing), prefix)
    return Entry(name, "", _words_of_alias(name.rpartition(".")[2], module), "type")


def _methods(kind: type) -> Iterator[tuple[str, Any]]:
    """Find the public methods and properties that a class defines, or a private base of it, in order."""
    own = [base for base in kind.__mro__ if base is kind or _is_private(base)]
    members = {name: member for base in reversed(own) for name, member in vars(base).items()}
    for name, member in members.items():
        function = getattr(member, "__func__", member)
        if not name.startswith("_") and isinstance(function, FunctionType | property) and _doc(function):
            yield name, function


def _is_private(kind: type) -> bool:
    return kind.__module__.startswith(nb.__name__) and kind.__name__.startswith("_")


def _kind(kind: type, bases: Iterable[str]) -> str:
    shown = [base for base in bases if base not in ("Protocol", "Enum")]
    what = "protocol" if getattr(kind, "_is_protocol", False) else "enum" if issubclass(kind, enum.Enum) else "class"
    return f"{what}, also a {' and a '.join(f'`{base}`' for base in shown)}" if shown else what


def _doc(thing: Any) -> str:
    return inspect.cleandoc(thing.__doc__ or "")


def _signature(thing: Any) -> str:
    """Write a signature as its source has it."""
    try:
        signature = inspect.signature(thing)
    except ValueError:  # an exception has none of its own
        return ""
    parameters, stars = [], False
    for parameter in signature.parameters.values():
        if parameter.name in ("self", "cls", "_"):
            continue
        stars |= parameter.kind is parameter.VAR_POSITIONAL
        if parameter.kind is parameter.KEYWORD_ONLY and not stars:
            parameters.append("*")
            stars = True
        text = _STARS.get(parameter.kind, "") + parameter.name
        if parameter.annotation is not parameter.empty:
            text += f": {_type_text(parameter.annotation)}"
        if parameter.default is not parameter.empty:
            text += f" = {_value_text(parameter.default)}"
        parameters.append(text)
    result = "" if signature.return_annotation in (signature.empty, None, "None") else signature.return_annotation
    arrow = f" -> {_type_text(result)}" if result and not inspect.isclass(thing) else ""
    one_line = f"({', '.join(parameters)}){arrow}"
    return one_line if len(one_line) < 80 else "(\n    " + ",\n    ".join(parameters) + f",\n){arrow}"


_STARS: dict[object, str] = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}


def _type_text(annotation: Any) -> str:
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    return re.sub(r"\b(?:[a-z_]\w*\.)+(?=[A-Z])", "", text)


def _value_text(value: Any) -> str:
    if value == math.inf:
        return "math.inf"
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, tuple) and value and isinstance(value[0], enum.Enum):
        return f"({', '.join(item.name for item in value)})"
    return "..." if repr(value).startswith("<") or len(repr(value)) > 60 else repr(value)


def _words_of_alias(name: str, module: Any) -> str:
    """Find an alias of a type in its source, and the text below it."""
    home = next((home for home, names in NAMES.items() if name in names), None)
    source = inspect.getsource(importlib.import_module(f"{nb.__name__}.{home}") if home else module)
    for statement, following in itertools.pairwise(ast.parse(source).body):
        if isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value is not None:
            target = statement.targets[0] if isinstance(statement, ast.Assign) else statement.target
            if isinstance(target, ast.Name) and target.id == name:
                words = following.value if isinstance(following, ast.Expr) else None
                text = inspect.cleandoc(str(words.value)) if isinstance(words, ast.Constant) else ""
                return f"{text}\n\n`{ast.unparse(statement.value)}`\n"
    return ""


def _link(item: Entry) -> str:
    return f"[`{item.name}`](#{_anchor(item.name)})"


def _anchor(name: str) -> str:
    return re.sub(r"[^\w-]", "", name.lower())


def _text(item: Entry, level: int = 3) -> str:
    """Write one name in Markdown."""
    lines = [f"{'#' * level} `{item.name}`\n"]
    if item.kind not in ("", "class", "async "):
        lines.append(f"*{item.kind}*\n")
    if item.signature:
        prefix = "await " if item.kind == "async " else ""
        lines.append(f"```python\n{prefix}{item.name.rpartition('.')[2]}{item.signature}\n```\n")
    lines += [_markdown(item.words), *(_text(method, level + 1) for method in item.methods)]
    return "\n".join(filter(None, lines))


def _markdown(words: str) -> str:
    """Turn the sections of a docstring into lists and code."""
    first, *sections = _SECTION.split(words)
    first = re.sub(r"^>>> .*(?:\n.+)*", lambda found: f"```pycon\n{found[0]}\n```", first.strip(), flags=re.MULTILINE)
    parts = [f"{first}\n"] if first else []
    for title, body in zip(sections[::2], sections[1::2], strict=True):
        text = inspect.cleandoc("\n" + body).strip()
        if title in _LISTS:
            parts.append(f"**{_LISTS[title]}**\n\n{_list(text)}\n")
        elif title in ("Example", "Examples"):
            parts.append(f"```pycon\n{text}\n```\n")
        else:
            parts.append(f"**{title}**: {text}\n")
    return "\n".join(parts)


def _list(text: str) -> str:
    """Write `name: what it is`, with lines that go on further in, as a list."""
    items: list[str] = []
    for line in text.splitlines():
        if not line.startswith(" ") and (found := re.match(r"(\**[\w.]+): (.*)", line)):
            items.append(f"- `{found[1]}`: {found[2]}")
        elif items:
            items[-1] += "\n" + (f"  {line.strip()}" if line.strip() else "")
    return "\n".join(items)


if __name__ == "__main__":
    REFERENCE.write_text(reference(), "utf-8")
