"""A user's own loader and module, trained as the user's own loop would; and rows held out for validation."""

import numpy as np
import pytest

import squarely as sq
from tests.support.checks import CARS, assert_close, need

torch = need("torch")
nn = torch.nn
DataLoader, TensorDataset = torch.utils.data.DataLoader, torch.utils.data.TensorDataset


def rows(n=300, dtype=torch.float64):
    g = torch.Generator().manual_seed(4)
    X = torch.randn(n, 3, generator=g, dtype=torch.float64)
    y = (
        X @ torch.tensor([[1.0], [-2.0], [0.5]], dtype=torch.float64)
        + 3
        + 0.1 * torch.randn(n, 1, generator=g, dtype=torch.float64)
    )
    return X.to(dtype), y.to(dtype)


def loop(model, loader, epochs, lr):
    """The user's own loop."""
    criterion, optimizer = nn.MSELoss(), torch.optim.SGD(model.parameters(), lr=lr)
    for _ in range(epochs):
        for inputs, labels in loader:
            optimizer.zero_grad()
            criterion(model(inputs), labels).backward()
            optimizer.step()


def twice(make, seed=0):
    torch.manual_seed(seed)
    first = make()
    torch.manual_seed(seed)
    return first, make()


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("make", [lambda: nn.Linear(3, 1).double(), lambda: nn.Sequential(nn.Linear(3, 1, bias=False)).double()])
def test_a_loader_and_a_module_are_trained_as_in_the_users_own_loop(make, shuffle):
    """The same batches too: what shuffles draw from is left as the user has it."""
    X, y = rows()
    ours, theirs = twice(make)
    loader = DataLoader(TensorDataset(X, y), batch_size=32, shuffle=shuffle)
    torch.manual_seed(7)
    loop(theirs, loader, 6, 0.05)
    torch.manual_seed(7)
    run = sq.train(model=ours, loader=loader, epochs=6, lr=0.05)
    assert run.model is ours
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(a, b)
    assert run.options.batch_size == 32
    assert run.options.shuffle is shuffle


def test_the_loss_is_that_of_all_rows_in_the_units_of_the_loader():
    X, y = rows()
    model = nn.Linear(3, 1).double()
    run = sq.train(model=model, loader=DataLoader(TensorDataset(X, y), batch_size=64), epochs=4, lr=0.05, metrics=["rmse", "r2"])
    with torch.no_grad():
        mse = nn.MSELoss()(model(X), y).item()
    assert_close(run.history["loss"].iloc[-1], mse, rtol=1e-11)
    assert_close(run.history["rmse"].iloc[-1], mse**0.5, rtol=1e-11)
    assert_close(run.history["r2"].iloc[-1], 1 - mse / y.var(correction=0).item(), rtol=1e-11)
    assert_close(run.params, [model.bias.item(), *model.weight.tolist()[0]], rtol=1e-15)


def test_a_run_on_a_loader_is_certified_against_least_squares_on_its_rows():
    X, y = rows()
    run = sq.train(loader=[(X, y)], epochs=400, lr=0.3, dtype="float64")
    fit = sq.ols("y ~ x1 + x2 + x3", run.source)
    truth, *_ = np.linalg.lstsq(np.column_stack([np.ones(300), X.numpy()]), y.numpy()[:, 0], rcond=None)
    assert_close(fit.params, truth, rtol=1e-11)
    assert sq.certify(fit, run).agree
    assert_close(run.history["predicted"], run.history["loss"], rtol=1e-9)  # one batch of all rows: the curve holds


def test_a_module_that_theory_does_not_hold_for_is_trained_and_said():
    X, y = rows()
    for model in (nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1)), Scaled()):
        run = sq.train(model=model.double(), loader=[(X, y)], epochs=3, lr=0.01)
        assert run.history["predicted"].isna().all()
        assert "do not hold" in " ".join(run.warnings)


class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 1)

    def forward(self, x):
        return 10 * self.layer(x)


class Flat(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 1)

    def forward(self, x):
        return self.layer(x)[:, 0]


