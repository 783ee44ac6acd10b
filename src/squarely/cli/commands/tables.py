"""The command `table`: saved fits and runs side by side, in every format of a page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

import squarely
from squarely import types
from squarely.cli.command_group import Command
from squarely.cli.commands.models import app
from squarely.cli.flags import page_with_flags
from squarely.cli.options import OUTPUT, Json, choice, split_all
from squarely.cli.output import print_json, print_text
from squarely.errors import require_one_of

_CONTENT = "Content"


def _list(help: str, metavar: str = "text,...") -> Any:  # noqa: A002
    return typer.Option(help=help, metavar=f"<{metavar}>", rich_help_panel=_CONTENT)


if TYPE_CHECKING:
    from squarely.types import Below, TableFormat
else:  # to typer these are texts, which `squarely` checks
    Below = Annotated[str, choice(types.Below, "What is below each coefficient.", _CONTENT)]
    TableFormat = Annotated[str, choice(types.TableFormat, "How to print the table.", OUTPUT)]


@app.command(cls=Command, epilog="Example: squarely table small.json large.json --stars --format latex > table.tex")
def table(
    models: Annotated[
        list[Path], typer.Argument(help="Fits that ols --save has written, or runs that train --save has.", metavar="FIT")
    ],
    *,
    stars: Annotated[
        bool, typer.Option("--stars", help="Mark p-values below 0.1, 0.05 and 0.01.", metavar="", rich_help_panel=_CONTENT)
    ] = False,
    below: Below = "se",
    rows: Annotated[list[str] | None, _list("Statistics below the coefficients, such as nobs,rsquared,aic.")] = None,
    order: Annotated[list[str] | None, _list("Coefficients or terms that come first.")] = None,
    hide: Annotated[list[str] | None, _list("Coefficients or terms to leave out; a row says which models have them.")] = None,
    names: Annotated[list[str] | None, _list("The headers of the columns; by default the names of the files.")] = None,
    format: TableFormat = "text",  # noqa: A002
    as_json: Json = False,
) -> None:
    """Print saved fits side by side, as papers do."""
    require_one_of("format", format, get_args(types.TableFormat))
    results = [squarely.load(model) for model in models]
    stems = [model.stem for model in models]
    headers = split_all(names) or (stems if len({*stems}) == len(stems) else None)
    options: dict[str, Any] = {"rows": split_all(rows)} if rows else {}
    page = squarely.table(
        *results, stars=stars, below=below, order=split_all(order), hide=split_all(hide), names=headers, **options
    )
    if as_json:
        print_json({"models": [result.as_dict() for result in results]})
    elif format == "text":
        print_text(page_with_flags(page))
    else:
        print_text(getattr(page, f"as_{format}")())
