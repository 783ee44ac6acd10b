"""The certificate: every verdict with its cause, and the numbers it rests on."""

import re

import numpy as np
import pytest

import squarely as sq
from tests.support.checks import CARS, assert_close, need

need("torch")
ROWS = sq.datasets.cars()  # in memory: opening a file takes longer than most of these runs
FORMULA = "mpg ~ displacement + weight"


@pytest.fixture(scope="module")
def fit():
    return sq.ols(FORMULA, ROWS)


def verdict(fit, **options):
    return sq.certify(fit, sq.train(FORMULA, ROWS, **options))


def test_agree(fit):
    certificate = verdict(fit, lr=0.4, epochs=2000)
    assert certificate.agree
    assert certificate.same_rows
    assert certificate.require() is certificate
    assert np.abs(certificate.gap_se).max() < 0.01
    assert list(certificate.table.columns) == ["exact", "trained", "gap", "relative", "gap_se", "predicted_gap_se"]


def test_a_formula_is_trained_and_fitted_first(fit):
    options = {"where": "weight > 2000", "lr": 0.4, "epochs": 500, "dtype": "float64"}
    expected = sq.certify(sq.ols(FORMULA, ROWS, where="weight > 2000"), sq.train(FORMULA, ROWS, **options), tau=0.1)
    assert sq.certify(FORMULA, ROWS, tau=0.1, **options).as_dict() == expected.as_dict()
    assert sq.certify(formula=FORMULA, data=ROWS, tau=0.1, **options).as_dict() == expected.as_dict()
    held_out = sq.certify(FORMULA, ROWS, validation=0.25, lr=0.4)
    assert held_out.agree
    assert sq.certify(FORMULA, ROWS, lr=1.9).verdict == "diverged"


def test_certify_refuses_options_without_an_effect(fit):
    run = sq.train(FORMULA, ROWS, epochs=1)
    for call, message in {
        lambda: sq.certify(fit, run, lr=0.1): "lr= has no effect on a fit and a run that are made already",
        lambda: sq.certify(FORMULA, ROWS, epoch=5): "'epoch' is not an option of certify with a formula. Did you mean 'epochs'?",
        lambda: sq.certify(FORMULA, ROWS, intercept=False): r"Give the results: sq.certify\(sq.ols\(...\), sq.train\(...\)\)",
        lambda: sq.certify(FORMULA, ROWS, tau=0, epochs=10**9): "tau=0 is not a number",
        lambda: sq.certify(FORMULA): "There is no data",
        lambda: sq.certify(): "Give it the results of ols and train",
        lambda: sq.certify(ROWS, FORMULA): "certify got a DataFrame and a str",
    }.items():
        with pytest.raises(sq.errors.InputError, match=message):
            call()


def test_its_numbers_are_what_they_say(fit):
    """Gap, excess loss and gradient, against plain NumPy on the rows."""
    run = sq.train(FORMULA, ROWS, lr=0.1, epochs=100, dtype="float64")
    certificate = sq.certify(fit, run)
    cars = sq.datasets.cars()
    x, y = cars[["displacement", "weight"]].to_numpy(float), cars["mpg"].to_numpy(float)
    X = np.column_stack([np.ones(len(x)), (x - x.mean(0)) / x.std(0)])
    Y = (y - y.mean()) / y.std()
    w, best = run.result.end, np.linalg.lstsq(X, Y, rcond=None)[0]
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
    best, epochs = short.cause.split("lr=")[-1].split(": ")[0], int(short.cause.split(" epoch")[-2].split()[-1].replace(",", ""))
    run = sq.train(FORMULA, ROWS, lr=float(best), epochs=epochs, dtype="float64")
    assert sq.certify(fit, run).agree


@pytest.mark.diverges
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
@pytest.mark.diverges
def test_the_advice_after_divergence_converges(fit, momentum, nesterov):
    kind = {"momentum": momentum, "nesterov": nesterov}
    gone = verdict(fit, lr=5.0, epochs=500, **kind)
    assert gone.verdict == "diverged"
    advised = float(gone.cause.split("best rate ")[1].split(":")[0])
    assert verdict(fit, lr=advised, epochs=500, dtype="float64", **kind).agree


