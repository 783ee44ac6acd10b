"""What a design has learned from rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np

from squarely.design.encoding.basis import Polynomial, Spline
from squarely.design.encoding.categories import ContrastCoding
from squarely.design.formula.expression import MeanAndDeviation, Standardize
from squarely.numerics import Pair, is_constant
from squarely.reprs import short_repr

# Of n values: n, their mean, the sum of squares about it, the smallest and the largest.
MeanAndSquares: TypeAlias = tuple[int, Pair, float, float, float]
Learned: TypeAlias = MeanAndDeviation | ContrastCoding | Polynomial | Spline | tuple[float, float]
_FIELDS = {
    MeanAndDeviation: "standardizations", ContrastCoding: "contrasts", Polynomial: "bases", Spline: "bases", tuple: "ranges",
}  # fmt: skip


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class LearnedState:
    """What rows have taught about each `center` and `scale`, each categorical factor and each basis, by its text.

    `ranges` has the range of the argument of each polynomial, which is learned before the polynomial; `value_notes` sentences on
    numbers in the first rows that look like dates or like marks for a missing value.
    """

    __repr__ = short_repr

    standardizations: Mapping[str, MeanAndDeviation] = field(default_factory=dict)
    contrasts: Mapping[str, ContrastCoding] = field(default_factory=dict)
    bases: Mapping[str, Polynomial | Spline] = field(default_factory=dict)
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    value_notes: tuple[str, ...] = ()

    def learn(self, text: str, value: Learned) -> LearnedState:
        """Return the state with what is learned about one more text."""
        name = _FIELDS[type(value)]
        fields: dict[str, Any] = {name: {**getattr(self, name), text: value}}
        return replace(self, **fields)


def mean_and_deviation(part: Standardize, total: MeanAndSquares) -> MeanAndDeviation:
    """Return a mean and a deviation: zero for an argument that is constant up to rounding."""
    n, (mean, rest), squares, low, high = total
    deviation = float(np.sqrt(squares / (n - part.ddof))) if n > part.ddof else 0.0
    if is_constant(low, high, float(mean), deviation):
        deviation = 0.0
    return MeanAndDeviation(mean=float(mean), deviation=deviation, rest=float(rest))
