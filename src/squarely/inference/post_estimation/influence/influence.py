"""`Influence`: what each row does to a fit, under statsmodels' names."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

import numpy as np
from scipy.special import fdtrc

from squarely.data import DetachedSource, Source, is_aggregate_only, labeled_frame, require_local, scan_purpose, write_columns
from squarely.design import require_other_file
from squarely.errors import OptionError, short_traceback, show_value, suggest_name
from squarely.inference.coefficients import CoefficientStatistics
from squarely.inference.post_estimation.influence.largest import LargestRows, find_largest
from squarely.inference.post_estimation.influence.measures import (
    COLUMNS,
    RowInfluence,
    columns_of,
    influence_model,
    measure_rows,
    read_influence,
)
from squarely.inference.scan import iter_whitened_rows
from squarely.numerics import Array
from squarely.show import KeyValueTable, Page, Table

_SHOWN = ("cooks_d", "student_resid", "hat_diag", "dffits", "cov_ratio")


class Influence:
    """The influence of each row on a fit, in closed form. The measures follow the classical covariance.

    `top` and `write` read the rows in the memory of a batch. `summary_frame` and the arrays read them once and keep what they
    need. The arrays have a value for each of the n rows used, and p coefficients. A row with a leverage of one has no other
    measure: NaN. With weights, residuals are those times the roots of the weights; with frequencies a row is one of its copies.

    >>> import squarely as sq
    >>> influence = sq.ols("y ~ x", {"x": [0.0, 1.0, 2.0, 9.0], "y": [1.0, 3.0, 5.0, 8.0]}).get_influence()
    >>> influence.hat_matrix_diag.round(2).tolist(), influence.cooks_distance[0].round(2).tolist()
    ([0.43, 0.33, 0.27, 0.97], [0.53, 0.0, 0.29, 32.33])
    """

    def __init__(self, fit: CoefficientStatistics) -> None:
        require_rows(fit.source)
        self._fit, self.model = fit, influence_model(fit.solution)

    @short_traceback
    @scan_purpose("influence")
    def summary_frame(self) -> Any:
        """Return a row for each row used, in the library of the rows, with their labels or a column `row` counted from 1.

        The columns are those of statsmodels: dfb_<name> for each coefficient, which are DFBETAS, cooks_d, standard_resid, hat_diag,
        dffits_internal, student_resid and dffits; and then cov_ratio.

        Raises
        ------
        DataError : the rows are in other processes or a database; `top` serves there. Or they have changed since the fit.
        """
        rows = self._with_changes
        return labeled_frame(self._fit.source, self._columns(rows), self._positions)

    @short_traceback
    @scan_purpose("influence")
    def top(self, k: int = 20, by: str = "cooks_d") -> Any:
        """Return the k rows of `summary_frame` with the largest values of a column, from one scan in the memory of a batch.

        All but cooks_d and hat_diag are sorted by their absolute value, and cov_ratio by its distance from one. Rows of Spark
        count over its partitions.

        Raises
        ------
        OptionError : k is not a whole number of at least 1, or there is no such column.
        DataError : the rows have changed since the fit.
        """
        rows = self.find_largest(k, by)
        return labeled_frame(self._fit.source, self._columns(rows.influence(self.model)), rows.positions)

    @short_traceback
    @scan_purpose("influence")
    def write(self, path: str | os.PathLike[str]) -> int:
        """Write `summary_frame` to a file batch by batch, with a first column `row` from 1, and return the number of rows.

        The name ends in .csv, .parquet, .arrow, .feather or .jsonl. NaN is an empty field or NULL. The file is complete or not
        written.

        Raises
        ------
        DataError : as `summary_frame`; or the file cannot be written, or is the file of the data.
        """
        fit, source = self._fit, self._fit.source
        self._require_local()
        require_other_file(source, path)
        written = 0

        def batches() -> Iterator[Mapping[str, np.ndarray]]:
            nonlocal written
            nothing = RowInfluence(model=self.model, h=np.empty(0), u=np.empty(0), V=np.empty((len(self.model.root), 0)))
            yield {"row": np.empty(0, dtype=np.int64), **self._columns(nothing)}  # the names, even if there is no row
            for pieces in iter_whitened_rows(fit.solution, source):
                numbers = source.row_numbers(np.concatenate([rows.positions for rows in pieces]))
                tables = [self._columns(measure_rows(rows, self.model, changes=True)) for rows in pieces]
                written += len(numbers)
                yield {"row": numbers, **{name: np.concatenate([table[name] for table in tables]) for name in tables[0]}}

        write_columns(path, batches())
        return written

    @property
    def hat_matrix_diag(self) -> Array:
        """The leverages (n,): the diagonal of the hat matrix. They sum to the number of coefficients."""
        return self._rows.measure("hat_diag")

    @property
    def resid_studentized_internal(self) -> Array:
        """The residuals over their standard errors (n,)."""
        return self._rows.measure("standard_resid")

    @property
    def resid_studentized_external(self) -> Array:
        """The residuals over their standard errors from the fit without the row (n,): t with `df_resid` - 1."""
        return self._rows.measure("student_resid")

    @property
    def cooks_distance(self) -> tuple[Array, Array]:
        """Cook's distances (n,), and their p-values (n,) in the F distribution with the degrees of freedom of the fit."""
        distances = self._rows.measure("cooks_d")
        return distances, np.asarray(fdtrc(self.model.rank, self.model.df, distances))

    @property
    def dffits(self) -> tuple[Array, float]:
        """The changes of fitted values in standard errors from the fit without the row (n,), and the usual cut 2 sqrt(k/n)."""
        return self._rows.measure("dffits"), self._cut

    @property
    def dffits_internal(self) -> tuple[Array, float]:
        """The changes of fitted values in standard errors of the fit (n,), and the usual cut 2 sqrt(k/n)."""
        return self._rows.measure("dffits_internal"), self._cut

    @property
    def dfbeta(self) -> Array:
        """The coefficients minus those of the fit without the row (n, p); NaN for a dropped column."""
        return self._expand(self._with_changes.measure("dfbeta"))

    @property
    def dfbetas(self) -> Array:
        """These changes in standard errors from the fit without the row (n, p)."""
        return self._expand(self._with_changes.measure("dfbetas"))

    @property
    def cov_ratio(self) -> Array:
        """The determinant of the covariance of the coefficients without the row over that with it (n,)."""
        return self._rows.measure("cov_ratio")

    @property
    def sigma2_not_obsi(self) -> Array:
        """The residual variance of the fit without the row (n,)."""
        return self._rows.measure("variance_without") * self.model.scale**2

    @property
    def resid_press(self) -> Array:
        """The residuals from the fit without the row (n,): what it predicts wrongly of the row."""
        return self._rows.measure("resid_press")

    @property
    def ess_press(self) -> float:
        """The sum of squares of `resid_press` (PRESS), NaN if a row has a leverage of one."""
        squares = self.resid_press**2
        frequencies = self._rows.frequencies
        return float(squares.sum() if frequencies is None else np.dot(frequencies, squares))

    @property
    def influence(self) -> Array:
        """The changes of fitted values (n,), u h/(1-h), as in gretl."""
        return self.resid_press * self._rows.h

    @property
    def notes(self) -> tuple[str, ...]:
        """What the measures cannot say, and why. Reads the rows once."""
        return self._notes(self.find_largest(1, "cooks_d"))

    @short_traceback
    @scan_purpose("influence")
    def summary(self, k: int = 20, by: str = "cooks_d") -> Page:
        """Return the rows of `top` as a page, with the measures that are not alike.

        Raises
        ------
        OptionError, DataError : as `top`.
        """
        rows = self.find_largest(k, by)
        names = list(dict.fromkeys([by, *_SHOWN]))
        columns, labels = self._columns(rows.influence(self.model)), labels_of(self._fit.source, rows.positions)
        numbers = zip(*(columns[name].tolist() for name in names), strict=True)
        body = [(label, *(f"{value:#.4g}" for value in row)) for label, row in zip(labels, numbers, strict=True)]
        pairs = [("Dep. Variable:", self._fit.design.response), ("No. Observations:", f"{self._fit.nobs:,}")]
        cuts = [("2 k/n (leverage):", f"{2 * self.model.rank / self._fit.nobs:.4g}"), ("2 sqrt(k/n) (dffits):", f"{self._cut:.4g}")]
        table = Table(("row", *names), body)
        return Page(f"Rows with the largest {by}", [KeyValueTable(pairs, cuts), table], notes=self._notes(rows))

    @short_traceback
    @scan_purpose("influence")
    def as_dict(self, k: int = 20, by: str = "cooks_d") -> dict[str, Any]:
        """Return the rows of `top` as plain Python values: every measure by its name, and the number of the row from 1.

        Raises
        ------
        OptionError, DataError : as `top`.
        """
        rows = self.find_largest(k, by)
        columns = {"row": self._fit.source.row_numbers(rows.positions), **self._columns(rows.influence(self.model))}
        table = [
            dict(zip(columns, row, strict=True)) for row in zip(*(values.tolist() for values in columns.values()), strict=True)
        ]
        return {"nobs": self._fit.nobs, "by": by, "rows": table, "notes": list(self._notes(rows))}

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()

    def __repr__(self) -> str:
        return f"<Influence of {self._fit.nobs:,} rows; print(influence.summary()), or see influence.summary_frame()>"

    def _columns(self, rows: RowInfluence) -> Mapping[str, Array]:
        return columns_of(rows, self._fit.design.names, self._fit.solution.factor.selected)

    def _expand(self, changes: Array) -> Array:
        """Put changes of selected coefficients (q, n) in the places of all (n, p)."""
        full = np.full((changes.shape[1], len(self._fit.design.names)), np.nan)
        full[:, self._fit.solution.factor.selected] = changes.T
        return full

    @property
    def _cut(self) -> float:
        return 2 * math.sqrt(self.model.rank / self._fit.nobs)

    def _require_local(self) -> None:
        require_local(self._fit.source, "measure the influence of each", "Use top(20), which gives those of the largest")

    @property
    def _rows(self) -> RowInfluence:
        return self.__dict__.get("_with_changes") or self._without_changes

    @cached_property
    def _without_changes(self) -> RowInfluence:
        return self._read(changes=False)

    @cached_property
    def _with_changes(self) -> RowInfluence:
        return self._read(changes=True)

    def _read(self, *, changes: bool) -> RowInfluence:
        """Read the rows once, and keep their positions."""
        self._require_local()
        self._positions, rows = read_influence(self._fit.solution, self._fit.source, changes=changes)
        return rows

    def _key(self, by: object) -> str | int:
        """Return the name of a measure, or the place of a selected coefficient whose change is asked for."""
        names = self._fit.design.names
        changes = {f"dfb_{names[j]}": place for place, j in enumerate(np.flatnonzero(self._fit.solution.factor.selected).tolist())}
        if isinstance(by, str) and by in changes:
            return changes[by]
        if by not in COLUMNS:
            raise OptionError(f"by={show_value(by)} is not a measure of influence. {suggest_name(by, [*COLUMNS, *changes])}")
        return str(by)

    def find_largest(self, k: object, by: object) -> LargestRows:
        """Scan the rows once for the k that come first."""
        key = self._key(by)
        if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1:
            raise OptionError(f"k={show_value(k)} is not a number of rows. Give a whole number of at least 1.")
        return find_largest(self._fit.solution, self._fit.source, self.model, key, int(k))

    def _notes(self, rows: LargestRows) -> tuple[str, ...]:
        return influence_notes(self._fit, rows)


