"""What a design has learned from rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from squarely.design.encoding.basis import Polynomial, Spline
from squarely.design.encoding.categories import ContrastCoding
from squarely.design.formula.expression import MeanAndDeviation

Learned: TypeAlias = MeanAndDeviation | ContrastCoding | Polynomial | Spline | tuple[float, float]
_FIELDS = {
    MeanAndDeviation: "standardizations", ContrastCoding: "contrasts", Polynomial: "bases", Spline: "bases", tuple: "ranges",
}  # fmt: skip


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class LearnedState:
    """What rows have taught about each `center` and `scale`, each categorical factor and each basis, by its text.

    `ranges` has the range of the argument of each polynomial, which is learned before the polynomial.
    """

    standardizations: Mapping[str, MeanAndDeviation] = field(default_factory=dict)
    contrasts: Mapping[str, ContrastCoding] = field(default_factory=dict)
    bases: Mapping[str, Polynomial | Spline] = field(default_factory=dict)
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def learn(self, text: str, value: Learned) -> LearnedState:
        """Return the state with what is learned about one more text."""
        name = _FIELDS[type(value)]
        fields: dict[str, Any] = {name: {**getattr(self, name), text: value}}
        return replace(self, **fields)
