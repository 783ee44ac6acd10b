"""Diagnostics: the reference cases, statsmodels live, and the faults of other programs that must not be copied."""

import math
import warnings

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats
from statsmodels.stats import diagnostic as peer
from statsmodels.stats.outliers_influence import variance_inflation_factor

import squarely as sq
from squarely.inference.post_estimation.diagnostics.quadratic_forms import probability_below_zero
from tests.oracles.test_inference import DIAGNOSTICS
from tests.support.checks import assert_close
from tests.support.inference_oracles import CASES, assert_values, options_of, table

NAMES = [name for name in CASES if name.startswith(DIAGNOSTICS)]
COLUMNS = {"vif", "vif.gvif", "cond.indices", "sm.vif"}
# What the calls of the cases say, where their options do not.
MORE_OPTIONS = {
    "gretl.bp": {"robust": False}, "sm.gq.rank": {"alternative": "two-sided"}, "gq.less": {"alternative": "decreasing"},
    "gq.two.sided": {"alternative": "two-sided"}, "bg.1": {"nlags": 1}, "bg.4": {"nlags": 4}, "bg.12": {"nlags": 12},
    "bg.1.na": {"nlags": 1}, "bg.4.na": {"nlags": 4}, "bg.12.na": {"nlags": 12}, "sm.bg": {"nlags": 4}, "gretl.bg4": {"nlags": 4},
    "sm.arch": {"nlags": 4}, "ljung": {"lags": 12}, "sm.ljung": {"lags": 12},
}  # fmt: skip
METHODS = {
    "bp.": "het_breuschpagan", "ncv": "het_breuschpagan", "gretl.bp": "het_breuschpagan", "sm.bp": "het_breuschpagan",
    "white": "het_white", "gretl.white": "het_white", "sm.white": "het_white", "sm.arch": "het_arch",
    "gq.": "het_goldfeldquandt", "sm.gq": "het_goldfeldquandt",
    "bg.": "acorr_breusch_godfrey", "sm.bg": "acorr_breusch_godfrey", "gretl.bg4": "acorr_breusch_godfrey",
    "ljung": "acorr_ljungbox", "sm.ljung": "acorr_ljungbox", "dw.": "durbin_watson_test",
    "reset.": "linear_reset", "sm.reset": "linear_reset", "gretl.reset": "linear_reset",
    "harv": "linear_harvey_collier", "rain": "linear_rainbow", "sm.rain": "linear_rainbow",
}  # fmt: skip


def run(name):
    case = CASES[name]
    fit = sq.ols(case["formula"], table(case["data"]))
    method = next(method for beginning, method in METHODS.items() if name.startswith(beginning))
    return getattr(fit, method)(**options_of(case), **MORE_OPTIONS.get(name, {}))


def numbers_of(test):
    """Return the numbers of a test by the names that the cases use."""
    names = ("LM", "lm", "chi2", "GQ", "DW", "HC", "Rain", "LB", "F", "12 | lb_stat")
    numbers = dict.fromkeys(names, test.statistic)
    numbers |= dict.fromkeys(
        ("p", "lm_pvalue", "lmpval", "pLB", "12 | lb_pvalue", "p_two_sided", "p_increasing_wrong"), test.pvalue
    )
    numbers |= {"df": test.df}
    if isinstance(test.df, tuple):
        numbers |= dict(zip(("df1", "df2"), test.df, strict=True))
    if test.f is not None:
        numbers |= dict.fromkeys(("F", "fvalue", "fval"), test.f.statistic)
        numbers |= dict.fromkeys(("pF", "f_pvalue", "fpval"), test.f.pvalue) | dict(zip(("df1", "df2"), test.f.df, strict=True))
    if "Box-Pierce" in test.others:
        statistic, pvalue, _ = test.others["Box-Pierce"]
        numbers |= {"BP": statistic, "pBP": pvalue, "12 | bp_stat": statistic, "12 | bp_pvalue": pvalue}
    return numbers


@pytest.mark.parametrize("name", [name for name in NAMES if name not in COLUMNS])
def test_every_case(name):
    case, test = CASES[name], run(name)
    numbers = numbers_of(test)
    if name == "sm.reset.chi2":
        numbers |= dict(zip(("chi2", "p"), test.others["chi2"], strict=False))
    if name == "ljung":  # Box.test of R computes a p-value as one minus a distribution function, and so has 0
        assert {numbers.pop(key) < 1e-16 for key in ("pLB", "pBP")} == {True}
    if name == "sm.gq.rank":
        case_of_increase = sq.ols(case["formula"], table(case["data"])).het_goldfeldquandt()
        numbers |= {"p_increasing": case_of_increase.pvalue}
    assert_values(case, {key: numbers[key] for key in case["values"] if key in numbers})