def test_outputs_without_a_column_are_not_broadcast():
    """Outputs (m,) against labels (m, 1) would be m x m differences, and slopes of zero."""
    X, y = rows()
    run = sq.train(model=Flat().double(), loader=[(X, y)], epochs=200, lr=0.3)
    assert_close(run.params, [3, 1, -2, 0.5], rtol=0.05)


def test_a_module_with_a_formula_sees_standardized_columns():
    torch.manual_seed(1)
    model = nn.Linear(2, 1).double()
    start = [model.bias.item(), *model.weight.tolist()[0]]
    run = sq.train("mpg ~ displacement + weight", CARS, model=model, epochs=50, lr=0.1)
    alone = sq.train("mpg ~ displacement + weight", CARS, start=start, epochs=50, lr=0.1, dtype="float64")
    assert run.result.losses.tobytes() == alone.result.losses.tobytes()
    assert run.options.dtype == "float64"
    assert "the model's own" in str(run.summary())


def test_what_does_not_go_together_is_said():
    X, y = rows()
    loader = [(X, y)]
    for options, message in [
        ({"loader": loader, "batch_size": 3}, "Set the batch size of the loader"),
        ({"loader": loader, "validation": 0.2}, "random_split"),
        ({"loader": loader, "formula": "y ~ x1"}, "brings its own rows"),
        ({"loader": loader, "model": nn.Linear(3, 1), "start": [0, 0, 0, 0]}, "has its own"),
        ({"loader": loader, "model": nn.Linear(3, 1), "gradient": "closed"}, "through autograd"),
        ({"loader": loader, "model": nn.Linear(3, 1).half()}, "float16"),
        ({"formula": "mpg ~ weight", "data": CARS, "model": nn.Linear(1, 1, bias=False)}, "no bias"),
        ({"loader": iter(loader)}, "once"),
    ]:
        with pytest.raises(sq.errors.InputError, match=message):
            sq.train(epochs=2, **options)
    frozen = nn.Linear(3, 1).requires_grad_(requires_grad=False)
    with pytest.raises(sq.errors.OptionError, match="frozen"):
        sq.train(model=frozen, loader=loader, epochs=2)


def test_a_share_of_the_rows_is_held_out():
    run = sq.train("mpg ~ displacement + weight", CARS, epochs=30, lr=0.3, validation=0.25, metrics="rmse", dtype="float64")
    assert run.moments.n == 298
    fit = sq.ols("mpg ~ displacement + weight", run.source)
    assert fit.nobs == 298
    both = sq.datasets.cars()
    whole = ((run.predict(both) - both["mpg"]) ** 2).sum()
    last = run.history.iloc[-1]
    assert_close(298 * last["rmse"] ** 2 + 100 * last["val_rmse"] ** 2, whole, rtol=1e-10)  # the two parts make the whole
    assert sq.certify(sq.ols("mpg ~ displacement + weight", CARS), run).verdict == "different rows"
    again = sq.train("mpg ~ displacement + weight", CARS, epochs=30, lr=0.3, validation=0.25, seed=1)
    assert again.moments.means.tolist() != run.moments.means.tolist()
    for share, message in (
        (1.0, "no row to train on"),
        (0, "no row to validate"),
        (True, "neither a fraction nor rows"),
        (1.5, "validation=1.5"),
    ):
        with pytest.raises(sq.errors.InputError, match=message):
            sq.train("mpg ~ displacement", CARS, validation=share)


class Spoiling(torch.utils.data.Dataset):
    """A dataset whose row 70 is NaN once it is spoilt."""

    def __init__(self, X, y):
        self.X, self.y, self.spoilt = X, y, False

    def __len__(self):
        return len(self.X)

    def __getitem__(self, i):
        return self.X[i] * (float("nan") if i == 70 and self.spoilt else 1.0), self.y[i]

    def spoil(self, epoch):
        self.spoilt = epoch.epoch >= 7


