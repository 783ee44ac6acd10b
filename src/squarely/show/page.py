"""A page of results: pairs in two columns, tables and notes, in the layout of statsmodels' summary.

As text it is 78 columns wide, for which long names are cut; as HTML, for notebooks, it has them whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

from rich.cells import cell_len

from squarely.show import html as markup
from squarely.show.text import left, right, safe, wrapped

WIDTH = 78
_HALF = 38
_NARROWEST = 10  # names keep this much even where numbers are wide, values where labels are


@dataclass(frozen=True, slots=True)
class Pairs:
    """Labels with values, in two columns."""

    left: Sequence[tuple[str, str]]
    right: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text under a header; the first column names the row and is flush left."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Page:
    """A page: print it, or let a notebook show it.

    Attributes
    ----------
    title : the heading, centred.
    blocks : pairs and tables from top to bottom.
    footer : sentences right under the blocks; `notes` numbered sentences at the end.
    """

    title: str
    blocks: Sequence[Pairs | Table]
    notes: Sequence[str] = ()
    footer: Sequence[str] = ()

    def __str__(self) -> str:
        lines = [(" " * ((WIDTH - cell_len(line)) // 2) + line).rstrip() for line in wrapped(safe(self.title), WIDTH)]
        for block in self.blocks:
            lines += ["=" * WIDTH, *(_pairs(block) if isinstance(block, Pairs) else _table(block))]
        lines.append("=" * WIDTH)
        for line in self.footer:
            lines += wrapped(safe(line), WIDTH)
        if self.notes:
            lines += ["", "Notes:"]
        for number, note in enumerate(self.notes, start=1):
            lines += wrapped(f"[{number}] {safe(note)}", WIDTH, indent="    ")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        tables = [
            markup.pairs(block.left, block.right) if isinstance(block, Pairs) else markup.table(block.header, block.rows)
            for block in self.blocks
        ]
        return markup.fragment(self.title, tables, footer=self.footer, notes=self.notes)


def _pairs(block: Pairs) -> list[str]:
    rows = zip_longest(block.left, block.right, fillvalue=("", ""))
    return [f"{_pair(*a)}  {_pair(*b)}".rstrip() for a, b in rows]


def _pair(label: str, value: str) -> str:
    label, value = safe(label), safe(value)
    if not value:
        return left(label, _HALF)
    label = left(label, min(cell_len(label), _HALF - 1 - min(cell_len(value), _NARROWEST)))
    return f"{label} {right(value, _HALF - cell_len(label) - 1)}"


def _table(block: Table) -> list[str]:
    """Lay a table out over the full width. Nothing is cut: a name too long for its column stands on lines of its own."""
    cells = [[safe(cell) for cell in row] for row in [block.header, *block.rows]]
    names, *numbers = zip(*cells, strict=True)
    needs = [max(map(cell_len, column)) + 1 for column in numbers]
    room = max(WIDTH - sum(needs), _NARROWEST)
    name = max((cell_len(text) for text in names if cell_len(text) <= room), default=0)
    spare, rest = divmod(max(WIDTH - name - sum(needs), 0), max(len(needs), 1))
    widths = [need + spare + (i < rest) for i, need in enumerate(needs)]
    lines = []
    for text, *row in cells:
        own = wrapped(text, WIDTH) if cell_len(text) > name else []
        line = left("" if own else text, name) + "".join(right(cell, width) for cell, width in zip(row, widths, strict=True))
        lines.append([*own, line.rstrip()])
    header, *rows = lines
    return [*header, "-" * WIDTH, *(line for row in rows for line in row)]
