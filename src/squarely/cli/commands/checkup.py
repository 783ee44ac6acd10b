"""The command `checkup`: the mistakes in a training loop, or what its printed losses say."""

from __future__ import annotations

from typing import Annotated, Any

import typer

import squarely
from squarely.cli.command_group import Command
from squarely.cli.commands.models import app
from squarely.cli.options import Json, read_count, read_named_values, read_number
from squarely.cli.output import show
from squarely.errors import OptionError

_LOOP, _LOSSES = "Training loop", "Printed losses"


def _text(help: str, metavar: str, panel: str = _LOSSES) -> Any:  # noqa: A002
    return typer.Option(help=help, metavar=f"<{metavar}>", rich_help_panel=panel)


@app.command(
    name="checkup",
    cls=Command,
    epilog="Example: squarely checkup train.py; squarely checkup mypackage.training:train --fixture lr=0.05",
)
def check_loop(
    context: typer.Context,
    target: Annotated[
        str | None,
        typer.Argument(help="A loop, such as mypackage.training:train or train.py:train; or a script.", metavar="LOOP"),
    ] = None,
    *,
    fixture: Annotated[
        list[str] | None, _text("A value for a parameter of the loop; may be repeated.", "name=value", _LOOP)
    ] = None,
    timeout: Annotated[str, _text("Stop the loop after so many seconds.", "number", _LOOP)] = "60",
    losses: Annotated[str | None, _text("Instead of a loop: a file of printed losses, or - for standard input.", "path")] = None,
    column: Annotated[str | None, _text("The column or label of the losses.", "name")] = None,
    lr: Annotated[str | None, _text("The learning rate of the run.", "number")] = None,
    momentum: Annotated[str | None, _text("The momentum of the run.", "number")] = None,
    formula: Annotated[str | None, _text("The formula of the model, with --data.", "text")] = None,
    data: Annotated[str | None, _text("The data of the run.", "path")] = None,
    as_json: Json = False,
) -> None:
    """Name the mistakes in a training loop of yours.

    It runs on a linear problem whose right answer at every step is known. The exit code is 1 if a mistake is certain or likely.
    squarely help checkup.md says more, and squarely help mistakes-in-loops shows every mistake.
    """
    for_losses = {"column": column, "lr": read_number(lr), "momentum": read_number(momentum), "formula": formula, "data": data}
    _check_usage(context, target, losses)
    if losses is None:
        values = read_named_values("--fixture", fixture)
        result: Any = squarely.checkup(target, fixtures=values, timeout=read_count(timeout))
    else:
        given = {name: value for name, value in for_losses.items() if value is not None}
        result = squarely.checkup_losses(losses, **given)
    show(result, as_json=as_json)
    if not result.ok:
        raise typer.Exit(1)


def _check_usage(context: typer.Context, target: str | None, losses: str | None) -> None:
    """Raise an OptionError unless there is a loop or a file of losses, and for an option of the other one."""
    if (target is None) == (losses is None):
        what = "There is neither a loop nor --losses" if target is None else "A loop and --losses are two different checks"
        raise OptionError(f"{what}. Give one of them, such as squarely checkup train.py, or squarely checkup --losses log.txt.")
    others = ("fixture", "timeout") if target is None else ("column", "lr", "momentum", "formula", "data")
    for name in others:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            advice = "" if target is None else f" For a parameter of the loop, write --fixture '{name}=...'."
            raise OptionError(f"--{name} is for {'a loop' if target is None else 'printed losses'}: leave it out.{advice}")
