"""The one function that makes any text safe to show, and text cut or padded to a width in terminal cells."""

from __future__ import annotations

import html
from typing import Literal

from rich.cells import cell_len, set_cell_size

Place = Literal["terminal", "html", "figure"]


def safe(text: object, place: Place = "terminal") -> str:
    r"""Make text safe for the place where it is shown.

    Control characters, terminal escapes and direction marks become visible escapes everywhere; HTML has its signs
    escaped besides, and a figure the dollar that would start a formula.

    >>> safe("a\x1b[31mb"), safe("a<b>", "html"), safe("$x", "figure")
    ('a\\x1b[31mb', 'a&lt;b&gt;', '\\$x')
    """
    plain = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in str(text))
    if place == "html":
        return html.escape(plain)
    return plain.replace("$", r"\$") if place == "figure" else plain


def left(text: str, width: int) -> str:
    """Pad or cut text to `width` cells, flush left; a cut ends in an ellipsis.

    >>> left("weight", 8), left("acceleration", 8)
    ('weight  ', 'acceler…')
    """
    if cell_len(text) <= width:
        return text + " " * (width - cell_len(text))
    return set_cell_size(text, width - 1) + "…"


def wrapped(text: str, width: int, indent: str = "") -> list[str]:
    """Break text between words into lines of at most `width` cells, those after the first indented.

    >>> wrapped("one two three", 8)
    ['one two', 'three']
    """
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}" if lines[-1].strip() else lines[-1] + word
        if cell_len(longer) <= width or not lines[-1].strip():
            lines[-1] = longer
        else:
            lines.append(indent + word)
    return lines


def right(text: str, width: int) -> str:
    """Pad or cut text to `width` cells, flush right."""
    return " " * (width - cell_len(text)) + text if cell_len(text) <= width else left(text, width)
