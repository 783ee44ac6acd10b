"""Laws: equations between two fits that hold for every data set. tests/laws/test_laws_mixed.py has them for every kind of column.

Integer weights equal to repeated rows, and a shard taken out again, wait until `ols` takes weights and fits merge.
"""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import squarely as sq
from squarely.data import RowAccount, Source, open_source
from squarely.design import iter_blocks, learn_from_rows, parse_formula
from squarely.moments import fold_moments
from tests.support.checks import assert_close

FORMULA = "y ~ a + b"
seeds = st.integers(0, 10**6)


def table(seed, n=60):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(3, 2, n), rng.uniform(-5, 50, n)
    return {"a": a, "b": b, "y": 1 + 2 * a - 0.1 * b + rng.normal(size=n)}


def numbers(fit):
    return [fit.rsquared, fit.fvalue, fit.llf, fit.ssr, fit.durbin_watson, fit.normality.skew, fit.normality.kurtosis]


@given(seeds, st.floats(1e-6, 1e6))
def test_rescaling_a_column_divides_its_coefficient(seed, c):
    data = table(seed)
    one, other = sq.ols(FORMULA, data), sq.ols(FORMULA, {**data, "b": c * data["b"]})
    assert_close(other.params * [1, 1, c], one.params, rtol=1e-11)
    assert_close(other.bse * [1, 1, c], one.bse, rtol=1e-11)
    assert_close(numbers(other), numbers(one), rtol=1e-9)


@given(seeds, st.floats(-1e6, 1e6))
def test_shifting_a_column_moves_only_the_intercept(seed, c):
    data = table(seed)
    one, other = sq.ols(FORMULA, data), sq.ols(FORMULA, {**data, "a": data["a"] + c})
    assert_close(other.params[1:], one.params[1:], rtol=1e-8)
    assert_close(other.params["Intercept"] + c * other.params["a"], one.params["Intercept"], rtol=1e-8, atol=1e-8)
    assert_close(numbers(other), numbers(one), rtol=1e-7, atol=1e-9)  # a skewness may be next to zero


@given(seeds)
def test_order_of_rows_and_columns_does_not_matter(seed):
    data = table(seed)
    order = np.random.default_rng(seed).permutation(60)
    one, other = sq.ols(FORMULA, data), sq.ols("y ~ b + a", {name: x[order] for name, x in data.items()})
    assert_close(other.params[["Intercept", "a", "b"]], one.params, rtol=1e-12)
    assert_close([other.rsquared, other.llf, other.condition_number], [one.rsquared, one.llf, one.condition_number], rtol=1e-10)


@given(seeds, st.floats(-100, 100))
def test_adding_a_multiple_of_a_column_to_the_response(seed, c):
    data = table(seed)
    one, other = sq.ols(FORMULA, data), sq.ols(FORMULA, {**data, "y": data["y"] + c * data["a"]})
    assert_close(other.params, one.params + np.array([0, c, 0]), rtol=1e-10, atol=1e-10)
    assert_close([other.ssr, other.durbin_watson], [one.ssr, one.durbin_watson], rtol=1e-9)


@given(seeds)
def test_doubled_rows_keep_the_coefficients(seed):
    data = table(seed)
    one, other = sq.ols(FORMULA, data), sq.ols(FORMULA, {name: np.tile(x, 2) for name, x in data.items()})
    assert_close(other.params, one.params, rtol=1e-12)
    assert_close(other.bse, one.bse * np.sqrt(57 / 117), rtol=1e-10)


class Chunked(Source):
    """The same rows in other batches."""

    def __init__(self, data, sizes):
        self.inner, self.sizes = open_source(data), sizes
        self.label, self.columns = "chunks", self.inner.columns

    def kind(self, name):
        return self.inner.kind(name)

    def read(self, numbers, labels=()):
        (batch,) = self.inner.read(numbers, labels)
        start = 0
        for size in [*self.sizes, batch.num_rows]:
            yield batch.slice(start, size)
            start = min(start + size, batch.num_rows)


@given(seeds, st.lists(st.integers(0, 30), max_size=6))
def test_any_cut_into_chunks_gives_the_same(seed, sizes):
    data = table(seed)
    data["a"][5] = np.nan
    one, other = sq.ols(FORMULA, data), sq.ols(FORMULA, Chunked(data, sizes))
    assert one.rows == other.rows
    assert_close(other.params, one.params, rtol=1e-13)
    assert_close(numbers(other), numbers(one), rtol=1e-11)


@given(seeds, st.integers(1, 59))
def test_moments_of_two_parts_add_up_to_the_whole(seed, cut):
    data = table(seed)
    source = open_source(data)
    design = learn_from_rows(parse_formula(FORMULA), source)
    parts = [{name: x[piece] for name, x in data.items()} for piece in (slice(0, cut), slice(cut, None))]
    grams = [fold_moments(design, open_source(part)).gram for part in parts]
    assert_close(grams[0] + grams[1], fold_moments(design, source).gram, rtol=1e-12, atol=1e-10)


def test_accounts_add_up():
    a = RowAccount(read=5, used=3, dropped={"x": {"null": 1, "nan": 1, "inf": 0}})
    b = RowAccount(read=4, used=3, dropped={"y": {"null": 0, "nan": 0, "inf": 1}}, rounded={"x": 2})
    assert a + b == RowAccount(
        read=9,
        used=6,
        dropped={"x": {"null": 1, "nan": 1, "inf": 0}, "y": {"null": 0, "nan": 0, "inf": 1}},
        rounded={"x": 2},
    )


def test_the_users_data_are_never_changed():
    data = table(1)
    data["a"][3] = np.nan
    before = {name: x.copy() for name, x in data.items()}
    fit = sq.ols(FORMULA, data)
    _ = fit.resid, fit.predict(data), fit.summary()
    for name in data:
        np.testing.assert_array_equal(data[name], before[name])
    assert [len(block.rows) for block in iter_blocks(fit.design, fit.source)] == [59]
