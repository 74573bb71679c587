"""The public names: all of them, and what each promises. To add one is a decision, taken here."""

from __future__ import annotations

import ast
import copy
import dataclasses
import importlib
import importlib.metadata
import importlib.resources
import inspect
import itertools
import pickle
import socket
import subprocess
import sys
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import pytest
import trio

import trio_nbconnect as nb
from trio_nbconnect import _public

from . import stub

NAMES = {
    "Address",
    "Answer",
    "Attempt",
    "AttemptOutcome",
    "AttemptRow",
    "CheckedAddress",
    "Comparison",
    "Configure",
    "ConnectError",
    "ConnectRefused",
    "ConnectTimeout",
    "Connector",
    "Dial",
    "Explanation",
    "GivenAddress",
    "Handshake",
    "HandshakeState",
    "HasTimeline",
    "History",
    "HistoryView",
    "HostCheck",
    "KeepAlive",
    "LocalAddress",
    "LookupRow",
    "Network",
    "Options",
    "Phase",
    "Playground",
    "Policy",
    "Query",
    "QuerySent",
    "RaceOutcome",
    "RaceStatistics",
    "RecordedRace",
    "Recording",
    "ResolutionError",
    "Resolver",
    "SendAnswer",
    "Service",
    "SocketOptions",
    "StreamOpener",
    "Source",
    "Summary",
    "TLSError",
    "Timeline",
    "UntriedRow",
    "check",
    "compare",
    "connect_error",
    "connect_socket",
    "discover_nat64",
    "is_retryable",
    "open_service_stream",
    "open_ssl_over_tcp_stream",
    "open_tcp_stream",
    "open_tls_stream",
    "open_unix_socket",
    "patched_trio",
    "playground",
    "race",
    "record",
    "summarize",
    "watch",
}

MODULES = {
    "anyio",
    "blocking",
    "dns",
    "httpcore",
    "network",
    "notebook",
    "otel",
    "proxy",
    "requests",
    "testing",
    "trace",
}

EXTRAS = [
    "IPython",
    "anyio",
    "dns",
    "h11",
    "httpcore",
    "httpx",
    "ipykernel",
    "ipywidgets",
    "opentelemetry",
    "requests",
    "rich",
    "socksio",
    "urllib3",
]

ALIASES = {"Configure", "Event", "GivenAddress", "LocalAddress", "Options", "SendAnswer", "Tracer"}
"""They stand for other types, and can carry no words of their own."""

DROP_INS: list[tuple[Callable[..., Any], Callable[..., Any]]] = [
    (nb.open_tcp_stream, trio.open_tcp_stream),
    (nb.open_ssl_over_tcp_stream, trio.open_ssl_over_tcp_stream),
    (nb.open_unix_socket, trio.open_unix_socket),
]

Thing = tuple[str, Any]


def things() -> Iterator[Thing]:
    """Find all that is public, by the name that users write."""
    for name in sorted(NAMES):
        yield name, getattr(nb, name)
    for module in sorted(MODULES):
        face = importlib.import_module(f"{nb.__name__}.{module}")
        for name in face.__all__:
            yield f"{module}.{name}", getattr(face, name)


THINGS = dict(things())
CLASSES = {
    name: thing
    for name, thing in THINGS.items()
    if inspect.isclass(thing) and not typing.get_args(thing)  # Python 3.10 takes an alias for a class
}


def functions() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Find every public function, and every public method and property of a public class."""
    for name, thing in THINGS.items():
        if inspect.isfunction(thing):
            yield name, thing
        elif inspect.isclass(thing):
            for member, value in vars(thing).items():
                function = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
                if inspect.isfunction(function) and (member == "__init__" or not member.startswith("_")):
                    yield f"{name}.{member}", function


FUNCTIONS = dict(functions())


def test_these_are_the_public_names() -> None:
    assert nb.__all__ == sorted(NAMES)
    assert set(_public.MODULES) == MODULES
    assert {name for name in NAMES | MODULES if not hasattr(nb, name)} == set()


def test_the_stub_is_written_from_the_table() -> None:
    """Type checkers read the one, `python -m tests.stub` writes it from the other."""
    assert stub.STUB.read_text("utf-8") == stub.stub()


def test_the_version_is_that_of_the_distribution() -> None:
    assert nb.__version__ == importlib.metadata.version("trio-nbconnect")


@pytest.mark.parametrize("module", ["", *sorted(MODULES)])
def test_completion_offers_what_is_public_and_nothing_else(module: str) -> None:
    public: ModuleType = getattr(nb, module) if module else nb

    offered = {name for name in dir(public) if not name.startswith("_")}

    assert offered == {*public.__all__, *("" if module else MODULES)}


@pytest.mark.parametrize("module", sorted(MODULES))
def test_a_public_module_is_loaded_by_its_first_use(module: str) -> None:
    program = f"import trio_nbconnect as nb; print(nb.{module}.__name__)"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert run.stdout.strip() == f"trio_nbconnect.{module}"


WITHOUT_DNSPYTHON = """
import sys
sys.modules["dns"] = None
import trio_nbconnect as nb
assert not hasattr(nb, "dns")
try:
    nb.dns
