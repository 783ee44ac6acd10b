"""From a grid to a Sweep: runs that can share a tensor program are trained in it, the others one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache, partial
from typing import cast

import numpy as np
import torch

from squarely.data import Source, report_count
from squarely.descent.batches.batch_source import Rows
from squarely.descent.batches.in_memory import Held
from squarely.descent.loop.state import Log
from squarely.descent.loop.training_loop import Loop
from squarely.descent.model.linear_regression import LinearRegression, coefficients, new_model, set_coefficients
from squarely.descent.model.user_objects import Own
from squarely.descent.options.optimizers import groups_of, new_optimizer
from squarely.descent.options.options import Recipe
from squarely.descent.results.run_theory import Prediction, foreknow, settled
from squarely.descent.results.training import Training, with_prediction
from squarely.descent.sweep.batched_loop import Program, Trace, run_program
from squarely.descent.sweep.batched_loss import columns_of, look_at_moments, look_at_rows, loss_of
from squarely.descent.sweep.grid import Grid, why_alone
from squarely.descent.sweep.sweep import Sweep
from squarely.descent.trainer import require_validation, run_alone
from squarely.descent.training_data import Seen, gradient_noise, kappa_once_standardised
from squarely.moments import Moments, StandardizedProblem
from squarely.numerics import Array
from squarely.theory.full_batch import excess_curves

_RUNS = 4096  # in one program at most
_WEIGHTS = 2**19  # and so many weights, of which 33 epochs are kept
_ORDERED = 2**24  # rows in all orders of one epoch


def train_grid(moments: Moments, source: Source, grid: Grid, *, validation: Source | None = None) -> Sweep:
    """Train every recipe of a grid; `Sweep.program` says how many shared a program, or why none did.

    Raises
    ------
    DataError : there is nothing to train on: no predictor, or a column without spread.
    """
    require_validation(grid.recipes, validation)
    seen = Seen(moments=moments, source=source, validation=validation, own=Own())
    first = grid.recipes[0]
    why = "there is one" if len(grid.recipes) == 1 else why_alone(first)
    if why is None and first.engine == "rows" and not isinstance(seen.rows(first), Held):
        why = "rows are streamed"
    if why is None and not isinstance(seen.validation_rows(first), Held | None):
        why = "validation rows are streamed"
    if why is not None:
        runs = tuple(run_alone(seen, recipe) for recipe in grid.recipes)
        said = "1 run" if len(runs) == 1 else f"{len(runs):,} runs, one by one, because {why}"
        return Sweep(runs, grid.varied, said)
    with torch.inference_mode(False):
        runs, programs = _together(seen, grid.recipes)
    shared = "one batched program" if programs == 1 else f"{programs:,} batched programs"
    return Sweep(runs, grid.varied, f"{len(runs):,} runs in {shared}")


def side_by_side_of(parts: Sequence[Sweep], grid: Grid) -> Sweep:
    """Put sweeps of the recipes at one seed each together, in the order of the grid."""
    left = {part.runs[0].recipe.seed: iter(part.runs) for part in parts}
    runs = tuple(next(left[recipe.seed]) for recipe in grid.recipes)
    said = dict.fromkeys(part.program for part in parts)
    return Sweep(runs, grid.varied, f"{len(parts):,} splits of the rows, one for each seed: {'; '.join(said)}")


def with_predictions(sweep: Sweep, optimum_of: Callable[[StandardizedProblem], Array]) -> Sweep:
    """Attach what theory predicts for each run, given the optimum (p,) in a problem's standardised columns."""
    optima: dict[int, Array] = {}
    for run in sweep.runs:
        if id(run.problem) not in optima:
            optima[id(run.problem)] = optimum_of(run.problem)
    plain = [run for run in sweep.runs if _plain(run.recipe)]
    curves = _curves(plain, optima[id(plain[0].problem)]) if len(plain) > 1 else {}
    runs = [
        replace(run, prediction=curves[id(run)]) if id(run) in curves else with_prediction(run, optima[id(run.problem)])
        for run in sweep.runs
    ]
    return replace(sweep, runs=tuple(runs))


def _plain(recipe: Recipe) -> bool:
    """Tell whether every update of a recipe is the same step on all rows, to which nothing is added."""
    same = recipe.descent is not None and recipe.scheduler is None and not recipe.weight_decay
    whole = recipe.average is None and recipe.stop is None and not recipe.functions  # the last epoch's parameters are returned
    return same and recipe.full_batch and whole


def _curves(runs: Sequence[Training], optimum: Array) -> dict[int, Prediction]:
    """Predict runs of one problem, by the id of each; nothing where there is no single optimum."""
    problem, lam = runs[0].problem, runs[0].theory.spectrum
    if not np.isfinite(optimum).all():
        return {}
    descents = [run.recipe.descent for run in runs if run.recipe.descent is not None]
    errors = np.stack([run.loop.start - optimum for run in runs]) @ lam.vectors  # (K, p)
    excess, left = excess_curves(lam, errors, descents, runs[0].recipe.epochs)
    floor, centre = problem.loss(optimum), problem.to_data_units(optimum)
    with np.errstate(over="ignore", invalid="ignore"):  # a diverging run is predicted to diverge
        gaps = [problem.to_data_units(end) - centre for end in optimum + left @ lam.vectors.T]
    return {id(run): Prediction(excess=curve, floor=floor, gap=gap) for run, curve, gap in zip(runs, excess, gaps, strict=True)}


