"""torch's optimizers and schedulers by name, made, checked and stepped."""

from __future__ import annotations

import copy
import inspect
import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from numbers import Real
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim import lr_scheduler

from squarely.descent.options.options import ParameterGroup, TrainingOptions
from squarely.errors import OptionError, first_line, pluralize, show_value, suggest_name
from squarely.numerics import Array

DTYPES = {"float32": torch.float32, "float64": torch.float64}


def _find_classes(module: ModuleType, base: type, *unsupported: str) -> dict[str, type]:
    kinds = {name: kind for name, kind in vars(module).items() if inspect.isclass(kind) and issubclass(kind, base)}
    return {name: kind for name, kind in kinds.items() if kind is not base and name not in unsupported}


OPTIMIZERS: Mapping[str, type] = {  # without those that need sparse gradients, or matrices
    name.lower(): kind for name, kind in _find_classes(torch.optim, torch.optim.Optimizer, "SparseAdam", "Muon").items()
}
SCHEDULERS: Mapping[str, type] = _find_classes(  # without those that take schedulers
    lr_scheduler, lr_scheduler.LRScheduler, "_LRScheduler", "SequentialLR", "ChainedScheduler"
)
_KINDS: Mapping[str, tuple[Mapping[str, type], type, str]] = {  # torch's classes by name, their base, and what each is made for
    "optimizer": (OPTIMIZERS, torch.optim.Optimizer, "parameters"),
    "scheduler": (SCHEDULERS, lr_scheduler.LRScheduler, "optimizer"),
}
_read_signature = cache(inspect.signature)
_ENDLESS_SCHEDULERS = tuple(
    vars(lr_scheduler)[name]
    for name in (
        "StepLR", "MultiStepLR", "ConstantLR", "LinearLR", "ExponentialLR", "PolynomialLR", "CosineAnnealingLR",
        "CosineAnnealingWarmRestarts", "ReduceLROnPlateau",
    )
)  # fmt: skip
_MAX_TRIED_STEPS = 2**16  # steps of a schedule that are tried out
_MAX_SCHEDULE_STEPS = 100_000  # steps of a schedule that are simulated, about a second


def resolve_torch_class(option: str, value: Any) -> Any:
    """Return the name of an optimizer or a scheduler as `OPTIMIZERS` and `SCHEDULERS` have it; a function or an object as it is."""
    classes, base, _ = _KINDS[option]
    names = {name.lower(): name for name in classes}
    text = str(value.__name__ if isinstance(value, type) else value).lower()
    name = names.get(text) or names.get(f"{text}lr")
    if name is not None and (isinstance(value, str) or classes[name] is value):
        return name
    if isinstance(value, str) or not (callable(value) or isinstance(value, base)):
        raise OptionError(f"{option}={show_value(value)} is not known. {suggest_name(value, sorted(classes))}")
    return value


def require_model_parameters(options: TrainingOptions, model: nn.Module | None) -> None:
    """Raise an OptionError for an optimizer or scheduler object, unless it belongs to the user's own model."""
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


def new_optimizer(parameters: Iterable[Any], options: TrainingOptions) -> torch.optim.Optimizer:
    """Return the optimizer of the options for parameters; an OptionError quotes torch where it does not take these options."""
    keywords: dict[str, Any] = {}
    if isinstance(options.optimizer, str):
        keywords["lr"] = options.rate
    if options.optimizer == "sgd":
        keywords |= {"momentum": options.momentum, "nesterov": options.nesterov}
    if options.weight_decay is not None:
        keywords["weight_decay"] = options.weight_decay
    result: torch.optim.Optimizer = _construct("optimizer", options, parameters, {**keywords, **options.optimizer_options})
    for group in result.param_groups:
        if group.get("differentiable"):
            raise OptionError(
                "differentiable=True keeps a graph of every step, and training takes steps without one. Leave it out."
            )
        if group.get("capturable") and any(part.device.type == "cpu" for part in group["params"]):
            raise OptionError("capturable=True is for parameters on a GPU, and these are on the CPU. Leave it out.")
        if isinstance(options.optimizer, str) and group.get("foreach", False) is None and options.device == "cpu":
            group["foreach"] = False  # what torch itself chooses on a CPU, at every step
    return result


