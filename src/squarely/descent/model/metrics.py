"""The loss and the metrics of a model on rows, for the log."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from squarely.descent.batches.batch_source import BatchSource
from squarely.descent.model.linear_regression import as_column
from squarely.descent.model.mse_metrics import metrics_from_mse


def measure(
    model: nn.Module, criterion: nn.Module, rows: BatchSource, *, metrics: Sequence[str] = (), unit: float = 1.0
) -> dict[str, float]:
    """Return the mean "loss" over the rows of all processes, in standardized units, and metrics in the unit of the response.

    With weights every mean is a weighted one.

    `unit` is the standard deviation of the response. The MSE has its square, and R2 = 1 - MSE / variance has no unit.
    """
    loss, m = math.nan, 0
    sums = np.zeros(7)  # rows, weights, losses, squared residuals, absolute residuals, labels, squared labels
    for inputs, labels, *weights in rows.sequential():
        if not len(labels):
            continue
        with torch.no_grad():
            outputs, m = as_column(model(inputs)), len(labels)
        loss = criterion(outputs, labels, *weights).item()
        sums[:3] += m, weights[0].double().sum().item() if weights else m, loss * m
        if metrics:
            residual, y = (outputs - labels).double(), labels.double()
            parts = [residual.square(), residual.abs(), y, y.square()]
            sums[3:] += [(part * weights[0] if weights else part).sum().item() for part in parts]
    rows_measured, n, losses, squared, absolute, total, squares = rows.group.all_reduce_arrays([sums])[0].tolist()
    if not rows_measured:
        return dict.fromkeys(("loss", *metrics), math.nan)
    mean = loss if m == rows_measured else losses / n  # the mean of a single chunk is exact to the bit
    variance = squares / n - (total / n) ** 2
    return {"loss": mean, **metrics_from_mse(metrics, squared / n, variance, unit, mae=absolute / n)}
