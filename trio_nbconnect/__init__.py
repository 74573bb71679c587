"""Connect to a host the way RFC 8305 asks for, in Trio: fast where addresses are broken, and visible.

>>> import trio_nbconnect as nb
>>> stream = await nb.open_tcp_stream("example.org", 443)  # doctest: +SKIP

The one skipped line needs the internet; the README runs the same on loopback. See `Connector` for everything that can
be configured, `ConnectError` for what an error says, and `record` for seeing a race.

A name is imported when it is first used (PEP 562), so that a program starts fast: the pictures, the proxies and the
simulated network are loaded only where they are used. `from trio_nbconnect import open_tcp_stream` is such a use; write
it where the first connect must not wait for the import.
"""

from importlib import import_module

from . import _public

__version__ = "0.1.0"

_HOMES = {name: module for module, names in _public.NAMES.items() for name in names}

__all__ = sorted(_HOMES)  # noqa: PLE0605 - type checkers read the stub beside this file


def __getattr__(name: str) -> object:
    """Import what a name stands for, the first time it is asked for."""
    if name in _public.MODULES:
        try:
            return import_module(f".{name}", __name__)
        except ImportError as missing:  # `hasattr`, `inspect` and `help` expect no other error than this
            raise AttributeError(f"module {__name__!r} cannot load {name!r}: {missing}") from missing
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f".{_HOMES[name]}", __name__)
    _public.publish_names()
    globals()[name] = getattr(module, name)
    return globals()[name]


def __dir__() -> list[str]:
    return sorted([*__all__, *_public.MODULES])
