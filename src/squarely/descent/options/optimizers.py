"""Torch's optimisers and schedulers by their names, each checked on a parameter of its own before any row is read."""

from __future__ import annotations

import copy
import inspect
import math
import warnings
from collections.abc import Callable, Iterable, Mapping
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim import lr_scheduler

from squarely.descent.options.options import ParameterGroup, TrainingOptions
from squarely.errors import OptionError, first_line, pluralize, suggest_name
from squarely.numerics import Array

_UNSUPPORTED_OPTIMIZERS = {"Optimizer", "SparseAdam", "Muon"}  # sparse gradients, and matrices with singular values worth the name
OPTIMIZERS: Mapping[str, type] = {
    name.lower(): kind
    for name, kind in vars(torch.optim).items()
    if inspect.isclass(kind) and issubclass(kind, torch.optim.Optimizer) and name not in _UNSUPPORTED_OPTIMIZERS
}
_UNSUPPORTED_SCHEDULERS = {
    "LRScheduler",
    "_LRScheduler",
    "SequentialLR",
    "ChainedScheduler",
}  # the last two want schedulers, not numbers
SCHEDULERS: Mapping[str, type] = {
    name: kind
    for name, kind in vars(lr_scheduler).items()
    if inspect.isclass(kind) and issubclass(kind, lr_scheduler.LRScheduler) and name not in _UNSUPPORTED_SCHEDULERS
}
_ENDLESS_SCHEDULERS = tuple(
    vars(lr_scheduler)[name]
    for name in (
        "StepLR", "MultiStepLR", "ConstantLR", "LinearLR", "ExponentialLR", "PolynomialLR", "CosineAnnealingLR",
        "CosineAnnealingWarmRestarts", "ReduceLROnPlateau",
    )
)  # fmt: skip
_MAX_TRIED_STEPS = 2**16  # steps of a schedule that are tried out
BATCH_SCHEDULERS = ("CyclicLR", "OneCycleLR")  # whose steps torch counts in batches


def resolve_optimizer(given: Any) -> Any:
    """Give an optimiser's name in small letters, where it has one among torch's; a function and an object stay what they are.

    Raises
    ------
    OptionError : it is none of these.
    """
    if isinstance(given, type) and OPTIMIZERS.get(given.__name__.lower()) is given:
        return given.__name__.lower()
    if isinstance(given, str):
        if given.lower() not in OPTIMIZERS:
            raise OptionError(f"optimizer={given!r} is not known. {suggest_name(given, sorted(OPTIMIZERS))}")
        return given.lower()
    if not callable(given) and not isinstance(given, torch.optim.Optimizer):
        raise OptionError(f"optimizer={given!r} is not known. {suggest_name(str(given), sorted(OPTIMIZERS))}")
    return given


def resolve_scheduler(given: Any) -> Any:
    """Give a scheduler's name as torch spells it, where it has one; a function and an object stay what they are.

    Raises
    ------
    OptionError : it is none of these.
    """
    if given is None:
        return None
    if isinstance(given, type) and SCHEDULERS.get(given.__name__) is given:
        return given.__name__
    if isinstance(given, str):
        spelt = {name.lower(): name for name in SCHEDULERS}
        found = spelt.get(given.lower()) or spelt.get(f"{given.lower()}lr")
        if found is None:
            raise OptionError(f"scheduler={given!r} is not known. {suggest_name(given, sorted(SCHEDULERS))}")
        return found
    if not callable(given) and not isinstance(given, lr_scheduler.LRScheduler):
        raise OptionError(f"scheduler={given!r} is not known. {suggest_name(str(given), sorted(SCHEDULERS))}")
    return given


def require_model_parameters(recipe: TrainingOptions, model: nn.Module | None) -> None:
    """Refuse an optimiser or a scheduler that is an object, unless it is of the parameters of the user's own model.

    Raises
    ------
    OptionError : it is of other parameters, or there is no such model.
    """
    optimizer, scheduler = recipe.optimizer, recipe.scheduler
    if isinstance(optimizer, torch.optim.Optimizer):
        if model is None:
            raise OptionError(
                f"optimizer= is a {type(optimizer).__name__} that holds parameters already, and without model= squarely makes the "
                "model itself. Give model= too; or give the optimiser's class, its name, or a function of the parameters, such as "
                "lambda params: torch.optim.SGD(params, lr=0.1)."
            )
        if isinstance(model, nn.Module):
            _require_parameters_of(optimizer, model)
    if isinstance(scheduler, lr_scheduler.LRScheduler) and scheduler.optimizer is not optimizer:
        raise OptionError(
            f"scheduler= is a {type(scheduler).__name__} that belongs to another optimiser: it would change that one's learning "
            "rate. Give its own optimiser as optimizer=; or give its class or name with scheduler_options=, or a function of the "
            "optimiser."
        )


def _require_parameters_of(optimizer: torch.optim.Optimizer, model: nn.Module) -> None:
    held = [part for group in optimizer.param_groups for part in group["params"]]
    others = len({id(part) for part in held} - {id(part) for part in model.parameters()})
    if others:
        raise OptionError(
            f"optimizer= is a {type(optimizer).__name__} of {pluralize(len(held), 'parameter')}, and {others:,} of them "
            f"{'is' if others == 1 else 'are'} not of the model that is trained. Make it of model.parameters()."
        )


