"""Floors: the house stands as it was drawn. Every rule reads the source, imports nothing, and is shown to fail.

A rule is a function from one module to its complaints. `HOUSE` holds all modules; `BROKEN` a made-up one for each
rule, with the complaint that it must bring.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "trio_nbconnect"

WORDS, PLANS, KERNEL, TIME, DOOR, COMPANY, ROOF = range(7)
"""Words are data, plans are pure, the kernel makes system calls, time opens nurseries, the door is what users call;
company is optional. The roof, `__init__`, sees everything."""

FLOORS = {
    WORDS: ["_quick", "_address", "_policy", "_options", "_settings", "_question", "_errors", "trace"],
    PLANS: [
        *("_order", "_rules", "_agenda", "_destination", "_policy_table"),
        *("_nat64", "_history", "_cache", "_search", "_retry"),
    ],
    KERNEL: ["_network", "_handshake", "_connect", "_hooked", "_wire", "_hosts"],
    TIME: ["_resolve", "_discovery", "_stub", "_in_turn", "_attempt", "_inquiry", "_contest", "_race", "_tls"],
    DOOR: ["_connector", "_drop_in"],
    COMPANY: [
        "dns",
        "_dialogue",
        "_dns_message",
        "_dns_servers",
        "_dns_transports",
        "testing",
        "_simulated",
        "_simulated_bytes",
        "_simulated_hooks",
        "_simulated_host",
        "_simulated_names",
        "_simulate",
        "_virtual",
        "_timeline",
        "_wording",
        "_aftermath",
        "_axis",
        "_display",
        "_excerpt",
        "_svg",
        "_svg_elements",
        "_svg_layout",
        "_svg_rows",
        "_canvas",
        "_text",
        "_text_rows",
        "_recording",
        "_json_lines",
        "_qlog",
        "_summary",
        "_summary_svg",
        "_summary_text",
        "_tally",
        "_cli",
        "_demo",
        "_patch",
        "_anyio_streams",
        "anyio",
        "_http_streams",
        "httpcore",
        "proxy",
        "_guest",
        "_background",
        "_interrupts",
        "_cells",
        "_shell",
        "_lost_races",
        "_tracebacks",
        "_screens",
        "_live",
        "notebook",
        "_whole",
        "__main__",
    ],
    ROOF: ["__init__"],
}
FLOOR_OF = {name: floor for floor, names in FLOORS.items() for name in names}

SHOWN_ON_REQUEST = {("_errors", "_display")}
"""A value may be asked to show itself from any floor, inside the method that a notebook calls: who never asks never
loads it."""

NURSERIES_IN_COMPANY = {
    *("_cli", "_demo", "_simulate", "_simulated", "_simulated_hooks", "_simulated_names", "testing"),
    *("_background", "_live"),
}
SOCKETS_IN_COMPANY = {"_demo", "_simulated", "_simulated_hooks", "_simulated_names", "testing"}
CORE_NEEDS = {*sys.stdlib_module_names, "trio", "exceptiongroup", "idna"}
"""Trio brings `idna`, and `exceptiongroup` for Python 3.10."""

CONTAINERS = {"list", "dict", "set", "bytearray", "count", "cycle", "deque", "defaultdict", "Counter", "OrderedDict"}
CHANGES = {
    *("add", "append", "appendleft", "clear", "difference_update", "discard", "extend", "insert"),
    *("intersection_update", "pop", "popitem", "popleft", "remove", "reverse", "setdefault", "sort"),
    *("symmetric_difference_update", "update"),
}
"""The methods that change a container in place."""

LONGEST_MODULE = 300
LONGEST_FUNCTION = 40


@dataclass(frozen=True)
class Module:
    """One module as text and tree."""

    name: str
    text: str = field(repr=False)

    @property
    def tree(self) -> ast.Module:
        """What the text means."""
        return ast.parse(self.text)

    @property
    def floor(self) -> int:
        """Where it lives; of one that is on no floor, a rule of its own complains."""
        return FLOOR_OF.get(self.name, ROOF)

    @property
    def siblings(self) -> set[str]:
        """The modules of this package that it imports."""
        found = set()
        for node in ast.walk(self.tree):
            if isinstance(node, ast.ImportFrom) and node.level == 1:
                found |= {node.module.split(".")[0]} if node.module else {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == PACKAGE.name:
                found |= {str(node.module).partition(".")[2] or alias.name for alias in node.names}
            elif isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[2] for alias in node.names if alias.name.startswith(PACKAGE.name)}
        return {name if name in FLOOR_OF else "__init__" for name in found}

    @property
    def shown(self) -> set[str]:
        """What it imports only to show itself, and may: nowhere but in `_repr_mimebundle_`."""
        tree = self.tree
        methods = [function for function in _functions(tree) if function.name == "_repr_mimebundle_"]
        inside = [node for method in methods for node in ast.walk(method) if isinstance(node, ast.ImportFrom)]
        outside = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node not in inside]
        names = {node.module or "" for node in inside} - {node.module for node in outside}
        return {name for name in names if (self.name, name) in SHOWN_ON_REQUEST}

    @property
    def strangers(self) -> set[str]:
        """The packages from elsewhere that it imports."""
        nodes = list(ast.walk(self.tree))
        direct = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
        names = {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom) and not node.level}
        return {name.split(".")[0] for name in direct | names} - {PACKAGE.name}

    @property
    def calls(self) -> list[str]:
        """What it calls, as written: `socket.socket`, `self._network.open`."""
        return [ast.unparse(node.func) for node in ast.walk(self.tree) if isinstance(node, ast.Call)]

    @property
    def code_lines(self) -> list[int]:
        """The numbers of the lines that hold code: no docstring, no comment, not blank."""
        texts = [node for node in ast.walk(self.tree) if isinstance(node, ast.Expr) and _is_text(node.value)]
        prose = {line for text in texts for line in range(text.lineno, (text.end_lineno or 0) + 1)}
        lines = enumerate(map(str.strip, self.text.splitlines()), start=1)
        return [number for number, line in lines if line and not line.startswith("#") and number not in prose]


def _is_text(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and isinstance(value.value, str)


def _functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def has_a_floor(module: Module) -> list[str]:
    """Every module file is on a floor: where a new one lives is a decision."""
    return [] if module.name in FLOOR_OF else [f"{module.name} is on no floor"]


def imports_downwards(module: Module) -> list[str]:
    """A module imports from its own floor and those below it."""
    above = {name for name in module.siblings - module.shown if FLOOR_OF[name] > module.floor}
    return [f"{module.name} imports {name} from above" for name in sorted(above)]


def core_needs_trio_alone(module: Module) -> list[str]:
    """Floors 0 to 4 import the standard library, Trio and what Trio brings."""
    strangers = module.strangers - CORE_NEEDS if module.floor <= DOOR else set()
    return [f"{module.name} imports {name}" for name in sorted(strangers)]


def plans_do_not_wait(module: Module) -> list[str]:
    """Floors 0 and 1 have no `async def`."""
    if module.floor > PLANS:
        return []
    waiting = [node.name for node in _functions(module.tree) if isinstance(node, ast.AsyncFunctionDef)]
    return [f"{module.name}.{name} is async" for name in waiting]


def plans_know_no_clock_and_no_socket(module: Module) -> list[str]:
    """Floor 1 computes with times that it was given."""
    if module.floor != PLANS:
        return []
    forbidden = [call for call in module.calls if call.endswith("current_time") or call.startswith("socket.")]
    return [f"{module.name} calls {call}" for call in forbidden]


def nurseries_open_where_time_passes(module: Module) -> list[str]:
    """`open_nursery` appears on floor 3 and in the company that runs programs."""
    if module.floor == TIME or module.name in NURSERIES_IN_COMPANY:
        return []
    return [f"{module.name} opens a nursery" for call in module.calls if call.endswith("open_nursery")]


def sockets_open_in_the_kernel(module: Module) -> list[str]:
    """Sockets are created on floor 2, and by the company that plays a server."""
    if module.floor == KERNEL or module.name in SOCKETS_IN_COMPANY:
        return []
    makers = ("socket.socket", "socket.create_server", "socket.create_connection", "socket.socketpair", "network.open")
    return [f"{module.name} calls {call}" for call in module.calls if call.endswith(makers)]


def tls_contexts_live_in_tls(module: Module) -> list[str]:
    """`_tls` makes and changes TLS contexts; everybody may name their class."""
    if module.name == "_tls":
        return []
    makers = ("SSLContext", "create_default_context")
    return [f"{module.name} calls {call}" for call in module.calls if call.endswith(makers)]


def nothing_is_remembered(module: Module) -> list[str]:
    """No module-level mutable state: a container is a constant in capitals, and no function changes it."""
    containers = set(_containers(module.tree))
    changed = {name for function in _functions(module.tree) for name in _changed(function)}
    lower = sorted(name for name in containers if not name.isupper() and name != "__all__")
    return [f"{module.name}.{name} is a container, but no constant" for name in lower] + [
        f"a function of {module.name} changes {name}" for name in sorted(changed & (containers | {"global"}))
    ]


def _containers(tree: ast.Module) -> Iterator[str]:
    """The module-level names that hold something mutable."""
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None and _is_mutable(node.value):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (ast.unparse(target) for target in targets)


def _is_mutable(value: ast.expr) -> bool:
    if isinstance(value, ast.Call):
        return ast.unparse(value.func).split(".")[-1] in CONTAINERS
    displays = ast.List | ast.Dict | ast.Set | ast.ListComp | ast.DictComp | ast.SetComp | ast.GeneratorExp
    return isinstance(value, displays)


def _changed(function: ast.AST) -> Iterator[str]:
    """The names that a function changes in place, and "global" where it binds a name of the module."""
    for node in ast.walk(function):
        if isinstance(node, ast.Global):
            yield "global"
        elif isinstance(node, ast.AugAssign):
            yield ast.unparse(node.target)
        elif isinstance(node, ast.Attribute | ast.Subscript) and _is_change(node):
            yield ast.unparse(node.value)


def _is_change(node: ast.Attribute | ast.Subscript) -> bool:
    return node.attr in CHANGES if isinstance(node, ast.Attribute) else not isinstance(node.ctx, ast.Load)


def a_module_is_short(module: Module) -> list[str]:
    """One idea in each module, in 300 lines of code at most."""
    length = len(module.code_lines)
    return [f"{module.name} has {length} lines of code"] if length > LONGEST_MODULE else []


def a_function_fits_on_a_screen(module: Module) -> list[str]:
    """Forty lines of code at most."""
    lengths = {
        function.name: sum(function.lineno <= line <= (function.end_lineno or 0) for line in module.code_lines)
        for function in _functions(module.tree)
    }
    too_long = {name: length for name, length in lengths.items() if length > LONGEST_FUNCTION}
    return [f"{module.name}.{name} has {length} lines of code" for name, length in too_long.items()]


Rule = Callable[[Module], list[str]]

RULES: list[Rule] = [
    has_a_floor,
    imports_downwards,
    core_needs_trio_alone,
    plans_do_not_wait,
    plans_know_no_clock_and_no_socket,
    nurseries_open_where_time_passes,
    sockets_open_in_the_kernel,
    tls_contexts_live_in_tls,
    nothing_is_remembered,
    a_module_is_short,
    a_function_fits_on_a_screen,
]

HOUSE = [Module(path.stem, path.read_text("utf-8")) for path in sorted(PACKAGE.rglob("*.py"))]


@pytest.mark.parametrize("rule", RULES)
def test_the_house_keeps_the_rule(rule: Rule) -> None:
    assert [complaint for module in HOUSE for complaint in rule(module)] == []


LONG_FUNCTION = "def f():\n    '''Many\n    words.'''\n\n    # And a comment.\n" + "    f()\n" * LONGEST_FUNCTION

BROKEN: list[tuple[Rule, str, str, list[str]]] = [
    (has_a_floor, "_new", "", ["_new is on no floor"]),
    (imports_downwards, "_address", "from ._race import Race", ["_address imports _race from above"]),
    (imports_downwards, "_address", "from . import trace, _agenda", ["_address imports _agenda from above"]),
    (imports_downwards, "_race", "import trio_nbconnect._cli", ["_race imports _cli from above"]),
    (imports_downwards, "_race", "import trio_nbconnect", ["_race imports __init__ from above"]),
    (imports_downwards, "_race", "from . import Connector", ["_race imports __init__ from above"]),
    (imports_downwards, "_race", "from trio_nbconnect import Connector", ["_race imports __init__ from above"]),
    (imports_downwards, "_race", "from trio_nbconnect._cli import main", ["_race imports _cli from above"]),
    (imports_downwards, "_race", "def f():\n    from .testing import X", ["_race imports testing from above"]),
    (imports_downwards, "_errors", "def f():\n    from ._display import X", ["_errors imports _display from above"]),
    (
        imports_downwards,
        "_errors",
        "from ._display import X\ndef _repr_mimebundle_():\n    from ._display import X",
        ["_errors imports _display from above"],
    ),
    (
        imports_downwards,
        "_race",
        "def _repr_mimebundle_():\n    from ._display import X",
        ["_race imports _display from above"],
    ),
    (imports_downwards, "_race", "if TYPE_CHECKING:\n    from ._text import X", ["_race imports _text from above"]),
    (core_needs_trio_alone, "_resolve", "import dns.resolver, trio, ssl", ["_resolve imports dns"]),
    (core_needs_trio_alone, "_resolve", "from anyio.abc import X", ["_resolve imports anyio"]),
    (plans_do_not_wait, "_order", "class C:\n    async def f(self): ...", ["_order.f is async"]),
    (plans_do_not_wait, "trace", "async def f(): ...", ["trace.f is async"]),
    (plans_know_no_clock_and_no_socket, "_agenda", "now = trio.current_time()", ["_agenda calls trio.current_time"]),
    (plans_know_no_clock_and_no_socket, "_order", "socket.gethostname()", ["_order calls socket.gethostname"]),
    (nurseries_open_where_time_passes, "_connect", "trio.open_nursery()", ["_connect opens a nursery"]),
    (nurseries_open_where_time_passes, "_connector", "open_nursery()", ["_connector opens a nursery"]),
    (sockets_open_in_the_kernel, "_race", "socket.socket()", ["_race calls socket.socket"]),
    (sockets_open_in_the_kernel, "_drop_in", "trio.socket.socket()", ["_drop_in calls trio.socket.socket"]),
    (sockets_open_in_the_kernel, "_connector", "self.network.open(IPV6)", ["_connector calls self.network.open"]),
    (tls_contexts_live_in_tls, "_connector", "ssl.SSLContext()", ["_connector calls ssl.SSLContext"]),
    (
        tls_contexts_live_in_tls,
        "_drop_in",
        "ssl.create_default_context()",
        ["_drop_in calls ssl.create_default_context"],
    ),
    (nothing_is_remembered, "_race", "races = []", ["_race.races is a container, but no constant"]),
    (nothing_is_remembered, "_race", "ids = itertools.count()", ["_race.ids is a container, but no constant"]),
    (nothing_is_remembered, "_race", "a: dict[str, int] = dict()", ["_race.a is a container, but no constant"]),
    (nothing_is_remembered, "_race", "IDS = []\ndef f(): IDS.append(1)", ["a function of _race changes IDS"]),
    (nothing_is_remembered, "_race", "IDS = {}\ndef f(): IDS[1] = 2", ["a function of _race changes IDS"]),
    (nothing_is_remembered, "_race", "IDS = {}\ndef f(): del IDS[1]", ["a function of _race changes IDS"]),
    (nothing_is_remembered, "_race", "IDS = {1}\ndef f(): g = IDS.add", ["a function of _race changes IDS"]),
    (
        nothing_is_remembered,
        "_race",
        "n = 0\ndef f():\n    global n\n    n += 1",
        ["a function of _race changes global"],
    ),
    (a_module_is_short, "_race", "f()\n" * 301, ["_race has 301 lines of code"]),
    (a_function_fits_on_a_screen, "_race", LONG_FUNCTION, ["_race.f has 41 lines of code"]),
]


@pytest.mark.parametrize(("rule", "name", "text", "complaints"), BROKEN)
def test_the_rule_can_fail(rule: Rule, name: str, text: str, complaints: list[str]) -> None:
    assert rule(Module(name, text)) == complaints


@pytest.mark.parametrize(
    ("rule", "name", "text"),
    [
        (imports_downwards, "_race", "from . import trace\nfrom ._resolve import Resolver"),
        (imports_downwards, "__init__", "from ._cli import main"),
        (imports_downwards, "_errors", "def _repr_mimebundle_():\n    from ._display import X"),
        (core_needs_trio_alone, "_cli", "import rich"),
        (tls_contexts_live_in_tls, "_connector", "def f(context: ssl.SSLContext): _tls.default_context()"),
        (nothing_is_remembered, "_race", "__all__ = ['Race']\nNAMES = {1: 'one'}\nNAMES[2] = 'two'"),
        (nothing_is_remembered, "_race", "def f():\n    names = []\n    names.append(1)"),
        (a_module_is_short, "_race", "'''Doc.'''\n" + "f()\n" * 300),
        (a_function_fits_on_a_screen, "_race", LONG_FUNCTION.removesuffix("    f()\n")),
    ],
)
def test_the_rule_allows_what_the_house_does(rule: Rule, name: str, text: str) -> None:
    assert rule(Module(name, text)) == []


def test_every_rule_is_shown_to_fail() -> None:
    assert {rule for rule, *_ in BROKEN} == set(RULES)


def imports_of(house: list[Module]) -> dict[str, set[str]]:
    """Who imports whom; the roof, which everybody's import passes through, is left out."""
    return {module.name: module.siblings - module.shown - {"__init__"} for module in house if module.floor != ROOF}


def circles(imports: dict[str, set[str]]) -> set[str]:
    """Return the modules that import each other, taking away those that import nothing until none is left."""
    while leaves := {name for name, needs in imports.items() if not needs & set(imports)}:
        imports = {name: needs for name, needs in imports.items() if name not in leaves}
    return set(imports)


def test_nobody_imports_in_circles() -> None:
    assert circles(imports_of(HOUSE)) == set()


def test_a_circle_is_found() -> None:
    house = [Module("_race", "from ._tls import a"), Module("_tls", "from ._resolve import b"), Module("_policy", "")]

    assert circles(imports_of([*house, Module("_resolve", "")])) == set()
    assert circles(imports_of([*house, Module("_resolve", "from ._race import c")])) == {"_race", "_tls", "_resolve"}


def test_the_coverage_of_the_core_leaves_out_the_company_alone() -> None:
    tomllib = pytest.importorskip("tomllib", reason="Python 3.10 cannot read pyproject.toml")
    config = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text("utf-8"))

    assert config["tool"]["coverage"]["report"]["omit"] == sorted(f"*/{name}.py" for name in FLOORS[COMPANY])
