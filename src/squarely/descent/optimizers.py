"""Torch's optimisers and schedulers by their names, each checked on a parameter of its own before any row is read."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from numbers import Real
from typing import Any

import torch
from torch import nn
from torch.optim import lr_scheduler

from squarely.descent.recipe import Group, Recipe
from squarely.errors import OptionError, did_you_mean

_NOT_FOR_A_LINE = {"Optimizer", "SparseAdam", "Muon"}  # sparse gradients, and matrices with singular values worth the name
OPTIMIZERS: Mapping[str, type] = {
    name.lower(): kind
    for name, kind in vars(torch.optim).items()
    if inspect.isclass(kind) and issubclass(kind, torch.optim.Optimizer) and name not in _NOT_FOR_A_LINE
}
_BASES = {"LRScheduler", "_LRScheduler", "SequentialLR", "ChainedScheduler"}  # the last two want schedulers, not numbers
SCHEDULERS: Mapping[str, type] = {
    name: kind
    for name, kind in vars(lr_scheduler).items()
    if inspect.isclass(kind) and issubclass(kind, lr_scheduler.LRScheduler) and name not in _BASES
}
PER_BATCH = ("CyclicLR", "OneCycleLR")  # whose steps torch counts in batches


def named_optimizer(given: Any) -> Any:
    """Give an optimiser's name in small letters, where it has one among torch's; a function of parameters stays what it is.

    Raises
    ------
    OptionError : it is neither.
    """
    if isinstance(given, type) and OPTIMIZERS.get(given.__name__.lower()) is given:
        return given.__name__.lower()
    if isinstance(given, str):
        if given.lower() not in OPTIMIZERS:
            raise OptionError(f"optimizer={given!r} is not known. {did_you_mean(given, sorted(OPTIMIZERS))}")
        return given.lower()
    if isinstance(given, torch.optim.Optimizer):
        raise OptionError(
            f"optimizer= is a {type(given).__name__} that holds the parameters of another model. Give its class, its name, or a "
            "function of the parameters, such as lambda params: torch.optim.SGD(params, lr=0.1); or give model= and loader= too."
        )
    if not callable(given):
        raise OptionError(f"optimizer={given!r} is not known. {did_you_mean(str(given), sorted(OPTIMIZERS))}")
    return given


def named_scheduler(given: Any) -> Any:
    """Give a scheduler's name as torch spells it, where it has one; a function of the optimiser stays what it is.

    Raises
    ------
    OptionError : it is neither, or it is the scheduler of another optimiser.
    """
    if given is None:
        return None
    if isinstance(given, type) and SCHEDULERS.get(given.__name__) is given:
        return given.__name__
    if isinstance(given, lr_scheduler.LRScheduler):
        raise OptionError(
            f"scheduler= is a {type(given).__name__} that belongs to another optimiser: it would change that one's learning rate. "
            "Give its class or name with scheduler_options=, or a function of the optimiser."
        )
    if isinstance(given, str):
        spelt = {name.lower(): name for name in SCHEDULERS}
        found = spelt.get(given.lower()) or spelt.get(f"{given.lower()}lr")
        if found is None:
            raise OptionError(f"scheduler={given!r} is not known. {did_you_mean(given, sorted(SCHEDULERS))}")
        return found
    if not callable(given):
        raise OptionError(f"scheduler={given!r} is not known. {did_you_mean(str(given), sorted(SCHEDULERS))}")
    return given


def new_optimizer(parameters: Iterable[torch.Tensor], recipe: Recipe) -> torch.optim.Optimizer:
    """Make the optimiser of a recipe for parameters.

    Raises
    ------
    OptionError : it does not take these options; torch's words are part of the message.
    """
    kind = OPTIMIZERS.get(recipe.optimizer) if isinstance(recipe.optimizer, str) else None
    options = _options(recipe) if kind is not None else {}
    made = _made("optimizer", kind or recipe.optimizer, parameters, options)
    if not isinstance(made, torch.optim.Optimizer):
        raise OptionError(f"optimizer= gave a {type(made).__name__} for the parameters, not a torch optimiser. Return one.")
    for group in made.param_groups:
        if kind is not None and group.get("foreach", False) is None and recipe.device == "cpu":
            group["foreach"] = False  # what torch itself comes to on a CPU, after asking every step
    return made


def groups_of(optimizer: torch.optim.Optimizer, model: nn.Module) -> tuple[Group, ...]:
    """Read the parameter groups of a real optimiser: which parameters of a model each moves, and how."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    kind = type(optimizer)
    known = kind.__name__.lower() if OPTIMIZERS.get(kind.__name__.lower()) is kind else f"{kind.__module__}.{kind.__qualname__}"
    return tuple(
        Group(
            kind=known,
            parameters=tuple(names.get(id(part), "?") for part in group["params"] if part.requires_grad),
            lr=_number(group.get("initial_lr", group.get("lr")), math.nan),
            momentum=_number(group.get("momentum")),
            dampening=_number(group.get("dampening")),
            nesterov=bool(group.get("nesterov")),
            weight_decay=_number(group.get("weight_decay")),
            decoupled=bool(group.get("decoupled_weight_decay", known == "adafactor")),
            maximize=bool(group.get("maximize")),
        )
        for group in optimizer.param_groups
    )