@pytest.mark.diverges
def test_a_row_that_becomes_nan_is_named_and_the_last_good_parameters_are_kept():
    dataset = Spoiling(*rows())
    model, other = twice(lambda: nn.Linear(3, 1).double())
    run = sq.train(model=model, loader=DataLoader(dataset, batch_size=32), epochs=20, lr=0.05, callbacks=dataset.spoil)
    assert run.status == "not finite"
    assert "Row 7 of batch 3 of the loader" in run.result.stop_reason.reason  # 70 = 2 x 32 + 6, counted from one
    assert len(run.history) == 8
    whole = sq.train(model=other, loader=DataLoader(TensorDataset(*rows()), batch_size=32), epochs=7, lr=0.05)
    assert run.result.end.tobytes() == whole.result.end.tobytes()
    with pytest.raises(sq.errors.NumericalError, match="Row 7 of batch 3"):
        run.require()


def test_gaps_in_a_loader_are_refused_and_casts_are_said():
    X, y = rows()
    run = sq.train(model=nn.Linear(3, 1), loader=[(X, y)], epochs=2, lr=0.1)
    assert "The loader's float64 values are cast to the model's float32." in run.warnings
    X[5, 1] = float("nan")
    with pytest.raises(sq.errors.DataError, match="rows with gaps in the loader"):
        sq.train(loader=[(X, y)], epochs=2)
    with pytest.raises(sq.errors.DataError, match="validation has 2 features, and the one for training has 3"):
        sq.train(loader=[rows()], validation=[(X[:, :2], y)], epochs=2)


class Line(nn.Module):
    """A module of the user's own that counts, has a length of zero, and so is false where it is tested for truth."""

    def __init__(self):
        super().__init__()
        self.weight, self.bias, self.seen = nn.Parameter(torch.zeros(3, 1)), nn.Parameter(torch.zeros(1)), []

    def __len__(self):
        return len(self.seen)

    def forward(self, x):
        return x @ self.weight + self.bias


class Shy(Line):
    """A module that does not let itself be tested for truth at all, as one that torch.compile has made."""

    def __bool__(self):
        raise TypeError

    __len__ = None


@pytest.mark.parametrize("make", [Line, Shy])
def test_a_module_is_never_tested_for_truth(make):
    X, y = rows()
    ours, theirs = make().double(), make().double()
    loader = DataLoader(TensorDataset(X, y), batch_size=50)
    loop(theirs, loader, 5, 0.1)
    run = sq.train(model=ours, loader=loader, lr=0.1, epochs=5)
    assert run.model is ours
    assert run.has_user_model
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(a, b)
    assert "the model's own" in str(run.summary())


def test_a_compiled_module_is_trained_where_it_is():
    X, y = rows()
    ours, theirs = twice(lambda: nn.Linear(3, 1).double())
    loader = DataLoader(TensorDataset(X, y), batch_size=50)
    loop(theirs, loader, 3, 0.1)
    compiled = torch.compile(ours, backend="eager")
    assert sq.train(model=compiled, loader=loader, lr=0.1, epochs=3).model is compiled
    assert torch.equal(ours.weight, theirs.weight)
    assert torch.equal(ours.bias, theirs.bias)


def scheduled_loop(model, loader, epochs, optimizer, scheduler=None, *, each_batch=False):
    """The user's own loop, with an optimiser and a scheduler of the user's own."""
    criterion = nn.MSELoss()
    for _ in range(epochs):
        for inputs, labels in loader:
            optimizer.zero_grad()
            criterion(model(inputs), labels).backward()
            optimizer.step()
            if each_batch:
                scheduler.step()
        if scheduler is not None and not each_batch:
            scheduler.step()


def cycle(optimizer):
    return torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.2, total_steps=24)


OBJECTS = {
    "SGD": (lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9), None),
    "AdamW, groups": (lambda p: torch.optim.AdamW([{"params": [q], "lr": 0.1 / (i + 1)} for i, q in enumerate(p)]), None),
    "SGD, StepLR": (lambda p: torch.optim.SGD(p, lr=0.1), lambda o: torch.optim.lr_scheduler.StepLR(o, 2)),
    "SGD, OneCycleLR": (lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9), cycle),  # torch counts its steps in batches
    "SGD of the slopes": (lambda p: torch.optim.SGD(list(p)[:1], lr=0.1), None),
}