except AttributeError as error:
    print(error)
try:
    from trio_nbconnect import dns
except ImportError as error:
    print(error)
"""


def test_a_module_whose_extra_is_missing_says_so() -> None:
    """`help` and `inspect` go on where there is an AttributeError; an import statement fails with an ImportError."""
    run = subprocess.run([sys.executable, "-c", WITHOUT_DNSPYTHON], capture_output=True, text=True, check=True)
    advice = "trio_nbconnect.dns needs dnspython: python -m pip install 'trio-nbconnect[dns]'"

    assert run.stdout.splitlines() == [f"module 'trio_nbconnect' cannot load 'dns': {advice}", advice]


@pytest.mark.parametrize("name", [name for name, thing in THINGS.items() if name.split(".")[-1] not in ALIASES])
def test_what_is_public_names_its_public_home(name: str) -> None:
    """Tracebacks, logs and pickles do."""
    if name == "notebook.watch":  # it is the package's own
        name = "watch"
    module, _, bare = name.rpartition(".")

    assert THINGS[name].__module__ == ".".join(filter(None, [nb.__name__, module]))
    assert THINGS[name].__qualname__ == bare
    assert pickle.loads(pickle.dumps(THINGS[name])) is THINGS[name]


RAISE = """
import trio
from trio_nbconnect import open_tcp_stream
trio.run(open_tcp_stream, "127.0.0.1", 1)
"""


def test_a_traceback_names_a_class_that_nobody_has_imported() -> None:
    run = subprocess.run([sys.executable, "-c", RAISE], capture_output=True, text=True, check=False)

    assert "\ntrio_nbconnect.ConnectRefused: " in run.stderr


FOREIGN = {"requests.HTTPAdapter"}
"""The annotations of its base cannot be read, as requests has them."""


@pytest.mark.parametrize("name", sorted({*CLASSES, *FUNCTIONS} - FOREIGN))
def test_type_hints_can_be_read(name: str) -> None:
    typing.get_type_hints(CLASSES.get(name) or FUNCTIONS[name])


def types_in(hint: Any) -> Iterator[Any]:
    """Find every type that a hint is made of."""
    parts = (typing.get_origin(hint), *typing.get_args(hint))
    if parts == (None,):
        yield hint
    for part in parts if parts != (None,) else ():
        for inner in part if isinstance(part, list) else [part]:
            yield from types_in(inner)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_type_of_a_signature_is_public(name: str) -> None:
    public = {id(thing) for thing in THINGS.values()}
    hints = typing.get_type_hints(FUNCTIONS[name])

    found = {part for hint in hints.values() for part in types_in(hint) if inspect.isclass(part)}
    assert {part for part in found if part.__module__.startswith(nb.__name__) and id(part) not in public} == set()


@pytest.mark.parametrize(("ours", "trios"), DROP_INS)
def test_a_drop_in_has_trio_s_parameters(ours: Callable[..., Any], trios: Callable[..., Any]) -> None:
    """Same names, kinds, order and defaults; but several hosts bring their ports."""
    asked = [(name, kind, None if name == "port" else default) for name, kind, default in describe(trios)]

    assert describe(ours)[: len(asked)] == asked


@pytest.mark.parametrize(("ours", "trios"), DROP_INS)
def test_what_a_drop_in_has_more_is_keyword_only_and_optional(
    ours: Callable[..., Any], trios: Callable[..., Any]
) -> None:
    for parameter in list(inspect.signature(ours).parameters.values())[len(describe(trios)) :]:
        assert parameter.kind is inspect.Parameter.KEYWORD_ONLY
        assert parameter.default is not inspect.Parameter.empty


def test_the_stream_functions_have_one_order_of_parameters() -> None:
    """What several take stands in the same order in each, and all take what `open_tcp_stream` takes."""
    functions: list[Callable[..., Any]] = [nb.open_tcp_stream, nb.open_ssl_over_tcp_stream, nb.open_tls_stream]
    connector = nb.Connector()
    methods: list[Callable[..., Any]] = [
        connector.open_tcp_stream,
        connector.open_ssl_over_tcp_stream,
        connector.open_tls_stream,
    ]
    for group in (functions, methods):
        longest = list(inspect.signature(group[-1]).parameters)
        for function in group:
            names = list(inspect.signature(function).parameters)
            assert names == [name for name in longest if name in names]
            assert set(inspect.signature(group[0]).parameters) <= set(names)


def describe(function: Callable[..., Any]) -> list[tuple[str, object, object]]:
    """Name, kind and default of each parameter."""
    return [
        (parameter.name, parameter.kind, parameter.default)
        for parameter in inspect.signature(function).parameters.values()
    ]


def test_an_alias_says_what_it_stands_for() -> None:
    aliases = {name: get_args(thing) for name, thing in THINGS.items() if name.split(".")[-1] in ALIASES}

    assert nb.Address in aliases["GivenAddress"]
    assert all(aliases.values())


@pytest.mark.parametrize("name", [name for name in THINGS if name.split(".")[-1] not in ALIASES])
def test_a_public_name_says_what_it_is(name: str) -> None:
    """One imperative line, or one sentence that says what the data is."""
    docstring = inspect.getdoc(THINGS[name])

    assert docstring
    first_line = docstring.splitlines()[0]
    assert first_line[0].isupper() or name.startswith("anyio.")
    assert first_line.endswith((".", ":"))


DOCUMENTED = [
    name
    for name in FUNCTIONS
    if name.partition(".")[0] in NAMES
    and not name.endswith(".__init__")
    and not getattr(CLASSES.get(name.partition(".")[0]), "_is_protocol", False)
]
"""The package's own functions; a method that implements a documented protocol needs no second docstring."""


