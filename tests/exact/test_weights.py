"""Weights and frequencies: weighted rows are those of statsmodels and R, and frequencies are repeated rows."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf

import squarely as sq
from squarely.errors import DataError, FormulaError, OptionError
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
    assert_close(fit.wresid, peer.wresid, rtol=1e-8, atol=1e-7)
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


def test_weights_have_a_name_with_spaces(tmp_path):
    data = rows().rename(columns={"w": "a b"})
    fit = sq.ols("y ~ x", data, weights="`a b`")
    fit.save(tmp_path / "fit.json")
    assert sq.load(tmp_path / "fit.json").llf == fit.llf == sq.ols("y ~ x", rows(), weights="w").llf


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 / w", r"The weights are more than .* I\(1 / w\); a name with spaces"),
        ("'w'", "'w' is used as the name of the weights. Write the name without quotes. An expression is in a call"),
        ("C(g)", "The weights must be one column of numbers"),
        ("nothing", "'nothing'"),
    ],
)
def test_weights_that_are_no_column(text, message):
    with pytest.raises((FormulaError, DataError), match=message):
        sq.ols("y ~ x", rows(), weights=text)


@pytest.mark.parametrize("kind", [np.asarray, pd.Series, list, lambda w: np.asarray(w)[:, None], lambda w: pd.DataFrame({"w": w})])
def test_weights_beside_arrays_are_an_array(kind, tmp_path):
    data = rows()
    X, y, w = data[["x"]].to_numpy(), data["y"].to_numpy(), data["w"].to_numpy(copy=True)
    w[:3], w[3] = 0.0, np.nan
    fit, named = sq.ols(X=X, y=y, weights=kind(w)), sq.ols("y ~ x", data.assign(w=w), weights="w")
    assert (fit.params == named.params.to_numpy()).all()
    assert (fit.rows.weightless, fit.nobs, fit.as_dict()["weights"]) == (3, len(data) - 4, "weights")
    run = sq.train(X=X, y=y, weights=kind(w), engine="closed_form", epochs=2000)
    assert sq.certify(fit, run).verdict == "agree"
    counts = sq.ols(X=X, y=y, frequencies=data["k"].to_numpy())
    assert counts.bse.tolist() == sq.ols("y ~ x", data, frequencies="k").bse.tolist()
    fit.save(tmp_path / "fit.json")
    assert sq.load(tmp_path / "fit.json").llf == fit.llf


def test_a_column_of_x_has_the_name_of_the_weights():
    X = rows()[["x", "w"]].rename(columns={"w": "weights"})
    fit = sq.ols(X=X, y=rows()["y"], weights=rows()["w"])
    assert fit.as_dict()["weights"] == "weights_"
    assert_close(fit.params, sq.ols("y ~ x + w", rows(), weights="w").params, rtol=1e-12)


def test_weights_of_another_length():
    with pytest.raises(DataError, match=r"X and y have 60 rows, and weights has 2 values. Give one value for each row"):
        sq.ols(X=rows()[["x"]], y=rows()["y"], weights=[1.0, 2.0])


def test_validation_arrays_have_weights():
    X, y, w, options = rows()[["x"]].to_numpy(), rows()["y"].to_numpy(), rows()["w"].to_numpy(), {"epochs": 3, "dtype": "float64"}
    run = sq.train(X=X[:40], y=y[:40], weights=w[:40], validation=(X[40:], y[40:], w[40:]), **options)
    named = sq.train("y ~ x", rows()[:40], weights="w", validation=rows()[40:], **options)
    assert run.result.history.columns["val_loss"] == named.result.history.columns["val_loss"]
    with pytest.raises(DataError, match=r"validation= is a tuple of 2 parts. Give \(X, y, weights\)"):
        sq.train(X=X, y=y, weights=w, validation=(X, y), **options)
    with pytest.raises(DataError, match=r"rows of validation= cannot be used.*'w'"):
        sq.train("y ~ x", rows()[:40], weights="w", validation=rows()[40:][["x", "y"]], **options)


@pytest.mark.parametrize("value", [np.ones(5), [1, 2], 3, "", True])
def test_weights_are_columns(value):
    with pytest.raises(OptionError, match="is not a column"):
        sq.ols("y ~ x", {"x": [0.0, 1, 2, 3, 4], "y": [1.0, 3, 4, 6, 9]}, weights=value)


def test_weights_or_frequencies():
    with pytest.raises(OptionError, match="do not go together"):
        sq.ols("y ~ x", rows(), weights="w", frequencies="k")


@pytest.mark.parametrize("option", [{"weights": "w"}, {"frequencies": "k"}], ids=str)
@pytest.mark.parametrize("formula", ["y ~ x + g", "y ~ x - 1", "y ~ x + I(2 * x)"])
def test_merged_fits_are_those_of_all_rows(formula, option, tmp_path):
    data = rows(n=200).assign(w=lambda d: d["w"] * 1e3)
    parts = [sq.ols(formula, data[a:b], **option) for a, b in ((0, 60), (60, 130), (130, 200))]
    merged = sq.merge(parts)
    for fit, here in ((merged, data), (merged.remove(parts[0]), data[60:])):
        expected = sq.ols(formula, here, **option)
        assert_close(fit.params, expected.params, rtol=1e-11)
        assert_close(fit.bse, expected.bse, rtol=1e-10)
        for name in ("nobs", "llf", "aic", "rsquared", "fvalue", "centered_tss", "uncentered_tss", "ssr", "mse_resid"):
            assert_close(getattr(fit, name), getattr(expected, name), rtol=1e-10)
    merged.save(tmp_path / "fit.json")
    assert repr(sq.load(tmp_path / "fit.json").as_dict()) == repr(merged.as_dict())


def test_fits_of_other_weights_are_not_merged():
    fit = sq.ols("y ~ x", rows(), weights="w")
    for other, text in (({"weights": "k"}, "weights='k'"), ({"frequencies": "k"}, "frequencies='k'"), ({}, "no weights")):
        with pytest.raises(DataError, match=rf"weights='w' in the first, {text} in fit 2. Fit them with the same weights"):
            sq.merge([fit, sq.ols("y ~ x", rows(seed=1), **other)], duplicates="keep")
    with pytest.raises(DataError, match="seem to be fits of the same rows"):
        sq.merge([fit, fit])
