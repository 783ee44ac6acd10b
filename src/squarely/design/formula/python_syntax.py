"""A piece of a formula that Python's parser reads: the place of each node, and its calls and constants."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from dataclasses import dataclass
from typing import Any

from squarely.design.formula.hints import syntax_hint
from squarely.design.formula.source_text import SourceText, Span
from squarely.errors import FormulaError

RESERVED_WORDS = {"True": True, "TRUE": True, "False": False, "FALSE": False, "None": None, "NULL": None}
_BINARY_OPERATORS = ("+", "-", "*", "/", "**", "//", "%", "^", "|", "&", "<", ">", "==", "!=", "<=", ">=")
_IN_PYTHON = {"^": "**", "&": " and ", "&&": " and ", "|": " or ", "||": " or ", "~": " not ", "!": " not "}
_SIGNS = re.compile(r"(\^)|.", re.DOTALL)
_SIGNS_AND_WORDS = re.compile(r"(\^|&&?|\|\|?|~|!(?!=))|.", re.DOTALL)


@dataclass(frozen=True, slots=True)
class PythonFragment:
    """A Python expression inside a formula.

    `source` is the text for Python's parser, `places` has the place in the formula of each of its characters.
    """

    source_text: SourceText
    source: str
    places: tuple[int, ...]

    def span_of(self, node: ast.AST) -> Span:
        """Return the place of a node in the formula."""
        places = self.places[self._slice_of(node)]
        return places[0], places[-1] + 1

    def text(self, node: ast.AST) -> str:
        """Return the text of a node, in which names are not normalized and quoted pieces are masked."""
        return self.source[self._slice_of(node)]

    def original_text(self, node: ast.AST) -> str:
        """Return the text of a node as the user wrote it, with its quoted pieces."""
        return self.source_text.restore_quotes(self.text(node))

    def label(self, node: ast.AST | None = None) -> str:
        """Return the text of a node, or all of it, as statsmodels prints it in names of terms."""
        return self.source_text.restore_quotes(normalize_spaces(self.source if node is None else self.text(node)))

    def callee(self, node: ast.Call) -> str:
        """Return the name of the called function, without the name of NumPy before it."""
        return self.text(node.func).removeprefix("np.").removeprefix("numpy.")

    def error(self, what: str, node: ast.AST) -> FormulaError:
        """Return a FormulaError that points at a node."""
        return self.source_text.error(what, self.span_of(node))

    def offset(self, line: int, column: int) -> int:
        """Return the place in the source of a line and a column in bytes, as Python counts."""
        lines = self.source.split("\n")
        return sum(len(text) + 1 for text in lines[: line - 1]) + len(lines[line - 1].encode()[:column].decode())

    def _slice_of(self, node: Any) -> slice:
        return slice(self.offset(node.lineno, node.col_offset), self.offset(node.end_lineno, node.end_col_offset))


def parse_fragment(text: SourceText, at: Span, *, words: bool = False) -> tuple[PythonFragment, ast.expr]:
    """Parse a piece of the formula as a Python expression; R's `^` means `**`.

    With `words`, the signs & | ~ ! mean and, or and not, whose precedence is below that of comparisons.
    """
    source, places = "", []
    for sign in (_SIGNS_AND_WORDS if words else _SIGNS).finditer(text.masked_text, *at):
        more = _IN_PYTHON[sign[1]] if sign[1] else sign[0]
        source += more
        places += [sign.start()] * len(more)
    stripped = len(source) - len(source.lstrip())
    piece = PythonFragment(text, source[stripped:], tuple(places[stripped:]))
    try:
        return piece, ast.parse(piece.source, mode="eval").body
    except SyntaxError as error:
        i = piece.offset(error.lineno or 1, 0) + (error.offset or len(piece.places)) - 1
        place = piece.places[max(min(i, len(piece.places) - 1), 0)] if piece.places else at[0]
        shown = text.text[slice(*at)].strip()
        raise text.error(f"{shown!r} cannot be read here. {syntax_hint(shown)}", (place, place + 1)) from None
    except (RecursionError, MemoryError, ValueError):
        raise text.error("This is nested too deeply, or has characters that cannot be read. Write it in fewer steps.", at) from None


def match_arguments(piece: PythonFragment, node: ast.Call, known: list[str]) -> dict[str, ast.expr]:
    """Match the arguments of a call with their names; the first is required."""
    called = piece.original_text(node.func)
    form = f"{called}({', '.join(known)})"
    form += ", as in C(x, Treatment(reference='a'))," if called in ("C", "factor") else ""
    matched: dict[str, ast.expr] = {}
    if len(node.args) > len(known):
        raise piece.error(f"This is one argument too many: {form} is the form.", node.args[len(known)])
    for name, value in zip(known, node.args, strict=False):
        if isinstance(value, ast.Starred):
            raise piece.error("A '*' before an argument is not supported. Write the arguments out.", value)
        matched[name] = value
    for named in node.keywords:
        if named.arg not in known or named.arg in matched:
            problem = "is given twice" if named.arg in matched else "is not known"
            raise piece.error(f"The argument {named.arg or '**'!r} {problem}: {form} is the form.", named.value)
        matched[named.arg] = named.value
    if known[0] not in matched:
        raise piece.error(f"{called}() has nothing in its brackets: {form} is the form.", node)
    return matched


def parse_constant(piece: PythonFragment, node: ast.expr) -> Any:
    """Parse a number, a text in quotes, a boolean, or a list of these; R's c(...) is a list too."""
    items, word = list_items(piece, node), piece.text(node)
    if items is not None:
        return tuple(parse_constant(piece, item) for item in items)
    if quoted := piece.source_text.quoted_text(word):
        return _unquote(piece, node, quoted)
    if word in RESERVED_WORDS:
        return RESERVED_WORDS[word]
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float | str):
        return node.value
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = parse_constant(piece, node.operand)
        if isinstance(value, int | float):
            return -value
    raise piece.error(f"{piece.original_text(node)!r} is not a number, a text in quotes, True or False. Write one of these.", node)