def test_a_file_and_a_frame_of_the_same_rows_are_the_same_rows():
    """What is NULL in the file is NaN in the frame."""
    formula = "mpg ~ horsepower"
    certificate = sq.certify(sq.ols(formula, CARS), sq.train(formula, ROWS))
    assert certificate.same_rows
    assert certificate.agree
    message = " ".join(str(certificate).split())
    assert "6 null" in message
    assert "6 nan" in message


def test_different_rows_with_a_constant_column():
    cars = sq.datasets.cars()
    flat = cars.assign(weight=5.0)
    certificate = sq.certify(sq.ols(FORMULA, flat), sq.train(FORMULA, cars, epochs=3))
    assert certificate.verdict == "different rows"
    assert certificate.slope is None
    assert "Gap at most" not in str(certificate)  # it is not known


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

    run = sq.train(FORMULA, ROWS, lr=0.4, epochs=2000, dtype="float64")
    tampered = replace(run, result=replace(run.result, end=run.result.end + 0.1))
    assert sq.certify(fit, tampered).verdict == "disagree"


def test_data_on_a_line_exactly():
    x = np.arange(10.0)
    data = {"x": x, "y": 3 * x + 1}
    certificate = sq.certify(sq.ols("y ~ x", data), sq.train("y ~ x", data, lr=0.5, epochs=10, dtype="float64"))
    assert certificate.verdict == "agree"


@pytest.mark.parametrize("tau", [0, -1, float("nan"), "0.1", True])
def test_tau_must_be_a_tolerance(fit, tau):
    with pytest.raises(sq.errors.OptionError, match="tau"):
        sq.certify(fit, sq.train(FORMULA, ROWS, epochs=1), tau=tau)


def test_formulas_must_match(fit):
    with pytest.raises(sq.errors.InputError, match="cannot be compared"):
        sq.certify(fit, sq.train("mpg ~ weight", ROWS, epochs=1))


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
    assert fit.solution.converged
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
    fit = sq.ols(TWO, ROWS)
    run = sq.train(TWO, ROWS, loss="l1", lr=0.05, epochs=2000, dtype="float64")
    certificate = sq.certify(fit, run)
    assert certificate.verdict == "other loss"
    cars = sq.datasets.cars()
    ratio = ((run.predict(cars) - cars["mpg"]) ** 2).mean() / (fit.resid**2).mean()
    assert f"{ratio:.4g} times the least" in certificate.cause


def test_weight_decay_is_named_with_the_distance_that_it_makes():
    """The point of rest is that of ridge regression on standardized columns, worked out here."""
    cars = sq.datasets.cars()
    X, y = cars[["displacement", "weight"]].to_numpy(float), cars["mpg"].to_numpy(float)
    Z, z = (X - X.mean(0)) / X.std(0), (y - y.mean()) / y.std()
    ridge = np.linalg.solve(2 / len(z) * Z.T @ Z + 0.1 * np.eye(2), 2 / len(z) * Z.T @ z) * y.std() / X.std(0)
    fit = sq.ols(TWO, ROWS)
    run = sq.train(TWO, ROWS, weight_decay=0.1, lr=0.3, epochs=3000, dtype="float64")
    assert_close(run.params[1:], ridge, rtol=1e-9)
    certificate = sq.certify(fit, run)
    assert "ridge regression with alpha=19.9." in certificate.cause
    assert_close(fit.ridge(19.9).params[1:], ridge, rtol=1e-9)
    assert certificate.verdict == "penalized"
    level = y.mean() - X.mean(0) @ ridge
    largest = np.abs(([level, *ridge] - fit.params) / fit.bse).max()
    assert f"by {largest:.2g} standard errors" in certificate.cause
    assert_close(certificate.predicted_gap[1:], ridge - fit.params[1:], rtol=1e-7)


