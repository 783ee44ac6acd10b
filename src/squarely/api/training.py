"""Training: `train` makes one run, `sweep` many. Training ends before the exact optimum is known, so it cannot use it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from numbers import Real
from typing import TYPE_CHECKING

from squarely.api.inputs import (
    ModelInputs,
    open_inputs,
    parse_row_filter,
    require_complete,
    train_validation_split,
    training_moments,
)
from squarely.data import Source, is_aggregate_only, pass_counter, silent
from squarely.design import Formula, learn_from_rows
from squarely.errors import OptionError, suggest_name
from squarely.exact import solve_least_squares
from squarely.moments import Moments, StandardizedProblem, fold_products, gather_moments
from squarely.numerics import Array

if TYPE_CHECKING:
    from torch import nn

    from squarely.descent import CheckpointPolicy, Grid, ProcessGroup, Sweep, Training, TrainingOptions

_ONE_RUN = ("gradient", "stream")  # options of `train` that `sweep` does not have


def train(
    formula: str | None = None,
    data: object = None,
    *,
    X: object = None,
    y: object = None,
    loader: Iterable[object] | None = None,
    model: nn.Module | None = None,
    intercept: bool = True,
    where: str | None = None,
    missing: str = "drop",
    lr: float | str = 0.01,
    epochs: int = 1000,
    batch_size: int | None = None,
    shuffle: bool = True,
    replacement: bool = False,
    validation: object = None,
    metrics: Sequence[str] = (),
    loss: str = "mse",
    delta: float = 1.0,
    quantile: float = 0.5,
    optimizer: object = "sgd",
    momentum: float = 0.0,
    nesterov: bool = False,
    weight_decay: float | None = None,
    optimizer_options: Mapping[str, object] | None = None,
    scheduler: object = None,
    scheduler_options: Mapping[str, object] | None = None,
    scheduler_per: str = "epoch",
    clip_grad_norm: float | None = None,
    average: int | bool | None = None,
    stop: str | None = None,
    patience: int = 10,
    min_delta: float = 0.0,
    callbacks: Callable[..., object] | Sequence[Callable[..., object]] = (),
    engine: str = "rows",
    gradient: str = "autograd",
    stream: bool | None = None,
    standardize: bool = True,
    dtype: str = "float32",
    seed: int = 0,
    device: str = "auto",
    start: Sequence[float] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: str | None = None,
    resume: bool | str | os.PathLike[str] = False,
) -> Training:
    """Fit a linear regression by gradient descent in PyTorch: nn.Linear, MSELoss and SGD unless something else is asked for.

    Columns and response are standardised first (population standard deviation); the loss is a mean over rows in those units;
    `run.params` are in the units of the data. The optimum enters only the predicted curve, never the training. docs/training.md
    has more on each option, and on what theory says. Under an initialised process group of torch.distributed its processes train
    one model together, each on its share of the rows; the first one alone draws the predicted curve.

    Parameters
    ----------
    formula, data, X, y, intercept, where, missing : as in `ols`.
    loader : a DataLoader or other batches (inputs, targets) of tensors instead of formula and data; nothing is standardised.
    model : a linear module of the user's own, trained where it is.
    lr : learning rate, or "auto". `run.theory` names its limit and the best.
    epochs : passes over the rows; the loss of all rows is logged at epochs 0 to `epochs`, before the updates that follow it.
    batch_size, shuffle, replacement : rows in a step, all of them without it; whether each epoch has a new order; whether
        rows are drawn independently instead.
    validation, metrics : a share of the rows, such as 0.2, or other rows, beside X= and y= also as (X, y);
        "mse", "rmse", "mae" or "r2", in the response's unit.
    loss, delta, quantile : "mse", "l1", "huber" (linear from `delta` standardised units on) or "quantile" (the `quantile`-th).
    optimizer, optimizer_options, momentum, nesterov, weight_decay : one of torch's by name, its class, a function of the
        parameters, or an optimiser over those of `model`; its options by torch's names; momentum and nesterov are SGD's.
    scheduler, scheduler_options, scheduler_per : one of torch's by name, its class, a function of the optimiser, or a scheduler of
        the optimiser given; it steps each "epoch" or "batch".
    clip_grad_norm, average : the longest gradient of a step; the epoch from which iterates are averaged, True for the second half.
    stop, patience, min_delta : "0.01 se" ends the run where the gradient proves every coefficient to be so near its optimum;
        "loss" and "validation" after `patience` epochs without a gain of `min_delta`. These two return the best parameters, however
        the run ends.
    callbacks : functions that are told of every epoch; one that returns True ends the run.
    engine, gradient : "rows", "moments" or "closed_form"; "autograd" or "closed", written out.
    stream : whether rows are read anew each epoch; by itself above 256 MB of standardised rows.
    standardize : False takes columns and response as they are.
    dtype : "float32" or "float64".
    seed : of the model's random start and of every order of the rows; the user's own random state is left alone.
    device : "auto" is cuda:0 if there is one, else cpu.
    start : standardised coefficients to start from, the intercept first, instead of the random ones.
    checkpoint : a folder in which the run is kept as it goes, at the end, and on Ctrl-C; the last two checkpoints stay. A folder
        that holds checkpoints is refused without `resume=True`.
    checkpoint_every : how often, such as "30 s", "10 epochs" or "100 steps"; 60 seconds if nothing is said.
    resume : True goes on from the newest checkpoint in `checkpoint`, if there is one; a folder, from the newest one there, and
        keeps the run in it unless `checkpoint` names another. Same bits as if the run had never stopped; `epochs` may be more.

    Returns
    -------
    Training : a run that diverged stops and says so in `run.status` and `run.warnings`.

    Raises
    ------
    MissingExtraError : PyTorch is not installed.
    FormulaError, DataError, OptionError : each says what was met and what to do.
    KeyboardInterrupt : Ctrl-C; with `checkpoint`, once the run is kept, and the message says how to go on.

    Examples
    --------
    >>> data = {"x": [0.0, 1.0, 2.0, 3.0], "y": [1.0, 3.0, 5.0, 8.0]}
    >>> run = train("y ~ x", data, lr=0.5, epochs=1, dtype="float64")
    >>> run.params.round(3).to_dict()
    {'Intercept': 0.8, 'x': 2.3}
    """
    arguments = dict(locals())  # this signature is the one list of options
    from squarely.descent import (  # PyTorch takes a second to import; only training pays for it
        TrainingOptions,
        checkpoint_policy,
        current_group,
    )

    together = current_group()
    keeping = together.run_on_all(lambda: checkpoint_policy(checkpoint, checkpoint_every, resume))
    return _train(ModelInputs.of(arguments), TrainingOptions.of(arguments), validation, keeping, together)


def sweep(
    formula: str | None = None,
    data: object = None,
    *,
    X: object = None,
    y: object = None,
    intercept: bool = True,
    where: str | None = None,
    missing: str = "drop",
    lr: float | str | Iterable[float | str] = (0.01, 0.001, 0.0001),
    batch_size: int | Iterable[int | None] | None = None,
    seed: int | Iterable[int] = 0,
    momentum: float | Iterable[float] = 0.0,
    weight_decay: float | Iterable[float | None] | None = None,
    validation: object = None,
    **options: object,
) -> Sweep:
    """Train once for each combination of learning rates, batch sizes, seeds, momenta and weight decays, all at once.

    Each run has a new model. Its seed gives it the start and the order of rows that it has in `train`. For SGD, Adam and AdamW, all
    runs of a batch size are one tensor program; the losses equal those of a single run up to rounding. A fraction for `validation`
    is drawn again for each seed. What needs a run by itself (LBFGS, callbacks, early stopping, ...) is trained one by one, and
    `Sweep.program` says why.

    Parameters
    ----------
    formula, data, X, y, intercept, where, missing, validation : as in `train`.
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
    from squarely import descent

    names = {*arguments, *descent.TrainingOptions.names()} - {"options", *_ONE_RUN}
    for name in options.keys() - names:
        raise OptionError(f"{name!r} is not an option of sweep. {suggest_name(name, names)}")
    varied = {"lr": lr, "batch_size": batch_size, "seed": seed, "momentum": momentum, "weight_decay": weight_decay}
    return _sweep(ModelInputs.of(arguments), descent.make_grid(varied | options), validation)


