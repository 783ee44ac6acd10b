"""Answers for `certify` that cannot be compared."""

from typing import Any

from squarely.errors import DataError, OptionError
from tests.support.bad_row import TABLE, Row

_OBJECTS = "the command line has files, which tests/exact/test_answer_kinds.py has"


def _answer(name: str, says: str, params: Any, *, on_cli: bool = False, **more: Any) -> Row:
    fields = {key: more.pop(key) for key in ("raises", "formula") if key in more}
    fields |= {"name": name, "data": TABLE, "call": "certify", "says": says, "python_only": "" if on_cli else _OBJECTS}
    return Row(**({"formula": "y ~ x + z"} | fields), options={"params": params, **more})


ANSWERS = [
    _answer("an answer without a coefficient", "has no coefficient of 'z', which the formula has", {"Intercept": 1.0, "x": 2.0}),
    _answer("an answer with a coefficient too many", "Add it to the formula", {"Intercept": 1.0, "x": 2.0, "z": 0.0, "w": 0.0}),
    _answer("a name that is misspelt", "Did you mean 'z'?", {"Intercept": 1.0, "x": 2.0, "Z": 0.0}),
    _answer("an answer of numbers that are too few", "has 1 coefficient, and the formula has 3", [1.0]),
    _answer("a coefficient that is not finite", "which is not a finite number", {"Intercept": 1.0, "x": float("nan"), "z": 0.0}),
    _answer("a complex coefficient", "which is not a real number", {"Intercept": 1.0, "x": 2j, "z": 0.0}),
    _answer("a coefficient of text", "which is not a number. Give a number.", {"Intercept": 1.0, "x": "2.0", "z": 0.0}),
    _answer("an answer with no coefficients", "params= has no coefficients.", {}),
    _answer("a mapping inside of a mapping", "has another mapping under 'params'", {"params": {"x": 2.0}}),
    _answer("an answer of several responses", "the answer of several responses", [[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]]),
    _answer("an answer that is none", "params=None has no coefficients.", None),
    _answer("an answer that is a number", "is a float, which has no coefficients", 3.0),
    _answer("a file of an answer that is not there", "does not exist", "params.json", on_cli=True, raises=DataError),
    _answer("a pickle", "may hold code that runs when it is read, so it is not opened", "model.pkl", on_cli=True),
    _answer(
        "an option of training beside an answer",
        "lr=0.1 is an option of training",
        "params.json",
        on_cli=True,
        raises=OptionError,
        lr=0.1,
    ),
    _answer("a scaler of other columns", "scaler= is of 1 column", [1.0, 2.0, 3.0], scaler={"mean": [0.0], "scale": [1.0]}),
    _answer("a scaler without scales", "has no means and scales", [1.0, 2.0, 3.0], scaler={"mean": [0.0, 0.0]}),
    _answer("an answer for fixed effects", "has fixed effects after '|'", {"x": 1.0}, formula="y ~ x | origin"),
]
