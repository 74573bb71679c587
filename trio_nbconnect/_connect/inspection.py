"""Inspection: what is known of a connection when it is handed out: its address, its TLS, its round-trip time.

One asks for it when a connection is slow, or is not the one that was meant, and then it is gone. It is read only where
somebody listens, and nothing here can fail: what cannot be read is left out.
"""

from __future__ import annotations

import contextlib
import ssl
from typing import Any

import trio

from .._address import UNIX, Address
from .look_ups import from_getaddrinfo


def inspect(sock: Any, round_trip_time: float | None, result: object) -> dict[str, Any]:
    """Read what is known of a connection from its socket, and from the stream that it has become.

    Returns:
        What `trace.Connection` is made of.
    """
    local: Address | None = None
    with contextlib.suppress(OSError, AttributeError):
        if sock.family != UNIX:
            local = from_getaddrinfo(sock.family, sock.getsockname())
    if not isinstance(result, trio.SSLStream) or (version := _tls_version(result)) is None:
        return {"local_address": local, "round_trip_time": round_trip_time}
    certificate = result.getpeercert() or {}
    until = certificate.get("notAfter")
    return {
        "local_address": local,
        "round_trip_time": round_trip_time,
        "tls_version": version,
        "cipher": result.cipher()[0],
        "alpn": result.selected_alpn_protocol() or "",
        "certificate_names": tuple(str(name) for _, name in certificate.get("subjectAltName", ())),
        "certificate_until": None if until is None else float(ssl.cert_time_to_seconds(until)),
    }


def _tls_version(stream: trio.SSLStream[Any]) -> str | None:
    """None where the handshake is still to come."""
    try:
        version: str | None = stream.version()
    except trio.NeedHandshakeError:
        return None
    return version
