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
from squarely.descent.run_theory.limits import RunTheory
from squarely.errors import pluralize
from squarely.moments import StandardizedProblem
from squarely.types import Status

TOLERANCE = 0.01  # standard errors, as in `certify`
_MANY_EPOCHS = 10**7
FAILED = ("diverged", "not finite")  # the parameters of such a run are not an answer


def measure_distance(
    problem: StandardizedProblem, run_theory: RunTheory, options: TrainingOptions, result: LoopResult
) -> float | None:
    """Return the distance from least squares, in standard errors of the combination of coefficients that is farthest away.

    It follows from the gradient H w - h at the end, in float64. It is None where a run has another optimum (another loss, weight
    decay), where least squares has no single one, and where there is no standard error: too few rows, or data on a line exactly.
    """
    decays = [group.weight_decay for group in options.parameter_groups] or [options.weight_decay]
    w, df_resid = result.end, problem.n - len(problem.names)
    if options.loss != "mse" or any(decays) or result.stop_reason.status in FAILED or not np.isfinite(w).all():
        return None
    distance = theory.standard_errors_away(run_theory.spectrum, problem.H @ w - problem.h, problem.loss(w), problem.n, df_resid)
    return distance if math.isfinite(distance) else None


def judge_end(result: LoopResult, options: TrainingOptions, distance: float | None) -> Status:
    """Return the status of a run: "converged" if it is within the tolerance, else how it ended."""
    ended = result.stop_reason.status
    if ended in FAILED:
        return ended
    if distance is not None and distance <= (stop_distance(options) or TOLERANCE):
        return "converged"
    is_best_epoch = result.stop_reason.restored_epoch is not None  # by the user's own rule
    return "epochs used up" if ended == "finished" and distance is not None and not is_best_epoch else ended


def describe_end(
    problem: StandardizedProblem, run_theory: RunTheory, options: TrainingOptions, result: LoopResult, distance: float | None
) -> tuple[str, ...]:
    """Say why a run ended before its last epoch, and how far away it is if it used up its epochs; nothing if neither."""
    if result.has_diverged:
        return (_describe_divergence(run_theory, options, result),)
    reasons = [result.stop_reason.reason] if result.stop_reason.reason else []
    if distance is not None and judge_end(result, options, distance) == "epochs used up":
        reasons.append(_describe_shortfall(problem, run_theory, options, result, distance))
    return tuple(reasons)


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
    away = f"After {taken}{rate} the coefficients are still {distance:.2g} standard errors from least squares."
    if options.scheduler is None and options.average is None and options.descent is not None and run_theory.lr_limit is not None:
        return f"{away} {_advise_by_theory(problem, run_theory, options, result, options.descent)}"
    if not options.is_full_batch:
        return f"{away} {_advise_batches(options)}"
    return f"{away} Try more epochs, another lr or another schedule."


def _advise_batches(options: TrainingOptions) -> str:
    average = "" if options.average is not None or options.stop is not None else f"average={options.epochs // 2}, "
    return f"The noise of batches may keep them there: try {average}a smaller lr or larger batches."


def _advise_by_theory(
    problem: StandardizedProblem, run_theory: RunTheory, options: TrainingOptions, result: LoopResult, descent: theory.Descent
) -> str:
    """Say after how many epochs the run would be within the tolerance, at its learning rate and at the best one."""
    if not options.is_full_batch:
        return _advise_batches(options)
    lam, tolerance = run_theory.spectrum, stop_distance(options) or TOLERANCE
    optimum = theory.fixed_point(lam, problem.h)
    c, target = lam.vectors.T @ (result.start - optimum), tolerance**2 * problem.loss(optimum) / (problem.n - len(problem.names))
    best = float(run_theory.rate_and_limit[0]) if run_theory.rate_and_limit is not None else descent.lr
    needed, at_best = (theory.epochs_until(lam, c, replace(descent, lr=lr), target) for lr in (descent.lr, best))
    if needed is not None and needed <= options.epochs:
        return f"In exact arithmetic they would be within {tolerance:g}: try dtype='float64'."
    if at_best is None or at_best > _MANY_EPOCHS:
        return "No constant lr is near in a practical number of epochs: try optimizer='lbfgs', or standardize=True."
    if needed is None or at_best < 0.9 * needed:
        return f"Give lr={best:g} and epochs={at_best}."
    return f"Give epochs={needed}; momentum=0.9 may need fewer." if not descent.momentum else f"Give epochs={needed}."