@pytest.mark.parametrize("name", OBJECTS)
def test_an_optimiser_over_the_model_is_used_as_in_the_users_own_loop(name):
    make, schedule = OBJECTS[name]
    X, y = rows()
    ours, theirs = twice(lambda: nn.Linear(3, 1).double())
    loader = DataLoader(TensorDataset(X, y), batch_size=50)
    optimizer = make(theirs.parameters())
    scheduler = None if schedule is None else schedule(optimizer)
    scheduled_loop(theirs, loader, 4, optimizer, scheduler, each_batch=schedule is cycle)
    mine = make(ours.parameters())
    options = {} if schedule is None else {"scheduler": schedule(mine)}
    run = sq.train(model=ours, loader=loader, optimizer=mine, epochs=4, **options)
    assert run.optimizer is mine
    assert torch.equal(ours.weight, theirs.weight)
    assert torch.equal(ours.bias, theirs.bias)
    assert run.as_dict()["optimizer"] == type(mine).__name__
    assert (
        run.as_dict()["lr"]
        == run.options.parameter_groups[0].lr
        == mine.param_groups[0].get("initial_lr", mine.param_groups[0]["lr"])
    )
    message = any("does not have the model's parameters 'bias'" in warning for warning in run.warnings)
    assert message is (name == "SGD of the slopes")
    if message:
        assert run.history["predicted"].isna().all()  # the optimum of all coefficients is another one


def test_an_optimiser_that_has_begun_goes_on():
    """Momentum, and whatever else it holds, is that of the user's own loop before."""
    X, y = rows()
    ours, theirs = twice(lambda: nn.Linear(3, 1).double())
    loader = DataLoader(TensorDataset(X, y), batch_size=50)
    optimizers = [torch.optim.Adam(model.parameters(), lr=0.05) for model in (ours, theirs)]
    scheduled_loop(theirs, loader, 5, optimizers[1])
    scheduled_loop(ours, loader, 2, optimizers[0])
    sq.train(model=ours, loader=loader, optimizer=optimizers[0], epochs=3)
    assert torch.equal(ours.weight, theirs.weight)


def test_optimisers_and_schedulers_of_something_else_are_refused():
    X, y = rows()
    model, other = nn.Linear(3, 1).double(), nn.Linear(3, 1).double()
    loader, mine = [(X, y)], torch.optim.SGD(model.parameters(), lr=0.1)
    theirs = torch.optim.SGD([*model.parameters(), *other.parameters()], lr=0.1)
    schedule = torch.optim.lr_scheduler.StepLR(theirs, 2)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    for options, message in [
        ({"optimizer": theirs}, "a SGD of 4 parameters, and 2 of them do not belong to the model"),
        ({"optimizer": lambda parameters: theirs}, "2 of them do not belong to the model"),
        ({"optimizer": mine, "scheduler": schedule}, "belongs to another optimizer"),
        ({"scheduler": schedule}, "belongs to another optimizer"),
        ({"optimizer": mine, "weight_decay": 0.1}, "Set it in your own optimizer"),
        ({"optimizer": mine, "momentum": 0.9}, "momentum"),
        ({"optimizer": torch.optim.SGD(model.parameters(), lr=0.1, differentiable=True)}, "differentiable=True"),
        ({"optimizer": "adam", "optimizer_options": {"capturable": True}}, "capturable=True"),
    ]:
        with pytest.raises(sq.errors.OptionError, match=message):
            sq.train(model=model, loader=loader, epochs=2, **options)
    with pytest.raises(sq.errors.OptionError, match="Give model= too"):
        sq.train("mpg ~ weight", CARS, optimizer=mine, epochs=2)
    with pytest.raises(sq.errors.OptionError, match="LBFGS evaluates the loss several times"):
        sq.train(model=model, loader=[(X[:100], y[:100]), (X[100:], y[100:])], optimizer="lbfgs", epochs=2)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


