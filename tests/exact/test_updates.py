"""`without` and `update`: a fit without a term or with more rows is the fit from scratch, without reading its rows."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import squarely as sq
from squarely.errors import DataError, FormulaError, OptionError
from tests.support.checks import assert_close

FULL = "y ~ x*g + log(z) + `two words` + poly(u, 2) + offset(o)"


def rows(n=200, seed=0):
    rng = np.random.default_rng(seed)
    data = pd.DataFrame(rng.normal(size=(n, 4)), columns=["x", "two words", "u", "o"])
    data = data.assign(z=rng.uniform(1, 9, n), g=rng.choice(["a", "b", "c"], n), w=rng.uniform(0.2, 3, n), k=rng.integers(1, 4, n))
    return data.assign(y=1 + data["x"] * (data["g"] == "b") + data["u"] ** 2 + data["o"] + rng.normal(size=n))


def assert_from_scratch(fit, scratch, rtol=1e-10):
    assert list(fit.params.index) == list(scratch.params.index)
    assert fit.nobs == scratch.nobs
    for name in ("params", "bse", "llf", "ssr"):
        assert_close(getattr(fit, name), getattr(scratch, name), rtol=rtol)
    assert_close(1 - fit.rsquared, 1 - scratch.rsquared, rtol=rtol)  # where nothing is explained, R-squared is the rounding of 1
    assert_close(fit.fvalue, scratch.fvalue, rtol=rtol, atol=1e-14 * scratch.df_resid)  # F is R-squared over 1 - R-squared
    assert_close(fit.cov_params(), scratch.cov_params(), rtol=rtol, atol=rtol * np.abs(scratch.cov_params()).max(axis=None))


WITHOUT = {
    "log(z)": "y ~ x*g + `two words` + poly(u, 2) + offset(o)",
    "log( z )": "y ~ x*g + `two words` + poly(u, 2) + offset(o)",
    "two words": "y ~ x*g + log(z) + poly(u, 2) + offset(o)",
    "`two words`": "y ~ x*g + log(z) + poly(u, 2) + offset(o)",
    "poly(u, 2)": "y ~ x*g + log(z) + `two words` + offset(o)",
    "g:x": "y ~ x + g + log(z) + `two words` + poly(u, 2) + offset(o)",
    "x": "y ~ g + x:g + log(z) + `two words` + poly(u, 2) + offset(o)",
    "g": "y ~ x + x:g + log(z) + `two words` + poly(u, 2) + offset(o)",
}


@pytest.mark.parametrize("term", WITHOUT)
@pytest.mark.parametrize("options", [{}, {"weights": "w"}, {"frequencies": "k"}], ids=str)
def test_without_a_term_is_the_fit_of_the_shorter_formula(term, options, tmp_path):
    fit, scratch = sq.ols(FULL, rows(), **options), sq.ols(WITHOUT[term], rows(), **options)
    shorter = fit.without(term)
    assert_from_scratch(shorter, scratch)
    assert_close(shorter.resid, scratch.resid, rtol=1e-8, atol=1e-9)
    assert_close(shorter.vcov("HC3").bse, scratch.vcov("HC3").bse, rtol=1e-8)
    shorter.save(tmp_path / "fit.json")
    assert_from_scratch(sq.load(tmp_path / "fit.json"), scratch)
    fit.save(tmp_path / "whole.json")
    assert_from_scratch(sq.load(tmp_path / "whole.json").without(term), scratch)


def test_rows_stay_those_of_the_fit():
    data = rows()
    data.loc[[1, 7], "two words"] = np.nan
    data.loc[9, "g"] = None
    fit = sq.ols("y ~ x + `two words` + C(g)", data, vcov="HC3")
    shorter, scratch = fit.without("C(g)", "two words"), sq.ols("y ~ x", data.dropna())
    assert_from_scratch(shorter, scratch)
    assert shorter.rows.used == 197
    assert_close(shorter.vcov("HC1").bse, scratch.vcov("HC1").bse, rtol=1e-10)
    assert (shorter.cov_type, fit.cov_type) == ("nonrobust", "HC3")
    page = " ".join(str(shorter.summary()).split())
    assert "Without C(g) and two words, on the rows of a fit of 'y ~ x + `two words` + C(g)'." in page
    assert "Standard errors are classical: robust ones need the rows, so call vcov again." in page


def test_a_term_that_others_contain_is_left_out_with_a_note():
    assert "x:g contains g, which is left out." in " ".join(str(sq.ols("y ~ x*g", rows()).without("g").summary()).split())


def test_without_what_others_depend_on():
    data = rows().assign(twice=lambda d: 2 * d["x"])
    fit = sq.ols("y ~ x + twice + z", data)
    assert fit.dropped_columns == ("twice = 2 x",)
    assert_from_scratch(fit.without("z"), sq.ols("y ~ x + twice", data))
    assert_from_scratch(fit.without("twice"), sq.ols("y ~ x + z", data))


def test_every_term_can_go_but_the_intercept():
    fit = sq.ols("y ~ x + z", rows())
    mean = fit.without("x", "z")
    assert_close(mean.params["Intercept"], rows()["y"].mean(), rtol=1e-13)
    with pytest.raises(OptionError, match="'q' is not a term of 'y ~ x \\+ z'"):
        fit.without("q")
    with pytest.raises(OptionError, match="is not a term"):
        fit.without("x + z")
    with pytest.raises(OptionError, match="names no term"):
        fit.without()
    with pytest.raises(OptionError, match="The intercept cannot be left out"):
        fit.without("Intercept")
    with pytest.raises(FormulaError, match="Nothing is left"):
        sq.ols("y ~ x - 1", rows()).without("x")


def test_without_a_column_of_an_array():
    data = rows()
    shorter = sq.ols(X=data[["x", "z"]].to_numpy(), y=data["y"].to_numpy()).without("x2")
    assert_close(shorter.params, sq.ols("y ~ x", data).params, rtol=1e-12)


@settings(deadline=None)
@given(
    st.integers(0, 10**6),
    st.integers(1, 60),
    st.sampled_from(["y ~ x*g + z", "y ~ x - 1", "y ~ 0 + C(g) + x", "y ~ x + I(x**2) + log(z)"]),
    st.sampled_from([{}, {"weights": "w"}, {"frequencies": "k"}]),
)
def test_an_update_is_the_fit_of_all_rows(seed, new, formula, options):
    data = rows(130, seed)
    updated = sq.ols(formula, data.iloc[:-new], **options).update(data.iloc[-new:])
    assert_from_scratch(updated, sq.ols(formula, data, **options))


def test_the_condition_holds_for_new_rows():
    data = rows()
    fit = sq.ols("y ~ x", data.iloc[:100], where="z > 2")
    assert_from_scratch(fit.update(data.iloc[100:]), sq.ols("y ~ x", data, where="z > 2"))


def test_new_levels_join_in(tmp_path):
    data = rows().sort_values("g")
    first, later = data[data["g"] != "a"], data[data["g"] == "a"]
    later.to_csv(tmp_path / "later.csv", index=False)
    fit = sq.ols("y ~ x*g", first, vcov="HC3")
    for more in (later, tmp_path / "later.csv"):
        updated = fit.update(more)
        assert_from_scratch(updated, sq.ols("y ~ x*g", data))
    one_by_one = fit.update(later.iloc[:1]).update(later.iloc[1:])
    assert_from_scratch(one_by_one, sq.ols("y ~ x*g", data))
    assert updated.cov_type == "nonrobust"
    page = " ".join(str(updated.summary()).split())
    assert "Standard errors are classical: robust ones need all rows at once." in page


def test_a_loaded_fit_can_be_updated(tmp_path):
    data = rows()
    sq.ols("y ~ x + C(k)", data.iloc[:150]).save(tmp_path / "fit.json")
    updated = sq.load(tmp_path / "fit.json").update(data.iloc[150:])
    assert_from_scratch(updated, sq.ols("y ~ x + C(k)", data))
    with pytest.raises(DataError, match="needs the rows"):
        updated.vcov("HC3")


def test_new_rows_that_cannot_be_added():
    data = rows()
    fit = sq.ols("y ~ x + g", data)
    with pytest.raises(DataError, match="seem to be fits of the same rows"):
        fit.update(data)
    assert fit.update(data, duplicates="keep").nobs == 400
    with pytest.raises(DataError, match="There is no column 'g'"):
        fit.update(data[["y", "x"]])
    with pytest.raises(DataError, match="is complete"):
        fit.update(data.head(2).assign(x=np.nan))
    with pytest.raises(DataError, match="different kinds"):
        fit.update(data.head(2).assign(g=[1, 2]))


def test_an_update_of_a_model_that_explains_nothing():
    data = rows(130, 6813)  # R-squared is 4e-7
    updated = sq.ols("y ~ x - 1", data.iloc[:-2]).update(data.iloc[-2:])
    assert_from_scratch(updated, sq.ols("y ~ x - 1", data))