@pytest.mark.parametrize("name", DOCUMENTED)
def test_a_function_documents_each_argument(name: str) -> None:
    """Under "Args:", or by naming the function whose arguments they are."""
    docstring = inspect.getdoc(FUNCTIONS[name]) or ""
    parameters = [
        parameter
        for parameter in inspect.signature(FUNCTIONS[name]).parameters
        if parameter not in {"self", "cls", "args"}
    ]

    assert docstring, f"{name} has no docstring"
    if "Args and errors are those of" not in docstring:
        missing = [parameter for parameter in parameters if f"{parameter}: " not in docstring]
        assert not missing, f"{name} does not document {missing}"


@pytest.mark.parametrize("name", [name for name, thing in CLASSES.items() if dataclasses.is_dataclass(thing)])
def test_help_shows_words_for_each_attribute(name: str) -> None:
    """Under "Attributes:" or "Args:" of the class: what stands under a field is seen by nobody but a reader of ours."""
    words = inspect.getdoc(THINGS[name]) or ""

    fields = [field.name for field in dataclasses.fields(THINGS[name]) if not field.name.startswith("_")]
    assert [field for field in fields if f"\n    {field}: " not in words] == []


SOURCES = [
    node
    for path in Path(nb.__file__).parent.rglob("*.py")
    for node in ast.parse(path.read_text("utf-8")).body
    if isinstance(node, ast.ClassDef)
]


@pytest.mark.parametrize("name", CLASSES)
def test_no_words_stand_where_help_does_not_look(name: str) -> None:
    """Under an attribute, or under a member of an Enum."""
    bodies = [node.body for node in SOURCES if node.name == name.rpartition(".")[2]]

    assert bodies
    under = [
        ast.unparse(first)
        for body in bodies
        for first, second in itertools.pairwise(body)
        if isinstance(first, ast.Assign | ast.AnnAssign) and isinstance(second, ast.Expr)
    ]
    assert [attribute for attribute in under if not attribute.startswith("_")] == []


@pytest.mark.parametrize(
    "name", ["Connector", "Handshake", "Policy", "SocketOptions", "ConnectError", "connect_socket", "open_tcp_stream"]
)
def test_what_one_begins_with_has_an_example(name: str) -> None:
    """It runs, too: the examples of all docstrings are tests."""
    assert "Example:\n    >>> " in (inspect.getdoc(getattr(nb, name)) or "")


@pytest.mark.parametrize("name", [name for name in DOCUMENTED if inspect.iscoroutinefunction(FUNCTIONS[name])])
def test_what_may_block_says_how_it_fails(name: str) -> None:
    docstring = inspect.getdoc(FUNCTIONS[name]) or ""

    assert "Raises:" in docstring or "Args and errors are those of" in docstring, name


CONFIGURED = nb.Connector(policy=nb.Policy(attempt_delay=0.1), local_address="127.0.0.1", options=nb.SocketOptions())


@pytest.mark.parametrize("value", [nb.Connector(), nb.Policy(), nb.Address(socket.AF_INET, "192.0.2.1", 80)])
def test_what_tasks_share_is_frozen(value: Any) -> None:
    for field in dataclasses.fields(value):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, field.name, None)


