"""The verdicts on answers made elsewhere: each has a case that brings it about, and one that comes close.

Answers come from scikit-learn, statsmodels, torch and NumPy.
"""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import statsmodels.formula.api as smf
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import ElasticNet, HuberRegressor, Lasso, LinearRegression, Ridge, SGDRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler

import squarely as sq
from tests.support.checks import assert_close, need

CARS = sq.datasets.cars()
NAMES = ["displacement", "weight", "acceleration"]
FORMULA = f"mpg ~ {' + '.join(NAMES)}"
X, Y = CARS[NAMES].astype(float), CARS["mpg"]


@pytest.fixture(scope="module")
def fit():
    return sq.ols(FORMULA, CARS)


@pytest.fixture(scope="module")
def bse():
    return sm.OLS(Y, sm.add_constant(X)).fit().bse.to_numpy()


def named(model, *, intercept=None):
    """Give the coefficients of a model of scikit-learn by name."""
    return {"Intercept": model.intercept_ if intercept is None else intercept, **dict(zip(NAMES, model.coef_, strict=True))}


def moved(params, bse, by, seed=0):
    """Move coefficients by so many standard errors in a random direction."""
    step = np.random.default_rng(seed).normal(size=len(params))
    return {name: value + move for (name, value), move in zip(params.items(), by * bse * step / abs(step).max(), strict=True)}


EXACT = LinearRegression().fit(X, Y)


def test_least_squares_of_others_agrees(fit, bse):
    for params in (EXACT, smf.ols(FORMULA, CARS).fit(), named(EXACT), pd.Series(named(EXACT))):
        certificate = sq.certify(fit, params=params)
        assert certificate.agree
        assert certificate.same_rows in (None, True)
        assert np.abs(certificate.gap_se).max() < 1e-9
        assert certificate.bound.standard_errors < 1e-9  # by the gradient on the rows, without the exact answer
    assert sq.certify(fit, params=moved(named(EXACT), bse, 0.009)).agree
    away = sq.certify(fit, params=moved(named(EXACT), bse, 0.012))
    assert away.verdict == "disagree"
    assert_close(np.abs(away.gap_se).max(), 0.012, rtol=1e-6)
    assert "is not zero at the answer" in away.cause


# Other rows


@pytest.mark.parametrize(
    ("used", "words"),
    [
        (CARS.index < 300, "for the first 300 rows of 398"),
        (CARS.index >= 50, "for the last 348 rows of 398"),
        (CARS.index != 77, "without row 78 of the data"),
        (CARS["weight"] > 2500, f"for the {(CARS['weight'] > 2500).sum()} rows of 398 with weight at least"),
        (CARS["mpg"] < 40, f"for the {(CARS['mpg'] < 40).sum()} rows of 398 with mpg at most"),
        (CARS["horsepower"].notna(), "for the 392 rows that are complete in 'horsepower'"),
    ],
)
def test_other_rows(fit, bse, used, words):
    params = named(LinearRegression().fit(X[used], Y[used]))
    certificate = sq.certify(fit, params=params)
    assert certificate.verdict == "different rows"
    assert words in certificate.cause
    close = moved(params, bse, 0.02 * np.abs(certificate.gap_se).max(), seed=1)
    assert sq.certify(fit, params=close).verdict == "disagree"


def test_more_rows_than_the_fit_has():
    data = CARS.assign(gap=np.where(CARS.index % 7, 1.0, np.nan), text=np.where(CARS.index % 11, "a", None))
    certificate = sq.certify(FORMULA, data, params=EXACT, where="weight > 2500")
    assert certificate.verdict == "different rows"
    assert "for 398 rows, without where=" in certificate.cause
    for used, words in (
        (data["text"].notna(), "complete in 'text'"),
        (data.notna().all(axis=1), "complete in 'horsepower', 'gap' and 'text'"),
        (data["gap"].notna() & (data["weight"] > 2500), "complete in 'gap'"),
    ):
        where = "weight > 2500" if "'gap'" in words[:18] else None
        other = sq.certify(FORMULA, data, params=LinearRegression().fit(X[used], Y[used]), where=where)
        assert words in other.cause


def test_a_row_counted_twice(fit):
    twice = LinearRegression().fit(pd.concat([X, X[5:6]]), pd.concat([Y, Y[5:6]]))
    certificate = sq.certify(fit, params=twice)
    assert certificate.verdict == "different rows"
    assert "with row 6 of the data counted twice" in certificate.cause


