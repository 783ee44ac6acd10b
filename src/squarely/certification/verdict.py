"""The verdict: compare a `Fit` with a `Training`, and name the cause if they do not agree."""

from __future__ import annotations

import math
from numbers import Real
from typing import TYPE_CHECKING

import numpy as np

from squarely import theory
from squarely.certification.causes import explain_gap
from squarely.certification.certificate import Certificate, largest_gap
from squarely.certification.discrepancy import Discrepancy, join_sentences
from squarely.certification.failures import describe_difference, has_same_rows, judge_failure
from squarely.certification.gaps import DistanceBound, GradientAtSolution, gradient_at
from squarely.certification.ridge import judge_ridge, measure_ridge, predicted_gap_to_ridge, require_ridge
from squarely.certification.rounding import describe_small_gap, rounding_gap
from squarely.data import DetachedSource
from squarely.errors import InputError, OptionError, read_float, short_traceback, show_value
from squarely.inference import Fit, Penalized
from squarely.moments import standardize_moments
from squarely.numerics import Array
from squarely.types import Verdict

if TYPE_CHECKING:
    from squarely.descent import Training

_DEPENDENT_ENGINES = {"closed_form": "none: closed form", "moments": "weaker: cross-products"}  # which the fit uses too


@short_traceback
def certify(fit: Fit | Penalized, run: Training, *, tau: float = 0.01) -> Certificate:
    """Certify how far a training run is from the least squares fit of the same formula, and why.

    The gap is measured in three ways: against the exact coefficients; by the gradient at the trained ones, on the rows in float64,
    which bounds the distance without knowledge of the optimum; and against what theory predicts for this run.

    Parameters
    ----------
    fit, run : what `squarely.ols` and `squarely.train` returned; or, for a run with weight decay, a ridge fit.
    tau : the answers agree if every coefficient is within so many standard errors.

    Returns
    -------
    Certificate : print it; `certificate.agree` and `certificate.require()` are for programs.

    Raises
    ------
    InputError : the two have different coefficients.
    OptionError : tau is not a positive number.

    Examples
    --------
    >>> from squarely import ols, train
    >>> data = {"x": [0.0, 1.0, 2.0, 3.0], "y": [1.0, 3.0, 5.0, 8.0]}
    >>> certify(ols("y ~ x", data), train("y ~ x", data, lr=0.5, epochs=2)).verdict
    'agree'
    """
    from squarely.descent import Training  # here, because least squares alone does not need it

    ridge = fit if isinstance(fit, Penalized) else None
    fit = fit if ridge is None else ridge.fit  # type: ignore[assignment]
    if not isinstance(fit, Fit) or not isinstance(run, Training):
        raise InputError(
            f"certify got a {type(fit).__name__} and a {type(run).__name__}. Give it the results of ols and train, in this order."
        )
    require_tolerance(tau)
    if fit.design.names != run.design.names or fit.design.response != run.design.response:
        raise InputError(
            f"The fit has the formula {fit.design.formula.text!r} and the run {run.design.formula.text!r}, so their coefficients "
            "cannot be compared. Use one formula for both."
        )
    if ridge is not None:
        require_ridge(ridge, run)
    same = has_same_rows(fit.solution.moments, run.moments)
    predicted: Array | None = None
    slope, bound, excess = None, None, math.nan
    if same:
        slope, bound, excess = _measure(fit, run) if ridge is None else measure_ridge(ridge, run, fit)
        predicted = run.prediction.gap if run.prediction else None
        predicted = predicted if ridge is None else predicted_gap_to_ridge(ridge, run, fit)
    case = Discrepancy(fit=fit, run=run, excess=excess, tau=read_float("tau", tau))
    reach = rounding_gap(case) if same else math.nan
    verdict, cause = _judge(case, reach, same=same) if ridge is None else judge_ridge(ridge, case, same=same)
    independent = f"independent: rows, {run.options.gradient}"
    return Certificate(
        names=fit.design.names,
        exact=fit.solution.params if ridge is None else ridge.coefficients,
        trained=run.coefficients,
        bse=fit.standard_errors,
        predicted_gap=predicted,
        rounding_gap=reach,
        dtype=case.dtype,
        excess_loss=excess,
        slope=slope,
        bound=bound,
        same_rows=same,
        rows=(fit.rows, run.rows),
        validation_rows=run.validation_rows,
        tau=read_float("tau", tau),
        digits=float(np.nanmin([*fit.solution.digits_bse, *fit.solution.digits, 15.0])),
        evidence=_DEPENDENT_ENGINES.get(run.options.engine, independent),
        verdict=verdict,
        cause=cause,
        notes=fit.design.notes,
    )


