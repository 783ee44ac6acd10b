"""The commands that estimate effects: `effects` and `margins` of a formula."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

import squarely
from squarely import types
from squarely.cli.command_group import Command
from squarely.cli.commands.models import app
from squarely.cli.decorators import with_progress
from squarely.cli.exit import print_warnings
from squarely.cli.options import (
    COVARIANCE,
    STATISTICS,
    WEIGHTS,
    DataPath,
    FormulaText,
    Json,
    Missing,
    Read,
    Where,
    choice,
    read_number,
    reads,
    split_all,
    takes,
)
from squarely.cli.output import show
from squarely.errors import OptionError

At = Annotated[
    list[str] | None,
    typer.Option(
        "--at",
        help="Set a column in every row, such as weight=2000,3000; or mean. May be repeated.",
        metavar="<column=value,...|mean>",
        rich_help_panel=STATISTICS,
    ),
]
By = Annotated[
    list[str] | None,
    typer.Option(
        "--by", help="The column whose values group the rows, or several.", metavar="<column,...>", rich_help_panel=STATISTICS
    ),
]


if TYPE_CHECKING:
    from squarely.types import Slope
else:  # to typer this is a text, which `squarely` checks
    Slope = Annotated[str, choice(types.Slope, "Of a number: the slope, or an elasticity.", STATISTICS)]


@app.command(cls=Command, epilog="Example: squarely effects 'mpg ~ log(weight) * C(origin)' cars.csv weight --by origin")
@with_progress()
@takes(WEIGHTS | COVARIANCE)
@reads
def effects(
    formula: FormulaText,
    data: DataPath,
    variable: Annotated[
        list[str] | None, typer.Argument(help="Columns of the data; without any, all predictors.", metavar="VARIABLE")
    ] = None,
    *,
    at: At = None,
    by: By = None,
    slope: Slope = "dydx",
    where: Where = None,
    missing: Missing = "drop",
    as_json: Json = False,
    read: Read = None,
    **options: Any,
) -> None:
    """Fit by least squares and print average effects.

    Of a number it is the slope, of a category the contrasts with its reference.
    """
    fit = squarely.ols(formula, data, where=where, missing=missing, read=read, **options)
    with print_warnings():
        frame = fit.effects(variable or None, at=_read_at(at), by=split_all(by), slope=slope)
    show(frame, as_json=as_json)


@app.command(cls=Command, epilog="Example: squarely margins 'mpg ~ weight + C(origin)' cars.csv --at weight=2000,3000")
@with_progress()
@takes(WEIGHTS | COVARIANCE)
@reads
def margins(
    formula: FormulaText,
    data: DataPath,
    *,
    at: At = None,
    by: By = None,
    where: Where = None,
    missing: Missing = "drop",
    as_json: Json = False,
    read: Read = None,
    **options: Any,
) -> None:
    """Fit by least squares and print average predictions.

    With --at mean --by they are estimated marginal means.
    """
    fit = squarely.ols(formula, data, where=where, missing=missing, read=read, **options)
    with print_warnings():
        frame = fit.margins(at=_read_at(at), by=split_all(by))
    show(frame, as_json=as_json)


def _read_at(texts: list[str] | None) -> Any:
    """Return `--at weight=2000,3000 --at origin=usa` as a mapping, and `--at mean` as that word."""
    if not texts:
        return None
    if texts == ["mean"]:
        return "mean"
    at: dict[str, list[Any]] = {}
    for text in texts:
        name, equals, values = text.partition("=")
        if not name.strip() or not equals:
            raise OptionError(f"--at {text!r} does not set a column. Write it as column=value, such as weight=2000,3000, or mean.")
        at[name.strip()] = [
            *at.get(name.strip(), []),
            *(read_number(value.strip(), (int, float)) for value in split_all([values]) or ()),
        ]
    return at
