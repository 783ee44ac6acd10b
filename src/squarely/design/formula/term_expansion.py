"""From the right side of a formula to its terms: a walk over the tree of formulaic's parser.

The size is checked before an expansion: fifteen terms to the eighth power are refused, not computed.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from typing import Any

from squarely.design.formula.expression import Name
from squarely.design.formula.expression_parser import parse_numeric
from squarely.design.formula.factor_calls import parse_factor
from squarely.design.formula.factors import Factor, Numeric, UntypedColumn
from squarely.design.formula.hints import ADVICE, ARITHMETIC, EXAMPLE, explain_syntax_error
from squarely.design.formula.python_syntax import parse_fragment
from squarely.design.formula.source_text import SourceText, Span
from squarely.design.formula.terms import Terms, cross, interact, nest
from squarely.errors import FormulaError

MOST_TERMS = 2_000


def parse_terms(source: SourceText, start: int) -> Any:
    """Return the tree of operators and tokens of the right side, from formulaic."""
    # formulaic imports pandas, which takes about a second.
    from formulaic.errors import FormulaParsingError
    from formulaic.parser.algos.tokenize import tokenize
    from formulaic.parser.algos.tokens_to_ast import tokens_to_ast
    from formulaic.parser.parser import DefaultOperatorResolver

    everything = start, len(source.masked_text)
    try:
        tokens = list(tokenize(source.masked_text[start:]))
        tree = tokens_to_ast(iter(tokens), operator_resolver=DefaultOperatorResolver())
    except (FormulaParsingError, SyntaxError) as error:
        message = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
        at = None
        if marked := re.search("⧛(.*?)⧚", message, re.DOTALL):  # the parser marks the place between these two signs
            begin = start + marked.start() - (message.rfind("\n\n", 0, marked.start()) + 2)
            at = begin, begin + max(len(marked[1]), 1)
        raise source.error(explain_syntax_error(source, message, at), at or everything) from None
    except (RecursionError, AttributeError):
        raise source.error(f"The formula cannot be read. {EXAMPLE}", everything) from None
    for token in tokens:
        if token.kind.name == "CONTEXT" and str(token.token) in "[]":
            at = start + token.source_start, start + token.source_start + 1
            raise source.error("Square brackets hold lists, as in knots=[10, 20]. Group terms in round ones.", at)
    return tree


class TermExpander:
    """A walk over the tree of the right side, which collects factors and offsets."""

    def __init__(self, source_text: SourceText, start: int, other_columns: Sequence[str]) -> None:
        self.source_text, self.start, self.other_columns = source_text, start, other_columns
        self.factors: dict[str, Factor] = {}
        self.offsets: dict[str, tuple[Numeric, Span]] = {}

    def terms(self, tree: Any) -> tuple[Terms, list[Numeric]]:
        """Return the terms, with () for the intercept, and the offsets; `factors` has the factors in them, and more."""
        terms, intercept = self._expand_sum(tree)
        for text, (_, at) in self.offsets.items():
            if any(text in term and len(term) > 1 for term in terms):
                raise self._error("An offset has no coefficient, so it cannot interact. Add it as a separate term.", at)
        offsets = [numeric for text, (numeric, _) in self.offsets.items() if (text,) in terms]
        others = [term for term in terms if not (len(term) == 1 and term[0] in self.offsets)]
        return dict.fromkeys([*([] if intercept is False else [()]), *others]), offsets

    def _expand_sum(self, node: Any) -> tuple[Terms, bool | None]:
        """Return the terms of a node, and whether it adds or removes the intercept, if it does. Long sums need no recursion."""
        links = []
        while node is not None and not _is_token(node) and node.operator.symbol in ("+", "-"):
            *left, right = node.args
            links.append((node.operator.symbol, right))
            node = left[0] if left else None
        terms, intercept = ({}, None) if node is None else self._expand_operand(node)
        sum_of_terms = {frozenset(term): term for term in terms}
        for sign, right in reversed(links):
            more, sets = self._expand_operand(right)
            for term in more:
                if sign == "+":
                    sum_of_terms.setdefault(frozenset(term), term)
                elif sum_of_terms.pop(frozenset(term), None) is None:
                    name = ":".join(term)
                    raise self._error(
                        f"The formula has no term {name} to remove. Leave the '-' out; the negative of a column is I(-x).", right
                    )
            if sets is not None:
                intercept = sets == (sign == "+")
            self._require_few(len(sum_of_terms), right)
        return dict.fromkeys(sum_of_terms.values()), intercept

    def _expand_operand(self, node: Any) -> tuple[Terms, bool | None]:
        if _is_token(node):
            return self._expand_token(node)
        symbol = node.operator.symbol
        if symbol in ("+", "-"):
            return self._expand_sum(node)
        if symbol in ("**", "^"):
            return self._expand_power(node), None
        if symbol not in (":", "*", "/"):
            at = self._operator_span(node)
            raise self._error(f"{symbol!r} is not understood in a formula. {ADVICE.get(symbol, '')}".rstrip(), at)
        left, right = (self._expand_terms(arg) for arg in node.args)
        self._require_few(len(left) * len(right) + len(left) + len(right), node)
        if symbol != "/" and len(left) == len(right) == 1 and left == right:
            name = self._text_of(node.args[0])
            raise self._error(
                f"The product of the term {name} with itself is {name}. Write it once, or I({name}**2) for the square.", node
            )
        return {":": interact, "*": cross, "/": nest}[symbol](left, right), None

    def _expand_terms(self, node: Any) -> Terms:
        """Return the terms of a node inside a product, where 0 and 1 are not allowed."""
        terms, intercept = self._expand_operand(node)
        if intercept is not None:
            raise self._error(f"A number in a product of terms has no meaning. {ARITHMETIC}", node)
        return terms

    def _expand_power(self, node: Any) -> Terms:
        base, exponent = node.args
        word = str(exponent.token) if _is_token(exponent) else ""
        if not re.fullmatch(r"[1-9][0-9]{0,2}", word):
            raise self._error("The exponent of a sum of terms must be a whole number from 1 to 999.", exponent)
        terms = self._expand_terms(base)
        if len(terms) == 1:
            name = self._text_of(base) if _is_token(base) else f"({self._text_of(base)})"
            raise self._error(
                f"A power of terms crosses a sum with itself, as in (a + b)**2; of {name} alone it is {name}. "
                f"Write I({name}**{word}) for the power.",
                node,
            )
        total = terms
        for _ in range(min(int(word), len(terms)) - 1):  # higher powers add no terms
            self._require_few(len(total) * len(terms), node)
            total = cross(total, terms)
        return total

    def _require_few(self, number: int, node: Any) -> None:
        if number > 10 * MOST_TERMS:
            raise self._error(
                f"This would make {number:,} terms or more; at most {MOST_TERMS:,} are fitted. Write fewer, or a lower power.", node
            )

    def _expand_token(self, token: Any) -> tuple[Terms, bool | None]:
        word, kind, at = str(token.token), token.kind.name, self._span_of(token)
        if kind == "VALUE" and word in ("0", "1"):
            return {}, word == "1"
        if kind == "VALUE" and word == ".":
            return self._expand_dot(at), None
        if kind == "VALUE" or re.fullmatch(r"[0-9.]+", word):
            raise self._error(f"{self._text_of(token)} is not the name of a column. {ARITHMETIC}", at)
        if kind == "PYTHON":
            return self._expand_python(at), None
        if quoted := self.source_text.quoted_text(word):
            raise self._error(f"The text {quoted} is used as a column. Write the name without quotes, or in backticks.", at)
        return self._add_column(self.source_text.name(word), at), None

    def _add_column(self, name: str, at: Span) -> Terms:
        return self._add_factor(UntypedColumn(text=name, name=Name(name, at)), at)

    def _add_factor(self, factor: Factor, at: Span) -> Terms:
        if factor.text in self.offsets or self.factors.get(factor.text, factor) != factor:
            raise self._duplicate_error(factor.text, at)
        self.factors[factor.text] = factor
        return {(factor.text,): None}

    def _duplicate_error(self, text: str, at: Span) -> FormulaError:
        """Return the error for a column whose name is the text of a call: their coefficients would have one name."""
        return self._error(f"The formula has {text} twice, as a column of that name and as a call. Rename the column.", at)

    def _expand_dot(self, at: Span) -> Terms:
        if not self.other_columns:
            raise self._error("The '.' stands for all other columns, and there are none. For a mean alone write 'y ~ 1'.", at)
        self._require_few(len(self.other_columns), None)
        return {term: None for name in self.other_columns for term in self._add_column(name, at)}

    def _expand_python(self, at: Span) -> Terms:
        if "{" in self.source_text.masked_text[max(at[0] - 1, 0) : at[0] + 1]:
            raise self._error("Braces are not supported. Arithmetic goes into I(...), such as I(2 * x).", at)
        piece, node = parse_fragment(self.source_text, at)
        if isinstance(node, ast.Call) and piece.text(node.func) == "offset":
            if len(node.args) != 1 or node.keywords:
                raise self._error("offset(...) takes one expression, such as offset(log(t)).", at)
            text = piece.label()
            if text in self.factors:
                raise self._duplicate_error(text, at)
            self.offsets[text] = Numeric(text=text, expression=parse_numeric(piece, node.args[0])), at
            return {(text,): None}
        factor = parse_factor(piece, node)
        if isinstance(factor, Numeric) and isinstance(factor.expression, Name) and factor.text.startswith("Q("):
            factor = UntypedColumn(text=factor.text, name=factor.expression)
        return self._add_factor(factor, at)

    def _error(self, what: str, at: Any) -> FormulaError:
        return self.source_text.error(what, at if isinstance(at, tuple) else self._span_of(at))

    def _text_of(self, node: Any) -> str:
        return self.source_text.text[slice(*self._span_of(node))]

    def _span_of(self, node: Any) -> Span:
        """Return the place of a node: from its first token to its last."""
        if node is None:
            return self.start, len(self.source_text.masked_text)
        if _is_token(node):
            return self.start + node.source_start, self.start + node.source_end + 1
        places = [self._span_of(arg) for arg in node.args]
        return min(a for a, _ in places), max(b for _, b in places)

    def _operator_span(self, node: Any) -> Span:
        """Return the place of an operator: between its first two arguments."""
        places = sorted(self._span_of(arg) for arg in node.args)
        between = self.source_text.masked_text[places[0][1] : places[1][0]]
        start = places[0][1] + len(between) - len(between.lstrip())
        return start, start + max(len(between.strip()), 1)


def _is_token(node: Any) -> bool:
    from formulaic.parser.types import Token

    return isinstance(node, Token)
