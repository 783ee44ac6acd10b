"""The Design: what the columns of X are, frozen once learnt."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from squarely.design.encoding.basis import Polynomial, Spline
from squarely.design.encoding.categories import ContrastCoding
from squarely.design.encoding.layout import Column, ColumnLayout, layout_of
from squarely.design.formula.expression import Expression, MeanAndDeviation, column_names
from squarely.design.formula.factors import Categorical, Factor, UntypedColumn, argument_of
from squarely.design.formula.formula import INTERCEPT, Formula
from squarely.design.formula.where import Where
from squarely.design.rounding import needs_cancellation_check
from squarely.numerics import Array, power_of_two, round_to_few_bits


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class LearnedState:
    """What rows have taught: for each `center` and `scale`, each categorical factor and each basis, by its text.

    `ranges` has the ends of the arguments of bases on their way to be learnt.
    """

    standardizations: Mapping[str, MeanAndDeviation] = field(default_factory=dict)
    contrasts: Mapping[str, ContrastCoding] = field(default_factory=dict)
    bases: Mapping[str, Polynomial | Spline] = field(default_factory=dict)
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Design:
    """What the columns are. With k = p + 1 columns, those of X without the intercept and the response last.

    Attributes
    ----------
    formula : the formula as read.
    where : the condition on rows, if there is one.
    factors : text -> factor; columns named alone have become numbers or categories.
    learned : levels, knots, means and the like.
    columns : the columns of X without the intercept.
    centers : (k,) short numbers near the middle of each column, in its unit; zero when the model has no intercept.
    scales : (k,) powers of two near the spread of each column, in its unit.
    scans : how often the rows were read to learn it, the pilot excepted.
    layout : which columns are held densely and which as indicators; it follows from the rest.
    """

    formula: Formula
    where: Where | None
    factors: Mapping[str, Factor]
    learned: LearnedState
    columns: tuple[Column, ...]
    centers: Array
    scales: Array
    scans: int = 0
    layout: ColumnLayout = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "layout", layout_of(self.columns, self.learned.contrasts))

    @property
    def intercept(self) -> bool:
        """Whether the first coefficient is an intercept."""
        return self.formula.intercept

    @property
    def response(self) -> str:
        """What the response is called."""
        return self.formula.response.text

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the k columns: those of X without the intercept, then the response."""
        return (*(column.name for column in self.columns), self.response)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the coefficients: the intercept first, if there is one."""
        return (*((INTERCEPT,) if self.intercept else ()), *(column.name for column in self.columns))

    @property
    def column_centers(self) -> Array:
        """The centres (k + 1,) of the columns [1, x, y] that `scaled` makes: zero for the constant."""
        return np.concatenate([[0.0], self.centers])

    @property
    def column_scales(self) -> Array:
        """The scales (k + 1,) of the columns [1, x, y] that `scaled` makes: one for the constant."""
        return np.concatenate([[1.0], self.scales])

    @property
    def cancellation_factors(self) -> tuple[str, ...]:
        """The factors whose values may be no more than the rounding of what they are computed from, by their texts."""
        return tuple(text for text, factor in self.factors.items() if needs_cancellation_check(factor))

    @property
    def categories(self) -> Mapping[str, ContrastCoding]:
        """The coding of each categorical factor, by its text."""
        return self.learned.contrasts

    @property
    def notes(self) -> tuple[str, ...]:
        """What of the levels of categories a person would not read as a category, in sentences."""
        named = self.formula.factors
        said = (note for text, c in self.categories.items() for note in c.notes(is_untyped=isinstance(named[text], UntypedColumn)))
        return tuple(dict.fromkeys(said))


def with_centers(design: Design, *, mean: Array, deviation: Array) -> Design:
    """Give the design centres and scales from the mean and spread (k,) of each column."""
    # A constant up to rounding counts as one: its spread is noise, and its centre its value.
    deviation = np.where(deviation > 1e-14 * np.abs(mean), deviation, 0.0)
    centres = np.array([round_to_few_bits(m, s) for m, s in zip(mean.tolist(), deviation.tolist(), strict=True)])
    still = np.zeros(len(centres), dtype=bool) if design.intercept else np.ones(len(centres), dtype=bool)
    still[design.layout.grouped] = True  # an indicator is nearly all zeros, and stays so
    # Without an intercept, moving a column would change a model whose span lacks the constant.
    centres, deviation = np.where(still, 0.0, centres), np.where(still, np.hypot(mean, deviation), deviation)
    size = np.where(deviation > 0, deviation, np.abs(mean))
    scales = np.array([power_of_two(s) for s in size.tolist()])
    for block in design.layout.blocks:  # one scale for all of a block's columns: a level that the pilot lacks has none of its own
        members = design.layout.grouped[block.lookup[block.lookup >= 0]]
        met = members[size[members] > 0]
        scales[members] = scales[met].max() if block.numeric_columns and len(met) else 1.0
    return replace(design, centers=centres, scales=scales)


def columns_needed(factors: Iterable[Factor], expressions: Iterable[Expression]) -> tuple[list[str], list[str]]:
    """Give the columns of the data that factors and further expressions need: as numbers, and as labels."""
    factors = list(factors)
    wanted = [*(argument_of(f) for f in factors if not isinstance(f, Categorical)), *expressions]
    numbers = [name.name for expression in wanted for name in column_names(expression)]
    labels = [f.name.name for f in factors if isinstance(f, Categorical)]
    return list(dict.fromkeys(numbers)), list(dict.fromkeys(labels))
