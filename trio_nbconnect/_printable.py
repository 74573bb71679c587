"""Printable text: what comes from outside, made safe to show.

Host names, the texts of servers and the names of interfaces may contain line ends, escape sequences that a terminal
interprets, characters that reverse the direction of writing, and bytes that are no text; and they may be as long as
whoever wrote them likes. Wherever such a text is shown, in a terminal, a log, an error on standard error, SVG or HTML,
it goes through this one function; HTML is escaped after.
"""

from __future__ import annotations

LONGEST = 2000
"""Characters that are shown of one text: more than any error of ours has, and too few to fill a log."""


def shortened(text: str, most: int = LONGEST) -> str:
    """Cut what is longer than so many characters.

    Example:
        >>> shortened("9" * 401, 5)
        '99999...'
    """
    return text if len(text) <= most else f"{text[:most]}..."


def printable(text: str) -> str:
    r"""Replace characters that cannot be printed by their escapes in Python, and cut what nobody could read.

    Example:
        >>> print(printable("evil.example\n\x1b[31m"))
        evil.example\n\x1b[31m
    """
    text = shortened(text)
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )


_NO_TIME = 1e-9
"""Seconds: clocks have no finer resolution, and sums of floats are off by less."""


def seconds_text(seconds: float) -> str:
    """Write a duration: `0.3 ms`, `704 ms`, `12.5 s`; what took any time at all is not written as none.

    Example:
        >>> [seconds_text(seconds) for seconds in (0, 2e-9, 0.000024, 0.00031, 0.0099, 0.00996, 0.7041)]
        ['0.0 ms', '0.01 ms', '0.02 ms', '0.3 ms', '9.9 ms', '10 ms', '704 ms']
        >>> [seconds_text(seconds) for seconds in (12.5, 7200, 2e6)]
        ['12.5 s', '7200 s', '2e+06 s']
    """
    milliseconds = seconds * 1000
    if seconds > _NO_TIME and round(milliseconds, 2) < 0.1:
        return f"{max(milliseconds, 0.01):.2f} ms"
    if round(milliseconds, 1) < 10:
        return f"{milliseconds:.1f} ms"
    if round(milliseconds) < 10_000:
        return f"{milliseconds:.0f} ms"
    if seconds < 1000:
        return f"{seconds:.1f} s"
    return f"{seconds:.0f} s" if seconds < 100_000 else f"{seconds:.0e} s"
