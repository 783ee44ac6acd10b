"""Diagnostics that cannot be computed."""

from typing import Any

from squarely.errors import DataError
from tests.support.bad_row import Row

_ROWS = {
    "x": [1.0, 2, 3, 5, 8, 9, 7, 4],
    "t": [8.0, 7, 6, 5, 4, 3, 2, 1],
    "gaps": [1.0, 2, None, 4, 5, 6, 7, 8],
    "g": list("pqpqpqqp"),
    "k": [1, 2, 1, 1, 1, 2, 1, 1],
    "y": [1.0, 3, 2, 5, 9, 7, 6, 4],
}
_ONE_TEST = "the command line runs all tests at once"


def _row(method: str, name: str, says: str, formula: str = "y ~ x", raises: Any = None, **options: Any) -> Row:
    python_only = "" if method == "diagnostics" else _ONE_TEST
    return Row(
        name=name,
        data=_ROWS,
        formula=formula,
        call="diagnose",
        says=says,
        raises=raises,
        python_only=python_only,
        options=options if method == "diagnostics" else {"method": method, **options},
    )


DIAGNOSTICS = [
    _row("diagnostics", "an order that is not there",
         "There is no column 'time' in <data>.", raises=DataError, order_by="time"),
    _row("diagnostics", "an order of text", "Column 'g' of <data> holds text, not a number", raises=DataError, order_by="g"),
    _row("diagnostics", "an order with gaps", "'gaps' of <data> is missing in 1 row of the 8 that the fit used. Leave such rows",
         raises=DataError, order_by="gaps"),
    _row("diagnostics", "an order and frequencies", "needs rows in an order, and the copies of a row that",
         frequencies="k", order_by="t"),
    _row("het_goldfeldquandt", "an array as an order", "order_by=[1, 2] is not the name of a column. Name one", order_by=[1, 2]),
    _row("het_goldfeldquandt", "statsmodels' other word",
         "alternative='greater' is not understood. Use 'increasing', 'decreasing' or",
         alternative="greater"),
    _row("het_goldfeldquandt", "a percentage", "drop=-20 is not a fraction of the rows. Give a number between 0 and 1.", drop=-20),
    _row("het_goldfeldquandt", "too few rows in a half",
         "Goldfeld-Quandt fits 2 rows separately, which leaves nothing for",
         raises=DataError, drop=0.5),
    _row("het_goldfeldquandt", "a half without rows", "Goldfeld-Quandt would compare 0 of 8 rows. Give other fractions.",
         raises=DataError, drop=0.99),
    _row("acorr_breusch_godfrey", "no lags",
         "nlags=0 is not a whole number above 0. Leave it out for min(10, n // 5).", nlags=0),
    _row("acorr_breusch_godfrey", "half a lag", "nlags=1.5 is not a whole number above 0.", nlags=1.5),
    _row("acorr_breusch_godfrey", "more lags than rows", "6 lags need more than 8 rows here. Give fewer lags by nlags=,",
         raises=DataError, nlags=6),
    _row("acorr_ljungbox", "lags as text", "lags='12' is not a whole number above 0.", lags="12"),
    _row("het_arch", "an ARCH test of few rows",
         "4 lags need more than 8 rows here. Give fewer lags by nlags=,", raises=DataError, nlags=4),
    _row("durbin_watson_test", "a direction of R", "alternative='two.sided' is not understood. Use 'greater', 'less' or",
         alternative="two.sided"),
    _row("durbin_watson_test", "one degree of freedom", "Durbin-Watson needs at least two rows more than the fit has coefficients.",
         "y ~ poly(x, 6)", raises=DataError),
    _row("linear_reset", "a power of one",
         "power=1 is not a power. Give a whole number from 2 to 9, or a list such as [2, 3].", power=1),
    _row("linear_reset", "a list with a fraction", "power=[2, 2.5] is not a power.", power=[2, 2.5]),
    _row("linear_reset", "R's word for columns", "test_type='regressor' is not understood. Use 'fitted' or 'exog'.",
         test_type="regressor"),
    _row("linear_reset", "powers of categories", "The fit has no columns of numbers, so test_type='exog' adds nothing.", "y ~ g",
         raises=DataError, test_type="exog"),
    _row("linear_reset", "powers of two fitted values",
         "The columns that RESET adds do not vary, or depend on those of the fit", "y ~ g",
         raises=DataError),
    _row("linear_rainbow", "a share of one", "frac=1 is not a fraction of the rows. Give a number between 0 and 1.", frac=1),
    _row("linear_rainbow", "two orders",
         "use_distance=True and order_by='t' do not go together.", use_distance=True, order_by="t"),
    _row("het_white", "a model of a constant", "The fit has no columns beside the constant, so White has nothing to test against.",
         "y ~ 1", raises=DataError),
    _row("het_breuschpagan", "an unknown regression", "against='x' is not understood. Use 'columns' or 'fitted'.", against="x"),
    _row("vif", "a constant alone", "The fit has no columns beside the constant, so nothing inflates a variance.", "y ~ 1",
         raises=DataError),
]  # fmt: skip
