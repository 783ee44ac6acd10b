"""The command `influence`: the rows that change a fit the most, and a file with the influence of each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

import squarely
from squarely.cli.command_group import Command
from squarely.cli.commands.models import app
from squarely.cli.decorators import with_progress
from squarely.cli.flags import page_with_flags
from squarely.cli.options import (
    OUTPUT,
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
from squarely.cli.output import print_json, print_text


@app.command(
    name="influence", cls=Command, epilog="Example: squarely influence 'mpg ~ weight + horsepower' cars.csv --top 5 -o all.parquet"
)
@with_progress()
@takes(WEIGHTS)
@reads
def print_largest(
    formula: FormulaText,
    data: DataPath,
    *,
    where: Where = None,
    missing: Missing = "drop",
    top: Annotated[str, typer.Option(help="How many rows to print.", metavar="<int>", rich_help_panel=OUTPUT)] = "20",
    by: Annotated[
        str,
        typer.Option(
            help="What to sort by: cooks_d, student_resid, standard_resid, hat_diag, dffits, dffits_internal, cov_ratio, or dfb_x "
            "for the coefficient of x.",
            metavar="<name>",
            rich_help_panel=OUTPUT,
        ),
    ] = "cooks_d",
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Write all rows to a .csv, .parquet, .arrow or .jsonl file.", rich_help_panel=OUTPUT),
    ] = None,
    as_json: Json = False,
    read: Read = None,
    **options: Any,
) -> None:
    """Fit by least squares and print the rows that change the fit most."""
    fit = squarely.ols(formula, data, where=where, missing=missing, read=read, **options)
    measures = fit.get_influence()
    result: Any = (measures.as_dict if as_json else measures.summary)(read_count(top), by)
    written = None if out is None else measures.write(out)
    if as_json:
        print_json({**result, **({} if out is None else {"written": written, "out": str(out)})})
        return
    print_text(page_with_flags(result))
    if out is not None:
        print_text(f"{written:,} rows written to {out}")
