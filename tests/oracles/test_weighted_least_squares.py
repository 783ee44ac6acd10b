"""Weighted fits against statsmodels' WLS, live: every statistic to 1e-8; and laws of weights."""

import numpy as np
import pandas as pd
import pytest

import squarely as sq
from tests.support.checks import assert_close, need
from tests.support.inference_oracles import table

smf = need("statsmodels.formula.api")
stattools = need("statsmodels.stats.stattools")

CASES = {
    "prestige": ("prestige ~ education + income + women", "census"),
    "duncan": ("prestige ~ education + C(type)", "income"),
    "boston": ("medv ~ crim * rm + lstat", "tax"),
    "caschools": ("read ~ students + lunch + calworks", "teachers"),
    "uscrime": ("y ~ M + Ed + Po1 + U2", "Pop"),
    "hartnagel": ("fconvict ~ tfr + partic + degrees - 1", "mtheft"),
}
SCALARS = ("nobs", "df_model", "df_resid", "rsquared", "rsquared_adj", "fvalue", "f_pvalue", "llf", "aic", "bic", "ssr", "ess",
           "uncentered_tss", "mse_resid", "mse_model", "mse_total", "condition_number")  # fmt: skip
EACH = pytest.mark.parametrize("name", CASES)


def data_of(name):
    """Give the rows with positive weights: statsmodels keeps rows of weight zero in n."""
    data = table(name).dropna()
    return data[data[CASES[name][1]] > 0]


def both(name):
    data, (formula, weight) = data_of(name), CASES[name]
    return sq.ols(formula, data, weights=weight), smf.wls(formula, data, weights=data[weight]).fit()


@EACH
def test_every_statistic_is_that_of_statsmodels(name):
    fit, peer = both(name)
    for statistic in SCALARS:
        assert_close(getattr(fit, statistic), getattr(peer, statistic), rtol=1e-8)
    if peer.k_constant:  # without a constant statsmodels centers the response by another mean
        assert_close(fit.centered_tss, peer.centered_tss, rtol=1e-8)
    for statistic in ("params", "bse", "tvalues", "pvalues"):
        assert_close(getattr(fit, statistic), getattr(peer, statistic), rtol=1e-8, atol=1e-15)
    assert_close(fit.conf_int(), peer.conf_int(), rtol=1e-8, atol=1e-9 * peer.bse.max())
    assert_close(fit.cov_params(), peer.cov_params(), rtol=1e-8)
    size = peer.wresid.abs().max()
    assert_close(fit.wresid, peer.wresid, rtol=1e-8, atol=1e-10 * size)
    assert_close(fit.resid, peer.resid, rtol=1e-8, atol=1e-10 * peer.resid.abs().max())
    assert_close(fit.fittedvalues, peer.fittedvalues, rtol=1e-8)


@EACH
def test_tests_of_the_weighted_residuals_are_those_of_statsmodels(name):
    fit, peer = both(name)
    assert_close(fit.durbin_watson, stattools.durbin_watson(peer.wresid), rtol=1e-8)
    omnibus, jb = stattools.omni_normtest(peer.wresid), stattools.jarque_bera(peer.wresid)
    mine = fit.normality
    assert_close([mine.omnibus, mine.omnibus_pvalue], [*omnibus], rtol=1e-8)
    assert_close([mine.jarque_bera, mine.jarque_bera_pvalue, mine.skew, mine.kurtosis], [*jb], rtol=1e-8)


@EACH
@pytest.mark.parametrize("kind", ["HC0", "HC1", "HC2", "HC3"])
def test_robust_standard_errors_are_those_of_statsmodels(name, kind):
    fit, peer = both(name)
    assert_close(fit.vcov(kind).bse, peer.get_robustcov_results(kind).bse, rtol=1e-8)


@EACH
def test_predictions_are_those_of_statsmodels(name):
    fit, peer = both(name)
    new = data_of(name)[:5]
    assert_close(fit.predict(new), peer.predict(new), rtol=1e-8)


@EACH
@pytest.mark.parametrize("factor", [1e-9, 3.0, 2.0**40])
def test_the_scale_of_the_weights_does_not_matter(name, factor):
    data, (formula, weight) = data_of(name), CASES[name]
    fit = sq.ols(formula, data, weights=weight)
    other = sq.ols(formula, data.assign(**{weight: data[weight] * factor}), weights=weight)
    for statistic in ("params", "bse", "tvalues", "rsquared", "fvalue", "f_pvalue", "df_resid", "durbin_watson"):
        assert_close(getattr(other, statistic), getattr(fit, statistic), rtol=1e-10)
    for vcov in ("HC1", "HC3"):
        assert_close(other.vcov(vcov).bse, fit.vcov(vcov).bse, rtol=1e-10)


@EACH
def test_a_row_twice_with_half_its_weight_is_the_row(name):
    data, (formula, weight) = data_of(name), CASES[name]
    halves = pd.concat([data.assign(**{weight: data[weight] / 2})] * 2)
    fit, other = sq.ols(formula, data, weights=weight), sq.ols(formula, halves, weights=weight)
    assert_close(other.params, fit.params, rtol=1e-10)
    assert_close(other.ssr, fit.ssr, rtol=1e-12)
    assert other.df_resid == fit.df_resid + len(data)


@EACH
def test_weights_are_rows_times_their_roots(name):
    data, (formula, weight) = data_of(name), CASES[name]
    fit = sq.ols(formula, data, weights=weight)
    root = np.sqrt(data[weight].to_numpy(float))
    peer = smf.wls(formula, data, weights=data[weight])
    plain = sq.ols(X=peer.exog * root[:, None], y=peer.endog * root, intercept=False)
    assert_close(fit.params, plain.params, rtol=1e-8)
    assert_close(fit.bse, plain.bse, rtol=1e-8)
