"""From the text of a formula to the names of columns. The grammar is formulaic's; nothing is ever evaluated as Python.

Understood so far: numeric columns, `+`, `- 1`, `+ 0`, brackets, and names in backticks. Whatever else the grammar
knows is refused by its name, so that no formula means less than it says.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from squarely.errors import FormulaError

INTERCEPT = "Intercept"
_LONGEST = 20_000
_DEEPEST = 50
_EXAMPLE = "Write it like 'mpg ~ displacement + weight'."


@dataclass(frozen=True, slots=True, kw_only=True)
class Formula:
    """A formula as read.

    Attributes
    ----------
    text : as the user wrote it.
    response : the column on the left.
    predictors : the columns on the right, in the order written.
    intercept : whether the model has one.
    """

    text: str
    response: str
    predictors: tuple[str, ...]
    intercept: bool

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the coefficients, as statsmodels prints them."""
        return (INTERCEPT, *self.predictors) if self.intercept else self.predictors


def parse_formula(text: str) -> Formula:
    """Read a formula.

    Raises
    ------
    FormulaError : it cannot be read, or uses something that is not understood; the message names it.

    >>> parse_formula("mpg ~ displacement + `model year` - 1").predictors
    ('displacement', 'model year')
    """
    if not isinstance(text, str):
        raise FormulaError(f"The formula is {text!r}, of type {type(text).__name__}, not text. {_EXAMPLE}")
    if len(text) > _LONGEST or text.count("(") > _DEEPEST:
        raise FormulaError(
            f"The formula has {len(text):,} characters and {text.count('('):,} opening brackets; "
            f"at most {_LONGEST:,} and {_DEEPEST} are read. Write it shorter."
        )
    # formulaic loads pandas, about a second; it is loaded when a formula is read and not before.
    from formulaic.errors import FormulaParsingError
    from formulaic.parser import DefaultFormulaParser
    from formulaic.parser.algos.tokenize import tokenize

    try:
        tokens = list(tokenize(text))
        _refuse(text, tokens)
        sides = DefaultFormulaParser().get_terms(text)
    except (FormulaParsingError, SyntaxError, RecursionError) as error:
        raise FormulaError(f"The formula {text!r} cannot be read: {_plain(error)} {_EXAMPLE}") from None
    if not hasattr(sides, "lhs"):
        raise FormulaError(f"The formula {text!r} has nothing left of the '~'. {_EXAMPLE}")
    (response,) = (term.factors[0].expr for term in sides.lhs)
    terms = [term.factors[0].expr for term in sides.rhs]
    formula = Formula(
        text=text,
        response=response,
        predictors=tuple(expr for expr in terms if expr != "1"),
        intercept="1" in terms,
    )
    return _check(formula)


def _refuse(text: str, tokens: list[Any]) -> None:
    """Refuse by name whatever the grammar knows and we do not: the parser would read `a^2` as `a` without a word."""
    depth = 0
    for token in tokens:
        word, kind = str(token.token), token.kind.name
        depth += {"(": 1, ")": -1}.get(word, 0) if kind == "CONTEXT" else 0
        if kind == "PYTHON":
            raise FormulaError(
                f"{word!r} in the formula is a call or Python expression. Transformations are not understood yet and "
                "nothing is evaluated as Python. Make the column in your data and name it here."
            )
        if (kind == "OPERATOR" and (word.strip("~+-") or word.count("-") > 1)) or (kind == "CONTEXT" and word not in "()"):
            raise FormulaError(f"{word!r} in the formula {text!r} is not understood yet; only '~', '+', '- 1' and '+ 0' are.")
        if kind == "NAME" and word in {"0", "1", "."}:
            raise FormulaError(f"A column called {word!r} would be read as something else. Give the column a name of its own.")
        if kind == "VALUE" and word not in {"0", "1"}:
            raise FormulaError(f"{word!r} in the formula {text!r} is not the name of a column. Only 0 and 1 may stand alone.")
        if kind == "VALUE" and depth:
            raise FormulaError(f"In the formula {text!r} a {word!r} stands inside brackets, where it has no effect. Move it out.")
    _refuse_sides(text, [(str(token.token), token.kind.name) for token in tokens])


def _refuse_sides(text: str, tokens: list[tuple[str, str]]) -> None:
    """Refuse a formula without two sides, with more than a name on the left, or with a '-' before a name."""
    if not any("~" in word and kind == "OPERATOR" for word, kind in tokens):
        raise FormulaError(f"The formula {text!r} has no '~' between the response and the predictors. {_EXAMPLE}")
    for (word, kind), (_, following) in pairwise([*tokens, ("", "END")]):
        if kind == "OPERATOR" and word.endswith("-") and following != "VALUE":
            raise FormulaError(f"In the formula {text!r} a '-' stands before something other than 1. Only '- 1' is understood.")
    if tokens[0][0] != "~" and (tokens[0][1] != "NAME" or not tokens[1][0].startswith("~")):
        raise FormulaError(f"Left of the '~' of {text!r} stands more than the name of one column. {_EXAMPLE}")
    if tokens[-1][0] == "~":
        raise FormulaError(f"The formula {text!r} has nothing right of the '~'. For a mean alone write 'y ~ 1'.")


def _check(formula: Formula) -> Formula:
    if formula.response in formula.predictors:
        raise FormulaError(f"{formula.response!r} stands on both sides of the formula and would explain itself. Take it off one.")
    if not formula.names:
        raise FormulaError(f"The formula {formula.text!r} has neither an intercept nor a predictor. Name at least one column.")
    if formula.intercept and INTERCEPT in formula.predictors:
        raise FormulaError(f"A column is called {INTERCEPT!r}, like the constant. Rename it, or write '- 1' to leave ours out.")
    return formula


def _plain(error: BaseException) -> str:
    """Give the first line of the parser's own message, without its terminal colours."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply."
    return (str(error).strip().splitlines() or ["it is not a formula."])[0]
