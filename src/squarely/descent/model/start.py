"""The coefficients that a model starts from, without PyTorch."""

from __future__ import annotations

import math

import numpy as np

from squarely.descent.options.options import TrainingOptions
from squarely.errors import OptionError
from squarely.numerics import Array


def find_start(features: int, options: TrainingOptions, *, bias: bool) -> Array:
    """Return the coefficients (p,) that a model of these options starts from, in float64, the intercept first.

    Without `start=` they are those of nn.Linear: uniform on (-1/sqrt(features), 1/sqrt(features)), in float32. torch draws each
    from the lowest 24 bits of a number of its Mersenne twister, which NumPy has too, and rounds once (a fused multiply-add).
    """
    if options.start is not None:
        values = np.asarray(options.start, dtype=np.float64)
        require_length(values, features, bias=bias)
        return values.astype(options.dtype).astype(np.float64)
    bits = np.random.RandomState(options.seed % 2**32).randint(2**32, size=features + bias, dtype=np.uint32)
    gain = math.sqrt(2.0 / (1.0 + math.sqrt(5.0) ** 2))  # as kaiming_uniform_ computes the bound of the slopes
    slope_bound, level_bound = math.sqrt(3.0) * (gain / math.sqrt(features)), 1.0 / math.sqrt(features)
    bounds = np.array([slope_bound] * features + [level_bound] * bias).astype(np.float32).astype(np.float64)
    drawn: Array = ((bits % 2**24) / 2**24 * (2.0 * bounds) - bounds).astype(np.float32).astype(np.float64)
    return np.roll(drawn, bias)  # torch draws the bias last


def require_length(start: Array, features: int, *, bias: bool) -> None:
    """Raise an OptionError if there is not one value for each coefficient."""
    if start.shape != (features + bias,):
        raise OptionError(
            f"start={start.tolist()!r} has {start.size} values, and this model has {features + bias} coefficients"
            f"{', the intercept first' if bias else ''}. Give one number for each."
        )
