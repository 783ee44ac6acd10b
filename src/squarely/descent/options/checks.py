"""Whether a Recipe makes sense: each value in its plain type, or an OptionError that says which is wrong and what would do."""

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


def check_options(recipe: TrainingOptions, model: torch.nn.Module | None = None) -> TrainingOptions:
    """Return the recipe with its values in plain Python types, or raise an OptionError that says which value is wrong.

    `model` is the user's own, whose parameters an optimiser of the user's own may hold.
    """
    dtype = str(recipe.dtype).removeprefix("torch.")
    if dtype not in DTYPES:
        raise OptionError(f"dtype={recipe.dtype!r} is not known. Use 'float32' or 'float64'.")
    seed = _check_integer("seed", recipe.seed)
    if not -(2**63) <= seed < 2**64:
        raise OptionError(f"seed={seed} does not fit into 64 bits. Give a smaller number.")
    done = replace(
        recipe,
        lr=_check_lr(recipe.lr, dtype),
        epochs=_check_at_least_one("epochs", recipe.epochs, "asks for no update at all"),
        seed=seed,
        dtype=dtype,
        device=str(_check_device(recipe.device)),
        start=_check_start(recipe.start, dtype),
        engine=_check_one_of("engine", recipe.engine, ENGINES),
        gradient=_check_one_of("gradient", recipe.gradient, ("autograd", "closed")),
        standardize=_check_flag("standardize", recipe.standardize),
        stream=None if recipe.stream is None else _check_flag("stream", recipe.stream),
        callbacks=_check_callbacks(recipe.callbacks),
        metrics=_check_metrics(recipe.metrics),
        **_check_optimizer(recipe),
        **_check_loss(recipe),
        **_check_batches(recipe),
        **_check_stopping(recipe),
    )
    require_model_parameters(done, model)
    _require_sense(done)
    _try_out(done)
    return done


def stop_distance(recipe: TrainingOptions) -> float | None:
    """Give the distance to the optimum, in standard errors, at which a run stops; None if it stops for another reason or none."""
    met = _STOP.fullmatch(recipe.stop or "")
    return float(met["tau"]) if met else None


def _check_lr(given: Any, dtype: str) -> float | str:
    if isinstance(given, str):
        if given == "auto":
            return given
        raise OptionError(f"lr={given!r} is not a number. Give one, such as lr=0.01, or 'auto'.")
    lr = _check_number("lr", given)
    if not (math.isfinite(lr) and lr > 0):
        raise OptionError(f"lr={given!r} is not a learning rate: it must be a finite number above zero. Try lr=0.01.")
    if lr > torch.finfo(DTYPES[dtype]).max:
        raise OptionError(f"lr={lr:g} is beyond the range of {dtype}. The best rate is rarely above 1; try lr=0.01.")
    return lr


def _check_optimizer(recipe: TrainingOptions) -> dict[str, Any]:
    optimizer, scheduler = resolve_optimizer(recipe.optimizer), resolve_scheduler(recipe.scheduler)
    for name, options in (("optimizer_options", recipe.optimizer_options), ("scheduler_options", recipe.scheduler_options)):
        if not isinstance(options, Mapping) or not all(isinstance(key, str) for key in options):
            raise OptionError(f"{name}={options!r} is not a dict of options by their names. Give one, such as {{'eps': 1e-6}}.")
    if recipe.optimizer_options and not isinstance(optimizer, str):
        raise OptionError("optimizer_options= go with an optimiser's name or class. A function sets its own.")
    if recipe.scheduler_options and not isinstance(scheduler, str):
        raise OptionError("scheduler_options= go with a scheduler's name or class. A function sets its own.")
    for taken in {"lr", "momentum", "nesterov", "weight_decay"} & set(recipe.optimizer_options):
        if taken == "lr" or optimizer == "sgd":
            raise OptionError(f"optimizer_options has {taken!r}, which is an option of its own. Give {taken}= instead.")
    require_one_of("scheduler_per", recipe.scheduler_per, ("epoch", "batch"))
    return {
        "optimizer": optimizer,
        "momentum": _check_momentum(recipe, optimizer),
        "nesterov": bool(recipe.nesterov),
        "weight_decay": _check_weight_decay(recipe, optimizer),
        "scheduler": scheduler,
        "scheduler_per": "batch" if isinstance(scheduler, str) and scheduler in BATCH_SCHEDULERS else recipe.scheduler_per,
    }


def _check_weight_decay(recipe: TrainingOptions, optimizer: Any) -> float | None:
    decay = recipe.weight_decay
    if decay is not None:
        if not isinstance(optimizer, str):
            raise OptionError("weight_decay= goes with an optimiser's name or class. One of your own sets its own.")
        decay = _check_number("weight_decay", decay)
        if not 0.0 <= decay < math.inf:
            raise OptionError(f"weight_decay={recipe.weight_decay!r} is not a number of at least 0. Usual values are 0 and 0.01.")
    return decay


