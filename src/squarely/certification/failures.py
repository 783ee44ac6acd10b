"""What keeps a run and a fit from being compared: other rows, or a run that diverged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from squarely.certification.discrepancy import Discrepancy
from squarely.errors import pluralize
from squarely.inference import Fit
from squarely.moments import Moments
from squarely.types import Verdict

if TYPE_CHECKING:
    from squarely.descent import Training


def has_same_rows(a: Moments, b: Moments) -> bool:
    """Return whether both have the same rows, by counts and by means and covariances of all columns up to rounding.

    The causes of dropped rows are not compared: NULL in a file is NaN in a frame, and the row is dropped in both.
    """
    one, other = a.design.formula, b.design.formula
    if a.account.read != b.account.read or (a.n, a.nobs) != (b.n, b.nobs) or (one.weights is None) != (other.weights is None):
        return False
    sd = np.sqrt(a.variances)
    size = np.abs(a.means) + sd
    tolerance = 1e-9 * np.outer(sd, sd)
    if not a.design.intercept:  # columns are not centered, so a covariance is known only relative to the means
        tolerance = tolerance + 1e-12 * np.outer(size, size)
    same_means = np.abs(a.means - b.means) <= 1e-12 * size
    return bool(same_means.all() and (np.abs(a.covariances - b.covariances) <= tolerance).all())


def describe_difference(fit: Fit, run: Training) -> str:
    """Say that the rows of both differ, or that one of both has weights."""
    options = {"fit": fit.design.formula.weights_option, "run": run.moments.design.formula.weights_option}
    for name, other in (("fit", "run"), ("run", "fit")):
        for option, text in options[name].items() if not options[other] else ():
            return (
                f"The {name} has {option}={text!r}, and the {other} has no weights, so their answers differ. Give both the same "
                "weights."
            )
    more = ", with the same weights" if options["fit"] else ""
    return (
        f"The fit used {pluralize(fit.nobs, 'row')} and the run {pluralize(run.moments.nobs, 'row')}, or other values in them, "
        f"so their answers may differ. Give both the same data: squarely.ols(formula, run.source) fits the rows of the run{more}."
    )


def judge_failure(case: Discrepancy, *, near: bool) -> tuple[Verdict, str] | None:
    """Judge a run that moved away from the optimum, or whose loss is not a finite number."""
    run, options, limit = case.run, case.run.options, case.run.theory.lr_limit
    if not near and any(group.get("maximize") for group in case.groups):
        return "ascent", "maximize=True makes the optimizer go up the loss, away from least squares. Leave it out."
    if run.status == "not finite":
        return "not finite", f"{run.result.stop_reason.reason} Look at the rows and the model of that step."
    above = limit is not None and options.is_full_batch and options.scheduler is None and options.rate >= limit
    if run.result.has_diverged or (above and not near):  # steps on all rows above the limit diverge with more epochs
        return "diverged", _describe_large_rate(case)
    return None


def _describe_large_rate(case: Discrepancy) -> str:
    run, facts, options, advised = case.run, case.run.theory, case.run.options, case.run.theory.rate_and_limit
    if options.scheduler is not None:
        rates = run.result.history.columns.get("lr", ())
        rate = f"The schedule's rate of up to {max(rates):g}" if len(rates) else "The schedule's rate"
        constant = "" if advised is None or facts.batches is not None else f" The limit of a constant rate is {advised[1]}."
        return f"{rate} is too large for these columns.{constant} Try a smaller one."
    lr = max((float(group["lr"]) for group in case.groups), default=options.rate)
    large = f"lr={lr:g} is too large for these columns."
    if advised is None or facts.lr_limit is None or options.rate < facts.lr_limit:
        return f"{large} Try a smaller one."
    if facts.batches is not None:
        return f"{large} The limit {facts.limit_label} is {advised[1]}: try lr={advised[0]}."
    return f"{large} The limit is {advised[1]} and the best rate {advised[0]}: train with that."
