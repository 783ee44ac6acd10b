"""Accuracy where it is hard to have: collinear columns, pilots that are far off, sums that cancel. Truth is exact, never ours."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from statsmodels.formula.api import ols as peer_ols

import squarely as sq
from tests.support.checks import assert_close, digits, exact_normal_equations, exact_normal_equations_of, exact_solution


def test_trap_d_collinear_columns_are_named():
    rng = np.random.default_rng(2)
    a, pounds = rng.normal(size=200), rng.uniform(1500, 5000, 200)
    data = {"a": a, "b": 2 * a, "lb": pounds, "kg": 0.4536 * pounds, "both": a - 3 * pounds + 7, "five": np.full(200, 5.0)}
    data["y"] = a + pounds + rng.normal(size=200)
    fit = sq.ols("y ~ a + b + lb + kg + both + five", data)
    sentences = ("b = 2 a", "kg = 0.4536 lb", "both = a - 3 lb + 7", "five is constant (5)")
    assert fit.dropped_columns == sentences
    assert fit.params.isna().tolist() == [False, False, True, False, True, True, True]
    assert fit.rank == 3
    small = peer_ols("y ~ a + lb", pd.DataFrame(data)).fit()
    assert_close(fit.params.dropna(), small.params, rtol=1e-9)
    assert_close(fit.bse.dropna(), small.bse, rtol=1e-9)
    with pytest.warns(UserWarning, match="has no column 'b'.*the predictions assume"):
        predicted = fit.predict({"a": data["a"], "lb": data["lb"]})
    assert_close(predicted, small.fittedvalues, rtol=1e-9)
    assert all(sentence in " ".join(str(fit.summary()).split()) for sentence in sentences)
    with pytest.raises(sq.errors.DataError, match=r"b = 2 a"):
        sq.ols("y ~ a + b", data, collinear="raise")


def test_nearly_collinear_columns_are_kept():
    rng = np.random.default_rng(3)
    a, e = rng.normal(size=300), rng.normal(size=300)
    b = a + 1e-10 * e
    fit = sq.ols("y ~ a + b", {"a": a, "b": b, "y": a + b})
    assert fit.rank == 3
    assert fit.solution.factor.method == "triangle"
    truth = exact_solution(np.column_stack([np.ones(300), a, b]), a + b)
    assert digits(fit.params[1:], truth[1:]).min() >= fit.digits[1:].min() - 1
    assert fit.digits[1:].min() >= 8


def test_integers_beyond_double_are_said(tmp_path):
    path = tmp_path / "big.csv"
    path.write_text("x,y\n9007199254740993,1\n2,2\n3,3\n4,5\n")
    for data in (path, {"x": np.array([2**53 + 1, 2, 3, 4]), "y": [1, 2, 3, 5]}):
        fit = sq.ols("y ~ x", data)
        assert fit.rows.rounded == {"x": 1}
        assert "beyond 2**53" in str(fit.summary())


def test_a_pilot_that_is_far_off_is_folded_again():
    """The first batch holds one complete row, far from all others: the center learned from it would cost eight digits."""
    rng = np.random.default_rng(5)
    x = np.concatenate([[0.0], np.full(262_143, np.nan), 1e9 + rng.normal(size=65_536)])
    y = 1e-3 * x + 5 + 1e-6 * rng.normal(size=len(x))
    fit = sq.ols("y ~ x", {"x": x, "y": y})
    assert fit.solution.moments.passes == 2
    assert fit.rows.used == 65_537
    kept = ~np.isnan(x)
    truth = exact_solution(np.column_stack([np.ones(kept.sum()), x[kept]]), y[kept])
    assert digits(fit.params, truth).min() >= 13


def test_without_an_intercept_sums_of_squares_keep_their_digits():
    """Columns are not centered then, and y'y - n mean(y)^2 would lose everything."""
    rng = np.random.default_rng(6)
    x, y = rng.normal(size=400), 1e8 + rng.normal(size=400)
    exact = float(sum((Fraction(v) - sum(map(Fraction, y.tolist())) / 400) ** 2 for v in y.tolist()))
    fit = sq.ols("y ~ x - 1", {"x": x, "y": y})
    assert_close(fit.centered_tss, exact, rtol=1e-9)
    assert not fit.constant_response
    ones = sq.ols("y ~ one + x - 1", {"one": np.ones(400), "x": x, "y": y})
    usual = sq.ols("y ~ x", {"x": x, "y": y})
    assert_close([ones.rsquared, ones.fvalue], [usual.rsquared, usual.fvalue], rtol=1e-7)
    assert_close(usual.centered_tss, exact, rtol=1e-13)


