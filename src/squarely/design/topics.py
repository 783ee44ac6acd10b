"""What has to be learnt from rows before there are columns, and in which order: what can be learnt together takes one scan."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from squarely.design.expression import Expression, Moved, parts
from squarely.design.factor import Basis, Categorical, Factor, expression_of
from squarely.design.formula import Formula

_SAID = {"means": "mean", "levels": "levels", "ranges": "range", "knots": "knots", "polynomials": "orthogonal polynomials"}


@dataclass(frozen=True, slots=True)
class Topic:
    """One thing to learn.

    Attributes
    ----------
    kind : "means" (and deviations), "levels", "ranges", "knots" or "polynomials".
    text : what it is learnt of, as the formula writes it.
    """

    kind: str
    text: str

    def __str__(self) -> str:
        return f"the {_SAID[self.kind]} of {self.text}"


Round = tuple[Topic, ...]


def rounds(formula: Formula, factors: Mapping[str, Factor]) -> tuple[Round, ...]:
    """Plan the scans: the topics of each, given the factors with columns named alone told apart.

    A mean comes first: what holds one may have no value in some rows, which everything else must leave out.
    """
    moved = moved_in(formula, factors)
    planned: list[Round] = []
    while here := _next(factors, moved, {topic for topics in planned for topic in topics}):
        planned.append(here)
    return tuple(planned)


def purpose(topics: Round) -> str:
    """Say in a word or two what one scan is for.

    >>> purpose((Topic("levels", "a"), Topic("levels", "b"), Topic("knots", "ns(x, df=3)")))
    'levels, knots'
    """
    return ", ".join(dict.fromkeys(topic.kind for topic in topics))


def moved_in(formula: Formula, factors: Mapping[str, Factor]) -> dict[str, Moved]:
    """Give every `center` and `scale`, by its text."""
    expressions = [expression_of(f) for f in factors.values() if not isinstance(f, Categorical)]
    inside = (part for e in (*expressions, *formula.outside.values()) for part in parts(e))
    return {part.text: part for part in inside if isinstance(part, Moved)}


def _next(factors: Mapping[str, Factor], moved: Mapping[str, Moved], done: Collection[Topic]) -> Round:
    def is_known(expression: Expression) -> bool:
        return all(Topic("means", part.text) in done for part in parts(expression) if isinstance(part, Moved))

    means = [Topic("means", text) for text, part in moved.items() if is_known(part.argument)]
    levels = [Topic("levels", text) for text, factor in factors.items() if isinstance(factor, Categorical)]
    bases = [
        _of_basis(factor, done)
        for factor in factors.values()
        if isinstance(factor, Basis) and factor.kind != "powers" and is_known(factor.argument)
    ]
    return _new(means, done) or _new([*levels, *bases], done)


def _of_basis(factor: Basis, done: Collection[Topic]) -> Topic:
    """Tell what is learnt next of a basis: a range, unless quantiles are its knots; a polynomial then needs a QR of the rows."""
    if factor.kind != "poly" and factor.df is not None:
        return Topic("knots", factor.text)
    limits = Topic("ranges", factor.text)
    return Topic("polynomials", factor.text) if factor.kind == "poly" and limits in done else limits


def _new(topics: list[Topic], done: Collection[Topic]) -> Round:
    return tuple(topic for topic in topics if topic not in done)
