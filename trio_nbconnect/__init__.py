"""Connect to a host the way RFC 8305 asks for, in Trio: fast where addresses are broken, and open to see.

>>> import trio_nbconnect as nb
>>> stream = await nb.open_tcp_stream("example.org", 443)  # doctest: +SKIP

The one skipped line needs the internet; the README runs the same on loopback. See `Connector` for everything that can
be configured, `ConnectError` for what failures tell, and `record` for seeing a race.

A name is imported when it is first used (PEP 562), so that a program starts fast whatever it will need of this: the
pictures, the proxies and the simulated network are never loaded where nobody asks for them. `from trio_nbconnect import
open_tcp_stream` is such a use; write it where the first connect must not wait for the import.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from . import trace as trace
    from ._adapters.for_trio import patched_trio as patched_trio
    from ._address import Address as Address
    from ._connect.handshake import Handshake as Handshake
    from ._connect.handshake import HandshakeState as HandshakeState
    from ._connect.options import KeepAlive as KeepAlive
    from ._connect.options import SocketOptions as SocketOptions
    from ._connect.sockets import connect_socket as connect_socket
    from ._connector import Connector as Connector
    from ._errors import Attempt as Attempt
    from ._errors import ConnectError as ConnectError
    from ._errors import ConnectRefused as ConnectRefused
    from ._errors import ConnectTimeout as ConnectTimeout
    from ._errors import Phase as Phase
    from ._errors import ResolutionError as ResolutionError
    from ._errors import TLSError as TLSError
    from ._functions import open_ssl_over_tcp_stream as open_ssl_over_tcp_stream
    from ._functions import open_tcp_stream as open_tcp_stream
    from ._functions import open_tls_stream as open_tls_stream
    from ._functions import open_unix_socket as open_unix_socket
    from ._pictures.recording import RecordedRace as RecordedRace
    from ._pictures.recording import Recording as Recording
    from ._pictures.recording import record as record
    from ._pictures.summaries import Comparison as Comparison
    from ._pictures.summaries import Summary as Summary
    from ._pictures.summaries import compare as compare
    from ._pictures.summaries import summarize as summarize
    from ._pictures.watch import watch as watch
    from ._policy import Policy as Policy
    from ._resolve.history import History as History
    from ._resolve.nat64 import discover_nat64 as discover_nat64
    from ._resolve.query import Answer as Answer
    from ._resolve.query import Query as Query
    from ._resolve.query import QuerySent as QuerySent
    from ._resolve.query import Service as Service
    from ._resolve.query import Source as Source
    from ._resolve.system import Resolver as Resolver
    from ._retry import is_retryable as is_retryable

__all__ = [
    "Address",
    "Answer",
    "Attempt",
    "Comparison",
    "ConnectError",
    "ConnectRefused",
    "ConnectTimeout",
    "Connector",
    "Handshake",
    "HandshakeState",
    "History",
    "KeepAlive",
    "Phase",
    "Policy",
    "Query",
    "QuerySent",
    "RecordedRace",
    "Recording",
    "ResolutionError",
    "Resolver",
    "Service",
    "SocketOptions",
    "Source",
    "Summary",
    "TLSError",
    "compare",
    "connect_socket",
    "discover_nat64",
    "is_retryable",
    "open_ssl_over_tcp_stream",
    "open_tcp_stream",
    "open_tls_stream",
    "open_unix_socket",
    "patched_trio",
    "record",
    "summarize",
    "trace",
    "watch",
]

_HOMES = {
    "_address": ("Address",),
    "_connect.sockets": ("connect_socket",),
    "_connector": ("Connector",),
    "_resolve.nat64": ("discover_nat64",),
    "_functions": ("open_ssl_over_tcp_stream", "open_tcp_stream", "open_tls_stream", "open_unix_socket"),
    "_errors": (
        "Attempt",
        "ConnectError",
        "ConnectRefused",
        "ConnectTimeout",
        "Phase",
        "ResolutionError",
        "TLSError",
    ),
    "_connect.handshake": ("Handshake", "HandshakeState"),
    "_resolve.history": ("History",),
    "_pictures.watch": ("watch",),
    "_connect.options": ("KeepAlive", "SocketOptions"),
    "_adapters.for_trio": ("patched_trio",),
    "_policy": ("Policy",),
    "_resolve.query": ("Answer", "QuerySent", "Query", "Service", "Source"),
    "_pictures.recording": ("RecordedRace", "Recording", "record"),
    "_resolve.system": ("Resolver",),
    "_retry": ("is_retryable",),
    "_pictures.summaries": ("Comparison", "Summary", "compare", "summarize"),
}
"""Where each name lives; a test compares them with the imports above, which type checkers read."""


if not TYPE_CHECKING:  # pragma: no branch - or a checker would believe that every name exists

    def __getattr__(name: str) -> object:
        """Import what a name stands for, the first time it is asked for."""
        home = name if name == "trace" else next((home for home, names in _HOMES.items() if name in names), None)
        if home is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module = import_module(f".{home}", __name__)
        globals()[name] = module if name == "trace" else getattr(module, name)
        return globals()[name]

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