def test_the_number_of_rows_decides_where_the_results_have_it(fit):
    part = CARS.sample(350, random_state=0)
    results = smf.ols(FORMULA, part).fit()
    certificate = sq.certify(fit, params=results)
    assert certificate.verdict == "different rows"
    assert "used 350 rows, and least squares 398" in certificate.cause
    assert certificate.same_rows is False
    unknown = sq.certify(fit, params=results.params)  # numbers alone do not say it
    assert unknown.verdict == "disagree"
    assert "Other rows are likely" in unknown.cause
    assert sq.certify(FORMULA, part, params=results).agree


def test_rows_without_their_weights():
    weights = np.linspace(1.0, 3.0, len(CARS))
    data = CARS.assign(w=weights)
    certificate = sq.certify(FORMULA, data, params=EXACT, weights="w")
    assert certificate.verdict == "different rows"
    assert "without weights" in certificate.cause
    assert sq.certify(FORMULA, data, params=sm.WLS(Y, sm.add_constant(X), weights=weights).fit(), weights="w").agree


# Other columns


def test_a_column_that_was_left_out(fit):
    part = LinearRegression().fit(X[NAMES[:2]], Y)
    params = {"Intercept": part.intercept_, **dict(zip(NAMES, [*part.coef_, 0.0], strict=True))}
    certificate = sq.certify(fit, params=params)
    assert certificate.verdict == "other columns"
    assert "is least squares without it" in certificate.cause
    assert sq.certify(fit, params=named(EXACT) | {"acceleration": 0.0}).verdict != "other columns"  # the others are of all columns
    assert sq.certify(fit, params=params | {"acceleration": 1e-3}).verdict != "other columns"


def test_another_order_of_numbers_without_names(fit):
    numbers = [*EXACT.coef_, EXACT.intercept_]
    certificate = sq.certify(fit, params=numbers)
    assert certificate.verdict == "other columns"
    assert "in another order: 'displacement', 'weight', 'acceleration' and 'Intercept'" in certificate.cause
    assert sq.certify(fit, params=[EXACT.intercept_, *EXACT.coef_]).agree
    shifted = np.array(numbers) * [1.0, 1.2, 1.0, 1.0]
    assert sq.certify(fit, params=shifted).verdict == "disagree"
    slope, level = np.polyfit(X["weight"], Y, 1)  # the highest power first
    assert "in another order" in sq.certify("mpg ~ weight", CARS, params=[slope, level]).cause


# Other units


@pytest.mark.parametrize(
    ("scaler", "words"),
    [
        (StandardScaler(), "columns that are standardized"),
        (StandardScaler(with_mean=False), "columns that are divided by their standard deviations"),
        (MinMaxScaler(), "columns that are scaled to the range from 0 to 1"),
        (MaxAbsScaler(), "columns that are divided by their largest absolute values"),
    ],
)
def test_units_of_scaled_columns(fit, scaler, words):
    Z = scaler.fit_transform(X)
    model = LinearRegression().fit(Z, Y)
    certificate = sq.certify(fit, params=named(model))
    assert certificate.verdict == "other units"
    assert words in certificate.cause
    assert sq.certify(fit, params=model, scaler=scaler).agree
    off = named(model) | dict(zip(NAMES, model.coef_ * [-9.0, 0.2, 5.0], strict=True))
    assert sq.certify(fit, params=off).verdict == "disagree"


def test_units_of_a_scaled_response(fit):
    Z, z = StandardScaler().fit_transform(X), (Y - Y.mean()) / Y.std(ddof=0)
    certificate = sq.certify(fit, params=named(LinearRegression().fit(Z, z)))
    assert certificate.verdict == "other units"
    assert "columns and a response that are standardized" in certificate.cause


def test_a_penalty_in_other_units_has_both_causes(fit):
    """The answer is that of scikit-learn's Ridge on standardized columns, and it is still in their units."""
    model = Ridge(alpha=10.0).fit(StandardScaler().fit_transform(X), Y)
    certificate = sq.certify(fit, params=named(model))
    assert certificate.verdict == "other units"
    assert "Beyond that: Ridge regression with alpha=10 on standardized columns" in certificate.cause


def test_weight_decay_in_other_units_has_both_causes(fit):
    Z = np.column_stack([np.ones(len(X)), StandardScaler().fit_transform(X)])
    w = np.linalg.solve(Z.T @ Z + 20.0 * np.eye(4), Z.T @ Y)
    certificate = sq.certify(fit, params=w)
    assert certificate.verdict == "other units"
    assert "those of columns that are standardized." in certificate.cause
    assert "alpha=20 on standardized columns and the intercept" in certificate.cause


