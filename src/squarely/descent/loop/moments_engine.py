"""Descent on the quadratic that cross-products make of the loss: step by step with torch's optimizer, or any epoch at once.

No row is read: an epoch costs p x p operations, whatever the number of rows.
"""

from __future__ import annotations

import numpy as np
import torch

from squarely import theory
from squarely.data import report_count
from squarely.descent.loop.state import LoopState
from squarely.descent.loop.stopping import DIVERGENCE_FACTOR, FINISHED, StopReason
from squarely.descent.options.options import TrainingOptions
from squarely.moments import StandardizedProblem
from squarely.numerics import Array

_EPOCHS_PER_BLOCK = 256  # epochs whose losses are worked out at once


def compute_closed_form(
    problem: StandardizedProblem, lam: theory.Spectrum, options: TrainingOptions, start: Array
) -> tuple[Array, Array, StopReason]:
    """Give the losses (epochs + 1,) and the coefficients (p,) at the end of a run from `start` (p,), both in float64.

    In the eigenbasis each coordinate of the error shrinks by a factor of its own; where the loss is flat it stays as it is.
    """
    descent = options.descent
    assert descent is not None  # noqa: S101  # the checks let no other options through
    rest = _find_fixed_point(problem, lam, start, descent.weight_decay)
    optimum = _find_fixed_point(problem, lam, start, 0.0) if descent.weight_decay else rest
    c, away = lam.vectors.T @ (start - rest), lam.vectors.T @ (rest - optimum)
    losses = problem.loss(optimum) + theory.excess_curve(lam, c, descent, options.epochs, offset=away)
    with np.errstate(invalid="ignore"):
        beyond = np.flatnonzero(~(losses <= DIVERGENCE_FACTOR * (losses[0] + 1.0)))
    last = int(beyond[0]) if len(beyond) else options.epochs
    end = rest + lam.vectors @ theory.modes_after(lam, c, descent, last)
    return losses[: last + 1], end, StopReason("diverged") if len(beyond) else FINISHED


def _find_fixed_point(problem: StandardizedProblem, lam: theory.Spectrum, start: Array, decay: float) -> Array:
    """Give where descent comes to rest (p,): along directions in which nothing pulls, at its start."""
    rest = theory.fixed_point(lam, problem.h, decay)
    still = lam.vectors[:, : lam.flat_directions] if not decay else lam.vectors[:, :0]
    at_start: Array = rest + still @ (still.T @ start)
    return at_start


def needs_no_callbacks(options: TrainingOptions, *, has_validation: bool) -> bool:
    """Tell whether nothing has to be looked at on the way, so that a run on cross-products may write its losses down afterwards."""
    steered = (options.stop, options.scheduler, options.clip_grad_norm, options.average)
    if has_validation or options.callback_list or options.metrics or options.optimizer == "lbfgs":
        return False
    return all(option is None for option in steered)


def run_moments_loop(
    flat: tuple[torch.Tensor, torch.Tensor], problem: StandardizedProblem, state: LoopState, options: TrainingOptions
) -> StopReason:
    """Take the epochs of a run on cross-products with torch's optimizer; the losses follow from the iterates, many at once.

    `flat` are the parameters and their gradients, each laid into one vector.
    Working the loss out at every step would double the time of a step.
    """
    w, g = flat
    H, h = (torch.from_numpy(a).to(w) for a in (problem.H, problem.h))
    step, log = state.optimizer.step, state.history
    with report_count("training", options.epochs) as reached:
        while True:
            iterates = torch.empty(min(_EPOCHS_PER_BLOCK, options.epochs - state.epoch) + 1, len(w), dtype=w.dtype, device=w.device)
            *rows, final = iterates.unbind()
            for row in rows:
                row.copy_(w)
                torch.addmv(h, H, w, beta=-1, out=g)
                step()
            final.copy_(w)
            losses = _compute_losses(problem, iterates.double().cpu().numpy())
            bound = DIVERGENCE_FACTOR * ((log.losses or [float(losses[0])])[0] + 1.0)
            with np.errstate(invalid="ignore"):
                beyond = np.flatnonzero(~(losses <= bound))
            last = int(beyond[0]) if len(beyond) else len(rows)
            ends = len(beyond) > 0 or state.epoch + last == options.epochs
            log.losses.extend(losses[: last + ends].tolist())  # the last iterate is the first one of the next stretch
            state.epoch += last
            reached(state.epoch)
            if ends:
                w.copy_(iterates[last if np.isfinite(losses[last]) else max(last - 1, 0)])  # what is no number is not kept
                return StopReason("diverged") if len(beyond) else FINISHED


def _compute_losses(problem: StandardizedProblem, W: Array) -> Array:
    """Give the loss of each row of coefficients W (m, p), in float64."""
    with np.errstate(over="ignore", invalid="ignore"):
        losses: Array = np.maximum(0.5 * ((W @ problem.H) * W).sum(1) - W @ problem.h + problem.y2, 0.0)
    return losses
