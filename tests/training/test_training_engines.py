"""One run by several engines: rows, cross-products and the spectrum; a gradient through autograd and one written out."""

import numpy as np
import pytest

import squarely as sq
from tests.support.checks import assert_close, need

torch = need("torch")

ROWS = sq.datasets.cars()  # in memory: opening a file takes longer than most of these runs
FORMULA = "mpg ~ displacement + weight + acceleration"
PRECISION = {"float32": 1e-6, "float64": 1e-12}
EPOCHS = 600  # more than two of the stretches in which a run on cross-products writes its losses down

OPTION_SETS = {
    "sgd": {"lr": 0.05},
    "momentum": {"lr": 0.02, "momentum": 0.9},
    "nesterov": {"lr": 0.02, "momentum": 0.8, "nesterov": True},
    "adam": {"lr": 0.05, "optimizer": "adam"},
    "adamw": {"lr": 0.05, "optimizer": "AdamW", "weight_decay": 0.1},
    "sgd, weight decay": {"lr": 0.05, "weight_decay": 0.3},
    "sgd, schedule": {"lr": 0.1, "scheduler": "StepLR", "scheduler_options": {"step_size": 50, "gamma": 0.7}},
    "sgd, clipped": {"lr": 0.05, "clip_grad_norm": 0.5},
    "sgd, averaged": {"lr": 0.05, "average": 100},
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", OPTION_SETS)
@pytest.mark.parametrize("intercept", [True, False])
def test_rows_and_cross_products_take_the_same_way(case, dtype, intercept):
    formula = FORMULA if intercept else FORMULA + " - 1"
    rows = sq.train(formula, ROWS, epochs=EPOCHS, dtype=dtype, **OPTION_SETS[case])
    moments = sq.train(formula, ROWS, epochs=EPOCHS, dtype=dtype, engine="moments", **OPTION_SETS[case])
    assert len(moments.history) == EPOCHS + 1
    assert_close(moments.history["loss"], rows.history["loss"], rtol=PRECISION[dtype])
    assert_close(moments.result.end, rows.result.end, rtol=0, atol=10 * PRECISION[dtype])


@pytest.mark.parametrize("case", ["sgd", "momentum", "nesterov"])
@pytest.mark.parametrize("epochs", [1, 255, 256, 257, 600])
def test_the_closed_form_is_the_run(case, epochs):
    rows = sq.train(FORMULA, ROWS, epochs=epochs, dtype="float64", **OPTION_SETS[case])
    for engine in ("closed_form", "moments"):
        run = sq.train(FORMULA, ROWS, epochs=epochs, dtype="float64", engine=engine, **OPTION_SETS[case])
        assert_close(run.history["loss"], rows.history["loss"], rtol=1e-12)
        assert_close(run.result.end, rows.result.end, rtol=0, atol=1e-11)
    assert_close(rows.params, run.params, rtol=1e-9)


@pytest.mark.parametrize("standardize", [True, False])
def test_the_closed_form_has_the_metrics_of_the_run(standardize):
    options = {"lr": 0.1 if standardize else 1e-7, "epochs": 20, "metrics": ("mse", "rmse", "r2"), "standardize": standardize}
    rows = sq.train(FORMULA, ROWS, dtype="float64", **options)
    closed = sq.train(FORMULA, ROWS, dtype="float64", engine="closed_form", **options)
    for name in options["metrics"]:
        assert_close(closed.history[name], rows.history[name], rtol=1e-9, atol=1e-12)
    assert "rmse" in str(closed.summary())


@pytest.mark.parametrize("engine", ["moments", "closed_form"])
@pytest.mark.parametrize("lr", [1.2, 3.0])
@pytest.mark.diverges
def test_every_engine_diverges_at_the_same_epoch(engine, lr):
    rows = sq.train(FORMULA, ROWS, epochs=700, dtype="float64", lr=lr)
    other = sq.train(FORMULA, ROWS, epochs=700, dtype="float64", lr=lr, engine=engine)
    assert rows.status == other.status == "diverged"
    assert len(rows.history) == len(other.history)
    assert_close(other.history["loss"], rows.history["loss"], rtol=1e-11)
    assert_close(other.result.end, rows.result.end, rtol=0, atol=1e-11 * np.abs(rows.result.end).max())


def test_optimisers_that_act_on_signs_may_part():
    """RMSprop and Rprop divide by, or look only at the sign of, gradients that rounding decides near the optimum (THEORY.md)."""
    for optimizer in ("rmsprop", "rprop"):
        rows = sq.train(FORMULA, ROWS, epochs=50, lr=0.01, optimizer=optimizer, dtype="float64")
        moments = sq.train(FORMULA, ROWS, epochs=50, lr=0.01, optimizer=optimizer, dtype="float64", engine="moments")
        assert_close(moments.history["loss"], rows.history["loss"], rtol=1e-6)  # far from the optimum they agree


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("batch_size", [None, 16, 398])
@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("case", ["momentum", "adam", "sgd, clipped", "sgd, averaged"])
def test_the_gradient_written_out_is_that_of_autograd(case, dtype, batch_size, intercept):
    formula = FORMULA if intercept else FORMULA + " - 1"
    options = {"epochs": 120, "dtype": dtype, "batch_size": batch_size, **OPTION_SETS[case]}
    auto, closed = (sq.train(formula, ROWS, gradient=gradient, **options) for gradient in ("autograd", "closed"))
    assert_close(closed.history["loss"], auto.history["loss"], rtol=2 * PRECISION[dtype])
    assert_close(closed.result.end, auto.result.end, rtol=0, atol=20 * PRECISION[dtype])


def test_closed_gradients_are_those_of_numpy():
    """One step from a given start, worked out by hand: w - lr (2/n) X'(Xw - y)."""
    cars = sq.datasets.cars()
    x, y = cars["displacement"].to_numpy(float), cars["mpg"].to_numpy(float)
    x, y = (x - x.mean()) / x.std(), (y - y.mean()) / y.std()
    start, lr = np.array([0.3, -0.2]), 0.1
    r = start[0] + start[1] * x - y
    expected = start - lr * 2 / len(x) * np.array([r.sum(), x @ r])
    for options in ({"gradient": "closed"}, {"gradient": "autograd"}, {"engine": "moments"}, {"engine": "closed_form"}):
        run = sq.train("mpg ~ displacement", ROWS, epochs=1, lr=lr, start=start, dtype="float64", **options)
        assert_close(run.result.end, expected, rtol=1e-13)


def test_the_objects_of_every_engine():
    run = sq.train(FORMULA, ROWS, epochs=5, engine="moments", optimizer="adam")
    assert isinstance(run.optimizer, torch.optim.Adam)
    assert isinstance(run.model, torch.nn.Module)
    state = run.optimizer.state[run.optimizer.param_groups[0]["params"][0]]
    assert int(state["step"]) == 5  # updates, not looks
    closed = sq.train(FORMULA, ROWS, lr=0.01, epochs=5, engine="closed_form")
    assert closed.optimizer is None
    cars = sq.datasets.cars()
    assert_close(closed.predict(cars), sq.train(FORMULA, ROWS, lr=0.01, epochs=5, dtype="float64").predict(cars), rtol=1e-6)


def test_what_engines_cannot_do_is_said():
    for options, message in [
        ({"engine": "moments", "batch_size": 32}, "no rows for batches"),
        ({"engine": "moments", "loss": "l1"}, "is for loss='mse', not for 'l1'"),
        ({"engine": "moments", "metrics": ["mae"]}, "needs every row"),
        ({"engine": "closed_form", "optimizer": "adam"}, "Use engine='moments'"),
        ({"engine": "closed_form", "scheduler": "ExponentialLR", "scheduler_options": {"gamma": 0.9}}, "constant rate"),
        ({"engine": "closed_form", "stop": "0.01 se"}, "takes no steps"),
        ({"engine": "closed_form", "callbacks": print}, "callbacks= does not apply"),
        ({"engine": "closed_form", "validation": 0.2}, "evaluates no rows"),
        ({"engine": "closed_form", "epochs": 10**9}, "would fill the memory"),
        ({"engine": "spectrum"}, "engine='spectrum' is not understood"),
        ({"gradient": "closed", "loss": "huber"}, "Use gradient='autograd'"),
        ({"gradient": "numeric"}, "gradient='numeric' is not understood"),
    ]:
        with pytest.raises(sq.errors.OptionError, match=message):
            sq.train(FORMULA, ROWS, **{"epochs": 2, **options})


@pytest.mark.parametrize(
    "formula", ["mpg ~ displacement + weight", "mpg ~ C(origin) * weight", "mpg ~ poly(weight, 3, raw=True) - 1"]
)
def test_the_fold_on_a_device_is_the_fold(formula):
    """On the CPU as the device: what a GPU does is the same page of code."""
    from squarely.data import open_source
    from squarely.design import learn_from_rows, parse_formula
    from squarely.moments import fold_moments
    from squarely.moments.gpu import fold_on_device

    source = open_source(ROWS)
    design = learn_from_rows(parse_formula(formula, list(source.columns)), source, None)
    here, there = fold_moments(design, source), fold_moments(design, source, fold_on_device("cpu"))
    assert_close(there.gram, here.gram, rtol=1e-13, atol=1e-10)
    assert there.account == here.account
