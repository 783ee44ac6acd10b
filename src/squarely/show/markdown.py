"""Render a page as Markdown with tables, as GitHub, notebooks and Pandoc read it. Every text passes through `escape_controls`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from itertools import groupby, zip_longest

from squarely.show.text import escape_controls


def render_page(title: str, tables: Iterable[str], *, footer: Iterable[str], notes: Sequence[str], lead: Iterable[str] = ()) -> str:
    """Render a heading, sentences that lead, tables from `render_pairs` and `render_table`, sentences, and numbered notes."""
    parts = [f"### {_escape(title)}"] if title else []
    parts += [*map(_escape, lead), *tables, *map(_escape, footer)]
    if notes:
        parts += ["Notes:", "\n".join(f"{number}. {_escape(note)}" for number, note in enumerate(notes, start=1))]
    return "\n\n".join(parts)


def render_pairs(left: Sequence[tuple[str, str]], right: Sequence[tuple[str, str]]) -> str:
    """Render a table of labels and values, `right` beside `left`; its header is empty, because Markdown demands one."""
    rows = [(*a, *b) for a, b in zip_longest(left, right, fillvalue=("", ""))] if right else [*left]
    return _render_rows([""] * (4 if right else 2), (":--", "--:", ":--", "--:")[: 4 if right else 2], rows)


def render_table(header: Sequence[str], rows: Iterable[Sequence[str]], _rules: Collection[int] = ()) -> str:
    """Render a table of numbers with a header; the first column names the row. Markdown has no rules between rows."""
    return _render_rows(header, [":--", *["--:"] * (len(header) - 1)], rows)


def render_section(heading: str, texts: Iterable[tuple[str, str]]) -> str:
    """Render a heading, and a paragraph for each labeled text; lines that begin with four spaces are code."""
    parts = [f"#### {_escape(heading)}"]
    for label, text in texts:
        name = f"**{_escape(label)}** " if label else ""
        for is_code, group in groupby(text.split("\n"), lambda line: line.startswith("    ")):
            lines = list(group)
            parts.append("\n".join(map(escape_controls, lines)) if is_code else name + "\n\n".join(map(_escape, lines)))
            name = ""
    return "\n\n".join(parts)


def _render_rows(header: Sequence[str], alignments: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [map(_escape, header), alignments, *(map(_escape, row) for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _escape(text: str) -> str:
    return escape_controls(text.strip(), "markdown")
