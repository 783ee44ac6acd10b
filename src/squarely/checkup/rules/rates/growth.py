"""What the learning rates of a run do to an error: the product of the updates on the rows that each used."""

from __future__ import annotations

import numpy as np

from squarely.checkup.rules.rates.linear_problem import add_intercept, is_linear
from squarely.checkup.rules.run import Run
from squarely.checkup.rules.steps.changes import Change, proportion
from squarely.numerics import Array

_MOST_COLUMNS = 40


def rate_of(change: Change) -> float | None:
    """Return the learning rate of an update times the scale of its gradient; None where unknown.

    For an update by hand, it is -(change) over the gradient of the mean squared error.
    """
    if change.lr is not None:
        return change.lr * (change.factor if np.isfinite(change.factor) else 1.0)
    if change.expected is None:
        return None
    rate = -proportion(change.difference, change.expected, tolerance=1e-2)
    return rate if np.isfinite(rate) else None


def momentum_of(run: Run) -> float:
    """Return the momentum of the optimizer, 0 without one."""
    step = run.changes[0].step
    return float(step.options.get("momentum") or 0.0) if step is not None else 0.0  # type: ignore[arg-type]


def is_gradient_descent(run: Run) -> bool:
    """Return whether the updates are those of SGD or made by hand."""
    step = run.changes[0].step
    return step is None or step.optimizer_class == "SGD"


def growth_per_update(run: Run, X: Array) -> float | None:
    """Return the factor by which an update multiplies the largest error, over the recorded updates or their second half.

    Each update multiplies the error by I - lr H_B, where H_B = (2/B) X_B' X_B are the rows that it used, with momentum beta by
    [[(1 + beta) I - lr H_B, -beta I], [I, 0]]. None where the model is not linear or a rate is unknown.
    """
    if X.shape[1] > _MOST_COLUMNS or not is_linear(run, X):
        return None
    beta, p = momentum_of(run), add_intercept(run, X).shape[1]
    product = np.eye(2 * p)
    logs: list[float] = []
    for change in run.changes:
        rate, inputs = rate_of(change), _inputs_of(run, change)
        if rate is None or inputs is None or inputs.shape[1] != X.shape[1]:
            continue
        A = np.column_stack([inputs, np.ones(len(inputs))]) if p > X.shape[1] else inputs
        H = A.T @ A * (2 / len(A))
        step = np.block([[(1 + beta) * np.eye(p) - rate * H, -beta * np.eye(p)], [np.eye(p), np.zeros((p, p))]])
        product = step @ product
        norm = float(np.linalg.norm(product, 2)) + 1e-300
        product /= norm
        logs.append(float(np.log(norm)))
    if len(logs) < 4 or len(logs) < 0.8 * len(run.changes):
        return None
    return float(np.exp(max(np.mean(logs[1:]), np.mean(logs[len(logs) // 2 :]))))  # the first has the norm of the blocks


def _inputs_of(run: Run, change: Change) -> Array | None:
    events = run.trace.events
    inputs = [events[index].inputs for one in change.new for index in one.forwards]  # type: ignore[attr-defined]
    return np.concatenate(inputs) if inputs and len({values.shape[1] for values in inputs}) == 1 else None
