"""Penalties that cannot be used."""

from typing import Any

from squarely.errors import DataError
from tests.support.bad_row import TABLE, Row

_ROWS = {"x": [1.0, 2, 3, 5], "z": [2.0, 1, 4, 3], "fold": ["a", "a", "a", None], "y": [1.0, 3, 2, 5]}


def _penalty(name: str, says: str, call: str = "fit.lasso", **more: Any) -> Row:
    fields = {"name": name, "data": _ROWS, "formula": "y ~ x + z", "call": call, "says": says}
    fields |= {key: more.pop(key) for key in ("raises", "formula", "data") if key in more}
    return Row(**fields, options=more, python_only="the command line has no penalized fits")


PENALTIES = [
    _penalty("a negative penalty", "alpha=-1 is not a number of at least 0.", alpha=-1),
    _penalty("an infinite penalty", "alpha=inf is not a number of at least 0.", "fit.ridge", alpha=float("inf")),
    _penalty("an empty path", "alpha=[] is not a list of penalties.", alpha=[]),
    _penalty("an unknown choice", "alpha='aic' is neither a number nor one of 'gcv' and 'cv'.", alpha="aic"),
    _penalty("a path for a number", "alphas= is the path for alpha='gcv' or alpha='cv'.", alpha=1.0, alphas=[1.0, 2.0]),
    _penalty("a ratio of zero", "l1_ratio=0 is not a number above 0 and at most 1.", "fit.elastic_net", alpha=1.0, l1_ratio=0),
    _penalty("a ratio above one", "l1_ratio=50 is not a number above 0", "fit.elastic_net", alpha=1.0, l1_ratio=50),
    _penalty("one fold", "folds=1 is neither a number from 2 to 4", alpha="cv", folds=1),
    _penalty("more folds than rows", "folds=10 is neither a number from 2 to 4", alpha="cv", folds=10),
    _penalty(
        "a column of folds with gaps", "have 3 rows, and the fit has 4: 'fold' has gaps", raises=DataError, alpha="cv", folds="fold"
    ),
    _penalty("a column of folds that is not there", "week", raises=DataError, alpha="cv", folds="week"),
    _penalty("no slope", "The fit has no slope", raises=DataError, formula="y ~ 1", alpha=1.0),
    _penalty(
        "a folds column with one value",
        "needs two folds",
        raises=DataError,
        data=TABLE | {"f": [1] * len(TABLE["x"])},
        alpha="cv",
        folds="f",
    ),
]
