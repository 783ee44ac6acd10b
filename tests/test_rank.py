"""Which columns are kept: dependencies at any number of rows and by every door, and near ones that are none."""

import numpy as np
import pytest

import squarely as sq
from squarely.errors import DataError
from tests.support import assert_close, need

pd = need("pandas")


def table(n, seed=0):
    """Make columns with dependencies of every kind: indicators, nested categories, sums, units and constants."""
    rng = np.random.default_rng(seed)
    month, kind = rng.integers(1, 13, n), rng.choice(4, n, p=[0.4, 0.3, 0.2, 0.1])
    kg, s1, s2 = rng.normal(20, 8, n).round(1), rng.normal(3, 1, n), rng.normal(size=n)
    d = {"month": month, "quarter": (month - 1) // 3 + 1, "kg": kg, "lb": kg * 2.20462, "s1": s1, "s2": s2, "total": s1 + s2}
    d |= {f"d{i}": (kind == i).astype(float) for i in range(4)} | {
        "w01": (month < 7).astype(float),
        "year": 1950.0 + kind * 7 + month,
    }
    d |= {"c": np.full(n, 14.62), "c2": np.full(n, 0.07), "tenth": 0.1 * s2, "k": kind, "y": rng.normal(size=n)}
    return pd.DataFrame(d)


DEPENDENT = {  # formula -> rank, and the columns of the data that span what the others do
    "d0 + d1 + d2 + d3": (4, ["d1", "d2", "d3"]),
    "C(month) + C(quarter)": (12, "month"),
    "C(quarter) + C(month)": (12, "month"),
    "s1 + s2 + total": (3, ["s1", "s2"]),
    "s1 + s2 + I(s1 + s2)": (3, ["s1", "s2"]),
    "kg + lb": (2, ["kg"]),
    "kg + I(kg * 2.20462)": (2, ["kg"]),
    "kg + I(1.8 * kg + 32)": (2, ["kg"]),
    "scale(kg) + kg": (2, ["kg"]),
    "center(kg) + kg": (2, ["kg"]),
    "I(kg / 10) + kg": (2, ["kg"]),
    "s2 + tenth": (2, ["s2"]),
    "year + I(year - 1999.5)": (2, ["year"]),
    "s1:s2 + I(0.1 * s1 * s2)": (2, None),
    "poly(kg, 2) + kg": (3, None),
    "C(month) * w01": (12, "month"),
    "C(k) * w01 + d1": (8, ["k", "w01"]),
    "s2 + I(c * 2)": (2, ["s2"]),
    "I(c + 1) + s2": (2, ["s2"]),
    "c:c2 + s2": (2, ["s2"]),
    "C(month) * I(c * 3)": (12, "month"),
    "poly(c, 2, raw=True) + s2": (2, ["s2"]),
}


def rsquared_of(d, columns):
    """R2 of numpy's least squares on columns that are known to be independent; of group means for a category."""
    y = d.y.to_numpy()
    if isinstance(columns, str) or "k" in columns:
        fitted = d.groupby(columns).y.transform("mean").to_numpy()
    else:
        X = np.column_stack([np.ones(len(d)), d[columns].to_numpy()])
        fitted = X @ np.linalg.lstsq(X, y, rcond=None)[0]
    return 1 - ((y - fitted) ** 2).sum() / ((y - y.mean()) ** 2).sum()


@pytest.mark.parametrize("n", [1_000, 100_000])
@pytest.mark.parametrize("formula", DEPENDENT)
def test_dependencies_are_found_at_any_number_of_rows(formula, n):
    rank, spanning = DEPENDENT[formula]
    d = table(n)
    fit = sq.ols(f"y ~ {formula}", d)
    assert (fit.rank, len(fit.dropped_columns)) == (rank, len(fit.params) - rank)
    assert fit.params.isna().sum() == len(fit.dropped_columns)
    assert fit.digits.min() > 10
    if spanning:
        assert_close(fit.rsquared, rsquared_of(d, spanning), rtol=1e-7)
    with pytest.raises(DataError, match="depend on each other"):
        sq.ols(f"y ~ {formula}", d, collinear="raise")


@pytest.mark.parametrize("formula", ["d0 + d1 + d2 + d3", "C(quarter) + C(month)", "s2 + tenth"])
def test_dependencies_are_found_in_a_million_rows(formula):
    rank, spanning = DEPENDENT[formula]
    d = table(1_000_000)
    fit = sq.ols(f"y ~ {formula}", d)
    assert fit.rank == rank
    assert_close(fit.rsquared, rsquared_of(d, spanning), rtol=1e-6)
