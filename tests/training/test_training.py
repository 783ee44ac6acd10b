"""The descent road against plain PyTorch loops written out here, and against theory."""

import numpy as np
import pytest

import squarely as sq
from tests.support.checks import CARS, assert_close, need

torch = need("torch")

FORMULA = "mpg ~ displacement + weight + acceleration"
COLUMNS = ["displacement", "weight", "acceleration"]


def plain_loop(intercept, make, dtype, epochs, seed=0):
    """The tutorial's loop, for several columns: standardise, nn.Linear, MSELoss, the optimiser that `make` makes."""
    cars = sq.datasets.cars()
    x, y = cars[COLUMNS].to_numpy(float), cars[["mpg"]].to_numpy(float)
    if intercept:
        x, y = (x - x.mean(0)) / x.std(0), (y - y.mean()) / y.std()
    else:
        x, y = x / np.sqrt((x**2).mean(0)), y / np.sqrt((y**2).mean())
    inputs, labels = torch.tensor(x, dtype=dtype), torch.tensor(y, dtype=dtype)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = torch.nn.Linear(3, 1, bias=intercept).to(dtype)
    criterion, optimizer, losses = torch.nn.MSELoss(), make(model.parameters()), []
    for _ in range(epochs + 1):
        optimizer.zero_grad()
        loss = criterion(model(inputs), labels)
        losses.append(loss.item())
        loss.backward()
        optimizer.step()
    return np.array(losses)


OPTIMIZERS = [
    ({"lr": 0.05}, lambda p: torch.optim.SGD(p, lr=0.05)),
    ({"lr": 0.05, "momentum": 0.9}, lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9)),
    ({"lr": 0.02, "momentum": 0.8, "nesterov": True}, lambda p: torch.optim.SGD(p, lr=0.02, momentum=0.8, nesterov=True)),
    ({"lr": 0.05, "optimizer": "adam"}, lambda p: torch.optim.Adam(p, lr=0.05)),
]


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("options", "make"), OPTIMIZERS)
def test_losses_equal_a_plain_loop(options, make, dtype, intercept):
    formula = FORMULA if intercept else FORMULA + " - 1"
    run = sq.train(formula, CARS, epochs=150, dtype=dtype, **options)
    expected = plain_loop(intercept, make, getattr(torch, dtype), 150)
    assert_close(run.history["loss"], expected, rtol=1e-11 if dtype == "float64" else 2e-5)


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize(("options", "make"), OPTIMIZERS[:3])
def test_theory_predicts_every_loss(options, make, intercept):
    run = sq.train(FORMULA if intercept else FORMULA + " - 1", CARS, epochs=300, dtype="float64", **options)
    assert_close(run.history["predicted"], run.history["loss"], rtol=1e-11)
    assert run.theory.kappa > 20  # correlated columns: the one-column formula would not do


def test_adam_has_no_curve_and_says_so():
    run = sq.train(FORMULA, CARS, epochs=5, optimizer="adam")
    assert run.history["predicted"].isna().all()
    assert run.theory.lr_limit is None
    assert "unknown" in str(run.summary())


def test_parameters_are_in_the_units_of_the_data():
    run = sq.train(FORMULA, CARS, lr=0.3, epochs=3000, dtype="float64")
    assert_close(run.params, sq.ols(FORMULA, CARS).params, rtol=1e-9)
    cars = sq.datasets.cars()
    by_hand = run.params["Intercept"] + sum(run.params[name] * cars[name] for name in COLUMNS)
    assert_close(run.predict(cars), by_hand, rtol=1e-14)


def test_the_torch_objects_are_real():
    run = sq.train("mpg ~ displacement", CARS, lr=0.01, epochs=5, momentum=0.5)
    assert isinstance(run.model, torch.nn.Module)
    assert isinstance(run.optimizer, torch.optim.SGD)
    assert run.optimizer.param_groups[0]["params"][0] is run.model.linear.weight
    weight, bias = run.model.linear.weight.item(), run.model.linear.bias.item()
    assert_close(run.result.end, [bias, weight], rtol=0)
    assert "in_features=1, out_features=1" in repr(run.model)


def test_seeds_and_starts():
    runs = [sq.train("mpg ~ displacement", CARS, epochs=1, seed=seed) for seed in (0, 0, 1)]
    assert runs[0].result.start.tobytes() == runs[1].result.start.tobytes() != runs[2].result.start.tobytes()
    given = sq.train("mpg ~ displacement", CARS, epochs=1, start=[0.25, -0.5])
    assert given.result.start.tolist() == [0.25, -0.5]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.diverges
def test_a_run_that_diverges_stops_and_names_the_limit(dtype):
    run = sq.train("mpg ~ displacement", CARS, lr=1.5, epochs=100_000, dtype=dtype)
    assert run.status == "diverged"
    assert len(run.history) < 100
    assert "The limit here is 1, and the best rate 0.5" in run.warnings[-1]
    assert "not below the limit 1" in run.warnings[0]
    with pytest.raises(sq.errors.NumericalError, match="past all bounds"):
        run.require()
    assert sq.train("mpg ~ displacement", CARS, epochs=3).require().status == "converged"


def test_too_few_epochs_are_warned_of():
    (shortfall,) = sq.train("mpg ~ displacement", CARS, lr=0.0001, epochs=100).warnings
    assert shortfall.endswith("Give lr=0.5 and epochs=1.")
    assert sq.train("mpg ~ displacement", CARS, lr=0.01).warnings == ()


def test_the_best_rate_converges_at_once_on_one_column():
    run = sq.train("mpg ~ displacement", CARS, lr=0.5, epochs=1, dtype="float64")
    assert_close(run.params, sq.ols("mpg ~ displacement", CARS).params, rtol=1e-12)


@pytest.mark.diverges
def test_sweep():
    sweep = sq.sweep("mpg ~ displacement", CARS, lr=[2.0, 0.1, 0.0001], epochs=50)
    assert [run.status for run in sweep.runs] == ["diverged", "converged", "epochs used up"]
    assert sweep.best.options.lr == 0.1
    assert sweep.runs[0].model is not sweep.runs[1].model
    assert len({run.result.start.tobytes() for run in sweep.runs}) == 1
    alone = sq.train("mpg ~ displacement", CARS, lr=0.1, epochs=50)
    assert_close(sweep.runs[1].result.losses, alone.result.losses, rtol=1e-6)  # float32, summed in another order
    assert "diverged" in str(sweep.summary())


@pytest.mark.diverges
def test_a_sweep_page_keeps_its_width():
    sweep = sq.sweep(FORMULA, CARS, lr=[0.8, 3.0], epochs=500, momentum=0.9, nesterov=True)
    page = str(sweep.summary())
    assert max(map(len, page.splitlines())) <= 80
    assert "Every run diverged." in page
    assert page.count("not below the limit") == 2


def test_a_single_process_sends_nothing():
    from squarely.descent import ProcessGroup

    team = ProcessGroup()
    x = torch.ones(2)
    assert team.all_reduce([x])[0] is x
    assert team.all_gather_counts([1, 2]).tolist() == [[1, 2]]
    assert team.all_gather_json("a") == ["a"]
    assert team.run_on_all(lambda: 3) == 3
    assert (team.any(True), team.any(False)) == (True, False)
