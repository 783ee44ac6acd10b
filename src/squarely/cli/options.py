"""The options of the commands, each with its help. TRAINING has one row for each option of `squarely.train`."""

from __future__ import annotations

import csv
import inspect
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, get_args

import typer

from squarely import types
from squarely.errors import OptionError
from squarely.show import require_figure_file

# The groups of options in --help.
DATA, READING, OPTIMIZER, BATCHES = "Data", "Reading files", "Optimizer", "Batches"
STOPPING, COMPUTATION, OUTPUT, STATISTICS = "Stopping", "Computation", "Output", "Statistics"

FormulaText = Annotated[
    str, typer.Argument(metavar="FORMULA", help="Such as 'mpg ~ displacement * C(origin)'; see squarely help formulas.")
]
Tests = Annotated[
    list[str] | None,
    typer.Option(
        "--test", help="Test a hypothesis, such as 'x = 0, z = 1'; may be repeated.", metavar="<text>", rich_help_panel=OUTPUT
    ),
]
DataPath = Annotated[
    str,
    typer.Argument(
        help="A file (CSV, Parquet, JSON, Excel and more), a URL, or - for standard input; or several files: a folder, or a "
        "pattern in quotes, such as 'data/*.csv'.",
        metavar="DATA",
    ),
]
Where = Annotated[
    str | None, typer.Option(help="Use only the rows that match, such as 'weight > 3000'.", metavar="<text>", rich_help_panel=DATA)
]
Read = dict[str, Any] | None  # `reads` makes it of the options of reading files


def _check_figure(path: Path | None) -> Path | None:
    """Return the path, or raise an error, before the fit begins, if no figure could be written there."""
    if path is not None:
        require_figure_file(path)
    return path


