"""Gradient descent in PyTorch. `train` runs one set of options, `train_grid` many at once.

From below: `options` are the choices of a run, `batches` its rows as tensors, `model` what is trained, `run_theory` what theory
states about it, `loop` the training loop. `process_group` and `sharding` let processes train together, `checkpoint` saves and
resumes runs. `codegen` writes a run as a PyTorch script; `results` has the `Training` and its summary. `trainer` goes
from options to a `Training`, `sweep` trains a grid.
The names that need PyTorch are in `with_torch`, and are loaded on first use, because PyTorch takes a second to import. Checks of
values and runs in closed form do not need it, also saved ones.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from squarely.descent.checkpoint.policy import CheckpointPolicy, checkpoint_policy
from squarely.descent.options.compatibility import check_without_torch
from squarely.descent.options.options import TrainingOptions
from squarely.descent.results.closed_form import train_closed_form
from squarely.descent.results.deserialize import load_run
from squarely.descent.results.optimum import with_prediction
from squarely.descent.results.training import Training
from squarely.descent.sweep.grid import Grid, make_grid
from squarely.errors import MissingExtraError

if TYPE_CHECKING:
    from squarely.descent.with_torch import *  # noqa: F403  # each name is listed once, there


def __getattr__(name: str) -> Any:
    if name.startswith("__"):  # Python asks for some, such as __path__
        raise AttributeError(f"module 'squarely.descent' has no attribute {name!r}")
    try:
        return getattr(importlib.import_module("squarely.descent.with_torch"), name)
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise MissingExtraError("Training", "PyTorch", "torch") from None
