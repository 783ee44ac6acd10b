"""Sweeps: many runs in one program against torch's own optimisers, against each run alone, and what a sweep says of them."""

import dataclasses
import json
import math

import numpy as np
import pytest
from typer.testing import CliRunner

import squarely as sq
from squarely.cli import app
from squarely.errors import OptionError
from tests.support.checks import CARS, assert_close, need

torch = need("torch")

ROWS = sq.datasets.cars()  # in memory: opening a file takes longer than most of these runs
FORMULA = "mpg ~ displacement + weight + acceleration"
ONE = "mpg ~ displacement"
TOLERANCE = {"float32": 1e-6, "float64": 1e-12}

OPTIMIZERS = {
    "sgd": {},
    "momentum": {"momentum": 0.9},
    "nesterov": {"momentum": 0.8, "nesterov": True},
    "decay": {"weight_decay": 0.05},
    "momentum, decay": {"momentum": 0.9, "weight_decay": 0.01},
    "nesterov, decay": {"momentum": 0.6, "nesterov": True, "weight_decay": 0.01},
    "dampening": {"momentum": 0.9, "optimizer_options": {"dampening": 0.3}},
    "adam": {"optimizer": "adam"},
    "adam, decay": {"optimizer": "adam", "weight_decay": 0.01, "optimizer_options": {"betas": (0.8, 0.99), "eps": 1e-6}},
    "adamw": {"optimizer": "adamw"},
    "adamw, decay": {"optimizer": "adamw", "weight_decay": 0.1},
}


def require_same(sweep, *, dtype, **options):
    """Compare every run of a sweep with the same options trained alone."""
    assert "batched program" in sweep.program
    tolerance = TOLERANCE[dtype]
    for run in sweep.runs:
        own = {name: getattr(run.options, name) for name in ("seed", "momentum", "batch_size", "weight_decay")}
        own["lr"] = run.options.rate
        alone = sq.train(data=ROWS, dtype=dtype, **{**options, **own})
        assert run.result.start.tobytes() == alone.result.start.tobytes()
        assert run.status == alone.status
        assert list(run.history.columns) == list(alone.history.columns)
        for name in set(run.history.columns) - {"predicted", "excess"}:
            assert_close(run.history[name], alone.history[name], rtol=tolerance)
        assert_close(run.result.end, alone.result.end, rtol=20 * tolerance, atol=20 * tolerance)
        assert_close(run.history["predicted"], alone.history["predicted"], rtol=1e-11)


def standardized(columns):
    cars = sq.datasets.cars()
    table = cars[[*columns, "mpg"]].to_numpy(float)
    table = (table - table.mean(0)) / table.std(0)
    return table[:, :-1], table[:, -1:]


def plain_loop(make, run, order, size, epochs):
    """Train nn.Linear with torch's optimiser on batches in the order given; losses on all rows and parameters at the end."""
    dtype = getattr(torch, run.options.dtype)
    X, y = (torch.tensor(part, dtype=dtype) for part in standardized(["displacement", "weight", "acceleration"]))
    model, losses = torch.nn.Linear(3, 1).to(dtype), []
    with torch.no_grad():
        model.bias.fill_(run.result.start[0])
        model.weight.copy_(torch.from_numpy(run.result.start[1:]))
    optimizer, criterion = make(model.parameters(), run.options.rate), torch.nn.MSELoss()
    for epoch in range(epochs + 1):
        losses.append(criterion(model(X), y).item())
        if epoch == epochs:
            break
        for rows in torch.from_numpy(order(epoch)).split(size):
            optimizer.zero_grad()
            criterion(model(X[rows]), y[rows]).backward()
            optimizer.step()
    return losses, np.concatenate([model.bias.detach().numpy(), model.weight.detach().numpy()[0]])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_full_batch_equals_each_run_alone(name, dtype):
    options = {"formula": FORMULA, "epochs": 300, **OPTIMIZERS[name]}
    rates = [0.001, 0.01, 0.02 if "adam" in name else 0.1]  # higher ones let Adam leap about the optimum, where rounding grows
    sweep = sq.sweep(data=ROWS, lr=rates, seed=[0, 3], dtype=dtype, **options)
    require_same(sweep, dtype=dtype, **options)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_mini_batches_equal_each_run_alone(name, dtype):
    options = {"formula": FORMULA, "epochs": 15, **OPTIMIZERS[name]}
    sweep = sq.sweep(data=ROWS, lr=[0.001, 0.02], batch_size=[37, 199], seed=[0, 7], dtype=dtype, **options)
    assert sweep.program == "8 runs in 2 batched programs"
    require_same(sweep, dtype=dtype, **options)