def _together(seen: Seen, recipes: Sequence[Recipe]) -> tuple[tuple[Training, ...], int]:
    """Train recipes in programs, one for each batch size, more where runs are many; tell how many programs."""
    problem, lam = seen.problem(recipes[0])
    models = [new_model(len(problem.scale) - 1, recipe, bias=problem.intercept) for recipe in recipes]
    noise = cache(partial(gradient_noise, seen, recipes[0]))
    ready = [
        settled(recipe, problem, lam, partial(coefficients, model), noise) for recipe, model in zip(recipes, models, strict=True)
    ]
    settled_recipes = [recipe for recipe, _ in ready]
    shares = list(_shares(settled_recipes, problem))
    loops: dict[int, Loop] = {}
    with report_count("training", len(shares) * recipes[0].epochs, "epochs") as reached:
        for done, share in enumerate(shares):
            of_share = [settled_recipes[i] for row in share for i in row]
            starts = torch.stack([torch.stack([_weights(models[i]) for i in row]) for row in share])  # (S, R, p)
            program = _program(seen, problem, of_share[0])
            traces = run_program(program, of_share, starts, told=partial(_count, reached, done * recipes[0].epochs))
            for i, trace in zip((i for row in share for i in row), traces, strict=True):
                loops[i] = _loop(models[i], settled_recipes[i], trace)
    runs = tuple(
        Training(
            recipe=replace(recipe, stream=False, made=groups_of(new_optimizer(models[i].parameters(), recipe), models[i])),
            loop=loops[i],
            problem=problem,
            moments=seen.moments,
            source=seen.source,
            theory=foreknow(recipe, problem, lam, noise, tamed=kappa_once_standardised(seen, recipe)),
            remarks=remarks,
            validation=seen.validation,
            validation_rows=seen.kept,
        )
        for i, (recipe, remarks) in enumerate(ready)
    )
    return runs, len(shares)


def _count(reached: Callable[[int], None], before: int, epoch: int) -> None:
    reached(before + epoch)


def _shares(recipes: Sequence[Recipe], problem: StandardizedProblem) -> Iterator[list[list[int]]]:
    """Share recipes out to programs: lists of runs, by their positions, one list for each order of the rows."""
    by_size: dict[int | None, dict[int, list[int]]] = {}
    for i, recipe in enumerate(recipes):
        ordered = recipe.shuffle and not recipe.full_batch
        by_size.setdefault(recipe.batch_size, {}).setdefault(recipe.seed if ordered else 0, []).append(i)
    most = max(min(_RUNS, _WEIGHTS // len(problem.names)), 1)
    for by_seed in by_size.values():
        rows = list(by_seed.values())
        seeds = min(len(rows), max(_ORDERED // problem.n, 1), most)
        places = max(most // seeds, 1)
        for s in range(0, len(rows), seeds):
            for r in range(0, len(rows[0]), places):
                yield [row[r : r + places] for row in rows[s : s + seeds]]


def _program(seen: Seen, problem: StandardizedProblem, recipe: Recipe) -> Program:
    loss, intercept = loss_of(recipe), problem.intercept
    held_out = seen.validation_rows(recipe)
    validation = None if held_out is None else look_at_rows(columns_of(_held(held_out), intercept=intercept), loss)
    if recipe.engine == "moments":
        like = torch.empty(0, dtype=getattr(torch, recipe.dtype), device=recipe.device)
        look = look_at_moments(problem, like)
        return Program(look=look, validation=validation, columns=None, loss=loss, n=problem.n)
    columns = columns_of(_held(seen.rows(recipe)), intercept=intercept)
    return Program(look=look_at_rows(columns, loss), validation=validation, columns=columns, loss=loss, n=columns.n)


def _held(rows: Rows) -> Held:
    assert isinstance(rows, Held)  # noqa: S101  # others are trained one by one
    return rows


def _weights(model: LinearRegression) -> torch.Tensor:
    """Give the weights (p,) of a model, the intercept first."""
    parts = [] if model.linear.bias is None else [model.linear.bias.detach()]
    return torch.cat([*parts, model.linear.weight.detach().view(-1)])


def _loop(model: LinearRegression, recipe: Recipe, trace: Trace) -> Loop:
    """Put the weights of a trace into its model, and make the optimiser that a run alone would have, with the rate it ended at."""
    start = coefficients(model)
    set_coefficients(model, trace.end)
    optimizer = new_optimizer(model.parameters(), recipe)
    if "lr" in trace.columns:
        optimizer.param_groups[0]["lr"] = float(trace.columns["lr"][-1])
    return Loop(
        model=model,
        optimizer=optimizer,
        losses=trace.columns["loss"],
        log=Log(columns=cast("dict[str, list[float]]", trace.columns)),  # nothing is added to a run that is over
        start=start,
        end=trace.end,
        ending=trace.ending,
    )
