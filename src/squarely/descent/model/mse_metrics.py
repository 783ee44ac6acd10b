"""The metrics that follow from a mean squared error, without PyTorch."""

from __future__ import annotations

import math
from collections.abc import Sequence


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