TORCH = {
    "sgd": ({"momentum": 0.9, "weight_decay": 0.01}, lambda p, lr: torch.optim.SGD(p, lr, momentum=0.9, weight_decay=0.01)),
    "nesterov": ({"momentum": 0.7, "nesterov": True}, lambda p, lr: torch.optim.SGD(p, lr, momentum=0.7, nesterov=True)),
    "adam": ({"optimizer": "adam"}, lambda p, lr: torch.optim.Adam(p, lr)),
    "adamw": ({"optimizer": "adamw"}, lambda p, lr: torch.optim.AdamW(p, lr)),
}


@pytest.mark.parametrize("size", [None, 50])
@pytest.mark.parametrize("name", TORCH)
def test_torch_itself(name, size):
    options, make = TORCH[name]
    sweep = sq.sweep(FORMULA, ROWS, lr=[0.005, 0.02], seed=[4, 1], batch_size=size, epochs=100, dtype="float64", **options)
    for run in sweep.runs:

        def order(epoch, seed=run.options.seed):
            rng = np.random.default_rng([seed, epoch])
            return np.arange(398) if size is None else rng.permutation(398)

        losses, end = plain_loop(make, run, order, size or 398, 100)
        assert_close(run.result.losses, losses, rtol=1e-12)
        assert_close(run.result.end, end, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize(
    "options",
    [
        {"formula": FORMULA + " - 1"},
        {"loss": "huber", "delta": 0.3},
        {"loss": "huber", "delta": 0.3, "batch_size": 40},
        {"engine": "moments"},
        {"engine": "moments", "optimizer": "adam"},
        {"batch_size": 40, "shuffle": False},
        {"batch_size": 40, "replacement": True},
        {"batch_size": 500, "replacement": True},
        {"standardize": False, "formula": "mpg ~ acceleration", "lr": [1e-4, 1e-3]},
        {"scheduler": "StepLR", "scheduler_options": {"step_size": 7, "gamma": 0.5}},
        {"scheduler": "CosineAnnealingLR", "scheduler_options": {"T_max": 40, "eta_min": 1e-3}, "batch_size": 60},
        {"scheduler": "ExponentialLR", "scheduler_options": {"gamma": 0.99}, "scheduler_per": "batch", "batch_size": 60},
        {"scheduler": "LambdaLR", "scheduler_options": {"lr_lambda": lambda k: 1 / (1 + k)}, "optimizer": "adam"},
        {"start": [0.5, -1.0, 2.0, 0.0]},
        {"optimizer": "adam", "optimizer_options": {"weight_decay": 0.5}},
        {"optimizer": "adam", "weight_decay": 0.5},
    ],
)
def test_other_choices_equal_each_run_alone(options):
    options = {"formula": FORMULA, "epochs": 60, **options}
    lr = options.pop("lr", [0.05, 0.01])
    sweep = sq.sweep(data=ROWS, lr=lr, seed=[0, 1], dtype="float64", **options)
    require_same(sweep, dtype="float64", **options)


def test_validation_rows():
    cars = sq.datasets.cars()
    held_out = cars.iloc[::4]
    options = {"formula": FORMULA, "epochs": 30, "batch_size": 64, "validation": held_out}
    sweep = sq.sweep(data=ROWS, lr=[0.1, 0.001], dtype="float64", **options)
    require_same(sweep, dtype="float64", **options)
    best = min(sweep.runs, key=lambda run: run.history["val_loss"].iloc[-1])
    assert sweep.best is best
    assert "validation loss" in sweep.why
    assert sweep.table["val_loss"].tolist() == [run.history["val_loss"].iloc[-1] for run in sweep.runs]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("size", "stretch"), [(None, 32), (30, 4)])
