"""The terms of an average: what each column of X, or its derivative, needs of the rows where columns of the data are set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from squarely.data import Level
from squarely.design import Design, FactorColumn, FactorValues, Name, factor_of, is_column_alone, monomials_of, products
from squarely.inference.post_estimation.effects.row_sums import RowSum, columns_of_part
from squarely.inference.post_estimation.effects.settings import Setting

_Functions: TypeAlias = Mapping[str, Mapping[Level, float]]  # column of the data -> a function of its levels
_Derived: TypeAlias = tuple[FactorColumn, str] | None  # a column that is derived, and the column of the data that it is derived by


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Request:
    """An average to compute: at a point, of the columns of X, or of their derivatives with respect to `variable`."""

    point: Setting
    variable: str | None = None


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Term:
    """A part of an average: `scalar` times a sum over rows times functions of levels, in a column of X (p for an offset)."""

    column: int
    scalar: float
    sum: RowSum
    functions: _Functions


class Terms:
    """The terms of averages over the rows of a design, in the groups of the columns `by`.

    `categories` are the columns that are categories of the design, `cells` those of them in `by`, and `others` the rest of `by`.
    """

    def __init__(self, design: Design, by: Sequence[str]) -> None:
        self._design = design
        self.categories = tuple(dict.fromkeys(coding.column for coding in design.categories.values()))
        self.cells = tuple(name for name in self.categories if name in by)
        self.others = tuple(name for name in by if name not in self.categories)
        self._columns: list[tuple[Sequence[FactorColumn], _Functions]] = [
            (sorted(each.numbers), _by_column(design, each.functions)) for each in products(design)
        ]
        self._columns += [([(each.text, False, 0)], {}) for each in design.formula.offsets]

    def of(self, request: Request, *, with_values: bool = True) -> Iterator[Term]:
        """Yield the terms of an average; without values their scalars mean nothing, and numbers may be unknown."""
        design, point = self._design, request.point
        fixed = {**point.numbers, **dict.fromkeys(point.means, np.nan)}
        factors = _Factors(design, fixed, request.variable, with_values=with_values)
        for j, (parts, functions) in enumerate(self._columns):
            scalar, free = 1.0, {}
            for name, function in functions.items():
                if name in point.levels:
                    scalar *= sum(weight * function.get(level, 0.0) for level, weight in point.levels[name].items())
                else:
                    free[name] = function
            cells = tuple(name for name in self.categories if name in free or name in self.cells)
            for multiple, rest, derived in factors.split(parts) if scalar else ():
                reads = {name for each in (*rest, *(derived or ())[:1]) for name in columns_of_part(design, each)}
                settings = tuple(sorted((name, value) for name, value in fixed.items() if name in reads))
                wanted = RowSum(parts=rest, derived=derived, settings=settings, cells=cells, others=self.others)
                yield Term(column=min(j, len(design.columns)), scalar=scalar * multiple, sum=wanted, functions=free)


class _Factors:
    """Products of columns of numbers, of which some are the same in every row, because all that they read is fixed."""

    def __init__(self, design: Design, fixed: Mapping[str, float], variable: str | None, *, with_values: bool) -> None:
        self._design, self._fixed, self._variable = design, fixed, variable
        self._values = FactorValues(design, {}, fixed, 1) if with_values else None
        self._simple = {} if variable is None else _simple_derivatives(design, variable)

    def split(self, parts: Sequence[FactorColumn]) -> Iterator[tuple[float, tuple[FactorColumn, ...], _Derived]]:
        """Yield terms of a product or of its derivative: a multiple, the columns to sum, and one that is derived."""
        if self._variable is None:
            yield (*self._factor_out(parts), None)
            return
        for i, part in enumerate(parts):
            reads = columns_of_part(self._design, part)
            if self._variable not in reads:
                continue
            others = [*parts[:i], *parts[i + 1 :]]
            if reads <= self._fixed.keys():
                multiple, rest = self._factor_out(others)
                slope = 1.0 if self._values is None else float(self._values.derivative(part, self._variable)[0])
                yield multiple * slope, rest, None
            elif part in self._simple:
                coefficient, replacement = self._simple[part]
                multiple, rest = self._factor_out([*others, *replacement])
                yield coefficient * multiple, tuple(sorted(rest)), None
            else:
                yield (*self._factor_out(others), (part, self._variable))

    def _factor_out(self, parts: Sequence[FactorColumn]) -> tuple[float, tuple[FactorColumn, ...]]:
        """Return the product of the columns that are the same in every row, and the others."""
        constant = [part for part in parts if columns_of_part(self._design, part) <= self._fixed.keys()]
        rest = tuple(part for part in parts if part not in constant)
        if self._values is None or not constant:
            return 1.0, rest
        hi, lo = self._values.product(constant)
        return float(hi[0] + (0.0 if lo is None else lo[0])), rest


def _by_column(design: Design, functions: Mapping[str, Mapping[Level, object]]) -> dict[str, dict[Level, float]]:
    """Multiply functions of the levels of factors that have one column of the data."""
    joined: dict[str, dict[Level, float]] = {}
    for text, function in functions.items():
        name, values = design.categories[text].column, {level: float(x) for level, x in function.items()}  # type: ignore[arg-type]
        mine = joined.get(name)
        joined[name] = values if mine is None else {level: x * values[level] for level, x in mine.items() if level in values}
    return joined


def _simple_derivatives(design: Design, variable: str) -> dict[FactorColumn, tuple[float, tuple[FactorColumn, ...]]]:
    """Return the columns whose derivative is a multiple of another column, or a number: x and its whole powers."""
    powers: dict[int, tuple[float, tuple[FactorColumn, ...]]] = {0: (1.0, ())}
    found: list[tuple[FactorColumn, int, float]] = []
    for column, monomial in zip(design.columns, monomials_of(design), strict=True):
        if len(column.parts) == 1 and len(monomial.powers) == 1:
            ((atom, power),), coefficient = monomial.powers, float(monomial.coefficient)
            if isinstance(atom, Name) and atom.name == variable:
                found.append((column.parts[0], power, coefficient))
                powers.setdefault(power, (coefficient, column.parts))
    simple = {
        part: (power * coefficient / powers[power - 1][0], powers[power - 1][1])
        for part, power, coefficient in found
        if power - 1 in powers
    }
    for column in design.columns:
        for part in column.parts:
            if part[0] not in design.categories and is_column_alone(factor_of(design, part[0]), variable):
                simple[part] = (1.0, ())
    return simple
