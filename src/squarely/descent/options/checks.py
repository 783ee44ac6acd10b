"""Check training options: return each value in its plain type, or raise an OptionError that names the wrong one."""

from __future__ import annotations

from dataclasses import replace

import torch

from squarely.descent.options.compatibility import require_compatible
from squarely.descent.options.optimizers import (
    new_optimizer,
    new_scheduler,
    require_model_parameters,
    resolve_torch_class,
)
from squarely.descent.options.options import BATCH_SCHEDULERS, TrainingOptions
from squarely.descent.options.value_checks import check_values
from squarely.errors import OptionError, first_line, show_value


def check_options(options: TrainingOptions, model: torch.nn.Module | None = None) -> TrainingOptions:
    """Return the options with values of plain Python types, or raise an OptionError that says which value is wrong.

    `model` is the user's own, whose parameters the user's own optimizer may have.
    """
    checked = check_values(options)
    is_on_cpu = checked.engine == "closed_form" and isinstance(options.device, str) and options.device == "auto"  # as without torch
    checked = replace(
        checked,
        device="cpu" if is_on_cpu else str(_check_device(options.device)),
        optimizer=resolve_torch_class("optimizer", options.optimizer),
        scheduler=None if options.scheduler is None else resolve_torch_class("scheduler", options.scheduler),
    )
    if isinstance(checked.scheduler, str) and checked.scheduler in BATCH_SCHEDULERS:
        checked = replace(checked, scheduler_per="batch")
    require_model_parameters(checked, model)
    require_compatible(checked)
    _try_out(checked)
    return checked


def _try_out(options: TrainingOptions) -> None:
    """Make an optimizer and a scheduler for a trial parameter: a mistake shows before any row is read."""
    if not isinstance(options.optimizer, str) or options.engine == "closed_form":
        return
    trial = options if options.lr != "auto" else replace(options, lr=0.01)
    parameter = torch.nn.Parameter(torch.zeros(1, device="cpu"))
    optimizer = new_optimizer([parameter], trial)
    if options.scheduler is None or isinstance(options.scheduler, str):
        new_scheduler(optimizer, trial)


def _check_device(name: str) -> torch.device:
    if isinstance(name, str) and name == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, TypeError, ValueError, OverflowError, NotImplementedError) as error:
        raise OptionError(
            f"device={show_value(name)} cannot be used here. Use device='auto' or device='cpu'. PyTorch says: {first_line(error)}."
        ) from error
    return device
