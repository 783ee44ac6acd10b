"""Running a recipe: a model is made, trained on the rows that are to be seen, and told of as a Training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache, partial
from typing import TYPE_CHECKING

import torch

from squarely import theory
from squarely.data import Source
from squarely.descent.batches.in_memory import Held
from squarely.descent.checkpoint.checkpointer import kept, rate_begun_with
from squarely.descent.checkpoint.fingerprint import identity_of
from squarely.descent.checkpoint.policy import Keeping
from squarely.descent.distributed.process_group import Team, met_alone
from squarely.descent.distributed.sharding import SharedHeld, shared_gradient, shared_recipe
from squarely.descent.loop.moments_engine import closed_form, descend, goes_unwatched
from squarely.descent.loop.signals import Halting
from squarely.descent.loop.state import Log, State, as_made, idle, new_state
from squarely.descent.loop.stopping import new_distance
from squarely.descent.loop.training_loop import Look, Loop, measured_now, require_schedule, run_loop, settle
from squarely.descent.model.gradients import laid_flat, new_gradient, of_the_quadratic
from squarely.descent.model.linear_regression import coefficients, new_model, set_coefficients
from squarely.descent.model.losses import new_criterion
from squarely.descent.model.metrics import Measured, named
from squarely.descent.model.user_objects import owned, reader, suited
from squarely.descent.options.checks import checked
from squarely.descent.options.options import Recipe
from squarely.descent.results.run_theory import foreknow, settled
from squarely.descent.results.training import Training
from squarely.descent.training_data import Seen, gradient_noise, kappa_once_standardised
from squarely.errors import OptionError
from squarely.moments import Moments, StandardizedProblem
from squarely.numerics import Array

if TYPE_CHECKING:
    from torch import nn


def train(
    moments: Moments,
    source: Source,
    recipes: tuple[Recipe, ...],
    *,
    validation: Source | None = None,
    model: nn.Module | None = None,
    keeping: Keeping | None = None,
    team: Team | None = None,
    share: Source | None = None,
) -> tuple[Training, ...]:
    """Train one newly made model for each recipe, or a user's own; rows that fit into memory are read once.

    `keeping` is for a single recipe. The processes of a `team` train together, each on its `share` of the rows; the moments are
    those of all.

    Raises
    ------
    DataError : there is nothing to train on: no predictor, or a column without spread.
    OptionError : a recipe makes no sense, or is not that of the checkpoint that it is to go on from.
    KeyboardInterrupt : Ctrl-C; where the run was kept, the message says how to go on.
    """
    recipes = tuple(checked(recipe, model) for recipe in recipes)
    require_validation(recipes, validation)
    if keeping is not None and any(recipe.engine == "closed_form" for recipe in recipes):
        raise OptionError("engine='closed_form' takes no steps, so there is nothing to keep. Leave checkpoint= and resume= out.")
    own = owned(model, source, len(moments.design.columns), intercept=moments.design.intercept)
    team = Team() if team is None else team
    seen = Seen(moments=moments, source=source, validation=validation, own=own, keeping=keeping, team=team, share=share)
    return tuple(run_alone(seen, recipe) for recipe in recipes)


def require_validation(recipes: Sequence[Recipe], validation: Source | None) -> None:
    """Raise an OptionError where a recipe wants rows to validate with and there are none, or has no use for them."""
    if validation is None and any(recipe.stop == "validation" for recipe in recipes):
        raise OptionError("stop='validation' watches the loss of other rows, and there are none. Give validation=, or stop='loss'.")
    if validation is not None and any(recipe.engine == "closed_form" for recipe in recipes):
        raise OptionError("engine='closed_form' looks at no rows, so validation= has no meaning. Use engine='moments'.")


def run_alone(seen: Seen, recipe: Recipe) -> Training:
    """Train one recipe on the rows that are to be seen."""
    with torch.inference_mode(False), torch.enable_grad():  # a loop needs tensors that can change, whatever the user has set
        return _alone(seen, recipe)


def _alone(seen: Seen, recipe: Recipe) -> Training:
    recipe, noted = suited(recipe, seen.own)
    problem, lam = seen.problem(recipe)
    noise = cache(partial(gradient_noise, seen, recipe))
    own = seen.own.model
    model = new_model(len(problem.scale) - 1, recipe, bias=problem.intercept) if own is None else own
    read = reader(model, len(problem.scale) - 1, bias=problem.intercept)
    seen.team.begin_alike([parameter.detach() for parameter in model.parameters()])  # a user's own may differ
    recipe, begun = _begun(seen, recipe)
    plain, even = seen.own.plain, seen.own.even
    recipe, remarks = settled(recipe, problem, lam, read, noise, plain=plain, even=even)
    remarks = begun + remarks
    closed = recipe.engine == "closed_form"
    flat = laid_flat(model) if recipe.engine == "moments" else None  # before anybody takes hold of the parameters
    state = None if closed else new_state(model, recipe)
    if state is not None:
        recipe, of_optimizer = as_made(recipe, state)
        plain = plain and not idle(state)
        remarks += of_optimizer
    known = foreknow(recipe, problem, lam, noise, plain=plain, even=even, tamed=kappa_once_standardised(seen, recipe))
    remarks += _passing(seen, recipe)
    finished = _closed(model, problem, lam, recipe) if state is None else _looped(seen, state, flat, read, recipe)
    if state is not None and state.counted:
        recipe = replace(recipe, average=state.averaged_from)  # of a run that went on, it may be another one than was asked for
    return Training(
        recipe=replace(recipe, stream=seen.streams(recipe)),
        loop=finished,
        problem=problem,
        moments=seen.moments,
        source=seen.source,
        theory=known,
        remarks=noted + remarks + finished.remarks,
        plain=plain,
        owned=seen.own.model is not None,
        validation=seen.validation,
        validation_rows=seen.kept,
    )


def _begun(seen: Seen, recipe: Recipe) -> tuple[Recipe, tuple[str, ...]]:
    """Give lr="auto" the rate that a run began with, where it goes on: the best rate for more epochs may be another one."""
    rate = rate_begun_with(seen.keeping) if recipe.lr == "auto" else None
    if rate is None:
        return recipe, ()
    return replace(recipe, lr=rate), (f"lr='auto' is {rate:.6g}, the rate of the checkpoint that the run goes on from.",)


def _passing(seen: Seen, recipe: Recipe) -> tuple[str, ...]:
    """Say that rows are not held, and where their order is not what a user of shuffle=True expects."""
    if not seen.streams(recipe):
        return ()
    said = "The rows are not held: they are read anew each epoch."
    if recipe.full_batch or not recipe.shuffle or len(seen.source.parts()) > 1:
        return (said,)
    return (
        f"{said} {seen.source.label} can only be read from its beginning, so rows are shuffled within a buffer and move no further "
        "than that: if they are sorted, write them to a Parquet file with many row groups first.",
    )


def _looped(
    seen: Seen, state: State, flat: tuple[torch.Tensor, torch.Tensor] | None, read: Callable[[], Array], recipe: Recipe
) -> Loop:
    (problem, lam), given, validation = seen.problem(recipe), seen.rows(recipe), seen.validation_rows(recipe)
    model, start = state.model, read()
    if seen.own.loader is not None:
        state.generators = seen.own.loader.generators
    if seen.keeping is None and flat is not None and goes_unwatched(recipe, validated=validation is not None):
        return settle(state, descend(flat, problem, state, recipe), start, read)
    halting = Halting()
    if flat is None:
        gradient = shared_gradient(new_gradient(recipe, model), model, seen.team, halting)
    else:
        gradient = of_the_quadratic(flat, problem)
    look = Look(
        criterion=new_criterion(recipe),
        unit=float(problem.scale[-1]),
        validation=validation,
        known=None if isinstance(given, Held | SharedHeld) else _known(seen, problem, recipe, read),
    )
    loop = partial(
        run_loop,
        given,
        state,
        shared_recipe(recipe, seen.team),
        gradient=gradient,
        look=look,
        distance=new_distance(recipe, problem, lam, read),
    )
    with met_alone():
        ended, remarks = kept(
            seen.keeping,
            state,
            recipe,
            identity=lambda: identity_of(seen.moments.design, problem, recipe, given, validation, team=seen.team),
            run=lambda keeper: loop(keeper=keeper),
            ready=partial(require_schedule, given, state, recipe),
            halting=halting,
            team=seen.team,
        )
        measured = partial(measured_now, given, state, recipe, look)
        return replace(settle(state, ended, start, read, measured), remarks=remarks)


def _known(seen: Seen, problem: StandardizedProblem, recipe: Recipe, read: Callable[[], Array]) -> Callable[[], Measured] | None:
    """Give what works the mean squared error out from cross-products, so that rows that are not held need no second reading."""
    if recipe.loss != "mse" or "mae" in recipe.metrics:
        return None
    unit = float(problem.scale[-1])
    variance = float(seen.moments.variances[-1]) / unit**2

    def known() -> Measured:
        mse = problem.loss(read())
        return Measured(loss=mse, metrics=named(recipe.metrics, mse, variance, unit))

    return known


def _closed(model: nn.Module, problem: StandardizedProblem, lam: theory.Spectrum, recipe: Recipe) -> Loop:
    start = coefficients(model)
    losses, end, ended = closed_form(problem, lam, recipe, start)
    set_coefficients(model, end)
    return Loop(
        model=model, optimizer=None, losses=losses, log=Log(columns={"loss": losses.tolist()}), start=start, end=end, ending=ended
    )
