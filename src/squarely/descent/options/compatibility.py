"""Check that options go together, without PyTorch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from squarely.descent.options.options import TrainingOptions
from squarely.descent.options.value_checks import check_values, require_loggable, require_torch_names, stop_distance
from squarely.errors import OptionError, show_value


def check_without_torch(options: TrainingOptions, validation: object = None) -> TrainingOptions:
    """Return the options with values of plain Python types, or raise an OptionError, as far as that needs no PyTorch.

    The device, and classes and functions of the user, are checked with it.
    """
    checked = check_values(options)
    require_torch_names(checked)
    optimizer = checked.optimizer.lower() if isinstance(checked.optimizer, str) else checked.optimizer
    checked = replace(checked, optimizer=optimizer)
    require_compatible(checked)
    require_validation((checked,), validation)
    return checked


def require_compatible(options: TrainingOptions) -> None:
    """Raise an OptionError where checked options contradict each other."""
    _require_torch_options(options)
    _require_no_conflict(options)
    if options.engine != "rows":
        _require_quadratic(options)


def require_validation(options: Sequence[TrainingOptions], validation: object) -> None:
    """Raise an OptionError if rows to validate on are missing, or cannot be used."""
    if validation is None and any(each.stop == "validation" for each in options):
        raise OptionError("stop='validation' watches the loss of other rows, and there are none. Give validation=, or stop='loss'.")
    if validation is not None and any(each.engine == "closed_form" for each in options):
        raise OptionError("engine='closed_form' evaluates no rows, so it cannot use validation=. Use engine='moments'.")


def _require_torch_options(options: TrainingOptions) -> None:
    """Raise an OptionError where the options of an optimizer or a scheduler do not fit it."""
    optimizer, is_named = options.optimizer, isinstance(options.optimizer, str)
    for name, mapping in (("optimizer_options", options.optimizer_options), ("scheduler_options", options.scheduler_options)):
        if not isinstance(mapping, Mapping) or not all(isinstance(key, str) for key in mapping):
            raise OptionError(
                f"{name}={show_value(mapping)} is not a dict of options by their names. Give one, such as {{'eps': 1e-6}}."
            )
    for name in {"lr", "momentum", "nesterov", "weight_decay"} & set(options.optimizer_options):
        if name == "lr" or optimizer == "sgd" or (name == "weight_decay" and options.weight_decay is not None):
            raise OptionError(f"optimizer_options= has {name!r}, which is a separate option. Give {name}= instead.")
    if options.optimizer_options and not is_named:
        raise OptionError("optimizer_options= go with an optimizer's name or class. A function sets its own.")
    if options.scheduler_options and not isinstance(options.scheduler, str):
        raise OptionError("scheduler_options= go with a scheduler's name or class. A function sets its own.")
    if optimizer != "sgd" and (options.momentum or options.nesterov):
        raise OptionError("momentum= and nesterov= belong to optimizer='sgd'; Adam has its own averages. Leave them out.")
    if options.nesterov and not options.momentum:
        raise OptionError("nesterov=True needs momentum above zero. Give one, such as momentum=0.9.")
    if options.weight_decay is not None and not is_named:
        raise OptionError("weight_decay= goes with an optimizer's name or class. Set it in your own optimizer.")


def _require_no_conflict(options: TrainingOptions) -> None:
    if options.replacement and options.is_full_batch:
        raise OptionError("replacement=True draws batches, and without batch_size= every step uses all rows. Give batch_size= too.")
    if options.replacement and not options.shuffle:
        raise OptionError("replacement=True draws rows at random, and shuffle=False keeps their order. Leave one of them out.")
    if options.average is not None and options.stop is not None:
        raise OptionError(
            f"average= ends with the mean of the iterates, and stop={options.stop!r} with a single one. Leave one of them out."
        )
    if options.gradient == "closed" and options.loss != "mse":
        raise OptionError(f"gradient='closed' is for loss='mse', not for {options.loss!r}. Use gradient='autograd'.")
    if options.optimizer == "lbfgs" and options.batch_size is not None:
        raise OptionError("optimizer='lbfgs' evaluates one loss several times a step, and batches differ. Leave batch_size= out.")
    if options.optimizer == "lbfgs" and options.clip_grad_norm is not None:
        raise OptionError("optimizer='lbfgs' searches along the unclipped gradient. Leave clip_grad_norm= out.")
    if stop_distance(options) is not None and options.loss != "mse":
        raise OptionError(f"stop={options.stop!r} is a bound for loss='mse', not for {options.loss!r}. Use another stop=.")


def _require_quadratic(options: TrainingOptions) -> None:
    engine = options.engine
    if options.loss != "mse":
        raise OptionError(f"engine={engine!r} is for loss='mse', not for {options.loss!r}. Use engine='rows'.")
    if options.batch_size is not None:
        raise OptionError(f"engine={engine!r} has no rows for batches. Leave batch_size= out, or use engine='rows'.")
    if "mae" in options.metrics:
        raise OptionError(f"engine={engine!r} cannot compute the metric 'mae', which needs every row. Use 'mse', 'rmse' and 'r2'.")
    if engine == "closed_form":
        require_loggable(options.epochs, "engine='closed_form'")
        if options.scheduler is not None or replace(options, lr=1.0).descent is None:
            raise OptionError("engine='closed_form' is for SGD with momentum or Nesterov at a constant rate. Use engine='moments'.")
        for name in ("average", "stop", "callbacks"):
            if getattr(options, name) not in (None, ()):
                raise OptionError(f"engine='closed_form' takes no steps, so {name}= does not apply. Use engine='moments'.")