@pytest.mark.diverges
def test_the_numbers_of_an_optimiser_of_ones_own_are_said():
    """What it really has, and not the defaults of options that it does not use."""
    run = sq.train("mpg ~ weight", CARS, optimizer=lambda p: torch.optim.SGD(p, lr=1.3, momentum=0.1), epochs=60, dtype="float64")
    assert run.status == "diverged"
    assert "with lr=1.3." in run.warnings[-1]
    values = run.as_dict()
    assert (values["lr"], values["momentum"]) == (1.3, 0.1)
    assert "1.3" in str(run.summary())
    named = sq.train("mpg ~ weight", CARS, lr=0.3, momentum=0.1, nesterov=True, weight_decay=0.02, epochs=20, dtype="float64")

    def made(parameters):
        return torch.optim.SGD(parameters, lr=0.3, momentum=0.1, nesterov=True, weight_decay=0.02)

    run = sq.train("mpg ~ weight", CARS, optimizer=made, epochs=20, dtype="float64")
    assert run.theory.lr_limit == named.theory.lr_limit  # plain SGD has its theory, also if the user makes it
    assert run.history.equals(named.history)
    assert not run.history["predicted"].isna().any()
    message = sq.train("mpg ~ weight", CARS, optimizer=made, lr=0.7, epochs=2).warnings
    assert message[0] == "The optimizer has lr=0.3 by itself: lr=0.7 is not used."


def test_the_page_has_what_the_optimiser_does():
    def made(parameters):
        weight, bias = sorted(parameters, key=lambda parameter: -parameter.ndim)
        return torch.optim.SGD([{"params": [bias]}, {"params": [weight], "lr": 0.25, "weight_decay": 0.125}], lr=0.5, momentum=0.75)

    def page(**options):
        return " ".join(str(sq.train("mpg ~ weight", CARS, epochs=3, **options).summary()).split())

    text = page(optimizer=made)
    assert "Learning rate: 0.5, 0.25 " in text
    assert "Momentum: 0.75 " in text
    assert "Weight decay: 0, 0.125 " in text
    assert "Weight decay: 0.01 " in page(optimizer="adamw")  # the default of torch
    assert "Momentum: 0.9 " in page(optimizer="rmsprop", optimizer_options={"momentum": 0.9})
    assert "Weight decay" not in page(momentum=0.9)
    cycle = {"scheduler": "OneCycleLR", "scheduler_options": {"max_lr": 0.5, "total_steps": 30, "div_factor": 20}}
    assert "Learning rate: from 0.025, OneCycleLR " in page(lr=7.0, **cycle)


@pytest.mark.parametrize("options", [{"maximize": True}, {"dampening": 0.5, "momentum": 0.9}])
def test_sgd_that_does_something_else_has_no_theory(options):
    run = sq.train("mpg ~ weight", CARS, optimizer=lambda p: torch.optim.SGD(p, lr=0.01, **options), epochs=3)
    assert run.theory.lr_limit is None
    assert run.options.descent is None
    group = run.options.parameter_groups[0]
    assert (group.kind, group.maximize, group.dampening) == ("sgd", bool(options.get("maximize")), options.get("dampening", 0.0))


@pytest.mark.parametrize("options", [{"momentum": 1.0}, {"momentum": 1.5}, {"momentum": 1.0, "nesterov": True}], ids=str)
@pytest.mark.parametrize("batch_size", [None, 100])
def test_a_momentum_of_one_or_more_has_no_theory_and_a_note(options, batch_size):
    run = sq.train(
        "mpg ~ weight", CARS, optimizer=lambda p: torch.optim.SGD(p, lr=1e-3, **options), batch_size=batch_size, epochs=5
    )
    assert run.theory.lr_limit is None
    assert run.status == "epochs used up"
    assert f"A momentum of {options['momentum']:g} keeps the steps from getting smaller: use one below 1" in run.notes[-1]


def test_the_groups_of_an_optimiser_are_read_from_the_real_one():
    def made(parameters):
        weight, bias = sorted(parameters, key=lambda parameter: -parameter.ndim)
        return torch.optim.AdamW([{"params": [bias], "weight_decay": 0.0}, {"params": [weight], "lr": 0.2}], lr=0.1)

    groups = sq.train("mpg ~ weight", CARS, optimizer=made, epochs=3).options.parameter_groups
    assert [(group.parameters, group.lr, group.weight_decay, group.decoupled) for group in groups] == [
        (("linear.bias",), 0.1, 0.0, True),
        (("linear.weight",), 0.2, 0.01, True),
    ]
