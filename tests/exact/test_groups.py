"""`ols(by=)`: the fits of groups are those of their rows alone, and a group without a fit says why."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from hypothesis import given
from hypothesis import strategies as st

import squarely as sq
from squarely.errors import DataError, OptionError
from tests.support.checks import assert_close

FORMULA = "y ~ x + np.log(z)"


def rows(n=300, seed=0):
    rng = np.random.default_rng(seed)
    data = pd.DataFrame(
        {
            "g": rng.choice(["äb", "c d", "it's"], n),
            "k": rng.choice([7, -1, 12], n),
            "flag": rng.random(n) < 0.5,
            "x": rng.normal(50, 3, n),
            "z": rng.uniform(1, 9, n),
            "w": rng.uniform(0.5, 3, n),
            "f": rng.integers(1, 4, n),
        }
    )
    return data.assign(y=1e3 + data["x"] * data["k"] - data["z"] + rng.normal(size=n) * data["z"])


def of_group(frame, **key):
    name, value = next(iter(key.items()))
    return frame[frame[name] == value].set_index("term")


@pytest.mark.parametrize("by", ["g", "k", "flag"])
@pytest.mark.parametrize("vcov", ["nonrobust", "HC0", "HC1", "HC2", "HC3"])
def test_frame_is_a_loop_of_statsmodels(by, vcov):
    data = rows()
    fits = sq.ols("y ~ x + log(z)", data, by=by, vcov=vcov)
    assert list(fits) == sorted(data[by].unique())
    for key, part in data.groupby(by):
        here = of_group(fits.frame(), **{by: key})
        there = smf.ols(FORMULA, part).fit(cov_type=vcov, use_t=True)
        assert_close(here["estimate"], there.params, rtol=1e-9)
        assert_close(here["std_err"], there.bse, rtol=1e-9)
        assert_close(here["t"], there.tvalues, rtol=1e-9)
        assert_close(here["p"], there.pvalues, rtol=1e-7, atol=1e-300)
        assert_close(here[["ci_lower", "ci_upper"]], there.conf_int(), rtol=1e-9)
        assert_close(here["rsquared"], there.rsquared, rtol=1e-12)
        assert (here["n"] == len(part)).all()


@pytest.mark.parametrize("options", [{"weights": "w"}, {"frequencies": "f"}])
@pytest.mark.parametrize("vcov", ["nonrobust", "HC3", "HC4"])
@pytest.mark.parametrize("formula", ["y ~ x + log(z)", "y ~ flag + x - 1", "y ~ x - 1"])
def test_weights_and_no_intercept_are_as_in_fits_of_the_rows_alone(options, vcov, formula):
    data = rows()
    fits = sq.ols(formula, data, by="k", vcov=vcov, **options)
    for key, part in data.groupby("k"):
        here, there = of_group(fits.frame(), k=key), sq.ols(formula, part, vcov=vcov, **options)
        assert_close(here["estimate"], there.params, rtol=1e-9)
        assert_close(here["std_err"], there.bse, rtol=1e-9)
        assert_close(here["rsquared"], there.rsquared, rtol=1e-9)
        assert_close(here["n"], there.nobs, rtol=0)


def test_a_fit_of_a_group_is_a_whole_fit():
    data = rows()
    data.loc[[3, 5], "x"] = np.nan
    fit = sq.ols("y ~ x + log(z)", data, by="g", vcov="HC3", where="z < 8")["it's"]
    alone = sq.ols("y ~ x + log(z)", data[data["g"] == "it's"], vcov="HC3", where="z < 8")
    assert_close(fit.params, alone.params, rtol=1e-12)
    assert_close(fit.bse, alone.bse, rtol=1e-10)
    assert fit.cov_type == "HC3"
    pd.testing.assert_series_equal(fit.resid, alone.resid, rtol=1e-8)
    assert_close(fit.vcov(cluster="k").bse, alone.vcov(cluster="k").bse, rtol=1e-10)
    assert_close(fit.predict(data.head(9)), alone.predict(data.head(9)), rtol=1e-10)


def odd_groups():
    rng = np.random.default_rng(3)
    data = pd.DataFrame({"g": np.repeat(list("abcdefgh"), 20), "x": rng.normal(size=160), "z": rng.normal(size=160)})
    data["c"] = np.tile(["u", "v", "w", "v"], 40)
    data["y"] = 1 + data["x"] + rng.normal(size=160)
    data.loc[data["g"] == "b", "y"] = 0.1
    data.loc[data["g"] == "c", "z"] = 3 * data["x"] - 1
    data.loc[data["g"] == "d", "x"] = 0.1
    data.loc[(data["g"] == "e") & (data["c"] == "w"), "c"] = "v"
    data.loc[(data["g"] == "f") & (data["c"] == "u"), "c"] = "v"
    return data[~(data["g"].isin(["g", "h"]) & (data.index % 20 >= np.where(data["g"] == "g", 1, 4)))]


def test_a_group_without_a_fit_has_a_row_with_its_reason():
    fits = sq.ols("y ~ x + z + C(c)", odd_groups(), by="g")
    assert fits.failed == {
        "b": "y is constant (0.1).",
        "g": "There is 1 complete row for 3 coefficients.",
        "h": "There are 4 complete rows for 5 coefficients.",
    }
    frame = fits.frame()
    assert frame.groupby("g").size().to_dict() == {**dict.fromkeys("acdef", 5), **dict.fromkeys("bgh", 1)}
    assert frame[frame["reason"] != ""][["term", "estimate", "rsquared"]].isna().all(axis=None)
    assert isinstance(fits["g"], DataError)
    assert str(fits["g"]) == "g = 'g' has no fit. There is 1 complete row for 3 coefficients."
    page = str(fits.summary())
    assert "There is 1 complete row for 3 coefficients." in page
    assert "Failed:                              3" in page


def test_columns_that_a_group_drops_are_listed_and_those_of_its_fit():
    fits = sq.ols("y ~ x + z + C(c)", odd_groups(), by="g")
    frame = fits.frame()
    dropped = frame.groupby("g")["dropped"].first().to_dict()
    assert dropped == {**dict.fromkeys("abgh", ""), "c": "z", "d": "x", "e": "C(c)[T.w]", "f": "C(c)[T.w]"}
    for key in "acdef":
        here, fit = of_group(frame, g=key), fits[key]
        assert_close(here["estimate"], fit.params, rtol=1e-12, atol=1e-14)
        assert_close(here["std_err"], fit.bse, rtol=1e-12)
        assert [name for name, value in fit.params.items() if np.isnan(value)] == [name for name in [dropped[key]] if name]
    reasons = sq.ols("y ~ x + z + C(c)", odd_groups(), by="g", collinear="raise").failed
    assert reasons["c"] == "The columns before z span it."


def test_a_leverage_of_one_has_no_robust_standard_error():
    data = rows(40).assign(one=lambda d: (d.index == 3) * 1.0)
    group = int(data["k"][3])
    fits = sq.ols("y ~ x + one", data, by="k", vcov="HC3")
    here, fit = of_group(fits.frame(), k=group), fits[group]
    assert list(here["std_err"].isna()) == list(fit.bse.isna()) == [False, False, True]
    assert_close(here["std_err"], fit.bse, rtol=1e-10)


def test_labels_of_files_and_gaps(tmp_path):
    data = rows().astype({"k": "Int64"})
    data.loc[[1, 2], "k"] = pd.NA
    data.to_csv(tmp_path / "rows.csv", index=False)
    data.to_parquet(tmp_path / "rows.parquet")
    fits = [sq.ols("y ~ x", source, by=["k", "flag"]) for source in (data, tmp_path / "rows.csv", tmp_path / "rows.parquet")]
    for each in fits:
        assert list(each) == [(k, flag) for k in (-1, 7, 12) for flag in (False, True)]
        assert dict(each.rows.dropped) == {"k": {"null": 2, "nan": 0, "inf": 0}}
        assert_close(each[7, True].params, fits[0][7, True].params, rtol=1e-12)
        pd.testing.assert_frame_equal(each.frame(), fits[0].frame(), rtol=1e-10)
    dates = data.assign(k="2020-0" + (data.index % 3 + 1).astype(str))
    dates.to_csv(tmp_path / "dates.csv", index=False)
    assert list(sq.ols("y ~ x", tmp_path / "dates.csv", by="k")) == ["2020-01", "2020-02", "2020-03"]


def test_declared_categories_keep_their_order():
    data = rows().assign(g=lambda d: pd.Categorical(d["g"], ["it's", "none", "äb", "c d"]))
    assert list(sq.ols("y ~ x", data, by="g")) == ["it's", "äb", "c d"]


def test_arrays_of_labels():
    data = rows()
    fits = sq.ols(X=data[["x", "z"]], y=data["y"], by=data["k"].to_numpy())
    assert_close(fits[7].params, sq.ols("y ~ x + z", data, where="k == 7").params, rtol=1e-12)


@given(st.integers(0, 10**6), st.integers(1, 40))
def test_the_order_of_rows_and_the_cut_of_batches_do_not_matter(seed, groups):
    rng = np.random.default_rng(seed)
    n = 400
    data = pd.DataFrame({"g": rng.integers(0, groups, n), "x": rng.normal(1e4, 1, n)})
    data["y"] = data["x"] * (1 + data["g"]) + rng.normal(size=n)
    one = sq.ols("y ~ x", data, by="g").frame()
    other = sq.ols("y ~ x", data.sample(frac=1, random_state=1), by="g").frame()
    numbers = ["estimate", "std_err", "rsquared"]
    assert_close(one[numbers], other[numbers], rtol=1e-8)
    assert (one[["g", "n", "reason", "dropped"]] == other[["g", "n", "reason", "dropped"]]).all(axis=None)


def test_nearly_collinear_columns_are_refined():
    rng = np.random.default_rng(5)
    x = rng.normal(size=60)
    data = pd.DataFrame({"g": np.arange(60) % 2, "x": x, "z": x + 1e-5 * rng.normal(size=60), "y": rng.normal(size=60)})
    fits = sq.ols("y ~ x + z", data, by="g")
    assert_close(of_group(fits.frame(), g=1)["estimate"], fits[1].params, rtol=1e-9)


def test_a_key_that_is_not_there():
    fits = sq.ols("y ~ x", rows(), by="g")
    assert "nothing" not in fits
    assert fits.get("nothing") is None
    with pytest.raises(KeyError, match="Did you mean 'c d'"):
        fits["c  d"]
    with pytest.raises(OptionError, match="alpha=95"):
        fits.frame(alpha=95)


def test_numbers_as_plain_values():
    numbers = sq.ols("y ~ x", odd_groups(), by="g").as_dict()
    assert numbers["by"] == ["g"]
    assert numbers["fits"][1] | {"params": 0, "bse": 0, "tvalues": 0, "pvalues": 0, "rsquared": 0} == {
        "g": "b", "nobs": 20, "dropped": "", "reason": "y is constant (0.1).",
        "params": 0, "bse": 0, "tvalues": 0, "pvalues": 0, "rsquared": 0,
    }  # fmt: skip


def test_a_column_of_groups_with_the_name_of_another_column():
    frame = sq.ols("y ~ x", rows().rename(columns={"g": "term"}), by="term").frame()
    assert list(frame.columns[:3]) == ["by_term", "term", "estimate"]
    assert set(frame["by_term"]) == {"äb", "c d", "it's"}


@pytest.mark.parametrize("size", [1e200, 1e-200])
def test_values_beyond_the_range_of_squares(size):
    data = rows().assign(x=lambda d: d["x"] * size)
    with pytest.raises(DataError, match=r"'x' of the data frame are .*leave the range of double precision"):
        sq.ols("y ~ x", data, by="g")
    with pytest.raises(DataError, match=r"'x' of the data frame are .*leave the range of double precision"):
        sq.rolling("y ~ x", data, window=50)


def test_absorbed_effects_are_refused():
    data = rows()
    for call in (
        lambda: sq.ols("y ~ x | g", data, by="k"),
        lambda: sq.ols("y + w ~ x | g", data),
        lambda: sq.rolling("y ~ x | g", data, window=50),
        lambda: sq.ols("y ~ x + z | g", data).without("z"),
        lambda: sq.ols("y ~ x + z | g", data).update(data.head(3)),
    ):
        with pytest.raises(OptionError, match="fixed effects"):
            call()
