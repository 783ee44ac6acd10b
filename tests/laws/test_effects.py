"""Laws of effects: slopes are central differences of predictions, averages are those of the rows, however these are read."""

from unittest import mock

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

import squarely as sq
from squarely.inference.post_estimation.effects import averages
from tests.laws.test_laws import Chunked
from tests.support.checks import assert_close

N = 80
FACTORS = (
    "x", "z", "log(x)", "exp(z / 4)", "sqrt(x)", "I(x ** 2)", "I(x ** 0.5 * z)", "I(2 ** z)", "I(1 / x)", "log1p(x * z + 9)",
    "abs(z - 7)", "scale(x)", "center(x * z)", "poly(x, 3)", "poly(z, 2, raw=True)", "bs(x, df=5)", "ns(z, df=3)",
    "bs(x, knots=[3], degree=2)", "ns(log(x), df=3)", "expm1(scale(z) / 3)", "log10(x) * z", "x * z", "x * g", "g:log(x)",
    "C(g, Sum) * z", "h", "g * h", "C(k)", "h:poly(x, 2)", "offset(log(x))", "offset(z)",
)  # fmt: skip
NUMBERS = ("x", "z")
formulas = st.lists(st.sampled_from(FACTORS), min_size=1, max_size=4, unique=True).map(lambda terms: f"y ~ {' + '.join(terms)}")
seeds = st.integers(0, 10**6)


def table(seed):
    rng = np.random.default_rng(seed)
    rows = pd.DataFrame(
        {
            "x": rng.uniform(1, 5, N),
            "z": rng.uniform(-1, 3, N),
            "g": [*"abc", *rng.choice(list("abc"), N - 3)],
            "h": ["u", "v", *rng.choice(["u", "v"], N - 2)],
            "k": [1, 2, 3, *rng.integers(1, 4, N - 3)],
            "area": rng.integers(0, 4, N),
            "w": rng.uniform(0.2, 3, N),
        }
    )
    return rows.assign(y=np.log(rows["x"]) * rows["z"] + (rows["g"] == "b") + rng.normal(size=N))


def in_formula(fit, names):
    return [name for name in names if name in fit.design.inputs.numbers and name != "y"]


def central_differences(fit, rows, name, step=1e-4):
    """Give slopes (n,) of predictions: a spline ends at the rows, so the outermost values are moved inwards."""
    middle = rows[name].clip(rows[name].min() + step, rows[name].max() - step)
    up, down = (np.asarray(fit.predict(rows.assign(**{name: middle + side}))) for side in (step, -step))
    return (up - down) / (2 * step)


@given(formulas, seeds)
def test_average_slopes_are_central_differences_of_predictions(formula, seed):
    rows = table(seed)
    fit = sq.ols(formula, rows, weights="w")
    for name in in_formula(fit, NUMBERS):
        slopes = central_differences(fit, rows, name)
        size = np.abs(slopes).mean() + fit.mse_resid**0.5
        assert_close(fit.effects(name).estimate[0], np.average(slopes, weights=rows["w"]), rtol=0, atol=1e-3 * size)
        by_area = fit.effects(name, by="area").set_index("area").estimate
        expected = {area: np.average(slopes[i], weights=rows["w"].iloc[i]) for area, i in rows.groupby("area").indices.items()}
        assert_close(by_area, [expected[area] for area in by_area.index], rtol=0, atol=1e-2 * size)


@given(formulas, seeds)
def test_a_slope_at_a_point_is_the_central_difference_there(formula, seed):
    rows = table(seed)
    fit = sq.ols(formula, rows)
    at = {"x": 2.3, "z": 0.7, "g": "b", "h": "v", "k": 2}
    for name in in_formula(fit, NUMBERS):
        used = {column: value for column, value in at.items() if column in fit.design.columns_read[0] + fit.design.columns_read[1]}
        up, down = (fit.predict({**{c: [v] for c, v in used.items()}, name: [at[name] + side]})[0] for side in (1e-5, -1e-5))
        estimate = fit.effects(name, at=used).estimate[0]
        assert_close(estimate, (up - down) / 2e-5, rtol=1e-5, atol=1e-5 * fit.mse_resid**0.5)


