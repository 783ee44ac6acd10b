"""Averages over the rows of the columns of X, or of their derivatives, where columns of the data are set to values.

An average prediction or slope is L beta. L is the average of the row of X, or of its derivative: exact sums over the rows by cells
of categories, times what is the same in every row.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from squarely.data import Source
from squarely.design import DATA_COLUMN, FactorColumn, is_column_alone
from squarely.exact import Solution
from squarely.inference.post_estimation.effects.row_sums import Label, RowSum, center_of, levels_of, sum_from_moments
from squarely.inference.post_estimation.effects.scan import scan_sums
from squarely.inference.post_estimation.effects.terms import Request, Term, Terms
from squarely.numerics import Array

_NO_SHARE = 1e-12  # of the weights: a smaller share of a cell is rounding


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Average:
    """The average of rows of X, or of their derivatives.

    Attributes
    ----------
    group : the values of the columns of `by`.
    z : (p + 1,) the average of [1, (x - center) / scale]; the first is 0 for a derivative.
    offset : the average of the offset, or of its derivative.
    value : what is estimated, if it is not linear in the coefficients; z is then its gradient. None if it follows from z.
    """

    group: Label
    z: Array
    offset: float
    value: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Group:
    """A group of rows: its label of columns that are not categories of the fit, its cell of those that are, and all its values."""

    label: Label
    cell: tuple[int, ...]
    values: Label


class Averages:
    """Averages over the rows of a fit, in groups: the values of the columns `by`.

    The sums over rows come from the cross-products where these have them. All others take one scan.
    """

    def __init__(self, solution: Solution, source: Source, by: tuple[str, ...] = ()) -> None:
        self._solution, self._source, self._design = solution, source, solution.moments.design
        self.by = by
        self._terms = Terms(self._design, by)
        self._weights = RowSum(cells=self._terms.cells, others=self._terms.others)
        levels = levels_of(self._design, self._terms.categories)
        self._places = {
            name: {level: i for i, level in enumerate(each)} for name, each in zip(self._terms.categories, levels, strict=True)
        }
        self._sums: dict[RowSum, Mapping[Label, Array]] = {}

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
        wanted = {self._weights: None}
        for request in requests:
            for term in self._terms.of(request, with_values=False):
                wanted |= {term.sum: None, term.sum.counts(): None}
        return list(wanted)

    def _fetch(self, wanted: Sequence[RowSum], later: Sequence[RowSum] = ()) -> None:
        """Compute sums that are not there yet; `later` ones only if it takes a scan."""
        missing: dict[RowSum, None] = {}
        for key in wanted:
            if key not in self._sums:
                table = sum_from_moments(self._solution.moments, key)
                if table is None:
                    missing[key] = None
                else:
                    self._sums[key] = {(): table}
        if missing:
            missing |= {key: None for key in later if key not in self._sums}
            self._sums |= scan_sums(self._solution, self._source, list(missing))

    def _groups(self) -> list[_Group]:
        """Return the groups that have rows, in the order of levels and of values."""
        terms, counts = self._terms, self._sums[self._weights]
        total = sum(float(table.sum()) for table in counts.values())
        levels = [list(self._places[name]) for name in terms.cells]
        groups = []
        for label, table in counts.items():
            for place in np.argwhere(table > _NO_SHARE * total).tolist():
                values = dict(zip(terms.others, label, strict=True))
                values |= {name: known[i] for name, known, i in zip(terms.cells, levels, place, strict=True)}
                groups.append(_Group(label=label, cell=tuple(place), values=tuple(values[name] for name in self.by)))

        def order(group: _Group) -> list[tuple[object, ...]]:
            values = zip(self.by, group.values, strict=True)
            return [(self._places[name][x],) if name in terms.cells else (isinstance(x, str), x) for name, x in values]

        return sorted(groups, key=order)

    def _average(self, request: Request, groups: Sequence[_Group]) -> list[Average]:
        """Sum up the terms of a request in each group; centers are subtracted before the sums about them are added."""
        design = self._design
        p, level = len(design.columns), float(request.variable is None)
        shape = [len(self._places[name]) for name in self._terms.cells]
        # Multiples of the counts, and sums about centers.
        tables = {group.label: np.zeros((2, p + 1, *shape)) for group in groups}
        for term in self._terms.of(request):
            center = center_of(design, term.sum.parts) if term.sum.parts else 1.0
            constant = 0.0 if term.sum.derived else term.scalar * center
            for label, table in tables.items():
                if constant:
                    table[0, term.column] += constant * self._contract(term.sum.counts(), label, term)
                if term.sum.parts or term.sum.derived:
                    table[1, term.column] += term.scalar * self._contract(term.sum, label, term)
        averages = []
        for group in groups:
            count = self._sums[self._weights][group.label][group.cell]
            constants, sums = (tables[group.label][(i, slice(None), *group.cell)] / count for i in (0, 1))
            z = ((constants[:p] - level * design.centers[:-1]) + sums[:p]) / design.scales[:-1]
            averages.append(Average(group=group.values, z=np.concatenate([[level], z]), offset=float(constants[p] + sums[p])))
        return averages

    def _contract(self, key: RowSum, label: Label, term: Term) -> Array:
        """Sum a table over its cells with the functions of a term, but for the columns of `by`."""
        table = self._sums[key].get(label)
        if table is None:
            return np.zeros(())
        for axis in reversed(range(len(key.cells))):
            name = key.cells[axis]
            places, function = self._places[name], term.functions.get(name)
            if name in self._terms.cells:
                if function is not None:
                    values = np.array([function.get(level, 0.0) for level in places])
                    table = table * values.reshape([-1 if i == axis else 1 for i in range(table.ndim)])
            elif function is not None:
                table = np.tensordot(table.take([places[level] for level in function], axis), [*function.values()], (axis, 0))
        return table

    def _data_column(self, name: str) -> FactorColumn:
        """Return the column of X that is a column of the data alone, if there is one."""
        for text, factor in self._design.factors.items():
            if is_column_alone(factor, name) and any(each.parts == ((text, False, 0),) for each in self._design.columns):
                return text, False, 0
        return name, False, DATA_COLUMN
