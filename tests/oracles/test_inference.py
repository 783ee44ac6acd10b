"""Standard errors, tests and limits of the reference cases, and the list of cases that wait for what is not built yet."""

import pytest

from tests.support.inference_oracles import CASES, assert_values, fit_of, number_of

# Read from a fit with the options of the case.
FROM_A_FIT = (
    "ols.prestige.coef", "ols.prestige.se", "hc.prestige.HC0", "hc.prestige.HC1", "hc.prestige.HC2", "hc.prestige.HC3",
    "hc.prestige.HC4", "hc3.prestige.t", "hc3.prestige.p", "hc3.prestige.ci", "hc3.prestige.F", "hc3.prestige.cov", "sm.hc3.z",
    "sm.hc3.F", "sm.aic", "pf.HC1",
    "wls.prestige.coef", "wls.prestige.se", "wls.prestige.fit", "wls.prestige.HC0", "wls.prestige.HC1", "wls.prestige.HC2",
    "wls.prestige.HC3", "wls.prestige.estimatr.HC2", "wls.zero.prestige", "sm.wls", "sm.wls.normality",
    "hac.sb.L0", "hac.sb.L0.noadj", "hac.sb.L4", "hac.sb.L4.noadj", "hac.sb.L12", "hac.sb.L12.noadj", "hac.sb.auto", "hac.sb.p",
    "hac.sb.bw94", "hac.hart.auto", "sm.hac4.False", "sm.hac4.True", "pf.nw4", "gretl.hac4", "gretl.nw3",
    "dk.produc.L1", "dk.produc.L2", "dk.produc.L3", "dk.produc.adj", "pl.sandwich.L2", "sm.dk2", "pf.dk2",
)  # fmt: skip
# Other conventions: what squarely gives with these options differs.
_DK2 = {"vcov": "DK", "time": "year", "lags": 2}
CONTRASTS = {
    "pf.HC2": {"vcov": "HC2"}, "pf.HC3": {"vcov": "HC3"}, "hac.sb.pw": {"vcov": "HAC"}, "hac.sb.qs": {"vcov": "HAC"},
    "nwp.produc.L2": _DK2, "lm.dk2": _DK2, "sm.dk2.cluster": _DK2,
}  # fmt: skip
# Options of cases that have none in the file.
MORE_OPTIONS = {"hac.sb.bw94": {"vcov": "HAC"}}
# Cases that another test file checks, by the beginning of their ids: `claimed` there.
ELSEWHERE = ("freq.",)
# Cases for which nothing is built yet, by the beginning of their ids.
NOT_YET = (
    "na.aq",  # weights and clusters
    "cl.", "cl2.", "sm.cluster", "sm.twoway", "pf.CRV", "pf.twoway",  # clusters
    "lh.", "anova.", "lr.", "pairs.", "contrast", "sm.ttest", "sm.ftest", "sm.wald", "sm.pairwise", "sm.anova", "sm.compare",
    "pred.", "sm.pred",  # predictions
    "bp.", "white", "gq.", "bg.", "ncv", "dw.", "ljung", "reset.", "harv", "rain", "vif", "cond", "gretl.", "sm.white", "sm.bp",
    "sm.reset", "sm.rain", "sm.bg", "sm.ljung", "sm.arch", "sm.gq", "sm.vif",  # diagnostics
    "infl.", "sm.influence", "sm.cooks", "sm.outlier",  # influence
    "slope.", "mean.", "me.", "emm.", "grid.", "trends", "partialR2", "std", "delta",  # effects
    "ridge.", "lasso.", "enet", "sk.", "pf.fe", "fe.", "lm.fe", "by.", "multi", "na.",  # penalties, fixed effects, groups
)  # fmt: skip
# Conventions that squarely does not have: R's AIC counts sigma, HC4m and HC5.
REFUSED = {"ols.prestige.fit": "AIC and BIC of R count sigma", "hc.prestige.HC4m": "not offered", "hc.prestige.HC5": "not offered"}


def test_every_case_is_checked_or_waits():
    listed = {*FROM_A_FIT, *CONTRASTS, *REFUSED}
    waiting = {name for name in CASES if name not in listed and name.startswith((*NOT_YET, *ELSEWHERE))}
    assert listed <= CASES.keys()
    assert CASES.keys() - listed - waiting == set()
    for beginning in NOT_YET:
        assert any(name.startswith(beginning) for name in waiting), f"{beginning!r} waits for nothing"


@pytest.mark.parametrize("name", FROM_A_FIT)
def test_a_fit_has_the_numbers_of_the_case(name):
    case = CASES[name]
    fit = fit_of(case, **MORE_OPTIONS.get(name, {}))
    assert_values(case, {key: number_of(fit, key, case["statistic"]) for key in case["values"]})


@pytest.mark.parametrize("name", CONTRASTS)
def test_other_conventions_differ(name):
    case = CASES[name]
    fit = fit_of(case, **CONTRASTS[name])
    numbers = {key: number_of(fit, key, case["statistic"]) for key in case["values"]}
    assert case["role"] == "contrast"
    assert_values(case, numbers)
