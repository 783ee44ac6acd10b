"""The problem to solve where rows stay in an engine, and its coefficients in the units of the data, by exact fractions."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from scipy.linalg import solve_triangular

from squarely.exact.factorization import Factorization, make_factorization
from squarely.exact.rank import Dependency
from squarely.moments import EngineGram, EngineSolution, Moments
from squarely.numerics import ROUNDOFF, Array, Pair, qr_r


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class EngineProblem:
    """The selected columns of W = [1, w_1 ... w_p, y], and the columns of [1, X, y] that they stand for.

    Attributes
    ----------
    moments, engine_gram : the cross-products of [1, X, y], and those of W, without columns that were dropped before.
    selected, columns : (q,) the positions of the selected columns in W, and in [1, X, y].
    rows : each selected column of W in terms of [1, X], by position.
    R : (q, q) with R'R = W'W for the selected columns.
    condition : the condition number of R, with its columns scaled to length one.
    dropped : the dependency of each dropped column.
    """

    moments: Moments
    engine_gram: EngineGram
    selected: np.ndarray
    columns: np.ndarray
    rows: list[dict[int, Fraction]]
    R: Array
    condition: float
    dropped: tuple[Dependency, ...]

    @property
    def rounding(self) -> float:
        """The relative error of a sum over the rows: engines add them one after the other, in some threads."""
        return float(4 + np.sqrt(self.moments.n)) * ROUNDOFF

    @property
    def unit_error(self) -> float:
        """The relative error, at worst, of a solve with R."""
        return min(1.0, (len(self.R) * ROUNDOFF + self.rounding) * self.condition**2)

    def to_solution(self, b: Pair) -> EngineSolution:
        """Return the solution for the coefficients b (q,) of W."""
        a = np.zeros(len(self.engine_gram.gram))
        a[self.selected], a[-1] = -(b[0] + b[1]), 1.0
        return EngineSolution(engine_gram=self.engine_gram, selected=self.selected, R=self.R, residuals=a)


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class ErrorBound:
    """The error of b, where R'R b = W'y, because residuals (their length) and the sums W'r (q,) have errors."""

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
    for i, (x, e, row) in enumerate(zip(b[0].tolist(), b[1].tolist(), problem.rows, strict=True)):
        for place, weight in row.items():
            total[place] += (Fraction(x) + Fraction(e)) * scale * weight
            A[at[place], i] = float(scale * weight)
    return total, bound.error_of(A)


def to_scaled(problem: EngineProblem, total: dict[int, Fraction]) -> Pair:
    """Return the coefficients of the scaled columns of Moments as double-double (q,)."""
    centers, scales = _centers_and_scales(problem)
    exact = {j: beta * scales[j] / scales[-1] for j, beta in total.items()}
    if 0 in total:
        exact[0] = (sum(beta * centers[j] for j, beta in total.items() if j) + total[0] - centers[-1]) / scales[-1]
    hi = [float(value) for value in exact.values()]
    lo = [float(value - Fraction(x)) for value, x in zip(exact.values(), hi, strict=True)]
    return np.array(hi), np.array(lo)


def to_factorization(problem: EngineProblem) -> Factorization:
    """Return R of the scaled columns of Moments, from that of W."""
    R = qr_r(problem.R @ np.linalg.inv(scaled_column_matrix(problem)))
    R = R * np.sign(np.diag(R))[:, None]
    return make_factorization(problem.moments, problem.columns, R, problem.condition, dropped=problem.dropped)


def scaled_column_matrix(problem: EngineProblem) -> Array:
    """Write the selected columns of W in terms of the scaled columns of Moments: (q, q), exact but for one rounding."""
    centers, scales = _centers_and_scales(problem)
    at = {place: i for i, place in enumerate(problem.columns.tolist())}
    P = np.zeros((len(at), len(at)))
    for i, row in enumerate(problem.rows):
        for place, weight in row.items():
            if place:
                P[at[place], i] = float(weight * scales[place])
        if 0 in at:
            P[at[0], i] = float(sum(weight * (centers[j] if j else 1) for j, weight in row.items()))
    return P


def _centers_and_scales(problem: EngineProblem) -> tuple[list[Fraction], list[Fraction]]:
    design = problem.moments.design
    return [Fraction(x) for x in design.column_centers.tolist()], [Fraction(x) for x in design.column_scales.tolist()]
