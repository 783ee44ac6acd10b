"""The laws with categories, interactions, rows with gaps, 4-byte floats, whole numbers and booleans."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import squarely as sq
from squarely.data import open_source
from squarely.design import iter_blocks, learn_from_rows, parse_formula
from squarely.moments import fold_moments
from tests.laws.test_laws import Chunked, numbers, seeds
from tests.support.checks import assert_close

MIXED = ["y ~ a * g + b + k", "y ~ g / (a + b) - 1", "y ~ t:b + C(k) * a + g", "y ~ (a + b + g)**2 + t + k", "y ~ g * t * a + b:k"]
BASES = ["y ~ poly(a, 3) * t + g", "y ~ bs(b, df=5) + scale(a):g", "log(y + 1e3) ~ ns(a, df=3) + I(a * b) + sqrt(abs(k)) + g"]


def mixed(seed, n=150):
    """Give every kind of column, gaps in two of them; every cell of the categories has complete rows."""
    rng = np.random.default_rng(seed)
    a, b, k = rng.normal(3, 2, n), rng.uniform(-5, 50, n).astype(np.float32), np.resize([0, 1, 5], n)
    g, t = np.resize(["u"] * 3 + ["w"] * 3 + ["v"] * 3, n).astype(object), np.resize([True] * 9 + [False] * 9, n)
    y = 1 + 2 * a * (g == "v") - 0.1 * b + 0.3 * k * t + rng.normal(size=n)
    gone = rng.choice(n, 8, replace=False)
    a[gone[:3]], a[gone[3]], g[gone[4:6]], y[gone[6]] = np.nan, np.inf, None, np.nan
    return {"a": a, "b": b, "k": k, "g": g, "t": t, "y": y}


def taken(data, rows):
    return {name: x[rows] for name, x in data.items()}


def complete(data):
    """Tell which rows have no gap."""
    return np.isfinite(data["a"]) & np.isfinite(data["y"]) & np.array([level is not None for level in data["g"]])


def same(one, other, rtol=1e-9):
    """Say that two fits are one, coefficient by coefficient, whatever their order."""
    assert set(one.params.index) == set(other.params.index)
    assert_close(other.params[one.params.index], one.params, rtol=rtol, atol=1e-11 * abs(one.params).max())
    assert_close(other.bse[one.bse.index], one.bse, rtol=rtol)
    same_space(one, other, rtol)


def same_space(one, other, rtol=1e-9):
    assert (one.nobs, one.rank, one.k_constant) == (other.nobs, other.rank, other.k_constant)
    assert_close(numbers(other)[:4], numbers(one)[:4], rtol=rtol)
    assert_close(numbers(other)[5:], numbers(one)[5:], rtol=1e-7, atol=1e-9)  # a skewness may be next to zero


def holding(fit, name):
    """Tell which coefficients are of terms that a column takes part in."""
    return np.array([name in label.split(":") for label in fit.params.index])


@given(seeds, st.sampled_from(MIXED + BASES))
def test_the_order_of_rows_does_not_matter_to_any_kind_of_column(seed, formula):
    data = mixed(seed)
    one, other = sq.ols(formula, data), sq.ols(formula, taken(data, np.random.default_rng(seed).permutation(150)))
    same(one, other)
    assert one.rows == other.rows


@given(seeds, st.sampled_from(MIXED))
def test_the_order_of_columns_and_terms_does_not_matter(seed, formula):
    """Words of the formula change places, and with them which column a dummy is left out of; the space stays."""
    data = mixed(seed)
    left, right = formula.split(" ~ ")
    right, constant = (right[:-4], " - 1") if right.endswith(" - 1") else (right, "")
    flipped = right if "(" in right or "/" in right else " + ".join(reversed(right.split(" + ")))
    one, other = sq.ols(formula, data), sq.ols(f"{left} ~ {flipped}{constant}", dict(reversed(data.items())))
    same_space(one, other)
    assert_close(other.fittedvalues, one.fittedvalues, rtol=0, atol=1e-9)


@given(seeds, st.sampled_from(MIXED + BASES), st.lists(st.integers(0, 60), max_size=5))
def test_any_cut_into_chunks_gives_the_same_of_any_kind_of_column(seed, formula, sizes):
    data = mixed(seed)
    one, other = sq.ols(formula, data), sq.ols(formula, Chunked(data, sizes))
    same(one, other)
    assert one.rows == other.rows
    assert_close(other.durbin_watson, one.durbin_watson, rtol=1e-9)


@given(seeds, st.sampled_from(MIXED + BASES), st.integers(10, 140))  # a part without a complete row has no moments
def test_moments_of_two_parts_add_up_for_any_kind_of_column(seed, formula, cut):
    data = mixed(seed)
    source = open_source(data)
    design = learn_from_rows(parse_formula(formula), source)
    one, two = (fold_moments(design, open_source(taken(data, part))) for part in (slice(0, cut), slice(cut, None)))
    whole = fold_moments(design, source)
    assert_close(one.gram + two.gram, whole.gram, rtol=1e-12, atol=1e-10 * np.abs(whole.gram).max())
    assert one.account + two.account == whole.account


@given(seeds, st.sampled_from(MIXED + BASES))
def test_rows_with_gaps_are_rows_that_are_not_there(seed, formula):
    data = mixed(seed)
    one, other = sq.ols(formula, data), sq.ols(formula, taken(data, complete(data)))
    assert one.rows.read - one.rows.used == other.rows.read - other.rows.used + 7
    same(one, other, rtol=1e-11)


@given(seeds, st.sampled_from(MIXED), st.integers(2, 4))
def test_repeated_rows_keep_the_coefficients_of_any_kind_of_column(seed, formula, times):
    data = mixed(seed)
    one, other = sq.ols(formula, data), sq.ols(formula, taken(data, np.tile(np.arange(150), times)))
    assert_close(other.params, one.params, rtol=1e-9, atol=1e-11 * abs(one.params).max())
    assert_close(other.bse, one.bse * np.sqrt(one.df_resid / (times * one.nobs - one.rank)), rtol=1e-9)
    assert_close(other.ssr, times * one.ssr, rtol=1e-10)


@given(seeds, st.sampled_from(MIXED), st.floats(-100, 100))
def test_a_multiple_of_any_column_of_X_moves_its_coefficient_alone(seed, formula, c):
    """Dummies, products and products with dummies are columns like others."""
    data = mixed(seed)
    source = open_source(data)
    one = sq.ols(formula, source)
    held = np.vstack([block.values[:, :-1] for block in iter_blocks(one.design, source)])
    j = np.random.default_rng(seed).integers(held.shape[1])
    y = data["y"].copy()
    y[complete(data)] += c * held[:, j]
    other = sq.ols(formula, {**data, "y": y})
    moved = c * (np.arange(len(one.params)) == j + one.design.intercept)
    assert_close(other.params, one.params + moved, rtol=1e-9, atol=1e-9)
    assert_close([other.ssr, *other.bse], [one.ssr, *one.bse], rtol=1e-8)


@given(seeds, st.sampled_from(MIXED), st.sampled_from("ab"), st.integers(-30, 30))
def test_rescaling_divides_the_coefficients_of_every_term_it_is_in(seed, formula, name, power):
    """By powers of two, which leave 4-byte floats as exact as they were."""
    data, c = mixed(seed), 2.0**power
    one, other = sq.ols(formula, data), sq.ols(formula, {**data, name: data[name] * data[name].dtype.type(c)})
    factor = np.where(holding(one, name), c, 1.0)
    assert_close(other.params * factor, one.params, rtol=1e-9, atol=1e-11 * abs(one.params).max())
    assert_close(other.bse * factor, one.bse, rtol=1e-9)
    same_space(one, other)


@given(seeds, st.sampled_from(MIXED[:1] + MIXED[2:4]), st.floats(-1e4, 1e4))
def test_shifting_moves_only_what_is_within_its_terms(seed, formula, c):
    """Where each term has its main effects, the terms that the column is in, and those of other columns alone, stay."""
    data = mixed(seed)
    one, other = sq.ols(formula, data), sq.ols(formula, {**data, "a": data["a"] + c})
    stays = holding(one, "a")
    assert_close(other.params[stays], one.params[stays], rtol=1e-7, atol=1e-9)
    assert_close(other.bse[stays], one.bse[stays], rtol=1e-7)
    assert_close([other.rsquared, other.llf, other.ssr], [one.rsquared, one.llf, one.ssr], rtol=1e-8)
    assert_close(other.fittedvalues, one.fittedvalues, rtol=0, atol=1e-7)


@given(seeds, st.sampled_from(MIXED), st.floats(1e-6, 1e6), st.booleans())
def test_rescaling_the_response_rescales_everything(seed, formula, c, minus):
    data, c = mixed(seed), -c if minus else c
    one, other = sq.ols(formula, data), sq.ols(formula, {**data, "y": c * data["y"]})
    assert_close(other.params, c * one.params, rtol=1e-9, atol=1e-11 * abs(c * one.params).max())
    assert_close(other.bse, abs(c) * one.bse, rtol=1e-9)
    assert_close([other.rsquared, other.fvalue, other.durbin_watson], [one.rsquared, one.fvalue, one.durbin_watson], rtol=1e-8)


@given(seeds, st.sampled_from(MIXED), st.sampled_from([np.int8, np.uint8, np.int16, np.int64, np.float16, np.float32, np.float64]))
def test_the_type_in_which_a_number_is_stored_does_not_matter(seed, formula, dtype):
    data = mixed(seed)
    one = sq.ols(formula, data)
    other = sq.ols(formula, {**data, "k": data["k"].astype(dtype), "b": data["b"].astype(np.float64)})
    assert [other.params.tolist(), other.bse.tolist()] == [one.params.tolist(), one.bse.tolist()]
    assert numbers(other) == numbers(one)


@given(seeds, st.sampled_from(MIXED))
def test_names_of_levels_do_not_matter(seed, formula):
    data = mixed(seed)
    called = {"u": "a", "v": "a:b [T.c]", "w": 'z"; --', None: None}  # in the order that they had
    one, other = sq.ols(formula, data), sq.ols(formula, {**data, "g": np.array([called[v] for v in data["g"]], object)})
    assert [other.params.tolist(), other.bse.tolist()] == [one.params.tolist(), one.bse.tolist()]
