"""Adapters: what their tests share: a host with broken addresses, a real HTTPS server, imports without an extra."""

from __future__ import annotations

import importlib
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
import trustme
from hypercorn.config import Config
from hypercorn.trio import serve

import trio_nbconnect as nb

HOST = "example.org"
REFUSES, DROPS = "127.0.0.2", "127.0.0.3"

ANSWERS = b"over HTTP/"


class BrokenHost:
    """A resolver that knows one host: its first address refuses, the second drops, 127.0.0.1 is fine."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses or (REFUSES, DROPS, "127.0.0.1")

    async def resolve(self, query: nb.Query, send_answer: Any) -> None:
        """IPv6 does not work at all, and that is known at once."""
        assert query.host == HOST
        await trio.lowlevel.checkpoint()
        send_answer(nb.QuerySent(nb.Source.AAAA))
        send_answer(nb.Answer(nb.Source.AAAA, (nb.Address(socket.AF_INET6, "::1", query.port),)))
        send_answer(nb.QuerySent(nb.Source.A))
        addresses = tuple(nb.Address(socket.AF_INET, address, query.port) for address in self.addresses)
        send_answer(nb.Answer(nb.Source.A, addresses))


def connector(*addresses: str, **arguments: Any) -> nb.Connector:
    """Make a connector that does not wait long for broken addresses."""
    return nb.Connector(resolver=BrokenHost(*addresses), policy=nb.Policy(attempt_delay=0.05), **arguments)


def addresses_tried(race: nb.RecordedRace) -> list[str]:
    """Return where the attempts of a race went, in their order."""
    return [event.address.ip for event in race.events if isinstance(event, nb.trace.AttemptStarted)]


@contextmanager
def dropping(port: int) -> Iterator[None]:
    """Swallow packets: a queue for one connection that is full; further SYNs are dropped."""
    with socket.socket() as listener:
        listener.bind((DROPS, port))
        listener.listen(0)
        with socket.create_connection(listener.getsockname()):
            yield


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answer with the version of HTTP."""
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": ANSWERS + scope["http_version"].encode()})


@asynccontextmanager
async def https_server(authority: trustme.CA, folder: Path) -> AsyncIterator[int]:
    """Run Hypercorn on 127.0.0.1, with a certificate for the host; its port."""
    certificate = folder / "server.pem"
    authority.issue_cert(HOST).private_key_and_cert_chain_pem.write_to_path(str(certificate))
    config = Config()
    config.bind = ["127.0.0.1:0"]
    config.certfile = config.keyfile = str(certificate)
    config.errorlog = None
    config.graceful_timeout = 0.1
    done = trio.Event()
    async with trio.open_nursery() as nursery:
        (bind,) = await nursery.start(partial(serve, app, config, shutdown_trigger=done.wait, mode="asgi"))
        try:
            yield int(bind.rpartition(":")[2])
        finally:
            done.set()


def import_without(package: str, module: str, monkeypatch: pytest.MonkeyPatch) -> ImportError:
    """Import a module of ours anew where a package is missing; what that raises."""
    _forget("trio_nbconnect", monkeypatch)
    _forget(package, monkeypatch)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError) as caught:
        importlib.import_module(module)
    return caught.value


def import_with_broken(package: str, module: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> ImportError:
    """Import a module of ours anew where a package lacks one of its own; what that raises."""
    (folder / f"{package}.py").write_text("import a_package_that_it_needs", "utf-8")
    monkeypatch.syspath_prepend(str(folder))
    _forget("trio_nbconnect", monkeypatch)
    _forget(package, monkeypatch)
    with pytest.raises(ImportError) as caught:
        importlib.import_module(module)
    return caught.value


def _forget(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a package and all its modules imported anew; the old ones come back after the test."""
    for name in [name for name in sys.modules if name == package or name.startswith(f"{package}.")]:
        monkeypatch.delitem(sys.modules, name)
