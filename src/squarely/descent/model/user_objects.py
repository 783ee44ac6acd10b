"""The module and the loader of a user, and the options that follow from them."""

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
from squarely.descent.options.optimizers import DTYPES
from squarely.descent.options.options import TrainingOptions
from squarely.errors import OptionError
from squarely.numerics import Array


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class UserObjects:
    """The torch objects that a user passes: a model, which is trained in place, and a loader."""

    model: nn.Module | None = None
    initial_form: AffineForm | None = None  # the coefficients of the model before training
    loader: LoaderSource | None = None

    @property
    def is_plain(self) -> bool:
        """Whether a step moves the coefficients of the model as those of nn.Linear, so that theory holds."""
        return self.initial_form is None or self.initial_form.is_plain

    @property
    def has_even_batches(self) -> bool:
        """Whether epochs have the same rows, and all batches but a shorter last one are of equal size."""
        return self.loader is None or (self.loader.has_even_batches and not self.loader.is_redrawn)


def check_user_objects(model: nn.Module | None, source: object, features: int, *, intercept: bool) -> UserObjects:
    """Check a user's model before it is trained: it is linear, can be trained, and has a bias if the formula has an intercept."""
    loader = source if isinstance(source, LoaderSource) else None
    if model is None:
        return UserObjects(loader=loader)
    form = affine_form(model, features)
    if not form.trainable_parameters:
        raise OptionError(f"{' '.join(form.warnings)} Set requires_grad=True for the parameters to train.")
    if (form.bias is not None) != intercept:
        has, formula = ("a bias", "no intercept") if form.bias is not None else ("no bias", "an intercept")
        raise OptionError(f"The model has {has}, and the formula {formula}. Write '- 1' into the formula, or change the model.")
    return UserObjects(model=model, initial_form=form, loader=loader)


def adapt_options(options: TrainingOptions, user: UserObjects) -> tuple[TrainingOptions, tuple[str, ...]]:
    """Return the options that the user's objects imply, and remarks on them; an OptionError where an option contradicts one."""
    if user.loader is not None:
        if options.batch_size is not None:
            raise OptionError("batch_size= does not apply to loader=, which has its own batches. Set the batch size of the loader.")
        options = replace(options, standardize=False, batch_size=user.loader.batch_rows, shuffle=user.loader.is_shuffled)
    if user.model is None:
        return options, _cast_remarks(user, options.dtype)
    if options.start is not None:
        raise OptionError("start= is the start of nn.Linear, and model= has its own. Set the parameters of the model.")
    if options.engine != "rows" or options.gradient != "autograd":
        raise OptionError("A model of your own is trained on rows through autograd. Leave engine= and gradient= out.")
    kinds = {(parameter.dtype, parameter.device) for parameter in user.model.parameters()}
    dtype, device = next(iter(kinds))
    if len(kinds) > 1 or dtype not in DTYPES.values():
        names = ", ".join(sorted({f"{str(kind)[6:]} on {place}" for kind, place in kinds}))
        raise OptionError(f"The model's parameters are {names}. Give a model of one dtype, float32 or float64, on one device.")
    assert user.initial_form is not None  # noqa: S101  # every model has one
    options = replace(options, dtype=str(dtype).removeprefix("torch."), device=str(device))
    return options, user.initial_form.warnings + _cast_remarks(user, options.dtype)


def _cast_remarks(user: UserObjects, dtype: str) -> tuple[str, ...]:
    """Remark that the values of a loader do not have the dtype of the model."""
    others = [] if user.loader is None else [kind for kind in dict.fromkeys(user.loader.columns.values()) if kind != dtype]
    return (f"The loader's {' and '.join(others)} values are cast to the model's {dtype}.",) if others else ()


def coefficient_reader(model: nn.Module, features: int, *, bias: bool) -> Callable[[], Array]:
    """Return a function that reads a model's coefficients (p,) in float64, the bias first if there is one.

    They are NaN when a parameter of a user's module is not finite.
    """
    layer: Any = model.linear if isinstance(model, LinearRegression) else model
    if type(layer) is nn.Linear:
        return lambda: get_coefficients(layer)

    def read() -> Array:
        if not all(bool(torch.isfinite(parameter).all()) for parameter in model.parameters()):
            return np.full(features + bias, np.nan)
        form = affine_form(model, features)
        return np.concatenate([[form.bias or 0.0], form.weight]) if bias else form.weight

    return read
