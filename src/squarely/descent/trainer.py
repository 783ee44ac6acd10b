"""Running a recipe: a model is made, trained on the rows that are to be seen, and told of as a Training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import cache, partial
from typing import TYPE_CHECKING

import torch

from squarely import theory
from squarely.data import Source
from squarely.descent.batches.in_memory import InMemoryBatches
from squarely.descent.checkpoint.checkpointer import Checkpointer, newest_checkpoint_rate
from squarely.descent.checkpoint.fingerprint import fingerprint_of
from squarely.descent.checkpoint.policy import CheckpointPolicy
from squarely.descent.distributed.process_group import ProcessGroup, mark_local_errors
from squarely.descent.distributed.sharding import all_reduce_callbacks, all_reduce_gradient
from squarely.descent.loop.moments_engine import compute_closed_form, needs_no_callbacks, run_moments_loop
from squarely.descent.loop.signals import SignalHandler
from squarely.descent.loop.state import History, LoopState, new_state, unoptimized_parameters, with_optimizer_options
from squarely.descent.loop.stopping import new_distance
from squarely.descent.loop.training_loop import LoopResult, evaluate_state, finish_loop, require_schedule, run_loop
from squarely.descent.model.gradients import flatten_parameters, new_gradient, quadratic_gradient
from squarely.descent.model.linear_regression import get_coefficients, new_model, set_coefficients
from squarely.descent.model.losses import new_criterion
from squarely.descent.model.metrics import Measurement, metrics_from_mse
from squarely.descent.model.user_objects import adapt_options, check_user_objects, coefficient_reader
from squarely.descent.options.checks import check_options
from squarely.descent.options.options import TrainingOptions
from squarely.descent.results.run_theory import compute_theory, resolve_learning_rate
from squarely.descent.results.training import Training
from squarely.descent.training_data import TrainingData, estimate_noise, standardized_condition_number
from squarely.errors import OptionError
from squarely.moments import Moments, StandardizedProblem
from squarely.numerics import Array

if TYPE_CHECKING:
    from torch import nn


def train(
    moments: Moments,
    source: Source,
    recipes: tuple[TrainingOptions, ...],
    *,
    validation: Source | None = None,
    model: nn.Module | None = None,
    policy: CheckpointPolicy | None = None,
    process_group: ProcessGroup | None = None,
    shard: Source | None = None,
) -> tuple[Training, ...]:
    """Train one newly made model for each recipe, or a user's own; rows that fit into memory are read once.

    `policy` is for a single recipe. The processes of a `process_group` train together, each on its `shard` of the rows; the moments are
    those of all.

    Raises
    ------
    DataError : there is nothing to train on: no predictor, or a column without spread.
    OptionError : a recipe makes no sense, or is not that of the checkpoint that it is to go on from.
    KeyboardInterrupt : Ctrl-C; where the run was kept, the message says how to go on.
    """
    recipes = tuple(check_options(recipe, model) for recipe in recipes)
    require_validation(recipes, validation)
    if policy is not None and any(recipe.engine == "closed_form" for recipe in recipes):
        raise OptionError("engine='closed_form' takes no steps, so there is nothing to keep. Leave checkpoint= and resume= out.")
    own = check_user_objects(model, source, len(moments.design.columns), intercept=moments.design.intercept)
    process_group = ProcessGroup() if process_group is None else process_group
    seen = TrainingData(
        moments=moments,
        source=source,
        validation=validation,
        user_objects=own,
        policy=policy,
        process_group=process_group,
        shard=shard,
    )
    return tuple(train_one(seen, recipe) for recipe in recipes)


def require_validation(recipes: Sequence[TrainingOptions], validation: Source | None) -> None:
    """Raise an OptionError where a recipe wants rows to validate with and there are none, or has no use for them."""
    if validation is None and any(recipe.stop == "validation" for recipe in recipes):
        raise OptionError("stop='validation' watches the loss of other rows, and there are none. Give validation=, or stop='loss'.")
    if validation is not None and any(recipe.engine == "closed_form" for recipe in recipes):
        raise OptionError("engine='closed_form' looks at no rows, so validation= has no meaning. Use engine='moments'.")


def train_one(seen: TrainingData, recipe: TrainingOptions) -> Training:
    """Train one recipe on the rows that are to be seen."""
    with torch.inference_mode(False), torch.enable_grad():  # a loop needs tensors that can change, whatever the user has set
        return _train_one(seen, recipe)


def _train_one(seen: TrainingData, recipe: TrainingOptions) -> Training:
    recipe, noted = adapt_options(recipe, seen.user_objects)
    problem, lam = seen.problem(recipe)
    noise = cache(partial(estimate_noise, seen, recipe))
    own = seen.user_objects.model
    model = new_model(len(problem.scale) - 1, recipe, bias=problem.intercept) if own is None else own
    read = coefficient_reader(model, len(problem.scale) - 1, bias=problem.intercept)
    seen.process_group.broadcast([parameter.detach() for parameter in model.parameters()])  # a user's own may differ
    recipe, begun = _resume_learning_rate(seen, recipe)
    plain, even = seen.user_objects.is_plain, seen.user_objects.has_even_batches
    recipe, remarks = resolve_learning_rate(recipe, problem, lam, read, noise, is_plain=plain, has_even_batches=even)
    remarks = begun + remarks
    closed = recipe.engine == "closed_form"
    flat = flatten_parameters(model) if recipe.engine == "moments" else None  # before anybody takes hold of the parameters
    state = None if closed else new_state(model, recipe)
    if state is not None:
        recipe, of_optimizer = with_optimizer_options(recipe, state)
        plain = plain and not unoptimized_parameters(state)
        remarks += of_optimizer
    known = compute_theory(
        recipe,
        problem,
        lam,
        noise,
        is_plain=plain,
        has_even_batches=even,
        standardized_kappa=standardized_condition_number(seen, recipe),
    )
    remarks += _stream_remarks(seen, recipe)
    finished = _run_closed_form(model, problem, lam, recipe) if state is None else _run_loop(seen, state, flat, read, recipe)
    if state is not None and state.average_count:
        recipe = replace(recipe, average=state.average_start)  # of a run that went on, it may be another one than was asked for
    return Training(
        options=replace(recipe, stream=seen.needs_streaming(recipe)),
        result=finished,
        problem=problem,
        moments=seen.moments,
        source=seen.source,
        theory=known,
        remarks=noted + remarks + finished.remarks,
        plain=plain,
        owned=seen.user_objects.model is not None,
        validation=seen.validation,
        validation_rows=seen.validation_account,
    )


def _resume_learning_rate(seen: TrainingData, recipe: TrainingOptions) -> tuple[TrainingOptions, tuple[str, ...]]:
    """Give lr="auto" the rate that a run began with, where it goes on: the best rate for more epochs may be another one."""
    rate = newest_checkpoint_rate(seen.policy) if recipe.lr == "auto" else None
    if rate is None:
        return recipe, ()
    return replace(recipe, lr=rate), (f"lr='auto' is {rate:.6g}, the rate of the checkpoint that the run goes on from.",)


def _stream_remarks(seen: TrainingData, recipe: TrainingOptions) -> tuple[str, ...]:
    """Say that rows are not held, and where their order is not what a user of shuffle=True expects."""
    if not seen.needs_streaming(recipe):
        return ()
    said = "The rows are not held: they are read anew each epoch."
    if recipe.is_full_batch or not recipe.shuffle or len(seen.source.parts()) > 1:
        return (said,)
    return (
        f"{said} {seen.source.label} can only be read from its beginning, so rows are shuffled within a buffer and move no further "
        "than that: if they are sorted, write them to a Parquet file with many row groups first.",
    )


def _run_loop(
    seen: TrainingData,
    state: LoopState,
    flat: tuple[torch.Tensor, torch.Tensor] | None,
    read: Callable[[], Array],
    recipe: TrainingOptions,
) -> LoopResult:
    (problem, lam), given, validation = seen.problem(recipe), seen.training_batches(recipe), seen.validation_batches(recipe)
    model, start = state.model, read()
    if seen.user_objects.loader is not None:
        state.generators = seen.user_objects.loader.generators
    if seen.policy is None and flat is not None and needs_no_callbacks(recipe, has_validation=validation is not None):
        return finish_loop(state, run_moments_loop(flat, problem, state, recipe), start, read)
    signals = SignalHandler()
    if flat is None:
        gradient = all_reduce_gradient(new_gradient(recipe, model), model, seen.process_group, signals)
    else:
        gradient = quadratic_gradient(flat, problem)
    evaluate = partial(
        evaluate_state,
        given,
        state,
        recipe,
        criterion=new_criterion(recipe),
        unit=float(problem.scale[-1]),
        validation=validation,
        from_moments=None if isinstance(given, InMemoryBatches) else _evaluation_from_moments(seen, problem, recipe, read),
    )
    with mark_local_errors(), ExitStack() as stack:
        checkpointer, ended = None, None
        if seen.policy is not None:
            fingerprint = fingerprint_of(seen.moments.design, problem, recipe, given, validation, group=seen.process_group)
            checkpointer = stack.enter_context(Checkpointer(seen.policy, fingerprint, seen.process_group, signals))
            ended = checkpointer.resume(state, recipe)
        if ended is None:
            require_schedule(given, state, recipe)
            ended = run_loop(
                given,
                state,
                all_reduce_callbacks(recipe, seen.process_group),
                gradient=gradient,
                evaluate=evaluate,
                distance=new_distance(recipe, problem, lam, read),
                hook=checkpointer,
            )
        remarks = () if checkpointer is None else checkpointer.remarks
        return replace(finish_loop(state, ended, start, read, evaluate), remarks=remarks)


def _evaluation_from_moments(
    seen: TrainingData, problem: StandardizedProblem, recipe: TrainingOptions, read: Callable[[], Array]
) -> Callable[[], Measurement] | None:
    """Give what works the mean squared error out from cross-products, so that rows that are not held need no second reading."""
    if recipe.loss != "mse" or "mae" in recipe.metrics:
        return None
    unit = float(problem.scale[-1])
    variance = float(seen.moments.variances[-1]) / unit**2

    def known() -> Measurement:
        mse = problem.loss(read())
        return Measurement(loss=mse, metrics=metrics_from_mse(recipe.metrics, mse, variance, unit))

    return known


def _run_closed_form(model: nn.Module, problem: StandardizedProblem, lam: theory.Spectrum, recipe: TrainingOptions) -> LoopResult:
    start = get_coefficients(model)
    losses, end, ended = compute_closed_form(problem, lam, recipe, start)
    set_coefficients(model, end)
    return LoopResult(
        model=model,
        optimizer=None,
        losses=losses,
        history=History(columns={"loss": losses.tolist()}),
        start=start,
        end=end,
        stop_reason=ended,
    )
