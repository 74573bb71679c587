"""The public names: all of them, and what each promises. To add one is a decision, taken here."""

from __future__ import annotations

import ast
import dataclasses
import importlib.resources
import inspect
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import trio

import trio_nbconnect as nb
import trio_nbconnect.testing

NAMES = {
    "Address",
    "Answer",
    "QuerySent",
    "Attempt",
    "Comparison",
    "ConnectError",
    "ConnectTimeout",
    "ConnectRefused",
    "Connector",
    "Handshake",
    "HandshakeState",
    "History",
    "KeepAlive",
    "Phase",
    "Policy",
    "Query",
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
}

DROP_INS: list[tuple[Callable[..., Any], Callable[..., Any]]] = [
    (nb.open_tcp_stream, trio.open_tcp_stream),
    (nb.open_ssl_over_tcp_stream, trio.open_ssl_over_tcp_stream),
    (nb.open_unix_socket, trio.open_unix_socket),
]

EXTRAS = ["IPython", "anyio", "dns", "h11", "httpcore", "httpx", "ipykernel", "ipywidgets", "rich", "socksio"]


def test_these_are_the_public_names() -> None:
    assert len(nb.__all__) == len(set(nb.__all__))
    assert set(nb.__all__) == NAMES
    assert {name for name in NAMES if not hasattr(nb, name)} == set()


def test_the_simulated_network_is_public_too() -> None:
    assert inspect.isclass(trio_nbconnect.testing.SimulatedNetwork)


@pytest.mark.parametrize(("ours", "trios"), DROP_INS)
def test_a_drop_in_has_trio_s_parameters(ours: Callable[..., Any], trios: Callable[..., Any]) -> None:
    """Same names, kinds, order and defaults."""
    assert describe(ours)[: len(describe(trios))] == describe(trios)


@pytest.mark.parametrize(("ours", "trios"), DROP_INS)
def test_what_a_drop_in_has_more_is_keyword_only_and_optional(
    ours: Callable[..., Any], trios: Callable[..., Any]
) -> None:
    for parameter in list(inspect.signature(ours).parameters.values())[len(describe(trios)) :]:
        assert parameter.kind is inspect.Parameter.KEYWORD_ONLY
        assert parameter.default is not inspect.Parameter.empty


def describe(function: Callable[..., Any]) -> list[tuple[str, object, object]]:
    """Name, kind and default of each parameter."""
    return [
        (parameter.name, parameter.kind, parameter.default)
        for parameter in inspect.signature(function).parameters.values()
    ]


def functions() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Find every public function, and every public method of a public class but a protocol."""
    for name in sorted(NAMES):
        thing = getattr(nb, name)
        if inspect.isfunction(thing):
            yield name, thing
        elif inspect.isclass(thing) and not getattr(thing, "_is_protocol", False):
            for method, function in inspect.getmembers(thing, inspect.isroutine):
                if method in vars(thing) and not method.startswith("_"):
                    yield f"{name}.{method}", function


FUNCTIONS = list(functions())


@pytest.mark.parametrize("name", sorted(NAMES))
def test_a_public_name_says_what_it_is(name: str) -> None:
    """One imperative line, or one sentence that says what the data is."""
    docstring = inspect.getdoc(getattr(nb, name))

    assert docstring
    first_line = docstring.splitlines()[0]
    assert first_line[0].isupper()
    assert first_line.endswith((".", ":"))


@pytest.mark.parametrize(("name", "function"), FUNCTIONS)
def test_a_function_documents_each_argument(name: str, function: Callable[..., Any]) -> None:
    """Under "Args:", or by naming the function whose arguments they are."""
    docstring = inspect.getdoc(function) or ""
    parameters = [
        parameter for parameter in inspect.signature(function).parameters if parameter not in {"self", "args"}
    ]

    assert docstring, f"{name} has no docstring"
    if "Args and errors are those of" not in docstring:
        missing = [parameter for parameter in parameters if f"{parameter}: " not in docstring]
        assert not missing, f"{name} does not document {missing}"


@pytest.mark.parametrize(
    "name", ["Connector", "Handshake", "Policy", "SocketOptions", "ConnectError", "connect_socket", "open_tcp_stream"]
)
def test_what_one_begins_with_has_an_example(name: str) -> None:
    """It runs, too: the examples of all docstrings are tests."""
    assert "Example:\n    >>> " in (inspect.getdoc(getattr(nb, name)) or "")


@pytest.mark.parametrize(("name", "function"), [pair for pair in FUNCTIONS if inspect.iscoroutinefunction(pair[1])])
def test_what_may_block_says_how_it_fails(name: str, function: Callable[..., Any]) -> None:
    docstring = inspect.getdoc(function) or ""

    assert "Raises:" in docstring or "Args and errors are those of" in docstring, name


@pytest.mark.parametrize("value", [nb.Connector(), nb.Policy(), nb.Address(socket.AF_INET, "192.0.2.1", 80)])
def test_what_tasks_share_is_frozen(value: Any) -> None:
    for field in dataclasses.fields(value):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, field.name, None)


def test_the_types_are_for_users_too() -> None:
    """PEP 561: the marker goes with the package."""
    assert importlib.resources.files(nb).joinpath("py.typed").is_file()


WATCH = """
import importlib.abc, sys

