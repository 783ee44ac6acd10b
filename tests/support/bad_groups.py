"""Groups, responses and windows that cannot be fitted."""

from typing import Any

from squarely.errors import DataError, FormulaError, OptionError, SquarelyError
from tests.support.bad_row import NO_OBJECTS, Row

_DATA = {
    "y": [1.0, 3, 2, 5, 4, 4, 7, 7, 7, 1],
    "x": [1.0, 2, 3, 4, 5, 1, 2, 3, 4, 5],
    "z": [0.5, 1.25, 2, 3, 1, 0, 0, 1, 2, 9],
    "g": ["a", "a", "a", "a", "a", "b", "c", "c", "c", "d"],
}
_IN_PYTHON = "on the command line a group without a fit is a line of the page"
_NO_COMMAND = "there is no command for windows"


def _row(name: str, says: str, raises: type[SquarelyError] = OptionError, formula: str = "y ~ x", **options: Any) -> Row:
    return Row(name=name, data=_DATA, formula=formula, options=options, says=says, raises=raises)


def _group(name: str, says: str, group: str) -> Row:
    options = {"by": "g", "group": group}
    return Row(name=name, data=_DATA, options=options, says=says, raises=DataError, python_only=_IN_PYTHON)


def _windows(name: str, says: str, call: str = "rolling", **options: Any) -> Row:
    return Row(name=name, data=_DATA, call=call, options=options, says=says, python_only=_NO_COMMAND)


GROUPS = [
    _group("a group of one row", "g = 'b' has no fit. There is 1 complete row for 2 coefficients.", "b"),
    _group("a response that is constant in a group", "g = 'c' has no fit. y is constant (7).", "c"),
    _row("by: a column that is not there", "by='group' is not a column. There is no column 'group' in <data>.", DataError,
         by="group"),
    _row("by: numbers with fractions", "Column 'z' has 0.5 among its labels, which is not a whole number", DataError, by="z"),
    _row("by: a column of the formula", "by='x' is also in the formula, where it has one value in each group. Leave it out of one.",
         by="x"),
    _row("by: a category of the formula", "by='g' is also in the formula", formula="y ~ x + C(g)", by="g"),
    _row("by: a column twice", "by=['g', 'g'] names a column twice. Name each once.", by=["g", "g"]),
    Row(name="by: a number", data=_DATA, options={"by": 3}, says="by=3 is not the name of a column. Give one, or a list of them",
        raises=OptionError, python_only=NO_OBJECTS),
    _row("by: beside clusters", "vcov='CR1' is not computed for all groups of by= at once. Use 'HC3'", by="g", cluster="z"),
    _row("by: beside aggregates", "by= reads the rows, and fold='aggregates' leaves them where they are.", by="g",
         fold="aggregates"),
    _row("by: several responses", "by='g' takes one response, and the formula has several.", formula="y + z ~ x", by="g"),
    _row("a response twice", "The response 'y' is on the left side twice. Name it once.", FormulaError, formula="y + y ~ x"),
    _row("a number among the responses", "1 is used as the name of the response.", FormulaError, formula="y + 1 ~ x"),
    _windows("a window shorter than the coefficients", "window=2 has 2 rows for 2 coefficients. Give at least 3.", window=2),
    _windows("a window longer than the data", "window=11 is longer than the 10 complete rows of <data>. Give at most 10.",
             window=11),
    _windows("a window of no rows", "window=0 is not a number of rows. Give a whole number of at least 1", window=0),
    _windows("a window of 2.5 rows", "window=2.5 is not a number of rows.", window=2.5),
    _windows("a window as text", "window='5' is not a number of rows.", window="5"),
    _windows("windows a step of zero apart", "step=0 is not a number of rows.", window=5, step=0),
    _windows("a growing window of too few rows", "min_rows=2 has 2 rows for 2 coefficients.", "expanding", min_rows=2),
    _windows("a growing window of more rows than there are", "min_rows=20 is more than the 10 complete rows of <data>.",
             "expanding", min_rows=20),
]  # fmt: skip