@pytest.mark.diverges
def test_runs_that_diverge_end_where_they_do_alone_and_touch_no_other(size, stretch, dtype, monkeypatch):
    """Rates near the limit diverge at epochs of their own, of one rate at one seed before another: runs are cut out and parked."""
    monkeypatch.setattr("squarely.descent.sweep.batched_loop._EPOCHS_PER_CHECK", stretch)
    options = {"formula": FORMULA, "epochs": 100 if size is None else 30, "batch_size": size}
    rates = [0.01, 40.0, 1e30, 0.7, 0.05] if size is None else [0.01, 40.0, 0.5, 1e30, 0.45, 0.05]
    sweep = sq.sweep(data=ROWS, lr=rates, seed=[0, 5], momentum=[0, 0.9], dtype=dtype, **options)
    assert len({len(run.history) for run in sweep.runs}) > 3
    assert {run.status for run in sweep.runs} >= {"epochs used up", "diverged"}
    for run in sweep.runs:
        own = {"lr": run.options.rate, "seed": run.options.seed, "momentum": run.options.momentum}
        alone = sq.train(data=ROWS, dtype=dtype, **options, **own)
        assert (run.status, len(run.history)) == (alone.status, len(alone.history))
        assert list(run.history.columns) == list(alone.history.columns)
        assert np.isfinite(run.result.end).all()
        if dtype == "float32" and run.options.rate > 0.1:
            continue  # near the limit and above, float32 has few digits after some epochs, alone as well
        growing = 1e3 if run.status == "diverged" else 1.0  # where every step adds, so do its errors of rounding
        finite = np.isfinite(alone.result.losses)
        assert np.isfinite(run.result.losses).tolist() == finite.tolist()
        expected = alone.result.losses[finite]
        highest = np.maximum.accumulate(expected)  # and where a loss comes down again, they are those of its height
        assert_close(run.result.losses[finite] / highest, expected / highest, rtol=0, atol=growing * TOLERANCE[dtype])
        size_of_end = np.abs(alone.result.end).max()
        assert_close(run.result.end, alone.result.end, rtol=0, atol=growing * 20 * TOLERANCE[dtype] * size_of_end)


def test_a_scheduler_of_batches_steps_with_each_update_on_all_rows():
    options = {"scheduler": "ExponentialLR", "scheduler_options": {"gamma": 0.5}, "scheduler_per": "batch", "epochs": 5}
    sweep = sq.sweep(FORMULA, ROWS, lr=[0.1, 0.2], dtype="float64", **options)
    assert sweep.program == "2 runs in one batched program"
    for run in sweep.runs:
        alone = sq.train(FORMULA, ROWS, lr=run.options.rate, dtype="float64", **options)
        assert_close(run.history["lr"], alone.history["lr"], rtol=1e-15)
        assert_close(run.result.losses, alone.result.losses, rtol=1e-12)


def test_many_runs_are_shared_out(monkeypatch):
    whole = sq.sweep(FORMULA, ROWS, lr=np.linspace(0.01, 0.4, 9), seed=range(5), batch_size=[90, None], epochs=7, dtype="float64")
    monkeypatch.setattr("squarely.descent.sweep.run_grid._RUNS", 4)
    monkeypatch.setattr("squarely.descent.sweep.batched_loss._CELLS", 300)
    monkeypatch.setattr("squarely.descent.sweep.batched_loop._ROWS_PER_GATHER", 200)
    parts = sq.sweep(FORMULA, ROWS, lr=np.linspace(0.01, 0.4, 9), seed=range(5), batch_size=[90, None], epochs=7, dtype="float64")
    assert whole.program == "90 runs in 2 batched programs"
    assert int(parts.program.split()[3]) > 20
    assert_close(parts.history["loss"], whole.history["loss"], rtol=1e-13)


