"""What diagnostic tests look like and refuse; tests/oracles/test_diagnostics.py has their numbers."""

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest

import squarely as sq
from squarely.data import open_source
from squarely.errors import DataError, OptionError
from tests.support.checks import CARS, assert_close

FORMULA = "mpg ~ weight + C(origin)"
ROW_TESTS = (
    "het_breuschpagan", "het_white", "het_arch", "het_goldfeldquandt", "acorr_breusch_godfrey", "acorr_ljungbox",
    "durbin_watson_test", "linear_reset", "linear_harvey_collier", "linear_rainbow", "diagnostics",
)  # fmt: skip
IN_ORDER = ("het_arch", "acorr_breusch_godfrey", "acorr_ljungbox", "durbin_watson_test", "het_goldfeldquandt",
            "linear_harvey_collier", "linear_rainbow")  # fmt: skip


@pytest.fixture(scope="module")
def fit():
    return sq.ols(FORMULA, CARS)


def test_a_test_is_a_value_that_prints_well(fit):
    test = fit.het_breuschpagan()
    with pytest.raises(dataclasses.FrozenInstanceError):
        test.pvalue = 1.0
    assert (test.df, test.distribution, test.f.df) == (3, "chi2", (3, 394))
    assert test.says == "The spread of the errors changes with the columns (p < 0.001): prefer vcov='HC3'."
    page = str(test.summary())
    assert "Breusch-Pagan Test" in page
    assert "chi2(3)" in page
    assert test.says.split(":")[0] in " ".join(page.split())
    assert test.as_dict()["others"]["F"]["df"] == [3, 394]
    assert "<table" in test._repr_html_()
    assert "P (chi2):" in str(fit.linear_reset().summary())


def test_a_robust_fit_needs_no_advice_to_be_robust(fit):
    assert fit.vcov("HC3").het_white().says.endswith("the HC3 standard errors of this fit allow for that.")
    assert fit.vcov("HC3").acorr_ljungbox().says.endswith("prefer vcov='HAC'.")
    assert fit.vcov("HAC").acorr_ljungbox().says.endswith("the HAC standard errors of this fit allow for that.")


def test_an_accepted_hypothesis_says_that_nothing_was_found():
    rng = np.random.default_rng(1)
    x = rng.normal(size=200)
    fit = sq.ols("y ~ x", {"x": x, "y": x + rng.normal(size=200)})
    for test in fit.diagnostics():
        assert test.says.startswith("No sign that ") == (test.pvalue >= 0.05)


def test_all_tests_are_those_alone(fit):
    found = fit.diagnostics()
    alone = {
        "Breusch-Pagan": fit.het_breuschpagan(), "White": fit.het_white(), "ARCH": fit.het_arch(),
        "Breusch-Godfrey": fit.acorr_breusch_godfrey(), "Ljung-Box": fit.acorr_ljungbox(), "RESET": fit.linear_reset(),
        "Durbin-Watson": fit.durbin_watson_test(),
    }  # fmt: skip
    assert found.frame.index.tolist() == [*list(alone)[:5], "Durbin-Watson", "RESET", "Jarque-Bera"]
    assert found.frame.columns.tolist() == ["statistic", "df", "pvalue", "says"]
    for name, test in alone.items():
        assert found[name].as_dict() == test.as_dict()
    with pytest.raises(OptionError, match=r"There is no test 'white' among these diagnostics\. Did you mean 'White'\?"):
        found["white"]
    assert found["Jarque-Bera"].statistic == fit.normality.jarque_bera
    assert "White" not in fit.diagnostics(white=False).frame.index
    assert_close(found["Durbin-Watson"].statistic, fit.durbin_watson, rtol=1e-12)


def test_all_tests_in_the_order_of_a_column(fit):
    found = fit.diagnostics(order_by="weight")
    assert found.frame.index.tolist()[-4:] == ["Goldfeld-Quandt", "Rainbow", "Harvey-Collier", "Jarque-Bera"]
    cars = sq.datasets.cars()
    order = np.argsort(np.asarray(cars["weight"]), kind="stable")
    here = sq.ols(FORMULA, {name: np.asarray(cars[name])[order] for name in ("mpg", "weight", "origin")})
    for name, method in (
        ("ARCH", "het_arch"), ("Breusch-Godfrey", "acorr_breusch_godfrey"), ("Ljung-Box", "acorr_ljungbox"),
        ("Durbin-Watson", "durbin_watson_test"), ("Goldfeld-Quandt", "het_goldfeldquandt"), ("Rainbow", "linear_rainbow"),
        ("Harvey-Collier", "linear_harvey_collier"),
    ):  # fmt: skip
        sorted_by = getattr(fit, method)(order_by="weight")
        expected = getattr(here, method)()
        assert_close([*sorted_by][:2], [*expected][:2], rtol=1e-9, atol=1e-300)
        assert_close(found[name].statistic, expected.statistic, rtol=1e-9)


def test_columns_that_depend_on_each_other_are_named():
    found = sq.ols("mpg ~ weight + I(weight**2)", CARS).diagnostics()
    assert found.notes[-1].startswith("The columns of weight depend on the others, which makes the variances")
    assert "GVIF" in str(found.summary())
    assert sq.ols("mpg ~ weight + C(origin)", CARS).diagnostics().notes == ()


