"""Digits: the NIST sets in every form, and no fit claims more than it has. Truth is exact or published, never ours."""

from decimal import Decimal
from fractions import Fraction

import numpy as np
import polars as pl
import pytest

import squarely as sq
from tests.support.checks import FORMS, digits, exact_solution, hand_over, nist, nist_columns
from tests.support.exact_reference import bs, centered, dot, fractions, irrational, ns, poly, scaled, solved, true_digits

# The least digits that the project requires. Filip's powers, rounded to double before the fit, leave 7.6 digits to any solver.
FLOORS = {"Norris": 13.5, "Pontius": 13.0, "NoInt1": 14.5, "NoInt2": 14.9, "Filip": 13.5, "Longley": 14.0, "Wampler1": 14.5,
          "Wampler2": 13.0, "Wampler3": 14.5, "Wampler4": 14.5, "Wampler5": 14.5}  # fmt: skip
ROUNDED = {**FLOORS, "Filip": 7.5}
POLYNOMIALS = {"Pontius": 2, "Filip": 10, "Wampler1": 5, "Wampler2": 5, "Wampler3": 5, "Wampler4": 5, "Wampler5": 5}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", FLOORS)
def test_nist_with_powers_as_columns(name, form, tmp_path):
    problem = nist(name)
    formula, data = nist_columns(problem)
    fit = sq.ols(formula, hand_over(form, data, tmp_path))
    as_certified(fit, problem, ROUNDED[name], 7.5 if name == "Filip" else 12)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", POLYNOMIALS)
def test_nist_with_powers_in_the_formula(name, form, tmp_path):
    """There they are formed without rounding, in either way of writing."""
    problem, degree = nist(name), POLYNOMIALS[name]
    data = hand_over(form, {k: v for k, v in nist_columns(problem)[1].items() if k in ("x", "y")}, tmp_path)
    for right in (f"poly(x, {degree}, raw=True)", " + ".join(["x", *(f"I(x**{k})" for k in range(2, degree + 1))])):
        as_certified(sq.ols(f"y ~ {right}", data), problem, FLOORS[name], 12)


def as_certified(fit, problem, floor, least):
    """Hold a fit to NIST's coefficients with `floor` digits, and to its other values with `least`."""
    certified, response = problem["certified"], np.array(problem["response"], float)
    assert digits(fit.params, certified["coefficients"]).min() >= floor
    assert fit.rank == len(fit.params)
    if float(certified["residual_sd"]) == 0:
        assert np.sqrt(fit.mse_resid) < 1e-9 * response.std()
    else:
        assert digits(fit.bse, certified["std_errors"]).min() >= least
        assert digits(fit.rsquared, certified["r_squared"]) >= least


@pytest.mark.parametrize("name", FLOORS)
def test_nist_digits_claimed_are_there_and_enough(name):
    """The truth is the exact solution for the doubles that are stored: the certified values are those of decimal text."""
    problem = nist(name)
    formula, data = nist_columns(problem)
    X = [x for label, x in data.items() if label != "y"]
    X = np.column_stack([np.ones(len(data["y"])), *X]) if problem["intercept"] else np.column_stack(X)
    fit = sq.ols(formula, data)
    assert overclaimed(fit, X, data["y"]) == []
    assert fit.digits.min() >= 13


# Random problems. Each kind gives the columns of X without the constant, and the response.


def conditioned(rng, n, p):
    """Give columns of condition 1 to 1e14, singular values in a geometric row."""
    U, V = np.linalg.qr(rng.normal(size=(n, p)))[0], np.linalg.qr(rng.normal(size=(p, p)))[0]
    return U * np.geomspace(1, 10.0 ** -rng.uniform(0, 14), p) @ V


def response(rng, X):
    """Give a response that X explains up to noise of 1e-12 to 10 of its own size."""
    signal = X @ rng.normal(size=X.shape[1])
    return signal + 10.0 ** rng.uniform(-12, 1) * (np.abs(signal).max() + 1e-300) * rng.normal(size=len(X))


def plain(rng):
    X = conditioned(rng, int(rng.integers(8, 40)), int(rng.integers(1, 6)))
    return X, response(rng, X)


def large_means(rng):
    X = conditioned(rng, int(rng.integers(8, 40)), int(rng.integers(1, 5)))
    X = X + 10.0 ** rng.uniform(0, 9) * rng.normal(size=X.shape[1]) * np.abs(X).max(axis=0)
    return X, response(rng, X) + rng.choice([0.0, 1.0, 1e8])


