"""Every option of training with values of wrong types and sizes: an error that names the option, or a result."""

import inspect
import re

import numpy as np
import pytest

import squarely as sq
from squarely.errors import InputError
from tests.support.checks import need

X = np.linspace(0.0, 1.0, 12)
DATA = {"x": X, "z": np.cos(5 * X), "y": 1 + X + np.sin(9 * X) / 5}
VALUES = {
    "None": None, "True": True, "False": False, "text": "abc", "no text": "", "bytes": b"abc", "a list": [1, 2], "no list": [],
    "a dict": {"a": 1}, "no dict": {}, "NaN": float("nan"), "infinity": float("inf"), "huge": 1e308, "tiny": 1e-320,
    "a long integer": 10**400, "negative": -1, "zero": 0, "a fraction": 0.5, "an integer of NumPy": np.int64(3),
    "a float of NumPy": np.float32(0.5), "a text of NumPy": np.str_("abc"), "an empty array": np.array([]),
    "an array": np.array([0.5, 0.25]), "an object": object(), "a class": int, "a function": len, "complex": 1j,
}  # fmt: skip
INPUTS = {"formula", "data", "X", "y", "loader", "model", "checkpoint"}  # which have tests of their own


ONE_RUN = {"gradient", "stream", "resume", "checkpoint_every"}  # options of train that sweep does not have


def names(function):
    parameters = inspect.signature(function).parameters.values()
    found = [each.name for each in parameters if each.name not in INPUTS and each.kind is not each.VAR_KEYWORD]
    return found + (sorted(set(names(sq.train)) - {*found} - ONE_RUN) if function is sq.sweep else [])


def require_answer(call, name, value):
    """Call; an error is one of squarely's, is short and names the option."""
    try:
        result = call()
    except InputError as error:
        message = str(error)
        assert re.search(rf"(?<![\w.]){name}\b", message) or (name == "where" and "^" in message), (
            message
        )  # a caret shows the place
        assert len(message) < 400
        return None
    return result


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::RuntimeWarning")
@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("call", ["ols", "train", "sweep"])
def test_a_wrong_value_ends_in_an_error_that_names_the_option(call, value):
    if call != "ols":
        need("torch")
    function = getattr(sq, call)
    options = names(function)
    few = {} if call == "ols" else {"epochs": 2}
    if value in ("a class", "a function"):  # which are callbacks, whose own errors a user must see
        options.remove("callbacks") if "callbacks" in options else None
    for name in options:
        require_answer(lambda name=name: function("y ~ x + z", DATA, **{**few, name: VALUES[value]}), name, value)


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::RuntimeWarning")
@pytest.mark.parametrize("value", VALUES)
def test_options_of_results(value, tmp_path):
    need("torch")
    fit, run = sq.ols("y ~ x + z", DATA), sq.train("y ~ x + z", DATA, epochs=2)
    require_answer(lambda: sq.certify(fit, run, tau=VALUES[value]), "tau", value)
    require_answer(lambda: fit.conf_int(VALUES[value]), "alpha", value)
    for name in ("unseen", "rank_deficient", "read"):
        require_answer(lambda name=name: fit.predict(DATA, **{name: VALUES[value]}), name, value)
        require_answer(lambda name=name: run.predict(DATA, **{name: VALUES[value]}), name, value)
    require_answer(lambda: fit.write_predictions(DATA, tmp_path / "p.csv", keep=VALUES[value]), "keep", value)
    other = sq.ols("y ~ x + z", {name: values[1:] for name, values in DATA.items()})
    require_answer(lambda: fit.merge(other, duplicates=VALUES[value]), "duplicates", value)