def list_items(piece: PythonFragment, node: ast.expr) -> list[ast.expr] | None:
    """Return the items of a list, None for anything else."""
    if isinstance(node, ast.List | ast.Tuple):
        return node.elts
    is_list = isinstance(node, ast.Call) and piece.text(node.func) == "c" and not node.keywords
    return node.args if is_list else None  # type: ignore[attr-defined]  # a call has them


def _unquote(piece: PythonFragment, node: ast.expr, quoted: str) -> str:
    r"""Parse a text in quotes: a backslash escapes a quote or a backslash, and \n and \t are a line end and a tab."""
    inside = quoted[1:-1]
    if re.search(r"\\(?![\\'\"nt])", inside.replace("\\\\", "")) or re.search(r"[\r\n]", inside):
        raise piece.error(r"A backslash in a text is written twice, as in 'C:\\Users', and a line end as \n.", node)
    return re.sub(r"\\(.)", lambda match: {"n": "\n", "t": "\t"}.get(match[1], match[1]), inside)


def is_list_of_labels(value: Any) -> bool:
    """Return whether a constant is a non-empty list of texts, numbers and booleans."""
    return isinstance(value, tuple) and bool(value) and all(isinstance(item, str | int | float) for item in value)


def normalize_spaces(source: str) -> str:
    """Normalize the spaces of an expression as statsmodels prints them in names of terms.

    >>> normalize_spaces("I(x**2)"), normalize_spaces("bs(x,df=4)"), normalize_spaces("log( -x )")
    ('I(x ** 2)', 'bs(x, df=4)', 'log(-x)')
    """
    out, before = "", ""
    for token in tokenize.generate_tokens(io.StringIO(f"({source})").readline):
        word = token.string
        if token.type in (tokenize.NL, tokenize.NEWLINE, tokenize.ENDMARKER, tokenize.COMMENT):
            continue
        is_word = token.type in (tokenize.NAME, tokenize.NUMBER, tokenize.STRING)
        ends_object = bool(before) and (before[-1] in ")]_.'\"" or before[-1].isalnum())
        if word in _BINARY_OPERATORS and (ends_object or word not in ("+", "-")):
            out += f" {word} "
        elif word == ",":
            out += ", "
        else:
            out += f" {word}" if is_word and ends_object and before[-1] not in ")]." else word
        before = word
    return out[1:-1]
