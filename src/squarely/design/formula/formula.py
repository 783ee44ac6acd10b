"""From the text of a formula to its terms. The grammar is that of formulaic; the bounded expansion of terms is ours.

Syntax of the grammar that is not supported is refused, so that no part of a formula is ignored.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from keyword import iskeyword
from typing import NamedTuple

from squarely.design.formula.effects import Effect, parse_effects
from squarely.design.formula.expression import Expression, Name, column_names
from squarely.design.formula.factor_calls import parse_factor
from squarely.design.formula.factors import Factor, Numeric, UntypedColumn, argument_of
from squarely.design.formula.hints import ADVICE, EXAMPLE
from squarely.design.formula.python_syntax import parse_fragment
from squarely.design.formula.source_text import SourceText, read_source
from squarely.design.formula.term_expansion import MOST_TERMS, TermExpander, parse_terms
from squarely.errors import FormulaError

INTERCEPT = "Intercept"
_MAX_CHARACTERS = 20_000
_MAX_DEPTH = 50
_MAX_SHOWN = 200  # characters of a text that is not a formula


class _Words(NamedTuple):
    """What the errors of a column call it."""

    what: str
    kind: str
    more: str
    end: str
    example: str


_RESPONSE = _Words(
    what="the response",
    kind="The response",
    more="The left side is more than the name of one column, which R and statsmodels read differently",
    end=" ~ ...",
    example=EXAMPLE,
)
_WEIGHTS = _Words(
    what="the weights",
    kind="The weights",
    more="The weights are more than the name of one column",
    end="",
    example="An expression is in a call, such as I(1 / variance).",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Formula:
    """A parsed formula.

    Attributes
    ----------
    terms : the terms of the right side, each a tuple of the texts of its factors, without the empty one of the intercept.
    factors : text -> factor, for every factor in the terms.
    offsets : terms with a coefficient of one.
    names : the columns of X, if the user gave X and y instead of a formula.
    groups : columns of labels that each row must have beside the model: clusters and times.
    numbers : columns of numbers that each row must have beside the model, such as one that gives an order.
    effects : the fixed effects to absorb, after `|`: each is a column, or two whose pairs are the levels.
    weights : what each row weighs; `has_frequencies` if it is the number of rows that one stands for. Rows of zero are left out.
    required : expressions that each row must have a value of beside the model, such as other responses.
    """

    text: str
    response: Numeric
    terms: tuple[tuple[str, ...], ...]
    factors: dict[str, Factor]
    offsets: tuple[Numeric, ...] = ()
    intercept: bool = True
    names: tuple[str, ...] | None = None
    groups: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    effects: tuple[Effect, ...] = ()
    weights: Numeric | None = None
    has_frequencies: bool = False
    required: tuple[Numeric, ...] = ()

    def __repr__(self) -> str:
        return f"<Formula {self.text!r}>"

    @property
    def label_columns(self) -> tuple[str, ...]:
        """The columns of labels that are read beside the model: those of the groups and of the effects."""
        return tuple(dict.fromkeys((*self.groups, *(name for effect in self.effects for name in effect))))

    @property
    def row_expressions(self) -> dict[str, Expression]:
        """The expressions of what is not in X, with the weights and what else each row must have."""
        numbers: dict[str, Expression] = {name: Name(name, (0, 0)) for name in self.numbers}
        further = (*((self.weights,) if self.weights else ()), *self.required)
        return numbers | self.response_and_offsets | {numeric.text: numeric.expression for numeric in further}

    @property
    def weights_option(self) -> dict[str, str]:
        """The text of the weights by the name of their option, "weights" or "frequencies"; empty without weights."""
        return {"frequencies" if self.has_frequencies else "weights": self.weights.text} if self.weights else {}

    @property
    def weights_text(self) -> str | None:
        """The weights as `parse_weights` reads them, None without weights."""
        if self.weights is None:
            return None
        needs_quotes = isinstance(self.weights.expression, Name) and needs_backticks(self.weights.text)
        return f"`{self.weights.text}`" if needs_quotes else self.weights.text

    @property
    def response_and_offsets(self) -> dict[str, Expression]:
        """The expressions of what is not in X, by their texts."""
        return {numeric.text: numeric.expression for numeric in (self.response, *self.offsets)}


def formula_of(names: Sequence[str], response: str, *, intercept: bool = True) -> Formula:
    """Return the formula that names these columns.

    >>> formula_of(["x1", "a b"], "y", intercept=False).text
    'y ~ x1 + `a b` - 1'
    """
    nowhere = (0, 0)
    terms = [f"`{name}`" if needs_backticks(name) else name for name in names]
    return Formula(
        text=f"{response} ~ {' + '.join(terms) or '1'}{'' if intercept else ' - 1'}",
        response=Numeric(text=response, expression=Name(response, nowhere)),
        terms=tuple((name,) for name in names),
        factors={name: UntypedColumn(text=name, name=Name(name, nowhere)) for name in names},
        intercept=intercept,
        names=tuple(names),
    )


def parse_responses(texts: Sequence[str], columns: Sequence[str]) -> list[Formula]:
    """Parse formulas that differ in their responses alone, each of which requires the others.

    `columns` are what a `.` stands for, without the responses.
    """
    responses = [parse_formula(text, columns).response for text in texts]
    names = [response.text for response in responses]
    if twice := next((name for name in names if names.count(name) > 1), ""):
        raise FormulaError(f"The response {twice!r} is on the left side twice. Name it once.")
    on_the_left = {name for response in responses for name in column_names_of(response)}
    formulas = [parse_formula(text, [name for name in columns if name not in on_the_left]) for text in texts]
    return [replace(each, required=tuple(r for r in responses if r.text != each.response.text)) for each in formulas]


def column_names_of(numeric: Numeric) -> list[str]:
    """Return the columns of the data in a response."""
    return [name.name for name in column_names(numeric.expression)]


def shorten_formula(formula: Formula, terms: Sequence[tuple[str, ...]]) -> Formula:
    """Return a formula with some of its terms; its text is that of these terms, or the whole one less the others.

    >>> shorten_formula(parse_formula("y ~ (a + b)**2"), [("b",), ("a", "b")]).text
    'y ~ b + a:b'
    """
    factors = {text: factor for text, factor in formula.factors.items() if any(text in term for term in terms)}
    if formula.names is not None:
        names = [name for name in formula.names if (name,) in terms]
        text, arrays = formula_of(names, formula.response.text, intercept=formula.intercept).text, tuple(names)
        return replace(formula, text=text, terms=tuple(terms), factors=factors, names=arrays)
    left = formula.text[: read_source(formula.text).masked_text.index("~")].strip()
    quoted = {text: f"`{text}`" if isinstance(f, UntypedColumn) and needs_backticks(text) else text for text, f in factors.items()}
    parts = [":".join(quoted[text] for text in term) for term in terms] + [each.text for each in formula.offsets]
    text = f"{left} ~ {' + '.join(parts) or '1'}{'' if formula.intercept else ' - 1'}"
    return replace(formula, text=text, terms=tuple(terms), factors=factors)


def needs_backticks(name: str) -> bool:
    """Return whether a formula takes the name of a column only in backticks.

    >>> needs_backticks("model_year"), needs_backticks("model year"), needs_backticks("class")
    (False, True, True)
    """
    return iskeyword(name) or re.fullmatch(r"[^\W\d][\w.]*", name) is None


def parse_formula(text: str, columns: Sequence[str] = ()) -> Formula:
    """Parse a formula; `columns` are what a `.` stands for, without those on the left.

    Raises FormulaError, which points at the place, if it cannot be parsed or uses syntax that is not supported.

    >>> formula = parse_formula("log(mpg) ~ displacement * C(origin) - 1")
    >>> formula.response.text, formula.terms
    ('log(mpg)', (('displacement',), ('C(origin)',), ('displacement', 'C(origin)')))
    """
    if not isinstance(text, str):
        shown = repr(text)
        what = f"{shown}, " if len(shown) <= _MAX_SHOWN and shown.isprintable() else ""
        raise FormulaError(
            f"The formula is {what}of type {type(text).__name__}, not text. {EXAMPLE[:-1]}, or give arrays as X= and y=."
        )
    if len(text) > _MAX_CHARACTERS or text.count("(") > MOST_TERMS:
        raise FormulaError(
            f"The formula has {len(text):,} characters and {text.count('('):,} opening brackets; "
            f"at most {_MAX_CHARACTERS:,} and {MOST_TERMS:,} are read. Write it shorter."
        )
    source = read_source(text)
    _require_depth(source)
    tildes = [i for i, c in enumerate(source.masked_text) if c == "~"]
    if not tildes:
        shown = text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."
        raise FormulaError(f"The formula {shown!r} has no '~' between the response and the predictors. {EXAMPLE}")
    middle, *others = tildes
    if others:
        found = "Instruments are not supported" if "|" in source.masked_text[: others[0]] else "The formula has a second '~'"
        raise source.error(f"{found}. {EXAMPLE}", (others[0], others[0] + 1))
    source, effects = parse_effects(source, middle + 1)
    response, tree = _parse_column(source, middle, _RESPONSE), parse_terms(source, middle + 1)
    if tree is None:
        raise source.error("The formula has nothing to the right of the '~'. For a mean alone write 'y ~ 1'.", (middle, middle + 1))
    elsewhere = set(column_names_of(response)).union(*effects)
    expander = TermExpander(source, middle + 1, [name for name in columns if name not in elsewhere])
    try:
        terms, offsets = expander.terms(tree)
    except RecursionError:
        raise FormulaError(f"The formula is nested too deeply. {EXAMPLE}") from None
    used = {text for term in terms for text in term}
    formula = Formula(
        text=text,
        response=response,
        terms=tuple(filter(None, terms)),
        factors={text: factor for text, factor in expander.factors.items() if text in used},
        offsets=tuple(offsets),
        intercept=() in terms and not effects,  # the effects have a constant
        effects=effects,
    )
    _require_fittable(formula, source)
    return formula


def parse_weights(text: str) -> Numeric:
    """Parse weights or frequencies: a column, or an expression in a call such as I(1 / variance).

    >>> parse_weights("I(1 / v)").text
    'I(1 / v)'
    """
    return _parse_column(read_source(text), len(text), _WEIGHTS)


def _require_depth(source: SourceText) -> None:
    depth = 0
    for i, c in enumerate(source.masked_text):
        depth += (c in "([{") - (c in ")]}")
        if depth > _MAX_DEPTH:
            raise source.error(f"The brackets are nested more than {_MAX_DEPTH} deep. Write it in fewer steps.", (i, i + 1))


def _parse_column(source: SourceText, end: int, words: _Words) -> Numeric:
    """Parse the left side, or weights: a column, or an expression in a call such as `log(y)` or `I(100 / mpg)`."""
    word = source.masked_text[:end].strip()
    if not word:
        raise FormulaError(f"The formula {source.text!r} has nothing to the left of the '~'. {EXAMPLE}")
    start = source.masked_text.index(word)
    at = start, start + len(word)
    if re.fullmatch(r"[\w.]+", word) and not re.fullmatch(r"[0-9.]+", word) and not source.quoted_text(word):
        name = source.name(word)
        return Numeric(text=name, expression=Name(name, at))
    if "#" in word:
        raise source.error(f"'#' is not understood in a formula. {ADVICE['#']}", at)
    piece, node = parse_fragment(source, at)
    text = piece.label()
    if isinstance(node, ast.Constant) or text[:1] in "'\"":
        raise source.error(f"{text} is used as the name of {words.what}. Write the name without quotes. {words.example}", at)
    if not isinstance(node, ast.Call):
        raise source.error(
            f"{words.more}. Arithmetic goes into I(...): I({text}){words.end}; a name with spaces or signs goes into backticks.",
            at,
        )
    factor = parse_factor(piece, node)
    if not isinstance(factor, Numeric):
        raise source.error(f"{words.kind} must be one column of numbers. Write a column, or an expression such as log(y).", at)
    return factor


def _require_fittable(formula: Formula, source: SourceText) -> None:
    if factor := formula.factors.get(formula.response.text):
        at = column_names(argument_of(factor))[0].span
        raise source.error(f"{factor.text!r} is on both sides of the formula. Remove it from one.", at)
    number = len(formula.terms) + formula.intercept
    if number > MOST_TERMS:
        raise FormulaError(f"The formula makes {number:,} terms; at most {MOST_TERMS:,} are fitted. Write a smaller one.")
    if formula.effects:
        _require_slopes(formula)
    if not number:
        raise FormulaError(f"The formula {source.text!r} has no terms to the right of the '~'. For a mean alone write 'y ~ 1'.")
    if INTERCEPT in formula.factors and formula.intercept:
        raise FormulaError(f"A column called {INTERCEPT!r} would have the name of the intercept. Give the column another one.")


def _require_slopes(formula: Formula) -> None:
    """Raise a FormulaError for effects without a predictor, or an effect that is the response."""
    if not formula.terms:
        raise FormulaError(
            f"The formula {formula.text!r} has effects after '|' and no predictor before it. Write a predictor, such as "
            "'y ~ x | firm'; for the means of groups alone write 'y ~ C(firm)'."
        )
    if formula.response.text in formula.label_columns:
        raise FormulaError(f"{formula.response.text!r} is the response and an effect after '|'. Remove it from one.")
