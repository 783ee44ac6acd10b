"""When a run ends before its last epoch, and in what state it leaves its model."""

import numpy as np
import pytest

import squarely as sq
from tests.support.checks import assert_close, need

torch = need("torch")

TABLE = sq.datasets.cars()  # in memory: opening a file takes longer than most of these runs
FORMULA = "mpg ~ displacement + weight + acceleration"


@pytest.mark.parametrize("options", [{}, {"engine": "moments"}, {"optimizer": "adam", "lr": 0.02}, {"batch_size": 398}])
@pytest.mark.parametrize("tau", [1.0, 0.1, 0.001])
def test_a_distance_in_standard_errors_is_kept(options, tau):
    """The bound needs no optimum; the optimum, and standard errors, are those of the exact road."""
    run = sq.train(FORMULA, TABLE, **{"lr": 0.2, **options}, epochs=20_000, stop=f"{tau} se", dtype="float64")
    fit = sq.ols(FORMULA, TABLE)
    assert run.status == "converged"
    assert np.abs((run.params - fit.params) / fit.bse).max() <= tau
    assert f"stop='{tau} se'" in run.warnings[-1]
    assert len(run.history) < 20_001
    assert run.require() is run


def test_a_distance_is_not_reached_too_early():
    """The bound is within an order of magnitude of the distance itself: kappa is about 30 here."""
    run = sq.train(FORMULA, TABLE, lr=0.2, epochs=20_000, stop="0.01 se", dtype="float64")
    fit = sq.ols(FORMULA, TABLE)
    half = sq.train(FORMULA, TABLE, lr=0.2, epochs=(len(run.history) - 1) // 2, dtype="float64")
    assert np.abs((half.params - fit.params) / fit.bse).max() > 0.01


def test_no_gain_of_the_training_loss():
    run = sq.train(FORMULA, TABLE, lr=0.2, epochs=5000, stop="loss", patience=7, min_delta=1e-4)
    losses = run.history["loss"].to_numpy()
    best = run.result.history.best_epoch
    assert run.status == "stopped"
    assert len(losses) - 1 == best + 7
    lowest, since = np.inf, 0  # the rule of Keras and scikit-learn: a gain is what beats the last gain by more than min_delta
    for epoch, loss in enumerate(losses):
        lowest, since = (loss, epoch) if loss < lowest - 1e-4 else (lowest, since)
    assert since == best
    again = sq.train(FORMULA, TABLE, lr=0.2, epochs=best)
    assert run.result.end.tobytes() == again.result.end.tobytes()  # the parameters are those of the best epoch


def test_no_gain_on_validation_rows():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(40, 12))
    data = {f"x{j}": x[:, j] for j in range(12)} | {"y": x[:, 0] + 3 * rng.normal(size=40)}
    new = rng.normal(size=(400, 12))
    other = {f"x{j}": new[:, j] for j in range(12)} | {"y": new[:, 0] + 3 * rng.normal(size=400)}
    formula = "y ~ " + " + ".join(f"x{j}" for j in range(12))
    run = sq.train(formula, data, lr=0.01, epochs=3000, stop="validation", validation=other, start=[0.0] * 13)
    assert run.status == "stopped"
    assert run.history["val_loss"].idxmin() == run.result.history.best_epoch < len(run.history) - 1
    error = run.predict(other) - other["y"]
    assert_close((error**2).mean() / np.var(data["y"]), run.history["val_loss"].min(), rtol=1e-5)
    with pytest.raises(sq.errors.OptionError, match="validation"):
        sq.train(formula, data, stop="validation")
    with pytest.raises(sq.errors.DataError, match="no complete row to validate with"):
        sq.train(formula, data, validation={name: values[:0] for name, values in other.items()})
    with pytest.raises(sq.errors.DataError, match=r"no complete row that meets where='x0 > 0' to validate with"):
        sq.train(formula, data, where="x0 > 0", validation={**other, "x0": -np.abs(other["x0"])})


def test_callbacks_receive_every_epoch_and_may_stop():
    seen = []

    def watch(epoch):
        seen.append((epoch.epoch, epoch.loss, epoch.values["rmse"], epoch.model.linear.weight.item()))
        return epoch.epoch == 5

    run = sq.train("mpg ~ displacement", TABLE, lr=0.01, epochs=100, callbacks=watch, metrics="rmse")
    assert [epoch for epoch, *_ in seen] == list(range(6))
    assert [loss for _, loss, *_ in seen] == run.history["loss"].tolist()
    assert seen[-1][3] == run.result.end[1]
    assert "'watch' asked for it at epoch 5" in run.warnings[-1]
    assert run.status == "stopped"
    with pytest.raises(ZeroDivisionError):
        sq.train("mpg ~ displacement", TABLE, epochs=3, callbacks=[lambda epoch: 1 / 0])


@pytest.mark.parametrize("batch_size", [None, 100])
@pytest.mark.diverges
def test_a_nan_stops_the_run_and_the_last_good_parameters_are_kept(batch_size):
    def spoil(epoch):
        if epoch.epoch == 7:
            with torch.no_grad():
                epoch.model.linear.weight.fill_(float("nan"))

    options = {"lr": 0.1, "batch_size": batch_size}
    run = sq.train("mpg ~ displacement", TABLE, epochs=100, callbacks=spoil, **options)
    assert run.status == "not finite"
    assert len(run.history) == 9
    assert np.isnan(run.history["loss"].iloc[8])
    good = sq.train("mpg ~ displacement", TABLE, epochs=7, **options)
    assert run.result.end.tobytes() == good.result.end.tobytes()
    assert "not a number" in run.warnings[-1]
    with pytest.raises(sq.errors.NumericalError, match="epoch 8"):
        run.require()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("lr", [1.2, 1e5, 1e20])
