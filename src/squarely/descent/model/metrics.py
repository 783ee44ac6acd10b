"""Loss and metrics of a model on rows: one forward pass, with sums over chunks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from squarely.descent.batches.batch_source import BatchSource
from squarely.descent.model.linear_regression import as_column


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """The result of a forward pass.

    Attributes
    ----------
    loss : the criterion's mean over all rows, in standardized units.
    metrics : name -> value, in the unit of the response (MSE in its square; R2 = 1 - MSE / variance has none).
    """

    loss: float
    metrics: Mapping[str, float]


def measure(
    model: nn.Module,
    criterion: nn.Module,
    rows: BatchSource,
    *,
    metrics: Sequence[str] = (),
    unit: float = 1.0,
) -> Measurement:
    """Measure a model on the rows of all processes; `unit` is the standard deviation of the response in its own unit."""
    losses: list[tuple[float, int]] = []
    sums = dict.fromkeys(("rows", "loss", "squared", "absolute", "labels", "squares"), 0.0)
    for inputs, labels in rows.sequential():
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
    n, loss, squared, absolute, total, squares = rows.group.all_reduce_arrays([np.array([*sums.values()])])[0].tolist()
    if not n:
        return Measurement(loss=math.nan, metrics=dict.fromkeys(metrics, math.nan))
    variance = squares / n - (total / n) ** 2
    is_single = len(losses) == 1 and losses[0][1] == n  # the mean of a single chunk is exact to the bit
    mean = losses[0][0] if is_single else loss / n
    return Measurement(loss=mean, metrics=metrics_from_mse(metrics, squared / n, variance, unit, mae=absolute / n))


def metrics_from_mse(
    metrics: Sequence[str], mse: float, variance: float, unit: float, *, mae: float = math.nan
) -> dict[str, float]:
    """Return metrics by name from a standardized mean squared error, the variance of the labels, and a mean absolute error.

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
