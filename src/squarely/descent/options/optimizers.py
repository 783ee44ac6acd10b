"""torch's optimizers and schedulers by name, made, checked and stepped."""

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

_UNSUPPORTED_OPTIMIZERS = {"Optimizer", "SparseAdam", "Muon"}  # the last two need sparse gradients, or matrices
OPTIMIZERS: Mapping[str, type] = {
    name.lower(): kind
    for name, kind in vars(torch.optim).items()
    if inspect.isclass(kind) and issubclass(kind, torch.optim.Optimizer) and name not in _UNSUPPORTED_OPTIMIZERS
}
_UNSUPPORTED_SCHEDULERS = {"LRScheduler", "_LRScheduler", "SequentialLR", "ChainedScheduler"}  # the last two take schedulers
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
_MAX_SCHEDULE_STEPS = 100_000  # steps of a schedule that are simulated, about a second
BATCH_SCHEDULERS = ("CyclicLR", "OneCycleLR")  # whose steps torch counts in batches


def resolve_optimizer(given: Any) -> Any:
    """Return the name of an optimizer of torch in small letters; a function or an object unchanged.

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
    """Return the name of a scheduler as torch spells it; a function or an object unchanged.

    Raises
    ------
    OptionError : it is none of these.
    """
    if given is None:
        return None
    if isinstance(given, type) and SCHEDULERS.get(given.__name__) is given:
        return given.__name__
    if isinstance(given, str):
        names = {name.lower(): name for name in SCHEDULERS}
        found = names.get(given.lower()) or names.get(f"{given.lower()}lr")
        if found is None:
            raise OptionError(f"scheduler={given!r} is not known. {suggest_name(given, sorted(SCHEDULERS))}")
        return found
    if not callable(given) and not isinstance(given, lr_scheduler.LRScheduler):
        raise OptionError(f"scheduler={given!r} is not known. {suggest_name(str(given), sorted(SCHEDULERS))}")
    return given


def require_model_parameters(options: TrainingOptions, model: nn.Module | None) -> None:
    """Refuse an optimizer or scheduler object, unless it belongs to the user's own model.

    Raises
    ------
    OptionError : it has other parameters, or there is no such model.
    """
    optimizer, scheduler = options.optimizer, options.scheduler
    if isinstance(optimizer, torch.optim.Optimizer):
        if model is None:
            raise OptionError(
                f"optimizer= is a {type(optimizer).__name__} that has parameters already, and without model= squarely makes the "
                "model itself. Give model= too; or give the optimizer's class, its name, or a function of the parameters, such as "
                "lambda params: torch.optim.SGD(params, lr=0.1)."
            )
        if isinstance(model, nn.Module):
            _require_parameters_of(optimizer, model)
    if isinstance(scheduler, lr_scheduler.LRScheduler) and scheduler.optimizer is not optimizer:
        raise OptionError(
            f"scheduler= is a {type(scheduler).__name__} that belongs to another optimizer: it would change that one's learning "
            "rate. Give its own optimizer as optimizer=; or give its class or name with scheduler_options=, or a function of the "
            "optimizer."
        )


def _require_parameters_of(optimizer: torch.optim.Optimizer, model: nn.Module) -> None:
    parameters = [part for group in optimizer.param_groups for part in group["params"]]
    others = len({id(part) for part in parameters} - {id(part) for part in model.parameters()})
    if others:
        raise OptionError(
            f"optimizer= is a {type(optimizer).__name__} of {pluralize(len(parameters), 'parameter')}, and {others:,} of them "
            f"{'does' if others == 1 else 'do'} not belong to the model. Make it of model.parameters()."
        )


def new_optimizer(parameters: Iterable[torch.Tensor], options: TrainingOptions) -> torch.optim.Optimizer:
    """Return the optimizer of the options for parameters.

    Raises
    ------
    OptionError : it does not take these options; the message quotes torch.
    """
    kind = OPTIMIZERS.get(options.optimizer) if isinstance(options.optimizer, str) else None
    keywords = _collect_keywords(options) if kind is not None else {}
    own = isinstance(options.optimizer, torch.optim.Optimizer)
    result = options.optimizer if own else _construct("optimizer", kind or options.optimizer, parameters, keywords)
    if not isinstance(result, torch.optim.Optimizer):
        raise OptionError(f"optimizer= gave a {type(result).__name__} for the parameters, not a torch optimizer. Return one.")
    for group in result.param_groups:
        _require_plain_steps(group)
        if kind is not None and group.get("foreach", False) is None and options.device == "cpu":
            group["foreach"] = False  # what torch itself chooses on a CPU, at every step
    return result


def _require_plain_steps(group: Mapping[str, Any]) -> None:
    if group.get("differentiable"):
        raise OptionError("differentiable=True keeps a graph of every step, and training takes steps without one. Leave it out.")
    if group.get("capturable") and any(part.device.type == "cpu" for part in group["params"]):
        raise OptionError("capturable=True is for parameters on a GPU, and these are on the CPU. Leave it out.")


def optimizer_of(model: nn.Module, options: TrainingOptions) -> torch.optim.Optimizer:
    """Return the optimizer of the options for a model, or the user's own.

    Raises
    ------
    OptionError : it cannot be made, has other parameters, or cannot train in batches or with clipping.
    """
    result = new_optimizer(model.parameters(), options)
    _require_parameters_of(result, model)
    if needs_closure(result) and (not options.is_full_batch or options.clip_grad_norm is not None):
        what = "clip_grad_norm=" if options.is_full_batch else "batches"
        raise OptionError(
            f"LBFGS evaluates the loss several times a step and searches along its gradient: {what} would change it meanwhile. "
            f"{'Leave clip_grad_norm out' if options.is_full_batch else 'Give all rows in one batch'}, or use another optimizer."
        )
    return result


def groups_of(optimizer: torch.optim.Optimizer, model: nn.Module) -> tuple[ParameterGroup, ...]:
    """Read the parameter groups of an optimizer: which parameters of a model each moves, and how."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    kind = type(optimizer)
    name = kind.__name__.lower() if OPTIMIZERS.get(kind.__name__.lower()) is kind else f"{kind.__module__}.{kind.__qualname__}"
    return tuple(
        ParameterGroup(
            kind=name,
            parameters=tuple(names.get(id(part), "?") for part in group["params"] if part.requires_grad),
            lr=_to_float(group.get("initial_lr", group.get("lr")), math.nan),
            momentum=_to_float(group.get("momentum")),
            dampening=_to_float(group.get("dampening")),
            nesterov=bool(group.get("nesterov")),
            weight_decay=_to_float(group.get("weight_decay")),
            decoupled=bool(group.get("decoupled_weight_decay", name == "adafactor")),
            maximize=bool(group.get("maximize")),
        )
        for group in optimizer.param_groups
    )


