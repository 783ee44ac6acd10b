"""Limits of predictions that cannot be computed."""

from typing import Any

from squarely.errors import DataError
from tests.support.bad_row import Row

_ROWS = {"x": [1.0, 2, 3, 5], "g": ["p", "q", "p", "q"], "w": [1.0, -2, 1, 1], "y": [1.0, 3, 2, 5]}
_ELSEWHERE = "tests/exact/test_prediction_files.py has the command line"


def _predict(name: str, says: str, formula: str = "y ~ x", **more: Any) -> Row:
    fields = {"name": name, "data": _ROWS, "formula": formula, "call": "predict", "says": says, "python_only": _ELSEWHERE}
    raises = {"raises": more.pop("raises")} if "raises" in more else {}
    return Row(**fields, **raises, options=more)


_LEVEL = {"interval": "prediction"}

PREDICTIONS = [
    _predict("a level as an interval", "interval=95 is a level. Write interval='prediction' and level=0.95.", interval=95),
    _predict("statsmodels' word", "interval='obs' is not understood. Use 'confidence' or 'prediction'.", interval="obs"),
    _predict("a level in percent", "level=95 is not between 0 and 1. Write 0.95.", level=95, **_LEVEL),
    _predict("a level of one", "level=1 is not between 0 and 1. Write 0.95.", level=1, **_LEVEL),
    _predict("an alpha for a level", "level=0.05 would give limits at the level of 5 %.", level=0.05, **_LEVEL),
    _predict("a level as text", "level='95%' is not between 0 and 1. Write 0.95.", level="95%", **_LEVEL),
    _predict("a level alone", "level=0.9 is for limits. Give interval='prediction' with it, or leave it out.", level=0.9),
    _predict("weights alone", "weights='w' is for limits of new observations.", weights="w"),
    _predict("weights for the mean", "weights= is for interval='prediction'", interval="confidence", weights="w"),
    _predict("weights in a list", "is neither a column of the new rows nor a positive number.", weights=[1.0] * 4, **_LEVEL),
    _predict("a weight of zero for all", "weights=0 is neither a column of the new rows nor a positive", weights=0, **_LEVEL),
    _predict("standardized weights", "weights='scale(w)' standardizes a column", weights="scale(w)", **_LEVEL),
    _predict("a negative weight", "weights='w' is -2 in data row 2 of <data>.", raises=DataError, weights="w", **_LEVEL),
    _predict("weights that are text", "Column 'g' of <data> holds text, not a number", raises=DataError, weights="g", **_LEVEL),
    _predict("a missing column of weights", "There is no column 'v' in <data>.", raises=DataError, weights="v", **_LEVEL),
    _predict("new rows without a column", "There is no column 'x' in <data>.", raises=DataError, new={"z": [1.0, 2.0]}, **_LEVEL),
    _predict("a new level", "has 'r'", "y ~ g", raises=DataError, new={"g": ["p", "r"]}, **_LEVEL),
]
