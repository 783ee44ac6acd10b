"""Print results as text or as JSON."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import typer

from squarely.cli.flags import page_with_flags


def show(result: Any, *, as_json: bool, tests: Sequence[Any] = ()) -> None:
    """Print the summary of a result with those of tests below it, or its numbers as JSON."""
    if as_json:
        print_json({**result.as_dict(), **({"tests": [test.as_dict() for test in tests]} if tests else {})})
    else:
        print_text("\n\n".join(repr(page_with_flags(each.summary())) for each in (result, *tests)))


def print_text(text: object) -> None:
    """Print; the reader of a pipe, such as head, may close it before the end."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(141) from None  # 128 + SIGPIPE, as in a shell; 1 is a numerical "no"


def print_columns(columns: Mapping[str, list[float]]) -> None:
    """Print columns of numbers as CSV, with an empty field for NaN."""
    rows = zip(*columns.values(), strict=True)
    print_text("\n".join([",".join(columns), *(",".join("" if x != x else repr(x) for x in row) for row in rows)]))


def print_json(numbers: Mapping[str, Any]) -> None:
    """Print strict JSON, in which NaN and infinities are null."""
    from squarely.storage.json_fields import to_json  # it loads NumPy, which --help does without

    print_text(json.dumps(to_json(numbers, lambda x: None), allow_nan=False, indent=2))