def test_each_run_is_a_training():
    cars = sq.datasets.cars()
    sweep = sq.sweep(FORMULA, cars, lr=[0.3, 0.1], momentum=[0, 0.5], epochs=2000, dtype="float64")
    fit = sq.ols(FORMULA, cars)
    models = {id(run.model) for run in sweep.runs}
    assert len(models) == len(sweep.runs) == 4
    for run in sweep.runs:
        assert sq.certify(fit, run).agree
        assert_close(run.params, fit.params, rtol=1e-6)
        assert_close(run.predict(cars), fit.predict(cars), rtol=1e-6)
        assert isinstance(run.optimizer, torch.optim.SGD)
        assert run.optimizer.param_groups[0]["params"][0] is run.model.linear.weight
        assert run.optimizer.param_groups[0]["lr"] == run.options.lr
        assert_close(run.model.linear.bias.item(), run.result.end[0], rtol=0)
        assert run.require() is run


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"optimizer": "lbfgs", "epochs": 3}, "there is no batched update for lbfgs"),
        ({"optimizer": lambda p: torch.optim.SGD(p, lr=0.1), "lr": 0.1, "seed": [0, 1]}, "an optimizer of your own"),
        ({"optimizer": "adam", "optimizer_options": {"amsgrad": True}}, "adam with amsgrad"),
        ({"loss": "l1"}, "the gradient of loss='l1' jumps"),
        ({"clip_grad_norm": 1.0}, "clipped"),
        ({"average": True}, "averaged"),
        ({"stop": "loss"}, "each run stops by itself"),
        ({"callbacks": lambda epoch: None}, "callbacks"),
        ({"metrics": ["r2"]}, "metrics"),
        ({"engine": "closed_form"}, "takes no steps"),
        ({"scheduler": "ReduceLROnPlateau"}, "depends on the loss"),
        ({"scheduler": lambda o: torch.optim.lr_scheduler.StepLR(o, 3)}, "a function of one optimizer"),
    ],
)
def test_what_needs_a_run_of_its_own_is_trained_one_by_one(options, why):
    sweep = sq.sweep(ONE, ROWS, **{"lr": [0.1, 0.01], "epochs": 5, **options})
    assert sweep.program.startswith("2 runs, one by one, because ")
    assert why in sweep.program
    assert sweep.program in " ".join(str(sweep.summary()).split())
    for run in sweep.runs:
        own = {"lr": run.options.rate, "seed": run.options.seed}
        alone = sq.train(ONE, ROWS, **{"epochs": 5, **options, **own})
        assert run.result.losses.tobytes() == alone.result.losses.tobytes()


def test_one_run_is_a_run():
    sweep = sq.sweep(ONE, ROWS, lr=0.1, epochs=20)
    assert sweep.program == "1 run"
    assert sweep.best.result.losses.tobytes() == sq.train(ONE, ROWS, lr=0.1, epochs=20).result.losses.tobytes()
    assert "lr = 0.1 ends lowest" in sweep.why


