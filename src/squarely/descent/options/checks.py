"""Check training options: return each value in its plain type, or raise an OptionError that names the wrong one."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch

from squarely.descent.options.optimizers import (
    BATCH_SCHEDULERS,
    new_optimizer,
    new_scheduler,
    require_model_parameters,
    resolve_optimizer,
    resolve_scheduler,
)
from squarely.descent.options.options import DTYPES, LOSSES, METRICS, TrainingOptions
from squarely.errors import OptionError, first_line, require_one_of, suggest_name

ENGINES = ("rows", "moments", "closed_form")
_MAX_LOGGED_EPOCHS = 10**7  # epochs: half a gigabyte of losses
_STOP = re.compile(r"\s*(?P<tau>\d*\.?\d+(e[-+]?\d+)?)\s*se\s*", re.IGNORECASE)


def check_options(options: TrainingOptions, model: torch.nn.Module | None = None) -> TrainingOptions:
    """Return the options with values of plain Python types, or raise an OptionError that says which value is wrong.

    `model` is the user's own, whose parameters the user's own optimizer may have.
    """
    dtype = str(options.dtype).removeprefix("torch.")
    require_one_of("dtype", dtype, tuple(DTYPES))
    require_one_of("engine", options.engine, ENGINES)
    require_one_of("gradient", options.gradient, ("autograd", "closed"))
    seed = _check_integer("seed", options.seed)
    if not -(2**63) <= seed < 2**64:
        raise OptionError(f"seed={seed} does not fit into 64 bits. Give a smaller number.")
    checked = replace(
        options,
        lr=_check_lr(options.lr, dtype),
        epochs=_check_at_least_one("epochs", options.epochs, "asks for no update"),
        seed=seed,
        dtype=dtype,
        device=str(_check_device(options.device)),
        start=_check_start(options.start, dtype),
        standardize=_check_flag("standardize", options.standardize),
        stream=None if options.stream is None else _check_flag("stream", options.stream),
        callbacks=_check_callbacks(options.callbacks),
        metrics=_check_metrics(options.metrics),
        **_check_optimizer(options),
        **_check_loss(options),
        **_check_batches(options),
        **_check_stopping(options),
    )
    require_model_parameters(checked, model)
    _require_compatible(checked)
    _try_out(checked)
    return checked


def stop_distance(options: TrainingOptions) -> float | None:
    """Return the distance to the optimum, in standard errors, at which a run stops; None if it does not stop by it."""
    match = _STOP.fullmatch(options.stop or "")
    return float(match["tau"]) if match else None


def _check_lr(value: Any, dtype: str) -> float | str:
    if isinstance(value, str):
        if value == "auto":
            return value
        raise OptionError(f"lr={value!r} is not a number. Give one, such as lr=0.01, or 'auto'.")
    lr = _check_number("lr", value)
    if not (math.isfinite(lr) and lr > 0):
        raise OptionError(f"lr={value!r} is not a learning rate: it must be a finite number above zero. Try lr=0.01.")
    if lr > torch.finfo(DTYPES[dtype]).max:
        raise OptionError(f"lr={lr:g} is beyond the range of {dtype}. The best rate is rarely above 1; try lr=0.01.")
    return lr


def _check_optimizer(options: TrainingOptions) -> dict[str, Any]:
    optimizer, scheduler = resolve_optimizer(options.optimizer), resolve_scheduler(options.scheduler)
    for name, mapping in (("optimizer_options", options.optimizer_options), ("scheduler_options", options.scheduler_options)):
        if not isinstance(mapping, Mapping) or not all(isinstance(key, str) for key in mapping):
            raise OptionError(f"{name}={mapping!r} is not a dict of options by their names. Give one, such as {{'eps': 1e-6}}.")
    if options.optimizer_options and not isinstance(optimizer, str):
        raise OptionError("optimizer_options= go with an optimizer's name or class. A function sets its own.")
    if options.scheduler_options and not isinstance(scheduler, str):
        raise OptionError("scheduler_options= go with a scheduler's name or class. A function sets its own.")
    for name in {"lr", "momentum", "nesterov", "weight_decay"} & set(options.optimizer_options):
        if name == "lr" or optimizer == "sgd" or (name == "weight_decay" and options.weight_decay is not None):
            raise OptionError(f"optimizer_options has {name!r}, which is a separate option. Give {name}= instead.")
    require_one_of("scheduler_per", options.scheduler_per, ("epoch", "batch"))
    return {
        "optimizer": optimizer,
        "momentum": _check_momentum(options, optimizer),
        "nesterov": bool(options.nesterov),
        "weight_decay": _check_weight_decay(options, optimizer),
        "scheduler": scheduler,
        "scheduler_per": "batch" if isinstance(scheduler, str) and scheduler in BATCH_SCHEDULERS else options.scheduler_per,
    }


def _check_weight_decay(options: TrainingOptions, optimizer: Any) -> float | None:
    decay = options.weight_decay
    if decay is not None:
        if not isinstance(optimizer, str):
            raise OptionError("weight_decay= goes with an optimizer's name or class. Set it in your own optimizer.")
        decay = _check_number("weight_decay", decay)
        if not 0.0 <= decay < math.inf:
            raise OptionError(f"weight_decay={options.weight_decay!r} is not a number of at least 0. Usual values are 0 and 0.01.")
    return decay


def _check_momentum(options: TrainingOptions, optimizer: Any) -> float:
    momentum = _check_number("momentum", options.momentum)
    if not 0.0 <= momentum < 1.0:
        raise OptionError(f"momentum={options.momentum!r} is not in [0, 1). Usual values are 0 and 0.9.")
    if not isinstance(options.nesterov, bool | np.bool_):
        raise OptionError(f"nesterov={options.nesterov!r} is neither True nor False. Give one of them.")
    if optimizer != "sgd" and (momentum or options.nesterov):
        raise OptionError("momentum and nesterov belong to optimizer='sgd'; Adam has its own averages. Leave them out.")
    if options.nesterov and not momentum:
        raise OptionError("nesterov=True needs momentum above zero. Give one, such as momentum=0.9.")
    return momentum


def _check_loss(options: TrainingOptions) -> dict[str, Any]:
    loss = options.loss.lower().removesuffix("loss") if isinstance(options.loss, str) else options.loss
    if not isinstance(loss, str) or loss not in LOSSES:
        raise OptionError(f"loss={options.loss!r} is not known. {suggest_name(str(options.loss), LOSSES)}")
    delta, quantile = _check_number("delta", options.delta), _check_number("quantile", options.quantile)
    if not 0.0 < delta < math.inf:
        raise OptionError(
            f"delta={options.delta!r} is not above zero. Huber's loss turns linear there, in standardized units; try 1."
        )
    if not 0.0 < quantile < 1.0:
        raise OptionError(f"quantile={options.quantile!r} is not between 0 and 1. Give one, such as 0.5 for the median.")
    clip = options.clip_grad_norm
    if clip is not None:
        clip = _check_number("clip_grad_norm", clip)
        if not 0.0 < clip < math.inf:
            raise OptionError(f"clip_grad_norm={options.clip_grad_norm!r} is not a length above zero. Give one, such as 1.0.")
    return {"loss": loss, "delta": delta, "quantile": quantile, "clip_grad_norm": clip}


def _check_batches(options: TrainingOptions) -> dict[str, Any]:
    size = options.batch_size
    if size is not None:
        size = _check_at_least_one("batch_size", size, "is no batch at all")
    shuffle, replacement = _check_flag("shuffle", options.shuffle), _check_flag("replacement", options.replacement)
    if replacement and size is None:
        raise OptionError("replacement=True draws batches, and without batch_size= every step uses all rows. Give a batch_size.")
    if replacement and not shuffle:
        raise OptionError("replacement=True draws rows at random, and shuffle=False keeps their order. Leave one of them out.")
    return {"batch_size": size, "shuffle": shuffle, "replacement": replacement}


def _check_stopping(options: TrainingOptions) -> dict[str, Any]:
    stop = options.stop
    if stop is not None and not (isinstance(stop, str) and stop in ("loss", "validation")):
        match = _STOP.fullmatch(stop) if isinstance(stop, str) else None
        if match is None or not float(match["tau"]) > 0:
            raise OptionError(f"stop={stop!r} is not understood. Use 'loss', 'validation' or '0.01 se', a distance to the optimum.")
    patience = _check_at_least_one("patience", options.patience, "would stop before the first epoch")
    min_delta = _check_number("min_delta", options.min_delta)
    if not 0.0 <= min_delta < math.inf:
        raise OptionError(
            f"min_delta={options.min_delta!r} is not a number of at least 0. Give the smallest gain in the loss that counts."
        )
    average: int | None = None
    if options.average is True:
        average = _check_integer("epochs", options.epochs) // 2
    elif options.average is not None and options.average is not False:
        average = _check_integer("average", options.average)
        if not 0 <= average < options.epochs:
            raise OptionError(
                f"average={average} is not one of the epochs 0 to {options.epochs - 1}. Give the first epoch of the average, or "
                "True for the second half."
            )
    return {"stop": stop, "patience": patience, "min_delta": min_delta, "average": average}


def _require_compatible(options: TrainingOptions) -> None:
    """Raise an OptionError where options contradict each other."""
    if options.engine != "rows":
        _require_quadratic(options)
    if options.average is not None and options.stop is not None:
        raise OptionError(
            f"average= ends with the mean of the iterates, and stop={options.stop!r} with a single one. Leave one of them out."
        )
    if options.gradient == "closed" and options.loss != "mse":
        raise OptionError(f"gradient='closed' is for loss='mse', not for {options.loss!r}. Use gradient='autograd'.")
    if options.optimizer == "lbfgs" and options.batch_size is not None:
        raise OptionError("optimizer='lbfgs' evaluates one loss several times a step, and batches differ. Leave batch_size out.")
    if options.optimizer == "lbfgs" and options.clip_grad_norm is not None:
        raise OptionError("optimizer='lbfgs' searches along the unclipped gradient. Leave clip_grad_norm out.")
    if options.lr == "auto" and options.optimizer != "sgd":
        raise OptionError(
            f"lr='auto' is for optimizer='sgd'; there is no theory of {_describe_optimizer(options.optimizer)}. Try lr=0.01."
        )
    if stop_distance(options) is not None and options.loss != "mse":
        raise OptionError(f"stop={options.stop!r} is a bound for loss='mse', not for {options.loss!r}. Use another stop=.")


def _require_quadratic(options: TrainingOptions) -> None:
    engine = options.engine
    if options.loss != "mse":
        raise OptionError(f"engine={engine!r} is for loss='mse', not for {options.loss!r}. Use engine='rows'.")
    if options.batch_size is not None:
        raise OptionError(f"engine={engine!r} has no rows for batches. Leave batch_size out, or use engine='rows'.")
    if "mae" in options.metrics:
        raise OptionError(f"engine={engine!r} cannot compute the metric 'mae', which needs every row. Use 'mse', 'rmse' and 'r2'.")
    if engine == "closed_form":
        if options.epochs > _MAX_LOGGED_EPOCHS:
            raise OptionError(
                f"epochs={options.epochs:,} would fill the memory with history. engine='closed_form' takes up to "
                f"{_MAX_LOGGED_EPOCHS:,}; `run.theory` and the predicted curve show the error that remains after fewer epochs."
            )
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


def _describe_optimizer(optimizer: Any) -> str:
    return optimizer if isinstance(optimizer, str) else "an optimizer of your own"


def _check_metrics(value: Any) -> tuple[str, ...]:
    names = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, Iterable) else (value,)
    for name in names:
        if name not in METRICS:
            raise OptionError(f"metrics has {name!r}, which is not known. {suggest_name(str(name), METRICS)}")
    return tuple(dict.fromkeys(names))


def _check_callbacks(value: Any) -> tuple[Callable[..., Any], ...]:
    functions = (value,) if callable(value) else tuple(value) if isinstance(value, Iterable) else (value,)
    for function in functions:
        if not callable(function):
            raise OptionError(f"callbacks has {function!r}, which cannot be called. Give functions of one argument, the epoch.")
    return functions


def _check_start(start: Any, dtype: str) -> tuple[float, ...] | None:
    if start is None:
        return None
    if isinstance(start, str) or not isinstance(start, Iterable):
        raise OptionError(f"start={start!r} is not a list of numbers. Give one standardized coefficient for each column.")
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
            f"device={name!r} cannot be used here. Use 'auto' or 'cpu'. PyTorch says: {first_line(error)}."
        ) from error
    return device


def _check_flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool | np.bool_):
        raise OptionError(f"{name}={value!r} is neither True nor False. Give one of them.")
    return bool(value)


def _check_at_least_one(name: str, value: Any, meaning: str) -> int:
    number = _check_integer(name, value)
    if number < 1:
        raise OptionError(f"{name}={value!r} {meaning}. Give a whole number of at least 1.")
    return number


def _check_number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise OptionError(f"{name}={value!r} is of type {type(value).__name__}, not a number. Give a number, such as 0.01.")
    return float(value)


def _check_integer(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise OptionError(f"{name}={value!r} is not a whole number. Give one, such as 1000.")
    return int(value)
