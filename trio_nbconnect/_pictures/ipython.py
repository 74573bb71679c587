"""IPython: the shell that this program is, if it is one. IPython is imported only where it is loaded already."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

EXTENSION = "_trio_nbconnect_extension"
"""The attribute of a shell that holds our extension while it is loaded."""


def display(thing: object, **options: Any) -> Any:
    """Call `IPython.display.display`."""
    from IPython.display import display as show  # noqa: PLC0415 - it needs an extra

    function: Callable[..., Any] = show
    return function(thing, **options)


def current_shell() -> Any:
    """Return the shell that this program is, or None."""
    if "IPython" not in sys.modules:
        return None
    from IPython import get_ipython  # noqa: PLC0415 - it is loaded

    current: Callable[[], Any] = get_ipython
    return current()


def kernel_is_here() -> bool:
    """Whether this program is a Jupyter kernel, so that `display` reaches a notebook."""
    return getattr(current_shell(), "kernel", None) is not None
