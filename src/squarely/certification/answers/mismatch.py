"""`Mismatch`: an answer and the fit that it should agree with, and the distance of any point from both."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from squarely import theory
from squarely.certification.answers.answer import Answer
from squarely.certification.certificate import largest_gap
from squarely.certification.discrepancy import in_standard_errors
from squarely.inference import Fit
from squarely.moments import StandardizedProblem, identity_scaling, standardize_moments
from squarely.numerics import ROUNDOFF, Array

_EXPLAINED = 0.01  # of the gap: a point that is farther from the answer does not explain it
_SMALLEST_UNIT = 1e-12  # of the deviation of the response: the least standard error, for data that lie on a line


@dataclass(frozen=True, eq=False, kw_only=True)
class Mismatch:
    """An answer that should be within `tau` standard errors of a fit of full rank.

    Attributes
    ----------
    fit, answer, tau : what is compared.
    """

    fit: Fit
    answer: Answer
    tau: float

    @cached_property
    def problem(self) -> StandardizedProblem:
        """The problem in standardized columns."""
        return standardize_moments(self.fit.solution.moments)

    @cached_property
    def raw_problem(self) -> StandardizedProblem:
        """The problem in the columns as they are."""
        return identity_scaling(self.fit.solution.moments)

    @property
    def has_intercept(self) -> bool:
        """Whether the formula has an intercept."""
        return self.fit.design.intercept

    @property
    def exact(self) -> Array:
        """The coefficients (p,) of least squares."""
        return self.fit.solution.params

    @property
    def given(self) -> Array:
        """The coefficients (p,) of the answer, 0 for an intercept that it does not have."""
        return self.answer.coefficients(intercept=self.has_intercept)

    @property
    def slopes(self) -> Array:
        """The slopes (k,) of least squares."""
        return self.exact[1:] if self.has_intercept else self.exact

    @cached_property
    def unit(self) -> Array:
        """The standard errors (p,), with a floor for data that lie on a line."""
        moments = self.fit.solution.moments
        deviations = np.sqrt(moments.variances)
        deviations = np.where(deviations > 0, deviations, 1.0)
        floor = _SMALLEST_UNIT * deviations[-1] / deviations[:-1]
        floor = np.concatenate([[_SMALLEST_UNIT * deviations[-1]], floor]) if self.has_intercept else floor
        unit: Array = np.maximum(self.fit.standard_errors, floor)
        return unit

    @property
    def gap(self) -> float:
        """The largest gap of a coefficient, in standard errors."""
        return self.distance(self.exact)

    @property
    def gap_sentence(self) -> str:
        """The distance in a sentence."""
        return f"The largest gap is {in_standard_errors(self.gap)}."

    @property
    def storage_rounding(self) -> Array:
        """How far (p,) rounding the coefficients to the precision that holds them may move them."""
        moved = self.answer.origin.roundoff * np.abs(self.given)
        if self.has_intercept and self.answer.origin.roundoff > ROUNDOFF * 4:  # of scaled columns, the slopes round the level
            moved[0] += self.answer.origin.roundoff * float(np.abs(self.given[1:]) @ np.abs(self.problem.shift[:-1]))
        return moved

    def distance(self, point: Array) -> float:
        """Return the distance of the answer from a point (p,), in the largest standard error."""
        with np.errstate(over="ignore", invalid="ignore"):
            return largest_gap(self.given - point, self.unit)

    def is_explained_by(self, point: Array, share: float = _EXPLAINED) -> bool:
        """Return whether the answer is this point (p,): nearer than this share of the gap, or than its own rounding."""
        return bool(self.distance(point) <= self.tolerance(share))

    def tolerance(self, share: float) -> float:
        """Return the distance within which a point is the answer: a share of the gap, or the rounding of the answer."""
        rounding = largest_gap(2 * self.storage_rounding, self.unit)
        return min(max(share * self.gap, rounding), _EXPLAINED * self.gap)

    def with_answer(self, answer: Answer) -> Mismatch:
        """Return the same case with another answer."""
        return replace(self, answer=answer)

    @cached_property
    def standardized(self) -> Array:
        """The answer (p,) in standardized columns, without cancellation in the intercept."""
        return standardize(self.problem, self.given)

    @cached_property
    def excess(self) -> float:
        """The loss above its minimum, in standardized units."""
        optimum = self.problem.from_scaled(self.fit.solution.scaled_params[0], self.fit.design)
        lam = theory.decompose_hessian(self.problem.H)
        with np.errstate(over="ignore", invalid="ignore"):
            return theory.excess(lam, lam.vectors.T @ (self.standardized - optimum))


def standardize(problem: StandardizedProblem, b: Array) -> Array:
    """Turn coefficients b (p,) in the units of the data into those of standardized columns."""
    slopes = b[1:] if problem.intercept else b
    w: Array = slopes * problem.scale[:-1] / problem.scale[-1]
    if not problem.intercept:
        return w
    level = (b[0] + slopes @ problem.center[:-1] - problem.center[-1]) + slopes @ problem.offset[:-1] - problem.offset[-1]
    return np.concatenate([[level / problem.scale[-1]], w])
