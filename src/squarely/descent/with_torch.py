"""The names of `squarely.descent` that need PyTorch."""

from squarely.descent.batches.batch_source import account_rows as account_rows
from squarely.descent.batches.loader import LoaderSource as LoaderSource
from squarely.descent.batches.loader_pairs import iter_pairs as iter_pairs
from squarely.descent.checkpoint.tensor_file import read_tensors as read_tensors
from squarely.descent.model.user_module import affine_form as affine_form
from squarely.descent.options.checks import check_options as check_options
from squarely.descent.process_group import ProcessGroup as ProcessGroup
from squarely.descent.process_group import current_group as current_group
from squarely.descent.process_group import init_from_torchrun as init_from_torchrun
from squarely.descent.sharding import all_reduce_fold as all_reduce_fold
from squarely.descent.sweep.run_grid import join_sweeps as join_sweeps
from squarely.descent.sweep.run_grid import train_grid as train_grid
from squarely.descent.sweep.run_grid import with_predictions as with_predictions
from squarely.descent.sweep.sweep import Sweep as Sweep
from squarely.descent.trainer.single_run import train as train
