"""Metrics of a linear model on rows: one pass forward, sums over chunks, so that a short last chunk weighs what it has."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from squarely.descent.model.linear_regression import as_column
from squarely.numerics import Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What a pass forward has found.

    Attributes
    ----------
    loss : the criterion's mean over all rows, in standardized units.
    metrics : name -> value, in the unit of the response (MSE in its square; R2, 1 - MSE / variance, has none).
    """

    loss: float
    metrics: Mapping[str, float]


def measure(
    model: nn.Module,
    criterion: nn.Module,
    chunks: Iterable[tuple[torch.Tensor, torch.Tensor]],
    *,
    metrics: Sequence[str] = (),
    unit: float = 1.0,
    all_reduce: Callable[[Array], Array] = np.asarray,
) -> Measurement:
    """Measure a model on every row, given in chunks; `unit` is the response's standard deviation in its own unit.

    `all_reduce` adds the sums over these rows to those over rows elsewhere.
    """
    losses: list[tuple[float, int]] = []
    sums = dict.fromkeys(("rows", "loss", "squared", "absolute", "labels", "squares"), 0.0)
    for inputs, labels in chunks:
        with torch.no_grad():
            outputs, m = as_column(model(inputs)), len(labels)
        if not m:
            continue
        losses.append((criterion(outputs, labels).item(), m))
        sums["rows"] += m
        sums["loss"] += losses[-1][0] * m
        if metrics:
            residual, y = (outputs - labels).double(), labels.double()
            sums["squared"] += residual.square().sum().item()
            sums["absolute"] += residual.abs().sum().item()
            sums["labels"] += y.sum().item()
            sums["squares"] += y.square().sum().item()
    n, loss, squared, absolute, total, squares = all_reduce(np.array([*sums.values()])).tolist()
    if not n:
        return Measurement(loss=math.nan, metrics=dict.fromkeys(metrics, math.nan))
    variance = squares / n - (total / n) ** 2
    alone = len(losses) == 1 and losses[0][1] == n  # a single chunk's mean is the mean, to the bit
    mean = losses[0][0] if alone else loss / n
    return Measurement(loss=mean, metrics=metrics_from_mse(metrics, squared / n, variance, unit, mae=absolute / n))


def metrics_from_mse(
    metrics: Sequence[str], mse: float, variance: float, unit: float, *, mae: float = math.nan
) -> dict[str, float]:
    """Give metrics by name from a standardized mean squared error, the variance of the labels, and a mean absolute error.

    >>> metrics_from_mse(["rmse", "r2"], 0.25, 1.0, 8.0)
    {'rmse': 4.0, 'r2': 0.75}
    """
    values = {
        "mse": mse * unit**2,
        "rmse": math.sqrt(mse) * unit if mse >= 0 else math.nan,
        "mae": mae * unit,
        "r2": 1.0 - mse / variance if variance > 0 else math.nan,
    }
    return {name: values[name] for name in metrics}
