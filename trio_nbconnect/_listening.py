"""The tracers of a context: they get the events of what it, and the tasks it starts, will connect; and what for.

The variables have a module of their own because both sides need them: races, which import the module of the events
only where there is a tracer, and that module.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, TypeAlias

Tracer: TypeAlias = Callable[[Any], object]
"""Called with each event; `trace.Tracer`, for those who do not load the events."""

listening: ContextVar[tuple[Tracer, ...]] = ContextVar("trio_nbconnect.trace.listening", default=())
"""The tracers, those that were added first before the others."""

proxy_for: ContextVar[str] = ContextVar("trio_nbconnect.trace.proxy_for", default="")
"""What is to be reached through the host that a proxy connects to, for the events of that race."""
