"""Weights and frequencies: weighted rows are those of statsmodels and R, and frequencies are repeated rows."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf

import squarely as sq
from squarely.errors import DataError, OptionError
from tests.support.checks import assert_close
from tests.support.inference_oracles import CASES, assert_values, fit_of, number_of, table

FORMULA = "prestige ~ education + log(income) + C(type)"


def rows(n=60, seed=0):
    rng = np.random.default_rng(seed)
    x, g = rng.normal(size=n), rng.choice(["a", "b", "c"], size=n)
    return pd.DataFrame({"x": x, "g": g, "w": rng.uniform(0.1, 5, n), "k": rng.integers(0, 5, n), "y": 2 * x + rng.normal(size=n)})


@pytest.mark.parametrize("precision", ["double", "extended"])
@pytest.mark.parametrize("formula", [FORMULA, f"{FORMULA} - 1", "prestige ~ education + I(education**2) + I(education**3)"])
def test_weighted_least_squares_is_that_of_statsmodels(formula, precision):
    data = table("prestige").dropna()
    fit = sq.ols(formula, data, weights="census", precision=precision)
    peer = smf.wls(formula.replace("log", "np.log"), data, weights=data["census"]).fit()
    assert_close(fit.params, peer.params, rtol=1e-8)
    assert_close(fit.bse, peer.bse, rtol=1e-8)
    for name in ("rsquared", "rsquared_adj", "fvalue", "llf", "aic", "bic", "ssr", "centered_tss", "uncentered_tss", "mse_model"):
        assert_close(getattr(fit, name), getattr(peer, name), rtol=1e-8)
    assert_close(fit.resid, peer.resid, rtol=1e-8, atol=1e-9)
    assert_close(fit.predict(data), peer.predict(data), rtol=1e-9)
    assert (fit.summary().title, fit.as_dict()["model"]) == ("WLS Regression Results", "WLS")


def test_equal_weights_are_none():
    data = rows()
    for weight in (1.0, 0.37, 1e6):
        fit, plain = sq.ols("y ~ x + g", data.assign(w=weight), weights="w"), sq.ols("y ~ x + g", data)
        assert_close(fit.params, plain.params, rtol=1e-13)
        assert_close(fit.bse, plain.bse, rtol=1e-12)
        assert_close(fit.vcov("HC3").bse, plain.vcov("HC3").bse, rtol=1e-12)


@pytest.mark.parametrize("vcov", ["nonrobust", "HC0", "HC1", "HC2", "HC3", "HC4"])
def test_frequencies_are_repeated_rows(vcov):
    data = rows()
    fit = sq.ols("y ~ x * g", data, frequencies="k", vcov=vcov)
    repeated = sq.ols("y ~ x * g", data.loc[data.index.repeat(data["k"])], vcov=vcov)
    for name in ("params", "bse", "pvalues"):
        assert_close(getattr(fit, name), getattr(repeated, name), rtol=1e-10)
    for name in ("nobs", "df_resid", "rsquared", "llf", "bic", "fvalue"):
        assert_close(getattr(fit, name), getattr(repeated, name), rtol=1e-10)
    assert_close(fit.normality.omnibus, repeated.normality.omnibus, rtol=1e-9)
    assert np.isnan(fit.durbin_watson)  # equal rows have no order
    assert fit.rows.weightless == (data["k"] == 0).sum()


def test_frequencies_of_r():
    case = CASES["freq.salaries"]
    plain = fit_of({**case, "options": "frequencies='k'"})
    numbers = {key: number_of(plain, key, case["statistic"]) for key in case["values"] if not key.startswith("HC")}
    robust = {key: plain.vcov(key.split(" ")[0]).bse[key.split(" ", 1)[1]] for key in case["values"] if key.startswith("HC")}
    assert_values(case, numbers | robust)


@pytest.mark.parametrize("option", [{"weights": "w"}, {"frequencies": "k"}, {"weights": "I(1 / w)"}])
def test_saved_fits_keep_their_weights(tmp_path, option):
    fit = sq.ols("y ~ x + g", rows(), **option)
    fit.save(tmp_path / "fit.json")
    loaded = sq.load(tmp_path / "fit.json")
    assert repr(loaded.as_dict()) == repr(fit.as_dict())
    assert (loaded.predict(rows()) == fit.predict(rows())).all()


def test_rows_without_weight_are_counted():
    data = rows()
    data.loc[:4, "w"], data.loc[5:7, "w"] = 0.0, np.nan
    fit = sq.ols("y ~ x", data, weights="w")
    assert (fit.nobs, fit.rows.weightless, sum(fit.rows.dropped["w"].values())) == (52, 5, 3)
    assert "5 rows of weight zero left out, as in R." in " ".join(fit.rows.lines())


@pytest.mark.parametrize(
    ("option", "values", "message"),
    [
        ("weights", [1, -2, 1, 1, 1], r"weights='w' is -2 in data row 2.*at least 0"),
        ("weights", [1, 1, np.inf, 1, 1], r"weights='w' is infinite in 1 row"),
        ("frequencies", [1, 1, 1.5, 1, 1], r"frequencies='w' is 1.5 in data row 3.*whole numbers"),
        ("weights", ["a", "b", "c", "d", "e"], r"'w'.*text"),
        ("weights", [0, 0, 0, 0, 0], r"None of the 5 rows"),
    ],
)
def test_wrong_weights_are_refused(option, values, message):
    data = {"x": [0.0, 1, 2, 3, 4], "y": [1.0, 3, 4, 6, 9], "w": values}
    with pytest.raises(DataError, match=message):
        sq.ols("y ~ x", data, **{option: "w"})


@pytest.mark.parametrize("value", [np.ones(5), [1, 2], 3, "", True])
def test_weights_are_columns(value):
    with pytest.raises(OptionError, match="is not a column"):
        sq.ols("y ~ x", {"x": [0.0, 1, 2, 3, 4], "y": [1.0, 3, 4, 6, 9]}, weights=value)


def test_weights_or_frequencies():
    with pytest.raises(OptionError, match="do not go together"):
        sq.ols("y ~ x", rows(), weights="w", frequencies="k")
