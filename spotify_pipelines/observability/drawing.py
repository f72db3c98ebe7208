"""The strokes that all pictures share: small SVG, and the one form in which Dagster's UI shows it.

What belongs here: text, lines, dots, the sheet they stand on. Pure. What does not: what a picture shows
(``trends``, ``playlists.pictures``).

Dagster's UI shows an image in Markdown whose address is a ``data:`` URI; SVG or HTML as text is stripped there.
Inside an image nothing runs and nothing is loaded; texts are still escaped, so that no name can break a picture.
"""

import base64
from collections.abc import Sequence
from xml.sax.saxutils import escape

__all__ = ["GRID", "PLAIN", "as_markdown", "dots", "label", "path", "sheet", "shortened"]

PLAIN, GRID = "#555", "#ddd"
_LONGEST_TITLE = 90


def as_markdown(svg: str, what: str) -> str:
    """An image in Markdown; ``what`` is its text for those who don't see it, in our own words."""
    return f"![{what}](data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode('ascii')})"


def sheet(title: str, parts: Sequence[str], width: float, height: float) -> str:
    """The whole picture, in pixels: a white sheet with its title and everything on it."""
    heading = label(8, 16, shortened(title, _LONGEST_TITLE), "#111", "start")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height:g}" '
        f'viewBox="0 0 {width:g} {height:g}" font-family="sans-serif" font-size="11">'
        f'<rect width="100%" height="100%" fill="#fff"/>{heading}{"".join(parts)}</svg>'
    )


def label(x: float, y: float, text: str, colour: str, anchor: str) -> str:
    """A text on one line; ``anchor`` is ``start``, ``middle`` or ``end``."""
    return f'<text x="{x:g}" y="{y:g}" fill="{colour}" text-anchor="{anchor}">{_safe(text)}</text>'


def path(steps: Sequence[str], colour: str, width: float) -> str:
    """One line along SVG path commands."""
    return f'<path d="{"".join(steps)}" fill="none" stroke="{colour}" stroke-width="{width:g}"/>'


def dots(points: Sequence[tuple[str, str]], colour: str, width: int) -> str:
    """Lines of no length with round ends: all dots in one element, a fifth of the bytes of circles."""
    steps = "".join(f"M{x},{y}h0" for x, y in points)
    return f'<path d="{steps}" stroke="{colour}" stroke-width="{width}" stroke-linecap="round"/>'


def shortened(text: str, longest: int) -> str:
    """At most so many signs, the last one an ellipsis where some are missing."""
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _safe(text: str) -> str:
    """Escaped, and without signs that no XML may hold."""
    return escape("".join(sign if sign.isprintable() else "�" for sign in text))