def test_another_unit_of_one_column(fit, bse):
    params = named(EXACT) | {"weight": EXACT.coef_[1] * 2.20462}
    certificate = sq.certify(fit, params=params)
    assert certificate.verdict == "other units"
    assert "'weight' differs, by the factor 2.20462" in certificate.cause
    assert sq.certify(fit, params=moved(params, bse, 0.1)).verdict == "disagree"


# A penalty


@pytest.mark.parametrize("alpha", [0.5, 10.0, 2000.0])
def test_ridge_has_its_penalty(fit, bse, alpha):
    for model, words in (
        (Ridge(alpha=alpha).fit(X, Y), "on the columns as they are"),
        (make_pipeline(StandardScaler(), Ridge(alpha=alpha)).fit(X, Y), "on standardized columns"),
    ):
        certificate = sq.certify(fit, params=model, tau=1e-4)
        assert certificate.verdict == "penalized"
        assert f"alpha={alpha:g} {words} has this answer" in certificate.cause
        size = np.abs(certificate.gap_se).max()
        close = moved(dict(zip(fit.design.names, certificate.trained, strict=True)), bse, 0.05 * size, seed=2)
        assert sq.certify(fit, params=close, tau=1e-4).verdict == "disagree"


def test_a_penalty_on_the_intercept(fit):
    ones = np.column_stack([np.ones(len(X)), X])
    b = np.linalg.solve(ones.T @ ones + 50.0 * np.eye(4), ones.T @ Y)  # weight decay of a bias
    certificate = sq.certify(fit, params=dict(zip(fit.design.names, b, strict=True)))
    assert certificate.verdict == "penalized"
    assert "alpha=50 on the columns as they are and the intercept" in certificate.cause


def test_lasso_and_elastic_net_have_their_penalties(fit):
    Z = make_pipeline(StandardScaler(), Lasso(alpha=0.5, tol=1e-12)).fit(X, Y)
    certificate = sq.certify(fit, params=Z)
    assert certificate.verdict == "penalized"
    assert "lasso with alpha=0.5 on standardized columns" in certificate.cause
    net = ElasticNet(alpha=0.2, l1_ratio=0.5, tol=1e-12, max_iter=10**6).fit(X, Y)
    assert "elastic net with alpha=0.2 and l1_ratio=0.5 on the columns as they are" in sq.certify(fit, params=net).cause


def test_one_slope_cannot_tell_ridge_from_descent_that_ended_early():
    model = make_pipeline(StandardScaler(), Ridge(alpha=50.0)).fit(X[["weight"]], Y)
    cause = sq.certify("mpg ~ weight", CARS, params=model).cause
    assert "alpha=50 on standardized columns or alpha=" in cause
    assert "descent from zero that ended early" in cause


# The intercept


@pytest.mark.parametrize(
    ("level", "words"),
    [
        (0.0, "the intercept is missing"),
        (float(Y.mean()), "is the mean of the response"),
        (EXACT.intercept_ / 2, "is half of the exact one"),
        (EXACT.intercept_ - float(Y.mean()), "lacks the mean of the response"),
        (EXACT.intercept_ * 2, "is twice the exact one"),
        (30.0, "is 30 instead of 41.2991"),
    ],
)
def test_the_intercept(fit, bse, level, words):
    params = named(EXACT, intercept=level)
    certificate = sq.certify(fit, params=params)
    assert certificate.verdict in ("intercept", "other units")
    assert words in certificate.cause
    slopes = {name: value * (1.002 if name == "weight" else 0.98) for name, value in params.items() if name != "Intercept"}
    assert sq.certify(fit, params=slopes | {"Intercept": level}).verdict != "intercept"


def test_no_intercept_was_fitted(fit):
    model = LinearRegression(fit_intercept=False).fit(X, Y)
    certificate = sq.certify(fit, params=model)
    assert certificate.verdict == "intercept"
    assert "regression without an intercept" in certificate.cause
    assert sq.certify(f"{FORMULA} - 1", CARS, params=model).agree
    other = sq.certify(f"{FORMULA} - 1", CARS, params=EXACT)
    assert other.verdict == "intercept"
    assert "the formula has none" in other.cause


def test_an_intercept_in_two_places_is_added_up(fit):
    ones = X.assign(const=1.0)[["const", *NAMES]]
    model = LinearRegression().fit(ones, Y)
    params = dict(zip(ones.columns, model.coef_, strict=True)) | {"bias": model.intercept_ - 3.0, "const": 3.0}
    certificate = sq.certify(fit, params=params)
    assert certificate.agree
    assert "2 places, const and bias" in certificate.notes[0]