def optimizer_of(model: nn.Module, options: TrainingOptions) -> torch.optim.Optimizer:
    """Return the optimizer of the options for a model, or the user's own, if it can train with these options."""
    result = new_optimizer(model.parameters(), options)
    _require_parameters_of(result, model)
    if isinstance(result, torch.optim.LBFGS) and (not options.is_full_batch or options.clip_grad_norm is not None):
        what = "clip_grad_norm=" if options.is_full_batch else "batches"
        raise OptionError(
            f"LBFGS evaluates the loss several times a step and searches along its gradient: {what} would change it meanwhile. "
            f"{'Leave clip_grad_norm= out' if options.is_full_batch else 'Give all rows in one batch'}, or use another optimizer."
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
    parameter = _read_signature(OPTIMIZERS[options.optimizer]).parameters.get("weight_decay")
    decay = options.optimizer_options.get("weight_decay", None if parameter is None else parameter.default)
    return None if decay is None else float(decay)


def default_rate(optimizer: str) -> float:
    """Return torch's default learning rate of an optimizer by name.

    >>> default_rate("adadelta")
    1.0
    """
    return float(_read_signature(OPTIMIZERS[optimizer]).parameters["lr"].default)


def new_scheduler(optimizer: torch.optim.Optimizer, options: TrainingOptions) -> Any:
    """Return the scheduler of the options for an optimizer, None if they have none."""
    if options.scheduler is None:
        return None
    result = _construct("scheduler", options, optimizer, options.scheduler_options)
    if result.optimizer is not optimizer:
        raise OptionError(
            f"scheduler= gave a {type(result).__name__} of another optimizer: it would change that one's learning rate. "
            "Make it of the optimizer that it is called with."
        )
    is_plateau = isinstance(result, lr_scheduler.ReduceLROnPlateau)
    if is_plateau and options.scheduler_per == "batch" and not options.is_full_batch:
        raise OptionError(
            "ReduceLROnPlateau waits for the loss of an epoch, and scheduler_per='batch' would step it after each batch. Leave "
            "scheduler_per= out."
        )
    if is_plateau and result.mode != "min":
        raise OptionError(
            "ReduceLROnPlateau has mode='max', which waits for the loss to rise. Give scheduler_options={'mode': 'min'}."
        )
    return result


def try_schedule(scheduler: Any, steps: int, epochs: int) -> None:
    """Step a copy of a scheduler through the remaining steps of a run; raise an OptionError for a schedule that is too short."""
    if isinstance(scheduler, lr_scheduler.OneCycleLR):
        needed = scheduler.last_epoch + steps
        if needed > scheduler.total_steps:
            raise OptionError(
                f"The scheduler OneCycleLR ends after {scheduler.total_steps:,} steps, and this run takes {needed:,}. Give "
                f"total_steps={needed}; or steps_per_epoch={-(-needed // epochs)} for its {epochs:,} epochs."
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
    """Step a scheduler; one that waits for a plateau gets the loss."""
    try:
        scheduler.step(*loss) if isinstance(scheduler, lr_scheduler.ReduceLROnPlateau) else scheduler.step()
    except Exception as error:
        raise OptionError(
            f"The scheduler {type(scheduler).__name__} failed at a step: {first_line(error)}. Set its options for the epochs of "
            "the run, or for its batches where scheduler_per='batch'."
        ) from error


def _construct(option: str, options: TrainingOptions, target: Any, keywords: Mapping[str, Any]) -> Any:
    """Make the optimizer or the scheduler of the options for a target, or return that of the user; `keywords` go with a name."""
    (classes, base, target_name), value = _KINDS[option], getattr(options, option)
    if isinstance(value, base):
        return value
    kind, keywords = (classes[value], keywords) if isinstance(value, str) else (value, {})
    try:
        result = kind(target, **keywords)
    except OptionError:
        raise
    except Exception as error:
        name = getattr(kind, "__name__", type(kind).__name__)
        argument = f"{option}_options={dict(keywords)!r}" if keywords else f"{option}="
        raise OptionError(
            f"{name} cannot be made of {argument}: {first_line(error)}. PyTorch's documentation has its options."
        ) from error
    if not isinstance(result, base):
        raise OptionError(f"{option}= gave a {type(result).__name__} for the {target_name}, not a torch {option}. Return one.")
    return result


def schedule_rates(options: TrainingOptions, rates: Sequence[float], steps: int) -> tuple[Array, Array]:
    """Step torch's scheduler on an unused optimizer: rates and momenta (steps, len(rates)), a column for each initial rate."""
    groups = [{"params": [nn.Parameter(torch.zeros(1))], "lr": rate} for rate in rates]
    optimizer = new_optimizer(groups, replace(options, lr=rates[0]))
    scheduler, table = new_scheduler(optimizer, options), np.empty((2, steps, len(rates)))
    try_schedule(scheduler, steps - 1, options.epochs)
    optimizer.step()  # torch warns of a scheduler whose optimizer never steps
    for k in range(steps):
        if k:
            step_scheduler(scheduler)
        table[:, k] = np.transpose([(float(group["lr"]), float(group.get("momentum", 0.0))) for group in optimizer.param_groups])
    return table[0], table[1]


def simulate_schedule(options: TrainingOptions, steps: int) -> tuple[Array, Array] | None:
    """Return the learning rates and momenta (steps,) of SGD under a scheduler; None where they depend on the run.

    A scheduler that waits for a plateau depends on losses, and a user's own may count its calls.
    """
    if not isinstance(options.scheduler, str) or options.scheduler == "ReduceLROnPlateau" or steps > _MAX_SCHEDULE_STEPS:
        return None
    try:
        rates, momenta = schedule_rates(options, [options.rate], steps)
    except OptionError:  # its steps are used up: the run raises the error
        return None
    return rates[:, 0], momenta[:, 0]
