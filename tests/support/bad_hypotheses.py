"""Hypotheses and analyses of variance that cannot be tested."""

from typing import Any

from squarely.errors import DataError, OptionError
from tests.support.bad_row import NO_OBJECTS, TABLE, Row

_CELLS = {
    "a": ["p", "p", "q", "q", "q", "p", "q"],
    "b": ["u", "u", "u", "v", "v", "u", "v"],
    "x": [1.0, 2, 3, 5, 7, 8, 4],
    "y": [1.0, 3, 2, 5, 4, 6, 9],
}
_GAPS = {**_CELLS, "z": [1.0, float("nan"), 2, 2, 1, 4, 3]}


def _test(name: str, test: Any, says: str, formula: str = "y ~ x + z", **more: Any) -> Row:
    options = {"test": test, **more.pop("options", {})}
    return Row(**{"name": name, "data": TABLE, "formula": formula, "options": options, "says": says, **more})


def _anova(name: str, says: str, formula: str = "y ~ a * b", raises: Any = OptionError, **more: Any) -> Row:
    return Row(**{"name": name, "data": _CELLS, "formula": formula, "call": "anova", "says": says, "raises": raises, **more})


HYPOTHESES = [
    _test("nothing", "", "The hypothesis is empty. Write constraints such as 'x = 0, z = 1'."),
    _test("an unknown name", "weight = 0", "The fit has no coefficient 'weight'."),
    _test("a misspelled name", "intercept = 0", "Did you mean 'Intercept'?\n    intercept = 0\n    ^^^^^^^^^"),
    _test("a category", "origin", "origin is a category, and its levels have coefficients.", "y ~ origin"),
    _test("an unknown level", "origin[moon] = 0", "origin has no level 'moon'.", "y ~ origin"),
    _test("a level of a number", "x[usa] = 0", "x is a column of numbers in this fit, so it has no levels. Write C(x)"),
    _test("a product", "x * z = 1", "This is a product of coefficients, and a hypothesis is linear."),
    _test("a ratio", "x / z = 1", "This is a ratio, and a hypothesis is linear."),
    _test("a power", "x**2 = 1", "The sign '**' is not understood in a hypothesis."),
    _test("== for =", "x == 1", "An equality is written with one =."),
    _test("an inequality", "x > 0", "Tests here are two-sided: write =."),
    _test("numbers alone", "1 = 2", "This names no coefficient."),
    _test("an open bracket", "2 * (x - z = 0", "This bracket is opened and not closed."),
    _test("half a hypothesis", "x = 0, z =", "Something is missing at the end."),
    _test("two names without a sign", "x z", "There is no sign before this. Write +, -, *, = or a comma."),
    _test("a contradiction", "x = 1, x = 2", "The constraint 'x = 2' contradicts 'x = 1'. Leave one", raises=DataError),
    _test("a reference level alone", "origin[europe] = 0", "holds for any coefficients, so it tests nothing.", "y ~ origin",
          raises=DataError),
    _test("a dropped column", "I(2*x) = 0", "uses 'I(2 * x)', which the fit has dropped:", "y ~ x + I(2*x)",
          raises=DataError),
    _test("more constraints than clusters", "x = 0, z = 0", "and the CR1 covariance from 2 clusters has rank 1",
          raises=DataError, data={**TABLE, "firm": ["a", "b", "a", "b", "a", "b"]}, options={"cluster": "firm"}),
    _test("a number for a hypothesis", 3, "hypothesis=3 is not understood. Write constraints such as 'x = 0, z = 1'",
          raises=OptionError, python_only=NO_OBJECTS),
    _test("a matrix that is too narrow", [[1.0, 0.0]], "The matrix of the hypothesis has 2 columns, and the fit has 3",
          raises=OptionError, python_only=NO_OBJECTS),
    _anova("an unknown type", "typ=4 is not a type of analysis of variance. Use typ=1,", options={"typ": 4}),
    _anova("type 3 with an empty cell", "typ=3 compares the means of all cells, and no row has a = 'p' and b = 'v'. Use typ=2",
           raises=DataError, options={"typ": 3}),
    _anova("type 1 by a robust covariance", "typ=1 divides sums of squares, which the HC3 covariance does not have.", "y ~ a + x",
           options={"vcov": "HC3"}),
    _anova("fits of different rows", "The fits have different rows, 7 and 6, so they cannot be compared.", "y ~ x",
           raises=DataError, data=_GAPS, options={"against": "y ~ x + z"}, python_only=NO_OBJECTS),
    _anova("fits of one size", "have 2 columns each, so neither restricts the other.", "y ~ x",
           raises=DataError, options={"against": "y ~ a"}, python_only=NO_OBJECTS),
]  # fmt: skip
