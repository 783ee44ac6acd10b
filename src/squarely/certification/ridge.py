"""Compare a ridge fit with a run that decays its weights: both minimize the mean squared error plus a penalty."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from squarely import theory
from squarely.certification.certificate import largest_gap
from squarely.certification.discrepancy import Discrepancy, in_standard_errors
from squarely.certification.failures import describe_difference, judge_failure
from squarely.certification.gaps import DistanceBound, GradientAtSolution, gradient_at
from squarely.certification.rounding import rounding_gap
from squarely.data import DetachedSource
from squarely.errors import InputError
from squarely.inference import Fit, Penalized
from squarely.numerics import Array
from squarely.types import Verdict

if TYPE_CHECKING:
    from squarely.descent import Training


def require_ridge(penalized: Penalized, run: Training) -> None:
    """Raise an InputError unless the fit is a ridge fit with the scaling of the run."""
    if penalized.method != "ridge":
        raise InputError(
            f"certify compares weight decay with ridge, and this fit is {penalized.method}. Give it the result of fit.ridge(alpha)."
        )
    if penalized.standardize != run.options.standardize or (not penalized.standardize and run.problem.intercept):
        where = "standardized" if run.options.standardize else "raw"
        raise InputError(
            f"The run decays the weights of {where} columns, with the bias, and the ridge fit has standardize="
            f"{penalized.standardize}. Leave standardize= out of both."
        )


def decay_of(alpha: float, weight: float) -> float:
    """Return the weight decay that is ridge with `alpha`: ssr + alpha |b|^2 is n (mse + decay |b|^2 / 2)."""
    return 2.0 * alpha / weight


def measure_ridge(penalized: Penalized, run: Training, fit: Fit) -> tuple[GradientAtSolution, DistanceBound, float]:
    """Measure the trained coefficients: the gradient of the penalized loss on the rows, the bound that follows, and the excess."""
    problem, w, decay = run.problem, run.result.end, decay_of(penalized.alpha, run.problem.weight)
    has_rows = run if isinstance(fit.source, DetachedSource) else fit
    moments = run.moments if has_rows is run else fit.solution.moments
    slope = gradient_at(moments, has_rows.source, problem, w)
    penalized_slope = replace(slope, loss=slope.loss + 0.5 * decay * float(w @ w), gradient=slope.gradient + decay * w)
    lam = theory.decompose_hessian(problem.H + decay * np.eye(len(w)))
    distance, bound = theory.distance_bound(lam, penalized_slope.gradient)
    # The distance d = (H + decay I)^-1 g in standard errors of least squares is that of the gradient H d.
    away = lam.vectors @ ((lam.vectors.T @ penalized_slope.gradient) / lam.values)
    in_se = theory.standard_errors_bound(run.theory.spectrum, problem.H @ away, slope.loss, fit.nobs, fit.nobs - fit.rank)
    excess = max(float(0.5 * away @ penalized_slope.gradient), 0.0)
    return penalized_slope, DistanceBound(distance=distance, excess=bound, standard_errors=in_se), excess


def predicted_gap_to_ridge(penalized: Penalized, run: Training, fit: Fit) -> Array | None:
    """Return the gap (p,) from the ridge coefficients that theory predicts for the run."""
    return None if run.prediction is None else run.prediction.gap + fit.solution.params - penalized.coefficients


def judge_ridge(penalized: Penalized, case: Discrepancy, *, same: bool) -> tuple[Verdict, str]:
    """Return the verdict and its cause in sentences."""
    run, fit = case.run, case.fit
    gap = largest_gap(run.coefficients - penalized.coefficients, fit.standard_errors)
    near = gap <= case.tau
    if not same:
        return "different rows", describe_difference(fit, run)
    if failure := judge_failure(case, near=near):
        return failure
    ridge = f"ridge with alpha={penalized.alpha:g}"
    if near:
        return "agree", f"Every coefficient is within {case.tau:g} standard errors of {ridge}; the largest gap is {gap:.2g}."
    return _explain_gap(penalized, case, gap)


def _explain_gap(penalized: Penalized, case: Discrepancy, gap: float) -> tuple[Verdict, str]:
    """Return why a run is not near the ridge fit: another penalty, too few epochs or too noisy batches, or rounding."""
    run, fit, what = case.run, case.fit, f"The largest gap is {in_standard_errors(gap)}."
    rest = case.resting_point if case.largest_decay else case.optimum
    if rest is None:
        return (
            "penalized",
            f"{what} The decay of the run does not go through the gradient of a mean squared error: it is not ridge.",
        )
    if largest_gap(run.problem.to_data_units(rest) - penalized.coefficients, fit.standard_errors) > case.tau:
        same_as = "" if case.ridge_alpha is None else f", which is ridge with alpha={case.ridge_alpha:.6g}"
        return "penalized", (
            f"{what} The run has weight_decay={case.largest_decay:g}{same_as}, and the fit has alpha={penalized.alpha:.6g}. Give "
            "both the same penalty."
        )
    predicted = predicted_gap_to_ridge(penalized, run, fit)
    expected = math.nan if predicted is None else largest_gap(predicted, fit.standard_errors)
    if predicted is None or expected > case.tau:
        known = "" if predicted is None else f" Theory predicts {expected:.2g} after these epochs."
        remedy = (
            "take more epochs" if run.options.is_full_batch else "take more epochs with a rate that decays, or all rows at once"
        )
        return "not converged", f"{what}{known} The run goes to the ridge fit: {remedy}."
    if gap <= expected + rounding_gap(case):
        floor: Verdict = "float32 floor" if case.dtype == "float32" else "float64 floor"
        return floor, f"{what} It is the rounding of {case.dtype}."
    return "disagree", f"{what} Theory predicts {expected:.2g}: the loop did something other than its options say."
