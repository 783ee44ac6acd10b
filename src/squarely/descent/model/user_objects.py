"""What a user brings to a run: a module and a loader of their own, and what the options becomes with them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from squarely.descent.batches.loader import LoaderSource
from squarely.descent.model.linear_regression import LinearRegression, get_coefficients
from squarely.descent.model.user_module import AffineForm, affine_form
from squarely.descent.options.options import DTYPES, TrainingOptions
from squarely.errors import OptionError
from squarely.numerics import Array


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class UserObjects:
    """What a user brings.

    Attributes
    ----------
    model : trained where it is, as a loop of the user's would; `initial_form` is what it was before.
    loader : the rows, in batches.
    """

    model: nn.Module | None = None
    initial_form: AffineForm | None = None
    loader: LoaderSource | None = None

    @property
    def is_plain(self) -> bool:
        """Whether theory holds for the model: a step moves its coefficients as it moves those of nn.Linear."""
        return self.initial_form is None or self.initial_form.is_plain

    @property
    def has_even_batches(self) -> bool:
        """Whether epochs have the same rows, and all batches but the last as many of them, the last no more."""
        return self.loader is None or (self.loader.has_even_batches and not self.loader.is_redrawn)


def check_user_objects(model: nn.Module | None, source: object, features: int, *, intercept: bool) -> UserObjects:
    """Look at a user's model before it is trained.

    Raises
    ------
    OptionError : it is not linear, has nothing to train, or an intercept where the columns have none, or none where they do.
    """
    loader = source if isinstance(source, LoaderSource) else None
    if model is None:
        return UserObjects(loader=loader)
    read = affine_form(model, features)
    if not read.trainable_parameters:
        raise OptionError(f"{' '.join(read.warnings)} Set requires_grad=True for what is to be trained.")
    if (read.bias is not None) != intercept:
        has, formula = ("a bias", "no intercept") if read.bias is not None else ("no bias", "an intercept")
        raise OptionError(f"The model has {has}, and the formula {formula}. Write '- 1' into the formula, or change the model.")
    return UserObjects(model=model, initial_form=read, loader=loader)


def adapt_options(options: TrainingOptions, own: UserObjects) -> tuple[TrainingOptions, tuple[str, ...]]:
    """Give the options as it is with what the user brings, and sentences on what that means.

    Raises
    ------
    OptionError : an option does not go with it.
    """
    if own.loader is not None:
        if options.batch_size is not None:
            raise OptionError("batch_size= cuts rows into batches, and loader= brings its own. Set the batch size of the loader.")
        options = replace(options, standardize=False, batch_size=own.loader.batch_rows, shuffle=own.loader.is_shuffled)
    if own.model is None:
        return options, _cast_remarks(own, options.dtype)
    if options.start is not None:
        raise OptionError("start= sets the start of nn.Linear, and model= brings its own. Set the parameters of the model.")
    if options.engine != "rows" or options.gradient != "autograd":
        raise OptionError("A model of your own is trained on rows through autograd. Leave engine= and gradient= out.")
    kinds = {(parameter.dtype, parameter.device) for parameter in own.model.parameters()}
    dtype, device = next(iter(kinds))
    if len(kinds) > 1 or dtype not in DTYPES.values():
        names = ", ".join(sorted({f"{str(kind)[6:]} on {place}" for kind, place in kinds}))
        raise OptionError(f"The model's parameters are {names}. Give a model of one dtype, float32 or float64, on one device.")
    assert own.initial_form is not None  # noqa: S101  # it was read when it was taken
    options = replace(options, dtype=str(dtype).removeprefix("torch."), device=str(device))
    return options, own.initial_form.warnings + _cast_remarks(own, options.dtype)


def _cast_remarks(own: UserObjects, dtype: str) -> tuple[str, ...]:
    """Say that the values of a loader are not of the model's dtype."""
    given = [] if own.loader is None else [kind for kind in dict.fromkeys(own.loader.columns.values()) if kind != dtype]
    return (f"The loader's {' and '.join(given)} values are cast to the model's {dtype}.",) if given else ()


def coefficient_reader(model: nn.Module, features: int, *, bias: bool) -> Callable[[], Array]:
    """Give what reads a model's coefficients (p,) in float64, the bias first if there is one.

    They are NaN once a parameter of a user's module is not finite.
    """
    layer: Any = model.linear if isinstance(model, LinearRegression) else model
    if type(layer) is nn.Linear:
        return lambda: get_coefficients(layer)

    def read() -> Array:
        if not all(bool(torch.isfinite(parameter).all()) for parameter in model.parameters()):
            return np.full(features + bias, np.nan)
        found = affine_form(model, features)
        return np.concatenate([[found.bias or 0.0], found.weight]) if bias else found.weight

    return read
