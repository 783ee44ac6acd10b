"""Categories of many levels are folded as sums by group; they have the numbers of dense columns, and of statsmodels."""

import numpy as np
import pandas as pd
import pytest
from statsmodels.formula.api import ols as peer_ols

import squarely as sq
from squarely.design.encoding import layout
from squarely.errors import DataError
from tests.support.checks import assert_close

FORMULAS = [
    "y ~ g",
    "y ~ x + g",
    "y ~ g - 1",
    "y ~ x * g",
    "y ~ x:g",
    "y ~ g * h + z",
    "y ~ g:h - 1",
    "y ~ C(k, Treatment(5)) + I(x**2):g",
    "y ~ C(g, Sum) + x",
    "y ~ g + C(k) + offset(z)",
]


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(1)
    n = 3_000
    g, k = rng.integers(0, 25, n), rng.integers(0, 40, n)
    x, z = rng.normal(5, 2, n), rng.uniform(size=n)
    h = rng.choice(["u", "v", "w"], n)
    y = np.sin(g) + 0.1 * k + (1 + 0.1 * g) * x + z + (h == "v") + rng.normal(size=n)
    frame = pd.DataFrame({"g": [f"g{i:02d}" for i in g], "k": k, "h": h, "x": x, "z": z, "y": y})
    frame.loc[[3, 700, 2_999], "x"] = np.nan
    return frame