@pytest.mark.parametrize("connector", [nb.Connector(), CONFIGURED])
@pytest.mark.parametrize(
    "clone", [copy.copy, copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value)), dataclasses.replace]
)
def test_a_connector_is_a_value(connector: nb.Connector, clone: Callable[[nb.Connector], nb.Connector]) -> None:
    again = clone(connector)

    assert again == connector
    assert hash(again) == hash(connector)
    assert again.policy == connector.policy


async def test_a_connector_from_a_pickle_connects() -> None:
    again = pickle.loads(pickle.dumps(CONFIGURED))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        await (await again.open_tcp_stream(*listener.getsockname())).aclose()


def test_a_connector_can_be_changed_in_a_part() -> None:
    connector: Any = CONFIGURED
    changed = connector.replace(policy=nb.Policy(attempt_delay=0.2))

    assert changed.policy.attempt_delay == 0.2
    assert changed.local_address == "127.0.0.1"
    with pytest.raises(ValueError, match="local_address"):
        connector.replace(local_address="localhost")
    with pytest.raises(TypeError, match="colour"):
        connector.replace(colour="red")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("192.0.2.1:80", (socket.AF_INET, "192.0.2.1", 80)),
        ("[2001:db8::1]:443", (socket.AF_INET6, "2001:db8::1", 443)),
    ],
)
def test_an_address_is_parsed_as_it_is_shown(text: str, parts: tuple[socket.AddressFamily, str, int]) -> None:
    kind: Any = nb.Address
    address = kind.parse(text)

    assert address == nb.Address(*parts)
    assert str(address) == text


@pytest.mark.parametrize("text", ["", "192.0.2.1", "example.org:80", "[2001:db8::1]", "192.0.2.1:65536", "::1:80"])
def test_what_is_no_address_and_port_is_refused(text: str) -> None:
    kind: Any = nb.Address
    with pytest.raises(ValueError, match="address"):
        kind.parse(text)


def openers() -> list[Any]:
    """Return one of each kind that opens streams."""
    return [
        nb.Connector(),
        nb.proxy.HTTPProxy("proxy.example", 3128),
        nb.proxy.SOCKS5Proxy("proxy.example", 1080),
    ]


@pytest.mark.parametrize("number", range(3))
def test_a_connector_and_a_proxy_open_streams(number: int) -> None:
    """The protocol is what adapters ask for; each method of theirs takes at least what the protocol says."""
    package: Any = nb
    protocol = package.StreamOpener
    opener = openers()[number]

    for name in ("connect", "open_tcp_stream", "open_tls_stream"):
        asked = inspect.signature(getattr(protocol, name)).parameters
        given = inspect.signature(getattr(type(opener), name)).parameters
        assert {parameter: asked[parameter].kind for parameter in asked} == {
            parameter: given[parameter].kind for parameter in asked if parameter in given
        }


def test_the_types_are_for_users_too() -> None:
    """PEP 561: the marker and the stub go with the package."""
    files = importlib.resources.files(nb)

    assert files.joinpath("py.typed").is_file()
    assert files.joinpath("__init__.pyi").is_file()


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
    assert loaded_by("import trio_nbconnect") == {"_public"}


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
{prepare}
news()

async def main():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host, port = listener.getsockname()
        await (await {connect}).aclose()

trio.run(main)
print(*news())
"""
"""Connects, and tells which modules the import has brought beside Trio's, and which the connect itself."""


@pytest.mark.parametrize(
    ("prepare", "connect"),
    [
        ("", "open_tcp_stream(host, port)"),
        ("", "open_tcp_stream(['localhost', host], port)"),
        ("from trio_nbconnect import record; record().__enter__()", "open_tcp_stream('localhost', port)"),
        (
            "from trio_nbconnect import Connector; connector = Connector(tracer=lambda event: None)",
            "connector.open_tcp_stream([host, 'localhost'], port)",
        ),
        (
            "from trio_nbconnect import Connector, dns; connector = Connector(resolver=dns.DNSResolver(hosts=None))",
            "connector.open_tcp_stream('localhost', port)",
        ),
        (
            "from trio_nbconnect import Connector, dns; ours = dns.DNSResolver(hosts=None)",
            "Connector(resolver=ours).open_tcp_stream('localhost', port)",
        ),
    ],
)
def test_the_first_connect_imports_nothing(prepare: str, connect: str) -> None:
    """It may come in a changed root, or with no descriptor left.

    What each connect needs comes with the import; history, NAT64, options, RFC 6724 come when they are asked for.
    """
    program = CONNECT.replace("{prepare}", prepare).replace("{connect}", connect)
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    by_import, by_connect = run.stdout.splitlines()

    assert not {"json", "ipaddress"} & set(by_import.split())
    assert by_connect == ""


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"module 'trio_nbconnect' has no attribute 'open_udp_stream'"):
        nb.open_udp_stream  # type: ignore[attr-defined]  # noqa: B018 - a type checker says so, too
