"""Whether two designs describe one model of two sets of rows, so that their sums can be added."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from squarely.design.design import Design
from squarely.design.encoding.basis import Polynomial, Spline
from squarely.design.formula.factors import Categorical
from squarely.errors import DataError
from squarely.numerics import Array

_ALL_ROWS = "or fit all rows at once"


def require_compatible(one: Design, other: Design, who: str) -> None:
    """Raise a DataError that names the first difference of two designs other than levels, centers and scales.

    `who` is what the message calls the fit that `other` belongs to.
    """
    texts = one.formula.text, other.formula.text
    if replace(one.formula, text="", names=None) != replace(other.formula, text="", names=None):
        raise DataError(
            f"The first fit is of {texts[0]!r} and {who} of {texts[1]!r}"
            + (", where '.' stands for other columns" if texts[0] == texts[1] else "")
            + ". Only fits of one formula can be merged: fit them again with the same one."
        )
    rows = [f"where={design.where.text!r}" if design.where else "no condition" for design in (one, other)]
    if rows[0] != rows[1]:
        raise DataError(f"The fits use different rows: {rows[0]} in the first, {rows[1]} in {who}. Fit them with the same where=.")
    for text in one.factors:
        kinds = ["categories" if isinstance(design.factors[text], Categorical) else "numbers" for design in (one, other)]
        if kinds[0] != kinds[1]:
            raise DataError(
                f"Column {text!r} holds {kinds[0]} in the first fit and {kinds[1]} in {who}. Give it one type in all shards, or "
                f"write C({text}) if its values are categories."
            )
    _require_same_numbers(one, other, who)


def _require_same_numbers(one: Design, other: Design, who: str) -> None:
    """Raise a DataError if the designs learned different means or bases."""
    for text, first in one.learned.standardizations.items():
        second = other.learned.standardizations[text]
        if first != second:
            raise DataError(
                f"{text} has the mean {first.mean:g} in the first fit and {second.mean:g} in {who}, so it is another column in "
                f"each. Write numbers in its place, such as I(x - 30) or I((x - 30) / 5), {_ALL_ROWS}."
            )
    for text, basis in one.learned.bases.items():
        if np.array_equal(_numbers(basis), _numbers(other.learned.bases[text])):
            continue
        what = "knots, with those at the ends, from"
        hint = "Write knots=[...] and give every shard the same smallest and largest value, use poly(x, 3, raw=True)"
        if isinstance(basis, Polynomial):
            what, hint = "orthogonal columns from", f"Write poly(x, {len(basis.weights) - 1}, raw=True)"
        raise DataError(f"{text} has {what} the rows of the first fit, and others from those of {who}. {hint}, {_ALL_ROWS}.")


def _numbers(basis: Polynomial | Spline) -> Array:
    return np.array([basis.low, basis.high, *basis.weights.flat]) if isinstance(basis, Polynomial) else basis.knots