def _sweep(inputs: ModelInputs, grid: Grid, validation: object) -> Sweep:
    """Train the runs of each split of the rows: a fraction to validate on makes one split for each seed."""
    from squarely import descent

    seeds = dict.fromkeys(recipe.seed for recipe in grid.options)
    if len(seeds) == 1 or not isinstance(validation, Real):
        return _sweep_one_split(inputs, grid, validation)
    parts = [
        _sweep_one_split(inputs, replace(grid, options=tuple(each for each in grid.options if each.seed == seed)), validation)
        for seed in seeds
    ]
    return descent.join_sweeps(parts, grid)


@pass_counter("training rows", "residuals")
def _sweep_one_split(inputs: ModelInputs, grid: Grid, validation: object) -> Sweep:
    from squarely import descent

    formula, source = open_inputs(inputs)
    source, held_out = train_validation_split(validation, formula, source, grid.options[0].seed)
    moments = training_moments(inputs, formula, source)
    _require_complete_validation(inputs, moments, held_out)
    sweep = descent.train_grid(moments, source, grid, validation=held_out)
    optimum = _optimum(moments, source)
    return sweep if optimum is None else descent.with_predictions(sweep, optimum)


@pass_counter("training rows", "residuals")
def _train(
    inputs: ModelInputs, recipe: TrainingOptions, validation: object, keeping: CheckpointPolicy | None, team: ProcessGroup
) -> Training:
    """Train; only then solve for the optimum, which the predicted curve needs."""
    from squarely import descent

    recipe = team.run_on_all(
        lambda: descent.check_options(replace(recipe, device=team.resolve_device(recipe.device)), inputs.model)
    )
    with silent(team.rank > 0):
        formula, source, held_out = team.run_on_all(lambda: _open_training(inputs, validation, recipe.seed, team))
        share = team.shard(source)
        moments = _gather_together(inputs, formula, source, share=share, team=team, recipe=recipe)
        _require_complete_validation(inputs, moments, held_out)
        run = descent.train(
            moments, source, (recipe,), validation=held_out, model=inputs.model, policy=keeping, process_group=team, shard=share
        )[0]
    if team.rank > 0 or run.status == "not finite":
        return run  # one process draws the curve; none does if the rows may have changed
    optimum = _optimum(moments, source)
    return run if optimum is None else descent.with_prediction(run, optimum(run.problem))


