"""Find a penalty or a number of steps that explains an answer: ridge, lasso, elastic net, or descent that has not arrived."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from squarely.certification.answers.mismatch import Mismatch
from squarely.numerics import Array

_GRID = 160  # penalties at first, evenly in the logarithm
_THIRDS = 80  # (2/3)^80 of the distance of two of them: 14 digits
_DIGITS = 4
_NEAR, _NEAR_WITH_TWO = 2e-3, 2e-4  # of the gap: how far a ridge answer may be; two coefficients are near some by chance
_NEAR_ON_THE_WAY = 0.01  # likewise for descent, whose finite steps are not quite exp(-lam t)


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Quadratic:
    """The squares of residuals in some coordinates: A (q, q) = X'X there, the minimum (q,), and the way back to coefficients.

    `sizes` (k,) are the coordinates of slopes of one; `describes` says which columns these are, and what a penalty is on.
    """

    A: Array
    minimum: Array
    to_coefficients: Callable[[Array], Array]
    sizes: Array
    describes: str


def quadratics(case: Mismatch) -> Iterator[Quadratic]:
    """Yield the coordinates in which a penalty may be: slopes of standardized or raw columns, with or without the intercept."""
    problem, slopes, first = case.problem, case.slopes, int(case.has_intercept)
    n, sizes, y_size = problem.weight, problem.scale[:-1], problem.scale[-1]
    if not len(slopes):
        return
    one, S = np.ones(len(slopes)), problem.H[first:, first:] / 2.0

    def from_slopes(b: Array) -> Array:
        return problem.to_data_units(np.concatenate([np.zeros(first), b * sizes / y_size]))

    by_size = n * S * np.outer(sizes, sizes)
    on, as_is = "on standardized columns", "on the columns as they are"
    yield Quadratic(A=n * S, minimum=slopes * sizes, to_coefficients=lambda w: from_slopes(w / sizes), sizes=sizes, describes=on)
    yield Quadratic(A=by_size, minimum=slopes, to_coefficients=from_slopes, sizes=one, describes=as_is)
    if not first:
        return
    both = " and the intercept"
    A = case.raw_problem.H * (n / 2.0)
    yield Quadratic(A=A, minimum=case.exact, to_coefficients=lambda b: b, sizes=one, describes=f"{as_is}{both}")
    mean = float(problem.shift[-1])
    A = np.zeros((len(case.exact), len(case.exact)))
    A[0, 0], A[1:, 1:] = n, n * S

    def from_all(w: Array) -> Array:
        return problem.to_data_units(np.concatenate([[(w[0] - mean) / y_size], w[1:] / y_size]))

    minimum = np.concatenate([[mean], slopes * sizes])
    yield Quadratic(A=A, minimum=minimum, to_coefficients=from_all, sizes=sizes, describes=f"{on}{both}")


def find_ridge(case: Mismatch) -> list[tuple[float, str]]:
    """Return the penalties alpha on a sum of squares that explain the answer, each with what it is on."""
    near = _NEAR if len(case.given) > 2 else _NEAR_WITH_TWO
    found = [(_find_strength(case, each, lambda lam, t: lam / (lam + 1.0 / t)), each.describes) for each in quadratics(case)]
    return [(alpha, what) for (alpha, point), what in found if case.is_explained_by(point, near)]


def find_descent(case: Mismatch) -> str:
    """Return in which columns descent from zero passes the answer, "" for none: exp(-lam t) of each direction remains."""
    found = [(_find_strength(case, each, lambda lam, t: -np.expm1(-lam * t))[1], each.describes) for each in quadratics(case)]
    point, what = min(found, key=lambda pair: case.distance(pair[0]))
    return what if case.is_explained_by(point, _NEAR_ON_THE_WAY) else ""


def _find_strength(case: Mismatch, each: Quadratic, keep: Callable[[Array, Any], Array]) -> tuple[float, Array]:
    """Return 1/t for the t with which the point V keep(lam, t) V' minimum is nearest to the answer, and this point (p,)."""
    lam, V = np.linalg.eigh(each.A)
    lam = np.maximum(lam, 0.0)
    c = V.T @ each.minimum

    def distance(log_t: float) -> float:
        return case.distance(each.to_coefficients(V @ (keep(lam, np.exp(log_t)) * c)))

    positive = lam[lam > 1e-14 * lam[-1]]
    logs = np.linspace(-np.log(positive[-1]) - 16.0, -np.log(positive[0]) + 25.0, _GRID)
    best = int(np.argmin([distance(log_t) for log_t in logs]))
    low, high = logs[max(best - 1, 0)], logs[min(best + 1, _GRID - 1)]
    for _ in range(_THIRDS):
        a, b = low + (high - low) / 3.0, high - (high - low) / 3.0
        low, high = (low, b) if distance(a) <= distance(b) else (a, high)
    log_t = (low + high) / 2.0
    return float(np.exp(-log_t)), each.to_coefficients(V @ (keep(lam, np.exp(log_t)) * c))


def find_lasso(case: Mismatch) -> str:
    """Describe the lasso or elastic net that explains the answer, "" for none.

    At its minimum the gradient X'r / n of an active column is alpha l1_ratio sign(b) + alpha (1 - l1_ratio) b, and that of
    a column with a slope of zero is at most alpha l1_ratio. So the answer determines the penalty.
    """
    if not case.answer.slopes.any():
        return ""
    of_slopes = list(quadratics(case))[:2]  # the intercept has no penalty
    mixes = (True, False) if "ElasticNet" in case.answer.origin.kind else (False, True)  # one is often near the other
    found = (_judge_stationarity(case, each, is_mixed=is_mixed) for is_mixed in mixes for each in of_slopes)
    return next(filter(None, found), "")


def _judge_stationarity(case: Mismatch, each: Quadratic, *, is_mixed: bool) -> str:
    b, n = case.answer.slopes * each.sizes, case.problem.weight
    gradient, active = each.A @ (each.minimum - b) / n, b != 0.0
    signs, least = np.sign(b[active]), 3 if is_mixed else 2 - int((~active).any())  # so many equations are a test
    if active.sum() < least:
        return ""
    A = each.A[np.ix_(active, active)] / n
    root = np.linalg.cholesky(A)  # errors of the gradient count by how far they move the coefficients
    M = np.column_stack([signs, b[active]] if is_mixed else [signs])
    weights = np.linalg.lstsq(np.linalg.solve(root, M), np.linalg.solve(root, gradient[active]), rcond=None)[0]
    l1, l2 = float(weights[0]), float(weights[1]) if is_mixed else 0.0
    if l1 <= 0 or l2 < 0 or (np.abs(gradient[~active]) > l1 * (1 + 1e-6)).any():
        return ""
    point = np.zeros_like(b)
    point[active] = np.linalg.solve(A + l2 * np.eye(len(A)), (each.A @ each.minimum)[active] / n - l1 * signs)
    if not case.is_explained_by(each.to_coefficients(point)):
        return ""
    alpha = l1 + l2
    mixed = f"elastic net with alpha={alpha:.{_DIGITS}g} and l1_ratio={l1 / alpha:.{_DIGITS}g} {each.describes}"
    return mixed if is_mixed else f"lasso with alpha={l1:.{_DIGITS}g} {each.describes}"