def test_frame_and_history():
    sweep = sq.sweep(ONE, ROWS, lr=[0.1, 2.0], batch_size=[50, None], seed=[3, 4], epochs=20)
    frame, history = sweep.table, sweep.history
    names = ["lr", "batch_size", "seed", "status", "last_loss", "lowest_loss", "epochs", "predicted_loss", "predicted_excess"]
    assert list(frame.columns) == names
    assert frame["batch_size"].tolist() == [50, 50, 398, 398] * 2  # of all rows: how many these are
    assert frame["seed"].tolist() == [3, 4] * 4
    assert list(history.columns) == ["epoch", "loss", "lr", "batch_size", "seed"]
    assert len(history) == (frame["epochs"] + 1).sum()
    for row, run in zip(frame.itertuples(), sweep.runs, strict=True):
        assert (row.lr, row.seed, row.status) == (run.options.lr, run.options.seed, run.status)
        of_run = history[(history["lr"] == row.lr) & (history["batch_size"] == row.batch_size) & (history["seed"] == row.seed)]
        assert of_run["loss"].tolist() == run.result.losses.tolist()
        assert row.lowest_loss == of_run["loss"].min()
    full = frame[(frame["batch_size"] == 398) & (frame["lr"] == 0.1)]
    assert_close(full["predicted_excess"], [0.8**40] * 2, rtol=1e-9)  # (1 - 2 lr)^(2 epochs)


@pytest.mark.diverges
def test_the_best_and_why():
    sweep = sq.sweep(ONE, ROWS, lr=[0.001, 0.3, 1.5, 0.01], epochs=60, dtype="float64")
    ends = {run.options.lr: run.result.losses[-1] for run in sweep.runs}
    assert sweep.best.options.lr == 0.3
    assert f"{ends[0.01] - ends[0.3]:.3g} below that of lr = 0.01." in sweep.why
    assert "1 of 4 runs diverged." in sweep.why
    assert "Learning rates below 1 converge. The best is 0.5." in sweep.why
    assert "at momentum 0.9" in sq.sweep(ONE, ROWS, lr=[0.1, 0.01], momentum=0.9, epochs=5).why
    assert sq.sweep(ONE, ROWS, lr=[2.0, 3.0], epochs=60).why.startswith("Every run diverged.")


def test_equals_are_reported():
    sweep = sq.sweep(ONE, ROWS, lr=[0.5, 0.25], seed=0, epochs=3000, dtype="float64", start=[0.0, 0.0], batch_size=[None, 999])
    assert sweep.best is sweep.runs[0]
    assert "tied with lr = 0.5, batch_size = 398" in sweep.why


def test_auto_and_remarks():
    sweep = sq.sweep(ONE, ROWS, lr=["auto", 0.1], epochs=3, dtype="float64")
    assert_close(sweep.runs[0].options.rate, 0.5, rtol=1e-9)
    assert any("lr='auto' is 0.5" in note for note in sweep.runs[0].warnings)


def test_pages_are_short_and_narrow():
    sweep = sq.sweep(FORMULA, ROWS, lr=np.geomspace(1e-5, 3, 12), batch_size=[40, None], seed=[0, 123456], momentum=[0, 0.9],
                     weight_decay=[0, 0.001], epochs=10, validation=ROWS)  # fmt: skip
    page = str(sweep.summary())
    assert max(map(len, page.splitlines())) <= 80
    assert len(page.splitlines()) < 60
    assert "These are the best 10; the other 182 runs are in sweep.table." in page
    assert "192 runs in 2 batched programs." in page
    assert "<table" in sweep._repr_html_()
    assert repr(sweep).startswith("<Sweep of lr 1e-05, ")
    assert "192 runs" in repr(sweep)


