"""Check training options: return each value in its plain type, or raise an OptionError that names the wrong one."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from numbers import Integral, Real
from typing import Any, get_args

import numpy as np
import torch

from squarely.descent.options.optimizers import (
    BATCH_SCHEDULERS,
    new_optimizer,
    new_scheduler,
    require_model_parameters,
    resolve_torch_class,
)
from squarely.descent.options.options import DTYPES, LOSS_NAMES, METRICS, TrainingOptions
from squarely.errors import OptionError, first_line, read_float, require_one_of, show_value, suggest_name
from squarely.types import Dtype, Gradient, SchedulerPer, TrainingEngine

_DEFAULTS = TrainingOptions()
_FLAGS = ("standardize", "stream", "nesterov", "shuffle", "replacement")
_COUNTS = {"epochs": "asks for no update", "batch_size": "is not a batch size", "patience": "would stop before the first epoch"}
_NUMBERS = {  # whether zero is valid, the bound above, and what to answer to other numbers
    "momentum": (True, 1.0, "is not in [0, 1). Usual values are 0 and 0.9."),
    "weight_decay": (True, math.inf, "is not a number of at least 0. Usual values are 0 and 0.01."),
    "delta": (False, math.inf, "is not above zero. Huber's loss turns linear there, in standardized units; try 1."),
    "quantile": (False, 1.0, "is not between 0 and 1. Give one, such as 0.5 for the median."),
    "clip_grad_norm": (False, math.inf, "is not a length above zero. Give one, such as 1.0."),
    "min_delta": (True, math.inf, "is not a number of at least 0. Give the smallest gain in the loss that counts."),
}
_MAX_LOGGED_EPOCHS = 10**7  # epochs: half a gigabyte of losses
_STOP = re.compile(r"\s*(?P<tau>\d*\.?\d+(e[-+]?\d+)?)\s*se\s*", re.IGNORECASE)


def check_options(options: TrainingOptions, model: torch.nn.Module | None = None) -> TrainingOptions:
    """Return the options with values of plain Python types, or raise an OptionError that says which value is wrong.

    `model` is the user's own, whose parameters the user's own optimizer may have.
    """
    options = replace(options, dtype=str(options.dtype).removeprefix("torch."))
    require_one_of("dtype", options.dtype, get_args(Dtype))
    require_one_of("engine", options.engine, get_args(TrainingEngine))
    require_one_of("gradient", options.gradient, get_args(Gradient))
    require_one_of("scheduler_per", options.scheduler_per, get_args(SchedulerPer))
    checked = replace(
        options,
        **_check_each(options, _COUNTS, _check_at_least_one),
        **_check_each(options, _NUMBERS, _check_in_range),
        **_check_each(options, _FLAGS, _check_flag),
        seed=_check_seed(options.seed),
        lr=_check_lr(options.lr, options.dtype),
        loss=_check_loss(options.loss),
        stop=_check_stop(options.stop),
        average=_check_average(options),
        device=str(_check_device(options.device)),
        start=_check_start(options.start, options.dtype),
        callbacks=_check_callbacks(options.callbacks),
        metrics=_check_metrics(options.metrics),
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


def require_loggable(epochs: int, what: str) -> None:
    """Raise an OptionError if a log of so many epochs, allocated at once, would not fit into memory."""
    if epochs > _MAX_LOGGED_EPOCHS:
        raise OptionError(
            f"epochs={show_value(epochs)} would fill the memory with history. {what} takes up to {_MAX_LOGGED_EPOCHS:,}; "
            "`run.theory` and the predicted curve show the error that remains after fewer epochs."
        )


def stop_distance(options: TrainingOptions) -> float | None:
    """Return the distance to the optimum, in standard errors, at which a run stops; None if it does not stop by it."""
    match = _STOP.fullmatch(options.stop or "")
    return float(match["tau"]) if match else None


def _check_each(options: TrainingOptions, names: Iterable[str], check: Callable[[str, Any], Any]) -> dict[str, Any]:
    """Check options that have a rule in common; those that are None by default may be None."""
    values = {name: getattr(options, name) for name in names}
    return {name: None if value is getattr(_DEFAULTS, name) is None else check(name, value) for name, value in values.items()}


def _require_torch_options(options: TrainingOptions) -> None:
    """Raise an OptionError where the options of an optimizer or a scheduler do not fit it."""
    optimizer, is_named = options.optimizer, isinstance(options.optimizer, str)
    for name, mapping in (("optimizer_options", options.optimizer_options), ("scheduler_options", options.scheduler_options)):
        if not isinstance(mapping, Mapping) or not all(isinstance(key, str) for key in mapping):
            raise OptionError(f"{name}={mapping!r} is not a dict of options by their names. Give one, such as {{'eps': 1e-6}}.")
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


def _check_lr(value: Any, dtype: str) -> float | str:
    if isinstance(value, str):
        if value == "auto":
            return value
        raise OptionError(f"lr={value!r} is not a number. Give one, such as lr=0.01, or lr='auto'.")
    lr = _check_number("lr", value)
    if not (math.isfinite(lr) and lr > 0):
        raise OptionError(f"lr={show_value(value)} is not a learning rate: it must be a finite number above zero. Try lr=0.01.")
    if lr > torch.finfo(DTYPES[dtype]).max:
        raise OptionError(f"lr={lr:g} is beyond the range of {dtype}. The best rate is rarely above 1; try lr=0.01.")
    return lr


def _check_seed(value: Any) -> int:
    seed = _check_integer("seed", value)
    if not -(2**63) <= seed < 2**64:
        raise OptionError(f"seed={show_value(seed)} does not fit into 64 bits. Give a smaller number.")
    return seed


def _check_loss(value: Any) -> str:
    loss = value.lower().removesuffix("loss") if isinstance(value, str) else ""
    if loss not in LOSS_NAMES:
        raise OptionError(f"loss={value!r} is not known. {suggest_name(str(value), LOSS_NAMES)}")
    return loss


def _check_stop(value: Any) -> str | None:
    if value is None or (isinstance(value, str) and value in ("loss", "validation")):
        return value
    match = _STOP.fullmatch(value) if isinstance(value, str) else None
    if match is None or not float(match["tau"]) > 0:
        raise OptionError(f"stop={value!r} is not understood. Use 'loss', 'validation' or '0.01 se', a distance to the optimum.")
    return match.string


def _check_average(options: TrainingOptions) -> int | None:
    if options.average is None or options.average is False:
        return None
    if options.average is True:
        return int(options.epochs) // 2
    average = _check_integer("average", options.average)
    if not 0 <= average < options.epochs:
        last = show_value(int(options.epochs) - 1)
        raise OptionError(
            f"average={show_value(average)} is not one of the epochs 0 to {last}. Give the first epoch, or "
            "average=True for the second half."
        )
    return average


def _check_metrics(value: Any) -> tuple[str, ...]:
    names = _as_tuple(value)
    for name in names:
        if name not in METRICS:
            raise OptionError(f"metrics={name!r} is not known. {suggest_name(str(name), METRICS)}")
    return tuple(dict.fromkeys(names))


def _check_callbacks(value: Any) -> tuple[Callable[..., Any], ...]:
    functions = _as_tuple(value)
    for function in functions:
        if not callable(function):
            raise OptionError(f"callbacks={function!r} cannot be called. Give functions of one argument, the epoch.")
    return functions


def _as_tuple(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, Iterable) and not isinstance(value, str) and not callable(value) else (value,)


def _check_start(start: Any, dtype: str) -> tuple[float, ...] | None:
    if start is None:
        return None
    if isinstance(start, str) or not isinstance(start, Iterable):
        raise OptionError(f"start={show_value(start)} is not a list of numbers. Give one standardized coefficient for each column.")
    values = tuple(_check_number("start", value) for value in start)
    if not all(abs(value) <= torch.finfo(DTYPES[dtype]).max for value in values):
        raise OptionError(f"start={list(values)!r} has a number that is not finite in {dtype}. Give finite numbers.")
    return values


def _check_device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, TypeError, NotImplementedError) as error:
        raise OptionError(
            f"device={name!r} cannot be used here. Use device='auto' or device='cpu'. PyTorch says: {first_line(error)}."
        ) from error
    return device


def _check_flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool | np.bool_):
        raise OptionError(f"{name}={value!r} is neither True nor False. Give one of them.")
    return bool(value)


def _check_at_least_one(name: str, value: Any) -> int:
    number = _check_integer(name, value)
    if number < 1:
        raise OptionError(f"{name}={show_value(value)} {_COUNTS[name]}. Give a whole number of at least 1.")
    return number


def _check_in_range(name: str, value: Any) -> float:
    number, (is_zero_valid, bound, problem) = _check_number(name, value), _NUMBERS[name]
    if not (number > 0.0 or (is_zero_valid and number == 0.0)) or not number < bound:
        raise OptionError(f"{name}={show_value(value)} {problem}")
    return number


def _check_number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise OptionError(f"{name}={value!r} is of type {type(value).__name__}, not a number. Give a number, such as 0.01.")
    return read_float(name, value)


def _check_integer(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise OptionError(f"{name}={value!r} is not a whole number. Give one, such as 1000.")
    read_float(name, value)  # else sizes and rates that are computed from it would overflow
    return int(value)
