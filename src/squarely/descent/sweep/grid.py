"""The grid of a sweep: checked options for every combination; and which runs cannot share a program."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from squarely.descent.options.options import BATCH_SCHEDULERS, TrainingOptions
from squarely.descent.options.value_checks import require_loggable
from squarely.errors import OptionError, join_words, show_value

SWEPT = ("lr", "batch_size", "seed", "momentum", "weight_decay")
MAX_RUNS = 100_000  # runs in a sweep
_SEQUENCES = ("metrics", "callbacks", "start")  # options whose single value is a sequence
_UNSUPPORTED_OPTIONS = ("amsgrad", "maximize")  # options of optimizers that the batched updates lack


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """The runs of a sweep."""

    options: tuple[TrainingOptions, ...]  # one set for each combination; the last option in `SWEPT` changes fastest
    varied: tuple[str, ...]  # the names of the options that have several values


def make_grid(options: Mapping[str, Any], check: Callable[[TrainingOptions], TrainingOptions]) -> Grid:
    """Make the options of all combinations. `options` maps each name to a value, or to several if the option can vary.

    `check` is `check_options`, or `check_without_torch` for a first look before PyTorch is imported.

    Raises
    ------
    OptionError : a list is empty or repeats a value, an option that cannot vary has several values, a value cannot be used, or
        there are too many combinations.

    Examples
    --------
    >>> from squarely.descent.options.compatibility import check_without_torch
    >>> made = make_grid({"lr": [0.1, 0.01], "seed": range(3)}, check_without_torch)
    >>> len(made.options), made.varied, made.options[1].seed
    (6, ('lr', 'seed'), 1)
    """
    for name, value in options.items():
        is_several = isinstance(value, list | tuple | set | range | np.ndarray)
        if is_several and name not in (*SWEPT, *_SEQUENCES):
            raise OptionError(
                f"{name}={show_value(value)} has several values, and only {join_words(SWEPT)} can vary within a sweep. "
                "Give one value, and call sweep once for each."
            )
    axes = {name: _check_values(name, options[name]) for name in SWEPT if name in options}
    count = math.prod(map(len, axes.values()))
    if count > MAX_RUNS:
        sizes = " x ".join(f"{len(values):,} of {name}" for name, values in axes.items() if len(values) > 1)
        raise OptionError(f"This grid has {count:,} runs ({sizes}), and a sweep can have {MAX_RUNS:,}. Leave some values out.")
    first = TrainingOptions.of({**options, **{name: values[0] for name, values in axes.items()}})
    base = check(first)
    require_loggable(base.epochs, "A sweep")
    # An option is only checked against those that do not vary, so it is enough to check each value once.
    checked = {name: [getattr(check(replace(first, **{name: v})), name) for v in values] for name, values in axes.items()}
    combinations = (replace(base, **dict(zip(checked, values, strict=True))) for values in itertools.product(*checked.values()))
    if not isinstance(base.optimizer, str) and len(checked.get("lr", ())) > 1:
        raise OptionError(
            "optimizer= is an object that sets its own learning rate, so all values of lr= would give the same run. "
            "Give its name or its class with optimizer_options=, or one value of lr=."
        )
    return Grid(options=tuple(combinations), varied=tuple(name for name, values in axes.items() if len(values) > 1))


def why_not_batched(options: TrainingOptions) -> str | None:
    """Return why runs cannot be trained in one program, as part of a sentence; None if they can."""
    optimizer = options.optimizer if isinstance(options.optimizer, str) else "an optimizer of your own"
    scheduler = options.scheduler
    unsupported = [name for name in _UNSUPPORTED_OPTIONS if options.optimizer_options.get(name)]
    reasons = {
        "engine='closed_form' takes no steps": options.engine == "closed_form",
        f"there is no batched update for {optimizer}": optimizer not in ("sgd", "adam", "adamw"),
        f"there is no batched update for {optimizer} with {' and '.join(unsupported)}": bool(unsupported),
        f"the gradient of loss={options.loss!r} jumps, and rounding would decide the side": options.loss not in ("mse", "huber"),
        "each gradient is clipped by its own norm": options.clip_grad_norm is not None,
        "iterates are averaged run by run": options.average is not None,
        "each run stops by itself": options.stop is not None,
        "callbacks receive one run": bool(options.callbacks),
        "metrics are computed run by run": bool(options.metrics),
        "rows are streamed": bool(options.stream),
        "the scheduler is a function of one optimizer": scheduler is not None and not isinstance(scheduler, str),
        f"{scheduler} depends on the loss": scheduler == "ReduceLROnPlateau",
        f"{scheduler} also changes the momentum": scheduler in BATCH_SCHEDULERS,
        f"{scheduler} has a list of functions": isinstance(options.scheduler_options.get("lr_lambda"), list | tuple),
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def _check_values(name: str, value: Any) -> Sequence[Any]:
    is_several = isinstance(value, Iterable) and not isinstance(value, str) and np.ndim(np.asarray(value, dtype=object)) > 0
    values = list(value) if is_several else [value]
    if not values:
        example = {"batch_size": "[32, 256]", "seed": "[0, 1, 2]", "momentum": "[0, 0.9]"}.get(name, "[0.01, 0.001]")
        noun = "learning rate" if name == "lr" else name.replace("_", " ")
        raise OptionError(f"{name}=[] names no {noun}. Give at least one, such as {name}={example}.")
    texts = [show_value(value) for value in values]
    if len(set(texts)) < len(texts):
        twice = next(text for text in texts if texts.count(text) > 1)
        raise OptionError(f"{name}= has {twice} twice, and would train the same run twice. Leave one of them out.")
    return values