@pytest.mark.parametrize("replacement", [False, True])
def test_the_noise_of_batches_is_named_and_a_smaller_rate_is_advised(replacement):
    fit = sq.ols(TWO, ROWS)
    run = sq.train(TWO, ROWS, lr=0.1, epochs=200, batch_size=16, replacement=replacement)
    certificate = sq.certify(fit, run, tau=0.1)
    assert certificate.verdict == "batch noise"
    quiet = float(re.search(r"lr=([\d.e-]+) would bring", certificate.cause)[1])
    at_that = sq.train(TWO, ROWS, lr=quiet, epochs=1, batch_size=16, replacement=replacement).theory
    assert_close(at_that.floor_se, 0.1, rtol=0.1)  # the advice is written in two digits


def test_evidence_is_graded():
    fit = sq.ols(TWO, ROWS)
    message = {
        engine: sq.certify(fit, sq.train(TWO, ROWS, lr=0.45, engine=engine, dtype="float64")).evidence
        for engine in ("rows", "moments", "closed_form")
    }
    assert message == {
        "rows": "independent: rows, autograd",
        "moments": "weaker: cross-products",
        "closed_form": "none: closed form",
    }


def test_a_run_that_stopped_early_is_compared_with_what_it_did():
    fit = sq.ols(TWO, ROWS)
    for stop in ("0.3 se", "loss"):
        run = sq.train(TWO, ROWS, lr=0.3, epochs=5000, stop=stop, min_delta=1e-5, dtype="float64")
        certificate = sq.certify(fit, run, tau=1e-4)
        assert run.status == ("converged" if stop == "0.3 se" else "stopped")
        assert_close(certificate.predicted_gap, certificate.gap, rtol=1e-6)
        assert certificate.verdict == "not converged"


# Each sentence about a run is a claim: below, one run that makes it true, and one for which it must not be said.


def sample(n=400, *, noise=1.0, seed=0):
    """Two Gaussian columns; what follows is of this fit unless it makes its own."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 2))
    return {"a": X[:, 0], "b": X[:, 1], "y": 10 + X @ [1.0, -2.0] + noise * rng.normal(size=n)}


D, F = sample(), "y ~ a + b"


@pytest.fixture(scope="module")
def least():
    return sq.ols(F, D)


def certified(least, **options):
    certificate = sq.certify(least, sq.train(F, D, **options))
    return certificate, np.abs(certificate.gap_se).max()


def standardized():
    X, y = np.column_stack([D["a"], D["b"]]), D["y"]
    Z, t = (X - X.mean(0)) / X.std(0), (y - y.mean()) / y.std()
    return np.column_stack([np.ones(len(t)), Z]), t


@pytest.mark.diverges
def test_batches_with_momentum_that_settle_have_not_diverged(least):
    """PyTorch's own example rate. The limit is of the mean square, and the advice is below it."""
    certificate, gap = certified(least, batch_size=100, momentum=0.9, lr=0.1, epochs=60)
    assert gap < 10
    assert certificate.verdict == "batch noise"
    run = sq.train(F, D, batch_size=100, momentum=0.9, lr=1.9, epochs=60)
    message = sq.certify(least, run).cause
    assert run.status == "diverged"
    limit, advised = re.search(r"drawn with replacement is ([\d.]+): try lr=([\d.]+)\.", message).groups()
    assert float(advised) < float(limit) < 1.9
    assert sq.train(F, D, batch_size=100, momentum=0.9, lr=float(advised), epochs=60).status == "finished"


