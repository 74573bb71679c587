"""httpcore: HTTPX connects through us (extra `http`)."""

from ._adapters.for_httpcore import NetworkBackend, NetworkStream, transport

__all__ = [
    "NetworkBackend",
    "NetworkStream",
    "transport",
]
