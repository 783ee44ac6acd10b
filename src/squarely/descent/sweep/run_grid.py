"""From a grid to a Sweep: runs that can share a tensor program are trained in it, the others one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache, partial
from typing import cast

import numpy as np
import torch

from squarely.data import Source, report_count
from squarely.descent.batches.batch_source import BatchSource
from squarely.descent.batches.in_memory import InMemoryBatches
from squarely.descent.loop.state import History
from squarely.descent.loop.training_loop import LoopResult
from squarely.descent.model.linear_regression import LinearRegression, get_coefficients, new_model, set_coefficients
from squarely.descent.model.user_objects import UserObjects
from squarely.descent.options.optimizers import groups_of, new_optimizer
from squarely.descent.options.options import TrainingOptions
from squarely.descent.results.run_theory import PredictedCurve, compute_theory, resolve_learning_rate
from squarely.descent.results.training import Training, with_prediction
from squarely.descent.sweep.batched_loop import BatchedProblem, RunTrace, run_batched
from squarely.descent.sweep.batched_loss import columns_of, evaluate_on_moments, evaluate_on_rows, loss_of
from squarely.descent.sweep.grid import Grid, why_not_batched
from squarely.descent.sweep.sweep import Sweep
from squarely.descent.trainer import require_validation, train_one
from squarely.descent.training_data import TrainingData, estimate_noise, standardized_condition_number
from squarely.moments import Moments, StandardizedProblem
from squarely.numerics import Array
from squarely.theory.full_batch import excess_curves

_RUNS = 4096  # in one program at most
_WEIGHTS = 2**19  # and so many weights, of which 33 epochs are kept
_MAX_ORDERED_ROWS = 2**24  # rows in all orders of one epoch


def train_grid(moments: Moments, source: Source, grid: Grid, *, validation: Source | None = None) -> Sweep:
    """Train every recipe of a grid; `Sweep.program` says how many shared a program, or why none did.

    Raises
    ------
    DataError : there is nothing to train on: no predictor, or a column without spread.
    """
    require_validation(grid.options, validation)
    seen = TrainingData(moments=moments, source=source, validation=validation, user_objects=UserObjects())
    first = grid.options[0]
    why = "there is one" if len(grid.options) == 1 else why_not_batched(first)
    if why is None and first.engine == "rows" and not isinstance(seen.training_batches(first), InMemoryBatches):
        why = "rows are streamed"
    if why is None and not isinstance(seen.validation_batches(first), InMemoryBatches | None):
        why = "validation rows are streamed"
    if why is not None:
        runs = tuple(train_one(seen, recipe) for recipe in grid.options)
        said = "1 run" if len(runs) == 1 else f"{len(runs):,} runs, one by one, because {why}"
        return Sweep(runs, grid.varied, said)
    with torch.inference_mode(False):
        runs, programs = _train_batched(seen, grid.options)
    shared = "one batched program" if programs == 1 else f"{programs:,} batched programs"
    return Sweep(runs, grid.varied, f"{len(runs):,} runs in {shared}")


def join_sweeps(parts: Sequence[Sweep], grid: Grid) -> Sweep:
    """Put sweeps of the recipes at one seed each together, in the order of the grid."""
    left = {part.runs[0].options.seed: iter(part.runs) for part in parts}
    runs = tuple(next(left[recipe.seed]) for recipe in grid.options)
    said = dict.fromkeys(part.program for part in parts)
    return Sweep(runs, grid.varied, f"{len(parts):,} splits of the rows, one for each seed: {'; '.join(said)}")


def with_predictions(sweep: Sweep, optimum_of: Callable[[StandardizedProblem], Array]) -> Sweep:
    """Attach what theory predicts for each run, given the optimum (p,) in a problem's standardised columns."""
    optima: dict[int, Array] = {}
    for run in sweep.runs:
        if id(run.problem) not in optima:
            optima[id(run.problem)] = optimum_of(run.problem)
    plain = [run for run in sweep.runs if _is_plain(run.options)]
    curves = _predict_curves(plain, optima[id(plain[0].problem)]) if len(plain) > 1 else {}
    runs = [
        replace(run, prediction=curves[id(run)]) if id(run) in curves else with_prediction(run, optima[id(run.problem)])
        for run in sweep.runs
    ]
    return replace(sweep, runs=tuple(runs))


def _is_plain(recipe: TrainingOptions) -> bool:
    """Tell whether every update of a recipe is the same step on all rows, to which nothing is added."""
    same = recipe.descent is not None and recipe.scheduler is None and not recipe.weight_decay
    whole = recipe.average is None and recipe.stop is None and not recipe.callback_list  # the last epoch's parameters are returned
    return same and recipe.is_full_batch and whole


def _predict_curves(runs: Sequence[Training], optimum: Array) -> dict[int, PredictedCurve]:
    """Predict runs of one problem, by the id of each; nothing where there is no single optimum."""
    problem, lam = runs[0].problem, runs[0].theory.spectrum
    if not np.isfinite(optimum).all():
        return {}
    descents = [run.options.descent for run in runs if run.options.descent is not None]
    errors = np.stack([run.result.start - optimum for run in runs]) @ lam.vectors  # (K, p)
    excess, left = excess_curves(lam, errors, descents, runs[0].options.epochs)
    floor, centre = problem.loss(optimum), problem.to_data_units(optimum)
    with np.errstate(over="ignore", invalid="ignore"):  # a diverging run is predicted to diverge
        gaps = [problem.to_data_units(end) - centre for end in optimum + left @ lam.vectors.T]
    return {id(run): PredictedCurve(excess=curve, floor=floor, gap=gap) for run, curve, gap in zip(runs, excess, gaps, strict=True)}


