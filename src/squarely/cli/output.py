"""Print results as text or as strict JSON."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Mapping
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from squarely.show import Page


def show(result: Mapping[str, Any] | Page) -> None:
    """Print a page as text, or numbers as JSON."""
    if isinstance(result, Mapping):
        print_json(result)
    else:
        print_text(result)


def print_text(text: object) -> None:
    """Print; the reader of a pipe, such as head, may close it before the end."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(141) from None  # 128 + SIGPIPE, as in a shell; 1 is a numerical "no"


def print_json(numbers: Mapping[str, Any]) -> None:
    """Print strict JSON, in which NaN and infinities are null."""
    print_text(json.dumps(_plain(numbers), allow_nan=False, indent=2))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, Real) and not isinstance(value, Integral):
        return float(value) if math.isfinite(value) else None
    return value
