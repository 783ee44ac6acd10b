"""What least squares says a loss must be: its minimum, its largest first value and its curvature, for every scaling of the data."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from squarely.moments import StandardizedProblem
from squarely.numerics import Array
from squarely.theory import decompose_hessian, fixed_point


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Minimum:
    """The exact facts of the mean squared error of a problem, with the columns and the response in given units.

    Attributes
    ----------
    units : "standardized" or "raw" columns, and such a response.
    n, p : rows and coefficients.
    loss : L*, the least mean squared error.
    variance : the loss of the best constant prediction.
    first : the largest loss that a new nn.Linear has.
    lam : (p,) the eigenvalues of the Hessian (2/n) X'X.
    """

    units: tuple[str, str]
    n: int
    p: int
    loss: float
    variance: float
    first: float
    lam: Array

    @property
    def sigma2(self) -> float:
        """The variance of the errors."""
        return self.loss * self.n / max(self.n - self.p, 1)

    def standard_errors(self, loss: float) -> float:
        """Return tau of a loss: every combination of the coefficients is within so many standard errors of least squares."""
        excess = max(loss - self.loss, 0.0)
        return math.sqrt(self.n * excess / self.sigma2) if self.sigma2 > 0 else math.inf if excess else 0.0

    def describe(self) -> str:
        """Return the units in words."""
        columns, response = self.units
        return f"{columns} columns and a {response} response"


def list_minima(problem: StandardizedProblem, raw: StandardizedProblem) -> list[Minimum]:
    """Return the facts for standardized and raw columns and responses, standardized ones first; `raw` has a scale of one."""
    scale = float(problem.scale[-1])
    standard = decompose_hessian(problem.H)
    least = problem.loss(fixed_point(standard, problem.h))
    slopes = max(len(problem.names) - problem.intercept, 1)
    minima = []
    for response, factor, center in (("standardized", 1.0, 0.0), ("raw", scale**2, float(problem.shift[-1]))):
        for columns, H in (("standardized", problem.H), ("raw", raw.H)):
            lam = decompose_hessian(H).values
            output = math.sqrt(max(lam.max(), 0.0) / 2.0 * len(problem.names) / slopes)  # rms of X w, |w_j| <= 1 / sqrt(slopes)
            rms = math.sqrt(factor * problem.y2 + center**2)
            minima.append(
                Minimum(
                    units=(columns, response), n=problem.n, p=len(problem.names), loss=factor * least, variance=factor * problem.y2,
                    first=(rms + output) ** 2, lam=np.sort(lam)[::-1],
                )
            )  # fmt: skip
    return minima
