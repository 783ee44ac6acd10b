"""The everyday traps, in which today's packages fall silently, in every form of data: memory, queries, files."""

import numpy as np
import pyarrow as pa
import pytest

import squarely as sq
from squarely.design import iter_blocks
from squarely.errors import DataError
from tests.support.checks import FORMS, assert_close, digits, exact_solution, hand_over

pytestmark = pytest.mark.parametrize("form", FORMS)
NO_NAN = ("jsonl", "pandas")  # JSON has neither NaN nor infinities; pandas merges NULL and NaN


def test_a_unix_time(form, tmp_path):
    """Statsmodels' default answers 6.8e-7 here, glum 0.499."""
    t = 1.334e9 + 3.6 * np.arange(1000)
    y = 0.5 * t + 1e-4 * np.random.default_rng(0).normal(size=1000)
    fit = sq.ols("y ~ t", hand_over(form, {"t": t, "y": y}, tmp_path))
    assert_close(fit.params["t"], 0.5, rtol=1e-7)
    assert fit.rsquared > 0.9999
    assert fit.digits.min() >= 13


def test_b_tiny_scale(form, tmp_path):
    """Glum answers 3.07; pyfixest drops the column."""
    x = 1e-7 * np.arange(100.0)
    fit = sq.ols("y ~ x", hand_over(form, {"x": x, "y": 3e7 * x + 1}, tmp_path))
    assert_close(fit.params, [1, 3e7], rtol=1e-12)


def test_c_income_and_a_rate(form, tmp_path):
    """Scikit-learn's default answers -1e-11 for the rate."""
    rng = np.random.default_rng(1)
    income, rate = rng.normal(6e4, 2e4, 500), rng.normal(0.03, 0.01, 500)
    data = {"income": income, "rate": rate, "y": 0.001 * income + 50 * rate + 2}
    assert_close(sq.ols("y ~ income + rate", hand_over(form, data, tmp_path)).params, [2, 0.001, 50], rtol=1e-10)


def test_d_collinear_columns_are_named(form, tmp_path):
    """Scikit-learn, glum and polars_ols give numbers such as 1.7e13."""
    rng = np.random.default_rng(2)
    a = rng.normal(size=200)
    data = {"a": a, "b": 2 * a, "g": np.where(a > 0, "up", "down"), "up": (a > 0).astype(int), "y": a + rng.normal(size=200)}
    fit = sq.ols("y ~ a + b + g + up", hand_over(form, data, tmp_path))
    assert fit.dropped_columns == ("b = 2 a", "up = g[T.up]")
    assert fit.params.isna().tolist() == [False, False, False, True, True]
    page = " ".join(str(fit.summary()).split())
    assert "b = 2 a" in page
    assert "Reference level, with which the others are compared: g down." in page


def test_e_missing_rows_are_counted_by_column_and_cause(form, tmp_path):
    """Most packages drop or fail without a count."""
    x = [float(i) for i in range(20)]
    if form not in NO_NAN:
        x[3], x[5] = float("nan"), float("inf")
    gaps = [None if i in (7, 9) else value for i, value in enumerate(x)]
    y = [None if i == 9 else 2.0 * i + 1 for i in range(20)]
    group = pa.array([None if i == 11 else "ab"[i % 2] for i in range(20)])
    data = {"x": pa.array(gaps, from_pandas=False), "y": pa.array(y), "g": group}
    fit = sq.ols("y ~ x + g", hand_over(form, data, tmp_path))
    nan = 0 if form in NO_NAN else 1
    dropped = {"x": {"null": 2, "nan": nan, "inf": nan}, "y": {"null": 1, "nan": 0, "inf": 0}, "g": {"null": 1, "nan": 0, "inf": 0}}
    if form == "pandas":
        dropped = {"x": {"null": 0, "nan": 2, "inf": 0}, "y": {"null": 0, "nan": 1, "inf": 0}, "g": {"null": 1, "nan": 0, "inf": 0}}
    assert fit.rows.as_dict() == {"read": 20, "filtered": 0, "weightless": 0, "used": 17 - 2 * nan, "dropped": dropped}
    assert_close(fit.params[["Intercept", "x", "g[T.b]"]], [1, 2, 0], rtol=1e-12, atol=1e-12)
    assert "Rows dropped for g: 1 null" in " ".join(str(fit.summary()).split())
    with pytest.raises(DataError, match=r"missing='raise' refuses them.*Rows dropped for x"):
        sq.ols("y ~ x + g", hand_over(form, data, tmp_path), missing="raise")