@pytest.mark.parametrize("name", ["vif", "sm.vif", "vif.gvif"])
def test_inflation_factors(name):
    case = CASES[name]
    frame = sq.ols(case["formula"], table(case["data"])).vif()
    numbers = frame["GVIF"].to_dict()
    if name == "vif.gvif":
        scaled = frame["GVIF^(1/(2*Df))"].to_dict()
        numbers = {f"GVIF {k}": v for k, v in numbers.items()} | {f"scaled {k}": v for k, v in scaled.items()}
    assert_values(case, {key: numbers[key] for key in case["values"]})


def test_condition_indices():
    case = CASES["cond.indices"]
    frame = sq.ols(case["formula"], table(case["data"])).condition_indices()
    numbers = {f"index{i}": value for i, value in frame["index"].items()}
    numbers |= {f"prop {name}": value for name, value in frame.iloc[-1].items()}
    assert_values(case, {key: numbers[key] for key in case["values"]})


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(8)
    n = 301
    x, z, g = rng.normal(size=n), rng.exponential(size=n), rng.integers(0, 3, n)
    e = rng.normal(size=n) * (1 + 0.4 * np.abs(x))
    for t in range(1, n):
        e[t] += 0.2 * e[t - 1]
    return {"x": x, "z": z, "g": g, "w": rng.uniform(0.2, 3, n), "y": 1 + x - 0.5 * z + 0.1 * z**2 + 0.3 * g + e}


def design(rows):
    return np.column_stack([np.ones(len(rows["x"])), rows["g"] == 1, rows["g"] == 2, rows["x"], rows["z"]]).astype(float)


@pytest.fixture(scope="module", params=["plain", "weights"])
def both(request, rows):
    X = design(rows)
    if request.param == "plain":
        return sq.ols("y ~ C(g) + x + z", rows), sm.OLS(rows["y"], X).fit()
    return sq.ols("y ~ C(g) + x + z", rows, weights="w"), sm.WLS(rows["y"], X, weights=rows["w"]).fit()


