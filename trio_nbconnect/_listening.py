"""The tracers of a context: they get the events of what this context, and the tasks it starts, will connect.

The variable has a module of its own because both sides need it: races, which import the module of the events only where
there is a tracer, and that module.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

listening: ContextVar[tuple[Callable[[Any], object], ...]] = ContextVar("trio_nbconnect.trace.listening", default=())
"""The tracers, those that were added first before the others."""