def _train_batched(seen: TrainingData, recipes: Sequence[TrainingOptions]) -> tuple[tuple[Training, ...], int]:
    """Train recipes in programs, one for each batch size, more where runs are many; tell how many programs."""
    problem, lam = seen.problem(recipes[0])
    models = [new_model(len(problem.scale) - 1, recipe, bias=problem.intercept) for recipe in recipes]
    noise = cache(partial(estimate_noise, seen, recipes[0]))
    ready = [
        resolve_learning_rate(recipe, problem, lam, partial(get_coefficients, model), noise)
        for recipe, model in zip(recipes, models, strict=True)
    ]
    settled_recipes = [recipe for recipe, _ in ready]
    shares = list(_split_runs(settled_recipes, problem))
    loops: dict[int, LoopResult] = {}
    with report_count("training", len(shares) * recipes[0].epochs, "epochs") as reached:
        for done, share in enumerate(shares):
            of_share = [settled_recipes[i] for row in share for i in row]
            starts = torch.stack([torch.stack([_get_weights(models[i]) for i in row]) for row in share])  # (S, R, p)
            program = _make_batched_problem(seen, problem, of_share[0])
            traces = run_batched(program, of_share, starts, on_epoch=partial(_count, reached, done * recipes[0].epochs))
            for i, trace in zip((i for row in share for i in row), traces, strict=True):
                loops[i] = _make_result(models[i], settled_recipes[i], trace)
    runs = tuple(
        Training(
            options=replace(
                recipe, stream=False, parameter_groups=groups_of(new_optimizer(models[i].parameters(), recipe), models[i])
            ),
            result=loops[i],
            problem=problem,
            moments=seen.moments,
            source=seen.source,
            theory=compute_theory(recipe, problem, lam, noise, standardized_kappa=standardized_condition_number(seen, recipe)),
            remarks=remarks,
            validation=seen.validation,
            validation_rows=seen.validation_account,
        )
        for i, (recipe, remarks) in enumerate(ready)
    )
    return runs, len(shares)


def _count(reached: Callable[[int], None], before: int, epoch: int) -> None:
    reached(before + epoch)


def _split_runs(recipes: Sequence[TrainingOptions], problem: StandardizedProblem) -> Iterator[list[list[int]]]:
    """Share recipes out to programs: lists of runs, by their positions, one list for each order of the rows."""
    by_size: dict[int | None, dict[int, list[int]]] = {}
    for i, recipe in enumerate(recipes):
        ordered = recipe.shuffle and not recipe.is_full_batch
        by_size.setdefault(recipe.batch_size, {}).setdefault(recipe.seed if ordered else 0, []).append(i)
    most = max(min(_RUNS, _WEIGHTS // len(problem.names)), 1)
    for by_seed in by_size.values():
        rows = list(by_seed.values())
        seeds = min(len(rows), max(_MAX_ORDERED_ROWS // problem.n, 1), most)
        places = max(most // seeds, 1)
        for s in range(0, len(rows), seeds):
            for r in range(0, len(rows[0]), places):
                yield [row[r : r + places] for row in rows[s : s + seeds]]


def _make_batched_problem(seen: TrainingData, problem: StandardizedProblem, recipe: TrainingOptions) -> BatchedProblem:
    loss, intercept = loss_of(recipe), problem.intercept
    held_out = seen.validation_batches(recipe)
    validation = None if held_out is None else evaluate_on_rows(columns_of(_require_in_memory(held_out), intercept=intercept), loss)
    if recipe.engine == "moments":
        like = torch.empty(0, dtype=getattr(torch, recipe.dtype), device=recipe.device)
        look = evaluate_on_moments(problem, like)
        return BatchedProblem(evaluate=look, evaluate_validation=validation, columns=None, loss=loss, n=problem.n)
    columns = columns_of(_require_in_memory(seen.training_batches(recipe)), intercept=intercept)
    return BatchedProblem(
        evaluate=evaluate_on_rows(columns, loss), evaluate_validation=validation, columns=columns, loss=loss, n=columns.n
    )


def _require_in_memory(rows: BatchSource) -> InMemoryBatches:
    assert isinstance(rows, InMemoryBatches)  # noqa: S101  # others are trained one by one
    return rows


def _get_weights(model: LinearRegression) -> torch.Tensor:
    """Give the weights (p,) of a model, the intercept first."""
    parts = [] if model.linear.bias is None else [model.linear.bias.detach()]
    return torch.cat([*parts, model.linear.weight.detach().view(-1)])


def _make_result(model: LinearRegression, recipe: TrainingOptions, trace: RunTrace) -> LoopResult:
    """Put the weights of a trace into its model, and make the optimiser that a run alone would have, with the rate it ended at."""
    start = get_coefficients(model)
    set_coefficients(model, trace.end)
    optimizer = new_optimizer(model.parameters(), recipe)
    if "lr" in trace.columns:
        optimizer.param_groups[0]["lr"] = float(trace.columns["lr"][-1])
    return LoopResult(
        model=model,
        optimizer=optimizer,
        losses=trace.columns["loss"],
        history=History(columns=cast("dict[str, list[float]]", trace.columns)),  # nothing is added to a run that is over
        start=start,
        end=trace.end,
        stop_reason=trace.stop_reason,
    )