def _check_momentum(recipe: TrainingOptions, optimizer: Any) -> float:
    momentum = _check_number("momentum", recipe.momentum)
    if not 0.0 <= momentum < 1.0:
        raise OptionError(f"momentum={recipe.momentum!r} is not in [0, 1). Usual values are 0 and 0.9.")
    if not isinstance(recipe.nesterov, bool | np.bool_):
        raise OptionError(f"nesterov={recipe.nesterov!r} is neither True nor False. Give one of these.")
    if optimizer != "sgd" and (momentum or recipe.nesterov):
        raise OptionError("momentum and nesterov belong to optimizer='sgd'; Adam has its own averages. Leave them out.")
    if recipe.nesterov and not momentum:
        raise OptionError("nesterov=True needs momentum above zero. Give one, such as momentum=0.9.")
    return momentum


def _check_loss(recipe: TrainingOptions) -> dict[str, Any]:
    loss = recipe.loss.lower().removesuffix("loss") if isinstance(recipe.loss, str) else recipe.loss
    if not isinstance(loss, str) or loss not in LOSSES:
        raise OptionError(f"loss={recipe.loss!r} is not known. {suggest_name(str(recipe.loss), LOSSES)}")
    delta, quantile = _check_number("delta", recipe.delta), _check_number("quantile", recipe.quantile)
    if not 0.0 < delta < math.inf:
        raise OptionError(
            f"delta={recipe.delta!r} is not above zero. It is where Huber's loss turns linear, in standardised units; try 1."
        )
    if not 0.0 < quantile < 1.0:
        raise OptionError(f"quantile={recipe.quantile!r} is not between 0 and 1. Give one, such as 0.5 for the median.")
    clip = recipe.clip_grad_norm
    if clip is not None:
        clip = _check_number("clip_grad_norm", clip)
        if not 0.0 < clip < math.inf:
            raise OptionError(f"clip_grad_norm={recipe.clip_grad_norm!r} is not a length above zero. Give one, such as 1.0.")
    return {"loss": loss, "delta": delta, "quantile": quantile, "clip_grad_norm": clip}


def _check_batches(recipe: TrainingOptions) -> dict[str, Any]:
    size = recipe.batch_size
    if size is not None:
        size = _check_at_least_one("batch_size", size, "is no batch at all")
    shuffle, replacement = _check_flag("shuffle", recipe.shuffle), _check_flag("replacement", recipe.replacement)
    if replacement and size is None:
        raise OptionError("replacement=True draws batches, and without batch_size= every step uses all rows. Give a batch_size.")
    if replacement and not shuffle:
        raise OptionError("replacement=True draws rows at random, and shuffle=False keeps their order. Leave one of them out.")
    return {"batch_size": size, "shuffle": shuffle, "replacement": replacement}


def _check_stopping(recipe: TrainingOptions) -> dict[str, Any]:
    stop = recipe.stop
    if stop is not None and not (isinstance(stop, str) and stop in ("loss", "validation")):
        met = _STOP.fullmatch(stop) if isinstance(stop, str) else None
        if met is None or not float(met["tau"]) > 0:
            raise OptionError(
                f"stop={stop!r} is not understood. Use '0.01 se' (a distance to the optimum), 'loss' or 'validation'."
            )
    patience = _check_at_least_one("patience", recipe.patience, "would stop before the first epoch")
    gain = _check_number("min_delta", recipe.min_delta)
    if not 0.0 <= gain < math.inf:
        raise OptionError(f"min_delta={recipe.min_delta!r} is not a number of at least 0. It is what counts as a gain in the loss.")
    average: int | None = None
    if recipe.average is True:
        average = _check_integer("epochs", recipe.epochs) // 2
    elif recipe.average is not None and recipe.average is not False:
        average = _check_integer("average", recipe.average)
        if not 0 <= average < recipe.epochs:
            raise OptionError(
                f"average={average} is not one of the epochs 0 to {recipe.epochs - 1}, from which iterates could be averaged. "
                "Give one of them, or True for the second half."
            )
    return {"stop": stop, "patience": patience, "min_delta": gain, "average": average}


