"""A page of results: pairs in two columns, tables and notes, in the layout of statsmodels' summary.

Printed to a terminal, a page is as wide as the terminal, from 60 to 120 columns; any other text of it has 78. In a notebook it is
HTML, and the notebook decides.
"""

from __future__ import annotations

import csv
import io
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from types import ModuleType

from rich.cells import cell_len

from squarely.show import html, latex, markdown
from squarely.show.text import align_left, align_right, escape_controls, wrap_text

WIDTH = 78
_NARROWEST, _WIDEST = 60, 120
_SHOWN_ROWS = 30  # at both ends of a long table in a notebook
_GAP = 2  # columns between two pairs


@dataclass(frozen=True, slots=True)
class KeyValueTable:
    """Labels with values, in two columns."""

    left: Sequence[tuple[str, str]]
    right: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text with a header; the first column names the row and is left-aligned. `rules`: rows with a rule above them."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    rules: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class Section:
    """A heading with labeled texts below it. Lines of a text are kept; those that begin with four spaces are code."""

    heading: str
    texts: Sequence[tuple[str, str]]


Block = KeyValueTable | Table | Section


@dataclass(frozen=True, slots=True)
class Page:
    r"""A page of results, for printing or a notebook.

    A title, sentences that lead, blocks from top to bottom, sentences below them, numbered notes. `as_text`, `as_html`,
    `as_latex` and `as_csv` have the names of statsmodels.

    >>> page = Page("", [Table(("", "coef"), [("I(x**2)", "-0.5")])])
    >>> print(page.as_markdown(), page.as_csv(), sep="\n")
    |  | coef |
    | :-- | --: |
    | I(x\*\*2) | -0.5 |
    ,coef
    I(x**2),-0.5
    """

    title: str
    blocks: Sequence[Block]
    notes: Sequence[str] = ()
    footer: Sequence[str] = ()
    lead: Sequence[str] = ()

    def __repr__(self) -> str:
        return self.as_text(terminal_width())

    def as_text(self, width: int = WIDTH) -> str:
        """Return the page as text of this many columns."""
        lines = [(" " * ((width - cell_len(line)) // 2) + line).rstrip() for line in wrap_text(escape_controls(self.title), width)]
        for line in self.lead:
            lines += wrap_text(escape_controls(line), width)
        for block in self.blocks:
            lines.append("=" * width)
            lines += _lay_out(block, width)
        lines.append("=" * width)
        for line in self.footer:
            lines += wrap_text(escape_controls(line), width)
        if self.notes:
            lines += ["", "Notes:"]
        for number, note in enumerate(self.notes, start=1):
            lines += wrap_text(f"[{number}] {escape_controls(note)}", width, indent="    ")
        return "\n".join(lines)

    def shorten(self) -> Page:
        """Return the page with the first and last rows of long tables, for a notebook."""
        return replace(self, blocks=[_shorten(block) if isinstance(block, Table) else block for block in self.blocks])

    def as_html(self) -> str:
        """Return the page as a fragment of HTML without script or color."""
        return self._render(html)

    def as_latex(self) -> str:
        r"""Return the page as LaTeX, to be read with \input; it needs \usepackage{booktabs}."""
        return self._render(latex)

    def as_markdown(self) -> str:
        """Return the page as Markdown with tables, for GitHub, notebooks and Pandoc."""
        return self._render(markdown)

    def as_csv(self) -> str:
        """Return the page as comma-separated lines: the title, the tables with an empty line after each, the sentences."""
        texts = io.StringIO()
        writer = csv.writer(texts, lineterminator="\n")
        for line in [self.title, *self.lead] if self.title else self.lead:
            writer.writerow([escape_controls(line)])
        for block in self.blocks:
            writer.writerows([escape_controls(cell.strip()) for cell in row] for row in _list_rows(block))
            writer.writerow([])
        for line in (*self.footer, *self.notes):
            writer.writerow([escape_controls(line)])
        return texts.getvalue().rstrip("\n")

    def _render(self, markup: ModuleType) -> str:
        blocks = [_render(block, markup) for block in self.blocks]
        text: str = markup.render_page(self.title, blocks, lead=self.lead, footer=self.footer, notes=self.notes)
        return text

    def _repr_html_(self) -> str:
        return self.as_html()


def _render(block: Block, markup: ModuleType) -> str:
    text: str
    if isinstance(block, Section):
        text = markup.render_section(block.heading, block.texts)
    elif isinstance(block, Table):
        text = markup.render_table(block.header, block.rows, block.rules)
    else:
        text = markup.render_pairs(block.left, block.right)
    return text


def _list_rows(block: Block) -> list[Sequence[str]]:
    if isinstance(block, Table):
        return [block.header, *block.rows]
    if isinstance(block, Section):
        lines = [(label, text.split("\n")) for label, text in block.texts]
        return [(block.heading,), *((label if i == 0 else "", line) for label, text in lines for i, line in enumerate(text))]
    pairs = zip_longest(block.left, block.right, fillvalue=("", "")) if block.right else ((pair, ()) for pair in block.left)
    return [(*a, *b) for a, b in pairs]


def _shorten(table: Table) -> Table:
    hidden = len(table.rows) - 2 * _SHOWN_ROWS
    if hidden <= 0:
        return table
    gap = (f"... {hidden:,} more: print the summary", *[""] * (len(table.header) - 1))
    rules = [i if i <= _SHOWN_ROWS else i - hidden + 1 for i in table.rules if not _SHOWN_ROWS < i < _SHOWN_ROWS + hidden]
    return replace(table, rows=[*table.rows[:_SHOWN_ROWS], gap, *table.rows[-_SHOWN_ROWS:]], rules=rules)


def terminal_width() -> int:
    """Return the width of a page on the terminal that Python prints to; in files and pipes it is always the same."""
    if sys.stdout is None or not sys.stdout.isatty():
        return WIDTH
    return min(max(shutil.get_terminal_size((WIDTH, 24)).columns, _NARROWEST), _WIDEST)


def _lay_out(block: Block, width: int) -> list[str]:
    if isinstance(block, Section):
        return _lay_out_section(block, width)
    return _lay_out_pairs(block, width) if isinstance(block, KeyValueTable) else _lay_out_table(block, width)


def _lay_out_section(block: Section, width: int) -> list[str]:
    """Lay out a heading and, below it, each label with its text beside it."""
    labels = [escape_controls(label) for label, _ in block.texts]
    wide = min(max(map(cell_len, labels), default=0), width // 4)
    start = wide + _GAP
    lines = wrap_text(escape_controls(block.heading), width, indent="    ")
    for label, (_, text) in zip(labels, block.texts, strict=True):
        body = [piece for line in text.split("\n") for piece in _wrap_line(line, width - start)]
        first, *rest = body
        lines += [(align_left(label, wide) + " " * _GAP + first).rstrip(), *((" " * start + line).rstrip() for line in rest)]
    return lines


def _wrap_line(line: str, width: int) -> list[str]:
    """Wrap a line of prose or of code; the parts of a line of code keep its indentation."""
    code = line.lstrip(" ")
    indent = " " * min(len(line) - len(code), width // 2) if line.startswith("    ") else ""
    return [indent + piece for piece in wrap_text(escape_controls(code), width - len(indent))]


def _lay_out_pairs(block: KeyValueTable, width: int) -> list[str]:
    """Lay out pairs in two columns, or, if they do not fit beside each other, in one."""
    left, right = (
        [(escape_controls(label), escape_controls(value)) for label, value in pairs] for pairs in (block.left, block.right)
    )
    half, needs = (width - _GAP) // 2, [max(map(_pair_width, pairs), default=0) for pairs in (left, right)]
    if not right or sum(needs) + _GAP > width:
        column = max(half, min(max(needs), width))
        return [line for pair in [*left, *right] for line in _lay_out_pair(pair, column, width)]
    first = min(max(half, needs[0]), width - _GAP - needs[1])
    empty = [("", "")] * abs(len(left) - len(right))
    starts, ends = (
        [line for pair in [*pairs, *empty] for line in _lay_out_pair(pair, column, width)]
        for pairs, column in ((left, first), (right, width - _GAP - first))
    )
    pairs = zip(starts, ends, strict=False)  # the longer one has empty lines at the end
    return [(align_left(start, first) + " " * _GAP + end).rstrip() for start, end in pairs]


def _pair_width(pair: tuple[str, str]) -> int:
    label, value = pair
    return cell_len(label) + (1 + cell_len(value) if value else 0)


def _lay_out_pair(pair: tuple[str, str], width: int, page_width: int) -> list[str]:
    """Lay out a label and its value at both ends of a column, or wrap those that are wider than the page."""
    label, value = pair
    if _pair_width(pair) > page_width:
        return wrap_text(f"{label} {value}", page_width, indent="    ")
    if not value:
        return [align_left(label, width)]
    return [f"{label} {align_right(value, width - cell_len(label) - 1)}"]


def _lay_out_table(block: Table, width: int) -> list[str]:
    """Lay out a table over the full width, in parts below each other if its columns do not fit."""
    cells = [[escape_controls(cell) for cell in row] for row in [block.header, *block.rows]]
    least = [max(map(cell_len, column)) + 1 for column in zip(*(row[1:] for row in cells), strict=True)]
    lines: list[str] = []
    names = max(cell_len(row[0]) for row in cells)
    available = width if sum(least) <= width else width - min(names, width // 4)  # names fit beside the columns of each part
    for first, last in _split_columns(least, available):
        part = [[row[0], *row[first + 1 : last + 1]] for row in cells]
        lines += [*(["-" * width] if lines else []), *_lay_out_columns(part, least[first:last], width, block.rules)]
    return lines


def _split_columns(least: Sequence[int], available: int) -> Iterator[tuple[int, int]]:
    """Divide columns into parts that fit; yield the first and the end of each."""
    first, taken = 0, 0
    for i, column in enumerate(least):
        if taken and taken + column > available:
            yield first, i
            first, taken = i, 0
        taken += column
    yield first, len(least)


def _lay_out_columns(cells: Sequence[Sequence[str]], least: Sequence[int], width: int, rules: Sequence[int]) -> list[str]:
    """Lay out a header and rows, with rules above some of them. A name too long for its column gets separate lines."""
    available = width - sum(least)
    name_width = max((cell_len(name) for name, *_ in cells if cell_len(name) <= available), default=0)
    extra, rest = divmod(max(width - name_width - sum(least), 0), max(len(least), 1))
    widths = [column + extra + (i < rest) for i, column in enumerate(least)]
    lines, rule = [], "-" * width
    for name, *row in cells:
        name_lines = wrap_text(name, width) if cell_len(name) > name_width else []
        numbers = "".join(align_right(cell, column) for cell, column in zip(row, widths, strict=True))
        lines.append([*name_lines, (align_left("" if name_lines else name, name_width) + numbers).rstrip()])
    return [line for i, row in enumerate(lines) for line in ([rule] * (i == 1 or i - 1 in rules) + row)]