def new_optimizer(parameters: Iterable[torch.Tensor], recipe: TrainingOptions) -> torch.optim.Optimizer:
    """Make the optimiser of a recipe for parameters.

    Raises
    ------
    OptionError : it does not take these options; torch's words are part of the message.
    """
    kind = OPTIMIZERS.get(recipe.optimizer) if isinstance(recipe.optimizer, str) else None
    options = _collect_options(recipe) if kind is not None else {}
    own = isinstance(recipe.optimizer, torch.optim.Optimizer)
    made = recipe.optimizer if own else _construct("optimizer", kind or recipe.optimizer, parameters, options)
    if not isinstance(made, torch.optim.Optimizer):
        raise OptionError(f"optimizer= gave a {type(made).__name__} for the parameters, not a torch optimiser. Return one.")
    for group in made.param_groups:
        _require_plain_steps(group)
        if kind is not None and group.get("foreach", False) is None and recipe.device == "cpu":
            group["foreach"] = False  # what torch itself comes to on a CPU, after asking every step
    return made


def _require_plain_steps(group: Mapping[str, Any]) -> None:
    if group.get("differentiable"):
        raise OptionError("differentiable=True keeps a graph of every step, and training takes steps without one. Leave it out.")
    if group.get("capturable") and any(part.device.type == "cpu" for part in group["params"]):
        raise OptionError("capturable=True is for parameters on a GPU, and these are on the CPU. Leave it out.")


def optimizer_of(model: nn.Module, recipe: TrainingOptions) -> torch.optim.Optimizer:
    """Make the optimiser of a recipe for a model, or take the user's own.

    Raises
    ------
    OptionError : it cannot be made, is not of the model's parameters, or cannot train in batches or with clipping.
    """
    made = new_optimizer(model.parameters(), recipe)
    _require_parameters_of(made, model)
    if needs_closure(made) and (not recipe.is_full_batch or recipe.clip_grad_norm is not None):
        what = "clip_grad_norm=" if recipe.is_full_batch else "batches"
        raise OptionError(
            f"LBFGS looks at the loss several times a step and searches along its gradient: {what} would change it meanwhile. "
            f"{'Leave clip_grad_norm out' if recipe.is_full_batch else 'Give all rows in one batch'}, or take another optimiser."
        )
    return made


