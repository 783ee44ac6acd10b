"""The sentences that every door speaks, and the only place where both roads are called."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from numbers import Real
from typing import TYPE_CHECKING

from squarely.certification import certify
from squarely.data import Source, keeps_rows, passes_of, read_text, unwatched
from squarely.design import Formula, learn, outlined, parse_where
from squarely.errors import InputError, OptionError
from squarely.exact import UntoldError, solve
from squarely.given import Given, by_batches, complete, condition, gathered, gathered_for_training, held_out, opened
from squarely.inference import Fit, Preview, combined, fit_from_json, foresee, infer
from squarely.moments import Moments, Standardised, fold_products, gather, unserved
from squarely.numerics import Array

if TYPE_CHECKING:
    from torch import nn

    from squarely.descent import Keeping, Recipe, Sweep, Team, Training
    from squarely.descent.grid import Grid

__all__ = ["certify", "load", "merge", "ols", "preview", "sweep", "train"]


@passes_of("residuals")
def ols(
    formula: str | None = None,
    data: object = None,
    *,
    X: object = None,
    y: object = None,
    intercept: bool = True,
    where: str | None = None,
    missing: str = "drop",
    collinear: str = "drop",
    precision: str = "auto",
    fold: str = "auto",
    order_by: str | None = None,
) -> Fit:
    """Fit a linear regression by ordinary least squares.

    Minimises ||y - X beta||_2 over the rows that are complete in every column the formula names.

    Parameters
    ----------
    formula : such as "mpg ~ displacement * C(origin) + log(weight)"; docs/formulas.md has the language.
    data : a path (CSV, Parquet, Arrow, JSON lines), a data frame (pandas, Polars, Arrow, Spark, Dask), a DuckDB
        relation, an Ibis table, a dict of arrays; or several files of one kind, whose rows follow each other: a folder or a
        pattern such as "data/**/*.parquet", in the order of the paths, or a list of paths, in its own.
    X, y : arrays (n, p) and (n,), or frames, instead of formula and data; `intercept` adds one.
    where : a condition on rows, such as "weight > 3000 and origin == 'usa'"; the others are left out, and counted.
    missing : "drop" leaves rows with gaps out and counts them, "raise" refuses them.
    collinear : "drop" leaves a column out that the ones before it span, and says so; "raise" refuses.
    precision : of the residuals and X'r that the solution is refined with: "extended" (double-double), "double", or "auto",
        which is extended up to ten million numbers and where doubles would leave fewer than ten digits of a coefficient, or of its
        standard error if that is larger. The summary says which.
    fold : how the rows are summed up: "batches" reads them, "aggregates" lets a Polars LazyFrame, a DuckDB relation, Spark or an
        Ibis table do the sums so that no row leaves the engine, "auto" is the better one; docs/folds.md has what aggregates lack.
    order_by : a column that puts the rows in order, each with a value of its own, for Durbin-Watson and `fit.resid`. It is for Ibis
        tables, Spark DataFrames, DuckDB relations and Polars LazyFrames; other rows have an order of their own.

    Returns
    -------
    Fit : with statsmodels' names; `print(fit.summary())` shows it.

    Raises
    ------
    FormulaError, DataError, OptionError : each says what was met and what to do.

    Examples
    --------
    >>> fit = ols("y ~ x", {"x": [0.0, 1.0, 2.0, 3.0], "y": [1.0, 3.0, 5.0, 8.0]})
    >>> fit.params.round(3).to_dict()
    {'Intercept': 0.8, 'x': 2.3}
    """
    given = Given(
        formula=formula, data=data, X=X, y=y, intercept=intercept, where=where, missing=missing, fold=fold, order_by=order_by
    )
    moments, source = gathered(given)
    try:
        return infer(solve(moments, source, collinear=collinear, precision=precision), source)
    except UntoldError as error:
        if fold != "auto" or keeps_rows(source):
            raise
        read = replace(by_batches(moments.design.formula, source, moments.design.where), remarks=(unserved(moments, error),))
        return infer(solve(read, source, collinear=collinear, precision=precision), source)


def preview(
    formula: str | None = None,
    data: object = None,
    *,
    X: object = None,
    y: object = None,
    intercept: bool = True,
    where: str | None = None,
    precision: str = "auto",
    fold: str = "auto",
) -> Preview:
    """Say what `ols` would read and cost, and fit nothing: passes, columns, coefficients, cells, bytes.

    No pass over the rows is made, so what waits for one, such as the number of levels, is unknown. Parameters are those of `ols`.

    Raises
    ------
    FormulaError, DataError, OptionError : each says what was met and what to do.

    Examples
    --------
    >>> plan = preview("y ~ poly(x, 2)", {"x": [0.0, 1.0, 2.0, 3.0], "y": [1.0, 3.0, 5.0, 8.0]})
    >>> plan.names
    ('Intercept', 'poly(x, 2)[1]', 'poly(x, 2)[2]')
    >>> [purpose for purpose, _ in plan.passes]
    ['ranges', 'polynomials', 'cross-products', 'residuals']
    """
    given = Given(formula=formula, data=data, X=X, y=y, intercept=intercept, where=where, missing="drop")
    read, source = opened(given)
    return foresee(outlined(read, source, None if where is None else parse_where(where)), fold=fold, precision=precision)


def load(path: str | os.PathLike[str]) -> Fit:
    """Load a fit that `fit.save(path)` has written. It has no rows: what needs them, such as `resid`, says so.

    Raises
    ------
    DataError : the file is not there, is no saved fit, or is damaged.

    Examples
    --------
    >>> import tempfile
    >>> data = {"x": [0.0, 1.0, 2.0, 3.0], "y": [1.0, 3.0, 5.0, 8.0]}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     ols("y ~ x", data).save(f"{folder}/fit.json")
    ...     fit = load(f"{folder}/fit.json")
    >>> fit.predict({"x": [4.0]}).round(3)
    array([10.])
    """
    return fit_from_json(read_text(path), os.fsdecode(path))


def merge(fits: Iterable[Fit], *, remove: Iterable[Fit] = (), duplicates: str = "raise") -> Fit:
    """Put fits of one formula to different rows together, as if one had been fitted to all rows; no row is needed.

    Parameters
    ----------
    fits : live or loaded, of shards or merged themselves.
    remove : fits of rows that are in `fits`, to be taken out again.
    duplicates : what becomes of two of `fits` that have the same cross-products: "raise", because their rows would count twice, or
        "keep", for different rows that happen to be alike.

    Returns
    -------
    Fit : without rows. `Fit.merge` and `Fit.remove` say what holds for it.

    Raises
    ------
    InputError, DataError : there is no fit, or the fits are not of one model, or two of them are of the same rows; the message
        names the difference.

    Examples
    --------
    >>> shards = [{"x": [0.0, 1.0, 2.0], "y": [1.0, 3.0, 5.5]}, {"x": [3.0, 4.0, 5.0], "y": [7.0, 9.0, 10.5]}]
    >>> merge(ols("y ~ x", shard) for shard in shards).params.round(3).to_dict()
    {'Intercept': 1.214, 'x': 1.914}
    """
    for given in (fits, remove):
        if isinstance(given, Fit) or not isinstance(given, Iterable):
            what = "one fit" if isinstance(given, Fit) else repr(given)
            raise InputError(f"merge wants lists of fits, and this is {what}. Write sq.merge([fit, other], remove=[third]).")
    return combined(list(fits), list(remove), duplicates=duplicates)


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
    from squarely.descent import Recipe, keeping_of, team  # PyTorch takes a second to import; only training pays for it

    together = team()
    keeping = together.agreed(lambda: keeping_of(checkpoint, checkpoint_every, resume))

    recipe = Recipe(
        lr=lr,
        epochs=epochs,
        batch_size=batch_size,
        shuffle=shuffle,
        replacement=replacement,
        metrics=metrics,
        loss=loss,
        delta=delta,
        quantile=quantile,
        optimizer=optimizer,
        momentum=momentum,
        nesterov=nesterov,
        weight_decay=weight_decay,
        optimizer_options={} if optimizer_options is None else optimizer_options,
        scheduler=scheduler,
        scheduler_options={} if scheduler_options is None else scheduler_options,
        scheduler_per=scheduler_per,
        clip_grad_norm=clip_grad_norm,
        average=average,
        stop=stop,
        patience=patience,
        min_delta=min_delta,
        callbacks=callbacks,
        engine=engine,
        gradient=gradient,
        stream=stream,
        standardize=standardize,
        dtype=dtype,
        seed=seed,
        device=device,
        start=start,
    )
    given = Given(
        formula=formula, data=data, X=X, y=y, intercept=intercept, where=where, missing=missing, loader=loader, model=model
    )
    return _trained(given, recipe, validation, keeping, together)


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
    epochs: int = 1000,
    shuffle: bool = True,
    replacement: bool = False,
    validation: object = None,
    metrics: Sequence[str] = (),
    loss: str = "mse",
    delta: float = 1.0,
    quantile: float = 0.5,
    optimizer: object = "sgd",
    nesterov: bool = False,
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
    standardize: bool = True,
    dtype: str = "float32",
    device: str = "auto",
    start: Sequence[float] | None = None,
) -> Sweep:
    """Train once for each combination of learning rates, batch sizes, seeds, momenta and weight decays, all of them at once.

    Each run has a newly made model, from the start and with the order of rows that its seed gives it in `train`. For SGD, Adam and
    AdamW all runs of a batch size are one tensor program; the losses are those of each run alone, up to rounding. A share for
    `validation` is drawn again for each seed. What needs a run
    of its own (LBFGS, callbacks, early stopping, ...) is trained one by one, and `Sweep.program` says why.

    Parameters
    ----------
    lr, batch_size, seed, momentum, weight_decay : one value or several.
    epochs and the others : as in `train`, one value each.

    Returns
    -------
    Sweep : `runs`, `frame`, `history`, `best` and `why`.

    Raises
    ------
    FormulaError, DataError, OptionError : as in `train`; or a list is empty, an option cannot vary, a grid has above 100,000 runs.

    Examples
    --------
    >>> data = {"x": [0.0, 1.0, 2.0, 3.0], "y": [1.0, 3.0, 5.0, 8.0]}
    >>> sweep("y ~ x", data, lr=[0.5, 0.01], epochs=10).best.recipe.lr
    0.5
    >>> sweep("y ~ x", data, lr=[0.1, 0.01], batch_size=[1, 2], seed=range(4), epochs=10).program
    '16 runs in 2 batched programs'
    """
    from squarely import descent

    grid = descent.grid(
        {
            "lr": lr,
            "batch_size": batch_size,
            "seed": seed,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "epochs": epochs,
            "shuffle": shuffle,
            "replacement": replacement,
            "metrics": metrics,
            "loss": loss,
            "delta": delta,
            "quantile": quantile,
            "optimizer": optimizer,
            "nesterov": nesterov,
            "optimizer_options": {} if optimizer_options is None else optimizer_options,
            "scheduler": scheduler,
            "scheduler_options": {} if scheduler_options is None else scheduler_options,
            "scheduler_per": scheduler_per,
            "clip_grad_norm": clip_grad_norm,
            "average": average,
            "stop": stop,
            "patience": patience,
            "min_delta": min_delta,
            "callbacks": callbacks,
            "engine": engine,
            "standardize": standardize,
            "dtype": dtype,
            "device": device,
            "start": start,
        }
    )
    given = Given(formula=formula, data=data, X=X, y=y, intercept=intercept, where=where, missing=missing)
    return _swept(given, grid, validation)


def _swept(given: Given, grid: Grid, validation: object) -> Sweep:
    """Train first; only then ask the exact road where the optimum is."""
    from squarely import descent

    seeds = dict.fromkeys(recipe.seed for recipe in grid.recipes)
    if len(seeds) == 1 or not isinstance(validation, Real):
        return _swept_together(given, grid, validation)
    parts = [
        _swept_together(given, replace(grid, recipes=tuple(recipe for recipe in grid.recipes if recipe.seed == seed)), validation)
        for seed in seeds
    ]
    return descent.side_by_side_of(parts, grid)  # a seed holds out rows of its own


@passes_of("training rows", "residuals")
def _swept_together(given: Given, grid: Grid, validation: object) -> Sweep:
    from squarely import descent

    formula, source = opened(given)
    source, kept = held_out(validation, formula, source, grid.recipes[0].seed)
    moments = gathered_for_training(given, formula, source)
    _require_whole(given, moments, kept)
    swept = descent.train_grid(moments, source, grid, validation=kept)
    optimum = _optimum(moments, source)
    return swept if optimum is None else descent.with_predictions(swept, optimum)


def _prepared(given: Given, validation: object, seed: int, team: Team) -> tuple[Formula, Source, Source | None]:
    """Read the formula, open the rows, and hold some out to validate with."""
    if given.loader is not None and not team.alone:
        raise OptionError(
            f"loader= hands out rows of its own, and {team.size} processes share out those of a source. Give a formula and data, "
            "or X= and y=; or train in one process."
        )
    formula, source = opened(given)
    return formula, *held_out(validation, formula, source, seed)


@passes_of("training rows", "residuals")
def _trained(given: Given, recipe: Recipe, validation: object, keeping: Keeping | None, team: Team) -> Training:
    """Train first; only then ask the exact road where the optimum is, so that the predicted curve can be drawn beside."""
    from squarely import descent
    from squarely.moments.device import fold_on  # which needs PyTorch

    recipe = team.agreed(lambda: descent.checked(replace(recipe, device=team.device_for(recipe.device)), given.model))
    with unwatched(team.rank > 0):
        formula, source, kept = team.agreed(lambda: _prepared(given, validation, recipe.seed, team))
        share = team.share_of(source)
        if keeps_rows(source):  # of which a process alone has no share
            moments = gathered_for_training(given, formula, source)
        else:
            design = team.agreed(lambda: learn(formula, source, condition(given)))
            on_device = recipe.device != "cpu" and recipe.engine != "rows"
            fold = descent.shared_fold(fold_on(recipe.device) if on_device else fold_products, share, team, recipe)
            moments = complete(given, gather(design, source, fold), source)
        _require_whole(given, moments, kept)
        run = descent.train(
            moments, source, (recipe,), validation=kept, model=given.model, keeping=keeping, team=team, share=share
        )[0]
    if team.rank > 0 or run.status == "not finite":
        return run  # the exact road is the first process's, and nobody's when the rows may not be what they were
    optimum = _optimum(moments, source)
    return run if optimum is None else descent.with_prediction(run, optimum(run.problem))


def _require_whole(given: Given, moments: Moments, kept: Source | None) -> None:
    """Refuse rows with gaps among those to validate with, where missing='raise' asks for that."""
    if kept is not None and given.missing == "raise" and given.loader is None:
        from squarely import descent

        complete(given, replace(moments, account=descent.accounted(moments.design, kept)), kept)


def _optimum(moments: Moments, source: Source) -> Callable[[Standardised], Array] | None:
    """Ask the exact road for the optimum (p,) in standardised columns; None without a single one, or with too few rows."""
    if moments.n <= len(moments.design.names):
        return None
    solution = solve(moments, source)
    if solution.factor.dependencies:
        return None
    return lambda problem: problem.from_scaled(solution.b[0], moments.design)
