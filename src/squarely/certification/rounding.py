"""How far the rounding of float32 or float64 may keep a run from the optimum, and the sentence that explains a small gap."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from squarely import theory
from squarely.certification.certificate import largest_gap
from squarely.certification.discrepancy import Discrepancy
from squarely.moments import StandardizedProblem
from squarely.numerics import ROUNDOFF, Array

_STORED_ROUNDINGS = 3.0  # of each product: the predictor and the response as stored, and the product
_EXPLAINED_FRACTION = 0.1  # of the gap: with less left, the prediction explains it all


def describe_small_gap(case: Discrepancy, reach: float) -> str:
    """Explain a gap below tau in a sentence, by theory and by the rounding that can `reach` so far, or say that they do not."""
    if not case.max_gap > 0:
        return ""
    prediction, dtype = case.run.prediction, case.dtype
    if prediction is None:
        known = f"Rounding of {dtype} explains it: that can reach {reach:.2g}."
        unknown = f"Theory has no curve for this run, and rounding of {dtype} reaches only {reach:.2g}: the cause is not known."
        return known if case.max_gap <= reach else unknown
    predicted, rest = largest_gap(prediction.gap, case.fit.standard_errors), case.unpredicted_gap
    if prediction.form:
        return f"From the noise of its batches theory expects about {predicted:.2g}."
    if rest <= _EXPLAINED_FRACTION * case.max_gap:
        return "Theory predicts this gap for these epochs."
    exact = f"Theory predicts {f'a gap of {predicted:.2g}' if predicted else 'no gap'}"
    known = f"{exact}; the rest is rounding of {dtype}, which can reach {reach:.2g} here."
    return (
        known if rest <= reach else f"{exact}, and rounding of {dtype} reaches only {reach:.2g}: nothing known explains the rest."
    )


def rounding_gap(case: Discrepancy) -> float:
    """Return the largest gap, in standard errors, that the rounding of the run's dtype is expected to leave.

    With u the unit roundoff, one step rounds w by up to u |w|. The gradient is off by up to e = u (2/n) (sqrt(n) |X|'|r| + 3 |X|'
    (|X| |w| + |y|)), which the Cauchy-Schwarz inequality bounds from second moments. In an eigendirection of curvature lam, where
    the error shrinks by rho an epoch, roundings of w add up to u |w| / (1 - rho), and an error e of the gradient moves the point of
    rest by e / lam. The factor sqrt(n) holds with high probability, n always.
    Source: Higham and Mary (2019), doi:10.1137/18M1226312.
    """
    run, u = case.run, float(np.finfo(case.dtype).eps) / 2
    error = rounding_error(run.problem, run.theory.spectrum, run.result.end, u, _amplification(case))
    return largest_gap(error, case.fit.standard_errors)


def rounding_error(problem: StandardizedProblem, lam: theory.Spectrum, w: Array, u: float, amplification: Array) -> Array:
    """Return how far (p,) roundings of size u may move the coefficients w (p,) of a problem, in the units of the data.

    `amplification` (p,) is 1 / (1 - rho) for each eigendirection.
    """
    moving = slice(lam.flat_directions, None)
    sizes = np.sqrt(np.diag(problem.H) / 2)  # the root mean squares of the columns
    with np.errstate(over="ignore", invalid="ignore"):  # a run that diverged may be infinitely far away
        residual, products = np.sqrt(problem.loss(w)), np.abs(w) @ sizes + np.sqrt(problem.y2)
        e = 2 * u * sizes * (np.sqrt(problem.n) * residual + _STORED_ROUNDINGS * products)
        V = np.abs(lam.vectors[:, moving])
        error = V @ (u * amplification[moving] * (V.T @ np.abs(w)) + V.T @ e / lam.values[moving])
        error += 4 * ROUNDOFF * np.abs(w)  # of the conversion to the units of the data, which is in double
        slopes, shift = problem.slopes_in_units(error), np.abs(problem.shift)
        level = [problem.scale[-1] * error[0] + slopes @ shift[:-1] + 4 * ROUNDOFF * shift[-1]] if problem.intercept else []
        return np.concatenate([level, slopes])


def _amplification(case: Discrepancy) -> Array:
    """Return 1 / (1 - rho) for each eigendirection (p,), at most the number of epochs; one where no recurrence is known."""
    run, values = case.run, case.run.theory.spectrum.values
    descent, logged = run.options.descent, run.result.history.columns.get("lr", ())
    if descent is None or run.prediction is None or not run.options.is_full_batch:
        return np.ones(len(values))
    rates = [rate for rate in logged if rate > 0]
    slowest = replace(descent, lr=min(rates)) if rates else descent
    with np.errstate(over="ignore"):
        rho = np.abs(np.linalg.eigvals(np.nan_to_num(slowest.step(values)))).max(axis=1)
    gain: Array = 1.0 / np.maximum(1.0 - rho, 1.0 / max(case.epochs, 1))
    return gain
