"""Layers: a module imports from its own folder and from the layers below; the folder is the layer."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "trio_nbconnect"

LAYERS = [
    {"_public"},
    {"_address", "_error_texts", "_printable", "_urls"},
    {"_policy", "_errors", "_listening"},
    {"_connect"},
    {"_resolve"},
    {"trace"},
    {"_race", "_blocking"},
    {"_connector"},
    {"_functions"},
    {"_dns", "_pictures"},
    {"_simulation", "_notebook", "_adapters", "_cli"},
    {"_playground"},
]
"""From the bottom to the top; what stands side by side does not import each other."""

EXCEPTIONS = {("_errors", "_pictures"), ("_functions", "_dns")}
"""An error draws itself where a notebook asks for it, in `ConnectError._repr_mimebundle_`; and `open_service_stream`, a
function of the package, asks name servers."""

Import = tuple[str, str]


def layer(module: str) -> int | None:
    """Tell how high a module stands; the faces and what holds them together stand above all."""
    return next((height for height, names in enumerate(LAYERS) if module.split(".", maxsplit=1)[0] in names), None)


def imports(module: str, text: str) -> Iterator[Import]:
    """Find who is imported, as paths inside the package."""
    package = module.split(".")[:-1]
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1]
            names = [node.module] if node.module else [alias.name for alias in node.names]
            yield from ((module, ".".join([*base, name])) for name in names)
        elif isinstance(node, ast.ImportFrom | ast.Import):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            yield from ((module, name) for name in names if name.split(".")[0] == PACKAGE.name)


def is_allowed(importer: str, imported: str) -> bool:
    """Say whether a layer may import another."""
    ours, theirs = importer.split(".", maxsplit=1)[0], imported.split(".", maxsplit=1)[0]
    if ours == theirs or (ours, theirs) in EXCEPTIONS:
        return True
    above, below = layer(ours), layer(theirs)
    return above is None or (below is not None and below < above)


MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path.read_text("utf-8") for path in PACKAGE.rglob("*.py")
}
IMPORTS = sorted({pair for module, text in MODULES.items() for pair in imports(module, text)})


@pytest.mark.parametrize("pair", IMPORTS, ids=" imports ".join)
def test_a_module_imports_what_stands_below(pair: Import) -> None:
    assert is_allowed(*pair)


def test_nobody_imports_in_circles() -> None:
    graph: TopologicalSorter[str] = TopologicalSorter()
    for importer, imported in IMPORTS:
        if imported in MODULES and (importer, imported.split(".")[0]) not in EXCEPTIONS:
            graph.add(importer, imported)
    graph.prepare()


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("_address", "from ._race.race import Race"),
        ("_race.race", "from .._connector import Connector"),
        ("_race.race", "def late():\n    from .._cli import command"),
        ("_race.race", "import trio_nbconnect._cli"),
        ("_race.race", "from trio_nbconnect import Connector"),
        ("_race.race", "from .. import dns"),
        ("_adapters.for_anyio", "from .._notebook.cells import X"),
        ("_pictures.text", "from .._dns import cache"),
    ],
)
def test_what_stands_above_is_found(module: str, text: str) -> None:
    assert not all(is_allowed(*pair) for pair in imports(module, text))