def test_numbers_are_strict_json():
    numbers = sq.sweep(ONE, ROWS, lr=[0.1, 0.2], seed=[0, 1], epochs=3, batch_size=100).as_dict()
    assert json.loads(json.dumps(numbers))["varied"] == ["lr", "seed"]
    assert len(numbers["runs"]) == len(numbers["table"]["lr"]) == 4
    assert numbers["table"]["last_loss"][numbers["best"]] == min(numbers["table"]["last_loss"])


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"lr": []}, "lr=[] names no learning rate. Give at least one, such as lr=[0.01, 0.001]."),
        ({"batch_size": []}, "batch_size=[] names no batch size."),
        ({"seed": range(0)}, "seed=[] names no seed."),
        (
            {"epochs": [10, 20]},
            "epochs=[10, 20] has several values, and only lr, batch_size, seed, momentum and weight_decay can vary within a sweep.",
        ),
        (
            {"optimizer": ["sgd", "adam"]},
            "only lr, batch_size, seed, momentum and weight_decay can vary within a sweep.",
        ),
        ({"seed": range(400), "lr": np.geomspace(1e-4, 1, 300)}, "This grid has 120,000 runs (300 of lr x 400 of seed)"),
        ({"seed": [1, 2, 1]}, "seed= has 1 twice"),
        ({"lr": [0.1, -1.0]}, "lr=-1.0 is not a learning rate"),
        ({"momentum": [0.9, 1.0]}, "momentum=1.0 is not in [0, 1)."),
        ({"momentum": [0.9, 0.0], "nesterov": True}, "nesterov=True needs momentum above zero."),
        ({"batch_size": [10, 0]}, "batch_size=0"),
        (
            {"lr": [0.1, 0.2], "epochs": 10**9},
            "epochs=1000000000 would fill the memory with history. A sweep takes up to 10,000,000",
        ),
        ({"seed": [0, 1.5]}, "seed=1.5 is not a whole number."),
        (
            {"weight_decay": [0.1, 0.2], "optimizer": "adam", "optimizer_options": {"weight_decay": 0.0}},
            "optimizer_options= has 'weight_decay', which is a separate option. Give weight_decay= instead.",
        ),
        ({"momentum": [0, 0.9], "optimizer": "adam"}, "momentum= and nesterov= belong to optimizer='sgd'"),
    ],
)
def test_grids_that_make_no_sense(options, says):
    with pytest.raises(OptionError) as raised:
        sq.sweep(ONE, "no-such-file.csv", **options)
    assert says in str(raised.value)


def test_the_command_line():
    words = [
        "--lr",
        "0.1",
        "--lr",
        "0.01",
        "--batch-size",
        "50",
        "--batch-size",
        "100",
        "--seed",
        "1",
        "--seed",
        "2",
        "--epochs",
        "3",
    ]
    done = CliRunner().invoke(app, ["sweep", ONE, CARS, *words, "--json"])
    numbers = json.loads(done.output)
    assert (done.exit_code, numbers["varied"], len(numbers["runs"])) == (0, ["lr", "batch_size", "seed"], 8)
    page = CliRunner().invoke(app, ["sweep", ONE, CARS, *words]).output
    assert "8 runs in 2 batched programs." in page


def test_ten_thousand_runs():
    sweep = sq.sweep(ONE, ROWS, lr=np.geomspace(1e-3, 0.9, 100), seed=range(100), epochs=40)
    frame = sweep.table
    assert len(frame) == 10_000
    assert (frame["status"] != "diverged").all()
    assert math.isclose(
        frame["last_loss"].min(), 1 - np.corrcoef(*np.hstack(standardized(["displacement"])).T)[0, 1] ** 2, rel_tol=1e-6
    )
    assert sweep.program == "10,000 runs in 3 batched programs"


def test_the_prediction_is_that_of_a_run_alone():
    sweep = sq.sweep(FORMULA, ROWS, lr=[0.1, 0.02], momentum=[0, 0.9], epochs=500, dtype="float64")
    for run in sweep.runs:
        assert_close(run.result.losses, run.prediction.losses, rtol=1e-11)
        alone = sq.train(FORMULA, ROWS, lr=run.options.lr, momentum=run.options.momentum, epochs=500, dtype="float64").prediction
        assert run.prediction.form == alone.form
        for name in [field.name for field in dataclasses.fields(alone) if field.name != "form"]:
            expected = getattr(alone, name)
            assert_close(getattr(run.prediction, name), expected, rtol=1e-9, atol=1e-12 * np.abs(expected).max())


def made(seed, m):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(m, 2))
    return {"a": x[:, 0], "b": x[:, 1], "y": 10 + x @ [1.0, -2.0] + rng.normal(size=m)}


def own_loss(run, data, unit):
    """Work the loss of the parameters out that a run returns, from its predictions."""
    return ((run.predict(data) - data["y"]) ** 2).mean() / unit