def _to_float(value: Any, default: Any = None) -> Any:
    """Return an option of an optimizer, a number or a tensor of one number, as a float."""
    is_number = isinstance(value, Real) or (isinstance(value, torch.Tensor) and value.numel() == 1)
    return float(value) if is_number else default


def weight_decay_of(options: TrainingOptions) -> float | None:
    """Return the weight decay of an optimizer by name: the option, or torch's default where that is None.

    >>> weight_decay_of(TrainingOptions(optimizer="adamw")), weight_decay_of(TrainingOptions(weight_decay=0.1))
    (0.01, 0.1)
    """
    if options.weight_decay is not None or not isinstance(options.optimizer, str):
        return options.weight_decay
    parameter = inspect.signature(OPTIMIZERS[options.optimizer]).parameters.get("weight_decay")
    return None if parameter is None else float(parameter.default)


def new_scheduler(optimizer: torch.optim.Optimizer, options: TrainingOptions) -> Any:
    """Return the scheduler of the options for an optimizer, None if they have none.

    Raises
    ------
    OptionError : it does not take these options, or belongs to another optimizer.
    """
    if options.scheduler is None:
        return None
    kind = SCHEDULERS.get(options.scheduler) if isinstance(options.scheduler, str) else None
    own = isinstance(options.scheduler, lr_scheduler.LRScheduler)
    keywords = dict(options.scheduler_options) if kind is not None else {}
    result = options.scheduler if own else _construct("scheduler", kind or options.scheduler, optimizer, keywords)
    if not isinstance(result, lr_scheduler.LRScheduler):
        raise OptionError(f"scheduler= gave a {type(result).__name__} for the optimizer, not a torch scheduler. Return one.")
    if result.optimizer is not optimizer:
        raise OptionError(
            f"scheduler= gave a {type(result).__name__} of another optimizer: it would change that one's learning rate. "
            "Make it of the optimizer that it is called with."
        )
    if isinstance(result, lr_scheduler.ReduceLROnPlateau):
        _require_plateau(result, options)
    return result