def as_made(recipe: Recipe, made: tuple[Group, ...]) -> Recipe:
    """Give the recipe with the groups of its optimiser; where that is the user's own, with the numbers of the first of them."""
    first = made[0]
    if isinstance(recipe.optimizer, str):
        return replace(recipe, made=made)
    return replace(
        recipe,
        made=made,
        lr=first.lr,
        momentum=first.momentum or 0.0,
        nesterov=first.nesterov,
        weight_decay=first.weight_decay,
    )


def _number(given: Any, otherwise: Any = None) -> Any:
    """Give an option of an optimiser, which may be a tensor of one number, as a float."""
    single = isinstance(given, Real) or (isinstance(given, torch.Tensor) and given.numel() == 1)
    return float(given) if single else otherwise


def new_scheduler(optimizer: torch.optim.Optimizer, recipe: Recipe) -> Any:
    """Make the scheduler of a recipe for its optimiser, None if it has none.

    Raises
    ------
    OptionError : it does not take these options, or wants another optimiser.
    """
    if recipe.scheduler is None:
        return None
    kind = SCHEDULERS.get(recipe.scheduler) if isinstance(recipe.scheduler, str) else None
    made = _made("scheduler", kind or recipe.scheduler, optimizer, dict(recipe.scheduler_options) if kind is not None else {})
    if not isinstance(made, lr_scheduler.LRScheduler):
        raise OptionError(f"scheduler= gave a {type(made).__name__} for the optimiser, not a torch scheduler. Return one.")
    if made.optimizer is not optimizer:
        raise OptionError(
            f"scheduler= gave a {type(made).__name__} of another optimiser: it would change that one's learning rate. "
            "Make it of the optimiser that it is called with."
        )
    return made


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
            f"The scheduler {type(scheduler).__name__} failed when it was to step: {_reason(error)}. See that its options go with "
            "the epochs of the run, or with its batches where scheduler_per='batch'."
        ) from error


def wants_closure(optimizer: torch.optim.Optimizer) -> bool:
    """Tell whether an optimiser evaluates the loss itself, several times a step."""
    return isinstance(optimizer, torch.optim.LBFGS)


def _options(recipe: Recipe) -> dict[str, Any]:
    options: dict[str, Any] = {"lr": recipe.rate}
    if recipe.optimizer == "sgd":
        options |= {"momentum": recipe.momentum, "nesterov": recipe.nesterov}
    if recipe.weight_decay is not None:
        options["weight_decay"] = recipe.weight_decay
    return options | dict(recipe.optimizer_options)


def _made(what: str, kind: Callable[..., Any], target: Any, options: Mapping[str, Any]) -> Any:
    try:
        return kind(target, **options)
    except OptionError:
        raise
    except Exception as error:
        name = getattr(kind, "__name__", type(kind).__name__)
        said = f"{what}_options={dict(options)!r}" if options else f"{what}="
        raise OptionError(f"{name} cannot be made of {said}: {_reason(error)}. PyTorch's documentation has its options.") from error


def _reason(error: Exception) -> str:
    """Give the first line of what an error says."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
