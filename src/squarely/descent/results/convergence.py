"""Where a run ended: its status, its distance from least squares in standard errors, and what would bring it nearer."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from squarely import theory
from squarely.descent.loop.result import LoopResult
from squarely.descent.options.options import TrainingOptions
from squarely.descent.options.value_checks import stop_distance
from squarely.descent.run_theory.limits import (
    MAX_NOISE_SE,
    MAX_REMAINING_ERROR,
    RunTheory,
    describe_slowness,
    distance_warnings,
    remaining_error,
)
from squarely.errors import pluralize
from squarely.moments import StandardizedProblem
from squarely.types import Status

TOLERANCE = 0.01  # standard errors, as in `certify`
_MANY_EPOCHS = 10**7
_CHANCE_FACTOR = 3.0  # times its mean: a distance that the noise of batches reaches in less than one of 300 runs
FAILED = ("diverged", "not finite")  # the parameters of such a run are not an answer


def measure_distance(
    problem: StandardizedProblem, run_theory: RunTheory, options: TrainingOptions, result: LoopResult
) -> float | None:
    """Return the distance from least squares, in standard errors of the combination of coefficients that is farthest away.

    It follows from the gradient H w - h at the end, in float64. It is None where a run has another optimum (another loss, weight
    decay), where least squares has no single one, and where there is no standard error: too few rows, or data on a line exactly.
    """
    decays = [group.weight_decay for group in options.parameter_groups] or [options.weight_decay]
    w, df_resid = result.end, problem.nobs - len(problem.names)
    if options.loss != "mse" or any(decays) or result.stop_reason.status in FAILED or not np.isfinite(w).all():
        return None
    distance = theory.standard_errors_away(run_theory.spectrum, problem.H @ w - problem.h, problem.loss(w), problem.nobs, df_resid)
    return distance if math.isfinite(distance) else None


def judge_end(run_theory: RunTheory, options: TrainingOptions, result: LoopResult, distance: float | None) -> Status:
    """Return the status of a run: "converged" if it is within the tolerance, else how it ended."""
    ended = result.stop_reason.status
    if ended in FAILED:
        return ended
    if distance is not None and distance <= (stop_distance(options) or TOLERANCE):
        return "converged"
    is_best_epoch = result.stop_reason.restored_epoch is not None  # by the user's own rule
    is_done = distance is None or is_best_epoch or _is_at_noise(run_theory, options, distance)
    return "epochs used up" if ended == "finished" and not is_done else ended


def _is_at_noise(run_theory: RunTheory, options: TrainingOptions, distance: float) -> bool:
    """Return whether a run is as near as the noise of its batches lets it come, so that more epochs bring it no nearer."""
    floor_se = run_theory.floor_se
    if not floor_se or stop_distance(options) is not None or distance > _CHANCE_FACTOR * floor_se:
        return False
    return remaining_error(run_theory, options, options.rate) <= MAX_REMAINING_ERROR


def describe_end(
    problem: StandardizedProblem, run_theory: RunTheory, options: TrainingOptions, result: LoopResult, distance: float | None
) -> tuple[str, ...]:
    """Say why a run ended before its last epoch, and how far away it is after its last one; nothing if it has converged."""
    if result.has_diverged:
        return (_describe_divergence(run_theory, options, result),)
    reasons = [result.stop_reason.reason] if result.stop_reason.reason else []
    if distance is not None and _is_far(run_theory, options, result, distance):
        reasons.append(_describe_shortfall(problem, run_theory, options, result, distance))
    return tuple(reasons)


def select_warnings(run_theory: RunTheory, options: TrainingOptions, result: LoopResult, distance: float | None) -> tuple[str, ...]:
    """Return the warnings of theory, without those on how far away the run ends if `describe_end` says that, with one advice."""
    if distance is None or not _is_far(run_theory, options, result, distance):
        return run_theory.warnings
    repeated = distance_warnings(run_theory, options)
    return tuple(warning for warning in run_theory.warnings if warning not in repeated)


def _is_far(run_theory: RunTheory, options: TrainingOptions, result: LoopResult, distance: float) -> bool:
    """Return whether a run has taken all its epochs and ended far away."""
    status, is_best_epoch = judge_end(run_theory, options, result, distance), result.stop_reason.restored_epoch is not None
    return status == "epochs used up" or (status == "finished" and not is_best_epoch)


def _describe_divergence(run_theory: RunTheory, options: TrainingOptions, result: LoopResult) -> str:
    epoch, advice = len(result.losses) - 1, run_theory.rate_and_limit
    groups: list[dict[str, Any]] = [] if result.optimizer is None else result.optimizer.param_groups
    logged = result.history.columns.get("lr")
    if options.scheduler is not None and logged is not None and epoch > 0:
        rate = f"after an epoch that began with lr={logged[epoch - 1]:g}"
    else:
        rate = f"with lr={groups[0]['lr'] if groups else options.rate:g}"
    message = f"The loss grew past all bounds and training stopped at epoch {epoch:,} {rate}."
    if any(group.get("maximize") for group in groups):
        return f"{message} maximize=True goes up the loss."
    if advice is None:
        return f"{message} Try a smaller lr."
    best, limit = advice
    if run_theory.batches is not None:
        return f"{message} The limit {run_theory.limit_label} is {limit}. Try lr={best}."
    kind = "here" if options.scheduler is None else "of a constant rate"
    return f"{message} The limit {kind} is {limit}, and the best rate {best}."


def _describe_shortfall(
    problem: StandardizedProblem, run_theory: RunTheory, options: TrainingOptions, result: LoopResult, distance: float
) -> str:
    """Say how far away a run ended that used up its epochs, and what would bring it nearer."""
    taken = pluralize(len(result.losses) - 1, "epoch")
    is_constant = options.scheduler is None and len(options.parameter_groups) < 2 and not math.isnan(options.rate)
    rate = f" at lr={options.rate:g}" if is_constant else ""
    still = "" if _is_at_noise(run_theory, options, distance) else "still "
    away = f"After {taken}{rate} the coefficients are {still}{distance:.2g} standard errors from least squares."
    if endless := [group.momentum for group in options.parameter_groups if (group.momentum or 0.0) >= 1]:
        return f"{away} A momentum of {endless[0]:g} keeps the steps from getting smaller: use one below 1, such as 0.9."
    if not options.is_full_batch:
        return f"{away} {_advise_batches(run_theory, options, distance)}"
    if options.scheduler is None and options.average is None and options.descent is not None and run_theory.lr_limit is not None:
        return f"{away} {_advise_by_theory(problem, run_theory, options, result, options.descent)}"
    return f"{away} Try more epochs, another lr or another schedule."


def _advise_batches(run_theory: RunTheory, options: TrainingOptions, distance: float) -> str:
    if options.average is None and (slowness := describe_slowness(run_theory, options)):
        return slowness
    average = "" if options.average is not None or options.stop is not None else f"average={options.epochs // 2}, "
    floor_se, lr = run_theory.floor_se, "a smaller lr"
    if floor_se is not None and MAX_NOISE_SE < floor_se < math.inf:
        lr = f"lr={run_theory.rate_for_distance(MAX_NOISE_SE)}"
    size = f" of {pluralize(options.batch_size or 0, 'row')}"
    if floor_se is not None and _is_at_noise(run_theory, options, distance):
        least = "at least " if run_theory.is_floor_rough else ""
        return f"The noise of batches{size} keeps them {least}about {floor_se:.2g} away. Try {average}{lr} or larger batches."
    return f"The noise of batches may keep them there: try {average}{lr} or larger batches."


def _advise_by_theory(
    problem: StandardizedProblem, run_theory: RunTheory, options: TrainingOptions, result: LoopResult, descent: theory.Descent
) -> str:
    """Say after how many epochs the run would be within the tolerance, at its learning rate and at the best one."""
    lam, tolerance = run_theory.spectrum, stop_distance(options) or TOLERANCE
    optimum = theory.fixed_point(lam, problem.h)
    c, target = lam.vectors.T @ (result.start - optimum), tolerance**2 * problem.loss(optimum) / (problem.nobs - len(problem.names))
    best = float(run_theory.rate_and_limit[0]) if run_theory.rate_and_limit is not None else descent.lr
    needed, at_best = (theory.epochs_until(lam, c, replace(descent, lr=lr), target) for lr in (descent.lr, best))
    if needed is not None and needed <= options.epochs:
        return f"In exact arithmetic they would be within {tolerance:g}: try dtype='float64'."
    if at_best is None or at_best > _MANY_EPOCHS:
        return "No constant lr is near in a practical number of epochs: try optimizer='lbfgs', or standardize=True."
    if needed is None or at_best < 0.9 * needed:
        return f"Give lr={best:g} and epochs={at_best}."
    return f"Give epochs={needed}; momentum=0.9 may need fewer." if not descent.momentum else f"Give epochs={needed}."
