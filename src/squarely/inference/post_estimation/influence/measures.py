"""The measures of influence of rows, from their leverages and residuals (Belsley, Kuh and Welsch 1980; Cook 1977)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from squarely.data import Source
from squarely.exact import Solution
from squarely.inference.covariance.root import covariance_root
from squarely.inference.scan import WhitenedRows, fold_whitened_rows, is_leverage_one
from squarely.numerics import ROUNDOFF, Array

_ROUNDING_OF_SHARE = 8 * ROUNDOFF  # times coefficients over 1 - h: the error of the share of a row in the residual squares


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class InfluenceModel:
    """What the measures of all rows have in common. With frequencies a row is one of its copies.

    Attributes
    ----------
    rank, df : the number of coefficients that were not dropped, absorbed effects included, and the residual degrees of freedom.
    ssr : the sum of squared residuals in the squared scaled unit of the response; NaN if it is zero or rounding hides it.
    scale : the scaled unit of the response.
    root : A (q, q) with A A' = (X'X)^-1, in data units for changes in the scaled unit of the response.
    """

    rank: int
    df: int
    ssr: float
    scale: float
    root: Array

    @property
    def variance(self) -> float:
        """The residual variance in the squared scaled unit of the response."""
        return self.ssr / self.df


def influence_model(solution: Solution) -> InfluenceModel:
    """Return what the measures of all rows have in common."""
    rank, scale = len(solution.factor.columns) + solution.absorbed_rank, float(solution.moments.design.scales[-1])
    return InfluenceModel(
        rank=rank,
        df=solution.df_resid,
        ssr=math.nan if solution.has_hidden_residuals or not solution.ssr else float(solution.ssr) / scale**2,
        scale=scale,
        root=covariance_root(solution),
    )


@dataclass(frozen=True, eq=False, kw_only=True)
class RowInfluence:
    """The measures of m rows under statsmodels' names; docs/influence.md has the formulas. What has no value is NaN.

    A row with a leverage of one is fitted whatever it has: all but its leverage is NaN.

    Attributes
    ----------
    model : what the rows have in common.
    h : (m,) the leverages, as rounding leaves them.
    u : (m,) the residuals in the scaled unit of the response, times the roots of the weights.
    V : (q, m) the whitened rows; (q, 0) if changes of coefficients are not needed.
    frequencies : (m,) how many copies each row stands for; None for one.
    """

    model: InfluenceModel
    h: Array
    u: Array
    V: Array
    frequencies: Array | None = None

    @cached_property
    def is_one(self) -> np.ndarray:
        """Which rows (m,) have a leverage of one."""
        return is_leverage_one(self.h, self.model.rank)

    @cached_property
    def rest(self) -> Array:
        """1 - h (m,), NaN for a leverage of one."""
        return np.where(self.is_one, np.nan, 1 - self.h)

    @property
    def hat_diag(self) -> Array:
        """The leverages."""
        return np.where(self.is_one, 1.0, self.h)

    @cached_property
    def variance_without(self) -> Array:
        """The residual variance of the fit without the row, in the squared scaled unit."""
        model = self.model
        left = 1 - np.square(self.u) / self.rest / model.ssr
        left = np.where(left <= _ROUNDING_OF_SHARE * model.rank / self.rest, left * 0, left)  # the other rows are fitted exactly
        return model.ssr * left / (model.df - 1 or math.nan)

    @property
    def sigma(self) -> Array:
        """The root of that in the unit of the response; a row with a leverage of one has no share in it, as in R."""
        without = self.model.ssr / (self.model.df - 1 or math.nan)
        return self.model.scale * np.sqrt(np.where(self.is_one, without, self.variance_without))

    @cached_property
    def standard_resid(self) -> Array:
        """The residuals over their standard errors: internally studentized."""
        return self.u / np.sqrt(self.model.variance * self.rest)

    @cached_property
    def student_resid(self) -> Array:
        """The residuals over standard errors from the fit without the row: externally studentized, t with df - 1."""
        return self.u / np.sqrt(self.variance_without * self.rest)

    @property
    def cooks_d(self) -> Array:
        """Cook's distance."""
        return self.standard_resid**2 * (self.h / self.rest) / self.model.rank

    @property
    def dffits_internal(self) -> Array:
        """The change of the fitted value of the row over its standard error."""
        return self.standard_resid * np.sqrt(self.h / self.rest)

    @property
    def dffits(self) -> Array:
        """The same over the standard error from the fit without the row."""
        return self.student_resid * np.sqrt(self.h / self.rest)

    @property
    def cov_ratio(self) -> Array:
        """The determinant of the covariance of the coefficients without the row over that with it."""
        return (self.variance_without / self.model.variance) ** self.model.rank / self.rest

    @property
    def resid_press(self) -> Array:
        """The residuals from the fit without the row, times the roots of the weights, in the unit of the response."""
        return self.model.scale * self.u / self.rest

    @cached_property
    def dfbeta(self) -> Array:
        """The coefficients that were not dropped, minus those without the row (q, m)."""
        return self.model.root @ self.V * (self.u / self.rest)

    @property
    def dfbetas(self) -> Array:
        """These changes over standard errors from the fit without the row (q, m)."""
        lengths: Array = np.linalg.norm(self.model.root, axis=1)
        return self.dfbeta / lengths[:, None] / np.sqrt(self.variance_without)

    def measure(self, name: str) -> Array:
        """Return one of the measures by its name, without NumPy's warnings of divisions by zero."""
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            return np.asarray(getattr(self, name))


COLUMNS = ("cooks_d", "standard_resid", "hat_diag", "dffits_internal", "student_resid", "dffits", "cov_ratio")


def columns_of(rows: RowInfluence, names: Sequence[str], selected: np.ndarray) -> Mapping[str, Array]:
    """Return the columns (m,) of `summary_frame`; a dropped one of the coefficients `names` is NaN."""
    changes = np.full((len(names), len(rows.h)), np.nan)
    changes[selected] = rows.measure("dfbetas")
    by_name = {f"dfb_{name}": row for name, row in zip(names, changes, strict=True)}
    return {**by_name, **{name: rows.measure(name) for name in COLUMNS}}


def measure_rows(rows: WhitenedRows, model: InfluenceModel, *, changes: bool = False) -> RowInfluence:
    """Return the measures of whitened rows, with those of coefficients if `changes` is true."""
    return RowInfluence(model=model, h=rows.leverage, u=rows.residuals, V=rows.V if changes else rows.V[:, :0])


def read_influence(solution: Solution, source: Source, *, changes: bool = False) -> tuple[np.ndarray, RowInfluence]:
    """Scan the rows once, and return their positions (n,) and measures."""

    def step(rows: WhitenedRows) -> list[tuple[Any, ...]]:
        return [(rows.positions, rows.leverage, rows.residuals, rows.V if changes else rows.V[:, :0], rows.frequencies)]

    pieces = fold_whitened_rows(solution, source, step, list.__add__)
    positions, h, u, V, frequencies = zip(*pieces, strict=True)
    rows = RowInfluence(
        model=influence_model(solution),
        h=np.concatenate(h),
        u=np.concatenate(u),
        V=np.concatenate(V, axis=1),
        frequencies=None if frequencies[0] is None else np.concatenate(frequencies),
    )
    return np.concatenate(positions), rows
