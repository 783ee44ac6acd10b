"""The certificate: every verdict with its cause, and the numbers it rests on."""

import re

import numpy as np
import pytest

import squarely as sq
from tests.support import CARS, assert_close, need

need("torch")
FORMULA = "mpg ~ displacement + weight"


@pytest.fixture(scope="module")
def fit():
    return sq.ols(FORMULA, CARS)


def verdict(fit, **options):
    return sq.certify(fit, sq.train(FORMULA, CARS, **options))


def test_agree(fit):
    certificate = verdict(fit, lr=0.4, epochs=2000)
    assert certificate.agree
    assert certificate.same_rows
    assert certificate.require() is certificate
    assert np.abs(certificate.gap_se).max() < 0.01
    assert list(certificate.table.columns) == ["exact", "trained", "gap", "relative", "standard_errors", "predicted"]


def test_its_numbers_are_what_they_say(fit):
    """Gap, excess loss and gradient, against plain NumPy on the rows."""
    run = sq.train(FORMULA, CARS, lr=0.1, epochs=100, dtype="float64")
    certificate = sq.certify(fit, run)
    cars = sq.datasets.cars()
    x, y = cars[["displacement", "weight"]].to_numpy(float), cars["mpg"].to_numpy(float)
    X = np.column_stack([np.ones(len(x)), (x - x.mean(0)) / x.std(0)])
    Y = (y - y.mean()) / y.std()
    w, best = run.loop.end, np.linalg.lstsq(X, Y, rcond=None)[0]
    assert_close(certificate.excess_loss, np.mean((X @ w - Y) ** 2) - np.mean((X @ best - Y) ** 2), rtol=1e-9)
    assert_close(certificate.slope.gradient, 2 / len(Y) * X.T @ (X @ w - Y), rtol=1e-9, atol=1e-13)
    assert_close(certificate.gap, run.params - fit.params, rtol=0)
    assert_close(certificate.gap_se, (run.params - fit.params) / fit.bse, rtol=1e-15)
    assert np.linalg.norm(w - best) <= certificate.bound.distance
    assert certificate.excess_loss <= certificate.bound.excess
    assert np.abs(certificate.gap_se).max() <= certificate.bound.standard_errors
    assert_close(certificate.predicted_gap, certificate.gap, rtol=1e-9)