# Digits


def test_rounded_coefficients(fit):
    params = {name: float(f"{value:.2g}") for name, value in named(EXACT).items()}
    certificate = sq.certify(fit, params=params)
    assert certificate.verdict == "rounded"
    digits = int(certificate.cause.rsplit("at least ", 1)[1].split()[0])
    assert sq.certify(fit, params={name: float(f"{value:.{digits}g}") for name, value in named(EXACT).items()}).agree
    last = params | {"acceleration": round(params["acceleration"] + 0.02, 3)}
    assert sq.certify(fit, params=last).verdict != "rounded"


def test_coefficients_in_float32(fit):
    params = {name: np.float32(value) for name, value in named(EXACT).items()}
    certificate = sq.certify(fit, params=params, tau=1e-9)
    assert certificate.verdict == "float32 floor"
    assert certificate.dtype == "float32"
    assert sq.certify(fit, params=params).agree
    wrong = {name: np.float32(value * 1.01) for name, value in params.items()}
    assert sq.certify(fit, params=wrong, tau=1e-9).verdict != "float32 floor"


def test_arithmetic_in_float32_on_raw_columns(fit):
    ones = np.column_stack([np.ones(len(X)), X]).astype(np.float32)
    b = np.linalg.lstsq(ones, Y.to_numpy(np.float32), rcond=None)[0]
    certificate = sq.certify(fit, params=b, tau=1e-7)
    assert certificate.verdict == "float32 floor"


# Descent, and the rest


def train(Z, y, *, lr, epochs, zero=False, dtype="float64"):
    """Train nn.Linear on all rows with torch."""
    torch = need("torch")
    torch.manual_seed(3)
    kind = getattr(torch, dtype)
    inputs, targets = torch.tensor(np.array(Z), dtype=kind), torch.tensor(np.array(y)[:, None], dtype=kind)
    model = torch.nn.Linear(inputs.shape[1], 1, dtype=kind)
    if zero:
        torch.nn.init.zeros_(model.weight)
        torch.nn.init.zeros_(model.bias)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    for _ in range(epochs):
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(model(inputs), targets).backward()
        optimizer.step()
    return model


def test_descent_that_has_not_arrived(fit):
    scaler = StandardScaler().fit(X)
    early = sq.certify(fit, params=train(scaler.transform(X), Y, lr=0.05, epochs=200), scaler=scaler)
    assert early.verdict == "not converged"
    assert f"The largest gap is {np.abs(early.gap_se).max():.2g} standard error" in early.cause
    assert sq.certify(fit, params=train(scaler.transform(X), Y, lr=0.3, epochs=4000, dtype="float32"), scaler=scaler).agree
    from_zero = sq.certify(fit, params=train(scaler.transform(X), Y, lr=0.01, epochs=300, zero=True), scaler=scaler)
    assert from_zero.verdict == "not converged"
    assert "Descent from zero on standardized columns and the intercept passes the answer" in from_zero.cause


def test_descent_on_raw_columns_has_arrived_along_steep_directions(fit):
    model = train(X, Y, lr=1e-7, epochs=5000)
    params = dict(zip(NAMES, model.weight.detach().numpy()[0], strict=True)) | {"Intercept": model.bias.item()}
    certificate = sq.certify(fit, params=params)
    assert certificate.verdict == "not converged"
    assert "steep directions of the columns as they are" in certificate.cause
    assert sq.certify(fit, params=moved(params, np.array([1.0, 1.0, 5.0, 0.0]), 0.1)).verdict == "disagree"


def test_targets_that_are_broadcast(fit):
    """Outputs (n, 1) and targets (n,) make a loss of (n, n) pairs, and every prediction goes to the mean."""
    torch = need("torch")
    scaler = StandardScaler().fit(X)
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 1, dtype=torch.float64)
    inputs, targets = torch.tensor(scaler.transform(X)), torch.tensor(Y.to_numpy())
    for _ in range(2000):
        loss = ((model(inputs) - targets) ** 2).mean()
        for parameter, gradient in zip(model.parameters(), torch.autograd.grad(loss, model.parameters()), strict=True):
            parameter.data -= 0.1 * gradient
    certificate = sq.certify(fit, params=model, scaler=scaler)
    assert certificate.verdict == "disagree"
    assert "the shape (n, 1) and the targets (n,)" in certificate.cause


