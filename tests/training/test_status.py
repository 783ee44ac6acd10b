"""How a run ended: its status, its distance from least squares, and what a run that diverged refuses."""

import warnings

import numpy as np
import pytest

import squarely as sq
from tests.support.checks import assert_close, need

torch = need("torch")
ROWS = sq.datasets.cars()
FORMULA = "mpg ~ displacement + weight"


def farthest(run):
    """Return the largest distance of any combination of coefficients in standard errors, sqrt(d'X'X d / s^2)."""
    X = np.column_stack([np.ones(len(ROWS)), ROWS["displacement"], ROWS["weight"]])
    y = ROWS["mpg"].to_numpy()
    least = np.linalg.lstsq(X, y, rcond=None)[0]
    d = X @ (run.params.to_numpy() - least)
    return np.sqrt(d @ d / (((y - X @ least) ** 2).sum() / (len(y) - 3)))


@pytest.mark.parametrize(
    "options",
    [
        {"lr": 0.01, "epochs": 100},
        {"lr": 0.3, "epochs": 30, "dtype": "float64", "engine": "moments"},
        {"optimizer": "adam", "lr": 0.01, "epochs": 200},
        {"batch_size": 20, "epochs": 20, "average": True},
        {"lr": 0.1, "epochs": 50, "engine": "closed_form", "momentum": 0.5},
    ],
)
def test_the_distance_is_that_of_the_farthest_combination(options):
    run = sq.train(FORMULA, ROWS, **options)
    assert_close(run.distance_se, farthest(run), rtol=1e-6)
    assert run.status == ("converged" if farthest(run) <= 0.01 else "epochs used up")
    assert run.as_dict()["distance_se"] == run.distance_se
    assert f"From least squares:{run.distance_se:.2g} std err".replace(" ", "") in str(run.summary()).replace(" ", "")
    assert run.distance_se >= np.abs(sq.certify(sq.ols(FORMULA, ROWS), run).gap_se).max() * (1 - 1e-6)


@pytest.mark.diverges
def test_every_status():
    def status(**options):
        return sq.train(FORMULA, ROWS, **options).status

    assert status() == "converged"
    assert status(stop="0.5 se") == "converged"
    assert status(lr=0.01, epochs=10) == "epochs used up"
    assert status(lr=0.3, epochs=40, stop="0.000001 se") == "epochs used up"  # its own tolerance, not 0.01
    assert status(lr=0.01, callbacks=lambda epoch: epoch.epoch == 3) == "stopped"
    assert status(loss="huber") == "finished"
    assert status(weight_decay=0.1) == "finished"
    assert status(optimizer="adamw") == "finished"  # torch's default is a weight decay of 0.01
    assert status(lr=5.0) == "diverged"


def test_a_run_at_the_noise_of_its_batches_is_finished():
    """More epochs bring it no nearer: at ten times as many the distance has the same size; a smaller rate helps."""
    run = sq.train(FORMULA, ROWS, lr=0.1, batch_size=32, epochs=50)
    longer = sq.train(FORMULA, ROWS, lr=0.1, batch_size=32, epochs=500)
    assert run.status == longer.status == "finished"
    assert run.require() is run
    assert 1.0 < min(farthest(run), farthest(longer)) < max(farthest(run), farthest(longer)) < 6.0
    (note,) = run.notes
    assert "The noise of batches of 32 rows keeps them about 2.2 away. Try average=25, lr=0.047 or larger batches." in note
    assert farthest(sq.train(FORMULA, ROWS, lr=0.047, batch_size=32, epochs=200)) < 2.0
    asked = sq.train(FORMULA, ROWS, lr=0.1, batch_size=32, epochs=50, stop="0.01 se")
    assert asked.status == "epochs used up"


@pytest.mark.parametrize("batch_size", [None, 32])
def test_a_run_with_too_few_epochs_has_one_advice(batch_size):
    run = sq.train(FORMULA, ROWS, lr=0.01, batch_size=batch_size, epochs=50)
    assert run.status == "epochs used up"
    (note,) = run.notes
    assert "noise" not in note and "smaller" not in note  # noqa: PT018  # which is for runs with enough epochs
    (words,) = sq.sweep(FORMULA, ROWS, lr=[0.01], batch_size=batch_size, epochs=50).notes
    assert words == note
    assert run.theory.warnings != ()


def test_without_standard_errors_there_is_no_distance():
    on_a_line = sq.train("y ~ x", {"x": np.arange(6.0), "y": 2 * np.arange(6.0) + 1}, epochs=50, dtype="float64")
    too_few = sq.train("y ~ x", {"x": [0.0, 1.0], "y": [0.0, 3.0]}, epochs=50)
    collinear = sq.train("mpg ~ weight + kg", ROWS.assign(kg=2.0 * ROWS["weight"]), epochs=50)
    for run in (on_a_line, too_few, collinear):
        assert (run.status, run.distance_se) == ("finished", None)
        assert "From least squares" not in str(run.summary())
        assert run.require() is run


def test_a_run_that_used_up_its_epochs_says_what_is_enough():
    run = sq.train(FORMULA, ROWS, lr=0.01, epochs=100)
    with pytest.raises(
        sq.errors.NumericalError,
        match=r"After 100 epochs at lr=0\.01 the coefficients .* standard errors from least squares\. Give lr=0\.\d+ and",
    ):
        run.require()
    lr, epochs = (word.split("=")[1].rstrip(".") for word in run.notes[-1].split("Give")[1].split() if "=" in word)
    assert sq.train(FORMULA, ROWS, lr=float(lr), epochs=int(epochs), dtype="float64").status == "converged"
    assert sq.train(FORMULA, ROWS, lr=float(lr), epochs=int(epochs) - 1, dtype="float64").status == "epochs used up"


def test_a_run_that_diverges_warns_and_refuses_to_predict():
    with pytest.warns(sq.errors.ConvergenceWarning, match="past all bounds") as caught:
        run = sq.train(FORMULA, ROWS, lr=5.0)
    assert caught[0].filename == __file__
    assert run.distance_se is None
    with pytest.raises(sq.errors.NumericalError, match=r"The run cannot predict: its status is 'diverged'\. .*The limit here is"):
        run.predict(ROWS)
    with pytest.warns(sq.errors.ConvergenceWarning):
        sq.sweep(FORMULA, ROWS, lr=[5.0, 9.0], epochs=100)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sq.sweep(FORMULA, ROWS, lr=[5.0, 0.1], epochs=100)  # to find out which rates diverge is what a sweep is for


@pytest.mark.diverges
def test_a_repr_has_four_digits():
    diverged = sq.train("mpg ~ weight", ROWS, lr=1.5, epochs=10_000)
    assert f"loss {diverged.result.losses[-1]:.4g};" in repr(diverged)
    assert len(repr(diverged)) < 150


@pytest.mark.parametrize("options", [{"optimizer": "adam", "lr": 0.1, "epochs": 500}, {"batch_size": 50, "epochs": 20}, {}])
def test_the_loss_at_the_optimum_is_known_for_every_optimizer(options):
    run = sq.train(FORMULA, ROWS, **options)
    least = 1.0 - sq.ols(FORMULA, ROWS).rsquared
    assert_close(run.optimal_loss, least, rtol=1e-12)
    assert_close(run.history["excess"], run.history["loss"] - least, rtol=0, atol=1e-15)
    assert f"{least:.6g}" in str(run.summary())


def test_another_loss_has_no_optimum_of_least_squares():
    run = sq.train(FORMULA, ROWS, loss="l1", epochs=5)
    assert run.optimal_loss is None
    assert run.history["excess"].isna().all()
