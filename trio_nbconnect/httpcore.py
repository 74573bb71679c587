"""httpcore: HTTPX connects through us (extra `http`)."""

from ._adapters.for_httpcore import HTTPLibrary, NetworkBackend, NetworkStream, transport
from ._adapters.for_httpcore_sync import SyncHTTPLibrary, SyncNetworkBackend, sync_transport
from ._public import publish

__all__ = [
    "HTTPLibrary",
    "NetworkBackend",
    "NetworkStream",
    "SyncHTTPLibrary",
    "SyncNetworkBackend",
    "sync_transport",
    "transport",
]

publish(__name__)
