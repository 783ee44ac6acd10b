"""Hypotheses, analysis of variance, nested fits and pairs of levels: the reference cases, and statsmodels live."""

import numpy as np
import pytest
import statsmodels.formula.api as smf
from scipy import stats
from statsmodels.stats.anova import anova_lm

import squarely as sq
from tests.oracles.test_inference import HYPOTHESES
from tests.support.checks import assert_close
from tests.support.inference_oracles import CASES, assert_values, fit_of, options_of, table

NAMES = [name for name in CASES if name.startswith(HYPOTHESES)]
BOTH = "education = 4, women = 0"
# statsmodels adds categories before numbers, whatever the formula has; here the formula has the order.
REORDERED = {"sm.anova1": "prestige ~ type + education + log(income) + women"}


def numbers_of(fit, name):
    """Return the numbers of a case of linear hypotheses by its keys."""
    if name in ("lh.t", "sm.ttest"):
        test = fit.t_test("type[T.prof] - type[T.wc] + 2 * women = 1" if name == "lh.t" else BOTH)
        columns = {"effect": test.effect, "sd": test.sd, "tvalue": test.tvalue, "pvalue": test.pvalue}
        if name == "sm.ttest":
            return {f"{key} {i}": x for key, values in columns.items() for i, x in enumerate(values)}
        return dict(zip(("effect", "se", "t", "p"), [x[0] for x in columns.values()], strict=True))
    if name == "cl.ca.CR2.HTZ":
        test = fit.f_test("english = lunch = 0")
        return {"F": test.fvalue, "df_num": test.df_num, "df_denom": test.df_denom, "p": test.pvalue}
    test = fit.wald_test("type[T.prof] = type[T.wc]" if name == "lh.cat" else BOTH, use_f=name != "lh.chi2")
    numbers = {"F": test.fvalue, "p": test.pvalue, "df_num": test.df_num, "df_denom": test.df_denom, "chi2": test.statistic}
    return numbers | {"fvalue": test.fvalue, "pvalue": test.pvalue}


def pairs_of(fit, name):
    if name == "sm.pairwise":
        return cells(fit.t_test_pairwise("type"))
    frame = fit.t_test_pairwise("type", method="none")
    numbers = {}
    for ours, theirs, sign in (("prof-bc", "bc - prof", -1), ("wc-bc", "bc - wc", -1), ("wc-prof", "prof - wc", -1)):
        numbers |= {theirs: sign * frame.loc[ours, "coef"], f"se {theirs}": frame.loc[ours, "std err"]}
        numbers[f"p {theirs}"] = frame.loc[ours, "P>|t|"]
        for method, short in (("holm", "holm"), ("bonferroni", "bonf")):
            numbers[f"p {short} {theirs}"] = fit.t_test_pairwise("type", method=method).loc[ours, f"pvalue-{method}"]
    return numbers  # of Tukey's p-values R has nine decimal places: see below


def nested_of(fit, name):
    small = sq.ols("prestige ~ education + log(income) + women", table("prestige").dropna(subset=["type"]))
    f, p, df = fit.compare_f_test(small)
    lr, p_lr, df_lr = fit.compare_lr_test(small)
    last = sq.anova(small, fit).iloc[-1]
    if name == "lr.nested":
        return {"chi2": lr, "p": p_lr, "df": df_lr}
    if name == "sm.compare":
        return {"F": f, "pF": p, "df": df, "lr": lr, "plr": p_lr, "dflr": df_lr}
    return {"F": last["F"], "p": last["Pr(>F)"], **last, "ssr_large": last["ssr"], "ssr_small": small.ssr}


def cells(frame):
    return {f"{row} | {column}": frame.loc[row, column] for row in frame.index for column in frame.columns}


def type_of(name):
    first, second = name.split(".")[:2]
    return int(second[-1]) if first == "sm" else {"I": 1, "II": 2, "III": 3, "npk": 1}[second]


@pytest.mark.parametrize("name", NAMES)
def test_reference(name):
    case = CASES[name] | ({"formula": REORDERED[name]} if name in REORDERED else {})
    fit = fit_of(case)
    if name in ("anova.nested", "lr.nested", "sm.compare"):
        numbers = nested_of(fit, name)
    elif "anova" in name:
        numbers = cells(sq.anova(fit, typ=type_of(name)))
    elif "pair" in name:
        numbers = pairs_of(fit, name)
    elif name == "sm.waldterms":
        numbers = cells(fit.wald_test_terms())
    else:
        numbers = numbers_of(fit, name)
    missing = case["values"].keys() - numbers.keys()
    has_no_squares = {key for key in missing if "vcov" in options_of(case) and key.endswith("sum_sq")}
    assert missing - has_no_squares - {key for key in missing if key.startswith("p tukey")} == set()
    assert_values(case, numbers)


