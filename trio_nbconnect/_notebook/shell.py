"""Shell: what we use of IPython, all in one place.

The problem: there is no public way to say how a shell awaits a cell, or what it shows of an exception. So we stand in
the place of two methods, and call a few more that are not documented everywhere. `Shell` names them all;
`tests/test_notebook_shell.py` holds each version of IPython against it, and tells what has changed.

What lives here: names and types. IPython is imported when it is there anyway: this module needs no extra.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Protocol

EXTENSION = "_trio_nbconnect_extension"
"""The attribute of a shell that holds our extension while it is loaded."""


class Result(Protocol):
    """What a cell has come to."""

    error_in_exec: BaseException | None


class Events(Protocol):
    """What a shell tells of itself."""

    def register(self, event: str, function: Callable[..., object]) -> None: ...

    def unregister(self, event: str, function: Callable[..., object]) -> None: ...


class Kernel(Protocol):
    """The kernel around a shell."""

    shell_handlers: dict[str, Callable[..., Awaitable[None]]]
    """For each type of message what handles it; ours stands in the place of that of `execute_request`."""


class Shell(Protocol):
    """An `InteractiveShell`; on a terminal it has no kernel."""

    kernel: Kernel

    run_code: Callable[..., Awaitable[bool]]
    """Ours stands in its place: `(code, result=None, *, async_=False)`, for each piece of a cell."""

    showtraceback: Callable[..., object]
    """Ours stands in its place: `(exc_tuple=None, filename=None, tb_offset=None, exception_only=False, ...)`."""

    user_ns: dict[str, Any]
    user_global_ns: dict[str, Any]
    custom_exceptions: tuple[type[BaseException], ...]
    call_pdb: bool
    autoawait: bool
    loop_runner: Any
    events: Events

    def push(self, variables: dict[str, object], interactive: bool = True) -> None: ...

    def drop_by_id(self, variables: dict[str, object]) -> None: ...

    def debugger(self, force: bool = False) -> None: ...

    def CustomTB(  # noqa: N802 - its name
        self, kind: type[BaseException], error: BaseException, trace: TracebackType | None, /
    ) -> object: ...

    def _get_exc_info(
        self, exc_tuple: object = None
    ) -> tuple[type[BaseException], BaseException, TracebackType | None]: ...

    def _showtraceback(self, kind: type[BaseException], error: BaseException, lines: list[str], /) -> None: ...


def display(thing: object, **options: Any) -> Any:
    """Be `IPython.display.display`."""
    from IPython.display import display as show  # noqa: PLC0415 - it needs an extra

    function: Callable[..., Any] = show
    return function(thing, **options)


def current_shell() -> Any:
    """Return the shell that this program is, or None."""
    if "IPython" not in sys.modules:
        return None
    from IPython import get_ipython  # noqa: PLC0415 - it is there

    current: Callable[[], Any] = get_ipython
    return current()


def kernel_is_here() -> bool:
    """Whether this program is a Jupyter kernel, so that `display` reaches a notebook."""
    return getattr(current_shell(), "kernel", None) is not None
