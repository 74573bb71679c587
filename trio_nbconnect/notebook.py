"""Notebook: `await` Trio in Jupyter's cells, with the standard Python kernel (extra `notebook`)."""

from ._notebook.extension import load_ipython_extension, unload_ipython_extension
from ._notebook.shell import Shell
from ._pictures.watch import watch
from ._public import publish

__all__ = [
    "Shell",
    "load_ipython_extension",
    "unload_ipython_extension",
    "watch",
]

publish(__name__)
