"""Standard errors, tests and limits of the reference cases, and which test checks each of the others."""

import pytest

from tests.support.inference_oracles import CASES, assert_values, fit_of, number_of

# Read from a fit with the options of the case.
FROM_A_FIT = (
    "ols.prestige.coef", "ols.prestige.se", "hc.prestige.HC0", "hc.prestige.HC1", "hc.prestige.HC2", "hc.prestige.HC3",
    "hc.prestige.HC4", "hc3.prestige.t", "hc3.prestige.p", "hc3.prestige.ci", "hc3.prestige.F", "hc3.prestige.cov", "sm.hc3.z",
    "sm.hc3.F", "sm.aic", "pf.HC1",
    "cl.ca.CR0", "cl.ca.CR1", "cl.ca.CR2", "cl.ca.CR3", "cl.ca.CR2.satt", "cl.ca.CR2.estimatr", "cl.ca.stata", "cl.ca.ci",
    "cl.ca.w.CR1", "cl.nls.CR1", "cl.nls.CR2", "cl.nls.CR3", "cl2.inn.conv", "cl2.inn.min", "cl2.nls", "cl2.sal.fixw",
    "sm.cluster", "sm.cluster-crv3", "sm.twoway", "pf.CRV1", "pf.twoway", "pf.twoway.conv",
    "wls.prestige.coef", "wls.prestige.se", "wls.prestige.fit", "wls.prestige.HC0", "wls.prestige.HC1", "wls.prestige.HC2",
    "wls.prestige.HC3", "wls.prestige.estimatr.HC2", "wls.zero.prestige", "sm.wls", "sm.wls.normality",
    "hac.sb.L0", "hac.sb.L0.noadj", "hac.sb.L4", "hac.sb.L4.noadj", "hac.sb.L12", "hac.sb.L12.noadj", "hac.sb.auto", "hac.sb.p",
    "hac.sb.bw94", "hac.hart.auto", "sm.hac4.False", "sm.hac4.True", "pf.nw4", "gretl.hac4", "gretl.nw3",
    "dk.produc.L1", "dk.produc.L2", "dk.produc.L3", "dk.produc.adj", "pl.sandwich.L2", "sm.dk2", "pf.dk2",
)  # fmt: skip
# Other conventions: what squarely gives with these options differs.
_DK2 = {"vcov": "DK", "time": "year", "lags": 2}
_CR3 = {"vcov": "CR3", "cluster": "county"}
CONTRASTS = {
    "pf.HC2": {"vcov": "HC2"}, "pf.HC3": {"vcov": "HC3"},
    "cl.ca.CR3.club": _CR3, "sm.cluster-jk": _CR3, "pf.CRV3": _CR3, "cl2.sal.fix": {"cluster": ["yrs.service", "discipline"]},
    "nwp.produc.L2": _DK2, "lm.dk2": _DK2, "sm.dk2.cluster": _DK2, "hac.sb.pw": {"vcov": "HAC"}, "hac.sb.qs": {"vcov": "HAC"},
}  # fmt: skip
# Options of cases that have none in the file.
MORE_OPTIONS = {"hac.sb.bw94": {"vcov": "HAC"}}
# Cases that another test file checks, by the beginning of their ids: `claimed` there.
HYPOTHESES = (
    "lh.", "anova.", "lr.", "pairs.", "cl.ca.CR2.HTZ",
    "sm.ttest", "sm.ftest", "sm.wald", "sm.pairwise", "sm.anova", "sm.compare",
)  # fmt: skip
CLUSTERS = ("cl.ca.n", "cl.ca.F", "cl.ca.w.CR2", "cl.ca.joint", "cl2.inn.n", "cl2.sal.raw")
FIXED_EFFECTS = ("fe.", "pf.fe", "lm.fe")
PREDICTIONS = ("pred.", "sm.pred")
PENALTIES = ("ridge.", "lasso.", "enet", "sk.")
INFLUENCE = ("infl.", "sm.influence", "sm.cooks", "sm.outlier")
DIAGNOSTICS = (
    "bp.", "white", "gq.", "bg.", "ncv", "dw.", "ljung", "reset.", "harv", "rain", "vif", "cond.",
    "gretl.bp", "gretl.white", "gretl.bg4", "gretl.reset", "sm.white", "sm.bp", "sm.reset", "sm.rain", "sm.bg", "sm.ljung",
    "sm.arch", "sm.gq", "sm.vif",
)  # fmt: skip
MANY_FITS = ("by.", "multi", "na.")
EFFECTS = ("contrast", "slope.", "mean.", "me.", "emm.", "grid.", "trends", "partialR2", "std")
ELSEWHERE = (
    "freq.", *PENALTIES, *HYPOTHESES, *CLUSTERS, *PREDICTIONS, *INFLUENCE, *DIAGNOSTICS, *MANY_FITS, *FIXED_EFFECTS, *EFFECTS,
)  # fmt: skip
# Conventions that squarely does not have: R's AIC counts sigma, HC4m and HC5.
REFUSED = {
    "ols.prestige.fit": "AIC and BIC of R count sigma", "hc.prestige.HC4m": "not offered", "hc.prestige.HC5": "not offered",
    "delta": "a ratio of coefficients is not linear", "cl2.inn.multi0": "the call is that of cl2.inn.conv",
}  # fmt: skip


def test_every_case_is_checked():
    listed = {*FROM_A_FIT, *CONTRASTS, *REFUSED}
    assert listed <= CASES.keys()
    assert [name for name in CASES if name not in listed and not name.startswith(ELSEWHERE)] == []


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