def test_averages_are_ranked_by_the_loss_of_the_average():
    data = made(0, 400)
    sweep = sq.sweep("y ~ a + b", data, lr=[0.2, 0.1, 0.02, 0.005], batch_size=8, epochs=15, average=True, dtype="float64")
    losses = [own_loss(run, data, np.var(data["y"])) for run in sweep.runs]
    assert_close(sweep.table["last_loss"], losses, rtol=1e-11)
    assert sweep.best is sweep.runs[int(np.argmin(losses))]
    assert f"{min(losses):.6g}" in sweep.why
    last = [run.result.losses[-1] for run in sweep.runs]
    assert int(np.argmin(last)) != int(np.argmin(losses))  # the last iterates are in another order


@pytest.mark.parametrize("seed", [2, 3])
@pytest.mark.parametrize("patience", [3, 20])
def test_runs_that_wait_are_ranked_by_what_they_return(seed, patience):
    data, other = made(11, 120), made(99, 36)
    options = {"batch_size": 4, "epochs": 12, "validation": other, "stop": "validation", "patience": patience, "seed": seed}
    sweep = sq.sweep("y ~ a + b", data, lr=[0.2, 0.1], dtype="float64", **options)
    losses = [own_loss(run, other, np.var(data["y"])) for run in sweep.runs]
    assert_close(sweep.table["val_loss"], losses, rtol=1e-11)
    assert_close(sweep.table["last_loss"], [own_loss(run, data, np.var(data["y"])) for run in sweep.runs], rtol=1e-11)
    assert sweep.best is sweep.runs[int(np.argmin(losses))]
    assert_close(losses, [run.history["val_loss"].min() for run in sweep.runs], rtol=1e-11)


@pytest.mark.parametrize("options", [{}, {"batch_size": 30}, {"optimizer": "lbfgs", "lr": [1.0]}])
def test_each_seed_holds_out_rows_of_its_own(options):
    options = {"lr": [0.1, 0.02], "epochs": 6, "validation": 0.25, "dtype": "float64", **options}
    sweep = sq.sweep("y ~ a + b", made(5, 80), seed=[3, 0, 1], **options)
    assert [(run.options.lr, run.options.seed) for run in sweep.runs] == [(lr, seed) for lr in options["lr"] for seed in (3, 0, 1)]
    for run in sweep.runs:
        alone = sq.train("y ~ a + b", made(5, 80), **{**options, "lr": run.options.lr}, seed=run.options.seed)
        assert_close(
            run.history.drop(columns=["predicted", "excess"]), alone.history.drop(columns=["predicted", "excess"]), rtol=1e-11
        )
        assert_close(run.params, alone.params, rtol=1e-10)
        assert_close(run.history["predicted"], alone.history["predicted"], rtol=1e-10)
    assert len({run.history["val_loss"][0] for run in sweep.runs}) == 3
    assert sweep.program.startswith("3 splits of the rows, one for each seed: ")


def test_rates_cannot_vary_where_the_optimiser_has_its_own():
    with pytest.raises(OptionError, match="sets its own learning rate"):
        sq.sweep(ONE, ROWS, lr=[0.1, 0.2], optimizer=lambda p: torch.optim.SGD(p, lr=0.3), epochs=2)


def test_a_schedule_that_is_too_short_for_a_sweep_is_refused_beforehand():
    one = {"scheduler": "OneCycleLR", "scheduler_options": {"max_lr": 0.1, "total_steps": 7}}
    listed = {"scheduler": "LambdaLR", "scheduler_options": {"lr_lambda": lambda k: [1.0, 0.5, 0.1][k]}}
    for options, message in [(one, "ends after 7 steps, and this run takes 8. Give total_steps=8"), (listed, "step 3 of the 8")]:
        with pytest.raises(OptionError, match=message):
            sq.sweep(ONE, ROWS, lr=[0.1, 0.2], epochs=8, **options)
