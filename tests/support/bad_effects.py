"""Effects and average predictions that cannot be estimated."""

from typing import Any

from squarely.errors import DataError
from tests.support.bad_row import NO_OBJECTS, TABLE, Row

_AT = "Write at='mean', or at={'x': [1, 2], 'g': 'a'}."
_MANY = {"x": [1.0, 2, 3, 5, 7, 8] * 7, "b": [i / 8 for i in range(42)], "y": [float(i % 5) for i in range(42)]}


def _effects(name: str, says: str, variable: Any = "x", formula: str = "y ~ log(x) + z + origin", **more: Any) -> Row:
    options = {"variable": variable, **more.pop("options", {})}
    return Row(**{"name": name, "data": TABLE, "formula": formula, "call": "effects", "options": options, "says": says, **more})


def _margins(name: str, says: str, formula: str = "y ~ log(x) + z + origin", **more: Any) -> Row:
    return Row(**{"name": name, "data": TABLE, "formula": formula, "call": "margins", "says": says, **more})


EFFECTS = [
    _effects("a column that the formula lacks", "The formula 'y ~ x' has no column 'z'. Known names: 'x'.", "z", "y ~ x",
             raises=DataError),
    _effects("a misspelled column", "has no column 'orign'. Did you mean 'origin'?", "orign", raises=DataError),
    _effects("the effect of the response", "'y' is the response, and effects are of the predictors: 'x', 'z', 'origin'.", "y",
             raises=DataError),
    _effects("the effect of an expression", "'log(x)' is an expression, and effects are of a column of the data. Write 'x': its",
             "log(x)", raises=DataError),
    _effects("the effect of a number and category", "'x' is in the formula as a number and as a category, so neither", "x",
             "y ~ x + C(x) - 1", data={**TABLE, "x": [1.0, 1, 2, 2, 3, 3]}, raises=DataError),
    _effects("a slope without predictors", "The formula 'y ~ 1' has no predictor, so there is no effect.", None, "y ~ 1",
             raises=DataError, python_only="without a name, the command line gives all effects"),
    _effects("abs at 0", "abs(x - 3) has no slope where the argument of abs is 0, and some rows are there. Set 'x' in at=", "x",
             "y ~ abs(x - 3)", raises=DataError),
    _effects("a root at 0", "sqrt(x - 1) has no slope where the argument of sqrt is 0,", "x", "y ~ sqrt(x - 1)", raises=DataError),
    _effects("a power at 0", "I((x - 1) ** 0.5) has no slope where the argument of a power is 0,", "x", "y ~ I((x - 1) ** 0.5)",
             raises=DataError),
    _effects("a step function", "bs(x, df=2, degree=0) is a step function, so it has no slope there.", "x",
             "y ~ bs(x, df=2, degree=0)", raises=DataError),
    _effects("a spline at an angle", "bs(x, knots=[3], degree=1) has an angle at its knot 3, so it has no slope there.", "x",
             "y ~ bs(x, knots=[3], degree=1)", raises=DataError),
    _effects("a category that at= sets", "'origin' is a category, whose levels are compared, so at= and by= cannot set it.",
             "origin", options={"at": {"origin": "usa"}}),
    _effects("an elasticity of a category", "slope='eyex' is for numbers, and 'origin' is a category. Leave slope= out, or name",
             "origin", options={"slope": "eyex"}),
    _effects("an unknown slope", "slope='ex' is not understood. Use 'dydx', 'eyex', 'eydx' or 'dyex'.", options={"slope": "ex"}),
    _effects("a number for a column", "variable=3 is not the name of a column. Write one, such as 'x'.", 3, python_only=NO_OBJECTS),
    _effects("limits at the level of 5 %", "alpha=0.95 would give limits at the level of 5 %. For 95 % limits write alpha=0.05.",
             options={"alpha": 0.95}, python_only="the command line prints limits at 95 %"),
    _margins("average predictions beside absorbed effects", "margins() gives average predictions, which have no standard errors",
             "y ~ x | origin"),
    _margins("at= of a column that the formula lacks", "The formula 'y ~ x' has no column 'z'. Known names: 'x'.", "y ~ x",
             options={"at": {"z": 1}}, raises=DataError),
    _margins("at= of an unknown level", "at= sets 'origin' to 'moon', which is not a level of the fit. Known names: 'europe',",
             options={"at": {"origin": "moon"}}, raises=DataError),
    _margins("at= of text for a number", f"at= sets 'x' to 'many', and 'x' holds finite numbers. {_AT}",
             options={"at": {"x": "many"}}),
    _margins("at= of NaN", "at= sets 'x' to nan, and 'x' holds finite numbers.", options={"at": {"x": float("nan")}}),
    _margins("at= where a function has no value", "log(x) has no value with at={'x': -1.0}. Give other values.",
             options={"at": {"x": -1}}, raises=DataError),
    _margins("at= beyond a spline", "bs(x, df=3) was fitted between 1 and 8 and is not defined at 30.", "y ~ bs(x, df=3)",
             options={"at": {"x": 30}}, raises=DataError),
    _margins("at= without values", "at= has no value for 'x'.", options={"at": {"x": []}}, python_only=NO_OBJECTS),
    _margins("at= of a word", f"at='means' is neither 'mean' nor a mapping of columns to values. {_AT}", options={"at": "means"},
             cli_says="--at 'means' does not set a column. Write it as column=value, such as weight=2000,3000, or mean."),
    _margins("too many points", "at= and by= make 10,201 points, and at most 10,000 are estimated. Give fewer values.",
             options={"at": {"x": [i + 1 for i in range(101)], "z": [*range(101)]}}),
    _margins("a column in at= and by=", "'origin' is both in at= and in by=. Leave one of them out.",
             options={"at": {"origin": "usa"}, "by": "origin"}),
    _margins("by= of a column that does not exist", "There is no column 'area' in <data>.", options={"by": "area"},
             raises=DataError),
    _margins("by= of a number with many values", "by='b' has too many different values for groups of rows. Name a column with",
             "y ~ x", data=_MANY, options={"by": "b"}, raises=DataError),
    _margins("by= of a number at means", "by='z' with at='mean' is not a category of the formula, so it has no levels to set.",
             options={"at": "mean", "by": "z"}),
    _margins("by= of a column with gaps", "'area' of <data> is missing in 1 row of the 6 that the fit used, so they are in no",
             data={**TABLE, "area": ["n", "s", None, "n", "s", "n"]}, options={"by": "area"}, raises=DataError),
    _margins("by= of a column called estimate", "The column 'estimate' of at= or by= has the name of another column of the result.",
             data={**TABLE, "estimate": ["n", "s", "n", "n", "s", "n"]}, options={"by": "estimate"}, raises=DataError),
    _margins("by= of a number", "by=3 is not the name of a column. Write by='g', or by=['g', 'h'] for several.",
             options={"by": 3}, python_only=NO_OBJECTS),
]  # fmt: skip
