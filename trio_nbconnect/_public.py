"""Public homes: classes and functions name the module that users import them from.

Implementations are in private packages, and tracebacks, logs and pickles would name those: places that may move, and
that nobody can look up. So each public module, which only imports what it offers, hands its name to `publish`.

A class's annotations are strings, read in the module that the class names. They are read before that changes, or
`typing.get_type_hints` would look for the names of one module in another. Methods follow, so that doctest finds their
examples.
"""

from __future__ import annotations

import sys
from types import FunctionType
from typing import get_type_hints


def publish(home: str) -> None:
    """Let everything in a module's `__all__` that comes from a private module name this one.

    Example:
        >>> from trio_nbconnect.testing import SimulatedNetwork
        >>> SimulatedNetwork
        <class 'trio_nbconnect.testing.SimulatedNetwork'>
    """
    namespace = vars(sys.modules[home])
    for name in namespace["__all__"]:
        thing = namespace[name]
        if "._" in thing.__module__:
            if isinstance(thing, type):
                _read_annotations(thing)
                for method in vars(thing).values():
                    if isinstance(method, FunctionType) and method.__module__ == thing.__module__:
                        method.__module__ = home
            thing.__module__ = home


def _read_annotations(kind: type) -> None:
    """Put types in the place of a class's own annotations."""
    own = vars(kind).get("__annotations__", {})
    if own:
        hints = get_type_hints(kind, include_extras=True)
        kind.__annotations__ = {name: hints[name] for name in own}