def _open_training(inputs: ModelInputs, validation: object, seed: int, team: ProcessGroup) -> tuple[Formula, Source, Source | None]:
    """Parse the formula, open the rows, and hold some out to validate on."""
    if inputs.loader is not None and not team.is_single:
        raise OptionError(
            f"loader= hands out rows of its own, and {team.size} processes share out those of a source. Give a formula and data, "
            "or X= and y=; or train in one process."
        )
    formula, source = open_inputs(inputs)
    return formula, *train_validation_split(validation, formula, source, seed)


def _gather_together(
    inputs: ModelInputs, formula: Formula, source: Source, *, share: Source, team: ProcessGroup, recipe: TrainingOptions
) -> Moments:
    """Return the moments of all rows, summed over the processes, on the device of the run where that pays."""
    from squarely.descent import all_reduce_fold
    from squarely.moments.gpu import gpu_fold  # needs PyTorch

    if is_aggregate_only(source):  # an engine sums up all rows at once
        return training_moments(inputs, formula, source)
    design = team.run_on_all(lambda: learn_from_rows(formula, source, parse_row_filter(inputs)))
    on_device = recipe.device != "cpu" and recipe.engine != "rows"
    fold = all_reduce_fold(gpu_fold(recipe.device) if on_device else fold_products, share, team, recipe)
    moments = gather_moments(design, source, fold)
    require_complete(inputs, moments, source)
    return moments


def _require_complete_validation(inputs: ModelInputs, moments: Moments, held_out: Source | None) -> None:
    """Raise a DataError if missing="raise" and rows to validate on have gaps."""
    if held_out is not None and inputs.missing == "raise" and inputs.loader is None:
        from squarely.descent import account_rows

        require_complete(inputs, replace(moments, account=account_rows(moments.design, held_out)), held_out)


def _optimum(moments: Moments, source: Source) -> Callable[[StandardizedProblem], Array] | None:
    """Solve for the optimum and return it as a function of the units; None if it is not unique or there are too few rows."""
    if moments.n <= len(moments.design.names):
        return None
    solution = solve_least_squares(moments, source)
    if solution.factor.dependencies:
        return None
    return lambda problem: problem.from_scaled(solution.scaled_params[0], moments.design)
