"""Tables of fits that cannot be made."""

from typing import Any

from tests.support.bad_row import TABLE, Row

_SAVED = "squarely table takes saved fits; tests/cli has its mistakes"


def _table(name: str, says: str, **options: Any) -> Row:
    return Row(name=name, data=TABLE, formula="y ~ x + origin", call="table", options=options, says=says, python_only=_SAVED)


TABLES = [
    _table("a table in an unknown order", "order= has 'X', which is neither a coefficient nor a term here. Did you mean 'x'?",
           order=["X"]),
    _table("a table that hides an unknown coefficient", "hide= has 'orgin', which is neither a coefficient nor a term here. "
           "Did you mean 'origin'?", hide=["orgin"]),
    _table("a number for a list of names", "hide=3 is not a list of names. Give one, such as hide=['weight', 'C(origin)'].",
           hide=3),
    _table("a table of an unknown statistic", "rows= has 'rsquard', which is not a statistic for a table. Did you mean 'rsquared'?",
           rows=["nobs", "rsquard"]),
    _table("a header too many", "names= has 2 names for 1 column. Give one name for each fit.", names=["small", "large"]),
    _table("a label of an unknown name", "labels= has 'w', which is not a name in this table.", labels={"w": "Weight"}),
    _table("a list of labels", "labels=['Weight'] is not a dict of texts.", labels=["Weight"]),
    _table("an unknown word below coefficients", "below='sd' is not understood. Use 'se', 't', 'p' or 'ci'.", below="sd"),
    _table("a number of stars", "stars=3 is neither a boolean nor a list of levels, such as stars=[0.05, 0.01, 0.001].", stars=3),
    _table("levels of stars in percent", "stars=[5, 1] is neither a boolean nor a list of levels", stars=[5, 1]),
]  # fmt: skip
