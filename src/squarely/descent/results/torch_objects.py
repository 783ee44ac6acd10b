"""The PyTorch objects of a saved run, and the options that name them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from squarely.descent.model.linear_regression import new_model, set_coefficients
from squarely.descent.options.checks import check_options
from squarely.descent.options.optimizers import OPTIMIZERS, SCHEDULERS, new_optimizer
from squarely.descent.options.options import TrainingOptions
from squarely.numerics import Array


def check_saved(values: Mapping[str, Any], valid: Mapping[str, Any]) -> tuple[TrainingOptions, dict[str, Any]]:
    """Return checked options, and the values in place of names of the user's own objects, which `check_options` does not know."""
    valid = dict(valid)
    if values["optimizer"] not in OPTIMIZERS:
        valid |= {"optimizer": "sgd", "optimizer_options": {}, "lr": 1.0, "momentum": 0.0, "nesterov": False, "weight_decay": None}
    if values["scheduler"] is not None and values["scheduler"] not in SCHEDULERS:
        valid |= {"scheduler": None, "scheduler_options": {}}
    return check_options(TrainingOptions(**{**values, **valid})), valid


def make_objects(
    options: TrainingOptions, features: int, end: Array, *, bias: bool
) -> tuple[torch.nn.Linear, torch.optim.Optimizer | None]:
    """Return the model with the coefficients (p,) at the end, and the optimizer unless it was the user's own."""
    on_cpu = replace(options, device="cpu")
    model = new_model(features, replace(on_cpu, start=None), bias=bias)
    set_coefficients(model, end)
    return model, new_optimizer(model.parameters(), on_cpu) if options.optimizer in OPTIMIZERS else None