def many_scales(rng):
    X, y = plain(rng)
    return X * 10.0 ** rng.uniform(-12, 12, X.shape[1]), y * 10.0 ** rng.uniform(-12, 12)


def few_rows(rng):
    """One row more than coefficients, or a few, for a model with the constant."""
    p = int(rng.integers(1, 6))
    X = conditioned(rng, p + 2 + int(rng.integers(0, 3)), p)
    return X + rng.choice([0.0, 1.0, 1e4]), response(rng, X)


def near_twins(rng):
    a, e = rng.normal(size=(2, 30))
    X = np.column_stack([a, a + 10.0 ** rng.uniform(-14, 0) * e, rng.normal(size=30)]) + rng.choice([0.0, 1.0, 100.0])
    return X, response(rng, X)


def powers(rng):
    x = rng.uniform(0, 1, 30) + 10.0 ** rng.uniform(-2, 2)
    X = np.column_stack([x**k for k in range(1, int(rng.integers(2, 7)))])
    return X, response(rng, X)


def perfect(rng):
    """Give whole numbers and a response that is exactly on their plane; a coefficient may be zero, and so may all be."""
    X = rng.integers(-(2 ** int(rng.integers(1, 20))), 2 ** int(rng.integers(1, 20)), size=(20, int(rng.integers(1, 5)))).astype(
        float
    )
    return X, X @ rng.integers(-3, 4, X.shape[1]) + float(rng.integers(-3, 4))


def nearly_perfect(rng):
    """The response is on the plane up to its own rounding, or up to the rounding of a few small values among large ones."""
    X = rng.normal(size=(20, int(rng.integers(1, 5)))) * 10.0 ** rng.uniform(-6, 6, size=(20, 1))
    return X, X @ rng.normal(size=X.shape[1])


def duplicated(rng):
    """Whole numbers, and columns that are exactly twice one of them, the sum of two, or constant."""
    a, b = rng.integers(-1000, 1000, size=(2, 20)).astype(float)
    choice = [2 * a, a + b, a - 4 * b, np.full(20, 3.0)]
    extra = [choice[k] for k in rng.choice(4, size=int(rng.integers(1, 4)), replace=False)]
    X = np.column_stack([a, b, *extra, rng.normal(size=20)])
    return X, response(rng, X)


def outliers(rng):
    X, y = plain(rng)
    X[0] *= 10.0 ** rng.uniform(0, 12)
    y[-1] *= 10.0 ** rng.uniform(0, 12)
    return X, y


def lopsided(rng):
    """Columns of skewed values: most near zero, a few of them very large."""
    X = np.exp(rng.normal(size=(40, int(rng.integers(1, 5)))) * rng.uniform(0.5, 6))
    return X, response(rng, X)


KINDS = (plain, large_means, many_scales, few_rows, near_twins, powers, perfect, nearly_perfect, duplicated, outliers, lopsided)
EACH = 50


def overclaimed(fit, X, y):
    """Name each coefficient and standard error that claims over one digit more than it has; X are the columns kept."""
    return overclaimed_by(fit, [fractions(x) for x in X.T], fractions(y))


def overclaimed_by(fit, columns, y):
    """The same for columns and a response in fractions."""
    truth = solved(columns, y, intercept=False)
    kept = fit.params.notna().to_numpy()
    found = []
    for name, column, b, deviation in zip(fit.params.index[kept], columns, truth.b, truth.errors, strict=True):
        value, claim = fit.params[name], fit.digits[name]
        if np.isnan(claim):  # "zero up to rounding": then it is small beside what it would be if it alone made up y
            natural = float(dot(y, y) / dot(column, column)) ** 0.5
            if max(abs(float(b)), abs(value)) > 1e-9 * natural:
                found.append((name, "claimed zero", value, float(b)))
        elif claim > true_digits(value, b) + 1:
            found.append((name, "coefficient", float(claim), true_digits(value, b), value, float(b)))
        error, claim = fit.bse[name], fit.digits_bse[name]
        if claim > true_digits(error, deviation) + 1:
            found.append((name, "standard error", float(claim), true_digits(error, deviation), error, float(deviation)))
    return found


@pytest.mark.parametrize("intercept", [True, False], ids=["intercept", "none"])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_digits_claimed_are_there(kind, intercept):
    """550 problems: the digits claimed are never more than one above the digits true, of coefficients and standard errors."""
    found = {}
    for seed in range(0 if intercept else 1, EACH, 2):
        X, y = kind(np.random.default_rng([KINDS.index(kind), seed]))
        fit = sq.ols(X=X, y=y, intercept=intercept)
        X = np.column_stack([np.ones(len(y)), X]) if intercept else X
        if fit.rank < X.shape[1]:
            assert np.linalg.cond(X / np.linalg.norm(X, axis=0)) > 1e9, seed  # nothing is dropped that the values tell apart
            assert fit.dropped_columns
        wrong = overclaimed(fit, X[:, fit.params.notna().to_numpy()], y)
        found.update({seed: wrong} if wrong else {})
    assert found == {}


