"""The cause of a gap in a run that finished: frozen parameters, another loss, rounding, weight decay or the noise of batches.

A cause is named only if it explains the gap: the run has come near the point where that cause makes it rest.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from squarely.certification.advice import explain_shortfall
from squarely.certification.discrepancy import CHANCE_FACTOR, LOSS_NAMES, Discrepancy, in_standard_errors, join_sentences
from squarely.errors import join_words, pluralize
from squarely.numerics import ROUNDOFF
from squarely.types import Verdict

_FEW_ROUNDINGS = 10.0  # so near, rounding moves the coefficients as much as the gradient does
_UNEXPLAINED_FRACTION = 0.5  # of the gap: a cause that leaves more of it open is not named


def explain_gap(case: Discrepancy) -> tuple[Verdict, str]:
    """Return the verdict and its cause in sentences, for a run that is more than tau standard errors away."""
    judges = (_judge_frozen, _judge_other_loss, _judge_rounding, _judge_decay, _judge_batches, explain_shortfall)
    judge, (verdict, cause) = next((judge, found) for judge in judges if (found := judge(case)))
    return verdict, cause if judge is _judge_rounding else f"{case.gap_sentence} {cause}"


def _judge_frozen(case: Discrepancy) -> tuple[Verdict, str] | None:
    """Judge a run with parameters that no step moves, if the best values of the others are too far away."""
    run = case.run
    if run.optimizer is None:
        return None

    def is_frozen(parameter: Any, group: dict[str, Any] | None) -> bool:
        return not parameter.requires_grad or group is None or (run.options.scheduler is None and float(group["lr"]) == 0.0)

    names = [repr(name) for name, frozen in case.per_parameter(is_frozen).items() if frozen]
    if not names:
        return None
    what = f"No step moves the parameters {join_words(names)}: they are frozen, not in the optimizer, or have a rate of zero."
    mask = case.per_coefficient(is_frozen)
    if mask is None or not case.is_least_squares:
        return "frozen", f"{what} Train all parameters."
    free, w = mask == 0.0, run.result.end.copy()
    H, h = run.problem.H, run.problem.h
    w[free] = np.linalg.lstsq(H[np.ix_(free, free)], h[free] - H[np.ix_(free, ~free)] @ w[~free], rcond=None)[0]
    remaining = case.distance(w)
    if not remaining > case.tau:
        return None
    return "frozen", f"{what} The best of the others is {in_standard_errors(remaining)} from least squares. Train all parameters."


def _judge_other_loss(case: Discrepancy) -> tuple[Verdict, str] | None:
    """Judge a run that minimized another loss and has come near its optimum."""
    if case.is_least_squares:
        return None
    fit, run, optimum = case.fit, case.run, case.estimate_optimum()
    away, move = case.distance(run.result.end, optimum), case.distance(optimum)
    if not away <= _UNEXPLAINED_FRACTION * case.max_gap:
        return None
    least = fit.solution.ssr / fit.nobs
    ratio = 1.0 + case.excess * float(run.problem.scale[-1]) ** 2 / least if least > 0 else np.inf
    near = f", and the run is within {away:.2g} of it" if away > case.tau else ""
    return "other loss", (
        f"The training minimized the {LOSS_NAMES[run.options.loss]}. Its optimum is about {in_standard_errors(move)} from that of "
        f"least squares{near}, so the gap is not an error. Its mean squared error is {ratio:.4g} times the least. loss='mse' is "
        "least squares."
    )


def _judge_rounding(case: Discrepancy) -> tuple[Verdict, str] | None:
    """Judge a run that is as near as its precision allows: the excess that remains is rounding."""
    fit, run = case.fit, case.run
    single = run.options.dtype == "float32"
    if fit.solution.ssr <= (4 * ROUNDOFF) ** 2 * fit.uncentered_tss:  # standard errors are rounding themselves
        perfect = "The data lie on the line to rounding, so no standard error can measure the gap; it is the rounding of"
        if case.is_rounding("float64"):
            return "agree", f"{perfect} float64."
        if case.is_rounding("float32") and single:
            return "float32 floor", f"{perfect} float32. Train with dtype='float64'."
        return None
    if case.is_rounding("float64"):
        return "float64 floor", "The gap that remains is the rounding of float64. Training in double precision cannot come nearer."
    has_theory = run.prediction is not None or run.theory.floor
    stops_early = any(group.get("tolerance_grad") or group.get("tolerance_change") for group in case.groups)  # LBFGS
    near = case.is_rounding("float32", roundings=_FEW_ROUNDINGS)
    if run.options.is_full_batch and not has_theory and not stops_early and single and near:
        return "float32 floor", (
            f"{case.gap_sentence} It has the size of the rounding of float32, which can keep it there for any number of epochs. "
            "Train with dtype='float64'."
        )
    return None


def _judge_decay(case: Discrepancy) -> tuple[Verdict, str] | None:
    """Judge a run whose weight decay pulls its coefficients towards zero, and that is near the point where it rests."""
    rest = case.resting_point
    if rest is None:
        return None
    away = case.distance(case.run.result.end, rest)
    if not away <= _UNEXPLAINED_FRACTION * case.max_gap:
        return None
    alpha = f" with alpha={case.ridge_alpha:.6g}" if case.ridge_alpha else ""
    near = (
        f"the run is {away:.2g} from that point" if away > 0.1 * case.max_gap else f"the answer is that of ridge regression{alpha}"
    )
    return "penalized", f"{case.describe_decay(rest)}: {near}. Train with weight_decay=0."


def _judge_batches(case: Discrepancy) -> tuple[Verdict, str] | None:
    """Judge a run that the noise of its batches keeps away from the optimum, if theory knows the size of that noise."""
    run, facts, tau = case.run, case.run.theory, case.tau
    if facts.floor is None or facts.floor_se is None or facts.batches is None or facts.noise is None:
        return None
    expected = facts.floor if run.prediction is None else float(run.prediction.excess[-1])
    if facts.floor_se <= tau or expected > 2.0 * facts.floor:
        return None  # the start still matters: more epochs help
    if case.excess > CHANCE_FACTOR * expected:
        if facts.is_floor_rough or facts.noise.gaussian:
            return None
        if run.options.dtype == "float32" and case.is_rounding("float32"):
            return "float32 floor", "Mini-batch noise does not explain the rest, which has the size of the rounding of float32."
        return "disagree", (
            f"Mini-batch noise explains only {facts.floor_se:.2g} on average: the loop did something other than its options say, "
            "or the rows are in an order that matters."
        )
    least = "at least " if facts.is_floor_rough else ""
    return "batch noise", join_sentences(
        f"Mini-batch noise keeps it {least}about {in_standard_errors(facts.floor_se)} from the optimum at lr={run.options.rate:g},",
        f"with {pluralize(facts.batches.batch_size, 'row')} a batch, no matter how long you train.",
        f"lr={facts.rate_for_distance(tau)} would bring that to about {tau:g}; a schedule that decays to zero or average=True",
        "brings it nearer too.",
    )
