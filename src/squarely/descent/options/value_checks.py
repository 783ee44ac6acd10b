"""Check the options of training that need no PyTorch: a wrong one shows before its import, which takes a second."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from difflib import get_close_matches
from numbers import Integral, Real
from typing import Any, get_args

import numpy as np

from squarely.descent.options.options import LOSS_NAMES, METRICS, TrainingOptions
from squarely.errors import OptionError, read_float, require_one_of, show_value, suggest_name
from squarely.types import Dtype, Gradient, OptimizerName, SchedulerName, SchedulerPer, TrainingEngine

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
_TORCH_NAMES = {  # without PyTorch; classes and functions are checked with it
    "optimizer": tuple(dict.fromkeys(name.lower() for name in get_args(OptimizerName))),
    "scheduler": get_args(SchedulerName),
}


def check_values(options: TrainingOptions) -> TrainingOptions:
    """Return the options with values of plain Python types, without a look at the optimizer, the scheduler and the device.

    Raises an OptionError that says which value is wrong.
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
        start=_check_start(options.start, options.dtype),
        callbacks=_check_callbacks(options.callbacks),
        metrics=_check_metrics(options.metrics),
    )
    if checked.weight_decay is not None and checked.weight_decay > _largest_number(checked.dtype):
        raise OptionError(
            f"weight_decay={checked.weight_decay:g} is beyond the range of {checked.dtype}. Usual values are 0 and 0.01."
        )
    return checked


def require_torch_names(options: TrainingOptions) -> None:
    """Raise an OptionError if the optimizer or the scheduler has a name that is nearly one of PyTorch's.

    Another unknown name may be that of a newer PyTorch, which is asked later.
    """
    for option, names in _TORCH_NAMES.items():
        value = getattr(options, option)
        if not isinstance(value, str) or {value.lower(), f"{value.lower()}lr"} & {name.lower() for name in names}:
            continue
        if get_close_matches(value.lower(), [name.lower() for name in names], n=1):
            raise OptionError(f"{option}={show_value(value)} is not known. {suggest_name(value, sorted(names))}")


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


def _check_lr(value: Any, dtype: str) -> float | str:
    if isinstance(value, str):
        if value == "auto":
            return value
        raise OptionError(f"lr={show_value(value)} is not a number. Give one, such as lr=0.01, or lr='auto'.")
    lr = _check_number("lr", value)
    if not (math.isfinite(lr) and lr > 0):
        raise OptionError(f"lr={show_value(value)} is not a learning rate: it must be a finite number above zero. Try lr=0.01.")
    if lr > _largest_number(dtype):
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
        raise OptionError(f"loss={show_value(value)} is not known. {suggest_name(value, LOSS_NAMES)}")
    return loss


def _check_stop(value: Any) -> str | None:
    if value is None or (isinstance(value, str) and value in ("loss", "validation")):
        return value
    match = _STOP.fullmatch(value) if isinstance(value, str) else None
    if match is None or not float(match["tau"]) > 0:
        raise OptionError(
            f"stop={show_value(value)} is not understood. Use 'loss', 'validation' or '0.01 se', a distance to the optimum."
        )
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
            raise OptionError(f"metrics={show_value(name)} is not known. {suggest_name(name, METRICS)}")
    return tuple(dict.fromkeys(names))


def _check_callbacks(value: Any) -> tuple[Callable[..., Any], ...]:
    functions = _as_tuple(value)
    for function in functions:
        if not callable(function):
            raise OptionError(f"callbacks={show_value(function)} cannot be called. Give functions of one argument, the epoch.")
    return functions


def _largest_number(dtype: str) -> float:
    return float(np.finfo(dtype).max)  # as a float: a comparison with a float32 would round the other number


def _as_tuple(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, Iterable) and not isinstance(value, str) and not callable(value) else (value,)


def _check_start(start: Any, dtype: str) -> tuple[float, ...] | None:
    if start is None:
        return None
    if isinstance(start, str) or not isinstance(start, Iterable):
        raise OptionError(f"start={show_value(start)} is not a list of numbers. Give one standardized coefficient for each column.")
    values = tuple(_check_number("start", value) for value in start)
    if not all(abs(value) <= _largest_number(dtype) for value in values):
        raise OptionError(f"start={show_value(list(values))} has a number that is not finite in {dtype}. Give finite numbers.")
    return values


def _check_flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool | np.bool_):
        raise OptionError(f"{name}={show_value(value)} is neither True nor False. Give one of them.")
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
        raise OptionError(
            f"{name}={show_value(value)} is of type {type(value).__name__}, not a number. Give a number, such as 0.01."
        )
    return read_float(name, value)


def _check_integer(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise OptionError(f"{name}={show_value(value)} is not a whole number. Give one, such as 1000.")
    read_float(name, value)  # else sizes and rates that are computed from it would overflow
    return int(value)
