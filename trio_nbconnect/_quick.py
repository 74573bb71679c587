"""Quick: data that is made often (addresses, answers, events) at half the cost, and dataclasses that load fast.

The problem: a frozen dataclass writes each of its attributes through `object.__setattr__`, by name. Five of them cost
10,000 instructions, which is a twentieth of a whole connect, and a race makes several such objects. And each dataclass
has six methods written and compiled as text when it is imported, 0.6 ms; two dozen of them were half of the time that
a program waited for its first connect.

How we solve it: `quick` is `dataclass` with slots. The standard library's works out the fields; of the methods, only
`__init__` is compiled, and it calls the setters of a frozen class's slots, which is twice as fast (measured on 3.13).
The others, `__eq__` say, are closures over the names of the fields, and slower; no race compares often. To everybody
else it is the same dataclass. A class that declares `_made` is also given that: it takes all values in their order,
also those of keyword-only fields; names cost as much again, and an event is told with the same facts in the same order
each time.

What lives here: that one decorator. What does not: data that no plain connect loads, and which is made rarely, needs
none of this. Type checkers are told that it is `dataclass`, and know what follows.
"""

from __future__ import annotations

import sys
from dataclasses import MISSING, Field, FrozenInstanceError, dataclass, fields
from operator import attrgetter
from reprlib import recursive_repr
from typing import TYPE_CHECKING, Any

__all__ = ["quick"]

if TYPE_CHECKING:
    from dataclasses import dataclass as quick
else:

    def quick(*, slots, frozen=False, eq=True, kw_only=False):
        """Make a dataclass; what its `__init__` takes has plain values as defaults, and no factories.

        All fields that are compared are hashed; a class that wants another hash writes it.

        Example:
            >>> @quick(frozen=True, slots=True)
            ... class Pair:
            ...     first: int
            ...     second: int = 2
            >>> Pair(1), Pair(3, second=4)
            (Pair(first=1, second=2), Pair(first=3, second=4))
        """
        assert eq is frozen, "frozen data is compared by value, other by identity"

        def decorate(kind):
            base = getattr(kind, "__dataclass_params__", None)
            if base is not None:
                base.frozen = False  # for now: to whoever inherits from frozen data the library gives two methods
            kind = dataclass(kind, init=False, repr=False, eq=False, slots=slots, kw_only=kw_only)
            if base is not None:
                base.frozen = True
            params = kind.__dataclass_params__  # undocumented, and what the library asks when somebody inherits
            params.init, params.repr, params.eq, params.frozen = True, True, eq, frozen
            methods = _makers(kind, frozen) | {"__repr__": _shown(kind)} | (_value_methods(kind) if frozen else {})
            for name, method in methods.items():
                if name not in kind.__dict__:  # what a class defines itself stays
                    method.__name__, method.__qualname__ = name, f"{kind.__qualname__}.{name}"
                    setattr(kind, name, method)
            return kind

        return decorate


def _makers(kind: Any, frozen: bool) -> dict[str, Any]:
    """Compile `__init__`, and `_made` where it is declared."""
    names = {**vars(sys.modules[kind.__module__]), "_kind": kind, "_new": object.__new__}  # annotations are found here
    parameters: dict[bool, list[str]] = {False: [], True: []}
    lines = []
    for field in fields(kind):
        value = _default(field, names)
        if field.init:
            parameters[bool(field.kw_only)].append(f"{field.name}={value}" if value else field.name)
            value = field.name
        if value and frozen:
            names[f"_set_{field.name}"] = getattr(kind, field.name).__set__
            lines.append(f" _set_{field.name}(self, {value})\n")
        elif value:
            lines.append(f" self.{field.name} = {value}\n")
    if hasattr(kind, "__post_init__"):
        lines.append(" self.__post_init__()\n")
    positional, named = parameters[False], parameters[True]
    signature = ", ".join(["self", *positional, *(["*", *named] if named else [])])
    init = f"def __init__({signature}):\n{''.join(lines)}"
    made = f"def _made({', '.join(positional + named)}):\n self = _new(_kind)\n{''.join(lines)} return self\n"
    is_told = hasattr(kind, "_made")
    exec(init + made if is_told else init, names)
    taken = {field.name: field.type for field in fields(kind) if field.init}
    names["__init__"].__annotations__ = {**taken, "return": None}
    methods = {"__init__": names["__init__"]}
    return methods | {"_made": staticmethod(names["_made"])} if is_told else methods


def _default(field: Field[Any], names: dict[str, Any]) -> str:
    """Write what a field is if nobody says: its default, what its factory makes, or nothing."""
    if field.default_factory is not MISSING:
        assert not field.init, f"{field.name} would be made once and for all"
        names[f"_make_{field.name}"] = field.default_factory
        return f"_make_{field.name}()"
    names[f"_default_{field.name}"] = field.default
    return "" if field.default is MISSING else f"_default_{field.name}"


def _shown(kind: Any) -> Any:
    names = [field.name for field in fields(kind) if field.repr]

    @recursive_repr()
    def shown(self: Any) -> str:
        return f"{type(self).__qualname__}({', '.join([f'{name}={getattr(self, name)!r}' for name in names])})"

    return shown


def _value_methods(kind: Any) -> dict[str, Any]:
    """What makes frozen data a value: compared, hashed and pickled by its fields, which nobody changes."""
    names = tuple(field.name for field in fields(kind))
    values = attrgetter(*(field.name for field in fields(kind) if field.compare))

    def equals(self: Any, other: object) -> Any:
        return values(self) == values(other) if type(other) is type(self) else NotImplemented

    def hashed(self: Any) -> int:
        return hash(values(self))

    def refuse_to_set(self: Any, name: str, value: object) -> None:
        if type(self) is kind or name in names:
            raise FrozenInstanceError(f"cannot assign to field {name!r}")
        super(kind, self).__setattr__(name, value)

    def refuse_to_delete(self: Any, name: str) -> None:
        if type(self) is kind or name in names:
            raise FrozenInstanceError(f"cannot delete field {name!r}")
        super(kind, self).__delattr__(name)

    def get_state(self: Any) -> list[Any]:
        return [getattr(self, field.name) for field in fields(self)]

    def set_state(self: Any, state: list[Any]) -> None:
        for field, value in zip(fields(self), state, strict=True):
            object.__setattr__(self, field.name, value)

    return {
        "__eq__": equals,
        "__hash__": hashed,
        "__setattr__": refuse_to_set,
        "__delattr__": refuse_to_delete,
        "__getstate__": get_state,
        "__setstate__": set_state,
    }
