"""The verdict: compare a Fit with a Training, and name the cause when they do not agree."""

from __future__ import annotations

import math
from numbers import Real
from typing import TYPE_CHECKING

import numpy as np

from squarely import theory
from squarely.certification.certificate import Certificate, in_standard_errors
from squarely.certification.gaps import bound_from, slope_on_rows
from squarely.errors import InputError, OptionError, counted
from squarely.moments import Moments, Standardised, standardise

if TYPE_CHECKING:
    from squarely.descent import Training
    from squarely.inference import Fit

_ROUNDING = 1e-13  # a residual sum of squares this share of the total is rounding: standard errors mean nothing then


def certify(fit: Fit, run: Training, *, tau: float = 0.01) -> Certificate:
    """Certify how far a training run is from the least squares fit of the same formula, and why.

    The gap is measured three ways: against the exact coefficients; by the gradient at the trained ones, on the rows in
    float64, which bounds the distance without knowing the optimum; and against what theory predicts for this run.

    Parameters
    ----------
    fit, run : what `squarely.ols` and `squarely.train` returned.
    tau : the answers agree when every coefficient is within so many standard errors.

    Raises
    ------
    InputError : the two have different coefficients.
    OptionError : tau is not a positive number.
    """
    if isinstance(tau, bool) or not isinstance(tau, Real) or not 0 < tau < math.inf:
        raise OptionError(f"tau={tau!r} is not a number of standard errors above zero. The usual value is 0.01.")
    if fit.design.names != run.design.names or fit.design.formula.response != run.design.formula.response:
        raise InputError(
            f"The fit is of {fit.design.formula.text!r} and the training of {run.design.formula.text!r}: "
            "their coefficients cannot be compared. Use one formula for both."
        )
    same = _same_rows(fit.solution.moments, run.moments)
    problem = run.problem if same else standardise(fit.solution.moments)
    w = run.loop.end if same else problem.from_units(run.coefficients)
    lam = theory.spectrum(problem.H)
    slope = slope_on_rows(fit.design, fit.source, problem, w)
    exact = fit.solution.params
    best = problem.loss(problem.from_units(exact)) if fit.rank == len(exact) else fit.ssr / (fit.nobs * problem.scale[-1] ** 2)
    with np.errstate(over="ignore", invalid="ignore"):
        error = w - problem.from_units(exact)
        excess = theory.excess(lam, lam.vectors.T @ error) if fit.rank == len(exact) else slope.loss - best
    bse = np.sqrt(np.diag(fit.covariance))
    digits = min(np.nanmin(fit.solution.digits), np.nanmin(fit.solution.digits_bse))
    predicted = None if run.prediction is None else run.prediction.gap
    verdict, cause = _judge(fit, run, problem, lam, excess=excess, tau=float(tau), same=same)
    return Certificate(
        names=fit.design.names,
        exact=exact,
        trained=run.coefficients,
        bse=bse,
        predicted_gap=predicted,
        excess_loss=excess,
        slope=slope,
        bound=bound_from(slope, lam, fit.nobs),
        same_rows=same,
        rows_used=(fit.nobs, run.moments.n),
        tau=float(tau),
        digits=float(digits),
        verdict=verdict,
        cause=cause,
    )


def _same_rows(a: Moments, b: Moments) -> bool:
    """Tell whether two folds met the same rows: counts, and every mean and variance to rounding."""
    if a.n != b.n or a.account.dropped != b.account.dropped:
        return False
    room = 1e-12 * (np.abs(a.means) + np.sqrt(a.variances))
    return bool((np.abs(a.means - b.means) <= room).all() and np.allclose(a.variances, b.variances, rtol=1e-9, atol=0.0))


def _judge(
    fit: Fit, run: Training, problem: Standardised, lam: theory.Spectrum, *, excess: float, tau: float, same: bool
) -> tuple[str, str]:
    """Give the verdict and its cause in sentences; the causes are tried from the one that explains most."""
    bse = np.sqrt(np.diag(fit.covariance))
    largest = float(np.abs(in_standard_errors(run.coefficients - fit.solution.params, bse)).max())
    limit = run.theory.lr_limit
    if not same:
        return "different rows", (
            f"The fit used {counted(fit.nobs, 'row')} and the training {counted(run.moments.n, 'row')}, or other values in them: "
            "their answers need not meet. Give both the same data."
        )
    if run.loop.diverged or (limit is not None and run.recipe.lr >= limit and not largest <= tau):
        crossed = "" if limit is None else f"The limit for these columns is {limit:.4g}. "
        return "diverged", f"lr={run.recipe.lr:g} is too large. {crossed}Train with lr={run.theory.lr_best:.4g}, the best rate."
    if fit.dropped_columns or lam.flat:
        named = "; ".join(fit.dropped_columns) or "the columns"
        return "collinear", (
            f"Columns depend on each other ({named}), so there is no single best answer: where training ends depends on its start. "
            "Leave a column out."
        )
    if largest <= tau:
        return "agree", f"Every coefficient is within {tau:g} standard errors; the largest gap is {largest:.2g}."
    if fit.ssr <= _ROUNDING * fit.uncentered_tss and excess <= np.finfo(run.recipe.dtype).eps ** 2 * 1e4:
        return "agree", "The data lie on the line exactly, so every standard error is zero; the gap is rounding."
    return _short_of_it(fit, run, lam, problem, tau=tau, largest=largest)


def _short_of_it(
    fit: Fit, run: Training, lam: theory.Spectrum, problem: Standardised, *, tau: float, largest: float
) -> tuple[str, str]:
    """Judge a run that ended too far away although nothing is wrong with its rows, columns or learning rate."""
    far = f"The largest gap is {largest:.2g} standard errors."
    prediction, descent = run.prediction, run.recipe.descent
    if prediction is None or descent is None:
        return "not converged", (
            f"{far} Theory has no closed form for {run.recipe.optimizer}; train for more than {run.recipe.epochs:,} epochs, "
            f"or with optimizer='sgd' at lr={run.theory.lr_best:.4g}."
        )
    bse = np.sqrt(np.diag(fit.covariance))
    foreseen = float(np.abs(in_standard_errors(prediction.gap, bse)).max())
    if foreseen <= tau:
        if run.recipe.dtype == "float32":
            return "float32 floor", (
                f"{far} In exact arithmetic it would be {foreseen:.2g}: what is left is the rounding of float32. "
                "Train with dtype='float64'."
            )
        return "disagree", (
            f"{far} Theory predicts {foreseen:.2g} for this run, and neither rows, columns, learning rate nor precision explain "
            "the rest: the loop did something else than its recipe says."
        )
    variance = fit.mse_resid / problem.scale[-1] ** 2
    target = tau**2 * variance / problem.n  # n (L - L*) / sigma^2 <= tau^2 puts every combination within tau
    c = lam.vectors.T @ (run.loop.start - problem.from_units(fit.solution.params))
    needed = theory.epochs_until(lam, c, descent, target)
    at_best = theory.epochs_until(lam, c, theory.Descent(lr=run.theory.lr_best), target)
    more = (
        "" if needed is None else f"{counted(max(needed - run.recipe.epochs, 1), 'more epoch')} at lr={run.recipe.lr:g} would do. "
    )
    best = "" if at_best is None else f"At the best rate, lr={run.theory.lr_best:.4g}, {counted(at_best, 'epoch')} from the start."
    return "not converged", f"{far} {more}{best}".strip()
