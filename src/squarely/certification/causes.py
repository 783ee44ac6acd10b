"""Why a run that went well ended away from least squares: rounding, another aim, the noise of batches, or too few epochs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from squarely import theory
from squarely.certification.certificate import largest_gap
from squarely.errors import counted
from squarely.inference import Fit
from squarely.numerics import ROUNDOFF, Array

if TYPE_CHECKING:
    from squarely.descent import Training

_ROUNDINGS = 100.0  # how many roundings of a standardised coefficient a converged run may be off
_BY_CHANCE = 30.0  # times its mean: an excess that the noise of batches reaches less than once in ten million runs
_LOSSES = {"l1": "mean absolute error", "huber": "Huber's loss", "quantile": "quantile loss"}


def cause_of(fit: Fit, run: Training, *, excess: float, tau: float, largest: float) -> tuple[str, str]:
    """Give the verdict and its cause in sentences, for a run that is more than tau standard errors away."""
    far = f"The largest gap is {largest:.2g} standard errors."
    for cause in (_other_loss(fit, run, excess), _rounding(fit, run, excess), _decay(fit, run), _batches(run, excess, tau)):
        if cause is not None:
            verdict, said = cause
            return verdict, said if verdict in {"agree", "float32 floor", "float64 floor"} else f"{far} {said}"
    return _short_of_it(fit, run, tau=tau, far=far)


def optimum_of(fit: Fit, run: Training) -> Array:
    """Give the least squares solution (p,) in the standardised columns of the training, with all its digits."""
    return run.problem.from_scaled(fit.solution.b[0], fit.design)


def _other_loss(fit: Fit, run: Training, excess: float) -> tuple[str, str] | None:
    """Judge a run that had another aim than least squares: what can be compared is the mean squared error of both."""
    if run.recipe.loss == "mse":
        return None
    least = fit.solution.ssr / fit.nobs
    ratio = 1.0 + excess * float(run.problem.scale[-1]) ** 2 / least if least > 0 else np.inf
    return "other loss", (
        f"The training minimised the {_LOSSES[run.recipe.loss]}, whose optimum is another one and has no closed form, so the gap "
        f"is no error. Its mean squared error is {ratio:.4g} times the least. loss='mse' is least squares."
    )


def _rounding(fit: Fit, run: Training, excess: float) -> tuple[str, str] | None:
    """Judge a run that is as near as its precision allows: what is left of the excess is rounding."""
    unit = float(run.moments.variances[-1]) / float(run.problem.scale[-1]) ** 2 or 1.0  # one, where columns are standardised
    near = {name: excess <= unit * (_ROUNDINGS * np.finfo(name).eps) ** 2 for name in ("float64", "float32")}
    if fit.solution.ssr <= (4 * ROUNDOFF) ** 2 * fit.uncentered_tss:  # standard errors are rounding themselves
        said = "The data lie on the line to rounding, so no standard error can measure the gap; it is the rounding of"
        if near["float64"]:
            return "agree", f"{said} float64."
        if near["float32"] and run.recipe.dtype == "float32":
            return "float32 floor", f"{said} float32. Train with dtype='float64'."
        return None
    if near["float64"]:
        return "float64 floor", "What is left of the gap is the rounding of float64: no training in double precision comes nearer."
    return None


def _decay(fit: Fit, run: Training) -> tuple[str, str] | None:
    """Judge a run whose weight decay pulls its coefficients towards zero: it ends at another point."""
    decay = _decay_of(run)
    if not decay:
        return None
    if run.recipe.descent is None:
        moved = "moves the point at which training comes to rest"
    else:
        rest = theory.fixed_point(run.theory.spectrum, run.problem.h, decay)
        gap = run.problem.to_units(rest) - fit.solution.params
        moved = f"moves the point at which training comes to rest by {largest_gap(gap, fit.standard_errors):.2g} standard errors"
    return "penalised", f"weight_decay={decay:g} {moved}: the answer is that of ridge regression. Train with weight_decay=0."


def _decay_of(run: Training) -> float:
    """Give the weight decay of a run; some optimisers have one that nobody asked for."""
    if run.recipe.weight_decay is not None or run.optimizer is None:
        return run.recipe.weight_decay or 0.0
    return float(run.optimizer.param_groups[0].get("weight_decay", 0.0))


def _batches(run: Training, excess: float, tau: float) -> tuple[str, str] | None:
    """Judge a run that the noise of its batches keeps away from the optimum, however long it goes on."""
    known, recipe = run.theory, run.recipe
    if recipe.full_batch or recipe.average is not None or recipe.scheduler is not None:
        return None
    if known.floor is None or known.floor_se is None or known.noise is None or known.batches is None:
        return None
    ends = known.floor if run.prediction is None else float(run.prediction.excess[-1])
    if known.floor_se <= tau or ends > 2.0 * known.floor:
        return None  # the start has not been forgotten yet: more epochs do help
    if excess > _BY_CHANCE * ends:
        return "disagree", (
            f"The noise of batches explains {known.floor_se:.2g} on the average, and not as much: the loop did something else than "
            "its recipe says, or the rows are in an order that matters."
        )
    quiet = theory.lr_for_floor(known.noise, known.batches, known.floor * (tau / known.floor_se) ** 2)
    return "batch noise", (
        f"The noise of batches of {known.batches.batch_size:,} rows keeps it about {known.floor_se:.2g} standard errors away "
        f"from the optimum at lr={recipe.rate:g}, however long they train. lr={quiet:.2g} would bring that to {tau:g}; so would a "
        "schedule, and average=True helps."
    )


def _short_of_it(fit: Fit, run: Training, *, tau: float, far: str) -> tuple[str, str]:
    """Judge a run that ended too far away although nothing is wrong with its rows, columns or learning rate."""
    prediction, recipe = run.prediction, run.recipe
    if prediction is None or recipe.descent is None or recipe.scheduler is not None or not recipe.full_batch:
        return "not converged", f"{far} {_longer(fit, run, tau)}"
    foreseen = largest_gap(prediction.gap, fit.standard_errors)
    if foreseen <= tau and len(prediction.excess) == len(run.loop.losses):
        if recipe.dtype == "float32":
            return "float32 floor", (
                f"{far} In exact arithmetic it would be {foreseen:.2g}: what is left is the rounding of float32. "
                "Train with dtype='float64'."
            )
        return "disagree", (
            f"{far} Theory predicts {foreseen:.2g} for this run, and neither rows, columns, learning rate nor precision explain "
            "the rest: the loop did something else than its recipe says."
        )
    return "not converged", f"{far} {_epochs_needed(fit, run, tau)}"


def _longer(fit: Fit, run: Training, tau: float) -> str:
    """Advise where no curve says how many more epochs it takes."""
    recipe, lam = run.recipe, run.theory.spectrum
    plain = theory.lr_best(lam, theory.Descent(lr=recipe.rate))
    instead = f"or with optimizer='sgd' without momentum at lr={plain:.4g}"
    if not run.plain:
        return f"Theory does not hold for this model; train for more than {recipe.epochs:,} epochs, or with one nn.Linear."
    if recipe.scheduler is not None or not recipe.full_batch:
        needed = _of_batches(fit, run, tau)
        return f"{needed}Train for more than {recipe.epochs:,} epochs, or with all rows at once at lr={plain:.4g}."
    name = recipe.optimizer if isinstance(recipe.optimizer, str) else "this optimiser"
    return f"Theory has no closed form for {name}; train for more than {recipe.epochs:,} epochs, {instead}."


def _of_batches(fit: Fit, run: Training, tau: float) -> str:
    """Say how many epochs of batches are expected to do, if they ever do."""
    known = run.theory
    if known.noise is None or known.batches is None or known.floor is None or run.recipe.scheduler is not None:
        return ""
    if (known.floor_se or 0.0) > tau and run.recipe.average is None:
        return f"The noise of batches alone keeps it about {known.floor_se:.2g} away at lr={run.recipe.rate:g}. "
    c = known.spectrum.vectors.T @ (run.loop.start - optimum_of(fit, run))
    needed = theory.expected_epochs(known.noise, c, known.batches, _target(fit, run, tau))
    return "" if needed is None else f"{counted(needed, 'epoch')} from the start are expected to do. "


def _target(fit: Fit, run: Training, tau: float) -> float:
    """Give the excess loss at which n (L - L*) / sigma^2 <= tau^2: every combination of coefficients is within tau."""
    return tau**2 * fit.mse_resid / float(run.problem.scale[-1]) ** 2 / run.problem.n


def _epochs_needed(fit: Fit, run: Training, tau: float) -> str:
    recipe, lam = run.recipe, run.theory.spectrum
    descent, best_rate = recipe.descent, run.theory.lr_best
    assert descent is not None  # noqa: S101  # there is a curve, so there is a recurrence
    assert best_rate is not None  # noqa: S101
    taken, target = len(run.loop.losses) - 1, _target(fit, run, tau)
    c = lam.vectors.T @ (run.loop.start - optimum_of(fit, run))
    needed = theory.epochs_until(lam, c, descent, target)
    at_best = theory.epochs_until(lam, c, replace(descent, lr=best_rate), target)
    more = "" if needed is None else f"{counted(max(needed - taken, 1), 'more epoch')} at lr={recipe.rate:g} would do. "
    best = "" if at_best is None else f"At the best rate, lr={best_rate:.4g}, {counted(at_best, 'epoch')} from the start."
    if not more and not best:
        best = f"Train longer; the best rate is {best_rate:.4g}."
    return f"{more}{best}".strip()
