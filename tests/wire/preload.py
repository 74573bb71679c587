"""Preload: what contenders import, so that a forked process need not."""

import asyncio  # noqa: F401
import contextlib
import ssl  # noqa: F401

import trio  # noqa: F401

import trio_nbconnect as nb
from trio_nbconnect.dns import DNSResolver  # noqa: F401

from . import lab  # noqa: F401

for name in nb.__all__:
    getattr(nb, name)
with contextlib.suppress(ImportError):
    import aiohttp  # noqa: F401
with contextlib.suppress(ImportError):
    import anyio._backends._asyncio  # noqa: F401