@given(formulas, seeds)
def test_average_predictions_are_those_of_the_rows(formula, seed):
    rows = table(seed)
    fit = sq.ols(formula, rows, weights="w")
    size = fit.mse_resid**0.5
    assert_close(fit.margins().estimate[0], np.average(fit.predict(rows), weights=rows["w"]), rtol=1e-9, atol=1e-9 * size)
    for name, value in [*((name, 2.5) for name in in_formula(fit, NUMBERS))]:
        moved = np.asarray(fit.predict(rows.assign(**{name: value})))
        by_area = fit.margins(at={name: value}, by="area").set_index("area").estimate
        expected = {area: np.average(moved[i], weights=rows["w"].iloc[i]) for area, i in rows.groupby("area").indices.items()}
        assert_close(by_area, [expected[area] for area in by_area.index], rtol=1e-8, atol=1e-8 * size)


@given(formulas, seeds)
def test_at_a_point_an_average_is_a_prediction_with_its_standard_error(formula, seed):
    rows = table(seed)
    fit = sq.ols(formula, rows).vcov("HC3")
    read = fit.design.columns_read[0] + fit.design.columns_read[1]
    at = {column: value for column, value in {"x": 2.3, "z": 0.7, "g": "b", "h": "v", "k": 2}.items() if column in read}
    frame, prediction = fit.margins(at=at), fit.get_prediction({column: [value] for column, value in at.items()})
    assert_close(frame.estimate, prediction.predicted_mean, rtol=1e-9, atol=1e-10)
    assert_close(frame.se, prediction.se_mean, rtol=1e-7, atol=1e-10)
    assert_close(frame[["low", "high"]].to_numpy(), prediction.conf_int(), rtol=1e-7, atol=1e-8)


@given(formulas, seeds)
def test_the_cross_products_and_the_rows_give_the_same(formula, seed):
    fit = sq.ols(formula, table(seed), weights="w")

    def estimate():
        labels = [column for column in "gh" if column in fit.design.columns_read[1]]
        frames = [fit.effects(), fit.margins(), *(fit.effects(by=column) for column in labels), fit.margins(at="mean", by=labels)]
        return np.concatenate([frame[["estimate", "se"]].to_numpy().ravel() for frame in frames])

    some = estimate()
    with mock.patch.object(averages, "sum_from_moments", return_value=None):
        assert_close(estimate(), some, rtol=1e-8, atol=1e-9)


@given(formulas, seeds, st.floats(-3, 3))
def test_units_of_a_column_divide_its_slope_and_leave_t(formula, seed, exponent):
    unit = 10.0**exponent
    rows = table(seed)
    linear = formula + " + a + a:g + I(a ** 2)"
    rows["a"] = np.random.default_rng(seed + 1).uniform(1, 2, N)
    one, other = sq.ols(linear, rows), sq.ols(linear, rows.assign(a=unit * rows["a"]))
    assert_close(other.effects("a").estimate * unit, one.effects("a").estimate, rtol=1e-6, atol=1e-8)
    assert_close(other.effects("a", by="area").t, one.effects("a", by="area").t, rtol=1e-6, atol=1e-8)


@given(st.lists(st.integers(0, 30), max_size=6))
def test_any_cut_of_the_rows_gives_the_same(sizes):
    rows = table(3)
    formula = "y ~ log(x) * g + bs(z, df=4)"
    whole, cut = sq.ols(formula, rows, weights="w"), sq.ols(formula, Chunked(rows, sizes), weights="w")
    for read in (
        lambda fit: fit.effects(by="area"),
        lambda fit: fit.margins(at={"x": [2, 3]}, by=["g", "area"]),
        lambda fit: fit.effects("x", slope="eyex", by="g"),
    ):
        assert_close(read(cut)[["estimate", "se"]], read(whole)[["estimate", "se"]], rtol=1e-9)
