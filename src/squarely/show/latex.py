r"""Render a page as LaTeX, with no package beyond booktabs: a heading, tables, sentences and numbered notes.

Every text passes through `escape_controls`, and no cell is taken for an option of the command before it, as `[` after `\\` is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from itertools import zip_longest

from squarely.show.text import escape_controls


def render_page(title: str, tables: Sequence[str], *, footer: Iterable[str], notes: Sequence[str], lead: Iterable[str] = ()) -> str:
    """Render a heading, sentences that lead, tables from `render_pairs` and `render_table`, sentences, and numbered notes."""
    lines = [r"\begin{center}"]
    lines += [rf"\textbf{{{_escape(title)}}}\par\medskip"] if title else []
    lines += [rf"{_escape(sentence)}\par\medskip" for sentence in lead]
    lines += ["\n\\par\\medskip\n".join(tables), r"\end{center}"]
    lines += [rf"\noindent {_escape(sentence)}\par" for sentence in footer]
    if notes:
        lines += [r"\begin{enumerate}", *(rf"\item {_escape(note)}" for note in notes), r"\end{enumerate}"]
    return "\n".join(lines)


def render_pairs(left: Sequence[tuple[str, str]], right: Sequence[tuple[str, str]]) -> str:
    """Render a table of labels and values, `right` beside `left`."""
    rows = [(*a, *b) for a, b in zip_longest(left, right, fillvalue=("", ""))] if right else [*left]
    return _wrap_table("lrlr" if right else "lr", map(_render_row, rows))


def render_table(header: Sequence[str], rows: Sequence[Sequence[str]], rules: Collection[int] = ()) -> str:
    """Render a table of numbers with a header, and a rule above the rows at `rules`; the first column names the row."""
    body = [line for i, row in enumerate(rows) for line in ([r"\midrule"] * (i in rules) + [_render_row(row)])]
    return _wrap_table("l" + "r" * (len(header) - 1), [_render_row(header), r"\midrule", *body])


def render_section(heading: str, texts: Iterable[tuple[str, str]]) -> str:
    """Render a heading and labeled texts; lines that begin with four spaces are code."""
    lines = [r"\begin{flushleft}", rf"\textbf{{{_escape(heading)}}}\par"]
    for label, text in texts:
        first, *rest = map(_render_line, text.split("\n"))
        lines += [rf"\emph{{{_escape(label)}}} {first}\par" if label else rf"{first}\par", *(rf"{line}\par" for line in rest)]
    return "\n".join([*lines, r"\end{flushleft}"])


def _render_line(line: str) -> str:
    code = line.lstrip(" ")
    indent = len(line) - len(code)
    return _escape(line) if indent < 4 else rf"\texttt{{{'~' * indent}{escape_controls(code, 'latex')}}}"


def _wrap_table(columns: str, lines: Iterable[str]) -> str:
    return "\n".join([rf"\begin{{tabular}}{{{columns}}}", r"\toprule", *lines, r"\bottomrule", r"\end{tabular}"])


def _render_row(cells: Sequence[str]) -> str:
    return rf"{' & '.join(map(_escape, cells))} \\"


def _escape(text: str) -> str:
    """Escape a text, and write the sign of a number as a minus."""
    plain = escape_controls(text.strip(), "latex")
    if plain[:1] in ("[", "*"):
        plain = f"{{{plain[0]}}}{plain[1:]}"
    bracket = "(" if plain.startswith("(-") else ""
    number = plain.removeprefix(bracket)
    return f"{bracket}$-${number[1:]}" if number[:1] == "-" and number[1:2].isdigit() else plain
