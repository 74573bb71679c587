"""Blocking: connect from code without an event loop, and have other libraries do so."""

from ._adapters.for_sockets import SocketPatch, create_connection, create_tls_connection, patched_socket
from ._blocking import BlockingConnector, SupportsBlocking
from ._public import publish

__all__ = [
    "BlockingConnector",
    "SocketPatch",
    "SupportsBlocking",
    "create_connection",
    "create_tls_connection",
    "patched_socket",
]

publish(__name__)
