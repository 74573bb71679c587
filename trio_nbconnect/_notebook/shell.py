"""Shell: what we use of IPython, all in one place.

There is no public way to say how a shell awaits a cell, or what it shows of an exception. So we stand in the place of
a few methods, and call others that are not documented everywhere. `Shell` names them all; a test compares it with
IPython.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from types import TracebackType
from typing import Any, Protocol


class Result(Protocol):
    """The result of a cell."""

    error_in_exec: BaseException | None


class Events(Protocol):
    """The callbacks of a shell."""

    def register(self, event: str, function: Callable[..., object]) -> None: ...

    def unregister(self, event: str, function: Callable[..., object]) -> None: ...


class Kernel(Protocol):
    """The kernel around a shell."""

    shell_handlers: dict[str, Callable[..., Awaitable[None]]]
    """For each type of message what handles it; ours stands in the place of that of `execute_request`."""


class Shell(Protocol):
    """An IPython shell, as far as the extension uses it; `%load_ext` brings it.

    Attributes:
        kernel: The kernel around it; on a terminal there is none.
        run_code: Ours stands in its place: `(code, result=None, *, async_=False)`, for each part of a cell.
        trio_runner: Ours stands in its place: it runs a cell that is not awaited, as those inside of magics.
        showtraceback: Ours stands in its place: `(exc_tuple=None, filename=None, tb_offset=None, ...)`.
        user_ns: What cells have defined.
        user_global_ns: The same, where a cell looks names up.
        custom_exceptions: Those that `CustomTB` is for.
        call_pdb: Whether an exception starts the debugger.
        autoawait: Whether `await` works at the top of a cell.
        loop_runner: What awaits such a cell.
        events: The callbacks before and after cells.
    """

    kernel: Kernel
    run_code: Callable[..., Awaitable[bool]]
    trio_runner: Callable[[Coroutine[Any, Any, Any]], Any] | None
    showtraceback: Callable[..., object]
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
