"""Predictions with standard errors and limits: those of R, statsmodels and marginaleffects."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf

import squarely as sq
from tests.support.checks import assert_close
from tests.support.inference_oracles import CASES, assert_values, fit_of, table

NEW = pd.DataFrame({"education": [8, 12, 16], "income": [3000, 6000, 20000], "women": [10, 50, 90], "v": [1.0, 2.0, 4.0]})
GRID = pd.DataFrame(
    {"education": [8.0, 12, 16], "type": ["bc", "wc", "prof"], "income": [4000.0, 6000, 12000], "women": [0.0, 50, 10]}
)
COLUMNS = {"fit": "mean", "se": "mean_se", "lwr": "mean_ci_lower", "upr": "mean_ci_upper", "estimate": "mean"}


@pytest.mark.parametrize(("name", "alpha"), [("pred.mean", 0.1), ("pred.obs", 0.1), ("pred.w", 0.05), ("pred.hc3", 0.05)])
def test_predictions_are_those_of_r(name, alpha):
    case = CASES[name]
    fit = fit_of(case)
    frame = fit.get_prediction(NEW, weights="v" if name == "pred.w" else None).summary_frame(alpha)
    columns = COLUMNS if name == "pred.mean" else COLUMNS | {"lwr": "obs_ci_lower", "upr": "obs_ci_upper"}
    assert_values(case, {key: frame[columns[key[:-2]]][int(key[-1]) - 1] for key in case["values"]})


@pytest.mark.parametrize(("name", "alpha"), [("sm.pred", 0.1), ("sm.pred.hc3", 0.05)])
def test_the_frame_is_that_of_statsmodels(name, alpha):
    case = CASES[name]
    frame = fit_of(case).get_prediction(NEW).summary_frame(alpha)
    assert_values(case, {key: frame.loc[int(key[0]), key[4:]] for key in case["values"]})


def test_predictions_are_those_of_marginaleffects():
    case = CASES["me.pred.grid"]
    frame = fit_of(case).get_prediction(GRID).summary_frame()
    columns = COLUMNS | {"low": "mean_ci_lower", "high": "mean_ci_upper"}
    places = {key: key.partition("=")[2].split(" ") for key in case["values"] if not key.endswith(" p")}
    assert_values(case, {key: frame.loc[int(row), columns[word]] for key, (row, word) in places.items()})


FORMULAS = {
    "prestige ~ education + C(type)": {},
    "prestige ~ education * C(type) + women": {},
    "prestige ~ C(type) + income - 1": {},
    "prestige ~ bs(income, df=5) + women": {},
    "prestige ~ C(type, Sum):education + np.log(income) + I(women**2)": {},
    "np.log(prestige) ~ education + women": {"weights": "census"},
}


@pytest.mark.parametrize("vcov", ["nonrobust", "HC0", "HC1", "HC2", "HC3"])
@pytest.mark.parametrize("formula", FORMULAS)
def test_limits_are_those_of_statsmodels(formula, vcov):
    options = FORMULAS[formula]
    data = table("prestige").dropna().reset_index(drop=True)
    weights = data["census"] if options else np.ones(len(data))
    kinds = {} if vcov == "nonrobust" else {"cov_type": vcov, "use_t": True}
    peer = smf.wls(formula, data, weights=weights).fit(**kinds)
    fit = sq.ols(formula.replace("np.log", "log"), data, vcov=vcov, **options)
    new = data.sample(40, random_state=1)
    for alpha in (0.05, 0.4):
        expected = peer.get_prediction(new, weights=new["census"] / 1000).summary_frame(alpha)
        found = fit.get_prediction(new, weights="I(census / 1000)").summary_frame(alpha)
        assert_close(found.to_numpy(), expected.to_numpy(), rtol=1e-8)
        assert found.columns.tolist() == expected.columns.tolist()
        assert found.index.tolist() == new.index.tolist()
        fitted = fit.get_prediction().summary_frame(alpha)
        assert_close(fitted.to_numpy(), peer.get_prediction().summary_frame(alpha).to_numpy(), rtol=1e-8)
        assert fitted.index.tolist() == data.index.tolist()


def test_limits_under_clusters_have_the_degrees_of_freedom_of_the_clusters():
    """Those of statsmodels 0.15 have n - k, and so differ from the limits of its own coefficients."""
    data = table("caschools").dropna(subset=["county"])
    peer = smf.ols("math ~ students", data).fit(
        cov_type="cluster", cov_kwds={"groups": pd.factorize(data["county"])[0]}, use_t=True
    )
    fit = sq.ols("math ~ students", data, cluster="county")
    new = data.head(9)
    ours, theirs = fit.get_prediction(new), peer.get_prediction(new)
    assert_close(ours.se_mean, theirs.se_mean, rtol=1e-8)
    assert_close((ours.conf_int()[:, 1] - ours.predicted_mean) / ours.se_mean, 2.015367574443760, rtol=1e-12)  # qt(0.975, 44)
    assert (ours.df, data["county"].nunique()) == (44, 45)
    assert_close((fit.conf_int()[1] - fit.params) / fit.bse, 2.015367574443760, rtol=1e-12)
    assert np.all(ours.conf_int()[:, 1] > theirs.conf_int()[:, 1] * (1 + 1e-6))
