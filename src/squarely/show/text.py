"""Escape text so that it is safe to show, and fit text to a width in terminal cells."""

from __future__ import annotations

import html
import re
from typing import Literal

from rich.cells import cell_len, chop_cells, set_cell_size

Place = Literal["terminal", "html", "figure", "latex", "markdown"]

_LATEX = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", **{sign: f"\\{sign}" for sign in "{}$&#_%"},
}  # fmt: skip
_LATEX_SIGN = re.compile(f"[{re.escape(''.join(_LATEX))}]")
# An underscore inside a word, and a bracket that begins no link, are plain text, and names are easier to read without backslashes.
_MARKDOWN_SIGN = re.compile(r"[\\`*<>|&$~#^]|(?<![^\W_])_|_(?![^\W_])|\](?=[(\[])")


def escape_controls(text: object, place: Place = "terminal") -> str:
    r"""Make text safe for the place where it is shown.

    Control characters, terminal escapes and direction marks become visible escapes. For HTML, its special characters are escaped,
    and the dollar, which Markdown around the HTML would take for a formula. For a figure, the dollar is escaped. For LaTeX and
    Markdown, the signs are escaped that have a meaning there.

    >>> escape_controls("a\x1b[31mb"), escape_controls("a<b>$", "html"), escape_controls("$x", "figure")
    ('a\\x1b[31mb', 'a&lt;b&gt;&#36;', '\\$x')
    >>> print(escape_controls("I(std_err**2)", "latex"), escape_controls("I(std_err**2)", "markdown"))
    I(std\_err**2) I(std_err\*\*2)
    """
    plain = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in str(text))
    if place == "html":
        return html.escape(plain).replace("$", "&#36;")
    if place == "latex":
        return _LATEX_SIGN.sub(lambda match: _LATEX[match[0]], plain)
    if place == "markdown":
        return _MARKDOWN_SIGN.sub(r"\\\g<0>", plain)
    return plain.replace("$", r"\$") if place == "figure" else plain


def align_left(text: str, width: int) -> str:
    """Pad or cut text to `width` cells, left-aligned; a cut ends in an ellipsis.

    >>> align_left("weight", 8), align_left("acceleration", 8)
    ('weight  ', 'acceler…')
    """
    if cell_len(text) <= width:
        return text + " " * (width - cell_len(text))
    return set_cell_size(text, width - 1) + "…"


def cut_middle(text: str, width: int = 40) -> str:
    """Cut text to `width` characters: an ellipsis takes the place of its middle, because names differ at their ends.

    >>> cut_middle("C(origin)[japan]", 11), cut_middle("weight")
    ('C(ori…apan]', 'weight')
    """
    half = (width - 1) // 2
    return text if len(text) <= width else f"{text[: width - 1 - half]}…{text[len(text) - half :]}"


def legend_label(text: str) -> str:
    """Return the text of a legend of a figure, with a space before an underscore, because matplotlib leaves out labels with one.

    >>> legend_label("_x"), legend_label("x")
    (' _x', 'x')
    """
    label = escape_controls(text, "figure")
    return f" {label}" if label.startswith("_") else label


def wrap_text(text: str, width: int, indent: str = "") -> list[str]:
    """Wrap text at spaces into lines of at most `width` cells, and indent those after the first.

    A word wider than a line is broken, not cut, so that names stay complete.

    >>> wrap_text("one two three", 8), wrap_text("a horsepower", 8)
    (['one two', 'three'], ['a', 'horsepow', 'er'])
    """
    lines = [""]
    for word in text.split(" "):
        first, *rest = chop_cells(word, width - cell_len(indent)) or [word]
        longer = f"{lines[-1]} {first}" if lines[-1].strip() else lines[-1] + first
        if cell_len(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(indent + first)
        lines += [indent + piece for piece in rest]
    return lines


def align_right(text: str, width: int) -> str:
    """Pad or cut text to `width` cells, right-aligned."""
    return " " * (width - cell_len(text)) + text if cell_len(text) <= width else align_left(text, width)
