"""Gradient descent in PyTorch. `train` runs one set of options, `train_grid` many at once.

From below: `options` are the choices of a run, `batches` its rows as tensors, `model` what is trained, `run_theory` what theory
states about it, `loop` the training loop. `process_group` and `sharding` let processes train together, `checkpoint` saves and
resumes runs. `codegen` writes a run as a PyTorch script; `results` has the `Training` and its summary. `training_data` makes
the inputs of a run, `trainer` goes from options to a `Training`, `sweep` trains a grid.
A name is loaded on first use: checks of values and runs in closed form need no PyTorch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from squarely.descent.options.compatibility import check_without_torch
from squarely.descent.options.options import TrainingOptions
from squarely.errors import MissingExtraError

if TYPE_CHECKING:
    from squarely.descent.batches.batch_source import account_rows
    from squarely.descent.batches.loader import LoaderSource
    from squarely.descent.batches.loader_pairs import iter_pairs
    from squarely.descent.checkpoint.policy import CheckpointPolicy, checkpoint_policy
    from squarely.descent.model.user_module import affine_form
    from squarely.descent.options.checks import check_options
    from squarely.descent.process_group import ProcessGroup, current_group, init_from_torchrun
    from squarely.descent.results.closed_form import train_closed_form
    from squarely.descent.results.deserialize import load_run
    from squarely.descent.results.optimum import with_prediction
    from squarely.descent.results.training import Training
    from squarely.descent.sharding import all_reduce_fold
    from squarely.descent.sweep.grid import Grid, make_grid
    from squarely.descent.sweep.run_grid import join_sweeps, train_grid, with_predictions
    from squarely.descent.sweep.sweep import Sweep
    from squarely.descent.trainer import train

_FILES = {
    "account_rows": "batches.batch_source",
    "LoaderSource": "batches.loader",
    "iter_pairs": "batches.loader_pairs",
    **dict.fromkeys(("CheckpointPolicy", "checkpoint_policy"), "checkpoint.policy"),
    "affine_form": "model.user_module",
    "check_options": "options.checks",
    **dict.fromkeys(("ProcessGroup", "current_group", "init_from_torchrun"), "process_group"),
    "load_run": "results.deserialize",
    "with_prediction": "results.optimum",
    "Training": "results.training",
    "all_reduce_fold": "sharding",
    **dict.fromkeys(("Grid", "make_grid"), "sweep.grid"),
    **dict.fromkeys(("join_sweeps", "train_grid", "with_predictions"), "sweep.run_grid"),
    "Sweep": "sweep.sweep",
    "train": "trainer",
    "train_closed_form": "results.closed_form",
}


def __getattr__(name: str) -> Any:
    if name not in _FILES:
        raise AttributeError(f"module 'squarely.descent' has no attribute {name!r}")
    try:
        return getattr(importlib.import_module(f"squarely.descent.{_FILES[name]}"), name)
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise MissingExtraError("Training", "PyTorch", "torch") from None
