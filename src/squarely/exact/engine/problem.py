"""The problem to solve where rows stay in an engine, and its coefficients in the units of the data, by exact fractions."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from scipy.linalg import solve_triangular

from squarely.exact.engine.rank import RankResult
from squarely.exact.factorization import Factorization, make_factorization
from squarely.moments import EngineGram, Moments, to_data_columns
from squarely.numerics import ROUNDOFF, Array, Pair, qr_r


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class EngineProblem:
    """The selected columns of W = [1, w_1 ... w_p, y], and the columns of [1, X, y] that they stand for.

    Attributes
    ----------
    moments, engine_gram : the cross-products of [1, X, y], and those of W, without columns that were dropped before.
    rank_result : the q selected columns of W, with R'R = W'W.
    places : (k + 1,) the position in [1, X, y] of each column of W.
    condition : the condition number of the selected columns, scaled to length one.
    """

    moments: Moments
    engine_gram: EngineGram
    rank_result: RankResult
    places: np.ndarray
    condition: float

    @property
    def rounding(self) -> float:
        """The relative error of a sum over the rows: engines add them one after the other, in some threads."""
        return float(4 + np.sqrt(self.moments.n)) * ROUNDOFF

    @property
    def unit_error(self) -> float:
        """The relative error, at worst, of a solve with R."""
        return min(1.0, (len(self.rank_result.columns) * ROUNDOFF + self.rounding) * self.condition**2)

    @property
    def columns(self) -> np.ndarray:
        """The positions in [1, X, y] (q,) of the selected columns."""
        columns: np.ndarray = self.places[self.rank_result.columns]
        return columns

    def to_data_columns(self) -> list[dict[int, Fraction]]:
        """Write each selected column of W in terms of [1, X], by position."""
        rows = to_data_columns(self.engine_gram.columns)
        return [{int(self.places[j]): weight for j, weight in rows[i].items()} for i in self.rank_result.columns.tolist()]


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class ErrorBound:
    """The error of b that rounding leaves, where R'R b = W'y.

    Attributes
    ----------
    R : (q, q).
    residuals : the length of the error of the residuals.
    sums : (q,) the errors of the sums W'r.
    """

    R: Array
    residuals: float
    sums: Array

    def error_of(self, A: Array) -> Array:
        """Return the error (m,) of A b at most, A (m, q): ||A R^-1|| residuals + |A (R'R)^-1| sums."""
        half = solve_triangular(self.R, A.T, trans="T").T
        error: Array = np.linalg.norm(half, axis=1) * self.residuals + np.abs(solve_triangular(self.R, half.T).T) @ self.sums
        return error


def params_in_data_units(problem: EngineProblem, b: Pair, bound: ErrorBound) -> tuple[dict[int, Fraction], Array]:
    """Return the coefficients of [1, X] for the coefficients b (q,) of W, exactly and by position, and their errors (q,)."""
    columns = problem.engine_gram.columns
    scale = Fraction(float(columns.units[-1]))
    total: dict[int, Fraction] = dict.fromkeys(problem.columns.tolist(), Fraction(0))
    at = {place: i for i, place in enumerate(total)}
    A = np.zeros((len(at), len(at)))
    if 0 in total:
        total[0] = Fraction(float(columns.shifts[-1]))
    for i, (x, e, row) in enumerate(zip(b[0].tolist(), b[1].tolist(), problem.to_data_columns(), strict=True)):
        for place, weight in row.items():
            total[place] += (Fraction(x) + Fraction(e)) * scale * weight
            A[at[place], i] = float(scale * weight)
    return total, bound.error_of(A)


def to_scaled(problem: EngineProblem, total: dict[int, Fraction]) -> Pair:
    """Return the coefficients of the scaled columns of Moments as double-double (q,)."""
    centers, scales = _centers_and_scales(problem)
    exact = {j: beta * scales[j] / scales[-1] for j, beta in total.items()}
    if 0 in total:
        level = total[0] - centers[-1] + sum((beta * centers[j] for j, beta in total.items() if j), Fraction(0))
        exact[0] = level / scales[-1]
    hi = [float(exact[j]) for j in problem.columns.tolist()]
    lo = [float(exact[j] - Fraction(x)) for j, x in zip(problem.columns.tolist(), hi, strict=True)]
    return np.array(hi), np.array(lo)


def to_factorization(problem: EngineProblem) -> Factorization:
    """Return R of the scaled columns of Moments, from that of W."""
    R = qr_r(problem.rank_result.R @ np.linalg.inv(scaled_column_matrix(problem)))
    R = R * np.sign(np.diag(R))[:, None]
    return make_factorization(problem.moments, problem.columns, R, problem.condition, dropped=problem.rank_result.dropped)


def scaled_column_matrix(problem: EngineProblem) -> Array:
    """Write the selected columns of W in terms of the scaled columns of Moments: (q, q), exact but for one rounding."""
    centers, scales = _centers_and_scales(problem)
    at = {place: i for i, place in enumerate(problem.columns.tolist())}
    P = np.zeros((len(at), len(at)))
    for i, row in enumerate(problem.to_data_columns()):
        level = row.get(0, Fraction(0)) + sum((weight * centers[j] for j, weight in row.items() if j), Fraction(0))
        for place, weight in row.items():
            if place:
                P[at[place], i] = float(weight * scales[place])
        if 0 in at:
            P[at[0], i] = float(level)
    return P


def _centers_and_scales(problem: EngineProblem) -> tuple[list[Fraction], list[Fraction]]:
    design = problem.moments.design
    return [Fraction(x) for x in design.column_centers.tolist()], [Fraction(x) for x in design.column_scales.tolist()]
