"""The package's stub, which type checkers and editors read: written from the table of public names.

`python -m tests.stub` writes `trio_nbconnect/__init__.pyi`; a test compares it with the table.
"""

from __future__ import annotations

from pathlib import Path

from trio_nbconnect._public import MODULES, NAMES

STUB = Path(__file__).parent.parent / "trio_nbconnect" / "__init__.pyi"

HEADER = "# Written by `python -m tests.stub` from the table in _public.py.\n"


def stub() -> str:
    """Import every public name the way type checkers know it, and list what `import *` brings."""
    imports = [f"from .{home} import {name} as {name}" for home, names in sorted(NAMES.items()) for name in names]
    modules = [f"from . import {name} as {name}" for name in MODULES]
    names = [f'    "{name}",' for name in sorted(name for names in NAMES.values() for name in names)]
    return "\n".join([HEADER, *modules, *imports, "", "__version__: str", "", "__all__ = [", *names, "]", ""])


if __name__ == "__main__":
    STUB.write_text(stub(), "utf-8")