class Watch(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        print(name.partition(".")[0])

sys.meta_path.insert(0, Watch())
try:
    {statement}
except ImportError:
    pass
"""
"""Tells every import that is looked for, also of a package that is not installed."""


def sought_by(statement: str) -> set[str]:
    """Return the packages that a fresh interpreter looks for when it runs an import."""
    run = subprocess.run(
        [sys.executable, "-c", WATCH.format(statement=statement)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(run.stdout.split())


def test_no_extra_is_imported() -> None:
    sought = sought_by("from trio_nbconnect import *")

    assert {"trio_nbconnect", "trio"} <= sought
    assert not sought & set(EXTRAS)


def test_an_extra_that_is_imported_is_seen() -> None:
    assert {"rich"} == sought_by("import rich.console") & set(EXTRAS)


def loaded_by(statement: str) -> set[str]:
    """Return this package's modules that a fresh interpreter has loaded after an import."""
    code = f"{statement}; import sys; print(*(name for name in sys.modules if name.startswith('trio_nbconnect.')))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name.partition(".")[2] for name in run.stdout.split()}


def test_nothing_is_loaded_before_it_is_used() -> None:
    assert loaded_by("import trio_nbconnect") == set()


OPTIONAL = ("dns", "testing", "notebook", "httpcore", "anyio", "proxy", "_dns", "_pictures", "_simulation", "_notebook")


def test_to_connect_loads_nothing_optional() -> None:
    """What is optional is imported only when it is used."""
    loaded = loaded_by("from trio_nbconnect import Connector, open_tcp_stream, open_tls_stream, open_unix_socket")

    assert {"_connector"} <= loaded
    assert not [name for name in loaded if name.partition(".")[0] in {*OPTIONAL, "_adapters", "_cli"}]


CONNECT = """
import socket, sys, trio

loaded = set(sys.modules)

def news():
    names = set(sys.modules) - loaded
    loaded.update(names)
    return sorted(names)

from trio_nbconnect import open_tcp_stream
print(*news())

async def main():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        await (await open_tcp_stream(*listener.getsockname())).aclose()

trio.run(main)
print(*news())
"""
"""Connects to a literal, and tells which modules the import has brought beside Trio's, and which the connect itself."""


def test_the_first_connect_imports_nothing() -> None:
    """What each connect needs comes with the import; history, NAT64, options, RFC 6724 come when they are asked for."""
    run = subprocess.run([sys.executable, "-c", CONNECT], capture_output=True, text=True, check=True)
    by_import, by_connect = run.stdout.splitlines()

    assert not {"json", "ipaddress"} & set(by_import.split())
    assert by_connect == ""


def test_each_name_is_imported_from_its_home() -> None:
    """What type checkers read and what happens are the same."""
    tree = ast.parse(inspect.getsource(nb))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level == 1]
    read = {(node.module, alias.name) for node in imports for alias in node.names}

    assert read - {(None, "trace")} == {(home, name) for home, names in nb._HOMES.items() for name in names}
    assert {name for _, name in read} == NAMES


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"module 'trio_nbconnect' has no attribute 'open_udp_stream'"):
        nb.open_udp_stream  # type: ignore[attr-defined]  # noqa: B018 - a type checker says so, too


def test_the_names_can_be_listed() -> None:
    assert set(dir(nb)) >= NAMES
