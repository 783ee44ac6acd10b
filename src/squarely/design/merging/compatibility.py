"""Whether two designs describe one model of two sets of rows, so that their sums can be added."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from squarely.design.design import Design
from squarely.design.encoding.basis import Polynomial, Spline
from squarely.design.formula.factors import Categorical, Factor
from squarely.design.formula.formula import Formula
from squarely.errors import DataError

_ALL_ROWS = "or fit all rows at once"


def require_compatible(one: Design, other: Design, who: str) -> None:
    """Raise a DataError that names the first difference of two designs other than levels, centers and scales.

    `who` is what the message calls the fit that `other` belongs to.
    """
    _require_formula(one.formula, other.formula, who)
    texts = [design.where.text if design.where else None for design in (one, other)]
    if texts[0] != texts[1]:
        raise DataError(
            f"The fits use different rows: {_condition_phrase(texts[0])} in the first, {_condition_phrase(texts[1])} in {who}. "
            "Fit them with the same where=."
        )
    for text, factor in one.factors.items():
        _require_factor(text, factor, other.factors[text], who)
    for text, first in one.learned.standardizations.items():
        second = other.learned.standardizations[text]
        if first != second:
            raise DataError(
                f"{text} has the mean {first.mean:g} in the first fit and {second.mean:g} in {who}, so it is another column in "
                f"each. Write numbers in its place, such as I(x - 30) or I((x - 30) / 5), {_ALL_ROWS}."
            )
    for text, basis in one.learned.bases.items():
        if not _is_same_basis(basis, other.learned.bases[text]):
            raise DataError(
                f"{text} has {_learned_phrase(basis)} the rows of the first fit, and others from those of {who}. "
                f"{_alternative_phrase(basis)}"
            )


def _learned_phrase(basis: Polynomial | Spline) -> str:
    return "orthogonal columns from" if isinstance(basis, Polynomial) else "knots, with those at the ends, from"


def _alternative_phrase(basis: Polynomial | Spline) -> str:
    if isinstance(basis, Polynomial):
        return f"Write poly(x, {len(basis.weights) - 1}, raw=True), {_ALL_ROWS}."
    return f"Write knots=[...] and give every shard the same smallest and largest value, use poly(x, 3, raw=True), {_ALL_ROWS}."


def _require_formula(one: Formula, other: Formula, who: str) -> None:
    if replace(one, text="", names=None) != replace(other, text="", names=None):
        raise DataError(
            f"The first fit is of {one.text!r} and {who} of {other.text!r}"
            + (", where '.' stands for other columns" if one.text == other.text else "")
            + ". Only fits of one formula can be merged: fit them again with the same one."
        )


def _condition_phrase(text: str | None) -> str:
    return "no condition" if text is None else f"where={text!r}"


def _require_factor(text: str, one: Factor, other: Factor, who: str) -> None:
    if isinstance(one, Categorical) != isinstance(other, Categorical):
        kinds = ["categories" if isinstance(factor, Categorical) else "numbers" for factor in (one, other)]
        raise DataError(
            f"Column {text!r} holds {kinds[0]} in the first fit and {kinds[1]} in {who}. Give it one type in all shards, or write "
            f"C({text}) if its values are categories."
        )


def _is_same_basis(one: Polynomial | Spline, other: Polynomial | Spline) -> bool:
    if isinstance(one, Polynomial) and isinstance(other, Polynomial):
        return (one.low, one.high) == (other.low, other.high) and np.array_equal(one.weights, other.weights)
    return isinstance(one, Spline) and isinstance(other, Spline) and np.array_equal(one.knots, other.knots)