def test_skewed_columns_that_settle_above_the_limit_have_not_diverged():
    rng = np.random.default_rng(1)
    x = np.exp(1.5 * rng.normal(size=1000))
    data = {"x": x, "y": 3 + 2 * x + rng.normal(size=1000)}
    run = sq.train("y ~ x", data, batch_size=128, lr=0.4421, epochs=60)
    certificate = sq.certify(sq.ols("y ~ x", data), run)
    assert run.theory.lr_limit < 0.4421
    assert "may not settle" in run.warnings[0]
    assert run.history["loss"].iloc[-1] < 0.01
    assert certificate.verdict in {"batch noise", "not converged"}
    assert run.theory.floor_se is None  # no size of the noise is known there


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_decay_is_the_cause_only_where_it_explains_the_gap(least, optimizer):
    tiny, gap = certified(least, optimizer=optimizer, weight_decay=1e-8, lr=0.001, epochs=10)
    assert tiny.verdict == "not converged"
    rested, _ = certified(least, optimizer=optimizer, weight_decay=0.1, lr=0.02, epochs=1500, dtype="float64")
    assert rested.verdict == "penalized"
    assert "ridge" in rested.cause
    short, gap = certified(least, optimizer=optimizer, weight_decay=0.1, lr=0.001, epochs=10, dtype="float64")
    assert gap > 10
    assert short.verdict == "not converged"


def test_decay_of_a_second_group_is_seen(least):
    torch = need("torch")

    def groups(parameters):
        weight, bias = sorted(parameters, key=lambda q: -q.ndim)
        return torch.optim.SGD([{"params": [bias], "weight_decay": 0.0}, {"params": [weight], "weight_decay": 0.2}], lr=0.1)

    certificate, gap = certified(least, optimizer=groups, epochs=400, dtype="float64")
    Z, t = standardized()
    ridge = np.linalg.solve(2 / 400 * Z.T @ Z + np.diag([0.0, 0.2, 0.2]), 2 / 400 * Z.T @ t)
    slopes = ridge[1:] * np.std(D["y"]) / [np.std(D["a"]), np.std(D["b"])]
    assert_close(certificate.trained[1:], slopes, rtol=1e-8)
    assert certificate.verdict == "penalized"
    assert f"by {gap:.2g} standard errors" in certificate.cause


def test_the_decay_of_adamw_is_not_said_to_be_ridge(least):
    certificate, _ = certified(least, optimizer="adamw", lr=0.1, weight_decay=0.5, epochs=600, dtype="float64", engine="moments")
    assert certificate.verdict != "penalized"
    assert "ridge" not in certificate.cause


def test_another_loss_is_the_cause_only_once_its_optimum_is_near(least):
    short, gap = certified(least, loss="l1", lr=0.001, epochs=20)
    assert gap > 10
    assert short.verdict == "not converged"
    assert "on its way to the optimum of the mean absolute error" in short.cause
    wide, _ = certified(least, loss="huber", delta=100.0, lr=0.001, epochs=20)  # above every residual: it is least squares
    assert wide.verdict == "not converged"
    assert "optimum of" not in wide.cause
    assert certified(least, loss="huber", delta=100.0, lr=0.5, epochs=200)[0].agree
    huber, gap = certified(least, loss="huber", delta=0.3, lr=0.5, epochs=600, dtype="float64")
    assert huber.verdict == "other loss"
    assert_close(float(re.search(r"is about ([\d.e-]+) standard errors", huber.cause)[1]), gap, rtol=0.1)


def test_a_schedule_that_has_died_out_is_not_advised_to_go_on(least):
    options = {"lr": 0.3, "scheduler": "ExponentialLR", "scheduler_options": {"gamma": 0.5}, "dtype": "float64"}
    short, gap = certified(least, epochs=20, **options)
    assert_close(certified(least, epochs=100, **options)[1], gap, rtol=1e-4)
    assert "last epochs hardly moved it" in short.cause
    assert "more epoch" not in short.cause
    lr, epochs = re.search(r"constant lr=([\d.]+), .*takes (\d+) epoch", short.cause).groups()
    assert certified(least, lr=float(lr), epochs=int(epochs), dtype="float64")[0].agree


def test_a_fixed_order_has_a_bias_that_no_epochs_cure(least):
    options = {"lr": 0.05, "batch_size": 8, "shuffle": False, "dtype": "float64"}
    certificate, gap = certified(least, epochs=40, **options)
    assert certificate.verdict == "fixed order"
    assert_close(certified(least, epochs=120, **options)[1], gap, rtol=1e-6)
    for epochs in (20, 30, 50):
        assert "still falling" not in certified(least, epochs=epochs, momentum=0.8, **options)[0].cause
    early, _ = certified(least, epochs=5, **{**options, "lr": 0.0002})
    assert early.verdict == "not converged"


