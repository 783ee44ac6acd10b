"""Train a grid: runs that can share a tensor program are trained in it, the others one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch

from squarely.data import Source, report_count
from squarely.descent.batches.batch_source import RunInputs
from squarely.descent.batches.in_memory import InMemoryBatches
from squarely.descent.loop.result import LoopResult
from squarely.descent.model.linear_regression import get_coefficients, new_model
from squarely.descent.model.user_objects import UserObjects
from squarely.descent.options.compatibility import require_validation
from squarely.descent.options.optimizers import DTYPES, groups_of, new_optimizer
from squarely.descent.options.options import TrainingOptions
from squarely.descent.results.optimum import with_optimum, with_prediction
from squarely.descent.results.training import Training
from squarely.descent.run_theory.learning_rate import resolve_learning_rate
from squarely.descent.run_theory.limits import compute_theory
from squarely.descent.run_theory.predicted_curve import PredictedCurve
from squarely.descent.sweep.batched_loop import BatchedProblem, run_batched
from squarely.descent.sweep.batched_loss import RowsEvaluator, evaluate_on_moments
from squarely.descent.sweep.grid import Grid, why_not_batched
from squarely.descent.sweep.sweep import Sweep
from squarely.descent.trainer.single_run import train_one
from squarely.descent.trainer.training_data import TrainingData
from squarely.moments import Moments, StandardizedProblem
from squarely.numerics import Array
from squarely.theory import excess_curves

_RUNS = 4096  # in one program at most
_WEIGHTS = 2**19  # in one program at most, of which 33 epochs are stored
_MAX_ORDERED_ROWS = 2**24  # rows in all orders of one epoch


def train_grid(moments: Moments, source: Source, grid: Grid, *, validation: Source | None = None) -> Sweep:
    """Train every run of a grid. `Sweep.program` says how many runs shared a program, or why none did.

    Raises
    ------
    DataError : there is nothing to train on: no predictor, or a constant column.
    """
    require_validation(grid.options, validation)
    data = TrainingData(moments=moments, source=source, validation=validation, user_objects=UserObjects())
    first = grid.options[0]
    why = "there is one" if len(grid.options) == 1 else why_not_batched(first)
    if why is None and data.needs_streaming(first):
        why = "rows are streamed"
    inputs = None if why else data.inputs_for(first)
    if inputs is not None and not isinstance(inputs.validation, InMemoryBatches | None):
        why = "validation rows are streamed"
    with torch.inference_mode(False), torch.enable_grad():
        if inputs is None or why is not None:
            runs = tuple(train_one(data, options) for options in grid.options)
            program = "1 run" if len(runs) == 1 else f"{len(runs):,} runs, one by one, because {why}"
            return Sweep(runs, grid.varied, program)
        runs, programs = _train_batched(data, inputs, grid.options)
    shared = "one batched program" if programs == 1 else f"{programs:,} batched programs"
    return Sweep(runs, grid.varied, f"{len(runs):,} runs in {shared}")


def join_sweeps(parts: Sequence[Sweep], grid: Grid) -> Sweep:
    """Join sweeps of one seed each, in the order of the grid."""
    remaining = {part.runs[0].options.seed: iter(part.runs) for part in parts}
    runs = tuple(next(remaining[options.seed]) for options in grid.options)
    programs = dict.fromkeys(part.program for part in parts)
    return Sweep(runs, grid.varied, f"{len(parts):,} splits of the rows, one for each seed: {'; '.join(programs)}")


def with_predictions(sweep: Sweep, optimum_of: Callable[[StandardizedProblem], Array]) -> Sweep:
    """Attach the prediction of theory to each run; `optimum_of` returns the optimum (p,) in the columns of a problem."""
    problems = {id(run.problem): run.problem for run in sweep.runs}
    optima = {key: optimum_of(problem) for key, problem in problems.items()}
    plain = [run for run in sweep.runs if _is_plain(run.options)]
    curves = _predict_curves(plain, optima[id(plain[0].problem)]) if len(plain) > 1 else {}
    runs = tuple(
        replace(with_optimum(run, optima[id(run.problem)]), prediction=curves[id(run)])
        if id(run) in curves
        else with_prediction(run, optima[id(run.problem)])
        for run in sweep.runs
    )
    return replace(sweep, runs=runs)


def _is_plain(options: TrainingOptions) -> bool:
    """Return whether every update is the same step on all rows, and the run ends with the parameters of the last epoch."""
    is_same_step = options.descent is not None and options.scheduler is None and not options.weight_decay
    ends_last = options.average is None and options.stop is None and not options.callbacks
    return is_same_step and options.is_full_batch and ends_last


def _predict_curves(runs: Sequence[Training], optimum: Array) -> dict[int, PredictedCurve]:
    """Predict runs of one problem, by the id of each; nothing if there is no unique optimum."""
    problem, lam = runs[0].problem, runs[0].theory.spectrum
    if not np.isfinite(optimum).all():
        return {}
    descents = [run.options.descent for run in runs if run.options.descent is not None]
    errors = np.stack([run.result.start - optimum for run in runs]) @ lam.vectors  # (K, p)
    excess, final = excess_curves(lam, errors, descents, runs[0].options.epochs)
    floor, center = problem.loss(optimum), problem.to_data_units(optimum)
    with np.errstate(over="ignore", invalid="ignore"):  # the prediction for a diverging run diverges
        gaps = [problem.to_data_units(end) - center for end in optimum + final @ lam.vectors.T]
    return {id(run): PredictedCurve(excess=curve, floor=floor, gap=gap) for run, curve, gap in zip(runs, excess, gaps, strict=True)}


def _train_batched(data: TrainingData, inputs: RunInputs, options: Sequence[TrainingOptions]) -> tuple[tuple[Training, ...], int]:
    """Train all runs in programs, one for each batch size, more where runs are many; return how many programs there are."""
    problem, epochs = inputs.theory.problem, options[0].epochs
    models = [new_model(len(problem.scale) - 1, each, bias=problem.intercept) for each in options]
    resolved: list[tuple[TrainingOptions, tuple[str, ...]]] = []
    for each, model in zip(options, models, strict=True):
        chosen, batch_remarks = data.resolve_batch_size(each)
        chosen, rate_remarks = resolve_learning_rate(chosen, inputs.theory, partial(get_coefficients, model), is_plain=True)
        resolved.append((chosen, batch_remarks + rate_remarks))
    programs = list(_split_runs([each for each, _ in resolved], problem))
    batched = _make_batched_problem(inputs, options[0])
    results: dict[int, LoopResult] = {}
    with report_count("training", len(programs) * epochs, "epochs") as report:
        for number, program in enumerate(programs):
            order = [i for row in program for i in row]
            on_epoch = partial(lambda before, epoch: report(before + epoch), number * epochs)
            runs_of, models_of = [resolved[i][0] for i in order], [models[i] for i in order]
            found = run_batched(batched, runs_of, models_of, seeds=len(program), on_epoch=on_epoch)
            results |= zip(order, found, strict=True)
    runs = tuple(
        Training(
            options=replace(each, stream=False, parameter_groups=groups_of(new_optimizer(models[i].parameters(), each), models[i])),
            result=results[i],
            problem=problem,
            moments=data.moments,
            source=data.source,
            theory=compute_theory(each, inputs.theory, is_plain=True),
            remarks=remarks,
            validation=data.validation,
            validation_rows=inputs.validation_account,
        )
        for i, (each, remarks) in enumerate(resolved)
    )
    return runs, len(programs)


def _split_runs(options: Sequence[TrainingOptions], problem: StandardizedProblem) -> Iterator[list[list[int]]]:
    """Split runs into programs: lists of runs, by their positions, one list for each order of the rows."""
    by_size: dict[int | None, dict[int, list[int]]] = {}
    for i, each in enumerate(options):
        is_ordered = each.shuffle and not each.is_full_batch
        by_size.setdefault(each.batch_size, {}).setdefault(each.seed if is_ordered else 0, []).append(i)
    most = max(min(_RUNS, _WEIGHTS // len(problem.names)), 1)
    for by_seed in by_size.values():
        rows = list(by_seed.values())
        seeds = min(len(rows), max(_MAX_ORDERED_ROWS // problem.n, 1), most)
        places = max(most // seeds, 1)
        for s in range(0, len(rows), seeds):
            for r in range(0, len(rows[0]), places):
                yield [row[r : r + places] for row in rows[s : s + seeds]]


def _make_batched_problem(inputs: RunInputs, options: TrainingOptions) -> BatchedProblem:
    problem, like = inputs.theory.problem, torch.empty(0, dtype=DTYPES[options.dtype], device=options.device)
    evaluate_rows = partial(RowsEvaluator.of, options=options, intercept=problem.intercept)
    return BatchedProblem(
        evaluate=evaluate_on_moments(problem, like) if options.engine == "moments" else evaluate_rows(inputs.batches),
        evaluate_validation=None if inputs.validation is None else evaluate_rows(inputs.validation),
        n=problem.n,
    )