Plot = Annotated[
    Path | None,
    typer.Option(
        help="Draw the fit to a .png, .svg or .pdf file.", metavar="<path>", callback=_check_figure, rich_help_panel=OUTPUT
    ),
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        help="Print the first rows, and what the fit would read and cost, without a fit.",
        metavar="",
        rich_help_panel=OUTPUT,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print every number as JSON.", metavar="", rich_help_panel=OUTPUT)]


def choice(literal: Any, help: str, panel: str) -> Any:  # noqa: A002
    """Return the option of a closed list of words: the help shows it, the shell completes it, and `squarely` checks it."""
    words = list(get_args(literal))
    return typer.Option(help=help, rich_help_panel=panel, metavar=f"<{'|'.join(words)}>", autocompletion=lambda: words)


if TYPE_CHECKING:
    from squarely.types import Collinear, Duplicates, Fold, Missing, Precision, RankDeficient, Unseen

    PlotKind = types.PlotKind | None
else:  # to typer these are texts, which `squarely` checks, so that every error has one style
    Missing = Annotated[str, choice(types.Missing, "Drop and count rows with missing values, or refuse them.", DATA)]
    Collinear = Annotated[str, choice(types.Collinear, "Drop and name columns that others span, or refuse them.", DATA)]
    Precision = Annotated[str, choice(types.Precision, "The arithmetic of the refinement.", COMPUTATION)]
    Fold = Annotated[str, choice(types.Fold, "Sum up rows in batches, or by aggregates in an engine.", COMPUTATION)]
    _KINDS = list(get_args(types.PlotKind))
    _PLOT_KIND = typer.Option(help=f"What --plot draws: {', '.join(_KINDS)}.", metavar="<name>", rich_help_panel=OUTPUT)
    PlotKind = Annotated[str | None, _PLOT_KIND]
    Unseen = Annotated[str, choice(types.Unseen, "What to do with a level that the fit does not have.", DATA)]
    RankDeficient = Annotated[
        str, choice(types.RankDeficient, "What to do with a row that breaks the dependency of a dropped column.", DATA)
    ]
    Duplicates = Annotated[str, choice(types.Duplicates, "What to do with two fits of the same cross-products.", DATA)]


def read_number(text: Any, readers: Iterable[Callable[[Any], Any]] = (float,)) -> Any:
    """Return the value by the first reader that accepts the text; else the text itself, which `train` checks."""
    for reader in readers:
        with suppress(ValueError, TypeError):
            return reader(text)
    return text


def read_count(text: Any) -> Any:
    """Return a whole number, also of a text such as 1e3; else the number or the text itself, which `train` checks."""
    number = read_number(text, (int, float))
    return int(number) if isinstance(number, float) and number.is_integer() else number


def _read_several(texts: Sequence[Any] | None, read: Callable[[Any], Any]) -> Any:
    """Return the values of an option that is repeated, or whose texts are lists such as 0.1,0.01; None without any."""
    return [read(text) for each in texts for text in str(each).split(",") if text.strip()] if texts else None


def read_named_values(flag: str, texts: list[str] | None) -> dict[str, Any]:
    """Return texts such as step_size=30 as a dict; a value is JSON, or else text."""
    options = {}
    for text in texts or ():
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise OptionError(f"{flag} {text!r} is not an option with a value. Write it as name=value, such as step_size=30.")
        options[key.strip()] = read_number(value, (json.loads, float))  # float reads .1, JSON does not
    return options


def _split(text: str | None) -> list[str] | None:
    """Return the items of a list such as `y,x`; an item with a comma is in double quotes."""
    return None if text is None else next(csv.reader([text]), [])


def split_all(texts: list[str] | None) -> list[str] | None:
    """Return the items of an option that is repeated, or whose texts are lists; None without any."""
    return None if not texts else [item for text in texts for item in _split(text) or [""]]


def _read_lines(text: str | None) -> Any:
    """Return `3` as a number of lines, and `1,3` or `3,` as a list of lines."""
    if text is None or "," not in text:
        return read_count(text)
    return [read_count(each) for each in text.split(",") if each]


class Flag(NamedTuple):
    """An option of `squarely.train` on the command line: what typer reads, and how it becomes an argument of `train`."""

    annotation: Any
    default: Any
    read: Callable[[Any], Any]


def _text(panel: str, default: str | None, help: str, *flags: str, metavar: str = "text", read: Any = None) -> Flag:  # noqa: A002
    option = typer.Option(*flags, help=help, metavar=f"<{metavar}>", rich_help_panel=panel)
    return Flag(Annotated[str if default is not None else str | None, option], default, read or _as_it_is)


def _as_it_is(value: Any) -> Any:
    return value


# A number is text to typer, so that squarely checks it and every error has one style.
_number = partial(_text, metavar="number", read=read_number)
_count = partial(_text, metavar="int", read=read_count)


def _words(panel: str, literal: Any, default: str, help: str) -> Flag:  # noqa: A002
    return Flag(Annotated[str, choice(literal, help, panel)], default, _as_it_is)


def _switch(panel: str, default: bool | None, help: str, *flags: str) -> Flag:  # noqa: A002
    option = typer.Option(*flags, help=help, metavar="", rich_help_panel=panel)
    return Flag(Annotated[bool if default is not None else bool | None, option], default, _as_it_is)


def _list(panel: str, default: Sequence[str] | None, help: str, *flags: str, metavar: str, read: Any) -> Flag:  # noqa: A002
    option = typer.Option(*flags, help=help, metavar=f"<{metavar}>", rich_help_panel=panel)
    return Flag(Annotated[list[str] | None, option], default and list(default), read)


def _values(flag: str, help: str) -> Flag:  # noqa: A002
    return _list(OPTIMIZER, None, help, flag, metavar="name=value", read=partial(read_named_values, flag))


WEIGHTS = {
    "weights": _text(DATA, None, "The column of weights, or an expression such as 'I(1 / v)'."),
    "frequencies": _text(DATA, None, "The column that says how many equal rows each row stands for."),
}

# The defaults are written here and not taken from `squarely.train`, which takes half a second to import.
TRAINING = WEIGHTS | {
    "validation": _text(DATA, None, "Validate on this fraction of the rows, or on another file.", read=read_number),
    "standardize": _switch(DATA, True, "Standardize columns and response first."),
    "lr": _number(OPTIMIZER, "auto", "The learning rate; auto is the best one in theory.", metavar="number|auto"),
    "optimizer": _text(OPTIMIZER, "sgd", "A torch optimizer, such as sgd, adam, adamw or lbfgs.", metavar="name"),
    "momentum": _number(OPTIMIZER, "0.0", "The momentum of sgd, in [0, 1)."),
    "nesterov": _switch(OPTIMIZER, False, "Use Nesterov momentum.", "--nesterov"),
    "weight_decay": _number(OPTIMIZER, None, "The weight decay of the optimizer."),
    "optimizer_options": _values("--optimizer-option", "Another option of the optimizer, such as betas=[0.8,0.9]."),
    "scheduler": _text(OPTIMIZER, None, "A torch scheduler, such as StepLR.", metavar="name"),
    "scheduler_options": _values("--scheduler-option", "An option of the scheduler, such as step_size=30."),
    "scheduler_per": _words(OPTIMIZER, types.SchedulerPer, "epoch", "When the scheduler takes a step."),
    "clip_grad_norm": _number(OPTIMIZER, None, "The largest norm of the gradient of a step."),
    "average": _text(
        OPTIMIZER,
        None,
        "Average the iterates from this epoch on; true for the second half.",
        metavar="int|true",
        read=partial(read_number, readers=(json.loads,)),
    ),
    "loss": _words(OPTIMIZER, types.Loss, "mse", "The loss to minimize."),
    "delta": _number(OPTIMIZER, "1.0", "Where the huber loss becomes linear, in standardized units."),
    "quantile": _number(OPTIMIZER, "0.5", "The quantile of the quantile loss, in (0, 1)."),
    "batch_size": _count(BATCHES, None, "The rows in a step; by default all rows."),
    "shuffle": _switch(BATCHES, True, "Read the rows in a new order in each epoch."),
    "replacement": _switch(BATCHES, False, "Draw the rows of batches with replacement.", "--replacement"),
    "seed": _count(BATCHES, "0", "The seed of the random start and of the order of rows."),
    "epochs": _count(STOPPING, "1000", "The largest number of passes over the rows."),
    "stop": _text(STOPPING, None, "Stop at '0.01 se' from the optimum, by loss, or by validation."),
    "patience": _count(STOPPING, "10", "Epochs without a gain before --stop loss or validation."),
    "min_delta": _number(STOPPING, "0.0", "The least decrease that is a gain."),
    "engine": _words(COMPUTATION, types.TrainingEngine, "rows", "Compute each step on rows or cross-products, or take none."),
    "gradient": _words(COMPUTATION, types.Gradient, "autograd", "How to compute the gradient; closed is the formula."),
    "stream": _switch(COMPUTATION, None, "Read the rows again each epoch, instead of holding them."),
    "dtype": _words(COMPUTATION, types.Dtype, "float32", "The precision of training."),
    "device": _text(COMPUTATION, "auto", "Where to train: auto, cpu, cuda:0, ...", metavar="name"),
    "metrics": _list(
        OUTPUT,
        (),
        "Log these too, separated by commas.",
        "--metric",
        metavar="|".join(get_args(types.Metric)),
        read=lambda texts: _read_several(texts, str.strip) or (),
    ),
}

# Where a run is saved, as arguments of `squarely.train`.
CHECKPOINTS = {
    "checkpoint": _text(OUTPUT, None, "Save the run in this folder, regularly and on Ctrl-C.", "--save", metavar="path"),
    "checkpoint_every": _text(OUTPUT, None, "How often to save: '30 s', '10 epochs' or '100 steps'; by default 60 s."),
    "resume": _text(
        OUTPUT,
        None,
        "Continue from the newest checkpoint in this folder, and save the run there.",
        metavar="path",
        read=lambda path: False if path is None else path,
    ),
}

# What `squarely.sweep` varies: one value or several.
SWEEP = {
    "lr": _list(
        OPTIMIZER,
        ("0.01", "0.001", "0.0001"),
        "Learning rates, separated by commas; auto is the best one in theory.",
        metavar="number|auto,...",
        read=partial(_read_several, read=read_number),
    ),
    "momentum": _list(
        OPTIMIZER,
        ("0.0",),
        "Values of momentum for sgd, separated by commas.",
        metavar="number,...",
        read=partial(_read_several, read=read_number),
    ),
    "batch_size": _list(
        BATCHES,
        None,
        "Rows in a step, separated by commas; all for all rows.",
        metavar="int|all,...",
        read=partial(_read_several, read=lambda text: None if text.strip() == "all" else read_count(text)),
    ),
    "seed": _list(
        BATCHES,
        ("0",),
        "Seeds, separated by commas.",
        metavar="int,...",
        read=partial(_read_several, read=read_count),
    ),
}

# Which covariance of the coefficients to estimate, as arguments of `squarely.ols`.
COVARIANCE = {
    "vcov": _text(STATISTICS, None, "The covariance of the coefficients: HC0 to HC4, CR0 to CR3, HAC or DK.", metavar="name"),
    "cluster": _list(STATISTICS, None, "The column of clusters, or two columns.", metavar="column,...", read=split_all),
    "time": _text(STATISTICS, None, "The column of periods, for --vcov DK.", metavar="column"),
    "lags": _count(STATISTICS, None, "The lags of HAC and DK; by default automatic."),
    "correction": _words(STATISTICS, types.Correction, "usual", "The factor for small samples."),
}

GROUPS = {"by": _list(DATA, None, "The column of groups, or several: one fit for each.", metavar="column,...", read=split_all)}

# How to read a file; `squarely.data` has the checks.
READ = {
    "delimiter": _text(READING, None, "The sign between fields, such as ';', or tab, or whitespace."),
    "header": _switch(READING, None, "Whether the first line has names.", "--header/--no-header"),
    "names": _text(READING, None, "The names of the columns, separated by commas.", read=_split),
    "skip_rows": _text(
        READING, None, "How many lines to skip at the top, or their numbers, such as 1,3.", metavar="int,...", read=_read_lines
    ),
    "na_values": _list(
        READING, None, "Words that mean a missing value, separated by commas; may be repeated.", metavar="text,...", read=split_all
    ),
    "decimal": _text(READING, None, "The decimal sign, such as ','."),
    "thousands": _text(READING, None, "The separator of thousands, such as '.'."),
    "encoding": _text(READING, None, "The encoding of the text, such as latin-1."),
    "comment": _text(READING, None, "The sign that begins a comment, such as '#'."),
    "quote": _text(READING, None, "The sign around texts."),
    "sheet": _text(READING, None, "The sheet of a workbook, by name or number.", read=partial(read_number, readers=(int,))),
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


def takes(flags: Mapping[str, Flag]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add options to a command, which gets them as `**options`, ready for the function of `squarely`."""

    def add(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def run(**arguments: Any) -> None:
            command(**{name: flags[name].read(value) if name in flags else value for name, value in arguments.items()})

        signature = inspect.signature(command, eval_str=True)
        *parameters, _options = signature.parameters.values()
        arguments = [each for each in parameters if each.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
        return _with_signature(run, [*arguments, *_make_parameters(flags), *parameters[len(arguments) :]])

    return add
