"""The command `certify`: both methods and their certificate, or that of an answer made elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

import squarely
from squarely.cli.command_group import Command
from squarely.cli.commands.models import app
from squarely.cli.decorators import with_progress
from squarely.cli.options import (
    CHECKPOINTS,
    DATA,
    STOPPING,
    TRAINING,
    WEIGHTS,
    Json,
    Missing,
    Read,
    Where,
    read_number,
    reads,
    takes,
)
from squarely.cli.output import show
from squarely.errors import OptionError


@app.command(cls=Command, epilog="Example: squarely certify 'mpg ~ displacement' cars.csv --tau 0.01")
@with_progress()
@takes(TRAINING | CHECKPOINTS)
@reads
def certify(
    formula: Annotated[str, typer.Argument(help="A formula, or a fit that ols --save has written.", metavar="FORMULA")],
    data: Annotated[str, typer.Argument(help="The data, or a run that train --save has written.", metavar="DATA")],
    *,
    context: typer.Context,
    tau: Annotated[
        str, typer.Option(help="The tolerance, in standard errors.", metavar="<number>", rich_help_panel=STOPPING)
    ] = "0.01",
    params: Annotated[
        Path | None,
        typer.Option(
            help="An answer made elsewhere: JSON of coefficients by name, or a .safetensors state dict.",
            metavar="<path>",
            rich_help_panel=DATA,
        ),
    ] = None,
    scaler: Annotated[
        Path | None,
        typer.Option(
            help="JSON of the means and scales of the columns before --params: {'mean': ..., 'scale': ...}.",
            metavar="<path>",
            rich_help_panel=DATA,
        ),
    ] = None,
    where: Where = None,
    missing: Missing = "drop",
    as_json: Json = False,
    read: Read = None,
    **options: Any,
) -> None:
    """Fit both ways and certify how far apart the answers are.

    Instead of a formula and data, give a saved fit and a saved run. With --params, certify an answer made elsewhere.
    """
    if "~" not in formula and Path(formula).exists():
        _refuse_options(context, "a saved fit and a saved run")
        certificate = squarely.certify(squarely.load(formula), squarely.load(data), tau=read_number(tau))
    else:
        files = {name: path for name, path in {"params": params, "scaler": scaler}.items() if path is not None}
        if files:  # the defaults of training have no effect
            options = files | {name: value for name, value in options.items() if name in WEIGHTS or _is_given(context, name)}
        certificate = squarely.certify(formula, data, tau=read_number(tau), where=where, read=read, missing=missing, **options)
    show(certificate, as_json=as_json)
    if not certificate.agree:
        raise typer.Exit(1)


def _refuse_options(context: typer.Context, what: str) -> None:
    """Raise an OptionError for an option that has no effect on what is saved already."""
    for param in context.command.params:
        if param.name not in ("formula", "data", "tau", "as_json") and _is_given(context, param.name or ""):
            raise OptionError(f"{max(param.opts, key=len)} has no effect on {what}. Leave it out.")


def _is_given(context: typer.Context, name: str) -> bool:
    """Return whether an option is on the command line."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"
