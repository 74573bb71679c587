"""Site: the playground as a folder of static files, and a server on loopback to look at it.

What is written is all that a browser needs: the page, Pyodide, and an archive of the Python packages, Trio and this
library, as they are installed here. At run time nothing comes from any other host, so the page works without a network,
and wherever static files are served; a browser loads no modules from `file://`.

Pyodide is fetched by npm, which checks what it gets, or copied from a folder that has it.
"""

from __future__ import annotations

import functools
import http.server
import importlib.util
import io
import shutil
import subprocess
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

PYODIDE = "pyodide@314.0.7"
"""What npm is asked for; it has CPython 3.14."""

_PYODIDE_FILES = ("pyodide.mjs", "pyodide.asm.mjs", "pyodide.asm.wasm", "python_stdlib.zip", "pyodide-lock.json")
_PACKAGES = {
    "trio_nbconnect": "trio-nbconnect",
    "trio": "trio",
    "attr": "attrs",
    "attrs": "attrs",
    "outcome": "outcome",
    "sniffio": "sniffio",
    "sortedcontainers": "sortedcontainers",
    "idna": "idna",
}
"""The packages that a race needs, and the distributions that they come from."""

_LEFT_OUT = {"__pycache__", "_tests", "_tools"}
_PAGE = Path(__file__).parent / "page"


class SiteError(Exception):
    """The folder cannot be written; the text says why."""


def build(folder: Path, pyodide: Path | None = None) -> None:
    """Write the playground.

    Args:
        folder: Where to; it is made if it is not there.
        pyodide: A folder with Pyodide's files; None lets npm fetch them.

    Raises:
        SiteError: There is no Pyodide.
        OSError: Something cannot be written.
    """
    target = folder / "pyodide"
    target.mkdir(parents=True, exist_ok=True)
    if pyodide is None:
        fetch_pyodide(target)
    else:
        _copy(pyodide, target)
    for file in _PAGE.iterdir():
        shutil.copyfile(file, folder / file.name)
    (folder / "packages.zip").write_bytes(packages())


def fetch_pyodide(target: Path) -> None:
    """Have npm fetch Pyodide, and put its files into a folder.

    Raises:
        SiteError: npm is not there, or cannot fetch it.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise SiteError("npm is needed to fetch Pyodide; or name a folder that has it with --pyodide")
    with tempfile.TemporaryDirectory() as folder:
        command = [npm, "pack", "--silent", "--pack-destination", folder, PYODIDE]
        done = subprocess.run(
            command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SiteError(f"npm cannot fetch {PYODIDE}: {done.stderr.strip() or done.stdout.strip()}")
        (archive,) = Path(folder).glob("*.tgz")
        with tarfile.open(archive) as files:
            for name in _PYODIDE_FILES:
                content = files.extractfile(f"package/{name}")
                assert content is not None
                (target / name).write_bytes(content.read())


def _copy(source: Path, target: Path) -> None:
    missing = [name for name in _PYODIDE_FILES if not (source / name).is_file()]
    if missing:
        raise SiteError(f"{source} has no {missing[0]}; npm's package {PYODIDE.partition('@')[0]} has it")
    if source.resolve() != target.resolve():
        for name in _PYODIDE_FILES:
            shutil.copyfile(source / name, target / name)


def packages() -> bytes:
    """Archive the Python packages of a race as they are installed, with their licences; equal files, equal bytes."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as files:
        for name, path in sorted(_package_files()):
            files.writestr(zipfile.ZipInfo(name), path.read_bytes(), zipfile.ZIP_DEFLATED)
    return archive.getvalue()


def _package_files() -> Iterator[tuple[str, Path]]:
    for package in _PACKAGES:
        spec = importlib.util.find_spec(package)
        if spec is None:  # another version of Trio may not need it
            continue
        root = Path(str(spec.origin)).parent
        for path in root.rglob("*.py"):
            relative = path.relative_to(root)
            if not _LEFT_OUT & set(relative.parts):
                yield f"{package}/{relative.as_posix()}", path
    for distribution in metadata.distributions():
        if distribution.name not in _PACKAGES.values():
            continue
        for file in distribution.files or ():
            if ".dist-info" in file.parts[0] and (file.name == "METADATA" or "licen" in str(file).lower()):
                yield str(file), Path(str(file.locate()))


class _Handler(http.server.SimpleHTTPRequestHandler):
    """Serves files with the types that browsers insist on."""

    extensions_map = http.server.SimpleHTTPRequestHandler.extensions_map | {
        ".mjs": "text/javascript",
        ".js": "text/javascript",
        ".wasm": "application/wasm",
    }

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Say nothing of every file."""


def server(folder: Path, port: int = 0) -> http.server.ThreadingHTTPServer:
    """Return a server of a folder on the loopback interface, for `serve_forever`.

    Raises:
        OSError: The port is in use.
    """
    handler = functools.partial(_Handler, directory=str(folder))
    return http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)