def test_residuals_keep_their_digits():
    """On unix-time the raw prediction has six digits less than the residual that belongs to it."""
    t = 1.334e9 + 3.6 * np.arange(60)
    y = 0.5 * t + np.random.default_rng(0).normal(size=60)
    fit = sq.ols("y ~ t", {"t": t, "y": y})
    b, _, ssr = exact_normal_equations(np.column_stack([np.ones(60), t]), y)
    truth = [float(Fraction(v) - b[0] - b[1] * Fraction(u)) for u, v in zip(t.tolist(), y.tolist(), strict=True)]
    assert_close(fit.resid, truth, rtol=1e-12, atol=1e-13)
    assert_close([fit.ssr, (fit.resid**2).sum()], float(ssr), rtol=1e-12)


def test_a_coefficient_of_zero_has_no_digits_and_hides_none():
    x = np.arange(10.0)
    fit = sq.ols("y ~ x", {"x": x, "y": 2 * x})
    assert fit.params.tolist() == [0.0, 2.0]
    assert np.isnan(fit.digits["Intercept"])
    assert fit.digits["x"] == 15
    assert "Intercept is zero up to rounding" in " ".join(str(fit.summary()).split())


def test_statistics_of_residuals_that_are_all_rounding():
    """On data that almost lie on a curve the residuals are the rounding of y: statistics must come from the refined ones."""
    t = np.arange(1.0, 21.0)
    y = (t + t**2 + t**3) / 7
    fit = sq.ols("y ~ t + t2 + t3", {"t": t, "t2": t**2, "t3": t**3, "y": y})
    X = np.column_stack([np.ones(20), t, t**2, t**3])
    b, _, ssr = exact_normal_equations(X, y)
    fitted = [sum(c * Fraction(x) for c, x in zip(b, row, strict=True)) for row in X.tolist()]
    r = [Fraction(v) - f for v, f in zip(y.tolist(), fitted, strict=True)]
    steps = sum((p - q) ** 2 for p, q in pairwise(r))
    assert_close(fit.durbin_watson, float(steps / ssr), rtol=1e-6)
    assert_close(fit.ssr, float(ssr), rtol=1e-6)
    line = sq.ols("y ~ x", {"x": [0.0, 0, 0, 1, 1, 1], "y": [0.5, 0.5, 0.5, 0.75, 0.75, 0.75]})
    assert line.ssr == 0
    assert np.isnan([line.durbin_watson, line.normality.skew, line.normality.jarque_bera]).all()


def test_columns_computed_without_rounding_are_kept_where_they_tell_apart():
    """With mean / sd of 1e7 a product differs from the span of its factors by 1e-14 of its size, and every digit of that counts."""
    rng = np.random.default_rng(5)
    a, b = 1e7 + rng.normal(size=(2, 48))
    y = rng.normal(size=48) + 5 * (a - 1e7) * (b - 1e7)
    fit = sq.ols("y ~ a * b", {"a": a, "b": b, "y": y})
    exact = [
        [Fraction(1), Fraction(u), Fraction(v), Fraction(u) * Fraction(v)] for u, v in zip(a.tolist(), b.tolist(), strict=True)
    ]
    truth, _, ssr = exact_normal_equations_of(exact, y)
    assert fit.dropped_columns == ()
    assert digits(fit.params, [float(t) for t in truth]).min() >= 13
    assert_close(fit.ssr, float(ssr), rtol=1e-10)


def test_a_cubic_in_unix_time_is_the_cubic():
    """Raw powers span what the orthogonal polynomials span."""
    i = np.arange(70)
    data = {"t": 1_700_000_000 + i * 1200, "u": i.astype(float), "y": np.sin(i / 12)}
    peer = peer_ols("y ~ u + I(u**2) + I(u**3)", pd.DataFrame(data)).fit()
    for formula in ("y ~ t + I(t**2) + I(t**3)", "y ~ poly(t, 3, raw=True)", "y ~ poly(t, 3)"):
        fit = sq.ols(formula, data)
        assert fit.dropped_columns == ()
        assert_close(fit.rsquared, peer.rsquared, rtol=1e-11)
        assert_close(fit.fittedvalues, peer.fittedvalues, rtol=1e-8, atol=1e-9)


def test_dependencies_are_said_truly():
    rng = np.random.default_rng(6)
    a, w = rng.normal(size=(2, 60))
    data = {"a": a, "w": w, "b": 2.0000001 * a, "c": np.pi * a, "z": a + 5.82e-11 * w, "y": rng.normal(size=60)}
    message = sq.ols("y ~ a + w + b + c + z", data).dropped_columns
    assert message[:2] == ("b = 2.0000001 a", "c ≈ 3.141592654 a")  # the sign tells that the number is cut
    assert message[2].startswith("z ≈ a + 5.8")