def _require_plateau(result: lr_scheduler.ReduceLROnPlateau, options: TrainingOptions) -> None:
    if options.scheduler_per == "batch" and not options.is_full_batch:
        raise OptionError(
            "ReduceLROnPlateau waits for the loss of an epoch, and scheduler_per='batch' would step it after each batch. Leave "
            "scheduler_per out."
        )
    if result.mode != "min":
        raise OptionError("ReduceLROnPlateau has mode='max', which waits for the loss to rise. Use mode='min'.")


def needs_batch_steps(scheduler: Any, options: TrainingOptions) -> bool:
    """Return whether a scheduler steps each batch: by the options, or because torch counts its steps so."""
    return options.scheduler_per == "batch" or type(scheduler).__name__ in BATCH_SCHEDULERS


def try_schedule(scheduler: Any, steps: int, epochs: int) -> None:
    """Step a copy of a scheduler through the remaining steps of a run, to find a schedule that is too short.

    Raises
    ------
    OptionError : it fails on the way; for OneCycleLR the message has the number of steps.
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
        warnings.simplefilter("ignore")  # torch warns where the optimizer of a scheduler never steps
        try:
            trial = copy.deepcopy(scheduler)
        except Exception:  # it may have anything in it
            return
        for step in range(min(steps, _MAX_TRIED_STEPS)):
            try:
                trial.step()
            except Exception as error:
                raise OptionError(
                    f"The scheduler {type(scheduler).__name__} fails at step {step + 1:,} of the {steps:,} of this run: "
                    f"{type(error).__name__}: {first_line(error)}. Set its options for the epochs of the run, or for its "
                    "batches where scheduler_per='batch'."
                ) from error


def step_scheduler(scheduler: Any, *loss: float) -> None:
    """Step a scheduler; one that waits for a plateau gets the loss.

    Raises
    ------
    OptionError : it fails, as OneCycleLR does when its steps are used up.
    """
    try:
        scheduler.step(*loss) if isinstance(scheduler, lr_scheduler.ReduceLROnPlateau) else scheduler.step()
    except Exception as error:
        raise OptionError(
            f"The scheduler {type(scheduler).__name__} failed at a step: {first_line(error)}. Set its options for the epochs of "
            "the run, or for its batches where scheduler_per='batch'."
        ) from error


def needs_closure(optimizer: torch.optim.Optimizer) -> bool:
    """Return whether an optimizer evaluates the loss itself, several times a step."""
    return isinstance(optimizer, torch.optim.LBFGS)


def _collect_keywords(options: TrainingOptions) -> dict[str, Any]:
    keywords: dict[str, Any] = {"lr": options.rate}
    if options.optimizer == "sgd":
        keywords |= {"momentum": options.momentum, "nesterov": options.nesterov}
    if options.weight_decay is not None:
        keywords["weight_decay"] = options.weight_decay
    return keywords | dict(options.optimizer_options)


def _construct(what: str, kind: Callable[..., Any], target: Any, options: Mapping[str, Any]) -> Any:
    try:
        return kind(target, **options)
    except OptionError:
        raise
    except Exception as error:
        name = getattr(kind, "__name__", type(kind).__name__)
        argument = f"{what}_options={dict(options)!r}" if options else f"{what}="
        raise OptionError(
            f"{name} cannot be made of {argument}: {first_line(error)}. PyTorch's documentation has its options."
        ) from error


def simulate_schedule(options: TrainingOptions, steps: int) -> tuple[Array, Array] | None:
    """Return the learning rates and momenta (steps,) of SGD under a scheduler; None where they depend on the run.

    A scheduler that waits for a plateau depends on losses, and a user's own may count its calls.
    """
    if not isinstance(options.scheduler, str) or options.scheduler == "ReduceLROnPlateau" or steps > _MAX_SCHEDULE_STEPS:
        return None
    idle = new_optimizer([torch.nn.Parameter(torch.zeros(1))], options)
    table = []
    try:
        scheduler = new_scheduler(idle, options)
        idle.step()  # torch warns where the optimizer of a scheduler never steps
        for _ in range(steps):
            group = idle.param_groups[0]
            table.append((float(group["lr"]), float(group.get("momentum", 0.0))))
            scheduler.step()
    except (OptionError, ValueError):  # its steps are used up: the run raises the error
        return None
    rates, momenta = np.array(table).reshape(-1, 2).T
    return rates, momenta
