"""Road two, gradient descent in PyTorch.

`recipe` holds the choices of a run and `checks` whether they make sense. `loop` is the training loop itself: `rows` hands out what
it sees, and `streamed` what is too much to hold; `gradients` is what a step goes by (of one of the `losses`), `optimizers` who
takes the step, `metrics` what is measured, `stopping` when it ends, and `state` is all that it is between two steps. `quadratic`
gives any epoch without a step. `model` is the nn.Linear; `own` is what a user brings: `iter_pairs` and `loader` take in a loader,
`linear_module` and `probe` a module. `processes` that train together form a team, and `shares` is what it makes of a run.

`keeping` says where and how often a run is kept, its `keeper` does so, and `halting` lets Ctrl-C wait for it; a `checkpoint` is
what is on disk, `restoring` the way between it and a state, `plain` a state_dict without pickle, and `identity` what a run must be
of to go on from it.

`seen` is what runs see of their rows, and `running` takes a recipe from there to its end. `foresight` is what theory says of a run;
`training` is a finished run with that beside it, `page` how it looks. `code` writes a run
as a script that does without us: `code_rows` its reading of the data, `code_columns` and `code_expressions` the columns of X, all
of it through the safe literals of `code_text`.

`make_grid` is what a sweep trains and `side_by_side` how: in `batched`, one tensor program for many runs. `going` are those still in it,
`looks` their losses and gradients, `updates` their optimisers, `curves` what theory predicts. `sweep` is what comes of it.
"""

from squarely.errors import MissingExtraError

try:
    import torch  # noqa: F401  # asked for first, so that its absence is told in one sentence
except ModuleNotFoundError:
    raise MissingExtraError("Training", "PyTorch", "torch") from None

from squarely.descent.batches.batch_source import account_rows
from squarely.descent.batches.loader import LoaderSource
from squarely.descent.batches.loader_pairs import iter_pairs
from squarely.descent.checkpoint.policy import CheckpointPolicy, checkpoint_policy
from squarely.descent.distributed.process_group import ProcessGroup, current_group, init_from_torchrun
from squarely.descent.distributed.sharding import all_reduce_fold
from squarely.descent.model.linear_regression import LinearRegression
from squarely.descent.model.user_module import AffineForm, affine_form
from squarely.descent.options.checks import check_options
from squarely.descent.options.options import TrainingOptions
from squarely.descent.results.run_theory import PredictedCurve, RunTheory
from squarely.descent.results.training import Training, with_prediction
from squarely.descent.sweep.grid import Grid, make_grid
from squarely.descent.sweep.run_grid import join_sweeps, train_grid, with_predictions
from squarely.descent.sweep.sweep import Sweep
from squarely.descent.trainer import train

__all__ = [
    "AffineForm",
    "CheckpointPolicy",
    "Grid",
    "LinearRegression",
    "LoaderSource",
    "PredictedCurve",
    "ProcessGroup",
    "RunTheory",
    "Sweep",
    "Training",
    "TrainingOptions",
    "account_rows",
    "affine_form",
    "all_reduce_fold",
    "check_options",
    "checkpoint_policy",
    "current_group",
    "init_from_torchrun",
    "iter_pairs",
    "join_sweeps",
    "make_grid",
    "train",
    "train_grid",
    "with_prediction",
    "with_predictions",
]
