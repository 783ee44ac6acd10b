"""The part of a script that makes the loss, the optimiser and the scheduler: torch's own, by name, with the recipe's options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from squarely.descent.codegen.python_text import add_prefix, call, literal, statement
from squarely.descent.options.optimizers import OPTIMIZERS, SCHEDULERS
from squarely.descent.options.options import TrainingOptions
from squarely.errors import OptionError

_PINBALL = '''\
def criterion(outputs, labels):
    """Give the pinball loss, which is least at the quantile."""
    r = labels - outputs
    return torch.maximum({quantile} * r, ({quantile} - 1.0) * r).mean()'''
_CLOSURE = '''\
def closure():
    """Give the loss where the optimiser looks, and leave the gradient there in the parameters."""
    optimizer.zero_grad()
    loss = criterion(model(inputs), labels)
    loss.backward()
    return loss'''


def criterion_code(recipe: TrainingOptions) -> list[str]:
    """Write the statement that makes the loss, if torch has it."""
    if recipe.loss == "quantile":
        return []
    made = {"mse": "MSELoss()", "l1": "L1Loss()", "huber": f"HuberLoss(delta={literal(recipe.delta)})"}
    return [f"criterion = nn.{made[recipe.loss]}"]


def optimizer_code(recipe: TrainingOptions) -> list[str]:
    """Write the statements that make the optimiser and its scheduler.

    Raises
    ------
    OptionError : one of them, or one of their options, is a Python object that has no text.
    """
    kind = OPTIMIZERS[_require_torch_name("optimizer", recipe.optimizer, "adamw")]
    options: dict[str, Any] = {}
    if recipe.optimizer == "sgd":
        options = {"momentum": recipe.momentum} if recipe.momentum else {}
        options |= {"nesterov": True} if recipe.nesterov else {}
    if recipe.weight_decay is not None:
        options["weight_decay"] = recipe.weight_decay
    given = _arguments_code("optimizer_options", options | dict(recipe.optimizer_options))
    lines = [statement("optimizer = ", call(f"torch.optim.{kind.__name__}", ["model.parameters()", "lr=lr", *given]))]
    if recipe.scheduler is not None:
        name = SCHEDULERS[_require_torch_name("scheduler", recipe.scheduler, "StepLR")].__name__
        given = _arguments_code("scheduler_options", recipe.scheduler_options)
        lines.append(statement("scheduler = ", call(f"torch.optim.lr_scheduler.{name}", ["optimizer", *given])))
    return lines


def functions_code(recipe: TrainingOptions) -> list[str]:
    """Write the functions that a loss or an optimiser wants, where torch has none."""
    made = [_PINBALL.format(quantile=literal(recipe.quantile))] if recipe.loss == "quantile" else []
    return [*made, _CLOSURE] if recipe.optimizer == "lbfgs" else made


def _require_torch_name(option: str, given: Any, other: str) -> str:
    if isinstance(given, str):
        return given
    name = getattr(given, "__name__", type(given).__name__)
    raise OptionError(
        f"{option}= is {str(name)!r}, a Python object of your own, which cannot be written into a script. code() writes what torch "
        f"has by name, such as {option}={other!r}."
    )


def _arguments_code(option: str, given: Mapping[str, Any]) -> list[str]:
    return [
        str(add_prefix(f"{name}=", _value_code(option, name, value))) for name, value in given.items() if _is_name(option, name)
    ]


def _is_name(option: str, name: str) -> bool:
    if not name.isidentifier():
        raise OptionError(f"{option} has {name!r}, which is no name of an argument. Give torch's names.")
    return True


def _value_code(option: str, name: str, value: Any) -> str:
    """Write a value that is a number, a text, None, or a list of such; types of the user's own may write themselves as anything."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or type(value) in (bool, int, float, str):
        return literal(value)
    if type(value) in (list, tuple):
        items = [_value_code(option, name, item) for item in value]
        inside = ", ".join(items)
        return f"[{inside}]" if type(value) is list else f"({inside}{',' if len(items) == 1 else ''})"
    raise OptionError(
        f"{option} has {name!r}, which is of type {type(value).__name__}: a Python object that cannot be written into a script. "
        "code() writes numbers, texts, and lists of them."
    )
