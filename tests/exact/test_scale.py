"""What grows: threads, wide designs, the choice of precision."""

import subprocess
import sys
import threading
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import squarely as sq
from squarely.data.scan import threads as parallel
from squarely.errors import DataError, OptionError
from squarely.exact import condition_of
from squarely.numerics import power_of_two_above, slice_bits, slice_doubles, sliced_dot, slicing_bound
from tests.support.checks import assert_close, digits, exact_solution, without_thread_limits


def table(n, p, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(2, 3, size=(p, n))
    data = {f"x{j}": x for j, x in enumerate(X)}
    return "y ~ " + " + ".join(data), {**data, "y": 1 + X.T @ np.linspace(-1, 1, p) + rng.normal(size=n)}


@given(st.integers(0, 10**6), st.integers(1, 40), st.floats(-20, 20))
def test_sliced_products_lose_as_little_as_they_say(seed, terms, exponent):
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(3, terms)) * 10.0 ** rng.uniform(-8, 0, terms)
    b = rng.normal(size=(terms, 2)) * 10.0**exponent
    low = a * rng.uniform(-1, 1, a.shape) * 2.0**-54
    bits = slice_bits(terms)
    hi, lo = sliced_dot(slice_doubles(a, low, power_of_two_above(a), bits), slice_doubles(b, None, power_of_two_above(b), bits))
    bound = terms * Fraction(slicing_bound(bits)) * Fraction(power_of_two_above(a)) * Fraction(power_of_two_above(b))
    for i in range(3):
        for k in range(2):
            truth = sum((Fraction(x) + Fraction(e)) * Fraction(w) for x, e, w in zip(a[i], low[i], b[:, k], strict=True))
            assert abs(Fraction(hi[i, k]) + Fraction(lo[i, k]) - truth) <= bound


def test_slices_of_eight_thousand_rows_add_up_exactly():
    rng = np.random.default_rng(1)
    a, b = rng.uniform(-1, 1, size=(1, 8192)), rng.uniform(-1, 1, size=(8192, 1))
    hi, lo = sliced_dot(slice_doubles(a, None, 1.0, 20), slice_doubles(b, None, 1.0, 20))
    truth = sum(Fraction(x) * Fraction(y) for x, y in zip(a[0], b[:, 0], strict=True))
    assert abs(Fraction(hi[0, 0]) + Fraction(lo[0, 0]) - truth) <= 8192 * Fraction(slicing_bound(20))


def test_threads_change_no_bit(monkeypatch):
    formula, data = table(200_000, 3)
    many = sq.ols(formula, data)
    monkeypatch.setattr(parallel, "_MAX_WORKERS", 1)
    one = sq.ols(formula, data)
    assert one.solution.params.tobytes() == many.solution.params.tobytes()
    assert one.standard_errors.tobytes() == many.standard_errors.tobytes()
    assert one.durbin_watson == many.durbin_watson


def test_outcomes_come_in_order_and_errors_in_their_turn():
    found = []

    def step(i):
        if i == 7:
            raise DataError("seven")
        return i

    with pytest.raises(DataError, match="seven"):
        found.extend(parallel.map_in_order(range(1000), step))
    assert found == list(range(7))
    found.clear()
    for i in parallel.map_in_order(range(1000), step):
        found.append(i)
        if i == 5:
            break
    assert found == list(range(6))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("squarely")]


def test_blas_has_its_threads_back():
    """Counted in another process, where nothing else has set them."""
    code = """
import numpy as np, squarely as sq
from threadpoolctl import threadpool_info
before = [x["num_threads"] for x in threadpool_info()]
rng = np.random.default_rng(0)
x, y = rng.normal(size=(2, 300_000))
sq.ols("y ~ x", {"x": x, "y": y})
after = [x["num_threads"] for x in threadpool_info()][: len(before)]
assert before == after, (before, after)
"""
    subprocess.run([sys.executable, "-c", code], check=True, env=without_thread_limits())


def test_precision_is_the_users_to_choose():
    formula, data = table(500, 2)
    fits = {word: sq.ols(formula, data, precision=word) for word in ("auto", "double", "extended")}
    assert [fit.solution.precision for fit in fits.values()] == ["extended", "double", "extended"]
    assert "refined in double," in " ".join(str(fits["double"].summary()).split())
    truth = exact_solution(np.column_stack([np.ones(500), data["x0"], data["x1"]]), data["y"])
    assert_close(fits["extended"].params, truth, rtol=1e-15)
    assert_close(fits["double"].params, truth, rtol=1e-13)
    with pytest.raises(OptionError, match="Use 'auto', 'double' or 'extended'"):
        sq.ols(formula, data, precision="quad")


