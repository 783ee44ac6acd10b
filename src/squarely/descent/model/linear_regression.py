"""The model: a linear layer, its start, and its standardized coefficients."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from squarely.descent.model.start import require_length
from squarely.descent.options.optimizers import DTYPES
from squarely.descent.options.options import TrainingOptions
from squarely.numerics import Array


class LinearRegression(nn.Module):
    """A single linear layer: weight times input plus bias."""

    def __init__(self, features: int, bias: bool) -> None:
        super().__init__()
        self.linear = nn.Linear(features, 1, bias=bias, device="cpu", dtype=torch.float32)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Predict: x (m, features) to (m, 1)."""
        out: torch.Tensor = self.linear(x)
        return out


def as_column(outputs: torch.Tensor) -> torch.Tensor:
    """Return outputs as a column (m, 1): those of a user's module may be (m,), which labels (m, 1) would broadcast."""
    return outputs if outputs.ndim == 2 else outputs.view(-1, 1)


def new_model(features: int, options: TrainingOptions, *, bias: bool) -> LinearRegression:
    """Return a model with the start of the options; the random state of the user does not change."""
    with torch.random.fork_rng(devices=[]):
        model = LinearRegression(features, bias)
    # As nn.Linear draws from a new generator with this seed, whatever defaults the user has set for torch.
    generator = torch.Generator().manual_seed(options.seed)
    nn.init.kaiming_uniform_(model.linear.weight, a=math.sqrt(5), generator=generator)
    if bias:
        nn.init.uniform_(model.linear.bias, -1 / math.sqrt(features), 1 / math.sqrt(features), generator=generator)
    model.to(device=options.device, dtype=DTYPES[options.dtype])
    if options.start is not None:
        values = np.asarray(options.start, dtype=np.float64)
        require_length(values, features, bias=bias)
        set_coefficients(model, values)
    return model


def make_trained(values: Array, options: TrainingOptions, *, bias: bool) -> LinearRegression:
    """Return a model with the coefficients (p,) at the end of a run."""
    model = new_model(len(values) - bias, replace(options, start=None), bias=bias)
    set_coefficients(model, values)
    return model


def linear_parameters(layer: Any) -> list[nn.Parameter]:
    """Return the parameters of an nn.Linear, or of a model with one, the bias first if there is one."""
    layer = layer.linear if isinstance(layer, LinearRegression) else layer
    return [part for part in (layer.bias, layer.weight) if part is not None]


def set_coefficients(model: LinearRegression, values: Array) -> None:
    """Set the model's coefficients (p,), the bias first if there is one."""
    parts = linear_parameters(model)
    for part, value in zip(parts, torch.from_numpy(values).split([part.numel() for part in parts]), strict=True):
        part.detach().copy_(value.view_as(part))


def get_coefficients(layer: Any) -> Array:
    """Return the coefficients (p,) of an nn.Linear, or of a model with one, in float64, the bias first if there is one."""
    # A copy: otherwise, on the CPU in float64, the array would be the memory of the model and change with it.
    return np.concatenate([part.detach().double().cpu().numpy().ravel() for part in linear_parameters(layer)])