def test_f_a_category_that_the_fit_has_not_met(form, tmp_path):
    """Pyfixest gives it the baseline's prediction."""
    fit = sq.ols("y ~ g", hand_over(form, {"g": ["a", "a", "b", "b", "c", "c"], "y": [1.0, 2, 3, 4, 6, 5]}, tmp_path))
    new = hand_over(form, {"g": ["b", "z", "a"]}, tmp_path)
    with pytest.raises(DataError, match=r"'z' in data row 2.*known levels: 'a', 'b', 'c'"):
        fit.predict(new)
    assert_close(fit.predict(hand_over(form, {"g": ["b", "z", "a"]}, tmp_path), unseen="nan"), [3.5, np.nan, 1.5], rtol=1e-12)


def test_h_integers_do_not_overflow(form, tmp_path):
    """DuckDB's SUM(x * x) raises, others wrap."""
    x = np.arange(1, 2001, dtype=np.int32) * 1_000_000
    data = {"x": x, "z": (np.arange(2000) ** 2 % 1000).astype(np.int16), "y": 3 * x.astype(np.int64) + 2}
    fit = sq.ols("y ~ x + I(x * x) + x:z", hand_over(form, data, tmp_path))
    assert_close(fit.params[["Intercept", "x"]], [2, 3], rtol=1e-8)
    assert_close(fit.params[["I(x * x)", "x:z"]], [0, 0], rtol=0, atol=1e-15)


def test_i_what_is_aligned_with_rows_stays_aligned(form, tmp_path):
    """With rows dropped for a gap elsewhere, statsmodels misaligns weights and clusters given as columns (open since 2013)."""
    n = 100
    rng = np.random.default_rng(3)
    x = rng.normal(size=n)
    keep = np.arange(n) % 7 != 3
    data = {"x": pa.array(x, mask=~keep), "y": 2 * x + rng.normal(size=n), "t": np.arange(n), "o": rng.normal(size=n)}
    fit = sq.ols("y ~ x + offset(o)", hand_over(form, data, tmp_path), where="t < 90")
    used = keep & (data["t"] < 90)
    at = np.concatenate([block.rows for block in iter_blocks(fit.design, fit.source)])
    assert at.tolist() == np.flatnonzero(used).tolist()
    assert list(fit.resid.index) == at.tolist()
    b = np.linalg.lstsq(np.column_stack([np.ones(used.sum()), x[used]]), (data["y"] - data["o"])[used], rcond=None)[0]
    assert_close(fit.params, b, rtol=1e-11)
    assert_close(fit.fittedvalues, b[0] + b[1] * x[used] + data["o"][used], rtol=1e-10)


def test_j_float32_columns(form, tmp_path):
    """Scikit-learn loses digits where the mean is 1e4 times the standard deviation."""
    rng = np.random.default_rng(4)
    x = (1e4 + rng.normal(size=1000)).astype(np.float32)
    y = 2.0 * x.astype(float) + rng.normal(size=1000)
    written = x.astype(float) if form in ("csv", "jsonl") else x  # text has the digits that it has
    fit = sq.ols("y ~ x", hand_over(form, {"x": written, "y": y}, tmp_path))
    assert digits(fit.params, exact_solution(np.column_stack([np.ones(1000), x.astype(float)]), y)).min() >= 14
