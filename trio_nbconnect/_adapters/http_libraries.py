"""The HTTP libraries that adapters are written against: HTTPX with httpcore, or where that is missing, httpx2.

Both have the same shape, so that either is enough.
"""

from importlib import import_module

__all__ = ["httpcore", "httpx"]

try:
    import httpcore
    import httpx
except ModuleNotFoundError as missing:
    if missing.name not in {"httpcore", "httpx"}:
        raise
    try:
        httpcore, httpx = import_module("httpcore2"), import_module("httpx2")
    except ModuleNotFoundError as other:
        if other.name not in {"httpcore2", "httpx2"}:
            raise
        advice = "python -m pip install 'trio-nbconnect[http]', or 'trio-nbconnect[httpx2]'"
        raise ImportError(f"trio_nbconnect.httpcore needs httpx: {advice}") from None
