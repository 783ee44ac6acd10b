"""`certify_answer`: compare a `Fit` with coefficients made elsewhere, and name the cause if they do not agree."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from squarely import theory
from squarely.certification.answers.explanations import Refit, describe_count, explain_answer
from squarely.certification.answers.mismatch import Mismatch
from squarely.certification.answers.params import read_answer
from squarely.certification.certificate import Certificate, largest_gap
from squarely.certification.gaps import DistanceBound, GradientAtSolution, gradient_at
from squarely.errors import InputError, read_float, short_traceback
from squarely.inference import Fit
from squarely.numerics import ROUNDOFF
from squarely.types import Verdict

_ROUNDINGS = 100.0  # of a standardized coefficient: an answer on a line may be so many off


@short_traceback
def certify_answer(fit: Fit, params: Any, *, scaler: Any = None, tau: float = 0.01, refit: Refit | None = None) -> Certificate:
    """Certify how far coefficients made elsewhere are from a least squares fit, and why.

    Parameters
    ----------
    fit : what `squarely.ols` returned.
    params, scaler, tau : as in `squarely.certify`.
    refit : fits other rows, for an answer that nothing else explains.

    Returns
    -------
    Certificate : its `trained` is the answer.

    Raises
    ------
    InputError : `params` has no coefficients of a linear model, or not those of the formula.
    """
    if fit.design.formula.effects:
        raise InputError(
            f"The formula {fit.design.formula.text!r} has fixed effects after '|', and certify compares coefficients without them. "
            "Write few levels as columns, such as + C(firm)."
        )
    answer = read_answer(params, scaler, fit.design)
    case = Mismatch(fit=fit, answer=answer, tau=read_float("tau", tau))
    can_measure = not fit.solution.moments.is_constant.any()
    slope, bound, excess = _measure(case) if can_measure else (None, None, math.nan)
    verdict, cause = _judge(case, excess, refit)
    origin = answer.origin
    return Certificate(
        names=fit.design.names,
        exact=fit.solution.params,
        trained=case.given,
        bse=fit.standard_errors,
        predicted_gap=None,
        rounding_gap=largest_gap(case.storage_rounding, fit.standard_errors) if can_measure else math.nan,
        dtype=origin.dtype,
        excess_loss=excess,
        slope=slope,
        bound=bound,
        same_rows=None if origin.nobs is None else origin.nobs == fit.nobs,
        rows=(fit.rows, None),
        validation_rows=None,
        tau=case.tau,
        digits=float(np.nanmin([*fit.solution.digits_bse, *fit.solution.digits, 15.0])),
        evidence="not known" if origin.kind == "params" else f"made by {origin.kind}",
        verdict=verdict,
        cause=cause,
        notes=(*answer.notes, *fit.design.notes),
    )


def _measure(case: Mismatch) -> tuple[GradientAtSolution, DistanceBound, float]:
    """Measure the answer on the rows: the gradient, the bound that follows, and the loss above the minimum."""
    fit, problem, w = case.fit, case.problem, case.standardized
    lam = theory.decompose_hessian(problem.H)
    slope = gradient_at(fit.solution.moments, fit.source, problem, w)
    if fit.rank == len(fit.solution.params):
        excess = case.excess
    else:
        excess = max(slope.loss - fit.solution.ssr / (problem.weight * float(problem.scale[-1]) ** 2), 0.0)
    distance, bound = theory.distance_bound(lam, slope.gradient)
    rounding = largest_gap(2 * np.spacing(np.abs(case.given)), fit.standard_errors)
    in_se = theory.standard_errors_bound(lam, slope.gradient, slope.loss, fit.nobs, fit.nobs - fit.rank) + rounding
    return slope, DistanceBound(distance=distance, excess=bound, standard_errors=in_se), excess


def _judge(case: Mismatch, excess: float, refit: Refit | None) -> tuple[Verdict, str]:
    fit, answer = case.fit, case.answer
    if fit.dropped_columns:
        return "collinear", _describe_dependence(case, excess)
    near = case.gap <= case.tau or _is_on_line(case, excess, ROUNDOFF)
    if near and answer.origin.nobs is not None and answer.origin.nobs != fit.nobs:
        return "different rows", describe_count(case, answer.origin.nobs)
    if near and not (answer.intercept and not case.has_intercept):
        return "agree", f"Every coefficient is within {case.tau:g} standard errors; the largest gap is {case.gap:.2g}."
    if _is_on_line(case, excess, answer.origin.roundoff):
        return "float32 floor", f"The data lie on the line to rounding, and the gap is that of {answer.origin.dtype}. Use float64."
    if fit.solution.moments.is_constant.any():
        return "disagree", f"{case.gap_sentence} The response is constant. Look at how the coefficients were computed."
    return explain_answer(case, refit)


def _is_on_line(case: Mismatch, excess: float, roundoff: float) -> bool:
    """Return whether the data lie on a line, so that no standard error can measure the gap, and the answer does to rounding."""
    fit = case.fit
    return bool(fit.solution.ssr <= (4 * ROUNDOFF) ** 2 * fit.uncentered_tss and excess <= (_ROUNDINGS * roundoff) ** 2)


def _describe_dependence(case: Mismatch, excess: float) -> str:
    depend = f"Columns depend on each other ({'; '.join(case.fit.dropped_columns)}), so there is no single best answer."
    least = (
        case.fit.solution.ssr / (case.problem.weight * float(case.problem.scale[-1]) ** 2) if not math.isnan(excess) else math.nan
    )
    best = " This one has the least squared error, as that of least squares has." if excess <= 1e-9 * least else ""
    return f"{depend}{best} Leave a column out."
