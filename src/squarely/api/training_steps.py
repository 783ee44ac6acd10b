"""The steps of `train` and `sweep` after their options are read: open the rows, train, and only then solve for the optimum."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from squarely.api.inputs import ModelInputs, compute_moments, open_training, parse_row_filter, require_complete
from squarely.data import Source, is_aggregate_only, pass_counter, silent
from squarely.design import learn_from_rows
from squarely.exact import solve_least_squares
from squarely.moments import Moments, StandardizedProblem, fold_on_device, fold_products, gather_moments
from squarely.numerics import Array

if TYPE_CHECKING:
    from squarely.descent import CheckpointPolicy, Grid, ProcessGroup, Sweep, Training, TrainingOptions


@pass_counter("training rows", "residuals")
def sweep_one_split(inputs: ModelInputs, grid: Grid) -> Sweep:
    """Train a grid on one split of the rows."""
    from squarely import descent

    with ExitStack() as contexts:
        formula, source, held_out = open_training(inputs, grid.options[0].seed, contexts)
        moments = compute_moments(inputs, formula, source, in_engine=is_aggregate_only(source))
        _require_complete_validation(inputs, moments, held_out)
        sweep = descent.train_grid(moments, source, grid, validation=held_out)
        optimum = _optimum(moments, source)
        return sweep if optimum is None else descent.with_predictions(sweep, optimum)


@pass_counter("training rows", "residuals")
def run_closed_form(inputs: ModelInputs, options: TrainingOptions) -> Training:
    """Train without PyTorch and without rows."""
    from squarely import descent

    options = replace(options, device="cpu")
    with ExitStack() as contexts:
        formula, source, _ = open_training(inputs, options.seed, contexts)
        moments = compute_moments(inputs, formula, source, in_engine=is_aggregate_only(source))
        run, optimum = descent.train_closed_form(moments, source, options), _optimum(moments, source)
    return run if optimum is None else descent.with_prediction(run, optimum(run.problem))


@pass_counter("training rows", "residuals")
def run_training(
    inputs: ModelInputs, options: TrainingOptions, policy: CheckpointPolicy | None, group: ProcessGroup, contexts: ExitStack
) -> Training:
    """Train; only then solve for the optimum, which the predicted curve needs."""
    from squarely import descent

    options = group.run_on_all(
        lambda: descent.check_options(replace(options, device=group.resolve_device(options.device)), inputs.model)
    )
    with silent(group.rank > 0):
        formula, source, held_out = group.run_on_all(lambda: open_training(inputs, options.seed, contexts, group.size))
        shard = group.shard(source)
        if is_aggregate_only(source):  # an engine sums up all rows at once
            moments = compute_moments(inputs, formula, source, in_engine=True)
        else:
            design = group.run_on_all(lambda: learn_from_rows(formula, source, parse_row_filter(inputs)))
            on_device = options.device != "cpu" and options.engine != "rows"
            fold = fold_on_device(options.device) if on_device else fold_products
            moments = gather_moments(design, source, descent.all_reduce_fold(fold, shard, group, options))
            require_complete(inputs, moments.account, source)
        _require_complete_validation(inputs, moments, held_out)
        run = descent.train(
            moments, source, (options,), validation=held_out, model=inputs.model, policy=policy, process_group=group, shard=shard
        )[0]
    if group.rank > 0 or run.status == "not finite":
        return run  # one process draws the curve; none does if the rows may have changed
    optimum = _optimum(moments, source)
    return run if optimum is None else descent.with_prediction(run, optimum(run.problem))


def _require_complete_validation(inputs: ModelInputs, moments: Moments, held_out: Source | None) -> None:
    """Raise a DataError if missing="raise" and rows to validate on have gaps."""
    if held_out is not None and inputs.missing == "raise" and inputs.loader is None:
        from squarely.descent import account_rows

        require_complete(inputs, account_rows(moments.design, held_out), held_out)


def _optimum(moments: Moments, source: Source) -> Callable[[StandardizedProblem], Array] | None:
    """Solve for the optimum and return it as a function of the units; None if it is not unique or there are too few rows."""
    if moments.n <= len(moments.design.names):
        return None
    solution = solve_least_squares(moments, source)
    if solution.factor.dependencies:
        return None
    return lambda problem: problem.from_scaled(solution.scaled_params[0], moments.design)
