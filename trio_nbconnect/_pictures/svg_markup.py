"""SVG markup: shapes, texts and the style sheet.

Text that comes from outside becomes markup here alone, escaped. Numbers are written with fixed digits, so that equal
pictures are equal to the byte. There is no script, no font and no resource from elsewhere: a picture works inside
`<img>`, where browsers allow neither. Colours are classes, light ones and, where the reader prefers it, dark ones; each
rule of the style sheet begins with our own class, so that a picture inlined into a page changes nothing else in it.

The background is painted: a viewer that ignores the reader's preference still shows a picture that can be read.
"""

from __future__ import annotations

import html
import unicodedata

from .._printable import printable

SANS = "system-ui,-apple-system,'Segoe UI','DejaVu Sans',sans-serif"
MONO = "ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace"

_COLORS = {
    # class: property, light, dark
    "bg": ("fill", "#ffffff", "#111111"),
    "ink": ("fill", "#1f2328", "#dddddd"),
    "soft": ("fill", "#666a6f", "#9a9a9a"),
    "faint": ("fill", "#8b8f94", "#707070"),
    "grid": ("stroke", "#e8e9ea", "#262626"),
    "wait": ("stroke", "#a3a6a9", "#6e6e6e"),
    "known": ("fill", "#7d8085", "#8a8a8a"),
    "pale": ("stroke", "#c9cbce", "#444444"),
    "rim": ("stroke", "#a3a6a9", "#6e6e6e"),
    "pill": ("fill", "#e2e3e3", "#2b2b2b"),
    "dns": ("fill", "#9a6fb8", "#9a6fb8"),
    "dns-rim": ("stroke", "#9a6fb8", "#9a6fb8"),
    "won": ("fill", "#0a8f6a", "#0a8f6a"),
    "won-line": ("stroke", "#0a8f6a", "#12a57c"),
    "won-text": ("fill", "#087f5e", "#1fb589"),
    "bad": ("fill", "#d55e00", "#d55e00"),
    "bad-line": ("stroke", "#d55e00", "#e8701a"),
    "bad-text": ("fill", "#b34f00", "#f08a3c"),
    "late": ("fill", "#c98500", "#c98500"),
    "late-line": ("stroke", "#c98500", "#d99a1e"),
    "late-text": ("fill", "#8f5f00", "#dfa53a"),
    "open": ("fill", "#3b78b5", "#4a8ac9"),
    "open-line": ("stroke", "#3b78b5", "#5b9bd8"),
    "cut": ("fill", "#f2f3f3", "#1c1d1d"),
    "cut-line": ("stroke", "#b3b7bc", "#5c6066"),
    "cut-rim": ("stroke", "#a9adb2", "#5c6066"),
    "soft-line": ("stroke", "#7d8085", "#8a8a8a"),
    "tick": ("stroke", "#1f2328", "#f2f2f2"),
    "halo": ("stroke", "#ffffff", "#111111"),
    "dot": ("stroke", "#ffffff", "#111111"),
}

_SHAPES = (
    f"text{{font:12px {SANS}}}",
    f".mono{{font-family:{MONO}}}",
    ".b{font-weight:700}",
    ".xl{font-size:15px}",
    ".l{font-size:14px}",
    ".s{font-size:11px}",
    ".xs{font-size:10px}",
    ".e{text-anchor:end}",
    ".m{text-anchor:middle}",
    ".line{fill:none;stroke-width:1}",
    ".thick{stroke-width:1.5}",
    ".end{stroke-width:1.5}",
    ".icon{fill:none;stroke-width:1.5;stroke-linecap:round;stroke-linejoin:round}",
    ".fat{stroke-width:2.4}",
    ".dots{stroke-width:1.2;stroke-dasharray:2 3}",
    ".dash{stroke-dasharray:3 2}",
    ".half{opacity:.45}",
    ".tick{stroke-width:2}",
    ".halo{stroke-width:3px;stroke-linejoin:round;paint-order:stroke}",
    ".dot{stroke-width:1}",
    ".host{unicode-bidi:isolate}",
)

_NARROW, _WIDE = frozenset("!',.:;I[]fijlrt|()- "), frozenset("@MW%mw")


def number(value: float) -> str:
    """Write a number with at most one digit behind the point.

    Example:
        >>> [number(value) for value in (1, 2.04, -0.01, 10.25)]
        ['1', '2', '0', '10.2']
    """
    text = f"{value:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text


def escaped(text: str) -> str:
    """Escape text for elements and attributes; what XML 1.0 does not allow (section 2.2) is not printable."""
    return html.escape(printable(text))


def text(x: float, y: float, words: str, classes: str = "soft") -> str:
    """A text with its baseline at y."""
    return f'<text x="{number(x)}" y="{number(y)}" class="{classes}">{escaped(words)}</text>'


def label(x: float, y: float, words: str, classes: str = "soft") -> str:
    """A text inside of the chart: in the colour of the background around its letters, so that lines do not cross it."""
    return text(x, y, words, f"{classes} halo")


