"""`y1 + y2 ~ x`: each response is fitted to the rows that are complete in all, and one scan serves all."""

import numpy as np
import pandas as pd
import pytest

import squarely as sq
from squarely.data import listen
from squarely.errors import DataError, FormulaError, OptionError
from tests.support.checks import assert_close

FORMULA = "y + log(p) + `the third` ~ x * g + offset(o)"
RESPONSES = ["y", "log(p)", "the third"]


def rows(n=250):
    rng = np.random.default_rng(1)
    data = pd.DataFrame(rng.normal(size=(n, 5)), columns=["x", "o", "y", "the third", "u"])
    data = data.assign(p=rng.uniform(0.1, 9, n), g=rng.choice(["a", "b"], n), w=rng.uniform(1, 2, n), k=rng.integers(1, 3, n))
    data["the third"] += 1e6 + data["x"]
    data.loc[3, "p"], data.loc[7, "y"], data.loc[8, "x"], data.loc[9, "p"] = np.nan, np.nan, np.nan, 0.0
    return data


@pytest.mark.parametrize(
    "options", [{}, {"weights": "w"}, {"frequencies": "k"}, {"vcov": "HC3"}, {"cluster": "g"}, {"where": "u > -1"},
                {"precision": "double"}], ids=str,
)  # fmt: skip
def test_each_fit_is_that_of_its_response_on_the_common_rows(options):
    data = rows()
    complete = data.drop(index=[3, 7, 8, 9])
    fits = sq.ols(FORMULA, data, **options)
    assert list(fits) == RESPONSES
    for name, left in zip(RESPONSES, ["y", "log(p)", "`the third`"], strict=True):
        alone = sq.ols(f"{left} ~ x * g + offset(o)", complete, **options)
        for statistic in ("params", "bse", "pvalues", "rsquared", "llf", "fvalue", "durbin_watson"):
            assert_close(getattr(fits[name], statistic), getattr(alone, statistic), rtol=1e-12, atol=1e-12)
        assert_close(fits[name].resid, alone.resid, rtol=1e-8, atol=1e-9)
        assert fits[name].rows == fits["y"].rows
    frame = fits.frame().set_index(["response", "term"])
    assert_close(frame.loc["y", "std_err"], fits["y"].bse, rtol=0)
    assert_close(frame.loc["y", "p"], fits["y"].pvalues, rtol=1e-12)


def test_the_account_is_one():
    dropped = dict(sq.ols(FORMULA, rows()).rows.dropped)
    assert {name: sum(causes.values()) for name, causes in dropped.items()} == {"x": 1, "y": 1, "p": 1, "log(p)": 1}


def test_no_more_scans_than_for_one_response():
    counts = []
    for formula in (FORMULA, "y ~ x * g + offset(o)"):
        scans = []
        with listen(lambda scan, scans=scans: scans.append((scan.purpose, scan.number))):
            sq.ols(formula, pd.concat([rows()] * 40))
        counts.append(len(set(scans)))
    assert counts[0] == counts[1] > 0


def test_no_intercept_and_dependent_columns():
    data = rows().assign(twice=lambda d: 2 * d["x"])
    fits = sq.ols("y + u ~ C(g) - 1 + x + twice", data)
    complete = data.drop(index=[7, 8])
    for name in ("y", "u"):
        alone = sq.ols(f"{name} ~ C(g) - 1 + x + twice", complete)
        assert_close(fits[name].rsquared, alone.rsquared, rtol=1e-12)
        assert fits[name].dropped_columns == alone.dropped_columns == ("twice = 2 x",)


def test_files_and_the_dot(tmp_path):
    data = rows()[["y", "u", "x", "w"]]
    data.to_csv(tmp_path / "rows.csv", index=False)
    fits = sq.ols("y + u ~ .", tmp_path / "rows.csv")
    assert list(fits["u"].params.index) == ["Intercept", "x", "w"]
    assert_close(fits["u"].params, sq.ols("u ~ x + w", data.drop(index=[7, 8])).params, rtol=1e-12)


def test_a_saved_fit_of_one_response(tmp_path):
    fits = sq.ols("y + u ~ x", rows())
    fits["u"].save(tmp_path / "u.json")
    assert_close(sq.load(tmp_path / "u.json").params, fits["u"].params, rtol=1e-14)


def test_left_sides_that_are_refused():
    data = rows()
    with pytest.raises(FormulaError, match="'y' is on the left side twice"):
        sq.ols("y + y ~ x", data)
    with pytest.raises(FormulaError, match="'u' is on both sides"):
        sq.ols("y + u ~ u", data)
    with pytest.raises(FormulaError, match="The left side is more than the name of one column"):
        sq.ols("y + 2 * u ~ x", data)
    with pytest.raises(FormulaError, match="The left side is more than the name of one column"):
        sq.train("y + u ~ x", data)
    with pytest.raises(DataError, match="There is no column 'q'"):
        sq.ols("y + q ~ x", data)
    with pytest.raises(OptionError, match="by='g' takes one response"):
        sq.ols("y + u ~ x", data, by="g")
    with pytest.raises(DataError, match="missing='raise'"):
        sq.ols("y + u ~ x", data, missing="raise")
