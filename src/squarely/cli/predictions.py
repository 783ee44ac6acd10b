"""The options of `squarely predict`, and the columns that it prints."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from squarely.cli.options import DATA, OUTPUT, read_number
from squarely.errors import OptionError

PredictionFile = Annotated[
    Path | None, typer.Option("--out", "-o", help="Write a .csv, .parquet, .arrow or .jsonl file instead.", rich_help_panel=OUTPUT)
]
Keep = Annotated[
    str | None,
    typer.Option(help="Columns to write beside the predictions, separated by commas; all for all.", rich_help_panel=OUTPUT),
]
Interval = Annotated[
    str | None,
    typer.Option(
        help="Add standard errors and limits at this level, such as 0.95, of the mean and of new observations.",
        metavar="<level>",
        rich_help_panel=OUTPUT,
    ),
]
Weights = Annotated[
    str | None,
    typer.Option(
        help="The weights of the new rows for --interval: a column, an expression or a number.",
        metavar="<column>",
        rich_help_panel=DATA,
    ),
]


def read_limits(fit: Any, interval: str | None, weights: str | None) -> dict[str, Any]:
    """Return the options of limits for `write_predictions`, none without `--interval`."""
    if interval is None:
        if weights is not None:
            raise OptionError("weights= is for limits of new observations. Give interval=0.95 with it, or leave it out.")
        return {}
    from squarely.inference import Fit, require_level  # `--help` does without

    if not isinstance(fit, Fit):
        raise OptionError(
            "interval= needs standard errors, which a run of training lacks. Give a fit that squarely ols --save has written."
        )
    level = read_number(interval, (int, float))
    require_level(level, "interval")
    return {"level": level, "weights": read_number(weights, (int, float))}


def predict_columns(fit: Any, data: str, limits: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, list[float]]:
    """Return the columns that `write_predictions` writes."""
    if not limits:
        return {"predicted": fit.predict(data, **options).tolist()}
    frame = fit.get_prediction(data, weights=limits["weights"], **options).summary_frame(1 - limits["level"])
    columns = frame.to_dict("list")
    return {"predicted": columns.pop("mean"), **columns}
