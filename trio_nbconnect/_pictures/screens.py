"""Screens: where a picture that is drawn again and again can appear.

A cell of a notebook has a display that is updated; a terminal has lines that are written over, which is rich's craft
(extra `cli`); anything else, a file or a pipe, gets the last picture only.

What lives here: those three. What does not: when to draw (`_live`) and what (`_text`). None of them waits.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import partial
from types import TracebackType
from typing import Any, Protocol

from .bundles import races_bundle
from .ipython import EXTENSION, current_shell, display, kernel_is_here
from .text import NARROWEST, encodable, render_text
from .timeline import Timeline

WIDEST = 200
"""Columns; no picture gets clearer beyond that."""


class Screen(AbstractContextManager["Screen"], Protocol):
    """Something that shows races as they stand."""

    def show(self, timelines: Sequence[Timeline], *, is_last: bool) -> None:
        """Show these instead of what was shown before."""


def find_screen() -> Screen:
    """Return what this program writes on.

    Raises:
        ImportError: It is a terminal, and there is no rich.
    """
    if kernel_is_here():
        return Cell()
    return Terminal() if sys.stdout.isatty() else Paper()


def columns() -> int:
    """How wide a picture may be here."""
    return min(max(shutil.get_terminal_size().columns, NARROWEST), WIDEST)


def has_color() -> bool:
    """Whether standard output is a terminal whose user has nothing against colour."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def picture(timelines: Sequence[Timeline], *, width: int, color: bool, encoding: str = "utf-8") -> str:
    """All of them, one below the other, in what the encoding can say."""
    text = "\n\n".join(render_text(timeline, width=width, color=color) for timeline in timelines)
    return encodable(text, encoding)


class Cell:
    """The output of a notebook's cell."""

    def __init__(self) -> None:
        self._handle: Any = None

    def __enter__(self) -> Cell:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def show(self, timelines: Sequence[Timeline], *, is_last: bool) -> None:
        """Update the display."""
        bundle = races_bundle(timelines, nothing="no race")
        if self._handle is None:
            self._handle = display(bundle, raw=True, display_id=True)
        else:
            self._handle.update(bundle, raw=True)
        extension = getattr(current_shell(), EXTENSION, None)
        if is_last and extension is not None:
            for error in (timeline.error for timeline in timelines if timeline.error is not None):
                extension.races.mark_as_shown(error)  # so that its traceback does not draw it once more


class Terminal:
    """The lines of a terminal, as many as there are; the last picture is whole.

    Args:
        width: Columns, or None for what there is.
        color: Whether to use colour, or None for what is wanted here.
    """

    def __init__(self, *, width: int | None = None, color: bool | None = None) -> None:
        try:
            from rich.live import Live  # noqa: PLC0415 - it is an extra
            from rich.text import Text  # noqa: PLC0415 - as above
        except ModuleNotFoundError as missing:
            if (missing.name or "").partition(".")[0] != "rich":
                raise
            raise ImportError(
                "watching a race on a terminal needs rich: python -m pip install 'trio-nbconnect[cli]'"
            ) from None
        self._live = Live(auto_refresh=False)
        self._text_of = Text.from_ansi
        self._width = width
        self._color = has_color() if color is None else color

    def __enter__(self) -> Terminal:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def show(self, timelines: Sequence[Timeline], *, is_last: bool) -> None:
        """Write over what was written before; while it goes on, the newest races that there is room for."""
        width = self._width or columns()
        console = self._live.console  # which knows the terminal's encoding; while it writes, sys.stdout does not
        draw = partial(picture, width=width, color=self._color, encoding=console.encoding)
        text = draw(timelines)
        while not is_last and len(timelines) > 1 and text.count("\n") >= console.height - 1:
            timelines = timelines[1:]
            text = draw(timelines)
        self._live.update(self._text_of(text, no_wrap=True, overflow="crop"), refresh=True)


class Paper:
    """What cannot be written over: only the last picture is worth it."""

    def __enter__(self) -> Paper:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def show(self, timelines: Sequence[Timeline], *, is_last: bool) -> None:
        """Print the last picture."""
        if is_last:
            print(picture(timelines, width=80, color=False, encoding=sys.stdout.encoding or "utf-8"))
