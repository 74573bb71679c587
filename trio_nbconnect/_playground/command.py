"""Command: `nbconnect playground [DIR]` writes the playground as a folder of static files, and shows it on loopback."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from .._printable import printable
from .site import PYODIDE, SiteError, build, server

DONE, FAILED, INTERRUPTED = 0, 1, 130
PORT = 8305


def main(arguments: Sequence[str]) -> int:
    """Write the folder, serve it if asked to, and return the exit code."""
    options = _parser().parse_args(arguments)
    if options.folder is None and not options.serve:
        _parser().error("name a folder, or say --serve")
    try:
        if options.folder is not None:
            return _write(options.folder, options)
        with tempfile.TemporaryDirectory() as folder:
            return _write(Path(folder), options)
    except KeyboardInterrupt:
        return DONE if options.serve else INTERRUPTED
    except (OSError, SiteError) as error:
        print(f"nbconnect playground: {printable(str(error))}", file=sys.stderr)
        return FAILED


def _write(folder: Path, options: argparse.Namespace) -> int:
    build(folder, options.pyodide)
    if options.folder is not None:
        print(f"written to {folder}; any server of static files can show it")
    if options.serve:
        with server(folder, options.port) as pages:
            print(f"http://127.0.0.1:{pages.server_port}/ (end with Ctrl+C)", flush=True)
            pages.serve_forever()
    return DONE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="nbconnect playground",
        description="Write a page on which one edits a network as a picture, with the race on it drawn below, "
        "run by this library in the browser.",
    )
    parser.add_argument("folder", metavar="DIR", nargs="?", type=Path, help="where to write it")
    parser.add_argument(
        "--serve", action="store_true", help="show it on loopback; without DIR, from a temporary folder"
    )
    parser.add_argument("--port", type=int, default=PORT, help="the port to show it on (default: %(default)s)")
    words = f"a folder that has Pyodide's files; else npm fetches {PYODIDE}"
    parser.add_argument("--pyodide", metavar="FOLDER", type=Path, help=words)
    return parser