@pytest.mark.parametrize("formula", FORMULAS)
def test_statsmodels_has_the_same_numbers(formula, data):
    fit = sq.ols(formula, data)
    whole = data.dropna(subset=[name for name in ("x",) if name in formula])
    if "offset" in formula:
        whole = whole.assign(y=whole["y"] - whole["z"])
    peer = peer_ols(formula.replace(" + offset(z)", ""), whole).fit()
    assert list(fit.params.index) == list(peer.params.index)
    assert fit.solution.moments.design.layout.blocks or "Sum" in formula
    assert_close(fit.params, peer.params, rtol=1e-9, atol=1e-10)
    assert_close(fit.bse, peer.bse, rtol=1e-9)
    assert_close(fit.cov_params(), peer.cov_params(), rtol=1e-8, atol=1e-12)
    assert_close([fit.rsquared, fit.llf, fit.fvalue], [peer.rsquared, peer.llf, peer.fvalue], rtol=1e-9)
    assert_close(fit.resid, peer.resid, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.parametrize("precision", ["double", "extended"])
def test_dense_columns_have_the_same_numbers(formula, precision, data, monkeypatch):
    fit = sq.ols(formula, data, precision=precision)
    monkeypatch.setattr(layout, "MIN_INDICATORS", 10**9)
    dense = sq.ols(formula, data, precision=precision)
    assert not dense.design.layout.blocks
    assert_close(fit.params, dense.params, rtol=1e-11, atol=1e-12)
    assert_close(fit.bse, dense.bse, rtol=1e-11)
    numbers = [[one.durbin_watson, one.normality.skew, one.normality.kurtosis, one.condition_number] for one in (fit, dense)]
    assert_close(*numbers, rtol=1e-9)
    assert fit.solution.precision == precision
    new = data.iloc[:50]
    assert_close(fit.predict(new), dense.predict(new), rtol=1e-11)


def test_levels_not_met_are_an_error_or_nan(data):
    fit = sq.ols("y ~ x * g", data)
    new = data.iloc[:4].assign(g=["g03", "new", "g24", "g00"])
    with pytest.raises(DataError, match=r"'new' in data row 2"):
        fit.predict(new)
    predicted = fit.predict(new, unseen="nan")
    assert np.isnan(predicted).tolist() == [False, True, False, True]  # the last has no x
    slope = fit.params["x"] + fit.params["x:g[T.g24]"]
    assert_close(predicted.iloc[2], fit.params["Intercept"] + fit.params["g[T.g24]"] + slope * new["x"].iloc[2], rtol=1e-10)


def test_numbers_that_are_nearly_dependent_beside_many_levels_are_kept(monkeypatch):
    """Cross-products take z for a combination of the others; the rows do not, and where these are too many it is an error."""
    monkeypatch.setattr("squarely.exact.factorization._MANY_OPERATIONS", 1)
    rng = np.random.default_rng(4)
    a, e, g = rng.normal(size=2_000), rng.normal(size=2_000), rng.integers(0, 20, 2_000)
    frame = pd.DataFrame(
        {"g": [f"g{i:02d}" for i in g], "a": a, "z": a + 1e-6 * e, "y": a + e + np.sin(g) + rng.normal(size=2_000)}
    )
    fit = sq.ols("y ~ a + z + g", frame)
    assert fit.dropped_columns == ()
    assert fit.solution.factor.method == "triangle"
    peer = peer_ols("y ~ a + e + g", frame.assign(e=(frame["z"] - frame["a"]) * 1e6)).fit()  # the same span, well conditioned
    assert_close(fit.params["z"] * 1e-6, peer.params["e"], rtol=1e-9)
    assert_close(fit.rsquared, peer.rsquared, rtol=1e-10)
    monkeypatch.setattr("squarely.exact.factorization._MOST_OPERATIONS", 1)
    with pytest.raises(DataError, match=r"cannot tell whether 'z' of the data frame depends"):
        sq.ols("y ~ a + z + g", frame)


@pytest.mark.parametrize("operations", [1, 10**18])
def test_nested_levels_are_dropped_and_named(operations, monkeypatch):
    """By cross-products, where a triangle would be too large, as by a triangle."""
    monkeypatch.setattr("squarely.exact.factorization._MANY_OPERATIONS", operations)
    rng = np.random.default_rng(2)
    city = rng.integers(0, 40, 900)
    frame = pd.DataFrame({"city": [f"c{i:02d}" for i in city], "state": [f"s{i // 4}" for i in city], "x": rng.normal(size=900)})
    frame["y"] = frame["x"] + np.sin(city) + rng.normal(size=900)
    fit = sq.ols("y ~ x + state + city", frame)
    assert fit.solution.factor.method == ("moments" if operations == 1 else "triangle")
    assert fit.rank == 41
    assert len(fit.dropped_columns) == 9
    assert fit.dropped_columns[0] == "city[T.c07] = state[T.s1] - city[T.c04] - city[T.c05] - city[T.c06]"
    peer = peer_ols("y ~ x + city", frame).fit()
    assert_close([fit.params["x"], fit.bse["x"]], [peer.params["x"], peer.bse["x"]], rtol=1e-10)
    assert_close(fit.fittedvalues, peer.fittedvalues, rtol=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_levels_of_a_single_row_have_no_slope_of_their_own(seed):
    rng = np.random.default_rng(seed)
    x, g = rng.normal(size=2_000), rng.integers(0, 300, 2_000)
    rows = {"x": x, "g": [f"l{i}" for i in g], "y": rng.normal(size=2_000)}
    fit = sq.ols("y ~ C(g) * x", rows)
    first = min(set(rows["g"]))
    alone = {f"C(g)[T.l{i}]:x" for i in range(300) if (g == i).sum() == 1 and f"l{i}" != first}
    assert set(fit.params.index[fit.params.isna()]) == alone
    groups = [(x[g == i], np.asarray(rows["y"])[g == i]) for i in range(300)]
    lines = sum(np.linalg.lstsq(np.column_stack([np.ones_like(a), a]), b, rcond=None)[1].sum() for a, b in groups if len(a) > 2)
    assert_close(fit.ssr, lines, rtol=1e-10)


def test_no_dense_copy_is_made(data, monkeypatch):
    """Neither cross-products nor residuals ask for the dense table of indicators."""
    monkeypatch.setattr(
        "squarely.design.encoding.categories.ContrastCoding.columns", lambda *_, **__: pytest.fail("a dense table of dummies")
    )
    assert sq.ols("y ~ x + g + C(k)", data).rank == 1 + 1 + 24 + 39


def test_a_column_that_is_zero_but_for_the_pilots_levels():
    """A level that the first rows lack, with values of another size than one."""
    rng = np.random.default_rng(3)
    n = 20_000
    g = np.where(np.arange(n) < 9_000, np.arange(n) % 20, np.arange(n) % 30)
    x = 1e-9 * rng.normal(3, 1, n)
    y = x * 1e9 * (1 + g) + rng.normal(size=n)
    frame = pd.DataFrame({"g": [f"g{i:02d}" for i in g], "x": x, "y": y})
    fit = sq.ols("y ~ g:x", frame)
    peer = peer_ols("y ~ g:x", frame.assign(x=x * 1e9)).fit()
    assert_close(fit.params[1:] * 1e-9, peer.params[1:], rtol=1e-9)
    assert_close(fit.bse[1:] * 1e-9, peer.bse[1:], rtol=1e-9)
