"""Train a model for each set of options: `train` checks them, `train_one` goes from the options to a `Training`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import torch

from squarely.data import Source
from squarely.descent.batches.batch_source import RunInputs
from squarely.descent.checkpoint.checkpointer import Checkpointer, newest_checkpoint_rate
from squarely.descent.checkpoint.fingerprint import fingerprint_of
from squarely.descent.checkpoint.policy import CheckpointPolicy
from squarely.descent.loop.moments_engine import needs_no_callbacks, run_moments_loop
from squarely.descent.loop.result import LoopResult
from squarely.descent.loop.signals import SignalHandler
from squarely.descent.loop.state import LoopState, new_state, unoptimized_parameters, with_optimizer_options
from squarely.descent.loop.stopping import bound_distance
from squarely.descent.loop.training_loop import finish_loop, new_evaluate, require_schedule, run_loop
from squarely.descent.model.gradients import flatten_parameters, new_gradient, quadratic_gradient
from squarely.descent.model.linear_regression import new_model
from squarely.descent.model.user_objects import adapt_options, check_user_objects, coefficient_reader
from squarely.descent.options.checks import check_options
from squarely.descent.options.compatibility import require_validation
from squarely.descent.options.options import TrainingOptions
from squarely.descent.process_group import ProcessGroup, mark_local_errors
from squarely.descent.results.closed_form import train_closed_form
from squarely.descent.results.training import Training
from squarely.descent.run_theory.learning_rate import resolve_learning_rate
from squarely.descent.run_theory.limits import compute_theory
from squarely.descent.sharding import all_reduce_callbacks, all_reduce_gradient
from squarely.descent.trainer.training_data import TrainingData
from squarely.errors import OptionError
from squarely.moments import Moments
from squarely.numerics import Array

if TYPE_CHECKING:
    from torch import nn


def train(
    moments: Moments,
    source: Source,
    options: tuple[TrainingOptions, ...],
    *,
    validation: Source | None = None,
    model: nn.Module | None = None,
    policy: CheckpointPolicy | None = None,
    process_group: ProcessGroup | None = None,
    shard: Source | None = None,
) -> tuple[Training, ...]:
    """Train a new model, or the user's, for each set of options. Rows that fit into memory are read once.

    `policy` needs a single set of options. The processes of a `process_group` train together, each on its `shard` of the rows; the
    moments are those of all rows.

    Raises
    ------
    DataError : there is nothing to train on: no predictor, or a constant column.
    OptionError : an option cannot be used, or differs from that of the checkpoint.
    KeyboardInterrupt : Ctrl-C. With a policy, the message says how to continue.
    """
    options = tuple(check_options(each, model) for each in options)
    require_validation(options, validation)
    if policy is not None and any(each.engine == "closed_form" for each in options):
        raise OptionError("engine='closed_form' takes no steps, so there is nothing to save. Leave out checkpoint= and resume=.")
    data = TrainingData(
        moments=moments,
        source=source,
        validation=validation,
        user_objects=check_user_objects(model, source, len(moments.design.columns), intercept=moments.design.intercept),
        policy=policy,
        process_group=ProcessGroup() if process_group is None else process_group,
        shard=shard,
    )
    with torch.inference_mode(False), torch.enable_grad():  # the loop needs tensors that can change, whatever mode the user has set
        return tuple(train_one(data, each) for each in options)


def train_one(data: TrainingData, options: TrainingOptions) -> Training:
    """Train one model."""
    user = data.user_objects
    options, user_remarks = adapt_options(options, user)
    options, batch_remarks = data.resolve_batch_size(options)
    inputs = data.inputs_for(options)
    problem = inputs.theory.problem
    if options.engine == "closed_form":
        remarks, has_loader = user_remarks + batch_remarks, user.loader is not None
        return train_closed_form(data.moments, data.source, options, inputs.theory, remarks=remarks, has_user_loader=has_loader)
    features = len(problem.scale) - 1
    model = new_model(features, options, bias=problem.intercept) if user.model is None else user.model
    read = coefficient_reader(model, features, bias=problem.intercept)
    data.process_group.broadcast([parameter.detach() for parameter in model.parameters()])  # those of a user's model may differ
    checkpoint_rate = partial(newest_checkpoint_rate, data.policy)
    options, rate_remarks = resolve_learning_rate(
        options, inputs.theory, read, is_plain=user.is_plain, checkpoint_rate=checkpoint_rate
    )
    remarks, is_plain = user_remarks + batch_remarks + rate_remarks, user.is_plain
    flat = flatten_parameters(model) if options.engine == "moments" else None  # before the optimizer refers to the parameters
    state = new_state(model, options)
    options, optimizer_remarks = with_optimizer_options(options, state)
    remarks, is_plain = remarks + optimizer_remarks, is_plain and not unoptimized_parameters(state)
    run_theory = compute_theory(options, inputs.theory, is_plain=is_plain)
    result = _run_loop(data, inputs, state, options, read=read, flat=flat)
    if state.average_count:
        options = replace(options, average=state.average_start)  # that of the checkpoint, if the run continued from one
    return Training(
        options=replace(options, stream=inputs.is_streamed),
        result=result,
        problem=problem,
        moments=data.moments,
        source=data.source,
        theory=run_theory,
        remarks=remarks + inputs.remarks + result.remarks,
        is_plain=is_plain,
        has_user_model=user.model is not None,
        has_user_loader=user.loader is not None,
        validation=data.validation,
        validation_rows=inputs.validation_account,
    )


def _run_loop(
    data: TrainingData,
    inputs: RunInputs,
    state: LoopState,
    options: TrainingOptions,
    *,
    read: Callable[[], Array],
    flat: tuple[torch.Tensor, torch.Tensor] | None,
) -> LoopResult:
    """Train on rows or on cross-products; `flat` are the parameters and gradients as vectors, for cross-products."""
    problem, batches, group, start = inputs.theory.problem, inputs.batches, data.process_group, read()
    if data.user_objects.loader is not None:
        state.generators = data.user_objects.loader.generators
    evaluate = new_evaluate(data.moments, inputs, state, options, read)
    if data.policy is None and flat is not None and needs_no_callbacks(options, has_validation=inputs.validation is not None):
        return finish_loop(state, run_moments_loop(flat, problem, state, options), start, read, evaluate)
    signals = SignalHandler()
    if flat is None:
        own = new_gradient(options, state.model, weighted=data.is_weighted)
        gradient = all_reduce_gradient(own, state.model, group, signals)
    else:
        gradient = quadratic_gradient(flat, problem)
    with mark_local_errors(), ExitStack() as stack:
        checkpointer = reason = None
        if data.policy is not None:
            fingerprint = fingerprint_of(data.moments.design, problem, options, batches, inputs.validation, group=group)
            checkpointer = stack.enter_context(Checkpointer(data.policy, fingerprint, group, signals))
            reason = checkpointer.resume(state, options)
        if reason is None:
            require_schedule(batches, state, options)
            if checkpointer is not None:
                checkpointer.on_start(state)
            shared, distance = all_reduce_callbacks(options, group), partial(bound_distance, problem, inputs.theory.spectrum, read)
            save = checkpointer.save_if_due if checkpointer is not None else lambda state: None
            reason = run_loop(batches, state, shared, gradient=gradient, evaluate=evaluate, distance=distance, save=save)
            if checkpointer is not None:
                checkpointer.save(state, reason)
        remarks = () if checkpointer is None else checkpointer.remarks
        return replace(finish_loop(state, reason, start, read, evaluate), remarks=remarks)
