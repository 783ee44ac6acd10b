"""Find what is wrong with the intercept of an answer, or with the order of its coefficients."""

from __future__ import annotations

import numpy as np

from squarely.certification.answers.mismatch import Mismatch
from squarely.certification.certificate import largest_gap
from squarely.numerics import Array


def judge_intercept(case: Mismatch) -> str:
    """Say what is wrong with the intercept, if the slopes are near those of least squares; "" if that is not the case."""
    if not case.has_intercept:
        level = case.answer.intercept
        if not level:
            return ""
        return f"The answer has an intercept of {level:.6g}, and the formula has none. Remove '- 1' or '+ 0' from the formula."
    slopes_gap = largest_gap((case.given - case.exact)[1:], case.unit[1:]) if len(case.exact) > 1 else np.inf
    if not slopes_gap <= min(case.tau, case.tolerance(0.01)):
        return ""
    level, exact = case.answer.intercept or 0.0, float(case.exact[0])
    error = _describe_level(case, level, exact)
    if not error and slopes_gap <= case.tolerance(1e-5):
        error = f"is {level:.6g} instead of {exact:.6g}. Look at how it was computed."
    return f"The slopes are those of least squares, and the intercept {error}" if error else ""


def _describe_level(case: Mismatch, level: float, exact: float) -> str:
    """Say which usual error the intercept has, "" for none."""
    mean = float(case.problem.shift[-1])
    errors = (
        (0.0, f"is missing. Add it: {exact:.6g}. Of columns and a response that are centered it is zero."),
        (
            mean,
            "is the mean of the response, as for columns that are centered. Subtract the slopes times the means of the columns.",
        ),
        (exact - mean, "lacks the mean of the response: a bias is missing, or the response was centered. Add the mean."),
        (exact / 2.0, "is half of the exact one, as for a column of ones beside an intercept, which share it. Add up both."),
        (exact * 2.0, "is twice the exact one: it was counted twice. Leave out the column of ones, or the intercept."),
    )
    near = max(case.tau, 0.01 * case.gap) * case.unit[0]
    return next((text for value, text in errors if abs(level - value) <= (near if value else 0.0)), "")


def fit_through_origin(case: Mismatch) -> Array | None:
    """Return the coefficients (p,) of the regression without an intercept, the intercept zero; None if the formula has none."""
    if not case.has_intercept or len(case.exact) < 2:
        return None
    raw = case.raw_problem
    return np.concatenate([[0.0], np.linalg.lstsq(raw.H[1:, 1:], raw.h[1:], rcond=None)[0]])


def predict_mean(case: Mismatch) -> Array:
    """Return the coefficients (p,) that predict the mean of the response in every row of a formula with an intercept."""
    return np.concatenate([[float(case.problem.shift[-1])], np.zeros(len(case.slopes))])


def find_order(case: Mismatch) -> tuple[str, ...]:
    """Return the names of the coefficients in the order of the answer, if it has no names and another order explains it."""
    if case.answer.has_names or len(case.given) < 2:
        return ()
    distance = np.abs(case.given[:, None] - case.exact) / case.unit
    place = distance.argmin(axis=1)
    if len({*place.tolist()}) < len(place) or (place == np.arange(len(place))).all():
        return ()
    if distance.min(axis=1).max() > max(case.tau, 1e-3 * case.gap):
        return ()
    return tuple(case.fit.design.names[j] for j in place)


def find_left_out(case: Mismatch) -> tuple[str, ...]:
    """Return the columns with a coefficient of zero, if the others are the least squares fit without them."""
    first = int(case.has_intercept)
    out = np.concatenate([np.zeros(first, dtype=bool), case.answer.slopes == 0.0])
    if not out.any() or (out[first:].all() and not first):
        return ()
    H, h = case.problem.H, case.problem.h
    w = np.zeros(len(h))
    w[~out] = np.linalg.lstsq(H[np.ix_(~out, ~out)], h[~out], rcond=None)[0]
    if not case.is_explained_by(case.problem.to_data_units(w)):
        return ()
    return tuple(name for name, left_out in zip(case.fit.design.names, out, strict=True) if left_out)