def test_stochastic_descent_of_scikit_learn(fit):
    with pytest.warns(ConvergenceWarning):
        model = make_pipeline(StandardScaler(), SGDRegressor(alpha=0.0, max_iter=3, tol=1e-9, random_state=0)).fit(X, Y)
    certificate = sq.certify(fit, params=model)
    assert certificate.verdict == "not converged"
    assert "It used all of its 3 epochs." in certificate.cause
    assert certificate.same_rows  # it counts its updates
    part = make_pipeline(StandardScaler(), SGDRegressor(random_state=0)).fit(X[:350], Y[:350])
    assert sq.certify(fit, params=part).verdict == "different rows"


def test_coefficients_of_zero(fit):
    assert "Every coefficient is zero" in sq.certify(fit, params=[0.0] * 4).cause
    assert sq.certify(fit, params=[float(Y.mean()), 0.0, 0.0, 0.0]).verdict == "other columns"


def test_a_formula_with_one_coefficient():
    assert sq.certify("mpg ~ 1", CARS, params={"Intercept": Y.mean()}).agree
    assert "for the first 300 rows" in sq.certify("mpg ~ 1", CARS, params=[Y[:300].mean()]).cause
    assert sq.certify("mpg ~ 1", CARS, params=[Y.median()]).verdict == "disagree"
    assert sq.certify("mpg ~ weight - 1", CARS, params={"weight": 0.005}).verdict == "disagree"


def test_three_rows_have_no_cause_by_chance():
    data = {"x": [1.0, 2.0, 4.0], "y": [2.0, 3.0, 9.0]}
    assert sq.certify("y ~ x", data, params={"Intercept": 1.5, "x": 1.0}).verdict == "disagree"


def test_another_loss(fit):
    model = HuberRegressor(max_iter=10_000).fit(X / X.std(), Y)
    model.coef_ /= X.std()
    certificate = sq.certify(fit, params=model)
    assert certificate.verdict == "other loss"
    assert "but the Huber loss" in certificate.cause


def test_columns_that_depend_on_each_other():
    data = CARS.assign(kg=0.4536 * CARS["weight"])
    formula = "mpg ~ weight + kg"
    model = LinearRegression().fit(data[["weight", "kg"]], Y)
    certificate = sq.certify(formula, data, params=model)
    assert certificate.verdict == "collinear"
    assert "This one has the least squared error" in certificate.cause
    other = sq.certify(formula, data, params=named_pair(model, 1.01))
    assert other.verdict == "collinear"
    assert "This one has the least" not in other.cause
    data["kg"] += np.random.default_rng(0).normal(size=len(data))
    assert sq.certify(formula, data, params=LinearRegression().fit(data[["weight", "kg"]], Y)).agree
    constant = sq.certify("mpg ~ weight + one", CARS.assign(one=1.0), params={"Intercept": 40.0, "weight": -0.007, "one": 1.0})
    assert constant.verdict == "collinear"


def named_pair(model, factor):
    return {"Intercept": model.intercept_, "weight": model.coef_[0] * factor, "kg": model.coef_[1]}


def test_data_on_a_line():
    data = {"x": np.arange(9.0), "y": 3.0 + 2.0 * np.arange(9.0)}
    assert sq.certify("y ~ x", data, params={"Intercept": 3.0, "x": 2.0}).agree
    assert sq.certify("y ~ x", data, params={"Intercept": 3.0 + 1e-15, "x": 2.0}).agree
    single = {"Intercept": np.float32(3.0000002), "x": np.float32(2.0000002)}
    assert sq.certify("y ~ x", data, params=single).verdict == "float32 floor"
    assert sq.certify("y ~ x", data, params={"Intercept": 3.1, "x": 2.0}).verdict == "intercept"


@pytest.mark.parametrize("seed", range(6))
def test_random_rows_have_no_other_cause(fit, seed):
    """An answer of random rows is near that of no penalty, no scaling and no ordered part of the rows."""
    rows = np.random.default_rng(seed).integers(0, len(CARS), len(CARS))
    params = named(LinearRegression().fit(X.iloc[rows], Y.iloc[rows]))
    certificate = sq.certify(fit, params=params)
    assert certificate.verdict == "disagree"


def test_robust_scalers_and_pipelines_are_undone(fit):
    for scaler in (RobustScaler(), MinMaxScaler((-1, 1)), StandardScaler(with_std=False)):
        assert sq.certify(fit, params=make_pipeline(scaler, StandardScaler(), LinearRegression()).fit(X, Y)).agree
