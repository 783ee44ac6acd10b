"""Sum what every fit says about given coefficients, and find the coefficients that minimize the sum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve_triangular

from squarely.exact.factorization import Factorization, columns_of
from squarely.exact.merge.factorization import SUM_ERROR, change_triangle, needs_triangle, triangle_of
from squarely.exact.solution import Refinement, Solution
from squarely.moments import ChangeOfBasis, MergedMoments
from squarely.numerics import ROUNDOFF, Array, Pair, dd_add, dd_multiply, dd_sum, two_sum

_MOST_STEPS = 10


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Part:
    """One solution of a merge: its change of basis and sign.

    `error_growth` is how far errors of its fitted values may grow relative to the remaining rows, if the removed ones were larger.
    """

    solution: Solution
    basis_change: ChangeOfBasis
    sign: int
    error_growth: float

    def minimum(self, target: int, unit: float) -> tuple[Pair, float, float, float]:
        """Return its coefficients b (q,) for a target, the factor to the common unit, the sum of squares and the error of the fit.

        The target is a column of [1, x_1 ... x_p, y], the ones (0) or the response (-1), whose common scale is `unit`. The error is
        the norm of that of the fitted values.
        """
        solution, span, ratio = self.solution, self.solution.span, self.basis_change.ratio
        if target:
            return solution.scaled_params, ratio, solution.ssr / unit**2, solution.fitted_error * ratio
        assert span is not None  # noqa: S101  # all fits are of one formula, here without an intercept
        return span.b, 1.0, span.remainder**2, span.remainder_error


def make_parts(merged: MergedMoments, factor: Factorization, solutions: Sequence[Solution], signs: Sequence[int]) -> list[Part]:
    """Return the solutions as parts of a merge."""
    parts = []
    for solution, change, sign in zip(solutions, merged.basis_changes, signs, strict=True):
        growth = 1.0
        if min(signs) < 0:  # the norm of X_s R^-1, which is at most one without a removal
            X = change_triangle(solution, change)[:, factor.columns]
            growth = max(1.0, float(np.linalg.norm(solve_triangular(factor.R, X.T, trans="T"), 2)))
        parts.append(Part(solution=solution, basis_change=change, sign=sign, error_growth=growth))
    return parts


def minimize(
    merged: MergedMoments, factor: Factorization, parts: Sequence[Part], target: int, rhs: Array
) -> tuple[Refinement, Array]:
    """Solve for a target, starting from b with R b = `rhs`; return the error (q,) of the solution too."""
    R, q, columns = factor.R, len(factor.R), factor.columns
    P = solve_triangular(R, np.eye(q))
    scale = np.linalg.norm(P, axis=1)  # roots of the diagonal of (R'R)^-1
    inverse = np.abs(P @ P.T)
    hi, lo = solve_triangular(R, rhs), np.zeros(q)
    gradient = _sum_parts(merged, columns, parts, target, (hi, lo))[0]
    converged, steps = False, 0
    while not converged and steps < _MOST_STEPS:
        d = solve_triangular(R, solve_triangular(R, gradient[columns], trans="T"))
        hi, e = two_sum(hi, d)
        lo = lo + e
        steps += 1
        sums = _sum_parts(merged, columns, parts, target, (hi, lo))
        gradient, gradient_error, squares, squares_error, own_error, sums_error = sums
        noise = scale * (own_error + sums_error) + inverse @ gradient_error[columns]
        converged = bool((np.abs(d) <= ROUNDOFF * np.abs(hi) + noise).all())
    step = factor.unit_error * float(np.linalg.norm(R @ d))
    minimum = Refinement(
        b=(hi, lo),
        squares=squares,
        squares_error=squares_error,
        bse_error=min(squares_error / (2 * squares) if squares > 0 else 1.0, 1.0),
        fitted_error=step + own_error + sums_error + float(np.linalg.norm(np.abs(P.T) @ gradient_error[columns])),
        converged=converged,
    )
    return minimum, scale * step + noise + (0.0 if converged else np.abs(d))


def _sum_parts(
    merged: MergedMoments, columns: np.ndarray, parts: Sequence[Part], target: int, b: Pair
) -> tuple[Array, Array, float, float, float, float]:
    """Sum over all rows for coefficients b: Z'(y - X b) (l + 1,) and the squared residuals, each with its error at most.

    The last two are the norm of the parts' own errors of fitted values, and what triangles add to it.
    """
    size, response_unit = len(merged.moments.gram), float(merged.moments.design.scales[-1])
    v = np.zeros(size), np.zeros(size)  # y - X b = Z v, with the target for y
    v[0][columns], v[1][columns] = -b[0], -b[1]
    v[0][target] = 1.0
    gradient = np.zeros(size), np.zeros(size)
    gradient_error = np.zeros(size)
    squares = squares_error = own_error = sums_error = 0.0
    for part in parts:
        solution, change, sign = part.solution, part.basis_change, part.sign
        gram, factor = solution.moments.gram, solution.factor
        own_b, ratio, own_squares, error = part.minimum(target, response_unit)
        own = np.zeros((2, len(gram)))
        own[:, factor.columns] = own_b
        own[0, target] = -1.0
        e = dd_add(change.apply(v), (ratio * own[0], ratio * own[1]))  # v less the part's own minimum
        lengths = change.error_lengths(gram)
        reach = float(np.abs(e[0]) @ np.sqrt(np.diag(gram)))
        if not needs_triangle(solution):
            g = _multiply(gram, e)
            square = max(float(e[0] @ g[0]), 0.0)
            gradient_error += SUM_ERROR * factor.error_factor * reach * lengths
            squares_error += SUM_ERROR * factor.error_factor * reach**2
        else:
            T = triangle_of(solution)
            unit = SUM_ERROR * (factor.error_factor * factor.condition if factor.triangle is None else 1.0)
            h = _multiply(T, e)
            g = _multiply(T.T, h)
            square = float(h[0] @ h[0])
            sums_error += part.error_growth * unit * reach
            gradient_error += unit * np.sqrt(square) * lengths
            squares_error += 2 * unit * reach * np.sqrt(square) + (unit * reach) ** 2
        # The part's minimum says nothing about the columns that it dropped: their remainders may correlate with its residuals.
        dropped = columns_of(solution.moments)[~factor.selected]
        norm = np.sqrt(own_squares)
        gradient_error += np.abs(change.A[0][dropped]).T @ factor.remainders * norm
        squares_error += 2 * float(np.abs(e[0][dropped]) @ factor.remainders) * norm
        back = change.apply_transpose(g)
        gradient = dd_add(gradient, (sign * back[0], sign * back[1]))
        squares += sign * (own_squares + square)
        squares_error += 2 * (norm + np.sqrt(square)) * error + error**2 + 4 * ROUNDOFF * (own_squares + square)
        own_error += part.error_growth * error
    return gradient[0] + gradient[1], gradient_error, squares, squares_error, own_error, sums_error


def _multiply(M: Array, x: Pair) -> Pair:
    """Return M x (m,) for M (m, k) as it is stored, in double-double."""
    return dd_sum(dd_multiply((M.T, np.zeros_like(M.T)), (x[0][:, None], x[1][:, None])))