def test_tukey():
    """R's ptukey is exact to about 1e-9; mpmath's quadrature of the double integral has 20 digits."""
    case = CASES["pairs.tukey"]
    p = fit_of(case).t_test_pairwise("type", method="tukey")["pvalue-tukey"]
    assert_close(p["wc-prof"], 0.002997095265236830567643, rtol=1e-10)
    theirs = [case["values"][f"p tukey {pair}"] for pair in ("bc - prof", "bc - wc", "prof - wc")]
    assert_close(p, theirs, rtol=0, atol=1e-9)


FORMULA = "prestige ~ education * type + women"
HYPOTHESES_LIVE = [
    "education = 4",
    "education = women = 0",
    "education = 4, women = 0",
    "type[T.prof] - 2 * type[T.wc] = 3",
    "(type[T.prof] + type[T.wc]) / 2 = education, women",
    "education:type[T.wc]",
    "-women + 1 = education",
]


@pytest.fixture(scope="module")
def both():
    rows = table("prestige").dropna(subset=["type"])
    return sq.ols(FORMULA, rows), smf.ols(FORMULA, rows).fit()


@pytest.mark.parametrize("hypothesis", HYPOTHESES_LIVE)
@pytest.mark.parametrize("kind", ["nonrobust", "HC1"])
def test_hypotheses_of_statsmodels(both, hypothesis, kind):
    fit, peer = both
    fit, peer = fit.vcov(kind), peer.get_robustcov_results(kind) if kind != "nonrobust" else peer
    ours, theirs = fit.t_test(hypothesis), peer.t_test(hypothesis)
    for name in ("effect", "sd", "tvalue", "pvalue"):
        assert_close(getattr(ours, name), np.ravel(getattr(theirs, name)), rtol=1e-8)
    assert_close(ours.conf_int(0.1), theirs.conf_int(0.1), rtol=1e-8)
    assert_close(ours.df_denom, theirs.df_denom, rtol=0)
    frame, other = ours.summary_frame(0.1), theirs.summary_frame(alpha=0.1)
    assert list(frame.columns) == list(other.columns)
    assert_close(frame, other, rtol=1e-8)
    ours, theirs = fit.f_test(hypothesis), peer.f_test(hypothesis)
    for name in ("fvalue", "statistic", "pvalue", "df_num", "df_denom"):
        assert_close(getattr(ours, name), np.ravel(getattr(theirs, name))[0], rtol=1e-8)
    ours, theirs = fit.wald_test(hypothesis, use_f=False), peer.wald_test(hypothesis, use_f=False, scalar=True)
    assert_close([ours.statistic, ours.pvalue], [theirs.statistic, theirs.pvalue], rtol=1e-8)
    assert ours.distribution == theirs.distribution == "chi2"


def test_terms_and_pairs_of_statsmodels(both):
    fit, peer = both
    frame, other = fit.wald_test_terms(), peer.wald_test_terms(scalar=True).table
    assert list(frame.index) == list(other.index)
    assert_close(frame[["statistic", "pvalue", "df_constraint"]], other[["statistic", "pvalue", "df_constraint"]], rtol=1e-8)
    for method in ("hs", "holm", "bonferroni", "sidak", "fdr_bh"):
        ours, theirs = fit.t_test_pairwise("type", method=method), peer.t_test_pairwise("type", method=method).result_frame
        assert list(ours.index) == list(theirs.index)
        assert list(ours.columns) == list(theirs.columns)
        assert_close(ours, theirs, rtol=1e-8)


@pytest.mark.parametrize("typ", [1, 2])
def test_anova_of_statsmodels(typ):
    rows = table("salaries")
    formula = "salary ~ rank * sex + discipline"
    ours, theirs = sq.anova(sq.ols(formula, rows), typ=typ), anova_lm(smf.ols(formula, rows).fit(), typ=typ)
    assert list(ours.index) == list(theirs.index)
    assert list(ours.columns) == list(theirs.columns)
    assert_close(ours, theirs, rtol=1e-8)


def test_nested_anova_of_statsmodels():
    rows = table("prestige").dropna(subset=["type"])
    formulas = ["prestige ~ 1", "prestige ~ education", "prestige ~ education + women + type"]
    ours = sq.anova_lm(*[sq.ols(formula, rows) for formula in formulas])
    theirs = anova_lm(*[smf.ols(formula, rows).fit() for formula in formulas])
    assert list(ours.columns) == list(theirs.columns)
    # F divides by the variance of the largest model, which has 93 degrees of freedom. R takes these; statsmodels takes 96.
    theirs.loc[1, "Pr(>F)"] = stats.f.sf(theirs.loc[1, "F"], 1, 93)
    assert_close(ours, theirs, rtol=1e-8)
