"""The options of the commands, each with its help. TRAINING has one row for each option of `squarely.train`."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial, wraps
from typing import Annotated, Any, NamedTuple

import typer

from squarely.errors import OptionError

FormulaText = Annotated[
    str, typer.Argument(metavar="FORMULA", help="Such as 'mpg ~ displacement * C(origin)'; see docs/formulas.md.")
]
DataPath = Annotated[
    str,
    typer.Argument(
        help="A CSV, Parquet, Arrow or JSON lines file; or several: a folder, or a pattern in quotes, such as 'data/*.csv'.",
        metavar="DATA",
    ),
]
Where = Annotated[str | None, typer.Option(help="A condition on rows, such as 'weight > 3000'.")]
Missing = Annotated[str, typer.Option(help="Rows with missing values: drop (and count) or raise.")]
Read = dict[str, Any] | None  # `reads` makes it of the options of reading files
Json = Annotated[bool, typer.Option("--json", help="Print every number as JSON.")]


def read_number(text: Any, readers: Iterable[Callable[[Any], Any]] = (float,)) -> Any:
    """Return the value by the first reader that accepts the text; else the text itself, which `train` checks."""
    for reader in readers:
        with suppress(ValueError, TypeError):
            return reader(text)
    return text


def _read_named_values(flag: str, texts: list[str] | None) -> dict[str, Any]:
    """Return texts such as step_size=30 as a dict; a value is JSON, or else text."""
    options = {}
    for text in texts or ():
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise OptionError(f"{flag} {text!r} is not an option with a value. Write it as name=value, such as step_size=30.")
        options[key.strip()] = read_number(value, (json.loads, float))  # float reads .1, JSON does not
    return options


def _split(text: str | None) -> list[str] | None:
    return None if text is None else text.split(",")


def _read_lines(text: str | None) -> Any:
    """Return `3` as a number of lines, and `1,3` or `3,` as a list of lines."""
    if text is None or "," not in text:
        return read_number(text, (int,))
    return [read_number(each, (int,)) for each in text.split(",") if each]


class Flag(NamedTuple):
    """An option of `squarely.train` on the command line: what typer reads, and how it becomes an argument of `train`."""

    annotation: Any
    default: Any
    read: Callable[[Any], Any]


def _flag(kind: Any, default: Any, help: str, *flags: str, read: Callable[[Any], Any] = lambda value: value) -> Flag:  # noqa: A002
    return Flag(Annotated[kind, typer.Option(*flags, help=help)], default, read)


def _values(flag: str, help: str) -> Flag:  # noqa: A002
    return _flag(list[str] | None, None, help, flag, read=partial(_read_named_values, flag))


# The defaults are written here and not taken from `squarely.train`, which takes half a second to import.
TRAINING = {
    "lr": _flag(str, "auto", "Learning rate; auto is the best one in theory.", read=read_number),
    "epochs": _flag(int, 1000, "Passes over the rows."),
    "batch_size": _flag(int | None, None, "Rows in a step; by default all rows."),
    "shuffle": _flag(bool, True, "Read the rows in a new order in each epoch."),
    "replacement": _flag(bool, False, "Draw the rows of batches with replacement.", "--replacement"),
    "validation": _flag(str | None, None, "A fraction of the rows, or another file.", read=read_number),
    "metrics": _flag(list[str], (), "Log mse, rmse, mae or r2 too; repeat for several.", "--metric"),
    "loss": _flag(str, "mse", "mse, l1, huber or quantile."),
    "delta": _flag(float, 1.0, "Where the huber loss becomes linear, in standardized units."),
    "quantile": _flag(float, 0.5, "Quantile of the quantile loss, in (0, 1)."),
    "optimizer": _flag(str, "sgd", "A torch optimizer: sgd, adam, adamw, lbfgs, ..."),
    "momentum": _flag(float, 0.0, "Momentum of sgd, in [0, 1)."),
    "nesterov": _flag(bool, False, "Nesterov momentum.", "--nesterov"),
    "weight_decay": _flag(float | None, None, "Weight decay of the optimizer."),
    "optimizer_options": _values("--optimizer-option", "Another option of the optimizer, such as betas=[0.8,0.9]."),
    "scheduler": _flag(str | None, None, "A torch scheduler, such as StepLR."),
    "scheduler_options": _values("--scheduler-option", "An option of the scheduler, such as step_size=30."),
    "scheduler_per": _flag(str, "epoch", "When the scheduler steps: epoch or batch."),
    "clip_grad_norm": _flag(float | None, None, "Largest norm of the gradient of a step."),
    "average": _flag(
        str | None,
        None,
        "Average the iterates from this epoch on; true for the second half.",
        read=partial(read_number, readers=(json.loads,)),
    ),
    "stop": _flag(str | None, None, "When to stop: at '0.01 se' from the optimum, by loss, or by validation."),
    "patience": _flag(int, 10, "Epochs without a gain before --stop loss or validation."),
    "min_delta": _flag(float, 0.0, "The least decrease that is a gain."),
    "engine": _flag(str, "rows", "What a step uses: rows, moments or closed_form."),
    "gradient": _flag(str, "autograd", "autograd, or closed for the formula."),
    "stream": _flag(bool | None, None, "Read the rows again each epoch, instead of holding them."),
    "standardize": _flag(bool, True, "Standardize columns and response first."),
    "dtype": _flag(str, "float32", "float32 or float64."),
    "seed": _flag(int, 0, "Seed of the random start and the order of rows."),
    "device": _flag(str, "auto", "auto, cpu, cuda:0, ..."),
}


# How to read a file; `squarely.data` has the checks.
READ = {
    "delimiter": _flag(str | None, None, "Sign between fields, such as ';', or tab, or whitespace."),
    "header": _flag(bool | None, None, "Whether the first line has names.", "--header/--no-header"),
    "names": _flag(str | None, None, "Names of the columns, separated by commas.", read=_split),
    "skip_rows": _flag(str | None, None, "Lines to skip at the top, or their numbers, such as 1,3.", read=_read_lines),
    "na_values": _flag(str | None, None, "Words that mean a missing value, separated by commas.", read=_split),
    "decimal": _flag(str | None, None, "Decimal sign."),
    "thousands": _flag(str | None, None, "Separator of thousands."),
    "encoding": _flag(str | None, None, "Encoding of the text, such as latin-1."),
    "comment": _flag(str | None, None, "Sign that begins a comment, such as '#'."),
    "quote": _flag(str | None, None, "Sign around texts."),
    "sheet": _flag(str | None, None, "Sheet of a workbook, by name or number.", read=partial(read_number, readers=(int,))),
}


def reads(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of reading files to a command, which gets those that are given as the mapping `read`."""

    @wraps(command)
    def run(**arguments: Any) -> None:
        values = {name: flag.read(arguments.pop(name)) for name, flag in READ.items()}
        command(**arguments, read={name: value for name, value in values.items() if value is not None} or None)

    parameters = [each for each in inspect.signature(command, eval_str=True).parameters.values() if each.name != "read"]
    options = [parameters.pop()] if parameters[-1].kind is inspect.Parameter.VAR_KEYWORD else []
    return _with_signature(run, [*parameters, *_make_parameters(READ), *options])


def _make_parameters(flags: Mapping[str, Flag]) -> list[inspect.Parameter]:
    keyword_only = inspect.Parameter.KEYWORD_ONLY
    return [inspect.Parameter(name, keyword_only, annotation=flag.annotation, default=flag.default) for name, flag in flags.items()]


def _with_signature(run: Callable[..., None], parameters: list[inspect.Parameter]) -> Callable[..., None]:
    # typer reads both of these, and loses the words if only one of them is set (typer issue 1898).
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    return run


def takes(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add options of `train` to a command, the named ones or all; the command gets them as `**options`, ready for `train`."""
    flags = {name: TRAINING[name] for name in names or TRAINING}

    def add(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def run(**arguments: Any) -> None:
            command(**{name: flags[name].read(value) if name in flags else value for name, value in arguments.items()})

        signature = inspect.signature(command, eval_str=True)
        formula, data, *others, _options = signature.parameters.values()
        return _with_signature(run, [formula, data, *_make_parameters(flags), *others])

    return add
