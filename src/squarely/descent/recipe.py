"""The Recipe: every choice that decides a training run besides its rows, checked when it is made."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch

from squarely.errors import OptionError, did_you_mean
from squarely.theory import Descent

OPTIMIZERS = ("sgd", "adam")
DTYPES = {"float32": torch.float32, "float64": torch.float64}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How to train.

    Attributes
    ----------
    lr : learning rate, as torch's optimisers take it.
    epochs : number of updates; the loss is logged at epochs 0 to `epochs`, before the update that follows it.
    optimizer : "sgd" or "adam"; `momentum` and `nesterov` are SGD's.
    dtype : "float32" or "float64".
    seed : of the model's random start.
    device : "auto" (cuda:0 if there is one, else cpu) or a name that torch knows.
    start : the standardised coefficients to start from, the intercept first; None for nn.Linear's random start.
    """

    lr: float = 0.01
    epochs: int = 1000
    optimizer: str = "sgd"
    momentum: float = 0.0
    nesterov: bool = False
    dtype: str = "float32"
    seed: int = 0
    device: str = "auto"
    start: Sequence[float] | None = None

    @property
    def descent(self) -> Descent | None:
        """The recurrence that theory knows for this recipe; None where there is no closed form (Adam)."""
        if self.optimizer != "sgd":
            return None
        return Descent(lr=self.lr, momentum=self.momentum, nesterov=self.nesterov)


def checked(recipe: Recipe) -> Recipe:
    """Return the recipe with its values in plain Python types, or raise an OptionError that says which value is wrong."""
    lr = _number("lr", recipe.lr)
    if not (math.isfinite(lr) and lr > 0):
        raise OptionError(f"lr={recipe.lr!r} is not a learning rate: it must be a finite number above zero. Try lr=0.01.")
    epochs = _integer("epochs", recipe.epochs)
    if epochs < 1:
        raise OptionError(f"epochs={recipe.epochs!r} asks for no update at all. Give a whole number of at least 1.")
    if recipe.optimizer not in OPTIMIZERS:
        raise OptionError(f"optimizer={recipe.optimizer!r} is not known. {did_you_mean(str(recipe.optimizer), OPTIMIZERS)}")
    momentum = _momentum(recipe)
    dtype = str(recipe.dtype).removeprefix("torch.")
    if dtype not in DTYPES:
        raise OptionError(f"dtype={recipe.dtype!r} is not known. Use 'float32' or 'float64'.")
    if lr > torch.finfo(DTYPES[dtype]).max:
        raise OptionError(f"lr={lr:g} is beyond the range of {dtype}. The best rate is rarely above 1; try lr=0.01.")
    seed = _integer("seed", recipe.seed)
    if not -(2**63) <= seed < 2**64:
        raise OptionError(f"seed={seed} does not fit into 64 bits. Give a smaller number.")
    return Recipe(
        lr=lr,
        epochs=epochs,
        optimizer=recipe.optimizer,
        momentum=momentum,
        nesterov=bool(recipe.nesterov),
        dtype=dtype,
        seed=seed,
        device=str(_device(recipe.device)),
        start=_start(recipe.start, dtype),
    )


def _momentum(recipe: Recipe) -> float:
    momentum = _number("momentum", recipe.momentum)
    if not 0.0 <= momentum < 1.0:
        raise OptionError(f"momentum={recipe.momentum!r} is not in [0, 1). Usual values are 0 and 0.9.")
    if not isinstance(recipe.nesterov, bool | np.bool_):
        raise OptionError(f"nesterov={recipe.nesterov!r} is neither True nor False. Give one of these.")
    if recipe.optimizer != "sgd" and (momentum or recipe.nesterov):
        raise OptionError("momentum and nesterov belong to optimizer='sgd'; Adam has its own averages. Leave them out.")
    if recipe.nesterov and not momentum:
        raise OptionError("nesterov=True needs momentum above zero. Give one, such as momentum=0.9.")
    return momentum


def _start(start: Any, dtype: str) -> tuple[float, ...] | None:
    if start is None:
        return None
    if isinstance(start, str) or not isinstance(start, Iterable):
        raise OptionError(f"start={start!r} is not a list of numbers. Give one standardised coefficient for each column.")
    values = tuple(_number("start", value) for value in start)
    if not all(abs(value) <= torch.finfo(DTYPES[dtype]).max for value in values):
        raise OptionError(f"start={list(values)!r} has a number that is not finite in {dtype}. Give finite numbers.")
    return values


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, TypeError, NotImplementedError) as error:
        reason = str(error).strip().splitlines()[0]
        raise OptionError(f"device={name!r} cannot be used here. Use 'auto' or 'cpu'. PyTorch says: {reason}") from error
    return device


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise OptionError(f"{name}={value!r} is of type {type(value).__name__}, not a number. Give a number, such as 0.01.")
    return float(value)


def _integer(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise OptionError(f"{name}={value!r} is not a whole number. Give one, such as 1000.")
    return int(value)
