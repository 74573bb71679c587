"""Patching: functions of ours in the place of a package's, wherever a module has them, until that is taken back.

A module that says `from trio import open_tcp_stream` has a reference of its own, so all loaded modules are looked
through, once at the beginning and once at the end: a few milliseconds. What is imported in between is found at the end.

Patches may overlap in any way, as those of two tasks or threads do. Each function of ours knows which one it stands in
for and whether its patch is over; one whose patch is over only passes calls on, and is taken away as soon as it is on
top. One thread at a time looks through the modules.

Out of reach: what is not a module's attribute, such as a default argument, a class's attribute or a closure.
"""

from __future__ import annotations

import functools
import inspect
import os
import sys
import threading
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import contextmanager
from types import FunctionType, ModuleType
from typing import Any

Function = Callable[..., Any]

_MARK = "_trio_nbconnect_patch"
"""The attribute by which a function that stands in for another is known: its patch, and the other one."""

_looking = threading.RLock()
if hasattr(os, "register_at_fork"):  # another thread may look through the modules while this one forks
    os.register_at_fork(before=_looking.acquire, after_in_parent=_looking.release, after_in_child=_looking.release)


@contextmanager
def patched(package: ModuleType, homes: Mapping[str, str], ours: Mapping[str, Function]) -> Iterator[None]:
    """Put functions of ours in the place of a package's while a block lasts.

    Args:
        package: What exports them.
        homes: The module that defines each; it may not exist.
        ours: What to put in their place.
    """
    patch = Patch()
    for name, home in homes.items():
        for module in (package, sys.modules.get(home, package)):
            patch.put(ours[name], getattr(module, name))
    try:
        patch.start()
        yield
    finally:
        patch.stop()


class Patch:
    """Functions of ours, each with the function that it is to stand in for; from `start` to `stop`."""

    def __init__(self) -> None:
        self.is_over = False
        self._ours: dict[Function, Function] = {}
        self._odd: set[int] = set()
        self._stand_ins: dict[Function, Function] = {}

    def put(self, ours: Function, theirs: Function) -> None:
        """Have `ours` stand in for `theirs`, and for whatever stands in for that."""
        self._ours.setdefault(innermost(theirs), ours)
        self._odd.add(id(theirs))  # it may be no plain function, but a mock

    def start(self) -> None:
        """Put our functions in all modules."""
        with _looking:
            for module in list(sys.modules.values()):
                replace_in(module, self.begun, self._odd)

    def stop(self) -> None:
        """Put back what was there; whoever has kept a function of ours reaches what it stood in for."""
        with _looking:
            self.is_over = True
            for module in list(sys.modules.values()):
                replace_in(module, _without_what_is_over)

    def begun(self, before: Function) -> Function:
        """Return what is to be in the place of a function: if it is concerned, something that stands in for it."""
        ours = self._ours.get(innermost(before))
        if ours is None:
            return before
        if before not in self._stand_ins:
            self._stand_ins[before] = self._stand_in(before, ours)
        return self._stand_ins[before]

    def _stand_in(self, before: Function, ours: Function) -> Function:
        stand_in: Function
        if inspect.iscoroutinefunction(ours):

            @functools.wraps(ours)
            async def stand_in(*args: Any, **keywords: Any) -> Any:
                return await (before if self.is_over else ours)(*args, **keywords)

        else:

            @functools.wraps(ours)
            def stand_in(*args: Any, **keywords: Any) -> Any:
                return (before if self.is_over else ours)(*args, **keywords)

        vars(stand_in)[_MARK] = (self, before)
        return stand_in


def _mark(function: object) -> tuple[Patch, Function] | None:
    return getattr(function, "__dict__", {}).get(_MARK)


def innermost(function: Function) -> Function:
    """Return what is below all that stands in."""
    while (mark := _mark(function)) is not None:
        function = mark[1]
    return function


def _without_what_is_over(function: Function) -> Function:
    while (mark := _mark(function)) is not None and mark[0].is_over:
        function = mark[1]
    return function


def replace_in(module: object, replaced: Callable[[Function], Function], more: Container[int] = frozenset()) -> None:
    """Replace functions of a module; `more` has the ids of what is no plain function, a mock say, and counts too."""
    if not issubclass(type(module), ModuleType):  # not what only claims to be one, as cffi's libraries do
        return
    namespace = object.__getattribute__(module, "__dict__")  # `vars` would have a lazy module load itself
    for name, thing in list(namespace.items()):
        if type(thing) is FunctionType or id(thing) in more:
            other = replaced(thing)
            if other is not thing:
                namespace[name] = other
