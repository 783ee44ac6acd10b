"""The verdict: compare a Fit with a Training, and name the cause when they do not agree."""

from __future__ import annotations

import math
from numbers import Real
from typing import TYPE_CHECKING

import numpy as np

from squarely import theory
from squarely.certification.causes import explain_gap
from squarely.certification.certificate import Certificate, largest_gap
from squarely.certification.evidence import optimum_of
from squarely.certification.gaps import DistanceBound, GradientAtSolution, distance_bound, gradient_at
from squarely.errors import InputError, OptionError, pluralize
from squarely.inference import Fit
from squarely.moments import Moments, standardize_moments

if TYPE_CHECKING:
    from squarely.descent import Training

_ROUNDINGS = 100.0  # how many roundings of a standardised coefficient a converged run may be off


def certify(fit: Fit, run: Training, *, tau: float = 0.01) -> Certificate:
    """Certify how far a training run is from the least squares fit of the same formula, and why.

    The gap is measured three ways: against the exact coefficients; by the gradient at the trained ones, on the rows in
    float64, which bounds the distance without knowing the optimum; and against what theory predicts for this run.

    Parameters
    ----------
    fit, run : what `squarely.ols` and `squarely.train` returned.
    tau : the answers agree when every coefficient is within so many standard errors.

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
    from squarely.descent import Training  # a room that needs PyTorch, which whoever has a Training has

    if not isinstance(fit, Fit) or not isinstance(run, Training):
        raise InputError(
            f"certify was given a {type(fit).__name__} and a {type(run).__name__}. Give it what ols and what train returned, "
            "in this order."
        )
    if isinstance(tau, bool) or not isinstance(tau, Real) or not 0 < tau < math.inf:
        raise OptionError(f"tau={tau!r} is not a number of standard errors above zero. The usual value is 0.01.")
    if fit.design.names != run.design.names or fit.design.response != run.design.response:
        raise InputError(
            f"The fit is of {fit.design.formula.text!r} and the training of {run.design.formula.text!r}: "
            "their coefficients cannot be compared. Use one formula for both."
        )
    same = _has_same_rows(fit.solution.moments, run.moments)
    slope, bound, excess = _measure(fit, run) if same else (None, None, math.nan)
    verdict, cause = _judge(fit, run, excess=excess, tau=float(tau), same=same)
    prediction = run.prediction if same else None
    return Certificate(
        names=fit.design.names,
        exact=fit.solution.params,
        trained=run.coefficients,
        bse=fit.standard_errors,
        predicted_gap=None if prediction is None else prediction.gap,
        excess_loss=excess,
        slope=slope,
        bound=bound,
        same_rows=same,
        rows=(fit.rows, run.rows),
        validation_rows=run.validation_rows,
        tau=float(tau),
        digits=float(np.nanmin([*fit.solution.digits_bse, *fit.solution.digits, 15.0])),
        evidence=_describe_evidence(run),
        verdict=verdict,
        cause=cause,
        notes=fit.design.notes,
    )


def _describe_evidence(run: Training) -> str:
    """Say how far the training is evidence of its own: what it shares with the fit beside the data."""
    if run.options.engine == "closed_form":
        return "none: closed form"
    if run.options.engine == "moments":
        return "weaker: cross-products"
    return f"independent: rows, {run.options.gradient}"


def _has_same_rows(a: Moments, b: Moments) -> bool:
    """Tell whether two folds met the same rows: counts, and the means and covariances of all columns, to rounding.

    Causes of gaps are not compared: what is NULL in a file is NaN in a frame, and the row is dropped either way.
    """
    if a.account.read != b.account.read or a.n != b.n:
        return False
    sd = np.sqrt(a.variances)
    size = np.abs(a.means) + sd
    room = 1e-9 * np.outer(sd, sd)
    if not a.design.intercept:  # columns are not centred, and a covariance is known only relative to the means
        room = room + 1e-12 * np.outer(size, size)
    same_means = np.abs(a.means - b.means) <= 1e-12 * size
    return bool(same_means.all() and (np.abs(a.covariances - b.covariances) <= room).all())


def _measure(fit: Fit, run: Training) -> tuple[GradientAtSolution, DistanceBound, float]:
    """Measure the trained coefficients on the rows: loss and gradient, what these prove, and the loss above the minimum."""
    problem, lam, w = run.problem, run.theory.spectrum, run.result.end
    slope = gradient_at(fit.solution.moments, fit.source, problem, w)
    if fit.rank == len(fit.solution.params):
        with np.errstate(over="ignore", invalid="ignore"):  # a diverged run is infinitely far away, and may be so
            excess = theory.excess(lam, lam.vectors.T @ (w - optimum_of(fit, run)))
    else:  # no single optimum to subtract from w, but its loss is known
        excess = max(slope.loss - fit.solution.ssr / (fit.nobs * float(problem.scale[-1]) ** 2), 0.0)
    stored = largest_gap(2 * np.spacing(np.abs(run.coefficients)), fit.standard_errors)  # what writing them down may cost
    return slope, distance_bound(slope, lam, fit.nobs - fit.rank, fit.nobs, rounding=stored), excess


def _judge(fit: Fit, run: Training, *, excess: float, tau: float, same: bool) -> tuple[str, str]:
    """Give the verdict and its cause in sentences; the causes are tried from the one that explains most."""
    largest = largest_gap(run.coefficients - fit.solution.params, fit.standard_errors)
    if not same:
        return "different rows", (
            f"The fit used {pluralize(fit.nobs, 'row')} and the training {pluralize(run.moments.n, 'row')}, or other "
            f"values in them: "
            "their answers need not meet. Give both the same data: squarely.ols(formula, run.source) fits the rows of the training."
        )
    wrong = _judge_failure(run, near=largest <= tau)
    if wrong is not None:
        return wrong
    if fit.dropped_columns or (run.theory.spectrum.flat_directions and not largest <= tau):
        return "collinear", _describe_dependence(fit, run, largest)
    if largest <= tau:
        return "agree", f"Every coefficient is within {tau:g} standard errors; the largest gap is {largest:.2g}."
    if getattr(run.source, "is_redrawn", False):
        return "different rows", (
            f"The largest gap is {largest:.2g} standard errors. The loader has other rows in each epoch, and the fit those of one "
            "pass: their answers need not meet. Let the loader give every row once an epoch."
        )
    return explain_gap(fit, run, excess=excess, tau=tau, max_gap=largest)


def _judge_failure(run: Training, *, near: bool) -> tuple[str, str] | None:
    """Judge a run that went away from the optimum, or met what is not a number."""
    if not near and run.optimizer is not None and any(group.get("maximize") for group in run.optimizer.param_groups):
        return "ascent", "maximize=True makes the optimiser go up the loss, away from least squares. Leave it out."
    if run.status == "not finite":
        return "not finite", f"{run.result.stop_reason.reason} Look for what the loop met there."
    return ("diverged", _describe_large_rate(run)) if _has_diverged(run, near=near) else None


def _has_diverged(run: Training, *, near: bool) -> bool:
    """Tell whether a run grew past all bounds, or would have if it had gone on: for steps on all rows that is certain."""
    known, recipe = run.theory, run.options
    exact = known.lr_limit is not None and recipe.is_full_batch and recipe.scheduler is None
    return run.result.has_diverged or (exact and recipe.rate >= (known.lr_limit or math.inf) and not near)


def _describe_large_rate(run: Training) -> str:
    """Say which rate was too large, and which would do."""
    known, recipe, told = run.theory, run.options, run.theory.rate_and_limit
    if recipe.scheduler is not None:
        rates = run.result.history.columns.get("lr", ())
        rate = f"The schedule's rate of up to {max(rates):g}" if len(rates) else "The schedule's rate"
        constant = "" if told is None or known.batches is not None else f" The limit of a constant rate is {told[1]}."
        return f"{rate} is too large for these columns.{constant} Try a smaller one."
    lr = recipe.rate if run.optimizer is None else max(float(group["lr"]) for group in run.optimizer.param_groups)
    said = f"lr={lr:g} is too large for these columns."
    if told is None or known.lr_limit is None or recipe.rate < known.lr_limit:
        return f"{said} Try a smaller one."
    if known.batches is not None:
        return f"{said} The limit {known.limit_label} is {told[1]}: try lr={told[0]}."
    return f"{said} The limit is {told[1]} and the best rate {told[0]}: train with that."


def _describe_dependence(fit: Fit, run: Training, largest: float) -> str:
    if fit.dropped_columns:
        return (
            f"Columns depend on each other ({'; '.join(fit.dropped_columns)}), so there is no single best answer: where training "
            "ends depends on its start. Leave a column out."
        )
    far = f"The largest gap is {largest:.2g} standard errors."
    if (
        not run.options.standardize
        and not run.moments.is_constant.any()
        and not theory.decompose_hessian(standardize_moments(run.moments).H).flat_directions
    ):
        return (
            f"{far} The columns are not standardised, and their means or scales are so unlike that descent does not move in some "
            "direction. Leave out standardize=False, or centre and scale the columns."
        )
    return (
        f"{far} Columns depend on each other so nearly that descent does not move "
        "along their difference, although least squares still tells them apart. Leave a column out, or put the difference of "
        "two in the place of one."
    )
