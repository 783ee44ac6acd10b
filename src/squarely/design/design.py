"""The Design: what the columns of X are, fixed once it is learned from rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from squarely.design.encoding.absorbed_effects import AbsorbedEffects
from squarely.design.encoding.categories import ContrastCoding
from squarely.design.encoding.layout import Column, ColumnLayout, columns_of, layout_of
from squarely.design.encoding.learned_state import LearnedState
from squarely.design.formula.expression import Expression, Name, column_names
from squarely.design.formula.factors import Basis, Categorical, Factor, Numeric, UntypedColumn, argument_of
from squarely.design.formula.formula import INTERCEPT, Formula
from squarely.design.formula.where import Where
from squarely.design.rounding import is_exact, is_rounded, may_cancel
from squarely.errors import pluralize
from squarely.numerics import Array, power_of_two, round_to_few_bits
from squarely.reprs import short_repr


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class RowInputs:
    """What is read and evaluated for each row: the columns `numbers` and `labels` of the data, as doubles and as categories.

    `expressions` has the arguments of the factors that are not categorical, and further expressions, by their texts. Rows in which
    the `weights` among them are zero are left out.
    """

    __repr__ = short_repr

    factors: tuple[Factor, ...]
    expressions: Mapping[str, Expression]
    numbers: tuple[str, ...]
    labels: tuple[str, ...]
    weights: Numeric | None = None

    def columns(self, where: Where | None) -> tuple[list[str], list[str]]:
        """Return the columns to read, as numbers and as labels, with those that the condition needs."""
        numbers, labels = (where.numbers, where.labels) if where else ((), ())
        return list(dict.fromkeys((*self.numbers, *numbers))), list(dict.fromkeys((*self.labels, *labels)))


def formula_inputs(formula: Formula, factors: Mapping[str, Factor]) -> RowInputs:
    """Collect what a formula and its weights and groups need of each row; `factors` are those of the formula, resolved."""
    return row_inputs(factors.values(), formula.row_expressions, formula.label_columns, formula.weights)


def row_inputs(
    factors: Iterable[Factor], further: Mapping[str, Expression], groups: Sequence[str] = (), weights: Numeric | None = None
) -> RowInputs:
    """Collect what factors, further expressions, columns of groups and weights need of each row."""
    factors = tuple(factors)
    expressions = {f.text: argument_of(f) for f in factors if not isinstance(f, Categorical)} | dict(further)
    return RowInputs(
        factors=factors,
        expressions=expressions,
        numbers=tuple(dict.fromkeys(name.name for name in column_names(*expressions.values()))),
        weights=weights,
        labels=tuple(dict.fromkeys((*(f.name.name for f in factors if isinstance(f, Categorical)), *groups))),
    )


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Design:
    """What the columns are: k = p + 1 of them, those of X without the intercept and the response last.

    Attributes
    ----------
    factors : text -> factor; each column named alone is resolved to numbers or categories.
    learned : levels, knots, means and deviations.
    centers : (k,) numbers of few bits near the middle of each column, in its unit; zero when the model has no intercept.
    scales : (k,) powers of two near the standard deviation of each column, in its unit.
    scans : how often the rows were read to learn it, without the pilot.
    absorbed : the fixed effects that the columns and the response have lost; None if there are none, or not as yet.

    Derived from these; centers of zero and scales of one too, if they are not set:

    columns : the columns of X without the intercept.
    layout : which columns are dense and which are indicators.
    inputs : what is evaluated for each row. `columns_read` the columns of the data to read for it, as numbers and as labels.
    is_rounded : whether anything is computed in plain doubles.
    cancellation_factors : the texts of the factors whose values may be nothing but the rounding of their inputs.
    """

    formula: Formula
    where: Where | None
    factors: Mapping[str, Factor]
    learned: LearnedState
    centers: Array = field(default_factory=lambda: np.empty(0))
    scales: Array = field(default_factory=lambda: np.empty(0))
    scans: int = 0
    absorbed: AbsorbedEffects | None = None
    columns: tuple[Column, ...] = field(init=False)
    layout: ColumnLayout = field(init=False)
    inputs: RowInputs = field(init=False)
    columns_read: tuple[list[str], list[str]] = field(init=False)
    is_rounded: bool = field(init=False)
    cancellation_factors: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        inputs = formula_inputs(self.formula, self.factors)
        arguments = {text: expression for text, expression in inputs.expressions.items() if text in self.factors}
        columns = columns_of(self.formula, self.factors, self.learned.contrasts)
        derived = {
            "centers": self.centers if len(self.centers) else np.zeros(len(columns) + 1),
            "scales": self.scales if len(self.scales) else np.ones(len(columns) + 1),
            "columns": columns,
            "layout": layout_of(columns, self.learned.contrasts, all_dense=bool(self.formula.effects)),
            "inputs": inputs,
            "columns_read": inputs.columns(self.where),
            "is_rounded": is_rounded(inputs.factors, inputs.expressions.values()),
            "cancellation_factors": tuple(text for text, argument in arguments.items() if may_cancel(argument)),
        }
        for name, value in derived.items():
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        return f"<Design {self.formula.text!r}: {pluralize(len(self.names), 'column')}>"

    @property
    def intercept(self) -> bool:
        """Whether the first coefficient is an intercept."""
        return self.formula.intercept

    @property
    def response(self) -> str:
        """The name of the response."""
        return self.formula.response.text

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the k columns: those of X without the intercept, then the response."""
        return (*(column.name for column in self.columns), self.response)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the coefficients: the intercept first, if there is one."""
        return (*((INTERCEPT,) if self.intercept else ()), *self.labels[:-1])

    @property
    def column_centers(self) -> Array:
        """The centers (k + 1,) of the columns [1, x, y]: zero for the constant."""
        return np.concatenate([[0.0], self.centers])

    @property
    def column_scales(self) -> Array:
        """The scales (k + 1,) of the columns [1, x, y]: one for the constant."""
        return np.concatenate([[1.0], self.scales])

    @property
    def categories(self) -> Mapping[str, ContrastCoding]:
        """The coding of each categorical factor, by its text."""
        return self.learned.contrasts

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on levels that a person would not read as a category, and on numbers that look like dates or marks."""
        untyped = {text for text, factor in self.formula.factors.items() if isinstance(factor, UntypedColumn)}
        notes = [note for text, c in self.categories.items() for note in c.notes(is_untyped=text in untyped)]
        return tuple(dict.fromkeys([*notes, *self.learned.value_notes]))


