"""Why a run that went well ended away from least squares: parameters that stay, another aim, rounding, or the noise of batches.

A cause is named where it explains the gap: where the run has come near the point at which that cause lets it rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from squarely.certification.advice import explain_shortfall
from squarely.certification.evidence import (
    CHANCE_FACTOR,
    LOSS_NAMES,
    Evidence,
    describe_decay,
    is_least_squares,
    join_sentences,
    optimum_of,
    other_loss_optimum,
    response_variance,
    resting_point,
)
from squarely.errors import join_words, pluralize
from squarely.inference import Fit
from squarely.numerics import ROUNDOFF

if TYPE_CHECKING:
    from squarely.descent import Training

_ROUNDINGS = 100.0  # how many roundings of a standardised coefficient a converged run may be off
_FEW_ROUNDINGS = 10.0  # so near that rounding moves the coefficients as much as the gradient does
_EXPLAINED_FRACTION = 0.5  # of the gap: a cause that leaves more of it open is not named


def explain_gap(fit: Fit, run: Training, *, excess: float, tau: float, max_gap: float) -> tuple[str, str]:
    """Give the verdict and its cause in sentences, for a run that is more than tau standard errors away."""
    case = Evidence(fit=fit, run=run, excess=excess, tau=tau, max_gap=max_gap)
    for cause in (_judge_frozen, _judge_other_loss, _judge_rounding, _judge_decay, _judge_batches):
        found = cause(case)
        if found is not None:
            verdict, said = found
            return verdict, said if verdict in {"agree", "float32 floor", "float64 floor"} else f"{case.gap_sentence} {said}"
    verdict, said = explain_shortfall(case)
    return verdict, f"{case.gap_sentence} {said}"


def _judge_frozen(case: Evidence) -> tuple[str, str] | None:
    """Judge a run some of whose parameters no step moves, where the best of the others is too far away."""
    run = case.run
    if run.optimizer is None:
        return None
    steady = run.options.scheduler is None

    def stays(parameter: Any, group: dict[str, Any] | None) -> bool:
        return not parameter.requires_grad or group is None or (steady and float(group["lr"]) == 0.0)

    held = {id(parameter): group for group in case.groups for parameter in group["params"]}
    names = [repr(name) for name, parameter in run.model.named_parameters() if stays(parameter, held.get(id(parameter)))]
    if not names:
        return None
    what = f"No step moves the parameters {join_words(names)}: they are frozen, not in the optimiser, or have a rate of zero."
    mask = case.per_coefficient(stays)
    if mask is None or not is_least_squares(case):
        return "frozen", f"{what} Let all parameters be trained."
    free, w = mask == 0.0, run.result.end.copy()
    H, h = run.problem.H, run.problem.h
    w[free] = np.linalg.lstsq(H[np.ix_(free, free)], h[free] - H[np.ix_(free, ~free)] @ w[~free], rcond=None)[0]
    kept = case.distance(w, optimum_of(case.fit, run))
    if not kept > case.tau:
        return None
    return (
        "frozen",
        f"{what} The best of the others is {kept:.2g} standard errors from least squares. Let all parameters be trained.",
    )


def _judge_other_loss(case: Evidence) -> tuple[str, str] | None:
    """Judge a run that had another aim than least squares, and has come near it."""
    if is_least_squares(case):
        return None
    fit, run = case.fit, case.run
    aim = other_loss_optimum(case)
    away, move = case.distance(run.result.end, aim), case.distance(aim, optimum_of(fit, run))
    if not away <= _EXPLAINED_FRACTION * case.max_gap:
        return None
    least = fit.solution.ssr / fit.nobs
    ratio = 1.0 + case.excess * float(run.problem.scale[-1]) ** 2 / least if least > 0 else np.inf
    near = f", and the run is within {away:.2g} of it" if away > case.tau else ""
    return "other loss", (
        f"The training minimised the {LOSS_NAMES[run.options.loss]}, whose optimum is about {move:.2g} standard errors "
        f"from that of "
        f"least squares{near}: the gap is no error. Its mean squared error is {ratio:.4g} times the least. loss='mse' is least "
        "squares."
    )


def _judge_rounding(case: Evidence) -> tuple[str, str] | None:
    """Judge a run that is as near as its precision allows: what is left of the excess is rounding."""
    fit, run, excess = case.fit, case.run, case.excess
    unit = response_variance(run)
    near = {name: excess <= unit * (_ROUNDINGS * np.finfo(name).eps) ** 2 for name in ("float64", "float32")}
    if fit.solution.ssr <= (4 * ROUNDOFF) ** 2 * fit.uncentered_tss:  # standard errors are rounding themselves
        said = "The data lie on the line to rounding, so no standard error can measure the gap; it is the rounding of"
        if near["float64"]:
            return "agree", f"{said} float64."
        if near["float32"] and run.options.dtype == "float32":
            return "float32 floor", f"{said} float32. Train with dtype='float64'."
        return None
    if near["float64"]:
        return "float64 floor", "What is left of the gap is the rounding of float64: no training in double precision comes nearer."
    known = run.prediction is not None or run.theory.floor
    own = any(group.get("tolerance_grad") or group.get("tolerance_change") for group in case.groups)  # LBFGS ends by itself
    if (
        run.options.is_full_batch
        and not known
        and not own
        and run.options.dtype == "float32"
        and excess <= unit * (_FEW_ROUNDINGS * np.finfo("float32").eps) ** 2
    ):
        return "float32 floor", (
            f"{case.gap_sentence} It is of the size of the rounding of float32, which can keep it there however long "
            f"the run. Train with "
            "dtype='float64'."
        )
    return None


def _judge_decay(case: Evidence) -> tuple[str, str] | None:
    """Judge a run whose weight decay pulls its coefficients towards zero, and that has come near the point at which it rests."""
    rest, run = resting_point(case), case.run
    if rest is None:
        return None
    away = case.distance(run.result.end, rest)
    if not away <= _EXPLAINED_FRACTION * case.max_gap:
        return None
    near = f"the run is {away:.2g} from that point" if away > 0.1 * case.max_gap else "the answer is that of ridge regression"
    return "penalised", f"{describe_decay(case, rest)}: {near}. Train with weight_decay=0."


def _judge_batches(case: Evidence) -> tuple[str, str] | None:
    """Judge a run that the noise of its batches keeps away from the optimum, however long it goes on, where theory knows it."""
    run, known, tau = case.run, case.run.theory, case.tau
    if known.floor is None or known.floor_se is None or known.batches is None or known.noise is None:
        return None
    ends = known.floor if run.prediction is None else float(run.prediction.excess[-1])
    if known.floor_se <= tau or ends > 2.0 * known.floor:
        return None  # the start has not been forgotten yet: more epochs do help
    if case.excess > CHANCE_FACTOR * ends:
        if known.is_floor_rough or known.noise.gaussian:
            return None
        if run.options.dtype == "float32" and case.excess <= response_variance(run) * (_ROUNDINGS * np.finfo("float32").eps) ** 2:
            return (
                "float32 floor",
                f"{case.gap_sentence} What the noise of batches leaves open is of the size of the rounding of float32.",
            )
        return "disagree", (
            f"The noise of batches explains {known.floor_se:.2g} on the average, and not as much: the loop did something else than "
            "its recipe says, or the rows are in an order that matters."
        )
    least = "at least " if known.is_floor_rough else ""
    return "batch noise", join_sentences(
        f"The noise of batches of {pluralize(known.batches.batch_size, 'row')} keeps it {least}about {known.floor_se:.2g} standard",
        f"errors away from the optimum at lr={run.options.rate:g}, however long they train.",
        f"lr={known.rate_for_distance(tau)} would bring that to about {tau:g}; a schedule that lets the rate die out "
        f"and average=True",
        "bring it nearer too.",
    )
