"""Averages over the rows of the columns of X, or of their derivatives, where columns of the data are set to values.

An average prediction or slope is L beta. L is the average of the row of X, or of its derivative: exact sums over the rows by cells
of categories, times what is the same in every row.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from squarely.data import Level, Source
from squarely.design import (
    DATA_COLUMN,
    Design,
    FactorColumn,
    FactorValues,
    Name,
    factor_of,
    is_column_alone,
    monomials_of,
    products,
)
from squarely.exact import Solution
from squarely.inference.post_estimation.effects.row_sums import (
    Label,
    RowSum,
    center_of,
    columns_of_part,
    levels_of,
    sum_from_moments,
)
from squarely.inference.post_estimation.effects.scan import scan_sums
from squarely.inference.post_estimation.effects.settings import Point
from squarely.numerics import Array

_NO_SHARE = 1e-12  # of the weights: a smaller share of a cell is rounding
_Functions: TypeAlias = Mapping[str, Mapping[Level, float]]  # column of the data -> a function of its levels


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Average:
    """The average of rows of X, or of their derivatives.

    Attributes
    ----------
    group : the values of the columns of `by`.
    z : (p + 1,) the average of [1, (x - center) / scale]; the first is 0 for a derivative.
    offset : the average of the offset, or of its derivative.
    """

    group: Label
    z: Array
    offset: float


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Request:
    """An average to compute: at a point, of the columns of X, or of their derivatives with respect to `variable`."""

    point: Point
    variable: str | None = None


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class _Term:
    """A part of an average: `scalar` times a sum over rows times functions of levels, in a column of X (-1 for the offset)."""

    column: int
    scalar: float
    sum: RowSum
    functions: _Functions


@dataclass(eq=False, slots=True)
class Averages:
    """Averages over the rows of a fit, by groups: the values of the columns `by`.

    The sums over rows come from the cross-products where these have them. All others take one scan.
    """

    solution: Solution
    source: Source
    by: tuple[str, ...] = ()
    scans: int = 0
    _sums: dict[RowSum, Mapping[Label, Array]] = field(default_factory=dict)

    @property
    def _design(self) -> Design:
        return self.solution.moments.design

    @property
    def _categories(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(coding.column for coding in self._design.categories.values()))

    @property
    def _cells(self) -> tuple[str, ...]:
        """The columns of `by` that are categories of the fit, in the order of these."""
        return tuple(name for name in self._categories if name in self.by)

    @property
    def _others(self) -> tuple[str, ...]:
        return tuple(name for name in self.by if name not in self._cells)

    def means_of(self, names: Iterable[str], requests: Sequence[Request]) -> dict[str, float]:
        """Return the weighted means of columns of the data over all rows.

        If that takes a scan, it computes what the requests need, too, as far as this does not depend on the means.
        """
        keys = {name: RowSum(parts=(self._data_column(name),)) for name in names}
        if not keys:
            return {}
        later = [key for key in self._needs(requests) if not any(np.isnan(value) for _, value in key.settings)]
        self._fetch([*keys.values(), RowSum()], later)
        total = float(self._sums[RowSum()][()])
        return {name: center_of(self._design, key.parts) + float(self._sums[key][()]) / total for name, key in keys.items()}

    def compute(self, requests: Sequence[Request]) -> list[list[Average]]:
        """Return for each request the average in each group, in the order of the groups.

        Raises
        ------
        DataError : it takes rows, and there are none; or an expression has no value, or no derivative, where columns are set.
        """
        self._fetch(self._needs(requests))
        groups = self._groups()
        return [self._average(request, groups) for request in requests]

    def _needs(self, requests: Sequence[Request]) -> list[RowSum]:
        wanted = [RowSum(cells=self._cells, others=self._others)]
        for request in requests:
            for term in self._terms(request, with_values=False):
                wanted += [term.sum, term.sum.counts()]
        return list(dict.fromkeys(wanted))

    def _fetch(self, wanted: Sequence[RowSum], later: Sequence[RowSum] = ()) -> None:
        """Compute sums that are not there yet; `later` ones only if it takes a scan."""
        missing = [key for key in wanted if key not in self._sums]
        for key in list(missing):
            table = sum_from_moments(self.solution.moments, key)
            if table is not None:
                self._sums[key] = {(): table}
                missing.remove(key)
        if missing:
            missing += [key for key in later if key not in self._sums and key not in missing]
            self._sums.update(scan_sums(self.solution, self.source, missing))
            self.scans += 1

    def _groups(self) -> list[tuple[Label, tuple[int, ...], Label]]:
        """Return for each group its label of other columns, its cell, and its values in the order of `by`."""
        counts = self._sums[RowSum(cells=self._cells, others=self._others)]
        total = sum(float(table.sum()) for table in counts.values())
        levels = levels_of(self._design, self._cells)
        groups = []
        for label, table in counts.items():
            for cell in zip(*np.nonzero(table > _NO_SHARE * total), strict=True) if table.ndim else [()]:
                place = tuple(int(i) for i in cell)
                values = dict(zip(self._others, label, strict=True))
                values |= {name: known[i] for name, known, i in zip(self._cells, levels, place, strict=True)}
                groups.append((label, place, tuple(values[name] for name in self.by)))
        places = [{level: i for i, level in enumerate(known)} for known in levels]
        orders = dict(zip(self._cells, places, strict=True))

        def order(group: tuple[Label, tuple[int, ...], Label]) -> list[tuple[object, ...]]:
            return [
                (orders[name][value],) if name in orders else (isinstance(value, str), value)
                for name, value in zip(self.by, group[2], strict=True)
            ]

        return sorted(groups, key=order)

    def _average(self, request: Request, groups: Sequence[tuple[Label, tuple[int, ...], Label]]) -> list[Average]:
        """Sum up the terms of a request, (p + 1,) for each group; centers are subtracted before the sums are."""
        design = self._design
        p = len(design.columns)
        level = float(request.variable is None)
        shape = [len(known) for known in levels_of(design, self._cells)]
        tables = {label: np.zeros((2, p + 1, *shape)) for label, _, _ in groups}  # multiples of the counts, and sums about centers
        for term in self._terms(request):
            center = center_of(design, term.sum.parts) if term.sum.parts else 1.0
            constant = 0.0 if term.sum.derived else term.scalar * center
            for label, table in tables.items():
                if constant:
                    counts = self._contract(self._sums[term.sum.counts()], label, term)
                    table[0, term.column] += constant * counts
                if term.sum.parts or term.sum.derived:
                    table[1, term.column] += term.scalar * self._contract(self._sums[term.sum], label, term)
        averages = []
        weights = self._sums[RowSum(cells=self._cells, others=self._others)]
        for label, cell, values in groups:
            count = weights[label][cell]
            constants, sums = (tables[label][(i, slice(None), *cell)] / count for i in (0, 1))
            z = ((constants[:p] - level * design.centers[:-1]) + sums[:p]) / design.scales[:-1]
            averages.append(Average(group=values, z=np.concatenate([[level], z]), offset=float(constants[p] + sums[p])))
        return averages

    def _contract(self, tables: Mapping[Label, Array], label: Label, term: _Term) -> Array:
        """Sum a table over its cells with the functions of a term, but for the columns of `by`."""
        table = tables.get(label)
        if table is None:
            return np.zeros(())
        cells = term.sum.cells
        for axis in reversed(range(len(cells))):
            name = cells[axis]
            (known,) = levels_of(self._design, [name])
            function = term.functions.get(name)
            if name in self._cells:
                if function is not None:
                    values = np.array([function.get(each, 0.0) for each in known])
                    table = table * values.reshape([-1 if i == axis else 1 for i in range(table.ndim)])
            elif function is not None:
                places = [i for i, each in enumerate(known) if each in function]
                weights = [function[known[i]] for i in places]
                table = np.tensordot(table.take(places, axis), weights, (axis, 0))
        return table

    def _terms(self, request: Request, *, with_values: bool = True) -> Iterator[_Term]:
        """Yield the terms of the average of each column of X and of the offset; without values, what they need of the rows."""
        design, point = self._design, request.point
        fixed = {**point.numbers, **dict.fromkeys(point.means, np.nan)}
        factors = FactorValues(design, {}, fixed, 1) if with_values else None
        columns = [(each.numbers, _by_column(design, each.functions)) for each in products(design)]
        every = [(j, parts, functions) for j, (parts, functions) in enumerate(columns)]
        every += [(len(columns), frozenset([(each.text, False, 0)]), {}) for each in design.formula.offsets]
        simple = {} if request.variable is None else _simple_derivatives(design, request.variable)
        for j, parts, functions in every:
            scalar, free = 1.0, {}
            for name, function in functions.items():
                if name in point.levels:
                    scalar *= sum(weight * function.get(level, 0.0) for level, weight in point.levels[name].items())
                else:
                    free[name] = function
            cells = tuple(name for name in self._categories if name in free or name in self._cells)
            for multiple, rest, derived in (
                self._factor_out(sorted(parts), fixed, factors, request.variable, simple) if scalar else ()
            ):
                reads = frozenset().union(*(columns_of_part(design, each) for each in (*rest, *([derived[0]] if derived else []))))
                settings = tuple(sorted((name, value) for name, value in fixed.items() if name in reads))
                wanted = RowSum(parts=rest, derived=derived, settings=settings, cells=cells, others=self._others)
                yield _Term(column=j, scalar=scalar * multiple, sum=wanted, functions=free)

    def _factor_out(
        self,
        parts: Sequence[FactorColumn],
        fixed: Mapping[str, float],
        factors: FactorValues | None,
        variable: str | None,
        simple: Mapping[FactorColumn, tuple[float, tuple[FactorColumn, ...]]],
    ) -> Iterator[tuple[float, tuple[FactorColumn, ...], tuple[FactorColumn, str] | None]]:
        """Yield terms of a product of columns or of its derivative: a multiple, the columns to sum, and one that is derived."""
        design = self._design

        def split(parts: Sequence[FactorColumn]) -> tuple[float, tuple[FactorColumn, ...]]:
            constant = [part for part in parts if columns_of_part(design, part) <= fixed.keys()]
            rest = tuple(part for part in parts if part not in constant)
            hi, lo = factors.product(constant) if factors is not None else (np.ones(1), None)
            return float(hi[0] + (0.0 if lo is None else lo[0])), rest

        if variable is None:
            yield (*split(parts), None)
            return
        for i, part in enumerate(parts):
            reads = columns_of_part(design, part)
            if variable not in reads:
                continue
            others = [*parts[:i], *parts[i + 1 :]]
            if reads <= fixed.keys():
                multiple, rest = split(others)
                slope = 1.0 if factors is None else float(factors.derivative(part, variable)[0])
                yield multiple * slope, rest, None
            elif part in simple:
                coefficient, replacement = simple[part]
                multiple, rest = split([*others, *replacement])
                yield coefficient * multiple, tuple(sorted(rest)), None
            else:
                multiple, rest = split(others)
                yield multiple, rest, (part, variable)

    def _data_column(self, name: str) -> FactorColumn:
        """Return the column of X that is a column of the data alone, if there is one."""
        for text, factor in self._design.factors.items():
            if is_column_alone(factor, name) and any(each.parts == ((text, False, 0),) for each in self._design.columns):
                return text, False, 0
        return name, False, DATA_COLUMN


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
