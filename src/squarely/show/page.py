"""A page of results: pairs in two columns, tables and notes, in the layout of statsmodels' summary.

As text it is 78 columns wide, and long labels are cut; as HTML, for notebooks, they are complete.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

from rich.cells import cell_len

from squarely.show.html import render_page, render_pairs, render_table
from squarely.show.text import align_left, align_right, escape_controls, wrap_text

WIDTH = 78
_HALF_WIDTH = 38
_MIN_WIDTH = 10  # the least width of names beside wide numbers, and of values beside wide labels


@dataclass(frozen=True, slots=True)
class KeyValueTable:
    """Labels with values, in two columns."""

    left: Sequence[tuple[str, str]]
    right: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text with a header; the first column names the row and is left-aligned."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Page:
    """A page of results, for printing or a notebook.

    A title, sentences that lead, blocks from top to bottom, sentences below them, numbered notes.
    """

    title: str
    blocks: Sequence[KeyValueTable | Table]
    notes: Sequence[str] = ()
    footer: Sequence[str] = ()
    lead: Sequence[str] = ()

    def __repr__(self) -> str:
        lines = [(" " * ((WIDTH - cell_len(line)) // 2) + line).rstrip() for line in wrap_text(escape_controls(self.title), WIDTH)]
        for line in self.lead:
            lines += wrap_text(escape_controls(line), WIDTH)
        for block in self.blocks:
            lines.append("=" * WIDTH)
            if isinstance(block, KeyValueTable):
                pairs = zip_longest(block.left, block.right, fillvalue=("", ""))
                lines += [f"{_lay_out_pair(*a)}  {_lay_out_pair(*b)}".rstrip() for a, b in pairs]
            else:
                lines += _lay_out_table(block)
        lines.append("=" * WIDTH)
        for line in self.footer:
            lines += wrap_text(escape_controls(line), WIDTH)
        if self.notes:
            lines += ["", "Notes:"]
        for number, note in enumerate(self.notes, start=1):
            lines += wrap_text(f"[{number}] {escape_controls(note)}", WIDTH, indent="    ")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        tables = [
            render_pairs(block.left, block.right) if isinstance(block, KeyValueTable) else render_table(block.header, block.rows)
            for block in self.blocks
        ]
        return render_page(self.title, tables, lead=self.lead, footer=self.footer, notes=self.notes)


def _lay_out_pair(label: str, value: str) -> str:
    label, value = escape_controls(label), escape_controls(value)
    if not value:
        return align_left(label, _HALF_WIDTH)
    label = align_left(label, min(cell_len(label), _HALF_WIDTH - 1 - min(cell_len(value), _MIN_WIDTH)))
    return f"{label} {align_right(value, _HALF_WIDTH - cell_len(label) - 1)}"


def _lay_out_table(block: Table) -> list[str]:
    """Lay out a table over the full width. A name too long for its column gets separate lines."""
    cells = [[escape_controls(cell) for cell in row] for row in [block.header, *block.rows]]
    names, *numbers = zip(*cells, strict=True)
    least = [max(map(cell_len, column)) + 1 for column in numbers]
    available = max(WIDTH - sum(least), _MIN_WIDTH)
    name_width = max((cell_len(text) for text in names if cell_len(text) <= available), default=0)
    extra, rest = divmod(max(WIDTH - name_width - sum(least), 0), max(len(least), 1))
    widths = [width + extra + (i < rest) for i, width in enumerate(least)]
    lines = []
    for text, *row in cells:
        name_lines = wrap_text(text, WIDTH) if cell_len(text) > name_width else []
        numbers_text = "".join(align_right(cell, width) for cell, width in zip(row, widths, strict=True))
        lines.append([*name_lines, (align_left("" if name_lines else text, name_width) + numbers_text).rstrip()])
    header, *rows = lines
    return [*header, "-" * WIDTH, *(line for row in rows for line in row)]