@pytest.mark.parametrize("options", [{"lr": 0.01}, {"lr": 0.01, "momentum": 0.5}])
def test_not_converged_says_how_many_more_epochs(fit, options):
    short = verdict(fit, epochs=300, dtype="float64", **options)
    assert short.verdict == "not converged"
    more = int(short.cause.split(" more epoch")[0].split()[-1].replace(",", ""))
    assert f"at lr={options['lr']:g}" in short.cause
    assert verdict(fit, epochs=300 + more, dtype="float64", **options).agree
    # The number promises that every combination of the coefficients is within tau, so a few epochs fewer may pass as well.
    assert not verdict(fit, epochs=300 + more // 2, dtype="float64", **options).agree
    with pytest.raises(sq.errors.NumericalError, match="more epoch"):
        short.require()


def test_the_best_rate_needs_what_it_says(fit):
    short = verdict(fit, lr=0.001, epochs=10, dtype="float64")
    best, epochs = short.cause.split("lr=")[-1].split(", ")[0], int(short.cause.split(" epoch")[-2].split()[-1].replace(",", ""))
    run = sq.train(FORMULA, CARS, lr=float(best), epochs=epochs, dtype="float64")
    assert sq.certify(fit, run).agree


def test_diverged_names_the_limit(fit):
    certificate = verdict(fit, lr=1.2, epochs=500)
    assert certificate.verdict == "diverged"
    cars = sq.datasets.cars()
    correlation = np.corrcoef(cars["displacement"], cars["weight"])[0, 1]
    assert (
        f"The limit is {np.floor(1e4 / (1 + correlation)) / 1e4:g} " in certificate.cause
    )  # rounded down: 2 / lam_1 with lam_1 = 2 (1 + correlation)
    slowly = verdict(fit, lr=1.2, epochs=3)  # above the limit, and stopped before the loss blew up
    assert slowly.verdict == "diverged"


def test_adam_short_of_it(fit):
    certificate = verdict(fit, optimizer="adam", lr=0.001, epochs=10)
    assert certificate.verdict == "not converged"
    assert certificate.predicted_gap is None
    assert "no closed form for adam" in certificate.cause


def test_float32_floor():
    """A response almost on the line has standard errors below the rounding of float32, and above that of float64."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=2000)
    data = {"x": x, "y": x + 1e-6 * rng.normal(size=2000)}
    fit = sq.ols("y ~ x", data)
    coarse = sq.certify(fit, sq.train("y ~ x", data, lr=0.3, epochs=200))
    assert coarse.verdict == "float32 floor"
    assert "float64" in coarse.cause
    assert sq.certify(fit, sq.train("y ~ x", data, lr=0.3, epochs=200, dtype="float64")).agree


def test_almost_on_the_line_is_not_on_the_line():
    """Residuals of 1e-8 are far above rounding: a float32 run twelve standard errors away must not be said to agree."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=500)
    for response in (x + 1e-8 * rng.normal(size=500), 1e8 + rng.normal(size=500)):
        data = {"x": x, "y": response}
        certificate = sq.certify(sq.ols("y ~ x", data), sq.train("y ~ x", data, lr=0.3, epochs=200), tau=1e-7)
        assert certificate.verdict == "float32 floor"


def test_nearly_collinear_columns_prove_nothing():
    rng = np.random.default_rng(1)
    a = rng.normal(size=300)
    data = {"a": a, "b": a + 1e-8 * rng.normal(size=300), "y": a + rng.normal(size=300)}
    certificate = sq.certify(sq.ols("y ~ a + b", data), sq.train("y ~ a + b", data, lr=0.3, epochs=500, dtype="float64"))
    assert certificate.verdict == "collinear"
    assert "so nearly" in certificate.cause
    assert certificate.bound.standard_errors == np.inf


@pytest.mark.parametrize(("momentum", "nesterov"), [(0.9, False), (0.9, True), (0.3, True)])
def test_the_advice_after_divergence_converges(fit, momentum, nesterov):
    kind = {"momentum": momentum, "nesterov": nesterov}
    gone = verdict(fit, lr=5.0, epochs=500, **kind)
    assert gone.verdict == "diverged"
    advised = float(gone.cause.split("best rate ")[1].split(":")[0])
    assert verdict(fit, lr=advised, epochs=500, dtype="float64", **kind).agree


def test_a_file_and_a_frame_of_the_same_rows_are_the_same_rows():
    """What is NULL in the file is NaN in the frame."""
    formula = "mpg ~ horsepower"
    certificate = sq.certify(sq.ols(formula, CARS), sq.train(formula, sq.datasets.cars()))
    assert certificate.same_rows
    assert certificate.agree
    said = " ".join(str(certificate).split())
    assert "6 null" in said
    assert "6 nan" in said


def test_different_rows_with_a_constant_column():
    cars = sq.datasets.cars()
    flat = cars.assign(weight=5.0)
    certificate = sq.certify(sq.ols(FORMULA, flat), sq.train(FORMULA, cars, epochs=3))
    assert certificate.verdict == "different rows"
    assert certificate.slope is None
    assert "not known" in str(certificate)


def test_different_rows(fit):
    cars = sq.datasets.cars()
    certificate = sq.certify(fit, sq.train(FORMULA, cars.iloc[:-1], lr=0.4, epochs=500))
    assert certificate.verdict == "different rows"
    assert "398 rows" in certificate.cause
    assert "397 rows" in certificate.cause
    changed = cars.assign(mpg=cars["mpg"] + (cars.index == 7))
    assert sq.certify(fit, sq.train(FORMULA, changed, epochs=5)).verdict == "different rows"


def test_collinear():
    cars = sq.datasets.cars()
    data = cars.assign(kg=0.4536 * cars["weight"])
    formula = "mpg ~ weight + kg"
    certificate = sq.certify(sq.ols(formula, data), sq.train(formula, data, epochs=500))
    assert certificate.verdict == "collinear"
    assert "kg = 0.4536 weight" in certificate.cause
    assert np.isfinite(certificate.excess_loss)
    assert certificate.excess_loss > -1e-12


def test_a_loop_that_did_something_else_disagrees(fit):
    """Tamper with the trained coefficients: neither rows, rate nor precision explain the gap."""
    from dataclasses import replace

    run = sq.train(FORMULA, CARS, lr=0.4, epochs=2000, dtype="float64")
    tampered = replace(run, loop=replace(run.loop, end=run.loop.end + 0.1))
    assert sq.certify(fit, tampered).verdict == "disagree"


def test_data_on_a_line_exactly():
    x = np.arange(10.0)
    data = {"x": x, "y": 3 * x + 1}
    certificate = sq.certify(sq.ols("y ~ x", data), sq.train("y ~ x", data, lr=0.5, epochs=10, dtype="float64"))
    assert certificate.verdict == "agree"


@pytest.mark.parametrize("tau", [0, -1, float("nan"), "0.1", True])
def test_tau_must_be_a_tolerance(fit, tau):
    with pytest.raises(sq.errors.OptionError, match="tau"):
        sq.certify(fit, sq.train(FORMULA, CARS, epochs=1), tau=tau)


def test_formulas_must_match(fit):
    with pytest.raises(sq.errors.InputError, match="cannot be compared"):
        sq.certify(fit, sq.train("mpg ~ weight", CARS, epochs=1))


def test_rows_that_only_moved_are_different_rows():
    """Counts, means and variances are the same; the covariance is not."""
    rng = np.random.default_rng(2)
    x = rng.normal(size=200)
    y = x + rng.normal(size=200)
    fit = sq.ols("y ~ x", {"x": x, "y": y})
    swapped = y.copy()
    swapped[[3, 4]] = y[[4, 3]]
    for data in ({"x": rng.permutation(x), "y": y}, {"x": x, "y": swapped}):
        assert sq.certify(fit, sq.train("y ~ x", data, lr=0.3, epochs=100, dtype="float64")).verdict == "different rows"


@pytest.mark.parametrize("mean", [1e6, 1e10, 1e14])
def test_columns_far_from_zero_keep_theory_and_certificate_exact(mean):
    rng = np.random.default_rng(3)
    x = np.round(10 * rng.normal(size=300)) + mean
    data = {"x": x, "y": 0.2 * (x - mean) + rng.normal(size=300)}
    fit, run = sq.ols("y ~ x", data), sq.train("y ~ x", data, lr=0.3, epochs=200, dtype="float64")
    certificate = sq.certify(fit, run)
    assert_close(run.history["loss"], run.history["predicted"], rtol=1e-12)
    assert certificate.agree
    assert certificate.excess_loss <= max(certificate.bound.excess, 1e-28)
    new = {"x": x[:5]}
    assert_close(run.predict(new), fit.predict(new), rtol=0, atol=1e-9)


def test_data_on_a_line_exactly_in_float32():
    x = np.arange(50.0)
    data = {"x": x, "y": 2 * x}
    fit = sq.ols("y ~ x", data)
    assert fit.params.tolist() == [0.0, 2.0]
    assert fit.solution.settled
    coarse = sq.certify(fit, sq.train("y ~ x", data, lr=0.5))
    assert coarse.verdict == ("agree" if coarse.excess_loss < 1e-28 else "float32 floor")
    assert sq.certify(fit, sq.train("y ~ x", data, lr=0.5, dtype="float64")).agree


@pytest.mark.parametrize(("shift", "noise", "tau"), [(0.0, 1e-13, 1e-2), (0.0, 1e-14, 1e-2), (1e14, 1.0, 1e-2), (0.0, 1.0, 1e-300)])
def test_what_float64_cannot_do_is_not_called_a_mistake_of_the_loop(shift, noise, tau):
    rng = np.random.default_rng(0)
    x, z = rng.standard_normal((2, 50))
    data = {"x": x, "y": shift + 1 + 2 * x + noise * z}
    certificate = sq.certify(sq.ols("y ~ x", data), sq.train("y ~ x", data, lr=0.1, dtype="float64"), tau=tau)
    assert certificate.verdict in {"agree", "float64 floor"}
    assert certificate.bound.standard_errors >= np.abs(certificate.gap_se).max()


TWO = "mpg ~ displacement + weight"


def test_another_loss_is_no_error():
    fit = sq.ols(TWO, CARS)
    run = sq.train(TWO, CARS, loss="l1", lr=0.05, epochs=2000, dtype="float64")
    certificate = sq.certify(fit, run)
    assert certificate.verdict == "other loss"
    cars = sq.datasets.cars()
    ratio = ((run.predict(cars) - cars["mpg"]) ** 2).mean() / (fit.resid**2).mean()
    assert f"{ratio:.4g} times the least" in certificate.cause


def test_weight_decay_is_named_with_the_distance_that_it_makes():
    """The point of rest is that of ridge regression on standardised columns, worked out here."""
    cars = sq.datasets.cars()
    X, y = cars[["displacement", "weight"]].to_numpy(float), cars["mpg"].to_numpy(float)
    Z, z = (X - X.mean(0)) / X.std(0), (y - y.mean()) / y.std()
    ridge = np.linalg.solve(2 / len(z) * Z.T @ Z + 0.1 * np.eye(2), 2 / len(z) * Z.T @ z) * y.std() / X.std(0)
    fit = sq.ols(TWO, CARS)
    run = sq.train(TWO, CARS, weight_decay=0.1, lr=0.3, epochs=3000, dtype="float64")
    assert_close(run.params[1:], ridge, rtol=1e-9)
    certificate = sq.certify(fit, run)
    assert certificate.verdict == "penalised"
    level = y.mean() - X.mean(0) @ ridge
    largest = np.abs(([level, *ridge] - fit.params) / fit.bse).max()
    assert f"by {largest:.2g} standard errors" in certificate.cause
    assert_close(certificate.predicted_gap[1:], ridge - fit.params[1:], rtol=1e-7)


@pytest.mark.parametrize("replacement", [False, True])
def test_the_noise_of_batches_is_named_and_a_smaller_rate_is_advised(replacement):
    fit = sq.ols(TWO, CARS)
    run = sq.train(TWO, CARS, lr=0.1, epochs=200, batch_size=16, replacement=replacement)
    certificate = sq.certify(fit, run, tau=0.1)
    assert certificate.verdict == "batch noise"
    quiet = float(re.search(r"lr=([\d.e-]+) would bring", certificate.cause)[1])
    at_that = sq.train(TWO, CARS, lr=quiet, epochs=1, batch_size=16, replacement=replacement).theory
    assert_close(at_that.floor_se, 0.1, rtol=0.1)  # the advice is written in two digits


def test_evidence_is_graded():
    fit = sq.ols(TWO, CARS)
    said = {
        engine: sq.certify(fit, sq.train(TWO, CARS, lr=0.45, engine=engine, dtype="float64")).evidence
        for engine in ("rows", "moments", "closed_form")
    }
    assert said == {"rows": "independent: rows, autograd", "moments": "weaker: cross-products", "closed_form": "none: closed form"}


def test_a_run_that_stopped_early_is_compared_with_what_it_did():
    fit = sq.ols(TWO, CARS)
    for stop in ("0.3 se", "loss"):
        run = sq.train(TWO, CARS, lr=0.3, epochs=5000, stop=stop, min_delta=1e-5, dtype="float64")
        certificate = sq.certify(fit, run, tau=1e-4)
        assert run.status == "stopped"
        assert_close(certificate.predicted_gap, certificate.gap, rtol=1e-6)
        assert certificate.verdict == "not converged"