def quiet(function, *arguments, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # statsmodels announces named results, and that parts of the rows lose rank
        return function(*arguments, **options)


def test_tests_of_the_weighted_residuals_are_those_of_statsmodels(both):
    fit, theirs = both
    X, u = theirs.model.exog, theirs.wresid
    assert_close([*fit.het_breuschpagan()], quiet(peer.het_breuschpagan, u, X), rtol=1e-8)
    assert_close([*fit.het_breuschpagan(robust=False)], quiet(peer.het_breuschpagan, u, X, robust=False), rtol=1e-8)
    assert_close([*fit.het_white()], quiet(peer.het_white, u, X), rtol=1e-8)
    assert_close([*fit.het_arch(3)], quiet(peer.het_arch, u, nlags=3), rtol=1e-8)
    ours = fit.acorr_ljungbox(7)
    frame = peer.acorr_ljungbox(u, lags=7, boxpierce=True).loc[7]
    assert_close([ours.statistic, ours.pvalue, *ours.others["Box-Pierce"][:2]], frame, rtol=1e-8)
    assert_close(fit.durbin_watson_test().statistic, sm.stats.durbin_watson(u), rtol=1e-10)


def test_the_default_lags_are_those_of_statsmodels(rows):
    few = {name: values[:31] for name, values in rows.items()}
    fit, theirs = sq.ols("y ~ x + z", few), sm.OLS(few["y"], sm.add_constant(np.column_stack([few["x"], few["z"]]))).fit()
    assert_close([*fit.acorr_breusch_godfrey()], quiet(peer.acorr_breusch_godfrey, theirs), rtol=1e-8)
    assert_close([*fit.het_arch()], quiet(peer.het_arch, theirs.resid), rtol=1e-8)
    assert_close(fit.acorr_ljungbox().statistic, peer.acorr_ljungbox(theirs.resid).iloc[-1]["lb_stat"], rtol=1e-8)


def whitened(fit, theirs):
    return sm.OLS(theirs.model.wendog, theirs.model.wexog).fit()


def test_breusch_godfrey_and_reset_of_weighted_rows_are_those_of_the_scaled_rows(both):
    fit, theirs = both
    scaled = whitened(fit, theirs)
    e, n = scaled.resid, len(scaled.resid)  # statsmodels adds a constant to scaled rows, which have none; R does not
    lags = np.column_stack([np.concatenate([np.zeros(lag), e[:-lag]]) for lag in (1, 2, 3)])
    lagged = sm.OLS(e, np.column_stack([theirs.model.wexog, lags])).fit()
    lm = n * (1 - lagged.ssr / scaled.ssr)
    F, p_of_f, _ = lagged.compare_f_test(sm.OLS(e, theirs.model.wexog).fit())
    assert_close([*fit.acorr_breusch_godfrey(3)], [lm, stats.chi2.sf(lm, 3), F, p_of_f], rtol=1e-8)
    root = np.sqrt(getattr(theirs.model, "weights", 1.0)) * np.ones(len(theirs.resid))
    for power, powers in ((2, (2,)), (3, (2, 3)), ([2, 4], (2, 4)), ([3], (3,))):
        added = np.column_stack([theirs.fittedvalues**k * root for k in powers])
        larger = sm.OLS(theirs.model.wendog, np.column_stack([theirs.model.wexog, added])).fit()
        test = fit.linear_reset(power)
        assert_close([test.statistic, test.pvalue], larger.compare_f_test(scaled)[:2], rtol=1e-8)
    z, x = (theirs.model.exog[:, j] for j in (4, 3))
    for power in (3, [3]):
        powers = (2, 3) if power == 3 else (3,)
        added = np.column_stack([column**k * root for k in powers for column in (x, z)])
        larger = sm.OLS(theirs.model.wendog, np.column_stack([theirs.model.wexog, added])).fit()
        test = fit.linear_reset(power, test_type="exog")
        assert_close([test.statistic, test.pvalue], larger.compare_f_test(scaled)[:2], rtol=1e-8)


def test_white_special_and_breusch_pagan_against_fitted_are_auxiliary_regressions(both):
    fit, theirs = both
    f, target = theirs.fittedvalues, theirs.wresid**2
    for test, columns in (
        (fit.het_white(special=True), [f, f**2]),
        (fit.het_breuschpagan(against="fitted"), [f]),
    ):
        auxiliary = sm.OLS(target, sm.add_constant(np.column_stack(columns))).fit()
        assert_close([*test], [len(f) * auxiliary.rsquared, stats.chi2.sf(len(f) * auxiliary.rsquared, len(columns)),
                               auxiliary.fvalue, auxiliary.f_pvalue], rtol=1e-8)  # fmt: skip


def test_auxiliary_regressions_of_a_fit_without_an_intercept_have_a_constant(rows):
    fit = sq.ols("y ~ x + z - 1", rows)
    X = np.column_stack([rows["x"], rows["z"]])
    theirs = sm.OLS(rows["y"], X).fit()
    x, z, target, n = *X.T, theirs.resid**2, len(X)
    for test, columns in ((fit.het_breuschpagan(), [x, z]), (fit.het_white(), [x, z, x * x, x * z, z * z])):
        auxiliary = sm.OLS(target, sm.add_constant(np.column_stack(columns))).fit()
        lm = n * auxiliary.rsquared
        expected = [lm, stats.chi2.sf(lm, len(columns)), auxiliary.fvalue, auxiliary.f_pvalue]
        assert_close([*test], expected, rtol=1e-8)
    center = X - X.mean(axis=0)
    distance = np.einsum("ij,jk,ik->i", center, np.linalg.inv(np.cov(X.T)), center)
    nearest = np.argsort(distance, kind="stable")[: n // 2]
    part = sm.OLS(rows["y"][nearest], X[nearest]).fit()
    F = (theirs.ssr - part.ssr) / (n - n // 2) / part.mse_resid
    assert_close(fit.linear_rainbow(use_distance=True).statistic, F, rtol=1e-8)
    larger = sm.OLS(rows["y"], np.column_stack([X, theirs.fittedvalues**2, theirs.fittedvalues**3])).fit()
    test = fit.linear_reset()
    assert_close([test.statistic, test.pvalue], larger.compare_f_test(theirs)[:2], rtol=1e-8)


@pytest.mark.parametrize("order_by", [None, "x", "g"])
def test_ranges_of_rows_are_fitted_separately(both, order_by, rows):
    fit, theirs = both
    y, X, n = theirs.model.wendog, theirs.model.wexog, len(theirs.model.wendog)
    order = np.arange(n) if order_by is None else np.argsort(rows[order_by], kind="stable")
    for options, first, last in (
        ({}, slice(0, 150), slice(150, n)),
        ({"drop": 0.25}, slice(0, math.floor(0.375 * n)), slice(math.ceil(0.625 * n + 0.01) - 1, n)),
    ):
        parts = [quiet(sm.OLS(y[order[at]], X[order[at]]).fit) for at in (first, last)]
        test = fit.het_goldfeldquandt(order_by=order_by, **options)
        dfs = [part.df_resid for part in parts]
        F = parts[1].mse_resid / parts[0].mse_resid
        assert test.df == (dfs[1], dfs[0])
        assert_close([test.statistic, test.pvalue], [F, stats.f.sf(F, dfs[1], dfs[0])], rtol=1e-8)
    middle = order[math.ceil(0.2 * (n - 1)) :][: math.floor(0.6 * n)]
    part = quiet(sm.OLS(y[middle], X[middle]).fit)
    F = (theirs.ssr - part.ssr) / (n - len(middle)) / part.mse_resid
    assert_close(fit.linear_rainbow(0.6, order_by=order_by).statistic, F, rtol=1e-8)


@pytest.mark.parametrize("order_by", [None, "z", "g"])
def test_recursive_residuals_are_those_of_one_fit_after_another(both, order_by, rows):
    fit, theirs = both
    order = np.arange(len(rows["x"])) if order_by is None else np.argsort(rows[order_by], kind="stable")
    y, X = theirs.model.wendog[order], theirs.model.wexog[order]
    w = []
    for t in range(1, len(y)):
        before, row = X[:t], X[t]
        G = np.linalg.pinv(before.T @ before)
        if np.linalg.norm(row - before.T @ before @ G @ row) < 1e-6 * np.linalg.norm(row):  # in the span of the rows before
            w.append((y[t] - row @ np.linalg.lstsq(before, y[:t], rcond=None)[0]) / math.sqrt(1 + row @ G @ row))
    expected = stats.ttest_1samp(w, 0)
    test = fit.linear_harvey_collier(order_by=order_by)
    assert test.df == len(w) - 1 == len(y) - 6
    assert_close([test.statistic, test.pvalue], [abs(expected.statistic), expected.pvalue], rtol=1e-6)


def test_inflation_factors_are_those_of_statsmodels(rows):
    frame = sq.ols("y ~ x + z + I(x * z)", rows).vif()
    X = np.column_stack([np.ones(len(rows["x"])), rows["x"], rows["z"], rows["x"] * rows["z"]])
    assert_close(frame["GVIF"], [variance_inflation_factor(X, j) for j in (1, 2, 3)], rtol=1e-8)
    assert frame["Df"].tolist() == [1, 1, 1]


# Faults of statsmodels 0.15 (INFERENCE.md 1.3 has them): each of these would be its number.


def test_goldfeld_quandt_has_its_degrees_of_freedom_in_order():
    fit = sq.ols("y ~ M + Ed + Ineq + Prob", table("uscrime"))
    F, pvalue, alternative = fit.het_goldfeldquandt()
    assert alternative == "increasing"
    assert_close(pvalue, 0.8430264417411893, rtol=1e-9)  # R; statsmodels has 0.83997
    assert_close(fit.het_goldfeldquandt(alternative="decreasing").pvalue, 1 - pvalue, rtol=1e-9)
    assert_close(F, CASES["gq.odd"]["values"]["GQ"], rtol=1e-9)


@pytest.mark.parametrize("slopes", [1, 3, 4])
def test_harvey_collier_has_every_recursive_residual(slopes):
    names = ["M", "Ed", "Ineq", "Prob"][:slopes]
    test = sq.ols(f"y ~ {' + '.join(names)}", table("uscrime")).linear_harvey_collier()
    assert test.df == 47 - (slopes + 1) - 1
    assert math.isfinite(test.statistic)


@pytest.mark.parametrize("low", [0.3, 1.0, 4.0])
def test_a_quadratic_form_of_two_variables_has_its_closed_form(low):
    assert_close(probability_below_zero(np.array([-low, 2.0])), 2 / math.pi * math.atan(math.sqrt(low / 2)), rtol=1e-11)


def test_a_quadratic_form_is_a_ratio_of_chi_squares():
    for a, b, ratio in ((3, 5, 0.01), (20, 7, 3.0), (2, 60, 40.0), (1, 1, 1e-6)):
        eigenvalues = np.concatenate([np.full(a, 1.0), np.full(b, -ratio)])
        assert_close(probability_below_zero(eigenvalues), stats.f.cdf(ratio * b / a, a, b), rtol=1e-10)
