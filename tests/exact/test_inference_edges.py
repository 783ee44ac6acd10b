"""What a fit claims at the edges of double precision: after saving, merging and taking out, and where rounding hides something.

Truth is exact rational arithmetic on the stored doubles, statsmodels where it is right, or a closed form.
"""

import json
import math
from fractions import Fraction

import numpy as np
import pytest

import squarely as sq
from squarely.errors import DataError, NumericalError, SquarelyError
from tests.support.checks import assert_close, digits, exact_normal_equations, need

FORMS = ["batches", "aggregates"]


def fitted(formula, data, form="batches", **options):
    if form == "batches":
        return sq.ols(formula, data, **options)
    return sq.ols(formula, need("polars").DataFrame(data).lazy(), fold="aggregates", **options)


def reloaded(fit, tmp_path, change=None):
    fit.save(tmp_path / "fit.json")
    if change is not None:
        document = json.loads((tmp_path / "fit.json").read_text())
        change(document)
        (tmp_path / "fit.json").write_text(json.dumps(document))
    return sq.load(tmp_path / "fit.json")


def halves(data):
    n = len(data["y"])
    return [{name: np.asarray(values)[part] for name, values in data.items()} for part in (slice(0, n // 2), slice(n // 2, n))]


def exact_fit(X, y, *, centered):
    """Give R-squared, F and the covariance (p, p) of the coefficients as floats, exact up to their last rounding."""
    _, inverse, ssr = exact_normal_equations(X, y)
    values = [Fraction(v) for v in np.asarray(y).tolist()]
    n, p = X.shape
    mean = sum(values) / n if centered else Fraction(0)
    tss = sum((v - mean) ** 2 for v in values)
    F = (tss - ssr) / (p - centered) / (ssr / (n - p)) if p > centered else None
    cov = [[float(ssr / (n - p) * x) for x in row] for row in inverse]
    return float(1 - ssr / tss), None if F is None else float(F), np.array(cov)


# Fits on disk.


def powers_first():
    rng = np.random.default_rng(0)
    x, z = np.arange(30) % 7 + 5.0, rng.normal(3, 1, 30)
    return {"x": x, "z": z, "g": ["a", "b"] * 15, "y": rng.normal(size=30)}


@pytest.mark.parametrize("formula", ["y ~ I(x**2) + x", "y ~ x:z + x + z", "y ~ x + z + I(x*z)", "y ~ I(z**3) + z + I(z**2)"])
def test_covariances_of_a_saved_aggregate_fit(formula, tmp_path):
    data = powers_first()
    x, z = data["x"], np.rint(8 * data["z"])  # products of short numbers are exact
    data["z"] = z
    fit = fitted(formula, data, "aggregates")
    back = reloaded(fit, tmp_path)
    columns = {"Intercept": np.ones(30), "x": x, "z": z, "x:z": x * z, "I(x * z)": x * z} | {
        f"I({n} ** {k})": data[n] ** k for n in "xz" for k in (2, 3)
    }
    X = np.column_stack([columns[name] for name in fit.params.index])
    truth = exact_fit(X, data["y"], centered=True)[2]
    assert digits(back.cov_params(), truth).min() > 9
    assert json.dumps(back.as_dict()) == json.dumps(fit.as_dict())


def test_a_root_that_an_earlier_version_cut_is_not_used(tmp_path):
    def cut(document):
        document["root"]["P"] = [row[i:] for i, row in enumerate(document["root"]["P"])]

    fit = fitted("y ~ I(x**2) + x", powers_first(), "aggregates")
    assert_close(reloaded(fit, tmp_path, cut).cov_params(), fit.cov_params(), rtol=1e-9)

    def cut_and_worse(document):
        cut(document)
        document["factor"]["R"][0][0] *= 2

    with pytest.raises(DataError, match="its covariances would be wrong"):
        reloaded(fit, tmp_path, cut_and_worse)


@pytest.mark.parametrize("drop", ["x2", "c", "c2"])
def test_an_aggregate_fit_with_a_dropped_column_loads_and_merges(drop, tmp_path):
    rng = np.random.default_rng(1)
    n = 40
    data = {"x": rng.normal(size=n), "z": rng.normal(size=n), "y": rng.normal(size=n)}
    data |= {"x2": 2 * data["x"], "c": np.full(n, 1.7e9), "c2": data["x"] - data["z"]}
    formula = f"y ~ x + z + {drop}"
    shards = [fitted(formula, half, "aggregates") for half in halves(data)]
    loaded = [reloaded(shard, tmp_path) for shard in shards]
    assert json.dumps(loaded[0].as_dict()) == json.dumps(shards[0].as_dict())
    X = np.column_stack([np.ones(n), data["x"], data["z"]])
    truth = [float(b) for b in exact_normal_equations(X, data["y"])[0]]
    for one in (sq.merge(shards), sq.merge(loaded), shards[0].merge(sq.ols(formula, halves(data)[1]))):
        assert one.rank == 3
        assert digits(one.params.iloc[:3], truth).min() >= one.digits.iloc[:3].min() - 1 > 11


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d["centres"].__setitem__(1, "-inf"),
        lambda d: d["centres"].__setitem__(0, "nan"),
        lambda d: d["scales"].__setitem__(1, 1e308),
        lambda d: d["scales"].__setitem__(0, "inf"),
        lambda d: d["gram"][0].__setitem__(1, 1e308),
        lambda d: d["gram"][1].__setitem__(1, -1e5),
        lambda d: d["solution"]["params"].__setitem__(1, d["solution"]["params"][1] + 1),
        lambda d: d["solution"]["b"][0].__setitem__(0, 7.0),
        lambda d: d["solution"].__setitem__("ssr", 4 * d["solution"]["ssr"]),
        lambda d: d["solution"]["unit_bse"].__setitem__(0, 2 * d["solution"]["unit_bse"][0]),
        lambda d: d["factor"]["R"][0].__setitem__(0, 2 * d["factor"]["R"][0][0]),
        lambda d: d["solution"].__setitem__("mean", ["inf", 0.0, 0.0]),
        lambda d: d["solution"].__setitem__("ssr_off", -1.0),
    ],
)
def test_files_that_contradict_themselves_are_refused(change, tmp_path):
    rng = np.random.default_rng(2)
    fit = sq.ols("y ~ x", {"x": np.arange(9.0), "y": rng.normal(size=9)})
    with pytest.raises(DataError, match="damaged or was changed by hand"):
        reloaded(fit, tmp_path, change)


# Whether columns without an intercept span a constant.


def spans():
    rng = np.random.default_rng(3)
    n = 50
    u, a, x = rng.uniform(size=n), rng.normal(size=n), rng.uniform(1, 2, n)
    share, steps = np.rint(u * 1024) / 1024, np.arange(n) * 2.0
    noise = rng.normal(size=n)
    year = rng.integers(1990, 2025, n) * 1.0
    return {
        "near one": ("y ~ x - 1", {"x": 1 + 1e-8 * u}, False),
        "nearer": ("y ~ x + a - 1", {"x": 1 + 1e-12 * u, "a": a}, False),
        "twins": ("y ~ year + a + b - 1", {"year": year, "a": a, "b": a + 1e-11 * noise}, False),
        "unix": ("y ~ t + a - 1", {"t": 1.7e9 + steps, "a": a}, False),
        "powers": ("y ~ poly(x, 8, raw=True) - 1", {"x": x}, False),
        "a sum": ("y ~ u + v + a - 1", {"u": share, "v": 1 - share, "a": a}, True),
        "a constant": ("y ~ c + a - 1", {"c": np.full(n, 0.1), "a": a}, True),
        "levels": ("y ~ g + a - 1", {"g": ["k", "l"] * (n // 2), "a": a}, True),
        "cells": ("y ~ g:h - 1", {"g": ["k", "l"] * (n // 2), "h": ["p", "q", "q", "p", "p"] * (n // 5)}, True),
        "sums": ("y ~ C(g, Sum) - 1", {"g": ["k", "l"] * (n // 2)}, True),
        "no": ("y ~ a + x - 1", {"a": a, "x": x}, False),
    }


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", spans())
def test_a_constant_is_spanned_or_not(name, form, tmp_path):
    """For whole fits, merged and loaded ones: the exact R-squared about the mean or about zero, and nothing in between."""
    formula, data, spanned = spans()[name]
    data = {**data, "y": 5 + np.random.default_rng(4).normal(size=50)}
    if form == "aggregates" and name in ("twins", "powers"):  # cross-products in doubles cannot tell these columns apart
        with pytest.raises(DataError, match="fold='batches'"):
            fitted(formula, data, form)
        return
    fit = fitted(formula, data, form)
    shards = [fitted(formula, half, form) for half in halves(data)]
    merged = sq.merge(shards)
    every = [fit, merged, reloaded(fit, tmp_path), reloaded(merged, tmp_path)]
    if name not in ("twins", "powers"):  # a difference of cross-products has no digits for these
        every.append(sq.merge([merged, fit], duplicates="keep").remove(fit))
    y, ssr = [Fraction(v) for v in data["y"].tolist()], Fraction(fit.ssr)
    mean = sum(y) / 50 if spanned else Fraction(0)
    truth = float(1 - ssr / sum((v - mean) ** 2 for v in y))
    for one in every:
        assert one.k_constant == spanned
        assert one.df_model == one.rank - spanned
        assert_close(one.rsquared, truth, rtol=1e-7)


def test_statsmodels_agrees_that_a_column_near_one_is_no_constant():
    sm = need("statsmodels.api")
    rng = np.random.default_rng(0)
    x = 1 + 1e-8 * rng.uniform(size=50)
    y = 2 + 5e7 * (x - 1) + rng.normal(size=50)
    fit, other = sq.ols("y ~ x - 1", {"x": x, "y": y}), sm.OLS(y, x).fit()
    for name in ("rsquared", "rsquared_adj", "fvalue", "df_model", "f_pvalue"):
        assert_close(getattr(fit, name), getattr(other, name), rtol=1e-9)


def test_constants_that_differ_between_shards_are_none(tmp_path):
    rng = np.random.default_rng(5)
    a = rng.normal(size=40)
    data = {"c": np.repeat([3.0, 5.0], 20), "a": a, "y": 1 + rng.normal(size=40)}
    first, second = (sq.ols("y ~ c + a - 1", half) for half in halves(data))
    merged = first.merge(second)
    assert (first.k_constant, second.k_constant, merged.k_constant) == (1, 1, 0)
    R2, F, _ = exact_fit(np.column_stack([data["c"], a]), data["y"], centered=False)
    assert_close([merged.rsquared, merged.fvalue], [R2, F], rtol=1e-11)
    rest = merged.remove(second)  # what is left has one again, if the digits still tell
    assert rest.k_constant == 1 or np.isnan(rest.rsquared)
    if not np.isnan(rest.rsquared):
        assert_close(rest.rsquared, first.rsquared, rtol=1e-9)


@pytest.mark.parametrize(("formula", "refused"), [("y ~ u + v - 1", True), ("y ~ g + u - 1", False), ("y ~ u + a - 1", False)])
def test_files_without_the_span_are_refused_where_it_is_not_visible(formula, refused, tmp_path):
    rng = np.random.default_rng(6)
    u = rng.uniform(size=30)
    data = {"u": u, "v": 1 - u, "a": rng.normal(size=30), "g": ["k", "l", "m"] * 10, "y": 1 + rng.normal(size=30)}
    fit = sq.ols(formula, data)
    if refused:
        with pytest.raises(DataError, match="by an earlier version and does not say whether its columns span a constant"):
            reloaded(fit, tmp_path, lambda document: document.pop("span"))
    else:
        assert reloaded(fit, tmp_path, lambda document: document.pop("span")).rsquared == fit.rsquared


# Sums of squares that rounding hides.


def near_plane():
    rng = np.random.default_rng(7)
    x1 = rng.normal(size=40)
    x2 = x1 + 1e-5 * rng.normal(size=40)
    return {"x1": x1, "x2": x2, "y": 1e7 * (x2 - x1) + 1e-9 * rng.normal(size=40)}


@pytest.mark.parametrize("how", ["double", "aggregates", "merged"])
def test_residuals_below_rounding_are_unknown(how, tmp_path):
    data = near_plane()
    whole = sq.ols("y ~ x1 + x2", data)
    X = np.column_stack([np.ones(40), data["x1"], data["x2"]])
    truth = np.sqrt(np.diag(exact_fit(X, data["y"], centered=True)[2]))
    assert digits(whole.bse, truth).min() > 11
    if how == "double":
        fit = sq.ols("y ~ x1 + x2", data, precision="double")
    elif how == "aggregates":
        fit = fitted("y ~ x1 + x2", data, "aggregates")
    else:
        fit = sq.merge(sq.ols("y ~ x1 + x2", half, precision="double") for half in halves(data))
    for one in (fit, reloaded(fit, tmp_path)):
        unknown = [
            one.ssr,
            *one.bse,
            *one.tvalues,
            *one.pvalues,
            one.mse_resid,
            one.fvalue,
            one.f_pvalue,
            one.llf,
            one.aic,
            one.bic,
        ]
        assert np.isnan(unknown).all()
        assert np.isnan([*one.conf_int().to_numpy().ravel(), *one.cov_params().to_numpy().ravel()]).all()
        assert (one.digits_bse == 0).all()
        assert one.rsquared == pytest.approx(1, abs=1e-10)
        assert "residuals are smaller than the rounding" in " ".join(str(one.summary()).split())
    if how == "double":
        robust = fit.vcov("HC3")
        assert np.isnan([*robust.bse, robust.fvalue, robust.f_pvalue, *robust.cov_params().to_numpy().ravel()]).all()
        assert np.isnan(robust.f_test("x1 = 0").pvalue)


def test_a_large_value_with_a_dummy_of_its_own():
    rng = np.random.default_rng(8)
    x, y, d = rng.normal(size=30), rng.normal(size=30), np.zeros(30)
    y[3], d[3] = 1e17, 1.0
    data = {"x": x, "d": d, "y": y}
    truth = exact_fit(np.column_stack([np.ones(30), x, d]), y, centered=True)[2]
    for fit in (sq.ols("y ~ x + d", data), sq.ols("y ~ x + d", data, precision="double"), fitted("y ~ x + d", data, "aggregates")):
        bse = fit.bse["x"]
        assert np.isnan(bse) or digits(bse, truth[1, 1] ** 0.5) >= fit.digits_bse["x"] - 1


# What is left when something is taken out.


@pytest.mark.parametrize("sentinel", [1e5, 1e8, 999999999.0, 1e10, 1e13])
def test_a_shard_with_a_sentinel_taken_out(sentinel):
    rng = np.random.default_rng(9)
    a, b = ({"x": rng.normal(size=30), "y": 1 + rng.normal(size=30)} for _ in range(2))
    b["y"][7] = sentinel
    kept, out = sq.ols("y ~ x", a), sq.ols("y ~ x", b)
    try:
        rest = kept.merge(out).remove(out)
    except NumericalError:
        assert sentinel > 1e8
        return
    X = np.column_stack([np.ones(30), a["x"]])
    R2, F, cov = exact_fit(X, a["y"], centered=True)
    b = [float(v) for v in exact_normal_equations(X, a["y"])[0]]
    assert (digits(rest.params, b) >= rest.digits - 1).all()
    assert not rest.constant_response
    if not np.isnan(rest.bse).any():
        assert (digits(rest.bse, np.sqrt(np.diag(cov))) >= rest.digits_bse - 1).all()
    for value, truth in ((rest.rsquared, R2), (rest.fvalue, F), (rest.llf, kept.llf)):
        assert np.isnan(value) or abs(value / truth - 1) < 10 * max(10.0 ** -rest.digits_bse.min(), 1e-6)


def test_shards_of_a_wide_range_never_give_impossible_numbers():
    """Merged, taken out and put in again: R-squared and p-values within 0 and 1 and F not below 0, or NaN, or refused."""
    for seed in range(8):
        rng = np.random.default_rng(seed)
        shards = []
        for _ in range(3):
            x, y = rng.normal(size=9), rng.normal(size=9)
            y[rng.integers(9)] = 10.0 ** rng.integers(0, 17)
            shards.append(sq.ols("y ~ x" if seed % 2 else "y ~ x - 1", {"x": x, "y": y}))
        merged = sq.merge(shards)
        for out in shards:
            try:
                rest = merged.remove(out)
                fits = [rest, rest.merge(out)]
            except NumericalError:
                continue
            for fit in (merged, *fits):
                values = np.array([fit.rsquared, fit.f_pvalue, *fit.pvalues])
                assert (np.isnan(values) | ((values >= 0) & (values <= 1))).all()
                assert np.isnan(fit.fvalue) or fit.fvalue >= 0
                assert (fit.digits >= 0).any()


# Nothing explained.


@pytest.mark.parametrize("form", [*FORMS, "merged"])
def test_groups_with_equal_means_explain_nothing(form):
    smf, pd = need("statsmodels.formula.api"), need("pandas")
    for seed in range(4):
        rng = np.random.default_rng(seed)
        values = np.round(rng.normal(size=5), 1)
        data = {"g": ["a"] * 10 + ["b"] * 10, "y": np.tile(values, 4)}
        fit = fitted("y ~ g", data, "batches" if form == "merged" else form)
        if form == "merged":
            order = np.argsort(np.arange(20) % 2, kind="stable")
            data = {name: np.asarray(column)[order] for name, column in data.items()}
            fit = sq.merge([sq.ols("y ~ g", half) for half in halves(data)], duplicates="keep")
        assert min(fit.rsquared, fit.fvalue, fit.ess) >= 0
        assert_close(fit.f_pvalue, 1.0, rtol=1e-6)
        assert_close(smf.ols("y ~ g", pd.DataFrame(data)).fit().f_pvalue, 1.0, rtol=1e-6)


@pytest.mark.parametrize("offset", [0.0, 1e9, 1e12])
def test_merged_levels_far_from_zero(offset):
    rng = np.random.default_rng(11)
    g = np.array(["a", "b"] * 30)
    data = {"g": g, "y": offset + rng.normal(size=60)}
    merged = sq.merge(sq.ols("y ~ C(g) - 1", half) for half in halves(data))
    X = np.column_stack([g == "a", g == "b"]).astype(float)
    R2, F, _ = exact_fit(X, data["y"], centered=True)
    assert_close([merged.rsquared, merged.fvalue], [R2, F], rtol=1e-11)
    whole = [sq.merge([merged, merged], duplicates="keep").remove(merged)] if offset == 0 else []
    for fit in whole:
        assert_close(fit.rsquared, R2, rtol=1e-10)


def test_the_spread_of_a_response_less_an_offset():
    rng = np.random.default_rng(12)
    off = (1e13 + 1e12 / 7 + 1e4 * rng.normal(size=15)) / 3
    y = 60 * rng.normal(size=15) + off
    less = [Fraction(a) - Fraction(b) for a, b in zip(y.tolist(), off.tolist(), strict=True)]
    mean = sum(less) / 15
    fit = sq.ols("y ~ C(g) - 1 + offset(o)", {"g": ["a", "b", "c"] * 5, "o": off, "y": y})
    assert_close(fit.centered_tss, float(sum((v - mean) ** 2 for v in less)), rtol=1e-12)


def test_a_response_that_varies_by_a_spacing_is_no_constant():
    data = {"x": np.arange(20.0), "y": 9e15 + np.array([0, 2.0] * 10)}
    X = np.column_stack([np.ones(20), data["x"]])
    R2, F, _ = exact_fit(X, data["y"], centered=True)
    for fit in (sq.ols("y ~ x", data), sq.merge(sq.ols("y ~ x", half) for half in halves(data))):
        assert not fit.constant_response
        assert_close([fit.rsquared, fit.fvalue], [R2, F], rtol=1e-9)
    one = {"x": np.arange(20.0), "y": np.append(np.full(19, 0.1), np.nextafter(0.1, 1))}
    assert not sq.ols("y ~ x", one).constant_response
    for value in (0.1, 0.0, 1e15 / 3, -7e-60):
        flat = {"x": np.arange(20.0), "y": np.full(20, value)}
        for form in FORMS:
            assert fitted("y ~ x", flat, form).constant_response
        assert sq.merge(sq.ols("y ~ x", half) for half in halves(flat)).constant_response


# The shape of residuals, scales, tails, arguments.


def exact_shape(X, y):
    b = exact_normal_equations(X, y)[0]
    r = [
        Fraction(v) - sum(c * Fraction(x) for c, x in zip(b, row, strict=True))
        for v, row in zip(y.tolist(), X.tolist(), strict=True)
    ]
    mean = sum(r) / len(r)
    m2, m3, m4 = (float(sum(((v - mean) * 2**60) ** k for v in r) / len(r)) for k in (2, 3, 4))
    return m3 / m2**1.5, m4 / m2**2


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("noise", [1e-6, 1e-11, 1e-15, 0.0])
def test_shape_of_the_residuals_of_a_nearly_perfect_fit(noise, intercept):
    rng = np.random.default_rng(13)
    H = np.array([[1 / (i + j + 1) for j in range(4)] for i in range(14)])
    y = H.sum(axis=1) + noise * rng.exponential(size=14)
    fit = sq.ols(X=H, y=y, intercept=intercept)
    X = np.column_stack([np.ones(14), H]) if intercept else H
    assert_close([fit.normality.skew, fit.normality.kurtosis], exact_shape(X, y), rtol=1e-9)


@pytest.mark.parametrize("how", ["double", "aggregates"])
@pytest.mark.parametrize("noise", [1.0, 1e-6, 1e-12, 1e-15])
def test_shape_in_doubles_is_right_or_unknown(noise, how):
    rng = np.random.default_rng(14)
    x = rng.normal(size=40)
    y = 3 + x + noise * rng.exponential(size=40)
    fit = sq.ols("y ~ x", {"x": x, "y": y}, precision="double") if how == "double" else fitted("y ~ x", {"x": x, "y": y}, how)
    if noise >= 1e-6:
        assert_close([fit.normality.skew, fit.normality.kurtosis], exact_shape(np.column_stack([np.ones(40), x]), y), rtol=1e-5)
    else:
        assert np.isnan([fit.normality.skew, fit.normality.omnibus, fit.durbin_watson]).all()
        assert "rounding" in " ".join(str(fit.summary()).split())


@pytest.mark.parametrize("scales", [(1e-25, 1e25), (1e20, 1e-12), (1.0, 1e-30)])
def test_condition_number_of_columns_of_unlike_scales(scales):
    rng = np.random.default_rng(15)
    X = rng.normal(size=(30, 2)) * scales
    fit = sq.ols(X=X, y=rng.normal(size=30), intercept=False)
    (a, c), (_, b) = [
        [sum(Fraction(u) * Fraction(v) for u, v in zip(X[:, i], X[:, j], strict=True)) for j in range(2)] for i in range(2)
    ]
    trace, det = a + b, a * b - c * c
    largest = float(trace) / 2 * (1 + math.sqrt(float(1 - 4 * det / trace**2)))
    assert_close(fit.condition_number, largest / math.sqrt(float(det)), rtol=1e-10)


@pytest.mark.parametrize("alpha", [0.05, 1e-12, 1e-15, 1e-17, 1e-100, 1e-300])
def test_limits_far_out(alpha):
    """The t distribution with one and two degrees of freedom has closed forms."""
    fit = sq.ols("y ~ x", {"x": [0.0, 1.0, 2.0, 3.0], "y": [1.0, 3.0, 5.0, 8.0]})
    t = (fit.conf_int(alpha)[1] - fit.params) / fit.bse
    assert_close(t, [(1 - alpha) * math.sqrt(2 / alpha / (2 - alpha))] * 2, rtol=1e-9)
    one = sq.ols("y ~ x - 1", {"x": [1.0, 2.0], "y": [1.0, 3.0]})
    t = (one.conf_int(alpha)[1] - one.params) / one.bse
    assert_close(t, [1 / math.tan(math.pi * alpha / 2)], rtol=1e-9)


ODD = [5, -1, 1.5, True, "x", b"x", [], {}, [1], ["a"], (), set(), object(), np.array([1.0, 2]), 10**40, 1j, type, "\0", None]


def test_arguments_of_any_type_are_refused_in_our_own_words(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = {"x": [0.0, 1.0, 2.0, 3.0], "y": [1.0, 3.0, 5.0, 8.0]}
    fit = sq.ols("y ~ x", data)
    calls = {
        "load": sq.load,
        "merge": sq.merge,
        "remove": lambda v: sq.merge([fit], remove=v),
        "merge one": lambda v: fit.merge(v),
        "remove one": lambda v: fit.remove(v),
        "save": fit.save,
        "conf_int": fit.conf_int,
        "unseen": lambda v: fit.predict(data, unseen=v),
        "predictions": lambda v: list(fit.predictions(v)),
        "write": lambda v: fit.write_predictions(data, v),
        "intercept": lambda v: sq.ols(X=[[1.0], [2.0], [4.0]], y=[1.0, 2.0, 5.0], intercept=v),
    }
    for option in ("missing", "collinear", "precision", "fold", "where", "order_by"):
        calls[option] = lambda v, option=option: sq.ols("y ~ x", data, **{option: v})
    for option in ("precision", "fold"):
        calls[f"preview {option}"] = lambda v, option=option: sq.preview("y ~ x", data, **{option: v})
    wrong = []
    for name, call in calls.items():
        for value in ODD:
            try:
                call(value)
            except SquarelyError:
                pass
            except Exception as error:  # any other is what is looked for
                wrong.append((name, value, type(error).__name__))
    assert wrong == []


def test_twin_names_in_X():
    pd = need("pandas")
    twins = pd.DataFrame([[1.0, 2.0], [2.0, 5.0], [3.0, 1.0], [4.0, 4.0]], columns=["a", "a"])
    with pytest.raises(DataError, match="Two columns of X have the same name"):
        sq.ols(X=twins, y=[1.0, 2.0, 3.0, 5.0])
    with pytest.raises(DataError, match="Two columns of y have the same name"):
        sq.ols(X=[1.0, 2.0, 3.0, 5.0], y=twins)


@pytest.mark.parametrize("kind", ["HC0", "HC3"])
@pytest.mark.parametrize("slope", [3.0, 1e9])
def test_robust_errors_of_residuals_that_doubles_lose(kind, slope):
    """With a slope of 1e9 the fitted values are 1e13 times the residuals, so doubles would leave three digits of those."""
    rng = np.random.default_rng(3)
    x = np.arange(30.0)
    y = slope * x + rng.integers(-4, 5, 30) * 2.0**-10
    X = np.column_stack([np.ones(30), x])
    b, inverse, _ = exact_normal_equations(X, y)
    variance = Fraction(0)
    for row, value in zip(X.tolist(), y.tolist(), strict=True):
        z = [Fraction(a) for a in row]
        effect = [inverse[i][0] * z[0] + inverse[i][1] * z[1] for i in (0, 1)]
        h = effect[0] * z[0] + effect[1] * z[1]
        e = Fraction(value) - b[0] * z[0] - b[1] * z[1]
        variance += (effect[1] * e / (1 - h if kind == "HC3" else 1)) ** 2
    assert_close(sq.ols("y ~ x", {"x": x, "y": y}, vcov=kind).bse["x"], math.sqrt(variance), rtol=1e-11)