def test_a_merged_fit_has_moments_and_no_rows(fit, tmp_path):
    fit.save(tmp_path / "fit.json")
    loaded = sq.load(tmp_path / "fit.json")
    for method in ROW_TESTS:
        with pytest.raises(DataError, match=r"^This needs the rows of .* Fit the data again"):
            getattr(loaded, method)()
    assert_close(loaded.vif(), fit.vif(), rtol=1e-10)
    assert_close(loaded.condition_indices(), fit.condition_indices(), rtol=1e-10, atol=1e-14)


def test_rows_without_an_order_have_none_of_their_tests():
    source = open_source(CARS)
    source.ordered = False
    fit = sq.ols("mpg ~ weight", source)
    for method in IN_ORDER:
        with pytest.raises(OptionError, match=r"needs rows in an order, and .* has none\. Give ols order_by="):
            getattr(fit, method)()
    found = fit.diagnostics()
    assert found.frame.index.tolist() == ["Breusch-Pagan", "White", "RESET", "Jarque-Bera"]
    assert found.notes == ("Tests of neighboring rows are left out, because the rows have no order.",)


def test_frequencies_are_repeated_rows_and_have_no_order():
    rng = np.random.default_rng(4)
    x, k = rng.normal(size=80), rng.integers(1, 4, 80)
    y = x + rng.normal(size=80) * (1 + x**2)
    fit, repeated = (
        sq.ols("y ~ x", {"x": x, "y": y, "k": k}, frequencies="k"),
        sq.ols("y ~ x", {"x": x.repeat(k), "y": y.repeat(k)}),
    )
    for method, options in (
        ("het_breuschpagan", {}), ("het_breuschpagan", {"robust": False, "against": "fitted"}), ("het_white", {}),
        ("het_white", {"special": True}), ("linear_reset", {}), ("linear_reset", {"test_type": "exog"}),
    ):  # fmt: skip
        assert_close([*getattr(fit, method)(**options)], [*getattr(repeated, method)(**options)], rtol=1e-9)
    for method in IN_ORDER:
        with pytest.raises(OptionError, match="frequencies"):
            getattr(fit, method)()
    for method in ("het_goldfeldquandt", "linear_rainbow", "linear_harvey_collier", "acorr_ljungbox"):
        with pytest.raises(OptionError, match="frequencies"):
            getattr(fit, method)(order_by="x")


def test_white_of_many_columns_is_refused_and_diagnosed_by_its_special_form():
    rng = np.random.default_rng(3)
    data = {f"x{j}": rng.normal(size=300) for j in range(61)} | {"y": rng.normal(size=300)}
    fit = sq.ols(f"y ~ {' + '.join(name for name in data if name != 'y')}", data)
    with pytest.raises(OptionError, match=r"1,953 here, and at most 60 columns are taken\. Use special=True"):
        fit.het_white()
    assert fit.diagnostics()["White"].df == 2


@pytest.mark.parametrize("response", [[2.0] * 12, [2.0 * i for i in range(12)]])
def test_a_fit_without_residuals_has_nothing_to_test(response):
    x = np.arange(12.0)
    fit = sq.ols("y ~ x", {"x": x, "y": response})
    found = fit.diagnostics(order_by="x")
    for test in found:
        assert math.isnan(test.statistic)
        assert math.isnan(test.pvalue)
        assert test.says == "The residuals are zero, or rounding hides them, so nothing can be tested."
    assert "nan" in str(found.summary())


def test_absorbed_effects_are_refused():
    fit = sq.ols("mpg ~ weight + displacement | origin", CARS)
    for method in ROW_TESTS:
        with pytest.raises(OptionError, match=r"absorbed fixed effects does not have\. Write the effects as categories"):
            getattr(fit, method)()
    cars = pd.read_csv(CARS)[["origin", "weight", "displacement"]]
    within = cars - cars.groupby("origin").transform("mean").assign(origin=0)
    r = within["weight"].corr(within["displacement"])
    assert_close(fit.vif()["GVIF"], [1 / (1 - r**2)] * 2, rtol=1e-10)


def test_few_rows_have_the_tests_that_they_have_rows_for():
    fit = sq.ols("y ~ x", {"x": [1.0, 2, 3, 5], "y": [1.0, 3, 2, 5]})
    found = fit.diagnostics()
    assert "Breusch-Pagan" in found.frame.index
    assert "RESET is left out: RESET adds 2 columns, which takes all 2 degrees of freedom. Add rows." in found.notes
    assert all(0 <= test.pvalue <= 1 or math.isnan(test.pvalue) for test in found)


def test_the_rows_of_a_condition_are_those_that_are_in_order():
    rng = np.random.default_rng(9)
    data = {"x": rng.normal(size=150), "t": rng.permutation(150) // 3, "y": rng.normal(size=150)}
    data["x"][[3, 50, 51]] = np.nan
    keep = np.isfinite(data["x"]) & (data["t"] > 4)
    fit = sq.ols("y ~ x", data, where="t > 4")
    here = sq.ols("y ~ x", {name: values[keep] for name, values in data.items()})
    for options in ({}, {"order_by": "t"}):
        for method in ("het_goldfeldquandt", "linear_rainbow", "linear_harvey_collier", "acorr_breusch_godfrey"):
            assert_close([*getattr(fit, method)(**options)][:2], [*getattr(here, method)(**options)][:2], rtol=1e-10)
