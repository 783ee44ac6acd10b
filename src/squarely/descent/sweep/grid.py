"""The grid of a sweep: every combination of what may vary, each a checked Recipe; and which recipes cannot share a program."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from squarely.descent.options.checks import check_options
from squarely.descent.options.optimizers import BATCH_SCHEDULERS
from squarely.descent.options.options import TrainingOptions
from squarely.errors import OptionError

SWEPT: Mapping[str, str] = {
    "lr": "learning rate",
    "batch_size": "batch size",
    "seed": "seed",
    "momentum": "momentum",
    "weight_decay": "weight decay",
}
MAX_RUNS = 100_000  # runs in a sweep
_SEQUENCES = ("metrics", "callbacks", "start")  # of which a single value is a sequence
_UNSUPPORTED_OPTIONS = ("amsgrad", "maximize")  # options of optimisers that are not written out for many runs


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """What a sweep is to train.

    Attributes
    ----------
    options : one for each combination; the option named last in VARY changes fastest.
    varied : the options that have several values.
    """

    options: tuple[TrainingOptions, ...]
    varied: tuple[str, ...]


def make_grid(options: Mapping[str, Any]) -> Grid:
    """Make the recipes of all combinations; `options` are those of a Recipe, one value or several for each that may vary.

    Raises
    ------
    OptionError : a list is empty or names a value twice, an option has several values that cannot vary, a value makes no sense,
        or there are too many combinations.

    Examples
    --------
    >>> made = make_grid({"lr": [0.1, 0.01], "seed": range(3)})
    >>> len(made.options), made.varied, made.options[1].seed
    (6, ('lr', 'seed'), 1)
    """
    _require_single(options)
    axes = {name: _check_values(name, options[name]) for name in SWEPT if name in options}
    count = math.prod(map(len, axes.values()))
    if count > MAX_RUNS:
        sizes = " x ".join(f"{len(values):,} of {name}" for name, values in axes.items() if len(values) > 1)
        raise OptionError(f"This grid has {count:,} runs ({sizes}); a sweep trains up to {MAX_RUNS:,}. Leave some values out.")
    first = TrainingOptions.of({**options, **{name: values[0] for name, values in axes.items()}})
    base = check_options(first)
    # The checks weigh an option against those that do not vary, so each value is looked at once and not each combination.
    plain = {name: [getattr(check_options(replace(first, **{name: v})), name) for v in values] for name, values in axes.items()}
    made = (replace(base, **dict(zip(plain, values, strict=True))) for values in itertools.product(*plain.values()))
    if not isinstance(base.optimizer, str) and len(plain.get("lr", ())) > 1:
        raise OptionError(
            "optimizer= is one of your own, which sets its own learning rate, so that all values of lr= would give the same run. "
            "Give its name or its class with optimizer_options=, or one value of lr=."
        )
    return Grid(options=tuple(made), varied=tuple(name for name, values in axes.items() if len(values) > 1))


def why_not_batched(recipe: TrainingOptions) -> str | None:
    """Say why runs of a recipe cannot be trained in one program, in half a sentence; None if they can."""
    given = recipe.optimizer if isinstance(recipe.optimizer, str) else "an optimiser of your own"
    options = [name for name in _UNSUPPORTED_OPTIONS if recipe.optimizer_options.get(name)]
    reasons = {
        "engine='closed_form' takes no steps": recipe.engine == "closed_form",
        f"the updates of {given} are not written out for many runs": given not in ("sgd", "adam", "adamw"),
        f"{' and '.join(options)} of {given} is not written out for many runs": bool(options),
        f"the gradient of loss={recipe.loss!r} jumps, and rounding would choose the side": recipe.loss not in ("mse", "huber"),
        "each gradient is clipped by its own length": recipe.clip_grad_norm is not None,
        "iterates are averaged run by run": recipe.average is not None,
        "each run stops by itself": recipe.stop is not None,
        "callbacks look at one run": bool(recipe.callback_list),
        "metrics are measured run by run": bool(recipe.metrics),
        "rows are streamed": bool(recipe.stream),
        **_scheduler_reasons(recipe),
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def _scheduler_reasons(recipe: TrainingOptions) -> dict[str, bool]:
    name = recipe.scheduler
    return {
        "the scheduler is a function of one optimiser": name is not None and not isinstance(name, str),
        f"{name} looks at the loss": name == "ReduceLROnPlateau",
        f"{name} changes the momentum too": name in BATCH_SCHEDULERS,
        f"{name} has a list of functions": isinstance(recipe.scheduler_options.get("lr_lambda"), list | tuple),
    }


def _require_single(options: Mapping[str, Any]) -> None:
    for name, value in options.items():
        several = isinstance(value, list | tuple | set | range | np.ndarray)
        if several and name not in SWEPT and name not in _SEQUENCES:
            *others, last = SWEPT
            raise OptionError(
                f"{name}={value!r} has several values, and {name} cannot vary within a sweep: {', '.join(others)} and {last} can. "
                f"Give one value, and call sweep once for each."
            )


def _check_values(name: str, given: Any) -> Sequence[Any]:
    several = isinstance(given, Iterable) and not isinstance(given, str) and np.ndim(np.asarray(given, dtype=object)) > 0
    values = list(given) if several else [given]
    if not values:
        example = {"batch_size": "[32, 256]", "seed": "[0, 1, 2]", "momentum": "[0, 0.9]"}.get(name, "[0.01, 0.001]")
        raise OptionError(f"{name}=[] names no {SWEPT[name]}. Give at least one, such as {name}={example}.")
    seen: list[str] = [repr(value) for value in values]
    if len(set(seen)) < len(seen):
        twice = next(value for value in seen if seen.count(value) > 1)
        raise OptionError(f"{name}= names {twice} twice, and the same run would be trained twice. Leave one of them out.")
    return values
