"""Bootstraps that cannot be drawn."""

from typing import Any

from tests.support.bad_row import TABLE, Row

_PYTHON = "the command line has no bootstrap"


def _row(method: str, name: str, says: str, **options: Any) -> Row:
    return Row(name=name, data=TABLE, call=f"fit.{method}", says=says, python_only=_PYTHON, options=options)


BOOTSTRAP = [
    _row("bootstrap", "no draws", "draws=0 is not a whole number of at least 1. Write for example draws=1000.", draws=0),
    _row("bootstrap", "a seed below zero", "seed=-1 is not a whole number of at least 0.", seed=-1),
    _row("bootstrap", "no function", "function='x' cannot be called. Give a function such as", function="x"),
    _row("bootstrap", "two columns of clusters", "cluster=['x', 'y'] is not the name of a column.", cluster=["x", "y"]),
    _row("wild_test", "unknown weights", "weights='mammen' is not known. Known names: 'rademacher', 'webb'.",
         hypothesis="x = 0", weights="mammen"),
    _row("wild_test", "a wild bootstrap without clusters", "draws one column of clusters, and the fit has no clusters. Name one",
         hypothesis="x = 0"),
]  # fmt: skip