def require_tolerance(tau: float) -> None:
    """Raise an OptionError if `tau` is not a positive number."""
    if isinstance(tau, bool) or not isinstance(tau, Real) or not 0 < tau < math.inf:
        raise OptionError(f"tau={show_value(tau)} is not a number of standard errors above zero. The usual value is 0.01.")


def _measure(fit: Fit, run: Training) -> tuple[GradientAtSolution, DistanceBound, float]:
    """Measure the trained coefficients on the rows: the gradient, the bound that follows, and the loss above the minimum."""
    problem, lam, w = run.problem, run.theory.spectrum, run.result.end
    has_rows = run if isinstance(fit.source, DetachedSource) else fit  # a loaded one has none
    moments = run.moments if has_rows is run else fit.solution.moments
    slope = gradient_at(moments, has_rows.source, problem, w)
    if fit.rank == len(fit.solution.params):
        optimum = problem.from_scaled(fit.solution.scaled_params[0], fit.design)
        with np.errstate(over="ignore", invalid="ignore"):  # a run that diverged may be infinitely far away
            excess = theory.excess(lam, lam.vectors.T @ (w - optimum))
    else:  # there is no single optimum to subtract from w, but its loss is known
        least = fit.solution.ssr / (fit.solution.moments.weight * float(problem.scale[-1]) ** 2)
        excess = max(slope.loss - least, 0.0)
    rounding = largest_gap(2 * np.spacing(np.abs(run.coefficients)), fit.standard_errors)  # of the coefficients as doubles
    distance, bound = theory.distance_bound(lam, slope.gradient)
    in_se = theory.standard_errors_bound(lam, slope.gradient, slope.loss, fit.nobs, fit.nobs - fit.rank) + rounding
    return slope, DistanceBound(distance=distance, excess=bound, standard_errors=in_se), excess


def _judge(case: Discrepancy, reach: float, *, same: bool) -> tuple[Verdict, str]:
    """Return the verdict and its cause in sentences. The cause that explains most comes first."""
    fit, run, near = case.fit, case.run, case.max_gap <= case.tau
    if not same:
        return "different rows", describe_difference(fit, run)
    if failure := judge_failure(case, near=near):
        return failure
    if fit.dropped_columns or (run.theory.spectrum.flat_directions and not near):
        return "collinear", _describe_dependence(case)
    if near:
        agree = f"Every coefficient is within {case.tau:g} standard errors; the largest gap is {case.max_gap:.2g}."
        return "agree", join_sentences(agree, describe_small_gap(case, reach))
    if run.source.is_redrawn:
        return "different rows", (
            f"{case.gap_sentence} The loader has other rows in each epoch, and the fit has those of one pass, so their answers may "
            "differ. Let the loader give every row once an epoch."
        )
    return explain_gap(case)


def _describe_dependence(case: Discrepancy) -> str:
    fit, run = case.fit, case.run
    if fit.dropped_columns:
        return (
            f"Columns depend on each other ({'; '.join(fit.dropped_columns)}), so there is no single best answer: where training "
            "ends depends on its start. Leave a column out."
        )
    if (
        not run.options.standardize
        and not run.moments.is_constant.any()
        and not theory.decompose_hessian(standardize_moments(run.moments).H).flat_directions
    ):
        return (
            f"{case.gap_sentence} The columns are not standardized, and their means or scales differ so much that descent does not "
            "move in some direction. Leave out standardize=False, or center and scale the columns."
        )
    return (
        f"{case.gap_sentence} Columns depend on each other so nearly that descent does not move along their difference, although "
        "least squares can tell them apart. Leave a column out, or replace two by their difference."
    )
