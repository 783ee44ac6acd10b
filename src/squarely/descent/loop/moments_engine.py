"""Gradient descent on cross-products, step by step with torch's optimizer.

No row is read: an epoch costs p x p operations, whatever the number of rows.
"""

from __future__ import annotations

import numpy as np
import torch

from squarely.data import report_count
from squarely.descent.loop.result import FINISHED, StopReason, has_diverged
from squarely.descent.loop.state import LoopState
from squarely.descent.options.options import TrainingOptions
from squarely.moments import StandardizedProblem

_EPOCHS_PER_BLOCK = 256  # epochs whose losses are computed at once


def needs_no_callbacks(options: TrainingOptions, *, has_validation: bool) -> bool:
    """Return whether no epoch has to be evaluated on the way, so that a run on cross-products can log its losses afterwards."""
    controls = (options.stop, options.scheduler, options.clip_grad_norm, options.average)
    evaluates = has_validation or options.callbacks or options.metrics or options.optimizer == "lbfgs"
    return not evaluates and all(option is None for option in controls)


def run_moments_loop(
    flat: tuple[torch.Tensor, torch.Tensor], problem: StandardizedProblem, state: LoopState, options: TrainingOptions
) -> StopReason:
    """Run the epochs on cross-products with torch's optimizer, and compute the losses of many iterates at once.

    `flat` : the parameters and their gradients as vectors. A loss at every step would double the time of a step.
    """
    w, g = flat
    H, h = (torch.from_numpy(a).to(w) for a in (problem.H, problem.h))
    step, log = state.optimizer.step, state.history
    with report_count("training", options.epochs, "epochs", log.last_losses) as reached:
        while True:
            iterates = torch.empty(min(_EPOCHS_PER_BLOCK, options.epochs - state.epoch) + 1, len(w), dtype=w.dtype, device=w.device)
            *rows, final = iterates.unbind()
            for row in rows:
                row.copy_(w)
                torch.addmv(h, H, w, beta=-1, out=g)
                step()
            final.copy_(w)
            W = iterates.double().cpu().numpy()  # (m, p)
            with np.errstate(over="ignore", invalid="ignore"):
                losses = np.maximum(0.5 * ((W @ problem.H) * W).sum(1) - W @ problem.h + problem.y2, 0.0)
            beyond = np.flatnonzero(has_diverged(losses, (log.losses or [float(losses[0])])[0]))
            last = int(beyond[0]) if len(beyond) else len(rows)
            ends = len(beyond) > 0 or state.epoch + last == options.epochs
            log.losses.extend(losses[: last + ends].tolist())  # the last iterate is the first one of the next block
            state.epoch += last
            reached(state.epoch)
            if ends:
                w.copy_(iterates[last if np.isfinite(losses[last]) else max(last - 1, 0)])  # the last finite iterate
                return StopReason("diverged") if len(beyond) else FINISHED