def test_the_noise_of_batches_under_adam(least):
    for epochs in (20, 100):
        assert certified(least, optimizer="adam", lr=0.05, batch_size=8, epochs=epochs)[0].verdict == "batch noise"
    assert certified(least, optimizer="adam", lr=0.0005, batch_size=100, epochs=10)[0].verdict == "not converged"


def test_lbfgs_that_its_tolerances_end():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(200, 3)) * [1, 10, 100] + [5, 0, 1000]
    data = {"a": X[:, 0], "b": X[:, 1], "c": X[:, 2], "y": X @ [1, 2, 3] + 2 * rng.normal(size=200)}
    fit, options = sq.ols("y ~ a + b + c", data), {"optimizer": "lbfgs", "lr": 1.0, "dtype": "float64"}
    ended = sq.certify(fit, sq.train("y ~ a + b + c", data, epochs=5, **options))
    assert "more epochs change nothing" in ended.cause
    exact = {"tolerance_grad": 0.0, "tolerance_change": 0.0}
    assert sq.certify(fit, sq.train("y ~ a + b + c", data, epochs=5, optimizer_options=exact, **options)).agree


def test_the_floor_of_float32_without_a_closed_form():
    data = sample(noise=1e-5)
    fit, options = sq.ols(F, data), {"optimizer": "adam", "lr": 0.05, "epochs": 1500}
    assert sq.certify(fit, sq.train(F, data, **options)).verdict == "float32 floor"
    assert sq.certify(fit, sq.train(F, data, dtype="float64", **options)).agree
    assert sq.certify(fit, sq.train(F, data, optimizer="adam", lr=0.001, epochs=20)).verdict == "not converged"
    ended = sq.certify(fit, sq.train(F, data, optimizer="lbfgs", lr=1.0, epochs=30))  # its tolerances end it in float64 too
    assert ended.verdict == "not converged"
    assert "tolerances or the rounding of float32" in ended.cause


def test_frozen_parameters_and_ascent():
    torch = need("torch")
    X, y = np.column_stack([D["a"], D["b"]]), D["y"]
    rows = torch.utils.data.TensorDataset(torch.tensor(X).float(), torch.tensor(y).float())
    model = torch.nn.Linear(2, 1)
    model.weight.requires_grad = False
    run = sq.train(model=model, loader=torch.utils.data.DataLoader(rows, batch_size=400), lr=0.1, epochs=60)
    fit = sq.ols("y ~ x1 + x2", run.source)
    certificate = sq.certify(fit, run)
    assert certificate.verdict == "frozen"
    assert "'weight'" in certificate.cause
    kept = model.weight.detach().numpy()[0]
    level = y.mean() - X.mean(0) @ kept  # the best of the others
    assert_close(model.bias.item(), level, rtol=1e-3)
    far = np.abs(([level, *kept] - fit.params) / fit.bse).max()
    assert_close(float(re.search(r"is ([\d.e+]+) standard errors from", certificate.cause)[1]), far, rtol=0.05)
    up = sq.certify(sq.ols(F, D), sq.train(F, D, lr=0.001, epochs=5, optimizer_options={"maximize": True}))
    assert up.verdict == "ascent"


def test_one_column_in_its_own_unit_is_not_called_collinear_with_another():
    rng = np.random.default_rng(0)
    t = 1.7e9 + 1e3 * rng.random(200)
    data = {"t": t, "y": 0.001 * (t - 1.7e9) + rng.normal(size=200)}
    certificate = sq.certify(sq.ols("y ~ t", data), sq.train("y ~ t", data, standardize=False, lr=1e-20, epochs=5, dtype="float64"))
    assert "standardiz" in certificate.cause
    assert "Leave a column out" not in certificate.cause
    assert "depend on each other" not in " ".join(sq.train("y ~ t", data, standardize=False, lr=1e-20, epochs=5).warnings)


