"""anyio: connect through us what is written against anyio's interface (extra `anyio`)."""

from ._adapters.for_anyio import SocketStream, TCPConnectable, TLSConnectable, UNIXConnectable, patched_anyio
from ._public import publish

__all__ = [
    "SocketStream",
    "TCPConnectable",
    "TLSConnectable",
    "UNIXConnectable",
    "patched_anyio",
]

publish(__name__)
