"""Weights and frequencies that rows cannot have, or that are not a column."""

import math
from typing import Any

import numpy as np

from squarely.errors import DataError, FormulaError, SquarelyError
from tests.support.bad_row import NO_OBJECTS, Row


def _row(name: str, says: str, w: list[float], raises: type[SquarelyError] | None = DataError, **options: Any) -> Row:
    data = {"y": [1.0, 3, 2, 5, 4], "x": [1.0, 2, 3, 4, 5], "w": w}
    return Row(name=name, data=data, options=options, says=says, raises=raises)


WEIGHTS = [
    _row("weights: negative", "weights='w' is -2 in data row 2 of <data>. Give numbers of at least 0.", [1.0, -2, 1, 1, 1],
         weights="w"),
    _row("weights: all zero", "None of the 5 rows of <data> has a weight above zero: 5 rows of weight zero.", [0.0] * 5,
         weights="w"),
    _row("weights: out of range", "weights='w' of <data> add up to 5e+300, and products with them leave the range",
         [1e300] * 5, weights="w"),
    _row("weights: next to nothing", "weights='w' of <data> add up to 5e-300, and products with them leave the range",
         [1e-300] * 5, weights="w"),
    _row("frequencies: too many", "frequencies='w' of <data> add up to 5e+16 observations, and at most 2**53 can be counted.",
         [1e16] * 5, frequencies="w"),
    _row("weights: an infinity", "weights='w' is infinite in 1 row of <data>. Give finite numbers", [1.0, math.inf, 1, 1, 1],
         weights="w"),
    _row("frequencies: a fraction", "frequencies='w' is 1.5 in data row 3 of <data>. A frequency says how many rows one stands for",
         [1.0, 1, 1.5, 1, 1], frequencies="w"),
    _row("weights: beside frequencies", "weights= and frequencies= do not go together. Give one of them.", [1.0] * 5, None,
         weights="w", frequencies="w"),
    _row("weights: a column that is not there", "There is no column 'v' in <data>.", [1.0] * 5, weights="v"),
    _row("weights: arithmetic", "The weights are more than the name of one column. Arithmetic goes into I(...): I(1 / w); a name "
         "with spaces or signs goes into backticks.", [1.0] * 5, FormulaError, weights="1 / w"),
    Row(name="weights: an array beside a formula", data={"y": [1.0, 3, 2, 5], "x": [1.0, 2, 3, 4]},
        options={"weights": np.ones(4)}, says="is not a column. Give its name, or an expression in a call",
        python_only=NO_OBJECTS),
]  # fmt: skip
