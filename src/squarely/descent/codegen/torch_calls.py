"""The part of a script that makes the optimizer and the scheduler: torch's own, by name, with the options of the run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from squarely.descent.codegen.python_text import call, literal, statement
from squarely.descent.options.options import TrainingOptions
from squarely.errors import OptionError


def optimizer_code(options: TrainingOptions) -> list[str]:
    """Write the statements that make the optimizer and its scheduler.

    Raises
    ------
    OptionError : one of them, or one of their options, is a Python object that has no text.
    """
    kind = _name_optimizer(_require_torch_name("optimizer", options.optimizer, "adamw"))
    arguments: dict[str, Any] = {}
    if options.optimizer == "sgd":
        arguments |= {"momentum": options.momentum} if options.momentum else {}
        arguments |= {"nesterov": True} if options.nesterov else {}
    if options.weight_decay is not None:
        arguments["weight_decay"] = options.weight_decay
    texts = _arguments_code("optimizer_options", arguments | dict(options.optimizer_options))
    lines = [statement("optimizer = ", call(f"torch.optim.{kind}", ["model.parameters()", "lr=lr", *texts]))]
    if options.scheduler is not None:
        kind = _require_torch_name("scheduler", options.scheduler, "StepLR")
        texts = _arguments_code("scheduler_options", options.scheduler_options)
        lines.append(statement("scheduler = ", call(f"torch.optim.lr_scheduler.{kind}", ["optimizer", *texts])))
    return lines


def _name_optimizer(name: str) -> str:
    """Return the name of the class."""
    if name == "sgd":
        return "SGD"
    from squarely.descent.options.optimizers import OPTIMIZERS  # here, because PyTorch takes a second to import

    return OPTIMIZERS[name].__name__


def _require_torch_name(option: str, value: Any, example: str) -> str:
    if isinstance(value, str):
        return value
    name = getattr(value, "__name__", type(value).__name__)
    raise OptionError(
        f"{option}= is {str(name)!r}, a Python object of your own, which cannot be written into a script. Train with a name that "
        f"torch has, such as {option}={example!r}."
    )


def _arguments_code(option: str, arguments: Mapping[str, Any]) -> list[str]:
    for name in arguments:
        if not name.isidentifier():
            raise OptionError(f"{option} has {name!r}, which is not the name of an argument. Give torch's names.")
    return [f"{name}={_value_code(option, name, value)}" for name, value in arguments.items()]


def _value_code(option: str, name: str, value: Any) -> str:
    """Write a number, a text, None, or a list of them. The repr of any other type could be arbitrary code."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or type(value) in (bool, int, float, str):
        return literal(value)
    if type(value) in (list, tuple):
        items = [_value_code(option, name, item) for item in value]
        joined = ", ".join(items)
        return f"[{joined}]" if type(value) is list else f"({joined}{',' if len(items) == 1 else ''})"
    raise OptionError(
        f"{option} has {name!r}, which is of type {type(value).__name__}, a Python object that cannot be written into a script. "
        "Give numbers, texts, or lists of them."
    )
