"""The options of the commands, each with its help, and how what is written for one is read."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from squarely.errors import OptionError

FormulaText = Annotated[
    str, typer.Argument(help="Such as 'mpg ~ displacement * C(origin)'; docs/formulas.md has the language.", metavar="FORMULA")
]
DataPath = Annotated[
    str,
    typer.Argument(
        help="A CSV, Parquet, Arrow or JSON lines file; or several: a folder, or a pattern in quotes, such as 'data/*.csv'.",
        metavar="DATA",
    ),
]
Where = Annotated[str | None, typer.Option("--where", help="Use the rows that meet this, such as 'weight > 3000'.")]
Missing = Annotated[str, typer.Option("--missing", help="Rows with gaps: drop (and count) or raise.")]
Json = Annotated[bool, typer.Option("--json", help="Print every number as JSON.")]
Lr = Annotated[str, typer.Option("--lr", help="Learning rate, or auto.")]
Epochs = Annotated[int, typer.Option("--epochs", help="Passes over the rows.")]
BatchSize = Annotated[int | None, typer.Option("--batch-size", help="Rows in a step; all of them without it.")]
Loss = Annotated[str, typer.Option("--loss", help="mse, l1, huber or quantile.")]
Optimizer = Annotated[str, typer.Option("--optimizer", help="One of torch's by name: sgd, adam, adamw, lbfgs, ...")]
WeightDecay = Annotated[float | None, typer.Option("--weight-decay", help="Of the optimiser.")]
Average = Annotated[int | None, typer.Option("--average", help="Average the iterates from this epoch on.")]
Stop = Annotated[str | None, typer.Option("--stop", help="'0.01 se' from the optimum, loss, or validation.")]
Engine = Annotated[str, typer.Option("--engine", help="rows, moments or closed_form.")]
Gradient = Annotated[str, typer.Option("--gradient", help="autograd, or closed: written out.")]
Momentum = Annotated[float, typer.Option("--momentum", help="Of sgd, in [0, 1).")]
Nesterov = Annotated[bool, typer.Option("--nesterov", help="Nesterov's form of momentum.")]
Dtype = Annotated[str, typer.Option("--dtype", help="float32 or float64.")]
Seed = Annotated[int, typer.Option("--seed", help="Of the random start.")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda:0, ...")]
Tau = Annotated[float, typer.Option("--tau", help="Tolerance, in standard errors.")]


def rate(text: str) -> float | str:
    """Read a learning rate, or a word such as auto."""
    try:
        return float(text)
    except ValueError:
        return text  # of which train says whether it means something


def share_or_path(text: str | None) -> float | str | None:
    """Read what to validate with: a share of the rows, or where other rows are."""
    try:
        return None if text is None else float(text)
    except ValueError:
        return text


def named_values(name: str, given: list[str] | None) -> dict[str, Any]:
    """Read options such as step_size=30: a value is JSON, or else text."""
    options = {}
    for text in given or ():
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise OptionError(f"{name} {text!r} is no option with a value. Write it as name=value, such as step_size=30.")
        options[key.strip()] = _value(value)
    return options


def _value(text: str) -> Any:
    for read in (json.loads, float):  # float takes .1, which JSON does not
        try:
            return read(text)
        except ValueError:
            continue
    return text
