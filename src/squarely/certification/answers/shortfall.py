"""What can be said of an answer that no single cause explains: it stopped on the way, lost digits, or is of other rows."""

from __future__ import annotations

import numpy as np

from squarely import theory
from squarely.certification.answers.mismatch import Mismatch, standardize
from squarely.certification.certificate import largest_gap
from squarely.certification.discrepancy import in_standard_errors, join_sentences
from squarely.certification.rounding import rounding_error
from squarely.errors import pluralize
from squarely.moments import StandardizedProblem
from squarely.types import Verdict

_STEEP = 0.1  # of the largest curvature: descent arrives first along such directions
_WIDE = 100.0  # the condition number from which directions can be told apart
_ARRIVED = 1e-3  # of the largest distance of a direction: descent has arrived along the others


def explain_shortfall(case: Mismatch) -> tuple[Verdict, str]:
    """Return the verdict and its cause in sentences, for an answer that is not that of any cause with a formula."""
    origin = case.answer.origin
    proof = "The gradient of these rows is not zero at the answer, so it is not their least squares answer."
    size = f"Its mean squared error is {_loss_ratio(case):.6g} times the least."
    reach = _reach(case)
    if origin.roundoff > 1e-12 and not origin.is_trained and case.gap <= reach:
        return "float32 floor", (
            f"Its coefficients are {origin.dtype} numbers, and computing in {origin.dtype} can move them by {reach:.2g} here. "
            "Compute in float64."
        )
    slow = _slow_columns(case)
    if slow or origin.is_trained:
        steps = f"It used all of its {pluralize(origin.used_up, 'epoch')}." if origin.used_up else ""
        why = (
            f"It has arrived along the steep directions {slow} and not along the flat ones, as descent that ends early."
            if slow
            else ""
        )
        advice = (
            "Train longer, standardize the columns, or let the rate decay." if slow else "Train longer, or look for other rows."
        )
        return "not converged", join_sentences(proof, steps, why, size, advice)
    return "disagree", join_sentences(proof, size, _describe_likely_rows(case))


def _loss_ratio(case: Mismatch) -> float:
    least = case.fit.solution.ssr / case.problem.weight
    return 1.0 + case.excess * float(case.problem.scale[-1]) ** 2 / least if least > 0 else np.inf


def _reach(case: Mismatch) -> float:
    """Return the largest gap, in standard errors, that arithmetic in the precision of the answer may leave."""
    reach = 0.0
    for problem in (case.problem, case.raw_problem):
        lam, w = theory.decompose_hessian(problem.H), standardize(problem, case.given)
        if not lam.flat_directions:
            error = rounding_error(problem, lam, w, case.answer.origin.roundoff / 2, np.ones(len(w)))
            reach = max(reach, largest_gap(error, case.unit))
    return reach


def _slow_columns(case: Mismatch) -> str:
    """Return in which columns the answer has arrived along the steep directions and not along the flat ones; "" for neither."""
    names = {"of the standardized columns": case.problem, "of the columns as they are": case.raw_problem}
    return next((name for name, problem in names.items() if _is_slow(case, problem)), "")


def _is_slow(case: Mismatch, problem: StandardizedProblem) -> bool:
    lam = theory.decompose_hessian(problem.H)
    w, optimum = (standardize(problem, b) for b in (case.given, case.exact))
    away = np.sqrt(np.maximum(lam.values, 0.0)) * np.abs(lam.vectors.T @ (w - optimum))
    steep = lam.values > _STEEP * lam.largest_eigenvalue
    return bool(lam.kappa > _WIDE and not steep.all() and away[steep].max() <= _ARRIVED * away.max())


def _describe_likely_rows(case: Mismatch) -> str:
    """Say how many rows an answer of a random part of them would have that is as far away."""
    p, n = len(case.given), case.fit.nobs
    variance = case.fit.mse_resid / float(case.problem.scale[-1]) ** 2
    squares = case.problem.weight * case.excess / variance if variance > 0 else np.inf
    used = round(n / (1.0 + squares / p)) if np.isfinite(squares) else 0
    if used <= max(2 * p, n / 10):
        return (
            f"It is {in_standard_errors(case.gap)} away, farther than an answer of part of the rows would be: look for other "
            "columns, other units or a wrong coefficient."
        )
    return (
        f"Other rows are likely: an answer of about {used:,} of the {n:,} rows, at random, is as far away. Compare the number of "
        "rows, and how missing values were treated."
    )
