"""Check training options: return each value in its plain type, or raise an OptionError that names the wrong one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch

from squarely.descent.options.optimizers import (
    BATCH_SCHEDULERS,
    new_optimizer,
    new_scheduler,
    require_model_parameters,
    resolve_torch_class,
)
from squarely.descent.options.options import TrainingOptions
from squarely.descent.options.value_checks import check_values, require_loggable, stop_distance
from squarely.errors import OptionError, first_line, show_value


def check_options(options: TrainingOptions, model: torch.nn.Module | None = None) -> TrainingOptions:
    """Return the options with values of plain Python types, or raise an OptionError that says which value is wrong.

    `model` is the user's own, whose parameters the user's own optimizer may have.
    """
    checked = check_values(options)
    checked = replace(
        checked,
        device=str(_check_device(options.device)),
        optimizer=resolve_torch_class("optimizer", options.optimizer),
        scheduler=None if options.scheduler is None else resolve_torch_class("scheduler", options.scheduler),
    )
    if isinstance(checked.scheduler, str) and checked.scheduler in BATCH_SCHEDULERS:
        checked = replace(checked, scheduler_per="batch")
    _require_torch_options(checked)
    require_model_parameters(checked, model)
    _require_compatible(checked)
    if checked.engine != "rows":
        _require_quadratic(checked)
    _try_out(checked)
    return checked


def _require_torch_options(options: TrainingOptions) -> None:
    """Raise an OptionError where the options of an optimizer or a scheduler do not fit it."""
    optimizer, is_named = options.optimizer, isinstance(options.optimizer, str)
    for name, mapping in (("optimizer_options", options.optimizer_options), ("scheduler_options", options.scheduler_options)):
        if not isinstance(mapping, Mapping) or not all(isinstance(key, str) for key in mapping):
            raise OptionError(
                f"{name}={show_value(mapping)} is not a dict of options by their names. Give one, such as {{'eps': 1e-6}}."
            )
    for name in {"lr", "momentum", "nesterov", "weight_decay"} & set(options.optimizer_options):
        if name == "lr" or optimizer == "sgd" or (name == "weight_decay" and options.weight_decay is not None):
            raise OptionError(f"optimizer_options= has {name!r}, which is a separate option. Give {name}= instead.")
    if options.optimizer_options and not is_named:
        raise OptionError("optimizer_options= go with an optimizer's name or class. A function sets its own.")
    if options.scheduler_options and not isinstance(options.scheduler, str):
        raise OptionError("scheduler_options= go with a scheduler's name or class. A function sets its own.")
    if optimizer != "sgd" and (options.momentum or options.nesterov):
        raise OptionError("momentum= and nesterov= belong to optimizer='sgd'; Adam has its own averages. Leave them out.")
    if options.nesterov and not options.momentum:
        raise OptionError("nesterov=True needs momentum above zero. Give one, such as momentum=0.9.")
    if options.weight_decay is not None and not is_named:
        raise OptionError("weight_decay= goes with an optimizer's name or class. Set it in your own optimizer.")


def _require_compatible(options: TrainingOptions) -> None:
    if options.replacement and options.is_full_batch:
        raise OptionError("replacement=True draws batches, and without batch_size= every step uses all rows. Give batch_size= too.")
    if options.replacement and not options.shuffle:
        raise OptionError("replacement=True draws rows at random, and shuffle=False keeps their order. Leave one of them out.")
    if options.average is not None and options.stop is not None:
        raise OptionError(
            f"average= ends with the mean of the iterates, and stop={options.stop!r} with a single one. Leave one of them out."
        )
    if options.gradient == "closed" and options.loss != "mse":
        raise OptionError(f"gradient='closed' is for loss='mse', not for {options.loss!r}. Use gradient='autograd'.")
    if options.optimizer == "lbfgs" and options.batch_size is not None:
        raise OptionError("optimizer='lbfgs' evaluates one loss several times a step, and batches differ. Leave batch_size= out.")
    if options.optimizer == "lbfgs" and options.clip_grad_norm is not None:
        raise OptionError("optimizer='lbfgs' searches along the unclipped gradient. Leave clip_grad_norm= out.")
    if stop_distance(options) is not None and options.loss != "mse":
        raise OptionError(f"stop={options.stop!r} is a bound for loss='mse', not for {options.loss!r}. Use another stop=.")


def _require_quadratic(options: TrainingOptions) -> None:
    engine = options.engine
    if options.loss != "mse":
        raise OptionError(f"engine={engine!r} is for loss='mse', not for {options.loss!r}. Use engine='rows'.")
    if options.batch_size is not None:
        raise OptionError(f"engine={engine!r} has no rows for batches. Leave batch_size= out, or use engine='rows'.")
    if "mae" in options.metrics:
        raise OptionError(f"engine={engine!r} cannot compute the metric 'mae', which needs every row. Use 'mse', 'rmse' and 'r2'.")
    if engine == "closed_form":
        require_loggable(options.epochs, "engine='closed_form'")
        if options.scheduler is not None or replace(options, lr=1.0).descent is None:
            raise OptionError("engine='closed_form' is for SGD with momentum or Nesterov at a constant rate. Use engine='moments'.")
        for name in ("average", "stop"):
            if getattr(options, name) is not None:
                raise OptionError(f"engine='closed_form' takes no steps, so {name}= does not apply. Use engine='moments'.")


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
