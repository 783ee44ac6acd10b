"""Laws of diagnostic tests: batches, units and the order of the rows do not matter, nor how ties are cut."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import squarely as sq
from squarely.inference.post_estimation.diagnostics.row_order import ranges
from squarely.inference.post_estimation.diagnostics.row_order.lagged_products import LaggedProducts
from tests.laws.test_laws import Chunked
from tests.support.checks import assert_close

FORMULA = "y ~ a * b + g"
seeds = st.integers(0, 10**6)
WITHOUT_ORDER = (
    ("het_breuschpagan", {}), ("het_breuschpagan", {"robust": False}), ("het_breuschpagan", {"against": "fitted"}),
    ("het_white", {}), ("het_white", {"special": True}), ("linear_reset", {}), ("linear_reset", {"test_type": "exog"}),
    ("linear_rainbow", {"use_distance": True}), ("het_goldfeldquandt", {"order_by": "t", "drop": 0.2}),
    ("linear_rainbow", {"order_by": "t"}), ("linear_harvey_collier", {"order_by": "t"}), ("acorr_ljungbox", {"order_by": "t"}),
)  # fmt: skip
IN_ORDER = (
    ("het_arch", {"nlags": 3}), ("acorr_breusch_godfrey", {"nlags": 7}), ("acorr_ljungbox", {"lags": 4}),
    ("durbin_watson_test", {}), ("het_goldfeldquandt", {"drop": 0.1}), ("linear_rainbow", {}), ("linear_harvey_collier", {}),
)  # fmt: skip


def table(seed, n=120):
    rng = np.random.default_rng(seed)
    a, b, g = rng.normal(3, 2, n), rng.uniform(-5, 50, n), rng.choice(["p", "q", "r"], n)
    e = rng.normal(size=n).cumsum() * 0.2 + rng.normal(size=n)
    return {"a": a, "b": b, "g": g, "t": rng.permutation(n) / 7, "w": rng.uniform(0.1, 3, n), "y": 1 + 2 * a - 0.1 * b + e}


def numbers(fit, tests=(*WITHOUT_ORDER, *IN_ORDER)):
    return np.array([[*getattr(fit, method)(**options)][:2] for method, options in tests])


@settings(max_examples=15)
@given(seeds, st.lists(st.integers(1, 40), min_size=1, max_size=5), st.sampled_from([None, "w"]))
def test_any_cut_of_the_rows_gives_the_same(seed, sizes, weights):
    data = table(seed)
    one, other = sq.ols(FORMULA, data, weights=weights), sq.ols(FORMULA, Chunked(data, sizes), weights=weights)
    assert_close(numbers(other), numbers(one), rtol=1e-9, atol=1e-12)


@settings(max_examples=8)
@given(seeds, st.floats(0.01, 100))
def test_equal_weights_are_no_weights(seed, weight):
    data = table(seed)
    one, other = sq.ols(FORMULA, data), sq.ols(FORMULA, {**data, "w": np.full(120, weight)}, weights="w")
    assert_close(numbers(other), numbers(one), rtol=1e-8, atol=1e-12)


@settings(max_examples=15)
@given(seeds, st.floats(1e-4, 1e4), st.floats(-1e3, 1e3))
def test_units_of_a_column_and_of_the_response_do_not_matter(seed, c, shift):
    data = table(seed)
    other = {**data, "b": c * data["b"] + shift, "y": data["y"] / c + shift}
    tests = [each for each in (*WITHOUT_ORDER, *IN_ORDER) if "test_type" not in each[1]]  # powers of a * b are others then
    assert_close(numbers(sq.ols(FORMULA, other), tests), numbers(sq.ols(FORMULA, data), tests), rtol=1e-5, atol=1e-8)


@settings(max_examples=15)
@given(seeds)
def test_a_permutation_changes_only_tests_in_the_order_of_the_rows(seed):
    data = table(seed)
    order = np.random.default_rng(seed).permutation(len(data["y"]))
    other = {name: values[order] for name, values in data.items()}
    one, another = (numbers(sq.ols(FORMULA, rows), WITHOUT_ORDER) for rows in (data, other))
    assert_close(another, one, rtol=1e-9, atol=1e-12)


@settings(max_examples=15)
@given(seeds, st.floats(-10, 10))
def test_a_multiple_of_a_column_in_the_response_changes_nothing_of_the_errors(seed, c):
    data = table(seed)
    tests = [(method, options) for method, options in (*WITHOUT_ORDER, *IN_ORDER) if options.get("against") != "fitted"]
    tests = [each for each in tests if each[0] != "linear_reset" and "special" not in each[1]]
    other = {**data, "y": data["y"] + c * data["a"]}
    assert_close(numbers(sq.ols(FORMULA, other), tests), numbers(sq.ols(FORMULA, data), tests), rtol=1e-8, atol=1e-10)


@settings(max_examples=15)
@given(seeds, st.lists(st.integers(1, 9), min_size=1, max_size=40))
def test_lagged_products_of_any_cut(seed, sizes):
    n, rng = sum(sizes), np.random.default_rng(seed)
    a, b = rng.normal(size=(2, n)), rng.normal(size=(3, n))
    ends = np.cumsum(sizes)
    whole, lags = LaggedProducts.of_rows(a, b, (0, 1, 3, 6)), (0, 1, 3, 6)
    pieces = [LaggedProducts.of_rows(a[:, e - m : e], b[:, e - m : e], lags) for e, m in zip(ends, sizes, strict=True)]
    middle = len(pieces) // 2
    right = pieces[middle]
    for piece in pieces[middle + 1 :]:
        right = right + piece
    total = right
    for piece in reversed(pieces[:middle]):
        total = piece + total
    assert_close(total.products, whole.products, rtol=1e-11, atol=1e-11)
    assert total.n == n
    assert_close(total.tail, whole.tail, rtol=0)
    assert_close(total.head, whole.head, rtol=0)


@pytest.mark.parametrize("most_kept", [1, 3, 10**6])
@pytest.mark.parametrize("column", ["constant", "ties", "signed", "distinct", "huge"])
def test_the_selection_of_a_rank_is_that_of_a_sort(column, most_kept, monkeypatch):
    monkeypatch.setattr(ranges, "_MOST_KEPT", most_kept)
    rng = np.random.default_rng(7)
    n = 90
    values = {
        "constant": np.full(n, 3.0),
        "ties": rng.integers(0, 4, n).astype(float),
        "signed": rng.choice([-1.5, -0.0, 0.0, 2.0], n),
        "distinct": rng.normal(size=n),
        "huge": rng.normal(size=n) * 10.0 ** rng.integers(-300, 300, n),
    }[column]
    data = {"x": rng.normal(size=n), "t": values, "y": rng.normal(size=n)}
    order = np.argsort(values, kind="stable")
    fit, here = sq.ols("y ~ x", Chunked(data, [17, 4])), sq.ols("y ~ x", {name: x[order] for name, x in data.items()})
    for method in ("het_goldfeldquandt", "linear_rainbow"):
        assert_close([*getattr(fit, method)(order_by="t")][:2], [*getattr(here, method)()][:2], rtol=1e-10)
