"""The Fit: what a least squares fit may claim, under statsmodels' names."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import betaincinv, stdtr, stdtrit

from squarely.data import (
    RowAccount,
    Source,
    open_new_rows,
    open_source,
    scan_purpose,
    to_frame,
    to_series,
    to_square_frame,
    write_columns,
)
from squarely.design import Design, LinearPredictor, iter_blocks, iter_predictions, predict_batches, require_rank_deficient
from squarely.errors import DataError, OptionError
from squarely.exact import Solution, check_of, column_sums, require_same_rows, residuals_of
from squarely.inference.covariance import covariance_of
from squarely.inference.normality import Normality
from squarely.inference.summary import summary_page
from squarely.numerics import Array, two_sum
from squarely.storage.disk import local_path, write_text

if TYPE_CHECKING:
    import pandas as pd

    from squarely.show import Page


_CANCELLATION_RATIO = 1e3  # the size of the terms of a prediction, beside the response's spread, from which doubles lose digits


@dataclass(frozen=True, eq=False, slots=True, kw_only=True, repr=False)
class Fit:
    """A linear regression by least squares. Made by `squarely.ols`.

    Sums of squares are in the response's unit squared; n rows, p coefficients, rank r. A number that rounding hides is NaN: without
    digits of `ssr` there are no standard errors, and so on; the summary says why.

    Attributes
    ----------
    nobs, rank, df_model, df_resid : n; r; r without the constant; n - r.
    rsquared, rsquared_adj : about the mean if a constant is in the span of the columns, else about zero.
    fvalue, f_pvalue : the F test that every slope is zero.
    llf, aic, bic : Gaussian log-likelihood and the criteria -2 llf + 2 r and -2 llf + r log n.
    ssr, ess, centered_tss, uncentered_tss : residual, explained and total sums of squares.
    mse_resid, mse_model, mse_total : sums of squares over their degrees of freedom.
    durbin_watson : of the residuals in the order of the rows; NaN for merged fits.
    condition_number : largest over smallest singular value of X in the units of the data, as statsmodels has it.
    k_constant : 1 if a constant is in the span of the columns, up to the rounding of the stored values.
    constant_response : whether the response never varies.
    standard_errors : of the coefficients (p,), as a plain array; `bse` labels them.
    normality : skewness, kurtosis and the omnibus and Jarque-Bera tests of the residuals; NaN for merged fits.
    solution : how the numbers were reached: road, refinement, rank, digits. `source` is where the rows are.
    """

    nobs: int
    rank: int
    df_model: int
    df_resid: int
    k_constant: int
    constant_response: bool
    rsquared: float
    rsquared_adj: float
    fvalue: float
    f_pvalue: float
    llf: float
    aic: float
    bic: float
    ssr: float
    ess: float
    centered_tss: float
    uncentered_tss: float
    mse_resid: float
    mse_model: float
    mse_total: float
    durbin_watson: float
    condition_number: float
    normality: Normality
    standard_errors: Array
    solution: Solution
    source: Source

    @property
    def design(self) -> Design:
        """The frozen design."""
        return self.solution.moments.design

    @property
    def rows(self) -> RowAccount:
        """Rows read, used and dropped, by column and cause."""
        return self.solution.moments.account

    @property
    def fold(self) -> str:
        """How the rows were summed up: in "batches", or by "aggregates" inside their engine."""
        return "batches" if self.solution.moments.engine_record is None else "aggregates"

    @property
    def params(self) -> pd.Series:
        """The coefficients, in the units of the data; NaN for a dropped column."""
        return self._label_params(self.solution.params)

    @property
    def covariance(self) -> Array:
        """The covariance (p, p) of the coefficients as a plain array, worked out when it is asked for; `cov_params` labels it."""
        return covariance_of(self.solution, self.mse_resid)

    @property
    def bse(self) -> pd.Series:
        """The standard errors of the coefficients."""
        return self._label_params(self.standard_errors)

    @property
    def tvalues(self) -> pd.Series:
        """Coefficients over their standard errors."""
        return self._label_params(self._t_values())

    @property
    def pvalues(self) -> pd.Series:
        """Two-sided p-values of the t statistics with df_resid degrees of freedom."""
        return self._label_params(self._p_values())

    @property
    def digits(self) -> pd.Series:
        """Decimal digits of each coefficient that can be trusted; the truth is the formula, worked out exactly on stored doubles.

        They count against the coefficient itself: one that is tiny beside its standard error has few digits, and needs none.
        """
        return self._label_params(self.solution.digits)

    @property
    def digits_bse(self) -> pd.Series:
        """Decimal digits of each standard error that can be trusted, NaN for one of zero."""
        return self._label_params(self.solution.digits_bse)

    @property
    def dropped_columns(self) -> tuple[str, ...]:
        """A sentence for each column that was dropped because earlier ones span it."""
        return self.solution.factor.dependencies

    @property
    def resid(self) -> pd.Series:
        """The residuals (n,) of the rows used, labelled like the data. Reads the rows again."""
        _, residuals, index = self._read_residuals()
        return to_series(residuals, index)

    @property
    def fittedvalues(self) -> pd.Series:
        """The predictions (n,) for the rows used, labelled like the data. Reads the rows again."""
        response, residuals, index = self._read_residuals()
        return to_series(response - residuals, index)

    def conf_int(self, alpha: float = 0.05) -> pd.DataFrame:
        """Give confidence limits at level 1 - alpha: columns 0 and 1 are the lower and the upper limit.

        Raises OptionError unless alpha is between 0 and 1.
        """
        if not isinstance(alpha, Real) or not 0.0 < alpha < 1.0:
            raise OptionError(f"alpha={alpha!r} is not between 0 and 1. For 95 % limits use alpha=0.05.")
        low, high = self._confidence_limits(alpha)
        return to_frame({0: low, 1: high}, list(self.design.names))

    def cov_params(self) -> pd.DataFrame:
        """Give the covariance matrix (p, p) of the coefficients, NaN for dropped columns."""
        return to_square_frame(self.covariance, self.design.names)

    @scan_purpose("predictions")
    def predict(self, new: object = None, *, unseen: str = "error", rank_deficient: str = "nan") -> Any:
        """Predict the response for new rows: one value a row, in the library that the rows are in.

        For a Spark DataFrame it is the DataFrame with a column "predicted" added: its rows are predicted where they are, and when
        they are asked for. For a Dask DataFrame it is a Series of its own kind, as lazy, with the frame's partitions and index.

        Rows with a gap in a predictor give NaN. A condition `where=` is for the fit alone. Without new rows: the fitted values.

        Where the fit has dropped a column, a dependency holds in every row of it, such as d = x + 2 or "no row has both a = 1 and
        b = 2". The rows of the fit do not determine a prediction for a row that breaks it. Such a row gives NaN, and a warning
        counts them. A dropped column may be absent: then its dependency is taken for granted, with a warning.

        Parameters
        ----------
        new : rows, as `ols` takes them; the response need not be among their columns.
        unseen : what to do with a level that the fit has not met: "error" names it, "nan" predicts NaN.
        rank_deficient : what to do with a row that breaks the dependency of a dropped column: "nan" predicts NaN, "allow" predicts
            from the columns kept. The second depends on the order of terms and on the reference levels.

        Raises
        ------
        DataError : a column is absent or cannot be used, or a level has not been met.
        """
        if new is None:
            return self.fittedvalues
        source = open_new_rows(new, self.design.formula.names)
        return predict_batches(self._make_predictor(rank_deficient), source, unseen=unseen)

    def predictions(self, source: Source, *, unseen: str = "error", rank_deficient: str = "nan") -> Iterator[Array]:
        """Predict as `predict` does, yielding an array (m,) for each batch of rows of a source."""
        return iter_predictions(
            self._make_predictor(rank_deficient), open_new_rows(source, self.design.formula.names), unseen=unseen
        )

    def _make_predictor(self, rank_deficient: str) -> LinearPredictor:
        require_rank_deficient(rank_deficient)
        design, solution = self.design, self.solution
        first = int(design.intercept)
        at = solution.factor.columns[first:]  # in the columns [1, x_1 ... x_p, y]
        scale, (hi, lo) = design.scales[-1], solution.scaled_params
        level, rest = two_sum(design.centers[-1:], scale * hi[:1] if first else np.zeros(1))
        slopes = solution.params[solution.factor.selected][first:]
        lows = None
        if np.abs(hi[first:]).sum() > _CANCELLATION_RATIO:
            ratio = scale / design.column_scales[at]
            lows = (
                float(rest[0] + (scale * lo[0] if first else 0.0)),
                np.where(slopes, hi[first:] * ratio - slopes + lo[first:] * ratio, 0.0),
            )
        return LinearPredictor(
            design=design,
            selected=[j - 1 for j in at],
            level=float(level[0]),
            slopes=slopes,
            low_parts=lows,
            center=design.column_centers[at],
            check=check_of(solution) if rank_deficient == "nan" else None,
        )

    @scan_purpose("predictions")
    def write_predictions(
        self, new: object, path: str | os.PathLike[str], *, unseen: str = "error", rank_deficient: str = "nan"
    ) -> int:
        """Predict as `predict` does and write the predictions to a file, batch by batch; give the number of rows.

        The file has the columns `row`, counted from 1, and `predict_batches`, empty or NULL where `predict` gives NaN. It is a
        .csv, .parquet, .arrow, .feather or .jsonl by its name, and is written whole or not at all.

        Raises
        ------
        DataError : as `predict`; or the file cannot be written, or would take the place of the data.
        """
        source = open_source(new)
        _require_other_file(source, path)
        done = 0

        def batches() -> Iterator[Mapping[str, np.ndarray]]:
            nonlocal done
            yield {"row": np.empty(0, dtype=np.int64), "predicted": np.empty(0)}  # the names, even if there is no row
            for values in self.predictions(source, unseen=unseen, rank_deficient=rank_deficient):
                yield {"row": np.arange(done + 1, done + 1 + len(values)), "predicted": values}
                done += len(values)

        write_columns(path, batches())
        return done

    def save(self, path: str | os.PathLike[str]) -> None:
        """Save the fit as JSON, without its rows: some kilobytes, growing with p squared; `squarely.load` reads it back.

        The file is written whole or not at all. It has the names of columns and of the levels of categorical ones in it.
        Raises DataError if it cannot be written.
        """
        _require_other_file(self.source, path)
        from squarely.inference.serialize import solution_to_json  # which knows the Fit in turn

        write_text(path, solution_to_json(self))

    def merge(self, *others: Fit, duplicates: str = "raise") -> Fit:
        """Give the fit of the rows of all these fits, as if it had been fitted to them at once; no row is needed.

        The fits are of one formula and condition, live or loaded, and may have met different levels of a category. Coefficients,
        their covariance, sums of squares and what follows from them are those of a fit of all rows up to rounding, and
        `digits` says what can be trusted. Tests of the residuals' shape and Durbin-Watson are NaN: they would need the rows.
        Two fits with the same cross-products are of the same rows and are refused; `duplicates="keep"` counts both.

        Raises
        ------
        DataError : the fits are not of one model, or two of them are of the same rows; the message names the difference.

        Examples
        --------
        >>> import squarely as sq
        >>> a = sq.ols("y ~ x", {"x": [0.0, 1.0, 2.0], "y": [1.0, 3.0, 5.5]})
        >>> b = sq.ols("y ~ x", {"x": [3.0, 4.0, 5.0], "y": [7.0, 9.0, 10.5]})
        >>> both = a.merge(b)
        >>> both.nobs, both.params.round(3).to_dict()
        (6, {'Intercept': 1.214, 'x': 1.914})
        >>> both.remove(b).params.round(3).to_dict() == a.params.round(3).to_dict()
        True
        """
        from squarely.inference.merge import merge_solutions  # which knows the Fit in turn

        return merge_solutions([self, *others], duplicates=duplicates)

    def remove(self, *shards: Fit) -> Fit:
        """Give the fit without the rows of other fits that are in it, as if these had never been there; no row is needed.

        What is left is a difference of cross-products, so its relative error is that of the whole times the ratio of
        what was there to what is left, column by column: taking nine tenths out costs about a digit, and `digits` allows for it.
        A column of which less is left than 1e-7 of its spread counts as constant. Levels that no row has any more go.

        What never was in is detected where counts, sums of squares or cross-products would become negative. It cannot always be:
        rows like those that are in leave something possible behind.

        Raises
        ------
        DataError : the fits are not of one model, or what is to be removed cannot have been in.
        NumericalError : so much is taken out that a coefficient has no digit left.

        Examples
        --------
        See `merge`.
        """
        from squarely.inference.merge import merge_solutions

        return merge_solutions([self], shards)

    def summary(self) -> Page:
        """Lay the results out as statsmodels does, with the row account and the digits as extra lines."""
        return summary_page(self, self._to_plain())

    def as_dict(self) -> Mapping[str, Any]:
        """Give every number as plain Python values, names as the attributes': what `--json` prints."""
        names = self.design.names
        table = zip(names, self.covariance.tolist(), strict=True)
        return {**self._to_plain(), "cov_params": {name: dict(zip(names, row, strict=True)) for name, row in table}}

    def _to_plain(self) -> Mapping[str, Any]:
        """Give every number but the covariances, of which there are p squared."""
        names = self.design.names
        scalars = {name: getattr(self, name) for name in _SCALARS}
        tests = {name: getattr(self.normality, name) for name in Normality.__slots__}
        low, high = self._confidence_limits(0.05)
        merged = self.solution.merge_record
        vectors = {
            "params": self.solution.params,
            "bse": self.standard_errors,
            "tvalues": self._t_values(),
            "pvalues": self._p_values(),
            "digits": self.solution.digits,
            "digits_bse": self.solution.digits_bse,
        }
        return {
            "formula": self.design.formula.text,
            "response": self.design.response,
            **{key: dict(zip(names, values.tolist(), strict=True)) for key, values in vectors.items()},
            "conf_int": {name: list(limits) for name, *limits in zip(names, low, high, strict=True)},
            **scalars,
            **tests,
            "categories": {
                text: {"contrast": c.kind, "levels": list(c.levels), "reference": c.levels[c.position]}
                for text, c in self.design.categories.items()
            },
            "where": self.design.where.text if self.design.where else None,
            "rows": self.rows.as_dict(),
            "rounded": dict(self.rows.rounded),
            "casts": dict(self.rows.casts),
            "dropped_columns": list(self.dropped_columns),
            "notes": list(self.design.notes),
            "road": self.solution.factor.method,
            "precision": self.solution.precision,
            "fold": self.fold,
            "scans": self.solution.scans,
            "settled": self.solution.converged,
            "merged": merged and {"rows": list(merged.rows), "taken_out": list(merged.removed_rows)},
        }

    def __repr__(self) -> str:
        return f"<Fit {self.design.formula.text!r}: n={self.nobs}, R-squared {self.rsquared:.3f}; print(fit.summary())>"

    def _t_values(self) -> Array:
        with np.errstate(divide="ignore", invalid="ignore"):  # a perfect fit has standard errors of zero
            t: Array = self.solution.params / self.standard_errors
        return t

    def _p_values(self) -> Array:
        p: Array = 2 * stdtr(self.df_resid, -np.abs(self._t_values()))
        return p

    def _confidence_limits(self, alpha: float) -> tuple[Array, Array]:
        t = -float(stdtrit(self.df_resid, alpha / 2))  # 1 - alpha / 2 would be rounded
        if math.isinf(t):  # far out in the tail
            x = float(betaincinv(self.df_resid / 2, 0.5, alpha))
            t = math.sqrt(self.df_resid * (1 - x) / x) if x else math.inf
        half = t * self.standard_errors
        return self.solution.params - half, self.solution.params + half

    def _label_params(self, values: Array) -> pd.Series:
        return to_series(values, list(self.design.names))

    @scan_purpose("residuals")
    def _read_residuals(self) -> tuple[Array, Array, Any]:
        """Read the rows again: the response, its residuals and the labels of the rows used."""
        solution, moments = self.solution, self.solution.moments
        response, residuals, at = [np.empty(0)], [np.empty(0)], [np.empty(0, dtype=int)]
        sums = np.zeros(len(moments.gram))
        for block in iter_blocks(self.design, self.source):
            sums += column_sums(self.design, block)
            response.append(block.response + (0.0 if block.offset is None else block.offset))
            residuals.append(residuals_of(self.design, solution.factor.columns, solution.scaled_params, block))
            at.append(block.rows)
        require_same_rows(self.source, moments, sum(map(len, at)), sums)
        return np.concatenate(response), np.concatenate(residuals), self.source.index(np.concatenate(at))


def _require_other_file(source: Source, path: str | os.PathLike[str]) -> None:
    """Raise a DataError if a file to be written is one that the rows come from."""
    read, written = source.pandas_call, local_path(path)
    if read is not None and written.exists() and any(written.samefile(file.path) for file in (read, *read.further_calls)):
        raise DataError(f"{str(path)!r} is the file that the rows come from, and would be lost. Give another name.")


_SCALARS = ("nobs", "rank", "df_model", "df_resid", "k_constant", "rsquared", "rsquared_adj", "fvalue", "f_pvalue", "llf", "aic",
            "bic", "ssr", "ess", "centered_tss", "uncentered_tss", "mse_resid", "mse_model", "mse_total", "durbin_watson",
            "condition_number")  # fmt: skip