def test_large_tables_are_refined_in_doubles_unless_that_is_too_little(monkeypatch):
    monkeypatch.setattr("squarely.exact.solve.CHEAP_CELLS", 100)
    formula, data = table(500, 2)
    assert sq.ols(formula, data).solution.precision == "double"
    a = data["x0"]
    near = {"a": a, "b": a + 1e-7 * data["x1"], "y": data["y"]}
    assert sq.ols("y ~ a + b", near).solution.precision == "extended"
    assert sq.ols("y ~ a + b", near, precision="double").solution.precision == "double"
    line = {"x": a, "y": 3 * a + 1}  # on the line but for the rounding of y: doubles see nothing, double-double does
    fit = sq.ols("y ~ x", line)
    assert fit.solution.precision == "extended"
    r = [Fraction(y) - Fraction(fit.params["Intercept"]) - Fraction(fit.params["x"]) * Fraction(x) for x, y in zip(a, line["y"])]  # noqa: B905
    assert 0 < fit.ssr <= float(sum(x * x for x in r))


@pytest.mark.parametrize("p", [70, 400])
def test_wide_designs(p):
    """Against LAPACK's least squares on the same columns."""
    formula, data = table(2 * p, p)
    fit = sq.ols(formula, data)
    X = np.column_stack([np.ones(2 * p), *list(data.values())[:-1]])
    b, ssr, *_ = np.linalg.lstsq(X, data["y"], rcond=None)
    assert_close(fit.params, b, rtol=1e-9, atol=1e-11)
    assert_close(fit.ssr, ssr[0], rtol=1e-10)
    R = np.linalg.qr(X, mode="r")
    assert_close(fit.bse, np.sqrt(ssr[0] / (p - 1)) * np.linalg.norm(np.linalg.inv(R), axis=1), rtol=1e-9)
    assert_close(fit.condition_number, np.linalg.cond(X), rtol=1e-10)


def test_wide_and_ill_conditioned():
    formula, data = table(700, 200)
    data["x199"] = data["x0"] + 1e-9 * data["x199"]
    data["x100"] = data["x3"] - 2 * data["x50"]
    fit = sq.ols(formula, data)
    assert fit.solution.factor.method == "triangle"
    assert fit.dropped_columns == ("x100 = x3 - 2 x50",)
    keep = [name for name in data if name not in ("x100", "y")]
    rng = np.random.default_rng(0)
    sample = rng.choice(len(keep), 5, replace=False)
    small = {**{name: data[name] for name in keep}, "y": data["y"]}
    other = sq.ols("y ~ " + " + ".join(keep), small)
    assert_close(fit.params.drop("x100").iloc[sample], other.params.iloc[sample], rtol=1e-7)


@pytest.mark.parametrize("apart", [False, True])
def test_condition_numbers_by_iteration(apart, monkeypatch):
    rng = np.random.default_rng(4)
    R = np.linalg.qr(rng.normal(size=(300, 120)) * np.geomspace(1, 1e-4, 120), mode="r")
    B = np.array([rng.uniform(1, 3, 120), rng.normal(size=120)]) if apart else None
    whole = condition_of(R, B)
    monkeypatch.setattr("squarely.exact.condition_number.MOST_SINGULAR_VALUES", 10)
    assert_close(condition_of(R, B), whole, rtol=5e-3)


@pytest.mark.parametrize("kind", ["both signs", "one sign", "alike"])
def test_many_columns_claim_in_doubles_what_double_double_confirms(kind):
    """Roundings of many terms follow from the root of their squares: also where all terms have one sign."""
    for seed in range(4):
        rng = np.random.default_rng(seed)
        q = int(rng.integers(20, 120))
        n = 3 * q + 20
        X = rng.normal(size=(n, q)) if kind == "both signs" else rng.uniform(0.5, 1.5, size=(n, q))
        if kind == "alike":
            X = np.abs(rng.normal(size=(n, 1))) * (1 + 0.01 * rng.normal(size=(n, q)))
        y = X @ rng.uniform(0.5, 1.5, q) + 10.0 ** rng.uniform(-6, 0) * rng.normal(size=n)
        one, other = (sq.ols(X=X, y=y, intercept=False, precision=word) for word in ("double", "extended"))
        assert (one.digits <= digits(one.params, other.params) + 1).all()
        assert (one.digits_bse <= digits(one.bse, other.bse) + 1).all()
