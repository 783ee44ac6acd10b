"""The commands that test hypotheses: `anova` of a formula, and `test` of a saved fit."""

from __future__ import annotations

from pathlib import Path
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
    read_count,
    reads,
    takes,
)
from squarely.cli.output import print_json, print_text, show
from squarely.errors import InputError


@app.command(cls=Command, epilog="Example: squarely anova 'mpg ~ weight * origin' cars.csv --typ 2")
@with_progress()
@takes(WEIGHTS | COVARIANCE)
@reads
def anova(
    formula: FormulaText,
    data: DataPath,
    *,
    where: Where = None,
    missing: Missing = "drop",
    typ: Annotated[str, typer.Option(help="The type: 1, 2 or 3.", metavar="<int>", rich_help_panel=STATISTICS)] = "1",
    as_json: Json = False,
    read: Read = None,
    **options: Any,
) -> None:
    """Fit by least squares and print the analysis of variance."""
    fit = squarely.ols(formula, data, where=where, missing=missing, read=read, **options)
    show(squarely.anova(fit, typ=read_count(typ)), as_json=as_json)


@app.command(name="test", cls=Command, epilog="Example: squarely test fit.json 'weight = 0, horsepower = 0'")
def run_tests(
    model: Annotated[Path, typer.Argument(help="A fit that ols --save has written.", metavar="FIT")],
    hypotheses: Annotated[
        list[str], typer.Argument(help="Such as 'x = 0, z = 1'; see squarely help hypotheses.", metavar="HYPOTHESIS")
    ],
    as_json: Json = False,
) -> None:
    """Test hypotheses on the coefficients of a saved fit.

    The exit code is 0 also if a test rejects.
    """
    fit = squarely.load(model)
    if not isinstance(fit, squarely.Fit):
        raise InputError(f"{str(model)!r} is a saved run, and hypotheses are tested on a fit. Save one with squarely ols --save.")
    tests = [fit.f_test(hypothesis) for hypothesis in hypotheses]
    if as_json:
        print_json({"tests": [test.as_dict() for test in tests]})
    else:
        print_text("\n\n".join(repr(test.summary()) for test in tests))
