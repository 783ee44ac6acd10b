"""Which values the options of a run have, and how well it ended."""

from __future__ import annotations

import math
from collections.abc import Sequence

from squarely.descent.options.optimizers import weight_decay_of
from squarely.descent.results.training import Training


def option_value(run: Training, name: str) -> float:
    """Return the value of an option; the number of rows for a batch of all rows."""
    special = {"batch_size": run.options.batch_size or run.problem.n, "weight_decay": weight_decay_of(run.options) or 0.0}
    value: float = special.get(name, getattr(run.options, name))
    return value


def describe_options(run: Training, names: Sequence[str], digits: int = 6) -> str:
    """Write the values of some options."""
    return ", ".join(f"{name} = {option_value(run, name):.{digits}g}" for name in names)


def is_finite(run: Training) -> bool:
    """Return whether a run ended with a finite loss."""
    return not run.has_failed and math.isfinite(final_loss(run))


def has_validation(run: Training) -> bool:
    """Return whether a run logged a validation loss."""
    return "val_loss" in run.result.history.columns


def final_loss(run: Training) -> float:
    """Return the loss that ranks a run, at its final parameters: that of the validation rows if there are any."""
    return run.result.final_values["val_loss" if has_validation(run) else "loss"]
