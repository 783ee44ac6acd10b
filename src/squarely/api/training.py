"""Training: `train` makes one run, `sweep` many. Training ends before the exact optimum is known, so it cannot use it."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from numbers import Real
from typing import TYPE_CHECKING, Literal, Unpack

from squarely.api.inputs import ModelInputs
from squarely.api.training_steps import run_closed_form, run_training, sweep_one_split
from squarely.errors import ConvergenceWarning, OptionError, short_traceback, suggest_name
from squarely.types import (
    Data,
    Dtype,
    Gradient,
    Loss,
    Metric,
    Missing,
    OptimizerName,
    SchedulerName,
    SchedulerPer,
    SweepOptions,
    TrainingEngine,
)  # fmt: skip

if TYPE_CHECKING:
    import torch
    from torch import nn

    from squarely.descent import Sweep, Training, TrainingOptions

_MAX_SAVED_COEFFICIENTS = 1_000  # of a run that is saved beside its checkpoints: a file of ten megabytes
_ONE_RUN = ("gradient", "stream")  # options of `train` that `sweep` does not have


@short_traceback
def train(
    formula: str | None = None,
    data: Data | None = None,
    *,
    X: object = None,
    y: object = None,
    loader: Iterable[object] | None = None,
    model: nn.Module | None = None,
    intercept: bool = True,
    where: str | None = None,
    missing: Missing = "drop",
    read: Mapping[str, object] | None = None,
    weights: object = None,
    frequencies: object = None,
    lr: float | Literal["auto"] = "auto",
    epochs: int = 1000,
    batch_size: int | None = None,
    shuffle: bool = True,
    replacement: bool = False,
    validation: float | Data | Iterable[object] | None = None,
    metrics: Metric | Sequence[Metric] = (),
    loss: Loss = "mse",
    delta: float = 1.0,
    quantile: float = 0.5,
    optimizer: OptimizerName | Callable[..., object] | torch.optim.Optimizer = "sgd",
    momentum: float = 0.0,
    nesterov: bool = False,
    weight_decay: float | None = None,
    optimizer_options: Mapping[str, object] | None = None,
    scheduler: SchedulerName | Callable[..., object] | torch.optim.lr_scheduler.LRScheduler | None = None,
    scheduler_options: Mapping[str, object] | None = None,
    scheduler_per: SchedulerPer = "epoch",
    clip_grad_norm: float | None = None,
    average: int | bool | None = None,
    stop: str | None = None,
    patience: int = 10,
    min_delta: float = 0.0,
    callbacks: Callable[..., object] | Sequence[Callable[..., object]] = (),
    engine: TrainingEngine = "rows",
    gradient: Gradient = "autograd",
    stream: bool | None = None,
    standardize: bool = True,
    dtype: Dtype | torch.dtype = "float32",
    seed: int = 0,
    device: str = "auto",
    start: Sequence[float] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: str | None = None,
    resume: bool | str | os.PathLike[str] = False,
) -> Training:
    """Fit a linear regression by gradient descent in PyTorch: by default nn.Linear, MSELoss and SGD.

    Minimizes the mean loss, by default (1/n) ||y - X w||_2^2, with the columns and the response standardized (population standard
    deviation). `run.params` are in the units of the data. The optimum is solved for afterwards, for the predicted curve alone.
    docs/training.md describes the options and the theory.

    All processes of an initialized torch.distributed group train one model, each on its shard of the rows. Only the first process
    draws the predicted curve.

    Parameters
    ----------
    formula, data, X, y, intercept, where, missing, read : as in `ols`; `read` is for the file of `validation`, too.
    weights, frequencies : as in `ols`. The loss is the weighted mean, such as sum(w r^2) / sum(w) of residuals r, and a mini-batch
        has its unbiased estimate. The columns are standardized with weighted means and deviations.
    loader : a DataLoader, or another iterable of batches (inputs (m, p), targets (m,) or (m, 1)) of tensors, instead of formula and
        data. Nothing is standardized.
    model : a linear module to train in place, instead of a new nn.Linear.
    lr : learning rate, or "auto" for the best one in theory, and torch's default where theory has none; `run.remarks` says which.
        `run.theory` has the best rate and the largest one that converges.
    epochs : passes over the rows. The loss of all rows is logged at epochs 0 to `epochs`, each before its updates.
    batch_size : rows in a step; None for all rows.
    shuffle, replacement : True for a new order of the rows in each epoch; True for rows drawn independently, with replacement.
    validation : a fraction of the rows, such as 0.2, or other rows; beside X= and y= also a tuple (X, y).
    metrics : what to log beside the loss, of "mse", "rmse", "mae" and "r2", in the unit of the response.
    loss, delta, quantile : "mse", "l1", "huber" (linear beyond `delta`, in standardized units) or "quantile" (with `quantile`).
    optimizer : a torch optimizer by name, its class, a function of the parameters, or an optimizer of the parameters of `model`.
    momentum, nesterov : as torch.optim.SGD has them.
    weight_decay, optimizer_options : weight decay, None for the default of the optimizer; its other options by torch's names.
    scheduler, scheduler_options : a torch scheduler by name, its class, a function of the optimizer, or a scheduler of the given
        optimizer; its options by torch's names.
    scheduler_per : "epoch" or "batch": when the scheduler takes a step.
    clip_grad_norm : the largest norm of the gradient of a step.
    average : the first epoch of which the iterates are averaged; True for the second half of the epochs.
    stop, patience, min_delta : "0.01 se" stops once the gradient proves every coefficient to be within 0.01 standard errors of the
        optimum. "loss" and "validation" stop after `patience` epochs without a gain of `min_delta` and return the best parameters.
    callbacks : functions that are called with each logged epoch, which has `epoch`, `loss`, `values`, `model` and `optimizer`. One
        that returns True stops the run.
    engine : "rows"; "moments" takes the same steps on the cross-products; "closed_form" computes any epoch without steps and
        without PyTorch.
    gradient : "autograd", or "closed" for the formula (2/n) X'(Xw - y).
    stream : True to read the rows again in each epoch, False to hold them. None streams above 256 MB of standardized rows.
    standardize : False to take the columns and the response as they are.
    dtype : "float32" or "float64".
    seed : of the random start and of the orders of the rows. The random state of the user does not change.
    device : a torch device; "auto" for cuda:0 if there is one, else cpu.
    start : coefficients (p + 1,) to start from, in standardized units, the intercept first; None for a random start.
    checkpoint : a folder to save the run in, regularly, at the end and on Ctrl-C. The last two checkpoints stay. A folder with
        checkpoints needs `resume=True`.
    checkpoint_every : such as "30 s", "10 epochs" or "100 steps"; None for 60 seconds.
    resume : True to continue from the newest checkpoint in `checkpoint`, if there is one, or the path of a folder to continue from.
        The run gets the same bits as without the interruption, and `epochs` may be larger.

    Returns
    -------
    Training : `run.status` says how the run ended and `run.distance_se` how near. If it diverged, a ConvergenceWarning says so.

    Raises
    ------
    MissingExtraError : PyTorch is not installed; only `engine="closed_form"` works without it.
    FormulaError, DataError, OptionError : the formula, the data or an option cannot be used. The message says what to do.
    KeyboardInterrupt : Ctrl-C. With `checkpoint`, the run is saved first, and the message says how to continue.

    Examples
    --------
    >>> data = {"x": [0.0, 1.0, 2.0, 3.0], "y": [1.0, 3.0, 5.0, 8.0]}
    >>> run = train("y ~ x", data, lr=0.5, epochs=1, dtype="float64")
    >>> run.params.round(3).to_dict()
    {'Intercept': 0.8, 'x': 2.3}
    """
    arguments = dict(locals())  # the signature is the only list of the options
    chosen = _read_options(arguments)
    inputs = ModelInputs.of(arguments)
    if _needs_no_torch(inputs, chosen) and (checkpoint, checkpoint_every, resume) == (None, None, False):
        run = run_closed_form(inputs, chosen)
        _warn_of_failure(run)
        return run
    from squarely.descent import checkpoint_policy, current_group  # here, because PyTorch takes a second to import

    group = current_group()
    policy = group.run_on_all(lambda: checkpoint_policy(checkpoint, checkpoint_every, resume))
    with ExitStack() as contexts:
        run = run_training(inputs, chosen, policy, group, contexts)
    if group.rank == 0:
        if policy is not None and len(run.problem.names) <= _MAX_SAVED_COEFFICIENTS:
            run.save(policy.folder)
        _warn_of_failure(run)
    return run


@short_traceback
def sweep(
    formula: str | None = None,
    data: Data | None = None,
    *,
    X: object = None,
    y: object = None,
    intercept: bool = True,
    where: str | None = None,
    missing: Missing = "drop",
    read: Mapping[str, object] | None = None,
    weights: object = None,
    frequencies: object = None,
    lr: float | Literal["auto"] | Iterable[float | Literal["auto"]] = (0.01, 0.001, 0.0001),
    batch_size: int | Iterable[int | None] | None = None,
    seed: int | Iterable[int] = 0,
    momentum: float | Iterable[float] = 0.0,
    weight_decay: float | Iterable[float | None] | None = None,
    validation: float | Data | Iterable[object] | None = None,
    **options: Unpack[SweepOptions],
) -> Sweep:
    """Train once for each combination of learning rates, batch sizes, seeds, momenta and weight decays, all at once.

    Each run has a new model, with the start and the order of rows that `train` derives from the same seed. With SGD, Adam and
    AdamW, all runs of one batch size are one tensor program; the losses equal those of `train` up to rounding. With LBFGS,
    callbacks, early stopping and the like, the runs are trained one by one, and `Sweep.program` says why. Each seed draws its own
    fraction for `validation`.

    Parameters
    ----------
    formula, data, X, y, intercept, where, missing, read, weights, frequencies, validation : as in `train`.
    lr, batch_size, seed, momentum, weight_decay : one value or several.
    options : the other options of `train`, such as `epochs`, one value each. `gradient` and `stream` are for `train` only.

    Returns
    -------
    Sweep : `runs`, `frame`, `history`, `best` and `why`.

    Raises
    ------
    FormulaError, DataError, OptionError : as in `train`. Also if an option is unknown or cannot vary, a list is empty, or the grid
        has more than 100,000 runs.

    Examples
    --------
    >>> data = {"x": [0.0, 1.0, 2.0, 3.0], "y": [1.0, 3.0, 5.0, 8.0]}
    >>> sweep("y ~ x", data, lr=[0.5, 0.01], epochs=10).best.options.lr
    0.5
    >>> sweep("y ~ x", data, lr=[0.1, 0.01], batch_size=[1, 2], seed=range(4), epochs=10).program
    '16 runs in 2 batched programs'
    """
    arguments = dict(locals())
    from squarely.descent import TrainingOptions, check_without_torch, make_grid

    names = [name for name in dict.fromkeys((*TrainingOptions.names(), *arguments)) if name not in ("options", *_ONE_RUN)]
    for name in options:
        if name not in names:
            raise OptionError(f"{name!r} is not an option of sweep. {suggest_name(name, names)}")
    axes = {"lr": lr, "batch_size": batch_size, "seed": seed, "momentum": momentum, "weight_decay": weight_decay, **options}
    if not _has_torch():
        make_grid(axes, lambda each: check_without_torch(each, validation))
    from squarely import descent  # here, because PyTorch takes a second to import

    inputs, grid = ModelInputs.of(arguments), make_grid(axes, descent.check_options)
    seeds = dict.fromkeys(run.seed for run in grid.options)
    if len(seeds) == 1 or not isinstance(validation, Real):
        result = sweep_one_split(inputs, grid)
    else:
        grids = [replace(grid, options=tuple(run for run in grid.options if run.seed == seed)) for seed in seeds]
        result = descent.join_sweeps([sweep_one_split(inputs, each) for each in grids], grid)
    _warn_of_failure(result.best)
    return result


def _read_options(arguments: Mapping[str, object]) -> TrainingOptions:
    """Take the options out of the arguments; raise an OptionError for a wrong value before PyTorch is imported."""
    from squarely.descent import TrainingOptions, check_without_torch

    options = TrainingOptions.of(arguments)
    return options if _has_torch() else check_without_torch(options, arguments["validation"])


def _has_torch() -> bool:
    """Return whether PyTorch is imported. Then processes may train together, and they check options together."""
    return sys.modules.get("torch") is not None


def _needs_no_torch(inputs: ModelInputs, options: TrainingOptions) -> bool:
    """Return whether a run with checked options is in closed form and has nothing of PyTorch: no model, class or device."""
    if _has_torch() or inputs.model is not None or inputs.loader is not None:
        return False
    return options.engine == "closed_form" and options.optimizer == "sgd" and options.device in ("auto", "cpu")


def _warn_of_failure(run: Training) -> None:
    """Warn of a run whose loss diverged or is not a number, in the line that called `train` or `sweep`."""
    if run.has_failed:
        warnings.warn(run.notes[-1], ConvergenceWarning, stacklevel=4)  # `short_traceback` is a frame, too
