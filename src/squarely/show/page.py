"""A page of results as text, 78 columns wide: pairs in two columns, tables and notes, in the layout of statsmodels' summary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

from rich.cells import cell_len

from squarely.show.text import left, right, safe, wrapped

WIDTH = 78
_HALF = 38
_NARROWEST = 10  # names keep this much even where numbers are wide


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
        lines = [safe(self.title).center(WIDTH).rstrip()]
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
        return f"<pre>{safe_lines(str(self))}</pre>"


def safe_lines(text: str) -> str:
    """Make a text of several lines safe for HTML, keeping its line ends."""
    return "\n".join(safe(line, "html") for line in text.split("\n"))


def _pairs(block: Pairs) -> list[str]:
    rows = zip_longest(block.left, block.right, fillvalue=("", ""))
    return [f"{_pair(*a)}  {_pair(*b)}".rstrip() for a, b in rows]


def _pair(label: str, value: str) -> str:
    room = _HALF - cell_len(label) - 1
    return left(label, _HALF) if not value else f"{label} {right(safe(value), room)}"


def _table(block: Table) -> list[str]:
    """Lay a table out over the full width. Numbers are never cut: what they leave is the names', which may be."""
    columns = list(zip(*[block.header, *block.rows], strict=True))
    needs = [max(map(cell_len, column)) + 1 for column in columns[1:]]
    name = min(max(cell_len(safe(cell)) for cell in columns[0]), max(WIDTH - sum(needs), _NARROWEST))
    spare, rest = divmod(max(WIDTH - name - sum(needs), 0), len(needs))
    widths = [need + spare + (i < rest) for i, need in enumerate(needs)]
    header, *rows = [
        left(safe(row[0]), name) + "".join(right(cell, width) for cell, width in zip(row[1:], widths, strict=True))
        for row in [block.header, *block.rows]
    ]
    return [header.rstrip(), "-" * WIDTH, *(row.rstrip() for row in rows)]
