"""Mini-batches, losses, optimisers, schedules, averages and metrics against plain PyTorch loops written out here."""

import re

import numpy as np
import pytest

import squarely as sq
from tests.support.checks import assert_close, need

torch = need("torch")
nn, optim = torch.nn, torch.optim
schedules = torch.optim.lr_scheduler

ROWS = sq.datasets.cars()  # in memory: opening a file takes longer than most of these runs
FORMULA = "mpg ~ displacement + weight"
N = 398


def tensors(dtype):
    cars = sq.datasets.cars()
    x, y = cars[["displacement", "weight"]].to_numpy(float), cars[["mpg"]].to_numpy(float)
    x, y = (x - x.mean(0)) / x.std(0), (y - y.mean()) / y.std()
    return torch.tensor(x, dtype=dtype), torch.tensor(y, dtype=dtype)


def plain(make, epochs, *, dtype=torch.float64, size=None, criterion=None, schedule=None, per="epoch", order=None, clip=None):
    """A plain loop: losses on all rows at the beginning of each epoch, means of the batch losses, parameters after each step."""
    X, y = tensors(dtype)
    criterion = criterion or nn.MSELoss()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Linear(2, 1).to(dtype)
    optimizer = make(model.parameters())
    scheduler = schedule(optimizer) if schedule else None
    losses, running, iterates = [], [], []
    for epoch in range(epochs):
        losses.append(criterion(model(X), y).item())
        place = torch.arange(N) if order is None else torch.from_numpy(order(epoch))
        total = 0.0
        for rows in place.split(size or N):
            optimizer.zero_grad()
            loss = criterion(model(X[rows]), y[rows])
            loss.backward()
            if clip:
                nn.utils.clip_grad_norm_(model.parameters(), clip)
            optimizer.step()
            if scheduler and per == "batch":
                scheduler.step()
            total += loss.item() * len(rows)
            iterates.append(np.concatenate([model.bias.detach().numpy().ravel(), model.weight.detach().numpy().ravel()]))
        running.append(total / N)
        if scheduler and per == "epoch":
            scheduler.step(losses[-1]) if isinstance(scheduler, schedules.ReduceLROnPlateau) else scheduler.step()
    losses.append(criterion(model(X), y).item())
    return np.array(losses), np.array(running), np.array(iterates)


def permuted(epoch):
    return np.random.default_rng([0, epoch]).permutation(N)


def drawn(epoch):
    return np.random.default_rng([0, epoch]).integers(N, size=N)


@pytest.mark.parametrize("size", [1, 7, 32, 199, 397])
@pytest.mark.parametrize(("options", "order"), [({}, permuted), ({"shuffle": False}, None), ({"replacement": True}, drawn)])
def test_mini_batches_are_those_of_a_plain_loop(size, options, order):
    """The last batch is short (398 = 12 x 32 + 14), and the mean over it is over the rows that it has."""
    run = sq.train(FORMULA, ROWS, lr=0.01, epochs=4, batch_size=size, dtype="float64", **options)
    losses, running, _ = plain(lambda p: optim.SGD(p, lr=0.01), 4, size=size, order=order)
    assert_close(run.history["loss"], losses, rtol=1e-12)
    assert_close(run.history["running_loss"][:4], running, rtol=1e-12)
    assert np.isnan(run.history["running_loss"].iloc[4])


def test_every_epoch_has_an_order_of_its_own_and_every_row_once():
    from squarely.descent.batches.in_memory import InMemoryBatches

    rows = InMemoryBatches(torch.arange(1000.0)[:, None], torch.zeros(1000, 1), seed=3)
    first, again, second = (torch.cat([X for X, _ in rows.batches(epoch, 64)]).ravel() for epoch in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, second)
    assert torch.equal(first.sort().values, torch.arange(1000.0))
    assert [len(X) for X, _ in rows.batches(0, 64)] == [64] * 15 + [40]
    rest = torch.cat([X for X, _ in rows.batches(0, 64, skip=5)]).ravel()
    assert torch.equal(rest, first[320:])


LOSSES = [
    ("l1", {}, nn.L1Loss()),
    ("huber", {"delta": 0.4}, nn.HuberLoss(delta=0.4)),
    ("MSELoss", {}, nn.MSELoss()),
    ("quantile", {"quantile": 0.9}, lambda out, y: torch.where(y >= out, 0.9 * (y - out), 0.1 * (out - y)).mean()),
]