@pytest.mark.parametrize(
    ("n", "gap", "noise"), [(9_000, 1e-9, 1e-6), (20_000, 1e-9, 1.0), (20_000, 1e-5, 1.0), (70_000, 1e-3, 1.0)]
)
def test_digits_claimed_are_there_over_many_blocks(n, gap, noise):
    """Two columns that differ by `gap`: the gradients of the blocks cancel, so they must not be rounded in between."""
    rng = np.random.default_rng(n)
    a = rng.normal(size=n)
    b = a + gap * rng.normal(size=n)
    y = a + b + noise * rng.normal(size=n)
    fit = sq.ols("y ~ a + b", {"a": a, "b": b, "y": y})
    X = np.column_stack([np.ones(n), a, b])
    assert overclaimed(fit, X, y) == []
    assert digits(fit.params, exact_solution(X, y)).min() > 10


def test_standard_errors_of_near_twins_claim_what_they_have():
    """At conditions of 1e13 to 1e15 refinement may stop before it has settled; the residuals then have fewer digits than R."""
    found = {}
    for seed in range(200):
        rng = np.random.default_rng(seed)
        a = rng.normal(size=12)
        b = a + 10.0 ** rng.uniform(-15.2, -13.2) * rng.normal(size=12)
        y = rng.normal(size=12)
        X = np.column_stack([a, b])
        fit = sq.ols(X=X, y=y, intercept=False)
        if fit.rank == 2 and (wrong := overclaimed(fit, X, y)):
            found[seed] = wrong
    assert found == {}


# Columns that are computed or learned: the truth is the mathematics of the formula on the stored doubles.

LEARNED = {
    "center(x)": lambda x: [centered(x)],
    "scale(x)": lambda x: [scaled(x)],
    "scale(x, ddof=1)": lambda x: [scaled(x, 1)],
    "poly(x, 3)": lambda x: poly(x, 3),
    "bs(x, df=5)": lambda x: bs(x, 5),
    "ns(x, df=3)": lambda x: ns(x, 3),
    "log(x)": lambda x: [irrational(Decimal.ln, x)],
    "I(x**0.5 - 2)": lambda x: [[v - 2 for v in irrational(Decimal.sqrt, x)]],
    "I(log(x) - log(2*x + 1))": lambda x: [irrational(lambda v: v.ln() - (2 * v + 1).ln(), x)],
    "I(center(x)**2)": lambda x: [[v**2 for v in centered(x)]],
}
PLACES = {
    "ordinary": lambda x: 12 + 3 * x,
    "far": lambda x: 1e9 + x,
    "far and close": lambda x: 1e6 + np.abs(x) / 10,
    "an outlier": lambda x: np.append(np.abs(x[1:]), 1e4),
    "years": lambda x: 1990 + np.round(10 * x),
}


@pytest.mark.parametrize(("place", "form"), [*((place, "dict") for place in PLACES), ("ordinary", "polars"), ("far", "polars")])
def test_digits_of_computed_and_learned_columns_are_there(place, form):
    """41 rows: no quantile of fifths or thirds is one of the values."""
    rng = np.random.default_rng(3)
    x = PLACES[place](rng.normal(size=41))
    data = {"x": x, "y": (x - x.mean()) / x.std() + rng.normal(size=41)}
    found = {}
    for term, columns in LEARNED.items():
        fit = sq.ols(f"y ~ {term}", data) if form == "dict" else sq.ols(f"y ~ {term}", pl.LazyFrame(data), fold="aggregates")
        if place.startswith("far") and "log(2*x" in term:  # -log(2) up to 1 / x
            assert fit.dropped_columns[0].startswith("I(log(x) - log(2 * x + 1)) is constant (-0.69314")
            continue
        every = [[Fraction(1)] * 41, *columns(fractions(x))]  # a log that varies less than its rounding is dropped as constant
        wrong = overclaimed_by(
            fit, [column for column, b in zip(every, fit.params, strict=True) if not np.isnan(b)], fractions(data["y"])
        )
        found.update({term: wrong} if wrong else {})
        if place == "ordinary" and form == "dict":
            assert fit.digits_bse.min() > 12, term
    assert found == {}


