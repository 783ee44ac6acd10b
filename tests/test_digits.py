"""Digits: the NIST sets through every door, and no fit claims more than it has. Truth is exact or published, never ours."""

from fractions import Fraction

import numpy as np
import pytest

import squarely as sq
from tests.support import DOORS, digits, exact_normal_equations, exact_solution, nist, nist_columns, through_door

# The floors that the project sets itself. Filip's powers, rounded to double before the fit, leave 7.6 digits to whoever solves.
FLOORS = {"Norris": 13.5, "Pontius": 13.0, "NoInt1": 14.5, "NoInt2": 14.9, "Filip": 13.5, "Longley": 14.0, "Wampler1": 14.5,
          "Wampler2": 13.0, "Wampler3": 14.5, "Wampler4": 14.5, "Wampler5": 14.5}  # fmt: skip
ROUNDED = {**FLOORS, "Filip": 7.5}
POLYNOMIALS = {"Pontius": 2, "Filip": 10, "Wampler1": 5, "Wampler2": 5, "Wampler3": 5, "Wampler4": 5, "Wampler5": 5}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("name", FLOORS)
def test_nist_with_powers_as_columns(name, door, tmp_path):
    problem = nist(name)
    formula, data = nist_columns(problem)
    fit = sq.ols(formula, through_door(door, data, tmp_path))
    as_certified(fit, problem, ROUNDED[name], 7.5 if name == "Filip" else 12)


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("name", POLYNOMIALS)
def test_nist_with_powers_in_the_formula(name, door, tmp_path):
    """There they are formed without rounding, in either way of writing."""
    problem, degree = nist(name), POLYNOMIALS[name]
    data = through_door(door, {k: v for k, v in nist_columns(problem)[1].items() if k in ("x", "y")}, tmp_path)
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
    b, inverse, ssr = exact_normal_equations(X, y)
    variance = [ssr * inverse[j][j] / (len(y) - len(b)) for j in range(len(b))]
    kept = fit.params.notna().to_numpy()
    found = []
    for j, name in enumerate(fit.params.index[kept]):
        value, claim = fit.params[name], fit.digits[name]
        if np.isnan(claim):  # "cannot be told from zero": then it is small beside what it would be if it alone made up y
            natural = float(sum(Fraction(v) ** 2 for v in y.tolist()) / sum(Fraction(v) ** 2 for v in X[:, j].tolist())) ** 0.5
            if max(abs(float(b[j])), abs(value)) > 1e-9 * natural:
                found.append((name, "told zero", value, float(b[j])))
        elif claim > true_digits(value, b[j]) + 1:
            found.append((name, "coefficient", float(claim), true_digits(value, b[j]), value, float(b[j])))
        error, claim = fit.bse[name], fit.digits_bse[name]
        truth = Fraction(float(variance[j]) ** 0.5)
        if claim > true_digits(error, truth) + 1:
            found.append((name, "standard error", float(claim), true_digits(error, truth), error, float(truth)))
    return found


def true_digits(value, truth):
    """Count correct digits as `digits` does, of a truth that may be zero."""
    if truth == 0:
        return 15.0 if value == 0 else 0.0
    return min(15.0, -np.log10(max(float(abs(Fraction(float(value)) - truth) / abs(truth)), 1e-16)))


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