def labels_of(source: Source, positions: np.ndarray) -> list[str]:
    """Return the labels of rows for people: those of the data, or else their numbers from 1."""
    labels = source.index(positions)
    return [str(label) for label in (source.row_numbers(positions) if isinstance(labels, np.ndarray) else labels)]


def require_rows(source: Source) -> None:
    """Raise an error if the fit has no rows, or they stay in a database without an order."""
    if isinstance(source, DetachedSource):
        source.read([])
    if is_aggregate_only(source) and not source.ordered:
        raise OptionError(
            f"Influence is measured row by row, and the rows stay in {source.require_engine().name}: give ols order_by= a column "
            "that sorts them, or write them to a Parquet file and fit that."
        )


def influence_notes(fit: CoefficientStatistics, rows: LargestRows) -> tuple[str, ...]:
    """Return what the measures cannot say, and why."""
    notes = []
    if fit.robust is not None and fit.cov_type != "nonrobust":
        notes.append(f"Influence is measured with the classical covariance, and not with {fit.cov_type}.")
    if rows.one_count:
        numbers = ", ".join(f"{number:,}" for number in fit.source.row_numbers(rows.ones).tolist())
        more = f" and {rows.one_count - len(rows.ones):,.0f} more" if rows.one_count > len(rows.ones) else ""
        which, are = ("Row", "has") if rows.one_count == 1 else ("Rows", "have")
        notes.append(
            f"{which} {numbers}{more} {are} a leverage of one: without {'it' if are == 'has' else 'each'} a coefficient has no "
            "value, so no other measure has one."
        )
    if fit.df_resid == 1:
        notes.append(
            "The fit has one residual degree of freedom, and without a row none: student_resid, dffits, cov_ratio and the changes "
            "of coefficients have no value."
        )
    if not fit.ssr > 0:
        notes.append("The residuals are zero, or rounding hides them: what is in units of their variance has no value.")
    if fit.design.formula.has_frequencies:
        notes.append("With frequencies, a row is one of its copies.")
    return tuple(notes)
