"""The command `diagnose`: fit by least squares, and test what the fit assumes."""

from __future__ import annotations

from typing import Annotated, Any

import typer

import squarely
from squarely.cli.command_group import Command
from squarely.cli.commands.models import app
from squarely.cli.decorators import with_progress
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
    reads,
    takes,
)
from squarely.cli.output import show


@app.command(cls=Command, epilog="Example: squarely diagnose 'mpg ~ weight' cars.csv --order-by model_year")
@with_progress()
@takes(WEIGHTS | COVARIANCE)
@reads
def diagnose(
    formula: FormulaText,
    data: DataPath,
    *,
    where: Where = None,
    missing: Missing = "drop",
    order_by: Annotated[
        str | None,
        typer.Option(
            help="The column of numbers that sorts the rows for tests of their order.", metavar="<text>", rich_help_panel=STATISTICS
        ),
    ] = None,
    white: Annotated[
        bool, typer.Option(help="Run White's test, which is slow with many columns.", metavar="", rich_help_panel=STATISTICS)
    ] = True,
    as_json: Json = False,
    read: Read = None,
    **options: Any,
) -> None:
    """Fit by least squares, and test what the fit assumes of the errors.

    The exit code is 0 also if a test rejects.
    """
    fit = squarely.ols(formula, data, where=where, missing=missing, read=read, **options)
    show(fit.diagnostics(order_by=order_by, white=white), as_json=as_json)
