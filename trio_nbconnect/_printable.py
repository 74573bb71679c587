"""Printable text: what comes from outside, made safe to show.

Host names, the texts of servers and the names of interfaces may contain line ends, escape sequences that a terminal
interprets, characters that reverse the direction of writing, and bytes that are no text. Wherever such a text is shown,
in a terminal, a log, an error on standard error, SVG or HTML, it goes through this one function; HTML is escaped after.
"""

from __future__ import annotations


def printable(text: str) -> str:
    r"""Replace characters that cannot be printed by their escapes in Python.

    Example:
        >>> print(printable("evil.example\n\x1b[31m"))
        evil.example\n\x1b[31m
    """
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )
