"""Gradient descent in PyTorch. `train` runs one set of options, `train_grid` many at once.

From below: `options` are the choices of a run, `batches` its rows as tensors, `model` what is trained, `run_theory` what theory
states about it, `loop` the training loop. `process_group` and `sharding` let processes train together, `checkpoint` saves and
resumes runs. `codegen` writes a run as a PyTorch script; `results` has the `Training` and its summary. `training_data` makes
the inputs of a run, `trainer` goes from options to a `Training`, `sweep` trains a grid.
"""

from squarely.errors import MissingExtraError

try:
    import torch  # first, so that one sentence says that it is missing
except ModuleNotFoundError:
    raise MissingExtraError("Training", "PyTorch", "torch") from None

from squarely.descent.batches.batch_source import account_rows
from squarely.descent.batches.loader import LoaderSource
from squarely.descent.batches.loader_pairs import iter_pairs
from squarely.descent.checkpoint.policy import CheckpointPolicy, checkpoint_policy
from squarely.descent.model.user_module import affine_form
from squarely.descent.options.checks import check_options
from squarely.descent.options.options import TrainingOptions
from squarely.descent.process_group import ProcessGroup, current_group, init_from_torchrun
from squarely.descent.results.deserialize import load_run
from squarely.descent.results.optimum import with_prediction
from squarely.descent.results.training import Training
from squarely.descent.sharding import all_reduce_fold
from squarely.descent.sweep.grid import Grid, make_grid
from squarely.descent.sweep.run_grid import join_sweeps, train_grid, with_predictions
from squarely.descent.sweep.sweep import Sweep
from squarely.descent.trainer import train
