"""Gradient descent on cross-products in closed form: any epoch from the spectrum, in NumPy."""

from __future__ import annotations

import numpy as np

from squarely import theory
from squarely.descent.loop.result import FINISHED, History, LoopResult, StopReason, has_diverged
from squarely.descent.model.mse_metrics import metrics_from_mse
from squarely.descent.options.options import TrainingOptions
from squarely.descent.run_theory.theory_inputs import TheoryInputs
from squarely.moments import StandardizedProblem
from squarely.numerics import Array


def run_closed_form(start: Array, inputs: TheoryInputs, options: TrainingOptions, variance: float) -> LoopResult:
    """Compute the end of a run, and the loss and metrics of every epoch, in float64; `variance` is that of the response.

    In the eigenbasis each coordinate of the error shrinks by its own factor; along directions in which the loss is flat by none.
    """
    problem, lam, descent = inputs.problem, inputs.spectrum, options.descent
    assert descent is not None  # noqa: S101  # the checks refuse all others
    rest = _find_fixed_point(problem, lam, start, descent.weight_decay)
    optimum = _find_fixed_point(problem, lam, start, 0.0) if descent.weight_decay else rest
    c, offset = lam.vectors.T @ (start - rest), lam.vectors.T @ (rest - optimum)
    losses = problem.loss(optimum) + theory.excess_curve(lam, c, descent, options.epochs, offset=offset)
    beyond = np.flatnonzero(has_diverged(losses, losses[0]))
    last = int(beyond[0]) if len(beyond) else options.epochs
    losses, end = losses[: last + 1], rest + lam.vectors @ theory.modes_after(lam, c, descent, last)
    history, ended = History(columns={"loss": losses.tolist()}), StopReason("diverged") if len(beyond) else FINISHED
    unit = float(problem.scale[-1])  # of the response
    for mse in history.losses if options.metrics else ():
        history.add(metrics_from_mse(options.metrics, mse, variance / unit**2, unit))
    return LoopResult(model=None, optimizer=None, losses=losses, history=history, start=start, end=end, stop_reason=ended)


def _find_fixed_point(problem: StandardizedProblem, lam: theory.Spectrum, start: Array, decay: float) -> Array:
    """Return the fixed point of descent (p,), which along directions without a gradient is the start."""
    rest = theory.fixed_point(lam, problem.h, decay)
    flat = lam.vectors[:, : lam.flat_directions] if not decay else lam.vectors[:, :0]
    fixed: Array = rest + flat @ (flat.T @ start)
    return fixed
