"""Render a page as one self-contained HTML fragment, without script, color or id, so that a notebook styles it.

Every text passes through `escape_controls`; long names break and are never cut. The two class names keep MathJax 2 and 3 from
reading dollars and backslashes in the fragment as mathematics.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from itertools import zip_longest

from squarely.show.text import escape_controls

_TABLE = "border-collapse:collapse;margin:0 0 1em 0;font-variant-numeric:tabular-nums"
_CELL = "padding:0.15em 1em 0.15em 0;vertical-align:baseline;"
_NAME = f"{_CELL}font-weight:normal;text-align:left;white-space:pre-wrap;max-width:24em;overflow-wrap:break-word"
_VALUE = f"{_CELL}text-align:right;white-space:pre-wrap;max-width:24em;overflow-wrap:break-word"
_NUMBER = f"{_CELL}text-align:right;white-space:pre"
_LABEL = f"{_CELL}font-weight:normal;text-align:left;white-space:nowrap"
_TEXT = f"{_CELL}text-align:left;max-width:60em"
_RULE = ";font-weight:bold;border-bottom:1px solid"  # in the color of the text
_RULE_ABOVE = ";border-top:1px solid"
_PROSE = "white-space:pre-wrap;overflow-wrap:anywhere"


def render_page(title: str, tables: Iterable[str], *, footer: Iterable[str], notes: Sequence[str], lead: Iterable[str] = ()) -> str:
    """Render a heading, sentences that lead, tables from `render_pairs` and `render_table`, sentences, and numbered notes."""
    lines = ['<div class="tex2jax_ignore mathjax_ignore" style="overflow-x:auto">']
    lines += [_render_element("h3", title)] if title else []
    lines += [_render_element("p", sentence, style=_PROSE) for sentence in lead]
    lines += tables
    lines += [_render_element("p", sentence, style=_PROSE) for sentence in footer]
    if notes:
        lines += [_render_element("p", "Notes:"), "<ol>", *(_render_element("li", note, style=_PROSE) for note in notes), "</ol>"]
    return "\n".join([*lines, "</div>"])


def render_pairs(left: Sequence[tuple[str, str]], right: Sequence[tuple[str, str]]) -> str:
    """Render a table of labels and values, `right` beside `left`."""
    rows = zip_longest(left, right, fillvalue=("", "")) if right else zip(left, strict=True)
    return _wrap_table("<tbody>", *(_wrap_row(cell for pair in row for cell in _render_pair(*pair)) for row in rows), "</tbody>")


def render_table(header: Sequence[str], rows: Iterable[Sequence[str]], rules: Collection[int] = ()) -> str:
    """Render a table of numbers with a header, and a rule above the rows at `rules`; the first column names the row."""
    styles = [_NAME, *[_NUMBER] * (len(header) - 1)]
    head = [_render_element("th", text, scope="col", style=style + _RULE) for text, style in zip(header, styles, strict=True)]
    body = []
    for i, (name, *texts) in enumerate(rows):
        rule = _RULE_ABOVE if i in rules else ""
        cells = (_render_element("td", text, style=_NUMBER + rule) for text in texts)
        body.append([_render_element("th", name, scope="row", style=_NAME + rule), *cells])
    return _wrap_table("<thead>", _wrap_row(head), "</thead>", "<tbody>", *map(_wrap_row, body), "</tbody>")


def render_section(heading: str, texts: Iterable[tuple[str, str]]) -> str:
    """Render a heading and a table of labels and texts; lines that begin with four spaces are code."""
    rows = [_wrap_row([_render_element("th", label, scope="row", style=_LABEL), _render_text(text)]) for label, text in texts]
    return "\n".join([_render_element("h4", heading), _wrap_table("<tbody>", *rows, "</tbody>")])


def _render_text(text: str) -> str:
    lines = [_render_element("code" if line.startswith("    ") else "span", line, style=_PROSE) for line in text.split("\n")]
    return f'<td style="{_TEXT}">{"<br/>".join(lines)}</td>'


def _render_pair(label: str, value: str) -> tuple[str, str]:
    name = _render_element("th", label, scope="row", style=_NAME) if label else _render_element("td", "")
    return name, _render_element("td", value, style=_VALUE)


def _wrap_table(*lines: str) -> str:
    return "\n".join([f'<table style="{_TABLE}">', *lines, "</table>"])


def _wrap_row(cells: Iterable[str]) -> str:
    return f"<tr>{''.join(cells)}</tr>"


def _render_element(tag: str, text: str, **attributes: str) -> str:
    """Escape text, and wrap it in a tag."""
    options = "".join(f' {name}="{value}"' for name, value in attributes.items())
    return f"<{tag}{options}>{escape_controls(text, 'html')}</{tag}>"
