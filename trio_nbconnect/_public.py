"""Public names: which there are, where each is implemented, and what it says of itself.

The table is all there is to edit. The package reads it to import a name when it is first used; its stub, which type
checkers and editors read, is written from it by `python -m tests.stub`.

Implementations are in private packages. Tracebacks, logs and pickles would name those, which may move and are not
documented. So whatever is public names the module that users import it from.

- A class's annotations may be strings, to be read in the module that the class names. They are read before that
  changes, or `typing.get_type_hints` would look for the names of one module in another.
- Methods follow their class, so that doctest finds their examples.
- Python 3.13 remembers in which line a class begins, and would show that line of another file as its source.
"""

import sys
from contextlib import suppress
from inspect import get_annotations
from types import FunctionType

PACKAGE = __name__.partition(".")[0]

NAMES = {
    "_adapters.for_trio": ("patched_trio",),
    "_address": ("Address", "GivenAddress", "LocalAddress"),
    "_connect.handshake": ("Handshake", "HandshakeState"),
    "_connect.network": ("Network",),
    "_connect.options": ("Configure", "KeepAlive", "Options", "SocketOptions"),
    "_connect.sockets": ("connect_socket",),
    "_connector": ("Connector", "StreamOpener"),
    "_errors": (
        "Attempt",
        "ConnectError",
        "ConnectRefused",
        "ConnectTimeout",
        "Phase",
        "ResolutionError",
        "TLSError",
        "connect_error",
    ),
    "_functions": (
        "open_service_stream",
        "open_ssl_over_tcp_stream",
        "open_tcp_stream",
        "open_tls_stream",
        "open_unix_socket",
    ),
    "_pictures.check": ("CheckedAddress", "HostCheck", "check"),
    "_pictures.explanation": ("Explanation",),
    "_pictures.recording": ("RecordedRace", "Recording", "record"),
    "_pictures.summary": ("Comparison", "HasTimeline", "RaceStatistics", "Summary", "compare", "summarize"),
    "_pictures.timeline": ("AttemptOutcome", "AttemptRow", "LookupRow", "RaceOutcome", "Timeline", "UntriedRow"),
    "_pictures.watch": ("watch",),
    "_playground.widget": ("Playground", "playground"),
    "_policy": ("Policy",),
    "_race.calls": ("Dial", "race"),
    "_resolve.history": ("History", "HistoryView"),
    "_resolve.nat64": ("discover_nat64",),
    "_resolve.query": ("Answer", "Query", "QuerySent", "SendAnswer", "Service", "Source"),
    "_resolve.system": ("Resolver",),
    "_retry": ("is_retryable",),
}
"""The names that the package itself offers, by the private module that has them."""

MODULES = (
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
)
"""The public modules. `from trio_nbconnect import *` leaves them out: it would hide the `anyio` of who writes it."""


def publish(home: str) -> None:
    """Let everything in a module's `__all__` that comes from a private module name this one, and `dir` list no more.

    Example:
        >>> from trio_nbconnect.testing import SimulatedNetwork
        >>> SimulatedNetwork
        <class 'trio_nbconnect.testing.SimulatedNetwork'>
    """
    publish_names()
    namespace = vars(sys.modules[home])
    namespace["__dir__"] = namespace["__all__"].copy  # completion offers these and nothing else
    for name in namespace["__all__"]:
        _move(namespace[name], home)


def publish_names() -> None:
    """Let whatever the package offers name the package, as far as it is loaded.

    All of it, not only the name that was asked for: an error is raised by those who have never imported its class.
    """
    for module, names in NAMES.items():
        loaded = sys.modules.get(f"{PACKAGE}.{module}")
        for name in names:
            _move(getattr(loaded, name, None), PACKAGE)  # one that is being imported may not have it yet


def _move(thing: object, home: str) -> None:
    """Let a class or a function name its public home; aliases of types have none."""
    if isinstance(thing, type | FunctionType) and thing.__module__.startswith(f"{PACKAGE}._"):
        if isinstance(thing, type):
            _read_annotations(thing)
            if "__firstlineno__" in vars(thing):
                del thing.__firstlineno__  # type: ignore[attr-defined]  # new in Python 3.13
            for method in vars(thing).values():
                function = getattr(method, "__func__", method)
                if isinstance(function, FunctionType) and function.__module__ == thing.__module__:
                    function.__module__ = home
        thing.__module__ = home


def _read_annotations(kind: type) -> None:
    """Put types in the place of a class's own annotations, where those are strings."""
    with suppress(NameError):  # what is imported for type checkers alone cannot be read here, nor by anybody else
        kind.__annotations__ = get_annotations(kind, eval_str=True)