def test_advice_that_is_no_better_is_not_given():
    """With momentum 0.9 a whole range of rates leaves sqrt(0.9)^k; and a rate that would leave more is not offered."""
    slow = sq.train(F, D, lr=0.05, momentum=0.99, epochs=20).warnings[0]
    assert "best rate" not in slow
    assert "Give lr=0.5" not in slow
    short = sq.train(F, D, lr=0.001, epochs=1).warnings[0]
    assert short.startswith("After 1 epoch at lr=0.001")
    assert "Give lr=0.5" in short


@pytest.mark.diverges
def test_a_rate_that_is_advised_is_below_the_limit_beside_it():
    x = np.linspace(0, 103, 100)
    data = {"x": x, "y": 0.7 * x + 0.4 + np.random.default_rng(0).normal(size=100)}
    options = {"standardize": False, "epochs": 5, "dtype": "float64"}
    first = sq.train("y ~ x", data, lr=1.0, **options).warnings[0]
    limit, best = re.search(r"limit ([\d.e-]+): .* best rate is ([\d.e-]+)\.", first).groups()
    assert float(best) < float(limit)
    assert not any("limit" in message for message in sq.train("y ~ x", data, lr=float(best), **options).warnings)


@pytest.mark.diverges
def test_with_a_schedule_the_rates_that_it_takes_count(least):
    fades = sq.train(F, D, lr=1.2, epochs=100, scheduler="ExponentialLR", scheduler_options={"gamma": 0.95}, dtype="float64")
    assert fades.warnings == ()
    assert sq.certify(least, fades).agree
    climbs = sq.train(
        F,
        D,
        lr=0.01,
        epochs=200,
        scheduler="CyclicLR",
        scheduler_options={"base_lr": 0.01, "max_lr": 3.0, "step_size_up": 50, "cycle_momentum": False},
    )
    assert climbs.status == "diverged"
    assert "takes the rate up to 3" in climbs.warnings[0]
    assert f"began with lr={climbs.history['lr'].iloc[-2]:g}" in climbs.warnings[-1]
    assert "lr=0.01 " not in " ".join(climbs.warnings) + sq.certify(least, climbs).cause


@pytest.mark.parametrize("name", ["CyclicLR", "OneCycleLR"])
def test_the_curve_of_a_cycled_momentum_is_that_of_the_loop(name):
    numbers = {"base_lr": 0.01, "max_lr": 0.2, "step_size_up": 7} if name == "CyclicLR" else {"max_lr": 0.2, "total_steps": 61}
    run = sq.train(F, D, lr=0.1, epochs=60, dtype="float64", scheduler=name, scheduler_options=numbers)
    assert_close(run.history["loss"], run.history["predicted"], rtol=1e-10)
    assert run.history["momentum"].nunique() > 5
    assert "momentum" not in run.result.final_values
    assert "momentum" not in sq.train(F, D, epochs=2, scheduler="StepLR", scheduler_options={"step_size": 1}).history


def test_a_loader_of_unlike_batches_has_no_limit():
    torch = need("torch")
    X, y = torch.tensor(np.column_stack([D["a"], D["b"]])).float(), torch.tensor(D["y"]).float()[:, None]
    cut = [slice(0, 2), slice(2, 100), slice(100, 400)]
    uneven = sq.train(model=torch.nn.Linear(2, 1), loader=[(X[rows], y[rows]) for rows in cut], lr=0.01, epochs=5)
    assert uneven.theory.lr_limit is None
    even = sq.train(
        model=torch.nn.Linear(2, 1), loader=[(X[:150], y[:150]), (X[150:300], y[150:300]), (X[300:], y[300:])], epochs=5
    )
    assert even.theory.lr_limit is not None


def test_a_last_batch_of_one_row_counts():
    """Its curvature is large, so the limit of the learning rate is far below that of batches of 100 rows."""
    data = sample(101)
    run = sq.train(F, data, batch_size=100, momentum=0.9, lr=0.1, epochs=5)
    assert run.theory.lr_limit < 0.1
    assert "(the last of 1)" in run.warnings[0]
    assert sq.train(F, sample(100), batch_size=50, momentum=0.9, lr=0.1, epochs=5).theory.lr_limit > 0.3


