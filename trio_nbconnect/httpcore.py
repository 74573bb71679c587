"""httpcore: HTTPX connects through us (extra `http`)."""

from ._adapters.for_httpcore import HTTPLibrary, NetworkBackend, NetworkStream, transport
from ._public import publish

__all__ = [
    "HTTPLibrary",
    "NetworkBackend",
    "NetworkStream",
    "transport",
]

publish(__name__)