def test_a_mean_far_from_zero_keeps_its_digits():
    """The intercept of a centered column is the mean of the response."""
    rng = np.random.default_rng(0)
    x = 1e12 + rng.normal(size=90)
    y = x - 1e12 + rng.normal(size=90)
    mean = float(sum(fractions(y)) / 90)
    for data in ({"x": x, "y": y}, [{"x": x[:40], "y": y[:40]}, {"x": x[40:], "y": y[40:]}]):
        for term in ("center(x)", "scale(x)"):
            fit = sq.ols(f"y ~ {term}", pl.concat(map(pl.DataFrame, data)) if isinstance(data, list) else data)
            assert digits(fit.params.iloc[0], mean) == 15


@pytest.mark.parametrize("form", ["polars lazy", "duckdb"])
def test_digits_of_what_an_engine_computes_are_there(form, tmp_path):
    """It works in plain doubles: a difference of large products keeps few digits, and merged fits inherit that."""
    rng = np.random.default_rng(0)
    n = 40
    a, b = 1e7 + rng.normal(size=(2, n))
    c, t = np.rint(a * b) + rng.normal(size=n), 1.7e9 + 60.0 * np.arange(n)
    data = {"a": a, "b": b, "c": c, "t": t, "y": rng.normal(size=n) + (t - 1.7e9) / 3600, "z": rng.normal(size=n)}
    exact = {name: fractions(x) for name, x in data.items()}
    a, b, c, t, y, z = (exact[name] for name in "abctyz")
    product = [u * v for u, v in zip(a, b, strict=True)]
    cases = {
        "y ~ I(a*b - c)": ([[u - v for u, v in zip(product, c, strict=True)]], y),
        "y ~ I(t/86400 - 19675)": ([[v / 86400 - 19675 for v in t]], y),
        "c ~ z + offset(a*b)": ([z], [u - v for u, v in zip(c, product, strict=True)]),
        "I(y/3 + 1e9) ~ z": ([z], [v / 3 + 10**9 for v in y]),
        "I(a*b - c) ~ z": ([z], [u - v for u, v in zip(product, c, strict=True)]),
        "y ~ z:I(a*b - c)": ([[w * (u - v) for u, v, w in zip(product, c, z, strict=True)]], y),
    }
    for formula, (columns, response) in cases.items():
        truth = [[Fraction(1)] * n, *columns], response
        fit = sq.ols(formula, hand_over(form, data, tmp_path), fold="aggregates")
        assert overclaimed_by(fit, *truth) == [], formula
        parts = [{name: x[rows] for name, x in data.items()} for rows in (slice(0, 15), slice(15, n))]
        merged = sq.merge([sq.ols(formula, hand_over(form, part, tmp_path), fold="aggregates") for part in parts])
        assert overclaimed_by(merged, *truth) == [], formula


def test_standard_errors_beyond_a_hundred_columns_by_aggregates():
    rng = np.random.default_rng(1)
    n = 600
    data = {"g": [f"l{v:03d}" for v in rng.integers(0, 110, n)], "x": 3e4 + rng.uniform(size=n), "y": rng.normal(size=n)}
    formula = "y ~ g + x + I(x**2) + I(x**3)"
    fit, rows = sq.ols(formula, pl.LazyFrame(data), fold="aggregates"), sq.ols(formula, data)
    assert rows.digits_bse.min() > 12
    assert (digits(fit.bse, rows.bse) >= fit.digits_bse - 1).all()


def test_double_precision_serves_where_a_coefficient_is_zero_beside_its_error(monkeypatch):
    """A column that explains nothing asks for no double-double; near twins do. The digits claimed are there in either case."""
    monkeypatch.setattr("squarely.exact.solve.CHEAP_CELLS", 0)
    rng = np.random.default_rng(4)
    x, z = rng.normal(size=(2, 300))
    idle = 1e-9 * z + rng.normal(size=300)  # its coefficient is held near zero below
    y = 2 * x + rng.normal(size=300)
    X = np.column_stack([np.ones(300), x, idle])
    y = y - idle * exact_solution(X, y)[2] - exact_solution(X, y)[0]
    fit = sq.ols("y ~ x + idle", {"x": x, "idle": idle, "y": y})
    assert abs(fit.params["idle"]) < 1e-12
    assert fit.solution.precision == "double"
    assert overclaimed(fit, X, y) == []
    twins = sq.ols("y ~ x + twin", {"x": x, "twin": x + 1e-7 * z, "y": y})
    assert twins.solution.precision == "extended"