def groups_of(optimizer: torch.optim.Optimizer, model: nn.Module) -> tuple[ParameterGroup, ...]:
    """Read the parameter groups of a real optimiser: which parameters of a model each moves, and how."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    kind = type(optimizer)
    known = kind.__name__.lower() if OPTIMIZERS.get(kind.__name__.lower()) is kind else f"{kind.__module__}.{kind.__qualname__}"
    return tuple(
        ParameterGroup(
            kind=known,
            parameters=tuple(names.get(id(part), "?") for part in group["params"] if part.requires_grad),
            lr=_to_float(group.get("initial_lr", group.get("lr")), math.nan),
            momentum=_to_float(group.get("momentum")),
            dampening=_to_float(group.get("dampening")),
            nesterov=bool(group.get("nesterov")),
            weight_decay=_to_float(group.get("weight_decay")),
            decoupled=bool(group.get("decoupled_weight_decay", known == "adafactor")),
            maximize=bool(group.get("maximize")),
        )
        for group in optimizer.param_groups
    )


def _to_float(given: Any, otherwise: Any = None) -> Any:
    """Give an option of an optimiser, which may be a tensor of one number, as a float."""
    single = isinstance(given, Real) or (isinstance(given, torch.Tensor) and given.numel() == 1)
    return float(given) if single else otherwise


def new_scheduler(optimizer: torch.optim.Optimizer, recipe: TrainingOptions) -> Any:
    """Make the scheduler of a recipe for its optimiser, None if it has none.

    Raises
    ------
    OptionError : it does not take these options, or wants another optimiser.
    """
    if recipe.scheduler is None:
        return None
    kind = SCHEDULERS.get(recipe.scheduler) if isinstance(recipe.scheduler, str) else None
    own = isinstance(recipe.scheduler, lr_scheduler.LRScheduler)
    options = dict(recipe.scheduler_options) if kind is not None else {}
    made = recipe.scheduler if own else _construct("scheduler", kind or recipe.scheduler, optimizer, options)
    if not isinstance(made, lr_scheduler.LRScheduler):
        raise OptionError(f"scheduler= gave a {type(made).__name__} for the optimiser, not a torch scheduler. Return one.")
    if made.optimizer is not optimizer:
        raise OptionError(
            f"scheduler= gave a {type(made).__name__} of another optimiser: it would change that one's learning rate. "
            "Make it of the optimiser that it is called with."
        )
    if isinstance(made, lr_scheduler.ReduceLROnPlateau):
        _require_plateau(made, recipe)
    return made


def _require_plateau(made: lr_scheduler.ReduceLROnPlateau, recipe: TrainingOptions) -> None:
    if recipe.scheduler_per == "batch" and not recipe.is_full_batch:
        raise OptionError(
            "ReduceLROnPlateau waits for the loss of an epoch, and scheduler_per='batch' would ask it after each batch. Leave "
            "scheduler_per out."
        )
    if made.mode != "min":
        raise OptionError(
            "ReduceLROnPlateau watches the loss, which is to fall, and mode='max' waits for it to rise. Use mode='min'."
        )


def needs_batch_steps(scheduler: Any, recipe: TrainingOptions) -> bool:
    """Tell whether a scheduler takes a step each batch: as the recipe says, or because torch counts its steps so."""
    return recipe.scheduler_per == "batch" or type(scheduler).__name__ in BATCH_SCHEDULERS


def try_schedule(scheduler: Any, steps: int, epochs: int) -> None:
    """Step a copy of a scheduler through a run that has so many steps left: a schedule that is too short shows before the first.

    Raises
    ------
    OptionError : it fails on the way; of OneCycleLR the number that it needs is said.
    """
    if isinstance(scheduler, lr_scheduler.OneCycleLR):
        needed = scheduler.last_epoch + steps
        if needed > scheduler.total_steps:
            raise OptionError(
                f"The scheduler OneCycleLR ends after {scheduler.total_steps:,} steps, and this run takes {needed:,}. Give "
                f"total_steps={needed}; or epochs={epochs} and steps_per_epoch={-(-needed // epochs)}."
            )
        return
    if scheduler is None or type(scheduler) in _ENDLESS_SCHEDULERS:
        return
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")  # torch warns of a scheduler whose optimiser never steps
        try:
            tried = copy.deepcopy(scheduler)
        except Exception:  # it may hold anything
            return
        for step in range(min(steps, _MAX_TRIED_STEPS)):
            try:
                tried.step()
            except Exception as error:
                raise OptionError(
                    f"The scheduler {type(scheduler).__name__} fails at step {step + 1:,} of the {steps:,} of this run: "
                    f"{type(error).__name__}: {first_line(error)}. See that its options go with the epochs of the run, or with its "
                    "batches where scheduler_per='batch'."
                ) from error


def step_scheduler(scheduler: Any, *loss: float) -> None:
    """Let a scheduler take a step; one that waits for a plateau is told the loss.

    Raises
    ------
    OptionError : it fails, as OneCycleLR does when its steps are used up.
    """
    try:
        scheduler.step(*loss) if isinstance(scheduler, lr_scheduler.ReduceLROnPlateau) else scheduler.step()
    except Exception as error:
        raise OptionError(
            f"The scheduler {type(scheduler).__name__} failed when it was to step: {first_line(error)}. See that its options go with "
            "the epochs of the run, or with its batches where scheduler_per='batch'."
        ) from error


def needs_closure(optimizer: torch.optim.Optimizer) -> bool:
    """Tell whether an optimiser evaluates the loss itself, several times a step."""
    return isinstance(optimizer, torch.optim.LBFGS)


def _collect_options(recipe: TrainingOptions) -> dict[str, Any]:
    options: dict[str, Any] = {"lr": recipe.rate}
    if recipe.optimizer == "sgd":
        options |= {"momentum": recipe.momentum, "nesterov": recipe.nesterov}
    if recipe.weight_decay is not None:
        options["weight_decay"] = recipe.weight_decay
    return options | dict(recipe.optimizer_options)


def _construct(what: str, kind: Callable[..., Any], target: Any, options: Mapping[str, Any]) -> Any:
    try:
        return kind(target, **options)
    except OptionError:
        raise
    except Exception as error:
        name = getattr(kind, "__name__", type(kind).__name__)
        said = f"{what}_options={dict(options)!r}" if options else f"{what}="
        raise OptionError(
            f"{name} cannot be made of {said}: {first_line(error)}. PyTorch's documentation has its options."
        ) from error


_MAX_SCHEDULE_STEPS = 100_000  # steps of a schedule, about a second


def simulate_schedule(recipe: TrainingOptions, steps: int) -> tuple[Array, Array] | None:
    """Give the learning rates and momenta (steps,) that a scheduler takes SGD through; None where only the run can tell.

    A scheduler that waits for a plateau is told losses, and one of the user's own may count its calls.
    """
    if not isinstance(recipe.scheduler, str) or recipe.scheduler == "ReduceLROnPlateau" or steps > _MAX_SCHEDULE_STEPS:
        return None
    idle = new_optimizer([torch.nn.Parameter(torch.zeros(1))], recipe)
    table = []
    try:
        scheduler = new_scheduler(idle, recipe)
        idle.step()  # torch warns of a scheduler whose optimiser never steps
        for _ in range(steps):
            group = idle.param_groups[0]
            table.append((float(group["lr"]), float(group.get("momentum", 0.0))))
            scheduler.step()
    except (OptionError, ValueError):  # its steps are used up: the run will say so
        return None
    rates, momenta = np.array(table).reshape(-1, 2).T
    return rates, momenta