@pytest.mark.diverges
def test_growth_past_all_numbers_is_divergence(dtype, lr):
    run = sq.train("mpg ~ displacement", TABLE, lr=lr, epochs=2000, dtype=dtype)
    assert run.status == "diverged"


def test_an_average_and_an_early_stop_do_not_go_together():
    """A stop brings the best parameters back, or proves something of the last ones; the average would be neither."""
    for stop in ("0.1 se", "loss"):
        with pytest.raises(sq.errors.OptionError, match="Leave one of them out"):
            sq.train("mpg ~ weight", TABLE, epochs=5, average=True, stop=stop)


def small(seed, m):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(m, 2))
    return {"a": x[:, 0], "b": x[:, 1], "y": 10 + x @ [1.0, -2.0] + rng.normal(size=m)}


ROWS, OTHERS = small(11, 120), small(99, 36)
NOISY = {"lr": 0.2, "batch_size": 4, "epochs": 12, "dtype": "float64", "seed": 2, "validation": OTHERS}


def losses_of(run):
    """Work out training and validation loss of the parameters that a run returns, from its predictions."""
    return [((run.predict(data) - data["y"]) ** 2).mean() / np.var(ROWS["y"]) for data in (ROWS, OTHERS)]


@pytest.mark.parametrize("stop", ["loss", "validation"])
def test_the_best_parameters_come_back_at_the_last_epoch_too(stop):
    run = sq.train("y ~ a + b", ROWS, stop=stop, patience=12, **NOISY)
    watched = run.history["loss" if stop == "loss" else "val_loss"]
    best = int(watched.idxmin())
    assert run.status == "finished"
    assert len(run.history) == 13
    assert 0 < best < 12  # or this would test nothing
    again = sq.train("y ~ a + b", ROWS, **{**NOISY, "epochs": best})
    assert run.result.end.tobytes() == again.result.end.tobytes()
    assert_close(losses_of(run), [run.history["loss"][best], run.history["val_loss"][best]], rtol=1e-12)
    assert f"All epochs are taken. The parameters are those of epoch {best}" in run.warnings[-1]
    assert run.as_dict()["last_loss"] == run.history["loss"][best]
    assert f"Loss at epoch {best}:" in str(run.summary())


def test_the_best_parameters_come_back_where_a_callback_ends_the_run():
    whole = sq.train("y ~ a + b", ROWS, **NOISY).history["val_loss"]
    end = next(k for k in range(3, 12) if whole[:k].min() < whole[k])  # an epoch that is not the best so far
    run = sq.train("y ~ a + b", ROWS, stop="validation", patience=12, callbacks=lambda epoch: np.bool_(epoch.epoch == end), **NOISY)
    best = int(whole[: end + 1].idxmin())
    assert len(run.history) == end + 1
    assert_close(losses_of(run)[1], whole[best], rtol=1e-12)
    assert f"at epoch {end}. The parameters are those of epoch {best}" in run.warnings[-1]
    at_best = sq.train("y ~ a + b", ROWS, stop="validation", callbacks=lambda epoch: epoch.epoch == best, **NOISY)
    assert at_best.result.end.tobytes() == run.result.end.tobytes()


def test_where_the_last_epoch_is_the_best_nothing_is_said():
    run = sq.train(FORMULA, TABLE, lr=0.2, epochs=20, stop="loss")
    assert run.warnings == sq.train(FORMULA, TABLE, lr=0.2, epochs=20).warnings
    assert "Last loss:" in str(run.summary())


def test_with_a_least_gain_what_is_said_is_true():
    """The loss falls at each epoch, by less than what counts as a gain."""
    run = sq.train("y ~ a + b", ROWS, lr=0.02, epochs=500, stop="loss", patience=5, min_delta=1e-3, dtype="float64")
    losses, best = run.history["loss"], run.result.history.best_epoch
    assert (np.diff(losses) < 0).all()
    assert losses[best] - losses.iloc[-1] < 1e-3
    assert f"those of epoch {best}, where the training loss was {losses[best]:.6g}." in run.warnings[-1]
    assert run.warnings[-1].endswith("For 5 epochs it has not fallen more than 0.001 below that.")


@pytest.mark.parametrize("options", [{"batch_size": 8}, {"engine": "moments"}, {"batch_size": 8, "stream": True}])
def test_the_loss_of_an_average_is_that_of_the_average(options):
    run = sq.train("y ~ a + b", ROWS, lr=0.3, epochs=6, average=2, dtype="float64", validation=OTHERS, metrics="rmse", **options)
    training, validation = losses_of(run)
    assert_close([run.result.final_values["loss"], run.result.final_values["val_loss"]], [training, validation], rtol=1e-11)
    assert_close(run.result.final_values["val_rmse"], (validation * np.var(ROWS["y"])) ** 0.5, rtol=1e-11)
    assert run.as_dict()["last_loss"] == run.result.final_values["loss"] != run.history["loss"].iloc[-1]
    assert "Loss of the average:" in str(run.summary())
    assert f"{run.result.final_values['val_rmse']:.8g}" in str(run.summary())