def _require_sense(recipe: TrainingOptions) -> None:
    """Refuse what an engine or a gradient cannot do."""
    if recipe.engine != "rows":
        _require_quadratic(recipe)
    if recipe.average is not None and recipe.stop is not None:
        raise OptionError(
            f"average= puts the mean of the iterates into the model, and stop={recipe.stop!r} looks at single ones and may bring "
            "one back: both decide what the run ends with. Leave one of them out."
        )
    if recipe.gradient == "closed" and recipe.loss != "mse":
        raise OptionError(f"gradient='closed' is written out for the mean squared error; loss={recipe.loss!r} goes by 'autograd'.")
    if recipe.optimizer == "lbfgs" and recipe.batch_size is not None:
        raise OptionError("optimizer='lbfgs' wants the same loss at every look, and batches differ. Leave batch_size out.")
    if recipe.optimizer == "lbfgs" and recipe.clip_grad_norm is not None:
        raise OptionError("optimizer='lbfgs' searches along the gradient as it is. Leave clip_grad_norm out.")
    if recipe.lr == "auto" and recipe.optimizer != "sgd":
        raise OptionError(
            f"lr='auto' is known for optimizer='sgd'; there is no theory of {_describe_optimizer(recipe.optimizer)}. Try lr=0.01."
        )
    if stop_distance(recipe) is not None and recipe.loss != "mse":
        raise OptionError(f"stop={recipe.stop!r} rests on a bound that holds for the mean squared error, not for {recipe.loss!r}.")


def _require_quadratic(recipe: TrainingOptions) -> None:
    engine = recipe.engine
    if recipe.loss != "mse":
        raise OptionError(f"engine={engine!r} knows the mean squared error alone; loss={recipe.loss!r} needs the rows.")
    if recipe.batch_size is not None:
        raise OptionError(f"engine={engine!r} has no rows to make batches of. Leave batch_size out, or use engine='rows'.")
    if "mae" in recipe.metrics:
        raise OptionError(f"engine={engine!r} cannot know the metric 'mae', which needs every row. Use 'mse', 'rmse' and 'r2'.")
    if engine == "closed_form":
        if recipe.epochs > _MAX_LOGGED_EPOCHS:
            raise OptionError(
                f"epochs={recipe.epochs:,} would be as many lines of history, which would fill the memory. engine='closed_form' "
                f"takes up to {_MAX_LOGGED_EPOCHS:,}; `run.theory` and the predicted curve say long before what is left of the error."
            )
        if recipe.scheduler is not None or replace(recipe, lr=1.0).descent is None:
            raise OptionError(
                "engine='closed_form' knows SGD with momentum or Nesterov at a constant rate, nothing else. Use engine='moments'."
            )
        for name in ("average", "stop"):
            if getattr(recipe, name) is not None:
                raise OptionError(f"engine='closed_form' takes no steps, so {name}= has no meaning. Use engine='moments'.")


def _try_out(recipe: TrainingOptions) -> None:
    """Make what has a name once for a parameter of its own: a mistake shows before any row is read."""
    if not isinstance(recipe.optimizer, str) or recipe.engine == "closed_form":
        return
    trial = recipe if recipe.lr != "auto" else replace(recipe, lr=0.01)
    parameter = torch.nn.Parameter(torch.zeros(1, device="cpu"))
    optimizer = new_optimizer([parameter], trial)
    if recipe.scheduler is None or isinstance(recipe.scheduler, str):
        new_scheduler(optimizer, trial)


def _describe_optimizer(optimizer: Any) -> str:
    return optimizer if isinstance(optimizer, str) else "an optimiser of your own"


def _check_metrics(given: Any) -> tuple[str, ...]:
    names = (given,) if isinstance(given, str) else tuple(given) if isinstance(given, Iterable) else (given,)
    for name in names:
        if name not in METRICS:
            raise OptionError(f"metrics has {name!r}, which is not known. {suggest_name(str(name), METRICS)}")
    return tuple(dict.fromkeys(names))


def _check_callbacks(given: Any) -> tuple[Callable[..., Any], ...]:
    functions = (given,) if callable(given) else tuple(given) if isinstance(given, Iterable) else (given,)
    for function in functions:
        if not callable(function):
            raise OptionError(f"callbacks has {function!r}, which cannot be called. Give functions of one argument, the epoch.")
    return functions


def _check_start(start: Any, dtype: str) -> tuple[float, ...] | None:
    if start is None:
        return None
    if isinstance(start, str) or not isinstance(start, Iterable):
        raise OptionError(f"start={start!r} is not a list of numbers. Give one standardised coefficient for each column.")
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


def _check_one_of(name: str, given: Any, known: tuple[str, ...]) -> str:
    if not isinstance(given, str) or given not in known:
        raise OptionError(f"{name}={given!r} is not known. {suggest_name(str(given), known)}")
    return str(given)


def _check_flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool | np.bool_):
        raise OptionError(f"{name}={value!r} is neither True nor False. Give one of these.")
    return bool(value)


def _check_at_least_one(name: str, given: Any, meaning: str) -> int:
    value = _check_integer(name, given)
    if value < 1:
        raise OptionError(f"{name}={given!r} {meaning}. Give a whole number of at least 1.")
    return value


def _check_number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise OptionError(f"{name}={value!r} is of type {type(value).__name__}, not a number. Give a number, such as 0.01.")
    return float(value)


def _check_integer(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise OptionError(f"{name}={value!r} is not a whole number. Give one, such as 1000.")
    return int(value)