@pytest.mark.parametrize(("loss", "options", "criterion"), LOSSES)
@pytest.mark.parametrize("size", [None, 50])
def test_losses(loss, options, criterion, size):
    run = sq.train(FORMULA, ROWS, lr=0.02, epochs=30, loss=loss, batch_size=size, dtype="float64", **options)
    losses, _, _ = plain(lambda p: optim.SGD(p, lr=0.02), 30, criterion=criterion, size=size, order=permuted if size else None)
    assert_close(run.history["loss"], losses, rtol=1e-12)


def test_the_quantile_loss_finds_the_quantile():
    """Without predictors that matter, the 0.9 quantile of the response has a tenth of the rows above it."""
    rng = np.random.default_rng(5)
    data = {"x": rng.normal(size=2000), "y": rng.exponential(size=2000)}
    run = sq.train("y ~ x", data, loss="quantile", quantile=0.9, lr=0.05, epochs=3000, optimizer="adam", dtype="float64")
    assert abs((data["y"] > run.predict(data)).mean() - 0.1) < 0.01


OPTIMIZERS = {
    "sgd": (
        {"lr": 0.02, "momentum": 0.7, "nesterov": True, "weight_decay": 0.1},
        optim.SGD,
        {"momentum": 0.7, "nesterov": True, "weight_decay": 0.1},
    ),
    "adamw": ({"lr": 0.02, "optimizer_options": {"betas": (0.8, 0.95)}}, optim.AdamW, {"betas": (0.8, 0.95)}),
    "adamw, decay": ({"lr": 0.02, "optimizer": "AdamW", "weight_decay": 0.5}, optim.AdamW, {"weight_decay": 0.5}),
    "rmsprop": ({"lr": 0.01}, optim.RMSprop, {}),
    "adagrad": ({"lr": 0.05}, optim.Adagrad, {}),
    "adadelta": ({"lr": 1.0}, optim.Adadelta, {}),
    "adamax": ({"lr": 0.02}, optim.Adamax, {}),
    "nadam": ({"lr": 0.02}, optim.NAdam, {}),
    "radam": ({"lr": 0.02}, optim.RAdam, {}),
    "asgd": ({"lr": 0.02}, optim.ASGD, {}),
    "rprop": ({"lr": 0.01}, optim.Rprop, {}),
    "adafactor": ({"lr": 0.02}, optim.Adafactor, {}),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("size", [None, 64])
def test_every_optimiser_of_torch_by_its_name(name, size):
    options, kind, extra = OPTIMIZERS[name]
    options = {"optimizer": name, **options}
    run = sq.train(FORMULA, ROWS, epochs=12, batch_size=size, dtype="float64", **options)
    losses, _, _ = plain(lambda p: kind(p, lr=options["lr"], **extra), 12, size=size, order=permuted if size else None)
    assert_close(run.history["loss"], losses, rtol=1e-12)
    assert type(run.optimizer) is kind


def test_an_optimiser_may_be_a_class_or_a_function():
    for optimizer in (optim.RMSprop, lambda params: optim.RMSprop(params, lr=0.03)):
        run = sq.train(FORMULA, ROWS, epochs=5, lr=0.03, optimizer=optimizer, dtype="float64")
        assert_close(run.history["loss"], plain(lambda p: optim.RMSprop(p, lr=0.03), 5)[0], rtol=1e-12)


def test_lbfgs_reaches_the_optimum_in_a_few_epochs():
    run = sq.train(FORMULA, ROWS, optimizer="lbfgs", lr=1.0, epochs=3, dtype="float64", optimizer_options={"tolerance_change": 0.0})
    assert_close(run.params, sq.ols(FORMULA, ROWS).params, rtol=1e-6)


SCHEDULES = {
    "StepLR": ({"step_size": 3, "gamma": 0.5}, "epoch"),
    "exponential": ({"gamma": 0.9}, "epoch"),
    "CosineAnnealingLR": ({"T_max": 10}, "epoch"),
    "LinearLR": ({"total_iters": 4}, "epoch"),
    "ReduceLROnPlateau": ({"patience": 0, "threshold": 0.5}, "epoch"),
    "OneCycleLR": ({"max_lr": 0.1, "total_steps": 10 * 7}, "batch"),
    "CyclicLR": ({"base_lr": 0.01, "max_lr": 0.05, "step_size_up": 5}, "batch"),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedulers(name):
    options, per = SCHEDULES[name]
    kind = getattr(schedules, {"exponential": "ExponentialLR"}.get(name, name))
    run = sq.train(
        FORMULA, ROWS, lr=0.05, momentum=0.5, epochs=10, batch_size=64, scheduler=name, scheduler_options=options, dtype="float64"
    )
    expected = plain(
        lambda p: optim.SGD(p, lr=0.05, momentum=0.5), 10, size=64, order=permuted, schedule=lambda o: kind(o, **options), per=per
    )
    assert_close(run.history["loss"], expected[0], rtol=1e-12)
    assert run.history["lr"].nunique() > 1


def test_a_scheduler_may_be_a_function_of_the_optimiser():
    def halved(optimizer):
        return schedules.LambdaLR(optimizer, lambda epoch: 0.5**epoch)

    run = sq.train(FORMULA, ROWS, lr=0.1, epochs=5, scheduler=halved)
    assert_close(run.history["lr"], 0.1 * 0.5 ** np.arange(6), rtol=1e-15)
    with pytest.raises(sq.errors.OptionError, match="belongs to another optimizer"):
        sq.train(FORMULA, ROWS, epochs=2, scheduler=halved(optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)))
    other = optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    with pytest.raises(sq.errors.OptionError, match="of another optimizer"):
        sq.train(FORMULA, ROWS, epochs=2, scheduler=lambda optimizer: halved(other))


def one_cycle(steps):
    return lambda optimizer: schedules.OneCycleLR(optimizer, max_lr=0.1, total_steps=steps)


def warmed_up(steps):
    def made(optimizer):
        parts = [schedules.LinearLR(optimizer), one_cycle(steps)(optimizer)]
        return schedules.SequentialLR(optimizer, parts, milestones=[2])

    return made


@pytest.mark.parametrize(
    ("schedule", "options", "needed"),
    [
        ("OneCycleLR", {"scheduler_options": {"max_lr": 0.1, "total_steps": 11}, "batch_size": 200}, "Give total_steps=12"),
        (
            "OneCycleLR",
            {"scheduler_options": {"max_lr": 0.1, "epochs": 5, "steps_per_epoch": 2}, "batch_size": 200},
            "steps_per_epoch=2",
        ),
        ("OneCycleLR", {"scheduler_options": {"max_lr": 0.1, "total_steps": 5}, "scheduler_per": "batch"}, "Give total_steps=6"),
        (one_cycle(11), {"batch_size": 200}, "Give total_steps=12"),
        (lambda o: schedules.LambdaLR(o, lambda k: [1.0, 0.5, 0.1, 0.1, 0.1, 0.1][k]), {}, "fails at step 6 of the 6"),
        (warmed_up(3), {}, "SequentialLR fails at step 6 of the 6"),
    ],
)
def test_a_schedule_that_is_too_short_is_refused_before_the_first_step(schedule, options, needed):
    seen = []
    with pytest.raises(sq.errors.OptionError, match=needed):
        sq.train(FORMULA, ROWS, epochs=6, scheduler=schedule, callbacks=seen.append, **options)
    assert not seen


def test_a_schedule_of_the_right_length_is_taken():
    for schedule, options in [
        ("OneCycleLR", {"scheduler_options": {"max_lr": 0.1, "total_steps": 12}, "batch_size": 200}),
        ("OneCycleLR", {"scheduler_options": {"max_lr": 0.1, "total_steps": 6}}),
        (lambda o: schedules.LambdaLR(o, lambda k: [1.0, 0.5, 0.1, 0.1, 0.1, 0.1, 0.0][k]), {}),
    ]:
        assert sq.train(FORMULA, ROWS, epochs=6, scheduler=schedule, **options).status == "epochs used up"


def test_the_plateau_of_the_validation_loss_is_that_of_pytorchs_documentation():
    """for epoch ...: train(...); val_loss = validate(...); scheduler.step(val_loss)."""
    g = torch.Generator().manual_seed(8)
    X = torch.randn(90, 2, generator=g, dtype=torch.float64)
    y = X @ torch.tensor([[1.0], [-1.0]], dtype=torch.float64) + torch.randn(90, 1, generator=g, dtype=torch.float64)
    (X, V), (y, v) = X.split(60), y.split(60)
    options = {"patience": 1, "threshold": 0.01, "factor": 0.3}
    run = sq.train(
        X=X, y=y, validation=(V, v), standardize=False, lr=0.6, batch_size=60, epochs=15, start=[0.1, 0.1, 0.1], dtype="float64",
        scheduler="ReduceLROnPlateau", scheduler_options=options,
    )  # fmt: skip
    model = nn.Linear(2, 1).double()
    with torch.no_grad():
        model.weight.fill_(0.1)
        model.bias.fill_(0.1)
    optimizer, criterion = optim.SGD(model.parameters(), lr=0.6), nn.MSELoss()
    scheduler = schedules.ReduceLROnPlateau(optimizer, **options)
    rates, losses = [0.6], [criterion(model(V), v).item()]
    for _ in range(15):
        optimizer.zero_grad()
        criterion(model(X), y).backward()
        optimizer.step()
        losses.append(criterion(model(V), v).item())
        scheduler.step(losses[-1])
        rates.append(optimizer.param_groups[0]["lr"])
    assert run.history["lr"].tolist() == rates
    assert_close(run.history["val_loss"], losses, rtol=1e-12)
    assert len(set(rates)) > 2


def test_a_plateau_that_cannot_be_waited_for_is_refused():
    for options, message in [
        ({"scheduler_per": "batch", "batch_size": 32}, "waits for the loss of an epoch"),
        ({"scheduler_options": {"mode": "max"}}, "mode='max', which waits for the loss to rise"),
    ]:
        with pytest.raises(sq.errors.OptionError, match=message):
            sq.train(FORMULA, ROWS, epochs=3, scheduler="ReduceLROnPlateau", **options)


def test_options_that_are_arrays_are_refused_by_name():
    for name in ("lr", "stop", "scheduler_per", "gradient", "engine", "loss", "epochs"):
        with pytest.raises(sq.errors.OptionError, match=name):
            sq.train(FORMULA, ROWS, **{"epochs": 2, name: np.array([1, 2])})


def test_clipping():
    run = sq.train(FORMULA, ROWS, lr=0.1, epochs=20, batch_size=40, clip_grad_norm=0.3, dtype="float64")
    losses, _, _ = plain(lambda p: optim.SGD(p, lr=0.1), 20, size=40, order=permuted, clip=0.3)
    assert_close(run.history["loss"], losses, rtol=1e-12)


@pytest.mark.parametrize(("average", "first"), [(0, 0), (6, 6), (True, 5)])
def test_the_average_of_the_iterates(average, first):
    run = sq.train(FORMULA, ROWS, lr=0.05, epochs=10, batch_size=64, average=average, dtype="float64")
    _, _, iterates = plain(lambda p: optim.SGD(p, lr=0.05), 10, size=64, order=permuted)
    assert_close(run.result.end, iterates[first * 7 :].mean(0), rtol=1e-12)
    assert_close(run.result.last_iterate, iterates[-1], rtol=1e-12)
    weights = np.concatenate([run.model.linear.bias.detach().numpy(), run.model.linear.weight.detach().numpy().ravel()])
    assert_close(weights, run.result.end, rtol=0)


def test_metrics_are_those_of_the_rows_in_their_own_unit():
    cars = sq.datasets.cars()
    new = cars.iloc[::3]
    run = sq.train(
        FORMULA, ROWS, epochs=9, lr=0.1, batch_size=50, validation=new, metrics=("mse", "rmse", "mae", "r2"), dtype="float64"
    )
    for rows, prefix in ((cars, ""), (new, "val_")):
        error, y = run.predict(rows) - rows["mpg"], rows["mpg"]
        expected = {
            "mse": (error**2).mean(),
            "rmse": np.sqrt((error**2).mean()),
            "mae": error.abs().mean(),
            "r2": 1 - (error**2).sum() / ((y - y.mean()) ** 2).sum(),
        }
        for name, value in expected.items():
            assert_close(run.history[prefix + name].iloc[-1], value, rtol=1e-11)
    assert_close(run.history["val_loss"].iloc[-1], run.history["val_mse"].iloc[-1] / cars["mpg"].std(ddof=0) ** 2, rtol=1e-12)


@pytest.mark.parametrize(("features", "size"), [(7, 7), (5, 31), (3, 64)])
def test_batches_after_a_skip_give_the_same_bits(features, size, monkeypatch):
    from squarely.descent.batches.in_memory import InMemoryBatches

    monkeypatch.setattr("squarely.descent.batches.in_memory.ROWS_PER_GATHER", 300)
    torch.manual_seed(0)
    rows = InMemoryBatches(torch.randn(500, features), torch.randn(500, 1), seed=1)
    model = nn.Linear(features, 1)

    def gradients(batches):
        for inputs, labels in batches:
            yield torch.autograd.grad(nn.MSELoss()(model(inputs), labels), model.weight)[0].tolist()

    whole = list(gradients(rows.batches(3, size)))
    assert len(whole) == -(-500 // size)
    for skip in range(len(whole) + 1):
        assert list(gradients(rows.batches(3, size, skip))) == whole[skip:]


def test_a_schedule_of_batches_moves_where_an_epoch_is_a_batch():
    options = {"max_lr": 0.3, "total_steps": 30}
    run = sq.train(FORMULA, ROWS, epochs=20, scheduler="OneCycleLR", scheduler_options=options, dtype="float64")
    schedule = lambda optimizer: schedules.OneCycleLR(optimizer, **options)  # noqa: E731  # as torch has it
    losses, _, _ = plain(lambda p: optim.SGD(p, lr=0.01), 20, schedule=schedule)
    assert len(set(run.history["lr"])) == 21
    assert_close(run.result.losses, losses, rtol=1e-12)


@pytest.mark.parametrize("replacement", [False, True])
def test_the_predicted_curve_is_the_mean_of_many_runs(replacement):
    """Over 60 seeds from one start. Reshuffled, theory is of first order in the noise: 4 to 20 % low (THEORY.md)."""
    options = {
        "lr": 0.05,
        "epochs": 15,
        "batch_size": 16,
        "replacement": replacement,
        "start": [0.3, 0.5, -0.5],
        "dtype": "float64",
    }
    runs = sq.sweep(FORMULA, ROWS, seed=range(60), **options).runs
    floor = runs[0].prediction.floor
    excess = np.array([run.result.losses - floor for run in runs])
    error = excess.std(0, ddof=1) / np.sqrt(len(runs))
    predicted = runs[0].prediction.excess
    low = 0.0 if replacement else 0.25
    assert (predicted <= excess.mean(0) + 4 * error + 1e-12).all()
    assert (predicted >= (1 - low) * excess.mean(0) - 4 * error - 1e-12).all()
    assert predicted[-1] < 0.05 * predicted[0]


def test_the_floor_is_what_long_runs_keep():
    run = sq.train(FORMULA, ROWS, lr=0.05, epochs=400, batch_size=16, dtype="float64")
    kept = run.result.losses[200:] - run.prediction.floor
    assert 0.8 < kept.mean() / run.theory.floor < 1.6


def test_warnings_before_the_first_epoch_have_numbers():
    beyond = sq.train(FORMULA, ROWS, lr=0.45, epochs=2, batch_size=4)
    # while all rows bear 0.517, and batches that are all of 4 rows 0.3749
    assert "is not below 0.374, the limit for batches of 4 rows (the last of 2) drawn with replacement" in beyond.theory.warnings[0]
    raw = sq.train(FORMULA, ROWS, lr=1e-7, epochs=2, standardize=False)
    assert "kappa is 2.8e+08, and 28.8 once they are" in " ".join(raw.theory.warnings)
    short = sq.train(FORMULA, ROWS, lr=0.01, epochs=10)
    needed = int(re.search(r"([\d,]+) epochs would leave 0.01", short.theory.warnings[0])[1].replace(",", ""))
    lam = np.linalg.eigvalsh(2 * np.corrcoef(sq.datasets.cars()[["displacement", "weight"]].T.to_numpy(float)))
    assert (1 - 0.01 * lam[0]) ** needed <= 0.01 < (1 - 0.01 * lam[0]) ** (needed - 1)
    clamped = sq.train(FORMULA, ROWS, epochs=2, batch_size=1000)
    assert "batch_size=1,000 is above the 398 rows" in clamped.warnings[0]
    assert clamped.options.batch_size is None
    for size in (0, -3, 2.5, True):
        with pytest.raises(sq.errors.OptionError, match="batch_size"):
            sq.train(FORMULA, ROWS, batch_size=size)


def test_the_rate_that_is_chosen():
    best = sq.train(FORMULA, ROWS, lr="auto", epochs=200)
    assert_close(best.options.lr, best.theory.lr_best, rtol=1e-12)
    chosen = sq.train(FORMULA, ROWS, lr="auto", epochs=20, batch_size=32)
    assert "lr='auto' is" in chosen.warnings[0]
    others = [sq.train(FORMULA, ROWS, lr=chosen.options.lr * factor, epochs=20, batch_size=32) for factor in (0.25, 4.0)]
    assert all(chosen.prediction.excess[-1] < other.prediction.excess[-1] for other in others)


@pytest.mark.parametrize("momentum", [0.0, 0.7])
def test_a_schedule_and_weight_decay_are_predicted(momentum):
    options = {"lr": 0.1, "momentum": momentum, "weight_decay": 0.05, "scheduler": "StepLR", "scheduler_options": {"step_size": 7}}
    run = sq.train(FORMULA, ROWS, epochs=40, dtype="float64", **options)
    assert_close(run.history["predicted"], run.history["loss"], rtol=1e-11)