def texts(x: float, y: float, parts: list[tuple[str, str]], classes: str = "") -> str:
    """A text of several parts, each with classes of its own."""
    spans = "".join(f'<tspan class="{own}">{escaped(words)}</tspan>' for words, own in parts)
    return f'<text x="{number(x)}" y="{number(y)}" class="{classes}">{spans}</text>'


def rect(x: float, y: float, width: float, height: float, classes: str, *, radius: float = 0) -> str:
    """A rectangle; the radius of its corners is at most half of its sides."""
    radius = min(radius, width / 2, height / 2)
    rounded = f' rx="{number(radius)}"' if radius else ""
    place = f'x="{number(x)}" y="{number(y)}" width="{number(width)}" height="{number(height)}"'
    return f'<rect {place}{rounded} class="{classes}"/>'


def circle(x: float, y: float, radius: float, classes: str) -> str:
    """A disc, or a ring."""
    return f'<circle cx="{number(x)}" cy="{number(y)}" r="{number(radius)}" class="{classes}"/>'


def path(steps: str, classes: str, x: float = 0, y: float = 0) -> str:
    """A path that starts at a point."""
    moved = f' transform="translate({number(x)} {number(y)})"' if x or y else ""
    return f'<path d="{steps}"{moved} class="{classes}"/>'


def line(x1: float, y1: float, x2: float, y2: float, classes: str) -> str:
    """A straight line."""
    return path(f"M{number(x1)} {number(y1)}L{number(x2)} {number(y2)}", f"line {classes}")


def break_marks(places: list[float], top: float, bottom: float) -> list[str]:
    """Mark the breaks of the axis, from the top of a chart to its bottom."""
    parts, teeth = [], int((bottom - top + 8) // 10)
    edge, back = "l3 5l-3 5" * teeth, "l3 -5l-3 -5" * teeth
    for x in places:
        parts.append(path(f"M0 0{edge}h5{back}z", "bg", x - 4, top - 8))
        parts += [path(f"M0 0{edge}", "line soft-line", x - 4 + shift, top - 8) for shift in (0, 5)]
    return parts


def document(width: float, height: float, parts: list[str], *, title: str, description: str) -> str:
    """The whole picture: its description in words, the style sheet, its parts."""
    size = f'width="{number(width)}" height="{number(height)}" viewBox="0 0 {number(width)} {number(height)}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" class="nbc" aria-label="{escaped(title)}">',
            f"<title>{escaped(title)}</title>",
            f"<desc>{escaped(description)}</desc>",
            f"<style>{_style_sheet()}</style>",
            f"<defs>{_hatch('cut', 45)}{_hatch('won', 45)}{_hatch('late', 0)}</defs>",
            rect(0, 0, width, height, "bg", radius=6),
            *parts,
            "</svg>\n",
        ]
    )


def _hatch(name: str, angle: int) -> str:
    """The pattern of a kind of bar; it is equal in every picture, so its id may be, too."""
    turned = f' patternTransform="rotate({angle})"' if angle else ""
    return (
        f'<pattern id="nbc-{name}" width="6" height="6" patternUnits="userSpaceOnUse"{turned}>'
        f'<rect width="6" height="6" class="cut"/><path d="M3 0V6" class="line thick {name}-line"/></pattern>'
    )


def _style_sheet() -> str:
    sheet = [*_SHAPES, *(f".hatch-{name}{{fill:url(#nbc-{name})}}" for name in ("cut", "won", "late"))]
    sheet += [f".{name}{{{what}:{light}}}" for name, (what, light, _) in _COLORS.items()]
    dark = [f".{name}{{{what}:{dark}}}" for name, (what, light, dark) in _COLORS.items() if dark != light]
    scoped = "".join(f".nbc {rule}" for rule in sheet)
    return f"{scoped}@media (prefers-color-scheme:dark){{{''.join(f'.nbc {rule}' for rule in dark)}}}"


def width_of(words: str, size: float = 12, *, bold: bool = False, mono: bool = False) -> float:
    """Estimate the width of a text, rather too wide: the reader's fonts are unknown."""
    if mono:
        return sum(_columns(character) for character in words) * size * 0.61
    ems = sum(_ems(character) for character in words)
    return ems * size * (1.1 if bold else 1.0)


def _columns(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _ems(character: str) -> float:
    if character in _NARROW:
        return 0.4
    if character in _WIDE:
        return 0.96
    return (0.0, 0.7 if character.isupper() else 0.64, 1.05)[_columns(character)]


def fitted(words: str, room: float, size: float = 12, *, bold: bool = False, mono: bool = False) -> str:
    """Shorten a text that is too wide, with an ellipsis."""
    if width_of(words, size, bold=bold, mono=mono) <= room:
        return words
    room -= width_of("…", size, bold=bold, mono=mono)
    kept = 0
    for character in words:
        room -= width_of(character, size, bold=bold, mono=mono)
        if room < 0:
            break
        kept += 1
    return f"{words[:kept]}…"
