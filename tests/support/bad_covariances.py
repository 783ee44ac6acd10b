"""Covariances that do not go together, and clusters that are none."""

from typing import Any

from squarely.errors import DataError, SquarelyError
from tests.support.bad_row import NO_OBJECTS, Row

_TABLE = {
    "y": [1.0, 3, 2, 5, 4, 6, 8, 7],
    "x": [1.0, 2, 3, 4, 5, 6, 7, 8],
    "z": [0.5, 1, 0, 1, 0.25, 0, 1, 2],
    "firm": ["a", "a", "b", "b", "c", "c", "d", "d"],
    "year": [2001, 2002] * 4,
    "one": ["same"] * 8,
}


def _row(name: str, says: str, raises: type[SquarelyError] | None = None, *, python_only: str = "", **options: Any) -> Row:
    return Row(name=name, data=_TABLE, options=options, says=says, raises=raises, python_only=python_only)


COVARIANCES = [
    _row("vcov: unknown", "vcov='HC7' is not a covariance. Did you mean", vcov="HC7"),
    _row("vcov: robust", "vcov='robust' is HC1 in Stata and HC3 in R's sandwich. Write 'HC1' or 'HC3'.", vcov="robust"),
    _row("vcov: clusters without a column", "vcov='CR2' needs clusters. Name their column, such as cluster='firm'.", vcov="CR2"),
    _row("vcov: HC and clusters", "vcov='HC3' and cluster='firm' do not go together.", vcov="HC3", cluster="firm"),
    _row("vcov: HC and lags", "lags=4 is for vcov='HAC' and vcov='DK', and vcov is 'HC3'.", vcov="HC3", lags=4),
    _row("cluster: not there", "There is no column 'frim' in <data>. Did you mean 'firm'?", DataError, cluster="frim"),
    _row("cluster: one value", "'one' of <data> has one value in all rows of the fit, and clusters need at least two.", DataError,
         cluster="one"),
    _row("cluster: measurements", "Column 'z' has 0.5 among its labels, which is not a whole number", DataError, cluster="z"),
    _row("cluster: an array", "cluster=[1, 1, 2, 2] is not the name of a column. Give names,", cluster=[1, 1, 2, 2],
         python_only=NO_OBJECTS),
    _row("cluster: three columns", "has 3 columns. Clusters are one-way or two-way", cluster=["firm", "year", "one"]),
    _row("cluster: a column twice", "cluster=['firm', 'firm'] names a column twice.", cluster=["firm", "firm"]),
    _row("cluster: CR2 of two columns", "vcov='CR2' is defined for one column of clusters, not two.", vcov="CR2",
         cluster=["firm", "year"]),
    _row("correction: min for one column", "correction='min' is for vcov='CR1' with clusters", cluster="firm", correction="min"),
    _row("correction: none for CR3", "correction='none' is for CR1, HAC and DK, and vcov is 'CR3'.", vcov="CR3", cluster="firm",
         correction="none"),
]  # fmt: skip