def with_centers(design: Design, *, mean: Array, deviation: Array) -> Design:
    """Set centers and scales from the mean and the standard deviation (k,) of each column."""
    # A column that is constant up to rounding counts as constant: its deviation is noise.
    deviation = np.where(deviation > 1e-14 * np.abs(mean), deviation, 0.0)
    centers = np.array([round_to_few_bits(m, s) for m, s in zip(mean.tolist(), deviation.tolist(), strict=True)])
    fixed = np.full(len(centers), not design.intercept)
    fixed[design.layout.grouped] = True  # an indicator is nearly all zeros, and stays so
    # Without an intercept, moving a column would change a model whose span lacks the constant.
    centers, deviation = np.where(fixed, 0.0, centers), np.where(fixed, np.hypot(mean, deviation), deviation)
    size = np.where(deviation > 0, deviation, np.abs(mean))
    scales = np.array([power_of_two(s) for s in size.tolist()])
    for block in design.layout.blocks:  # one scale for all columns of a block: a level that the pilot lacks has no scale yet
        members = design.layout.grouped[block.lookup[block.lookup >= 0]]
        present = members[size[members] > 0]
        scales[members] = scales[present].max() if block.numeric_columns and len(present) else 1.0
    return replace(design, centers=centers, scales=scales)


def derivations(design: Design) -> list[tuple[bool, frozenset[str]]]:
    """Return for each column of X whether it is computed exactly from columns of the data, and which these are.

    Sums, products and whole powers are double-double, so such a column has no rounding. A column of the data is not computed, but
    names itself. A column that uses a function or a basis names nothing.
    """
    derived = []
    for column in design.columns:
        parts = [design.factors[text] for text, _, _ in column.parts if text not in design.categories]
        arguments = [argument_of(factor) for factor in parts]
        is_plain = len(parts) == 1 and isinstance(parts[0], Numeric) and isinstance(arguments[0], Name)
        is_arithmetic = all(isinstance(f, Numeric) or (isinstance(f, Basis) and f.kind == "powers") for f in parts)
        if parts and is_arithmetic and all(map(is_exact, arguments)):
            derived.append((not is_plain, frozenset(name.name for name in column_names(*arguments))))
        else:
            derived.append((False, frozenset[str]()))
    return derived