def test_the_sentence_of_a_sweep_keeps_limits_apart():
    why = sq.sweep(F, D, lr=[0.1, 0.03], batch_size=32, momentum=0.9, epochs=5).why
    Z, _ = standardized()
    top = np.linalg.eigvalsh(2 / 400 * Z.T @ Z)[-1]
    limit = float(re.search(r"below ([\d.]+) converge at momentum 0.9 for steps on all rows", why)[1])
    assert 0.999 < limit * top / 3.8 <= 1
    assert float(re.search(r"and the best is ([\d.]+)\.", why)[1]) < limit
    assert float(re.search(r"drawn with replacement is ([\d.]+)\.", why)[1]) < limit


def test_auto_says_what_it_assumes():
    kinds = [
        ({}, "of the rates up to half of their limit."),
        ({"weight_decay": 0.3}, "assumes no weight decay"),
        ({"scheduler": "StepLR", "scheduler_options": {"step_size": 2}}, "assumes a constant rate"),
        ({"shuffle": False}, "assumes a new order each epoch"),
    ]
    for options, message in kinds:
        assert message in sq.train(F, D, lr="auto", batch_size=50, epochs=4, **options).warnings[0]


DECAY = {"weight_decay": 0.1, "lr": 0.3}
RIDGE = {
    "agree": DECAY | {"epochs": 300},
    "penalized": DECAY | {"epochs": 300, "weight_decay": 0.2},
    "not converged": DECAY | {"epochs": 2},
    "float32 floor": DECAY | {"epochs": 600, "dtype": "float32"},
    "diverged": DECAY | {"epochs": 50, "lr": 3.0},
}


@pytest.mark.filterwarnings("ignore::squarely.errors.ConvergenceWarning")
@pytest.mark.parametrize("expected", RIDGE)
def test_a_run_with_weight_decay_is_compared_with_ridge(fit, expected):
    run = sq.train(FORMULA, ROWS, **RIDGE[expected])
    certificate = sq.certify(fit.ridge(len(ROWS) * 0.1 / 2), run, tau=1e-9 if expected == "float32 floor" else 0.01)
    assert certificate.verdict == expected, certificate.cause
    ridge = fit.ridge(len(ROWS) * 0.1 / 2).params.to_numpy()
    assert_close(certificate.exact, ridge, rtol=1e-12)
    if expected in {"agree", "not converged"}:  # the gradient of the penalized loss proves the distance without the optimum
        assert np.abs(certificate.gap_se).max() <= certificate.bound.standard_errors * (1 + 1e-6) + 1e-12
        assert_close(certificate.predicted_gap, certificate.gap, rtol=1e-3, atol=1e-4 * np.abs(ridge).max())


@pytest.mark.parametrize("epochs", [1, 100])
def test_batches_with_weight_decay_are_not_called_noise(fit, epochs):
    """No theory tells the noise of these batches from too few epochs, so the certificate does not, either."""
    run = sq.train(FORMULA, ROWS, weight_decay=0.1, lr=0.001 if epochs == 1 else 0.1, epochs=epochs, batch_size=32)
    certificate = sq.certify(fit.ridge(len(ROWS) * 0.1 / 2), run)
    assert certificate.verdict == "not converged"
    assert "take more epochs with a rate that decays, or all rows at once" in certificate.cause


def test_only_ridge_with_the_scaling_of_the_run_is_compared(fit):
    run = sq.train(FORMULA, ROWS, weight_decay=0.1, lr=0.3, epochs=50)
    with pytest.raises(sq.errors.InputError, match="compares weight decay with ridge, and this fit is lasso"):
        sq.certify(fit.lasso(0.1), run)
    with pytest.raises(sq.errors.InputError, match="Leave standardize= out of both"):
        sq.certify(fit.ridge(1.0, standardize=False), run)
