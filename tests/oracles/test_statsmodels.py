"""The summary against statsmodels, number by number."""

import numpy as np
import pandas as pd
import pytest
from statsmodels.formula.api import ols as peer_ols
from statsmodels.stats.stattools import durbin_watson, jarque_bera, omni_normtest

import squarely as sq
from tests.support.checks import CARS, assert_close

FORMULAS = [
    "mpg ~ displacement",
    "mpg ~ displacement + horsepower + weight + acceleration",
    "mpg ~ displacement + horsepower + weight - 1",
    "weight ~ 0 + mpg",
    "mpg ~ 1",
]
NUMBERS = ["rsquared", "rsquared_adj", "fvalue", "f_pvalue", "llf", "aic", "bic", "nobs", "df_resid", "df_model", "mse_resid",
           "mse_model", "mse_total", "ssr", "ess", "centered_tss", "uncentered_tss", "condition_number"]  # fmt: skip
VECTORS = ["params", "bse", "tvalues", "pvalues", "fittedvalues"]


@pytest.fixture(scope="module", params=FORMULAS)
def both(request):
    cars = sq.datasets.cars()
    return sq.ols(request.param, CARS), peer_ols(request.param, cars).fit()


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers(both, name):
    fit, peer = both
    if peer.df_model == 0 and name in {"rsquared", "rsquared_adj", "fvalue", "f_pvalue", "mse_model", "ess"}:
        # An intercept alone: zero up to rounding there, exactly zero or undefined here.
        assert np.isnan(getattr(fit, name)) or abs(getattr(fit, name)) < 1e-9
    else:
        assert_close(getattr(fit, name), getattr(peer, name), rtol=1e-9)


@pytest.mark.parametrize("name", VECTORS)
def test_vectors(both, name):
    fit, peer = both
    ours, theirs = getattr(fit, name), getattr(peer, name)
    assert_close(ours, theirs, rtol=1e-9)
    if name != "fittedvalues":
        assert list(ours.index) == list(theirs.index)


def test_tables_and_residuals(both):
    fit, peer = both
    assert_close(fit.conf_int(), peer.conf_int(), rtol=1e-9)
    assert_close(fit.conf_int(0.01), peer.conf_int(0.01), rtol=1e-9)
    assert_close(fit.cov_params(), peer.cov_params(), rtol=1e-9)
    assert_close(fit.resid, peer.resid, rtol=0, atol=1e-10 * peer.resid.abs().max())


def test_residual_tests(both):
    fit, peer = both
    residuals = np.asarray(peer.resid)
    assert_close([fit.normality.omnibus, fit.normality.omnibus_pvalue], omni_normtest(residuals), rtol=1e-9)
    tests = fit.normality
    jb = [tests.jarque_bera, tests.jarque_bera_pvalue, tests.skew, tests.kurtosis]
    assert_close(jb, jarque_bera(residuals), rtol=1e-9)
    assert_close(fit.durbin_watson, durbin_watson(residuals), rtol=1e-9)


def test_every_kind_of_data_gives_the_same_bits():
    import pyarrow as pa

    cars = sq.datasets.cars()
    formula = "mpg ~ displacement + horsepower"
    from_file = sq.ols(formula, CARS)
    for data in (cars, pa.Table.from_pandas(cars), {name: cars[name].to_numpy() for name in cars.columns[:8]}):
        fit = sq.ols(formula, data)
        assert fit.solution.params.tobytes() == from_file.solution.params.tobytes()
        assert fit.rows.used == 392


def test_labels_are_those_of_the_frame():
    cars = sq.datasets.cars().set_index("name")
    fit, peer = sq.ols("mpg ~ horsepower", cars), peer_ols("mpg ~ horsepower", cars).fit()
    assert fit.resid.index.equals(peer.resid.index)
    assert fit.fittedvalues.index.equals(peer.fittedvalues.index)
    new = cars.iloc[30:35]  # horsepower is missing in one of them
    assert_close(fit.predict(new), peer.predict(new), rtol=1e-12)
    assert fit.predict(new).index.equals(new.index)
    assert fit.predict(new).isna().sum() == 1


def test_a_constant_in_the_span_centres_rsquared():
    data = {"one": np.ones(20), "x": np.arange(20.0), "y": np.arange(20.0) ** 1.5 + 100}
    fit, peer = sq.ols("y ~ one + x - 1", data), peer_ols("y ~ one + x - 1", pd.DataFrame(data)).fit()
    assert fit.k_constant == 1
    assert_close([fit.rsquared, fit.fvalue, fit.aic], [peer.rsquared, peer.fvalue, peer.aic], rtol=1e-9)


def test_a_large_mean_is_not_a_constant():
    """One column with mean / sd = 1e6 spans no constant, although nearly."""
    z = np.random.default_rng(0).normal(size=50)
    data = pd.DataFrame({"x": 1e6 + z, "y": 5 + z + np.random.default_rng(1).normal(size=50)})
    fit, peer = sq.ols("y ~ x - 1", data), peer_ols("y ~ x - 1", data).fit()
    assert fit.k_constant == peer.k_constant == 0
    assert_close([fit.rsquared, fit.fvalue], [peer.rsquared, peer.fvalue], rtol=1e-9)


def test_an_intercept_alone_has_no_f_statistic():
    for seed in range(5):
        fit = sq.ols("y ~ 1", {"y": np.random.default_rng(seed).normal(size=30)})
        assert np.isnan(fit.fvalue)
        assert np.isnan(fit.f_pvalue)
