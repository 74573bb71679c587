"""Public modules: what they offer names them, pickles by that name, and its examples run."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pickle
import subprocess
import sys
from typing import get_type_hints

import pytest

import trio_nbconnect as nb
from trio_nbconnect.anyio import TCPConnectable, TLSConnectable, UNIXConnectable
from trio_nbconnect.proxy import HTTPProxy, Secret, SOCKS5Proxy

FACES = [
    f"trio_nbconnect.{name}"
    for name in ("anyio", "blocking", "dns", "httpcore", "notebook", "proxy", "requests", "testing")
]
OFFERED = [(face, name) for face in FACES for name in importlib.import_module(face).__all__]
ELSEWHERE = {"watch"}
"""What a public module offers beside the package itself, whose it is."""


@pytest.mark.parametrize(("face", "name"), [pair for pair in OFFERED if pair[1] not in ELSEWHERE])
def test_what_is_offered_names_its_public_home(face: str, name: str) -> None:
    thing = getattr(importlib.import_module(face), name)

    assert (thing.__module__, thing.__qualname__) == (face, name)
    assert pickle.loads(pickle.dumps(thing)) is thing


@pytest.mark.parametrize(("face", "name"), [pair for pair in OFFERED if not pair[0].endswith(".requests")])
def test_type_hints_can_be_read(face: str, name: str) -> None:
    thing = getattr(importlib.import_module(face), name)

    get_type_hints(thing)
    for _, function in inspect.getmembers(thing, inspect.isfunction):
        if function.__module__.startswith("trio_nbconnect"):
            get_type_hints(function, localns=vars(sys.modules[function.__globals__["__name__"]]))


@pytest.mark.parametrize(
    "value",
    [
        HTTPProxy("proxy.example", 3128, username="a", password="b"),
        SOCKS5Proxy("proxy.example", 1080, connector=nb.Connector(), addresses=["192.0.2.1"]),
        Secret("swordfish"),
        TCPConnectable("example.org", 80),
        TLSConnectable("example.org", 443),
        UNIXConnectable("/run/example.sock"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_pickle_and_their_pickles_name_public_places(value: object) -> None:
    pickled = pickle.dumps(value)

    assert pickle.loads(pickled) == value
    assert type(value).__module__.encode() in pickled
    assert b"_adapters" not in pickled


def test_examples_of_methods_are_found_where_they_are_offered() -> None:
    """And run: pytest collects every module's."""
    import trio_nbconnect.testing as face  # noqa: PLC0415

    found = {example.name for example in doctest.DocTestFinder(exclude_empty=True).find(face)}

    assert {f"{face.__name__}.{name}" for name in ("simulate", "SimulatedHost", "SimulatedHost.accepts")} <= found


WITHOUT_PYTEST = """
import sys
import trio_nbconnect.testing, trio_nbconnect.anyio, trio_nbconnect.httpcore, trio_nbconnect.proxy
import trio_nbconnect.dns, trio_nbconnect.notebook, trio_nbconnect._cli.command
network = trio_nbconnect.testing.SimulatedNetwork()
network.host("192.0.2.1").accepts()
assert trio_nbconnect.testing.simulate(network, "192.0.2.1", 80).timeline.error is None
print(*(name for name in sys.modules if "pytest" in name))
"""


def test_nothing_imports_pytest() -> None:
    """Where it is installed, `trio.testing` does: 40 ms for whoever simulates a race, and all of its warnings."""
    run = subprocess.run([sys.executable, "-c", WITHOUT_PYTEST], capture_output=True, text=True, check=True)

    assert run.stdout.strip() == ""
